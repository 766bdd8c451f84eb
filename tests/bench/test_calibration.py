"""What bench/calibration.py counts, on words made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench.calibration import Bins, binned, calibration_error, errors_found, together


def bins(words: dict[int, int], mean: dict[int, float], right: dict[int, int]) -> Bins:
    return Bins(*(tuple(one.get(b, 0) for b in range(10)) for one in (words, mean, right)))


def test_words_fall_into_the_tenth_of_their_probability() -> None:
    probability = np.array([0.0, 0.04, 0.1, 0.55, 0.59, 0.99, 1.0])
    right = np.array([False, True, True, False, False, True, True])
    found = binned(probability, right)
    assert found == bins({0: 2, 1: 1, 5: 2, 9: 2}, {0: 0.02, 1: 0.1, 5: 0.57, 9: 0.995}, {0: 1, 1: 1, 9: 2})


def test_the_calibration_error_weighs_each_gap_by_its_words() -> None:
    found = bins({2: 30, 9: 10}, {2: 0.2, 9: 0.9}, {2: 12, 9: 8})  # gaps 0.4 - 0.2 and 0.9 - 0.8
    assert calibration_error(found) == pytest.approx(100 * (30 * 0.2 + 10 * 0.1) / 40)


def test_gaps_to_both_sides_do_not_cancel() -> None:
    assert calibration_error(bins({1: 10, 8: 10}, {1: 0.1, 8: 0.8}, {1: 3, 8: 6})) == pytest.approx(20)


def test_who_is_right_as_often_as_said_has_no_error() -> None:
    assert calibration_error(bins({0: 20, 7: 10}, {0: 0.05, 7: 0.7}, {0: 1, 7: 7})) == pytest.approx(0)


def test_bins_of_several_treebanks_are_those_of_all_their_words() -> None:
    rng = np.random.default_rng(0)
    probability, right = rng.random(200), rng.random(200) < 0.6
    halves = together([binned(probability[:80], right[:80]), binned(probability[80:], right[80:])])
    whole = binned(probability, right)
    assert (halves.words, halves.right) == (whole.words, whole.right)
    np.testing.assert_allclose(halves.mean, whole.mean, atol=2e-4)


def test_errors_found_are_those_of_the_tenth_most_doubted() -> None:
    probability = np.linspace(0.9, 0.1, 40)  # the last four are the most doubted
    right = np.ones(40, dtype=bool)
    right[[0, 20, 36, 38, 39]] = False
    assert errors_found(probability, right) == 3
    assert errors_found(1 - probability, right) == 1


def test_of_under_ten_words_none_is_doubted() -> None:
    assert errors_found(np.full(9, 0.1), np.zeros(9, dtype=bool)) == 0
