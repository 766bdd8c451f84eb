"""Packed batches against their sentences' own windows, micro-batches, and draws without replacement."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from sublingual.data.batches import Batch, Encoded, Sampler, micro_batches, pack
from sublingual.data.conllu import Sentence


def encoded(sizes: list[int], *, number: int) -> Encoded:
    """A sentence of windows of these sizes whose every piece is a number of its own; two words start in each window,
    one at its very beginning (a tokenizer may put no special piece there)."""
    starts = np.cumsum([0, *sizes])
    windows = tuple(np.arange(n) + start + 1000 * number for n, start in zip(sizes, starts, strict=False))
    first = np.array([start + place for n, start in zip(sizes, starts, strict=False) for place in (0, n - 2)])
    rng = np.random.default_rng(number)
    heads, labels = (rng.integers(-1, 5, len(first)) for _ in range(2))
    return Encoded(Sentence.from_words(["w"] * len(first)), windows, first, heads, labels)


def all_encoded(lists: list[list[int]]) -> list[Encoded]:
    return [encoded(sizes, number=i) for i, sizes in enumerate(lists)]


SIZES = st.lists(st.lists(st.integers(3, 9), min_size=1, max_size=4), min_size=1, max_size=8)


@given(SIZES)
@settings(max_examples=100, deadline=None)
def test_the_row_holds_each_window_once_shortest_first(sizes: list[list[int]]) -> None:
    sentences = all_encoded(sizes)
    batch = pack(sentences)
    windows = {tuple(w.tolist()): i for i, e in enumerate(sentences) for w in e.windows}
    lengths = [length for n, length in batch.groups for _ in range(n)]
    assert lengths == sorted(lengths)
    assert len({length for _, length in batch.groups}) == len(batch.groups)
    at = 0
    for length in lengths:
        part = slice(at, at + length)
        owner = windows.pop(tuple(batch.pieces[part].tolist()))
        assert set(batch.piece_sentence[part].tolist()) == {owner}
        assert batch.positions[part].tolist() == list(range(length))
        assert batch.inner[part].tolist() == [False, *[True] * (length - 2), False]
        at += length
    assert not windows
    assert at == batch.n_pieces == sum(e.n_pieces for e in sentences)


@given(SIZES)
@settings(max_examples=100, deadline=None)
def test_words_heads_and_labels_are_the_sentences_own(sizes: list[list[int]]) -> None:
    sentences = all_encoded(sizes)
    batch = pack(sentences)
    assert batch.sentences == tuple(e.sentence for e in sentences)
    assert len(batch) == len(sentences)
    assert batch.word_mask.shape == (len(sentences), max(e.n_words for e in sentences))
    for i, e in enumerate(sentences):
        n = e.n_words
        assert batch.word_mask[i].tolist() == [True] * n + [False] * (batch.word_mask.shape[1] - n)
        assert batch.pieces[batch.first[i, :n]].tolist() == np.concatenate(e.windows)[e.first].tolist()
        assert batch.heads[i, :n].tolist() == e.heads.tolist()
        assert batch.labels[i, :n].tolist() == e.labels.tolist()
        assert (batch.heads[i, n:] == -1).all()
        assert (batch.labels[i, n:] == -1).all()
    assert batch.n_words == sum(e.n_words for e in sentences)
    assert batch.n_annotated == sum(int((e.heads >= 0).sum()) for e in sentences)


def test_moving_a_batch_moves_every_tensor_and_changes_nothing_else() -> None:
    batch = pack([encoded([5, 4], number=0)])
    moved = batch.to("meta")
    tensors = [name for name, value in vars(batch).items() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 8
    assert all(vars(moved)[name].device.type == "meta" for name in tensors)
    assert (moved.sentences, moved.groups) == (batch.sentences, batch.groups)


def test_a_batch_of_other_shapes_fails_the_shape_check() -> None:
    parts = vars(pack([encoded([5], number=0), encoded([6], number=1)]))
    Batch(**parts)
    for name, wrong in (
        ("positions", torch.zeros(4, dtype=torch.int64)),
        ("heads", torch.zeros(2, 2)),
        ("first", torch.zeros(1, 2).long()),
    ):
        with pytest.raises(TypeCheckError):
            Batch(**{**parts, name: wrong})


@given(SIZES, st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_micro_batches_hold_all_sentences_by_length_within_the_budget(sizes: list[list[int]], budget: int) -> None:
    sentences = all_encoded(sizes)
    runs = list(micro_batches(sentences, budget=budget))
    flat = [e for run in runs for e in run]
    assert sorted(map(id, flat)) == sorted(map(id, sentences))
    lengths = [e.n_pieces for e in flat]
    assert lengths == sorted(lengths)
    for run, following in zip(runs, [*runs[1:], None], strict=True):
        size = sum(e.n_pieces for e in run)
        assert size <= budget or len(run) == 1
        if following is not None:
            assert size + following[0].n_pieces > budget


@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_each_index_is_drawn_once_an_epoch(n: int, size: int, seed: int) -> None:
    sampler = Sampler(n, size=size, generator=torch.Generator().manual_seed(seed))
    drawn = [sampler.draw() for _ in range(3 * n // size + 1)]
    assert {len(batch) for batch in drawn} == {size}
    flat = [i for batch in drawn for i in batch]
    for epoch in range(3):
        assert sorted(flat[epoch * n : (epoch + 1) * n]) == list(range(n))


def test_epochs_are_shuffled_anew() -> None:
    sampler = Sampler(50, size=50, generator=torch.Generator().manual_seed(0))
    assert sampler.draw() != sampler.draw()


@pytest.mark.parametrize("before", [0, 1, 7])
def test_a_restored_sampler_draws_the_same(before: int) -> None:
    sampler = Sampler(10, size=4, generator=torch.Generator().manual_seed(3))
    for _ in range(before):
        sampler.draw()
    state = {name: tensor.clone() for name, tensor in sampler.state().items()}
    expected = [sampler.draw() for _ in range(9)]
    other = Sampler(10, size=4, generator=torch.Generator().manual_seed(99))
    other.draw()
    other.restore_(state)
    assert [other.draw() for _ in range(9)] == expected


@pytest.mark.parametrize(("n", "size"), [(0, 4), (3, 0)])
def test_draws_that_cannot_be_are_refused(n: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"cannot draw batches of {size} out of {n} sentences"):
        Sampler(n, size=size, generator=torch.Generator())
