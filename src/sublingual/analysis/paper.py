"""The paper's own rows (Table 2, resources/table2.csv) as runs, so that the same code makes its tables; what it prints of them.

The rows are to be trusted, some of the printed means are not (docs/protocol.md 0.7).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from sublingual.analysis.facts import Facts
from sublingual.analysis.records import Run
from sublingual.analysis.tables import SystemTable, TreebankTable
from sublingual.data.catalogue import LANGUAGE_CODES
from sublingual.languages import nearest

ENCODER = "bert-base-multilingual-cased"

SYSTEMS = {
    "nonep-full": "nonep_full",
    "nonep-static": "nonep_static",
    "nonep-dynamic": "nonep_dyna",
    "meta-full": "meta_full",
    "meta-static": "meta_static",
    "meta-dynamic": "meta_dyna",
}
"""The six systems by our names, with their columns of the CSV."""

PRINTED_MEANS = {
    "ar": ("43.07", "43.64", "44.69", "42.26", "40.66", "45.38"),
    "cs": ("44.15", "52.7", "48.34", "52.53", "53.70", "47.59"),
    "et": ("30.05", "33.33", "31.05", "31.04", "31.30", "30.96"),
    "hi": ("29.82", "31.42", "30.58", "32.73", "32.55", "32.07"),
    "it": ("40.1", "43.81", "41.77", "42.38", "41.73", "42.90"),
    "no": ("50.48", "54.22", "52.20", "54.96", "52.49", "54.58"),
    "ru": ("44.58", "47.55", "46.62", "47.34", "48.19", "46.32"),
}
"""Table 2's averages of the six systems by transfer language."""

PRINTED_TOTAL = ("37.61", "40.38", "39.04", "39.67", "39.25", "39.92")
"""Table 2's last line."""

PRINTED_TABLE_1 = ("37.6", "40.4", "39.0", "39.7", "39.3", "39.9")
PRINTED_BEST = ("1", "23", None, "14", "26", "28")
"""Table 1: mean LAS, and per cent of treebanks on which a system is best; one cell was left blank."""

PRINTED_SIMILARITY = {"ar": "0.70", "cs": "0.83", "et": "0.84", "hi": "0.74", "it": "0.85", "no": "0.91", "ru": "0.76"}
"""Table 2's mean similarity of each transfer language to its test languages."""


PRINTED_TABLE_4 = {
    "ar": ("68.6", "72.9", "69.1"),
    "cs": ("75.4", "81.2", "77.9"),
    "et": ("65.4", "69.2", "68.3"),
    "hi": ("74.4", "77.2", "75.2"),
    "it": ("85.0", "87.7", "86.1"),
    "no": ("73.2", "79.8", "73.6"),
    "ru": ("79.5", "81.6", "80.4"),
}
"""Table 4: LAS of NonEp full, static and dynamic on the training languages' own tests."""

PRINTED_OFF = {"ar": 13, "cs": 13, "et": 37, "hi": 21, "it": 23, "no": 24, "ru": 27}
"""Table 4: attention heads off in the static subnetworks; 28 in all dynamic ones."""

PRINTED_TABLE_5 = {
    "nonep-full": (42, 0.03),
    "nonep-static": (26, 0.05),
    "nonep-dynamic": (38, 0.07),
    "meta-full": (55, -0.04),
    "meta-static": (54, -0.02),
    "meta-dynamic": (44, 0.12),
}
"""Table 5: per cent of conflicts and mean cosine."""

PRINTED_COUPLING = {"nonep-static": 0.08, "nonep-dynamic": 0.16, "meta-static": 0.33, "meta-dynamic": 0.58}
"""Section 7.2: Pearson's r of fewer conflicts and higher cosine."""

PRINTED_TABLE_3 = {
    "nonep-full": ("0.04 % (3/3)", "12.5 % (12/50)"),
    "nonep-static": ("0.003 % (1/1)", "6.4 % (11/41)"),
    "nonep-dynamic": ("0.004 % (2/2)", "9.9 % (8/49)"),
    "meta-full": ("0 %", "3.5 % (10/39)"),
    "meta-static": ("0 %", "3.0 % (7/36)"),
    "meta-dynamic": ("6.6 % (15/23)", "21.3 % (13/55)"),
}
"""Table 3: per cent of the instances of unseen and of rare labels that are right, and on how many labels and languages."""

PRINTED_LABELS, PRINTED_UNSEEN, PRINTED_RARE = 233, 169, 23
"""Section 6: labels in the test data, those that are not in the training data, those that make up less than 0.1 % of it."""


PRINTED_FEWSHOT_UDIFY = {"UD_Faroese-OFT": 53.8, "UD_Indonesian-PUD": 69.0}
"""Section 5: what UDify reaches with few-shot fine-tuning; of no other treebank is it said."""


@dataclass(frozen=True)
class Baselines:
    """What the paper prints of UDify and UDapter for a treebank: zero-shot, from other releases; None where nothing."""

    udify: float | None = None
    udapter: float | None = None

    def beaten_by(self, las: float) -> bool:
        """Whether the score is above all of the two that are printed, of which there must be one."""
        known = [each for each in (self.udify, self.udapter) if each is not None]
        return bool(known) and las > max(known)


@dataclass(frozen=True)
class PrintedCell:
    """A cell as the paper prints it, and what its own rows give."""

    table: int
    row: str
    column: str
    printed: str
    from_rows: float

    def __str__(self) -> str:
        digits = len(self.printed.partition(".")[2])
        return f"Table {self.table}, {self.row}, {self.column}: {self.printed}, by the rows {self.from_rows:.{digits + 1}f}"


def paper_runs(text: str | None = None, *, facts: Mapping[str, Facts] | None = None) -> tuple[Run, ...]:
    """Returns the 86 x 6 printed scores as runs, one a system and treebank: means of five seeds that are not known singly.

    `text` is a table of the same form in place of the package's. With `facts` of the treebanks the runs have the sizes of
    the test files, without the 20 sentences of the support where there is no dev split.
    """
    return tuple(run for row in _table_2(text) for run in _runs(row, facts or {}))


def baselines() -> dict[str, Baselines]:
    """Returns what Table 2 prints of UDify and UDapter, by treebank."""

    def number(text: str) -> float | None:
        return float(text) if text else None

    return {row["ud_repo"]: Baselines(number(row["udify"]), number(row["udapter"])) for row in _table_2()}


def _table_2(text: str | None = None) -> list[dict[str, str]]:
    if text is None:
        text = (files("sublingual") / "resources" / "table2.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def misprints(systems: SystemTable, treebanks: TreebankTable) -> tuple[PrintedCell, ...]:
    """Returns the printed means, shares and similarities that do not follow from the rows, by more than rounding.

    The tables are those of `paper_runs()`, with the bases or without.
    """
    by_name = {row.system: row for row in systems.rows}
    n = len(systems.treebanks)
    found = []
    for i, name in enumerate(SYSTEMS):
        row = by_name[name]
        assert row.las is not None
        assert row.wins is not None
        found.append(PrintedCell(1, "LAS", name, PRINTED_TABLE_1[i], row.las))
        if (best := PRINTED_BEST[i]) is not None:
            found.append(PrintedCell(1, "best %", name, best, 100 * row.wins / n))
        found.append(PrintedCell(2, "total", name, PRINTED_TOTAL[i], row.las))
    for group in treebanks.groups:
        assert group.code is not None
        assert group.similarity is not None
        found.append(PrintedCell(2, group.code, "similarity", PRINTED_SIMILARITY[group.code], group.similarity))
        for name, printed in zip(SYSTEMS, PRINTED_MEANS[group.code], strict=True):
            las = group.mean.las[name]
            assert las is not None
            found.append(PrintedCell(2, group.code, name, printed, las))
    return tuple(each for each in found if not _rounds_to(each.from_rows, each.printed))


def _kept(facts: Facts | None) -> tuple[int | None, int | None]:
    """Sentences and words of a test file that are left to score; the words by the file's mean length."""
    if facts is None or "test" not in facts.splits:
        return None, None
    test = facts.splits["test"]
    left = facts.kept
    assert left is not None
    return left, round(test.words * left / test.sentences)


def _runs(row: dict[str, str], facts: Mapping[str, Facts]) -> Sequence[Run]:
    code = LANGUAGE_CODES[row["transfer_language"]]
    first = nearest(row["ud_repo"])[0]
    assert first.code == code, f"{row['ud_repo']}: nearest is {first.code}, printed {code}"
    n_sentences, n_words = _kept(facts.get(row["ud_repo"]))
    return [
        Run(
            system=name,
            treebank=row["ud_repo"],
            support_seed=None,
            training_seed=None,
            method="nearest",
            code=code,
            similarity=first.similarity,
            zero_shot=None,
            las=float(row[column]),
            n_sentences=n_sentences,
            n_words=n_words,
        )
        for name, column in SYSTEMS.items()
    ]


def _rounds_to(value: float, printed: str) -> bool:
    """Whether the number may be printed so; a half may be rounded either way, and a last zero may be left out."""
    digits = len(printed.partition(".")[2])
    unit = 0.5 * 10.0**-digits
    return abs(value - float(printed)) <= unit + 1e-9
