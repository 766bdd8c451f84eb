"""Drawn trees: valid XML, every arc there, nothing on top of anything else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sublingual.data.conllu import Sentence, parse_conllu
from sublingual.data.embedded import embedded_folder
from sublingual.data.treebanks import SPLITS, treebanks
from sublingual.drawing import boxed, draw, is_right_to_left, text_width
from sublingual.errors import DataError

SVG = "{http://www.w3.org/2000/svg}"
TREEBANKS = {treebank.name: treebank for treebank in treebanks(embedded_folder())}


@dataclass(frozen=True)
class Box:
    left: float
    right: float
    top: float
    bottom: float
    text: str

    def meets(self, other: Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def box(text: ElementTree.Element) -> Box:
    size, x, y = (float(text.attrib[name]) for name in ("font-size", "x", "y"))
    half = text_width(text.text or "", size=size) / 2
    return Box(x - half, x + half, y - 0.8 * size, y + 0.2 * size, text.text or "")


def of_class(svg: str, name: str) -> list[ElementTree.Element]:
    return [each for each in ElementTree.fromstring(svg).iter() if name in each.get("class", "").split()]


def labels(svg: str) -> list[ElementTree.Element]:
    return of_class(svg, "label")


def lines(arc: ElementTree.Element) -> list[Box]:
    """The straight parts of an arc as boxes without breadth."""
    path = arc.findall(f"{SVG}path")[0].attrib["d"]
    numbers = [float(number) for number in re.findall(r"-?\d+\.?\d*", path)]
    if "H" not in path:
        x, top, bottom = numbers
        return [Box(x, x, top, bottom, "")]
    start, base, near, across, end = numbers[0], numbers[1], numbers[2], numbers[7], numbers[-1]
    last = across + numbers[10]
    top, bottom = sorted((near, base))
    y = near + numbers[6]
    assert end == base
    return [
        Box(start, start, top, bottom, ""),
        Box(last, last, top, bottom, ""),
        Box(min(start, last), max(start, last), y, y, ""),
    ]


def sentences(name: str) -> list[Sentence]:
    treebank = TREEBANKS[name]
    return [sentence for split in SPLITS if treebank.files(split) for sentence in treebank.sentences(split)]


def crosses(sentence: Sentence) -> bool:
    """Whether arcs of the tree cross, the root's among them (its line goes straight up)."""
    heads = [head or 0 for head in sentence.heads]
    spans = [(min(word, head), max(word, head)) for word, head in enumerate(heads, 1) if head]
    root = heads.index(0) + 1
    return any(a < c < b < d for a, b in spans for c, d in spans) or any(a < root < b for a, b in spans)


def shuffled(n_words: int, choices: list[int]) -> Sentence:
    """A tree over n words: each hangs on one of the words before it in some order."""
    order = sorted(range(1, n_words + 1), key=lambda word: (choices[word - 1], word))
    heads = [0] * n_words
    for place, word in enumerate(order[1:], start=1):
        heads[word - 1] = order[choices[word - 1] % place]
    return Sentence.from_words(
        [f"w{'o' * (i % 7)}" for i in range(n_words)],
        heads=heads,
        labels=["root" if not head else "nsubj:pass" for head in heads],
    )


@pytest.mark.parametrize("name", TREEBANKS)
def test_real_trees_have_one_arc_a_word_and_no_two_labels_meet(name: str) -> None:
    for sentence in sentences(name):
        svg = draw(sentence)
        found = [(int(arc.attrib["data-word"]), int(arc.attrib["data-head"])) for arc in of_class(svg, "arc")]
        assert sorted(found) == list(enumerate(sentence.heads, start=1))
        boxes = [box(text) for text in labels(svg)]
        assert sorted(each.text for each in boxes) == sorted(map(str, sentence.labels))
        assert not [pair for pair in combinations(boxes, 2) if pair[0].meets(pair[1])]


@pytest.mark.parametrize("name", TREEBANKS)
def test_no_line_of_a_projective_tree_runs_through_a_label(name: str) -> None:
    projective = [sentence for sentence in sentences(name) if not crosses(sentence)]
    assert len(projective) > 30
    for sentence in projective:
        svg = draw(sentence)
        boxes = [box(text) for text in labels(svg)]
        straight = [line for arc in of_class(svg, "arc") for line in lines(arc)]
        assert not [(line, label) for line in straight for label in boxes if line.meets(label)]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40).flatmap(lambda n: st.lists(st.integers(0, 200), min_size=n, max_size=n)))
def test_labels_and_words_of_any_tree_stay_apart_and_inside(choices: list[int]) -> None:
    sentence = shuffled(len(choices), choices)
    svg = draw(sentence, gold=shuffled(len(choices), choices[::-1]))
    root = ElementTree.fromstring(svg)
    boxes = [*(box(text) for text in labels(svg)), *(box(text) for text in of_class(svg, "word"))]
    assert not [pair for pair in combinations(boxes, 2) if pair[0].meets(pair[1])]
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert all(0 <= each.left <= each.right <= width and 0 <= each.top <= each.bottom <= height for each in boxes)


def test_arrows_point_at_the_dependent() -> None:
    svg = draw(Sentence.from_words(["Big", "dogs", "bark"], heads=[2, 3, 0], labels=["amod", "nsubj", "root"]))
    words = [box(text) for text in of_class(svg, "word")]
    for arc in of_class(svg, "arc"):
        tip = float(re.findall(r"-?\d+\.?\d*", arc.findall(f"{SVG}path")[1].attrib["d"])[0])
        word = words[int(arc.attrib["data-word"]) - 1]
        assert word.left <= tip <= word.right


def test_a_hundred_words_make_a_wide_drawing_in_a_box_that_scrolls() -> None:
    sentence = shuffled(100, [7 * i % 101 for i in range(100)])
    element = ElementTree.fromstring(boxed(sentence))
    assert element.attrib["dir"] == "ltr"
    assert "overflow-x:auto" in element.attrib["style"]
    assert float(element[0].attrib["width"]) > 2000
    assert len(of_class(boxed(sentence), "arc")) == 100


def test_words_of_a_right_to_left_script_stand_from_right_to_left() -> None:
    for name in TREEBANKS:
        for sentence in sentences(name)[:10]:
            places = [float(text.attrib["x"]) for text in of_class(draw(sentence), "word")]
            assert places == sorted(places, reverse=name == "UD_Arabic-Demo")
    arabic = sentences("UD_Arabic-Demo")[0]
    assert ElementTree.fromstring(boxed(arabic)).attrib["dir"] == "rtl"
    assert is_right_to_left(["שלום", "!", "IBM"])
    assert not is_right_to_left(["12", "%"])


def test_markup_and_control_characters_in_a_sentence_are_harmless() -> None:
    words = ["<script>", "&amp;", "\"'", "]]>", "a\x01b"]
    sentence = Sentence.from_words(
        words, heads=[0, 1, 1, 1, 1], labels=["root", "<b>", "x&y", "punct", "dep"], text="<x> & \x02"
    )
    svg = draw(sentence)
    assert [text.text for text in of_class(svg, "word")] == [*words[:-1], "a\ufffdb"]
    assert {text.text for text in labels(svg)} == {"root", "<b>", "x&y", "punct", "dep"}
    assert ElementTree.fromstring(svg).findtext(f"{SVG}title") == "<x> & \ufffd"


def test_against_gold_only_wrong_arcs_are_dashed_and_their_right_ones_stand_below() -> None:
    gold = Sentence.from_words(["She", "saw", "it", "."], heads=[2, 0, 2, 2], labels=["nsubj", "root", "obj", "punct"])
    parsed = gold.with_tree([2, 0, 2, 3], ["nsubj", "root", "iobj", "punct"])
    svg = draw(parsed, gold=gold)
    arcs = of_class(svg, "arc")
    wrong, right = ([arc for arc in arcs if kind in arc.attrib["class"]] for kind in ("wrong", "gold"))
    assert [(arc.get("data-word"), arc.get("data-head")) for arc in wrong] == [("3", "2"), ("4", "3")]
    assert sorted((arc.get("data-word"), arc.get("data-head")) for arc in right) == [("3", "2"), ("4", "2")]
    assert all(arc.findall(f"{SVG}path")[0].get("stroke-dasharray") for arc in wrong)
    base = float(of_class(svg, "word")[0].attrib["y"])
    assert [(text.text, box(text).top > base) for text in labels(svg) if "gold" in text.attrib["class"]] == [
        ("obj", True),
        ("punct", True),
    ]
    assert not of_class(draw(gold, gold=gold), "wrong")
    assert not of_class(draw(gold, gold=gold), "gold")


def test_gold_of_another_sentence_is_refused() -> None:
    one, other = (Sentence.from_words([word], heads=[0], labels=["root"]) for word in ("Yes", "No"))
    with pytest.raises(DataError, match=r"not the words of .*; draw a parse of the gold words"):
        draw(one, gold=other)


def test_words_without_a_head_have_no_arc() -> None:
    svg = draw(Sentence.from_words(["New", "words"], heads=[2, None], labels=["amod", None]))
    assert [arc.get("data-word") for arc in of_class(svg, "arc")] == ["1"]
    assert len(of_class(draw(Sentence.from_words(["New"])), "word")) == 1


def test_a_multiword_token_stands_small_under_its_words_and_empty_nodes_are_left_out() -> None:
    rows = ["1-2\tzum", "1\tzu", "2\tdem", "2.1\tx", "3\tHaus"]
    trees = {"1": "3\tcase", "2": "3\tdet", "3": "0\troot"}
    lines = [
        f"{row}\t_\t_\t_\t_\t{trees.get(row.split()[0], '_' + chr(9) + '_')}\t{'0:root' if '.' in row else '_'}\t_"
        for row in rows
    ]
    (sentence,) = parse_conllu("\n".join([*lines, "", ""]))
    svg = draw(sentence)
    zu, dem, haus = (box(text) for text in of_class(svg, "word"))
    (token,) = of_class(svg, "token")
    written = box(token.findall(f"{SVG}text")[0])
    assert (written.text, zu.text, dem.text, haus.text) == ("zum", "zu", "dem", "Haus")
    assert written.top > zu.bottom
    assert zu.left < written.left < written.right < dem.right
    assert float(token.attrib["opacity"]) < 1


def test_wide_characters_take_two_halves_and_marks_no_room() -> None:
    assert text_width("漢字", size=10.0) == 20.0
    assert text_width("e\u0301", size=10.0) == text_width("e", size=10.0)
