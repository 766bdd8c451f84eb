"""Attention with gates over packed windows, as an attention function of the transformers library.

The gates `gates[batch, layer, attention_head]` travel as an argument of the encoder's forward: the
output of each attention head is multiplied by its gate before the output projection. Windows lie end to end in one row
(`data/batches.py`); the row is split here, so that a piece attends to its own window alone, without any mask. The
attention itself is torch's scaled dot product, one call for all windows of one length.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

NAME = "sublingual"


@dataclass(frozen=True)
class Packing:
    """What attention must know of a packed row: its windows, and the gates of each piece's sentence."""

    groups: tuple[tuple[int, int], ...]
    piece_sentence: Int[Tensor, "pieces"]
    gates: Float[Tensor, "batch layers attention_heads"] | None = None


def packed_attention(
    module: nn.Module,
    query: Float[Tensor, "1 heads pieces size"],
    key: Float[Tensor, "1 key_heads pieces size"],
    value: Float[Tensor, "1 key_heads pieces size"],
    attention_mask: object = None,
    *,
    packing: Packing,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_: object,
) -> tuple[Float[Tensor, "1 pieces heads size"], None]:
    """Returns each attention head's output times its gate; the library adds the output projection.

    Runs in fp32 also under bf16 autocast: the bf16 backward of this call is slow on CPUs.
    """
    dtype = query.dtype
    wide = torch.promote_types(dtype, torch.float32)
    with torch.autocast(query.device.type, enabled=False):
        rows = [x.to(wide)[0].transpose(0, 1) for x in (query, key, value)]  # [pieces, heads, size]
        sizes = [n * length for n, length in packing.groups]
        parts = []
        for (n, length), *qkv in zip(packing.groups, *(x.split(sizes) for x in rows), strict=True):
            q, k, v = (x.unflatten(0, (n, length)).transpose(1, 2) for x in qkv)  # [windows, heads, length, size]
            near = _band(length, sliding_window, q.device)
            grouped = q.shape[1] != k.shape[1]
            out = scaled_dot_product_attention(
                q, k, v, attn_mask=near, dropout_p=dropout, scale=scaling, enable_gqa=grouped
            )
            parts.append(out.transpose(1, 2).flatten(0, 1))  # [pieces of the group, heads, size]
        out = torch.cat(parts)  # [pieces, heads, size]
        if packing.gates is not None:
            layer = packing.gates[:, module.layer_idx]  # type: ignore[index]
            out = out * layer.index_select(0, packing.piece_sentence).unsqueeze(-1)
    return out.to(dtype).unsqueeze(0), None


def _band(length: int, sliding_window: int | None, device: torch.device) -> Tensor | None:
    """The pieces that a local layer may see: |i - j| < sliding_window (ModernBERT); None where all are."""
    if sliding_window is None or sliding_window >= length:
        return None
    places = torch.arange(length, device=device)
    return (places[:, None] - places[None, :]).abs() < sliding_window


def _no_mask(*_: object, **__: object) -> None:
    """No mask: the windows are split, and there is no padding. Registered, since the library drops masks of unknown names."""


def register() -> None:
    """Makes the attention known to the library under NAME; calling it again changes nothing."""
    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, _no_mask)
