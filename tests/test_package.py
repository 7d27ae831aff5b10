"""The checkout is a package: a wheel with three packages, three scripts, five commands."""

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("omnilearn", "preprocessing", "simulation")
SCRIPTS = ("train", "finetune", "evaluate")
COMMANDS = ("train", "finetune", "evaluate", "preprocess", "simulate")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# what the machine decides (TensorFlow), what is asked for where it is used, and what is optional
NOT_DECLARED = {"tensorflow", "horovod", "energyflow", "jetnet", "onnx", "tf2onnx", "tensorboard"}
NOT_DECLARED |= {"_typeshed"}  # types alone, which mypy brings


def name_of(requirement: str) -> str:
    """The distribution that a requirement names, in the spelling of the index."""
    return re.split(r"[^\w.-]", requirement.strip())[0].lower().replace("_", "-")


def sources() -> list[Path]:
    """Every module of the package."""
    return [
        *(ROOT / f"{script}.py" for script in SCRIPTS),
        *(path for name in PACKAGES for path in (ROOT / name).rglob("*.py")),
    ]


def read_by_the_code() -> list[Path]:
    """Files that modules read: templates, tables, and the backbones with their cards."""
    beside = [
        path
        for pattern in ("*.html", "*.toml")
        for name in PACKAGES
        for path in (ROOT / name).rglob(pattern)
    ]
    backbones = (path for path in (ROOT / "backbones").iterdir() if path.suffix != ".pdf")
    return [*beside, *backbones]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built of a copy of the sources, without the network."""
    for builder in ("setuptools", "wheel"):
        pytest.importorskip(builder)
    place = tmp_path_factory.mktemp("wheel")
    checkout = place / "checkout"
    others = [*(f"{name}/py.typed" for name in PACKAGES), "pyproject.toml", "README.md", "LICENSE"]
    for path in (*sources(), *read_by_the_code(), *(ROOT / name for name in others)):
        copy = checkout / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    line = f"-m pip wheel {checkout} --no-deps --no-build-isolation --no-index -w {place}"
    built = subprocess.run([sys.executable, *line.split()], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (found,) = place.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel):
    """A folder that the wheel is installed into, in no checkout."""
    folder = wheel.parent / "installed"
    line = f"-m pip install {wheel} --no-deps --no-index --quiet --target {folder}"
    made = subprocess.run([sys.executable, *line.split()], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return folder


def run(folder: Path, *words) -> str:
    """The output of a program that finds the installed package, and not this checkout."""
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": folder}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_wheel_holds_every_module_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {str(path.relative_to(ROOT)) for path in (*sources(), *read_by_the_code())}
    assert names == expected | {f"{name}/py.typed" for name in PACKAGES}


def test_the_installed_commands_are_those_of_the_checkout(installed):
    assert set(PROJECT["scripts"]) == {f"omnilearn-{name}" for name in COMMANDS}
    out = run(installed, sys.executable, installed / "bin/omnilearn-preprocess", "--help")
    assert "python -m preprocessing top --raw DIR" in out
    out = run(installed, sys.executable, installed / "bin/omnilearn-simulate", "top", "--help")
    assert "--jets" in out


def test_the_installed_package_knows_its_backbones(installed):
    out = run(installed, sys.executable, "-m", "omnilearn.backbones")
    assert f"card: {installed}/backbones/released.md" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_a_function_that_gives_the_exit_status(command):
    module, function = PROJECT["scripts"][f"omnilearn-{command}"].split(":")
    path = ROOT / f"{module.replace('.', '/')}.py"
    functions = {
        node.name: node
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    assert ast.unparse(functions[function].body[-1]) == "return run_cli(main)"
    assert f"sys.exit({function}())" in path.read_text()


def test_installed_files_are_signed_with_the_version_of_the_package(installed):
    program = "import preprocessing.jet_file as file\nprint(file.__file__, file.suite_version())\n"
    where, version = run(installed, sys.executable, "-c", program).split()
    assert Path(where).is_relative_to(installed)
    assert version == PROJECT["version"]


def test_every_library_that_is_imported_is_declared_and_pinned():
    known = importlib.metadata.packages_distributions()
    ours = {*PACKAGES, *SCRIPTS}
    imported = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.split(".")[0])
    libraries = imported - ours - set(sys.stdlib_module_names) - NOT_DECLARED
    declared = {name_of(one) for one in PROJECT["dependencies"]}
    missing = {
        name for name in libraries if declared.isdisjoint(map(name_of, known.get(name, [name])))
    }
    assert not missing
    pinned = {name_of(line) for line in (ROOT / "requirements.txt").read_text().splitlines()}
    assert declared <= pinned


def test_the_optional_requirements_are_those_of_their_file():
    lines = (ROOT / "requirements-onnx.txt").read_text().splitlines()
    pinned = {name_of(line): line for line in lines if line and not line.startswith("#")}
    for requirement in PROJECT["optional-dependencies"]["onnx"]:
        assert pinned[name_of(requirement)].startswith(requirement)
