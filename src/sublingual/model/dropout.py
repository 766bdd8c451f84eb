"""Dropout whose random numbers are cheap on a CPU: each of torch's 64-bit draws decides on four values.

Where torch draws anew for each value, its own dropout is slower (docs/log.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

_BITS = 16


def factors(shape: Sequence[int], p: float, *, like: Tensor) -> Float[Tensor, "..."]:
    """Returns 0 with probability p (to the nearest of 65,536 shares), else 1/(1-p), in the dtype and place of `like`.

    Draws from torch's random state.
    """
    n = math.prod(shape)
    draws = torch.empty(-(-n * _BITS // 64), dtype=torch.int64, device=like.device).random_(-(2**63), None)
    places = draws.view(torch.int16)[:n].view(*shape)
    return (places >= round(p * 2**_BITS) - 2 ** (_BITS - 1)).to(like.dtype).div_(1 - p)


class Dropout(nn.Dropout):
    """As torch's, with `factors` on a CPU; elsewhere torch's own, which is one kernel there."""

    def forward(self, input: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        if not self.training or not self.p or not input.is_cpu:
            return super().forward(input)
        return input * factors(input.shape, self.p, like=input)


def quicken_(model: nn.Module) -> None:
    """Puts ours in the place of each of torch's dropouts in the model (in place)."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, Dropout(child.p))
