"""Two runs to compare generators with: a trivial generator, and true jets of the training split.

    python -m benchmarks inclusive jetnet30 --data data --runs runs

In RUNS/<dataset>_inclusive every constituent is drawn from the inclusive spectrum of its class,
with the true multiplicities: the quality of a generator without any correlation. In
RUNS/<dataset>_truth are training jets of the same classes: the quality of a perfect generator.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.programs import command_parser
from omnilearn.data.catalogue import dataset
from omnilearn.generation.comparison import compare
from omnilearn.generation.figures import generation_figures
from omnilearn.generation.jet_sets import JetSet, concatenated, read_split, write_set
from omnilearn.statistics.results import write_results


def inclusive(training: JetSet, like: JetSet, seed: int) -> JetSet:
    """Jets with classes and multiplicities of `like`, their constituents drawn from all those of
    the class in `training`, in order of falling pT.

    A class without training jets is left out.
    """
    rng = np.random.default_rng(seed)
    jet_sets = []
    for label in np.unique(training.label):
        target, true = like.of_class(label), training.of_class(label).constituents
        spectrum = true[true[..., 3] > 0]  # (constituents, 4)
        sampled = spectrum[rng.integers(0, len(spectrum), target.constituents.shape[:2])]
        sampled = sampled * target.constituents[..., 3:]
        order = np.argsort(-sampled[..., 2], axis=1, kind="stable")
        ordered = np.take_along_axis(sampled, order[..., None], axis=1)
        jet_sets.append(JetSet(ordered, target.jets, target.label))
    return concatenated(jet_sets)


def main(arguments: Sequence[str]) -> None:
    parser = command_parser("inclusive", __doc__)
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
    true_jets, _ = read_split(Path(flags.data), spec, "train", len(truth))
    for name, model, jets in (
        ("inclusive", "inclusive spectrum", inclusive(training, truth, flags.seed)),
        ("truth", "true jets (training split)", true_jets),
    ):
        run = flags.runs / f"{spec.name}_{name}"
        run.mkdir(parents=True, exist_ok=True)
        write_set(run / "generated", jets, spec, {"model": model, "seed": flags.seed})
        results: dict[str, Any] = {
            "dataset": spec.name,
            "model": model,
            "data": origin,
            **compare(run, spec, truth, {"generated": jets}, flags.seed, flags.emd_jets),
        }
        write_results(run / "results.json", results)
        generation_figures(run, spec, results, [])
        for class_name, metrics in results["generated"].items():
            print(f"{model}, {class_name}: W1M {metrics['w1m']}, W1P {metrics['w1p']}")
        print(f"results.json and figures are in {run}")
