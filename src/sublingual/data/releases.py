"""Releases of Universal Dependencies on this machine: where they live, fetching one, taking in an archive or folder."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sublingual.data.archives import extract
from sublingual.data.downloads import Progress, fetch, sha256_of
from sublingual.errors import DataError, DownloadError

PAPER_RELEASE = "2.9"
_NUMBER = re.compile(r"[0-9]+\.[0-9]+")

HANDLES = {
    "2.2": "11234/1-2837",
    "2.3": "11234/1-2895",
    "2.4": "11234/1-2988",
    "2.5": "11234/1-3105",
    "2.6": "11234/1-3226",
    "2.7": "11234/1-3424",
    "2.8": "11234/1-3687",
    "2.9": "11234/1-4611",
    "2.10": "11234/1-4758",
    "2.11": "11234/1-4923",
    "2.12": "11234/1-5150",
    "2.13": "11234/1-5287",
    "2.14": "11234/1-5502",
    "2.15": "11234/1-5787",
    "2.16": "11234/1-5901",
    "2.17": "11234/1-6036",
    "2.18": "11234/1-6149",
}
"""Handle of each release at LINDAT, UD's archive (https://universaldependencies.org/download.html)."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A release that is ready for use. fresh: False where it had been taken in before and nothing was done."""

    release: str
    folder: Path
    source: str
    treebanks: int
    fresh: bool


def data_home() -> Path:
    """Returns the folder for what the program keeps: $SUBLINGUAL_HOME, else `sublingual` among the system's caches."""
    if home := os.environ.get("SUBLINGUAL_HOME"):
        return Path(home).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "sublingual"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sublingual"


def landing_page(release: str) -> str:
    """Returns the page of a release, to be opened with a browser. DownloadError for a release that is not listed."""
    if release not in HANDLES:
        raise DownloadError(f"unknown UD release {release!r}; known: {', '.join(HANDLES)}; or its address: --url URL")
    return f"https://hdl.handle.net/{HANDLES[release]}"


def release_url(release: str) -> str:
    """Returns the address of the release's archive of treebanks at LINDAT. DownloadError for one that is not listed."""
    landing_page(release)
    folder = f"https://lindat.mff.cuni.cz/repository/server/api/core/bitstreams/handle/{HANDLES[release]}"
    return f"{folder}/ud-treebanks-v{release}.tgz"


def download_release(
    release: str = PAPER_RELEASE,
    *,
    home: Path | None = None,
    url: str | None = None,
    sha256: str | None = None,
    progress: Progress = lambda done, total: None,
    timeout: float = 60.0,
) -> Path:
    """Returns the archive of a release, fetched into `home`/downloads unless it is there; see `downloads.fetch`.

    The archive is some hundred megabytes. No check sum of it is published that we know of: without `sha256` the one of
    the first fetch is recorded beside the file, and later ones must match it. Raises DownloadError.
    """
    address = url or release_url(release)
    release = _number(release)
    target = (home or data_home()) / "downloads" / f"ud-treebanks-v{release}.tgz"
    page = landing_page(release) if release in HANDLES else "https://universaldependencies.org/download.html"
    by_hand = f"By hand: get it from {page} and run `sublingual data import FILE`, or put it at {target}"
    return fetch(address, target, sha256=sha256, by_hand=by_hand, progress=progress, timeout=timeout).path


def import_release(
    path: Path,
    *,
    home: Path | None = None,
    release: str | None = None,
    replace: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Imported:
    """Takes in a UD release and returns where it is; doing it again changes nothing.

    path: an archive (.tgz, .tar.gz, .tar.xz), whose CoNLL-U, README and LICENSE files are unpacked into `home`/ud; or a
        folder with `UD_*` folders, which is noted and stays where it is.
    release: by default the number in the name of `path` (`ud-treebanks-v2.9.tgz`).
    replace: put it in the place of another one taken in under the same number.
    Raises DataError: nothing there, no UD release, damaged or dangerous archive, another one taken in already, a
    `release` that is no number.
    """
    if not path.exists():
        raise DataError(f"{path}: no such archive or folder")
    folder = _with_treebanks(path) if path.is_dir() else None
    number = _number(release or _release_in(folder or path))
    store = (home or data_home()) / "ud"
    store.mkdir(parents=True, exist_ok=True)
    with _locked(store):
        source = {"folder": str(folder)} if folder else {"sha256": sha256_of(path)}
        known = _record(store, number)
        if known and all(known.get(key) == value for key, value in source.items()):
            return _imported(store, number, fresh=False)
        if (known or (store / number).exists()) and not replace:
            raise DataError(
                f"UD {number} is here already, from {known.get('source', 'an import that was not finished')}; "
                f"to take {path} in its place: --replace"
            )
        if folder:
            shutil.rmtree(store / number, ignore_errors=True)
        else:
            _unpack(path, store / number, progress=progress)
        _write_record(store, number, source | {"source": str(path.resolve())})
    return _imported(store, number, fresh=True)


def imported_releases(*, home: Path | None = None) -> list[str]:
    """Returns the numbers of the releases that were taken in, newest last."""
    store = (home or data_home()) / "ud"
    numbers = [path.stem for path in store.glob("*.json") if _NUMBER.fullmatch(path.stem)]
    return sorted(numbers, key=lambda number: tuple(map(int, number.split("."))))


def needs_download(path: Path | None = None, *, home: Path | None = None) -> bool:
    """Tells whether no folder of a release is named (see `ud_folder`) and none was taken in: one has to be fetched."""
    return path is None and not os.environ.get("SUBLINGUAL_UD") and not imported_releases(home=home)


def ud_folder(path: Path | None = None, *, home: Path | None = None, release: str | None = None) -> Path:
    """Returns the folder of the UD release to use: the one that holds the `UD_*` folders.

    In this order: `path` (the option --ud), the environment variable SUBLINGUAL_UD, the imported `release`; without a
    number the paper's release, else the newest imported. DataError, saying what to do, where there is none.
    """
    named = path or (Path(os.environ["SUBLINGUAL_UD"]) if os.environ.get("SUBLINGUAL_UD") else None)
    if named is not None:
        return _with_treebanks(named)
    numbers = imported_releases(home=home)
    number = release or (PAPER_RELEASE if PAPER_RELEASE in numbers else numbers[-1] if numbers else None)
    if number is None or number not in numbers:
        raise DataError(
            f"no UD {release or 'release'} here: run `sublingual data download`, or `sublingual data import PATH` for "
            "an archive or folder that you have, or name the folder: --ud PATH or the variable SUBLINGUAL_UD"
        )
    return _with_treebanks(_folder((home or data_home()) / "ud", number))


def _number(release: str) -> str:
    """`release` if it is the number of one; it becomes part of names of files, so it may be nothing else."""
    if not _NUMBER.fullmatch(release):
        raise DataError(f"release {release!r} is no number of a UD release; write it like {PAPER_RELEASE}")
    return release


def _release_in(path: Path) -> str:
    if number := re.search(r"(?<![\d.])(\d+\.\d+)(?![\d])", path.resolve().name):
        return number[1]
    raise DataError(f"{path}: its name does not say which UD release it is; say it: --release {PAPER_RELEASE}")


def _with_treebanks(folder: Path) -> Path:
    """`folder`, or the one folder `ud-treebanks-*` in it, made absolute; DataError unless it has treebanks."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; it should be one with UD_* folders in it")
    for candidate in (folder, *sorted(folder.glob("ud-treebanks-*"))):
        if any(candidate.glob("UD_*/*.conllu")):
            return candidate.resolve()
    raise DataError(f"{folder}: no UD release: it has no UD_*/*.conllu; name the folder that has the UD_* folders")


def _unpack(archive: Path, folder: Path, *, progress: Callable[[int, int], None]) -> None:
    """Unpacks beside `folder` and renames, so that `folder` is there whole or not at all."""
    draft, old = (folder.with_name(f".{folder.name}.{kind}") for kind in ("new", "old"))
    for leftover in (draft, old):
        shutil.rmtree(leftover, ignore_errors=True)
    draft.mkdir()
    try:
        extract(archive, draft, place=_place, progress=progress)
        if not any(draft.glob("UD_*/*.conllu")):
            raise DataError(f"{archive}: no UD release: it holds no UD_*/*.conllu")
        if folder.exists():
            folder.rename(old)
        draft.rename(folder)
    except OSError as error:
        raise DataError(f"{archive}: could not be unpacked in {folder.parent}: {error}") from error
    finally:
        for leftover in (draft, old):
            shutil.rmtree(leftover, ignore_errors=True)


def _place(name: PurePosixPath) -> PurePosixPath | None:
    is_kept = name.suffix == ".conllu" or name.name.startswith(("README", "LICENSE"))
    return PurePosixPath(*name.parts[-2:]) if is_kept and name.parent.name.startswith("UD_") else None


def _record(store: Path, number: str) -> dict[str, str]:
    """What was noted of an import; {} where there is none, or its folder is gone."""
    try:
        values: dict[str, str] = json.loads((store / f"{number}.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return values if Path(values.get("folder", store / number)).exists() else {}


def _write_record(store: Path, number: str, values: dict[str, str]) -> None:
    draft = store / f".{number}.json.new"
    draft.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(draft, store / f"{number}.json")


def _folder(store: Path, number: str) -> Path:
    return Path(_record(store, number).get("folder", store / number))


def _imported(store: Path, number: str, *, fresh: bool) -> Imported:
    folder = _folder(store, number)
    n_treebanks = sum(1 for path in folder.glob("UD_*") if any(path.glob("*.conllu")))
    return Imported(number, folder, _record(store, number)["source"], n_treebanks, fresh)


@contextmanager
def _locked(store: Path) -> Iterator[None]:
    """One import at a time; the system frees the lock of a process that dies."""
    with (store / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
