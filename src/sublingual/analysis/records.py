"""Files of records (JSON lines of few-shot testing) -> runs, one each; all tables and tests are made from these alone."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from sublingual.analysis.details import Details
from sublingual.data.support import SUPPORT_SIZE
from sublingual.errors import ConfigError, DataError

PLAIN_METHODS = ("nearest", "own", "full")
"""The ways of transfer that need no name: the paper's, for training languages their own, and that of a parser without
subnetworks."""


@dataclass(frozen=True)
class Run:
    """One system tested on one treebank with one support set.

    method, code, similarity: how its subnetwork was chosen, of which training language, and how like that is.
    zero_shot, las: LAS in per cent of the same sentences before and after the steps; None where it is not known.
    is_adapted: whether the steps lowered the support loss; where they did not, `las` is no score of an adapted parser.
    is_fewshot: whether there was a support set; a run of `sublingual test` has none, and counts with the score that it has.
    n, reserve: the size of support that was asked for, and that of the largest support whose sentences are not scored.
    gates_off: attention heads that its subnetwork switches off. settings: those of the adaptation, as JSON. place:
    `FILE:LINE`. details: see there.
    """

    system: str
    treebank: str
    support_seed: int | None
    training_seed: int | None
    method: str
    code: str | None
    similarity: float | None
    zero_shot: float | None
    las: float
    is_adapted: bool = True
    is_fewshot: bool = True
    support: tuple[str, ...] = ()
    n_sentences: int | None = None
    n_words: int | None = None
    cpu_seconds: float | None = None
    settings: str = ""
    place: str = ""
    n: int | None = None
    reserve: int | None = None
    gates_off: int | None = None
    details: Details = field(default_factory=Details, repr=False, compare=False)

    @property
    def key(self) -> tuple[object, ...]:
        """What no two runs share."""
        return self.system, self.treebank, self.training_seed, self.support_seed, self.method, self.n, self.reserve

    @property
    def has_seen(self) -> bool:
        """Whether the parser that was adapted had learned from the treebank's own training file."""
        data = () if self.details.parser is None else self.details.parser.data
        return self.is_fewshot and any(file.use == "train" and file.treebank == self.treebank for file in data)


def read_records(paths: Iterable[Path | str]) -> tuple[Run, ...]:
    """Returns the runs of these files, in their order; blank lines are passed over.

    Raises DataError, with file and line, for a line that is no record, a run that is there twice, and runs of one
    treebank and support seed that did not score the same sentences; for a file without records.
    """
    return checked([run for path in paths for run in _of_file(Path(path))])


def checked(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Returns the runs; raises DataError as `read_records` does where two are one or did not score the same sentences."""
    _refuse_doubles(runs)
    _refuse_unequal(runs)
    return tuple(runs)


def selected(runs: Sequence[Run], *, systems: Sequence[str] = (), treebanks: Sequence[str] = ()) -> tuple[Run, ...]:
    """Returns the runs of these systems and treebanks, all of them where none is named; ConfigError for an unknown name."""
    for kind, asked, known in (
        ("system", systems, {run.system for run in runs}),
        ("treebank", treebanks, {run.treebank for run in runs}),
    ):
        for name in asked:
            refuse_unknown(name, known, kind=kind)
    return tuple(
        run for run in runs if (not systems or run.system in systems) and (not treebanks or run.treebank in treebanks)
    )


def by_system(runs: Sequence[Run], *, sizes: bool = True) -> dict[str, tuple[Run, ...]]:
    """Returns the runs by the name that their row has in tables: the system's, and the way of transfer where it is not plain.

    Plain is `nearest`; `full` is too for a system that was tested in no other way, having no subnetworks. A support set of
    another size than 20 is named, but without `sizes`.
    """
    has_nearest = {run.system for run in runs if run.method == "nearest"}
    found: dict[str, list[Run]] = {}
    for run in runs:
        is_plain = run.method in PLAIN_METHODS and (run.method == "nearest" or run.system not in has_nearest)
        said = [*([] if is_plain else [run.method]), *(_support_size(run) if sizes else [])]
        found.setdefault(f"{run.system} ({', '.join(said)})" if said else run.system, []).append(run)
    return {name: tuple(own) for name, own in found.items()}


def placed(runs: Sequence[Run]) -> Run | None:
    """Returns the run that says whose subnetwork a treebank gets: a plain one, nearest before full; None where none says.

    A full system, which has no subnetworks, names the nearest of the paper's languages.
    """
    said = [run for run in runs if run.method in PLAIN_METHODS and run.code is not None]
    return min(said, key=lambda run: (PLAIN_METHODS.index(run.method), run.code), default=None)


def full_of(system: str) -> str:
    """Returns the name of the full system of a system's own loop, which the paper compares it with."""
    return f"{system.partition('-')[0]}-full"


def own_name(system: str) -> str:
    """Returns the name of a system's tests in its own subnetworks where they stand beside those of other languages."""
    return f"{system} (own)"


def _support_size(run: Run) -> list[str]:
    """What a name says of a support set that is not the usual one."""
    if run.reserve is not None:
        return [f"n={run.n} of {run.reserve}"]
    return [] if run.n in (None, SUPPORT_SIZE) else [f"n={run.n}"]


def refuse_unknown(name: str, known: Iterable[str], *, kind: str) -> None:
    """Raises ConfigError, with near names, where `name` is none of those that are known."""
    known = sorted(known)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
        raise ConfigError(f"no record of {kind} {name!r}; {hint}")


@dataclass(frozen=True)
class _Las:
    f1: Annotated[float, Field(ge=0, le=100)]


@dataclass(frozen=True)
class _Score:
    n_words: int
    las: _Las


@dataclass(frozen=True)
class _Transfer:
    method: str
    code: str | None
    similarity: float | None
    gates_off: int | None = None


@dataclass(frozen=True, kw_only=True)
class _Record(Details):
    """Of a record what the tables need; its other keys are passed over. One of `sublingual test` was not adapted."""

    system: str
    treebank: str
    support_seed: int | None
    training_seed: int | None
    transfer: _Transfer
    support: tuple[str, ...]
    sentences: int
    zero_shot: _Score
    adapted: _Score | None
    is_adapted: bool | None
    config: dict[str, Any]
    cpu_seconds: Annotated[float, Field(ge=0)]
    n: int | None = None
    reserve: int | None = None


_RECORD = TypeAdapter(_Record)


def _of_file(path: Path) -> list[Run]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as fault:
        raise DataError(f"{path} cannot be read: {fault.strerror}; name a file of records") from fault
    found = [run_of(line, f"{path}:{i}") for i, line in enumerate(lines, start=1) if line.strip()]
    if not found:
        raise DataError(f"{path}: no records; name a file that `sublingual fewshot --records` wrote")
    return found


def run_of(line: bytes, place: str) -> Run:
    """Returns the run of one line of a file of records; `place` is where it is. Raises DataError."""
    try:
        record = _RECORD.validate_json(line, strict=True)
    except ValidationError as fault:
        raise DataError(f"{place}: {_reason(fault)}") from fault
    scored = record.zero_shot if record.adapted is None else record.adapted
    return Run(
        system=record.system,
        treebank=record.treebank,
        support_seed=record.support_seed,
        training_seed=record.training_seed,
        method=record.transfer.method,
        code=record.transfer.code,
        similarity=record.transfer.similarity,
        zero_shot=record.zero_shot.las.f1,
        las=scored.las.f1,
        is_adapted=record.is_adapted is not False,
        is_fewshot=record.adapted is not None,
        support=record.support,
        n_sentences=record.sentences,
        n_words=scored.n_words,
        cpu_seconds=record.cpu_seconds,
        settings=json.dumps(record.config, sort_keys=True),
        place=place,
        n=record.n,
        reserve=record.reserve,
        gates_off=record.transfer.gates_off,
        details=Details(**{each.name: getattr(record, each.name) for each in fields(Details)}),
    )


def _reason(fault: ValidationError) -> str:
    first = fault.errors()[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "json_invalid":
        return "no JSON; a run that was cut short leaves half a line: delete it and repeat that run"
    if first["type"] == "missing":
        return (
            f"no key {key!r}; a record of another kind or version: repeat that run with `sublingual fewshot --records`"
        )
    if not key:
        return "no JSON object; each line is one record of `sublingual fewshot --records`"
    return f"{key!r} is {first['input']!r}: {first['msg'].lower()}; repeat that run"


def _refuse_doubles(runs: Sequence[Run]) -> None:
    seen: dict[object, Run] = {}
    for run in runs:
        if (first := seen.setdefault(run.key, run)) is not run:
            raise DataError(
                f"{run.place}: the run of {first.place} again (system {run.system}, {run.treebank}, training seed "
                f"{run.training_seed}, support seed {run.support_seed}, transfer {run.method}); name one of the two files, or "
                "delete one of the lines"
            )


def _refuse_unequal(runs: Sequence[Run]) -> None:
    """Supports differ by several points of LAS, so scores can be compared on equal supports and sentences only."""
    seen: dict[object, Run] = {}
    for run in runs:
        drawn = run.treebank, run.support_seed, run.reserve
        # Without a reserve a larger support leaves fewer sentences to score.
        first = seen.setdefault((*drawn, run.n if run.reserve is None else None), run)
        alike = seen.setdefault((*drawn, run.n, "support"), run).support == run.support
        if not alike or (first.n_sentences, first.n_words) != (run.n_sentences, run.n_words):
            raise DataError(
                f"{run.place}: {run.treebank}, support seed {run.support_seed}: {run.n_sentences} sentences scored after "
                f"a support of {len(run.support)}, but {first.n_sentences} after one of {len(first.support)}, or others, "
                f"in {first.place}; compare runs of one release, --cap, -n and --keep-repeated"
            )
