"""What parsers in memory hold once for all: the tokenizer, equal parameters, piece embeddings that are the pretrained ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet, WeakValueDictionary

import torch
from torch import nn

from sublingual.data.batches import Encoded
from sublingual.model.encoder import Encoder
from sublingual.model.parser import BiaffineParser
from sublingual.model.pieces import WordPieces
from sublingual.model.sources import Source


@dataclass(frozen=True)
class Taken:
    """The bytes of a network's parameters, and how many of them were here already."""

    n_bytes: int
    n_shared: int


class Shared:
    """The parts that parsers hold together. Nothing here changes a tree: what is shared is equal, bit for bit."""

    def __init__(self) -> None:
        self._parameters: WeakValueDictionary[bytes, nn.Parameter] = WeakValueDictionary()
        self._pieces: WeakValueDictionary[str, WordPieces] = WeakValueDictionary()
        self._tables: list[_Table] = []

    def __len__(self) -> int:
        return len(self._parameters)

    def take_(self, network: BiaffineParser) -> Taken:
        """Puts what is known in the place of the network's own."""
        n_bytes = sum(parameter.nbytes for parameter in network.parameters())
        n_shared = self._take_encoder_(network.encoder)
        own = []
        for module in network.modules():
            for name, parameter in module.named_parameters(recurse=False):
                known = self._parameters.setdefault(_digest(parameter), parameter)
                if known is parameter:
                    own.append(parameter)
                else:
                    n_shared += parameter.nbytes
                    setattr(module, name, known)
        if n_shared:  # the model's file is mapped, and any parameter that lies in it would keep all of it in memory
            for parameter in own:
                parameter.data = parameter.data.clone()
        return Taken(n_bytes, n_shared)

    def admit_(self, encoder: Encoder, encoded: list[Encoded], *, source: Source) -> list[str]:
        """`Encoder.admit_` for all encoders that share the embeddings; returns the pieces that were given back."""
        admitted = encoder.admit_(encoded, source=source)
        for table in self._tables:
            if encoder in table.encoders:
                table.follow_(encoder)
        return admitted

    def _take_encoder_(self, encoder: Encoder) -> int:
        """Shares tokenizer and embeddings; returns the bytes of the latter that are here already."""
        encoder.pieces = self._pieces.setdefault(encoder.identity, encoder.pieces)
        self._tables = [table for table in self._tables if table.encoders]
        own = encoder.model.get_input_embeddings().weight.nbytes
        for table in self._tables:
            if (grown := table.join_(encoder)) is not None:
                return int(own - grown)
        self._tables.append(_Table(encoder))
        return 0


class _Table:
    """Piece embeddings that several encoders look into: one module and one list of rows, which grow for all of them."""

    def __init__(self, first: Encoder) -> None:
        self.embeddings: Any = first.model.get_input_embeddings()
        self.rows = first.rows
        self.identity = first.identity
        self.encoders: WeakSet[Encoder] = WeakSet([first])

    def join_(self, encoder: Encoder) -> int | None:
        """Lets the encoder in, where its rows equal those here; returns the bytes that it adds, None where they differ."""
        table, rows = encoder.model.get_input_embeddings().weight.detach(), encoder.rows
        here = self.embeddings.weight.detach()
        if self.identity != encoder.identity or rows.shape != self.rows.shape or table.device != here.device:
            return None
        both = torch.nonzero((rows >= 0) & (self.rows >= 0)).squeeze(1)  # [ids]
        if not torch.equal(table[rows[both]], here[self.rows[both]]):
            return None
        new = torch.nonzero((rows >= 0) & (self.rows < 0)).squeeze(1)  # [ids]
        if len(new):
            self.embeddings.weight = _frozen(torch.cat([here, table[rows[new]]]))
            self.rows[new] = torch.arange(len(here), len(here) + len(new), device=self.rows.device)
        encoder.model.set_input_embeddings(self.embeddings)
        encoder.rows = self.rows
        self.encoders.add(encoder)
        return table[rows[new]].nbytes

    def follow_(self, encoder: Encoder) -> None:
        """Takes over the embeddings that one of the encoders has just grown; it has written their rows here already."""
        self.embeddings.weight = encoder.model.get_input_embeddings().weight
        encoder.model.set_input_embeddings(self.embeddings)


def _frozen(table: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(table, requires_grad=False)


def _digest(parameter: nn.Parameter) -> bytes:
    content: Any = parameter.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    kind = f"{parameter.dtype} {tuple(parameter.shape)} {parameter.device}".encode()
    return hashlib.blake2b(content, key=hashlib.blake2b(kind).digest()).digest()
