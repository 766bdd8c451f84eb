"""What a record says beside its scores: sentence by sentence, label by label, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sublingual.breakdown import Counts


@dataclass(frozen=True)
class TrainingFile:
    """A file that a parser learned from; `use` is train or dev."""

    file: str
    use: str
    sha256: str
    sentences: int
    words: int
    licence: str = "unknown"
    treebank: str = ""

    @property
    def name(self) -> str:
        """The treebank's name, or the file's where it is in no treebank's folder."""
        return self.treebank or self.file


@dataclass(frozen=True)
class BySentence:
    """Of each test sentence its words, and how many have the right head and label; None where it was not scored."""

    words: tuple[int, ...]
    las: tuple[int | None, ...]


@dataclass(frozen=True)
class Errors:
    """Counts by full label, universal relation and length of the arc (`sublingual.breakdown`)."""

    labels: Mapping[str, Counts] = field(default_factory=dict)
    relations: Mapping[str, Counts] = field(default_factory=dict)
    lengths: Mapping[str, Counts] = field(default_factory=dict)


@dataclass(frozen=True)
class Learned:
    """Of the parser that was tested its encoder, the files that it learned from, its settings."""

    encoder: str
    data: tuple[TrainingFile, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Details:
    """What tables of labels, intervals over sentences and the report need; a record of an older version lacks some."""

    by_sentence: BySentence | None = None
    breakdown: Errors | None = None
    parser: Learned | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    loss: Mapping[str, float] = field(default_factory=dict)
    signature: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str | int] = field(default_factory=dict)
    seconds: float | None = None
    new_labels: tuple[str, ...] = ()
