"""Print Markdown tables of the flags of every command, read from the programs' own --help.

python docs/_site/flags.py

Each program is run with --help, and the parser that would print it is kept: its flags, their help
and choices. Nothing of how the programs make their parsers is known here.
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
# title -> command line; what comes later shows only flags that the first one lacks
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
    "evaluate.py, any run": "tagging/qg_scratch",
    "evaluate.py, generated jets": "generation/jetnet30_scratch",
    "evaluate.py, unfolding": "unfolding/omnifold_deepsets",
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
def caught() -> Iterator[list[argparse.ArgumentParser]]:
    """Collect the parsers that are asked to print their help."""
    found: list[argparse.ArgumentParser] = []
    before = argparse.ArgumentParser.print_help
    argparse.ArgumentParser.print_help = lambda parser, file=None: found.append(parser)
    try:
        yield found
    finally:
        argparse.ArgumentParser.print_help = before


def parser_of(line: str, module: bool = False) -> argparse.ArgumentParser:
    """The parser with which `python LINE --help` prints its help."""
    script, *words = line.split()
    before = sys.argv
    sys.argv = [script, *words, "--help"]
    try:
        run = runpy.run_module if module else runpy.run_path
        quiet = contextlib.redirect_stdout(io.StringIO())
        with caught() as found, quiet, contextlib.suppress(SystemExit):
            run(script if module else str(ROOT / script), run_name="__main__")
    finally:
        sys.argv = before
    if not found:
        raise SystemExit(f"python {line} --help printed no help")
    return found[-1]


def flags_of(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Flag or argument -> help, without --help itself and what help does not show."""
    rows = {}
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction) or action.help == argparse.SUPPRESS:
            continue
        name = " ".join(f"`{one}`" for one in action.option_strings) or f"`{action.dest}`"
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
    """The common flags once, then those that a task adds."""
    found = {title: flags_of(parser_of(line)) for title, line in TRAINING.items()}
    common = set.intersection(*map(set, found.values()))
    first = next(iter(found.values()))
    yield section(COMMON, "finetune.py NAME", {n: t for n, t in first.items() if n in common})
    for title, rows in found.items():
        if own := {name: text for name, text in rows.items() if name not in common}:
            yield section(title, TRAINING[title], own)


def evaluations() -> Iterator[str]:
    found = {
        title: flags_of(parser_of(f"evaluate.py {RUNS / run}")) for title, run in EVALUATION.items()
    }
    first, *rest = found
    yield section(first, "evaluate.py RUN", found[first])
    for title in rest:
        own = {name: text for name, text in found[title].items() if name not in found[first]}
        if own:
            yield section(title, "evaluate.py RUN", own)


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.path.insert(0, str(ROOT))
    # programs may look into the folder of data and runs
    with tempfile.TemporaryDirectory() as empty:
        os.chdir(empty)
        parts = [*trainings(), *evaluations()]
        for title, line in MODULES.items():
            parts.append(section(title, f"-m {line}", flags_of(parser_of(line, module=True))))
    print("\n".join(parts))


if __name__ == "__main__":
    main()
