"""Oracles of marginals: sums over all trees, the gradient of the Laplacian's determinant, bounds far outside floats."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jaxtyping import Float, Int

from sublingual.decoding import decode
from sublingual.errors import ModelError
from sublingual.marginals import marginals

Scores = Float[np.ndarray, "n n"]


def is_tree(heads: tuple[int, ...]) -> bool:
    for word in range(1, len(heads) + 1):
        seen = set()
        while word and word not in seen:
            seen.add(word)
            word = heads[word - 1]
        if word:
            return False
    return heads.count(0) == 1


@functools.cache
def all_trees(n_words: int) -> Int[np.ndarray, "trees words"]:
    return np.array(list(filter(is_tree, itertools.product(range(n_words + 1), repeat=n_words))))


def brute_force(arcs: Scores) -> tuple[Scores, float]:
    n_words = len(arcs) - 1
    trees = all_trees(n_words)
    total = arcs[np.arange(1, n_words + 1), trees].sum(axis=1)
    top = total.max()
    weights = np.exp(total - top)
    found = np.zeros_like(arcs)
    for tree, weight in zip(trees, weights / weights.sum(), strict=True):
        found[np.arange(1, n_words + 1), tree] += weight
    return found, float(top + np.log(weights.sum()))


def one(arcs: Scores) -> tuple[Scores, float]:
    found = marginals(arcs[None], np.array([len(arcs) - 1]))
    return found.arcs[0], float(found.log_z[0])


def squares(elements: st.SearchStrategy[float], *, most: int = 5) -> st.SearchStrategy[Scores]:
    return st.integers(1, most).flatmap(lambda n: arrays(np.float64, (n + 1, n + 1), elements=elements))


def check_sums(found: Scores, *, atol: float = 1e-12) -> None:
    assert found.min() >= 0
    np.testing.assert_allclose(found[1:].sum(axis=1), 1, atol=atol)
    np.testing.assert_allclose(found[:, 0].sum(), 1, atol=atol)
    assert not found[0].any()
    assert not np.diag(found).any()


@given(squares(st.floats(-30, 30)))
def test_probabilities_are_those_of_all_trees(arcs: Scores) -> None:
    found, log_z = one(arcs)
    expected, expected_log_z = brute_force(arcs)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert log_z == pytest.approx(expected_log_z, abs=1e-9)


@given(squares(st.sampled_from([-1e5, -5e3, -710.0, -40.0, 0.0, 1.0, 40.0, 710.0, 5e3, 1e5])))
def test_no_score_is_too_great_or_too_small(arcs: Scores) -> None:
    found, log_z = one(arcs)
    expected, expected_log_z = brute_force(arcs)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert log_z == pytest.approx(expected_log_z, rel=1e-12, abs=1e-9)


@given(squares(st.sampled_from([-np.inf, -3.0, 0.0, 2.0]), most=4))
def test_minus_infinity_forbids_an_arc(arcs: Scores) -> None:
    n_words = len(arcs) - 1
    if np.isneginf(arcs[np.arange(1, n_words + 1), all_trees(n_words)].sum(axis=1).max()):
        with pytest.raises(ModelError, match="sentence 1 of 1 in the batch: .* admit no tree with a single root"):
            one(arcs)
        return
    found, log_z = one(arcs)
    expected, expected_log_z = brute_force(arcs)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert log_z == pytest.approx(expected_log_z, abs=1e-9)


@given(st.integers(1, 40), st.integers(0, 1000), st.sampled_from([0.1, 3.0, 1e3, 1e6]))
def test_heads_of_a_word_and_words_under_the_root_sum_to_one(n_words: int, seed: int, scale: float) -> None:
    found, _ = one(np.random.default_rng(seed).normal(scale=scale, size=(n_words + 1, n_words + 1)))
    check_sums(found, atol=1e-12 * max(1.0, scale))


@pytest.mark.parametrize("n_words", [1, 2, 7, 30])
def test_probabilities_are_the_gradient_of_the_log_determinant(n_words: int) -> None:
    """Koo et al. 2007, section 3.2: the Laplacian of the words, its first row replaced by the root's scores."""
    arcs = np.random.default_rng(n_words).normal(scale=2.0, size=(n_words + 1, n_words + 1))
    scores = torch.from_numpy(arcs).requires_grad_()
    weights = scores[1:, 1:].exp() * (1 - torch.eye(n_words, dtype=torch.float64))  # [dependent, head]
    laplacian = torch.diag(weights.sum(dim=1)) - weights
    laplacian = torch.cat([scores[1:, :1].exp(), laplacian[:, 1:]], dim=1)
    log_z = torch.linalg.slogdet(laplacian)[1]
    (expected,) = torch.autograd.grad(log_z, scores)
    found, found_log_z = one(arcs)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-9)
    assert found_log_z == pytest.approx(float(log_z.detach()), abs=1e-9)


def test_sentences_of_a_batch_do_not_see_each_other_or_the_padding() -> None:
    rng = np.random.default_rng(0)
    lengths = np.array([3, 1, 6, 5])
    batch = np.full((4, 7, 7), np.nan)
    sentences = [rng.normal(size=(n + 1, n + 1)) for n in lengths]
    for i, arcs in enumerate(sentences):
        batch[i, : len(arcs), : len(arcs)] = arcs
    found = marginals(batch, lengths)
    for i, arcs in enumerate(sentences):
        n = len(arcs)
        alone, log_z = one(arcs)
        np.testing.assert_allclose(found.arcs[i, :n, :n], alone, atol=1e-13)
        assert found.log_z[i] == pytest.approx(log_z, abs=1e-12)
        assert not found.arcs[i, n:].any()
        assert not found.arcs[i, :, n:].any()


@given(squares(st.floats(-5, 5)), st.integers(0, 1000))
def test_a_constant_for_a_word_or_for_the_root_changes_nothing(arcs: Scores, seed: int) -> None:
    moved = arcs + np.random.default_rng(seed).normal(scale=100, size=(len(arcs), 1))
    moved[:, 0] += 300.0
    np.testing.assert_allclose(one(moved)[0], one(arcs)[0], atol=1e-10)


def test_sharp_scores_leave_the_decoded_tree_alone() -> None:
    arcs = np.random.default_rng(3).normal(size=(13, 13)) * 1e4
    found, _ = one(arcs)
    np.testing.assert_allclose(found[np.arange(1, 13), decode(arcs)], 1, atol=1e-9)


def test_single_precision_scores_give_double_precision_probabilities() -> None:
    arcs = np.random.default_rng(4).normal(size=(2, 5, 5)).astype(np.float32)
    found = marginals(arcs, np.array([4, 2])).arcs
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, marginals(arcs.astype(np.float64), np.array([4, 2])).arcs, atol=1e-15)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_refused(value: float) -> None:
    arcs = np.zeros((1, 3, 3))
    arcs[0, 1, 2] = value
    with pytest.raises(ModelError, match="the score of word 1 under head 2 is (nan|inf)"):
        marginals(arcs, np.array([2]))
