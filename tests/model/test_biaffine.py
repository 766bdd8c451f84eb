"""Eq. 2 and its label twin against plain loops; dropout patterns."""

from __future__ import annotations

import math
from itertools import product
from typing import TypeVar

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor, nn

from sublingual.model.biaffine import ArcScorer, LabelScorer, Projection, shared_dropout

Part = TypeVar("Part", bound=nn.Module)


def drawn(module: Part) -> Part:
    """With every parameter random, also those that start at zero."""
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


def bilinear(left: list[float], w: list[list[float]], right: list[float]) -> float:
    return sum(left[i] * w[i][j] * right[j] for i, j in product(range(len(left)), range(len(right))))


@pytest.mark.parametrize("train", [False, True])
def test_arc_scores_are_eq_2(train: bool) -> None:
    scorer = drawn(ArcScorer(4)).train(train)
    dependents, heads = torch.randn(2, 5, 4)
    place = torch.tensor([[4, 0, 2], [1, 3, 1]])
    found = scorer(dependents, heads, place)
    assert found.shape == (2, 3, 3)
    w, b = scorer.weight.tolist(), scorer.bias.item()
    for s, i, j in product(range(2), range(3), range(3)):
        dependent, head = dependents[place[s, i]].tolist(), heads[place[s, j]].tolist()
        expected = bilinear([*dependent, 1.0], w, [*head, 1.0]) + b
        assert found[s, i, j].item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("train", [False, True])
def test_projection_applies_elu(train: bool) -> None:
    projection = drawn(Projection(3, 5, dropout=0.0)).train(train)
    vectors = torch.randn(6, 3)
    found = projection(vectors, torch.zeros(6, dtype=torch.int64))
    w, b = projection.linear.weight.tolist(), projection.linear.bias.tolist()
    negative = 0
    for word, out in product(range(6), range(5)):
        x = sum(a * c for a, c in zip(w[out], vectors[word].tolist(), strict=True)) + b[out]
        negative += x < 0
        assert found[word, out].item() == pytest.approx(x if x > 0 else math.exp(x) - 1, abs=1e-5)
    assert 5 < negative < 25


def plain_tied(scorer: LabelScorer, bases: tuple[int, ...], head: list[float], dependent: list[float]) -> list[float]:
    """h_head W_base(l) h_dep + v_l [h_head; h_dep] + b_l; forms are numbered as their relations first occur."""
    order = list(dict.fromkeys(bases))
    assert scorer.linear is not None
    scores = []
    for label, base in enumerate(bases):
        own = sum(v * x for v, x in zip(scorer.linear[label].tolist(), head + dependent, strict=True))
        form = scorer.weight[order.index(base)].tolist()
        scores.append(bilinear(head, form, dependent) + own + scorer.bias[label].item())
    return scores


def test_tied_labels_of_one_relation_share_their_form() -> None:
    bases = (0, 0, 2, 3, 2, 0)
    scorer = drawn(LabelScorer(3, bases=bases, tied=True))
    assert scorer.weight.shape == (3, 3, 3)
    heads, dependents = torch.randn(2, 4, 3)
    found = scorer(heads, dependents)
    for word in range(4):
        expected = plain_tied(scorer, bases, heads[word].tolist(), dependents[word].tolist())
        assert found[word].tolist() == pytest.approx(expected, abs=1e-4)


def test_untied_labels_have_a_form_each_as_torchs_bilinear() -> None:
    scorer = drawn(LabelScorer(3, bases=(0, 0, 2, 0), tied=False))
    assert scorer.linear is None
    heads, dependents = torch.randn(2, 5, 3)
    library = nn.Bilinear(3, 3, 4)
    with torch.no_grad():
        library.weight.copy_(scorer.weight)
        library.bias.copy_(scorer.bias)
    found = scorer(heads, dependents)
    torch.testing.assert_close(found, library(heads, dependents))
    expected = [
        bilinear(heads[1].tolist(), scorer.weight[i].tolist(), dependents[1].tolist()) + scorer.bias[i].item()
        for i in range(4)
    ]
    assert found[1].tolist() == pytest.approx(expected, abs=1e-4)


def test_a_subtype_starts_as_its_relation_where_tied() -> None:
    fresh = LabelScorer(3, bases=(0, 0, 2), tied=True)
    scores = fresh(*torch.randn(2, 4, 3))
    assert torch.equal(scores[:, 0], scores[:, 1])
    assert not torch.isclose(scores[:, 0], scores[:, 2]).any()


@pytest.mark.parametrize("tied", [True, False])
def test_new_rows_start_as_their_base_and_leave_the_others(tied: bool) -> None:
    scorer = drawn(LabelScorer(3, bases=(0, 0, 2, 2), tied=tied))
    before = {name: p.detach().clone() for name, p in scorer.named_parameters()}
    more = scorer.extended(like=(2, 1, 2))
    pair = torch.randn(2, 6, 3)
    old, new = scorer(*pair), more(*pair)
    assert new.shape == (6, 7)
    torch.testing.assert_close(new[:, :4], old, rtol=1e-6, atol=1e-6)
    for row, base in ((4, 2), (5, 1), (6, 2)):
        torch.testing.assert_close(new[:, row], new[:, base], rtol=1e-6, atol=1e-6)
    new.pow(2).sum().backward()
    for parameter in more.parameters():
        assert parameter.grad is not None
        parameter.data -= parameter.grad
    assert all(torch.equal(before[name], p) and p.grad is None for name, p in scorer.named_parameters())
    again = more.extended(like=(4,))
    pair_scores = again(*pair)
    torch.testing.assert_close(pair_scores[:, 7], pair_scores[:, 4], rtol=1e-6, atol=1e-6)


def test_a_sentences_words_share_their_dropout_pattern() -> None:
    owner = torch.tensor([0, 1, 2, 0, 0, 1, 2, 2])
    found = shared_dropout(torch.ones(8, 1000), owner, p=0.3)
    patterns = [found[owner == i] for i in range(3)]
    for pattern in patterns:
        assert torch.equal(pattern, pattern[:1].expand_as(pattern))
        assert set(pattern.unique().tolist()) == {0.0, torch.tensor(1 / 0.7).item()}
        assert 0.62 < (pattern > 0).float().mean() < 0.78
    assert not torch.equal(patterns[0][0], patterns[1][0])


def test_projections_drop_only_in_training() -> None:
    projection = drawn(Projection(3, 50, dropout=0.5))
    vectors, owner = torch.randn(4, 3), torch.tensor([0, 0, 1, 1])
    kept: Tensor = projection.train()(vectors, owner) != 0
    assert torch.equal(kept[0], kept[1])
    assert torch.equal(kept[2], kept[3])
    assert 0.2 < kept.float().mean() < 0.8
    exact = nn.functional.elu(projection.linear(vectors))
    assert torch.equal(projection.eval()(vectors, owner), exact)
    assert torch.equal(shared_dropout(vectors, owner, p=0.0), vectors)


def test_vectors_of_another_size_fail_the_shape_check() -> None:
    with pytest.raises(TypeCheckError):
        ArcScorer(4)(torch.zeros(3, 4), torch.zeros(5, 4), torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(TypeCheckError):
        LabelScorer(3, bases=(0,), tied=True)(torch.zeros(2, 3), torch.zeros(3, 3))
    with pytest.raises(TypeCheckError):
        shared_dropout(torch.zeros(4, 2), torch.zeros(3, dtype=torch.int64), p=0.5)
