"""The quark and gluon arrays: phi across the seam, splits by row, wrong files refused."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from damaged_files import MUTATIONS, survives
from flat_files import padded
from golden import stored_arrays
from public_order import in_public_order

from omnilearn.data.catalogue import QG
from omnilearn.hdf5_sums import attributes
from omnilearn.kinematics import to_rapidity
from preprocessing import qg
from preprocessing.identity import masses
from preprocessing.jet_chunk import CHUNK_ROWS

IDS = (211, -211, 22, 130, 321, -321, 2112, -2112, 2212, -2212, 11, -11, 13, -13)


@pytest.fixture
def arrays(toy_jets):
    """make(n, seed, slots): X (n, slots, 4), unordered as the public one, and y (n,)."""

    def make(n: int = 50, seed: int = 0, slots: int = 60) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        momenta, counts, _ = toy_jets(n, seed, jet_pt=525.0)
        pdg_id = rng.choice(IDS, len(momenta))
        mass = masses(pdg_id, Path("toy"), "X")
        momenta[:, 3] = np.hypot(momenta[:, 0] * np.cosh(momenta[:, 1]), mass)
        particles = to_rapidity(momenta)
        particles[:, 3] = pdg_id
        order = np.lexsort((rng.random(len(momenta)), np.repeat(np.arange(n), counts)))
        return padded(particles[order], counts, slots), rng.integers(0, 2, n)

    return make


@pytest.fixture
def write(arrays, tmp_path):
    """write(name, x, y): a file in tmp_path / raw."""

    def write(name: str = "QG_jets.npz", x=None, y=None, seed: int = 0) -> Path:
        toy_x, toy_y = arrays(seed=seed)
        (tmp_path / "raw").mkdir(exist_ok=True)
        path = tmp_path / "raw" / name
        np.savez_compressed(path, X=toy_x if x is None else x, y=toy_y if y is None else y)
        return path

    return write


def test_splits_are_disjoint_shares_of_every_file_and_depend_on_the_seed(write, convert, tmp_path):
    write("QG_jets.npz", seed=1)
    write("QG_jets_1.npz", seed=2)
    rows_of_seeds = []
    for seed in (0, 1):
        out = tmp_path / str(seed)
        convert("qg", "--out", out, "--seed", seed)
        rows = {}
        for split in ("train", "val", "test"):
            rows[split] = set()
            for path in (out / "qg" / split).glob("*.h5"):
                with h5py.File(path) as file:
                    names = attributes(file)["sources"]
                    rows[split] |= {(names[source], row) for source, row in file["source"][:]}
        assert sum(map(len, rows.values())) == len(set().union(*rows.values())) == 100
        assert len(rows["train"]) > 60
        rows_of_seeds.append(rows)
    assert rows_of_seeds[0] != rows_of_seeds[1]


def test_a_rotation_across_the_seam_changes_no_feature(arrays):
    x, y = arrays()
    turned = x.copy()
    turned[..., 2] += np.where(x[..., 0] > 0, np.pi - 0.05, 0)  # beyond pi: not folded back
    features = [
        stored_arrays(qg.chunk(particles, y, Path("toy"), 0), QG, Path("toy"))["data"]
        for particles in (x, turned)
    ]
    np.testing.assert_allclose(features[1], features[0], atol=1e-5)


def test_a_jet_of_one_constituent_is_kept_and_an_empty_one_counted(
    write, arrays, convert, tmp_path
):
    x, _ = arrays()
    x[3, 1:], x[3, 0, 0] = 0, 525.0
    x[4] = 0
    write(x=x)
    printed = convert("qg")
    assert "1 without constituents: left out" in printed
    jets = in_public_order(tmp_path / "qg")
    np.testing.assert_array_equal(jets["source"][:, 1], np.delete(np.arange(50), 4))
    assert jets["multiplicity"][3] == 1
    assert np.isfinite(jets["data"]).all()


def test_chunks_cover_a_file_longer_than_one(arrays, write):
    x, y = arrays(n=100, slots=40)
    times = CHUNK_ROWS // 100 + 2
    path = write(x=np.tile(x, (times, 1, 1)), y=np.tile(y, times))
    chunks = list(qg.read(path))
    assert [chunk.rows[0] for chunk in chunks] == [0, CHUNK_ROWS]
    labels = np.concatenate([chunk.label for chunk in chunks])
    np.testing.assert_array_equal(labels, np.tile(y, times))
    assert qg.count(path) == len(labels)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((7, 0, 1), np.nan, "X is not a finite number in jet 7"),
        ((7, 0, 2), np.inf, "X is not a finite number in jet 7"),
        ((7, 0, 0), -1.0, "X has a pt below 0 in jet 7"),
        ((7, 0, 3), 6.0, "X holds the particle 6, which is no PDG id"),
        ((7, 0, 1), 1e200, "jet 7 (counted from 0) has an impossible"),
    ],
)
def test_an_impossible_number_names_file_and_jet(arrays, write, refused, place, value, message):
    x, _ = arrays()
    x[place] = value
    path = write(x=x)
    assert f"error: {path}: {message}" in refused("qg")


@pytest.mark.parametrize("label", [2, -1, 0.5])
def test_a_label_other_than_quark_and_gluon_is_refused(arrays, write, refused, label):
    _, y = arrays()
    y = y.astype(float)
    y[9] = label
    write(y=y)
    assert f"y is {label:g} in jet 9" in refused("qg")


def test_wrong_shapes_and_missing_keys_are_refused(arrays, write, refused, tmp_path):
    x, y = arrays()
    raw = tmp_path / "raw"
    write(x=x[..., :3])
    assert "X has shape (50, 60, 3), but files of Quark/Gluon have jets x slots x 4" in refused(
        "qg"
    )
    write(y=np.eye(2)[y])
    assert "y has shape (50, 2)" in refused("qg")
    write(y=y[:-1])
    assert "y has 49 rows, but X has 50" in refused("qg")
    write(x=np.array([None] * 50))
    assert "never unpickled" in refused("qg")
    np.savez(raw / "QG_jets.npz", jets=x, y=y)
    assert "has no array X but jets, y" in refused("qg")


def test_empty_and_truncated_files_and_folders_are_refused(write, refused, tmp_path):
    (tmp_path / "raw").mkdir()
    assert "holds no QG_jets*.npz" in refused("qg")
    path = write()
    path.write_bytes(path.read_bytes()[:-1000])
    assert "truncated or damaged" in refused("qg")
    path.write_bytes(b"")
    assert "is empty (0 bytes)" in refused("qg")


def test_files_of_two_generators_are_not_mixed(write, refused):
    write("QG_jets_3.npz")
    write("QG_jets_herwig_3.npz")
    assert "would be mixed" in refused("qg")


def test_a_copy_with_another_name_is_not_left_out_in_silence(write, refused):
    write()
    path = write("QG_jets_3 (1).npz")
    assert f"{path} has no public name, and its jets would be left out" in refused("qg")


def test_public_files_are_numbered_and_hashed(tmp_path):
    names = [file.name for file in qg.REMOTE]
    assert names[:2] + names[-1:] == ["QG_jets.npz", "QG_jets_1.npz", "QG_jets_19.npz"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    assert [shard.sources[0].name for shard in qg.shards(tmp_path)] == names
    assert all(file.checksum.startswith("md5:") for file in qg.REMOTE)


@pytest.mark.filterwarnings("ignore")  # damaged headers make NumPy warn before it fails
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_files_are_refused_in_a_sentence(arrays, tmp_path, save):
    x, y = arrays(n=20)
    (tmp_path / "raw").mkdir()
    path = tmp_path / "raw/QG_jets.npz"
    save(path, X=x, y=y)
    assert survives("qg", path, tmp_path / "out") > MUTATIONS // 2
