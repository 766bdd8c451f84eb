"""`sublingual train` and `parse`: the commands that make and use one parser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from sublingual import config as settings
from sublingual.cli.base import train_parser
from sublingual.cli.common import (
    PRECISION,
    Device,
    Encoder,
    Overwrite,
    Precision,
    Settings,
    Threads,
    Ud,
    Words,
    counting,
    files_of,
    refuse_unwritable,
    say,
    set_threads,
)
from sublingual.data.conllu import write_conllu
from sublingual.data.textfiles import source_name
from sublingual.errors import DataError
from sublingual.model.folder import refuse_existing
from sublingual.text import read_sentences

# Modules that need torch are imported inside the commands: `--help` and the torch-free commands answer at once.


def train(
    out: Annotated[Path, typer.Argument(help="Folder of the new model.")],
    treebanks: Annotated[
        list[str], typer.Argument(help="What to train on: UD treebanks (UD_English-EWT) or CoNLL-U files.")
    ],
    dev: Annotated[list[str] | None, typer.Option("--dev", help="Treebanks or files to score on the way.")] = None,
    ud: Ud = None,
    encoder: Encoder = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Optimizer steps.")] = None,
    config: Settings = None,
    words: Words = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of everything that is drawn.")] = None,
    device: Device = "auto",
    precision: Annotated[str | None, PRECISION] = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Fine-tune an encoder into a parser (stage 1). Stopped, it goes on where it was when called again."""
    refuse_existing(out, overwrite=overwrite)
    files = files_of(treebanks, "train", ud)
    named = [name for name in treebanks if not Path(name).is_file()]
    held_out = files_of(dev, "dev", ud) if dev else files_of(named, "dev", ud, needed=False)

    from sublingual import runtime
    from sublingual.training.stage1 import TrainConfig, config_for

    set_threads(threads)
    wanted = encoder or settings.changed(TrainConfig(), words or ()).encoder
    chosen = settings.changed(config_for(wanted) if config is None else settings.load(TrainConfig, config), words or ())
    given: dict[str, Any] = {"seed": seed, "steps": steps, "precision": precision}
    run = replace(chosen.finetune, **{name: value for name, value in given.items() if value is not None})
    run = replace(run, precision=runtime.resolve_precision(run.precision, runtime.device(device)))
    chosen = replace(chosen, encoder=encoder or chosen.encoder, finetune=run)
    train_parser(out, files, dev=held_out, config=chosen, device=device)


def parse(
    model: Annotated[str, typer.Argument(help="A model's folder, or its name on the Hub.")],
    source: Annotated[str, typer.Argument(metavar="IN", help="CoNLL-U or text to parse; - is standard input.")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="Where to write it; - is standard output.")] = "-",
    form: Annotated[
        str,
        typer.Option(
            "--input", help="What IN is: conllu, text, presegmented (a sentence a line), horizontal, vertical."
        ),
    ] = "conllu",
    drop_deps: Annotated[
        bool, typer.Option("--drop-deps", help="Clear the DEPS column, stale once the tree is new.")
    ] = False,
    upos: Annotated[
        bool,
        typer.Option(
            "--upos/--no-upos", help="Set UPOS where it is _, if the model has learned it; the trees are the same."
        ),
    ] = True,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="Write into MISC how sure the parser is: HeadConf, DepConf, Doubt.")
    ] = False,
    doubt: Annotated[
        float | None, typer.Option("--doubt", help="With confidence: words below this probability are doubted (0.5).")
    ] = None,
    tool: Annotated[
        str | None,
        typer.Option("--for", help="With confidence, ready for: ud, arborator, conllueditor or inception."),
    ] = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    threads: Threads = None,
) -> None:
    """Parse CoNLL-U: HEAD, DEPREL and missing UPOS are predicted, all else is kept; HEADs in IN are not looked at."""
    refuse_unwritable(out)
    if out.endswith((".gz", ".xz")):
        raise DataError(f"{out}: CoNLL-U is written unpacked: name it .conllu and pack it afterwards")
    sentences = read_sentences(source, form=form)
    if not sentences:
        say(f"{source_name(source)} holds no sentences")
    if n_nodes := sum("." in row[0] for sentence in sentences for row in sentence.rows):
        say(f"empty nodes: {n_nodes}, kept as they are and not parsed")
    stale = sum(any(row[8] != "_" for row in sentence.rows) for sentence in sentences)
    if stale and not drop_deps:
        say(
            f"{stale} sentences have enhanced dependencies (DEPS), which are kept as they were: --drop-deps clears them"
        )

    from sublingual import runtime
    from sublingual.confidence import confident
    from sublingual.marking import Marks, mark
    from sublingual.parsing import Parser

    marks = Marks(Marks.doubt if doubt is None else doubt, tool)
    set_threads(threads)
    where = runtime.device(device)
    precision = runtime.resolve_precision(precision, where)
    parser = Parser.from_pretrained(model, device=where)
    with counting("parsing", len(sentences)) as advance:
        if confidence or doubt is not None or tool is not None:
            found = confident(parser, sentences, precision=precision, drop_deps=drop_deps, upos=upos, progress=advance)
            parsed = mark(found, marks)
        else:
            parsed = parser.parse(sentences, precision=precision, drop_deps=drop_deps, upos=upos, progress=advance)
    write_conllu(parsed, out)
