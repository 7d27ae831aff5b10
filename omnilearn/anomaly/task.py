"""Search for a resonance of two jets without labels: idealised, or with a generated reference.

arXiv:2502.14652, Section VIII, and arXiv:2404.16091v2. The reference of the classifier is
independent background (--idealised) or sampled in the signal region from a generator trained in the
sidebands (CATHODE, arXiv:2109.00546): --stage density, sample and classify, by default all three.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from omnilearn.anomaly import density
from omnilearn.anomaly.cwola import Classifications, cells, model_folder, trained_classifier
from omnilearn.anomaly.dijet_sampling import DijetSampler, reference_files, sampled_reference
from omnilearn.anomaly.dijets import Dijets
from omnilearn.anomaly.event_roles import SearchConfig, assign_roles
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
    supervised: bool = option(
        False,
        "all signal against all background by their true labels, for orientation",
        exclusive="reference",
    )
    stage: str = option(
        "all",
        "without --idealised: train the generator in the sidebands, sample the reference in "
        "the signal region, classify, or all of it; flags of other stages have no effect",
        choices=("all", "density", "sample", "classify"),
    )
    data_background: int = option(
        100_000, "background in the data, in training and validation together", least=1
    )
    reference_background: int = option(
        350_000, "events of the reference, in training and validation together", least=1
    )
    density: dict = second_training("PET in the sidebands", "body_factor")
    density_seed: int = option(0, "seed of the generator, which all repeats share", least=0)
    jet_network: dict = second_training("the network of kinematics", alias="jet-epochs")
    sampling_steps: int = option(Solver.steps, "steps of the solver for constituents", least=1)
    cells_by_rank: bool = option(False, "each cell is trained by one rank, instead of by all ranks")

    @property
    def kind(self) -> str:
        """The kind of search, which is the origin of the reference."""
        return "supervised" if self.supervised else "idealised" if self.idealised else "cathode"

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


SETTINGS, EVALUATION = SearchSettings, Evaluation
NOT_EVALUATED = without_effect("a search, which has test events of its own", ["split"])
OF_GENERATOR = (
    *("train_jets", "label_drop", "stage", "density_seed", "sampling_steps"),
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
    if settings.kind == "cathode":
        idle.pop("label_drop", None)  # the generator has it
    else:
        idle |= without_effect(f"the {settings.kind} search, which has no generator", OF_GENERATOR)
    if settings.supervised:
        idle["signal"] = "--supervised takes all signal; leave out --signal"
    return idle


def finetune(
    spec: DatasetSpec, config: Config, name: str, start: Start, settings: SearchSettings
) -> None:
    """Run the stages of the settings; the classifier is trained in all cells of this seed."""
    if config.mode != "classifier":
        raise UserError(f"--mode is {config.mode!r}; the search trains the classifier")
    signals, kind = settings.signals, settings.kind
    folder = model_folder(config, name)
    is_cathode = kind == "cathode"
    sampled = generated_reference(spec, config, folder, start, settings) if is_cathode else []
    if settings.stage not in ("all", "classify"):
        return
    events = Dijets(spec, config.data, sampled)
    classifications = Classifications(spec, events, start)
    about = {"task": "anomaly", "dataset": spec.name, "backbone": start.path}
    ranks = distributed.size() if settings.cells_by_rank else 1
    for index, (signal, cell) in enumerate(cells(config, folder, kind, signals)):
        search = SearchConfig(kind, signal, settings.data_background, settings.reference_background)
        if ranks == 1:
            classifications.train(cell, search, about)
        elif (index + config.seed) % ranks == distributed.rank():
            with distributed.single_process():
                classifications.train(cell, search, about)


def generated_reference(
    spec: DatasetSpec, config: Config, folder: Path, start: Start, settings: SearchSettings
) -> list[Path]:
    """Files of the reference of all cells, in FOLDER/density/reference; runs its stages first.

    Raises UserError when --stage sample has no generator, or --stage classify no reference.
    """
    events = Dijets(spec, config.data)
    run, solver = folder / "density", Solver(steps=settings.sampling_steps)
    seed, background = settings.density_seed, settings.reference_background
    if settings.stage in ("all", "density"):
        own_config = density.density_config(config, folder, seed, settings.density)
        density.train(events, own_config, start, settings.jet_network, solver)
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
        "seed": config.seed,
        "events": about["events"],
    }
    return {**description, **cell_metrics(predicted, about, spec, config.seed)}


def scores(
    run: Path, spec: DatasetSpec, config: Config, about: dict, settings: Evaluation
) -> tuple[dict[str, np.ndarray], str]:
    """Logits, labels, masses and roles of the events of test and bump hunt, and their origin."""
    events = Dijets(spec, settings.data or config.data)
    names = ("kind", "signal", "data_background", "reference_background")
    search = SearchConfig(**{name: about[name] for name in names})
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
