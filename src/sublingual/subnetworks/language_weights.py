"""Section 8: subnetworks of single weights of several languages in one training, held fixed or learned (4.3.2).

Memory, for 12 layers x 384 (7.1 million weights) and seven languages: fixed masks take a byte a weight and language (50 MB);
learned ones 4 bytes, as much for their gradient and twice for Adam (800 MB). Either way the attention's weights are copied
while a language runs (28 MB).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sublingual.model.parser import BiaffineParser
from sublingual.model.weights import Subnet, WeightMask, attention_weights, restricted_
from sublingual.subnetworks.dynamic import DynamicConfig, OneByOne, as_bytes
from sublingual.subnetworks.masks import WeightSubnetwork


class LanguageWeights(OneByOne):
    """Fixed masks of single weights, one a language."""

    def __init__(self, masks: Mapping[str, WeightMask]) -> None:
        super().__init__([*masks])
        self.masks = dict(masks)

    def subnets(self) -> dict[str, Subnet]:
        return dict(self.masks)

    def identity(self) -> bytes:
        digest = hashlib.sha256()
        for mask in self.masks.values():
            for name, on in mask.kept.items():
                digest.update(name.encode() + on.numpy().tobytes())
        return digest.digest()

    def restricted(self, network: BiaffineParser, language: int) -> AbstractContextManager[object]:
        return restricted_(network, self.masks[self.languages[language]])


class DynamicWeights(OneByOne):
    """Learned masks of single weights: a language has a weight for each of the attention's weights, the smallest are off.

    As with `DynamicGates` they see the gradient as if there were no threshold: that of the loss for a weight that is off or
    on, times the weight.
    """

    def __init__(self, start: Mapping[str, WeightMask], *, rank: Int[Tensor, "weights"], config: DynamicConfig) -> None:
        super().__init__([*start])
        self.shapes = {name: on.shape for name, on in next(iter(start.values())).kept.items()}
        on = torch.stack([torch.cat([kept.flatten() for kept in mask.kept.values()]) for mask in start.values()])
        n = on.shape[1]
        static = isinstance(config.off, str)
        self.off = tuple((~own).sum().item() if static else int(config.off * n) for own in on)
        self.weights = nn.Parameter(config.scale * (on + 0.5 * rank / n))  # as `dynamic.first_weights`
        self.start = self.binary()
        self.is_learning = False

    def binary(self) -> Bool[Tensor, "languages weights"]:
        return torch.stack([self._on(i) for i in range(len(self.languages))])

    def subnets(self) -> dict[str, Subnet]:
        return {code: self._mask(i) for i, code in enumerate(self.languages)}

    def changed(self) -> dict[str, int]:
        return dict(zip(self.languages, (self.binary() != self.start).sum(dim=1).tolist(), strict=True))

    def identity(self) -> bytes:
        return hashlib.sha256(as_bytes(self.weights)).digest()

    @contextmanager
    def restricted(self, network: BiaffineParser, language: int) -> Iterator[None]:
        weights, mask = attention_weights(network.encoder), self._mask(language)
        before = {name: p.detach().clone() for name, p in weights.items()}
        at = 0
        with ExitStack() as hooks:
            for name, p in weights.items():
                # Before the mask's own hook, which takes the gradient of what is off away.
                learn = partial(
                    self._learn, language, slice(at, at := at + p.numel()), p, mask.kept[name], before[name]
                )
                hooks.callback(p.register_hook(learn).remove)
            with restricted_(network, mask):
                yield

    @contextmanager
    def learning(self) -> Iterator[None]:
        self.is_learning = True
        try:
            yield
        finally:
            self.is_learning = False

    def _learn(self, language: int, part: slice, p: Tensor, on: Tensor, before: Tensor, gradient: Tensor) -> None:
        if not self.is_learning:
            return
        if self.weights.grad is None:
            self.weights.grad = torch.zeros_like(self.weights)
        value = torch.where(on, p.detach(), before)  # what is off is zero in the network meanwhile
        self.weights.grad[language, part] += (gradient * value).flatten()

    def _on(self, language: int) -> Bool[Tensor, "weights"]:
        return largest(self.weights.detach()[language], off=self.off[language])

    def _mask(self, language: int) -> WeightMask:
        parts = self._on(language).split([shape.numel() for shape in self.shapes.values()])
        return WeightMask({name: on.view(shape) for (name, shape), on in zip(self.shapes.items(), parts, strict=True)})


def largest(weights: Float[Tensor, "weights"], *, off: int) -> Bool[Tensor, "weights"]:
    """Returns True but for the `off` smallest; of equal ones those are off that come first."""
    if off == 0:
        return torch.ones_like(weights, dtype=torch.bool)
    edge = weights.kthvalue(off).values
    on = weights > edge
    tied = torch.nonzero(weights == edge).squeeze(1)
    on[tied[off - int((weights < edge).sum()) :]] = True
    return on


def mask_of(subnetwork: WeightSubnetwork) -> WeightMask:
    """Returns the subnetwork of a file as what a network runs in."""
    return WeightMask({name: torch.from_numpy(on) for name, on in subnetwork.kept.items()})
