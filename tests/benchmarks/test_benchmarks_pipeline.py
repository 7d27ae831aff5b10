"""The input of several ranks of one node, measured by consumers that compute nothing."""

import json

import pytest

from benchmarks import pipeline


def test_every_consumer_gets_its_share_of_the_jets(tmp_path, capsys):
    out = tmp_path / "ranks.json"
    pipeline.main(
        ["--consumers", "2", "--jets", "1024", "--batch-size", "32", "--output", str(out)]
    )
    document = json.loads(out.read_text())
    assert list(document["measured"]) == ["gzip-1"]  # as preprocessing writes
    numbers = document["measured"]["gzip-1"]
    assert numbers["ranks"] == 2
    rates = [numbers[f"jets_per_second_of_rank_{rank}"] for rank in range(2)]
    assert min(rates) > 0
    # both ranks have the same share, so the slower one determines the total
    assert numbers["jets_per_second_in_total"] == pytest.approx(2 * min(rates))
    printed = capsys.readouterr().out
    assert "jets per second of rank 1" in printed
    assert "jets per second in total" in printed
