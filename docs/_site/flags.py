"""Print Markdown tables of the flags of every command, as its --help shows them.

python docs/_site/flags.py

Each program is run with --help, and print_help of its argparse parser is replaced by a function
that stores the parser. So the tables do not depend on how a program builds its parser.
"""

import argparse
import contextlib
import io
import os
import runpy
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "benchmarks" / "results"
COMMON = "Common to all trainings"
# title -> command line; flags of all commands are shown once, under COMMON
TRAINING = {
    "train.py, PET": "train.py jetclass",
    "train.py, tokens": "train.py aspen --model omnijet",
    "finetune.py, tagging": "finetune.py top",
    "finetune.py, generation": "finetune.py jetnet30",
    "finetune.py, unfolding": "finetune.py omnifold",
    "finetune.py, search for a resonance": "finetune.py lhco",
    "finetune.py, tokens": "finetune.py jetclass --model omnijet --mode generator",
}
EVALUATION = {
    "evaluate.py, any run": "tagging/jetclass",
    "evaluate.py, generated jets": "generation/jetnet30_scratch",
    "evaluate.py, unfolding": "unfolding/events_64000/omnifold_deepsets",
    "evaluate.py, generator of a search": "anomaly/density_h100",
    "evaluate.py, tokens": "aspen/aspen_omnijet",
}
MODULES = {
    "python -m preprocessing NAME": "preprocessing top",
    "python -m preprocessing download NAME": "preprocessing download",
    "python -m preprocessing check FILE": "preprocessing check",
    "python -m simulation NAME": "simulation jetclass",
}


@contextlib.contextmanager
def parsers_of_help() -> Iterator[list[argparse.ArgumentParser]]:
    """Collect the parsers whose print_help is called, and print nothing."""
    parsers: list[argparse.ArgumentParser] = []
    print_help = argparse.ArgumentParser.print_help
    argparse.ArgumentParser.print_help = lambda parser, file=None: parsers.append(parser)
    try:
        yield parsers
    finally:
        argparse.ArgumentParser.print_help = print_help


def parser_of(line: str, module: bool = False) -> argparse.ArgumentParser:
    """The parser with which `python LINE --help` prints its help."""
    script, *words = line.split()
    argv = sys.argv
    sys.argv = [script, *words, "--help"]
    try:
        run = runpy.run_module if module else runpy.run_path
        quiet = contextlib.redirect_stdout(io.StringIO())
        with parsers_of_help() as parsers, quiet, contextlib.suppress(SystemExit):
            run(script if module else str(ROOT / script), run_name="__main__")
    finally:
        sys.argv = argv
    if not parsers:
        raise SystemExit(f"python {line} --help printed no help")
    return parsers[-1]


def flags_of(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Flag or argument -> help, without --help itself and hidden flags."""
    rows = {}
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction) or action.help == argparse.SUPPRESS:
            continue
        name = " ".join(f"`{flag}`" for flag in action.option_strings) or f"`{action.dest}`"
        if action.choices and not isinstance(action, argparse._SubParsersAction):
            name += f" ({', '.join(map(str, action.choices))})"
        text = (action.help or "").replace("%%", "%")
        with contextlib.suppress(KeyError, TypeError, ValueError):
            text = (action.help or "") % {**vars(action), "prog": parser.prog}
        rows[name] = " ".join(text.split())
    return rows


def table(rows: dict[str, str]) -> str:
    lines = [f"| {name} | {text.replace('|', chr(92) + '|')} |" for name, text in rows.items()]
    return "\n".join(["| flag | what it does |", "| --- | --- |", *lines, ""])


def section(title: str, command: str, rows: dict[str, str]) -> str:
    return f"## {title}\n\n`python {command} --help`\n\n{table(rows)}"


def trainings() -> Iterator[str]:
    """The common flags, then those that each task adds."""
    tables = {title: flags_of(parser_of(line)) for title, line in TRAINING.items()}
    names = set.intersection(*map(set, tables.values()))
    first = next(iter(tables.values()))
    common = {name: text for name, text in first.items() if name in names}
    yield section(COMMON, "finetune.py NAME", common)
    for title, rows in tables.items():
        if added := without(rows, common):
            yield section(title, TRAINING[title], added)


def evaluations() -> Iterator[str]:
    """The flags of any run, then those that each task adds."""
    common: dict[str, str] = {}
    for title, run in EVALUATION.items():
        rows = flags_of(parser_of(f"evaluate.py {RUNS / run}"))
        if added := without(rows, common):
            yield section(title, "evaluate.py RUN", added)
        common = common or rows


def without(rows: dict[str, str], common: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in rows.items() if name not in common}


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.path.insert(0, str(ROOT))
    # in an empty folder, since programs read the folders of data and runs
    with tempfile.TemporaryDirectory() as empty:
        os.chdir(empty)
        sections = [*trainings(), *evaluations()]
        for title, line in MODULES.items():
            sections.append(section(title, f"-m {line}", flags_of(parser_of(line, module=True))))
    print("\n".join(sections))


if __name__ == "__main__":
    main()
