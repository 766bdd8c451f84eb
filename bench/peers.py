"""The same encoder and sentences through hopsparser, SuPar and sublingual: how fast each trains and parses, how well.

    python bench/peers.py --hops PYTHON --supar PYTHON --ud FOLDER --work DIR [--trimmed] [--train 200] [--test 500]
                          [--threads 2] [--epochs 5] [--batch 20] [--rounds 1] [--our-dropout light] [--json FILE]

PYTHON are interpreters in which the peers are installed (Python 3.11, CPU build of torch 2.13.0):
    hopsparser 0.8.0   python -m venv hops; hops/bin/pip install torch==2.13.0; hops/bin/pip install --no-deps
        hopsparser==0.8.0; hops/bin/pip install transformers==4.57.6 bidict boltons "click<9" fastapi fasttextlt loguru
        pooch "pydantic<2.12" "pydantic-settings<2.10" pyyaml rich sacremoses tabulate2 uvicorn
    SuPar 1.1.4        python -m venv supar; supar/bin/pip install torch==2.13.0 transformers==4.48.3 nltk stanza dill;
        supar/bin/pip install --no-deps supar==1.1.4
One of them may be left out. FOLDER holds UD_English-EWT. DIR takes the files that are cut from it (the first sentences
of train, dev and test), the encoder as a plain Hugging Face directory, and each system's output.

What is equal: sentences, number of epochs, threads, torch version, and the batch of 20 sentences (SuPar counts words:
its batches hold as many words as 20 sentences have on average). What is not: each system's own model around the encoder,
its own rates (options; SuPar's are the better of two tried on dev, hopsparser's a guess: it was too slow to try many).
Our dropouts are by default SuPar's (0.33 and 0.1): in 50 steps on 200 sentences, trimmed, seed 0, SuPar came to dev LAS
59.2, ours to 61.7 with them, to 22.7 with ParserConfig's of that day; `--our-dropout default` takes ParserConfig's. Then
- plain: peers train all 250,037 piece embeddings, as they do when given an encoder; ours leaves them as they are, which
  is its default. A row of ours that trains them stands beside it.
- `--trimmed`: the encoder holds the pieces of these files only, and nobody trains embeddings.
Time is taken inside each process around training and around parsing from file to file (see `peers_run.py`): without
start-up, loading, saving and evaluation. A difference of two runs' wall times would say the same with more noise.
Before the timed file each system parses the dev file. Systems take turns for some rounds (`--rounds`), and the load
average before each turn is in the record. Of the rounds' trainings and of all parsings the fastest counts: other jobs
only ever add.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import peers_encoder
from peers_run import Job

from sublingual.data.conllu import Sentence, read_conllu, write_conllu
from sublingual.runtime import device, machine, resolve_precision
from sublingual.scoring import score

RUNNER = Path(__file__).with_name("peers_run.py")
SPLITS = ("train", "dev", "test")


def cut(ud: Path, work: Path, *, sizes: dict[str, int]) -> dict[str, list[Sentence]]:
    """Writes the first sentences of each split of English-EWT and returns them."""
    parts = {}
    for split, size in sizes.items():
        sentences = read_conllu(ud / "UD_English-EWT" / f"en_ewt-ud-{split}.conllu")
        if len(sentences) < size:
            raise SystemExit(f"{split} of English-EWT has {len(sentences)} sentences, {size} were asked for")
        parts[split] = sentences[:size]
        write_conllu(parts[split], work / f"{split}.conllu")
    return parts


def environment(threads: int) -> dict[str, str]:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
    fixed = {
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_OFFLINE": "1",
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",  # SuPar loads its own pickled checkpoint
        "PYTHONUTF8": "1",
        "TOKENIZERS_PARALLELISM": "true",
    }
    return os.environ | fixed | dict.fromkeys(names, str(threads))


def run(python: str, job: Job) -> dict[str, Any]:
    """Returns what the runner recorded; its output is kept beside it, and shown where it failed."""
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.json").unlink(missing_ok=True)
    (folder / "job.json").write_text(json.dumps(asdict(job), indent=1), "utf-8")
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        command = [python, str(RUNNER), str(folder / "job.json")]
        done = subprocess.run(command, stdout=log, stderr=log, env=environment(job.threads), check=False)
    if done.returncode:
        tail = (folder / "log.txt").read_text("utf-8", errors="replace")[-3000:]
        raise SystemExit(f"{job.system} ended with {done.returncode}:\n{tail}")
    found: dict[str, Any] = json.loads((folder / "record.json").read_text("utf-8"))
    return found


def in_turns(runs: list[tuple[str, str, Job]], *, rounds: int) -> list[dict[str, Any]]:
    """Returns one record of each run: its fastest training, its parsings of all rounds, the load before each."""
    found: list[list[dict[str, Any]]] = [[] for _ in runs]
    for _ in range(rounds):
        for (name, python, job), records in zip(runs, found, strict=True):
            load = os.getloadavg()[0]
            print(f"{name}: load average {load:.2f} ...", file=sys.stderr, flush=True)
            records.append(run(python, job) | {"load_average": load})
    return [
        min(records, key=lambda record: record["training_seconds"]["wall"])
        | {"parsing_seconds": [seconds for record in records for seconds in record["parsing_seconds"]]}
        | {"load_average": [record["load_average"] for record in records]}
        for records in found
    ]


def judged(name: str, job: Job, found: dict[str, Any], parts: dict[str, list[Sentence]]) -> dict[str, Any]:
    """Returns the row of a run: speeds, and its output scored by us against gold."""
    folder = Path(job.folder)
    trained, n_test = job.n_train * job.epochs, len(parts["test"])
    fastest = min(found["parsing_seconds"], key=lambda seconds: seconds["wall"])
    row = {
        "name": name,
        "train_sentences_per_second": trained / found["training_seconds"]["wall"],
        "train_sentences_per_cpu_second": trained / found["training_seconds"]["cpu"],
        "parse_sentences_per_second": n_test / fastest["wall"],
        "parse_sentences_per_cpu_second": n_test / fastest["cpu"],
    }
    for split in ("dev", "test"):
        scored = score(parts[split], read_conllu(folder / f"{split}.conllu", heads="ignored"))
        row |= {f"{split}_uas": scored.uas.f1, f"{split}_las": scored.las.f1}
    if (folder / "test-fp32.conllu").exists():
        pairs = zip(read_conllu(folder / "test-fp32.conllu"), read_conllu(folder / "test.conllu"), strict=True)
        row["trees_unlike_fp32"] = sum((a.heads, a.labels) != (b.heads, b.labels) for a, b in pairs) / n_test
    return row | found | {"job": asdict(job)}


def jobs(options: argparse.Namespace, parts: dict[str, list[Sentence]], encoder: Path) -> list[tuple[str, str, Job]]:
    """Returns (name of the row, interpreter, job) of each run, peers first."""
    words = sum(len(s.words) + 1 for s in parts["train"])

    def job(system: str, name: str, **own: Any) -> Job:
        return Job(
            **{
                "system": system, "encoder": str(encoder), "trimmed": options.trimmed, "frozen": options.trimmed,
                **{split: str(options.work / f"{split}.conllu") for split in SPLITS},
                "n_train": len(parts["train"]), "folder": str(options.work / name.replace(" ", "-")),
                "epochs": options.epochs, "batch": options.batch,
                "batch_words": round(options.batch * words / len(parts["train"])), "rate": 0.0, "classifier_factor": 1.0,
                "precision": "fp32", "light": options.our_dropout == "light",
                "repeats": options.repeats, "threads": options.threads, "seed": options.seed,
            }
            | own
        )  # fmt: skip

    found = []
    if options.hops:
        found.append(("hopsparser", options.hops, job("hopsparser", "hopsparser", rate=options.hops_rate)))
    if options.supar:
        rates = {"rate": options.supar_rate, "classifier_factor": options.supar_factor}
        found.append(("SuPar", options.supar, job("SuPar", "SuPar", **rates)))
    ours = {"encoder": "bundled", "frozen": True}
    for precision in dict.fromkeys(resolve_precision(name, device("cpu")) for name in ("fp32", "auto")):
        name = f"sublingual {precision}"
        found.append((name, sys.executable, job("sublingual", name, **ours, precision=precision)))
        if not options.trimmed:
            name = f"sublingual {precision} all"
            all_trained = ours | {"frozen": False}
            found.append((name, sys.executable, job("sublingual", name, **all_trained, precision=precision)))
    return found


def ratios(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Returns for each run of ours how many times the faster peer's speeds it has (empty without a peer)."""
    peers = [row for row in rows if row["job"]["system"] != "sublingual"]
    ours = [row for row in rows if row["job"]["system"] == "sublingual"]
    keys = ("train_sentences_per_second", "parse_sentences_per_second")
    return {row["name"]: {key: row[key] / max(peer[key] for peer in peers) for key in keys} for row in ours if peers}


def table(rows: list[dict[str, Any]], compared: dict[str, dict[str, float]]) -> str:
    lines = [
        f"{'':22}{'training':>9}{'parsing':>9}{'dev':>8}{'test':>8}{'steps':>7}{'memory':>9}{'load':>6}   times the faster",
        f"{'':22}{'sents/s':>9}{'sents/s':>9}{'LAS':>8}{'LAS':>8}{'':>7}{'MB':>9}{'':>6}   peer: training, parsing",
    ]
    for row in rows:
        speeds = f"{row['train_sentences_per_second']:9.1f}{row['parse_sentences_per_second']:9.1f}"
        scores = f"{row['dev_las']:8.2f}{row['test_las']:8.2f}{row['steps']:7}{row['peak_mb']:9}{max(row['load_average']):6.1f}"
        times = "".join(f"{value:11.2f}" for value in compared.get(row["name"], {}).values())
        unlike = f"   {row['trees_unlike_fp32']:.1%} of trees unlike fp32's" if "trees_unlike_fp32" in row else ""
        lines.append(f"{row['name']:22}{speeds}{scores}{times}{unlike}")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hops", help="interpreter with hopsparser")
    parser.add_argument("--supar", help="interpreter with SuPar")
    parser.add_argument("--ud", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--trimmed", action="store_true")
    for name, value in {"train": 200, "test": 500, "dev": 500, "threads": 2, "epochs": 5, "batch": 20}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--repeats", type=int, default=3, help="of the timed parsing")
    parser.add_argument("--rounds", type=int, default=1, help="of everything, the systems taking turns")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hops-rate", type=float, default=3e-4)
    parser.add_argument("--supar-rate", type=float, default=2e-4, help="of the encoder")
    parser.add_argument("--supar-factor", type=float, default=10.0, help="the classifier's rate over the encoder's")
    parser.add_argument("--our-dropout", choices=("light", "default"), default="light")
    parser.add_argument("--json", type=Path, help="append the record to this file")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    options.work = options.work.resolve() / ("trimmed" if options.trimmed else "plain")
    options.work.mkdir(parents=True, exist_ok=True)
    parts = cut(options.ud, options.work, sizes={split: getattr(options, split) for split in SPLITS})
    words = sorted({word for sentences in parts.values() for s in sentences for word in s.words})
    encoder, notes = peers_encoder.export(options.work / "encoder", words=words if options.trimmed else None)
    runs = jobs(options, parts, encoder)
    found = in_turns(runs, rounds=options.rounds)
    rows = [judged(name, job, record, parts) for (name, _, job), record in zip(runs, found, strict=True)]
    compared = ratios(rows)
    record = {
        "race": "trimmed, nobody trains embeddings" if options.trimmed else "plain, peers train all embeddings",
        "sizes": {split: {"sentences": len(s), "words": sum(len(x.words) for x in s)} for split, s in parts.items()},
        "encoder": notes,
        "machine": machine() | {"threads": options.threads},
        "rows": rows,
        "times_the_faster_peer": compared,
    }
    line = json.dumps(record)
    if options.json:
        with options.json.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    print(line)
    print(table(rows, compared))


if __name__ == "__main__":
    main()
