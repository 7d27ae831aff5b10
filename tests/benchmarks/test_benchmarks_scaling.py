"""Weak scaling: the efficiency is the speed of a rank over that of a single rank in each round."""

import pytest

from benchmarks.scaling import combined, main
from omnilearn.errors import UserError


def measured(ranks: int, rate: float, share: float) -> dict:
    return {
        "ranks": ranks,
        "slots": 46,
        "jets_per_second": rate,
        "allreduce_share": share,
        "megabytes_per_step": 8.0,
    }


def test_the_efficiency_does_not_change_if_a_machine_slows_down_between_rounds():
    rounds = [[measured(1, rate, 0.0), measured(2, 1.8 * rate, 0.02)] for rate in (100, 60, 50)]
    single, two = combined(rounds)
    assert (single["efficiency"], single["jets_per_second"]) == (1.0, 60)
    assert two["efficiency"] == pytest.approx(0.9)
    assert two["jets_per_second"] == pytest.approx(108)
    assert two["megabytes_per_step"] == 8.0


def test_more_ranks_than_cores_are_refused(tmp_path):
    with pytest.raises(UserError, match="--ranks 100000: this machine offers"):
        main(["--ranks", "100000", "--out", str(tmp_path / "scaling.json")])
