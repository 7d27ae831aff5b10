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
import uproot

from omnilearn.data.catalogue import JETCLASS
from omnilearn.errors import UserError
from omnilearn.kinematics import from_cartesian
from preprocessing.jet_chunk import CHUNK_ROWS, JetChunk
from preprocessing.sources import SPLITS, Shard, reading, require_files, require_finite

TREE = "tree"
MOMENTUM = ("part_px", "part_py", "part_pz", "part_energy")
IDENTITY = (
    "part_charge", "part_isChargedHadron", "part_isNeutralHadron",
    "part_isPhoton", "part_isElectron", "part_isMuon",
)  # fmt: skip
JET = ("jet_pt", "jet_eta", "jet_phi", "jet_energy")
LABELS = tuple(f"label_{name}" for name in JETCLASS.class_names)
BRANCHES = MOMENTUM + IDENTITY + JET + LABELS
# a plain local file: no event loop of a remote one, no arrays kept after they were handed out
PLAIN = {"handler": uproot.MultithreadedFileSource, "array_cache": None}

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
    """Output file i takes the i-th public file of every class, so each one mixes the ten classes.

    Where classes have unequal numbers of files, those of the smaller ones are spread evenly.
    """
    result = []
    for split, paths in files_per_split(raw).items():
        classes = defaultdict(list)
        for path in paths:
            classes[file_class(path)].append(path)
        number = max(len(files) for files in classes.values())
        outputs = [[] for _ in range(number)]
        for files in classes.values():
            for position, path in enumerate(files):
                outputs[position * number // len(files)].append(path)
        result += [Shard(split, i, tuple(sources)) for i, sources in enumerate(outputs)]
    return result


def open_tree(file: uproot.ReadOnlyDirectory, path: Path) -> uproot.TTree:
    """The tree of jets; raises UserError if it, one of its branches or every jet is missing."""
    trees = file.keys(recursive=False, cycle=False)
    if TREE not in trees:
        raise UserError(
            f"{path} has no tree {TREE!r} but {', '.join(trees) or 'nothing'}; "
            "JetClass files have one"
        )
    tree = file[TREE]
    missing = [name for name in BRANCHES if name not in tree]
    if missing:
        raise UserError(f"{path}: the tree lacks the branch {missing[0]}; is this JetClass?")
    if tree.num_entries == 0:
        raise UserError(f"{path} holds no jets; download it again")
    return tree


def count(path: Path) -> int:
    """Jets in the file."""
    with reading(path), uproot.open(path, **PLAIN) as file:
        return open_tree(file, path).num_entries


def read(path: Path) -> Iterator[JetChunk]:
    """The jets of one file, a stretch at a time.

    Raises UserError on ragged branches of unequal length, labels that are not one-hot or not of
    the class in the file name, and numbers that are not finite.
    """
    with reading(path), uproot.open(path, **PLAIN) as file:
        first_row = 0
        for arrays in open_tree(file, path).iterate(BRANCHES, step_size=CHUNK_ROWS, library="ak"):
            yield chunk(arrays, path, first_row)
            first_row += len(arrays)


def chunk(arrays: ak.Array, path: Path, first_row: int) -> JetChunk:
    """One stretch of the tree as jets."""
    counts = ak.to_numpy(ak.num(arrays[MOMENTUM[0]]))
    flat = {}
    for name in MOMENTUM + IDENTITY:
        unequal = ak.to_numpy(ak.num(arrays[name])) != counts
        if unequal.any():
            raise UserError(
                f"{path}: {name} and {MOMENTUM[0]} have unequal lengths in jet "
                f"{first_row + int(np.argmax(unequal))} (counted from 0); download it again"
            )
        flat[name] = ak.to_numpy(ak.flatten(arrays[name]))
        require_finite(flat[name], path, name, first_row, counts)
    per_jet = {name: ak.to_numpy(arrays[name]) for name in JET + LABELS}
    for name, values in per_jet.items():
        require_finite(values, path, name, first_row)
    return JetChunk(
        constituents=from_cartesian(np.stack([flat[name] for name in MOMENTUM], axis=-1)),
        counts=counts,
        jet=np.stack([per_jet[name] for name in JET], axis=-1).astype(np.float64),
        label=labels(np.stack([per_jet[name] for name in LABELS], axis=-1), path, first_row),
        first_row=first_row,
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
