"""ROOT files for tests: one tree of flat and jagged branches."""

from pathlib import Path

import awkward as ak
import uproot


def write_tree(path: Path, tree: str, branches: dict) -> Path:
    """A file with this tree; branches that are None are left out. Returns `path`."""
    branches = {name: values for name, values in branches.items() if values is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    with uproot.recreate(path) as file:
        types = {
            name: v.type.content if isinstance(v, ak.Array) else v.dtype
            for name, v in branches.items()
        }
        file.mktree(tree, types)
        file[tree].extend(branches)
    return path
