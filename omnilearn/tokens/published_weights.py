"""Weights of the public OmniJet-alpha code, read into our token models by their names there.

arXiv:2403.05618. Its linear layers store (out, in); query, key and value of the tokeniser are rows
of one array. Whatever stands in front of a name (`model.`, `state_dict.`) is overlooked. The files
are npz or safetensors; nothing is unpickled.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from omnilearn.errors import UserError
from omnilearn.model.checkpoint import LoadReport, named_weights
from omnilearn.tokens.jet_gpt import GPT, SUMMED, GPTConfig, OmniJet
from omnilearn.tokens.tokeniser import Tokeniser, TokeniserConfig

GPT_HEADS, TOKENISER_HEADS = 8, 4  # published; no shape tells of them
SUFFIXES = (".npz", ".safetensors")
# part of the model -> what names of its parameters end with
PARTS = {
    "gpt": r"embedding_table\.weight|head\.(?:weight|bias)|GPT_blocks\.\d+\..+",
    "class_head": r"class_head\.(?:weight|bias)",
    "tokeniser": r"(?:input_projection|output_projection|latent_projection_in|"
    r"latent_projection_out)\.(?:weight|bias)|(?:encoder|decoder)_normformer\.blocks\.\d+\..+|"
    r"codebook(?:\.weight)?",
}
# layers of a block: ours, theirs
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
    if path.suffix not in SUFFIXES:
        raise UserError(
            f"{path}: weights of the public OmniJet-alpha are read from {' or '.join(SUFFIXES)} "
            "files, no other kind is opened; docs/tokens.md says how to write one from a checkpoint"
        )
    if not path.is_file():
        raise UserError(f"{path} not found; expected weights of the public OmniJet-alpha")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # NumPy and safetensors fail on damaged bytes with any there is
        raise UserError(f"{path} cannot be read as arrays ({error})") from error


def published_parts(arrays: Mapping, source: str) -> dict[str, dict[str, np.ndarray]]:
    """gpt, tokeniser, class_head, as far as they are there: their parameters by name, no prefix.

    Causal masks, which are no parameters, are left out. Raises UserError for what is none of these
    and for a parameter that is there twice.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    origin: dict[str, str] = {}
    for name, value in flattened(arrays).items():
        array = as_floats(value, f"{source}: parameter {name}")
        if is_causal_mask(array):
            continue
        part, own_name = identified(name)
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
        if own_name in origin:
            raise UserError(
                f"{source}: {origin[own_name]} and {name} are one parameter, {own_name}"
            )
        origin[own_name] = name
        found.setdefault(part, {})[own_name] = array
    if not found:
        raise UserError(f"{source} holds no parameter of the public OmniJet-alpha")
    return found


def flattened(arrays: Mapping, prefix: str = "") -> dict[str, np.ndarray]:
    """Arrays by name; mappings in mappings, as {"state_dict": {...}}, become one."""
    found: dict[str, np.ndarray] = {}
    for name, value in arrays.items():
        if isinstance(value, Mapping):
            found |= flattened(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = np.asarray(value)
    return found


def as_floats(array: np.ndarray, what: str) -> np.ndarray:
    """The array in float32, whatever its precision; UserError where it holds no real numbers."""
    try:
        if array.dtype.kind in "cOSU":
            raise TypeError("no real numbers")
        return array.astype("float32")
    except (TypeError, ValueError) as error:
        raise UserError(f"{what} has type {array.dtype}, expected real numbers") from error


def identified(name: str) -> tuple[str | None, str]:
    """Part of the model and name without what stands in front; None for another parameter."""
    for part, pattern in PARTS.items():
        match = re.fullmatch(rf"(?:.*\.)?({pattern})", name)
        if match:
            return part, "codebook" if match[1].startswith("codebook") else match[1]
    return None, name


def is_causal_mask(array: np.ndarray) -> bool:
    """Is it the lower triangle of ones that attention was masked with?"""
    square = array.ndim >= 2 and array.shape[-1] == array.shape[-2] > 1
    return square and bool((array == np.tril(np.ones(array.shape[-2:]))).all())


def published_gpt_config(
    arrays: dict[str, np.ndarray], source: str, heads: int = GPT_HEADS
) -> GPTConfig:
    """The architecture of a GPT, as far as shapes tell; the heads are given."""
    vocabulary, dim = shape_of(arrays, "embedding_table.weight", 2, source)
    insist_on_heads(dim, heads, "GPT", "--gpt-heads", source)
    return GPTConfig(
        dim=dim,
        num_blocks=blocks(arrays, "GPT_blocks", source),
        num_heads=heads,
        num_codes=vocabulary - 2,
    )


def published_tokeniser_config(
    arrays: dict[str, np.ndarray], source: str, heads: int = TOKENISER_HEADS
) -> TokeniserConfig:
    """The architecture of a tokeniser, as far as shapes tell, with the published scaling."""
    codes, latent = shape_of(arrays, "codebook", 2, source)
    dim, _ = shape_of(arrays, "input_projection.weight", 2, source)
    insist_on_heads(dim, heads, "tokeniser", "--tokeniser-heads", source)
    return TokeniserConfig(
        dim=dim,
        latent_dim=latent,
        num_heads=heads,
        num_codes=codes,
        num_blocks=blocks(arrays, "encoder_normformer.blocks", source),
    )


def shape_of(arrays: dict[str, np.ndarray], name: str, axes: int, source: str) -> tuple[int, ...]:
    if name not in arrays or arrays[name].ndim != axes:
        found = arrays[name].shape if name in arrays else "missing"
        raise UserError(f"{source}: parameter {name} is {found}, expected an array of {axes} axes")
    return arrays[name].shape


def insist_on_heads(dim: int, heads: int, model: str, flag: str, source: str) -> None:
    if heads < 1 or dim % heads:
        raise UserError(
            f"{source}: the {model} has {dim} channels, which {heads} heads cannot share; give "
            f"their number with {flag}"
        )


def blocks(arrays: dict[str, np.ndarray], stack: str, source: str) -> int:
    """Blocks of a stack, counted by their numbers; UserError where those are not 0, 1, 2, ..."""
    numbers = {
        name.removeprefix(f"{stack}.").split(".")[0]
        for name in arrays
        if name.startswith(f"{stack}.")
    }
    if numbers != {str(number) for number in range(len(numbers))}:
        raise UserError(
            f"{source}: the blocks {stack} are numbered {', '.join(sorted(numbers))}, expected "
            f"0 to {len(numbers) - 1}"
        )
    return len(numbers)


def published_names(model: GPT | Tokeniser | OmniJet) -> dict[str, tuple[str, int | None]]:
    """Our name of every weight that the public code has -> its name there, and which third of it.

    The third is None but for query, key and value of the tokeniser, which share an array.
    """
    if isinstance(model, OmniJet):
        names = {
            f"{part}.{ours}": theirs
            for part in ("tokeniser", "gpt")
            for ours, theirs in published_names(getattr(model, part)).items()
        }
        head = ("kernel", "bias") if model.head else ()
        return names | {
            f"head.logits.{kind}": (f"class_head.{WEIGHT_NAMES[kind]}", None) for kind in head
        }
    if isinstance(model, GPT):
        layers, single = {"next_token": "head"}, {"token": "embedding_table.weight"}
        stacks, block = {"": "GPT_blocks"}, GPT_BLOCK
    else:
        layers, single = dict(TOKENISER_LAYERS), {"codebook.codes": "codebook"}
        stacks = {f"{coder}.": f"{coder}_normformer.blocks" for coder in ("encoder", "decoder")}
        block = TOKENISER_BLOCK
    for number in range(model.config.num_blocks):
        for prefix, stack in stacks.items():
            layers |= {
                f"{prefix}block{number}.{ours}": f"{stack}.{number}.{theirs}"
                for ours, theirs in block.items()
            }
    names = {ours: (theirs, None) for ours, theirs in single.items()}
    for ours in named_weights(model):
        layer, _, kind = ours.rpartition(".")
        owner, _, projection = layer.rpartition(".")
        if layer in layers:
            names[ours] = (f"{layers[layer]}.{WEIGHT_NAMES[kind]}", None)
        elif projection in STACKED:
            output = layers[f"{owner}.attention_output"]
            stacked = output.replace("out_proj", f"in_proj_{WEIGHT_NAMES[kind]}")
            names[ours] = (stacked, STACKED.index(projection))
    return names


def published_shape(name: str, shape: tuple[int, ...], third: int | None) -> tuple[int, ...]:
    """The shape that the public code stores one of our weights, of this name and shape, in."""
    if name.endswith(".kernel"):
        inputs = shape[0] if not name.endswith("attention_output.kernel") else shape[0] * shape[1]
        shape = (int(np.prod(shape)) // inputs, inputs)
    elif name.endswith(".bias"):
        shape = (int(np.prod(shape)),)
    return shape if third is None else (3 * shape[0], *shape[1:])


def load_published_weights(
    model: GPT | Tokeniser | OmniJet, arrays: Mapping, source: str = "the published weights"
) -> LoadReport:
    """Put the parameters of the public code, by their names there, into one of our models.

    An OmniJet takes tokeniser and GPT, and the classifier where both have one; a GPT or a Tokeniser
    that part alone. Returns what was loaded and which weights are fresh (a classifier that
    the file does not have). Raises UserError, before anything is changed, naming the parameter that
    is missing, left over, of another shape than expected, or not finite.
    """
    given = {
        name: array
        for part in published_parts(arrays, source).values()
        for name, array in part.items()
    }
    report, weights, values = LoadReport(source), named_weights(model), {}
    names = published_names(model)
    for ours, (theirs, third) in names.items():
        shape = tuple(weights[ours].shape)
        expected = published_shape(ours, shape, third)
        if theirs not in given and ours.startswith("head."):
            report.fresh.append(ours)
            continue
        if theirs not in given:
            raise UserError(f"{source}: parameter {theirs} {expected} is missing")
        array = given[theirs]
        if array.shape != expected:
            raise UserError(
                f"{source}: parameter {theirs} has shape {array.shape}, expected {expected}"
            )
        if not np.isfinite(array).all():
            raise UserError(f"{source}: parameter {theirs} holds NaN or infinite values")
        array = array if third is None else np.split(array, 3)[third]
        values[ours] = (array.T if ours.endswith(".kernel") else array).reshape(shape)
        if ours == "head.logits.kernel":
            values[ours] = SUMMED * values[ours]
    left_over = sorted(set(given) - {theirs for theirs, _ in names.values()})
    if left_over:
        raise UserError(
            f"{source}: parameter {left_over[0]} {given[left_over[0]].shape} has no place in this "
            f"model (and {len(left_over) - 1} more)"
        )
    for ours, value in values.items():
        weights[ours].assign(value)
    report.loaded = list(values)
    return report
