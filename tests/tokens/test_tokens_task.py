"""Token models from train.py to evaluate.py on toy jets: tokeniser, GPT, generation, tagging."""

import json

import h5py
import keras
import numpy as np
import pytest
from commands import output_of, python, refusal_of
from tiny_tokens import COMMON, SLOTS, call
from toy_jets import write_toy_dataset

from omnilearn.api import load, read_jets
from omnilearn.data.catalogue import ASPEN, JETCLASS
from omnilearn.errors import UserError
from omnilearn.fit import open_pipeline
from omnilearn.generation.jet_sets import read_set, read_split
from omnilearn.model.checkpoint import load_checkpoint
from omnilearn.statistics.results import Result, read_results
from omnilearn.tagging.predictions import read_predictions
from omnilearn.tokens import objectives as token_objectives
from omnilearn.tokens.jet_gpt import OmniJetConfig
from omnilearn.tokens.objectives import TokeniserObjective
from omnilearn.tokens.task import as_one_class
from omnilearn.tokens.token_files import read_tokens, write_tokens
from omnilearn.tokens.token_models import fingerprint, load_tokeniser, token_spec
from omnilearn.tokens.tokeniser import Tokeniser, TokeniserConfig
from omnilearn.tokens.tokeniser_quality import variance_restored

pytestmark = pytest.mark.slow
TOKENISER_CONFIG = TokeniserConfig(max_constituents=SLOTS)


@pytest.fixture(scope="module")
def finetuned(run, workdir):
    line = "finetune.py jetclass --classes QCD --train-jets 16 --val-jets 4 --epochs 1"
    output_of(call(workdir, line, "--batch", 16, "--backbone", run))
    return workdir / "runs" / "jetclass_QCD_omnijet_finetuned"


def test_one_run_holds_tokeniser_and_gpt_and_is_not_repeated_when_finished(run, workdir):
    about = json.loads((run / "config.json").read_text())
    assert (about["task"], about["tokeniser_epochs"]) == ("tokens", 2)
    assert len((run / "tokeniser" / "history.jsonl").read_text().splitlines()) == 2
    gpt = load_checkpoint(run / "best.h5", OmniJetConfig)
    assert gpt.model_config.max_constituents == SLOTS
    before = (run / "best.h5").stat().st_mtime_ns
    output_of(call(workdir, "train.py aspen", "--epochs", 1, "--tokeniser-epochs", 2))
    assert (run / "best.h5").stat().st_mtime_ns == before
    err = refusal_of(call(workdir, "train.py aspen", "--epochs", 1, "--tokeniser-epochs", 3))
    assert "tokeniser_epochs 2 (now 3)" in err


def test_a_trained_tokeniser_restores_jets_better_than_a_random_one(run, workdir):
    trained = load_tokeniser(str(run))
    keras.utils.set_random_seed(1)
    tokenisers = trained, Tokeniser(trained.config)
    pipeline = open_pipeline(token_spec(ASPEN, TOKENISER_CONFIG), str(workdir / "data"), "test", 40)
    (batch,) = pipeline.ordered()
    prepared = token_objectives.prepared_batch(batch, pipeline.constituents_per_jet)
    errors = [
        float(TokeniserObjective(tokeniser).losses(prepared)["reconstruction"])
        for tokeniser in tokenisers
    ]
    assert errors[0] < 0.7 * errors[1]
    shares = [variance_restored(pipeline.files, pipeline.spec, each) for each in tokenisers]
    assert 1 > shares[0] > 0.3 > shares[1]


def test_evaluation_measures_generated_jets_and_the_tokeniser(run, evaluated):
    results = read_results(run / "results.json")
    (distances,) = results["generated"].values()
    assert distances.keys() == {
        f"{kind}_{name}"
        for kind in ("kl", "w1")
        for name in ("jet_pt", "jet_mass", "tau21", "tau32", "multiplicity")
    }
    quality = results["tokeniser"]
    assert {"codes_used", "code_perplexity", "two_sample_auc"} < quality.keys()
    assert 0 <= quality["out_of_reach"].value < 0.5
    for name in ("jet_pt", "jet_mass", "tau21", "tau32", "log_pt", "eta_rel", "phi_rel"):
        assert quality[f"resolution_{name}"].error > 0
        assert isinstance(quality[f"bias_{name}"], Result)
    assert 0 < quality["codes_used"].value <= 1
    assert results["parameters"] > 1000
    assert results["jets_per_second"] > 0
    assert "tokeniser two_sample_auc: " in evaluated
    for name in ("spectra_data.pdf", "loss.pdf"):
        assert (run / name).stat().st_size > 1000


def test_kinematics_of_generated_jets_are_those_of_their_constituents(run, evaluated, workdir):
    spec = token_spec(ASPEN, TOKENISER_CONFIG)
    spec, truth = as_one_class(spec, read_split(workdir / "data", spec, "test", 40)[0], "")
    generated, about = read_set(run / "generated", spec)
    assert len(generated) == len(truth) == 40
    assert about["temperature"] == 1.0
    _, phi_rel, pt_rel, mask = np.moveaxis(generated.constituents, -1, 0)
    multiplicity = generated.jets[:, 3]
    np.testing.assert_array_equal((mask > 0).sum(axis=1), multiplicity)
    px = (pt_rel * np.cos(phi_rel)).sum(axis=1)
    np.testing.assert_allclose(px, 1.0, atol=1e-4)  # relative to pT and axis of the jet
    assert multiplicity.min() >= 1


def test_evaluation_from_predictions_gives_the_same_results(run, evaluated):
    before = read_results(run / "results.json")
    output_of(python("evaluate.py", run, "--batch", 32, "--from-predictions"))
    after = read_results(run / "results.json")
    assert after["generated"] == before["generated"]
    assert after["tokeniser"] == before["tokeniser"]
    for flag in (["--top-k", 3], ["--rate"]):
        err = refusal_of(python("evaluate.py", run, "--from-predictions", *flag))
        assert f"{flag[0]} has no effect on stored jets" in err


def test_a_run_is_not_overwritten_before_its_data_were_found(tmp_path):
    run = tmp_path / "runs" / "x"
    run.mkdir(parents=True)
    described = {"config": {}, "revision": "", "task": "tokens"}
    (run / "config.json").write_text(json.dumps(described))
    (run / "best.h5").write_text("weights")
    flags = ("--runs", tmp_path / "runs", "--name", "x", "--overwrite", "--data", tmp_path)
    command = "train.py aspen --model omnijet --preset small --tokeniser small_tokens"
    assert "no train files of aspen" in refusal_of(python(command, *flags))
    assert (run / "best.h5").read_text() == "weights"


def test_other_jets_have_a_two_sample_classifier_of_their_own(run, evaluated, tmp_path):
    write_toy_dataset(tmp_path, "aspen", {"train": 96, "val": 40, "test": 40}, seed=9)
    before = read_results(run / "results.json")["tokeniser"]["two_sample_auc"]
    for data in (("--data", tmp_path), ()):
        output_of(python("evaluate.py", run, "--batch", 32, *data))
        after = read_results(run / "results.json")["tokeniser"]["two_sample_auc"]
        assert (after == before) == (not data)


def test_tokens_of_another_codebook_are_refused(run, evaluated):
    tokeniser = load_tokeniser(str(run))
    tokens, index = read_tokens(run / "tokens.h5", fingerprint(tokeniser), 64)
    assert tokens.shape == (40, SLOTS)
    assert sorted(index) == list(range(40))
    with pytest.raises(UserError, match=r"tokens\.h5 holds tokens of another codebook: 64 codes"):
        read_tokens(run / "tokens.h5", fingerprint(Tokeniser(tokeniser.config)), 64)
    path = run / "other.h5"
    path.write_bytes((run / "tokens.h5").read_bytes())
    with h5py.File(path, "a") as file:
        file["tokens"][0, 0] = 64
    with pytest.raises(UserError, match=r"'tokens' has shape .* and values from 0 to 64"):
        read_tokens(path, fingerprint(tokeniser), 64)
    path.write_bytes(b"tokens")
    with pytest.raises(UserError, match=r"other\.h5 cannot be read as a file of tokens"):
        read_tokens(path, fingerprint(tokeniser), 64)


def test_fine_tuning_to_one_class_starts_from_the_backbone(run, finetuned, workdir):
    about = json.loads((finetuned / "config.json").read_text())
    assert about["config"]["classes"] == "QCD"
    initial, final = (
        load_checkpoint(path / "best.h5", OmniJetConfig).weights for path in (run, finetuned)
    )
    changed = {name for name in initial if (initial[name] != final[name]).any()}
    assert changed
    assert all(name.startswith("gpt.") for name in changed)  # the tokeniser stays fixed
    output_of(python("evaluate.py", finetuned, "--batch", 32))
    results = read_results(finetuned / "results.json")
    assert list(results["generated"]) == ["QCD"]
    assert "tokeniser" not in results
    (truth, _) = read_split(workdir / "data", JETCLASS, "test", 10_000, "QCD")
    assert set(truth.label) == {0}
    assert results["generated"]["QCD"]["kl_tau21"].n == len(truth)


def test_from_scratch_a_fresh_gpt_is_trained_on_the_given_tokeniser(run, workdir):
    line = "finetune.py jetclass --classes Tbqq --train-jets 16 --epochs 1"
    output_of(call(workdir, line, "--batch", 16, "--tokeniser", run))
    scratch = workdir / "runs" / "jetclass_Tbqq_omnijet_scratch"
    tokenisers = [load_tokeniser(str(path)) for path in (run, scratch)]
    assert fingerprint(tokenisers[0]) == fingerprint(tokenisers[1])
    assert json.loads((scratch / "config.json").read_text())["backbone"] is None


def test_a_tokeniser_other_than_that_of_the_gpt_is_refused(run, workdir):
    folders = "--data", workdir / "data", "--runs", workdir / "runs"
    line = "train.py jetclass --tokeniser-epochs 1 --tokeniser-only --train-jets 64"
    assert python(line, *COMMON[:4], *folders)[::2] == (0, "")
    tokeniser = workdir / "runs" / "jetclass_omnijet"
    assert not (tokeniser / "best.h5").exists()
    err = refusal_of(
        call(workdir, "finetune.py jetclass", "--backbone", run, "--tokeniser", tokeniser)
    )
    assert f"{tokeniser} is not the tokeniser that {run} was trained with" in err
    output_of(python("evaluate.py", tokeniser, "--batch", 32))  # without a GPT
    err = refusal_of(python("evaluate.py", tokeniser, "--temperature", 1))
    assert "--temperature has no effect on a tokeniser, which samples no jets" in err
    assert "two_sample_auc" in read_results(tokeniser / "results.json")["tokeniser"]


def test_the_summation_head_is_fine_tuned_for_tagging(run, workdir):
    output_of(call(workdir, "finetune.py top", "--epochs", 1, "--backbone", run))
    tagger = workdir / "runs" / "top_omnijet_finetuned"
    output_of(python("evaluate.py", tagger, "--batch", 32))
    results = read_results(tagger / "results.json")
    assert {"accuracy", "auc", "rejection_0.5", "rejection_0.3"} < results.keys()
    initial, final = (
        load_checkpoint(path / "best.h5", OmniJetConfig).weights for path in (run, tagger)
    )
    assert (final["gpt.token"] != initial["gpt.token"]).any()
    np.testing.assert_array_equal(final["gpt.next_token.kernel"], initial["gpt.next_token.kernel"])

    jets, _ = read_jets("top", data=workdir / "data")
    (tagger / "best.h5").rename(workdir / "best.h5")
    output_of(python("evaluate.py", tagger, "--from-predictions"))
    assert read_results(tagger / "results.json")["auc"] == results["auc"]
    (workdir / "best.h5").rename(tagger / "best.h5")
    model = load(tagger, batch=16)
    logits, predicted = model.logits(jets), read_predictions(tagger / "predictions.h5")[0]["logits"]
    np.testing.assert_allclose(np.sort(logits[:, 1]), np.sort(predicted[:, 1]), atol=1e-4)
    layer = model.model.head.logits
    np.testing.assert_allclose(model.embed(jets) @ layer.kernel + layer.bias, logits, atol=1e-5)
    np.testing.assert_array_equal(load(tagger / "best.h5", batch=16).logits(jets), logits)
    with pytest.raises(UserError, match="is a token model; only PET is written as ONNX"):
        model.export_onnx(workdir / "tagger.onnx")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "finetune.py jetclass",
            "a token model needs --backbone RUN, --published-weights FILE, or",
        ),
        (
            "finetune.py jetclass --classes quark --tokeniser {run}",
            "--classes is 'quark'; jetclass",
        ),
        (
            "finetune.py jetclass --classes QCD --train-jets 4000 --tokeniser {run}",
            "--train-jets is 4000; ",
        ),
        ("finetune.py jetclass --released-weights x.h5", "--released-weights are PET's"),
        ("train.py aspen --mode classifier", "--mode is 'classifier'; token models are trained as"),
        ("train.py aspen --tokeniser-only --tokeniser {run}", "--tokeniser-only trains one"),
        ("train.py aspen --tokeniser-epochs -1", "--tokeniser-epochs is -1"),
        ("train.py aspen --tokeniser-only", "--batch has no effect on a tokeniser, whose recipe"),
        ("train.py aspen --body-factor 2", "--body-factor has no effect on a token model"),
        ("train.py aspen --train-jets 32 --preset full", "constituents for 8192 codes"),
    ],
)
def test_invalid_settings_are_refused(line, sentence, run, workdir):
    flags = ["--preset", "full"] if "full" in line else []
    assert sentence in refusal_of(call(workdir, line.format(run=run), "--name", "refused", *flags))


@pytest.mark.parametrize(("flag", "value"), [("--temperature", 0), ("--top-k", -1), ("--jets", 0)])
def test_invalid_settings_of_sampling_are_refused(run, flag, value):
    assert f"{flag} is {value}" in refusal_of(python("evaluate.py", run, flag, value))


def test_tokens_of_other_jets_are_refused(tmp_path):
    path, about = tmp_path / "tokens.h5", {"dataset": "jetclass", "split": "val", "jets": 2}
    write_tokens(path, np.ones((2, 3), int), np.arange(2), "f" * 64, 64, about)
    assert len(read_tokens(path, "f" * 64, 64, about)[1]) == 2
    with pytest.raises(UserError, match=r"'split': 'val', .* expected .*'test'"):
        read_tokens(path, "f" * 64, 64, about | {"split": "test"})
