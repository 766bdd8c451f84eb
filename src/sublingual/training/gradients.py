"""Section 7.2: do the languages' gradients pull the same way? Cosines and conflicts over the last steps of stage 2.

Observed, never changed: a run with an observer ends with the same bits as one without.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import mean
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sublingual.data.batches import Encoded
from sublingual.errors import ConfigError
from sublingual.model.parser import BiaffineParser
from sublingual.runtime import forked_random
from sublingual.subnetworks.dynamic import LanguageSubnetworks
from sublingual.training.joint import together_


class Conflicts:
    """Collects, for each of the last steps, the cosine between every two languages' gradients of the encoder.

    `steps` are those of the run, `last` how many of them are observed (the paper: 50); with `everything` the classifier's
    gradients count as well (docs/protocol.md, 2.30).
    """

    def __init__(
        self, network: BiaffineParser, languages: Sequence[str], *, steps: int, last: int = 50, everything: bool = False
    ) -> None:
        self.network, self.everything = network, everything
        self.languages, self.first = tuple(languages), steps - last
        self.held: list[list[Tensor]] = []
        self.cosines: dict[int, Float[Tensor, "languages languages"]] = {}

    def wants(self, step: int) -> bool:
        """Whether the step, counted from 0, is one of the last."""
        return step >= self.first

    def __call__(self, step: int, language: int, gradients: Sequence[Tensor | None]) -> None:
        """Takes the gradients of a language's loss for the trained parameters (None: zeros); languages come in order."""
        assert language == len(self.held)
        encoder = {id(p) for p in self.network.encoder_parameters()}
        trained = [self.everything or id(p) in encoder for p in self.network.parameters() if p.requires_grad]
        counted = [g for g, counts in zip(gradients, trained, strict=True) if counts]
        self.held.append([torch.zeros(()) if g is None else g.detach().clone() for g in counted])
        if len(self.held) == len(self.languages):
            self.cosines[step] = cosines(self.held)
            self.held = []

    def record(self) -> dict[str, Any]:
        """Returns JSON values: for each step and in the mean, the cosine and the share of pairs in conflict (cosine < 0)."""
        if not self.cosines:
            raise ConfigError("no step was observed: the run has none, or resumed after its last")
        pairs = list(combinations(range(len(self.languages)), 2))
        names = [f"{self.languages[a]}-{self.languages[b]}" for a, b in pairs]
        steps = {step: [float(found[a, b]) for a, b in pairs] for step, found in self.cosines.items()}
        return {
            "languages": list(self.languages),
            "pairs": names,
            "cosine": mean(mean(row) for row in steps.values()),
            "conflicts": mean(share(row) for row in steps.values()),
            "cosine_by_pair": dict(zip(names, map(mean, zip(*steps.values(), strict=True)), strict=True)),
            "conflicts_by_pair": dict(zip(names, map(share, zip(*steps.values(), strict=True)), strict=True)),
            "steps": [{"step": step, "cosines": row} for step, row in steps.items()],
        }


def cosines(gradients: Sequence[Sequence[Tensor]]) -> Float[Tensor, "languages languages"]:
    """Returns the cosine between every two languages' gradients, flattened over all parameters; 0 where one is zero."""
    n = len(gradients)
    products = torch.zeros(n, n, dtype=torch.float64)
    for a in range(n):
        for b in range(a, n):
            found = sum(
                float((x * y).sum(dtype=torch.float64)) for x, y in zip(gradients[a], gradients[b], strict=True)
            )
            products[a, b] = products[b, a] = found
    norms = products.diagonal().sqrt()
    return products / (norms[:, None] * norms[None, :]).clamp(min=1e-30)


def share(row: Sequence[float]) -> float:
    """Returns the share of cosines below 0."""
    return sum(value < 0 for value in row) / len(row)


def observe_joint(
    network: BiaffineParser,
    gates: LanguageSubnetworks,
    batches: Sequence[Sequence[Encoded]],
    conflicts: Conflicts,
    *,
    step: int,
    budget: int,
    precision: str,
) -> None:
    """Shows each language's gradient of the batches, which the shared pass of the joint loop does not hold apart.

    Costs a pass a language, with dropout of its own; the random state and all gradients are as before.
    """
    network.train()
    parameters = [p for p in network.parameters() if p.requires_grad]
    with forked_random(network.device):
        for i, batch in enumerate(batches):
            alone = [batch if j == i else [] for j in range(len(batches))]
            with gates.restricted(network, i):
                together_(network, gates, alone, budget=budget, precision=precision)
            conflicts(step, i, [p.grad for p in parameters])
            network.zero_grad(set_to_none=True)
            gates.zero_grad(set_to_none=True)
