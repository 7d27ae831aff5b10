"""Jets of signal against jets of background in events of the LHC Olympics, cross-validated.

    python -m preprocessing lhco --raw raw/lhco_tiny --out lhco_tiny
    python -m benchmarks lhco_jets --data lhco_tiny --repeats 2

For samples of a thousand events, such as the first ones of the public file: every jet is tested
once, by a classifier that was trained without its event. PET from a backbone, PET from scratch and
boosted trees on pT, eta, mass and multiplicity have the same folds; every training ends by its
validation loss, on a fold of its own. Repeats divide the events anew, with other seeds. The
uncertainty is that of a bootstrap of the events, which both jets of an event share. Writes
lhco_jets.json and lhco_jets.md into --out.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.markdown import markdown
from benchmarks.programs import absolute, backbone, command_parser, write_text
from omnilearn.anomaly.density import single_jets
from omnilearn.anomaly.dijets import Dijets
from omnilearn.config import Config, Start
from omnilearn.data.catalogue import LHCO
from omnilearn.errors import UserError
from omnilearn.fit import fit_pet, load_best, make_pet
from omnilearn.log import log
from omnilearn.recipes import FINETUNING, SCRATCH, recipe
from omnilearn.runs import prepare_run
from omnilearn.statistics.results import Result, write_results
from omnilearn.tagging import task as tagging
from omnilearn.tagging.metrics import auc, pair_score

RECIPE = "top"  # its settings of a tagger, with a constant learning rate
EPOCHS, PATIENCE = 80, 8
REPLICAS = 200
MODELS = ("OmniLearn", "from scratch", "boosted trees")
JETS = LHCO.jets_per_event


def folds_of(events: Dijets, folds: int, seed: int) -> np.ndarray:
    """Fold (N,) of every event, with equal shares of signal and of background."""
    fold = np.zeros(len(events.mass), int)
    rng = np.random.default_rng(seed)
    for kind in (events.signal, ~events.signal):
        rows = rng.permutation(np.flatnonzero(kind))
        fold[rows] = np.arange(len(rows)) % folds
    return fold


def pet_scores(
    events: Dijets, fold: np.ndarray, test: int, start: Start, flags: argparse.Namespace, seed: int
) -> np.ndarray:
    """Logits of signal over background (jets of the fold,), in the order of the file."""
    folds = fold.max() + 1
    validation = (test + 1) % folds
    settings = recipe(FINETUNING, RECIPE, "small")
    settings |= {} if start.path else recipe(SCRATCH, RECIPE, "small")
    settings |= {"epochs": EPOCHS, "patience": PATIENCE, "decay": False}
    kind = "finetuned" if start.path else "scratch"
    runs = flags.out / "runs" / kind / f"repeat{seed}"
    config = Config(**settings, runs=str(runs), name=f"fold{test}", seed=seed)
    pet = make_pet(LHCO, config, start, say=log.debug)
    about = {"task": "tagging", "dataset": LHCO.name, "backbone": start.path}
    parts = (fold != test) & (fold != validation), fold == validation, fold == test
    training, stopping, tested = (single_jets(events, part, config) for part in parts)
    run = prepare_run(config, "", about)
    fit_pet(pet, config, (training, stopping), run, about)
    logits = tagging.predict(load_best(pet, run), tested)["logits"]
    return pair_score(logits, LHCO.signal, 1 - LHCO.signal)


def tree_scores(events: Dijets, fold: np.ndarray, test: int, seed: int) -> np.ndarray:
    """Probabilities of signal (jets of the fold,) of boosted trees, trained on the other folds."""
    kinematics, label = events.files.jets.kinematics(), np.repeat(events.signal, JETS)
    in_test = np.repeat(fold == test, JETS)
    trees = HistGradientBoostingClassifier(early_stopping=True, random_state=seed)
    trees.fit(kinematics[~in_test], label[~in_test])
    return trees.predict_proba(kinematics[in_test])[:, 1]


def mean_auc(scores: np.ndarray, label: np.ndarray, fold: np.ndarray, weight: np.ndarray) -> float:
    """Mean over the folds of the AUC; all arrays (jets,)."""
    values = []
    for number in range(fold.max() + 1):
        jets = (fold == number) & (weight > 0)
        values.append(auc(scores[jets], label[jets], weight[jets]).value)
    return float(np.mean(values))


def compared(
    scores: dict[str, np.ndarray], events: Dijets, folds: np.ndarray, seed: int
) -> dict[str, Result]:
    """AUC of every model and its difference from that of the backbone.

    scores: model -> (repeats, jets); folds (repeats, N) of the events. The error adds the variance
    over bootstrap samples of the events to that of the mean over repeats.
    """
    rng = np.random.default_rng(seed)
    label = np.repeat(events.signal, JETS).astype(int)
    fold = np.repeat(folds, JETS, axis=1)
    jets = len(label)

    def of_models(weight: np.ndarray) -> np.ndarray:  # (models, repeats)
        of_jet = np.repeat(weight, JETS).astype(float)
        values = [
            [mean_auc(values[repeat], label, fold[repeat], of_jet) for repeat in range(len(fold))]
            for values in scores.values()
        ]
        return np.array(values)

    nominal = of_models(np.ones(len(events.mass)))
    replicas = np.array(
        [of_models(rng.poisson(1.0, len(events.mass))) for _ in range(REPLICAS)]
    ).mean(axis=-1)  # (replicas, models)
    results = {}
    for index, model in enumerate(scores):
        for name, values, sampled in (
            (model, nominal[index], replicas[:, index]),
            (
                f"{MODELS[0]} - {model}",
                nominal[0] - nominal[index],
                replicas[:, 0] - replicas[:, index],
            ),
        ):
            of_mean = np.var(values, ddof=1) / len(values) if len(values) > 1 else 0.0
            error = float(np.sqrt(np.var(sampled) + of_mean))
            if error > 0:  # not the difference of the backbone from itself
                results[name] = Result(float(np.mean(values)), error, jets)
    return results


def main(arguments: list[str]) -> None:
    parser = command_parser("lhco_jets", __doc__)
    parser.add_argument("--data", type=absolute, default="data", help="folder of datasets")
    parser.add_argument("--backbone", type=backbone, default="small", help="name or run")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=2, help="divisions into folds")
    parser.add_argument("--out", type=absolute, default="lhco_jets")
    flags = parser.parse_args(arguments)
    if flags.folds < 3:
        raise UserError(f"--folds is {flags.folds}; test, validation and training need 3")
    events = Dijets(LHCO, str(flags.data))
    shape = (flags.repeats, len(events.mass) * JETS)
    scores = {model: np.zeros(shape) for model in MODELS}
    folds = np.array([folds_of(events, flags.folds, seed) for seed in range(flags.repeats)])
    for seed, fold in enumerate(folds):
        for test in range(flags.folds):
            log.info(f"repeat {seed + 1} of {flags.repeats}, fold {test + 1} of {flags.folds}")
            jets = np.repeat(fold == test, JETS)
            starts = (Start(backbone=flags.backbone), Start())
            for model, start in zip(MODELS[:2], starts, strict=True):
                scores[model][seed, jets] = pet_scores(events, fold, test, start, flags, seed)
            scores[MODELS[2]][seed, jets] = tree_scores(events, fold, test, seed)
    results = compared(scores, events, folds, seed=0)
    record = {
        "dataset": LHCO.name,
        "data": events.files.origin,
        "backbone": Path(flags.backbone).name,
        "events": len(events.mass),
        "signal": int(events.signal.sum()),
        "folds": flags.folds,
        "repeats": flags.repeats,
        "auc": results,
    }
    flags.out.mkdir(parents=True, exist_ok=True)
    write_results(flags.out / "lhco_jets.json", record)
    rows = [["AUC of jets", "value"], *([name, result.text] for name, result in results.items())]
    text = markdown(rows, texts=1)
    write_text(flags.out / "lhco_jets.md", text)
    print(text)
