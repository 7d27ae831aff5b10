"""Tokens: a tokeniser of constituents, a GPT over its tokens, new jets and what both are worth.

arXiv:2412.10504. The run directory of train.py holds two trainings, tokeniser/best.h5 and best.h5
(the GPT with its tokeniser); that of finetune.py the second alone. Evaluation samples
RUN/generated, and measures a tokeniser where it was trained.
"""

import argparse
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from omnilearn.atomic import atomic_path
from omnilearn.config import Config
from omnilearn.data.selection import class_numbers
from omnilearn.data.spec import DatasetSpec, JetLabel
from omnilearn.errors import UserError
from omnilearn.generation.comparison import compare_observables
from omnilearn.generation.jet_sets import JetSet, read_set, read_split
from omnilearn.generation.sampling import sampled_set, sampling_rate
from omnilearn.generation.task import MOST_JETS
from omnilearn.model.checkpoint import assign_weights, load_checkpoint
from omnilearn.runs import prepare_run
from omnilearn.tagging import task as tagging
from omnilearn.tokens.codebook import start_codebook
from omnilearn.tokens.jet_gpt import OmniJet, OmniJetConfig
from omnilearn.tokens.objectives import TokeniserObjective, TokenObjective
from omnilearn.tokens.published_weights import GPT_HEADS, TOKENISER_HEADS
from omnilearn.tokens.recipes import TOKENISER
from omnilearn.tokens.sampling import TokenSampler, TokenSettings
from omnilearn.tokens.start import given_tokeniser, say_what_is_restored, start_of, started_omnijet
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
from omnilearn.training.optimiser import optimiser_steps
from omnilearn.training.resume import latest_intact_checkpoint
from omnilearn.training.trainer import Trainer

JETS_LOOKED_AT = 1000  # for the share of constituents that are out of reach
MIXTURE = "all"  # name of a sample of several classes: tokens know of none


def add_training_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of train.py for token models."""
    add_tokeniser_flags(parser)
    parser.add_argument(
        "--tokeniser-epochs",
        type=int,
        default=0,
        help="epochs of the tokeniser (default: the recipe's)",
    )
    parser.add_argument(
        "--tokeniser-only", action="store_true", help="train no GPT, e.g. for GPTs from scratch"
    )


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of finetune.py for token models."""
    add_tokeniser_flags(parser)
    parser.add_argument(
        "--gpt-heads",
        type=int,
        default=GPT_HEADS,
        help="heads of a GPT in --published-weights, whose arrays do not tell (default: "
        "%(default)s)",
    )


def add_tokeniser_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of train.py and finetune.py that say which tokeniser is used."""
    parser.add_argument(
        "--tokeniser",
        default="",
        help="run whose tokeniser is used, or an npz or safetensors file of the public "
        "OmniJet-alpha (default: a backbone has its own; train.py trains one)",
    )
    parser.add_argument(
        "--tokeniser-heads",
        type=int,
        default=TOKENISER_HEADS,
        help="heads of a tokeniser in such a file, whose arrays do not tell (default: %(default)s; "
        "arXiv:2403.05618 has 8)",
    )


def add_evaluation_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of evaluate.py for token models."""
    parser.add_argument(
        "--temperature",
        type=float,
        default=TokenSettings.temperature,
        help="logits are divided by it (default: %(default)s)",
    )
    parser.add_argument(
        "--top-k",
        type=int,
        default=TokenSettings.top_k,
        help="draw among so many most likely tokens; 0: all (default: %(default)s)",
    )
    parser.add_argument(
        "--jets",
        type=int,
        default=MOST_JETS,
        help="jets, at most those of the split (default: %(default)s)",
    )
    parser.add_argument("--rate", action="store_true", help="also measure jets/s of sampling")


def train(spec: DatasetSpec, config: Config, name: str, arguments: argparse.Namespace) -> None:
    """Tokeniser, then GPT, in one run directory.

    Raises UserError for heads that tokens do not have and a negative number of epochs.
    """
    if config.mode != "generator":
        raise UserError(f"--mode is {config.mode!r}; token models are trained as a generator")
    if arguments.tokeniser_only and arguments.tokeniser:
        raise UserError("--tokeniser-only trains one; leave out --tokeniser")
    if arguments.tokeniser_epochs < 0:
        raise UserError(f"--tokeniser-epochs is {arguments.tokeniser_epochs}; expected 0 or more")
    settings = {**TOKENISER[config.preset]}
    if arguments.tokeniser_epochs:
        settings["epochs"] = arguments.tokeniser_epochs
    if config.train_jets:  # no batch is larger than the sample
        settings["batch"] = min(settings["batch"], config.train_jets)
    own = replace(config, **settings)
    about = {
        "task": "tokens",
        "dataset": spec.name,
        "backbone": None,
        "tokeniser": arguments.tokeniser or None,
        "tokeniser_epochs": own.epochs,
    }
    if arguments.tokeniser:
        tokeniser = given_tokeniser(arguments)
        run = prepare_run(config, name, about)
    else:
        tokeniser = fresh_tokeniser(spec, config.preset, config.seed)
        data = open_data(spec, own, tokeniser.config)
        run = prepare_run(config, name, about)
        train_tokeniser(data, tokeniser, own, run / TOKENISER_FOLDER, about)
    if arguments.tokeniser_only:
        if distributed.rank() == 0:
            with atomic_path(run / "history.jsonl") as temporary:
                history = run / TOKENISER_FOLDER / "history.jsonl"
                temporary.write_text(history.read_text())
        distributed.barrier()
        return
    omnijet = fresh_omnijet(tokeniser, config.preset, config.seed)
    data = open_data(spec, config, tokeniser.config)
    if arguments.tokeniser:
        say_what_is_restored(tokeniser, data[1], arguments)
    train_gpt(data, omnijet, config, run, about)


def finetune(spec: DatasetSpec, config: Config, name: str, arguments: argparse.Namespace) -> None:
    """The GPT of a backbone, or a fresh one on a given tokeniser, for the jets of a dataset.

    Raises UserError when there is neither, or when they do not belong together.
    """
    if config.mode != "generator":
        raise UserError(f"--mode is {config.mode!r}; {spec.name} is generated from tokens")
    omnijet = started_omnijet(spec, config, arguments)
    about = {"task": "tokens", "dataset": spec.name, **start_of(arguments)}
    data = open_data(spec, config, omnijet.config.tokeniser)
    say_what_is_restored(omnijet.tokeniser, data[1], arguments)
    train_gpt(data, omnijet, config, prepare_run(config, name, about), about)


def open_data(spec: DatasetSpec, config: Config, tokeniser: TokeniserConfig) -> tuple:
    """Training and validation jets as the tokeniser reads them; what is left out is said."""
    read = token_spec(spec, tokeniser)
    data = tagging.open_data(read, config)
    longer, most = sum(pipeline.files.longer for pipeline in data), tokeniser.max_constituents
    if longer and distributed.rank() == 0:
        print(
            f"{spec.name}: {longer} jets have more than {most} constituents: the softest of "
            "those are left out",
            flush=True,
        )
    files = data[1].files
    jets = np.arange(min(files.num_jets, JETS_LOOKED_AT))
    _, mask = read_constituents(files, read, jets, tokeniser)
    beyond = 1 - mask.sum() / files.multiplicity[jets].sum()
    if beyond and distributed.rank() == 0:
        print(
            f"{spec.name}: {beyond:.2%} of the constituents have |eta_rel| or |phi_rel| of "
            f"{tokeniser.reach:g} or more ({len(jets)} validation jets): such are left out",
            flush=True,
        )
    return data


def train_tokeniser(
    data: tuple, tokeniser: Tokeniser, config: Config, run: Path, about: dict
) -> None:
    """Fit the tokeniser and leave it at its best epoch."""
    training, validation = data
    objective = TokeniserObjective(tokeniser, config.seed)
    start_codebook(objective, training, run)
    steps = optimiser_steps(training.steps_per_epoch, config.accumulate)
    about = {**about, "config": asdict(config)}
    Trainer(objective, config, steps, run, about).fit(training, validation)
    checkpoint = load_checkpoint(run / "best.h5", TokeniserConfig)
    assign_weights(tokeniser, checkpoint.weights, str(checkpoint.path))


def train_gpt(data: tuple, omnijet: OmniJet, config: Config, run: Path, about: dict) -> None:
    """Fit the GPT to the tokens; raises UserError when the run has begun with other ones."""
    training, validation = data
    begun = latest_intact_checkpoint(run, OmniJetConfig)
    if begun:
        before, _ = load_omnijet(str(begun))
        require_tokeniser(before, omnijet.tokeniser, str(begun), "the tokeniser of this run")
    steps = optimiser_steps(training.steps_per_epoch, config.accumulate)
    about = {**about, "config": asdict(config)}
    Trainer(TokenObjective(omnijet), config, steps, run, about).fit(training, validation)


def evaluate(
    run: Path, spec: DatasetSpec, config: Config, about: dict, arguments: argparse.Namespace
) -> dict:
    """Observables of generated jets against those of a split; the tokeniser where it was trained.

    The set stays in the run and is sampled again only when another one is asked for. Rank 0 has
    the results.
    """
    if arguments.jets < 1:
        raise UserError(f"--jets is {arguments.jets}; expected 1 or more")
    data = Path(arguments.data or config.data)
    if not (run / "best.h5").is_file() and (run / TOKENISER_FOLDER / "best.h5").is_file():
        tokeniser = load_tokeniser(str(run))
        read = token_spec(spec, tokeniser.config)
        found = tokeniser_quality(run, read, tokeniser, config, arguments)
        return {"dataset": spec.name, "model": run.name, **found}
    settings = TokenSettings(arguments.temperature, arguments.top_k)
    stored = load_checkpoint(run / "best.h5", OmniJetConfig).model_config
    read = token_spec(spec, stored.tokeniser)
    sampler = TokenSampler(run, read, settings, arguments.batch, config.seed)
    truth, origin = read_split(data, read, arguments.split, arguments.jets, config.classes)
    sample, truth = one_sample(read, truth, config.classes)
    sampler.spec = sample
    if arguments.from_predictions:
        if not (run / "generated").is_dir():
            raise UserError(f"{run} holds no generated jets; call without --from-predictions")
        generated = read_set(run / "generated", sample)[0]
    else:
        generated = sampled_set(run / "generated", sampler, truth, False, arguments.split)
    results = {"dataset": spec.name, "model": run.name, "data": origin, "sampler": asdict(settings)}
    if arguments.rate:
        results["jets_per_second"] = sampling_rate(sampler, truth)
        results["parameters"] = sampler.omnijet.count_params()
    if (run / TOKENISER_FOLDER).is_dir():
        tokeniser = sampler.omnijet.tokeniser
        results |= tokeniser_quality(run, read, tokeniser, config, arguments)
    if distributed.rank():
        return results
    return {
        **results,
        **compare_observables(run, sample, truth, {"generated": generated}, config.seed),
    }


def one_sample(spec: DatasetSpec, truth: JetSet, classes: str) -> tuple[DatasetSpec, JetSet]:
    """Dataset and jets as one sample: tokens are trained without classes."""
    numbers = class_numbers(spec, classes) if classes else range(spec.num_classes)
    labels = [spec.labels[number] for number in numbers]
    label = labels[0] if len(labels) == 1 else JetLabel(MIXTURE, "all classes", "#4d4d4d")
    return replace(spec, labels=(label,)), replace(truth, label=np.zeros(len(truth), int))
