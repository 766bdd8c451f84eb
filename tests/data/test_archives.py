"""Unpacking archives that nobody vouches for."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sublingual.data.archives import Extracted, extract
from sublingual.errors import DataError


def file(name: str, content: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, content


def other(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = target
    return member, b""


def tar_bytes(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def unpack(folder: Path, data: bytes, *, pack: Callable[[bytes], bytes] = gzip.compress, **limits: int) -> Extracted:
    """Extracts into `folder`/in, all files under their own names; `folder` is where an escape would show."""
    archive = folder / "a.tgz"
    archive.write_bytes(pack(data))
    target = folder / "in"
    target.mkdir()
    return extract(archive, target, place=lambda name: name, **limits)


def outside(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"a.tgz", "in"}


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_files_come_out_as_they_were(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    data = tar_bytes(other("top/", tarfile.DIRTYPE), file("top/a", b"1" * 700), file("./top/b/c", "ø".encode()))
    assert unpack(tmp_path, data, pack=pack) == Extracted(2, 702)
    assert (tmp_path / "in/top/a").read_bytes() == b"1" * 700
    assert (tmp_path / "in/top/b/c").read_text("utf-8") == "ø"


def test_files_that_have_no_place_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(gzip.compress(tar_bytes(file("a/keep"), file("a/drop"))))
    kept = {PurePosixPath("a/keep"): PurePosixPath("renamed")}
    assert extract(tmp_path / "a.tgz", tmp_path / "in", place=kept.get).files == 1
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["renamed"]


def test_a_place_outside_the_target_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(gzip.compress(tar_bytes(file("a"))))
    with pytest.raises(DataError, match=r"'\.\./b' lies outside"):
        extract(tmp_path / "a.tgz", tmp_path / "in", place=lambda name: PurePosixPath("../b"))


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "//x", "a\\..\\x", "a/\x07", "..", "a/\nb", "\u202ea"])
def test_a_name_that_leads_outside_is_refused_and_nothing_is_written_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"a\.tgz: .* could be written outside the folder"):
        unpack(tmp_path, tar_bytes(file(name, b"evil")))
    assert outside(tmp_path) == set()


@settings(deadline=None)
@given(st.text(st.sampled_from("./\\ab~:%\0 "), min_size=1, max_size=12))
def test_whatever_the_name_no_file_is_written_outside(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("x")
    try:
        unpack(folder, tar_bytes(file(name)))
    except DataError:
        assert not any((folder / "in").iterdir())
    assert outside(folder) == set()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    data = tar_bytes(other("link", kind, ".."), file("link/x"))
    with pytest.raises(DataError, match="'link' is a link, a device or a sparse file"):
        unpack(tmp_path, data)
    assert outside(tmp_path) == set()
    assert not any((tmp_path / "in").iterdir())


def test_a_sparse_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'s' is a link, a device or a sparse file"):
        unpack(tmp_path, tar_bytes(other("s", tarfile.GNUTYPE_SPARSE)))


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'a' comes twice"):
        unpack(tmp_path, tar_bytes(file("a"), file("a")))


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path) -> None:
    data = tar_bytes(file("small"), file("bomb", bytes(30 << 20)))
    with pytest.raises(DataError, match=r"unpacks to more than 4,194,304 bytes: no UD release"):
        unpack(tmp_path, data, max_bytes=4 << 20)
    assert sum(path.stat().st_size for path in (tmp_path / "in").iterdir()) <= 4 << 20


def test_a_bomb_in_a_file_that_is_left_out_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(gzip.compress(tar_bytes(file("bomb", bytes(8 << 20)), file("b"))))
    with pytest.raises(DataError, match="unpacks to more than"):
        extract(tmp_path / "a.tgz", tmp_path / "in", place=lambda name: None, max_bytes=4 << 20)


def test_a_bomb_after_the_end_of_the_archive_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unpacks to more than"):
        unpack(tmp_path, tar_bytes(file("a")) + bytes(8 << 20), max_bytes=4 << 20)


def test_a_member_that_claims_a_terabyte_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    header = tarfile.TarInfo("left-out")
    header.size = 1 << 40
    (tmp_path / "a.tgz").write_bytes(gzip.compress(header.tobuf() + bytes(1024)))
    with pytest.raises(DataError, match="unpacks to more than 17,179,869,184 bytes"):
        extract(tmp_path / "a.tgz", tmp_path / "in", place=lambda name: None)


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="more than 10 members"):
        unpack(tmp_path, tar_bytes(*(file(f"f{i}") for i in range(11))), max_files=10)


def test_a_header_that_claims_gigabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 3 << 30
    with pytest.raises(DataError, match="a header of 3,221,225,472 bytes"):
        unpack(tmp_path, header.tobuf() + bytes(1024))


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_cut_archive_is_refused(tmp_path: Path, pack: Callable[[bytes], bytes], kept: float) -> None:
    data = tar_bytes(*(file(f"f{i}", bytes(range(256)) * i) for i in range(20)))
    with pytest.raises(DataError, match=r"a\.tgz: damaged or cut"):
        unpack(tmp_path, data, pack=lambda whole: pack(whole)[: int(len(pack(whole)) * kept)])


def test_an_archive_with_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    data = tar_bytes(file("a", bytes(range(256)) * 40))

    def damaged(whole: bytes) -> bytes:
        packed = bytearray(gzip.compress(whole, compresslevel=0))
        packed[len(packed) // 2] ^= 1
        return bytes(packed)

    with pytest.raises(DataError, match="damaged or cut .*CRC"):
        unpack(tmp_path, data, pack=damaged)


def test_an_archive_cut_before_it_was_packed_is_refused(tmp_path: Path) -> None:
    whole = tar_bytes(file("a", b"1" * 2000), file("b", b"2" * 2000))
    with pytest.raises(DataError, match="damaged or cut"):
        unpack(tmp_path, whole[:4000])


def test_a_member_header_that_cannot_be_read_is_not_taken_for_the_end(tmp_path: Path) -> None:
    whole = bytearray(tar_bytes(file("a"), file("b")))
    whole[1024 + 3] ^= 0xFF
    with pytest.raises(DataError, match=r"damaged or cut \(unreadable member\)"):
        unpack(tmp_path, bytes(whole))


def test_other_files_are_no_archives(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a \.tgz, \.tar\.gz or \.tar\.xz archive .*<html>"):
        unpack(tmp_path, b"<html>not here", pack=bytes)


def test_progress_ends_with_the_whole_archive(tmp_path: Path) -> None:
    archive = tmp_path / "a.tgz"
    archive.write_bytes(gzip.compress(tar_bytes(file("a"), file("b"))))
    seen: list[tuple[int, int]] = []
    extract(archive, tmp_path / "in", place=lambda name: name, progress=lambda *state: seen.append(state))
    assert len(seen) == 2
    assert seen[-1] == (archive.stat().st_size, archive.stat().st_size)
