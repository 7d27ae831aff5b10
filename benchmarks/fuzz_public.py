"""A small file of toy jets in each public format, and its reader."""

from collections.abc import Callable
from pathlib import Path

import awkward as ak
import hdf5plugin
import numpy as np
import uproot
from safetensors.numpy import save_file

from benchmarks.fuzz_files import JETS, FileAndReader, toy_constituents
from omnilearn.data.catalogue import dataset
from omnilearn.hdf5 import new_file
from omnilearn.kinematics import from_cartesian, to_cartesian
from omnilearn.model.reference_weights import released_config
from omnilearn.tokens.published_weights import (
    published_gpt_config,
    published_parts,
    published_tokeniser_config,
    read_arrays,
)
from preprocessing import jetclass, jetnet30, qg, top

STORED = Path(__file__).parents[1] / "tests" / "data"
RELEASED = STORED / "PET_tiny_tf2141.weights.h5"
TOKEN_WEIGHTS = STORED / "omnijet_tiny.npz"  # weights and other arrays of the public code


def cartesian() -> np.ndarray:
    """Toy constituents (jets, 8, 4) px, py, pz, energy."""
    momenta = toy_constituents(np.random.default_rng(7))
    return to_cartesian(momenta.reshape(-1, 4)).reshape(momenta.shape)


def top_table(folder: Path) -> FileAndReader:
    """The layout 'table' of pandas, compressed with Blosc like the public file."""
    path, momenta = folder / "train.h5", cartesian()
    kind = [("index", "i8"), ("values_block_0", "f4", 804), ("values_block_1", "i8", 2)]
    rows = np.zeros(JETS, kind)
    rows["values_block_0"][:, :32] = momenta[..., [3, 0, 1, 2]].reshape(JETS, 32)
    rows["values_block_1"][:, 1] = np.arange(JETS) % 2
    with new_file(path, summed=False) as file:
        file.create_dataset("table/table", data=rows, chunks=(16,), **hdf5plugin.Blosc())
    return path, lambda path: list(top.read(path))


def jetnet_hdf5(folder: Path) -> FileAndReader:
    path, momenta = folder / "g.hdf5", cartesian()
    jet = from_cartesian(momenta.sum(axis=1))
    pt, eta, phi, _ = np.moveaxis(toy_constituents(np.random.default_rng(7)), -1, 0)
    stored = np.zeros((JETS, 30, 4), "f4")
    stored[:, :8] = np.stack(
        [eta - jet[:, 1:2], phi - jet[:, 2:3], pt / jet[:, :1], np.ones_like(pt)], axis=-1
    )
    with new_file(path, summed=False) as file:
        file["particle_features"] = stored
        file["jet_features"] = np.column_stack([jet[:, :2], np.full((JETS, 2), 8.0)]).astype("f4")
    return path, lambda path: list(jetnet30.read(path))


def qg_npz(folder: Path) -> FileAndReader:
    path = folder / "QG_jets.npz"
    particles = toy_constituents(np.random.default_rng(7))
    particles[..., 3] = 211
    np.savez_compressed(path, X=particles, y=np.arange(JETS) % 2.0)
    return path, lambda path: list(qg.read(path))


def jetclass_root(folder: Path) -> FileAndReader:
    path, momenta = folder / "HToBB_000.root", cartesian()
    jet = from_cartesian(momenta.sum(axis=1))
    columns = dict(zip(jetclass.MOMENTUM, np.moveaxis(momenta, -1, 0), strict=True))
    columns |= {name: np.zeros((JETS, 8)) for name in jetclass.IDENTITY}
    branches = {name: ak.from_regular(values.astype("f4")) for name, values in columns.items()}
    branches |= {name: jet[:, column].astype("f4") for column, name in enumerate(jetclass.JET)}
    branches |= {
        f"label_{name}": np.full(JETS, name == "Hbb") for name in dataset("jetclass").class_names
    }
    types = {
        name: values.type.content if isinstance(values, ak.Array) else values.dtype
        for name, values in branches.items()
    }
    with uproot.recreate(path) as file:
        file.mktree("tree", types)
        file["tree"].extend(branches)
    return path, lambda path: list(jetclass.read(path))


def released_weights(folder: Path) -> FileAndReader:
    path = folder / RELEASED.name
    path.write_bytes(RELEASED.read_bytes())
    return path, released_config


def token_arrays() -> dict[str, np.ndarray]:
    """Parameters of a tokeniser and a GPT by the names of the public code."""
    with np.load(TOKEN_WEIGHTS, allow_pickle=False) as stored:
        arrays = {
            name.removeprefix(prefix): stored[name]
            for name in stored.files
            for prefix in ("vq.w.", "gpt.w.")
            if name.startswith(prefix) and "class_head" not in name
        }
        return arrays | {"codebook.weight": stored["vq.in.codebook"]}


def token_weights(path: Path) -> list:
    """The arrays and architectures that a training reads from such a file."""
    source = str(path)
    parts = published_parts(read_arrays(path), source)
    gpt = published_gpt_config(parts.get("gpt", {}), source, 2)
    tokeniser = published_tokeniser_config(parts.get("tokeniser", {}), source, 2)
    return [parts, vars(gpt), vars(tokeniser)]


def token_npz(folder: Path) -> FileAndReader:
    path = folder / "omnijet.npz"
    np.savez(path, **token_arrays())
    return path, token_weights


def token_safetensors(folder: Path) -> FileAndReader:
    path = folder / "omnijet.safetensors"
    arrays = {name: np.ascontiguousarray(array) for name, array in token_arrays().items()}
    save_file(arrays, path)
    return path, token_weights


PUBLIC: dict[str, Callable[[Path], FileAndReader]] = {
    "top: HDF5 table, Blosc": top_table,
    "jetnet30: flat HDF5": jetnet_hdf5,
    "qg: npz": qg_npz,
    "jetclass: ROOT": jetclass_root,
    "released weights": released_weights,
    "published token weights: npz": token_npz,
    "published token weights: safetensors": token_safetensors,
}
