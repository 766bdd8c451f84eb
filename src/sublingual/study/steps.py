"""The study as a list of steps: each one call of the command line, from files to files; the engine does the rest.

stage 1 -> subnetworks -> (choice of rates ->) systems -> tests, which give records -> tables and report
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from sublingual.errors import ConfigError
from sublingual.study.config import Choice, Group, Study, named
from sublingual.study.keys import RESULTS, Step
from sublingual.study.reporting import reporting
from sublingual.study.testing import Testing
from sublingual.study.training import Training

FACTS = "facts.jsonl"


def steps(study: Study, *, ud: Path | None) -> list[Step]:
    """Returns the steps of a study, each after those that it needs.

    Without a release (`ud` is None: a plan on a machine that has none) no treebank's files are among the inputs. Raises
    ConfigError for an unknown system and for groups that test a system on different treebanks into one file, DataError for a
    treebank that the release lacks.
    """
    found: dict[str, Step] = {}
    for step in _Graph(study, ud).steps():
        if found.setdefault(step.name, step) != step:
            raise ConfigError(
                f"{', '.join(step.outputs)} would be made in two ways: groups that test one system in one way share its "
                "records; give them the same treebanks"
            )
    return list(found.values())


def targets(study: Study, names: Sequence[str]) -> list[str]:
    """Returns the records that these groups are for. Raises ConfigError for an unknown one, and where none is tested."""
    graph = _Graph(study, None)
    for name in names:
        if name not in study.groups:
            raise ConfigError(f"unknown group {name!r}; the study has {', '.join(study.groups)}")
    found = [step for name in names for step in graph.group(study.groups[name])]
    results = list(dict.fromkeys(path for step in found if step.kind in RESULTS for path in step.outputs))
    if names and not results:
        raise ConfigError(f"{', '.join(names)}: nothing is tested there (fewshot, own); run without --group")
    return results


class _Graph:
    """Puts the steps in order: choices of rates, the groups' systems and tests, what is told of the treebanks, tables."""

    def __init__(self, study: Study, ud: Path | None) -> None:
        self.study = study
        self.training = Training(study, ud)
        self.testing = Testing(self.training)
        self.group = cache(self._group)

    def steps(self) -> Iterator[Step]:
        choices = [step for name in self.study.choices for step in self.choice(name)]
        yield from choices
        groups = [self.group(group) for group in self.study.groups.values()]
        for group in groups:
            yield from group
        yield (facts := self.facts())
        yield from reporting(self.study, groups, facts=facts, choices=choices)

    def _group(self, group: Group) -> tuple[Step, ...]:
        runs = [(name, seed) for seed in self.seeds(group) for name in group.systems]
        return tuple(step for run in runs for step in (*self.training.system(*run), *self.testing.tests(group, *run)))

    def seeds(self, group: Group) -> range:
        return range(group.seeds or self.study.seeds)

    def choice(self, name: str) -> Iterator[Step]:
        """The points of a grid of rates, and the best of them (appendix A)."""
        choice = self.study.choices[name]
        if choice.after is not None:
            yield from self.choice(choice.after)
        yield from self.training.before(choice.trains, 0)
        records = []
        for i, point in enumerate(choice.points()):
            for step in self.point(name, choice, i, point):
                records += [path for path in step.outputs if path.endswith(".jsonl")]
                yield step
        out = (f"choices/{name}.json", f"choices/{name}-adapt.json")
        command = ("study", "choose", *records, "--training", out[0], "--adaptation", out[1])
        yield Step(f"choice-{name}", "choice", command, tuple(records), out)

    def point(self, name: str, choice: Choice, i: int, rates: tuple[float, float]) -> Iterator[Step]:
        """One point of the grid: a system with these two rates, tested on the validation treebanks."""
        words = [f"{part}_rate={rate!r}" for part, rate in zip(("encoder", "classifier"), rates, strict=True)]
        loop = self.training.loop(choice.trains)
        said, inputs = loop.said(), tuple[str, ...]()
        if choice.after is not None:
            said, inputs = ("--config", f"choices/{choice.after}.json"), (f"choices/{choice.after}.json",)
        said = (*said, *named("--set", [f"{choice.rates}.{word}" for word in words]))
        model = f"point-{name}-{i}"
        yield self.training.stage2(choice.trains, model, 0, said, inputs, loop.refers())
        adapt = (*loop.adapt, *(words if choice.adapts else ()))
        yield self.testing.fewshot(
            model, self.study.validation_treebanks(), f"choices/{name}/{i}.jsonl", seed=0, adapt=adapt
        )

    def facts(self) -> Step:
        """What tables and the page say of the treebanks: those to validate on are there where something is chosen on them."""
        c = self.study
        validation = c.validation_treebanks() if c.choices else ()
        banks = tuple(dict.fromkeys((*c.stage1.treebanks, *c.training_treebanks(), *validation, *c.test_treebanks())))
        return Step(
            "facts",
            "facts",
            ("data", "facts", FACTS, *banks, "--encoder", c.encoder),
            self.training.files(banks, "train", "dev", "test"),
            (FACTS,),
            seconds=c.cost.start + len(banks),
        )
