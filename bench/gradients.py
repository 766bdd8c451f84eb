"""Do the languages' gradients stand at right angles, or do batches of ten sentences only look so? (section 7.2, Table 5)

    python bench/gradients.py run MODEL_FOLDER --ud UD_FOLDER --records FILE.jsonl [--seed 0]
    python bench/gradients.py report FILE.jsonl

`run`: for a parser after stage 2 and each training language (UD_<Language>-Mix), the gradient of the encoder over two batches
that share no sentence, each language in its own subnetwork, with dropout, as stage 2 sees it. The batches grow: 10 sentences
are the study's, 160 leave a quarter of the noise. The cosine between a language's own two batches says how much of a
gradient is the language's and how much the batch's: between two languages it can hardly be larger. One JSON line a size.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from statistics import fmean

import torch
from measuring import Commands, append, read
from torch import Tensor

from sublingual.data.catalogue import LANGUAGE_CODES
from sublingual.data.conllu import read_conllu
from sublingual.model.parser import BiaffineParser
from sublingual.parsing import Parser
from sublingual.runtime import keep_memory, resolve_precision
from sublingual.subnetworks.dynamic import LanguageGates, stacked
from sublingual.subnetworks.gates import full
from sublingual.training.gradients import cosines, share
from sublingual.training.joint import together_

SIZES, BATCH = (10, 40, 160), 10


def run(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    keep_memory()
    parser = Parser.from_pretrained(options.model)
    network, codes = parser.network, [*LANGUAGE_CODES.values()]
    network.train()
    network.encoder.model.get_input_embeddings().weight.requires_grad_(False)
    shape = (network.encoder.n_layers, network.encoder.n_attention_heads)
    on = {code: parser.subnetworks.get(code, full(*shape, language=code)).gates for code in codes}
    gates = LanguageGates(stacked(on, codes), languages=codes)
    precision = resolve_precision("auto", network.device)
    held: dict[int, list[list[Tensor]]] = {size: [] for size in SIZES}  # two batches a language, one after the other
    for i, name in enumerate(LANGUAGE_CODES):
        (file,) = (options.ud / f"UD_{name}-Mix").glob("*-train.conllu")
        sentences = read_conllu(file, heads="partial")
        order = torch.randperm(len(sentences), generator=torch.Generator().manual_seed(options.seed)).tolist()
        own = network.encode([sentences[j] for j in order[: 2 * SIZES[-1]]], gold=True)
        for half in (own[: SIZES[-1]], own[SIZES[-1] :]):
            network.zero_grad(set_to_none=True)
            for start in range(0, SIZES[-1], BATCH):
                alone = [half[start : start + BATCH] if j == i else [] for j in range(len(codes))]
                together_(network, gates, alone, budget=4096, precision=precision)
                if (size := start + BATCH) in held:
                    held[size].append(gradient(network))
    for size, found in held.items():
        of_all = cosines(found)
        own = [float(of_all[2 * i, 2 * i + 1]) for i in range(len(codes))]
        between = [
            [float(of_all[2 * a + h, 2 * b + h]) for a, b in combinations(range(len(codes)), 2)] for h in range(2)
        ]
        said = {"model": parser.about.settings.get("system"), "seed": options.seed, "sentences": size}
        append(options.records, {**said, "own": dict(zip(codes, own, strict=True)), "between": between})


def gradient(network: BiaffineParser) -> list[Tensor]:
    return [p.grad.clone() for p in network.encoder_parameters() if p.grad is not None]


def report(options: argparse.Namespace) -> None:
    print("model\tseed\tsentences\tcosine of a language's two batches\tof two languages\tits share below 0")
    for r in read(options.records):
        between = [value for half in r["between"] for value in half]
        own = fmean(r["own"].values())
        print(
            f"{r['model']}\t{r['seed']}\t{r['sentences']}\t{own:.3f}\t{fmean(between):.3f}\t{100 * share(between):.0f} %"
        )


if __name__ == "__main__":
    commands = Commands.of(__doc__, run=run, report=report)
    commands.run.add_argument("--seed", type=int, default=0)
    commands.call()
