"""The label vocabulary, declared before training from UD's published relations (docs/protocol.md 1B), never from test files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.resources import files

from sublingual.errors import DataError

ROOT = "root"


def base_relation(label: str) -> str:
    """Returns the universal relation of a label: `nsubj` of `nsubj:pass`."""
    return label.split(":", 1)[0]


@dataclass(frozen=True)
class LabelVocabulary:
    """Labels in a fixed order; `index` gives the place of each."""

    labels: tuple[str, ...]
    index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels):
            raise DataError("the label list names a label twice")
        if ROOT not in self.labels:
            raise DataError(f"the label list lacks {ROOT!r}, which every tree needs")
        object.__setattr__(self, "index", {label: i for i, label in enumerate(self.labels)})

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def root(self) -> int:
        return self.index[ROOT]

    def missing(self, labels: Iterable[str | None]) -> tuple[str, ...]:
        """Returns the labels that are not declared, sorted, each once."""
        return tuple(sorted({label for label in labels if label is not None and label not in self.index}))

    def base_of(self, label: str) -> str:
        """Returns the universal relation that a new label starts from; DataError where it is not a declared one."""
        base = base_relation(label)
        if base not in self.index:
            raise DataError(
                f"the label {label!r} has no universal relation to start from: {base!r} is not one; write one of UD's, with "
                "a subtype of your own behind a colon (nsubj:x)"
            )
        return base

    def extended(self, labels: Iterable[str]) -> LabelVocabulary:
        """Returns this vocabulary with the new labels at its end."""
        return LabelVocabulary(self.labels + self.missing(labels))


def published_labels() -> LabelVocabulary:
    """Returns the relations and subtypes that UD documents for some language (resources/relations.txt names the source)."""
    text = files("sublingual").joinpath("resources/relations.txt").read_text(encoding="utf-8")
    return LabelVocabulary(tuple(line for line in text.splitlines() if line and not line.startswith("#")))
