"""PFNano files of the jets in columns of Aspen Open Jets."""

from pathlib import Path

import awkward as ak
import numpy as np
from root_trees import write_tree

from omnilearn.kinematics import from_cartesian, invariant_mass
from preprocessing.pfnano import FILTERS
from preprocessing.puppi import CANDIDATE

FLOATS = ("d0", "d0Err", "dz", "dzErr", "puppiWeight")


def branches(columns: dict[str, np.ndarray], seed: int = 0) -> dict[str, ak.Array]:
    """Events with a few of the jets each, and as many candidates that belong to no jet.

    columns: PFCands, jet_kinematics and jet_tagging as in the HDF5 layout.
    """
    rng = np.random.default_rng(seed)
    jets = len(columns["jet_kinematics"])
    jets_of = np.diff([0, *np.sort(rng.choice(np.arange(1, jets), jets // 3, False)), jets])
    event_of_jet = np.repeat(np.arange(len(jets_of)), jets_of)
    candidates = columns["PFCands"].astype(np.float64)
    real = candidates[..., 3] > 0
    owner = np.nonzero(real)[0]
    flat = np.concatenate([candidates[real], candidates[real][rng.permutation(len(owner))]])
    owner = np.concatenate([owner, np.full(len(owner), -1)])  # -1: in no jet
    event = np.where(owner >= 0, event_of_jet[owner], rng.integers(0, len(jets_of), len(owner)))
    order = np.lexsort((rng.random(len(event)), event))
    flat, owner, event = flat[order], owner[order], event[order]
    size = np.bincount(event, minlength=len(jets_of))
    index = np.arange(len(event)) - (np.cumsum(size) - size)[event]

    momenta = from_cartesian(flat[:, :4])
    candidate = dict(zip(("pt", "eta", "phi"), momenta.T[:3], strict=True))
    candidate |= {"mass": invariant_mass(momenta)}
    candidate |= {name: flat[:, CANDIDATE.index(name)] for name in FLOATS}
    kinematics, tagging = columns["jet_kinematics"], columns["jet_tagging"]
    jet = dict(zip(("pt", "eta", "phi", "msoftdrop"), kinematics.T, strict=True))
    jet |= {f"tau{n}": tagging[:, n] for n in (1, 2, 3, 4)}
    result = {f"PFCands_{name}": ak.unflatten(np.float32(v), size) for name, v in candidate.items()}
    for name in ("charge", "pdgId"):
        values = flat[:, CANDIDATE.index(name)].astype(np.int32)
        result[f"PFCands_{name}"] = ak.unflatten(values, size)
    result |= {f"FatJet_{name}": ak.unflatten(np.float32(v), jets_of) for name, v in jet.items()}
    result["FatJet_jetId"] = ak.unflatten(np.full(jets, 6, np.int32), jets_of)
    inside = owner >= 0
    links = np.bincount(event[inside], minlength=len(jets_of))
    local = (owner - (np.cumsum(jets_of) - jets_of)[event])[inside]
    result["FatJetPFCands_jetIdx"] = ak.unflatten(local.astype(np.int32), links)
    result["FatJetPFCands_pFCandsIdx"] = ak.unflatten(index[inside].astype(np.int32), links)
    result |= {name: np.ones(len(jets_of), bool) for name in FILTERS}
    result["run"] = np.full(len(jets_of), 278820, np.uint32)
    result["luminosityBlock"] = np.arange(len(jets_of))
    result["event"] = np.uint64(2**33 + np.arange(len(jets_of)))
    return result


def write(path: Path, arrays: dict[str, ak.Array]) -> Path:
    """A ROOT file with the tree Events of these branches, without those that are None."""
    return write_tree(path, "Events", arrays)


def one_jet(branch: ak.Array, event: int, jet: int, value: float) -> ak.Array:
    """The branch with another value for one entry of one event."""
    counts = ak.num(branch)
    flat = ak.to_numpy(ak.flatten(branch)).copy()
    flat[int(ak.sum(counts[:event])) + jet] = value
    return ak.unflatten(flat, counts)
