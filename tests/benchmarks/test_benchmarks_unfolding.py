"""The comparison of unfoldings: tables and figures from results files."""

import json

import numpy as np
import pytest

from benchmarks.published import OBSERVABLES, REWEIGHTING, UNFOLDING
from benchmarks.runs import Run, read_runs
from benchmarks.unfolding import METHODS, main, report, verdict
from benchmarks.unfolding_tables import ibu_name, rows, unfolding_tables
from omnilearn.data.catalogue import OMNIFOLD
from omnilearn.history import write_history
from omnilearn.statistics.results import Result, write_results
from omnilearn.unfolding.spectrum_distances import BINNING, Spectrum

KINDS = {
    "detector": ("simulation", "unfolded", "reweighted"),
    "particle": ("simulation", "unfolded", "ibu"),
}
DISTANCE = {"simulation": 9.0, "ibu": 3.0, "unfolded": 1.0, "reweighted": 0.5}


def results_of(method: str) -> dict:
    """The content of results.json, with round numbers."""
    results = {
        "dataset": "omnifold",
        "model": method,
        "data": "simulated",
        "spectra": {},
        "ibu_iterations": 4,
    }
    rng = np.random.default_rng(0)
    for level, kinds in KINDS.items():
        results["spectra"][level] = {}
        for name, edges in BINNING.items():
            values = rng.uniform(edges[0], edges[-1], 500)
            spectrum = Spectrum.of(values, np.ones(500), edges).plotted()
            spectra = {"edges": edges.tolist(), "truth": spectrum}
            for kind in kinds:
                spectra[kind] = spectrum
                results[f"triangular_{level}_{name}_{kind}"] = Result(DISTANCE[kind], 0.1, 500)
                results[f"chi2_{level}_{name}_{kind}"] = Result(10 * DISTANCE[kind], 0.3, 500)
                results[f"floor_{level}_{name}_{kind}"] = 0.2
            results["spectra"][level][name] = spectra
    # IBU is the best in z_g, and in chi2 also in tau21
    for name in ("triangular_particle_z_g", "chi2_particle_z_g", "chi2_particle_tau21"):
        results[f"{name}_unfolded"] = Result(40.0, 0.1, 500)
    results["by_iteration"] = {
        name: [Result(9.0, 0.1, 500), Result(1.0, 0.1, 500)] for name in OBSERVABLES
    }
    results |= {
        "two_sample_simulation": Result(0.62, 0.01, 500),
        "two_sample_unfolded": Result(0.51, 0.01, 500),
    }
    return results


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    for method, name in METHODS.items():
        write_results(runs / name / "results.json", results_of(method))
        losses = {"OmniLearn": (0.5, 0.4, 0.3)}.get(method, (0.6, 0.55, 0.45))
        lines = [
            {kind: {"cross_entropy": loss} for kind in ("training", "validation")}
            for loss in losses
        ]
        write_history(runs / name, lines)
    report(runs, runs / "out")
    return runs


def test_published_rows_have_a_number_for_every_observable_of_the_dataset():
    assert set(OBSERVABLES) == set(OMNIFOLD.observables)
    for table in (REWEIGHTING, UNFOLDING):
        assert table.metrics == OBSERVABLES
        assert all(len(table.numbers(model)) == 6 for model in table.rows)


def lines_of(section: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]


def test_the_table_has_simulation_and_binned_unfolding_once_and_every_method(runs):
    text = (runs / "out" / "table.md").read_text()
    detector, particle, chi2 = map(lines_of, text.split("## ")[1:])
    assert [line[0].strip("*") for line in particle[2:]] == [
        "IBU",
        "OmniFold DeepSets",
        "OmniFold PET classifier",
        "OmniFold OmniLearn",
        "Simulation, not reweighted",
        "Noise floor",
        "IBU (4 iterations)",
        "OmniFold, trees",
        "OmniFold, DeepSets",
        "OmniFold, from scratch",
        "OmniFold, OmniLearn",
    ]
    assert "0.027 ± 0.008" in text
    assert detector[-1][:4] == ["**OmniFold, OmniLearn**", "simulated", "500", "0.50 ± 0.10"]
    assert chi2[-1][3] == "10.00 ± 0.30"
    assert particle[-1][9] in ("0.5100 ± 0.0100", "0.510 ± 0.010")
    for name in ("spectra_detector", "spectra_particle", "loss", "iterations_scratch"):
        assert (runs / "out" / f"{name}.png").is_file()


def test_the_published_unfolding_has_numbers_of_pet_and_none_of_omnilearn():
    assert UNFOLDING.numbers("OmniFold PET classifier")[0] == (2.8, 0.9)
    assert UNFOLDING.numbers("OmniFold OmniLearn") == (None,) * 6
    _, unfolded, _ = unfolding_tables([])
    assert [row[3:9] for row in unfolded.rows[3:5]] == [
        ["2.8 ± 0.9", "0.5 ± 0.15", "0.09 ± 0.02", "0.23 ± 0.07", "0.13 ± 0.03", "0.19 ± 0.03"],
        ["-"] * 6,
    ]
    assert "OmniLearn's cannot be read" in unfolded.note


def test_an_unfolding_has_the_row_of_its_classifier_and_start(tmp_path):
    for name, about in {
        "a": {"classifier": "pet", "backbone": "runs/jetclass", "iterations": 4},
        "b": {"classifier": "deepsets", "backbone": None, "iterations": 4},
    }.items():
        write_results(tmp_path / name / "results.json", results_of(name))
        (tmp_path / name / "config.json").write_text(json.dumps({"task": "unfolding", **about}))
    reweighted, unfolded, _ = unfolding_tables(read_runs(tmp_path))
    ours = [(row[0], row[-1]) for row in unfolded.rows if row[-1].startswith("this suite")]
    assert ours[2:] == [
        ("IBU (4 iterations)", "this suite, b"),
        ("OmniFold DeepSets (4 iterations)", "this suite, b"),
        ("OmniFold PET classifier", "this suite, no run"),
        ("OmniFold OmniLearn (4 iterations)", "this suite, a"),
    ]
    assert [row[0] for row in reweighted.rows[-3:]] == [
        "PET classifier",
        "OmniLearn",
        "OmniFold DeepSets",
    ]


def test_the_table_has_the_gain_in_convergence_by_the_backbone(runs):
    text = (runs / "out" / "table.md").read_text()
    assert "from scratch 0.4500, after 3 epochs" in text
    assert "reached after 2, 1.5 times fewer, the best is 0.3000" in text


def test_the_verdict_counts_observables_and_not_methods():
    triangular, chi2 = verdict({"OmniLearn": results_of("OmniLearn")}).splitlines()
    assert "triangular discriminator: closer" in triangular
    assert "than the simulation in 5 of 6 observables, than IBU in 5." in triangular
    assert "chi2 per bin: closer" in chi2
    assert "than the simulation in 6 of 6 observables, than IBU in 4." in chi2


def test_a_reweighting_alone_has_no_row_among_the_unfolded(tmp_path):
    results = results_of("a")
    write_results(
        tmp_path / "results.json",
        {key: value for key, value in results.items() if "particle" not in key},
    )
    reweighted, unfolded, _ = unfolding_tables(read_runs(tmp_path))
    assert reweighted.rows[-1][-1] == f"this suite, {tmp_path.name}"
    assert unfolded.rows[-1][-1] == "this suite, no run"


def test_a_spectrum_that_all_methods_share_has_one_row(tmp_path):
    entries = [(method, Run(tmp_path, method, results_of(method))) for method in METHODS]
    assert len(rows(entries, "particle", {"ibu": "IBU"}, "unfolded")) == 1 + 4
    assert len(rows(entries, "particle", {}, "unfolded")) == 4


@pytest.mark.parametrize(
    ("iterations", "name"),
    [
        (4, "IBU (4 iterations)"),
        (dict.fromkeys(OBSERVABLES, 1), "IBU (1 iteration)"),
        (dict.fromkeys(OBSERVABLES, 3) | {OBSERVABLES[0]: 2}, "IBU (2 to 3 iterations)"),
        (None, "IBU"),
    ],
)
def test_ibu_is_named_by_one_number_of_iterations_or_by_those_of_the_observables(
    tmp_path, iterations, name
):
    results = results_of("trees") | {"ibu_iterations": iterations}
    assert ibu_name(Run(tmp_path, "trees", results)) == name


def test_undefined_distances_have_their_reason_in_the_table(tmp_path):
    results = results_of("trees")
    reason = "the weights add up to -1"
    for name in OBSERVABLES:
        key = f"particle_{name}_simulation"
        results[f"triangular_{key}"] = Result(np.nan, None, 5, reason=reason)
        results[f"floor_{key}"] = None
    entries = [("trees", Run(tmp_path, "trees", results))]
    line, floor, _ = rows(entries, "particle", {"simulation": "simulation"}, "unfolded")
    assert line[3] == f"undefined ({reason})"
    assert floor[3] == "undefined"
    assert "the simulation in 0 of 6" in verdict({"trees": results})


@pytest.mark.slow
def test_a_method_that_has_run_is_not_repeated(tmp_path, runs, capsys):
    folders = ["--data", str(tmp_path), "--runs", str(runs), "--out", str(tmp_path / "out")]
    main([*folders, "--methods", "trees", "DeepSets"])
    assert "OmniFold, trees" in capsys.readouterr().out
