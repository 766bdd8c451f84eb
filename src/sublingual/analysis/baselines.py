"""Baselines beside the systems: what they are, and which test treebanks a parser learned from (section 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sublingual.analysis.cells import Cell

BASELINES = {
    "udify": "in UDify's place, one training on the training files of all treebanks at hand, the parsing task alone",
    "nonep-adapters": "in UDapter's place, an adapter (LoRA) of each training language on the frozen encoder of stage 1, for a "
    "new language that of the nearest one; UDapter generates its adapters from typology, which no maintained library does",
}
"""Systems that are not the study's subject, and what a reader must know of each."""

SEEN = "†"

START = "stage1"
"""The system that is the parser of stage 1 as it is."""


def is_baseline(name: str) -> bool:
    """Whether a system, or a row of one, which may name its way of transfer too, is a baseline."""
    return name.partition(" (")[0] in BASELINES


def competing(names: Iterable[str]) -> list[str]:
    """Returns the systems of which one is best on a treebank, as in Table 1 without baselines and the parser of stage 1.

    All of them where fewer than two are left.
    """
    every = list(names)
    found = [name for name in every if not is_baseline(name) and name.partition(" (")[0] != START]
    return found if len(found) > 1 else every


def notes_on_baselines(cells: Mapping[str, Mapping[str, Cell]]) -> tuple[str, ...]:
    """Returns what tables must say of the baselines among these systems, and of treebanks that a parser was trained on."""
    said = [f"{name}: {BASELINES[name]}" for name in cells if name in BASELINES]
    for name, own in cells.items():
        if seen := [treebank for treebank, cell in own.items() if cell.has_seen]:
            said.append(
                f"{SEEN}: {name} learned from the treebank's own training file, so it is best on none of these, and its mean "
                f"is no few-shot mean: {', '.join(seen)}"
            )
    return tuple(said)
