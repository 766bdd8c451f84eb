"""What a model is and where it comes from (About), and its card in Markdown, made from that."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

UNKNOWN = "unknown"  # the licence of data that has none beside it
_NON_COMMERCIAL = re.compile(r"\bNC\b|non-?commercial", re.IGNORECASE)


@dataclass(frozen=True)
class About:
    """What a model is, for its card and for those who judge its numbers.

    `language`: the one it was adapted to, if any; `trained_on`: codes of the languages before; `data`: name, split,
    sentences, words, licence and SHA-256 of each file it learned from; `seeds`, `settings`, `scores`: as they were used
    and found. All values are plain JSON; a tuple inside them comes back as a list.
    """

    language: str | None = None
    trained_on: tuple[str, ...] = ()
    data: tuple[dict[str, Any], ...] = ()
    seeds: dict[str, int] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    note: str = ""


def card(about: About, *, encoder: str) -> str:
    """Returns the model card in Markdown: languages, data and its licences, scores, seeds."""
    data = (
        "\n".join(f"- {', '.join(f'{k}: {v}' for k, v in entry.items())}" for entry in about.data) or "- none recorded"
    )
    scores = "\n".join(f"- {name}: {value}" for name, value in about.scores.items()) or "- none recorded"
    # Quoted: `no`, the code of Norwegian, is a boolean in YAML.
    languages = "\n".join(f'- "{code}"' for code in dict.fromkeys([*about.trained_on, *filter(None, [about.language])]))
    head = "---\nlibrary_name: sublingual\ntags:\n- dependency-parsing\n- universal-dependencies\n"
    return (
        f"{head}{f'language:{chr(10)}{languages}{chr(10)}' if languages else ''}---\n\n# A sublingual dependency parser\n\n"
        f"{about.note}\n\nEncoder: {encoder}. Trained on: {', '.join(about.trained_on) or 'nothing recorded'}. "
        f"Adapted to: {about.language or 'no language'}.\n\n## Data\n\n{data}\n\n"
        f"## Licences of the data\n\n{_licences(about.data)}\n\n## Scores\n\n{scores}\n\n"
        f"## Seeds\n\n{json.dumps(about.seeds)}\n"
    )


def _licences(data: Sequence[Mapping[str, Any]]) -> str:
    """A line a treebank (or file of none), and in plain words what is not for commercial use or of unknown licence."""
    by_name = {str(d.get("treebank") or d.get("file")): str(d.get("licence", UNKNOWN)) for d in data}
    lines = [f"- {name}: {licence}" for name, licence in by_name.items()] or ["- none recorded"]
    if closed := [name for name, licence in by_name.items() if _NON_COMMERCIAL.search(licence)]:
        lines.append(f"\n**Not for commercial use:** so say the licences of {', '.join(closed)}.")
    if unsaid := [name for name, licence in by_name.items() if licence == UNKNOWN]:
        lines.append(f"\nNothing beside it says under which licence {', '.join(unsaid)} may be used: ask who made it.")
    return "\n".join(lines)
