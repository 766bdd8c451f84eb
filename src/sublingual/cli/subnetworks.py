"""`sublingual subnetwork`: find, show, compare and join subnetworks. All but `find` need no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Annotated

import typer

from sublingual.cli.common import Json, refuse_unwritable, say, say_if_toy, table
from sublingual.cli.finding import find
from sublingual.data.textfiles import write_text
from sublingual.errors import ConfigError
from sublingual.subnetworks.files import AnySubnetwork, join_any, overlap_any, read_any, write_any
from sublingual.subnetworks.gates import Subnetwork
from sublingual.subnetworks.heatmap import heat_map, text_map
from sublingual.subnetworks.masks import WeightSubnetwork

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
    found = [read_any(path) for path in files]
    if svg is not None:
        refuse_unwritable(svg)
        heads = [s for s in found if isinstance(s, Subnetwork)]
        if len(heads) < len(found):
            raise ConfigError("--svg draws attention heads; subnetworks of single weights have no map")
        write_text([heat_map(heads), "\n"], svg)
        say(f"maps in {svg}")
    if as_json:
        print(json.dumps([_described(s) for s in found]))
        return
    for path, subnetwork in zip(files, found, strict=True):
        shown = text_map(subnetwork) if isinstance(subnetwork, Subnetwork) else _shares(subnetwork)
        print(f"{path}: {_line(subnetwork)}\n{shown}\n")
    _warn(found)


@app.command()
def compare(
    files: Files,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="A square: Jaccard index of what is off for each two.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare subnetworks in pairs: Jaccard index of what is on and of what is off, and how many each layer shares."""
    found = [read_any(path) for path in files]
    if matrix:
        if as_json:
            raise ConfigError("--matrix and --json: give one of them; --json has every pair")
        rows = [
            [a.stem, *(f"{overlap_any(x, y).jaccard_off:.3f}" for y in found)]
            for a, x in zip(files, found, strict=True)
        ]
        _warn(found)
        table(["Jaccard off", *(path.stem for path in files)], rows)
        return
    pairs = [(a, b, overlap_any(found[a], found[b])) for a, b in combinations(range(len(files)), 2)]
    if as_json:
        print(json.dumps([{"a": str(files[a]), "b": str(files[b]), **asdict(shared)} for a, b, shared in pairs]))
        return
    _warn(found)
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
    joined = join_any([read_any(path) for path in files], only_common=only_common)
    write_any(out, joined)
    say(f"{out}: {_line(joined)}")


def _warn(found: Sequence[AnySubnetwork]) -> None:
    """Says where one was found on embedded toy treebanks, or joined from such."""
    say_if_toy(str(used.get("file")) for each in found for used in each.details.get("data", ()))


def _line(subnetwork: AnySubnetwork) -> str:
    s = subnetwork
    of = f"{s.gates.size} attention heads" if isinstance(s, Subnetwork) else f"{s.size} weights"
    seeds = f", seeds {_spaced(s.seeds)}" if s.seeds else ""
    las = "" if s.dev_before is None else f", dev LAS {s.dev_before:.2f} before and {s.dev_after:.2f} after"
    return f"{s.language}, {s.method}{seeds}: {s.n_off} of {of} off{las}"


def _shares(subnetwork: WeightSubnetwork) -> str:
    """A line a parameter: how many of its weights are on."""
    return "\n".join(f"{name} {on.mean():.3f}" for name, on in subnetwork.kept.items())


def _described(subnetwork: AnySubnetwork) -> dict[str, object]:
    s = subnetwork
    switches = {"gates": s.rows()} if isinstance(s, Subnetwork) else {"weights": s.size}
    return {
        "language": s.language,
        "method": s.method,
        "seeds": list(s.seeds),
        "encoder": s.encoder,
        "off": s.n_off,
        **switches,
        "dev_before": s.dev_before,
        "dev_after": s.dev_after,
    }


def _spaced(values: tuple[int, ...]) -> str:
    return " ".join(map(str, values))
