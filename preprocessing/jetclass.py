"""JetClass (doi 10.5281/zenodo.6619768): ROOT files of 100k jets, one class per public file.

Momenta come from px, py, pz and energy; `part_deta` of the public files carries the sign of the
jet's eta and is not needed.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import awkward as ak
import numpy as np

from omnilearn.data.catalogue import JETCLASS
from omnilearn.errors import UserError
from omnilearn.kinematics import from_cartesian
from preprocessing.jet_chunk import CHUNK_ROWS, JetChunk
from preprocessing.root_tree import jagged, open_tree, per_row
from preprocessing.sources import SPLITS, RemoteFile, Shard, mixed, require_files

TREE = "tree"
MOMENTUM = ("part_px", "part_py", "part_pz", "part_energy")
IDENTITY = (
    "part_charge", "part_isChargedHadron", "part_isNeutralHadron",
    "part_isPhoton", "part_isElectron", "part_isMuon",
)  # fmt: skip
JET = ("jet_pt", "jet_eta", "jet_phi", "jet_energy")
LABELS = tuple(f"label_{name}" for name in JETCLASS.class_names)
BRANCHES = MOMENTUM + IDENTITY + JET + LABELS

ARCHIVES = (*(f"train_100M_part{part}" for part in range(10)), "val_5M", "test_20M")
REMOTE = tuple(RemoteFile.zenodo(6619768, f"JetClass_Pythia_{name}.tar") for name in ARCHIVES)

FOLDERS = {"train": "train_100M", "val": "val_5M", "test": "test_20M"}
FILE_NUMBERS = {"train": range(100), "test": range(100, 120), "val": range(120, 125)}
CLASS_OF_FILE = {
    "ZJetsToNuNu": "QCD", "HToBB": "Hbb", "HToCC": "Hcc", "HToGG": "Hgg", "HToWW4Q": "H4q",
    "HToWW2Q1L": "Hqql", "ZToQQ": "Zqq", "WToQQ": "Wqq", "TTBar": "Tbqq", "TTBarLep": "Tbl",
}  # fmt: skip
FILE_NAME = re.compile(r"(.+)_(\d+)\.root")


def file_class(path: Path) -> str | None:
    """The class a public file name promises; None for any other name (labels decide then)."""
    name = FILE_NAME.fullmatch(path.name)
    return CLASS_OF_FILE.get(name[1]) if name else None


def split_of_number(path: Path) -> str:
    """The split of a public file by its number; raises UserError for any other name."""
    name = FILE_NAME.fullmatch(path.name)
    for split, numbers in FILE_NUMBERS.items():
        if name and int(name[2]) in numbers:
            return split
    raise UserError(
        f"{path} does not say which split it belongs to; put it into a folder train_100M, val_5M "
        "or test_20M, or give it a public number (000-099 train, 100-119 test, 120-124 val)"
    )


def files_per_split(raw: Path) -> dict[str, list[Path]]:
    """The ROOT files of every split: from the public folders, or by number from a flat one."""
    for base in (raw, raw / "Pythia"):
        found = {}
        for split in SPLITS:
            folders = [base / name for name in (FOLDERS[split], split) if (base / name).is_dir()]
            if len(folders) > 1:
                raise UserError(
                    f"{folders[0]} and {folders[1]} both hold the {split} split; keep one of them"
                )
            if folders:
                found[split] = root_files(folders[0])
        if found:
            return found
    found = defaultdict(list)
    for path in root_files(raw):
        found[split_of_number(path)].append(path)
    return found


def root_files(folder: Path) -> list[Path]:
    """The ROOT files of one folder, sorted; raises UserError if there is none."""
    files = sorted(path for path in folder.glob("*.root") if not path.name.startswith("."))
    if not files:
        archives = any(folder.glob("*.tar"))
        mend = "unpack its tar archives first" if archives else f"get it from {JETCLASS.source}"
        raise UserError(f"{folder} holds no .root file of JetClass; {mend}")
    require_files(files)
    return files


def shards(raw: Path) -> list[Shard]:
    """Output file i takes the i-th public file of every class, so it mixes the ten classes."""
    result = []
    for split, paths in files_per_split(raw).items():
        classes = defaultdict(list)
        for path in paths:
            classes[file_class(path)].append(path)
        outputs = mixed(classes.values())
        result += [Shard.whole(split, i, sources) for i, sources in enumerate(outputs)]
    return result


def count(path: Path) -> int:
    """Jets in the file."""
    with open_tree(path, (TREE,), BRANCHES, JETCLASS.title) as (tree, _):
        return tree.num_entries


def read(path: Path) -> Iterator[JetChunk]:
    """The jets of one file, a stretch at a time.

    Raises UserError on ragged branches of unequal length, labels that are not one-hot or not of
    the class in the file name, and numbers that are not finite.
    """
    with open_tree(path, (TREE,), BRANCHES, JETCLASS.title) as (tree, _):
        first_row = 0
        for arrays in tree.iterate(BRANCHES, step_size=CHUNK_ROWS, library="ak"):
            yield chunk(arrays, path, first_row)
            first_row += len(arrays)


def chunk(arrays: ak.Array, path: Path, first_row: int) -> JetChunk:
    """One stretch of the tree as jets."""
    counts, flat = jagged(arrays, MOMENTUM + IDENTITY, path, first_row)
    each = per_row(arrays, JET + LABELS, path, first_row)
    return JetChunk(
        constituents=from_cartesian(np.stack([flat[name] for name in MOMENTUM], axis=-1)),
        counts=counts,
        jet=np.stack([each[name] for name in JET], axis=-1).astype(np.float64),
        label=labels(np.stack([each[name] for name in LABELS], axis=-1), path, first_row),
        rows=first_row + np.arange(len(arrays)),
        identity=np.stack(
            [flat[name] for name in IDENTITY], axis=-1, dtype=np.float32, casting="unsafe"
        ),
    )


def labels(one_hot: np.ndarray, path: Path, first_row: int) -> np.ndarray:
    """Class numbers (jets,) from the label branches (jets, 10), checked against the file name."""
    good = ((one_hot == 0) | (one_hot == 1)).all(axis=1) & (one_hot.sum(axis=1) == 1)
    if not good.all():
        raise UserError(
            f"{path}: the label branches of jet {first_row + int(np.argmin(good))} (counted from "
            "0) do not name exactly one class; download it again"
        )
    label = one_hot.argmax(axis=1)
    promised = file_class(path)
    if promised is not None:
        other = label != JETCLASS.class_names.index(promised)
        if other.any():
            row = int(np.argmax(other))
            raise UserError(
                f"{path}: jet {first_row + row} (counted from 0) is labelled "
                f"{JETCLASS.class_names[label[row]]}, but the file name promises {promised}; "
                "rename the file or download it again"
            )
    return label
