"""`sublingual subnetwork find`: the attention heads, or the single weights, that a language uses, by pruning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import TextColumn

from sublingual import config as settings
from sublingual.cli.common import (
    Device,
    Settings,
    Threads,
    Ud,
    Words,
    bar,
    say,
    say_if_toy,
    set_threads,
    table,
)
from sublingual.cli.stage2 import languages_of
from sublingual.errors import ConfigError
from sublingual.subnetworks.files import join_any, read_any, write_any
from sublingual.subnetworks.masks import SUFFIX

if TYPE_CHECKING:
    from sublingual.training.finding import Watch
    from sublingual.training.loop import Progress


class Kind(StrEnum):
    """What a subnetwork is made of."""

    heads = "heads"
    weights = "weights"


# Modules that need torch are imported inside the command: `--help` answers at once.


def find(
    out: Annotated[Path, typer.Argument(help="Folder of the subnetworks.")],
    treebanks: Annotated[
        list[str] | None,
        typer.Argument(help="UD treebanks or CODE=TREEBANK, one or more languages (default: the paper's)."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Start from this parser of stage 1 (the cheap way).")
    ] = None,
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="Start from this pretrained encoder (the paper's way).")
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Runs a language, seeds 0, 1, ...; their union counts.")
    ] = 4,
    kind: Annotated[
        Kind,
        typer.Option("--kind", help="Attention heads by importance, or single weights by magnitude (unstructured)."),
    ] = Kind.heads,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="This seed alone, and no union.")] = None,
    config: Settings = None,
    words: Words = None,
    ud: Ud = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Find the subnetwork of each language: fine-tune on it, prune, once a seed. What is there of the same search is kept."""
    if (model is None) == (encoder is None):
        raise ConfigError(
            "give --model M (a parser of stage 1) or --encoder E (from a pretrained encoder, as the paper)"
        )
    train = languages_of(treebanks, ud)
    dev = languages_of(treebanks, ud, split="dev")

    from sublingual import runtime
    from sublingual.parsing import Parser
    from sublingual.training.finding import RAW, STAGE1, FindConfig, refuse_other
    from sublingual.training.runs import CHECKPOINT, only_run_in
    from sublingual.training.stage1 import config_for

    set_threads(threads)
    chosen = settings.load(FindConfig, config, words=words or ())
    where, of = runtime.device(device), STAGE1 if model else RAW
    find_one, suffix = _finder(kind)
    rows: list[list[object]] = []
    # Runs of single seeds work side by side in one folder; each has a run folder of its own.
    with only_run_in(out) if seed is None else nullcontext():
        for code, files in train.items():
            found = []
            for i in range(seeds) if seed is None else [seed]:
                there = out / f"{code}-{i}{suffix}"
                if there.is_file():
                    refuse_other(read_any(there), there, train=files, dev=dev[code], config=chosen, seed=i, start=of)
                else:
                    start = Parser.from_pretrained(model, device=where) if model else config_for(encoder)
                    with _watching(f"{code}, seed {i}", f"{kind} off", chosen.finetune.steps) as watch:
                        find_one(
                            start, code, train=files, dev=dev[code], config=chosen, seed=i, folder=out, watch=watch
                        )
                    (out / f"{code}-{i}.run" / CHECKPOINT).unlink(missing_ok=True)  # large, and done with
                found.append(read_any(there))
                rows.append([code, i, found[-1].n_off, found[-1].dev_before, found[-1].dev_after])
            if seed is not None:
                continue
            joined = join_any(found, only_common=False)
            write_any(out / f"{code}{suffix}", joined)
            rows.append([code, "union", joined.n_off, "", ""])
    say_if_toy(path.name for files in train.values() for path in files)
    table(["language", "seed", f"{kind} off", "dev LAS before", "after"], rows)
    say(f"subnetworks in {out}")


def _finder(kind: Kind) -> tuple[Callable[..., object], str]:
    """What finds a subnetwork of the kind, and how its files end."""
    from sublingual.training.finding import find as of_heads
    from sublingual.training.finding import find_weights

    return (find_weights, SUFFIX) if kind is Kind.weights else (of_heads, ".json")


@contextmanager
def _watching(name: str, what: str, steps: int) -> Iterator[Watch]:
    """Shows a bar for the fine-tuning, and how the pruning goes."""
    from sublingual.training.finding import Watch

    with bar(TextColumn("{task.completed}/{task.total} {task.fields[state]}")) as shown:
        task = shown.add_task(name, total=steps, state="")

        def training(now: Progress) -> None:
            shown.update(task, completed=now.step, state=f"loss {now.loss:.2f}")

        def pruning(n_off: int, las: float) -> None:
            shown.update(task, state=f"{n_off} {what}, dev LAS {las:.2f}")

        yield Watch(training, pruning)
