"""Where a pretrained encoder comes from: `bundled` (no hub needed), a Hub name, or a local directory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from sublingual.errors import EncoderError
from sublingual.model.bundled import BundledSource, load_bundled
from sublingual.model.hub import only_cached

BUNDLED = "bundled"
DEFAULT_ENCODER = "bert-base-multilingual-cased"
_SHAPE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings")


class PretrainedSource:
    """A model of the transformers library, from the Hub or a directory; each part is read when it is asked for."""

    def __init__(self, name: str) -> None:
        self.name = name

    @cached_property
    def _only_cached(self) -> bool:
        return only_cached(self.name)

    @cached_property
    def config(self) -> PretrainedConfig:
        with _Reached(self.name):
            return AutoConfig.from_pretrained(self.name, trust_remote_code=False, local_files_only=self._only_cached)

    @cached_property
    def model(self) -> PreTrainedModel:
        with _Reached(self.name):
            model, found = AutoModel.from_pretrained(
                self.name,
                config=self.config,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=self._only_cached,
                output_loading_info=True,
            )
        lacking = sorted(n for n in found["missing_keys"] if not n.startswith("pooler."))
        if lacking:
            raise EncoderError(f"the encoder {self.name!r} lacks weights: {', '.join(lacking[:5])}; get it anew")
        return model

    @property
    def weights(self) -> dict[str, Tensor]:
        """All tensors but the matrix of piece embeddings, float32; new ones at each call."""
        embeddings = self.model.get_input_embeddings().weight
        return {n: t.clone() for n, t in self.model.state_dict().items() if t.data_ptr() != embeddings.data_ptr()}

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the names and values of all weights, in however many files they come (half a second for 712 MB)."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            if not name.startswith("pooler."):  # of no use here, and drawn at random where the source lacks it
                digest.update(name.encode())
                digest.update(tensor.contiguous().numpy())
        return digest.hexdigest()

    def embedding_rows(self, ids: Sequence[int] | None) -> Float[Tensor, "pieces hidden"]:
        """The embeddings of these pieces, of all for None; float32. Raises EncoderError for a piece without one."""
        rows = self.model.get_input_embeddings().weight.detach()
        if ids is None:
            return rows.clone()
        if outside := [i for i in ids if not 0 <= i < len(rows)]:
            raise EncoderError(
                f"the encoder {self.name!r} has embeddings of {len(rows)} pieces, none of piece {outside[0]}"
            )
        return rows[torch.as_tensor(ids, dtype=torch.int64)]

    def tokenizer(self) -> PreTrainedTokenizerBase:
        with _Reached(self.name):
            return AutoTokenizer.from_pretrained(self.name, trust_remote_code=False, local_files_only=self._only_cached)


class _Reached:
    """Turns the library's many ways of saying "not there" into one error that proposes the mend."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, fault: BaseException | None, trace: object) -> None:
        if isinstance(fault, (OSError, ValueError, ImportError, RuntimeError, SafetensorError)):
            reason = (str(fault) or repr(fault)).splitlines()[0]
            raise EncoderError(
                f"the encoder {self.name!r} could not be loaded ({reason}); give a local directory, a name "
                f"that the Hub has (and a connection to it), or --encoder {BUNDLED}, which needs neither"
            ) from fault


Source = BundledSource | PretrainedSource


def open_source(name: str) -> Source:
    """Returns the source of the encoder's name; never another encoder than the one that was asked for."""
    return load_bundled() if name == BUNDLED else PretrainedSource(name)


def fingerprint(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase, *, weights: str) -> str:
    """Returns a SHA-256 over an encoder's shape, the SHA-256 of its `weights`, and its pieces in order.

    Encoders that agree in it are one and the same: a trimmed one may have its embeddings from the other.
    """
    shape = [config.model_type, *(getattr(config, name) for name in _SHAPE), weights]
    digest = hashlib.sha256(json.dumps(shape).encode())
    vocabulary = tokenizer.backend_tokenizer.get_vocab(with_added_tokens=True)
    digest.update("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)).encode())
    return digest.hexdigest()
