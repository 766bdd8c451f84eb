"""What of a study is done, by the files that are there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from shlex import quote

from sublingual.study.keys import RESULTS, Step, keys

KEY = "key"


def is_done(step: Step, key: str, folder: Path, *, asked: Collection[str] = ()) -> bool:
    """Whether those of the step's outputs that are asked for (none: all) are there, made with this key."""
    outputs = [path for path in step.outputs if path in asked] or step.outputs
    return all((folder / path).exists() for path in (*outputs, step.mark(key)))


def asked_for(steps: Sequence[Step], folder: Path, *, wanted: Sequence[str] = ()) -> set[str]:
    """Returns the wanted files (none: all results), and the inputs of the steps that are to be done for them.

    What lies between, such as a model, is asked for only where a step is to do that needs it: results that are there need no
    models.
    """
    found = keys(steps)
    asked = set(wanted) or {path for step in steps if step.kind in RESULTS for path in step.outputs}
    for step in reversed(steps):
        if asked & set(step.outputs) and not is_done(step, found[step.name], folder, asked=asked):
            asked |= set(step.inputs)
    return asked


def to_do(steps: Sequence[Step], folder: Path, *, wanted: Sequence[str] = ()) -> dict[str, str]:
    """Returns why each step that is to do is, by its name and in order; `wanted`: the files to be had (none: all results)."""
    found, asked = keys(steps), asked_for(steps, folder, wanted=wanted)
    todo = [step for step in steps if asked & set(step.outputs)]
    todo = [step for step in todo if not is_done(step, found[step.name], folder, asked=asked)]
    return {step.name: _why(step, found[step.name], folder) for step in todo}


def _why(step: Step, key: str, folder: Path) -> str:
    if (folder / step.mark(key)).exists():
        return "its output is gone"
    return "settings changed" if _marks(step, folder) else "not done yet"


def _marks(step: Step, folder: Path) -> list[Path]:
    return [path for path in (folder / "keys").glob(f"{step.name}.*") if path.stem == step.name]


def beginning(step: Step, key: str) -> str:
    """Returns the shell's words with which a step begins, in the study's folder.

    What says that it was done with other settings goes, and what these left half done: training refuses to go on from the
    checkpoint of another run. Until then both stay, so that settings named by mistake cost nothing.
    """
    words = f"rm -f keys/{quote(step.name)}.*"
    if step.work is None:
        return words
    work, mark = quote(step.work), quote(f"{step.work}/{KEY}")
    kept = f'[ "$(cat {mark} 2>/dev/null)" = {key} ] || rm -rf {work}'
    return f"{words}; {kept}; mkdir -p {work}; printf %s {key} > {mark}"


def set_aside_(steps: Sequence[Step], folder: Path) -> None:
    """Moves subnetworks that no step makes (of seeds that the study had) to `unused`, and back those that one does.

    A system is made from all that lie in the folder.
    """
    made = {folder / path for step in steps if step.kind == "subnetwork" for path in step.outputs}
    for place, suffix in {(path.parent, path.suffix) for path in made}:
        unused = place / "unused"
        for path in [path for path in place.glob(f"*-*{suffix}") if path not in made]:
            unused.mkdir(exist_ok=True)
            path.replace(unused / path.name)
        for path in unused.glob(f"*-*{suffix}"):
            if place / path.name in made and not (place / path.name).exists():
                path.replace(place / path.name)


def inputs_of(steps: Sequence[Step], folder: Path) -> dict[str, list[str]]:
    """Returns the inputs of each step for the engine: files with the marks of those that made them; none of a done step.

    Else the engine would make a model again for results that are there, only because it is gone.
    """
    found, marks, asked = keys(steps), marks_by_output(steps), asked_for(steps, folder)
    done = {step.name for step in steps if is_done(step, found[step.name], folder, asked=asked)}
    return {step.name: [] if step.name in done else with_marks(step.inputs, marks) for step in steps}


def marks_by_output(steps: Sequence[Step]) -> dict[str, str]:
    """Returns the mark of the step that makes each file."""
    found = keys(steps)
    return {path: step.mark(found[step.name]) for step in steps for path in step.outputs}


def with_marks(paths: Sequence[str], marks: Mapping[str, str]) -> list[str]:
    """Returns the paths, and the marks of the steps that make them."""
    return list(dict.fromkeys([*paths, *(marks[path] for path in paths if path in marks)]))
