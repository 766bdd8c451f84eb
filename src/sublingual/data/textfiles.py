"""Text files in and out: UTF-8 checked with reasons a person understands, .gz and .xz opened, writes atomic."""

from __future__ import annotations

import gzip
import io
import logging
import lzma
import os
import re
import secrets
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sublingual.data.blocks import Block, Fault, place_of
from sublingual.errors import DataError

_log = logging.getLogger(__name__)
MAX_UNPACKED = 1 << 30  # bytes; no treebank comes near it
SMALL_UNPACKED = 1 << 24  # up to this size any ratio is taken
MAX_RATIO = 100  # treebanks shrink by 10 to 20
_BINARY = re.compile(rb"[\0-\x08\x0e-\x1f]")
_MAGIC = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"PK\x03\x04": "zip"}


@dataclass(frozen=True, slots=True)
class Text:
    """The text of `source` with "\\n" line ends and no byte order mark, and what was found while decoding it.

    Where `faults` holds an error, `text` is empty.
    """

    text: str
    source: str
    faults: tuple[Fault, ...] = ()

    def checked(self) -> str:
        """The text, its lesser faults logged; raises DataError where one of them is an error."""
        for fault in self.faults:
            if fault.severity == "error":
                raise DataError(f"{fault.place}: {fault.message} [{fault.id}]")
            _log.warning("%s", fault)
        return self.text

    def blocks(self) -> Iterator[Block]:
        """The sentences' lines, one block for each run of lines that are not empty."""
        start = 1
        for chunk in self.text.split("\n\n"):
            lines = chunk.split("\n")
            line, start = start, start + len(lines) + 1
            if not lines[0] or not lines[-1]:  # more than one blank line, or the last sentence
                line += 0 if lines[0] else 1
                lines = [text for text in lines if text]
            if lines:
                yield Block(lines, self.source, line)


def read_text(path: Path | str) -> Text:
    """The text of `path` ("-" is standard input), unpacked if it is .gz or .xz by its first bytes.

    Raises DataError where the file cannot be opened or unpacked; wrong encodings are faults of the result.
    """
    source = source_name(path)
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror}") from error
    data = _unpacked(data, source)
    reason = _not_text(data)
    if reason:
        return Text("", source, (Fault("invalid-utf", "error", place_of(source, 1), reason),))
    try:
        return clean_text(data.decode("utf-8"), source)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Text("", source, (Fault("invalid-utf", "error", place_of(source, line), _utf8_message(data, error)),))


def source_name(path: Path | str) -> str:
    """How messages call the file `path`."""
    return "<stdin>" if str(path) == "-" else str(path)


def clean_text(text: str, source: str) -> Text:
    """`text` without byte order mark and with "\\n" for "\\r\\n", both as warnings; NUL and other "\\r" are errors."""
    faults = []
    if text.startswith("\ufeff"):
        text = text[1:]
        faults.append(Fault("byte-order-mark", "note", place_of(source, 1), "byte order mark at the start, left out"))
    if "\r" in text:
        line = text.count("\n", 0, text.index("\r")) + 1
        if "\n" not in text:
            message = "the lines end with CR alone (old Mac line ends): convert them to LF, e.g. tr '\\r' '\\n'"
            return Text("", source, (*faults, Fault("non-unix-newline", "error", place_of(source, line), message)))
        message = "lines end with CR LF (Windows); read as LF, and written so"
        faults.append(Fault("non-unix-newline", "warning", place_of(source, line), message))
        text = text.replace("\r\n", "\n")
    for character, id, name in (("\r", "stray-carriage-return", "a carriage return"), ("\0", "nul", "a NUL character")):
        if character in text:
            line = text.count("\n", 0, text.index(character)) + 1
            message = f"{name} inside the line: remove it"
            return Text("", source, (*faults, Fault(id, "error", place_of(source, line), message)))
    return Text(text, source, tuple(faults))


def _unpacked(data: bytes, source: str) -> bytes:
    kind = next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)
    if kind is None:
        return data
    if kind == "zip":
        raise DataError(f"{source}: this is a zip archive, not CoNLL-U: unpack it first")
    limit = min(MAX_UNPACKED, max(SMALL_UNPACKED, MAX_RATIO * len(data)))
    packed = io.BytesIO(data)
    try:
        with gzip.GzipFile(fileobj=packed) if kind == "gzip" else lzma.LZMAFile(packed) as stream:
            unpacked = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{source}: damaged {kind} file ({error}): fetch it again, or unpack it by hand") from error
    if len(unpacked) > limit:
        message = f"unpacks to more than {limit:,} bytes from {len(data):,}, which no treebank does: unpack it by hand"
        raise DataError(f"{source}: {message}")
    return unpacked


def _not_text(data: bytes) -> str | None:
    """Why `data` cannot be CoNLL-U, by its first bytes; None where it may be."""
    start = data[:1000]
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or (len(start) > 3 and start.count(0) > len(start) // 4):
        return "looks like UTF-16: convert it, e.g. iconv -f utf-16 -t utf-8 FILE"
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "looks like a web page (HTML), not CoNLL-U: was the download an error page?"
    return None


def _utf8_message(data: bytes, error: UnicodeDecodeError) -> str:
    byte = f"byte 0x{data[error.start]:02x}"
    if _BINARY.search(data):
        return f"{byte} is no UTF-8, and the file holds control characters: it is no text; name a CoNLL-U file"
    if data.decode("utf-8", errors="ignore").isascii():
        return f"{byte} is no UTF-8; looks like Latin-1: convert it, e.g. iconv -f latin1 -t utf-8 FILE"
    return f"{byte} is no UTF-8, though other lines are: the file is damaged or of mixed encodings; mend this line"


def write_text(parts: Iterable[str], path: Path | str) -> None:
    """Writes `parts` one after another to `path` as UTF-8; "-" is standard output.

    A regular file appears whole under its name or not at all; an older one stays until then. Raises DataError.
    """
    if str(path) == "-":
        for part in parts:
            sys.stdout.buffer.write(part.encode("utf-8"))
        sys.stdout.buffer.flush()
        return
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file():  # a pipe or device cannot be replaced
            with target.open("wb") as stream:
                stream.writelines(part.encode("utf-8") for part in parts)
        else:
            _replace(target, parts)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error


def _replace(target: Path, parts: Iterable[str]) -> None:
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with beside.open("xb") as stream:
            stream.writelines(part.encode("utf-8") for part in parts)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
