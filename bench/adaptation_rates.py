"""Which rates to adapt with: chosen on dev sentences of the paper's four validation languages, never on a test language.

    python bench/adaptation_rates.py MODEL_FOLDER --ud UD_FOLDER [--seeds 2] [--scored 100] [--embeddings]

Support (20 sentences) and scored sentences are drawn from the dev split. Prints a line a setting: mean LAS, CPU seconds
of an adaptation, and LAS by language. `--embeddings` compares, at the default rates, piece embeddings trained and not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from measuring import VALIDATION

from sublingual.adaptation import AdaptConfig, adapt
from sublingual.data.conllu import Sentence
from sublingual.data.treebanks import find
from sublingual.parsing import Parser
from sublingual.scoring import score

SETTINGS = (
    AdaptConfig(encoder_rate=5e-5, classifier_rate=3e-4),
    AdaptConfig(encoder_rate=5e-5, classifier_rate=1e-3),
    AdaptConfig(encoder_rate=1e-4, classifier_rate=5e-4),
    AdaptConfig(encoder_rate=1e-4, classifier_rate=1e-3),
    AdaptConfig(encoder_rate=2e-4, classifier_rate=1e-3),
    AdaptConfig(optimizer="sgd", encoder_rate=1e-2, classifier_rate=1e-1),
)
EMBEDDINGS = (AdaptConfig(embeddings=True), AdaptConfig(embeddings=False))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("model")
    options.add_argument("--ud", type=Path, required=True)
    options.add_argument("--seeds", type=int, default=2)
    options.add_argument("--scored", type=int, default=100)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--precision", default="auto")
    options.add_argument("--embeddings", action="store_true")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    parser = Parser.from_pretrained(chosen.model)
    splits = [
        (name, seed, *drawn(find(chosen.ud, name).sentences("dev"), seed=seed, scored=chosen.scored))
        for name in VALIDATION
        for seed in range(chosen.seeds)
    ]
    report("zero-shot", [(name, las(parser, rest), 0.0) for name, _, _, rest in splits])
    settings = [replace(s, precision=chosen.precision) for s in (EMBEDDINGS if chosen.embeddings else SETTINGS)]
    runs = []  # a support set goes through all settings before the next: a busy minute then concerns all of them
    for name, seed, support, rest in splits:
        for setting in settings:
            began = time.process_time()
            adapted = adapt(parser, support, config=setting, seed=seed).parser
            seconds = time.process_time() - began
            runs.append((setting, (name, las(adapted, rest), seconds)))
            print(".", end="", file=sys.stderr, flush=True)
    for setting in settings:
        trained = "embeddings" if setting.embeddings else "no embeddings"
        what = f"{setting.optimizer} {setting.encoder_rate:g} {setting.classifier_rate:g} {trained}"
        report(what, [run for own, run in runs if own == setting])


def drawn(sentences: list[Sentence], *, seed: int, scored: int) -> tuple[list[Sentence], list[Sentence]]:
    order = np.random.default_rng(seed).permutation(len(sentences)).tolist()
    return [sentences[i] for i in order[:20]], [sentences[i] for i in order[20 : 20 + scored]]


def las(parser: Parser, gold: list[Sentence]) -> float:
    return score(gold, parser.parse(gold)).las.f1


def report(what: str, runs: Sequence[tuple[str, float, float]]) -> None:
    each = {name: mean(value for other, value, _ in runs if other == name) for name, _, _ in runs}
    by_language = "\t".join(f"{name} {value:.2f}" for name, value in each.items())
    print(f"{what}\t{mean(each.values()):.2f}\t{mean(s for _, _, s in runs):.1f} s\t{by_language}", flush=True)


if __name__ == "__main__":
    main()
