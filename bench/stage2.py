"""Stage 2 and importance against the plain ways, in one run: processor seconds as ratios, peak memory.

    python bench/stage2.py MODEL --ud UD [--k 5] [--sentences 1000] [--repeats 3]

joint: one iteration of all languages in one pass against a pass a language; the gradients must agree. meta: an episode against
clones of the module that are all kept until one backward pass over the mean of their query losses, as in the paper's
code base; each in a process of its own, so that peak memory can be told apart. importance: one backward pass a
micro-batch against one a sentence; the results must agree. Interleaved; medians. Treebanks: UD_<Language>-Mix.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import torch

from sublingual.adaptation import AdaptConfig
from sublingual.data.batches import Encoded, micro_batches, pack
from sublingual.data.catalogue import LANGUAGE_CODES
from sublingual.data.conllu import read_conllu
from sublingual.model.parser import BiaffineParser
from sublingual.parsing import Parser
from sublingual.runtime import autocast, keep_memory, machine
from sublingual.subnetworks.dynamic import LanguageGates
from sublingual.subnetworks.importance import importance
from sublingual.training.joint import joint_gradients_, together_
from sublingual.training.meta import meta_gradients_

BATCH = 20


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("model", type=Path)
    options.add_argument("--ud", type=Path, required=True)
    options.add_argument("--k", type=int, default=5, help="inner steps")
    options.add_argument("--sentences", type=int, default=1000, help="for importance")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--precision", default="auto")
    chosen = options.parse_args()
    found = {"machine": machine()}
    context = multiprocessing.get_context("spawn")
    for job in (joint, attention_heads):
        found[job.__name__] = job(chosen)
    for way in (ours, clones):
        with context.Pool(1) as pool:  # a process each: its peak memory is its own
            found[f"meta_{way.__name__}"] = pool.apply(way, (chosen,))
    a, b = found["meta_ours"], found["meta_clones"]
    found["meta_ratio"] = {"time": b["cpu_seconds"] / a["cpu_seconds"], "memory": a["added_mb"] / b["added_mb"]}
    print(json.dumps(found, indent=1))


def set_up(chosen: argparse.Namespace, n: int) -> tuple[BiaffineParser, LanguageGates, list[list[Encoded]]]:
    """The parser without dropout, random subnetworks, and `n` sentences of each language."""
    torch.set_num_threads(1)
    keep_memory()
    network = Parser.from_pretrained(chosen.model).network
    without_dropout_(network)
    languages = list(LANGUAGE_CODES.values())
    batches = []
    for name in LANGUAGE_CODES:
        (file,) = (chosen.ud / f"UD_{name}-Mix").glob("*-train.conllu")
        batches.append(network.encode(read_conllu(file, heads="partial")[:n], gold=True))
    network.encoder.model.get_input_embeddings().weight.requires_grad_(False)
    shape = (len(languages), network.encoder.n_layers, network.encoder.n_attention_heads)
    on = torch.rand(shape, generator=torch.Generator().manual_seed(0)) > 0.3
    return network, LanguageGates(on, languages=languages), batches


def without_dropout_(network: BiaffineParser) -> None:
    """So that two ways can be compared: every dropout of the network is set to 0."""
    for module in network.modules():
        for name in ("p", "dropout", "drop"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def joint(chosen: argparse.Namespace) -> dict[str, float]:
    network, gates, batches = set_up(chosen, BATCH)
    given = {"budget": 4096, "precision": chosen.precision}

    def one_pass() -> None:
        network.zero_grad(set_to_none=True)
        joint_gradients_(network, gates, batches, **given)

    def a_pass_each() -> None:
        network.zero_grad(set_to_none=True)
        for i, batch in enumerate(batches):
            together_(network, gates, [batch if j == i else [] for j in range(len(batches))], **given)

    one_pass()
    a = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
    a_pass_each()
    worst = max(
        float((p.grad - a[n]).norm() / a[n].norm()) for n, p in network.named_parameters() if p.grad is not None
    )
    seconds = [(cpu(one_pass), cpu(a_pass_each)) for _ in range(chosen.repeats)]
    together, apart = (statistics.median(column) for column in zip(*seconds, strict=True))
    return {"one_pass": together, "seven_passes": apart, "ratio": apart / together, "worst_relative_difference": worst}


def attention_heads(chosen: argparse.Namespace) -> dict[str, float]:
    network, _, batches = set_up(chosen, chosen.sentences // len(LANGUAGE_CODES))
    read = [e for batch in batches for e in batch]

    def apart() -> torch.Tensor:
        network.eval()
        network.requires_grad_(False)
        total = torch.zeros(network.encoder.n_layers, network.encoder.n_attention_heads)
        for e in read:
            batch = pack([e])
            own = torch.ones(1, *total.shape, requires_grad=True)
            with autocast(network.device, precision=chosen.precision):
                loss = network.loss(batch, own).total / batch.n_annotated
            total += torch.autograd.grad(loss, own)[0][0].abs()
        return total / len(read)

    began = time.process_time()
    a = importance(network, read, normalise=False, precision=chosen.precision)
    middle = time.process_time()
    b = apart()
    end = time.process_time()
    return {
        "sentences": len(read),
        "micro_batches": middle - began,
        "one_by_one": end - middle,
        "ratio": (end - middle) / (middle - began),
        "relative_difference": float((a - b).norm() / b.norm()),
    }


def ours(chosen: argparse.Namespace) -> dict[str, float]:
    network, gates, batches = set_up(chosen, 2 * BATCH)
    supports, queries = [b[:BATCH] for b in batches], [b[BATCH:] for b in batches]
    inner = AdaptConfig(
        steps=chosen.k,
        optimizer="sgd",
        encoder_rate=1e-2,
        classifier_rate=1e-1,
        precision=chosen.precision,
    )
    before = fresh_peak_mb()
    seconds = cpu(
        lambda: meta_gradients_(network, gates, supports, queries, inner=inner, budget=4096, precision=chosen.precision)
    )
    return {"cpu_seconds": seconds, "added_mb": peak_mb() - before, "gradient_norm": norm_of(network)}


def clones(chosen: argparse.Namespace) -> dict[str, float]:
    """An episode with a clone of the module for each language, all of them and their graphs kept until the end."""
    network, gates, batches = set_up(chosen, 2 * BATCH)
    before = fresh_peak_mb()
    seconds = cpu(lambda: _clones(network, gates, batches, chosen))
    return {"cpu_seconds": seconds, "added_mb": peak_mb() - before, "gradient_norm": norm_of(network)}


def _clones(
    network: BiaffineParser, gates: LanguageGates, batches: list[list[Encoded]], chosen: argparse.Namespace
) -> None:
    learners, losses = [], []
    binary = gates.binary()

    def loss_of(learner: BiaffineParser, sentences: list[Encoded], own: torch.Tensor) -> torch.Tensor:
        (run,) = micro_batches(sentences, budget=10**9)
        batch = pack(run)
        with autocast(learner.device, precision=chosen.precision):
            return learner.loss(batch, own.expand(len(batch), -1, -1)).total / batch.n_annotated

    for i, batch in enumerate(batches):
        learner = deepcopy(network).train()
        slow = [p for p in learner.encoder_parameters() if p.requires_grad]
        sgd = torch.optim.SGD([{"params": slow, "lr": 1e-2}, {"params": learner.classifier_parameters(), "lr": 1e-1}])
        for _ in range(chosen.k):
            sgd.zero_grad()
            loss_of(learner, batch[:BATCH], binary[i]).backward()
            torch.nn.utils.clip_grad_norm_([p for p in learner.parameters() if p.requires_grad], 5.0)
            sgd.step()
        sgd.zero_grad()
        losses.append(loss_of(learner, batch[BATCH:], binary[i]))
        learners.append(learner)
    torch.stack(losses).mean().backward()
    for own in zip(network.parameters(), *(learner.parameters() for learner in learners), strict=True):
        found = [p.grad for p in own[1:] if p.grad is not None]
        own[0].grad = torch.stack(found).sum(dim=0) if found else None


def norm_of(network: BiaffineParser) -> float:
    return float(torch.stack([p.grad.norm() for p in network.parameters() if p.grad is not None]).norm())


def fresh_peak_mb() -> float:
    """The memory of the process now, from which its peak is counted anew (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_mb()


def peak_mb() -> float:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
