"""The tagging study: every cell once, to convergence; what training from scratch would need."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from benchmarks import tagging
from omnilearn.errors import UserError
from omnilearn.history import write_history
from omnilearn.statistics.results import Result, read_results, write_results
from omnilearn.tagging.predictions import write_predictions


@pytest.fixture
def commands(monkeypatch):
    """What would have been run; a run's rejection grows with its jets, and with a backbone."""
    commands = []

    def execute(command):
        commands.append(command)
        if command[1] != "evaluate.py":
            return
        run = Path(command[2])
        factor, jets = 3.0 if "OmniLearn" in run.name else 1.0, int(run.name.split("_")[-1])
        for seed in range(2):
            epochs = [
                {"epoch": number, "steps": 10, "validation": {"loss": loss, "cross_entropy": loss}}
                for number, loss in enumerate((0.5, 0.4 - 0.1 * seed, 0.45), start=1)
            ]
            write_history(run / f"seed{seed}", epochs)
            (run / f"seed{seed}" / "config.json").write_text("{}")
            write_predictions(run / f"seed{seed}" / "predictions.h5", predicted(factor, seed), {})
        results = {
            "dataset": "top",
            "model": run.name,
            "data": "simulated",
            "auc": Result(1 - 1 / (factor * jets), 0.01, 200),
            "rejection_0.5": Result(factor * jets, 5.0, 200),
        }
        write_results(run / "results.json", results)

    monkeypatch.setattr(tagging, "execute", execute)
    return commands


def predicted(shift: float, seed: int) -> dict[str, np.ndarray]:
    """Predictions of 400 jets in another order for each seed, the signal shifted."""
    rng = np.random.default_rng(0)
    label = np.arange(400) % 2
    score = rng.normal(size=400) + shift * label
    order = np.random.default_rng(seed).permutation(400)
    arrays = {
        "logits": np.column_stack([np.zeros(400), score]),
        "label": label,
        "weight": np.ones(400),
        "index": np.arange(400),
    }
    return {name: values[order] for name, values in arrays.items()}


def test_every_cell_is_trained_once_to_convergence(commands, tmp_path, capsys):
    flags = ["--train-jets", "100,30", "--repeats", "2", "--out", str(tmp_path)]
    tagging.main(flags)
    trained = [command for command in commands if command[1] == "finetune.py"]
    cells = {
        (command[command.index("--train-jets") + 1], "--backbone" in command) for command in trained
    }
    assert len(trained) == 4
    assert cells == {("100", False), ("100", True), ("30", False), ("30", True)}
    for command in trained:
        assert "--no-decay" in command
        assert int(command[command.index("--epochs") + 1]) == 8 * int(
            command[command.index("--patience") + 1]
        )
    record = read_results(tmp_path / "top.json")
    assert record["backbone"] == "small"
    values = {
        (cell["model"], cell["training_jets"]): cell["metrics"]["rejection_0.5"].value
        for cell in record["cells"]
    }
    assert values["OmniLearn", 100] == 300
    assert values["from scratch", 30] == 30
    ahead = {
        (cell["model"], cell["training_jets"]): cell["metrics"].get("auc_difference")
        for cell in record["cells"]
    }
    assert ahead["from scratch", 100] is None
    # 3 standard deviations and 1 between signal and background, with the same noise
    expected = norm.cdf(3 / np.sqrt(2)) - norm.cdf(1 / np.sqrt(2))
    assert ahead["OmniLearn", 100].value == pytest.approx(expected, abs=0.04)
    assert 0 < ahead["OmniLearn", 100].error < 0.04
    assert (tmp_path / "top.png").is_file()
    assert "| 300.0 ± 5.0 | 0.350 ± 0.071 | 20.00 ± 0.00 |" in capsys.readouterr().out
    commands.clear()
    tagging.main(flags)
    assert commands == []


def test_more_jets_from_scratch_alone_tell_what_scratch_needs(commands, tmp_path, capsys):
    flags = ["--train-jets", "30", "--scratch-jets", "100", "--out", str(tmp_path)]
    tagging.main([*flags, "--repeats", "2"])
    cells = read_results(tmp_path / "top.json")["cells"]
    trained = [(cell["model"], cell["training_jets"]) for cell in cells]
    assert trained == [("OmniLearn", 30), ("from scratch", 30), ("from scratch", 100)]
    table = capsys.readouterr().out.splitlines()
    # a rejection of 3 N from the backbone is that of 3 N jets from scratch
    assert next(line for line in table if line.startswith("| 30 |")).endswith("| 90 |")
    assert next(line for line in table if line.startswith("| 100 |")).endswith("| - | - |")


def test_the_uncertainty_contains_the_statistics_of_the_test_jets():
    of_run = {
        "auc": Result(0.98, 0.003, 100),
        "rejection_0.5": Result(50.0, None, 100, bound="lower"),
        "dataset": "top",
        "statistical": {"auc": 0.004, "rejection_0.5": 5.0},
    }
    combined = tagging.with_test_statistics(of_run)
    assert combined["auc"].error == pytest.approx(0.005)
    assert combined["rejection_0.5"] == of_run["rejection_0.5"]
    assert tagging.with_test_statistics({"auc": of_run["auc"]}) == {"auc": of_run["auc"]}


def test_fewer_jets_wait_more_epochs_for_a_better_loss():
    assert [tagging.patience(jets) for jets in (100, 1000, 10_000, 1_000_000)] == [16, 9, 5, 3]


@pytest.mark.parametrize(
    ("auc", "needs"),
    [(0.9, "1000"), (0.95, "2000"), (0.99, "10000"), (0.999, "> 10000"), (0.6, "< 1000")],
)
def test_what_scratch_needs_is_read_between_its_sizes(auc, needs):
    """One minus the AUC falls as one over the jets."""
    scratch = {1000: 0.9, 10_000: 0.99}
    metrics = {("from scratch", jets): {"auc": Result(a, 0.0, 9)} for jets, a in scratch.items()}
    metrics["OmniLearn", 1000] = {"auc": Result(auc, 0.0, 9)}
    assert tagging.scratch_jets(metrics, 1000) == needs


@pytest.mark.parametrize("text", ["", "0,10", "ten"])
def test_sizes_that_are_no_numbers_of_jets_are_refused(text):
    with pytest.raises(UserError, match="--train-jets is"):
        tagging.sizes(text)
    with pytest.raises(UserError, match="--scratch-jets is"):
        tagging.main(["--scratch-jets", text])
