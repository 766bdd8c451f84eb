"""Any Hugging Face encoder behind one interface: packed windows and gates in, the outputs of all layers out; and eq. 1.

The embedding matrix may be trimmed to the pieces a task needs: `rows` maps the tokenizer's ids, which never change, to
rows of the smaller matrix. The text is cut as with the whole vocabulary; a piece whose row was dropped gets it back from
the pretrained source (`admit_`) or is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AutoModel, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.initialization import no_init_weights

from sublingual.data.batches import Batch, Encoded
from sublingual.errors import EncoderError
from sublingual.model.attention import NAME, Packing, register
from sublingual.model.compact import is_compact, resize_
from sublingual.model.dropout import quicken_
from sublingual.model.pieces import WordPieces
from sublingual.model.sources import Source, fingerprint, open_source

# Families whose packed forward was tested against the library's own padded one (tests/model/test_encoder.py).
FAMILIES = (
    "bert",
    "camembert",
    "distilbert",
    "electra",
    "ernie",
    "eurobert",
    "modernbert",
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
)
_DROPPED = -1
_HIDDEN_DROPOUT = ("hidden_dropout_prob", "dropout", "embedding_dropout", "mlp_dropout")
_ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")


class Encoder(nn.Module):
    """A pretrained encoder with its tokenizer."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        pieces: WordPieces,
        name: str,
        identity: str,
        rows: Int[Tensor, "vocabulary"],
    ) -> None:
        super().__init__()
        self.model = model
        self.pieces = pieces
        self.name = name
        self.identity = identity
        self.register_buffer("rows", rows, persistent=False)
        self.rows: Tensor
        self.offset = _first_position(model)

    @property
    def config(self) -> PretrainedConfig:
        return self.model.config

    @property
    def n_layers(self) -> int:
        return int(self.config.num_hidden_layers)

    @property
    def n_attention_heads(self) -> int:
        return int(self.config.num_attention_heads)

    @property
    def hidden_size(self) -> int:
        return int(self.config.hidden_size)

    @property
    def kept(self) -> Int[Tensor, "kept"]:
        """The tokenizer's ids in the order of the embedding matrix's rows."""
        ids = torch.nonzero(self.rows >= 0).squeeze(1)
        return ids[torch.argsort(self.rows[ids])]

    def forward(
        self, batch: Batch, gates: Float[Tensor, "batch layers attention_heads"] | None = None, *, hide: float = 0.0
    ) -> list[Float[Tensor, "pieces hidden"]]:
        """Returns the output of each layer (not the embeddings') for every piece of the row.

        `hide` is the share of inner pieces replaced by the mask piece (training only, docs/protocol.md 1A). A
        piece without a row is ours to have prevented: see `admit_`. Raises EncoderError for gates of another shape.
        """
        if gates is not None:
            self._refuse_unfit(gates, n_sentences=batch.n_owners)
        ids = batch.pieces
        if hide:
            hidden = batch.inner & (torch.rand(ids.shape, device=ids.device) < hide)
            ids = ids.masked_fill(hidden, self.pieces.mask_piece)
        rows = self.rows[ids]
        assert bool((rows >= 0).all()), "a piece without an embedding reached the encoder"
        out = self.model(
            input_ids=rows.unsqueeze(0),
            position_ids=(batch.positions + self.offset).unsqueeze(0),
            output_hidden_states=True,
            packing=Packing(batch.groups, batch.piece_sentence, gates),
        )
        return [layer.squeeze(0) for layer in out.hidden_states[1:]]

    def _refuse_unfit(self, gates: Tensor, *, n_sentences: int) -> None:
        if is_compact(self.model):
            raise EncoderError(
                f"the encoder {self.name!r} is compact and takes no gates: use the model it was made from"
            )
        expected = (n_sentences, self.n_layers, self.n_attention_heads)
        if tuple(gates.shape) != expected:
            raise EncoderError(
                f"gates of shape {tuple(gates.shape)} for {n_sentences} sentences and {self.n_layers} layers of "
                f"{self.n_attention_heads} attention heads: {expected} is needed"
            )

    def lacking(self, encoded: Iterable[Encoded]) -> list[int]:
        """Returns the ids of pieces that the sentences need and the trimmed matrix lacks."""
        needed = torch.unique(torch.cat([torch.from_numpy(w) for e in encoded for w in e.windows] or [self.rows[:0]]))
        return [int(i) for i in needed[self.rows.cpu()[needed] == _DROPPED]]

    def admit_(self, encoded: Iterable[Encoded], *, source: Source | None = None) -> list[str]:
        """Gives dropped pieces that the sentences need their pretrained rows back; returns those pieces.

        Raises EncoderError that names them where the pretrained encoder cannot be had: they never become the unknown
        piece in silence.
        """
        lacking = self.lacking(encoded)
        if not lacking:
            return []
        names = [str(self.pieces.backend.id_to_token(i)) for i in lacking]
        try:
            fresh = self._from_source(lacking, source or open_source(self.name))
        except EncoderError as fault:
            shown = ", ".join(repr(name) for name in names[:10]) + (", ..." if len(names) > 10 else "")
            raise EncoderError(
                f"the text needs pieces that this model was trimmed of, {len(names)} in all ({shown}), and their embeddings "
                f"cannot be had again: {fault}"
            ) from fault
        table = self.model.get_input_embeddings().weight.detach()
        self._replace_(
            torch.cat([table, fresh.to(table)]), torch.cat([self.kept, torch.tensor(lacking, device=table.device)])
        )
        return names

    def _from_source(self, ids: Sequence[int], source: Source) -> Float[Tensor, "pieces hidden"]:
        found = fingerprint(source.config, source.tokenizer(), weights=source.sha256)
        if found != self.identity:
            raise EncoderError(
                f"{self.name!r} is now another encoder than the one of this model: fingerprint {found[:12]}, expected "
                f"{self.identity[:12]}"
            )
        return source.embedding_rows(ids)

    def _replace_(self, table: Float[Tensor, "kept hidden"], kept: Int[Tensor, "kept"]) -> None:
        old = self.model.get_input_embeddings()
        new = nn.Embedding.from_pretrained(table.clone(), freeze=not old.weight.requires_grad)
        self.model.set_input_embeddings(new)
        self.rows.fill_(_DROPPED)
        self.rows[kept] = torch.arange(len(kept), device=kept.device)


class LayerMix(nn.Module):
    """Eq. 1: a word's vector is the softmax-weighted sum of its first piece's layer outputs, times a learned scale.

    In training each layer is left out with probability `drop` (its weight before the softmax becomes minus infinity, as
    UDify does; off in eval mode, docs/protocol.md 0.5).
    """

    def __init__(self, n_layers: int, *, drop: float = 0.0) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(n_layers))
        self.scale = nn.Parameter(torch.ones(()))
        self.drop = drop

    def forward(self, layers: Sequence[Float[Tensor, "words hidden"]]) -> Float[Tensor, "words hidden"]:
        """Returns the mixed vectors."""
        dropped = torch.zeros_like(self.weights, dtype=torch.bool)
        if self.training and self.drop:
            dropped = torch.rand(self.weights.shape, device=dropped.device) < self.drop
        shares = torch.softmax(self.weights.masked_fill(dropped, -1e20), dim=0)
        return self.scale * torch.einsum("l,lwh->wh", shares, torch.stack(list(layers)))


def build(
    config: PretrainedConfig,
    weights: dict[str, Tensor],
    *,
    table: Float[Tensor, "kept hidden"],
    kept: Int[Tensor, "kept"],
    tokenizer: PreTrainedTokenizerBase,
    name: str,
    identity: str,
) -> Encoder:
    """Returns an encoder of given parts; every tensor of the architecture must be among them, and no other.

    `identity` is the fingerprint of the pretrained encoder that it comes from.
    """
    _refuse_ungateable(config, name)
    register()
    vocabulary = max(len(tokenizer), int(config.vocab_size), int(kept.max()) + 1)
    model = _hollow(config)
    model.set_input_embeddings(nn.Embedding.from_pretrained(table, freeze=False))
    own = {n for n, t in model.state_dict().items() if t.data_ptr() != table.data_ptr()}
    given = {n: t for n, t in weights.items() if not n.startswith("pooler.")}
    wrong = sorted(own ^ set(given))
    if wrong:
        raise EncoderError(f"the encoder {name!r} does not fit its architecture: {', '.join(wrong[:5])}")
    model.load_state_dict(given, strict=False, assign=True)
    rows = torch.full((vocabulary,), _DROPPED, dtype=torch.int64)
    rows[kept] = torch.arange(len(kept))
    limit = int(config.max_position_embeddings) - _first_position(model)
    return Encoder(model, pieces=WordPieces(tokenizer, limit=limit), name=name, identity=identity, rows=rows)


def _hollow(config: PretrainedConfig) -> PreTrainedModel:
    """The architecture without its pooler and with as few embeddings as it can be made with, weights yet to be given."""
    small = deepcopy(config)
    small.vocab_size = max(config.pad_token_id or 0, 0) + 1
    with no_init_weights():
        model = AutoModel.from_config(small, attn_implementation=NAME)
    model.config.vocab_size = config.vocab_size
    if is_compact(model):
        resize_(model)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    unnumbered = [m for m in model.modules() if hasattr(m, "is_causal") and not hasattr(m, "layer_idx")]
    for i, attention in enumerate(unnumbered):  # DistilBERT's attention does not know its layer
        attention.layer_idx = i
    quicken_(model)
    return model


def load_encoder(
    name: str,
    *,
    keep: Iterable[str] | None = None,
    dropout: float | None = None,
    attention_dropout: float | None = None,
    source: Source | None = None,
) -> Encoder:
    """Returns the pretrained encoder: whole, or trimmed to the pieces of the words in `keep`.

    The dropouts replace the encoder's own where given. Raises EncoderError where it cannot be had or its family cannot
    be gated.
    """
    source = source or open_source(name)
    tokenizer = source.tokenizer()
    _refuse_ungateable(source.config, name)
    if keep is None:
        table = source.embedding_rows(None)
        kept = torch.arange(len(table))
    else:
        pieces = WordPieces(tokenizer, limit=int(source.config.max_position_embeddings))
        words = list(keep)
        ids = sorted({*(i for word in pieces.of(words) for i in word), *pieces.special})
        table, kept = source.embedding_rows(ids), torch.tensor(ids)
    config = _with_dropout(source.config, hidden=dropout, attention=attention_dropout)
    identity = fingerprint(source.config, tokenizer, weights=source.sha256)
    return build(
        config, dict(source.weights), table=table, kept=kept, tokenizer=tokenizer, name=name, identity=identity
    )


def _with_dropout(config: PretrainedConfig, *, hidden: float | None, attention: float | None) -> PretrainedConfig:
    """A copy of the configuration with these dropouts under whatever names its family has for them."""
    copy = type(config).from_dict(config.to_dict())
    for names, value in ((_HIDDEN_DROPOUT, hidden), (_ATTENTION_DROPOUT, attention)):
        for key in names:
            if value is not None and hasattr(copy, key):
                setattr(copy, key, value)
    return copy


def _refuse_ungateable(config: PretrainedConfig, name: str) -> None:
    if config.model_type not in FAMILIES:
        raise EncoderError(
            f"the encoder {name!r} is of the family {config.model_type!r}, whose attention heads cannot be gated here; "
            f"families that can: {', '.join(FAMILIES)}"
        )


def _first_position(model: PreTrainedModel) -> int:
    """The number of a window's first position: RoBERTa's family counts from the padding index plus one."""
    for module in model.modules():
        table = getattr(module, "position_embeddings", None)
        if isinstance(table, nn.Embedding):
            return 0 if table.padding_idx is None else int(table.padding_idx) + 1
    return 0
