"""Rows of npz archives, without the whole array in memory and without a pickle."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from flipped_bits import flip_bit

from omnilearn.errors import UserError
from preprocessing.jet_chunk import CHUNK_ROWS
from preprocessing.npz_stream import open_npz

TITLE = "Toy"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_chunks_in_sequence_are_the_arrays(tmp_path, save):
    rng = np.random.default_rng(1)
    rows = 2 * CHUNK_ROWS + 7
    arrays = {"a": rng.random((rows, 3, 2)), "b": rng.integers(0, 9, rows), "c": rng.random(3)}
    save(tmp_path / "file.npz", **arrays)
    with open_npz(tmp_path / "file.npz", ("a", "b"), TITLE) as file:
        assert file.shapes == {"a": (rows, 3, 2), "b": (rows,)}
        chunks = list(file.chunks())
    assert [first for first, _ in chunks] == [0, CHUNK_ROWS, 2 * CHUNK_ROWS]
    for key in ("a", "b"):
        values = np.concatenate([chunk[key] for _, chunk in chunks])
        np.testing.assert_array_equal(values, arrays[key])
        assert values.dtype == arrays[key].dtype


@pytest.mark.parametrize("dtype", [">f8", "<f4", "i1", "?"])
def test_every_number_type_and_byte_order_is_read(tmp_path, dtype):
    values = np.arange(12).astype(dtype)
    np.savez(tmp_path / "file.npz", a=values)
    with open_npz(tmp_path / "file.npz", ("a",), TITLE) as file:
        np.testing.assert_array_equal(file.read(5)["a"], values[:5])
        np.testing.assert_array_equal(file.read(100)["a"], values[5:])


def test_memory_does_not_grow_with_the_length_of_the_file(tmp_path):
    peaks = []
    for rows in (2 * CHUNK_ROWS, 20 * CHUNK_ROWS):
        np.savez_compressed(tmp_path / "file.npz", a=np.zeros((rows, 50)))
        tracemalloc.start()
        with open_npz(tmp_path / "file.npz", ("a",), TITLE) as file:
            for _, chunk in file.chunks():
                assert not chunk["a"].any()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"b": np.zeros(3)}, "has no array a but b; is this a file of Toy"),
        ({"a": np.array([{}, None])}, "a holds object and no plain numbers"),
        ({"a": np.array(["quark", "gluon"])}, "a holds <U5 and no plain numbers"),
        ({"a": np.zeros((3, 4), order="F")}, "a is not stored row by row"),
        ({"a": np.float64(1.0)}, "a is not stored row by row"),
        ({"a": np.zeros((0, 4))}, "holds no jets"),
    ],
)
def test_an_archive_of_another_layout_is_refused_in_a_sentence(tmp_path, arrays, message):
    np.savez(tmp_path / "file.npz", **arrays)
    with pytest.raises(UserError, match=message), open_npz(tmp_path / "file.npz", ("a",), TITLE):
        pass


def test_arrays_of_unequal_lengths_are_refused(tmp_path):
    np.savez(tmp_path / "file.npz", a=np.zeros((3, 4)), b=np.zeros(2))
    with (
        pytest.raises(UserError, match="b has 2 rows, but a has 3"),
        open_npz(tmp_path / "file.npz", ("a", "b"), TITLE),
    ):
        pass


@pytest.mark.parametrize("shape", [(31,), (10**15,), (3, 10**12)])
def test_a_header_with_more_data_than_the_file_is_refused(tmp_path, shape):
    member = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(member, header)
    member.write(np.zeros(30).tobytes())
    with zipfile.ZipFile(tmp_path / "file.npz", "w") as archive:
        archive.writestr("a.npy", member.getvalue())
    with (
        pytest.raises(UserError, match="claims shape"),
        open_npz(tmp_path / "file.npz", ("a",), TITLE),
    ):
        pass


def test_a_changed_byte_is_noticed_at_the_end_of_the_array(tmp_path):
    path = tmp_path / "file.npz"
    np.savez(path, a=np.arange(1000.0))
    flip_bit(path, 4000)
    with pytest.raises(UserError, match="Bad CRC-32"), open_npz(path, ("a",), TITLE) as file:
        file.read(1000)


@pytest.mark.parametrize("kept", [10, 0.5, 0.99])
def test_a_truncated_archive_is_refused_in_a_sentence(tmp_path, kept):
    path = tmp_path / "file.npz"
    np.savez(path, a=np.arange(1000.0))
    content = path.read_bytes()
    path.write_bytes(content[: kept if kept > 1 else int(kept * len(content))])
    with (
        pytest.raises(UserError, match="truncated or damaged"),
        open_npz(path, ("a",), TITLE) as file,
    ):
        file.read(1000)
