"""Every recipe of full size has the settings of the released scripts, or its row in FIDELITY.md."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from omnilearn.anomaly.recipes import DENSITY
from omnilearn.config import Config
from omnilearn.generation.sampling import Solver
from omnilearn.recipes import FINETUNING, PRETRAINING, SCRATCH, recipe
from omnilearn.unfolding.recipes import UNFOLDING

TESTS = Path(__file__).parent
RELEASED = json.loads((TESTS / "data" / "released_settings.json").read_text())["settings"]
FIDELITY = (TESTS.parent / "FIDELITY.md").read_text()

# (task, setting) -> the point of FIDELITY.md with the reason for the difference
DIFFERENT = {
    ("pretraining", "script_batch"): "batch of pre-training",
    ("jetnet30", "sampler_steps"): "sampler",
    ("jetnet30", "jet_sampler_steps"): "sampler",
    ("jetnet150", "sampler_steps"): "sampler",
    ("jetnet150", "jet_sampler_steps"): "sampler",
    ("lhco density", "sampler_steps"): "sampler",
    ("lhco density", "jet_sampler_steps"): "sampler",
    ("omnifold", "weight_decay_of_the_body"): "weight decay of the body in unfolding",
    ("omnifold", "last_rate_over_first"): "last rate in unfolding",
    ("omnifold", "later_decay"): "rate after the first iteration",
}


def ours(task: str) -> dict:
    """Our settings of a task by the names that the released ones have."""
    if task == "pretraining":
        settings = recipe(PRETRAINING, "jetclass", "full")
    elif task == "lhco density":
        settings = {"preset": "full", **DENSITY["full"]}
    else:
        settings = recipe(FINETUNING, task, "full")
    config = Config(**settings)
    assert (config.optimiser, config.decay, config.preset) == ("lion", True, "full")
    settings = {
        **asdict(config),
        "lr_factor": config.body_factor,
        "clipnorm": config.clip_norm or None,
        "beta2": config.beta2 or 0.99,
        "script_batch": config.batch,
        "weight_decay_of_the_body": config.weight_decay * config.body_factor,
        "last_rate_over_first": 0.0,
        "sampler_steps": Solver.steps,
        "jet_sampler_steps": Solver.jet_steps,
    }
    if task == "omnifold":
        unfolding = UNFOLDING["full"]
        settings |= {
            "later_decay": config.decay,
            **{name: unfolding[name] for name in ("iterations", "later_epochs", "later_lr")},
        }
    return settings


@pytest.mark.parametrize("task", RELEASED)
def test_a_recipe_has_the_released_settings_or_a_row_with_the_reason(task):
    settings = ours(task)
    for name, value in RELEASED[task].items():
        if (task, name) in DIFFERENT:
            assert settings[name] != value, f"{task}: {name} is the released one, it needs no row"
            assert f"| {DIFFERENT[task, name]}" in FIDELITY
        elif name == "patience" and value is None:  # no early stop: never before the last epoch
            assert settings[name] >= settings["epochs"], task
        else:
            expected = 0.0 if name == "weight_decay" and value is None else value
            assert settings[name] == expected, name


def test_every_listed_difference_concerns_a_released_setting():
    for task, name in DIFFERENT:
        assert name in RELEASED[task]


def test_clipping_and_momenta_are_as_released_for_every_task():
    """A script that sets neither has Lion's default momenta and no clipping."""
    for task, released in RELEASED.items():
        settings = ours(task)
        assert settings["clipnorm"] == released.get("clipnorm")
        assert settings["beta2"] == released.get("beta2", 0.99)


@pytest.mark.parametrize("task", [task for task in RELEASED if " " not in task])
def test_training_from_scratch_differs_in_the_learning_rate_of_the_body_alone(task):
    assert recipe(SCRATCH, task, "full") == {"preset": "full", "body_factor": 1.0}


def test_every_recipe_of_full_size_is_compared_or_has_no_released_script():
    """Aspen Open Jets has another model in its paper; other datasets are the user's."""
    compared = {"jetclass" if task == "pretraining" else task.split()[0] for task in RELEASED}
    names = {
        name for table in (PRETRAINING, FINETUNING) for name, preset in table if preset == "full"
    }
    assert names - compared == {"aspen", "any other dataset"}
