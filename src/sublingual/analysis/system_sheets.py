"""Table 1, the systems, for readers (one text a cell) and for programs (plain rows of numbers)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sublingual.analysis.baselines import is_baseline
from sublingual.analysis.beside import Beside, Plain, bounds, on_resamples
from sublingual.analysis.intervals import Interval
from sublingual.analysis.rendering import Sheet, number, probability
from sublingual.analysis.statistics import Paired
from sublingual.analysis.tables import SystemRow, SystemTable

LOOPS = ("nonep", "meta")


def system_sheet(table: SystemTable, comparisons: Sequence[Paired] = (), *, beside: Beside | None = None) -> Sheet:
    """Returns Table 1's shape: one line a system, with its comparison where there is one."""
    by_name = {each.system: each for each in comparisons}
    columns = ["system", "LAS", "sd", "sd in a treebank", "zero-shot", "best", "runs", "CPU-hours"]
    rows = [_system_line(row, len(table.treebanks)) for row in table.rows]
    notes = [*table.notes, *_on_loops(table), "CPU-hours: of these tests, without training", *_on_training(table)]
    if any(row.zero_shot_sd is not None for row in table.rows):
        notes.append("zero-shot ±: its sd over the seeds, of the mean over treebanks; it has no interval")
    if beside is not None and beside.resampled is not None:
        columns[2:2] = ["95 % of LAS"]
        for line, row in zip(rows, table.rows, strict=True):
            line[2:2] = [_interval(beside.mean(row.system, table.treebanks))]
        notes.append(on_resamples(beside.resampled))
    if comparisons:
        columns += ["difference", "95 %", "p"]
        rows = [[*line, *_compared(by_name.get(line[0]))] for line in rows]
        notes += on_comparisons(comparisons)
    return Sheet(tuple(columns), tuple(map(tuple, rows)), tuple(notes))


def system_rows(table: SystemTable, comparisons: Sequence[Paired] = (), *, beside: Beside | None = None) -> list[Plain]:
    """Returns plain rows, one a system, each with its comparison's numbers (None where there is none)."""
    by_name = {each.system: each for each in comparisons}
    beside = beside or Beside()
    return [
        asdict(row) | bounds("las", beside.mean(row.system, table.treebanks)) | comparison_row(by_name.get(row.system))
        for row in table.rows
    ]


def _system_line(row: SystemRow, n_treebanks: int) -> list[str]:
    best = "-" if row.wins is None else f"{row.wins} ({100 * row.wins / n_treebanks:.0f} %)"
    scores = [number(value) for value in (row.las, row.sd, row.sd_in_treebank, row.zero_shot)]
    scores[-1] += "" if row.zero_shot_sd is None else f" ± {row.zero_shot_sd:.2f}"
    return [row.system, *scores, best, str(row.n_runs), number(row.cpu_hours)]


def _on_training(table: SystemTable) -> list[str]:
    found = [f"{row.system} {row.stage2_minutes:.1f}" for row in table.rows if row.stage2_minutes is not None]
    return [f"CPU-minutes of stage 2, in the mean over the training runs: {', '.join(found)}"] if found else []


def _on_loops(table: SystemTable) -> list[str]:
    """On how many treebanks a system of each loop is best: the column Total of Table 1, unless a tie would count twice."""
    found: dict[str, int] = {}
    for row in table.rows:
        loop = row.system.partition("-")[0]
        if row.wins is not None and loop in LOOPS and not is_baseline(row.system):
            found[loop] = found.get(loop, 0) + row.wins
    if len(found) < 2 or any(row.ties for row in table.rows):
        return []
    n = len(table.treebanks)
    return ["best by loop: " + ", ".join(f"{loop} {100 * wins / n:.0f} %" for loop, wins in found.items())]


def _compared(found: Paired | None) -> list[str]:
    if found is None:
        return ["-"] * 3
    d = found.las
    return [number(d.difference, sign=True), f"{d.low:+.2f} to {d.high:+.2f}", probability(found.holm)]


def comparison_row(found: Paired | None) -> Plain:
    """Returns the numbers of a comparison, None for each where there is none."""
    if found is None:
        return dict.fromkeys(["base", "difference", "low", "high", "p_value", "holm", "n_pairs", "caution"])
    d = found.las
    numbers = {"difference": d.difference, "low": d.low, "high": d.high, "p_value": d.p_value, "holm": found.holm}
    return {"base": found.base, **numbers, "n_pairs": found.n_pairs, "caution": found.caution}


def on_comparisons(comparisons: Sequence[Paired]) -> list[str]:
    """Returns what a table must say of its differences."""
    bases: dict[str, list[str]] = {}
    for each in comparisons:
        bases.setdefault(each.base, []).append(each.system)
    runs = sorted({n for each in comparisons if (n := min(each.n_training, each.n_training_base)) > 1})
    both = (
        f"treebanks and training runs ({' or '.join(map(str, runs))}, with their support sets)" if runs else "treebanks"
    )
    against = "; ".join(f"of {', '.join(systems)} to {base}" for base, systems in bases.items())
    notes = [
        f"difference: {against}; 95 % and p: {both} as drawn from many, by Student's t; p corrected for "
        f"{len(comparisons)} comparisons (Holm)"
    ]
    for each in comparisons:
        if each.n_left_out:
            notes.append(
                f"{each.system} against {each.base}: {each.n_left_out} pairs of treebank and support seed are left out, "
                "since not all training runs have them"
            )
    return notes


def _interval(found: Interval | None) -> str:
    return "-" if found is None else f"{found.low:.2f} to {found.high:.2f}"
