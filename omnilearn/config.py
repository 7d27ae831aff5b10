"""Configuration of a training, what it starts from, and the description of a run.

`python finetune.py top --epochs 3` is the recipe of top tagging, then the flag.
"""

import argparse
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from omnilearn.data.spec import DIFFUSED_PT, SPLITS, DatasetSpec
from omnilearn.errors import UserError
from omnilearn.settings import Settings, given, option, without_effect
from omnilearn.stored_json import read_json
from omnilearn.typed import LARGEST_SEED, typed


def data_folder() -> str:
    """$OMNILEARN_DATA, or data."""
    return os.path.expanduser(os.environ.get("OMNILEARN_DATA", "data"))


# the released code regresses the jet inputs, and has a drop of identities, in mode "all" alone
OF_MODE_ALL = {"regression_weight": 1.0, "feature_drop": 0.1}


def by_mode(name: str, value: float | None, mode: str) -> float:
    """The value if given, else that of OF_MODE_ALL in mode "all" and 0 in other modes."""
    if value is not None:
        return value
    return OF_MODE_ALL[name] if mode == "all" else 0.0


@dataclass(frozen=True)
class ModelSettings(Settings):
    """Which model, in which size, with which heads."""

    model: str = option(
        "pet",
        "pet; or omnijet: a tokeniser of constituents and a GPT over tokens",
        choices=("pet", "omnijet"),
    )
    preset: str = option(
        "full", "full: the paper's model; small: two cores of a laptop", choices=("full", "small")
    )
    mode: str = option(
        "all",
        "heads that are trained: all, classifier or generator",
        choices=("all", "classifier", "generator"),
    )
    padding: str = option(
        "",
        "absent constituents have an effect, as in the released code (released), or none "
        "(masked); empty: as in the backbone, else released",
        choices=("", "released", "masked"),
    )
    diffused_pt: str = option(
        "",
        "pT of constituents that the generator diffuses: log_1_minus_pt_rel, as published, or "
        "log_pt, which resolves soft ones; empty: the backbone's, else log_1_minus_pt_rel",
        choices=("", *DIFFUSED_PT),
    )
    precision: str = option(
        "float32",
        "float32; or bfloat16: products of bfloat16, on a GPU",
        choices=("float32", "bfloat16"),
    )


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """How a model learns. Learning rates are for one batch; see `cosine_schedule`."""

    epochs: int = option(10, "passes over all training jets, or --jets-per-epoch of them", least=1)
    batch: int = option(256, "jets per batch and rank", least=1)
    accumulate: int = option(1, "batches per rank that make one step of the optimiser", least=1)
    lr: float = option(3e-5, "learning rate of the heads at the start of the warm-up", above=0)
    weight_decay: float = option(1e-5, "decoupled weight decay of the heads", least=0)
    body_factor: float = option(1.0, "the body learns this many times slower", above=0)
    warmup_epochs: int = option(3, "epochs of linear warm-up", least=0)
    decay: bool = option(
        True,
        "after the warm-up the rate falls as a cosine; else it is constant, and a "
        "finished training can be continued with more --epochs",
    )
    optimiser: str = option(
        "lion", "lion, as PET is trained; or adamw, as token models are", choices=("lion", "adamw")
    )
    clip_norm: float = option(
        0.0,
        "gradients are scaled down to this norm: that of each weight array with lion, of all "
        "together with adamw; 0: they are not",
        least=0,
    )
    beta2: float = option(
        0.0,
        "share of the old momentum (lion) or of the old squares (adamw) that a step keeps; "
        "0: the optimiser's own, 0.99 or 0.999",
        least=0,
        below=1,
    )
    patience: int = option(30, "epochs without a better validation loss before stopping", least=1)
    regression_weight: float = option(
        None, "weight of the regression of the jet inputs: 1 in mode all, else 0", float, least=0
    )
    feature_drop: float = option(
        None,
        "probability per jet to hide the identity features: 0.1 in mode all, else 0",
        float,
        least=0,
        most=1,
    )
    label_drop: float = option(
        0.1, "probability per jet to hide the class from the generator", least=0, most=1
    )


# settings that a second training inside a task may set apart
OF_ANY_TRAINING = (
    *("epochs", "batch", "accumulate", "lr", "weight_decay", "warmup_epochs", "decay"),
    *("optimiser", "clip_norm", "beta2", "patience"),
)


def second_training(purpose: str, *more: str, prefix: str = "", alias: str = ""):
    """A field with the settings given for a second training, whose flags begin with a prefix.

    They are OF_ANY_TRAINING and `more`, fields of `TrainingSettings`; `purpose` ends their help
    lines. prefix: the field's name where empty; alias: a second name of the flag of epochs.
    """
    names = (*OF_ANY_TRAINING, *more)
    second = {"second": TrainingSettings, "names": names, "prefix": prefix, "alias": alias}
    return field(default_factory=dict, metadata={"help": purpose, **second})


def apart_from_epochs(settings: dict) -> dict | None:
    """The settings given for a second training but its epochs, which the run records elsewhere."""
    return {name: value for name, value in settings.items() if name != "epochs"} or None


@dataclass(frozen=True)
class Config(TrainingSettings, ModelSettings):
    """The whole configuration of a training: model, optimisation, jets, and run directory."""

    default_is: ClassVar = "recipe, else"

    data: str = option(data_folder(), "folder of preprocessed datasets")
    runs: str = option("runs", "folder of run directories")
    name: str = option("", "name of the run directory; made from the dataset when empty")
    seed: int = option(0, "seed of all random numbers", least=0, most=LARGEST_SEED)
    jets_per_epoch: int = option(
        0,
        "training jets of an epoch, all ranks together; the next epochs have the other jets, "
        "until each was used once; 0, or more than there are: all jets",
        least=0,
    )
    weighted: bool = option(True, "event weights of the files enter the loss")
    classes: str = option("", "use only jets of these classes, comma-separated; empty means all")
    train_jets: int = option(
        0,
        "use only so many training jets, sampled with --seed, equally many of every class and file "
        "if possible (events of an unfolding: in the shares of data and simulation); a smaller "
        "sample need not be part of a larger one; 0 means all",
        least=0,
    )
    val_jets: int = option(0, "use only so many validation jets, sampled likewise; 0: all", least=0)
    checkpoint_every: int = option(
        0, "steps between checkpoints; 0: ten minutes; also at the end of an epoch", least=0
    )
    tensorboard: bool = option(
        False, "write the losses of every epoch for TensorBoard too, into RUN/tensorboard"
    )
    accept_changed_data: bool = option(
        False, "resume a run although its training data have changed"
    )
    overwrite: bool = option(False, "delete a run of this name instead of resuming it")

    def __post_init__(self):
        for name in OF_MODE_ALL:
            object.__setattr__(self, name, by_mode(name, getattr(self, name), self.mode))
        if self.name in (".", "..") or "/" in self.name:
            raise UserError(f"--name is {self.name!r}; expected the name of one folder in --runs")
        super().__post_init__()


@dataclass(frozen=True)
class Start(Settings):
    """What a training begins with; from scratch where all are empty."""

    backbone: str = option(
        "",
        "run directory, checkpoint, or name of a backbone that comes with the code",
        exclusive="start",
    )
    released_weights: str = option(
        "", "a .weights.h5 file of the released OmniLearn to start from", exclusive="start"
    )
    published_weights: str = option(
        "",
        "an npz or safetensors file of the public OmniJet-alpha to start from (omnijet)",
        exclusive="start",
    )

    @property
    def path(self) -> str | None:
        """The weights to start from, if any."""
        return self.backbone or self.released_weights or self.published_weights or None


@dataclass(frozen=True)
class Evaluation(Settings):
    """Settings of evaluate.py for every run; tasks add their own."""

    data: str = option("", "folder of datasets; empty: the run's own")
    batch: int = option(256, "jets per step and rank", least=1)
    split: str = option("test", "jets to evaluate on", choices=SPLITS)
    from_predictions: bool = option(
        False, "use what an earlier evaluation left in the run: predictions.h5 or generated jets"
    )


# a run may be resumed with other values of these: they do not change what is trained, and more
# iterations or repetitions of an unfolding go on from those that are complete; so do more epochs
# where the learning rate does not decay; the name is that of the folder, which may be renamed
FREE_TO_CHANGE = (
    *("data", "runs", "name", "checkpoint_every", "tensorboard", "accept_changed_data"),
    *("overwrite", "iterations", "replicas", "trainings"),
)


def chosen(arguments: argparse.Namespace, name: str):
    """A setting on the command line, or its default, before there is a recipe."""
    return given(Config, arguments).get(name, getattr(Config, name))


def idle_flags(spec: DatasetSpec) -> dict[str, str]:
    """Flags without effect on every training with a dataset, and sentences that refuse them."""
    jets = f"{spec.name}, whose constituents have no identity"
    return {} if spec.has_identity else without_effect(jets, ["feature_drop"])


@dataclass
class DescriptionTypes:
    """Types of the keys of a description that tasks read; null where a key has no meaning."""

    task: str | None = None
    dataset: str | None = None
    backbone: str | None = None
    tokeniser: str | None = None
    step: str | None = None
    classifier: str | None = None
    misses: str | None = None
    kind: str | None = None
    events: dict | None = None
    jet_network: dict | None = None
    tokeniser_training: dict | None = None
    versions: dict | None = None
    folds: int | None = None
    iterations: int | None = None
    ensemble: int | None = None
    signal: int | None = None
    simulation: str | None = None
    sideband_signal: int | None = None
    sideband_events: int | None = None
    data_background: int | None = None
    reference_background: int | None = None

    def __post_init__(self):
        for name, value in vars(self).items():
            if isinstance(value, int) and value < 0:
                raise ValueError(f"{name!r} is {value}, expected 0 or more")


class Description(dict):
    """What config.json holds beside the configuration; a missing key raises UserError."""

    def __init__(self, path: Path, stored: dict):
        super().__init__(stored)
        self.path = path

    def __missing__(self, name: str):
        raise UserError(f"{self.path}: no {name!r} among its keys; {MEND}")


MEND = "make the run again with train.py or finetune.py"


def read_config(path: Path) -> tuple[Config, dict]:
    """The configuration in the config.json of a run directory, and the rest of that file.

    Raises UserError when the file is missing, damaged or not one of ours, and when a key is looked
    up that it does not have.
    """
    if not path.is_file():
        raise UserError(
            f"{path} not found: {path.parent} is not a run directory; make one with "
            "train.py or finetune.py"
        )
    stored = read_json(path, "configuration of this suite", MEND, float)
    try:
        config = typed(Config, stored.pop("config", None), "config")
        known = {name: stored[name] for name in vars(DescriptionTypes()) if name in stored}
        typed(DescriptionTypes, known)
    except (ValueError, UserError) as error:
        raise UserError(f"{path} is not a configuration of this suite ({error}); {MEND}") from error
    return config, Description(path, stored)
