"""`sublingual adapt`: some annotated sentences in; a parser, what to expect of it, and a page about both out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sublingual import config as settings
from sublingual.adapt_page import PAGE, AdaptResult, page
from sublingual.cli.base import base_parser, language_of, tagged
from sublingual.cli.common import (
    Device,
    Encoder,
    Overwrite,
    Precision,
    Seed,
    Threads,
    Ud,
    Yes,
    counting,
    say,
    set_threads,
)
from sublingual.cli.expecting import AUTO_MINUTES, ESTIMATE_MINUTES, Plan, forget, planned, work_folder
from sublingual.data import faults
from sublingual.data.conllu import Sentence, parse_conllu
from sublingual.data.embedded import WARNING, has_embedded
from sublingual.data.support import SUPPORT_SIZE
from sublingual.data.textfiles import Text, read_text, source_name, write_text
from sublingual.errors import ConfigError, DataError, LanguageError
from sublingual.languages import Language, Neighbour, nearest, resolve
from sublingual.model.folder import refuse_existing

if TYPE_CHECKING:
    from sublingual.adaptation import AdaptConfig, Adapted
    from sublingual.candidates import Setting
    from sublingual.parsing import Parser

# Modules that need torch are imported inside the functions: `--help` and the torch-free commands answer at once.


def adapt(
    support: Annotated[
        str, typer.Argument(help="CoNLL-U with the annotated sentences (twenty are usual); - is stdin.")
    ],
    out: Annotated[Path, typer.Argument(help="Folder of the new model.")],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="Parser to start from (default: the cached base parser). Several with --auto."),
    ] = None,
    lang: Annotated[str | None, typer.Option("--lang", help="The language (default: from the file's name).")] = None,
    like: Annotated[
        str | None, typer.Option("--like", help="A language that stands in where URIEL lacks yours.")
    ] = None,
    auto: Annotated[
        bool,
        typer.Option("--auto", help="Choose model, subnetwork, rates and steps by cross-validation on the sentences."),
    ] = False,
    no_estimate: Annotated[
        bool, typer.Option("--no-estimate", help="Do not cross-validate, and do not say what to expect.")
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            min=0,
            help=f"Limit of cross-validation ({ESTIMATE_MINUTES:g}; {AUTO_MINUTES:g} where it chooses).",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Gradient steps on the whole set (20).")] = None,
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
    """Adapt a parser to a language with some annotated sentences; say what to expect of it, and save it as a new model.

    Stopped, it goes on where it was when called again.
    """
    refuse_existing(out, overwrite=overwrite)
    _refuse_at_odds(model or [], encoder, auto=auto, no_estimate=no_estimate, minutes=minutes)
    text = read_text(support)
    sentences = _support(text)
    language = language_of(support) if lang is None else _resolved(lang, like)
    similar = language if like is None else resolve(like)

    from sublingual import runtime
    from sublingual.adaptation import SHARED, AdaptConfig
    from sublingual.candidates import candidates
    from sublingual.parsing import Parser

    set_threads(threads)
    where = runtime.device(device)
    given = {"steps": steps, "optimizer": optimizer, "encoder_rate": encoder_rate, "classifier_rate": classifier_rate}
    changes: dict[str, Any] = SHARED if shared else {}
    changes = changes | {name: value for name, value in given.items() if value is not None}
    changes["precision"] = runtime.resolve_precision(precision, where)
    settings.from_mapping(AdaptConfig, changes, source="the options")  # what cannot be is refused before any work
    bases = {name: Parser.from_pretrained(name, device=where) for name in model or ()}
    transferring = dict.fromkeys(code for base in bases.values() for code in base.subnetworks)
    near = _say_language(similar, instead_of=(lang or "not named") if like else None, among=[*transferring])
    if not bases:
        bases = {"base": base_parser(encoder, ud, device=device, yes=yes)}
    _say_bases(bases)
    ways = candidates(bases, similar, changes=changes, auto=auto)
    if not (auto or no_estimate) and len(ways) > 1:
        _say_choosing(ways)
    if no_estimate:
        plan = Plan(ways[0], ways[0].steps[0])
    else:
        plan = planned(ways, sentences, text, seed=seed, minutes=minutes, folder=work_folder(out))
    for line in plan.said:
        say(line)
    code = lang if language is None else language.code
    name = language.name if language else code or "A language"
    task = _Task(support, sentences, code, name, near, plan, seed)
    _save(task, _adapted(task), out, overwrite=overwrite)
    forget(work_folder(out))
    say(f"model in {out}, its page is {out / PAGE}; parse with: sublingual parse {out} IN.conllu OUT.conllu")


@dataclass(frozen=True)
class _Task:
    """What is adapted to, and how."""

    file: str
    sentences: list[Sentence]
    code: str | None
    language: str
    near: Sequence[Neighbour]
    plan: Plan
    seed: int

    @property
    def config(self) -> AdaptConfig:
        return self.plan.setting.at(self.plan.steps)


def _adapted(task: _Task) -> Adapted:
    from sublingual.adaptation import adapt

    setting = task.plan.setting
    _say_subnetwork(task.plan)
    with counting("adapting", task.config.steps) as advance:
        adapted = adapt(
            setting.parser,
            task.sentences,
            config=task.config,
            seed=task.seed,
            gates=setting.gates,
            progress=lambda step, loss: advance(1),
        )
    _say_adapted(adapted)
    return adapted


def _save(task: _Task, adapted: Adapted, out: Path, *, overwrite: bool) -> None:
    """Writes the model, with what is known of it on its card and in its manifest, and the page."""
    from sublingual import runtime

    base, config, plan = adapted.parser.about, task.config, task.plan
    about = replace(
        base,
        language=task.code,
        seeds={**base.seeds, "adaptation": task.seed},
        settings={**base.settings, "adaptation": asdict(config), **plan.settings()},
        data=(*base.data, _described(task.file, task.sentences)),
        note=f"Adapted with {config.steps} steps on {len(task.sentences)} sentences.",
        scores=plan.scores(),
    )
    parser = tagged(adapted.parser, task.sentences, seed=task.seed)
    replace(parser, about=about).save_pretrained(out, overwrite=overwrite)
    is_toy = has_embedded(str(used.get("file")) for used in about.data)
    if is_toy:
        say(WARNING)
    result = AdaptResult(
        model=str(out),
        language=task.language,
        nearest=task.near,
        source=source_name(task.file),
        setting=f"{plan.setting.name}; {config.steps} steps ({config.optimizer})",
        support=task.sentences,
        estimate=plan.estimate,
        said=[*plan.said, *([WARNING] if is_toy else [])],
        rows=plan.rows,
        held_out=plan.held_out,
        losses=adapted.losses,
        before=adapted.before,
        after=adapted.after,
        new_labels=adapted.new_labels,
        seed=task.seed,
        versions=runtime.versions(),
        machine=runtime.machine(),
    )
    write_text([page(result)], out / PAGE)


def _refuse_at_odds(
    models: Sequence[str], encoder: str | None, *, auto: bool, no_estimate: bool, minutes: float | None
) -> None:
    """Raises ConfigError for options that contradict one another."""
    if models and encoder:
        raise ConfigError(f"--model {models[0]} has its own encoder; leave out --encoder {encoder}")
    if no_estimate and (auto or minutes is not None):
        what = "choose by: leave out --auto" if auto else "limit: leave out --minutes"
        raise ConfigError(f"--no-estimate leaves nothing to {what}")
    if len(models) > 1 and not auto:
        raise ConfigError(f"{len(models)} models: --auto chooses one of them; or give one --model")


def _support(text: Text) -> list[Sentence]:
    """The support sentences, of any number; all faults of the file are listed first.

    Raises DataError for an error among them and for no annotated word, before a base parser is trained for nothing.
    """
    found = [fault for fault in faults.check_text(text) if fault.severity != "note"]
    for fault in found:
        say(str(fault))
    n_errors = sum(fault.count for fault in found if fault.severity == "error")
    if n_errors:
        raise DataError(f"{text.source}: errors: {n_errors}, listed above; mend them all, nothing was done")
    sentences = parse_conllu(text.text, source=text.source, heads="partial")
    n_heads = sum(head is not None for sentence in sentences for head in sentence.heads)
    if not n_heads:
        raise DataError(
            f"{text.source}: no word with a head in its {len(sentences)} sentences; annotate HEAD and DEPREL of some"
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
    except LanguageError as fault:
        if like is None:
            raise LanguageError(f"{fault}; or leave out --lang: the sentences themselves choose") from fault
        return None


def _say_language(language: Language | None, *, instead_of: str | None, among: Sequence[str]) -> Sequence[Neighbour]:
    """Says which language it is and what is near it; returns the nearest three, none where that cannot be said.

    `among` are the languages that the parsers have subnetworks of; without any it is the paper's seven.
    """
    if language is None:
        say("language: not known from the file's name; --lang CODE shows the nearest training languages")
        return ()
    if language.note:
        say(language.note)
    try:
        near = (nearest(language, among=among) if among else nearest(language))[:3]
    except LanguageError as fault:  # no vector; adapting a parser without subnetworks does not need one
        say(str(fault))
        return ()
    shown = ", ".join(f"{n.language} {n.similarity:.3f}" for n in near)
    name = f"{instead_of}, taken to be like {language.name}" if instead_of else language.name
    where = "whose subnetworks the parser has" if among else "of the paper's seven"
    say(f"language: {name}; nearest training languages: {shown} ({where})")
    return near


def _say_bases(bases: Mapping[str, Parser]) -> None:
    for name, base in bases.items():
        trained = ", ".join(base.about.trained_on) or "languages that its card does not name"
        say(f"starting from {'a parser' if len(bases) == 1 else name} trained on: {trained}")


def _say_choosing(ways: Sequence[Setting]) -> None:
    names = [way.subnetwork for way in ways if way.subnetwork is not None]
    rest = "the full encoder" if ways[0].parser.gates is None else "the parser's own gates"
    say(
        f"nothing says which of the parser's subnetworks is near the language: the sentences themselves choose among those of "
        f"{', '.join(names)} and {rest}, by cross-validation (--like LANG takes the nearest at once)"
    )


def _say_subnetwork(plan: Plan) -> None:
    from sublingual.transfer import Transfer

    setting = plan.setting
    if not setting.parser.subnetworks:
        return
    if setting.gates is None:
        what = "the full encoder, in none of" if setting.parser.gates is None else "in the parser's own gates, not in"
        how = "as the sentences chose" if plan.rows else "--lang or --like says whose is near"
        say(f"adapting {what} the parser's subnetworks ({how})")
    else:
        say(f"subnetwork of {setting.subnetwork}: {Transfer('', setting.gates).off}")


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
