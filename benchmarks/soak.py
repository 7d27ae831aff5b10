"""Kill and resume a small training again and again: its weights must be those of one never stopped.

    python -m benchmarks soak [--kills 200]

A tiny PET with all its heads trains in compiled graphs, in a process of its own, with a checkpoint
at every step, to be killed: half of the times by SIGKILL at a random moment, a quarter by SIGKILL
in the midst of writing a checkpoint, a quarter by request (SIGTERM); one that was complete before
its moment is no kill. Now and then the newest checkpoint is then damaged, as a failing disk does.
The training is started again until it is complete; weights, optimiser, averages and history must
equal the uninterrupted ones bit for bit. Another begins, until there were enough kills. TensorFlow
is loaded once: every training is a fork, which traces its graphs itself.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.throughput import made_batch
from omnilearn.atomic import atomic_path
from omnilearn.config import Config
from omnilearn.data.catalogue import TOP
from omnilearn.data.pipeline import Pipeline
from omnilearn.data.reader import JetFiles
from omnilearn.errors import UserError, run_cli
from omnilearn.hdf5 import new_file
from omnilearn.history import read_history
from omnilearn.model.checkpoint import load_checkpoint
from omnilearn.model.pet import PET, PETConfig
from omnilearn.progress import progress
from omnilearn.training import trainer as training
from omnilearn.training.objective import PETObjective

RESULTS = Path(__file__).parent / "results"
SLOTS = 12
SPEC = replace(TOP, max_constituents=SLOTS)
ARCHITECTURE = PETConfig(
    projection_dim=8,
    num_layers=1,
    num_heads=2,
    num_classes=2,
    max_constituents=SLOTS,
    classifier_layers=1,
    generator_layers=1,
)
CONFIG = Config(epochs=2, batch=8, lr=5e-3, warmup_epochs=0, checkpoint_every=1)
JETS = {"train": 32, "val": 10}
BY_REQUEST, WHILE_WRITING, DAMAGED = 0.25, 0.25, 0.15  # shares of the kills
MOMENTS = ("half written", "before the renames", "between the renames", "after the renames")


def write_jets(folder: Path) -> None:
    """Random jets, one file per split."""
    for split, number in JETS.items():
        jets = made_batch(2 + np.arange(number) % (SLOTS - 1), SLOTS)
        with new_file(folder / f"{split}.h5") as file:
            file["data"] = jets["constituents"][:, :, : SPEC.num_features]
            file["jet"], file["pid"] = jets["jet"], np.arange(number) % 2


def end_while_writing(number: int, moment: str, share: float) -> None:
    """Let this process kill itself at that moment of the `number`-th checkpoint it writes.

    share: of the content, which is on the disk when it is half written.
    """
    write, replace = Path.write_bytes, Path.replace
    written = 0

    def end(now: str) -> None:
        if (written, moment) == (number, now):
            os.kill(os.getpid(), signal.SIGKILL)

    def write_bytes(path, content):
        nonlocal written
        written += 1
        if (written, moment) == (number, "half written"):
            write(path, content[: int(share * len(content))])
            end(moment)
        return write(path, content)

    def rename(path, target):
        is_new = ".partial" in path.name  # else the newest checkpoint becomes the previous one
        end("before the renames")
        if is_new:
            end("between the renames")
        result = replace(path, target)
        if is_new:
            end("after the renames")
        return result

    for name, method in {"write_bytes": write_bytes, "replace": rename}.items():
        setattr(Path, name, method)


def train(run: Path, data: Path) -> None:
    """The whole training in `run`, or what is left of it."""
    pipelines = [
        Pipeline(JetFiles([data / f"{split}.h5"], SPEC), SPEC, CONFIG.batch, lengths=(SLOTS,))
        for split in JETS
    ]
    import keras  # late: what it prints on loading is silenced by then

    keras.utils.set_random_seed(CONFIG.seed)
    objective = PETObjective(PET(ARCHITECTURE), CONFIG.mode)
    about = {"config": asdict(CONFIG)}
    steps = pipelines[0].steps_per_epoch
    training.Trainer(objective, CONFIG, steps, run, about).fit(*pipelines)


def started(run: Path, data: Path, end: tuple[int, str, float] | None = None) -> int:
    """The id of a process that trains and leaves its output in run.log; it has TensorFlow loaded.

    end: of `end_while_writing`. This process never computes with TensorFlow, whose threads a fork
    would lose.
    """
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    tqdm.set_lock(threading.RLock())  # not one of all forks, which dies with the first killed
    code = 1
    try:
        log = run.with_suffix(".log").open("a")
        with log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            if end:
                end_while_writing(*end)
            try:
                code = run_cli(lambda: train(run, data))
            except Exception:
                traceback.print_exc()
    finally:
        os._exit(code)


def ended(process: int, limit: float) -> int | None:
    """Its exit code (negative: the signal) within `limit` seconds, or None."""
    until = time.monotonic() + limit
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            return None
        time.sleep(0.005)


def damage(path: Path, rng: random.Random) -> None:
    """Cut the file short, or flip one of its bits."""
    content = bytearray(path.read_bytes())
    place = rng.randrange(len(content))
    if rng.random() < 0.5:
        del content[place:]
    else:
        content[place] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def outcome(run: Path) -> dict[str, np.ndarray]:
    """Everything a finished training leaves, but for the seconds it took."""
    found = load_checkpoint(run / "last.h5")
    groups = {"weights": found.weights, "ema": found.ema, "optimizer": found.optimizer}
    arrays = {
        f"{group}/{name}": array for group, named in groups.items() for name, array in named.items()
    }
    kept = [
        {key: value for key, value in line.items() if key != "seconds"}
        for line in read_history(run)
    ]
    return arrays | {"history": np.array(json.dumps(kept))}


def differing(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> list[str]:
    """Names of what is not the same bit for bit."""
    return [
        name
        for name in expected.keys() | found.keys()
        if name not in found
        or name not in expected
        or found[name].tobytes() != expected[name].tobytes()
    ]


def survive(kills: int, seed: int, folder: Path) -> dict:
    """Count what happened in so many kills; raises UserError when a training ended otherwise."""
    rng = random.Random(seed)
    data, run = folder, folder / "run"
    write_jets(data)
    through = folder / "through"
    through.mkdir()
    begun = time.monotonic()
    if ended(started(through, data), 3600):
        raise UserError(f"the uninterrupted run failed: {last_words(through)}")
    usual = time.monotonic() - begun
    expected = outcome(through)
    counts = {
        "kills": 0,
        "by_request": 0,
        "while_writing": 0,
        "damaged": 0,
        "gone_on_from_previous": 0,
        "complete_trainings": 0,
    }
    with progress(kills, "kills") as bar:
        while True:
            run.mkdir(exist_ok=True)
            has_enough = counts["kills"] >= kills
            kinds = {"by_request": BY_REQUEST, "while_writing": WHILE_WRITING}
            kinds["at_once"] = 1 - sum(kinds.values())
            kind = "none" if has_enough else rng.choices(list(kinds), list(kinds.values()))[0]
            end = (rng.randint(1, 6), rng.choice(MOMENTS), rng.random())
            process = started(run, data, end if kind == "while_writing" else None)
            waits = kind in ("none", "while_writing")
            code = ended(process, 3600 if waits else rng.uniform(0, usual))
            is_killed = kind == "while_writing" and code == -signal.SIGKILL
            if code is None:
                os.kill(process, signal.SIGTERM if kind == "by_request" else signal.SIGKILL)
                code = ended(process, 3600)
                is_killed = code != 0
            if is_killed:
                counts["kills"] += 1
                if kind in counts:
                    counts[kind] += 1
                bar.update(1)
                both = all((run / name).exists() for name in ("last.h5", "previous.h5"))
                if both and rng.random() < DAMAGED:
                    damage(run / "last.h5", rng)
                    counts["damaged"] += 1
                continue
            if code != 0:
                raise UserError(f"a resumed run ended with code {code}: {last_words(run)}")
            wrong = differing(outcome(run), expected)
            if wrong:
                raise UserError(
                    f"{len(wrong)} arrays differ from the uninterrupted run, {wrong[0]} among "
                    f"them; kill {counts['kills']} of seed {seed}"
                )
            counts["complete_trainings"] += 1
            counts["gone_on_from_previous"] += last_words(run, None).count("the checkpoint before")
            print(
                f"{counts['kills']} of {kills} kills, {counts['complete_trainings']} trainings "
                "completed, all equal to the uninterrupted one",
                flush=True,
            )
            shutil.rmtree(run)
            run.with_suffix(".log").unlink()
            if has_enough:
                return counts


def last_words(run: Path, characters: int | None = 500) -> str:
    text = run.with_suffix(".log").read_text()
    return text if characters is None else text[-characters:]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks soak", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the moments and kinds of kills")
    parser.add_argument("--out", type=Path, default=RESULTS / "soak.json")
    flags = parser.parse_args(arguments)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        counts = survive(flags.kills, flags.seed, Path(folder))
    seconds = round(time.monotonic() - begun)
    print(
        f"{counts['kills']} kills ({counts['by_request']} by SIGTERM, {counts['while_writing']} in "
        f"the midst of a checkpoint), {counts['damaged']} checkpoints damaged; "
        f"{counts['gone_on_from_previous']} times the checkpoint before the last was used; "
        f"{counts['complete_trainings']} trainings completed, all equal to the uninterrupted one "
        f"bit for bit; {seconds} s"
    )
    command = f"python -m benchmarks soak --kills {flags.kills} --seed {flags.seed}"
    result = {"command": command, "seconds": seconds, **counts}
    with atomic_path(flags.out) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")
