"""Trained models from Python: arrays in, arrays out. docs/python.md is the example.

`load` gives a Tagger, a Generator, a TokenGenerator or an Unfolding, by what was trained. Jets come
in any of the forms that `preprocessing.own.write_dataset` takes, GeV and radians; jets that it
refuses raise the same `omnilearn.errors.UserError` here.
"""

import os
from collections.abc import Callable
from pathlib import Path

import omnilearn.keras_settings  # noqa: F401 - before anything loads Keras

# isort: split
import awkward as ak
import keras
import numpy as np
from scipy.special import softmax

from omnilearn import backbones
from omnilearn.config import data_folder, read_config
from omnilearn.data.catalogue import CATALOGUE, as_trained, dataset, described_in
from omnilearn.data.pipeline import Pipeline, pad_batch
from omnilearn.data.selection import of_classes
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.file_kinds import problem_of
from omnilearn.generation.jet_records import records, sampled_records
from omnilearn.generation.jet_sets import read_split
from omnilearn.generation.sampling import Sampler, Solver
from omnilearn.keras_settings import uses_xla
from omnilearn.model.checkpoint import Checkpoint, build_pet, load_checkpoint, require_same_dataset
from omnilearn.model.pet import PET, PETConfig
from omnilearn.model.precision import float32_layers
from omnilearn.onnx_file import write_onnx
from omnilearn.runs import trainings
from omnilearn.statistics.results import Result
from omnilearn.tagging.metrics import background_rejection, pair_score
from omnilearn.tokens.generator import TokenGenerator
from omnilearn.tokens.jet_gpt import OmniJet, OmniJetConfig
from omnilearn.tokens.token_models import built_omnijet, token_spec
from omnilearn.training.gradients import compiled_for_batches
from omnilearn.typed import as_type, with_typed_arguments
from omnilearn.unfolding.unfolded_weights import UnfoldedWeights
from preprocessing.jets_in_memory import JetsInMemory
from preprocessing.own_columns import class_numbers, weights_and_scale

TAGGING = ("tagging", "pretraining")
TOKENS = ("tokens", "token_tagging")
TASKS: dict[type, tuple[str, ...]] = {PETConfig: TAGGING, OmniJetConfig: TOKENS}


class Tagger:
    """A classifier of jets, PET or a token model.

    name: of the run; classes: of the columns of `probabilities`, in order; spec: the
    dataset it was trained on, as the model takes it; model: the network.
    """

    def __init__(self, name: str, checkpoint: Checkpoint, spec: DatasetSpec, batch: int = 256):
        """batch: jets evaluated together; raises UserError where the model is not one of `spec`."""
        self.name, self.batch = name, batch
        mend = "train again, or give the folder of the old one with data="
        require_same_dataset(checkpoint, spec, f"the declaration changed: {mend}")
        config = checkpoint.record.get("config", {})
        spec, self._columns = of_classes(spec, config.get("classes", ""))  # those of the training
        self.classes = spec.class_names
        self.model: PET | OmniJet
        if isinstance(checkpoint.model_config, OmniJetConfig):
            self.spec = token_spec(spec, checkpoint.model_config.tokeniser)
            self.model, self.can_hide_identity = built_omnijet(checkpoint), True
        else:
            self.spec, self.model = spec, build_pet(checkpoint)
            # where it was hidden in a share of the training jets
            self.can_hide_identity = bool(config.get("feature_drop"))
        slots = self.spec.max_constituents
        self._logits = compiled_for_batches(self.model.call, slots, any_size=True)
        self._tokens = compiled_for_batches(self.model.embed, slots, any_size=True)

    def probabilities(self, jets) -> np.ndarray:
        """Probability (jets, classes) float64 of every class for every jet; each row adds up to 1.

        jets: constituents of jets as `preprocessing.own.write_dataset` takes them: awkward records,
        four-vectors of the package vector, NumPy (jets, slots, 4) of pt, eta, phi, energy, or a
        list with one array per jet; GeV and radians, with pdg_id where the training had it; a
        pre-trained model, which has seen jets with hidden identities, does without. The jet is the
        sum of its constituents; of more constituents than slots the hardest count. Raises UserError
        saying what is wrong with which jet.

        >>> scores = tagger.probabilities(jets)
        >>> scores.shape == (len(jets), len(tagger.classes))
        True
        >>> bool(np.allclose(scores.sum(axis=1), 1.0))
        True
        """
        return softmax(self.logits(jets).astype(np.float64), axis=1)

    def logits(self, jets) -> np.ndarray:
        """Logits (jets, classes) float32, whose softmax are the probabilities."""
        return self._evaluated(self._logits, self._source(jets))[:, self._columns]

    def embed(self, jets) -> np.ndarray:
        """The class token (jets, dim) float32 after all layers of the classifier head.

        For a token model, the sum of the vectors of all tokens. The logits are linear in it.

        >>> len(tagger.embed(jets)) == len(jets)
        True
        """
        return self._evaluated(self._tokens, self._source(jets))

    @with_typed_arguments
    def rejection(self, jets, labels, signal_efficiency: float = 0.5, weight=None) -> Result:
        """1 / eB at this signal efficiency, with its statistical uncertainty.

        labels (jets,): numbers or names of the two classes, or one-hot; weight (jets,) or None.
        Defined in `omnilearn.tagging.metrics.rejection_curve`. Raises UserError for more classes.

        >>> result = tagger.rejection(jets, labels, signal_efficiency=0.3)
        >>> result.value >= 1.0, result.n == len(jets)
        (True, True)
        """
        if len(self.classes) != 2:
            raise UserError(
                f"{self.name} has {len(self.classes)} classes, {', '.join(self.classes)}; a "
                "rejection is that of one background against one signal: take two columns of "
                "logits(jets), and omnilearn.tagging.metrics.background_rejection"
            )
        source, signal = self._source(jets), self.spec.signal
        # before the evaluation, which takes minutes for many jets
        labels = class_numbers(labels, self.classes, source.num_jets)
        weight, _ = weights_and_scale(weight, source.num_jets)
        logits = self._evaluated(self._logits, source)[:, self._columns]
        scores = pair_score(logits, signal, 1 - signal)
        return background_rejection(scores, labels == signal, weight, signal_efficiency)

    @with_typed_arguments
    def export_onnx(self, path: Path | str) -> Path:
        """Write PET's classifier as ONNX, return its path; raises as `onnx_file.write_onnx`."""
        if not isinstance(self.model, PET):
            raise UserError(f"{self.name} is a token model; only PET is written as ONNX")
        return write_onnx(Path(path).expanduser(), self.model, self.spec, self._columns, self.name)

    def _source(self, jets) -> JetsInMemory:
        """The jets, checked, as the model takes them."""
        return JetsInMemory(jets, self.spec, self.can_hide_identity)

    def _evaluated(self, model: Callable, source: JetsInMemory) -> np.ndarray:
        """Output (jets, ...) of the compiled model, computed batch by batch."""
        pipeline = Pipeline(source, source.spec, self.batch, weighted=False)
        rows, values = [], []
        for batch in pipeline.ordered():
            rows.append(batch.pop("index"))
            # XLA compiles each number of jets anew
            batch = pad_batch(batch, self.batch) if uses_xla() else batch
            values.append(np.asarray(model(batch))[: len(rows[-1])])
        return np.concatenate(values)[np.argsort(np.concatenate(rows))]


class Generator:
    """A source of new jets: the network of jet kinematics and PET, with averaged weights."""

    def __init__(self, run: Path, spec: DatasetSpec, batch: int = 256, classes: str = ""):
        """batch: jets made together; classes: those of the training, empty for all."""
        self.name, self.classes = run.name, of_classes(spec, classes)[0].class_names
        self._sampler = Sampler(run, spec, Solver(), batch)

    @with_typed_arguments
    def sample(
        self, number: int, class_name: str, *, seed: int = 0, solver: Solver | None = None
    ) -> ak.Array:
        """`number` new jets of a class: records of `jet` and of a list `constituents`.

        jet: pt, eta, mass [GeV] and multiplicity, from the network of jet kinematics.
        constituents: massless pt, eta, phi, energy [GeV, radians] around phi = 0, hardest first,
        with the name Momentum4D of the package vector; `Tagger.probabilities` takes them. The same
        seed gives the same jets, and the first of them for a smaller number. solver: how noise
        becomes jets, by default in 20 steps. Raises UserError for an unknown class.

        >>> new = generator.sample(3, "t", seed=1)
        >>> new.fields, len(new)
        (['jet', 'constituents'], 3)
        >>> bool(ak.all(ak.num(new.constituents) == new.jet.multiplicity))
        True
        """
        if class_name not in self.classes:
            raise UserError(
                f"class_name {class_name!r}: {self.name} generates {', '.join(self.classes)}"
            )
        sampler, label = self._sampler, self._sampler.spec.class_names.index(class_name)
        sampler.seed, sampler.solver = seed, solver or Solver()
        return sampled_records(
            number, seed, lambda index: sampler.jet_set(index, np.full(len(index), label), None)
        )


class Unfolding:
    """The result of an unfolding."""

    def __init__(self, run: Path):
        self.name, self._run = run.name, run

    def weights(self) -> UnfoldedWeights:
        """One weight per simulated event, those of the replicas, and the events they belong to.

        >>> weights = unfolding.weights()
        >>> weights.weight.shape == weights.event_weight.shape
        True
        """
        return UnfoldedWeights.read(self._run / "weights.h5")


@float32_layers()
@with_typed_arguments
def load(
    place: Path | str, *, data: Path | str = "", batch: int = 256
) -> Tagger | Generator | TokenGenerator | Unfolding:
    """Open a trained model: a Tagger, Generator, TokenGenerator or Unfolding, by its task.

    place: a run directory; the checkpoint file of a tagger or token model; or the name of a
    backbone that comes with the code, such as "small". batch: jets evaluated or made together.
    data: the folder of datasets, which describes a dataset of your own to a checkpoint outside
    its run; a run directory describes it itself. Raises UserError where `place` holds no model.
    """
    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"Keras was loaded with the backend {keras.backend.backend()} before; import "
            "omnilearn.api first, or set KERAS_BACKEND=tensorflow"
        )
    if batch < 1:
        raise UserError(f"batch is {batch}; expected 1 or more")
    place, data = Path(place).expanduser(), Path(data).expanduser() if data else ""
    if str(place) in backbones.names():
        place = backbones.checkpoint_file(str(place))
    problem = problem_of(place)
    if not problem:
        checkpoint = load_checkpoint(place, *TASKS)
        about, folder, mode = recorded(checkpoint)
        if about["task"] not in TASKS[type(checkpoint.model_config)]:
            raise UserError(
                f"{place} is one part of a run of the task {about['task']!r}; load the run "
                f"directory, {place.parent}"
            )
        spec = described(about, place.parent, data, folder)
        return of_checkpoint(place.stem, checkpoint, spec, mode, batch)
    if problem == "not found":
        raise backbones.unknown(place)
    if not os.path.isdir(place):
        raise UserError(f"{place} {problem}; expected a run directory or a checkpoint")
    try:
        runs = trainings(place)
    except OSError as error:
        raise UserError(f"{place} cannot be opened ({error.strerror})") from error
    if len(runs) > 1:
        raise UserError(f"{place} holds {len(runs)} trainings; load one of them, such as {runs[0]}")
    run = runs[0]
    config, about = read_config(run / "config.json")
    task = about.get("task")
    for architecture, tasks in TASKS.items():
        if task in tasks:
            checkpoint = load_checkpoint(run / "best.h5", architecture)
            spec = described(about, run, data, config.data)
            return of_checkpoint(run.name, checkpoint, spec, config.mode, batch)
    if task == "generation":
        return Generator(run, described(about, run, data, config.data), batch, config.classes)
    if task == "unfolding":
        return Unfolding(run)
    raise UserError(
        f"{run} is of the task {task!r}; those of {', '.join(TAGGING)}, generation, tokens and "
        "unfolding are used from Python, others through evaluate.py"
    )


@with_typed_arguments
def read_jets(
    name: str, split: str = "test", jets: int = 1000, data: Path | str = ""
) -> tuple[ak.Array, np.ndarray]:
    """Jets of a preprocessed dataset as `Tagger.probabilities` takes them, and their labels.

    jets: at most so many, equally many of every class, always the same, 0 for all; data: the folder
    of datasets. Returns awkward records of constituents with pt, eta, phi, energy (GeV, radians;
    taken as massless, without identities) and class numbers (jets,). Raises UserError where the
    dataset is missing or damaged.

    >>> jets, labels = read_jets("top", jets=500)  # doctest: +SKIP
    """
    if jets < 0:
        raise UserError(f"jets is {jets}; expected 0 for all, or more")
    folder = Path(data or data_folder()).expanduser()
    jet_set, _ = read_split(folder, dataset(name, folder), split, jets)
    return records(jet_set)["constituents"], jet_set.label


def recorded(checkpoint: Checkpoint) -> tuple[dict[str, str], str, str]:
    """Task and dataset of a checkpoint by name, folder of its training data, and trained heads.

    Raises UserError where its record lacks them, as that of a checkpoint written by hand may.
    """
    try:
        about = {
            name: as_type(str, checkpoint.record.get(name), f"record.{name}")
            for name in ("task", "dataset")
        }
        config = as_type(dict, checkpoint.record.get("config", {}), "record.config")
        folder = as_type(str, config.get("data", data_folder()), "record.config.data")
        return about, folder, as_type(str, config.get("mode", "all"), "record.config.mode")
    except ValueError as error:
        raise UserError(
            f"{checkpoint.path}: {error}; load the best.h5 of a run that was trained with "
            "train.py or finetune.py"
        ) from error


def described(about: dict, run: Path, data: Path | str, training_data: str) -> DatasetSpec:
    """The dataset of a run: as the folder `data`, the run, or its training data describe it.

    Raises UserError where none of them describes it.
    """
    name = about["dataset"]
    if not data and name not in CATALOGUE and (spec := described_in(run, name)):
        return spec
    return as_trained(dataset(name, data or training_data), run, slots=False)


def of_checkpoint(
    name: str, checkpoint: Checkpoint, spec: DatasetSpec, mode: str, batch: int
) -> Tagger | TokenGenerator:
    """The token model or the classifier of a checkpoint; raises UserError where it has neither.

    Its inputs are standardised as in its training.
    """
    spec, config = checkpoint.as_trained(spec), checkpoint.model_config
    if isinstance(config, OmniJetConfig) and not config.num_classes:
        return TokenGenerator(name, checkpoint, spec, batch)
    if mode == "generator":
        raise UserError(
            f"{checkpoint.path} was trained with --mode generator, without a classifier; train it "
            "with --mode all or classifier"
        )
    return Tagger(name, checkpoint, spec, batch)
