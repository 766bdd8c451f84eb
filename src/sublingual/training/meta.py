"""Stage 2, episodic: first-order MAML with subnetworks (section 4.4, algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sublingual.adaptation import AdaptConfig, adapt_
from sublingual.data.batches import Encoded
from sublingual.errors import TrainingError
from sublingual.model.parser import BiaffineParser
from sublingual.subnetworks.dynamic import LanguageSubnetworks
from sublingual.training.joint import together_


@dataclass(frozen=True)
class Episode:
    """By language: the support loss per word before the first and before the last inner step, and the query's after them."""

    before: list[float]
    after: list[float]
    query: list[float]


def meta_gradients_(
    network: BiaffineParser,
    gates: LanguageSubnetworks,
    supports: Sequence[Sequence[Encoded]],
    queries: Sequence[Sequence[Encoded]],
    *,
    inner: AdaptConfig,
    budget: int,
    precision: str,
    observe: Callable[[int, Sequence[Tensor | None]], None] | None = None,
) -> Episode:
    """Adds the mean over languages of the query gradients at the learners phi; returns the losses. Parameters end as they were.

    For each language: phi starts as theta, takes the inner steps phi <- phi - alpha grad_phi L(phi, support) in its
    subnetwork (algorithm 1 prints grad_theta, by which k steps would be one; docs/protocol.md 2.7), and the gradient of the
    query loss at phi stands for the one at theta (first order). The gates are fixed within the episode; learned ones get
    the query's gradient. The mean replaces algorithm 1's sum, as section 4.2 has it. Nothing is kept of a language but its
    gradient, which is added to one buffer: beside the parameters there are two copies of them, whatever the number of
    languages or steps. A language with neither support nor query adds nothing. `observe` is told each language's query
    gradients. Raises TrainingError that names the language whose loss is not finite.
    """
    parameters: list[Tensor] = [p for p in network.parameters() if p.requires_grad]
    theta = [p.detach().clone() for p in parameters]
    total = [torch.zeros_like(p) for p in parameters]
    episode = Episode([], [], [])
    network.zero_grad(set_to_none=True)
    try:
        for i, (support, query) in enumerate(zip(supports, queries, strict=True)):
            if not support and not query:  # another process's
                for nothing in (episode.before, episode.after, episode.query):
                    nothing.append(0.0)
                continue
            with gates.restricted(network, i):
                losses = _inner_(network, support, config=inner, gates=gates.of(i), language=gates.languages[i])
                network.train()
                alone = [query if j == i else [] for j in range(len(queries))]
                with gates.learning():
                    query_loss = together_(network, gates, alone, budget=budget, precision=precision)[i]
            own = [p.grad for p in parameters]
            if observe is not None:
                observe(i, own)
            with torch.no_grad():
                for sum_, gradient in zip(total, own, strict=True):
                    if gradient is not None:
                        sum_.add_(gradient)
                torch._foreach_copy_(parameters, theta)
            network.zero_grad(set_to_none=True)
            episode.before.append(losses[0])
            episode.after.append(losses[-1])
            episode.query.append(query_loss)
    finally:
        with torch.no_grad():
            torch._foreach_copy_(parameters, theta)
    for p, gradient in zip(parameters, total, strict=True):
        p.grad = gradient
    return episode


def _inner_(
    network: BiaffineParser, support: Sequence[Encoded], *, config: AdaptConfig, gates: Tensor | None, language: str
) -> tuple[float, ...]:
    try:
        return adapt_(network, support, config=config, gates=gates)
    except TrainingError as fault:
        places = ", ".join(e.sentence.place for e in support)
        raise TrainingError(f"in the inner loop of {language}: {fault} (its support: {places})") from fault
