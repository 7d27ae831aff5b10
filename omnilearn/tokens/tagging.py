"""Tagging with a token model, from the sum over the sentence (arXiv:2403.05618)."""

from pathlib import Path

from omnilearn.config import Config, Evaluation, Start
from omnilearn.data.selection import of_classes
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.fit import fit
from omnilearn.runs import prepare_run
from omnilearn.tagging import task as tagging
from omnilearn.tokens.jet_gpt import OmniJet, OmniJetConfig
from omnilearn.tokens.objectives import TokenTaggingObjective
from omnilearn.tokens.settings import TokenFinetuning, idle_flags
from omnilearn.tokens.start import initial_omnijet, log_restored_variance, start_description
from omnilearn.tokens.task import open_data, recipes
from omnilearn.tokens.token_models import built_omnijet, token_spec

__all__ = ["idle_flags", "not_evaluated", "recipes"]

SETTINGS, EVALUATION = TokenFinetuning, Evaluation
not_evaluated = tagging.not_evaluated


def finetune(
    spec: DatasetSpec, config: Config, name: str, start: Start, settings: TokenFinetuning
) -> None:
    """One training of GPT and classifier; the tokeniser stays fixed.

    Raises UserError for other modes and for datasets with one class.
    """
    names = of_classes(spec, config.classes)[0].class_names
    if config.mode != "classifier" or len(names) < 2:
        raise UserError(
            f"--mode is {config.mode!r} and the classes are {', '.join(names)}; a token "
            "model tags with --mode classifier and two classes or more"
        )
    omnijet = initial_omnijet(spec, config, start, settings, spec.num_classes)
    about = {"task": "token_tagging", "dataset": spec.name, **start_description(start, settings)}
    data = open_data(spec, config, omnijet.config.tokeniser)
    log_restored_variance(omnijet.tokeniser, data[1], settings, start.published_weights)
    run = prepare_run(config, name, about)
    fit(TokenTaggingObjective(omnijet), config, data, run, about)


def evaluate(
    run: Path, spec: DatasetSpec, config: Config, about: dict, settings: Evaluation
) -> dict:
    """Metrics of the logits, as for any tagger."""
    return tagging.evaluate(run, spec, config, about, settings, best_omnijet)


def best_omnijet(run: Path, spec: DatasetSpec) -> tuple[OmniJet, DatasetSpec]:
    """The model of a run directory at its best epoch, and `spec` as it was trained on it."""
    checkpoint = tagging.best_checkpoint(run, spec, OmniJetConfig)
    spec = token_spec(checkpoint.as_trained(spec), checkpoint.model_config.tokeniser)
    return built_omnijet(checkpoint), spec
