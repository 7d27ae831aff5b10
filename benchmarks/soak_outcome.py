"""Comparison of the files that two runs of a command left, bit for bit."""

import json
from pathlib import Path

import h5py
import numpy as np

from omnilearn.errors import UserError
from omnilearn.hdf5 import open_for_reading

# JSON keys that are not compared: durations, and checksums of content with durations
TIMING_KEYS = {"seconds", "jets_per_second", "digest"}
# files that are not compared: a checkpoint that the soak damaged, and times of raw files
NOT_COMPARED = {"damaged.h5", "sources.json"}


def contents(path: Path) -> dict[str, bytes]:
    """What is compared of a file: arrays of HDF5 by name, JSON by line, bytes of other files."""
    if path.suffix == ".h5":
        arrays = {}

        def add(name: str, item) -> None:
            if isinstance(item, h5py.Dataset):
                value = item[()]
                if name == "record":
                    arrays[name] = json_bytes(value)
                elif item.dtype.kind == "O":
                    arrays[name] = repr(value).encode()
                else:
                    arrays[name] = np.asarray(value).tobytes()

        try:
            with open_for_reading(path) as file:
                file.visititems(add)
        except (OSError, UserError, RuntimeError) as error:
            return {f"cannot be read: {error}": path.read_bytes()}
        return arrays
    if path.suffix in (".json", ".jsonl"):
        text = path.read_text()
        lines = [text] if path.suffix == ".json" else text.splitlines()
        return {str(index): json_bytes(line) for index, line in enumerate(lines)}
    return {"": path.read_bytes()}


def json_bytes(text: str | bytes) -> bytes:
    """JSON as bytes to compare."""
    return repr(without_timing(json.loads(text))).encode()


def without_timing(value):
    """Parsed JSON without TIMING_KEYS."""
    if isinstance(value, dict):
        return {key: without_timing(item) for key, item in value.items() if key not in TIMING_KEYS}
    return [without_timing(item) for item in value] if isinstance(value, list) else value


def differences(expected: Path, actual: Path) -> list[str]:
    """Files that are in one folder only, and "file: array" of those whose contents differ."""
    expected_files, actual_files = (
        {
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if path.is_file() and path.name not in NOT_COMPARED
        }
        for folder in (expected, actual)
    )
    names = list(expected_files ^ actual_files)
    for file in expected_files & actual_files:
        first, second = contents(expected / file), contents(actual / file)
        keys = first.keys() | second.keys()
        names += [f"{file}: {key}" for key in keys if first.get(key) != second.get(key)]
    return sorted(names)
