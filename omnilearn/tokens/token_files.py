"""Files of tokens: the code of each constituent, and the codebook of the codes.

HDF5 with `tokens` (jets, slots), codes in the slots of constituents, then zeros, and `index`
(jets,), the rows in the split; the fingerprint of the codebook as an attribute.
"""

import json
from pathlib import Path

import numpy as np

from omnilearn.errors import UserError
from omnilearn.hdf5 import array, atomic_file, stored_file
from omnilearn.hdf5_sums import attributes


def write_tokens(
    path: Path, tokens: np.ndarray, index: np.ndarray, codebook: str, num_codes: int, about: dict
) -> None:
    """Codes (N, P) below `num_codes` of jets in rows `index` (N,); `about` is plain JSON."""
    dtype = np.uint16 if num_codes <= 2**16 else np.uint32
    with atomic_file(path) as file:
        file["tokens"] = tokens.astype(dtype)
        file["index"] = index.astype(np.int64)
        file.attrs["codebook"] = codebook
        file.attrs["num_codes"] = num_codes
        file.attrs["about"] = json.dumps(about)


def read_tokens(
    path: Path, codebook: str, num_codes: int, about: dict | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Codes (N, P) and rows (N,) that `write_tokens` wrote.

    Raises UserError when the file is missing, damaged, or its tokens are of another codebook, or of
    other jets than those of `about` if it is given.
    """
    mend = f"write it again with: python evaluate.py {path.parent}"
    if not path.is_file():
        raise UserError(f"{path} not found; {mend}")
    with stored_file(path, "a file of tokens", mend) as file:
        tokens, index = array(file, "tokens").astype(np.int32), array(file, "index")
        stored, codes = str(attributes(file)["codebook"]), int(file.attrs["num_codes"])
        stored_about = json.loads(attributes(file)["about"])
    if (stored, codes) != (codebook, num_codes):
        raise UserError(
            f"{path} holds tokens of another codebook: {codes} codes, fingerprint {stored[:12]}, "
            f"the tokeniser has {num_codes}, {codebook[:12]}; {mend}"
        )
    if about and stored_about != about:
        raise UserError(f"{path} holds tokens of {stored_about}, expected {about}; {mend}")
    most, least = tokens.max(initial=0), tokens.min(initial=0)
    if tokens.ndim != 2 or index.shape != tokens.shape[:1] or least < 0 or most >= num_codes:
        raise UserError(
            f"{path}: 'tokens' has shape {tokens.shape} and values from {least} "
            f"to {most}, expected (jets, slots) for the {index.size} jets of 'index' and values "
            f"from 0, below {num_codes}; {mend}"
        )
    return tokens, index
