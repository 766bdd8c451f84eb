"""One runner of `bench/peers.py`, in its own process: trains on a file, parses two files, writes how long that took.

    PYTHON bench/peers_run.py JOB.json

PYTHON is the interpreter that has the system (hopsparser 0.8.0, SuPar 1.1.4, or sublingual), and only that is imported.
The peers' own functions do all of the work; what is done to them is
- their clock is read: training runs from `model.train()`, which both call before an epoch's first batch, to the end of
  the epoch's last optimizer step, so that reading, cutting into pieces, evaluating and saving stay outside;
  parsing runs from the loaded model and a CoNLL-U file to the written CoNLL-U file;
- `frozen` takes the matrix of piece embeddings out of their training (neither has an option for that).
Ours is timed alike: the whole of `finetune_` after its sentences are in pieces, and file to file.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook


@dataclass(frozen=True)
class Job:
    """What to run. `batch` is in sentences, `batch_words` the same in words with roots (SuPar counts those).

    `light` concerns ours only: the dropouts that SuPar has, instead of our defaults.
    """

    system: str
    encoder: str
    trimmed: bool
    frozen: bool
    train: str
    dev: str
    test: str
    n_train: int
    folder: str
    epochs: int
    batch: int
    batch_words: int
    rate: float
    classifier_factor: float
    precision: str
    light: bool
    repeats: int
    threads: int
    seed: int

    @property
    def steps(self) -> int:
        return -(-self.n_train // self.batch) * self.epochs


@dataclass
class Clock:
    """Wall and CPU seconds of the spans between `begin` and the last `mark` after it."""

    wall: float = 0.0
    cpu: float = 0.0
    marks: int = 0
    _last: tuple[float, float] = field(default=(0.0, 0.0))

    def begin(self) -> None:
        self._last = time.perf_counter(), time.process_time()

    def mark(self) -> None:
        now = time.perf_counter(), time.process_time()
        self.wall += now[0] - self._last[0]
        self.cpu += now[1] - self._last[1]
        self.marks += 1
        self._last = now

    @contextmanager
    def span(self) -> Iterator[None]:
        self.begin()
        yield
        self.mark()


def watch_training(model: type[torch.nn.Module]) -> Clock:
    """Returns a clock that runs while models of this class are trained."""
    clock = Clock()
    original = model.train

    def train(self: torch.nn.Module, mode: bool = True) -> torch.nn.Module:
        if mode:
            clock.begin()
        return original(self, mode)

    model.train = train  # type: ignore[method-assign, assignment]
    register_optimizer_step_post_hook(lambda *_: clock.mark())
    return clock


def spans(work: Callable[[Clock], None], *, repeats: int) -> list[dict[str, float]]:
    """Returns the seconds of each of some runs of `work`, which keeps the clock it is given."""
    found = []
    for _ in range(repeats):
        clock = Clock()
        work(clock)
        found.append({"wall": clock.wall, "cpu": clock.cpu})
    return found


def record(job: Job, training: Clock, parsing: list[dict[str, float]]) -> dict[str, Any]:
    names = {"hopsparser": "hopsparser", "SuPar": "supar", "sublingual": "sublingual"}
    return {
        "versions": {name: version(name) for name in (names[job.system], "torch", "transformers", "tokenizers")},
        "steps": training.marks,
        "training_seconds": {"wall": training.wall, "cpu": training.cpu},
        "parsing_seconds": parsing,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


HOPS = """\
mlp_input: 1024
mlp_tag_hidden: 16
mlp_arc_hidden: 512
mlp_lab_hidden: 128
lexers:
  - {{name: enc, type: bert, model: {encoder}, layers: "*", subwords_reduction: mean}}
encoder_dropout: 0.5
mlp_dropout: 0.5
batch_size: {batch}
epochs: {epochs}
lr: {{base: {rate:.8f}, shape: linear, warmup_steps: {warmup}}}
"""


def hopsparser(job: Job) -> dict[str, Any]:
    """The configuration is the one its documentation gives for a BERT; weights of the last epoch (no dev file)."""
    from hopsparser import parser  # this process has one system only

    folder = Path(job.folder)
    warmup = job.steps // 10
    config = folder / "config.yaml"
    text = HOPS.format(encoder=job.encoder, batch=job.batch, epochs=job.epochs, rate=job.rate, warmup=warmup)
    config.write_text(text, encoding="utf-8")
    model = parser.BiAffineParser
    if job.frozen:
        initialize = model.initialize

        def initialize_frozen(*args: Any, **kwargs: Any) -> Any:
            made = initialize(*args, **kwargs)
            made.lexers["enc"].model.get_input_embeddings().weight.requires_grad_(False)
            return made

        model.initialize = initialize_frozen
    training = watch_training(model)
    parser.train(config, folder / "model", Path(job.train), rand_seed=job.seed, overwrite=True)

    load = model.load

    def parse(source: str, name: str, clock: Clock) -> None:
        def load_and_begin(*args: Any, **kwargs: Any) -> Any:
            loaded = load(*args, **kwargs)
            clock.begin()
            return loaded

        model.load = load_and_begin
        parser.parse(folder / "model", Path(source), folder / name, batch_size=32)
        clock.mark()

    parse(job.dev, "dev.conllu", Clock())
    return record(job, training, spans(lambda clock: parse(job.test, "test.conllu", clock), repeats=job.repeats))


def supar(job: Job) -> dict[str, Any]:
    """Sizes and dropouts as its own configuration for fine-tuned encoders; weights of the last epoch.

    Its batches are counted in words and drawn from clusters of like length. The number of clusters (32 by default, made
    for big treebanks) is set to one for each two batches: with more, 200 sentences fall apart into many tiny batches.
    """
    from supar import BiaffineDependencyParser  # this process has one system only

    folder = Path(job.folder)
    few = folder / "few.conllu"  # it evaluates on dev and test after each epoch: let that be little
    few.write_text("".join(block + "\n\n" for block in Path(job.dev).read_text("utf-8").split("\n\n")[:5]), "utf-8")
    buckets = max(1, job.steps // job.epochs // 2)
    settings: dict[str, Any] = {
        "path": str(folder / "model"), "build": True, "encoder": "bert", "bert": job.encoder, "device": "cpu",
        "train": job.train, "dev": str(few), "test": str(few), "tree": True, "proj": False, "partial": False,
        "punct": True, "feat": None, "checkpoint": False, "verbose": False, "seed": job.seed, "threads": job.threads,
        "n_bert_layers": 4, "bert_pooling": "mean", "mix_dropout": 0.0, "encoder_dropout": 0.1,
        "n_arc_mlp": 500, "n_rel_mlp": 100, "mlp_dropout": 0.33, "fix_len": 20, "clip": 5.0, "patience": 10_000,
        "lr": job.rate, "lr_rate": job.classifier_factor, "warmup": 0.1, "update_steps": 1, "epochs": job.epochs,
        "batch_size": job.batch_words, "buckets": buckets,
    }  # fmt: skip
    torch.manual_seed(job.seed)
    parser = BiaffineDependencyParser.build(**settings)
    if job.frozen:
        parser.model.encoder.bert.get_input_embeddings().weight.requires_grad_(False)
    training = watch_training(type(parser.model))
    parser.train(**settings)

    def parse(clock: Clock) -> None:
        with clock.span():
            parser.predict(job.test, pred=str(folder / "test.conllu"), buckets=8, tree=True, verbose=False)

    parser.predict(job.dev, pred=str(folder / "dev.conllu"), buckets=8, tree=True, verbose=False)
    return record(job, training, spans(parse, repeats=job.repeats))


def sublingual(job: Job) -> dict[str, Any]:
    """Default settings but for steps, batch, precision and embeddings; a trimmed run keeps the three files' pieces."""
    from sublingual.data.conllu import read_conllu, write_conllu  # this process has one system only
    from sublingual.model.encoder import load_encoder
    from sublingual.model.parser import ParserConfig, new_parser
    from sublingual.parsing import parse
    from sublingual.runtime import resolve_precision
    from sublingual.training.finetune import FinetuneConfig, finetune_
    from sublingual.training.optim import OptimConfig

    folder = Path(job.folder)
    sentences = read_conllu(job.train)
    texts = [sentences, *(read_conllu(path, heads="ignored") for path in (job.dev, job.test))]
    words = {word for text in texts for sentence in text for word in sentence.words} if job.trimmed else None
    light = ParserConfig(
        dropout=0.33, layers_dropout=0.0, layer_drop=0.0, hide_pieces=0.0, encoder_dropout=0.1, attention_dropout=0.1
    )
    sizes = light if job.light else ParserConfig()
    encoder = load_encoder(
        job.encoder, keep=words, dropout=sizes.encoder_dropout, attention_dropout=sizes.attention_dropout
    )
    torch.manual_seed(job.seed)
    network = new_parser(encoder, config=sizes)
    config = FinetuneConfig(
        steps=job.steps,
        batch=job.batch,
        seed=job.seed,
        precision=job.precision,
        optim=OptimConfig(embeddings=not job.frozen),
    )
    network.encode(sentences, gold=True)
    training = Clock()
    with training.span():
        done = finetune_(network, sentences, config=config)
    training.marks = done.steps

    def parsed(source: str, name: str, precision: str, clock: Clock) -> None:
        with clock.span():
            write_conllu(parse(network, read_conllu(source, heads="ignored"), precision=precision), folder / name)

    parsed(job.dev, "dev.conllu", job.precision, Clock())
    if resolve_precision(job.precision, network.device) != "fp32":
        parsed(job.test, "test-fp32.conllu", "fp32", Clock())

    def again(clock: Clock) -> None:
        network.encoder.pieces.known.clear()  # else all but the first run would find the words cut already
        parsed(job.test, "test.conllu", job.precision, clock)

    return record(job, training, spans(again, repeats=job.repeats))


def main() -> None:
    job = Job(**json.loads(Path(sys.argv[1]).read_text("utf-8")))
    torch.set_num_threads(job.threads)
    run = {"hopsparser": hopsparser, "SuPar": supar, "sublingual": sublingual}[job.system]
    with redirect_stdout(sys.stderr):
        found = run(job)
    found["threads"] = torch.get_num_threads()
    (Path(job.folder) / "record.json").write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
    main()
