"""`sublingual next`: which sentences of a pool to annotate next, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from sublingual.cli.common import Device, Precision, Threads, counting, refuse_unwritable, say, set_threads
from sublingual.data.blocks import DEPREL, HEAD, ID
from sublingual.data.conllu import Sentence, read_conllu, write_conllu
from sublingual.errors import DataError
from sublingual.selection import Wish, select
from sublingual.text import read_sentences

if TYPE_CHECKING:
    from sublingual.selection import Chosen, Left

# Modules that need torch are imported inside the command: `--help` answers at once.


def choose(
    source: Annotated[
        str,
        typer.Argument(metavar="POOL", help="Sentences to choose from; - is standard input. HEADs are not looked at."),
    ],
    out: Annotated[str, typer.Argument(metavar="OUT", help="CoNLL-U to annotate; - is standard output.")] = "-",
    model: Annotated[str, typer.Option("--model", help="The parser whose doubts decide.")] = ...,  # type: ignore[assignment]
    n: Annotated[int, typer.Option("-n", help="How many sentences.")] = Wish.n,
    n_words: Annotated[
        int | None, typer.Option("--words", help="Rather as many sentences as have about so many words.")
    ] = None,
    annotated: Annotated[
        list[str] | None,
        typer.Option("--annotated", help="CoNLL-U that is annotated already: nothing like it is chosen."),
    ] = None,
    max_words: Annotated[int, typer.Option("--max-words", help="No longer sentences.")] = Wish.max_words,
    min_words: Annotated[int, typer.Option("--min-words", help="No shorter ones.")] = Wish.min_words,
    no_trees: Annotated[
        bool,
        typer.Option("--no-trees", help="Leave HEAD and DEPREL empty, for annotation that no parser has coloured."),
    ] = False,
    form: Annotated[
        str, typer.Option("--input", help="What POOL is: conllu, text, presegmented, horizontal, vertical.")
    ] = "conllu",
    device: Device = "auto",
    precision: Precision = "fp32",
    threads: Threads = None,
) -> None:
    """Choose sentences that the parser doubts and that differ from one another; write them parsed, each with the reason."""
    refuse_unwritable(out)
    wish = Wish(n, n_words, min_words, max_words)
    pool = read_sentences(source, form=form)
    if not pool:
        raise DataError(f"{source}: there are no sentences to choose from")
    known = [sentence for file in annotated or [] for sentence in read_conllu(file, heads="partial")]

    from sublingual import runtime
    from sublingual.confidence import confident
    from sublingual.marking import Marks, mark
    from sublingual.parsing import Parser

    set_threads(threads)
    where = runtime.device(device)
    parser = Parser.from_pretrained(model, device=where)
    with counting("parsing", len(pool)) as advance:
        parsed = confident(
            parser, pool, precision=runtime.resolve_precision(precision, where), drop_deps=True, progress=advance
        )
    chosen, left = select(parsed, wish, annotated=known)
    _say(chosen, left, n_pool=len(pool))
    marked = mark([parsed[one.place] for one in chosen], Marks())
    write_conllu(
        [
            _written(s, one, rank, trees=not no_trees)
            for rank, (s, one) in enumerate(zip(marked, chosen, strict=True), 1)
        ],
        out,
    )


def _say(chosen: Sequence[Chosen], left: Left, *, n_pool: int) -> None:
    n_words = sum(len(one.sentence.words) for one in chosen)
    say(f"{len(chosen)} of {n_pool} sentences, {n_words} words:")
    for rank, one in enumerate(chosen, 1):
        text = one.sentence.text or " ".join(one.sentence.words)
        say(f"{rank:>3}  {one.sentence.sent_id or one.sentence.place}: {text}")
        say(f"     {one.reason}")
    for count, why in (
        (left.length, "too short or too long (--min-words, --max-words)"),
        (left.repeated, "repeated in the pool"),
        (left.annotated, "annotated already"),
    ):
        if count:
            say(f"not considered: {count} {why}")


def _written(sentence: Sentence, one: Chosen, rank: int, *, trees: bool) -> Sentence:
    """The sentence as it is written: its rank and reason as comments, its tree or none."""
    comments = (*sentence.comments, f"# next = {rank}", f"# reason = {one.reason}")
    if trees:
        return replace(sentence, comments=comments)
    rows = []
    for row in sentence.rows:
        own = row if not row[ID].isdecimal() else (*row[:HEAD], "_", "_", *row[DEPREL + 1 :])
        rows.append(own)
    return replace(sentence, comments=comments, rows=tuple(rows))
