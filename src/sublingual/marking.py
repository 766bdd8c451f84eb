"""Confidence written into CoNLL-U: MISC attributes, and what the tools of annotators need to take the file.

    HeadConf=0.41|DepConf=0.77|Doubt=Yes

HeadConf: the probability of HEAD; DepConf: that of DEPREL if HEAD is right; Doubt: their product is below the threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sublingual.confidence import Confident
from sublingual.data.blocks import DEPS, FORM, ID, MISC, comment_value
from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError

_ATTRIBUTES = ("HeadConf", "DepConf", "Doubt")
_HIGHLIGHTS = ("highlight tokens", "highlight deprels")


@dataclass(frozen=True)
class Marks:
    """Which words are doubted, and for which tool the file is.

    A word is doubted where the probability that its head and label are both right is below `doubt`. `target` names the
    tool: all of them get a `sent_id` that no other sentence has, and a `text`. `ud`: no empty nodes where DEPS is empty, an
    enhanced graph without arcs; `arborator` (Arborator-Grew): no comments without a value, which it refuses;
    `conllueditor`: its comments that highlight words (whose head is doubted) and relations (all doubted ones); `inception`:
    no empty nodes, at which it stops, and no DEPS, which may name them. Raises ConfigError for another target and for a
    threshold that is no probability.
    """

    doubt: float = 0.5
    target: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.doubt <= 1:
            raise ConfigError(f"doubt {self.doubt}: it is a probability, from 0 to 1")
        if self.target is not None and self.target not in TARGETS:
            raise ConfigError(f"unknown tool {self.target!r}; allowed: {', '.join(TARGETS)}")


def mark(found: Sequence[Confident], marks: Marks) -> list[Sentence]:
    """Returns the sentences with their confidence in MISC, whose other attributes stay; older marks are replaced."""
    marked = [_marked(one, marks.doubt) for one in found]
    if marks.target is None:
        return marked
    ready = TARGETS[marks.target]
    return [ready(sentence, one, marks.doubt) for sentence, one in zip(_named(marked), found, strict=True)]


def _marked(one: Confident, doubt: float) -> Sentence:
    values = iter(zip(one.arcs, one.labels, one.words < doubt, strict=True))
    rows = []
    for row in one.sentence.rows:
        if row[ID].isdecimal():
            arc, label, doubted = next(values)
            own = [f"HeadConf={arc:.2f}", f"DepConf={label:.2f}", *(["Doubt=Yes"] if doubted else [])]
            row = (*row[:MISC], "|".join([*_others(row[MISC]), *own]))
        rows.append(row)
    return replace(one.sentence, rows=tuple(rows))


def _others(misc: str) -> list[str]:
    """The attributes of MISC that are not ours."""
    if misc == "_":
        return []
    return [attribute for attribute in misc.split("|") if attribute.partition("=")[0] not in _ATTRIBUTES]


def _named(sentences: Sequence[Sentence]) -> list[Sentence]:
    """The sentences, each with a text and with a sent_id of its own: missing ones are counted, repeated ones get a number."""
    named = []
    taken = {sentence.sent_id for sentence in sentences}
    seen: set[str] = set()
    for i, sentence in enumerate(sentences, 1):
        wanted = sentence.sent_id or f"s{i}"
        name, k = wanted, 1
        while name in seen or (name in taken and name != sentence.sent_id):
            k += 1
            name = f"{wanted}-{k}"
        seen.add(name)
        comments = sentence.comments
        if name != sentence.sent_id:
            comments = (*_without(comments, ("sent_id",)), f"# sent_id = {name}")
        if not comment_value(comments, "text"):
            comments = (*_without(comments, ("text",)), f"# text = {_text(sentence)}")
        named.append(replace(sentence, comments=comments))
    return named


def _text(sentence: Sentence) -> str:
    """The text that the surface forms make up, spaced as MISC says."""
    parts, end = [], 0
    for row in sentence.rows:
        first, _, last = row[ID].partition("-")
        if "." in first or int(first) <= end:  # an empty node, or a word inside a range
            continue
        end = int(last or first)
        parts += [row[FORM], "" if "SpaceAfter=No" in row[MISC].split("|") else " "]
    return "".join(parts).rstrip(" ")


def _without(comments: Sequence[str], keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(line for line in comments if line[1:].partition("=")[0].strip() not in keys)


def _for_ud(sentence: Sentence, one: Confident, doubt: float) -> Sentence:
    if any(row[DEPS] != "_" for row in sentence.rows):
        return sentence
    return replace(sentence, rows=tuple(row for row in sentence.rows if "." not in row[ID]))


def _for_arborator(sentence: Sentence, one: Confident, doubt: float) -> Sentence:
    return replace(sentence, comments=tuple(c for c in sentence.comments if c.partition("=")[2].strip()))


def _for_conllueditor(sentence: Sentence, one: Confident, doubt: float) -> Sentence:
    comments = _without(sentence.comments, _HIGHLIGHTS)
    for key, doubted in zip(_HIGHLIGHTS, (one.arcs < doubt, one.words < doubt), strict=True):
        if doubted.any():
            comments += (f"# {key} = {' '.join(str(i + 1) for i in np.flatnonzero(doubted))}",)
    return replace(sentence, comments=comments)


def _for_inception(sentence: Sentence, one: Confident, doubt: float) -> Sentence:
    rows = [(*row[:DEPS], "_", *row[DEPS + 1 :]) for row in sentence.rows if "." not in row[ID]]
    return replace(sentence, rows=tuple(rows))


TARGETS: dict[str, Callable[[Sentence, Confident, float], Sentence]] = {
    "ud": _for_ud,
    "arborator": _for_arborator,
    "conllueditor": _for_conllueditor,
    "inception": _for_inception,
}
