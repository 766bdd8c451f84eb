"""Which sentences of a pool to annotate next: those that the parser doubts, unlike one another and what is annotated already.

A batch is drawn greedily from a determinantal point process (Kulesza and Taskar 2012; greedy search as Chen et al. 2018; for
parsing Shi et al. 2021): a sentence counts for as much as it is doubted, times the share of it that the sentences before
do not cover. Alike are sentences with the same forms and the same parsed relations, rare ones weighing more.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from sublingual.data.conllu import Sentence
from sublingual.data.vocabulary import base_relation
from sublingual.errors import ConfigError

if TYPE_CHECKING:
    from sublingual.confidence import Confident

_SIZE = 1024  # of the vectors that features are hashed into
_LEAST = 1e-6  # a sentence of which less is new counts as covered


@dataclass(frozen=True)
class Wish:
    """What to choose: `n` sentences, or with `n_words` as many as have about so many words.

    By sentences, a sentence counts for the number of its words that are probably wrong; by words, for their share: so much is
    learned for what annotation costs. Shorter than `min_words` or longer than `max_words` are none. Raises ConfigError for
    numbers that leave nothing to choose.
    """

    n: int = 20
    n_words: int | None = None
    min_words: int = 3
    max_words: int = 40

    def __post_init__(self) -> None:
        if self.n < 1 or (self.n_words is not None and self.n_words < 1):
            raise ConfigError(f"{self.n} sentences, {self.n_words} words: choose one or more")
        if not 1 <= self.min_words <= self.max_words:
            raise ConfigError(
                f"sentences of {self.min_words} to {self.max_words} words: there are none; 3 to 40 are usual"
            )


@dataclass(frozen=True)
class Chosen:
    """A sentence to annotate, and why.

    place: in the pool; doubt: the share of its words whose head or label is probably wrong; new: the share of it that is
    unlike the annotated sentences and those chosen before it; doubted: the places of the words that are doubted most.
    """

    place: int
    sentence: Sentence
    doubt: float
    new: float
    doubted: tuple[int, ...]
    sure: tuple[float, ...]

    @property
    def reason(self) -> str:
        """The reason in a line."""
        n = len(self.sentence.words)
        return f"{self.doubt * n:.1f} of {n} words probably wrong, {100 * self.new:.0f} % new; most doubted: {self._doubted()}"

    def _doubted(self) -> str:
        shown = []
        for i in self.doubted:
            head, label = self.sentence.heads[i], self.sentence.labels[i]
            of = f" of {self.sentence.words[head - 1]}" if head else ""
            shown.append(f"{i + 1} {self.sentence.words[i]} ({label}{of}, {self.sure[i]:.2f})")
        return ", ".join(shown)


@dataclass(frozen=True)
class Left:
    """How many sentences of a pool could not be chosen: of another length, repeated in the pool, or annotated already."""

    length: int
    repeated: int
    annotated: int


def select(pool: Sequence[Confident], wish: Wish, *, annotated: Sequence[Sentence] = ()) -> tuple[list[Chosen], Left]:
    """Returns the sentences to annotate in the order in which they were chosen, and what was left out of the choice.

    Fewer where the pool has no more. A sentence whose words, but for case and digits, are those of one before it in the pool
    or of an annotated one is not chosen.
    """
    places, left = _eligible([one.sentence for one in pool], wish, annotated)
    own = [pool[i] for i in places]
    doubts = np.array([1 - one.words.mean() for one in own])
    lengths = np.array([len(one.sentence.words) for one in own])
    worth = doubts if wish.n_words is not None else doubts * lengths
    vectors = _vectors([*annotated, *(one.sentence for one in own)])
    found: list[Chosen] = []
    n_words = 0
    for k, new in _greedy(vectors[len(annotated) :], np.maximum(worth, 1e-3), known=vectors[: len(annotated)]):
        if len(found) == wish.n if wish.n_words is None else n_words >= wish.n_words:
            break
        n_words += int(lengths[k])
        doubted = np.argsort(own[k].words, kind="stable")[:3]
        sure = tuple(own[k].words.tolist())
        found.append(Chosen(places[k], own[k].sentence, float(doubts[k]), new, tuple(doubted.tolist()), sure))
    return found, left


def key_of(sentence: Sentence) -> tuple[str, ...]:
    """Returns the words as sentences are compared by them: in small letters, every digit the same."""
    return tuple("".join("0" if c.isdigit() else c for c in word.casefold()) for word in sentence.words)


def _eligible(pool: Sequence[Sentence], wish: Wish, annotated: Sequence[Sentence]) -> tuple[list[int], Left]:
    """The places of the sentences that may be chosen."""
    known = {key_of(sentence) for sentence in annotated}
    seen: set[tuple[str, ...]] = set()
    left: Counter[str] = Counter()
    places = []
    for i, sentence in enumerate(pool):
        key = key_of(sentence)
        if not wish.min_words <= len(sentence.words) <= wish.max_words:
            left["length"] += 1
        elif key in known:
            left["annotated"] += 1
        elif key in seen:
            left["repeated"] += 1
        else:
            places.append(i)
        seen.add(key)
    return places, Left(left["length"], left["repeated"], left["annotated"])


def _vectors(sentences: Sequence[Sentence]) -> Float[np.ndarray, "sentences features"]:
    """Unit vectors of the sentences' features, each weighted by how rare it is among them."""
    counts = [Counter(_features(sentence)) for sentence in sentences]
    n_with = Counter(feature for own in counts for feature in own)
    vectors = np.zeros((len(sentences), _SIZE), dtype=np.float32)
    for row, own in zip(vectors, counts, strict=True):
        for feature, n in own.items():
            row[zlib.crc32(feature.encode()) % _SIZE] += n * math.log1p(len(sentences) / n_with[feature])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _features(sentence: Sentence) -> Iterator[str]:
    """Its forms, and its arcs: the relation, which way it goes, and the relation above."""
    relations = [base_relation(label or "_") for label in sentence.labels]
    for i, (word, head, relation) in enumerate(zip(key_of(sentence), sentence.heads, relations, strict=True)):
        yield f"form {word}"
        if head is not None:
            yield f"arc {relation} {'<' if head - 1 < i else '>'} {relations[head - 1] if head else ''}"


def _greedy(
    vectors: Float[np.ndarray, "sentences features"],
    worth: Float[np.ndarray, " sentences"],
    *,
    known: Float[np.ndarray, "known features"],
) -> Iterator[tuple[int, float]]:
    """Yields the places in the order of choice, each with the share that those before it and the known ones do not cover.

    What a sentence has in common with those before is taken off step by step (Gram-Schmidt): what is left, squared, times the
    squared worth is what it adds to the determinant.
    """
    rest = np.concatenate([known, vectors]).astype(np.float64)
    for i in range(len(known)):
        _take_off_(rest, rest[i].copy())
    rest = rest[len(known) :]
    left = np.ones(len(rest), dtype=bool)
    while left.any():
        new = (rest**2).sum(axis=1)
        k = int(np.where(left, worth**2 * np.maximum(new, _LEAST), -1.0).argmax())
        left[k] = False
        yield k, float(new[k])
        _take_off_(rest, rest[k].copy())


def _take_off_(rest: Float[np.ndarray, "sentences features"], vector: Float[np.ndarray, " features"]) -> None:
    """Takes what the vector shares with the rows off them, in place."""
    size = float(vector @ vector)
    if size > _LEAST:
        rest -= np.outer(rest @ vector / size, vector)
