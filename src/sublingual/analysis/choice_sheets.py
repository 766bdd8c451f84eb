"""The scores of a grid of rates, for readers and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sublingual.analysis.beside import Plain, bounds
from sublingual.analysis.choices import PointRow
from sublingual.analysis.rendering import Sheet, number


def choice_sheet(rows: Sequence[PointRow]) -> Sheet:
    """Returns a line a point of each grid: its rates, its LAS on the validation treebanks, whether it was chosen."""
    columns = (
        "choice",
        "point",
        "loop",
        "encoder rate",
        "classifier rate",
        "LAS",
        "sd",
        "95 % of LAS",
        "runs",
        "chosen",
    )
    lines = tuple(
        (
            row.choice,
            row.point,
            row.loop,
            f"{row.encoder_rate:g}",
            f"{row.classifier_rate:g}",
            number(row.las) + ("" if row.is_adapted else " (not adapted)"),
            number(row.sd),
            "-" if row.interval is None else f"{row.interval.low:.2f} to {row.interval.high:.2f}",
            str(row.n_runs),
            "chosen" if row.is_chosen else "",
        )
        for row in rows
    )
    notes = [
        f"{name}: {', '.join(treebanks)}" for name, treebanks in {row.choice: row.treebanks for row in rows}.items()
    ]
    notes += [
        "LAS: mean over these validation treebanks of the mean over supports, one training run a point; sd: over the seeds, of "
        "the mean over treebanks",
        "95 %: test sentences drawn anew, over support seeds by Student's t; treebanks and training run as they are",
        "chosen: the highest LAS of those whose steps lowered every support loss, the first of equal ones",
    ]
    return Sheet(columns, lines, tuple(notes))


def choice_rows(rows: Sequence[PointRow]) -> list[Plain]:
    """Returns plain rows, one a point."""
    found = []
    for row in rows:
        plain = asdict(row) | {"treebanks": " ".join(row.treebanks)} | bounds("las", row.interval)
        del plain["interval"]
        found.append(plain)
    return found
