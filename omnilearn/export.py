"""The classifier of a run as ONNX, for programs that have neither Python nor TensorFlow.

python -m omnilearn.export runs/top_finetuned tagger.onnx

Needs the packages of requirements-onnx.txt. docs/python.md describes the file.
"""

import argparse
import sys
from pathlib import Path

from omnilearn.api import Tagger, load
from omnilearn.errors import UserError, run_cli
from omnilearn.log import log


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m omnilearn.export",
        description="Write the classifier of a run as ONNX.",
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, help="run directory or checkpoint of a tagger")
    parser.add_argument("file", type=Path, help="the file to write, for instance tagger.onnx")
    parser.add_argument("--data", default="", help="folder of datasets (default: the run's own)")
    arguments = parser.parse_args()
    tagger = load(arguments.run, data=arguments.data)
    if not isinstance(tagger, Tagger):
        raise UserError(f"{arguments.run} holds no tagger; only classifiers are written as ONNX")
    log.info(f"wrote {tagger.export_onnx(arguments.file)}")


if __name__ == "__main__":
    sys.exit(run_cli(main))
