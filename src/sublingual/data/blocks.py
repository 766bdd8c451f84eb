"""The lines of one sentence (`Block`) and what may be wrong with them (`Fault`), as reader and rules share them."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
Heads = Literal["gold", "partial", "ignored"]

COLUMNS = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
N_COLUMNS = len(COLUMNS)
ID, FORM, LEMMA, UPOS, XPOS, FEATS, HEAD, DEPREL, DEPS, MISC = range(N_COLUMNS)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a file.

    id: udvalidate's name of the rule, or ours where it has none.
    severity: "error" (the reader refuses the file), "warning" (it is read, but is not valid UD) or "note".
    place: `FILE:LINE (sent_id X)`.
    message: what is wrong, the value, what is allowed, how to mend it.
    count: 1, or how many more faults of this id one entry stands for.
    """

    id: str
    severity: Severity
    place: str
    message: str
    count: int = 1

    def __str__(self) -> str:
        return f"{self.place}: {self.severity}: {self.message} [{self.id}]"


@dataclass(frozen=True, slots=True)
class Block:
    """The lines between two blank lines: one sentence with its comments. `line` is the number of the first."""

    lines: Sequence[str]
    source: str
    line: int

    def fault(self, index: int, id: str, message: str, *, severity: Severity = "error") -> Fault:
        """The fault `id` in line `index` (from 0) of this block."""
        return Fault(id, severity, place_of(self.source, self.line + index, self.sent_id), message)

    @property
    def sent_id(self) -> str | None:
        """The value of the first comment `# sent_id = X`."""
        return comment_value(self.lines, "sent_id")

    def count_comments(self) -> int:
        """How many comment lines stand before the first other line."""
        for index, line in enumerate(self.lines):
            if not line.startswith("#"):
                return index
        return len(self.lines)


def place_of(source: str, line: int, sent_id: str | None = None) -> str:
    """`FILE:LINE (sent_id X)`, as every message starts."""
    return f"{source}:{line}" + (f" (sent_id {sent_id})" if sent_id else "")


def comment_value(lines: Sequence[str], key: str) -> str | None:
    """The value of the first comment `# key = value` among the leading comment lines, None where there is none."""
    for line in lines:
        if not line.startswith("#"):
            break
        name, equals, value = line[1:].partition("=")
        if equals and name.strip() == key:
            return value.strip()
    return None


def comment_key(line: str) -> str:
    """Returns what a comment is about: `text` of `# text = Hello`, the whole of one that has no value."""
    return line[1:].partition("=")[0].strip()


def without_comments(lines: Sequence[str], keys: Container[str]) -> tuple[str, ...]:
    """Returns the comments that are about none of the keys."""
    return tuple(line for line in lines if comment_key(line) not in keys)
