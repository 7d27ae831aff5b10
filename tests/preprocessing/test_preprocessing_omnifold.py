"""The Z+jets arrays: two levels per event, particle codes, observables, missed events."""

from pathlib import Path

import numpy as np
import pytest
from commands import output_of, python
from damaged_files import MUTATIONS, survives
from documented import run_example
from flat_files import padded
from golden import stored_arrays
from public_order import in_public_order

from omnilearn.data.catalogue import OMNIFOLD
from omnilearn.errors import UserError
from omnilearn.kinematics import delta_phi, to_cartesian, to_rapidity
from preprocessing import omnifold
from preprocessing.identity import masses
from preprocessing.jet_chunk import CHUNK_ROWS, summed_jets

SIMULATION, DATA = "Pythia21_Zjet_pTZ-200GeV_{}.npz", "Herwig_Zjet_pTZ-200GeV_{}.npz"
HERE = Path("toy")


@pytest.fixture
def arrays(toy_jets):
    """make(n, seed): all public arrays of n events; the observables are random numbers."""

    def make(n: int = 50, seed: int = 0) -> dict[str, np.ndarray]:
        public = {"gen_Zs": np.zeros((n, 3))}
        for index, level in enumerate(("gen", "sim")):
            rng = np.random.default_rng((seed, index))
            momenta, counts, _ = toy_jets(n, seed + 100 * index, jet_pt=230.0)
            code = rng.integers(0, 14, len(momenta))
            mass = masses(omnifold.PDG_IDS[code], HERE, "toy")
            momenta[:, 3] = np.hypot(momenta[:, 0] * np.cosh(momenta[:, 1]), mass)
            owner = np.repeat(np.arange(n), counts)
            jets = to_rapidity(summed_jets(to_cartesian(momenta), owner, n))
            rows = to_rapidity(momenta)
            rows[:, 0] /= 100
            rows[:, 1] -= jets[owner, 1]
            rows[:, 2] = delta_phi(rows[:, 2], jets[owner, 2])
            rows[:, 3] = code / 10
            public |= {
                f"{level}_jets": jets,
                f"{level}_particles": padded(rows, counts, 40 + index),
                f"{level}_mults": counts.astype(float),
            }
            for name in ("lhas", "widths", "ang2s", "tau2s", "sdms", "zgs"):
                public[f"{level}_{name}"] = rng.uniform(0.05, 0.5, n)
        return public

    return make


@pytest.fixture
def write(arrays, tmp_path):
    """write(name, without, seed, **arrays that replace the toy's): a file in tmp_path / raw."""

    def write(name: str = SIMULATION.format(0), without=(), seed: int = 0, **replaced) -> Path:
        public = arrays(seed=seed) | replaced
        (tmp_path / "raw").mkdir(exist_ok=True)
        path = tmp_path / "raw" / name
        np.savez_compressed(path, **{k: v for k, v in public.items() if k not in without})
        return path

    return write


def prepared(public: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The stored arrays of these public ones."""
    return stored_arrays(omnifold.chunk(public, 0, HERE, 0), OMNIFOLD, HERE)


def test_the_levels_of_an_event_are_stored_row_by_row(arrays, write, convert, tmp_path):
    write()
    write(DATA.format(0), seed=7)
    convert("omnifold")
    stored = in_public_order(tmp_path / "omnifold")
    # source 0 is the simulation, 1 the data
    np.testing.assert_array_equal(stored["pid"], stored["source"][:, 0])
    for number, seed in enumerate((0, 7)):
        of_file = stored["source"][:, 0] == number
        np.testing.assert_array_equal(stored["source"][of_file, 1], np.arange(50))
        public = arrays(seed=seed)
        for ours, theirs in (("reco", "sim"), ("gen", "gen")):
            jets, expected = stored[f"{ours}_jets"][of_file], public[f"{theirs}_jets"]
            np.testing.assert_allclose(jets[:, 0], expected[:, 0], rtol=1e-5)
            np.testing.assert_allclose(jets[:, 2], expected[:, 3], rtol=1e-3)
            multiplicity = stored[f"{ours}_multiplicity"][of_file]
            np.testing.assert_array_equal(multiplicity, public[f"{theirs}_mults"])


def test_photons_are_constituents_although_their_code_is_zero(arrays):
    public = arrays()
    public["sim_particles"][..., 3] = 0.0
    stored = prepared(public)
    real = np.arange(101) < stored["reco_multiplicity"][:, None]
    np.testing.assert_array_equal(stored["reco_multiplicity"], public["sim_mults"])
    np.testing.assert_array_equal(stored["reco"][real][:, 7:], [[0, 0, 0, 1, 0, 0]] * real.sum())


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_codes_in_either_precision_give_the_electric_charge(arrays, kind):
    public = arrays()
    codes = np.arange(14)
    public["gen_particles"][0, :14] = [0.1, 0.0, 0.0, 0.0]
    public["gen_particles"][0, :14, 0] -= np.arange(14) / 1000  # falling pt
    public["gen_particles"][0, 14:] = 0
    public["gen_particles"][0, :14, 3] = codes * 0.1 if kind == "f8" else codes / 10
    public["gen_particles"] = public["gen_particles"].astype(kind)
    stored = prepared(public)["gen"][0, :14]
    np.testing.assert_array_equal(stored[:, 7], [0, 1, -1, 0, -1, 1, -1, 1, 1, -1, 1, -1, 0, 0])
    np.testing.assert_array_equal(
        stored[:, 8:].argmax(axis=1), [2, 0, 0, 1, 3, 3, 4, 4, 0, 0, 0, 0, 1, 1]
    )


def test_fastjet_supplies_what_a_file_lacks(arrays, write):
    keys = [f"{level}_{name}" for level in omnifold.LEVELS for name in omnifold.SUBSTRUCTURE]
    chunk = next(omnifold.read(write(without=keys)))
    for number, level in enumerate(omnifold.LEVELS):
        mass, width, multiplicity, ln_rho, z_g, tau21 = chunk.observables[:, number].T
        public = arrays()
        np.testing.assert_array_equal(multiplicity, public[f"{level}_mults"])
        particles = public[f"{level}_particles"]
        distance = np.hypot(particles[..., 1], particles[..., 2])
        pt = particles[..., 0]
        mean = (pt * distance).sum(axis=1) / pt.sum(axis=1) / OMNIFOLD.jet_radius
        np.testing.assert_allclose(width, mean, rtol=1e-6)
        jet_pt = public[f"{level}_jets"][:, 0]
        # grooming takes mass away; two prongs share more than a tenth
        assert (ln_rho < 2 * np.log(1.0001 * mass / jet_pt)).all()
        assert ((z_g == 0) | ((z_g > 0.1) & (z_g <= 0.5))).all()
        assert ((tau21 >= 0) & (tau21 < 1.5)).all()
        assert tau21[multiplicity == 2] == pytest.approx(0, abs=1e-6)


def test_an_event_that_the_detector_missed_is_kept_without_a_jet(arrays, write):
    public = arrays()
    for key in public:
        if key.startswith("sim"):
            public[key][3] = 0
    keys = [f"sim_{name}" for name in omnifold.SUBSTRUCTURE]
    for without in ((), keys):
        path = write(without=without, **public)
        stored = stored_arrays(next(omnifold.read(path)), OMNIFOLD, path)
        assert stored["reco_multiplicity"][3] == 0
        assert not stored["reco_jets"][3].any()
        assert not stored["reco_subs"][3].any()
        assert stored["gen_multiplicity"][3] > 0
        assert stored["gen_subs"][3].all()
        assert len(stored["pid"]) == 50


def test_an_event_without_any_jet_is_left_out_and_counted(arrays, write, convert):
    public = arrays()
    for key in public:
        public[key][3] = 0
    write(**public)
    write(DATA.format(0), seed=1)
    printed = convert("omnifold")
    assert printed.count("1 without constituents: left out") == 1


def test_a_jet_of_one_constituent_is_finite(arrays, write):
    public = arrays()
    for level in omnifold.LEVELS:
        public[f"{level}_particles"][0] = 0
        public[f"{level}_particles"][0, 0] = [2.3, 0, 0, 0.1]
    keys = [f"{level}_{name}" for level in omnifold.LEVELS for name in omnifold.SUBSTRUCTURE]
    path = write(without=keys, **public)
    stored = stored_arrays(next(omnifold.read(path)), OMNIFOLD, path)
    for level in OMNIFOLD.levels:
        assert stored[f"{level}_multiplicity"][0] == 1
        assert stored[f"{level}_jets"][0, 0] == pytest.approx(230.0)
        assert np.isfinite(stored[level]).all()
        assert np.isfinite(stored[f"{level}_subs"]).all()


def test_of_more_constituents_than_slots_the_hardest_stay_and_all_are_counted(arrays):
    public = arrays(n=2)
    particles = np.zeros((2, 150, 4))
    particles[:, :, 0] = np.random.default_rng(1).permutation(np.linspace(0.01, 0.1, 150))
    stored = prepared(public | {"gen_particles": particles})
    assert stored["gen_multiplicity"].tolist() == [150, 150]
    hardest = np.log(100 * np.linspace(0.1, 0.01, 150)[:101])
    np.testing.assert_allclose(stored["gen"][0, :, 3], hardest, rtol=1e-5, atol=1e-6)
    assert stored["reco"].shape == stored["gen"].shape == (2, 101, 13)


def test_a_rotation_across_the_seam_changes_no_feature(arrays):
    public = arrays()
    turned = public | {"gen_jets": public["gen_jets"] + [0, 0, np.pi, 0]}
    np.testing.assert_allclose(prepared(turned)["gen"], prepared(public)["gen"], atol=1e-5)


def test_chunks_cover_a_file_longer_than_one(arrays, write):
    path = write(**{key: np.concatenate([values] * 90) for key, values in arrays().items()})
    first_rows = [chunk.rows[0] for chunk in omnifold.read(path)]
    assert first_rows == [0, CHUNK_ROWS]
    assert omnifold.count(path) == 4500


def test_the_file_name_gives_the_class(write):
    names = {SIMULATION.format(3): 0, DATA.format(3): 1, "PythiaAlt_Zjet_pTZ-200GeV_0.npz": 1}
    for name, label in names.items():
        assert (next(omnifold.read(write(name))).label == label).all()


def test_files_are_paired_by_number(write, tmp_path):
    for number in (10, 2):
        write(SIMULATION.format(number))
        write(DATA.format(number))
    shards = omnifold.shards(tmp_path / "raw")
    names = [[path.name for path in shard.sources] for shard in shards]
    assert names == [[SIMULATION.format(n), DATA.format(n)] for n in (2, 10)]


def test_a_sample_missing_or_of_two_tunes_is_refused(write, refused):
    write()
    assert "holds no data file (Herwig or PythiaAlt" in refused("omnifold")
    write(DATA.format(0))
    write("Pythia25_Zjet_pTZ-200GeV_0.npz")
    assert "Pythia21 and Pythia25, but the simulation is one" in refused("omnifold")
    write("Sherpa_Zjet_pTZ-200GeV_0.npz")
    assert "GENERATOR one of Pythia21" in refused("omnifold")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sim_jets": np.zeros((50, 3))}, "sim_jets has shape (50, 3), but (events, 4)"),
        ({"gen_particles": np.zeros((50, 4))}, "gen_particles has shape (50, 4)"),
        ({"gen_widths": np.zeros((50, 2))}, "gen_widths has shape (50, 2), but (events,)"),
        ({"gen_widths": np.zeros(49)}, "gen_widths has 49 rows"),
        ({"sim_sdms": np.full(50, np.nan)}, "sim_sdms is not a finite number in event 0"),
        ({"gen_tau2s": np.full(50, 1e30)}, "an observable at gen level is absurd in event 0"),
        ({"gen_jets": np.zeros((50, 4))}, "gen_jets has no pt, but there are particles"),
        ({"sim_particles": np.array([None] * 50)}, "never unpickled"),
    ],
)
def test_wrong_arrays_are_named(write, refused, change, words):
    path = write(**change)
    write(DATA.format(0))
    message = refused("omnifold")
    assert str(path) in message
    assert words in message


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        (0, -0.1, "sim_particles has a negative pt in event 7"),
        (1, 400.0, "impossible momentum in event 7"),
        (3, 0.25, "a code that stands for no PDG id in event 7"),
        (3, 1.4, "a code that stands for no PDG id in event 7"),
        (2, np.nan, "sim_particles is not a finite number in event 7"),
    ],
)
def test_a_wrong_particle_names_its_event(arrays, write, refused, column, value, words):
    public = arrays()
    public["sim_particles"][7, 0, column] = value
    write(**public)
    write(DATA.format(0))
    assert words in refused("omnifold")


def test_a_missing_array_is_named(write, refused):
    write(without=("sim_particles",))
    write(DATA.format(0))
    assert "has no array sim_particles" in refused("omnifold")


def test_megaelectronvolts_are_refused(arrays, write, refused):
    public = arrays()
    for level in omnifold.LEVELS:
        public[f"{level}_particles"][..., 0] *= 1000
    write(**public)
    write(DATA.format(0))
    assert "MeV" in refused("omnifold")


# damaged counts and types make NumPy warn before it fails
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("complete", [True, False])
def test_damaged_files_are_refused_in_a_sentence(arrays, tmp_path, complete):
    public = arrays(n=20)
    if not complete:  # what FastJet has to supply
        public = {k: v for k, v in public.items() if k.partition("_")[2] in ("jets", "particles")}
    path = tmp_path / SIMULATION.format(0)
    np.savez(path, **public)  # a compressed file is refused by its checksums
    assert survives("omnifold", path, tmp_path / "out") > MUTATIONS // 8


def test_weights_of_events_are_kept_and_one_where_a_file_has_none(arrays, write):
    weight = np.random.default_rng(0).normal(size=50)
    chunk = next(omnifold.read(write(weights=weight)))
    np.testing.assert_array_equal(chunk.weight, weight)
    stored = prepared(arrays() | {"weights": weight})
    np.testing.assert_allclose(stored["weight"], weight, rtol=1e-6)
    assert (prepared(arrays())["weight"] == 1).all()
    with pytest.raises(UserError, match=r"weights has shape \(50, 1\), but \(events,\)"):
        omnifold.count(write(weights=weight[:, None]))
    weight[3] = np.nan
    with pytest.raises(UserError, match="weights"):
        next(omnifold.read(write(weights=weight)))


def own_events(seed: int, has_gen: bool) -> dict[str, np.ndarray]:
    """Arrays of 60 events with 12 constituents, as in docs/unfolding.md."""
    rng = np.random.default_rng(seed)
    arrays = {"weight": rng.uniform(-0.5, 2, 60)}
    for level in ("reco", "gen"):
        pt = rng.exponential(20, (60, 12)) * (np.arange(12) < rng.integers(5, 13, (60, 1)))
        eta, phi = rng.normal(0, 0.1, (2, 60, 12))
        momenta = np.stack([pt, eta, phi, np.hypot(pt * np.cosh(eta), 0.13957 * (pt > 0))], axis=-1)
        arrays[f"momenta_{level}"] = momenta
        arrays[f"pdg_id_{level}"] = np.full((60, 12), 211)
        arrays[f"passes_{level}"] = (rng.random(60) < 0.8) & (has_gen or level == "reco")
    return arrays


def test_the_documented_example_writes_events_of_your_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = {"simulation": own_events(1, True), "data": own_events(2, False)}
    for name, arrays in own.items():
        np.savez(f"{name}.npz", **arrays)
    run_example("docs/unfolding.md", "level_columns")
    output_of(python("-m preprocessing omnifold --raw raw --out data --workers 1"))
    stored = in_public_order(tmp_path / "data" / "omnifold")
    for number, arrays in enumerate(own.values()):
        of_sample = stored["pid"] == number
        accepted = arrays["passes_reco"] | arrays["passes_gen"]  # others are left out
        arrays = {name: values[accepted] for name, values in arrays.items()}
        assert of_sample.sum() == accepted.sum() < 60
        np.testing.assert_allclose(stored["weight"][of_sample], arrays["weight"], rtol=1e-6)
        for level in ("reco", "gen"):
            counts = (arrays[f"momenta_{level}"][..., 0] > 0).sum(axis=1)
            expected = np.where(arrays[f"passes_{level}"], counts, 0)
            np.testing.assert_array_equal(stored[f"{level}_multiplicity"][of_sample], expected)
            jet_pt = stored[f"{level}_jets"][of_sample, 0]
            total = to_cartesian(arrays[f"momenta_{level}"]).sum(axis=1)
            expected = np.hypot(total[:, 0], total[:, 1]) * arrays[f"passes_{level}"]
            np.testing.assert_allclose(jet_pt, expected, rtol=1e-5)
