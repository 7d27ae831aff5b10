"""Tokens: training of a tokeniser and a GPT over its tokens, and evaluation of both.

arXiv:2412.10504. The run directory of train.py holds two trainings, tokeniser/best.h5 and best.h5
(the GPT with its tokeniser); that of finetune.py the second alone. Evaluation samples
RUN/generated, and measures the tokeniser of a run that trained one.
"""

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from omnilearn.config import Config, Start, apart_from_epochs
from omnilearn.data.selection import of_classes
from omnilearn.data.spec import DatasetSpec, JetLabel
from omnilearn.errors import UserError
from omnilearn.fit import Data, batch_of_rank, fit, load_best
from omnilearn.fit import open_data as open_jets
from omnilearn.generation.comparison import compare_observables
from omnilearn.generation.jet_sets import JetSet, read_set, read_split
from omnilearn.generation.sampling import sampled_set, sampling_rate
from omnilearn.generation.task import settings_in
from omnilearn.history import read_history, write_history
from omnilearn.log import log
from omnilearn.model.checkpoint import load_checkpoint
from omnilearn.runs import prepare_run
from omnilearn.settings import without_effect
from omnilearn.tagging import task as tagging
from omnilearn.tokens.codebook import start_codebook
from omnilearn.tokens.jet_gpt import OmniJet, OmniJetConfig
from omnilearn.tokens.objectives import TokeniserObjective, TokenObjective
from omnilearn.tokens.recipes import TOKENISER
from omnilearn.tokens.sampling import TokenSampler, TokenSettings
from omnilearn.tokens.settings import TokenEvaluation, TokenFinetuning, TokenTraining, idle_flags
from omnilearn.tokens.start import (
    given_tokeniser,
    initial_omnijet,
    log_restored_variance,
    start_description,
)
from omnilearn.tokens.token_models import (
    TOKENISER_FOLDER,
    fresh_omnijet,
    fresh_tokeniser,
    load_omnijet,
    load_tokeniser,
    require_tokeniser,
    token_spec,
)
from omnilearn.tokens.tokeniser import Tokeniser, TokeniserConfig
from omnilearn.tokens.tokeniser_quality import read_constituents, tokeniser_quality
from omnilearn.training import distributed
from omnilearn.training.resume import latest_intact_checkpoint

REACH_JETS = 1000  # for the share of constituents that are out of reach
MIXTURE = "all"  # name of a sample of several classes

__all__ = ["evaluate", "finetune", "idle_flags", "recipes", "train"]
SETTINGS, EVALUATION = TokenFinetuning, TokenEvaluation
recipes = tagging.recipes


def not_evaluated(run: Path, settings: TokenEvaluation) -> dict[str, str]:
    """As `tagging.task.not_evaluated`."""
    sampling = [*(item.name for item in fields(TokenSettings)), "rate"]
    if holds_tokeniser_alone(run):
        return without_effect("a tokeniser, which samples no jets", sampling)
    return without_effect("stored jets", sampling) if settings.from_predictions else {}


def holds_tokeniser_alone(run: Path) -> bool:
    """Whether a run has trained a tokeniser and no GPT."""
    return not (run / "best.h5").is_file() and (run / TOKENISER_FOLDER / "best.h5").is_file()


def train(spec: DatasetSpec, config: Config, name: str, settings: TokenTraining) -> None:
    """Train tokeniser and GPT in one run directory; raises UserError for other modes."""
    if config.mode != "generator":
        raise UserError(f"--mode is {config.mode!r}; token models are trained as a generator")
    flags = settings.tokeniser_training
    changes = {**TOKENISER[config.preset], **flags}
    if "batch" not in flags:
        changes["batch"] = batch_of_rank(changes["batch"], config.train_jets)
    tokeniser_config = replace(config, **changes)
    about = {
        "task": "tokens",
        "dataset": spec.name,
        "backbone": None,
        "tokeniser": settings.tokeniser or None,
        "tokeniser_epochs": tokeniser_config.epochs,
        "tokeniser_training": apart_from_epochs(flags),
    }
    if settings.tokeniser:
        tokeniser, of_tokeniser = given_tokeniser(settings), None
    else:
        tokeniser = fresh_tokeniser(spec, config.preset, config.seed)
        of_tokeniser = open_data(spec, tokeniser_config, tokeniser.config)
    data = None if settings.tokeniser_only else open_data(spec, config, tokeniser.config)
    run = prepare_run(config, name, about)
    if of_tokeniser:
        train_tokeniser(of_tokeniser, tokeniser, tokeniser_config, run / TOKENISER_FOLDER, about)
    if data is None:
        if distributed.rank() == 0:
            write_history(run, read_history(run / TOKENISER_FOLDER))
        distributed.barrier()
        return
    omnijet = fresh_omnijet(tokeniser, config.preset, config.seed)
    if settings.tokeniser:
        log_restored_variance(tokeniser, data[1], settings)
    train_gpt(data, omnijet, config, run, about)


def finetune(
    spec: DatasetSpec, config: Config, name: str, start: Start, settings: TokenFinetuning
) -> None:
    """Train the GPT of a backbone, or a fresh one on a given tokeniser, on the jets of a dataset.

    Raises UserError when none is given, or when the GPT was trained with another tokeniser.
    """
    if config.mode != "generator":
        raise UserError(f"--mode is {config.mode!r}; {spec.name} is generated from tokens")
    omnijet = initial_omnijet(spec, config, start, settings)
    about = {"task": "tokens", "dataset": spec.name, **start_description(start, settings)}
    data = open_data(spec, config, omnijet.config.tokeniser)
    log_restored_variance(omnijet.tokeniser, data[1], settings, start.published_weights)
    train_gpt(data, omnijet, config, prepare_run(config, name, about), about)


def open_data(spec: DatasetSpec, config: Config, tokeniser: TokeniserConfig) -> Data:
    """Training and validation jets for a tokeniser; logs which constituents are left out."""
    scaled_spec = token_spec(spec, tokeniser)
    data = open_jets(scaled_spec, config)
    longer, limit = sum(pipeline.files.longer for pipeline in data), scaled_spec.max_constituents
    if longer:
        log.info(
            f"{spec.name}: {longer} jets have more than {limit} constituents: the softest of "
            "those are left out"
        )
    files = data[1].files
    jets = np.arange(min(files.num_jets, REACH_JETS))
    _, mask = read_constituents(files, scaled_spec, jets, tokeniser)
    beyond = 1 - mask.sum() / files.multiplicity[jets].sum()
    if beyond:
        log.info(
            f"{spec.name}: {beyond:.2%} of the constituents have |eta_rel| or |phi_rel| of "
            f"{tokeniser.reach:g} or more ({len(jets)} validation jets): these are left out"
        )
    return data


def train_tokeniser(
    data: Data, tokeniser: Tokeniser, config: Config, run: Path, about: dict
) -> None:
    """Fit the tokeniser and load its best epoch."""
    objective = TokeniserObjective(tokeniser, config.seed)
    start_codebook(objective, data[0], run)
    fit(objective, config, data, run, about)
    load_best(tokeniser, run)


def train_gpt(data: Data, omnijet: OmniJet, config: Config, run: Path, about: dict) -> None:
    """Fit the GPT to the tokens; raises UserError if the run began with another tokeniser."""
    checkpoint = latest_intact_checkpoint(run, OmniJetConfig)
    if checkpoint:
        stored, _ = load_omnijet(str(checkpoint))
        require_tokeniser(stored, omnijet.tokeniser, str(checkpoint), "the tokeniser of this run")
    objective = TokenObjective(omnijet, data[0].spec.max_constituents)
    fit(objective, config, data, run, about)


def evaluate(
    run: Path, spec: DatasetSpec, config: Config, about: dict, settings: TokenEvaluation
) -> dict:
    """Observables of generated jets against those of a split, and the quality of the tokeniser.

    The generated jets stay in the run and are sampled again only with other settings. The
    tokeniser is measured in runs that trained one. Rank 0 has the results.
    """
    data = Path(settings.data or config.data)
    if holds_tokeniser_alone(run):
        tokeniser = load_tokeniser(str(run))
        spec = token_spec(spec, tokeniser.config)
        quality = tokeniser_quality(run, spec, tokeniser, config, settings)
        return {"dataset": spec.name, "model": run.name, **quality}
    solver = TokenSettings(settings.temperature, settings.top_k)
    checkpoint = load_checkpoint(run / "best.h5", OmniJetConfig)
    spec = token_spec(checkpoint.as_trained(spec), checkpoint.model_config.tokeniser)
    sampler = TokenSampler(checkpoint, spec, solver, settings.batch, config.seed)
    truth, origin = read_split(data, spec, settings.split, settings.jets, config.classes)
    sample, truth = as_one_class(spec, truth, config.classes)
    sampler.spec = sample
    if settings.from_predictions:
        if not (run / "generated").is_dir():
            raise UserError(f"{run} holds no generated jets; call without --from-predictions")
        generated, about = read_set(run / "generated", sample)
        sampled_by = settings_in(about, solver)
    else:
        generated = sampled_set(run / "generated", sampler, truth, False, settings.split)
        sampled_by = asdict(solver)
    results: dict[str, Any] = {"dataset": spec.name, "model": run.name, "data": origin}
    results["sampler"] = sampled_by
    if settings.rate:
        results["jets_per_second"] = sampling_rate(sampler, truth)
        results["parameters"] = sampler.omnijet.count_params()
    if (run / TOKENISER_FOLDER).is_dir():
        tokeniser = sampler.omnijet.tokeniser
        results |= tokeniser_quality(run, spec, tokeniser, config, settings)
    if distributed.rank():
        return results
    return {
        **results,
        **compare_observables(run, sample, truth, {"generated": generated}, config.seed),
    }


def as_one_class(spec: DatasetSpec, truth: JetSet, classes: str) -> tuple[DatasetSpec, JetSet]:
    """Dataset and jets with a single class, since the GPT is not conditioned on classes."""
    labels = of_classes(spec, classes)[0].labels
    label = labels[0] if len(labels) == 1 else JetLabel(MIXTURE, "all classes", "#4d4d4d")
    return replace(spec, labels=(label,)), replace(truth, label=np.zeros(len(truth), int))
