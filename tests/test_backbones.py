"""Backbones that come with the code are opened by name, intact and described by a card."""

import hashlib
import json
import shutil

import pytest
from flipped_bits import flip_bit
from tiny_models import tiny_and_eager
from tiny_tagger import toy_momenta
from tiny_training import SPEC, opened, tiny_trainer, write_jets

from benchmarks import backbone
from omnilearn import backbones
from omnilearn.api import Tagger, TokenGenerator, load
from omnilearn.config import Config
from omnilearn.errors import UserError
from omnilearn.model.checkpoint import load_checkpoint
from omnilearn.model.pet import PETConfig
from omnilearn.statistics.results import Result, write_results
from omnilearn.stored_json import write_json
from omnilearn.tokens.jet_gpt import OmniJetConfig

SHIPPED = backbones.names()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny pre-trained run with the files that a card is made of."""
    tmp_path = tmp_path_factory.mktemp("trained")
    write_jets(tmp_path, train=16, val=8)
    config = Config(epochs=1, batch=8, warmup_epochs=0, data="/a/place/of/mine")
    training, validation = (opened(tmp_path, split, 8) for split in ("train", "val"))
    run = tmp_path / "run"
    run.mkdir()
    with tiny_and_eager():
        trainer = tiny_trainer(run, config, training)
        trainer.about |= {"task": "pretraining"}
        trainer.fit(training, validation)
    results = {"dataset": "top", "model": "run", "data": "simulated"}
    results |= {"accuracy": Result(0.7, 0.1, 8), "auc": Result(0.8, 0.1, 8)}
    results |= {"auc_one_vs_rest": Result(0.8, 0.1, 8), "rejection_top_0.5": Result(9.0, 1.0, 8)}
    write_results(run / "results.json", {**results, "confusion": [[0.7, 0.3], [0.2, 0.8]]})
    about = {"config": trainer.about["config"], "revision": "0123abc", "task": "pretraining"}
    write_json(run / "config.json", about)
    return run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder of backbones instead of the one that comes with the code."""
    monkeypatch.setattr(backbones, "FOLDER", tmp_path / "backbones")
    return tmp_path / "backbones"


def make_backbone(run, folder, *more):
    backbone.main(["--run", str(run), "--name", "tiny", "--out", str(folder), *more])


def test_a_run_becomes_a_backbone_with_its_card_and_digest(trained, folder, capsys, monkeypatch):
    make_backbone(trained, folder)
    path = backbones.checkpoint_file("tiny")
    assert path == folder / "tiny.h5"
    shipped, best = load_checkpoint(path), load_checkpoint(trained / "best.h5")
    assert {name: array.tobytes() for name, array in shipped.weights.items()} == {
        name: array.tobytes() for name, array in best.weights.items()
    }
    assert not shipped.optimiser
    assert shipped.class_names == SPEC.class_names
    assert "/a/place" not in str(shipped.record)
    card = (folder / "tiny.md").read_text()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest in card
    assert (folder / "SHA256SUMS").read_text() == f"{digest}  tiny.h5\n"
    assert "0.70 ± 0.10" in card
    assert "| 1/eB of top against QCD, eS = 0.5 | 9.0 ± 1.0 |" in card
    assert "one_vs_rest" not in card
    for figure in ("loss", "confusion"):
        assert (folder / f"tiny_{figure}.png").is_file()
    assert "Learning curve" not in card
    capsys.readouterr()
    monkeypatch.setattr("sys.argv", ["backbones"])
    backbones.main()
    listed = capsys.readouterr().out
    assert listed.startswith("tiny: PET of 8 channels")
    assert digest in listed


def test_runs_on_fewer_jets_are_a_learning_curve_on_the_card(trained, folder, tmp_path):
    shutil.copytree(trained, tmp_path / "fewer")
    make_backbone(trained, folder)
    before = (folder / "tiny.h5").stat().st_mtime_ns
    make_backbone(trained, folder, "--curve", str(tmp_path / "fewer"))
    assert (folder / "tiny.h5").stat().st_mtime_ns == before  # the same weights, the same file
    card = (folder / "tiny.md").read_text()
    assert card.count("| 16 | 16 | 0% | ") == 2
    assert (folder / "tiny_learning_curve.png").is_file()


def test_a_card_counts_the_epochs_of_the_run_that_another_began_with(trained, folder, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    about = json.loads((tmp_path / "run/config.json").read_text())
    del about["digest"]
    about["backbone"] = str(trained / "last.h5")
    (tmp_path / "run/config.json").write_text(json.dumps(about))
    make_backbone(tmp_path / "run", folder)
    card = (folder / "tiny.md").read_text()
    assert "32 jets seen in 2 epochs" in card
    assert "learning rate 3e-05 constant for 1 epochs, then falling to zero, Lion" in card


def test_changed_missing_and_unknown_backbones_are_refused(trained, folder):
    make_backbone(trained, folder)
    with pytest.raises(UserError, match=r"--backbone small: no such run directory.* there is tiny"):
        backbones.checkpoint_file("small")
    path = folder / "tiny.h5"
    flip_bit(path, path.stat().st_size // 2)
    with pytest.raises(UserError, match=r"tiny\.h5 does not have the SHA-256"):
        backbones.checkpoint_file("tiny")
    path.unlink()
    with pytest.raises(UserError, match=r"tiny\.h5 not found; it came with the code"):
        backbones.checkpoint_file("tiny")


def test_runs_and_files_serve_as_backbones_too(trained, folder, tmp_path, monkeypatch):
    make_backbone(trained, folder)
    assert backbones.checkpoint_file(trained) == trained / "best.h5"
    assert backbones.checkpoint_file(trained / "last.h5") == trained / "last.h5"
    shutil.copytree(trained, tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    assert backbones.checkpoint_file("./tiny").parent.name == "tiny"
    assert backbones.checkpoint_file("tiny").parent == folder
    for seed in (0, 1):
        shutil.copytree(trained, tmp_path / "repeated" / f"seed{seed}")
    with pytest.raises(UserError, match=r"has 2 trainings; .*--backbone \S*repeated/seed0$"):
        backbones.checkpoint_file(tmp_path / "repeated")


@pytest.mark.parametrize(("name", "kind"), [("small", Tagger), ("small_tokens", TokenGenerator)])
def test_backbones_of_the_code_are_loaded_by_name_and_take_four_momenta(name, kind):
    model = load(name, batch=4)
    assert isinstance(model, kind)
    if kind is Tagger:
        momenta, _ = toy_momenta(4)
        assert model.probabilities(momenta).shape == (4, len(model.classes))
    else:
        assert len(model.sample(2)) == 2


@pytest.mark.parametrize("name", SHIPPED)
def test_backbones_of_the_code_are_intact_and_described(name):
    checkpoint = load_checkpoint(backbones.checkpoint_file(name), PETConfig, OmniJetConfig)
    assert checkpoint.class_names
    assert all(array.dtype == "float32" for array in checkpoint.weights.values())
    card = (backbones.FOLDER / f"{name}.md").read_text()
    assert backbones.digests()[name] in card
