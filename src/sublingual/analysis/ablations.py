"""The controls of section 8 and 7.1, each against what it is a control of, on test and on training languages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from sublingual.analysis.cells import cells_of
from sublingual.analysis.intervals import Interval, interval_of, resampled, two_sided
from sublingual.analysis.records import Run, by_system
from sublingual.analysis.statistics import holm
from sublingual.comparison import ROUNDING

TEST, TRAINING = "test languages", "training languages"


@dataclass(frozen=True)
class Control:
    """A control: the systems that are one (a pattern of their names), what it is held against, what the paper found."""

    name: str
    pattern: str
    against: str
    printed: str


_ABOUT_5 = "about 5 LAS lower on the training languages (Figure 3)"
CONTROLS = (
    Control("Shuffle", r"(nonep|meta)-shuffle", r"\1-static", _ABOUT_5),
    Control("random heads off", r"(nonep|meta)-r\d+(?:-percent)?", r"\1-static", f"{_ABOUT_5}, more with more off"),
    Control("Bad", r"(nonep|meta)-bad", r"\1-static", "lower than R20 (Figure 3)"),
    Control("Bad", r"(nonep|meta)-bad", r"\1-r20", "lower than R20 (Figure 3)"),
    Control("DR20", r"(nonep|meta)-dr20", r"\1-dynamic", "about 10 LAS lower on the test languages"),
    Control("random transfer language", r"(\S+) \(random\)", r"\1", "lower on 79 of 86 treebanks"),
    Control("intersection of the seeds", r"(nonep|meta)-intersection", r"\1-static", "lower on dev (footnote 2)"),
    Control(
        "unstructured", r"(nonep|meta)-unstructured", r"\1-static", "lower on 76 %; 39.9 against 40.4 for NonEp static"
    ),
    Control(
        "unstructured, dynamic",
        r"(nonep|meta)-unstructured-dynamic",
        r"\1-dynamic",
        "lower on 76 %; 36.7 against 39.0 for NonEp dynamic",
    ),
    Control("as many off as static", r"(nonep|meta)-dynamic-same", r"\1-dynamic", "not in the paper"),
    Control("only one language masked", r"(nonep|meta)-static-only-\S+", r"\1-full", "Czech +4.1 (section 7.1)"),
    Control(
        "all but one masked", r"(nonep|meta)-static-all-but-\S+", r"\1-full", "Czech +4.7 printed, 4.9 by 80.3 - 75.4"
    ),
)


@dataclass(frozen=True)
class Ablation:
    """A control against another system, over the treebanks that both have; holm: over all lines of the table."""

    control: Control
    system: str
    against: str
    where: str
    las: float
    las_against: float
    interval: Interval | None
    p_value: float | None
    holm: float | None
    lower: int
    n_treebanks: int

    @property
    def difference(self) -> float:
        return self.las - self.las_against


def ablations(
    runs: Sequence[Run], own: Sequence[Run], *, generator: np.random.Generator, n_resamples: int = 10_000
) -> tuple[Ablation, ...]:
    """Returns a line for each control that has records, on test languages and on training languages."""
    found = [
        line
        for where, some in ((TEST, runs), (TRAINING, own))
        if some
        for line in _of(some, where, generator, n_resamples)
    ]
    p_values = [line.p_value for line in found if line.p_value is not None]
    corrected = iter(holm(p_values))
    return tuple(line if line.p_value is None else replace(line, holm=next(corrected)) for line in found)


def _of(runs: Sequence[Run], where: str, generator: np.random.Generator, n_resamples: int) -> list[Ablation]:
    pairs = [
        (control, name, against)
        for name in by_system(runs)
        for control in CONTROLS
        if (match := re.fullmatch(control.pattern, name)) and (against := match.expand(control.against))
    ]
    cells = cells_of(runs)
    pairs = [(control, name, against) for control, name, against in pairs if against in cells]
    drawn = resampled(runs, generator=generator, n_resamples=n_resamples) if pairs else None
    lines = []
    for control, name, against in pairs:
        a, b = cells[name], cells[against]
        both = [t for t in a if t in b and a[t].las is not None and b[t].las is not None]
        if not both:
            continue
        las_a, las_b = ([_las(of[t].las) for t in both] for of in (a, b))
        assert drawn is not None
        moved = np.mean([drawn.las[name][t] - drawn.las[against][t] for t in both], axis=0)
        between = interval_of(moved)
        lines.append(
            Ablation(
                control=control,
                system=name,
                against=against,
                where=where,
                las=fmean(las_a),
                las_against=fmean(las_b),
                interval=between,
                p_value=None if between is None else two_sided(moved),
                holm=None,
                lower=sum(x < y - ROUNDING for x, y in zip(las_a, las_b, strict=True)),
                n_treebanks=len(both),
            )
        )
    return lines


def _las(value: float | None) -> float:
    assert value is not None
    return value
