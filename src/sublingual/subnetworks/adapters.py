"""In UDapter's place: an adapter of each language (LoRA, Hu et al. 2022, by the library PEFT) on the frozen encoder.

Üstün et al. 2020 generate theirs from typology, which no maintained library does; here a new language gets the adapter of the
nearest training language, as it gets a subnetwork elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from sublingual.errors import ConfigError
from sublingual.model.parser import BiaffineParser
from sublingual.model.weights import Adapter, Subnet, attention_weights
from sublingual.subnetworks.dynamic import OneByOne, as_bytes

RANK = 8
"""That of PEFT's own default."""

SCALE = 4.0
"""On the product of the factors, which learn at the encoder's rate and not at a higher one of their own. Not tuned."""


class LanguageAdapters(OneByOne):
    """Adapters that are learned, one a language, on the attention's projections; the rest of the encoder stays as it is.

    They are modules of the network's encoder until `leave_`. Raises
    ConfigError where PEFT is not there.
    """

    def __init__(self, network: BiaffineParser, languages: Sequence[str], *, seed: int) -> None:
        super().__init__(languages)
        try:
            from peft import LoraConfig, LoraModel  # an extra, and slow to import
        except ImportError as fault:
            raise ConfigError("adapters need the library PEFT: pip install 'sublingual[adapters]'") from fault
        names = [name.removesuffix(".weight") for name in attention_weights(network.encoder)]
        config = LoraConfig(r=RANK, lora_alpha=SCALE * RANK, target_modules=names)
        model = network.encoder.model
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            tuner = LoraModel(model, dict.fromkeys(self.languages, config), self.languages[0])
            for code in self.languages[1:]:
                tuner.inject_adapter(model, code)
        self.held = [tuner]  # in a list: as a module of this one its parameters would be counted twice
        self.layers = {f"{name}.weight": model.get_submodule(name) for name in names}

    def subnets(self) -> dict[str, Subnet]:
        return {code: self._adapter(code) for code in self.languages}

    def identity(self) -> bytes:
        return hashlib.sha256(b"".join(as_bytes(p) for p in self._factors())).digest()

    def of_encoder(self) -> list[nn.Parameter]:
        return self._factors()

    @contextmanager
    def restricted(self, network: BiaffineParser, language: int) -> Iterator[None]:
        self.held[0].set_adapter(self.languages[language])
        for p in self._factors():  # those of other languages were frozen, and are the optimizer's too
            p.requires_grad_(True)
        yield

    def leave_(self) -> None:
        """Takes the adapters out of the network, which is then as it was; `subnets` still has them."""
        self.held[0].unload()

    def _factors(self) -> list[nn.Parameter]:
        return [
            layer.get_parameter(f"{side}.{code}.weight")
            for layer in self.layers.values()
            for code in self.languages
            for side in ("lora_A", "lora_B")
        ]

    def _adapter(self, code: str) -> Adapter:
        return Adapter(
            {
                name: (
                    SCALE * layer.get_parameter(f"lora_B.{code}.weight").detach().cpu(),
                    layer.get_parameter(f"lora_A.{code}.weight").detach().cpu().clone(),
                )
                for name, layer in self.layers.items()
            }
        )
