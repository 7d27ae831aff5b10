"""The inputs that PET depends on, and those that it must not depend on."""

import numpy as np
import pytest
from released_numbers import TINY, pet_with, stored, tiny_jets

from omnilearn.data.spec import LEAST_SLOTS
from omnilearn.model.pet import PET, PETConfig

SMALL = {"projection_dim": 16, "num_layers": 2, "num_heads": 2, "num_classes": 3}


def with_large_scales(pet: PET, seed: int = 1) -> PET:
    """With large layer scales and token, so that all paths contribute to the outputs."""
    rng = np.random.default_rng(seed)
    for weight in pet.trainable_variables:
        if weight.path.endswith(("gamma", "token")):
            weight.assign(rng.uniform(0.3, 1.0, weight.shape))
    return pet


def heads(pet: PET, jets: dict, slots: int | None = None) -> list[np.ndarray]:
    features, mask, jet = jets["features"][:, :slots], jets["mask"][:, :slots], jets["jet"]
    label = np.eye(3, dtype="float32")[np.arange(len(mask)) % 3]
    time = np.linspace(0.1, 0.9, len(mask), dtype="float32")[:, None]
    return list(map(np.asarray, pet.classify_and_velocity(features, mask, jet, time, label)))


def test_weights_are_counted_as_published_plus_the_class_token():
    counts = {name: part.count_params() for name, part in PET(PETConfig()).parts().items()}
    assert counts == {"body": 1_318_784, "classifier": 269_326 + 128, "generator": 417_165}


def test_jets_are_written_with_the_slots_that_the_model_needs():
    assert PETConfig(max_constituents=LEAST_SLOTS).neighbours == LEAST_SLOTS - 1
    with pytest.raises(ValueError, match="leaves no 10 neighbours"):
        PETConfig(max_constituents=LEAST_SLOTS - 1)


def test_order_of_constituents_does_not_matter():
    pet, jets = pet_with(stored("forward_tiny"), TINY), tiny_jets(4, 24, [3, 9, 15, 24])
    logits, regression, velocity = heads(pet, jets)
    order = np.random.default_rng(0).permutation(24)
    shuffled = {**jets, "features": jets["features"][:, order], "mask": jets["mask"][:, order]}
    again = heads(pet, shuffled)
    np.testing.assert_allclose(again[0], logits, atol=2e-5)
    np.testing.assert_allclose(again[1], regression, atol=2e-5)
    np.testing.assert_allclose(again[2], velocity[:, order], atol=1e-3)


@pytest.mark.parametrize("slots", [11, 16, 48, 96, 139])
def test_compressed_padding_gives_the_outputs_of_the_full_length(slots):
    pet = with_large_scales(PET(PETConfig(**SMALL)))
    multiplicity = np.unique(np.linspace(1, slots, 24).astype(int))
    jets = tiny_jets(len(multiplicity), 150, multiplicity)
    full, short = heads(pet, jets), heads(pet, jets, slots)
    for name, ours, padded in zip(("logits", "regression", "velocity"), short, full, strict=True):
        difference = np.abs(ours - (padded[:, :slots] if padded.ndim == 3 else padded)).max()
        assert difference <= 2e-4 * max(1.0, np.abs(padded).max()), name


def test_compressed_padding_is_exact_at_full_size():
    numbers = stored("forward_full")
    pet = pet_with(numbers, PETConfig())
    features, mask, jet = (numbers[f"in.{key}"][1:3] for key in ("features", "mask", "jet"))
    full = np.asarray(pet.classify(features, mask, jet)[0])  # multiplicities 11 and 45
    short = np.asarray(pet.classify(features[:, :48], mask[:, :48], jet)[0])
    assert np.abs(full - short).max() < 2e-4


def test_masked_padding_does_not_change_the_outputs():
    pet = with_large_scales(PET(PETConfig(**SMALL, padding="masked")))
    jets = tiny_jets(6, 150, [1, 2, 8, 11, 12, 20])
    short, full = heads(pet, jets, 20), heads(pet, jets)
    np.testing.assert_allclose(short[0], full[0], atol=1e-5)
    np.testing.assert_allclose(short[2], full[2][:, :20], atol=1e-4)


def test_released_padding_changes_the_outputs():
    jets = tiny_jets(6, 40, 8)
    pets = [PET(PETConfig(**SMALL, max_constituents=slots)) for slots in (40, 150)]
    pets[1].set_weights(with_large_scales(pets[0]).get_weights())
    first, second = (heads(pet, jets, 24)[0] for pet in pets)
    assert np.abs(first - second).max() > 1e-3 * np.abs(first).max()


def test_content_of_padded_slots_is_never_read():
    pet, jets = pet_with(stored("forward_tiny"), TINY), tiny_jets(4, 24, 9)
    filled = {**jets, "features": jets["features"] + 5 * (1 - jets["mask"][:, :, None])}
    for expected, output in zip(heads(pet, jets), heads(pet, filled), strict=True):
        np.testing.assert_array_equal(output, expected)


def test_a_jet_does_not_depend_on_the_others_of_its_batch():
    pet, jets = pet_with(stored("forward_tiny"), TINY), tiny_jets(5, 24, [4, 7, 11, 19, 24])
    single = heads(pet, {name: value[:1] for name, value in jets.items()})[0]
    np.testing.assert_allclose(heads(pet, jets)[0][:1], single, atol=1e-5)


@pytest.mark.parametrize("slots", [5, 10, 140, 151])
def test_lengths_without_an_exact_result_are_refused(slots):
    jets = tiny_jets(1, slots, 3)
    with pytest.raises(ValueError, match=f"{slots} slots"):
        PET(PETConfig(**SMALL)).encode(jets["features"], jets["mask"])


def test_no_time_is_time_zero():
    pet, jets = pet_with(stored("forward_tiny"), TINY), tiny_jets(3, 24, 12)
    at_zero = pet.encode(jets["features"], jets["mask"], np.zeros((3, 1)))
    np.testing.assert_array_equal(pet.encode(jets["features"], jets["mask"]), at_zero)
