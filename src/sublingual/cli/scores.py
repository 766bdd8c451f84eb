"""`sublingual evaluate` and `sublingual compare`: official scores, and a paired test of two outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from sublingual.cli.common import Json, Seed, say_if_toy, table
from sublingual.comparison import compare as compare_outputs
from sublingual.data.conllu import read_conllu
from sublingual.errors import ConfigError
from sublingual.scoring import METRICS, Metric, official_score, score, signature

GoldFile = Annotated[str, typer.Argument(help="CoNLL-U with the right trees.")]


def evaluate(
    gold: GoldFile,
    system: Annotated[str, typer.Argument(help="CoNLL-U with the same words, parsed.")],
    as_json: Json = False,
    official: Annotated[
        bool, typer.Option("--official", help="Count with udtools' udeval (must be installed).")
    ] = False,
) -> None:
    """Score SYSTEM against GOLD: the CoNLL-18 metrics for gold tokenisation, and label-aware ones beside them."""
    if official:
        found = official_score(gold, system)
        _warn_of_toys(gold)
        if as_json:
            print(json.dumps({name: _counts(metric) for name, metric in found.items()}))
        else:
            table(
                ["metric", "F1", "correct", "gold"], [[n, f"{m.f1:.2f}", m.correct, m.gold] for n, m in found.items()]
            )
        return
    result = score(read_conllu(gold), read_conllu(system))
    _warn_of_toys(gold)
    if as_json:
        print(json.dumps({"signature": signature(), **result.as_dict()}))
        return
    metrics = [(name, getattr(result, name)) for name in METRICS]
    rows = [[name.upper(), f"{m.f1:.2f}", m.correct, m.gold, m.system] for name, m in metrics]
    table(
        ["metric", "F1", "correct", "gold", "system"],
        rows,
        title=f"{result.n_sentences} sentences, {result.n_words} words",
    )
    print(signature())


def _warn_of_toys(gold: str) -> None:
    say_if_toy([Path(gold).name])


def _counts(metric: Metric) -> dict[str, int | float | None]:
    return {name: getattr(metric, name) for name in ("correct", "gold", "system", "aligned", "f1")}


def compare(
    a: Annotated[str, typer.Argument(help="CoNLL-U of one system.")],
    b: Annotated[str, typer.Argument(help="CoNLL-U of the other.")],
    gold: Annotated[str | None, typer.Option("--gold", help="CoNLL-U with the right trees.")] = None,
    resamples: Annotated[int, typer.Option("--resamples", min=1, help="Bootstrap samples and permutations.")] = 10_000,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Test whether the outputs A and B of one file differ: paired bootstrap interval and permutation test."""
    if gold is None:
        raise ConfigError("--gold FILE is needed: A and B are compared by their scores against it")
    found = compare_outputs(
        read_conllu(gold), read_conllu(a), read_conllu(b), generator=np.random.default_rng(seed), n_resamples=resamples
    )
    _warn_of_toys(gold)
    if as_json:
        print(json.dumps(found.as_dict()))
        return
    rows = []
    for name in ("uas", "las", "clas"):
        d = getattr(found, name)
        interval = f"{d.low:+.2f} to {d.high:+.2f}"
        rows.append([name.upper(), f"{d.a:.2f}", f"{d.b:.2f}", f"{d.difference:+.2f}", interval, f"{d.p_value:.4f}"])
    columns = ["metric", "A", "B", "B - A", "95 %", "p"]
    table(columns, rows, title=f"{found.n_sentences} sentences, {found.n_resamples} resamples, seed {seed}")
