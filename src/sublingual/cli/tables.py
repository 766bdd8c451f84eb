"""`sublingual table`: the systems or the treebanks of files of records, or of the paper's own rows, as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from sublingual.analysis.paper import misprints, paper_runs
from sublingual.analysis.records import Run, by_system, read_records, selected
from sublingual.analysis.rendering import RENDERERS, Sheet, as_csv
from sublingual.analysis.sheets import system_rows, system_sheet, treebank_rows, treebank_sheet, treebank_summary
from sublingual.analysis.statistics import Paired, compare_systems
from sublingual.analysis.tables import SystemTable, bases_of, system_table, treebank_table
from sublingual.cli.common import Json, Seed, say, table
from sublingual.data.embedded import WARNING, has_embedded
from sublingual.errors import ConfigError


class By(StrEnum):
    """What a line of the table is."""

    system = "system"
    treebank = "treebank"


class Format(StrEnum):
    """How the table is printed; `csv` has plain numbers, the others what is read."""

    md = "md"
    tsv = "tsv"
    csv = "csv"
    latex = "latex"


def tables(
    records: Annotated[
        list[Path] | None, typer.Argument(help="Files of records, from `sublingual fewshot --records`.")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base", help='System to compare the others with; "full": the full system of each one\'s own loop.'
        ),
    ] = None,
    by: Annotated[By, typer.Option("--by", help="A line a system (Table 1), or a treebank (Table 2).")] = By.system,
    form: Annotated[
        Format | None, typer.Option("--format", help="Default: drawn for a terminal, tab-separated for a pipe.")
    ] = None,
    paper: Annotated[
        bool, typer.Option("--paper", help="The rows that the paper prints, in place of records.")
    ] = False,
    systems: Annotated[list[str] | None, typer.Option("--system", help="Only this system; may be repeated.")] = None,
    treebanks: Annotated[list[str] | None, typer.Option("--treebank", help="Only this one; may be repeated.")] = None,
    resamples: Annotated[int, typer.Option("--resamples", min=1, help="Resamples of a comparison.")] = 10_000,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Make the tables of the paper from records: the six systems, or all treebanks by transfer language."""
    if as_json and form is not None:
        raise ConfigError(f"--json and --format {form}: give one of them")
    runs = selected(_runs(records or [], paper), systems=systems or (), treebanks=treebanks or ())
    bases = {} if base is None else bases_of(by_system(runs), base)
    said = _on_print(runs) if paper and not systems and not treebanks else ()
    if by is By.treebank:
        found = treebank_table(runs, bases=bases)
        sheet = treebank_sheet(found)
        rows, summary = treebank_rows(found), treebank_summary(found)
    else:
        of_systems = system_table(runs)
        comparisons = _comparisons(runs, of_systems, bases, generator=np.random.default_rng(seed), resamples=resamples)
        sheet = system_sheet(of_systems, comparisons)
        rows, summary = system_rows(of_systems, comparisons), {"treebanks": of_systems.treebanks}
    toy = (WARNING,) if has_embedded(run.treebank for run in runs) else ()
    sheet = replace(sheet, notes=(*sheet.notes, *said, *toy))
    if as_json:
        print(json.dumps({"rows": rows, **summary, "notes": sheet.notes}, ensure_ascii=False))
    else:
        _show(sheet, form, csv_text=as_csv(rows))


def _runs(records: Sequence[Path], paper: bool) -> tuple[Run, ...]:
    if paper == bool(records):
        raise ConfigError("name files of records, or give --paper and none")
    return paper_runs() if paper else read_records(records)


def _comparisons(
    runs: Sequence[Run], found: SystemTable, bases: dict[str, str], *, generator: np.random.Generator, resamples: int
) -> tuple[Paired, ...]:
    """Compares on the table's treebanks, and only systems that have scores there."""
    scored = {row.system for row in found.rows if row.las is not None}
    own = [run for run in runs if run.treebank in found.treebanks]
    pairs = {system: base for system, base in bases.items() if {system, base} <= scored}
    return compare_systems(own, pairs, generator=generator, n_resamples=resamples)


def _on_print(runs: Sequence[Run]) -> tuple[str, ...]:
    """What the paper prints otherwise than its own rows give."""
    cells = misprints(system_table(runs), treebank_table(runs))
    return "the paper's scores are means of five seeds", *(f"printed otherwise: {cell}" for cell in cells)


def _show(sheet: Sheet, form: Format | None, *, csv_text: str) -> None:
    if form is Format.csv:
        print(csv_text, end="")
    elif form is not None:
        print(RENDERERS[form](sheet), end="")
        return
    else:
        table(sheet.columns, sheet.rows)
    for note in sheet.notes:
        say(note)
