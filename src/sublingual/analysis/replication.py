"""Our rows beside the paper's: are treebanks in the same order, have gains the same sign, has figure 2 the same slopes?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

import numpy as np

from sublingual.analysis.beside import Beside, Plain, bounds, brackets
from sublingual.analysis.factors import Correlation, correlation, gains, go_together, similarity
from sublingual.analysis.intervals import Interval
from sublingual.analysis.paper import paper_runs
from sublingual.analysis.rendering import Sheet, number
from sublingual.analysis.tables import OWN_FULL, TreebankTable, bases_of, treebank_table
from sublingual.errors import ConfigError


@dataclass(frozen=True)
class Replicated:
    """A system on the treebanks that the paper has too; gains are over the full system of its loop, None for that itself.

    las_order, gain_order: Spearman's rank correlation with the printed ones. slope, printed_slope: Pearson's r of gain and
    similarity, on these treebanks.
    """

    system: str
    n: int
    las: float
    printed_las: float
    las_order: Correlation | None
    gain: float | None
    gain_interval: Interval | None
    printed_gain: float | None
    gain_order: Correlation | None
    slope: Correlation | None
    printed_slope: Correlation | None

    @property
    def same_sign(self) -> bool | None:
        """Whether our mean gain has the sign of the printed one; None where one of them has none."""
        return self.gain * self.printed_gain > 0 if self.gain and self.printed_gain else None


def replicated(table: TreebankTable, beside: Beside) -> tuple[Replicated, ...]:
    """Returns a row a system that the paper has too, on the treebanks that all systems of the table have and the paper has.

    `table` is one with the bases "full", or none. Raises ConfigError where system or treebanks are none of the paper's.
    """
    known = {run.treebank for run in paper_runs()}
    names = tuple(treebank for treebank in table.compared if treebank in known)
    own_runs = [run for run in paper_runs() if run.treebank in names]
    systems = [name for name in table.systems if name in {run.system for run in own_runs}]
    if not names or not systems:
        raise ConfigError("no system and treebank of the paper is in these records")
    printed = treebank_table(own_runs, bases=bases_of(dict.fromkeys(run.system for run in own_runs), OWN_FULL))
    return tuple(_row(name, names, table, printed, beside) for name in systems)


def _row(name: str, names: Sequence[str], table: TreebankTable, printed: TreebankTable, beside: Beside) -> Replicated:
    las, said = ([_las(each, name)[t] for t in names] for each in (table, printed))
    has_gain = name in table.bases and name in printed.bases
    own = gains(table, name) if has_gain else {}
    theirs = gains(printed, name) if has_gain else {}
    base = table.bases.get(name, "")
    drawn = None if beside.resampled is None or not has_gain else beside.resampled.difference(name, base, names)
    return Replicated(
        system=name,
        n=len(names),
        las=fmean(las),
        printed_las=fmean(said),
        las_order=_spearman(las, said),
        gain=fmean(own[t] for t in names) if has_gain else None,
        gain_interval=drawn,
        printed_gain=fmean(theirs[t] for t in names) if has_gain else None,
        gain_order=_spearman([own[t] for t in names], [theirs[t] for t in names]) if has_gain else None,
        slope=go_together(similarity(table), {t: own[t] for t in names}) if has_gain else None,
        printed_slope=go_together(similarity(printed), {t: theirs[t] for t in names}) if has_gain else None,
    )


def _las(table: TreebankTable, system: str) -> Mapping[str, float]:
    found = {row.treebank: row.cells[system].las for row in table.total.rows if system in row.cells}
    return {treebank: las for treebank, las in found.items() if las is not None}


def _spearman(x: Sequence[float], y: Sequence[float]) -> Correlation | None:
    """Spearman's rank correlation; its interval is Fisher's, which is rough for ranks."""
    return correlation(ranks(x), ranks(y))


def ranks(values: Sequence[float]) -> list[float]:
    """Returns each value's rank from 1, the mean rank for equal ones.

    >>> ranks([30, 10, 10, 20])
    [4.0, 1.5, 1.5, 3.0]
    """
    array = np.asarray(values, dtype=float)
    below = (array[:, None] > array[None, :]).sum(axis=1)
    equal = (array[:, None] == array[None, :]).sum(axis=1)
    return [float(b + (e + 1) / 2) for b, e in zip(below, equal, strict=True)]


def replication_sheet(rows: Sequence[Replicated]) -> Sheet:
    """Returns a line a system: ours and the paper's, side by side."""
    lines = tuple(
        (
            row.system,
            str(row.n),
            number(row.las),
            number(row.printed_las),
            _short(row.las_order),
            number(row.gain, sign=True) + brackets(row.gain_interval, digits=2),
            number(row.printed_gain, sign=True),
            {None: "-", True: "yes", False: "no"}[row.same_sign],
            _short(row.gain_order),
            _short(row.slope),
            _short(row.printed_slope),
        )
        for row in rows
    )
    columns = ("system", "treebanks", "LAS", "printed", "order", "gain", "printed", "same sign", "order of gains")
    notes = (
        "order: Spearman's rank correlation over treebanks of our scores and the printed ones (95 %: Fisher's, rough here)",
        "gain: over the full system of the same loop; r: Pearson, of gain and similarity (figure 2, top)",
        "the paper's scores are of mBERT, full test files and its own training release: levels differ, order and signs may not",
    )
    return Sheet((*columns, "r", "printed r"), lines, notes)


def replication_rows(rows: Sequence[Replicated]) -> list[Plain]:
    """Returns plain rows, one a system."""
    return [
        {
            "system": row.system,
            "n_treebanks": row.n,
            "las": row.las,
            "printed_las": row.printed_las,
            **_plain("las_order", row.las_order),
            "gain": row.gain,
            **bounds("gain", row.gain_interval),
            "printed_gain": row.printed_gain,
            "same_sign": row.same_sign,
            **_plain("gain_order", row.gain_order),
            **_plain("slope", row.slope),
            **_plain("printed_slope", row.printed_slope),
        }
        for row in rows
    ]


def _short(found: Correlation | None) -> str:
    return "-" if found is None else f"{found.r:+.2f} ({found.low:+.2f} to {found.high:+.2f})"


def _plain(name: str, found: Correlation | None) -> Plain:
    values = {"r": None, "low": None, "high": None, "n": None} if found is None else asdict(found)
    return {f"{name}_{key}": value for key, value in values.items()}
