"""The digest of an HDF5 file depends on its content alone, and any damage changes it."""

import h5py
import numpy as np
import pytest
from flipped_bits import flip_bit

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


def written(path, arrays, buffer=JETS, digest=True, **options):
    content_digest = ContentDigest()
    with new_file(path) as file:
        for name, array in arrays.items():
            file.create_dataset(
                name, array.shape, array.dtype, chunks=(256, *array.shape[1:]), **options
            )
            for first in range(0, JETS, buffer):
                rows = array[first : first + buffer]
                file[name][first : first + buffer] = rows
                content_digest.add(name, rows)
        file.attrs["classes"] = ["QCD", "top"]
        file.attrs["selection"] = []
        if digest:
            file.attrs[DIGEST] = content_digest.of(file)
    return path


def test_the_digest_does_not_depend_on_how_many_rows_are_written_at_once(tmp_path, arrays):
    sizes = []
    assert is_as_written(written(tmp_path / "one.h5", arrays), sizes.append)
    assert sum(sizes) == pytest.approx((tmp_path / "one.h5").stat().st_size, rel=0.01)
    assert is_as_written(written(tmp_path / "two.h5", arrays, buffer=700))
    digests = set()
    for name in ("one", "two"):
        with h5py.File(tmp_path / f"{name}.h5") as file:
            digests.add(file.attrs[DIGEST])
    assert len(digests) == 1


def test_a_file_without_a_digest_does_not_count_as_written(tmp_path, arrays):
    assert not is_as_written(written(tmp_path / "one.h5", arrays, digest=False))
    (tmp_path / "no.h5").write_bytes(b"no HDF5")
    assert not is_as_written(tmp_path / "no.h5")
    assert not is_as_written(tmp_path / "absent.h5")


@pytest.mark.parametrize("compressed", [{}, {"compression": "gzip"}])
def test_a_flipped_bit_in_any_array_is_noticed(tmp_path, arrays, compressed):
    path = written(tmp_path / "one.h5", arrays, **compressed)
    with h5py.File(path) as file:
        offsets = [
            file[name].id.get_chunk_info(chunk).byte_offset + 40
            for name in arrays
            for chunk in (0, 7, 11)
        ]
    for offset in offsets:
        flip_bit(path, offset, bit=2)
        assert not is_as_written(path), offset
        flip_bit(path, offset, bit=2)
    assert is_as_written(path)


def test_a_changed_class_name_is_noticed(tmp_path, arrays):
    path = written(tmp_path / "one.h5", arrays)
    path.write_bytes(path.read_bytes().replace(b"QCD", b"QCE"))
    assert not is_as_written(path)


@pytest.mark.parametrize("digest", [True, False])
def test_labels_flipped_in_place_change_the_content_digest(tmp_path, arrays, digest):
    path = written(tmp_path / "one.h5", arrays, digest=digest)
    before = content(path)
    copy = tmp_path / "moved" / "other_name.h5"
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    assert content(copy) == before
    with h5py.File(path, "r+") as file:
        file["pid"][1234] = 1 - file["pid"][1234]
    assert content(path) != before
