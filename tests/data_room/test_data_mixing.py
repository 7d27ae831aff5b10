"""The plan of an epoch, without files: the rows of the batches, and that ranks agree."""

import numpy as np
import pytest

from omnilearn.data.mixing import EpochPlan, JetOrder, batch_groups, padded_lengths, windows

LENGTHS = (12, 19, 25, 40)


@pytest.fixture
def order():
    """1000 jets in blocks of unequal size, 15 of them empty."""
    rng = np.random.default_rng(0)
    multiplicity = rng.integers(1, 41, 1000).astype(np.uint8)
    multiplicity[rng.choice(1000, 15, replace=False)] = 0
    multiplicity[300:307] = 0  # an entire block
    edges = np.array([0, 1, 17, 100, 300, 307, 400, 640, 900, 1000])
    return JetOrder.of_files(edges, multiplicity)


@pytest.mark.parametrize("slots", [5, 21, 22, 30, 40, 100, 101, 150, 279])
def test_short_lengths_hold_a_neighbourhood_and_leave_one_in_the_padding(slots):
    lengths = padded_lengths(slots, neighbours=10)
    assert lengths[-1] == slots
    assert list(lengths) == sorted(set(lengths))
    assert all(11 <= length <= slots - 11 for length in lengths[:-1])


def test_jets_of_150_slots_have_seven_lengths():
    assert padded_lengths(150) == (26, 36, 46, 57, 71, 93, 150)


def test_rows_of_an_order_are_slices_of_all_its_rows(order):
    for jets in (order, order.shuffled(1, 2)):
        all_rows = jets.rows(0, len(jets))
        for start, stop in [(0, 1), (0, 0), (3, 3), (10, 400), (282, 283), (900, len(order))]:
            np.testing.assert_array_equal(jets.rows(start, stop), all_rows[start:stop])


def test_an_order_holds_every_jet_with_constituents_once(order):
    expected = np.flatnonzero(order.multiplicity)
    np.testing.assert_array_equal(order.rows(0, len(order)), expected)
    np.testing.assert_array_equal(np.sort(order.shuffled(0, 0).rows(0, len(order))), expected)


def test_windows_are_nearly_equal_and_cover_all_steps():
    for steps, per_window in [(1, 8), (8, 8), (9, 8), (100, 7)]:
        sizes = np.diff(windows(steps, per_window))
        assert sizes.sum() == steps
        assert sizes.max() <= per_window
        assert sizes.max() - sizes.min() <= 1


def test_a_batch_is_as_long_as_its_longest_jet():
    rng = np.random.default_rng(3)
    groups = np.sort(rng.integers(0, 4, 60))
    expected = [groups[start : start + 12].max() for start in range(0, 60, 12)]
    assert batch_groups(np.bincount(groups, minlength=4), 12).tolist() == expected


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_ranks_agree_on_slots_and_every_jet_fits(order, size):
    plan = EpochPlan(order, LENGTHS, 16, size, steps_per_window=4, seed=1, epoch=0)
    for window in range(plan.num_windows):
        batches = [plan.batches(window, rank) for rank in range(size)]
        slots = [[length for _, length in of_rank] for of_rank in batches]
        assert slots == [slots[0]] * size
        for rank, of_rank in enumerate(batches):
            rows = plan.rows(window, rank)
            indices = np.concatenate([batch for batch, _ in of_rank])
            assert sorted(indices) == list(range(len(rows)))
            for batch, length in of_rank:
                assert order.multiplicity[rows[batch]].max() <= length


def test_short_jets_share_short_batches():
    """Batches have about a third of the slots for the multiplicities of JetClass."""
    rng = np.random.default_rng(1)
    multiplicity = np.clip(rng.gamma(5.44, 7.71, 65536), 1, 150).astype(np.uint8)
    order = JetOrder.of_files(np.arange(0, 65537, 256), multiplicity)
    plan = EpochPlan(order, padded_lengths(150), 256, 4, steps_per_window=32, seed=0, epoch=0)
    slots = [length for window in range(plan.num_windows) for _, length in plan.batches(window, 0)]
    assert np.mean(slots) < 150 / 2.7
