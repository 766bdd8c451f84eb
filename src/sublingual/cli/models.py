"""`sublingual train`, `adapt`, `parse`: the commands that make and use one parser."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sublingual import config as settings
from sublingual.cli.base import base_parser, language_of, refuse_existing, tagged, train_parser
from sublingual.cli.common import (
    Device,
    Overwrite,
    Seed,
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
from sublingual.data.conllu import Sentence, read_conllu, write_conllu
from sublingual.data.support import SUPPORT_SIZE
from sublingual.data.textfiles import source_name
from sublingual.errors import ConfigError, DataError, LanguageError
from sublingual.languages import Language, nearest, resolve
from sublingual.text import read_sentences

if TYPE_CHECKING:
    from sublingual.adaptation import Adapted
    from sublingual.model.weights import Subnet
    from sublingual.parsing import Parser

# Modules that need torch are imported inside the commands: `--help` and the torch-free commands answer at once.

Encoder = Annotated[
    str | None, typer.Option("--encoder", help="A Hub name, a directory, or `bundled`, which needs no hub.")
]
_PRECISION = typer.Option("--precision", help="fp32, bf16, or auto (bf16 where the processor has it).")
Precision = Annotated[str, _PRECISION]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


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
    precision: Annotated[str | None, _PRECISION] = None,
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


def adapt(
    support: Annotated[
        str, typer.Argument(help="CoNLL-U with the annotated sentences (twenty are usual); - is stdin.")
    ],
    out: Annotated[Path, typer.Argument(help="Folder of the new model.")],
    model: Annotated[
        str | None, typer.Option("--model", help="Parser to start from (default: the cached base parser).")
    ] = None,
    lang: Annotated[str | None, typer.Option("--lang", help="The language (default: from the file's name).")] = None,
    like: Annotated[
        str | None, typer.Option("--like", help="A language that stands in where URIEL lacks yours.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Gradient steps on the whole set.")] = 20,
    optimizer: Annotated[
        str | None, typer.Option("--optimizer", help="adam, or sgd (default: sgd for a meta-trained parser).")
    ] = None,
    encoder_rate: Annotated[float | None, typer.Option("--encoder-rate", help="Learning rate of the encoder.")] = None,
    classifier_rate: Annotated[float | None, typer.Option("--classifier-rate", help="That of the rest.")] = None,
    shared: Annotated[
        bool,
        typer.Option(
            "--shared",
            help="Leave the encoder as it is but for biases and norms: a service holds it once for many such models.",
        ),
    ] = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
    ud: Ud = None,
    encoder: Encoder = None,
    yes: Yes = False,
    overwrite: Overwrite = False,
) -> None:
    """Adapt a parser to a language with some annotated sentences, and save it as a new model."""
    refuse_existing(out, overwrite=overwrite)
    if model and encoder:
        raise ConfigError(f"--model {model} has its own encoder; leave out --encoder {encoder}")
    sentences = _support(support)
    language = language_of(support) if lang is None else _resolved(lang, like)
    _say_language(language if like is None else resolve(like))

    from sublingual import runtime
    from sublingual.adaptation import SHARED, AdaptConfig, config_for
    from sublingual.adaptation import adapt as run
    from sublingual.parsing import Parser

    set_threads(threads)
    where = runtime.device(device)
    given = {"steps": steps, "precision": runtime.resolve_precision(precision, where)}
    chosen = {"optimizer": optimizer, "encoder_rate": encoder_rate, "classifier_rate": classifier_rate}
    changes = given | (SHARED if shared else {}) | {name: value for name, value in chosen.items() if value is not None}
    settings.from_mapping(AdaptConfig, changes, source="the options")  # what cannot be is refused before any work
    base = Parser.from_pretrained(model, device=where) if model else base_parser(encoder, ud, device=device, yes=yes)
    say(
        f"starting from a parser trained on: {', '.join(base.about.trained_on) or 'languages that its card does not name'}"
    )
    config = replace(config_for(base), **changes)  # type: ignore[arg-type]
    gates = _gates(base, language if like is None else resolve(like))
    with counting("adapting", steps) as advance:
        adapted = run(base, sentences, config=config, seed=seed, gates=gates, progress=lambda step, loss: advance(1))
    _say_adapted(adapted)
    about = replace(
        base.about,
        language=lang if language is None else language.code,
        seeds={**base.about.seeds, "adaptation": seed},
        settings={**base.about.settings, "adaptation": asdict(config)},
        data=(*base.about.data, _described(support, sentences)),
        note=f"Adapted with {steps} steps on {len(sentences)} sentences.",
        scores={},
    )
    replace(tagged(adapted.parser, sentences, seed=seed), about=about).save_pretrained(out, overwrite=overwrite)
    say(f"model in {out}; parse with: sublingual parse {out} IN.conllu OUT.conllu")


def _support(file: str) -> list[Sentence]:
    """The support sentences, of any number; DataError for none, before a base parser is trained for nothing."""
    sentences = read_conllu(file, heads="partial")
    n_heads = sum(head is not None for sentence in sentences for head in sentence.heads)
    if not n_heads:
        raise DataError(
            f"{source_name(file)}: no word with a head in its {len(sentences)} sentences; annotate HEAD and DEPREL of some"
        )
    if len(sentences) != SUPPORT_SIZE:
        say(f"{len(sentences)} sentences (the studies use {SUPPORT_SIZE}): all of them are used")
    n_words = sum(len(sentence.words) for sentence in sentences)
    if n_heads < n_words:
        say(f"{n_words - n_heads} of {n_words} words have no HEAD (_): they do not count")
    return sentences


def _resolved(lang: str, like: str | None) -> Language | None:
    """The language of that name; with a stand-in, it may be one that nobody knows."""
    try:
        return resolve(lang)
    except LanguageError:
        if like is None:
            raise
        return None


def _say_language(language: Language | None) -> None:
    if language is None:
        say("language: not known from the file's name; --lang CODE shows the nearest training languages")
        return
    if language.note:
        say(language.note)
    try:
        near = ", ".join(f"{n.language} {n.similarity:.3f}" for n in nearest(language)[:3])
    except LanguageError as fault:  # no vector; adapting a parser without subnetworks does not need one
        say(str(fault))
    else:
        say(f"language: {language.name}; nearest training languages: {near} (of the paper's seven)")


def _gates(base: Parser, language: Language | None) -> Subnet | None:
    """The nearest language's subnetwork, where the parser has subnetworks and the language is known."""
    from sublingual.transfer import transfer

    if not base.subnetworks:
        return None
    if language is None:
        say(
            "the parser has subnetworks, but the language is not known: adapting the full encoder (--lang CODE chooses one)"
        )
        return None
    chosen = transfer(base, language.code)
    say(f"subnetwork of {chosen.language}: {chosen.off}")
    return chosen.gates


def _say_adapted(adapted: Adapted) -> None:
    say(f"loss per word of the sentences: {adapted.before:.2f} before, {adapted.after:.2f} after")
    if adapted.after >= adapted.before:
        say("the steps did not lower it: this is no adaptation; try higher rates or more steps")
    if adapted.new_labels:
        say(f"new labels, each started from its base relation: {', '.join(adapted.new_labels)}")


def _described(support: str, sentences: list[Sentence]) -> dict[str, object]:
    from sublingual.training.stage1 import described

    if support != "-":
        return described(Path(support), "support")
    n_words = sum(len(sentence.words) for sentence in sentences)
    return {"file": source_name(support), "use": "support", "sentences": len(sentences), "words": n_words}


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
