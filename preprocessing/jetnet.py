"""JetNet (R. Kansal et al., arXiv:2106.11535): HDF5 files of one class each, relative constituents.

A constituent is eta_rel, phi_rel, pt_rel and a mask; it is massless. The jet's phi is not stored
and taken as 0. The jet's eta is a pseudorapidity and its energy follows from pt, eta and mass.
`jetnet30` and `jetnet150` differ in the number of slots and in the names of the files.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from omnilearn.data.layout import class_files
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from preprocessing.flat_hdf5 import Column, open_columns
from preprocessing.jet_chunk import CHUNK_ROWS, JetChunk
from preprocessing.sources import (
    Shard,
    named,
    other_files_in,
    public_name,
    refuse_row,
    require_files,
    require_finite,
)


def file_names(spec: DatasetSpec) -> dict[str, str]:
    """Public file name -> class: g.hdf5 or g150.hdf5."""
    return {file: name for name, file in class_files(spec).items()}


def shards(raw: Path, spec: DatasetSpec) -> list[Shard]:
    """One output file per split, which contains all classes."""
    names = file_names(spec)
    paths = tuple(named(raw, *names))
    if not paths:
        raise UserError(
            f"{raw} holds none of {', '.join(names)} but {other_files_in(raw)}; get them from "
            f"{spec.source}"
        )
    require_files(list(paths))
    return [Shard(spec.splits, 0, paths)]


def layout(spec: DatasetSpec) -> dict[str, Column]:
    """The columns of a public file."""
    return {
        "constituents": Column(("particle_features",), (spec.max_constituents, 4)),
        "jets": Column(("jet_features",), (4,)),
    }


def count(path: Path, spec: DatasetSpec) -> int:
    """Jets in the file."""
    with open_columns(path, layout(spec), spec.title) as columns:
        return columns.rows


def read(path: Path, spec: DatasetSpec, chunk_rows: int = CHUNK_ROWS) -> Iterator[JetChunk]:
    """The jets of one file, `chunk_rows` rows at a time; their class is that of the file name.

    Raises UserError on numbers that are not finite, masks other than 0 and 1, negative pt_rel and
    a file whose name is of no class.
    """
    name = file_names(spec).get(public_name(path))
    if name is None:
        raise UserError(
            f"{path}: the file name gives the class of {spec.title} and must be one of "
            f"{', '.join(file_names(spec))}"
        )
    label = spec.class_names.index(name)
    with open_columns(path, layout(spec), spec.title) as columns:
        for first_row, stored in columns.chunks(chunk_rows):
            for column, values in stored.items():
                require_finite(values, path, columns.key(column), first_row)
            yield chunk(stored["constituents"], stored["jets"], label, path, first_row)


def chunk(
    relative: np.ndarray, jets: np.ndarray, label: int, path: Path, first_row: int
) -> JetChunk:
    """Constituents (jets, slots, 4) and jets (jets, 4) of the file, all of one class, as jets."""
    mask = relative[..., 3]
    real = mask == 1
    not_binary = ~(real | (mask == 0)).all(axis=1)
    remedy = "its columns must be eta_rel, phi_rel, pt_rel, mask"
    problem = "particle_features has a mask other than 0 and 1"
    refuse_row(not_binary, path, problem, first_row, remedy)
    eta_rel, phi_rel, pt_rel = relative[real][:, :3].T.astype(np.float64)
    owner = np.nonzero(real)[0]
    negative = np.bincount(owner[pt_rel < 0], minlength=len(jets)) > 0
    refuse_row(negative, path, "particle_features has a negative pt_rel", first_row, remedy)
    jet_pt, jet_eta, jet_mass, _ = jets.T.astype(np.float64)
    pt = pt_rel * jet_pt[owner]
    eta = eta_rel + jet_eta[owner]
    jet_energy = np.hypot(jet_pt * np.cosh(jet_eta), jet_mass)
    return JetChunk(
        constituents=np.stack([pt, eta, phi_rel, pt * np.cosh(eta)], axis=-1),
        counts=real.sum(axis=1),
        jet=np.stack([jet_pt, jet_eta, np.zeros_like(jet_pt), jet_energy], axis=-1),
        label=np.full(len(jets), label),
        rows=first_row + np.arange(len(jets)),
    )
