"""How sure a parser is of each head and label, calibrated on the four validation languages after adaptation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError
from sublingual.marginals import marginals
from sublingual.parsing import BUDGET, Decoded, Parser, decoded


@dataclass(frozen=True)
class Temperatures:
    """What arc and label scores are divided by, so that of the words given 0.8 eight in ten are right (Guo et al. 2017).

    Fitted by bench/calibration.py to English parsers adapted to 20 sentences of the four validation languages; what that
    gives elsewhere is in docs/log.md. Raises ConfigError for numbers that are not above 0.
    """

    arcs: float = 2.7
    labels: float = 1.64

    def __post_init__(self) -> None:
        if not (self.arcs > 0 and self.labels > 0):
            raise ConfigError(f"temperatures {self.arcs} and {self.labels}: they are above 0")


@dataclass(frozen=True)
class Confident:
    """A parsed sentence and how probable it is.

    heads: the probability of each head of each word, 0 the root: the share of all trees that have the arc.
    labels: the probability of each word's label if its head is right.
    """

    sentence: Sentence
    heads: Float[np.ndarray, "words n"]
    labels: Float[np.ndarray, " words"]

    @property
    def arcs(self) -> Float[np.ndarray, " words"]:
        """The probability of each word's head in the tree."""
        chosen = np.array(self.sentence.heads)
        return self.heads[np.arange(len(chosen)), chosen]

    @property
    def words(self) -> Float[np.ndarray, " words"]:
        """The probability that a word's head and label are both right."""
        return self.arcs * self.labels


def confident(
    parser: Parser,
    sentences: Sequence[Sentence],
    *,
    temperatures: Temperatures | None = None,
    precision: str = "fp32",
    budget: int = BUDGET,
    drop_deps: bool = False,
    upos: bool = True,
    progress: Callable[[int], None] | None = None,
) -> list[Confident]:
    """Returns the sentences as `Parser.parse` gives them, and the probabilities of their trees; see there.

    >>> [worst] = sorted(confident(parser, sentences), key=lambda c: c.words.min())[:1]      # doctest: +SKIP
    """
    warmth = temperatures or Temperatures()
    found: list[Confident | None] = [None] * len(sentences)
    for run in decoded(
        parser.network,
        sentences,
        gates=parser.gates,
        precision=precision,
        budget=budget,
        drop_deps=drop_deps,
        tagger=parser.tagger if upos else None,
    ):
        of_run = confidences(run, root=parser.network.vocabulary.root, temperatures=warmth)
        for place, one in zip(run.places, of_run, strict=True):
            found[place] = one
        if progress is not None:
            progress(len(run.places))
    return [one for one in found if one is not None]


def confidences(run: Decoded, *, root: int, temperatures: Temperatures) -> list[Confident]:
    """Returns the confidences of one run of parsing; `root` is the index of the label of that name."""
    lengths = np.array([len(tree.words) for tree in run.trees])
    arcs = marginals(run.arcs.astype(np.float64) / temperatures.arcs, lengths).arcs
    heads = np.concatenate([row[:n] for row, n in zip(run.heads, lengths, strict=True)])
    scores = run.label_scores.astype(np.float64) / temperatures.labels
    labels = np.split(label_probabilities(scores, run.labels, heads, root=root), np.cumsum(lengths)[:-1])
    return [
        Confident(tree, arcs[i, 1 : n + 1, : n + 1], labels[i])
        for i, (tree, n) in enumerate(zip(run.trees, lengths.tolist(), strict=True))
    ]


def label_probabilities(
    scores: Float[np.ndarray, "words labels"],
    labels: Int[np.ndarray, " words"],
    heads: Int[np.ndarray, " words"],
    *,
    root: int,
) -> Float[np.ndarray, " words"]:
    """Returns the probability of each word's label among those its head allows, as `decode_labels` chooses it.

    Under the root that is `root` alone, elsewhere every other label.
    """
    others = scores.copy()
    others[:, root] = -np.inf
    others -= others.max(axis=1, keepdims=True)
    others = np.exp(others)
    found = others[np.arange(len(labels)), labels] / others.sum(axis=1)
    return np.where(heads == 0, 1.0, found)
