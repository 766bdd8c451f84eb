"""Subnetworks as maps: layers by attention heads, as text and as one self-contained SVG. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from sublingual.subnetworks.gates import Subnetwork

_CELL, _GAP, _LEFT, _TOP, _BELOW = 14.0, 28.0, 26.0, 34.0, 8.0


def text_map(subnetwork: Subnetwork) -> str:
    """Returns the map as text: a row a layer, the first at the top, `#` for an attention head that is on, `.` for one off."""
    width = len(str(subnetwork.shape[0]))
    rows = ["".join("#" if gate else "." for gate in row) for row in subnetwork.gates]
    return "\n".join(f"{i:>{width}} {row} {row.count('#'):>3}" for i, row in enumerate(rows, 1))


def heat_map(subnetworks: Sequence[Subnetwork]) -> str:
    """Returns the maps side by side as one SVG: a row a layer, the first at the top, full squares for what is on.

    What is off is an outline, so that the map reads without colours; the text around gives the colour.
    """
    n_layers = max(s.shape[0] for s in subnetworks)
    widths = [s.shape[1] * _CELL for s in subnetworks]
    width = _LEFT + sum(widths) + _GAP * (len(widths) - 1) + 2
    height = _TOP + n_layers * _CELL + _BELOW
    parts = [_label(_LEFT - 6, _TOP + (i + 0.75) * _CELL, str(i + 1), anchor="end") for i in range(n_layers)]
    x = float(_LEFT)
    for subnetwork, own in zip(subnetworks, widths, strict=True):
        parts.append(_one(subnetwork, x))
        x += own + _GAP
    names = ", ".join(f"{s.language}: {s.n_off} of {s.gates.size} attention heads off" for s in subnetworks)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" font-family="system-ui, sans-serif" fill="currentColor">'
        f"<title>{escape(names)}</title>{''.join(parts)}</svg>"
    )


def _one(subnetwork: Subnetwork, x: float) -> str:
    caption = f"{subnetwork.language}: {subnetwork.n_off} off"
    cells = [
        f'<rect x="{x + j * _CELL + 1.5}" y="{_TOP + i * _CELL + 1.5}" width="{_CELL - 3}" height="{_CELL - 3}" '
        f'fill="{"currentColor" if gate else "none"}" stroke="currentColor" stroke-opacity="0.35">'
        f"<title>{escape(subnetwork.language)}, layer {i + 1}, attention head {j + 1}: {'on' if gate else 'off'}</title></rect>"
        for i, row in enumerate(subnetwork.gates.tolist())
        for j, gate in enumerate(row)
    ]
    return _label(x, _TOP - 12, caption, anchor="start") + "".join(cells)


def _label(x: float, y: float, text: str, *, anchor: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="11" text-anchor="{anchor}">{escape(text)}</text>'
