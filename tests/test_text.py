"""Raw text to sentences of words and back: Unicode's rules, UDPipe's marks for spaces, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublingual.data.blocks import MISC
from sublingual.data.conllu import Sentence, parse_conllu
from sublingual.errors import ConfigError, DataError
from sublingual.text import FORMS, Markup, plain_text, read_sentences, sentences_of

ALPHABET = "aB7.,!?-_#|\\ \t\n\u00a0\u3000é\u0301😀\U0001f468\u200d\U0001f469กไทย我是。\u200b\u2028\x85\x0b\x1cא'’"


def words(text: str, form: str = "text") -> list[list[str]]:
    return [list(sentence.words) for sentence in sentences_of(text, form=form)]


def miscs(text: str, markup: Markup = Markup()) -> list[str]:
    return [row[MISC] for s in sentences_of(text, form="text", markup=markup) for row in s.rows]


def again(sentences: list[Sentence]) -> list[Sentence]:
    """The sentences as they come back from CoNLL-U, which checks them."""
    return parse_conllu("".join(s.to_conllu() for s in sentences), heads="ignored")


@given(
    st.text(st.sampled_from(ALPHABET)) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"))
)
@pytest.mark.parametrize("form", ["text", "presegmented"])
def test_text_comes_back_from_its_sentences_through_conllu(form: str, text: str) -> None:
    text = text.removeprefix("\ufeff")
    sentences = sentences_of(text, form=form)
    assert again(sentences) == sentences
    assert plain_text(again(sentences)) == (text if sentences else "")
    assert bool(sentences) == bool(text.strip())


@given(st.text(st.sampled_from(ALPHABET)))
def test_words_hold_no_space_and_ranges_are_their_places(text: str) -> None:
    for sentence in sentences_of(text, form="text", markup=Markup(ranges=True)):
        for row in sentence.rows:
            start, end = map(int, row[MISC].rpartition("TokenRange=")[2].split(":"))
            assert text[start:end] == row[1]
            assert row[1].split() == [row[1]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The dog barks. Why?", [["The", "dog", "barks", "."], ["Why", "?"]]),
        ("It is 3,000.50 kg (or so)...", [["It", "is", "3,000.50", "kg", "(", "or", "so", ")", "..."]]),
        ("Wait -- what?!", [["Wait", "--", "what", "?", "!"]]),
        ("((a))", [["(", "(", "a", ")", ")"]]),
        ("Да, это так. Нет!", [["Да", ",", "это", "так", "."], ["Нет", "!"]]),
        ("我是学生。你好吗？", [["我是", "学生", "。"], ["你好", "吗", "？"]]),  # words by ICU's dictionary
        ("क्या हाल है? ठीक।", [["क्या", "हाल", "है", "?"], ["ठीक", "।"]]),
        ("مرحبا بكم. كيف الحال؟", [["مرحبا", "بكم", "."], ["كيف", "الحال", "؟"]]),
        ("one\ntwo. Three\n\nfour", [["one", "two", ".", ], ["Three"], ["four"]]),
        ("", []),
        (" \n\n \t", []),
    ],
)  # fmt: skip
def test_text_is_cut_by_unicodes_rules(text: str, expected: list[list[str]]) -> None:
    assert words(text) == expected


def test_sentences_are_written_as_ud_has_them() -> None:
    first, second, third = sentences_of("Hi  there,\nyou. Bye.\n\nNew", form="text")
    assert first.comments == ("# newdoc", "# newpar", "# sent_id = 1", "# text = Hi there, you.")
    assert second.comments == ("# sent_id = 2", "# text = Bye.")
    assert third.comments == ("# newpar", "# sent_id = 3", "# text = New")
    assert [row[MISC] for row in first.rows] == [
        "SpacesAfter=\\s\\s",
        "SpaceAfter=No",
        "SpacesAfter=\\n",
        "SpaceAfter=No",
        "_",
    ]


def test_spaces_at_both_ends_are_kept() -> None:
    assert miscs("\t a b\n") == ["SpacesBefore=\\t\\s", "SpacesAfter=\\n"]


def test_normalized_spaces_leaves_only_uds_own_mark() -> None:
    assert miscs(" a  b,\tc\n", Markup(normalized_spaces=True)) == ["_", "SpaceAfter=No", "_", "_"]


def test_ranges_stand_beside_the_spaces() -> None:
    assert miscs("😀 b.", Markup(ranges=True)) == [
        "TokenRange=0:1",
        "SpaceAfter=No|TokenRange=2:3",
        "SpaceAfter=No|TokenRange=3:4",
    ]


def test_presegmented_lines_are_sentences() -> None:
    text = "One. Still one\n\nTwo\u2028too\n"
    assert words(text, "presegmented") == [["One", ".", "Still", "one"], ["Two", "too"]]
    assert [s.comments[0] for s in sentences_of(text, form="presegmented")] == ["# newdoc", "# newpar"]


# What UDPipe 1.4 (ufal.udpipe 1.4.0.1) made of the same input.
@pytest.mark.parametrize(
    ("form", "text", "expected", "begins"),
    [
        ("vertical", "Dogs\nbark\n\nA b\tx\ny\u00a0z\n\n\nlast", [["Dogs", "bark"], ["A b", "y z"], ["last"]], [0, 2]),
        ("horizontal", "Dogs bark .\n\nA\u00a0b c\td\nlast", [["Dogs", "bark", "."], ["A b", "c", "d"], ["last"]], [0, 1]),
    ],
)  # fmt: skip
def test_text_in_words_is_read_as_udpipe_reads_it(
    form: str, text: str, expected: list[list[str]], begins: list[int]
) -> None:
    sentences = sentences_of(text, form=form)
    assert [list(s.words) for s in sentences] == expected
    assert [i for i, s in enumerate(sentences) if "# newpar" in s.comments] == begins
    assert [s.sent_id for s in sentences] == ["1", "2", "3"]
    assert again(sentences) == sentences


@given(st.text(st.sampled_from(ALPHABET)))
@pytest.mark.parametrize("form", ["vertical", "horizontal"])
def test_any_text_in_words_gives_valid_conllu(form: str, text: str) -> None:
    sentences = sentences_of(text, form=form)
    assert again(sentences) == sentences


def test_plain_text_writes_multiword_tokens_and_no_empty_nodes() -> None:
    rows = [["1-2", "don't"], ["1", "do"], ["2", "n't"], ["2.1", "x"], ["3", "run"], ["4", "."]]
    misc = {"3": "SpaceAfter=No", "4": "SpacesAfter=\\n\\p"}
    lines = ["\t".join([*row, *["_"] * 7, misc.get(row[0], "_")]) for row in rows]
    assert plain_text(parse_conllu("\n".join([*lines, "", ""]), heads="ignored")) == "don't run.\n|"


def test_windows_line_ends_and_byte_order_mark_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "in.txt"
    file.write_bytes(b"\xef\xbb\xbfOne.\r\n\r\nTwo.\r\n")
    assert plain_text(read_sentences(file, form="text")) == "One.\n\nTwo.\n"


def test_conllu_is_a_form_too(tmp_path: Path) -> None:
    text = Sentence.from_words(["a"]).to_conllu()
    (tmp_path / "in.conllu").write_text(text, encoding="utf-8")
    assert read_sentences(tmp_path / "in.conllu") == sentences_of(text)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"caf\xe9", r"in.txt:1: byte 0xe9 is no UTF-8; looks like Latin-1"),
        ("x".encode("utf-16"), r"looks like UTF-16"),
        (b"a\n\0b", r"in.txt:2: a NUL character inside the line"),
        (b"a\rb", r"in.txt:1: the lines end with CR alone"),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_what_is_no_text_is_refused(tmp_path: Path, form: str, raw: bytes, message: str) -> None:
    (tmp_path / "in.txt").write_bytes(raw)
    with pytest.raises(DataError, match=message):
        read_sentences(tmp_path / "in.txt", form=form)


def test_unknown_form_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown form of text 'pdf'; allowed: conllu, text, presegmented"):
        sentences_of("a", form="pdf")
    with pytest.raises(ConfigError, match="unknown form of text 'pdf'"):
        read_sentences("none.pdf", form="pdf")


def test_missing_segmenter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "icu4py.breakers", None)
    with pytest.raises(ConfigError, match=r"raw text needs the package icu4py: pip install 'sublingual\[text\]'"):
        sentences_of("a", form="text")
    assert words("a b", "horizontal") == [["a", "b"]]
