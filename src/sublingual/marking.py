"""Confidence written into CoNLL-U: MISC attributes, and what the tools of annotators need to take the file.

    HeadConf=0.41|DepConf=0.77|Doubt=Yes

HeadConf: the probability of HEAD; DepConf: that of DEPREL if HEAD is right; Doubt: their product is below the threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sublingual.confidence import Confident
from sublingual.data.blocks import DEPREL, DEPS, FEATS, FORM, HEAD, ID, MISC, comment_key, without_comments
from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError

_Cells = tuple[str, ...]

_ATTRIBUTES = ("HeadConf", "DepConf", "Doubt")
_HIGHLIGHTS = ("highlight tokens", "highlight deprels")
_OF_A_TREE_BEFORE = ("user_id", "timestamp")


@dataclass(frozen=True)
class Marks:
    """Which words are doubted, and for which tool the file is.

    A word is doubted where the probability that its head and label are both right is below `doubt`. `target` names the
    tool: all of them get a `sent_id` that no other sentence has, and a `text`. `ud`: no empty nodes where DEPS is empty, an
    enhanced graph without arcs; `arborator` (Arborator-Grew): no comments without a value, nothing that names a user, no
    name or enhanced head twice in a cell; `conllueditor`: its comments that highlight words (whose head is doubted) and
    relations (all doubted ones), multiword ranges with FORM and MISC alone; `inception`: no empty nodes, no DEPS. FEATS that
    a tool stops at go to MISC. Raises ConfigError for another target and for a threshold that is no probability.
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
        comments = _said(sentence.comments, "sent_id", name)
        comments = _said(comments, "text", sentence.text or _text(sentence))
        named.append(replace(sentence, comments=comments))
    return named


def _said(comments: tuple[str, ...], key: str, value: str) -> tuple[str, ...]:
    """The comments with one line for `key`, spaced as it is read everywhere: Arborator-Grew is blind to `#sent_id=1`."""
    line = f"# {key} = {value}"
    if [comment for comment in comments if comment_key(comment) == key] == [line]:
        return comments
    return (*without_comments(comments, (key,)), line)


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


def _for_ud(sentence: Sentence, one: Confident, doubt: float) -> Sentence:
    if any(row[DEPS] != "_" for row in sentence.rows):
        return sentence
    return replace(sentence, rows=tuple(row for row in sentence.rows if "." not in row[ID]))


def _for_arborator(sentence: Sentence, one: Confident, doubt: float) -> Sentence:
    """What its upload takes (arborator-backend dfb640d, app/samples/service.py), conllup 3.1.1 and grew-nlp/conll 1.19.6.

    The backend refuses a file in which a tree has a `user_id`, as its own exports have; conllup one in which a cell of
    FEATS, DEPS or MISC says a name or head twice; the Grew server FEATS without a value and DEPS that name no node.
    Comments without a value are dropped there, and were refused once (arborator-frontend, issue 373).
    """
    comments = [comment for comment in sentence.comments if comment.partition("=")[2].strip()]
    nodes = {"0", *(row[ID] for row in sentence.rows if "-" not in row[ID])}
    rows = []
    for row in map(_valued, sentence.rows):
        arcs = (arc for arc in row[DEPS].split("|") if arc.partition(":")[0] in nodes and arc.partition(":")[2])
        feats, misc = (_once(row[column].split("|"), "=") for column in (FEATS, MISC))
        rows.append((*row[:FEATS], feats, row[HEAD], row[DEPREL], _once(arcs, ":"), misc))
    return replace(sentence, comments=without_comments(comments, _OF_A_TREE_BEFORE), rows=tuple(rows))


def _for_conllueditor(sentence: Sentence, one: Confident, doubt: float) -> Sentence:
    """Highlights, and ranges as ConlluEditor 2.33.1 (ConllWord.java) wants them: it refuses FEATS there, `Typo=Yes` too."""
    comments = without_comments(sentence.comments, _HIGHLIGHTS)
    for key, doubted in zip(_HIGHLIGHTS, (one.arcs < doubt, one.words < doubt), strict=True):
        if doubted.any():
            comments += (f"# {key} = {' '.join(str(i + 1) for i in np.flatnonzero(doubted))}",)
    return replace(sentence, comments=comments, rows=tuple(map(_plain_range, sentence.rows)))


def _for_inception(sentence: Sentence, one: Confident, doubt: float) -> Sentence:
    """What its reader takes (dkpro-core b800fcc, ConllUReader.java): numbers of words alone, and FEATS with a value each."""
    rows = [_valued(_plain_range(row)) for row in sentence.rows if "." not in row[ID]]
    return replace(sentence, rows=tuple((*row[:DEPS], "_", *row[DEPS + 1 :]) for row in rows))


def _plain_range(row: _Cells) -> _Cells:
    """The row; of a multiword range ID, FORM and MISC alone, to which its FEATS go."""
    if "-" not in row[ID]:
        return row
    moved = _to_misc(row, lambda attribute: True)
    return (*moved[: FORM + 1], *["_"] * (MISC - FORM - 1), moved[MISC])


def _valued(row: _Cells) -> _Cells:
    """The row with those FEATS that are no `Name=Value` in MISC."""
    return _to_misc(row, lambda attribute: not (attribute.partition("=")[0].strip() and attribute.partition("=")[2]))


def _to_misc(row: _Cells, goes: Callable[[str], bool]) -> _Cells:
    """The row with those FEATS in MISC that go there."""
    feats = [] if row[FEATS] == "_" else row[FEATS].split("|")
    kept = [attribute for attribute in feats if not goes(attribute)]
    misc = [] if row[MISC] == "_" else [row[MISC]]
    misc += [attribute for attribute in feats if attribute and goes(attribute)]
    return (*row[:FEATS], "|".join(kept) or "_", *row[FEATS + 1 : MISC], "|".join(misc) or "_")


def _once(attributes: Iterable[str], separator: str) -> str:
    """The cell of these attributes without those whose name had a value before."""
    names, kept = set(), []
    for attribute in attributes:
        name, _, value = attribute.partition(separator)
        if name not in names:
            kept.append(attribute)
        if value:
            names.add(name)
    return "|".join(kept) or "_"


TARGETS: dict[str, Callable[[Sentence, Confident, float], Sentence]] = {
    "ud": _for_ud,
    "arborator": _for_arborator,
    "conllueditor": _for_conllueditor,
    "inception": _for_inception,
}
