"""A step of a study, and its key, which changes with all that the step depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

RESULTS = ("choice", "fewshot", "own", "facts", "table", "figure", "report")
"""Kinds of steps that are done for themselves, not for others."""


@dataclass(frozen=True)
class Step:
    """A command that makes files of files.

    inputs, outputs: relative to the study's folder, or absolute (treebanks). refers: what the presets and the row of a system
    say that the command names. seconds: what it will take about, on one thread or GPU. work: the folder in which it can go on
    where it was stopped.
    """

    name: str
    kind: str
    command: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    refers: str = ""
    seconds: float = 1.0
    work: str | None = None

    @property
    def log(self) -> str:
        return f"logs/{self.name}.log"

    def mark(self, key: str) -> str:
        """The empty file that says that the outputs were made with this key."""
        return f"keys/{self.name}.{key}"


def keys(steps: Sequence[Step]) -> dict[str, str]:
    """Returns a key for each step by name: it changes with the step's command, settings and treebanks and those of all before.

    Of a treebank's file the name and the size count.
    """
    made: dict[str, str] = {}
    found = {}
    for step in steps:
        said = [*step.command, step.refers, *(made.get(path) or _described(Path(path)) for path in step.inputs)]
        found[step.name] = hashlib.sha256("\0".join(said).encode()).hexdigest()[:16]
        made |= dict.fromkeys(step.outputs, found[step.name])
    return found


@cache
def _described(path: Path) -> str:
    return f"{path.name} {path.stat().st_size}"
