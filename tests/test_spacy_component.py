"""The parser in a spaCy pipeline: the same trees, sentences, white space, saved and loaded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sublingual.confidence import confident
from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError
from sublingual.parsing import Parser
from sublingual.tagging import with_tagger

if TYPE_CHECKING:
    from sublingual.model.parser import BiaffineParser

spacy = pytest.importorskip("spacy")
pytestmark = pytest.mark.filterwarnings("default")  # other packages' warnings, on import and on saving

TEXT = "The dog sleeps here . A cat sees the dog . Who knows ?"


@pytest.fixture(scope="module")
def factory() -> None:
    import sublingual.spacy_component  # noqa: F401  (installed, the entry point does it)


@pytest.fixture
def folder(tiny_parser: Callable[..., BiaffineParser], tmp_path: Path) -> Path:
    Parser(tiny_parser()).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def nlp(folder: Path, factory: None) -> Any:
    made = spacy.blank("xx")
    made.add_pipe("sentencizer")
    made.add_pipe("sublingual", config={"model": str(folder), "sure": True})
    return made


def tree(tokens: Any) -> list[tuple[int, str]]:
    """Head and label of each token as UD counts them."""
    tokens = list(tokens)
    first = tokens[0].i
    return [(0, "root") if t.head == t else (t.head.i - first + 1, t.dep_) for t in tokens]


def test_trees_and_probabilities_are_those_of_the_parser(nlp: Any, folder: Path) -> None:
    doc = nlp(TEXT)
    sentences = [Sentence.from_words([t.text for t in sent]) for sent in doc.sents]
    assert len(sentences) == 3
    for sent, expected in zip(doc.sents, confident(Parser.from_pretrained(folder), sentences), strict=True):
        own = zip(expected.sentence.heads, expected.sentence.labels, strict=True)
        assert tree(sent) == list(own)
        assert [t._.sure for t in sent] == pytest.approx(expected.words.tolist())
    assert [t.dep_ for t in doc if t.head == t] == ["ROOT"] * 3
    assert doc.has_annotation("DEP")


def test_many_texts_at_once_are_parsed_as_each_alone(nlp: Any) -> None:
    texts = [TEXT, "", "   ", "Who knows ?", "dog"]
    assert [tree(doc) if len(doc) else [] for doc in nlp.pipe(texts, batch_size=2)] == [
        tree(doc) if len(doc) else [] for doc in map(nlp, texts)
    ]


def test_white_space_hangs_on_a_word_and_changes_no_tree(nlp: Any) -> None:
    spaced = nlp("The dog \n sleeps here .")
    words = [t for t in spaced if not t.is_space]
    places = {t.i: k for k, t in enumerate(words, 1)}
    found = [(0 if t.head == t else places[t.head.i], t.dep_) for t in words]
    plain = [(head, "ROOT" if not head else label) for head, label in tree(nlp("The dog sleeps here ."))]
    assert found == plain
    (space,) = [t for t in spaced if t.is_space]
    assert (space.head.text, space.dep_) == ("dog", "dep")


def test_parts_of_speech_are_set_where_the_parser_learned_them_and_none_is_there(
    tiny_parser: Callable[..., BiaffineParser], demo: Callable[..., list[Sentence]], factory: None, tmp_path: Path
) -> None:
    parser = with_tagger(Parser(tiny_parser()), demo("English", 30))
    parser.save_pretrained(tmp_path / "tags")
    made = spacy.blank("xx")
    made.add_pipe("sentencizer")
    made.add_pipe("sublingual", config={"model": str(tmp_path / "tags")})
    doc = made("The dog \n sleeps here . Who knows ?")
    words = [[t.text for t in sent if not t.is_space] for sent in doc.sents]
    expected = [tag for s in parser.parse([Sentence.from_words(own) for own in words]) for tag in s.upos]
    assert [t.pos_ for t in doc if not t.is_space] == expected
    assert [t.pos_ for t in doc if t.is_space] == ["SPACE"]
    given = made.make_doc("The dog sleeps here .")
    given[1].pos_ = "X"
    assert made(given)[1].pos_ == "X"


def test_without_a_tagger_no_part_of_speech_is_set(nlp: Any) -> None:
    assert not nlp(TEXT).has_annotation("POS")


def test_a_text_without_sentences_is_one_and_that_is_said(folder: Path, factory: None, caplog: Any) -> None:
    nlp = spacy.blank("xx")
    nlp.add_pipe("sublingual", config={"model": str(folder)})
    with caplog.at_level(logging.WARNING):
        doc = nlp("The dog sleeps . Who knows ?")
    assert len(list(doc.sents)) == 1
    assert "parsed as one: put `sentencizer` before" in caplog.text


def test_a_pipeline_is_saved_with_its_parser(nlp: Any, folder: Path, tmp_path: Path) -> None:
    nlp.to_disk(tmp_path / "pipeline")
    for path in folder.rglob("*"):
        if path.is_file():
            path.unlink()  # the pipeline needs it no more
    again = spacy.load(tmp_path / "pipeline")
    assert tree(again(TEXT)) == tree(nlp(TEXT))


def test_a_component_without_a_model_says_so(factory: None) -> None:
    nlp = spacy.blank("xx")
    nlp.add_pipe("sublingual")
    with pytest.raises(ConfigError, match="'sublingual' has no model"):
        nlp("dog")
