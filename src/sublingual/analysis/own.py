"""Training languages on their own tests, in their own subnetworks (Table 4, section 7.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sublingual.analysis.cells import Cell, cells_of, mean_of, sd_over_seeds
from sublingual.analysis.records import Run, by_system


@dataclass(frozen=True)
class OwnCell:
    """A system's LAS on one test, and how many attention heads its subnetwork switches off, in the mean over seeds."""

    cell: Cell
    off: float | None


@dataclass(frozen=True)
class OwnRow:
    """A training language's test: its treebank, and a cell a system."""

    code: str
    treebank: str
    cells: Mapping[str, OwnCell]


@dataclass(frozen=True)
class OwnTable:
    """Table 4: a row a test, the systems in the order of the runs, and each system's mean over the tests that all have, with
    its standard deviation over the seeds."""

    rows: tuple[OwnRow, ...]
    systems: tuple[str, ...]
    compared: tuple[str, ...]
    means: Mapping[str, float | None]
    sds: Mapping[str, float | None]


def own_table(runs: Sequence[Run]) -> OwnTable:
    """Returns the tests of training languages, in the order of the languages' codes."""
    cells, by_name = cells_of(runs), by_system(runs)
    treebanks = {run.treebank: run.code or "-" for run in runs}
    rows = []
    for treebank, code in sorted(treebanks.items(), key=lambda item: (item[1], item[0])):
        found = {
            name: OwnCell(own[treebank], _off([run for run in by_name[name] if run.treebank == treebank]))
            for name, own in cells.items()
            if treebank in own
        }
        rows.append(OwnRow(code, treebank, found))
    compared = tuple(row.treebank for row in rows if len(row.cells) == len(by_name))
    means = {name: mean_of(own[t].las for t in compared if t in own) for name, own in cells.items()}
    sds = {name: sd_over_seeds(own, compared) for name, own in by_name.items()}
    return OwnTable(tuple(rows), tuple(by_name), compared, means, sds)


def _off(runs: Sequence[Run]) -> float | None:
    return mean_of(None if run.gates_off is None else float(run.gates_off) for run in runs)
