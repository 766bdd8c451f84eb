"""Reading keeps every byte; writing is whole or not at all; trees are replaced and nothing else."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sublingual.data.conllu import Sentence, parse_conllu, read_conllu, write_conllu
from sublingual.errors import DataError

SAMPLE = (
    "# newdoc\n"
    "# sent_id = w-07\n"
    "# text = vámonos al mar = ya\n"
    "# text_en = let us go\n"
    "1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No\n"
    "1\tvamos\tir\tVERB\t_\tMood=Imp|Person=1\t0\troot\t0:root\t_|CheckAttachment=4\n"
    "2\tnos\tnosotros\tPRON\t_\t_\t1\tobj:refl\t1:obj|1:dep\t_\n"
    "2.1\t_\t_\tVERB\t_\t_\t_\t_\t0:root\tCopyOf=1\n"
    "3-4\tal\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "3\ta\ta\tADP\t_\t_\t5\tcase\t5:case\t_\n"
    "4\tel\tel\tDET\t_\t_\t5\tdet\t5:det\t_\n"
    "5\tmar\u00a0\u2028\x85\x0b\x1d\tmar\tNOUN\t_\t_\t1\tobl\t1:obl:a\t_\n"
    "\n"
)


def chain(n: int) -> str:
    """A sentence whose n words each hang on the one before."""
    return "".join(f"{word}\tw\t_\tX\t_\t_\t{word - 1}\tdep\t_\t_\n" for word in range(1, n + 1)) + "\n"


def unannotated(text: str) -> str:
    """`text` with `_` for HEAD and DEPREL."""
    rows = [line.split("\t") for line in text.split("\n")]
    return "\n".join("\t".join([*row[:6], "_", "_", *row[8:]] if len(row) == 10 else row) for row in rows)


def test_views_hold_the_words_without_ranges_and_empty_nodes() -> None:
    (sentence,) = parse_conllu(SAMPLE)
    assert sentence.words == ("vamos", "nos", "a", "el", "mar\u00a0\u2028\x85\x0b\x1d")
    assert sentence.heads == (0, 1, 5, 5, 1)
    assert sentence.labels == ("root", "obj:refl", "case", "det", "obl")
    assert sentence.upos == ("VERB", "PRON", "ADP", "DET", "NOUN")
    assert [row[0] for row in sentence.rows] == ["1-2", "1", "2", "2.1", "3-4", "3", "4", "5"]


def test_comment_values_are_found_by_their_exact_key() -> None:
    (sentence,) = parse_conllu(SAMPLE)
    assert sentence.sent_id == "w-07"
    assert sentence.text == "vámonos al mar = ya"
    (bare,) = parse_conllu("# sent_id_2 = x\n# my text = y\n# sent_id\n" + chain(1))
    assert bare.sent_id is None
    assert bare.text is None


def test_place_names_file_line_and_sentence(tmp_path: Path) -> None:
    path = tmp_path / "two.conllu"
    path.write_text(chain(2) + SAMPLE, encoding="utf-8")
    assert [sentence.place for sentence in read_conllu(path)] == [f"{path}:1", f"{path}:4 (sent_id w-07)"]


def test_two_sentences_are_equal_by_content_not_by_place() -> None:
    first, second = parse_conllu(SAMPLE + SAMPLE, source="a")
    assert first == second
    assert first.line != second.line
    assert hash(first) == hash(second)


def test_what_was_read_is_written_byte_for_byte(tmp_path: Path) -> None:
    source, target = tmp_path / "in.conllu", tmp_path / "out.conllu"
    source.write_bytes((SAMPLE + chain(3) + SAMPLE).encode())
    write_conllu(read_conllu(source), target)
    assert target.read_bytes() == source.read_bytes()


@pytest.mark.data
def test_every_ud_file_is_written_byte_for_byte(ud: Path) -> None:
    paths = sorted(ud.rglob("*.conllu"))
    assert paths
    for path in paths:
        written = "".join(sentence.to_conllu() for sentence in read_conllu(path))
        assert written.encode() == path.read_bytes(), path


cells = st.text(st.characters(exclude_characters="\n\r\t\0", codec="utf-8"), min_size=1).map(lambda cell: f"x{cell}")
comments = st.text(st.characters(exclude_characters="\n\r\0", codec="utf-8")).map(lambda comment: f"#{comment}")


@st.composite
def sentences(draw: st.DrawFn) -> str:
    """CoNLL-U of one sentence with a random tree, empty nodes, ranges and odd characters in every free column."""
    n = draw(st.integers(1, 8))
    order = draw(st.permutations(range(1, n + 1)))
    heads = {order[i]: 0 if i == 0 else order[draw(st.integers(0, i - 1))] for i in range(n)}
    lines = draw(st.lists(comments, max_size=3))
    covered = 0
    for word in range(1, n + 1):
        if word > covered and word < n and draw(st.booleans()):
            covered = draw(st.integers(word + 1, n))
            lines.append("\t".join([f"{word}-{covered}", *draw(st.tuples(*[cells] * 9))]))
        free = draw(st.tuples(*[cells] * 7))
        label = draw(st.from_regex(r"[a-z]+(:[a-z]+)?", fullmatch=True))
        lines.append("\t".join([str(word), *free[:5], str(heads[word]), label, *free[5:]]))
        lines += [
            "\t".join([f"{word}.{i + 1}", *draw(st.tuples(*[cells] * 9))]) for i in range(draw(st.integers(0, 2)))
        ]
    return "\n".join([*lines, "", ""])


@settings(deadline=None)
@given(st.lists(sentences(), max_size=3))
def test_any_valid_text_is_written_as_it_was_read(texts: list[str]) -> None:
    text = "".join(texts)
    found = parse_conllu(text)
    assert "".join(sentence.to_conllu() for sentence in found) == text
    assert found == parse_conllu(text, heads="partial") == parse_conllu(text, heads="ignored")


@settings(deadline=None)
@given(sentences(), st.booleans())
def test_a_new_tree_changes_head_and_deprel_of_words_only(text: str, drop_deps: bool) -> None:
    (sentence,) = parse_conllu(text)
    n = len(sentence.words)
    heads = [head - 1 for head in range(1, n + 1)]
    changed = sentence.with_tree(heads, ["new:label"] * n, drop_deps=drop_deps)
    assert changed.heads == tuple(heads)
    assert changed.labels == ("new:label",) * n
    kept = [0, 1, 2, 3, 4, 5, 9] if drop_deps else [0, 1, 2, 3, 4, 5, 8, 9]
    for before, after in zip(sentence.rows, changed.rows, strict=True):
        assert [before[column] for column in kept] == [after[column] for column in kept]
        assert before[0].isdecimal() or before[6:8] == after[6:8]
        assert after[8] == ("_" if drop_deps else before[8])
    assert changed.comments == sentence.comments
    assert parse_conllu(changed.to_conllu()) == [changed]
    if not drop_deps:
        assert changed.with_tree([head or 0 for head in sentence.heads], sentence.labels) == sentence


@pytest.mark.parametrize(
    ("heads", "labels", "message"),
    [
        ([0], ["root"], r"s:1: 1 heads and 1 labels for 2 words: give one for each"),
        ([0, 1], ["root"], r"2 heads and 1 labels for 2 words"),
        ([0, 3], ["root", "dep"], r"heads \[0, 3\]: allowed are 0 to 2"),
        ([0, -1], ["root", "dep"], r"heads \[0, -1\]: allowed are 0 to 2"),
        ([0, 0], ["root", "dep"], r"heads \[0, 0\] are no tree"),
        ([2, 1], ["root", "dep"], r"heads \[2, 1\] are no tree: one word hangs on 0, no words form a cycle"),
        ([0, 2], ["root", "dep"], r"heads \[0, 2\] are no tree"),
        ([0, 1], ["root", "a b"], r"'a b' is no label"),
        ([0, 1], ["root", ""], r"'' is no label: relations are not empty, not _ and hold no space"),
        ([0, 1], ["root", "_"], r"'_' is no label"),
    ],
)
def test_what_is_no_tree_is_not_put_into_a_sentence(heads: list[int], labels: list[str], message: str) -> None:
    (sentence,) = parse_conllu(chain(2), source="s")
    with pytest.raises(DataError, match=message):
        sentence.with_tree(heads, labels)


def test_a_sentence_from_words_reads_back_equal() -> None:
    sentence = Sentence.from_words(
        ["Dogs", "bark"], heads=[2, 0], labels=["nsubj", "root"], upos=["NOUN", "VERB"], sent_id="a", text="Dogs bark"
    )
    assert sentence.to_conllu() == (
        "# sent_id = a\n# text = Dogs bark\n"
        "1\tDogs\t_\tNOUN\t_\t_\t2\tnsubj\t_\t_\n2\tbark\t_\tVERB\t_\t_\t0\troot\t_\t_\n\n"
    )
    assert parse_conllu(sentence.to_conllu()) == [sentence]


def test_a_sentence_from_words_alone_is_not_annotated() -> None:
    sentence = Sentence.from_words(["two words", "#", "_"], heads=[None, 1, 1], labels=[None, "dep", None])
    assert sentence.heads == (None, 1, 1)
    assert sentence.labels == (None, "dep", None)
    assert Sentence.from_words(["a"]).heads == (None,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"words": []}, "a sentence needs at least one word"),
        ({"words": ["a"], "heads": [0, 1]}, "2 values for 1 words: give one for each"),
        ({"words": ["a\tb"]}, r"'a\\tb' holds a tab or line end"),
        ({"words": ["a"], "text": "a\nb"}, r"holds a tab or line end, which CoNLL-U cannot hold: take it out"),
        ({"words": ["\ud800"]}, r"'\\ud800' cannot be written as UTF-8"),
        ({"words": [" "]}, r"<words>:1: FORM ' ' holds only spaces"),
        ({"words": [""]}, r"column 2 \(FORM\) is empty"),
        ({"words": ["a", "b"], "heads": [2, 1]}, r"words 1 -> 2 -> 1 form a cycle"),
        ({"words": ["a"], "heads": [-1]}, r"HEAD '-1' is no number"),
    ],
)
def test_words_that_make_no_valid_sentence_are_refused(arguments: dict[str, list[str]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Sentence.from_words(**arguments)


def test_head_and_label_are_missing_separately() -> None:
    text = "1\ta\t_\t_\t_\t_\t_\tdep\t_\t_\n2\tb\t_\t_\t_\t_\t1\t_\t_\t_\n\n"
    (sentence,) = parse_conllu(text, heads="partial")
    assert sentence.heads == (None, 1)
    assert sentence.labels == ("dep", None)
    with pytest.raises(DataError, match=r"<text>:2: word 2 has no DEPREL \(_\).*\[missing-deprel\] \(and 1 more; "):
        parse_conllu(text)


def test_a_head_of_non_ascii_digits_is_no_number() -> None:
    text = "".join(
        f"{i}\ta\t_\t_\t_\t_\t{head}\tdep\t_\t_\n" for i, head in enumerate(["1_0", "+1", "١", " 1", "²"], 1)
    )
    assert parse_conllu(text, heads="ignored")[0].heads == (None,) * 5


@pytest.mark.parametrize("text", ["", "\n", "\n\n\n", "# only a comment\n", "# only\n# comments\n\n"])
def test_text_without_words_holds_no_sentence(text: str, caplog: pytest.LogCaptureFixture) -> None:
    assert parse_conllu(text) == []
    assert ("<text>: comments without a sentence, left out: 1" in caplog.text) == ("#" in text)


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\n\n\n\n"])
def test_any_number_of_final_line_ends_is_read_and_one_blank_line_written(end: str) -> None:
    (sentence,) = parse_conllu(SAMPLE.rstrip("\n") + end)
    assert sentence.to_conllu() == SAMPLE


def test_lines_are_counted_over_extra_blank_lines() -> None:
    found = parse_conllu("\n\n" + chain(1) + "\n" + chain(1) + "\n\n" + chain(1))
    assert [sentence.line for sentence in found] == [3, 6, 10]


def test_crlf_and_byte_order_mark_are_taken_with_a_logged_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = parse_conllu("\ufeff" + SAMPLE.replace("\n", "\r\n"), source="dos.conllu")
    assert found == parse_conllu(SAMPLE)
    assert "dos.conllu:1: warning: lines end with CR LF (Windows); read as LF" in caplog.text
    assert "dos.conllu:1: note: byte order mark at the start, left out" in caplog.text


def test_a_chain_of_five_thousand_words_is_read_and_changed() -> None:
    (sentence,) = parse_conllu(chain(5000))
    assert sentence.heads == tuple(range(5000))
    assert sentence.with_tree([*range(2, 5001), 0], ["dep"] * 5000).heads[-1] == 0


def test_a_cycle_of_five_thousand_words_is_refused() -> None:
    text = chain(5000).replace("\t0\tdep", "\t5000\tdep", 1)
    with pytest.raises(DataError, match=r"words 1 -> 5000 -> 4999 -> .* form a cycle, and no word has head 0"):
        parse_conllu(text)


def test_an_unknown_mode_is_refused() -> None:
    # in a process of its own: the test run's type checker would refuse the value first
    call = "from sublingual.data.conllu import parse_conllu; parse_conllu('', heads='golden')"
    result = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, check=False)
    assert "ConfigError: heads='golden': allowed are gold, partial, ignored" in result.stderr


def test_dash_is_standard_input_and_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SAMPLE.encode())))
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out))
    (sentence,) = read_conllu("-")
    assert sentence.source == "<stdin>"
    write_conllu([sentence], "-")
    assert out.getvalue() == SAMPLE.encode()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    def broken() -> Iterator[Sentence]:
        yield from parse_conllu(SAMPLE)
        raise KeyboardInterrupt

    path = tmp_path / "out.conllu"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_conllu(broken(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_output_is_not_written_packed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.conllu\.gz: CoNLL-U is written unpacked: name it \.conllu"):
        write_conllu([], tmp_path / "x.conllu.gz")


def test_input_that_is_not_annotated_is_read_in_two_of_the_modes() -> None:
    blank = unannotated(SAMPLE)
    assert parse_conllu(blank, heads="ignored") == parse_conllu(blank, heads="partial")
    assert parse_conllu(blank, heads="partial")[0].heads == (None,) * 5
