"""The steps that train: stage 1, the pooled baseline, subnetworks, the systems of stage 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path

from sublingual.data.catalogue import entry_of
from sublingual.data.treebanks import Split, count, find, treebanks
from sublingual.errors import ConfigError, DataError
from sublingual.languages import resolve
from sublingual.study.config import Kind, Loop, Study
from sublingual.study.keys import Step
from sublingual.subnetworks.systems import is_known

SUFFIXES: dict[Kind, str] = {"heads": ".json", "weights": ".safetensors"}


class Training:
    """Makes the steps that end in a trained system. What several systems need is made again for each: equal steps are one."""

    def __init__(self, study: Study, ud: Path | None) -> None:
        self.study, self.ud = study, ud
        self.threads = ("--threads", str(study.threads))
        self.files = cache(self._files)  # which looks into folders
        self.row = cache(study.row)
        self.encoder_files = _folder(study.encoder)
        self.subnetworks = cache(self._subnetworks)
        self.system = cache(self._system)

    def stage1(self, seed: int) -> Step:
        c = self.study.stage1
        command = ("train", f"models/stage1-{seed}", *c.treebanks, "--encoder", self.study.encoder)
        return Step(
            f"stage1-{seed}",
            "stage1",
            (*command, *c.said(), "--seed", str(seed), *self.threads),
            self.files(c.treebanks, "train", "dev"),
            (f"models/stage1-{seed}",),
            c.refers() + self.encoder_files,
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
            (*command, "--encoder", self.study.encoder, *c.said(), "--seed", str(seed), *self.threads),
            (*self.files(banks, "train"), *self.files(held_out, "dev")),
            (f"models/{name}-{seed}",),
            c.refers() + self.encoder_files,
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
        said = (*chosen.said(), *(("--set", f"finetune.steps={self.epochs(treebank)}") if c.epochs else ()))
        folder = f"subnetworks/{kind}"
        return Step(
            f"{kind}-{code}-{seed}",
            "subnetwork",
            ("subnetwork", "find", folder, treebank, "--seed", str(seed), *start, *of_kind, *said, *self.threads),
            (*(["models/stage1-0"] if c.start == "stage1" else []), *self.files((treebank,), "train", "dev")),
            (f"{folder}/{code}-{seed}{SUFFIXES[kind]}",),
            chosen.refers() + ("" if c.start == "stage1" else self.encoder_files),
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
        said, inputs = loop.said(), tuple[str, ...]()
        if chosen is not None:
            said, inputs = ("--config", f"choices/{chosen}.json"), (f"choices/{chosen}.json",)
        said = (*said, *self.compared(name))
        return (*before, self.stage2(name, f"{name}-{seed}", seed, said, inputs, loop.refers()))

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

    def choice_of(self, name: str) -> str | None:
        """The choice that counts for a system: the longest name that the system's begins with."""
        return max((choice for choice in self.study.choices if name.startswith(choice)), key=len, default=None)

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


def _folder(encoder: str) -> str:
    """The files of an encoder that is a folder, names and sizes; nothing for one by name."""
    files = sorted(path for path in Path(encoder).rglob("*") if path.is_file()) if Path(encoder).is_absolute() else []
    return "".join(f"\n{path.relative_to(encoder)} {path.stat().st_size}" for path in files)
