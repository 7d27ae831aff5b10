"""The columns of the flat HDF5 files of ATLAS, JetNet and Aspen Open Jets, made of toy jets."""

from pathlib import Path

import h5py
import numpy as np

from omnilearn.kinematics import delta_phi, invariant_mass, to_cartesian

FILES = {
    "atlas": "train.h5",
    "jetnet30": "t.hdf5",
    "jetnet150": "t150.hdf5",
    "aspen": "RunG_batch0.h5",
}
JET_PT = {"atlas": 1000.0, "jetnet30": 1000.0, "jetnet150": 1000.0, "aspen": 400.0}  # GeV
IDS = (211, -211, 130, 22, 11, -13)


def padded(values: np.ndarray, counts: np.ndarray, slots: int) -> np.ndarray:
    """Values (constituents, ...) of jets with counts (jets,) as (jets, slots, ...)."""
    result = np.zeros((len(counts), max(slots, counts.max()), *values.shape[1:]))
    result[np.arange(result.shape[1]) < counts[:, None]] = values
    return result[:, :slots]


def atlas(momenta, counts, jets, rng) -> dict[str, np.ndarray]:
    pt, eta, phi, energy = momenta.T
    mev = {"pt": 1e3 * pt, "eta": eta, "phi": phi, "E": 1e3 * energy}
    jet_pt, jet_eta, jet_phi, _ = jets.T
    jet = {"pt": 1e3 * jet_pt, "eta": jet_eta, "phi": jet_phi, "m": 1e3 * invariant_mass(jets)}
    columns = {f"fjet_clus_{name}": padded(v, counts, 200) for name, v in mev.items()}
    columns |= {f"fjet_{name}": values for name, values in jet.items()}
    columns = {name: values.astype(np.float32) for name, values in columns.items()}
    labels = rng.integers(0, 2, len(jets))
    return columns | {"labels": labels, "weights": rng.uniform(0.1, 3, len(jets))}


def jetnet(momenta, counts, jets, slots: int) -> dict[str, np.ndarray]:
    owner = np.repeat(np.arange(len(jets)), counts)
    pt, eta, phi, _ = momenta.T
    jet_pt, jet_eta, jet_phi, _ = jets[owner].T
    relative = np.stack([eta - jet_eta, delta_phi(phi, jet_phi), pt / jet_pt, np.ones_like(pt)], -1)
    per_jet = [jets[:, 0], jets[:, 1], invariant_mass(jets), np.minimum(counts, slots)]
    return {
        "particle_features": padded(relative, counts, slots).astype(np.float32),
        "jet_features": np.stack(per_jet, axis=-1).astype(np.float32),
    }


def aspen(momenta, counts, jets, rng) -> dict[str, np.ndarray]:
    count = len(momenta)
    pdg_id = rng.choice(IDS, count)
    charge = np.select([np.abs(pdg_id) == 211, np.abs(pdg_id) < 14], [1, -1], 0) * np.sign(pdg_id)
    tracks = np.where(charge[:, None] != 0, rng.exponential(0.01, (count, 4)), -1.0)
    others = np.column_stack([charge, pdg_id, np.ones(count)])
    candidates = np.concatenate([to_cartesian(momenta), tracks, others], axis=1)
    return {
        "event_info": np.zeros((len(jets), 3), np.int64),
        "jet_kinematics": np.column_stack([jets[:, :3], np.full(len(jets), 77.0)]).astype("f4"),
        "jet_tagging": np.zeros((len(jets), 13), np.float32),
        "PFCands": padded(candidates, counts, 150).astype(np.float32),
    }


def columns(name: str, toy_jets, n: int = 50, seed: int = 0) -> dict[str, np.ndarray]:
    """The public columns of n toy jets (the fixture `toy_jets` makes them)."""
    toys, rng = toy_jets(n, seed, JET_PT[name]), np.random.default_rng(seed + 1000)
    if name.startswith("jetnet"):
        return jetnet(*toys, int(name.removeprefix("jetnet")))
    return {"atlas": atlas, "aspen": aspen}[name](*toys, rng)


def write(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """A compressed file of these columns, in small stored chunks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for key, values in arrays.items():
            chunks = (min(16, len(values)), *values.shape[1:]) if len(values) else None
            file.create_dataset(
                key, data=values, chunks=chunks, compression="gzip" if chunks else None
            )
    return path
