"""Tables that pandas keeps in HDF5, in all of its layouts, read with h5py alone.

The fixed layout has a dataset per block of columns of one type; the table layout one compound
dataset, in which blocks and single columns (`data_columns`) are fields.

pandas and PyTables would unpickle the attributes of the file, and run what they say.
"""

import pickletools
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from omnilearn.errors import UserError

BLOCK = "values_block"  # begins the name of a field of several columns
# the words of the pickle language that are a column's name, or its number
NAME_OPCODES = {
    "UNICODE",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
}


@dataclass
class Table:
    """A pandas frame: blocks of columns, one behind the other, and the columns' names."""

    blocks: list[tuple[h5py.Dataset, str | None]]  # dataset, and its field in a compound table
    widths: list[int]  # columns of each block
    names: list[str] | None  # of all columns as they are stored; None if the file has none

    def __len__(self) -> int:
        return len(self.blocks[0][0])

    @property
    def width(self) -> int:
        """Columns of all blocks."""
        return sum(self.widths)

    def read(self, first: int, last: int) -> np.ndarray:
        """Rows first to last of all columns as they are stored: (rows, width) float64."""
        table = np.empty((last - first, self.width))
        stop, stored = 0, {}
        for (dataset, name), width in zip(self.blocks, self.widths, strict=True):
            if dataset.name not in stored:
                stored[dataset.name] = dataset[first:last]
            block = stored[dataset.name] if name is None else stored[dataset.name][name]
            start, stop = stop, stop + width
            table[:, start:stop] = block.reshape(len(block), width)
        return table


def bytes_of(attribute: bytes | str) -> bytes:
    """PyTables writes text as bytes; a file that another program copied may hold it as text."""
    return attribute.encode() if isinstance(attribute, str) else bytes(attribute)


def open_table(file: h5py.File, path: Path, title: str, key: str | None = None) -> Table:
    """The only table of the file, or the one under `key`; pandas format 'table' or 'fixed'.

    Raises UserError, calling the files `title`, if it is missing, empty, of unequal columns or of
    something else than numbers.
    """
    group = table_group(file, path, title, key)
    if "table" in group:  # pandas format='table': one compound dataset
        dataset = group["table"]
        kinds = {
            name: bytes_of(dataset.attrs.get(f"{name}_kind", b""))
            for name in dataset.dtype.names or ()
        }
        fields = [name for name, kind in kinds.items() if not is_index(name, kind)]
        blocks = [(dataset, name) for name in fields]
        types = [dataset.dtype[name].base for name in fields]
        widths = [int(np.prod(dataset.dtype[name].shape)) for name in fields]
        names = [
            pickled_names(kinds[name]) or ([] if name.startswith(BLOCK) else [name])
            for name in fields
        ]
    else:  # pandas format='fixed': one dataset per block
        fields = sorted(name[: -len("_values")] for name in group if name.endswith("_values"))
        blocks = [(group[f"{name}_values"], None) for name in fields]
        types = [dataset.dtype for dataset, _ in blocks]
        widths = [(*dataset.shape, 0, 0)[1] for dataset, _ in blocks]
        names = [stored_names(group[f"{name}_items"][:]) for name in fields]
    for name, kind in zip(fields, types, strict=True):
        if kind.kind not in "biuf":
            raise UserError(
                f"{path}: {group.name[1:]}/{name} holds {kind} and no numbers; drop that column or "
                "make it a number, and write the table again"
            )
    if len({len(dataset) for dataset, _ in blocks}) > 1:
        raise UserError(
            f"{path}: the columns of {group.name[1:]!r} have unequal lengths; download it again"
        )
    if not blocks or len(blocks[0][0]) == 0:
        raise UserError(f"{path} holds no jets; download it again")
    known = [name for block in names for name in block]
    return Table(blocks, widths, known if len(known) == sum(widths) else None)


def table_group(file: h5py.File, path: Path, title: str, key: str | None) -> h5py.Group:
    """The group that holds the table; raises UserError if there is none, or more than one."""
    tables = []

    def look(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Group) and ("table" in item or "axis0" in item):
            tables.append(name)

    file.visititems(look)
    if key in tables or len(tables) == 1:
        return file[key if key in tables else tables[0]]
    wanted = "has several pandas tables" if tables else "has no pandas table"
    wanted += f", none under the key {key!r}" if tables and key else ""
    raise UserError(
        f"{path} {wanted}: {', '.join(tables or file) or 'nothing'}; the public files of {title} "
        "have one"
    )


def is_index(name: str, kind: bytes) -> bool:
    """Whether a field of a compound table numbers its rows: pandas says integer or the like of it,
    of columns a pickled list of their names."""
    return name == "index" or (bool(kind) and not kind.startswith((b"(", b"\x80")))


def stored_names(items: np.ndarray) -> list[str]:
    """Column names (columns,) of a fixed table: text, numbers, or pickled where they are mixed."""
    if items.dtype.kind == "S":
        return [name.decode() for name in items.tolist()]
    if items.dtype.kind in "iuf":
        return [f"{number:.0f}" for number in items.tolist()]
    return [name for one in items for name in pickled_names(bytes(one))]


def pickled_names(pickled: bytes) -> list[str]:
    """The names in a pickled list: its words are looked at, nothing is ever built from them."""
    if not pickled:
        return []
    return [
        str(argument)
        for opcode, argument, _ in pickletools.genops(pickled)
        if opcode.name in NAME_OPCODES
    ]
