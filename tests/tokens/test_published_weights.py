"""Weights of the public OmniJet-alpha: found by their names, derived from shapes, or refused."""

import json

import h5py
import numpy as np
import pytest
from commands import python
from published_numbers import (
    TINY_GPT,
    TINY_TOKENISER,
    gpt_arrays,
    published_gpt,
    published_tokeniser,
    stored,
    tokeniser_arrays,
    under,
)
from safetensors.numpy import save_file
from tiny_models import tiny_and_eager
from toy_jets import write_toy_dataset

from omnilearn.errors import UserError
from omnilearn.model.checkpoint import load_checkpoint, named_weights
from omnilearn.tokens.jet_gpt import GPT, OmniJet, OmniJetConfig
from omnilearn.tokens.published_weights import (
    load_published_weights,
    published_gpt_config,
    published_parts,
    published_tokeniser_config,
    read_arrays,
)
from omnilearn.tokens.token_models import fingerprint
from omnilearn.tokens.tokeniser import Tokeniser


@pytest.fixture(scope="module")
def numbers():
    return stored()


@pytest.fixture
def both(numbers):
    return {**tokeniser_arrays(numbers), **gpt_arrays(numbers)}


def weights_of(model) -> dict[str, np.ndarray]:
    return {name: np.array(weight) for name, weight in named_weights(model).items()}


def test_every_parameter_is_counted_and_every_weight_changed(both):
    omnijet = OmniJet(OmniJetConfig(TINY_TOKENISER, TINY_GPT))
    before = weights_of(omnijet)
    report = load_published_weights(omnijet, both)
    after = weights_of(omnijet)
    usage = "tokeniser.codebook.usage"  # counts of a training, which no file has
    assert sorted(report.loaded) == sorted(set(after) - {usage})
    assert all((after[name] != before[name]).any() for name in report.loaded)
    assert report.fresh == report.unused == []
    assert sum(array.size for array in both.values()) == sum(
        after[name].size for name in report.loaded
    )


@pytest.mark.parametrize("prefix", ["model.", "state_dict.model.", "module.backbone.", "gpt.w."])
def test_what_stands_in_front_of_a_name_is_overlooked(numbers, prefix):
    expected = weights_of(published_gpt(numbers))
    gpt = GPT(TINY_GPT, name="gpt")
    load_published_weights(gpt, {prefix + name: a for name, a in gpt_arrays(numbers).items()})
    for name, array in weights_of(gpt).items():
        np.testing.assert_array_equal(array, expected[name])
    gpt = GPT(TINY_GPT, name="gpt")
    load_published_weights(gpt, {"state_dict": {"model": gpt_arrays(numbers)}})
    np.testing.assert_array_equal(gpt.token, expected["token"])


def test_weights_in_half_precision_are_taken(numbers):
    gpt = GPT(TINY_GPT)
    arrays = {name: array.astype("float16") for name, array in gpt_arrays(numbers).items()}
    load_published_weights(gpt, arrays)
    np.testing.assert_allclose(gpt.token, numbers["gpt.w.embedding_table.weight"], atol=1e-3)


def test_a_causal_mask_among_the_arrays_is_no_parameter(numbers):
    arrays = gpt_arrays(numbers)
    arrays["GPT_blocks.0.mha_block.tril"] = np.tril(np.ones((13, 13), "float32"))
    arrays["mask"] = np.tril(np.ones((1, 1, 5, 5), bool))
    assert len(load_published_weights(GPT(TINY_GPT), arrays).loaded) == len(gpt_arrays(numbers))
    arrays["mask"][0, 0, 0, 1] = True
    with pytest.raises(UserError, match=r"parameter mask \(1, 1, 5, 5\) is none of"):
        load_published_weights(GPT(TINY_GPT), arrays)


def test_the_architecture_is_read_off_the_shapes(both):
    parts = published_parts(both, "x")
    found = published_gpt_config(parts["gpt"], "x", 2)
    assert (found.dim, found.num_blocks, found.num_codes) == (16, 3, 32)
    assert (found.num_heads, found.max_constituents) == (2, 128)
    found = published_tokeniser_config(parts["tokeniser"], "x", 2)
    assert (found.dim, found.latent_dim, found.num_blocks, found.num_codes) == (16, 4, 2, 32)
    assert (found.num_heads, found.feature_mean, found.reach) == (2, (1.8, 0.0, 0.0), 0.8)
    assert published_gpt_config(parts["gpt"], "x").num_heads == 8
    assert published_tokeniser_config(parts["tokeniser"], "x").num_heads == 4
    with pytest.raises(UserError, match="x: the GPT has 16 channels, which 3 heads cannot share"):
        published_gpt_config(parts["gpt"], "x", 3)


@pytest.mark.parametrize("number", ["x", "7", "²", "999999999"])
def test_blocks_that_are_not_counted_through_are_refused(both, number):
    gpt = published_parts(both, "x")["gpt"]
    renamed = {name.replace("GPT_blocks.1.", f"GPT_blocks.{number}."): gpt[name] for name in gpt}
    with pytest.raises(UserError, match=r"x: the blocks GPT_blocks are numbered 0, 2, .*0 to 2"):
        published_gpt_config(renamed, "x", 2)


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
        ("words", r"net\.0\.weight has type <U3, expected real numbers"),
        ("scalar", r"embedding_table\.weight has shape \(\), expected \(34, 16\)"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_changed(numbers, change, sentence):
    gpt = GPT(TINY_GPT)
    before = weights_of(gpt)
    with pytest.raises(UserError, match=sentence):
        load_published_weights(gpt, broken(gpt_arrays(numbers), change), "x.npz")
    for name, array in weights_of(gpt).items():
        np.testing.assert_array_equal(array, before[name])


def test_the_tokeniser_s_stacked_projections_are_checked_as_they_are_stored(numbers):
    arrays = tokeniser_arrays(numbers)
    name = "decoder_normformer.blocks.1.attn.in_proj_weight"
    with pytest.raises(UserError, match=rf"{name} has shape \(32, 16\), expected \(48, 16\)"):
        load_published_weights(Tokeniser(TINY_TOKENISER), {**arrays, name: arrays[name][:32]})
    with pytest.raises(UserError, match=r"head\.bias \(34,\) has no place in this model"):
        load_published_weights(
            Tokeniser(TINY_TOKENISER), {**arrays, "head.bias": np.zeros(34, "float32")}
        )


def test_npz_and_safetensors_files_hold_the_same(both, tmp_path):
    np.savez(tmp_path / "a.npz", **both)
    save_file(
        {name: np.ascontiguousarray(a) for name, a in both.items()}, tmp_path / "a.safetensors"
    )
    for name in ("a.npz", "a.safetensors"):
        found = read_arrays(tmp_path / name)
        assert found.keys() == both.keys()
        for key in both:
            np.testing.assert_array_equal(found[key], both[key])


def test_a_file_that_cannot_be_read_is_refused_and_nothing_in_it_is_executed(both, tmp_path):
    for name in ("a.npz", "a.safetensors"):
        with pytest.raises(UserError, match=rf"{name} not found"):
            read_arrays(tmp_path / name)
        (tmp_path / name).write_bytes(b"PK\x03\x04 no weights")
        with pytest.raises(UserError, match=rf"{name} cannot be read as arrays"):
            read_arrays(tmp_path / name)
    np.savez(tmp_path / "whole.npz", **both)
    content = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"a\.npz cannot be read as arrays"):
        read_arrays(tmp_path / "a.npz")
    with (tmp_path / "a.npz").open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(UserError, match=r"a\.npz cannot be read as arrays"):
        read_arrays(tmp_path / "a.npz")
    np.savez(tmp_path / "objects.npz", weights=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match=r"objects\.npz cannot be read as arrays"):
        read_arrays(tmp_path / "objects.npz")
    (tmp_path / "last.ckpt").write_bytes(b"\x80\x04N.")  # a pickled None
    with pytest.raises(UserError, match=r"last\.ckpt: .* from \.npz or \.safetensors files"):
        read_arrays(tmp_path / "last.ckpt")


# --- python finetune.py --model omnijet --published-weights FILE


@pytest.fixture(scope="module", autouse=True)
def eager():
    with tiny_and_eager() as patch:
        yield patch


@pytest.fixture(scope="module")
def place(tmp_path_factory, numbers):
    folder = tmp_path_factory.mktemp("published")
    write_toy_dataset(folder / "data", "jetclass", {"train": 60, "val": 20})
    write_toy_dataset(folder / "data", "top", {"train": 32, "val": 16, "test": 32})
    tokeniser, gpt = tokeniser_arrays(numbers), under(numbers, "gpt.w")
    np.savez(folder / "gpt.npz", **{f"model.{name}": array for name, array in gpt.items()})
    np.savez(folder / "tokeniser.npz", **tokeniser)
    np.savez(folder / "both.npz", **tokeniser, **gpt)
    codes = tokeniser["codebook.weight"]
    np.savez(folder / "other.npz", **{**tokeniser, "codebook.weight": codes + 1})
    np.savez(folder / "fewer.npz", **{**tokeniser, "codebook.weight": codes[:20]})
    return folder


def finetuned(place, line: str) -> tuple[int, str, str]:
    words = line.format(place=place).split()
    common = [
        "--model",
        "omnijet",
        "--preset",
        "small",
        "--epochs",
        1,
        "--tokeniser-heads",
        2,
        "--gpt-heads",
        2,
        "--batch",
        16,
    ]
    return python(
        "finetune.py",
        words[0],
        *common,
        *words[1:],
        "--data",
        place / "data",
        "--runs",
        place / "runs",
    )


def test_a_published_gpt_is_fine_tuned_on_its_tokeniser(place, numbers):
    code, out, err = finetuned(
        place,
        "jetclass --classes QCD --train-jets 5 --batch 5 --published-weights "
        "{place}/gpt.npz --tokeniser {place}/tokeniser.npz",
    )
    assert (code, err) == (0, "")
    assert f"{place}/gpt.npz: 42 of 42 weights loaded; 2 arrays of the file unused" in out
    assert "jetclass: the tokeniser keeps " in out
    assert "or does not have 2 heads (--tokeniser-heads)" in out  # random weights keep little
    run = place / "runs" / "jetclass_QCD_omnijet_finetuned"
    described = json.loads((run / "config.json").read_text())
    assert described["backbone"] == f"{place}/gpt.npz"
    found = load_checkpoint(run / "best.h5", OmniJetConfig)
    assert found.pet_config.tokeniser.feature_std == (1.0, 1 / 3, 1 / 3)
    for name, array in weights_of(published_tokeniser(numbers)).items():
        np.testing.assert_array_equal(found.weights[f"tokeniser.{name}"], array)
    start = weights_of(published_gpt(numbers))
    moved = np.abs(found.weights["gpt.token"] - start["token"]).max()
    assert 0 < moved < 0.1


def test_a_file_of_both_tags_with_a_fresh_classifier(place):
    code, out, err = finetuned(place, "top --published-weights {place}/both.npz")
    assert (code, err) == (0, "")
    assert "fresh: head.logits.kernel, head.logits.bias; 2 arrays of the file unused" in out
    code, _, err = python("evaluate.py", place / "runs" / "top_omnijet_finetuned", "--batch", 16)
    assert (code, err) == (0, "")


def test_a_published_tokeniser_takes_a_fresh_gpt(place, numbers):
    code, _, err = finetuned(place, "top --mode generator --tokeniser {place}/tokeniser.npz")
    assert (code, err) == (0, "")
    found = load_checkpoint(place / "runs" / "top_omnijet_scratch" / "best.h5", OmniJetConfig)
    tokeniser = Tokeniser(found.pet_config.tokeniser)
    load_published_weights(tokeniser, tokeniser_arrays(numbers))
    assert found.weights["gpt.token"].shape[0] == 34
    begun = {name: array for name, array in found.weights.items() if name[:10] == "tokeniser."}
    for name, array in begun.items():
        np.testing.assert_array_equal(weights_of(tokeniser)[name.removeprefix("tokeniser.")], array)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "top --published-weights {place}/gpt.npz",
            "gpt.npz holds a GPT without its tokeniser, so nothing says what its tokens mean",
        ),
        (
            "top --published-weights {place}/tokeniser.npz",
            "tokeniser.npz holds no GPT, but tokeniser; begin with a fresh GPT: --tokeniser",
        ),
        ("top --tokeniser {place}/gpt.npz", "gpt.npz holds no tokeniser, but gpt and class_head"),
        (
            "top --published-weights {place}/gpt.npz --tokeniser {place}/fewer.npz",
            "its GPT knows 32 codes (and start and stop), the tokeniser has 20",
        ),
        (
            "top --published-weights {place}/both.npz --tokeniser {place}/other.npz",
            "other.npz is not the tokeniser that",
        ),
        (
            "top --published-weights {place}/both.npz --gpt-heads 5",
            "the GPT has 16 channels, which 5 heads cannot share; give their number",
        ),
        (
            "top --published-weights {place}/model.pt",
            "no other kind is opened; docs/tokens.md says",
        ),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(place, line, sentence):
    code, _, err = finetuned(place, line)
    assert code != 0
    assert sentence in err


def test_published_weights_of_token_models_are_none_of_pet(place):
    code, _, err = python("finetune.py", "top", "--published-weights", place / "both.npz")
    assert code != 0
    assert "--published-weights are a token model's: add --model omnijet" in err


def test_a_tokeniser_with_other_heads_makes_other_tokens(numbers):
    from dataclasses import replace

    one = published_tokeniser(numbers)
    other = Tokeniser(replace(TINY_TOKENISER, num_heads=4))
    load_published_weights(other, tokeniser_arrays(numbers))
    assert fingerprint(one) != fingerprint(other)


def test_a_token_model_of_an_earlier_version_is_refused_in_a_sentence(place, numbers, tmp_path):
    from omnilearn.model.checkpoint import pet_weights, save_checkpoint
    from omnilearn.tokens.token_models import load_omnijet, load_tokeniser

    before = {"feature_mean": (1.8999407, 0.0, 0.0), "feature_std": (1.2212526, 0.215, 0.215)}
    omnijet = OmniJet(OmniJetConfig({**vars(TINY_TOKENISER), **before}, TINY_GPT))
    weights = {name: np.array(weight) for name, weight in pet_weights(omnijet).items()}
    weights["gpt.place"] = np.zeros((13, 16))
    save_checkpoint(tmp_path / "best.h5", omnijet.config, weights, {})
    with h5py.File(tmp_path / "best.h5") as file:  # neither of them was there
        assert {"reach", "dropout"} < set(json.loads(file["architecture"][()])["tokeniser"])
    for load in (load_omnijet, load_tokeniser):
        with pytest.raises(UserError, match=r"best\.h5: its tokeniser was made before the token"):
            load(str(tmp_path))
