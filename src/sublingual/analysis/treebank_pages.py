"""The report's sections of single treebanks: scores, errors by relation and arc length, records; and where each is found."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sublingual.analysis.baselines import competing
from sublingual.analysis.cells import Cell, cells_of
from sublingual.analysis.facts import Facts, families
from sublingual.analysis.intervals import Interval
from sublingual.analysis.records import Run, by_system, own_name, placed
from sublingual.analysis.rendering import Entry, Sheet, number
from sublingual.analysis.results import Results, is_control
from sublingual.breakdown import LENGTHS, Counts


@dataclass(frozen=True)
class RecordLine:
    """One record as the page shows it; `href` leads to its file, `place` says which line."""

    anchor: str
    href: str
    place: str
    system: str
    training_seed: str
    support_seed: str
    zero_shot: str
    las: str
    loss: str
    support: str
    n: str


@dataclass(frozen=True)
class TreebankPage:
    """One treebank: what it is, its systems' scores, its errors, its records."""

    name: str
    anchor: str
    brief: str
    facts: tuple[tuple[str, str], ...]
    scores: Sheet
    relations: Sheet | None
    lengths: Sheet | None
    records: tuple[RecordLine, ...]


@dataclass(frozen=True)
class Places:
    """Anchors of the page: of treebanks, of systems, of a system's records on a treebank."""

    treebanks: Mapping[str, str]
    systems: Mapping[str, str]
    cells: Mapping[tuple[str, str], str]
    out: Path

    def treebank(self, name: str) -> str:
        return f"#{self.treebanks[name]}" if name in self.treebanks else ""

    def system(self, name: str, *, own: bool = False) -> str:
        """Returns where the records of a system are; `own`: those of training languages, where it has others too."""
        found = self.systems.get(own_name(name) if own else name) or self.systems.get(name)
        return "" if found is None else f"#{found}"

    def cell(self, treebank: str, system: str, *, own: bool = False) -> str:
        """Returns where the records of a system on a treebank are; `own` as above."""
        anchor = self.cells.get((treebank, own_name(system) if own else system)) or self.cells.get((treebank, system))
        return "" if anchor is None else f"#{anchor}"

    def of_system(self, name: str) -> list[tuple[str, str]]:
        """Returns the treebanks of a system, each with where its records are."""
        return [(treebank, f"#{anchor}") for (treebank, system), anchor in self.cells.items() if system == name]


def places_of(results: Results, out: Path) -> Places:
    """Returns the anchors of all treebanks and systems of the results, for a page that will be at `out`."""
    runs = [*results.runs, *results.material.own]
    treebanks = {name: f"t{i}" for i, name in enumerate(sorted({run.treebank for run in runs}))}
    names = by_system(runs)
    systems = {name: f"s{i}" for i, name in enumerate(names)}
    cells = {
        (run.treebank, name): f"{treebanks[run.treebank]}-{systems[name]}" for name, own in names.items() for run in own
    }
    return Places(treebanks, systems, dict(sorted(cells.items())), out)


def treebank_pages(results: Results, places: Places) -> list[TreebankPage]:
    """Returns the sections of all treebanks by name."""
    runs = [*results.runs, *results.material.own]
    names, cells, intervals = by_system(runs), cells_of(runs), _Intervals(results)
    pages = []
    for treebank, anchor in places.treebanks.items():
        own = {name: [run for run in found if run.treebank == treebank] for name, found in names.items()}
        own = {name: found for name, found in own.items() if found}
        of_treebank = {name: cells[name][treebank] for name in own}
        between = {name: intervals.of(found[0]) for name, found in own.items()}
        pages.append(
            TreebankPage(
                treebank,
                anchor,
                _brief(of_treebank),
                _facts(results.material.facts.get(treebank), own),
                _scores(treebank, of_treebank, between, places),
                _errors(own, "relations", "relation"),
                _errors(own, "lengths", "arc length", order=LENGTHS),
                tuple(_lines(treebank, own, places)),
            )
        )
    return pages


class _Intervals:
    """The interval of each cell, found in the resamples of its kind, which may know its system by another name."""

    def __init__(self, results: Results) -> None:
        self.results = results
        kinds = (results.runs, results.material.own)
        self.names = {run.key: name for kind in kinds for name, own in by_system(kind).items() for run in own}

    def of(self, run: Run) -> Interval | None:
        """Returns that of the cell which the run is one of."""
        resampled = self.results.resampled if run.is_fewshot else self.results.own_resampled
        return resampled.cell(self.names[run.key], run.treebank)


def _brief(cells: Mapping[str, Cell]) -> str:
    """The best score in a few words: as in Table 1 among `competing` systems, controls left out, and without a parser that
    learned from the treebank's own training file."""
    named = competing(name for name in cells if not is_control(name))
    known = {name: las for name in named if (las := cells[name].las) is not None and not cells[name].has_seen}
    if not known:
        return "no score"
    best = max(known, key=lambda name: known[name])
    return f"best {known[best]:.2f}, {best}"


def relative(path: str, out: Path) -> str:
    """Returns how a file is reached from the page's folder."""
    return os.path.relpath(path, out.parent).replace(os.sep, "/")


def _facts(facts: Facts | None, own: Mapping[str, Sequence[Run]]) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    if facts is not None:
        found += [
            ("language", f"{facts.language} ({families().get(facts.code, 'family not listed')})"),
            ("licence", facts.licence or "not said"),
            ("genres", ", ".join(facts.genres) or "not said"),
        ]
        test = facts.splits.get("test")
        if test is not None and test.pieces_per_word is not None and test.pieces is not None:
            found.append(
                (
                    "pieces",
                    f"{test.pieces_per_word:.2f} a word, {number(test.unknown_words, digits=1)} % of words with an unknown",
                )
            )
    every = [run for runs in own.values() for run in runs]
    first = placed(every) or every[0]  # a random one's language is not the treebank's
    if first.code is not None:
        like = "" if first.similarity is None else f", similarity {first.similarity:.3f}"
        found.append(("subnetwork of", f"{first.code}{like}"))
    sizes = {(run.n_sentences, run.n_words) for run in every if run.n_sentences is not None}
    if sizes:
        low, high = min(sizes), max(sizes)
        found.append(("scored", f"{_range(low[0], high[0])} sentences, {_range(low[1], high[1])} words"))
    return tuple(found)


def _range(low: int | None, high: int | None) -> str:
    return str(low) if low == high else f"{low} to {high}"


def _scores(
    treebank: str, cells: Mapping[str, Cell], intervals: Mapping[str, Interval | None], places: Places
) -> Sheet:
    rows = []
    for name, cell in cells.items():
        between = intervals[name]
        rows.append(
            (
                name,
                Entry(number(cell.las), value=cell.las, link=places.cell(treebank, name)),
                number(cell.sd),
                "-" if between is None else f"{between.low:.2f} to {between.high:.2f}",
                number(cell.zero_shot),
                str(cell.n_runs),
            )
        )
    return Sheet(("system", "LAS", "sd", "95 %", "zero-shot", "runs"), tuple(rows))


def _errors(
    own: Mapping[str, Sequence[Run]], kind: str, title: str, *, order: Sequence[str] | None = None
) -> Sheet | None:
    """Per cent of the words with the right head and label by what the gold side says; the head's alone in parentheses."""
    sums = {name: _summed(runs, kind) for name, runs in own.items()}
    words: dict[str, int] = {}
    for table in sums.values():
        for key, counts in table.items():
            words[key] = max(words.get(key, 0), counts[0])
    if not words:
        return None
    keys = [key for key in order if key in words] if order is not None else sorted(words, key=lambda key: -words[key])
    rows = []
    for key in keys:
        cells = []
        for table in sums.values():
            n, head, _, both = table.get(key, (0, 0, 0, 0))
            cells.append(Entry(f"{100 * both / n:.1f} ({100 * head / n:.0f})", value=100 * both / n) if n else "-")
        rows.append((key, Entry(_share(words[key], sum(words.values())), value=float(words[key])), *cells))
    notes = (
        "per cent of the words with the right head and label (right head), all runs of a system together, which are the "
        "records below",
    )
    return Sheet((title, "share of words", *sums), tuple(rows), notes)


def _share(n: int, total: int) -> str:
    return f"{100 * n / total:.1f} %"


def _summed(runs: Sequence[Run], kind: str) -> dict[str, Counts]:
    found: dict[str, Counts] = {}
    for run in runs:
        if run.details.breakdown is None:
            continue
        table: Mapping[str, Counts] = getattr(run.details.breakdown, kind)
        for key, (words, head, label, both) in table.items():
            a, b, c, d = found.get(key, (0, 0, 0, 0))
            found[key] = (a + words, b + head, c + label, d + both)
    return found


def _lines(treebank: str, own: Mapping[str, Sequence[Run]], places: Places) -> list[RecordLine]:
    lines = []
    for name, runs in own.items():
        anchor = places.cells[treebank, name]
        for i, run in enumerate(runs):
            path, _, line = run.place.rpartition(":")
            loss = run.details.loss
            lines.append(
                RecordLine(
                    anchor=anchor if i == 0 else "",
                    href=relative(path, places.out) if path else "",
                    place=f"{Path(path).parent.name}/{Path(path).name}:{line}" if path else "the paper's Table 2",
                    system=name,
                    training_seed="-" if run.training_seed is None else str(run.training_seed),
                    support_seed="-" if run.support_seed is None else str(run.support_seed),
                    zero_shot=number(run.zero_shot),
                    las=number(run.las) if run.is_adapted else f"{number(run.las)} (not adapted)",
                    loss=f"{loss['before']:.2f} → {loss['after']:.2f}" if {"before", "after"} <= loss.keys() else "-",
                    support=" ".join(run.support),
                    n="-" if not run.support else str(len(run.support)),
                )
            )
    return lines
