"""Search for a resonance of two jets without labels, with a reference of one of three kinds.

arXiv:2502.14652, Section VIII, and arXiv:2404.16091v2. The reference of the classifier is
independent background (--idealised), sampled in the signal region from a generator trained in the
sidebands (CATHODE, arXiv:2109.00546), or background of another simulation (--simulation: SALAD,
arXiv:2001.05001). --stage does one of the stages that the kind has, by default all of them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from omnilearn.anomaly.cwola import Classifications, cell_config, model_folder, trained_classifier
from omnilearn.anomaly.dijets import Dijets
from omnilearn.anomaly.event_roles import (
    FROM_FILES,
    GENERATED,
    STAGES,
    WEIGHTED,
    SearchConfig,
    assign_roles,
)
from omnilearn.anomaly.metrics import cell_metrics
from omnilearn.anomaly.recipes import ANOMALY
from omnilearn.anomaly.reference import Reference
from omnilearn.anomaly.regions import recorded_regions, require_same, with_regions
from omnilearn.config import Config, Evaluation, Start, second_training
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.generation.sampling import Solver
from omnilearn.log import log
from omnilearn.settings import Settings, flags_of, option, without_effect
from omnilearn.tagging import task as tagging
from omnilearn.tagging.predictions import read_predictions, write_predictions
from omnilearn.training import distributed
from omnilearn.typed import LARGEST_SEED

OF_PIPELINES = ("jets_per_epoch", "classes", "val_jets", "weighted")  # its pipelines have none
OF_OTHER_OBJECTIVES = ("regression_weight", "feature_drop")


@dataclass(frozen=True)
class SearchSettings(Settings):
    """Settings of the search; those of the classifier's training are in Config."""

    default_is: ClassVar = "recipe, else"

    signal: str = option(
        "0", "injected signal events in the signal region; several, like 0,500,1000, are a scan"
    )
    idealised: bool = option(
        False, "the reference is independent background", exclusive="reference"
    )
    simulation: str = option(
        "",
        "a --data folder with background of another simulation, which is the reference, weighted "
        "by a classifier of the sidebands (SALAD)",
        exclusive="reference",
    )
    supervised: bool = option(
        False,
        "all signal against all background by their true labels, for comparison",
        exclusive="reference",
    )
    signal_region: str = option(
        "", "lowest and highest dijet mass of it in GeV, like 3300,3700; without, the data set's"
    )
    mass_range: str = option(
        "", "lowest and highest dijet mass of the sidebands in GeV, like 2300,5000; likewise"
    )
    sideband_weights: bool = option(
        False,
        "weight the generated reference by a classifier of the sidebands, as with --simulation",
    )
    sideband_events: int = option(
        350_000, "events of the data and of the reference for that classifier at most", least=100
    )
    stage: str = option(
        "all",
        "without --idealised: train the generator in the sidebands, sample the reference, weight "
        "it, classify, or all of it; flags of other stages have no effect",
        choices=STAGES["cathode_weighted"],
    )
    data_background: int = option(
        100_000, "background in the data, in training and validation together", least=1
    )
    reference_background: int = option(
        350_000, "events of the reference, in training and validation together", least=1
    )
    density: dict = second_training("PET in the sidebands", "body_factor")
    density_seed: int = option(
        0,
        "seed of the generator and of the weights, which all repeats share",
        least=0,
        most=LARGEST_SEED,
    )
    jet_network: dict = second_training("the network of kinematics", alias="jet-epochs")
    sampling_steps: int = option(Solver.steps, "steps of the solver for constituents", least=1)
    folds: int = option(
        1,
        "parts of all events; the bump hunt has the events of every part, cut by a classifier that "
        "is trained on the others; 1: the test split alone",
        least=1,
        most=100,
    )
    cells_by_rank: bool = option(False, "each cell is trained by one rank, instead of by all ranks")

    @property
    def kind(self) -> str:
        """The kind of search, which is the origin of the reference."""
        if self.simulation:
            return "salad"
        generated = "cathode_weighted" if self.sideband_weights else "cathode"
        return "supervised" if self.supervised else "idealised" if self.idealised else generated

    @property
    def signals(self) -> list[int]:
        """Numbers of injected events, rising; raises UserError for other text."""
        try:
            counts = sorted({int(part) for part in self.signal.split(",")})
        except ValueError:
            counts = [-1]
        if counts[0] < 0:
            raise UserError(
                f"--signal is {self.signal!r}; expected numbers of events, like 0,500,1000"
            )
        return counts

    @property
    def searches(self) -> list[SearchConfig]:
        """The search of every cell of one seed."""
        sizes = self.data_background, self.reference_background
        searches = [SearchConfig(self.kind, signal, *sizes) for signal in self.signals]
        return [part for search in searches for part in search.in_folds(self.folds)]


SETTINGS, EVALUATION = SearchSettings, Evaluation
OF_GENERATOR_HEAD = ("label_drop", "diffused_pt")
OF_REFERENCE = ("stage", "density_seed")
OF_GENERATOR = (
    *("train_jets", "sampling_steps", "sideband_weights"),
    *OF_GENERATOR_HEAD,
    *flags_of(SearchSettings, "density"),
    *flags_of(SearchSettings, "jet_network"),
)


def recipes(config: Config, given: dict) -> tuple[dict, dict]:
    """No changes of Config; numbers of events, and one generator for all repeats."""
    return {}, {**ANOMALY[config.preset], "density_seed": config.seed}


def idle_flags(config: Config, start: Start, settings: SearchSettings) -> dict[str, str]:
    """Flags without effect on this search, and the sentences that refuse them."""
    idle = tagging.idle_flags(config, start, settings)
    idle |= without_effect("a search, whose epochs are passes over its events", OF_PIPELINES)
    idle |= without_effect("the classifier of events", OF_OTHER_OBJECTIVES)
    kind = settings.kind
    if kind in GENERATED:
        for name in OF_GENERATOR_HEAD:
            idle.pop(name, None)
    else:
        idle |= without_effect(f"the {kind} search, which has no generator", OF_GENERATOR)
    if kind not in FROM_FILES:
        idle |= without_effect(f"the {kind} search, whose reference is stored", OF_REFERENCE)
    if kind not in WEIGHTED:
        idle |= without_effect(f"the {kind} search, which has no weights", ["sideband_events"])
    if settings.supervised:
        idle["signal"] = "--supervised takes all signal; leave out --signal"
    return idle


def not_evaluated(run: Path, settings: Evaluation) -> dict[str, str]:
    """As `tagging.task.not_evaluated`."""
    return without_effect("a search, which has test events of its own", ["split"])


def finetune(
    spec: DatasetSpec, config: Config, name: str, start: Start, settings: SearchSettings
) -> None:
    """Run the stages of the settings; the classifier is trained in all cells of this seed."""
    if config.mode != "classifier":
        raise UserError(f"--mode is {config.mode!r}; the search trains the classifier")
    searches, kind = settings.searches, settings.kind
    folder = model_folder(config, name)
    stages = STAGES.get(kind, ("all",))
    if settings.stage not in stages:
        raise UserError(
            f"--stage is {settings.stage}, which the {kind} search does not have; expected "
            f"{', '.join(stages)}" + ("; --sideband-weights adds it" if kind == "cathode" else "")
        )
    regions = recorded_regions(spec, settings.signal_region, settings.mass_range)
    spec = with_regions(spec, regions)
    if not config.overwrite:
        for path in sorted(folder.glob("*/seed*/config.json")):
            require_same(path.parent, regions)
    reference = Reference(spec, config, folder, start, settings, regions)
    files = reference.files()
    if settings.stage not in ("all", "weight", "classify"):
        return
    events = Dijets(spec, config.data, files)
    if kind == "idealised" and not events.signal.any():
        log.warning(
            "no event is labelled signal: the idealised reference is a part of the data, so that a "
            "signal that hides in both is not found; for data without labels leave out --idealised"
        )
    weights = reference.weights(events)
    if settings.stage == "weight":
        return
    classifications = Classifications(spec, events, start, weights)
    about = {"task": "anomaly", "dataset": spec.name, "backbone": start.path, **regions}
    ranks = distributed.size() if settings.cells_by_rank else 1
    for index, search in enumerate(searches):
        cell = cell_config(config, folder, search)
        if ranks == 1:
            classifications.train(cell, search, about)
        elif (index + config.seed) % ranks == distributed.rank():
            with distributed.single_process():
                classifications.train(cell, search, about)


def evaluate(
    run: Path, spec: DatasetSpec, config: Config, about: dict, settings: Evaluation
) -> dict:
    """Significance improvement and bump hunt of one cell, on events it was not trained on."""
    path = run / "predictions.h5"
    if not settings.from_predictions:
        predicted, origin = scores(run, spec, config, about, settings)
        if distributed.rank() == 0:
            attributes = {"dataset": spec.name, "model": run.name, "data": origin}
            write_predictions(path, predicted, attributes)
    if distributed.rank():
        return {}
    predicted, attributes = read_predictions(path)
    description = {
        "dataset": spec.name,
        "model": run.name,
        "data": attributes["data"],
        "kind": about["kind"],
        "backbone": about["backbone"] or "",
        "signal": about["signal"],
        "region": list(spec.signal_region),
        "seed": config.seed,
        "events": about["events"],
    }
    metrics = cell_metrics(predicted, about, spec, config.seed)
    return {**description, **fold_of(about), **metrics}


def fold_of(about: dict) -> dict[str, Any]:
    """The fold of the events that a cell tests, and the number of folds; empty without folds."""
    return {name: about[name] for name in ("folds", "fold") if about.get(name) is not None}


def scores(
    run: Path, spec: DatasetSpec, config: Config, about: dict, settings: Evaluation
) -> tuple[dict[str, np.ndarray], str]:
    """Logits, labels, masses and roles of the events of test and bump hunt, and their origin."""
    events = Dijets(spec, settings.data or config.data)
    names = ("kind", "signal", "data_background", "reference_background")
    # a run of an earlier version has no folds
    search = SearchConfig(**{name: about[name] for name in names}, **fold_of(about))
    roles = assign_roles(events, search, config.seed)
    selected = roles.test | roles.bump_hunt
    pipeline = events.pipeline(selected & events.signal, selected & ~events.signal, settings.batch)
    model, logits_of = trained_classifier(run)
    predicted = tagging.predict(model, pipeline, logits_of)
    rows = predicted["index"]
    predicted |= {
        "mass": events.mass[rows],
        "test": roles.test[rows],
        "hunted": roles.bump_hunt[rows],
    }
    return predicted, events.files.origin
