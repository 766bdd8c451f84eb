"""Which system for which language, for readers: how ways to choose are judged, and the rules in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sublingual.analysis.beside import Plain, bounds
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
    notes = [f"{factor.short}: {factor.name}" for factor in factors if factor.key in ASKED]
    if "domains" not in {factor.key for factor in factors}:
        notes.append("no rule asks for domains: name a file of `sublingual data facts` too")
    return Sheet(("made from all treebanks", "rule"), tuple(rows), tuple(notes))


def introduction(found: Guidance) -> tuple[str, str]:
    """Returns what follows, and how it was found."""
    return (
        found.advice,
        f"Made from {found.n_treebanks} treebanks of {found.n_languages} languages. To judge a way to choose, each language "
        "in turn is left out, the rule is made from the others, and counts with what it then chooses.",
    )


def guidance_sheet(found: Guidance, factors: Sequence[Factor]) -> Sheet:
    """Returns all of it as one table: a line a way to choose, the notes say what follows and the rules."""
    judged, rules = judged_sheet(found), rules_sheet(found, factors)
    said = (f"{name}: {line}" for name, line in rules.rows)
    return replace(judged, notes=(*introduction(found), *judged.notes, *said, *rules.notes))


def guidance_rows(found: Guidance) -> list[Plain]:
    """Returns plain rows, one a way to choose, with its rule as text."""
    return [
        {
            "way": each.name,
            "las": each.las,
            "gain": each.gain,
            **bounds("gain", each.interval),
            "right": each.right,
            "n_treebanks": found.n_treebanks,
            "n_languages": found.n_languages,
            "rule": "; ".join(found.rules[each.name].sentences()) if each.name in found.rules else None,
        }
        for each in found.judged
    ]
