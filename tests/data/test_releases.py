"""UD releases: the home folder, fetching, taking in archives and folders, and which one is used."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sublingual.data import releases
from sublingual.data.releases import (
    HANDLES,
    data_home,
    download_release,
    import_release,
    imported_releases,
    landing_page,
    needs_download,
    release_url,
    ud_folder,
)
from sublingual.data.treebanks import find, treebanks
from sublingual.errors import DataError, DownloadError

SENTENCE = "1\tHey\t_\t_\t_\t_\t0\troot\t_\t_\n\n"
CONTENT = {
    "UD_Faroese-OFT/fo_oft-ud-test.conllu": SENTENCE,
    "UD_Faroese-OFT/fo_oft-ud-test.txt": "Hey\n",
    "UD_Faroese-OFT/README.md": "# Summary\n",
    "UD_Faroese-OFT/LICENSE.txt": "CC BY-SA 4.0\n",
    "UD_Faroese-OFT/not-to-release/old.conllu": SENTENCE,
    "UD_Wolof-WTB/wo_wtb-ud-dev.conllu": SENTENCE * 2,
    "tool.sh": "echo\n",
}


def pack(path: Path, content: dict[str, str], *, top: str = "ud-treebanks-v2.9") -> Path:
    with tarfile.open(path, "w:xz" if path.suffix == ".xz" else "w:gz") as tar:
        for name, text in content.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("SUBLINGUAL_UD", "SUBLINGUAL_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return pack(tmp_path / "ud-treebanks-v2.9.tgz", CONTENT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in CONTENT.items():
        path = tmp_path / "mine" / "ud-treebanks-v2.10" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "mine"


@pytest.mark.parametrize("ending", ["tgz", "tar.gz", "tar.xz"])
def test_an_archive_is_unpacked_without_what_is_not_needed(tmp_path: Path, home: Path, ending: str) -> None:
    done = import_release(pack(tmp_path / f"ud-treebanks-v2.9-subset.{ending}", CONTENT), home=home)
    assert (done.release, done.folder, done.treebanks, done.fresh) == ("2.9", home / "ud" / "2.9", 2, True)
    assert sorted(contents(done.folder)) == [
        "UD_Faroese-OFT/LICENSE.txt",
        "UD_Faroese-OFT/README.md",
        "UD_Faroese-OFT/fo_oft-ud-test.conllu",
        "UD_Wolof-WTB/wo_wtb-ud-dev.conllu",
    ]
    assert find(ud_folder(home=home), "fo_oft").sentences("test")[0].words == ("Hey",)


def test_importing_twice_changes_nothing(home: Path, archive: Path) -> None:
    before = contents(import_release(archive, home=home).folder)
    again = import_release(archive, home=home)
    assert (again.fresh, contents(again.folder)) == (False, before)


def test_another_archive_under_the_same_number_is_refused_unless_it_is_to_replace(
    tmp_path: Path, home: Path, archive: Path
) -> None:
    import_release(archive, home=home)
    other = pack(tmp_path / "other-2.9.tgz", {"UD_Welsh-CCG/cy_ccg-ud-test.conllu": SENTENCE})
    with pytest.raises(DataError, match=r"UD 2\.9 is here already, from .*ud-treebanks-v2\.9\.tgz; .*--replace"):
        import_release(other, home=home)
    assert len(treebanks(ud_folder(home=home))) == 2
    import_release(other, home=home, replace=True)
    assert [treebank.name for treebank in treebanks(ud_folder(home=home))] == ["UD_Welsh-CCG"]


def test_a_dangerous_or_damaged_archive_leaves_what_was_there(tmp_path: Path, home: Path, archive: Path) -> None:
    before = contents(import_release(archive, home=home).folder)
    for data in (archive.read_bytes()[:-30], b"PK\x03\x04 a zip"):
        bad = tmp_path / "bad-2.9.tgz"
        bad.write_bytes(data)
        with pytest.raises(DataError, match=r"bad-2\.9\.tgz"):
            import_release(bad, home=home, replace=True)
    assert contents(home / "ud" / "2.9") == before
    assert {path.name for path in (home / "ud").iterdir()} == {"2.9", "2.9.json", ".lock"}


def test_what_a_killed_import_left_is_cleared_away(home: Path, archive: Path) -> None:
    leftover = home / "ud" / ".2.9.new" / "UD_Half-Done"
    leftover.mkdir(parents=True)
    import_release(archive, home=home)
    assert not leftover.exists()
    assert not (home / "ud" / "2.9" / "UD_Half-Done").exists()


def test_an_archive_without_treebanks_is_refused(tmp_path: Path, home: Path) -> None:
    with pytest.raises(DataError, match=r"x-2\.9\.tgz: no UD release: it holds no UD_\*/\*\.conllu"):
        import_release(pack(tmp_path / "x-2.9.tgz", {"notes.conllu": SENTENCE}), home=home)
    assert imported_releases(home=home) == []


def test_an_archive_that_leads_outside_is_refused(tmp_path: Path, home: Path) -> None:
    evil = pack(tmp_path / "evil-2.9.tgz", {"UD_X-Y/../../../../x_y-ud-test.conllu": SENTENCE})
    with pytest.raises(DataError, match="could be written outside the folder"):
        import_release(evil, home=home)


def test_a_full_disk_is_named(home: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(releases, "extract", full)
    with pytest.raises(DataError, match="could not be unpacked in .*No space left on device"):
        import_release(archive, home=home)
    assert not (home / "ud" / "2.9").exists()


def test_a_folder_is_noted_and_stays_where_it_is(home: Path, folder: Path) -> None:
    done = import_release(folder, home=home)
    assert (done.release, done.folder, done.treebanks) == ("2.10", folder / "ud-treebanks-v2.10", 2)
    assert not (home / "ud" / "2.10").exists()
    assert import_release(folder, home=home).fresh is False
    assert ud_folder(home=home) == folder / "ud-treebanks-v2.10"


def test_a_folder_can_replace_an_archive_and_an_archive_a_folder(home: Path, archive: Path, folder: Path) -> None:
    import_release(archive, home=home)
    import_release(folder, home=home, release="2.9", replace=True)
    assert ud_folder(home=home) == folder / "ud-treebanks-v2.10"
    import_release(archive, home=home, replace=True)
    assert ud_folder(home=home) == home / "ud" / "2.9"
    assert (folder / "ud-treebanks-v2.10" / "tool.sh").exists()


def test_a_folder_that_has_gone_can_be_imported_anew(home: Path, folder: Path, archive: Path) -> None:
    import_release(folder, home=home, release="2.9")
    (folder / "ud-treebanks-v2.10").rename(folder.parent / "moved-2.10")
    with pytest.raises(DataError, match="no UD release|no such folder"):
        ud_folder(home=home)
    assert import_release(archive, home=home).fresh


def test_a_name_without_a_number_needs_the_release(tmp_path: Path, home: Path) -> None:
    path = pack(tmp_path / "mine.tgz", CONTENT)
    with pytest.raises(DataError, match=r"mine\.tgz: its name does not say which UD release .*--release 2\.9"):
        import_release(path, home=home)
    assert import_release(path, home=home, release="2.9").release == "2.9"


@pytest.mark.parametrize("release", ["foo", "../../2.9", "2.9/..", "2.9.1", "٢.٩", ""])
def test_a_release_that_is_no_number_writes_and_removes_nothing(tmp_path: Path, home: Path, release: str) -> None:
    mine = pack(tmp_path / "mine.tgz", CONTENT)
    before = contents(tmp_path)
    with pytest.raises(
        DataError, match="is no number of a UD release; write it like 2\\.9|does not say which UD release"
    ):
        import_release(mine, home=home, release=release, replace=True)
    with pytest.raises(DataError, match="is no number of a UD release"):
        download_release(release, home=home, url="http://127.0.0.1:9/x.tgz")
    assert contents(tmp_path) == before


def test_nothing_there_is_said(tmp_path: Path, home: Path) -> None:
    with pytest.raises(DataError, match=r"none\.tgz: no such archive or folder"):
        import_release(tmp_path / "none.tgz", home=home)


def test_the_folder_to_use_is_the_named_then_the_variable_then_the_imported(
    home: Path, archive: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_release(archive, home=home)
    assert ud_folder(home=home) == home / "ud" / "2.9"
    monkeypatch.setenv("SUBLINGUAL_UD", str(folder))
    assert ud_folder(home=home) == folder / "ud-treebanks-v2.10"
    assert ud_folder(home / "ud" / "2.9", home=home) == home / "ud" / "2.9"


def test_one_is_fetched_only_where_none_is_named_and_none_was_taken_in(
    tmp_path: Path, home: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert needs_download(home=home)
    assert not needs_download(tmp_path / "none", home=home)
    import_release(archive, home=home)
    assert not needs_download(home=home)
    monkeypatch.setenv("SUBLINGUAL_UD", "none")
    assert not needs_download(home=tmp_path / "other")


def test_the_papers_release_comes_before_a_newer_one(home: Path, archive: Path, folder: Path) -> None:
    import_release(folder, home=home)
    assert ud_folder(home=home) == folder / "ud-treebanks-v2.10"
    import_release(archive, home=home)
    assert imported_releases(home=home) == ["2.9", "2.10"]
    assert ud_folder(home=home) == home / "ud" / "2.9"
    assert ud_folder(home=home, release="2.10") == folder / "ud-treebanks-v2.10"


def test_without_any_release_it_is_said_how_to_get_one(home: Path) -> None:
    with pytest.raises(DataError, match=r"no UD release here: run `sublingual data download`.*--ud PATH"):
        ud_folder(home=home)
    with pytest.raises(DataError, match=r"no UD 2\.12 here"):
        ud_folder(home=home, release="2.12")


@pytest.mark.parametrize(("name", "fault"), [("empty", "no UD release"), ("none", "no such folder")])
def test_a_folder_without_treebanks_is_refused(tmp_path: Path, name: str, fault: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=fault):
        ud_folder(tmp_path / name)


def test_the_home_is_the_variable_else_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases.sys, "platform", "linux")
    assert data_home() == Path.home() / ".cache" / "sublingual"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_home() == tmp_path / "sublingual"
    monkeypatch.setattr(releases.sys, "platform", "darwin")
    assert data_home() == Path.home() / "Library" / "Caches" / "sublingual"
    monkeypatch.setenv("SUBLINGUAL_HOME", str(tmp_path / "own"))
    assert data_home() == tmp_path / "own"


def test_the_address_of_a_release_has_its_handle_and_its_number() -> None:
    for release, handle in HANDLES.items():
        assert release_url(release).startswith("https://lindat.mff.cuni.cz/repository/")
        assert release_url(release).endswith(f"/{handle}/ud-treebanks-v{release}.tgz")
        assert landing_page(release) == f"https://hdl.handle.net/{handle}"
    assert HANDLES["2.9"] == "11234/1-4611"  # universaldependencies.org/download.html


def test_an_unknown_release_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DownloadError, match=r"unknown UD release '3\.0'; known: .*2\.9.*--url URL"):
        download_release("3.0")


@pytest.fixture
def mirror(tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=os.fspath(archive.parent)))
    thread = threading.Thread(target=partial(http.serve_forever, poll_interval=0.01))
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


def test_a_release_is_fetched_and_then_imported(home: Path, archive: Path, mirror: str) -> None:
    fetched = download_release("2.9", home=home, url=f"{mirror}/{archive.name}")
    assert fetched == home / "downloads" / "ud-treebanks-v2.9.tgz"
    assert hashlib.sha256(fetched.read_bytes()).digest() == hashlib.sha256(archive.read_bytes()).digest()
    assert import_release(fetched, home=home).treebanks == 2


def test_a_release_that_cannot_be_fetched_says_where_to_get_it_and_where_to_put_it(home: Path, mirror: str) -> None:
    with pytest.raises(DownloadError) as caught:
        download_release("2.9", home=home, url=f"{mirror}/gone.tgz")
    for part in (
        "gone.tgz: the server answered 404",
        "https://hdl.handle.net/11234/1-4611",
        "sublingual data import FILE",
    ):
        assert part in str(caught.value)
    assert str(home / "downloads" / "ud-treebanks-v2.9.tgz") in str(caught.value)
