"""An HDF5 file is read only if all of it is in the file: it cannot show what lies elsewhere."""

from pathlib import Path

import h5py

from omnilearn.errors import UserError


def insist_on_own_content(file: h5py.File, path: Path) -> None:
    """Raise UserError naming the first key of an open file that points to another file."""

    def look(name: str, link) -> str | None:
        if isinstance(link, h5py.ExternalLink):
            return f"{name!r} is a link to {link.filename}"
        if isinstance(link, h5py.HardLink):
            item = file[name]
            if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                return f"the numbers of {name!r} lie in other files"
        return None

    found = file.visititems_links(look)
    if found:
        raise UserError(f"{path}: {found}; such a file is not read, copy the content into one file")
