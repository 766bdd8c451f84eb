"""Words to pieces and windows, against a plain implementation and three kinds of tokenizers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizer, PreTrainedTokenizerFast

from sublingual.data.conllu import Sentence
from sublingual.data.vocabulary import LabelVocabulary
from sublingual.errors import EncoderError
from sublingual.model.encoder import Encoder
from sublingual.model.pieces import WordPieces, _spans
from sublingual.model.sources import PretrainedSource

SPECIAL_WORDS = [
    "<mask>",
    "<s>",
    "</s>",
    "<unk>",
    "<pad>",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[PAD]",
    "a<mask>b",
    "[MASK][CLS]",
]
INVISIBLE = ["\u200b", "\ufeff", "\u00ad", "\u200e", "\u2060", "\x7f", "\u200b\u200b"]
FAMILY_OF_KIND = {"wordpiece": "bert", "unigram": "xlm-roberta", "bytes": "roberta"}


@pytest.fixture(params=["wordpiece", "unigram", "bytes", "bundled"])
def pieces(request: pytest.FixtureRequest, folder_of: Callable[[str], Path], bundled: Encoder) -> WordPieces:
    if request.param == "bundled":
        return bundled.pieces
    return WordPieces(PretrainedSource(str(folder_of(FAMILY_OF_KIND[request.param]))).tokenizer(), limit=64)


def test_words_that_spell_special_pieces_are_cut_as_text(pieces: WordPieces) -> None:
    special = set(pieces.tokenizer.all_special_ids) - {pieces.unknown}
    assert len(special) == 4
    for word, ids in zip(SPECIAL_WORDS, pieces.of(SPECIAL_WORDS), strict=True):
        assert not special & set(ids), word
        assert len(ids) > 1 or ids == (pieces.unknown,), word


def test_unigrams_vocabulary_does_hold_special_pieces(folder_of: Callable[[str], Path]) -> None:
    """The trap that the test above is about: the tokenizer alone finds the mask piece in a text that spells it."""
    tokenizer = PretrainedSource(str(folder_of("xlm-roberta"))).tokenizer()
    tokenizer.backend_tokenizer.encode_special_tokens = True
    assert tokenizer.mask_token_id in tokenizer.backend_tokenizer.encode("<mask>", add_special_tokens=False).ids


@pytest.mark.parametrize("pieces", ["wordpiece", "bundled"], indirect=True)
def test_words_without_a_piece_get_the_unknown_one(pieces: WordPieces) -> None:
    empty = [word for word in INVISIBLE if not pieces.backend.encode(word, add_special_tokens=False).ids]
    assert len(empty) > 2
    assert set(pieces.of(empty)) == {(pieces.unknown,)}


def test_every_word_has_a_piece(pieces: WordPieces) -> None:
    assert all(pieces.of(INVISIBLE))
    (e,) = pieces.encode([Sentence.from_words(["a", *INVISIBLE, "b"])])
    assert e.windows[0][e.first].tolist() == [ids[0] for ids in pieces.of(["a", *INVISIBLE, "b"])]


def test_a_word_is_cut_as_it_is_inside_a_text(pieces: WordPieces, sentences: list[Sentence]) -> None:
    """Byte-level BPE cuts `dog` otherwise than ` dog`; a text holds the second."""
    words = [word for sentence in sentences for word in sentence.words if word.isalpha()]
    assert len(words) > 50
    for word, ids in zip(words, pieces.of(words), strict=True):
        inside = pieces.backend.encode(f"a {word}", add_special_tokens=False).ids
        assert tuple(inside[-len(ids) :]) == ids


@pytest.mark.parametrize(
    ("pieces", "lead"), [("wordpiece", ""), ("unigram", ""), ("bytes", " "), ("bundled", "")], indirect=["pieces"]
)
def test_only_byte_level_pieces_need_the_space_before_a_word(pieces: WordPieces, lead: str) -> None:
    assert pieces.lead == lead


def test_truncation_and_padding_of_a_tokenizer_file_do_not_count(folder_of: Callable[[str], Path]) -> None:
    """Sentence encoders come with both set in their tokenizer.json."""
    tokenizer = PretrainedSource(str(folder_of("bert"))).tokenizer()
    words = ["a", "of", "abcdefgh" * 4]
    expected = WordPieces(tokenizer, limit=64).of(words)
    tokenizer.backend_tokenizer.enable_truncation(5)
    tokenizer.backend_tokenizer.enable_padding(pad_id=tokenizer.pad_token_id)
    assert WordPieces(tokenizer, limit=64).of(words) == expected
    assert len(expected[2]) > 5


def test_special_pieces_stand_round_each_window(pieces: WordPieces) -> None:
    (e,) = pieces.encode([Sentence.from_words(["a", "b"] * 20)])
    for window in e.windows:
        assert window[:1].tolist() == pieces.prefix
        assert window[-1:].tolist() == pieces.suffix
    names = [pieces.backend.id_to_token(i) for i in (*pieces.prefix, *pieces.suffix)]
    assert names in (["[CLS]", "[SEP]"], ["<s>", "</s>"])
    assert set(pieces.special) == set(pieces.tokenizer.all_special_ids)


def test_heads_and_labels_are_minus_one_where_nothing_is_annotated(pieces: WordPieces) -> None:
    vocabulary = LabelVocabulary(("nsubj", "root", "obj"))
    sentence = Sentence.from_words(["a", "b", "c"], heads=[2, 0, None], labels=["nsubj", None, None])
    (gold,), (bare,) = pieces.encode([sentence], vocabulary=vocabulary), pieces.encode([sentence])
    assert gold.heads.tolist() == [2, 0, -1]
    assert gold.labels.tolist() == [0, -1, -1]
    assert bare.heads.tolist() == bare.labels.tolist() == [-1, -1, -1]


def test_a_word_of_more_pieces_than_a_window_is_cut_to_it(folder_of: Callable[[str], Path]) -> None:
    pieces = WordPieces(PretrainedSource(str(folder_of("roberta"))).tokenizer(), limit=10)
    long = "x1" * 50
    (ids,) = pieces.of([long])
    assert len(ids) == 8
    (e,) = pieces.encode([Sentence.from_words(["a", long, "b", long])])
    assert max(map(len, e.windows)) == 10
    flat = np.concatenate(e.windows)
    assert flat[e.first].tolist() == [pieces.known[word][0] for word in ("a", long, "b", long)]


@pytest.fixture(scope="session")
def small(folder_of: Callable[[str], Path]) -> WordPieces:
    return WordPieces(PretrainedSource(str(folder_of("bert"))).tokenizer(), limit=12)


SIZES = st.lists(st.integers(1, 10), min_size=1, max_size=60)


def plain_spans(sizes: list[int], room: int) -> list[tuple[int, int]]:
    """As many words as fit; the next run begins with the first word that starts behind the middle of the one before."""
    spans, begin = [], 0
    while True:
        end = begin
        while end < len(sizes) and sum(sizes[begin : end + 1]) <= room:
            end += 1
        spans.append((begin, end))
        if end == len(sizes):
            return spans
        middle = (sum(sizes[:begin]) + sum(sizes[:end])) // 2
        following = next(word for word in range(len(sizes) + 1) if sum(sizes[:word]) >= middle)
        begin = min(max(following, begin + 1), end)


@given(SIZES, st.integers(10, 25))
@settings(max_examples=150, deadline=None)
def test_spans_are_those_of_the_plain_loop(sizes: list[int], room: int) -> None:
    found = _spans(np.concatenate([[0], np.cumsum(sizes)]), room)
    assert found == plain_spans(sizes, room)
    assert set().union(*(range(*span) for span in found)) == set(range(len(sizes)))
    assert all(b > a for (a, _), (b, _) in pairwise(found))


@given(SIZES)
@settings(max_examples=150, deadline=None)
def test_each_word_is_read_once_where_it_lies_deepest(small: WordPieces, sizes: list[int]) -> None:
    numbers = iter(range(1000, 9999))
    words = [tuple(next(numbers) for _ in range(size)) for size in sizes]
    windows, first = small._windows(words)
    assert small.room == 10
    assert first.shape == (len(words),)
    flat = np.concatenate(windows).tolist()
    starts = np.cumsum([0, *map(len, windows)]).tolist()
    for window in windows:
        assert [*window[:1], *window[-1:]] == [*small.prefix, *small.suffix]
        inner = window[1:-1].tolist()
        assert len(inner) <= 10
        assert inner == list(range(inner[0], inner[-1] + 1))  # whole words in their order
    for word, place in zip(words, first.tolist(), strict=True):
        assert flat[place] == word[0]
        depths = []
        for window, start in zip(windows, starts, strict=False):
            inner = window[1:-1].tolist()
            if word[0] in inner:
                at = inner.index(word[0])
                depths.append((min(at + 1, len(inner) - at), start + 1 + at))
        deepest = max(depth for depth, _ in depths)
        assert place == next(p for depth, p in depths if depth == deepest)


@given(st.lists(st.integers(1, 3), min_size=30, max_size=80))
@settings(max_examples=50, deadline=None)
def test_words_away_from_the_ends_see_a_quarter_window_on_both_sides(small: WordPieces, sizes: list[int]) -> None:
    wide = WordPieces(small.tokenizer, limit=42)
    numbers = iter(range(1000, 9999))
    words = [tuple(next(numbers) for _ in range(size)) for size in sizes]
    windows, first = wide._windows(words)
    starts = np.cumsum([0, *map(len, windows)])
    last = words[-1][-1]
    for word, place in zip(words, first.tolist(), strict=True):
        k = int(np.searchsorted(starts, place, side="right")) - 1
        at = place - int(starts[k]) - 1
        inner = len(windows[k]) - 2
        assert at >= min(word[0] - 1000, 40 // 4 - 3)
        assert inner - at - 1 >= min(last - word[0], 40 // 4 - 3)


def test_words_are_cut_once(pieces: WordPieces) -> None:
    pieces.learn_(["remembered"])
    held = pieces.known["remembered"]
    pieces.encode([Sentence.from_words(["remembered", "remembered"])])
    assert pieces.known["remembered"] is held


def test_tokenizers_that_cannot_serve_are_refused(folder_of: Callable[[str], Path]) -> None:
    class Slow(PreTrainedTokenizer):  # type: ignore[misc]
        vocab_size = 0

        def get_vocab(self) -> dict[str, int]:
            return {}

    with pytest.raises(EncoderError, match=r"not a fast one; give a folder with tokenizer.json"):
        WordPieces(Slow(), limit=10)
    backend = PretrainedSource(str(folder_of("bert"))).tokenizer().backend_tokenizer
    with pytest.raises(EncoderError, match="names no mask or no unknown piece; both are needed"):
        WordPieces(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]"), limit=10)


def test_words_are_read_in_one_normal_form(pieces: WordPieces) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert pieces.of([composed]) == pieces.of([decomposed])


def test_what_is_read_otherwise_than_written_is_said_once(bundled: Encoder, caplog: pytest.LogCaptureFixture) -> None:
    nothing, endless = "\u200b\u200b\u200b", "ab" * 3000
    bundled.pieces.encode([Sentence.from_words([nothing, endless, nothing])])
    bundled.pieces.encode([Sentence.from_words([nothing, endless])])
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if "give no piece and are read as unknown" in line]) == 1
    assert len([line for line in said if "1 words are cut to" in line]) == 1
    assert any("1 sentences are longer than the encoder's limit" in line for line in said)


def test_a_long_sentence_is_named_by_its_whole_place(bundled: Encoder, caplog: pytest.LogCaptureFixture) -> None:
    long = replace(Sentence.from_words(["word"] * 600, sent_id="s-600"), source="a/folder/of/a/long/name/" * 3, line=12)
    bundled.pieces.encode([long])
    assert f"overlapping windows: {long.place}" in caplog.text
    assert long.place.endswith("12 (sent_id s-600)")
