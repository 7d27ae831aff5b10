"""The files of JetClass in all arrangements: archives, split folders, one folder, the example.

The ten training archives hold their files without a folder, those of validation and test within
one; the authors' own download unpacks all of them below Pythia/ (doi 10.5281/zenodo.6619768).
"""

import re
from collections import defaultdict
from pathlib import Path

from omnilearn.errors import UserError
from preprocessing.archive import Member, members
from preprocessing.sources import (
    SPLITS,
    RemoteFile,
    Shard,
    files_below,
    mix_classes,
    other_files_in,
    require_files,
)

RECORD = 6619768
FOLDERS = {"train": "train_100M", "val": "val_5M", "test": "test_20M"}
SPLIT_OF_FOLDER = {folder: split for split, folder in FOLDERS.items()} | {
    split: split for split in SPLITS
}
FILE_NUMBERS = {"train": range(100), "test": range(100, 120), "val": range(120, 125)}
CLASS_OF_FILE = {
    "ZJetsToNuNu": "QCD",
    "HToBB": "Hbb",
    "HToCC": "Hcc",
    "HToGG": "Hgg",
    "HToWW4Q": "H4q",
    "HToWW2Q1L": "Hqql",
    "ZToQQ": "Zqq",
    "WToQQ": "Wqq",
    "TTBar": "Tbqq",
    "TTBarLep": "Tbl",
}
FILE_NAME = re.compile(r"(.+)_(\d+)\.root")
# shares of a file without a number, as JetClass_example_100k.root
SHARES = (("train", 0.8), ("val", 0.1), ("test", 0.1))

# name of an archive between JetClass_Pythia_ and .tar -> its md5
ARCHIVES = {
    "train_100M_part0": "de4fd2dca2e68ab3c85d5cfd3bcc65c3",
    "train_100M_part1": "9722a359c5ef697bea0fbf79bf50f003",
    "train_100M_part2": "1e9f66cd1f915f9d10e90ae1d7761720",
    "train_100M_part3": "47348fc8985319fa4806da87500482fa",
    "train_100M_part4": "6b0ce16bd93b442a8d51914466990279",
    "train_100M_part5": "416e347512e716de51d392bee327b8e9",
    "train_100M_part6": "e9b9c1557b1b39bf0a16e4ab631ae451",
    "train_100M_part7": "5bfc6cb285ccb7680cefa9ac82ad1a2e",
    "train_100M_part8": "540c1a0d66dfad78d2b363c5740ccf86",
    "train_100M_part9": "668f40b3275167ff7104c48317c0ae2a",
    "val_5M": "7235ccb577ed85023ea3ab4d5e6160cf",
    "test_20M": "64e5156d26d101adeb43b8388207d767",
}
ARCHIVE_NAME = re.compile(r"JetClass_Pythia_(train_100M|val_5M|test_20M)\w*\.tar")
REMOTE = tuple(
    RemoteFile.zenodo(
        RECORD, f"JetClass_Pythia_{name}.tar", f"md5:{md5}", folder=name.partition("_part")[0]
    )
    for name, md5 in ARCHIVES.items()
)


def file_class(path: Path) -> str | None:
    """The class of a public file name; None for any other name."""
    name = FILE_NAME.fullmatch(path.name)
    return CLASS_OF_FILE.get(name[1]) if name else None


def split_of(path: Path, raw: Path) -> str | None:
    """The split of a file below `raw`: that of the nearest split folder, else of its public number;
    None for a name without a number, whose jets are shared.

    Raises UserError for a number that is in no split, or in another than that of a public folder.
    """
    name = FILE_NAME.fullmatch(path.name)
    public = [split for split, numbers in FILE_NUMBERS.items() if name and int(name[2]) in numbers]
    for folder in path.relative_to(raw).parents:
        split = SPLIT_OF_FOLDER.get(folder.name)
        if split is None:
            continue
        # a large simulated sample has other numbers
        is_public = folder.name != split and not (raw / "simulation.json").is_file()
        if is_public and public and public[0] != split:
            raise UserError(
                f"{path} is a file of {FOLDERS[public[0]]} by its number; move it there, or call "
                f"its folder {split} if it is meant to be of that split"
            )
        return split
    if public or name is None:
        return public[0] if public else None
    raise UserError(
        f"{path} belongs to no split; put it into a folder train_100M, val_5M or test_20M, or give "
        "it a public number (000-099 train, 100-119 test, 120-124 val)"
    )


def files_per_split(raw: Path) -> dict[str | None, list[Path]]:
    """Split -> ROOT files below `raw`; None -> files that are shared among the splits.

    Raises UserError if there is none, for two files of one name in a split, for archives that are
    not unpacked, and for shared files beside others.
    """
    files: dict = defaultdict(list)
    by_name: dict = {}
    for path in files_below(raw, ".root"):
        split = split_of(path, raw)
        first = by_name.setdefault((split, path.name), path)
        if first != path:
            raise UserError(
                f"{first} and {path} are the same {split or 'public'} file twice, and its jets "
                "would count twice; keep one of them"
            )
        files[split].append(path)
    require_files([path for paths in files.values() for path in paths])
    require_unpacked(raw, files)
    if not files:
        raise UserError(
            f"{raw} holds no .root file of JetClass but {other_files_in(raw)}; get them with: "
            f"python -m preprocessing download jetclass --out {raw}"
        )
    if None in files and len(files) > 1:
        numbered = next(paths[0] for split, paths in files.items() if split)
        raise UserError(
            f"{files[None][0]} has no public number: its jets would be shared among the splits, "
            f"but they may be those of {numbered.name} or the like; keep one kind in the folder"
        )
    return files


def require_unpacked(raw: Path, files: dict[str | None, list[Path]]) -> None:
    """Raise UserError for an archive below `raw` whose content is not among these `files`."""
    for archive in files_below(raw, ".tar"):
        name = ARCHIVE_NAME.fullmatch(archive.name)
        if not name:
            continue
        split = SPLIT_OF_FOLDER[name[1]]
        unpacked = {Member(path.name, path.stat().st_size) for path in files.get(split, ())}
        content = members(archive)
        missing = set(content) - unpacked
        if missing:
            folder = raw / name[1]
            by_hand = f"mkdir -p {folder} && tar -xf {archive} -C {folder}"
            if split != "train":  # these archives contain their folder
                by_hand = f"tar -xf {archive} -C {raw}"
            raise UserError(
                f"{archive}: {len(missing)} of its {len(content)} files are not unpacked and would "
                f"be left out; unpack it with: python -m preprocessing download jetclass --out "
                f"{archive.parent} --files {archive.name} (or by hand: {by_hand}), or move it away"
            )


def shards(raw: Path) -> list[Shard]:
    """Output file i takes the i-th public file of every class, so that it contains all classes."""
    shards = []
    files = files_per_split(raw)
    for split in SPLITS:
        classes = defaultdict(list)
        for path in files.get(split, ()):
            classes[file_class(path)].append(path)
        if classes:
            outputs = mix_classes(classes.values())
            shards += [Shard.whole(split, i, sources) for i, sources in enumerate(outputs)]
    return shards + [Shard(SHARES, i, (path,)) for i, path in enumerate(files.get(None, ()))]
