"""`data`: taking in a release, fetching one, listing and checking it."""

from __future__ import annotations

import http.server
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sublingual.data.conllu import read_conllu
from sublingual.data.embedded import WARNING, embedded_folder

Run = Callable[..., Any]

TEST = embedded_folder() / "UD_Swedish-Demo" / "sv_demo-ud-test.conllu"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A folder like that of a release with one treebank of the paper, Faroese-OFT (its sentences are Swedish)."""
    folder = tmp_path / "ud-treebanks-v2.9" / "UD_Faroese-OFT"
    folder.mkdir(parents=True)
    (folder / "fo_oft-ud-test.conllu").write_bytes(TEST.read_bytes())
    (folder / "LICENSE.txt").write_text("CC BY-SA 4.0\n")
    return folder.parent


def packed(release: Path, name: str) -> Path:
    path = release.parent / name
    with tarfile.open(path, "w:xz" if name.endswith("xz") else "w:gz") as tar:
        tar.add(release, release.name)
    return path


def test_a_folder_is_taken_in_and_used_where_it_is(run: Run, release: Path) -> None:
    ran = run("data", "import", release)
    assert ran.code == 0
    assert f"UD 2.9 taken in: 1 treebanks in {release}" in ran.err
    again = run("data", "import", release)
    assert f"UD 2.9 was here already: 1 treebanks in {release}" in again.err
    assert "UD_Faroese-OFT\ttest\tfo\tNorwegian\t-\t-\t50\t" in run("data", "list").out


@pytest.mark.parametrize("name", ["ud-treebanks-v2.9.tar.xz", "ud-treebanks-v2.9.tgz"])
def test_an_archive_is_unpacked_at_home(run: Run, release: Path, tmp_path: Path, name: str) -> None:
    ran = run("data", "import", packed(release, name))
    assert ran.code == 0, ran.err
    kept = tmp_path / "home" / "ud" / "2.9" / "UD_Faroese-OFT"
    assert (kept / "fo_oft-ud-test.conllu").read_bytes() == TEST.read_bytes()
    assert (kept / "LICENSE.txt").exists()


def test_another_release_of_the_same_number_needs_replace(run: Run, release: Path, tmp_path: Path) -> None:
    archive = packed(release, "ud-treebanks-v2.9.tgz")
    assert run("data", "import", archive).code == 0
    refused = run("data", "import", release)
    assert refused.code == 1
    assert "UD 2.9 is here already" in refused.err
    assert "--replace" in refused.err
    assert run("data", "import", release, "--replace").code == 0


def test_a_folder_without_number_in_its_name_needs_one(run: Run, release: Path) -> None:
    plain = release.rename(release.with_name("treebanks"))
    refused = run("data", "import", plain)
    assert refused.code == 1
    assert "--release 2.9" in refused.err
    ran = run("data", "import", plain, "--release", "2.16")
    assert ran.code == 0
    assert "UD 2.16 taken in" in ran.err


@pytest.mark.parametrize(("name", "message"), [("nowhere", "no such archive or folder"), (".", "no UD release")])
def test_what_is_no_release_is_refused(run: Run, tmp_path: Path, name: str, message: str) -> None:
    ran = run("data", "import", tmp_path / name)
    assert ran.code == 1
    assert message in ran.err


def test_list_json_counts_sentences_and_words_from_the_files(run: Run, release: Path) -> None:
    rows = json.loads(run("data", "list", "--ud", release, "--json").out)
    assert len(rows) == 98
    sentences = read_conllu(TEST)
    by_name = {row["name"]: row for row in rows}
    assert by_name["UD_Faroese-OFT"] == {
        "name": "UD_Faroese-OFT",
        "role": "test",
        "code": "fo",
        "transfer_language": "Norwegian",
        "present": True,
        "sizes": {"test": {"sentences": len(sentences), "words": sum(len(s.words) for s in sentences)}},
    }
    assert sum(row["present"] for row in rows) == 1
    assert [sum(row["role"] == role for row in rows) for role in ("train", "validation", "test")] == [8, 4, 86]


def test_list_says_how_many_are_here_and_all_adds_the_others(run: Run, ud_folder: Path) -> None:
    ran = run("data", "list", "--ud", ud_folder)
    assert "0 of 86 test treebanks are here" in ran.err
    assert "UD_Swedish-Demo" not in ran.out
    everything = run("data", "list", "--ud", ud_folder, "--all")
    assert "UD_Swedish-Demo\tother\tsv\t-\t-\t-\t50\t" in everything.out
    assert len(everything.out.splitlines()) == len(ran.out.splitlines()) + 10
    assert (WARNING in everything.err, WARNING in ran.err) == (True, False)


def test_list_without_a_release_says_how_to_get_one(run: Run) -> None:
    ran = run("data", "list")
    assert ran.code == 1
    assert "sublingual data download" in ran.err


def test_check_exits_with_1_where_treebanks_are_missing_and_names_faults_with_their_line(
    run: Run, release: Path
) -> None:
    ran = run("data", "check", "--ud", release)
    assert ran.code == 1
    assert "UD_Faroese-OFT: good (test 50)" in ran.out
    assert "UD_Wolof-WTB: UD_Wolof-WTB is not there (nothing)" in ran.out
    file = release / "UD_Faroese-OFT" / "fo_oft-ud-test.conllu"
    file.write_text("1\tHey\t_\t_\t_\t_\t5\troot\t_\t_\n\n")
    assert f"{file}:1" in run("data", "check", "--ud", release).out


def test_check_of_a_whole_good_release_exits_with_0(run: Run, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sublingual.data import treebanks

    kept = [entry for entry in treebanks.catalogue() if entry.name == "UD_Faroese-OFT"]
    monkeypatch.setattr(treebanks, "catalogue", lambda: kept)
    assert run("data", "check", "--ud", release).code == 0


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def test_download_fetches_and_takes_in(run: Run, release: Path, server: str, tmp_path: Path) -> None:
    archive = packed(release, "ud-treebanks-v2.9.tgz")
    ran = run("data", "download", "--url", f"{server}/{archive.name}")
    assert ran.code == 0, ran.err
    assert "UD 2.9 taken in: 1 treebanks" in ran.err
    assert "UD_Faroese-OFT\ttest\tfo\tNorwegian\t-\t-\t50\t" in run("data", "list").out


def test_download_refuses_another_check_sum_and_a_missing_file(run: Run, release: Path, server: str) -> None:
    archive = packed(release, "ud-treebanks-v2.9.tgz")
    wrong = run("data", "download", "--url", f"{server}/{archive.name}", "--sha256", "0" * 64)
    assert wrong.code == 1
    assert "sublingual data import FILE" in wrong.err
    missing = run("data", "download", "--url", f"{server}/none.tgz")
    assert missing.code == 1
    assert "404" in missing.err
    assert run("data", "list").code == 1


def test_an_unknown_release_is_refused_with_the_known_ones(run: Run) -> None:
    ran = run("data", "download", "--release", "9.9")
    assert ran.code == 1
    assert "unknown UD release '9.9'; known: 2.2, " in ran.err
