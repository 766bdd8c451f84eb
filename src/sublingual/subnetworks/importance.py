"""Eq. 3: how important each attention head is for a language, and the iterative pruning by it (section 4.3.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, Literal, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sublingual.data.batches import Encoded, micro_batches, pack
from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError
from sublingual.model.parser import BiaffineParser
from sublingual.model.weights import Subnet
from sublingual.parsing import parse
from sublingual.runtime import autocast
from sublingual.scoring import score

Masks = TypeVar("Masks")
Unit = Literal["sentence", "piece"]


def importance(
    network: BiaffineParser,
    sentences: Sequence[Encoded],
    *,
    gates: Float[Tensor, "layers attention_heads"] | None = None,
    per: Unit = "sentence",
    normalise: bool = True,
    precision: str = "auto",
    budget: int = 4096,
) -> Float[Tensor, "layers attention_heads"]:
    """Returns E |dL(x)/dgate| over single sentences x, L being the sentence's loss per word (eq. 3).

    Exact, from one backward a micro-batch: each sentence has gates of its own, and the summed loss has their gradients
    apart. `per`: "piece" takes the absolute value for each piece of a sentence, whose gates are then its own, and the mean
    over all pieces: |context . dL/dcontext| in Michel et al. 2019 (docs/protocol.md 1D). `normalise`: divided by each
    layer's l2 norm (Michel et al. 2019; raw scores differ by layer). Without dropout; nothing but the gates gets a gradient.
    """
    encoder = network.encoder
    shape = (encoder.n_layers, encoder.n_attention_heads)
    start = torch.ones(shape, device=network.device) if gates is None else gates.to(network.device).float()
    total, n = torch.zeros(shape, device=network.device), 0
    network.eval()
    with _frozen(network):
        for run in micro_batches(sentences, budget=budget):
            batch = pack(run).to(network.device)
            batch = batch.apart() if per == "piece" else batch
            n += batch.n_owners
            own = start.expand(batch.n_owners, -1, -1).clone().requires_grad_()  # [owners, layers, attention_heads]
            with autocast(network.device, precision=precision):
                losses = network.loss(batch, own).sentences / batch.annotated.clamp(min=1)
            (gradient,) = torch.autograd.grad(losses.sum(), own)
            total += gradient.abs().sum(dim=0)
    mean = total / max(1, n)
    return nn.functional.normalize(mean, dim=1) if normalise else mean


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Inside, no parameter gets a gradient."""
    thawed = [p for p in network.parameters() if p.requires_grad]
    for p in thawed:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in thawed:
            p.requires_grad_(True)


@dataclass(frozen=True)
class PruneConfig:
    """How to prune.

    `share`: of all attention heads, switched off a step (10 % of 144: 14); for single weights, of those still on. `keep`:
    the last gates stand whose dev LAS is that share of the full model's (docs/protocol.md 2.2). `again`: importance is
    estimated anew at every step. `per` and `normalise`: see `importance`. `least`: attention heads that stay in every layer.
    `sentences` and `dev_sentences`: how many are read, evenly drawn. For single weights only `share`, `keep`,
    `dev_sentences` and `precision` count. Raises ConfigError for impossible numbers.
    """

    share: float = 0.1
    keep: float = 0.95
    again: bool = True
    per: Unit = "sentence"
    normalise: bool = True
    least: int = 0
    sentences: int = 1000
    dev_sentences: int = 500
    budget: int = 4096
    precision: str = "auto"

    def __post_init__(self) -> None:
        if not (0 < self.share < 1 and 0 <= self.keep <= 1):
            raise ConfigError(f"share {self.share}, keep {self.keep}: they are shares, between 0 and 1")
        if self.least < 0 or min(self.sentences, self.dev_sentences, self.budget) < 1:
            raise ConfigError("least is 0 or more; sentences, dev_sentences and budget are 1 or more")


@dataclass(frozen=True)
class Pruned(Generic[Masks]):
    """What is left on, the dev LAS of the full model and of what is left, and the curve: (how many are off, dev LAS)."""

    left: Masks
    before: float
    after: float
    curve: tuple[tuple[int, float], ...]


def shrink(
    start: Masks,
    smaller: Callable[[Masks], Masks | None],
    *,
    las: Callable[[Masks], float],
    n_off: Callable[[Masks], int],
    keep: float,
) -> Pruned[Masks]:
    """Makes the masks smaller until dev LAS falls below `keep` of the first; returns the last ones that did not.

    `smaller` gives None where nothing can go any more. The first step may already be one too many: all stays on.
    """
    before = las(start)
    left, after, curve = start, before, [(n_off(start), before)]
    while (fewer := smaller(left)) is not None:
        found = las(fewer)
        curve.append((n_off(fewer), found))
        if found < keep * before:
            break
        left, after = fewer, found
    return Pruned(left, before, after, tuple(curve))


def prune(
    network: BiaffineParser,
    train: Sequence[Sentence],
    dev: Sequence[Sentence],
    *,
    config: PruneConfig,
    progress: Callable[[int, float], None] | None = None,
) -> tuple[Pruned[Bool[Tensor, "layers attention_heads"]], Float[Tensor, "layers attention_heads"]]:
    """Returns the attention heads that the language needs, and their importance in the full model.

    `progress` is told after each step how many are off and the dev LAS.
    """
    read = network.encode(evenly(train, config.sentences), gold=True)
    estimate = partial(
        importance,
        network,
        read,
        per=config.per,
        normalise=config.normalise,
        precision=config.precision,
        budget=config.budget,
    )
    first = estimate()
    step = max(1, int(config.share * first.numel()))
    las = dev_las(network, dev, config=config)

    def scored(gates: Tensor) -> float:
        found = las(gates.float())
        if progress is not None:
            progress(int((~gates).sum()), found)
        return found

    def smaller(gates: Tensor) -> Tensor | None:
        found = estimate(gates=gates.float()) if config.again else first
        return without(gates, found, n=step, least=config.least)

    start = torch.ones_like(first, dtype=torch.bool)
    return shrink(start, smaller, las=scored, n_off=lambda gates: int((~gates).sum()), keep=config.keep), first


def dev_las(network: BiaffineParser, dev: Sequence[Sentence], *, config: PruneConfig) -> Callable[[Subnet], float]:
    """Returns what scores a subnetwork of the network: LAS in per cent of `config.dev_sentences` of the sentences."""
    held_out = evenly(dev, config.dev_sentences)

    def las(subnet: Subnet) -> float:
        return score(held_out, parse(network, held_out, gates=subnet, precision=config.precision)).las.f1

    return las


def without(
    gates: Bool[Tensor, "layers attention_heads"],
    importance: Float[Tensor, "layers attention_heads"],
    *,
    n: int,
    least: int,
) -> Bool[Tensor, "layers attention_heads"] | None:
    """Returns the gates without the `n` least important that are on, `least` a layer staying; None where fewer may go."""
    left = gates.clone()
    for i in importance.masked_fill(~gates, torch.inf).flatten().argsort(stable=True).tolist():
        layer, attention_head = divmod(i, gates.shape[1])
        if n and left[layer, attention_head] and int(left[layer].sum()) > least:
            left[layer, attention_head] = False
            n -= 1
    return None if n else left


def evenly(sentences: Sequence[Sentence], n: int) -> list[Sentence]:
    """Returns at most `n` of the sentences at equal distances."""
    n = min(n, len(sentences))
    return [sentences[i * len(sentences) // n] for i in range(n)]
