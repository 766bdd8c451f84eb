"""`sublingual figure`, `sublingual report`: the paper's figures and one page of everything, from files of records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sublingual.analysis.results import Results
from sublingual.cli.common import Seed, refuse_unwritable, say
from sublingual.cli.tables import material_of
from sublingual.data.textfiles import write_text
from sublingual.errors import ConfigError

# matplotlib is an extra, and slow to import: the modules that need it are imported inside the commands.

Base = Annotated[
    str, typer.Option("--base", help='What changes are changes against; "full": each loop\'s own full system.')
]
Resamples = Annotated[int, typer.Option("--resamples", min=1, help="Resamples of intervals and tests.")]
Paper = Annotated[bool, typer.Option("--paper", help="The rows that the paper prints, in place of records.")]


def figure(
    name: Annotated[str, typer.Argument(help="1 or changes, 2 or factors, 3 or masks, subnetworks, overlap, curve.")],
    records: Annotated[
        list[Path] | None,
        typer.Argument(help="Files of records, of `data facts`, of subnetworks."),
    ] = None,
    outs: Annotated[
        list[Path] | None,
        typer.Option("--out", help="File to write, .svg or .pdf (default: figure.svg); may be repeated."),
    ] = None,
    base: Base = "full",
    paper: Paper = False,
    resamples: Resamples = 2000,
    seed: Seed = 0,
) -> None:
    """Draw a figure of the paper, or one of ours, from records."""
    files = outs or [Path("figure.svg")]
    _need_matplotlib()
    from sublingual.analysis.figures import kind_of
    from sublingual.analysis.plots import format_of, save

    for out in files:
        refuse_unwritable(out)
        format_of(out)
    kind = kind_of(name)
    results = Results(material_of(records or [], paper), base, seed=seed, n_resamples=resamples)
    drawn = kind.draw(results)
    for out in files:
        save(drawn, out)
        say(f"{kind.title}: {out}")


def report(
    names: Annotated[
        list[Path],
        typer.Argument(
            metavar="[RECORDS]... OUT.html", help="Files of results (see `table`), and last the page to write."
        ),
    ],
    base: Base = "full",
    paper: Paper = False,
    resamples: Resamples = 10_000,
    seed: Seed = 0,
) -> None:
    """Write one self-contained HTML page: tables, figures, guidance, every treebank, settings, data, licences."""
    *records, out = names
    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"the last name is the page to write, OUT.html; {out} is none")
    refuse_unwritable(out)
    _need_matplotlib()
    from sublingual.analysis.report import report as page

    results = Results(material_of(records, paper), base, seed=seed, n_resamples=resamples)
    write_text([page(results, out=out)], out)
    say(f"report in {out}")


def _need_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as fault:
        raise ConfigError("figures need matplotlib: pip install 'sublingual[analysis]'") from fault
