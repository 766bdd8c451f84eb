"""Folds, counts, interval and choice: against plain loops, scipy, the bootstrap, and draws from a known population."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from sublingual.data.conllu import Sentence
from sublingual.errors import DataError
from sublingual.estimate import (
    Calibration,
    Sample,
    choose,
    counted,
    effective_number,
    estimate,
    folds,
    ratio_variance,
    right_words,
    t_quantile,
    t_two_sided,
)
from sublingual.scoring import sentence_counts

Demo = Callable[..., list[Sentence]]
EXACT = Calibration(curve=3.0, spread=0.0)


def cut(sentences: list[Sentence], *, n_folds: int = 5, repetitions: int = 1, seed: int = 0) -> list[tuple[int, ...]]:
    made = folds(sentences, n_folds=n_folds, repetitions=repetitions, generator=np.random.default_rng(seed))
    return [fold.held_out for fold in made]


def sample_of(words: list[int], zero: list[int], right: list[float], n_train: float = 16) -> Sample:
    columns = (np.array(column, dtype=float) for column in (words, zero, right, [n_train] * len(words)))
    return Sample(*columns)


# folds


def test_each_repetition_holds_every_sentence_out_once(demo: Demo) -> None:
    found = cut(demo("Swedish", 20), repetitions=3)
    assert len(found) == 15
    for k in range(3):
        assert sorted(i for fold in found[5 * k : 5 * k + 5] for i in fold) == list(range(20))


def test_repetitions_differ_and_more_begin_with_those_of_fewer(demo: Demo) -> None:
    three = cut(demo("Swedish", 20), repetitions=3)
    assert three[:10] == cut(demo("Swedish", 20), repetitions=2)
    assert three[:5] != three[5:10]


def test_folds_are_of_about_the_same_number_of_words(demo: Demo) -> None:
    sentences = demo("Swedish", 20)
    sizes = [sum(len(sentences[i].words) for i in fold) for fold in cut(sentences)]
    assert {len(fold) for fold in cut(sentences)} == {4}
    assert max(sizes) - min(sizes) <= max(len(s.words) for s in sentences)


def test_sentences_of_the_same_words_are_held_out_together(demo: Demo) -> None:
    sentences = demo("Swedish", 8) * 2
    for fold in cut(sentences, n_folds=4):
        assert {i % 8 for i in fold if i < 8} == {i % 8 for i in fold if i >= 8}


def test_sentences_without_annotation_are_never_held_out(demo: Demo) -> None:
    bare = Sentence.from_words(["Hej", "du"])
    assert sorted(i for fold in cut([bare, *demo("Swedish", 6), bare]) for i in fold) == [1, 2, 3, 4, 5, 6]


def test_with_fewer_sentences_than_folds_each_is_a_fold(demo: Demo) -> None:
    assert sorted(cut(demo("Swedish", 3))) == [(0,), (1,), (2,)]


def test_fewer_than_two_different_sentences_are_refused(demo: Demo) -> None:
    with pytest.raises(DataError, match="1 annotated sentences that differ: an estimate needs two or more"):
        cut(demo("Swedish", 1) * 4)


# what counts and what is right


def test_right_words_are_those_of_the_conll_score(demo: Demo) -> None:
    gold = demo("Swedish", 20)
    chain = [s.with_tree(range(len(s.words)), ["root", *["nsubj:pass"] * (len(s.words) - 1)]) for s in gold]
    found = [int(right_words(g, p.heads, p.labels).sum()) for g, p in zip(gold, chain, strict=True)]
    assert found == sentence_counts(gold, chain)["las"].tolist()
    assert [int(counted(g).sum()) for g in gold] == [len(g.words) for g in gold]


def test_words_without_head_or_label_do_not_count() -> None:
    gold = Sentence.from_words(["a", "b", "c"], heads=[0, None, 1], labels=["root", None, "obj"])
    assert counted(gold).tolist() == [True, False, True]
    assert right_words(gold, (0, 1, 1), ("root", "obj", "obj:x")).tolist() == [True, False, True]
    assert right_words(gold, (0, 1, 2), ("root", "obj", "obj")).tolist() == [True, False, False]


# the interval


@pytest.mark.parametrize("free", [1.0, 1.3, 2.0, 3.7, 10.0, 40.0, 1000.0, 2e5])
def test_quantiles_and_tails_are_students(free: float) -> None:
    for p in (0.5, 0.8, 0.975, 0.9999):
        assert t_quantile(p, free=free) == pytest.approx(student.ppf(p, free), rel=2e-4, abs=1e-9)
    for t in (0.0, -0.4, 2.0, 13.0):
        assert t_two_sided(t, free=free) == pytest.approx(2 * student.sf(abs(t), free), rel=1e-3, abs=1e-9)


def test_with_endless_degrees_of_freedom_student_is_normal() -> None:
    assert t_quantile(0.975, free=math.inf) == pytest.approx(1.959964, abs=1e-5)
    assert t_two_sided(1.959964, free=math.inf) == pytest.approx(0.05, abs=1e-5)


def test_the_variance_of_the_ratio_is_that_of_the_bootstrap() -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(4, 30, size=40).astype(float)
    right = rng.binomial(words.astype(int), rng.beta(3, 2, size=40)).astype(float)
    drawn = rng.integers(40, size=(20_000, 40))
    ratios = right[drawn].sum(axis=1) / words[drawn].sum(axis=1)
    assert ratio_variance(right, words) == pytest.approx(ratios.var(), rel=0.1)


def test_sentences_of_one_length_all_count() -> None:
    assert effective_number(np.full(20, 7.0)) == pytest.approx(20)
    assert effective_number(np.array([100.0, *[1.0] * 19])) == pytest.approx(119**2 / 10_019, abs=0.6)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """Sentences of random lengths, each of a difficulty of its own: 20 of them, and what all of them would give."""
    rng = np.random.default_rng(1)
    n_cases, truth = 1500, 0.6
    covered = naive = 0
    for _ in range(n_cases):
        words = rng.integers(4, 30, size=20)
        right = rng.binomial(words, rng.beta(6 * truth, 6 * (1 - truth), size=20))
        found = estimate(sample_of(words.tolist(), right.tolist(), right.tolist()), n=20, calibration=EXACT)
        covered += found.low <= 100 * truth <= found.high
        p = right.sum() / words.sum()
        naive += abs(p - truth) <= 1.96 * (p * (1 - p) / words.sum()) ** 0.5
    assert 0.93 < covered / n_cases < 0.97
    assert naive / n_cases < 0.85  # words taken as independent do not


def test_the_gain_is_stretched_to_the_whole_set() -> None:
    sample = sample_of([10, 10], [2, 4], [5, 7])
    found = estimate(sample, n=20, calibration=EXACT)
    stretch = np.log1p(20 / 3) / np.log1p(16 / 3)
    assert found.raw == pytest.approx(60)
    assert found.zero_shot == pytest.approx(30)
    assert found.las == pytest.approx(30 + 30 * stretch)


def test_without_a_gain_nothing_is_stretched() -> None:
    found = estimate(sample_of([10, 10], [6, 8], [5, 7]), n=20, calibration=EXACT)
    assert found.las == found.raw == pytest.approx(60)


def test_the_spread_comes_on_top_of_the_sampling_of_sentences() -> None:
    sample = sample_of([10] * 20, [4] * 20, [5, 7] * 10)
    narrow = estimate(sample, n=20, calibration=EXACT)
    wide = estimate(sample, n=20, calibration=replace(EXACT, spread=3.0))
    assert wide.las == narrow.las
    assert wide.margin == pytest.approx(np.hypot(narrow.margin, 1.96 * 3), rel=0.1)


@pytest.mark.parametrize("right", [0, 10])
def test_the_interval_stays_between_0_and_100(right: int) -> None:
    found = estimate(sample_of([10] * 5, [right] * 5, [right] * 5), n=5, calibration=Calibration(spread=4.0))
    assert (
        (found.low, found.high) == (0.0, pytest.approx(7.84, abs=0.1))
        if not right
        else (
            pytest.approx(92.16, abs=0.1),
            100.0,
        )
    )
    assert found.margin == pytest.approx(7.84, abs=0.1)


def test_one_held_out_sentence_gives_no_interval() -> None:
    with pytest.raises(DataError, match="1 held-out sentences: an interval needs two or more"):
        estimate(sample_of([10], [3], [5]), n=20)


# choosing


def test_a_clear_lead_is_chosen() -> None:
    assert choose(np.array([[5.0] * 20, [6.0] * 20, [4.0] * 20])) == 1


def test_a_lead_that_may_be_chance_is_not() -> None:
    lead = np.array([3.0, -3.0] * 9 + [1.0, 1.0])
    assert choose(np.stack([np.full(20, 5.0), 5 + lead])) == 0


def test_no_lead_and_no_sentences_leave_the_default() -> None:
    assert choose(np.full((3, 10), 4.0)) == 0
    assert choose(np.array([[1.0], [9.0]])) == 0
