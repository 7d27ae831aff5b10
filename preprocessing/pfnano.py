"""CMS's own format PFNano: events with all particle-flow candidates, and the AK8 jets made of them.

Jets are selected as for Aspen Open Jets (O. Amram et al., arXiv:2412.10504, Sec. II): calibrated
pt > 300 GeV, |eta| < 2.5, jet identification with lepton veto, and the filters of event quality
that the file has; what is cut is counted. A jet is made of its candidates as in
preprocessing/puppi.py. Productions name their branches differently; the names known are below.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from omnilearn.data.catalogue import ASPEN
from omnilearn.errors import UserError
from omnilearn.kinematics import to_cartesian
from preprocessing.jet_chunk import JetChunk
from preprocessing.puppi import EVENT, require_weights, weighted_jets
from preprocessing.root_tree import jagged, open_tree, per_row
from preprocessing.sources import Shard, require_files

TREE = "Events"
EVENTS_AT_A_TIME = 500  # about 100 kB each
OUTPUT_BYTES = 2**31  # of PFNano behind one output file, roughly: a production has many small files

LOWEST_PT = 300.0  # GeV
HIGHEST_ETA = 2.5
TIGHT_LEPTON_VETO = 0b110  # bits of jetId: tight, tight with lepton veto
# recommended for the data of 2016 by CMS; a file need not have them all
FILTERS = tuple(
    f"Flag_{name}"
    for name in (
        "goodVertices",
        "globalSuperTightHalo2016Filter",
        "HBHENoiseFilter",
        "HBHENoiseIsoFilter",
        "EcalDeadCellTriggerPrimitiveFilter",
        "BadPFMuonFilter",
        "BadPFMuonDzFilter",
        "eeBadScFilter",
    )
)

# collections in the order in which they are looked for; a branch is COLLECTION_name
CANDIDATES = ("PFCands", "PFCand", "JetPFCands")
JETS = ("FatJet",)
LINKS = ("FatJetPFCands", "FatJetPFCand", "JetPFCandsAK8")
CANDIDATE_INDEX = re.compile(r"(pf?)?cands?Idx", re.IGNORECASE)  # pFCandsIdx, candIdx, ...
JET_INDEX = re.compile(r"(fat)?jetIdx", re.IGNORECASE)
MOMENTUM = ("pt", "eta", "phi", "mass")
CANDIDATE_NEEDED = (*MOMENTUM, "pdgId", "puppiWeight")
CANDIDATE_EXTRA = ("d0", "d0Err", "dz", "dzErr", "charge")
JET_NEEDED = ("pt", "eta", "phi", "jetId")
# column of ours -> branch of the jets
JET_EXTRA = {
    "soft_drop_mass": "msoftdrop",
    "stored_constituents": "nConstituents",
    "tau1": "tau1",
    "tau2": "tau2",
    "tau3": "tau3",
    "tau4": "tau4",
    "particlenet_H4q": "particleNet_H4qvsQCD",
    "particlenet_Hbb": "particleNet_HbbvsQCD",
    "particlenet_Hcc": "particleNet_HccvsQCD",
    "particlenet_QCD": "particleNet_QCD",
    "particlenet_T": "particleNet_TvsQCD",
    "particlenet_W": "particleNet_WvsQCD",
    "particlenet_Z": "particleNet_ZvsQCD",
    "particlenet_mass": "particleNet_mass",
}
EVENT_BRANCHES = dict(zip(EVENT, ("run", "luminosityBlock", "event"), strict=True))


@dataclass(frozen=True)
class Branches:
    """The names that a file has for what is read of it; an optional branch may be missing."""

    candidates: str  # prefix
    jets: str  # prefix
    candidate_index: str  # of a link, the candidate within its event
    jet_index: str  # of a link, the jet within its event
    optional: frozenset[str]  # those of the optional branches that are there

    def of_candidates(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{self.candidates}_{name}" for name in names)

    def of_jets(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{self.jets}_{name}" for name in names)

    @property
    def filters(self) -> list[str]:
        """The filters of event quality that the file has."""
        return [name for name in FILTERS if name in self.optional]

    @property
    def selection(self) -> tuple[str, ...]:
        """What is asked of a jet, and what cannot be, in words."""
        jet, present = self.jets, self.filters
        absent = [name for name in FILTERS if name not in present]
        return (
            f"{jet}_pt > {LOWEST_PT:g} GeV, |{jet}_eta| < {HIGHEST_ETA:g}",
            f"{jet}_jetId tight with lepton veto",
            *([f"events that pass {', '.join(present)}"] if present else []),
            *([f"not in the file, so not asked for: {', '.join(absent)}"] if absent else []),
        )

    def needed(self) -> tuple[str, ...]:
        """Every branch to be read, the optional ones that are there among them."""
        links = (self.jet_index, self.candidate_index)
        return (
            *self.of_jets(JET_NEEDED),
            *self.of_candidates(CANDIDATE_NEEDED),
            *links,
            *sorted(self.optional),
        )


def shards(files: list[Path]) -> list[Shard]:
    """Output files of about 2 GB of events each, every one shared among the splits.

    Raises UserError for an empty file.
    """
    require_files(files)
    groups: list[list[Path]] = [[]]
    for path in files:
        size = sum(each.stat().st_size for each in groups[-1])
        if size and size + path.stat().st_size > OUTPUT_BYTES:
            groups.append([])
        groups[-1].append(path)
    return [Shard(ASPEN.splits, index, tuple(group)) for index, group in enumerate(groups)]


@contextmanager
def open_events(path: Path) -> Iterator[tuple[uproot.TTree, Branches]]:
    """The events of a file and how their branches are called; UserError for a missing branch."""
    with open_tree(path, (TREE,), (), "PFNano") as (tree, _):
        size = path.stat().st_size
        if tree.num_entries > size:  # a damaged byte made that number; nobody could read so many
            raise UserError(
                f"{path} claims {tree.num_entries} events in {size} bytes; it is damaged, download "
                "it again"
            )
        yield tree, branches(set(tree.keys()), path)


def branches(names: set[str], path: Path) -> Branches:
    """What is what among the branches `names`; raises UserError naming the one that is missing."""

    def has(prefix: str, columns: tuple[str, ...]) -> bool:
        return all(f"{prefix}_{column}" in names for column in columns)

    def collection(prefixes: tuple[str, ...], columns: tuple[str, ...], what: str) -> str:
        complete = [prefix for prefix in prefixes if has(prefix, columns)]
        # else the one that holds any of them, for the sentence
        partly = [p for p in prefixes if any(f"{p}_{column}" in names for column in columns)]
        if complete:
            return complete[0]
        prefix = (*partly, prefixes[0])[0]
        lacking = next(column for column in columns if f"{prefix}_{column}" not in names)
        raise UserError(
            f"{path}: the tree {TREE} lacks the branch {prefix}_{lacking} of the {what}; PFNano "
            "with all candidates and AK8 jets is needed"
        )

    jets = collection(JETS, JET_NEEDED, "AK8 jets")
    candidates = collection(CANDIDATES, CANDIDATE_NEEDED, "candidates")
    for prefix in LINKS:
        columns = sorted(name[len(prefix) + 1 :] for name in names if name.startswith(f"{prefix}_"))
        candidate = [name for name in columns if CANDIDATE_INDEX.fullmatch(name)]
        jet = [name for name in columns if JET_INDEX.fullmatch(name)]
        if candidate and jet:
            break
    else:
        raise UserError(
            f"{path}: no branches say which candidates an AK8 jet has ({LINKS[0]}_jetIdx with "
            f"{LINKS[0]}_pFCandsIdx or {LINKS[0]}_candIdx); make the file with the constituents "
            "of AK8 jets"
        )
    optional = {
        *FILTERS,
        *EVENT_BRANCHES.values(),
        *(f"{jets}_{name}" for name in JET_EXTRA.values()),
        *(f"{candidates}_{name}" for name in CANDIDATE_EXTRA),
    }
    return Branches(
        candidates,
        jets,
        f"{prefix}_{candidate[0]}",
        f"{prefix}_{jet[0]}",
        frozenset(optional & names),
    )


def count(path: Path) -> int:
    """AK8 jets in the file, before the selection."""
    with open_events(path) as (tree, names):
        (branch,) = names.of_jets(("pt",))
        parts = tree.iterate([branch], step_size=100 * EVENTS_AT_A_TIME, library="ak")
        return sum(int(ak.sum(ak.num(part[branch]))) for part in parts)


def read(path: Path, chunk_rows: int = EVENTS_AT_A_TIME) -> Iterator[JetChunk]:
    """The selected jets of one file, `chunk_rows` events at a time.

    Raises UserError on missing branches, numbers that are not finite, PUPPI weights outside 0-1,
    links to candidates or jets that the event does not have, and ids that no constituent has.
    """
    with open_events(path) as (tree, names):
        first_event = first_row = 0
        for arrays in tree.iterate(names.needed(), step_size=chunk_rows, library="ak"):
            jets = chunk(arrays, names, path, first_event, first_row)
            yield jets
            first_event += len(arrays)
            first_row += len(jets.rows) + sum(jets.rejected.values())


def chunk(
    arrays: ak.Array, names: Branches, path: Path, first_event: int, first_row: int
) -> JetChunk:
    """The selected jets of some events; rows count all AK8 jets of the file, from `first_row`."""
    found = select(arrays, names, path, first_event)
    size, candidate = jagged(
        arrays, names.of_candidates(CANDIDATE_NEEDED), path, first_event, "event"
    )
    index, owner = links(arrays, names, found.jets_of, size, path, first_event)
    taken = found.kept[owner]
    index, owner = index[taken], owner[taken]
    order = np.argsort(owner, kind="stable")
    index, owner = index[order], (np.cumsum(found.kept) - 1)[owner[order]]
    *momentum, pdg_id, weight = (
        candidate[name][index] for name in names.of_candidates(CANDIDATE_NEEDED)
    )
    rows = first_row + np.flatnonzero(found.kept)
    weight_key, id_key = (f"{names.candidates}_{name}" for name in ("puppiWeight", "pdgId"))
    require_weights(weight, rows[owner], path, weight_key, 0, "is this PFNano with PUPPI weights?")
    beside = [
        optional(arrays, name, names, len(candidate[id_key]))[index]
        for name in names.of_candidates(CANDIDATE_EXTRA)
    ]
    pt, eta, phi, mass = (part.astype(np.float64) for part in momentum)
    # rounding makes some masses slightly negative: those of massless candidates
    energy = np.hypot(pt * np.cosh(eta), np.maximum(mass, 0.0))
    cartesian = to_cartesian(np.stack([pt, eta, phi, energy], axis=-1))
    extra = {
        column: optional(arrays, f"{names.jets}_{branch}", names, len(found.kept))[found.kept]
        for column, branch in JET_EXTRA.items()
    }
    for column, branch in EVENT_BRANCHES.items():
        if branch in names.optional:
            extra[column] = ak.to_numpy(arrays[branch])[found.event]
    jets = weighted_jets(
        np.column_stack([cartesian, *beside, pdg_id, weight]),
        owner,
        found.direction,
        extra,
        rows,
        path,
        id_key,
    )
    jets.rejected, jets.selection = found.rejected, names.selection
    return jets


@dataclass(frozen=True)
class Selected:
    """Which AK8 jets of some events the paper would keep."""

    jets_of: np.ndarray  # (events,) all jets
    kept: np.ndarray  # (all jets,) whether a jet is kept
    event: np.ndarray  # (kept jets,) place of the event of each
    direction: np.ndarray  # (kept jets, 3) calibrated pt [GeV], eta, phi
    rejected: dict[str, int]  # how many are not kept, by the first reason that holds


def select(arrays: ak.Array, names: Branches, path: Path, first_event: int) -> Selected:
    """The jets of arXiv:2412.10504, Sec. II, among those of some events.

    Raises UserError on numbers that are not finite.
    """
    jets_of, jet = jagged(arrays, names.of_jets(JET_NEEDED), path, first_event, "event")
    event = np.repeat(np.arange(len(arrays)), jets_of)
    pt, eta, phi, jet_id = (jet[name] for name in names.of_jets(JET_NEEDED))
    good_event = np.ones(len(arrays), bool)
    if names.filters:
        flags = per_row(arrays, tuple(names.filters), path, first_event, "event")
        good_event = np.all([values != 0 for values in flags.values()], axis=0)
    identified = (jet_id.astype(np.int64) & TIGHT_LEPTON_VETO) == TIGHT_LEPTON_VETO
    kept, rejected = np.ones(len(pt), bool), {}
    for reason, passes in (
        ("jets of events that fail a filter", good_event[event]),
        (f"jets of pt <= {LOWEST_PT:g} GeV", pt > LOWEST_PT),
        (f"jets of |eta| >= {HIGHEST_ETA:g}", np.abs(eta) < HIGHEST_ETA),
        ("jets that fail the identification", identified),
    ):
        rejected[reason] = int(np.count_nonzero(kept & ~passes))
        kept &= passes
    direction = np.stack([pt, eta, phi], axis=-1)[kept]
    return Selected(jets_of, kept, event[kept], direction, rejected)


def links(
    arrays: ak.Array,
    names: Branches,
    jets_of: np.ndarray,
    size: np.ndarray,
    path: Path,
    first_event: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Candidate and jet of every link, counted through all events: two arrays (links,).

    Raises UserError where a link leads out of the jets (events,) or candidates (events,).
    """
    both = (names.jet_index, names.candidate_index)
    number, link = jagged(arrays, both, path, first_event, "event")
    event = np.repeat(np.arange(len(arrays)), number)
    places = []
    for name, length in zip(both, (jets_of, size), strict=True):
        local = link[name].astype(np.int64)
        wrong = (local < 0) | (local >= length[event])
        if wrong.any():
            where = int(np.argmax(wrong))
            raise UserError(
                f"{path}: {name} is {local[where]} in event {first_event + int(event[where])} "
                f"(counted from 0), which has {length[event[where]]} of them; the file does not "
                "hold all candidates of its jets"
            )
        places.append(local + (np.cumsum(length) - length)[event])
    owner, index = places
    return index, owner


def optional(arrays: ak.Array, name: str, names: Branches, length: int) -> np.ndarray:
    """All entries of a branch one behind the other, NaN (length,) where the file has none."""
    if name not in names.optional:
        return np.full(length, np.nan)
    return ak.to_numpy(ak.flatten(arrays[name]))
