"""The bundled encoder as a plain Hugging Face directory that transformers 4 and 5 read: whole, or trimmed to some words.

A trimmed tokenizer cuts the words it was made for exactly as the whole one does: the best way to cut a word by Unigram
is made of the pieces that are kept, and no new way comes in. This is checked on every word.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from transformers import PreTrainedTokenizerFast

from sublingual.model.bundled import bundled_model, load_bundled
from sublingual.model.bundled_tokenizer import unigram_tokenizer

TOKENIZER = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "model_max_length": 512,
    "model_input_names": ["input_ids", "attention_mask"],
    "clean_up_tokenization_spaces": False,
    **{"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"},
    **{"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"},
}


def export(folder: Path, *, words: Sequence[str] | None) -> tuple[Path, dict[str, Any]]:
    """Writes the encoder into the folder, for `words` trimmed to their pieces; returns the folder and what it holds."""
    folder.mkdir(parents=True, exist_ok=True)
    source = load_bundled()
    tokenizer = source.tokenizer()
    ids = None if words is None else _needed(tokenizer, words)
    own = tokenizer if ids is None else _trimmed(tokenizer, ids)
    model = bundled_model(source, ids=ids)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    pad = own.convert_tokens_to_ids("<pad>")
    config = model.config.to_dict() | {"architectures": ["BertModel"], "pad_token_id": pad}
    config = {
        key: value for key, value in config.items() if key not in ("dtype", "torch_dtype", "transformers_version")
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1), "utf-8")
    own.backend_tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER, indent=1), "utf-8")
    return folder, {
        "rows": config["vocab_size"],
        "words_checked": 0 if words is None else _check(tokenizer, own, words),
    }


def _needed(tokenizer: PreTrainedTokenizerFast, words: Sequence[str]) -> list[int]:
    """The ids of the words' pieces, of the control pieces, and of the worst piece (an unknown character's price)."""
    backend = tokenizer.backend_tokenizer
    cut = backend.encode_batch([[word] for word in words], is_pretokenized=True, add_special_tokens=False)
    pieces, _ = _vocabulary(tokenizer)
    worst = min(range(len(pieces)), key=lambda i: pieces[i][1])
    control = [tokenizer.convert_tokens_to_ids(name) for name in ("<s>", "</s>", "<pad>", "<unk>", "<mask>")]
    return sorted({i for encoding in cut for i in encoding.ids} | {worst, *control})


def _trimmed(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int]) -> PreTrainedTokenizerFast:
    pieces, unknown = _vocabulary(tokenizer)
    kept = [pieces[i] for i in ids]
    return unigram_tokenizer([name for name, _ in kept], [score for _, score in kept], unknown=ids.index(unknown))


def _vocabulary(tokenizer: PreTrainedTokenizerFast) -> tuple[list[tuple[str, float]], int]:
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    return [(name, score) for name, score in model["vocab"]], model["unk_id"]


def _check(whole: PreTrainedTokenizerFast, trimmed: PreTrainedTokenizerFast, words: Sequence[str]) -> int:
    for word in words:
        pair = [t.backend_tokenizer.encode([word], is_pretokenized=True).tokens for t in (whole, trimmed)]
        if pair[0] != pair[1]:
            raise SystemExit(f"the trimmed tokenizer cuts {word!r} into {pair[1]}, the whole one into {pair[0]}")
    return len(words)
