"""Kill the commands of the suite again and again: they must leave what an uninterrupted one does.

    python -m benchmarks soak [--kills 200] [--others 10] [--only pet two_ranks] [--folder DIR]

Every command, from the simulation of jets to a training on two ranks, is run once through. Then it
is started in a fresh copy of the folder and killed: by SIGKILL at a random moment of its life, in
the midst of putting a file in its place, or by request (SIGTERM); of two ranks one is killed, or
all. It is started again, and killed again, until it is complete; then all files must hold the same
numbers bit for bit, and no temporary file may be left. Now and then the newest checkpoint is
damaged between two starts, as a failing disk does. Kills count once their command has ended; the
counts are in --folder, and the same command goes on from there; the rows of other commands that
are in --out stay.
"""

import json
import random
import resource
import shutil
import signal
import time
import uuid
from importlib import import_module
from pathlib import Path

from benchmarks.programs import RESULTS, command_parser, write_json
from benchmarks.soak_kills import (
    MOMENTS,
    Writing,
    count_of,
    ended,
    family,
    log_of,
    ranks_of,
    send,
    started,
    wait_for_family,
)
from benchmarks.soak_outcome import damage, differing
from benchmarks.soak_stages import STAGES, Stage, write_jets
from omnilearn.errors import STOPPED, UserError
from omnilearn.progress import progress
from omnilearn.runs import revision

FOLDER = Path("runs") / "soak"
KINDS = {"at_once": 0.5, "while_writing": 0.25, "by_request": 0.25}  # shares of the kills
KINDS_OF_RANKS = {"one_rank": 0.4, "all_ranks": 0.4, "by_request": 0.2}
DAMAGED = 0.15  # of the kills
# of the commands, so that no fork has to load it; they load TensorFlow
LOADED = tuple(
    f"omnilearn.{task}.{part}"
    for task in ("tagging", "generation", "unfolding", "anomaly", "tokens")
    for part in ("task", "figures")
    if (task, part) != ("tokens", "figures")
)
FOR_EVER = 3600.0  # seconds, longer than any command takes
PRINTED_OF_PREVIOUS = "the checkpoint before"


def row_of(stage: Stage) -> dict:
    """Nothing counted yet."""
    kinds = KINDS_OF_RANKS if stage.ranks > 1 else KINDS
    return {
        "command": stage.words,
        "revision": revision(),
        "kills": 0,
        "kinds": dict.fromkeys(kinds, 0),
        "damaged": 0,
        "gone_on_from_previous": 0,
        "completed": 0,
        "differences": [],
        "seconds": 0.0,
        "cpu_seconds": 0.0,
    }


class Soak:
    """Folders and counts of a soak; `folder` holds one of each command, and soak.json."""

    def __init__(self, folder: Path, seed: int):
        self.folder, self.seed = folder.resolve(), seed
        self.state = self.folder / "soak.json"
        self.rows: dict[str, dict] = {}
        self.begin()

    def begin(self) -> None:
        """Take up the counts of an earlier command; UserError where they are of other code."""
        now = {"revision": revision(), "seed": self.seed}
        if not self.state.exists():
            if self.folder.exists():
                raise UserError(f"{self.folder} exists and holds no soak; choose another --folder")
            base = self.folder / "base"
            base.mkdir(parents=True)
            write_jets(base)
            self.about = now
            self.write()
            return
        stored = json.loads(self.state.read_text())
        self.rows, self.about = stored.pop("rows"), stored
        if self.about != now:
            raise UserError(
                f"{self.folder} holds a soak of {self.about}, now {now}; remove it, or choose "
                "another --folder"
            )

    def write(self) -> None:
        write_json(self.state, {**self.about, "rows": self.rows}, indent=1)

    def before(self, stage: Stage) -> Path:
        """The folder in which a command begins."""
        return self.through(stage.after) if stage.after else self.folder / "base"

    def through(self, name: str) -> Path:
        """The folder of a command that ran through; runs it where it has not."""
        stage, place = STAGES[name], self.folder / name / "through"
        usual = self.folder / name / "usual.json"
        if usual.is_file():
            return place
        again(self.before(stage), place)
        begun = time.monotonic()
        if code := ended(started(stage, place), FOR_EVER):
            raise UserError(f"{name}, not interrupted, ended with code {code}: {said(place)}")
        files = int(count_of(place).read_text()) if count_of(place).exists() else 0
        write_json(usual, {"seconds": time.monotonic() - begun, "files": files})
        return place

    def kill_until_complete(self, name: str, most: int) -> None:
        """One more life of a command, with as many kills as it takes but no more than `most`."""
        stage, through = STAGES[name], self.through(name)
        usual = json.loads((self.folder / name / "usual.json").read_text())
        row = self.rows.setdefault(name, row_of(stage))
        rng = random.Random(f"{self.seed} {name} {row['completed']}")
        killed = self.folder / name / "killed"
        again(
            self.folder / stage.after / "through" if stage.after else self.folder / "base", killed
        )
        begun, cpu = time.monotonic(), cpu_seconds()
        kinds: list[str] = []
        wrong: list[str] = []
        damages = 0
        while True:
            kind = choice(row["kinds"], stage, rng) if len(kinds) < most else ""
            try:
                code = one_life(stage, killed, kind, usual, rng)
            except UserError as error:  # processes that live on
                wrong, code = [str(error)], 0
            if not wrong and code is None:
                kinds.append(kind)
                damages += damaged_one(killed, rng) if stage.is_training else 0
                continue
            if not wrong:
                wrong = [f"code {code}: {said(killed)}"] if code else differing(through, killed)
            break
        for one in kinds:
            row["kinds"][one] += 1
        row["kills"] += len(kinds)
        row["damaged"] += damages
        row["gone_on_from_previous"] += log_of(killed).read_text().count(PRINTED_OF_PREVIOUS)
        row["seconds"] = round(row["seconds"] + time.monotonic() - begun, 1)
        row["cpu_seconds"] = round(row["cpu_seconds"] + cpu_seconds() - cpu, 1)
        if wrong:
            kept = self.folder / name / f"differs_{uuid.uuid4().hex[:8]}"
            killed.rename(kept)
            log_of(killed).rename(log_of(kept))
            row["differences"].append({"folder": str(kept.name), "what": wrong[:20]})
        row["completed"] += 1
        self.write()


def choice(kinds: dict, stage: Stage, rng: random.Random) -> str:
    """A kind of kill, by its share."""
    shares = KINDS_OF_RANKS if stage.ranks > 1 else KINDS
    return rng.choices(list(kinds), [shares[kind] for kind in kinds])[0]


def one_life(stage: Stage, folder: Path, kind: str, usual: dict, rng: random.Random) -> int | None:
    """Run the command until it is killed in that way (returns None), or its exit code.

    kind: empty where it is left alone. One that was complete before its moment was not killed.
    """
    end, moment = None, rng.uniform(0, usual["seconds"])
    if kind == "while_writing":
        end = Writing(rng.randint(1, max(1, usual["files"])), rng.choice(MOMENTS), rng.random())
    process = started(stage, folder, end)
    waits = kind in ("", "while_writing")
    code = ended(process, FOR_EVER if waits else moment)
    if code is None:
        number = signal.SIGTERM if kind == "by_request" else signal.SIGKILL
        victims = [process] if stage.ranks == 1 else chosen_ranks(process, folder, kind, rng)
        send(victims, number)
        code = ended(process, FOR_EVER)
        # horovodrun has codes of its own
        is_killed = code != 0 and (code in (-number, stops_with(stage)) or stage.ranks > 1)
    else:
        is_killed = kind == "while_writing" and code == -signal.SIGKILL
    if is_killed:
        wait_for_family(process, folder)
    return None if is_killed else code


def stops_with(stage: Stage) -> int:
    """The exit code of a command that was asked to stop; preprocessing says it as an error."""
    return STOPPED if stage.is_training else 2


def chosen_ranks(process: int, folder: Path, kind: str, rng: random.Random) -> list[int]:
    """All processes of a training on several ranks, or one of its ranks, once there are some."""
    while True:
        found = family(process, folder)
        if kind == "all_ranks" or not found:
            return [process, *found]
        ranks = ranks_of(found)
        if len(ranks) > 1:
            return [rng.choice(ranks)]
        time.sleep(0.1)
        if not family(process, folder):
            return []


def damaged_one(folder: Path, rng: random.Random) -> int:
    """Damage a newest checkpoint that has one before it, now and then; how many were."""
    found = sorted(
        path for path in folder.rglob("last.h5") if path.with_name("previous.h5").is_file()
    )
    if not found or rng.random() >= DAMAGED:
        return 0
    damage(rng.choice(found), rng)
    return 1


def again(before: Path, folder: Path) -> None:
    """A fresh copy of a folder, without what an earlier command left of it."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in (log_of(folder), count_of(folder)):
        path.unlink(missing_ok=True)
    shutil.copytree(before, folder)


def said(folder: Path, characters: int = 700) -> str:
    """The last words of a command."""
    return log_of(folder).read_text()[-characters:]


def cpu_seconds() -> float:
    """Of all processes of the soak that have ended, with those they waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def written(out: Path, rows: dict[str, dict], seed: int) -> dict:
    """What --out holds now: these rows, and those of other commands that it held."""
    kept = json.loads(out.read_text())["commands"] if out.exists() else {}
    found = kept | rows
    rows = {name: found[name] for name in STAGES if name in found}
    result = {
        "kills": sum(row["kills"] for row in rows.values()),
        "differences": sum(len(row["differences"]) for row in rows.values()),
        "seed": seed,
        "commands": rows,
    }
    write_json(out, result, indent=1)
    return result


def main(arguments: list[str]) -> None:
    parser = command_parser("soak", __doc__)
    parser.add_argument("--kills", type=int, default=200, help="of the training of PET")
    parser.add_argument("--others", type=int, default=10, help="of every other command")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and kinds of kills")
    parser.add_argument("--only", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help="where the commands run, kept (runs/soak)"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "soak.json")
    flags = parser.parse_args(arguments)
    for name in LOADED:
        import_module(name)
    soak = Soak(flags.folder, flags.seed)
    wanted = {name: flags.kills if name == "pet" else flags.others for name in flags.only}

    def done(name: str) -> int:
        return min(soak.rows.get(name, {}).get("kills", 0), wanted[name])

    with progress(sum(wanted.values()), "kills") as bar:
        while True:
            bar.update(sum(map(done, wanted)) - bar.n)
            # all commands get on alike, whenever this one is stopped
            name = min(wanted, key=lambda one: done(one) / max(1, wanted[one]))
            if done(name) == wanted[name]:
                break
            soak.kill_until_complete(name, wanted[name] - done(name))
            written(flags.out, soak.rows, flags.seed)
    result = written(flags.out, soak.rows, flags.seed)
    for name, row in result["commands"].items():
        print(
            f"{name}: {row['kills']} kills, {row['completed']} times ended, "
            f"{len(row['differences'])} differences"
        )
    if result["differences"]:
        raise UserError(f"{result['differences']} differences: {flags.out} names them")
