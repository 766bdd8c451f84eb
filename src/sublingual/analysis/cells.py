"""Runs -> cells: one system on one treebank, means over seeds; which treebanks can be compared, and what must be said."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from sublingual.analysis.records import Run, by_system

FEW = 5
"""Of more treebanks than these a note gives the number alone."""


@dataclass(frozen=True)
class Cell:
    """One system on one treebank: means over its runs, in per cent; las is None where one of them is not adapted.

    has_seen: the parser had learned from the treebank's own training file: that is no few-shot test.
    """

    las: float | None
    sd: float | None
    zero_shot: float | None
    n_runs: int
    n_not_adapted: int
    has_seen: bool = False


def cells_of(runs: Sequence[Run]) -> dict[str, dict[str, Cell]]:
    """Returns each system's cells by treebank."""
    found: dict[str, dict[str, Cell]] = {}
    for name, own in by_system(runs).items():
        treebanks = dict.fromkeys(run.treebank for run in own)
        found[name] = {treebank: _cell([run for run in own if run.treebank == treebank]) for treebank in treebanks}
    return found


def compared_treebanks(cells: Mapping[str, Mapping[str, Cell]]) -> tuple[str, ...]:
    """Returns the treebanks on which all systems are adapted, but for systems that nowhere are."""
    adapted = [{t: None for t, cell in own.items() if cell.las is not None} for own in cells.values()]
    some = [treebanks for treebanks in adapted if treebanks]
    return tuple(t for t in some[0] if all(t in own for own in some)) if some else ()


def mean_of(values: Iterable[float | None], weights: Sequence[float] | None = None) -> float | None:
    """Returns the mean, None where one of the values is missing or there are none."""
    known = list(values)
    return None if not known or None in known else fmean([value for value in known if value is not None], weights)


def sd_over_seeds(
    runs: Sequence[Run], treebanks: Sequence[str], weights: Sequence[float] | None = None
) -> float | None:
    """Returns the standard deviation of a system's mean over treebanks, over the seeds with which all of them were tested."""
    found: dict[object, dict[str, float]] = {}
    for run in runs:
        if run.treebank in treebanks:
            found.setdefault((run.training_seed, run.support_seed), {})[run.treebank] = run.las
    means = [fmean([las[t] for t in treebanks], weights) for las in found.values() if len(las) == len(treebanks) > 0]
    return stdev(means) if len(means) > 1 else None


def cpu_hours_of(runs: Sequence[Run]) -> float | None:
    """Returns what the runs took in hours of processor time, None where one of them does not say."""
    seconds = mean_of(run.cpu_seconds for run in runs)
    return None if seconds is None else seconds * len(runs) / 3600


def notes_on(
    own: Mapping[str, Sequence[Run]], cells: Mapping[str, Mapping[str, Cell]], compared: Sequence[str]
) -> tuple[str, ...]:
    """Returns what a reader must know: cells without a score, treebanks that are not compared, seeds, mixed settings."""
    said = []
    for name, of_system in cells.items():
        failed = {t: cell for t, cell in of_system.items() if cell.n_not_adapted}
        if failed:
            places = ", ".join(f"{t} ({cell.n_not_adapted} of {cell.n_runs} runs)" for t, cell in failed.items())
            said.append(f"-: {name} is not reported as adapted, its steps did not lower the support loss: {places}")
    left_out = [t for t in dict.fromkeys(t for of_system in cells.values() for t in of_system) if t not in compared]
    if left_out:
        said.append(f"means and wins leave out what not all systems have: {', '.join(left_out)}")
    seeds = {name: {(run.treebank, run.support_seed) for run in runs} for name, runs in own.items()}
    unequal = sorted({t for one in seeds.values() for other in seeds.values() for t, _ in one ^ other if t in compared})
    if unequal:
        where = ", ".join(unequal) if len(unequal) <= FEW else f"on {len(unequal)} of {len(compared)} treebanks"
        said.append(f"not all systems had the same support seeds: {where}")
    for name, runs in own.items():
        if len(settings := {run.settings for run in runs}) > 1:
            said.append(
                f"{name}: runs of {len(settings)} settings of adaptation, which differ in {differing(settings)}"
            )
    seeds_of = {name: {run.training_seed for run in runs} for name, runs in own.items()}
    alone = [name for name, found in seeds_of.items() if len(found) == 1 and found != {None}]
    if alone:
        said.append(f"one training run of {', '.join(alone)}; intervals and sd leave its training variance out")
    return tuple(said)


def differing(settings: Iterable[str]) -> str:
    """Returns the names of those settings that are not the same in all, each with its values; nothing where all are."""
    values = [json.loads(each) if each else {} for each in settings]
    names = dict.fromkeys(name for each in values for name in each)
    found = [name for name in names if len({json.dumps(each.get(name)) for each in values}) > 1]
    return ", ".join(f"{name} ({' or '.join(sorted({str(each.get(name)) for each in values}))})" for name in found)


def _cell(runs: Sequence[Run]) -> Cell:
    n_not_adapted = sum(not run.is_adapted for run in runs)
    las = [run.las for run in runs]
    return Cell(
        las=None if n_not_adapted else fmean(las),
        sd=None if n_not_adapted or len(las) < 2 else stdev(las),
        zero_shot=mean_of(run.zero_shot for run in runs),
        n_runs=len(runs),
        n_not_adapted=n_not_adapted,
        has_seen=any(run.has_seen for run in runs),
    )
