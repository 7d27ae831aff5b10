"""JetClass from its archives and in all arrangements of folders."""

import io
import os
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from commands import output_of, python, refusal_of
from tiny_models import tiny_and_eager

from omnilearn.data.catalogue import JETCLASS
from omnilearn.data.layout import find_files
from omnilearn.data.reader import JetFiles
from omnilearn.errors import UserError
from omnilearn.history import read_history
from preprocessing import jetclass, jetclass_files
from preprocessing.sources import RemoteFile

PUBLIC = {name: file for file, name in jetclass_files.CLASS_OF_FILE.items()}
TRAIN_PARTS = ("JetClass_Pythia_train_100M_part0.tar", "JetClass_Pythia_train_100M_part1.tar")
VAL, TEST = "JetClass_Pythia_val_5M.tar", "JetClass_Pythia_test_20M.tar"
# (archive, folder inside it, number of its files): two classes of one file each
CONTENT = (
    (TRAIN_PARTS[0], "", 0),
    (TRAIN_PARTS[1], "", 1),
    (VAL, "val_5M", 120),
    (TEST, "test_20M", 100),
)


def archive(path: Path, folder: str, files: list[Path]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for file in files:
            tar.add(file, str(Path(folder) / file.name))
    return path


def entry(tar: tarfile.TarFile, name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 4 if kind == tarfile.REGTYPE else 0
    tar.addfile(info, io.BytesIO(b"root"))


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def archives(write_jetclass, tmp_path, monkeypatch):
    """The folder with all archives in the public arrangement, complete as after a download."""
    contents = {}
    for name, folder, number in CONTENT:
        files = [
            write_jetclass(tmp_path / f"made/{PUBLIC[label]}_{number:03d}.root", label, 20, seed)
            for label, seed in (("QCD", number), ("Tbqq", 500 + number))
        ]
        contents[name] = archive(tmp_path / "raw" / name, folder, files)
    monkeypatch.setattr(
        jetclass,
        "REMOTE",
        tuple(
            RemoteFile(file.name, f"http://127.0.0.1:9/{file.name}", None, file.folder)
            for file in jetclass_files.REMOTE
            if file.name in contents
        ),
    )
    return tmp_path / "raw"


def test_all_twelve_archives_have_their_hash_and_their_folder():
    assert len({file.checksum for file in jetclass.REMOTE}) == len(jetclass.REMOTE) == 12
    assert {(file.checksum[:4], len(file.checksum)) for file in jetclass.REMOTE} == {("md5:", 36)}
    folders = [file.folder for file in jetclass.REMOTE]
    assert folders == ["train_100M"] * 10 + ["val_5M", "test_20M"]


@pytest.mark.slow
def test_the_public_archives_are_unpacked_converted_and_trained_on(
    archives, preprocess, tmp_path, convert
):
    assert "2 files in" in output_of(preprocess("download", "jetclass", "--out", archives))
    names = [name for name in files_in(archives) if name.endswith(".root")]
    assert names == sorted(
        f"{folder}/{file}_{number:03d}.root"
        for folder, numbers in (("train_100M", (0, 1)), ("val_5M", (120,)), ("test_20M", (100,)))
        for number in numbers
        for file in ("TTBar", "ZJetsToNuNu")
    )
    printed = convert("jetclass", "--out", tmp_path / "data")
    for split, jets in (("train", 80), ("val", 40), ("test", 40)):
        assert f"{split}: {jets // 20} public files" in printed
        with JetFiles(find_files(tmp_path / "data", JETCLASS, split), JETCLASS) as files:
            labels = files.read(0, files.num_jets)["pid"].argmax(axis=1)
        np.testing.assert_array_equal(np.bincount(labels, minlength=10)[[0, 8]], [jets / 2] * 2)
    with tiny_and_eager():
        line = "train.py jetclass --preset small --epochs 1 --batch 16 --warmup-epochs 0"
        code, out, message = python(line, "--data", tmp_path / "data", "--runs", tmp_path)
    assert (code, message) == (0, "")
    assert "80 training jets in 5 steps per epoch, 40 validation jets" in out
    (epoch,) = read_history(tmp_path / "jetclass")
    assert np.isfinite(epoch["validation"]["loss"])


def test_archives_that_were_unpacked_may_go_and_are_not_fetched_again(archives, preprocess):
    preprocess("download", "jetclass", "--out", archives)
    before = {path: path.stat().st_mtime_ns for path in archives.rglob("*.root")}
    for path in archives.glob("*.tar"):
        path.unlink()
    printed = output_of(preprocess("download", "jetclass", "--out", archives))
    assert printed.count("its 2 files are in") == 4
    assert {path: path.stat().st_mtime_ns for path in archives.rglob("*.root")} == before
    # a missing file needs the network
    next(iter(before)).unlink()
    assert "cannot be reached" in preprocess("download", "jetclass", "--out", archives)[2]


def test_unpacking_goes_on_where_it_stopped(archives, preprocess):
    folder = archives / "train_100M"
    shutil.copytree(
        archives.parent / "made", folder, ignore=shutil.ignore_patterns("TTBar*", "*_1*")
    )
    (folder / "ZJetsToNuNu_001.root").write_bytes(b"cut off")  # by another program
    _, printed, _ = preprocess("download", "jetclass", "--out", archives, "--files", "*train*")
    assert "part0.tar: 2 files in" in printed
    assert "1 of them new" in printed
    assert "part1.tar: 2 files in" in printed
    for path in folder.iterdir():
        assert path.read_bytes() == (archives.parent / "made" / path.name).read_bytes()


def test_an_archive_that_is_not_unpacked_is_never_left_out_in_silence(
    archives, preprocess, refused
):
    message = refused("jetclass")
    assert "2 of its 2 files are not unpacked and would be left out" in message
    assert f"python -m preprocessing download jetclass --out {archives} --files" in message
    # as `tar -xf` of all archives in one place leaves them, but for one
    preprocess("download", "jetclass", "--out", archives)
    for path in (archives / "train_100M").iterdir():
        path.rename(archives / path.name)
    splits = jetclass_files.files_per_split(archives)
    counts = {split: len(files) for split, files in splits.items()}
    assert counts == {"train": 4, "val": 2, "test": 2}
    (archives / "TTBar_001.root").unlink()
    message = refused("jetclass")
    assert f"{archives / TRAIN_PARTS[1]}: 1 of its 2 files are not unpacked" in message
    assert f"tar -xf {archives / TRAIN_PARTS[1]} -C {archives / 'train_100M'}" in message


@pytest.mark.parametrize(
    ("name", "kind", "link"),
    [
        ("../HToBB_000.root", tarfile.REGTYPE, ""),
        ("/tmp/HToBB_000.root", tarfile.REGTYPE, ""),
        ("HToBB_000.root", tarfile.SYMTYPE, "/etc/passwd"),
        ("HToBB_000.root", tarfile.LNKTYPE, "TTBar_000.root"),
        ("HToBB_000.root", tarfile.FIFOTYPE, ""),
    ],
)
def test_an_archive_with_paths_or_links_outside_is_refused(archives, preprocess, name, kind, link):
    with tarfile.open(archives / VAL, "w") as tar:
        entry(tar, "val_5M/TTBar_120.root")
        entry(tar, name, kind, link)
    message = refusal_of(preprocess("download", "jetclass", "--out", archives, "--files", "*val*"))
    assert message.count("\n") == 1
    assert repr(name) in message
    assert not [name for name in files_in(archives.parent) if "val_5M/" in name]
    assert not (archives.parent / "HToBB_000.root").exists()


def test_two_files_of_one_name_in_an_archive_are_refused(archives, preprocess):
    with tarfile.open(archives / VAL, "w") as tar:
        entry(tar, "val_5M/TTBar_120.root")
        entry(tar, "more/TTBar_120.root")
    message = preprocess("download", "jetclass", "--out", archives, "--files", "*val*")[2]
    assert "two files of one name" in message


def test_a_truncated_archive_leaves_complete_files_only(archives, preprocess):
    content = (archives / VAL).read_bytes()
    (archives / VAL).write_bytes(content[: len(content) // 2])
    message = refusal_of(preprocess("download", "jetclass", "--out", archives, "--files", "*val*"))
    assert f"{VAL} cannot be read" in message
    made = archives.parent / "made"
    for path in (archives / "val_5M").glob("*"):
        assert path.read_bytes() == (made / path.name).read_bytes()


def test_a_full_disk_is_reported_before_a_file_is_written(archives, preprocess, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    message = preprocess("download", "jetclass", "--out", archives)[2]
    assert "has 1000 bytes left, but JetClass_Pythia_train_100M_part0.tar unpacked needs" in message
    assert not [name for name in files_in(archives) if name.endswith(".root")]


class Interrupted:
    """A progress bar that raises KeyboardInterrupt in the middle of the second file."""

    def __init__(self, total, *_):
        self.rest = 0.6 * total

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Nothing."""

    def update(self, size):
        self.rest -= size
        if self.rest < 0:
            raise KeyboardInterrupt


def test_an_interruption_leaves_complete_files_and_the_next_run_goes_on(
    archives, preprocess, monkeypatch
):
    command = ("download", "jetclass", "--out", archives, "--files", "*val*")
    with monkeypatch.context() as patch:
        patch.setattr("preprocessing.archive.progress", Interrupted)
        patch.setattr("preprocessing.archive.BLOCK", 1000)
        assert "the same command goes on" in preprocess(*command)[2]
    assert [name for name in files_in(archives) if "val_5M/" in name] == [
        "val_5M/ZJetsToNuNu_120.root"
    ]
    assert "1 of them new" in preprocess(*command)[1]


@pytest.mark.parametrize(
    "arrangement",
    [
        ("train_100M/", "val_5M/", "test_20M/"),
        ("", "", ""),
        ("", "val_5M/", "test_20M/"),
        ("Pythia/train_100M/", "Pythia/val_5M/", "Pythia/test_20M/"),
        ("datasets/JetClass/Pythia/train_100M/",) + ("datasets/JetClass/Pythia/",) * 2,
        ("train/", "val/", "test/"),
        ("train_100M/part0/", "train_100M/val_5M/", "test_20M/"),
    ],
)
def test_every_arrangement_of_the_public_files_is_found(write_jetclass, tmp_path, arrangement):
    for folder, number in zip(arrangement, (99, 124, 119), strict=True):
        for name in ("ZToQQ", "WToQQ"):
            write_jetclass(tmp_path / f"{folder}{name}_{number:03d}.root", n=2, seed=number)
    splits = jetclass_files.files_per_split(tmp_path)
    numbers = {split: {path.stem[-3:] for path in files} for split, files in splits.items()}
    assert numbers == {"train": {"099"}, "val": {"124"}, "test": {"119"}}
    assert all(len(files) == 2 for files in splits.values())


def test_a_file_in_the_public_folder_of_another_split_is_refused(write_jetclass, tmp_path):
    path = write_jetclass(tmp_path / "val_5M/ZToQQ_090.root", n=2)
    with pytest.raises(UserError, match=r"is a file of train_100M by its number; move it there"):
        jetclass_files.files_per_split(tmp_path)
    (tmp_path / "simulation.json").touch()  # a large sample numbers its files further
    assert jetclass_files.files_per_split(tmp_path) == {"val": [path]}
    (tmp_path / "simulation.json").unlink()
    (tmp_path / "val_5M").rename(tmp_path / "val")
    assert list(jetclass_files.files_per_split(tmp_path)) == ["val"]


def test_split_folders_that_are_links_are_entered_once(write_jetclass, tmp_path):
    write_jetclass(tmp_path / "disk/a/ZToQQ_000.root", n=2)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/train_100M").symlink_to(tmp_path / "disk/a")
    (tmp_path / "raw/train_100M/again").symlink_to(tmp_path / "disk/a")
    splits = jetclass_files.files_per_split(tmp_path / "raw")
    assert splits == {"train": [tmp_path / "raw/train_100M/ZToQQ_000.root"]}
    os.remove(tmp_path / "disk/a/ZToQQ_000.root")
    (tmp_path / "disk/a/ZToQQ_000.root").symlink_to("gone.root")
    with pytest.raises(UserError, match="a link to one that is gone"):
        jetclass_files.files_per_split(tmp_path / "raw")


def test_a_run_without_a_split_that_training_needs_fails_with_a_remedy(
    write_jetclass, preprocess, tmp_path
):
    for number in (100, 120):
        write_jetclass(tmp_path / f"raw/ZToQQ_{number}.root", "Zqq", seed=number)
    arguments = ("jetclass", "--raw", tmp_path / "raw", "--out", tmp_path, "--workers", 1)
    status, printed, message = preprocess(*arguments)
    assert status == 2
    assert "train: no public files found" in printed
    assert "there are no train files of JetClass, which training needs" in message
    assert "--splits val test" in message
    assert preprocess(*arguments, "--splits", "val", "test")[0] == 0
    splits = [path.name for path in (tmp_path / "jetclass").iterdir() if path.is_dir()]
    assert sorted(splits) == ["test", "val"]
    assert "no train files" in preprocess(*arguments, "--splits", "train")[2]


def test_copies_of_a_file_are_refused_under_any_name(write_jetclass, refused, tmp_path):
    raw = tmp_path / "raw"
    first = write_jetclass(raw / "train_100M/ZToQQ_000.root", "Zqq", seed=1)
    write_jetclass(raw / "val_5M/ZToQQ_120.root", "Zqq", seed=2)
    shutil.copy(first, raw)
    message = refused("jetclass")
    assert f"{raw / 'ZToQQ_000.root'} and {first} are the same train file twice" in message
    # under another name, in another split
    (raw / "ZToQQ_000.root").rename(raw / "test_20M.root")
    (raw / "test_20M").mkdir()
    (raw / "test_20M.root").rename(raw / "test_20M/ZToQQ_100.root")
    message = refused("jetclass")
    assert "hold the same jets" in message
    assert "test_20M/ZToQQ_100.root" in message


def test_the_example_of_the_tutorial_is_shared_among_the_splits(
    write_jetclass, preprocess, refused, tmp_path
):
    names = np.array(JETCLASS.class_names)[np.arange(400) % 10]
    raw = tmp_path / "raw"
    write_jetclass(raw / "JetClass_example_100k.root", names, n=400)
    arguments = ("jetclass", "--raw", raw, "--workers", 1)
    rows = {}
    for seed in (0, 1):
        out = tmp_path / f"seed{seed}"
        output_of(preprocess(*arguments, "--out", out, "--seed", seed))
        for split in ("train", "val", "test"):
            with h5py.File(out / f"jetclass/{split}/jetclass_{split}_000.h5") as file:
                rows[seed, split] = file["source"][:, 1].tolist()
        all_rows = rows[seed, "train"] + rows[seed, "val"] + rows[seed, "test"]
        assert sorted(all_rows) == list(range(400))
        assert 280 < len(rows[seed, "train"]) < 360
    assert set(rows[0, "val"]) != set(rows[1, "val"])
    # the same jets may be in a numbered file
    write_jetclass(raw / "ZToQQ_100.root", "Zqq", seed=3)
    assert "may be those of ZToQQ_100.root" in refused(*arguments)
