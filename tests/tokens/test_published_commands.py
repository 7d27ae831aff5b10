"""python finetune.py --model omnijet --published-weights FILE, from files of the public code."""

import json

import h5py
import numpy as np
import pytest
from commands import python
from published_numbers import (
    TINY_GPT,
    TINY_TOKENISER,
    published_gpt,
    published_tokeniser,
    stored,
    tokeniser_arrays,
    under,
    weights_of,
)
from tiny_models import tiny_and_eager
from toy_jets import write_toy_dataset

from omnilearn.errors import UserError
from omnilearn.model.checkpoint import load_checkpoint, model_weights, save_checkpoint
from omnilearn.tokens.jet_gpt import OmniJet, OmniJetConfig
from omnilearn.tokens.published_weights import load_published_weights
from omnilearn.tokens.token_models import load_omnijet, load_tokeniser
from omnilearn.tokens.tokeniser import Tokeniser


@pytest.fixture(scope="module")
def numbers():
    return stored()


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
        *(["--gpt-heads", 2] if "--published-weights" in words else []),
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
    assert found.model_config.tokeniser.feature_std == (1.0, 1 / 3, 1 / 3)
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
    tokeniser = Tokeniser(found.model_config.tokeniser)
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


def test_a_token_model_of_an_earlier_version_is_refused_in_a_sentence(place, numbers, tmp_path):
    before = {"feature_mean": (1.8999407, 0.0, 0.0), "feature_std": (1.2212526, 0.215, 0.215)}
    omnijet = OmniJet(OmniJetConfig({**vars(TINY_TOKENISER), **before}, TINY_GPT))
    weights = {name: np.array(weight) for name, weight in model_weights(omnijet).items()}
    weights["gpt.place"] = np.zeros((13, 16))
    save_checkpoint(tmp_path / "best.h5", omnijet.config, weights, {})
    with h5py.File(tmp_path / "best.h5") as file:  # neither of them was there
        assert {"reach", "dropout"} < set(json.loads(file["architecture"][()])["tokeniser"])
    for load in (load_omnijet, load_tokeniser):
        with pytest.raises(UserError, match=r"best\.h5: its tokeniser was made before the token"):
            load(str(tmp_path))
