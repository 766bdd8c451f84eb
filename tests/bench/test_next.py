"""The pool that bench/next.py draws holds no sentence that it scores, nor one twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.next import drawn
from sublingual.data.conllu import Sentence, write_conllu
from sublingual.selection import key_of


@pytest.fixture
def ud(tmp_path: Path) -> Callable[..., Path]:
    """Writes a treebank of the given splits, whose sentences are words between spaces; returns the folder it is in."""

    def write(**splits: list[str]) -> Path:
        folder = tmp_path / "UD_Swedish-Toy"
        folder.mkdir()
        for split, texts in splits.items():
            write_conllu([sentence(text) for text in texts], folder / f"sv_toy-ud-{split}.conllu")
        return tmp_path

    return write


def sentence(text: str) -> Sentence:
    words = text.split()
    return Sentence.from_words(words, heads=[0, *[1] * (len(words) - 1)], labels=["root", *["dep"] * (len(words) - 1)])


def texts(sentences: list[Sentence]) -> list[str]:
    return sorted(" ".join(s.words) for s in sentences)


def test_a_scored_sentence_is_not_in_the_pool_whatever_its_case_and_digits(ud: Callable[..., Path]) -> None:
    dev = ["Katten sover", "KATTEN sover", "I dag 17", "Hunden springer", "i dag 31"]
    folder = ud(dev=dev, test=["katten sover", "I dag 20"])
    pool, scored = drawn("UD_Swedish-Toy", 0, ud=folder, n_pool=10, n_scored=2)
    assert texts(scored) == ["I dag 20", "katten sover"]
    assert texts(pool) == ["Hunden springer"]


def test_of_sentences_alike_one_is_in_the_pool(ud: Callable[..., Path]) -> None:
    folder = ud(dev=["Bil 1", "bil 2", "BIL 3", "Buss 1"], test=["Katten sover"])
    pool, _ = drawn("UD_Swedish-Toy", 0, ud=folder, n_pool=10, n_scored=1)
    assert sorted(key_of(s)[0] for s in pool) == ["bil", "buss"]


@pytest.mark.parametrize("seed", range(5))
def test_without_dev_pool_and_scored_share_the_test_sentences(seed: int, ud: Callable[..., Path]) -> None:
    folder = ud(test=[word for i in range(10) for word in (f"Ord{chr(97 + i)} 1", f"ord{chr(97 + i)} 2")])
    pool, scored = drawn("UD_Swedish-Toy", seed, ud=folder, n_pool=4, n_scored=5)
    assert (len(pool), len(scored)) == (4, 5)
    assert {key_of(s) for s in pool}.isdisjoint(key_of(s) for s in scored)
