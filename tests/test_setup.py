"""On an incomplete machine `make setup` prints one sentence with the remedy."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT, run_process

SHELL_TOOLS = (
    *("bash", "cat", "cksum", "cp", "dirname", "flock", "getconf", "grep", "ln", "make"),
    *("mkdir", "readlink", "rm", "sed", "tail", "touch", "wc"),
)
BASE_PYTHON = Path(sys._base_executable).resolve()


class Machine:
    """A copy of the checkout, and a PATH with only the programs that a test adds."""

    def __init__(self, folder: Path):
        self.checkout = folder / "checkout"
        self.bin = folder / "bin"
        self.checkout.mkdir()
        self.bin.mkdir()
        for name in ("setup.sh", "Makefile", "requirements.txt"):
            shutil.copy(ROOT / name, self.checkout / name)
        for tool in SHELL_TOOLS:
            path = shutil.which(tool)
            if path:
                (self.bin / tool).symlink_to(path)

    def add(self, name: str, program: str = "exit 0") -> None:
        """Put a shell script on the PATH."""
        (self.bin / name).write_text(f"#!/bin/sh\n{program}\n")
        (self.bin / name).chmod(0o755)

    def add_compilers(self) -> None:
        for name in ("c++", "cc", "cmake"):
            self.add(name)

    def add_this_python(self) -> None:
        # not a link, beside which Python would look for its library
        self.add("python3", f'exec "{BASE_PYTHON}" "$@"')

    def set_up(self, **environment: str) -> str:
        """The stderr of a set-up that must fail."""
        run = self.run(**environment)
        assert run.returncode != 0
        assert "Traceback" not in run.stderr + run.stdout
        return run.stderr.replace(str(self.bin), "BIN")

    def refusal(self, **environment: str) -> str:
        """The same where it is one sentence."""
        error = self.set_up(**environment)
        assert is_one_sentence(error)
        return error

    def run(self, **environment: str) -> subprocess.CompletedProcess:
        return run_process(
            [self.bin / "bash", "setup.sh"],
            cwd=self.checkout,
            env={"PATH": str(self.bin), "HOME": str(self.checkout), **environment},
            timeout=120,
        )


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def fake_python(version: str, fails_on: str = "nothing") -> str:
    """A shell script with the answers of a Python to the checks of set-up."""
    return f'case "$*" in *{fails_on}*) exit 1;; *version_info*) echo {version};; esac'


def is_one_sentence(text: str) -> bool:
    return text.startswith("error: ") and text.count("\n") == 1 and text.endswith(".\n")


def test_a_missing_python_is_reported(machine):
    assert "no Python 3.11 or 3.12 was found" in machine.refusal()


def test_an_old_python_is_named_with_its_version(machine):
    machine.add("python3", fake_python("3.9"))
    error = machine.refusal()
    assert "BIN/python3 is 3.9" in error
    assert "PYTHON=" in error


def test_a_python_that_does_not_run_is_passed_over(machine):
    machine.add("python3.12", "echo 'pyenv: python3.12: command not found' >&2; exit 127")
    machine.add("python3", fake_python("3.11"))
    assert "no C++ compiler" in machine.set_up()


def test_only_the_requested_python_is_tried(machine):
    machine.add("python3", fake_python("3.11"))
    machine.add("other", fake_python("3.13"))
    assert "BIN/other is 3.13" in machine.set_up(PYTHON=str(machine.bin / "other"))


def test_a_python_without_its_venv_module_names_the_package_to_install(machine):
    machine.add("python3", fake_python("3.12", fails_on="ensurepip"))
    assert "apt install python3.12-venv" in machine.refusal()


def test_a_linked_environment_of_another_checkout_is_left_alone(machine, tmp_path):
    machine.add("python3", fake_python("3.11"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (machine.checkout / ".venv").symlink_to(tmp_path / "other")
    assert f".venv is a link to {tmp_path / 'other'}" in machine.refusal()
    assert (tmp_path / "other" / "pyvenv.cfg").exists()


def test_a_missing_compiler_is_reported_before_any_download(machine):
    machine.add("python3", fake_python("3.11"))
    error = machine.refusal()
    assert "no C++ compiler" in error
    assert "g++" in error
    assert not (machine.checkout / ".venv").exists()


@pytest.mark.parametrize("tool", ["cmake", "make"])
def test_a_missing_build_tool_is_reported_before_any_download(machine, tool):
    machine.add("python3", fake_python("3.11"))
    machine.add_compilers()
    (machine.bin / tool).unlink()
    assert f"no {tool} was found" in machine.refusal()
    assert not (machine.checkout / ".venv").exists()


def test_missing_headers_of_python_name_the_package_to_install(machine):
    machine.add("python3", fake_python("3.11", fails_on="sysconfig"))
    machine.add_compilers()
    assert "apt install python3.11-dev" in machine.refusal()


def test_an_unknown_device_is_refused(machine):
    assert "cpu or gpu" in machine.refusal(DEVICE="tpu")


@pytest.mark.slow
def test_without_a_network_the_log_is_kept_and_the_message_comes_last(machine):
    machine.add_this_python()
    machine.add_compilers()
    error = machine.set_up(
        PIP_CONFIG_FILE=os.devnull, PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="0"
    )
    assert is_one_sentence(error.splitlines(keepends=True)[-1])
    assert "check the network" in error
    assert "127.0.0.1" in (machine.checkout / ".venv" / "setup.log").read_text()
    assert (machine.checkout / ".venv" / "setup.stamp").read_text().startswith("unfinished")


def test_a_failed_environment_does_not_block_the_next_set_up(machine):
    machine.add("python3", fake_python("3.11", fails_on="-m*venv*clear"))
    machine.add_compilers()
    assert "run make setup again" in machine.set_up().splitlines()[-1]
    (machine.bin / "cmake").unlink()
    assert "no cmake" in machine.set_up()
