"""Which jets are in a sample of collider data, from simulated PFNano: table 1 of arXiv:2412.10504.

As in its Appendix A: a simulated jet that passes the selection counts as a top, W, Z or H when all
quarks of the decay lie within 0.8 of its axis; a sample counts with cross section x luminosity over
its generated events. Triggers and efficiencies are not corrected for, there as here.
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
# Table 2 of the paper: how the name of a CMS data set begins -> cross section [pb]
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
# kind of jet -> how its samples begin, PDG id of the resonance; QCD jets hold none
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
    """What was counted in the files of one simulated data set."""

    name: str
    kind: str
    cross_section: float  # pb
    generated: float = 0.0  # sum of weights of all generated events
    selected: int = 0  # jets that pass the selection
    matched: int = 0  # those that hold the decay
    weights: float = 0.0  # sum over these
    squares: float = 0.0

    def expected(self, luminosity: float) -> Result:
        """Matched jets in data of so many fb^-1, with the uncertainty of the simulated number."""
        scale = self.cross_section * PER_FB * luminosity / self.generated
        return Result(scale * self.weights, abs(scale) * np.sqrt(self.squares), self.matched)


def samples(folder: Path) -> list[Sample]:
    """The samples in the folders below `folder`, each named as its CMS data set begins.

    Raises UserError for a folder of another name, for one without ROOT files, and for none at all.
    """
    folders = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not folders:
        raise UserError(f"{folder} holds no folders of simulated samples ({known()})")
    found = []
    for place in folders:
        name = next((name for name in CROSS_SECTIONS if place.name.startswith(name)), None)
        if name is None:
            raise UserError(f"{place}: no cross section is known of this sample, only of {known()}")
        kind = next(kind for kind, (start, _) in KINDS.items() if name.startswith(start))
        files = files_below(place, ".root")
        if not files:
            raise UserError(f"{place} holds no .root file of PFNano")
        require_files(files)
        sample = Sample(place.name, kind, CROSS_SECTIONS[name])
        with progress(None, place.name, unit="events") as bar:
            for path in files:
                count(path, sample, bar.update)
        if not sample.generated > 0:
            raise UserError(f"{place}: the weights of its events sum to {sample.generated:g}")
        found.append(sample)
    return found


def known() -> str:
    return ", ".join(CROSS_SECTIONS)


def count(path: Path, sample: Sample, advance) -> None:
    """Add the jets of one file; raises UserError for a branch of the generator that is missing."""
    resonance = KINDS[sample.kind][1]
    wanted = ("genWeight", *(PARTICLES if resonance else ()))
    with pfnano.open_events(path) as (tree, names):
        if missing := [name for name in wanted if name not in tree]:
            raise UserError(
                f"{path}: the tree {pfnano.TREE} lacks the branch {missing[0]}; the composition "
                "needs simulated events with the particles of the generator"
            )
        total, first = 0.0, 0
        for arrays in tree.iterate(
            (*names.of_jets(pfnano.JET_NEEDED), *names.filters, *wanted),
            step_size=pfnano.EVENTS_AT_A_TIME,
            library="ak",
        ):
            jets = pfnano.select(arrays, names, path, first)
            weight = ak.to_numpy(arrays.genWeight).astype(np.float64)
            total += float(weight.sum())
            inside = np.ones(len(jets.event), bool)
            if resonance:
                inside = holds_decay(jets, *decays(arrays, resonance, path, first))
            of_jet = weight[jets.event[inside]]
            sample.selected += len(inside)
            sample.matched += int(inside.sum())
            sample.weights += float(of_jet.sum())
            sample.squares += float((of_jet**2).sum())
            first += len(arrays)
            advance(len(arrays))
        sample.generated += generated(tree, total)


def generated(tree: uproot.TTree, total: float) -> float:
    """Sum of weights of all generated events: that of the tree Runs, else of those stored."""
    directory = tree.file.root_directory
    if "Runs" in directory.keys(cycle=False):
        runs = directory["Runs"]
        for name in ("genEventSumw", "genEventSumw_"):
            if name in runs:
                return float(runs[name].array(library="np").sum())
    return total


def decays(
    arrays: ak.Array, resonance: int, path: Path, first_event: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Event (decays,), eta and phi (decays, quarks) of the quarks of every hadronic decay.

    Two quarks of a W, Z or H; of a top its own quark and the two of the W.
    """
    number, flat = jagged(arrays, PARTICLES, path, first_event, "event")
    species, local, eta, phi = (flat[name] for name in PARTICLES)
    species = np.abs(species)
    event = np.repeat(np.arange(len(arrays)), number)
    mother = np.where(local >= 0, local + (np.cumsum(number) - number)[event], -1)
    quark = np.flatnonzero(np.isin(species, LIGHT) & (mother >= 0))
    boson = 24 if resonance == 6 else resonance
    quarks = pairs(quark[species[mother[quark]] == boson], mother)
    if resonance == 6:
        last = mother[quarks[:, 0]]
        while True:  # up through the copies of the W
            above = mother[last]
            copy = (above >= 0) & (species[above] == boson)
            if not copy.any():
                break
            last = np.where(copy, above, last)
        top = mother[last]
        of_top = quark[species[mother[quark]] == 6]
        own = np.full(len(species), -1)
        own[mother[of_top]] = of_top
        quarks = np.column_stack([quarks, np.where(top >= 0, own[top], -1)])
        quarks = quarks[(quarks[:, 2] >= 0) & (species[top] == 6)]
    return event[quarks[:, 0]], eta[quarks], phi[quarks]


def pairs(quark: np.ndarray, mother: np.ndarray) -> np.ndarray:
    """The quarks (n,) that share a mother with one other, side by side (pairs, 2)."""
    order = np.argsort(mother[quark], kind="stable")
    quark = quark[order]
    _, start, size = np.unique(mother[quark], return_index=True, return_counts=True)
    start = start[size == 2]
    return np.stack([quark[start], quark[start + 1]], axis=-1)


def holds_decay(
    jets: pfnano.Selected, event: np.ndarray, eta: np.ndarray, phi: np.ndarray
) -> np.ndarray:
    """Whether all quarks of a decay (decays, quarks) lie within RADIUS of the jet (kept jets,)."""
    order = np.argsort(event, kind="stable")
    eta, phi = eta[order], phi[order]
    count = np.bincount(event, minlength=len(jets.jets_of))
    start = np.cumsum(count) - count
    number = count[jets.event]
    jet = np.repeat(np.arange(len(jets.event)), number)
    place = np.arange(len(jet)) - np.repeat(np.cumsum(number) - number, number)
    decay = start[jets.event[jet]] + place
    distance = np.hypot(
        eta[decay] - jets.direction[jet, 1, None],
        delta_phi(phi[decay], jets.direction[jet, 2, None]),
    )
    inside = (distance < RADIUS).all(axis=1)
    return np.bincount(jet, inside, len(jets.event)) > 0


def composition(found: list[Sample], luminosity: float) -> dict[str, Result]:
    """Expected jets of each kind, all of its samples together."""
    result = {}
    for kind in KINDS:
        parts = [sample.expected(luminosity) for sample in found if sample.kind == kind]
        if parts:
            error = float(np.sqrt(sum(((part.error or 0.0) ** 2 for part in parts), 0.0)))
            result[kind] = Result(sum(p.value for p in parts), error, sum(p.n for p in parts))
    return result
