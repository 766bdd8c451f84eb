"""Arc scores -> the best single-root tree, and labels that agree with it (section 4.1; docs/protocol.md 1A).

The greedy heads are the answer wherever they already form such a tree; Chu-Liu/Edmonds runs only for other sentences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from sublingual.errors import ModelError

MEND = "the weights are damaged or the numbers overflowed: load the model anew, or parse with --precision fp32"


@dataclass(frozen=True)
class DecodedBatch:
    """The trees of one batch.

    heads: the head of each word, 0 = root, 1 = first word; 0 behind the end of a sentence.
    n_spanning: how many sentences needed the spanning tree, their greedy heads being no single-root tree.
    """

    heads: Int[np.ndarray, "batch words"]
    n_spanning: int


def decode(arcs: Float[np.ndarray, "n n"]) -> Int[np.ndarray, " words"]:
    """Return the heads (0 = root) of the single-root tree whose summed score is greatest.

    `arcs[dependent, head]` has index 0 for the root, n = words + 1; row 0 and the diagonal are not read. The usual
    scores are log-probabilities. -inf forbids an arc; a huge negative number does not, and its rounding may hide small
    differences. Equal scores give the same tree each time. Raises ModelError for NaN, for +inf and where the arcs that
    are left admit no single-root tree.

    >>> decode(np.log(np.array([[0.5, 0.5, 0.5], [0.6, 0.1, 0.3], [0.7, 0.2, 0.1]])))
    array([2, 0])
    """
    heads: Int[np.ndarray, " words"] = decode_batch(arcs[None], np.array([len(arcs) - 1])).heads[0]
    return heads


def decode_batch(arcs: Float[np.ndarray, "batch n n"], lengths: Int[np.ndarray, " batch"]) -> DecodedBatch:
    """Return the trees of a padded batch; `lengths` counts the words of each sentence. See `decode`.

    What lies behind the end of a sentence is not read, so it may be anything. Errors name the sentence, counted from 1.
    """
    scores = readable(arcs, lengths)
    heads = scores.argmax(axis=2)  # [batch, n]
    unfit = np.flatnonzero(~_are_trees(heads, scores, lengths))
    for sentence in unfit.tolist():
        n = int(lengths[sentence]) + 1
        tree = _spanning_tree(scores[sentence, :n, :n].astype(np.float64))
        if tree is None:
            raise ModelError(
                f"sentence {sentence + 1} of {len(arcs)} in the batch: the arcs that are not -inf admit no tree with a "
                f"single root over its {n - 1} words; leave each word a way to the root"
            )
        heads[sentence, :n] = tree
    return DecodedBatch(heads=heads[:, 1:], n_spanning=len(unfit))


def decode_labels(
    label_scores: Float[np.ndarray, "words labels"], heads: Int[np.ndarray, " words"], *, root: int
) -> Int[np.ndarray, " words"]:
    """Return the label of each word, given its head: `root` where the head is 0, the best other label elsewhere.

    The words of many sentences may be given at once. Raises ModelError for NaN, for +inf and for a word without a
    possible label.
    """
    _refuse_non_numbers(label_scores, what="the label score of word {} for label {}")
    others = label_scores.copy()
    others[:, root] = -np.inf
    labels: Int[np.ndarray, " words"] = others.argmax(axis=1)
    stuck = np.flatnonzero((heads != 0) & np.isneginf(others[np.arange(len(labels)), labels]))
    if len(stuck):
        raise ModelError(f"word {stuck[0] + 1} has a head but every label except root scores -inf; allow it a label")
    labels[heads == 0] = root
    return labels


def readable(
    arcs: Float[np.ndarray, "batch n n"], lengths: Int[np.ndarray, " batch"]
) -> Float[np.ndarray, "batch n n"]:
    """Return the scores with -inf for all that is not an arc of its sentence: row 0, the diagonal and the padding."""
    index = np.arange(arcs.shape[1])
    if np.any(lengths < 1) or np.any(lengths >= len(index)):
        allowed = f"1 to {len(index) - 1} words are allowed"
        raise ModelError(f"lengths {lengths.tolist()} for arc scores of shape {arcs.shape}: {allowed}")
    inside = index <= lengths[:, None]  # [batch, n]
    arc = inside[:, :, None] & inside[:, None, :] & (index[:, None] != index)  # [batch, n, n]
    arc[:, 0] = False
    scores = np.where(arc, arcs, np.array(-np.inf, dtype=arcs.dtype))
    place = f"sentence {{}} of {len(arcs)} in the batch: the score of word {{}} under head {{}}"
    _refuse_non_numbers(scores, what=place)
    return scores


def _refuse_non_numbers(scores: Float[np.ndarray, "*shape"], *, what: str) -> None:
    """Raise ModelError at the first NaN or +inf; `what` names the place, words and sentences counted from 1."""
    refused = ~(scores < np.inf)
    if refused.any():
        place = np.argwhere(refused)[0].tolist()
        named = what.format(place[0] + 1, *place[1:])
        raise ModelError(f"{named} is {scores[tuple(place)]}; numbers and -inf are allowed; {MEND}")


def _are_trees(
    heads: Int[np.ndarray, "batch n"], scores: Float[np.ndarray, "batch n n"], lengths: Int[np.ndarray, " batch"]
) -> Bool[np.ndarray, " batch"]:
    """Tell which sentences' heads are possible, acyclic and single-rooted (index 0 and the padding have head 0)."""
    n = heads.shape[1]
    word = (np.arange(n) <= lengths[:, None]) & (np.arange(n) > 0)  # [batch, n]
    best = np.take_along_axis(scores, heads[:, :, None], axis=2)[:, :, 0]  # [batch, n]
    possible = ~np.any(word & np.isneginf(best), axis=1)
    single = np.count_nonzero(word & (heads == 0), axis=1) == 1
    ancestor = heads  # each round doubles the height that is climbed
    for _ in range(n.bit_length()):
        ancestor = np.take_along_axis(ancestor, ancestor, axis=1)
    trees: Bool[np.ndarray, " batch"] = possible & single & ~ancestor.any(axis=1)
    return trees


def _spanning_tree(scores: Float[np.ndarray, "n n"]) -> Int[np.ndarray, " n"] | None:
    """Return the heads of the best single-root tree, or None where there is none.

    The best tree of all is the best single-root tree if it has one root; only otherwise the roots must be made fewer.
    """
    heads = _arborescence(scores, root_last=False)
    if heads is not None and np.count_nonzero(heads[1:] == 0) > 1:
        heads = _arborescence(scores, root_last=True)
    return heads if heads is not None and np.count_nonzero(heads[1:] == 0) == 1 else None


def _arborescence(scores: Float[np.ndarray, "n n"], *, root_last: bool) -> Int[np.ndarray, " n"] | None:
    """Return the heads of the best tree with any number of roots, or None (Chu and Liu 1965, Edmonds 1967).

    With `root_last` arcs are compared by (is not from the root, score), so the tree has as few roots as can be. No arc
    from the root lies on a cycle, so the first part stays 0 or 1 and needs no arithmetic: exact, unlike a penalty.
    Dense form of Gabow et al. 1986: grow a path towards the root, merge the cycle it runs into; O(n^2) all in all.
    """
    forest = _Forest(scores, root_last=root_last)
    reached = {0}
    for start in range(1, len(scores)):
        path: list[int] = []
        node = int(forest.owner[start])
        while node not in reached:
            if forest.is_stuck(node):
                return None
            path.append(node)
            node = int(forest.owner[forest.source[node]])
            if node in path:
                cut = path.index(node)
                node = forest.merge(path[cut:])
                del path[cut:]
        reached.update(path)
    return forest.heads()


class _Forest:
    """Nodes merged so far and the arc that each has chosen: node i < n is index i, later ones are merged cycles.

    Columns stay the n indices throughout, so that a merge touches rows only; `owner[index]` is the node around it now.
    """

    def __init__(self, scores: Float[np.ndarray, "n n"], *, root_last: bool) -> None:
        n = len(scores)
        self.first_source = 1 if root_last else 0
        self.columns = np.arange(n)
        self.gain = np.empty((2 * n, n))  # score of entering a node from an index, less that of the arcs it replaces
        self.gain[:n] = scores
        self.entry = np.empty((2 * n, n), dtype=np.intp)  # the index inside the node where that arc ends
        self.entry[:n] = self.columns[:, None]
        self.inside = np.zeros((2 * n, n), dtype=bool)
        self.inside[:n] = np.eye(n, dtype=bool)
        self.owner = self.columns.copy()
        self.above = [-1] * n
        best = scores[:, self.first_source :].argmax(axis=1) + self.first_source  # [n]
        best[np.isneginf(scores[self.columns, best])] = 0
        self.source: list[int] = best.tolist()
        self.target: list[int] = self.columns.tolist()
        self.chosen: list[float] = scores[self.columns, best].tolist()

    def is_stuck(self, node: int) -> bool:
        """Tell whether no arc leads into the node."""
        return self.chosen[node] == -np.inf

    def merge(self, cycle: list[int]) -> int:
        """Return the new node that stands for the nodes of a cycle of chosen arcs, its own arc chosen."""
        node, nodes = len(self.above), np.array(cycle)
        gains = self.gain[nodes] - np.array([self.chosen[part] for part in cycle])[:, None]  # [cycle, n]
        member = gains.argmax(axis=0)  # [n]
        gain, inside = gains[member, self.columns], self.inside[nodes].any(axis=0)  # [n], [n]
        gain[inside] = -np.inf
        self.gain[node], self.inside[node] = gain, inside
        self.entry[node] = self.entry[nodes[member], self.columns]
        self.owner[inside] = node
        for part in cycle:
            self.above[part] = node
        self.above.append(-1)
        source = int(gain[self.first_source :].argmax()) + self.first_source
        source = 0 if gain[source] == -np.inf else source
        self.source.append(source)
        self.target.append(int(self.entry[node, source]))
        self.chosen.append(float(gain[source]))
        return node

    def heads(self) -> Int[np.ndarray, " n"]:
        """Return each index's head: a node's arc replaces those of all nodes around the word that it enters."""
        heads: Int[np.ndarray, " n"] = np.zeros(len(self.owner), dtype=np.intp)
        dissolved = set()
        for node in range(len(self.above) - 1, 0, -1):
            if node in dissolved:
                continue
            part = self.target[node]
            heads[part] = self.source[node]
            while part != node:
                dissolved.add(part)
                part = self.above[part]
        return heads
