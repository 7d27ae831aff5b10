"""Which jets are in a sample of collider data, from simulated PFNano: table 1 of arXiv:2412.10504.

As in its Appendix A: a simulated jet that passes the selection counts as a top, W, Z or H when all
quarks of the decay lie within 0.8 of its axis; the weight of a sample is cross section x luminosity
over its generated events. Neither the paper nor this module corrects for triggers and efficiencies.
"""

from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from omnilearn.errors import UserError
from omnilearn.kinematics import delta_phi
from omnilearn.progress import progress
from omnilearn.statistics.results import Result
from preprocessing import pfnano
from preprocessing.root_tree import jagged
from preprocessing.sources import files_below, require_files

RADIUS = 0.8
LUMINOSITY = 16.4  # fb^-1, of the runs G and H of 2016
PER_FB = 1000.0  # pb
# Table 2 of the paper: beginning of the name of a CMS data set -> cross section [pb]
CROSS_SECTIONS = {
    "QCD_Pt_300to470": 7823.0,
    "QCD_Pt_470to600": 648.2,
    "QCD_Pt_600to800": 186.9,
    "QCD_Pt_800to1000": 32.3,
    "TTToHadronic": 378.5,
    "TTToSemiLeptonic": 365.2,
    "WJetsToQQ_HT-400to600": 315.6,
    "WJetsToQQ_HT-600to800": 68.6,
    "WJetsToQQ_HT-800toInf": 34.9,
    "ZJetsToQQ_HT-400to600": 145.4,
    "ZJetsToQQ_HT-600to800": 34.0,
    "ZJetsToQQ_HT-800toInf": 18.7,
    "GluGluHToBB": 0.27,
}
# kind of jet -> beginning of its samples' names, PDG id of the resonance (0: none)
KINDS = {
    "QCD": ("QCD_", 0),
    "top": ("TTTo", 6),
    "W": ("WJetsToQQ", 24),
    "Z": ("ZJetsToQQ", 23),
    "H": ("GluGluHToBB", 25),
}
PARTICLES = tuple(f"GenPart_{name}" for name in ("pdgId", "genPartIdxMother", "eta", "phi"))
LIGHT = range(1, 6)  # quarks but the top


@dataclass
class Sample:
    """Counts from the files of one simulated data set."""

    name: str
    kind: str
    cross_section: float  # pb
    generated: float = 0.0  # sum of weights of all generated events
    selected: int = 0  # jets that pass the selection
    matched: int = 0  # those that hold the decay
    weights: float = 0.0  # sum over these
    squares: float = 0.0

    def expected(self, luminosity: float) -> Result:
        """Matched jets in data of `luminosity` fb^-1, with the uncertainty of the simulation."""
        scale = self.cross_section * PER_FB * luminosity / self.generated
        return Result(scale * self.weights, abs(scale) * np.sqrt(self.squares), self.matched)


def samples(folder: Path) -> list[Sample]:
    """The samples in the folders below `folder`; a folder's name begins as its CMS data set's.

    Raises UserError if there is no folder, if no cross section belongs to its name, if it holds no
    ROOT file, or if the weights of its events do not sum to more than zero.
    """
    known = ", ".join(CROSS_SECTIONS)
    folders = sorted(path for path in folder.glob("*") if path.is_dir())
    if not folders:
        raise UserError(f"{folder} holds no folders of simulated samples ({known})")
    simulated = []
    for subfolder in folders:
        name = next((name for name in CROSS_SECTIONS if subfolder.name.startswith(name)), None)
        if name is None:
            raise UserError(
                f"{subfolder}: no cross section is known of this sample, only of {known}"
            )
        kind = next(kind for kind, (start, _) in KINDS.items() if name.startswith(start))
        files = files_below(subfolder, ".root")
        if not files:
            raise UserError(f"{subfolder} holds no .root file of PFNano")
        require_files(files)
        sample = Sample(subfolder.name, kind, CROSS_SECTIONS[name])
        with progress(None, subfolder.name, unit="events") as bar:
            for path in files:
                count(path, sample, bar.update)
        if not sample.generated > 0:
            raise UserError(f"{subfolder}: the weights of its events sum to {sample.generated:g}")
        simulated.append(sample)
    return simulated


def count(path: Path, sample: Sample, advance) -> None:
    """Add the jets of one file; raises UserError for a branch of the generator that is missing."""
    resonance = KINDS[sample.kind][1]
    branches = ("genWeight", *(PARTICLES if resonance else ()))
    with pfnano.open_events(path) as (tree, names):
        if missing := [name for name in branches if name not in tree]:
            raise UserError(
                f"{path}: the tree {pfnano.TREE} lacks the branch {missing[0]}; the composition "
                "needs simulated events with the particles of the generator"
            )
        weight_sum, first_event = 0.0, 0
        for arrays in tree.iterate(
            (*names.of_jets(pfnano.JET_NEEDED), *names.filters, *branches),
            step_size=pfnano.EVENTS_AT_A_TIME,
            library="ak",
        ):
            jets = pfnano.select(arrays, names, path, first_event)
            weight = ak.to_numpy(arrays.genWeight).astype(np.float64)
            weight_sum += float(weight.sum())
            is_matched = np.ones(len(jets.event), bool)
            if resonance:
                is_matched = holds_decay(jets, *decays(arrays, resonance, path, first_event))
            jet_weights = weight[jets.event[is_matched]]
            sample.selected += len(is_matched)
            sample.matched += int(is_matched.sum())
            sample.weights += float(jet_weights.sum())
            sample.squares += float((jet_weights**2).sum())
            first_event += len(arrays)
            advance(len(arrays))
        sample.generated += generated(tree, weight_sum)


def generated(tree: uproot.TTree, stored_sum: float) -> float:
    """Sum of weights of all generated events: from the tree Runs if there is one, else
    `stored_sum`, that of the stored events."""
    directory = tree.file.root_directory
    if "Runs" in directory.keys(cycle=False):
        runs = directory["Runs"]
        for name in ("genEventSumw", "genEventSumw_"):
            if name in runs:
                return float(runs[name].array(library="np").sum())
    return stored_sum


def decays(
    arrays: ak.Array, resonance: int, path: Path, first_event: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Event (decays,), eta and phi (decays, quarks) of the quarks of every hadronic decay.

    A W, Z or H has two quarks; a top has its own quark and the two of the W.
    """
    multiplicity, flat = jagged(arrays, PARTICLES, path, first_event, "event")
    species, local, eta, phi = (flat[name] for name in PARTICLES)
    species = np.abs(species)
    event = np.repeat(np.arange(len(arrays)), multiplicity)
    mother = np.where(local >= 0, local + (np.cumsum(multiplicity) - multiplicity)[event], -1)
    quark = np.flatnonzero(np.isin(species, LIGHT) & (mother >= 0))
    boson = 24 if resonance == 6 else resonance
    quarks = pairs(quark[species[mother[quark]] == boson], mother)
    if resonance == 6:
        w_boson = mother[quarks[:, 0]]
        while True:  # up through the copies of the W
            above = mother[w_boson]
            copy = (above >= 0) & (species[above] == boson)
            if not copy.any():
                break
            w_boson = np.where(copy, above, w_boson)
        top = mother[w_boson]
        of_top = quark[species[mother[quark]] == 6]
        top_daughter = np.full(len(species), -1)
        top_daughter[mother[of_top]] = of_top
        quarks = np.column_stack([quarks, np.where(top >= 0, top_daughter[top], -1)])
        quarks = quarks[(quarks[:, 2] >= 0) & (species[top] == 6)]
    return event[quarks[:, 0]], eta[quarks], phi[quarks]


def pairs(quark: np.ndarray, mother: np.ndarray) -> np.ndarray:
    """The pairs (pairs, 2) of quarks (n,) whose mother has exactly two of them."""
    order = np.argsort(mother[quark], kind="stable")
    quark = quark[order]
    _, start, size = np.unique(mother[quark], return_index=True, return_counts=True)
    start = start[size == 2]
    return np.stack([quark[start], quark[start + 1]], axis=-1)


def holds_decay(
    jets: pfnano.Selected, event: np.ndarray, eta: np.ndarray, phi: np.ndarray
) -> np.ndarray:
    """Whether all quarks of a decay lie within RADIUS of the jet axis: (selected jets,).

    event (decays,); eta, phi (decays, quarks).
    """
    order = np.argsort(event, kind="stable")
    decays_of_event = ak.unflatten(order, np.bincount(event, minlength=len(jets.jets_of)))
    decays_of_jet = decays_of_event[jets.event]  # (selected jets, var decays)
    jet = np.repeat(np.arange(len(jets.event)), ak.to_numpy(ak.num(decays_of_jet)))
    decay = ak.to_numpy(ak.flatten(decays_of_jet))
    distance = np.hypot(
        eta[decay] - jets.direction[jet, 1, None],
        delta_phi(phi[decay], jets.direction[jet, 2, None]),
    )
    inside = (distance < RADIUS).all(axis=1)
    return np.bincount(jet, inside, len(jets.event)) > 0


def composition(simulated: list[Sample], luminosity: float) -> dict[str, Result]:
    """Expected jets of each kind, summed over its samples."""
    jets_by_kind = {}
    for kind in KINDS:
        expected = [sample.expected(luminosity) for sample in simulated if sample.kind == kind]
        if expected:
            error = float(np.sqrt(sum(((result.error or 0.0) ** 2 for result in expected), 0.0)))
            value = sum(result.value for result in expected)
            jets_by_kind[kind] = Result(value, error, sum(result.n for result in expected))
    return jets_by_kind
