"""A tagger trained in seconds on a dataset of one's own, and its jets."""

from pathlib import Path

import awkward as ak
import numpy as np
from commands import output_of, python
from toy_jets import shower

from omnilearn.data.catalogue import TOP
from omnilearn.kinematics import from_relative
from preprocessing.own import write_dataset

SLOTS, JETS = 24, 120
ABOUT = {"classes": ("QCD", "top"), "jet_radius": 0.8, "jet_pt_range": (550.0, 650.0)}
SETTINGS = "--preset small --epochs 1 --batch 16 --warmup-epochs 0 --lr 3e-3"


def toy_momenta(jets: int = JETS, seed: int = 3) -> tuple[ak.Array, np.ndarray]:
    """Awkward constituents of toy top jets, and their labels (jets,)."""
    label = np.random.default_rng(seed).integers(0, 2, jets)
    toys = shower(label, TOP, np.random.default_rng(seed + 1))
    pt, eta, _, mass = toys["jet"][:, :4].T
    axis = np.stack([pt, 0 * eta, 0 * pt, np.hypot(pt, mass)], axis=-1)
    momenta = from_relative(toys["data"].astype(np.float64), axis)
    counts = np.minimum(toys["multiplicity"], TOP.max_constituents)
    flat = momenta[np.arange(momenta.shape[1]) < counts[:, None]]
    columns = dict(zip(("pt", "eta", "phi"), flat.T, strict=False))
    columns["mass"] = 0 * columns["pt"]
    return ak.zip({name: ak.unflatten(values, counts) for name, values in columns.items()}), label


def write_mine(data: Path, jets: ak.Array, label: np.ndarray, **changed) -> list[Path]:
    """Files of these jets as a dataset of one's own, with other settings than ABOUT if given."""
    about = {"max_constituents": SLOTS, **ABOUT, **changed}
    splits = {"train": 0.4, "val": 0.3, "test": 0.3}
    return write_dataset(data, "mine", jets, label, splits=splits, **about)


def trained_tagger(folder: Path) -> Path:
    """A run directory, evaluated on the test split of the jets of `toy_momenta`."""
    write_mine(folder / "data", *toy_momenta())
    line = f"finetune.py mine --data {folder / 'data'} --runs {folder / 'runs'} {SETTINGS}"
    output_of(python(line))
    run = folder / "runs" / "mine_scratch"
    output_of(python("evaluate.py", run))
    return run
