"""python -m benchmarks NAME [flags]: run one module of this folder, each with its own --help."""

import importlib
import pkgutil
import sys

import benchmarks
import omnilearn.environment  # noqa: F401 - before anything loads Keras or matplotlib
from omnilearn.errors import UserError, speak


def main() -> None:
    """Hand the flags to `main(arguments)` of the module named first; UserError without one."""
    names = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__)
                   if module.name != "__main__")  # fmt: skip
    name, *arguments = sys.argv[1:] or [None]
    module = importlib.import_module(f"benchmarks.{name}") if name in names else None
    if not hasattr(module, "main"):
        raise UserError(f"no benchmark {name!r}; expected: python -m benchmarks NAME [flags], "
                        f"with NAME one of {', '.join(names)}")  # fmt: skip
    module.main(arguments)


if __name__ == "__main__":
    sys.exit(speak(main))
