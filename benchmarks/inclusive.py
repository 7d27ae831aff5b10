"""Two yardsticks of generation as runs: a trivial generator, and true jets of the training split.

    python -m benchmarks inclusive jetnet30 --data data --runs runs

RUNS/<dataset>_inclusive draws every constituent from the inclusive spectrum of its class, with the
true multiplicities: what a generator without any correlation reaches. RUNS/<dataset>_truth holds
other true jets of the same classes: what a perfect generator would reach with so many jets.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from omnilearn.data.catalogue import dataset
from omnilearn.data.spec import DatasetSpec
from omnilearn.generation.comparison import compare
from omnilearn.generation.figures import generation_figures
from omnilearn.generation.jet_sets import JetSet, concatenated, read_split, write_set
from omnilearn.statistics.results import write_results


def inclusive(training: JetSet, like: JetSet, seed: int) -> JetSet:
    """Jets like those of `like` (N jets), constituents drawn from all of the class in `training`.

    A class without training jets is left out. Falling pT within a jet, as in the files.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for label in np.unique(training.label):
        wanted, known = like.of_class(label), training.of_class(label).constituents
        spectrum = known[known[..., 3] > 0]  # (constituents, 4)
        drawn = spectrum[rng.integers(0, len(spectrum), wanted.constituents.shape[:2])]
        drawn = drawn * wanted.constituents[..., 3:]
        order = np.argsort(-drawn[..., 2], axis=1, kind="stable")
        parts.append(
            JetSet(np.take_along_axis(drawn, order[..., None], axis=1), wanted.jets, wanted.label)
        )
    return concatenated(parts)


def write_run(
    run: Path,
    spec: DatasetSpec,
    model: str,
    truth: JetSet,
    jets: JetSet,
    origin: str,
    seed: int,
    emd_jets: int = 0,
) -> dict:
    """A run directory of jets that no model made: the set, results.json and figures."""
    run.mkdir(parents=True, exist_ok=True)
    write_set(run / "generated", jets, spec, {"model": model, "seed": seed})
    results = {
        "dataset": spec.name,
        "model": model,
        "data": origin,
        **compare(run, spec, truth, {"generated": jets}, seed, emd_jets),
    }
    write_results(run / "results.json", results)
    generation_figures(run, spec, results, [])
    return results


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks inclusive", allow_abbrev=False, description=__doc__.splitlines()[0]
    )
    parser.add_argument("dataset", help="e.g. jetnet30")
    parser.add_argument("--data", default="data", help="folder of preprocessed datasets")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of run directories")
    parser.add_argument("--jets", type=int, default=250_000, help="jets of all classes at most")
    parser.add_argument("--emd-jets", type=int, default=0, help="as of evaluate.py")
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args(arguments)
    spec = dataset(flags.dataset, flags.data)
    truth, origin = read_split(Path(flags.data), spec, "test", flags.jets)
    training, _ = read_split(Path(flags.data), spec, "train", flags.jets)
    as_many, _ = read_split(Path(flags.data), spec, "train", len(truth))
    for name, model, jets in (
        ("inclusive", "inclusive spectrum", inclusive(training, truth, flags.seed)),
        ("truth", "true jets (training split)", as_many),
    ):
        run = flags.runs / f"{spec.name}_{name}"
        results = write_run(run, spec, model, truth, jets, origin, flags.seed, flags.emd_jets)
        for class_name, found in results["generated"].items():
            print(f"{model}, {class_name}: W1M {found['w1m']}, W1P {found['w1p']}")
        print(f"results.json and figures are in {run}")
