"""Search for a resonance of two jets without labels: idealised, or with a generated reference.

arXiv:2502.14652, Section VIII, and arXiv:2404.16091v2. The reference of the classifier is
independent background (--idealised) or what a generator trained in the sidebands makes in the
signal region (CATHODE, arXiv:2109.00546): --stage density, sample and classify, one after the other
by default.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnilearn.anomaly import density
from omnilearn.anomaly.cwola import Classifications, cells, model_folder, trained_classifier
from omnilearn.anomaly.dijet_sampling import DijetSampler, reference_files, sampled_reference
from omnilearn.anomaly.dijets import Dijets
from omnilearn.anomaly.event_roles import Wanted, divide
from omnilearn.anomaly.metrics import cell_metrics
from omnilearn.anomaly.recipes import ANOMALY
from omnilearn.config import Config, chosen
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.generation.sampling import Solver
from omnilearn.tagging import task as tagging
from omnilearn.tagging.predictions import read_predictions, write_predictions
from omnilearn.training import distributed

SAMPLING_BATCH = 256  # jets
STAGES = ("all", "density", "sample", "classify")


@dataclass(frozen=True)
class Options:
    """What to search for and how; what training is told stands in Config."""

    stage: str
    kind: str
    signals: list[int]
    data_background: int
    reference_background: int

    @property
    def generates(self) -> bool:
        return self.kind == "cathode"

    @classmethod
    def of(cls, config: Config, arguments: argparse.Namespace) -> "Options":
        """The recipe, then every flag that was given; raises UserError on what has no meaning."""
        kind = "supervised" if arguments.supervised else "cathode"
        kind = "idealised" if arguments.idealised else kind
        if kind != "cathode" and arguments.stage != "all":
            raise UserError(f"--stage is {arguments.stage!r}; --{kind} has no stages")
        numbers = {}
        for name in ("data_background", "reference_background"):
            given = getattr(arguments, name)
            numbers[name] = ANOMALY[config.preset][name] if given is None else given
            if numbers[name] < 1:
                raise UserError(f"--{name.replace('_', '-')} is {given}; expected 1 or more")
        for name in (
            "density_epochs",
            "density_batch",
            "density_lr",
            "jet_epochs",
            "sampling_steps",
        ):
            if getattr(arguments, name) < (name == "sampling_steps"):
                raise UserError(
                    f"--{name.replace('_', '-')} is {getattr(arguments, name)}; expected more"
                )
        if kind != "cathode" and config.train_jets:
            raise UserError(
                "--train-jets is for the generator; choose events with "
                "--data-background and --reference-background"
            )
        if config.jets_per_epoch:
            raise UserError(
                "--jets-per-epoch is for tagging, generation and pre-training; an "
                "epoch of the search is a pass"
            )
        if config.mode != "classifier":
            raise UserError(f"--mode is {config.mode!r}; the search trains the classifier")
        signals = signal_counts(arguments.signal)
        if kind == "supervised" and signals != [0]:
            raise UserError("--supervised takes all signal; leave out --signal")
        return cls(arguments.stage, kind, signals, **numbers)


def signal_counts(text: str) -> list[int]:
    """Numbers of injected events, comma-separated, rising."""
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError:
        found = [-1]
    if found[0] < 0:
        raise UserError(f"--signal is {text!r}; expected numbers of events, like 0,500,1000")
    return found


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of finetune.py for the search."""
    parser.add_argument(
        "--signal",
        default="0",
        help="injected signal events in the signal region; several, like 0,500,1000, are a scan "
        "(default: %(default)s)",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--idealised", action="store_true", help="the reference is independent background"
    )
    kind.add_argument(
        "--supervised",
        action="store_true",
        help="all signal against all background by their true labels, for orientation",
    )
    parser.add_argument(
        "--stage",
        choices=STAGES,
        default="all",
        help="without --idealised: train the generator in the sidebands, sample the reference in "
        "the signal region, classify, or all of it (default: %(default)s)",
    )
    for name, what in (("data", "background in the data"), ("reference", "events of reference")):
        parser.add_argument(
            f"--{name}-background",
            type=int,
            help=f"{what}, in training and validation together (recipe)",
        )
    for name, kind, what in (
        ("density-epochs", int, "epochs of PET in the sidebands"),
        ("density-batch", int, "its jets per batch and rank"),
        ("density-lr", float, "its learning rate"),
        ("jet-epochs", int, "epochs of the network of kinematics"),
    ):
        parser.add_argument(
            f"--{name}", type=kind, default=0, help=f"{what} (default: the recipe's)"
        )
    parser.add_argument(
        "--sampling-steps",
        type=int,
        default=Solver.steps,
        help="steps of the solver for constituents (default: %(default)s)",
    )
    parser.add_argument(
        "--cells-by-rank",
        action="store_true",
        help="every rank trains cells of its own, instead of all ranks each cell",
    )


def finetune(spec: DatasetSpec, config: Config, name: str, arguments: argparse.Namespace) -> None:
    """The stages that are asked for; of the classifier all cells of this seed."""
    options = Options.of(config, arguments)
    start = arguments.backbone or arguments.released_weights
    folder = model_folder(config, name)
    sampled = generated(spec, config, folder, options, arguments) if options.generates else []
    if options.stage not in ("all", "classify"):
        return
    events = Dijets(spec, config.data, sampled)
    work = Classifications(spec, events, arguments.backbone, arguments.released_weights)
    about = {"task": "anomaly", "dataset": spec.name, "backbone": start or None}
    ranks = distributed.size() if arguments.cells_by_rank else 1
    for number, (signal, cell) in enumerate(cells(config, folder, options.kind, options.signals)):
        wanted = Wanted(options.kind, signal, options.data_background, options.reference_background)
        if ranks == 1:
            work.train(cell, wanted, about)
        elif (number + config.seed) % ranks == distributed.rank():
            with distributed.single_process():
                work.train(cell, wanted, about)


def generated(
    spec: DatasetSpec, config: Config, folder: Path, options: Options, arguments: argparse.Namespace
) -> list[Path]:
    """The reference of all cells of a model, in FOLDER/density/reference, made as far as asked for.

    Raises UserError when --stage sample or classify comes before what it needs.
    """
    seed = chosen(arguments, "seed")  # one density for all repeats
    events = Dijets(spec, config.data)
    run = folder / "density"
    if options.stage in ("all", "density"):
        settings = density.density_config(config, folder, seed, arguments)
        density.train(events, *settings, arguments)
    if options.stage in ("all", "sample"):
        if not (run / "jets" / "best.h5").is_file():
            raise UserError(f"{run} holds no trained generator; train it with --stage density")
        solver = Solver(steps=arguments.sampling_steps)
        sampler = DijetSampler(run, spec, solver, SAMPLING_BATCH, seed)
        spectrum = density.sideband_fit(events)
        sampled_reference(run / "reference", sampler, spectrum, options.reference_background)
    paths = reference_files(run / "reference", options.reference_background)
    missing = [path for path in paths if not path.is_file()]
    if missing and options.stage == "classify":
        raise UserError(f"{missing[0]} not found; sample the reference with --stage sample")
    return paths


def evaluate(
    run: Path, spec: DatasetSpec, config: Config, about: dict, arguments: argparse.Namespace
) -> dict:
    """Significance improvement and bump hunt of one cell, on events that it was not trained on."""
    path = run / "predictions.h5"
    if not arguments.from_predictions:
        predicted, origin = scores(run, spec, config, about, arguments)
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
    run: Path, spec: DatasetSpec, config: Config, about: dict, arguments: argparse.Namespace
) -> tuple[dict[str, np.ndarray], str]:
    """Logits of the events of test and hunt with what is known of them, and their origin."""
    events = Dijets(spec, arguments.data or config.data)
    names = ("kind", "signal", "data_background", "reference_background")
    division = divide(events, Wanted(**{name: about[name] for name in names}), config.seed)
    signal = (division.test | division.hunted) & events.signal
    background = (division.test | division.hunted) & ~events.signal
    pipeline = events.pipeline(signal, background, arguments.batch)
    model, logits_of = trained_classifier(run)
    predicted = tagging.predict(model, pipeline, logits_of)
    rows = predicted["index"]
    predicted |= {
        "mass": events.mass[rows],
        "test": division.test[rows],
        "hunted": division.hunted[rows],
    }
    return predicted, events.files.origin
