"""LHC Olympics R&D (doi 10.5281/zenodo.6466204): events of up to 700 particles -> two jets each.

G. Kasieczka et al., arXiv:2101.08320: 700 massless (pt, eta, phi) per event, zero-padded, then the
label, which the black boxes (doi 10.5281/zenodo.4536624) lack. Jets are anti-kT, R = 1; a row is
an event, with the dijet mass as its observable. The public trigger, leading jet above 1.2 TeV
within |eta| < 2.5, is applied to these jets.
"""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import awkward as ak
import numpy as np

from omnilearn.clustering import cluster
from omnilearn.data.catalogue import LHCO
from omnilearn.errors import UserError
from omnilearn.kinematics import from_cartesian, jet_mass, to_cartesian
from omnilearn.log import log
from preprocessing.flat_hdf5 import require_classes
from preprocessing.jet_chunk import (
    ETA_LIMIT,
    MOMENTUM_LIMIT,
    PHI_LIMIT,
    JetChunk,
    require_gev,
    require_one_unit,
)
from preprocessing.pandas_table import Table, open_table
from preprocessing.public_hdf5 import open_public
from preprocessing.sources import (
    RemoteFile,
    Shard,
    named,
    other_files_in,
    public_name,
    refuse_row,
    require_files,
    require_finite,
)

SLOTS = 700
CHUNK_EVENTS = 2048  # of 17 kB each
LEADING_PT, LEADING_ETA = 1200.0, 2.5
UNTRIGGERED = f"events without a leading jet above {LEADING_PT:g} GeV in |eta| < {LEADING_ETA:g}"
LOWEST_JET_PT = 20.0  # GeV

EVENTS = "events_anomalydetection*.h5"  # _v2 is the public one, _tiny its first 1000 events
EXTRA = "events_anomalydetection_qcd_extra_inneronly_4vecs_and_features.h5"  # background only
BLACK_BOX = "events_LHCO2020_*.h5"  # without labels, as data are: BlackBox1 to 3
FEATURES = "features"  # in the names of tables without particles
SHA256 = "5da8fda2ca78edf8fa5acc0af92fcb6a2d464ba7bf0fd75e3944a169b88cecc6"
REMOTE = (
    RemoteFile.zenodo(6466204, "events_anomalydetection_v2.h5", f"sha256:{SHA256}"),
    RemoteFile.zenodo(8370758, EXTRA),
)

MOMENTUM, CARTESIAN = ("pt", "eta", "phi", "energy"), ("px", "py", "pz", "energy")
HIGH_LEVEL = re.compile(r"j[12]")  # in the names of columns of jets
PARTICLE = re.compile(r"p([xyz])_?(\d+)")


def shards(raw: Path) -> list[Shard]:
    """The R&D events and the extra background of the signal region, one file each, or a black box.

    Raises UserError for two files of R&D events, which are versions or parts of the same, and for a
    black box beside another file.
    """
    paths = [path for path in named(raw, EVENTS) if FEATURES not in path.name]
    if len(paths) > 1:
        raise UserError(
            f"{' and '.join(map(str, paths))} are versions or parts of the same events, which "
            "would count twice; keep one of them in the folder"
        )
    paths += named(raw, EXTRA)
    boxes = named(raw, BLACK_BOX)
    if len(boxes) > 1 or (boxes and paths):
        raise UserError(
            f"{boxes[0]} and {(paths or boxes)[-1]} are different samples, and events of one would "
            "be taken for background of the other; put each into a folder of its own"
        )
    if boxes:
        log.info(f"{boxes[0]}: where it has no labels, every event is stored as background")
    paths += boxes
    if not paths:
        raise UserError(
            f"{raw} holds no {EVENTS} or {BLACK_BOX} with the particles of the events but "
            f"{other_files_in(raw)}; get one with: python -m preprocessing download lhco "
            f"--out {raw}"
        )
    require_files(paths)
    return [Shard(LHCO.splits, index, (path,)) for index, path in enumerate(paths)]


def columns(table: Table, path: Path) -> tuple[list[int], int | None]:
    """Positions of the 2100 particle columns and of the label.

    The label is None for the extra background and for black boxes. The former calls the particles'
    pt, eta, phi px, py, pz, and has further columns of the two jets, with j1 or j2 in their names.
    Raises UserError for another number of columns.
    """
    names = table.names or [str(index) for index in range(table.width)]
    low_level = [index for index, name in enumerate(names) if not HIGH_LEVEL.search(name)]
    labels = [index for index in low_level if "label" in names[index]]
    particles = [index for index in low_level if index not in labels]
    slots = [slot(names[index]) for index in particles]
    if None not in slots:
        order = np.argsort(np.array(slots, int), kind="stable")
        particles = [particles[rank] for rank in order]
    if not labels and len(particles) == 3 * SLOTS + 1:
        labels = [particles.pop()]
    unlabelled = any(fnmatchcase(public_name(path), name) for name in (EXTRA, BLACK_BOX))
    if len(particles) != 3 * SLOTS or not (len(labels) == 1 or (unlabelled and not labels)):
        raise UserError(
            f"{path} has {table.width} columns, {len(particles)} of them of particles and "
            f"{len(labels)} of labels, but the public file has {3 * SLOTS} and 1; events without "
            f"labels are read from files named as the black boxes, {BLACK_BOX}"
        )
    return particles, labels[0] if labels else None


def slot(name: str) -> int | None:
    """The position in a column's name: 2100 for "2100", 4 for "py_1"; None for other names."""
    if name.isdecimal():
        return int(name)
    match = PARTICLE.fullmatch(name)
    return 3 * int(match[2]) + "xyz".index(match[1]) if match else None


def count(path: Path) -> int:
    """Events in the file."""
    with open_public(path) as file:
        table = open_table(file, path, LHCO.name, row="event")
        columns(table, path)
        return len(table)


def read(path: Path, chunk_rows: int = CHUNK_EVENTS) -> Iterator[JetChunk]:
    """The two leading jets of the events of one file, `chunk_rows` events at a time.

    Raises UserError on impossible pt, eta and phi, and on labels other than 0 and 1.
    """
    with open_public(path) as file:
        table = open_table(file, path, LHCO.name, row="event")
        particles, label = columns(table, path)
        for first in range(0, len(table), chunk_rows):
            rows = table.read(first, min(first + chunk_rows, len(table)))
            labels = np.zeros(len(rows)) if label is None else rows[:, label]
            yield chunk(rows[:, particles].reshape(-1, SLOTS, 3), labels, path, first)


def chunk(momenta: np.ndarray, label: np.ndarray, path: Path, first_row: int) -> JetChunk:
    """Events (events, 700, 3) pt, eta, phi and label (events,) as the two jets of each."""
    require_events(momenta, label, path, first_row)
    real = momenta[..., 0] > 0
    # about the pt of each of two jets; after the trigger, no event in smaller units would be left
    jet_pt = momenta[..., 0].sum(axis=1) / 2
    rows = first_row + np.arange(len(jet_pt))
    require_one_unit(jet_pt, rows, LHCO, path, first_row == 0, "event")
    if first_row == 0 and (jet_pt > 0).any():
        require_gev(jet_pt[jet_pt > 0], LHCO, path)
    constituents, jets, event = cluster_events(momenta[real], real.sum(axis=1))
    leading = leading_pairs(event, jets[:, 0])  # (events with two jets, 2)
    hardest = jets[leading[:, 0]]
    passed = (hardest[:, 0] > LEADING_PT) & (np.abs(hardest[:, 1]) < LEADING_ETA)
    selected = leading[passed]
    row = event[selected[:, 0]]
    flat = constituents[selected.ravel()]
    rejected = {
        "events without two jets": len(label) - len(leading),
        UNTRIGGERED: int(np.count_nonzero(~passed)),
    }
    return JetChunk(
        constituents=np.stack([ak.to_numpy(ak.flatten(flat[name])) for name in MOMENTUM], axis=1),
        counts=ak.to_numpy(ak.num(flat)),
        jet=jets[selected.ravel()],
        label=label[row].astype(np.int64),
        rows=first_row + row,
        observables=jet_mass(jets[selected])[:, None, None],
        rejected={reason: events for reason, events in rejected.items() if events},
    )


def require_events(momenta: np.ndarray, label: np.ndarray, path: Path, first_row: int) -> None:
    """Raise UserError for impossible particles (events, 700, 3) and labels (events,)."""
    for column, name in enumerate(("pt", "eta", "phi")):
        require_finite(momenta[..., column], path, f"{name} of a particle", first_row, row="event")
    limits = np.array([MOMENTUM_LIMIT, ETA_LIMIT, PHI_LIMIT])
    bad = (np.abs(momenta) > limits).any(axis=(1, 2)) | (momenta[..., 0] < 0).any(axis=1)
    problem = "a particle has an impossible pt, eta or phi"
    remedy = "the columns must be pt, eta, phi of each particle"
    refuse_row(bad, path, problem, first_row, remedy, "event")
    require_classes(label, LHCO, path, "the label", first_row, "event")


def cluster_events(
    particles: np.ndarray, counts: np.ndarray
) -> tuple[ak.Array, np.ndarray, np.ndarray]:
    """All jets of events with counts (events,) of massless particles (n, 3) pt, eta, phi.

    Returns constituents (jets, var) with the fields of MOMENTUM, jets (jets, 4) pt, eta, phi,
    energy, and the event of each jet (jets,).
    """
    pt, eta, phi = particles.T
    momenta = np.stack([pt, eta, phi, pt * np.cosh(eta)], axis=1)
    fields = dict(zip(MOMENTUM, momenta.T, strict=True))
    fields |= dict(zip(("px", "py", "pz"), to_cartesian(momenta).T[:3], strict=True))
    constituents, event = cluster(
        ak.unflatten(ak.zip(fields), counts), LHCO.jet_radius, LOWEST_JET_PT
    )
    summed = [ak.to_numpy(ak.sum(constituents[name], axis=1)) for name in CARTESIAN]
    return constituents, from_cartesian(np.stack(summed, axis=1)), event


def leading_pairs(event: np.ndarray, pt: np.ndarray) -> np.ndarray:
    """Indices (events, 2) of the two hardest jets, hardest first, of every event that has two.

    event (jets,): the event of each jet, not decreasing; pt (jets,).
    """
    order = np.lexsort((-pt, event))
    first = np.flatnonzero(np.diff(event, prepend=-1))  # jet of each event
    has_two = np.diff(first, append=len(event)) > 1
    return order[first[has_two, None] + np.arange(2)]
