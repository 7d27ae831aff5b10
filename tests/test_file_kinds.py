"""What stands in place of a file of weights is named, with what helps, and nothing is unpickled."""

import bz2
import gzip
import io
import lzma
import os
import zipfile

import h5py
import numpy as np
import pytest
from safetensors.numpy import save

from omnilearn.errors import UserError
from omnilearn.file_kinds import problem_of, recognised
from omnilearn.hdf5 import stored_file

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 24530304\n"


def zipped(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in names:
            file.writestr(name, "")
    return content.getvalue()


def npz() -> bytes:
    content = io.BytesIO()
    np.savez(content, weight=np.zeros(3))
    return content.getvalue()


CONTENT = {
    b"": ("empty", "truncated or damaged"),
    LFS: ("a pointer of Git LFS", "git lfs pull"),
    b"<!DOCTYPE html>\n<html><head></head></html>": ("a web page", "download the file itself"),
    b"\n  <HTML><body>Sign in</body></HTML>": ("a web page", "download the file itself"),
    gzip.compress(b"weights"): ("compressed with gzip", "gzip -dc '{path}' > NEW"),
    bz2.compress(b"weights"): ("compressed with bzip2", "bzip2 -dc '{path}' > NEW"),
    lzma.compress(b"weights"): ("compressed with xz", "xz -dc '{path}' > NEW"),
    b"\x80\x04N.": ("a pickle of Python, which is never opened", "docs/tokens.md"),
    zipped("last/data.pkl", "last/version"): ("a checkpoint of torch", "docs/tokens.md"),
    zipped("config.json", "model.weights.h5"): (
        "a whole Keras model in a zip file",
        "unzip '{path}' model.weights.h5",
    ),
    zipped("notes.txt"): ("a zip file", "unzip '{path}'"),
    zipped(): ("a zip file without content", "write it again"),
    npz(): ("an npz file", "--published-weights"),
    npz()[:60]: ("a truncated or damaged zip file", "download or write it again"),
    save({"weight": np.zeros(3)}): ("a safetensors file", "--published-weights"),
    b'{"weight_map": {}}': ("JSON text", "give the run directory that it is in"),
    b'model_checkpoint_path: "ck-1"': ("part of a TensorFlow checkpoint", "weights in HDF5"),
    b"\x00\x00\x06\x08\x01\x1a\x02\x08\x01": ("part of a TensorFlow checkpoint", "weights.h5"),
    b"\x08\x01\x12\x99:\n": ("a SavedModel of TensorFlow", "weights in HDF5"),
    b"\x08\x08\x12\x07tf2onnx": ("an ONNX model", "the run or the checkpoint"),
    b"root\x00\x00\xf7": ("a ROOT file", "python -m preprocessing"),
}


@pytest.mark.parametrize(
    ("content", "kind", "helps"),
    [(content, *words) for content, words in CONTENT.items()],
    ids=range(len(CONTENT)),
)
def test_another_kind_of_file_is_named_with_what_helps(tmp_path, content, kind, helps):
    path = tmp_path / "my weights.h5"
    path.write_bytes(content)
    assert recognised(path)[0].startswith(kind)
    with pytest.raises(UserError) as refused, stored_file(path, "a checkpoint", "repair it"):
        pass
    assert f"{path} is {kind}" in str(refused.value)
    assert "; expected a checkpoint; " in str(refused.value)
    assert helps.format(path=path) in str(refused.value)


def test_a_damaged_hdf5_file_keeps_the_advice_of_its_reader(tmp_path):
    path = tmp_path / "best.h5"
    with h5py.File(path, "w") as file:
        file["weight"] = np.zeros(1000)
    for content in (path.read_bytes()[:900], b"no jets here"):
        path.write_bytes(content)
        with (
            pytest.raises(UserError, match=r"best\.h5 cannot be read as a checkpoint .*; mend it"),
            stored_file(path, "a checkpoint", "mend it"),
        ):
            pass


def test_a_path_without_a_file_is_described(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    assert problem_of(tmp_path / "file") == ""
    assert problem_of(tmp_path / "missing") == problem_of(tmp_path / "file" / "x") == "not found"
    assert problem_of(tmp_path) == "is a folder and no file"
    assert problem_of(tmp_path / "link") == f"is a link to {tmp_path}/gone, which is gone"
    assert "Too many levels of symbolic links" in problem_of(tmp_path / "loop")
    assert "File name too long" in problem_of(tmp_path / ("x" * 300))
    assert problem_of(tmp_path / "pipe") == "is a device or pipe and no file"
    assert problem_of("a\0b") == "is no path (embedded null byte)"


def test_what_may_not_be_read_is_no_missing_file(tmp_path, monkeypatch):
    def denied(path, *mode):
        raise PermissionError(13, "Permission denied", path)

    path = tmp_path / "best.h5"
    path.write_text("")
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", denied)
        assert problem_of(path) == "cannot be opened (Permission denied)"
    monkeypatch.setattr(os, "stat", denied)
    assert problem_of(path) == "cannot be opened (Permission denied)"
