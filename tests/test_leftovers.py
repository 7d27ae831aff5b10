"""The next command deletes temporary files of ended processes; those of running ones stay."""

import errno
import os

import pytest
from commands import run_program

from omnilearn import leftovers
from omnilearn.atomic import atomic_path
from omnilearn.errors import run_cli
from omnilearn.leftovers import remove_leftovers
from omnilearn.runs import make_folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def kill_while_writing(path):
    program = (
        "import os, signal\nfrom omnilearn.atomic import atomic_path\n"
        f"with atomic_path({str(path)!r}) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run_program(program)


def test_the_temporary_file_of_a_killed_process_is_removed(tmp_path):
    kill_while_writing(tmp_path / "roc.v1.pdf")
    assert len(names(tmp_path)) == 1
    remove_leftovers(tmp_path)
    assert names(tmp_path) == []


def test_a_file_that_is_being_written_stays(tmp_path):
    with atomic_path(tmp_path / "last.h5") as temporary:
        temporary.write_text("half")
        remove_leftovers(tmp_path)
        assert temporary.is_file()
    assert names(tmp_path) == ["last.h5"]


@pytest.mark.parametrize("words", ["1", "1.0f3a"])  # the start of the process, and any more
def test_a_file_of_an_ended_process_goes_though_its_number_is_used_again(tmp_path, words):
    (tmp_path / f".a.{leftovers.host()}-{os.getpid()}-{words}.partial.h5").touch()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == []


def test_a_file_of_another_host_goes_after_a_day_without_a_change(tmp_path):
    old, new = tmp_path / ".a.node7-12-99.partial.h5", tmp_path / ".b.node7-12-99.partial"
    for path in (old, new):
        path.touch()
    os.utime(old, (0, old.stat().st_mtime - 2 * leftovers.ABANDONED))
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [new.name]


@pytest.mark.parametrize("name", [".train.h5.partial", ".partial", ".mine.partial.h5", "a.partial"])
def test_other_names_are_left_alone(tmp_path, name):
    (tmp_path / name).touch()
    os.utime(tmp_path / name, (0, 0))
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [name]


def test_a_full_disk_is_reported_with_the_file_being_written(tmp_path, capsys):
    def fill():
        with atomic_path(tmp_path / "results.json"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert run_cli(fill) == 2
    assert f"{tmp_path / 'results.json'}: the disk is full" in capsys.readouterr().err


def test_a_run_starts_over_an_unfinished_config_json(tmp_path):
    kill_while_writing(tmp_path / "run" / "config.json")
    assert len(names(tmp_path / "run")) == 1
    make_folder(tmp_path / "run")
    assert names(tmp_path / "run") == []


def test_a_folder_in_the_place_of_a_file_is_named_and_not_the_temporary_file(tmp_path):
    path = tmp_path / "best.h5"
    (path / "inside").mkdir(parents=True)
    with pytest.raises(IsADirectoryError) as error, atomic_path(path) as temporary:
        temporary.write_text("weights")
    assert error.value.filename == str(path)
    assert list(tmp_path.iterdir()) == [path]
