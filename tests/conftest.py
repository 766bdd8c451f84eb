"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import settings

from sublingual.data.conllu import Sentence, read_conllu

if TYPE_CHECKING:
    from sublingual.model.parser import BiaffineParser

os.environ["HF_HUB_OFFLINE"] = (
    "1"  # read when the library is imported, here and in child processes: no test asks the Hub
)
settings.register_profile("no deadline", deadline=None)  # the machine decides how long an example takes
settings.load_profile("no deadline")
torch.set_num_threads(1)  # two OpenMP threads wait for each other when other jobs run


@pytest.fixture(scope="session")
def ud() -> Path:
    """The folder of a real UD release (SUBLINGUAL_UD); tests that need it carry the mark `data`."""
    folder = os.environ.get("SUBLINGUAL_UD")
    if not folder:
        pytest.skip("SUBLINGUAL_UD is not set: no UD release to test with")
    return Path(folder)


@pytest.fixture(scope="session")
def demo() -> Callable[..., list[Sentence]]:
    """Reads the embedded treebanks: `demo("English", 20)` are the first sentences of the English one."""

    def read(language: str, n: int | None = None) -> list[Sentence]:
        folder = Path(str(files("sublingual").joinpath(f"resources/treebanks/UD_{language}-Demo")))
        return [s for path in sorted(folder.glob("*.conllu")) for s in read_conllu(path)][:n]

    return read


@pytest.fixture(scope="session")
def damaged() -> Callable[[bytes, int, random.Random], bytes]:
    """Damages a file's bytes in one of three ways: 0 flips bits of one byte, 1 cuts the end off, 2 makes the end zeros."""

    def damage(raw: bytes, kind: int, rng: random.Random) -> bytes:
        at = rng.randrange(len(raw))
        if kind == 0:
            return raw[:at] + bytes([raw[at] ^ rng.randrange(1, 256)]) + raw[at + 1 :]
        return raw[:at] + (b"" if kind == 1 else bytes(len(raw) - at))

    return damage


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory, demo: Callable[..., list[Sentence]]) -> Path:
    """A folder with a random BERT (2 layers x 2 attention heads x 16) and a WordPiece tokenizer made on the spot.

    Its pieces are the commonest words and all letters, the same in each session (the library's trainer breaks ties anew).
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    words = Counter(w for language in ("English", "Norwegian", "Italian") for s in demo(language) for w in s.words)
    letters = sorted({letter for word in words for letter in word})
    common = sorted((w for w in words if len(w) > 1), key=lambda w: (-words[w], w))[:300]
    pieces = dict.fromkeys([*names.values(), *letters, *(f"##{letter}" for letter in letters), *common])
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    folder = tmp_path_factory.mktemp("tiny")
    special = {f"{role}_token": name for role, name in names.items()}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    limits = {"vocab_size": len(pieces), "max_position_embeddings": 64, "pad_token_id": 0}
    config = BertConfig(**sizes, **limits, initializer_range=0.1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_parser(tiny_encoder: Path) -> Callable[..., BiaffineParser]:
    """Makes a parser over the tiny encoder, random but for its seed; without `dropout` it has none of any kind."""
    from sublingual.model.encoder import load_encoder
    from sublingual.model.parser import ParserConfig, new_parser

    def make(*, seed: int = 0, dropout: bool = False, keep: list[str] | None = None) -> BiaffineParser:
        rates = {} if dropout else dict.fromkeys(("dropout", "layers_dropout", "layer_drop", "hide_pieces"), 0.0)
        config = ParserConfig(arc_size=24, label_size=12, **rates)
        p = 0.1 if dropout else 0.0
        encoder = load_encoder(str(tiny_encoder), keep=keep, dropout=p, attention_dropout=p)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return new_parser(encoder, config=config)

    return make
