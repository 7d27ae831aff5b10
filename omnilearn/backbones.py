"""Pre-trained models that come with the code: backbones/NAME.h5, each with its card, NAME.md.

    python -m omnilearn.backbones            # lists them

`--backbone NAME` starts from one, `omnilearn.api.load("NAME")` opens it. The weights are those of
the best epoch, float32, without optimiser; SHA256SUMS holds the digest of every file.
"""

import hashlib
import os
import sys
from pathlib import Path

from omnilearn.errors import UserError, run_cli
from omnilearn.file_kinds import problem_of
from omnilearn.log import log

FOLDER = Path(__file__).parents[1] / "backbones"
SUMS = "SHA256SUMS"  # as `sha256sum -c` reads it
SUFFIX = ".h5"


def names() -> tuple[str, ...]:
    """The backbones that come with the code, in alphabetical order."""
    return tuple(sorted(digests()))


def digests(folder: Path | None = None) -> dict[str, str]:
    """SHA-256 in hexadecimal of every backbone of a folder, by default that of the code, by name.

    Empty where there is no list. Raises UserError for a line that is no digest and file name.
    """
    path = (folder or FOLDER) / SUMS
    if not path.is_file():
        return {}
    sums = {}
    for line in path.read_text().splitlines():
        digest, _, file = line.partition("  ")
        if len(digest) != 64 or not file.endswith(SUFFIX) or "/" in file:
            raise UserError(f"{path}: the line {line!r} is no SHA-256 and file name; restore it")
        sums[file.removesuffix(SUFFIX)] = digest
    return sums


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def checkpoint_file(backbone: str | Path) -> Path:
    """The checkpoint that `--backbone` means: one that comes with the code, a run's best, a file.

    A bare name is first looked up among those that come with the code; ./NAME is the folder of
    that name. Raises UserError where there is neither, for a folder of several trainings, and where
    the file of a backbone differs from the one that came with the code.
    """
    sums = digests()
    if str(backbone) in sums:
        return intact(str(backbone), sums[str(backbone)])
    path = Path(backbone)
    if os.path.isdir(path):
        best = path / "best.h5"
        trainings = sorted(path.glob("seed*/best.h5"))
        if trainings and not best.exists():
            raise UserError(
                f"--backbone {backbone} has {len(trainings)} trainings; take one of them: "
                f"--backbone {trainings[0].parent}"
            )
        return best
    if problem_of(path) == "not found" and "/" not in str(backbone) and path.suffix != SUFFIX:
        raise unknown(f"--backbone {backbone}")
    return path


def unknown(place: str | Path) -> UserError:
    """The error for a place where there is no model, which names the backbones that there are."""
    return UserError(
        f"{place}: no such run directory or checkpoint, and of the backbones that come with the "
        f"code there is {', '.join(names()) or 'none'}; see python -m omnilearn.backbones"
    )


def intact(name: str, digest: str) -> Path:
    """The file of a backbone; raises UserError where it is missing or has another SHA-256."""
    path = FOLDER / f"{name}{SUFFIX}"
    mend = "it came with the code: restore it with git checkout, or install the package again"
    if problem := problem_of(path):
        raise UserError(f"{path} {problem}; {mend}")
    if sha256(path) != digest:
        raise UserError(f"{path} does not have the SHA-256 that {FOLDER / SUMS} gives; {mend}")
    return path


def summary(name: str) -> str:
    """The first paragraph of a card, below its title."""
    _, first, *_ = (FOLDER / f"{name}.md").read_text().split("\n\n")
    return " ".join(first.split())


def main() -> None:
    """List of every backbone its name, the first paragraph of its card, size and digest."""
    if sys.argv[1:]:
        raise UserError(f"expected no arguments, found {' '.join(sys.argv[1:])}")
    sums = digests()
    cards = sorted(path.stem for path in FOLDER.glob("*.md"))
    if not cards:
        raise UserError(f"no backbones in {FOLDER}; train one with train.py jetclass")
    for name in cards:
        log.info(f"{name}: {summary(name)}")
        if name in sums:
            megabytes = intact(name, sums[name]).stat().st_size / 1e6
            log.info(f"    {megabytes:.1f} MB, SHA-256 {sums[name]}")
        log.info(f"    card: {FOLDER / name}.md")


if __name__ == "__main__":
    sys.exit(run_cli(main))
