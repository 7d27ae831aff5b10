"""CATHODE from the sidebands to a classifier, on toy events of two jets."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import h5py
import numpy as np
import pytest
from commands import output_of, python, refusal_of
from toy_dijets import write_dijets

from omnilearn.anomaly import density, dijet_sampling
from omnilearn.anomaly.dijet_closure import KINEMATICS, closure
from omnilearn.anomaly.dijet_sampling import (
    DijetSampler,
    calibration_of,
    consistent,
    read_calibration,
    sampled_reference,
)
from omnilearn.anomaly.dijets import SAMPLED, Dijets
from omnilearn.data.catalogue import LHCO
from omnilearn.generation.sampling import Solver
from omnilearn.kinematics import from_relative, invariant_mass, sum_constituents
from omnilearn.statistics.results import read_results

pytestmark = pytest.mark.usefixtures("in_seconds")

COMMON = (
    "finetune.py lhco --preset small --epochs 1 --batch 32 --warmup-epochs 0 --data-background 40 "
    "--reference-background 40 --density-epochs 1 --jet-epochs 1 --train-jets 96 --sampling-steps 2"
)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cathode")
    write_dijets(folder / "data", {"train": 600, "val": 120, "test": 150}, signal=0.1)
    return folder


def finetuned(workdir, *flags, runs="runs"):
    return python(COMMON, "--data", workdir / "data", "--runs", workdir / runs, *flags)


@pytest.fixture(scope="module")
def model(workdir):
    output_of(finetuned(workdir, "--signal", "20"))
    return workdir / "runs" / "lhco_scratch"


def sampler_of(model) -> DijetSampler:
    return DijetSampler(model / "density", LHCO, Solver(steps=2, jet_steps=2), 16, 0)


def test_stages_without_the_files_they_need_are_refused(workdir):
    for stage, sentence in (("sample", "no trained generator"), ("classify", "--stage sample")):
        assert sentence in refusal_of(finetuned(workdir, "--stage", stage, runs="other"))


def test_more_jets_than_the_sidebands_have_are_refused(workdir):
    err = refusal_of(finetuned(workdir, "--signal", "20", "--train-jets", "5000", "--name", "more"))
    assert "--train-jets is 5000; there are" in err
    assert "jets for training in the sidebands" in err


def test_all_stages_write_a_density_a_reference_and_a_classifier(model):
    assert json.loads((model / "density" / "config.json").read_text())["task"] == "density"
    assert (model / "density" / "jets" / "best.h5").is_file()
    assert len(list((model / "density" / "reference").glob("part*.hdf5"))) == 3
    about = json.loads((model / "cathode_signal20" / "seed0" / "config.json").read_text())
    assert about["events"]["reference_background"] == 40
    assert about["events"]["data_signal"] == 20


@pytest.mark.slow
def test_cells_share_the_reference_which_is_not_sampled_again(model, workdir):
    paths = sorted((model / "density" / "reference").glob("part*.hdf5"))
    before = [path.stat().st_mtime_ns for path in paths]
    output_of(finetuned(workdir, "--signal", "0"))
    assert (model / "cathode_signal0" / "seed0" / "best.h5").is_file()
    assert [path.stat().st_mtime_ns for path in paths] == before


def test_generated_events_are_consistent_in_mass_order_and_sums(model, workdir):
    paths = sorted((model / "density" / "reference").glob("part*.hdf5"))
    with h5py.File(paths[0]) as file:
        arrays = {key: array[()] for key, array in file.items()}
    pt, eta, phi, mass, multiplicity = np.moveaxis(arrays["jet"].astype(float), -1, 0)
    assert (pt[:, 0] >= pt[:, 1]).all()
    assert (multiplicity == arrays["multiplicity"]).all()
    energy = np.hypot(pt * np.cosh(eta), mass)
    jets = np.stack([pt, eta, phi, energy], axis=-1)
    dijet_mass = invariant_mass(sum_constituents(jets))
    np.testing.assert_allclose(dijet_mass, arrays["observables"][:, 0], rtol=1e-4)
    assert ((dijet_mass >= 3300) & (dijet_mass < 3700)).all()
    # a jet is the sum of its constituents
    summed = sum_constituents(from_relative(arrays["data"], jets))
    np.testing.assert_allclose(summed[..., 0], pt, rtol=1e-3)
    np.testing.assert_allclose(summed[..., 1], eta, atol=1e-3)
    np.testing.assert_allclose(invariant_mass(summed), mass, rtol=0.01, atol=0.5)
    events = Dijets(LHCO, str(workdir / "data"), paths)
    assert np.count_nonzero(events.split == SAMPLED) == 48
    assert not events.natural[events.split == SAMPLED].any()


def test_an_event_depends_neither_on_ranks_nor_on_other_events(model, workdir, monkeypatch):
    sampler = sampler_of(model)
    mass = np.linspace(3310.0, 3690.0, 24)
    expected = sampler.events(np.arange(24), mass)
    index = np.array([17, 3])
    events = sampler.events(index, mass[index])
    np.testing.assert_allclose(events["jet"], expected["jet"][index], rtol=2e-3, atol=2e-3)
    toys = Dijets(LHCO, str(workdir / "data"))
    spectrum = density.sideband_fit(toys, toys.natural & ~toys.signal & (toys.split < 2))
    for name, replacement in (("size", lambda: 2), ("barrier", lambda: None)):
        monkeypatch.setattr(dijet_sampling.distributed, name, replacement)
    for rank in (0, 1):
        monkeypatch.setattr(dijet_sampling.distributed, "rank", lambda rank=rank: rank)
        paths = sampled_reference(workdir / "shared", sampler, spectrum.sampled, 40, {})
    assert all(path.is_file() for path in paths)
    masses = []
    for path in (paths[1], model / "density" / "reference" / paths[1].name):
        with h5py.File(path) as file:
            masses.append(file["observables"][()])
    np.testing.assert_allclose(*masses, rtol=1e-6)


def test_momenta_are_moved_to_the_axis_and_pt_of_their_jet():
    rng = np.random.default_rng(0)
    columns = rng.normal(0, 0.2, (6, 12, 4))
    columns[..., 2] = rng.random((6, 12)) / 4
    columns[..., 3] = np.arange(12) < rng.integers(3, 13, (6, 1))
    jets = np.column_stack([rng.uniform(1000, 2000, 6), rng.normal(size=6), *np.ones((2, 6))])
    momenta, mask = consistent(columns * columns[..., 3:], jets)
    summed = sum_constituents(momenta, mask)
    np.testing.assert_allclose(summed[:, 0], jets[:, 0], rtol=1e-4)
    np.testing.assert_allclose(summed[:, 1], jets[:, 1], atol=1e-4)
    np.testing.assert_allclose(summed[:, 2], 0, atol=1e-4)
    assert (np.diff(momenta[..., 0], axis=1) <= 0).all()


@pytest.mark.slow
def test_the_closure_test_has_metrics_and_figures_of_both_regions(model):
    out = output_of(
        python("evaluate.py", model / "density", "--steps", 2, "--events", 40, "--batch", 16)
    )
    assert "sidebands auc_kinematics: " in out
    results = read_results(model / "density" / "results.json")
    for region in density.REGIONS:
        assert results[region]["w1_jet_mass_1"].value > 0
        assert (model / "density" / f"closure_{region}.pdf").stat().st_size > 1000


def test_calibrated_constituents_have_the_true_spectrum_and_their_order():
    rng = np.random.default_rng(2)
    true = -rng.exponential(0.01, 20_000)  # of log(1 - pt_rel)
    generated = true[::-1] + rng.normal(0, 0.02, 20_000)  # soft constituents are not resolved
    assert (generated > 0).mean() > 0.2
    mapped = np.interp(generated, *calibration_of(generated, true))
    assert (mapped < 0).all()
    levels = np.linspace(0.001, 0.999, 99)
    np.testing.assert_allclose(np.quantile(mapped, levels), np.quantile(true, levels), rtol=0.02)
    order = np.argsort(generated)
    assert (np.diff(mapped[order]) >= 0).all()


def test_samples_of_the_same_distribution_close_and_others_do_not():
    rng = np.random.default_rng(1)
    first, second = ({name: rng.normal(size=400) for name in KINEMATICS} for _ in range(2))
    metrics, spectra = closure(first, second, 0)
    assert metrics["auc_kinematics"].value == pytest.approx(0.5, abs=0.08)
    assert spectra["jet_pt_1"]["sizes"] == {"truth": 400, "generated": 400}
    metrics, _ = closure(first, second | {"jet_mass_2": second["jet_mass_2"] + 1}, 0)
    assert metrics["auc_kinematics"].value > 0.65
    assert metrics["w1_jet_mass_2"].value == pytest.approx(1, abs=0.2)


def test_constituents_are_calibrated_again_for_another_solver(tmp_path, monkeypatch):
    measured: list[int] = []

    class FewJets:
        epochs: ClassVar = [1, 1]

        def __init__(self, run, spec, solver, batch_size, seed):
            self.steps = solver.steps
            _, self.calibrated_for = read_calibration(run)

        def features(self, rows, label, jet):
            measured.append(self.steps)
            return np.full((len(rows), 279, 3), -0.1), None

    jets = SimpleNamespace(
        gather=lambda rows: {"data": np.full((len(rows), 279, 7), -0.2), "jet": None},
        multiplicity=np.full(4, 3),
    )
    monkeypatch.setattr(density, "DijetSampler", FewJets)
    spec = replace(LHCO, max_constituents=279)
    events = SimpleNamespace(spec=spec, files=SimpleNamespace(jets=jets))
    for steps in (2, 2, 3):
        density.calibrate(events, np.ones(2, bool), tmp_path, Solver(steps=steps), 0)
    assert measured == [2, 3]
