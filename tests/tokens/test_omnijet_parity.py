"""GPT and tokeniser reproduce the stored arrays of the public OmniJet-alpha code to rounding."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from published_numbers import (
    TINY_GPT,
    TINY_TOKENISER,
    gpt_arrays,
    published_gpt,
    published_tokeniser,
)

from omnilearn.model.checkpoint import named_weights
from omnilearn.tokens.jet_gpt import (
    SUM_SCALE,
    OmniJet,
    OmniJetConfig,
    SummationHead,
    summed,
    targets,
)
from omnilearn.tokens.objectives import TokeniserObjective
from omnilearn.tokens.tokeniser import COLUMNS
from omnilearn.tokens.transformer import Dropout, NormFormerBlock
from omnilearn.training.gradients import with_gradients

NOISE = 1e-5  # for values of order one; the observed differences are below 2e-6


@pytest.fixture(scope="module")
def gpt(numbers):
    return published_gpt(numbers)


def gpt_inputs(numbers):
    """Tokens (B, S), next tokens (B, S), mask (B, S)."""
    tokens, following, mask = (numbers[f"gpt.in.{name}"] for name in ("tokens", "targets", "mask"))
    return tokens, following, mask.astype("float32")


def entropy_per_position(gpt, numbers):
    tokens, following, mask = gpt_inputs(numbers)
    return ops.sparse_categorical_crossentropy(following, gpt(tokens, mask), from_logits=True)


def test_hidden_states_of_the_gpt_are_the_published_ones(gpt, numbers):
    tokens, _, mask = gpt_inputs(numbers)
    hidden = np.asarray(gpt.hidden(tokens, mask))
    np.testing.assert_allclose(hidden, numbers["gpt.out.hidden"], atol=NOISE)
    without = np.asarray(gpt.hidden(tokens))
    np.testing.assert_allclose(without, numbers["gpt.out.hidden_without_mask"], atol=NOISE)
    np.testing.assert_allclose(without[mask > 0], hidden[mask > 0], atol=NOISE)


def test_logits_and_cross_entropy_are_the_published_ones(gpt, numbers):
    tokens, _, mask = gpt_inputs(numbers)
    np.testing.assert_allclose(gpt(tokens, mask), numbers["gpt.out.logits"], atol=NOISE)
    entropy = np.asarray(entropy_per_position(gpt, numbers))
    np.testing.assert_allclose(entropy, numbers["gpt.out.entropy_per_place"], atol=NOISE)
    assert entropy.mean() == pytest.approx(numbers["gpt.out.loss_over_all_places"], rel=1e-6)


def test_our_loss_is_the_published_entropy_of_the_real_positions(gpt, numbers):
    """The difference of FIDELITY.md: padded positions have no weight."""
    tokens, following, mask = gpt_inputs(numbers)
    constituents = mask[:, 1:]  # a sentence has one more token than constituents
    next_tokens, counted = targets(tokens, constituents, np.zeros(len(tokens), bool), TINY_GPT)
    np.testing.assert_array_equal(np.asarray(next_tokens)[mask > 0], following[mask > 0])
    np.testing.assert_array_equal(counted, mask)
    entropy = np.asarray(entropy_per_position(gpt, numbers))
    loss = (entropy * np.asarray(counted)).sum() / mask.sum()
    expected = numbers["gpt.out.entropy_per_place"][mask > 0].mean()
    assert loss == pytest.approx(expected, rel=1e-6)
    assert abs(loss - numbers["gpt.out.loss_over_all_places"]) > 0.01


def test_gradients_of_the_gpt_are_the_published_ones(gpt, numbers):
    named = named_weights(gpt)

    def losses(_):
        return {"loss": ops.mean(entropy_per_position(gpt, numbers))}

    _, gradients = with_gradients(losses, list(named.values()))({})
    expected = named_weights(published_gpt(numbers, "gpt.grad"))  # in our names and shapes
    assert len(gradients) == len(gpt_arrays(numbers)) == 3 + 3 * 13
    for name, gradient in zip(named, gradients, strict=True):
        published = np.array(expected[name])
        largest = np.abs(published).max()
        assert largest > 1e-4, name
        np.testing.assert_allclose(gradient, published, atol=2e-5 * largest, err_msg=name)


def test_class_logits_of_the_sum_over_real_positions_are_the_published_ones(gpt, numbers):
    tokens, _, mask = gpt_inputs(numbers)
    head = SummationHead(OmniJetConfig(TINY_TOKENISER, TINY_GPT, num_classes=2))
    head.logits.kernel.assign(SUM_SCALE * numbers["gpt.w.class_head.weight"].T)
    head.logits.bias.assign(numbers["gpt.w.class_head.bias"])
    logits = head(summed(gpt.hidden(tokens), mask))
    expected = numbers["gpt.out.class_logits_of_the_masked_sum"]
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=NOISE)


def test_logits_of_a_fresh_classifier_are_zero(numbers):
    tokens, _, mask = gpt_inputs(numbers)
    omnijet = OmniJet(OmniJetConfig(TINY_TOKENISER, TINY_GPT, num_classes=3))
    assert not np.asarray(omnijet.head(summed(omnijet.gpt.hidden(tokens), mask))).any()


def test_latents_codes_and_reconstruction_are_the_published_ones(numbers):
    tokeniser = published_tokeniser(numbers)
    features, mask = numbers["vq.in.features"], numbers["vq.in.mask"].astype("float32")
    latent = np.asarray(tokeniser.encoder(features, real=mask))
    np.testing.assert_allclose(latent, numbers["vq.out.latent"], atol=NOISE)
    code = np.asarray(tokeniser.encode(features, mask))
    np.testing.assert_array_equal(code, numbers["vq.out.code"])
    for restored in (tokeniser.decode(code, mask), tokeniser(features, mask)[0]):
        np.testing.assert_allclose(restored, numbers["vq.out.reconstruction"], atol=NOISE)


def test_our_reconstruction_term_is_the_published_one_of_the_real_slots(numbers):
    """The published mean runs over padded slots too, where both sides are zero."""
    tokeniser = published_tokeniser(numbers)
    features, mask = numbers["vq.in.features"], numbers["vq.in.mask"].astype("float32")
    features = 0.5 * features  # all within reach of the tokeniser
    assert np.abs(features[..., 1:]).max() < 3 * 0.8
    constituents = np.zeros((*mask.shape, 13), "float32")
    constituents[..., COLUMNS] = features
    batch = {
        "constituents": constituents,
        "mask": mask,
        "weight": np.ones(len(mask), "float32"),
        "constituents_per_jet": np.float32(mask.sum(axis=1).mean()),
    }
    reconstruction = float(TokeniserObjective(tokeniser).losses(batch)["reconstruction"])
    restored = np.asarray(tokeniser(features, mask)[0])
    over_all_slots = np.square(restored - features).mean()
    assert reconstruction == pytest.approx(over_all_slots * mask.size / mask.sum(), rel=1e-5)
    original = numbers["vq.in.features"]
    error = np.square(numbers["vq.out.reconstruction"] - original).mean()
    assert error == pytest.approx(numbers["vq.out.reconstruction_loss_over_all_slots"], rel=1e-6)


def test_a_fresh_block_of_the_tokeniser_is_the_identity():
    block = NormFormerBlock(8, 2)
    x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    real = np.float32([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    np.testing.assert_allclose(block(x, real=real), x * real[..., None], atol=1e-6)
    zero = {
        name
        for name, weight in named_weights(block).items()
        if not np.any(weight) and not name.endswith(("bias", "beta"))
    }
    assert zero == {"norm1.gamma", "second.kernel"}


@pytest.mark.slow
def test_dropout_depends_on_the_seed_of_a_training_batch_alone(numbers):
    tokeniser = published_tokeniser(numbers)
    objective = TokeniserObjective(tokeniser)
    rng = np.random.default_rng(0)
    batch = {
        "constituents": rng.normal(size=(4, 9, 13)).astype("float32"),
        "mask": numbers["vq.in.mask"].astype("float32"),
        "label": np.zeros((4, 1), "float32"),
        "weight": np.ones(4, "float32"),
    }
    training = objective.prepare(batch, np.random.default_rng(1), True, 4.0)
    other_seed = objective.prepare(batch, np.random.default_rng(2), True, 4.0)
    validation = objective.prepare(batch, np.random.default_rng(1), False, 4.0)
    compiled = tf.function(objective.losses)
    batches = (training, training, other_seed, validation)
    losses = [float(compiled(prepared)["loss"]) for prepared in batches]
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3
    assert "seed" not in validation


def test_dropout_leaves_the_mean_and_drops_a_tenth():
    drop = Dropout(0.1, np.int32([3, 4]))
    first, second = (np.asarray(drop(np.ones((200, 500), "float32"))) for _ in range(2))
    assert (first != second).any()
    assert first.mean() == pytest.approx(1.0, abs=0.01)
    assert (first == 0).mean() == pytest.approx(0.1, abs=0.01)
