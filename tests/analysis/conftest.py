"""Made-up records: those of few-shot testing as the command writes them, and runs made in one line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from sublingual.analysis.records import Run

Record = dict[str, Any]


def made(system: str = "nonep-full", treebank: str = "UD_Faroese-OFT", las: float = 40.0, **changes: Any) -> Record:
    """A record with the keys that are read and some that are not; a key of `changes` may be nested with two underscores."""
    record: Record = {
        "system": system,
        "parser": {"encoder": "bundled"},
        "treebank": treebank,
        "support_seed": 0,
        "training_seed": 0,
        "transfer": {"method": "nearest", "code": "no", "similarity": 0.95, "gates_off": 24},
        "support": ["s1", "s2"],
        "sentences": 100,
        "loss": {"before": 2.0, "after": 1.0},
        "is_adapted": True,
        "zero_shot": {"n_sentences": 100, "n_words": 900, "las": {"correct": 270, "f1": 30.0}},
        "adapted": {"n_sentences": 100, "n_words": 900, "las": {"correct": 9, "f1": las}},
        "config": {"steps": 20},
        "cpu_seconds": 36.0,
    }
    for path, value in changes.items():
        *outer, last = path.split("__")
        inner = record
        for key in outer:
            inner = inner[key]
        inner[last] = value
    return record


@pytest.fixture(scope="session")
def record() -> Callable[..., Record]:
    return made


@pytest.fixture
def file_of(tmp_path: Path) -> Callable[..., Path]:
    """Writes records as JSON lines, or text as it is."""

    def write(records: Iterable[Record | str], name: str = "records.jsonl") -> Path:
        path = tmp_path / name
        lines = [line if isinstance(line, str) else json.dumps(line) for line in records]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def run_of() -> Callable[..., Run]:
    """Makes a run of a system on a treebank with that LAS; the rest can be given by name."""

    def make(system: str, treebank: str, las: float, **other: Any) -> Run:
        values: dict[str, Any] = {"support_seed": 0, "training_seed": 0, "method": "nearest", "code": "no"}
        return Run(system, treebank, las=las, **{**values, "similarity": 0.9, "zero_shot": 20.0, **other})

    return make
