"""A training with products of bfloat16 has nearly the same losses and the same files."""

import json
from dataclasses import replace

import numpy as np
import pytest
from keras import ops
from tiny_training import opened, tiny_trainer, write_jets

from omnilearn.config import Config
from omnilearn.generation.jet_generator import JetGenerator, JetGeneratorConfig
from omnilearn.model.checkpoint import build_pet, load_checkpoint
from omnilearn.model.precision import FULL, REDUCED, in_precision
from omnilearn.tokens.transformer import NormFormerBlock, PostNormBlock
from omnilearn.unfolding.deepsets import DeepSets, DeepSetsConfig

BATCH = 16
CONFIG = Config(epochs=2, batch=BATCH, lr=2e-3, warmup_epochs=0, mode="classifier")


@pytest.mark.slow
def test_a_training_in_bfloat16_has_similar_losses_and_float32_checkpoints(tmp_path):
    jets = write_jets(tmp_path / "jets", train=4 * BATCH, val=2 * BATCH)
    data = opened(jets, "train", BATCH), opened(jets, "val", BATCH)
    losses = {}
    for precision in (FULL, REDUCED):
        run = tmp_path / precision
        tiny_trainer(run, replace(CONFIG, precision=precision), data[0]).fit(*data)
        lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
        losses[precision] = [
            line[jets]["loss"] for line in lines for jets in ("training", "validation")
        ]
    assert losses[REDUCED] == pytest.approx(losses[FULL], rel=0.02)
    assert losses[REDUCED] != losses[FULL]
    checkpoints = [load_checkpoint(tmp_path / name / "last.h5") for name in (FULL, REDUCED)]
    for name in ("weights", "ema", "optimiser"):
        full, reduced = (
            {key: (array.dtype, array.shape) for key, array in getattr(checkpoint, name).items()}
            for checkpoint in checkpoints
        )
        assert full == reduced
    batch = next(data[1].ordered())
    pet = build_pet(checkpoints[1])
    exact, rounded = (np.asarray(in_precision(pet.call, each)(batch)) for each in (FULL, REDUCED))
    np.testing.assert_allclose(rounded, exact, atol=0.05 * np.abs(exact).max())


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def deepsets():
    network = DeepSets(DeepSetsConfig(widths=(8, 8), classifier_widths=(8,), max_constituents=5))
    return lambda: network.classify(normal(3, 5, 13), np.ones((3, 5), "float32"), normal(3, 4))[0]


def jet_generator():
    network = JetGenerator(JetGeneratorConfig(projection_dim=8, num_classes=2, layer_scale=1.0))
    network.jets.velocity.kernel.assign(normal(16, 4))
    return lambda: network(normal(3, 4), np.full((3, 1), 0.5, "float32"), normal(3, 2))


def gpt():
    block = PostNormBlock(8, 2)
    return lambda: block(ops.convert_to_tensor(normal(3, 5, 8)))


def tokeniser():
    block = NormFormerBlock(8, 2)
    block.second.kernel.assign(normal(8, 8))  # zero at the start
    return lambda: block(ops.convert_to_tensor(normal(3, 5, 8)), ops.ones((3, 5)))


@pytest.mark.parametrize("make", [deepsets, jet_generator, gpt, tokeniser])
def test_every_kind_of_network_uses_the_precision_and_returns_float32(make):
    network = make()
    exact, rounded = (np.asarray(in_precision(network, each)()) for each in (FULL, REDUCED))
    assert rounded.dtype == np.float32
    assert not np.array_equal(rounded, exact)
    np.testing.assert_allclose(rounded, exact, atol=0.05 * np.abs(exact).max())
