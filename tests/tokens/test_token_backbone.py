"""A token model as a backbone that comes with the code, and its jets from Python."""

import awkward as ak
import numpy as np
import pytest
from commands import python, refusal_of
from documented import run_doctests, run_example

from benchmarks import token_backbone
from omnilearn import backbones
from omnilearn.api import TokenGenerator, load
from omnilearn.errors import UserError
from omnilearn.statistics.results import read_results
from omnilearn.tokens.token_models import fingerprint, load_omnijet, load_tokeniser

pytestmark = pytest.mark.slow


def test_a_run_becomes_a_backbone_with_a_card(run, evaluated, tmp_path, monkeypatch):
    monkeypatch.setattr(backbones, "FOLDER", tmp_path)
    token_backbone.main(["--run", str(run), "--name", "tiny", "--out", str(tmp_path)])
    given, (shipped, _) = load_tokeniser(str(run)), load_omnijet("tiny")
    tokenisers = (shipped.tokeniser, *map(load_tokeniser, ("tiny", str(run / "best.h5"))))
    assert {fingerprint(tokeniser) for tokeniser in tokenisers} == {fingerprint(given)}
    card = (tmp_path / "tiny.md").read_text()
    assert backbones.digests(tmp_path)["tiny"] in card
    assert "Tokeniser of 64 codes and GPT of 16 channels and 1 blocks" in card
    results = read_results(run / "results.json")
    assert f"| codes_used | {results['tokeniser']['codes_used'].text} |" in card
    assert f"| w1_jet_pt | {results['generated']['data']['w1_jet_pt'].text} |" in card
    assert (tmp_path / "tiny_loss.png").is_file()


def test_new_jets_from_python_are_those_of_the_run_and_of_its_checkpoint(
    run, evaluated, workdir, monkeypatch
):
    monkeypatch.chdir(workdir)
    assert len(run_example("docs/python.md", "aspen_omnijet")["new"]) == 1000
    generator = load(run, batch=8)
    assert isinstance(generator, TokenGenerator)
    jets, fewer = generator.sample(10, seed=3), load(run / "best.h5", batch=4).sample(6, seed=3)
    np.testing.assert_array_equal(ak.num(jets.constituents), jets.jet.multiplicity)
    for name in ("pt", "eta", "phi"):
        np.testing.assert_allclose(
            ak.flatten(fewer.constituents[name]), ak.flatten(jets.constituents[name][:6]), rtol=1e-4
        )
    assert ak.all(jets.constituents.pt[:, 1:] <= jets.constituents.pt[:, :-1])
    found = run_doctests(TokenGenerator, tokens=generator)
    assert (found.failed, found.attempted) == (0, 2)


def test_the_temperature_changes_the_jets_and_impossible_ones_are_refused(run):
    generator = load(run, batch=8)
    likely, again, usual = (generator.sample(8, top_k=k) for k in (1, 1, 0))
    np.testing.assert_array_equal(ak.flatten(likely.jet.pt, 0), ak.flatten(again.jet.pt, 0))
    assert len(np.unique(ak.to_numpy(likely.jet.pt))) == 1  # the most likely sentence, every time
    assert len(np.unique(ak.to_numpy(usual.jet.pt))) > 1
    for name, value, sentence in (
        ("temperature", 0.0, r"^temperature is 0\.0; expected 1e-06 or more"),
        ("temperature", np.inf, "^temperature is inf; expected a finite number"),
        ("top_k", -1, "^top_k is -1; expected 0 or more"),
    ):
        with pytest.raises(UserError, match=sentence):
            generator.sample(1, **{name: value})
    with pytest.raises(UserError, match="number 0, seed 0: expected 1 or more"):
        generator.sample(0)


def test_a_token_model_is_no_backbone_of_pet(run, workdir):
    err = refusal_of(python("finetune.py top --backbone", run, "--data", workdir / "data"))
    assert (
        "holds a model of the kind 'omnijet', expected 'pet'; finetune.py --model omnijet takes it"
        in err
    )
