"""Which system for which language, for readers: how ways to choose are judged, and the rules in words."""

from __future__ import annotations

from collections.abc import Sequence

from sublingual.analysis.factors import Factor
from sublingual.analysis.guidance import ASKED, Guidance
from sublingual.analysis.rendering import Sheet


def judged_sheet(found: Guidance) -> Sheet:
    """Returns a line a way to choose."""
    rows = (
        (
            each.name,
            f"{each.las:.2f}",
            f"{each.gain:+.2f}",
            "-" if each.interval is None else f"{each.interval.low:+.2f} to {each.interval.high:+.2f}",
            f"{each.right} of {found.n_treebanks}",
        )
        for each in found.judged
    )
    columns = ("way to choose", "LAS on languages left out", "above the best single system", "95 %", "best of all on")
    notes = ("95 %: languages drawn anew. The best in hindsight looks at the answers: no rule can pass it",)
    return Sheet(columns, tuple(rows), notes)


def rules_sheet(found: Guidance, factors: Sequence[Factor]) -> Sheet:
    """Returns a line an answer of each rule; the notes say what the rules ask for."""
    rows = ((name, line) for name, rule in found.rules.items() for line in rule.sentences())
    notes = (f"{factor.short}: {factor.name}" for factor in factors if factor.key in ASKED)
    return Sheet(("made from all treebanks", "rule"), tuple(rows), tuple(notes))
