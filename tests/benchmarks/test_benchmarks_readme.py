"""The committed results: the backbone is ahead, memory is bounded, tables are made from them."""

import json

import numpy as np

from benchmarks import demo_full, tagging
from benchmarks.aspen_cells import studies
from benchmarks.aspen_tables import study_tables
from benchmarks.docs_tables import tagging_cells
from benchmarks.markdown import markdown, markdown_section
from benchmarks.programs import RESULTS
from omnilearn.data.catalogue import CATALOGUE
from omnilearn.statistics.results import read_results


def test_the_table_of_the_long_demo_is_made_from_its_results():
    head, rows = demo_full.table(RESULTS / "demo_full")
    made = markdown([head, *rows], texts=len(head))
    assert made == (RESULTS / "demo_full" / "table.md").read_text()


def test_the_backbone_is_ahead_in_rejection_and_epochs_beyond_the_uncertainties():
    ours, scratch = (
        read_results(RESULTS / "demo_full" / name / "results.json")["rejection_0.5"]
        for name in demo_full.MODELS.values()
    )
    assert ours.value - scratch.value > 2 * np.hypot(ours.error, scratch.error)


def test_preprocessing_of_every_dataset_fits_into_memory():
    measured = json.loads((RESULTS / "preprocessing.json").read_text())["datasets"]
    assert set(measured) == set(CATALOGUE)
    large = json.loads((RESULTS / "preprocessing_large.json").read_text())["datasets"]["atlas"]
    for dataset in (large, *measured.values()):
        assert all(run["peak_megabytes"] < 1500 for run in dataset["runs"])


def test_a_thousand_jets_with_the_backbone_give_more_than_ten_thousand_without():
    cells = tagging_cells(RESULTS, "top")
    ours, scratch = tagging.MODELS
    for jets, others in ((1000, 1000), (3000, 3000), (10_000, 10_000), (1000, 10_000)):
        for metric, deviations in (("auc", 2), ("rejection_0.5", 1.5 if jets == others else 1)):
            pair = cells[ours, jets][metric], cells[scratch, others][metric]
            ahead = pair[0].value - pair[1].value
            assert ahead > deviations * np.hypot(pair[0].error, pair[1].error)


def test_the_tables_of_the_aspen_study_are_made_from_its_numbers():
    (study,) = studies([], [RESULTS / "aspen"])
    text = "\n".join(map(markdown_section, study_tables(study)))
    assert text == (RESULTS / "aspen" / "tables.md").read_text()
