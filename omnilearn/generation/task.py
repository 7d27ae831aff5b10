"""Generation: PET learns the constituents of a jet, a small network the jet; new sets and metrics.

arXiv:2502.14652, Section VI. One run directory holds both trainings: best.h5 (PET) and
jets/best.h5. Evaluation samples RUN/generated and, with --ideal, RUN/ideal (true kinematics).
"""

import argparse
from dataclasses import asdict, replace
from pathlib import Path

import keras

from omnilearn.config import Config
from omnilearn.data.spec import DatasetSpec
from omnilearn.diffusion import EVALUATIONS
from omnilearn.errors import UserError
from omnilearn.generation.comparison import compare, compare_observables
from omnilearn.generation.jet_generator import JetGenerator, JetGeneratorConfig
from omnilearn.generation.jet_kinematics import JetObjective, counted_columns
from omnilearn.generation.jet_sets import JetSet, read_set, read_split
from omnilearn.generation.recipes import JET_NETWORK
from omnilearn.generation.sampling import Sampler, Solver, sampled_set, sampling_rate
from omnilearn.runs import prepare_run
from omnilearn.tagging import task as tagging
from omnilearn.training import distributed
from omnilearn.training.optimiser import optimiser_steps
from omnilearn.training.trainer import Trainer

MOST_JETS = 250_000  # of a set, unless more are asked for: 50 000 per class of JetNet, as published
SETS = {"generated": False, "ideal": True}  # folder -> whether it has the true jet kinematics


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of finetune.py for generation."""
    parser.add_argument(
        "--jet-epochs",
        type=int,
        default=0,
        help="epochs of the network of jet kinematics (default: the recipe's)",
    )


def add_evaluation_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of evaluate.py for generation."""
    parser.add_argument(
        "--steps", type=int, default=Solver.steps, help="steps of the solver (default: %(default)s)"
    )
    parser.add_argument(
        "--solver",
        choices=EVALUATIONS,
        default=Solver.name,
        help="multistep: DPM-Solver++(2M); released: two evaluations a step (default: %(default)s)",
    )
    parser.add_argument(
        "--guidance",
        type=float,
        default=Solver.guidance,
        help="strength of classifier-free guidance (default: %(default)s)",
    )
    parser.add_argument(
        "--jets",
        type=int,
        default=MOST_JETS,
        help="jets of all classes, at most those of the split (default: %(default)s)",
    )
    parser.add_argument(
        "--emd-jets",
        type=int,
        default=0,
        help="jets per batch of coverage and MMD, which take ten batches and the square of this "
        "in time; a class with fewer takes all (default: 1000, as published)",
    )
    parser.add_argument("--rate", action="store_true", help="also measure jets/s of sampling")
    parser.add_argument(
        "--observables",
        action="store_true",
        help="only distributions of whole jets: KL divergence and W1; seconds instead of minutes",
    )
    parser.add_argument(
        "--ideal", action="store_true", help="also sample with the true kinematics of the jets"
    )


def finetune(spec: DatasetSpec, config: Config, name: str, arguments: argparse.Namespace) -> None:
    """Both trainings, one after the other, in one run directory.

    Raises UserError for other heads than the generator, and for a negative number of epochs.
    """
    if config.mode != "generator":
        raise UserError(f"--mode is {config.mode!r}; generation trains the generator")
    if arguments.jet_epochs < 0:
        raise UserError(
            f"--jet-epochs is {arguments.jet_epochs}; expected 0 (the recipe's) or more"
        )
    pet, report = tagging.make_pet(spec, config, arguments.backbone, arguments.released_weights)
    if report and distributed.rank() == 0:
        print(report)
    settings = {**JET_NETWORK[config.preset]}
    if arguments.jet_epochs:
        settings["epochs"] = arguments.jet_epochs
    if config.train_jets:  # no batch is larger than the sample
        settings["batch"] = min(settings.get("batch", config.batch), config.train_jets)
    jet_config = replace(config, **settings)
    about = {
        "task": "generation",
        "dataset": spec.name,
        "backbone": arguments.backbone or arguments.released_weights or None,
        "jet_epochs": jet_config.epochs,
    }
    data, jet_data = tagging.open_data(spec, config), tagging.open_data(spec, jet_config)
    run = prepare_run(config, name, about)
    tagging.train(data, pet, config, run, about)
    train_jets(jet_data, spec, jet_config, run / "jets", about)


def train_jets(data: tuple, spec: DatasetSpec, config: Config, run: Path, about: dict) -> None:
    """Fit the network of jet kinematics, always from scratch."""
    training, validation = data
    keras.utils.set_random_seed(config.seed)
    network = JetGenerator(
        JetGeneratorConfig(num_classes=spec.num_classes, max_constituents=spec.max_constituents)
    )
    steps = optimiser_steps(training.steps_per_epoch, config.accumulate)
    about = {**about, "config": asdict(config)}
    objective = JetObjective(network, counted_columns(spec))
    Trainer(objective, config, steps, run, about).fit(training, validation)


def evaluate(
    run: Path, spec: DatasetSpec, config: Config, about: dict, arguments: argparse.Namespace
) -> dict:
    """Metrics per class of the generated jets against those of a split; of both kinds of sets.

    The sets stay in the run and are sampled again only when other ones are asked for. Rank 0 has
    the results.
    """
    if arguments.steps < 1 or arguments.jets < 1 or arguments.emd_jets < 0:
        raise UserError(
            f"--steps is {arguments.steps}, --jets {arguments.jets}, --emd-jets "
            f"{arguments.emd_jets}; expected 1 or more"
        )
    truth, origin = read_split(
        Path(arguments.data or config.data), spec, arguments.split, arguments.jets, config.classes
    )
    solver = Solver(arguments.solver, arguments.steps, guidance=arguments.guidance)
    sets = available_sets(run, spec, truth, arguments, solver, config.seed)
    described = {"dataset": spec.name, "model": run.name, "data": origin}
    if arguments.rate:
        sampler = Sampler(run, spec, solver, arguments.batch, config.seed)
        described["jets_per_second"] = sampling_rate(sampler, truth)
        described["parameters"] = sampler.count_params()
    if distributed.rank():
        return described
    if arguments.observables:
        results = compare_observables(run, spec, truth, sets, config.seed)
    else:
        results = compare(run, spec, truth, sets, config.seed, arguments.emd_jets)
    return {**described, "sampler": asdict(solver), **results}


def available_sets(
    run: Path,
    spec: DatasetSpec,
    truth: JetSet,
    arguments: argparse.Namespace,
    solver: Solver,
    seed: int,
) -> dict[str, JetSet]:
    """The sets asked for, sampled where they are not there; on ranks above 0 they are empty."""
    if arguments.from_predictions:
        folders = [name for name in SETS if (run / name).is_dir()]
        if not folders:
            raise UserError(f"{run} holds no generated jets; call without --from-predictions")
        return {name: read_set(run / name, spec)[0] for name in folders}
    sampler = Sampler(run, spec, solver, arguments.batch, seed)
    wanted = [name for name, ideal in SETS.items() if arguments.ideal or not ideal]
    return {
        name: sampled_set(run / name, sampler, truth, SETS[name], arguments.split)
        for name in wanted
    }
