"""python -m benchmarks NAME [flags]: run one program of this folder, each with its own --help."""

import ast
import importlib
import sys
from pathlib import Path

import omnilearn.environment  # noqa: F401 - before anything loads Keras or matplotlib
from omnilearn.errors import UserError, run_cli

FOLDER = Path(__file__).parent
USAGE = """\
usage: python -m benchmarks NAME [flags]
       python -m benchmarks NAME --help

"""


def programs() -> dict[str, str]:
    """Name -> first line of the docstring, of every module of this folder that has a main().

    The files are parsed, not imported, since importing them loads TensorFlow.
    """
    descriptions = {}
    for path in sorted(FOLDER.glob("[!_]*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            descriptions[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return descriptions


def main() -> None:
    """Call main() of the program that is named first; without a name print all programs."""
    name, *arguments = sys.argv[1:] or ["--help"]
    known = programs()
    if name in ("-h", "--help"):
        width = max(map(len, known))
        print(USAGE + "\n".join(f"  {key:{width}}  {text}" for key, text in known.items()))
        return
    if name not in known:
        raise UserError(
            f"no benchmark {name!r}; expected: python -m benchmarks NAME [flags], "
            f"with NAME one of {', '.join(known)}"
        )
    importlib.import_module(f"benchmarks.{name}").main(arguments)


if __name__ == "__main__":
    sys.exit(run_cli(main))
