"""Tables 5 and 6 from published rows and results files; the trivial generator."""

import numpy as np
import pytest

from benchmarks.figures import main as figures
from benchmarks.generation_tables import generation_rows, observable_rows
from benchmarks.inclusive import inclusive
from benchmarks.published_generation import PUBLISHED_GENERATION
from benchmarks.runs import read_runs
from benchmarks.tables import main
from omnilearn.data.catalogue import CATALOGUE
from omnilearn.generation.jet_sets import JetSet
from omnilearn.history import write_history
from omnilearn.statistics.results import Result, write_results

METRICS = ("w1m", "w1p", "w1efp", "coverage", "mmd", "fpd", "kpd")
OBSERVABLES = ("jet_pt", "jet_mass", "tau21", "tau32", "multiplicity")
RESULTS = {
    **{name: Result(0.00123, 0.0001, 900) for name in METRICS},
    **{f"{kind}_{name}": Result(0.5, 0.1, 900) for kind in ("kl", "w1") for name in OBSERVABLES},
}
ABOUT = {"dataset": "jetnet30", "model": "PET", "data": "simulated"}


@pytest.fixture
def runs(tmp_path):
    write_results(
        tmp_path / "jetnet30_scratch" / "results.json",
        {**ABOUT, "generated": {"g": RESULTS}, "ideal": {"g": RESULTS}},
    )
    return tmp_path


def test_published_tables_of_generation_are_complete():
    assert set(PUBLISHED_GENERATION) == {"jetnet30", "jetnet150"}
    for dataset, table in PUBLISHED_GENERATION.items():
        assert set(table.rows) == set(CATALOGUE[dataset].class_names)
        for rows in table.rows.values():
            assert {len(numbers.split()) for numbers in rows.values()} == {len(table.metrics)}
            assert {"FPCD", "PET generator (Ideal)", "OmniLearn", "OmniLearn (Ideal)"} <= set(rows)
        for models in (table.rows["g"], table.rows["t"]):
            assert "EPiC-GAN" in models


def test_rows_of_runs_follow_the_published_rows_of_their_class_in_the_same_units(runs):
    rows = generation_rows("jetnet30", read_runs(runs))
    gluons = [row for row in rows[1:] if row[0] == "g"]
    assert [row[1] for row in gluons][-6:] == [
        "PET generator",
        "OmniLearn",
        "PET",
        "PET generator (Ideal)",
        "OmniLearn (Ideal)",
        "PET (Ideal)",
    ]
    assert gluons[-1][2:5] == ["simulated", "900", "1.23 ± 0.10"]
    assert gluons[-2][2:] == ["-"] * 10 + ["this suite, no run"]
    assert {len(row) for row in rows} == {len(rows[0])}
    assert gluons[-1][7] == "-"  # without the jetnet package there is no FPND
    quarks = [row for row in rows if row[0] == "q"]
    assert quarks
    assert not any(row[1] == "PET" for row in quarks)


def test_every_observable_has_a_divergence_and_a_distance(runs):
    heading, generated, ideal = observable_rows(read_runs(runs))
    assert len(heading) == len(generated) == 4 + 2 * len(OBSERVABLES) + 1
    assert (generated[1], ideal[1]) == ("PET", "PET (Ideal)")


def test_a_small_generator_has_the_row_of_the_model_from_scratch(runs):
    (runs / "jetnet30_scratch" / "config.json").write_text(
        '{"task": "generation", "backbone": null, "config": {"preset": "small"}}'
    )
    gluons = [row for row in generation_rows("jetnet30", read_runs(runs)) if row[0] == "g"]
    assert [row[1] for row in gluons][-4:] == [
        "PET generator (small)",
        "OmniLearn",
        "PET generator (Ideal, small)",
        "OmniLearn (Ideal)",
    ]


def test_jets_of_a_token_model_have_a_table_of_observables_alone(tmp_path, capsys):
    observables = {name: result for name, result in RESULTS.items() if name not in METRICS}
    write_results(
        tmp_path / "any" / "results.json",
        {**ABOUT, "dataset": "aspen", "generated": {"data": observables}},
    )
    main(["--runs", str(tmp_path)])
    out = capsys.readouterr().out
    assert "## Aspen Open Jets, generated: observables" in out
    assert "## Aspen Open Jets, generated\n" not in out


def test_losses_of_generators_are_drawn_as_figure_5(runs, tmp_path):
    for name, backbone, losses in (
        ("jetnet30_scratch", "null", (0.9, 0.8)),
        ("jetnet30_finetuned", '"runs/jetclass"', (0.8, 0.7)),
    ):
        run = runs / name
        write_results(run / "results.json", {**ABOUT, "generated": {"g": RESULTS}})
        (run / "config.json").write_text(f'{{"backbone": {backbone}}}')
        lines = [{"training": {"loss": loss}, "validation": {"loss": loss}} for loss in losses]
        write_history(run, lines)
    figures(["--runs", str(runs), "--out", str(tmp_path / "figures")])
    assert (tmp_path / "figures" / "jetnet30_loss.pdf").stat().st_size > 1000


def test_the_trivial_generator_keeps_spectrum_and_multiplicity_and_nothing_else():
    rng = np.random.default_rng(0)
    multiplicity = rng.integers(3, 9, 400)
    mask = np.arange(8) < multiplicity[:, None]
    # within a jet all constituents have the same momentum
    pt = np.repeat(rng.uniform(0, 1, (400, 1)), 8, axis=1)
    constituents = np.stack([0 * pt, 0 * pt, pt, mask], axis=-1) * mask[..., None]
    jets = JetSet(constituents, np.zeros((400, 4)), np.arange(400) % 2)
    generated = inclusive(jets, jets, 0)
    assert len(generated) == len(jets)
    for label in (0, 1):
        ours, true = (sample.of_class(label).constituents for sample in (generated, jets))
        np.testing.assert_array_equal(ours[..., 3], true[..., 3])
        assert np.ptp(ours[0, :3, 2]) > 0
        quantiles = [
            np.quantile(sample[sample[..., 3] > 0][:, 2], (0.25, 0.5, 0.75))
            for sample in (ours, true)
        ]
        np.testing.assert_allclose(*quantiles, atol=0.06)
