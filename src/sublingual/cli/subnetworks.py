"""`sublingual subnetwork`: find, show, compare and join subnetworks. All but `find` need no torch."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Annotated

import typer

from sublingual.cli.common import Json, refuse_unwritable, say, table
from sublingual.cli.finding import find
from sublingual.data.textfiles import write_text
from sublingual.subnetworks.gates import (
    Subnetwork,
    intersection,
    overlap,
    read_subnetwork,
    union,
    write_subnetwork,
)
from sublingual.subnetworks.heatmap import heat_map, text_map

app = typer.Typer(no_args_is_help=True, help="Find, show, compare and join the subnetworks of languages.")
app.command("find")(find)

Files = Annotated[list[Path], typer.Argument(help="Files that `subnetwork find` wrote.")]


@app.command()
def show(
    files: Files,
    svg: Annotated[Path | None, typer.Option("--svg", help="Write the maps, side by side, to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Show which attention heads are on (#) and off (.), a row a layer, and how the subnetwork was found."""
    found = [read_subnetwork(path) for path in files]
    if svg is not None:
        refuse_unwritable(svg)
        write_text([heat_map(found), "\n"], svg)
        say(f"maps in {svg}")
    if as_json:
        print(json.dumps([_described(s) for s in found]))
        return
    for path, subnetwork in zip(files, found, strict=True):
        print(f"{path}: {_line(subnetwork)}\n{text_map(subnetwork)}\n")


@app.command()
def compare(files: Files, as_json: Json = False) -> None:
    """Compare subnetworks in pairs: Jaccard index of what is on and of what is off, and how many each layer shares."""
    found = [read_subnetwork(path) for path in files]
    pairs = [(a, b, overlap(found[a], found[b])) for a, b in combinations(range(len(files)), 2)]
    if as_json:
        print(json.dumps([{"a": str(files[a]), "b": str(files[b]), **asdict(shared)} for a, b, shared in pairs]))
        return
    columns = ["a", "b", "Jaccard on", "Jaccard off", "both keep, by layer", "either keeps, by layer"]
    rows = [
        [
            files[a].stem,
            files[b].stem,
            f"{o.jaccard_on:.3f}",
            f"{o.jaccard_off:.3f}",
            _spaced(o.both),
            _spaced(o.either),
        ]
        for a, b, o in pairs
    ]
    table(columns, rows)


@app.command(name="union")
def join(
    out: Annotated[Path, typer.Argument(help="File to write.")],
    files: Files,
    only_common: Annotated[
        bool, typer.Option("--intersection", help="Keep only what all of them keep (footnote 2 of the paper).")
    ] = False,
) -> None:
    """Join subnetworks: what any of them keeps is on."""
    refuse_unwritable(out)
    joined = (intersection if only_common else union)([read_subnetwork(path) for path in files])
    write_subnetwork(out, joined)
    say(f"{out}: {_line(joined)}")


def _line(subnetwork: Subnetwork) -> str:
    s = subnetwork
    seeds = f", seeds {_spaced(s.seeds)}" if s.seeds else ""
    las = "" if s.dev_before is None else f", dev LAS {s.dev_before:.2f} before and {s.dev_after:.2f} after"
    return f"{s.language}, {s.method}{seeds}: {s.n_off} of {s.gates.size} attention heads off{las}"


def _described(subnetwork: Subnetwork) -> dict[str, object]:
    s = subnetwork
    return {
        "language": s.language,
        "method": s.method,
        "seeds": list(s.seeds),
        "encoder": s.encoder,
        "off": s.n_off,
        "gates": s.rows(),
        "dev_before": s.dev_before,
        "dev_after": s.dev_after,
    }


def _spaced(values: tuple[int, ...]) -> str:
    return " ".join(map(str, values))
