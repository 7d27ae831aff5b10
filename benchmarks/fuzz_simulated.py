"""A small file of each public data set, as `python -m simulation` makes it, and its reader."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

import h5py

from benchmarks.fuzz_files import Made
from omnilearn.errors import UserError
from omnilearn.hdf5 import new_file, open_for_reading
from omnilearn.hdf5_sums import attributes

ROOT = Path(__file__).parents[1]


def simulated(reader: str, flags: str, pattern: str, folder: Path) -> Made:
    """The first file of a sample that fits `pattern`; `reader` is a module of preprocessing."""
    module = import_module(f"preprocessing.{reader}")
    command = [sys.executable, "-m", "simulation", *flags.split(), "--seed", "0", "--workers", "1"]
    done = subprocess.run(
        [*command, "--out", folder / "raw"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UserError(f"python -m simulation {flags} failed: {done.stderr[-500:]}")
    path = min((folder / "raw").rglob(pattern))
    if h5py.is_hdf5(path):
        leave_out_sums(path)
    return path, lambda path: list(module.read(path))


def leave_out_sums(path: Path) -> None:
    """Write an HDF5 file of ours again as public ones are: no sum tells a damaged byte."""
    plain = path.with_suffix(".plain")
    with open_for_reading(path) as ours, new_file(plain, summed=False) as public:

        def add(name: str, item: h5py.HLObject) -> None:
            if isinstance(item, h5py.Dataset):
                filters = {"compression": "gzip"} if item.chunks else {}
                public.create_dataset(name, data=item[()], **filters)
            else:
                public.require_group(name)
            public[name].attrs.update(attributes(item))

        ours.visititems(add)
        public.attrs.update(attributes(ours))
    plain.replace(path)


SIMULATED: dict[str, Callable[[Path], Made]] = {
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
