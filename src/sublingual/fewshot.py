"""Few-shot testing (section 4.5): adapt to 20 sentences of a treebank, score the rest; one record a run.

And scores without adaptation, such as those of the training languages in their own subnetworks (Table 4, section 7.1).
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from torch import Tensor

from sublingual.adaptation import AdaptConfig, adapt, config_for
from sublingual.breakdown import breakdown
from sublingual.data.conllu import Sentence, read_conllu
from sublingual.data.downloads import sha256_of
from sublingual.data.support import SUPPORT_SIZE, draw_support
from sublingual.data.treebanks import Treebank
from sublingual.errors import DataError, TrainingError
from sublingual.model.weights import Subnet
from sublingual.parsing import Parser
from sublingual.runtime import machine, versions
from sublingual.scoring import Score, score, sentence_counts, signature
from sublingual.transfer import Transfer, own, transfer

Record = dict[str, Any]
_log = logging.getLogger(__name__)


def fewshot(
    parser: Parser,
    treebank: Treebank,
    *,
    seeds: Sequence[int],
    config: AdaptConfig | None = None,
    n: int = SUPPORT_SIZE,
    reserve: int | None = None,
    keep_repeated: bool = False,
    cap: int | None = None,
    method: str = "nearest",
    system: str | None = None,
) -> Iterator[Record]:
    """Yields one record for each support seed: zero-shot and adapted scores on the same remaining test sentences.

    A parser with subnetworks runs in the one that `method` chooses (`transfer.transfer`), zero-shot and adapted alike.
    `cap` scores a fixed random sample of the test sentences, the same for every seed and parser, less those that the support
    set has; `reserve`: see `draw_support`. `system` names the parser in the records (default: what its card says, or
    "stage1"). Raises DataError for a treebank without test sentences, LanguageError where the method needs a language that
    has no vector.
    """
    config = config or config_for(parser)
    test = treebank.sentences("test")
    files = {path.name: sha256_of(path) for split in ("dev", "test") for path in treebank.files(split)}
    sample = _sample(len(test), cap)
    zero_shot = _ZeroShot(parser, [test[i] for i in sample], sample)
    for seed in seeds:
        began, cpu = time.monotonic(), time.process_time()
        drawn = draw_support(treebank, test, seed=seed, n=n, reserve=reserve, keep_repeated=keep_repeated, among=sample)
        if len(drawn.support) < n and seed == seeds[0]:
            said = "%s: its %s split has %d sentences, all of which are the support set of %d that was asked for"
            _log.warning(said, treebank.name, drawn.source, len(drawn.support), n)
        gold = [test[i] for i in drawn.rest]
        try:
            chosen = transfer(parser, treebank.name, method=method, support=drawn.support, seed=seed, config=config)
            before = zero_shot.parsed(chosen)
            adapted = adapt(parser, drawn.support, config=config, seed=seed, gates=chosen.gates)
        except (DataError, TrainingError) as fault:
            raise type(fault)(f"{treebank.name}, support seed {seed}: {fault}") from fault
        parsed = adapted.parser.parse(gold)
        counts = sentence_counts(gold, parsed)
        yield {
            **_head(parser, treebank.name, files, chosen=chosen, system=system),
            "support_seed": seed,
            "n": n,
            "reserve": reserve,
            "support": _names(drawn.support),
            "support_source": drawn.source,
            "support_words": sum(len(sentence.words) for sentence in drawn.support),
            "sentences": len(gold),
            "test_sentences": len(test),
            "cap": cap,
            "scored": None if cap is None else _names(gold),
            "repeated_left_out": drawn.n_repeated,
            "new_labels": list(adapted.new_labels),
            "loss": {"before": adapted.before, "after": adapted.after},
            "is_adapted": adapted.after < adapted.before,
            "zero_shot": score(gold, [before[i] for i in drawn.rest]).as_dict(),
            "adapted": Score.from_counts(counts).as_dict(),
            "by_sentence": _by_sentence([test[i] for i in sample], sample, dict(zip(drawn.rest, counts, strict=True))),
            "breakdown": breakdown(gold, parsed).as_dict(),
            "config": asdict(config),
            **_tail(began, cpu),
        }


def unadapted(
    parser: Parser,
    language: str,
    files: Sequence[Path],
    *,
    cap: int | None = None,
    method: str = "own",
    system: str | None = None,
) -> Record:
    """Returns the record of a parser scored as it is on the test files of one treebank: no support set, no adaptation.

    `language` is its code. `method`: `own`, the language's own subnetwork (Table 4), or a way of `transfer`. `cap` and
    `system` as for `fewshot`. Raises ConfigError for a language that has no subnetwork where the parser has some, and
    DataError for a file that it was trained on.
    """
    began, cpu = time.monotonic(), time.process_time()
    hashes = {path.name: sha256_of(path) for path in files}
    _refuse_trained_on(parser, hashes)
    test = [sentence for path in files for sentence in read_conllu(path)]
    if not test:
        raise DataError(f"{files[0]}: no sentence to score")
    gold = [test[i] for i in _sample(len(test), cap)]
    chosen = own(parser, language) if method == "own" else transfer(parser, language, method=method)
    parsed = replace(parser, gates=chosen.gates).parse(gold)
    counts = sentence_counts(gold, parsed)
    folder = files[0].parent.name
    return {
        **_head(parser, folder if folder.startswith("UD_") else files[0].name, hashes, chosen=chosen, system=system),
        "language": language,
        "support_seed": None,
        "support": [],
        "sentences": len(gold),
        "test_sentences": len(test),
        "cap": cap,
        "scored": None if cap is None else _names(gold),
        "zero_shot": Score.from_counts(counts).as_dict(),
        "by_sentence": _by_sentence(gold, range(len(gold)), dict(enumerate(counts))),
        "breakdown": breakdown(gold, parsed).as_dict(),
        "adapted": None,
        "is_adapted": None,
        "config": {},
        **_tail(began, cpu),
    }


def _refuse_trained_on(parser: Parser, hashes: dict[str, str]) -> None:
    learned = {str(entry.get("sha256")): entry for entry in parser.about.data}
    for name, sha256 in hashes.items():
        if sha256 in learned:
            raise DataError(
                f"{name}: the parser was trained with this file ({learned[sha256].get('use')}); score another"
            )


def _head(
    parser: Parser, treebank: str, files: dict[str, str], *, chosen: Transfer, system: str | None
) -> dict[str, Any]:
    """What every record begins with: which system, on what, in which gates."""
    about = parser.about
    return {
        "system": system or about.settings.get("system", "stage1"),
        "parser": _description(parser),
        "treebank": treebank,
        "files": files,
        "training_seed": about.seeds.get("stage2", about.seeds.get("training")),
        "transfer": chosen.as_dict(),
    }


def _tail(began: float, cpu: float) -> dict[str, Any]:
    """What every record ends with: how it was scored, with what, and how long it took since the two clocks were read."""
    return {
        "signature": signature(),
        "versions": versions(),
        "machine": machine(),
        "seconds": round(time.monotonic() - began, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
    }


def _names(sentences: Sequence[Sentence]) -> list[str]:
    return [sentence.sent_id or sentence.place for sentence in sentences]


def _sample(n_test: int, cap: int | None) -> list[int]:
    """Indices of the test sentences that may be scored: all, or a draw that depends on nothing but the two numbers."""
    if cap is None or cap >= n_test:
        return list(range(n_test))
    # Not the stream of a support seed: their draws would be the same sentences.
    return sorted(np.random.default_rng([n_test, cap]).permutation(n_test)[:cap].tolist())


def _by_sentence(
    sentences: Sequence[Sentence], places: Sequence[int], counts: Mapping[int, np.void]
) -> dict[str, list[int | None]]:
    """Of each test sentence of the sample its words, and how many have the right head and label (once adapted, if it was).

    None where it was not scored; so a place means the same sentence for every seed and parser.
    """
    return {
        "words": [len(sentence.words) for sentence in sentences],
        "las": [int(counts[i]["las"]) if i in counts else None for i in places],
    }


class _ZeroShot:
    """The test sentences parsed without adaptation, once for each choice of gates."""

    def __init__(self, parser: Parser, sentences: Sequence[Sentence], places: Sequence[int]) -> None:
        self.parser, self.sentences, self.places = parser, sentences, places
        self.done: dict[object, dict[int, Sentence]] = {}

    def parsed(self, chosen: Transfer) -> dict[int, Sentence]:
        key = _key(chosen.gates)
        if key not in self.done:
            found = replace(self.parser, gates=chosen.gates).parse(self.sentences)
            self.done[key] = dict(zip(self.places, found, strict=True))
        return self.done[key]


def _key(gates: Subnet | None) -> object:
    """What equal gates share; single weights and adapters are the parser's own objects, which outlive the keys."""
    if not isinstance(gates, Tensor):
        return gates
    return gates.float().cpu().numpy().tobytes()


def _description(parser: Parser) -> dict[str, Any]:
    """Which parser was adapted: a file of records may hold those of several."""
    about = parser.about
    encoder = {"encoder": parser.network.encoder.name, "fingerprint": parser.network.encoder.identity}
    return {**encoder, "trained_on": list(about.trained_on), "data": list(about.data), "settings": about.settings}


def write_record(path: Path, record: Record) -> None:
    """Appends the record as one JSON line; raises DataError where the disk is full, and the lines before stay whole."""
    line, size = json.dumps(record, ensure_ascii=False) + "\n", path.stat().st_size if path.is_file() else 0
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
    except OSError as fault:
        if path.is_file():
            os.truncate(path, size)
        raise DataError(
            f"{path}: a record could not be written ({fault}); those before are whole: make room and run the rest"
        ) from fault


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
