"""Section 4.3: the subnetworks of several languages in one training; as gates, held fixed (static, full) or learned (4.3.2).

Called with the language of each example they give `gates[batch, layer, attention_head]`, zeros and ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from sublingual.errors import ConfigError
from sublingual.model.parser import BiaffineParser
from sublingual.model.weights import Subnet


@dataclass(frozen=True)
class DynamicConfig:
    """How gates are learned.

    `off`: the share of attention heads that is off at any time (the paper: the smallest 20 %, 28 of 144), or `static` for
    as many as the language's subnetwork has off. `rate`: the gate weights' learning rate (the paper gives none).
    `scale`: the first weight of an attention head that is on; the higher it is over the rate, the fewer gates change.
    Raises ConfigError for numbers that cannot be.
    """

    off: float | str = 0.2
    rate: float = 1e-3
    scale: float = 1e-2

    def __post_init__(self) -> None:
        if isinstance(self.off, str) and self.off != "static":
            raise ConfigError(f"off {self.off!r}: a share of the attention heads from 0 to below 1, or 'static'")
        if isinstance(self.off, float | int) and not 0 <= self.off < 1:
            raise ConfigError(f"off {self.off}: it is a share of the attention heads, from 0 to below 1")
        if not (self.rate >= 0 and self.scale > 0):
            raise ConfigError(f"rate {self.rate}, scale {self.scale}: a rate is 0 or more, a scale above 0")


class LanguageSubnetworks(nn.Module, ABC):
    """What each of several languages is restricted to in one training.

    `one_forward`: examples of several languages can share a forward pass, for which the gates tell them apart.
    """

    one_forward: bool

    def __init__(self, languages: Sequence[str]) -> None:
        super().__init__()
        self.languages = tuple(languages)

    @abstractmethod
    def forward(self, language: Int[Tensor, "batch"]) -> Float[Tensor, "batch layers attention_heads"] | None:
        """Returns the gates of each example, given the index of its language; None where all are on."""

    @abstractmethod
    def binary(self) -> Shaped[Tensor, "languages *switches"]:
        """Returns all that can be on or off, as it is now; the caller does not change it."""

    @abstractmethod
    def of(self, language: int) -> Float[Tensor, "layers attention_heads"] | None:
        """Returns the gates of one language as they are now, without gradient; None where all are on."""

    @abstractmethod
    def subnets(self) -> dict[str, Subnet]:
        """Returns by language what a trained parser is restricted to."""

    @abstractmethod
    def changed(self) -> dict[str, int]:
        """Returns by language how many switches differ from those of the start."""

    @abstractmethod
    def identity(self) -> bytes:
        """Returns what tells these subnetworks, as they are now, from others."""

    def restricted(self, network: BiaffineParser, language: int) -> AbstractContextManager[object]:
        """Returns the context in which the network runs in the language's subnetwork, for what gates cannot express."""
        return nullcontext()

    def of_encoder(self) -> list[nn.Parameter] | None:
        """Returns which of the encoder's parameters are trained; None for all of them."""
        return None

    def leave_(self) -> None:
        """Takes out of the network what was put in for the training."""
        return None

    def learning(self) -> AbstractContextManager[object]:
        """Returns the context, within `restricted`, in which gradients also reach subnetworks that are learned."""
        return nullcontext()


class OneByOne(LanguageSubnetworks):
    """What gates cannot express: the languages go through the network one after the other. Held fixed, nothing is switched."""

    one_forward = False

    def forward(self, language: Int[Tensor, "batch"]) -> None:
        return None

    def binary(self) -> Bool[Tensor, "languages switches"]:
        return torch.zeros(len(self.languages), 0, dtype=torch.bool)

    def of(self, language: int) -> None:
        return None

    def changed(self) -> dict[str, int]:
        return dict.fromkeys(self.languages, 0)


class LanguageGates(LanguageSubnetworks):
    """Fixed gates, one subnetwork a language; all ones for the full model."""

    one_forward = True

    def __init__(self, gates: Bool[Tensor, "languages layers attention_heads"], *, languages: Sequence[str]) -> None:
        super().__init__(languages)
        assert len(gates) == len(languages)
        self.register_buffer("start", gates.clone())
        self.start: Tensor

    def forward(self, language: Int[Tensor, "batch"]) -> Float[Tensor, "batch layers attention_heads"]:
        """Returns the gates of each example, given the index of its language."""
        return self.binary()[language]

    def binary(self) -> Float[Tensor, "languages layers attention_heads"]:
        """Returns the gates of all languages as they are now."""
        return self.start.float()

    def of(self, language: int) -> Float[Tensor, "layers attention_heads"]:
        return self.binary()[language]

    def subnets(self) -> dict[str, Subnet]:
        return dict(zip(self.languages, self.binary().cpu(), strict=True))

    def changed(self) -> dict[str, int]:
        n = (self.binary().bool() != self.start).sum(dim=(1, 2))
        return dict(zip(self.languages, n.tolist(), strict=True))

    def identity(self) -> bytes:
        return b"".join(as_bytes(t) for t in [self.start, *self.parameters()])


class DynamicGates(LanguageGates):
    """Gates that are learned: each language has a weight for each attention head, the smallest are off.

    The weights see the gradient of the gates as if the threshold were not there (straight-through, Bengio et al. 2013), so
    that an attention head that is off still learns, and can come back.
    """

    def __init__(
        self,
        gates: Bool[Tensor, "languages layers attention_heads"],
        *,
        languages: Sequence[str],
        config: DynamicConfig,
        importance: Float[Tensor, "languages layers attention_heads"] | None = None,
    ) -> None:
        super().__init__(gates, languages=languages)
        n = gates[0].numel()
        off = (~gates).sum(dim=(1, 2)).tolist() if isinstance(config.off, str) else [int(config.off * n)] * len(gates)
        self.off: tuple[int, ...] = tuple(off)
        self.weights = nn.Parameter(first_weights(gates, importance, scale=config.scale))
        self.start = self.binary().bool()  # what the first threshold gives, which need not be the static gates

    def forward(self, language: Int[Tensor, "batch"]) -> Float[Tensor, "batch layers attention_heads"]:
        gates: Tensor = _Threshold.apply(self.weights, self.off)
        return gates[language]

    def binary(self) -> Float[Tensor, "languages layers attention_heads"]:
        return threshold(self.weights.detach(), self.off)


def first_weights(
    gates: Bool[Tensor, "languages layers attention_heads"],
    importance: Float[Tensor, "languages layers attention_heads"] | None,
    *,
    scale: float,
) -> Float[Tensor, "languages layers attention_heads"]:
    """Returns small positive weights: from `scale` on where a gate is on, from 0 on where it is off, by importance.

    The paper says "small positive weights" and no more; equal ones would be ties, so within both the weight rises with the
    rank of importance by up to half the scale (docs/protocol.md, 2.11). Without importance the order is that of the layers.
    """
    flat = torch.zeros_like(gates, dtype=torch.float32) if importance is None else importance.float()
    ranks = flat.flatten(1).argsort(dim=1, stable=True).argsort(dim=1).view_as(flat)
    return scale * (gates + 0.5 * ranks / gates[0].numel())


def threshold(
    weights: Float[Tensor, "languages layers attention_heads"], off: Sequence[int]
) -> Float[Tensor, "languages layers attention_heads"]:
    """Returns zeros for each language's `off` smallest weights and ones for the rest."""
    flat = weights.flatten(1)
    order = flat.argsort(dim=1, stable=True).argsort(dim=1)  # the rank of each weight
    return (order >= torch.tensor(off, device=weights.device)[:, None]).view_as(weights).to(weights.dtype)


class _Threshold(torch.autograd.Function):
    """The threshold forward, the identity backward."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, off: tuple[int, ...]) -> Tensor:
        return threshold(weights, off)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, None]:
        return gradients[0], None


def as_bytes(tensor: Tensor) -> bytes:
    """Returns the tensor's bytes."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def stacked(gates: Mapping[str, Any], languages: Sequence[str]) -> Bool[Tensor, "languages layers attention_heads"]:
    """Returns the gates of these languages in this order; raises ConfigError for a language that has none."""
    missing = [code for code in languages if code not in gates]
    if missing:
        raise ConfigError(f"no subnetwork for {', '.join(missing)}; there are: {', '.join(gates) or 'none'}")
    return torch.stack([torch.as_tensor(gates[code]).bool() for code in languages])
