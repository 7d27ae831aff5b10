"""What the programs of this folder have in common: their parser, and how they write files."""

import argparse
import json
import re
from pathlib import Path
from typing import Any

from omnilearn.atomic import atomic_path
from omnilearn.backbones import checkpoint_file, names
from omnilearn.errors import UserError

RESULTS = Path(__file__).parent / "results"  # committed results
MEMORY = Path("/proc/self/status")


def command_parser(name: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """The parser of `python -m benchmarks NAME`; its --help shows the docstring of the program."""
    return argparse.ArgumentParser(
        f"python -m benchmarks {name}",
        description=description,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def absolute(path: str) -> Path:
    """The path of a flag for a script, which runs in the folder of the suite."""
    return Path(path).resolve()


def backbone(text: str) -> str:
    """A flag: the name of a backbone that comes with the code, or the path of a run or a file.

    As for finetune.py, whose working folder is that of the suite; paths become absolute. Raises
    argparse.ArgumentTypeError if there is none.
    """
    try:
        path = checkpoint_file(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not path.is_file():
        raise argparse.ArgumentTypeError(
            f"{path} not found; make it with: python train.py jetclass"
        )
    return text if text in names() else str(absolute(text))


def write_text(path: Path, text: str) -> None:
    """Write a complete file or none."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: dict[str, Any], indent: int = 2) -> None:
    """Write a complete JSON file or none."""
    write_text(path, json.dumps(content, indent=indent) + "\n")


def peak_megabytes() -> float:
    """Peak resident memory of this process; 0 on a system without /proc."""
    if not MEMORY.exists():
        return 0.0
    # not getrusage: a new process inherits its peak from the process that started it
    return int(re.findall(r"VmHWM:\s*(\d+)", MEMORY.read_text())[0]) / 1024
