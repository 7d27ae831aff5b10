"""What lies at a path where a file of another kind was expected, by its type and first bytes.

Weights of others come from web pages, repositories and mail, where the file may be replaced by a
page, a pointer or an archive. Nothing is unpacked or unpickled here.
"""

import errno
import os
import re
import shlex
import stat
import zipfile
from pathlib import Path

from omnilearn.errors import broken_link

HDF5, NPZ, SAFETENSORS = "an HDF5 file", "an npz file", "a safetensors file"
ROOT, GZIP, TAR = "a ROOT file", "compressed with gzip", "a tar archive"
ZIP, DAMAGED_ZIP = "a zip file", "a truncated or damaged zip file"
PICKLED = "which is never opened because it can run any code"
CONVERT = "docs/tokens.md says how to write the arrays of a token model to an npz file"
PUBLISHED = "token models start from one with --published-weights or --tokeniser"
UNPACK = "unpack it with: {} -dc {{path}} > NEW"
HDF5_WEIGHTS = "give the weights in HDF5, as model.save_weights('NAME.weights.h5') writes them"
FIRST_BYTES = 512
# pattern of the first bytes -> what the file is, and what helps whatever was expected
KINDS_OF_ANY: dict[bytes, tuple[str, str]] = {
    rb"$": ("empty", "it is truncated or damaged: download or copy it again"),
    rb"version https://git-lfs": (
        "a pointer of Git LFS, which stands for the file",
        "get the file itself with: git lfs pull",
    ),
    rb"\s*<(!doctype html|html|head|!--|\?xml)": (
        "a web page",
        "download the file itself; the page, opened in a browser, may say why it was sent",
    ),
    rb"\x1f\x8b": (GZIP, UNPACK.format("gzip")),
    rb"BZh\d": ("compressed with bzip2", UNPACK.format("bzip2")),
    rb"\xfd7zXZ\x00": ("compressed with xz", UNPACK.format("xz")),
    rb"\x28\xb5\x2f\xfd": ("compressed with zstd", UNPACK.format("zstd")),
    rb".{257}ustar": (TAR, "unpack it with: tar -xf {path}"),
}
# the same where weights were expected
KINDS: dict[bytes, tuple[str, str]] = {
    **KINDS_OF_ANY,
    rb"\x89HDF\r\n\x1a\n": (
        HDF5,
        "--backbone takes checkpoints of this suite, --released-weights files of the released "
        "OmniLearn",
    ),
    rb"\x80[\x02-\x05]": (f"a pickle of Python, {PICKLED}", CONVERT),
    rb".{4}\x00{4}\{": (SAFETENSORS, PUBLISHED),
    rb"\s*\{": (
        "JSON text",
        "give the run directory that it is in, or the file with the numbers themselves",
    ),
    rb"\x93NUMPY": ("an npy file, which has one array without a name", CONVERT),
    rb"model_checkpoint_path:|\x00{2}.\x08.\x1a\x02": (
        "part of a TensorFlow checkpoint",
        HDF5_WEIGHTS,
    ),
    rb"\x08\x01\x12": ("a SavedModel of TensorFlow", HDF5_WEIGHTS),
    rb"\x08[\x03-\x14][\x12:]": (
        "an ONNX model",
        "give the run or the checkpoint that it was exported from",
    ),
    rb"root": (ROOT, "jets in ROOT files are read by: python -m preprocessing"),
}
# end of the name of a file within a zip file -> what the zip file is, and what helps
ZIP_KINDS = {
    "data.pkl": (f"a checkpoint of torch with a pickle, {PICKLED}", CONVERT),
    "model.weights.h5": (
        "a whole Keras model in a zip file",
        "if it is of the released OmniLearn, take its weights out with: "
        "unzip {path} model.weights.h5, and start from them with --released-weights",
    ),
    ".npy": (NPZ, PUBLISHED),
}


def problem_of(path: Path | str) -> str:
    """Why no file can be read at `path`, in words that follow it; empty where there is one."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            with open(path, "rb"):
                return ""
    except ValueError as error:
        return f"is no path ({error})"
    except OSError as error:
        if error.errno == errno.ENOENT and (link := broken_link(path)):
            return f"is {link}"
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return "not found"
        return f"cannot be opened ({error.strerror})"
    return f"is a {'folder' if stat.S_ISDIR(mode) else 'device or pipe'} and no file"


def recognised(path: Path | str) -> tuple[str, str]:
    """What the file is, in words, and what helps; both empty where its first bytes do not tell."""
    try:
        with open(path, "rb") as file:
            first = file.read(FIRST_BYTES)
    except OSError:
        return "", ""
    if first.startswith(b"PK"):
        kind, helps = kind_of_zip(path)
    else:
        kind, helps = next(
            (
                words
                for pattern, words in KINDS.items()
                if re.match(pattern, first, re.DOTALL | re.IGNORECASE)
            ),
            ("", ""),
        )
    return kind, helps.format(path=shlex.quote(str(path)))


def of_another_kind(path: Path | str, remedy: str, *expected: str) -> str:
    """What a file of jets is in place of the `expected` kinds, and what helps; empty for a damaged
    one, or where nothing is expected.

    Servers send pages in place of files, repositories their pointers.
    """
    found, helps = recognised(path)
    if not expected or found in ("", DAMAGED_ZIP, *expected):
        return ""
    of_any_file = {ZIP, *(kind for kind, _ in KINDS_OF_ANY.values())}
    return f"{found}; expected {expected[0]}; {helps if found in of_any_file else remedy}"


def kind_of_zip(path: Path | str) -> tuple[str, str]:
    """What a zip file is by the names in it, and what helps."""
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return DAMAGED_ZIP, "download or write it again"
    for end, kind in ZIP_KINDS.items():
        if any(name.endswith(end) for name in names):
            return kind
    return (
        (ZIP, "unpack it with: unzip {path}")
        if names
        else ("a zip file without content", "write it again")
    )
