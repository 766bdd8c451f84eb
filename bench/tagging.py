"""Parts of speech from twenty sentences: the accuracy of the tagger that `adapt` trains along with the trees.

    python bench/tagging.py MODEL --ud UD TREEBANK [TREEBANK ...] [--seeds 2] [--cap 300] [--threads 1]

For each treebank and support set (drawn as few-shot testing draws it): MODEL is adapted, then a tagger is trained on the
adapted encoder, from nothing and from a tagger that learned English before (MODEL's own, or one that is trained on
UD_English-EWT's training file). Printed: words in a hundred with the right UPOS among those of the remaining test sentences
(at most `--cap`), for giving every word the support's commonest tag, for the English tagger on MODEL itself (zero-shot), and
for both taggers; and whether the trees with the tagger are those without.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from sublingual.adaptation import adapt
from sublingual.data.blocks import UPOS
from sublingual.data.conllu import Sentence, read_conllu
from sublingual.data.support import draw_support
from sublingual.data.treebanks import find
from sublingual.parsing import Parser
from sublingual.tagging import with_tagger


def bare(sentences: Sequence[Sentence]) -> list[Sentence]:
    return [replace(s, rows=tuple((*row[:UPOS], "_", *row[UPOS + 1 :]) for row in s.rows)) for s in sentences]


def accuracy(parser: Parser, gold: Sequence[Sentence]) -> float:
    found = parser.parse(bare(gold))
    pairs = [pair for a, b in zip(gold, found, strict=True) for pair in zip(a.upos, b.upos, strict=True)]
    return 100 * sum(a == b for a, b in pairs) / len(pairs)


def commonest(support: Sequence[Sentence], gold: Sequence[Sentence]) -> float:
    ((tag, _),) = Counter(tag for s in support for tag in s.upos).most_common(1)
    tags = [own for s in gold for own in s.upos]
    return 100 * tags.count(tag) / len(tags)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("model")
    options.add_argument("treebanks", nargs="+")
    options.add_argument("--ud", required=True, type=Path)
    options.add_argument("--seeds", type=int, default=2)
    options.add_argument("--cap", type=int, default=300)
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    base = Parser.from_pretrained(chosen.model)
    (english,) = find(chosen.ud, "UD_English-EWT").files("train")
    base = base if base.tagger else with_tagger(base, read_conllu(english))
    (dev,) = find(chosen.ud, "UD_English-EWT").files("dev")
    print(f"English-EWT dev (300 sentences): {accuracy(base, read_conllu(dev)[:300]):.2f}", flush=True)
    print("treebank\tseed\tcommonest\tzero-shot\tfrom nothing\tfrom English\tsame trees")
    for name in chosen.treebanks:
        for seed in range(chosen.seeds):
            treebank = find(chosen.ud, name)
            everything = treebank.sentences("test")
            drawn = draw_support(treebank, everything, seed=seed)
            support, test = drawn.support, [everything[i] for i in drawn.rest[: chosen.cap]]
            parser = adapt(base, support, seed=seed).parser
            taught = [with_tagger(replace(parser, tagger=start), support, seed=seed) for start in (None, base.tagger)]
            figures = [commonest(support, test), accuracy(base, test), *(accuracy(each, test) for each in taught)]
            ways = (replace(parser, tagger=None), *taught)
            trees = [[(s.heads, s.labels) for s in each.parse(bare(test))] for each in ways]
            bits = "yes" if trees[0] == trees[1] == trees[2] else "NO"
            print("\t".join([name, str(seed), *(f"{figure:.2f}" for figure in figures), bits]), flush=True)


if __name__ == "__main__":
    main()
