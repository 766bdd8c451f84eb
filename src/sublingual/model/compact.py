"""An encoder whose switched-off attention heads are really gone: smaller and faster, with the same outputs.

The encoder's configuration lists which attention heads each layer keeps (`kept_attention_heads`) and goes into the model's
folder with it; `resize_` gives an architecture that is made from such a configuration its sizes. The library cuts queries,
keys and values up by the size of one attention head, so that their number may differ from layer to layer; our attention
reads it from the tensors. A layer without any adds the bias of its output projection alone.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from sublingual.errors import ModelError

# Families whose layers are `encoder.layer[i].attention` with `self.query`, `self.key`, `self.value` and `output.dense`.
FAMILIES = ("bert", "camembert", "electra", "ernie", "roberta", "xlm-roberta", "xlm-roberta-xl")
_KEPT = "kept_attention_heads"


class NoAttention(nn.Module):
    """The attention of a layer without attention heads: vectors of no features."""

    def forward(
        self, hidden_states: Float[Tensor, "*shape hidden"], **_: object
    ) -> tuple[Float[Tensor, "*shape 0"], None]:
        return hidden_states[..., :0], None


def remove_(model: PreTrainedModel, gates: Float[Tensor, "layers attention_heads"], *, name: str) -> None:
    """Removes the attention heads whose gate is 0 from an encoder, in place; `name` is what messages call it.

    Without gates it then gives what it gave with them: a gate that is neither 0 nor 1 is multiplied into the output
    projection. Raises ModelError for an encoder of another family than BERT's, and for one that is compact already.
    """
    family = model.config.model_type
    if family not in FAMILIES:
        raise ModelError(
            f"the encoder {name!r} is of the family {family!r}, whose attention heads cannot be removed here; families whose "
            f"can: {', '.join(FAMILIES)}"
        )
    if is_compact(model):
        raise ModelError(f"the encoder {name!r} is compact already: nothing is left to remove; compact the full model")
    with torch.no_grad():
        weights = [_kept_weights(block, row) for block, row in zip(_blocks(model), gates, strict=True)]
    setattr(model.config, _KEPT, [torch.nonzero(row).flatten().tolist() for row in gates])
    resize_(model)
    for block, own in zip(_blocks(model), weights, strict=True):
        block.load_state_dict(own, strict=False)


def is_compact(model: PreTrainedModel) -> bool:
    """Whether attention heads were removed from the encoder; it takes no gates then."""
    return hasattr(model.config, _KEPT)


def resize_(model: PreTrainedModel) -> None:
    """Gives a compact encoder's attention blocks the sizes of what they keep; their weights are yet to be given."""
    for block, kept in zip(_blocks(model), getattr(model.config, _KEPT), strict=True):
        attention = block.self
        size = len(kept) * attention.attention_head_size
        _resize_(block.output.dense, (block.output.dense.out_features, size))
        for projection in (attention.query, attention.key, attention.value):
            _resize_(projection, (size, projection.in_features))
        if not kept:
            block.self = NoAttention()


def _blocks(model: PreTrainedModel) -> list[Any]:
    return [layer.attention for layer in model.encoder.layer]


def _resize_(linear: nn.Linear, shape: tuple[int, int]) -> None:
    linear.out_features, linear.in_features = shape
    linear.weight = nn.Parameter(linear.weight.new_empty(shape), requires_grad=linear.weight.requires_grad)
    linear.bias = nn.Parameter(linear.bias.new_empty(shape[0]), requires_grad=linear.bias.requires_grad)


def _kept_weights(block: Any, gates: Float[Tensor, "attention_heads"]) -> dict[str, Tensor]:
    """What stays of a block: rows of query, key and value, columns of the output projection times their gate."""
    feature_gates = gates.repeat_interleave(block.self.attention_head_size).to(block.output.dense.weight)
    on = torch.nonzero(feature_gates).flatten()
    dense = block.output.dense
    kept = {"output.dense.weight": (dense.weight * feature_gates)[:, on], "output.dense.bias": dense.bias}
    for name in ("query", "key", "value") if len(on) else ():
        projection = getattr(block.self, name)
        kept |= {f"self.{name}.weight": projection.weight[on], f"self.{name}.bias": projection.bias[on]}
    return kept
