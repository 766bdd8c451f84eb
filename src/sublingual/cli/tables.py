"""`sublingual table`: the tables of the paper from files of records, or from the paper's own rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sublingual.analysis.beside import Plain
from sublingual.analysis.choice_sheets import choice_rows, choice_sheet
from sublingual.analysis.data_sheets import data_rows, data_sheet, training_rows, training_sheet
from sublingual.analysis.factor_sheets import factor_rows, factor_sheet
from sublingual.analysis.guidance import NEEDS
from sublingual.analysis.guidance_sheets import guidance_rows, guidance_sheet
from sublingual.analysis.label_sheets import label_list, label_list_rows, label_rows, label_sheet
from sublingual.analysis.labels import training_files
from sublingual.analysis.material import Material, read_material
from sublingual.analysis.paper import misprints, paper_runs
from sublingual.analysis.records import selected
from sublingual.analysis.rendering import RENDERERS, Sheet, as_csv
from sublingual.analysis.replication import (
    replicated_factor_rows,
    replicated_factor_sheet,
    replication_rows,
    replication_sheet,
)
from sublingual.analysis.results import Results
from sublingual.analysis.stage2_sheets import (
    ablation_rows,
    ablation_sheet,
    conflict_rows,
    conflict_sheet,
    own_rows,
    own_sheet,
)
from sublingual.analysis.system_sheets import system_rows, system_sheet
from sublingual.analysis.tables import system_table, treebank_table
from sublingual.analysis.treebank_sheets import mean_rows, treebank_rows, treebank_sheet, treebank_summary
from sublingual.cli.common import Json, Seed, refuse_unwritable, say, table
from sublingual.data.embedded import WARNING, has_embedded
from sublingual.data.textfiles import write_text
from sublingual.errors import ConfigError


class By(StrEnum):
    """Which table: what a line of it is."""

    system = "system"
    treebank = "treebank"
    label = "label"
    label_list = "label-list"
    language = "language"
    conflict = "conflict"
    ablation = "ablation"
    factor = "factor"
    guidance = "guidance"
    paper = "paper"
    paper_factor = "paper-factor"
    data = "data"
    training = "training"
    choice = "choice"


class Format(StrEnum):
    """How the table is printed; `csv` has plain numbers, the others what is read."""

    md = "md"
    tsv = "tsv"
    csv = "csv"
    latex = "latex"


_ENDINGS = {".md": Format.md, ".tsv": Format.tsv, ".csv": Format.csv, ".tex": Format.latex}

Made = tuple[Sheet, list[Plain], dict[str, Any]]
"""A table for readers, its plain rows, and what else programs get."""


def tables(
    records: Annotated[
        list[Path] | None,
        typer.Argument(help="Files of `fewshot --records`, `test --records`, `data facts`, stage 2's conflicts.json."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base", help='System to compare the others with; "full": the full system of each one\'s own loop.'
        ),
    ] = None,
    by: Annotated[
        By,
        typer.Option(
            "--by",
            help="system (Table 1), treebank (2), label and label-list (3), language (4), conflict (5), ablation, factor, "
            "guidance (which system for which language), paper and paper-factor (ours beside the printed rows), data (section "
            "3), training (6), choice (of rates, by files in choices/NAME).",
        ),
    ] = By.system,
    form: Annotated[
        Format | None, typer.Option("--format", help="Default: drawn for a terminal, tab-separated for a pipe.")
    ] = None,
    outs: Annotated[
        list[Path] | None,
        typer.Option("--out", help=f"File to write: {', '.join(_ENDINGS)}; may be repeated."),
    ] = None,
    paper: Annotated[
        bool, typer.Option("--paper", help="The rows that the paper prints, in place of records.")
    ] = False,
    systems: Annotated[list[str] | None, typer.Option("--system", help="Only this system; may be repeated.")] = None,
    treebanks: Annotated[list[str] | None, typer.Option("--treebank", help="Only this one; may be repeated.")] = None,
    resamples: Annotated[int, typer.Option("--resamples", min=1, help="Resamples of intervals and tests.")] = 10_000,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Make the tables of the paper from records: systems, treebanks, labels, gradients, controls, data."""
    if as_json and form is not None:
        raise ConfigError(f"--json and --format {form}: give one of them")
    for out in outs or ():
        _refuse_ending(out)
        refuse_unwritable(out)
    material = material_of(records or [], paper)
    material = _selected(material, systems=systems or (), treebanks=treebanks or ())
    results = Results(material, base, seed=seed, n_resamples=resamples)
    if (fault := _LACKING[by](material)) is not None:
        but = "; those in choices/NAME are of a choice of rates: --by choice" if material.choices else ""
        raise ConfigError(f"--by {by}: {fault}{but}")
    sheet, rows, more = _MAKERS[by](results)
    if paper and not systems and not treebanks and by in (By.system, By.treebank):
        sheet = replace(sheet, notes=(*sheet.notes, *_on_print(material)))
    chosen_on = (treebank for points in material.choices.values() for treebank in points[0].treebanks)
    if has_embedded([*(run.treebank for run in [*material.runs, *material.own]), *chosen_on]):
        sheet = replace(sheet, notes=(*sheet.notes, WARNING))
    for out in outs or ():
        write_text([_text(sheet, rows, _ENDINGS[out.suffix.lower()])], out)
    if as_json:
        print(json.dumps({"rows": rows, **more, "notes": sheet.notes}, ensure_ascii=False))
    elif form is not None or not outs:
        _show(sheet, rows, form)
    else:
        _say_notes(sheet)


def _refuse_ending(out: Path) -> None:
    if out.suffix.lower() not in _ENDINGS:
        raise ConfigError(f"{out.name}: tables are written as {', '.join(_ENDINGS)}")


def material_of(records: Sequence[Path], paper: bool) -> Material:
    """Returns what the files hold; with the paper's rows only facts of treebanks may stand beside them."""
    found = read_material(records)
    if not paper and not records:
        raise ConfigError("name files of records, or give --paper")
    if paper and (found.runs or found.own):
        raise ConfigError("--paper: its rows are the records; name files of `data facts` alone, or none")
    return replace(found, runs=paper_runs(facts=found.facts)) if paper else found


def _selected(material: Material, *, systems: Sequence[str], treebanks: Sequence[str]) -> Material:
    """Tests of training languages are chosen from too, where there are no few-shot tests or the names are theirs."""
    both = selected([*material.runs, *material.own], systems=systems, treebanks=treebanks)
    runs, own = tuple(run for run in both if run.is_fewshot), tuple(run for run in both if not run.is_fewshot)
    return replace(material, runs=runs, own=own)


def _system(results: Results) -> Made:
    results = results if results.runs else replace(results, material=_as_runs(results.material))
    found, compared, beside = results.systems, results.comparisons, results.beside
    rows = system_rows(found, compared, beside=beside)
    return system_sheet(found, compared, beside=beside), rows, {"treebanks": found.treebanks}


def _treebank(results: Results) -> Made:
    results = results if results.runs else replace(results, material=_as_runs(results.material))
    found, beside = results.treebanks, results.beside
    rows = [*treebank_rows(found, beside=beside), *mean_rows(found, beside=beside)]
    return treebank_sheet(found, beside=beside), rows, treebank_summary(found)


def _as_runs(material: Material) -> Material:
    """Tests of training languages alone, which have tables of systems and treebanks too."""
    return replace(material, runs=material.own)


def _label(results: Results) -> Made:
    found = results.labels
    more = {"n_labels": len(found.rows), "n_training_words": found.n_training_words}
    return label_sheet(found), label_rows(found), more


def _label_list(results: Results) -> Made:
    return label_list(results.labels), label_list_rows(results.labels), {}


def _language(results: Results) -> Made:
    return (
        own_sheet(results.own, results.own_resampled, comparisons=results.own_comparisons),
        own_rows(results.own, results.own_resampled, comparisons=results.own_comparisons),
        {"means": dict(results.own.means)},
    )


def _conflict(results: Results) -> Made:
    return conflict_sheet(results.conflicts), conflict_rows(results.conflicts), {}


def _ablation(results: Results) -> Made:
    return ablation_sheet(results.ablations), ablation_rows(results.ablations), {}


def _factor(results: Results) -> Made:
    return factor_sheet(results.treebanks, results.factors), factor_rows(results.treebanks, results.factors), {}


def _guidance(results: Results) -> Made:
    """Of the systems that the report's is of: without controls and other sizes of support."""
    main = results.main()
    if (found := main.guidance) is None:
        raise ConfigError(f"--by {By.guidance}: {NEEDS}")
    rules = {name: asdict(rule) for name, rule in found.rules.items()}
    more = {"advice": found.advice, "best": found.best, "rules": rules}
    return guidance_sheet(found, main.factors), guidance_rows(found), more


def _paper(results: Results) -> Made:
    return replication_sheet(results.replicated), replication_rows(results.replicated), {}


def _paper_factor(results: Results) -> Made:
    found = results.replicated_factors
    return replicated_factor_sheet(found, results.factors), replicated_factor_rows(found), {}


def _data(results: Results) -> Made:
    return data_sheet(results.material.facts, training=results.training), data_rows(results.material.facts), {}


def _training(results: Results) -> Made:
    used = training_files([*results.runs, *results.material.own])
    return training_sheet(used, results.material.facts), training_rows(used, results.material.facts), {}


def _choice(results: Results) -> Made:
    return choice_sheet(results.choices), choice_rows(results.choices), {}


_MAKERS: Mapping[By, Callable[[Results], Made]] = {
    By.system: _system,
    By.treebank: _treebank,
    By.label: _label,
    By.label_list: _label_list,
    By.language: _language,
    By.conflict: _conflict,
    By.ablation: _ablation,
    By.factor: _factor,
    By.guidance: _guidance,
    By.paper: _paper,
    By.paper_factor: _paper_factor,
    By.data: _data,
    By.training: _training,
    By.choice: _choice,
}


def _needs_tests(material: Material) -> str | None:
    return None if material.runs or material.own else "no records of `fewshot` or `test` in these files"


def _needs_runs(material: Material) -> str | None:
    return None if material.runs else "no records of `sublingual fewshot` in these files"


_LACKING: Mapping[By, Callable[[Material], str | None]] = {
    By.system: _needs_tests,
    By.treebank: _needs_tests,
    By.label: _needs_runs,
    By.label_list: _needs_runs,
    By.language: lambda m: None if m.own else "no records of `sublingual test` in these files",
    By.conflict: lambda m: None if m.conflicts else "no conflicts.json (`joint` or `meta` with --conflicts)",
    By.ablation: _needs_tests,
    By.factor: _needs_runs,
    By.guidance: _needs_runs,
    By.paper: _needs_runs,
    By.paper_factor: _needs_runs,
    By.data: lambda m: None if m.facts else "no facts of treebanks (`sublingual data facts FILE`)",
    By.training: _needs_tests,
    By.choice: lambda m: None if m.choices else "no records in a folder choices/NAME, where a study tries rates",
}
"""What a table needs and the material has not, as text."""


def _on_print(material: Material) -> tuple[str, ...]:
    """What the paper prints otherwise than its own rows give."""
    cells = misprints(system_table(material.runs), treebank_table(material.runs))
    return "the paper's scores are means of five seeds", *(f"printed otherwise: {cell}" for cell in cells)


def _text(sheet: Sheet, rows: Sequence[Plain], form: Format) -> str:
    return as_csv(rows) if form is Format.csv else RENDERERS[form](sheet)


def _show(sheet: Sheet, rows: Sequence[Plain], form: Format | None) -> None:
    if form is None:
        table(sheet.columns, sheet.rows)
    else:
        print(_text(sheet, rows, form), end="")
    if form in (None, Format.csv):
        _say_notes(sheet)


def _say_notes(sheet: Sheet) -> None:
    """What the table's text has below it, but for plain numbers and a terminal."""
    for note in sheet.notes:
        say(note)
