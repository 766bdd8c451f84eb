"""Rates chosen on validation treebanks (appendix A, Table 7): the points of a grid, their scores, the best of them.

A file of records in a folder `choices/NAME`, where a study writes it, is a point of the grid of that name and no test.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from sublingual.analysis.cells import sd_over_seeds
from sublingual.analysis.intervals import Draw, Interval, resampled
from sublingual.analysis.records import Run, checked, read_records
from sublingual.errors import DataError

FOLDER = "choices"


@dataclass(frozen=True)
class Point:
    """A point of the grid: its file of records and their runs, the settings of its training and adaptation, its LAS.

    las: the mean over treebanks of the mean over supports. treebanks: those that count. is_adapted: whether every run's
    steps lowered its support loss.
    """

    file: Path
    runs: tuple[Run, ...]
    training: dict[str, Any]
    adaptation: dict[str, Any]
    las: float
    treebanks: tuple[str, ...]
    is_adapted: bool

    def rates(self, loop: str = "outer") -> tuple[float, float]:
        """The encoder's and the classifier's rate in stage 2's outer or inner loop."""
        return self.training[loop]["encoder_rate"], self.training[loop]["classifier_rate"]


@dataclass(frozen=True)
class PointRow:
    """A point among those of its choice; loop: whose rates they are, outer or inner. sd: over the seeds, of the mean LAS."""

    choice: str
    point: str
    loop: str
    encoder_rate: float
    classifier_rate: float
    treebanks: tuple[str, ...]
    las: float
    sd: float | None
    interval: Interval | None
    n_runs: int
    is_adapted: bool
    is_chosen: bool


def choice_of(path: Path) -> str | None:
    """Returns the name of the choice of which a file is a point, by its folder; None for a file of anything else."""
    folder = path.absolute().parent
    return folder.name if folder.parent.name == FOLDER else None


def points(files: Sequence[Path]) -> list[Point]:
    """Returns the points of these files of records. Raises DataError where they are not of the same treebanks and sentences."""
    found = [_point(path) for path in files]
    for point in found:
        if point.treebanks != found[0].treebanks:
            raise DataError(
                f"{point.file} is of {', '.join(point.treebanks)}, {found[0].file} of {', '.join(found[0].treebanks)}: "
                "points are compared on the same treebanks"
            )
    checked([replace(run, system=str(point.file)) for point in found for run in point.runs])
    return found


def best(points: Sequence[Point]) -> Point:
    """Returns the first of those with the highest LAS; one that does not adapt only where none does."""
    return max(points, key=lambda point: (point.is_adapted, point.las))


def loop_of(points: Sequence[Point]) -> str:
    """Returns the loop in whose rates the points differ: `inner` or else `outer`."""
    both = all("inner" in point.training for point in points)
    return "inner" if both and len({point.rates("inner") for point in points}) > 1 else "outer"


def choice_table(
    choices: Mapping[str, Sequence[Point]], *, generator: np.random.Generator, n_resamples: int = 10_000
) -> tuple[PointRow, ...]:
    """Returns a row a point, in the order of the files; those of one choice share the draws of their intervals."""
    draw = Draw(generator)
    return tuple(row for name, own in choices.items() for row in _rows(name, own, draw(name), n_resamples))


def _rows(name: str, own: Sequence[Point], generator: np.random.Generator, n_resamples: int) -> list[PointRow]:
    loop, chosen, treebanks = loop_of(own), best(own), own[0].treebanks
    # Each point as a system of its own, whose name says neither a way of transfer nor a size of the support.
    runs = [
        replace(run, system=str(i), method="nearest", n=None, reserve=None)
        for i, point in enumerate(own)
        for run in point.runs
    ]
    drawn = resampled(runs, generator=generator, n_resamples=n_resamples)
    return [
        PointRow(
            choice=name,
            point=point.file.stem,
            loop=loop,
            encoder_rate=point.rates(loop)[0],
            classifier_rate=point.rates(loop)[1],
            treebanks=treebanks,
            las=point.las,
            sd=sd_over_seeds(point.runs, treebanks),
            interval=drawn.mean(str(i), treebanks),
            n_runs=len(point.runs),
            is_adapted=point.is_adapted,
            is_chosen=point is chosen,
        )
        for i, point in enumerate(own)
    ]


def _point(path: Path) -> Point:
    runs = read_records([path])
    first = json.loads(path.read_text(encoding="utf-8").partition("\n")[0])
    if "stage2" not in first["parser"]["settings"]:
        raise DataError(f"{path}: its parser was not trained in stage 2; there are no rates of it to choose")
    names = tuple(sorted({run.treebank for run in runs}))
    las = mean(mean(run.las for run in runs if run.treebank == name) for name in names)
    is_adapted = all(run.is_adapted for run in runs)
    return Point(path, runs, first["parser"]["settings"]["stage2"], first["config"], las, names, is_adapted)
