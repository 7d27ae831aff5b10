"""finetune.py shows the flags of a task that have an effect; one without is refused."""

import re
from dataclasses import MISSING, fields

import pytest
from commands import output_of, python, refusal_of

from omnilearn.anomaly.task import SearchSettings
from omnilearn.config import Config, TrainingSettings
from omnilearn.errors import UserError
from omnilearn.generation.task import GenerationEvaluation, GenerationSettings
from omnilearn.settings import from_arguments
from omnilearn.tokens.sampling import TokenSettings
from omnilearn.tokens.settings import TokenEvaluation, TokenTraining
from omnilearn.unfolding.task import UnfoldingSettings

BEFORE = (  # flags of a task before the data set or run, and the complaint about what follows
    ("finetune.py --signal 0,500 lhco --idealised", "no train files of lhco"),
    ("finetune.py --iterations 2 omnifold", "no train files of omnifold"),
    ("train.py --tokeniser-epochs 2 aspen --model omnijet", "no train files of aspen"),
    ("evaluate.py --steps 20 nowhere", "nowhere is not a run directory"),
)
KINDS = (
    Config,
    SearchSettings,
    GenerationSettings,
    GenerationEvaluation,
    TokenTraining,
    TokenEvaluation,
    UnfoldingSettings,
)
# command -> flags beside those of every training, and flags that it must not show
COMMANDS = {
    "train.py jetclass": ("label-drop body-factor feature-drop", "backbone tokeniser"),
    "train.py aspen --model omnijet": (
        "tokeniser-lr tokeniser-epochs tokeniser-only clip-norm",
        "body-factor padding label-drop tokeniser-heads tokeniser-body-factor",
    ),
    "finetune.py top": ("backbone padding", "feature-drop label-drop published-weights"),
    "finetune.py qg": ("backbone feature-drop padding", "label-drop published-weights jet-epochs"),
    "finetune.py jetnet30": (
        "jet-network-lr jet-network-batch jet-epochs label-drop",
        "feature-drop jet-network-body-factor",
    ),
    "finetune.py jetclass --model omnijet --backbone x": ("tokeniser", "gpt-heads padding"),
    "finetune.py omnifold": ("later-lr body-factor", "label-drop val-jets classes"),
    "finetune.py omnifold --classifier deepsets": ("body-factor later-lr", "padding backbone"),
    "finetune.py omnifold --classifier trees": ("patience lr", "later-lr batch optimiser"),
    "finetune.py omnifold --step reweight": ("clip", "iterations later-epochs"),
    "finetune.py lhco": ("density-lr density-body-factor jet-epochs", "feature-drop classes"),
    "finetune.py lhco --idealised": ("signal", "density-lr jet-network-lr stage train-jets"),
}


@pytest.mark.parametrize("line", COMMANDS)
def test_help_shows_the_flags_that_have_an_effect_and_no_others(line, tmp_path):
    out = output_of(python(f"{line} --help"))
    shown = set(re.findall(r"--([a-z0-9-]+)", out.split("show this and stop")[0]))
    expected, absent = (words.split() for words in COMMANDS[line])
    assert {*expected, "data", "seed", "epochs", "preset"} <= shown
    assert not set(absent) & set(re.findall(r"^  --([a-z0-9-]+)", out, re.MULTILINE))
    for name in sorted(set(absent) - {"backbone", "tokeniser"})[:1]:
        value = "1" if name not in ("padding", "optimiser") else "masked"
        assert f"--{name}" in refusal_of(python(line, f"--{name}", value, "--runs", tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("finetune.py top --preset small --lr 0.5", {"epochs": "8", "lr": "0.5"}),
        ("finetune.py omnifold --classifier trees", {"epochs": "500", "iterations": "5"}),
        ("train.py jetclass", {"epochs": "200", "jets-per-epoch": "20000000"}),
    ],
)
def test_help_shows_the_values_of_the_recipe_and_of_the_given_flags(line, values):
    out = output_of(python(f"{line} --help"))
    for name, value in values.items():
        text = re.search(rf"^  --{name} (.*?)^  -", out, re.MULTILINE | re.DOTALL).group(1)
        assert f"(default: {value})" in " ".join(text.split())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_field_has_help_and_a_default_in_its_range(kind):
    settings = kind()  # ranges are checked
    for item in fields(kind):
        assert len(item.metadata["help"]) > 10, item.name
        for inner in item.metadata.get("names", ()):
            assert hasattr(TrainingSettings, inner)
        assert item.default in (getattr(settings, item.name), None, MISSING)


@pytest.mark.parametrize(("command", "complaint"), BEFORE)
def test_flags_of_a_task_may_precede_the_data_set_or_run(command, complaint, tmp_path):
    data = () if command.startswith("evaluate") else ("--data", tmp_path)
    assert complaint in refusal_of(python(command, *data))


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_numbers_that_are_not_finite_are_refused_by_every_flag(value):
    numbers = [
        (kind, item.name)
        for kind in KINDS
        for item in fields(kind)
        if "second" not in item.metadata and item.metadata["kind"] is float
    ]
    assert len(numbers) > 10
    for kind, name in numbers:
        flag = name.replace("_", "-")
        with pytest.raises(UserError, match=f"^--{flag} is {value}; expected a finite number"):
            kind(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("temperature", 1e-9, "temperature is 1e-09; expected 1e-06 or more"),
        ("top_k", -1, "top_k is -1; expected 0 or more"),
    ],
)
def test_an_argument_in_python_is_not_called_a_flag(name, value, sentence):
    with pytest.raises(UserError) as raised:
        from_arguments(TokenSettings, **{"temperature": 1.0, "top_k": 0, name: value})
    assert str(raised.value) == sentence
