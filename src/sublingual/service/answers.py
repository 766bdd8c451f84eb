"""From parameters to an answer: what UDPipe's REST service calls /process, for models that parse."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from threading import Event
from typing import TypeVar

from sublingual.data.blocks import Heads, without_comments
from sublingual.data.conllu import Sentence, parse_conllu
from sublingual.data.tags import with_tags
from sublingual.errors import ConfigError, DataError, EncoderError
from sublingual.parsing import Parser
from sublingual.service.limits import Limits, RefusedError
from sublingual.service.offers import Offer, Offers
from sublingual.service.shelf import Shelf
from sublingual.text import Markup, plain_text, sentences_of

INPUTS = {"conllu": "conllu", "generic_tokenizer": "text", "horizontal": "horizontal", "vertical": "vertical"}
"""UDPipe's names of the forms of text, and ours."""

_TOKENIZER_OPTIONS = ("presegmented", "ranges", "normalized_spaces")
_YES = ("", "1", "true", "yes", "default", "tokenizer")  # values that clients send to say that it should be on
_KNOWN_WORDS = 200_000
T = TypeVar("T")


class StoppedError(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True)
class Question:
    """What a client wants: which model, which text in which form, tagged, parsed or only cut into words, written how."""

    offer: Offer
    data: str
    form: str
    markup: Markup
    tag: bool
    parse: bool
    output: str


@dataclass(frozen=True)
class Answer:
    """The text for the client; words, and characters of their forms (which UDPipe's service counts)."""

    model: str
    result: str
    n_words: int
    n_characters: int


def question_of(parameters: Mapping[str, str], offers: Offers) -> Question:
    """What the parameters ask for; raises RefusedError, in UDPipe's words, where they ask for what is not there.

    A `tagger` sets UPOS where it is `_`, if the model has learned it, and does nothing else. A `tagger` or `parser` of
    the value `none` is off, as in UDPipe 1.
    """
    name = parameters.get("model", "")
    offer = offers.find(name) if name else offers.default
    if offer is None:
        known = ", ".join(model.name for model in offers.models)
        raise RefusedError(f"The requested model '{name[:100]}' does not exist. There are: {known}.")
    if "data" not in parameters:
        raise RefusedError("The parameter 'data' is required.")
    output = parameters.get("output") or "conllu"
    if output not in WRITERS:
        raise RefusedError(f"Unknown output format '{output[:100]}'. Allowed: {', '.join(WRITERS)}.")
    form, markup = _input(parameters)
    tag, parse = (parameters.get(name, "none") != "none" for name in ("tagger", "parser"))
    return Question(offer, parameters["data"], form, markup, tag and offer.tags, parse, output)


def _input(parameters: Mapping[str, str]) -> tuple[str, Markup]:
    """The form of the text; `tokenizer` goes before `input`."""
    if "tokenizer" in parameters:
        options = [option.strip() for option in parameters["tokenizer"].split(";")]
        for option in options:
            if option not in _TOKENIZER_OPTIONS and option not in _YES:
                allowed = ", ".join(_TOKENIZER_OPTIONS)
                raise RefusedError(
                    f"Unknown tokenizer option '{option[:100]}'. Allowed, between semicolons: {allowed}."
                )
        markup = Markup(ranges="ranges" in options, normalized_spaces="normalized_spaces" in options)
        return "presegmented" if "presegmented" in options else "text", markup
    name = parameters.get("input") or "conllu"
    if name not in INPUTS:
        raise RefusedError(f"Unknown input format '{name[:100]}'. Allowed: {', '.join(INPUTS)}.")
    return INPUTS[name], Markup()


def answer(question: Question, shelf: Shelf, *, limits: Limits, stop: Event) -> Answer:
    """The answer to the question, in fp32, so that it does not depend on what else is asked.

    Raises RefusedError for a text that cannot be read or is too much, StoppedError soon after `stop` is set.
    """
    go_on(stop)
    sentences = read(question.data, form=question.form, markup=question.markup)
    refuse_too_much(sentences, limits)
    if sentences and (question.parse or question.tag):
        sentences = with_parser(
            question.offer, shelf, sentences, stop, lambda parser: _worked(parser, sentences, question, stop)
        )
    words = [word for sentence in sentences for word in sentence.words]
    n_characters = sum(len(unicodedata.normalize("NFC", word)) for word in words)
    result = WRITERS[question.output](sentences, question.offer)
    return Answer(question.offer.name, result, len(words), n_characters)


def _worked(parser: Parser, sentences: Sequence[Sentence], question: Question, stop: Event) -> list[Sentence]:
    """The sentences parsed, tagged or both."""
    found = parser.parse(sentences, drop_deps=True, upos=question.tag, progress=lambda n: go_on(stop))
    if question.parse:
        return found
    return [with_tags(old, new.upos) for old, new in zip(sentences, found, strict=True)]


def go_on(stop: Event) -> None:
    """Raises StoppedError once `stop` is set."""
    if stop.is_set():
        raise StoppedError


def with_parser(
    offer: Offer, shelf: Shelf, sentences: Sequence[Sentence], stop: Event, work: Callable[[Parser], T]
) -> T:
    """What `work` makes of the offer's parser, which has all pieces of the sentences by then.

    Raises RefusedError where it cannot have them.
    """
    parser = shelf.parser(offer)
    try:
        shelf.admit_(parser, sentences)
        go_on(stop)
        return work(parser)
    except EncoderError as fault:  # a trimmed model and a piece that it lacks
        raise RefusedError(f"The model '{offer.name}' cannot read the text: {fault}") from fault
    finally:
        _forget_(parser)


def read(data: str, *, form: str, markup: Markup = Markup(), heads: Heads = "ignored") -> list[Sentence]:
    """The sentences of a text in that form; raises RefusedError where it is none. `heads` is for CoNLL-U."""
    try:
        if form == "conllu":
            return parse_conllu(data, source="data", heads=heads)
        return sentences_of(data, form=form, source="data", markup=markup)
    except DataError as fault:
        if form in ("text", "presegmented"):
            raise RefusedError(f"An error occured during tokenization of the input. {fault}") from fault
        name = next(name for name, known in INPUTS.items() if known == form)
        raise RefusedError(f"Cannot parse the input in '{name}' format. {fault}") from fault
    except ConfigError as fault:  # the tokenizer is not installed
        raise RefusedError(str(fault), status=501) from fault


def refuse_too_much(sentences: Sequence[Sentence], limits: Limits) -> None:
    """Raises RefusedError for more words or longer sentences than the limits allow."""
    n_words = sum(len(sentence.words) for sentence in sentences)
    if n_words > limits.words:
        raise RefusedError(f"The input has {n_words} words; at most {limits.words} are taken: send it in parts.")
    for number, sentence in enumerate(sentences, 1):
        if len(sentence.words) > limits.sentence_words:
            raise RefusedError(
                f"Sentence longer than {limits.sentence_words} words was found on input, aborting: sentence {number} has "
                f"{len(sentence.words)}."
            )
        if sum(map(len, sentence.words)) > limits.sentence_characters:
            raise RefusedError(f"Sentence {number} has more than {limits.sentence_characters} characters.")


def _forget_(parser: Parser) -> None:
    """Empties the parser's memory of words that it has cut into pieces, once it is large: strangers fill it."""
    known = parser.network.encoder.pieces.known
    if len(known) > _KNOWN_WORDS:
        known.clear()


def _conllu(sentences: Sequence[Sentence], offer: Offer) -> str:
    """CoNLL-U; the first sentence says who made it, as UDPipe's service does."""
    made = {
        "generator": f"sublingual {version('sublingual')}",
        "udpipe_model": offer.name,
        "udpipe_model_licence": offer.licence,
    }
    parts = [sentence.to_conllu() for sentence in sentences]
    if parts:
        first = sentences[0]
        comments = (*(f"# {key} = {value}" for key, value in made.items()), *without_comments(first.comments, made))
        parts[0] = Sentence(comments, first.rows).to_conllu()
    return "".join(parts)


def _horizontal(sentences: Sequence[Sentence], offer: Offer) -> str:
    return "".join(" ".join(word.replace(" ", "\u00a0") for word in s.words) + "\n" for s in sentences)


def _vertical(sentences: Sequence[Sentence], offer: Offer) -> str:
    return "".join("".join(f"{word}\n" for word in sentence.words) + "\n" for sentence in sentences)


def _plaintext(sentences: Sequence[Sentence], offer: Offer) -> str:
    return plain_text(sentences)


WRITERS: Mapping[str, Callable[[Sequence[Sentence], Offer], str]] = {
    "conllu": _conllu,
    "horizontal": _horizontal,
    "vertical": _vertical,
    "plaintext": _plaintext,
}
"""How a result is written, by UDPipe's names."""
