"""Tiny random encoders of each family with tokenizers trained on the spot, and the bundled encoder trimmed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from sublingual.data.conllu import Sentence, read_conllu
from sublingual.model.encoder import Encoder, load_encoder
from sublingual.model.parser import BiaffineParser, ParserConfig, new_parser

BERT_NAMES = {"unk": "[UNK]", "pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
ROBERTA_NAMES = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 66,
    "initializer_range": 0.2,
}
KINDS = {
    "bert": "wordpiece",
    "camembert": "unigram",
    "distilbert": "wordpiece",
    "electra": "wordpiece",
    "ernie": "wordpiece",
    "eurobert": "bytes",
    "modernbert": "bytes",
    "roberta": "bytes",
    "xlm-roberta": "unigram",
    "xlm-roberta-xl": "unigram",
}
OWN: dict[str, dict[str, Any]] = {
    "electra": {"embedding_size": 24},
    "eurobert": {"num_key_value_heads": 2},
    "modernbert": {"local_attention": 8, "global_attn_every_n_layers": 2},
}


def train_tokenizer(kind: str, texts: list[str]) -> PreTrainedTokenizerFast:
    names = BERT_NAMES if kind == "wordpiece" else ROBERTA_NAMES
    special = list(names.values())
    tokenizer: Tokenizer
    if kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token=names["unk"]))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer: Any = trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    elif kind == "unigram":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=400, special_tokens=special, unk_token=names["unk"], show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
    tokenizer.train_from_iterator(texts, trainer)
    ends = [(name, tokenizer.token_to_id(name)) for name in (names["cls"], names["sep"])]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{names['cls']} $A {names['sep']}", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{role}_token": name for role, name in names.items()}
    )


def write_encoder(folder: Path, family: str, texts: list[str], **settings: Any) -> Path:
    """Writes a random encoder of the family as the library does."""
    tokenizer = train_tokenizer(KINDS[family], texts)
    ids = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in ("pad", "cls", "sep", "mask")}
    ids |= {"bos_token_id": ids["cls_token_id"], "eos_token_id": ids["sep_token_id"]}
    config = AutoConfig.for_model(family, **SIZES | OWN.get(family, {}) | ids | settings, vocab_size=len(tokenizer))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModel.from_config(config)
        for name, parameter in model.named_parameters():
            if "bias" in name or "norm" in name.lower():
                torch.nn.init.normal_(parameter, mean=0.0 if "bias" in name else 1.0, std=0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def sentences() -> list[Sentence]:
    """Annotated sentences in four languages and three scripts, of different lengths."""
    root = Path(str(files("sublingual"))) / "resources" / "treebanks"
    languages = ("English", "Arabic", "Hindi", "Turkish")
    return [s for name in languages for s in read_conllu(next((root / f"UD_{name}-Demo").glob("*test.conllu")))[:4]]


@pytest.fixture(scope="session")
def texts(sentences: list[Sentence]) -> list[str]:
    return [" ".join(sentence.words) for sentence in sentences]


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Callable[[str], Path]:
    """The folder of a tiny random encoder of the family, written when it is first asked for."""

    @cache
    def written(family: str) -> Path:
        return write_encoder(tmp_path_factory.mktemp(family), family, texts)

    return written


@pytest.fixture
def new_encoder(folder_of: Callable[[str], Path]) -> Callable[..., Encoder]:
    """Loads the tiny encoder of a family anew, in eval mode."""
    return lambda family="bert", **settings: load_encoder(str(folder_of(family)), **settings).eval()


@pytest.fixture
def tiny(new_encoder: Callable[..., Encoder]) -> BiaffineParser:
    """A parser over the tiny BERT, no dropout anywhere, in eval mode."""
    config = ParserConfig(
        arc_size=7, label_size=5, dropout=0.0, layers_dropout=0.0, layer_drop=0.0, hide_pieces=0.0, tied_labels=True
    )
    with torch.random.fork_rng():
        torch.manual_seed(2)
        parser = new_parser(new_encoder(dropout=0.0, attention_dropout=0.0), config=config)
        for scorer in (parser.arcs, parser.labels):
            for parameter in scorer.parameters():
                torch.nn.init.normal_(parameter, std=0.3)
        torch.nn.init.normal_(parser.mix.weights)
        torch.nn.init.constant_(parser.mix.scale, 1.3)
    return parser.eval()


@pytest.fixture(scope="session")
def bundled(sentences: list[Sentence]) -> Encoder:
    """The bundled encoder, trimmed to the words of `sentences`; tests that change it take a deep copy."""
    return load_encoder("bundled", keep=[word for sentence in sentences for word in sentence.words]).eval()
