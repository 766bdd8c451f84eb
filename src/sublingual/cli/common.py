"""What several commands share: options, progress bars, tables."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from sublingual.data.embedded import WARNING, has_embedded
from sublingual.data.releases import ud_folder
from sublingual.data.treebanks import Split, find, treebank_at
from sublingual.errors import DataError

if TYPE_CHECKING:
    from sublingual.training.loop import Progress as TrainingProgress

Ud = Annotated[
    Path | None, typer.Option("--ud", help="Folder of a UD release (default: $SUBLINGUAL_UD, or the imported).")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda:0.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything that is drawn.")]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="Threads (default: all cores; one where others work too).")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it is there.")]
Settings = Annotated[Path | None, typer.Option("--config", help="TOML or YAML file, or the name of a preset.")]
Words = Annotated[
    list[str] | None, typer.Option("--set", help="One setting, for example finetune.steps=400; may be repeated.")
]

LINE_EVERY = 60.0  # seconds between the lines of a bar that is no bar
Encoder = Annotated[
    str | None, typer.Option("--encoder", help="A Hub name, a directory, or `bundled`, which needs no hub.")
]
PRECISION = typer.Option("--precision", help="fp32, bf16, or auto (bf16 where the processor has it).")
Precision = Annotated[str, PRECISION]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

console = Console(stderr=True)


def say(text: str) -> None:
    """Prints a line for the person at the terminal, on stderr: stdout is for results."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def say_if_toy(names: Iterable[str]) -> None:
    """Says so where one of these treebanks, or files, is an embedded toy."""
    if has_embedded(names):
        say(WARNING)


def set_threads(n: int | None) -> None:
    """Makes torch use that many threads."""
    if n is not None:
        import torch  # slow to import

        torch.set_num_threads(n)


def end_with(engine: int) -> None:
    """Ends this process soon after the engine of the study, its parent, ends: a killed one leaves no steps at work.

    An orphan would write into files that the next run makes anew.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent and _is_alive(engine):
            time.sleep(0.3)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None) -> None:
    """Prints a table on stdout: drawn for a terminal, tab-separated for a pipe."""
    if not sys.stdout.isatty():
        for row in [columns, *rows]:
            print("\t".join(map(str, row)))
        return
    drawn = Table(*columns, title=title)
    for row in rows:
        drawn.add_row(*map(str, row))
    Console().print(drawn)


def bar(*columns: ProgressColumn) -> Progress:
    """Returns a progress bar on stderr with time passed and left; where that is no terminal, a line a minute with time left."""
    return _Bar(*columns)


def _time_left(task: Task) -> str:
    """The time until a bar is full or its limit is over, as h:mm:ss; empty where it is not known, or over."""
    estimates = [task.time_remaining, None if task.fields.get("limit") is None else task.fields["limit"] - task.elapsed]
    known = [seconds for seconds in estimates if seconds is not None]
    return str(timedelta(seconds=round(min(known)))) if known and min(known) >= 1 else ""


class _TimeLeft(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(_time_left(task), style="progress.remaining")


class _Bar(Progress):
    def __init__(self, *columns: ProgressColumn) -> None:
        around = (TimeElapsedColumn(), _TimeLeft())
        shown = (TextColumn("{task.description}"), BarColumn(), *columns, *around)
        hidden = not console.is_terminal
        super().__init__(*shown, console=console, disable=hidden, speed_estimate_period=2 * LINE_EVERY)
        self._said = time.monotonic()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        self._say(task_id)

    def advance(self, task_id: TaskID, advance: int | float = 1) -> None:
        super().advance(task_id, advance)
        self._say(task_id)

    def _say(self, task_id: TaskID) -> None:
        if not self.disable or time.monotonic() - self._said < LINE_EVERY:
            return
        self._said = time.monotonic()
        task = next(task for task in self.tasks if task.id == task_id)
        done = f"{task.completed:,.0f}" + (f" of {task.total:,.0f}" if task.total else "")
        left = f", about {found} left" if (found := _time_left(task)) else ""
        say(f"{task.description}: {done} {task.fields.get('state', '')}".rstrip() + left)


@contextmanager
def counting(description: str, total: int, *, limit: float | None = None) -> Iterator[Callable[[int], None]]:
    """Shows a bar that the yielded function moves on by a number of items; it ends after `limit` seconds at the latest."""
    with bar(TextColumn("{task.completed}/{task.total}")) as shown:
        task = shown.add_task(description, total=total, limit=limit)
        yield lambda n: shown.advance(task, n)


@contextmanager
def training_bar(description: str) -> Iterator[Callable[[TrainingProgress], None]]:
    """Shows a training run: step, loss, pieces per second, dev LAS, time left."""
    with bar(TextColumn("{task.completed}/{task.total} {task.fields[state]}")) as shown:
        task = shown.add_task(description, total=None, state="")

        def update(now: TrainingProgress) -> None:
            las = "" if now.dev_las is None else f" dev LAS {now.dev_las:.1f}"
            state = f"loss {now.loss:.2f}{las} {now.speed:.0f} pieces/s"
            shown.update(task, total=now.steps, completed=now.step, state=state)

        yield update


def files_of(names: Sequence[str], split: Split, ud: Path | None, *, needed: bool = True) -> list[Path]:
    """Returns the files that the names mean: a path to a file, or the split of a UD treebank, by name or folder.

    Raises DataError where a name is none of these, and where the treebank has no such split and it is `needed`.
    """
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_file():
            found.append(path)
            continue
        if ".conllu" in path.name:
            raise DataError(f"{name}: no such file; name a CoNLL-U file, or a treebank such as UD_English-EWT")
        treebank = treebank_at(path) if path.is_dir() else find(ud_folder(ud), name)
        if needed and not treebank.files(split):
            raise DataError(f"{treebank.name} has no {split} split; name another treebank, or a CoNLL-U file")
        found.extend(treebank.files(split))
    return found


def refuse_unwritable(file: Path | str) -> None:
    """Raises DataError, before any work, where no file of that name could be written after it; "-" is stdout."""
    path = Path(file)
    if str(file) != "-" and path.is_dir():
        raise DataError(f"{path} is a folder; name a file to write")
    if not path.parent.is_dir():
        raise DataError(f"{path} cannot be written: there is no folder {path.parent}; make it, or name another")
