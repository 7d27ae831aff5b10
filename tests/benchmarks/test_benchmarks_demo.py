"""The demos: each command runs once, a failing one is named, and the table has all models."""

import ast
import os
import sys

import pytest

from benchmarks import demo, demo_full
from benchmarks.scripts import environment, words_of
from benchmarks.stages import run_stages
from omnilearn.errors import UserError
from omnilearn.statistics.results import Result, write_results


def test_a_stage_runs_once_and_a_failing_stage_stops_the_demo(tmp_path, capfd):
    write = "import pathlib; pathlib.Path({!r}).open('a').write('x')".format(str(tmp_path / "x"))
    stages = [
        {"first": [[sys.executable, "-c", write]]},
        {"second": [[sys.executable, "-c", "exit(3)"], [sys.executable, "-c", write]]},
    ]
    for _ in range(2):
        with pytest.raises(UserError, match=r"'second' failed with exit code 3.* run: make demo"):
            run_stages(stages, tmp_path, "make demo")
    assert (tmp_path / "x").read_text() == "x"
    assert "[1/2] first: done before" in capfd.readouterr().out


def test_commands_of_a_stage_run_at_the_same_time_and_print_in_order(tmp_path, capfd):
    first, second = tmp_path / "first", tmp_path / "second"
    wait = (
        "import pathlib, time\n"
        "pathlib.Path({!r}).touch()\n"
        "while not pathlib.Path({!r}).exists():\n"
        "    time.sleep(0.01)\n"
        "print('ended', {!r})"
    )
    stage = {
        "train": [[sys.executable, "-c", wait.format(str(first), str(second), "training")]],
        "evaluate": [[sys.executable, "-c", wait.format(str(second), str(first), "evaluation")]],
    }
    assert run_stages([stage], tmp_path, "make demo").keys() == {"train", "evaluate"}
    out = capfd.readouterr().out
    positions = [
        out.index(text)
        for text in ("[1/1] evaluate", "ended training", "evaluate:\n    ended evaluation")
    ]
    assert positions == sorted(positions)


def test_a_command_that_succeeded_is_not_repeated_when_another_of_its_stage_failed(tmp_path, capfd):
    stage = {
        "once": [[sys.executable, "-c", f"open({str(tmp_path / 'x')!r}, 'x')"]],  # fails twice
        "failing": [[sys.executable, "-c", "raise SystemExit('no jets')"]],
    }
    for _ in range(2):
        with pytest.raises(UserError, match="'failing' failed with exit code 1"):
            run_stages([stage], tmp_path, "make demo")
        assert "no jets" in "".join(capfd.readouterr()).replace("'no jets'", "")


@pytest.mark.parametrize("module", [demo, demo_full])
def test_all_names_in_the_commands_of_a_demo_are_replaced(module, tmp_path):
    commands = [
        (title, words)
        for stage in module.stages(tmp_path)
        for title, in_turn in stage.items()
        for words in in_turn
    ]
    for title, words in commands:
        assert words[0].startswith("/")
        assert title == "scores from Python" or not {"{", "}"} & set("".join(words))


def test_names_in_a_command_are_replaced_and_python_is_the_running_one():
    assert words_of("{python} a {b}", b="x y") == [sys.executable, "a", "x y"]


def test_the_snippet_is_python_and_loads_the_first_training(tmp_path):
    assert 'top_finetuned")' in demo.snippet(tmp_path)
    assert 'top_finetuned/seed0")' in demo.snippet(tmp_path, 3)
    assert len(ast.parse(demo.snippet(tmp_path)).body) == 6


def test_the_table_has_a_row_per_model(tmp_path):
    for name in demo.RUNS:
        results = dict.fromkeys(demo.METRICS, Result(0.5, 0.1, 20))
        (tmp_path / name).mkdir()
        (tmp_path / name / "history.jsonl").touch()
        write_results(tmp_path / name / "results.json", results)
    head, rows = demo.table(tmp_path)
    assert [row[:2] for row in rows] == [
        ["OmniLearn", "1000"],
        ["from scratch", "1000"],
        ["from scratch", "10000"],
    ]
    assert all(len(row) == len(head) for row in rows)
    assert rows[0][-2:] == ["1", "20"]


def test_programs_that_run_together_share_the_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)))
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "7")
    assert environment(1)["TF_NUM_INTRAOP_THREADS"] == "7"
    assert environment(3)["TF_NUM_INTRAOP_THREADS"] == "5"
    assert environment(99)["TF_NUM_INTRAOP_THREADS"] == "1"
