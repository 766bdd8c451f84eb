"""Parsers in memory: loaded when first asked for, put away when long not asked for, equal tensors held once."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence

import torch

from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError
from sublingual.model.sources import Source, open_source
from sublingual.parsing import Parser
from sublingual.runtime import give_back_memory
from sublingual.service.offers import Offer
from sublingual.service.sharing import Shared

_log = logging.getLogger(__name__)


class Shelf:
    """The parsers that are in memory, at most `keep`. For one thread at a time.

    The tokenizer of an encoder is there once; a parameter that is equal, bit for bit, to one of a parser already here is
    held once for both; piece embeddings that no training changed are one table. So parsers adapted with `parts=small`
    (`adapt --shared`) share the encoder but for its biases and norms; others, its tokenizer alone. The trees are the same
    either way: nothing here changes a parameter for good.
    """

    def __init__(self, *, keep: int, device: torch.device | str = "cpu") -> None:
        if keep < 1:
            raise ConfigError(f"keep={keep}: at least one model must be in memory")
        self.keep = keep
        self.device = device
        self._parsers: OrderedDict[str, Parser] = OrderedDict()
        self._shared = Shared()
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
            taken = self._shared.take_(parser.network)
            shares = taken.n_bytes / 1e6, taken.n_shared / 1e6
            _log.info("model %s loaded: %.1f MB, %.1f of them shared", offer.name, *shares)
            self._parsers[offer.name] = parser
            give_back_memory()  # what was read twice, and the tokenizer that is here already
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
            admitted = self._shared.admit_(encoder, encoded, source=self._sources[encoder.name])
            _log.info("pieces given back to a trimmed model: %d", len(admitted))

    def n_bytes(self) -> int:
        """The bytes of all parameters in memory, each counted once."""
        found = {id(p): p.nbytes for parser in self._parsers.values() for p in parser.network.parameters()}
        return sum(found.values())
