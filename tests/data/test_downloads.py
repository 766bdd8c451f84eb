"""Fetching a file over HTTP, against a server on this machine."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sublingual.data import downloads
from sublingual.data.downloads import fetch
from sublingual.errors import DownloadError

BODY = bytes(range(256)) * 4000


@dataclass
class Behaviour:
    """What the server does; tests change it between requests."""

    body: bytes = BODY
    cut_after: int | None = None
    ranges: bool = True
    etag: str | None = '"one"'
    modified: str | None = None
    status: int = 200
    content_type: str = "application/octet-stream"
    length: int | None = None
    wrong_range: bool = False
    seen: list[str | None] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    behaviour: Behaviour

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        is_, asked = self.behaviour, self.headers.get("Range")
        is_.seen.append(asked)
        validator = is_.etag or is_.modified
        start = 0
        if asked and is_.ranges and self.headers.get("If-Range") == validator:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= len(is_.body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(is_.body)}")
            self.end_headers()
            return
        self.head(start)
        with contextlib.suppress(ConnectionError):  # a client that refuses the head does not wait for the body
            self.wfile.write(is_.body[start : is_.cut_after])

    def head(self, start: int) -> None:
        is_ = self.behaviour
        self.send_response(206 if start else is_.status)
        self.send_header("Content-Type", is_.content_type)
        self.send_header("Content-Length", str(is_.length or len(is_.body) - start))
        for name, value in (("ETag", is_.etag), ("Last-Modified", is_.modified)):
            if value:
                self.send_header(name, value)
        if start:
            first = start + 1 if is_.wrong_range else start
            self.send_header("Content-Range", f"bytes {first}-{len(is_.body) - 1}/{len(is_.body)}")
        self.end_headers()


@dataclass
class Server:
    url: str
    behaviour: Behaviour


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    behaviour = Behaviour()
    handler = type("BoundHandler", (Handler,), {"behaviour": behaviour})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=partial(http.serve_forever, poll_interval=0.01))
    thread.start()
    yield Server(f"http://127.0.0.1:{http.server_port}/ud.tgz", behaviour)
    http.shutdown()
    thread.join()
    http.server_close()


def cut_at(server: Server, target: Path, n: int) -> None:
    server.behaviour.cut_after = n
    with pytest.raises(DownloadError, match=f"run the same command again to go on from byte {n:,}"):
        fetch(server.url, target)
    server.behaviour.cut_after = None


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_comes_whole_and_its_sha256_is_recorded(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    fetched = fetch(server.url, tmp_path / "new" / "f", progress=lambda *state: seen.append(state))
    assert fetched.path.read_bytes() == BODY
    assert (fetched.size, fetched.sha256, fetched.resumed_from) == (len(BODY), hashlib.sha256(BODY).hexdigest(), 0)
    assert names(tmp_path / "new") == {"f", "f.json"}
    record = json.loads((tmp_path / "new" / "f.json").read_text("utf-8"))
    assert record == {"url": server.url, "size": str(len(BODY)), "sha256": fetched.sha256}
    assert (seen[0], seen[-1]) == ((0, len(BODY)), (len(BODY), len(BODY)))


def test_a_file_that_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    first = fetch(server.url, tmp_path / "f")
    again = fetch(server.url, tmp_path / "f")
    assert (again.sha256, again.resumed_from, len(server.behaviour.seen)) == (first.sha256, None, 1)


def test_a_cut_transfer_leaves_no_file_and_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    cut_at(server, tmp_path / "f", 300_000)
    assert names(tmp_path) == {"f.part", "f.part.json"}
    fetched = fetch(server.url, tmp_path / "f")
    assert (fetched.path.read_bytes(), fetched.resumed_from) == (BODY, 300_000)
    assert server.behaviour.seen == [None, "bytes=300000-"]
    assert names(tmp_path) == {"f", "f.json"}


def test_a_transfer_can_be_cut_many_times(server: Server, tmp_path: Path) -> None:
    for n in (1, 500_000, 900_000):
        cut_at(server, tmp_path / "f", n)
    assert fetch(server.url, tmp_path / "f").path.read_bytes() == BODY


def test_the_date_of_the_last_change_serves_where_there_is_no_strong_etag(server: Server, tmp_path: Path) -> None:
    server.behaviour.etag, server.behaviour.modified = None, "Mon, 15 Nov 2021 10:00:00 GMT"
    cut_at(server, tmp_path / "f", 300_000)
    assert fetch(server.url, tmp_path / "f").resumed_from == 300_000


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_mark_of_the_version_it_begins_again(server: Server, tmp_path: Path, etag: str | None) -> None:
    server.behaviour.etag = etag
    cut_at(server, tmp_path / "f", 300_000)
    assert (fetch(server.url, tmp_path / "f").path.read_bytes(), server.behaviour.seen) == (BODY, [None, None])


def test_a_server_without_ranges_sends_it_all_again(server: Server, tmp_path: Path) -> None:
    server.behaviour.ranges = False
    cut_at(server, tmp_path / "f", 300_000)
    fetched = fetch(server.url, tmp_path / "f")
    assert (fetched.path.read_bytes(), fetched.resumed_from) == (BODY, 0)


def test_a_file_that_changed_on_the_server_is_not_mixed_with_the_old_part(server: Server, tmp_path: Path) -> None:
    cut_at(server, tmp_path / "f", 300_000)
    server.behaviour.body, server.behaviour.etag = BODY[::-1], '"two"'
    fetched = fetch(server.url, tmp_path / "f")
    assert (fetched.path.read_bytes(), fetched.resumed_from) == (BODY[::-1], 0)


def test_a_part_from_another_address_is_not_gone_on_from(server: Server, tmp_path: Path) -> None:
    cut_at(server, tmp_path / "f", 300_000)
    assert fetch(server.url + "?other", tmp_path / "f").resumed_from == 0


def test_a_part_that_is_whole_already_only_gets_its_name(server: Server, tmp_path: Path) -> None:
    cut_at(server, tmp_path / "f", 300_000)
    (tmp_path / "f.part").write_bytes(BODY)
    assert fetch(server.url, tmp_path / "f").path.read_bytes() == BODY


def test_a_part_longer_than_the_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    cut_at(server, tmp_path / "f", 300_000)
    (tmp_path / "f.part").write_bytes(BODY + b"more")
    assert fetch(server.url, tmp_path / "f").path.read_bytes() == BODY


def test_another_range_than_the_one_asked_for_is_refused(server: Server, tmp_path: Path) -> None:
    cut_at(server, tmp_path / "f", 300_000)
    server.behaviour.wrong_range = True
    with pytest.raises(DownloadError, match="another range than the one asked for, from byte 300000"):
        fetch(server.url, tmp_path / "f")


def test_a_file_shorter_than_announced_is_not_taken(server: Server, tmp_path: Path) -> None:
    server.behaviour.length = len(BODY) + 10
    with pytest.raises(DownloadError, match=r"1,024,000 of 1,024,010 bytes came"):
        fetch(server.url, tmp_path / "f")
    assert not (tmp_path / "f").exists()


def test_a_file_longer_than_announced_fails_by_its_sha256(server: Server, tmp_path: Path) -> None:
    server.behaviour.length = len(BODY) - 10
    with pytest.raises(DownloadError, match="not the file that is expected"):
        fetch(server.url, tmp_path / "f", sha256=hashlib.sha256(BODY).hexdigest())
    assert names(tmp_path) == set()


def test_a_corrupt_transfer_is_found_by_the_given_sha256_and_not_kept(server: Server, tmp_path: Path) -> None:
    right, server.behaviour.body = hashlib.sha256(BODY).hexdigest(), b"!" + BODY[1:]
    with pytest.raises(DownloadError, match=f"SHA-256 [0-9a-f]{{64}}, expected {right}; nothing was kept"):
        fetch(server.url, tmp_path / "f", sha256=right)
    assert names(tmp_path) == set()


@pytest.mark.parametrize("sha256", ["abcd", "", "g" * 64, "0" * 63, "0" * 65])
def test_a_sha256_that_can_be_none_is_refused_before_anything_is_fetched(
    server: Server, tmp_path: Path, sha256: str
) -> None:
    with pytest.raises(DownloadError, match=f"'{sha256}' is no SHA-256: 64 hexadecimal digits are needed, this has"):
        fetch(server.url, tmp_path / "f", sha256=sha256)
    assert server.behaviour.seen == []


def test_a_later_transfer_must_give_what_the_first_recorded(server: Server, tmp_path: Path) -> None:
    fetch(server.url, tmp_path / "f").path.unlink()
    server.behaviour.body = b"!" + BODY[1:]
    with pytest.raises(
        DownloadError, match=r"not the file that is expected: .*f\.json has the record; nothing was kept"
    ):
        fetch(server.url, tmp_path / "f")
    assert names(tmp_path) == {"f.json"}


def test_a_part_corrupted_on_disk_is_found_by_the_record(server: Server, tmp_path: Path) -> None:
    fetch(server.url, tmp_path / "f").path.unlink()
    cut_at(server, tmp_path / "f", 300_000)
    (tmp_path / "f.part").write_bytes(b"!" + BODY[1:300_000])
    with pytest.raises(DownloadError, match="not the file that is expected"):
        fetch(server.url, tmp_path / "f")
    assert fetch(server.url, tmp_path / "f").path.read_bytes() == BODY


def test_a_file_that_was_changed_on_disk_is_found_by_the_record(server: Server, tmp_path: Path) -> None:
    path = fetch(server.url, tmp_path / "f").path
    path.write_bytes(b"!" + BODY[1:])
    with pytest.raises(DownloadError, match=f"has the record; delete {path} to fetch it again"):
        fetch(server.url, path)


def test_a_file_put_there_by_hand_is_taken_and_recorded(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(BODY)
    assert fetch(server.url, tmp_path / "f").resumed_from is None
    assert server.behaviour.seen == []
    assert (tmp_path / "f.json").exists()


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_error_of_the_server_is_named_with_the_way_by_hand(server: Server, tmp_path: Path, status: int) -> None:
    server.behaviour.status = status
    with pytest.raises(DownloadError, match=rf"{server.url}: the server answered {status} .*\. Get it by hand\."):
        fetch(server.url, tmp_path / "f", by_hand="Get it by hand.")
    assert names(tmp_path) == set()


def test_a_web_page_is_refused_by_its_type(server: Server, tmp_path: Path) -> None:
    server.behaviour.content_type = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="the server sent a web page, not the file"):
        fetch(server.url, tmp_path / "f")
    assert names(tmp_path) == set()


def test_a_web_page_is_refused_by_its_first_bytes(server: Server, tmp_path: Path) -> None:
    server.behaviour.body = b"\n<!DOCTYPE HTML><title>Moved</title>"
    with pytest.raises(DownloadError, match="the server sent a web page, not the file"):
        fetch(server.url, tmp_path / "f")
    assert names(tmp_path) == set()


def test_a_server_that_cannot_be_reached_is_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="http://127.0.0.1:1/f: could not be fetched: .*refused"):
        fetch("http://127.0.0.1:1/f", tmp_path / "f")
    assert names(tmp_path) == set()


def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/f"
        with pytest.raises(DownloadError, match="could not be fetched: .*timed out"):
            fetch(url, tmp_path / "f", timeout=0.05)


def test_a_full_disk_is_named_before_anything_comes(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(DownloadError, match=r"1,024,000 bytes are to come, but .* has room for 1,000"):
        fetch(server.url, tmp_path / "f")


def test_two_processes_do_not_write_one_part(server: Server, tmp_path: Path) -> None:
    with (tmp_path / "f.part").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match="another process is fetching it"):
            fetch(server.url, tmp_path / "f")


def test_a_part_that_became_the_file_meanwhile_is_not_written_to(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finished_by_another(*_: object) -> None:
        (tmp_path / "f.part").write_bytes(BODY)
        (tmp_path / "f.part").rename(tmp_path / "f")

    monkeypatch.setattr(downloads.fcntl, "flock", finished_by_another)
    with pytest.raises(DownloadError, match="another process has just fetched it to .*; run the same command again"):
        fetch(server.url, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == BODY


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/f", "ud.tgz"])
def test_only_http_is_fetched(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="only http:// and https:// addresses"):
        fetch(url, tmp_path / "f")
