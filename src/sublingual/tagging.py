"""Learning parts of speech along with trees: a tagger on a parser's frozen encoder, from sentences whose UPOS is annotated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sublingual.data.batches import micro_batches, pack
from sublingual.data.conllu import Sentence
from sublingual.data.tags import INDEX
from sublingual.errors import ConfigError
from sublingual.model.tagger import Tagger
from sublingual.model.weights import restricted_
from sublingual.parsing import BUDGET, Parser
from sublingual.runtime import forked_random

_UNKNOWN = -1


@dataclass(frozen=True)
class TagConfig:
    """How a tagger is trained: AdamW on batches of words, with dropout on their mixed vectors.

    Chosen on the validation languages (docs/log.md). `sentences`: of a larger set that many are drawn. Raises ConfigError
    for numbers that no training can have.
    """

    steps: int = 200
    rate: float = 5e-3
    mix_rate: float = 5e-2
    weight_decay: float = 1e-2
    dropout: float = 0.3
    words: int = 4096
    sentences: int = 1000

    def __post_init__(self) -> None:
        if self.steps < 0 or self.words < 1 or self.sentences < 1 or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"steps {self.steps}, words {self.words}, sentences {self.sentences}, dropout {self.dropout}: 0 or more, 1 or "
                f"more, 1 or more, a share below 1"
            )


def n_tagged(sentences: Sequence[Sentence]) -> int:
    """Returns how many words have one of the seventeen universal tags."""
    return sum(tag in INDEX for sentence in sentences for tag in sentence.upos)


def with_tagger(
    parser: Parser, sentences: Sequence[Sentence], *, config: TagConfig | None = None, seed: int = 0
) -> Parser:
    """Returns the parser with a tagger trained on the sentences' UPOS; the given one where no word has any.

    It starts from the parser's own tagger, if it has one. Nothing else of the parser is touched: its trees stay the same
    to the bit. Words without one of the universal tags do not count.
    """
    return _taught(parser, [(parser, sentences)], config or TagConfig(), seed)


def with_tagger_of(
    parser: Parser, sentences: Mapping[str, Sequence[Sentence]], *, config: TagConfig | None = None, seed: int = 0
) -> Parser:
    """As `with_tagger`, on several languages' sentences, each language in its subnetwork; all weigh about the same."""
    inside = [
        (replace(parser, gates=parser.subnetworks.get(code, parser.gates)), own) for code, own in sentences.items()
    ]
    return _taught(parser, inside, config or TagConfig(), seed)


def _taught(
    parser: Parser, inside: Sequence[tuple[Parser, Sequence[Sentence]]], config: TagConfig, seed: int
) -> Parser:
    """The parser with a tagger that learns from sentences, each run through the parser beside them."""
    tagged = [(own, [sentence for sentence in all_ if n_tagged([sentence])]) for own, all_ in inside]
    tagged = [(own, sentences) for own, sentences in tagged if sentences]
    if not tagged:
        return parser
    found = [_features(own, _drawn(sentences, config.sentences // len(tagged), seed)) for own, sentences in tagged]
    layers = [torch.cat(parts) for parts in zip(*(layers for layers, _ in found), strict=True)]
    encoder = parser.network.encoder
    with forked_random(parser.network.device):
        torch.manual_seed(seed)
        tagger = deepcopy(parser.tagger) or Tagger(n_layers=encoder.n_layers, hidden_size=encoder.hidden_size)
        _train_(tagger.to(parser.network.device), layers, torch.cat([tags for _, tags in found]), config)
    return replace(parser, tagger=tagger)


def _drawn(sentences: Sequence[Sentence], n: int, seed: int) -> list[Sentence]:
    """At most `n` of them, one at least."""
    return [sentences[i] for i in np.random.default_rng(seed).permutation(len(sentences))[: max(1, n)].tolist()]


def _features(
    parser: Parser, sentences: Sequence[Sentence]
) -> tuple[list[Float[Tensor, "words hidden"]], Int[Tensor, "words"]]:
    """The outputs of each layer for all words that have a tag, and these tags."""
    network = parser.network.eval()
    found: list[list[Tensor]] = []
    tags: list[int] = []
    with torch.no_grad(), restricted_(network, parser.gates) as gates:
        for run in micro_batches(network.encode(sentences, gold=False), budget=BUDGET):
            batch = pack(run).to(network.device)
            own = [INDEX.get(tag, _UNKNOWN) for encoded in run for tag in encoded.sentence.upos]
            known = torch.tensor([tag != _UNKNOWN for tag in own], device=network.device)
            expanded = None if gates is None else gates.to(network.device).expand(len(batch), -1, -1)
            found.append([layer[known] for layer in network(batch, expanded).layers])
            tags += [tag for tag in own if tag != _UNKNOWN]
    layers = [torch.cat([run[i] for run in found]) for i in range(len(found[0]))]
    return layers, torch.tensor(tags, device=network.device)


def _train_(tagger: Tagger, layers: list[Tensor], tags: Tensor, config: TagConfig) -> None:
    """Trains the tagger in place; draws from torch's random state."""
    groups = [
        {"params": list(tagger.mix.parameters()), "lr": config.mix_rate, "weight_decay": 0.0},
        {"params": list(tagger.scores.parameters()), "lr": config.rate, "weight_decay": config.weight_decay},
    ]
    optimizer = torch.optim.AdamW(groups)
    tagger.train().requires_grad_(True)
    for _ in range(config.steps):
        drawn = torch.randperm(len(tags), device=tags.device)[: config.words]
        scores = tagger([layer[drawn] for layer in layers], dropout=config.dropout)
        nn.functional.cross_entropy(scores, tags[drawn]).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    tagger.eval().requires_grad_(False)
