"""What the page is told of models, sentences and subnetworks, as plain values for JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from torch import Tensor

from sublingual.confidence import Confident
from sublingual.data.conllu import Sentence
from sublingual.drawing import is_right_to_left
from sublingual.errors import LanguageError
from sublingual.languages import Language, nearest, resolve
from sublingual.parsing import Parser
from sublingual.service.offers import Offer

_OTHERS = 3  # heads that are proposed besides the chosen one
_LEAST = 0.005  # a probability below it is shown as 0 %
_NEIGHBOURS = 3


def of_model(offer: Offer) -> dict[str, Any]:
    """Returns a model's name, language, labels, and how it came about."""
    language = _language_or_none(offer.language)
    return {
        "name": offer.name,
        "language": offer.language,
        "language_name": language.name if language else offer.language,
        "trained_on": list(offer.trained_on),
        "tags": offer.tags,
        "note": offer.note,
        "licence": offer.licence,
        "labels": _labels(offer),
    }


def _labels(offer: Offer) -> list[str]:
    """The model's labels; none where its folder cannot be read any more: parsing tells why."""
    try:
        return list(json.loads((offer.folder / "labels.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return []


def _language_or_none(name: str) -> Language | None:
    try:
        return resolve(name) if name else None
    except LanguageError:
        return None


def of_sentence(sentence: Sentence, found: Confident | None = None) -> dict[str, Any]:
    """Returns a sentence's comments and rows; with `found` the probability of each arc and label, and of other heads."""
    sure = None
    if found is not None:
        sure = {
            "heads": np.round(found.arcs, 3).tolist(),
            "labels": np.round(found.labels, 3).tolist(),
            "others": [_others(row, head) for row, head in zip(found.heads, sentence.heads, strict=True)],
        }
    return {
        "comments": sentence.comments,
        "rows": sentence.rows,
        "rtl": is_right_to_left(sentence.words),
        "sure": sure,
    }


def _others(probabilities: np.ndarray, head: int | None) -> list[tuple[int, float]]:
    """The most probable heads besides the chosen one."""
    ranked = np.argsort(-probabilities, kind="stable")[: _OTHERS + 1].tolist()
    return [(i, round(float(probabilities[i]), 3)) for i in ranked if i != head and probabilities[i] >= _LEAST][
        :_OTHERS
    ]


def of_subnetworks(parser: Parser, offer: Offer) -> dict[str, Any]:
    """Returns the model's gates, and its languages' subnetworks: the most similar first, where the language is known.

    Subnetworks of single weights have no map: they are left out.
    """
    encoder = parser.network.encoder
    own = _rows(parser.gates) if isinstance(parser.gates, Tensor) else None
    gates = {code: subnet for code, subnet in parser.subnetworks.items() if isinstance(subnet, Tensor)}
    return {
        "layers": encoder.n_layers,
        "attention_heads": encoder.n_attention_heads,
        "language": offer.language,
        "own": own,
        "neighbours": [
            {"code": code, "name": name, "similarity": similarity, "gates": _rows(gates[code])}
            for code, name, similarity in _ranked([*gates], offer)
        ],
    }


def _ranked(codes: list[str], offer: Offer) -> list[tuple[str, str, float | None]]:
    if not codes:
        return []
    try:
        near = nearest(offer.language, among=codes)
    except LanguageError:  # none, or one without a vector
        named = [(code, _language_or_none(code)) for code in codes[:_NEIGHBOURS]]
        return [(code, language.name if language else code, None) for code, language in named]
    return [(each.code, each.language, round(each.similarity, 3)) for each in near[:_NEIGHBOURS]]


def _rows(gates: Tensor) -> list[list[float]]:
    return [[round(float(gate), 3) for gate in row] for row in gates.tolist()]
