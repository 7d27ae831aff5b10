"""What README and docs quote is what the committed results say."""

import json
from pathlib import Path

import numpy as np

from benchmarks import data_efficiency
from benchmarks.aspen_cells import studies
from benchmarks.aspen_tables import study_tables
from benchmarks.demo import MODELS, comparison
from benchmarks.markdown import markdown_section
from benchmarks.preprocessing import table
from omnilearn.data.catalogue import CATALOGUE
from omnilearn.statistics.results import read_results

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
README = (ROOT / "README.md").read_text()


def test_the_table_of_the_demo_is_made_from_its_results():
    table = comparison(RESULTS / "demo")
    assert table == (RESULTS / "demo" / "table.md").read_text()
    assert table in README


def test_the_backbone_is_ahead_in_rejection_and_epochs_beyond_the_uncertainties():
    ours, scratch = (
        json.loads((RESULTS / "demo" / name / "results.json").read_text())["rejection_0.5"]
        for name in MODELS.values()
    )
    spread = (ours["error"] ** 2 + scratch["error"] ** 2) ** 0.5
    assert ours["value"] - scratch["value"] > 2 * spread


def test_rates_and_memory_of_preprocessing_are_the_measured_ones():
    measured = json.loads((RESULTS / "preprocessing.json").read_text())["datasets"]
    assert set(measured) == set(CATALOGUE)
    assert table(measured) in README
    large = json.loads((RESULTS / "preprocessing_large.json").read_text())["datasets"]["atlas"]
    short, long = large["runs"]
    quoted = f"{long['peak_megabytes']:.0f} MB after {short['peak_megabytes']:.0f} MB for a quarter"
    assert quoted in README
    for one in (large, *measured.values()):
        assert all(run["peak_megabytes"] < 1500 for run in one["runs"])


def test_quoted_throughput_is_the_measured_one():
    performance = (ROOT / "docs" / "performance.md").read_text()
    for row in json.loads((RESULTS / "throughput.json").read_text())["rows"]:
        quoted = (
            f"| {row['mode']}, {row['work']} | {row['default_jets_per_second']:.0f} "
            f"| {row['padded_jets_per_second']:.0f} | {row['ratio']:.2f} "
        )
        assert quoted in performance


def test_the_scan_over_training_sizes_is_quoted_as_measured():
    cells = read_results(RESULTS / "tagging" / "data_efficiency.json")["cells"]
    measured = {(cell["model"], cell["training_jets"]): cell["metrics"] for cell in cells}
    sizes = sorted({jets for _, jets in measured})
    assert data_efficiency.table(sizes, measured, "rejection_0.5") in README
    for jets in sizes:
        ours, scratch = (measured[model, jets]["rejection_0.5"] for model in data_efficiency.MODELS)
        assert ours.value - scratch.value > 2 * np.hypot(ours.error, scratch.error)


def test_the_tables_of_the_aspen_study_are_made_from_its_numbers():
    (study,) = studies([], [RESULTS / "aspen"])
    text = "\n".join(map(markdown_section, study_tables(study)))
    assert text == (RESULTS / "aspen" / "tables.md").read_text()
