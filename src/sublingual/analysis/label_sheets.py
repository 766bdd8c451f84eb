"""Table 3, unseen and rare labels, for readers and for programs."""

from __future__ import annotations

from collections.abc import Sequence

from sublingual.analysis.beside import Plain, bounds, brackets, gain_columns, gained
from sublingual.analysis.labels import KINDS, LabelTable, Right
from sublingual.analysis.paper import (
    PRINTED_LABELS,
    PRINTED_RARE,
    PRINTED_TABLE_3,
    PRINTED_UNSEEN,
)
from sublingual.analysis.rendering import Entry, Sheet, number

LARGE = 1 / 3
"""A label with a larger share of the right words is named."""


def label_sheet(table: LabelTable) -> Sheet:
    """Returns Table 3: for each system the share of right instances of unseen and of rare labels, the paper's beside it."""
    rows = []
    for system, found in table.systems.items():
        printed = PRINTED_TABLE_3.get(system, ("-", "-"))
        cells = [
            text
            for kind, said in zip(KINDS, printed, strict=True)
            for text in (*_right(found[kind]), number(table.mean_over_labels(system, kind)), said)
        ]
        rows.append((system, *cells))
    columns = tuple(
        text for kind in KINDS for text in (kind, f"{kind}, label alone", f"{kind}, mean of labels", f"{kind}, printed")
    )
    n = len(table.rows)
    hidden = table.count("unseen") + table.count("rare")
    has_gains = any(own.gain is not None for found in table.systems.values() for own in found.values())
    share = f" ({100 * hidden / n:.0f} %)" if n else ""
    notes = (
        f"full labels in the test data: {n} (the paper: {PRINTED_LABELS}); unseen in training {table.count('unseen')} "
        f"({PRINTED_UNSEEN}), rare {table.count('rare')} ({PRINTED_RARE}); together {hidden}{share}",
        f"training: {table.n_training_words} words of {', '.join(dict.fromkeys(f.name for f in table.training))}; rare: "
        "less than 0.1 % of them",
        "per cent of the words of these labels with the right head and full label ± sd over seeds [95 %] (labels/languages "
        "on which any was right)"
        + ("; then minus the full system of the same loop, over the same seeds [95 %]" if has_gains else ""),
        "mean of labels: each label counts alike, however many its words",
        *(
            f"of all {kind} words that are right {100 * most[1]:.0f} % have one label, {most[0]}"
            for kind in KINDS
            if (most := table.most_of(kind)) is not None and most[1] > LARGE
        ),
    )
    return Sheet(("system", *columns), tuple(rows), notes)


def label_list(table: LabelTable, *, kinds: Sequence[str] = KINDS) -> Sheet:
    """Returns a line a label of these kinds: its words in training and test, and per cent right by system."""
    systems = tuple(table.systems)
    rows = [
        (
            row.label,
            row.kind,
            str(row.n_training),
            str(row.n_test),
            ", ".join(row.languages),
            *(_share(row.systems[name]) for name in systems),
        )
        for row in sorted(table.rows, key=lambda row: -row.n_test)
        if row.kind in kinds
    ]
    notes = ("per cent of a label's words with the right head and full label ± sd over seeds [95 %]",)
    return Sheet(("label", "kind", "in training", "in test", "languages", *systems), tuple(rows), notes)


def label_rows(table: LabelTable) -> list[Plain]:
    """Returns plain rows, one a system and kind: labels and languages are those on which any word was right, as in Table 3."""
    return [
        {
            "system": system,
            "kind": kind,
            "n_labels": table.count(kind),
            **_plain(found[kind]),
            "mean_over_labels": table.mean_over_labels(system, kind),
            "labels": found[kind].labels,
            "languages": found[kind].languages,
            **gain_columns("percent", found[kind].gain),
            "printed": printed,
        }
        for system, found in table.systems.items()
        for kind, printed in zip(KINDS, PRINTED_TABLE_3.get(system, (None, None)), strict=True)
    ]


def label_list_rows(table: LabelTable) -> list[Plain]:
    """Returns plain rows, one a label, of every kind, and system."""
    return [
        {
            "label": row.label,
            "kind": row.kind,
            "n_training": row.n_training,
            "n_test": row.n_test,
            "languages": " ".join(row.languages),
            "system": system,
            **_plain(found),
        }
        for row in table.rows
        for system, found in row.systems.items()
    ]


def _plain(found: Right) -> Plain:
    return {
        "gold": found.gold,
        "label_right": found.label,
        "both_right": found.both,
        "percent": found.percent,
        "percent_label": found.percent_label,
        "sd": found.sd,
        **bounds("percent", found.interval),
    }


def _right(found: Right) -> tuple[str, str]:
    if found.percent is None:
        return "-", "-"
    spread, gain = _spread(found, digits=2), gained(found.gain, digits=2)
    whole = f"{number(found.percent)} %{spread} ({found.labels}/{found.languages}){gain}"
    return whole, f"{number(found.percent_label)} %"


def _share(found: Right) -> Entry:
    share, spread = number(found.percent, digits=1), _spread(found, digits=1)
    return Entry(f"{share}{spread}", value=found.percent, short=share, tail=spread.strip())


def _spread(found: Right, *, digits: int) -> str:
    """The standard deviation over the seeds and the interval, which has one digit."""
    return ("" if found.sd is None else f" ± {found.sd:.{digits}f}") + brackets(found.interval)
