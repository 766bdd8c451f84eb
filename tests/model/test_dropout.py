"""Dropout from cut random draws: the share, the scale, the gradient, the random state."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sublingual.model.dropout import Dropout, factors, quicken_
from sublingual.model.encoder import load_encoder


@pytest.mark.parametrize("p", [0.1, 0.33, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_factors_are_nought_or_scaled_in_the_right_share(p: float, dtype: torch.dtype) -> None:
    found = factors((7, 3, 9973), p, like=torch.zeros(1, dtype=dtype))
    assert found.shape == (7, 3, 9973)
    assert found.dtype == dtype
    kept = torch.tensor(1.0, dtype=dtype).div_(1 - p)
    assert set(found.unique().tolist()) == {0.0, kept.item()}
    n, dropped = found.numel(), (found == 0).double().mean().item()
    assert abs(dropped - p) < 5 * (p * (1 - p) / n) ** 0.5


def test_neighbouring_factors_are_independent() -> None:
    dropped = (factors((400_000,), 0.3, like=torch.zeros(1)) == 0).double()
    for distance in (1, 2, 3, 4, 8):
        together = (dropped[:-distance] * dropped[distance:]).mean().item()
        assert together == pytest.approx(0.09, abs=0.003)


def test_dropout_draws_from_torchs_random_state() -> None:
    dropout, ones = Dropout(0.4), torch.ones(50, 11)
    torch.manual_seed(5)
    first, second = dropout(ones), dropout(ones)
    torch.manual_seed(5)
    assert torch.equal(dropout(ones), first)
    assert not torch.equal(first, second)


def test_the_gradient_passes_where_values_were_kept() -> None:
    vectors = torch.randn(40, 6, requires_grad=True)
    found = Dropout(0.25)(vectors)
    found.sum().backward()
    assert vectors.grad is not None
    torch.testing.assert_close(found, vectors * vectors.grad)
    assert set(vectors.grad.unique().tolist()) == {0.0, torch.tensor(1.0).div_(0.75).item()}


@pytest.mark.parametrize(("p", "train"), [(0.5, False), (0.0, True)])
def test_dropout_does_nothing_and_draws_nothing_when_off(p: float, train: bool) -> None:
    vectors, state = torch.randn(5, 3), torch.get_rng_state()
    assert torch.equal(Dropout(p).train(train)(vectors), vectors)
    assert torch.equal(torch.get_rng_state(), state)


def test_no_values_are_dropped_from_none() -> None:
    assert factors((0, 4), 0.5, like=torch.zeros(1)).shape == (0, 4)


def test_quickening_replaces_torchs_dropouts_and_keeps_their_rates() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(0.3), nn.Dropout1d(0.2)), nn.Dropout(0.1))
    quicken_(model)
    found = [(type(m), m.p) for m in model.modules() if isinstance(m, nn.Dropout | nn.Dropout1d)]
    assert found == [(Dropout, 0.3), (nn.Dropout1d, 0.2), (Dropout, 0.1)]


def test_a_loaded_encoder_has_quick_dropouts_only(folder_of: object) -> None:
    encoder = load_encoder(str(folder_of("bert")), dropout=0.2)  # type: ignore[operator]
    found = {(type(m), m.p) for m in encoder.modules() if isinstance(m, nn.Dropout)}
    assert (Dropout, 0.2) in found
    assert all(kind is Dropout for kind, _ in found)
