"""Digests of what HDF5 stores without sums in our files: attributes and single values.

They are JSON in an attribute of the file, beside a copy of the text attributes: HDF5 keeps text of
variable length in a heap without sums, and does not return from reading a damaged heap. Other
programs read the attributes, we the copy.
"""

import hashlib
import json

import h5py
import numpy as np

DIGEST = "digest"  # the attribute that carries them


def changed_keys(file: h5py.File) -> list[str]:
    """What differs from its digest, in words; empty where the file has no digests."""
    if DIGEST not in file.attrs:
        return []
    try:
        sums, _ = written_record(file)
    except (TypeError, ValueError, KeyError):
        return [f"the attribute {DIGEST!r}"]
    now = digests(items_of(file))
    names = sorted(name for name in sums.keys() | now.keys() if sums.get(name) != now.get(name))
    return [repr(name) if name else "an attribute of the file" for name in names]


def write_record(file: h5py.File) -> None:
    """Write the attribute DIGEST of a file, after all of its content."""
    items = items_of(file)
    texts = {
        name: {
            key: np.asarray(as_text(item.attrs[key])).tolist()
            for key in item.attrs
            if is_heap_text(item, key)
        }
        for name, item in items.items()
    }
    sums = digests(items)
    record = {"sums": sums, "texts": texts, "record": record_digest(sums, texts)}
    file.attrs[DIGEST] = of_fixed_length(json.dumps(record))


def items_of(file: h5py.File) -> dict[str, h5py.HLObject]:
    """The file itself, under no name, and its groups and arrays by name."""
    items = {"": file}
    file.visititems(lambda name, item: items.update({name: item}))
    return items


def written_record(file: h5py.File) -> tuple[dict[str, str], dict[str, dict]]:
    """Digests and text attributes by key; raises ValueError, TypeError or KeyError if damaged."""
    record = json.loads(as_text(file.attrs[DIGEST]))
    sums, texts = record["sums"], record["texts"]
    if record["record"] != record_digest(sums, texts):
        raise ValueError("the record does not fit its digest")
    return sums, texts


def record_digest(sums: dict[str, str], texts: dict[str, dict]) -> str:
    return hashlib.sha256(json.dumps([sums, texts], sort_keys=True).encode()).hexdigest()


def is_heap_text(item: h5py.HLObject, key: str) -> bool:
    """Whether HDF5 keeps an attribute as text of variable length, in its heap."""
    kind = item.attrs.get_id(key).dtype
    return kind.kind == "O" and h5py.check_string_dtype(kind) is not None


def digests(items: dict[str, h5py.HLObject]) -> dict[str, str]:
    """SHA-256 by key: type and shape, attributes, and values without a Fletcher-32 sum."""
    sums = {}
    for name, item in items.items():
        sha = hashlib.sha256()
        for key in sorted(item.attrs):
            if key != DIGEST:
                sha.update(key.encode())
                sha.update(b"" if is_heap_text(item, key) else as_bytes(item.attrs[key]))
        if isinstance(item, h5py.Dataset):
            sha.update(f"{item.dtype} {item.shape}".encode())
            if not item.fletcher32 and item.shape is not None:
                sha.update(as_bytes(item[()]))
        sums[name] = sha.hexdigest()
    return sums


def as_bytes(value) -> bytes:
    """Type, shape and content of a value of h5py."""
    values = np.asarray(as_text(value))
    is_text = values.dtype.kind in "OU"
    content = repr(values.tolist()).encode() if is_text else values.tobytes()
    return f"{values.dtype.kind} {values.shape} ".encode() + content


def attributes(item: h5py.HLObject) -> dict:
    """Attributes by name but for our digest; bytes, alone or in arrays, as text."""
    texts = {}
    if DIGEST in item.file.attrs:
        texts = written_record(item.file)[1].get(item.name.strip("/"), {})
    values = {}
    for name in item.attrs:
        if name in texts:
            text = texts[name]
            values[name] = np.array(text, object) if isinstance(text, list) else text
        elif name != DIGEST:
            values[name] = as_text(item.attrs[name])
    return values


def as_text(value):
    """Bytes as text, arrays of bytes as arrays of text, anything else as it is."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.ndarray) and value.dtype.kind in "SO":
        texts = [as_text(text) for text in value.ravel()]
        return np.array(texts, object).reshape(value.shape)
    return value


def of_fixed_length(value):
    """Text as bytes of one length, which HDF5 covers with sums; all else as it is."""
    values = np.asarray(value)
    if values.dtype.kind not in "UO" or not all(isinstance(text, str) for text in values.ravel()):
        return value
    encoded = [text.encode() for text in values.ravel()]
    longest = max([1, *map(len, encoded)])
    return np.array(encoded, f"S{longest}").reshape(values.shape)
