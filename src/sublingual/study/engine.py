"""Runs a study's steps on Snakemake: what is to do, the run itself, what failed. The only module that knows the engine."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from sublingual.config import from_mapping
from sublingual.errors import ConfigError
from sublingual.locks import only_run_in
from sublingual.study.config import Study
from sublingual.study.steps import Step, keys

PLAN = "study.json"
PROFILES = ("slurm", "kubernetes")
KEY = "key"
ALL = "all"
OPTIONS = (
    *("--rerun-triggers", "mtime", "params"),
    *("--scheduler", "greedy"),
    *("--rerun-incomplete", "--keep-going", "--nolock", "--quiet", "all"),
)


@dataclass
class Outcome:
    """What the engine told: why each step is to do by name, what was finished, what failed, and complaints."""

    to_do: dict[str, str] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    ok: bool = False


def write_plan(folder: Path, study: Study, ud: Path | None) -> Path:
    """Writes what the Snakefile reads: the study and the release; left alone where it says the same."""
    path = folder / PLAN
    text = json.dumps({"study": asdict(study), "ud": None if ud is None else str(ud)}, indent=1) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        folder.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        os.replace(fresh, path)
    return path


def read_plan(path: Path) -> tuple[Study, Path | None]:
    """Returns the study and the release that a folder's plan names; ConfigError where there is none."""
    if not path.is_file():
        raise ConfigError(f"{path.parent} holds no study; begin one: sublingual study run --out {path.parent}")
    plan = json.loads(path.read_text(encoding="utf-8"))
    return from_mapping(Study, plan["study"], source=str(path)), None if plan["ud"] is None else Path(plan["ud"])


def to_do(study: Study, ud: Path | None, folder: Path, *, wanted: Sequence[str] = ()) -> dict[str, str]:
    """Returns the reason why each step that is not done is to do, by its name: a dry run, which changes nothing.

    `wanted`: the files to be had (none: all). Raises ConfigError with the engine's words where it cannot plan.
    """
    with tempfile.TemporaryDirectory() as elsewhere:
        plan = write_plan(Path(elsewhere), study, ud)
        there = folder if folder.is_dir() else Path(elsewhere)
        outcome = _snakemake(there, plan, [*wanted, "--dry-run", "--cores", "1"], lambda _: None)
    if not outcome.ok:
        raise ConfigError("the engine could not plan the study: " + " ".join(outcome.complaints))
    return outcome.to_do


def run(
    study: Study,
    ud: Path | None,
    folder: Path,
    *,
    steps: Sequence[Step],
    cores: int,
    wanted: Sequence[str] = (),
    profile: str | None = None,
    say: Callable[[str], None],
) -> Outcome:
    """Runs the steps that are not done, the rest going on where one fails; returns what came of it.

    One run at a time is in the folder: our own lock, which ends with its process, stands in place of the engine's, which a
    kill leaves behind. Raises TrainingError where another run is in it.
    """
    with only_run_in(folder):
        plan = write_plan(folder, study, ud)
        clear_stale_work(folder, steps)
        where = ["--profile", str(_profile(profile)), "--jobs", "100"] if profile else []
        return _snakemake(folder, plan, [*wanted, *where, "--cores", str(cores)], say)


def clear_stale_work(folder: Path, steps: Sequence[Step]) -> None:
    """Deletes what steps left half done with other settings than now: they would refuse to go on from there."""
    found = keys(steps)
    for step in steps:
        if step.work is None:
            continue
        work, key = folder / step.work, found[step.name]
        mark = work / KEY
        if mark.is_file() and mark.read_text(encoding="utf-8") == key:
            continue
        if work.is_dir():
            shutil.rmtree(work)
        work.mkdir(parents=True)
        mark.write_text(key, encoding="utf-8")


def _profile(name: str) -> Path:
    """The folder of a profile of ours, or of the user's own."""
    path = Path(str(files("sublingual") / "study" / "profiles" / name)) if name in PROFILES else Path(name)
    if not path.is_dir():
        raise ConfigError(f"unknown profile {name!r}; there are {', '.join(PROFILES)}, or name the folder of your own")
    return path.resolve()


def _snakemake(folder: Path, plan: Path, options: Sequence[str], say: Callable[[str], None]) -> Outcome:
    """Calls the engine in this process: killed, it is one process that is killed, and its steps see that."""
    try:
        from snakemake.cli import args_to_api, parse_args  # an extra (`sublingual[study]`), and slow to import
    except ImportError as fault:
        raise ConfigError("the study needs Snakemake: pip install 'sublingual[study]'") from fault
    outcome = Outcome()
    snakefile = files("sublingual") / "study" / "Snakefile"
    argv = [*options, "--snakefile", str(snakefile), "--directory", str(folder.resolve()), *OPTIONS]
    argv += ["--config", f"study={plan.resolve()}"]
    before = Path.cwd()
    with _listening(outcome, say, silent="--dry-run" in options):
        parser, args = parse_args(argv)
        try:
            outcome.ok = args_to_api(args, parser)
        finally:
            os.chdir(before)
    return outcome


@contextmanager
def _listening(outcome: Outcome, say: Callable[[str], None], *, silent: bool) -> Iterator[None]:
    """Inside, what the engine logs goes to the outcome and not to the terminal; `silent`: nor into its log files."""
    parent, logger, ear = logging.getLogger("snakemake"), logging.getLogger("snakemake.logging"), _Ear(outcome, say)
    propagates, parent.propagate = parent.propagate, False

    def hear(record: logging.LogRecord) -> bool:
        ear.hear(record)
        return not silent

    logger.addFilter(hear)
    try:
        yield
    finally:
        logger.removeFilter(hear)
        parent.propagate = propagates


class _Ear:
    """Hears the engine's events (snakemake_interface_logger_plugins.common.LogEvent)."""

    def __init__(self, outcome: Outcome, say: Callable[[str], None]) -> None:
        self.outcome, self.say = outcome, say
        self.names: dict[int, str] = {}

    def hear(self, record: logging.LogRecord) -> None:
        event = str(getattr(record, "event", None) or "").rpartition(".")[2].lower()
        hear = getattr(self, f"_{event}", None)
        if hear is not None:
            hear(record)
        elif record.levelno >= logging.WARNING:
            self.outcome.complaints.append(record.getMessage())

    def _job_info(self, record: Any) -> None:
        name = _name(record)
        self.names[record.jobid] = name
        if name != ALL:
            self.outcome.to_do[name] = record.reason.partition(":")[0]
            self.say(f"begun: {name}")

    def _job_finished(self, record: Any) -> None:
        self.outcome.done.append(self.names[record.job_id])

    def _progress(self, record: Any) -> None:
        self.say(f"{record.done} of {record.total} steps are done")

    def _job_error(self, record: Any) -> None:
        self.outcome.failed.append(_name(record))
        self.say(f"failed: {_name(record)}; see {', '.join(map(str, record.log))}")


def _name(record: Any) -> str:
    return str(record.rule_name)
