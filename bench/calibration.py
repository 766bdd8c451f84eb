"""Temperatures of `sublingual.confidence`, fitted on the four validation languages; how well calibrated tests then are.

    python bench/calibration.py run MODEL_FOLDER --ud UD_FOLDER --records FILE.jsonl [--seeds 1] [--scored 200]
        [--tests UD_Faroese-OFT ...]
    python bench/calibration.py report FILE.jsonl [--figure FILE.svg]

`run`: the parser is adapted to 20 dev sentences of each validation language, and temperatures are fitted to other dev sentences
by the likelihood of their gold heads, and of their gold labels where the head is right, each language weighing the same.
Then the same on test languages, where nothing is fitted. A word is right in its head, or in head and full label ("both").
One JSON line says the temperatures, and one a treebank, seed and kind how many words fall into each tenth of probability, their
mean probability, how many are right, and how many errors are among the tenth of words most doubted. Kinds: the softmax over
a word's heads, the marginals of the tree distribution, and both, each before and after the temperature ("/T").

`report`: expected calibration errors and errors found, by treebank and in the mean; a reliability table and diagram of all
tests' words together.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import VALIDATION, Commands, read
from scipy.optimize import minimize_scalar

from sublingual.adaptation import adapt
from sublingual.analysis import plots
from sublingual.confidence import label_probabilities
from sublingual.data.conllu import Sentence
from sublingual.data.support import draw_support
from sublingual.data.treebanks import find
from sublingual.marginals import marginals
from sublingual.parsing import Decoded, Parser, decoded

TESTS = (
    "UD_Faroese-OFT",
    "UD_Welsh-CCG",
    "UD_Wolof-WTB",
    "UD_Naija-NSC",
    "UD_Tamil-TTB",
    "UD_Vietnamese-VTB",
    "UD_Kurmanji-MG",
    "UD_North_Sami-Giella",
)
BINS = 10
PANELS = {"softmax": "heads, softmax", "marginals": "heads, marginals", "both": "head and label"}


@dataclass(frozen=True)
class Scored:
    """Parsed sentences of one language and support set, with what is right: one entry a word of each run."""

    name: str
    seed: int
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
    return Scored(name, seed, runs, heads, labels, parser.network.vocabulary.root)


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


@dataclass(frozen=True)
class Bins:
    """Words by the tenth of probability that they fall into: how many, their mean probability, how many are right."""

    words: tuple[int, ...]
    mean: tuple[float, ...]
    right: tuple[int, ...]


def binned(probability: np.ndarray, right: np.ndarray) -> Bins:
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    words, n_right = (np.bincount(place, weights, minlength=BINS).astype(int) for weights in (None, right))
    means = np.bincount(place, probability, minlength=BINS) / np.maximum(words, 1)
    return Bins(tuple(words.tolist()), tuple(means.round(4).tolist()), tuple(n_right.tolist()))


def together(several: Sequence[Bins]) -> Bins:
    words, right = (np.sum([getattr(one, name) for one in several], axis=0) for name in ("words", "right"))
    total = np.sum([np.multiply(one.words, one.mean) for one in several], axis=0)
    return Bins(tuple(words.tolist()), tuple((total / np.maximum(words, 1)).tolist()), tuple(right.tolist()))


def calibration_error(bins: Bins) -> float:
    """Expected calibration error in percent: |share right - mean probability| of each bin, by its words."""
    gaps = np.abs(np.array(bins.right) - np.multiply(bins.words, bins.mean))
    return 100 * float(gaps.sum()) / sum(bins.words)


def errors_found(probability: np.ndarray, right: np.ndarray) -> int:
    """How many of the tenth of words with the lowest probability are wrong."""
    return int((~right[np.argsort(probability, kind="stable")[: len(right) // 10]]).sum())


def kinds(one: Scored, t: dict[str, float]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each word's probability by every kind, and whether it is right."""
    marginal, hot = one.arcs(by_trees, 1.0), one.arcs(by_trees, t["marginals"])
    heads = {"softmax": one.arcs(by_softmax, 1.0), "softmax/T": one.arcs(by_softmax, t["softmax"])}
    heads |= {"marginals": marginal, "marginals/T": hot}
    both = {"both": marginal * one.label_probabilities(1.0), "both/T": hot * one.label_probabilities(t["labels"])}
    return {k: (p, one.right) for k, p in heads.items()} | {k: (p, one.all_right) for k, p in both.items()}


def records(role: str, one: Scored, t: dict[str, float]) -> Iterator[dict[str, Any]]:
    for kind, (probability, right) in kinds(one, t).items():
        found = {"role": role, "treebank": one.name, "seed": one.seed, "kind": kind}
        found |= asdict(binned(probability, right))
        yield found | {"doubted": len(right) // 10, "wrong_of_doubted": errors_found(probability, right)}


def run(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    parser = Parser.from_pretrained(options.model)
    sizes = {"ud": options.ud, "n": options.scored}
    seeds = range(options.seeds)
    dev = [validation(parser, name, seed=seed, **sizes) for name in VALIDATION for seed in seeds]
    t = {
        "marginals": fitted(lambda t: arc_loss(dev, by_trees, t)),
        "softmax": fitted(lambda t: arc_loss(dev, by_softmax, t)),
        "labels": fitted(lambda t: label_loss(dev, t)),
    }
    losses = {
        "marginals": [arc_loss(dev, by_trees, 1.0), arc_loss(dev, by_trees, t["marginals"])],
        "softmax": [arc_loss(dev, by_softmax, 1.0), arc_loss(dev, by_softmax, t["softmax"])],
        "labels": [label_loss(dev, 1.0), label_loss(dev, t["labels"])],
    }
    losses = {name: [round(loss, 4) for loss in pair] for name, pair in losses.items()}
    found: list[dict[str, Any]] = [{"role": "fit", "temperatures": t, "losses": losses}]
    found += [record for one in dev for record in records("validation", one, t)]
    for name in options.tests:
        for seed in seeds:
            found += records("test", test(parser, name, seed=seed, **sizes), t)
            print(name, seed, flush=True)
    options.records.write_text("".join(json.dumps(record) + "\n" for record in found), encoding="utf-8")


def report(options: argparse.Namespace) -> None:
    fit, *found = read(options.records)
    for name, t in fit["temperatures"].items():
        before, after = fit["losses"][name]
        print(f"temperature of {name}: {t}; mean negative log-likelihood {before:.4f} -> {after:.4f}")
    for role in dict.fromkeys(r["role"] for r in found):
        own = [r for r in found if r["role"] == role]
        names = list(dict.fromkeys(r["treebank"] for r in own))
        rows = {name: row([r for r in own if r["treebank"] == name]) for name in names}
        rows["mean"] = {key: float(np.mean([rows[name][key] for name in names])) for key in rows[names[0]]}
        print("\n" + "\t".join([role, *rows["mean"]]))
        for name, cells in rows.items():
            print("\t".join([name, *(f"{cell:.1f}" for cell in cells.values())]))
    pooled = by_kind([r for r in found if r["role"] == "test"])
    print(
        "\t".join(
            ["\nall tests", *(f"{kind} ({calibration_error(x):.1f}): words, mean, right" for kind, x in pooled.items())]
        )
    )
    for b in range(BINS):
        cells = [f"{x.words[b]} {x.mean[b]:.2f} {x.right[b] / max(1, x.words[b]):.2f}" for x in pooled.values()]
        print("\t".join([f"{b / BINS:.1f}-{(b + 1) / BINS:.1f}", *cells]))
    if options.figure is not None:
        plots.save(diagram(pooled), options.figure)


def by_kind(own: Sequence[dict[str, Any]]) -> dict[str, Bins]:
    names = dict.fromkeys(r["kind"] for r in own)
    bins = [(r["kind"], Bins(*(tuple(r[key]) for key in ("words", "mean", "right")))) for r in own]
    return {name: together([each for kind, each in bins if kind == name]) for name in names}


def row(own: Sequence[dict[str, Any]]) -> dict[str, float]:
    """A treebank's numbers, all in percent."""
    bins = by_kind(own)
    cells = {kind: calibration_error(each) for kind, each in bins.items()}
    for kind in ("softmax/T", "marginals/T", "both/T"):
        mine = [r for r in own if r["kind"] == kind]
        doubted = sum(r["doubted"] for r in mine)
        cells[f"wrong of doubted, {kind}"] = 100 * sum(r["wrong_of_doubted"] for r in mine) / doubted
        if kind != "softmax/T":
            cells["of all" if kind == "marginals/T" else "of all, both"] = 100 - 100 * share_right(bins[kind])
    return cells


def share_right(bins: Bins) -> float:
    return sum(bins.right) / sum(bins.words)


def diagram(pooled: dict[str, Bins]) -> plots.Figure:
    """How often a word is right by how probable it was said to be, before and after the temperature; below, the words."""
    with plots.styled():
        drawn, axes = plots.figure(
            7.2, 3.4, rows=2, columns=len(PANELS), height_ratios=[3, 1], sharex=True, sharey="row"
        )
        for (kind, title), (upper, lower) in zip(PANELS.items(), axes.T, strict=True):
            upper.plot([0, 1], [0, 1], color=plots.SOFT, linewidth=0.8)
            for i, (name, what) in enumerate(((kind, "as scored"), (f"{kind}/T", "with the temperature"))):
                bins = pooled[name]
                some = [b for b in range(BINS) if bins.words[b] >= 20]
                points = [bins.mean[b] for b in some], [bins.right[b] / bins.words[b] for b in some]
                marker = plots.marker_style(i)["marker"]
                upper.plot(*points, marker=marker, markersize=4, label=what, **plots.line_style(i))
                left = [(b + 0.06 + 0.44 * i) / BINS for b in range(BINS)]
                shares = np.array(bins.words) / sum(bins.words)
                lower.bar(left, shares, width=0.44 / BINS, align="edge", **plots.bar_style(i))
            before, after = (calibration_error(pooled[name]) for name in (kind, f"{kind}/T"))
            upper.set_title(f"{title}: ECE {before:.1f} → {after:.1f}")
            lower.set_xlabel("probability")
        axes[0, 0].set_ylabel("share that is right")
        axes[1, 0].set_ylabel("of words")
        drawn.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8)
    return drawn


def main() -> None:
    commands = Commands.of(__doc__, run=run, report=report)
    commands.run.add_argument("--seeds", type=int, default=1)
    commands.run.add_argument("--scored", type=int, default=200)
    commands.run.add_argument("--tests", nargs="*", default=list(TESTS))
    commands.report.add_argument("--figure", type=Path)
    commands.call()


if __name__ == "__main__":
    main()
