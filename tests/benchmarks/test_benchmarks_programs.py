"""What the programs of benchmarks/ share."""

import argparse

import pytest

from benchmarks.programs import backbone


def test_a_backbone_is_a_name_or_an_existing_run_whose_path_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(argparse.ArgumentTypeError, match=r"best\.h5 not found; make it with"):
        backbone("run")
    (run / "best.h5").touch()
    assert backbone("run") == str(run)
    with pytest.raises(argparse.ArgumentTypeError, match="no such run directory"):
        backbone("nothing")
    (tmp_path / "small").mkdir()  # the name of a backbone that comes with the code has priority
    assert backbone("small") == "small"
