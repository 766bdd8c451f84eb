"""Runs a study's steps on Snakemake, and hears what became of them. The only module that knows the engine."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from sublingual.errors import ConfigError
from sublingual.locks import only_run_in
from sublingual.study.config import Study
from sublingual.study.keys import Step
from sublingual.study.plans import write_plan
from sublingual.study.progress import marks_by_output, set_aside_, with_marks

PROFILES = ("slurm", "kubernetes")
ALL = "all"
OPTIONS = (
    *("--rerun-triggers", "mtime"),
    *("--scheduler", "greedy"),
    *("--rerun-incomplete", "--keep-going", "--nolock", "--quiet", "all"),
)


@dataclass
class Outcome:
    """What the engine told: the steps that were begun, finished, that failed, and complaints."""

    begun: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    ok: bool = False


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
    _imported()
    where = ["--profile", str(_profile(profile))] if profile else []
    cores = max(cores, study.threads) if profile else cores  # the engine takes it for the most that a step may have
    with only_run_in(folder):
        plan = write_plan(folder, study, ud)
        set_aside_(steps, folder)
        targets = with_marks(wanted, marks_by_output(steps))
        return _snakemake(folder, plan, [*targets, *where, "--cores", str(cores)], say)


def _profile(name: str) -> Path:
    """The folder of a profile of ours, or of the user's own."""
    path = Path(str(files("sublingual") / "study" / "profiles" / name)) if name in PROFILES else Path(name)
    if not path.is_dir():
        raise ConfigError(f"unknown profile {name!r}; there are {', '.join(PROFILES)}, or name the folder of your own")
    return path.resolve()


def _imported() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The engine's own two functions, of its options and of what it does with them."""
    try:
        from snakemake.cli import args_to_api, parse_args  # an extra (`sublingual[study]`), and slow to import
    except ImportError as fault:
        raise ConfigError("the study needs Snakemake: pip install 'sublingual[study]'") from fault
    return parse_args, args_to_api


def _snakemake(folder: Path, plan: Path, options: Sequence[str], say: Callable[[str], None]) -> Outcome:
    """Calls the engine in this process: killed, it is one process that is killed, and its steps see that."""
    parse_args, args_to_api = _imported()
    outcome = Outcome()
    snakefile = files("sublingual") / "study" / "Snakefile"
    argv = [*options, "--snakefile", str(snakefile), "--directory", str(folder.resolve()), *OPTIONS]
    argv += ["--config", f"study={plan.resolve()}"]
    before = Path.cwd()
    with _listening(outcome, say), _pods_share_a_volume():
        parser, args = parse_args(argv)
        try:
            outcome.ok = args_to_api(args, parser)
        finally:
            os.chdir(before)
    return outcome


@contextmanager
def _listening(outcome: Outcome, say: Callable[[str], None]) -> Iterator[None]:
    """Inside, what the engine logs goes to the outcome and not to the terminal."""
    parent, logger, ear = logging.getLogger("snakemake"), logging.getLogger("snakemake.logging"), _Ear(outcome, say)
    propagates, parent.propagate = parent.propagate, False

    def hear(record: logging.LogRecord) -> bool:
        ear.hear(record)
        return True  # for the engine's own log files

    logger.addFilter(hear)
    try:
        yield
    finally:
        logger.removeFilter(hear)
        parent.propagate = propagates


@contextmanager
def _pods_share_a_volume() -> Iterator[None]:
    """Inside, the engine heeds what the Kubernetes profile says is shared: its plugin says of all clusters that nothing is."""
    try:
        from snakemake_executor_plugin_kubernetes import common_settings  # comes with the engine's extra, and is slow
    except ImportError:
        yield
        return
    before = common_settings.implies_no_shared_fs, common_settings.job_deploy_sources
    common_settings.implies_no_shared_fs = common_settings.job_deploy_sources = False
    try:
        yield
    finally:
        common_settings.implies_no_shared_fs, common_settings.job_deploy_sources = before


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
            self.outcome.begun.append(name)
            self.say(f"begun: {name}")

    def _job_finished(self, record: Any) -> None:
        if (name := self.names[record.job_id]) != ALL:
            self.outcome.done.append(name)

    def _progress(self, record: Any) -> None:
        self.say(f"{record.done} of {record.total} steps are done")

    def _job_error(self, record: Any) -> None:
        self.outcome.failed.append(_name(record))
        self.say(f"failed: {_name(record)}; see {', '.join(map(str, record.log))}")


def _name(record: Any) -> str:
    return str(record.rule_name)
