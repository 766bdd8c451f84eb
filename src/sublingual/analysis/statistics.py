"""Two systems on the same treebanks and supports -> their difference, its interval, and how often chance gives as much.

Treebanks and training runs are both taken as drawn from many (Clark 1973, the quasi-F of two random effects): a lucky
training run moves all treebanks at once, which a test over treebanks alone would take for a sure difference. Several
comparisons of one table are corrected together (Holm 1979). `intervals` draws test sentences and seeds, the treebanks as
they are; `comparison` compares two outputs of one file over its sentences.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from jaxtyping import Float

from sublingual.analysis.records import Run, by_system
from sublingual.comparison import ROUNDING, Difference
from sublingual.errors import DataError
from sublingual.estimate import t_quantile, t_two_sided


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
    def rows(self) -> Float[np.ndarray, "treebanks training"]:
        """The mean over its supports of each treebank; of a single treebank each support."""
        return np.stack([each.mean(axis=0) for each in self.las]) if len(self.las) > 1 else self.las[0]


def compare_systems(runs: Sequence[Run], bases: Mapping[str, str]) -> tuple[Paired, ...]:
    """Returns each system's comparison with its base (`tables.bases_of`), the p-values corrected for their number."""
    own = by_system(runs)
    found = [compare_runs(own[base], own[system], names=(base, system)) for system, base in bases.items()]
    corrected = holm([each.las.p_value for each in found])
    return tuple(replace(each, holm=value) for each, value in zip(found, corrected, strict=True))


def compare_runs(
    base: Sequence[Run],
    system: Sequence[Run],
    *,
    names: tuple[str, str],
) -> Paired:
    """Returns how the runs of a system differ from those of its base, with a 95 % interval and a two-sided p-value.

    Runs of both systems with the same training seeds saw the same data in the same order and are taken as pairs; supports
    that belong to one training run go with it. A single treebank stands for itself: its supports and training runs are
    drawn. Raises DataError where the systems have no pair in common.
    """
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
    mean_a, mean_b = float(a.rows.mean()), float(b.rows.mean())
    half, p_value = _half_and_p(a, b)
    difference = mean_b - mean_a
    return Paired(
        system=names[1],
        base=names[0],
        las=Difference(mean_a, mean_b, difference, difference - half, difference + half, p_value),
        holm=p_value,
        n_treebanks=len(kept),
        n_pairs=n_pairs,
        n_left_out=len(everything) - n_pairs,
        n_training=len(b.training),
        n_training_base=len(a.training),
    )


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


def _half_and_p(a: _Side, b: _Side) -> tuple[float, float]:
    """Half the width of the interval, and the p-value.

    Score of treebank t and run r = mean + T + R + the rest. What treebanks vary by holds the rest once, and so does what
    runs vary by: their sum less the rest is the mean's variance, no less than either alone. By Student's t, the degrees of
    freedom Satterthwaite's (1946). No interval (0) and p = 1 where nothing varies that could be drawn.
    """
    differences = b.rows.mean(axis=1) - a.rows.mean(axis=1)
    tables = [b.rows - a.rows] if a.training == b.training else [a.rows, b.rows]
    treebanks = _Part.of(differences)
    runs, rest = [_Part.of(table.mean(axis=0)) for table in tables], [_Part.of_rest(table) for table in tables]
    of_runs = sum(part.variance for part in runs)
    parts = [part for part in (treebanks, *runs, *rest) if part.free]
    variance = max(treebanks.variance + of_runs - sum(part.variance for part in rest), treebanks.variance, of_runs)
    mean = float(differences.mean())
    if variance < ROUNDING**2:
        return 0.0, 1.0 if abs(mean) < ROUNDING or not parts else 0.0
    free = variance**2 / sum(part.variance**2 / part.free for part in parts)
    free = max(free, min(part.free for part in parts))
    error = math.sqrt(variance)
    return t_quantile(0.975, free=free) * error, t_two_sided(mean / error, free=free)


@dataclass(frozen=True)
class _Part:
    """A part of a mean's variance and its degrees of freedom, both 0 where there is but one to draw from."""

    variance: float
    free: float

    @classmethod
    def of(cls, means: Float[np.ndarray, " drawn"]) -> _Part:
        """Of what is drawn by itself: treebanks, training runs."""
        return cls(float(means.var(ddof=1)) / len(means), len(means) - 1.0) if len(means) > 1 else cls(0.0, 0.0)

    @classmethod
    def of_rest(cls, table: Float[np.ndarray, "treebanks training"]) -> _Part:
        """Of what neither treebank nor training run explains."""
        free = (table.shape[0] - 1.0) * (table.shape[1] - 1.0)
        rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
        return cls(float((rest**2).sum()) / free / table.size, free) if free else cls(0.0, 0.0)
