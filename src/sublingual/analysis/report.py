"""One self-contained HTML page of everything that results hold. Needs matplotlib (the extra `analysis`) for its figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sublingual.analysis import data_sheets, factor_sheets, label_sheets, replication, stage2_sheets
from sublingual.analysis.ablations import TEST
from sublingual.analysis.choice_sheets import choice_sheet
from sublingual.analysis.factors import gaining
from sublingual.analysis.figures import KINDS
from sublingual.analysis.guidance import NEEDS
from sublingual.analysis.guidance_sheets import introduction, judged_sheet, rules_sheet
from sublingual.analysis.labels import training_files
from sublingual.analysis.plots import inline_svg
from sublingual.analysis.rendering import SHADES, Entry, Sheet, is_text
from sublingual.analysis.results import Results, is_control
from sublingual.analysis.settings import settings_of
from sublingual.analysis.system_sheets import system_sheet
from sublingual.analysis.treebank_pages import Places, places_of, relative, treebank_pages
from sublingual.analysis.treebank_sheets import treebank_sheet
from sublingual.data.embedded import WARNING, has_embedded
from sublingual.errors import SublingualError


@dataclass(frozen=True)
class Section:
    """A part of the page: its anchor, title, what is said first, tables with captions, figures; or why there is nothing."""

    name: str
    title: str
    lead: tuple[str, ...] = ()
    sheets: tuple[tuple[str, Sheet], ...] = ()
    figures: tuple[Drawn, ...] = ()
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drawn:
    """A figure as an element of the page, with its caption."""

    title: str
    caption: str
    svg: Markup


def report(results: Results, *, out: Path) -> str:
    """Returns the page as text; `out` is where it will be, for links to the files of records.

    What the material does not hold has a line that says so in its place.
    """
    main = results.main()
    places = places_of(results, out)
    sections = [section for make in _SECTIONS if (section := make(results, main, places)) is not None]
    environment = Environment(
        loader=PackageLoader("sublingual", "resources/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        summary=_summary(results, main),
        warning=WARNING if has_embedded(run.treebank for run in [*results.runs, *results.material.own]) else "",
        sections=sections,
        pages=treebank_pages(results, places),
        places=places,
        settings=settings_of([*results.runs, *results.material.own]),
        files=_files(results, out),
        shades=SHADES,
        is_entry=lambda cell: isinstance(cell, Entry),
        is_text=is_text,
        is_mean=lambda row: row[0].startswith("mean"),
    )


def _summary(results: Results, main: Results) -> list[tuple[str, str]]:
    runs, own = results.runs, results.material.own
    training = {run.training_seed for run in runs} - {None}
    supports = {run.support_seed for run in runs} - {None}
    return [
        ("systems", str(len(main.systems.rows) if main.runs else 0)),
        ("treebanks", str(len({run.treebank for run in runs}))),
        ("training seeds", str(len(training) or "not known singly")),
        ("support seeds", str(len(supports) or "not known singly")),
        ("few-shot tests", str(len(runs))),
        ("tests of training languages", str(len(own))),
        ("encoder", results.encoder),
    ]


def _systems(results: Results, main: Results, places: Places) -> Section:
    if not main.runs:
        return Section("systems", "Systems", absent=("no records of `sublingual fewshot`",))
    comparisons = main.comparisons
    sheet = system_sheet(main.systems, comparisons, beside=main.beside)
    figures, absent = _figures(results, "changes")
    said = (f"Compared on the {len(main.systems.treebanks)} treebanks on which every system has scores.",)
    linked = _linked(sheet, lambda row, _: places.system(row[0]))
    return Section("systems", "Systems (Table 1, Figure 1)", said, (("Table 1", linked),), figures, absent)


def _treebanks(results: Results, main: Results, places: Places) -> Section | None:
    if not main.runs:
        return None
    sheet = treebank_sheet(main.treebanks, beside=main.beside)

    def link(row: Sequence[str], column: str) -> str:
        if column in ("similarity", "words"):
            return places.treebank(row[0])
        return places.cell(row[0], column) or places.system(column)

    linked = _linked(sheet, link)
    said = ("A score leads to its records. Grouped by the training language that is nearest.",)
    return Section("treebanks", "Treebanks by transfer language (Table 2)", said, (("Table 2", linked),))


def _guidance(results: Results, main: Results, places: Places) -> Section | None:
    if not main.runs:
        return None
    found = main.guidance
    if found is None:
        return Section("guidance", "Which system for which language?", absent=(NEEDS,))
    made = (judged_sheet(found), rules_sheet(found, main.factors))
    judged, rules = (_linked(each, lambda _row, _column: "#treebanks") for each in made)
    sheets = (("Ways to choose, judged on languages left out", judged), ("The rules", rules))
    return Section("guidance", "Which system for which language?", introduction(found), sheets)


def _factors(results: Results, main: Results, places: Places) -> Section | None:
    if not main.runs:
        return None
    figures, absent = _figures(results, "factors")
    sheets = []
    if gaining(main.treebanks):
        sheet = factor_sheets.factor_sheet(main.treebanks, main.factors)
        sheets.append(("Correlations", _linked(sheet, lambda _, column: places.system(column))))
    if "domains" not in {factor.key for factor in main.factors}:
        absent = (*absent, "domains and pieces: name a file of `sublingual data facts` too")
    return Section("factors", "What the gains go with (Figure 2)", (), tuple(sheets), figures, absent)


def _labels(results: Results, main: Results, places: Places) -> Section | None:
    if not main.runs:
        return None
    title = "Unseen and rare labels (Table 3)"
    try:
        table = main.labels
    except SublingualError as fault:
        return Section("labels", title, absent=(str(fault),))
    sheet = _linked(label_sheets.label_sheet(table), lambda row, _: places.system(row[0]))
    counted = {"in training": "#files", "in test": "#records"}
    listed = _linked(label_sheets.label_list(table), lambda _, column: counted.get(column) or places.system(column))
    return Section("labels", title, (), (("Table 3", sheet), ("Each unseen or rare label, per cent right", listed)))


def _own(results: Results, main: Results, places: Places) -> Section:
    title = "Training languages in their own subnetworks (Table 4)"
    if not results.material.own:
        return Section("own", title, absent=("no records of `sublingual test`",))
    systems = [name for name in results.own.systems if not is_control(name)] or results.own.systems
    sheet = _own_sheet(results, places, systems)
    return Section("own", title, (), (("Table 4", sheet),))


def _own_sheet(results: Results, places: Places, systems: Sequence[str]) -> Sheet:
    sheet = stage2_sheets.own_sheet(
        results.own, results.own_resampled, systems=systems, comparisons=results.own_comparisons
    )
    return _linked(sheet, lambda row, column: places.cell(row[1], column, own=True) or places.system(column, own=True))


def _conflicts(results: Results, main: Results, places: Places) -> Section:
    title = "Gradient conflicts (Table 5)"
    if not results.material.conflicts:
        return Section("conflicts", title, absent=("no conflicts.json of `joint` or `meta` with --conflicts",))
    sheet = stage2_sheets.conflict_sheet(results.conflicts)
    return Section("conflicts", title, (), (("Table 5", _linked(sheet, lambda _row, _column: "#files")),))


def _ablations(results: Results, main: Results, places: Places) -> Section:
    figures, absent = _figures(results, "masks", "subnetworks", "overlap", "curve")
    found = results.ablations
    sheets: tuple[tuple[str, Sheet], ...] = ()
    if found:
        sheet = stage2_sheets.ablation_sheet(found)
        linked = _linked(sheet, lambda row, column: _control(places, row, column))
        sheets = (("Controls", linked),)
        if controls := [name for name in results.own.systems if is_control(name)]:
            sheets += (("Controls on the training languages' own tests", _own_sheet(results, places, controls)),)
    else:
        absent = ("no records of controls", *absent)
    return Section(
        "ablations", "Controls, subnetworks, support size (section 8, Figure 3)", (), sheets, figures, absent
    )


def _control(places: Places, row: Sequence[str], column: str) -> str:
    """The records of a control, or under "its LAS" of what it is held against."""
    if column not in ("LAS", "its LAS", "difference", "p", "lower on", "training runs"):
        return ""
    return places.system(row[2] if column == "its LAS" else row[1], own=row[3] != TEST)


def _paper(results: Results, main: Results, places: Places) -> Section | None:
    if not main.runs or all(run.support_seed is None for run in main.runs):
        return None
    sheets, absent = [], []
    for caption, make in (
        ("Ours and the printed rows", lambda: replication.replication_sheet(main.replicated)),
        ("What the gains go with", lambda: replication.replicated_factor_sheet(main.replicated_factors, main.factors)),
    ):
        try:
            sheets.append((caption, _linked(make(), lambda row, _: places.system(row[0]))))
        except SublingualError as fault:
            absent.append(str(fault))
    return Section("paper", "Beside the paper", (), tuple(sheets), absent=tuple(dict.fromkeys(absent)))


def _data(results: Results, main: Results, places: Places) -> Section:
    sheets: list[tuple[str, Sheet]] = []
    absent: list[str] = []
    if results.material.facts:
        sheet = data_sheets.data_sheet(results.material.facts, training=results.training)
        sheets.append(("Treebanks (section 3)", _linked(sheet, lambda _row, _column: "#files")))
    else:
        absent.append("no facts of treebanks: write them with `sublingual data facts FILE`, and name that file too")
    files = training_files([*results.runs, *results.material.own])
    training = data_sheets.training_sheet(files, results.material.facts)
    counted = ("sentences", "words")
    used = _linked(training, lambda row, column: "#records" if row[3] != "-" and column in counted else "")
    sheets.append(("What the parsers were trained on, beside Table 6", used))
    return Section("data", "Data and licences", (), tuple(sheets), (), tuple(absent))


def _choices(results: Results, main: Results, places: Places) -> Section | None:
    if not results.material.choices:
        return None
    sheet = _linked(choice_sheet(results.choices), lambda _row, _column: "#files")
    lead = ("Tested on the validation treebanks; none of these tests is in another table.",)
    return Section("choices", "Choice of rates (appendix A)", lead, (("Points of the grids", sheet),))


_SECTIONS: tuple[Callable[[Results, Results, Places], Section | None], ...] = (
    _systems,
    _treebanks,
    _guidance,
    _factors,
    _labels,
    _own,
    _conflicts,
    _ablations,
    _paper,
    _choices,
    _data,
)


def _figures(results: Results, *names: str) -> tuple[tuple[Drawn, ...], tuple[str, ...]]:
    """The figures of these names that can be drawn, and of the others why not."""
    drawn, absent = [], []
    for kind in KINDS:
        if kind.name not in names:
            continue
        try:
            found = kind.draw(results)
        except SublingualError as fault:
            absent.append(f"{kind.title}: {fault}")
        else:
            svg = inline_svg(found, name=kind.name, title=f"{kind.title}. {kind.caption}")
            drawn.append(Drawn(kind.title, kind.caption, Markup(svg)))
    return tuple(drawn), tuple(absent)


def _linked(sheet: Sheet, link: Callable[[Sequence[str], str], str]) -> Sheet:
    """The sheet with its texts beyond the first column leading to what `link` names for row and column, if to anything."""
    rows = tuple(
        tuple(
            text if j == 0 or not text or not (to := link(row, sheet.columns[j])) else _leading(text, to)
            for j, text in enumerate(row)
        )
        for row in sheet.rows
    )
    return replace(sheet, rows=rows)


def _leading(text: str, link: str) -> Entry:
    return text.leading(link) if isinstance(text, Entry) else Entry(text, link=link)


def _files(results: Results, out: Path) -> list[tuple[str, str, str]]:
    """The files that the page was made from: how to reach them from it, their names, what is in them."""
    found: dict[str, str] = {}
    for run in [*results.runs, *results.material.own]:
        found.setdefault(_file(run.place), "records of tests")
    for conflict in results.material.conflicts:
        found.setdefault(
            _file(conflict.place), f"gradient conflicts of {conflict.system}, seed {conflict.training_seed}"
        )
    found |= results.material.files
    return [(relative(path, out), path, kind) for path, kind in found.items() if path]


def _file(place: str) -> str:
    path, _, line = place.rpartition(":")
    return path if line.isdigit() else place
