"""What stands beside the scores of a table: resampled intervals, tested differences, the printed baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sublingual.analysis.intervals import Differences, Interval, Resampled, SeedsGain
from sublingual.analysis.paper import Baselines

Plain = dict[str, Any]
"""A row for programs."""


@dataclass(frozen=True)
class Beside:
    """What may stand beside the scores: resampled intervals, each treebank's tested differences, the printed baselines."""

    resampled: Resampled | None = None
    differences: Differences | None = None
    baselines: Mapping[str, Baselines] | None = None

    def cell(self, system: str, treebank: str) -> Interval | None:
        return None if self.resampled is None else self.resampled.cell(system, treebank)

    def mean(self, system: str, treebanks: Sequence[str], weights: Sequence[float] | None = None) -> Interval | None:
        return None if self.resampled is None else self.resampled.mean(system, treebanks, weights=weights)

    def gain(
        self, system: str, base: str | None, treebanks: Sequence[str], weights: Sequence[float] | None = None
    ) -> Interval | None:
        if self.resampled is None or base is None:
            return None
        return self.resampled.difference(system, base, treebanks, weights=weights)

    def is_sure(self, system: str, treebank: str) -> bool:
        found = (self.differences or {}).get((system, treebank))
        return found is not None and found.is_sure

    def of(self, treebank: str) -> Baselines:
        return (self.baselines or {}).get(treebank, Baselines())


def on_resamples(found: Resampled) -> str:
    """Returns what a table must say of its intervals."""
    lacking = found.without_sentences
    but = f"; seeds alone for {len(lacking)} treebanks whose records lack the sentences" if lacking else ""
    return (
        f"95 % of LAS: test sentences drawn anew {found.n_resamples} times, over seeds (of training, with their support sets) "
        f"by Student's t, the treebanks as they are{but}"
    )


def bounds(name: str, found: Interval | None) -> Plain:
    """Returns the ends of an interval under two keys, None where there is none."""
    return {
        f"{name}_low": None if found is None else found.low,
        f"{name}_high": None if found is None else found.high,
    }


def brackets(found: Interval | None, *, digits: int = 1) -> str:
    """Returns an interval in brackets behind a space, nothing where there is none."""
    return "" if found is None else f" [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def gained(found: SeedsGain | None, *, digits: int) -> str:
    """Returns a gain with its interval in parentheses behind a space, nothing where there is none."""
    return "" if found is None else f" ({found.mean:+.{digits}f}{brackets(found.interval, digits=digits)})"


def gain_columns(name: str, found: SeedsGain | None) -> Plain:
    """Returns a gain and its interval under three keys, None where there is none."""
    mean, between = (None, None) if found is None else (found.mean, found.interval)
    return {f"{name}_difference": mean, **bounds(f"{name}_difference", between)}
