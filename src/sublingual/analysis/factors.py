"""What the gains go with (section 6, figure 2): correlation over treebanks of a system's gain with a property of theirs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from sublingual.analysis.baselines import is_baseline
from sublingual.analysis.facts import Facts, domains_covered, pretraining
from sublingual.analysis.tables import TreebankTable, difference
from sublingual.errors import LanguageError
from sublingual.estimate import t_quantile
from sublingual.languages import resolve

LEAST = 4
"""Points below which the interval of a correlation is not defined."""


@dataclass(frozen=True)
class Correlation:
    """Pearson's r over n treebanks, and its 95 % interval by Fisher's transformation."""

    r: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"r {self.r:+.2f} ({self.low:+.2f} to {self.high:+.2f}), n = {self.n}"


@dataclass(frozen=True)
class Slope:
    """By how much LAS a gain rises with one unit of a property, by least squares over treebanks, and its 95 % interval by
    Student's t."""

    slope: float
    low: float
    high: float


@dataclass(frozen=True)
class Factor:
    """A property of treebanks: `name` says unit and source, `short` fits into a sentence; what is not known is left out."""

    key: str
    name: str
    short: str
    values: Mapping[str, float]


def correlation(x: Sequence[float], y: Sequence[float]) -> Correlation | None:
    """Returns Pearson's r of the two; None for fewer than four points and where one never varies."""
    if len(x) < LEAST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    r = float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1))
    if abs(r) == 1:
        return Correlation(r, r, r, len(x))
    half = NormalDist().inv_cdf(0.975) / math.sqrt(len(x) - 3)
    return Correlation(r, math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half), len(x))


def slope(x: Sequence[float], y: Sequence[float]) -> Slope | None:
    """Returns the slope of the line of best fit; None where `correlation` is."""
    if len(x) < LEAST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    across, up = (np.asarray(values, dtype=float) - np.mean(values) for values in (x, y))
    rise = float(across @ up / (across @ across))
    free, left = len(x) - 2, up - rise * across
    half = t_quantile(0.975, free=float(free)) * math.sqrt(float(left @ left / (across @ across)) / free)
    return Slope(rise, rise - half, rise + half)


def gains(table: TreebankTable, system: str) -> dict[str, float]:
    """Returns by how much LAS a system is above its base, by treebank; where one of the two has no score it is left out."""
    base = table.bases[system]
    found = {row.treebank: difference(row, system, base) for row in table.total.rows}
    return {treebank: gain for treebank, gain in found.items() if gain is not None}


def gaining(table: TreebankTable) -> dict[str, str]:
    """Returns the systems of whose gains is spoken, each with its base: all that have one but baselines."""
    return {system: base for system, base in table.bases.items() if not is_baseline(system)}


def go_together(factor: Factor, gained: Mapping[str, float]) -> Correlation | None:
    """Returns how the gains go with the factor over the treebanks of which both are known."""
    both = [treebank for treebank in gained if treebank in factor.values]
    return correlation([factor.values[treebank] for treebank in both], [gained[treebank] for treebank in both])


def on_pretraining(factors: Sequence[Factor]) -> list[str]:
    """Says how many languages no pretraining text is known of: a line over log10 is mostly the step from them to the others."""
    for values in (each.values.values() for each in factors if each.key == "pretraining"):
        none, n = sum(value == 0 for value in values), len(values)
        if none and none < n:
            return [
                f"pretraining: {none} of {n} treebanks are of languages without any (0); r and slope are mostly theirs"
            ]
    return []


def similarity_and_gain(table: TreebankTable, system: str) -> Correlation | None:
    """Returns how a system's gain over its base goes with the similarity of the transfer language (figure 2, top)."""
    return go_together(similarity(table), gains(table, system))


def similarity(table: TreebankTable) -> Factor:
    """Returns how like the nearest training language is to each treebank's."""
    values = {row.treebank: row.similarity for row in table.total.rows if row.similarity is not None}
    return Factor("similarity", "similarity of the nearest training language (URIEL)", "similarity", values)


def factors(
    table: TreebankTable, facts: Mapping[str, Facts], *, encoder: str, training: Sequence[str] = ()
) -> tuple[Factor, ...]:
    """Returns the properties of figure 2, and what stands beside them: domains covered, pieces per word, unknown words.

    Domains are covered by all training treebanks together, or by those of the transfer language (what section 6 tries);
    both are left out where the facts of a training treebank are missing.

    `encoder`: its name, which decides whose pretraining counts. `training`: treebanks whose domains are covered.
    """
    treebanks = [row.treebank for row in table.total.rows]
    known = {treebank: facts[treebank] for treebank in treebanks if treebank in facts}
    trained = [facts[name] for name in training] if facts.keys() >= set(training) else []
    tests = {name: each.splits["test"] for name, each in known.items() if "test" in each.splits}
    pieces = {name: n for name, test in tests.items() if (n := test.pieces_per_word) is not None}
    unknown = {name: n for name, test in tests.items() if (n := test.unknown_words) is not None}
    cut = " and ".join(sorted({test.pieces.encoder for test in tests.values() if test.pieces is not None}))
    covered = {name: n for name, each in known.items() if (n := domains_covered(each, trained)) is not None}
    by_transfer = {
        row.treebank: share
        for row in table.total.rows
        if row.treebank in known
        and (own := [each for each in trained if each.code == row.code])
        and (share := domains_covered(known[row.treebank], own)) is not None
    }
    domains = {name: float(len(each.genres)) for name, each in known.items() if each.genres}
    found = [
        similarity(table),
        _pretraining(treebanks, encoder),
        Factor("domains", "domains of the treebank (its README's genres)", "number of domains", domains),
        Factor(
            "covered", "share of its domains that training has", "share of domains covered", covered if trained else {}
        ),
        Factor(
            "transfer",
            "share of its domains that its transfer language's training has",
            "share by transfer",
            by_transfer,
        ),
        Factor("pieces", f"pieces per word ({cut})", "pieces per word", pieces),
        Factor("unknown", f"words with an unknown piece, % ({cut})", "% of unknown words", unknown),
    ]
    return tuple(factor for factor in found if factor.values)


def _pretraining(treebanks: Sequence[str], encoder: str) -> Factor:
    source = pretraining(encoder)
    values = {}
    for treebank in treebanks:
        try:
            amount = source.amounts.get(resolve(treebank).code, 0.0)
        except LanguageError:
            continue
        values[treebank] = math.log10(1 + amount)
    name = f"pretraining, log10 of {source.unit} ({source.source}; 0: none)"
    return Factor("pretraining", name, f"log10 of pretraining {source.unit}", values)
