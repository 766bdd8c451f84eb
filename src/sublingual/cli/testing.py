"""`sublingual test`: a parser scored as it is, each language in its own subnetwork (Table 4, section 7.1)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sublingual.cli.common import Device, Json, Threads, Ud, counting, refuse_unwritable, say_if_toy, set_threads, table
from sublingual.cli.stage2 import Found, Retested, Systems, Treebanks, languages_of, retested

if TYPE_CHECKING:
    from sublingual.fewshot import Record

# Modules that need torch are imported inside the command: `--help` answers at once.

COLUMNS = ("system", "treebank", "language", "gates", "heads off", "LAS", "UAS", "sentences", "files")


def score(
    model: Annotated[str, typer.Argument(help="Parser to score.")],
    treebanks: Treebanks = None,
    records: Annotated[Path | None, typer.Option("--records", help="File to append one JSON line each to.")] = None,
    method: Annotated[
        str,
        typer.Option("--transfer", help="In which subnetwork, where the parser has some: own, or one of fewshot's."),
    ] = "own",
    gates: Retested = None,
    subnetworks: Found = None,
    systems: Systems = None,
    cap: Annotated[
        int | None, typer.Option("--cap", min=1, help="Score a fixed random sample of that many test sentences.")
    ] = None,
    system: Annotated[str | None, typer.Option("--system", help="Its name in the records (default: its own).")] = None,
    ud: Ud = None,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Score a parser without adapting it, each language in its own subnetwork, one record a treebank."""
    if records is not None:
        refuse_unwritable(records)
    banks = _banks(languages_of(treebanks, ud, split="test"))

    from sublingual import runtime
    from sublingual.fewshot import unadapted, write_record
    from sublingual.parsing import Parser

    set_threads(threads)
    parser = Parser.from_pretrained(model, device=runtime.device(device))
    parser = retested(parser, gates, subnetworks, systems)
    rows = []
    with counting("testing", len(banks)) as advance:
        for code, files in banks:
            record = unadapted(parser, code, files, cap=cap, method=method, system=system)
            if records is not None:
                write_record(records, record)
            rows.append(_row(record))
            advance(1)
    say_if_toy(path.name for _, files in banks for path in files)
    if as_json:
        print(json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in rows]))
    else:
        table(COLUMNS, rows)


def _banks(languages: Mapping[str, Sequence[Path]]) -> list[tuple[str, list[Path]]]:
    """The files of each treebank with its language; a large split may be in parts, a file of no treebank is one alone."""
    found = []
    for code, files in languages.items():
        for _, own in groupby(files, key=lambda path: path.parent if path.parent.name.startswith("UD_") else path):
            found.append((code, list(own)))
    return found


def _row(record: Record) -> list[object]:
    chosen, scores = record["transfer"], record["zero_shot"]
    las, uas = (round(scores[name]["f1"], 2) for name in ("las", "uas"))
    scored = [las, uas, record["sentences"], " ".join(record["files"])]
    return [record["system"], record["treebank"], record["language"], chosen["method"], chosen["gates_off"], *scored]
