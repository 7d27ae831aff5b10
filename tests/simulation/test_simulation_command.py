"""The command: its output, its errors, resuming, and independent random streams."""

from dataclasses import replace
from itertools import chain
from pathlib import Path

import awkward as ak
import pandas as pd
import pytest
import uproot
from commands import output_of, python, refusal_of
from small_samples import CLEAN

from simulation import jetclass, top
from simulation.__main__ import parser
from simulation.generator import Generator
from simulation.plan import tasks
from simulation.runner import streams
from simulation.unfinished import NAME


def test_the_command_writes_three_tables_and_prints_their_paths(tmp_path, capfd):
    printed = output_of(python("-m simulation top --jets 6 --workers 1 --out", tmp_path / "top"))
    printed = printed.splitlines()
    assert len(printed) == 4
    assert capfd.readouterr().out == ""  # neither Pythia nor FastJet adds a banner
    assert printed[0] == f"wrote {tmp_path / 'top' / 'train.h5'} (6 jets)"
    assert printed[3].startswith("10 jets in ")
    assert [
        len(pd.read_hdf(tmp_path / "top" / f"{split}.h5", key="table"))
        for split in ("train", "val", "test")
    ] == [6, 2, 2]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["quarks", "--jets", "5"], "invalid choice: 'quarks'"),
        (["top", "--jets", "0"], "--jets: 0 is below 1"),
        (["top", "--jets", "many"], "invalid number value: 'many'"),
        (["top", "--jets", "5", "--val-jets", "-1"], "-1 is below 0"),
        (["top", "--jet", "5"], "the following arguments are required: --jets"),
        (["jetclass", "--jets-per-class", "-3"], "-3 is below 1"),
        (["jetclass", "--jets-per-class", "3", "--jets-per-file", "0"], "0 is below 1"),
        (["jetclass", "--jets-per-class", "3", "--workers", "0"], "0 is below 1"),
        (["jetclass", "--jets-per-class", "3", "--classes", "QCD,Top"], "'Top' is no class"),
        (["jetclass", "--jets-per-class", "3", "--seed", "-1"], "-1 is below 0"),
    ],
)
def test_a_wrong_flag_is_refused_in_one_sentence(tmp_path, arguments, complaint):
    code, out, err = python("-m simulation", *arguments, "--out", tmp_path / "new")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert complaint in err
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_simulating(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    message = refusal_of(python("-m simulation top --jets 5 --out", tmp_path / "file" / "top"))
    assert message.count("\n") == 1
    assert "cannot be written" in message


@pytest.mark.parametrize(
    ("arguments", "older"),
    [
        (["jetclass", "--jets-per-class", "5"], "train_100M/HToBB_001.root"),
        (["jetclass", "--jets-per-class", "5"], "test_20M/HToBB_101.root"),
        (["top", "--jets", "5", "--val-jets", "0"], "val.h5"),
    ],
)
def test_files_of_another_sample_are_not_mixed_in(tmp_path, arguments, older):
    (tmp_path / older).parent.mkdir(exist_ok=True)
    (tmp_path / older).touch()
    message = refusal_of(python("-m simulation", *arguments, "--out", tmp_path))
    assert str(tmp_path / older) in message


def test_sizes_of_validation_and_test_follow_the_training_jets(tmp_path):
    out = ["--out", str(tmp_path)]
    args = parser().parse_args(["jetclass", "--jets-per-class", "2000", *out])
    files = jetclass.files(args)
    assert sum(sum(file.jets) for file in files) == 24_000
    assert len(files) == 30
    args = parser().parse_args(["top", "--jets", "1200", "--test-jets", "10", *out])
    assert [sum(file.jets) for file in top.files(args)] == [1200, 400, 10]


def test_jets_of_a_class_do_not_depend_on_the_other_classes(tmp_path):
    def tasks_of_files(*classes: str) -> dict:
        flags = ["jetclass", "--jets-per-class", "400", "--out", str(tmp_path), *classes]
        files = jetclass.files(parser().parse_args(flags))
        paths = [file.path for file in files]
        return dict(zip(paths, tasks(jetclass.CARD, files, seed=1), strict=True))

    two, ten = tasks_of_files("--classes", "QCD,Tbqq"), tasks_of_files()
    assert {path.name.split("_")[0] for path in two} == {"ZJetsToNuNu", "TTBar"}
    assert len(two) == 6
    assert two.items() <= ten.items()


def test_no_two_tasks_share_a_random_stream(tmp_path):
    flags = ["jetclass", "--jets-per-class", "120000", "--jets-per-file", "28000"]
    args = parser().parse_args([*flags, "--out", str(tmp_path)])
    pythia, detector = [], []
    for task in chain(*tasks(jetclass.CARD, jetclass.files(args), seed=1)):
        for stream, (process, _) in enumerate(jetclass.CARD.streams()):
            if task.jets[process]:
                seed, rng = streams(task, stream)
                pythia.append(seed)
                detector.append(rng.random())
    assert len(pythia) > 1000
    assert len(set(pythia)) == len(set(detector)) == len(pythia)
    assert 1 <= min(pythia) <= max(pythia) <= 900_000_000


def test_tasks_of_a_file_add_up_to_its_jets(tmp_path):
    args = parser().parse_args(["top", "--jets", "1201", "--out", str(tmp_path)])
    files = top.files(args)
    for file, parts in zip(files, tasks(top.CARD, files, seed=1), strict=True):
        shares = [task.jets for task in parts]
        assert tuple(map(sum, zip(*shares, strict=True))) == file.jets
        assert all(sum(share) <= top.CARD.chunk_size + 1 for share in shares)


def test_a_setting_that_pythia_does_not_know_is_an_error(capfd):
    with pytest.raises(AssertionError, match="Nonsense:all"):
        Generator((*CLEAN.settings, "Nonsense:all = on"), seed=1)
    assert "Nonsense" in capfd.readouterr().out


@pytest.mark.slow
def test_a_killed_simulation_makes_only_the_missing_files(monkeypatch, tmp_path):
    names = ("train_100M/ZToQQ_000.root", "val_5M/ZToQQ_120.root", "test_20M/ZToQQ_100.root")
    started, printed = [], []

    def writer(path: Path):
        started.append(path)
        if len(started) == 2:
            raise KeyboardInterrupt
        return CLEAN.writer(path)

    def simulate(out: str, seed: int) -> list[list[float]]:
        flags = "--jets-per-class 4 --val-jets-per-class 3 --test-jets-per-class 2 --classes Zqq"
        flags += f" --workers 1 --seed {seed} --out {tmp_path / out}"
        status, *outputs = python(f"-m simulation jetclass {flags}")
        printed.append("".join(outputs))
        paths = [tmp_path / out / name for name in names if (tmp_path / out / name).exists()]
        assert status == (0 if len(paths) == 3 and not (tmp_path / out / NAME).exists() else 2)
        return [ak.to_list(uproot.open(path)["tree"]["jet_pt"].array()) for path in paths]

    monkeypatch.setattr(jetclass, "CARD", replace(CLEAN, writer=writer))
    stopped = simulate("stopped", seed=1)
    assert len(stopped) == 1
    assert "makes only the missing ones" in printed[-1]
    resumed = simulate("stopped", seed=1)
    assert len(started) == 4  # the first file was not made again
    assert "1 of 3 files are complete from an earlier run and kept" in printed[-1]
    assert resumed == simulate("uninterrupted", seed=1)
    # files of another seed are not kept
    started.clear()
    assert len(simulate("seeds", seed=1)) == 1
    assert simulate("seeds", seed=2)[0] != resumed[0]
    assert len(started) == 5
