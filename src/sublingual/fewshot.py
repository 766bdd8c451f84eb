"""Few-shot testing (section 4.5): adapt to 20 sentences of a treebank, score the rest; one record a run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from sublingual.adaptation import AdaptConfig, adapt
from sublingual.data.downloads import sha256_of
from sublingual.data.support import SUPPORT_SIZE, draw_support
from sublingual.data.treebanks import Treebank
from sublingual.errors import LanguageError
from sublingual.languages import nearest
from sublingual.parsing import Parser
from sublingual.runtime import machine, versions
from sublingual.scoring import score, signature

Record = dict[str, Any]


def fewshot(
    parser: Parser,
    treebank: Treebank,
    *,
    seeds: Sequence[int],
    config: AdaptConfig | None = None,
    n: int = SUPPORT_SIZE,
    keep_repeated: bool = False,
    system: str = "stage1",
) -> Iterator[Record]:
    """Yields one record for each support seed: zero-shot and adapted scores on the same remaining test sentences.

    The test split is parsed without adaptation once, whatever the number of seeds. Raises DataError for a treebank
    without test sentences.
    """
    config = config or AdaptConfig()
    test = treebank.sentences("test")
    files = {path.name: sha256_of(path) for split in ("dev", "test") for path in treebank.files(split)}
    unadapted = parser.parse(test)
    for seed in seeds:
        began, cpu = time.monotonic(), time.process_time()
        drawn = draw_support(treebank, test, seed=seed, n=n, keep_repeated=keep_repeated)
        adapted = adapt(parser, drawn.support, config=config, seed=seed)
        gold = [test[i] for i in drawn.rest]
        parsed = adapted.parser.parse(gold)
        yield {
            "system": system,
            "parser": _description(parser),
            "treebank": treebank.name,
            "files": files,
            "support_seed": seed,
            "training_seed": parser.about.seeds.get("training"),
            "transfer": _transfer(treebank),
            "support": [sentence.sent_id or sentence.place for sentence in drawn.support],
            "support_source": drawn.source,
            "support_words": sum(len(sentence.words) for sentence in drawn.support),
            "sentences": len(gold),
            "repeated_left_out": drawn.n_repeated,
            "new_labels": list(adapted.new_labels),
            "loss": {"first": adapted.losses[0], "last": adapted.losses[-1]} if adapted.losses else {},
            "zero_shot": score(gold, [unadapted[i] for i in drawn.rest]).as_dict(),
            "adapted": score(gold, parsed).as_dict(),
            "signature": signature(),
            "config": asdict(config),
            "versions": versions(),
            "machine": machine(),
            "seconds": round(time.monotonic() - began, 2),
            "cpu_seconds": round(time.process_time() - cpu, 2),
        }


def _description(parser: Parser) -> dict[str, Any]:
    """Which parser was adapted: a file of records may hold those of several."""
    about = parser.about
    encoder = {"encoder": parser.network.encoder.name, "fingerprint": parser.network.encoder.identity}
    return {**encoder, "trained_on": list(about.trained_on), "data": list(about.data), "settings": about.settings}


def _transfer(treebank: Treebank) -> dict[str, Any] | None:
    try:
        best = nearest(treebank.name)[0]
    except LanguageError:
        return None
    return {"code": best.code, "similarity": round(best.similarity, 4)}


def write_record(path: Path, record: Record) -> None:
    """Appends the record as one JSON line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")


def summary(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Returns one row a treebank: mean LAS zero-shot and adapted, and the adapted one's standard deviation over seeds."""
    rows = []
    for name in dict.fromkeys(record["treebank"] for record in records):
        own = [record for record in records if record["treebank"] == name]
        zero = [record["zero_shot"]["las"]["f1"] for record in own]
        adapted = [record["adapted"]["las"]["f1"] for record in own]
        transfer = own[0]["transfer"] or {"code": None, "similarity": None}
        rows.append(
            {
                "treebank": name,
                "transfer": transfer["code"],
                "similarity": transfer["similarity"],
                "zero_shot_las": round(mean(zero), 2),
                "adapted_las": round(mean(adapted), 2),
                "sd": round(stdev(adapted), 2) if len(adapted) > 1 else None,
                "seeds": len(own),
                "sentences": own[0]["sentences"],
            }
        )
    return rows
