"""Choosing rates (appendix A, Table 7): the point of a grid with the best mean LAS over the validation treebanks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from sublingual.analysis.records import read_records
from sublingual.data.textfiles import write_text
from sublingual.errors import DataError


@dataclass(frozen=True)
class Point:
    """A point of the grid: its file of records, the settings of its training and adaptation, its LAS.

    las: the mean over treebanks of the mean over supports. treebanks: those that count. is_adapted: whether every run's
    steps lowered its support loss.
    """

    file: Path
    training: dict[str, Any]
    adaptation: dict[str, Any]
    las: float
    treebanks: tuple[str, ...]
    is_adapted: bool

    def rates(self) -> tuple[float, float]:
        """The encoder's and the classifier's rate in stage 2's outer loop."""
        outer = self.training["outer"]
        return outer["encoder_rate"], outer["classifier_rate"]


def points(files: Sequence[Path]) -> list[Point]:
    """Returns the points of these files of records. Raises DataError where they are not of the same treebanks."""
    found = [_point(path) for path in files]
    for point in found:
        if point.treebanks != found[0].treebanks:
            raise DataError(
                f"{point.file} is of {', '.join(point.treebanks)}, {found[0].file} of {', '.join(found[0].treebanks)}: "
                "points are compared on the same treebanks"
            )
    return found


def best(points: Sequence[Point]) -> Point:
    """Returns the first of those with the highest LAS; one that does not adapt only where none does."""
    return max(points, key=lambda point: (point.is_adapted, point.las))


def write_choice(point: Point, *, training: Path, adaptation: Path) -> None:
    """Writes the point's settings as two files that `--config` takes."""
    adapting = point.adaptation | {
        "precision": "auto"
    }  # the records' own is that of the machine which they were made on
    for path, settings in ((training, point.training), (adaptation, adapting)):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text([json.dumps(settings, indent=1), "\n"], path)


def _point(path: Path) -> Point:
    runs = read_records([path])
    first = json.loads(path.read_text(encoding="utf-8").partition("\n")[0])
    if "stage2" not in first["parser"]["settings"]:
        raise DataError(f"{path}: its parser was not trained in stage 2; there are no rates of it to choose")
    names = tuple(sorted({run.treebank for run in runs}))
    las = mean(mean(run.las for run in runs if run.treebank == name) for name in names)
    is_adapted = all(run.is_adapted for run in runs)
    return Point(path, first["parser"]["settings"]["stage2"], first["config"], las, names, is_adapted)
