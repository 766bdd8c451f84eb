"""Gates and packed attention against plain loops, the library's own attention, and separate backwards."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor, nn

from sublingual.data.batches import Batch, pack
from sublingual.data.conllu import Sentence
from sublingual.errors import EncoderError
from sublingual.model.attention import Packing, packed_attention
from sublingual.model.encoder import FAMILIES, Encoder

PROJECTIONS = {"distilbert": "attention.out_lin", "eurobert": "self_attn.o_proj", "modernbert": "attn.Wo"}


@pytest.fixture
def batch_of(sentences: list[Sentence]) -> Callable[[Encoder], Batch]:
    return lambda encoder: pack(encoder.pieces.encode(sentences[::3]))


def in_layer(i: int) -> nn.Module:
    module = nn.Module()
    module.layer_idx = i  # type: ignore[assignment]
    return module


def plain_attention(
    q: Tensor, k: Tensor, v: Tensor, *, window: range, near: int | None, scaling: float, gate: float
) -> list[list[float]]:
    """One attention head over one window, by loops; q, k, v are [pieces, size]."""
    outputs = []
    for i in window:
        seen = [j for j in window if near is None or abs(i - j) < near]
        scores = [scaling * sum(a * b for a, b in zip(q[i].tolist(), k[j].tolist(), strict=True)) for j in seen]
        total = sum(math.exp(s) for s in scores)
        shares = [math.exp(s) / total for s in scores]
        outputs.append(
            [gate * sum(p * v[j, d].item() for p, j in zip(shares, seen, strict=True)) for d in range(v.shape[1])]
        )
    return outputs


@pytest.mark.parametrize("near", [None, 1, 3, 6])
@pytest.mark.parametrize("key_heads", [4, 2, 1])
def test_packed_attention_is_the_plain_loop_in_each_window(near: int | None, key_heads: int) -> None:
    torch.manual_seed(0)
    q = torch.randn(1, 4, 13, 3, dtype=torch.float64)
    k, v = torch.randn(2, 1, key_heads, 13, 3, dtype=torch.float64)
    gates = torch.rand(2, 3, 4, dtype=torch.float64)
    owner = torch.tensor([1] * 2 + [0] * 2 + [1] * 3 + [0] * 6)
    packing = Packing(((2, 2), (1, 3), (1, 6)), owner, gates)
    found, _ = packed_attention(in_layer(1), q, k, v, packing=packing, scaling=0.7, sliding_window=near)
    assert found.shape == (1, 13, 4, 3)
    for window, sentence in ((range(0, 2), 1), (range(2, 4), 0), (range(4, 7), 1), (range(7, 13), 0)):
        for head in range(4):
            shared = head * key_heads // 4
            expected = plain_attention(
                q[0, head],
                k[0, shared],
                v[0, shared],
                window=window,
                near=near,
                scaling=0.7,
                gate=gates[sentence, 1, head].item(),
            )
            torch.testing.assert_close(
                found[0, window.start : window.stop, head], torch.tensor(expected, dtype=torch.float64)
            )


def test_tensors_of_another_shape_fail_the_shape_check() -> None:
    q, owner = torch.zeros(1, 4, 5, 3), torch.zeros(5, dtype=torch.int64)
    with pytest.raises(TypeCheckError):
        packed_attention(in_layer(0), q, q[:, :, :4], q, packing=Packing(((1, 5),), owner))
    with pytest.raises(TypeCheckError):
        Packing(((1, 5),), owner, torch.zeros(4, 3))


@pytest.mark.parametrize("family", FAMILIES)
def test_gates_of_ones_are_no_gates_to_the_bit(
    family: str, new_encoder: Callable[..., Encoder], batch_of: Callable[[Encoder], Batch]
) -> None:
    encoder = new_encoder(family)
    batch = batch_of(encoder)
    with torch.no_grad():
        with_gates, without = encoder(batch, torch.ones(len(batch), 3, 4)), encoder(batch)
    assert all(torch.equal(a, b) for a, b in zip(with_gates, without, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_zero_gate_is_a_zeroed_slice_of_the_output_projection(
    family: str, new_encoder: Callable[..., Encoder], batch_of: Callable[[Encoder], Batch]
) -> None:
    encoder = new_encoder(family)
    batch = batch_of(encoder)
    for layer, head in ((0, 3), (1, 0), (2, 2)):
        gates = torch.ones(len(batch), 3, 4)
        gates[:, layer, head] = 0
        pruned = deepcopy(encoder)
        name = PROJECTIONS.get(family, "attention.output.dense")
        projections = [m for n, m in pruned.model.named_modules() if n.endswith(name)]
        assert len(projections) == 3
        with torch.no_grad():
            projections[layer].weight[:, 8 * head : 8 * (head + 1)] = 0
            gated, expected, full = encoder(batch, gates), pruned(batch), encoder(batch)
        assert all(torch.equal(a, b) for a, b in zip(gated, expected, strict=True))
        changed = [not torch.allclose(a, b, atol=1e-3) for a, b in zip(gated, full, strict=True)]
        assert changed == [i >= layer for i in range(3)]


def test_a_gate_of_another_sentence_changes_nothing(
    new_encoder: Callable[..., Encoder], batch_of: Callable[[Encoder], Batch]
) -> None:
    encoder = new_encoder()
    batch = batch_of(encoder)
    gates = torch.ones(len(batch), 3, 4)
    gates[2] = 0.5
    own = batch.piece_sentence == 2
    with torch.no_grad():
        for a, b in zip(encoder(batch, gates), encoder(batch), strict=True):
            assert torch.equal(a[~own], b[~own])
            assert not torch.isclose(a[own], b[own], atol=1e-3).all(dim=1).any()


@pytest.mark.parametrize("family", ["bert", "modernbert", "eurobert"])
def test_a_batch_that_mixes_subnetworks_equals_separate_batches(
    family: str, new_encoder: Callable[..., Encoder], sentences: list[Sentence]
) -> None:
    encoder = new_encoder(family)
    encoded = encoder.pieces.encode(sentences[::3])
    batch = pack(encoded)
    gates = (torch.rand(len(batch), 3, 4) > 0.4).float()
    with torch.no_grad():
        mixed = encoder(batch, gates)
        for i, e in enumerate(encoded):
            alone = encoder(pack([e]), gates[i : i + 1])
            for a, b in zip(mixed, alone, strict=True):
                torch.testing.assert_close(a[batch.piece_sentence == i], b, atol=1e-5, rtol=1e-5)


def test_gate_gradients_of_one_backward_are_those_of_separate_ones(
    new_encoder: Callable[..., Encoder], sentences: list[Sentence]
) -> None:
    encoder = new_encoder().double()
    encoded = encoder.pieces.encode(sentences[::3])
    gates = torch.rand(len(encoded), 3, 4, dtype=torch.float64, requires_grad=True)
    batch = pack(encoded)
    loss = sum(layer.pow(3).sum() for layer in encoder(batch, gates))
    (together,) = torch.autograd.grad(loss, gates)
    for i, e in enumerate(encoded):
        own = gates.detach()[i : i + 1].requires_grad_()
        (apart,) = torch.autograd.grad(sum(layer.pow(3).sum() for layer in encoder(pack([e]), own)), own)
        torch.testing.assert_close(together[i], apart[0], rtol=1e-6, atol=1e-6)
        assert (apart.abs() > 1e-3).all()


@pytest.mark.parametrize("shape", [(1, 3, 4), (6, 2, 4), (6, 3, 1), (7, 3, 4)])
def test_gates_of_another_shape_are_refused(
    shape: tuple[int, ...], new_encoder: Callable[..., Encoder], sentences: list[Sentence]
) -> None:
    encoder = new_encoder()
    batch = pack(encoder.pieces.encode(sentences[:6]))
    with pytest.raises(EncoderError, match=r"gates of shape .* for 6 sentences and 3 layers of 4 attention heads"):
        encoder(batch, torch.ones(shape))


def test_bf16_autocast_stays_near_fp32_and_attention_in_fp32(
    new_encoder: Callable[..., Encoder], batch_of: Callable[[Encoder], Batch]
) -> None:
    encoder = new_encoder()
    batch = batch_of(encoder)
    gates = torch.rand(len(batch), 3, 4)
    exact = encoder(batch, gates)[-1].detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = encoder(batch, gates)[-1]
        rough.float().pow(2).sum().backward()
    assert 0 < (rough.float() - exact).abs().mean() < 0.02
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())
    wide = torch.randn(3, 1, 2, 5, 4)
    packing = Packing(((1, 5),), torch.zeros(5, dtype=torch.int64))
    narrow = wide.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = packed_attention(in_layer(0), *narrow, packing=packing)
    expected, _ = packed_attention(in_layer(0), *narrow.float(), packing=packing)
    assert torch.equal(found, expected.bfloat16())
