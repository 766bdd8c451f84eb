"""Confidence: the trees of plain parsing, probabilities of their distribution, marks that tools for annotators take."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conllup.conllup import readConlluFile, sentenceJsonToConll

from sublingual.confidence import Confident, Temperatures, confident, label_probabilities
from sublingual.data.conllu import Sentence, parse_conllu, write_conllu
from sublingual.data.faults import check
from sublingual.errors import ConfigError
from sublingual.marking import Marks, mark
from sublingual.model.parser import BiaffineParser
from sublingual.parsing import Parser, decoded

Demo = Callable[..., list[Sentence]]

RICH = """\
# newdoc
# sent_id = s-1
# note without value
# highlight deprels = 9
# empty =
1-2	Dal	_	_	_	_	_	_	_	SpaceAfter=No|Gloss=from the
1	Da	da	ADP	E	_	_	_	4:case	_
2	il	il	DET	RD	_	_	_	_	B=1|HeadConf=0.11|A= 2|Doubt=Yes
3	bosco	bosco	NOUN	S	_	_	_	4.1:obl	SpaceAfter=No
4	esce	uscire	VERB	V	_	_	_	0:root	_
4.1	vuoto	_	VERB	_	_	_	_	0:root	CopyOf=4

# sent_id = s-1
1	Via	via	ADV	_	_	_	_	_	_

1	Via	via	ADV	_	_	_	_	_	_

"""

AWKWARD = """\
#sent_id=a
# text = don't go
# text = once more
# user_id = anna
# timestamp = 1763000000000.5
1-2	don't	_	_	_	Typo=Yes	_	_	_	Gloss=a
1	do	do	AUX	_	Abbr|Mood=Imp|=x|Mood=Ind	_	_	0:root|3:aux|3:ref	Ref=1|1|Ref=2|1
2	n't	not	PART	_	Polarity=	_	_	1:neg|9:ref|3	_
3	go	go	VERB	_	_	_	_	1.1:x|1:xcomp	_

"""


@pytest.fixture
def parser(tiny_parser: Callable[..., BiaffineParser]) -> Parser:
    return Parser(tiny_parser(seed=3).eval())


@pytest.fixture
def mixed(demo: Demo) -> list[Sentence]:
    return [s for name in ("English", "Arabic", "Turkish") for s in demo(name, 8)]


@pytest.fixture
def rich() -> list[Sentence]:
    return parse_conllu(RICH, heads="ignored")


@pytest.fixture
def awkward() -> Confident:
    (sentence,) = parse_conllu(AWKWARD, heads="ignored")
    return sure(sentence, [1, 1, 1], [1, 1, 1])


def sure(sentence: Sentence, arcs: list[float], labels: list[float]) -> Confident:
    """The sentence as a chain from its first word, with these probabilities."""
    n = len(sentence.words)
    tree = sentence.with_tree(list(range(n)), ["root", *["dep"] * (n - 1)])
    heads = np.zeros((n, n + 1))
    heads[np.arange(n), np.arange(n)] = arcs
    return Confident(tree, heads, np.array(labels, dtype=float))


def misc(sentence: Sentence) -> list[str]:
    return [row[9] for row in sentence.rows]


def test_trees_are_those_of_plain_parsing(parser: Parser, mixed: list[Sentence]) -> None:
    assert [one.sentence for one in confident(parser, mixed)] == parser.parse(mixed)
    assert [one.sentence for one in confident(parser, mixed, budget=60)] == parser.parse(mixed)


def test_plain_parsing_and_marked_parsing_differ_in_misc_alone(parser: Parser, mixed: list[Sentence]) -> None:
    for plain, marked in zip(parser.parse(mixed), mark(confident(parser, mixed), Marks()), strict=True):
        assert marked.comments == plain.comments
        assert [row[:9] for row in marked.rows] == [row[:9] for row in plain.rows]


def test_heads_of_each_word_and_words_under_the_root_sum_to_one(parser: Parser, mixed: list[Sentence]) -> None:
    for one in confident(parser, mixed):
        np.testing.assert_allclose(one.heads.sum(axis=1), 1, atol=1e-12)
        assert one.heads[:, 0].sum() == pytest.approx(1)
        assert ((one.labels >= 0) & (one.labels <= 1)).all()
        assert one.labels[one.sentence.heads.index(0)] == 1


def test_an_arcs_probability_is_the_share_of_all_trees(parser: Parser, demo: Demo) -> None:
    (sentence,) = [s for s in demo("English") if len(s.words) == 4][:1] or demo("English", 1)
    sentence = Sentence.from_words(sentence.words[:4])
    (run,) = decoded(parser.network, [sentence])
    (one,) = confident(parser, [sentence], temperatures=Temperatures(arcs=2.0))
    shares, total = np.zeros((4, 5)), 0.0
    for heads in itertools.product(range(5), repeat=4):
        try:
            sentence.with_tree(heads, ["x"] * 4)
        except Exception:
            continue
        weight = np.exp(sum(float(run.arcs[0, i + 1, h]) / 2.0 for i, h in enumerate(heads)))
        shares[np.arange(4), heads] += weight
        total += weight
    np.testing.assert_allclose(one.heads, shares / total, atol=1e-9)


def test_a_labels_probability_is_its_share_among_those_its_head_allows() -> None:
    scores = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [900.0, -900.0, 0.0]])
    found = label_probabilities(scores, np.array([0, 2, 1]), np.array([0, 1, 1]), root=0)
    np.testing.assert_allclose(found, [1.0, np.exp(3) / (np.exp(2) + np.exp(3)), 0.0], atol=1e-12)


def test_confidences_do_not_depend_on_the_neighbours(parser: Parser, mixed: list[Sentence]) -> None:
    for one, sentence in zip(confident(parser, mixed), mixed, strict=True):
        (alone,) = confident(parser, [sentence])
        np.testing.assert_allclose(one.heads, alone.heads, atol=1e-5)
        np.testing.assert_allclose(one.labels, alone.labels, atol=1e-5)


def test_heat_makes_less_sure(parser: Parser, mixed: list[Sentence]) -> None:
    cold, hot = (confident(parser, mixed, temperatures=Temperatures(t, t)) for t in (0.5, 50.0))
    assert sum(one.words.sum() for one in cold) > sum(one.words.sum() for one in hot)


def test_progress_is_told_each_sentence_once(parser: Parser, mixed: list[Sentence]) -> None:
    done: list[int] = []
    confident(parser, mixed, budget=60, progress=done.append)
    assert sum(done) == len(mixed)
    assert confident(parser, []) == []


@pytest.mark.parametrize("temperatures", [(0.0, 1.0), (1.0, -1.0), (float("nan"), 1.0)])
def test_temperatures_are_above_zero(temperatures: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="temperatures .* above 0"):
        Temperatures(*temperatures)


def test_misc_keeps_what_it_had_and_loses_older_marks(rich: list[Sentence]) -> None:
    (marked, *_) = mark([sure(rich[0], [1, 0.456, 0.9, 0.2], [1, 0.9, 0.5, 1])], Marks(doubt=0.45))
    assert misc(marked) == [
        "SpaceAfter=No|Gloss=from the",
        "HeadConf=1.00|DepConf=1.00",
        "B=1|A= 2|HeadConf=0.46|DepConf=0.90|Doubt=Yes",
        "SpaceAfter=No|HeadConf=0.90|DepConf=0.50",
        "HeadConf=0.20|DepConf=1.00|Doubt=Yes",
        "CopyOf=4",
    ]


def test_marking_twice_is_marking_once(parser: Parser, mixed: list[Sentence]) -> None:
    once = mark(confident(parser, mixed), Marks())
    assert mark(confident(parser, once), Marks()) == once


@pytest.mark.parametrize(("doubt", "expected"), [(0.0, 0), (1.0, 1)])
def test_the_threshold_says_what_is_doubted(parser: Parser, demo: Demo, doubt: float, expected: int) -> None:
    marked = mark(confident(parser, demo("English", 4)), Marks(doubt=doubt))
    doubted = [row[9].endswith("|Doubt=Yes") for s in marked for row in s.rows if row[6] != "0"]
    assert doubted == [bool(expected)] * len(doubted)


@pytest.mark.parametrize("target", ["ud", "arborator", "conllueditor", "inception"])
def test_every_tool_gets_names_that_differ_and_a_text(rich: list[Sentence], target: str) -> None:
    found = [sure(s, [0.9] * len(s.words), [0.9] * len(s.words)) for s in rich]
    marked = mark(found, Marks(target=target))
    assert [s.sent_id for s in marked] == ["s-1", "s-1-2", "s3"]
    assert [s.text for s in marked] == ["Dalboscoesce", "Via", "Via"]


def test_names_and_texts_that_are_there_stay(demo: Demo) -> None:
    sentences = demo("English", 5)
    found = [sure(s, [0.9] * len(s.words), [0.9] * len(s.words)) for s in sentences]
    assert [s.comments for s in mark(found, Marks(target="ud"))] == [s.comments for s in sentences]


@pytest.mark.parametrize("target", ["ud", "arborator", "conllueditor", "inception"])
def test_names_and_texts_are_spaced_as_every_tool_reads_them(awkward: Confident, target: str) -> None:
    """Arborator-Grew: conllup knows no comment but `# key = value` (conllup-py 3.1.1 conllup.py, conllup-js 3.1.4 conll.js)."""
    (marked,) = mark([awkward], Marks(target=target))
    named = [line for line in marked.comments if "sent_id" in line or "text" in line]
    assert named == ["# sent_id = a", "# text = don't go"]


def test_arborator_gets_no_comment_without_a_value(rich: list[Sentence]) -> None:
    (marked, *_) = mark([sure(rich[0], [1] * 4, [1] * 4)], Marks(target="arborator"))
    assert marked.comments == ("# sent_id = s-1", "# highlight deprels = 9", "# text = Dalboscoesce")


def test_arborator_gets_no_users(awkward: Confident) -> None:
    """A file in which a tree has a `user_id` is refused: check_if_file_has_user_ids in arborator-backend dfb640d."""
    (marked,) = mark([awkward], Marks(target="arborator"))
    assert marked.comments == ("# sent_id = a", "# text = don't go")


def test_arborator_gets_each_name_and_head_of_a_cell_once(awkward: Confident) -> None:
    """Twice is an error in conllup-py 3.1.1 (conllup.py); so are, in grew-nlp/conll 1.19.6 (conll.ml), FEATS without a value
    and arcs from no node."""
    (marked,) = mark([awkward], Marks(target="arborator"))
    assert [row[5] for row in marked.rows] == ["Typo=Yes", "Mood=Imp", "_", "_"]
    assert [row[8] for row in marked.rows] == ["_", "0:root|3:aux", "1:neg", "1:xcomp"]
    assert misc(marked)[1] == "Ref=1|1|1|HeadConf=1.00|DepConf=1.00|Abbr|=x"


def test_arborators_own_reader_takes_what_it_gets(rich: list[Sentence], awkward: Confident, tmp_path: Path) -> None:
    """conllup, of the version that arborator-backend dfb640d demands."""
    found = [*(sure(s, [0.9] * len(s.words), [0.9] * len(s.words)) for s in rich), awkward]
    marked = mark(found, Marks(target="arborator"))
    write_conllu(marked, tmp_path / "marked.conllu")
    read = readConlluFile(str(tmp_path / "marked.conllu"), keepEmptyTrees=True)
    assert [one["metaJson"]["sent_id"] for one in read] == [s.sent_id for s in marked]
    back = parse_conllu("\n".join(map(sentenceJsonToConll, read)))
    assert [(s.heads, s.labels, s.text) for s in back] == [(s.heads, s.labels, s.text) for s in marked]


def test_conllueditor_gets_ranges_of_form_and_misc(awkward: Confident) -> None:
    """Any other column there is an error, the FEATS that UD allows too: ConllWord.java in ConlluEditor 2.33.1."""
    (marked,) = mark([awkward], Marks(target="conllueditor"))
    assert marked.rows[0] == ("1-2", "don't", *["_"] * 7, "Gloss=a|Typo=Yes")
    assert [row[5] for row in marked.rows[1:]] == [row[5] for row in awkward.sentence.rows[1:]]


def test_conllueditor_gets_its_highlights_in_place_of_older_ones(rich: list[Sentence]) -> None:
    (marked, *_) = mark([sure(rich[0], [1, 0.3, 0.9, 0.9], [1, 0.9, 0.4, 0.9])], Marks(target="conllueditor"))
    assert marked.comments[-2:] == ("# highlight tokens = 2", "# highlight deprels = 2 3")
    assert "# highlight deprels = 9" not in marked.comments
    (certain, *_) = mark([sure(rich[0], [1] * 4, [1] * 4)], Marks(target="conllueditor"))
    assert not any("highlight" in line for line in certain.comments)


def test_inception_gets_no_empty_nodes_and_no_deps(rich: list[Sentence]) -> None:
    (marked, *_) = mark([sure(rich[0], [1] * 4, [1] * 4)], Marks(target="inception"))
    assert [row[0] for row in marked.rows] == ["1-2", "1", "2", "3", "4"]
    assert {row[8] for row in marked.rows} == {"_"}


def test_inception_gets_no_feats_without_a_value(awkward: Confident) -> None:
    """Its reader looks behind every `=` of FEATS: ConllUReader.java in dkpro-core b800fcc."""
    (marked,) = mark([awkward], Marks(target="inception"))
    assert [row[5] for row in marked.rows] == ["_", "Mood=Imp|Mood=Ind", "_", "_"]
    assert [cell.partition("1.00|")[2] for cell in misc(marked)[1:3]] == [
        "DepConf=1.00|Abbr|=x",
        "DepConf=1.00|Polarity=",
    ]


def test_empty_nodes_go_from_ud_with_the_last_deps(rich: list[Sentence]) -> None:
    bare = replace(rich[0], rows=tuple((*row[:8], "_", row[9]) for row in rich[0].rows))
    for sentence, expected in ((rich[0], True), (bare, False)):
        (marked,) = mark([sure(sentence, [1] * 4, [1] * 4)], Marks(target="ud"))
        assert ("4.1" in [row[0] for row in marked.rows]) == expected


@pytest.mark.parametrize("target", [None, "ud", "arborator", "conllueditor", "inception"])
def test_marked_files_have_no_fault(parser: Parser, mixed: list[Sentence], tmp_path: Path, target: str | None) -> None:
    marked = mark(confident(parser, mixed), Marks(target=target))
    write_conllu(marked, tmp_path / "marked.conllu")
    assert [fault for fault in check(tmp_path / "marked.conllu", heads="gold") if fault.severity != "note"] == []
    assert parse_conllu((tmp_path / "marked.conllu").read_text(encoding="utf-8")) == marked


@pytest.mark.parametrize("target", ["ud", "arborator", "conllueditor", "inception"])
def test_marked_files_are_valid_ud(parser: Parser, rich: list[Sentence], tmp_path: Path, target: str) -> None:
    """Level 2 of the UD project's validator, which also wants the text to fit the words."""
    plain = [replace(s, rows=tuple((*row[:8], "_", row[9]) for row in s.rows if "." not in row[0])) for s in rich]
    write_conllu(mark(confident(parser, plain), Marks(target=target)), tmp_path / "marked.conllu")
    validator = Path(sys.executable).parent / "udvalidate"
    ran = subprocess.run(
        [validator, "--lang", "ud", "--level", "2", tmp_path / "marked.conllu"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"doubt": 1.5}, "doubt 1.5: it is a probability"),
        ({"doubt": float("nan")}, "doubt nan: it is a probability"),
        ({"target": "brat"}, "unknown tool 'brat'; allowed: ud, arborator, conllueditor, inception"),
    ],
)
def test_impossible_marks_are_refused(settings: dict[str, float | str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Marks(**settings)  # type: ignore[arg-type]
