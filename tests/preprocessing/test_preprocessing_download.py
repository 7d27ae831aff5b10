"""Public files from a server: fetched, checked, resumed, refused in one sentence."""

import contextlib
import hashlib
import json
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import FileIO
from types import SimpleNamespace

import pytest
from commands import output_of, refusal_of

from preprocessing import download, omnilearned, top
from preprocessing.sources import RemoteFile

CONTENT = bytes(range(256)) * 40_000  # 10 MB
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
PARTIAL = ".train.h5.0123456789abcdef.partial"  # as an earlier command leaves it


class Record(BaseHTTPRequestHandler):
    """A server with one file and the behaviour of `server.options`."""

    def do_GET(self):
        options = self.server.options
        self.server.requests.append((self.path, self.headers.get("Range")))
        if self.path.startswith("/api/"):
            return self.respond(200, json.dumps(options.listing).encode(), "application/json")
        if self.path.endswith("/"):
            page = options.pages.get(self.path)
            status = 404 if page is None else 200
            return self.respond(status, (page or "").encode(), "text/html")
        if options.status != 200:
            return self.respond(options.status, b"no", "text/plain")
        if options.web_page:
            return self.respond(200, b"<html>log in</html>", "text/html; charset=utf-8")
        requested = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        first = int(requested[1]) if requested and options.ranges else 0
        if first >= len(CONTENT):
            span = {"Content-Range": f"bytes */{len(CONTENT)}"}
            return self.respond(416, b"", "text/plain", span)
        span = {"Content-Range": f"bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}"}
        body = CONTENT[first : first + options.bytes_per_connection]
        length = len(CONTENT) - first
        return self.respond(206 if first else 200, body, "application/zip", span, length)

    def respond(self, status, body, kind, headers=None, length=None):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the client may have closed the connection
            self.wfile.write(body)

    def log_message(self, *_):
        """Silent."""


@pytest.fixture
def server():
    """A record on a free port; `options` can be changed, `requests` lists path and range."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Record) as server:
        server.options = SimpleNamespace(
            status=200,
            ranges=True,
            bytes_per_connection=len(CONTENT),
            web_page=False,
            listing={"files": []},
            pages={},
        )
        server.requests = []
        server.root = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def public(server, monkeypatch):
    """offer(checksum, *names): the files of `top` are those of the local record."""

    def offer(checksum=MD5, names=("train.h5",)):
        remote = tuple(
            RemoteFile(name, f"{server.root}/records/5/files/{name}?download=1", checksum)
            for name in names
        )
        monkeypatch.setattr(top, "REMOTE", remote)

    offer()
    return offer


def fetched(server):
    return [(path, span) for path, span in server.requests if path.startswith("/records/")]


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_and_checked(public, preprocess, tmp_path):
    printed = output_of(preprocess("download", "top", "--out", tmp_path))
    assert "train.h5: 10.2 MB, md5 as published" in printed
    assert (tmp_path / "train.h5").read_bytes() == CONTENT
    assert files_in(tmp_path) == ["train.h5"]


def test_a_complete_file_is_kept_and_not_fetched_again(server, public, preprocess, tmp_path):
    (tmp_path / "train.h5").write_bytes(CONTENT)
    _, printed, _ = preprocess("download", "top", "--out", tmp_path)
    assert "train.h5 is complete, md5 as published: kept" in printed
    assert server.requests == []


def test_a_file_of_another_content_is_fetched_again(public, preprocess, tmp_path):
    (tmp_path / "train.h5").write_bytes(CONTENT[:-1])
    printed = output_of(preprocess("download", "top", "--out", tmp_path))
    assert "is not the public file (md5 differs): fetched again" in printed
    assert (tmp_path / "train.h5").read_bytes() == CONTENT


def test_a_link_under_the_name_of_a_partial_file_is_not_followed(public, preprocess, tmp_path):
    other = tmp_path / "letter.txt"
    other.write_bytes(CONTENT[:500])
    (tmp_path / PARTIAL).symlink_to(other)
    assert preprocess("download", "top", "--out", tmp_path)[0] == 0
    assert (tmp_path / "train.h5").read_bytes() == CONTENT
    assert other.read_bytes() == CONTENT[:500]


def test_only_the_missing_bytes_are_fetched(server, public, preprocess, tmp_path):
    (tmp_path / PARTIAL).write_bytes(CONTENT[:1_000_000])
    assert preprocess("download", "top", "--out", tmp_path)[0] == 0
    assert [span for _, span in fetched(server)] == ["bytes=1000000-"]
    assert (tmp_path / "train.h5").read_bytes() == CONTENT
    assert files_in(tmp_path) == ["train.h5"]


def test_a_partial_file_with_all_bytes_is_complete(public, preprocess, tmp_path):
    (tmp_path / PARTIAL).write_bytes(CONTENT)
    assert preprocess("download", "top", "--out", tmp_path)[0] == 0
    assert (tmp_path / "train.h5").read_bytes() == CONTENT


def test_a_partial_file_longer_than_the_public_one_is_thrown_away(public, preprocess, tmp_path):
    (tmp_path / PARTIAL).write_bytes(CONTENT + b"more")
    assert preprocess("download", "top", "--out", tmp_path)[0] == 0
    assert (tmp_path / "train.h5").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_it_all_again(server, public, preprocess, tmp_path):
    server.options.ranges = False
    (tmp_path / PARTIAL).write_bytes(b"something else")
    assert preprocess("download", "top", "--out", tmp_path)[0] == 0
    assert (tmp_path / "train.h5").read_bytes() == CONTENT


def test_a_broken_connection_is_resumed(server, public, preprocess, tmp_path):
    server.options.bytes_per_connection = 4 * download.BLOCK
    assert preprocess("download", "top", "--out", tmp_path)[0] == 0
    assert (tmp_path / "train.h5").read_bytes() == CONTENT
    assert [span for _, span in fetched(server)] == [None, "bytes=4194304-", "bytes=8388608-"]


def test_a_server_that_sends_no_more_bytes_leaves_the_partial_file(
    server, public, preprocess, tmp_path
):
    server.options.bytes_per_connection = 0
    (tmp_path / PARTIAL).write_bytes(CONTENT[:500])
    message = refusal_of(preprocess("download", "top", "--out", tmp_path))
    assert "broke off after 500 bytes; run the same command again, it goes on" in message
    assert (tmp_path / PARTIAL).read_bytes() == CONTENT[:500]


def test_a_file_with_another_hash_is_refused_and_removed(public, preprocess, tmp_path):
    public("md5:" + 32 * "0")
    message = refusal_of(preprocess("download", "top", "--out", tmp_path))
    assert "arrived with another md5 than 00000" in message
    assert message.count("\n") == 1
    assert files_in(tmp_path) == []


def test_a_damaged_beginning_is_not_kept_for_the_next_run(public, preprocess, tmp_path):
    (tmp_path / PARTIAL).write_bytes(b"damaged")
    assert preprocess("download", "top", "--out", tmp_path)[0] == 2
    assert preprocess("download", "top", "--out", tmp_path)[0] == 0
    assert (tmp_path / "train.h5").read_bytes() == CONTENT


def test_a_hash_that_the_suite_lacks_is_read_from_the_record_once(
    server, public, preprocess, tmp_path
):
    names = ("train.h5", "val.h5")
    server.options.listing = {"files": [{"key": name, "checksum": MD5} for name in names]}
    public(None, names)
    _, printed, _ = preprocess("download", "top", "--out", tmp_path)
    assert printed.count("md5 as published") == 2
    assert [path for path, _ in server.requests if "api" in path] == ["/api/records/5"]
    server.options.listing = {"files": [{"key": "train.h5", "checksum": "md5:1234"}]}
    (tmp_path / "train.h5").unlink()
    assert "another md5 than 1234" in preprocess("download", "top", "--out", tmp_path)[2]


def test_a_file_without_a_published_hash_is_fetched_with_a_note(public, preprocess, tmp_path):
    public(None)
    _, printed, _ = preprocess("download", "top", "--out", tmp_path)
    assert "its hash is not published" in printed
    _, printed, _ = preprocess("download", "top", "--out", tmp_path)
    assert "train.h5 is there, its hash is not published: kept" in printed


def test_a_pattern_selects_files(public, preprocess, tmp_path):
    public(MD5, ("train.h5", "val.h5", "test.h5"))
    assert preprocess("download", "top", "--out", tmp_path, "--files", "t*.h5")[0] == 0
    assert files_in(tmp_path) == ["test.h5", "train.h5"]
    _, _, message = preprocess("download", "top", "--out", tmp_path, "--files", "*.root")
    assert "no file of Top tagging fits *.root; there are train.h5, val.h5, test.h5" in message


@pytest.mark.parametrize(
    ("status", "words"), [(404, "does not exist (HTTP 404)"), (503, "is refused (HTTP 503)")]
)
def test_the_status_of_a_refusal_is_reported(server, public, preprocess, tmp_path, status, words):
    server.options.status = status
    message = refusal_of(preprocess("download", "top", "--out", tmp_path))
    assert words in message
    assert message.count("\n") == 1
    assert files_in(tmp_path) == []


def test_a_web_page_in_place_of_the_file_is_refused(server, public, preprocess, tmp_path):
    server.options.web_page = True
    assert "shows a web page" in preprocess("download", "top", "--out", tmp_path)[2]
    assert files_in(tmp_path) == []


def test_without_a_network_the_message_names_the_folder_of_the_files(
    server, monkeypatch, preprocess, tmp_path
):
    with ThreadingHTTPServer(("127.0.0.1", 0), Record) as other:
        closed = f"127.0.0.1:{other.server_port}"
    monkeypatch.setattr(top, "REMOTE", (RemoteFile("train.h5", f"http://{closed}/train.h5"),))
    message = refusal_of(preprocess("download", "top", "--out", tmp_path))
    assert message.count("\n") == 1
    assert f"{closed} cannot be reached" in message
    assert f"belong into {tmp_path}" in message


def test_a_disk_that_is_too_small_is_refused_before_writing(
    public, preprocess, tmp_path, monkeypatch
):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    message = refusal_of(preprocess("download", "top", "--out", tmp_path))
    assert "has 1000 bytes left, but train.h5 needs 10240000" in message
    assert files_in(tmp_path) == []


def test_a_disk_that_fills_up_is_reported(public, preprocess, tmp_path, monkeypatch):
    full = FileIO("/dev/full", "wb")
    monkeypatch.setattr(download.Transfer, "open_partial", lambda transfer, offset: full)
    message = refusal_of(preprocess("download", "top", "--out", tmp_path))
    assert "the disk is full after 0 bytes; make room" in message
    assert not (tmp_path / "train.h5").exists()


def test_another_source_is_selected_by_name_and_an_unknown_one_refused(
    server, preprocess, tmp_path, monkeypatch
):
    second = (RemoteFile("v2.h5", f"{server.root}/records/5/files/v2.h5?download=1", MD5),)
    monkeypatch.setattr(top, "OTHER_SOURCES", {"second": second}, raising=False)
    assert preprocess("download", "top", "--out", tmp_path, "--source", "second")[0] == 0
    assert files_in(tmp_path) == ["v2.h5"]
    message = preprocess("download", "top", "--out", tmp_path, "--source", "third")[2]
    assert "--source third is no source of Top tagging; known: omnilearned, second" in message


def test_repacked_files_are_listed_by_their_server_and_keep_their_split(
    server, preprocess, tmp_path, monkeypatch
):
    monkeypatch.setattr(omnilearned, "ADDRESS", f"{server.root}/omnilearned")
    server.options.pages = {
        f"/omnilearned/h1/{split}/": f'<a href="../">up</a> <a href="h1_{split}_0.h5">x</a> '
        '<a href="/etc/passwd.h5">x</a> <a href="../../out.h5">x</a> <a href="h1.txt">x</a>'
        for split in ("train", "test")
    }
    printed = output_of(preprocess("download", "h1", "--out", tmp_path, "--source", "omnilearned"))
    assert printed.count("its hash is not published") == 2
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert names == ["test/h1_test_0.h5", "train/h1_train_0.h5"]
    assert (tmp_path / "train/h1_train_0.h5").read_bytes() == CONTENT
    server.options.pages = {}
    for name in ("qg", "lhco"):
        message = preprocess("download", name, "--out", tmp_path, "--source", "omnilearned")[2]
        assert f"omnilearned/{name} lists no .h5 file" in message


def test_for_data_that_are_not_public_the_owner_and_alternatives_are_named(preprocess, tmp_path):
    message = refusal_of(preprocess("download", "h1", "--out", tmp_path))
    assert "the ROOT files of the H1 Collaboration are not public" in message
    assert "--source omnilearned" in message
    assert "python -m simulation h1" in message


def test_an_interrupted_download_keeps_the_partial_file(public, preprocess, tmp_path, monkeypatch):
    def interrupt(response):
        yield CONTENT[:700]
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "blocks", interrupt)
    message = refusal_of(preprocess("download", "top", "--out", tmp_path))
    assert "the same command goes on" in message
    (left,) = tmp_path.iterdir()
    assert re.fullmatch(r"\.train\.h5\.[0-9a-f]{16}\.partial", left.name)
    assert left.stat().st_size == 700
