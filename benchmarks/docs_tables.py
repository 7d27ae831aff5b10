"""The tables of `python -m benchmarks docs`, each made by a function of the folder of results."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import preprocessing, tagging
from benchmarks.aspen_cells import studies
from benchmarks.aspen_tables import gain_table
from benchmarks.demo import stages
from benchmarks.generation_tables import scaled
from benchmarks.markdown import markdown
from benchmarks.published import OBSERVABLES
from benchmarks.stages import total_seconds
from benchmarks.unfolding_tables import iterations_text
from omnilearn.history import read_history
from omnilearn.report.meanings import OBSERVABLES as OBSERVABLE_NAMES
from omnilearn.report.meanings import meanings
from omnilearn.statistics.results import Result, read_results

JETNET_CLASSES = ("g", "q", "t", "w", "z")
JETNET_RUNS = {  # row -> run of JetNet30
    "from scratch": "scratch",
    "from scratch, `--lr 4e-4`": "scratch_4e-4",
    "from the backbone": "finetuned",
    "from the backbone, `--lr 4e-4`": "finetuned_4e-4",
    "from the backbone, `--lr 1e-3`": "finetuned_1e-3",
    "from scratch, `--diffused-pt log_pt`": "scratch_log_pt",
    "the same, `--epochs 120`": "scratch_log_pt_3M",
    "from the backbone, `--lr 4e-4 --diffused-pt log_pt`": "finetuned_log_pt",
    "inclusive spectrum": "inclusive",
    "true jets": "truth",
}
UNFOLDED = "unfolding/events_64000"  # folder of the unfoldings of 64 000 events
ALL_CONSTITUENTS = {  # run -> classifier, of those that see all constituents
    "deepsets": "DeepSets",
    "scratch": "PET from scratch",
    "omnilearn": "PET from the backbone",
}
# those by the detector that measures the data
RESPONSES = {"same detector": UNFOLDED, "other detector": f"{UNFOLDED}_shifted"}

# title, results.json, distance, spectrum
Row = tuple[str, dict[str, Any], str, str]


def read(results: Path, run: str) -> dict[str, Any]:
    return read_results(results / run / "results.json")


def stored_table(results: Path, name: str) -> str:
    """A table that a command wrote as Markdown."""
    return (results / f"{name}.md").read_text(encoding="utf-8")


def demo_figure(results: Path, name: str, root: str = "") -> str:
    """A figure of the demo, on a page from which `root` (../) leads to the root."""
    link = f"{root}benchmarks/results/demo/{name}.png"
    titles = {"loss": "Loss by epoch", "roc": "Background rejection against signal efficiency"}
    return f"![{titles[name]}, fine-tuned and from scratch]({link})\n"


def seconds(results: Path) -> str:
    """Seconds of every command of the demo, and of all its stages."""
    durations = json.loads((results / "demo" / "seconds.json").read_text())
    total = total_seconds(stages(Path("demo")), durations)
    rows = [[title, f"{duration:.0f}"] for title, duration in durations.items()]
    return markdown([["step", "seconds"], *rows, ["all stages", f"{total:.0f}"]], texts=1)


def tagging_study(results: Path, dataset: str) -> str:
    """Tagging against training jets, from a backbone and from scratch."""
    return tagging.table(tagging_cells(results, dataset), "rejection_0.5")


def tagging_datasets(results: Path) -> str:
    """The data sets of the tagging study, a line for each of 1000 and 10 000 training jets."""
    rows = [["data set", "training jets", *tagging.COLUMNS, "test jets"]]
    for dataset in ("top", "atlas", "cms", "qg", "h1"):
        cells = tagging_cells(results, dataset)
        for jets in sorted({jets for _, jets in cells} & {1000, 10_000}):
            test_jets = cells[tagging.MODELS[0], jets]["auc"].n
            columns = tagging.columns(cells, jets, "rejection_0.5")
            rows.append([f"`{dataset}`", str(jets), *columns, str(test_jets)])
    return markdown(rows, texts=1)


def tagging_cells(results: Path, dataset: str) -> dict[tagging.Key, dict]:
    record = read_results(results / "tagging" / f"{dataset}.json")
    return {(cell["model"], cell["training_jets"]): cell["metrics"] for cell in record["cells"]}


def generated(results: Path, metric: str, kinematics: str = "generated") -> str:
    """A distance per class, in 10^-3: the generators, and samples to compare them with.

    kinematics: those of the jets are `generated`, or true (`ideal`); without a model they are true.
    """
    rows = [[f"{metric.upper()} (10⁻³)", *JETNET_CLASSES]]
    for name, run in JETNET_RUNS.items():
        sets = read(results, f"generation/jetnet30_{run}")
        metrics = sets.get(kinematics, sets["generated"])
        values = (scaled(metrics[label][metric], 1000).text for label in JETNET_CLASSES)
        rows.append([name, *values])
    return markdown(rows, texts=1)


def as_text(value: Result | float) -> str:
    return value.text if isinstance(value, Result) else f"{value:.2f}"


def unfolded(results: Path, distance: str) -> str:
    """Distances to the truth at particle level of 64 000 events, a column per observable."""
    trees = read(results, f"{UNFOLDED}/omnifold_trees")
    rows = rows_of_trees(trees, distance)
    for name, title in ALL_CONSTITUENTS.items():
        run = read(results, f"{UNFOLDED}/omnifold_{name}")
        rows.append((f"OmniFold, {title}, 3 iterations", run, distance, "unfolded"))
    if distance == "triangular":
        rows.insert(1, ("noise floor", trees, "floor", "simulation"))
    return by_observable(rows)


def unfolded_responses(results: Path, distance: str) -> str:
    """The same, where the data are measured by the detector of the simulation or by another."""
    rows = []
    for detector, folder in RESPONSES.items():
        trees = read(results, f"{folder}/omnifold_trees")
        rows += rows_of_trees(trees, distance, f"{detector}: ")
    return by_observable(rows)


def rows_of_trees(trees: dict[str, Any], distance: str, prefix: str = "") -> list[Row]:
    """Simulation, IBU and trees, all from the results of the unfolding by trees."""
    binned = f"binned (IBU), {iterations_text(trees['ibu_iterations'])}"
    titles = {
        "simulation": "simulation, not unfolded",
        "ibu": binned,
        "unfolded": "OmniFold, trees, 3 iterations",
    }
    return [(prefix + title, trees, distance, kind) for kind, title in titles.items()]


def by_observable(rows: Sequence[Row]) -> str:
    """A table at particle level, a column per observable."""
    cells = [
        [title, *(as_text(metrics[f"{key}_particle_{name}_{kind}"]) for name in OBSERVABLES)]
        for title, metrics, key, kind in rows
    ]
    return markdown([["", *(OBSERVABLE_NAMES[name] for name in OBSERVABLES)], *cells], texts=1)


def aspen(results: Path) -> str:
    """Number of metrics in which a fine-tuned model is ahead of one from scratch."""
    (study,) = studies([], [results / "aspen"])
    table = gain_table(study.cells)
    return markdown(table.rows, table.texts)


def preprocessing_rates(results: Path) -> str:
    return preprocessing.table(json.loads((results / "preprocessing.json").read_text())["datasets"])


def throughput(results: Path, file: str = "throughput") -> str:
    """Jets per second of the full-size model, compressed and padded."""
    head = ["mode, work", "jets/s", "padded to 150", "ratio", "GFLOP per jet", "share of the peak"]
    rows: list[Sequence[str]] = [head]
    for row in json.loads((results / f"{file}.json").read_text())["rows"]:
        low, high = row["ratio_range"]
        rows.append(
            [
                f"{row['mode']}, {row['work']}",
                f"{row['default_jets_per_second']:.0f}",
                f"{row['padded_jets_per_second']:.0f}",
                f"{row['ratio']:.2f} ({low:.2f} to {high:.2f})",
                f"{row['gigaflop_per_jet']:.2f}",
                f"{row['share_of_peak']:.0%}",
            ]
        )
    return markdown(rows, texts=1)


def precision(results: Path) -> str:
    """Losses of the same training with products in float32 and in bfloat16, epoch by epoch."""
    runs = [read_history(results / "precision" / name) for name in ("float32", "bfloat16")]
    rows = [
        [
            str(lines[0]["epoch"]),
            *(f"{line[kind]['loss']:.4f}" for kind in ("training", "validation") for line in lines),
        ]
        for lines in zip(*runs, strict=True)
    ]
    head = ["training, float32", "bfloat16", "validation, float32", "bfloat16"]
    return markdown([["epoch", *head], *rows], texts=0)


def sampling(results: Path) -> str:
    """Jets per second of samplers."""
    stored = json.loads((results / "sampling.json").read_text())
    rows = [
        [row["name"], str(row["slots"]), f"{row['jets_per_second']:.0f}"] for row in stored["rows"]
    ]
    head = ["sampled", "slots", f"jets/s, {stored['size']} model, {stored['batch']} jets together"]
    return markdown([head, *rows], texts=1)


def ranks(results: Path) -> str:
    """Speed and communication of one and two ranks on two cores."""
    rows: list[Sequence[str]] = [
        ["ranks", "jets/s", "efficiency", "allreduce of the step", "MB per step and rank"]
    ]
    for row in json.loads((results / "scaling.json").read_text())["rows"]:
        rows.append(
            [
                str(row["ranks"]),
                f"{row['jets_per_second']:.0f}",
                f"{row['efficiency']:.0%}",
                f"{row['allreduce_share']:.1%}",
                f"{row['megabytes_per_step']:.1f}",
            ]
        )
    return markdown(rows, texts=0)


def soak(results: Path) -> str:
    """How often which command was killed, and how often its outcome differed."""
    rows = [
        [
            name.replace("_", " "),
            str(sum(command["kinds"].values())),
            ", ".join(f"{kind.replace('_', ' ')} {n}" for kind, n in command["kinds"].items()),
            str(len(command["differences"])),
        ]
        for name, command in json.loads((results / "soak.json").read_text())["commands"].items()
    ]
    return markdown([["command", "kills", "of which", "differences"], *rows], texts=1)


def keys(results: Path, task: str) -> str:
    """The keys of results.json of one task and their meanings."""
    rows = [[f"`{key.written}`", key.text] for key in meanings() if key.task == task]
    return markdown([["key", "meaning"], *rows])


def tasks(results: Path) -> str:
    """The tasks of the suite: page, command, and one of the committed results."""
    cells = tagging_cells(results, "top")
    tagged = [cells[model, 1000]["rejection_0.5"].text for model in tagging.MODELS]
    jets, spectrum = (
        scaled(read(results, f"generation/{run}")["generated"]["t"]["w1m"], 1000).text
        for run in ("jetnet30_scratch", "jetnet30_inclusive")
    )
    chi2 = [
        read(results, f"{UNFOLDED}/omnifold_{run}")["chi2_particle_tau21_unfolded"].text
        for run in ("omnilearn", "scratch")
    ]
    scans = [
        read(results, f"anomaly/idealised/lhco_{run}")["scan"] for run in ("finetuned", "scratch")
    ]
    sic = [scan["idealised"]["signal250"]["max_sic"].text for scan in scans]
    tagger = read(results, "backbone_small")["auc"].text
    codes = read(results, "backbone_small_tokens")["tokeniser"]["two_sample_auc"].text
    rejections = f"1/eB {tagged[0]} from 1000 jets, from scratch {tagged[1]}"
    distances = f"W1M x 1000: tops {jets}, without model {spectrum}"
    agreement = f"chi2 of tau21 {chi2[0]}, from scratch {chi2[1]}"
    improvement = f"max SIC {sic[0]}, from scratch {sic[1]}"
    restored = f"AUC of restored against true jets {codes}"
    rows = [
        ("pretraining", "pre-training", "train.py jetclass", f"AUC of ten classes {tagger}"),
        ("tagging", "tagging", "finetune.py top", rejections),
        ("generation", "generation", "finetune.py jetnet30", distances),
        ("unfolding", "unfolding", "finetune.py omnifold", agreement),
        ("anomaly", "search", "finetune.py lhco --idealised", improvement),
        ("tokens", "tokens", "train.py aspen --model omnijet", restored),
    ]
    linked = [[f"[{name}](docs/{page}.md)", f"`{line}`", text] for page, name, line, text in rows]
    return markdown([["task", "command", "one number"], *linked], texts=3)


TABLES: dict[str, Callable[..., str]] = {
    "stored": stored_table,
    "demo": partial(stored_table, name="demo/table"),
    "demo_figure": demo_figure,
    "seconds": seconds,
    "tagging_study": tagging_study,
    "tagging_datasets": tagging_datasets,
    "generated": generated,
    "unfolded": unfolded,
    "unfolded_responses": unfolded_responses,
    "aspen": aspen,
    "preprocessing": preprocessing_rates,
    "throughput": throughput,
    "precision": precision,
    "sampling": sampling,
    "ranks": ranks,
    "soak": soak,
    "keys": keys,
    "tasks": tasks,
}
