"""Support sets: where they are drawn from, that they are repeatable, and that nothing of them is scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from sublingual.data.conllu import Sentence, write_conllu
from sublingual.data.support import SUPPORT_SIZE, FewShot, draw_support
from sublingual.data.treebanks import Treebank, find, treebank_at
from sublingual.errors import ConfigError, DataError

Make = Callable[..., Treebank]


def sentence(n: int, *, words: str | None = None) -> Sentence:
    forms = (words or f"sentence number {n}").split()
    return Sentence.from_words(
        forms, heads=[0] + [1] * (len(forms) - 1), labels=["root"] + ["dep"] * (len(forms) - 1), sent_id=f"s{n}"
    )


def sentences(first: int, last: int) -> list[Sentence]:
    return [sentence(n) for n in range(first, last)]


@pytest.fixture
def treebank(tmp_path: Path) -> Make:
    """Writes a treebank of these splits."""

    def make(**splits: list[Sentence]) -> Treebank:
        folder = tmp_path / "UD_Faroese-Own"
        folder.mkdir()
        for split, content in splits.items():
            write_conllu(content, folder / f"fo_own-ud-{split}.conllu")
        return treebank_at(folder)

    return make


def draw(bank: Treebank, *, seed: int = 0, n: int = SUPPORT_SIZE, keep_repeated: bool = False) -> FewShot:
    return draw_support(bank, bank.sentences("test"), seed=seed, n=n, keep_repeated=keep_repeated)


def test_support_is_from_dev_where_there_is_one_and_all_of_test_is_scored(treebank: Make) -> None:
    drawn = draw(treebank(dev=sentences(100, 150), test=sentences(0, 30)))
    assert drawn.source == "dev"
    assert len({s.sent_id for s in drawn.support}) == 20
    assert {s.sent_id for s in drawn.support} <= {f"s{n}" for n in range(100, 150)}
    assert drawn.rest == tuple(range(30))
    assert drawn.n_repeated == 0


def test_without_dev_support_is_taken_out_of_test(treebank: Make) -> None:
    test = sentences(0, 50)
    drawn = draw(treebank(test=test))
    assert drawn.source == "test"
    scored = [test[i].sent_id for i in drawn.rest]
    assert Counter(scored) + Counter(s.sent_id for s in drawn.support) == Counter(s.sent_id for s in test)
    assert list(drawn.rest) == sorted(drawn.rest)


@pytest.mark.parametrize("splits", [["test"], ["dev", "test"]])
def test_the_same_seed_gives_the_same_sentences_and_another_seed_others(treebank: Make, splits: list[str]) -> None:
    bank = treebank(**{split: sentences(100 * n, 100 * n + 60) for n, split in enumerate(splits)})
    draws = [draw(bank, seed=seed) for seed in (1, 1, 2)]
    assert draws[0] == draws[1]
    assert draws[0].support != draws[2].support


def test_support_from_dev_does_not_depend_on_the_test_file(treebank: Make) -> None:
    bank = treebank(dev=sentences(100, 150), test=sentences(0, 30))
    test = bank.sentences("test")
    assert draw_support(bank, test[:7], seed=3).support == draw_support(bank, test, seed=3).support


def test_every_sentence_of_the_pool_is_drawn_by_some_seed(treebank: Make) -> None:
    bank = treebank(test=sentences(0, 40))
    drawn = Counter(s.sent_id for seed in range(60) for s in draw(bank, seed=seed).support)
    assert len(drawn) == 40
    assert max(drawn.values()) < 50  # 30 on the average, with a deviation of 4


def test_test_sentences_with_the_words_of_a_support_sentence_are_left_out_and_counted(treebank: Make) -> None:
    dev = [sentence(100 + n, words=f"dev {n}") for n in range(20)]
    test = [*sentences(0, 10), sentence(50, words="dev 3"), sentence(51, words="dev 3"), sentence(52, words="Dev 3")]
    bank = treebank(dev=dev, test=test)
    drawn = draw(bank)
    assert drawn.n_repeated == 2
    assert [test[i].sent_id for i in drawn.rest] == [*(f"s{n}" for n in range(10)), "s52"]
    kept = draw(bank, keep_repeated=True)
    assert (kept.n_repeated, kept.rest, kept.support) == (0, tuple(range(13)), drawn.support)


def test_a_support_sentence_out_of_test_is_never_scored_even_with_repeated_ones(treebank: Make) -> None:
    test = [sentence(n, words=f"word {n % 10}") for n in range(30)]
    bank = treebank(test=test)
    plain, kept = draw(bank, n=5), draw(bank, n=5, keep_repeated=True)
    support = {s.sent_id for s in plain.support}
    assert {test[i].sent_id for i in kept.rest} == {s.sent_id for s in test} - support
    words = {s.words for s in plain.support}
    assert [i for i, s in enumerate(test) if s.words not in words] == list(plain.rest)
    assert plain.n_repeated == 25 - len(plain.rest)
    assert plain.n_repeated > 0


@pytest.mark.data
@pytest.mark.parametrize(("name", "n_test", "n_alike"), [("Bhojpuri-BHTB", 357, 177), ("Akkadian-RIAO", 1874, 411)])
def test_real_test_files_repeat_sentences_and_no_scored_one_has_the_words_of_the_support(
    ud: Path, name: str, n_test: int, n_alike: int
) -> None:
    bank = find(ud, f"UD_{name}")
    test = bank.sentences("test")
    times = Counter(s.words for s in test)
    assert (len(test), sum(n for n in times.values() if n > 1)) == (n_test, n_alike)
    left_out = 0
    for seed in range(5):
        drawn = draw(bank, seed=seed)
        assert drawn.source == "test"
        known = {s.words for s in drawn.support}
        assert not known & {test[i].words for i in drawn.rest}
        assert len(drawn.rest) == n_test - sum(times[words] for words in known)
        assert len(drawn.rest) + len(drawn.support) + drawn.n_repeated == n_test
        left_out += drawn.n_repeated
    assert left_out > 0


def test_a_small_dev_is_used_whole(treebank: Make) -> None:
    dev = sentences(100, 107)
    drawn = draw(treebank(dev=dev, test=sentences(0, 30)))
    assert sorted(s.sent_id or "" for s in drawn.support) == [s.sent_id for s in dev]
    assert drawn.source == "dev"


@pytest.mark.parametrize("n_test", [3, 20])
def test_nothing_left_to_score_is_an_error(treebank: Make, n_test: int) -> None:
    bank = treebank(test=sentences(0, n_test))
    message = f"UD_Faroese-Own: no test sentence is left beside the {n_test} of the support set; draw fewer"
    with pytest.raises(DataError, match=message):
        draw(bank)


def test_one_sentence_left_is_scored(treebank: Make) -> None:
    assert len(draw(treebank(test=sentences(0, 21))).rest) == 1


def test_a_reserve_is_never_scored_whatever_the_size_of_the_support(treebank: Make) -> None:
    bank = treebank(test=sentences(0, 50))
    test = bank.sentences("test")
    whole = draw_support(bank, test, seed=1, n=30)
    for n in (5, 10, 30):
        drawn = draw_support(bank, test, seed=1, n=n, reserve=30)
        assert drawn.support == whole.support[:n]
        assert drawn.rest == whole.rest


def test_with_a_dev_split_a_reserve_keeps_its_repeated_sentences_out(treebank: Make) -> None:
    dev = [sentence(n, words=f"word {n % 10}") for n in range(20)]
    bank = treebank(dev=dev, test=[sentence(n, words=f"word {n % 10}") for n in range(12)] + sentences(20, 23))
    test = bank.sentences("test")
    few, all_ten = (draw_support(bank, test, seed=0, n=n, reserve=20) for n in (1, 20))
    assert few.rest == all_ten.rest == (12, 13, 14)


def test_a_reserve_that_cannot_be_had_is_refused(treebank: Make) -> None:
    bank = treebank(test=sentences(0, 50))
    test = bank.sentences("test")
    with pytest.raises(ConfigError, match="a reserve of 5 holds no support of 20; give --reserve 20 or more"):
        draw_support(bank, test, seed=0, reserve=5)
    with pytest.raises(DataError, match="its test split has 50 sentences, fewer than the reserve of 100; leave it out"):
        draw_support(bank, test, seed=0, reserve=100)
