"""Two systems on the same treebanks and supports -> their difference, its interval, and how often chance gives as much.

The interval is from a hierarchical paired bootstrap: treebanks are drawn with replacement, then support seeds in each;
training runs are weighed anew once for all treebanks, since each of them made one parser, by Student's t, since they are
few (`seed_weights`). The p-value is from flipped signs of the treebanks' differences and the same weights. Several
comparisons of one table are corrected together (Holm 1979). `comparison` compares two outputs of one file over its
sentences.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from zlib import crc32

import numpy as np
from jaxtyping import Float

from sublingual.analysis.records import Run, by_system
from sublingual.comparison import ROUNDING, Difference
from sublingual.errors import ConfigError, DataError


@dataclass(frozen=True)
class Paired:
    """Two systems' LAS and how they differ, over pairs (treebank, support seed) that every training run of both has.

    Where each training run has supports of its own (seed s trains and draws support s), a pair is a run of both systems
    with the same treebank, training and support seed.

    las: `b` is the system and `a` the base. holm: the p-value corrected for all comparisons that were made together.
    n_left_out: pairs that not all training runs have, and those of treebanks where a run is not adapted.
    """

    system: str
    base: str
    las: Difference
    holm: float
    n_treebanks: int
    n_pairs: int
    n_left_out: int
    n_training: int
    n_training_base: int
    n_resamples: int

    @property
    def caution(self) -> str:
        """What the interval and the p-value do not know of, empty if nothing."""
        if min(self.n_training, self.n_training_base) == 1:
            return "one training run; intervals leave training variance out"
        return ""


@dataclass(frozen=True)
class _Side:
    """A system's LAS, one array [supports, training] a treebank, in the same order as the other side's."""

    training: tuple[int | None, ...]
    las: tuple[Float[np.ndarray, "_ training"], ...]

    @property
    def by_treebank(self) -> Float[np.ndarray, "treebanks training"]:
        return np.stack([each.mean(axis=0) for each in self.las])


def compare_systems(
    runs: Sequence[Run], bases: Mapping[str, str], *, generator: np.random.Generator, n_resamples: int = 10_000
) -> tuple[Paired, ...]:
    """Returns each system's comparison with its base (`tables.bases_of`), the p-values corrected for their number."""
    own, draw = by_system(runs), Draw(generator)
    found = [
        compare_runs(
            own[base], own[system], names=(base, system), generator=draw(base, system), n_resamples=n_resamples
        )
        for system, base in bases.items()
    ]
    corrected = holm([each.las.p_value for each in found])
    return tuple(replace(each, holm=value) for each, value in zip(found, corrected, strict=True))


def compare_runs(
    base: Sequence[Run],
    system: Sequence[Run],
    *,
    names: tuple[str, str],
    generator: np.random.Generator,
    n_resamples: int = 10_000,
) -> Paired:
    """Returns how the runs of a system differ from those of its base; a generator in the same state gives the same numbers.

    With two training runs or more of a system these are weighed anew too (`seed_weights`). Runs of both systems with the
    same training seeds saw the same data in the same order and are weighed as pairs; supports that belong to one training
    run go with it. Raises DataError where the systems have no pair in common, ConfigError for fewer than one
    resample.
    """
    if n_resamples < 1:
        raise ConfigError(f"n_resamples {n_resamples}: at least 1 is needed, 10000 are usual")
    everything = {(run.treebank, run.support_seed) for run in [*base, *system]}
    kept = _pairs(base, system)
    n_pairs = sum(map(len, kept.values()))
    if not n_pairs:
        base, system = _nested(base, system), _nested(system, base)
        kept = _pairs(base, system)
        n_pairs = sum(map(len, kept.values())) * len({run.training_seed for run in base})
    if not n_pairs:
        raise DataError(
            f"{names[0]} and {names[1]} have no treebank and support seed in common on which all their training runs are "
            "adapted; test both with the same --seeds"
        )
    a, b = _side(base, kept), _side(system, kept)
    weights = _training_weights(a, b, generator, n_resamples=n_resamples)
    low, high = np.quantile(_bootstrapped(a, b, weights, generator), [0.025, 0.975])
    mean_a, mean_b = float(a.by_treebank.mean()), float(b.by_treebank.mean())
    p_value = _p_value(a, b, weights, generator)
    return Paired(
        system=names[1],
        base=names[0],
        las=Difference(mean_a, mean_b, mean_b - mean_a, float(low), float(high), p_value),
        holm=p_value,
        n_treebanks=len(kept),
        n_pairs=n_pairs,
        n_left_out=len(everything) - n_pairs,
        n_training=len(b.training),
        n_training_base=len(a.training),
        n_resamples=n_resamples,
    )


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


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns the p-values corrected for their number by Holm's step-down rule (1979), in the same order.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def _pairs(base: Sequence[Run], system: Sequence[Run]) -> dict[str, list[int | None]]:
    """The support seeds by treebank that every training run of both sides has, where all runs are adapted."""
    failed = {run.treebank for run in [*base, *system] if not run.is_adapted}
    needed = len({run.training_seed for run in base}) + len({run.training_seed for run in system})
    counts: dict[tuple[str, int | None], int] = {}
    for run in [*base, *system]:
        if run.treebank not in failed:
            counts[run.treebank, run.support_seed] = counts.get((run.treebank, run.support_seed), 0) + 1
    kept: dict[str, list[int | None]] = {}
    for treebank, seed in sorted(counts, key=lambda pair: (pair[0], pair[1] is None, pair[1])):
        if counts[treebank, seed] == needed:
            kept.setdefault(treebank, []).append(seed)
    return kept


def _nested(runs: Sequence[Run], others: Sequence[Run]) -> list[Run]:
    """The runs that the other side has too, each training run's supports of a treebank numbered from 0."""
    there = {(run.treebank, run.training_seed, run.support_seed) for run in others}
    common = [run for run in runs if (run.treebank, run.training_seed, run.support_seed) in there]
    common.sort(key=lambda run: (run.support_seed is None, run.support_seed))
    numbers: defaultdict[tuple[str, int | None], Iterator[int]] = defaultdict(count)
    return [replace(run, support_seed=next(numbers[run.treebank, run.training_seed])) for run in common]


def _side(runs: Sequence[Run], kept: Mapping[str, Sequence[int | None]]) -> _Side:
    training = tuple(sorted({run.training_seed for run in runs}, key=lambda seed: (seed is None, seed)))
    las = {(run.treebank, run.support_seed, run.training_seed): run.las for run in runs}
    arrays = (
        np.array([[las[treebank, support, seed] for seed in training] for support in supports])
        for treebank, supports in kept.items()
    )
    return _Side(training, tuple(arrays))


def _training_weights(
    a: _Side, b: _Side, generator: np.random.Generator, *, n_resamples: int
) -> tuple[Float[np.ndarray, "resamples training_a"], Float[np.ndarray, "resamples training_b"]]:
    """How much each training run counts in each resample; the same draws for both sides where the seeds are the same."""

    of_a = seed_weights(len(a.training), generator, n_resamples)
    return of_a, of_a if a.training == b.training else seed_weights(len(b.training), generator, n_resamples)


def _bootstrapped(
    a: _Side,
    b: _Side,
    weights: tuple[Float[np.ndarray, "resamples training_a"], Float[np.ndarray, "resamples training_b"]],
    generator: np.random.Generator,
) -> Float[np.ndarray, " resamples"]:
    """The mean over treebanks of b - a in each resample.

    A treebank that was drawn m times with n supports gets m * n draws of its supports: their counts are multinomial.
    """
    n_treebanks, n_resamples = len(a.las), len(weights[0])
    times = generator.multinomial(n_treebanks, np.full(n_treebanks, 1 / n_treebanks), size=n_resamples)
    total = np.zeros(n_resamples)
    for i, (las_a, las_b) in enumerate(zip(a.las, b.las, strict=True)):
        n = len(las_a)
        counts = generator.multinomial(times[:, i] * n, np.full(n, 1 / n))  # [resamples, supports]
        found = np.einsum("rs,st,rt->r", counts, las_b, weights[1]) - np.einsum(
            "rs,st,rt->r", counts, las_a, weights[0]
        )
        total += found / n
    return total / n_treebanks


def _p_value(
    a: _Side,
    b: _Side,
    weights: tuple[Float[np.ndarray, "resamples training_a"], Float[np.ndarray, "resamples training_b"]],
    generator: np.random.Generator,
) -> float:
    """How often the difference is as large, either way, when the sign of each treebank's difference is random.

    To each such mean comes what drawing the training runs anew would change in it, 0 with one of each side: a lucky
    training run moves all treebanks at once, which flipped signs alone would take for a sure difference.
    """
    differences = b.by_treebank.mean(axis=1) - a.by_treebank.mean(axis=1)  # [treebanks]
    signs = 2.0 * generator.integers(2, size=(len(weights[0]), len(differences))) - 1  # [resamples, treebanks]
    moved = weights[1] @ _centred(b) - weights[0] @ _centred(a)  # [resamples]
    flipped = signs @ differences / len(differences) + moved
    as_large = int(np.count_nonzero(np.abs(flipped) >= abs(differences.mean()) - ROUNDING))
    return (as_large + 1) / (len(flipped) + 1)


def _centred(side: _Side) -> Float[np.ndarray, " training"]:
    """By how much each training run's mean over treebanks is above the mean of all."""
    means = side.by_treebank.mean(axis=0)
    return means - means.mean()
