"""The model, written in keras.ops, gives the numbers of the released code on JAX too."""

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import run_process
from released_numbers import stored

HERE = Path(__file__).parent
OUTPUTS = ("logits", "regression", "velocity")
PROGRAM = """
import sys
import keras
import numpy as np
from released_numbers import TINY, pet_with, stored

numbers = stored("forward_tiny")
pet = pet_with(numbers, TINY)
features, mask, jet, label, time = (
    numbers[f"in.{key}"] for key in ("features", "mask", "jet", "label", "t_pos")
)
outputs = pet.classify_and_velocity(features, mask, jet, time, label)
short = pet.classify(features[:4, :12], mask[:4, :12], jet[:4])[0]  # at most 11 constituents
np.savez(sys.argv[1], *map(np.asarray, outputs), short=np.asarray(short),
         backend=keras.backend.backend())
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_forward_pass_on_jax_equals_the_released_numbers(tmp_path):
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1]), *sys.path]),
    }
    run = run_process([sys.executable, "-c", PROGRAM, tmp_path / "jax.npz"], env=environment)
    assert run.returncode == 0, run.stderr
    numbers, noise = stored("forward_tiny"), stored("float64_check_tiny")
    with np.load(tmp_path / "jax.npz") as outputs:
        assert outputs["backend"] == "jax"
        for index, name in enumerate(OUTPUTS):
            difference = np.abs(outputs[f"arr_{index}"] - numbers[f"out.tpos.{name}"])
            largest = difference.reshape(len(difference), -1).max(axis=1)
            allowed = np.maximum(2e-5, 5 * noise[f"ref_float32_error_per_jet.tpos.{name}"])
            assert (largest <= allowed).all(), name
        np.testing.assert_allclose(outputs["short"], numbers["out.t0.logits"][:4], atol=2e-4)
