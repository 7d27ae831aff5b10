"""A step of accumulated batches equals one of a batch with all their jets."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from tiny_training import opened, set_scales_to_one, tiny_trainer, write_jets

from omnilearn.config import Config
from omnilearn.errors import UserError
from omnilearn.model.checkpoint import load_checkpoint, weight_arrays
from omnilearn.training.objective import PETObjective
from omnilearn.training.optimiser import cosine_schedule, optimiser_steps

pytestmark = pytest.mark.slow
BATCH, STEPS = 8, 3
CONFIG = Config(epochs=2, batch=BATCH, accumulate=2, lr=5e-3, warmup_epochs=0, checkpoint_every=1)


@pytest.fixture(scope="module")
def jets(tmp_path_factory):
    # seven batches: three steps of two, and one unused
    return write_jets(tmp_path_factory.mktemp("jets"), train=BATCH * (2 * STEPS + 1), val=9)


@pytest.fixture(scope="module")
def data(jets):
    return opened(jets, "train", BATCH), opened(jets, "val", BATCH)


class SharedDraws(PETObjective):
    """Random numbers drawn for all jets of a step, of which every batch takes its rows."""

    def prepare(self, batch, rng, training, constituents_per_jet):
        drawn = super().prepare(
            self.all_jets, np.random.default_rng(3), training, constituents_per_jet
        )
        rows = np.flatnonzero(np.isin(self.all_jets["index"], batch["index"]))
        return {name: value[rows] if np.ndim(value) else value for name, value in drawn.items()}


def descended(run, config: Config, all_jets: dict, batches: list[dict], training) -> tuple:
    """Weights before and after one step of plain descent, and the terms."""
    trainer = tiny_trainer(run, config, training)
    model = set_scales_to_one(trainer.objective.model)
    trainer.objective = SharedDraws(model, "all")
    trainer.objective.all_jets = all_jets
    trainer.optimiser = keras.optimizers.SGD(learning_rate=0.1)
    trainer.optimiser.build(trainer.variables)
    before = weight_arrays(model)
    terms = trainer.step(batches, training.constituents_per_jet)
    return before, weight_arrays(model), terms


@pytest.fixture(scope="module")
def halves(jets):
    """A batch of long jets and one of jets with at most nine constituents."""
    batch = next(iter(opened(jets, "train", 2 * BATCH).epoch(0)))
    order = np.argsort(-batch["mask"].sum(axis=1), kind="stable")
    batch = {name: value[order] for name, value in batch.items()}
    batch["mask"][BATCH:, 9:] = 0
    batch["constituents"] *= batch["mask"][:, :, None]
    parts = slice(BATCH), slice(BATCH, None)
    halves = [{name: value[part] for name, value in batch.items()} for part in parts]
    assert halves[0]["mask"].sum() > 1.5 * halves[1]["mask"].sum()
    return halves


@pytest.fixture(scope="module")
def together(halves):
    """The jets of both as one batch."""
    return {name: np.concatenate([half[name] for half in halves]) for name in halves[0]}


def test_two_accumulated_batches_equal_one_of_double_size(jets, halves, together, tmp_path):
    training = opened(jets, "train", 2 * BATCH)
    before, weights, terms = descended(tmp_path, CONFIG, together, halves, training)
    single = replace(CONFIG, batch=2 * BATCH, accumulate=1)
    _, expected, expected_terms = descended(tmp_path, single, together, [together], training)
    for name, value in expected_terms.items():
        assert terms[name] == pytest.approx(value, rel=1e-5), name
    assert max(np.abs(expected[name] - before[name]).max() for name in before) > 0.01
    for name, weight in expected.items():
        np.testing.assert_allclose(weights[name], weight, rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_constituent_has_the_same_weight_in_every_batch(jets, halves, together, tmp_path):
    training, single = opened(jets, "train", BATCH), replace(CONFIG, accumulate=1)
    double = replace(single, batch=2 * BATCH)
    expected = descended(tmp_path, double, together, [together], training)[1]
    single_halves = [descended(tmp_path, single, together, [half], training)[1] for half in halves]
    for name, weight in expected.items():
        mean = (single_halves[0][name] + single_halves[1][name]) / 2
        np.testing.assert_allclose(mean, weight, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, data):
    """A run that was never interrupted."""
    trainer = tiny_trainer(tmp_path_factory.mktemp("uninterrupted"), CONFIG, data[0])
    trainer.fit(*data)
    return trainer


def test_history_counts_steps_of_the_optimiser_and_all_their_jets(uninterrupted):
    for line in uninterrupted.position.history:
        assert (line["steps"], line["jets"]) == (STEPS, STEPS * 2 * BATCH)
    assert int(uninterrupted.optimiser.iterations) == CONFIG.epochs * STEPS


def test_the_rate_is_that_of_as_many_ranks_and_ends_at_zero(uninterrupted):
    assert uninterrupted.ranks == 1
    schedule = cosine_schedule(CONFIG.lr, 2, STEPS, CONFIG.epochs, 0)
    done = float(uninterrupted.optimiser.iterations)
    for step in (0, 1, done):
        assert float(schedule(step)) == pytest.approx(
            CONFIG.lr * 2**0.5 * (1 + np.cos(np.pi * step / done)) / 2, abs=1e-9
        )
    rate = float(uninterrupted.optimiser.learning_rate)
    assert rate == pytest.approx(float(schedule(done)), abs=1e-9)


def test_an_interrupted_run_of_accumulated_batches_ends_bit_for_bit_the_same(
    uninterrupted, data, tmp_path
):
    stopped = tiny_trainer(tmp_path, CONFIG, data[0])
    gradients, calls = stopped.gradients, []

    def interrupted(batch):
        calls.append(1)
        if len(calls) == 2 * STEPS + 4:  # between the two batches of the second epoch's second step
            raise KeyboardInterrupt
        return gradients(batch)

    stopped.gradients = interrupted
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(*data)
    resumed = tiny_trainer(tmp_path, CONFIG, data[0], seed=99)  # its first weights must not matter
    resumed.fit(*data)
    expected, last = (load_checkpoint(run / "last.h5") for run in (uninterrupted.run, tmp_path))
    for group in ("weights", "ema", "optimiser"):
        np.testing.assert_equal(getattr(last, group), getattr(expected, group))


def test_fewer_batches_than_one_step_are_refused():
    assert optimiser_steps(7, 2) == 3
    with pytest.raises(UserError, match="--accumulate is 3, but an epoch has 2 batches per rank"):
        optimiser_steps(2, 3)
