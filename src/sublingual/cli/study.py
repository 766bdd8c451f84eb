"""`sublingual study`: the paper as a graph of steps, run by Snakemake."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sublingual.analysis.choices import best, loop_of, points
from sublingual.cli.common import Ud, say, table
from sublingual.cli.words import refuse_words
from sublingual.data.embedded import embedded_folder
from sublingual.data.releases import ud_folder
from sublingual.errors import ConfigError, DataError, TrainingError
from sublingual.locks import only_run_in
from sublingual.study.choices import write_choice
from sublingual.study.config import EMBEDDED, Study, study
from sublingual.study.keys import Step, keys
from sublingual.study.plans import PLAN, read_plan, write_plan
from sublingual.study.progress import beginning, is_done, marks_by_output, to_do
from sublingual.study.reporting import PAGE
from sublingual.study.steps import steps, targets

if TYPE_CHECKING:
    from sublingual.study.engine import Outcome

app = typer.Typer(no_args_is_help=True, help="Run the whole study: from stage 1 to tables, at one of three scales.")

Scale = Annotated[str, typer.Option("--scale", help="smoke, small or paper; or a .toml or .json file.")]
Words = Annotated[
    list[str] | None, typer.Option("--set", help="One setting of the study, for example tests.cap=50; may be repeated.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder of the study (default: study-SCALE).")]


@app.command()
def run(
    scale: Scale = "smoke",
    out: Out = None,
    dry: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show the steps to do and their hours; do nothing.")
    ] = False,
    commands: Annotated[bool, typer.Option("--commands", help="With --dry-run: print the commands alone.")] = False,
    cores: Annotated[int | None, typer.Option("--cores", min=1, help="Cores (default: the scale's).")] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="slurm, kubernetes, or a folder with a Snakemake profile.")
    ] = None,
    groups: Annotated[
        list[str] | None, typer.Option("--group", help="Only what this group of systems needs; may be repeated.")
    ] = None,
    words: Words = None,
    ud: Ud = None,
) -> None:
    """Do the steps that are not done. Stopped or killed, it goes on where it was when called again."""
    if commands and not dry:
        raise ConfigError("--commands prints what is to do and does none of it: give --dry-run with it")
    chosen = study(scale, words=tuple(words or ()))
    folder, release = _folder(out, scale), _release(chosen, ud, needed=not dry or commands)
    refuse_words(chosen)
    graph = steps(chosen, ud=release)
    wanted = targets(chosen, groups or ())
    why = to_do(graph, folder, wanted=wanted)
    todo = [step for step in graph if step.name in why]
    if dry and commands:
        for line in _by_hand(todo, keys(graph)):
            print(line)
    elif dry:
        table(["step", "kind", "minutes", "why"], [[s.name, s.kind, _minutes(s), why[s.name]] for s in todo])
    _say_budget(graph, todo, chosen, None if profile else cores or chosen.cores)
    if dry:
        return
    if not todo:
        with only_run_in(folder):
            write_plan(folder, chosen, release)
        return
    from sublingual.study import engine  # slow to import

    outcome = engine.run(
        chosen, release, folder, steps=graph, cores=cores or chosen.cores, wanted=wanted, profile=profile, say=say
    )
    _say_outcome(outcome, graph, folder)


@app.command()
def status(scale: Scale = "smoke", out: Out = None) -> None:
    """Show which steps of a study are done and which are not."""
    folder = _folder(out, scale)
    chosen, release = _planned(folder, scale)
    graph = steps(chosen, ud=release)
    why, found = to_do(graph, folder), keys(graph)
    rows = [[s.name, s.kind, _state(s, found[s.name], folder, why), _log(folder, s, why)] for s in graph]
    table(["step", "kind", "state", "log"], rows)
    _say_budget(graph, [step for step in graph if step.name in why], chosen, chosen.cores)


@app.command()
def report(scale: Scale = "smoke", out: Out = None) -> None:
    """Make the report of a study from the results that its settings gave so far."""
    from sublingual.cli.figures import report as page

    folder = _folder(out, scale)
    chosen, release = _planned(folder, scale)
    graph = steps(chosen, ud=release)
    of_all, marks = next(step for step in graph if step.kind == "report"), marks_by_output(graph)
    found = [path for path in of_all.inputs if (folder / path).is_file()]
    there = [folder / path for path in found if (folder / marks[path]).exists()]
    if len(there) < len(found):
        n = len(found) - len(there)
        say(f"left out, as made with other settings than now or not to the end: {n} of {len(found)} files")
    if not there:
        raise DataError(f"{folder} has no results yet; get some with `sublingual study run`, called as it was before")
    say(f"{len(there)} of {len(of_all.inputs)} files of results are there")
    page([*there, folder / PAGE])


@app.command()
def choose(
    records: Annotated[list[Path], typer.Argument(help="Records of each point of the grid, a file a point.")],
    training: Annotated[Path, typer.Option("--training", help="File for the settings of stage 2.")],
    adaptation: Annotated[Path, typer.Option("--adaptation", help="File for the settings of the adaptation.")],
) -> None:
    """Choose the settings whose parser has the best mean LAS over the validation treebanks."""
    found = points(records)
    chosen, loop = best(found), loop_of(found)
    write_choice(chosen, training=training, adaptation=adaptation)
    table(
        ["point", "encoder rate", "classifier rate", "LAS", "chosen"],
        [[p.file.stem, *p.rates(loop), f"{p.las:.2f}", "*" if p is chosen else ""] for p in found],
    )


def _by_hand(todo: Sequence[Step], made: Mapping[str, str]) -> Iterator[str]:
    """The lines of a script that does these steps in the study's folder: the folders and, for each step, how the engine
    begins it, its command, and what then says that it was done; `made` are the keys."""
    marks = {step.name: step.mark(made[step.name]) for step in todo}
    folders = dict.fromkeys(str(Path(path).parent) for step in todo for path in (*step.outputs, marks[step.name]))
    if todo:
        yield shlex.join(["mkdir", "-p", *folders])
    for step in todo:
        words = [["rm", "-rf", *step.outputs], ["sublingual", *step.command], ["touch", marks[step.name]]]
        yield f"{beginning(step, made[step.name])}; {' && '.join(map(shlex.join, words))}"


def _folder(out: Path | None, scale: str) -> Path:
    return (out or Path(f"study-{Path(scale).stem}")).absolute()


def _planned(folder: Path, scale: str) -> tuple[Study, Path | None]:
    """The study and the release of a folder; of one with results of elsewhere, where nothing was run, those of the scale."""
    if (folder / PLAN).is_file() or not (folder / "keys").is_dir():
        return read_plan(folder / PLAN)
    chosen = study(scale)
    return chosen, _release(chosen, None, needed=False)


def _release(chosen: Study, ud: Path | None, *, needed: bool) -> Path | None:
    """The folder of treebanks; None where none is here and a plan is all that is asked for."""
    if chosen.ud == EMBEDDED:
        return embedded_folder()
    try:
        return ud_folder(ud).absolute()
    except DataError as fault:
        if needed or ud is not None:
            raise
        say(f"planned without looking at treebanks: {fault}")
        return None


def _state(step: Step, key: str, folder: Path, why: dict[str, str]) -> str:
    if step.name in why:
        return why[step.name]
    return "done" if is_done(step, key, folder) else "not needed now"


def _minutes(step: Step) -> str:
    return f"{step.seconds / 60:.1f}"


def _say_budget(graph: Sequence[Step], todo: Sequence[Step], chosen: Study, cores: int | None) -> None:
    """What is to do in numbers; hours on one thread or GPU each, as the scale's costs say. cores: None for a cluster's own."""
    kinds = ", ".join(f"{n} {kind}" for kind, n in Counter(step.kind for step in todo).items())
    hours = sum(step.seconds for step in todo) / 3600
    at_once = 0 if cores is None else max(1, cores // chosen.threads)
    unit = "GPU-hours" if chosen.gpus else "CPU-hours"
    say(f"{len(todo)} of {len(graph)} steps are to do: {kinds or 'nothing'}")
    say(
        f"about {hours:.1f} {unit} are to do"
        + (f": {hours / at_once:.1f} hours with {at_once} at a time" if at_once else "")
        + (f", {chosen.cost.on}" if chosen.cost.on else "")
    )


def _say_outcome(outcome: Outcome, graph: Sequence[Step], folder: Path) -> None:
    """Raises TrainingError that names what failed, each with its log and the last line of it."""
    if outcome.ok:
        say(f"study in {folder}")
        return
    logs = {step.name: folder / step.log for step in graph}
    failed = [f"{name}: {_last_line(logs[name])} (log: {logs[name]})" for name in dict.fromkeys(outcome.failed)]
    for line in failed or outcome.complaints:
        say(line)
    raise TrainingError(
        f"{len(failed)} steps failed, what does not need them was done; mend that and call the same command again"
        if failed
        else "the engine stopped: call the same command again to go on"
    )


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def _log(folder: Path, step: Step, why: dict[str, str]) -> str:
    """The log of a step that was begun and is not done."""
    return step.log if step.name in why and (folder / step.log).is_file() else ""
