"""Optimizer groups, learning-rate schedules and gradual unfreezing (section 4.2, appendix A; docs/protocol.md 1C)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from sublingual.errors import ConfigError
from sublingual.model.parser import BiaffineParser

Schedule = Literal["cosine", "inverse-sqrt", "constant"]


@dataclass(frozen=True)
class OptimConfig:
    """AdamW with one rate for the encoder and one for the classifier (layer mix, root, projections, scorers).

    The rates are the paper's for mBERT; the preset `bundled` has those of the bundled encoder. `warmup` is the share of
    steps in which the rate rises (paper: 0.1). `frozen_steps` trains the classifier alone; after them the encoder's layers
    join from the top down at equal distances, what lies below them after `thaw_steps` more. `embeddings` trains the piece
    embeddings as well. Raises ConfigError for numbers that no run can have.
    """

    encoder_rate: float = 5e-5
    classifier_rate: float = 1e-3
    weight_decay: float = 0.01
    beta2: float = 0.99
    clip: float = 5.0
    schedule: Schedule = "cosine"
    warmup: float = 0.1
    frozen_steps: int = 0
    thaw_steps: int = 0
    embeddings: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.warmup <= 1:
            raise ConfigError(f"warmup {self.warmup}: it is a share of the steps, from 0 to 1")
        for name in ("encoder_rate", "classifier_rate", "weight_decay", "frozen_steps", "thaw_steps"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name} {getattr(self, name)}: it is 0 or more, and a number")
        if not 0 <= self.beta2 < 1:
            raise ConfigError(f"beta2 {self.beta2}: it is 0 or more and below 1")
        if not self.clip > 0:
            raise ConfigError(f"clip {self.clip}: it is above 0; inf for none")


def optimizer(
    network: BiaffineParser, config: OptimConfig, *, of_encoder: Sequence[nn.Parameter] | None = None
) -> torch.optim.AdamW:
    """Returns AdamW over two groups, `encoder` and `classifier`; each trained parameter is in exactly one.

    All of the encoder is thawed (changes `requires_grad`), but for the piece embeddings where they are not trained: what
    an earlier run left frozen is no reason to miss it in this one. `of_encoder`: train these of it alone, and freeze the rest.
    Parameters of the classifier that are frozen stay so.
    """
    for p in network.encoder_parameters():
        p.requires_grad_(of_encoder is None)
    network.encoder.model.get_input_embeddings().weight.requires_grad_(config.embeddings and of_encoder is None)
    for p in of_encoder or ():
        p.requires_grad_(True)
    groups = [
        {"name": "encoder", "params": trained(network.encoder_parameters()), "lr": config.encoder_rate},
        {"name": "classifier", "params": trained(network.classifier_parameters()), "lr": config.classifier_rate},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, config.beta2), weight_decay=config.weight_decay, fused=True)


def trained(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Returns the parameters that are not frozen."""
    return [p for p in parameters if p.requires_grad]


def rate_factor(schedule: Schedule, *, steps: int, warmup: float) -> Callable[[int], float]:
    """Returns the factor on the base rate at a step counted from 0.

    `cosine`: linear from 0 to 1 over the warm-up, then half a cosine to 0 when the steps are done. `inverse-sqrt` (Langedijk et
    al., after Vaswani et al. 2017): 5 min(s^-1/2, s w^-3/2) with s = step + 1 and w the warm-up's steps. `constant`: 1.
    """
    rising = round(warmup * steps)
    if schedule == "constant":
        return lambda step: 1.0
    if schedule == "inverse-sqrt":
        w = max(rising, 1)
        return lambda step: 5 * min((step + 1) ** -0.5, (step + 1) * w**-1.5)
    if schedule == "cosine":
        falling = max(steps - rising, 1)
        return lambda step: (
            step / rising if step < rising else 0.5 * (1 + math.cos(math.pi * (step - rising) / falling))
        )
    raise ConfigError(f"unknown schedule {schedule!r}; allowed: cosine, inverse-sqrt, constant")


class Rates:
    """The learning rates of an optimizer's groups along a schedule."""

    def __init__(self, optimizer: torch.optim.Optimizer, config: OptimConfig, *, steps: int) -> None:
        self.optimizer = optimizer
        self.base = [float(group["lr"]) for group in optimizer.param_groups]
        self.factor = rate_factor(config.schedule, steps=steps, warmup=config.warmup)

    def set_(self, step: int) -> None:
        """Sets the rates of the step counted from 0 (changes the optimizer's groups)."""
        for group, rate in zip(self.optimizer.param_groups, self.base, strict=True):
            group["lr"] = rate * self.factor(step)


def thaw_(network: BiaffineParser, config: OptimConfig, *, step: int) -> None:
    """Freezes or thaws the encoder's layers for this step (changes their `requires_grad`)."""
    layers = encoder_layers(network)
    for i, layer in enumerate(layers):
        from_top = len(layers) - 1 - i
        awake = step >= config.frozen_steps + config.thaw_steps * from_top / len(layers)
        for p in layer.parameters():
            p.requires_grad_(awake)
    rest = {id(p) for layer in layers for p in layer.parameters()}
    table = network.encoder.model.get_input_embeddings().weight
    for p in network.encoder_parameters():
        if id(p) not in rest and p is not table:
            p.requires_grad_(step >= config.frozen_steps + config.thaw_steps)
    table.requires_grad_(config.embeddings and step >= config.frozen_steps + config.thaw_steps)


def encoder_layers(network: BiaffineParser) -> list[nn.Module]:
    """Returns the encoder's layers from the bottom up."""
    n = network.encoder.n_layers
    for module in network.encoder.model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == n:
            return list(module)
    raise ConfigError(f"the encoder {network.encoder.name!r} has no list of {n} layers to thaw one by one")
