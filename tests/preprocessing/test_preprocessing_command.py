"""The command: resuming, stopping, refusing, and the provenance in its files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import output_of, refusal_of
from flipped_bits import flip_bit

from omnilearn.hdf5_sums import attributes
from preprocessing import jet_file, source_digests
from preprocessing.__main__ import plan
from preprocessing.sources import Shard


@pytest.fixture
def raw(write_jetclass, tmp_path):
    for index in range(2):
        write_jetclass(tmp_path / f"raw/train/HToBB_00{index}.root", "Hbb", seed=index)
    return tmp_path / "raw"


@pytest.fixture
def arguments(raw, tmp_path):
    """Of the command that converts the training files, in this process."""
    return ("jetclass", "--splits", "train", "--raw", raw, "--out", tmp_path, "--workers", 1)


def contents(folder) -> dict:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.h5"))}


def test_a_second_run_keeps_what_is_complete(arguments, preprocess, tmp_path):
    preprocess(*arguments)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.h5")}
    printed = output_of(preprocess(*arguments))
    assert printed.count("is complete, from the same files and seed: kept") == 2
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.h5")}


def test_a_missing_or_damaged_output_alone_is_made_again(arguments, preprocess, tmp_path):
    preprocess(*arguments)
    before = contents(tmp_path)
    damaged = tmp_path / "jetclass/train/jetclass_train_001.h5"
    damaged.write_bytes(damaged.read_bytes()[:-5000])
    _, printed, _ = preprocess(*arguments)
    assert printed.count("kept") == 1
    assert contents(tmp_path) == before


def test_another_seed_or_another_source_makes_the_file_again(
    arguments, raw, write_jetclass, preprocess, tmp_path
):
    preprocess(*arguments)
    first = contents(tmp_path)
    _, printed, _ = preprocess(*arguments, "--seed", 1)
    assert "kept" not in printed
    assert contents(tmp_path).keys() == first.keys()
    assert all(contents(tmp_path)[name] != content for name, content in first.items())
    write_jetclass(raw / "train/HToBB_001.root", "Hbb", seed=77)
    _, printed, _ = preprocess(*arguments, "--seed", 1)
    assert printed.count("kept") == 1
    preprocess(*arguments)
    assert contents(tmp_path)["jetclass_train_000.h5"] == first["jetclass_train_000.h5"]


def test_files_of_an_earlier_larger_run_are_not_mixed_in(arguments, raw, preprocess):
    preprocess(*arguments)
    (raw / "train/HToBB_001.root").unlink()
    assert "jetclass_train_001.h5 is left from another run" in refusal_of(preprocess(*arguments))


def test_names_of_files_may_be_any_bytes(arguments, raw, preprocess, tmp_path):
    (raw / "train/HToBB_001.root").unlink()
    folder = raw / os.fsdecode(b"M\xfcnchen/train")
    folder.parent.mkdir()
    (raw / "train").rename(folder)
    assert preprocess(*arguments)[0] == 0
    with h5py.File(tmp_path / "jetclass/train/jetclass_train_000.h5") as file:
        assert attributes(file)["sources"].tolist() == [r"M\xfcnchen/train/HToBB_000.root"]
    assert "is complete" in preprocess(*arguments)[1]


def test_the_file_holds_its_provenance(arguments, preprocess, tmp_path):
    preprocess(*arguments, "--seed", 5)
    with h5py.File(tmp_path / "jetclass/train/jetclass_train_000.h5") as file:
        made = attributes(file)
        shapes = {name: file[name].shape for name in file}
    assert shapes == {
        "data": (50, 150, 13),
        "jet": (50, 4),
        "pid": (50, 10),
        "weight": (50,),
        "multiplicity": (50,),
        "source": (50, 2),
    }
    assert made["format"] == "omnilearn"
    assert (made["format_version"], made["seed"], made["split"]) == (1, 5, "train")
    assert list(made["sources"]) == ["train/HToBB_000.root"]
    assert made["classes"][1] == "Hbb"
    assert made["jets_per_class"].tolist() == [0, 50, 0, 0, 0, 0, 0, 0, 0, 0]
    assert made["features"][6] == "delta_r"
    assert made["units"] == "GeV, radians"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("jetklass", "--raw", "."), "unknown dataset 'jetklass'"),
        (("top", "--raw", "nowhere"), "is no folder"),
        (("top", "--raw", ".", "--seed", "-1"), "--seed is -1"),
        (("top", "--raw", ".", "--seed", str(2**70)), "it must be 0 to 4294967295"),
        (("top", "--raw", ".", "--workers", "0"), "--workers is 0"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_sentence(preprocess, flags, words):
    assert words in refusal_of(preprocess(*flags))


def test_the_output_must_be_a_folder(arguments, preprocess, tmp_path):
    (tmp_path / "jetclass").touch()
    assert "is a file, but a folder is needed" in refusal_of(preprocess(*arguments))


def test_a_damaged_file_of_one_process_stops_the_others(
    arguments, raw, write_jetclass, preprocess, tmp_path
):
    write_jetclass(raw / "train/HToBB_001.root", "Hbb", jet_phi=np.full(50, np.nan, np.float32))
    message = refusal_of(preprocess(*arguments, "--out", tmp_path / "out", "--workers", 2))
    assert "HToBB_001.root: jet_phi is not a finite number in jet 0" in message
    assert not [path for path in (tmp_path / "out").rglob(".*") if path.is_file()]


def test_a_full_disk_leaves_nothing(arguments, preprocess, tmp_path, monkeypatch):
    def full(self, data):
        self.error = OSError(28, "No space left on device")
        return len(data)

    monkeypatch.setattr(jet_file.Sink, "write", full)
    assert "the disk is full" in refusal_of(preprocess(*arguments, "--out", tmp_path / "out"))
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def command(folder: Path) -> list[str]:
    """The conversion of folder/raw to folder/out on two workers, for a process of its own."""
    flags = f"--splits train --workers 2 --raw {folder / 'raw'} --out {folder / 'out'}"
    return [sys.executable, "-m", "preprocessing", "jetclass", *flags.split()]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_leaves_no_partial_file(write_jetclass, tmp_path, stop):
    for index in range(2):
        write_jetclass(tmp_path / f"raw/train/HToBB_00{index}.root", "Hbb", n=20000, seed=index)
    with subprocess.Popen(command(tmp_path), stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not list((tmp_path / "out").rglob("train")):
            time.sleep(0.02)
        process.send_signal(stop)
        message = process.stderr.read()
    assert process.returncode == 2
    assert message.startswith(f"error: stopped by {stop.name}")
    assert message.count("\n") == 1
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert all(not path.name.startswith(".") for path in left)


def test_a_split_that_is_not_made_again_does_not_stay_beside_new_jets(
    write_top, preprocess, tmp_path
):
    command = ("top", "--raw", tmp_path / "raw", "--out", tmp_path, "--workers", 1)
    for seed, split in enumerate(("train", "val", "test")):
        write_top(tmp_path / f"raw/{split}.h5", n=20, seed=seed)
    assert preprocess(*command)[0] == 0
    (tmp_path / "raw/test.h5").rename(tmp_path / "raw/train.h5")
    before = (tmp_path / "top/train/top_train_000.h5").read_bytes()
    message = refusal_of(preprocess(*command))
    assert "top_test_000.h5 is left from another run, and this one makes no test split" in message
    assert (tmp_path / "top/train/top_train_000.h5").read_bytes() == before
    # without the training file, the old test jets are now training jets
    (tmp_path / "top/train/top_train_000.h5").unlink()
    assert preprocess(*command)[0] == 2
    (tmp_path / "top/test/top_test_000.h5").unlink()
    assert preprocess(*command)[0] == 0


def test_public_files_may_be_converted_one_after_the_other(write_top, preprocess, tmp_path):
    for seed, split in enumerate(("train", "val", "test")):
        write_top(tmp_path / f"{split}/{split}.h5", n=20, seed=seed)
        output_of(
            preprocess("top", "--raw", tmp_path / split, "--out", tmp_path, "--splits", split)
        )
    assert len(list((tmp_path / "top").rglob("*.h5"))) == 3


def flip_a_bit_of(path, key: str) -> None:
    """Flip a bit in the stored bytes of an array."""
    with h5py.File(path) as file:
        offset = file[key].id.get_chunk_info(0).byte_offset
    flip_bit(path, offset + 20)


@pytest.mark.parametrize("key", ["data", "pid", "weight"])
def test_an_output_with_a_flipped_bit_is_made_again(arguments, preprocess, tmp_path, key):
    preprocess(*arguments)
    before = contents(tmp_path)
    flip_a_bit_of(tmp_path / "jetclass/train/jetclass_train_001.h5", key)
    _, printed, _ = preprocess(*arguments)
    assert "jetclass_train_001.h5 does not hold what was written any more" in printed
    assert printed.count("kept") == 1
    assert contents(tmp_path) == before


def test_a_change_in_the_middle_of_a_source_is_noticed(arguments, raw, preprocess, tmp_path):
    preprocess(*arguments)
    source = raw / "train/HToBB_001.root"
    jobs = [plan("jetclass", [Shard.whole("train", 0, (source,))], raw, tmp_path, 0)]
    flip_bit(source, source.stat().st_size // 2)
    jobs += [plan("jetclass", [Shard.whole("train", 0, (source,))], raw, tmp_path, 0)]
    before, after = (job[0].outputs[0][1].fingerprints for job in jobs)
    assert before != after


def test_an_unchanged_source_is_not_read_again(arguments, preprocess, monkeypatch):
    preprocess(*arguments)
    monkeypatch.setattr(source_digests, "digest", lambda *_: pytest.fail("read again"))
    assert preprocess(*arguments)[1].count("kept") == 2


@pytest.mark.parametrize("record", ["no JSON", "[]", '{"a": 1}', "null"])
def test_an_invalid_record_of_sources_is_ignored(arguments, preprocess, tmp_path, record):
    preprocess(*arguments)
    (tmp_path / "jetclass/sources.json").write_text(record)
    assert preprocess(*arguments)[1].count("kept") == 2


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1.5, 4])
def test_the_workers_of_a_killed_preprocessing_end_with_it(write_jetclass, tmp_path, seconds):
    for index in range(6):
        write_jetclass(tmp_path / f"raw/train/HToBB_00{index}.root", "Hbb", n=4000, seed=index)
    parent = subprocess.Popen(
        command(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(seconds)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while running := processes_of(parent.pid):
        assert time.monotonic() < deadline, running
        time.sleep(0.2)


def processes_of(session: int) -> list[int]:
    """Running processes of a session."""
    processes = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session_of_process = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session_of_process) == session and state != "Z":
            processes.append(int(stat.parent.name))
    return processes


def test_the_check_finds_a_flipped_bit_and_names_the_remedy(arguments, preprocess, tmp_path):
    preprocess(*arguments)
    path = tmp_path / "jetclass/train/jetclass_train_000.h5"
    assert preprocess("check", path)[0] == 0
    content = path.read_bytes()
    flip_a_bit_of(path, "source")  # which is checked by its digest only
    message = refusal_of(preprocess("check", path))
    assert "does not hold what was written any more" in message
    assert "make it again with: python -m preprocessing jetclass" in message
    path.write_bytes(content[: len(content) // 2])
    message = refusal_of(preprocess("check", path))
    assert "truncated or damaged, make it again with what wrote it" in message
