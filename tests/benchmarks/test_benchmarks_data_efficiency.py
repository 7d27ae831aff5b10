"""The scan over training sizes: every cell once, with a backbone and from scratch; a table."""

from pathlib import Path

import pytest

from benchmarks import data_efficiency
from omnilearn.errors import UserError
from omnilearn.statistics.results import Result, read_results, write_results


@pytest.fixture
def scripts(monkeypatch):
    """Commands instead of trainings: the rejection grows with the jets, and with a backbone."""
    commands = []

    def executed(command):
        commands.append(command)
        if command[1] == "evaluate.py":
            run = Path(command[2])
            ahead = 3.0 if "OmniLearn" in run.name else 1.0
            rejection = Result(ahead * int(run.name.split("_")[-1]), 5.0, 200)
            write_results(
                run / "results.json",
                {
                    "dataset": "top",
                    "model": run.name,
                    "data": "simulated",
                    "auc": Result(0.9, 0.01, 200),
                    "rejection_0.5": rejection,
                },
            )

    monkeypatch.setattr(data_efficiency, "execute", executed)
    return commands


def test_a_scan_trains_every_cell_once_and_reports_all(scripts, tmp_path, capsys):
    line = f"--backbone {tmp_path}/b --train-jets 100,30 --repeats 2 --out {tmp_path}/scan"
    flags = line.split()
    data_efficiency.main(flags)
    trained = [command for command in scripts if command[1] == "finetune.py"]
    trainings = [
        (command[command.index("--train-jets") + 1], "--backbone" in command) for command in trained
    ]
    assert sorted(trainings) == [("100", False), ("100", True), ("30", False), ("30", True)]
    assert all(command[command.index("--repeats") + 1] == "2" for command in trained)
    stored = read_results(tmp_path / "scan" / "data_efficiency.json")
    values = {
        (cell["model"], cell["training_jets"]): cell["metrics"]["rejection_0.5"].value
        for cell in stored["cells"]
    }
    assert values == {
        ("OmniLearn", 30): 90,
        ("OmniLearn", 100): 300,
        ("from scratch", 30): 30,
        ("from scratch", 100): 100,
    }
    assert (tmp_path / "scan" / "data_efficiency.png").is_file()
    assert "| 100 | 0.900 ± 0.010 | 300.0 ± 5.0 |" in capsys.readouterr().out
    scripts.clear()
    data_efficiency.main(flags)
    assert scripts == []


@pytest.mark.parametrize("text", ["", "0,10", "ten"])
def test_sizes_that_are_no_numbers_of_jets_are_refused(text):
    with pytest.raises(UserError, match="--train-jets is"):
        data_efficiency.sizes(text)
