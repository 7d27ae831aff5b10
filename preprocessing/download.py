"""Fetch the public files of a dataset: python -m preprocessing download top --out data/raw/top.

Archives are unpacked, each into its folder, and may then be removed: they are not fetched again.
Pooch compares hashes, before and after the transfer; a transfer goes on where an earlier one
stopped. A hash that the suite lacks is read from the listing of the record.
"""

import argparse
import glob
import os
import re
import secrets
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib import import_module
from io import FileIO
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests

from omnilearn.atomic import atomic_path
from omnilearn.data.catalogue import dataset
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import DISK_ERRORS, UserError
from omnilearn.log import log
from omnilearn.progress import progress
from preprocessing import omnilearned
from preprocessing.archive import Member, members, require_room, unpack
from preprocessing.sources import RemoteFile

BLOCK = 2**20  # bytes
WORD_BYTES = 8  # of the random word in the name of a partial file
TIMEOUT = 30.0  # seconds without a byte
REPACKED = "omnilearned"  # one HDF5 layout of many datasets
ZENODO_FILE = re.compile(r"(?P<host>.+)/records/(?P<record>\d+)/files/")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the command."""
    parser.add_argument("dataset", help="name of the dataset, see python -m preprocessing list")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to fill")
    parser.add_argument(
        "--files",
        nargs="+",
        default=["*"],
        metavar="PATTERN",
        help="only files whose name matches one of these, as in '*_0.npz' (all)",
    )
    parser.add_argument(
        "--source",
        default="",
        metavar="NAME",
        help=f"another source of the dataset: {REPACKED} (HDF5 of its authors), 80030 (the second "
        "record of atlas)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Fetch the missing files; raises UserError for the first that cannot be fetched."""
    spec = dataset(arguments.dataset)
    pooch.get_logger().setLevel("ERROR")
    hashes: dict = {}
    try:
        files = matching_files(spec, arguments.files, arguments.source)
        log.info(f"{spec.title}: {len(files)} files, the first one is {files[0].url}")
        for file in files:
            (arguments.out / file.name).parent.mkdir(parents=True, exist_ok=True)
            if file.folder and (message := already_unpacked(file, arguments.out)):
                log.info(message)
                continue
            log.info(fetch(file, arguments.out, file.checksum or published_hash(file, hashes)))
            if file.folder:
                log.info(unpack_archive(file, arguments.out))
    except requests.ConnectionError as error:
        address = (error.request and error.request.url) or spec.source
        host = urlsplit(address).netloc
        raise UserError(
            f"{host} cannot be reached; with a network the same command goes on, and files of "
            f"{spec.source} fetched in another way belong into {arguments.out}"
        ) from error
    except requests.RequestException as error:
        url = error.request.url if error.request else spec.source
        raise UserError(f"{url} cannot be fetched: {type(error).__name__}") from error
    except KeyboardInterrupt as stop:
        raise UserError("interrupted; the same command goes on from what has arrived") from stop


def public_files(spec: DatasetSpec, source: str) -> list[RemoteFile]:
    """The public files of a dataset at one of its sources, by default the authors' record.

    Raises UserError for an unknown source, and what `requests` raises.
    """
    module = import_module(f"preprocessing.{spec.name}")
    sources = {REPACKED: (), **getattr(module, "OTHER_SOURCES", {})}
    public = getattr(module, "REMOTE", ())
    if not source and not public:
        raise UserError(
            f"{spec.title} comes from {spec.source}; what is public of it is fetched with "
            f"--source {REPACKED}, and a sample of its layout is made by: python -m simulation "
            f"{spec.name} --jets 1000 --out DIR"
        )
    if source and source not in sources:
        raise UserError(
            f"--source {source} is no source of {spec.title}; known: {', '.join(sources)}"
        )
    if source == REPACKED:
        return omnilearned.remote(spec)
    return list(sources[source] if source else public)


def matching_files(spec: DatasetSpec, patterns: list[str], source: str) -> list[RemoteFile]:
    """The public files whose name matches one of the patterns; raises UserError if none does."""
    public = public_files(spec, source)
    files = [file for file in public if any(fnmatch(file.name, pattern) for pattern in patterns)]
    if not files:
        names = [file.name for file in public]
        listed = ", ".join(names if len(names) < 8 else [*names[:3], "...", names[-1]])
        raise UserError(f"no file of {spec.title} fits {' '.join(patterns)}; there are {listed}")
    return files


def published_hash(file: RemoteFile, listings: dict[str, dict[str, str]]) -> str | None:
    """The hash in the listing of the file's Zenodo record; None where no record lists it.

    `listings` caches the listings by address.
    """
    match = ZENODO_FILE.match(file.url)
    if not match:
        return None
    address = f"{match['host']}/api/records/{match['record']}"
    if address not in listings:
        listings[address] = {}
        with requests.get(address, timeout=TIMEOUT) as response:
            if response.ok and "json" in response.headers.get("content-type", ""):
                entries = response.json().get("files", [])
                listings[address] = {entry.get("key"): entry.get("checksum") for entry in entries}
    return listings[address].get(file.name)


def fetch(file: RemoteFile, out: Path, checksum: str | None) -> str:
    """Fetch `file` into `out` unless it is there; returns a message about it.

    Raises UserError if the file arrived with another hash, or not at all.
    """
    path = out / file.name
    hash_name, _, expected = (checksum or "").partition(":")
    if path.is_file():
        if checksum is None:
            return f"{path} is there, its hash is not published: kept"
        if pooch.file_hash(str(path), hash_name) == expected.lower():
            return f"{path} is complete, {hash_name} as published: kept"
        log.warning(f"{path} is not the public file ({hash_name} differs): fetched again")
    transfer = Transfer(path)
    try:
        pooch.retrieve(file.url, checksum, path.name, path.parent, downloader=transfer)
    except ValueError as error:
        raise UserError(
            f"{file.url} arrived with another {hash_name} than {expected} and "
            "was not kept; run the same command again"
        ) from error
    checked = f"{hash_name} as published" if checksum else "its hash is not published"
    return f"{path}: {path.stat().st_size / 1e6:.1f} MB, {checked}"


def unpack_archive(file: RemoteFile, out: Path) -> str:
    """Unpack an archive in `out` into its folder; returns a message about it."""
    archive, folder = out / file.name, out / file.folder
    new = unpack(archive, folder)
    files = members(archive)
    with atomic_path(unpacking_record(file, out)) as temporary:
        temporary.write_text("".join(f"{member.size} {member.name}\n" for member in files))
    return (
        f"{archive}: {len(files)} files in {folder}, {new} of them new; the archive may be removed"
    )


def already_unpacked(file: RemoteFile, out: Path) -> str | None:
    """A message about an archive whose recorded files are all in its folder; None for others."""
    record = unpacking_record(file, out)
    if not record.is_file():
        return None
    entries = [line.partition(" ") for line in record.read_text().splitlines()]
    if not all(Member(name, int(size)).is_in(out / file.folder) for size, _, name in entries):
        return None
    return f"{file.name}: its {len(entries)} files are in {out / file.folder}: kept"


def unpacking_record(file: RemoteFile, out: Path) -> Path:
    """The list of names and sizes of an archive's files, which outlasts the archive."""
    return out / f".{file.name}.unpacked"


class Transfer:
    """A downloader for Pooch that resumes: the bytes of `path` are collected in a partial file.

    A broken connection is repeated as long as each attempt brings at least one byte. The partial
    file is .NAME.WORD.partial, with a random word unless an earlier run left one; links of such a
    name are ignored.
    """

    def __init__(self, path: Path):
        self.name = path.name
        pattern = f".{glob.escape(path.name)}.{WORD_BYTES * 2 * '[0-9a-f]'}.partial"
        partials = [candidate for candidate in path.parent.glob(pattern) if is_plain(candidate)]
        self.partial = max(partials, key=lambda path: path.stat().st_size, default=None) or (
            path.with_name(f".{path.name}.{secrets.token_hex(WORD_BYTES)}.partial")
        )

    @property
    def arrived(self) -> int:
        """Bytes of the partial file."""
        return self.partial.stat().st_size if is_plain(self.partial) else 0

    def open_partial(self, offset: int) -> FileIO:
        """The partial file, opened to append after its `offset` bytes; a new one for 0."""
        if offset:
            flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW
        else:
            self.partial.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(self.partial, flags, 0o666)
        return os.fdopen(descriptor, "ab" if offset else "wb", buffering=0)

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Fetch `url` into `output_file`; Pooch calls this with itself as third argument."""
        while True:
            before = self.arrived
            if self.attempt(url):
                break
            if self.arrived == before:
                raise UserError(
                    f"{url} broke off after {before} bytes; run the same command again, it goes on"
                )
        self.partial.replace(output_file)

    def attempt(self, url: str) -> bool:
        """Fetch the missing bytes over one connection; returns whether the file is complete."""
        offset = self.arrived
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            span = response.headers.get("content-range", "")
            if offset and span == f"bytes */{offset}":  # nothing is missing
                return True
            if offset and response.status_code != 200 and not span.startswith(f"bytes {offset}-"):
                self.partial.unlink()  # not the beginning of this file
                return False
            require_file(response, url)
            if response.status_code == 200:  # the server sends the file from its beginning
                offset = 0
            return self.collect(response, offset)

    def collect(self, response: requests.Response, offset: int) -> bool:
        """Append the body after `offset` bytes; returns whether all of it arrived."""
        length = response.headers.get("content-length")
        total = None if length is None else offset + int(length)
        require_room(self.partial.parent, 0 if total is None else total - offset, self.name)
        with self.open_partial(offset) as file, progress(total, self.name, "B") as bar:
            bar.update(offset)
            for block in blocks(response):
                rest = memoryview(block)
                try:
                    while rest:
                        rest = rest[file.write(rest) :]
                except OSError as error:
                    if error.errno not in DISK_ERRORS:
                        raise
                    raise UserError(
                        f"{self.partial}: {DISK_ERRORS[error.errno]} after {self.arrived} bytes; "
                        "make room and run the same command again, it goes on"
                    ) from error
                bar.update(len(block))
        return total is None or self.arrived == total


def is_plain(path: Path) -> bool:
    """Whether there is a file of this name that is no link."""
    return path.is_file() and not path.is_symlink()


def blocks(response: requests.Response) -> Iterator[bytes]:
    """The body in blocks; ends early where the connection breaks."""
    try:
        yield from response.iter_content(BLOCK)
    except requests.RequestException:
        return


def require_file(response: requests.Response, url: str) -> None:
    """Raise UserError if the server lacks this file, or sends a web page instead."""
    if response.status_code == 404:
        raise UserError(f"{url} does not exist (HTTP 404); the record may have moved, look there")
    if not response.ok:
        raise UserError(f"{url} is refused (HTTP {response.status_code}); try again later")
    if response.headers.get("content-type", "").startswith("text/html"):
        raise UserError(f"{url} shows a web page instead of the file; look there with a browser")
