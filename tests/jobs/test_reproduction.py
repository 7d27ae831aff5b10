"""jobs/reproduce.sh makes every table: what it would run is what the scripts understand."""

import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
from commands import ROOT
from job_scripts import bash, printed

from benchmarks import aspen, figures, tables
from benchmarks.published import PUBLISHED
from omnilearn.data.catalogue import CATALOGUE
from omnilearn.errors import UserError
from omnilearn.training import distributed

SMALL = ("--preset", "small")


class Understood(Exception):
    """Raised where a script would begin its work."""


def plan(*flags, **environment) -> list[list[str]]:
    """The job scripts with their arguments, in turn."""
    done = bash("reproduce.sh", "--print", *flags, **environment)
    assert done.returncode == 0, done.stderr
    return [shlex.split(line.partition(": ")[2] or line) for line in done.stdout.splitlines()]


def submitted(*flags, **environment) -> dict[str, tuple[str, set[str]]]:
    """Number -> line and numbers it waits for, under Slurm."""
    done = bash("reproduce.sh", "--print", *flags, OMNILEARN_SITE="cluster", **environment)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    after = {
        number: re.search(r"--dependency=afterok:([\d:]+)", line) for number, line in lines.items()
    }
    return {
        number: (line, set(after[number][1].split(":")) if after[number] else set())
        for number, line in lines.items()
    }


def test_reproduction_trains_before_it_evaluates_and_makes_tables_last():
    lines = submitted(*SMALL)
    assert "jobs/pretrain.sh jetclass --preset small" in lines["1"][0]
    made, evaluated = {}, set()
    for number, (line, after) in lines.items():
        assert all(int(one) < int(number) for one in after)
        start = "finetuned" if "--backbone" in line else "scratch"
        dataset, name = (
            re.search(rf"{before} (\w+)", line) for before in (r"finetune\.sh", "--name")
        )
        if "jobs/anomaly.sh" in line:
            first = made.get(f"runs/lhco_{start}")  # all cells of a model, one kind after the other
            assert after == ({first} if first else {"1"} if start == "finetuned" else set())
            made[f"runs/lhco_{start}"] = number
        elif "jobs/finetune.sh" in line or "jobs/unfold.sh" in line:
            assert after == ({"1"} if start == "finetuned" else set())
            dataset = dataset[1] if dataset else "omnifold"
            assert dataset in CATALOGUE
            made[f"runs/{name[1] if name else f'{dataset}_{start}'}"] = number
        elif "jobs/evaluate.sh" in line:
            words = shlex.split(line)
            assert after == {made[words[words.index("jobs/evaluate.sh") + 1]]}
            evaluated.add(number)
        elif "summary" in line:
            evaluated.add(number)
    assert len(evaluated) == len(made) + 1
    assert "jobs/tables.sh" in line
    assert after == evaluated


def test_every_row_of_ours_in_the_papers_has_its_run():
    made = {" ".join(words) for words in plan()}
    evaluated = {words[1] for words in plan() if words[0] == "jobs/evaluate.sh"}
    for dataset in (*PUBLISHED, "jetnet30", "jetnet150", "omnifold", "lhco", "atlas_4M"):
        assert {f"runs/{dataset}_finetuned", f"runs/{dataset}_scratch"} <= evaluated
    assert "runs/omnifold_deepsets" in evaluated
    for run in ("jetnet30_finetuned", "jetnet30_scratch", "jetnet150_scratch"):
        assert f"jobs/evaluate.sh runs/{run} --ideal" in made
    assert any(
        "atlas" in one and "--train-jets 4000000" in one and "--backbone" in one for one in made
    )


def test_without_slurm_the_same_runs_are_made_in_turn():
    lines = plan()
    assert lines[0] == ["jobs/pretrain.sh", "jetclass"]
    assert [
        "jobs/finetune.sh",
        "top",
        "--name",
        "top_finetuned",
        "--backbone",
        "runs/jetclass",
        "--repeats",
        "5",
    ] in lines
    assert lines[-1] == ["jobs/tables.sh"]
    assert len(lines) == 49


def test_every_cell_of_the_aspen_study_is_an_element_of_one_array_large_ones_on_several_gpus():
    for flags, number in ((("--preset", "full"), 48), (SMALL, 16), (("--preset=small",), 16)):
        known = aspen.cells(aspen.parsed(list(flags)))
        assert len(known) == number
        found = []
        for words in plan(*flags, OMNILEARN_SITE="perlmutter-shifter"):
            if "cells" not in words:
                continue
            (array,) = (word for word in words if word.startswith("--array="))
            first, last = map(int, array.removeprefix("--array=").split("-"))
            ranks = words[words.index("--ranks") + 1] if "--ranks" in words else "1"
            found += range(first, last + 1)
            for cell in known[first : last + 1]:
                assert ranks == ("4" if cell.jets > aspen.MANY_JETS else "1")
        assert found == list(range(number))


def test_the_aspen_backbones_are_those_of_the_study_on_several_gpus():
    flags = aspen.parsed(["--preset", "full", "--out", str(ROOT / "runs" / "aspen_study")])
    lines = [
        words
        for words in plan(OMNILEARN_SITE="perlmutter-shifter")
        if words[-1] == "runs/aspen_study/runs"
    ]
    wanted = list(aspen.backbones(flags).values())
    assert len(lines) == len(wanted) == 3
    for words, command in zip(lines, wanted, strict=True):
        ours = words[words.index("jobs/pretrain.sh") + 1 :]
        assert "--ntasks=12" in words
        assert set(ours[:-2]) == set(command[2:]) - {
            "--preset",
            "full",
            "--data",
            str(flags.data),
            "--runs",
            str(flags.out / "runs"),
        }


def commands(*flags, **environment) -> list[list[str]]:
    """What every job would start, without the launcher: words from the script or -m on."""
    found = []
    for words in plan(*flags, **environment):
        script = next(index for index, word in enumerate(words) if word.startswith("jobs/"))
        array = next((word for word in words[:script] if word.startswith("--array=")), "")
        element = {"SLURM_ARRAY_TASK_ID": array.removeprefix("--array=").split("-")[0]}
        job = {"SLURM_JOB_ID": "7", "SLURM_SUBMIT_DIR": str(ROOT), **(element if array else {})}
        for command in printed(
            Path(words[script]).name,
            *words[script + 1 :],
            **environment,
            **(job if environment else {}),
        ):
            start = next(
                index
                for index, word in enumerate(command)
                if word == "-m" or word.endswith((".py",))
            )
            found.append(command[start:])
    return found


@pytest.fixture
def until_the_work_begins(monkeypatch, tmp_path):
    """Scripts read their command line and no more; runs are described as trainings leave them."""

    def stop():
        raise Understood

    monkeypatch.setattr(distributed, "horovod", stop)
    monkeypatch.chdir(tmp_path)
    tasks = {
        "omnifold": "unfolding",
        "lhco": "anomaly",
        "jetnet30": "generation",
        "jetnet150": "generation",
    }

    def understand(words: list[str]) -> None:
        if words[0] == "evaluate.py":
            dataset = Path(words[1]).name.split("_")[0]
            about = {"config": {}, "task": tasks.get(dataset, "tagging"), "dataset": dataset}
            run = Path(words[1])
            run.mkdir(parents=True, exist_ok=True)
            (run / "config.json").write_text(json.dumps(about))
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(Understood):
            runpy.run_path(str(ROOT / words[0]), run_name="script")["main"]()

    return understand


@pytest.mark.parametrize("site", [{}, {"OMNILEARN_SITE": "cluster"}], ids=["laptop", "slurm"])
@pytest.mark.parametrize("flags", [(), SMALL], ids=["full", "small"])
def test_the_scripts_understand_every_command(until_the_work_begins, flags, site, tmp_path):
    (tmp_path / "runs").mkdir()
    for words in commands(*flags, **site):
        if words[0] != "-m":
            until_the_work_begins(words)
        elif words[2] == "aspen":
            aspen.parsed(words[3:])
        elif words[2] == "tables":
            tables.main(words[3:])
        else:
            assert words[2] == "figures"
            with pytest.raises(UserError, match="holds no dataset with an evaluated run"):
                figures.main(words[3:])


def test_a_flag_that_no_script_has_would_be_noticed(until_the_work_begins):
    with pytest.raises(SystemExit):
        until_the_work_begins(["finetune.py", "top", "--no-such-flag", "1"])
