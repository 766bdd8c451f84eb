"""The paper's figures 1, 2 and 3 and our own, each from results. Needs matplotlib (the extra `analysis`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sublingual.analysis import plots
from sublingual.analysis.bars import masks
from sublingual.analysis.cells import cells_of, compared_treebanks, mean_of
from sublingual.analysis.factors import Factor, gaining, gains, go_together
from sublingual.analysis.intervals import resampled
from sublingual.analysis.maps import overlap_figure, subnetwork_figure
from sublingual.analysis.records import Run
from sublingual.analysis.results import Results, support_sizes
from sublingual.errors import ConfigError, DataError

_FIGURE_2 = ("nonep-static", "meta-dynamic")
"""The two systems of figure 2: the paper's best of each loop."""


@dataclass(frozen=True)
class Kind:
    """A figure by name: what draws it, its title, and what one sees in it."""

    name: str
    draw: Callable[[Results], Figure]
    title: str
    caption: str


def changes(results: Results) -> Figure:
    """Returns figure 1: the density of the changes of LAS over treebanks, of each system against its base; of no baseline."""
    table = _with_bases(results).treebanks
    found = {system: [*gains(table, system).values()] for system in gaining(table)}
    found = {system: values for system, values in found.items() if len(values) > 1 and np.ptp(values) > 0}
    if not found:
        raise ConfigError("no system differs from its base on two treebanks or more: there is no density to draw")
    ends = [end for values in found.values() for end in (min(values), max(values))]
    at = np.linspace(min(ends) - 4, max(ends) + 4, 400)
    with plots.styled():
        drawn, axes = plots.figure(6.3, 3.6, rows=2, height_ratios=[5, 1], sharex=True)
        upper, lower = axes[:, 0]
        for i, (system, values) in enumerate(found.items()):
            label = f"{system} − {table.bases[system]}: mean {fmean(values):+.1f}, n = {len(values)}"
            upper.plot(at, plots.density(values, at), label=label, **plots.line_style(i))
            lower.plot(values, [-i] * len(values), "|", color=plots.line_style(i)["color"], markersize=7)
        for axis in (upper, lower):
            axis.axvline(0, color=plots.SOFT, linewidth=0.8)
        upper.set_ylabel("density over treebanks")
        upper.set_ylim(bottom=0)
        drawn.legend(loc="outside upper center", ncols=2, fontsize=7.5, handlelength=1.6, columnspacing=1.2)
        lower.set_yticks([-i for i in range(len(found))], [*found], fontsize=7)
        lower.set_ylim(-len(found) + 0.5, 0.5)
        lower.set_xlabel("change in LAS against its base")
    return drawn


def by_factor(results: Results) -> Figure:
    """Returns figure 2: gains against similarity, pretraining, domains, and what stands beside them; r and its interval."""
    based = _with_bases(results)
    table = based.treebanks
    systems = [name for name in _FIGURE_2 if name in table.bases] or [*gaining(table)][:2]
    panels = [
        factor for factor in based.factors if any(go_together(factor, gains(table, system)) for system in systems)
    ]
    if not panels:
        raise ConfigError("too few treebanks with a gain and a property to draw: four are needed")
    groups = {row.treebank: row.code or "-" for row in table.total.rows}
    codes = sorted(set(groups.values()))
    with plots.styled():
        drawn, axes = plots.figure(7.2, 2.4 * len(panels), rows=len(panels), columns=len(systems), sharey=True)
        for i, factor in enumerate(panels):
            for j, system in enumerate(systems):
                _scatter(axes[i, j], factor, gains(table, system), groups, codes)
                axes[i, j].set_xlabel(_wrapped(factor.name), fontsize=7.5)
                if i == 0:
                    title = f"{system} − {table.bases[system]}\n{axes[i, j].get_title(loc='left')}"
                    axes[i, j].set_title(title, fontsize=8.5, fontweight="normal")
            axes[i, 0].set_ylabel("change in LAS")
        handles, names = axes[0, 0].get_legend_handles_labels()
        drawn.legend(handles, names, loc="outside lower center", ncols=8, title="transfer language", fontsize=8)
    return drawn


def _scatter(
    axes: Axes, factor: Factor, gained: Mapping[str, float], groups: Mapping[str, str], codes: Sequence[str]
) -> None:
    both = [treebank for treebank in gained if treebank in factor.values]
    for i, code in enumerate(codes):
        own = [t for t in both if groups[t] == code]
        points = [factor.values[t] for t in own], [gained[t] for t in own]
        axes.scatter(*points, s=16, alpha=0.75, linewidths=0, label=code, **plots.marker_style(i))
    axes.axhline(0, color=plots.SOFT, linewidth=0.8)
    axes.locator_params(axis="x", nbins=5)
    if (found := go_together(factor, gained)) is not None:
        x, y = [factor.values[t] for t in both], [gained[t] for t in both]
        plots.line_of_best_fit(axes, x, y)
        axes.set_title(str(found), fontsize=8, fontweight="normal")


def curve(results: Results) -> Figure:
    """Returns the learning curve: LAS by size of the support set on one fixed set of sentences a treebank, 0 is zero-shot."""
    sizes = support_sizes(results.runs)
    if not sizes:
        raise ConfigError("no records of several support sizes; test with `sublingual fewshot -n N --reserve 100`")
    with plots.styled():
        drawn, axes = plots.figure(5.4, 3.6)
        axis = axes[0, 0]
        for i, (name, by_size) in enumerate(sizes.items()):
            _curve(axis, name, by_size, i, results)
        every = sorted({0, *(n for by_size in sizes.values() for n in by_size)})
        axis.set_xscale("symlog", linthresh=5, linscale=0.6)
        axis.set_xticks(every, [str(n) for n in every])
        axis.minorticks_off()
        axis.set_xlabel("sentences in the support set (0: zero-shot)")
        axis.set_ylabel("LAS, mean over treebanks")
        axis.legend(fontsize=8)
    return drawn


def _curve(axes: Axes, name: str, by_size: Mapping[int, Sequence[Run]], i: int, results: Results) -> None:
    cells = {n: cells_of(by_size[n]) for n in sorted(by_size)}
    flat = {n: next(iter(own.values())) for n, own in cells.items()}
    compared = compared_treebanks({str(n): own for n, own in flat.items()})
    if not compared:
        raise DataError(f"{name}: no treebank has all support sizes ({', '.join(map(str, flat))})")
    generator = np.random.default_rng([results.seed, 7])
    n_resamples = min(results.n_resamples, 2000)
    points, bands = [], []
    zero = mean_of(flat[min(flat)][t].zero_shot for t in compared)
    if zero is not None:
        points.append((0, zero))
    for n, own in flat.items():
        las = mean_of(own[t].las for t in compared)
        assert las is not None
        drawn = resampled(by_size[n], generator=generator, n_resamples=n_resamples)
        (row,) = drawn.las
        points.append((n, las))
        bands.append((n, drawn.mean(row, compared)))
    x, y = zip(*points, strict=True)
    style = plots.line_style(i)
    axes.plot(
        x,
        y,
        marker=plots.marker_style(i)["marker"],
        markersize=4,
        label=f"{name}, {len(compared)} treebanks",
        **style,
    )
    known = [(n, between) for n, between in bands if between is not None]
    if known:
        axes.fill_between(
            [n for n, _ in known],
            [between.low for _, between in known],
            [between.high for _, between in known],
            color=style["color"],
            alpha=0.15,
            linewidth=0,
        )


def _subnetworks(results: Results) -> Figure:
    return subnetwork_figure(results.material.subnetworks)


def _overlap(results: Results) -> Figure:
    return overlap_figure(results.material.subnetworks)


def _with_bases(results: Results) -> Results:
    if not results.runs:
        raise ConfigError("no records of `sublingual fewshot` in these files")
    main = results.main()
    if not gaining(main.treebanks):
        raise ConfigError("changes need a base; give --base full (with records of a full system), or a system's name")
    return main


def _wrapped(text: str, width: int = 52) -> str:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


KINDS: tuple[Kind, ...] = (
    Kind(
        "changes",
        changes,
        "Figure 1: changes over treebanks",
        "Density of the change in LAS that a system's subnetworks make, one value a treebank; strokes below are treebanks.",
    ),
    Kind(
        "factors",
        by_factor,
        "Figure 2: what the changes go with",
        "One point a treebank, its shape by transfer language; line: least squares; above: Pearson's r and its 95 % interval.",
    ),
    Kind(
        "masks",
        masks,
        "Figure 3: random masks",
        "Mean LAS with random masks (hatched), of what they are held against and of the full system, over the treebanks and "
        "training runs that all bars of a panel have; the line at a bar's end is its 95 % interval.",
    ),
    Kind(
        "subnetworks",
        _subnetworks,
        "Subnetworks",
        "A square an attention head: black where all seeds keep it, white where none does. First layer at the top.",
    ),
    Kind(
        "overlap",
        _overlap,
        "Overlap of the subnetworks",
        "Share of attention heads that two languages both switch off, of those that either does (Jaccard index); unions "
        "over seeds.",
    ),
    Kind(
        "curve",
        curve,
        "Learning curve",
        "LAS by size of the support set, nested supports, the same sentences scored; band: 95 % interval.",
    ),
)
"""All figures."""

_NUMBERS = {"1": "changes", "2": "factors", "3": "masks"}


def kind_of(name: str) -> Kind:
    """Returns the figure of that name, or of the paper's number. ConfigError for another."""
    known = {kind.name: kind for kind in KINDS}
    asked = _NUMBERS.get(name, name)
    if asked not in known:
        raise ConfigError(f"unknown figure {name!r}; there are: 1, 2, 3, {', '.join(known)}")
    return known[asked]
