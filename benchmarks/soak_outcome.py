"""What a command leaves in its folder, compared number by number with what another left."""

import json
import random
from pathlib import Path

import h5py
import numpy as np

from omnilearn.errors import UserError
from omnilearn.hdf5 import open_for_reading

# of what a clock says, and of sums over it, nothing is compared
CLOCKS = {"seconds", "jets_per_second", "digest"}
# a checkpoint that the soak itself has damaged; times and places of public files
NOT_COMPARED = {"damaged.h5", "sources.json"}


def numbers_of(path: Path) -> dict[str, bytes]:
    """All that is compared of a file, by name: arrays of HDF5, values of JSON, bytes of others."""
    if path.suffix == ".h5":
        found = {}

        def add(name: str, item) -> None:
            if isinstance(item, h5py.Dataset):
                value = item[()]
                if name == "record":
                    found[name] = repr(without_clocks(json.loads(value))).encode()
                elif item.dtype.kind == "O":
                    found[name] = repr(value).encode()
                else:
                    found[name] = np.asarray(value).tobytes()

        try:
            with open_for_reading(path) as file:
                file.visititems(add)
        except (OSError, UserError, RuntimeError) as error:
            return {f"cannot be read: {error}": path.read_bytes()}
        return found
    if path.suffix in (".json", ".jsonl"):
        lines = [path.read_text()] if path.suffix == ".json" else path.read_text().splitlines()
        return {
            str(n): repr(without_clocks(json.loads(one))).encode() for n, one in enumerate(lines)
        }
    return {"": path.read_bytes()}


def without_clocks(value):
    """Plain JSON without what CLOCKS names."""
    if isinstance(value, dict):
        return {key: without_clocks(one) for key, one in value.items() if key not in CLOCKS}
    return [without_clocks(one) for one in value] if isinstance(value, list) else value


def differing(one: Path, other: Path) -> list[str]:
    """Names of files that are not in both folders, or not with the same numbers; leftovers too.

    Of an HDF5 file the arrays are named that differ.
    """
    files = [
        {
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if path.is_file() and path.name not in NOT_COMPARED
        }
        for folder in (one, other)
    ]
    wrong = list(files[0] ^ files[1])
    for name in files[0] & files[1]:
        first, second = numbers_of(one / name), numbers_of(other / name)
        keys = first.keys() | second.keys()
        wrong += [f"{name}: {key}" for key in keys if first.get(key) != second.get(key)]
    return sorted(wrong)


def damage(path: Path, rng: random.Random) -> None:
    """Cut the file short, or flip one of its bits."""
    content = bytearray(path.read_bytes())
    place = rng.randrange(len(content))
    if rng.random() < 0.5:
        del content[place:]
    else:
        content[place] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
