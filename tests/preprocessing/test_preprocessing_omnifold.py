"""The Z+jets arrays: two levels side by side, particle codes, observables, events missed."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from damaged_files import MUTATIONS, survives

from omnilearn.data.catalogue import OMNIFOLD
from omnilearn.kinematics import delta_phi, from_cartesian, to_cartesian, to_rapidity
from preprocessing import omnifold
from preprocessing.identity import masses
from preprocessing.jet_chunk import CHUNK_ROWS, prepare
from preprocessing.jet_file import dataset_arrays

SIMULATION, DATA = "Pythia21_Zjet_pTZ-200GeV_{}.npz", "Herwig_Zjet_pTZ-200GeV_{}.npz"
HERE = Path("toy")


@pytest.fixture
def arrays(toy_jets):
    """make(n, seed): all public arrays of n events; the observables are random numbers."""

    def make(n: int = 50, seed: int = 0) -> dict[str, np.ndarray]:
        made = {"gen_Zs": np.zeros((n, 3))}
        for number, level in enumerate(("gen", "sim")):
            rng = np.random.default_rng((seed, number))
            momenta, counts, _ = toy_jets(n, seed + 100 * number, jet_pt=230.0)
            code = rng.integers(0, 14, len(momenta))
            mass = masses(omnifold.PDG_IDS[code], HERE, "toy")
            momenta[:, 3] = np.hypot(momenta[:, 0] * np.cosh(momenta[:, 1]), mass)
            owner = np.repeat(np.arange(n), counts)
            summed = [np.bincount(owner, one) for one in to_cartesian(momenta).T]
            jets = to_rapidity(from_cartesian(np.stack(summed, axis=-1)))
            rows = to_rapidity(momenta)
            rows[:, 0] /= 100
            rows[:, 1] -= jets[owner, 1]
            rows[:, 2] = delta_phi(rows[:, 2], jets[owner, 2])
            rows[:, 3] = code / 10
            particles = np.zeros((n, 40 + number, 4))
            particles[np.arange(40 + number) < counts[:, None]] = rows
            made |= {
                f"{level}_jets": jets,
                f"{level}_particles": particles,
                f"{level}_mults": counts.astype(float),
            }
            for name in ("lhas", "widths", "ang2s", "tau2s", "sdms", "zgs"):
                made[f"{level}_{name}"] = rng.uniform(0.05, 0.5, n)
        return made

    return make


@pytest.fixture
def write(arrays, tmp_path):
    """write(name, without, seed, **arrays that replace the toy's): a file in tmp_path / raw."""

    def write(name: str = SIMULATION.format(0), without=(), seed: int = 0, **replaced) -> Path:
        made = arrays(seed=seed) | replaced
        (tmp_path / "raw").mkdir(exist_ok=True)
        path = tmp_path / "raw" / name
        np.savez_compressed(path, **{k: v for k, v in made.items() if k not in without})
        return path

    return write


def prepared(made: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is stored of these public arrays."""
    return dataset_arrays(prepare(omnifold.chunk(made, 0, HERE, 0), OMNIFOLD, HERE), OMNIFOLD)


def rows_of(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {key: file[key][:] for key in file}


def test_the_levels_of_an_event_are_stored_row_by_row(arrays, write, preprocess, tmp_path):
    write()
    write(DATA.format(0), seed=7)
    status, _, _ = preprocess("omnifold", "--raw", tmp_path / "raw", "--out", tmp_path)
    assert status == 0
    total = 0
    for split in ("train", "val", "test"):
        found = rows_of(tmp_path / f"omnifold/{split}/omnifold_{split}_000.h5")
        total += len(found["pid"])
        # source 0 is the simulation, 1 the data
        np.testing.assert_array_equal(found["pid"], found["source"][:, 0])
        for seed, number in ((0, 0), (7, 1)):
            of_file = found["source"][:, 0] == number
            row = found["source"][of_file, 1]
            public = arrays(seed=seed)
            for ours, theirs in (("reco", "sim"), ("gen", "gen")):
                jets = found[f"{ours}_jets"][of_file]
                np.testing.assert_allclose(jets[:, 0], public[f"{theirs}_jets"][row, 0], rtol=1e-5)
                np.testing.assert_allclose(jets[:, 2], public[f"{theirs}_jets"][row, 3], rtol=1e-3)
                counts = public[f"{theirs}_mults"][row]
                np.testing.assert_array_equal(found[f"{ours}_multiplicity"][of_file], counts)
    assert total == 100


def test_a_photon_is_no_padding_though_its_code_is_zero(arrays):
    made = arrays()
    made["sim_particles"][..., 3] = 0.0
    found = prepared(made)
    real = np.arange(101) < found["reco_multiplicity"][:, None]
    np.testing.assert_array_equal(found["reco_multiplicity"], made["sim_mults"])
    np.testing.assert_array_equal(found["reco"][real][:, 7:], [[0, 0, 0, 1, 0, 0]] * real.sum())


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_codes_are_known_in_either_precision_and_give_the_electric_charge(arrays, kind):
    made = arrays()
    codes = np.arange(14)
    made["gen_particles"][0, :14] = [0.1, 0.0, 0.0, 0.0]
    made["gen_particles"][0, :14, 0] -= np.arange(14) / 1000  # falling pt
    made["gen_particles"][0, 14:] = 0
    made["gen_particles"][0, :14, 3] = codes * 0.1 if kind == "f8" else codes / 10
    made["gen_particles"] = made["gen_particles"].astype(kind)
    found = prepared(made)["gen"][0, :14]
    np.testing.assert_array_equal(found[:, 7], [0, 1, -1, 0, -1, 1, -1, 1, 1, -1, 1, -1, 0, 0])
    np.testing.assert_array_equal(
        found[:, 8:].argmax(axis=1), [2, 0, 0, 1, 3, 3, 4, 4, 0, 0, 0, 0, 1, 1]
    )


def test_observables_are_those_of_the_file(arrays):
    made = arrays()
    found = prepared(made)
    for ours, level in (("reco", "sim"), ("gen", "gen")):
        pt, _, _, mass = made[f"{level}_jets"].T
        sdm, width = made[f"{level}_sdms"], made[f"{level}_widths"]
        expected = [
            mass,
            width,
            made[f"{level}_mults"],
            np.log(sdm**2 / pt**2),
            made[f"{level}_zgs"],
            made[f"{level}_tau2s"] / width,
        ]
        np.testing.assert_allclose(found[f"{ours}_subs"], np.stack(expected, axis=-1), rtol=1e-5)


def test_observables_of_a_jet_without_mass_or_width_are_finite(arrays):
    made = arrays()
    made["sim_sdms"][3] = made["gen_widths"][4] = 0.0
    found = prepared(made)
    assert found["reco_subs"][3, 3] == pytest.approx(2 * np.log(1e-6))
    assert found["gen_subs"][4, 5] == 0.0
    assert np.isfinite(found["reco_subs"]).all()


def test_fastjet_supplies_what_a_file_lacks(arrays, write):
    keys = [f"{level}_{name}" for level in omnifold.LEVELS for name in omnifold.SUBSTRUCTURE]
    chunk = next(omnifold.read(write(without=keys)))
    for number, level in enumerate(omnifold.LEVELS):
        mass, width, multiplicity, ln_rho, z_g, tau21 = chunk.observables[:, number].T
        made = arrays()
        np.testing.assert_array_equal(multiplicity, made[f"{level}_mults"])
        particles = made[f"{level}_particles"]
        distance = np.hypot(particles[..., 1], particles[..., 2])
        pt = particles[..., 0]
        mean = (pt * distance).sum(axis=1) / pt.sum(axis=1) / OMNIFOLD.jet_radius
        np.testing.assert_allclose(width, mean, rtol=1e-6)
        jet_pt = made[f"{level}_jets"][:, 0]
        # grooming takes mass away; two prongs share more than a tenth
        assert (ln_rho < 2 * np.log(1.0001 * mass / jet_pt)).all()
        assert ((z_g == 0) | ((z_g > 0.1) & (z_g <= 0.5))).all()
        assert ((tau21 >= 0) & (tau21 < 1.5)).all()
        assert tau21[multiplicity == 2] == pytest.approx(0, abs=1e-6)


def test_an_event_that_the_detector_missed_is_kept_without_a_jet(arrays, write):
    made = arrays()
    for key in made:
        if key.startswith("sim"):
            made[key][3] = 0
    keys = [f"sim_{name}" for name in omnifold.SUBSTRUCTURE]
    for without in ((), keys):
        path = write(without=without, **made)
        found = dataset_arrays(prepare(next(omnifold.read(path)), OMNIFOLD, path), OMNIFOLD)
        assert found["reco_multiplicity"][3] == 0
        assert not found["reco_jets"][3].any()
        assert not found["reco_subs"][3].any()
        assert found["gen_multiplicity"][3] > 0
        assert found["gen_subs"][3].all()
        assert len(found["pid"]) == 50


def test_an_event_without_any_jet_is_left_out_and_counted(arrays, write, preprocess, tmp_path):
    made = arrays()
    for key in made:
        made[key][3] = 0
    write(**made)
    write(DATA.format(0), seed=1)
    _, printed, _ = preprocess("omnifold", "--raw", tmp_path / "raw", "--out", tmp_path)
    assert printed.count("1 without constituents: left out") == 1


def test_a_jet_of_one_constituent_is_finite(arrays, write):
    made = arrays()
    for level in omnifold.LEVELS:
        made[f"{level}_particles"][0] = 0
        made[f"{level}_particles"][0, 0] = [2.3, 0, 0, 0.1]
    keys = [f"{level}_{name}" for level in omnifold.LEVELS for name in omnifold.SUBSTRUCTURE]
    path = write(without=keys, **made)
    found = dataset_arrays(prepare(next(omnifold.read(path)), OMNIFOLD, path), OMNIFOLD)
    for level in OMNIFOLD.levels:
        assert found[f"{level}_multiplicity"][0] == 1
        assert found[f"{level}_jets"][0, 0] == pytest.approx(230.0)
        assert np.isfinite(found[level]).all()
        assert np.isfinite(found[f"{level}_subs"]).all()


def test_of_more_constituents_than_slots_the_hardest_stay_and_all_are_counted(arrays):
    made = arrays(n=2)
    particles = np.zeros((2, 150, 4))
    particles[:, :, 0] = np.random.default_rng(1).permutation(np.linspace(0.01, 0.1, 150))
    found = prepared(made | {"gen_particles": particles})
    assert found["gen_multiplicity"].tolist() == [150, 150]
    hardest = np.log(100 * np.linspace(0.1, 0.01, 150)[:101])
    np.testing.assert_allclose(found["gen"][0, :, 3], hardest, rtol=1e-5, atol=1e-6)
    assert found["reco"].shape == found["gen"].shape == (2, 101, 13)


def test_a_rotation_across_the_seam_changes_no_feature(arrays):
    made = arrays()
    turned = made | {"gen_jets": made["gen_jets"] + [0, 0, np.pi, 0]}
    one, two = prepared(made), prepared(turned)
    np.testing.assert_allclose(one["gen"], two["gen"], atol=1e-5)


def test_stretches_cover_a_file_longer_than_one(arrays, write):
    made = {key: np.tile(one, (90, *[1] * (one.ndim - 1))) for key, one in arrays().items()}
    path = write(**made)
    first_rows = [chunk.rows[0] for chunk in omnifold.read(path)]
    assert first_rows == [0, CHUNK_ROWS]
    assert omnifold.count(path) == 4500


def test_the_file_name_tells_simulation_from_data(write):
    for number, name in enumerate((SIMULATION.format(3), DATA.format(3))):
        assert (next(omnifold.read(write(name))).label == number).all()
    alternative = next(omnifold.read(write("PythiaAlt_Zjet_pTZ-200GeV_0.npz")))
    assert (alternative.label == 1).all()


def test_files_are_paired_by_number(write, tmp_path):
    for number in (10, 2):
        write(SIMULATION.format(number))
        write(DATA.format(number))
    sources = [[path.name for path in one.sources] for one in omnifold.shards(tmp_path / "raw")]
    assert sources == [[SIMULATION.format(n), DATA.format(n)] for n in (2, 10)]


def test_a_sample_missing_or_of_two_tunes_is_refused(write, refused, tmp_path):
    raw = tmp_path / "raw"
    write()
    assert "holds no data file (Herwig or PythiaAlt" in refused("omnifold", "--raw", raw)
    write(DATA.format(0))
    write("Pythia25_Zjet_pTZ-200GeV_0.npz")
    assert "Pythia21 and Pythia25, but the simulation is one" in refused("omnifold", "--raw", raw)
    write("Sherpa_Zjet_pTZ-200GeV_0.npz")
    assert "GENERATOR one of Pythia21" in refused("omnifold", "--raw", raw)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sim_jets": np.zeros((50, 3))}, "sim_jets has shape (50, 3), but (events, 4)"),
        ({"gen_particles": np.zeros((50, 4))}, "gen_particles has shape (50, 4)"),
        ({"gen_widths": np.zeros((50, 2))}, "gen_widths has shape (50, 2), but (events,)"),
        ({"gen_widths": np.zeros(49)}, "gen_widths has 49 rows"),
        ({"sim_sdms": np.full(50, np.nan)}, "sim_sdms is not a finite number in jet 0"),
        ({"gen_tau2s": np.full(50, 1e30)}, "an observable at gen level is absurd in event 0"),
        ({"gen_jets": np.zeros((50, 4))}, "gen_jets has no pt, but there are particles"),
        ({"sim_particles": np.array([None] * 50)}, "never unpickled"),
    ],
)
def test_wrong_arrays_are_told_by_file_and_key(write, refused, tmp_path, change, words):
    path = write(**change)
    write(DATA.format(0))
    complaint = refused("omnifold", "--raw", tmp_path / "raw")
    assert str(path) in complaint
    assert words in complaint


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        (0, -0.1, "sim_particles has a negative pt in event 7"),
        (1, 400.0, "impossible momentum in event 7"),
        (3, 0.25, "a code that stands for no PDG id in event 7"),
        (3, 1.4, "a code that stands for no PDG id in event 7"),
        (2, np.nan, "sim_particles is not a finite number in jet 7"),
    ],
)
def test_a_wrong_particle_names_its_event(arrays, write, refused, tmp_path, column, value, words):
    made = arrays()
    made["sim_particles"][7, 0, column] = value
    write(**made)
    write(DATA.format(0))
    assert words in refused("omnifold", "--raw", tmp_path / "raw")


def test_a_missing_array_is_named(write, refused, tmp_path):
    write(without=("sim_particles",))
    write(DATA.format(0))
    assert "has no array sim_particles" in refused("omnifold", "--raw", tmp_path / "raw")


def test_megaelectronvolts_are_refused(arrays, write, refused, tmp_path):
    made = arrays()
    for level in omnifold.LEVELS:
        made[f"{level}_particles"][..., 0] *= 1000
    write(**made)
    write(DATA.format(0))
    assert "MeV" in refused("omnifold", "--raw", tmp_path / "raw")


def test_a_truncated_file_is_refused(write, refused, tmp_path):
    path = write()
    write(DATA.format(0))
    path.write_bytes(path.read_bytes()[:-2000])
    assert "truncated or damaged" in refused("omnifold", "--raw", tmp_path / "raw")


def test_splits_are_disjoint(write, preprocess, tmp_path):
    write()
    write(DATA.format(0), seed=1)
    preprocess("omnifold", "--raw", tmp_path / "raw", "--out", tmp_path)
    rows = [
        {tuple(row) for row in rows_of(path)["source"]} for path in tmp_path.rglob("omnifold_*.h5")
    ]
    assert len(rows) == 3
    assert len(set.union(*rows)) == sum(map(len, rows)) == 100


# damaged counts and types make NumPy warn before it fails
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("complete", [True, False])
def test_damaged_files_are_refused_in_a_sentence(arrays, tmp_path, complete):
    made = arrays(n=20)
    if not complete:  # what FastJet has to supply
        made = {k: v for k, v in made.items() if k.partition("_")[2] in ("jets", "particles")}
    path = tmp_path / SIMULATION.format(0)
    np.savez(path, **made)  # a compressed file is refused by its checksums
    assert survives("omnifold", path, tmp_path / "out") > MUTATIONS // 8
