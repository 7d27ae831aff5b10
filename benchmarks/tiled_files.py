"""Public files made long by repeating their rows: as large as wanted, with jets of real lengths."""

from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import uproot

from omnilearn.hdf5 import new_file, open_for_reading

WHOLE = ("axis0", "items")  # names of columns in a pandas file, which have no rows
CHUNK_BYTES = 2**18
PIECE = 16  # copies written at a time to a ROOT file


def tile(source: Path, target: Path, copies: int) -> None:
    """Write `source` with all its rows repeated; ROOT, npz, or HDF5 as pandas or h5py write it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    kinds = {".root": tile_root, ".npz": tile_npz, ".h5": tile_hdf5, ".hdf5": tile_hdf5}
    kinds[source.suffix](source, target, copies)


def tile_npz(source: Path, target: Path, copies: int) -> None:
    """Every array of the archive, repeated along axis 0."""
    with np.load(source, allow_pickle=False) as arrays:
        repeated = {
            name: np.tile(arrays[name], (copies, *[1] * (arrays[name].ndim - 1)))
            for name in arrays.files
        }
    np.savez_compressed(target, **repeated)


def tile_root(source: Path, target: Path, copies: int) -> None:
    """Every tree, with a counter of its own for each branch of several entries."""
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
                and any(other.startswith(key[1:]) for other in jagged)
            }
            kept = {
                key: values if key in jagged else ak.to_numpy(values)
                for key, values in branches.items()
                if key not in counters
            }
            types = {
                key: values.type.content if key in jagged else values.dtype
                for key, values in kept.items()
            }
            tree = out.mktree(name, types)
            for first in range(0, copies, PIECE):
                number = min(PIECE, copies - first)
                tree.extend(
                    {
                        key: ak.concatenate([values] * number)
                        if key in jagged
                        else np.tile(values, number)
                        for key, values in kept.items()
                    }
                )


def tile_hdf5(source: Path, target: Path, copies: int) -> None:
    """Every dataset, repeated along axis 0; running indices go on; attributes are kept."""
    with open_for_reading(source) as file, new_file(target) as out:
        out.attrs.update(file.attrs)

        def copy(name: str, item: h5py.HLObject) -> None:
            if isinstance(item, h5py.Group):
                out.require_group(name).attrs.update(item.attrs)
                return
            values = item[:]
            if name.endswith(WHOLE):
                new = out.create_dataset(name, data=values)
            elif name.endswith("_index"):  # where the rows of each jet begin, and the end
                steps = np.tile(np.diff(values), copies)
                new = out.create_dataset(name, data=np.append(0, steps.cumsum()).astype("u4"))
            else:
                new = repeated(out, name, values, copies)
            new.attrs.update(item.attrs)

        file.visititems(copy)


def repeated(out: h5py.File, name: str, values: np.ndarray, copies: int) -> h5py.Dataset:
    """A compressed dataset of `values` (rows, ...), repeated along axis 0."""
    number = len(values)
    row_bytes = max(1, values.nbytes // max(1, number))
    chunk = max(1, min(number * copies, CHUNK_BYTES // row_bytes))
    new = out.create_dataset(
        name,
        (number * copies, *values.shape[1:]),
        values.dtype,
        chunks=(chunk, *values.shape[1:]),
        compression="gzip",
        compression_opts=1,
    )
    together = max(1, min(copies, 2**26 // max(1, values.nbytes)))
    for first in range(0, copies, together):
        some = min(together, copies - first)
        piece = np.tile(values, (some, *[1] * (values.ndim - 1)))
        new[first * number : first * number + len(piece)] = piece
    return new
