"""Batches have the right jets, equal steps on all ranks, and the same order for the same seed."""

import threading
import time
import tracemalloc

import h5py
import numpy as np
import pytest
from toy_jets import TOP40, write_toy_dataset, write_toy_file

from omnilearn.data.catalogue import JETCLASS, TOP
from omnilearn.data.layout import find_files
from omnilearn.data.pipeline import Pipeline, padded_lengths, prefetched
from omnilearn.data.reader import JetFiles
from omnilearn.errors import UserError

JETS = (517, 3, 260)  # in files of unequal length, the second shorter than a block
RANKS = [1, 2, 3, 5]
BATCH = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jets")
    for part, jets in enumerate(JETS):
        write_toy_file(folder / f"top_train_{part}.h5", TOP40, jets, seed=part)
    return folder


@pytest.fixture
def files(folder):
    with JetFiles(sorted(folder.glob("*.h5")), TOP40) as files:
        yield files


def epochs(files, size, epoch=0, **options) -> list[list[dict]]:
    """The batches of one epoch on each rank."""
    options = {"batch_size": BATCH, "window": 128, **options}
    return [
        list(Pipeline(files, TOP40, rank=rank, size=size, **options).epoch(epoch))
        for rank in range(size)
    ]


def indices(batches) -> np.ndarray:
    return np.concatenate([batch["index"] for batch in batches])


@pytest.mark.parametrize("size", RANKS)
def test_evaluation_has_every_jet_exactly_once_over_all_ranks(files, size):
    shares = [
        indices(Pipeline(files, TOP40, BATCH, rank, size, window=128).ordered())
        for rank in range(size)
    ]
    np.testing.assert_array_equal(np.sort(np.concatenate(shares)), np.arange(sum(JETS)))
    for share in shares:
        assert share.max() - share.min() == len(share) - 1


def test_evaluation_works_on_fewer_jets_than_a_batch_or_than_ranks(folder):
    with JetFiles([folder / "top_train_1.h5"], TOP40) as files:
        assert len(indices(Pipeline(files, TOP40, BATCH).ordered())) == 3
        shares = [list(Pipeline(files, TOP40, BATCH, rank, 5).ordered()) for rank in range(5)]
        assert sum(len(batch["index"]) for share in shares for batch in share) == 3


@pytest.mark.parametrize("size", RANKS)
def test_ranks_have_equal_steps_and_equal_slots_at_each_step(files, size):
    ranks = epochs(files, size)
    slots = [[batch["mask"].shape for batch in batches] for batches in ranks]
    assert slots == [slots[0]] * size
    assert len(slots[0]) == Pipeline(files, TOP40, BATCH, size=size).steps_per_epoch
    assert {shape[1] for shape in slots[0]} <= set(padded_lengths(40))


@pytest.mark.parametrize("size", RANKS)
def test_an_epoch_has_no_jet_twice_and_leaves_out_at_most_a_batch_per_rank(files, size):
    jets = np.concatenate([indices(batches) for batches in epochs(files, size)])
    assert len(np.unique(jets)) == len(jets)
    assert len(jets) >= sum(JETS) - size * BATCH - size


def test_the_jets_that_an_epoch_leaves_out_change(files):
    left_out = [
        set(range(sum(JETS))) - set(indices(epochs(files, 1, epoch, batch_size=100)[0]))
        for epoch in range(2)
    ]
    assert len(left_out[0]) == len(left_out[1]) == sum(JETS) % 100
    assert left_out[0] != left_out[1]


def test_epochs_differ_and_the_same_seed_gives_the_same_order(files):
    first, again = (indices(epochs(files, 1)[0]) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, indices(epochs(files, 1, epoch=1)[0]))
    assert not np.array_equal(first, indices(epochs(files, 1, seed=1)[0]))


def test_resuming_reads_no_completed_window(files, monkeypatch):
    pipeline = Pipeline(files, TOP40, BATCH, window=128)
    rows_read = []
    gather = files.gather
    monkeypatch.setattr(files, "gather", lambda rows: rows_read.append(len(rows)) or gather(rows))
    list(pipeline.epoch(0, start_step=pipeline.steps_per_epoch - 1))
    assert len(rows_read) == 1


def test_classes_and_files_are_mixed_in_a_batch(tmp_path):
    """Even with one class per file, as in the released JetClass, batches hold both."""
    for label in range(2):
        path = tmp_path / f"class_{label}.h5"
        write_toy_file(path, TOP40, 2000, seed=label, released=True)
        with h5py.File(path, "r+") as file:
            file["pid"][...] = label
    with JetFiles(sorted(tmp_path.glob("*.h5")), TOP40) as files:
        pipeline = Pipeline(files, TOP40, 128, window=1024)
        fractions = [batch["label"][:, 1].mean() for batch in pipeline.epoch(0)]
    assert 0.2 < min(fractions) < max(fractions) < 0.8


def test_slots_hold_the_stored_jet_standardised_and_padding_is_exactly_zero(files):
    stored = files.read(0, files.num_jets)
    constants = TOP40.normalisation
    for batch in epochs(files, 1)[0]:
        slots, real = batch["mask"].shape[1], batch["mask"].astype(bool)
        raw = stored["data"][batch["index"]]
        assert not raw[:, slots:].any()  # no constituent is cut off
        expected = (raw[:, :slots] - constants.feature_mean[:7]) / constants.feature_std[:7]
        np.testing.assert_allclose(
            batch["constituents"][..., :7][real], expected[real], rtol=1e-5, atol=1e-6
        )
        assert not batch["constituents"][~real].any()
        assert not batch["constituents"][..., 7:].any()  # no identity in this dataset
        np.testing.assert_array_equal(real, (raw[:, :slots] != 0).any(axis=-1))
        jet = (stored["jet"][batch["index"]] - constants.jet_mean) / constants.jet_std
        np.testing.assert_allclose(batch["jet"], jet, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(batch["label"], stored["pid"][batch["index"]])


def test_values_in_padded_slots_do_not_reach_a_batch(tmp_path):
    path = tmp_path / "top_train_000.h5"
    write_toy_file(path, TOP40, 64, seed=0)
    with h5py.File(path, "r+") as file:
        data, multiplicity = file["data"][()], file["multiplicity"][()]
        data[np.arange(40) >= multiplicity[:, None]] = 7.0
        file["data"][...] = data
    with JetFiles([path], TOP40) as files:
        for batch in Pipeline(files, TOP40, 16).epoch(0):
            assert not batch["constituents"][batch["mask"] == 0].any()


def test_identity_is_kept_where_it_is_stored(tmp_path):
    write_toy_dataset(tmp_path, "jetclass", {"train": 64})
    with JetFiles(find_files(tmp_path, JETCLASS, "train"), JETCLASS) as files:
        batch = next(Pipeline(files, JETCLASS, 16).epoch(0))
        stored = files.gather(batch["index"])["data"][:, : batch["mask"].shape[1]]
    np.testing.assert_array_equal(batch["constituents"][..., 7:], stored[..., 7:])
    assert {key: (array.ndim, array.dtype.name) for key, array in batch.items()} == {
        "constituents": (3, "float32"),
        "mask": (2, "float32"),
        "jet": (2, "float32"),
        "label": (2, "float32"),
        "weight": (1, "float32"),
        "index": (1, "int64"),
    }


@pytest.mark.parametrize("unit", [1e-7, 1e-45, 1e45])
@pytest.mark.parametrize("weighted", [True, False])
def test_the_scale_of_weights_does_not_matter(tmp_path, weighted, unit):
    write_toy_dataset(tmp_path, "top", {"train": 64})
    (path,) = find_files(tmp_path, TOP, "train")
    weight = unit * np.linspace(1, 3, 64)  # cross sections in some unit
    with h5py.File(path, "r+") as file:
        del file["weight"]
        file["weight"] = weight
    with JetFiles([path], TOP) as files:
        batches = list(Pipeline(files, TOP, 16, weighted=weighted).ordered())
    index = indices(batches)
    expected = weight[index] / weight.mean() if weighted else np.ones(64)
    weights = np.concatenate([batch["weight"] for batch in batches])
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


def test_weights_that_cancel_are_refused_in_training_but_not_in_evaluation(tmp_path):
    write_toy_dataset(tmp_path, "top", {"train": 64})
    (path,) = find_files(tmp_path, TOP, "train")
    with h5py.File(path, "r+") as file:
        file["weight"][...] = np.where(np.arange(64) % 2, 2.0, -2.0)
    with JetFiles([path], TOP) as files:
        pipeline = Pipeline(files, TOP, 16)
        weights = np.concatenate([batch["weight"] for batch in pipeline.ordered()])
        assert sorted(set(weights)) == [-1.0, 1.0]
        for refuse in (pipeline.require_weights, lambda: pipeline.steps_per_epoch):
            with pytest.raises(UserError, match="weights of all 64 top jets add up to 0"):
                refuse()


def test_a_dataset_of_released_files_gives_the_same_batches(tmp_path):
    for released in (False, True):
        write_toy_dataset(tmp_path / str(released), "top", {"train": 300}, released=released)
    batches = []
    for released in (False, True):
        with JetFiles(find_files(tmp_path / str(released), TOP, "train"), TOP) as files:
            batches.append(list(Pipeline(files, TOP, 64).epoch(0)))
    for ours, released in zip(*batches, strict=True):
        for key, array in ours.items():
            np.testing.assert_array_equal(array, released[key])


def test_jets_without_constituents_are_counted_and_left_out(tmp_path, capsys):
    path = tmp_path / "top_train_000.h5"
    write_toy_file(path, TOP40, 100, seed=0, released=True)
    with h5py.File(path, "r+") as file:
        for row in (4, 50, 99):
            file["data"][row] = 0.0
    with JetFiles([path], TOP40) as files:
        pipeline = Pipeline(files, TOP40, 10)
        jets = indices(pipeline.ordered())
        assert min(batch["mask"].sum(axis=1).min() for batch in pipeline.epoch(0)) > 0
    assert set(range(100)) - set(jets) == {4, 50, 99}
    assert capsys.readouterr().out.count("3 of 100 jets have no constituents") == 1


def test_one_length_switches_grouping_off(files):
    batches = epochs(files, 1, lengths=(40,))[0]
    assert {batch["mask"].shape for batch in batches} == {(BATCH, 40)}


def test_a_rank_without_a_full_batch_is_refused_before_training(files):
    pipeline = Pipeline(files, TOP40, batch_size=400, rank=1, size=3)
    message = "780 jets on 3 ranks are 260 per rank, less than one batch of 400; .* works is 260"
    with pytest.raises(UserError, match=message):
        pipeline.epoch(0)
    with pytest.raises(UserError, match="use fewer ranks"):
        _ = Pipeline(files, TOP40, batch_size=1, size=1000).steps_per_epoch


def test_errors_of_the_reading_thread_are_raised(tmp_path):
    path = tmp_path / "top_train_000.h5"
    write_toy_file(path, TOP40, 300, seed=0)
    with h5py.File(path, "r+") as file:
        file["data"][250, 0, 0] = np.nan
    with (
        JetFiles([path], TOP40) as files,
        pytest.raises(UserError, match="'data' is nan in row 250"),
    ):
        list(Pipeline(files, TOP40, 16, window=64).epoch(0))


def test_the_reading_thread_ends_when_the_batches_are_deleted(files):
    before = threading.active_count()
    batches = Pipeline(files, TOP40, BATCH, window=BATCH).epoch(0)
    next(batches)
    assert threading.active_count() == before + 1
    del batches
    assert threading.active_count() == before


def test_memory_is_a_few_windows_and_does_not_grow_with_the_files(tmp_path):
    path = tmp_path / "top_train_000.h5"
    write_toy_file(path, TOP40, 16 * 512, seed=0)
    window = 512 * 40 * 13 * 4  # bytes
    with JetFiles([path], TOP40) as files:
        pipeline = Pipeline(files, TOP40, BATCH, window=512)
        tracemalloc.start()
        for batch in pipeline.epoch(0):
            if batch["index"][0] % 4 == 0:  # lets the thread get as far ahead as it may
                time.sleep(0.01)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 3 * window


def test_prefetching_is_at_most_its_length_ahead():
    made = []
    items = prefetched((made.append(item) or item for item in range(100)), ahead=3)
    for item in items:
        assert item == 0 or len(made) <= item + 1 + 3 + 1  # held by the queue and the thread
    assert made == list(range(100))
