"""The rates of sampling, measured with tiny models."""

import json

import pytest
from commands import python
from tiny_models import FewSteps, tiny_and_eager

from benchmarks import sampling
from omnilearn.tokens import recipes


@pytest.mark.slow
def test_every_kind_of_sampling_is_measured_printed_and_written(tmp_path):
    out = tmp_path / "sampling.json"
    tiny_tokens = {"tokeniser": {"dim": 8, "num_codes": 4}, "gpt": {"dim": 8, "num_heads": 2}}
    with tiny_and_eager() as patch:
        patch.setattr(sampling, "Solver", FewSteps)
        patch.setitem(recipes.TOKEN_ARCHITECTURES, "small", tiny_tokens)
        code, printed, error = python(
            "-m benchmarks sampling --size small --batch 2 --rounds 1 --out", out
        )
    assert not code, error
    result = json.loads(out.read_text())
    assert [(row["name"], row["slots"]) for row in result["rows"]] == [
        ("jet kinematics, 2 steps", 1),
        ("constituents by diffusion, 20 steps", 30),
        ("constituents by diffusion, 20 steps", 150),
        ("jets by the jet GPT", 128),
    ]
    device, *lines = printed.splitlines()
    assert device == f"device: {result['device']}"
    for line, row in zip(lines, result["rows"], strict=True):
        assert row["jets_per_second"] > 0
        assert f"{row['name']}, {row['slots']} slots: {row['jets_per_second']:.1f} jets/s" in line
