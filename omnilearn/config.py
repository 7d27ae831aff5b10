"""One frozen dataclass is the configuration of a run; its flags are generated from its fields.

`python finetune.py top --epochs 3` is the recipe of top tagging, then the flag.
"""

import argparse
import os
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path

from omnilearn.errors import UserError
from omnilearn.stored_json import read_json
from omnilearn.typed import typed


def data_folder() -> str:
    """$OMNILEARN_DATA, or data."""
    return os.path.expanduser(os.environ.get("OMNILEARN_DATA", "data"))


def option(default, help: str, kind: type | None = None):
    """A field with its help line; a flag without one cannot be written.

    `kind` is the type of a flag whose default, None, depends on other settings.
    """
    return field(default=default, metadata={"help": help, "kind": kind or type(default)})


# the released code regresses the jet inputs, and has a drop of identities, in mode "all" alone
OF_MODE_ALL = {"regression_weight": 1.0, "feature_drop": 0.1}


def by_mode(name: str, value: float | None, mode: str) -> float:
    """A setting of OF_MODE_ALL: the value given, else that of mode "all", or 0 in other modes."""
    if value is not None:
        return value
    return OF_MODE_ALL[name] if mode == "all" else 0.0


@dataclass(frozen=True)
class Config:
    """What a training run does. Learning rates are for one batch; see `cosine_schedule`."""

    data: str = option(data_folder(), "folder of preprocessed datasets")
    runs: str = option("runs", "folder of run directories")
    name: str = option("", "name of the run directory; made from the dataset when empty")
    model: str = option("pet", "pet; or omnijet: a tokeniser of constituents and a GPT over tokens")
    preset: str = option("full", "full: the paper's model; small: two cores of a laptop")
    seed: int = option(0, "the one source of randomness")
    epochs: int = option(10, "passes over the training jets, or so many --jets-per-epoch")
    jets_per_epoch: int = option(
        0,
        "training jets of an epoch, all ranks together; the next goes on with the others, so "
        "that each is seen once in a pass; 0, or more than there are: an epoch is a pass",
    )
    batch: int = option(256, "jets per batch and rank")
    accumulate: int = option(1, "batches per rank that make one step of the optimiser")
    lr: float = option(3e-5, "learning rate of the heads at the start of the warm-up")
    weight_decay: float = option(1e-5, "decoupled weight decay of the heads")
    body_factor: float = option(1.0, "the body learns this many times slower than the heads")
    warmup_epochs: int = option(3, "epochs of linear warm-up")
    decay: bool = option(True, "after the warm-up the rate falls as a cosine; else it is constant")
    precision: str = option("float32", "float32; or bfloat16: products of bfloat16, on a GPU")
    optimiser: str = option("lion", "lion, as PET is trained; or adamw, as token models are")
    clip_norm: float = option(
        0.0,
        "gradients are scaled down to this norm: that of each weight array with lion, of all "
        "together with adamw; 0: they are not",
    )
    beta2: float = option(
        0.0,
        "share of the old momentum (lion) or of the old squares (adamw) that a step keeps; "
        "0: the optimiser's own, 0.99 or 0.999",
    )
    patience: int = option(30, "epochs without a better validation loss before stopping")
    mode: str = option("all", "heads that are trained: all, classifier or generator")
    regression_weight: float = option(
        None, "weight of the regression of the jet inputs: 1 in mode all, else 0", float
    )
    feature_drop: float = option(
        None, "probability per jet to hide the identity features: 0.1 in mode all, else 0", float
    )
    label_drop: float = option(0.1, "probability per jet to hide the class from the generator")
    padding: str = option("", "released or masked; empty: the backbone's, else released")
    weighted: bool = option(True, "event weights of the files enter the loss")
    classes: str = option("", "use only jets of these classes, comma-separated; empty means all")
    train_jets: int = option(
        0,
        "use only so many training jets, drawn by --seed, equally many of every class and file "
        "as far as they hold them (events of an unfolding: in the shares of data and simulation); "
        "fewer need not be among more; 0 means all",
    )
    val_jets: int = option(0, "use only so many validation jets, drawn alike; 0 means all")
    checkpoint_every: int = option(
        0, "steps between checkpoints; 0: every ten minutes; one more ends every epoch"
    )
    accept_changed_data: bool = option(
        False, "go on with a run though its data are not those it was trained on so far"
    )
    overwrite: bool = option(False, "throw away a run of this name instead of resuming it")

    def __post_init__(self):
        for name in OF_MODE_ALL:
            object.__setattr__(self, name, by_mode(name, getattr(self, name), self.mode))
        if self.name in (".", "..") or "/" in self.name:
            raise UserError(f"--name is {self.name!r}; expected the name of one folder in --runs")
        for name in ("epochs", "batch", "accumulate", "patience"):
            if getattr(self, name) < 1:
                raise UserError(f"--{flag(name)} is {getattr(self, name)}; expected 1 or more")
        for name in ("lr", "body_factor"):
            if not getattr(self, name) > 0:
                raise UserError(f"--{flag(name)} is {getattr(self, name)}; expected above zero")
        counts = ("seed", "warmup_epochs", "train_jets", "val_jets", "checkpoint_every")
        for name in (*counts, "jets_per_epoch", "weight_decay", "clip_norm", "regression_weight"):
            if not getattr(self, name) >= 0:
                raise UserError(f"--{flag(name)} is {getattr(self, name)}; expected zero or more")
        for name in ("feature_drop", "label_drop"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"--{flag(name)} is {getattr(self, name)}; expected 0 to 1")
        if not 0 <= self.beta2 < 1:
            raise UserError(f"--beta2 is {self.beta2}; expected 0 or more, below 1")
        choices = {
            "model": ("pet", "omnijet"),
            "optimiser": ("lion", "adamw"),
            "precision": ("float32", "bfloat16"),
            "preset": ("full", "small"),
            "mode": ("all", "classifier", "generator"),
            "padding": ("", "released", "masked"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                expected = " or ".join(filter(None, allowed))
                raise UserError(f"--{flag(name)} is {getattr(self, name)!r}; expected {expected}")


# changing these does not make it another training, so a run may be resumed with others; of an
# unfolding, more iterations or repetitions go on from those that are there
FREE_TO_CHANGE = (
    "data",
    "runs",
    "checkpoint_every",
    "accept_changed_data",
    "overwrite",
    "iterations",
    "replicas",
    "trainings",
)


def flag(name: str) -> str:
    return name.replace("_", "-")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """One flag per field; absent flags leave the recipe as it is."""
    for item in fields(Config):
        kind = item.metadata["kind"]
        default = "" if item.default is None else f", else {item.default!r}"
        text = f"{item.metadata['help']} (recipe{default})"
        if kind is bool:
            parser.add_argument(
                f"--{flag(item.name)}",
                action=argparse.BooleanOptionalAction,
                default=MISSING,
                help=text,
            )
        else:
            parser.add_argument(f"--{flag(item.name)}", type=kind, default=MISSING, help=text)


def chosen(arguments: argparse.Namespace, name: str):
    """A setting on the command line, or its default, before there is a recipe."""
    given = getattr(arguments, name)
    return getattr(Config, name) if given is MISSING else given


def configured(recipe: dict, arguments: argparse.Namespace) -> Config:
    """The recipe, then every flag that was given."""
    names = {item.name for item in fields(Config)}
    given = {
        name: value
        for name, value in vars(arguments).items()
        if name in names and value is not MISSING
    }
    return Config(**{**recipe, **given})


@dataclass
class Known:
    """What tasks ask of the description of a run, and of which type it is; null where it is not."""

    task: str = None
    dataset: str = None
    backbone: str = None
    tokeniser: str = None
    step: str = None
    classifier: str = None
    misses: str = None
    kind: str = None
    events: dict = None
    versions: dict = None
    folds: int = None
    iterations: int = None
    ensemble: int = None
    signal: int = None
    data_background: int = None
    reference_background: int = None

    def __post_init__(self):
        for name, value in vars(self).items():
            if isinstance(value, int) and value < 0:
                raise ValueError(f"{name!r} is {value}, expected 0 or more")


class Description(dict):
    """What config.json says beside the configuration."""

    def __init__(self, path: Path, stored: dict):
        super().__init__(stored)
        self.path = path

    def __missing__(self, name: str):
        raise UserError(f"{self.path}: no {name!r} among its keys; {MEND}")


MEND = "make the run again with train.py or finetune.py"


def read_config(path: Path) -> tuple[Config, dict]:
    """The configuration of a run directory and the rest of its description.

    Raises UserError when the file is missing, damaged or is not understood, and when the
    description is asked for what is not in it.
    """
    if not path.is_file():
        raise UserError(
            f"{path} not found: {path.parent} is not a run directory; make one with "
            "train.py or finetune.py"
        )
    stored = read_json(path, "configuration of this suite", MEND, float)
    try:
        config = typed(Config, stored.pop("config", None), "config")
        typed(Known, {name: stored[name] for name in vars(Known()) if name in stored})
    except (ValueError, UserError) as error:
        raise UserError(f"{path} is not a configuration of this suite ({error}); {MEND}") from error
    return config, Description(path, stored)
