"""Speed on this machine: training, parsing and adaptation, beside the machine's own GEMM peak measured in the same run.

    python bench/speed.py --ud UD_FOLDER [--threads 1] [--model MODEL_FOLDER]

Prints one JSON object. The encoder is the bundled one, trimmed, its embeddings frozen in training. Without a model the parsed
trees are those of a network of some steps, and the share of spanning trees means nothing. Arithmetic is counted for the
encoder's linear layers alone (2 operations a weight and piece forward, three times that in training; attention and the
classifier are left out), so the shares of peak are lower bounds. With one thread the times of training and parsing are CPU
seconds, so that other jobs on the machine do not count; with more they are wall seconds.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from sublingual.adaptation import AdaptConfig, adapt
from sublingual.data.batches import Batch, micro_batches, pack
from sublingual.data.conllu import read_conllu
from sublingual.data.treebanks import find
from sublingual.decoding import decode_batch
from sublingual.model.encoder import load_encoder
from sublingual.model.parser import BiaffineParser, ParserConfig, new_parser
from sublingual.parsing import Parser, parse
from sublingual.runtime import autocast, keep_memory, machine, resolve_precision
from sublingual.scoring import score
from sublingual.training.optim import OptimConfig, optimizer, trained


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--ud", type=Path, required=True)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--model", type=Path, help="a saved parser: adaptation is then measured from load to save")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    keep_memory()
    english = find(chosen.ud, "UD_English-EWT")
    sentences = read_conllu(english.files("dev")[0])[:700]
    config = ParserConfig()
    encoder = load_encoder(
        "bundled",
        keep=[w for s in sentences for w in s.words],
        dropout=config.encoder_dropout,
        attention_dropout=config.attention_dropout,
    )
    network = new_parser(encoder, config=config)
    result = {"machine": machine(), "gemm_gflops": {p: gemm_peak(p) for p in ("fp32", "bf16")}}
    peak = result["gemm_gflops"]
    result["train"] = {p: training(network, sentences, p, peak=peak[p]) for p in ("fp32", "bf16")}
    result["gates_cost"] = gates_cost(network, sentences)
    parser = Parser.from_pretrained(chosen.model).network if chosen.model else network
    result["parse"] = {p: parsing(parser, sentences[:500], p, peak=peak[p]) for p in ("fp32", "bf16")}
    if chosen.model:
        result["adapt"] = adaptation(chosen.model, find(chosen.ud, "UD_Faroese-OFT").files("test")[0])
    result["peak_memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(json.dumps(result, indent=1))


def gemm_peak(precision: str, *, n: int = 1024, repeats: int = 20) -> float:
    """GFLOP/s of square matrix products in the precision: the best of several."""
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    a, b = (torch.randn(n, n).to(dtype) for _ in range(2))
    seconds = min(timed(lambda: a @ b) for _ in range(repeats))
    return round(2 * n**3 / seconds / 1e9, 1)


def clock() -> float:
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def timed(work: Callable[[], object]) -> float:
    began = clock()
    work()
    return clock() - began


def encoder_flops(network: BiaffineParser) -> int:
    """Operations a piece, forward: two a weight of the encoder's matrices."""
    return 2 * sum(m.weight.numel() for m in network.encoder.modules() if isinstance(m, torch.nn.Linear))


def batches(network: BiaffineParser, sentences: Sequence[object], n: int) -> list[Batch]:
    encoded = network.encode(sentences[: 20 * n], gold=True)  # type: ignore[arg-type]
    return [pack(encoded[i : i + 20]) for i in range(0, 20 * n, 20)]


def training(network: BiaffineParser, sentences: Sequence[object], precision: str, *, peak: float) -> dict[str, float]:
    """Whole steps of 20 sentences: forward, backward, clipping, AdamW."""
    adamw = optimizer(network, OptimConfig())
    network.train()
    drawn = batches(network, sentences, 12)

    def step(batch: Batch) -> None:
        with autocast(network.device, precision=precision):
            loss = network.loss(batch).total / batch.n_annotated
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained(network.parameters()), 5.0)
        adamw.step()
        adamw.zero_grad()

    for batch in drawn[:2]:
        step(batch)
    seconds = [timed(lambda b=batch: step(b)) for batch in drawn[2:]]
    pieces = sum(batch.n_pieces for batch in drawn[2:])
    speed = pieces / sum(seconds)
    return {
        "pieces_per_second": round(speed, 1),
        "sentences_per_second": round(20 * len(seconds) / sum(seconds), 2),
        "median_step_ms": round(1000 * statistics.median(seconds), 1),
        "share_of_gemm_peak": round(3 * encoder_flops(network) * speed / (peak * 1e9), 3),
    }


def gates_cost(network: BiaffineParser, sentences: Sequence[object], *, repeats: int = 8) -> dict[str, float]:
    """Forward and backward with gates of all ones against without, in turn: the median of the ratios."""
    network.train()
    batch = batches(network, sentences, 1)[0]
    ones = torch.ones(len(batch), network.encoder.n_layers, network.encoder.n_attention_heads)

    def step(gates: torch.Tensor | None) -> None:
        (network.loss(batch, gates).total / batch.n_annotated).backward()
        network.zero_grad()

    step(None), step(ones)
    ratios = [timed(lambda: step(ones)) / timed(lambda: step(None)) for _ in range(repeats)]
    return {"median_ratio": round(statistics.median(ratios), 4), "repeats": repeats}


def parsing(network: BiaffineParser, sentences: Sequence[object], precision: str, *, peak: float) -> dict[str, float]:
    """Parsing as a user does it, and its parts apart: forward, decoding, scoring."""
    parse(network, sentences[:100], precision=precision)  # type: ignore[arg-type]
    began = clock()
    parsed = parse(network, sentences, precision=precision)  # type: ignore[arg-type]
    whole = clock() - began
    network.eval()
    forward = decoding = 0.0
    pieces = spanning = 0
    for run in micro_batches(network.encode(sentences, gold=False), budget=2048):  # type: ignore[arg-type]
        batch = pack(run)
        began = clock()
        with torch.inference_mode(), autocast(network.device, precision=precision):
            arcs = network(batch).arcs.numpy()
        middle = clock()
        spanning += decode_batch(arcs, np.array([e.n_words for e in run])).n_spanning
        forward, decoding = forward + middle - began, decoding + clock() - middle
        pieces += batch.n_pieces
    return {
        "precision": resolve_precision(precision, network.device),  # type: ignore[dict-item]
        "sentences_per_second": round(len(sentences) / whole, 1),
        "forward_seconds": round(forward, 3),
        "decoding_seconds": round(decoding, 3),
        "scoring_seconds": round(timed(lambda: score(sentences, parsed)), 3),  # type: ignore[arg-type]
        "share_spanning": round(spanning / len(sentences), 3),
        "share_of_gemm_peak_forward": round(encoder_flops(network) * pieces / forward / (peak * 1e9), 3),
    }


def adaptation(model: Path, file: Path) -> dict[str, float]:
    """Load, 20 steps on 20 sentences, save: CPU seconds and wall seconds of the whole."""
    support = read_conllu(file)[:20]
    began, cpu = time.perf_counter(), time.process_time()
    parser = Parser.from_pretrained(model)
    loaded = time.process_time()
    adapted = adapt(parser, support, config=AdaptConfig())
    stepped = time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        adapted.parser.save_pretrained(Path(scratch) / "adapted")
    return {
        "load_cpu_seconds": round(loaded - cpu, 2),
        "steps_cpu_seconds": round(stepped - loaded, 2),
        "save_cpu_seconds": round(time.process_time() - stepped, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "wall_seconds": round(time.perf_counter() - began, 2),
    }


if __name__ == "__main__":
    main()
