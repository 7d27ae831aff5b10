"""HDF5 files that are open elsewhere, on disks without locks, or compressed in other ways."""

import re
import struct

import h5py
import hdf5plugin
import numpy as np
import pytest
from commands import ROOT, run_program

from omnilearn.errors import UserError
from omnilearn.hdf5 import atomic_file, open_for_reading
from omnilearn.hdf5_sums import attributes

NUMBERS = np.arange(3000.0).reshape(300, 10)


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "jets.h5", "w") as file:
        file["data"] = NUMBERS
    return tmp_path / "jets.h5"


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_file_that_a_notebook_holds_open_is_read_there_and_elsewhere(path, mode):
    program = f"from omnilearn.hdf5 import open_for_reading\nopen_for_reading({str(path)!r})"
    with h5py.File(path, mode):
        with open_for_reading(path) as file:
            np.testing.assert_array_equal(file["data"], NUMBERS)
        assert printed_by(program) == ""


def test_a_file_that_is_read_here_may_be_opened_by_other_programs(path):
    with open_for_reading(path), h5py.File(path) as file:
        np.testing.assert_array_equal(file["data"], NUMBERS)


def printed_by(program: str, **environment) -> str:
    run = run_program(program, **environment)
    return run.stdout + run.stderr


def test_a_lock_that_the_environment_requires_is_reported_as_a_lock(path):
    program = (
        "from omnilearn.hdf5 import open_for_reading\n"
        "from omnilearn.data.catalogue import TOP\n"
        "from preprocessing.jet_file import Provenance, is_complete\n"
        "made = Provenance('', '', 0, [], [])\n"
        "for read in (open_for_reading, lambda p: is_complete(p, made, TOP)):\n"
        f"    try: read({str(path)!r})\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
    )
    with h5py.File(path, "r+"):
        lines = printed_by(program, HDF5_USE_FILE_LOCKING="TRUE").splitlines()
    assert len(lines) == 2
    for line in lines:  # a complete output is not taken for a damaged one and written again
        assert line.startswith(f"UserError {path} is locked: another program has it open")


def test_a_file_that_another_program_is_writing_is_not_called_damaged(tmp_path):
    path = tmp_path / "jets.h5"
    program = f"from omnilearn.hdf5 import open_for_reading\nopen_for_reading({str(path)!r})"
    with h5py.File(path, "w", libver="latest") as file:
        file["data"] = NUMBERS
        file.flush()
        output = printed_by(program)
    assert f"UserError: {path} is being written by another program" in output


def test_a_link_whose_target_is_missing_is_reported_as_one(path):
    link = path.with_name("link.h5")
    link.symlink_to("purged/jets.h5")
    with pytest.raises(UserError, match=r"link\.h5 is a link to purged/jets\.h5, which is gone"):
        open_for_reading(link)


def test_a_damaged_or_missing_file_raises_oserror(path):
    path.write_bytes(path.read_bytes()[:900])
    for broken in (path, path.with_name("none.h5"), path.parent):
        with pytest.raises(OSError, match="Unable to synchronously open file"):
            open_for_reading(broken)


@pytest.mark.parametrize(
    "compression",
    [
        hdf5plugin.Blosc(),
        hdf5plugin.Blosc2(),
        hdf5plugin.BZip2(),
        hdf5plugin.LZ4(),
        hdf5plugin.Zstd(),
        hdf5plugin.Bitshuffle(),
        {"compression": "lzf"},
    ],
    ids=lambda filters: type(filters).__name__,
)
def test_registered_compressions_are_read(path, compression):
    with h5py.File(path, "a") as file:
        file.create_dataset("packed", data=NUMBERS, chunks=(64, 10), **compression)
    program = (
        "from omnilearn.hdf5 import open_for_reading\n"
        f"print(open_for_reading({str(path)!r})['packed'][:].sum())"
    )
    assert printed_by(program).strip() == str(NUMBERS.sum())


def test_a_chunk_may_be_much_larger_than_its_packed_file(path):
    with h5py.File(path, "a") as file:
        shape = {"shape": (1, 200), "maxshape": (None, 200), "chunks": (100_000, 200)}
        file.create_dataset("packed", dtype="f4", **shape, **hdf5plugin.Zstd())[:] = 1.0
    with open_for_reading(path) as file:
        assert (file["packed"][:] == 1.0).all()


def write_with_unknown_filter(path):
    """Write numbers with a compression whose filter code is not registered."""
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=NUMBERS, chunks=(64, 10), **hdf5plugin.BZip2())
    content = path.read_bytes()
    known = re.compile(re.escape(struct.pack("<H", 307)) + rb"(?=.{6,16}bzip2)", re.DOTALL)
    changed, count = known.subn(struct.pack("<H", 31999), content)
    assert count
    path.write_bytes(changed)


def test_a_compression_that_is_not_available_is_named(path):
    write_with_unknown_filter(path)
    with pytest.raises(UserError, match=r"'data' is compressed with HDF5 filter 31999.*ptrepack"):
        open_for_reading(path)


def test_attributes_of_bytes_are_text(path):
    with h5py.File(path, "a") as file:
        file.attrs["dataset"] = np.bytes_("top")
        file.attrs["classes"] = np.array([b"QCD", b"top"])
        file.attrs["features"] = ["eta_rel"]
        file.attrs["seed"] = 3
        values = attributes(file)
    assert (values["dataset"], values["seed"]) == ("top", 3)
    assert (list(values["classes"]), list(values["features"])) == (["QCD", "top"], ["eta_rel"])


def test_a_new_file_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(TypeError), atomic_file(tmp_path / "a.h5") as file:
        file["data"] = object()
    assert not list(tmp_path.iterdir())
    with atomic_file(tmp_path / "a.h5") as file:
        file["data"] = NUMBERS
    with open_for_reading(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["data"], NUMBERS)


def test_a_full_disk_raises_oserror_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("omnilearn.hdf5.Sink.write", failing_write)
    with pytest.raises(OSError, match="full"), atomic_file(tmp_path / "a.h5") as file:
        file["data"] = NUMBERS
    assert not list(tmp_path.iterdir())


def failing_write(sink, data):
    sink.error = OSError(28, "the disk is full")
    return len(data)


def test_no_other_module_opens_hdf5_files():
    folders = ("omnilearn", "preprocessing", "simulation", "benchmarks")
    files = [
        *ROOT.glob("*.py"),
        *(path for name in folders for path in (ROOT / name).rglob("*.py")),
    ]
    opening = [path.name for path in files if re.search(r"h5py\.File[.(]", path.read_text())]
    assert opening == ["hdf5.py"]
