"""How all figures look, and figures as files: readable in grey, text as text, the same bytes for the same data.

Needs matplotlib (the extra `analysis`).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sublingual.errors import ConfigError

INK, SOFT, PALE = "#1a1a1a", "#6b6b6b", "#d9d9d9"
_COLOURS = ("#1f3b63", "#c8641e", "#3f8f5a", "#8a4f9e", "#7a7a7a", "#b8a000")
_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
_HATCHES = ("", "////", "....", "xxxx", "----", "++++")
FORMATS = (".svg", ".pdf")

_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "sublingual",
    "pdf.fonttype": 42,
}


@contextmanager
def styled() -> Iterator[None]:
    """Inside, figures are drawn in the project's style; matplotlib's own settings are as before after it."""
    with matplotlib.rc_context(_STYLE):
        yield


def figure(
    width: float, height: float, *, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, np.ndarray]:
    """Returns a new figure of that many inches and its axes as an array [rows, columns]."""
    drawn = Figure(figsize=(width, height), layout="constrained")
    return drawn, drawn.subplots(rows, columns, squeeze=False, **options)


def line_style(i: int) -> dict[str, Any]:
    """Returns colour and dashes of the i-th line; the dashes alone tell the first six apart."""
    return {"color": _COLOURS[i % len(_COLOURS)], "linestyle": _LINES[i % len(_LINES)], "linewidth": 1.6}


def marker_style(i: int) -> dict[str, Any]:
    """Returns colour and shape of the i-th kind of point; the shapes alone tell the first eight apart."""
    return {"color": _COLOURS[i % len(_COLOURS)], "marker": _MARKERS[i % len(_MARKERS)]}


def bar_style(i: int) -> dict[str, Any]:
    """Returns the filling of the i-th kind of bar; the hatching alone tells the first six apart."""
    return {
        "facecolor": "white" if i else PALE,
        "edgecolor": INK,
        "hatch": _HATCHES[i % len(_HATCHES)],
        "linewidth": 0.8,
    }


def density(values: Sequence[float], at: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
    """Returns the Gaussian kernel density of the values, their width by Scott's rule (1992)."""
    sample = np.asarray(values, dtype=float)
    width = sample.std(ddof=1) * len(sample) ** -0.2
    kernels = np.exp(-0.5 * ((at[:, None] - sample[None, :]) / width) ** 2)  # [points, values]
    found: Float[np.ndarray, " points"] = kernels.sum(axis=1) / (len(sample) * width * np.sqrt(2 * np.pi))
    return found


def line_of_best_fit(axes: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    """Draws the least-squares line over the range of x."""
    slope, start = np.polyfit(x, y, 1)
    ends = np.array([min(x), max(x)])
    axes.plot(ends, start + slope * ends, color=INK, linewidth=1.2)


def format_of(path: Path) -> str:
    """Returns the ending that a figure's file is written by, small; ConfigError for another than .svg and .pdf."""
    if (ending := path.suffix.lower()) not in FORMATS:
        raise ConfigError(f"{path.name}: figures are written as {' or '.join(FORMATS)}")
    return ending


def save(drawn: Figure, path: Path) -> None:
    """Writes the figure as SVG or PDF by the file's ending, without a date. ConfigError for another ending."""
    if format_of(path) == ".svg":
        path.write_text(svg(drawn), encoding="utf-8")
        return
    with styled():
        drawn.savefig(path, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})


def svg(drawn: Figure) -> str:
    """Returns the figure as the text of an SVG file."""
    file = io.StringIO()
    with styled():
        drawn.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def inline_svg(drawn: Figure, *, name: str, title: str) -> str:
    """Returns the figure as an element for a page: without the file's head, scalable, its ids led by `name`.

    `title` is read out where the figure cannot be seen.
    """
    text = svg(drawn)
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(xlink:href|href)="#([^"]+)"', rf'\1="#{name}-\2"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    opening = text[: text.index(">")]
    width = re.search(r'width="([\d.]+)pt"', opening)
    fresh = re.sub(r'\s(width|height)="[\d.]+pt"', "", opening)
    style = "" if width is None else f' style="max-width:{float(width[1]) * 4 / 3:.0f}px"'
    return text.replace(opening, f'{fresh} role="img" aria-label="{_quoted(title)}"{style}', 1)


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
