"""Is the LAS that `adapt` tells to expect the true one? Coverage and width of its interval on real treebanks.

    python bench/estimate.py run MODEL_FOLDER --ud UD_FOLDER --records FILE.jsonl [--seeds 2] [--repetitions 2]
        [--validation] [--tests UD_Faroese-OFT ...] [--scored 300]
    python bench/estimate.py report FILE.jsonl [--repetitions 1]

`run`: for each treebank and seed 20 support sentences are drawn as in few-shot testing (of the four validation languages from
dev, with other dev sentences to score), cross-validated, and the parser that is adapted to all of them is scored on the other
sentences: the truth. Of validation languages also parsers adapted to the first 10 and 16 of the 20 are scored. One JSON line
a treebank and seed; what is in the file already is not done again, and a run that was stopped goes on (FILE.jsonl.work).

`report`: fits `estimate.Calibration` to the validation languages alone; then, for them and for the tests, mean error, coverage
and width, against the baseline that says for any language the mean of the validation languages' true LAS, with the interval of
their spread (Student's t, four languages); what the parts do: no correction, no spread, words taken as independent. Lastly each
case by the package's constants and by the fitted ones; a star where the interval does not hold the truth.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import VALIDATION, Commands, append, read
from scipy.optimize import minimize_scalar
from scipy.stats import t as student

from sublingual.adaptation import adapt, config_for
from sublingual.candidates import Setting, identity, readied
from sublingual.crossvalidation import Runs, in_time, planned_folds
from sublingual.data.conllu import Sentence
from sublingual.data.support import draw_support
from sublingual.data.treebanks import find
from sublingual.estimate import Calibration, Sample, counted, estimate, ratio_variance, right_words
from sublingual.journal import Journal
from sublingual.parsing import Parser

TESTS = (
    "UD_Faroese-OFT",
    "UD_Welsh-CCG",
    "UD_Wolof-WTB",
    "UD_Tamil-TTB",
    "UD_Naija-NSC",
    "UD_Basque-BDT",
    "UD_Vietnamese-VTB",
    "UD_Kurmanji-MG",
    "UD_North_Sami-Giella",
    "UD_Bambara-CRB",
    "UD_Armenian-ArmTDP",
    "UD_Greek-GDT",
    "UD_Marathi-UFAL",
    "UD_Yoruba-YTB",
    "UD_Uyghur-UDT",
    "UD_Maltese-MUDT",
    "UD_Upper_Sorbian-UFAL",
    "UD_Indonesian-GSD",
    "UD_Chinese-HK",
    "UD_Irish-IDT",
)
CURVE = (10, 16)
N = 20


@dataclass(frozen=True)
class Case:
    """One support set and the sentences that tell the truth."""

    treebank: str
    seed: int
    role: str
    support: tuple[Sentence, ...]
    rest: tuple[Sentence, ...]


def case(name: str, seed: int, *, ud: Path, scored: int) -> Case:
    treebank = find(ud, name)
    if name in VALIDATION:
        dev = treebank.sentences("dev")
        order = np.random.default_rng(seed).permutation(len(dev)).tolist()
        support = tuple(dev[i] for i in order[:N])
        words = {s.words for s in support}
        rest = tuple(dev[i] for i in order[N : N + scored] if dev[i].words not in words)
        return Case(name, seed, "validation", support, rest)
    test = treebank.sentences("test")
    sample = sorted(np.random.default_rng([len(test), scored]).permutation(len(test))[:scored].tolist())
    drawn = draw_support(treebank, test, seed=seed, among=sample)
    return Case(name, seed, "test", drawn.support, tuple(test[i] for i in drawn.rest))


def counts(gold: Sequence[Sentence], parsed: Sequence[Sentence]) -> dict[str, Any]:
    right = [int(right_words(g, p.heads, p.labels).sum()) for g, p in zip(gold, parsed, strict=True)]
    return {"right": right, "words": [int(counted(g).sum()) for g in gold]}


def record(parser: Parser, one: Case, *, repetitions: int, journal: Path) -> dict[str, Any]:
    began = time.process_time()
    config = replace(config_for(parser), budget=1024)  # little memory; the default only packs more at once
    setting = readied(Setting("default", parser, config, steps=(config.steps,)), [*one.support, *one.rest])
    purpose = {"treebank": one.treebank, "seed": one.seed, "words": [s.words for s in one.support]}
    purpose |= {"rest": [s.words for s in one.rest], "parser": identity(parser)}
    kept = Journal(journal, purpose=purpose)
    runs = Runs(one.support, one.seed, math.inf, kept)
    held_out = [
        {"repetition": fold.repetition, "place": i, "n_train": ran.n_train}
        | {"right": int(right_words(one.support[i], p.heads, p.labels).sum())}
        for fold, ran in in_time(setting, runs, planned_folds(runs, repetitions=repetitions))
        for i, p in ran.parsed[config.steps].items()
    ]
    truth = {}
    for n in (*(CURVE if one.role == "validation" else ()), N):
        if kept.get(f"truth/{n}") is None:
            adapted = adapt(setting.parser, one.support[:n], config=config, seed=one.seed).parser
            kept.put(f"truth/{n}", counts(one.rest, adapted.parse(one.rest)))
        truth[str(n)] = kept.get(f"truth/{n}")
    return {
        "treebank": one.treebank,
        "seed": one.seed,
        "role": one.role,
        "n": len(one.support),
        "held_out": held_out,
        "zero_shot": counts(one.support, parser.parse(one.support)),
        "truth": {"0": counts(one.rest, parser.parse(one.rest)), **truth},
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def run(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    parser = Parser.from_pretrained(options.model)
    done = {(r["treebank"], r["seed"]) for r in read(options.records)}
    names = [*(VALIDATION if options.validation else ()), *options.tests]
    work = options.records.with_name(options.records.name + ".work")
    work.mkdir(exist_ok=True)
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for name in names:
            if (name, seed) in done:
                continue
            one = case(name, seed, ud=options.ud, scored=options.scored)
            found = record(parser, one, repetitions=options.repetitions, journal=work / f"{name}-{seed}.json")
            append(options.records, found)
            print(name, seed, f"{las(found['truth']['20']):.1f}", found["cpu_seconds"], flush=True)


def las(found: dict[str, Any]) -> float:
    return 100 * sum(found["right"]) / sum(found["words"])


def sample(found: dict[str, Any], *, repetitions: int) -> Sample:
    own = [h for h in found["held_out"] if h["repetition"] < repetitions]
    rows = []
    for i in sorted({h["place"] for h in own}):
        mine = [(h["right"], h["n_train"]) for h in own if h["place"] == i]
        rows.append((found["zero_shot"]["words"][i], found["zero_shot"]["right"][i], *np.mean(mine, axis=0)))
    return Sample(*np.array(rows, dtype=np.float64).T)


@dataclass(frozen=True)
class Outcome:
    """What was said and what was true, in LAS."""

    treebank: str
    said: float
    low: float
    high: float
    true: float

    @property
    def error(self) -> float:
        return self.said - self.true

    @property
    def is_covered(self) -> bool:
        return self.low <= self.true <= self.high


def outcomes(records: Sequence[dict[str, Any]], calibration: Calibration, *, repetitions: int) -> list[Outcome]:
    found = []
    for r in records:
        e = estimate(sample(r, repetitions=repetitions), n=r["n"], calibration=calibration)
        found.append(Outcome(r["treebank"], e.las, e.low, e.high, las(r["truth"]["20"])))
    return found


def fitted_curve(records: Sequence[dict[str, Any]]) -> float:
    """The scale of the curve, by the true gains at 10, 16 and 20 sentences; those over 20 weigh alike."""

    def loss(log_scale: float) -> float:
        curve, total = Calibration(curve=math.exp(log_scale)), 0.0
        for r in records:
            zero, full = las(r["truth"]["0"]), las(r["truth"]["20"])
            for n in CURVE:
                total += (zero + (full - zero) * curve.stretch(n, of=float(N)) - las(r["truth"][str(n)])) ** 2
        return total

    return round(math.exp(minimize_scalar(loss, bounds=(-4, 5), method="bounded").x), 2)


def fitted_spread(records: Sequence[dict[str, Any]], curve: float, *, repetitions: int) -> float:
    """By moments: the mean squared error less the variance of both samples of sentences, the support's and the truth's."""
    left = []
    for r, o in zip(records, outcomes(records, Calibration(curve, 0.0), repetitions=repetitions), strict=True):
        s, t = sample(r, repetitions=repetitions), r["truth"]["20"]
        own = ratio_variance(s.right, s.words) + ratio_variance(np.array(t["right"]), np.array(t["words"]))
        left.append(o.error**2 - 1e4 * own)
    return round(math.sqrt(max(0.0, float(np.mean(left)))), 2)


def baseline(records: Sequence[dict[str, Any]], dev: Sequence[dict[str, Any]]) -> Iterator[Outcome]:
    """For a validation language itself, the mean is of the other three."""
    for r in records:
        means = [
            float(np.mean([las(d["truth"]["20"]) for d in dev if d["treebank"] == name]))
            for name in dict.fromkeys(d["treebank"] for d in dev if d["treebank"] != r["treebank"])
        ]
        n = len(means)
        half = float(student.ppf(0.975, n - 1) * np.std(means, ddof=1) * math.sqrt(1 + 1 / n))
        yield Outcome(
            r["treebank"], float(np.mean(means)), np.mean(means) - half, np.mean(means) + half, las(r["truth"]["20"])
        )


def line(what: str, found: Sequence[Outcome]) -> None:
    errors = np.array([o.error for o in found])
    covered = sum(o.is_covered for o in found)
    width = np.mean([o.high - o.low for o in found])
    print(
        f"{what}\t{len(found)}\t{covered} ({100 * covered / len(found):.0f} %)\t{width:.1f}\t{errors.mean():+.2f}\t"
        f"{np.abs(errors).mean():.2f}\t{np.sqrt((errors**2).mean()):.2f}"
    )


def report(options: argparse.Namespace) -> None:
    records = read(options.records)
    dev = [r for r in records if r["role"] == "validation"]
    tests = [r for r in records if r["role"] == "test"]
    reps = options.repetitions
    curve = fitted_curve(dev)
    fitted = Calibration(curve, fitted_spread(dev, curve, repetitions=reps))
    print("fitted", fitted, "in the package", Calibration())
    for n in (*CURVE, N):
        gains = [las(r["truth"][str(n)]) - las(r["truth"]["0"]) for r in dev]
        full = [las(r["truth"]["20"]) - las(r["truth"]["0"]) for r in dev]
        print(f"gain at {n} sentences: {np.mean(gains):.2f}, {np.mean(gains) / np.mean(full):.3f} of that at 20")
    print("\nwhat\tcases\tcovered\twidth\tmean error\tmean |error|\tRMSE")
    for name, own in (("validation", dev), ("tests", tests)):
        if not own:
            continue
        line(f"{name}: fitted", outcomes(own, fitted, repetitions=reps))
        line(f"{name}: the package's", outcomes(own, Calibration(), repetitions=reps))
        line(f"{name}: no correction", outcomes(own, Calibration(1e-300, fitted.spread), repetitions=reps))
        line(f"{name}: no spread", outcomes(own, Calibration(curve, 0.0), repetitions=reps))
        line(f"{name}: words independent", list(naive(own, fitted, repetitions=reps)))
        line(f"{name}: baseline", list(baseline(own, dev)))
    print("\ntreebank\ttrue\tthe package's\tinterval\tfitted\tinterval\tzero-shot said\tzero-shot true")
    both = [outcomes(records, calibration, repetitions=reps) for calibration in (Calibration(), fitted)]
    for r, *said in zip(records, *both, strict=True):
        cells = [f"{o.said:.1f}\t{o.low:.1f} to {o.high:.1f}{'' if o.is_covered else ' *'}" for o in said]
        zero = [f"{las(found):.1f}" for found in (r["zero_shot"], r["truth"]["0"])]
        print(f"{r['treebank']} {r['seed']}", f"{said[0].true:.1f}", *cells, *zero, sep="\t")


def naive(records: Sequence[dict[str, Any]], calibration: Calibration, *, repetitions: int) -> Iterator[Outcome]:
    """Each word a draw of its own, as a binomial interval has it."""
    for r, o in zip(records, outcomes(records, calibration, repetitions=repetitions), strict=True):
        p, n = o.said / 100, sum(r["zero_shot"]["words"])
        half = 196 * math.sqrt(p * (1 - p) / n)
        yield Outcome(o.treebank, o.said, o.said - half, o.said + half, o.true)


def main() -> None:
    commands = Commands.of(__doc__, run=run, report=report)
    commands.run.add_argument("--seeds", type=int, default=2)
    commands.run.add_argument("--first-seed", type=int, default=0)
    commands.run.add_argument("--repetitions", type=int, default=2)
    commands.run.add_argument("--scored", type=int, default=300)
    commands.run.add_argument("--validation", action="store_true")
    commands.run.add_argument("--tests", nargs="*", default=list(TESTS))
    commands.report.add_argument("--repetitions", type=int, default=2)
    commands.call()


if __name__ == "__main__":
    main()
