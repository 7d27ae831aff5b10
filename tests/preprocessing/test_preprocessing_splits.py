"""Splits: disjoint, seeded, independent of chunks; events and levels stay together."""

import errno
import os
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import h5py
import numpy as np
import pytest

from omnilearn.data.catalogue import CATALOGUE, LHCO, OMNIFOLD, QG
from omnilearn.data.reader import JetFiles
from omnilearn.errors import UserError
from preprocessing import jet_file
from preprocessing.jet_chunk import JetChunk, prepare, record_type
from preprocessing.jet_file import Provenance
from preprocessing.shuffle import Buckets
from preprocessing.sources import Shard, files_below

SHARES = (("train", 0.7), ("val", 0.2), ("test", 0.1))
ROWS = np.arange(100_000)


def split_of(rows, name="QG_jets.npz", seed=0):
    return Shard(SHARES, 0, ()).split_of(rows, Path(name), seed)


def test_no_folder_is_left_out_in_silence(tmp_path, monkeypatch):
    (tmp_path / "a.root").touch()
    assert files_below(tmp_path, ".root") == [tmp_path / "a.root"]
    (tmp_path / "more").symlink_to("unmounted")
    with pytest.raises(UserError, match=r"more is no file, or a link to one that is gone"):
        files_below(tmp_path, ".root")

    def forbidden(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", forbidden)
    with pytest.raises(UserError, match=r"cannot be listed \(Permission denied\), and its files"):
        files_below(tmp_path, ".root")


def test_every_row_has_one_split_in_the_requested_proportions():
    fractions = np.bincount(split_of(ROWS), minlength=3) / len(ROWS)
    np.testing.assert_allclose(fractions, [0.7, 0.2, 0.1], atol=0.005)  # 3 sigma: 0.0043


def test_the_name_of_a_file_may_be_any_bytes():
    assert set(split_of(ROWS[:100], os.fsdecode(b"r\xe9sum\xe9.root"))) == {0, 1, 2}


def test_the_split_of_a_row_does_not_depend_on_the_compression_of_its_file():
    compressed = split_of(ROWS, name="train.h5.gz")
    np.testing.assert_array_equal(compressed, split_of(ROWS, name="train.h5"))


def test_the_split_of_a_row_does_not_depend_on_the_chunk():
    np.testing.assert_array_equal(split_of(ROWS)[500:700], split_of(ROWS[500:700]))


def test_another_seed_or_file_gives_another_split():
    first = split_of(ROWS)
    for other in (split_of(ROWS, seed=1), split_of(ROWS, name="QG_jets_1.npz")):
        # independent splits agree in 0.7^2 + 0.2^2 + 0.1^2 of the rows
        assert np.mean(first == other) == pytest.approx(0.54, abs=0.01)


def jets(rows: int, jets_per_row: int, misses: bool = False) -> JetChunk:
    """Rows whose jet j of row i has pt 1000 + i + j / 10 and 1 + (i + j) % 3 equal constituents."""
    row, place = np.divmod(np.arange(rows * jets_per_row), jets_per_row)
    pt = 1000.0 + row + place / 10
    counts = 1 + (row + place) % 3
    if misses:
        counts[(row % 4 == 0) & (place == 0)] = 0
    owner = np.repeat(np.arange(len(counts)), counts)
    ones = np.ones(len(owner))
    shared = pt[owner] / counts[owner]
    return JetChunk(
        constituents=np.stack([shared, 0.1 * ones, 0 * ones, shared * np.cosh(0.1)], axis=1),
        counts=counts,
        jet=np.stack([pt, 0 * pt + 0.1, 0 * pt, pt * np.cosh(0.1)], axis=1),
        label=np.arange(rows) % 2,
        rows=np.arange(rows),
        identity=np.zeros((len(owner), 6), np.float32),
    )


def written(chunk: JetChunk, spec, path: Path) -> Path:
    prepared = prepare(chunk, spec, path)
    provenance = Provenance(spec.name, "train", 0, [], [])
    provenance.jets_per_class = np.bincount(prepared.records["label"], minlength=spec.num_classes)
    with Buckets(path.parent, len(prepared.records), spec, np.random.default_rng(1)) as buckets:
        buckets.scatter(prepared)
        jet_file.write(path, buckets, spec, provenance, lambda jets: None)
    return path


def test_the_jets_of_an_event_are_stored_and_read_together(tmp_path):
    path = written(jets(40, 2), LHCO, tmp_path / "train.h5")
    with h5py.File(path) as file:
        assert file["data"].shape == (40, 2, 279, 7)
        assert file["jet"].shape == (40, 2, 5)
        stored = file["jet"][:]
        row = file["source"][:, 1]
    np.testing.assert_allclose(stored[:, 0, 0], 1000 + row, rtol=1e-6)
    np.testing.assert_allclose(stored[:, 1, 0], 1000.1 + row, rtol=1e-6)
    with JetFiles([path], LHCO) as files:
        assert files.num_jets == 80
        assert (np.diff(files.edges) % 2 == 0).all()
        arrays = files.read(3, 9)  # from the middle of an event
        np.testing.assert_array_equal(arrays["jet"][:, 0], stored.reshape(80, 5)[3:9, 0])
        np.testing.assert_array_equal(arrays["jet"][:, 2], stored.reshape(80, 5)[3:9, 3])
        np.testing.assert_array_equal(arrays["pid"].argmax(1), np.repeat(row % 2, 2)[3:9])
        filled = (arrays["data"] != 0).any(-1).sum(-1)
        np.testing.assert_array_equal(filled, files.multiplicity[3:9])


def test_a_limit_cuts_no_event(tmp_path):
    path = written(jets(40, 2), LHCO, tmp_path / "train.h5")
    with JetFiles([path], LHCO, limit=5) as files:
        assert files.num_jets == 6


def test_an_event_that_the_detector_missed_is_kept_with_an_empty_jet(tmp_path):
    path = written(jets(40, 2, misses=True), OMNIFOLD, tmp_path / "train.h5")
    with h5py.File(path) as file:
        row = file["source"][:, 1]
        missed = file["reco_multiplicity"][:] == 0
        np.testing.assert_array_equal(missed, row % 4 == 0)
        assert not file["reco"][:][missed].any()
        assert not file["reco_jets"][:][missed].any()
        np.testing.assert_array_equal(file["gen_multiplicity"][:], 1 + (row + 1) % 3)
    for level, offset in (("reco", 0.0), ("gen", 0.1)):
        with JetFiles([path], OMNIFOLD, level=level) as files:
            jet_pt = files.read(0, 40)["jet"][:, 0]
        expected = np.where((row % 4 == 0) & (level == "reco"), 0, 1000 + row + offset)
        np.testing.assert_allclose(jet_pt, expected, rtol=1e-6)


def test_an_event_that_lacks_a_jet_is_left_out():
    prepared = prepare(jets(40, 2, misses=True), LHCO, Path("lhco"))
    assert prepared.dropped_empty == 10
    assert (prepared.records["source"][:, 1] % 4 != 0).all()
    assert len(prepared.features) == prepared.kept.sum()


def test_the_parts_of_a_chunk_are_prepared_like_the_chunk():
    chunk = jets(40, 1)
    chosen = np.arange(40) % 3 == 0
    spec = replace(QG, jet_pt_range=(500.0, 2000.0))
    single = prepare(chunk, spec, Path("qg"))
    parts = [prepare(chunk.take(mask), spec, Path("qg")) for mask in (chosen, ~chosen)]
    order = np.argsort(np.concatenate([part.records["source"][:, 1] for part in parts]))
    records = np.concatenate([part.records for part in parts])[order]
    np.testing.assert_array_equal(records, single.records)
    assert records.dtype == record_type(spec)
    assert sum(len(part.features) for part in parts) == len(single.features)


@pytest.mark.parametrize("spec", [QG, LHCO, OMNIFOLD], ids=lambda spec: spec.name)
def test_a_chunk_without_a_jet_of_a_split_is_empty(spec):
    chunk = jets(4, spec.jets_per_row)
    chunk.observables = np.ones((4, max(1, len(spec.levels)), len(spec.observables)))
    empty = prepare(chunk.take(np.zeros(4, bool)), spec, Path(spec.name))
    assert len(empty.records) == len(empty.features) == 0
    assert empty.records.dtype == record_type(spec)


def test_a_weight_beyond_float32_is_refused():
    chunk = jets(4, 1)
    chunk.weight = np.array([1.0, 1e39, 1.0, 1.0])
    spec = replace(QG, jet_pt_range=(500.0, 2000.0))
    with pytest.raises(UserError, match=r"qg: jet 1 .* has weight that are not finite in float32"):
        prepare(chunk, spec, Path("qg"))


@pytest.mark.parametrize("name", CATALOGUE)
def test_compressed_public_files_are_found_like_the_others(name, tmp_path):
    module = import_module(f"preprocessing.{name}")
    file = next((each.name for each in getattr(module, "REMOTE", ())), "")
    if Path(file).suffix not in (".h5", ".hdf5"):
        pytest.skip("no public HDF5 files")
    (tmp_path / f"{file}.gz").write_bytes(b"compressed")
    (shard,) = module.shards(tmp_path)
    assert shard.sources == (tmp_path / f"{file}.gz",)


@pytest.mark.parametrize(
    "name",
    [
        "test.h5.part",
        "test.h5.crdownload",
        "test.h5.1",
        "test.H5",
        "test.h5~",
        "more/test.h5",
        "top.tar.gz",
        "TOP.ZIP",
    ],
)
def test_what_may_hold_jets_and_is_not_read_is_listed(write_top, convert, tmp_path, name):
    write_top(tmp_path / "raw/train.h5")
    write_top(tmp_path / "raw/val.h5", seed=1)
    write_top(tmp_path / "raw" / name, seed=2)
    for other in ("train.json", "train.h5py", "__MACOSX/._train.h5", ".test.h5.0123.partial"):
        write_top(tmp_path / "raw" / other, seed=3)
    assert f"names are none of the public files of Top tagging: {name}\n" in convert("top")


def test_sources_and_converted_files_are_not_listed_as_left_out(
    write_jetclass, preprocess, tmp_path
):
    raw = tmp_path / "jetclass"  # below which the converted files are written, too
    write_jetclass(tmp_path / "elsewhere/HToBB_000.root", "Hbb")
    write_jetclass(raw / "val/HToBB_120.root", "Hbb", seed=1)
    (raw / "train").symlink_to(tmp_path / "elsewhere")
    for _ in range(2):
        status, printed, _ = preprocess("jetclass", "--raw", raw, "--out", tmp_path)
        assert status == 0
        assert "not read" not in printed


def test_public_files_are_not_mixed_with_the_converted_ones(write_top, preprocess, tmp_path):
    for split in ("train", "val"):
        with h5py.File(write_top(tmp_path / f"top/{split}/a.h5"), "w") as file:
            file["data"], file["pid"], file["global"] = np.zeros((3, 4, 4)), [0, 1, 1], np.zeros(3)
    status, _, message = preprocess("top", "--raw", tmp_path / "top", "--out", tmp_path)
    assert status == 2
    assert "top/train/a.h5 is a public file where the new files belong" in message
    assert "choose another --out" in message


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("top", "v0/train.h5"),
        ("jetclass", "train_100M/HToBB_000.ROOT"),
        ("qg", "QG_jets.npz.gz"),
        ("cms", "3341498/SIM300_Jet300_pT375-infGeV_0_compressed.hdf5"),
        ("atlas", "TRAIN.H5"),
        ("h1", "h1.tar.gz"),
        ("jetnet30", "t.h5"),
        ("jetnet150", "t.hdf5"),
        ("omnifold", "3548091.zip"),
        ("lhco", "events_anomalydetection_v2.hdf5"),
        ("aspen", "RunG_batch0.hdf5"),
    ],
)
def test_files_that_are_not_found_are_named_with_what_helps(tmp_path, refused, dataset, name):
    path = tmp_path / "raw" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"jets")
    message = refused(dataset)
    assert f"{name} (if they are among these: unpack archives, give files their" in message
    path.rename(path.with_name("notes.txt"))
    message = refused(dataset)
    assert "notes.txt" in message
    assert "if they" not in message


def test_a_folder_of_public_files_that_may_not_be_read_is_named(tmp_path, refused, monkeypatch):
    (tmp_path / "raw").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / "raw")
    assert f"--raw {tmp_path / 'raw'} may not be read; permit it with: chmod" in refused("top")
