"""Few-shot testing (section 4.5): adapt to 20 sentences of a treebank, score the rest; one record a run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from sublingual.adaptation import AdaptConfig, adapt, config_for
from sublingual.data.conllu import Sentence
from sublingual.data.downloads import sha256_of
from sublingual.data.support import SUPPORT_SIZE, draw_support
from sublingual.data.treebanks import Treebank
from sublingual.parsing import Parser
from sublingual.runtime import machine, versions
from sublingual.scoring import score, signature
from sublingual.transfer import Transfer, transfer

Record = dict[str, Any]


def fewshot(
    parser: Parser,
    treebank: Treebank,
    *,
    seeds: Sequence[int],
    config: AdaptConfig | None = None,
    n: int = SUPPORT_SIZE,
    keep_repeated: bool = False,
    cap: int | None = None,
    method: str = "nearest",
    system: str | None = None,
) -> Iterator[Record]:
    """Yields one record for each support seed: zero-shot and adapted scores on the same remaining test sentences.

    A parser with subnetworks runs in the one that `method` chooses (`transfer.transfer`), zero-shot and adapted alike.
    `cap` scores a fixed random sample of the test sentences, the same for every seed and parser. `system` names the parser
    in the records (default: what its card says, or "stage1"). Raises DataError for a treebank without test sentences,
    LanguageError where the method needs a language that has no vector.
    """
    config = config or config_for(parser)
    test = treebank.sentences("test")
    files = {path.name: sha256_of(path) for split in ("dev", "test") for path in treebank.files(split)}
    sample = _sample(len(test), cap)
    zero_shot = _ZeroShot(parser, [test[i] for i in sample], sample)
    for seed in seeds:
        began, cpu = time.monotonic(), time.process_time()
        drawn = draw_support(treebank, test, seed=seed, n=n, keep_repeated=keep_repeated, among=sample)
        gold = [test[i] for i in drawn.rest]
        chosen = transfer(parser, treebank.name, method=method, support=drawn.support, seed=seed, config=config)
        unadapted = zero_shot.parsed(chosen)
        adapted = adapt(parser, drawn.support, config=config, seed=seed, gates=chosen.gates)
        parsed = adapted.parser.parse(gold)
        yield {
            "system": system or parser.about.settings.get("system", "stage1"),
            "parser": _description(parser),
            "treebank": treebank.name,
            "files": files,
            "support_seed": seed,
            "training_seed": parser.about.seeds.get("stage2", parser.about.seeds.get("training")),
            "transfer": chosen.as_dict(),
            "support": [sentence.sent_id or sentence.place for sentence in drawn.support],
            "support_source": drawn.source,
            "support_words": sum(len(sentence.words) for sentence in drawn.support),
            "sentences": len(gold),
            "test_sentences": len(test),
            "cap": cap,
            "scored": None if cap is None else [sentence.sent_id or sentence.place for sentence in gold],
            "repeated_left_out": drawn.n_repeated,
            "new_labels": list(adapted.new_labels),
            "loss": {"before": adapted.before, "after": adapted.after},
            "is_adapted": adapted.after < adapted.before,
            "zero_shot": score(gold, [unadapted[i] for i in drawn.rest]).as_dict(),
            "adapted": score(gold, parsed).as_dict(),
            "signature": signature(),
            "config": asdict(config),
            "versions": versions(),
            "machine": machine(),
            "seconds": round(time.monotonic() - began, 2),
            "cpu_seconds": round(time.process_time() - cpu, 2),
        }


def _sample(n_test: int, cap: int | None) -> list[int]:
    """Indices of the test sentences that may be scored: all, or a draw that depends on nothing but the two numbers."""
    if cap is None or cap >= n_test:
        return list(range(n_test))
    # Not the stream of a support seed: their draws would be the same sentences.
    return sorted(np.random.default_rng([n_test, cap]).permutation(n_test)[:cap].tolist())


class _ZeroShot:
    """The test sentences parsed without adaptation, once for each choice of gates."""

    def __init__(self, parser: Parser, sentences: Sequence[Sentence], places: Sequence[int]) -> None:
        self.parser, self.sentences, self.places = parser, sentences, places
        self.done: dict[bytes, dict[int, Sentence]] = {}

    def parsed(self, chosen: Transfer) -> dict[int, Sentence]:
        key = b"" if chosen.gates is None else chosen.gates.float().cpu().numpy().tobytes()
        if key not in self.done:
            found = replace(self.parser, gates=chosen.gates).parse(self.sentences)
            self.done[key] = dict(zip(self.places, found, strict=True))
        return self.done[key]


def _description(parser: Parser) -> dict[str, Any]:
    """Which parser was adapted: a file of records may hold those of several."""
    about = parser.about
    encoder = {"encoder": parser.network.encoder.name, "fingerprint": parser.network.encoder.identity}
    return {**encoder, "trained_on": list(about.trained_on), "data": list(about.data), "settings": about.settings}


def write_record(path: Path, record: Record) -> None:
    """Appends the record as one JSON line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")


def summary(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Returns one row a system and treebank: mean LAS zero-shot and adapted, the adapted one's standard deviation over seeds.

    `adapted_las` is None where the steps did not lower the support loss of every run: that is no adaptation.
    """
    rows = []
    for system, name in dict.fromkeys((record["system"], record["treebank"]) for record in records):
        own = [record for record in records if (record["system"], record["treebank"]) == (system, name)]
        is_adapted = all(record["is_adapted"] for record in own)
        zero = [record["zero_shot"]["las"]["f1"] for record in own]
        adapted = [record["adapted"]["las"]["f1"] for record in own]
        rows.append(
            {
                "system": system,
                "treebank": name,
                "transfer": own[0]["transfer"]["code"],
                "similarity": own[0]["transfer"]["similarity"],
                "zero_shot_las": round(mean(zero), 2),
                "adapted_las": round(mean(adapted), 2) if is_adapted else None,
                "sd": round(stdev(adapted), 2) if is_adapted and len(adapted) > 1 else None,
                "seeds": len(own),
                "sentences": own[0]["sentences"],
            }
        )
    return rows
