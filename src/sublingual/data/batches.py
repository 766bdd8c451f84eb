"""Sentences in pieces, and batches of them packed end to end.

A batch holds no padding pieces: the windows of all its sentences lie one after the other in one row, longest last, and
only attention looks at them apart (`model/attention.py`). A sentence longer than the encoder's limit is covered by
several overlapping windows; each word is read from the window in which it lies deepest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sublingual.data.conllu import Sentence

UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Encoded:
    """A sentence in pieces: its windows (special pieces included) and the place of each word's first piece in them."""

    sentence: Sentence
    windows: tuple[np.ndarray, ...]
    first: np.ndarray
    heads: np.ndarray
    labels: np.ndarray

    @property
    def n_pieces(self) -> int:
        return sum(map(len, self.windows))

    @property
    def n_words(self) -> int:
        return len(self.first)


@dataclass(frozen=True)
class Batch:
    """Sentences packed into one row of pieces. `heads` and `labels` are -1 where nothing is annotated.

    `groups` lists (number of windows, length) in the row's order; `piece_sentence` says whose each piece is;
    `inner` marks the pieces that may be hidden in training (no special ones).
    """

    sentences: tuple[Sentence, ...]
    pieces: Int[Tensor, "pieces"]
    positions: Int[Tensor, "pieces"]
    piece_sentence: Int[Tensor, "pieces"]
    groups: tuple[tuple[int, int], ...]
    first: Int[Tensor, "batch words"]
    word_mask: Bool[Tensor, "batch words"]
    heads: Int[Tensor, "batch words"]
    labels: Int[Tensor, "batch words"]
    inner: Bool[Tensor, "pieces"]

    def __len__(self) -> int:
        return len(self.sentences)

    @property
    def n_pieces(self) -> int:
        return len(self.pieces)

    @property
    def n_words(self) -> int:
        return int(self.word_mask.sum())

    @property
    def n_owners(self) -> int:
        """How many rows of gates the pieces need: one a sentence, or one a piece (`apart`)."""
        return int(self.piece_sentence.max()) + 1

    def apart(self) -> Batch:
        """Returns the batch with a row of gates for each piece, in place of one for each sentence."""
        return replace(self, piece_sentence=torch.arange(self.n_pieces, device=self.pieces.device))

    @property
    def annotated(self) -> Int[Tensor, "batch"]:
        """The words of each sentence that count in the loss."""
        return (self.heads >= 0).sum(dim=1)

    @property
    def n_annotated(self) -> int:
        """The words of all sentences that count in the loss."""
        return int(self.annotated.sum())

    def to(self, device: torch.device | str) -> Batch:
        """Returns the batch with its tensors on the device."""
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **moved)


def pack(encoded: Sequence[Encoded]) -> Batch:
    """Returns the batch of these sentences, in this order."""
    windows = [(len(w), i, k, w) for i, e in enumerate(encoded) for k, w in enumerate(e.windows)]
    windows.sort(key=lambda entry: entry[0])
    starts: dict[tuple[int, int], int] = {}
    at = 0
    for length, i, k, _ in windows:
        starts[i, k] = at
        at += length
    lengths = [entry[0] for entry in windows]
    positions = np.concatenate([np.arange(n) for n in lengths])
    last = np.repeat(np.array(lengths) - 1, lengths)
    return Batch(
        sentences=tuple(e.sentence for e in encoded),
        pieces=torch.from_numpy(np.concatenate([entry[3] for entry in windows])),
        positions=torch.from_numpy(positions),
        piece_sentence=torch.from_numpy(np.repeat([entry[1] for entry in windows], lengths)),
        groups=tuple((len(list(same)), length) for length, same in groupby(lengths)),
        first=_padded([_placed(e, i, starts) for i, e in enumerate(encoded)], 0),
        word_mask=_padded([np.ones(e.n_words, dtype=bool) for e in encoded], False),
        heads=_padded([e.heads for e in encoded], UNKNOWN),
        labels=_padded([e.labels for e in encoded], UNKNOWN),
        inner=torch.from_numpy((positions > 0) & (positions < last)),
    )


def _placed(encoded: Encoded, i: int, starts: dict[tuple[int, int], int]) -> np.ndarray:
    """The row's index of each word's first piece: its place among the sentence's own windows, moved to theirs."""
    ends = np.cumsum([len(w) for w in encoded.windows])
    window = np.searchsorted(ends, encoded.first, side="right")
    moved = np.array([starts[i, k] for k in range(len(encoded.windows))]) - (ends - [len(w) for w in encoded.windows])
    return encoded.first + moved[window]


def _padded(rows: Sequence[np.ndarray], value: int | bool) -> Tensor:
    out = np.full((len(rows), max(map(len, rows))), value, dtype=rows[0].dtype)  # [batch, words]
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return torch.from_numpy(out)


def micro_batches(encoded: Sequence[Encoded], *, budget: int) -> Iterator[list[Encoded]]:
    """Yields the sentences by length in runs of at most `budget` pieces (a longer sentence comes alone)."""
    run: list[Encoded] = []
    size = 0
    for e in sorted(encoded, key=lambda e: e.n_pieces):
        if run and size + e.n_pieces > budget:
            yield run
            run, size = [], 0
        run.append(e)
        size += e.n_pieces
    if run:
        yield run


class Sampler:
    """Draws batches without replacement within an epoch, shuffled anew for each (docs/protocol.md 1B).

    Its state can be saved.
    """

    def __init__(self, n: int, *, size: int, generator: torch.Generator) -> None:
        if n < 1 or size < 1:
            raise ValueError(f"cannot draw batches of {size} out of {n} sentences")
        self.n, self.size, self.generator = n, size, generator
        self.order: list[int] = []

    def draw(self) -> list[int]:
        """Returns the next `size` indices (an epoch's rest is completed from the next one)."""
        batch: list[int] = []
        while len(batch) < self.size:
            if not self.order:
                self.order = torch.randperm(self.n, generator=self.generator).tolist()
            take = self.size - len(batch)
            batch, self.order = batch + self.order[:take], self.order[take:]
        return batch

    def state(self) -> dict[str, Tensor]:
        return {"order": torch.tensor(self.order, dtype=torch.int64), "generator": self.generator.get_state()}

    def restore_(self, state: dict[str, Tensor]) -> None:
        self.order = state["order"].tolist()
        self.generator.set_state(state["generator"])
