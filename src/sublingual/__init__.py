"""Few-shot cross-lingual dependency parsing with language-specific subnetworks.

The public names load what they need when they are first used, so that `import sublingual` is quick and torch-free.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sublingual.adaptation import AdaptConfig, Adapted, adapt
    from sublingual.data.conllu import Sentence, parse_conllu, read_conllu, write_conllu
    from sublingual.languages import nearest
    from sublingual.parsing import Parser
    from sublingual.scoring import Score, score

_HOME = {
    "AdaptConfig": "adaptation",
    "Adapted": "adaptation",
    "Parser": "parsing",
    "Score": "scoring",
    "Sentence": "data.conllu",
    "adapt": "adaptation",
    "nearest": "languages",
    "parse_conllu": "data.conllu",
    "read_conllu": "data.conllu",
    "score": "scoring",
    "write_conllu": "data.conllu",
}

__all__ = [
    "AdaptConfig",
    "Adapted",
    "Parser",
    "Score",
    "Sentence",
    "adapt",
    "nearest",
    "parse_conllu",
    "read_conllu",
    "score",
    "write_conllu",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"sublingual.{_HOME[name]}"), name)
    raise AttributeError(f"module 'sublingual' has no attribute {name!r}")
