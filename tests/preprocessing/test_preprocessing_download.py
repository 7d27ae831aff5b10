"""Public files from a server: fetched whole, checked, gone on with, refused in a sentence."""

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

from preprocessing import download, omnilearned, top
from preprocessing.sources import RemoteFile

CONTENT = bytes(range(256)) * 40_000  # 10 MB
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
PARTIAL = ".train.h5.0123456789abcdef.partial"  # as an earlier command leaves it


class Record(BaseHTTPRequestHandler):
    """A server with one file; `server.manners` says how it behaves."""

    def do_GET(self):
        manners = self.server.manners
        self.server.asked.append((self.path, self.headers.get("Range")))
        if self.path.startswith("/api/"):
            return self.answer(200, json.dumps(manners.listing).encode(), "application/json")
        if self.path.endswith("/"):
            page = manners.pages.get(self.path)
            status = 404 if page is None else 200
            return self.answer(status, (page or "").encode(), "text/html")
        if manners.status != 200:
            return self.answer(manners.status, b"no", "text/plain")
        if manners.web_page:
            return self.answer(200, b"<html>log in</html>", "text/html; charset=utf-8")
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        first = int(wanted[1]) if wanted and manners.ranges else 0
        if first >= len(CONTENT):
            return self.answer(416, b"", "text/plain", {"Content-Range": f"bytes */{len(CONTENT)}"})
        span = {"Content-Range": f"bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}"}
        sent = CONTENT[first : first + manners.at_once]
        length = len(CONTENT) - first
        return self.answer(206 if first else 200, sent, "application/zip", span, length)

    def answer(self, status, body, kind, headers=None, length=None):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the client may have seen enough
            self.wfile.write(body)

    def log_message(self, *_):
        """Nothing."""


@pytest.fixture
def server():
    """A record on a free port; `manners` can be changed, `asked` lists path and range."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Record) as server:
        server.manners = SimpleNamespace(
            status=200,
            ranges=True,
            at_once=len(CONTENT),
            web_page=False,
            listing={"files": []},
            pages={},
        )
        server.asked = []
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
    return [(path, span) for path, span in server.asked if path.startswith("/records/")]


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_and_is_checked(public, preprocess, tmp_path):
    status, said, _ = preprocess("download", "top", "--out", tmp_path)
    assert status == 0
    assert "train.h5: 10.2 MB, md5 as published" in said
    assert (tmp_path / "train.h5").read_bytes() == CONTENT
    assert files_in(tmp_path) == ["train.h5"]


def test_a_complete_file_is_kept_and_not_asked_for_again(server, public, preprocess, tmp_path):
    (tmp_path / "train.h5").write_bytes(CONTENT)
    _, said, _ = preprocess("download", "top", "--out", tmp_path)
    assert "train.h5 is complete, md5 as published: kept" in said
    assert server.asked == []


def test_a_file_of_another_content_is_fetched_again(public, preprocess, tmp_path):
    (tmp_path / "train.h5").write_bytes(CONTENT[:-1])
    status, said, _ = preprocess("download", "top", "--out", tmp_path)
    assert status == 0
    assert "is not the public file (md5 differs): fetched again" in said
    assert (tmp_path / "train.h5").read_bytes() == CONTENT


def test_a_link_under_the_name_of_a_partial_file_is_not_followed(public, preprocess, tmp_path):
    other = tmp_path / "letter.txt"
    other.write_bytes(CONTENT[:500])
    (tmp_path / PARTIAL).symlink_to(other)
    assert preprocess("download", "top", "--out", tmp_path)[0] == 0
    assert (tmp_path / "train.h5").read_bytes() == CONTENT
    assert other.read_bytes() == CONTENT[:500]


def test_the_missing_rest_alone_is_fetched(server, public, preprocess, tmp_path):
    (tmp_path / PARTIAL).write_bytes(CONTENT[:1_000_000])
    assert preprocess("download", "top", "--out", tmp_path)[0] == 0
    assert [span for _, span in fetched(server)] == ["bytes=1000000-"]
    assert (tmp_path / "train.h5").read_bytes() == CONTENT
    assert files_in(tmp_path) == ["train.h5"]


def test_a_partial_file_that_misses_nothing_is_complete(public, preprocess, tmp_path):
    (tmp_path / PARTIAL).write_bytes(CONTENT)
    assert preprocess("download", "top", "--out", tmp_path)[0] == 0
    assert (tmp_path / "train.h5").read_bytes() == CONTENT


def test_a_partial_file_longer_than_the_public_one_is_thrown_away(public, preprocess, tmp_path):
    (tmp_path / PARTIAL).write_bytes(CONTENT + b"more")
    assert preprocess("download", "top", "--out", tmp_path)[0] == 0
    assert (tmp_path / "train.h5").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_it_all_again(server, public, preprocess, tmp_path):
    server.manners.ranges = False
    (tmp_path / PARTIAL).write_bytes(b"something else")
    assert preprocess("download", "top", "--out", tmp_path)[0] == 0
    assert (tmp_path / "train.h5").read_bytes() == CONTENT


def test_a_connection_that_breaks_is_taken_up_where_it_ended(server, public, preprocess, tmp_path):
    server.manners.at_once = 4 * download.BLOCK
    assert preprocess("download", "top", "--out", tmp_path)[0] == 0
    assert (tmp_path / "train.h5").read_bytes() == CONTENT
    assert [span for _, span in fetched(server)] == [None, "bytes=4194304-", "bytes=8388608-"]


def test_a_server_that_sends_nothing_more_leaves_what_arrived(server, public, preprocess, tmp_path):
    server.manners.at_once = 0
    (tmp_path / PARTIAL).write_bytes(CONTENT[:500])
    status, _, complaint = preprocess("download", "top", "--out", tmp_path)
    assert status == 2
    assert "broke off after 500 bytes; run the same command again, it goes on" in complaint
    assert (tmp_path / PARTIAL).read_bytes() == CONTENT[:500]


def test_another_hash_is_told_and_nothing_is_kept(public, preprocess, tmp_path):
    public("md5:" + 32 * "0")
    status, _, complaint = preprocess("download", "top", "--out", tmp_path)
    assert status == 2
    assert "arrived with another md5 than 00000" in complaint
    assert complaint.count("\n") == 1
    assert files_in(tmp_path) == []


def test_a_damaged_beginning_is_not_kept_for_the_next_run(public, preprocess, tmp_path):
    (tmp_path / PARTIAL).write_bytes(b"damaged")
    assert preprocess("download", "top", "--out", tmp_path)[0] == 2
    assert preprocess("download", "top", "--out", tmp_path)[0] == 0
    assert (tmp_path / "train.h5").read_bytes() == CONTENT


def test_a_hash_that_the_suite_lacks_is_asked_of_the_record_once(
    server, public, preprocess, tmp_path
):
    names = ("train.h5", "val.h5")
    server.manners.listing = {"files": [{"key": name, "checksum": MD5} for name in names]}
    public(None, names)
    _, said, _ = preprocess("download", "top", "--out", tmp_path)
    assert said.count("md5 as published") == 2
    assert [path for path, _ in server.asked if "api" in path] == ["/api/records/5"]
    server.manners.listing = {"files": [{"key": "train.h5", "checksum": "md5:1234"}]}
    (tmp_path / "train.h5").unlink()
    assert "another md5 than 1234" in preprocess("download", "top", "--out", tmp_path)[2]


def test_a_file_whose_hash_nobody_knows_is_fetched_and_this_is_said(public, preprocess, tmp_path):
    public(None)
    _, said, _ = preprocess("download", "top", "--out", tmp_path)
    assert "its hash is not published" in said
    _, said, _ = preprocess("download", "top", "--out", tmp_path)
    assert "train.h5 is there, its hash is not published: kept" in said


def test_a_pattern_takes_some_of_the_files(public, preprocess, tmp_path):
    public(MD5, ("train.h5", "val.h5", "test.h5"))
    assert preprocess("download", "top", "--out", tmp_path, "--files", "t*.h5")[0] == 0
    assert files_in(tmp_path) == ["test.h5", "train.h5"]
    _, _, complaint = preprocess("download", "top", "--out", tmp_path, "--files", "*.root")
    assert "no file of Top tagging fits *.root; there are train.h5, val.h5, test.h5" in complaint


@pytest.mark.parametrize(
    ("status", "words"), [(404, "does not exist (HTTP 404)"), (503, "is refused (HTTP 503)")]
)
def test_a_server_that_refuses_is_quoted(server, public, preprocess, tmp_path, status, words):
    server.manners.status = status
    failed, _, complaint = preprocess("download", "top", "--out", tmp_path)
    assert failed == 2
    assert words in complaint
    assert complaint.count("\n") == 1
    assert files_in(tmp_path) == []


def test_a_web_page_is_not_taken_for_the_file(server, public, preprocess, tmp_path):
    server.manners.web_page = True
    assert "shows a web page" in preprocess("download", "top", "--out", tmp_path)[2]
    assert files_in(tmp_path) == []


def test_without_a_network_the_sentence_says_where_the_files_belong(
    server, monkeypatch, preprocess, tmp_path
):
    with ThreadingHTTPServer(("127.0.0.1", 0), Record) as other:
        closed = f"127.0.0.1:{other.server_port}"
    monkeypatch.setattr(top, "REMOTE", (RemoteFile("train.h5", f"http://{closed}/train.h5"),))
    status, _, complaint = preprocess("download", "top", "--out", tmp_path)
    assert status == 2
    assert complaint.count("\n") == 1
    assert f"{closed} cannot be reached" in complaint
    assert f"belong into {tmp_path}" in complaint


def test_a_disk_that_is_too_small_is_told_before_a_byte_is_written(
    public, preprocess, tmp_path, monkeypatch
):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    status, _, complaint = preprocess("download", "top", "--out", tmp_path)
    assert status == 2
    assert "has 1000 bytes left, but train.h5 needs 10240000" in complaint
    assert files_in(tmp_path) == []


def test_a_disk_that_fills_up_is_told(public, preprocess, tmp_path, monkeypatch):
    full = FileIO("/dev/full", "wb")
    monkeypatch.setattr(download.Transfer, "open_partial", lambda transfer, offset: full)
    status, _, complaint = preprocess("download", "top", "--out", tmp_path)
    assert status == 2
    assert "the disk is full after 0 bytes; make room" in complaint
    assert not (tmp_path / "train.h5").exists()


def test_another_place_is_asked_for_by_its_name_and_an_unknown_one_refused(
    server, preprocess, tmp_path, monkeypatch
):
    second = (RemoteFile("v2.h5", f"{server.root}/records/5/files/v2.h5?download=1", MD5),)
    monkeypatch.setattr(top, "OTHER_SOURCES", {"second": second}, raising=False)
    assert preprocess("download", "top", "--out", tmp_path, "--source", "second")[0] == 0
    assert files_in(tmp_path) == ["v2.h5"]
    complaint = preprocess("download", "top", "--out", tmp_path, "--source", "third")[2]
    assert "--source third is no source of Top tagging; known: omnilearned, second" in complaint


def test_repacked_files_are_listed_by_their_server_and_keep_their_split(
    server, preprocess, tmp_path, monkeypatch
):
    monkeypatch.setattr(omnilearned, "ADDRESS", f"{server.root}/omnilearned")
    server.manners.pages = {
        f"/omnilearned/h1/{split}/": f'<a href="../">up</a> <a href="h1_{split}_0.h5">x</a> '
        '<a href="/etc/passwd.h5">x</a> <a href="../../out.h5">x</a> <a href="h1.txt">x</a>'
        for split in ("train", "test")
    }
    status, said, complaint = preprocess(
        "download", "h1", "--out", tmp_path, "--source", "omnilearned"
    )
    assert status == 0, complaint
    assert said.count("its hash is not published") == 2
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert found == ["test/h1_test_0.h5", "train/h1_train_0.h5"]
    assert (tmp_path / "train/h1_train_0.h5").read_bytes() == CONTENT
    server.manners.pages = {}
    for name in ("qg", "lhco"):
        complaint = preprocess("download", name, "--out", tmp_path, "--source", "omnilearned")[2]
        assert f"omnilearned/{name} lists no .h5 file" in complaint


def test_data_that_are_not_public_are_named_with_their_owner(preprocess, tmp_path):
    status, _, complaint = preprocess("download", "h1", "--out", tmp_path)
    assert status == 2
    assert "the ROOT files of the H1 Collaboration are not public" in complaint
    assert "--source omnilearned" in complaint
    assert "python -m simulation h1" in complaint


def test_an_interruption_says_that_the_same_command_goes_on(
    public, preprocess, tmp_path, monkeypatch
):
    def interrupt(response):
        yield CONTENT[:700]
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "blocks", interrupt)
    status, _, complaint = preprocess("download", "top", "--out", tmp_path)
    assert status == 2
    assert "the same command goes on" in complaint
    (left,) = tmp_path.iterdir()
    assert re.fullmatch(r"\.train\.h5\.[0-9a-f]{16}\.partial", left.name)
    assert left.stat().st_size == 700
