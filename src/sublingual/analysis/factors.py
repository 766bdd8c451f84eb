"""What the gains go with (section 6, figure 2): correlation over treebanks of a system's gain with a property of theirs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from sublingual.analysis.tables import TreebankTable, difference
from sublingual.errors import DataError

LEAST = 4
"""Points below which the interval of a correlation is not defined."""


@dataclass(frozen=True)
class Correlation:
    """Pearson's r over n treebanks, and its 95 % interval by Fisher's transformation."""

    r: float
    low: float
    high: float
    n: int


def correlation(x: Sequence[float], y: Sequence[float]) -> Correlation:
    """Returns Pearson's r of the two; raises DataError for fewer than four points and where one never varies."""
    if len(x) < LEAST or np.ptp(x) == 0 or np.ptp(y) == 0:
        raise DataError(f"a correlation needs {LEAST} points or more that are not all alike; there are {len(x)}")
    r = float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1))
    if abs(r) == 1:
        return Correlation(r, r, r, len(x))
    half = NormalDist().inv_cdf(0.975) / math.sqrt(len(x) - 3)
    return Correlation(r, math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half), len(x))


def similarity_and_gain(table: TreebankTable, system: str) -> Correlation:
    """Returns how a system's gain over its base goes with the similarity of the transfer language (figure 2, top).

    Raises DataError as `correlation` does.
    """
    base = table.bases[system]
    found = [(row.similarity, d) for row in table.total.rows if (d := difference(row, system, base)) is not None]
    known = [(similarity, gain) for similarity, gain in found if similarity is not None]
    return correlation([similarity for similarity, _ in known], [gain for _, gain in known])
