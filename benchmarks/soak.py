"""Kill the commands of the suite again and again, and compare what they leave.

    python -m benchmarks soak [--kills 200] [--others 10] [--only pet two_ranks] [--folder DIR]

Every command, from the simulation of jets to a training on two ranks, is run once without
interruption: the reference. Then it is started in a fresh copy of its input and killed: by SIGKILL
at a random time, by SIGKILL while it writes a file, or by SIGTERM; on two ranks one rank is killed,
or both. It is restarted, and killed again, until it is complete; then all files must be those of
the reference, bit for bit, and no temporary file may be left. Before some restarts the newest
checkpoint is damaged, as a failing disk does. Kills are counted when their command is complete. The
counts are stored in --folder, so the same command continues a stopped soak; rows of other commands
in --out are kept.
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
    WriteKill,
    damage_file,
    exit_code,
    file_count_path,
    log_path,
    running_processes,
    send_signal,
    start_command,
    training_ranks,
    wait_for_end,
)
from benchmarks.soak_outcome import differences
from benchmarks.soak_stages import STAGES, Stage, write_jets
from omnilearn.errors import STOPPED, UserError
from omnilearn.progress import progress
from omnilearn.runs import revision

FOLDER = Path("runs") / "soak"
KILL_SHARES = {"at_once": 0.5, "while_writing": 0.25, "by_request": 0.25}
RANK_KILL_SHARES = {"one_rank": 0.4, "all_ranks": 0.4, "by_request": 0.2}
DAMAGE_PROBABILITY = 0.15  # per kill of a training
# imported, with TensorFlow, before the forks of this process, so that each of them starts faster
PRELOADED_MODULES = tuple(
    f"omnilearn.{task}.{part}"
    for task in ("tagging", "generation", "unfolding", "anomaly", "tokens")
    for part in ("task", "figures")
    if (task, part) != ("tokens", "figures")
)
PREVIOUS_CHECKPOINT_MESSAGE = "the checkpoint before"


def kill_shares(stage: Stage) -> dict[str, float]:
    """Kinds of kills and how often each is chosen."""
    return RANK_KILL_SHARES if stage.ranks > 1 else KILL_SHARES


def empty_row(stage: Stage) -> dict:
    """The counts of a command before its first kill."""
    return {
        "command": stage.command,
        "revision": revision(),
        "kills": 0,
        "kinds": dict.fromkeys(kill_shares(stage), 0),
        "damaged": 0,
        "gone_on_from_previous": 0,
        "completed": 0,
        "differences": [],
        "seconds": 0.0,
        "cpu_seconds": 0.0,
    }


class Soak:
    """The folder of a soak: soak.json with its counts, and one folder per command.

    Continues the soak in `folder`; raises UserError if that ran other code or had another seed.
    """

    def __init__(self, folder: Path, seed: int):
        self.folder, self.seed = folder.resolve(), seed
        self.state_path = self.folder / "soak.json"
        self.rows: dict[str, dict] = {}
        self.about = {"revision": revision(), "seed": seed}
        if self.state_path.exists():
            stored = json.loads(self.state_path.read_text())
            self.rows = stored.pop("rows")
            if stored != self.about:
                raise UserError(
                    f"{self.folder} holds a soak of {stored}, but this one is of {self.about}; "
                    "remove the folder, or choose another --folder"
                )
            return
        if self.folder.exists():
            raise UserError(f"{self.folder} exists and holds no soak; choose another --folder")
        base = self.folder / "base"
        base.mkdir(parents=True)
        write_jets(base)
        self.write_state()

    def write_state(self) -> None:
        write_json(self.state_path, {**self.about, "rows": self.rows}, indent=1)

    def input_folder(self, stage: Stage) -> Path:
        """The folder that holds what a command needs."""
        return self.reference_folder(stage.after) if stage.after else self.folder / "base"

    def reference_folder(self, name: str) -> Path:
        """The folder of a command that was not interrupted; runs the command if it has not run.

        Its duration and the number of files that it wrote are left in reference.json.
        """
        stage, folder = STAGES[name], self.folder / name / "reference"
        reference_path = self.folder / name / "reference.json"
        if reference_path.is_file():
            return folder
        copy_input(self.input_folder(stage), folder)
        start = time.monotonic()
        if code := exit_code(start_command(stage, folder)):
            raise UserError(f"{name}, not interrupted, ended with code {code}: {log_end(folder)}")
        count_path = file_count_path(folder)
        files = int(count_path.read_text()) if count_path.exists() else 0
        write_json(reference_path, {"seconds": time.monotonic() - start, "files": files})
        return folder

    def kill_until_complete(self, name: str, max_kills: int) -> None:
        """Complete a command once more, with at most `max_kills` kills, and count them."""
        stage, reference_folder = STAGES[name], self.reference_folder(name)
        reference = json.loads((self.folder / name / "reference.json").read_text())
        row, shares = self.rows.setdefault(name, empty_row(stage)), kill_shares(stage)
        rng = random.Random(f"{self.seed} {name} {row['completed']}")
        folder = self.folder / name / "killed"
        copy_input(self.input_folder(stage), folder)
        start, cpu_start = time.monotonic(), cpu_seconds()
        kinds: list[str] = []
        damaged = 0
        while True:
            may_kill = len(kinds) < max_kills
            kind = rng.choices(list(shares), list(shares.values()))[0] if may_kill else ""
            try:
                code = run_and_kill(stage, folder, kind, reference, rng)
            except UserError as error:  # processes that did not end
                problems = [str(error)]
                break
            if code is not None:
                failure = [f"code {code}: {log_end(folder)}"]
                problems = failure if code else differences(reference_folder, folder)
                break
            kinds.append(kind)
            damaged += stage.is_training and damage_sometimes(folder, rng)
        for kind in kinds:
            row["kinds"][kind] += 1
        row["kills"] += len(kinds)
        row["damaged"] += damaged
        log = log_path(folder).read_text()
        row["gone_on_from_previous"] += log.count(PREVIOUS_CHECKPOINT_MESSAGE)
        row["seconds"] = round(row["seconds"] + time.monotonic() - start, 1)
        row["cpu_seconds"] = round(row["cpu_seconds"] + cpu_seconds() - cpu_start, 1)
        if problems:
            saved = self.folder / name / f"differs_{uuid.uuid4().hex[:8]}"
            folder.rename(saved)
            log_path(folder).rename(log_path(saved))
            row["differences"].append({"folder": saved.name, "what": problems[:20]})
        row["completed"] += 1
        self.write_state()


def run_and_kill(
    stage: Stage, folder: Path, kind: str, reference: dict, rng: random.Random
) -> int | None:
    """Run a command and kill it in the way `kind`, "" for not at all.

    Returns None if it was killed, else its exit code: it may be complete before the kill.
    """
    write_kill, delay = None, rng.uniform(0, reference["seconds"])
    if kind == "while_writing":
        file_index = rng.randint(1, max(1, reference["files"]))
        write_kill = WriteKill(file_index, rng.choice(MOMENTS), rng.random())
    process = start_command(stage, folder, write_kill)
    code = exit_code(process) if kind in ("", "while_writing") else exit_code(process, delay)
    if code is None:
        signal_number = signal.SIGTERM if kind == "by_request" else signal.SIGKILL
        targets = [process] if stage.ranks == 1 else target_ranks(process, folder, kind, rng)
        send_signal(targets, signal_number)
        code = exit_code(process)
        stop_code = STOPPED if stage.is_training else 2  # that of an error, in preprocessing
        # horovodrun has exit codes of its own
        is_killed = code != 0 and (code in (-signal_number, stop_code) or stage.ranks > 1)
    else:
        is_killed = kind == "while_writing" and code == -signal.SIGKILL
    if is_killed:
        wait_for_end(process, folder)
    return None if is_killed else code


def target_ranks(process: int, folder: Path, kind: str, rng: random.Random) -> list[int]:
    """All processes of a training on several ranks, or one rank, once two have started."""
    while True:
        processes = running_processes(process, folder)
        if kind == "all_ranks" or not processes:
            return [process, *processes]
        ranks = training_ranks(processes)
        if len(ranks) > 1:
            return [rng.choice(ranks)]
        time.sleep(0.1)
        if not running_processes(process, folder):
            return []


def damage_sometimes(folder: Path, rng: random.Random) -> bool:
    """Damage, with DAMAGE_PROBABILITY, a newest checkpoint that has a previous one."""
    paths = sorted(
        path for path in folder.rglob("last.h5") if path.with_name("previous.h5").is_file()
    )
    if not paths or rng.random() >= DAMAGE_PROBABILITY:
        return False
    damage_file(rng.choice(paths), rng)
    return True


def copy_input(source: Path, folder: Path) -> None:
    """Make `folder` a fresh copy of `source`; remove its log and count of files."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in (log_path(folder), file_count_path(folder)):
        path.unlink(missing_ok=True)
    shutil.copytree(source, folder)


def log_end(folder: Path) -> str:
    """The last 700 characters that a command printed."""
    return log_path(folder).read_text()[-700:]


def cpu_seconds() -> float:
    """CPU time of all processes of the soak that have ended, with their children."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def write_results(out: Path, new_rows: dict[str, dict], seed: int) -> dict:
    """Write these rows to `out`, and keep those of other commands; returns the content."""
    stored = json.loads(out.read_text())["commands"] if out.exists() else {}
    stored |= new_rows
    rows = {name: stored[name] for name in STAGES if name in stored}
    results = {
        "kills": sum(row["kills"] for row in rows.values()),
        "differences": sum(len(row["differences"]) for row in rows.values()),
        "seed": seed,
        "commands": rows,
    }
    write_json(out, results, indent=1)
    return results


def main(arguments: list[str]) -> None:
    parser = command_parser("soak", __doc__)
    parser.add_argument("--kills", type=int, default=200, help="of the training of PET")
    parser.add_argument("--others", type=int, default=10, help="of every other command")
    parser.add_argument("--seed", type=int, default=0, help="of the times and kinds of kills")
    parser.add_argument("--only", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help="where the commands run, kept (runs/soak)"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "soak.json")
    flags = parser.parse_args(arguments)
    for module in PRELOADED_MODULES:
        import_module(module)
    soak = Soak(flags.folder, flags.seed)
    max_kills = {name: flags.kills if name == "pet" else flags.others for name in flags.only}

    def kills(name: str) -> int:
        return min(soak.rows.get(name, {}).get("kills", 0), max_kills[name])

    with progress(sum(max_kills.values()), "kills") as bar:
        while True:
            bar.update(sum(map(kills, max_kills)) - bar.n)
            # the command with the smallest share of its kills, so that all progress alike
            name = min(max_kills, key=lambda name: kills(name) / max(1, max_kills[name]))
            if kills(name) == max_kills[name]:
                break
            soak.kill_until_complete(name, max_kills[name] - kills(name))
            write_results(flags.out, soak.rows, flags.seed)
    results = write_results(flags.out, soak.rows, flags.seed)
    for name, row in results["commands"].items():
        print(
            f"{name}: {row['kills']} kills, {row['completed']} times complete, "
            f"{len(row['differences'])} differences"
        )
    if results["differences"]:
        raise UserError(f"{results['differences']} differences: {flags.out} names them")
