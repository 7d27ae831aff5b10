"""jobs/reproduce.sh makes every table, and the scripts accept all its commands."""

import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
from commands import ROOT
from job_scripts import bash, printed, slurm

from benchmarks import aspen, figures, tables
from benchmarks.published import PUBLISHED
from omnilearn.data.catalogue import CATALOGUE
from omnilearn.errors import UserError
from omnilearn.training import distributed

SMALL = ("--preset", "small")


class FlagsAccepted(Exception):
    """Raised where a script would begin its work."""


def plan(*flags, **environment) -> list[list[str]]:
    """The job scripts with their arguments, in turn."""
    process = bash("reproduce.sh", "--print", *flags, **environment)
    assert process.returncode == 0, process.stderr
    return [shlex.split(line.partition(": ")[2] or line) for line in process.stdout.splitlines()]


def submitted() -> dict[str, tuple[str, set[str]]]:
    """Job -> line and the jobs that it depends on, under Slurm, with the small preset."""
    process = bash("reproduce.sh", "--print", *SMALL, OMNILEARN_SITE="cluster")
    assert process.returncode == 0, process.stderr
    jobs = {}
    for text in process.stdout.splitlines():
        job, line = text.split(": ", 1)
        after = re.search(r"--dependency=afterok:([\d:]+)", line)
        jobs[job] = line, set(after[1].split(":")) if after else set()
    return jobs


def test_reproduction_trains_before_it_evaluates_and_makes_tables_last():
    lines = submitted()
    assert "jobs/pretrain.sh jetclass --preset small" in lines["1"][0]
    trained, evaluated = {}, set()
    for job, (line, after) in lines.items():
        assert all(int(earlier) < int(job) for earlier in after)
        start = "finetuned" if "--backbone" in line else "scratch"
        dataset, name = (
            re.search(rf"{before} (\w+)", line) for before in (r"finetune\.sh", "--name")
        )
        if "jobs/anomaly.sh" in line:
            first = trained.get(f"runs/lhco_{start}")  # the kinds of cells of a model in turn
            assert after == ({first} if first else {"1"} if start == "finetuned" else set())
            trained[f"runs/lhco_{start}"] = job
        elif "jobs/finetune.sh" in line or "jobs/unfold.sh" in line:
            assert after == ({"1"} if start == "finetuned" else set())
            dataset = dataset[1] if dataset else "omnifold"
            assert dataset in CATALOGUE
            trained[f"runs/{name[1] if name else f'{dataset}_{start}'}"] = job
        elif "jobs/evaluate.sh" in line:
            words = shlex.split(line)
            assert after == {trained[words[words.index("jobs/evaluate.sh") + 1]]}
            evaluated.add(job)
        elif "summary" in line:
            evaluated.add(job)
    assert len(evaluated) == len(trained) + 1
    assert "jobs/tables.sh" in line
    assert after == evaluated


def test_every_model_of_this_suite_in_the_tables_has_its_run():
    lines = {" ".join(words) for words in plan()}
    evaluated = {words[1] for words in plan() if words[0] == "jobs/evaluate.sh"}
    for dataset in (*PUBLISHED, "jetnet30", "jetnet150", "omnifold", "lhco", "atlas_4M"):
        assert {f"runs/{dataset}_finetuned", f"runs/{dataset}_scratch"} <= evaluated
    assert "runs/omnifold_deepsets" in evaluated
    for run in ("jetnet30_finetuned", "jetnet30_scratch", "jetnet150_scratch"):
        assert f"jobs/evaluate.sh runs/{run} --ideal" in lines
    assert any(
        "atlas" in line and "--train-jets 4000000" in line and "--backbone" in line
        for line in lines
    )


def test_without_slurm_the_same_runs_are_made_in_turn():
    lines = plan()
    assert lines[0] == ["jobs/pretrain.sh", "jetclass"]
    line = "jobs/finetune.sh top --name top_finetuned --backbone runs/jetclass --repeats 5"
    assert line.split() in lines
    assert lines[-1] == ["jobs/tables.sh"]
    assert len(lines) == 49


def test_every_cell_of_the_aspen_study_is_an_element_of_an_array_large_ones_on_several_gpus():
    for flags, count in ((("--preset", "full"), 48), (SMALL, 16), (("--preset=small",), 16)):
        cells = aspen.cells(aspen.parsed(list(flags)))
        assert len(cells) == count
        elements = []
        for words in plan(*flags, OMNILEARN_SITE="perlmutter-shifter"):
            if "cells" not in words:
                continue
            (array,) = (word for word in words if word.startswith("--array="))
            first, last = map(int, array.removeprefix("--array=").split("-"))
            ranks = words[words.index("--ranks") + 1] if "--ranks" in words else "1"
            elements += range(first, last + 1)
            for cell in cells[first : last + 1]:
                assert ranks == ("4" if cell.jets > aspen.MANY_JETS else "1")
        assert elements == list(range(count))


def test_the_aspen_backbones_are_those_of_the_study_on_several_gpus():
    flags = aspen.parsed(["--preset", "full", "--out", str(ROOT / "runs" / "aspen_study")])
    lines = [
        words
        for words in plan(OMNILEARN_SITE="perlmutter-shifter")
        if words[-1] == "runs/aspen_study/runs"
    ]
    expected = list(aspen.backbones(flags).values())
    assert len(lines) == len(expected) == 3
    for words, command in zip(lines, expected, strict=True):
        arguments = words[words.index("jobs/pretrain.sh") + 1 :]
        assert "--ntasks=12" in words
        assert set(arguments[:-2]) == set(command[2:]) - {
            "--preset",
            "full",
            "--data",
            str(flags.data),
            "--runs",
            str(flags.out / "runs"),
        }


def commands(*flags, **environment) -> list[list[str]]:
    """The commands that all jobs start, without the launcher: words from the script or -m on."""
    started = []
    for words in plan(*flags, **environment):
        script = next(index for index, word in enumerate(words) if word.startswith("jobs/"))
        array = next((word for word in words[:script] if word.startswith("--array=")), "")
        element = {"SLURM_ARRAY_TASK_ID": array.removeprefix("--array=").split("-")[0]}
        job = slurm(**(element if array else {})) if environment else {}
        for command in printed(Path(words[script]).name, *words[script + 1 :], **job):
            start = next(
                index for index, word in enumerate(command) if word == "-m" or word.endswith(".py")
            )
            started.append(command[start:])
    return started


@pytest.fixture
def read_flags(monkeypatch, tmp_path):
    """A function that runs a script until it has read its flags; runs of evaluate.py have the
    config.json of a training."""

    def stop():
        raise FlagsAccepted

    monkeypatch.setattr(distributed, "horovod", stop)
    monkeypatch.chdir(tmp_path)
    tasks = {
        "omnifold": "unfolding",
        "lhco": "anomaly",
        "jetnet30": "generation",
        "jetnet150": "generation",
    }

    def read(words: list[str]) -> None:
        if words[0] == "evaluate.py":
            dataset = Path(words[1]).name.split("_")[0]
            about = {"config": {}, "task": tasks.get(dataset, "tagging"), "dataset": dataset}
            run = Path(words[1])
            run.mkdir(parents=True, exist_ok=True)
            (run / "config.json").write_text(json.dumps(about))
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(FlagsAccepted):
            runpy.run_path(str(ROOT / words[0]), run_name="script")["main"]()

    return read


@pytest.mark.parametrize("site", [{}, {"OMNILEARN_SITE": "cluster"}], ids=["laptop", "slurm"])
@pytest.mark.parametrize("flags", [(), SMALL], ids=["full", "small"])
def test_the_scripts_accept_the_flags_of_every_command(read_flags, flags, site, tmp_path):
    (tmp_path / "runs").mkdir()
    for words in commands(*flags, **site):
        if words[0] != "-m":
            read_flags(words)
        elif words[2] == "aspen":
            aspen.parsed(words[3:])
        elif words[2] == "tables":
            tables.main(words[3:])
        else:
            assert words[2] == "figures"
            with pytest.raises(UserError, match="holds no dataset with an evaluated run"):
                figures.main(words[3:])


def test_an_unknown_flag_would_be_noticed(read_flags):
    with pytest.raises(SystemExit):
        read_flags(["finetune.py", "top", "--no-such-flag", "1"])
