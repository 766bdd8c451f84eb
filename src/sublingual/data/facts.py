"""What a study says of its treebanks (section 3): licence, genres, and from the files themselves sizes, labels, pieces.

One record a treebank, so that tables and figures need no treebank any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sublingual.data.conllu import Sentence, read_conllu
from sublingual.data.downloads import sha256_of
from sublingual.data.treebanks import SPLITS, Treebank, genres_of, licence_of

KIND = "treebank"


@dataclass(frozen=True)
class Pieces:
    """An encoder's way of cutting words: its name, the function that cuts, the id of the unknown piece."""

    encoder: str
    cut: Callable[[Sequence[str]], Sequence[Sequence[int]]]
    unknown: int


def facts(treebank: Treebank, *, pieces: Pieces | None = None) -> dict[str, Any]:
    """Returns the record of a treebank as JSON values; with `pieces` also how an encoder cuts the words of each split.

    `files` of a split have each file's SHA-256 and full labels, so that those which a parser was really trained on can
    be counted. Raises DataError for a file that cannot be read.
    """
    splits = {}
    for split in SPLITS:
        if paths := treebank.files(split):
            read = {path: read_conllu(path, heads="ignored") for path in paths}
            splits[split] = _split(read, pieces)
    return {
        "kind": KIND,
        "treebank": treebank.name,
        "code": treebank.code,
        "licence": licence_of(treebank.folder),
        "genres": list(genres_of(treebank.folder)),
        "splits": splits,
    }


def _split(read: dict[Path, list[Sentence]], pieces: Pieces | None) -> dict[str, Any]:
    sentences = [sentence for own in read.values() for sentence in own]
    files = [{"file": path.name, "sha256": sha256_of(path), "labels": _labels(own)} for path, own in read.items()]
    counted: dict[str, Any] = {
        "sentences": len(sentences),
        "words": sum(len(sentence.words) for sentence in sentences),
        "files": files,
    }
    return counted if pieces is None else counted | {"pieces": _pieces(sentences, pieces)}


def _labels(sentences: Sequence[Sentence]) -> dict[str, int]:
    found = Counter(label for sentence in sentences for label in sentence.labels if label is not None)
    return dict(sorted(found.items()))


def _pieces(sentences: Sequence[Sentence], pieces: Pieces) -> dict[str, Any]:
    """How many pieces the words give, how many of these are unknown, and how many words have an unknown one."""
    words = Counter(word for sentence in sentences for word in sentence.words)
    cut = dict(zip(words, pieces.cut(list(words)), strict=True))
    unknown = {word: sum(piece == pieces.unknown for piece in ids) for word, ids in cut.items()}
    return {
        "encoder": pieces.encoder,
        "pieces": sum(n * len(cut[word]) for word, n in words.items()),
        "unknown": sum(n * unknown[word] for word, n in words.items()),
        "words_unknown": sum(n for word, n in words.items() if unknown[word]),
    }
