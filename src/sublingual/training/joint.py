"""Stage 2, non-episodic (section 4.2): a batch of each language, each example in its subnetwork, the losses averaged."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sublingual.data.batches import Encoded, micro_batches, pack
from sublingual.model.parser import BiaffineParser
from sublingual.runtime import autocast
from sublingual.subnetworks.dynamic import LanguageSubnetworks


def joint_gradients_(
    network: BiaffineParser,
    gates: LanguageSubnetworks,
    batches: Sequence[Sequence[Encoded]],
    *,
    budget: int,
    precision: str,
) -> list[float]:
    """Adds the gradient of the mean over languages of each one's loss per word; returns those losses.

    `batches` holds the sentences of each language, in the order of the gates. Where subnetworks are gates, all languages
    share each forward and backward pass; where they are masks of single weights, which no two languages can share, the
    languages take the same step one after the other. A language without sentences adds nothing.
    """
    network.train()
    if gates.one_forward:
        return together_(network, gates, batches, budget=budget, precision=precision)
    losses = []
    for i, batch in enumerate(batches):
        alone = [batch if j == i else [] for j in range(len(batches))]
        with gates.restricted(network, i), gates.learning():
            losses.append(together_(network, gates, alone, budget=budget, precision=precision)[i])
    return losses


def together_(
    network: BiaffineParser,
    gates: LanguageSubnetworks,
    batches: Sequence[Sequence[Encoded]],
    *,
    budget: int,
    precision: str,
) -> list[float]:
    """As `joint_gradients_`, all languages in one pass: sorted by length, cut into runs of `budget` pieces, only the gates
    tell them apart."""
    share = [1 / (len(batches) * max(1, _n_annotated(batch))) for batch in batches]
    language = {id(e): i for i, batch in enumerate(batches) for e in batch}
    losses = torch.zeros(len(batches), device=network.device)
    for run in micro_batches([e for batch in batches for e in batch], budget=budget):
        of = torch.tensor([language[id(e)] for e in run], device=network.device)
        weight = torch.tensor([share[language[id(e)]] for e in run], device=network.device)
        with autocast(network.device, precision=precision):
            weighted = network.loss(pack(run).to(network.device), gates(of)).sentences * weight
        weighted.sum().backward()
        losses.index_add_(0, of, weighted.detach())
    return [float(loss) * len(batches) for loss in losses]


def _n_annotated(batch: Sequence[Encoded]) -> int:
    return sum(int((e.heads >= 0).sum()) for e in batch)
