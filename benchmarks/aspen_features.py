"""Histograms of the jets of a split, filled in chunks: figures 1 and 2 of arXiv:2412.10504.

The bins are fixed, so that any number of jets is read once and in chunks; values outside the bins
are counted too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from omnilearn.data.layout import stored_layout
from omnilearn.data.spec import FEATURES, DatasetSpec
from omnilearn.errors import UserError
from omnilearn.hdf5 import open_for_reading
from omnilearn.hdf5_sums import attributes
from omnilearn.kinematics import wrap_phi
from omnilearn.progress import progress

CHUNK_JETS = 2048
# name -> label of the axis, lowest, highest, bins
JET_PANELS = {
    "jet_pt": (r"jet $p_T$ [GeV]", 200, 2000, 60),
    "sum_pt": (r"$p_T$ of the constituents' sum [GeV]", 200, 2000, 60),
    "jet_eta": (r"jet $\eta$", -2.5, 2.5, 50),
    "jet_phi": (r"jet $\phi$", -np.pi, np.pi, 50),
    "jet_mass": ("jet mass [GeV]", 0, 400, 50),
    "soft_drop_mass": ("soft-drop mass [GeV]", 0, 400, 50),
    "tau21": (r"$\tau_{21}$", 0, 1, 40),
    "tau32": (r"$\tau_{32}$", 0, 1, 40),
    "multiplicity": ("constituents", -0.5, 149.5, 75),
}
CONSTITUENT_PANELS = {
    "pt": (r"constituent $p_T$ [GeV]", 0, 200, 50),
    "eta_rel": (r"$\eta - \eta_\mathrm{jet}$", -0.9, 0.9, 60),
    "phi_rel": (r"$\phi - \phi_\mathrm{jet}$", -0.9, 0.9, 60),
    "d0": (r"$d_0$ [cm]", -0.2, 0.2, 50),
    "d0_error": (r"$\sigma(d_0)$ [cm]", 0, 0.05, 50),
    "dz": (r"$d_z$ [cm]", -0.2, 0.2, 50),
    "dz_error": (r"$\sigma(d_z)$ [cm]", 0, 0.05, 50),
    "puppi_weight": ("PUPPI weight", 0, 1.02, 51),
}
PANELS = JET_PANELS | CONSTITUENT_PANELS
TRACK = ("d0", "d0_error", "dz", "dz_error")  # of particles with a track only
# kind -> flag and charge
KINDS = {
    r"$h^+$": ("is_charged_hadron", 1),
    r"$h^-$": ("is_charged_hadron", -1),
    r"$h^0$": ("is_neutral_hadron", 0),
    r"$\gamma$": ("is_photon", 0),
    r"$e^+$": ("is_electron", 1),
    r"$e^-$": ("is_electron", -1),
    r"$\mu^+$": ("is_muon", 1),
    r"$\mu^-$": ("is_muon", -1),
}
PLANE = (660, 630)  # bins of figure 2: 0.01 in eta and phi
PLANE_ETA = 3.3


def edges(name: str) -> np.ndarray:
    """Edges (bins + 1,) of a panel."""
    _, low, high, bins = PANELS[name]
    return np.linspace(low, high, bins + 1)


@dataclass
class Distribution:
    """Counts of a quantity in its bins, and number, sum and sum of squares of all its values."""

    counts: np.ndarray
    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, values: np.ndarray, bins: np.ndarray) -> None:
        """Count values (n,), which must be finite."""
        values = values.astype(np.float64)
        self.counts += np.histogram(values, bins)[0]
        self.n += len(values)
        self.total += values.sum()
        self.squares += (values**2).sum()

    @property
    def mean(self) -> float:
        return self.total / self.n

    @property
    def spread(self) -> float:
        """Standard deviation."""
        return float(np.sqrt(max(self.squares / self.n - self.mean**2, 0.0)))


@dataclass
class Features:
    """All counts of one data set."""

    jets: int = 0
    constituents: int = 0
    without_track: int = 0  # of the constituents whose impact parameters are known
    origin: str = "public"
    distributions: dict[str, Distribution] = field(default_factory=dict)
    kinds: np.ndarray = field(default_factory=lambda: np.zeros((2, len(KINDS))))  # sum, squares
    plane: np.ndarray = field(default_factory=lambda: np.zeros(PLANE, np.int64))
    selection: list[str] = field(default_factory=list)
    rejected: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, values: np.ndarray) -> None:
        """Count the finite ones of values (n,); a quantity without any has no panel."""
        values = values[np.isfinite(values)]
        if len(values):
            bins = edges(name)
            empty = Distribution(np.zeros(len(bins) - 1, np.int64))
            self.distributions.setdefault(name, empty).add(values, bins)

    def add_jets(self, chunk: dict[str, np.ndarray], spec: DatasetSpec) -> None:
        """Count a chunk of a file: its datasets, and the extra columns by name."""
        data, jet = chunk["data"], chunk["jet"]
        filled = np.arange(data.shape[1]) < chunk["multiplicity"][:, None]
        owner = np.nonzero(filled)[0]
        flat = data[filled].astype(np.float64)
        column = dict(zip(FEATURES, flat.T, strict=False))
        pt, phi = np.exp(column["log_pt"]), column["phi_rel"]
        px, py = (np.bincount(owner, pt * f(phi), len(jet)) for f in (np.cos, np.sin))
        values = {
            "sum_pt": np.hypot(px, py),
            "pt": pt,
            "eta_rel": column["eta_rel"],
            "phi_rel": column["phi_rel"],
            "multiplicity": chunk["multiplicity"],
        }
        for name in ("jet_pt", "jet_eta", "jet_mass"):
            values[name] = jet[:, spec.jet_features.index(name)]
        if "jet_phi" in chunk:
            values["jet_phi"] = chunk["jet_phi"]
        if "tau1" in chunk:
            with np.errstate(divide="ignore", invalid="ignore"):
                values["tau21"] = chunk["tau2"] / chunk["tau1"]
                values["tau32"] = chunk["tau3"] / chunk["tau2"]
            values["soft_drop_mass"] = chunk["soft_drop_mass"]
        if "d0" in chunk:
            extra_columns = {name: chunk[name][filled] for name in (*TRACK, "puppi_weight")}
            tracks = extra_columns["d0_error"] > 0  # -1: a particle without a track
            self.without_track += int(np.count_nonzero(extra_columns["d0_error"] == -1))
            values |= {name: extra_columns[name][tracks] for name in TRACK}
            values["puppi_weight"] = extra_columns["puppi_weight"]
        for name, column_values in values.items():
            self.add(name, column_values)
        self.jets += len(jet)
        self.constituents += len(flat)
        counts = np.stack(
            [
                np.bincount(
                    owner, (column[flag] > 0) & (np.sign(column["charge"]) == charge), len(jet)
                )
                for flag, charge in KINDS.values()
            ],
            axis=-1,
        )
        self.kinds += counts.sum(axis=0), (counts**2).sum(axis=0)
        if "jet_phi" in chunk:
            eta = column["eta_rel"] + jet[owner, spec.jet_features.index("jet_eta")]
            phi_absolute = wrap_phi(phi + chunk["jet_phi"][owner])
            is_finite = np.isfinite(phi_absolute)
            self.plane += np.histogram2d(
                eta[is_finite],
                phi_absolute[is_finite],
                PLANE,
                [(-PLANE_ETA, PLANE_ETA), (-np.pi, np.pi)],
            )[0].astype(np.int64)

    @property
    def kinds_per_jet(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation over jets of the constituents of each kind (kinds,)."""
        mean, squares = self.kinds / max(1, self.jets)
        return mean, np.sqrt(np.maximum(squares - mean**2, 0.0))


def features(
    paths: list[Path], spec: DatasetSpec, max_jets: int | None = None, class_name: str = ""
) -> Features:
    """The features of the jets in files of the suite; of at most `max_jets` jets, and of one class
    if `class_name` is given.

    Raises UserError for a file that is not of the data set or without stored multiplicities.
    """
    counted, known_sources = Features(), set()
    with progress(max_jets, spec.name) as bar:
        for path in paths:
            for file, chunk in chunks(path, spec):
                if class_name:
                    pid = chunk["pid"]
                    label = pid.argmax(axis=1) if pid.ndim == 2 else pid
                    chunk = select(chunk, label == spec.class_names.index(class_name))
                if max_jets is not None:
                    chunk = select(chunk, np.arange(len(chunk["jet"])) < max_jets - counted.jets)
                counted.add_jets(chunk, spec)
                bar.update(len(chunk["jet"]))
                # files of several splits made from the same public files count once
                sources = tuple(file.attrs.get("fingerprints", [path.name]))
                if sources not in known_sources:
                    known_sources.add(sources)
                    add_provenance(counted, file.attrs)
                if max_jets is not None and counted.jets >= max_jets:
                    return counted
    return counted


def chunks(path: Path, spec: DatasetSpec) -> Iterator[tuple[h5py.File, dict[str, np.ndarray]]]:
    """The open file and a chunk of its rows: its datasets, and the extra columns by name."""
    with open_for_reading(path) as file:
        stored = stored_layout(file, path, spec)
        if not stored.multiplicity:
            raise UserError(f"{path} has no 'multiplicity'; make it again with this suite")
        for start in range(0, stored.rows, CHUNK_JETS):
            rows = slice(start, start + CHUNK_JETS)
            chunk = {key: file[key][rows] for key in ("data", "jet", "pid", "multiplicity")}
            chunk["multiplicity"] = np.minimum(chunk["multiplicity"], stored.slots)
            for key in ("constituents_extra", "jet_extra"):
                if key in file and "columns" in file[key].attrs:
                    columns = np.moveaxis(file[key][rows], -1, 0)
                    chunk |= dict(zip(attributes(file[key])["columns"], columns, strict=True))
            yield file, chunk


def select(chunk: dict[str, np.ndarray], mask: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[mask] for name, values in chunk.items()}


def add_provenance(counted: Features, attributes: h5py.AttributeManager) -> None:
    """Add the origin, the selection and the rejected jets that the attributes of a file name."""
    if attributes.get("origin", "public") != "public":
        counted.origin = str(attributes["origin"])
    counted.selection += [s for s in attributes.get("selection", []) if s not in counted.selection]
    for line in attributes.get("rejected", []):
        reason, _, count = line.rpartition(": ")
        counted.rejected[reason] = counted.rejected.get(reason, 0) + int(count)
