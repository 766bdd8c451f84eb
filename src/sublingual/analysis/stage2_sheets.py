"""Tables 4 and 5 and the ablations, for readers and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sublingual.analysis.ablations import Ablation, Mean
from sublingual.analysis.beside import Plain, bounds, brackets, gain_columns, gained
from sublingual.analysis.conflicts import ConflictRow
from sublingual.analysis.intervals import Resampled
from sublingual.analysis.own import OwnTable
from sublingual.analysis.paper import (
    PRINTED_COUPLING,
    PRINTED_OFF,
    PRINTED_TABLE_4,
    PRINTED_TABLE_5,
)
from sublingual.analysis.rendering import Entry, Sheet, number, probability
from sublingual.analysis.statistics import Paired
from sublingual.analysis.system_sheets import comparison_row, on_comparisons


def own_sheet(
    table: OwnTable,
    resampled: Resampled | None = None,
    *,
    systems: Sequence[str] | None = None,
    comparisons: Sequence[Paired] = (),
) -> Sheet:
    """Returns Table 4: LAS ± sd [95 %] (attention heads off) of systems (None: all) on the training languages' own tests.

    Below the means stand the differences of those that have a comparison.
    """
    systems, rows = table.systems if systems is None else tuple(systems), []
    for row in table.rows:
        cells = []
        for system in systems:
            found = row.cells.get(system)
            if found is None or found.cell.las is None:
                cells.append("")
                continue
            between = None if resampled is None else resampled.cell(system, row.treebank)
            spread = "" if found.cell.sd is None else f" ± {found.cell.sd:.2f}"
            off = "" if not found.off else f" ({found.off:.3g})"
            text = f"{found.cell.las:.2f}{spread}{brackets(between)}{off}"
            cells.append(Entry(text, value=found.cell.las))
        rows.append((row.code, row.treebank, *cells, _printed_own(row.code)))
    means = tuple(_own_mean(name, table, resampled) for name in systems)
    rows.append(("mean", f"{len(table.compared)} tests", *means, ""))
    notes = [
        "in parentheses: attention heads off. Tests are those of the files named, not of the paper's release",
        "printed: NonEp full, static (heads off), dynamic (28 off)",
    ]
    if by_name := {each.system: each for each in comparisons if each.system in systems}:
        gains = [_own_difference(by_name[name]) if name in by_name else "" for name in systems]
        rows.append(("mean difference", f"{len(table.compared)} tests", *gains, ""))
        notes += on_comparisons([*by_name.values()])
    return Sheet(("language", "treebank", *systems, "printed"), tuple(rows), tuple(notes))


def own_rows(table: OwnTable, resampled: Resampled | None = None, *, comparisons: Sequence[Paired] = ()) -> list[Plain]:
    """Returns plain rows, one a test and system, then one a system of its mean (no treebank) and difference."""
    by_name = {each.system: each for each in comparisons}
    cells = [
        {
            "language": row.code,
            "treebank": row.treebank,
            "system": system,
            **asdict(found.cell),
            **bounds("las", None if resampled is None else resampled.cell(system, row.treebank)),
            "heads_off": found.off,
        }
        for row in table.rows
        for system, found in row.cells.items()
    ]
    means = [
        {
            "system": name,
            "las": table.means[name],
            "sd": table.sds[name],
            **bounds("las", None if resampled is None else resampled.mean(name, table.compared)),
            **comparison_row(by_name.get(name)),
        }
        for name in table.systems
    ]
    keys = dict.fromkeys(key for row in (*cells, *means) for key in row)
    return [{key: row.get(key) for key in keys} for row in (*cells, *means)]


def _own_difference(found: Paired) -> str:
    d = found.las
    return f"{d.difference:+.2f} [{d.low:+.2f}, {d.high:+.2f}], p {probability(found.holm)}"


def _own_mean(system: str, table: OwnTable, resampled: Resampled | None) -> str:
    between = None if resampled is None else resampled.mean(system, table.compared)
    return f"{number(table.means[system])}{_sd(table.sds[system], 2)}{brackets(between)}"


def _printed_own(code: str) -> str:
    if code not in PRINTED_TABLE_4:
        return "-"
    full, static, dynamic = PRINTED_TABLE_4[code]
    return f"{full}, {static} ({PRINTED_OFF[code]}), {dynamic}"


def conflict_sheet(rows: Sequence[ConflictRow]) -> Sheet:
    """Returns Table 5 with its correlations, the paper's numbers beside them."""
    lines = []
    for row in rows:
        printed = PRINTED_TABLE_5.get(row.system)
        lines.append(
            (
                row.system,
                str(len(row.seeds)),
                f"{row.conflicts:.1f} %{_sd(row.conflicts_sd, 1)}{brackets(row.conflicts_interval)}"
                + gained(row.conflicts_gain, digits=1),
                "-" if printed is None else f"{printed[0]} %",
                f"{row.cosine:.3f}{_sd(row.cosine_sd, 3)}{brackets(row.cosine_interval, digits=3)}"
                + gained(row.cosine_gain, digits=3),
                "-" if printed is None else f"{printed[1]:.2f}",
                "-" if row.coupling is None else number(row.coupling.r, sign=True),
                probability(None if row.coupling is None else row.coupling.p_value),
                number(PRINTED_COUPLING.get(row.system), sign=True),
            )
        )
    notes = (
        "conflicts: pairs of languages whose gradients have a cosine below 0, in the last steps of stage 2; ± sd over seeds; "
        "in parentheses: minus the full runs of the same seeds [95 %]",
        "r: over steps, fewer conflicts and higher cosine than the full run of the same seed, mean over seeds; p: steps in "
        "random order. Both are made of the same cosines, so that some r is certain (docs/protocol.md 2.31)",
    )
    columns = ("system", "seeds", "conflicts", "printed", "cosine", "printed", "r", "p", "printed")
    return Sheet(columns, tuple(lines), notes)


def conflict_rows(rows: Sequence[ConflictRow]) -> list[Plain]:
    """Returns plain rows, one a system."""
    return [
        {
            "system": row.system,
            "seeds": " ".join(map(str, row.seeds)),
            "conflicts": row.conflicts,
            "conflicts_sd": row.conflicts_sd,
            **bounds("conflicts", row.conflicts_interval),
            **gain_columns("conflicts", row.conflicts_gain),
            "cosine": row.cosine,
            "cosine_sd": row.cosine_sd,
            **bounds("cosine", row.cosine_interval),
            **gain_columns("cosine", row.cosine_gain),
            "r": None if row.coupling is None else row.coupling.r,
            "p_value": None if row.coupling is None else row.coupling.p_value,
        }
        for row in rows
    ]


def ablation_sheet(rows: Sequence[Ablation]) -> Sheet:
    """Returns a line a control: its LAS, that of what it is held against, and what the paper found."""
    lines = tuple(
        (
            row.control.name,
            row.system,
            row.against,
            row.where,
            *(_mean(each) for each in (row.own, row.other)),
            f"{row.difference:+.2f}{brackets(row.interval, digits=2)}",
            probability(row.holm),
            f"{row.lower} of {row.n_treebanks}",
            str(row.n_training),
            row.control.printed,
        )
        for row in rows
    )
    scores = ("LAS", "its LAS", "difference", "p", "lower on", "training runs")
    columns = ("control", "system", "against", "on", *scores, "the paper")
    notes = [
        "both means are of the runs with the same seeds, ± sd over them; in brackets 95 %, of a mean: sentences drawn anew, "
        "training runs with their support sets by Student's t; of a difference, and p: treebanks and training runs as drawn "
        "from many, by Student's t, on one language's test its sentences; p corrected for all lines of this table (Holm)",
    ]
    if any(row.n_training == 1 for row in rows):
        notes.append(
            "of one training run the interval is of these two parsers, not of what training them again would give; no p"
        )
    notes += [
        f"{row.system} against {row.against}: runs of several settings of adaptation, which differ in {row.differing}"
        for row in rows
        if row.differing
    ]
    return Sheet(columns, lines, tuple(notes))


def ablation_rows(rows: Sequence[Ablation]) -> list[Plain]:
    """Returns plain rows, one a control."""
    return [
        {
            "control": row.control.name,
            "system": row.system,
            "against": row.against,
            "on": row.where,
            "las": row.own.las,
            "sd": row.own.sd,
            **bounds("las", row.own.interval),
            "las_against": row.other.las,
            "sd_against": row.other.sd,
            **bounds("las_against", row.other.interval),
            "difference": row.difference,
            **bounds("difference", row.interval),
            "p_value": row.p_value,
            "holm": row.holm,
            "lower": row.lower,
            "n_treebanks": row.n_treebanks,
            "n_training": row.n_training,
            "printed": row.control.printed,
        }
        for row in rows
    ]


def _mean(found: Mean) -> Entry:
    return Entry(f"{found.las:.2f}{_sd(found.sd, 2)}{brackets(found.interval)}", value=found.las)


def _sd(value: float | None, digits: int) -> str:
    return "" if value is None else f" ± {value:.{digits}f}"
