"""Runs -> the two tables of the paper: the systems (Table 1), and all treebanks by transfer language (Table 2).

Both compare the systems on the treebanks that all of them have. A cell is the mean over the seeds of one system on one
treebank; where a run's steps did not lower its support loss, the parser was not adapted and the cell is empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sublingual.analysis.baselines import competing, is_baseline, notes_on_baselines
from sublingual.analysis.cells import (
    Cell,
    cells_of,
    compared_treebanks,
    cpu_hours_of,
    mean_of,
    notes_on,
    sd_over_seeds,
)
from sublingual.analysis.records import Run, by_system, full_of, placed, refuse_unknown
from sublingual.comparison import ROUNDING
from sublingual.errors import ConfigError

OWN_FULL = "full"
"""As a base: the full system of each one's own loop, as the paper compares."""

FEW_SENTENCES = 60
"""A treebank that keeps fewer for scoring says little; an average leaves them out."""


@dataclass(frozen=True)
class SystemRow:
    """One system over the treebanks that are compared.

    sd, zero_shot_sd: standard deviation over the seeds of the mean over treebanks. sd_in_treebank: the mean over treebanks of
    that over the seeds in each. wins: on how many treebanks no system is better (a parser that learned from the treebank's own
    training file does not count there), None for one that does not compete (`competing`); ties: on how many of these another
    is as good.
    n_runs, cpu_hours: of all its runs, also on treebanks that are not compared. stage2_minutes: of processor time that stage 2
    took, in the mean over the training runs.
    """

    system: str
    las: float | None
    sd: float | None
    sd_in_treebank: float | None
    zero_shot: float | None
    zero_shot_sd: float | None
    wins: int | None
    ties: int | None
    n_runs: int
    cpu_hours: float | None
    stage2_minutes: float | None


@dataclass(frozen=True)
class SystemTable:
    """Table 1's rows, the treebanks that they are compared on, and what must be said."""

    rows: tuple[SystemRow, ...]
    treebanks: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class TreebankRow:
    """One treebank: the training language that is nearest to it, its scored sentences and words in the mean over the runs,
    the words of its test files where they are known, the sentences that they keep beside a support set, and a cell a
    system."""

    treebank: str
    code: str | None
    similarity: float | None
    n_sentences: int | None
    n_words: int | None
    test_words: int | None
    kept: int | None
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class Average:
    """Means over compared treebanks: which, with which weights (none: all alike), by system LAS, its sd over the seeds, and
    zero-shot; None where there are none."""

    name: str
    treebanks: tuple[str, ...]
    weights: tuple[float, ...] | None
    las: Mapping[str, float | None]
    sd: Mapping[str, float | None]
    zero_shot: Mapping[str, float | None]


@dataclass(frozen=True)
class Group:
    """The treebanks of one transfer language, and means over those that are compared."""

    code: str | None
    rows: tuple[TreebankRow, ...]
    similarity: float | None
    mean: Average


@dataclass(frozen=True)
class Tally:
    """On how many treebanks a system is better or worse than its base; "far": by more than one point of LAS."""

    system: str
    base: str
    better: int
    worse: int
    equal: int
    far_better: int
    far_worse: int


@dataclass(frozen=True)
class TreebankTable:
    """Table 2's groups, all in one (`total`), the treebanks that all systems have, the systems with their bases, how often
    each is better, other averages, what must be said."""

    groups: tuple[Group, ...]
    total: Group
    compared: tuple[str, ...]
    systems: tuple[str, ...]
    bases: Mapping[str, str]
    tallies: tuple[Tally, ...]
    averages: tuple[Average, ...]
    notes: tuple[str, ...]


def system_table(runs: Sequence[Run]) -> SystemTable:
    """Returns one row a system, in the order of the runs, over the treebanks on which all of them are adapted.

    A system that is adapted on no treebank has no scores, and does not keep the others from theirs.
    """
    cells, own = cells_of(runs), by_system(runs)
    compared = _compared(cells)
    rows = tuple(_system_row(name, own[name], cells, compared) for name in own)
    said = "sd: over the seeds, of the mean over treebanks; sd in a treebank: over the seeds in each, then the mean"
    tied = sum(len(_best(cells, treebank)) > 1 for treebank in compared)
    beside = [name for name in own if name not in competing(own)]
    among = f" among all rows but {', '.join(beside)}" if beside else ""
    wins = f"best: share of the {len(compared)} treebanks{among}; a tie counts for each of its systems (ties: {tied})"
    notes = (said, wins, *notes_on_baselines(cells), *notes_on(own, cells, compared))
    return SystemTable(rows, compared, notes)


def treebank_table(
    runs: Sequence[Run],
    *,
    bases: Mapping[str, str] | None = None,
    words: Mapping[str, int | None] | None = None,
    sentences: Mapping[str, int | None] | None = None,
) -> TreebankTable:
    """Returns all treebanks by transfer language, with each system's difference to its base if it has one.

    `words`: how many the test files of each treebank have, `sentences`: how many of theirs are left beside a support set; of
    both a capped test scores some. The groups are in the order of their codes, which is the paper's; the treebanks in the
    order of the runs.
    """
    cells, own, bases = cells_of(runs), by_system(runs), bases or {}
    compared = _compared(cells)
    names = dict.fromkeys(run.treebank for run in runs)
    rows = [
        _treebank_row(treebank, runs, cells, (words or {}).get(treebank), (sentences or {}).get(treebank))
        for treebank in names
    ]
    codes = sorted({row.code for row in rows}, key=lambda code: (code is None, code))
    groups = tuple(
        _group(code, f"of {code or 'no transfer language'}", [row for row in rows if row.code == code], own, compared)
        for code in codes
    )
    tallies = tuple(_tally(system, base, rows) for system, base in bases.items())
    total = _group(None, "of all", rows, own, compared)
    kept = [row for row in rows if row.treebank in compared]
    averages = tuple(_averages(kept, own))
    notes = (*notes_on_baselines(cells), *notes_on(own, cells, compared))
    return TreebankTable(groups, total, compared, tuple(own), bases, tallies, averages, notes)


def bases_of(systems: Iterable[str], base: str) -> dict[str, str]:
    """Returns the base of each system but the bases themselves: `base`, or for "full" the full system of its own loop.

    Raises ConfigError for a base that has no runs, and where no system has a full one of its loop.
    """
    systems = list(systems)
    if base != OWN_FULL:
        refuse_unknown(base, systems, kind="system")
        return {system: base for system in systems if system != base}
    own = {system: full for system in systems if (full := full_of(system)) != system}
    found = {system: full for system, full in own.items() if full in systems}
    if not found:
        raise ConfigError(f"base 'full': no system has a full one of its loop; there are: {', '.join(systems)}")
    return found


def difference(row: TreebankRow, system: str, base: str) -> float | None:
    """Returns by how much LAS the system is better than the base, None where one of them has no score."""
    one, other = row.cells.get(system), row.cells.get(base)
    if one is None or other is None or one.las is None or other.las is None:
        return None
    return one.las - other.las


def _compared(cells: Mapping[str, Mapping[str, Cell]]) -> tuple[str, ...]:
    """The treebanks on which all systems are adapted; baselines, which stand beside them, have no say."""
    return compared_treebanks({name: own for name, own in cells.items() if not is_baseline(name)} or cells)


def _best(cells: Mapping[str, Mapping[str, Cell]], treebank: str) -> list[str]:
    here = {name: cells[name][treebank] for name in competing(cells) if treebank in cells[name]}
    las = {name: cell.las for name, cell in here.items() if not cell.has_seen}
    known = {name: value for name, value in las.items() if value is not None}
    return [name for name, value in known.items() if value >= max(known.values()) - ROUNDING]


def _system_row(
    name: str, runs: Sequence[Run], cells: Mapping[str, Mapping[str, Cell]], compared: Sequence[str]
) -> SystemRow:
    costs = len(runs), cpu_hours_of(runs), _stage2_minutes(runs)
    own = [cells[name][treebank] for treebank in compared if treebank in cells[name]]
    zero_shot = mean_of(cell.zero_shot for cell in own) if len(own) == len(compared) else None
    zero_shot_sd = None if zero_shot is None else sd_over_seeds(_zero_shot(runs), compared)
    if not own or len(own) < len(compared) or any(cell.las is None for cell in own):
        return SystemRow(name, None, None, None, zero_shot, zero_shot_sd, None, None, *costs)
    competes = name in competing(cells)
    best = [winners for treebank in compared if name in (winners := _best(cells, treebank))]
    return SystemRow(
        system=name,
        las=mean_of(cell.las for cell in own),
        sd=sd_over_seeds(runs, compared),
        sd_in_treebank=mean_of(cell.sd for cell in own),
        zero_shot=zero_shot,
        zero_shot_sd=zero_shot_sd,
        wins=len(best) if competes else None,
        ties=sum(len(winners) > 1 for winners in best) if competes else None,
        n_runs=costs[0],
        cpu_hours=costs[1],
        stage2_minutes=costs[2],
    )


def _stage2_minutes(runs: Sequence[Run]) -> float | None:
    """In the mean over the parsers that were tested: one that was made again with the same seed is another."""
    known = (run.details.parser.settings for run in runs if run.details.parser is not None)
    found = {run_of["stage2_cpu_seconds"] for run_of in known if "stage2_cpu_seconds" in run_of}
    return sum(found) / len(found) / 60 if found else None


def _zero_shot(runs: Sequence[Run]) -> list[Run]:
    """The runs with the score before the steps in place of that after them, where it is known."""
    return [replace(run, las=run.zero_shot) for run in runs if run.zero_shot is not None]


def _treebank_row(
    treebank: str,
    runs: Sequence[Run],
    cells: Mapping[str, Mapping[str, Cell]],
    test_words: int | None,
    kept: int | None,
) -> TreebankRow:
    own = [run for run in runs if run.treebank == treebank]
    nearest = placed(own)
    code, similarity = (nearest.code, nearest.similarity) if nearest is not None else (None, None)
    sizes = (mean_of(run.n_sentences for run in own), mean_of(run.n_words for run in own))
    n_sentences, n_words = (None if size is None else round(size) for size in sizes)
    found = {name: of_system[treebank] for name, of_system in cells.items() if treebank in of_system}
    kept = max((n for n in (n_sentences, kept) if n is not None), default=None)
    return TreebankRow(treebank, code, similarity, n_sentences, n_words, test_words, kept, found)


def _group(
    code: str | None,
    name: str,
    rows: Sequence[TreebankRow],
    runs: Mapping[str, Sequence[Run]],
    compared: Sequence[str],
) -> Group:
    kept = [row for row in rows if row.treebank in compared]
    return Group(code, tuple(rows), mean_of(row.similarity for row in kept), _average(name, kept, runs))


def _averages(rows: Sequence[TreebankRow], runs: Mapping[str, Sequence[Run]]) -> Iterator[Average]:
    """The mean by words, those without treebanks of few sentences (where the sizes are known), and without what was seen."""
    said, words = "by the words of the test files", [row.test_words for row in rows]
    if None in words:
        said, words = "by words scored", [row.n_words for row in rows]
    weights = tuple(float(n) for n in words if n is not None)
    if rows and len(weights) == len(rows) and sum(weights):
        yield _average(said, rows, runs, weights)
    large = [row for row in rows if row.kept is not None and row.kept >= FEW_SENTENCES]
    if large and all(row.kept is not None for row in rows) and len(large) < len(rows):
        yield _average(f"without {len(rows) - len(large)} of under {FEW_SENTENCES} sentences", large, runs)
    unseen = [row for row in rows if not any(cell.has_seen for cell in row.cells.values())]
    if unseen and len(unseen) < len(rows):
        yield _average(f"without {len(rows) - len(unseen)} that a parser learned from", unseen, runs)


def _average(
    said: str,
    rows: Sequence[TreebankRow],
    runs: Mapping[str, Sequence[Run]],
    weights: tuple[float, ...] | None = None,
) -> Average:
    names = tuple(row.treebank for row in rows)

    def of(name: str, kind: str) -> float | None:
        return mean_of([getattr(row.cells[name], kind) if name in row.cells else None for row in rows], weights)

    return Average(
        name=said,
        treebanks=names,
        weights=weights,
        las={name: of(name, "las") for name in runs},
        sd={name: sd_over_seeds(own, names, weights) for name, own in runs.items()},
        zero_shot={name: of(name, "zero_shot") for name in runs},
    )


def _tally(system: str, base: str, rows: Sequence[TreebankRow]) -> Tally:
    found = [d for row in rows if (d := difference(row, system, base)) is not None]
    return Tally(
        system=system,
        base=base,
        better=sum(d > ROUNDING for d in found),
        worse=sum(d < -ROUNDING for d in found),
        equal=sum(abs(d) <= ROUNDING for d in found),
        far_better=sum(d > 1 + ROUNDING for d in found),
        far_worse=sum(d < -1 - ROUNDING for d in found),
    )
