"""Jets of some classes alone: which rows of the files they are."""

from pathlib import Path

import numpy as np

from omnilearn.data.limits import is_mixed, limited, spread
from omnilearn.data.reader import JetFiles
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError


def class_numbers(spec: DatasetSpec, names: str) -> list[int]:
    """Numbers of the classes in a comma-separated text; raises UserError for unknown ones."""
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in spec.class_names:
            raise UserError(
                f"--classes is {names!r}; {spec.name} has the classes {', '.join(spec.class_names)}"
            )
    return [spec.class_names.index(name) for name in wanted]


def selected_jets(
    paths: list[Path], spec: DatasetSpec, limit: int = 0, classes: str = ""
) -> tuple[JetFiles, np.ndarray | None]:
    """`limit` jets (0: all) of these classes (empty: all): files and rows (num_jets,).

    Of the suite's files they are the first, of others spread over files and classes. Rows are None
    where all jets of the files take part. Of the suite's files none is opened beyond the last jet.
    Raises UserError when there is none.
    """
    if not classes:
        return limited(paths, spec, limit)
    numbers, parts, found = class_numbers(spec, classes), [], 0
    asked, limit = limit, limit if all(map(is_mixed, paths)) else 0
    for path in paths:
        with JetFiles([path], spec) as files:
            label, _ = files.labels_and_weights()
        part = np.isin(label, numbers)
        if limit:
            part &= found + np.cumsum(part) <= limit
        found += int(part.sum())
        parts.append(part)
        if limit and found == limit:
            break
    if not found:
        raise UserError(
            f"{paths[0].parent} holds no jets of the classes {classes}; make it again with those, "
            "or name others with --classes"
        )
    selected = np.concatenate(parts)
    if asked and not limit and found > asked:
        selected = np.isin(np.arange(len(selected)), np.flatnonzero(selected)[spread(asked, found)])
    rows = int(np.flatnonzero(selected)[-1]) + 1
    return JetFiles(paths, spec, limit=rows), selected[:rows]
