"""The study as a list of steps: each one call of the command line, from files to files; the engine does the rest.

stage 1 -> subnetworks -> (choice of rates ->) systems -> tests, which give records -> tables and report
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import cache
from itertools import groupby
from pathlib import Path

from sublingual.config import presets, values_of
from sublingual.data.catalogue import entry_of, transferred_from
from sublingual.data.treebanks import Split, count, find, treebanks
from sublingual.errors import ConfigError, DataError
from sublingual.languages import resolve
from sublingual.study.config import Choice, Group, Kind, Loop, Settings, Study
from sublingual.study.keys import RESULTS, Step
from sublingual.study.reporting import reporting
from sublingual.subnetworks.systems import is_known

SUFFIXES: dict[Kind, str] = {"heads": ".json", "weights": ".safetensors"}
FACTS = "facts.jsonl"
OTHERS = "others"


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
    """Makes the steps. What several of them need is made again by each: equal steps are one."""

    def __init__(self, study: Study, ud: Path | None) -> None:
        self.study, self.ud = study, ud
        self.threads = ("--threads", str(study.threads))
        self.files = cache(self._files)  # which looks into folders
        self.row = cache(study.row)
        self.encoder_files = _folder(study.encoder)
        self.subnetworks = cache(self._subnetworks)
        self.system = cache(self._system)
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
        return tuple(step for run in runs for step in (*self.system(*run), *self.tests(group, *run)))

    def seeds(self, group: Group) -> range:
        return range(group.seeds or self.study.seeds)

    # Training.

    def stage1(self, seed: int) -> Step:
        c = self.study.stage1
        command = ("train", f"models/stage1-{seed}", *c.treebanks, "--encoder", self.study.encoder)
        return Step(
            f"stage1-{seed}",
            "stage1",
            (*command, *_said(c), "--seed", str(seed), *self.threads),
            self.files(c.treebanks, "train", "dev"),
            (f"models/stage1-{seed}",),
            _preset(c) + self.encoder_files,
            self.study.cost.start + self.study.cost.stage1,
            work=f"models/stage1-{seed}.run",
        )

    def pooled(self, name: str, seed: int) -> Step:
        """UDify's way: one parser for all treebanks, in one training. It is scored as it learns where stage 1 is."""
        c, banks = self.study.pooled, self.pooled_treebanks()
        held_out = self.study.stage1.treebanks
        command = ("train", f"models/{name}-{seed}", *banks, *(word for bank in held_out for word in ("--dev", bank)))
        return Step(
            f"{name}-{seed}",
            "system",
            (*command, "--encoder", self.study.encoder, *_said(c), "--seed", str(seed), *self.threads),
            (*self.files(banks, "train"), *self.files(held_out, "dev")),
            (f"models/{name}-{seed}",),
            _preset(c) + self.encoder_files,
            self.study.cost.start + self.study.cost.pooled,
            work=f"models/{name}-{seed}.run",
        )

    def pooled_treebanks(self) -> tuple[str, ...]:
        """Those of the settings, or all of the release that can be trained on; without a release the study's own."""
        if self.study.pooled.treebanks:
            return self.study.pooled.treebanks
        if self.ud is None:
            return (*self.study.stage1.treebanks, *self.study.training_treebanks())
        return tuple(each.name for each in treebanks(self.ud) if each.files("train"))

    def _subnetworks(self, kind: Kind) -> tuple[Step, ...]:
        banks, seeds = self.study.training_treebanks(), range(self.study.finding.seeds)
        codes: dict[str, str] = {}
        for bank in banks:
            if (other := codes.setdefault(resolve(bank).code, bank)) != bank:
                raise ConfigError(
                    f"languages: {other} and {bank} are of one language; a study has one treebank of each"
                )
        return tuple(self.subnetwork(treebank, kind, seed) for treebank in banks for seed in seeds)

    def subnetwork(self, treebank: str, kind: Kind, seed: int) -> Step:
        c, code = self.study.finding, resolve(treebank).code
        start = ("--model", "models/stage1-0") if c.start == "stage1" else ("--encoder", self.study.encoder)
        chosen = c.heads if kind == "heads" else c.weights
        of_kind = () if kind == "heads" else ("--kind", kind)
        said = (*_said(chosen), *(("--set", f"finetune.steps={self.epochs(treebank)}") if c.epochs else ()))
        folder = f"subnetworks/{kind}"
        return Step(
            f"{kind}-{code}-{seed}",
            "subnetwork",
            ("subnetwork", "find", folder, treebank, "--seed", str(seed), *start, *of_kind, *said, *self.threads),
            (*(["models/stage1-0"] if c.start == "stage1" else []), *self.files((treebank,), "train", "dev")),
            (f"{folder}/{code}-{seed}{SUFFIXES[kind]}",),
            _preset(chosen) + ("" if c.start == "stage1" else self.encoder_files),
            self.study.cost.start + (self.study.cost.heads if kind == "heads" else self.study.cost.weights),
            work=f"{folder}/{code}-{seed}.run",
        )

    def epochs(self, treebank: str) -> int:
        """The steps of so many epochs: of the sentences that the paper prints, or else of those that are there."""
        entry = entry_of(treebank)
        printed = None if entry is None else entry.printed_sizes
        n = printed[0] if printed else sum(count(Path(path)).sentences for path in self.files((treebank,), "train"))
        return self.study.finding.epochs * -(-n // 20)

    def _system(self, name: str, seed: int) -> tuple[Step, ...]:
        """What one trained system needs, and the system last."""
        if self.row(name).loop == "none" and name != "stage1":
            return (self.pooled(name, seed),)
        before = tuple(self.before(name, seed))
        if name == "stage1":
            return before
        chosen, loop = self.choice_of(name), self.loop(name)
        said, inputs = _said(loop), tuple[str, ...]()
        if chosen is not None:
            said, inputs = ("--config", f"choices/{chosen}.json"), (f"choices/{chosen}.json",)
        said = (*said, *self.compared(name))
        return (*before, self.stage2(name, f"{name}-{seed}", seed, said, inputs, _preset(loop)))

    def before(self, name: str, seed: int) -> Iterator[Step]:
        """Stage 1, and the subnetworks that the system needs."""
        yield self.stage1(seed)
        if (kind := self.row(name).made_from) is not None:
            if self.study.finding.start == "stage1":
                yield self.stage1(0)
            yield from self.subnetworks(kind)

    def stage2(
        self, name: str, model: str, seed: int, said: tuple[str, ...], inputs: tuple[str, ...], preset: str
    ) -> Step:
        row, banks = self.row(name), self.study.training_treebanks()
        command = "meta" if row.loop == "meta" else "joint"
        found, made = self.found(name)
        gates = name.partition("-")[2]
        start, out = f"models/stage1-{seed}", f"models/{model}"
        seconds = self.study.cost.meta if row.loop == "meta" else self.study.cost.joint
        return Step(
            model,
            "system",
            (command, start, out, *banks, "--gates", gates, *found, *said, "--seed", str(seed), *self.threads),
            (
                start,
                *made,
                *inputs,
                *self.files(banks, "train"),
            ),
            (out, *([f"{out}.run/conflicts.json"] if "--conflicts" in said else [])),
            f"{asdict(row)}\n{preset}",
            self.study.cost.start + seconds,
            work=f"{out}.run",
        )

    def found(self, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The words for what a system is made from, its row and the folder of its subnetworks, and their files."""
        kind, own = self.row(name).made_from, () if is_known(name) else ("--systems", self.study.systems)
        if kind is None:
            return own, ()
        made = tuple(step.outputs[0] for step in self.subnetworks(kind))
        return (*own, "--subnetworks", f"subnetworks/{kind}"), made

    def loop(self, name: str) -> Loop:
        return self.study.meta if self.row(name).loop == "meta" else self.study.joint

    def compared(self, name: str) -> tuple[str, ...]:
        """The six systems of Table 1 are those of Table 5."""
        six = any(name == f"{loop}-{gates}" for loop in ("nonep", "meta") for gates in ("full", "static", "dynamic"))
        return ("--conflicts", str(self.study.conflicts)) if six and self.study.conflicts else ()

    # Choosing rates (appendix A).

    def choice_of(self, name: str) -> str | None:
        """The choice that counts for a system: the longest name that the system's begins with."""
        return max((choice for choice in self.study.choices if name.startswith(choice)), key=len, default=None)

    def choice(self, name: str) -> Iterator[Step]:
        choice = self.study.choices[name]
        if choice.after is not None:
            yield from self.choice(choice.after)
        yield from self.before(choice.trains, 0)
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
        loop = self.loop(choice.trains)
        said, inputs = _said(loop), tuple[str, ...]()
        if choice.after is not None:
            said, inputs = ("--config", f"choices/{choice.after}.json"), (f"choices/{choice.after}.json",)
        said = (*said, *_named("--set", [f"{choice.rates}.{word}" for word in words]))
        model = f"point-{name}-{i}"
        yield self.stage2(choice.trains, model, 0, said, inputs, _preset(loop))
        adapt = (*loop.adapt, *(words if choice.adapts else ()))
        yield self.fewshot(model, self.study.validation_treebanks(), f"choices/{name}/{i}.jsonl", seed=0, adapt=adapt)

    # Testing.

    def tests(self, group: Group, name: str, seed: int) -> Iterator[Step]:
        model, has_loop = f"{name}-{seed}", self.row(name).loop != "none"
        said = () if has_loop or name == "stage1" else ("--system", name)  # else its card says its name
        made, refers = tuple[str, ...](), ""
        if group.gates is not None:
            start = f"nonep-{group.gates}"
            yield from self.before(start, seed)
            found, made = self.found(start)
            said, refers = (*said, "--gates", group.gates, *found), str(asdict(self.row(start)))
        if group.own:
            step = self.own(model, said, _ending(group))
            yield replace(step, inputs=(*step.inputs, *made), refers=refers)
        if not group.fewshot:
            return
        chosen = self.choice_of(name) if has_loop else None
        adapt = () if chosen or not has_loop else self.loop(name).adapt
        config = None if chosen is None else f"choices/{chosen}-adapt.json"
        for records, banks, n in self.divided(group, model):
            step = self.fewshot(model, banks, records, seed=seed, adapt=adapt, config=config, group=group, n=n)
            yield replace(step, command=(*step.command, *said), inputs=(*step.inputs, *made), refers=refers)

    def divided(self, group: Group, model: str) -> Iterator[tuple[str, tuple[str, ...], int]]:
        """The tests of a model in steps: the file of records, the treebanks, the size of the support.

        A step has the treebanks of one transfer language, as Table 2 groups them: short enough to be done again after a
        kill, long enough to be worth a start.
        """
        way = ("" if group.transfer == "nearest" else f"-{group.transfer}") + _ending(group)
        for n in group.sizes or (self.study.tests.n,):
            size = f"-{n}" if group.sizes else ""
            banks = sorted(group.treebanks or self.study.test_treebanks(), key=_from)
            for code, own in groupby(banks, key=_from):
                yield f"records/{model}/{code}{way}{size}.jsonl", tuple(own), n

    def fewshot(
        self,
        model: str,
        banks: tuple[str, ...],
        records: str,
        *,
        seed: int,
        adapt: tuple[str, ...] = (),
        config: str | None = None,
        group: Group | None = None,
        n: int | None = None,
    ) -> Step:
        c = self.study.tests
        n = n or c.n
        cap = () if c.cap is None else ("--cap", str(c.cap))
        sizes = group.sizes if group is not None else ()
        reserve = ("--reserve", str(max(sizes))) if len(sizes) > 1 else ()
        way = ("--transfer", group.transfer) if group is not None and group.transfer != "nearest" else ()
        size = ("-n", str(n), *reserve, "--seeds", str(c.supports), "--first-seed", str(seed * c.supports))
        words = _said(Settings(config, adapt))
        return Step(
            "test-" + "-".join(Path(records).with_suffix("").parts[1:]),
            "fewshot",
            ("fewshot", f"models/{model}", *banks, "--records", records, *size, *cap, *way, *words, *self.threads),
            (f"models/{model}", *([config] if config else []), *self.files(banks, "dev", "test")),
            (records,),
            seconds=self.study.cost.start + self.study.cost.test * len(banks) * c.supports,
        )

    def own(self, model: str, said: tuple[str, ...], ending: str) -> Step:
        """The training languages in their own subnetworks, not adapted (Table 4, Figure 3)."""
        banks, records = self.study.training_treebanks(), f"records/{model}/own{ending}.jsonl"
        cap = () if self.study.tests.cap is None else ("--cap", str(self.study.tests.cap))
        return Step(
            f"own-{model}{ending}",
            "own",
            ("test", f"models/{model}", *banks, "--records", records, *cap, *self.threads, *said),
            (f"models/{model}", *self.files(banks, "test")),
            (records,),
            seconds=self.study.cost.start + self.study.cost.own * len(banks),
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
            self.files(banks, "train", "dev", "test"),
            (FACTS,),
            seconds=c.cost.start + len(banks),
        )

    def _files(self, names: tuple[str, ...], *splits: Split) -> tuple[str, ...]:
        """The treebanks' files of these splits."""
        if self.ud is None:
            return ()
        try:
            return tuple(str(path) for name in names for split in splits for path in find(self.ud, name).files(split))
        except DataError as fault:
            raise DataError(
                f"{fault}; or name others: --set 'languages=[UD_..., ...]' for stage 2, --set 'tests.treebanks=[...]'"
            ) from fault


def _ending(group: Group) -> str:
    """What the files of a group's records end with where it is tested in other gates than its own."""
    return "" if group.gates is None else f"-{group.gates}"


def _said(settings: Settings) -> tuple[str, ...]:
    config = () if settings.config is None else ("--config", settings.config)
    return (*config, *_named("--set", settings.set))


def _named(option: str, values: Sequence[str]) -> tuple[str, ...]:
    """The words that give an option each of the values."""
    return tuple(word for value in values for word in (option, value))


def _preset(settings: Settings) -> str:
    """What the preset or file that settings name says, without its comments."""
    if settings.config is None:
        return ""
    path = Path(settings.config)
    if settings.config not in presets() and not (path.is_absolute() and path.is_file()):
        raise ConfigError(f"{settings.config}: neither a preset nor a file of settings with its whole path")
    return json.dumps(values_of(settings.config), sort_keys=True, default=str)


def _folder(encoder: str) -> str:
    """The files of an encoder that is a folder, names and sizes; nothing for one by name."""
    files = sorted(path for path in Path(encoder).rglob("*") if path.is_file()) if Path(encoder).is_absolute() else []
    return "".join(f"\n{path.relative_to(encoder)} {path.stat().st_size}" for path in files)


def _from(treebank: str) -> str:
    """The code of the language that the paper transfers to a treebank from; `others` for those that it does not use."""
    return transferred_from(treebank) or OTHERS
