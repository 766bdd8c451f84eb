"""How much faster a compact model parses than the gated one, how much smaller it is, and whether its trees are the same.

    python bench/compact.py MODEL_FOLDER FILE.conllu [--off 0] [--layers 0] [--precision fp32] [--sentences 200] [--rounds 5]

Off are the attention heads that the model's own subnetwork switches off (a parser adapted in one has it), `--off` others at
random, and all those of `--layers` layers. Gated, compact and full models take turns; printed are the median CPU seconds of a
round, the ratio to the gated model's, and the size of the model's folder.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch

from sublingual.data.conllu import read_conllu
from sublingual.parsing import Parser


def gates_of(parser: Parser, *, off: int, layers: int, seed: int) -> torch.Tensor:
    """The parser's gates (all ones where it has none), with so many more of them and so many layers off."""
    encoder = parser.network.encoder
    own = parser.gates
    gates = torch.ones(encoder.n_layers, encoder.n_attention_heads) if own is None else own.clone()
    rng = np.random.default_rng(seed)
    on = torch.nonzero(gates.view(-1)).flatten()
    gates.view(-1)[on[torch.from_numpy(rng.permutation(len(on))[:off])]] = 0.0
    gates[torch.from_numpy(rng.permutation(len(gates))[:layers])] = 0.0
    return gates


def megabytes(parser: Parser) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        parser.save_pretrained(folder)
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("model")
    options.add_argument("file")
    options.add_argument("--off", type=int, default=0)
    options.add_argument("--layers", type=int, default=0)
    options.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    options.add_argument("--sentences", type=int, default=200)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    own = Parser.from_pretrained(chosen.model)
    sentences = read_conllu(chosen.file, heads="ignored")[: chosen.sentences]
    gates = gates_of(own, off=chosen.off, layers=chosen.layers, seed=chosen.seed)
    compact = Parser(own.network.compacted(gates), about=own.about, tagger=own.tagger)
    parsers = {"gated": replace(own, gates=gates), "compact": compact, "full": replace(own, gates=None)}
    trees = {name: parser.parse(sentences, precision=chosen.precision) for name, parser in parsers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in parsers}
    for _ in range(chosen.rounds):
        for name, parser in parsers.items():
            began = time.process_time()
            parser.parse(sentences, precision=chosen.precision)
            seconds[name].append(time.process_time() - began)
    same = {name: sum(a == b for a, b in zip(trees["gated"], trees[name], strict=True)) for name in parsers}
    whole = int((gates == 0).all(dim=1).sum())
    print(
        f"{int((gates == 0).sum())} of {gates.numel()} attention heads off, {whole} layers without any; {chosen.precision}"
    )
    for name, parser in parsers.items():
        n = sum(p.numel() for p in parser.network.encoder.parameters())
        ratio = median(seconds["gated"]) / median(seconds[name])
        print(
            f"{name}\t{median(seconds[name]):.2f} s\t{ratio:.2f} times as fast as gated\t{n:,} encoder parameters\t"
            f"{megabytes(parser):.1f} MB\ttrees as gated: {same[name]} of {len(sentences)}"
        )


if __name__ == "__main__":
    main()
