"""Unstructured pruning (section 8): single weights of the attention's projections, the smallest first over all layers.

The loop and the 95 % rule are those of `importance`; only what goes at a step differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from sublingual.data.conllu import Sentence
from sublingual.model.parser import BiaffineParser
from sublingual.model.weights import WeightMask, attention_weights
from sublingual.subnetworks.importance import PruneConfig, Pruned, dev_las, shrink


def prune_weights(
    network: BiaffineParser,
    dev: Sequence[Sentence],
    *,
    config: PruneConfig,
    progress: Callable[[int, float], None] | None = None,
) -> Pruned[WeightMask]:
    """Returns the weights that the language needs, and how dev LAS fell meanwhile.

    At each step `config.share` of the weights still on go, those of the smallest magnitude (docs/protocol.md 1D). The
    network is not trained in between and stays as it is, so that their order is found once. `progress` is told after each
    step how many are off and the dev LAS.
    """
    shapes = {name: p.shape for name, p in attention_weights(network.encoder).items()}
    rank = ranks(network)
    las = dev_las(network, dev, config=config)

    def mask(n_off: int) -> WeightMask:
        on = (rank >= n_off).split([shape.numel() for shape in shapes.values()])
        return WeightMask({name: part.view(shapes[name]) for name, part in zip(shapes, on, strict=True)})

    def scored(n_off: int) -> float:
        found = las(mask(n_off))
        if progress is not None:
            progress(n_off, found)
        return found

    def further(n_off: int) -> int | None:
        step = int(config.share * (len(rank) - n_off))
        return n_off + step if step else None

    pruned = shrink(0, further, las=scored, n_off=lambda n_off: n_off, keep=config.keep)
    return Pruned(mask(pruned.left), pruned.before, pruned.after, pruned.curve)


def ranks(network: BiaffineParser) -> Int[Tensor, "weights"]:
    """Returns for each weight, the projections one after the other, how many are smaller in magnitude; ties by place."""
    flat = torch.cat([p.detach().abs().flatten().cpu() for p in attention_weights(network.encoder).values()])
    order = flat.argsort(stable=True)
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
