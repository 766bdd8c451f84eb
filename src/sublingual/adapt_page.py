"""The page that `adapt` writes beside a model: what to expect of it, how it was chosen, the support set's trees. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sublingual.data.conllu import Sentence
from sublingual.data.vocabulary import base_relation
from sublingual.demo_page import environment
from sublingual.drawing import boxed
from sublingual.estimate import Estimate, HeldOut, counted, right_words
from sublingual.languages import Neighbour
from sublingual.scoring import signature

PAGE = "adaptation.html"
MAX_TREES = 60
_SUSPECTED, _N_SUSPECTS = 0.8, 20


@dataclass(frozen=True)
class Row:
    """An option that was tried: its name, its LAS in cross-validation, and whether it was chosen."""

    name: str
    las: float
    chosen: bool


@dataclass(frozen=True)
class Suspect:
    """A word where a parser that had not seen its sentence is sure of another arc than the annotation has: one is wrong."""

    sentence: str
    word: str
    annotated: str
    parsed: str
    sure: float


@dataclass(frozen=True)
class AdaptResult:
    """What `adapt` did.

    support: the sentences as annotated; held_out: parsed without having been seen, by their place; said: the lines that
    were printed about the estimate; rows: the options, if something was chosen; losses: per word before each step.
    """

    model: str
    language: str
    nearest: Sequence[Neighbour]
    source: str
    setting: str
    support: Sequence[Sentence]
    estimate: Estimate | None
    said: Sequence[str]
    rows: Sequence[Row]
    held_out: Mapping[int, HeldOut]
    losses: Sequence[float]
    before: float
    after: float
    new_labels: Sequence[str]
    seed: int
    versions: Mapping[str, str]
    machine: Mapping[str, Any]

    @property
    def n_words(self) -> int:
        return sum(int(counted(sentence).sum()) for sentence in self.support)


def page(result: AdaptResult) -> str:
    """Returns the page: one self-contained HTML text without scripts."""
    return (
        environment()
        .get_template("adaptation.html")
        .render(
            result=result,
            trees=[_tree(s, result.held_out.get(i)) for i, s in enumerate(result.support[:MAX_TREES])],
            suspects=suspects(result.support, result.held_out),
            signature=signature(),
        )
    )


def suspects(support: Sequence[Sentence], held_out: Mapping[int, HeldOut]) -> list[Suspect]:
    """Returns the words whose annotation the held-out parses are surest to be another, the surest first, at most twenty."""
    found = []
    for i, parsed in held_out.items():
        gold = support[i]
        wrong = counted(gold) & ~right_words(gold, parsed.heads, parsed.labels)
        for k, (is_wrong, sure) in enumerate(zip(wrong, parsed.sure, strict=True)):
            if is_wrong and sure >= _SUSPECTED:
                annotated, other = (_arc(gold.words, side.heads[k], side.labels[k]) for side in (gold, parsed))
                found.append(Suspect(gold.sent_id or gold.place, f"{k + 1} {gold.words[k]}", annotated, other, sure))
    return sorted(found, key=lambda suspect: -suspect.sure)[:_N_SUSPECTS]


def _arc(words: Sequence[str], head: int | None, label: str | None) -> str:
    return f"{label} of {head} {words[head - 1]}" if head else f"{label}"


def _tree(gold: Sentence, parsed: HeldOut | None) -> tuple[str, str]:
    """A support sentence's caption and drawing: as parsed when held out, its errors marked, or else as annotated."""
    name = gold.sent_id or gold.place
    if parsed is None:
        return f"{name}, as annotated", boxed(gold)
    right, words = right_words(gold, parsed.heads, parsed.labels).sum(), counted(gold).sum()
    tree = gold.with_tree(parsed.heads, parsed.labels)
    return f"{name}: {right} of {words} words right", boxed(tree, gold=_annotation(gold, tree))


def _annotation(gold: Sentence, tree: Sentence) -> Sentence:
    """The gold sentence as the drawing compares it: where nothing is annotated, or only a subtype differs, as parsed."""
    rows, own = [], iter(zip(gold.heads, gold.labels, tree.heads, tree.labels, strict=True))
    for row in gold.rows:
        if row[0].isdecimal():
            head, label, other_head, other = next(own)
            same = head is None or label is None
            same = same or (head == other_head and base_relation(str(label)) == base_relation(str(other)))
            arc = (str(other_head), str(other)) if same else row[6:8]
            row = (*row[:6], *arc, *row[8:])
        rows.append(row)
    return Sentence(gold.comments, tuple(rows), gold.source, gold.line)
