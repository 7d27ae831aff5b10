"""Search for a resonance of two jets without labels: idealised, or with a generated reference.

arXiv:2502.14652, Section VIII, and arXiv:2404.16091v2. The reference of the classifier is
independent background (--idealised) or what a generator trained in the sidebands makes in the
signal region (CATHODE, arXiv:2109.00546): --stage density, sample and classify, one after the other
by default.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from omnilearn.anomaly import density
from omnilearn.anomaly.cwola import Classifications, cells, model_folder, trained_classifier
from omnilearn.anomaly.dijet_sampling import DijetSampler, reference_files, sampled_reference
from omnilearn.anomaly.dijets import Dijets
from omnilearn.anomaly.event_roles import SearchConfig, divide
from omnilearn.anomaly.metrics import cell_metrics
from omnilearn.anomaly.recipes import ANOMALY
from omnilearn.config import Config, Evaluation, Start, second_training
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.generation.sampling import Solver
from omnilearn.settings import Settings, flags_of, option, without_effect
from omnilearn.tagging import task as tagging
from omnilearn.tagging.predictions import read_predictions, write_predictions
from omnilearn.training import distributed

SAMPLING_BATCH = 256  # jets
OF_PIPELINES = ("jets_per_epoch", "classes", "val_jets", "weighted")  # a search has its own
OF_OTHER_OBJECTIVES = ("regression_weight", "feature_drop")


@dataclass(frozen=True)
class SearchSettings(Settings):
    """What to search for and how; how the classifier learns stands in Config."""

    default_is: ClassVar = "recipe, else"

    signal: str = option(
        "0", "injected signal events in the signal region; several, like 0,500,1000, are a scan"
    )
    idealised: bool = option(
        False, "the reference is independent background", exclusive="reference"
    )
    supervised: bool = option(
        False,
        "all signal against all background by their true labels, for orientation",
        exclusive="reference",
    )
    stage: str = option(
        "all",
        "without --idealised: train the generator in the sidebands, sample the reference in "
        "the signal region, classify, or all of it; flags of other stages are taken and do "
        "nothing",
        choices=("all", "density", "sample", "classify"),
    )
    data_background: int = option(
        100_000, "background in the data, in training and validation together", least=1
    )
    reference_background: int = option(
        350_000, "events of reference, in training and validation together", least=1
    )
    density: dict = second_training("PET in the sidebands", "body_factor")
    density_seed: int = option(0, "seed of the generator, which all repeats share", least=0)
    jet_network: dict = second_training("the network of kinematics", alias="jet-epochs")
    sampling_steps: int = option(Solver.steps, "steps of the solver for constituents", least=1)
    cells_by_rank: bool = option(
        False, "every rank trains cells of its own, instead of all ranks each cell"
    )

    @property
    def kind(self) -> str:
        """Where the reference is from."""
        return "supervised" if self.supervised else "idealised" if self.idealised else "cathode"

    @property
    def signals(self) -> list[int]:
        return signal_counts(self.signal)


SETTINGS, EVALUATION = SearchSettings, Evaluation
NOT_EVALUATED = without_effect("a search, which has events of its own for testing", ["split"])
OF_GENERATOR = (
    *("train_jets", "label_drop", "stage", "density_seed", "sampling_steps"),
    *flags_of(SearchSettings, "density"),
    *flags_of(SearchSettings, "jet_network"),
)


def recipes(config: Config, asked: dict) -> tuple[dict, dict]:
    """Nothing for the configuration; numbers of events, and one generator for all repeats."""
    return {}, {**ANOMALY[config.preset], "density_seed": config.seed}


def idle_flags(config: Config, start: Start, settings: SearchSettings) -> dict[str, str]:
    """Flags without effect on this search, and the sentences that refuse them."""
    idle = tagging.idle_flags(config, start, settings)
    idle |= without_effect("a search, whose epochs are passes over its events", OF_PIPELINES)
    idle |= without_effect("the classifier of events", OF_OTHER_OBJECTIVES)
    if settings.kind == "cathode":
        idle.pop("label_drop", None)  # of the generator
    else:
        idle |= without_effect(f"the {settings.kind} search, which has no generator", OF_GENERATOR)
    if settings.supervised:
        idle["signal"] = "--supervised takes all signal; leave out --signal"
    return idle


def signal_counts(text: str) -> list[int]:
    """Numbers of injected events, comma-separated, rising."""
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError:
        found = [-1]
    if found[0] < 0:
        raise UserError(f"--signal is {text!r}; expected numbers of events, like 0,500,1000")
    return found


def finetune(
    spec: DatasetSpec, config: Config, name: str, start: Start, settings: SearchSettings
) -> None:
    """The stages that are asked for; of the classifier all cells of this seed."""
    if config.mode != "classifier":
        raise UserError(f"--mode is {config.mode!r}; the search trains the classifier")
    signals, kind = settings.signals, settings.kind
    folder = model_folder(config, name)
    is_generated = kind == "cathode"
    sampled = generated(spec, config, folder, start, settings) if is_generated else []
    if settings.stage not in ("all", "classify"):
        return
    events = Dijets(spec, config.data, sampled)
    work = Classifications(spec, events, start)
    about = {"task": "anomaly", "dataset": spec.name, "backbone": start.path}
    ranks = distributed.size() if settings.cells_by_rank else 1
    for number, (signal, cell) in enumerate(cells(config, folder, kind, signals)):
        wanted = SearchConfig(kind, signal, settings.data_background, settings.reference_background)
        if ranks == 1:
            work.train(cell, wanted, about)
        elif (number + config.seed) % ranks == distributed.rank():
            with distributed.single_process():
                work.train(cell, wanted, about)


def generated(
    spec: DatasetSpec, config: Config, folder: Path, start: Start, settings: SearchSettings
) -> list[Path]:
    """The reference of all cells of a model, in FOLDER/density/reference, made as far as asked for.

    Raises UserError when --stage sample or classify comes before what it needs.
    """
    events = Dijets(spec, config.data)
    run, solver = folder / "density", Solver(steps=settings.sampling_steps)
    seed, background = settings.density_seed, settings.reference_background
    if settings.stage in ("all", "density"):
        ours = density.density_config(config, folder, seed, settings.density)
        density.train(events, ours, start, settings.jet_network, solver)
    if settings.stage in ("all", "sample"):
        if not (run / "jets" / "best.h5").is_file():
            raise UserError(f"{run} holds no trained generator; train it with --stage density")
        sampler = DijetSampler(run, spec, solver, SAMPLING_BATCH, seed)
        sampled_reference(run / "reference", sampler, density.sideband_fit(events), background)
    paths = reference_files(run / "reference", background)
    missing = [path for path in paths if not path.is_file()]
    if missing and settings.stage == "classify":
        raise UserError(f"{missing[0]} not found; sample the reference with --stage sample")
    return paths


def evaluate(
    run: Path, spec: DatasetSpec, config: Config, about: dict, settings: Evaluation
) -> dict:
    """Significance improvement and bump hunt of one cell, on events that it was not trained on."""
    path = run / "predictions.h5"
    if not settings.from_predictions:
        predicted, origin = scores(run, spec, config, about, settings)
        if distributed.rank() == 0:
            made = {"dataset": spec.name, "model": run.name, "data": origin}
            write_predictions(path, predicted, made)
    if distributed.rank():
        return {}
    predicted, made = read_predictions(path)
    described = {
        "dataset": spec.name,
        "model": run.name,
        "data": made["data"],
        "kind": about["kind"],
        "backbone": about["backbone"] or "",
        "signal": about["signal"],
        "seed": config.seed,
        "events": about["events"],
    }
    return {**described, **cell_metrics(predicted, about, spec, config.seed)}


def scores(
    run: Path, spec: DatasetSpec, config: Config, about: dict, settings: Evaluation
) -> tuple[dict[str, np.ndarray], str]:
    """Logits of the events of test and hunt with what is known of them, and their origin."""
    events = Dijets(spec, settings.data or config.data)
    names = ("kind", "signal", "data_background", "reference_background")
    division = divide(events, SearchConfig(**{name: about[name] for name in names}), config.seed)
    signal = (division.test | division.hunted) & events.signal
    background = (division.test | division.hunted) & ~events.signal
    pipeline = events.pipeline(signal, background, settings.batch)
    model, logits_of = trained_classifier(run)
    predicted = tagging.predict(model, pipeline, logits_of)
    rows = predicted["index"]
    predicted |= {
        "mass": events.mass[rows],
        "test": division.test[rows],
        "hunted": division.hunted[rows],
    }
    return predicted, events.files.origin
