"""Weights of the public OmniJet-alpha: names, architectures from shapes, and refused files."""

import shutil
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from published_numbers import (
    TINY_GPT,
    TINY_TOKENISER,
    gpt_arrays,
    published_gpt,
    published_tokeniser,
    tokeniser_arrays,
    weights_of,
)
from safetensors.numpy import save_file

from omnilearn.errors import UserError
from omnilearn.tokens.jet_gpt import GPT
from omnilearn.tokens.published_weights import (
    load_published_weights,
    published_gpt_config,
    published_parts,
    published_tokeniser_config,
    read_arrays,
)
from omnilearn.tokens.token_models import fingerprint
from omnilearn.tokens.tokeniser import Tokeniser


@pytest.fixture
def both(numbers):
    return {**tokeniser_arrays(numbers), **gpt_arrays(numbers)}


@pytest.mark.parametrize("part", ["gpt", "tokeniser"])
def test_every_parameter_is_loaded_and_every_weight_changed(both, part):
    model = GPT(TINY_GPT) if part == "gpt" else Tokeniser(TINY_TOKENISER)
    before, arrays = weights_of(model), published_parts(both, "x")[part]
    report = load_published_weights(model, arrays)
    after = weights_of(model)
    usage = "codebook.usage"  # counts of a training, which files do not have
    assert sorted(report.loaded) == sorted(set(after) - {usage})
    assert all((after[name] != before[name]).any() for name in report.loaded)
    assert report.fresh == report.unused == []
    loaded = sum(after[name].size for name in report.loaded)
    assert sum(array.size for array in arrays.values()) == loaded


@pytest.mark.parametrize("prefix", ["model.", "state_dict.model.", "module.backbone.", "gpt.w."])
def test_prefixes_of_names_are_ignored(numbers, prefix):
    expected = weights_of(published_gpt(numbers))
    gpt = GPT(TINY_GPT, name="gpt")
    load_published_weights(gpt, {prefix + name: a for name, a in gpt_arrays(numbers).items()})
    np.testing.assert_equal(weights_of(gpt), expected)


def test_weights_in_half_precision_are_loaded(numbers):
    gpt = GPT(TINY_GPT)
    arrays = {name: array.astype("float16") for name, array in gpt_arrays(numbers).items()}
    load_published_weights(gpt, arrays)
    np.testing.assert_allclose(gpt.token, numbers["gpt.w.embedding_table.weight"], atol=1e-3)


def test_bfloat16_is_loaded_exactly_from_safetensors_and_refused_from_npz(numbers, tmp_path):
    arrays = {
        name: np.ascontiguousarray(array).astype(ml_dtypes.bfloat16)
        for name, array in gpt_arrays(numbers).items()
    }
    save_file(arrays, tmp_path / "a.safetensors")
    gpt = GPT(TINY_GPT)
    load_published_weights(gpt, read_arrays(tmp_path / "a.safetensors"))
    expected = arrays["embedding_table.weight"].astype("float32")
    np.testing.assert_array_equal(gpt.token, expected)
    np.savez(tmp_path / "a.npz", **arrays)  # which stores bytes without the name of their type
    with pytest.raises(UserError, match=r"has type \|V2, expected .*npz files do not keep bfloat"):
        load_published_weights(gpt, read_arrays(tmp_path / "a.npz"))


def test_double_precision_is_loaded_from_both_kinds_of_files(numbers, tmp_path):
    arrays = {name: array.astype("float64") for name, array in gpt_arrays(numbers).items()}
    save_file(arrays, tmp_path / "a.safetensors")
    np.savez(tmp_path / "a.npz", **arrays)
    for suffix in ("safetensors", "npz"):
        gpt = GPT(TINY_GPT)
        load_published_weights(gpt, read_arrays(tmp_path / f"a.{suffix}"))
        np.testing.assert_equal(weights_of(gpt), weights_of(published_gpt(numbers)))


def test_eight_bit_numbers_are_refused_with_their_type(numbers, tmp_path):
    arrays = {"head.bias": np.zeros(34, ml_dtypes.float8_e4m3fn)}
    save_file(arrays, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match=r"a\.safetensors: parameter head\.bias has type F8_E4M3"):
        read_arrays(tmp_path / "a.safetensors")


def test_a_causal_mask_among_the_arrays_is_no_parameter(numbers):
    arrays = gpt_arrays(numbers)
    arrays["GPT_blocks.0.mha_block.tril"] = np.tril(np.ones((13, 13), "float32"))
    arrays["mask"] = np.tril(np.ones((1, 1, 5, 5), bool))
    assert len(load_published_weights(GPT(TINY_GPT), arrays).loaded) == len(gpt_arrays(numbers))
    arrays["mask"][0, 0, 0, 1] = True
    with pytest.raises(UserError, match=r"parameter mask \(1, 1, 5, 5\) is none of"):
        load_published_weights(GPT(TINY_GPT), arrays)


def test_the_architecture_follows_from_the_shapes(both):
    parts = published_parts(both, "x")
    config = published_gpt_config(parts["gpt"], "x", 2)
    assert config == replace(TINY_GPT, max_constituents=128)
    config = published_tokeniser_config(parts["tokeniser"], "x", 2)
    assert config == replace(TINY_TOKENISER, max_constituents=128)
    assert (config.feature_mean, config.reach) == ((1.8, 0.0, 0.0), 0.8)
    with pytest.raises(UserError, match="x: the GPT has 16 channels, which 3 heads cannot share"):
        published_gpt_config(parts["gpt"], "x", 3)


@pytest.mark.parametrize("number", ["x", "7", "²", "999999999"])
def test_blocks_that_are_not_numbered_consecutively_are_refused(both, number):
    gpt = published_parts(both, "x")["gpt"]
    renamed = {name.replace("GPT_blocks.1.", f"GPT_blocks.{number}."): gpt[name] for name in gpt}
    with pytest.raises(UserError, match=r"x: the blocks GPT_blocks are numbered 0, 2, .*0 to 2"):
        published_gpt_config(renamed, "x", 2)


@pytest.mark.parametrize("part", ["gpt", "tokeniser"])
def test_models_without_blocks_or_with_empty_arrays_are_refused(both, part):
    config_of, sized, stack = {
        "gpt": (published_gpt_config, "embedding_table.weight", "GPT_blocks"),
        "tokeniser": (published_tokeniser_config, "codebook", "encoder_normformer.blocks"),
    }[part]
    arrays = published_parts(both, "x")[part]
    without = {name: arrays[name] for name in arrays if not name.startswith(f"{stack}.")}
    with pytest.raises(UserError, match=rf"x: no parameter of the blocks {stack}, expected one"):
        config_of(without, "x", 2)
    for empty in (np.zeros((0, 4), "float32"), np.zeros((34, 0), "float32")):
        with pytest.raises(UserError, match=rf"x: parameter {sized} is \(\d+, \d+\), expected an"):
            config_of({**arrays, sized: empty}, "x", 2)


def broken(arrays: dict, change: str) -> dict:
    """The arrays with one fault."""
    name = "GPT_blocks.1.ff_block.net.0.weight"
    if change == "missing":
        return {key: array for key, array in arrays.items() if key != name}
    extra = {
        "shape": {name: arrays[name].T},
        "nan": {name: np.full_like(arrays[name], np.nan)},
        "left over": {"GPT_blocks.3.layernorm_1.bias": np.zeros(16)},
        "unknown": {"optimizer.momentum": np.zeros(3)},
        "affine": {"vqlayer.affine_transform.scale": np.zeros((1, 4))},
        "twice": {f"ema.{name}": arrays[name]},
        "words": {name: np.full((64, 16), "0.5")},
        "integers": {name: np.ones((64, 16), "int8")},
        "dates": {name: np.zeros((64, 16), "M8[s]")},
        "beyond float32": {name: np.full((64, 16), 1e300)},
        "scalar": {"embedding_table.weight": np.zeros(())},
    }
    return {**arrays, **extra[change]}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("missing", r"GPT_blocks\.1\.ff_block\.net\.0\.weight \(64, 16\) is missing"),
        ("shape", r"net\.0\.weight has shape \(16, 64\), expected \(64, 16\)"),
        ("nan", r"net\.0\.weight holds NaN"),
        (
            "left over",
            r"GPT_blocks\.3\.layernorm_1\.bias \(16,\) has no place in this model \(and 0",
        ),
        ("unknown", r"optimizer\.momentum \(3,\) is none of the public OmniJet-alpha's"),
        ("affine", r"scale \(1, 4\) is none of .* store the codebook as the model uses it"),
        ("twice", r"weight and ema\.GPT.* are one parameter"),
        ("words", r"net\.0\.weight has type <U3, expected floating-point numbers"),
        ("integers", r"net\.0\.weight has type int8, expected floating-point numbers"),
        ("dates", r"net\.0\.weight has type datetime64\[s\], expected floating-point"),
        ("beyond float32", r"net\.0\.weight holds NaN or infinite"),
        ("scalar", r"embedding_table\.weight has shape \(\), expected \(34, 16\)"),
    ],
)
def test_parameters_that_do_not_fit_are_named_and_no_weight_changes(numbers, change, sentence):
    gpt = GPT(TINY_GPT)
    before = weights_of(gpt)
    with pytest.raises(UserError, match=sentence):
        load_published_weights(gpt, broken(gpt_arrays(numbers), change), "x.npz")
    np.testing.assert_equal(weights_of(gpt), before)


def test_stacked_projections_are_checked_in_their_published_shape(numbers):
    arrays = tokeniser_arrays(numbers)
    name = "decoder_normformer.blocks.1.attn.in_proj_weight"
    with pytest.raises(UserError, match=rf"{name} has shape \(32, 16\), expected \(48, 16\)"):
        load_published_weights(Tokeniser(TINY_TOKENISER), {**arrays, name: arrays[name][:32]})
    with pytest.raises(UserError, match=r"head\.bias \(34,\) has no place in this model"):
        load_published_weights(
            Tokeniser(TINY_TOKENISER), {**arrays, "head.bias": np.zeros(34, "float32")}
        )


def test_npz_and_safetensors_files_give_the_same_arrays(both, tmp_path):
    np.savez(tmp_path / "a.npz", **both)
    save_file(
        {name: np.ascontiguousarray(a) for name, a in both.items()}, tmp_path / "a.safetensors"
    )
    # the first bytes tell the kind, also under the name of the other
    shutil.copy(tmp_path / "a.safetensors", tmp_path / "b.npz")
    shutil.copy(tmp_path / "a.npz", tmp_path / "b.safetensors")
    shutil.copy(tmp_path / "a.npz", tmp_path / "B.NPZ")
    for path in tmp_path.iterdir():
        np.testing.assert_equal(read_arrays(path), both)


def test_unreadable_files_are_refused_and_never_unpickled(both, tmp_path):
    for name in ("a.npz", "a.safetensors"):
        with pytest.raises(UserError, match=rf"{name} not found"):
            read_arrays(tmp_path / name)
        (tmp_path / name).write_bytes(b"PK\x03\x04 no weights")
        with pytest.raises(UserError, match=rf"{name} cannot be read as arrays"):
            read_arrays(tmp_path / name)
    np.savez(tmp_path / "a.npz", **both)
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"a\.npz cannot be read as arrays"):
        read_arrays(tmp_path / "a.npz")
    with (tmp_path / "a.npz").open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(UserError, match=r"a\.npz cannot be read as arrays"):
        read_arrays(tmp_path / "a.npz")
    np.savez(tmp_path / "objects.npz", weights=np.array([{"a": 1}], dtype=object))
    match = r"objects\.npz cannot be read as arrays \(it holds pickled objects, which are never"
    with pytest.raises(UserError, match=match):
        read_arrays(tmp_path / "objects.npz")
    (tmp_path / "pickled.npz").write_bytes(b"\x80\x04N.")
    with pytest.raises(UserError, match=r"it is a pickle of Python, which is never opened"):
        read_arrays(tmp_path / "pickled.npz")
    (tmp_path / "d.npz").mkdir()
    with pytest.raises(UserError, match=rf"{tmp_path}/d\.npz is a folder and no file"):
        read_arrays(tmp_path / "d.npz")
    (tmp_path / "last.ckpt").write_bytes(b"\x80\x04N.")  # a pickled None
    with pytest.raises(UserError, match=r"last\.ckpt: .* from \.npz or \.safetensors files"):
        read_arrays(tmp_path / "last.ckpt")


def test_the_number_of_heads_changes_the_fingerprint(numbers):
    four_heads = Tokeniser(replace(TINY_TOKENISER, num_heads=4))
    load_published_weights(four_heads, tokeniser_arrays(numbers))
    assert fingerprint(published_tokeniser(numbers)) != fingerprint(four_heads)
