"""Gradients of languages compared (section 7.2) -> Table 5: conflicts, cosines, and how these go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np
from jaxtyping import Float
from pydantic import TypeAdapter, ValidationError

from sublingual.analysis.intervals import PER_CENT, Draw, Interval, SeedsGain, seeds_gain, seeds_interval
from sublingual.analysis.records import full_of
from sublingual.errors import ConfigError, DataError


@dataclass(frozen=True)
class ConflictRun:
    """The cosines between every two languages' gradients in the last steps of one run of stage 2, a row a step."""

    system: str
    training_seed: int
    pairs: tuple[str, ...]
    steps: tuple[int, ...]
    cosines: tuple[tuple[float, ...], ...]
    place: str

    @property
    def conflicts(self) -> tuple[float, ...]:
        """By step the share of pairs in conflict, whose cosine is below 0."""
        return tuple(sum(value < 0 for value in row) / len(row) for row in self.cosines)

    @property
    def cosine(self) -> tuple[float, ...]:
        """By step the mean cosine."""
        return tuple(map(fmean, self.cosines))


@dataclass(frozen=True)
class _Step:
    step: int
    cosines: tuple[float, ...]


@dataclass(frozen=True)
class _Record:
    system: str
    training_seed: int
    pairs: tuple[str, ...]
    steps: tuple[_Step, ...]


_RECORD = TypeAdapter(_Record)


def conflict_run(value: Mapping[str, Any], place: str) -> ConflictRun:
    """Returns the run of a `conflicts.json`; DataError for one that has not what it needs."""
    try:
        record = _RECORD.validate_python(value)
    except ValidationError as fault:
        first = fault.errors()[0]
        raise DataError(
            f"{place}: {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}; repeat that run of stage 2 with --conflicts"
        ) from fault
    if not record.steps or any(len(step.cosines) != len(record.pairs) for step in record.steps):
        raise DataError(f"{place}: a step without a cosine for each of {len(record.pairs)} pairs; repeat that run")
    steps, cosines = zip(*((each.step, each.cosines) for each in record.steps), strict=True)
    return ConflictRun(record.system, record.training_seed, record.pairs, steps, cosines, place)


@dataclass(frozen=True)
class Deltas:
    """Against the full run of the same seed: by step, how much lower the share of conflicts is, how much higher the cosine."""

    fewer_conflicts: tuple[float, ...]
    more_cosine: tuple[float, ...]


def deltas(run: ConflictRun, full: ConflictRun) -> Deltas:
    """Returns the differences step by step (docs/protocol.md 2.31); ConfigError for runs of other languages or steps."""
    if (run.pairs, run.steps) != (full.pairs, full.steps):
        raise ConfigError(
            f"{run.place} and {full.place} observed other languages or other steps; compare runs of one length and seed"
        )
    fewer = tuple(b - a for a, b in zip(run.conflicts, full.conflicts, strict=True))
    return Deltas(fewer, tuple(a - b for a, b in zip(run.cosine, full.cosine, strict=True)))


@dataclass(frozen=True)
class Coupling:
    """Pearson's r of fewer conflicts and higher cosine over steps, in the mean over seeds, and how often chance gives as much.

    r is None where a run and its full one do not differ. Both are made of the same cosines, so some r is certain.
    """

    r: float | None
    p_value: float | None
    by_seed: tuple[float | None, ...]


@dataclass(frozen=True)
class ConflictRow:
    """A line of Table 5: means over seeds, the share of conflicts in per cent; gains over the full runs of the same seeds."""

    system: str
    seeds: tuple[int, ...]
    conflicts: float
    conflicts_sd: float | None
    conflicts_interval: Interval | None
    conflicts_gain: SeedsGain | None
    cosine: float
    cosine_sd: float | None
    cosine_interval: Interval | None
    cosine_gain: SeedsGain | None
    coupling: Coupling | None


def conflict_table(
    runs: Sequence[ConflictRun], *, generator: np.random.Generator, n_resamples: int = 10_000
) -> tuple[ConflictRow, ...]:
    """Returns a row a system; coupled with the full system of its own loop where that has the same seeds.

    Raises DataError for a system's seed that is there twice.
    """
    by_system: dict[str, dict[int, ConflictRun]] = {}
    for run in runs:
        own = by_system.setdefault(run.system, {})
        if (first := own.setdefault(run.training_seed, run)) is not run:
            raise DataError(
                f"{run.place}: {run.system}, seed {run.training_seed}, is in {first.place} too; name one of them"
            )
    rows, draw = [], Draw(generator)
    for system, own in by_system.items():
        full = by_system.get(full_of(system), {})
        rows.append(_row(system, own, {} if own is full else full, draw, n_resamples))
    return tuple(rows)


def _row(
    system: str,
    own: Mapping[int, ConflictRun],
    full: Mapping[int, ConflictRun],
    draw: Draw,
    n_resamples: int,
) -> ConflictRow:
    found = []
    for of, within in ((_share, PER_CENT), (_cosine, (-1.0, 1.0))):
        values, others = ({seed: of(run) for seed, run in runs.items()} for runs in (own, full))
        one = [*values.values()]
        between = seeds_interval(one, draw=draw, n_resamples=n_resamples, within=within)
        gain = seeds_gain(values, others, draw=draw, n_resamples=n_resamples)
        found.append((fmean(one), stdev(one) if len(one) > 1 else None, between, gain))
    return ConflictRow(system, tuple(own), *found[0], *found[1], _coupling(own, full, draw(system), n_resamples))


def _share(run: ConflictRun) -> float:
    return 100 * fmean(run.conflicts)


def _cosine(run: ConflictRun) -> float:
    return fmean(run.cosine)


def _coupling(
    own: Mapping[int, ConflictRun],
    full: Mapping[int, ConflictRun],
    generator: np.random.Generator,
    n_resamples: int,
) -> Coupling | None:
    found = [deltas(run, full[seed]) for seed, run in own.items() if seed in full]
    if not found:
        return None
    pairs = [(np.array(each.fewer_conflicts), np.array(each.more_cosine)) for each in found]
    by_seed = tuple(_pearson(x, y) for x, y in pairs)
    known = [r for r in by_seed if r is not None]
    if not known:
        return Coupling(None, None, by_seed)
    varied = [pair for pair, r in zip(pairs, by_seed, strict=True) if r is not None]
    chance = np.mean([_shuffled(x, y, generator, n_resamples) for x, y in varied], axis=0)
    as_large = int(np.count_nonzero(np.abs(chance) >= abs(fmean(known)) - 1e-12))
    return Coupling(fmean(known), (as_large + 1) / (n_resamples + 1), by_seed)


def _pearson(x: Float[np.ndarray, " steps"], y: Float[np.ndarray, " steps"]) -> float | None:
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def _shuffled(
    x: Float[np.ndarray, " steps"], y: Float[np.ndarray, " steps"], generator: np.random.Generator, n_resamples: int
) -> Float[np.ndarray, " resamples"]:
    """r when the steps of y are in random order."""
    centred = (x - x.mean()) / (x.std() * len(x))
    drawn = generator.permuted(np.tile((y - y.mean()) / y.std(), (n_resamples, 1)), axis=1)  # [resamples, steps]
    found: Float[np.ndarray, " resamples"] = drawn @ centred
    return found
