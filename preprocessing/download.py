"""Fetch the public files of a dataset: python -m preprocessing download top --out data/raw/top.

Archives are unpacked, each into its folder, and may then be removed: they are not fetched again.
Pooch decides by hash what has to be fetched and whether it arrived unharmed; the transfer itself
goes on where an earlier one stopped. Hashes that the suite does not know are asked of the record.
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
WORD_BYTES = 8  # of the random word in the name of a file that is not complete
PATIENCE = 30.0  # seconds without a byte
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
        help="only files whose name fits one of these, as in '*_0.npz' (all)",
    )
    parser.add_argument(
        "--source",
        default="",
        metavar="NAME",
        help=f"another place that has the dataset: {REPACKED} (HDF5 of its authors), 80030 (the "
        "second record of atlas)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Fetch what is missing; raises UserError in the first file that cannot be had."""
    spec = dataset(arguments.dataset)
    pooch.get_logger().setLevel("ERROR")
    hashes: dict = {}
    try:
        files = wanted(spec, arguments.files, arguments.source)
        log.info(f"{spec.title}: {len(files)} files, the first one is {files[0].url}")
        for file in files:
            (arguments.out / file.name).parent.mkdir(parents=True, exist_ok=True)
            if file.folder and (line := said_unpacked(file, arguments.out)):
                log.info(line)
                continue
            log.info(fetch(file, arguments.out, file.checksum or published_hash(file, hashes)))
            if file.folder:
                log.info(unpacked(file, arguments.out))
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


def offered(spec: DatasetSpec, source: str) -> list[RemoteFile]:
    """The public files of a place that has the dataset, by default the one its authors chose.

    Raises UserError for a place that does not have it, and what `requests` raises.
    """
    module = import_module(f"preprocessing.{spec.name}")
    places = {REPACKED: (), **getattr(module, "OTHER_SOURCES", {})}
    public = getattr(module, "REMOTE", ())
    if not source and not public:
        raise UserError(
            f"{spec.title} comes from {spec.source}; what is public of it is fetched with "
            f"--source {REPACKED}, and a sample of its layout is made by: python -m simulation "
            f"{spec.name} --jets 1000 --out DIR"
        )
    if source and source not in places:
        raise UserError(
            f"--source {source} is no place of {spec.title}; known: {', '.join(places)}"
        )
    if source == REPACKED:
        return omnilearned.remote(spec)
    return list(places[source] if source else public)


def wanted(spec: DatasetSpec, patterns: list[str], source: str = "") -> list[RemoteFile]:
    """The public files whose name fits one of the patterns; raises UserError if none does."""
    public = offered(spec, source)
    found = [file for file in public if any(fnmatch(file.name, one) for one in patterns)]
    if not found:
        names = [file.name for file in public]
        shown = ", ".join(names if len(names) < 8 else [*names[:3], "...", names[-1]])
        raise UserError(f"no file of {spec.title} fits {' '.join(patterns)}; there are {shown}")
    return found


def published_hash(file: RemoteFile, known: dict[str, dict[str, str]]) -> str | None:
    """The hash in the listing of the file's Zenodo record; None where no record lists it.

    `known` keeps the listings, by address, that were already read.
    """
    place = ZENODO_FILE.match(file.url)
    if not place:
        return None
    address = f"{place['host']}/api/records/{place['record']}"
    if address not in known:
        known[address] = {}
        with requests.get(address, timeout=PATIENCE) as answer:
            if answer.ok and "json" in answer.headers.get("content-type", ""):
                entries = answer.json().get("files", [])
                known[address] = {one.get("key"): one.get("checksum") for one in entries}
    return known[address].get(file.name)


def fetch(file: RemoteFile, out: Path, checksum: str | None) -> str:
    """Make sure that `file` lies in `out`; a line that says what was done.

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


def unpacked(file: RemoteFile, out: Path) -> str:
    """Unpack an archive in `out` into its folder; a line that says what was done."""
    archive, folder = out / file.name, out / file.folder
    new = unpack(archive, folder)
    files = members(archive)
    with atomic_path(record_of(file, out)) as temporary:
        temporary.write_text("".join(f"{one.size} {one.name}\n" for one in files))
    return (
        f"{archive}: {len(files)} files in {folder}, {new} of them new; the archive may be removed"
    )


def said_unpacked(file: RemoteFile, out: Path) -> str | None:
    """A line about an archive whose files all lie in its folder, as the record of their unpacking
    has them; None for any other."""
    record = record_of(file, out)
    if not record.is_file():
        return None
    entries = [line.partition(" ") for line in record.read_text().splitlines()]
    if not all(Member(name, int(size)).lies_in(out / file.folder) for size, _, name in entries):
        return None
    return f"{file.name}: its {len(entries)} files are in {out / file.folder}: kept"


def record_of(file: RemoteFile, out: Path) -> Path:
    """Where names and sizes of the files of an archive are kept, so that it may be removed."""
    return out / f".{file.name}.unpacked"


class Transfer:
    """A downloader for Pooch that collects the bytes of `path` beside it, over several runs.

    A connection that breaks is taken up again as long as each one brings something. The bytes are
    in .NAME.WORD.partial, new under a random word where an earlier run left none; links of such a
    name are no files.
    """

    def __init__(self, path: Path):
        self.name = path.name
        pattern = f".{glob.escape(path.name)}.{WORD_BYTES * 2 * '[0-9a-f]'}.partial"
        left = [one for one in path.parent.glob(pattern) if is_own_file(one)]
        self.partial = max(left, key=lambda one: one.stat().st_size, default=None) or (
            path.with_name(f".{path.name}.{secrets.token_hex(WORD_BYTES)}.partial")
        )

    @property
    def arrived(self) -> int:
        """Bytes that are there."""
        return self.partial.stat().st_size if is_own_file(self.partial) else 0

    def opened(self, have: int) -> FileIO:
        """The file behind its first `have` bytes, which are there; new where these are none."""
        if have:
            flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW
        else:
            self.partial.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        return os.fdopen(os.open(self.partial, flags, 0o666), "ab" if have else "wb", buffering=0)

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Fetch `url` whole into `output_file`; Pooch calls this with itself as third argument."""
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
        """Fetch what is missing over one connection; whether the file is complete now."""
        have = self.arrived
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=PATIENCE) as answer:
            span = answer.headers.get("content-range", "")
            if have and span == f"bytes */{have}":  # nothing is missing
                return True
            if have and answer.status_code != 200 and not span.startswith(f"bytes {have}-"):
                self.partial.unlink()  # not the beginning of this file
                return False
            require_file(answer, url)
            if answer.status_code == 200:
                have = 0
            return self.collect(answer, have)

    def collect(self, answer: requests.Response, have: int) -> bool:
        """Append the body to the first `have` bytes; whether the connection gave all of it."""
        length = answer.headers.get("content-length")
        total = None if length is None else have + int(length)
        require_room(self.partial.parent, 0 if total is None else total - have, self.name)
        with self.opened(have) as file, progress(total, self.name, "B") as bar:
            bar.update(have)
            for block in blocks(answer):
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


def is_own_file(path: Path) -> bool:
    """Whether a file of its own stands there, and no link to another."""
    return path.is_file() and not path.is_symlink()


def blocks(answer: requests.Response) -> Iterator[bytes]:
    """The body as it comes; ends early where the connection breaks."""
    try:
        yield from answer.iter_content(BLOCK)
    except requests.RequestException:
        return


def require_file(answer: requests.Response, url: str) -> None:
    """Raise UserError if the server has not this file, or shows a web page instead."""
    if answer.status_code == 404:
        raise UserError(f"{url} does not exist (HTTP 404); the record may have moved, look there")
    if not answer.ok:
        raise UserError(f"{url} is refused (HTTP {answer.status_code}); try again later")
    if answer.headers.get("content-type", "").startswith("text/html"):
        raise UserError(f"{url} shows a web page instead of the file; look there with a browser")
