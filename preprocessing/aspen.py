"""Aspen Open Jets (O. Amram et al., arXiv:2412.10504): CMS jets of 2016 in flat HDF5 columns.

If --raw holds ROOT files, the jets are made from CMS's own format, PFNano, with the selection of
the paper (preprocessing/pfnano.py); preprocessing/puppi.py defines a jet. Impact parameters, PUPPI
weights, PDG ids, the soft-drop mass and the tagging variables are stored as extra columns without
a change; no training reads them, so the -1 of particles without a track does no harm.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from omnilearn.data.catalogue import ASPEN
from omnilearn.errors import UserError
from preprocessing import pfnano
from preprocessing.flat_hdf5 import Column, open_columns
from preprocessing.jet_chunk import CHUNK_ROWS, JetChunk
from preprocessing.public_hdf5 import open_public
from preprocessing.puppi import (
    CANDIDATE,
    EVENT,
    PDG_ID,
    PUPPI_WEIGHT,
    require_weights,
    weighted_jets,
)
from preprocessing.sources import (
    RemoteFile,
    Shard,
    files_below,
    named,
    other_files_in,
    public_name,
    require_files,
    require_finite,
)

SLOTS = 150
READ = (0, 1, 2, 3, PDG_ID, PUPPI_WEIGHT)
LAYOUT = {
    "candidates": Column(("PFCands",), (SLOTS, len(CANDIDATE))),
    "jets": Column(("jet_kinematics",), (4,)),  # pt, eta, phi, soft-drop mass
}
TAGGING = ASPEN.jet_extra[ASPEN.jet_extra.index("stored_constituents") :]  # in the stored order
OPTIONAL = {
    "event": Column(("event_info",), (len(EVENT),)),
    "tagging": Column(("jet_tagging",), (len(TAGGING),)),
}
FILE_NAME = re.compile(r"Run([GH])_batch(\d+)\.h5")
BATCHES = 40  # of each of the two runs

# the addresses follow the pattern of the repository; they are untested
REMOTE = tuple(
    RemoteFile(name, f"https://www.fdr.uni-hamburg.de/record/16505/files/{name}")
    for name in (f"Run{run}_batch{batch}.h5" for run in "GH" for batch in range(BATCHES))
)


def shards(raw: Path) -> list[Shard]:
    """Every public file is shared among the splits; its name alone fixes its index."""
    paths = named(raw, "Run*.h5")
    events = files_below(raw, ".root")
    if paths and events:
        raise UserError(
            f"{raw} holds {paths[0].name} and {events[0].relative_to(raw)}: the same jets "
            "may be in both layouts and would be in training and test; keep one of the two"
        )
    if events:
        return pfnano.shards(events)
    if not paths:
        raise UserError(
            f"{raw} holds no RunG_batch0.h5 or the like and no PFNano .root file but "
            f"{other_files_in(raw)}; get them from {ASPEN.source}"
        )
    shards = []
    for path in paths:
        name = FILE_NAME.fullmatch(public_name(path))
        if name is None or int(name[2]) >= BATCHES:
            raise UserError(
                f"{path} is no public file name; they are RunG_batch0.h5 to RunH_batch39.h5"
            )
        index = int(name[2]) + BATCHES * (name[1] == "H")
        shards.append(Shard(ASPEN.splits, index, (path,)))
    require_files(paths)
    return shards


def layout(path: Path) -> tuple[dict[str, Column], tuple[str, ...]]:
    """The columns to read of a file, and a message for each optional one that it lacks."""
    columns, messages = dict(LAYOUT), []
    with open_public(path) as file:
        for name, column in OPTIONAL.items():
            (key,) = column.keys
            shape = getattr(file.get(key), "shape", ())
            if shape[1:] == column.shape:
                columns[name] = column
            else:
                messages.append(f"no {key} of {column.shape[0]} columns: NaN is kept")
    return columns, tuple(messages)


def count(path: Path) -> int:
    """Jets in the file."""
    if path.suffix == ".root":
        return pfnano.count(path)
    with open_columns(path, LAYOUT, ASPEN.title) as columns:
        return columns.rows


def read(path: Path, chunk_rows: int = CHUNK_ROWS) -> Iterator[JetChunk]:
    """The jets of one file, `chunk_rows` rows at a time.

    Raises UserError on momenta, ids or weights that are not finite, PUPPI weights outside 0-1 and
    unknown ids.
    """
    if path.suffix == ".root":
        yield from pfnano.read(path, chunk_rows)
        return
    stored_layout, messages = layout(path)
    with open_columns(path, stored_layout, ASPEN.title) as columns:
        for first_row, stored in columns.chunks(chunk_rows):
            jets = chunk(stored.pop("candidates"), stored.pop("jets"), path, first_row, **stored)
            jets.selection = messages
            yield jets


def chunk(
    candidates: np.ndarray,
    jets: np.ndarray,
    path: Path,
    first_row: int,
    event: np.ndarray | None = None,
    tagging: np.ndarray | None = None,
) -> JetChunk:
    """PFCands (jets, 150, 11) and jet_kinematics (jets, 4) of the file as jets.

    event (jets, 3) and tagging (jets, 13): event_info and jet_tagging, where the file has them.
    """
    for column in READ:
        key = f"PFCands/{CANDIDATE[column]}"
        require_finite(candidates[..., column], path, key, first_row)
    require_finite(jets[:, :3], path, "jet_kinematics", first_row)
    count = len(jets)
    owner = np.repeat(np.arange(count), candidates.shape[1])
    flat = candidates.reshape(-1, len(CANDIDATE))
    require_weights(
        flat[:, PUPPI_WEIGHT],
        owner,
        path,
        "PFCands/puppiWeight",
        first_row,
        f"the columns of PFCands must be {', '.join(CANDIDATE)}",
    )
    extra = {"soft_drop_mass": jets[:, 3]}
    for names, values in ((EVENT, event), (TAGGING, tagging)):
        if values is not None:
            extra |= dict(zip(names, values.T, strict=True))
    return weighted_jets(
        flat, owner, jets[:, :3], extra, first_row + np.arange(count), path, "PFCands/pdgId"
    )
