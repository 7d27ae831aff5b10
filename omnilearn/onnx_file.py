"""A trained classifier as ONNX, for programs that have neither Python nor TensorFlow.

Needs the packages of requirements-onnx.txt.
"""

import json
import logging
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from keras import ops

from omnilearn.atomic import atomic_path
from omnilearn.data.spec import FEATURES, JET_FEATURES, DatasetSpec
from omnilearn.errors import UserError
from omnilearn.model.pet import PET
from omnilearn.training.gradients import traced_for_jets

OPSET = 17  # understood by onnxruntime from 1.12 (2022) on


def write_onnx(
    path: Path, pet: PET, spec: DatasetSpec, columns: Sequence[int], name: str = ""
) -> Path:
    """Write the classifier of `pet` to `path`, whole or not at all, and return the path.

    Inputs, float32, for any number of jets B: constituents (B, P, 13), standardised, zero in empty
    slots, the hardest first; mask (B, P) 1 where there is a constituent; jet (B, 4), standardised;
    P is the number of slots of the model. Output: probabilities (B, C) of the classes of `spec`,
    whose logits are these columns of those of `pet`. The metadata of the file hold features,
    units, shift and width of the standardisation, and classes, as JSON. Raises UserError where the
    packages or the folder are missing.
    """
    try:
        tf2onnx, onnx = import_module("tf2onnx"), import_module("onnx")
    except ImportError as error:
        raise UserError(
            f"{error.name or error} is missing, which is needed to write ONNX files; install it "
            "with: pip install --no-deps -r requirements-onnx.txt"
        ) from error
    if not path.parent.is_dir():
        raise UserError(f"{path.parent} is no folder; choose another place for {path.name}")
    logging.getLogger("tf2onnx").setLevel(logging.WARNING)  # it logs every step at INFO
    config = pet.config
    shapes = {
        "constituents": (config.max_constituents, config.num_features),
        "mask": (config.max_constituents,),
        "jet": (config.num_jet,),
    }

    def probabilities(constituents, mask, jet):
        logits = ops.take(pet.classify(constituents, mask, jet)[0], columns, axis=-1)
        return {"probabilities": ops.softmax(logits, axis=-1)}

    function, signature = traced_for_jets(probabilities, shapes)
    model, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    onnx.helper.set_model_props(model, metadata(spec, name, config.max_constituents))
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return path


def metadata(spec: DatasetSpec, name: str, slots: int) -> dict[str, str]:
    """Metadata of the file for its users, name -> JSON."""
    known = spec.num_features
    constants = spec.normalisation
    values = {
        "model": name,
        "dataset": spec.name,
        "classes": list(spec.class_names),
        "slots": slots,
        "units": "GeV, radians",
        "constituents": list(FEATURES),
        "constituents_known": known,
        "constituents_mean": list(constants.feature_mean[:known]),
        "constituents_std": list(constants.feature_std[:known]),
        "jet": list(JET_FEATURES),
        "jet_mean": list(constants.jet_mean),
        "jet_std": list(constants.jet_std),
        "standardisation": (
            f"(x - mean) / std for the first {known} features of a constituent and for those of "
            "the jet; further features, and all of an empty slot, are 0"
        ),
        "order": "constituents by falling pt; more than the slots: the hardest",
    }
    return {key: json.dumps(value) for key, value in values.items()}
