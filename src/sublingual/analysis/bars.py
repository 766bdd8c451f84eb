"""Figure 3: systems with random masks beside what they are held against, as bars. Needs matplotlib (the extra `analysis`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sublingual.analysis import plots
from sublingual.analysis.ablations import TEST, TRAINING, Ablation, of_the_same_seeds
from sublingual.analysis.records import Run, by_system, full_of
from sublingual.analysis.results import Results, is_control
from sublingual.errors import ConfigError, DataError

_BARS = ("full", "static", "dynamic", r"r\d+", r"r\d+-percent", "shuffle", "bad", "dr20")
"""The bars from above, by the systems' names without their loop."""


def masks(results: Results) -> Figure:
    """Returns figure 3: random masks beside what they are held against and the full system of their loop.

    Each panel, of the training languages' own tests and of the test languages, compares the runs with the same seeds.
    """
    panels = []
    for where, title, runs in (
        (TRAINING, "training languages' own tests ({})", results.material.own),
        (TEST, "test languages ({} treebanks)", results.runs),
    ):
        if names := {name for line in results.ablations if line.where == where for name in _drawn(line)}:
            panels.append((title, _compared(results, runs, names)))
    if not panels:
        raise ConfigError(
            "no records of controls (nonep-shuffle, nonep-r20, nonep-bad, nonep-dr20, ...) in these files"
        )
    height = 0.9 + 0.27 * max(len(found.systems.rows) for _, found in panels)
    with plots.styled():
        drawn, axes = plots.figure(4.8 * len(panels), height, columns=len(panels))
        for axis, (title, found) in zip(axes[0], panels, strict=True):
            _bars(axis, found)
            axis.set_title(title.format(len(found.systems.treebanks)))
    return drawn


def _drawn(line: Ablation) -> tuple[str, ...]:
    """A random mask, what it is held against, and the full system of its loop; nothing of another control."""
    full = full_of(line.against)
    return (line.system, line.against, full) if line.control.is_drawn else ()


def _compared(results: Results, runs: Sequence[Run], names: set[str]) -> Results:
    """The results of these systems in the figure's order, of the runs whose treebank and seeds all of them have."""
    own = {name: some for name, some in by_system(runs).items() if name in names}
    kept = of_the_same_seeds({name: own[name] for name in sorted(own, key=_place)})
    found = replace(results, material=replace(results.material, runs=tuple(kept)))
    if not found.systems.treebanks:
        raise DataError(
            f"no treebank and seed on which all are tested: {', '.join(own)}; test them with the same seeds"
        )
    return found


def _place(name: str) -> tuple[bool, int, int, str]:
    """Where a bar stands: the joint loop before the other, then by the system's gates, fewer off first."""
    loop, _, gates = name.partition("-")
    place = next(i for i, pattern in enumerate(_BARS) if re.fullmatch(pattern, gates))
    return loop != "nonep", place, len(gates), gates


def _bars(axes: Axes, found: Results) -> None:
    treebanks = found.systems.treebanks
    known = [(row.system, row.las) for row in found.systems.rows if row.las is not None]
    bars = [(name, las, found.resampled.mean(name, treebanks)) for name, las in known]
    lowest = min(min(las, between.low if between else las) for _, las, between in bars)
    for i, (name, las, between) in enumerate(bars):
        axes.barh(-i, las, height=0.7, **plots.bar_style(1 if is_control(name) else 0))
        if between is not None:
            axes.plot([between.low, between.high], [-i, -i], color=plots.INK, linewidth=1.4)
        right = max(las, between.high if between else las)
        axes.annotate(f"{las:.1f}", (right, -i), (3, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks([-i for i in range(len(bars))], [name for name, _, _ in bars], fontsize=8)
    axes.set_xlim(left=max(0.0, lowest - 6))
    n = len({run.training_seed for run in found.runs})
    cut = "; axis cut" if lowest > 6 else ""
    axes.set_xlabel(f"LAS, {f'mean of {n} training runs' if n > 1 else 'one training run'}{cut}")
