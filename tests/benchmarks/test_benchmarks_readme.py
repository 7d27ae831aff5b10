"""The committed results: the backbone is ahead, memory is bounded, tables are made from them."""

import json
from pathlib import Path

import numpy as np

from benchmarks import data_efficiency, demo_full
from benchmarks.aspen_cells import studies
from benchmarks.aspen_tables import study_tables
from benchmarks.markdown import markdown, markdown_section
from omnilearn.data.catalogue import CATALOGUE
from omnilearn.statistics.results import read_results

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def test_the_table_of_the_long_demo_is_made_from_its_results():
    head, rows = demo_full.table(RESULTS / "demo_full")
    made = markdown([head, *rows], texts=len(head))
    assert made == (RESULTS / "demo_full" / "table.md").read_text()


def test_the_backbone_is_ahead_in_rejection_and_epochs_beyond_the_uncertainties():
    ours, scratch = (
        json.loads((RESULTS / "demo_full" / name / "results.json").read_text())["rejection_0.5"]
        for name in demo_full.MODELS.values()
    )
    spread = (ours["error"] ** 2 + scratch["error"] ** 2) ** 0.5
    assert ours["value"] - scratch["value"] > 2 * spread


def test_preprocessing_of_every_dataset_fits_into_memory():
    measured = json.loads((RESULTS / "preprocessing.json").read_text())["datasets"]
    assert set(measured) == set(CATALOGUE)
    large = json.loads((RESULTS / "preprocessing_large.json").read_text())["datasets"]["atlas"]
    for dataset in (large, *measured.values()):
        assert all(run["peak_megabytes"] < 1500 for run in dataset["runs"])


def test_a_backbone_needs_fewer_jets_at_every_size():
    cells = read_results(RESULTS / "tagging" / "data_efficiency.json")["cells"]
    measured = {(cell["model"], cell["training_jets"]): cell["metrics"] for cell in cells}
    for jets in sorted({jets for _, jets in measured}):
        ours, scratch = (measured[model, jets]["rejection_0.5"] for model in data_efficiency.MODELS)
        assert ours.value - scratch.value > 2 * np.hypot(ours.error, scratch.error)


def test_the_tables_of_the_aspen_study_are_made_from_its_numbers():
    (study,) = studies([], [RESULTS / "aspen"])
    text = "\n".join(map(markdown_section, study_tables(study)))
    assert text == (RESULTS / "aspen" / "tables.md").read_text()
