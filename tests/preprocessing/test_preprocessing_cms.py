"""The MOD files of CMS: columns by name, corrected jets, weights, counts of rejected jets."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from damaged_files import MUTATIONS, survives
from public_order import in_public_order

from omnilearn.hdf5_sums import attributes
from omnilearn.kinematics import to_rapidity
from preprocessing import cms
from preprocessing.jet_chunk import CHUNK_ROWS

NAME = "SIM470_Jet300_pT375-infGeV_{}_compressed.h5"
PARTONS = (21, 1, -2, 3, 0, 4, -5, 21)
COLUMN = {key: {name: i for i, name in enumerate(names)} for key, names in cms.COLUMNS.items()}


@pytest.fixture
def arrays(toy_jets):
    """make(n, seed): the four arrays of n jets; the first ones have the partons PARTONS."""

    def make(n: int = 50, seed: int = 0) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        momenta, counts, jets = toy_jets(n, seed, jet_pt=600.0)
        particles = np.zeros((len(momenta), 6))
        particles[:, :4] = to_rapidity(momenta)
        particles[:, 4] = rng.choice((211, -211, 22, 130, 11, -13, 0, 1, 2), len(momenta))
        jets_i, jets_f = np.zeros((n, 7), np.int64), np.full((n, 17), -1.0)
        jets_i[:, 6] = np.resize(PARTONS, n)
        momentum = to_rapidity(jets)
        for name, values in zip(("jet_pt", "jet_y", "jet_phi", "jet_m"), momentum.T, strict=True):
            jets_f[:, COLUMN["jets_f"][name]] = values
        jets_f[:, COLUMN["jets_f"]["jet_eta"]] = jets[:, 1]
        jets_f[:, COLUMN["jets_f"]["jec"]] = rng.uniform(1.0, 1.1, n)
        jets_f[:, COLUMN["jets_f"]["weight"]] = rng.uniform(1e-8, 1e-6, n)
        index = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)
        return {"jets_i": jets_i, "jets_f": jets_f, "pfcs": particles, "pfcs_index": index}

    return make


@pytest.fixture
def write(arrays, tmp_path):
    """write(number, names, **arrays that replace the toy's): a file in tmp_path / raw."""

    def write(number: int = 0, names=cms.COLUMNS, seed: int = 0, **replace) -> Path:
        path = tmp_path / "raw" / NAME.format(number)
        path.parent.mkdir(exist_ok=True)
        with h5py.File(path, "w") as file:
            for key, values in (arrays(seed=seed) | replace).items():
                if values is not None:
                    file.create_dataset(key, data=values, compression="gzip", compression_opts=1)
                    if key in names:
                        file[key].attrs["cols"] = np.array(names[key], "S")
        return path

    return write


def test_light_quarks_and_gluons_stay_and_the_others_are_counted(write, arrays, convert, tmp_path):
    write()
    printed = convert("cms")
    assert "6 of no parton: left out; 12 of charm or beauty: left out" in printed
    jets = in_public_order(tmp_path / "cms")
    parton = arrays()["jets_i"][:, 6]
    kept = np.isin(np.abs(parton), (1, 2, 3, 21))
    np.testing.assert_array_equal(jets["source"][:, 1], np.flatnonzero(kept))
    np.testing.assert_array_equal(jets["pid"], np.abs(parton[kept]) < 4)
    with h5py.File(tmp_path / "cms/train/cms_train_000.h5") as file:
        assert list(attributes(file)["rejected"]) == ["of no parton: 6", "of charm or beauty: 12"]


def test_jets_are_corrected_and_keep_their_weight_and_pseudorapidity(
    write, arrays, convert, tmp_path
):
    write()
    convert("cms")
    jets = in_public_order(tmp_path / "cms")
    public = arrays()["jets_f"][jets["source"][:, 1]]
    pt, mass, eta, jec, weight = (
        public[:, COLUMN["jets_f"][name]]
        for name in ("jet_pt", "jet_m", "jet_eta", "jec", "weight")
    )
    np.testing.assert_allclose(jets["jet"][:, 0], jec * pt, rtol=1e-6)
    np.testing.assert_allclose(jets["jet"][:, 1], eta, rtol=1e-6)
    np.testing.assert_allclose(jets["jet"][:, 2], jec * mass, rtol=1e-4)
    np.testing.assert_allclose(jets["weight"], weight, rtol=1e-6)


def test_particles_below_one_gev_are_left_out_and_not_counted(write, arrays, convert, tmp_path):
    write()
    convert("cms")
    jets, public = in_public_order(tmp_path / "cms"), arrays()
    edges = public["pfcs_index"].astype(int)
    for row, jet in enumerate(jets["source"][:, 1]):
        pt = public["pfcs"][edges[jet] : edges[jet + 1], 0]
        pt = np.sort(pt[pt >= 1])[::-1]
        assert jets["multiplicity"][row] == len(pt)
        np.testing.assert_allclose(jets["data"][row, : len(pt), 3], np.log(pt), atol=1e-6)
    assert (public["pfcs"][:, 0] < 1).any()


@pytest.mark.parametrize("where", ["array", "file", "nowhere"])
def test_columns_are_found_by_name_wherever_the_names_are(write, arrays, where):
    public = arrays()
    expected = next(cms.read(write()))
    names = dict(cms.COLUMNS)
    if where != "nowhere":
        for key in names:
            order = np.random.default_rng(3).permutation(len(names[key]))
            names[key] = [names[key][place] for place in order]
            public[key] = public[key][:, order]
    path = write(1, names if where == "array" else {}, **public)
    if where == "file":
        with h5py.File(path, "r+") as file:
            for key, columns in names.items():
                file.attrs[f"{key}_cols"] = columns
    chunk = next(cms.read(path))
    for name in ("constituents", "counts", "jet", "label", "rows", "identity", "weight"):
        np.testing.assert_array_equal(getattr(chunk, name), getattr(expected, name))


def test_float32_columns_are_computed_in_float64(arrays, write):
    single = arrays()["jets_f"].astype("f4")
    (expected,) = cms.read(write(jets_f=single.astype("f8")))
    (jets,) = cms.read(write(jets_f=single))
    np.testing.assert_array_equal(jets.jet, expected.jet)


def test_chunks_cover_a_file_longer_than_one(arrays, write):
    public, times = arrays(), CHUNK_ROWS // 50 + 2
    counts = np.tile(np.diff(public["pfcs_index"]), times)
    tables = {key: np.tile(public[key], (times, 1)) for key in ("jets_i", "jets_f", "pfcs")}
    path = write(pfcs_index=np.concatenate([[0], np.cumsum(counts)]), **tables)
    chunks = list(cms.read(path))
    assert len(chunks) == 2
    assert cms.count(path) == 50 * times
    first = next(cms.read(write(1)))
    label = np.concatenate([chunk.label for chunk in chunks])
    np.testing.assert_array_equal(label, np.tile(first.label, times))
    pt = np.concatenate([chunk.constituents[:, 0] for chunk in chunks])
    np.testing.assert_array_equal(pt, np.tile(first.constituents[:, 0], times))


def test_every_output_takes_from_every_slice_and_splits_share_no_row(write, convert, tmp_path):
    for number in range(2):
        write(number, seed=number)
    (tmp_path / "raw/SIM1800").mkdir()
    write(2, seed=2).rename(tmp_path / "raw/SIM1800" / NAME.format(0).replace("470", "1800"))
    convert("cms")
    rows = set()
    for path in (tmp_path / "cms").rglob("*.h5"):
        with h5py.File(path) as file:
            sources = [Path(name).name[:8] for name in attributes(file)["sources"]]
            assert sources in (["SIM470_J", "SIM1800_"], ["SIM470_J"])
            names = attributes(file)["sources"]
            new_rows = {(names[index], row) for index, row in file["source"][:]}
        assert not rows & new_rows
        rows |= new_rows
    assert len(rows) == 50 * 3 - 3 * 18
    assert len(list((tmp_path / "cms/train").glob("*.h5"))) == 2


def test_a_slice_with_another_name_is_not_left_out_in_silence(write, refused):
    path = write(0)
    path = path.rename(path.with_name("SIM470 (1).h5"))
    assert f"{path} has no public name, and its jets would be left out" in refused("cms")


def test_slices_behind_linked_folders_are_found(write, tmp_path):
    write(0).parent.rename(tmp_path / "disk")
    raw = write(1, seed=1).parent
    (raw / "SIM470").symlink_to(tmp_path / "disk")
    (raw / "SIM470/back").symlink_to(raw)  # a circle of links
    sources = [shard.sources for shard in cms.shards(raw)]
    assert sources == [(raw / "SIM470" / NAME.format(0),), (raw / NAME.format(1),)]


def test_the_same_public_file_twice_is_refused_by_its_name(write, refused, tmp_path):
    path = write(0)
    (tmp_path / "raw/more").mkdir()
    shutil.copy(path, tmp_path / "raw/more" / path.name)
    message = refused("cms")
    assert "are the same public file twice (slice 470, number 0)" in message


@pytest.mark.parametrize("rows", [50, 30])
def test_a_repacked_copy_of_another_name_is_refused_by_its_jets(write, arrays, refused, rows):
    path = write(0)
    public = arrays()
    last = public["pfcs_index"][rows]
    repacked = {
        "jets_i": public["jets_i"][:rows].astype(np.int32),
        "jets_f": public["jets_f"][:rows].astype(np.float32),
        "pfcs": public["pfcs"][:last].astype(np.float32),
        "pfcs_index": public["pfcs_index"][: rows + 1],
    }
    copy = write(7, **repacked)
    write(3, seed=3)
    assert copy.stat().st_size != path.stat().st_size
    message = refused("cms")
    assert f"{path} and {copy} hold the same jets" in message


def test_a_copy_of_a_file_of_an_earlier_run_is_refused(write, preprocess, tmp_path):
    path = write(0)
    arguments = ("cms", "--raw", path.parent, "--out", tmp_path, "--workers", 1)
    assert preprocess(*arguments)[0] == 0
    write(5)
    status, printed, message = preprocess(*arguments)
    assert status == 2
    assert "kept" in printed
    assert "hold the same jets" in message


def test_jets_without_hard_particles_are_counted_and_single_ones_kept(
    write, arrays, convert, tmp_path
):
    public = arrays()
    edges = public["pfcs_index"].astype(int)
    public["pfcs"][edges[0] : edges[1], 0] = 0.5
    public["pfcs"][edges[1] + 1 : edges[2], 0] = 0.5
    write(**public)
    printed = convert("cms")
    assert "1 without constituents: left out" in printed
    jets = in_public_order(tmp_path / "cms")
    assert jets["source"][0, 1] == 1
    assert jets["multiplicity"][0] == 1
    assert np.isfinite(jets["data"]).all()


def test_a_file_of_no_kept_jet_is_refused_with_the_reasons(write, arrays, refused):
    public = arrays()
    public["jets_i"][:, 6] = 0
    write(**public)
    assert "none of 50 rows is left; 50 of no parton: left out" in refused("cms")


@pytest.mark.parametrize(
    ("key", "row", "column", "value", "message"),
    [
        ("jets_f", 7, "jet_eta", np.nan, "jets_f/jet_eta is not a finite number in jet 7"),
        ("jets_f", 7, "weight", np.inf, "jets_f/weight is not a finite number in jet 7"),
        ("pfcs", 0, "phi", np.nan, "pfcs/phi is not a finite number in jet 0"),
        ("pfcs", 0, "pid", 6.5, "pfcs/pid holds the particle 6.5"),
        ("jets_f", 7, "jec", -1.0, "jet 7 (counted from 0) has an impossible jet pt"),
        ("jets_i", 9, "hard_pid", 23, "hard_pid is 23 in jet 9"),
    ],
)
def test_an_impossible_number_names_file_key_and_jet(
    write, arrays, refused, key, row, column, value, message
):
    public = arrays()
    public[key][row, COLUMN[key][column]] = value
    path = write(**public)
    assert f"{path}: {message}" in refused("cms")


@pytest.mark.parametrize(("factor", "hint"), [(1000.0, "MeV"), (0.001, "TeV")])
def test_other_units_are_refused(write, arrays, refused, factor, hint):
    public = arrays()
    public["jets_f"][:, :5] *= factor
    public["pfcs"][:, [0, 3]] *= factor
    write(**public)
    assert hint in refused("cms")


@pytest.mark.parametrize(
    "index", [np.arange(51) * -1, np.full(51, 10**6), np.arange(51)[::-1], np.zeros(51) + np.nan]
)
def test_an_index_that_does_not_fit_the_particles_is_refused(write, refused, index):
    write(pfcs_index=index)
    assert "pfcs_index does not fit the particles" in refused("cms")


def test_missing_arrays_and_columns_are_named(write, arrays, refused):
    public = arrays()
    for key in public:
        write(**{key: None})
        assert f"has no array {key} but" in refused("cms")
    write(jets_f=public["jets_f"][:, :-1])
    assert "jets_f has 16 columns, but those of" in refused("cms")
    recorded = {**cms.COLUMNS, "jets_i": cms.COLUMNS["jets_i"][:-1]}
    write(names=recorded, jets_i=public["jets_i"][:, :-1])
    assert "jets_i has no column hard_pid" in refused("cms")
    write(jets_f=public["jets_f"][:-1])
    assert "do not belong together" in refused("cms")
    write(pfcs_index=public["pfcs_index"][:-1])
    assert "do not belong together" in refused("cms")
    write(pfcs=public["pfcs"][:, 0])
    assert "it must be a table" in refused("cms")


def test_folders_of_recorded_jets_and_empty_or_truncated_files_are_refused(
    write, refused, tmp_path
):
    raw = tmp_path / "raw"
    path = write()
    path.write_bytes(path.read_bytes()[:-1000])
    assert "truncated or damaged" in refused("cms")
    path.write_bytes(b"")
    assert "is empty (0 bytes)" in refused("cms")
    path.rename(raw / "CMS_Jet300_pT375-infGeV_0_compressed.h5")
    assert "recorded and generated files lack the parton" in refused("cms")


def test_the_355_public_files_are_named():
    names = [file.name for file in cms.REMOTE]
    assert len(set(names)) == 355
    assert names[0] == "SIM170_Jet300_pT375-infGeV_0_compressed.h5"
    assert all(cms.FILE_NAME.fullmatch(name) for name in names)


@pytest.mark.filterwarnings("ignore")  # damaged counts and types make NumPy warn before it fails
def test_damaged_files_are_refused_in_a_sentence(write, tmp_path):
    assert survives("cms", write(), tmp_path / "out") > MUTATIONS // 4
