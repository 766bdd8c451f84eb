"""Correlations against scipy, and figure 2 of the paper from its own rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from sublingual.analysis.factor_sheets import factor_rows, factor_sheet
from sublingual.analysis.factors import correlation, factors, gains, go_together, similarity_and_gain, slope
from sublingual.analysis.facts import Facts
from sublingual.analysis.paper import SYSTEMS, paper_runs
from sublingual.analysis.records import Run
from sublingual.analysis.tables import bases_of, treebank_table
from sublingual.data.treebanks import genres_of, treebanks
from sublingual.errors import ConfigError


def test_r_and_its_interval_are_scipy_s() -> None:
    generator = np.random.default_rng(2)
    x = generator.normal(size=30)
    y = 0.4 * x + generator.normal(size=30)
    found, expected = correlation(x.tolist(), y.tolist()), stats.pearsonr(x, y)
    assert found.r == pytest.approx(expected.statistic)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.n == 30


@pytest.mark.parametrize(("n", "within"), [(4, 0.04), (5, 0.01), (30, 1e-4)])
def test_a_slope_and_its_interval_are_scipy_s(n: int, within: float) -> None:
    """But for our quantile of Student's t, which is an expansion."""
    generator = np.random.default_rng(n)
    x = generator.normal(3, 2, size=n)
    y = 0.4 * x + generator.normal(size=n)
    found, expected = slope(x.tolist(), y.tolist()), stats.linregress(x, y)
    half = stats.t.ppf(0.975, n - 2) * expected.stderr
    assert found.slope == pytest.approx(expected.slope)
    assert found.slope == pytest.approx(np.polyfit(x, y, 1)[0])
    assert (found.low + found.high) / 2 == pytest.approx(expected.slope)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=within)


def test_a_straight_line_has_r_of_one() -> None:
    found = correlation([1.0, 2.0, 3.0, 4.0], [8.0, 6.0, 4.0, 2.0])
    assert (found.r, found.low, found.high) == pytest.approx((-1, -1, -1))


@pytest.mark.parametrize(("x", "y"), [([1.0, 2.0, 3.0], [1.0, 2.0, 4.0]), ([1.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0])])
def test_too_few_points_or_none_that_vary_have_no_correlation(x: list[float], y: list[float]) -> None:
    assert correlation(x, y) is None
    assert slope(x, y) is None


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


def test_the_paper_s_gains_go_with_pretraining_as_figure_2_says() -> None:
    """docs/protocol.md 6: +.24 and -.51."""
    table = treebank_table(paper_runs(), bases=bases_of(SYSTEMS, "full"))
    found = {factor.key: factor for factor in factors(table, {}, encoder="bert-base-multilingual-cased")}
    assert found.keys() == {"similarity", "pretraining"}  # domains and pieces need facts
    amounts = found["pretraining"].values
    assert sum(value > 0 for value in amounts.values()) == 35
    r = {name: go_together(found["pretraining"], gains(table, name)).r for name in ("nonep-static", "meta-dynamic")}
    assert {name: round(value, 2) for name, value in r.items()} == {"nonep-static": 0.24, "meta-dynamic": -0.51}
    # Coverage, not amount: docs/protocol.md 6.
    covered = [gain for t, gain in gains(table, "meta-dynamic").items() if amounts[t] > 0]
    assert np.mean(covered) == pytest.approx(-3.38, abs=0.01)


@pytest.mark.data
def test_the_paper_s_gains_go_with_domains_as_figure_2_says(ud: Path) -> None:
    """Static gains with the number of domains, meta-learned dynamic is insensitive to it."""
    table = treebank_table(paper_runs(), bases=bases_of(SYSTEMS, "full"))
    known = {t.name: Facts(t.name, t.code, None, genres_of(t.folder), {}) for t in treebanks(ud)}
    found = {f.key: f for f in factors(table, known, encoder="bert-base-multilingual-cased")}["domains"]
    static, dynamic = (go_together(found, gains(table, name)) for name in ("nonep-static", "meta-dynamic"))
    assert static.low > 0
    assert dynamic.low < 0 < dynamic.high


def test_domains_are_covered_only_where_all_training_treebanks_are_known(run_of: Callable[..., Run]) -> None:
    runs = [run_of("a", f"t{i}", 10.0, code=code) for i, code in enumerate(("ar", "ar", "no", "no"))]
    table = treebank_table(runs)
    genres = {
        "t0": ("news",),
        "t1": ("news", "bible"),
        "t2": ("bible",),
        "t3": ("web",),
        "ar": ("news",),
        "no": ("bible",),
    }
    known = {name: Facts(name, name, None, own, {}) for name, own in genres.items()}
    found = {factor.key: factor.values for factor in factors(table, known, encoder="x", training=("ar", "no"))}
    assert found["domains"] == {"t0": 1, "t1": 2, "t2": 1, "t3": 1}
    assert found["covered"] == {"t0": 1, "t1": 1, "t2": 1, "t3": 0}
    assert found["transfer"] == {"t0": 1, "t1": 0.5, "t2": 1, "t3": 0}
    some = {factor.key for factor in factors(table, known, encoder="x", training=("ar", "no", "missing"))}
    assert not some & {"covered", "transfer"}


def test_a_sheet_has_a_line_a_factor_and_needs_a_base(run_of: Callable[..., Run]) -> None:
    runs = [run_of("a", f"t{i}", 10.0, similarity=i / 10) for i in range(5)]
    runs += [run_of("b", f"t{i}", 10.0 + i * i, similarity=i / 10) for i in range(5)]
    table = treebank_table(runs, bases={"b": "a"})
    found = factors(table, {}, encoder="bundled")
    sheet = factor_sheet(table, found)
    expected = stats.pearsonr([0, 0.1, 0.2, 0.3, 0.4], [0, 1, 4, 9, 16]).statistic
    assert sheet.rows[0][1].startswith(f"r {expected:+.2f} (")
    assert factor_rows(table, found)[0]["r"] == pytest.approx(expected)
    with pytest.raises(ConfigError, match="gains need a base to be gains over: give --base full"):
        factor_sheet(treebank_table(runs), found)
