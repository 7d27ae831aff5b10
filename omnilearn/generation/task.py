"""Generation of jets: constituents by PET, jet kinematics by a small network; their evaluation.

arXiv:2502.14652, Section VI. A run directory holds both trainings: best.h5 (PET) and
jets/best.h5. Evaluation samples RUN/generated and, with --ideal, RUN/ideal (true kinematics).
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from omnilearn.config import Config, Evaluation, Start, apart_from_epochs, second_training
from omnilearn.data.spec import DatasetSpec
from omnilearn.diffusion import EVALUATIONS
from omnilearn.errors import UserError
from omnilearn.fit import batch_of_rank, fit, fit_pet, fresh, make_pet, open_data
from omnilearn.generation.comparison import compare, compare_observables
from omnilearn.generation.jet_generator import JetGenerator, JetGeneratorConfig
from omnilearn.generation.jet_kinematics import MULTIPLICITY, JetObjective
from omnilearn.generation.jet_sets import JetSet, read_set, read_split
from omnilearn.generation.recipes import JET_NETWORK
from omnilearn.generation.sampling import Sampler, Solver, sampled_set, sampling_rate
from omnilearn.runs import prepare_run
from omnilearn.settings import Settings, option, without_effect
from omnilearn.tagging import task as tagging
from omnilearn.training import distributed

MOST_JETS = 250_000  # default size of a set: 50 000 jets per class of JetNet, as published
SETS = {"generated": False, "ideal": True}  # folder -> whether it has the true jet kinematics


@dataclass(frozen=True)
class GenerationSettings(Settings):
    """Settings of generation beside those of the training of PET."""

    jet_network: dict = second_training("the network of jet kinematics", alias="jet-epochs")


@dataclass(frozen=True)
class GenerationEvaluation(Evaluation):
    """Settings of the evaluation of a generator."""

    steps: int = option(Solver.steps, "steps of the solver", least=1)
    solver: str = option(
        Solver.name,
        "multistep: DPM-Solver++(2M); released: two evaluations per step; stochastic: new noise "
        "in every step",
        choices=tuple(EVALUATIONS),
    )
    guidance: float = option(Solver.guidance, "strength of classifier-free guidance")
    jets: int = option(MOST_JETS, "jets of all classes, at most those of the split", least=1)
    emd_jets: int = option(
        0,
        "jets per batch of coverage and MMD, which take ten batches and the square of this "
        "in time; a class with fewer takes all; 0: 1000, as published",
        least=0,
    )
    rate: bool = option(False, "also measure jets/s of sampling")
    observables: bool = option(
        False, "only distributions of whole jets: KL divergence and W1; seconds instead of minutes"
    )
    ideal: bool = option(False, "also sample with the true kinematics of the jets")


SETTINGS, EVALUATION = GenerationSettings, GenerationEvaluation
recipes, idle_flags = tagging.recipes, tagging.idle_flags


def not_evaluated(run: Path, settings: GenerationEvaluation) -> dict[str, str]:
    """As `tagging.task.not_evaluated`."""
    idle = {}
    if settings.from_predictions:
        idle = without_effect("stored jets", ["ideal", "steps", "solver", "guidance", "rate"])
    if settings.observables:
        idle |= without_effect("--observables, without coverage and MMD", ["emd_jets"])
    return idle


def jet_network_config(config: Config, flags: dict) -> Config:
    """Settings of the network of jet kinematics: those of the run, changed by recipe and flags."""
    return replace(config, **{**JET_NETWORK[config.preset], **flags})


def finetune(
    spec: DatasetSpec, config: Config, name: str, start: Start, settings: GenerationSettings
) -> None:
    """Both trainings, one after the other, in one run directory.

    Raises UserError for modes other than "generator".
    """
    if config.mode != "generator":
        raise UserError(f"--mode is {config.mode!r}; generation trains the generator")
    pet = make_pet(spec, config, start)
    jet_config = jet_network_config(config, settings.jet_network)
    if "batch" not in settings.jet_network:
        batch = batch_of_rank(jet_config.batch, config.train_jets)
        jet_config = replace(jet_config, batch=batch)
    about = {
        "task": "generation",
        "dataset": spec.name,
        "backbone": start.path,
        "jet_epochs": jet_config.epochs,
        "jet_network": apart_from_epochs(settings.jet_network),
    }
    data, jet_data = open_data(spec, config), open_data(spec, jet_config)
    run = prepare_run(config, name, about)
    fit_pet(pet, config, data, run, about)
    sizes = {"num_classes": spec.num_classes, "max_constituents": spec.max_constituents}
    network = fresh(JetGenerator, JetGeneratorConfig(**sizes), jet_config.seed)
    objective = JetObjective(network, {MULTIPLICITY: spec.normalisation.jet_std[MULTIPLICITY]})
    fit(objective, jet_config, jet_data, run / "jets", about)


def evaluate(
    run: Path, spec: DatasetSpec, config: Config, about: dict, settings: GenerationEvaluation
) -> dict:
    """Metrics per class of generated sets against the jets of a split.

    The sets are stored in the run and sampled again only for other settings. The metrics are
    returned on rank 0.
    """
    truth, origin = read_split(
        Path(settings.data or config.data), spec, settings.split, settings.jets, config.classes
    )
    solver = Solver(settings.solver, settings.steps, guidance=settings.guidance)
    if settings.from_predictions:
        sets, sampled_by = stored_sets(run, spec)
    else:
        sampled_by = asdict(solver)
        sampler = Sampler(run, spec, solver, settings.batch, config.seed)
        sets = {
            name: sampled_set(run / name, sampler, truth, ideal, settings.split)
            for name, ideal in SETS.items()
            if settings.ideal or not ideal
        }
    results: dict[str, Any] = {"dataset": spec.name, "model": run.name, "data": origin}
    if settings.rate:  # not of stored jets
        results["jets_per_second"] = sampling_rate(sampler, truth)
        results["parameters"] = sampler.count_params()
    if distributed.rank():
        return results
    if settings.observables:
        metrics = compare_observables(run, spec, truth, sets, config.seed)
    else:
        metrics = compare(run, spec, truth, sets, config.seed, settings.emd_jets)
    return {**results, "sampler": sampled_by, **metrics}


def stored_sets(run: Path, spec: DatasetSpec) -> tuple[dict[str, JetSet], dict]:
    """The sets that an earlier evaluation left, and the settings of the solver of the first.

    Raises UserError without a set.
    """
    stored = {name: read_set(run / name, spec) for name in SETS if (run / name).is_dir()}
    if not stored:
        raise UserError(f"{run} holds no generated jets; call without --from-predictions")
    (_, about), *_ = stored.values()
    return {name: jets for name, (jets, _) in stored.items()}, settings_in(about, Solver())


def settings_in(about: dict, settings: Any) -> dict:
    """The values of these settings, a dataclass, in the description of a stored set."""
    return {name: about[name] for name in asdict(settings) if name in about}
