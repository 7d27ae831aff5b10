"""The stored arrays of the public OmniJet-alpha code; a run of a tiny token model on toy jets."""

import pytest
from commands import output_of, python
from published_numbers import stored
from tiny_tokens import call, tiny_tokens
from toy_jets import write_toy_dataset


@pytest.fixture(scope="session")
def numbers():
    return stored()


@pytest.fixture(scope="module")
def small_and_eager():
    with tiny_tokens():
        yield


@pytest.fixture(scope="module")
def workdir(small_and_eager, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    write_toy_dataset(folder / "data", "aspen", {"train": 160, "val": 32, "test": 40})
    write_toy_dataset(folder / "data", "jetclass", {"train": 240, "val": 64, "test": 120})
    write_toy_dataset(folder / "data", "top", {"train": 64, "val": 32, "test": 64})
    return folder


@pytest.fixture(scope="module")
def run(workdir):
    output_of(call(workdir, "train.py aspen", "--epochs", 1, "--tokeniser-epochs", 2))
    return workdir / "runs" / "aspen_omnijet"


@pytest.fixture(scope="module")
def evaluated(run):
    return output_of(python("evaluate.py", run, "--batch", 40, "--rate"))
