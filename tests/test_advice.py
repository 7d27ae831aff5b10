"""Messages name flags that the program they advise has; those of all programs name the program."""

import argparse
import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from commands import ROOT

from omnilearn.anomaly import density, sideband_weights
from omnilearn.anomaly import task as anomaly
from omnilearn.config import Config, Start
from omnilearn.generation import task as generation
from omnilearn.settings import add_flags
from omnilearn.tagging import task as tagging
from omnilearn.tokens import task as tokens
from omnilearn.tokens.settings import TokenTraining
from omnilearn.unfolding import task as unfolding

TASKS = (tagging, generation, unfolding, anomaly, tokens)
# "--lr is -1" is no advice: the flag was given
FLAG = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]+)(?![\w-]| is )")
PROGRAM = re.compile(
    r"train\.py|finetune\.py|evaluate\.py|python -m (\w+)|horovodrun|ptrepack|h5clear|pip"
)
FOREIGN = ("horovodrun", "ptrepack", "h5clear", "pip")  # whose flags are not checked
# raised by every program: evaluate.py reads jets and models, and trains classifiers of two samples
SHARED = ("data", "model", "training", "statistics")
OF_SCRIPTS = {
    "train.py": (Config, TokenTraining),
    "finetune.py": (Start, Config, *(task.SETTINGS for task in TASKS)),
    "evaluate.py": tuple(task.EVALUATION for task in (*TASKS, density, sideband_weights)),
}


def flags_of_script(script: str) -> set[str]:
    """Names of the flags of train.py, finetune.py or evaluate.py, of any task."""
    names = {"help"}
    for kind in OF_SCRIPTS[script]:
        parser = argparse.ArgumentParser(conflict_handler="resolve")
        add_flags(parser, kind)
        names |= {option[2:] for option in parser._option_string_actions}
    return names | set(re.findall(r'"--([a-z-]+)"', (ROOT / script).read_text()))


def flags_of_folder(folder: str) -> set[str]:
    """Names of the flags of the commands `python -m FOLDER ...`."""
    text = "".join(path.read_text() for path in (ROOT / folder).glob("*.py"))
    return set(re.findall(r'"--([a-z-]+)"', text)) | {"help", "test-jets", "val-jets"}


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of the sentences in a file that are no docstrings; {} in place of values."""
    tree = ast.parse(path.read_text())
    nodes = [*ast.walk(tree)]
    formatted = [node for node in nodes if isinstance(node, ast.JoinedStr)]
    parts = {id(part) for node in formatted for part in ast.walk(node) if part is not node}
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if id(node) in parts | docstrings:
            continue
        if isinstance(node, ast.JoinedStr):
            pieces = [getattr(part, "value", None) for part in node.values]
            yield node.lineno, "".join(each if isinstance(each, str) else "{}" for each in pieces)
        elif isinstance(node, ast.Constant) and " " in str(node.value):
            yield node.lineno, str(node.value)


def wrong_advice(paths: Iterable[Path], own: set[str]) -> list[str]:
    """The flags in texts of these files that the program named before them, or `own`, lacks."""
    wrong = []
    for path in paths:
        for line, text in texts(path):
            for found in FLAG.finditer(text):
                named = [*PROGRAM.finditer(text[: found.start()])][-1:]
                known = FLAGS[named[0][1] or named[0][0]] if named else own
                if known and found[1].removeprefix("no-") not in known:
                    wrong.append(f"{path.relative_to(ROOT)}:{line}: --{found[1]}")
    return wrong


FLAGS = {script: flags_of_script(script) for script in OF_SCRIPTS}
FLAGS |= {
    folder: flags_of_folder(folder) for folder in ("preprocessing", "simulation", "benchmarks")
}
FLAGS["omnilearn"] = set().union(*(FLAGS[script] for script in OF_SCRIPTS))
FLAGS |= dict.fromkeys(FOREIGN, frozenset())


@pytest.mark.parametrize("folder", ["omnilearn", "preprocessing", "simulation"])
def test_messages_name_flags_that_exist(folder):
    assert not wrong_advice((ROOT / folder).rglob("*.py"), FLAGS[folder])


@pytest.mark.parametrize("folder", SHARED)
def test_messages_of_all_programs_name_no_flag_that_evaluation_lacks(folder):
    assert not wrong_advice((ROOT / "omnilearn" / folder).glob("*.py"), FLAGS["evaluate.py"])
