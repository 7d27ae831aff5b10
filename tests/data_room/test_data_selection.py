"""A sample of jets is drawn from the seed and balanced over classes and files."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from toy_jets import write_toy_dataset, write_toy_file

from omnilearn.config import Config
from omnilearn.data import reader
from omnilearn.data.catalogue import LHCO, TOP
from omnilearn.data.pipeline import Pipeline
from omnilearn.data.selection import (
    balanced_sample,
    equal_shares,
    proportional_shares,
    selected_jets,
    subset,
)
from omnilearn.fit import open_data
from omnilearn.runs import repeated

SPEC = replace(TOP, max_constituents=24)


def write_jets(path, label, released=False):
    """A file of jets of these classes in this order; their pT is the row in the file."""
    write_toy_file(path, SPEC, len(label), seed=1, released=released)
    with h5py.File(path, "r+") as file:
        file["pid"][...] = label
        file["jet"][:, 0] = np.arange(len(label))
    return path


@pytest.fixture(params=[False, True], ids=["ours", "released"])
def sorted_by_class(tmp_path, request):
    return [
        write_jets(tmp_path / f"{part}.h5", np.arange(600) >= 250, request.param)
        for part in range(3)
    ]


@pytest.fixture
def one_class_per_file(tmp_path):
    return [write_jets(tmp_path / f"{part}.h5", np.full(400, part % 2)) for part in range(4)]


def test_a_sample_of_sorted_rows_has_as_many_jets_of_every_class_and_file(sorted_by_class):
    files, rows = selected_jets(sorted_by_class, SPEC, 120)
    assert files.num_jets == len(rows) == 120
    assert np.bincount(files.labels()).tolist() == [60, 60]
    assert [len(rows) for _, rows in files.rows_per_file()] == [40, 40, 40]
    assert (np.diff(rows) > 0).all()


def test_a_sample_of_files_of_one_class_has_as_many_jets_of_every_file(one_class_per_file):
    files, _ = selected_jets(one_class_per_file, SPEC, 100)
    assert [len(rows) for _, rows in files.rows_per_file()] == [25] * 4
    assert np.bincount(files.labels()).tolist() == [50, 50]


def test_a_class_with_too_few_jets_is_replaced_by_the_other(tmp_path):
    path = write_jets(tmp_path / "few.h5", np.arange(500) < 7)
    files, _ = selected_jets([path], SPEC, 100)
    assert np.bincount(files.labels()).tolist() == [93, 7]


def test_classes_may_keep_their_shares():
    """As of data and simulation in an unfolding, where their ratio is a result."""
    label = np.tile(np.arange(500) < 100, 2).astype(int)
    rows = balanced_sample(label, [500, 500], [0, 1], 101, seed=0, keep_shares=True)
    assert abs(np.bincount(label[rows]) - [80.8, 20.2]).max() < 1
    assert sorted(np.bincount(rows // 500)) == [50, 51]


def test_another_seed_draws_other_jets_and_the_same_seed_the_same(sorted_by_class):
    first, again, other = (
        selected_jets(sorted_by_class, SPEC, 120, seed=seed)[1] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert len(np.intersect1d(first, other)) < 40  # 8 expected


def test_every_jet_of_a_class_is_drawn_with_the_same_probability():
    """Also the first and last rows of a file sorted by class."""
    label = np.repeat([0, 1], [300, 100])
    counts = np.zeros(400)
    for seed in range(400):
        counts[balanced_sample(label, [400], [0, 1], 40, seed)] += 1
    for rows, expected in ((slice(0, 300), 400 * 20 / 300), (slice(300, 400), 400 * 20 / 100)):
        assert counts[rows].mean() == pytest.approx(expected)
        tenths = counts[rows].reshape(10, -1).mean(axis=1)
        np.testing.assert_allclose(tenths, expected, rtol=0.2)


def test_the_selected_jets_are_those_rows_of_the_files(sorted_by_class):
    all_files, all_rows = selected_jets(sorted_by_class, SPEC)
    files, rows = selected_jets(sorted_by_class, SPEC, 120)
    assert all_rows is None
    for key, array in files.gather(np.arange(120)).items():
        np.testing.assert_array_equal(array, all_files.gather(rows)[key])
    np.testing.assert_array_equal(files.multiplicity, all_files.multiplicity[rows])
    rows_in_files = np.concatenate([rows for _, rows in files.rows_per_file()])
    np.testing.assert_array_equal(files.gather(np.arange(120))["jet"][:, 0], rows_in_files)
    batches = list(Pipeline(files, SPEC, 16).ordered())
    np.testing.assert_array_equal(
        np.sort(np.concatenate([batch["index"] for batch in batches])), np.arange(120)
    )


def test_weights_of_a_sample_have_the_mean_one_over_the_sample(tmp_path):
    path = write_jets(tmp_path / "a.h5", np.arange(300) >= 150)
    with h5py.File(path, "r+") as file:
        file["weight"][...] = np.linspace(1, 5, 300)
    files, _ = selected_jets([path], SPEC, 30)
    weights = [batch["weight"] for batch in Pipeline(files, SPEC, 10).ordered()]
    assert np.concatenate(weights).mean() == pytest.approx(1, rel=1e-5)


def test_a_limit_of_all_jets_or_more_selects_all(sorted_by_class):
    for limit in (1800, 5000):
        files, rows = selected_jets(sorted_by_class, SPEC, limit)
        assert (files.num_jets, rows) == (1800, None)


def test_classes_and_a_limit_together(sorted_by_class):
    files, rows = selected_jets(sorted_by_class, SPEC, 0, "top")
    assert files.num_jets == 3 * 350
    assert (files.labels() == 1).all()
    files, rows = selected_jets(sorted_by_class, SPEC, 30, "top")
    assert len(rows) == 30
    assert (files.labels() == 1).all()


def test_a_class_without_jets_is_named(tmp_path, capsys):
    path = write_jets(tmp_path / "a.h5", np.zeros(50, int))
    selected_jets([path], SPEC)
    message = capsys.readouterr().out
    assert "top: of the 50 jets" in message
    assert "none is of class top" in message
    mixed = write_jets(tmp_path / "b.h5", np.arange(50) % 2)
    selected_jets([mixed], SPEC, 1)
    assert "of the 1 jets" in capsys.readouterr().out
    selected_jets([mixed], SPEC, 2)
    assert not capsys.readouterr().out


def test_both_jets_of_an_event_are_selected_together(tmp_path):
    spec = replace(LHCO, max_constituents=24)
    path = tmp_path / "pairs.h5"
    events, width = 90, len(spec.jet_features)
    with h5py.File(path, "w") as file:
        file["data"] = np.ones((events, 2, 24, spec.num_features), np.float32)
        file["jet"] = np.ones((events, 2, width), np.float32)
        file["pid"] = (np.arange(events) >= 60).astype(np.int8)
    files, rows = selected_jets([path], spec, 31)
    assert len(rows) == 32
    np.testing.assert_array_equal(rows[1::2], rows[::2] + 1)
    assert not (rows[::2] % 2).any()
    assert np.bincount(files.labels()).tolist() == [16, 16]
    assert not (files.edges % 2).any()


def test_a_file_is_decompressed_for_many_jets_at_once(tmp_path, monkeypatch):
    """A tenth of the jets is read in runs of neighbours instead of one chunk per jet."""
    path = write_jets(tmp_path / "long.h5", np.arange(20_000) % 2)
    files, _ = selected_jets([path], SPEC, 2000)
    reads = []
    fill = reader.JetFiles._fill
    monkeypatch.setattr(reader.JetFiles, "_fill", lambda *all_: reads.append(1) or fill(*all_))
    files.gather(np.arange(2000))
    assert len(reads) < 200


def test_shares_are_as_equal_as_possible_and_add_up():
    rng = np.random.default_rng(0)
    assert equal_shares(np.array([5, 5, 5]), 9, rng).tolist() == [3, 3, 3]
    assert equal_shares(np.array([1, 50, 50]), 21, rng).tolist() == [1, 10, 10]
    assert equal_shares(np.array([0, 2, 1]), 3, rng).tolist() == [0, 2, 1]
    shares = equal_shares(np.array([9, 9, 9, 9]), 6, rng)
    assert sorted(shares.tolist()) == [1, 1, 2, 2]
    with pytest.raises(ValueError, match="4 of 3"):
        equal_shares(np.array([1, 2]), 4, rng)


def test_proportional_shares_add_up_in_spite_of_rounding():
    rng = np.random.default_rng(0)
    for available, total in (([10, 20, 30], 6), ([1, 1, 1], 2), ([7, 0, 93], 9), ([3, 5], 8)):
        shares = proportional_shares(np.array(available), total, rng)
        assert shares.sum() == total
        exact = np.array(available) * total / sum(available)
        assert (abs(shares - exact) < 1).all()


def test_repeats_are_trained_on_different_jets(tmp_path):
    """The spread of repeats includes that of the sample, where fewer than all jets are used."""
    write_toy_dataset(tmp_path, "top", {"train": 300, "val": 100}, files=2)
    config = Config(data=str(tmp_path), batch=10, train_jets=60, val_jets=20)
    rows = []
    for repeat in [*repeated(config, "top", 2), config]:
        training, validation = open_data(TOP, repeat)
        assert (training.num_jets, validation.num_jets) == (60, 20)
        rows.append(training.files.rows)
    assert not np.array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(rows[0], rows[2])  # seed 0 again


def test_a_subset_is_drawn_from_all_selected_rows():
    selected = np.arange(1000) % 3 == 0
    kept = subset(selected, 50, seed=2)
    assert kept.sum() == 50
    assert (selected | ~kept).all()
    assert kept[:500].sum() == pytest.approx(25, abs=20)
    np.testing.assert_array_equal(subset(selected, 500, seed=2), selected)
