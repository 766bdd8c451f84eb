"""`sublingual data`: getting a UD release, taking one in, listing and checking it."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import DownloadColumn, TransferSpeedColumn

from sublingual.cli.common import Json, Ud, bar, counting, refuse_unwritable, say, say_if_toy, table
from sublingual.data import releases, treebanks
from sublingual.data.embedded import embedded_folder
from sublingual.data.facts import Pieces
from sublingual.data.facts import facts as facts_of
from sublingual.data.textfiles import write_text
from sublingual.errors import DataError

app = typer.Typer(help="Universal Dependencies on this machine.", no_args_is_help=True)
Release = Annotated[str | None, typer.Option("--release", help="Number of the UD release.")]


@app.command()
def download(
    release: Annotated[str, typer.Option("--release", help="Number of the UD release.")] = releases.PAPER_RELEASE,
    url: Annotated[str | None, typer.Option("--url", help="Another address of the archive.")] = None,
    sha256: Annotated[
        str | None, typer.Option("--sha256", help="What the archive's SHA-256 must be, if you know it.")
    ] = None,
) -> None:
    """Fetch a UD release from its archive (it goes on where a fetch was cut) and take it in."""
    with bar(DownloadColumn(), TransferSpeedColumn()) as shown:
        task = shown.add_task(f"UD {release}", total=None)

        def update(done: int, total: int | None) -> None:
            shown.update(task, completed=done, total=total)

        archive = releases.download_release(release, url=url, sha256=sha256, progress=update)
    _take_in(archive, release=release, replace=False)


@app.command("import")
def import_(
    path: Annotated[
        Path, typer.Argument(help="An archive (.tgz, .tar.xz) of a UD release, or a folder that has UD_* folders.")
    ],
    release: Release = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take it in again in place of what is there.")] = False,
) -> None:
    """Take in a UD release that is already on this machine."""
    _take_in(path, release=release, replace=replace)


def _take_in(path: Path, *, release: str | None, replace: bool) -> None:
    with bar() as shown:
        task = shown.add_task(f"reading {path.name}", total=None)

        def update(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)

        found = releases.import_release(path, release=release, replace=replace, progress=update)
    verb = "taken in" if found.fresh else "was here already"
    say(f"UD {found.release} {verb}: {found.treebanks} treebanks in {found.folder}")


@app.command("list")
def list_(
    ud: Ud = None,
    everything: Annotated[bool, typer.Option("--all", help="Also treebanks that the paper does not use.")] = False,
    as_json: Json = False,
) -> None:
    """List the paper's treebanks with what is here of each: sentences and words, counted from the files."""
    rows = [row for row in treebanks.table(releases.ud_folder(ud)) if everything or row.role != "other"]
    if as_json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    columns = ["treebank", "role", "code", "transfer", "train", "dev", "test", "words"]
    table(columns, [_shown(row) for row in rows])
    there = sum(row.present for row in rows if row.role == "test")
    say(f"{there} of {sum(row.role == 'test' for row in rows)} test treebanks are here")
    say_if_toy(row.name for row in rows if row.present)


def _shown(row: treebanks.Row) -> list[object]:
    splits = [row.sizes[split].sentences if split in row.sizes else "-" for split in treebanks.SPLITS]
    return [
        row.name,
        row.role,
        row.code,
        row.transfer_language or "-",
        *splits,
        sum(s.words for s in row.sizes.values()),
    ]


@app.command()
def embedded(
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
) -> None:
    """Copy the ten embedded toy treebanks into a folder laid out like a UD release, to try things with."""
    if out.exists():
        raise DataError(f"{out} is there already; choose another folder")
    shutil.copytree(embedded_folder(), out)
    say(f"toy treebanks in {out}: no score on them is comparable with one on a real treebank")


@app.command()
def check(ud: Ud = None) -> None:
    """Read every treebank of the release strictly, the paper's first of all; exit with 1 where one is missing or faulty."""
    faulty = 0
    for checked in treebanks.check(releases.ud_folder(ud)):
        faulty += bool(checked.faults)
        sizes = ", ".join(f"{split} {size.sentences}" for split, size in checked.sizes.items())
        print(f"{checked.name}: {'; '.join(checked.faults) or 'good'} ({sizes or 'nothing'})")
    raise typer.Exit(1 if faulty else 0)


@app.command()
def facts(
    out: Annotated[Path, typer.Argument(help="File to write, one JSON line a treebank.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TREEBANKS]...", help="Treebanks (default: the paper's that are here)."),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="Also count how this encoder cuts the words into pieces.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also treebanks that the paper does not use.")] = False,
    ud: Ud = None,
) -> None:
    """Write what tables, figures and the report say of treebanks: licences, genres, sizes, labels, pieces."""
    refuse_unwritable(out)
    release = releases.ud_folder(ud)
    there = (row for row in treebanks.table(release) if row.present)
    asked = names or [row.name for row in there if everything or row.role != "other"]
    banks = [treebanks.find(release, name) for name in dict.fromkeys(asked)]
    pieces = None if encoder is None else _pieces(encoder)
    lines = []
    with counting("reading", len(banks)) as advance:
        for bank in banks:
            lines.append(json.dumps(facts_of(bank, pieces=pieces), ensure_ascii=False) + "\n")
            advance(1)
    write_text(lines, out)
    say(f"{len(lines)} treebanks in {out}")


def _pieces(encoder: str) -> Pieces:
    from sublingual.model.pieces import WordPieces  # transformers is slow to import
    from sublingual.model.sources import open_source

    cutter = WordPieces(open_source(encoder).tokenizer(), limit=512)
    return Pieces(encoder, cutter.of, cutter.unknown)
