"""What of a study is done, by the files that are there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from sublingual.study.steps import RESULTS, Step, keys

KEY = "key"


def is_done(step: Step, key: str, folder: Path) -> bool:
    """Whether the step's outputs are there, made with this key."""
    return all((folder / path).exists() for path in (*step.outputs, step.mark(key)))


def to_do(steps: Sequence[Step], folder: Path, *, wanted: Sequence[str] = ()) -> dict[str, str]:
    """Returns why each step that is to do is, by its name and in order.

    `wanted` are the files to be had (none: all results). A step between, such as a model, is to do only where one is that
    needs it: results that are there need no models.
    """
    found, needed = keys(steps), set(wanted)
    why: dict[str, str] = {}
    for step in reversed(steps):
        is_wanted = step.kind in RESULTS if not wanted else False
        if (is_wanted or needed & set(step.outputs)) and not is_done(step, found[step.name], folder):
            why[step.name] = _why(step, found[step.name], folder)
            needed |= set(step.inputs)
    return {step.name: why[step.name] for step in steps if step.name in why}


def _why(step: Step, key: str, folder: Path) -> str:
    if (folder / step.mark(key)).exists():
        return "its output is gone"
    return "settings changed" if _marks(step, folder) else "not done yet"


def _marks(step: Step, folder: Path) -> list[Path]:
    return [path for path in (folder / "keys").glob(f"{step.name}.*") if path.stem == step.name]


def clear_stale_(steps: Sequence[Step], folder: Path) -> None:
    """Deletes what says that steps were done with other settings than now, and what they left half done with them.

    Training refuses to go on from the checkpoint of another run.
    """
    found = keys(steps)
    for step in steps:
        key = found[step.name]
        for path in _marks(step, folder):
            if path.suffix != f".{key}":
                path.unlink()
        if step.work is not None:
            _begin_(folder / step.work, key)


def _begin_(work: Path, key: str) -> None:
    """Makes the folder in which a step can go on where it stopped, emptied if it was of another key."""
    mark = work / KEY
    if mark.is_file() and mark.read_text(encoding="utf-8") == key:
        return
    if work.is_dir():
        shutil.rmtree(work)
    work.mkdir(parents=True)
    mark.write_text(key, encoding="utf-8")


def inputs_of(steps: Sequence[Step], folder: Path) -> dict[str, list[str]]:
    """Returns the inputs of each step for the engine: files with the marks of those that made them; none of a done step.

    Else the engine would make a model again for results that are there, only because it is gone.
    """
    found, marks = keys(steps), marks_by_output(steps)
    return {
        step.name: [] if is_done(step, found[step.name], folder) else with_marks(step.inputs, marks) for step in steps
    }


def marks_by_output(steps: Sequence[Step]) -> dict[str, str]:
    """Returns the mark of the step that makes each file."""
    found = keys(steps)
    return {path: step.mark(found[step.name]) for step in steps for path in step.outputs}


def with_marks(paths: Sequence[str], marks: Mapping[str, str]) -> list[str]:
    """Returns the paths, and the marks of the steps that make them."""
    return list(dict.fromkeys([*paths, *(marks[path] for path in paths if path in marks)]))
