"""Universal parts of speech (UPOS): the seventeen of UD, and putting them into a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from sublingual.data.blocks import ID, UPOS
from sublingual.data.conllu import Sentence

TAGS = (
    "ADJ",
    "ADP",
    "ADV",
    "AUX",
    "CCONJ",
    "DET",
    "INTJ",
    "NOUN",
    "NUM",
    "PART",
    "PRON",
    "PROPN",
    "PUNCT",
    "SCONJ",
    "SYM",
    "VERB",
    "X",
)
INDEX = {tag: i for i, tag in enumerate(TAGS)}


def with_tags(sentence: Sentence, tags: Sequence[str]) -> Sentence:
    """Returns the sentence with a tag for each word whose UPOS is `_`; tags that are there stay, and so does all else."""
    given = iter(tags)
    rows = []
    for row in sentence.rows:
        if row[ID].isdecimal():
            tag = next(given)
            row = (*row[:UPOS], tag, *row[UPOS + 1 :]) if row[UPOS] == "_" else row
        rows.append(row)
    return Sentence(sentence.comments, tuple(rows), sentence.source, sentence.line)
