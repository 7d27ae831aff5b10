"""The shuffle with buckets: no jet is lost or doubled, and the order is random."""

from dataclasses import replace

import numpy as np
import pytest

from omnilearn.data.catalogue import TOP
from preprocessing import shuffle
from preprocessing.jet_chunk import PreparedJets, record_type
from preprocessing.shuffle import Buckets

SPEC = replace(TOP, num_features=3)


@pytest.fixture
def ordered_jets():
    """4000 jets whose weight and every feature of their 0-5 constituents is the jet's number."""
    records = np.zeros(4000, record_type(SPEC))
    records["weight"] = np.arange(4000)
    records["kept"][:, 0] = np.arange(4000) % 6
    features = np.repeat(records["weight"], records["kept"][:, 0])[:, None] * np.ones(3, np.float32)
    return PreparedJets(records, features.astype(np.float32))


def through_buckets(jets, folder, seed=1):
    with Buckets(folder, len(jets.records), SPEC, np.random.default_rng(seed)) as buckets:
        for rows in np.split(np.arange(len(jets.records)), 8):
            buckets.scatter(jets.take(rows))
        return list(buckets.shuffled())


@pytest.fixture(params=[128, 4])
def small_buckets(request, monkeypatch):
    """Fourteen buckets of 300 jets, or four of a thousand that are scattered once more."""
    monkeypatch.setattr(shuffle, "BUCKET_JETS", 300)
    monkeypatch.setattr(shuffle, "MOST_BUCKETS", request.param)


def test_every_jet_leaves_the_buckets_once_with_its_constituents(
    ordered_jets, tmp_path, small_buckets
):
    parts = through_buckets(ordered_jets, tmp_path)
    assert 14 <= len(parts) <= 16
    assert max(len(part.records) for part in parts) <= 600
    numbers = np.concatenate([part.records["weight"] for part in parts])
    np.testing.assert_array_equal(np.sort(numbers), np.arange(4000))
    for part in parts:
        owner = np.repeat(part.records["weight"], part.kept)
        np.testing.assert_array_equal(part.features, np.stack([owner] * 3, axis=-1))


def test_the_order_is_uniformly_random(ordered_jets, tmp_path, small_buckets):
    parts = through_buckets(ordered_jets, tmp_path)
    numbers = np.concatenate([part.records["weight"] for part in parts])
    # correlation of place and number, and its standard deviation 1/sqrt(n) for a random order
    assert abs(np.corrcoef(np.arange(4000), numbers)[0, 1]) < 4 / np.sqrt(4000)
    neighbours = np.corrcoef(numbers[1:], numbers[:-1])[0, 1]
    assert abs(neighbours) < 4 / np.sqrt(4000)


def test_the_seed_decides_the_order(ordered_jets, tmp_path):
    first, again, other = (through_buckets(ordered_jets, tmp_path, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0].records, again[0].records)
    assert (first[0].records != other[0].records).any()


def test_buckets_leave_no_file(ordered_jets, tmp_path):
    through_buckets(ordered_jets, tmp_path)
    assert list(tmp_path.iterdir()) == []
