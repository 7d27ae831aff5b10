"""Description of a dataset: classes, features, units, normalisation, working points.

Particle features follow arXiv:2502.14652, Appendix A, in the storage order of the released files
(charge, then the five identity flags). Units are GeV and radians everywhere.
"""

from dataclasses import dataclass

SPLITS = ("train", "val", "test")
KINEMATIC_FEATURES = (
    *("eta_rel", "phi_rel", "log_1_minus_pt_rel", "log_pt", "log_1_minus_e_rel", "log_e"),
    "delta_r",
)
FEATURES = (
    *KINEMATIC_FEATURES,
    "charge",
    *("is_charged_hadron", "is_neutral_hadron", "is_photon", "is_electron", "is_muon"),
)
JET_FEATURES = ("jet_pt", "jet_eta", "jet_mass", "multiplicity")  # that the model is conditioned on
DIFFUSED_PT = ("log_1_minus_pt_rel", "log_pt")  # published, and one that resolves soft constituents
DIFFUSED = 3  # features that the generator head diffuses: eta_rel, phi_rel and one of DIFFUSED_PT
LEAST_SLOTS = 11  # PET looks at the 10 nearest constituents of each; empty slots count
MOST_SLOTS = 10_000  # per jet; limits the memory that a file can claim
TOKEN_FEATURES = ("log_pt", "eta_rel", "phi_rel")  # features that become a token


@dataclass(frozen=True)
class JetLabel:
    """One class of jets: the name in files and flags, the LaTeX label and colour in figures."""

    name: str
    latex: str
    colour: str


@dataclass(frozen=True)
class Normalisation:
    """Shift and width per particle feature (13) and per jet feature (4): z = (x - mean) / std."""

    feature_mean: tuple[float, ...]
    feature_std: tuple[float, ...]
    jet_mean: tuple[float, ...]
    jet_std: tuple[float, ...]


@dataclass(frozen=True)
class DatasetSpec:
    """One dataset."""

    name: str  # on the command line
    title: str
    task: str  # pretraining, tagging, generation, unfolding or anomaly
    source: str  # of the public files
    citation: str
    labels: tuple[JetLabel, ...]  # in the order of the label column
    num_features: int  # stored features per constituent: 7 (no identity), 8 (charge) or 13
    max_constituents: int  # slots kept per jet
    jet_radius: float
    jet_pt_range: tuple[float, float]  # GeV; a file whose median lies far outside has other units
    normalisation: Normalisation
    one_hot: bool  # `pid` is stored (N, classes) rather than (N,), as the released files do
    folders: tuple[str, ...]  # names that hold it under --data: ours first, then the released one
    splits: tuple[tuple[str, float], ...] = ()  # shares of a public file; () where files are splits
    jets_per_event: int = 1
    levels: tuple[str, ...] = ()  # of events with detector and particle level
    observables: tuple[str, ...] = ()  # numbers stored beside each event, at each level
    jet_features: tuple[str, ...] = JET_FEATURES  # stored per jet, these and perhaps more
    # columns of the public files that ours keep although no training reads them
    constituent_extra: tuple[str, ...] = ()  # dataset constituents_extra, float32
    jet_extra: tuple[str, ...] = ()  # dataset jet_extra, float64: event numbers fit
    signal_region: tuple[float, ...] = ()  # low and high, GeV of dijet mass
    sidebands: tuple[tuple[float, float], ...] = ()
    signal: int = 1  # class taken as signal in binary working points
    working_points: tuple[float, ...] = (0.5, 0.3)  # signal efficiencies of the published table
    class_working_points: tuple[tuple[str, float], ...] = ()  # of classes with another one

    @property
    def jets_per_row(self) -> int:
        """Jets behind one stored row: of an event, at all its levels."""
        return self.jets_per_event * max(1, len(self.levels))

    @property
    def has_identity(self) -> bool:
        """Whether charge, or charge and kind, of the constituents are stored."""
        return self.num_features > len(KINEMATIC_FEATURES)

    @property
    def constituent_columns(self) -> int:
        """Numbers kept of a constituent: its features, then its extra columns."""
        return self.num_features + len(self.constituent_extra)

    def key(self, array: str, level: str = "") -> str:
        """HDF5 key of data, jet, multiplicity or observables; of one level where there are several.

        Files with levels are named as the released code does: reco, reco_jets, reco_subs.
        """
        if not self.levels:
            return array
        suffix = {"data": "", "jet": "_jets", "observables": "_subs"}.get(array, f"_{array}")
        return f"{level or self.levels[0]}{suffix}"

    @property
    def num_classes(self) -> int:
        return len(self.labels)

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)
