"""The parser: sentences and gates in, scores of arcs and labels out (sections 4.1 and 4.3 of the paper), and the loss."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sublingual.data.batches import Batch, Encoded
from sublingual.data.conllu import Sentence
from sublingual.data.vocabulary import LabelVocabulary, base_relation, published_labels
from sublingual.errors import ConfigError, DataError
from sublingual.model.biaffine import ArcScorer, LabelScorer, Projection, gathered, shared_dropout
from sublingual.model.compact import remove_
from sublingual.model.encoder import Encoder, LayerMix

MAX_WORDS = 5000  # parsing takes 45 bytes for each pair of words (measured), mostly arc scores: 1.1 GB for that many


@dataclass(frozen=True)
class ParserConfig:
    """The classifier's sizes and the dropouts.

    Sizes are the paper's (section 4.1). The dropouts suit two or three epochs and were chosen on English-EWT dev
    (docs/log.md); those of the paper's code base (0.5, 0.5, 0.1, 0.2, 0.15, 0.15; docs/protocol.md 1A) want its 60 and
    are in the preset `paper-stage1`. `dropout`: of the classifier's input and projections; `layers_dropout`: of the
    layers' outputs before they are mixed; `layer_drop`: of whole layers in the mix; `hide_pieces`: the share of pieces
    replaced by the mask piece. `tied_labels`: labels of one universal relation share their bilinear form
    (ours; the code base: False). Raises ConfigError for shares outside [0, 1).
    """

    arc_size: int = 768
    label_size: int = 256
    dropout: float = 0.33
    layers_dropout: float = 0.0
    layer_drop: float = 0.1
    hide_pieces: float = 0.0
    encoder_dropout: float = 0.1
    attention_dropout: float = 0.0
    tied_labels: bool = True

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_size") and value < 1:
                raise ConfigError(f"{field.name} {value}: it is 1 or more")
            if isinstance(value, float) and not 0 <= value < 1:
                raise ConfigError(f"{field.name} {value}: it is a share, from 0 to below 1")


@dataclass(frozen=True)
class Scores:
    """Scores of a batch. Index 0 of a sentence's n = words + 1 places is the root; arcs to no word are minus infinity.

    `as_head` and `as_dependent` are the label projections of all tokens; `place[batch, n]` finds a token among them.
    `layers` are the outputs of each layer at the first pieces of all words, one sentence after the other.
    """

    arcs: Float[Tensor, "batch n n"]
    as_head: Float[Tensor, "tokens size"]
    as_dependent: Float[Tensor, "tokens size"]
    place: Int[Tensor, "batch n"]
    layers: Sequence[Float[Tensor, "words hidden"]]


@dataclass(frozen=True)
class Loss:
    """Each sentence's negative log-likelihoods of annotated heads and of labels at gold heads, summed over its words."""

    arcs: Float[Tensor, "batch"]
    labels: Float[Tensor, "batch"]

    @property
    def sentences(self) -> Float[Tensor, "batch"]:
        """The sum of both for each sentence (arcs and labels weigh the same)."""
        return self.arcs + self.labels

    @property
    def total(self) -> Float[Tensor, ""]:
        """The sum of both over all sentences; divide by the annotated words of the whole step."""
        return self.sentences.sum()


class BiaffineParser(nn.Module):
    """Encoder, layer mix (eq. 1), biaffine classifier (eq. 2 and its label twin)."""

    def __init__(self, encoder: Encoder, *, config: ParserConfig, vocabulary: LabelVocabulary) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = vocabulary
        self.encoder = encoder
        size = encoder.hidden_size
        self.mix = LayerMix(encoder.n_layers, drop=config.layer_drop)
        self.root = nn.Parameter(torch.randn(1, size))
        self.arc_head = Projection(size, config.arc_size, dropout=config.dropout)
        self.arc_dependent = Projection(size, config.arc_size, dropout=config.dropout)
        self.label_head = Projection(size, config.label_size, dropout=config.dropout)
        self.label_dependent = Projection(size, config.label_size, dropout=config.dropout)
        self.arc_dependent.load_state_dict(self.arc_head.state_dict())
        self.label_dependent.load_state_dict(self.label_head.state_dict())
        self.arcs = ArcScorer(config.arc_size)
        self.labels = LabelScorer(config.label_size, bases=_bases(vocabulary), tied=config.tied_labels)

    @property
    def device(self) -> torch.device:
        return self.root.device

    def encoder_parameters(self) -> list[nn.Parameter]:
        return list(self.encoder.parameters())

    def classifier_parameters(self) -> list[nn.Parameter]:
        """Everything that is not the pretrained encoder: layer mix, root, projections, scorers."""
        own = {id(p) for p in self.encoder.parameters()}
        return [p for p in self.parameters() if id(p) not in own]

    def encode(self, sentences: Sequence[Sentence], *, gold: bool) -> list[Encoded]:
        """Returns the sentences in pieces, with heads and labels where `gold`; dropped pieces get their rows back.

        Raises DataError for a label outside the vocabulary and for more than MAX_WORDS, EncoderError for a piece that
        cannot be had.
        """
        _refuse_endless(sentences)
        if gold:
            self._refuse_unknown_labels(sentences)
        encoded = self.encoder.pieces.encode(sentences, vocabulary=self.vocabulary if gold else None)
        self.encoder.admit_(encoded)
        return encoded

    def _refuse_unknown_labels(self, sentences: Sequence[Sentence]) -> None:
        for sentence in sentences:
            missing = self.vocabulary.missing(sentence.labels)
            if missing:
                raise DataError(
                    f"{sentence.place}: the label {missing[0]!r} is not among the {len(self.vocabulary)} declared ones; "
                    f"mend it, or give it a row first (training and adaptation do so by themselves)"
                )

    def forward(self, batch: Batch, gates: Float[Tensor, "batch layers attention_heads"] | None = None) -> Scores:
        """Returns the scores of a batch, each sentence restricted to its gates (None: the full encoder)."""
        c = self.config
        first = batch.first[batch.word_mask]  # [all words]
        whole = self.encoder(batch, gates, hide=c.hide_pieces if self.training else 0.0)
        layers = [layer.index_select(0, first) for layer in whole]
        p = c.layers_dropout if self.training else 0.0
        words = self.mix([nn.functional.dropout(layer, p, self.training) for layer in layers])
        tokens = torch.cat([self.root.expand(len(batch), -1).to(words.dtype), words])  # [tokens, hidden]
        owner, place = _owners(batch)
        tokens = shared_dropout(tokens, owner, p=c.dropout if self.training else 0.0)
        arcs = self.arcs(self.arc_dependent(tokens, owner), self.arc_head(tokens, owner), place).float()
        possible = nn.functional.pad(batch.word_mask, (1, 0), value=True)
        arcs = arcs.masked_fill(~possible[:, None, :], -torch.inf)
        return Scores(arcs, self.label_head(tokens, owner), self.label_dependent(tokens, owner), place, layers)

    def label_scores(
        self, scores: Scores, *, dependents: Int[Tensor, "words 2"], heads: Int[Tensor, "words"]
    ) -> Float[Tensor, "words labels"]:
        """Returns the labels' scores for chosen arcs: `dependents` are (sentence, word from 1), `heads` their heads."""
        sentence, word = dependents.unbind(1)
        return self.labels(
            gathered(scores.as_head, scores.place[sentence, heads]),
            gathered(scores.as_dependent, scores.place[sentence, word]),
        ).float()

    def loss(self, batch: Batch, gates: Float[Tensor, "batch layers attention_heads"] | None = None) -> Loss:
        """Returns the loss of each sentence; words without an annotated head or label are left out of it."""
        scores = self(batch, gates)
        sentence, word = torch.nonzero(batch.heads >= 0, as_tuple=True)
        heads = batch.heads[sentence, word]
        arcs = nn.functional.cross_entropy(scores.arcs[sentence, word + 1], heads, reduction="none")  # [words]
        gold = batch.labels[sentence, word]
        known = gold >= 0
        chosen = torch.stack([sentence, word + 1], dim=1)[known]
        labels = nn.functional.cross_entropy(
            self.label_scores(scores, dependents=chosen, heads=heads[known]), gold[known], reduction="none"
        )
        none = arcs.new_zeros(len(batch))
        return Loss(none.index_add(0, sentence, arcs), none.index_add(0, sentence[known], labels))

    def with_labels(self, labels: Sequence[str]) -> BiaffineParser:
        """Returns a parser that also knows these labels, each starting from its base relation; shares the other parts."""
        new = self.vocabulary.missing(labels)
        if not new:
            return self
        like = tuple(self.vocabulary.index[self.vocabulary.base_of(label)] for label in new)
        other = BiaffineParser.__new__(BiaffineParser)
        nn.Module.__init__(other)
        other.__dict__.update({k: v for k, v in self.__dict__.items() if not k.startswith("_")})
        other._parameters = dict(self._parameters)
        other._modules = {**self._modules, "labels": self.labels.extended(like=like)}
        other.vocabulary = self.vocabulary.extended(new)
        return other

    def with_labels_of(self, sentences: Sequence[Sentence]) -> BiaffineParser:
        """As `with_labels`, for all labels of the sentences; DataError names the place of one without a base relation."""
        for sentence in sentences:
            try:
                for label in self.vocabulary.missing(sentence.labels):
                    self.vocabulary.base_of(label)
            except DataError as fault:
                raise DataError(f"{sentence.place}: {fault}") from fault
        return self.with_labels([label for s in sentences for label in s.labels if label is not None])

    def compacted(self, gates: Float[Tensor, "layers attention_heads"]) -> BiaffineParser:
        """Returns a copy without the attention heads whose gate is 0; without gates it scores as this one does with them.

        Raises ModelError for an encoder whose attention heads cannot be removed (`model.compact`).
        """
        smaller = deepcopy(self)
        remove_(smaller.encoder.model, gates, name=smaller.encoder.name)
        return smaller


def new_parser(
    encoder: Encoder, *, config: ParserConfig | None = None, vocabulary: LabelVocabulary | None = None
) -> BiaffineParser:
    """Returns a parser over the encoder with an untrained classifier; labels default to all that UD documents."""
    return BiaffineParser(encoder, config=config or ParserConfig(), vocabulary=vocabulary or published_labels())


def _refuse_endless(sentences: Sequence[Sentence]) -> None:
    for sentence in sentences:
        if len(sentence.words) > MAX_WORDS:
            raise DataError(
                f"{sentence.place}: a sentence of {len(sentence.words)} words; up to {MAX_WORDS} fit into memory, which grows "
                f"with their square: is the blank line missing that ends a sentence?"
            )


def _bases(vocabulary: LabelVocabulary) -> tuple[int, ...]:
    return tuple(vocabulary.index.get(base_relation(label), i) for i, label in enumerate(vocabulary.labels))


def _owners(batch: Batch) -> tuple[Int[Tensor, "tokens"], Int[Tensor, "batch n"]]:
    """Each token's sentence, and where to find token i of a sentence: first come the roots, then all words."""
    n = len(batch)
    sentences = torch.arange(n, device=batch.pieces.device)
    owner = torch.cat([sentences, torch.nonzero(batch.word_mask)[:, 0]])
    words = torch.cumsum(batch.word_mask.flatten(), 0).view_as(batch.word_mask) - 1 + n
    return owner, torch.cat([sentences[:, None], words.clamp(min=0)], dim=1)
