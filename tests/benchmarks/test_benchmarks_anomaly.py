"""The search from a backbone and from scratch: every cell once, one table, the figures."""

from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import anomaly
from omnilearn.anomaly.metrics import scan
from omnilearn.errors import UserError
from omnilearn.statistics.results import Result, write_results

FLAGS = "--signal 500,0 --repeats 2 --kinds idealised supervised"


def cell(model: str, kind: str, signal: int, seed: int) -> dict:
    """Results of one training: the improvement grows with the signal, and with a backbone."""
    ahead = 2.0 if model == "lhco_finetuned" else 1.0
    value = Result(ahead * (2 + signal / 500) + 0.1 * seed, 0.2, 4000)
    return {
        "dataset": "lhco",
        "data": "simulated",
        "kind": kind,
        "signal": signal,
        "seed": seed,
        "backbone": "b" if ahead == 2 else "",
        "max_sic": value,
        "initial_significance": 1.5,
        "background_efficiency_floor": 0.002,
        "events": {"test_background": 5000},
        "significance_1": Result(0.3 - seed, 1.0, 900),
        "significance_0.1": value,
        "significance_0.01": value,
        "significance_0.001": Result(float("nan"), None, 900, reason="few"),
        "curve": {"signal_efficiency": [0.2, 0.5], "improvement": [value, value]},
    }


@pytest.fixture
def scripts(monkeypatch):
    """Commands instead of trainings."""
    commands = []

    def executed(command):
        commands.append(command)
        if command[1] != "evaluate.py":
            return
        run, cells = Path(command[2]), []
        for kind, signal in (("idealised", 0), ("idealised", 500), ("supervised", 0)):
            for seed in (0, 1):
                cells.append(cell(run.name, kind, signal, seed))
                name = kind if kind == "supervised" else f"{kind}_signal{signal}"
                (run / name / f"seed{seed}").mkdir(parents=True)
                write_results(run / name / f"seed{seed}" / "results.json", cells[-1])
        write_results(run / "results.json", scan(cells))

    monkeypatch.setattr(anomaly, "execute", executed)
    return commands


@pytest.mark.slow
def test_every_cell_is_trained_once_and_all_are_in_the_table(scripts, tmp_path, capsys):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "best.h5").touch()
    folders = f"--backbone {tmp_path}/b --runs {tmp_path}/runs --out {tmp_path}/out"
    flags = f"{folders} {FLAGS} --epochs 3".split()
    anomaly.main(flags)
    trained = [command for command in scripts if command[1] == "finetune.py"]
    assert len(trained) == 4
    assert sum("--backbone" in command for command in trained) == 2
    assert sum("--supervised" in command for command in trained) == 2
    assert all(command[-1] != "--epochs" and "3" in command for command in trained)
    idealised = next(command for command in trained if "--idealised" in command)
    assert idealised[idealised.index("--signal") + 1] == "0,500"
    table = (tmp_path / "out" / "table.md").read_text()
    assert "| idealised | 500 | 1.50 | 2 | 6.050 ± 0.034" in table
    assert "floor: 0.002 of 5000 events" in table
    assert table in capsys.readouterr().out
    names = ("scan", "improvement_idealised_signal500", "improvement_supervised")
    for name in names:
        assert (tmp_path / "out" / f"{name}.pdf").stat().st_size > 1000
    scripts.clear()
    anomaly.main(flags)
    assert scripts == []


def test_folds_are_cells_of_their_own():
    flags = Namespace(runs=Path("runs"), repeats=2, signal=[500], folds=2)
    names = [run.name for run in anomaly.cells("OmniLearn", "idealised", flags)]
    assert names == ["seed0_fold0", "seed0_fold1", "seed1_fold0", "seed1_fold1"]


def test_text_that_is_no_number_of_signal_events_is_refused():
    with pytest.raises(UserError, match="--signal is 'many'"):
        anomaly.signals("many")


def test_a_folder_without_scans_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no evaluated scan"):
        anomaly.report(tmp_path, tmp_path / "out")
