"""A small file of each public data set, made by `python -m simulation`, and its reader."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

import h5py

from benchmarks.fuzz_files import FileAndReader
from benchmarks.scripts import ROOT
from omnilearn.errors import UserError
from omnilearn.hdf5 import new_file, open_for_reading
from omnilearn.hdf5_sums import attributes


def simulated(reader: str, flags: str, pattern: str, folder: Path) -> FileAndReader:
    """The first file of a simulated sample that matches `pattern`, and its reader; `reader` is the
    name of a module of preprocessing."""
    module = import_module(f"preprocessing.{reader}")
    command = [sys.executable, "-m", "simulation", *flags.split(), "--seed", "0", "--workers", "1"]
    process = subprocess.run(
        [*command, "--out", folder / "raw"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if process.returncode:
        raise UserError(f"python -m simulation {flags} failed: {process.stderr[-500:]}")
    path = min((folder / "raw").rglob(pattern))
    if h5py.is_hdf5(path):
        remove_checksums(path)
    return path, lambda path: list(module.read(path))


def remove_checksums(path: Path) -> None:
    """Rewrite an HDF5 file without checksums, which public files do not have."""
    plain = path.with_suffix(".plain")
    with open_for_reading(path) as summed, new_file(plain, summed=False) as public:

        def add(name: str, item: h5py.HLObject) -> None:
            if isinstance(item, h5py.Dataset):
                filters = {"compression": "gzip"} if item.chunks else {}
                public.create_dataset(name, data=item[()], **filters)
            else:
                public.require_group(name)
            public[name].attrs.update(attributes(item))

        summed.visititems(add)
        public.attrs.update(attributes(summed))
    plain.replace(path)


SIMULATED: dict[str, Callable[[Path], FileAndReader]] = {
    name: partial(simulated, reader, flags, pattern)
    for name, reader, flags, pattern in (
        ("cms: MOD HDF5", "cms", "cms --jets 80", "*.h5"),
        ("h1: ROOT", "h1", "h1 --jets 60", "*.root"),
        ("lhco: HDF5 table", "lhco", "lhco --jets 20", "*.h5"),
        ("omnifold: npz", "omnifold", "omnifold --jets 20", "*.npz"),
        ("aspen: HDF5", "aspen", "aspen --jets 60", "*.h5"),
        ("atlas: HDF5", "atlas", "atlas --jets 60 --test-jets 0", "*.h5"),
        ("jetnet150: HDF5", "jetnet150", "jetnet150 --jets 50", "*.hdf5"),
        ("PFNano: ROOT", "pfnano", "aspen --events 20", "*.root"),
        ("top: simulated", "top", "top --jets 60 --val-jets 0 --test-jets 0", "*.h5"),
        ("qg: simulated", "qg", "qg --jets 60", "*.npz"),
    )
}
