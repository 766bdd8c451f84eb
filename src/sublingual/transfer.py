"""Which subnetwork a new language gets, which has none of its own (section 4.5, and what goes beyond it).

The paper takes the subnetwork of the training language that is nearest by URIEL. The other ways stand beside it, and end
in the same records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sublingual.adaptation import AdaptConfig, adapt, config_for
from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError, LanguageError
from sublingual.languages import Neighbour, nearest
from sublingual.model.weights import Subnet, WeightMask, n_off
from sublingual.parsing import Parser
from sublingual.scoring import score
from sublingual.subnetworks.importance import importance

FOLDS = 4


@dataclass(frozen=True)
class Transfer:
    """The gates a language got (None: the full encoder), how, and the training language they are from, if one."""

    method: str
    gates: Subnet | None = None
    language: str | None = None
    similarity: float | None = None

    @property
    def off(self) -> str:
        """What is off, in words."""
        said = self.as_dict()
        return (
            f"{said['weights_off']} weights off"
            if "weights_off" in said
            else f"{said['gates_off']} attention heads off"
        )

    def as_dict(self) -> dict[str, object]:
        """Returns what a record says of it."""
        similarity = None if self.similarity is None else round(self.similarity, 4)
        said = {"method": self.method, "code": self.language, "similarity": similarity}
        if isinstance(self.gates, WeightMask):
            return {**said, "gates_off": 0, "weights_off": self.gates.n_off}
        return {**said, "gates_off": 0 if self.gates is None else n_off(self.gates)}


def transfer(
    parser: Parser,
    language: str,
    *,
    method: str = "nearest",
    support: Sequence[Sentence] = (),
    seed: int = 0,
    config: AdaptConfig | None = None,
) -> Transfer:
    """Returns the gates for a language (a code, a name or a treebank's) of a parser with subnetworks.

    `nearest`: those of the most similar training language (the paper). `random`: those of another one, each as likely, drawn
    by the seed for each language or treebank anew (section 8). `full`: none. A code such as `cs`: that language's.
    `mixture`: the mean of all, weighted by similarity, so that a gate may lie between 0 and 1. `importance`: as many
    attention heads on as the subnetworks have in the mean, the most important ones for the support set (eq. 3). `choice`:
    the language whose subnetwork keeps most of that importance. `cross-validated`: the one that adapts best to one part of
    the support set when trained on the others. A parser without subnetworks runs in full whatever the method; the nearest
    language is still named. Raises LanguageError for a language without a vector where one is needed, ConfigError for an
    unknown method.
    """
    if method not in METHODS and method not in parser.subnetworks:
        known = ", ".join([*METHODS, *parser.subnetworks])
        raise ConfigError(f"unknown transfer {method!r}; allowed: {known}")
    if not parser.subnetworks:
        return _of_nearest(parser, language)
    if method in parser.subnetworks:
        return Transfer(method, parser.subnetworks[method], method)
    return METHODS[method](parser, language, support, seed, config or config_for(parser))


def own(parser: Parser, language: str) -> Transfer:
    """Returns the gates of a language (a code) that the parser was trained on; none where it has no subnetworks at all.

    Raises ConfigError where others have a subnetwork and this one has none.
    """
    if not parser.subnetworks:
        return Transfer("full", None, language)
    if language not in parser.subnetworks:
        raise ConfigError(
            f"the parser has no subnetwork of {language}; it has those of {', '.join(parser.subnetworks)}: choose another "
            f"way of transfer, such as nearest or full"
        )
    return Transfer("own", parser.subnetworks[language], language)


def _of_nearest(parser: Parser, language: str) -> Transfer:
    """The nearest language of those with a subnetwork, or else of the paper's seven, by name alone."""
    try:
        best = _ranked(parser, language)[0]
    except LanguageError:
        if parser.subnetworks:
            raise
        return Transfer("full")
    if not parser.subnetworks:
        return Transfer("full", None, best.code, best.similarity)
    return Transfer("nearest", parser.subnetworks[best.code], best.code, best.similarity)


def _ranked(parser: Parser, language: str) -> list[Neighbour]:
    return nearest(language, among=[*parser.subnetworks]) if parser.subnetworks else nearest(language)


Way = Callable[[Parser, str, Sequence[Sentence], int, AdaptConfig], Transfer]


def _nearest(parser: Parser, language: str, support: Sequence[Sentence], seed: int, config: AdaptConfig) -> Transfer:
    return _of_nearest(parser, language)


def _full(parser: Parser, language: str, support: Sequence[Sentence], seed: int, config: AdaptConfig) -> Transfer:
    return Transfer("full")


def _random(parser: Parser, language: str, support: Sequence[Sentence], seed: int, config: AdaptConfig) -> Transfer:
    others = _ranked(parser, language)[1:]
    if not others:
        raise ConfigError(
            f"a random transfer language needs two subnetworks or more; the parser has {len(parser.subnetworks)}"
        )
    drawn = np.random.default_rng([seed, *language.encode()])  # else all treebanks of a seed would get the same rank
    chosen = others[int(drawn.integers(len(others)))]
    return Transfer("random", parser.subnetworks[chosen.code], chosen.code, chosen.similarity)


def _mixture(parser: Parser, language: str, support: Sequence[Sentence], seed: int, config: AdaptConfig) -> Transfer:
    ranked, known = _ranked(parser, language), _gates_of(parser, "mixture")
    weights = torch.tensor([each.similarity for each in ranked])
    gates = torch.stack([known[each.code].float() for each in ranked])  # [languages, layers, attention_heads]
    return Transfer("mixture", torch.einsum("n,nla->la", weights / weights.sum(), gates))  # [layers, attention_heads]


def _importance(parser: Parser, language: str, support: Sequence[Sentence], seed: int, config: AdaptConfig) -> Transfer:
    known = _gates_of(parser, "importance")
    found = _support_importance(parser, support, config)
    n_on = round(sum(float(g.sum()) for g in known.values()) / len(known))
    kept = found.flatten().argsort(descending=True, stable=True)[:n_on]
    gates = torch.zeros(found.numel(), device=found.device).index_fill(0, kept, 1.0)
    return Transfer("importance", gates.view_as(found))


def _choice(parser: Parser, language: str, support: Sequence[Sentence], seed: int, config: AdaptConfig) -> Transfer:
    known = _gates_of(parser, "choice")
    found = _support_importance(parser, support, config)
    kept = {code: float((found * g.to(found.device)).sum() / g.sum()) for code, g in known.items()}
    return _of(parser, "choice", max(kept, key=kept.__getitem__))


def _cross_validated(
    parser: Parser, language: str, support: Sequence[Sentence], seed: int, config: AdaptConfig
) -> Transfer:
    _refuse_small(support, "cross-validated", least=FOLDS)
    order = np.random.default_rng(seed).permutation(len(support)).tolist()
    folds = [[support[i] for i in order[k::FOLDS]] for k in range(FOLDS)]
    right = dict.fromkeys(parser.subnetworks, 0)
    for code, gates in parser.subnetworks.items():
        for k, held_out in enumerate(folds):
            rest = [s for j, fold in enumerate(folds) if j != k for s in fold]
            parsed = adapt(parser, rest, config=config, seed=seed, gates=gates).parser.parse(held_out)
            right[code] += score(held_out, parsed).las.correct
    return _of(parser, "cross-validated", max(right, key=right.__getitem__))


def _of(parser: Parser, method: str, code: str) -> Transfer:
    return Transfer(method, parser.subnetworks[code], code)


def _gates_of(parser: Parser, method: str) -> dict[str, Float[Tensor, "layers attention_heads"]]:
    """The gates of all languages; raises ConfigError where the parser has subnetworks of single weights, or adapters."""
    gates = {code: own for code, own in parser.subnetworks.items() if isinstance(own, torch.Tensor)}
    if len(gates) < len(parser.subnetworks):
        raise ConfigError(
            f"transfer {method!r} weighs attention heads, and the parser's subnetworks are of other kinds; choose "
            f"nearest, random, cross-validated, full, or a code"
        )
    return gates


def _support_importance(
    parser: Parser, support: Sequence[Sentence], config: AdaptConfig
) -> Float[Tensor, "layers attention_heads"]:
    _refuse_small(support, "importance", least=1)
    network = parser.network.with_labels_of(support)
    return importance(network, network.encode(support, gold=True), precision=config.precision)


def _refuse_small(support: Sequence[Sentence], method: str, *, least: int) -> None:
    if len(support) < least:
        raise ConfigError(f"transfer {method!r} needs {least} support sentences or more; there are {len(support)}")


METHODS: dict[str, Way] = {
    "nearest": _nearest,
    "random": _random,
    "full": _full,
    "mixture": _mixture,
    "importance": _importance,
    "choice": _choice,
    "cross-validated": _cross_validated,
}
