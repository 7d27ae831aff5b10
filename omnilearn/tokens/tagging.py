"""Tagging with a token model: the sum over the sentence that the GPT reads (arXiv:2403.05618)."""

import argparse
from dataclasses import asdict
from pathlib import Path

from omnilearn.config import Config
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.model.checkpoint import load_checkpoint
from omnilearn.runs import prepare_run
from omnilearn.tagging import task as tagging
from omnilearn.tokens.jet_gpt import OmniJet, OmniJetConfig
from omnilearn.tokens.objectives import TokenTaggingObjective
from omnilearn.tokens.start import say_what_is_restored, start_of, started_omnijet
from omnilearn.tokens.task import add_flags, open_data
from omnilearn.tokens.token_models import built_omnijet, token_spec
from omnilearn.training.optimiser import optimiser_steps
from omnilearn.training.trainer import Trainer

__all__ = ["add_flags", "evaluate", "finetune"]


def finetune(spec: DatasetSpec, config: Config, name: str, arguments: argparse.Namespace) -> None:
    """One training of GPT and classifier; the tokeniser stays.

    Raises UserError for other heads and where there is nothing to tell apart.
    """
    if config.mode != "classifier" or spec.num_classes < 2:
        raise UserError(
            f"--mode is {config.mode!r} and {spec.name} has {spec.num_classes} classes; a token "
            "model tags with --mode classifier and two classes or more"
        )
    omnijet = started_omnijet(spec, config, arguments, spec.num_classes)
    about = {"task": "token_tagging", "dataset": spec.name, **start_of(arguments)}
    training, validation = open_data(spec, config, omnijet.config.tokeniser)
    say_what_is_restored(omnijet.tokeniser, validation, arguments)
    run = prepare_run(config, name, about)
    steps = optimiser_steps(training.steps_per_epoch, config.accumulate)
    about = {**about, "config": asdict(config)}
    objective = TokenTaggingObjective(omnijet)
    Trainer(objective, config, steps, run, about).fit(training, validation)


def best_omnijet(run: Path) -> OmniJet:
    """The model of a run directory at its best epoch."""
    return built_omnijet(load_checkpoint(run / "best.h5", OmniJetConfig))


def evaluate(
    run: Path, spec: DatasetSpec, config: Config, about: dict, arguments: argparse.Namespace
) -> dict:
    """Results of the logits, as those of any tagger."""
    stored = load_checkpoint(run / "best.h5", OmniJetConfig).model_config
    read = token_spec(spec, stored.tokeniser)
    return tagging.evaluate(run, read, config, about, arguments, best_omnijet)
