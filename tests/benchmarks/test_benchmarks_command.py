"""python -m benchmarks lists every program that a user can run, with a line each."""

import importlib

import pytest
from commands import ROOT, output_of, python, refusal_of

from benchmarks.__main__ import programs


@pytest.mark.parametrize("words", ["", "--help", "-h"])
def test_without_a_name_all_programs_are_listed_with_a_line_each(words):
    out = output_of(python(f"-m benchmarks {words}"))
    lines = [line.split(maxsplit=1) for line in out.split("\n\n")[1].splitlines()]
    assert dict(lines) == programs()
    assert all(len(line) > 20 and line.endswith((".", "?")) for line in programs().values())
    assert {"tables", "figures", "demo", "unfolding", "anomaly", "aspen"} <= set(programs())


@pytest.mark.parametrize("name", programs())
def test_a_listed_program_has_a_main_and_a_help(name, capsys):
    module = importlib.import_module(f"benchmarks.{name}")
    with pytest.raises(SystemExit) as stop:
        module.main(["--help"])
    assert stop.value.code == 0
    assert f"python -m benchmarks {name}" in capsys.readouterr().out


def test_a_module_that_is_not_listed_has_no_main():
    listed = programs()
    for path in (ROOT / "benchmarks").glob("[!_]*.py"):
        assert path.stem in listed or "\ndef main(" not in path.read_text()


@pytest.mark.parametrize("name", ["published", "nothing", "../evaluate"])
def test_an_unknown_name_is_refused_with_the_known_ones(name):
    err = refusal_of(python(f"-m benchmarks {name}"))
    assert f"no benchmark {name!r}; expected: python -m benchmarks NAME" in err
    assert "tables" in err
