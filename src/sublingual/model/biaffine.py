"""Eq. 2: biaffine scores of arcs, and their twin for labels.

`arcs[batch, dependent, head]`, index 0 the root; eq. 2 prints the transpose. Labels are scored for given arcs only.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class Projection(nn.Module):
    """One layer with ELU; in training a sentence's words share one dropout pattern (variational dropout)."""

    def __init__(self, size: int, out: int, *, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(size, out)
        self.dropout = dropout

    def forward(
        self, vectors: Float[Tensor, "tokens size"], owner: Int[Tensor, "tokens"]
    ) -> Float[Tensor, "tokens out"]:
        """Returns the projected vectors; `owner` is each token's sentence."""
        return shared_dropout(nn.functional.elu(self.linear(vectors)), owner, p=self.dropout if self.training else 0.0)


def shared_dropout(
    vectors: Float[Tensor, "tokens size"], owner: Int[Tensor, "tokens"], *, p: float
) -> Float[Tensor, "tokens size"]:
    """Returns the vectors with the same features dropped in all tokens of a sentence, the rest scaled by 1/(1-p)."""
    if not p:
        return vectors
    n_sentences = int(owner.max()) + 1
    kept = torch.empty(n_sentences, vectors.shape[1], device=vectors.device).bernoulli_(1 - p).div_(1 - p)
    return vectors * kept[owner].to(vectors.dtype)


def gathered(rows: Float[Tensor, "tokens size"], place: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape size"]:
    """Returns the rows at these places (as indexing does, whose backward is several times slower on CPUs)."""
    return rows.index_select(0, place.flatten()).unflatten(0, place.shape)


class ArcScorer(nn.Module):
    """S_arc = [H_dep; 1] W [H_head; 1]^T + b, W of (size + 1) x (size + 1)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size + 1, size + 1))
        self.bias = nn.Parameter(torch.zeros(()))
        nn.init.xavier_uniform_(self.weight)

    def forward(
        self,
        dependents: Float[Tensor, "tokens size"],
        heads: Float[Tensor, "tokens size"],
        place: Int[Tensor, "batch n"],
    ) -> Float[Tensor, "batch n n"]:
        """Returns `arcs[batch, dependent, head]`; `place` finds each sentence's tokens among all."""
        moved = gathered(nn.functional.linear(dependents, self.weight[:-1].T, self.weight[-1]), place)
        scores = moved[..., :-1] @ gathered(heads, place).transpose(1, 2)  # [batch, n, n]
        return scores + moved[..., -1:] + self.bias


class LabelScorer(nn.Module):
    """Scores of labels for given pairs of a dependent and its head.

    Untied, each label has its own bilinear form: h_head W_l h_dep + b_l (the paper's code base, docs/protocol.md 1A). Tied (our
    default), the labels of one universal relation share the form, and each label adds a linear term of its own,
    h_head W_base(l) h_dep + v_l [h_head; h_dep] + b_l: 37 forms instead of 480, and a subtype that was never seen starts
    as its relation.
    """

    def __init__(self, size: int, *, bases: tuple[int, ...], tied: bool) -> None:
        super().__init__()
        self.tied = tied
        n_labels, n_forms = len(bases), len(set(bases))
        own = {base: i for i, base in enumerate(dict.fromkeys(bases))}
        forms = [own[base] for base in bases] if tied else list(range(n_labels))
        self.register_buffer("form", torch.tensor(forms), persistent=False)
        self.form: Tensor
        bound = size**-0.5
        self.weight = nn.Parameter(torch.empty(n_forms if tied else n_labels, size, size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(n_labels))
        self.linear = nn.Parameter(torch.zeros(n_labels, 2 * size)) if tied else None

    def forward(
        self, heads: Float[Tensor, "words size"], dependents: Float[Tensor, "words size"]
    ) -> Float[Tensor, "words labels"]:
        """Returns `labels[word, label]`."""
        n_forms, size, _ = self.weight.shape
        moved = nn.functional.linear(dependents, self.weight.flatten(0, 1)).unflatten(1, (n_forms, size))
        forms = torch.einsum("wfs,ws->wf", moved, heads)  # [words, forms]
        scores = (forms[:, self.form] if self.tied else forms) + self.bias
        if self.linear is not None:
            scores = scores + torch.cat([heads, dependents], dim=1) @ self.linear.T
        return scores

    def extended(self, *, like: tuple[int, ...]) -> LabelScorer:
        """Returns a scorer with one more label for each entry of `like`, starting as a copy of that label."""
        new = deepcopy(self)
        copied = torch.tensor(like, dtype=torch.int64, device=self.bias.device)
        fresh = self.form[copied] if self.tied else torch.arange(len(like), device=copied.device) + len(self.form)
        new.form = torch.cat([self.form, fresh])
        new.bias = nn.Parameter(torch.cat([self.bias, self.bias[copied]]).detach())
        if self.linear is None:
            new.weight = nn.Parameter(torch.cat([self.weight, self.weight[copied]]).detach())
        else:
            new.linear = nn.Parameter(torch.cat([self.linear, self.linear[copied]]).detach())
        return new
