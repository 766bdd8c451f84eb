"""Temperatures of `sublingual.confidence`, fitted on the four validation languages; how well calibrated tests then are.

    python bench/calibration.py MODEL_FOLDER --ud UD_FOLDER [--seeds 1] [--scored 200] [--tests UD_Faroese-OFT ...]

The parser is adapted to 20 dev sentences of each validation language, and temperatures are fitted to other dev sentences
by the likelihood of their gold heads, and of their gold labels where the head is right, each language weighing the same.
Then the same on test languages, where nothing is fitted. A word is right in its head, or in head and full label ("both").
Prints the temperatures; for each language and in the mean the expected calibration error (ten bins) of heads by the
softmax over a word's heads and by the marginals of the tree distribution, before and after ("/T"); the share of errors
among the tenth of words most doubted, against chance; and a reliability table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from sublingual.adaptation import adapt
from sublingual.confidence import label_probabilities
from sublingual.data.conllu import Sentence
from sublingual.data.support import draw_support
from sublingual.data.treebanks import find
from sublingual.marginals import marginals
from sublingual.parsing import Decoded, Parser, decoded

VALIDATION = ("UD_Bulgarian-BTB", "UD_Japanese-GSD", "UD_Telugu-MTG", "UD_Persian-Seraji")
TESTS = ("UD_Faroese-OFT", "UD_Welsh-CCG", "UD_Wolof-WTB", "UD_Naija-NSC")
BINS = 10


@dataclass(frozen=True)
class Scored:
    """Parsed sentences of one language and support set, with what is right: one entry a word of each run."""

    name: str
    runs: tuple[Decoded, ...]
    heads: tuple[np.ndarray, ...]
    labels: tuple[np.ndarray, ...]
    root: int

    @property
    def right(self) -> np.ndarray:
        return np.concatenate([flat(r.heads, r) == gold for r, gold in zip(self.runs, self.heads, strict=True)])

    @property
    def all_right(self) -> np.ndarray:
        return self.right & np.concatenate([r.labels == gold for r, gold in zip(self.runs, self.labels, strict=True)])

    def arcs(self, how: Callable[[Decoded, float], np.ndarray], t: float, *, gold: bool = False) -> np.ndarray:
        """The probability of each word's head: the one in the tree, or the gold one."""
        found = []
        for run, heads in zip(self.runs, self.heads, strict=True):
            rows = np.concatenate([p[1 : n + 1] for p, n in zip(how(run, t), lengths(run), strict=True)])
            chosen = heads if gold else flat(run.heads, run)
            found.append(rows[np.arange(len(rows)), chosen])
        return np.concatenate(found)

    def label_probabilities(self, t: float, *, gold: bool = False) -> np.ndarray:
        """The probability of each word's label under its head in the tree."""
        return np.concatenate(
            [
                label_probabilities(
                    r.label_scores.astype(float) / t, labels if gold else r.labels, flat(r.heads, r), root=self.root
                )
                for r, labels in zip(self.runs, self.labels, strict=True)
            ]
        )


def lengths(run: Decoded) -> np.ndarray:
    return np.array([len(tree.words) for tree in run.trees])


def flat(heads: np.ndarray, run: Decoded) -> np.ndarray:
    return np.concatenate([row[:n] for row, n in zip(heads, lengths(run), strict=True)])


def by_trees(run: Decoded, t: float) -> np.ndarray:
    return marginals(run.arcs.astype(float) / t, lengths(run)).arcs


def by_softmax(run: Decoded, t: float) -> np.ndarray:
    return torch.softmax(torch.from_numpy(run.arcs).double() / t, dim=2).numpy()


def scored(parser: Parser, name: str, support: Sequence[Sentence], rest: Sequence[Sentence], *, seed: int) -> Scored:
    parser = adapt(parser, support, seed=seed).parser
    known = parser.network.vocabulary.index
    runs = tuple(decoded(parser.network, rest, gates=parser.gates))
    golds = [[rest[place] for place in run.places] for run in runs]
    heads = tuple(np.array([head for gold in run for head in gold.heads]) for run in golds)
    labels = tuple(np.array([known.get(str(label), -1) for gold in run for label in gold.labels]) for run in golds)
    return Scored(name, runs, heads, labels, parser.network.vocabulary.root)


def validation(parser: Parser, name: str, *, ud: Path, seed: int, n: int) -> Scored:
    dev = find(ud, name).sentences("dev")
    order = np.random.default_rng(seed).permutation(len(dev)).tolist()
    support = [dev[i] for i in order[:20]]
    words = {s.words for s in support}  # a repeated sentence has been seen
    rest = [dev[i] for i in order[20 : 20 + n] if dev[i].words not in words]
    return scored(parser, name, support, rest, seed=seed)


def test(parser: Parser, name: str, *, ud: Path, seed: int, n: int) -> Scored:
    treebank = find(ud, name)
    sentences = treebank.sentences("test")
    sample = sorted(np.random.default_rng(0).permutation(len(sentences))[:n].tolist())
    drawn = draw_support(treebank, sentences, seed=seed, among=sample)
    return scored(parser, name, drawn.support, [sentences[i] for i in drawn.rest], seed=seed)


def fitted(loss: Callable[[float], float]) -> float:
    found = minimize_scalar(lambda log_t: loss(float(np.exp(log_t))), bounds=(-2, 3), method="bounded")
    return round(float(np.exp(found.x)), 2)


def arc_loss(sets: Sequence[Scored], how: Callable[[Decoded, float], np.ndarray], t: float) -> float:
    """Mean negative log-likelihood of gold heads; each language counts the same."""
    return float(np.mean([-np.log(np.maximum(one.arcs(how, t, gold=True), 1e-300)).mean() for one in sets]))


def label_loss(sets: Sequence[Scored], t: float) -> float:
    """The same for gold labels, of words whose head is right and not the root."""
    means = []
    for one in sets:
        heads = np.concatenate([flat(r.heads, r) for r in one.runs])
        gold = np.concatenate(one.labels)
        counted = one.right & (heads != 0) & (gold >= 0) & (gold != one.root)
        means.append(-np.log(np.maximum(one.label_probabilities(t, gold=True)[counted], 1e-300)).mean())
    return float(np.mean(means))


def calibration_error(probability: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error in percent: |share right - mean probability| of each bin, by its words."""
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    gaps = [abs(right[place == b].sum() - probability[place == b].sum()) for b in range(BINS)]
    return 100 * sum(gaps) / len(right)


def errors_found(probability: np.ndarray, right: np.ndarray) -> float:
    """The share of errors among the tenth of words with the lowest probability, in percent."""
    return 100 * float((~right[np.argsort(probability, kind="stable")[: len(right) // 10]]).mean())


def row(one: Scored, t: dict[str, float]) -> dict[str, float]:
    right, all_right = one.right, one.all_right
    heads = one.arcs(by_trees, t["marginals"])
    both = heads * one.label_probabilities(t["labels"])
    before = one.arcs(by_trees, 1.0) * one.label_probabilities(1.0)
    softmax = one.arcs(by_softmax, t["softmax"])
    return {
        "UAS": 100 * right.mean(),
        "LAS": 100 * all_right.mean(),
        "softmax": calibration_error(one.arcs(by_softmax, 1.0), right),
        "softmax/T": calibration_error(softmax, right),
        "marginals": calibration_error(one.arcs(by_trees, 1.0), right),
        "marginals/T": calibration_error(heads, right),
        "both": calibration_error(before, all_right),
        "both/T": calibration_error(both, all_right),
        "found by softmax": errors_found(softmax, right),
        "found by marginals": errors_found(heads, right),
        "chance": 100 * (1 - right.mean()),
        "found, both": errors_found(both, all_right),
        "chance, both": 100 * (1 - all_right.mean()),
    }


def reliability(sets: Sequence[Scored], t: dict[str, float]) -> None:
    """Prints, for each bin of probability, how many words fall into it, their mean probability and the share that is right."""
    kinds = {
        "softmax/T": [(one.arcs(by_softmax, t["softmax"]), one.right) for one in sets],
        "marginals": [(one.arcs(by_trees, 1.0), one.right) for one in sets],
        "marginals/T": [(one.arcs(by_trees, t["marginals"]), one.right) for one in sets],
        "both/T": [
            (one.arcs(by_trees, t["marginals"]) * one.label_probabilities(t["labels"]), one.all_right) for one in sets
        ],
    }
    print("\t".join(["bin", *(f"{kind}: words, mean, right" for kind in kinds)]))
    for b in range(BINS):
        cells = []
        for pairs in kinds.values():
            probability, right = (np.concatenate(column) for column in zip(*pairs, strict=True))
            here = np.minimum((probability * BINS).astype(int), BINS - 1) == b
            means = f" {probability[here].mean():.2f} {right[here].mean():.2f}" if here.any() else ""
            cells.append(f"{here.sum()}{means}")
        print("\t".join([f"{b / BINS:.1f}-{(b + 1) / BINS:.1f}", *cells]))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("model")
    options.add_argument("--ud", type=Path, required=True)
    options.add_argument("--seeds", type=int, default=1)
    options.add_argument("--scored", type=int, default=200)
    options.add_argument("--tests", nargs="*", default=list(TESTS))
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    parser = Parser.from_pretrained(chosen.model)
    sizes = {"ud": chosen.ud, "n": chosen.scored}
    dev = [validation(parser, name, seed=seed, **sizes) for name in VALIDATION for seed in range(chosen.seeds)]
    tests = [test(parser, name, seed=seed, **sizes) for name in chosen.tests for seed in range(chosen.seeds)]
    report(dev, tests)


def report(dev: Sequence[Scored], tests: Sequence[Scored]) -> None:
    t = {
        "marginals": fitted(lambda t: arc_loss(dev, by_trees, t)),
        "softmax": fitted(lambda t: arc_loss(dev, by_softmax, t)),
        "labels": fitted(lambda t: label_loss(dev, t)),
    }
    print("temperatures", t)
    for name, how in (("marginals", by_trees), ("softmax", by_softmax)):
        print(f"NLL of heads, {name}: {arc_loss(dev, how, 1.0):.4f} -> {arc_loss(dev, how, t[name]):.4f}")
    print(f"NLL of labels: {label_loss(dev, 1.0):.4f} -> {label_loss(dev, t['labels']):.4f}")
    for title, sets in (("validation", dev), ("test", tests)):
        rows = [(one.name, row(one, t)) for one in sets]
        if not rows:
            continue
        print("\n" + "\t".join([title, *rows[0][1]]))
        for name in dict.fromkeys([*(name for name, _ in rows), "mean"]):
            own = [values for other, values in rows if name in (other, "mean")]
            print("\t".join([name, *(f"{np.mean([v[key] for v in own]):.1f}" for key in own[0])]), flush=True)
        reliability(sets, t)


if __name__ == "__main__":
    main()
