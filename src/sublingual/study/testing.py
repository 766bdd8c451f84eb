"""The steps that test a trained system: few-shot on the test treebanks, and as it is on the training languages' own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path

from sublingual.data.catalogue import transferred_from
from sublingual.study.config import Group, Settings
from sublingual.study.keys import Step
from sublingual.study.training import Training

OTHERS = "others"


class Testing:
    """Makes the steps that give records; what is tested, and in which gates, comes from `training`."""

    def __init__(self, training: Training) -> None:
        self.training, self.study, self.threads = training, training.study, training.threads

    def tests(self, group: Group, name: str, seed: int) -> Iterator[Step]:
        model, has_loop = f"{name}-{seed}", self.training.row(name).loop != "none"
        said = () if has_loop or name == "stage1" else ("--system", name)  # else its card says its name
        made, refers = tuple[str, ...](), ""
        if group.gates is not None:
            start = f"nonep-{group.gates}"
            yield from self.training.before(start, seed)
            found, made = self.training.found(start)
            said, refers = (*said, "--gates", group.gates, *found), str(asdict(self.training.row(start)))
        if group.own:
            step = self.own(model, said, _ending(group))
            yield replace(step, inputs=(*step.inputs, *made), refers=refers)
        if not group.fewshot:
            return
        alike = name if has_loop else "nonep-full"  # what no loop has trained is adapted as what the joint loop has
        chosen = self.training.choice_of(alike)
        adapt = () if chosen else self.training.loop(alike).adapt
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
        words = Settings(config, adapt).said()
        return Step(
            "test-" + "-".join(Path(records).with_suffix("").parts[1:]),
            "fewshot",
            ("fewshot", f"models/{model}", *banks, "--records", records, *size, *cap, *way, *words, *self.threads),
            (f"models/{model}", *([config] if config else []), *self.training.files(banks, "dev", "test")),
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
            (f"models/{model}", *self.training.files(banks, "test")),
            (records,),
            seconds=self.study.cost.start + self.study.cost.own * len(banks),
        )


def _ending(group: Group) -> str:
    """What the files of a group's records end with where it is tested in other gates than its own."""
    return "" if group.gates is None else f"-{group.gates}"


def _from(treebank: str) -> str:
    """The code of the language that the paper transfers to a treebank from; `others` for those that it does not use."""
    return transferred_from(treebank) or OTHERS
