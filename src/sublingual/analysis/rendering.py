"""A table as text: Markdown, tab-separated, CSV, LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_LATEX = {
    "\\": r"\textbackslash{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "→": r"$\to$",
    "<": r"$<$",
    ">": r"$>$",
}


SHADES = (0, 8, 14, 20, 26, 32, 40)
"""Per cent of black behind a cell of each class, 0 for none; LaTeX and the report share them."""


class Entry(str):
    """A text of a table and how it is shown: its number for sorting, a class of shade, a line below, where it leads.

    short, tail: the same in two lines, the second small, for a page.
    """

    value: float | None
    shade: int
    underlined: bool
    link: str
    short: str
    tail: str

    def __new__(
        cls,
        text: str,
        *,
        value: float | None = None,
        shade: int = 0,
        underlined: bool = False,
        link: str = "",
        short: str = "",
        tail: str = "",
    ) -> Entry:
        entry = super().__new__(cls, text)
        entry.value, entry.shade, entry.underlined, entry.link = value, shade, underlined, link
        entry.short, entry.tail = short or text, tail
        return entry

    def leading(self, link: str) -> Entry:
        """Returns the same with a link."""
        return Entry(
            self,
            value=self.value,
            shade=self.shade,
            underlined=self.underlined,
            link=link,
            short=self.short,
            tail=self.tail,
        )


@dataclass(frozen=True)
class Sheet:
    """A table of texts, the first column naming the row, and what must be said below it; some texts are `Entry`."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def markdown(sheet: Sheet) -> str:
    """Returns a Markdown table, numbers to the right, and the notes as a list; a shaded text is bold."""

    def marked(cell: str) -> str:
        text = cell.replace("|", r"\|")
        if not isinstance(cell, Entry):
            return text
        text = f"<u>{text}</u>" if cell.underlined else text
        return f"**{text}**" if cell.shade else text

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(map(marked, cells)) + " |"

    under = "|".join(["", " --- ", *(" ---: " for _ in sheet.columns[1:]), ""])
    notes = [f"- {note}" for note in sheet.notes]
    return "\n".join([line(sheet.columns), under, *map(line, sheet.rows), *(["", *notes] if notes else [])]) + "\n"


def tabs(sheet: Sheet) -> str:
    """Returns the table tab-separated, the notes behind # signs."""
    lines = ["\t".join(row) for row in [sheet.columns, *sheet.rows]]
    return "\n".join([*lines, *(f"# {note}" for note in sheet.notes)]) + "\n"


def latex(sheet: Sheet) -> str:
    """Returns a `tabular` for the packages booktabs and xcolor (with its option table), the notes as comments."""

    def marked(cell: str) -> str:
        text = "".join(_LATEX.get(letter, letter) for letter in cell)
        if not isinstance(cell, Entry):
            return text
        text = rf"\underline{{{text}}}" if cell.underlined else text
        return rf"\cellcolor{{black!{SHADES[cell.shade]}}}{text}" if cell.shade else text

    def line(cells: Sequence[str]) -> str:
        return " & ".join(map(marked, cells)) + r" \\"

    body = [line(sheet.columns), r"\midrule", *map(line, sheet.rows)]
    opening = rf"\begin{{tabular}}{{l{'r' * (len(sheet.columns) - 1)}}}"
    notes = [f"% {note}" for note in sheet.notes]
    return "\n".join([opening, r"\toprule", *body, r"\bottomrule", r"\end{tabular}", *notes]) + "\n"


RENDERERS: dict[str, Callable[[Sheet], str]] = {"md": markdown, "tsv": tabs, "latex": latex}


def as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Returns plain rows as CSV, an empty cell for None; all have the keys of the first."""
    file = io.StringIO()
    writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def is_text(sheet: Sheet, column: int) -> bool:
    """Returns whether a column holds words: less than half of what it says begins with a number."""
    said = [row[column] for row in sheet.rows if row[column] not in ("", "-")]
    return 2 * sum(bool(re.match(r"(r )?[-+−]?\d", text)) for text in said) < len(said)


def probability(p: float | None) -> str:
    """Returns a p-value as text, "-" for None; none is so small that it would read 0.

    >>> probability(0.00001), probability(0.0273)
    ('<0.0001', '0.0273')
    """
    return "-" if p is None else "<0.0001" if p < 0.0001 else f"{p:.4f}"


def number(value: float | None, *, digits: int = 2, sign: bool = False) -> str:
    """Returns the number as text, "-" for None."""
    if value is None:
        return "-"
    return f"{value:{'+' if sign else ''}.{digits}f}"
