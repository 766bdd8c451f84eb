"""What the measuring scripts share: the validation languages, records a line each, and their command lines."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sublingual.data.catalogue import catalogue

VALIDATION = tuple(entry.name for entry in catalogue() if entry.role == "validation")
Command = Callable[[argparse.Namespace], None]


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a file; none where there is no file yet."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def append(path: Path, record: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


@dataclass(frozen=True)
class Commands:
    """The command line of a script that writes records (`run`) and says what they say (`report`)."""

    options: argparse.ArgumentParser
    all: Any  # argparse's own class of subparsers is private
    run: argparse.ArgumentParser
    report: argparse.ArgumentParser

    @classmethod
    def of(cls, doc: str | None, *, run: Command, report: Command) -> Commands:
        """`run` takes a model, a release, a file of records, threads; `report` the file. Scripts add what is theirs."""
        options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
        commands = options.add_subparsers(required=True)
        to_run, to_report = commands.add_parser("run"), commands.add_parser("report")
        to_run.add_argument("model")
        to_run.add_argument("--ud", type=Path, required=True)
        to_run.add_argument("--records", type=Path, required=True)
        to_run.add_argument("--threads", type=int, default=1)
        to_run.set_defaults(command=run)
        to_report.add_argument("records", type=Path)
        to_report.set_defaults(command=report)
        return cls(options, commands, to_run, to_report)

    def call(self) -> None:
        chosen = self.options.parse_args()
        chosen.command(chosen)
