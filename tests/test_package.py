"""The wheel of the project: three packages, three scripts, five commands."""

import ast
import importlib.metadata
import os
import re
import shutil
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from commands import ROOT, run_process

PACKAGES = ("omnilearn", "preprocessing", "simulation")
SCRIPTS = ("train", "finetune", "evaluate")
COMMANDS = ("train", "finetune", "evaluate", "preprocess", "simulate")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# TensorFlow and Horovod depend on the machine, the others are optional
NOT_DECLARED = {"tensorflow", "horovod", "energyflow", "jetnet", "onnx", "tf2onnx", "tensorboard"}
NOT_DECLARED |= {"_typeshed"}  # of mypy, for types alone


def name_of(requirement: str) -> str:
    """The normalised name of the distribution in a requirement."""
    return re.split(r"[^\w.-]", requirement.strip())[0].lower().replace("_", "-")


def sources() -> list[Path]:
    """Every module of the package."""
    return [
        *(ROOT / f"{script}.py" for script in SCRIPTS),
        *(path for name in PACKAGES for path in (ROOT / name).rglob("*.py")),
    ]


def package_data() -> list[Path]:
    """Files that modules read: templates, tables, and the backbones with their cards."""
    tables = [
        path
        for pattern in ("*.html", "*.toml")
        for name in PACKAGES
        for path in (ROOT / name).rglob(pattern)
    ]
    backbones = (path for path in (ROOT / "backbones").iterdir() if path.suffix != ".pdf")
    return [*tables, *backbones]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built of a copy of the sources, without the network."""
    for builder in ("setuptools", "wheel"):
        pytest.importorskip(builder)
    folder = tmp_path_factory.mktemp("wheel")
    checkout = folder / "checkout"
    others = [*(f"{name}/py.typed" for name in PACKAGES), "pyproject.toml", "README.md", "LICENSE"]
    for path in (*sources(), *package_data(), *(ROOT / name for name in others)):
        copy = checkout / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    line = f"-m pip wheel {checkout} --no-deps --no-build-isolation --no-index -w {folder}"
    built = run_process([sys.executable, *line.split()])
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel):
    """A folder outside the checkout with the wheel installed."""
    folder = wheel.parent / "installed"
    line = f"-m pip install {wheel} --no-deps --no-index --quiet --target {folder}"
    pip = run_process([sys.executable, *line.split()])
    assert pip.returncode == 0, pip.stderr
    return folder


def run(folder: Path, *words) -> str:
    """The output of a program that imports the installed package instead of this checkout."""
    process = run_process(words, cwd=folder, env=os.environ | {"PYTHONPATH": folder})
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_a_wheel_holds_every_module_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {str(path.relative_to(ROOT)) for path in (*sources(), *package_data())}
    assert names == expected | {f"{name}/py.typed" for name in PACKAGES}


def test_the_installed_commands_are_those_of_the_checkout(installed):
    assert set(PROJECT["scripts"]) == {f"omnilearn-{name}" for name in COMMANDS}
    out = run(installed, sys.executable, installed / "bin/omnilearn-preprocess", "--help")
    assert "python -m preprocessing top --raw DIR" in out
    out = run(installed, sys.executable, installed / "bin/omnilearn-simulate", "top", "--help")
    assert "--jets" in out


def test_the_installed_package_lists_its_backbones(installed):
    out = run(installed, sys.executable, "-m", "omnilearn.backbones")
    assert f"card: {installed}/backbones/released.md" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_a_function_that_returns_the_exit_status(command):
    module, function = PROJECT["scripts"][f"omnilearn-{command}"].split(":")
    path = ROOT / f"{module.replace('.', '/')}.py"
    functions = {
        node.name: node
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    assert ast.unparse(functions[function].body[-1]) == "return run_cli(main)"
    assert f"sys.exit({function}())" in path.read_text()


def test_the_installed_package_has_the_version_of_the_project(installed):
    program = "import preprocessing.jet_file as file\nprint(file.__file__, file.suite_version())\n"
    path, version = run(installed, sys.executable, "-c", program).split()
    assert Path(path).is_relative_to(installed)
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
    declared = {name_of(requirement) for requirement in PROJECT["dependencies"]}
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
