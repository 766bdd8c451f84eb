"""Table 5 from made-up cosines, against sums by hand; how conflicts and cosines go together."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import stdev
from typing import Any

import numpy as np
import pytest

from sublingual.analysis.conflicts import ConflictRun, conflict_run, conflict_table, deltas
from sublingual.analysis.intervals import Interval
from sublingual.analysis.stage2_sheets import conflict_rows, conflict_sheet
from sublingual.errors import ConfigError, DataError

PAIRS = ("ar-hi", "ar-it", "hi-it")


def made_up(rows: Sequence[Sequence[float]], *, system: str = "nonep-full", seed: int = 0) -> ConflictRun:
    steps = tuple(range(950, 950 + len(rows)))
    return ConflictRun(system, seed, PAIRS, steps, tuple(map(tuple, rows)), f"{system}-{seed}.json")


def table(*runs: ConflictRun, n: int = 999) -> Any:
    return conflict_table(runs, generator=np.random.default_rng(0), n_resamples=n)


FULL = made_up([[0.5, -0.1, -0.2], [0.1, 0.2, -0.3]])
OTHER = made_up([[0.5, 0.1, -0.2], [0.4, 0.2, 0.3]], system="nonep-static")


def test_conflicts_are_cosines_below_zero_and_deltas_are_against_full() -> None:
    assert FULL.conflicts == pytest.approx((2 / 3, 1 / 3))
    assert FULL.cosine == pytest.approx((0.2 / 3, 0.0))
    found = deltas(OTHER, FULL)
    assert found.fewer_conflicts == pytest.approx((1 / 3, 1 / 3))
    assert found.more_cosine == pytest.approx((0.2 / 3, 0.3))


def test_runs_of_other_lengths_are_not_compared() -> None:
    with pytest.raises(ConfigError, match=r"nonep-full-0.json and .* observed other languages or other steps"):
        deltas(made_up([[0.1, 0.2, 0.3]]), made_up([[0.1, 0.2, 0.3]] * 2))


def test_a_row_is_the_mean_over_seeds() -> None:
    second = made_up([[-0.1, -0.1, -0.1], [-0.1, -0.1, 0.3]], seed=1)
    (row,) = table(FULL, second)
    own = [100 * (2 / 3 + 1 / 3) / 2, 100 * (1 + 2 / 3) / 2]
    assert (row.system, row.seeds) == ("nonep-full", (0, 1))
    assert row.conflicts == pytest.approx(sum(own) / 2)
    assert row.conflicts_sd == pytest.approx(stdev(own))
    assert row.conflicts_interval == Interval(0.0, 100.0)  # two seeds say nothing: Student's t of one degree of freedom
    assert row.coupling is None
    (alone,) = table(FULL)
    assert (alone.conflicts_sd, alone.conflicts_interval) == (None, None)


def test_a_row_has_its_difference_to_the_full_runs_of_the_same_seeds() -> None:
    shift = (0.02, 0.03, 0.07)
    full = [made_up([[0.1 * seed, -0.1, -0.2]], seed=seed) for seed in range(3)]
    own = [
        made_up([[0.1 * seed + shift[seed], -0.1 + shift[seed], 0.1]], system="nonep-static", seed=seed)
        for seed in range(3)
    ]
    other = made_up([[0.9, 0.9, 0.9]], system="nonep-static", seed=9)
    first, static = table(*full, *own, other, n=20_000)
    assert (first.conflicts_gain, first.cosine_gain) == (None, None)
    assert static.conflicts_gain.mean == pytest.approx(-100 / 3)
    assert static.conflicts_gain.interval is None  # each is one pair less
    gains = [(2 * each + 0.3) / 3 for each in shift]
    assert static.cosine_gain.mean == pytest.approx(np.mean(gains))
    half = 4.303 * stdev(gains) / 3**0.5  # Student's t of two degrees of freedom
    assert static.cosine_gain.interval.low == pytest.approx(np.mean(gains) - half, rel=0.1)
    assert "(-33.3)" in conflict_sheet([static]).rows[0][2]
    assert conflict_rows([static])[0]["cosine_difference_low"] == static.cosine_gain.interval.low


def test_coupling_is_the_correlation_over_steps_with_the_full_run_of_the_same_seed() -> None:
    rng = np.random.default_rng(3)
    rows = {system: rng.normal(0, 0.2, (2, 50, 3)) for system in ("nonep-full", "nonep-static")}
    runs = [made_up(own[i], system=name, seed=i) for name, own in rows.items() for i in (0, 1)]
    (_, static) = table(*runs, made_up(rows["nonep-static"][0], system="nonep-static", seed=7))
    expected = []
    for i in (0, 1):
        full, own = rows["nonep-full"][i], rows["nonep-static"][i]
        fewer = (full < 0).mean(axis=1) - (own < 0).mean(axis=1)
        expected.append(np.corrcoef(fewer, own.mean(axis=1) - full.mean(axis=1))[0, 1])
    assert static.coupling.by_seed == pytest.approx(expected)
    assert static.coupling.r == pytest.approx(np.mean(expected))
    assert static.coupling.p_value == pytest.approx(1 / 1000)  # the same cosines are in both: some r is certain


def test_unrelated_steps_are_seldom_significant() -> None:
    """Cosines far above 0 but for one pair whose sign is drawn apart from the mean."""
    p_values = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sign = rng.choice([-1e-9, 1e-9], 30)
        level = rng.normal(0.5, 0.05, 30)
        own = made_up(np.stack([sign, level, level], axis=1).tolist(), system="nonep-static")
        full = made_up([[1e-9, 0.5, 0.5]] * 30)
        (_, row) = table(full, own, n=199)
        p_values.append(row.coupling.p_value)
    assert sum(p < 0.05 for p in p_values) <= 8  # 3 are expected; 9 or more come about once in 300
    assert max(p_values) > 0.5


def test_without_any_difference_there_is_no_correlation() -> None:
    same = ConflictRun("nonep-static", 0, FULL.pairs, FULL.steps, FULL.cosines, "x")
    assert table(FULL, same)[1].coupling.r is None


def test_a_system_s_seed_is_there_once() -> None:
    with pytest.raises(DataError, match=r"nonep-full-0.json: nonep-full, seed 0, is in nonep-full-0.json too"):
        table(FULL, made_up([[0.0, 0.0, 0.0]]))


def test_a_file_without_what_is_needed_is_refused() -> None:
    record = {"training_seed": 0, "pairs": ["a-b"], "steps": [{"step": 1, "cosines": [0.5]}]}
    with pytest.raises(DataError, match=r"c.json: system: field required; repeat that run of stage 2 with --conflicts"):
        conflict_run(record, "c.json")
    with pytest.raises(DataError, match="a step without a cosine for each of 2 pairs"):
        conflict_run({**record, "system": "x", "pairs": ["a-b", "a-c"]}, "c.json")
    run = conflict_run({**record, "system": "x"}, "c.json")
    assert (run.steps, run.cosines) == ((1,), ((0.5,),))


def test_the_sheet_has_the_paper_s_numbers_beside() -> None:
    sheet = conflict_sheet(table(FULL, OTHER))
    assert sheet.rows[0][:6] == ("nonep-full", "1", "50.0 %", "42 %", "0.033", "0.03")
    assert sheet.rows[1][3] == "26 %"
    assert sheet.rows[1][-1] == "+0.08"
    plain = conflict_rows(table(FULL, OTHER))
    assert plain[0]["conflicts"] == pytest.approx(50)
    assert (plain[0]["r"], plain[0]["conflicts_low"]) == (None, None)
