"""Fetching one large file over HTTP: it goes on where it was cut, and only a whole, verified file gets its final name.

Beside `FILE` are `FILE.json` (what was fetched: address, size, SHA-256; later fetches must give the same), and while it
is on its way `FILE.part` with `FILE.part.json` (the server's mark of the version that the part belongs to).
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sublingual.errors import DownloadError

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes of the whole file, None where the server does not say."""

_CHUNK = 1 << 18
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_PAGE = "the server sent a web page, not the file; the address may have moved"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that is there whole. resumed_from: the byte the last transfer began at; None where nothing was fetched."""

    path: Path
    url: str
    size: int
    sha256: str
    resumed_from: int | None


def fetch(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    by_hand: str = "",
    progress: Progress = lambda done, total: None,
    timeout: float = 60.0,
) -> Fetched:
    """Returns the file at `url`, fetched to `target` unless it is there; run again, it goes on where it was cut.

    sha256: the SHA-256 it must have; without it, the one recorded by the first fetch, if any.
    by_hand: what a user who cannot fetch it should do; ends every message.
    timeout: seconds without a byte after which the transfer counts as cut.
    Raises DownloadError: no answer, another status than 200 or 206, a web page, too short, another SHA-256, no room; and
    before anything is fetched for a `sha256` that can be none.
    """
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise DownloadError(f"{sha256!r} is no SHA-256: 64 hexadecimal digits are needed, this has {len(sha256)}")
    if not url.lower().startswith(("http://", "https://")):
        raise DownloadError(f"{url}: only http:// and https:// addresses can be fetched")
    transfer = _Transfer(url, target, by_hand=by_hand, timeout=timeout)
    wanted = sha256 or transfer.recorded()
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        fetched = transfer.verified(target, wanted, resumed_from=None)
        transfer.remember(fetched)
        return fetched
    with transfer.part.open("ab") as file:
        transfer.lock(file)
        try:
            begun = transfer.receive(file, progress)
            fetched = transfer.verified(transfer.part, wanted, resumed_from=begun)
            transfer.remember(fetched)
            os.replace(transfer.part, target)
        finally:
            transfer.tidy()
    return fetched


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Transfer:
    def __init__(self, url: str, target: Path, *, by_hand: str, timeout: float) -> None:
        self.url = url
        self.target = target
        self.part = target.with_name(target.name + ".part")
        self.mark = target.with_name(target.name + ".part.json")
        self.record = target.with_name(target.name + ".json")
        self.by_hand = by_hand
        self.timeout = timeout

    def error(self, what: str) -> DownloadError:
        return DownloadError(f"{self.url}: {what}. {self.by_hand}".strip())

    def recorded(self) -> str | None:
        return _read_json(self.record).get("sha256")

    def lock(self, file: BinaryIO) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise self.error(f"another process is fetching it to {self.part}; wait for it") from error
        if not self.part.exists() or os.fstat(file.fileno()).st_ino != self.part.stat().st_ino:
            raise self.error(f"another process has just fetched it to {self.target}; run the same command again")

    def receive(self, file: BinaryIO, progress: Progress) -> int:
        """Fills the part up to the whole file; returns the byte it began at."""
        begun = self._have(file)
        try:
            with self._open(begun) as response:
                begun = self._accept(response, file, begun)
                total = _total(response, begun)
                self._make_room(begun, total)
                self._copy(response, file, progress, total=total)
        except urllib.error.HTTPError as error:
            return self._refused(error, file, begun, progress)
        except (OSError, http.client.HTTPException) as error:
            raise self._cut(file, reason=str(error) or type(error).__name__) from error
        return begun

    def _have(self, file: BinaryIO) -> int:
        """Bytes of the part that can be gone on from: none without a mark that ties them to one version of the file."""
        mark = _read_json(self.mark)
        if mark.get("url") != self.url or not mark.get("validator"):
            file.truncate(0)
        return file.seek(0, os.SEEK_END)

    def _open(self, begun: int) -> http.client.HTTPResponse:
        headers = {"User-Agent": "sublingual", "Accept-Encoding": "identity"}
        if begun:
            headers |= {"Range": f"bytes={begun}-", "If-Range": _read_json(self.mark)["validator"]}
        request = urllib.request.Request(self.url, headers=headers)
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=self.timeout)
        return response

    def _accept(self, response: http.client.HTTPResponse, file: BinaryIO, begun: int) -> int:
        """Looks at the answer's head; returns the byte its body starts at, with the part cut to that length."""
        if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise self.error(_PAGE)
        span = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if response.status == http.client.PARTIAL_CONTENT and not (span and int(span[1]) == begun):
            raise self.error(f"the server sent another range than the one asked for, from byte {begun}")
        if response.status != http.client.PARTIAL_CONTENT:
            begun = 0
            _write_json(self.mark, {"url": self.url, "validator": _validator(response)})
        file.truncate(begun)
        file.seek(begun)
        return begun

    def _make_room(self, begun: int, total: int | None) -> None:
        free = shutil.disk_usage(self.part.parent).free
        if total is not None and total - begun > free:
            raise self.error(f"{total - begun:,} bytes are to come, but {self.part.parent} has room for {free:,}")

    def _copy(
        self, response: http.client.HTTPResponse, file: BinaryIO, progress: Progress, *, total: int | None
    ) -> None:
        done = file.tell()
        progress(done, total)
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            done += len(chunk)
            progress(done, total)
        file.flush()
        os.fsync(file.fileno())
        if total is not None and done < total:
            raise self._cut(file, reason=f"{done:,} of {total:,} bytes came")

    def _cut(self, file: BinaryIO, *, reason: str) -> DownloadError:
        file.flush()
        kept = file.tell()
        again = f"; run the same command again to go on from byte {kept:,}" if kept else ""
        return self.error(f"could not be fetched: {reason}{again}")

    def _refused(self, error: urllib.error.HTTPError, file: BinaryIO, begun: int, progress: Progress) -> int:
        with error:
            if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not begun:
                raise self.error(f"the server answered {error.code} {error.reason}") from error
            if error.headers.get("Content-Range") == f"bytes */{begun}":
                return begun
        self.mark.unlink(missing_ok=True)
        return self.receive(file, progress)

    def verified(self, path: Path, wanted: str | None, *, resumed_from: int | None) -> Fetched:
        """Returns what `path` holds once it is no web page and its SHA-256 the wanted one; a part that fails goes."""
        with path.open("rb") as file:
            is_page = file.read(512).lstrip().lower().startswith((b"<!doctype html", b"<html"))
        found = sha256_of(path)
        if is_page or (wanted is not None and found != wanted.lower()):
            if path == self.part:
                self._forget_part()
            raise self.error(_PAGE if is_page else self._other_file(path, found, wanted or ""))
        return Fetched(self.target, self.url, path.stat().st_size, found, resumed_from)

    def _other_file(self, path: Path, found: str, wanted: str) -> str:
        mend = "nothing was kept" if path == self.part else f"delete {path} to fetch it again"
        source = f"; {self.record} has the record" if self.recorded() == wanted else ""
        return f"not the file that is expected: SHA-256 {found}, expected {wanted}{source}; {mend}"

    def remember(self, fetched: Fetched) -> None:
        """Records the file, so that a later fetch must give the same."""
        _write_json(self.record, {"url": fetched.url, "size": str(fetched.size), "sha256": fetched.sha256})

    def tidy(self) -> None:
        """Removes what nothing can be gone on from: an empty part, the mark of a part that has become the file."""
        if not self.part.exists() or not self.part.stat().st_size:
            self._forget_part()

    def _forget_part(self) -> None:
        self.part.unlink(missing_ok=True)
        self.mark.unlink(missing_ok=True)


def _validator(response: http.client.HTTPResponse) -> str | None:
    """What If-Range may name (RFC 9110, 13.1.5): a strong ETag, else the date of the last change."""
    tag: str | None = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _total(response: http.client.HTTPResponse, begun: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return begun + int(length) if length.isdecimal() else None


def _read_json(path: Path) -> dict[str, str]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _write_json(path: Path, values: dict[str, str | None]) -> None:
    draft = path.with_name(path.name + ".new")
    draft.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(draft, path)
