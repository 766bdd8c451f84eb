"""Unpacking a tar archive that nobody vouches for: only regular files, only inside the target, only so much.

The standard library's `filter="data"` has been passed by (CVE-2024-12718, CVE-2025-4138, CVE-2025-4330, CVE-2025-4517),
so no name, link or mode of the archive reaches the file system here: each file is created anew under a checked name.
"""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from sublingual.errors import DataError

MAX_BYTES = 16 << 30
MAX_FILES = 50_000
_CHUNK = 1 << 20
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


@dataclass(frozen=True, slots=True)
class Extracted:
    """Files and bytes that were written."""

    files: int
    size: int


def extract(
    archive: Path,
    target: Path,
    *,
    place: Callable[[PurePosixPath], PurePosixPath | None],
    max_bytes: int = MAX_BYTES,
    max_files: int = MAX_FILES,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Extracted:
    """Writes the files of a .tar.gz or .tar.xz into the folder `target`, which should be new, and returns their number.

    place: where in `target` a file of the archive goes, None to leave it out.
    max_bytes: what the archive may hold unpacked, left out files included. max_files: its members.
    progress: called with the packed bytes read and the size of the archive.
    Raises DataError, at the first bad member, for: links, devices and sparse files, absolute names, `..`, control
    characters and backslashes in names, a name that comes twice, more than the limits, a damaged or cut archive.
    """
    base = target.resolve()
    n_members = n_files = size = 0
    with _reading(archive, max_bytes) as (tar, packed):
        for member in tar:
            n_members += 1
            if n_members > max_files:
                raise DataError(f"{archive}: more than {max_files:,} members: this is no UD release")
            name = _safe_name(archive, member)
            wanted = place(name) if member.isreg() else None
            if wanted is not None:
                size += _write(archive, tar, member, destination=_inside(archive, base, wanted))
                n_files += 1
            progress(packed.tell(), archive.stat().st_size)
    return Extracted(n_files, size)


class _Bounded:
    """A file that is unpacked as it is read, and no further than `limit`; single reads are small, seeks go forward.

    Small reads: tarfile reads extended headers at one go, of any size that they claim.
    """

    def __init__(self, file: gzip.GzipFile | lzma.LZMAFile, *, name: Path, limit: int) -> None:
        self._file = file
        self._name = name
        self._limit = limit
        self.last = b""

    def read(self, n: int) -> bytes:
        if n > _CHUNK:
            raise DataError(f"{self._name}: a header of {n:,} bytes: this is no UD release")
        self._bound(self._file.tell() + n)
        self.last = self._file.read(n)
        return self.last

    def seek(self, position: int) -> int:
        self._bound(position)
        return self._file.seek(position)

    def tell(self) -> int:
        return self._file.tell()

    def _bound(self, position: int) -> None:
        if position > self._limit:
            raise DataError(
                f"{self._name}: unpacks to more than {self._limit:,} bytes: no UD release, or made to fill disks"
            )


@contextmanager
def _reading(archive: Path, max_bytes: int) -> Iterator[tuple[tarfile.TarFile, BinaryIO]]:
    """The archive open for one pass, and the packed file under it; at the end the rest is read for its check sum."""
    with archive.open("rb") as packed:
        unpacked = _unpacked(archive, packed)
        bounded = _Bounded(unpacked, name=archive, limit=max_bytes)
        try:
            with tarfile.open(fileobj=cast(BinaryIO, bounded), mode="r:") as tar:
                yield tar, packed
                _read_to_end(archive, bounded)
        except _DAMAGE as error:
            raise DataError(f"{archive}: damaged or cut ({error or type(error).__name__}): fetch it again") from error


def _unpacked(archive: Path, packed: BinaryIO) -> gzip.GzipFile | lzma.LZMAFile:
    magic = packed.read(6)
    packed.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=packed)
    if magic == b"\xfd7zXZ\x00":
        return lzma.LZMAFile(packed)
    raise DataError(f"{archive}: not a .tgz, .tar.gz or .tar.xz archive (it starts with {magic!r})")


def _read_to_end(archive: Path, file: _Bounded) -> None:
    # tarfile takes any header that it cannot read for the end; the true end is zeros, then the packer's check sum.
    block = file.last
    if len(block) != tarfile.BLOCKSIZE:
        raise DataError(f"{archive}: damaged or cut (no end of archive): fetch it again")
    while block:
        if block.strip(b"\0"):
            raise DataError(f"{archive}: damaged or cut (unreadable member): fetch it again")
        block = file.read(_CHUNK)


def _safe_name(archive: Path, member: tarfile.TarInfo) -> PurePosixPath:
    name = PurePosixPath(member.name)
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise DataError(f"{archive}: {member.name!r} is a link, a device or a sparse file: nothing of it was taken")
    if name.is_absolute() or ".." in name.parts or "\\" in member.name or not member.name.isprintable():
        raise DataError(f"{archive}: {member.name!r} could be written outside the folder: nothing of it was taken")
    return name


def _inside(archive: Path, base: Path, wanted: PurePosixPath) -> Path:
    destination = (base / wanted).resolve()
    if not destination.is_relative_to(base) or destination == base:
        raise DataError(f"{archive}: {str(wanted)!r} lies outside {base}: nothing of it was taken")
    return destination


def _write(archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, *, destination: Path) -> int:
    source = tar.extractfile(member)
    assert source is not None, "a regular file"
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with destination.open("xb") as file:
            while chunk := source.read(_CHUNK):
                file.write(chunk)
            return file.tell()
    except FileExistsError as error:
        raise DataError(f"{archive}: {member.name!r} comes twice: nothing of it was taken") from error
