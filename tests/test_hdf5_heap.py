"""Heaps of texts in files of others are read if intact and refused if they cannot be read."""

import struct

import h5py
import numpy as np
import pytest

from omnilearn.errors import UserError
from omnilearn.hdf5 import atomic_file, stored_file
from omnilearn.hdf5_heap import BUFFER_BYTES, SIGNATURE, has_heap_texts, offsets_of

FIRST = 16  # bytes of a heap before its first object, and of an object before its text


def file_with_texts(path) -> bytes:
    with h5py.File(path, "w") as file:
        file["jets"] = np.arange(4.0)
        file["jets"].attrs["cols"] = np.array(["pt", "eta"], object)
    return path.read_bytes()


def free_space(content: bytes, heap: int) -> int:
    """The offset of the object of free space, which has index 0."""
    offset = heap + FIRST
    while index := struct.unpack_from("<H", content, offset)[0]:
        assert index < 10
        offset += FIRST + (struct.unpack_from("<Q", content, offset + 8)[0] + 7) // 8 * 8
    return offset


def names_in(path) -> list[str]:
    with stored_file(path, "jets", "download it again") as file:
        return list(file["jets"].attrs["cols"])


def test_an_intact_heap_is_read(tmp_path):
    file_with_texts(tmp_path / "a.h5")
    assert names_in(tmp_path / "a.h5") == ["pt", "eta"]


@pytest.mark.parametrize(
    ("of", "size"),
    [
        *(("free space", size) for size in (0, 8, 2**40, 2**64 - 1)),
        *(("the first text", size) for size in (2**40, 2**64 - 1)),
    ],
)
def test_objects_that_do_not_fill_their_heap_are_refused(tmp_path, of, size):
    content = file_with_texts(tmp_path / "a.h5")
    heap = content.find(SIGNATURE)
    offset = free_space(content, heap) if of == "free space" else heap + FIRST
    damaged = bytearray(content)
    struct.pack_into("<Q", damaged, offset + 8, size)
    (tmp_path / "a.h5").write_bytes(damaged)
    with pytest.raises(UserError, match=rf"heap of texts at byte {heap} .*; download it again"):
        names_in(tmp_path / "a.h5")


def test_texts_of_our_files_are_read_from_their_copy(tmp_path):
    """HDF5 does not read the heap of such a file, so its damage does not matter."""
    with atomic_file(tmp_path / "a.h5") as file:
        file["jets"] = np.arange(4.0)
        file.attrs["classes"] = "QCD, top"
    content = bytearray((tmp_path / "a.h5").read_bytes())
    struct.pack_into("<Q", content, free_space(content, content.find(SIGNATURE)) + 8, 0)
    (tmp_path / "a.h5").write_bytes(content)
    with stored_file(tmp_path / "a.h5", "jets", "make it again") as file:
        assert file["jets"][2] == 2


def test_only_texts_of_variable_length_are_in_a_heap(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["jets"] = np.arange(4.0)
        file.attrs["fixed"] = np.bytes_("pt")
        assert not has_heap_texts(file)
        file["names"] = ["pt", "eta"]
        assert has_heap_texts(file)


def test_a_pattern_across_two_buffers_is_found(tmp_path):
    content = bytearray(2 * BUFFER_BYTES + 5)
    offsets = [0, BUFFER_BYTES - 3, 2 * BUFFER_BYTES - 3]
    for offset in offsets:
        content[offset : offset + 8] = SIGNATURE
    (tmp_path / "a").write_bytes(content)
    with open(tmp_path / "a", "rb") as file:
        assert list(offsets_of(SIGNATURE, file)) == offsets
