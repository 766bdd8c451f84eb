"""Subnetworks of single weights (section 8): which of the attention's projection weights a language uses.

Gates are an argument of the forward pass; masks of single weights cannot be one, since no two examples of a batch can have
weights of their own. The weights are therefore zero while the network runs in such a subnetwork, and get no gradient.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from sublingual.errors import ModelError
from sublingual.model.encoder import Encoder
from sublingual.model.parser import BiaffineParser

# Query, key, value and output projection, as the families that can be gated name them.
_PROJECTION = re.compile(
    r"(attention\.self\.(query|key|value)|attention\.output\.dense|attention\.([qkv]|out)_lin|attn\.(Wqkv|Wo|[qkvo]_proj))"
    r"\.weight"
)


SIDES = ("out", "in")
"""The names of an adapter's two factors."""


@dataclass(frozen=True, eq=False)
class WeightMask:
    """The weights that are on, by the parameter's name in the encoder's model."""

    kept: Mapping[str, Bool[Tensor, "out in"]]

    @property
    def n_off(self) -> int:
        return sum(int((~on).sum()) for on in self.kept.values())


@dataclass(frozen=True, eq=False)
class Adapter:
    """A change of the attention's weights, by the parameter's name: two factors of low rank, whose product is added."""

    factors: Mapping[str, tuple[Float[Tensor, "out rank"], Float[Tensor, "rank in"]]]

    @property
    def n_off(self) -> int:
        return 0


Subnet = Float[Tensor, "layers attention_heads"] | WeightMask | Adapter
"""What a language's own part of a parser can be: attention heads by their gates, single weights, or an adapter."""


def n_off(subnet: Subnet) -> int:
    """Returns how many attention heads, or single weights, are off."""
    return int((subnet == 0).sum()) if isinstance(subnet, Tensor) else subnet.n_off


def tensors_of(subnet: Subnet | None) -> dict[str, Tensor]:
    """Returns what tells the subnetwork from others, by names; nothing for none."""
    if subnet is None or isinstance(subnet, Tensor):
        return {} if subnet is None else {"gates": subnet}
    if isinstance(subnet, WeightMask):
        return dict(subnet.kept)
    return {f"{name}.{side}": t for name, both in subnet.factors.items() for side, t in zip(SIDES, both, strict=True)}


def attention_weights(encoder: Encoder) -> dict[str, nn.Parameter]:
    """Returns the weights of the query, key, value and output projections of all layers, by name."""
    found = {name: p for name, p in encoder.model.named_parameters() if _PROJECTION.search(name)}
    assert found, "the encoder has no attention whose weights we know"
    return found


def refuse_unfit(encoder: Encoder, subnet: WeightMask | Adapter) -> None:
    """Raises ModelError for a mask or an adapter that is not of this encoder's attention weights."""
    own = {name: tuple(p.shape) for name, p in attention_weights(encoder).items()}
    given = _shapes(subnet)
    if own != given:
        differing = sorted(name for name in {*own, *given} if own.get(name) != given.get(name))
        raise ModelError(
            f"a subnetwork of weights that does not fit the encoder {encoder.name!r}: {', '.join(differing[:3])}; "
            f"find one with this encoder"
        )


def _shapes(subnet: WeightMask | Adapter) -> dict[str, tuple[int, ...]]:
    if isinstance(subnet, WeightMask):
        return {name: tuple(on.shape) for name, on in subnet.kept.items()}
    return {name: (out.shape[0], into.shape[1]) for name, (out, into) in subnet.factors.items()}


def packed(on: Bool[Tensor, "out in"]) -> UInt8[Tensor, "bytes"]:
    """Returns the mask as bits, eight a byte."""
    return torch.from_numpy(np.packbits(on.cpu().numpy()))


def unpacked(bits: UInt8[Tensor, "bytes"], shape: Sequence[int]) -> Bool[Tensor, "out in"]:
    """Returns the mask of that shape that `packed` made into bits."""
    return torch.from_numpy(np.unpackbits(bits.numpy(), count=math.prod(shape)).astype(bool).reshape(shape))


@contextmanager
def restricted_(
    network: BiaffineParser, subnet: Subnet | None
) -> Iterator[Float[Tensor, "layers attention_heads"] | None]:
    """Inside, the network runs in the subnetwork: call it with the gates that are yielded. After it, all is as before.

    What is trained inside is lost as far as the attention's projections go; `confined_` keeps it.
    """
    if subnet is None or isinstance(subnet, Tensor):
        yield subnet
        return
    weights = attention_weights(network.encoder)
    before = {name: p.detach().clone() for name, p in weights.items()}
    try:
        with confined_(network, subnet) as gates:
            yield gates
    finally:
        with torch.no_grad():
            for name, p in weights.items():
                p.copy_(before[name])


@contextmanager
def confined_(
    network: BiaffineParser, subnet: Subnet | None
) -> Iterator[Float[Tensor, "layers attention_heads"] | None]:
    """Restricts the network for good, in place: masked weights become zero, and inside they get no gradient.

    An adapter is added to the weights. Yields the gates to call it with.
    """
    if subnet is None or isinstance(subnet, Tensor):
        yield subnet
        return
    if isinstance(subnet, Adapter):
        with torch.no_grad():
            for name, p in attention_weights(network.encoder).items():
                out, into = subnet.factors[name]
                p.add_((out @ into).to(p))
        yield None
        return
    with ExitStack() as hooks:
        for name, p in attention_weights(network.encoder).items():
            on = subnet.kept[name].to(p.device)
            with torch.no_grad():
                p.mul_(on)
            if p.requires_grad:
                hooks.callback(p.register_hook(on.mul).remove)
        yield None
