"""The embedded treebanks: whole, clean, of varied shapes, and nobody else's sentences."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from sublingual.data.conllu import Sentence, write_conllu
from sublingual.data.embedded import embedded, embedded_folder, has_embedded
from sublingual.data.faults import check
from sublingual.data.treebanks import SPLITS, treebanks
from sublingual.data.vocabulary import published_labels
from sublingual.errors import DataError
from sublingual.languages import TRAINING_CODES

NAMES = [treebank.name for treebank in treebanks(embedded_folder())]


def sentences_of(name: str) -> list[Sentence]:
    treebank = embedded(name)
    return [sentence for split in SPLITS if treebank.files(split) for sentence in treebank.sentences(split)]


def test_there_are_the_papers_eight_training_languages_and_two_more() -> None:
    codes = {embedded(name).code for name in NAMES}
    assert len(NAMES) == 10
    assert codes == {"en", *TRAINING_CODES, "sv", "tr"}


def test_an_embedded_treebank_goes_by_all_its_names_and_unknown_ones_are_refused() -> None:
    assert embedded("UD_Swedish-Demo") == embedded("sv_demo") == embedded("swedish demo")
    with pytest.raises(DataError, match=r"unknown treebank 'Swedich-Demo' among the 10.*UD_Swedish-Demo"):
        embedded("Swedich-Demo")


def test_treebanks_and_files_are_known_by_their_names() -> None:
    assert has_embedded(["UD_Faroese-OFT", "UD_Swedish-Demo"])
    assert has_embedded(["sv_demo-ud-test.conllu"])
    assert not has_embedded(["UD_Faroese-OFT", "fo_oft-ud-test.conllu"])


@pytest.mark.parametrize("name", NAMES)
def test_each_has_forty_sentences_or_more_with_ids_of_their_own(name: str) -> None:
    found = sentences_of(name)
    assert len(found) >= 40
    assert len({sentence.sent_id for sentence in found}) == len(found)
    assert len({sentence.words for sentence in found}) == len(found)


@pytest.mark.parametrize("name", NAMES)
def test_each_reads_without_any_fault_and_uses_published_relations_alone(name: str) -> None:
    paths = [path for split in SPLITS for path in embedded(name).files(split)]
    faults = [fault for path in paths for fault in check(path, heads="gold") if fault.severity != "note"]
    assert faults == []
    assert published_labels().missing(chain.from_iterable(s.labels for s in sentences_of(name))) == ()


@pytest.mark.parametrize("name", NAMES)
def test_nearly_all_tree_shapes_of_a_language_differ(name: str) -> None:
    shapes = [sentence.heads for sentence in sentences_of(name)]
    assert len(set(shapes)) >= 0.9 * len(shapes)


@pytest.mark.parametrize("name", NAMES)
def test_the_universal_dependencies_validator_finds_nothing_up_to_level_2(name: str, tmp_path: Path) -> None:
    whole = tmp_path / f"{name}.conllu"
    write_conllu(sentences_of(name), whole)
    command = [Path(sys.executable).with_name("udvalidate"), "--level", "2", "--lang", embedded(name).code, whole]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONUTF8": "1"}, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED" in done.stdout + done.stderr


@pytest.mark.data
def test_no_sentence_occurs_in_universal_dependencies(ud: Path) -> None:
    ours = {words_only(sentence.words): sentence.sent_id for name in NAMES for sentence in sentences_of(name)}
    paths = sorted(ud.glob("UD_*/*.conllu"))
    assert len(paths) > 90
    found = {(ours[words], path.name) for path in paths for words in forms_of(path) if words in ours}
    assert found == set()


def words_only(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words in small letters and without punctuation: a copy that differs in these is a copy still."""
    return tuple(word.casefold() for word in words if any(map(str.isalnum, word)))


def forms_of(path: Path) -> list[tuple[str, ...]]:
    """The words of each sentence of a file; a quick look, apart from the package's reader."""
    blocks = path.read_text(encoding="utf-8").split("\n\n")
    cells = ([line.split("\t", 2) for line in block.split("\n") if line[:1].isdigit()] for block in blocks)
    return [words_only(tuple(row[1] for row in rows if row[0].isdecimal())) for rows in cells]
