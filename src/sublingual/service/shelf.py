"""Parsers in memory: loaded when first asked for, put away when long not asked for, equal tensors held once."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import nn

from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError
from sublingual.model.sources import Source, open_source
from sublingual.parsing import Parser
from sublingual.service.offers import Offer

_log = logging.getLogger(__name__)


class Shelf:
    """The parsers that are in memory, at most `keep`. For one thread at a time.

    A parameter that is equal, bit for bit, to one of a parser already here is held once for both. What that saves depends
    on how a model was adapted: all of the encoder where only the classifier was; the piece embeddings (most of a small
    encoder) where they were kept as they were; nothing of a layer that took a single step. The trees are the same either
    way: nothing here writes into a parameter.
    """

    def __init__(self, *, keep: int, device: torch.device | str = "cpu") -> None:
        if keep < 1:
            raise ConfigError(f"keep={keep}: at least one model must be in memory")
        self.keep = keep
        self.device = device
        self._parsers: OrderedDict[str, Parser] = OrderedDict()
        self._shared: WeakValueDictionary[bytes, nn.Parameter] = WeakValueDictionary()
        self._sources: dict[str, Source] = {}

    def __len__(self) -> int:
        return len(self._parsers)

    def parser(self, offer: Offer) -> Parser:
        """The parser of that model. Raises ModelError where its folder is damaged or gone."""
        parser = self._parsers.get(offer.name)
        if parser is None:
            while len(self._parsers) >= self.keep:
                name, _ = self._parsers.popitem(last=False)
                _log.info("model %s put away", name)
            parser = Parser.from_pretrained(offer.folder, device=self.device)
            n_bytes, n_shared = _share_(parser.network, self._shared)
            _log.info("model %s loaded: %.1f MB, %.1f of them shared", offer.name, n_bytes / 1e6, n_shared / 1e6)
            self._parsers[offer.name] = parser
        self._parsers.move_to_end(offer.name)
        return parser

    def admit_(self, parser: Parser, sentences: Sequence[Sentence]) -> None:
        """Gives a trimmed parser the pieces that the sentences need and it lacks; an encoder is opened once for all.

        Raises EncoderError where the encoder that it was made from cannot be had.
        """
        encoder = parser.network.encoder
        encoded = encoder.pieces.encode(sentences, vocabulary=None)
        if encoder.lacking(encoded):
            if encoder.name not in self._sources:
                self._sources[encoder.name] = open_source(encoder.name)
            admitted = encoder.admit_(encoded, source=self._sources[encoder.name])
            _log.info("pieces given back to a trimmed model: %d", len(admitted))

    def n_bytes(self) -> int:
        """The bytes of all parameters in memory, each counted once."""
        found = {id(p): p.nbytes for parser in self._parsers.values() for p in parser.network.parameters()}
        return sum(found.values())


def _share_(network: nn.Module, shared: WeakValueDictionary[bytes, nn.Parameter]) -> tuple[int, int]:
    """Puts known equals in the place of the network's parameters; returns all bytes, and those that were known."""
    n_bytes = n_shared = 0
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            known = shared.setdefault(_digest(parameter), parameter)
            n_bytes += parameter.nbytes
            if known is not parameter:
                n_shared += parameter.nbytes
                setattr(module, name, known)
    return n_bytes, n_shared


def _digest(parameter: nn.Parameter) -> bytes:
    content: Any = parameter.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    kind = f"{parameter.dtype} {tuple(parameter.shape)} {parameter.device}".encode()
    return hashlib.blake2b(content, key=hashlib.blake2b(kind).digest()).digest()
