"""Small samples, simulated once per session."""

import argparse
from dataclasses import replace

import pandas as pd
import pytest
import uproot
from small_samples import CLEAN, JETS, jetclass_files

from simulation import jetclass, top
from simulation.runner import produce


@pytest.fixture(scope="session")
def jetclass_folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("jetclass")
    files = jetclass_files(out, JETS, 30, 30, per_file=1000)
    # validation and test jets of one class are enough
    files = [file for file in files if file.split == "train" or "ZToQQ" in file.path.name]
    produce(CLEAN, files, seed=1, workers=2)
    return out


@pytest.fixture(scope="session")
def jetclass_jets(jetclass_folder):
    """Training jets by class."""
    return {
        name: uproot.open(jetclass_folder / "train_100M" / f"{public}_000.root")["tree"].arrays()
        for name, public in jetclass.PUBLIC_NAMES.items()
    }


@pytest.fixture(scope="session")
def top_folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("top")
    arguments = argparse.Namespace(out=out, train=201, val=20, test=10, share=3)
    produce(replace(top.CARD, chunk_size=101), top.files(arguments), seed=1, workers=2)
    return out


@pytest.fixture(scope="session")
def top_table(top_folder):
    return pd.read_hdf(top_folder / "train.h5", key="table")
