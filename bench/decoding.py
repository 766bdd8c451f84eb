"""Microseconds per sentence of decoding, beside ufal.chu_liu_edmonds on the same scores.

    python bench/decoding.py [--seed 0] [--repeats 5]

`greedy` are scores whose greedy heads are a tree; `near` are log-probabilities around a tree, but only sentences whose
greedy heads are no single-root tree; `random` is noise, the worst case. `in batch` gives 32 sentences in one call. ufal
knows no single root: it is given the usual penalty on root arcs, and the last column says how often the scores agree.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float
from ufal.chu_liu_edmonds import chu_liu_edmonds

from sublingual.decoding import decode, decode_batch

BATCH = 32
Scores = Float[np.ndarray, "n n"]


def log_probabilities(energies: Scores) -> Scores:
    loose = energies.copy()
    np.fill_diagonal(loose, -1e3)
    return loose - np.logaddexp.reduce(loose, axis=1, keepdims=True)


def near_tree(generator: np.random.Generator, n_words: int, *, strength: float) -> Scores:
    """Return log-probabilities that prefer a random single-root tree by `strength` over unit noise."""
    order = generator.permutation(n_words) + 1
    energies = generator.normal(size=(n_words + 1, n_words + 1))
    energies[order[0], 0] += strength
    for place in range(1, n_words):
        energies[order[place], order[generator.integers(place)]] += strength
    return log_probabilities(energies)


def near_misses(generator: np.random.Generator, n_words: int, *, count: int) -> list[Scores]:
    """Return scores near a tree for which the greedy heads are not one."""
    kept: list[Scores] = []
    while len(kept) < count:
        arcs = near_tree(generator, n_words, strength=4.0)
        if decode_batch(arcs[None], np.array([n_words])).n_spanning:
            kept.append(arcs)
    return kept


def ufal_heads(arcs: Scores) -> list[int]:
    penalised = arcs.copy()
    penalised[:, 0] -= len(arcs) * (arcs.max() - arcs.min()) + 1
    heads: list[int] = chu_liu_edmonds(penalised)[0][1:]
    return heads


def each(work: Callable[[Scores], object], sentences: list[Scores]) -> None:
    for arcs in sentences:
        work(arcs)


def microseconds(work: Callable[[], object], *, repeats: int) -> float:
    """Return the fastest of some runs, per sentence: other jobs only ever add."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return 1e6 * min(seconds) / BATCH


def agreement(sentences: list[Scores]) -> int:
    """Return in how many sentences our score is the one of ufal's tree, to 1e-6."""
    rows = [np.arange(1, len(arcs)) for arcs in sentences]
    ours = [arcs[row, decode(arcs)].sum() for arcs, row in zip(sentences, rows, strict=True)]
    theirs = [arcs[row, ufal_heads(arcs)].sum() for arcs, row in zip(sentences, rows, strict=True)]
    return int(np.isclose(ours, theirs, atol=1e-6, rtol=0).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    generator = np.random.default_rng(options.seed)
    print(f"{'words':>5} {'scores':>8} {'sublingual':>11} {'in batch':>9} {'ufal':>9}   equal score")
    for n_words in (10, 25, 60, 120):
        cases = {
            "greedy": [near_tree(generator, n_words, strength=40.0) for _ in range(BATCH)],
            "near": near_misses(generator, n_words, count=BATCH),
            "random": [log_probabilities(generator.normal(size=(n_words + 1, n_words + 1))) for _ in range(BATCH)],
        }
        for name, sentences in cases.items():
            batch, lengths = np.stack(sentences).astype(np.float32), np.full(BATCH, n_words)

            one = microseconds(partial(each, decode, sentences), repeats=options.repeats)
            many = microseconds(partial(decode_batch, batch, lengths), repeats=options.repeats)
            ufal = microseconds(partial(each, ufal_heads, sentences), repeats=options.repeats)
            print(f"{n_words:5} {name:>8} {one:11.0f} {many:9.0f} {ufal:9.0f}   {agreement(sentences)}/{BATCH}")


if __name__ == "__main__":
    main()
