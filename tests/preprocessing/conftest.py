"""Small files in the public layouts, and the command run in this process."""

import sys
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest
from commands import output_of, refusal_of
from flat_files import padded
from root_trees import write_tree

from omnilearn.data.catalogue import JETCLASS
from omnilearn.errors import run_cli
from omnilearn.kinematics import sum_constituents, to_cartesian, wrap_phi
from preprocessing.__main__ import main


@pytest.fixture
def toy_jets():
    """make(n, seed, pt): n jets, ragged, as (momenta (constituents, 4), counts, jets (n, 4))."""

    def make(n: int, seed: int = 0, jet_pt: float = 600.0):
        rng = np.random.default_rng(seed)
        counts = rng.integers(2, 40, n)
        total = counts.sum()
        owner = np.repeat(np.arange(n), counts)
        share = rng.exponential(1.0, total) + 0.01
        pt = jet_pt * share / np.bincount(owner, share)[owner]
        order = np.lexsort((-pt, owner))
        eta = rng.uniform(-1.5, 1.5, n)[owner] + rng.normal(0, 0.1, total)
        phi = wrap_phi(rng.uniform(-np.pi, np.pi, n)[owner] + rng.normal(0, 0.1, total))
        momenta = np.stack([pt[order], eta, phi, pt[order] * np.cosh(eta)], axis=-1)
        return momenta, counts, sum_constituents(padded(momenta, counts, 40))

    return make


@pytest.fixture
def write_jetclass(toy_jets):
    """write(path, class or class of each jet, n, seed, **branches to replace)."""

    def write(path: Path, label="QCD", n: int = 50, seed: int = 0, **replace) -> Path:
        momenta, counts, jets = toy_jets(n, seed)
        rng = np.random.default_rng(seed + 1000)
        kind = rng.integers(0, 5, len(momenta))
        flat = dict(zip(("px", "py", "pz", "energy"), to_cartesian(momenta).T, strict=True))
        flat["charge"] = np.where(kind == 0, rng.choice([-1, 1], len(momenta)), 0)
        names = ("ChargedHadron", "NeutralHadron", "Photon", "Electron", "Muon")
        branches = {f"part_{name}": ak.unflatten(np.float32(v), counts) for name, v in flat.items()}
        branches |= {
            f"part_is{name}": ak.unflatten((kind == i).astype(np.int32), counts)
            for i, name in enumerate(names)
        }
        of_jet = np.broadcast_to(np.asarray(label), n)
        # the public files mix float, bool and int labels
        stored_as = {"QCD": np.float32, "Hbb": bool, "Zqq": np.int32}
        for name in JETCLASS.class_names:
            branches[f"label_{name}"] = (of_jet == name).astype(stored_as.get(name, bool))
        for name, values in zip(("pt", "eta", "phi", "energy"), jets.T, strict=True):
            branches[f"jet_{name}"] = values.astype(np.float32)
        branches |= replace
        return write_tree(path, "tree", branches)

    return write


@pytest.fixture
def top_table(toy_jets):
    """make(n, seed): the 806 public columns of n jets, (n, 806) float64."""

    def make(n: int = 50, seed: int = 0) -> np.ndarray:
        momenta, counts, _ = toy_jets(n, seed)
        table = np.zeros((n, 806))
        slots = padded(to_cartesian(momenta)[:, [3, 0, 1, 2]], counts, 200)
        table[:, :800] = slots.reshape(n, 800)
        table[:, 805] = np.random.default_rng(seed).integers(0, 2, n)
        return table

    return make


@pytest.fixture
def write_top(top_table):
    """write(path, table): the bare HDF5 of a pandas table, as in the public files."""

    def write(path: Path, table: np.ndarray | None = None, n: int = 50, seed: int = 0) -> Path:
        table = top_table(n, seed) if table is None else table
        floats = table.shape[1] - 2
        kind = [("index", "i8"), ("values_block_0", "f4", floats), ("values_block_1", "i8", 2)]
        rows = np.zeros(len(table), kind)
        rows["index"] = np.arange(len(table))
        rows["values_block_0"], rows["values_block_1"] = table[:, :floats], table[:, floats:]
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file.create_dataset(
                "table/table", data=rows, maxshape=(None,), chunks=(16,), compression="gzip"
            )
        return path

    return write


@pytest.fixture
def preprocess(monkeypatch, capsys):
    """run(*arguments): the command; returns (exit status, standard output, standard error)."""

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["preprocessing", *map(str, arguments)])
        capsys.readouterr()
        status = run_cli(main)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.fixture
def convert(preprocess, tmp_path):
    """run(dataset, *flags): converts tmp_path / raw into tmp_path; what the command prints."""

    def run(dataset: str, *flags) -> str:
        folders = ("--raw", tmp_path / "raw", "--out", tmp_path)
        return output_of(preprocess(dataset, *folders, "--workers", 1, *flags))

    return run


@pytest.fixture
def refused(preprocess, tmp_path):
    """check(dataset, *flags): the conversion of tmp_path / raw fails with one sentence and leaves
    no file; the sentence."""

    def check(dataset: str, *flags) -> str:
        out = tmp_path / "refused"
        folders = ("--raw", tmp_path / "raw", "--out", out)
        message = refusal_of(preprocess(dataset, *folders, "--workers", 1, *flags))
        assert message.startswith("error: ")
        assert message.count("\n") == 1
        assert not [path for path in out.rglob("*") if path.is_file()]
        return message

    return check
