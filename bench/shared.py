"""What `adapt --shared` costs in LAS and saves in memory, against ordinary adaptation, both at their default rates.

    python bench/shared.py run MODEL_FOLDER --ud UD_FOLDER --records FILE.jsonl --models FOLDER [--seeds 2] [--scored 100]
    python bench/shared.py memory FOLDER --way shared --records FILE.jsonl
    python bench/shared.py report FILE.jsonl

`run`: for each of the paper's four validation languages and each seed, 20 sentences are drawn from dev and other dev sentences
are scored by the parser as it is, adapted whole (`full`) and but for the encoder's matrices (`shared`). Models of the first
seed are kept. `memory` loads those of one way (`full` or `shared`) one after the other, as a service does: the bytes of all
parameters, each counted once, and the resident memory of the process. One JSON line a measurement; what is in the file
already is not done again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from measuring import VALIDATION, Commands, append, read

from sublingual.adaptation import SHARED, AdaptConfig, adapt
from sublingual.data.conllu import Sentence
from sublingual.data.treebanks import find
from sublingual.parsing import Parser
from sublingual.scoring import score
from sublingual.service.offers import offers
from sublingual.service.shelf import Shelf

WAYS = {"full": AdaptConfig(), "shared": AdaptConfig(**SHARED)}


def drawn(dev: Sequence[Sentence], *, seed: int, scored: int) -> tuple[list[Sentence], list[Sentence]]:
    """Twenty sentences to adapt with, and others to score; none of these has the words of one of those."""
    order = np.random.default_rng(seed).permutation(len(dev)).tolist()
    support = [dev[i] for i in order[:20]]
    words = {s.words for s in support}
    return support, [dev[i] for i in order[20:] if dev[i].words not in words][:scored]


def run(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    parser = Parser.from_pretrained(options.model)
    done = {(r["treebank"], r["seed"], r["way"]) for r in read(options.records) if "treebank" in r}
    for seed in range(options.seeds):
        for name in VALIDATION:
            support, rest = drawn(find(options.ud, name).sentences("dev"), seed=seed, scored=options.scored)
            for way in ("zero-shot", *WAYS):
                if (name, seed, way) in done:
                    continue
                began = time.process_time()
                own = adapt(parser, support, config=WAYS[way], seed=seed).parser if way in WAYS else parser
                seconds = time.process_time() - began
                if own is not parser and seed == 0:
                    own.save_pretrained(options.models / way / name)
                las = score(rest, own.parse(rest)).las.f1
                found = {"treebank": name, "seed": seed, "way": way, "las": round(las, 3), "scored": len(rest)}
                found["cpu_seconds"] = round(seconds, 1)
                append(options.records, found)
                print(*found.values(), flush=True)


def memory(options: argparse.Namespace) -> None:
    shelf = Shelf(keep=99)
    offered = offers([str(folder) for folder in sorted((options.models / options.way).iterdir())])
    for n, offer in enumerate(offered.models, 1):
        shelf.parser(offer)
        found = {"way": options.way, "models": n, "parameters_mb": round(shelf.n_bytes() / 1e6, 1)}
        found["resident_mb"] = resident()
        append(options.records, found)
        print(*found.values(), flush=True)


def resident() -> int:
    """The resident memory of this process in MB (Linux)."""
    (line,) = (x for x in Path("/proc/self/status").read_text(encoding="utf-8").splitlines() if x.startswith("VmRSS"))
    return round(int(line.split()[1]) * 1024 / 1e6)


def report(options: argparse.Namespace) -> None:
    records = read(options.records)
    las = {(r["treebank"], r["seed"], r["way"]): r["las"] for r in records if "treebank" in r}
    seeds = sorted({seed for _, seed, _ in las})
    ways = ("zero-shot", *WAYS)
    print("treebank", *ways, "shared - full, each support", sep="\t")
    leads = []
    for name in VALIDATION:
        own = [las[name, seed, "shared"] - las[name, seed, "full"] for seed in seeds]
        leads += own
        means = [np.mean([las[name, seed, way] for seed in seeds]) for way in ways]
        print(name, *(f"{mean:.1f}" for mean in means), ", ".join(f"{lead:+.1f}" for lead in own), sep="\t")
    error = np.std(leads, ddof=1) / len(leads) ** 0.5
    means = [np.mean([value for (_, _, other), value in las.items() if other == way]) for way in ways]
    print(
        "mean",
        *(f"{mean:.1f}" for mean in means),
        f"{np.mean(leads):+.2f} (se {error:.2f}, n = {len(leads)})",
        sep="\t",
    )
    print("\nway\tmodels\tparameters, MB\tresident, MB")
    for r in records:
        if "models" in r:
            print(r["way"], r["models"], r["parameters_mb"], r["resident_mb"], sep="\t")


def main() -> None:
    commands = Commands.of(__doc__, run=run, report=report)
    commands.run.add_argument("--models", type=Path, required=True)
    commands.run.add_argument("--seeds", type=int, default=2)
    commands.run.add_argument("--scored", type=int, default=100)
    to_weigh = commands.all.add_parser("memory")
    to_weigh.add_argument("models", type=Path)
    to_weigh.add_argument("--way", choices=tuple(WAYS), required=True)
    to_weigh.add_argument("--records", type=Path, required=True)
    to_weigh.set_defaults(command=memory)
    commands.call()


if __name__ == "__main__":
    main()
