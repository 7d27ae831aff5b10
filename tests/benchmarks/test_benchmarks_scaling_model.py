"""The model of many GPUs: no loss on one GPU, and a spread fitted to the loss of two ranks."""

import pytest

from benchmarks.scaling_model import (
    RESULTS,
    allreduce_seconds,
    efficiency,
    expected_maximum,
    fitted_spread,
    main,
)


def test_one_gpu_loses_nothing_and_more_lose_more():
    efficiencies = [efficiency(gpus, 1000, 256, 8e6, 0.02) for gpus in (1, 8, 32, 128)]
    assert efficiencies[0] == 1
    assert efficiencies == sorted(efficiencies, reverse=True)
    assert efficiencies[-1] > 0.9


def test_the_larger_of_two_normal_numbers_is_known():
    assert expected_maximum(2) == pytest.approx(0.5642, abs=0.02)  # 1 / sqrt(pi)


def test_a_ring_of_two_sends_every_byte_once():
    assert allreduce_seconds(2, 240e6) == pytest.approx(1e-3 + 20e-6)


def test_the_fit_gives_back_the_efficiency_it_was_made_from():
    row = {"ranks": 2, "efficiency": 0.9, "allreduce_share": 0.0, "megabytes_per_step": 8.0}
    spread = fitted_spread([row])
    assert 1 / (1 + spread * expected_maximum(2)) == pytest.approx(0.9)


def test_the_quoted_table_is_that_of_the_model(capsys):
    main([])
    table = capsys.readouterr().out.partition("\n")[2]
    assert table in (RESULTS.parents[1] / "docs" / "perlmutter.md").read_text()
    assert all(f"| {gpus} | 4000 |" in table for gpus in (8, 32, 128))
