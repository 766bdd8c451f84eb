"""The bundled encoder's tokenizer: SentencePiece's Unigram as a plain Hugging Face tokenizer (Kudo 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

_CONTROL_PIECES = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}

# The file's table of 4,837 code points is Unicode's NFKC but for these two sets, and it leaves the wave dash as it is.
_REMOVED = r"[\x{1}-\x{8}\x{b}\x{e}-\x{1f}\x{7f}\x{8f}\x{9f}]"
_TO_SPACE = r"[\x{9}\x{a}\x{c}\x{d}\x{1680}\x{200b}-\x{200f}\x{2028}\x{2029}\x{2581}\x{feff}\x{fffd}]"
_WAVE_DASH = "\uff5e"
_PLACEHOLDER = "\ufdd0"  # a noncharacter: Unicode keeps it for a program's own use, NFKC leaves it alone


def unigram_tokenizer(pieces: Sequence[str], scores: Sequence[float], *, unknown: int) -> PreTrainedTokenizerFast:
    """Returns the tokenizer whose piece i is `pieces[i]` with log probability `scores[i]`; `<s> ... </s>` round a text.

    All of it is in its tokenizer.json: a saved copy needs nothing of the bundled package. Control pieces are never
    read from text: a literal `<mask>` is cut into ordinary pieces.
    """
    tokenizer = Tokenizer(models.Unigram(list(zip(pieces, scores, strict=True)), unknown, False))
    tokenizer.normalizer = _normalizer()
    tokenizer.pre_tokenizer = _pre_tokenizer()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(piece, pieces.index(piece)) for piece in ("<s>", "</s>")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=_HandedOver(tokenizer),
        model_max_length=512,
        model_input_names=["input_ids", "attention_mask"],
        split_special_tokens=True,
        clean_up_tokenization_spaces=False,
        **_CONTROL_PIECES,
    )


class _HandedOver:
    """Spares the deep copy that transformers takes of a `tokenizer_object`: a second and 300 MB at this vocabulary."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def __deepcopy__(self, memo: dict[int, Any]) -> Tokenizer:
        return self.tokenizer


def _normalizer() -> normalizers.Normalizer:
    """The file's table; NFKC composes accents and orders marks besides: no change for NFC text, as in UD."""
    return normalizers.Sequence(
        [
            normalizers.Replace(Regex(_REMOVED), ""),
            normalizers.Replace(Regex(_TO_SPACE), " "),
            normalizers.Replace(_WAVE_DASH, _PLACEHOLDER),
            normalizers.NFKC(),
            normalizers.Replace(_PLACEHOLDER, _WAVE_DASH),
            normalizers.Replace(Regex(" {2,}"), " "),
            normalizers.Strip(),
        ]
    )


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """Metaspace, then a cut behind the `<` of a control piece's name, which the Unigram else finds as one piece."""
    control_name = Regex(r"<(?=(?:s|/s|pad|unk|mask)>)")
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="always"),
            pre_tokenizers.Split(control_name, "merged_with_previous"),
        ]
    )
