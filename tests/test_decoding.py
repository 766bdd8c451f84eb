"""Oracles of decoding: all trees of short sentences, NetworkX's arborescence for each root, ufal's Chu-Liu/Edmonds."""

from __future__ import annotations

import functools
import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jaxtyping import Float, Int
from ufal.chu_liu_edmonds import chu_liu_edmonds

from sublingual.decoding import decode, decode_batch, decode_labels
from sublingual.errors import ModelError

Scores = Float[np.ndarray, "n n"]
WORDS = st.integers(1, 6)


def single_root_tree(heads: tuple[int, ...]) -> bool:
    """Tell whether each word reaches the root and one word hangs from it, by walking."""
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
    return np.array(list(filter(single_root_tree, itertools.product(range(n_words + 1), repeat=n_words))))


def total(arcs: Scores, heads: Int[np.ndarray, " words"] | tuple[int, ...]) -> float:
    return float(sum(arcs[word, head] for word, head in enumerate(heads, start=1)))


def check_against_brute_force(arcs: Scores) -> Int[np.ndarray, " words"] | None:
    n_words = len(arcs) - 1
    best = arcs[np.arange(1, n_words + 1), all_trees(n_words)].sum(axis=1).max()
    if best == -np.inf:
        with pytest.raises(ModelError, match="admit no tree with a single root"):
            decode(arcs)
        return None
    heads = decode(arcs)
    assert single_root_tree(tuple(heads.tolist()))
    assert total(arcs, heads) == pytest.approx(best, abs=1e-9, rel=0)
    return heads


def square(elements: st.SearchStrategy[float]) -> st.SearchStrategy[Scores]:
    return WORDS.flatmap(lambda n: arrays(np.float64, (n + 1, n + 1), elements=elements))


def random_scores(generator: np.random.Generator, n_words: int) -> Scores:
    return generator.normal(size=(n_words + 1, n_words + 1))


def best_over_roots_by_ufal(arcs: Scores) -> float:
    """Return the best score, one run of ufal for each root (its NaN marks an arc that is not there)."""
    best = -np.inf
    for root in range(1, len(arcs)):
        one = np.array(arcs, dtype=np.float64)
        one[:, 0] = np.nan
        one[root] = np.nan
        one[root, 0] = arcs[root, 0]
        heads, _ = chu_liu_edmonds(one)
        assert single_root_tree(tuple(heads[1:]))
        best = max(best, total(arcs, tuple(heads[1:])))
    return best


def best_over_roots_by_networkx(arcs: Scores) -> float:
    best = -np.inf
    for root in range(1, len(arcs)):
        graph = nx.DiGraph()
        graph.add_edge(0, root, weight=arcs[root, 0])
        for word, head in itertools.permutations(range(1, len(arcs)), 2):
            graph.add_edge(head, word, weight=arcs[word, head])
        tree = nx.maximum_spanning_arborescence(graph)
        best = max(best, tree.size(weight="weight"))
    return best


@settings(max_examples=300, deadline=None)
@given(square(st.floats(-100, 100)))
def test_the_tree_is_the_best_of_all_trees(arcs: Scores) -> None:
    check_against_brute_force(arcs)


@settings(max_examples=300, deadline=None)
@given(square(st.sampled_from([0.0, 1.0, 2.0])))
def test_the_tree_is_the_best_of_all_trees_with_ties(arcs: Scores) -> None:
    check_against_brute_force(arcs)


@settings(max_examples=400, deadline=None)
@given(square(st.sampled_from([0.0, -1.0, -2.5, -np.inf, -np.inf, -np.inf])))
def test_the_tree_is_the_best_of_all_trees_with_forbidden_arcs(arcs: Scores) -> None:
    check_against_brute_force(arcs)


def test_forbidden_arcs_met_both_possible_and_impossible_sentences() -> None:
    generator = np.random.default_rng(0)
    outcomes = set()
    for n_words in generator.integers(2, 6, size=200):
        arcs = random_scores(generator, n_words)
        arcs[generator.random(arcs.shape) < 0.55] = -np.inf
        outcomes.add(check_against_brute_force(arcs) is None)
    assert outcomes == {True, False}


def test_the_tree_equals_that_of_ufal_with_each_root_on_a_thousand_matrices() -> None:
    generator = np.random.default_rng(1)
    for n_words in generator.integers(1, 16, size=1000):
        arcs = random_scores(generator, n_words)
        heads = decode(arcs)
        assert single_root_tree(tuple(heads.tolist()))
        assert total(arcs, heads) == pytest.approx(best_over_roots_by_ufal(arcs), abs=1e-9, rel=0)


def test_the_tree_equals_that_of_networkx_with_each_root() -> None:
    generator = np.random.default_rng(2)
    for n_words in (2, 3, 5, 8, 11):
        arcs = random_scores(generator, n_words)
        assert total(arcs, decode(arcs)) == pytest.approx(best_over_roots_by_networkx(arcs), abs=1e-9, rel=0)


@pytest.mark.parametrize("bonus", [-50.0, 0.0, 5.0, 50.0])
def test_the_root_is_single_however_root_arcs_score(bonus: float) -> None:
    generator = np.random.default_rng(3)
    for n_words in (1, 2, 7, 20):
        arcs = random_scores(generator, n_words)
        arcs[:, 0] += bonus
        heads = decode(arcs)
        assert single_root_tree(tuple(heads.tolist()))
        assert total(arcs, heads) == pytest.approx(best_over_roots_by_ufal(arcs), abs=1e-9, rel=0)


def test_small_differences_between_roots_survive_large_differences_elsewhere() -> None:
    """A penalty on root arcs, larger than every difference, would round 1e-9 away."""
    arcs = np.full((4, 4), -1e12)
    arcs[1:, 0] = [-3e-9, -1e-9, -2e-9]
    arcs[1:, 1:] = -1.0
    assert decode(arcs).tolist().index(0) == 1


def test_a_thousand_words_are_decoded_without_recursion() -> None:
    generator = np.random.default_rng(4)
    arcs = random_scores(generator, 1000)
    heads = decode(arcs)
    assert single_root_tree(tuple(heads.tolist()))
    loose = np.array(arcs)
    np.fill_diagonal(loose, -np.inf)
    assert total(arcs, heads) <= loose[1:].max(axis=1).sum()


def test_a_chain_that_only_one_root_allows_is_found() -> None:
    """All but the chain 1 <- 2 <- ... is forbidden, apart from cycles that score better."""
    n_words = 400
    arcs = np.full((n_words + 1, n_words + 1), -np.inf)
    for word in range(1, n_words):
        arcs[word, word + 1] = -5.0
        arcs[word + 1, word] = -1.0
    arcs[n_words, 0] = -9.0
    assert decode(arcs).tolist() == [*range(2, n_words + 1), 0]


def test_row_zero_and_the_diagonal_are_not_read() -> None:
    arcs = random_scores(np.random.default_rng(5), 9)
    expected = decode(arcs)
    arcs[0] = np.nan
    np.fill_diagonal(arcs, np.inf)
    assert decode(arcs).tolist() == expected.tolist()


def test_a_batch_gives_each_sentence_the_tree_it_has_alone() -> None:
    generator = np.random.default_rng(6)
    lengths = np.array([7, 1, 12, 3, 12, 5])
    arcs = np.full((len(lengths), 15, 15), np.nan, dtype=np.float32)  # what lies behind the end must not matter
    for sentence, n_words in enumerate(lengths):
        arcs[sentence, : n_words + 1, : n_words + 1] = random_scores(generator, n_words)
    batch = decode_batch(arcs, lengths)
    for sentence, n_words in enumerate(lengths):
        alone = decode(arcs[sentence, : n_words + 1, : n_words + 1])
        assert batch.heads[sentence, :n_words].tolist() == alone.tolist()
        assert not batch.heads[sentence, n_words:].any()


def test_only_sentences_whose_greedy_heads_are_no_tree_need_the_spanning_tree() -> None:
    generator = np.random.default_rng(7)
    arcs = np.stack([random_scores(generator, 3) for _ in range(200)])
    loose = np.array(arcs)
    loose[:, range(4), range(4)] = -np.inf
    greedy = loose[:, 1:].argmax(axis=2)
    trees = np.array([single_root_tree(tuple(heads)) for heads in greedy.tolist()])
    batch = decode_batch(arcs, np.full(200, 3))
    assert 0 < batch.n_spanning == np.count_nonzero(~trees) < 200
    assert np.array_equal(batch.heads[trees], greedy[trees])


def test_scores_are_not_changed() -> None:
    arcs = random_scores(np.random.default_rng(8), 12)
    before = arcs.copy()
    decode(arcs)
    assert np.array_equal(arcs, before)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_numbers_are_refused_by_place(value: float) -> None:
    arcs = np.zeros((3, 6, 6))
    arcs[1, 4, 2] = value
    with pytest.raises(ModelError, match=rf"sentence 2 of 3 .* word 4 under head 2 is {value}; .* --precision fp32"):
        decode_batch(arcs, np.array([5, 5, 5]))


def test_an_impossible_sentence_is_refused_by_place() -> None:
    arcs = np.zeros((2, 4, 4))
    arcs[1, :, 0] = -np.inf
    with pytest.raises(ModelError, match="sentence 2 of 2 .* admit no tree with a single root over its 3 words"):
        decode_batch(arcs, np.array([3, 3]))


def test_two_words_that_only_the_root_can_govern_are_refused() -> None:
    arcs = np.full((3, 3), -np.inf)
    arcs[1:, 0] = 0.0
    with pytest.raises(ModelError, match="sentence 1 of 1 .* single root"):
        decode(arcs)


@pytest.mark.parametrize("length", [0, 4])
def test_lengths_that_do_not_fit_are_refused(length: int) -> None:
    with pytest.raises(ModelError, match=rf"lengths \[3, {length}\] .* 1 to 3 words are allowed"):
        decode_batch(np.zeros((2, 4, 4)), np.array([3, length]))


def test_head_zero_has_the_label_root_and_no_other_word_has() -> None:
    generator = np.random.default_rng(9)
    label_scores = generator.normal(size=(50, 7))
    heads = generator.integers(0, 3, size=50)
    labels = decode_labels(label_scores, heads, root=4)
    for word in range(50):
        candidates = [label for label in range(7) if (label == 4) == (heads[word] == 0)]
        assert labels[word] == max(candidates, key=lambda label: label_scores[word, label])


def test_label_scores_that_are_not_numbers_are_refused() -> None:
    label_scores = np.zeros((3, 5))
    label_scores[2, 1] = np.nan
    with pytest.raises(ModelError, match="label score of word 3 for label 1 is nan"):
        decode_labels(label_scores, np.array([0, 1, 1]), root=0)


def test_a_word_that_could_only_be_labelled_root_is_refused() -> None:
    label_scores = np.full((2, 3), -np.inf)
    label_scores[:, 0] = 0.0
    with pytest.raises(ModelError, match="word 2 has a head but every label except root scores -inf"):
        decode_labels(label_scores, np.array([0, 1]), root=0)
