"""A parser of ours as a component of a spaCy pipeline: `nlp.add_pipe("sublingual", config={"model": "my-model"})`.

It sets `head` and `dep` of each token, `pos` where nothing before it did and the parser has learned parts of speech, and, if
asked to (`"sure": True`), `token._.sure`, the calibrated probability that head and label are both right. Sentences are those
that are marked when a text comes to it: put `sentencizer` before it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, no_type_check

import numpy as np
from spacy.attrs import DEP, HEAD
from spacy.language import Language
from spacy.tokens import Doc, Token
from spacy.util import minibatch

from sublingual.confidence import Confident, confident
from sublingual.data.conllu import Sentence
from sublingual.errors import ConfigError
from sublingual.parsing import Parser

if TYPE_CHECKING:
    from spacy.vocab import Vocab

_log = logging.getLogger(__name__)
_FOLDER = "model"
ROOT_LABEL = "ROOT"  # as spaCy writes it
_SPACE, _SPACE_POS = "dep", "SPACE"  # of a token of white space, which is no word of UD


class Component:
    """The parser in a pipeline. It is loaded when the first text comes: a pipeline that is loaded brings its own along."""

    def __init__(self, vocab: Vocab, model: str | None, *, name: str = "sublingual", sure: bool = False) -> None:
        self.vocab, self.model, self.name, self.sure = vocab, model, name, sure
        self._parser: Parser | None = None
        if sure and not Token.has_extension("sure"):
            Token.set_extension("sure", default=None)

    @property
    def parser(self) -> Parser:
        """The parser; raises ConfigError without a model, ModelError for one that cannot be loaded."""
        if self._parser is None:
            if self.model is None:
                raise ConfigError(
                    f"the component {self.name!r} has no model: config={{'model': FOLDER}}, or load a pipeline"
                )
            self._parser = Parser.from_pretrained(self.model)
        return self._parser

    def __call__(self, doc: Doc) -> Doc:
        """Returns the same Doc, parsed."""
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Yields the texts parsed, many at a time."""
        for docs in minibatch(stream, batch_size):
            spans = [_spans(doc) for doc in docs]
            sentences = [_sentence(tokens) for own in spans for tokens in own]
            found = iter(confident(self.parser, sentences))
            for doc, own in zip(docs, spans, strict=True):
                if own:
                    trees = [(tokens, next(found)) for tokens in own]
                    _set_(doc, trees, sure=self.sure)
                    if self.parser.tagger is not None:
                        _tag_(trees)
                yield doc

    def to_disk(self, path: Path | str, *, exclude: Iterable[str] = ()) -> None:
        """Writes the model into the pipeline's folder."""
        self.parser.save_pretrained(Path(path) / _FOLDER, overwrite=True)

    def from_disk(self, path: Path | str, *, exclude: Iterable[str] = ()) -> Component:
        """Reads the model from the pipeline's folder."""
        self._parser = Parser.from_pretrained(Path(path) / _FOLDER)
        return self


@Language.factory(
    "sublingual", assigns=["token.head", "token.dep", "token.pos"], default_config={"model": None, "sure": False}
)
@no_type_check  # spaCy reads the arguments' names, which the tests' type checker hides
def component(nlp: Language, name: str, model: str | None, sure: bool) -> Component:
    """Returns the component of a model's folder or Hub name."""
    return Component(nlp.vocab, model, name=name, sure=sure)


def _spans(doc: Doc) -> list[list[Token]]:
    """The tokens of each sentence that has a word."""
    if not len(doc):
        return []
    has_sentences = doc.has_annotation("SENT_START")
    if not has_sentences and len(doc) > 1:
        _log.warning("a text of %d tokens without sentences is parsed as one: put `sentencizer` before", len(doc))
    sentences = [list(sentence) for sentence in doc.sents] if has_sentences else [list(doc)]
    return [tokens for tokens in sentences if _words(tokens)]


def _sentence(tokens: Sequence[Token]) -> Sentence:
    return Sentence.from_words([word.text for word in _words(tokens)])


def _words(tokens: Sequence[Token]) -> list[Token]:
    return [token for token in tokens if not token.is_space]


def _set_(doc: Doc, found: Iterable[tuple[list[Token], Confident]], *, sure: bool) -> None:
    """Sets the trees of a text's sentences, in place."""
    heads, labels = np.arange(len(doc)), [ROOT_LABEL] * len(doc)
    for tokens, one in found:
        words = _words(tokens)
        for token in tokens:  # white space hangs on the word before it, or on the first
            heads[token.i] = max((word.i for word in words if word.i < token.i), default=words[0].i)
            labels[token.i] = _SPACE
        tree = zip(words, one.sentence.heads, one.sentence.labels, one.words.tolist(), strict=True)
        for word, head, label, probability in tree:
            heads[word.i] = words[head - 1].i if head else word.i
            labels[word.i] = str(label) if head else ROOT_LABEL
            if sure:
                word._.sure = probability
    relative = heads - np.arange(len(doc))
    names = [doc.vocab.strings.add(label) for label in labels]
    doc.from_array(
        [HEAD, DEP], np.stack([relative.astype(np.int64).view(np.uint64), np.array(names, np.uint64)], axis=1)
    )


def _tag_(found: Iterable[tuple[list[Token], Confident]]) -> None:
    """Sets the part of speech of each token that has none, in place."""
    for tokens, one in found:
        tags = iter(one.sentence.upos)
        for token in tokens:
            tag = _SPACE_POS if token.is_space else next(tags)
            token.pos_ = token.pos_ or tag
