"""How `adapt` comes to know what to expect, and to choose: cross-validation with a bar, a limit, and a folder to go on from."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sublingual.adapt_page import Row
from sublingual.cli.common import counting, say
from sublingual.data.conllu import Sentence
from sublingual.data.textfiles import Text
from sublingual.errors import DataError
from sublingual.estimate import Calibration, Estimate, HeldOut, estimate

if TYPE_CHECKING:
    from sublingual.candidates import Setting
    from sublingual.crossvalidation import Runs, Validated
    from sublingual.journal import Journal

# Modules that need torch are imported inside the functions: `--help` answers at once.

ESTIMATE_MINUTES, AUTO_MINUTES = 3.0, 10.0
_FOLDS = "folds.json"


@dataclass(frozen=True)
class Plan:
    """How to adapt, and what is known of it: nothing without cross-validation. `said` are lines for the user."""

    setting: Setting
    steps: int
    estimate: Estimate | None = None
    validated: Validated | None = None
    said: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()

    @property
    def held_out(self) -> Mapping[int, HeldOut]:
        """The support sentences as parsed without having been seen, by their place."""
        return self.validated.parsed if self.validated else {}

    def scores(self) -> dict[str, Any]:
        """Returns what the card says."""
        if self.estimate is None:
            return {}
        e = self.estimate
        interval = f"95 % interval {e.low:.1f} to {e.high:.1f}, from cross-validation"
        return {
            "LAS to expect on sentences like its own": f"{e.las:.1f} ({interval})",
            "LAS without adaptation on its own": f"{e.zero_shot:.1f}",
        }

    def settings(self) -> dict[str, Any]:
        """Returns what the manifest says."""
        if self.estimate is None or self.validated is None:
            return {}
        v = self.validated
        done = {"folds": v.n_folds, "done": v.n_done, "planned": v.n_planned, "seconds": round(v.seconds, 1)}
        tried = [asdict(row) for row in self.rows]
        return {"estimate": {**asdict(self.estimate), **done, "calibration": asdict(Calibration()), "tried": tried}}


def work_folder(out: Path) -> Path:
    """Returns where finished runs of `adapt ... OUT` are kept until it is done."""
    return out.with_name(out.name + ".adapt")


def forget(folder: Path) -> None:
    """Removes the work folder, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)


def planned(
    ways: Sequence[Setting],
    sentences: Sequence[Sentence],
    text: Text,
    *,
    seed: int,
    minutes: float | None,
    folder: Path,
) -> Plan:
    """Returns the first of the ways, or with several the one that suits the sentences best, and what to expect of it."""
    from sublingual.candidates import readied
    from sublingual.crossvalidation import Runs, planned_folds

    limit = minutes if minutes is not None else ESTIMATE_MINUTES if _is_plain(ways) else AUTO_MINUTES
    with _journal(folder, ways, text, seed) as journal:
        runs = Runs(sentences, seed, 60 * limit, journal)
        try:
            planned_folds(runs)
        except DataError as fault:
            return Plan(ways[0], ways[0].steps[0], said=(f"no estimate: {fault}",))
        ready = [readied(way, sentences) for way in ways]
        plan = _estimated(ready[0], runs, limit) if _is_plain(ways) else _chosen(ready, runs, limit)
    own = next(way for way, same in zip(ways, ready, strict=True) if same is plan.setting)
    return replace(plan, setting=own)


def _is_plain(ways: Sequence[Setting]) -> bool:
    """Whether there is nothing to choose."""
    return len(ways) == 1 and len(ways[0].steps) == 1


@contextmanager
def _journal(folder: Path, ways: Sequence[Setting], text: Text, seed: int) -> Iterator[Journal]:
    """The finished runs of this very work: the same sentences, parsers, settings, seed and versions."""
    from sublingual.journal import Journal
    from sublingual.runtime import machine, versions
    from sublingual.training.runs import only_run_in

    digest = hashlib.sha256(text.text.encode()).hexdigest()
    purpose = {"text": digest, "seed": seed, "ways": [way.as_dict() for way in ways], **versions(), **machine()}
    with only_run_in(folder):
        journal = Journal(folder / _FOLDS, purpose=purpose)
        if len(journal):
            say(f"going on from {_runs(journal)} of cross-validation that ended before ({folder})")
        try:
            yield journal
        except KeyboardInterrupt:
            say(f"stopped; the same command goes on from {_runs(journal)} in {folder}")
            raise


def _runs(journal: Journal) -> str:
    return "1 run" if len(journal) == 1 else f"{len(journal)} runs"


def _estimated(way: Setting, runs: Runs, limit: float) -> Plan:
    from sublingual.crossvalidation import cross_validate, planned_folds

    n_steps = len(planned_folds(runs)) * max(way.steps)
    with counting("cross-validating", n_steps, limit=60 * limit) as runs.progress:
        validated = cross_validate(way, runs)
    if validated is None:
        return Plan(way, way.steps[0], said=(_too_slow(limit),))
    expected = estimate(validated.sample, n=len(runs.sentences))
    said = _expected(expected, validated, len(runs.sentences), limit)
    return Plan(way, way.steps[0], expected, validated, said)


def _chosen(ways: Sequence[Setting], runs: Runs, limit: float) -> Plan:
    from sublingual.crossvalidation import chosen, n_nested_runs

    n_steps = sum(max(way.steps) for way in ways) * n_nested_runs(runs)
    with counting("cross-validating", n_steps, limit=60 * limit) as runs.progress:
        choice = chosen(ways, runs)
    if choice is None:
        return Plan(ways[0], ways[0].steps[0], said=(f"nothing was chosen, and {_too_slow(limit)}",))
    option, default = choice.chosen, choice.options[0]
    expected = estimate(choice.validated.sample, n=len(runs.sentences))
    said = [*_expected(expected, choice.validated, len(runs.sentences), limit, nested=len(choice.options) > 1)]
    said.append(
        f"chosen out of {len(choice.options)}: {option.name} (LAS {option.las:.1f} in cross-validation; the default "
        f"{default.las:.1f})"
        if option is not default
        else f"of {len(choice.options)} ways to adapt none was better than the default by more than a standard error: "
        f"{option.name}"
    )
    if choice.n_left_out:
        said.append(f"{choice.n_left_out} of {len(ways)} settings were not tried: {limit:g} minutes were up")
    rows = tuple(Row(each.name, each.las, each is option) for each in choice.options)
    return Plan(option.setting, option.steps, expected, choice.validated, tuple(said), rows)


def _too_slow(limit: float) -> str:
    return f"no estimate: fewer than two folds were done in {limit:g} minutes (--minutes allows more)"


def _expected(e: Estimate, v: Validated, n: int, limit: float, *, nested: bool = False) -> tuple[str, ...]:
    """The estimate in a line, and in another what was cut, corrected, or is not as hoped."""
    seeds = f"{v.n_repetitions} seed{'s' if v.n_repetitions > 1 else ''}"
    how = f"{'nested ' if nested else ''}{v.n_folds}-fold on your {n} sentences, {seeds}"
    said = [
        f"expected LAS {e.las:.0f} +- {e.margin:.0f} (95 %, {how}); without your sentences {e.zero_shot:.0f}",
    ]
    if v.n_done < v.n_planned:
        said.append(
            f"the machine is slow: {v.n_done} of {v.n_planned} folds were done in {limit:g} minutes, over these it is"
        )
    n_train = float(v.sample.n_train.mean())
    said.append(
        f"of that {e.las - e.raw:+.1f} for adapting to all {n} sentences instead of {n_train:.0f}, as the folds did"
    )
    if e.raw <= e.zero_shot:
        said.append("your sentences did not help in cross-validation: the parser without them may be as good")
    return tuple(said)
