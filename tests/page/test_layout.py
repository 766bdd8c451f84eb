"""Where arcs, labels, words and maps stand, by the browser's own measure: nothing of a projective tree meets anything else."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from sublingual.data.conllu import Sentence
from sublingual.parsing import Parser

Boxes = list[tuple[str, float, float, float, float]]


def boxes(page: Any, selector: str) -> Boxes:
    found = page.js(
        "return [...document.querySelectorAll(arguments[0])].map((e) => { const r = e.getBoundingClientRect();"
        "return [e.textContent, r.left, r.right, r.top, r.bottom] })",
        selector,
    )
    return [tuple(box) for box in found]  # type: ignore[misc]


def meet(a: tuple[Any, ...], b: tuple[Any, ...], slack: float = 1.0) -> bool:
    return bool(a[1] < b[2] - slack and b[1] < a[2] - slack and a[3] < b[4] - slack and b[3] < a[4] - slack)


def within(inner: tuple[Any, ...], outer: tuple[Any, ...]) -> bool:
    return bool(outer[1] <= inner[1] and inner[2] <= outer[2] and outer[3] <= inner[3] and inner[4] <= outer[4])


@pytest.mark.parametrize("width", [1300, 380])
def test_maps_of_twelve_layers_fit_and_nothing_in_them_meets(page: Any, twelve: Path, width: int) -> None:
    page.tab.set_window_size(width, 900)
    page.find("#model option[value='twelve']").click()
    page.until("document.querySelectorAll('.map .gate').length === 4 * 144")
    gates = Parser.from_pretrained(twelve).gates
    assert gates is not None
    shown = page.js(
        "return [...document.querySelector('.map').querySelectorAll('.gate')].map((e) => +e.getAttribute('fill-opacity'))"
    )
    assert shown == gates.flatten().tolist()
    section, figures, drawings = (boxes(page, part) for part in ("#subnetwork-section", ".map", ".map svg"))
    assert [pair for pair in combinations(figures, 2) if meet(*pair, slack=0)] == []
    for i, (figure, drawing) in enumerate(zip(figures, drawings, strict=True), 1):
        assert within(figure, section[0])
        assert within(drawing, figure)
        parts = boxes(page, f".map:nth-child({i}) :is(.gate, .number, figcaption > *)")
        assert len(parts) >= 144 + 24 + 2
        assert [part for part in parts if not within(part, figure)] == []
        assert [pair for pair in combinations(parts, 2) if meet(*pair, slack=0.2)] == []
    assert page.js("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("language", ["English", "Arabic", "Hindi", "Turkish"])
def test_labels_and_words_do_not_meet(page: Any, demo: Callable[..., list[Sentence]], language: str) -> None:
    sentences = sorted(demo(language), key=lambda s: -len(s.words))[:5]
    page.fill("".join(s.to_conllu() for s in sentences))
    page.click("#keep")
    page.click("#parse")
    page.until("document.querySelectorAll('#list li').length === 5")
    page.click("#view-arcs")
    for i, sentence in enumerate(sentences):
        page.all("#list button")[i].click()
        texts = boxes(page, "#tree .label, #tree .word .form, #tree .token text")
        assert len(texts) >= 2 * len(sentence.words)
        assert [pair for pair in combinations(texts, 2) if meet(*pair, slack=2.5)] == []
        words = boxes(page, "#tree .word .form")
        assert [word[0] for word in words] == list(sentence.words)
        drawing = boxes(page, "#tree svg")[0]
        assert all(drawing[1] <= box[1] and box[2] <= drawing[2] and drawing[3] <= box[3] for box in texts)


def test_every_arc_ends_at_its_own_words(page: Any, demo: Callable[..., list[Sentence]]) -> None:
    sentence = max(demo("English"), key=lambda s: len(s.words))
    page.fill(sentence.to_conllu())
    page.click("#keep")
    page.click("#parse")
    page.until("document.querySelectorAll('#list li').length === 1")
    page.click("#view-arcs")
    words = boxes(page, "#tree g.word rect")
    ends = page.js(
        "return [...document.querySelectorAll('#tree .arc')].map((arc) => { const line = arc.querySelector('.stroke');"
        "const at = (l) => line.getPointAtLength(l).matrixTransform(line.getScreenCTM()).x;"
        "return [+arc.dataset.word, +arc.dataset.head, at(0), at(line.getTotalLength())] })"
    )
    assert {word: head for word, head, *_ in ends} == dict(enumerate(sentence.heads, 1))
    for word, head, start, end in ends:
        assert words[word - 1][1] <= end <= words[word - 1][2]
        assert words[(head or word) - 1][1] <= start <= words[(head or word) - 1][2]
    assert len({(round(x, 1)) for *_, x in ends}) == len(ends)
