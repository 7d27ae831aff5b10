"""Rules for imports: which modules may import which others, and which libraries."""

import ast
import graphlib
from pathlib import Path

import pytest
from commands import ROOT, run_program

PACKAGES = ("omnilearn", "preprocessing", "simulation", "benchmarks", "tests")
SCRIPTS = ("train", "finetune", "evaluate")
MOST_LINES = 350
NAMELESS = {"utils", "util", "common", "helpers", "helper", "misc", "tools"}


def ours(*names: str) -> tuple[str, ...]:
    """Modules and folders of omnilearn."""
    return tuple(f"omnilearn.{name}" for name in names)


EVERYWHERE = ours(
    *("errors", "log", "atomic", "hdf5", "hdf5_heap", "hdf5_sums", "content", "parent_process"),
    *("leftovers", "writing_process", "stored_json", "typed", "environment", "keras_settings"),
    *("progress", "file_kinds"),
    "training.random_streams",
)
DESCRIPTIONS = ours("data.spec", "data.declared", "data.catalogue", "data.layout")
NUMBERS = ("omnilearn.kinematics", "omnilearn.statistics", *DESCRIPTIONS)
NETWORK = ours(
    *("diffusion", "training.losses", "model", "generation.jet_generator"),
    *("anomaly.dijet_classifier", "unfolding.deepsets"),
    *("tokens.tokeniser", "tokens.jet_gpt", "tokens.transformer"),
)
RANKS = ("omnilearn.training.distributed", "omnilearn.training.rendezvous")
# what a task is built on
BASE = (
    *NETWORK,
    *NUMBERS,
    *ours("backbones", "clustering", "config", "settings", "fit", "history", "recipes"),
    *ours("run_lock", "runs", "data", "training", "plotting"),
)
TASKS = ("tagging", "generation", "unfolding", "anomaly", "tokens")

# metrics, figures and readers of the tasks: they run on a login node, without TensorFlow
LOGIN_NODE = tuple(
    f"omnilearn.{task}.{name}"
    for task, names in {
        "tagging": "metrics roc predictions figures convergence",
        "generation": "metrics distances comparison jet_observables jet_sets figures transfer",
        "unfolding": "spectrum_distances ibu unfolded_weights events figures",
        "anomaly": "metrics bump_hunt dijet_closure dijet_mass significance figures "
        "dijets dijet_kinematics event_roles",
        "tokens": "metrics power_law token_files",
    }.items()
    for name in names.split()
)

LIGHT_PACKAGES = ("statistics", "plotting", "data", "report")
NAMES = ("kinematics", "backbones", "clustering", "history", "statistics", "run_lock")
ALONE = ours(*NAMES)  # import none of our other modules
# the benchmarks that run the model; the others work on a login node
SOAK = tuple(f"benchmarks.soak{part}" for part in ("", "_kills", "_outcome", "_stages"))
FUZZ = tuple(f"benchmarks.fuzz{part}" for part in ("", "_files", "_public", "_simulated"))
RUN_MODELS = (
    "architectures backbone token_backbone lhco_jets throughput gpu sampling profile scaling "
    "generation coverage"
)
MODEL_BENCHMARKS = (*FUZZ, *SOAK, *(f"benchmarks.{name}" for name in RUN_MODELS.split()))

# module or folder -> ours that it may import, besides itself and EVERYWHERE; longest name decides
MAY_IMPORT = {
    **dict.fromkeys(EVERYWHERE, ()),
    "omnilearn.leftovers": ("omnilearn.run_lock",),
    **dict.fromkeys(ALONE, ()),
    "omnilearn.settings": (),
    "omnilearn.config": ("omnilearn.settings", "omnilearn.data.spec"),
    "omnilearn.recipes": (),
    **dict.fromkeys(NETWORK, (*NETWORK, "omnilearn.data.spec")),
    "omnilearn.training.rendezvous": ("omnilearn.run_lock",),
    "omnilearn.training.distributed": RANKS,
    "omnilearn.training.gradients": (*RANKS, "omnilearn.model.precision"),
    "omnilearn.training.optimiser": (*RANKS, "omnilearn.config"),
    "omnilearn.training.fingerprint": (*RANKS, "omnilearn.data", "omnilearn.runs"),
    "omnilearn.training": (*NETWORK, *NUMBERS, *RANKS, *ours("data", "config", "history")),
    "omnilearn.fit": (
        *(*NETWORK, *NUMBERS, *RANKS),
        *ours("backbones", "data", "config", "recipes", "training"),
    ),
    "omnilearn.runs": (*RANKS, "omnilearn.config", "omnilearn.run_lock", "omnilearn.statistics"),
    "omnilearn.data": ("omnilearn.kinematics",),
    **dict.fromkeys(DESCRIPTIONS, DESCRIPTIONS),
    "omnilearn.plotting": NUMBERS,
    "omnilearn.report": (*NUMBERS, "omnilearn.history", "omnilearn.runs"),
    # a task may import those named before it
    "omnilearn.tagging": (*BASE, "omnilearn.generation.denoising"),
    "omnilearn.unfolding": (*BASE, "omnilearn.tagging"),
    "omnilearn.generation": (*BASE, "omnilearn.tagging", "omnilearn.tokens.power_law"),
    "omnilearn.anomaly": (*BASE, "omnilearn.tagging", "omnilearn.generation"),
    "omnilearn.tokens": (*BASE, "omnilearn.tagging", "omnilearn.generation"),
    # trained models from Python: jets in memory are read as `write_dataset` reads them
    "omnilearn.api": (
        *BASE,
        *ours(*TASKS, "onnx_file"),
        "preprocessing.jets_in_memory",
        "preprocessing.own_columns",
    ),
    "omnilearn.export": ("omnilearn.api",),
    "omnilearn.onnx_file": (*NETWORK, *DESCRIPTIONS, "omnilearn.training.gradients"),
    **dict.fromkeys(
        LOGIN_NODE, (*NUMBERS, *RANKS, *LOGIN_NODE, *ours("clustering", "data", "plotting"))
    ),
    "preprocessing": (*NUMBERS, "omnilearn.clustering", "omnilearn.plotting"),
    "simulation": (*NUMBERS, "omnilearn.clustering"),
    "benchmarks": (
        *(*NUMBERS, *LOGIN_NODE),
        *ours("backbones", "data", "history", "plotting", "report"),
    ),
    **dict.fromkeys(
        ("benchmarks.preprocessing", "benchmarks.tiled_files", "benchmarks.aspen_composition"),
        (*NUMBERS, "preprocessing", "benchmarks"),
    ),
    "benchmarks.simulation": ("simulation", "benchmarks.programs"),
    **dict.fromkeys(MODEL_BENCHMARKS, ("omnilearn", "benchmarks")),
    **dict.fromkeys((*FUZZ, *SOAK), ("omnilearn", "preprocessing", "benchmarks")),
    **dict.fromkeys(
        SCRIPTS,
        (
            *RANKS,
            *ours(*TASKS, "config", "settings", "history", "recipes", "run_lock", "runs"),
            *ours("data.catalogue", "statistics", "plotting", "report", "training.gradients"),
        ),
    ),
    "tests": ("omnilearn", "preprocessing", "simulation", "benchmarks"),
}

# library -> modules that may import it; nothing is unpickled, which would run code from a file
MAY_NAME = {
    "horovod": RANKS,
    "tensorflow": ("omnilearn.training.distributed", "omnilearn.training.gradients", "tests"),
    "keras": (
        *NETWORK,
        *ours("training", "fit", *TASKS, "api", "onnx_file"),
        "benchmarks.profile",
        "tests",
    ),
    **dict.fromkeys(("pickle", "cloudpickle", "joblib"), ()),
}

PACKAGE = ROOT / "omnilearn" / "__init__.py"
FILES = sorted(
    [*ROOT.glob("*.py"), *(file for name in PACKAGES for file in (ROOT / name).rglob("*.py"))]
)
FILES.remove(PACKAGE)
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(path: Path) -> str:
    module = module_name(path)
    return module if path.name == "__init__.py" else module.rpartition(".")[0]


MODULES = {module_name(path) for path in FILES}


def within(name: str, packages) -> str | None:
    """The longest of `packages` that `name` is or lies in."""
    return max((p for p in packages if f"{name}.".startswith(f"{p}.")), key=len, default=None)


def imports(source: str, package: str) -> list[str]:
    """Full names of all that the source imports, inside functions too."""
    modules = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            names = [f"{base}.{alias.name}" for alias in node.names]
            modules += [name if name in MODULES else base for name in names]
    return modules


def forbidden_imports(source: str, module: str, package: str) -> list[str]:
    """One line for every import that `module` may not have."""
    row = within(module, MAY_IMPORT)
    if row is None:
        return [f"{module} has no row in MAY_IMPORT"]
    allowed = (row, *MAY_IMPORT[row], *EVERYWHERE)
    forbidden = []
    for name in imports(source, package):
        library = within(name, MAY_NAME)
        is_ours = name.split(".")[0] in (*PACKAGES, *SCRIPTS)
        is_forbidden = is_ours and not within(name, allowed)
        if library:
            is_forbidden = not within(module, MAY_NAME[library])
        if is_forbidden or name in SCRIPTS:
            forbidden.append(f"{module} may not import {name}")
    return forbidden


def test_forbidden_imports_are_noticed():
    for module, source in {
        "omnilearn.kinematics": "from omnilearn.data import spec",
        "omnilearn.data.spec": "import omnilearn.training.distributed",
        "omnilearn.tagging.metrics": "from tensorflow import math",
        "omnilearn.tagging.task": "def late():\n    from omnilearn.anomaly import task",
        "omnilearn.training.trainer": "import horovod.tensorflow as hvd",
        "omnilearn.model.pet": "from ..tagging import metrics",
        "preprocessing.top": "import simulation.top",
        "tests.test_train": "import train",
        "omnilearn.data.reader": "import pickle",
        "omnilearn.a_file_without_a_row": "",
    }.items():
        assert len(forbidden_imports(source, module, module.rpartition(".")[0])) == 1, module
    source = "from .spec import FEATURES"
    assert not forbidden_imports(source, "omnilearn.data.reader", "omnilearn.data")


@every_file
def test_every_file_imports_only_what_it_may(path):
    assert forbidden_imports(path.read_text(), module_name(path), package_of(path)) == []


def test_there_is_no_cycle_of_imports():
    graph = {
        module_name(path): MODULES & set(imports(path.read_text(), package_of(path)))
        for path in FILES
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, with the modules of the cycle
    graph["omnilearn.errors"] = {"omnilearn.data.reader"}
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(graph).prepare()


@every_file
def test_every_file_is_short_and_has_a_specific_name(path):
    relative = path.relative_to(ROOT)
    lines = path.read_text().count("\n")
    assert lines <= MOST_LINES, f"{relative} has {lines} lines: split it"
    assert len(relative.parent.parts) <= 2, f"{relative} lies deeper than two folders"
    nameless = NAMELESS & {*relative.with_suffix("").parts}
    assert not nameless, f"{relative}: {nameless} does not name the content"


@every_file
def test_no_file_is_read_with_pickle(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            assert node.attr != "read_pickle", f"{path.name}:{node.lineno}"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            is_off = isinstance(node.value, ast.Constant) and node.value.value is False
            assert is_off, f"{path.name}:{node.lineno} allows pickle"


def test_the_package_itself_is_empty():
    assert PACKAGE.read_text().strip() == ""


def test_a_login_node_needs_no_tensorflow():
    packages = (*LOGIN_NODE, *ours(*LIGHT_PACKAGES))
    packages += ("preprocessing", "simulation", "benchmarks")
    modules = sorted(
        m
        for m in MODULES
        if within(m, packages) and not m.endswith("__main__") and m not in MODEL_BENCHMARKS
    )
    program = (
        "import importlib, sys\n"
        f"for name in {modules}:\n"
        "    importlib.import_module(name)\n"
        "    for library in ('tensorflow', 'keras', 'horovod'):\n"
        "        assert library not in sys.modules, f'{name} loads {library}'\n"
    )
    run = run_program(program)
    assert run.returncode == 0, run.stderr
