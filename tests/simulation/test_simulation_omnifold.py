"""Simulated Z+jets: the public arrays at both levels, effects of the detector and the tune."""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_samples import converted, read_splits, simulated, without_mpi

from omnilearn.errors import UserError
from omnilearn.kinematics import from_cartesian, from_rapidity, to_cartesian, to_rapidity
from preprocessing import omnifold as reader
from preprocessing.identity import masses
from simulation import omnifold
from simulation.__main__ import description, parser
from simulation.detector import visible
from simulation.generator import Generator

EVENTS = 100
OBSERVABLES = ("mults", "lhas", "widths", "ang2s", "tau2s", "sdms", "zgs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    card = without_mpi(omnifold.CARD, chunk_size=60)
    return simulated(omnifold, tmp_path_factory.mktemp("omnifold"), card, jets=EVENTS)


@pytest.fixture(scope="module")
def samples(folder):
    arrays = {}
    for process in omnifold.PROCESSES:
        with np.load(folder / f"{process.name}_Zjet_pTZ-200GeV_0.npz") as file:
            arrays[process.name] = dict(file)
    return arrays


@pytest.fixture(scope="module")
def arrays(samples):
    return samples["Pythia21"]


def species_of(particles: np.ndarray) -> np.ndarray:
    return reader.PDG_IDS[np.rint(10 * particles[..., 3]).astype(int)]


def test_the_arrays_are_the_public_ones(arrays):
    expected = {"gen_Zs": (EVENTS, 3)}
    for level in ("gen", "sim"):
        longest = int(arrays[f"{level}_mults"].max())
        expected[f"{level}_jets"] = (EVENTS, 4)
        expected[f"{level}_particles"] = (EVENTS, longest, 4)
        expected |= {f"{level}_{name}": (EVENTS,) for name in OBSERVABLES}
    assert {key: values.shape for key, values in arrays.items()} == expected
    assert {values.dtype for values in arrays.values()} == {np.dtype(np.float64)}


@pytest.mark.parametrize("level", ["gen", "sim"])
def test_particles_are_relative_to_their_jet_and_add_up_to_it(arrays, level):
    particles, jets = arrays[f"{level}_particles"], arrays[f"{level}_jets"]
    real = particles[..., 0] > 0
    np.testing.assert_array_equal(real.sum(axis=1), arrays[f"{level}_mults"])
    assert not particles[~real].any()
    assert np.hypot(particles[..., 1], particles[..., 2]).max() < 0.8
    mass = masses(species_of(particles).ravel(), Path(), level).reshape(real.shape) * real
    momenta = from_rapidity(
        100 * particles[..., 0],
        particles[..., 1] + jets[:, None, 1],
        particles[..., 2] + jets[:, None, 2],
        mass,
    )
    summed = (to_cartesian(momenta) * real[..., None]).sum(axis=1)
    jet = to_rapidity(from_cartesian(summed))
    np.testing.assert_allclose(jet[:, 0], jets[:, 0], rtol=1e-6)
    turned = np.exp(1j * jet[:, 2]) / np.exp(1j * jets[:, 2])
    np.testing.assert_allclose(turned, 1, atol=1e-6)
    if level == "gen":  # at detector level, masses are assumed
        np.testing.assert_allclose(jet[:, 1], jets[:, 1], atol=1e-4)
        np.testing.assert_allclose(jet[:, 3], jets[:, 3], rtol=1e-3)
    assert 0 <= jets[:, 2].min() <= jets[:, 2].max() < 2 * np.pi


def test_codes_are_tenths_and_the_detector_identifies_no_kaon(arrays):
    for level in ("gen", "sim"):
        code = 10 * arrays[f"{level}_particles"][..., 3]
        np.testing.assert_allclose(code, np.rint(code), atol=1e-12)
        assert {code.min(), code.max()} <= set(range(14))
    gen, sim = (
        set(np.abs(species_of(arrays[f"{level}_particles"])).flat) for level in ("gen", "sim")
    )
    assert {22, 211, 130, 321, 2212, 2112} <= gen
    assert sim <= {22, 211, 130, 11, 13}


def test_the_z_is_hard_and_in_no_jet(arrays):
    z = arrays["gen_Zs"]
    assert z[:, 0].min() > 200
    # the hardest jet recoils against it
    turned = np.cos(arrays["gen_jets"][:, 2] - z[:, 2])
    assert (turned < -0.5).mean() > 0.9
    assert arrays["gen_jets"][:, 3].max() < 91


def test_the_detector_loses_constituents_and_keeps_the_momentum(arrays):
    assert arrays["sim_mults"].mean() < 0.85 * arrays["gen_mults"].mean()
    ratio = arrays["sim_jets"][:, 0] / arrays["gen_jets"][:, 0]
    assert np.median(ratio) == pytest.approx(0.98, abs=0.04)


def test_the_alternative_radiates_less(samples):
    alternative = samples["PythiaAlt"]
    assert alternative["gen_mults"].mean() < samples["Pythia21"]["gen_mults"].mean()
    assert not np.array_equal(alternative["gen_Zs"], samples["Pythia21"]["gen_Zs"])


def flags(*words: str) -> argparse.Namespace:
    return parser().parse_args(["omnifold", "--jets", "1", "--out", "x", *words])


def test_the_replacement_of_herwig_and_the_detector_of_the_data_are_recorded(folder):
    nominal, shifted = (description(flags("--response", name)) for name in ("nominal", "shifted"))
    assert description(flags()) == nominal
    assert nominal["stand_in"].endswith("takes the place of Herwig")
    assert shifted["response"] == "shifted"
    assert shifted["stand_in"].startswith(nominal["stand_in"])
    assert "track_efficiency 0.97, resolution 1.2, hadronic_scale 1.02" in shifted["stand_in"]
    assert [reader.generator(path)[0] for path in sorted(folder.glob("*.npz"))] == [
        "simulation",
        "data",
    ]


def test_another_response_changes_the_detector_level_of_the_data_alone(samples, tmp_path):
    card = without_mpi(omnifold.card(flags("--response", "shifted")), chunk_size=60)
    simulated(omnifold, tmp_path, card, jets=EVENTS)
    for name, nominal in samples.items():
        with np.load(tmp_path / f"{name}_Zjet_pTZ-200GeV_0.npz") as file:
            for key, values in nominal.items():
                equal = np.array_equal(file[key], values)
                assert equal == (name == "Pythia21" or key.startswith("gen")), (name, key)
            if name == "PythiaAlt":
                assert file["sim_mults"].mean() < 0.99 * nominal["sim_mults"].mean()


def test_an_unknown_response_is_refused():
    with pytest.raises(UserError, match="nominal"):
        flags("--response", "other")


def test_an_event_without_objects_has_an_empty_jet():
    card = without_mpi(omnifold.CARD)
    generator = Generator((*card.settings, *omnifold.PROCESSES[0].variants[0]), seed=1)
    events = generator.events(10)
    objects = visible(events, np.random.default_rng(1))
    objects = objects[objects.event != 4]
    card = replace(card, objects=lambda events, rng: objects)
    selected = omnifold.boosted_events(
        card, omnifold.PROCESSES[0], events, np.random.default_rng(1)
    )
    z = (events.status > 0) & (events.pdg_id == 23)
    passed = events.event[z][np.hypot(events.px[z], events.py[z]) > 200]
    index = passed.tolist().index(4) if 4 in passed else None
    assert len(selected) == len(passed)
    assert index is not None, "choose another event: this one has a soft Z"
    columns = omnifold.columns(selected, "train")
    assert columns["sim_mults"][index] == 0
    assert not any(columns[key][index].any() for key in columns if key.startswith("sim"))
    assert columns["gen_mults"][index] > 0
    assert np.count_nonzero(columns["sim_mults"] == 0) == 1


def test_fastjet_gives_the_observables_of_the_file(arrays):
    bare = {key: values for key, values in arrays.items() if key[4:] in ("jets", "particles")}
    stored, computed = (
        reader.chunk(columns, 0, Path("toy"), 0).observables[:, 1] for columns in (arrays, bare)
    )
    # masses of the public table and of the generator differ in the last digits
    np.testing.assert_allclose(np.median(np.abs(computed - stored), axis=0), 0, atol=2e-3)
    np.testing.assert_array_equal(computed[:, 2], stored[:, 2])


def test_large_samples_are_cut_into_files_of_the_public_size(tmp_path):
    files = omnifold.files(argparse.Namespace(out=tmp_path, jets=100_001))
    assert [(file.path.name, file.jets) for file in files] == [
        ("Pythia21_Zjet_pTZ-200GeV_0.npz", (100_000, 0)),
        ("Pythia21_Zjet_pTZ-200GeV_1.npz", (1, 0)),
        ("PythiaAlt_Zjet_pTZ-200GeV_0.npz", (0, 100_000)),
        ("PythiaAlt_Zjet_pTZ-200GeV_1.npz", (0, 1)),
    ]


def test_converted_jets_are_those_of_the_sample(folder, samples, tmp_path):
    converted("omnifold", folder, tmp_path)
    for level, theirs in (("reco", "sim"), ("gen", "gen")):
        splits = read_splits("omnifold", tmp_path, level).values()
        jet_pt = np.concatenate([arrays["jet"][:, 0] for arrays in splits])
        expected = np.concatenate([arrays[f"{theirs}_jets"][:, 0] for arrays in samples.values()])
        np.testing.assert_allclose(np.sort(jet_pt), np.sort(expected), rtol=1e-5)
