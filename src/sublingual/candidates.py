"""The ways to adapt among which cross-validation chooses: systems, subnetworks, rates, steps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor

from sublingual.adaptation import AdaptConfig, config_for
from sublingual.data.conllu import Sentence
from sublingual.errors import LanguageError
from sublingual.languages import Language, nearest
from sublingual.model.weights import Subnet, tensors_of
from sublingual.parsing import Parser

STEPS = (20, 10, 40)
"""After how many steps a run is looked at; the first is the default."""
RATES = (1.0, 0.5)
"""By what the default rates are multiplied."""
N_NEAREST = 3


@dataclass(frozen=True)
class Setting:
    """A way to adapt. `steps`: those after which it is looked at, the first being the default; `subnetwork`: whose, by code."""

    name: str
    parser: Parser
    config: AdaptConfig
    gates: Subnet | None = None
    subnetwork: str | None = None
    steps: tuple[int, ...] = (AdaptConfig.steps,)

    def at(self, steps: int) -> AdaptConfig:
        """Returns how to adapt with so many steps."""
        return replace(self.config, steps=steps)

    @property
    def unadapted(self) -> Parser:
        """The parser before adaptation, in the setting's subnetwork."""
        return self.parser if self.gates is None else replace(self.parser, gates=self.gates)

    def as_dict(self) -> dict[str, Any]:
        """Returns what decides its results, as JSON values."""
        gates = _digest(tensors_of(self.gates))
        config = {**asdict(self.config), "steps": max(self.steps)}
        return {
            "name": self.name,
            "parser": identity(self.parser),
            "config": config,
            "gates": gates,
            "steps": self.steps,
        }


def candidates(
    parsers: Mapping[str, Parser], language: Language | None, *, changes: Mapping[str, Any], auto: bool
) -> tuple[Setting, ...]:
    """Returns the settings to choose from, those that promise most first; the first is the default.

    The default is the first parser in the subnetwork of the nearest language, as `config_for` adapts it. `auto` adds the other
    parsers, lower rates, other numbers of steps, and the subnetworks of the three nearest languages and the full encoder. For
    a language that is not known, or has no URIEL vector, all subnetworks are candidates, with `auto` or without it.
    `changes` are settings that the user decided on: among those nothing is chosen.
    """
    found: dict[int, list[Setting]] = {}
    for name, parser in parsers.items():
        prefix = f"{name}, " if len(parsers) > 1 else ""
        config = replace(config_for(parser), **changes)
        chooses_rates = auto and not {"encoder_rate", "classifier_rate"} & {*changes}
        steps = STEPS if auto and "steps" not in changes else (config.steps,)
        for place, subnetwork in enumerate(_subnetworks(parser, language, auto=auto)):
            gates = None if subnetwork is None else parser.subnetworks[subnetwork]
            what = _named(parser, subnetwork)
            for times in RATES if chooses_rates and place == 0 else RATES[:1]:
                own = replace(
                    config, encoder_rate=config.encoder_rate * times, classifier_rate=config.classifier_rate * times
                )
                rank = place + (RATES.index(times) > 0)  # every parser's default before anyone's variations
                label = f"{prefix}{what}, rates {own.encoder_rate:g} and {own.classifier_rate:g}"
                found.setdefault(rank, []).append(Setting(label, parser, own, gates, subnetwork, steps))
    return tuple(setting for rank in sorted(found) for setting in found[rank])


def _subnetworks(parser: Parser, language: Language | None, *, auto: bool) -> Sequence[str | None]:
    """The codes of the subnetworks to try, None for the full encoder; the first is the default."""
    if not parser.subnetworks:
        return [None]
    try:
        if language is None:
            return [None, *parser.subnetworks]
        near = [each.code for each in nearest(language, among=[*parser.subnetworks])]
    except LanguageError:
        return [None, *parser.subnetworks]
    return [*near[:N_NEAREST], None] if auto else near[:1]


def _named(parser: Parser, subnetwork: str | None) -> str:
    if subnetwork is not None:
        return f"subnetwork of {subnetwork}"
    return "own gates" if parser.gates is not None else "full encoder"


def readied(setting: Setting, sentences: Sequence[Sentence]) -> Setting:
    """Returns the setting with a parser that has all pieces of the sentences: its embeddings stay as they are in a run."""
    network = deepcopy(setting.parser.network)
    network.encode(sentences, gold=False)
    return replace(setting, parser=replace(setting.parser, network=network))


def identity(parser: Parser) -> str:
    """Returns a digest of the parser's parameters and labels."""
    return _digest(parser.network.state_dict(), *parser.network.vocabulary.labels)


def _digest(tensors: Mapping[str, Tensor], *words: str) -> str:
    digest = hashlib.sha256("\n".join(words).encode())
    for name, tensor in tensors.items():
        digest.update(name.encode())
        digest.update(tensor.detach().contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()
