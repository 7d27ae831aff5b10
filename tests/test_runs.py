"""Run directories are resumed, refused or overwritten; other folders are left alone."""

import json
from dataclasses import replace

import pytest

from omnilearn.config import Config, read_config
from omnilearn.errors import UserError
from omnilearn.history import read_history
from omnilearn.run_lock import TRAINING, released
from omnilearn.runs import one_command, prepare_run, repeated, trainings, versions
from omnilearn.training import distributed
from omnilearn.writing_process import started

ABOUT = {"task": "tagging", "dataset": "top", "backbone": None}


@pytest.fixture
def config(tmp_path):
    with released():
        yield Config(runs=str(tmp_path / "runs"), epochs=3, data="here")


def names(folder) -> list[str]:
    """Names in a folder without the lock file."""
    return [path.name for path in folder.iterdir() if path.name != TRAINING]


def test_a_run_belongs_to_one_training_at_a_time(config):
    run = prepare_run(config, "top", ABOUT)
    lock = run / TRAINING
    holder = json.loads(lock.read_text()) | {"token": "another", "process": 1}
    holder["started"] = started(1)
    with released():
        pass  # the command has ended
    lock.write_text(json.dumps(holder))
    for overwrite in (False, True):
        with pytest.raises(UserError, match=rf"{run} is written to by process 1 on"):
            prepare_run(replace(config, overwrite=overwrite), "top", ABOUT)
    assert (run / "config.json").exists()


def test_a_new_run_records_its_configuration_versions_and_revision(config):
    run = prepare_run(config, "top_scratch", ABOUT)
    assert run.name == "top_scratch"
    stored, about = read_config(run / "config.json")
    assert stored == config
    assert {key: about[key] for key in ABOUT} == ABOUT
    assert about["versions"].keys() == versions().keys() >= {"keras", "numpy"}
    assert about["revision"]


def test_the_name_on_the_command_line_replaces_the_default(config):
    assert prepare_run(replace(config, name="mine"), "top_scratch", ABOUT).name == "mine"


def test_the_same_run_again_is_resumed_also_with_data_that_moved(config):
    run = prepare_run(config, "top", ABOUT)
    (run / "last.h5").write_text("weights")
    prepare_run(replace(config, data="there", checkpoint_every=7), "top", ABOUT)
    assert (run / "last.h5").read_text() == "weights"
    assert read_config(run / "config.json")[0].data == "there"


def test_a_run_is_resumed_under_its_own_name_and_after_it_was_renamed(config):
    """A refusal would advise --overwrite, which deletes the run."""
    with released():
        run = prepare_run(config, "top", ABOUT)
        (run / "last.h5").write_text("weights")
        prepare_run(replace(config, name="top"), "top", ABOUT)
    renamed = run.rename(run.with_name("renamed"))
    assert prepare_run(replace(config, name="renamed"), "top", ABOUT) == renamed
    assert (renamed / "last.h5").read_text() == "weights"


def test_the_same_run_again_keeps_the_code_and_the_command_that_trained_it(config, monkeypatch):
    run = prepare_run(config, "top", ABOUT)
    before = (run / "config.json").read_bytes()
    monkeypatch.setattr("omnilearn.runs.revision", lambda: "another")
    prepare_run(config, "top", ABOUT)
    assert (run / "config.json").read_bytes() == before


def test_without_a_decay_of_the_rate_the_same_run_takes_more_epochs(config):
    run = prepare_run(replace(config, decay=False), "top", ABOUT)
    prepare_run(replace(config, decay=False, epochs=9), "top", ABOUT)
    assert read_config(run / "config.json")[0].epochs == 9
    with pytest.raises(UserError, match=r"with epochs 9 \(now 10\), decay False \(now True\)"):
        prepare_run(replace(config, epochs=10), "top", ABOUT)


@pytest.mark.parametrize(
    ("change", "about", "message"),
    [
        ({"lr": 0.5}, {}, r"with lr 3e-05 \(now 0\.5\); choose another --name, or .*--overwrite"),
        ({"epochs": 4, "seed": 1}, {}, r"with epochs 3 \(now 4\), seed 0 \(now 1\)"),
        ({}, {"backbone": "runs/jetclass"}, r"with backbone None \(now 'runs/jetclass'\)"),
    ],
)
def test_other_settings_are_refused_naming_what_differs(config, change, about, message):
    run = prepare_run(config, "top", ABOUT)
    before = (run / "config.json").read_text()
    with pytest.raises(UserError, match=message):
        prepare_run(replace(config, **change), "top", {**ABOUT, **about})
    assert (run / "config.json").read_text() == before


def test_overwrite_deletes_this_run_and_no_other(config):
    with released():
        other, run = prepare_run(config, "other", ABOUT), prepare_run(config, "top", ABOUT)
    for folder in (other, run):
        (folder / "last.h5").write_text("weights")
    again = replace(config, lr=0.5, overwrite=True)
    with one_command():
        prepare_run(again, "top", ABOUT)
        assert names(run) == ["config.json"]
        assert (other / "last.h5").exists()
        (run / "last.h5").write_text("weights of the same command")
        prepare_run(again, "top", ABOUT)  # as the repeats of a search, which share runs
        assert (run / "last.h5").exists()
    prepare_run(config, "other", ABOUT)
    for _ in range(2):  # from Python, with locks that are held: every call is a training
        for name in ("other", "top"):
            (run.parent / name / "last.h5").write_text("weights of an earlier call")
            prepare_run(again, name, ABOUT)
            assert names(run.parent / name) == ["config.json"]


@pytest.mark.parametrize("key", ["backbone", "tokeniser"])
def test_overwrite_keeps_a_run_that_the_training_starts_from(config, tmp_path, key):
    run = prepare_run(config, "top", ABOUT)
    (run / "best.h5").write_text("weights")
    (tmp_path / "link").symlink_to(run)
    for start in (run, run / "best.h5", tmp_path / "link"):
        with pytest.raises(UserError, match=rf"top holds {start}, from which .*another --name"):
            prepare_run(replace(config, overwrite=True), "top", {**ABOUT, key: str(start)})
    assert (run / "best.h5").exists()
    prepare_run(replace(config, overwrite=True), "other", {**ABOUT, key: str(run)})


def test_a_single_training_and_repeats_do_not_share_a_name(config):
    """evaluate.py would take the single one and pass over the others."""
    prepare_run(config, "one", ABOUT)
    with pytest.raises(UserError, match=r"one holds a single training, .* another name for the"):
        prepare_run(repeated(config, "one", 2)[0], "one", ABOUT)
    for repeat in repeated(config, "several", 2):
        prepare_run(repeat, "several", ABOUT)
    with pytest.raises(UserError, match=r"trainings of --repeats \(seed0, seed1\); give --repeat"):
        prepare_run(config, "several", ABOUT)


def test_a_rank_that_joins_others_does_not_overwrite_their_run(config, monkeypatch):
    """Ranks that start again leave out --overwrite; a new one may be the first of all."""
    run = prepare_run(config, "top", ABOUT)
    (run / "last.h5").write_text("weights")
    monkeypatch.setattr(distributed, "mean", lambda values: 0.5)
    prepare_run(replace(config, overwrite=True), "top", ABOUT)
    assert (run / "last.h5").exists()


def test_a_run_directory_behind_a_link_stays_where_it_is(config, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "top").symlink_to(scratch)
    with released():
        prepare_run(config, "top", ABOUT)
    (scratch / "last.h5").write_text("weights")
    prepare_run(replace(config, overwrite=True), "top", ABOUT)
    assert names(scratch) == ["config.json"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("present", ["thesis.tex", "config.json"])
def test_a_folder_of_something_else_is_left_alone(config, tmp_path, overwrite, present):
    folder = tmp_path / "runs" / "top"
    folder.mkdir(parents=True)
    (folder / present).write_text('{"model_type": "another"}')
    with pytest.raises(UserError, match=rf"{folder}"):
        prepare_run(replace(config, overwrite=overwrite), "top", ABOUT)
    assert names(folder) == [present]
    assert (folder / present).read_text() == '{"model_type": "another"}'


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_cannot_be_made_is_named(config, tmp_path, overwrite):
    config = replace(config, overwrite=overwrite)
    (tmp_path / "a_file").write_text("")
    for runs, name in ((tmp_path / "a_file", "top"), (tmp_path, "a_file"), ("/proc/here", "top")):
        with pytest.raises(UserError, match=rf"{runs}/{name} cannot be made .*--runs"):
            prepare_run(replace(config, runs=str(runs), name=name), "", ABOUT)


def test_the_folder_of_all_runs_is_refused_with_the_name_of_a_run(config, tmp_path):
    message = "is not a run directory .*"
    with pytest.raises(UserError, match=message + r"; make one with train\.py"):
        trainings(tmp_path)
    run = prepare_run(config, "top", ABOUT)
    with pytest.raises(UserError, match=f"{message}; give one, such as {run}"):
        trainings(run.parent)
    repeat = prepare_run(replace(config, runs=str(tmp_path / "all/top"), name="seed0"), "", ABOUT)
    assert trainings(repeat.parent) == [repeat]
    with pytest.raises(UserError, match=f"{message}; give one, such as {repeat.parent}"):
        trainings(tmp_path / "all")


def test_history_is_read_back_and_a_missing_one_is_named(tmp_path):
    with pytest.raises(UserError, match=r"history\.jsonl not found: the run has not finished"):
        read_history(tmp_path)
    lines = [{"epoch": 1}, {"epoch": 2}]
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_history(tmp_path) == lines
