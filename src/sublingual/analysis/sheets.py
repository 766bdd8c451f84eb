"""The tables for readers (one text a cell) and for programs (plain rows of numbers)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sublingual.analysis.factors import Correlation, similarity_and_gain
from sublingual.analysis.rendering import Sheet, number
from sublingual.analysis.statistics import Paired
from sublingual.analysis.tables import Group, SystemRow, SystemTable, Tally, TreebankRow, TreebankTable, difference
from sublingual.errors import DataError

Plain = dict[str, Any]


def system_sheet(table: SystemTable, comparisons: Sequence[Paired] = ()) -> Sheet:
    """Returns Table 1's shape: one line a system, with its comparison where there is one."""
    by_name = {each.system: each for each in comparisons}
    columns = ["system", "LAS", "sd", "sd in a treebank", "zero-shot", "best", "runs", "CPU-hours"]
    rows = [_system_line(row, len(table.treebanks)) for row in table.rows]
    notes = [*table.notes, "CPU-hours: of these tests, without training"]
    if comparisons:
        columns += ["difference", "95 %", "p"]
        rows = [[*line, *_compared(by_name.get(line[0]))] for line in rows]
        notes += _on_comparisons(comparisons)
    return Sheet(tuple(columns), tuple(map(tuple, rows)), tuple(notes))


def treebank_sheet(table: TreebankTable) -> Sheet:
    """Returns Table 2's shape: zero-shot → adapted ± sd (difference to the base) of each system, means below each group."""
    rows = []
    for group in table.groups:
        rows += [_treebank_line(row, table) for row in group.rows]
        rows.append(_mean_line(group, table, name=f"mean of {group.code or 'no transfer language'}"))
    rows.append(_mean_line(table.total, table, name="mean of all"))
    notes = [*table.notes, *(_on_tally(tally, _correlation(table, tally.system)) for tally in table.tallies)]
    columns = ("treebank", "transfer", "similarity", "words", *table.systems)
    return Sheet(columns, tuple(map(tuple, rows)), tuple(notes))


def system_rows(table: SystemTable, comparisons: Sequence[Paired] = ()) -> list[Plain]:
    """Returns plain rows, one a system, each with its comparison's numbers (None where there is none)."""
    by_name = {each.system: each for each in comparisons}
    return [asdict(row) | _comparison(by_name.get(row.system)) for row in table.rows]


def treebank_rows(table: TreebankTable) -> list[Plain]:
    """Returns plain rows, one a treebank and system."""
    return [
        {
            "treebank": row.treebank,
            "transfer": row.code,
            "similarity": row.similarity,
            "n_words": row.n_words,
            "system": system,
            **asdict(cell),
            "base": (base := table.bases.get(system)),
            "difference": None if base is None else difference(row, system, base),
        }
        for group in table.groups
        for row in group.rows
        for system, cell in row.cells.items()
    ]


def treebank_summary(table: TreebankTable) -> Plain:
    """Returns the means by transfer language and over all, and how often each system is better than its base."""
    return {
        "groups": [_means(group) for group in table.groups],
        "total": _means(table.total),
        "tallies": [_plain_tally(tally, _correlation(table, tally.system)) for tally in table.tallies],
    }


def _system_line(row: SystemRow, n_treebanks: int) -> list[str]:
    best = "-" if row.wins is None else f"{row.wins} ({100 * row.wins / n_treebanks:.0f} %)"
    scores = [number(value) for value in (row.las, row.sd, row.sd_in_treebank, row.zero_shot)]
    return [row.system, *scores, best, str(row.n_runs), number(row.cpu_hours)]


def _compared(found: Paired | None) -> list[str]:
    if found is None:
        return ["-"] * 3
    d = found.las
    return [number(d.difference, sign=True), f"{d.low:+.2f} to {d.high:+.2f}", number(found.holm, digits=4)]


def _comparison(found: Paired | None) -> Plain:
    if found is None:
        return dict.fromkeys(["base", "difference", "low", "high", "p_value", "holm", "n_pairs", "caution"])
    d = found.las
    numbers = {"difference": d.difference, "low": d.low, "high": d.high, "p_value": d.p_value, "holm": found.holm}
    return {"base": found.base, **numbers, "n_pairs": found.n_pairs, "caution": found.caution}


def _on_comparisons(comparisons: Sequence[Paired]) -> list[str]:
    bases: dict[str, list[str]] = {}
    for each in comparisons:
        bases.setdefault(each.base, []).append(each.system)
    against = "; ".join(f"of {', '.join(systems)} to {base}" for base, systems in bases.items())
    notes = [
        f"difference: {against}; 95 %: treebanks, support seeds and training runs drawn anew, "
        f"{comparisons[0].n_resamples} times; p: signs of the treebanks' differences flipped, corrected for "
        f"{len(comparisons)} comparisons (Holm)"
    ]
    for each in comparisons:
        if each.n_left_out:
            notes.append(
                f"{each.system} against {each.base}: {each.n_left_out} pairs of treebank and support seed are left out, "
                "since not all training runs have them"
            )
    return notes


def _treebank_line(row: TreebankRow, table: TreebankTable) -> list[str]:
    cells = []
    for system in table.systems:
        cell, base = row.cells.get(system), table.bases.get(system)
        if cell is None:
            cells.append("")
            continue
        gain = None if base is None else difference(row, system, base)
        cells.append(_text(cell.zero_shot, cell.las, cell.sd, gain))
    words = "-" if row.n_words is None else str(row.n_words)
    return [row.treebank, row.code or "-", number(row.similarity), words, *cells]


def _mean_line(group: Group, table: TreebankTable, *, name: str) -> list[str]:
    cells = []
    for system in table.systems:
        las, base = group.las[system], group.las.get(table.bases.get(system, ""))
        gain = None if las is None or base is None else las - base
        cells.append(_text(group.zero_shot[system], las, None, gain))
    return [f"{name} ({group.n_compared})", group.code or "-", number(group.similarity), "", *cells]


def _text(zero_shot: float | None, las: float | None, sd: float | None, gain: float | None) -> str:
    before = "" if zero_shot is None else f"{zero_shot:.2f} → "
    spread = "" if sd is None else f" ± {sd:.2f}"
    return f"{before}{number(las)}{spread}{'' if gain is None else f' ({gain:+.2f})'}"


def _correlation(table: TreebankTable, system: str) -> Correlation | None:
    try:
        return similarity_and_gain(table, system)
    except DataError:  # too few treebanks
        return None


def _on_tally(tally: Tally, found: Correlation | None) -> str:
    text = (
        f"{tally.system} against {tally.base}: better on {tally.better} treebanks ({tally.far_better} by more than 1 LAS), "
        f"worse on {tally.worse} ({tally.far_worse}), equal on {tally.equal}"
    )
    if found is None:
        return text
    return f"{text}; similarity and gain: r {found.r:+.2f} (95 %: {found.low:+.2f} to {found.high:+.2f})"


def _plain_tally(tally: Tally, found: Correlation | None) -> Plain:
    return {**asdict(tally), "similarity_and_gain": None if found is None else asdict(found)}


def _means(group: Group) -> Mapping[str, object]:
    return {
        "transfer": group.code,
        "n_treebanks": len(group.rows),
        "n_compared": group.n_compared,
        "similarity": group.similarity,
        "las": dict(group.las),
        "zero_shot": dict(group.zero_shot),
    }
