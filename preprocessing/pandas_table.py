"""Reads pandas tables in HDF5, in all layouts, with h5py.

The fixed layout has a dataset per block of columns of one type; the table layout one compound
dataset, in which blocks and single columns (`data_columns`) are fields. pandas and PyTables would
unpickle the attributes of the file, which may run any code.
"""

import pickletools
import re
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from omnilearn.errors import UserError

BLOCK = "values_block"  # prefix of a field of several columns
# pickle opcodes whose argument is the name or number of a column
TEXTS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"}
NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"}
LISTS = {"LIST", "EMPTY_LIST"}
CATEGORIES = re.compile(r"/meta/[^/]+/meta$")  # a table beside another one, of a column's values


@dataclass(frozen=True)
class Block:
    """Columns of one type that are stored together."""

    dataset: h5py.Dataset
    field: str | None  # in a compound dataset
    label: str  # for messages
    dtype: np.dtype
    width: int  # number of columns
    names: list[str]  # of the columns; empty where the file has none
    # values of the stored codes, NaN last; None where the values themselves are stored
    categories: np.ndarray | None = None

    def values(self, rows: np.ndarray) -> np.ndarray:
        """The columns (n, width) of n rows of the dataset."""
        stored = rows if self.field is None else rows[self.field]
        if self.categories is not None:
            stored = self.categories[stored]  # a missing value has the code -1
        return stored.reshape(len(rows), self.width)


@dataclass(frozen=True)
class Table:
    """A pandas frame: blocks of columns in the stored order, and the names of all columns."""

    blocks: list[Block]
    names: list[str] | None  # in the stored order; None if the file has none

    def __len__(self) -> int:
        return len(self.blocks[0].dataset)

    @property
    def width(self) -> int:
        """Number of columns."""
        return sum(block.width for block in self.blocks)

    def read(self, first: int, last: int) -> np.ndarray:
        """Rows first to last in the stored order of columns: (rows, width) float64."""
        table = np.empty((last - first, self.width))
        stop, stored = 0, {}
        for block in self.blocks:
            name = block.dataset.name
            if name not in stored:
                stored[name] = block.dataset[first:last]
            start, stop = stop, stop + block.width
            table[:, start:stop] = block.values(stored[name])
        return table


def bytes_of(attribute: bytes | str) -> bytes:
    """The attribute as bytes, which PyTables writes; other programs may have stored text."""
    return attribute.encode() if isinstance(attribute, str) else bytes(attribute)


def open_table(
    file: h5py.File, path: Path, title: str, key: str | None = None, row: str = "jet"
) -> Table:
    """The only table of the file, or the one under `key`; pandas format 'table' or 'fixed'.

    Raises UserError if it is missing, empty, of unequal columns or not of numbers; `title` is the
    dataset's and `row` the word for a row, for the message.
    """
    group = table_group(file, path, title, key)
    blocks = compound_blocks(group, path) if is_compound(group) else fixed_blocks(group)
    for block in blocks:
        if block.dtype.kind not in "biuf":
            of_block = ", ".join(block.names[:4]) or "without names"
            raise UserError(
                f"{path}: {group.name[1:]}/{block.label} (columns {of_block}) holds {block.dtype} "
                "and no numbers; drop these columns or make them numbers, and write the table again"
            )
    if len({len(block.dataset) for block in blocks}) > 1:
        raise UserError(
            f"{path}: the columns of {group.name[1:]!r} have unequal lengths; download it again"
        )
    if not blocks or any(is_without_rows(block.dataset) for block in blocks):
        raise UserError(f"{path}: the table {group.name[1:]!r} has no {row}s; download it again")
    names = [name for block in blocks for name in block.names]
    table = Table(blocks, names or None)
    if names and len(names) != table.width:
        raise UserError(
            f"{path}: the {table.width} columns of {group.name[1:]!r} have no plain names but "
            f"{', '.join(names[:4])} ...; give each one text or number (not several levels), and "
            "write the table again"
        )
    return table


def compound_blocks(group: h5py.Group, path: Path) -> list[Block]:
    """The blocks of pandas format='table': fields of one dataset."""
    dataset = group["table"]
    blocks = []
    for field in dataset.dtype.names or ():
        kind = bytes_of(dataset.attrs.get(f"{field}_kind", b""))
        if is_index(field, kind):
            continue
        dtype = dataset.dtype[field]
        names = pickled_names(kind) or ([] if field.startswith(BLOCK) else [field])
        categories = stored_categories(group, field, path)
        width = int(np.prod(dtype.shape))
        blocks.append(Block(dataset, field, field, dtype.base, width, names, categories))
    return blocks


def fixed_blocks(group: h5py.Group) -> list[Block]:
    """The blocks of pandas format='fixed', a dataset each; pandas writes no categories there."""
    blocks = []
    for label in sorted(name[: -len("_values")] for name in group if name.endswith("_values")):
        dataset = group[f"{label}_values"]
        width = (*dataset.shape, 0, 0)[1]
        names = stored_names(group[f"{label}_items"][:])
        blocks.append(Block(dataset, None, label, dataset.dtype, width, names))
    return blocks


def is_without_rows(dataset: h5py.Dataset) -> bool:
    """Whether the columns of a dataset are empty; where they are fixed, pandas stores a single
    number and the shape in its place."""
    return len(dataset) == 0 or (dataset.size == 1 and "shape" in dataset.attrs)


def is_compound(group: h5py.Group) -> bool:
    """Whether a group has one compound dataset, and not a fixed table under the key "table"."""
    return isinstance(group.get("table"), h5py.Dataset)


def table_group(file: h5py.File, path: Path, title: str, key: str | None) -> h5py.Group:
    """The group that holds the table; raises UserError if there is none, or more than one."""
    tables = []

    def add_table(name: str, item: h5py.HLObject) -> None:
        is_table = isinstance(item, h5py.Group) and (is_compound(item) or "axis0" in item)
        if is_table and not CATEGORIES.search(name):
            tables.append(name)

    file.visititems(add_table)
    if key in tables or len(tables) == 1:
        return file[key if key in tables else tables[0]]
    problem = "has several pandas tables" if tables else "has no pandas table"
    problem += f", none under the key {key!r}" if tables and key else ""
    raise UserError(
        f"{path} {problem}: {', '.join(tables or file) or 'nothing'}; the public files of {title} "
        "have one"
    )


def stored_categories(group: h5py.Group, field: str, path: Path) -> np.ndarray | None:
    """The values of the codes of a field, then NaN; None for a field that is not categorical.

    Raises UserError for values that are no numbers.
    """
    if bytes_of(group["table"].attrs.get(f"{field}_meta", b"")) != b"category":
        return None
    values = group[f"meta/{field}/meta/table"]["values"]
    if values.dtype.kind not in "biuf":
        raise UserError(
            f"{path}: {group.name[1:]}/{field} holds categories of {values.dtype} and no numbers; "
            "drop that column or make it a number, and write the table again"
        )
    return np.append(values.astype(np.float64), np.nan)


def is_index(name: str, kind: bytes) -> bool:
    """Whether a field of a compound table is the index: its kind is a word like "integer", that of
    columns a pickled list of names."""
    return name == "index" or (bool(kind) and not kind.startswith((b"(", b"\x80")))


def stored_names(items: np.ndarray) -> list[str]:
    """Column names (columns,) of a fixed table: text, numbers, or pickled where they are mixed."""
    if items.dtype.kind == "S":
        return [name.decode() for name in items.tolist()]
    if items.dtype.kind in "iuf":
        return [f"{number:.0f}" for number in items.tolist()]
    return [name for item in items for name in pickled_names(bytes(item))]


def pickled_names(pickled: bytes) -> list[str]:
    """The names in a pickled list: its opcodes are parsed, nothing is unpickled.

    Before the list, an array of NumPy has texts and numbers of its own.
    """
    names: list[str] = []
    for opcode, argument, _ in pickletools.genops(pickled) if pickled else ():
        if opcode.name in LISTS:
            names.clear()
        elif opcode.name in TEXTS | NUMBERS:
            names.append(str(argument))
    return names
