"""Our rows beside the paper's: are treebanks in the same order, have gains the same sign, do they go with the same factors?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

import numpy as np

from sublingual.analysis.beside import Beside, Plain, bounds, brackets
from sublingual.analysis.factors import Correlation, Factor, Slope, correlation, factors, gains, on_pretraining, slope
from sublingual.analysis.facts import Facts
from sublingual.analysis.intervals import Interval
from sublingual.analysis.paper import ENCODER, paper_runs
from sublingual.analysis.rendering import Sheet, number
from sublingual.analysis.tables import OWN_FULL, TreebankTable, bases_of, treebank_table
from sublingual.errors import ConfigError

FIGURE_2 = {
    "similarity": (0.1, "0.1 of the similarity of the nearest training language (URIEL)"),
    "pretraining": (1.0, "one step of pretraining's log10 (ten times the text)"),
    "domains": (1.0, "one domain more in the treebank (its README's genres)"),
}
"""The factors of figure 2 from top to bottom: a unit of each, and its name."""

_LEVELS = "the paper's scores are of mBERT, full test files and its own training release: levels differ, {} may not"


@dataclass(frozen=True)
class Replicated:
    """A system on the treebanks that the paper has too; gains are over the full system of its loop, None for that itself.

    las_order, gain_order: Spearman's rank correlation with the printed ones.
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

    @property
    def same_sign(self) -> bool | None:
        """Whether our mean gain has the sign of the printed one; None where one of them has none."""
        return self.gain * self.printed_gain > 0 if self.gain and self.printed_gain else None


@dataclass(frozen=True)
class ReplicatedFactor:
    """How a system's gain goes with a factor of figure 2, and the printed gain, over the same n treebanks.

    name, printed_name: of the factor, which for pretraining is that of the encoder. r: Pearson's. slope: LAS for `unit` of it.
    """

    system: str
    factor: str
    unit: float
    name: str
    printed_name: str
    n: int
    r: Correlation | None
    printed_r: Correlation | None
    slope: Slope | None
    printed_slope: Slope | None


def replicated(table: TreebankTable, beside: Beside) -> tuple[Replicated, ...]:
    """Returns a row a system that the paper has too, on the treebanks that all systems of the table have and the paper has.

    A system that is adapted nowhere has none. `table` is one with the bases "full", or none. Raises ConfigError where system or
    treebanks are none of the paper's.
    """
    printed = _printed(table)
    systems = [name for name in table.systems if name in printed.systems and table.total.mean.las[name] is not None]
    return tuple(_row(name, table, printed, beside) for name in systems)


def replicated_factors(
    table: TreebankTable, own: Sequence[Factor], facts: Mapping[str, Facts]
) -> tuple[ReplicatedFactor, ...]:
    """Returns a row a system with a gain and factor of figure 2, on the treebanks of `replicated`; errors as there.

    `own`: the factors of the records. Those of the paper are of the same facts, pretraining that of its encoder. Raises
    ConfigError where no system has a gain that is printed too.
    """
    printed = _printed(table)
    ours, theirs = ({each.key: each for each in of} for of in (own, factors(printed, facts, encoder=ENCODER)))
    systems = [name for name in table.bases if name in printed.bases and _has_gain(name, table)]
    if not systems:
        raise ConfigError("no system of these records has a gain over the full one of its loop that the paper has too")
    return tuple(
        _factor_row(name, table, printed, ours[key], theirs[key])
        for name in systems
        for key in FIGURE_2
        if key in ours and key in theirs
    )


def _has_gain(name: str, table: TreebankTable) -> bool:
    """Whether the system and its base have scores."""
    return None not in (table.total.mean.las[name], table.total.mean.las.get(table.bases.get(name, "")))


def _printed(table: TreebankTable) -> TreebankTable:
    """The paper's rows on the treebanks that all systems of the table have."""
    runs = [run for run in paper_runs() if run.treebank in table.compared]
    if not runs or not {run.system for run in runs} & set(table.systems):
        raise ConfigError("no system and treebank of the paper is in these records")
    return treebank_table(runs, bases=bases_of(dict.fromkeys(run.system for run in runs), OWN_FULL))


def _factor_row(
    name: str, table: TreebankTable, printed: TreebankTable, own: Factor, theirs: Factor
) -> ReplicatedFactor:
    unit = FIGURE_2[own.key][0]
    both = [treebank for treebank in printed.compared if treebank in own.values and treebank in theirs.values]
    x, u = ([factor.values[t] / unit for t in both] for factor in (own, theirs))
    y, v = ([gained[t] for t in both] for gained in (gains(table, name), gains(printed, name)))
    return ReplicatedFactor(
        system=name,
        factor=own.key,
        unit=unit,
        name=own.name,
        printed_name=theirs.name,
        n=len(both),
        r=correlation(x, y),
        printed_r=correlation(u, v),
        slope=slope(x, y),
        printed_slope=slope(u, v),
    )


def _row(name: str, table: TreebankTable, printed: TreebankTable, beside: Beside) -> Replicated:
    names = printed.compared
    las, said = ([_las(each, name)[t] for t in names] for each in (table, printed))
    has_gain = name in printed.bases and _has_gain(name, table)
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
        )
        for row in rows
    )
    columns = ("system", "treebanks", "LAS", "printed", "order", "gain", "printed", "same sign", "order of gains")
    notes = (
        "order: Spearman's rank correlation over treebanks of our scores and the printed ones (95 %: Fisher's, rough here)",
        "gain: over the full system of the same loop; in brackets 95 %: test sentences drawn anew, over seeds by Student's t, "
        "the treebanks as they are (Table 1 draws treebanks)",
        _LEVELS.format("order and signs"),
    )
    return Sheet(columns, lines, notes)


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
        }
        for row in rows
    ]


def replicated_factor_sheet(rows: Sequence[ReplicatedFactor], pretrained: Sequence[Factor] = ()) -> Sheet:
    """Returns a line a system and factor of figure 2: r and slope, ours and the paper's side by side.

    `pretrained`: the factors of the records, of which pretraining's zeros are counted.
    """
    lines = tuple(
        (row.system, row.factor, str(row.n), *map(_short, (row.r, row.printed_r, row.slope, row.printed_slope)))
        for row in rows
    )
    names = {(row.name, row.printed_name) for row in rows if row.factor == "pretraining"}
    units = "; ".join(FIGURE_2[factor][1] for factor in dict.fromkeys(row.factor for row in rows))
    notes = (
        "r: Pearson's, over treebanks, of factor and gain in LAS over the full system of the same loop (95 %: Fisher's)",
        f"slope: LAS of gain for {units}; by least squares (95 %: Student's t over treebanks)",
        *(f"ours: {own}; the paper's: {theirs}" for own, theirs in names),
        *on_pretraining(pretrained),
        "an interval without 0 is no proof here: treebanks of one language or family are no independent points",
        _LEVELS.format("what gains go with"),
    )
    columns = ("system", "factor", "treebanks", "r", "printed r", "slope", "printed slope")
    return Sheet(columns, lines, notes)


def replicated_factor_rows(rows: Sequence[ReplicatedFactor]) -> list[Plain]:
    """Returns plain rows, one a system and factor; slopes are for `unit` of the factor."""
    return [
        {
            "system": row.system,
            "factor": row.factor,
            "unit": row.unit,
            "name": row.name,
            "printed_name": row.printed_name,
            "n_treebanks": row.n,
            **_numbers("r", row.r),
            **_numbers("printed_r", row.printed_r),
            **_numbers("slope", row.slope),
            **_numbers("printed_slope", row.printed_slope),
        }
        for row in rows
    ]


def _short(found: Correlation | Slope | None) -> str:
    return "-" if found is None else f"{_value(found):+.2f} ({found.low:+.2f} to {found.high:+.2f})"


def _value(found: Correlation | Slope) -> float:
    return found.r if isinstance(found, Correlation) else found.slope


def _numbers(name: str, found: Correlation | Slope | None) -> Plain:
    ends = None if found is None else Interval(found.low, found.high)
    return {name: None if found is None else _value(found), **bounds(name, ends)}


def _plain(name: str, found: Correlation | None) -> Plain:
    values = {"r": None, "low": None, "high": None, "n": None} if found is None else asdict(found)
    return {f"{name}_{key}": value for key, value in values.items()}
