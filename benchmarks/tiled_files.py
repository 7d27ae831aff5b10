"""Long files in public layouts, made by repeating the rows of short ones."""

from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import uproot

from omnilearn.hdf5 import new_file, open_for_reading

WITHOUT_ROWS = ("axis0", "items")  # names of columns in a pandas file
CHUNK_BYTES = 2**18
ROOT_COPIES = 16  # written at a time to a ROOT file
WRITE_BYTES = 2**26  # written at a time to an HDF5 dataset


def tile(source: Path, target: Path, copies: int) -> None:
    """Write `source` with all its rows repeated; a ROOT, npz or HDF5 file (of pandas or h5py)."""
    target.parent.mkdir(parents=True, exist_ok=True)
    kinds = {".root": tile_root, ".npz": tile_npz, ".h5": tile_hdf5, ".hdf5": tile_hdf5}
    kinds[source.suffix](source, target, copies)


def tile_npz(source: Path, target: Path, copies: int) -> None:
    """Every array of the archive, repeated along axis 0."""
    with np.load(source, allow_pickle=False) as arrays:
        repeated = {name: np.concatenate([arrays[name]] * copies) for name in arrays.files}
    np.savez_compressed(target, **repeated)


def tile_root(source: Path, target: Path, copies: int) -> None:
    """Every tree; uproot adds a counter for each jagged branch, so the old ones are left out."""
    with uproot.open(source) as file, uproot.recreate(target, compression=uproot.ZLIB(4)) as out:
        for name in file.keys(cycle=False, filter_classname="TTree"):
            arrays = file[name].arrays()
            branches = {key: arrays[key] for key in arrays.fields}
            jagged = {key for key, values in branches.items() if values.ndim > 1}
            counters = {
                key
                for key in branches
                if key[:1] == "n"
                and key not in jagged
                and any(branch.startswith(key[1:]) for branch in jagged)
            }
            copied = {key: values for key, values in branches.items() if key not in counters}
            tree = out.mktree(name, {key: values.type.content for key, values in copied.items()})
            for first in range(0, copies, ROOT_COPIES):
                count = min(ROOT_COPIES, copies - first)
                tree.extend(
                    {key: ak.concatenate([values] * count) for key, values in copied.items()}
                )


def tile_hdf5(source: Path, target: Path, copies: int) -> None:
    """Every dataset, repeated along axis 0; running indices are continued, attributes copied."""
    with open_for_reading(source) as file, new_file(target) as out:
        out.attrs.update(file.attrs)

        def copy(name: str, item: h5py.HLObject) -> None:
            if isinstance(item, h5py.Group):
                out.require_group(name).attrs.update(item.attrs)
                return
            values = item[:]
            if name.endswith(WITHOUT_ROWS):
                new = out.create_dataset(name, data=values)
            elif name.endswith("_index"):  # the first row of each jet, and the end
                steps = np.tile(np.diff(values), copies)
                new = out.create_dataset(name, data=np.append(0, steps.cumsum()).astype("u4"))
            else:
                new = repeated(out, name, values, copies)
            new.attrs.update(item.attrs)

        file.visititems(copy)


def repeated(out: h5py.File, name: str, values: np.ndarray, copies: int) -> h5py.Dataset:
    """A compressed dataset of `values` (rows, ...), repeated along axis 0."""
    rows = len(values)
    row_bytes = max(1, values.nbytes // max(1, rows))
    chunk = max(1, min(rows * copies, CHUNK_BYTES // row_bytes))
    new = out.create_dataset(
        name,
        (rows * copies, *values.shape[1:]),
        values.dtype,
        chunks=(chunk, *values.shape[1:]),
        compression="gzip",
        compression_opts=1,
    )
    at_once = max(1, min(copies, WRITE_BYTES // max(1, values.nbytes)))
    for first in range(0, copies, at_once):
        count = min(at_once, copies - first)
        new[first * rows : (first + count) * rows] = np.concatenate([values] * count)
    return new
