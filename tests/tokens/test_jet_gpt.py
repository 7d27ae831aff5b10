"""Tokeniser and jet GPT: causality, padding, gradients of the codebook, losses and sampling."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from omnilearn.data.catalogue import ASPEN
from omnilearn.data.spec import FEATURES
from omnilearn.data.streams import JetStreams
from omnilearn.model.checkpoint import (
    load_checkpoint,
    model_weights,
    save_checkpoint,
    weight_arrays,
)
from omnilearn.tokens import objectives as token_objectives
from omnilearn.tokens import sampling as token_sampling
from omnilearn.tokens.jet_gpt import GPT, GPTConfig, OmniJet, OmniJetConfig, targets
from omnilearn.tokens.sampling import TokenSampler, TokenSettings, sampled_token
from omnilearn.tokens.token_models import fingerprint
from omnilearn.tokens.tokeniser import (
    COLUMNS,
    Tokeniser,
    TokeniserConfig,
    straight_through,
    token_inputs,
)
from omnilearn.training.random_streams import Stream

SLOTS, CODES = 12, 20
TOKENISER = TokeniserConfig(
    dim=8, num_blocks=1, num_heads=2, num_codes=CODES, max_constituents=SLOTS
)
SMALL_GPT = GPTConfig(dim=8, num_blocks=2, num_heads=2, num_codes=CODES, max_constituents=SLOTS)


@pytest.fixture(scope="module")
def omnijet():
    keras.utils.set_random_seed(0)
    model = OmniJet(OmniJetConfig(TOKENISER, SMALL_GPT, num_classes=3))
    for weight in model.gpt.weights:  # logits of an untrained GPT hardly differ
        weight.assign(4 * np.array(weight))
    kernel = model.head.logits.kernel  # zero before training
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    return model


def jets(count: int = 4) -> dict:
    rng = np.random.default_rng(0)
    multiplicity = rng.integers(1, SLOTS + 1, count)
    mask = (np.arange(SLOTS) < multiplicity[:, None]).astype("float32")
    constituents = rng.normal(size=(count, SLOTS, len(FEATURES))).astype("float32")
    constituents = np.clip(constituents, -2.3, 2.3)  # angles times 3: within 0.8
    return {
        "constituents": constituents * mask[..., None],
        "mask": mask,
        "label": np.eye(3, dtype="float32")[rng.integers(0, 3, count)],
        "weight": np.ones(count, "float32"),
        "constituents_per_jet": np.float32(6),
    }


def test_a_later_constituent_changes_no_earlier_logit(omnijet):
    tokens = np.random.default_rng(1).integers(0, CODES + 2, (3, SLOTS + 1))
    before = np.asarray(omnijet.gpt(tokens))
    for position in (1, 5, SLOTS):
        changed = tokens.copy()
        changed[:, position] = (changed[:, position] + 1) % CODES
        after = np.asarray(omnijet.gpt(changed))
        np.testing.assert_array_equal(after[:, :position], before[:, :position])
        assert (after[:, position:] != before[:, position:]).any()


def test_padded_slots_have_no_effect(omnijet):
    batch = jets()
    mask, empty = batch["mask"], 1 - batch["mask"][..., None]
    filled = {**batch, "constituents": batch["constituents"] + 7 * empty}
    tokens = np.asarray(omnijet.sentences(batch)[0])
    np.testing.assert_array_equal(omnijet.sentences(filled)[0], tokens)
    slots = int(mask.sum(axis=1).max())
    cut = {key: filled[key][:, :slots] for key in ("constituents", "mask")}
    np.testing.assert_array_equal(omnijet.sentences(cut)[0], tokens[:, : slots + 1])
    code = np.maximum(tokens[:, 1:] - 1, 0)
    decoded = np.asarray(omnijet.tokeniser.decode(code, mask))
    filled_code = np.where(mask > 0, code, CODES - 1)
    np.testing.assert_allclose(omnijet.tokeniser.decode(filled_code, mask), decoded, atol=1e-6)
    assert (decoded * empty == 0).all()
    np.testing.assert_allclose(omnijet.classify(filled), omnijet.classify(batch), atol=1e-5)


def test_constituents_beyond_reach_are_left_out_and_others_move_up(omnijet):
    batch = jets(3)
    batch["mask"][:] = 1
    expected = np.asarray(omnijet.sentences(batch)[0])
    constituents = batch["constituents"].copy()
    constituents[1, 4, 0] = -3 * 0.81  # eta_rel
    constituents[2, [0, 1], 1] = 3 * 0.8  # phi_rel, at the limit
    wide = {**batch, "constituents": constituents}
    features, mask = (np.asarray(array) for array in token_inputs(wide, TOKENISER))
    np.testing.assert_array_equal(mask.sum(axis=1), [SLOTS, SLOTS - 1, SLOTS - 2])
    for jet, slots in ((1, [4]), (2, [0, 1])):
        inside = np.delete(constituents[jet][:, COLUMNS], slots, axis=0)
        np.testing.assert_array_equal(features[jet, : len(inside)], inside)
        assert not features[jet, len(inside) :].any()
    tokens, _ = omnijet.sentences(wide)
    np.testing.assert_array_equal(tokens[0], expected[0])
    narrow = {"constituents": np.delete(constituents, [0, 1], axis=1), "mask": batch["mask"][:, 2:]}
    np.testing.assert_array_equal(tokens[2, : SLOTS - 1], omnijet.sentences(narrow)[0][2])


def test_a_code_is_the_nearest_vector_of_the_codebook(omnijet):
    latent = np.random.default_rng(2).normal(scale=0.05, size=(2, 5, 4)).astype("float32")
    codes = np.asarray(omnijet.tokeniser.codebook.codes)
    distance = ((latent[:, :, None] - codes) ** 2).sum(axis=-1)
    np.testing.assert_array_equal(omnijet.tokeniser.codebook(latent), distance.argmin(axis=-1))


def test_gradients_pass_the_codebook_straight_through():
    keras.utils.set_random_seed(3)
    tokeniser = Tokeniser(TOKENISER)
    rng = np.random.default_rng(3)
    mask = np.ones((2, 5), "float32")
    latent = tf.constant(rng.normal(size=(2, 5, 4)).astype("float32"))
    target = rng.normal(size=(2, 5, 3)).astype("float32")
    codes = tokeniser.codebook.codes

    def error(vectors):
        return tf.reduce_sum((tokeniser.decoder(vectors, real=mask) - target) ** 2)

    with tf.GradientTape() as tape:
        tape.watch(latent)
        code = tokeniser.codebook(latent)
        loss = error(straight_through(latent, tokeniser.codebook.vectors(code)))
    to_latent, to_codes = tape.gradient(loss, [latent, codes.value])
    # expected for the latents: the gradient of the decoder at the vectors
    vectors = tf.constant(np.asarray(codes)[np.asarray(code)])
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        loss = error(vectors)
    expected = np.asarray(tape.gradient(loss, vectors))
    np.testing.assert_allclose(to_latent, expected, rtol=1e-3, atol=1e-3)
    summed = np.zeros((CODES, 4))
    np.add.at(summed, np.asarray(code), expected)
    np.testing.assert_allclose(tf.convert_to_tensor(to_codes), summed, rtol=1e-3, atol=2e-3)


def test_commitment_moves_vectors_nine_times_as_much_as_latents():
    latent, vectors = tf.constant([[[1.0, 0.0]]]), tf.constant([[[0.0, 0.0]]])
    with tf.GradientTape() as tape:
        tape.watch([latent, vectors])
        value = tf.reduce_sum(token_objectives.commitment(latent, vectors, tf.ones((1, 1))))
    assert float(value) == pytest.approx(0.5)
    to_latent, to_vectors = tape.gradient(value, [latent, vectors])
    np.testing.assert_allclose(to_latent, [[[0.1, 0]]], rtol=1e-5)
    np.testing.assert_allclose(to_vectors, [[[-0.9, 0]]], rtol=1e-5)


def test_unused_codes_are_replaced_by_latents_of_jets(monkeypatch):
    monkeypatch.setattr(token_objectives, "REPLACE_EVERY", 2)
    tokeniser, batch = Tokeniser(TOKENISER), jets()
    objective = token_objectives.TokeniserObjective(tokeniser, seed=1)
    monkeypatch.setattr(
        objective,
        "latent_of",
        lambda batch: (
            tokeniser.encoder(batch["constituents"][..., :3], real=batch["mask"]),
            batch["mask"],
        ),
    )
    codes = tokeniser.codebook.codes
    codes.assign(np.full((CODES, 4), 50.0, "float32"))
    for step, used in ((1, 3), (2, 7)):
        gradient = np.zeros((CODES, 4), "float32")
        gradient[used] = 1.0
        objective.after_step(step, {"codebook.codes": gradient}, batch)
        if step == 1:
            assert (np.asarray(codes) == 50).all()
            assert np.flatnonzero(tokeniser.codebook.usage).tolist() == [3]
    unchanged = (np.asarray(codes) == 50).all(axis=1)
    assert np.flatnonzero(unchanged).tolist() == [3, 7]
    latents = objective.latents(batch)
    for code in np.asarray(codes)[~unchanged]:
        assert (np.abs(latents - code).max(axis=1) < 1e-6).any()
    assert not np.asarray(tokeniser.codebook.usage).any()


def test_a_sentence_ends_with_stop_unless_it_was_cut():
    tokens = np.array([[0, 5, 6, 0], [0, 1, 2, 3]])
    mask = np.float32([[1, 1, 0], [1, 1, 1]])
    config = GPTConfig(num_codes=CODES, max_constituents=3)
    was_cut = np.array([False, True])
    following, counted = (np.asarray(array) for array in targets(tokens, mask, was_cut, config))
    assert following[0, :3].tolist() == [5, 6, config.stop]
    assert following[1, :3].tolist() == [1, 2, 3]
    assert counted.tolist() == [[1, 1, 1, 0], [1, 1, 1, 0]]


@pytest.mark.parametrize("slots", [SLOTS, SLOTS // 2])  # of the model, and of a dataset with fewer
def test_the_loss_is_the_mean_cross_entropy_of_the_next_tokens(omnijet, slots):
    batch = jets(6)
    batch["constituents_per_jet"] = np.float32(batch["mask"].sum() / 6)
    loss = float(token_objectives.TokenObjective(omnijet, slots).losses(batch)["loss"])
    tokens = np.asarray(omnijet.sentences(batch)[0])
    logits = np.float64(omnijet.gpt(tokens))
    terms = []
    for jet, count in enumerate(batch["mask"].sum(axis=1).astype(int)):
        sentence = [*tokens[jet, 1 : count + 1], *([CODES + 1] if count < slots else [])]
        for position, token in enumerate(sentence):
            scores = logits[jet, position]
            terms.append(np.log(np.exp(scores).sum()) - scores[token])
    assert loss == pytest.approx(np.sum(terms) / (batch["mask"].sum() + 6), rel=1e-5)


def sampler_of(omnijet, spec, monkeypatch, **settings):
    """A sampler of this model without a run directory and without graphs."""
    monkeypatch.setattr(token_sampling, "compiled", lambda function: function)
    monkeypatch.setattr(token_sampling, "compiled_for_batches", lambda function, slots: function)
    monkeypatch.setattr(token_sampling, "CACHE_POSITIONS", 5)
    sampler = TokenSampler.__new__(TokenSampler)
    sampler.spec, sampler.seed, sampler.batch_size = spec, 4, 3
    sampler.solver = TokenSettings(**settings)
    sampler.use(omnijet)
    return sampler


@pytest.fixture
def spec():
    return replace(ASPEN, max_constituents=SLOTS)


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.5, "top_k": 4}])
def test_sampling_with_a_cache_gives_the_tokens_of_sampling_without(
    omnijet, spec, monkeypatch, settings
):
    sampler = sampler_of(omnijet, spec, monkeypatch, **settings)
    index = np.arange(7)
    tokens = sampler.sentences(index)
    uniform = JetStreams((4, Stream.TOKENS), index).random((7, SLOTS), "float32")
    for jet in index:  # the GPT runs over the full sentence for every token
        sentence = [0]
        for position in range(SLOTS):
            logits = omnijet.gpt(np.array([[*sentence, 0]]))[:, position]
            random = uniform[jet : jet + 1, position]
            token = sampled_token(logits, random, position, SMALL_GPT, sampler.solver)
            if int(token[0]) == SMALL_GPT.stop:
                break
            sentence.append(int(token[0]))
        expected = np.zeros(SLOTS, int)
        expected[: len(sentence) - 1] = sentence[1:]
        np.testing.assert_array_equal(tokens[jet], expected)


def test_the_stop_token_ends_a_jet_and_none_is_empty(omnijet, spec, monkeypatch):
    sampler = sampler_of(omnijet, spec, monkeypatch)
    bias = omnijet.gpt.next_token.bias
    before = np.array(bias)
    try:
        for shift, lengths in ((100.0, {1}), (-100.0, {SLOTS})):
            shifted = before.copy()
            shifted[SMALL_GPT.stop] += shift
            bias.assign(shifted)
            tokens = sampler.sentences(np.arange(5))
            assert set((tokens > 0).sum(axis=1)) == lengths
            generated = sampler.decoded(tokens, np.zeros(5, int))
            np.testing.assert_array_equal(generated.jets[:, 3], (tokens > 0).sum(axis=1))
            assert (generated.constituents[..., 3] == (tokens > 0)).all()
    finally:
        bias.assign(before)


def test_a_sampled_jet_does_not_depend_on_other_jets(omnijet, spec, monkeypatch):
    sampler = sampler_of(omnijet, spec, monkeypatch)
    tokens = sampler.sentences(np.arange(9))
    np.testing.assert_array_equal(sampler.sentences(np.array([7, 2])), tokens[[7, 2]])


def test_tokens_are_sampled_with_the_probabilities_of_the_logits():
    config = GPTConfig(num_codes=3)
    share = np.array([0.3, 0.1, 0.2, 0.25, 0.15])  # start, codes, stop
    logits = np.tile(np.log(share), (4000, 1)).astype("float32")
    uniform = ((np.arange(4000) + 0.5) / 4000).astype("float32")

    def shares(position, **settings):
        token = sampled_token(logits, uniform, position, config, TokenSettings(**settings))
        return np.bincount(token, minlength=5) / 4000

    np.testing.assert_allclose(shares(3), share * [0, 1, 1, 1, 1] / 0.7, atol=1e-3)
    np.testing.assert_allclose(shares(0), share * [0, 1, 1, 1, 0] / 0.55, atol=1e-3)
    np.testing.assert_allclose(shares(3, top_k=2), share * [0, 0, 1, 1, 0] / 0.45, atol=1e-3)
    colder = share**2 * [0, 1, 1, 1, 1]
    np.testing.assert_allclose(shares(3, temperature=0.5), colder / colder.sum(), atol=1e-3)


def test_the_default_gpt_has_the_published_size():
    keras.utils.set_random_seed(0)
    config = GPTConfig()
    assert (config.dim, config.num_blocks, config.num_heads, config.vocabulary) == (256, 3, 8, 8194)
    block = 12 * 256**2 + 10 * 256  # no biases of query, key, value
    expected = 2 * 8194 * 256 + 8194 + 3 * block
    assert GPT(config).count_params() == expected


def test_a_checkpoint_holds_both_models(omnijet, tmp_path):
    save_checkpoint(tmp_path / "best.h5", omnijet.config, weight_arrays(omnijet), {})
    checkpoint = load_checkpoint(tmp_path / "best.h5", OmniJetConfig)
    assert checkpoint.model_config == omnijet.config
    tokeniser = Tokeniser(TOKENISER)
    assert fingerprint(tokeniser) != fingerprint(omnijet.tokeniser)
    for name, weight in model_weights(tokeniser).items():
        weight.assign(checkpoint.weights[f"tokeniser.{name}"])
    assert fingerprint(tokeniser) == fingerprint(omnijet.tokeniser)
