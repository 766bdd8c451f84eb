"""How much faster a compact model parses than the gated one, and whether its trees are the same.

    python bench/compact.py MODEL_FOLDER FILE.conllu [--off 28] [--layers 0] [--sentences 200] [--rounds 5] [--seed 0]

`--off` attention heads are switched off at random, `--layers` whole layers besides. Gated, compact and full models take
turns; printed are the median CPU seconds of a round, and the ratio to the gated model's.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np
import torch

from sublingual.data.conllu import read_conllu
from sublingual.parsing import Parser


def random_gates(shape: tuple[int, int], *, off: int, layers: int, seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    gates = torch.ones(shape)
    gates.view(-1)[torch.from_numpy(rng.permutation(gates.numel())[:off])] = 0.0
    gates[torch.from_numpy(rng.permutation(shape[0])[:layers])] = 0.0
    return gates


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("model")
    options.add_argument("file")
    options.add_argument("--off", type=int, default=28)
    options.add_argument("--layers", type=int, default=0)
    options.add_argument("--sentences", type=int, default=200)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    network = Parser.from_pretrained(chosen.model).network
    sentences = read_conllu(chosen.file, heads="ignored")[: chosen.sentences]
    shape = (network.encoder.n_layers, network.encoder.n_attention_heads)
    gates = random_gates(shape, off=chosen.off, layers=chosen.layers, seed=chosen.seed)
    parsers = {"gated": Parser(network, gates), "compact": Parser(network.compacted(gates)), "full": Parser(network)}
    trees = {name: parser.parse(sentences) for name, parser in parsers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in parsers}
    for _ in range(chosen.rounds):
        for name, parser in parsers.items():
            began = time.process_time()
            parser.parse(sentences)
            seconds[name].append(time.process_time() - began)
    same = sum(a == b for a, b in zip(trees["gated"], trees["compact"], strict=True))
    print(f"{int((gates == 0).sum())} of {gates.numel()} attention heads off; same trees: {same} of {len(sentences)}")
    for name, parser in parsers.items():
        n = sum(p.numel() for p in parser.network.encoder.parameters())
        ratio = median(seconds["gated"]) / median(seconds[name])
        print(f"{name}\t{median(seconds[name]):.2f} s\t{ratio:.2f} times as fast as gated\t{n:,} encoder parameters")


if __name__ == "__main__":
    main()
