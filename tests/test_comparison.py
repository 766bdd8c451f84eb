"""The oracles of comparison: all swaps and all resamples of a few sentences, each scored on its own."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from jaxtyping import Float

from sublingual import comparison
from sublingual.comparison import COMPARED, compare
from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError, DataError
from sublingual.scoring import score

LABELS = ["nsubj", "obj", "case", "punct", "obl"]


def chain(n_words: int) -> list[int]:
    return [*range(n_words)]


def gold_file(n_sentences: int, *, generator: np.random.Generator) -> list[Sentence]:
    sentences = []
    for n_words in generator.integers(2, 9, size=n_sentences).tolist():
        labels = ["root", *generator.choice(LABELS, size=n_words - 1).tolist()]
        sentences.append(Sentence.from_words(["w"] * n_words, heads=chain(n_words), labels=labels))
    return sentences


def parsed(gold: Sequence[Sentence], *, generator: np.random.Generator, errors: float) -> list[Sentence]:
    """Return parses in which a share of the words hangs on the root's word, or bears another label."""
    system = []
    for sentence in gold:
        heads, labels = chain(len(sentence.words)), [str(label) for label in sentence.labels]
        for word in range(2, len(heads)):
            if generator.random() < errors:
                heads[word] = 1
        for word in range(1, len(heads)):
            if generator.random() < errors:
                labels[word] = str(generator.choice(LABELS))
        system.append(sentence.with_tree(heads, labels))
    return system


def differences(gold: list[Sentence], a: list[Sentence], b: list[Sentence]) -> Float[np.ndarray, " metrics"]:
    first, second = score(gold, a), score(gold, b)
    return np.array([getattr(second, metric).f1 - getattr(first, metric).f1 for metric in COMPARED])


def few_sentences() -> tuple[list[Sentence], list[Sentence], list[Sentence]]:
    generator = np.random.default_rng(11)
    gold = gold_file(6, generator=generator)
    return gold, parsed(gold, generator=generator, errors=0.5), parsed(gold, generator=generator, errors=0.3)


def test_p_values_are_those_of_all_swaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "DRAWS_AT_ONCE", 1000)  # many blocks
    gold, a, b = few_sentences()
    observed = np.abs(differences(gold, a, b))
    as_large = []
    for swaps in itertools.product([False, True], repeat=len(gold)):
        one = [y if swap else x for x, y, swap in zip(a, b, swaps, strict=True)]
        other = [x if swap else y for x, y, swap in zip(a, b, swaps, strict=True)]
        as_large.append(np.abs(differences(gold, one, other)) >= observed - 1e-9)
    exact = np.mean(as_large, axis=0)  # [metrics]
    assert np.all((exact > 0.05) & (exact < 0.95))
    found = compare(gold, a, b, generator=np.random.default_rng(0), n_resamples=20_000)
    assert [getattr(found, metric).p_value for metric in COMPARED] == pytest.approx(
        exact.tolist(), abs=0.018
    )  # 5 sigma


def test_intervals_are_those_of_all_resamples() -> None:
    gold, a, b = (side[:4] for side in few_sentences())
    every = []
    for drawn in itertools.product(range(len(gold)), repeat=len(gold)):
        every.append(differences(*([side[place] for place in drawn] for side in (gold, a, b))))
    exact = np.array(every)  # [resamples, metrics]
    found = compare(gold, a, b, generator=np.random.default_rng(0), n_resamples=20_000)
    for place, metric in enumerate(COMPARED):
        difference = getattr(found, metric)
        for bound, share in ((difference.low, 0.025), (difference.high, 0.975)):
            below, up_to = np.mean(exact[:, place] < bound - 1e-9), np.mean(exact[:, place] <= bound + 1e-9)
            assert below - 0.006 <= share <= up_to + 0.006  # 5 sigma


def test_the_difference_is_that_of_the_scores() -> None:
    gold, a, b = few_sentences()
    found = compare(gold, a, b, generator=np.random.default_rng(0), n_resamples=100)
    for place, metric in enumerate(COMPARED):
        difference = getattr(found, metric)
        assert difference.a == pytest.approx(getattr(score(gold, a), metric).f1)
        assert difference.b == pytest.approx(getattr(score(gold, b), metric).f1)
        assert difference.difference == pytest.approx(differences(gold, a, b)[place])


def test_equal_parses_do_not_differ() -> None:
    gold, a, _ = few_sentences()
    found = compare(gold, a, a, generator=np.random.default_rng(0), n_resamples=500)
    for metric in COMPARED:
        difference = getattr(found, metric)
        assert (difference.difference, difference.low, difference.high, difference.p_value) == (0, 0, 0, 1)


def test_a_planted_difference_is_found() -> None:
    generator = np.random.default_rng(1)
    gold = gold_file(300, generator=generator)
    a, b = parsed(gold, generator=generator, errors=0.4), parsed(gold, generator=generator, errors=0.2)
    found = compare(gold, a, b, generator=generator, n_resamples=999)
    for metric in COMPARED:
        difference = getattr(found, metric)
        assert 0 < difference.low < difference.difference < difference.high
        assert difference.p_value == 1 / 1000


def test_two_parsers_as_good_as_each_other_seldom_differ() -> None:
    generator = np.random.default_rng(2)
    gold = gold_file(30, generator=generator)
    p_values, covered = [], []
    for _ in range(120):
        a, b = (parsed(gold, generator=generator, errors=0.3) for _ in range(2))
        las = compare(gold, a, b, generator=generator, n_resamples=99).las
        p_values.append(las.p_value)
        covered.append(las.low <= 0 <= las.high)
    assert 0.01 <= np.mean(np.array(p_values) <= 0.05) <= 0.1
    assert 0.4 < np.mean(p_values) < 0.6
    assert 0.88 <= np.mean(covered) <= 0.99


def test_the_other_order_gives_the_other_sign() -> None:
    gold, a, b = few_sentences()
    one = compare(gold, a, b, generator=np.random.default_rng(3), n_resamples=400)
    other = compare(gold, b, a, generator=np.random.default_rng(3), n_resamples=400)
    for metric in COMPARED:
        there, back = getattr(one, metric), getattr(other, metric)
        assert (there.difference, there.low, there.high) == pytest.approx((-back.difference, -back.high, -back.low))
        assert there.p_value == back.p_value


def test_the_same_seed_gives_the_same_numbers() -> None:
    gold, a, b = few_sentences()
    runs = [compare(gold, a, b, generator=np.random.default_rng(seed), n_resamples=300) for seed in (4, 4, 5)]
    assert runs[0] == runs[1] != runs[2]


def test_the_plain_form_holds_every_number() -> None:
    gold, a, b = few_sentences()
    found = compare(gold, a, b, generator=np.random.default_rng(0), n_resamples=50)
    plain = found.as_dict()
    assert (plain["n_sentences"], plain["n_resamples"]) == (6, 50)
    assert plain["las"]["p_value"] == found.las.p_value


def test_no_sentences_cannot_be_compared() -> None:
    with pytest.raises(DataError, match="0 sentences: there is nothing to compare"):
        compare([], [], [], generator=np.random.default_rng(0))


def test_no_resamples_are_refused() -> None:
    gold, a, b = few_sentences()
    with pytest.raises(ConfigError, match="n_resamples 0: at least 1 is needed"):
        compare(gold, a, b, generator=np.random.default_rng(0), n_resamples=0)


def test_parses_of_other_files_cannot_be_compared() -> None:
    gold, a, b = few_sentences()
    with pytest.raises(DataError, match="without a counterpart, gold has 6 sentences and system 5"):
        compare(gold, a, b[:-1], generator=np.random.default_rng(0))
