"""Comparisons of systems: Student's tests by scipy, planted variances, the closed test, and how often nothing is found."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from jaxtyping import Float
from scipy import stats

from sublingual.analysis.records import Run
from sublingual.analysis.statistics import Paired, _half_and_p, _Side, compare_runs, compare_systems, holm
from sublingual.errors import DataError

MakeRun = Callable[..., Run]
Scores = Float[np.ndarray, "treebanks supports training"]


def runs_of(las: Scores, system: str, training: Sequence[int]) -> list[Run]:
    return [
        Run(system, f"t{treebank}", support, seed, "nearest", "no", 0.9, 20.0, float(las[treebank, support, i]))
        for treebank, support in np.ndindex(las.shape[:2])
        for i, seed in enumerate(training)
    ]


def compared(a: Scores, b: Scores, *, training_b: Sequence[int] | None = None) -> Paired:
    first = runs_of(a, "a", range(a.shape[2]))
    second = runs_of(b, "b", training_b or range(b.shape[2]))
    return compare_runs(first, second, names=("a", "b"))


def few(n_treebanks: int, n_supports: int, n_training: int, *, seed: int = 3) -> tuple[Scores, Scores]:
    generator = np.random.default_rng(seed)
    shape = (n_treebanks, n_supports, n_training)
    a = generator.normal(40, 5, shape).clip(0, 100)
    return a, (a + generator.normal(0.7, 2, shape)).clip(0, 100)


def test_one_training_run_has_student_s_test_over_treebanks() -> None:
    a, b = few(8, 3, 1)
    exact = stats.ttest_rel(b.mean(axis=(1, 2)), a.mean(axis=(1, 2)))
    las = compared(a, b).las
    assert las.p_value == pytest.approx(exact.pvalue, rel=1e-3)
    assert (las.low, las.high) == pytest.approx(tuple(exact.confidence_interval(0.95)), rel=1e-3)


def test_training_runs_have_student_s_interval() -> None:
    """Treebanks and supports alike: only the training runs differ, and systems of the same seeds are paired."""
    rng = np.random.default_rng(6)
    a, b = (np.broadcast_to(rng.normal(40, 2, n), (5, 2, n)) for n in (4, 4))
    of_runs = (b - a)[0, 0]
    low, high = stats.t.interval(0.95, 3, loc=of_runs.mean(), scale=stats.sem(of_runs))
    las = compared(a, b).las
    assert (las.low, las.high) == pytest.approx((low, high), rel=1e-3)
    assert las.p_value == pytest.approx(stats.ttest_1samp(of_runs, 0).pvalue, rel=1e-3)
    apart = compared(a, b, training_b=[6, 7, 8, 9]).las
    welch = stats.ttest_ind(b[0, 0], a[0, 0], equal_var=False)
    assert (apart.low, apart.high) == pytest.approx(tuple(welch.confidence_interval(0.95)), rel=1e-3)
    assert apart.p_value == pytest.approx(welch.pvalue, rel=1e-3)


def test_a_single_treebank_stands_for_itself_and_its_supports_are_drawn() -> None:
    a, b = few(1, 6, 1)
    exact = stats.ttest_rel(b[0, :, 0], a[0, :, 0])
    assert compared(a, b).las.p_value == pytest.approx(exact.pvalue, rel=1e-3)
    alone = compared(a[:, :1], b[:, :1]).las
    assert (alone.low, alone.high, alone.p_value) == (alone.difference, alone.difference, 1.0)


def test_the_variance_is_that_of_an_analysis_of_both_effects_at_once() -> None:
    """By the mean squares as textbooks have them: treebanks + runs - what is left, over all scores."""
    a, b = few(9, 1, 4)
    b = b + np.random.default_rng(2).normal(0, 3, (9, 1, 1)) + np.random.default_rng(3).normal(0, 2, (1, 1, 4))
    d = (b - a)[:, 0]
    columns = {"treebank": np.repeat(np.arange(9), 4), "run": np.tile(np.arange(4), 9)}
    design = np.column_stack([np.ones(36), *(np.eye(9)[columns["treebank"]].T[1:]), *(np.eye(4)[columns["run"]].T[1:])])
    left = d.ravel() - design @ np.linalg.lstsq(design, d.ravel(), rcond=None)[0]
    rest = float(left @ left) / 24
    treebanks, runs = 4 * d.mean(axis=1).var(ddof=1), 9 * d.mean(axis=0).var(ddof=1)
    variance = (treebanks + runs - rest) / 36
    free = (treebanks + runs - rest) ** 2 / (treebanks**2 / 8 + runs**2 / 3 + rest**2 / 24)
    half = stats.t.ppf(0.975, free) * variance**0.5
    las = compared(a, b).las
    assert (las.high - las.low) / 2 == pytest.approx(half, rel=1e-3)
    assert las.p_value == pytest.approx(2 * stats.t.sf(abs(d.mean()) / variance**0.5, free), rel=2e-3)


def test_p_values_know_of_the_training_runs() -> None:
    """The same mean differences by treebank, but one lucky training run of three made them."""
    a = np.full((10, 2, 3), 40.0)
    steady, lucky = a + 1, a + np.array([0.0, 0.0, 3.0])
    assert compared(a, steady).las.p_value < 0.02
    assert compared(a, lucky).las.p_value > 0.2
    assert compared(a, lucky.mean(axis=2, keepdims=True)).las.p_value < 0.02  # nobody can know


def test_training_runs_of_other_seeds_are_drawn_apart() -> None:
    lift = np.array([0.0, 4.0, 8.0])
    a = np.full((6, 2, 3), 40.0) + lift
    together = compared(a, a + 1).las
    assert (together.low, together.high) == (pytest.approx(1), pytest.approx(1))
    apart = compared(a, a + 1, training_b=[7, 8, 9]).las
    assert apart.low < -8 < 10 < apart.high


def test_equal_systems_do_not_differ() -> None:
    a, _ = few(5, 3, 2)
    las = compared(a, a).las
    assert (las.difference, las.low, las.high, las.p_value) == (0, 0, 0, 1)


def test_a_planted_difference_is_found() -> None:
    a, _ = few(30, 3, 2)
    b = a + 2 + np.random.default_rng(1).normal(0, 0.5, a.shape)
    las = compared(a, b).las
    assert 0 < las.low < las.difference < las.high
    assert las.p_value <= 0.01


@pytest.mark.parametrize("shape", [(12, 3, 3), (30, 1, 3), (30, 1, 2), (12, 1, 3), (86, 1, 5), (7, 1, 3)])
@pytest.mark.parametrize("moves", [(0.5, 0.0, 1.5), (0.5, 0.3, 1.5), (1.5, 0.3, 1.5), (0.0, 0.3, 1.5)])
def test_systems_as_good_as_each_other_differ_in_one_of_twenty(
    shape: tuple[int, int, int], moves: tuple[float, float, float]
) -> None:
    """Treebanks, training runs and each run on each treebank (with a support set of its own) move the difference: by about as
    much as in results/twelve and results/eighteen (0.5, 0.3 or less, 1.5)."""
    n_treebanks, _, n_training = shape
    of_treebank, of_run, rest = moves
    generator = np.random.default_rng(8)
    d = generator.normal(0, of_treebank, (300, n_treebanks, 1, 1)) + generator.normal(
        0, of_run, (300, 1, 1, n_training)
    )
    d = d + generator.normal(0, rest, (300, *shape))
    zero = np.zeros(shape)
    found = []
    for each in d:
        sides = (_Side((*range(n_training),), tuple(las)) for las in (zero, each))
        half, p = _half_and_p(*sides)
        found.append((abs(each.mean()) <= half, p < 0.05))
    covered, small = np.mean(found, axis=0)
    assert covered >= 0.92
    assert small == pytest.approx(1 - covered)
    if n_training > 2 and n_treebanks >= 30:
        assert covered < 1  # nor is it so careful that nothing could be found


def test_the_other_order_gives_the_other_sign() -> None:
    a, b = few(5, 3, 2)
    one, other = compared(a, b).las, compared(b, a).las
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low))
    assert one.p_value == other.p_value


def test_only_pairs_that_all_training_runs_have_count() -> None:
    a, b = few(3, 3, 2)
    first, second = runs_of(a, "a", range(2)), runs_of(b, "b", range(2))
    kept = [run for run in second if (run.treebank, run.support_seed, run.training_seed) != ("t1", 2, 0)]
    kept = [run for run in kept if run.treebank != "t2"]
    found = compare_runs(first, kept, names=("a", "b"))
    assert (found.n_treebanks, found.n_pairs, found.n_left_out) == (2, 5, 4)
    of_treebanks = [(b - a)[0].mean(), (b - a)[1, :2].mean()]
    assert found.las.difference == pytest.approx(np.mean(of_treebanks))


def diagonal(las: Scores, system: str, training: Sequence[int]) -> list[Run]:
    """The runs of a study in which seed s both trains and draws the s-th support set."""
    return [
        run for run in runs_of(las, system, range(las.shape[2])) if run.support_seed == run.training_seed in training
    ]


def test_supports_that_belong_to_one_training_run_are_drawn_with_it() -> None:
    a, b = few(4, 3, 3)
    crossed = (np.stack([each[:, range(3), range(3)]], axis=1) for each in (a, b))  # one support, three training runs
    nested = compare_runs(diagonal(a, "a", range(3)), diagonal(b, "b", range(3)), names=("a", "b"))
    assert nested.las == compared(*crossed).las
    assert (nested.n_pairs, nested.n_left_out, nested.n_training, nested.caution) == (12, 0, 3, "")


def test_a_system_with_fewer_training_runs_of_own_supports_is_compared_on_those() -> None:
    a, b = few(4, 3, 3)
    found = compare_runs(diagonal(a, "a", range(3)), diagonal(b, "b", [1]), names=("a", "b"))
    assert found.las.difference == pytest.approx((b - a)[:, 1, 1].mean())
    assert (found.n_pairs, found.n_left_out) == (4, 8)
    assert found.caution == "one training run; intervals leave training variance out"


def test_treebanks_where_a_run_is_not_adapted_do_not_count() -> None:
    a, b = few(3, 2, 1)
    failed = Run("b", "t0", 1, 0, "nearest", "no", 0.9, 20.0, 90.0, is_adapted=False)
    second = [failed if run.key == failed.key else run for run in runs_of(b, "b", [0])]
    found = compare_runs(runs_of(a, "a", [0]), second, names=("a", "b"))
    assert (found.n_treebanks, found.n_pairs) == (2, 4)
    assert found.las.difference == pytest.approx((b - a)[1:].mean())


def test_one_training_run_is_said() -> None:
    a, b = few(3, 2, 2)
    assert compared(a, b).caution == ""
    one = compared(a, b[:, :, :1])
    assert one.caution == "one training run; intervals leave training variance out"
    assert (one.n_training, one.n_training_base) == (1, 2)


def test_systems_are_compared_with_their_bases_and_corrected_together() -> None:
    a, b = few(8, 2, 1)
    c = a + np.random.default_rng(5).normal(0.1, 2, a.shape)
    runs = [*runs_of(a, "a", [0]), *runs_of(b, "b", [0]), *runs_of(c, "c", [0])]
    found = compare_systems(runs, {"b": "a", "c": "a"})
    assert [(each.system, each.base) for each in found] == [("b", "a"), ("c", "a")]
    assert [each.holm for each in found] == holm([each.las.p_value for each in found])
    assert compare_systems(runs, {}) == ()
    order = np.random.default_rng(1).permutation(len(runs))
    again = compare_systems([runs[i] for i in order], {"c": "a", "b": "a"})
    assert again[1] == found[0]
    assert again[0] == found[1]


def test_holm_is_the_closed_test_with_bonferroni_s_bound() -> None:
    generator = np.random.default_rng(0)
    for n in range(1, 6):
        p = generator.random(n) ** 3
        if n > 2:
            p[1] = p[0]
        exact = [
            max(
                min(1.0, size * min(p[j] for j in others))
                for size in range(1, n + 1)
                for others in itertools.combinations(range(n), size)
                if i in others
            )
            for i in range(n)
        ]
        assert holm(p.tolist()) == pytest.approx(exact)
    assert holm([]) == []


def test_systems_without_a_common_pair_cannot_be_compared(run_of: MakeRun) -> None:
    first, second = [run_of("a", "x", 1.0)], [run_of("b", "x", 1.0, support_seed=1)]
    message = (
        "a and b have no treebank and support seed in common on which all their training runs are adapted; test both"
    )
    with pytest.raises(DataError, match=message):
        compare_runs(first, second, names=("a", "b"))
