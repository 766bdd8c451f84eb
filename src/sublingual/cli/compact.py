"""`sublingual compact`: a model without the attention heads that its subnetwork switches off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sublingual.cli.common import Overwrite, say
from sublingual.errors import ModelError
from sublingual.model.folder import refuse_existing

if TYPE_CHECKING:
    from torch import Tensor

    from sublingual.model.weights import Subnet
    from sublingual.parsing import Parser


def compact(
    model: Annotated[str, typer.Argument(help="A model's folder, or its name on the Hub.")],
    out: Annotated[Path, typer.Argument(help="Folder of the new model.")],
    subnetwork: Annotated[
        str | None, typer.Option("--subnetwork", help="The language whose subnetwork is kept, of a model with several.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Remove the attention heads that are switched off: the same trees from a smaller, faster model without gates."""
    refuse_existing(out, overwrite=overwrite)

    from sublingual.parsing import Parser

    parser = Parser.from_pretrained(model)
    gates = _gates(parser, subnetwork, model)
    n_off = int((gates == 0).sum())
    note = f"{parser.about.note} Compact: {n_off} of {gates.numel()} attention heads removed.".strip()
    about = replace(parser.about, note=note)
    smaller = Parser(parser.network.compacted(gates), about=about, tagger=parser.tagger)
    smaller.save_pretrained(out, overwrite=overwrite)
    before, after = (sum(p.numel() for p in each.network.parameters()) for each in (parser, smaller))
    say(
        f"{n_off} of {gates.numel()} attention heads removed, {before - after:,} of {before:,} parameters; model in {out}"
    )


def _gates(parser: Parser, subnetwork: str | None, model: str) -> Tensor:
    """The gates to keep: those of the language asked for, or else the model's own."""
    codes = ", ".join(parser.subnetworks) or "none"
    if subnetwork is not None:
        if subnetwork not in parser.subnetworks:
            raise ModelError(f"{model} has no subnetwork {subnetwork!r}; it has: {codes}")
        return _of_attention_heads(parser.subnetworks[subnetwork], model)
    if parser.gates is None:
        raise ModelError(
            f"{model} runs in full: no attention head is switched off; adapt it in a subnetwork first, or name one of its own "
            f"by --subnetwork (it has: {codes})"
        )
    return _of_attention_heads(parser.gates, model)


def _of_attention_heads(gates: Subnet, model: str) -> Tensor:
    from sublingual.model.weights import Adapter, WeightMask

    if isinstance(gates, WeightMask | Adapter):
        what = "an adapter" if isinstance(gates, Adapter) else "a subnetwork of single weights"
        raise ModelError(f"{model} has {what}: only whole attention heads can be removed")
    return gates
