"""Table 2, all treebanks by transfer language, for readers (one text a cell) and for programs (plain rows of numbers)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from sublingual.analysis.baselines import SEEN
from sublingual.analysis.beside import Beside, Plain, bounds, brackets, on_resamples
from sublingual.analysis.factors import Correlation, similarity_and_gain
from sublingual.analysis.highlights import CLASSES, class_name, improvement_class
from sublingual.analysis.intervals import SIGNIFICANT, Interval
from sublingual.analysis.paper import PRINTED_FEWSHOT_UDIFY
from sublingual.analysis.rendering import Entry, Sheet, number
from sublingual.analysis.tables import Average, Group, Tally, TreebankRow, TreebankTable, difference

FEW_RUNS = 5
"""With fewer a corrected p-value of a single treebank is hardly ever small: Student's t of so few degrees of freedom."""


def treebank_sheet(table: TreebankTable, *, beside: Beside | None = None) -> Sheet:
    """Returns Table 2's shape: zero-shot → adapted ± sd [95 %] (difference to the base) of each system, means below (their
    sd: over the seeds, of the mean).

    Shaded by class of improvement, underlined where it is above what the paper prints of UDify and UDapter, a star where
    the difference is sure (Holm over treebanks).
    """
    beside = beside or Beside()
    rows = []
    for group in table.groups:
        rows += [_treebank_line(row, table, beside) for row in group.rows]
        rows.append(_mean_line(group.mean, table, beside, group=group))
    rows.append(_mean_line(table.total.mean, table, beside, group=table.total))
    rows += [_mean_line(average, table, beside) for average in table.averages]
    notes = [*_on_zero_shot(table), *table.notes, *(_on_tally(tally, table, beside) for tally in table.tallies)]
    notes += _on_marks(table, beside)
    columns = ("treebank", "transfer", "similarity", "words", *_printed_columns(beside), *table.systems)
    return Sheet(columns, tuple(map(tuple, rows)), tuple(notes))


def treebank_rows(table: TreebankTable, *, beside: Beside | None = None) -> list[Plain]:
    """Returns plain rows, one a treebank and system."""
    beside = beside or Beside()
    return [
        _plain_row(row, system, table, beside) for group in table.groups for row in group.rows for system in row.cells
    ]


def mean_rows(table: TreebankTable, *, beside: Beside | None = None) -> list[Plain]:
    """Returns plain rows, one a system and mean, which `mean` names, under the keys of `treebank_rows`."""
    beside, keys = beside or Beside(), dict.fromkeys(key for row in treebank_rows(table)[:1] for key in row)
    groups = [(group.mean, group) for group in (*table.groups, table.total)]
    rows: list[Plain] = []
    for mean, group in [*groups, *((average, None) for average in table.averages)]:
        over = (mean.treebanks, mean.weights)
        for system, base in ((system, table.bases.get(system)) for system in table.systems):
            own = {
                "transfer": None if group is None else group.code,
                "similarity": None if group is None else group.similarity,
                "system": system,
                "las": mean.las[system],
                "sd": mean.sd[system],
                "zero_shot": mean.zero_shot[system],
                **bounds("las", beside.mean(system, *over)),
                "base": base,
                "difference": _gain(mean, system, table),
                **bounds("difference", beside.gain(system, base, *over)),
                "mean": mean.name,
                "n_treebanks": len(mean.treebanks),
            }
            rows.append(keys | own)
    return rows


def treebank_summary(table: TreebankTable) -> Plain:
    """Returns the means by transfer language and over all, and how often each system is better than its base."""
    return {
        "groups": [_means(group) for group in table.groups],
        "total": _means(table.total),
        "averages": [asdict(average) for average in table.averages],
        "tallies": [_plain_tally(tally, similarity_and_gain(table, tally.system)) for tally in table.tallies],
    }


def _treebank_line(row: TreebankRow, table: TreebankTable, beside: Beside) -> list[str]:
    cells = []
    for system in table.systems:
        cell, base = row.cells.get(system), table.bases.get(system)
        if cell is None:
            cells.append("")
            continue
        gain = None if base is None else difference(row, system, base)
        marks = ("*" if beside.is_sure(system, row.treebank) else "") + (SEEN if cell.has_seen else "")
        beats = cell.las is not None and beside.of(row.treebank).beaten_by(cell.las)
        between = beside.cell(system, row.treebank)
        entry = _entry(cell.zero_shot, cell.las, cell.sd, gain, between, marks=marks)
        shade = improvement_class(gain)
        cells.append(Entry(entry, value=cell.las, shade=shade, underlined=beats, short=entry.short, tail=entry.tail))
    words = "-" if row.n_words is None else str(row.n_words)
    if row.test_words not in (None, row.n_words):
        words += f" of {row.test_words}"
    printed = [number(value) for value in (beside.of(row.treebank).udify, beside.of(row.treebank).udapter)]
    shown = printed[: len(_printed_columns(beside))]
    return [row.treebank, row.code or "-", number(row.similarity), words, *shown, *cells]


def _printed_columns(beside: Beside) -> tuple[str, ...]:
    return ("UDify", "UDapter") if beside.baselines is not None else ()


def _mean_line(mean: Average, table: TreebankTable, beside: Beside, *, group: Group | None = None) -> list[str]:
    """A line of a mean, which has a transfer language and a similarity where it is a group's."""
    cells, over = [], (mean.treebanks, mean.weights)
    for system in table.systems:
        gain = _gain(mean, system, table)
        sure = brackets(beside.gain(system, table.bases.get(system), *over), digits=2)
        between = beside.mean(system, *over)
        cells.append(_entry(mean.zero_shot[system], mean.las[system], mean.sd[system], gain, between, sure=sure))
    none = [""] * len(_printed_columns(beside))
    placed = ["-", ""] if group is None else [group.code or "-", number(group.similarity)]
    return [f"mean {mean.name} ({len(mean.treebanks)})", *placed, "", *none, *cells]


def _gain(mean: Average, system: str, table: TreebankTable) -> float | None:
    """By how much a mean is above its base's."""
    las, base = mean.las[system], mean.las.get(table.bases.get(system, ""))
    return None if las is None or base is None else las - base


def _entry(
    zero_shot: float | None,
    las: float | None,
    sd: float | None,
    gain: float | None,
    interval: Interval | None,
    *,
    marks: str = "",
    sure: str = "",
) -> Entry:
    """One text with all of it, and in two lines for a page, which has zero-shot elsewhere: score and gain, then spread.

    sure: the gain's interval.
    """
    gained = ("" if gain is None else f" ({gain:+.2f}{sure})") + marks
    spread = "" if sd is None or las is None else f" ± {sd:.2f}"
    between = "" if las is None else brackets(interval)
    before = "" if zero_shot is None else f"{zero_shot:.2f} → "
    text = f"{before}{number(las)}{spread}{between}{gained}"
    return Entry(text, value=las, short=f"{number(las)}{gained}", tail=f"{spread}{between}".strip())


def _on_zero_shot(table: TreebankTable) -> list[str]:
    known = any(cell.zero_shot is not None for row in table.total.rows for cell in row.cells.values())
    return ["zero-shot → adapted; sd and interval are of the adapted score, zero-shot has none here"] if known else []


def _on_tally(tally: Tally, table: TreebankTable, beside: Beside) -> str:
    text = (
        f"{tally.system} against {tally.base}: better on {tally.better} treebanks ({tally.far_better} by more than 1 LAS), "
        f"worse on {tally.worse} ({tally.far_worse}), equal on {tally.equal}"
    )
    sure = [d for (system, _), d in (beside.differences or {}).items() if system == tally.system and d.is_sure]
    if beside.differences is not None:
        up = sum(d.difference > 0 for d in sure)
        text += f"; for sure (Holm over treebanks) better on {up}, worse on {len(sure) - up}"
        runs = max((row.cells[tally.system].n_runs for row in table.total.rows if tally.system in row.cells), default=0)
        text += f" ({runs} runs a treebank can hardly show more)" if 1 < runs < FEW_RUNS else ""
    found = similarity_and_gain(table, tally.system)
    if found is None:
        return text
    return f"{text}; similarity and gain: r {found.r:+.2f} (95 %: {found.low:+.2f} to {found.high:+.2f})"


def _on_marks(table: TreebankTable, beside: Beside) -> list[str]:
    notes = []
    if table.bases:
        classes = "; ".join(class_name(i + 1) for i in range(len(CLASSES)))
        notes.append(f"shaded (bold without shades): LAS above the base's by {classes}")
    if beside.differences:
        notes += _on_resolution(table, beside)
        notes.append("*: differs from its base, p < 0.05 after Holm's correction over the treebanks")
    if beside.baselines is not None:
        notes.append(
            "UDify, UDapter: as the paper prints them, zero-shot and from other releases; underlined: above both, or the "
            "one that is printed"
        )
        notes += _on_printed_fewshot(table)
    if beside.resampled is not None:
        notes.append(on_resamples(beside.resampled).replace("95 % of LAS", "in brackets 95 %"))
    return notes


def _on_printed_fewshot(table: TreebankTable) -> list[str]:
    """Section 5's two scores of UDify after few-shot fine-tuning, where their treebanks are in the table."""
    names = {row.treebank for group in table.groups for row in group.rows}
    found = [f"{name} {las:.1f}" for name, las in PRINTED_FEWSHOT_UDIFY.items() if name in names]
    return [f"UDify after few-shot fine-tuning, as section 5 prints it: {', '.join(found)}"] if found else []


def _on_resolution(table: TreebankTable, beside: Beside) -> list[str]:
    """Says where so few resamples were drawn that no difference could be sure after the correction."""
    n, treebanks = 0 if beside.resampled is None else beside.resampled.n_resamples, len(table.compared)
    if not n or 2 * treebanks / (n + 1) < SIGNIFICANT:
        return []
    least = round(2 * treebanks / SIGNIFICANT)
    return [f"{n} resamples are too few for any star with {treebanks} treebanks; give --resamples {least} or more"]


def _plain_row(row: TreebankRow, system: str, table: TreebankTable, beside: Beside) -> Plain:
    cell, base = row.cells[system], table.bases.get(system)
    gain = None if base is None else difference(row, system, base)
    tested = (beside.differences or {}).get((system, row.treebank))
    printed = beside.of(row.treebank)
    return {
        "treebank": row.treebank,
        "transfer": row.code,
        "similarity": row.similarity,
        "n_sentences": row.n_sentences,
        "n_words": row.n_words,
        "test_words": row.test_words,
        "udify": printed.udify,
        "udapter": printed.udapter,
        "system": system,
        **asdict(cell),
        **bounds("las", beside.cell(system, row.treebank)),
        "base": base,
        "difference": gain,
        **bounds("difference", None if tested is None else tested.interval),
        "p_value": None if tested is None else tested.p_value,
        "holm": None if tested is None else tested.holm,
        "improvement_class": improvement_class(gain),
        "beats_printed": cell.las is not None and printed.beaten_by(cell.las),
        "mean": None,
        "n_treebanks": None,
    }


def _plain_tally(tally: Tally, found: Correlation | None) -> Plain:
    return {**asdict(tally), "similarity_and_gain": None if found is None else asdict(found)}


def _means(group: Group) -> Mapping[str, object]:
    return {
        "transfer": group.code,
        "n_treebanks": len(group.rows),
        "n_compared": len(group.mean.treebanks),
        "similarity": group.similarity,
        "las": dict(group.mean.las),
        "sd": dict(group.mean.sd),
        "zero_shot": dict(group.mean.zero_shot),
    }
