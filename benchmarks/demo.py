"""A first result in minutes: top tagging from the backbone that comes with the code.

    python -m benchmarks demo              # or: make demo

Simulates and preprocesses top and QCD jets, fine-tunes the backbone `small` with 1000 of them,
trains PET from scratch with 1000 and with 10 000 (four epochs instead of eight, five times the
steps), evaluates all on the same test jets, draws losses and ROC curves, prints a table, and
computes scores in Python. A finished stage is not repeated, except with --fresh. --repeats 3
gives mean and spread of three trainings, in three times the time; each training with 1000 jets has
different jets.
"""

from functools import partial
from pathlib import Path

from benchmarks.figures import FINETUNED, SCRATCH, trainings
from benchmarks.scripts import words_of
from benchmarks.stages import METRICS, Stage, parse_flags, run_demo
from omnilearn.statistics.results import read_results

FEW, MANY = 1000, 10_000  # training jets
RUNS = {  # run directory -> name of the model, training jets, flags
    "top_finetuned": (FINETUNED, FEW, "--backbone small"),
    "top_scratch": (SCRATCH, FEW, ""),
    "top_scratch_many": (SCRATCH, MANY, "--epochs 4"),
}
SCORES = """\
from omnilearn.api import load, read_jets

tagger = load("{runs}/top_finetuned{seed}")
jets, labels = read_jets("top", data="{data}")  # awkward four-momenta; 0 is QCD, 1 is top
print(tagger.classes, tagger.probabilities(jets[:3]).round(3))
print("1/eB at eS = 0.5 of", len(jets), "jets:", tagger.rejection(jets, labels).text)
print("class tokens:", tagger.embed(jets).shape)
"""


def stages(folder: Path, repeats: int = 1) -> list[Stage]:
    """The stages of the demo, which take minutes on two cores.

    The longest title of a stage is the first, which prints its progress bar to the terminal.
    """
    command = partial(words_of, raw=folder / "raw", data=folder / "data", runs=folder / "runs")
    sizes = f"--jets {MANY} --val-jets 500 --test-jets 2500"
    models: Stage = {}
    for name, (model, jets, flags) in reversed(RUNS.items()):
        train = command(
            "{python} finetune.py top --preset small --data {data} --runs {runs} --name {name} "
            f"--train-jets {jets} --repeats {repeats} {flags}",
            name=name,
        )
        evaluate = command("{python} evaluate.py {runs}/{name}", name=name)
        models[f"train and evaluate {model}, {jets} jets"] = [train, evaluate]
    return [
        {"simulate top tagging": [command(f"{{python}} -m simulation top {sizes} --out {{raw}}")]},
        {"preprocess it": [command("{python} -m preprocessing top --raw {raw} --out {data}")]},
        models,
        {"scores from Python": [[*command("{python} -c"), snippet(folder, repeats)]]},
    ]


def snippet(folder: Path, repeats: int = 1) -> str:
    """Python that applies the fine-tuned model of the demo to its jets."""
    seed = "/seed0" if repeats > 1 else ""
    return SCORES.format(runs=folder / "runs", data=folder / "data", seed=seed)


def main(arguments: list[str]) -> None:
    repeats = ("--repeats", {"type": int, "default": 1, "help": "trainings of each model"})
    flags = parse_flags("demo", __doc__, arguments, [repeats])
    run_demo(stages(flags.out, flags.repeats), flags.out, "make demo", plotted_runs, table)


def table(runs: Path) -> tuple[list[str], list[list[str]]]:
    """Heading and one row per model."""
    rows = []
    for name, (model, jets, _) in RUNS.items():
        results = read_results(runs / name / "results.json")
        metrics = [results[key] for key in METRICS]
        values = [metric.text for metric in metrics]
        count = len(trainings(runs / name))
        rows.append([model, str(jets), *values, str(count), str(metrics[0].n)])
    return ["model", "training jets", *METRICS.values(), "trainings", "test jets"], rows


def plotted_runs(runs: Path) -> dict[str, Path]:
    """Label -> run of every model; the first of repeated trainings."""
    return {
        f"{model}, {jets} jets": trainings(runs / name)[0]
        for name, (model, jets, _) in RUNS.items()
    }
