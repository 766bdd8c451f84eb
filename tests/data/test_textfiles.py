"""Wrong encodings are named, packed files opened within bounds, files replaced whole."""

from __future__ import annotations

import gzip
import lzma
import os
import threading
from pathlib import Path

import pytest

from sublingual.data import textfiles
from sublingual.data.textfiles import clean_text, read_text, write_text
from sublingual.errors import DataError

LINE = "1\tcafé\t_\t_\t_\t_\t0\troot\t_\t_\n\n"


@pytest.mark.parametrize(
    ("data", "line", "message"),
    [
        (LINE.encode("utf-16"), 1, "looks like UTF-16: convert it, e.g. iconv -f utf-16 -t utf-8 FILE"),
        (LINE.encode("utf-16-le"), 1, "looks like UTF-16"),
        (b"<!DOCTYPE html>\n<html>", 1, "looks like a web page (HTML), not CoNLL-U: was the download an error page?"),
        (b"\n <HTML><body>404", 1, "looks like a web page (HTML)"),
        ((LINE * 2).encode("latin-1"), 1, "byte 0xe9 is no UTF-8; looks like Latin-1: convert it"),
        (LINE.encode() + b"2\t\xff", 3, "byte 0xff is no UTF-8, though other lines are: the file is damaged"),
        (
            b"\x80\x04\x95" + LINE.encode(),
            1,
            "byte 0x80 is no UTF-8, and the file holds control characters: it is no text",
        ),
        (LINE.replace("\n", "\r").encode(), 1, "the lines end with CR alone (old Mac line ends): convert them to LF"),
        ((LINE + "1\ta\rb\n").encode(), 3, "a carriage return inside the line: remove it"),
        ((LINE + "1\ta\0b\n").encode(), 3, "a NUL character inside the line: remove it"),
    ],
)
def test_what_is_no_text_is_one_error_with_its_reason(tmp_path: Path, data: bytes, line: int, message: str) -> None:
    path = tmp_path / "bad.conllu"
    path.write_bytes(data)
    text = read_text(path)
    assert text.text == ""
    error = next(fault for fault in text.faults if fault.severity == "error")
    assert error.place == f"{path}:{line}"
    assert message in error.message


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_packed_files_are_opened_whatever_their_name(tmp_path: Path, pack) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "packed"
    path.write_bytes(pack(LINE.encode()))
    assert read_text(path).text == LINE


def test_several_packed_parts_in_one_file_are_read_as_one(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(LINE.encode()) * 2)
    assert read_text(path).text == LINE * 2


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(textfiles, "SMALL_UNPACKED", 1000)
    path = tmp_path / "bomb"
    path.write_bytes(pack(b"\n" * 10_000_000))
    with pytest.raises(
        DataError, match=r"bomb: unpacks to more than [0-9,]+ bytes from [0-9,]+, which no treebank does"
    ):
        read_text(path)


@pytest.mark.parametrize(("pack", "kind"), [(gzip.compress, "gzip"), (lzma.compress, "xz")])
def test_a_damaged_packed_file_is_refused(tmp_path: Path, pack, kind: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "x"
    whole = pack(LINE.encode() * 100)
    for damaged in (whole[:-5], whole[:20] + b"\xff\xff\xff" + whole[23:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=rf"x: damaged {kind} file \(.*\): fetch it again, or unpack it by hand"):
            read_text(path)


def test_a_zip_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(b"PK\x03\x04rest")
    with pytest.raises(DataError, match=r"x\.zip: this is a zip archive, not CoNLL-U: unpack it first"):
        read_text(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.conllu: cannot be read: No such file"):
        read_text(tmp_path / "none.conllu")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_text(tmp_path)


def test_a_bad_target_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"out\.conllu: cannot be written: No such file"):
        write_text([LINE], tmp_path / "none" / "out.conllu")


def test_a_link_stays_a_link_to_the_replaced_file(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    link = tmp_path / "link"
    link.symlink_to("real")
    write_text([LINE], link)
    assert link.is_symlink()
    assert (tmp_path / "real").read_text(encoding="utf-8") == LINE


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    usual.write_text("")
    write_text([LINE], tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode == usual.stat().st_mode


def test_a_pipe_is_written_into_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text(encoding="utf-8")))
    reader.start()
    write_text([LINE, LINE], pipe)
    reader.join()
    assert got == [LINE * 2]
    assert pipe.is_fifo()


def test_only_line_feeds_end_lines() -> None:
    text = "a\u2028b\x85c\x0bd\x0ce\x1cf\n"
    assert [block.lines for block in clean_text(text, "x").blocks()] == [["a\u2028b\x85c\x0bd\x0ce\x1cf"]]
