"""Files of results -> all that tables, figures and the report are made from, told apart by what each line holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sublingual.analysis.choices import Point, choice_of, points
from sublingual.analysis.conflicts import ConflictRun, conflict_run
from sublingual.analysis.facts import Facts, facts_of
from sublingual.analysis.records import Run, checked, run_of
from sublingual.data.facts import KIND as TREEBANK
from sublingual.errors import DataError
from sublingual.subnetworks.gates import Subnetwork, read_subnetwork


@dataclass(frozen=True)
class Material:
    """What the files hold.

    runs: few-shot tests. own: tests without a support set, of training languages in their own subnetworks. conflicts:
    gradients of languages compared. facts: of treebanks, by name. subnetworks: of languages. choices: the points of each grid
    of rates, by the name of the choice; their tests on validation treebanks are none of `runs`. files: of these three, each
    with what it holds; the others say themselves where they are from.
    """

    runs: tuple[Run, ...] = ()
    own: tuple[Run, ...] = ()
    conflicts: tuple[ConflictRun, ...] = ()
    facts: Mapping[str, Facts] = field(default_factory=dict)
    subnetworks: tuple[Subnetwork, ...] = ()
    choices: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def read_material(paths: Iterable[Path | str]) -> Material:
    """Returns what these files hold, in their order.

    A file has one JSON object a line (records of `fewshot` and `test`, facts of `data facts`) or is one object
    (conflicts.json of stage 2, a subnetwork). Records in a folder `choices/NAME` are the points of a choice. Raises DataError
    or SubnetworkError that names file and line.
    """
    runs: list[Run] = []
    conflicts: list[ConflictRun] = []
    facts: dict[str, Facts] = {}
    subnetworks: list[Subnetwork] = []
    choices: dict[str, list[Path]] = {}
    files: dict[str, str] = {}
    for path in map(Path, paths):
        if (name := choice_of(path)) is not None:
            choices.setdefault(name, []).append(path)
            files[str(path)] = f"a point of the choice of rates {name}"
            continue
        for place, text in _objects(path):
            value = _value(text) or {}
            if value.get("kind") == TREEBANK:
                found = facts_of(value, place)
                if facts.setdefault(found.treebank, found) != found:
                    raise DataError(f"{place}: other facts of {found.treebank} than before; name files of one release")
                files[str(path)] = "facts of treebanks"
            elif "cosine_by_pair" in value:
                conflicts.append(conflict_run(value, place))
            elif "gates" in value and "format" in value:
                subnetworks.append(read_subnetwork(path))
                files[str(path)] = f"subnetwork of {subnetworks[-1].language}"
            else:
                runs.append(run_of(text, place))
    both = checked(runs)
    own = tuple(run for run in both if not run.is_fewshot)
    fewshot = tuple(run for run in both if run.is_fewshot)
    found_points = {name: tuple(points(own_files)) for name, own_files in choices.items()}
    return Material(fewshot, own, tuple(conflicts), facts, tuple(subnetworks), found_points, files)


def _objects(path: Path) -> Sequence[tuple[str, bytes]]:
    """The objects of a file as text, each with its place."""
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise DataError(f"{path} cannot be read: {fault.strerror}; name a file of records") from fault
    if not content.strip():
        raise DataError(f"{path}: no records; name a file that `sublingual fewshot --records` wrote")
    lines = [(f"{path}:{i}", line) for i, line in enumerate(content.split(b"\n"), start=1) if line.strip()]
    is_one = len(lines) > 1 and _value(lines[0][1]) is None and _value(content) is not None
    return [(str(path), content)] if is_one else lines


def _value(text: bytes) -> dict[str, Any] | None:
    """The JSON object of a text, None where it is none: the reader of records says best what is wrong with it."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
