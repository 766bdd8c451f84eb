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
from jaxtyping import Bool, Float, Int

from sublingual.analysis.factors import Factor
from sublingual.analysis.intervals import Interval, interval_of
from sublingual.analysis.labels import languages_of
from sublingual.analysis.tables import TreebankTable

LEAST_LANGUAGES = 8
"""Languages below which no rule is made: each left out would change too much."""

NEEDS = "guidance needs two systems and eight languages that all of them have"
"""What to say where there is none."""

LEAST_LEAF = 5
"""Treebanks that each answer of a rule must have."""

ASKED = ("similarity", "pretraining", "domains")
"""The factors that a rule may ask for."""

_AT_MOST = 24  # thresholds of a factor
_SAME = 1e-9


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
    """LAS, each treebank's language and the factors' values, and the questions: of each, which treebanks it can be asked of
    and of which the answer is "below"."""

    systems: tuple[str, ...]
    languages: tuple[str, ...]
    values: tuple[Mapping[str, float], ...]
    las: Float[np.ndarray, "treebanks systems"]
    questions: tuple[tuple[Factor, float], ...]
    known: Bool[np.ndarray, "questions treebanks"]
    below: Bool[np.ndarray, "questions treebanks"]


_DEPTHS: Mapping[str, int] = {"one system for all": 0, "one question": 1, "two questions": 2}


def guidance(
    table: TreebankTable,
    factors: Sequence[Factor],
    *,
    generator: np.random.Generator,
    n_resamples: int = 10_000,
) -> Guidance | None:
    """Returns rules over the factors that may be asked for; None for fewer than eight languages or two systems."""
    asked = [factor for factor in factors if factor.key in ASKED]
    data = _data(table, asked)
    n_languages = len(set(data.languages))
    if n_languages < LEAST_LANGUAGES or len(data.systems) < 2:
        return None
    everything = np.ones(len(data.las), dtype=bool)
    rules = {name: _grown(data, everything, depth)[0] for name, depth in _DEPTHS.items()}
    chosen = {name: _left_out(data, depth) for name, depth in _DEPTHS.items()}
    chosen["the best in hindsight"] = data.las.argmax(axis=1)
    base = chosen["one system for all"]
    judged = tuple(_judged(name, data, places, base, generator, n_resamples) for name, places in chosen.items())
    best = _leaf(data, everything)[0].system
    return Guidance(best, len(data.las), n_languages, rules, judged, _advice(judged, rules, best))


def _data(table: TreebankTable, factors: Sequence[Factor]) -> _Data:
    """Of the systems with a score on every compared treebank; by name, so that ties and draws ask for no order of the runs."""
    rows = sorted((row for row in table.total.rows if row.treebank in table.compared), key=lambda row: row.treebank)
    scores = {name: [row.cells[name].las for row in rows if name in row.cells] for name in sorted(table.systems)}
    scores = {name: own for name, own in scores.items() if rows and len(own) == len(rows) and None not in own}
    systems, las = tuple(scores), np.array([*scores.values()], dtype=float).reshape(-1, len(rows)).T
    names = [row.treebank for row in rows]
    values = tuple({f.key: f.values[name] for f in factors if name in f.values} for name in names)
    languages = tuple(languages_of([name])[0] for name in names)
    asked = tuple((f, at) for f in factors for at in _thresholds([v[f.key] for v in values if f.key in v]))
    known = np.array([[f.key in v for v in values] for f, _ in asked], dtype=bool).reshape(len(asked), len(rows))
    below = np.array([[v.get(f.key, at) < at for v in values] for f, at in asked], dtype=bool)
    return _Data(systems, languages, values, las, asked, known, below.reshape(len(asked), len(rows)))


def _thresholds(values: Sequence[float]) -> list[float]:
    """The middles between neighbouring values, at most 24 of them, evenly over the values."""
    middles = [(a + b) / 2 for a, b in pairwise(sorted(set(values)))]
    if len(middles) <= _AT_MOST:
        return middles
    return [middles[round(i)] for i in np.linspace(0, len(middles) - 1, _AT_MOST)]


def _leaf(data: _Data, some: Bool[np.ndarray, " treebanks"]) -> tuple[Leaf, float]:
    """The system that is best on these treebanks, and the sum of its LAS."""
    sums = some @ data.las  # [systems]
    i, n = int(sums.argmax()), int(some.sum())
    return Leaf(data.systems[i], float(sums[i] / max(n, 1)), n), float(sums[i])


def _grown(data: _Data, some: Bool[np.ndarray, " treebanks"], depth: int) -> tuple[Rule, float]:
    """The rule of at most that many questions whose systems have the highest LAS on these treebanks, and its sum.

    A second question is asked on one side of the first only.
    """
    best: tuple[Rule, float] = _leaf(data, some)
    if depth == 0 or not data.questions:
        return best
    low, high = _sides(data, some)
    allowed = (low.sum(axis=1) >= LEAST_LEAF) & (high.sum(axis=1) >= LEAST_LEAF)  # [questions]
    if depth == 1:
        sums = (low @ data.las).max(axis=1) + (high @ data.las).max(axis=1)
        best_of_all = int(np.where(allowed, sums, -np.inf).argmax())
        allowed &= np.arange(len(allowed)) == best_of_all
    for i in np.flatnonzero(allowed).tolist():
        for depths in dict.fromkeys([(depth - 1, 0), (0, depth - 1)]):
            (one, x), (other, y) = (_grown(data, side[i], d) for side, d in zip((low, high), depths, strict=True))
            if x + y > best[1] + _SAME:
                factor, threshold = data.questions[i]
                best = Split(factor.key, factor.short, threshold, one, other), x + y
    return best


def _sides(
    data: _Data, some: Bool[np.ndarray, " treebanks"]
) -> tuple[Bool[np.ndarray, "questions treebanks"], Bool[np.ndarray, "questions treebanks"]]:
    """Of each question the treebanks below and the others; those that it cannot be asked of belong to the larger side."""
    asked, rest = data.known & some, ~data.known & some
    low, high = asked & data.below, asked & ~data.below
    to_low = (low.sum(axis=1) >= high.sum(axis=1))[:, None]
    return low | (rest & to_low), high | (rest & ~to_low)


def _left_out(data: _Data, depth: int) -> Int[np.ndarray, " treebanks"]:
    """Of each treebank the place of the system that a rule chose which was made without any treebank of its language."""
    chosen = np.zeros(len(data.las), dtype=np.int64)
    languages = np.array(data.languages)
    for language in dict.fromkeys(data.languages):
        rule, _ = _grown(data, languages != language, depth)
        for i in np.flatnonzero(languages == language).tolist():
            chosen[i] = data.systems.index(rule.choose(data.values[i]))
    return chosen


def _judged(
    name: str, data: _Data, chosen: np.ndarray, base: np.ndarray, generator: np.random.Generator, n_resamples: int
) -> Judged:
    places = np.arange(len(data.las))
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
