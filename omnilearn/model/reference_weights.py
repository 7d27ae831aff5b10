"""Weights of the released OmniLearn code, read into our PET by their position.

The `.weights.h5` files hold one container per part, with layers named by class and a counter
(dense, dense_1, ...) in the order of the released model, and arrays vars/0, vars/1 in each layer.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from omnilearn.errors import UserError
from omnilearn.file_kinds import problem_of
from omnilearn.hdf5 import array, stored_file
from omnilearn.model.checkpoint import OTHER_ARCHITECTURE, LoadReport, assign_weights
from omnilearn.model.pet import PET, PETConfig
from omnilearn.model.weight_layouts import (
    INSIDE,
    LAYOUTS,
    absent_parts,
    arrays_of,
    described,
    soft_link,
)

# arrays of a layer: our name, path in the file
ARRAYS = {
    "dense": (("kernel", "vars/0"), ("bias", "vars/1")),
    "dense_without_bias": (("kernel", "vars/0"),),
    "group_normalization": (("gamma", "vars/0"), ("beta", "vars/1")),
    "layer_scale": (("gamma", "vars/0"),),
    "multi_head_attention": tuple(
        (f"{ours}.{array}", f"_{released}_dense/vars/{index}")
        for ours, released in (
            ("query", "query"),
            ("key", "key"),
            ("value", "value"),
            ("attention_output", "output"),
        )
        for index, array in enumerate(("kernel", "bias"))
    ),
}


def block(name: str, updates_normed: bool = False) -> Iterator[tuple[str, str]]:
    yield "group_normalization", f"{name}.norm1"
    yield "multi_head_attention", f"{name}.attention"
    if updates_normed:
        yield "group_normalization", f"{name}.norm_updates"
    yield "layer_scale", f"{name}.layer_scale1"
    yield "group_normalization", f"{name}.norm2"
    yield "dense", f"{name}.feed_forward.first"
    yield "dense", f"{name}.feed_forward.second"
    yield "layer_scale", f"{name}.layer_scale2"


def body_layers(config: PETConfig) -> Iterator[tuple[str, str]]:
    for name in ("local0", "embedding"):
        yield "dense", f"body.{name}.first"
        yield "dense", f"body.{name}.second"
    yield "dense_without_bias", "body.time.first"
    yield "dense_without_bias", "body.time.second"
    yield "dense_without_bias", "body.time_film"
    yield "dense", "body.local1.first"
    yield "dense", "body.local1.second"
    for layer in range(config.num_layers):
        yield from block(f"body.block{layer}")


def classifier_layers(config: PETConfig) -> Iterator[tuple[str, str]]:
    yield "dense", "classifier.jet_film"
    for layer in range(config.classifier_layers):
        yield from block(f"classifier.layer{layer}", updates_normed=True)
    yield "group_normalization", "classifier.norm_final"
    yield "dense", "classifier.logits"
    yield "dense", "classifier.regression"


def generator_layers(config: PETConfig) -> Iterator[tuple[str, str]]:
    yield "dense_without_bias", "generator.time.first"
    yield "dense_without_bias", "generator.time.second"
    yield "dense", "generator.cond_jet"
    yield "dense", "generator.cond_token0"
    yield "dense_without_bias", "generator.cond_label"
    yield "dense", "generator.cond_token1"
    for layer in range(config.generator_layers):
        yield from block(f"generator.layer{layer}")
    yield "group_normalization", "generator.norm_final"
    yield "dense", "generator.velocity"


def released_paths(config: PETConfig) -> dict[str, dict[str, str]]:
    """part -> {our weight name: path inside that part's container}."""
    parts = {"body": body_layers, "classifier": classifier_layers, "generator": generator_layers}
    paths = {}
    for part, layers in parts.items():
        counted, paths[part] = defaultdict(int), {}
        for kind, name in layers(config):
            layer_class = "dense" if kind == "dense_without_bias" else kind
            index = counted[layer_class]
            counted[layer_class] += 1
            folder = layer_class + (f"_{index}" if index else "")
            for ours, released in ARRAYS[kind]:
                paths[part][f"{name}.{ours}"] = f"{folder}/{released}"
    return paths


def load_released_weights(pet: PET, path: Path | str, other_classes: str = "") -> LoadReport:
    """Load a released `.weights.h5` file; returns loaded, fresh and unused names.

    The class token of the released model is a constant zero that the file does not hold, so it is
    set to zero. The moving averages of the file are not used. other_classes: as in
    `assign_weights`. Raises UserError for a file of unknown layout, of another architecture, or
    incomplete.
    """
    path = Path(path)
    with opened(path) as file:
        present, layout = layout_of(file, path)
        arrays, unused = read_arrays(file, present, layout, pet.config, path)
    token = "classifier.token"
    arrays[token] = np.zeros((1, pet.config.projection_dim), "float32")
    report = assign_weights(pet, arrays, str(path), other_classes)
    report.loaded.remove(token)
    report.fresh.append(token)
    report.unused = unused
    return report


def released_config(path: Path | str) -> PETConfig:
    """The architecture of a released file, from the shapes of its arrays.

    The numbers of slots and of neighbours do not shape the weights: they are the defaults. Raises
    UserError as `load_released_weights`.
    """
    path = Path(path)
    with opened(path) as file:
        present, layout = layout_of(file, path)
        shapes = {
            name: item.shape
            for name, item in present.items()
            if name.startswith(tuple(f"{container}/" for container in layout.values()))
        }
    require_outputs(shapes, path)
    counts = {
        part: sum(
            name.startswith(f"{container}/") and name.endswith("_query_dense/vars/0")
            for name in shapes
        )
        for part, container in layout.items()
    }
    body, classifier, generator = layout["body"], layout["classifier"], layout["generator"]
    try:
        dim, heads, _ = shapes[f"{body}/multi_head_attention/_query_dense/vars/0"]
        return PETConfig(
            projection_dim=dim,
            num_heads=heads,
            num_features=shapes[f"{body}/dense_2/vars/0"][0],
            num_jet=shapes[f"{classifier}/dense/vars/0"][0],
            num_classes=shapes[f"{generator}/dense_4/vars/0"][0],
            num_layers=counts["body"],
            classifier_layers=counts["classifier"],
            generator_layers=counts["generator"],
        )
    except KeyError as error:
        raise UserError(f"{path}: its arrays fit no architecture: {error} is missing") from error
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"{path}: its arrays fit no architecture ({error})") from error


def require_outputs(shapes: dict[str, tuple[int, ...]], path: Path) -> None:
    """Raise UserError naming a kernel (inputs, outputs) whose bias has another number of outputs.

    shapes: of the arrays by path; those of a transposed kernel would give another architecture.
    """
    for name, kernel in shapes.items():
        bias = shapes.get(f"{name[:-1]}1") if name.endswith("vars/0") else None
        if kernel and bias and len(kernel) == 2 and len(bias) == 1 and kernel[1] != bias[0]:
            hint = ", as if it was transposed" if kernel[0] == bias[0] else ""
            raise UserError(
                f"{path}: {name} has shape {kernel}, expected (inputs, {bias[0]}) by its "
                f"bias{hint}; save it again as the released code does"
            )


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The open file; raises UserError when it is missing or cannot be read."""
    if problem := problem_of(path):
        raise UserError(f"{path} {problem}; expected a .weights.h5 file of the released OmniLearn")
    mend = "it is truncated or damaged, download it again"
    with stored_file(path, "HDF5 weights of the released OmniLearn", mend) as file:
        yield file


def layout_of(file: h5py.File, path: Path) -> tuple[dict[str, h5py.Dataset], dict[str, str]]:
    """The arrays of the file by path, and its layout.

    Raises UserError for a file of another kind, with links, or of only some of the three parts.
    """
    if link := soft_link(file):
        raise UserError(
            f"{path}: {link[0]!r} is a link to {link[1]!r}, which is not followed; copy the "
            "content in its place"
        )
    present = arrays_of(file)
    for layout in LAYOUTS.values():
        absent = absent_parts(present, layout)
        if not absent:
            return present, layout
        if len(absent) < len(layout):
            raise UserError(
                f"{path} holds no weights of the {' and '.join(absent)}; expected body, classifier "
                "and generator, as the released code saves them together"
            )
    raise UserError(
        f"{path} is not a weights file of the released OmniLearn: it holds {described(file)}; "
        f"expected the groups body/{INSIDE}, or layers/functional, as TensorFlow 2.14 or 2.15 "
        "wrote them; the file that the authors published has them"
    )


def read_arrays(
    file: h5py.File,
    present: dict[str, h5py.Dataset],
    layout: dict[str, str],
    config: PETConfig,
    path: Path,
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Our names -> arrays, and the paths of the file that were not used."""
    arrays, used = {}, set()
    for part, paths in released_paths(config).items():
        for name, inside in paths.items():
            dataset = f"{layout[part]}/{inside}"
            if dataset not in present:
                raise UserError(f"{path}: {dataset} ({name}) is missing; {OTHER_ARCHITECTURE}")
            used.add(dataset)
            arrays[name] = np.asarray(array(file, dataset))
        inside_part = [name for name in present if name.startswith(f"{layout[part]}/")]
        extra = [name for name in inside_part if name not in used]
        if extra:
            raise UserError(
                f"{path}: {extra[0]} has no place in this model (and {len(extra) - 1} more); "
                f"{OTHER_ARCHITECTURE}"
            )
    return arrays, sorted(set(present) - used)
