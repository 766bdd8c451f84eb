"""Maps of subnetworks and of their overlap. Needs matplotlib (the extra `analysis`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from sublingual.analysis import plots
from sublingual.data.catalogue import LANGUAGE_CODES
from sublingual.errors import ConfigError
from sublingual.subnetworks.gates import Subnetwork, overlap, union

_A_ROW = 4


def by_language(subnetworks: Sequence[Subnetwork]) -> dict[str, list[Subnetwork]]:
    """Returns the subnetworks of each language, in the paper's order of languages; ConfigError where there are none.

    Where those of single seeds are there, their union is not one more of them.
    """
    if not subnetworks:
        raise ConfigError("no subnetworks in these files; name files that `sublingual subnetwork find` wrote")
    order = [*LANGUAGE_CODES.values(), *(s.language for s in subnetworks)]
    found = {code: [s for s in subnetworks if s.language == code] for code in dict.fromkeys(order)}
    alone = {code: [s for s in own if s.method != "union"] or own for code, own in found.items()}
    return {code: own for code, own in alone.items() if own}


def kept(own: Sequence[Subnetwork]) -> Float[np.ndarray, "layers attention_heads"]:
    """Returns the share of these subnetworks that keep each attention head."""
    found: Float[np.ndarray, "layers attention_heads"] = np.mean([s.gates for s in own], axis=0)
    return found


def subnetwork_figure(subnetworks: Sequence[Subnetwork]) -> Figure:
    """Returns a map a language: how many of its seeds keep each attention head."""
    found = by_language(subnetworks)
    n_rows = -(-len(found) // _A_ROW)
    n_columns = min(len(found), _A_ROW)
    with plots.styled():
        drawn, axes = plots.figure(1.9 * n_columns + 0.3, 2.2 * n_rows, rows=n_rows, columns=n_columns)
        for axis in axes.ravel()[len(found) :]:
            axis.set_axis_off()
        for axis, (code, own) in zip(axes.ravel(), found.items(), strict=False):
            share = kept(own)
            axis.pcolormesh(1 - share, cmap="gray", vmin=0, vmax=1, edgecolors=plots.PALE, linewidth=0.5)
            axis.invert_yaxis()
            axis.set_aspect("equal")
            axis.spines[:].set_visible(False)
            seeds = "" if len(own) == 1 else f", {len(own)} seeds"
            axis.set_title(f"{code}: {union(own).n_off} off{seeds}", fontsize=8)
            axis.set_xticks([0.5, share.shape[1] - 0.5], ["1", str(share.shape[1])], fontsize=7)
            axis.set_yticks([0.5, share.shape[0] - 0.5], ["1", str(share.shape[0])], fontsize=7)
            axis.tick_params(length=0)
        axes[-1, 0].set_xlabel("attention head", fontsize=8)
        axes[0, 0].set_ylabel("layer", fontsize=8)
    return drawn


def overlap_figure(subnetworks: Sequence[Subnetwork]) -> Figure:
    """Returns the Jaccard index of the attention heads that two languages switch off, each the union over its seeds."""
    found = {code: union(own) for code, own in by_language(subnetworks).items()}
    if len(found) < 2:
        raise ConfigError(f"an overlap needs subnetworks of two languages; there is {', '.join(found)}")
    table = np.array([[overlap(a, b).jaccard_off for b in found.values()] for a in found.values()])
    names = [f"{code} ({s.n_off})" for code, s in found.items()]
    with plots.styled():
        drawn, axes = plots.figure(0.62 * len(found) + 1.2, 0.5 * len(found) + 1.0)
        axis = axes[0, 0]
        axis.pcolormesh(table, cmap="Greys", vmin=0, vmax=1, edgecolors="white", linewidth=1)
        axis.invert_yaxis()
        for i, j in np.ndindex(table.shape):
            colour = "white" if table[i, j] > 0.5 else plots.INK
            axis.text(j + 0.5, i + 0.5, f"{table[i, j]:.2f}", ha="center", va="center", fontsize=8, color=colour)
        places = [i + 0.5 for i in range(len(found))]
        axis.set_xticks(places, [*found])
        axis.set_yticks(places, names)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        said = "attention heads off in both, of those\noff in either (off in each)"
        axis.set_title(said, fontsize=8, fontweight="normal")
    return drawn
