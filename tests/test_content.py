"""The digest of an HDF5 file: the same for the same content, another for any damage."""

import h5py
import numpy as np
import pytest

from omnilearn.content import DIGEST, ContentDigest, content, is_as_written
from omnilearn.hdf5 import new_file

JETS = 3000


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "data": rng.normal(size=(JETS, 20, 4)).astype("f4"),
        "jet": rng.normal(size=(JETS, 4)).astype("f4"),
        "pid": (np.arange(JETS) % 2).astype("i1"),
    }


def written(path, arrays, stretch=JETS, digest=True, **options):
    found = ContentDigest()
    with new_file(path) as file:
        for name, array in arrays.items():
            file.create_dataset(
                name, array.shape, array.dtype, chunks=(256, *array.shape[1:]), **options
            )
            for first in range(0, JETS, stretch):
                rows = array[first : first + stretch]
                file[name][first : first + stretch] = rows
                found.add(name, rows)
        file.attrs["classes"] = ["QCD", "top"]
        file.attrs["selection"] = []
        if digest:
            file.attrs[DIGEST] = found.of(file)
    return path


def test_a_file_is_as_written_however_its_rows_came(tmp_path, arrays):
    told = []
    assert is_as_written(written(tmp_path / "one.h5", arrays), told.append)
    assert sum(told) == pytest.approx((tmp_path / "one.h5").stat().st_size, rel=0.01)
    assert is_as_written(written(tmp_path / "two.h5", arrays, stretch=700))
    digests = set()
    for name in ("one", "two"):
        with h5py.File(tmp_path / f"{name}.h5") as file:
            digests.add(file.attrs[DIGEST])
    assert len(digests) == 1


def test_a_file_without_a_digest_is_not_known_to_be_as_written(tmp_path, arrays):
    assert not is_as_written(written(tmp_path / "one.h5", arrays, digest=False))
    (tmp_path / "no.h5").write_bytes(b"no HDF5")
    assert not is_as_written(tmp_path / "no.h5")
    assert not is_as_written(tmp_path / "absent.h5")


@pytest.mark.parametrize("compressed", [{}, {"compression": "gzip"}])
def test_a_flipped_bit_in_any_array_is_noticed(tmp_path, arrays, compressed):
    path = written(tmp_path / "one.h5", arrays, **compressed)
    whole = path.read_bytes()
    with h5py.File(path) as file:
        places = [
            file[name].id.get_chunk_info(number).byte_offset + 40
            for name in arrays
            for number in (0, 7, 11)
        ]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        assert not is_as_written(path), place
    path.write_bytes(whole)
    assert is_as_written(path)


def test_another_name_of_a_class_is_noticed(tmp_path, arrays):
    path = written(tmp_path / "one.h5", arrays)
    path.write_bytes(path.read_bytes().replace(b"QCD", b"QCE"))
    assert not is_as_written(path)


@pytest.mark.parametrize("digest", [True, False])
def test_labels_flipped_in_place_are_another_content(tmp_path, arrays, digest):
    path = written(tmp_path / "one.h5", arrays, digest=digest)
    before = content(path)
    copy = tmp_path / "moved" / "other_name.h5"
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    assert content(copy) == before
    with h5py.File(path, "r+") as file:
        file["pid"][1234] = 1 - file["pid"][1234]
    assert content(path) != before
