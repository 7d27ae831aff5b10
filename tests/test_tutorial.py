"""All cells of the tutorial run; it stores no outputs, which would become outdated."""

import json
from types import SimpleNamespace

import matplotlib
import pytest
from commands import ROOT, output_of, python
from tiny_models import tiny_and_eager

from omnilearn.unfolding import boosted_trees

NOTEBOOK = json.loads((ROOT / "docs" / "tutorial.ipynb").read_text())
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_no_output_is_stored():
    for cell in NOTEBOOK["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


def test_every_method_of_the_api_is_shown():
    for name in ("probabilities", "rejection", "embed", "export_onnx", "sample", "weights"):
        assert f".{name}(" in "\n".join(CODE)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of tf2onnx, where it is installed
def test_all_cells_run(tmp_path, monkeypatch, capsys):
    """With commands in this process and networks that are not traced."""

    def run_here(command, cwd, check):
        out = output_of(python(" ".join(command[1:])))
        print(out)

    matplotlib.use("Agg")
    monkeypatch.syspath_prepend(str(ROOT))  # undoes what the notebook adds
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(boosted_trees, "LEAST_EVENTS", 5)
    names: dict = {}
    with tiny_and_eager():
        for index, source in enumerate(CODE):
            exec(compile(source, f"tutorial, cell {index}", "exec"), names)
            if index == 0:
                names["PLACE"], names["subprocess"] = tmp_path, SimpleNamespace(run=run_here)
    printed = capsys.readouterr().out
    assert "('QCD', 'top') (80, 2)" in printed
    assert "1/eB at eS = 0.3: " in printed
    assert len(names["new"]) == 20
    assert names["weights"].passes_gen.any()
