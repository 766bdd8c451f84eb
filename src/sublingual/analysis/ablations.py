"""The controls of section 8 and 7.1, each against what it is a control of, on test and on training languages.

Two systems are compared by the runs with the same seeds: a control that was trained three times meets the same three runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from sublingual.analysis.cells import cells_of, differing, sd_over_seeds
from sublingual.analysis.intervals import Draw, Interval, Resampled, interval_of, resampled, two_sided
from sublingual.analysis.records import Run, by_system
from sublingual.analysis.statistics import compare_runs, holm
from sublingual.comparison import ROUNDING

TEST, TRAINING = "test languages", "training languages"


@dataclass(frozen=True)
class Control:
    """A control: the systems that are one (a pattern of their names), what it is held against, what the paper found.

    language: the part of the pattern that names the training language whose own test counts alone (section 7.1). is_drawn:
    trained in gates drawn at random, a bar of Figure 3.
    """

    name: str
    pattern: str
    against: str
    printed: str
    language: str | None = None
    is_drawn: bool = False


_ONLY, _ALL_BUT = r"(nonep|meta)-static-only-(\S+)", r"(nonep|meta)-static-all-but-(\S+)"
_ABOUT_5 = "about 5 LAS lower on the training languages (Figure 3)"
CONTROLS = (
    Control("Shuffle", r"(nonep|meta)-shuffle", r"\1-static", _ABOUT_5, is_drawn=True),
    Control(
        "random heads off",
        r"(nonep|meta)-r\d+(?:-percent)?",
        r"\1-static",
        f"{_ABOUT_5}, more with more off",
        is_drawn=True,
    ),
    Control("Bad", r"(nonep|meta)-bad", r"\1-static", "lower than R20 (Figure 3)", is_drawn=True),
    Control("Bad", r"(nonep|meta)-bad", r"\1-r20", "lower than R20 (Figure 3)", is_drawn=True),
    Control("DR20", r"(nonep|meta)-dr20", r"\1-dynamic", "about 10 LAS lower on the test languages", is_drawn=True),
    Control("random transfer language", r"(\S+) \(random\)", r"\1", "lower on 79 of 86 treebanks"),
    Control("intersection of the seeds, tested in it", r"(\S+) \(intersection\)", r"\1", "lower on dev (footnote 2)"),
    Control("random gates, tested in them", r"(\S+) \((?:shuffle|bad|r\d+(?:-percent)?)\)", r"\1", "not in the paper"),
    Control(
        "intersection of the seeds, trained in it",
        r"(nonep|meta)-intersection",
        r"\1-static",
        "lower on dev (footnote 2)",
    ),
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
    Control("one language masked: itself", _ONLY, r"\1-full", "Czech +4.1, others alike (section 7.1)", language=r"\2"),
    Control(
        "all but one masked: itself",
        _ALL_BUT,
        r"\1-full",
        "Czech +4.7 printed, 4.9 by 80.3 - 75.4, others alike",
        language=r"\2",
    ),
    Control("only one language masked", _ONLY, r"\1-full", "most Norwegian: +7.1 (Czech), +7.3 (Arabic)"),
    Control("all but one masked", _ALL_BUT, r"\1-full", "not said of all"),
)


@dataclass(frozen=True)
class Mean:
    """A system's mean LAS over treebanks, its standard deviation over the seeds, its interval; None where none is known."""

    las: float
    sd: float | None
    interval: Interval | None


@dataclass(frozen=True)
class Ablation:
    """A control against another system, over the treebanks and the training runs that both have.

    own, other: the means of the two. interval, p_value: of their difference; holm: over all lines of the table. None where
    nothing could be drawn, no p of one training run. differing: in which settings of adaptation the runs differ, if any.
    """

    control: Control
    system: str
    against: str
    where: str
    own: Mean
    other: Mean
    interval: Interval | None
    p_value: float | None
    holm: float | None
    lower: int
    n_treebanks: int
    n_training: int
    differing: str = ""

    @property
    def difference(self) -> float:
        return self.own.las - self.other.las


def ablations(
    runs: Sequence[Run], own: Sequence[Run], *, generator: np.random.Generator, n_resamples: int = 10_000
) -> tuple[Ablation, ...]:
    """Returns a line for each control that has records, on test languages and on training languages."""
    draw = Draw(generator)
    found = [
        line for where, some in ((TEST, runs), (TRAINING, own)) if some for line in _of(some, where, draw, n_resamples)
    ]
    p_values = [line.p_value for line in found if line.p_value is not None]
    corrected = iter(holm(p_values))
    return tuple(line if line.p_value is None else replace(line, holm=next(corrected)) for line in found)


def held_against(name: str) -> set[str]:
    """Returns what a bar of Figure 3 is held against; nothing for a system that is none."""
    found = ((re.fullmatch(control.pattern, name), control) for control in CONTROLS if control.is_drawn)
    return {match.expand(control.against) for match, control in found if match is not None}


def of_the_same_seeds(systems: Mapping[str, Sequence[Run]]) -> list[Run]:
    """Returns the runs whose treebank and seeds all of these systems have."""
    shared = set.intersection(*({_seeds(run) for run in runs} for runs in systems.values()))
    return [run for runs in systems.values() for run in runs if _seeds(run) in shared]


def _of(runs: Sequence[Run], where: str, draw: Draw, n_resamples: int) -> list[Ablation]:
    systems = by_system(runs)
    lines = []
    for name, own in systems.items():
        for control in CONTROLS:
            match = re.fullmatch(control.pattern, name)
            other = None if match is None else systems.get(match.expand(control.against))
            if match is None or other is None or (control.language is not None and where == TEST):
                continue
            code = None if control.language is None else match.expand(control.language)
            pair = {name: own, match.expand(control.against): other}
            lines.append(_line(control, pair, where, code, draw(where, control.name, *pair), n_resamples))
    return [line for line in lines if line is not None]


def _line(
    control: Control,
    pair: Mapping[str, Sequence[Run]],
    where: str,
    code: str | None,
    generator: np.random.Generator,
    n_resamples: int,
) -> Ablation | None:
    """The comparison of a pair, a control and what it is held against; None where they have no run of the same seeds."""
    name, against = pair
    kept = [run for run in of_the_same_seeds(pair) if code in (None, run.code)]
    cells = cells_of(kept)
    las = {system: {t: c.las for t, c in own.items() if c.las is not None} for system, own in cells.items()}
    both = [treebank for treebank in las.get(name, {}) if treebank in las[against]]
    if not both:
        return None
    drawn = resampled(kept, generator=generator, n_resamples=n_resamples)
    n_training = len({run.training_seed for run in kept})
    between, p_value = _difference(drawn, pair, [run for run in kept if run.treebank in both])
    own, other = (
        Mean(fmean(las[system][t] for t in both), sd_over_seeds(runs, both), drawn.mean(system, both))
        for system, runs in by_system(kept).items()
    )
    return Ablation(
        control=control,
        system=name,
        against=against,
        where=where if code is None else f"own test of {code}",
        own=own,
        other=other,
        interval=between,
        p_value=None if n_training == 1 else p_value,
        holm=None,
        lower=sum(las[name][t] < las[against][t] - ROUNDING for t in both),
        n_treebanks=len(both),
        n_training=n_training,
        differing=differing({run.settings for run in kept}),
    )


def _difference(
    drawn: Resampled, pair: Mapping[str, Sequence[Run]], kept: Sequence[Run]
) -> tuple[Interval | None, float | None]:
    """Over several treebanks as in Table 1 (`statistics`); on a single one its sentences are drawn."""
    name, against = pair
    own = by_system(kept)
    treebanks = {run.treebank for run in kept}
    if len(treebanks) > 1:
        las = compare_runs(own[against], own[name], names=(against, name)).las
        return Interval(las.low, las.high), las.p_value
    (treebank,) = treebanks
    moved = drawn.las[name][treebank] - drawn.las[against][treebank]
    between = interval_of(moved)
    return between, None if between is None else two_sided(moved)


def _seeds(run: Run) -> tuple[str, int | None, int | None]:
    """What two systems' runs share where they can be compared."""
    return run.treebank, run.training_seed, run.support_seed
