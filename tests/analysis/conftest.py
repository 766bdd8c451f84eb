"""Made-up records: those of few-shot testing as the command writes them, and runs made in one line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sublingual.analysis.records import Run
from sublingual.subnetworks.gates import Subnetwork, write_subnetwork

Record = dict[str, Any]


def made(system: str = "nonep-full", treebank: str = "UD_Faroese-OFT", las: float = 40.0, **changes: Any) -> Record:
    """A record with the keys that are read and some that are not; a key of `changes` may be nested with two underscores."""
    record: Record = {
        "system": system,
        "parser": {"encoder": "bundled"},
        "treebank": treebank,
        "support_seed": 0,
        "training_seed": 0,
        "transfer": {"method": "nearest", "code": "no", "similarity": 0.95, "gates_off": 24},
        "support": ["s1", "s2"],
        "sentences": 100,
        "loss": {"before": 2.0, "after": 1.0},
        "is_adapted": True,
        "zero_shot": {"n_sentences": 100, "n_words": 900, "las": {"correct": 270, "f1": 30.0}},
        "adapted": {"n_sentences": 100, "n_words": 900, "las": {"correct": 9, "f1": las}},
        "config": {"steps": 20},
        "cpu_seconds": 36.0,
    }
    for path, value in changes.items():
        *outer, last = path.split("__")
        inner = record
        for key in outer:
            inner = inner[key]
        inner[last] = value
    return record


@pytest.fixture(scope="session")
def record() -> Callable[..., Record]:
    return made


@pytest.fixture
def file_of(tmp_path: Path) -> Callable[..., Path]:
    """Writes records as JSON lines, or text as it is."""

    def write(records: Iterable[Record | str], name: str = "records.jsonl") -> Path:
        path = tmp_path / name
        lines = [line if isinstance(line, str) else json.dumps(line) for line in records]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def run_of() -> Callable[..., Run]:
    """Makes a run of a system on a treebank with that LAS; the rest can be given by name."""

    def make(system: str, treebank: str, las: float, **other: Any) -> Run:
        values: dict[str, Any] = {"support_seed": 0, "training_seed": 0, "method": "nearest", "code": "no"}
        return Run(system, treebank, las=las, **{**values, "similarity": 0.9, "zero_shot": 20.0, **other})

    return make


SIX = ("nonep-full", "nonep-static", "nonep-dynamic", "meta-full", "meta-static", "meta-dynamic")
CODES = {"ar": "UD_Arabic-PADT", "cs": "UD_Czech-PDT", "no": "UD_Norwegian-Nynorsk"}
TREEBANKS = {
    "UD_Faroese-OFT": ("no", 0.95),
    "UD_Gothic-PROIEL": ("no", 0.93),
    "UD_Afrikaans-AfriBooms": ("no", 0.91),
    "UD_Wolof-WTB": ("ar", 0.67),
    "UD_Maltese-MUDT": ("ar", 0.87),
    "UD_Thai-PUD": ("ar", 0.68),
    "UD_Vietnamese-VTB": ("ar", 0.65),
    "UD_Armenian-BSUT": ("cs", 0.76),
    "UD_Lithuanian-HSE": ("cs", 0.94),
    "UD_Kurmanji-MG": ("cs", 0.73),
}


def sha(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def detailed(system: str, treebank: str, *, right: Sequence[int], **changes: Any) -> Record:
    """A record with all that newer ones say: of ten sentences of ten words `right` each, and who learned from what.

    Of the 100 words 40 are `nsubj`, 30 `root`, 20 `discourse:sp` (never seen in training), 10 `vocative` (rare there). The
    right words are taken from them in this order, by meta-dynamic in the opposite one.
    """
    n_right, found = sum(right), {}
    words = [("nsubj", 40), ("root", 30), ("discourse:sp", 20), ("vocative", 10)]
    for label, n in words[::-1] if system == "meta-dynamic" else words:
        correct = min(n, n_right)
        n_right -= correct
        found[label] = [n, correct, correct, correct]
    code, similarity = TREEBANKS.get(treebank, ("no", 0.9))
    las = {"correct": sum(right), "f1": float(sum(right))}
    data = [_learned(name) for name in ("UD_English-EWT", *CODES.values())]
    return made(
        system,
        treebank,
        transfer={"method": "nearest", "code": code, "similarity": similarity, "gates_off": 24},
        sentences=10,
        n=20,
        reserve=None,
        zero_shot={"n_sentences": 10, "n_words": 100, "las": {"correct": 20, "f1": 20.0}},
        adapted={"n_sentences": 10, "n_words": 100, "las": las},
        by_sentence={"words": [10] * 10, "las": list(right)},
        breakdown={
            "labels": found,
            "relations": {label.partition(":")[0]: counts for label, counts in found.items()},
            "lengths": {
                "root": found["root"],
                "1": found["nsubj"],
                "4-6": found["discourse:sp"],
                "11+": found["vocative"],
            },
        },
        parser={"encoder": "bundled", "fingerprint": "f", "data": data, "settings": {"system": system, "seed": 1}},
        files={"x-ud-test.conllu": sha(treebank)},
        signature="LAS|made-up",
        versions={"python": "3.11", "sublingual": "0.1.0"},
        machine={"cpu": "AVX512", "threads": 1},
        seconds=36.0,
        **changes,
    )


def _learned(treebank: str) -> Record:
    return {
        "file": f"{treebank}-train.conllu",
        "treebank": treebank,
        "use": "train",
        "sentences": 500,
        "words": 10_000,
        "licence": "CC BY-SA 4.0",
        "sha256": sha(treebank),
    }


def facts(treebank: str, *, genres: Sequence[str] = ("news",), labels: dict[str, int] | None = None) -> Record:
    """Facts of a treebank: of its training file with these labels, and a test file of ten sentences."""
    file = {"file": f"{treebank}-train.conllu", "sha256": sha(treebank), "labels": labels or {}}
    pieces = {"encoder": "bundled", "pieces": 150, "unknown": 3, "words_unknown": 2}
    test = {"sentences": 10, "words": 100, "files": [], "pieces": pieces}
    train = {"sentences": 500, "words": 10_000, "files": [file]}
    splits = {"train": train, "test": test} if labels is not None else {"test": test}
    code = {"UD_English-EWT": "en", **{name: code for code, name in CODES.items()}}.get(treebank, "fo")
    return {
        "kind": "treebank",
        "treebank": treebank,
        "code": code,
        "licence": "CC BY-SA 4.0",
        "genres": list(genres),
        "splits": splits,
    }


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The files of a whole study: six systems on ten treebanks with two training and three support seeds, controls, tests of
    training languages, gradients, subnetworks, a learning curve, facts. Static is 4 words of 100 above full, dynamic 2;
    meta systems are one below; far treebanks are 10 below near ones."""
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    gain = {"full": 0, "static": 4, "dynamic": 2, "shuffle": -3, "dr20": -5}

    def right(system: str, treebank: str) -> list[int]:
        loop, _, gates = system.partition("-")
        level = 45 + gain[gates] - (loop == "meta") - 10 * (TREEBANKS.get(treebank, ("", 1.0))[1] < 0.8)
        total = level + int(rng.integers(-1, 2))
        return [total // 10 + (i < total % 10) for i in range(10)]

    lines = []
    for system in (*SIX, "nonep-shuffle", "nonep-dr20"):
        for treebank in TREEBANKS:
            for training in (0, 1):
                for support in (0, 1, 2):
                    seeds = {"training_seed": training, "support_seed": support}
                    lines.append(detailed(system, treebank, right=right(system, treebank), **seeds))
    for n in (5, 20, 100):
        for treebank in [*TREEBANKS][:3]:
            for support in (0, 1, 2):
                total = 40 + {5: 0, 20: 6, 100: 12}[n] + int(rng.integers(-1, 2))
                scored = [total // 10 + (i < total % 10) for i in range(10)]
                lines.append(
                    {**detailed("nonep-static", treebank, right=scored, support_seed=support), "n": n, "reserve": 100}
                )
    _write(folder / "records.jsonl", lines)
    own = []
    for system in ("nonep-full", "nonep-static", "nonep-dynamic", "nonep-shuffle"):
        for code, treebank in CODES.items():
            for training in (0, 1):
                off = 0 if system == "nonep-full" else 13
                line = detailed(system, treebank, right=[7 + (system == "nonep-static")] * 10, training_seed=training)
                chosen = {"method": "own", "code": code, "similarity": None, "gates_off": off}
                line |= {"transfer": chosen, "zero_shot": line["adapted"], "support": []}
                own.append({**line, "adapted": None, "is_adapted": None, "support_seed": None, "language": code})
    _write(folder / "own.jsonl", own)
    _write(folder / "facts.jsonl", _all_facts())
    return [
        folder / "records.jsonl",
        folder / "own.jsonl",
        folder / "facts.jsonl",
        *_conflicts(folder),
        *_gates(folder),
    ]


def _write(path: Path, lines: Iterable[Record]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _all_facts() -> list[Record]:
    seen = {"nsubj": 5000, "root": 4995, "vocative": 5}
    genres = [["news"], ["news", "wiki"], ["bible"], ["fiction", "news", "web"], ["spoken"]]
    tests = [facts(name, genres=genres[i % 5]) for i, name in enumerate(TREEBANKS)]
    return [*(facts(name, labels=seen) for name in ("UD_English-EWT", *CODES.values())), *tests]


def _conflicts(folder: Path) -> list[Path]:
    rng, paths = np.random.default_rng(1), []
    for system, shift in (("nonep-full", 0.0), ("nonep-static", 0.05), ("nonep-dynamic", 0.02)):
        for seed in (0, 1):
            steps = [{"step": 950 + i, "cosines": rng.normal(shift, 0.1, 3).tolist()} for i in range(50)]
            record = {"system": system, "training_seed": seed, "languages": ["ar", "cs", "no"]}
            record |= {"pairs": ["ar-cs", "ar-no", "cs-no"], "cosine_by_pair": {}, "steps": steps}
            paths.append(folder / f"{system}-{seed}.conflicts.json")
            paths[-1].write_text(json.dumps(record), encoding="utf-8")
    return paths


def _gates(folder: Path) -> list[Path]:
    rng, paths = np.random.default_rng(2), []
    for code in CODES:
        for seed in (0, 1):
            paths.append(folder / f"{code}-{seed}.json")
            gates = rng.random((12, 12)) > 0.25
            write_subnetwork(paths[-1], Subnetwork(gates, code, "pruned", seeds=(seed,)))
    return paths
