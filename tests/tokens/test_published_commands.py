"""python finetune.py --model omnijet --published-weights FILE, from files of the public code."""

import json

import numpy as np
import pytest
from commands import output_of, python, refusal_of
from published_numbers import (
    TINY_GPT,
    TINY_TOKENISER,
    published_gpt,
    published_tokeniser,
    tokeniser_arrays,
    under,
    weights_of,
)
from tiny_models import tiny_and_eager
from toy_jets import write_toy_dataset

from omnilearn.errors import UserError
from omnilearn.model.checkpoint import load_checkpoint, save_checkpoint, weight_arrays
from omnilearn.tokens.jet_gpt import OmniJet, OmniJetConfig
from omnilearn.tokens.token_models import load_omnijet, load_tokeniser


@pytest.fixture(scope="module", autouse=True)
def eager():
    with tiny_and_eager() as patch:
        yield patch


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, numbers):
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


def finetuned(workdir, line: str) -> tuple[int, str, str]:
    dataset, *flags = line.format(dir=workdir).split()
    common = "--model omnijet --preset small --epochs 1 --tokeniser-heads 2 --batch 16"
    if "--published-weights" in flags:
        common += " --gpt-heads 2"
    folders = "--data", workdir / "data", "--runs", workdir / "runs"
    return python(f"finetune.py {dataset} {common}", *flags, *folders)


@pytest.mark.slow
def test_a_published_gpt_is_fine_tuned_on_its_tokeniser(workdir, numbers):
    line = "jetclass --classes QCD --train-jets 5 --batch 5 --published-weights {dir}/gpt.npz "
    out = output_of(finetuned(workdir, line + "--tokeniser {dir}/tokeniser.npz"))
    assert f"{workdir}/gpt.npz: 42 of 42 weights loaded; 2 arrays of the file unused" in out
    assert "jetclass: the tokeniser keeps " in out
    assert "or does not have 2 heads (--tokeniser-heads)" in out  # random weights restore little
    run = workdir / "runs" / "jetclass_QCD_omnijet_finetuned"
    about = json.loads((run / "config.json").read_text())
    assert about["backbone"] == f"{workdir}/gpt.npz"
    checkpoint = load_checkpoint(run / "best.h5", OmniJetConfig)
    assert checkpoint.model_config.tokeniser.feature_std == (1.0, 1 / 3, 1 / 3)
    for name, array in weights_of(published_tokeniser(numbers)).items():
        np.testing.assert_array_equal(checkpoint.weights[f"tokeniser.{name}"], array)
    initial = weights_of(published_gpt(numbers))
    change = np.abs(checkpoint.weights["gpt.token"] - initial["token"]).max()
    assert 0 < change < 0.1


@pytest.mark.slow
def test_published_gpt_and_tokeniser_are_fine_tuned_with_a_fresh_classifier(workdir):
    out = output_of(finetuned(workdir, "top --published-weights {dir}/both.npz"))
    assert "fresh: head.logits.kernel, head.logits.bias; 2 arrays of the file unused" in out
    output_of(python("evaluate.py", workdir / "runs" / "top_omnijet_finetuned", "--batch", 16))


def test_a_fresh_gpt_is_trained_on_a_published_tokeniser(workdir, numbers):
    output_of(finetuned(workdir, "top --mode generator --tokeniser {dir}/tokeniser.npz"))
    run = workdir / "runs" / "top_omnijet_scratch"
    weights = load_checkpoint(run / "best.h5", OmniJetConfig).weights
    assert weights["gpt.token"].shape[0] == 34
    for name, array in weights_of(published_tokeniser(numbers)).items():
        np.testing.assert_array_equal(weights[f"tokeniser.{name}"], array)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "top --published-weights {dir}/gpt.npz",
            "gpt.npz holds a GPT without its tokeniser, which its tokens need",
        ),
        (
            "top --published-weights {dir}/tokeniser.npz",
            "tokeniser.npz holds no GPT, but tokeniser; begin with a fresh GPT: --tokeniser",
        ),
        ("top --tokeniser {dir}/gpt.npz", "gpt.npz holds no tokeniser, but gpt and class_head"),
        (
            "top --published-weights {dir}/gpt.npz --tokeniser {dir}/fewer.npz",
            "its GPT has 32 codes (and start and stop), the tokeniser has 20",
        ),
        (
            "top --published-weights {dir}/both.npz --tokeniser {dir}/other.npz",
            "other.npz is not the tokeniser that",
        ),
        (
            "top --published-weights {dir}/both.npz --gpt-heads 5",
            "the GPT has 16 channels, which 5 heads cannot share; give their number",
        ),
        ("top --published-weights {dir}/model.pt", "no other kind is opened; docs/tokens.md says"),
    ],
)
def test_missing_and_wrong_files_are_refused_with_the_reason(workdir, line, sentence):
    assert sentence in refusal_of(finetuned(workdir, line))


def test_published_weights_of_token_models_are_refused_for_pet(workdir):
    err = refusal_of(python("finetune.py", "top", "--published-weights", workdir / "both.npz"))
    assert "--published-weights are a token model's: add --model omnijet" in err


def test_a_token_model_of_an_earlier_version_is_refused(tmp_path):
    scaling = {"feature_mean": (1.8999407, 0.0, 0.0), "feature_std": (1.2212526, 0.215, 0.215)}
    omnijet = OmniJet(OmniJetConfig({**vars(TINY_TOKENISER), **scaling}, TINY_GPT))
    weights = weight_arrays(omnijet)
    weights["gpt.place"] = np.zeros((13, 16))
    save_checkpoint(tmp_path / "best.h5", omnijet.config, weights, {})
    for load in (load_omnijet, load_tokeniser):
        with pytest.raises(UserError, match=r"best\.h5: its tokeniser was made before the token"):
            load(str(tmp_path))
