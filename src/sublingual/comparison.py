"""Two parses of one file -> the difference of their scores, its interval, and how often chance gives as much.

Paired over sentences: bootstrap (Koehn 2004) for the interval, random swaps of the two parses (approximate
randomisation, Noreen 1989) for the p-value, (c + 1) / (n + 1) as in sacreBLEU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError, DataError
from sublingual.scoring import sentence_counts

COMPARED: tuple[Literal["uas", "las", "clas"], ...] = ("uas", "las", "clas")
DRAWS_AT_ONCE = 1_000_000  # bounds the memory of one block of resamples
ROUNDING = 1e-9  # per cent; equal differences may be divided in another order and differ by less


@dataclass(frozen=True)
class Difference:
    """One metric's F1 of both systems, in per cent.

    difference: b - a; low, high: its 95 % interval; p_value: two-sided. Here over resampled sentences, and how often the
    difference is as large when each sentence's two parses are swapped at random; `analysis.statistics` says what there.
    """

    a: float
    b: float
    difference: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """How two systems differ in UAS, LAS and CLAS over the same sentences."""

    n_sentences: int
    n_resamples: int
    uas: Difference
    las: Difference
    clas: Difference

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers for JSON."""
        return asdict(self)


def compare(
    gold: Sequence[Sentence],
    a: Sequence[Sentence],
    b: Sequence[Sentence],
    *,
    generator: np.random.Generator,
    n_resamples: int = 10_000,
) -> Comparison:
    """Return how the scores of the parses `a` and `b` of the gold sentences differ.

    A generator in the same state gives the same numbers. Raises DataError as `score` does and for no sentences,
    ConfigError for fewer than one resample.
    """
    if n_resamples < 1:
        raise ConfigError(f"n_resamples {n_resamples}: at least 1 is needed, 10000 are usual")
    if not gold:
        raise DataError("0 sentences: there is nothing to compare")
    table = np.stack([_table(gold, a), _table(gold, b)], axis=2)  # [sentences, 2, systems, metrics]
    f1 = _f1(table.sum(axis=0))  # [systems, metrics]
    observed = f1[1] - f1[0]  # [metrics]
    low, high = np.quantile(_bootstrapped(table, generator, n_resamples=n_resamples), [0.025, 0.975], axis=0)
    swapped = _swapped(table, generator, n_resamples=n_resamples)  # [resamples, metrics]
    as_large = np.count_nonzero(np.abs(swapped) >= np.abs(observed) - ROUNDING, axis=0)
    p_values = (as_large + 1) / (n_resamples + 1)
    columns = np.stack([f1[0], f1[1], observed, low, high, p_values], axis=1).tolist()  # [metrics, 6]
    differences = {metric: Difference(*column) for metric, column in zip(COMPARED, columns, strict=True)}
    return Comparison(n_sentences=len(gold), n_resamples=n_resamples, **differences)


def _table(gold: Sequence[Sentence], system: Sequence[Sentence]) -> Float[np.ndarray, "sentences 2 metrics"]:
    """Return for each sentence and metric what is correct and what counts, on the gold and system sides together."""
    counts = sentence_counts(gold, system)
    correct = np.stack([counts[metric] for metric in COMPARED], axis=1)  # [sentences, metrics]
    content = counts["content_gold"] + counts["content_system"]
    sizes = np.stack([2 * counts["words"], 2 * counts["words"], content], axis=1)  # [sentences, metrics]
    return np.stack([correct, sizes], axis=1).astype(np.float64)


def _f1(totals: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*rest"]:
    """Return F1 in per cent of what is correct (`totals[0]`) and gold + system (`totals[1]`); 0 if nothing counts."""
    f1: Float[np.ndarray, "*rest"] = 200 * totals[0] / np.maximum(totals[1], 1)
    return f1


def _bootstrapped(
    table: Float[np.ndarray, "sentences 2 systems metrics"], generator: np.random.Generator, *, n_resamples: int
) -> Float[np.ndarray, "resamples metrics"]:
    """Return b - a over samples of the sentences with replacement, the same for both systems."""
    n = len(table)
    differences = []
    for size in _blocks(n_resamples, n):
        drawn = generator.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)
        f1 = _f1(np.moveaxis(np.tensordot(weights, table, axes=1), 1, 0))  # [size, systems, metrics]
        differences.append(f1[:, 1] - f1[:, 0])
    return np.concatenate(differences)


def _swapped(
    table: Float[np.ndarray, "sentences 2 systems metrics"], generator: np.random.Generator, *, n_resamples: int
) -> Float[np.ndarray, "resamples metrics"]:
    """Return b - a when each sentence's two parses are swapped with probability one half."""
    first, second = np.moveaxis(table.sum(axis=0), 1, 0)[:, None]  # [1, 2, metrics] each
    excess = table[:, :, 1] - table[:, :, 0]  # [sentences, 2, metrics]
    differences = []
    for size in _blocks(n_resamples, len(table)):
        swaps = generator.integers(2, size=(size, len(table)), dtype=np.int8).astype(np.float64)
        moved = np.tensordot(swaps, excess, axes=1)  # [size, 2, metrics]
        differences.append(_f1(np.moveaxis(second - moved, 1, 0)) - _f1(np.moveaxis(first + moved, 1, 0)))
    return np.concatenate(differences)


def _blocks(n_resamples: int, n_sentences: int) -> Iterator[int]:
    """Yield sizes that sum to `n_resamples`, each of a bounded number of draws."""
    at_once = max(1, DRAWS_AT_ONCE // n_sentences)
    for start in range(0, n_resamples, at_once):
        yield min(at_once, n_resamples - start)
