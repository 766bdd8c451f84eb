"""Tables as text, read back where a library can."""

from __future__ import annotations

import csv
import io

from sublingual.analysis.rendering import Sheet, as_csv, latex, markdown, number, tabs

SHEET = Sheet(
    ("system", "LAS"), (("nonep_full", "37.60 ± 0.41"), ("a|b & c", "1.00 → 2.00 (50 %)")), ("over 86 treebanks",)
)


def test_markdown_has_a_line_a_row_and_the_notes_as_a_list() -> None:
    assert markdown(SHEET).splitlines() == [
        "| system | LAS |",
        "| --- | ---: |",
        "| nonep_full | 37.60 ± 0.41 |",
        r"| a\|b & c | 1.00 → 2.00 (50 %) |",
        "",
        "- over 86 treebanks",
    ]


def test_tabs_part_the_cells_and_notes_are_comments() -> None:
    assert tabs(SHEET).splitlines() == [
        "system\tLAS",
        "nonep_full\t37.60 ± 0.41",
        "a|b & c\t1.00 → 2.00 (50 %)",
        "# over 86 treebanks",
    ]


def test_latex_is_a_tabular_with_its_letters_escaped() -> None:
    assert latex(SHEET).splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"system & LAS \\",
        r"\midrule",
        r"nonep\_full & 37.60 $\pm$ 0.41 \\",
        r"a|b \& c & 1.00 $\to$ 2.00 (50 \%) \\",
        r"\bottomrule",
        r"\end{tabular}",
        "% over 86 treebanks",
    ]


def test_csv_can_be_read_back() -> None:
    rows = [{"system": 'a,"b"', "las": 37.5, "sd": None}, {"system": "c", "las": 1.0, "sd": 0.25}]
    assert list(csv.DictReader(io.StringIO(as_csv(rows)))) == [
        {"system": 'a,"b"', "las": "37.5", "sd": ""},
        {"system": "c", "las": "1.0", "sd": "0.25"},
    ]


def test_numbers_are_rounded_and_none_is_a_dash() -> None:
    assert [number(2.345, digits=1), number(2.0, sign=True), number(-2.0), number(None)] == [
        "2.3",
        "+2.00",
        "-2.00",
        "-",
    ]
