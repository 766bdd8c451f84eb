"""The packed forward against the library's own padded one; long sentences; trimmed embeddings; eq. 1."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import BertWordPieceTokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, BertConfig, BertModel, GPT2Config

from sublingual.adaptation import AdaptConfig, adapt
from sublingual.data.batches import Batch, Encoded, pack
from sublingual.data.conllu import Sentence
from sublingual.errors import EncoderError
from sublingual.model.attention import Packing
from sublingual.model.bundled import load_bundled
from sublingual.model.encoder import FAMILIES, Encoder, LayerMix, load_encoder
from sublingual.model.parser import new_parser
from sublingual.model.sources import PretrainedSource
from sublingual.parsing import Parser
from sublingual.training.finetune import FinetuneConfig, finetune_

SPECIAL_WORDS = ["<mask>", "<s>", "</s>", "<unk>", "<pad>", "[CLS]", "[SEP]", "[MASK]", "[PAD]"]


def library_forward(folder: Path, encoded: list[Encoded], model: nn.Module) -> list[Tensor]:
    """The padded windows through the library's own SDPA attention; each layer's output in the packed row's order."""
    windows = sorted((w for e in encoded for w in e.windows), key=len)
    longest = max(map(len, windows))
    pad = AutoConfig.from_pretrained(folder).pad_token_id
    ids = torch.full((len(windows), longest), pad)
    attended = torch.zeros(len(windows), longest, dtype=torch.int64)
    for i, window in enumerate(windows):
        ids[i, : len(window)] = torch.from_numpy(window)
        attended[i, : len(window)] = 1
    layers = model(input_ids=ids, attention_mask=attended, output_hidden_states=True).hidden_states[1:]
    return [layer[attended.bool()] for layer in layers]


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_forward_and_gradients_are_the_librarys_own(
    family: str, folder_of: Callable[[str], Path], sentences: list[Sentence]
) -> None:
    folder = folder_of(family)
    library = AutoModel.from_pretrained(folder, attn_implementation="sdpa").double().eval()
    encoder = load_encoder(str(folder), dropout=0.0, attention_dropout=0.0).double()
    long = Sentence.from_words([word for sentence in sentences for word in sentence.words])
    encoded = encoder.pieces.encode([*sentences[::3], long])
    assert max(len(e.windows) for e in encoded) > 2
    assert max(len(w) for e in encoded for w in e.windows) > 60
    batch = pack(encoded)
    expected = library_forward(folder, encoded, library)
    weights = [torch.randn_like(layer) for layer in expected]
    torch.autograd.backward([layer.mul(w).sum() for layer, w in zip(expected, weights, strict=True)])
    wanted = {name: p.grad for name, p in library.named_parameters() if p.grad is not None}
    assert len(wanted) >= 20
    for train in (False, True):
        encoder.train(train).zero_grad()
        found = encoder(batch)
        assert len(found) == len(expected) == 3
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
        torch.autograd.backward([layer.mul(w).sum() for layer, w in zip(found, weights, strict=True)])
        own = {name: p.grad for name, p in encoder.model.named_parameters() if p.grad is not None}
        assert own.keys() == wanted.keys()
        for name, gradient in wanted.items():
            scale = max(gradient.abs().max().item(), 1e-3)  # a key bias has no gradient but rounding
            assert torch.allclose(own[name], gradient, rtol=1e-5, atol=1e-5 * scale), name


def test_modernberts_local_layers_see_less_than_a_window(new_encoder: Callable[..., Encoder]) -> None:
    encoder = new_encoder("modernbert")
    local = [m.sliding_window for m in encoder.model.modules() if hasattr(m, "sliding_window")]
    assert local == [None, 5, None]
    e = encoder.pieces.encode([Sentence.from_words(["a"] * 40)])
    hidden = [layer.detach() for layer in encoder(pack(e))]
    for module in encoder.model.modules():
        if hasattr(module, "sliding_window"):
            module.sliding_window = None
    wide = [layer.detach() for layer in encoder(pack(e))]
    assert torch.equal(hidden[0], wide[0])
    assert not torch.allclose(hidden[1], wide[1], atol=1e-4)


@pytest.mark.parametrize(("family", "first"), [("roberta", 2), ("xlm-roberta", 2), ("bert", 0), ("modernbert", 0)])
def test_positions_start_where_the_family_counts_from(
    family: str, first: int, new_encoder: Callable[..., Encoder]
) -> None:
    encoder = new_encoder(family)
    assert encoder.offset == first
    assert encoder.pieces.room == 66 - first - 2


def drops(encoder: Encoder, batch: Batch) -> bool:
    with torch.no_grad():
        return not torch.equal(encoder.train()(batch)[-1], encoder.eval()(batch)[-1])


@pytest.mark.parametrize("family", FAMILIES)
def test_dropouts_reach_the_family_under_its_own_names(
    family: str, new_encoder: Callable[..., Encoder], sentences: list[Sentence]
) -> None:
    off = new_encoder(family, dropout=0.0, attention_dropout=0.0)
    batch = pack(off.pieces.encode(sentences[:2]))
    assert not drops(off, batch)
    assert drops(new_encoder(family, dropout=0.0, attention_dropout=0.5), batch)
    if family != "eurobert":  # has no other dropout
        assert drops(new_encoder(family, dropout=0.5, attention_dropout=0.0), batch)
        rates = {
            m.p for m in new_encoder(family, dropout=0.5, attention_dropout=0.0).modules() if isinstance(m, nn.Dropout)
        }
        assert rates <= {0.5, 0.0}


def test_families_that_cannot_be_gated_are_refused_by_name(tmp_path: Path, folder_of: Callable[[str], Path]) -> None:
    PretrainedSource(str(folder_of("roberta"))).tokenizer().save_pretrained(tmp_path)
    GPT2Config(n_layer=1, n_head=2, n_embd=8).save_pretrained(tmp_path)
    with pytest.raises(
        EncoderError, match=r"family 'gpt2', .* cannot be gated here; families that can: bert, camembert"
    ):
        load_encoder(str(tmp_path))


def test_hidden_pieces_are_inner_ones_and_become_the_mask(
    new_encoder: Callable[..., Encoder], sentences: list[Sentence]
) -> None:
    encoder = new_encoder()
    batch = pack(encoder.pieces.encode(sentences))
    seen: list[Tensor] = []
    encoder.model.get_input_embeddings().register_forward_hook(lambda module, inputs, output: seen.append(inputs[0][0]))
    with torch.no_grad():
        encoder(batch, hide=0.3)
        encoder(batch)
    assert torch.equal(seen[1], batch.pieces)
    hidden = seen[0] != batch.pieces
    assert (seen[0][hidden] == encoder.pieces.mask_piece).all()
    assert not (hidden & ~batch.inner).any()
    assert 0.2 < hidden[batch.inner].float().mean() < 0.4


@pytest.mark.parametrize("n_words", [64, 65, 600, 5000])
def test_long_sentences_have_one_vector_for_each_word(n_words: int, new_encoder: Callable[..., Encoder]) -> None:
    encoder = new_encoder()
    sentence = Sentence.from_words([("a", "o", ".", ",")[i * i % 7 % 4] for i in range(n_words)])
    (e,) = encoder.pieces.encode([sentence])
    assert (len(e.windows) == 1) == (n_words == 64)
    batch = pack([e])
    assert batch.first.shape == (1, n_words)
    assert batch.pieces[batch.first[0]].tolist() == [encoder.pieces.known[word][0] for word in sentence.words]
    with torch.no_grad():
        last = encoder(batch)[-1][batch.first[0]]
        for word in {0, 31, n_words // 2, n_words - 1}:
            k, place = window_of(e, word)
            alone = encoder.model(
                input_ids=torch.from_numpy(e.windows[k])[None],
                packing=pack_alone(len(e.windows[k])),
            ).last_hidden_state[0, place]
            torch.testing.assert_close(last[word], alone, atol=1e-5, rtol=1e-5)


def window_of(e: Encoded, word: int) -> tuple[int, int]:
    place = int(e.first[word])
    for k, window in enumerate(e.windows):
        if place < len(window):
            return k, place
        place -= len(window)
    raise AssertionError("no window has the word")


def pack_alone(length: int) -> Packing:
    return Packing(((1, length),), torch.zeros(length, dtype=torch.int64))


# Trimmed embeddings


def test_outputs_are_the_same_to_the_bit_when_trimmed(bundled: Encoder, sentences: list[Sentence]) -> None:
    encoded = bundled.pieces.encode(sentences[::3])
    trimmed = load_encoder("bundled", keep=[word for s in sentences[::3] for word in s.words]).eval()
    assert len(trimmed.kept) < len(bundled.kept) / 2
    assert trimmed.kept.tolist() == sorted(trimmed.kept.tolist())
    batch = pack(encoded)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(bundled(batch), trimmed(batch), strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_loading_some_words_gives_what_loading_all_gives(
    family: str, new_encoder: Callable[..., Encoder], sentences: list[Sentence]
) -> None:
    """Also for ModernBERT's shape, whose special pieces may lie behind all rows that are kept."""
    whole = new_encoder(family)
    trimmed = new_encoder(family, keep=sentences[0].words)
    encoded = whole.pieces.encode(sentences[:1])
    batch = pack(encoded)
    assert len(trimmed.kept) < len(whole.kept)
    assert trimmed.lacking(encoded) == []
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(whole(batch), trimmed(batch), strict=True))
        masked = batch.pieces.masked_fill(batch.inner, whole.pieces.mask_piece)
        hidden = Batch(**{**vars(batch), "pieces": masked})
        assert all(torch.equal(a, b) for a, b in zip(whole(hidden), trimmed(hidden), strict=True))


def test_a_script_that_was_trimmed_away_comes_back_from_the_source(bundled: Encoder) -> None:
    georgian = Sentence.from_words(["ძაღლი", "ხედავს", "კატას", "."])
    assert all(
        ord(c) < 0x10A0 or ord(c) > 0x10FF for piece in bundled.kept.tolist() for c in piece_name(bundled, piece)
    )
    encoder = deepcopy(bundled)
    encoder.model.get_input_embeddings().weight.data += 0.01  # as training would
    before = encoder.model.get_input_embeddings().weight.detach().clone()
    encoded = encoder.pieces.encode([georgian])
    names = encoder.admit_(encoded)
    assert names
    assert encoder.pieces.unknown not in encoded[0].windows[0]
    assert any(0x10A0 <= ord(c) <= 0x10FF for name in names for c in name)
    after = encoder.model.get_input_embeddings().weight.detach()
    assert torch.equal(after[: len(before)], before)
    ids = encoder.kept[len(before) :].tolist()
    assert torch.equal(after[len(before) :], load_bundled().embedding_rows(ids))
    assert encoder.admit_(encoded) == []
    assert encoder(pack(encoded))[-1].isfinite().all()
    assert bundled.lacking(encoded) == sorted(ids)


def piece_name(encoder: Encoder, piece: int) -> str:
    return str(encoder.pieces.backend.id_to_token(piece))


def test_rows_that_come_back_are_trained_where_the_others_are(
    new_encoder: Callable[..., Encoder], sentences: list[Sentence]
) -> None:
    for trained in (True, False):
        encoder = new_encoder(keep=["a"])
        encoder.model.get_input_embeddings().weight.requires_grad_(trained)
        assert encoder.admit_(encoder.pieces.encode(sentences))
        assert encoder.model.get_input_embeddings().weight.requires_grad is trained


def test_pieces_that_cannot_be_had_again_are_named(
    new_encoder: Callable[..., Encoder], sentences: list[Sentence], folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    encoder = new_encoder(keep=["a"])
    encoded = encoder.pieces.encode(sentences[:1])
    encoder.name = str(tmp_path / "gone")
    with pytest.raises(EncoderError, match=r"trimmed of, \d+ in all \('.*cannot be had again: the encoder .*gone"):
        encoder.admit_(encoded)
    encoder.name = str(folder_of("distilbert"))
    with pytest.raises(
        EncoderError, match=r"cannot be had again: .* is now another encoder than the one of this model"
    ):
        encoder.admit_(encoded)
    assert encoder.lacking(encoded)


def test_rows_do_not_come_back_from_other_weights_of_the_same_shape_and_pieces(
    new_encoder: Callable[..., Encoder], sentences: list[Sentence], folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    encoder = new_encoder(keep=["a"])
    encoder.name = str(shutil.copytree(folder_of("bert"), tmp_path / "bert"))
    encoded = encoder.pieces.encode(sentences[:1])
    assert deepcopy(encoder).admit_(encoded)  # a copy of the source elsewhere is the same encoder
    weights = load_file(tmp_path / "bert" / "model.safetensors")
    weights["encoder.layer.1.output.dense.bias"] += 1e-3
    save_file(weights, tmp_path / "bert" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EncoderError, match="is now another encoder than the one of this model"):
        encoder.admit_(encoded)


def test_two_encoders_of_one_source_share_no_memory(
    folder_of: Callable[[str], Path], sentences: list[Sentence]
) -> None:
    source = PretrainedSource(str(folder_of("bert")))
    one, other = (load_encoder("x", source=source).eval() for _ in range(2))
    batch = pack(other.pieces.encode(sentences[:1]))
    before = other(batch)[-1]
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.zero_()
    assert torch.equal(other(batch)[-1], before)


def test_a_copy_cuts_words_as_the_encoder_does(new_encoder: Callable[..., Encoder]) -> None:
    encoder = new_encoder("xlm-roberta")
    copy = deepcopy(encoder)
    assert copy.pieces.of(SPECIAL_WORDS) == encoder.pieces.of(SPECIAL_WORDS)
    assert all(a is not b for a, b in zip(copy.parameters(), encoder.parameters(), strict=True))


def test_weights_that_do_not_fit_are_named(folder_of: Callable[[str], Path]) -> None:
    source = PretrainedSource(str(folder_of("bert")))

    class Damaged(PretrainedSource):
        @property
        def weights(self) -> dict[str, Tensor]:
            weights = source.weights
            weights["foreign.weight"] = weights.pop("embeddings.LayerNorm.weight")
            return weights

    with pytest.raises(
        EncoderError, match=r"does not fit its architecture: embeddings.LayerNorm.weight, foreign.weight"
    ):
        load_encoder("x", source=Damaged(source.name))


# mBERT's shape


@pytest.fixture(scope="module")
def mbert(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    """A random BERT as the Hub has mBERT: cased, 12 layers of 12 attention heads, 768 features, vocab.txt trained here."""
    folder = tmp_path_factory.mktemp("mbert")
    trained = BertWordPieceTokenizer(lowercase=False, strip_accents=False)
    trained.train_from_iterator(texts, vocab_size=600, min_frequency=1, show_progress=False)
    trained.save_model(str(folder))
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false, "tokenizer_class": "BertTokenizer"}')
    config = BertConfig(vocab_size=trained.get_vocab_size())
    assert (config.num_hidden_layers, config.num_attention_heads, config.hidden_size) == (12, 12, 768)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        BertModel(config).save_pretrained(folder)
    return folder


def test_mberts_shape_loads_by_path_runs_and_is_gated(mbert: Path, sentences: list[Sentence]) -> None:
    encoder = load_encoder(str(mbert)).eval()
    vocabulary = (mbert / "vocab.txt").read_text("utf-8").splitlines()
    whole = {word for s in sentences for word in s.words if word in vocabulary and len(word) > 3}
    assert len(whole) > 10
    assert encoder.pieces.of(sorted(whole)) == [(vocabulary.index(word),) for word in sorted(whole)]
    (cut,) = encoder.pieces.of(["thethe"])
    assert "".join(vocabulary[i].removeprefix("##") for i in cut) == "thethe"
    assert all(vocabulary[i].startswith("##") for i in cut[1:])
    batch = pack(encoder.pieces.encode(sentences[::5]))
    gates = torch.ones(len(batch), 12, 12)
    gates[0, 11, 11] = 0
    with torch.no_grad():
        full, gated = encoder(batch), encoder(batch, gates)
    assert len(full) == 12
    assert full[0].shape == (batch.n_pieces, 768)
    own = batch.piece_sentence == 0
    assert torch.equal(full[-1][~own], gated[-1][~own])
    assert not torch.isclose(full[-1][own], gated[-1][own], atol=1e-6).all()


@pytest.mark.slow
def test_mberts_shape_goes_the_whole_way(mbert: Path, sentences: list[Sentence], tmp_path: Path) -> None:
    """Trimmed, fine-tuned, saved, adapted, and asked for a script that it was trimmed of: the weights mean nothing."""
    english, hindi = sentences[:4], sentences[8:12]
    encoder = load_encoder(str(mbert), keep=[word for s in english for word in s.words])
    parser = Parser(new_parser(encoder))
    finetune_(parser.network, english, config=FinetuneConfig(steps=2, batch=2))
    adapted = adapt(parser, hindi, config=AdaptConfig(steps=2))
    adapted.parser.save_pretrained(tmp_path / "m")
    again = Parser.from_pretrained(tmp_path / "m")
    assert again.parse(sentences) == adapted.parser.parse(sentences)
    assert len(again.network.encoder.kept) > len(encoder.kept)


# Eq. 1


@pytest.mark.parametrize("train", [False, True])
def test_layer_mix_is_eq_1(train: bool) -> None:
    torch.manual_seed(0)
    mix = LayerMix(4).train(train)
    torch.nn.init.normal_(mix.weights)
    torch.nn.init.constant_(mix.scale, 0.7)
    layers = [torch.randn(5, 3) for _ in range(4)]
    found = mix(layers)
    exps = [math.exp(w) for w in mix.weights.tolist()]
    for word in range(5):
        for i in range(3):
            expected = 0.7 * sum(e / sum(exps) * layer[word, i].item() for e, layer in zip(exps, layers, strict=True))
            assert found[word, i].item() == pytest.approx(expected, abs=1e-5)


def test_layers_are_dropped_only_in_training() -> None:
    mix = LayerMix(3, drop=0.5)
    layers = [torch.full((1, 1), float(i)) for i in (1, 10, 100)]
    assert {round(mix.eval()(layers).item(), 3) for _ in range(20)} == {37.0}
    mix.train()
    subsets = [[1], [10], [100], [1, 10], [1, 100], [10, 100], [1, 10, 100]]
    found = {round(mix(layers).item(), 3) for _ in range(300)}
    assert found == {round(sum(s) / len(s), 3) for s in subsets}
