"""Section 8: subnetworks of single weights of several languages in one training.

Memory: a byte a weight and language (7 MB each for 12 layers x 384), and one copy of the attention's weights while a
language runs (28 MB).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sublingual.model.parser import BiaffineParser
from sublingual.model.weights import Subnet, WeightMask, restricted_
from sublingual.subnetworks.dynamic import LanguageSubnetworks
from sublingual.subnetworks.masks import WeightSubnetwork


class LanguageWeights(LanguageSubnetworks):
    """Fixed masks of single weights, one a language. The languages go through the network one after the other."""

    one_forward = False

    def __init__(self, masks: Mapping[str, WeightMask]) -> None:
        super().__init__([*masks])
        self.masks = dict(masks)

    def forward(self, language: Int[Tensor, "batch"]) -> None:
        return None

    def binary(self) -> Bool[Tensor, "languages 0"]:
        """Nothing is ever switched: none is told."""
        return torch.zeros(len(self.languages), 0, dtype=torch.bool)

    def of(self, language: int) -> None:
        return None

    def subnets(self) -> dict[str, Subnet]:
        return dict(self.masks)

    def changed(self) -> dict[str, int]:
        return dict.fromkeys(self.languages, 0)

    def identity(self) -> bytes:
        digest = hashlib.sha256()
        for mask in self.masks.values():
            for name, on in mask.kept.items():
                digest.update(name.encode() + on.numpy().tobytes())
        return digest.digest()

    def restricted(self, network: BiaffineParser, language: int) -> AbstractContextManager[object]:
        return restricted_(network, self.masks[self.languages[language]])


def mask_of(subnetwork: WeightSubnetwork) -> WeightMask:
    """Returns the subnetwork of a file as what a network runs in."""
    return WeightMask({name: torch.from_numpy(on) for name, on in subnetwork.kept.items()})
