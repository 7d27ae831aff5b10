"""A pre-trained run as a backbone of this repository: its weights, its card, its digest.

    python -m benchmarks backbone --run runs/jetclass --name small \
        --curve runs/jetclass_15000,runs/jetclass_100000

Writes backbones/NAME.h5 (only the weights of the best epoch), NAME.md (the card), NAME_*.png
(losses, learning curve, confusion matrix) and a line in SHA256SUMS. All runs must be evaluated;
those of --curve were trained on fewer jets. A run that began with the weights of another counts the
epochs of both. jobs/backbone_small.sh has all steps.
"""

import re
from dataclasses import asdict
from pathlib import Path

from benchmarks.markdown import markdown
from benchmarks.programs import command_parser, write_text
from omnilearn.backbones import FOLDER, SUFFIX, SUMS, checkpoint_file, digests, sha256
from omnilearn.config import read_config
from omnilearn.data.catalogue import CATALOGUE
from omnilearn.errors import UserError
from omnilearn.history import best_epoch, read_history
from omnilearn.model.checkpoint import Checkpoint, checksum, load_checkpoint, save_checkpoint
from omnilearn.model.pet import PETConfig
from omnilearn.plotting.scans import confusion_figure, learning_curve
from omnilearn.plotting.style import grouped
from omnilearn.statistics.results import Result, read_results
from omnilearn.tagging.figures import LossHistory, loss_curves
from omnilearn.training.resume import position_of

RECORD_KEYS = ("task", "dataset", "class_names", "trained_on")  # kept of a checkpoint's record
METRICS = {"accuracy": "accuracy", "auc": "AUC, mean over pairs of classes"}
REJECTION = re.compile(r"rejection_(.+)_([0-9.]+)")  # key in results.json: class, efficiency
CARD = """\
# {name}

PET of {channels} channels and {blocks} blocks ({weights} weights, {megabytes:.1f} MB), \
pre-trained on {jets} {made} {dataset} jets, all heads together.

    python finetune.py top --preset small --backbone {name}

- SHA-256 of {name}.h5: `{digest}`
- made by `jobs/backbone_{name}.sh`, revision `{revision}`
- training: {seen} jets seen in {epochs} epochs, {hours:.1f} hours; batches of {batch}, learning \
rate {lr:g}{constant}, Lion; best validation loss {best:.4f} after epoch {best_epoch}
- classes, in the order of the logits: {classes}

## How good it is

{table}
{test_jets} test jets; uncertainties are those of the test sample. AUC: of every ordered pair of \
classes, averaged; 1/eB: jets of QCD per one that passes a cut with signal efficiency eS.

![Loss against epochs]({name}_loss.png)

![Confusion matrix]({name}_confusion.png)

{curve}## What it is not good for

- Its jets are simulated with Pythia 8 and a parametrised detector, not with MadGraph and Delphes \
as the public JetClass: its numbers are not those of the papers.
- Its training jets have transverse momenta of 500 to 1000 GeV and radius 0.8. Outside of that, \
measure whether it helps, against the same model from scratch.
- It is small. The published model was trained on 100 million jets; where a result matters, start \
from `--released-weights`, or train the full preset.
"""
CURVE = """\
## Learning curve

Validation cross-entropy and AUC against the number of pre-training jets, at the best epoch. \
The trainings also differ in the jets seen and in the share of them at a constant learning rate, \
after which it falls to zero:

{table}
![Validation cross-entropy and AUC against pre-training jets]({name}_learning_curve.png)

"""


def main(arguments: list[str]) -> None:
    parser = command_parser("backbone", __doc__)
    parser.add_argument("--run", type=Path, required=True, help="evaluated run of train.py")
    parser.add_argument("--name", required=True, help="the backbone's name: --backbone NAME")
    parser.add_argument("--curve", default="", help="evaluated runs on fewer jets, commas between")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the backbones")
    flags = parser.parse_args(arguments)
    curve = [Path(path) for path in flags.curve.split(",") if path]
    flags.out.mkdir(parents=True, exist_ok=True)
    digest = write_weights(flags.run, flags.name, flags.out)
    write_figures(flags.run, curve, flags.name, flags.out)
    text = card(flags.run, curve, flags.name, flags.out, digest)
    write_text(flags.out / f"{flags.name}.md", text)
    print(f"{flags.out / flags.name}{SUFFIX} and its card are written, SHA-256 {digest}")


def write_weights(run: Path, name: str, out: Path, architecture: type = PETConfig) -> str:
    """Write the weights of the best epoch as NAME.h5 and its digest into SHA256SUMS; return it.

    architecture: the class of the model's configuration. Paths of the machine that trained the run
    are left out. A file with the same weights stays as it is, so that a new card does not change
    its digest. Raises UserError for a run without class names.
    """
    best = load_checkpoint(run / "best.h5", architecture)
    record = {key: best.record[key] for key in RECORD_KEYS}
    if not best.class_names:
        raise UserError(f"{best.path} does not name its classes; train it again with train.py")
    record["config"] = {**best.record["config"], **{key: "" for key in ("data", "runs", "name")}}
    path = out / f"{name}{SUFFIX}"
    if not (path.is_file() and sum_of(load_checkpoint(path, architecture)) == sum_of(best)):
        save_checkpoint(path, best.model_config, best.weights, record)
    known = {**digests(out), name: sha256(path)}
    lines = (f"{digest}  {stem}{SUFFIX}\n" for stem, digest in sorted(known.items()))
    write_text(out / SUMS, "".join(lines))
    return known[name]


def sum_of(checkpoint: Checkpoint) -> str:
    """SHA-256 of the weights alone."""
    return checksum({"weights": checkpoint.weights}, {})


def write_figures(run: Path, curve: list[Path], name: str, out: Path) -> None:
    """NAME_loss, NAME_confusion and, with runs of `curve`, NAME_learning_curve as PNG and PDF."""
    draw_losses(run, name, out / f"{name}_loss")
    results = read_results(run / "results.json")
    spec = CATALOGUE[results["dataset"]]
    confusion_figure(spec, results["confusion"], out / f"{name}_confusion")
    if not curve:
        return
    runs = [*curve, run]
    loss = [best_epoch(read_history(path))["validation"]["cross_entropy"] for path in runs]
    auc = [read_results(path / "results.json")["auc"] for path in runs]
    learning_curve(
        [training_jets(path) for path in runs], loss, auc, out / f"{name}_learning_curve"
    )


def draw_losses(run: Path, label: str, path_stem: Path) -> None:
    """Training and validation loss of a run by epoch, as PNG and PDF."""
    earlier, own = histories(run)
    training, validation = (
        [line[jets]["loss"] for line in earlier + own] for jets in ("training", "validation")
    )
    loss_curves([LossHistory(label, training, validation)], path_stem)


def training_jets(run: Path, architecture: type = PETConfig) -> int:
    """Jets of the training sample, from the file list in the record of the checkpoint."""
    files = load_checkpoint(run / "best.h5", architecture).record["trained_on"]["training"]
    return sum(jets for _, jets, _ in files)


def histories(run: Path) -> tuple[list[dict], list[dict]]:
    """The epochs of the checkpoint that a run began with, and its own, counted on from these."""
    _, about = read_config(run / "config.json")
    earlier: list[dict] = []
    if about.get("backbone"):
        earlier = position_of(load_checkpoint(checkpoint_file(about["backbone"]))).history
    own = enumerate(read_history(run), start=len(earlier) + 1)
    return earlier, [{**line, "epoch": number} for number, line in own]


def jets_seen(history: list[dict]) -> int:
    """Training jets of all epochs together."""
    return sum(line["jets"] for line in history)


def card(run: Path, curve: list[Path], name: str, out: Path, digest: str) -> str:
    """The text of NAME.md, with all numbers from the runs."""
    config, about = read_config(run / "config.json")
    results, (earlier, own) = read_results(run / "results.json"), histories(run)
    history, best, before = earlier + own, best_epoch(own), len(earlier)
    backbone = load_checkpoint(out / f"{name}{SUFFIX}")
    sizes = asdict(backbone.model_config)
    return CARD.format(
        name=name,
        channels=sizes["projection_dim"],
        blocks=sizes["num_layers"],
        weights=grouped(sum(array.size for array in backbone.weights.values())),
        megabytes=(out / f"{name}{SUFFIX}").stat().st_size / 1e6,
        jets=grouped(training_jets(run)),
        made=results["data"],
        dataset=CATALOGUE[results["dataset"]].title,
        digest=digest,
        revision=about["revision"],
        epochs=len(history),
        seen=grouped(jets_seen(history)),
        batch=config.batch,
        lr=config.lr,
        constant=f" constant for {before} epochs, then falling to zero" if before else "",
        hours=sum(line["seconds"] for line in history) / 3600,
        best=best["validation"]["loss"],
        best_epoch=best["epoch"],
        classes=", ".join(backbone.class_names),
        table=metrics_table(results),
        test_jets=grouped(results["auc"].n),
        curve=CURVE.format(name=name, table=curve_table([*curve, run])) if curve else "",
    )


def metrics_table(results: dict) -> str:
    """A line per metric of results.json but the AUC that repeats another one on equal classes."""
    rows = [["metric", "value"]]
    for key, value in results.items():
        if isinstance(value, Result) and key != "auc_one_vs_rest":
            found = REJECTION.fullmatch(key)
            title = f"1/eB of {found[1]} against QCD, eS = {found[2]}" if found else key
            rows.append([METRICS.get(key, title), value.text])
    return markdown(rows, texts=1)


def curve_table(runs: list[Path]) -> str:
    """A line per number of pre-training jets."""
    jets = ["pre-training jets", "jets seen", "at a constant rate"]
    rows = [[*jets, "validation cross-entropy", "AUC", "accuracy"]]
    for run in runs:
        earlier, own = histories(run)
        results, best = read_results(run / "results.json"), best_epoch(own)
        rows.append(
            [
                grouped(training_jets(run)),
                grouped(jets_seen(earlier + own)),
                f"{jets_seen(earlier) / jets_seen(earlier + own):.0%}",
                f"{best['validation']['cross_entropy']:.4f}",
                results["auc"].text,
                results["accuracy"].text,
            ]
        )
    return markdown(rows, texts=0)
