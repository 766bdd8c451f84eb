"""`sublingual check`: every fault of a CoNLL-U file at once."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sublingual.data import faults
from sublingual.errors import DataError


def check(
    files: Annotated[list[str], typer.Argument(help="CoNLL-U files; - is standard input.")],
    gold: Annotated[bool, typer.Option("--gold", help="Words without a head are errors too.")] = False,
) -> None:
    """List all faults of CoNLL-U files; exit with 1 where one of them makes a reader refuse the file."""
    bad = False
    for file in files:
        try:
            found = faults.check(file, heads="gold" if gold else "partial")
        except DataError as fault:  # the other files are checked all the same
            print(f"sublingual: {fault}", file=sys.stderr)
            bad = True
            continue
        print(f"{file}: {faults.report(found)}" if not found else faults.report(found))
        bad = bad or any(fault.severity == "error" for fault in found)
    raise typer.Exit(1 if bad else 0)
