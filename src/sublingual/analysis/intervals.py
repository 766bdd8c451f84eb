"""Runs -> 95 % intervals of cells and means, and each treebank's difference of two systems, by one paired bootstrap.

Drawn anew are the test sentences of each treebank; its support seeds, and the training runs once for all treebanks, are
weighed anew by Student's t (`seed_weights`), since there are few. Supports that belong to one training run go
with it. All systems of a treebank see the same draws, so that differences are paired, and what else is named changes
none. The treebanks stay as they are: `statistics` takes them as drawn too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean
from typing import Any
from zlib import crc32

import numpy as np
from jaxtyping import Float

from sublingual.analysis.records import Run, by_system
from sublingual.analysis.statistics import holm
from sublingual.comparison import ROUNDING

SIGNIFICANT = 0.05
PER_CENT = (0.0, 100.0)
_AT_ONCE = 4_000_000  # bounds the memory of one block of drawn sentences


@dataclass(frozen=True)
class Interval:
    """The middle 95 % of the resamples."""

    low: float
    high: float


@dataclass(frozen=True)
class TreebankDifference:
    """A system's LAS minus its base's on one treebank; holm: the p-value corrected for the system's treebanks."""

    difference: float
    interval: Interval
    p_value: float
    holm: float

    @property
    def is_sure(self) -> bool:
        """Whether the corrected p-value is below 0.05."""
        return self.holm < SIGNIFICANT


@dataclass(frozen=True)
class Resampled:
    """The resampled LAS of each system on each treebank where all its runs are adapted, one array a cell.

    without_sentences: the treebanks whose records do not say how each sentence came out; there only seeds are drawn.
    """

    las: Mapping[str, Mapping[str, Float[np.ndarray, " resamples"]]]
    n_resamples: int
    without_sentences: tuple[str, ...]

    def cell(self, system: str, treebank: str) -> Interval | None:
        """Returns the interval of a cell, None where nothing could be drawn (one run, no sentences)."""
        found = self.las.get(system, {}).get(treebank)
        return None if found is None else interval_of(np.clip(found, *PER_CENT))

    def mean(self, system: str, treebanks: Sequence[str], *, weights: Sequence[float] | None = None) -> Interval | None:
        """Returns the interval of a mean over treebanks, all of which the system must have."""
        own = self.las.get(system, {})
        if not treebanks or any(treebank not in own for treebank in treebanks):
            return None
        mean = np.average([own[treebank] for treebank in treebanks], axis=0, weights=weights)
        return interval_of(np.clip(mean, *PER_CENT))

    def difference(
        self, system: str, base: str, treebanks: Sequence[str], *, weights: Sequence[float] | None = None
    ) -> Interval | None:
        """Returns the interval of the mean difference of two systems over treebanks, all of which both must have."""
        one, other = self.las.get(system, {}), self.las.get(base, {})
        if not treebanks or any(treebank not in one or treebank not in other for treebank in treebanks):
            return None
        drawn = [one[treebank] - other[treebank] for treebank in treebanks]
        return interval_of(np.average(drawn, axis=0, weights=weights))

    def differences(self, bases: Mapping[str, str], means: Mapping[str, Mapping[str, float | None]]) -> Differences:
        """Returns each treebank's difference of a system to its base; `means` are the LAS of the cells.

        Corrected over all the treebanks that the two have in common (Holm).
        """
        found: dict[tuple[str, str], TreebankDifference] = {}
        for system, base in bases.items():
            one, other = self.las.get(system, {}), self.las.get(base, {})
            drawn = {t: one[t] - other[t] for t in one if t in other and interval_of(one[t] - other[t]) is not None}
            p_values = [two_sided(values) for values in drawn.values()]
            for (treebank, values), p, corrected in zip(drawn.items(), p_values, holm(p_values), strict=True):
                a, b = means[system][treebank], means[base][treebank]
                between = interval_of(values)
                assert a is not None
                assert b is not None
                assert between is not None
                found[system, treebank] = TreebankDifference(a - b, between, p, corrected)
        return found


Differences = Mapping[tuple[str, str], TreebankDifference]


def resampled(runs: Sequence[Run], *, generator: np.random.Generator, n_resamples: int = 10_000) -> Resampled:
    """Returns the resamples of every cell; a generator in the same state gives the same numbers."""
    own = by_system(runs)
    drawn = _Draws(generator, n_resamples)
    found: dict[str, dict[str, Float[np.ndarray, " resamples"]]] = {name: {} for name in own}
    without = []
    for treebank in dict.fromkeys(run.treebank for run in runs):
        here = {name: [run for run in of_system if run.treebank == treebank] for name, of_system in own.items()}
        here = {name: cell for name, cell in here.items() if cell and all(run.is_adapted for run in cell)}
        sentences = _sentences([run for cell in here.values() for run in cell])
        if here and sentences is None:
            without.append(treebank)
        for name, las in _by_run(here, sentences, n_resamples, drawn.generator("sentences", treebank)).items():
            found[name][treebank] = drawn.averaged(treebank, here[name], las)
    return Resampled(found, n_resamples, tuple(without))


class Draw:
    """Generators for parts of one analysis, each by the part's name alone: the order of the parts changes no number."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.number = int(generator.integers(2**63))

    def __call__(self, *names: str) -> np.random.Generator:
        return np.random.default_rng([self.number, crc32("\0".join(names).encode())])


def seed_weights(n: int, generator: np.random.Generator, n_resamples: int) -> Float[np.ndarray, "resamples seeds"]:
    """Returns weights of n seeds, each row of sum 1: means so weighted are Student's mean + t(n - 1) s / sqrt(n).

    Quantiles over the rows are then Student's interval, and systems weighed by the same rows stay paired. Seeds drawn with
    replacement have tails far too thin when they are few: of three that lean one way by chance they are as sure as can be.
    """
    if n == 1:
        return np.ones((n_resamples, 1))
    normal = generator.standard_normal((n_resamples, n))
    normal -= normal.mean(axis=1, keepdims=True)
    spread: Float[np.ndarray, "resamples 1"] = np.sqrt(generator.chisquare(n - 1, (n_resamples, 1)) / (n - 1))
    return 1 / n + normal / spread / np.sqrt(n * (n - 1))


@dataclass(frozen=True)
class SeedsGain:
    """By how much a system is above another, in the mean over the seeds that both have."""

    mean: float
    interval: Interval | None


def seeds_gain(
    own: Mapping[Any, float], other: Mapping[Any, float], *, draw: Draw, n_resamples: int
) -> SeedsGain | None:
    """Returns the paired difference of two systems' values, one a seed; None without a common seed."""
    differences = [value - other[seed] for seed, value in own.items() if seed in other]
    if not differences:
        return None
    every = (-np.inf, np.inf)
    between = seeds_interval(differences, draw=draw, n_resamples=n_resamples, within=every)
    return SeedsGain(fmean(differences), between)


def seeds_interval(
    values: Sequence[float], *, draw: Draw, n_resamples: int, within: tuple[float, float] = PER_CENT
) -> Interval | None:
    """Returns the interval of the mean of these values, one a seed; None for a single one."""
    if len(values) < 2:
        return None
    weights = seed_weights(len(values), draw(f"{len(values)} seeds"), n_resamples)
    return interval_of(np.clip(weights @ np.array(values), *within))


def interval_of(values: Float[np.ndarray, " resamples"]) -> Interval | None:
    """Returns the middle 95 %, None where all are alike since nothing was drawn."""
    if np.ptp(values) < ROUNDING:
        return None
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(float(low), float(high))


def two_sided(values: Float[np.ndarray, " resamples"]) -> float:
    """Returns the p-value of a resampled difference: twice the smaller share on one side of 0, as (c + 1) / (n + 1)."""
    c = min(int(np.count_nonzero(values <= ROUNDING)), int(np.count_nonzero(values >= -ROUNDING)))
    return min(1.0, 2 * (c + 1) / (len(values) + 1))


class _Draws:
    """What is drawn once and used for all systems: weights of training runs, and of each treebank's supports."""

    def __init__(self, generator: np.random.Generator, n_resamples: int) -> None:
        self.generator, self.n = Draw(generator), n_resamples
        self.weights = cache(self._weights)

    def _weights(self, name: str, *seeds: str) -> Mapping[str, Float[np.ndarray, " resamples"]]:
        drawn = seed_weights(len(seeds), self.generator(name, *seeds), self.n)
        return dict(zip(seeds, drawn.T, strict=True))

    def averaged(
        self, treebank: str, cell: Sequence[Run], las: Float[np.ndarray, "runs resamples"]
    ) -> Float[np.ndarray, " resamples"]:
        """The weighted mean over a cell's runs in each resample.

        Where each training run was tested with each support both count; else a training run's supports are its own, and
        weighing it weighs them.
        """
        pairs = [(str(run.training_seed), str(run.support_seed)) for run in cell]
        each, n = Counter(training for training, _ in pairs), Counter(support for _, support in pairs)
        of_training = self.weights("training", *sorted(each))
        if set(n.values()) == {len(each)}:
            of_support = self.weights(f"supports of {treebank}", *sorted(n))
            weights = [of_training[training] * of_support[support] for training, support in pairs]
        else:
            weights = [of_training[training] / each[training] for training, _ in pairs]
        found: Float[np.ndarray, " resamples"] = np.einsum("ir,ir->r", np.stack(weights), las)
        return found


def _sentences(runs: Sequence[Run]) -> tuple[int, ...] | None:
    """The words of each test sentence, None where a run does not say or runs disagree."""
    said = {None if run.details.by_sentence is None else run.details.by_sentence.words for run in runs}
    return next(iter(said)) if len(said) == 1 else None


def _by_run(
    cells: Mapping[str, Sequence[Run]], words: tuple[int, ...] | None, n_resamples: int, generator: np.random.Generator
) -> dict[str, Float[np.ndarray, "runs resamples"]]:
    """LAS of each run in each resample of the sentences, the same draw for all systems; as it is where they are not known."""
    if words is None:
        return {name: np.repeat([[run.las] for run in cell], n_resamples, axis=1) for name, cell in cells.items()}
    n, every = len(words), [run for cell in cells.values() for run in cell]
    right, sizes = np.zeros((len(every), n)), np.zeros((len(every), n))
    for i, run in enumerate(every):
        assert run.details.by_sentence is not None
        for j, correct in enumerate(run.details.by_sentence.las):
            if correct is not None:
                right[i, j], sizes[i, j] = correct, words[j]
    las = np.concatenate(
        [_las(right, sizes, generator, size) for size in _blocks(n_resamples, n)], axis=1
    )  # [runs, resamples]
    found, at = {}, 0
    for name, cell in cells.items():
        found[name] = las[at : at + len(cell)]
        at += len(cell)
    return found


def _las(
    right: Float[np.ndarray, "runs sentences"],
    sizes: Float[np.ndarray, "runs sentences"],
    generator: np.random.Generator,
    n_resamples: int,
) -> Float[np.ndarray, "runs resamples"]:
    n = right.shape[1]
    places = generator.integers(n, size=(n_resamples, n)) + n * np.arange(n_resamples)[:, None]
    counts = np.bincount(places.ravel(), minlength=n_resamples * n).reshape(n_resamples, n).astype(np.float64)
    total = sizes @ counts.T  # [runs, resamples]
    found: Float[np.ndarray, "runs resamples"] = 100 * (right @ counts.T) / np.maximum(total, 1)
    return found


def _blocks(n_resamples: int, n_sentences: int) -> list[int]:
    at_once = max(1, _AT_ONCE // n_sentences)
    return [min(at_once, n_resamples - start) for start in range(0, n_resamples, at_once)]
