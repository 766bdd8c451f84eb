"""Gold and parsed sentences -> where the errors are: by label, by relation, by length of the arc. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sublingual.data.conllu import Sentence
from sublingual.data.vocabulary import base_relation

Counts = tuple[int, int, int, int]
"""Gold words, and of these how many have the right head, the right label, both."""

LENGTHS = ("root", "1", "2", "3", "4-6", "7-10", "11+")
"""Classes of arcs by the distance in words between head and dependent; an arc from the root has none."""


@dataclass(frozen=True)
class Breakdown:
    """Counts by what the gold side says: its full labels (Table 3), its universal relations, the lengths of its arcs.

    In `labels` a label is right with its subtype, in the other two without it, as LAS counts.
    """

    labels: Mapping[str, Counts]
    relations: Mapping[str, Counts]
    lengths: Mapping[str, Counts]

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return asdict(self)


def breakdown(gold: Sequence[Sentence], system: Sequence[Sentence]) -> Breakdown:
    """Returns the counts of the parsed sentences, which have the same words as the gold ones and every word annotated.

    >>> gold = [Sentence.from_words(["Dogs", "bark"], heads=[2, 0], labels=["nsubj:pass", "root"])]
    >>> parsed = [Sentence.from_words(["Dogs", "bark"], heads=[2, 0], labels=["nsubj", "root"])]
    >>> found = breakdown(gold, parsed)
    >>> found.labels["nsubj:pass"], found.relations["nsubj"], found.lengths["1"]
    ((1, 1, 0, 0), (1, 1, 1, 1), (1, 1, 1, 1))
    """
    labels: dict[str, list[int]] = {}
    relations: dict[str, list[int]] = {}
    lengths: dict[str, list[int]] = {}
    for one, other in zip(gold, system, strict=True):
        found = zip(one.heads, one.labels, other.heads, other.labels, strict=True)
        for word, (head, label, system_head, system_label) in enumerate(found, start=1):
            assert head is not None
            assert label is not None
            relation = base_relation(label)
            has_head = head == system_head
            has_relation = relation == base_relation(system_label or "")
            _add_(labels, label, has_head, label == system_label)
            _add_(relations, relation, has_head, has_relation)
            _add_(lengths, length(word, head), has_head, has_relation)
    ordered = {name: lengths[name] for name in LENGTHS if name in lengths}
    return Breakdown(_sorted(labels), _sorted(relations), {name: _counts(row) for name, row in ordered.items()})


def length(word: int, head: int) -> str:
    """Returns the class of the arc between a word and its head, both counted from 1; head 0 is the root."""
    distance = abs(word - head)
    if head == 0:
        return "root"
    if distance <= 3:
        return str(distance)
    return "4-6" if distance <= 6 else "7-10" if distance <= 10 else "11+"


def _add_(table: dict[str, list[int]], key: str, has_head: bool, has_label: bool) -> None:
    row = table.setdefault(key, [0, 0, 0, 0])
    row[0] += 1
    row[1] += has_head
    row[2] += has_label
    row[3] += has_head and has_label


def _sorted(table: Mapping[str, list[int]]) -> dict[str, Counts]:
    return {key: _counts(table[key]) for key in sorted(table)}


def _counts(row: list[int]) -> Counts:
    words, head, label, both = row
    return words, head, label, both
