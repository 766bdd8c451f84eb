"""Errors by label, relation and arc length, against counts by hand and against the scorer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sublingual.breakdown import LENGTHS, breakdown, length
from sublingual.data.conllu import Sentence
from sublingual.scoring import score

GOLD = Sentence.from_words(
    ["Dogs", "were", "seen", "by", "us"],
    heads=[3, 3, 0, 5, 3],
    labels=["nsubj:pass", "aux:pass", "root", "case", "obl"],
)


def parsed(heads: list[int], labels: list[str]) -> Sentence:
    return Sentence.from_words(list(GOLD.words), heads=heads, labels=labels)


def test_counts_by_hand() -> None:
    other = parsed([3, 1, 0, 5, 3], ["nsubj", "aux:pass", "root", "mark", "obl:agent"])
    found = breakdown([GOLD], [other])
    assert found.labels == {
        "aux:pass": (1, 0, 1, 0),
        "case": (1, 1, 0, 0),
        "nsubj:pass": (1, 1, 0, 0),  # the subtype is missing
        "obl": (1, 1, 0, 0),  # and here one too many
        "root": (1, 1, 1, 1),
    }
    assert found.relations == {
        "aux": (1, 0, 1, 0),
        "case": (1, 1, 0, 0),
        "nsubj": (1, 1, 1, 1),
        "obl": (1, 1, 1, 1),
        "root": (1, 1, 1, 1),
    }
    assert found.lengths == {"root": (1, 1, 1, 1), "1": (2, 1, 1, 0), "2": (2, 2, 2, 2)}


@pytest.mark.parametrize(
    ("word", "head", "name"),
    [(4, 0, "root"), (1, 2, "1"), (5, 2, "3"), (1, 5, "4-6"), (8, 2, "4-6"), (1, 8, "7-10"), (30, 1, "11+")],
)
def test_arcs_are_classed_by_their_distance_either_way(word: int, head: int, name: str) -> None:
    assert length(word, head) == name
    assert name in LENGTHS


def test_each_table_adds_up_to_the_scorer_s_counts(demo: Callable[..., list[Sentence]]) -> None:
    gold = demo("Turkish", 12)
    rng = np.random.default_rng(0)
    system = []
    for one in gold:
        labels = [label if rng.random() < 0.7 else str(rng.choice(["obj", "nsubj:pass"])) for label in one.labels]
        labels[one.heads.index(0)] = "root"
        heads = [head if head == 0 or rng.random() < 0.6 else one.heads.index(0) + 1 for head in one.heads]
        heads = [own if heads[i] == i + 1 else heads[i] for i, own in enumerate(one.heads)]
        system.append(Sentence.from_words(list(one.words), heads=heads, labels=labels))
    found, scored = breakdown(gold, system), score(gold, system)
    for table, label, both in [
        (found.labels, scored.label_full, scored.las_full),
        (found.relations, scored.label, scored.las),
        (found.lengths, scored.label, scored.las),
    ]:
        sums = tuple(sum(column) for column in zip(*table.values(), strict=True))
        assert sums == (scored.n_words, scored.uas.correct, label.correct, both.correct)
        assert 0 < both.correct < scored.n_words


def test_sentences_of_other_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        breakdown([GOLD], [])
