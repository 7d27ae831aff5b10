"""Stored numbers of the released code for a tiny and the full model, by our weight names."""

import re
from pathlib import Path

import numpy as np

from omnilearn.model.checkpoint import model_weights
from omnilearn.model.pet import PET, PETConfig

DATA = Path(__file__).parent / "data"
TINY = PETConfig(projection_dim=16, num_layers=2, num_heads=2, num_classes=3, max_constituents=24)
PARTS = {"body": "body", "cls": "classifier", "gen": "generator"}
ROLES = {
    "mlp0": "first",
    "mlp1": "second",
    "attn": "attention",
    "ffn0": "feed_forward.first",
    "ffn1": "feed_forward.second",
    "feat_embed.0": "embedding.first",
    "feat_embed.1": "embedding.second",
    "body_time.film": "time_film",
    "body_time.fourier0": "time.first",
    "body_time.fourier1": "time.second",
    "gen_time.fourier0": "time.first",
    "gen_time.fourier1": "time.second",
}


def stored(name: str):
    return np.load(DATA / f"{name}.npz")


def our_name(part: str, role: str) -> str:
    """`cls`, `cls.layer0.ffn0.kernel` -> classifier.layer0.feed_forward.first.kernel."""
    for released, ours in ROLES.items():
        role = role.replace(released, ours)
    return f"{PARTS[part]}." + re.sub(r"^(cls|gen)\.", "", role)


def arrays_of(numbers, prefix: str) -> dict[str, np.ndarray]:
    """Arrays stored as <prefix>.<part>.<index>.<role>, by our names."""
    arrays = {}
    for key in numbers.files:
        if key.startswith(f"{prefix}."):
            part, _, role = key.removeprefix(f"{prefix}.").split(".", 2)
            arrays[our_name(part, role)] = numbers[key]
    return arrays


def pet_with(numbers, config: PETConfig) -> PET:
    """A PET with the stored weights, which are all but the class token."""
    pet = PET(config)
    weights, arrays = model_weights(pet), arrays_of(numbers, "w")
    assert set(weights) - set(arrays) == {"classifier.token"}
    for name, array in arrays.items():
        weights[name].assign(array)
    return pet


def tiny_jets(jets: int, slots: int, multiplicity, seed: int = 0) -> dict[str, np.ndarray]:
    """Random standardised jets of given multiplicities in a number of slots."""
    rng = np.random.default_rng(seed)
    multiplicity = np.broadcast_to(multiplicity, jets)
    mask = (np.arange(slots) < multiplicity[:, None]).astype("float32")
    features = rng.normal(size=(jets, slots, 13)).astype("float32") * mask[:, :, None]
    return {"features": features, "mask": mask, "jet": rng.normal(size=(jets, 4)).astype("float32")}
