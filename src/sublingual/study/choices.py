"""Choosing rates (appendix A, Table 7): the settings of the best point become files that `--config` takes."""

from __future__ import annotations

import json
from pathlib import Path

from sublingual.analysis.choices import Point
from sublingual.data.textfiles import write_text


def write_choice(point: Point, *, training: Path, adaptation: Path) -> None:
    """Writes the point's settings as two files that `--config` takes."""
    adapting = point.adaptation | {
        "precision": "auto"
    }  # the records' own is that of the machine which they were made on
    for path, settings in ((training, point.training), (adaptation, adapting)):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text([json.dumps(settings, indent=1), "\n"], path)
