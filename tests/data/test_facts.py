"""Facts of treebanks: counted from files by hand, and the licences and genres that their READMEs name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from sublingual.data.conllu import Sentence, write_conllu
from sublingual.data.facts import Pieces, facts
from sublingual.data.treebanks import find, genres_of, treebank_at

README = """# UD_Faroese-Own
=== Machine-readable metadata (DO NOT REMOVE!) ====
Data available since: UD v2.2
License: CC BY-SA 4.0
Genre: News wiki news
===================================================
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "UD_Faroese-Own"
    made.mkdir()
    (made / "README.md").write_text(README, encoding="utf-8")
    one = Sentence.from_words(["Ja", "ja"], heads=[0, 1], labels=["root", "discourse:sp"])
    two = Sentence.from_words(["Nei"], heads=[0], labels=["root"])
    write_conllu([one, two], made / "fo_own-ud-test.conllu")
    write_conllu([two], made / "fo_own-ud-train.conllu")
    return made


def test_sizes_labels_and_hashes_are_those_of_the_files(folder: Path) -> None:
    found = facts(treebank_at(folder))
    assert {key: found[key] for key in ("kind", "treebank", "code", "licence", "genres")} == {
        "kind": "treebank",
        "treebank": "UD_Faroese-Own",
        "code": "fo",
        "licence": "CC BY-SA 4.0",
        "genres": ["news", "wiki"],
    }
    assert list(found["splits"]) == ["train", "test"]
    test = found["splits"]["test"]
    content = (folder / "fo_own-ud-test.conllu").read_bytes()
    assert test == {
        "sentences": 2,
        "words": 3,
        "files": [
            {
                "file": "fo_own-ud-test.conllu",
                "sha256": hashlib.sha256(content).hexdigest(),
                "labels": {"discourse:sp": 1, "root": 2},
            }
        ],
    }


def test_pieces_are_counted_word_by_word(folder: Path) -> None:
    def cut(words: Sequence[str]) -> list[list[int]]:
        return [[3] * len(word) if word != "Nei" else [0, 5] for word in words]

    found = facts(treebank_at(folder), pieces=Pieces("mine", cut, 0))["splits"]["test"]["pieces"]
    assert found == {"encoder": "mine", "pieces": 2 + 2 + 2, "unknown": 1, "words_unknown": 1}


def test_a_folder_without_metadata_has_no_genres(tmp_path: Path, folder: Path) -> None:
    (folder / "README.md").unlink()
    assert genres_of(folder) == ()
    assert facts(treebank_at(folder))["licence"] is None


@pytest.mark.data
def test_real_treebanks_have_genres_and_licences(ud: Path) -> None:
    found = facts(find(ud, "UD_Faroese-OFT"))
    assert (found["licence"], found["genres"]) == ("CC BY-SA 4.0", ["wiki"])
    assert found["splits"]["test"]["sentences"] == 1208
    assert sum(found["splits"]["test"]["files"][0]["labels"].values()) == found["splits"]["test"]["words"] == 10002
