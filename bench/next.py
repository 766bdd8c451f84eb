"""Does `sublingual next` choose better than chance? Learning curves on real treebanks, at equal sentences and at equal words.

    python bench/next.py run MODEL_FOLDER --ud UD_FOLDER --records FILE.jsonl [--treebanks UD_Welsh-CCG ...] [--seeds 2]
        [--batches 3] [--by sentences words] [--pool 250] [--scored 200]
    python bench/next.py report FILE.jsonl

A pool and sentences to score are drawn from a treebank (the pool from dev where there is one, else both from test); no sentence
with the words of a scored one, but for case and digits, is in the pool. Each way chooses a batch from what is left of the pool,
by the parser adapted to all batches before (the first by the parser as it is); then the parser is adapted anew to all that was
chosen and scored.
Batches are 20 sentences (`sentences`), or as many as have the words of 20 average ones (`words`). Ways: `next`; `random`;
`longest`, the longest sentences first within the same limit of length; by words also `doubt`, next without its diversity.
One JSON line a way, treebank, seed and measure; what is in the file already is not done again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import Commands, append, read

from sublingual.adaptation import adapt, config_for
from sublingual.confidence import confident
from sublingual.data.conllu import Sentence
from sublingual.data.treebanks import find
from sublingual.parsing import Parser
from sublingual.scoring import score
from sublingual.selection import Wish, key_of, select

TREEBANKS = ("UD_Welsh-CCG", "UD_Wolof-WTB", "UD_Vietnamese-VTB", "UD_Kurmanji-MG", "UD_North_Sami-Giella")
BATCH = 20
Way = Callable[[Parser, Sequence[Sentence], Sequence[Sentence], Wish, np.random.Generator], list[int]]


def by_next(
    parser: Parser, pool: Sequence[Sentence], known: Sequence[Sentence], wish: Wish, rng: np.random.Generator
) -> list[int]:
    return [one.place for one in select(confident(parser, pool), wish, annotated=known)[0]]


def by_doubt(
    parser: Parser, pool: Sequence[Sentence], known: Sequence[Sentence], wish: Wish, rng: np.random.Generator
) -> list[int]:
    found = confident(parser, pool)
    worth = [float(np.sum(1 - one.words)) for one in found]
    if wish.n_words is not None:
        worth = [each / len(one.sentence.words) for each, one in zip(worth, found, strict=True)]
    return first(sorted(range(len(pool)), key=lambda i: -worth[i]), pool, wish)


def by_chance(
    parser: Parser, pool: Sequence[Sentence], known: Sequence[Sentence], wish: Wish, rng: np.random.Generator
) -> list[int]:
    return first(rng.permutation(len(pool)).tolist(), pool, wish)


def by_length(
    parser: Parser, pool: Sequence[Sentence], known: Sequence[Sentence], wish: Wish, rng: np.random.Generator
) -> list[int]:
    return first(sorted(range(len(pool)), key=lambda i: -len(pool[i].words)), pool, wish)


def first(order: Sequence[int], pool: Sequence[Sentence], wish: Wish) -> list[int]:
    """The first of the order that may be chosen, up to the wish's number of sentences or words."""
    found: list[int] = []
    n_words = 0
    for i in order:
        if len(found) == wish.n if wish.n_words is None else n_words >= wish.n_words:
            break
        if wish.min_words <= len(pool[i].words) <= wish.max_words:
            found.append(i)
            n_words += len(pool[i].words)
    return found


WAYS: dict[str, Way] = {"next": by_next, "random": by_chance, "longest": by_length, "doubt": by_doubt}


def drawn(name: str, seed: int, *, ud: Path, n_pool: int, n_scored: int) -> tuple[list[Sentence], list[Sentence]]:
    """A pool of different sentences, and the sentences to score, which are not in it."""
    treebank = find(ud, name)
    rng = np.random.default_rng([seed, 7])
    test = treebank.sentences("test")
    order = rng.permutation(len(test)).tolist()
    scored = [test[i] for i in order[:n_scored]]
    if treebank.files("dev"):
        dev = treebank.sentences("dev")
        rest = [dev[i] for i in rng.permutation(len(dev)).tolist()]
    else:
        rest = [test[i] for i in order[n_scored:]]
    taken = {key_of(s) for s in scored}
    pool: dict[tuple[str, ...], Sentence] = {}
    for sentence in rest:
        if key_of(sentence) not in taken:
            pool.setdefault(key_of(sentence), sentence)
    assert taken.isdisjoint(pool)
    return list(pool.values())[:n_pool], scored


def curve(
    parser: Parser,
    way: Way,
    pool: Sequence[Sentence],
    scored: Sequence[Sentence],
    *,
    measure: str,
    batches: int,
    seed: int,
) -> list[dict[str, Any]]:
    """LAS after each batch, with the sentences and words that were annotated until then."""
    rng = np.random.default_rng([seed, 11])
    own = [s for s in pool if Wish.min_words <= len(s.words) <= Wish.max_words]
    n_words = round(BATCH * float(np.mean([len(s.words) for s in own])))
    current, left, known = parser, list(pool), []
    points = []
    for k in range(1, batches + 1):
        so_far = sum(len(s.words) for s in known)
        wish = Wish(n=BATCH) if measure == "sentences" else Wish(n_words=max(1, k * n_words - so_far))
        taken = way(current, left, known, wish, rng)
        known += [left[i] for i in taken]
        left = [s for i, s in enumerate(left) if i not in set(taken)]
        current = adapt(parser, known, config=config_for(parser), seed=seed).parser
        las = score(scored, current.parse(scored)).las.f1
        points.append({"sentences": len(known), "words": sum(len(s.words) for s in known), "las": round(las, 3)})
    return points


def run(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    parser = Parser.from_pretrained(options.model)
    done = {tuple(r[key] for key in ("treebank", "seed", "measure", "way")) for r in read(options.records)}
    for seed in range(options.seeds):
        for name in options.treebanks:
            pool, scored = drawn(name, seed, ud=options.ud, n_pool=options.pool, n_scored=options.scored)
            for measure in options.by:
                for way in options.ways:
                    if (name, seed, measure, way) in done:
                        continue
                    began = time.process_time()
                    points = curve(parser, WAYS[way], pool, scored, measure=measure, batches=options.batches, seed=seed)
                    found = {"treebank": name, "seed": seed, "measure": measure, "way": way, "points": points}
                    found |= {"pool": len(pool), "scored": len(scored)}
                    found["cpu_seconds"] = round(time.process_time() - began, 1)
                    append(options.records, found)
                    print(name, seed, measure, way, [p["las"] for p in points], found["cpu_seconds"], flush=True)


def report(options: argparse.Namespace) -> None:
    records = read(options.records)
    for measure in dict.fromkeys(r["measure"] for r in records):
        own = [r for r in records if r["measure"] == measure]
        points = {(r["way"], r["treebank"], r["seed"]): r["points"] for r in own}
        n = min(map(len, points.values()))
        print(f"\nat equal {measure}, on the treebanks x seeds that both have\n\tcases", end="")
        print("", *(f"batch {k + 1}" for k in range(n)), sep="\t")
        for other in dict.fromkeys(r["way"] for r in own):
            cases = [case for way, *case in points if way == other and ("next", *case) in points]
            if other == "next" or not cases:
                continue
            mine, its = (np.array([column(points[way, *case], n) for case in cases]) for way in ("next", other))
            for way, found in (("next", mine), (other, its)):
                cells = [f"{las:.2f} ({words:.0f} words)" for las, words in found.mean(axis=0)]
                print(way, len(cases), *cells, sep="\t")
            leads = (mine - its)[:, :, 0]
            errors = leads.std(axis=0, ddof=1) / len(leads) ** 0.5 if len(leads) > 1 else np.full(n, np.nan)
            cells = [
                f"{lead:+.2f} (se {error:.2f}, better in {won} of {len(leads)})"
                for lead, error, won in zip(leads.mean(axis=0), errors, (leads > 0).sum(axis=0), strict=True)
            ]
            print(f"next - {other}", len(cases), *cells, sep="\t")


def column(points: Sequence[dict[str, Any]], n: int) -> list[tuple[float, float]]:
    return [(p["las"], p["words"]) for p in points[:n]]


def main() -> None:
    commands = Commands.of(__doc__, run=run, report=report)
    commands.run.add_argument("--treebanks", nargs="*", default=list(TREEBANKS))
    commands.run.add_argument("--seeds", type=int, default=2)
    commands.run.add_argument("--batches", type=int, default=3)
    commands.run.add_argument("--by", nargs="*", choices=("sentences", "words"), default=["sentences", "words"])
    commands.run.add_argument("--ways", nargs="*", choices=tuple(WAYS), default=["next", "random", "longest"])
    commands.run.add_argument("--pool", type=int, default=250)
    commands.run.add_argument("--scored", type=int, default=200)
    commands.call()


if __name__ == "__main__":
    main()
