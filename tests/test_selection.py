"""What is chosen to annotate next: against determinants worked out one by one; lengths, repetitions, what is annotated."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from sublingual.confidence import Confident
from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError
from sublingual.selection import Wish, select

Demo = Callable[..., list[Sentence]]
ANY = Wish(n=1000, min_words=1, max_words=1000)


def known(sentence: Sentence, sure: float | Sequence[float]) -> Confident:
    """The sentence with its own tree, each word right with that probability."""
    n = len(sentence.words)
    each = np.broadcast_to(np.asarray(sure, dtype=float), (n,))
    heads = np.repeat((1 - each)[:, None] / n, n + 1, axis=1)
    heads[np.arange(n), [head or 0 for head in sentence.heads]] = each
    return Confident(sentence, heads, np.ones(n))


def words(text: str) -> Sentence:
    forms = text.split()
    return Sentence.from_words(forms, heads=range(len(forms)), labels=["root", *["dep"] * (len(forms) - 1)])


def places(pool: Sequence[Confident], wish: Wish = ANY, annotated: Sequence[Sentence] = ()) -> list[int]:
    return [one.place for one in select(pool, wish, annotated=annotated)[0]]


@pytest.mark.parametrize("n_known", [0, 3])
def test_each_choice_adds_most_to_the_determinant(demo: Demo, monkeypatch: pytest.MonkeyPatch, n_known: int) -> None:
    """The kernel is worth times likeness times worth (Kulesza and Taskar 2012); likeness from the module's own vectors."""
    from sublingual import selection

    rng = np.random.default_rng(0)
    sentences = demo("Swedish", 12 + n_known)
    annotated, rest = sentences[:n_known], sentences[n_known:]
    pool = [known(s, rng.uniform(0.2, 0.9)) for s in rest]
    vectors = selection._vectors([*annotated, *rest]).astype(float)
    worth = [1.0] * n_known + [float(np.sum(1 - one.words)) for one in pool]
    kernel = np.outer(worth, worth) * (vectors @ vectors.T)
    chosen = list(range(n_known))
    for _ in range(12):
        left = [i for i in range(len(kernel)) if i not in chosen]
        dets = [np.linalg.slogdet(kernel[np.ix_([*chosen, i], [*chosen, i])])[1] for i in left]
        chosen.append(left[int(np.argmax(dets))])
    assert places(pool, annotated=annotated) == [i - n_known for i in chosen[n_known:]]


def test_the_most_doubted_comes_first_by_number_of_words_or_by_share() -> None:
    pool = [known(words("a b c d e f g h"), 0.7), known(words("k l m"), 0.4), known(words("p q r s"), 0.99)]
    assert places(pool)[0] == 0  # 2.4 words probably wrong against 1.8
    assert places(pool, Wish(n_words=3, min_words=1))[0] == 1


def test_what_is_like_the_chosen_comes_after_what_is_not() -> None:
    pool = [known(words("the cat sleeps here ."), 0.3), known(words("the cat sleeps there ."), 0.31)]
    pool.append(known(words("who knows ?"), 0.1))
    assert places(pool) == [0, 2, 1]
    chosen, _ = select(pool, ANY)
    assert round(chosen[0].new, 2) == 1
    assert chosen[2].new < 0.5


def test_what_is_like_the_annotated_comes_after_what_is_not() -> None:
    pool = [known(words("the cat sleeps here ."), 0.4), known(words("who knows them ?"), 0.5)]
    assert places(pool) == [0, 1]
    assert places(pool, annotated=[words("the cat sleeps there .")]) == [1, 0]


def test_no_length_beyond_the_limits_no_repetition_nothing_annotated() -> None:
    texts = ["one two", "a b c d", "A B C D", "in 1998 he left", "in 2005 he left", "x y z", "v w x y z"]
    pool = [known(words(text), 0.5) for text in texts]
    chosen, left = select(pool, Wish(n=9, min_words=3, max_words=4), annotated=[words("X Y Z")])
    assert sorted(one.place for one in chosen) == [1, 3]
    assert (left.length, left.repeated, left.annotated) == (2, 2, 1)


def test_sentences_or_words_are_counted(demo: Demo) -> None:
    pool = [known(s, 0.5) for s in demo("Swedish", 20)]
    assert len(places(pool, Wish(n=5, min_words=1))) == 5
    chosen, _ = select(pool, Wish(n_words=30, min_words=1))
    lengths = [len(one.sentence.words) for one in chosen]
    assert sum(lengths[:-1]) < 30 <= sum(lengths)


def test_a_pool_without_doubt_or_without_sentences_is_no_fault(demo: Demo) -> None:
    assert sorted(places([known(s, 1.0) for s in demo("Swedish", 5)])) == [0, 1, 2, 3, 4]
    assert places([]) == []


def test_the_reason_names_doubt_novelty_and_the_most_doubted_words() -> None:
    tree = {"heads": [2, 0, 2, 3], "labels": ["nsubj", "root", "obj", "case"]}
    sentence = Sentence.from_words(["Dogs", "chase", "cats", "up"], **tree)  # type: ignore[arg-type]
    (one,), _ = select([known(sentence, [0.5, 0.9, 0.4, 0.2])], ANY)
    assert one.reason == (
        "2.0 of 4 words probably wrong, 100 % new; most doubted: 4 up (case of cats, 0.20), 3 cats (obj of chase, 0.40), "
        "1 Dogs (nsubj of chase, 0.50)"
    )


@pytest.mark.parametrize("wish", [{"n": 0}, {"n_words": 0}, {"min_words": 0}, {"min_words": 5, "max_words": 4}])
def test_impossible_wishes_are_refused(wish: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="choose one or more|there are none"):
        Wish(**wish)
