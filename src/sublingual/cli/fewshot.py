"""`sublingual fewshot`: few-shot testing (section 4.5), one record a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from sublingual import config as settings
from sublingual.cli.common import (
    Device,
    Json,
    Settings,
    Threads,
    Ud,
    Words,
    counting,
    refuse_unwritable,
    say_if_toy,
    set_threads,
    table,
)
from sublingual.cli.stage2 import Found, Retested, Systems, retested
from sublingual.data.releases import ud_folder
from sublingual.data.support import SUPPORT_SIZE
from sublingual.data.treebanks import find
from sublingual.errors import DataError

# Modules that need torch are imported inside the command: `--help` answers at once.


def fewshot(
    model: Annotated[str, typer.Argument(help="Parser to adapt.")],
    treebanks: Annotated[list[str], typer.Argument(help="UD treebanks to test on.")],
    records: Annotated[Path | None, typer.Option("--records", help="File to append one JSON line a run to.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Number of support sets, seeds 0, 1, ...")] = 5,
    first_seed: Annotated[int, typer.Option("--first-seed", min=0, help="Seed of the first support set.")] = 0,
    n: Annotated[int, typer.Option("-n", min=1, help="Sentences in a support set.")] = SUPPORT_SIZE,
    reserve: Annotated[
        int | None,
        typer.Option(
            "--reserve", min=1, help="Never score the sentences that a support set of this size has (learning curves)."
        ),
    ] = None,
    keep_repeated: Annotated[
        bool, typer.Option("--keep-repeated", help="Also score sentences with the words of a support sentence.")
    ] = False,
    method: Annotated[
        str,
        typer.Option(
            "--transfer",
            help="Whose subnetwork, where the parser has some: nearest, random, full, mixture, importance, choice, "
            "cross-validated, or a code.",
        ),
    ] = "nearest",
    gates: Retested = None,
    subnetworks: Found = None,
    systems: Systems = None,
    cap: Annotated[
        int | None, typer.Option("--cap", min=1, help="Score a fixed random sample of that many test sentences.")
    ] = None,
    system: Annotated[str | None, typer.Option("--system", help="Its name in the records (default: its own).")] = None,
    config: Settings = None,
    words: Words = None,
    ud: Ud = None,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Test few-shot: adapt to support sets of each treebank, score the rest of its test file."""
    if records is not None:
        refuse_unwritable(records)
    release = ud_folder(ud)
    banks = [find(release, name) for name in dict.fromkeys(treebanks)]
    for bank in banks:
        if not bank.files("test"):
            raise DataError(f"{bank.name} has no test split; name another treebank")

    from sublingual import runtime
    from sublingual.adaptation import AdaptConfig, config_for
    from sublingual.fewshot import fewshot as run
    from sublingual.fewshot import summary, write_record
    from sublingual.parsing import Parser

    set_threads(threads)
    where = runtime.device(device)
    parser = Parser.from_pretrained(model, device=where)
    parser = retested(parser, gates, subnetworks, systems)
    start = config_for(parser) if config is None else settings.load(AdaptConfig, config)
    chosen = settings.changed(start, words or ())
    chosen = replace(chosen, precision=runtime.resolve_precision(chosen.precision, where))
    found = []
    with counting("testing", len(banks) * seeds) as advance:
        for bank in banks:
            for record in run(
                parser,
                bank,
                seeds=range(first_seed, first_seed + seeds),
                config=chosen,
                n=n,
                reserve=reserve,
                keep_repeated=keep_repeated,
                cap=cap,
                method=method,
                system=system,
            ):
                found.append(record)
                advance(1)
                if records is not None:
                    write_record(records, record)
    say_if_toy(bank.name for bank in banks)
    rows = summary(found)
    if as_json:
        print(json.dumps(rows))
        return
    columns = [
        "system",
        "treebank",
        "transfer",
        "similarity",
        "zero-shot LAS",
        "adapted LAS",
        "sd",
        "seeds",
        "sentences",
    ]
    table(columns, [["-" if value is None else value for value in row.values()] for row in rows])
