"""A first result in minutes: top tagging from the backbone that comes with the code.

    python -m benchmarks demo              # or: make demo

Simulates and preprocesses top and QCD jets, fine-tunes the backbone `small` with 1000 of them,
trains PET from scratch with 1000 and with 10 000 (five epochs instead of eight, six times the
steps), evaluates all on the same test jets, draws losses and ROC curves, prints one table, and
reads scores from Python. A finished stage is not repeated; --fresh starts all over. --repeats 3
gives mean and spread of three trainings, in three times the time; those with 1000 jets have other
jets in each.
"""

from pathlib import Path

from benchmarks.figures import FINETUNED, SCRATCH, trainings
from benchmarks.scripts import words_of
from benchmarks.stages import METRICS, Stage, carry_out, folder_flags
from omnilearn.statistics.results import read_results

FEW, MANY = 1000, 10_000  # training jets
RUNS = {  # run directory -> what it is called, its training jets, its flags
    "top_finetuned": (FINETUNED, FEW, "--backbone small"),
    "top_scratch": (SCRATCH, FEW, ""),
    "top_scratch_many": (SCRATCH, MANY, "--epochs 5"),
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
    """Commands by title; sizes are what takes minutes on two cores.

    What takes longest stands first in its stage: it has the terminal and its progress bar.
    """
    places = {"raw": folder / "raw", "data": folder / "data", "runs": folder / "runs"}
    simulate = f"{{python}} -m simulation top --jets {MANY} --val-jets 500 --test-jets 4000"
    train, evaluate = {}, {}
    for name, (model, jets, flags) in reversed(RUNS.items()):
        train[f"train {model}, {jets} jets"] = words_of(
            "{python} finetune.py top --preset small --data {data} --runs {runs} --name {name} "
            f"--train-jets {jets} --repeats {repeats} {flags}",
            name=name,
            **places,
        )
        evaluate[f"evaluate {model}, {jets} jets"] = words_of(
            "{python} evaluate.py {runs}/{name}", name=name, **places
        )
    return [
        {"simulate top tagging": words_of(f"{simulate} --out {{raw}}", **places)},
        {
            "preprocess it": words_of(
                "{python} -m preprocessing top --raw {raw} --out {data}", **places
            )
        },
        train,
        evaluate,
        {"scores from Python": [*words_of("{python} -c"), snippet(folder, repeats)]},
    ]


def snippet(folder: Path, repeats: int = 1) -> str:
    """Six lines of Python on the jets of the demo."""
    seed = "/seed0" if repeats > 1 else ""
    return SCORES.format(runs=folder / "runs", data=folder / "data", seed=seed)


def main(arguments: list[str]) -> None:
    repeats = ("--repeats", {"type": int, "default": 1, "help": "trainings of each model"})
    flags = folder_flags("demo", __doc__, arguments, [repeats])
    carry_out(stages(flags.out, flags.repeats), flags.out, "make demo", drawn, table)


def table(runs: Path) -> tuple[list[str], list[list[str]]]:
    """Heading and one row per model."""
    rows = []
    for name, (model, jets, _) in RUNS.items():
        results = read_results(runs / name / "results.json")
        found = [results[key] for key in METRICS]
        number = len(trainings(runs / name))
        rows.append([model, str(jets), *(one.text for one in found), str(number), str(found[0].n)])
    return ["model", "training jets", *METRICS.values(), "trainings", "test jets"], rows


def drawn(runs: Path) -> dict[str, Path]:
    """Label -> run of every model; of repeated trainings the first."""
    return {
        f"{model}, {jets} jets": trainings(runs / name)[0]
        for name, (model, jets, _) in RUNS.items()
    }
