"""Every dataset of the catalogue is simulated, preprocessed, trained on and evaluated.

The sample is in the layout of the public files, so what works here works on them.
"""

import gzip
import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
from commands import ROOT, output_of, python
from tiny_models import tiny_and_eager

from omnilearn.data.catalogue import CATALOGUE
from omnilearn.data.layout import find_files
from omnilearn.history import read_history
from omnilearn.statistics.results import Result, read_results

every_dataset = pytest.mark.parametrize("name", CATALOGUE)
# jets for a test split that has every class; the default is 100
SIZES = {
    "jetclass": "--jets-per-class 4 --val-jets-per-class 1 --test-jets-per-class 2",
    "jetnet30": "--jets 60",
    "jetnet150": "--jets 60",
    "lhco": "--jets 150",
}
ONE_STEP = "--preset small --epochs 1 --batch 16 --warmup-epochs 0 --train-jets 16"


@pytest.fixture(scope="module", autouse=True)
def tiny_preset():
    """The small preset even smaller, and no graph: tracing it takes longer than one step."""
    with tiny_and_eager():
        yield


@every_dataset
def test_every_dataset_has_a_reader_a_sample_and_tests_of_both(name):
    for path in (f"preprocessing/{name}.py", f"simulation/{name}.py"):
        assert (ROOT / path).is_file(), f"{path} is missing"
    # JetNet30 and JetNet150 differ in their slots alone and share a file of tests
    family = re.sub(r"\d+$", "", name)
    for folder in ("preprocessing", "simulation"):
        paths = [ROOT / "tests" / folder / f"test_{folder}_{stem}.py" for stem in {name, family}]
        tests = "".join(path.read_text() for path in paths if path.is_file())
        assert name in tests, f"no test in {paths[0].relative_to(ROOT)} names {name}"
    reader = import_module(f"preprocessing.{name}")
    assert all(callable(getattr(reader, part)) for part in ("shards", "count", "read"))


@pytest.mark.slow
@every_dataset
def test_a_simulated_sample_becomes_files_that_train_and_are_evaluated(name, tmp_path, monkeypatch):
    spec, sample = CATALOGUE[name], import_module(f"simulation.{name}")
    settings = (*sample.CARD.settings, "PartonLevel:MPI = off")  # several times faster
    monkeypatch.setattr(sample, "CARD", replace(sample.CARD, settings=settings))
    data, runs, raw = (tmp_path / folder for folder in ("data", "runs", "raw"))

    size = SIZES.get(name, "--jets 100")
    output_of(python(f"-m simulation {name} {size} --workers 1 --out", raw))
    output_of(python(f"-m preprocessing {name} --workers 1 --raw", raw, "--out", data))
    for split in ("train", "val", "test"):
        for path in find_files(data, spec, split):
            out = output_of(python("-m preprocessing check", path))
            assert re.search(r"^  origin: +simulated$", out, re.MULTILINE)
            assert out.endswith(f"fits {name}\n")
    require_same_jets_of_compressed_files(name, raw, data, tmp_path / "again")

    output_of(python(f"train.py {name} {ONE_STEP}", "--data", data, "--runs", runs))
    (line,) = read_history(runs / name)
    assert line["steps"] == 1
    assert np.isfinite(list(line["validation"].values())).all()
    output_of(python("evaluate.py", runs / name, "--batch", 16))
    results = read_results(runs / name / "results.json")
    measured = [result for result in results.values() if isinstance(result, Result)]
    assert (results["dataset"], results["data"]) == (name, "simulated")
    assert measured
    assert all(np.isfinite(result.value) and result.n > 0 for result in measured)
    assert (runs / name / "loss.png").is_file()


def require_same_jets_of_compressed_files(name: str, raw: Path, data: Path, again: Path):
    """HDF5 files may be gzip-compressed as a whole, under any name."""
    paths = list(raw.rglob("*.h5"))
    for path in paths:
        path.write_bytes(gzip.compress(path.read_bytes(), compresslevel=1))
    if paths:
        output_of(python(f"-m preprocessing {name} --workers 1 --raw", raw, "--out", again))
        for path in find_files(data, CATALOGUE[name], "train"):
            with h5py.File(path) as plain, h5py.File(again / path.relative_to(data)) as compressed:
                assert set(plain) == set(compressed)
                for key in plain:
                    np.testing.assert_array_equal(plain[key][:], compressed[key][:])


@pytest.mark.slow
def test_the_examples_of_a_dataset_of_your_own_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("jets.npz", momenta=two_kinds_of_jets(200), is_top=np.arange(200) % 2)
    write_ntuple("ntuple.root", two_kinds_of_jets(200), np.arange(200) % 2)
    text = (ROOT / "docs" / "own_dataset.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert all(len(example.splitlines()) < 30 for example in examples)
    (shell,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    for example in examples:
        exec(compile(example, "docs/own_dataset.md", "exec"), {"parts": []})
    path = "data/my_ntuple/train/my_ntuple_train_000.h5"
    assert output_of(python("-m preprocessing check", path)).endswith("fits my_ntuple\n")
    with h5py.File(path) as ntuple, h5py.File("data/my_tops/train/my_tops_train_000.h5") as arrays:
        assert ntuple["data"].shape[2] == 13
        assert arrays["data"].shape[2] == 7
    check, finetune, evaluate = (line.removeprefix("python ") for line in shell.splitlines())
    assert output_of(python(check)).endswith("fits my_tops\n")
    assert Path("inputs.pdf").is_file()
    output_of(python(f"{finetune} {ONE_STEP}"))
    output_of(python(evaluate, "--batch", 16))
    results = read_results(Path("runs/my_tops_scratch/results.json"))
    assert results["data"] == "own"
    assert results["auc"].n > 10


def write_ntuple(path: str, momenta: np.ndarray, is_top: np.ndarray) -> None:
    """A ROOT tree of jets with vectors of charged pions."""
    columns = dict(zip(("pt", "eta", "phi", "energy"), np.moveaxis(momenta, -1, 0), strict=True))
    columns["pdg_id"] = np.full(momenta.shape[:2], 211)
    branches = {name: ak.from_regular(values) for name, values in columns.items()}
    with uproot.recreate(path) as file:
        types = {name: values.type for name, values in branches.items()}
        file.mktree("jets", {**types, "is_top": "i4"})
        file["jets"].extend({**branches, "is_top": is_top.astype("i4")})


def two_kinds_of_jets(jets: int) -> np.ndarray:
    """Momenta (jets, 30, 4) of massless constituents, every second jet a wider one."""
    rng = np.random.default_rng(0)
    pt = rng.exponential(1.0, (jets, 30))
    pt *= 600 / pt.sum(axis=1, keepdims=True)
    width = np.where(np.arange(jets) % 2, 0.3, 0.1)[:, None]
    eta, phi = rng.normal(0, 1, (2, jets, 30)) * width
    return np.stack([pt, eta, phi, pt * np.cosh(eta)], axis=-1)
