"""OmniFold Z+jets (doi 10.5281/zenodo.3548091): one jet per event, at detector and particle level.

A. Andreassen et al., arXiv:1911.09107. Constituents are stored as pt / 100, rapidity and phi
relative to the jet, and a code of their PDG id, which gives the mass. The jet is the sum of its
constituents; the six observables come from arrays of the file, with the calibrated pt of
detector-level jets. FastJet computes an observable that a file lacks. A file of your own may have
`weights` of its events (docs/unfolding.md).
"""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import awkward as ak
import numpy as np

from omnilearn.clustering import angularity, softdrop, subjettiness
from omnilearn.data.catalogue import OMNIFOLD
from omnilearn.errors import UserError
from omnilearn.kinematics import from_rapidity, to_cartesian
from preprocessing.identity import identity, masses
from preprocessing.jet_chunk import CHUNK_ROWS, MOMENTUM_LIMIT, JetChunk, summed_jets
from preprocessing.npz_stream import open_npz
from preprocessing.sources import (
    RemoteFile,
    Shard,
    mix_classes,
    other_files_in,
    reading,
    refuse_row,
    require_files,
    require_finite,
)

LEVELS = ("sim", "gen")  # in the public files, for our reco and gen
FILE_NAME = re.compile(r"(\w+)_Zjet_pTZ-200GeV_(\d+)\.npz")
# `python -m simulation omnifold` makes PythiaAlt in place of Herwig
GENERATORS = {"simulation": ("Pythia21", "Pythia25", "Pythia26"), "data": ("Herwig", "PythiaAlt")}
PDG_IDS = np.array([22, 211, -211, 130, 11, -11, 13, -13, 321, -321, 2212, -2212, 2112, -2112])
CODE_STEP = 0.1  # the code of an id is this times its index
PT_UNIT = 100.0  # GeV
WEIGHTS = "weights"  # of the events; the public files have none
SUBSTRUCTURE = ("mults", "widths", "sdms", "zgs", "tau2s")
LOWEST_RHO = 1e-6  # lower limit of soft-drop mass / pt, which is 0 for a single photon
LOWEST_WIDTH = 1e-6  # tau21 is 0 below, where all momentum lies on the axis
OBSERVABLE_LIMIT = 1e6

# the samples of the papers; the same record has further tunes
REMOTE = tuple(
    RemoteFile.zenodo(3548091, f"{generator}_Zjet_pTZ-200GeV_{index}.npz")
    for generator in ("Pythia21", "Herwig")
    for index in range(17)
)


def generator(path: Path) -> tuple[str, str, int]:
    """Class, generator and number in a public file name; raises UserError for other names."""
    name = FILE_NAME.fullmatch(path.name)
    for label, generators in GENERATORS.items():
        if name and name[1] in generators:
            return label, name[1], int(name[2])
    known = [generator for generators in GENERATORS.values() for generator in generators]
    raise UserError(
        f"{path}: the name gives the class of OmniFold files and must be GENERATOR_Zjet_pTZ-200GeV_"
        f"NUMBER.npz with GENERATOR one of {', '.join(known)}"
    )


def shards(raw: Path) -> list[Shard]:
    """Output file i takes the i-th file of simulation and data, so that it contains both.

    Raises UserError unless there is exactly one sample of each.
    """
    classes: dict = {label: {} for label in GENERATORS}
    for path in raw.glob("[!.]*_Zjet_*.npz"):
        label, name, number = generator(path)
        classes[label].setdefault(name, {})[number] = path
    for label, samples in classes.items():
        if not samples:
            raise UserError(
                f"{raw} holds no {label} file ({' or '.join(GENERATORS[label])}_Zjet_pTZ-200GeV_"
                f"0.npz ...) but {other_files_in(raw)}; get them from {OMNIFOLD.source}"
            )
        if len(samples) > 1:
            raise UserError(
                f"{raw} holds {' and '.join(sorted(samples))}, but the {label} is one sample; "
                "keep the files of one of them in the folder"
            )
    groups = [
        [files[number] for number in sorted(files)]
        for samples in classes.values()
        for files in samples.values()
    ]
    require_files([path for files in groups for path in files])
    return [Shard(OMNIFOLD.splits, i, sources) for i, sources in enumerate(mix_classes(groups))]


def arrays_of(path: Path) -> tuple[str, ...]:
    """The arrays to read: jets and particles of both levels, and those of the substructure and the
    weights that are in the file."""
    with reading(path), zipfile.ZipFile(path) as archive:
        names = {name.removesuffix(".npy") for name in archive.namelist()}
    required = [f"{level}_{key}" for level in LEVELS for key in ("jets", "particles")]
    optional = [WEIGHTS, *(f"{level}_{key}" for level in LEVELS for key in SUBSTRUCTURE)]
    return (*required, *(key for key in optional if key in names))


def count(path: Path) -> int:
    """Events in the file."""
    with open_npz(path, arrays_of(path), OMNIFOLD.title, "event") as stored:
        require_columns(stored.shapes, path)
        return stored.rows


def read(path: Path, chunk_rows: int = CHUNK_ROWS) -> Iterator[JetChunk]:
    """The events of one file, `chunk_rows` rows at a time; a level without particles has no jet.

    Raises UserError on numbers that are not finite, negative pt and unknown codes.
    """
    label = OMNIFOLD.class_names.index(generator(path)[0])
    with open_npz(path, arrays_of(path), OMNIFOLD.title, "event") as stored:
        require_columns(stored.shapes, path)
        for first_row, arrays in stored.chunks(chunk_rows):
            for key, values in arrays.items():
                require_finite(values, path, key, first_row, row="event")
            yield chunk(arrays, label, path, first_row)


def require_columns(shapes: dict[str, tuple[int, ...]], path: Path) -> None:
    """Raise UserError for an array of another shape than the public files have."""
    for key, shape in shapes.items():
        axes = {"jets": 2, "particles": 3}.get(key.partition("_")[2], 1)
        if len(shape) != axes or (axes > 1 and shape[-1] != 4):
            expected = {1: "(events,)", 2: "(events, 4)", 3: "(events, particles, 4)"}[axes]
            raise UserError(
                f"{path}: {key} has shape {shape}, but {expected} is expected; is this a file of "
                f"{OMNIFOLD.title}?"
            )


def chunk(arrays: dict[str, np.ndarray], label: int, path: Path, first_row: int) -> JetChunk:
    """Rows of the file as events: the detector-level jet, then the particle-level one."""
    events = len(arrays["gen_jets"])
    slots = max(arrays[f"{level}_particles"].shape[1] for level in LEVELS)
    particles = np.zeros((events, len(LEVELS), slots, 4))
    for index, level in enumerate(LEVELS):
        stored = arrays[f"{level}_particles"]
        negative = (stored[..., 0] < 0).any(axis=1)
        refuse(negative, f"{level}_particles has a negative pt", path, first_row)
        particles[:, index, : stored.shape[1]] = stored
    real = particles[..., 0] > 0  # the code of both a photon and padding is 0
    counts = real.sum(axis=-1)  # (events, levels)
    owner = np.repeat(np.arange(counts.size), counts.ravel())
    axes = np.stack([arrays[f"{level}_jets"] for level in LEVELS], axis=1).reshape(-1, 4)

    pt, y_rel, phi_rel, code = particles[real].T
    species = np.rint(code / CODE_STEP)
    known = (np.abs(code - species * CODE_STEP) < 0.01) & (species >= 0) & (species < len(PDG_IDS))
    bad = np.bincount(owner[~known] // len(LEVELS), minlength=events) > 0
    refuse(bad, "a particle has a code that stands for no PDG id", path, first_row)
    pdg_id = PDG_IDS[species.astype(int)]
    constituents = from_rapidity(
        PT_UNIT * pt,
        y_rel + axes[owner, 1],
        phi_rel + axes[owner, 2],
        masses(pdg_id, path, "particles"),
    )
    cartesian = to_cartesian(constituents)
    impossible = ~(np.abs(cartesian) < MOMENTUM_LIMIT).all(axis=1)
    bad = np.bincount(owner[impossible] // len(LEVELS), minlength=events) > 0
    refuse(bad, "a particle has an impossible momentum", path, first_row)
    return JetChunk(
        constituents=constituents,
        counts=counts.ravel(),
        jet=summed_jets(cartesian, owner, counts.size),
        label=np.full(events, label),
        rows=first_row + np.arange(events),
        identity=identity(pdg_id, path, "particles"),
        weight=arrays.get(WEIGHTS),
        observables=observables(arrays, cartesian, counts, path, first_row),
    )


def refuse(bad: np.ndarray, problem: str, path: Path, first_row: int) -> None:
    """Raise UserError about the first event marked in `bad` (events,)."""
    remedy = "the file is damaged or of another layout, download it again"
    refuse_row(bad, path, problem, first_row, remedy, "event")


def observables(
    arrays: dict[str, np.ndarray],
    cartesian: np.ndarray,
    counts: np.ndarray,
    path: Path,
    first_row: int,
) -> np.ndarray:
    """jet_mass, jet_width, multiplicity, ln_rho, z_g, tau21 of the events (events, levels, 6).

    Constituents (all, 4) as px, py, pz, energy, `counts` (events, levels). ln_rho is
    ln(soft-drop mass^2 / pt^2) and tau21 is tau2 / width (arXiv:1911.09107); a level without a
    jet has zeros.
    """
    components = dict(zip(("px", "py", "pz", "energy"), cartesian.T, strict=True))
    jets = ak.unflatten(ak.zip(components), counts.ravel())
    result = np.zeros((*counts.shape, len(OMNIFOLD.observables)))
    for index, level in enumerate(LEVELS):
        filled = counts[:, index] > 0
        if not filled.any():
            continue
        stored = {
            key: arrays[f"{level}_{key}"][filled].astype(np.float64)
            for key in ("jets", *SUBSTRUCTURE)
            if f"{level}_{key}" in arrays
        }
        pt, _, _, mass = stored["jets"].T
        bad = np.zeros(len(filled), bool)
        bad[filled] = pt <= 0
        refuse(bad, f"{level}_jets has no pt, but there are particles", path, first_row)
        if len(stored) < 1 + len(SUBSTRUCTURE):
            stored = substructure(jets[index :: len(LEVELS)][filled], stored) | stored
        width = stored["widths"]
        ln_rho = 2 * np.log(np.maximum(stored["sdms"] / pt, LOWEST_RHO))
        on_axis = width < LOWEST_WIDTH
        tau21 = np.where(on_axis, 0.0, stored["tau2s"] / np.where(on_axis, 1.0, width))
        result[filled, index] = np.stack(
            [mass, width, stored["mults"], ln_rho, stored["zgs"], tau21], axis=-1
        )
        bad = ~(np.abs(result[:, index]) < OBSERVABLE_LIMIT).all(axis=1)
        refuse(bad, f"an observable at {level} level is absurd", path, first_row)
    return result


def substructure(jets: ak.Array, stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The quantities of SUBSTRUCTURE that are not `stored`, of jets (jets, var constituents).

    Widths and tau2 have angles in units of the radius.
    """
    radius = OMNIFOLD.jet_radius
    computed = {"mults": ak.to_numpy(ak.num(jets)).astype(np.float64)}
    if "widths" not in stored:
        computed["widths"] = angularity(jets, radius, beta=1.0)
    if "sdms" not in stored or "zgs" not in stored:
        computed["sdms"], computed["zgs"] = softdrop(jets, radius)
    if "tau2s" not in stored:
        computed["tau2s"] = subjettiness(jets, radius)[:, 1]
    return computed
