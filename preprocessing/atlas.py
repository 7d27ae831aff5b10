"""ATLAS top tagging (CERN open data records 15013 and 80030): flat HDF5 columns, in MeV.

ATLAS Collaboration, ATL-PHYS-PUB-2022-039 and arXiv:2407.20127. The jet's four-momentum is
calibrated, so its constituents need not sum to it; its energy follows from the calibrated pt, eta
and mass. The weights of the file give both classes the same pt spectrum and are kept. The files of
the second record are gzip-compressed as a whole (.h5.gz) and need not be unpacked.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from omnilearn.data.catalogue import ATLAS
from omnilearn.errors import UserError
from preprocessing.flat_hdf5 import Column, open_columns, require_classes
from preprocessing.jet_chunk import CHUNK_ROWS, JetChunk
from preprocessing.sources import (
    RemoteFile,
    Shard,
    named,
    other_files_in,
    refuse_row,
    require_files,
    require_finite,
)

SLOTS = 200
GEV = 1e-3  # per MeV
CONSTITUENT = ("fjet_clus_pt", "fjet_clus_eta", "fjet_clus_phi", "fjet_clus_E")
JET = ("fjet_pt", "fjet_eta", "fjet_phi", "fjet_m")
LAYOUT = {
    **{key: Column((key,), (SLOTS,)) for key in CONSTITUENT},
    **{key: Column((key,)) for key in JET},
    "labels": Column(("labels",)),
    "weights": Column(("weights", "training_weights")),  # of records 15013 and 80030
}
# file names of each release; {} is train or test
RELEASES = ("{}.h5", "{}-public.h5", "{}_nominal*.h5")

# addresses from the portal's file lists of both records
PORTAL = "https://opendata.cern.ch/eos/opendata/atlas/datascience"
REMOTE = tuple(
    RemoteFile(f"{kind}.h5", f"{PORTAL}/ATL-PHYS-PUB-2022-039/{kind}.h5")
    for kind in ("train", "test")
)
SECOND_RELEASE = tuple(
    RemoteFile(name, f"{PORTAL}/CERN-EP-2024-159/{name}")
    for kind, files in (("train", 929), ("test", 104))
    for name in (f"{kind}_nominal_{index:03d}.h5.gz" for index in range(files))
)
OTHER_SOURCES = {"80030": SECOND_RELEASE}


def public_files(raw: Path, kind: str) -> list[Path]:
    """The train or test files; raises UserError for files of two releases."""
    releases = [named(raw, name.format(kind)) for name in RELEASES]
    releases = [files for files in releases if files] or [[]]
    if len(releases) > 1:
        raise UserError(
            f"{releases[0][0]} and {releases[1][0]} are {kind} files of two releases and would be "
            "mixed; keep one release in the folder"
        )
    require_files(releases[0])
    return releases[0]


def shards(raw: Path) -> list[Shard]:
    """Each training file is shared between train and val; test files are the test split."""
    train, test = public_files(raw, "train"), public_files(raw, "test")
    if not train + test:
        raise UserError(
            f"{raw} holds neither train.h5 nor test.h5 nor *_nominal_*.h5.gz but "
            f"{other_files_in(raw)}; get them from {ATLAS.source}"
        )
    return [Shard(ATLAS.splits, i, (path,)) for i, path in enumerate(train)] + [
        Shard.whole("test", i, (path,)) for i, path in enumerate(test)
    ]


def count(path: Path) -> int:
    """Jets in the file."""
    with open_columns(path, LAYOUT, ATLAS.title) as columns:
        return columns.rows


def read(path: Path, chunk_rows: int = CHUNK_ROWS) -> Iterator[JetChunk]:
    """The jets of one file, `chunk_rows` rows at a time.

    Raises UserError on numbers that are not finite, labels other than 0 and 1, and momenta that
    look like GeV.
    """
    with open_columns(path, LAYOUT, ATLAS.title) as columns:
        for first_row, stored in columns.chunks(chunk_rows):
            for name, values in stored.items():
                require_finite(values, path, columns.key(name), first_row)
            if first_row == 0:
                require_mev(stored["fjet_pt"], path)
            yield chunk(stored, path, first_row)


def require_mev(jet_pt: np.ndarray, path: Path) -> None:
    """Raise UserError if the median of jet_pt (jets,) looks like GeV."""
    median = float(np.median(jet_pt))
    if 0 < median < ATLAS.jet_pt_range[1]:
        raise UserError(
            f"{path}: the median fjet_pt is {median:g}, which looks like GeV, but the public files "
            f"of {ATLAS.title} are in MeV; multiply its momenta by 1000"
        )


def chunk(stored: dict[str, np.ndarray], path: Path, first_row: int) -> JetChunk:
    """Columns of the file as jets in GeV."""
    require_classes(stored["labels"], ATLAS, path, "labels", first_row)
    unit = np.array([GEV, 1.0, 1.0, GEV])  # pt, eta, phi and energy or mass
    pt = stored["fjet_clus_pt"]
    problem, remedy = "fjet_clus_pt is below 0", "empty slots must be 0"
    refuse_row((pt < 0).any(axis=1), path, problem, first_row, remedy)
    real = pt > 0
    constituents = np.stack([stored[key][real] for key in CONSTITUENT], axis=-1) * unit
    jet = np.stack([stored[key] for key in JET], axis=-1) * unit
    pt, eta, _, mass = jet.T
    # rounding gives jets of one constituent a mass below zero
    jet[:, 3] = np.hypot(pt * np.cosh(eta), np.maximum(mass, 0))
    return JetChunk(
        constituents=constituents,
        counts=real.sum(axis=1),
        jet=jet,
        label=stored["labels"].astype(np.int64),
        rows=first_row + np.arange(len(jet)),
        weight=stored["weights"],
    )
