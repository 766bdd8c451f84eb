"""Arc scores -> the probability of each arc, over all single-root trees (the matrix-tree theorem; Koo et al. 2007).

A tree's probability is proportional to exp of its summed scores. Instead of inverting the Laplacian, words are taken out
one by one, the arcs that ran through each added to those that stay (Grassmann, Taksar and Heyman 1985). Nothing is
subtracted on that way, so that it can be gone in logarithms and no score is too great or too small; the probabilities are
the gradient of log Z, which comes back over the same steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from sublingual.decoding import readable
from sublingual.errors import ModelError

_NEVER = -800.0  # exp of it is 0


@dataclass(frozen=True)
class Marginals:
    """The tree distributions of a batch.

    arcs: the probability of each arc, `arcs[batch, dependent, head]`, index 0 the root: the heads of a word sum to one, and
        so do the words under the root. Row 0 and what lies behind the end of a sentence is 0.
    log_z: the logarithm of the sum over all trees of exp(score).
    """

    arcs: Float[np.ndarray, "batch n n"]
    log_z: Float[np.ndarray, " batch"]


def marginals(arcs: Float[np.ndarray, "batch n n"], lengths: Int[np.ndarray, " batch"]) -> Marginals:
    """Returns the probabilities of all arcs of a padded batch, in float64; `lengths` counts the words of each sentence.

    Scores are read as `decoding.decode` reads them: -inf forbids an arc; row 0, the diagonal and the padding may be
    anything. Raises ModelError for NaN, for +inf and where the arcs that are left admit no single-root tree. Takes
    O(n^3) time and O(n^2) memory.

    >>> marginals(np.log(np.array([[[1, 1, 1], [3, 1, 1], [1, 1, 1]]])), np.array([2])).arcs[0, 1]
    array([0.75, 0.  , 0.25])
    """
    scores = readable(arcs, lengths).astype(np.float64)[:, 1:]  # [batch, words, n]
    word = np.arange(scores.shape[1]) < lengths[:, None]  # [batch, words]
    best = scores.max(axis=2)
    best[np.isneginf(best)] = 0.0  # the padding, and words without a possible head
    scores -= best[:, :, None]  # each tree has one arc into each word: this changes log Z alone
    forbidden = np.isneginf(scores) & word[:, :, None] & np.pad(word, ((0, 0), (1, 0)), constant_values=True)[:, None]
    least = np.where(np.isneginf(scores), 0.0, scores).min(axis=(1, 2))
    low = lengths * (least - np.log(scores.shape[2])) + _NEVER  # below the sum of all trees that need no such arc
    scores = np.where(forbidden, low[:, None, None], scores)
    scores[:, :, 1][~word] = 0.0  # the padding hangs on the first word: one way, factor 1
    found, log_z = _probabilities(scores)
    stuck = np.flatnonzero((found * forbidden).sum(axis=(1, 2)) > 0.5)
    if len(stuck):
        raise ModelError(
            f"sentence {stuck[0] + 1} of {len(arcs)} in the batch: the arcs that are not -inf admit no tree with a single "
            f"root over its {lengths[stuck[0]]} words; leave each word a way to the root"
        )
    found[~word] = 0.0
    return Marginals(np.pad(found, ((0, 0), (1, 0), (0, 0))), log_z + best.sum(axis=1))


def _probabilities(
    scores: Float[np.ndarray, "batch words n"],
) -> tuple[Float[np.ndarray, "batch words n"], Float[np.ndarray, " batch"]]:
    """The arcs' probabilities and log Z; word i is row i and, as a head, column i + 1.

    A tree has one arc from the root, so the ways from a word to the others count without the root's: of the root's arcs
    only the first power stays. The last word that is left has the root alone.
    """
    left, n_words = scores.copy(), scores.shape[1]
    out = np.zeros(scores.shape[:2])
    for k in range(n_words - 1, 0, -1):
        out[:, k] = _log_sum(left[:, k, 1 : k + 1], axis=1)
        share = left[:, k, : k + 1] - out[:, k, None]  # [batch, heads that stay]
        through = left[:, :k, k + 1, None] + share[:, None]
        left[:, :k, : k + 1] = np.logaddexp(left[:, :k, : k + 1], through)
    out[:, 0] = left[:, 0, 0]
    slope = np.full(scores.shape, -np.inf)  # log of the derivative of log Z by exp(score)
    slope[:, 0, 0] = -out[:, 0]
    for k in range(1, n_words):
        share, into, own = left[:, k, : k + 1] - out[:, k, None], left[:, :k, k + 1, None], slope[:, :k, : k + 1]
        slope[:, :k, k + 1] = _log_sum(own + share[:, None], axis=2)
        carried = _log_sum(own + into, axis=1)  # [batch, heads that stay]
        rest = 1.0 - np.exp(share + carried).sum(axis=1)
        slope[:, k, 0] = carried[:, 0] - out[:, k]
        slope[:, k, 1 : k + 1] = _log_plus(carried[:, 1:], rest[:, None]) - out[:, k, None]
    return np.exp(slope + scores), out.sum(axis=1)


def _log_sum(logs: Float[np.ndarray, "*shape"], *, axis: int) -> Float[np.ndarray, "*rest"]:
    """log of the sum of exp(logs) along an axis; -inf where all are."""
    top = logs.max(axis=axis, keepdims=True)
    top[np.isneginf(top)] = 0.0
    with np.errstate(divide="ignore"):
        return np.log(np.exp(logs - top).sum(axis=axis)) + np.squeeze(top, axis)


def _log_plus(logs: Float[np.ndarray, "batch n"], number: Float[np.ndarray, "batch 1"]) -> Float[np.ndarray, "batch n"]:
    """log(exp(logs) + number); the number may be negative, the sum only by its rounding."""
    top = np.maximum(logs, 0.0)
    with np.errstate(divide="ignore"):
        return top + np.log(np.maximum(np.exp(logs - top) + number * np.exp(-top), 0.0))
