"""Checkpoints: an HDF5 file with weights by name, architecture and record, and a checksum.

A file is written whole or not at all, and holds nothing executable.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from omnilearn.atomic import atomic_path
from omnilearn.data.spec import MOST_SLOTS, DatasetSpec, Normalisation
from omnilearn.errors import UserError
from omnilearn.file_kinds import problem_of
from omnilearn.hdf5 import array, stored_file, written_to
from omnilearn.hdf5_sums import attributes
from omnilearn.model.pet import PET, PETConfig
from omnilearn.model.weight_layouts import FORMAT, described
from omnilearn.typed import as_type, typed

OF_FLAG = {"pet", "omnijet"}  # kinds between which --model chooses
OTHER_ARCHITECTURE = "the file was made by another architecture"
# the weights that are fresh when the classes differ
CLASS_WEIGHTS = (
    "classifier.logits.kernel",
    "classifier.logits.bias",
    "generator.cond_label.kernel",
)

# fields of the architecture in which a backbone and the model built on it may differ
FREE_FIELDS = ("num_classes", "max_constituents", "padding", "diffused_pt")


@dataclass
class LoadReport:
    """Names of the weights that were loaded and are fresh; unused: further arrays of the file.

    classes: the reason why the class layers are fresh, if they are.
    """

    source: str
    loaded: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    classes: str = ""

    def __str__(self):
        reason = f" ({self.classes})" if self.classes else ""
        fresh = f", fresh: {', '.join(self.fresh)}{reason}" if self.fresh else ""
        total = len(self.loaded) + len(self.fresh)
        return (
            f"{self.source}: {len(self.loaded)} of {total} weights loaded{fresh}; "
            f"{len(self.unused)} arrays of the file unused"
        )


@dataclass
class Checkpoint:
    """The state of a training: arrays by name, the architecture, the record of the run."""

    path: Path
    model_config: Any  # a PETConfig, or that of another kind of model
    record: dict  # configuration, epoch, step, metrics: plain JSON
    weights: dict[str, np.ndarray]
    ema: dict[str, np.ndarray]
    optimiser: dict[str, np.ndarray]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes of the logits, in order; empty where the file does not name them."""
        names = self.record.get("class_names")
        is_named = isinstance(names, list) and all(isinstance(name, str) for name in names)
        return tuple(names) if is_named else ()

    @property
    def normalisation(self) -> Normalisation | None:
        """The standardisation of the inputs in the training; None in files of earlier versions.

        Raises UserError for one that is not understood.
        """
        fingerprint = self.record.get("trained_on")
        if not isinstance(fingerprint, dict) or "standardisation" not in fingerprint:
            return None
        try:
            return typed(Normalisation, fingerprint["standardisation"], "standardisation")
        except ValueError as error:
            raise UserError(f"{self.path}: {error}; train the model again") from error

    def as_trained(self, spec: DatasetSpec) -> DatasetSpec:
        """`spec` with the standardisation of the training, also where the dataset was made again.

        Raises UserError as `normalisation` does.
        """
        return replace(spec, normalisation=self.normalisation or spec.normalisation)


def named_weights(layer: keras.layers.Layer, prefix: str = "") -> dict[str, keras.Variable]:
    """Every weight of a layer by its path of layer names, e.g. body.block0.attention.key.kernel."""
    weights = {}
    for value in vars(layer).values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, keras.layers.Layer):
                weights |= named_weights(item, f"{prefix}{item.name}.")
            elif isinstance(item, keras.Variable):
                weights[f"{prefix}{item.name}"] = item
    return weights


def model_weights(model: keras.Model) -> dict[str, keras.Variable]:
    """All weights of a model by name, in the order of its parts."""
    return {
        name: variable
        for part in model.parts().values()
        for name, variable in named_weights(part, f"{part.name}.").items()
    }


def weight_arrays(model: keras.Model) -> dict[str, np.ndarray]:
    """Copies of all weights of a model by name."""
    return {name: np.array(weight) for name, weight in model_weights(model).items()}


def assign_weights(
    model: keras.Model, arrays: dict[str, np.ndarray], source: str, other_classes: str = ""
) -> LoadReport:
    """Assign arrays to the weights of a model by name.

    other_classes: the reason why the classes of the file differ from those of the model, if they
    do; then CLASS_WEIGHTS stay fresh. Raises UserError naming the first weight that is missing,
    left over, of another shape, not in floating point or not finite.
    """
    report, weights = LoadReport(source, classes=other_classes), model_weights(model)
    left_over = [name for name in arrays if name not in weights]
    if left_over:
        raise UserError(
            f"{source}: weight {left_over[0]} has no place in this model (and {len(left_over) - 1} "
            f"more); {OTHER_ARCHITECTURE}"
        )
    for name, variable in weights.items():
        shape = tuple(variable.shape)
        if name in CLASS_WEIGHTS and other_classes:
            report.fresh.append(name)
        elif name not in arrays:
            raise UserError(f"{source}: weight {name} {shape} is missing; {OTHER_ARCHITECTURE}")
        elif arrays[name].shape != shape:
            raise UserError(
                f"{source}: weight {name} has shape {arrays[name].shape}, expected {shape}; "
                f"{OTHER_ARCHITECTURE}"
            )
        elif arrays[name].dtype.kind != "f":
            raise UserError(
                f"{source}: weight {name} holds {arrays[name].dtype}, expected floating-point "
                "numbers; integers of a quantised model are not read"
            )
        elif not (np.abs(arrays[name]) <= np.finfo(np.float32).max).all():
            raise UserError(f"{source}: weight {name} holds NaN or infinite values")
        else:
            report.loaded.append(name)
    for name in report.loaded:
        weights[name].assign(arrays[name])
    return report


def save_checkpoint(
    path: Path | str,
    model_config: PETConfig,  # or that of another kind of model
    weights: dict[str, np.ndarray],
    record: dict,
    ema: dict[str, np.ndarray] | None = None,
    optimiser: dict[str, np.ndarray] | None = None,
    previous: Path | None = None,
) -> None:
    """Write a checkpoint atomically; `record` must be plain JSON.

    previous: path that an existing checkpoint at `path` is moved to. The file is composed in memory
    (25 MB at full size) because HDF5 crashes on a full disk. Raises OSError on a full disk.
    """
    groups = {"weights": weights, "ema": ema or {}, "optimizer": optimiser or {}}
    meta = {
        "kind": model_config.kind,
        "architecture": json.dumps(asdict(model_config)),
        "record": json.dumps(record),
    }
    composed = io.BytesIO()
    with written_to(composed) as file:
        file.attrs["format"] = FORMAT
        for group, arrays in groups.items():
            for name, array in arrays.items():
                # without chunks: the checksum is over all of it
                file.create_dataset(f"{group}/{name}", data=array, chunks=None)
        for key, text in meta.items():
            file.create_dataset(key, data=text)
        file.attrs["checksum"] = checksum(groups, meta)
    with atomic_path(path) as temporary:
        temporary.write_bytes(composed.getbuffer())
        if previous is not None and Path(path).is_file():
            Path(path).replace(previous)


def checksum(groups: dict[str, dict[str, np.ndarray]], meta: dict[str, str]) -> str:
    """SHA-256 over every array with its name, and the texts."""
    digest = hashlib.sha256()
    for group in sorted(groups):
        for name in sorted(groups[group]):
            array = np.ascontiguousarray(groups[group][name])
            digest.update(f"{group}/{name} {array.dtype} {array.shape}".encode())
            digest.update(array.tobytes())
    for key in sorted(meta):
        digest.update(meta[key].encode())
    return digest.hexdigest()


def load_checkpoint(path: Path | str, *architectures: type) -> Checkpoint:
    """Read a checkpoint; raises UserError when it is missing, damaged or no checkpoint.

    architectures: classes of the expected configurations, of which the file names one by its kind;
    PETConfig if none is given. Older files without a kind are taken for the first one.
    """
    path, expected = Path(path), {of.kind: of for of in architectures or (PETConfig,)}
    if problem := problem_of(path):
        raise UserError(
            f"{path} {problem}; a run directory holds best.h5 once it was trained "
            "with train.py or finetune.py"
        )
    with stored_file(path, "a checkpoint", "it is truncated or damaged") as file:
        if attributes(file).get("format") != FORMAT:
            raise UserError(
                f"{path} is an HDF5 file but no checkpoint of this suite: it holds "
                f"{described(file)}; expected best.h5 of a run directory"
            )
        groups = {
            group: {
                name: np.asarray(array(file, f"{group}/{name}")) for name in file.get(group, {})
            }
            for group in ("weights", "ema", "optimizer")
        }
        texts = ("kind", "architecture", "record")
        meta = {key: array(file, key).decode() for key in texts if key in file or key != "kind"}
        intact = attributes(file).get("checksum") == checksum(groups, meta)
    if not intact:
        raise UserError(f"{path} is damaged: its checksum does not match its content")
    if (kind := meta.get("kind", next(iter(expected)))) not in expected:
        kinds = " or ".join(map(repr, expected))
        hint = f"; finetune.py --model {kind} takes it" if {kind, *expected} <= OF_FLAG else ""
        raise UserError(f"{path} holds a model of the kind {kind!r}, expected {kinds}{hint}")
    try:
        config = typed(expected[kind], json.loads(meta["architecture"]), "architecture")
        require_possible_sizes(asdict(config), groups["weights"])
        record = as_type(dict, json.loads(meta["record"]), "record")
    except (ArithmeticError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: architecture or record is not understood ({error})") from error
    return Checkpoint(path, config, record, groups["weights"], groups["ema"], groups["optimizer"])


def require_possible_sizes(
    architecture: dict, weights: dict[str, np.ndarray], prefix: str = ""
) -> None:
    """Raise ValueError for a size that no model of these weights has, which may exhaust memory."""
    dimensions = [max(array.shape, default=0) for array in weights.values()]
    most = max([MOST_SLOTS, len(weights), *dimensions])
    for name, value in architecture.items():
        if isinstance(value, dict):
            require_possible_sizes(value, weights, f"{prefix}{name}.")
        for size in value if isinstance(value, list | tuple) else [value]:
            if isinstance(size, int) and not 0 <= size <= most:
                raise ValueError(f"'{prefix}{name}' is {size}, expected 0 to {most}")


def build_pet(checkpoint: Checkpoint) -> PET:
    """The model of a checkpoint with its weights."""
    pet = PET(checkpoint.model_config)
    assign_weights(pet, checkpoint.weights, str(checkpoint.path))
    return pet


def require_same_dataset(checkpoint: Checkpoint, spec: DatasetSpec, mend: str) -> None:
    """Raise UserError where `spec` has other classes or slots than the model was trained with.

    mend: what helps.
    """
    names = checkpoint.class_names or spec.class_names
    config = checkpoint.model_config
    # a token model takes any number of slots
    slots = config.max_constituents if isinstance(config, PETConfig) else spec.max_constituents
    trained = (names, config.num_classes, slots)
    if trained != (spec.class_names, spec.num_classes, spec.max_constituents):
        raise UserError(
            f"{checkpoint.path} was trained for {', '.join(names)} in {slots} slots, but "
            f"{spec.name} has {', '.join(spec.class_names)} in {spec.max_constituents}; {mend}"
        )


def differing_classes(trained: Sequence[str], expected: Sequence[str]) -> str:
    """Why layers of the classes `trained` do not fit the classes `expected`; empty if they do.

    The order counts. Unknown classes do not fit.
    """
    if not trained:
        return "the file does not name its classes"
    if tuple(trained) == tuple(expected):
        return ""
    return f"trained for {', '.join(trained)}; now {', '.join(expected)}"


def load_backbone(pet: PET, checkpoint: Checkpoint, class_names: Sequence[str]) -> LoadReport:
    """Load a pre-trained checkpoint into a model that may differ from it in FREE_FIELDS.

    The class layers are kept where the checkpoint was trained for `class_names`, in that order.
    Raises UserError naming the fields when the architectures differ in others than FREE_FIELDS.
    """
    stored, model = asdict(checkpoint.model_config), asdict(pet.config)
    differing = [key for key in model if key not in FREE_FIELDS and model[key] != stored[key]]
    if differing:
        listed = ", ".join(f"{key} {stored[key]} (expected {model[key]})" for key in differing)
        raise UserError(f"{checkpoint.path} was made by another architecture: {listed}")
    other_classes = differing_classes(checkpoint.class_names, class_names)
    return assign_weights(pet, checkpoint.weights, str(checkpoint.path), other_classes)
