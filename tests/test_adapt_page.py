"""The page of `adapt`: its numbers, its trees, and that it stands alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from sublingual.adapt_page import AdaptResult, Row, page, suspects
from sublingual.data.conllu import Sentence
from sublingual.estimate import Estimate, HeldOut
from sublingual.languages import nearest

Demo = Callable[..., list[Sentence]]


def held_out(sentence: Sentence, *, sure: float = 0.5, label: str | None = None) -> HeldOut:
    """The sentence's own tree, with another label on its last word."""
    assert None not in sentence.heads
    labels = [str(own) for own in sentence.labels]
    labels[-1] = label or labels[-1]
    return HeldOut(tuple(h or 0 for h in sentence.heads), tuple(labels), (sure,) * len(labels))


@pytest.fixture
def result(demo: Demo) -> AdaptResult:
    support = demo("Swedish", 3)
    return AdaptResult(
        model="models/<sv>",
        language="Swedish & co",
        nearest=nearest("sv")[:3],
        source="my.conllu",
        setting="full encoder; 20 steps (adam)",
        support=support,
        estimate=Estimate(41.2, 35.1, 47.3, 28.4, 40.3, 20, 210),
        said=("expected LAS 41 +- 6",),
        rows=(Row("full, 20 steps", 40.3, False), Row("full, 10 steps", 42.0, True)),
        held_out={0: held_out(support[0], label="vocative", sure=0.93), 1: held_out(support[1])},
        losses=(3.0, 1.0),
        before=3.1,
        after=0.4,
        new_labels=("obl:zzz",),
        seed=7,
        versions={"python": "3.11"},
        machine={"threads": 1},
    )


def test_the_page_stands_alone_and_escapes_what_it_is_given(result: AdaptResult) -> None:
    text = page(result)
    assert "<script" not in text
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", text)
    assert "models/&lt;sv&gt;" in text
    assert "Swedish &amp; co" in text


def test_the_page_says_what_to_expect_and_what_was_chosen(result: AdaptResult) -> None:
    text = page(result)
    assert "expect 41 (between 35 and 47)" in " ".join(text.split())
    assert "Without these sentences it would be 28." in text
    assert "full, 10 steps (chosen)" in text
    assert "obl:zzz" in text


def test_each_sentence_is_drawn_with_what_was_wrong(result: AdaptResult) -> None:
    text = page(result)
    n = len(result.support[0].words)
    assert text.count("<svg") == 1 + 3  # the loss and the sentences
    assert f"{n - 1} of {n} words right" in text
    assert text.count('class="arc wrong"') == text.count('class="arc gold"') == 1
    assert "as annotated" in text


def test_without_an_estimate_the_page_has_the_annotation(result: AdaptResult) -> None:
    text = page(replace(result, estimate=None, held_out={}, said=(), rows=(), nearest=()))
    assert "expect" not in text
    assert "Worth a second look" not in text
    assert text.count("as annotated") == 3


def test_words_that_are_not_annotated_and_subtypes_are_not_drawn_as_wrong(result: AdaptResult) -> None:
    gold = Sentence.from_words(["a", "b", "c"], heads=[0, None, 1], labels=["root", None, "obj"], sent_id="p")
    parsed = HeldOut((0, 1, 1), ("root", "obl", "obj:x"), (0.9, 0.9, 0.9))
    text = page(replace(result, support=[gold], held_out={0: parsed}))
    assert "p: 2 of 2 words right" in text
    assert 'class="arc wrong"' not in text


def test_suspects_are_sure_and_differ_from_the_annotation(demo: Demo) -> None:
    support = demo("Swedish", 4)
    sides = {
        0: held_out(support[0], label="vocative", sure=0.85),
        1: held_out(support[1], sure=0.99),
        2: held_out(support[2], label="vocative", sure=0.95),
        3: held_out(support[3], label="vocative", sure=0.5),
    }
    found = suspects(support, sides)
    assert [s.sentence for s in found] == [support[2].sent_id, support[0].sent_id]
    assert found[0].parsed.startswith("vocative of ")
    assert found[0].word == f"{len(support[2].words)} {support[2].words[-1]}"
    assert not found[0].annotated.startswith("vocative")
