"""Settings of a user for Keras, matplotlib and git do not change the suite."""

import json
import subprocess

import pytest
from commands import run_program

from omnilearn import runs

SETTINGS = (
    {"KERAS_BACKEND": "torch"},
    {"KERAS_BACKEND": "jax", "TF_USE_LEGACY_KERAS": "1"},
    {"KERAS_MAX_EPOCHS": "1", "KERAS_HOME": "HOME/.keras"},
    {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
    {"MPLBACKEND": "module://a_backend_of_another_kernel"},
    {"MATPLOTLIBRC": "HOME"},
)
REPORT = """
import os, runpy, sys
sys.argv = ["evaluate.py", "--help"]
try:
    runpy.run_path("evaluate.py", run_name="__main__")
except SystemExit as stop:
    assert not stop.code
import keras, matplotlib
from matplotlib import pyplot
pyplot.figure()
print(keras.backend.backend(), keras.config.floatx(), matplotlib.get_backend().lower(),
      matplotlib.rcParams["text.usetex"], os.environ.get("TF_USE_LEGACY_KERAS"))
"""


@pytest.fixture
def home(tmp_path):
    """A home folder with other settings of Keras and matplotlib."""
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras/keras.json").write_text(
        json.dumps({"floatx": "float16", "backend": "theano", "epsilon": 0.1})
    )
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nbackend: Qt5Agg\n")
    return tmp_path


@pytest.mark.slow
def test_settings_of_keras_and_matplotlib_do_not_matter(home):
    environment = {"HOME": str(home)}
    for settings in SETTINGS:
        environment |= {key: value.replace("HOME", str(home)) for key, value in settings.items()}
    run = run_program(REPORT, **environment)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "tensorflow float32 agg False None"


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "Qt5Agg"])
def test_figures_do_not_depend_on_the_users_style(home, backend, tmp_path):
    draw = (
        "import sys\n"
        "import omnilearn.environment\n"
        "import matplotlib\n"
        "matplotlib.rcParams.update({'text.usetex': True, 'font.size': 40})\n"
        "from omnilearn.plotting.style import figure\n"
        "with figure(sys.argv[1]) as axes: axes.plot([0, 1], [0, 1], label='$t$')\n"
        "assert matplotlib.rcParams['text.usetex']\n"
    )
    figures = []
    for name, settings in (
        ("styled", {"MPLBACKEND": backend, "MATPLOTLIBRC": str(home)}),
        ("default", {}),
    ):
        run = run_program(draw, tmp_path / name, **settings)
        assert run.returncode == 0, run.stderr
        figures.append((tmp_path / f"{name}.png").read_bytes())
    assert figures[0] == figures[1]


def test_without_git_the_revision_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert runs.revision() == "unknown"


def test_the_revision_is_not_that_of_a_checkout_around_the_installed_package(monkeypatch, tmp_path):
    package = tmp_path / "site-packages/omnilearn/runs.py"
    package.parent.mkdir(parents=True)
    package.write_text("")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "another project"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setattr(runs, "__file__", str(package))
    assert runs.revision() == "unknown"


@pytest.mark.parametrize(
    ("backend", "expected"), [("svg", "svg"), ("module://a_backend_of_another_kernel", "None")]
)
def test_the_api_in_a_notebook_sets_keras_and_leaves_matplotlib_alone(
    backend, expected, monkeypatch
):
    program = (
        "import os, omnilearn.api, keras\n"
        "print(keras.backend.backend(), os.environ.get('MPLBACKEND'),\n"
        "      os.environ.get('MATPLOTLIBRC'))\n"
    )
    monkeypatch.delenv("MATPLOTLIBRC", raising=False)
    run = run_program(program, KERAS_BACKEND="jax", MPLBACKEND=backend)
    assert run.stdout.split() == ["tensorflow", expected, "None"], run.stderr
