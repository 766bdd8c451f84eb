"""What the gains go with, system by system and factor by factor, for readers and for programs."""

from __future__ import annotations

from collections.abc import Sequence

from sublingual.analysis.beside import Plain
from sublingual.analysis.factors import Factor, gaining, gains, go_together, on_pretraining
from sublingual.analysis.rendering import Entry, Sheet
from sublingual.analysis.tables import TreebankTable
from sublingual.errors import ConfigError


def factor_sheet(table: TreebankTable, factors: Sequence[Factor]) -> Sheet:
    """Returns a line a factor: Pearson's r with the gain of each system over its base, 95 % interval, treebanks.

    Of baselines it does not speak. Raises ConfigError for a table without bases.
    """
    systems = gaining(table)
    if not systems:
        raise ConfigError("gains need a base to be gains over: give --base full, or a system's name")
    rows = []
    for factor in factors:
        found = [go_together(factor, gains(table, system)) for system in systems]
        cells = (Entry(str(each or "-"), value=None if each is None else each.r) for each in found)
        rows.append((factor.name, *cells))
    notes = (
        "Pearson's r over treebanks of a property and the gain in LAS over "
        + "; ".join(f"{base} ({system})" for system, base in systems.items()),
        "an interval without 0 is no proof here: treebanks of one language or family are no independent points",
        *on_pretraining(factors),
    )
    return Sheet(("factor", *systems), tuple(rows), notes)


def factor_rows(table: TreebankTable, factors: Sequence[Factor]) -> list[Plain]:
    """Returns plain rows, one a factor and system."""
    rows = []
    for factor in factors:
        for system, base in gaining(table).items():
            found = go_together(factor, gains(table, system))
            numbers = (found.r, found.low, found.high, found.n) if found is not None else (None,) * 4
            named = dict(zip(("r", "low", "high", "n"), numbers, strict=True))
            rows.append({"factor": factor.key, "name": factor.name, "system": system, "base": base, **named})
    return rows
