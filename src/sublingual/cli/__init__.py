"""The command line. torch is imported inside the commands that need it: help and the torch-free ones answer at once."""

from __future__ import annotations

import io
import logging
import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from sublingual.cli import (
    adapt,
    compact,
    data,
    demo,
    fewshot,
    figures,
    files,
    languages,
    models,
    next,
    scores,
    serve,
    stage2,
    study,
    subnetworks,
    tables,
    testing,
)
from sublingual.cli.common import end_with, say
from sublingual.errors import SublingualError

app = typer.Typer(
    name="sublingual",
    help="Few-shot cross-lingual dependency parsing: twenty annotated sentences in, a parser out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
app.command("check")(files.check)
app.command("nearest")(languages.nearest)
app.command("train")(models.train)
app.add_typer(subnetworks.app, name="subnetwork")
app.command("joint", help=stage2.JOINT)(stage2.stage2("nonep"))
app.command("meta", help=stage2.META)(stage2.stage2("meta"))
app.command("adapt")(adapt.adapt)
app.command("parse")(models.parse)
app.command("next")(next.choose)
app.command("compact")(compact.compact)
app.command("fewshot")(fewshot.fewshot)
app.command("test")(testing.score)
app.command("evaluate")(scores.evaluate)
app.command("compare")(scores.compare)
app.command("table")(tables.tables)
app.command("figure")(figures.figure)
app.command("report")(figures.report)
app.add_typer(study.app, name="study")
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)


def _print_version(wanted: bool) -> bool:
    if wanted:
        print(f"sublingual {version('sublingual')}")
        raise typer.Exit
    return wanted


@app.callback()
def _common(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    log = logging.getLogger("sublingual")  # other libraries print their own warnings; through the root they come twice
    log.handlers = [_Said()]
    log.setLevel(logging.WARNING)


class _Said(logging.Handler):
    """Prints warnings as the commands print their lines: whole, and above a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


def main() -> None:
    """Runs the command line; a fault that the caller can mend is one line on stderr and an exit code, no traceback.

    Exit codes: 1 for faults of data and models, 2 for settings and usage, 130 after Ctrl-C (typer's doing).
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a place in a Faroese file, to a terminal that is not UTF-8
    if engine := os.environ.get("SUBLINGUAL_ENGINE"):
        end_with(int(engine))
    try:
        app()
    except SublingualError as fault:
        print(f"sublingual: {fault}", file=sys.stderr)
        sys.exit(fault.exit_code)
    except OSError as fault:  # a full disk, a folder that may not be written
        print(f"sublingual: {fault}", file=sys.stderr)
        sys.exit(1)
