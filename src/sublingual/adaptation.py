"""Adaptation: k gradient steps on a support set. One function serves the linguist's command, few-shot testing (section
4.5) and the inner loop of MAML (algorithm 1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sublingual.data.batches import Batch, Encoded, micro_batches, pack
from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError, DataError, TrainingError
from sublingual.model.parser import BiaffineParser
from sublingual.model.weights import Adapter, Subnet, confined_
from sublingual.parsing import Parser
from sublingual.runtime import autocast, forked_random, keep_memory


@dataclass(frozen=True)
class AdaptConfig:
    """How to adapt: section 4.5's 20 full-batch updates with a constant rate and a fresh optimizer (docs/protocol.md 1C).

    `adam` is what non-episodic models adapt with, `sgd` what MAML's inner loop uses. The rates suit the
    bundled encoder and were chosen on the validation languages (docs/log.md).
    `clip` bounds the gradient's norm; `dropout`: dropout and hidden pieces as in training (the code base keeps them on).
    `embeddings`: the piece embeddings are adapted as well (docs/protocol.md 1C: every parameter). `parts`: all, or of the
    encoder its biases and norms alone (`SHARED` has rates for it), so that parsers of many languages can share the rest in
    memory; both are for `adapt`, not for MAML's inner loop. Raises ConfigError for
    numbers that no adaptation can have.
    """

    steps: int = 20
    optimizer: Literal["adam", "sgd"] = "adam"
    encoder_rate: float = 1e-4
    classifier_rate: float = 5e-4
    clip: float = 5.0
    dropout: bool = True
    embeddings: bool = True
    parts: Literal["all", "small"] = "all"
    budget: int = 4096
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.optimizer not in ("adam", "sgd"):
            raise ConfigError(f"unknown optimizer {self.optimizer!r}; allowed: adam, sgd")
        if self.parts not in ("all", "small"):
            raise ConfigError(f"unknown parts {self.parts!r}; allowed: all, small")
        if self.steps < 0 or self.budget < 1:
            raise ConfigError(f"steps {self.steps}, budget {self.budget}: they are 0 and 1 or more")
        if not (0 <= self.encoder_rate < math.inf and 0 <= self.classifier_rate < math.inf and self.clip > 0):
            raise ConfigError(
                f"rates {self.encoder_rate} and {self.classifier_rate}, clip {self.clip}: rates are 0 or more, clip is above 0"
            )


SHARED: dict[str, Any] = {"parts": "small", "encoder_rate": 1e-3, "classifier_rate": 1e-3}
"""How a parser is adapted that shall share its encoder with others; the rates are from the validation languages."""


def config_for(parser: Parser) -> AdaptConfig:
    """Returns how the parser adapts by default: one that was meta-trained as its inner loop did, with 20 steps.

    Section 4.5: "the same hyperparameter values as during training".
    """
    settings = parser.about.settings
    if settings.get("row", {}).get("loop") != "meta":
        return AdaptConfig()
    inner, outer = settings["stage2"]["inner"], settings["stage2"]["outer"]
    same = {name: inner[name] for name in ("optimizer", "encoder_rate", "classifier_rate", "clip", "dropout")}
    return AdaptConfig(**same, embeddings=outer["embeddings"])  # stage 2 freezes them, or not, for both loops


@dataclass(frozen=True)
class Adapted:
    """A parser adapted to a support set, and labels that got a new row.

    `losses`: the support set's loss per word before each step, as training sees it (with dropout); `before` and `after`:
    that of the whole set without dropout. Where the second is not below the first, the steps did not adapt it.
    """

    parser: Parser
    losses: tuple[float, ...]
    before: float
    after: float
    new_labels: tuple[str, ...]


def adapt(
    parser: Parser,
    support: Sequence[Sentence],
    *,
    config: AdaptConfig | None = None,
    seed: int = 0,
    gates: Subnet | None = None,
    progress: Callable[[int, float], None] | None = None,
    watch: Callable[[int, Parser], None] | None = None,
) -> Adapted:
    """Returns a new parser adapted to the support sentences; the given one stays as it was to the bit.

    `config` defaults to `config_for` the parser. A label that the parser does not know gets a row that starts from its
    base relation; a word whose head is not annotated (`_`) does not count. `gates`, or else the parser's own, restrict
    the encoder in training and in the result; a weight that a subnetwork of single weights lacks is and stays zero, and an
    adapter becomes a part of the weights, on which no other one fits. All
    parameters are adapted, also those that fine-tuning froze (the piece embeddings as `config` says), so that a parser
    adapts alike before and after it is saved. `progress` is told each step and its loss; `watch` is shown the parser as each
    step leaves it, to parse with and not to keep (sentences whose pieces it has: its embeddings must not grow under the
    optimizer). Raises DataError for a support set without any annotated word or with a label that has no base relation,
    TrainingError for a loss that is not finite, also after the last step.

    >>> adapted = adapt(parser, read_conllu("my.conllu"))      # doctest: +SKIP
    >>> adapted.parser.parse(read_conllu("new.conllu", heads="ignored"))      # doctest: +SKIP
    """
    if not any(head is not None for sentence in support for head in sentence.heads):
        raise DataError(
            f"the support set has no word with a head in its {len(support)} sentences; annotate HEAD and DEPREL of some"
        )
    keep_memory()
    config = config or config_for(parser)
    parser = parser if gates is None else replace(parser, gates=gates)
    network = deepcopy(parser.network).with_labels_of(support)
    new_labels = parser.network.vocabulary.missing(network.vocabulary.labels)
    encoded = network.encode(support, gold=True)
    held = replace(parser, gates=None, subnetworks={}) if isinstance(parser.gates, Adapter) else parser
    _free_(network, config)

    def told(step: int, loss: float) -> None:
        if progress is not None:
            progress(step, loss)
        if watch is not None:
            watch(step, replace(held, network=network))

    with forked_random(network.device), confined_(network, parser.gates) as own:
        torch.manual_seed(seed)
        before = support_loss(network, encoded, config=config, gates=own)
        losses = adapt_(network, encoded, config=config, gates=own, progress=told)
        after = support_loss(network, encoded, config=config, gates=own)
    if not math.isfinite(after):  # of the last step nothing else is seen
        raise TrainingError(f"the loss after the last step of adaptation is {after}; lower the rates, or adapt in fp32")
    return Adapted(replace(held, network=network), losses, before, after, new_labels)


def _free_(network: BiaffineParser, config: AdaptConfig) -> None:
    """Lets the parameters be adapted that the settings name, and no other."""
    network.requires_grad_(True)
    small = config.parts == "small"
    for parameter in network.encoder_parameters():
        parameter.requires_grad_(not small or parameter.ndim == 1)
    network.encoder.model.get_input_embeddings().requires_grad_(config.embeddings and not small)


@torch.no_grad()
def support_loss(
    network: BiaffineParser,
    support: Sequence[Encoded],
    *,
    config: AdaptConfig,
    gates: Float[Tensor, "layers attention_heads"] | None = None,
) -> float:
    """Returns the loss per word of the support set without dropout; leaves the network in eval mode."""
    network.eval()
    total, n_words = 0.0, 0
    for run in micro_batches(support, budget=config.budget):
        batch = pack(run).to(network.device)
        with autocast(network.device, precision=config.precision):
            total += network.loss(batch, _expanded(gates, batch)).total.item()
        n_words += batch.n_annotated
    return total / max(1, n_words)


def adapt_(
    network: BiaffineParser,
    support: Sequence[Encoded],
    *,
    config: AdaptConfig,
    gates: Float[Tensor, "layers attention_heads"] | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> tuple[float, ...]:
    """Takes the network's parameters `config.steps` gradient steps down the loss of the support set, in place.

    Returns the loss per word before each step. Parameters that are frozen stay. Draws dropout from torch's random state.
    Raises TrainingError for a loss or a gradient that is not finite, before its step is taken.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    step = _optimizer(network, config)
    network.train(config.dropout)
    runs = list(micro_batches(support, budget=config.budget))
    batches = [pack(run).to(network.device) for run in runs]
    n_words = max(1, sum(batch.n_annotated for batch in batches))  # an episode's support may have none
    losses = []
    for k in range(config.steps):
        total = 0.0
        for batch in batches:
            with autocast(network.device, precision=config.precision):
                loss = network.loss(batch, _expanded(gates, batch)).total / n_words
            total += loss.item()
            loss.backward()
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, config.clip))
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise TrainingError(
                f"the loss of adaptation step {k + 1} is {total}, the norm of its gradient {norm}; lower the rates, adapt in "
                f"fp32, or load the model anew"
            )
        step.step()
        step.zero_grad(set_to_none=True)
        losses.append(total)
        if progress is not None:
            progress(k + 1, total)
    return tuple(losses)


def _expanded(gates: Tensor | None, batch: Batch) -> Tensor | None:
    """The same gates for every sentence of the batch."""
    return None if gates is None else gates.to(batch.pieces.device).expand(len(batch), -1, -1)


def _optimizer(network: BiaffineParser, config: AdaptConfig) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in network.encoder_parameters() if p.requires_grad], "lr": config.encoder_rate},
        {"params": [p for p in network.classifier_parameters() if p.requires_grad], "lr": config.classifier_rate},
    ]
    if config.optimizer == "adam":
        return torch.optim.AdamW(groups, weight_decay=0.0, fused=True)
    return torch.optim.SGD(groups, fused=True)
