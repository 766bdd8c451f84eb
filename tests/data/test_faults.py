"""One bad file per fault, named by id, line and message; the reader refuses exactly where the check sees an error."""

from __future__ import annotations

import random
from pathlib import Path

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sublingual.data.blocks import Fault, Heads
from sublingual.data.conllu import parse_conllu, read_conllu
from sublingual.data.faults import MAX_SHOWN, check, check_text, report
from sublingual.data.textfiles import clean_text
from sublingual.errors import DataError

GOOD = (
    "# sent_id = w-07\n"
    "# text = al mar va\n"
    "1-2\tal\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "1\ta\ta\tADP\t_\t_\t3\tcase\t_\t_\n"
    "2\tel\tel\tDET\t_\t_\t3\tdet\t_\t_\n"
    "3\tmar\tmar\tNOUN\t_\t_\t4\tobl\t_\t_\n"
    "4\tva\tir\tVERB\t_\t_\t0\troot\t_\t_\n"
    "4.1\t_\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "\n"
)
BLANK = "\t_" * 8 + "\n"
EMPTY = f"\t_{BLANK}"
MODES: tuple[Heads, ...] = ("gold", "partial", "ignored")


def faults_of(text: str, *, heads: Heads = "gold") -> list[Fault]:
    return check_text(clean_text(text, "x.conllu"), heads=heads)


def errors(faults: list[Fault]) -> list[Fault]:
    return [fault for fault in faults if fault.severity == "error"]


ERRORS = [
    ("number-of-columns", 7, "\tVERB\t", "\t", "9 columns, 10 needed, separated by tabs; an empty column is written _"),
    ("number-of-columns", 7, "root\t_\t_\n", "root\t_\t_\t\n", "11 columns, 10 needed; the line ends with a tab too"),
    ("number-of-columns", 6, "3\tmar\tmar\tNOUN\t_\t_\t4\tobl\t_\t_", "3 mar mar NOUN _ _ 4 obl _ _", "by spaces?"),
    ("invalid-line", 6, "3\tmar", "-\tmar", r"'-\tmar\tmar\tNOUN\t_\t_\t4\tobl\t_\t_' is no line of CoNLL-U: each"),
    ("invalid-line", 6, "3\tmar", "٣\tmar", "is no line of CoNLL-U"),
    ("pseudo-empty-line", 8, f"4.1{EMPTY}", " \t \n", "the line looks empty but holds spaces or tabs"),
    ("misplaced-comment", 5, "2\tel", "# late\n2\tel", "comment '# late' between the words: move it before the"),
    ("empty-column", 6, "mar\tNOUN", "\tNOUN", "column 3 (LEMMA) is empty: write _ where there is no value"),
    ("empty-column", 7, "0\troot", "\troot", "column 7 (HEAD) is empty"),
    (
        "blank-form",
        6,
        "mar\tmar",
        " \u00a0\u3000\tmar",
        r"FORM ' \xa0\u3000' holds only spaces: a word needs a visible",
    ),
    ("blank-form", 3, "\tal\t", "\t \t", "FORM ' ' holds only spaces"),
    ("word-id-sequence", 6, "3\tmar", "7\tmar", "word number '7' where 3 is due: words are numbered 1, 2, 3, ..."),
    (
        "invalid-word-id",
        6,
        "3\tmar",
        "03\tmar",
        "ID '03': allowed are a word (3), a multiword range (3-4), an empty node",
    ),
    ("invalid-word-interval", 3, "1-2", "1-X", "ID '1-X': allowed are"),
    ("reversed-word-interval", 3, "1-2", "2-1", "multiword range '2-1' ends before it starts: write FIRST-LAST with"),
    ("word-interval-out", 3, "1-2", "1-1000000000", "multiword range '1-1000000000' but the sentence has 4 words"),
    ("misplaced-word-interval", 3, "1-2", "2-3", "multiword range '2-3' stands after word 0: move it directly before"),
    ("overlapping-word-intervals", 5, "2\tel", f"2-3{EMPTY}2\tel", "overlaps the one before it, which ends at word 2"),
    ("missing-head", 6, "4\tobl", "_\tobl", "word 3 has no HEAD (_): every word needs its head here"),
    ("missing-deprel", 6, "4\tobl", "4\t_", "word 3 has no DEPREL (_): every word needs its relation here"),
    ("invalid-head", 6, "4\tobl", "-1\tobl", "HEAD '-1' is no number: allowed are 0 to 4, and _ where it is not"),
    ("invalid-head", 6, "4\tobl", "1.5\tobl", "HEAD '1.5' is no number"),
    ("invalid-head", 6, "4\tobl", "+4\tobl", "HEAD '+4' is no number"),
    ("invalid-head", 6, "4\tobl", "٤\tobl", "HEAD '٤' is no number"),
    ("unknown-head", 6, "4\tobl", "19\tobl", "x.conllu:6 (sent_id w-07): error: head 19 but the sentence has 4 words"),
    ("unknown-head", 6, "4\tobl", "9" * 6000 + "\tobl", "head " + "9" * 37 + "... but the sentence has 4 words"),
    ("head-self-loop", 6, "4\tobl", "3\tobl", "word 3 is its own head: give it another, or 0 if it is the root"),
    ("non-tree", 4, "4\tobl", "1\tobl", "words 1 -> 3 -> 1 form a cycle: give one of them a head outside"),
    ("non-tree", 6, "0\troot", "3\troot", "words 3 -> 4 -> 3 form a cycle, and no word has head 0: give one"),
    ("multiple-roots", 7, "4\tobl", "0\tobl", "2 words have head 0 (3, 4): exactly one word is the root"),
    ("invalid-whitespace", 6, "4\tobl", "4\tobl arg", "DEPREL 'obl arg' holds a space: relations are written without"),
]


@pytest.mark.parametrize(("id", "line", "old", "new", "message"), ERRORS)
def test_a_bad_line_is_refused_by_name_and_place(id: str, line: int, old: str, new: str, message: str) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    fault = next(fault for fault in errors(faults_of(text)) if fault.id == id)
    assert message in str(fault)
    assert fault.place == f"x.conllu:{line} (sent_id w-07)"
    with pytest.raises(DataError, match=r"^x\.conllu:\d+ \(sent_id w-07\): .+ \[[a-z-]+\]"):
        parse_conllu(text, source="x.conllu")


def test_a_good_sentence_has_no_faults_but_the_note_of_its_empty_node() -> None:
    (note,) = faults_of(GOOD)
    assert str(note) == "x.conllu:1: note: empty nodes: 1, kept as they are and not parsed [empty-nodes]"


def test_a_sentence_of_empty_nodes_alone_is_refused() -> None:
    with pytest.raises(DataError, match=r"x:2: the sentence has no words: remove it or give it a word \[no-words\]"):
        parse_conllu("# a\n0.1\t_\t_\t_\t_\t_\t_\t_\t_\t_\n\n", source="x")


def test_the_reader_names_the_first_fault_and_counts_the_others() -> None:
    text = GOOD.replace("4\tobl", "9\tobl").replace("0\troot", "x\troot")
    message = (
        r"^x:6 \(sent_id w-07\): head 9 but the sentence has 4 words \[unknown-head\] \(and 1 more; `sublingual check`"
    )
    with pytest.raises(DataError, match=message):
        parse_conllu(text, source="x")


@pytest.mark.parametrize(("old", "new"), [("4\tobl", "_\tobl"), ("4\tobl", "4\t_"), ("0\troot", "_\t_")])
def test_missing_annotation_is_an_error_in_gold_alone(old: str, new: str) -> None:
    text = GOOD.replace(old, new)
    assert [bool(errors(faults_of(text, heads=mode))) for mode in MODES] == [True, False, False]


@pytest.mark.parametrize("head", ["9", "3", "1", "0", "x", "-1"])
def test_wrong_heads_are_errors_unless_heads_are_ignored(head: str) -> None:
    text = GOOD.replace("4\tobl", f"{head}\tobl").replace("3\tdet", "_\t_")
    assert [bool(errors(faults_of(text, heads=mode))) for mode in MODES] == [True, True, False]


@pytest.mark.parametrize(("old", "new"), [("4\tobl", "\t"), ("4\tobl", "4\tobl arg"), ("4\tobl", "4\tOBL")])
def test_head_and_deprel_of_words_are_not_looked_at_where_heads_are_ignored(old: str, new: str) -> None:
    text = GOOD.replace(old, new)
    assert [fault.id for fault in faults_of(text, heads="ignored")] == ["empty-nodes"]
    assert parse_conllu(text, heads="ignored")[0].to_conllu() == text


WARNINGS = [
    ("empty-sentence", 1, "# sent_id", "# alone\n\n# sent_id", "comments without a sentence; they are left out"),
    ("misplaced-comment", 10, "_\n\n", "_\n\n# end\n\n", "comments after the last sentence; they are left out"),
    ("extra-empty-line", 1, "# sent_id", "\n\n# sent_id", "blank lines too many: 2; sentences are separated by"),
    ("extra-empty-line", 10, "_\n\n", "_\n\n\n", "blank lines too many: 1;"),
    ("missing-empty-line", 8, "_\n\n", "_\n", "no blank line after the last sentence; one is written"),
    ("missing-empty-line", 8, "_\n\n", "_", "no blank line after the last sentence"),
    ("non-unix-newline", 3, "\n1-2", "\n1-2", "lines end with CR LF (Windows); read as LF, and written so"),
    ("unicode-normalization", 7, "ir\tVERB", "u\u0308r\tVERB", "not in Unicode's normal form NFC; it is kept as it is"),
    ("invalid-whitespace", 6, "NOUN\t_", "NOUN\ta b", "XPOS 'a b' holds a space; it is kept as it is"),
    ("invalid-feature", 6, "NOUN\t_\t_", "NOUN\t_\tTypo", "FEATS 'Typo' is no list Name=Value|Name=Value; it is kept"),
    ("invalid-deps", 6, "obl\t_", "obl\tnsubj", "DEPS 'nsubj' is no list head:relation|head:relation; it is kept"),
    (
        "mwt-nonempty-field",
        3,
        f"al{BLANK}",
        f"al{BLANK[:8]}\t3\tcase\t_\t_\n",
        "the range 1-2 of several words has annotation",
    ),
    ("leading-whitespace", 6, "mar\tNOUN", " mar\tNOUN", "LEMMA ' mar' starts or ends with a space; it is kept"),
    ("trailing-whitespace", 6, "mar\tmar", "mar\u00a0\tmar", r"FORM 'mar\xa0' starts or ends with a space"),
    ("invisible-form", 6, "mar\tmar", "\u200b\u00ad\tmar", r"FORM '\u200b\xad' has no visible character; an encoder"),
    ("invalid-deprel", 6, "obl", "Obl", "DEPREL 'Obl' is no relation of UD (lower case, one subtype): it is taken"),
    (
        "unknown-deprel",
        6,
        "obl",
        "adjunct:x",
        "DEPREL 'adjunct:x' is no relation of UD, 'adjunct' being none: no parser",
    ),
    ("0-is-not-root", 7, "root", "dep", "word 4 has head 0 but is labelled dep; it is taken as it is"),
    ("root-is-not-0", 6, "obl", "root", "word 3 is labelled root but has head 4; it is taken as it is"),
    ("misplaced-empty-node", 8, "4.1", "4.3", "empty node '4.3' where 4.1 is due; it is kept as it is and not parsed"),
    ("misplaced-empty-node", 4, "1\ta\t", f"0.1{EMPTY}1\ta\t", "where 0.1 before the multiword range of word 1 is due"),
]


@pytest.mark.parametrize(("id", "line", "old", "new", "message"), WARNINGS)
def test_a_doubtful_line_is_taken_with_a_warning(id: str, line: int, old: str, new: str, message: str) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    if id == "non-unix-newline":
        head, tail = text.split("\n1-2")
        text = head + "\n1-2" + tail.replace("\n", "\r\n")
    found = faults_of(text)
    assert not errors(found)
    (warning,) = [fault for fault in found if fault.severity == "warning"]
    assert warning.id == id
    assert warning.place.startswith(f"x.conllu:{line}")
    assert message in warning.message
    assert len(parse_conllu(text)) == 1


def test_notes_tell_of_empty_files_and_missing_annotation() -> None:
    assert [str(fault) for fault in faults_of("")] == ["x.conllu:1: note: the file holds no sentences [no-sentences]"]
    notes = [fault.message for fault in faults_of(GOOD.replace("3\tdet", "_\t_"), heads="partial")]
    assert "1 of 4 words have no HEAD (_): taken as not annotated" in notes


def test_of_each_kind_twenty_are_listed_and_the_rest_counted(tmp_path: Path) -> None:
    path = tmp_path / "many.conllu"
    path.write_text(GOOD.replace("4\tobl", "x\tObl") * 50, encoding="utf-8")
    found = check(path)
    for id in ("invalid-head", "invalid-deprel"):
        listed = [fault for fault in found if fault.id == id]
        assert len(listed) == MAX_SHOWN + 1
        assert sum(fault.count for fault in listed) == 50
        assert listed[-1].message == "and 30 more of this kind, the last one here"
        assert listed[-1].place == f"{path}:447 (sent_id w-07)"
    assert report(found).endswith("\n50 errors, 50 warnings, 1 note")


def test_a_report_is_one_line_for_each_fault_and_their_sum() -> None:
    assert report([]) == "0 errors, 0 warnings, 0 notes"
    assert report(faults_of(GOOD.replace("4\tobl", "9\tobl"))).split("\n") == [
        "x.conllu:6 (sent_id w-07): error: head 9 but the sentence has 4 words [unknown-head]",
        "x.conllu:1: note: empty nodes: 1, kept as they are and not parsed [empty-nodes]",
        "1 error, 0 warnings, 1 note",
    ]


def test_what_is_no_text_is_the_only_fault_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "latin.conllu"
    path.write_bytes(GOOD.replace("3\tmar", "3\tcafé").encode("latin-1"))
    (fault,) = check(path)
    assert (fault.id, fault.severity, fault.place) == ("invalid-utf", "error", f"{path}:6")
    with pytest.raises(DataError, match=r"latin\.conllu:6: byte 0xe9 is no UTF-8; looks like Latin-1.*\[invalid-utf\]"):
        read_conllu(path)


@settings(deadline=None)
@given(st.integers(1, 6).flatmap(lambda n: st.lists(st.integers(0, n), min_size=n, max_size=n)))
def test_exactly_the_arborescences_with_one_root_are_taken(heads: list[int]) -> None:
    graph = networkx.DiGraph((head, word) for word, head in enumerate(heads, 1))
    is_tree = networkx.is_arborescence(graph) and len(graph) == len(heads) + 1 and heads.count(0) == 1
    text = "".join(f"{word}\tw\t_\tX\t_\t_\t{head}\tdep\t_\t_\n" for word, head in enumerate(heads, 1)) + "\n"
    assert is_tree == (not errors(faults_of(text)))
    assert is_tree == _is_read(text, "gold")


@settings(deadline=None)
@given(
    st.integers(1, 6).flatmap(
        lambda n: st.lists(st.one_of(st.none(), st.integers(0, n)), min_size=n, max_size=n),
    )
)
def test_exactly_what_can_be_completed_to_a_tree_with_one_root_is_taken_in_part(heads: list[int | None]) -> None:
    arcs = [(head, word) for word, head in enumerate(heads, 1) if head is not None]
    graph = networkx.DiGraph(arcs)
    graph.add_nodes_from(range(len(heads) + 1))
    can = networkx.is_directed_acyclic_graph(graph) and heads.count(0) <= 1
    cells = ["_" if head is None else str(head) for head in heads]
    text = "".join(f"{word}\tw\t_\tX\t_\t_\t{head}\tdep\t_\t_\n" for word, head in enumerate(cells, 1)) + "\n"
    assert can == (not errors(faults_of(text, heads="partial")))
    assert can == _is_read(text, "partial")


def _is_read(text: str, heads: Heads) -> bool:
    try:
        parse_conllu(text, source="x.conllu", heads=heads)
    except DataError:
        return False
    return True


def mutated(text: str, draw: random.Random) -> str:
    """`text` after one to three faults that hands and programs make."""
    pieces = [
        "\t",
        "\n",
        "\n\n",
        " ",
        "#",
        "_",
        "0",
        "1",
        "9",
        "-",
        ".",
        "\r",
        "\r\n",
        "\0",
        "\ufeff",
        "\u2028",
        "\u3000",
    ]
    pieces += ["٣", "1-2", "1.1", "1-1000000000", "9" * 5000, "\t_" * 9, "x\u0301", "# sent_id = q\n"]
    for _ in range(draw.randint(1, 3)):
        at, to = sorted(draw.choices(range(len(text) + 1), k=2))
        to = min(to, at + draw.choice([0, 1, 2, 40]))
        kind = draw.randrange(4)
        if kind == 0:
            text = text[:at] + draw.choice(pieces) + text[to:]
        elif kind == 1:
            text = text[:at] + text[to:]
        elif kind == 2:
            text = text[:to] + text[at:]
        else:
            lines = text.split("\n")
            first, second = draw.choices(range(len(lines)), k=2)
            lines[first], lines[second] = lines[second], lines[first]
            text = "\n".join(lines)
    return text


@pytest.mark.parametrize("heads", MODES)
def test_the_reader_refuses_mutated_text_exactly_where_the_check_sees_an_error(heads: Heads) -> None:
    draw = random.Random(7)
    outcomes = []
    for _ in range(200):
        text = mutated(GOOD + GOOD.replace("w-07", "w-08").replace("4\tobl", "4\tobl:arg"), draw)
        outcomes.append(_is_read(text, heads))
        assert outcomes[-1] == (not errors(faults_of(text, heads=heads))), text
        if outcomes[-1]:
            found = parse_conllu(text, heads=heads)
            written = "".join(sentence.to_conllu() for sentence in found)
            assert parse_conllu(written, heads=heads) == found
    assert 10 < sum(outcomes) < 190
