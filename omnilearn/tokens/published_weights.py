"""Weights of the public OmniJet-alpha code, read into our token models by their names there.

arXiv:2403.05618. Its linear layers store (out, in); query, key and value of the tokeniser are rows
of one array. Prefixes of a name (`model.`, `state_dict.`) are ignored. The files are npz or
safetensors, which their first bytes tell; nothing is unpickled.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open

from omnilearn.errors import UserError
from omnilearn.file_kinds import NPZ, SAFETENSORS, problem_of, recognised
from omnilearn.model.checkpoint import LoadReport, named_weights
from omnilearn.tokens.jet_gpt import GPT, GPTConfig
from omnilearn.tokens.tokeniser import Tokeniser, TokeniserConfig

GPT_HEADS, TOKENISER_HEADS = 8, 4  # published; shapes do not determine them
SUFFIXES = (".npz", ".safetensors")
UNREAD = ("F8_", "F6_", "F4", "C64")  # types of safetensors, by the beginnings of their names
EXPECTED_TYPES = (
    "expected floating-point numbers; write it as float32 (npz files do not keep bfloat16, "
    "integers of a quantised model are not read)"
)
# part of the model -> pattern of the end of its parameters' names
PARTS = {
    "gpt": r"embedding_table\.weight|head\.(?:weight|bias)|GPT_blocks\.\d+\..+",
    "class_head": r"class_head\.(?:weight|bias)",
    "tokeniser": r"(?:input_projection|output_projection|latent_projection_in|"
    r"latent_projection_out)\.(?:weight|bias)|(?:encoder|decoder)_normformer\.blocks\.\d+\..+|"
    r"codebook(?:\.weight)?",
}
# layers of a block: our name -> published name
GPT_BLOCK = {
    "norm1": "layernorm_1",
    "norm2": "layernorm_2",
    "first": "ff_block.net.0",
    "second": "ff_block.net.2",
    "attention.query": "mha_block.query",
    "attention.key": "mha_block.key",
    "attention.value": "mha_block.value",
    "attention.attention_output": "mha_block.proj",
}
TOKENISER_BLOCK = {
    "norm1": "norm1",
    "norm_attention": "norm2",
    "norm2": "mlp.0",
    "first": "mlp.1",
    "second": "mlp.4",
    "attention.attention_output": "attn.out_proj",
}
TOKENISER_LAYERS = {
    "encoder.embedding": "input_projection",
    "encoder.output_layer": "latent_projection_in",
    "decoder.embedding": "latent_projection_out",
    "decoder.output_layer": "output_projection",
}
STACKED = ("query", "key", "value")  # in the order of their rows
WEIGHT_NAMES = {"kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias"}


def read_arrays(path: Path | str) -> dict[str, np.ndarray]:
    """The arrays of an npz or safetensors file by name.

    Raises UserError when the file is missing, damaged, or of another kind.
    """
    path = Path(path)
    if not has_published_suffix(path):
        raise UserError(
            f"{path}: weights of the public OmniJet-alpha are read from {' or '.join(SUFFIXES)} "
            "files, no other kind is opened; docs/tokens.md says how to write one from a checkpoint"
        )
    if problem := problem_of(path):
        raise UserError(f"{path} {problem}; expected weights of the public OmniJet-alpha")
    kind, helps = recognised(path)
    if kind not in (NPZ, SAFETENSORS):
        found = f"it is {kind}; {helps}" if kind else "it is damaged, or of another kind"
        raise UserError(
            f"{path} cannot be read as arrays: {found}; expected {NPZ} or {SAFETENSORS}"
        )
    try:
        if kind == SAFETENSORS:
            with safe_open(path, framework="np") as file:
                return {name: tensor(file, name, path) for name in file.keys()}  # noqa: SIM118
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except UserError:
        raise
    except Exception as error:  # damaged bytes raise any kind in NumPy and safetensors
        if "allow_pickle" in str(error):
            error = ValueError("it holds pickled objects, which are never opened")
        raise UserError(
            f"{path} cannot be read as arrays ({error}); download or write it again"
        ) from error


def has_published_suffix(path: Path | str) -> bool:
    """Whether the name of a file is one of weights of the public code, and not of a run."""
    return Path(path).suffix.lower() in SUFFIXES


def tensor(file: safe_open, name: str, path: Path) -> np.ndarray:
    """An array of a safetensors file; raises UserError for a type that NumPy does not have."""
    kind = file.get_slice(name).get_dtype()
    if kind.startswith(UNREAD):
        raise UserError(f"{path}: parameter {name} has type {kind}, {EXPECTED_TYPES}")
    return file.get_tensor(name)


def published_parts(arrays: Mapping, source: str) -> dict[str, dict[str, np.ndarray]]:
    """Parameters by name, without prefix, of those of gpt, tokeniser and class_head in a file.

    Causal masks, which are no parameters, are left out. Raises UserError for an array of none of
    these parts and for a parameter that is there twice.
    """
    parts: dict[str, dict[str, np.ndarray]] = {}
    origin: dict[str, str] = {}
    for name, value in arrays.items():
        array = np.asarray(value)
        if is_causal_mask(array):
            continue
        part, parameter = identified(name)
        if part is None:
            hint = ""
            if "affine" in name:
                hint = (
                    "; store the codebook as the model uses it, after that transformation, "
                    "and leave this out"
                )
            raise UserError(
                f"{source}: parameter {name} {array.shape} is none of the public OmniJet-alpha's "
                f"tokeniser, GPT or classifier{hint}"
            )
        if parameter in origin:
            raise UserError(
                f"{source}: {origin[parameter]} and {name} are one parameter, {parameter}"
            )
        origin[parameter] = name
        parts.setdefault(part, {})[parameter] = as_floats(array, f"{source}: parameter {name}")
    if not parts:
        raise UserError(f"{source} holds no parameter of the public OmniJet-alpha")
    return parts


def as_floats(array: np.ndarray, description: str) -> np.ndarray:
    """The array in float32; raises UserError where it holds no floating-point numbers.

    Numbers beyond the range of float32 become infinite.
    """
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        raise UserError(f"{description} has type {array.dtype}, {EXPECTED_TYPES}")
    with np.errstate(over="ignore"):
        return array.astype("float32")


def identified(name: str) -> tuple[str | None, str]:
    """Part of the model and name without prefix; None and the name for another parameter."""
    for part, pattern in PARTS.items():
        match = re.fullmatch(rf"(?:.*\.)?({pattern})", name)
        if match:
            return part, "codebook" if match[1].startswith("codebook") else match[1]
    return None, name


def is_causal_mask(array: np.ndarray) -> bool:
    """Whether the array is the lower triangle of ones that masks attention."""
    square = array.ndim >= 2 and array.shape[-1] == array.shape[-2] > 1
    return (
        square
        and array.dtype.kind in "biuf"
        and bool((array == np.tril(np.ones(array.shape[-2:]))).all())
    )


def published_gpt_config(arrays: dict[str, np.ndarray], source: str, heads: int) -> GPTConfig:
    """The architecture of a GPT from its shapes and the number of heads."""
    vocabulary, dim = shape_of(arrays, "embedding_table.weight", 2, source)
    require_heads(dim, heads, "GPT", "--gpt-heads", source)
    return GPTConfig(
        dim=dim,
        num_blocks=count_blocks(arrays, "GPT_blocks", source),
        num_heads=heads,
        num_codes=vocabulary - 2,
    )


def published_tokeniser_config(
    arrays: dict[str, np.ndarray], source: str, heads: int
) -> TokeniserConfig:
    """The architecture of a tokeniser from its shapes and heads, with the published scaling."""
    codes, latent = shape_of(arrays, "codebook", 2, source)
    dim, _ = shape_of(arrays, "input_projection.weight", 2, source)
    require_heads(dim, heads, "tokeniser", "--tokeniser-heads", source)
    return TokeniserConfig(
        dim=dim,
        latent_dim=latent,
        num_heads=heads,
        num_codes=codes,
        num_blocks=count_blocks(arrays, "encoder_normformer.blocks", source),
    )


def shape_of(arrays: dict[str, np.ndarray], name: str, axes: int, source: str) -> tuple[int, ...]:
    """The shape of a parameter; raises UserError for another number of axes and without content."""
    if name not in arrays or arrays[name].ndim != axes or not arrays[name].size:
        shape = arrays[name].shape if name in arrays else "missing"
        raise UserError(
            f"{source}: parameter {name} is {shape}, expected an array of {axes} axes with content"
        )
    return arrays[name].shape


def require_heads(dim: int, heads: int, model: str, flag: str, source: str) -> None:
    if heads < 1 or dim % heads:
        raise UserError(
            f"{source}: the {model} has {dim} channels, which {heads} heads cannot share; give "
            f"their number with {flag}"
        )


def count_blocks(arrays: dict[str, np.ndarray], stack: str, source: str) -> int:
    """Number of blocks of a stack; raises UserError unless they are numbered 0, 1, 2, ..., and
    where there are none."""
    indices = {
        name.removeprefix(f"{stack}.").split(".")[0]
        for name in arrays
        if name.startswith(f"{stack}.")
    }
    if not indices:
        raise UserError(f"{source}: no parameter of the blocks {stack}, expected one block or more")
    if indices != {str(index) for index in range(len(indices))}:
        raise UserError(
            f"{source}: the blocks {stack} are numbered {', '.join(sorted(indices))}, expected "
            f"0 to {len(indices) - 1}"
        )
    return len(indices)


def published_names(model: GPT | Tokeniser) -> dict[str, tuple[str, int | None]]:
    """Name of every weight that the public code has -> published name, and which third of it.

    The third is None except for query, key and value of the tokeniser, which share an array.
    """
    if isinstance(model, GPT):
        layers, single = {"next_token": "head"}, {"token": "embedding_table.weight"}
        stacks, block = {"": "GPT_blocks"}, GPT_BLOCK
    else:
        layers, single = dict(TOKENISER_LAYERS), {"codebook.codes": "codebook"}
        stacks = {f"{coder}.": f"{coder}_normformer.blocks" for coder in ("encoder", "decoder")}
        block = TOKENISER_BLOCK
    for index in range(model.config.num_blocks):
        for prefix, stack in stacks.items():
            layers |= {
                f"{prefix}block{index}.{layer}": f"{stack}.{index}.{published}"
                for layer, published in block.items()
            }
    names: dict[str, tuple[str, int | None]] = {
        name: (published, None) for name, published in single.items()
    }
    for name in named_weights(model):
        layer, _, kind = name.rpartition(".")
        attention, _, projection = layer.rpartition(".")
        if layer in layers:
            names[name] = (f"{layers[layer]}.{WEIGHT_NAMES[kind]}", None)
        elif projection in STACKED:
            output = layers[f"{attention}.attention_output"]
            stacked = output.replace("out_proj", f"in_proj_{WEIGHT_NAMES[kind]}")
            names[name] = (stacked, STACKED.index(projection))
    return names


def published_shape(name: str, shape: tuple[int, ...], third: int | None) -> tuple[int, ...]:
    """The shape in which the public code stores our weight of this name and shape."""
    if name.endswith(".kernel"):
        inputs = shape[0] if not name.endswith("attention_output.kernel") else shape[0] * shape[1]
        shape = (int(np.prod(shape)) // inputs, inputs)
    elif name.endswith(".bias"):
        shape = (int(np.prod(shape)),)
    return shape if third is None else (3 * shape[0], *shape[1:])


def load_published_weights(
    model: GPT | Tokeniser, arrays: Mapping, source: str = "the published weights"
) -> LoadReport:
    """Load parameters of the public code, by their published names, into our model of the part.

    Raises UserError, before any weight changes, naming a parameter that is missing, not in the
    model, of another shape than expected, or not finite.
    """
    parameters: dict[str, np.ndarray] = {}
    for part in published_parts(arrays, source).values():
        parameters |= part
    report, weights, values = LoadReport(source), named_weights(model), {}
    names = published_names(model)
    for name, (published, third) in names.items():
        shape = tuple(weights[name].shape)
        expected = published_shape(name, shape, third)
        if published not in parameters:
            raise UserError(f"{source}: parameter {published} {expected} is missing")
        array = parameters[published]
        if array.shape != expected:
            raise UserError(
                f"{source}: parameter {published} has shape {array.shape}, expected {expected}"
            )
        if not np.isfinite(array).all():
            raise UserError(f"{source}: parameter {published} holds NaN or infinite values")
        array = array if third is None else np.split(array, 3)[third]
        values[name] = (array.T if name.endswith(".kernel") else array).reshape(shape)
    unused = sorted(set(parameters) - {published for published, _ in names.values()})
    if unused:
        raise UserError(
            f"{source}: parameter {unused[0]} {parameters[unused[0]].shape} has no place in this "
            f"model (and {len(unused) - 1} more)"
        )
    for name, value in values.items():
        weights[name].assign(value)
    report.loaded = list(values)
    return report
