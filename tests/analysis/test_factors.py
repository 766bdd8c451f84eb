"""Correlations against scipy, and figure 2 of the paper from its own rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from sublingual.analysis.factors import correlation, similarity_and_gain
from sublingual.analysis.paper import SYSTEMS, paper_runs
from sublingual.analysis.records import Run
from sublingual.analysis.tables import bases_of, treebank_table
from sublingual.errors import DataError


def test_r_and_its_interval_are_scipy_s() -> None:
    generator = np.random.default_rng(2)
    x = generator.normal(size=30)
    y = 0.4 * x + generator.normal(size=30)
    found, expected = correlation(x.tolist(), y.tolist()), stats.pearsonr(x, y)
    assert found.r == pytest.approx(expected.statistic)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.n == 30


def test_a_straight_line_has_r_of_one() -> None:
    found = correlation([1.0, 2.0, 3.0, 4.0], [8.0, 6.0, 4.0, 2.0])
    assert (found.r, found.low, found.high) == pytest.approx((-1, -1, -1))


@pytest.mark.parametrize(("x", "y"), [([1.0, 2.0, 3.0], [1.0, 2.0, 4.0]), ([1.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0])])
def test_too_few_points_or_none_that_vary_are_refused(x: list[float], y: list[float]) -> None:
    with pytest.raises(DataError, match=r"a correlation needs 4 points or more that are not all alike; there are \d"):
        correlation(x, y)


@pytest.mark.parametrize(
    ("system", "r"),
    [("nonep-static", 0.32), ("nonep-dynamic", 0.12), ("meta-static", -0.01), ("meta-dynamic", -0.31)],
)
def test_the_paper_s_gains_go_with_similarity_as_figure_2_says(system: str, r: float) -> None:
    """docs/protocol.md 5: static gains from near languages, meta-learned dynamic from far ones."""
    table = treebank_table(paper_runs(), bases=bases_of(SYSTEMS, "full"))
    found = similarity_and_gain(table, system)
    assert found.n == 86
    assert round(found.r, 2) == r
    assert (found.low > 0 or found.high < 0) == (abs(r) > 0.3)


def test_treebanks_without_similarity_are_left_out(run_of: Callable[..., Run]) -> None:
    known = {f"t{i}": i / 10 for i in range(5)}
    runs = [run_of("a", name, 10.0, similarity=similarity) for name, similarity in known.items()]
    runs += [run_of("b", name, 10.0 + 20 * s, similarity=s) for name, s in known.items()]
    runs += [run_of(system, "u", 30.0, code=None, similarity=None) for system in ("a", "b")]
    assert similarity_and_gain(treebank_table(runs, bases={"b": "a"}), "b").n == 5
