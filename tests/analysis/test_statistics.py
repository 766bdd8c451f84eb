"""Comparisons of systems: all resamples and all flips of a few runs, the closed test, and how often nothing is found."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from jaxtyping import Float
from scipy import stats

from sublingual.analysis.records import Run
from sublingual.analysis.statistics import Paired, compare_runs, compare_systems, holm
from sublingual.errors import ConfigError, DataError

MakeRun = Callable[..., Run]
Scores = Float[np.ndarray, "treebanks supports training"]


def runs_of(las: Scores, system: str, training: Sequence[int]) -> list[Run]:
    return [
        Run(system, f"t{treebank}", support, seed, "nearest", "no", 0.9, 20.0, float(las[treebank, support, i]))
        for treebank, support in np.ndindex(las.shape[:2])
        for i, seed in enumerate(training)
    ]


def compared(
    a: Scores, b: Scores, *, training_b: Sequence[int] | None = None, seed: int = 0, n_resamples: int = 20_000
) -> Paired:
    first = runs_of(a, "a", range(a.shape[2]))
    second = runs_of(b, "b", training_b or range(b.shape[2]))
    generator = np.random.default_rng(seed)
    return compare_runs(first, second, names=("a", "b"), generator=generator, n_resamples=n_resamples)


def few(n_treebanks: int, n_supports: int, n_training: int, *, seed: int = 3) -> tuple[Scores, Scores]:
    generator = np.random.default_rng(seed)
    shape = (n_treebanks, n_supports, n_training)
    a = generator.normal(40, 5, shape).clip(0, 100)
    return a, (a + generator.normal(0.7, 2, shape)).clip(0, 100)


def draws(n: int, size: int) -> list[tuple[int, ...]]:
    return list(itertools.product(range(n), repeat=size))


def every_resample(differences: Scores) -> Float[np.ndarray, " resamples"]:
    """The difference in each equally likely draw of treebanks and supports in each, of one training run."""
    n_treebanks, n_supports, _ = differences.shape
    found = []
    for treebanks in draws(n_treebanks, n_treebanks):
        for supports in itertools.product(draws(n_supports, n_supports), repeat=n_treebanks):
            places = [(t, s) for t, drawn in zip(treebanks, supports, strict=True) for s in drawn]
            found.append(np.mean([differences[t, s] for t, s in places]))
    return np.array(found)


def test_intervals_are_those_of_all_resamples() -> None:
    a, b = few(3, 2, 1)
    exact = every_resample(b - a)
    found = compared(a, b).las
    for bound, share in ((found.low, 0.025), (found.high, 0.975)):
        below, up_to = np.mean(exact < bound - 1e-9), np.mean(exact <= bound + 1e-9)
        assert below - 0.006 <= share <= up_to + 0.006  # 5 sigma
    assert found.difference == pytest.approx(exact.mean())


def test_training_runs_have_student_s_interval() -> None:
    """Treebanks and supports alike: only the training runs differ, and systems of the same seeds are paired."""
    rng = np.random.default_rng(6)
    a, b = (np.broadcast_to(rng.normal(40, 2, n), (5, 2, n)) for n in (4, 4))
    of_runs = (b - a)[0, 0]
    low, high = stats.t.interval(0.95, 3, loc=of_runs.mean(), scale=stats.sem(of_runs))
    las = compared(a, b).las
    assert (las.low, las.high) == (pytest.approx(low, abs=0.3), pytest.approx(high, abs=0.3))
    apart = compared(a, b, training_b=[6, 7, 8, 9]).las
    t = stats.t.rvs(3, size=(2, 200_000), random_state=1)
    by_hand = of_runs.mean() + t[1] * stats.sem(b[0, 0]) - t[0] * stats.sem(a[0, 0])
    assert (apart.low, apart.high) == pytest.approx(tuple(np.quantile(by_hand, [0.025, 0.975])), abs=0.4)


def test_p_values_are_those_of_all_flips() -> None:
    a, b = few(8, 3, 1)
    differences = (b - a).mean(axis=(1, 2))
    exact = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert 0.05 < exact < 0.95
    found = compared(a, b)
    assert found.las.p_value == pytest.approx(exact, abs=0.018)  # 5 sigma
    by_hand = [np.mean(np.array(signs) * differences) for signs in itertools.product([1, -1], repeat=8)]
    assert exact == pytest.approx(np.mean(np.abs(by_hand) >= abs(differences.mean()) - 1e-12))


def test_p_values_know_of_the_training_runs() -> None:
    """The same mean differences by treebank, but one lucky training run of three made them."""
    a = np.full((10, 2, 3), 40.0)
    steady, lucky = a + 1, a + np.array([0.0, 0.0, 3.0])
    assert compared(a, steady, n_resamples=999).las.p_value < 0.02
    assert compared(a, lucky, n_resamples=999).las.p_value > 0.2
    assert compared(a, lucky.mean(axis=2, keepdims=True), n_resamples=999).las.p_value < 0.02  # nobody can know


def test_training_runs_of_other_seeds_are_drawn_apart() -> None:
    lift = np.array([0.0, 4.0, 8.0])
    a = np.full((6, 2, 3), 40.0) + lift
    together = compared(a, a + 1).las
    assert (together.low, together.high) == (pytest.approx(1), pytest.approx(1))
    apart = compared(a, a + 1, training_b=[7, 8, 9]).las
    assert apart.low < -9 < 11 < apart.high


def test_equal_systems_do_not_differ() -> None:
    a, _ = few(5, 3, 2)
    las = compared(a, a, n_resamples=200).las
    assert (las.difference, las.low, las.high, las.p_value) == (0, 0, 0, 1)


def test_a_planted_difference_is_found() -> None:
    a, _ = few(30, 3, 2)
    b = a + 2 + np.random.default_rng(1).normal(0, 0.5, a.shape)
    las = compared(a, b, n_resamples=999).las
    assert 0 < las.low < las.difference < las.high
    assert las.p_value <= 0.01  # two training runs, Student's t of one degree of freedom


def test_systems_as_good_as_each_other_seldom_differ() -> None:
    """12 treebanks x 3 supports x 3 training runs that move all treebanks at once, as fine-tuning does."""
    generator = np.random.default_rng(8)
    covered, small = [], []
    for _ in range(60):
        level = generator.normal(40, 10, (12, 1, 1)) + generator.normal(0, 4, (12, 3, 1))

        def system(level: Scores = level) -> Scores:
            of_treebank, of_training = generator.normal(0, 1.5, (12, 1, 1)), generator.normal(0, 1, (1, 1, 3))
            return (level + of_treebank + of_training + generator.normal(0, 1, (12, 3, 3))).clip(0, 100)

        las = compared(
            system(), system(), training_b=[5, 6, 7], seed=int(generator.integers(1000)), n_resamples=199
        ).las
        covered.append(las.low <= 0 <= las.high)
        small.append(las.p_value <= 0.05)
    assert np.mean(covered) >= 0.9
    assert np.mean(small) <= 0.1


def test_the_same_seed_gives_the_same_numbers() -> None:
    a, b = few(4, 2, 2)
    first, second, third = (compared(a, b, seed=seed, n_resamples=300) for seed in (4, 4, 5))
    assert first == second != third


def test_the_other_order_gives_the_other_sign() -> None:
    a, b = few(5, 3, 2)
    one, other = compared(a, b, n_resamples=400).las, compared(b, a, n_resamples=400).las
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low))
    assert one.p_value == other.p_value


def test_only_pairs_that_all_training_runs_have_count() -> None:
    a, b = few(3, 3, 2)
    first, second = runs_of(a, "a", range(2)), runs_of(b, "b", range(2))
    kept = [run for run in second if (run.treebank, run.support_seed, run.training_seed) != ("t1", 2, 0)]
    kept = [run for run in kept if run.treebank != "t2"]
    found = compare_runs(first, kept, names=("a", "b"), generator=np.random.default_rng(0), n_resamples=99)
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
    nested = compare_runs(
        diagonal(a, "a", range(3)), diagonal(b, "b", range(3)), names=("a", "b"), generator=np.random.default_rng(0)
    )
    assert nested.las == compared(*crossed, n_resamples=10_000).las
    assert (nested.n_pairs, nested.n_left_out, nested.n_training, nested.caution) == (12, 0, 3, "")


def test_a_system_with_fewer_training_runs_of_own_supports_is_compared_on_those() -> None:
    a, b = few(4, 3, 3)
    found = compare_runs(
        diagonal(a, "a", range(3)), diagonal(b, "b", [1]), names=("a", "b"), generator=np.random.default_rng(0)
    )
    assert found.las.difference == pytest.approx((b - a)[:, 1, 1].mean())
    assert (found.n_pairs, found.n_left_out) == (4, 8)
    assert found.caution == "one training run; intervals leave training variance out"


def test_treebanks_where_a_run_is_not_adapted_do_not_count() -> None:
    a, b = few(3, 2, 1)
    failed = Run("b", "t0", 1, 0, "nearest", "no", 0.9, 20.0, 90.0, is_adapted=False)
    second = [failed if run.key == failed.key else run for run in runs_of(b, "b", [0])]
    found = compare_runs(
        runs_of(a, "a", [0]), second, names=("a", "b"), generator=np.random.default_rng(0), n_resamples=99
    )
    assert (found.n_treebanks, found.n_pairs) == (2, 4)
    assert found.las.difference == pytest.approx((b - a)[1:].mean())


def test_one_training_run_is_said() -> None:
    a, b = few(3, 2, 2)
    assert compared(a, b, n_resamples=9).caution == ""
    one = compared(a, b[:, :, :1], n_resamples=9)
    assert one.caution == "one training run; intervals leave training variance out"
    assert (one.n_training, one.n_training_base) == (1, 2)


def test_systems_are_compared_with_their_bases_and_corrected_together() -> None:
    a, b = few(8, 2, 1)
    c = a + np.random.default_rng(5).normal(0.1, 2, a.shape)
    runs = [*runs_of(a, "a", [0]), *runs_of(b, "b", [0]), *runs_of(c, "c", [0])]
    found = compare_systems(runs, {"b": "a", "c": "a"}, generator=np.random.default_rng(0), n_resamples=500)
    assert [(each.system, each.base) for each in found] == [("b", "a"), ("c", "a")]
    assert [each.holm for each in found] == holm([each.las.p_value for each in found])
    assert compare_systems(runs, {}, generator=np.random.default_rng(0)) == ()
    order = np.random.default_rng(1).permutation(len(runs))
    again = compare_systems(
        [runs[i] for i in order], {"c": "a", "b": "a"}, generator=np.random.default_rng(0), n_resamples=500
    )
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
        compare_runs(first, second, names=("a", "b"), generator=np.random.default_rng(0))


def test_no_resamples_are_refused() -> None:
    a, b = few(2, 2, 1)
    with pytest.raises(ConfigError, match="n_resamples 0: at least 1 is needed"):
        compared(a, b, n_resamples=0)
