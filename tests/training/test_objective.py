"""The random numbers and the terms of the objective."""

import numpy as np
import pytest

from omnilearn.data.spec import FEATURES, KINEMATIC_FEATURES
from omnilearn.model.pet import PET, PETConfig
from omnilearn.training import losses
from omnilearn.training.gradients import with_gradients
from omnilearn.training.objective import PETObjective

JETS, SLOTS = 400, 16
IDENTITY = slice(len(KINEMATIC_FEATURES), None)


@pytest.fixture(scope="module")
def pet():
    return PET(
        PETConfig(
            projection_dim=8, num_layers=1, num_heads=2, num_classes=3, max_constituents=SLOTS
        )
    )


@pytest.fixture
def batch():
    rng = np.random.default_rng(5)
    mask = (np.arange(SLOTS) < rng.integers(2, SLOTS, JETS)[:, None]).astype("float32")
    features = rng.normal(size=(JETS, SLOTS, len(FEATURES))).astype("float32")
    return {
        "constituents": features * mask[:, :, None],
        "mask": mask,
        "jet": rng.normal(size=(JETS, 4)).astype("float32"),
        "label": np.eye(3, dtype="float32")[rng.integers(0, 3, JETS)],
        "weight": np.ones(JETS, "float32"),
        "index": np.arange(JETS),
    }


def prepared(pet, batch, training: bool, mode: str = "all", seed: int = 0, **drops) -> dict:
    objective = PETObjective(pet, mode, **drops)
    per_jet = batch["mask"].sum() / JETS
    return objective.prepare(batch, np.random.default_rng(seed), training, per_jet)


def test_identity_is_dropped_for_one_jet_in_ten_and_the_rest_is_not_rescaled(pet, batch):
    features = prepared(pet, batch, training=True)["constituents"]
    hidden = ~features[:, 0, IDENTITY].any(axis=1)
    assert 0.05 < hidden.mean() < 0.16
    np.testing.assert_array_equal(features[~hidden], batch["constituents"][~hidden])
    assert not features[hidden][:, :, IDENTITY].any()
    kinematics = slice(None, len(KINEMATIC_FEATURES))
    np.testing.assert_array_equal(features[..., kinematics], batch["constituents"][..., kinematics])


def test_label_is_hidden_from_the_generator_for_one_jet_in_ten_but_not_from_the_loss(pet, batch):
    drawn = prepared(pet, batch, training=True)
    hidden = ~drawn["generator_label"].any(axis=1)
    assert 0.05 < hidden.mean() < 0.16
    np.testing.assert_array_equal(drawn["label"], batch["label"])


def test_nothing_is_dropped_in_validation(pet, batch):
    drawn = prepared(pet, batch, training=False, feature_drop=1.0, label_drop=1.0)
    np.testing.assert_array_equal(drawn["constituents"], batch["constituents"])
    assert "generator_label" not in drawn


def test_the_same_seed_draws_the_same_times_and_noise(pet, batch):
    first, second, other = (prepared(pet, batch, True, seed=seed) for seed in (3, 3, 4))
    for name in ("time", "noise", "generator_label"):
        np.testing.assert_array_equal(first[name], second[name])
    assert not np.array_equal(first["time"], other["time"])
    assert (first["time"] >= 0).all()
    assert (first["time"] < 1).all()


@pytest.mark.parametrize(
    ("mode", "terms"),
    [
        ("classifier", {"cross_entropy"}),
        ("generator", {"velocity"}),
        (
            "all",
            {
                "cross_entropy",
                "regression",
                "velocity",
                "cross_entropy_perturbed",
                "regression_perturbed",
            },
        ),
    ],
)
def test_each_mode_minimises_its_terms_and_trains_its_heads(pet, batch, mode, terms):
    few = {name: value[:8] for name, value in batch.items()}
    objective = PETObjective(pet, mode)
    values = objective.losses(objective.prepare(few, np.random.default_rng(0), True, 6.0))
    assert set(values) - {"loss", "accuracy"} == terms
    assert float(values["loss"]) == pytest.approx(sum(float(values[t]) for t in terms), rel=1e-6)
    parts = {name.split(".")[0] for name in objective.trained()}
    heads = {"classifier": {"classifier"}, "generator": {"generator"}}
    assert parts == {"body"} | heads.get(mode, {"classifier", "generator"})


def test_the_loss_of_a_classifier_alone_is_its_cross_entropy_without_the_regression(pet, batch):
    few = {name: value[:8] for name, value in batch.items()}
    plain, regressing = PETObjective(pet, "classifier"), PETObjective(pet, "classifier", 0.5)
    assert len(regressing.trained()) - len(plain.trained()) == 2
    plain_terms, terms = (
        objective.losses(objective.prepare(few, np.random.default_rng(0), True, 6.0))
        for objective in (plain, regressing)
    )
    assert float(terms["loss"]) == float(plain_terms["loss"]) == float(terms["cross_entropy"])
    predicted = pet.classify(few["constituents"], few["mask"], few["jet"])[1]
    added = 0.5 * float(np.mean(losses.regression_error(few["jet"], predicted)))
    assert float(terms["objective"]) == pytest.approx(float(terms["loss"]) + added, rel=1e-6)


def test_the_gradient_is_that_of_the_objective_where_a_term_is_added(pet, batch):
    few = {name: value[:8] for name, value in batch.items()}
    objective = PETObjective(pet, "classifier", 0.5)
    drawn = objective.prepare(few, np.random.default_rng(0), True, 6.0)
    trained = objective.trained()
    _, gradients = with_gradients(objective.losses, list(trained.values()))(drawn)
    gradients = dict(zip(trained, gradients, strict=True))
    assert np.abs(gradients["classifier.regression.bias"]).max() > 1e-3


def test_identities_are_hidden_from_a_classifier_only_with_feature_drop(pet, batch):
    default = prepared(pet, batch, training=True, mode="classifier")["constituents"]
    np.testing.assert_array_equal(default, batch["constituents"])
    hidden = prepared(pet, batch, training=True, mode="classifier", feature_drop=1.0)
    assert not hidden["constituents"][:, :, IDENTITY].any()


def test_a_jet_of_weight_two_counts_as_two_jets(pet, batch):
    few = {name: value[:6] for name, value in batch.items()}
    doubled = {name: np.concatenate([value[:1], value]) for name, value in few.items()}
    few["weight"] = np.float32([2, 1, 1, 1, 1, 1])
    objective = PETObjective(pet, "classifier")
    rng = np.random.default_rng(0)
    weighted = objective.losses(objective.prepare(few, rng, False, 6.0))
    repeated = objective.losses(objective.prepare(doubled, rng, False, 6.0))
    assert 6 * float(weighted["loss"]) == pytest.approx(7 * float(repeated["loss"]), rel=1e-5)


def test_another_diffused_pt_is_perturbed_and_predicted_in_its_own_column(batch):
    columns = {"log_1_minus_pt_rel": 2, "log_pt": 3}
    for name, column in columns.items():
        sizes = {"projection_dim": 8, "num_layers": 1, "num_heads": 2, "num_classes": 3}
        pet = PET(PETConfig(**sizes, max_constituents=SLOTS, diffused_pt=name))
        features = batch["constituents"]
        diffused = np.asarray(pet.diffused(features))
        np.testing.assert_array_equal(diffused, features[..., [0, 1, column]])
        restored = np.asarray(pet.among_zeros(diffused))
        assert restored.shape == features.shape
        np.testing.assert_array_equal(restored[..., [0, 1, column]], diffused)
        assert np.count_nonzero(restored.any(axis=(0, 1))) == 3
        drawn = prepared(pet, batch, training=False, mode="generator")
        losses_of = PETObjective(pet, "generator").losses
        loss = float(losses_of(drawn)["loss"])
        others = np.delete(np.arange(len(FEATURES)), [0, 1, column])
        drawn["constituents"] = drawn["constituents"].copy()
        drawn["constituents"][..., others] += 1.0
        assert float(losses_of(drawn)["loss"]) == loss
        drawn["constituents"][..., column] += 1.0
        assert float(losses_of(drawn)["loss"]) != loss


def test_noise_in_padded_slots_does_not_change_the_loss(pet, batch):
    few = {name: value[:6] for name, value in batch.items()}
    objective = PETObjective(pet)
    drawn = objective.prepare(few, np.random.default_rng(0), True, 6.0)
    expected = float(objective.losses(drawn)["loss"])
    drawn["noise"] = drawn["noise"] + 7 * (1 - drawn["mask"][:, :, None])
    assert float(objective.losses(drawn)["loss"]) == pytest.approx(expected, rel=1e-6)
