"""Search for a resonance against injected signal: from a backbone, and the same from scratch.

    python -m benchmarks anomaly --signal 0,500,1000 --repeats 3             # from --backbone small
    python -m benchmarks anomaly ... --kinds idealised cathode --epochs 4    # more for finetune.py
    python -m benchmarks anomaly ... --kinds salad --simulation other        # other: a data folder

Figure 7 of arXiv:2502.14652. finetune.py and evaluate.py are called once per model for all
its cells; a finished cell is not repeated. Writes table.md, the figure of the scan and those of the
significance improvement into --out.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks.markdown import markdown
from benchmarks.programs import absolute, backbone, command_parser, write_text
from benchmarks.runs import text_of
from benchmarks.scripts import execute, words_of
from benchmarks.search_tables import KINDS, SCANNED, scanned, signal_texts
from omnilearn.anomaly.event_roles import WEIGHTED, SearchConfig
from omnilearn.anomaly.figures import improvement_curves, scan_figure
from omnilearn.data.catalogue import LHCO
from omnilearn.errors import UserError
from omnilearn.statistics.results import read_results

MODELS = {"OmniLearn": "lhco_finetuned", "from scratch": "lhco_scratch"}
FOOTNOTE = """
Median over trainings (each with its own draw of background and signal), ± half of the interval
that holds 68 % of them; of a single training ± its statistical uncertainty. Max SIC: largest
eS / sqrt(eB) with more than 1e-4 and 10 events of background ({floors}). Z: local significance of
the bump hunt on events of the test split, or of all folds, at 1 % efficiency of the sidebands.
"""

REFERENCE_HEAD = [
    "model",
    "reference",
    "AUC, all constituents",
    "AUC, kinematics",
    "the same, weighted",
    "effective share",
]
REFERENCE_NOTE = """
Data against the reference in the sidebands, with events that no training used. AUC, all
constituents: of the classifier whose ratio weights the reference. AUC, kinematics: of boosted
trees, before and after the weights. Effective share: (sum w)^2 / (N sum w^2) of the weights.
"""


def signals(text: str) -> list[int]:
    """Numbers of injected events from a comma-separated text, in rising order."""
    try:
        return sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise UserError(f"--signal is {text!r}; expected numbers of events, like 0,500") from None


def command(model: str, kind: str, flags: argparse.Namespace, extra_words: list[str]) -> list[str]:
    """The command that trains all cells of a kind."""
    words = words_of(
        "{python} finetune.py lhco --preset {preset} --data {data} --runs {runs} --name {name} "
        "--repeats {repeats} --folds {folds}",
        name=MODELS[model],
        **vars(flags),
    )
    words += extra_words
    words += {
        "idealised": ["--idealised"],
        "supervised": ["--supervised"],
        "cathode_weighted": ["--sideband-weights"],
        "salad": ["--simulation", str(flags.simulation)],
    }.get(kind, [])
    if kind != "supervised":
        words += ["--signal", ",".join(map(str, flags.signal))]
    return [*words, "--backbone", flags.backbone] if model == "OmniLearn" else words


def cells(model: str, kind: str, flags: argparse.Namespace) -> list[Path]:
    """The run directories of a kind."""
    signals = [0] if kind == "supervised" else flags.signal
    return [
        flags.runs / MODELS[model] / part.cell(seed)
        for signal in signals
        for seed in range(flags.repeats)
        for part in SearchConfig(kind, signal).in_folds(flags.folds)
    ]


def references(folder: Path) -> list[Path]:
    """The runs behind the references of a model: the generator, and classifiers of sidebands."""
    names = ("density", *(f"sidebands_{kind}" for kind in WEIGHTED))
    return [folder / name for name in names if (folder / name / "config.json").is_file()]


def reference_table(runs: dict[str, Path]) -> str:
    """Markdown: how well weighted references describe the sidebands; empty without one."""
    rows = [REFERENCE_HEAD]
    for model, folder in runs.items():
        for kind in WEIGHTED:
            path = folder / f"sidebands_{kind}" / "results.json"
            if not path.is_file():
                continue
            results = read_results(path)
            kinematics = (
                results[name]["auc_kinematics"].text for name in ("reference", "weighted")
            )
            share = f"{results['effective_share']:.2f}"
            rows.append([model, kind, results["auc_sidebands"].text, *kinematics, share])
    return f"\n{markdown(rows, texts=2)}{REFERENCE_NOTE}" if len(rows) > 1 else ""


def table(scans: dict[str, dict[str, dict[str, dict[str, Any]]]]) -> str:
    """Markdown: a line per kind and signal, columns per model."""
    heading = ["kind", "signal", "S/sqrt(B)", "trainings"]
    rows = [[*heading, *(f"{model}: {title}" for model in scans for _, title in SCANNED)]]
    first = next(iter(scans.values()))
    for kind, points in first.items():
        for key, point in points.items():
            row = [kind, *signal_texts(kind, point), str(point["trainings"])]
            for kinds in scans.values():
                row += map(text_of, scanned(kind, kinds.get(kind, {}).get(key, {})))
            rows.append(row)
    return markdown(rows, texts=1)


def draw(runs: dict[str, Path], out: Path, seed: int = 0) -> tuple[dict[str, dict], set[str]]:
    """Figures of the evaluated scans by label; returns the scans and their efficiency floors."""
    scans, floors = {}, set()
    curves: dict = {}
    for model, run in runs.items():
        scans[model] = read_results(run / "results.json")["scan"]
        for path in sorted(run.glob("*/seed*/results.json")):
            cell = read_results(path)
            if (cell["seed"], cell.get("fold", 0)) != (seed, 0):
                continue
            floors.add(
                f"{cell['background_efficiency_floor']:.2g} of "
                f"{cell['events']['test_background']} events"
            )
            curves.setdefault(path.parts[-3], {})[model] = cell["curve"]
    out.mkdir(parents=True, exist_ok=True)
    scan_figure(scans, out / "scan", LHCO.title)
    for cell_name, curves_of_cell in curves.items():
        title = f"{LHCO.title}, {cell_name.replace('_signal', ', signal: ')}"
        improvement_curves(curves_of_cell, out / f"improvement_{cell_name}", title)
    return scans, floors


def report(folder: Path, out: Path) -> str:
    """Table and figures of the evaluated scans in `folder`; returns the text of table.md."""
    runs = {
        model: folder / name
        for model, name in MODELS.items()
        if (folder / name / "results.json").is_file()
    }
    if not runs:
        raise UserError(f"{folder} holds no evaluated scan of lhco")
    scans, floors = draw(runs, out)
    text = table(scans) + FOOTNOTE.format(floors="floor: " + ", ".join(sorted(floors)))
    text += reference_table(runs)
    write_text(out / "table.md", text)
    return text


def main(arguments: list[str]) -> None:
    parser = command_parser("anomaly", __doc__, epilog="further flags go to finetune.py")
    parser.add_argument("--data", type=absolute, default="data", help="folder of datasets")
    parser.add_argument("--backbone", type=backbone, default="small", help="name or run")
    parser.add_argument("--signal", type=signals, default=signals("0,500,600,800,1000,2000,5000"))
    parser.add_argument("--repeats", type=int, default=1, help="trainings per cell")
    parser.add_argument("--folds", type=int, default=1, help="as that of finetune.py")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["idealised", "supervised"])
    parser.add_argument(
        "--simulation", type=absolute, help="data folder of the other simulation, for --kinds salad"
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--preset", default="small", help="full or small")
    parser.add_argument("--runs", type=absolute, default="runs", help="folder of run directories")
    parser.add_argument("--out", type=absolute, default="anomaly", help="table and figures")
    flags, extra_words = parser.parse_known_args(arguments)
    if "salad" in flags.kinds and not flags.simulation:
        raise UserError("--kinds salad needs --simulation, the data folder of another simulation")
    for model in flags.models:
        any_trained = False
        for kind in flags.kinds:
            runs = cells(model, kind, flags)
            missing = [run for run in runs if not (run / "results.json").is_file()]
            if missing:
                any_trained = True
                print(f"{model}, {kind}: {len(missing)} of {len(runs)} cells", flush=True)
                execute(command(model, kind, flags, extra_words))
        if any_trained:
            execute([sys.executable, "evaluate.py", str(flags.runs / MODELS[model])])
        for run in references(flags.runs / MODELS[model]):
            if not (run / "results.json").is_file():
                execute([sys.executable, "evaluate.py", str(run)])
    print(report(flags.runs, flags.out))
