"""Coverage of an unfolding: how often the quoted uncertainties contain the truth.

    python -m simulation omnifold --jets 64000 --seed 1 --out raw/omnifold
    python -m benchmarks coverage --raw raw/omnifold --experiments 16 --replicas 30 --out coverage

The events of both samples are shared among pseudo-experiments, none is in two of them. Each is
preprocessed, unfolded with bootstrap replicas and compared with the particle level of the data of
all others. A finished run is not repeated. Writes coverage.json and table.md into --out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta, f, sem, t

from benchmarks.markdown import markdown
from benchmarks.programs import absolute, command_parser, write_text
from benchmarks.scripts import execute, words_of
from omnilearn.atomic import atomic_path
from omnilearn.data.catalogue import OMNIFOLD
from omnilearn.report.meanings import OBSERVABLES as NAMES
from omnilearn.runs import revision
from omnilearn.statistics.results import Result, write_results
from omnilearn.statistics.uncertainty import ONE_SIGMA
from omnilearn.unfolding.events import Events
from omnilearn.unfolding.omnifold import PARTICLE
from omnilearn.unfolding.unfolded_weights import UnfoldedWeights

RUN = "omnifold_finetuned"
BINS = 10  # of equal content in the truth
TWO_SIGMA = 0.9545
LEAST_REPLICAS = BINS + 2  # so that their covariance can be inverted, with a margin
NOTE = """\
Shares of the events in ten bins of equal content. 68 %, 95 %: bins whose quoted uncertainty, one or
two standard deviations, contains the truth. Covariance, 95 %: experiments in which the chi2 with
the covariance of all bins does. Quoted / actual: the uncertainty over the standard deviation of the
experiments. Bias: distance of their mean from the truth in quoted uncertainties (rms over bins,
less what their number alone gives); that of the simulation before the unfolding in brackets.\
"""


@dataclass(frozen=True)
class Shares:
    """Fractions of the events in each bin, of one pseudo-experiment.

    unfolded, simulation, truth (bins,); replicas (R, bins) of the unfolding; truth_covariance
    (bins, bins), that of the truth alone.
    """

    unfolded: np.ndarray
    simulation: np.ndarray
    truth: np.ndarray
    replicas: np.ndarray
    truth_covariance: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        """Quoted covariance (bins, bins) of unfolded - truth."""
        return np.cov(self.replicas, rowvar=False) + self.truth_covariance

    def pulls(self, shares: np.ndarray) -> np.ndarray:
        """Distance of `shares` (bins,) from the truth in quoted uncertainties."""
        return (shares - self.truth) / np.sqrt(np.diag(self.covariance))

    @property
    def p_value(self) -> float:
        """Of the truth, by the quoted covariance: Hotelling's T2, as it is that of R replicas.

        The last bin is left out, since the shares add up to one.
        """
        difference = (self.unfolded - self.truth)[:-1]
        square = difference @ np.linalg.solve(self.covariance[:-1, :-1], difference)
        bins, freedom = len(difference), len(self.replicas) - 1
        scale = (freedom - bins + 1) / (freedom * bins)
        return float(f.sf(scale * square, bins, freedom - bins + 1))


def coverage(experiments: Sequence[Shares]) -> dict[str, Result | float]:
    """Coverage, spread and bias of one observable over independent pseudo-experiments.

    The uncertainty of the coverage of bins is that of the mean over experiments, as the bins of one
    are correlated; that of the covariance is the standard deviation of the binomial posterior.
    """
    count = len(experiments)
    pulls = np.stack([each.pulls(each.unfolded) for each in experiments])  # (experiments, bins)
    before = np.stack([each.pulls(each.simulation) for each in experiments])
    freedom = len(experiments[0].replicas) - 1
    results: dict[str, Result | float] = {}
    for name, level in (("coverage_68", ONE_SIGMA), ("coverage_95", TWO_SIGMA)):
        inside = (np.abs(pulls) < t.ppf(0.5 + level / 2, freedom)).mean(axis=1)
        results[name] = Result(float(inside.mean()), float(sem(inside)), pulls.size)
    accepted = sum(each.p_value > 1 - TWO_SIGMA for each in experiments)
    results["coverage_95_covariance"] = Result(
        accepted / count, beta.std(accepted + 1, count - accepted + 1), count
    )
    quoted = np.mean([np.diag(each.covariance) for each in experiments], axis=0)
    actual = np.var([each.unfolded - each.truth for each in experiments], axis=0, ddof=1)
    ratio = float(np.sqrt(quoted.mean() / actual.mean()))
    results["quoted_over_actual"] = Result(ratio, ratio / np.sqrt(2 * (count - 1)), count)
    results["bias"], results["bias_simulation"] = bias(pulls), bias(before)
    return results


def bias(pulls: np.ndarray) -> float:
    """rms over bins of the mean pull, from pulls (experiments, bins), less its expected noise."""
    noise = np.var(pulls, axis=0, ddof=1) / len(pulls)
    return float(np.sqrt(max(0.0, np.mean(pulls.mean(axis=0) ** 2 - noise))))


def deal(raw: Path, out: Path, experiments: int) -> None:
    """Write every `experiments`-th event of the public npz files in `raw` into each folder of
    `out`, beginning at another event for each; existing files are kept."""
    for path in sorted(raw.glob("[!.]*.npz")):
        targets = [out / str(index) / "raw" / path.name for index in range(experiments)]
        if all(target.is_file() for target in targets):
            continue
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        for index, target in enumerate(targets):
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(target) as temporary:
                rows = {name: values[index::experiments] for name, values in arrays.items()}
                np.savez_compressed(temporary, **rows)


def commands(out: Path, index: int, replicas: int, extra: Sequence[str]) -> list[list[str]]:
    """The commands of one pseudo-experiment."""
    folder = out / str(index)
    lines = (
        "{python} -m preprocessing omnifold --raw {folder}/raw --out {folder}/data",
        "{python} finetune.py omnifold --preset small --data {folder}/data --runs {folder}/runs "
        f"--name {RUN} --seed {index} --replicas {replicas}",
    )
    first, second = (words_of(line, folder=folder) for line in lines)
    return [first, [*second, *extra]]


def measure(out: Path, experiments: int) -> dict[str, list[Shares]]:
    """Observable -> its shares in every pseudo-experiment."""
    unfolded, events, data = [], [], []
    for index in range(experiments):
        folder = out / str(index)
        unfolded.append(UnfoldedWeights.read(folder / "runs" / RUN / "weights.h5"))
        events.append(Events(OMNIFOLD, str(folder / "data")))
        data.append(~events[-1].simulated & events[-1].passes[PARTICLE])
    measured = {}
    for name in OMNIFOLD.observables:
        values = [each.observable(PARTICLE, name) for each in events]
        true_values = [
            each[selected].astype("float64") for each, selected in zip(values, data, strict=True)
        ]
        edges = equal_bins(np.concatenate(true_values))
        measured[name] = [
            shares_of(
                values[index][events[index].simulated],
                unfolded[index],
                np.concatenate(true_values[:index] + true_values[index + 1 :]),
                edges,
            )
            for index in range(experiments)
        ]
    return measured


def equal_bins(values: np.ndarray) -> np.ndarray:
    """Inner edges of bins of about equal content; fewer where many values (n,) are equal.

    Whole numbers are separated halfway between them.
    """
    edges = np.quantile(values, np.arange(1, BINS) / BINS)
    if np.array_equal(values, np.rint(values)):
        edges = np.floor(edges) + 0.5
    return np.unique(edges)


def shares_of(
    values: np.ndarray, weights: UnfoldedWeights, true_values: np.ndarray, edges: np.ndarray
) -> Shares:
    """Shares between the inner `edges`, of simulated values (S,) and true ones (n,)."""
    selected = weights.passes_gen
    bins, prior = np.searchsorted(edges, values[selected]), weights.event_weight[selected]

    def share(factor: np.ndarray) -> np.ndarray:
        sums = np.bincount(bins, prior * factor[selected], len(edges) + 1)
        return sums / sums.sum()

    counts = np.bincount(np.searchsorted(edges, true_values), minlength=len(edges) + 1)
    truth = counts / len(true_values)
    return Shares(
        unfolded=share(weights.weight),
        simulation=share(np.ones(len(values))),
        truth=truth,
        replicas=np.stack([share(replica) for replica in weights.replicas]),
        truth_covariance=(np.diag(truth) - np.outer(truth, truth)) / len(true_values),
    )


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """One row per observable, and what the columns mean."""
    heading = ["observable", "68 %", "95 %", "covariance, 95 %", "quoted / actual", "bias"]
    rows = [heading]
    for name, result in results.items():
        texts = [
            result[key].text
            for key in (
                "coverage_68",
                "coverage_95",
                "coverage_95_covariance",
                "quoted_over_actual",
            )
        ]
        biases = f"{result['bias']:.2f} ({result['bias_simulation']:.2f})"
        rows.append([NAMES[name], *texts, biases])
    return f"{markdown(rows, texts=1)}\n{NOTE}\n"


def main(arguments: list[str]) -> None:
    parser = command_parser("coverage", __doc__, epilog="further flags go to finetune.py")
    parser.add_argument("--raw", type=absolute, required=True, help="folder of OmniFold npz files")
    parser.add_argument("--out", type=absolute, default="coverage", help="table and all runs")
    parser.add_argument("--experiments", type=int, default=16, help="at least 2 (16)")
    parser.add_argument("--replicas", type=int, default=30, help=f"at least {LEAST_REPLICAS} (30)")
    flags, extra = parser.parse_known_args(arguments)
    for name, least in (("experiments", 2), ("replicas", LEAST_REPLICAS)):
        if getattr(flags, name) < least:
            parser.error(f"--{name} is {getattr(flags, name)}; expected at least {least}")
    extra = extra or ["--classifier", "trees"]
    deal(flags.raw, flags.out, flags.experiments)
    for index in range(flags.experiments):
        print(f"[{index + 1}/{flags.experiments}] pseudo-experiment", flush=True)
        if (flags.out / str(index) / "runs" / RUN / "weights.h5").is_file():
            continue
        for words in commands(flags.out, index, flags.replicas, extra):
            execute(words)
    measured = measure(flags.out, flags.experiments)
    results = {name: coverage(experiments) for name, experiments in measured.items()}
    first = measured[OMNIFOLD.observables[0]][0]
    write_results(
        flags.out / "coverage.json",
        {
            "experiments": flags.experiments,
            "replicas": len(first.replicas),
            "finetune_flags": " ".join(extra),
            "revision": revision(),
            "observables": results,
        },
    )
    text = table(results)
    write_text(flags.out / "table.md", text)
    print(text)
