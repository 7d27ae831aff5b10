"""Everything once, on two cores: simulate, preprocess, pre-train, fine-tune twice, compare.

    python -m benchmarks demo

Prints one table: top tagging by OmniLearn (fine-tuned from the backbone) and by PET from scratch,
same jets, same budget. A finished stage is not repeated; --fresh starts all over.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figures import FINETUNED, SCRATCH, compare, losses
from benchmarks.markdown import markdown
from omnilearn.atomic import atomic_path
from omnilearn.errors import UserError
from omnilearn.statistics.results import read_results
from omnilearn.tagging.convergence import epochs_needed

ROOT = Path(__file__).parents[1]
RANKS = 2
MODELS = {"OmniLearn": "top_finetuned", "PET from scratch": "top_scratch"}
COLUMNS = {
    "accuracy": "accuracy",
    "auc": "AUC",
    "rejection_0.5": "1/eB at eS = 0.5",
    "rejection_0.3": "1/eB at eS = 0.3",
}


def stages(folder: Path) -> list[tuple[str, list[str]]]:
    """Title and command of every stage; sizes are what fits 12 to 21 minutes on two cores."""
    python, raw, data, runs = sys.executable, folder / "raw", folder / "data", folder / "runs"
    launch = [str(Path(python).with_name("horovodrun")), "-np", str(RANKS), "--gloo", python]
    places = ["--data", str(data), "--runs", str(runs), "--preset", "small"]
    backbone = ["--backbone", str(runs / "jetclass")]
    simulate, preprocess = [python, "-m", "simulation"], [python, "-m", "preprocessing"]
    return [
        (
            "simulate JetClass",
            [*simulate, "jetclass", "--jets-per-class", "1500", "--out", str(raw / "jetclass")],
        ),
        (
            "simulate top tagging",
            [
                *simulate,
                "top",
                "--jets",
                "1000",
                "--val-jets",
                "1000",
                "--test-jets",
                "10000",
                "--out",
                str(raw / "top"),
            ],
        ),
        (
            "preprocess JetClass",
            [*preprocess, "jetclass", "--raw", str(raw / "jetclass"), "--out", str(data)],
        ),
        (
            "preprocess top tagging",
            [*preprocess, "top", "--raw", str(raw / "top"), "--out", str(data)],
        ),
        ("pre-train on 2 ranks", [*launch, "train.py", "jetclass", *places]),
        ("fine-tune from the backbone", [python, "finetune.py", "top", *backbone, *places]),
        ("train from scratch", [python, "finetune.py", "top", *places]),
        ("evaluate OmniLearn", [python, "evaluate.py", str(runs / "top_finetuned")]),
        ("evaluate PET from scratch", [python, "evaluate.py", str(runs / "top_scratch")]),
    ]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks demo", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--out", type=Path, default=ROOT / "demo", help="folder of the demo")
    parser.add_argument("--fresh", action="store_true", help="repeat finished stages too")
    flags = parser.parse_args(arguments)
    if flags.fresh and (flags.out / "seconds.json").exists():
        shutil.rmtree(flags.out)
    started = time.monotonic()
    seconds = run_stages(flags.out)
    table = comparison(flags.out / "runs")
    with atomic_path(flags.out / "table.md") as temporary:
        temporary.write_text(table)
    compare_figures(flags.out)
    print(f"\n{table}")
    print(f"figures: {flags.out}/loss.png, {flags.out}/roc.png; per run: {flags.out}/runs/*/")
    print(
        f"stages took {sum(seconds.values()):.0f} s, this call {time.monotonic() - started:.0f} s"
    )


def run_stages(folder: Path) -> dict[str, float]:
    """Run what is not done yet; seconds.json remembers stages that ended well."""
    done = folder / "seconds.json"
    seconds = json.loads(done.read_text()) if done.is_file() else {}
    commands = stages(folder)
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}  # the launcher too imports TensorFlow
    for number, (title, command) in enumerate(commands, start=1):
        print(f"[{number}/{len(commands)}] {title}", end="", flush=True)
        if title in seconds:
            print(f": done before in {seconds[title]:.0f} s")
            continue
        shown = " ".join(command).replace(f"{ROOT}/", "")
        print(f"\n    {shown}", flush=True)
        started = time.monotonic()
        ended = subprocess.run(command, cwd=ROOT, env=quiet, check=False)
        if ended.returncode:
            raise UserError(
                f"stage {title!r} failed with exit code {ended.returncode}; mend what "
                "it says above and run: make demo"
            )
        seconds[title] = time.monotonic() - started
        with atomic_path(done) as temporary:
            temporary.write_text(json.dumps(seconds, indent=2) + "\n")
    return seconds


def comparison(runs: Path) -> str:
    """The Markdown table: metrics with uncertainties, and the epochs each model needed."""
    target = min(losses(runs / MODELS["PET from scratch"], "validation"))
    head = ["model", *COLUMNS.values(), "epochs to the best loss from scratch", "test jets"]
    rows = [head]
    for model, name in MODELS.items():
        results = read_results(runs / name / "results.json")
        found = [results[key] for key in COLUMNS]
        validation = losses(runs / name, "validation")
        needed = epochs_needed(validation, target)
        reached = f"{needed} of {len(validation)}" if needed else f"not in {len(validation)}"
        cells = [result.text for result in found]
        rows.append([model, *cells, reached, str(found[0].n)])
    return markdown(rows, texts=len(head))


def compare_figures(folder: Path) -> None:
    """Both models in one figure of the loss and one of the rejection."""
    finetuned, scratch = (folder / "runs" / name for name in MODELS.values())
    runs = {FINETUNED: finetuned, SCRATCH: scratch}
    compare(runs, folder, "", "Top tagging, simulated jets", "Top")
