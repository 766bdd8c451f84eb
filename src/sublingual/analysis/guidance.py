"""Which system for which language? Small rules over treebanks' properties, judged on languages that they were not made from.

A rule asks at most two questions such as "similarity below 0.8?" and names a system for each answer. Whether it is worth
anything is what cross-validation says: each language's treebanks are left out in turn, the rule is made from the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import numpy as np
from jaxtyping import Float

from sublingual.analysis.factors import Factor
from sublingual.analysis.intervals import Interval, interval_of
from sublingual.analysis.labels import languages_of
from sublingual.analysis.tables import TreebankTable

LEAST_LANGUAGES = 8
"""Languages below which no rule is made: each left out would change too much."""

_AT_MOST = 12
LEAST_LEAF = 5
"""Treebanks that each answer of a rule must have."""


@dataclass(frozen=True)
class Leaf:
    """An answer: the system, its mean LAS there, the treebanks that it was made from."""

    system: str
    las: float
    n: int

    def choose(self, values: Mapping[str, float]) -> str:
        return self.system

    def sentences(self, lead: str = "") -> list[str]:
        """Returns the rule as sentences, each led by the answers before it."""
        return [f"{lead or 'Always'}: {self.system} (mean LAS {self.las:.1f} on {self.n} treebanks)"]


@dataclass(frozen=True)
class Split:
    """A question: is a factor below a threshold? `low` is the rule where it is; where it is not known, the larger side's."""

    factor: str
    name: str
    threshold: float
    low: Rule
    high: Rule

    @property
    def n(self) -> int:
        return self.low.n + self.high.n

    def choose(self, values: Mapping[str, float]) -> str:
        value = values.get(self.factor)
        if value is None:
            return max((self.low, self.high), key=lambda rule: rule.n).choose(values)
        return (self.low if value < self.threshold else self.high).choose(values)

    def sentences(self, lead: str = "") -> list[str]:
        start = f"{lead}, " if lead else ""
        below, above = f"{self.name} below {self.threshold:.3g}", f"{self.name} {self.threshold:.3g} or more"
        return [*self.low.sentences(f"{start}{below}"), *self.high.sentences(f"{start}{above}")]


Rule = Leaf | Split


@dataclass(frozen=True)
class Judged:
    """A way to choose, on languages left out: the mean LAS of what it chose, and how much above the best single system's.

    gain: with its interval over languages drawn anew; right: on how many treebanks it chose the best of all.
    """

    name: str
    las: float
    gain: float
    interval: Interval | None
    right: int


@dataclass(frozen=True)
class Guidance:
    """Rules made from all treebanks, and each way to choose judged on languages left out.

    best: the single best system; judged: that system, one question, two questions, and the best of all in hindsight, which
    no rule can pass. `advice`: what follows, in words.
    """

    best: str
    n_treebanks: int
    n_languages: int
    rules: Mapping[str, Rule]
    judged: tuple[Judged, ...]
    advice: str


@dataclass(frozen=True)
class _Data:
    """LAS [treebanks, systems], the factors' values by treebank, and each treebank's language."""

    treebanks: tuple[str, ...]
    systems: tuple[str, ...]
    las: Float[np.ndarray, "treebanks systems"]
    values: tuple[Mapping[str, float], ...]
    languages: tuple[str, ...]

    def only(self, places: Sequence[int]) -> _Data:
        return _Data(
            tuple(self.treebanks[i] for i in places),
            self.systems,
            self.las[list(places)],
            tuple(self.values[i] for i in places),
            tuple(self.languages[i] for i in places),
        )


_DEPTHS: Mapping[str, int] = {"one system for all": 0, "one question": 1, "two questions": 2}


def guidance(
    table: TreebankTable,
    factors: Sequence[Factor],
    *,
    generator: np.random.Generator,
    n_resamples: int = 10_000,
    keys: Sequence[str] = ("similarity", "pretraining", "domains"),
) -> Guidance | None:
    """Returns rules over the factors of these keys; None for fewer than eight languages or two systems."""
    asked = [factor for factor in factors if factor.key in keys]
    data = _data(table, asked)
    n_languages = len(set(data.languages))
    if n_languages < LEAST_LANGUAGES or len(data.systems) < 2:
        return None
    rules = {name: _grown(data, asked, depth) for name, depth in _DEPTHS.items()}
    chosen = {name: _left_out(data, asked, depth) for name, depth in _DEPTHS.items()}
    chosen["the best in hindsight"] = data.las.argmax(axis=1)
    base = chosen["one system for all"]
    judged = tuple(_judged(name, data, places, base, generator, n_resamples) for name, places in chosen.items())
    best = _best(data)
    return Guidance(best.system, len(data.treebanks), n_languages, rules, judged, _advice(judged, rules, best.system))


def _data(table: TreebankTable, factors: Sequence[Factor]) -> _Data:
    rows = [row for row in table.total.rows if row.treebank in table.compared]
    systems = tuple(name for name in table.systems if rows and all(name in row.cells for row in rows))
    las = np.array([[row.cells[name].las for name in systems] for row in rows], dtype=float).reshape(len(rows), -1)
    names = tuple(row.treebank for row in rows)
    values = tuple({f.key: f.values[name] for f in factors if name in f.values} for name in names)
    return _Data(names, systems, las, values, tuple(languages_of([name])[0] for name in names))


def _best(data: _Data) -> Leaf:
    means = data.las.mean(axis=0)
    i = int(means.argmax())
    return Leaf(data.systems[i], float(means[i]), len(data.treebanks))


def _grown(data: _Data, factors: Sequence[Factor], depth: int) -> Rule:
    """The rule of at most that many questions whose chosen systems have the highest mean LAS on these treebanks."""
    best: Rule = _best(data)
    highest = _total(best, data)
    if depth == 0:
        return best
    for factor in factors:
        for threshold in _thresholds([values.get(factor.key) for values in data.values]):
            sides = _sides(data, factor.key, threshold)
            if min(map(len, sides)) < LEAST_LEAF:
                continue
            if depth == 1:
                low, high = (_best(data.only(side)) for side in sides)
                grown: list[Rule] = [Split(factor.key, factor.short, threshold, low, high)]
            else:  # the second question is asked on one side only
                below, above = (data.only(side) for side in sides)
                grown = [
                    Split(factor.key, factor.short, threshold, _grown(below, factors, depth - 1), _best(above)),
                    Split(factor.key, factor.short, threshold, _best(below), _grown(above, factors, depth - 1)),
                ]
            for rule in grown:
                if (total := _total(rule, data)) > highest + 1e-9:
                    best, highest = rule, total
    return best


def _sides(data: _Data, key: str, threshold: float) -> tuple[list[int], list[int]]:
    """The treebanks below the threshold and the others; those of which it is not known belong to the larger side."""
    known = {i: values[key] for i, values in enumerate(data.values) if key in values}
    low = [i for i, value in known.items() if value < threshold]
    high = [i for i, value in known.items() if value >= threshold]
    unknown = [i for i in range(len(data.values)) if i not in known]
    return (sorted(low + unknown), high) if len(low) >= len(high) else (low, sorted(high + unknown))


def _thresholds(values: Sequence[float | None]) -> list[float]:
    """The middles between neighbouring values, at most 12 of them, evenly over the treebanks."""
    known = sorted({value for value in values if value is not None})
    middles = [(a + b) / 2 for a, b in pairwise(known)]
    if len(middles) <= _AT_MOST:
        return middles
    return [middles[round(i)] for i in np.linspace(0, len(middles) - 1, _AT_MOST)]


def _total(rule: Rule, data: _Data) -> float:
    return float(sum(data.las[i, data.systems.index(rule.choose(values))] for i, values in enumerate(data.values)))


def _left_out(data: _Data, factors: Sequence[Factor], depth: int) -> np.ndarray:
    """Of each treebank the place of the system that a rule chose which was made without any treebank of its language."""
    chosen = np.zeros(len(data.treebanks), dtype=np.int64)
    for language in dict.fromkeys(data.languages):
        rest = [i for i, other in enumerate(data.languages) if other != language]
        rule = _grown(data.only(rest), factors, depth)
        for i, other in enumerate(data.languages):
            if other == language:
                chosen[i] = data.systems.index(rule.choose(data.values[i]))
    return chosen


def _judged(
    name: str, data: _Data, chosen: np.ndarray, base: np.ndarray, generator: np.random.Generator, n_resamples: int
) -> Judged:
    places = np.arange(len(data.treebanks))
    las, single = data.las[places, chosen], data.las[places, base]
    languages = [*dict.fromkeys(data.languages)]
    number = np.array([languages.index(language) for language in data.languages])
    sums = np.bincount(number, weights=las - single, minlength=len(languages))
    sizes = np.bincount(number, minlength=len(languages))
    drawn = generator.multinomial(len(languages), np.full(len(languages), 1 / len(languages)), size=n_resamples)
    moved = (drawn @ sums) / np.maximum(drawn @ sizes, 1)
    right = int(np.count_nonzero(las >= data.las.max(axis=1) - 1e-9))
    return Judged(name, float(las.mean()), float(fmean(las - single)), interval_of(moved), right)


def _advice(judged: Sequence[Judged], rules: Mapping[str, Rule], best: str) -> str:
    """What to do: a rule only where languages that it never saw were better off with it."""
    candidates = [each for each in judged if _DEPTHS.get(each.name, 0) and each.interval is not None]
    sure = [each for each in candidates if each.interval is not None and each.interval.low > 0]
    if sure:
        chosen = max(sure, key=lambda each: each.gain)
        return (
            f"Follow the rule of {chosen.name}: on languages that it was not made from it is {chosen.gain:+.2f} LAS above the "
            f"best single system ({len(candidates)} rules were tried)."
        )
    return (
        f"Take {best} for all: no rule was surely better than the best single system on languages that it was not made "
        f"from. The rules below describe these treebanks; they are no advice."
    )
