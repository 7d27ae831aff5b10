"""Messages appear once, from rank 0, on the current stdout, and need no TensorFlow."""

import logging
import sys

import pytest
from commands import run_program

from omnilearn.log import log
from omnilearn.training import distributed


def test_a_message_is_a_plain_line_on_stdout(capfd):
    log.info("10 jets, 100 % of them")
    assert capfd.readouterr() == ("10 jets, 100 % of them\n", "")


def test_only_rank_zero_prints(capsys, monkeypatch):
    for rank in (0, 1):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        log.info(f"rank {rank}")
    assert capsys.readouterr().out == "rank 0\n"


def test_messages_are_filtered_by_the_level_of_the_logger(capsys):
    logging.getLogger("omnilearn").setLevel("WARNING")
    try:
        log.info("progress")
        log.warning("attention")
    finally:
        log.setLevel("INFO")
    assert capsys.readouterr().out == "attention\n"


def test_a_full_output_raises_as_print_does(monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(OSError, match="No space left"):
            log.info("a line")
        monkeypatch.undo()
        with pytest.raises(OSError, match="No space left"):
            full.close()  # the line is still in its buffer


def test_logging_does_not_load_tensorflow():
    program = (
        "import sys\n"
        "from omnilearn.log import log\n"
        "log.info('written')\n"
        "assert not {'tensorflow', 'horovod'} & set(sys.modules)\n"
    )
    run = run_program(program)
    assert (run.returncode, run.stdout, run.stderr) == (0, "written\n", "")
