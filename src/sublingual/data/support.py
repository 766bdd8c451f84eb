"""Which sentences support a few-shot test (section 4.5): drawn from dev if there is one, else taken out of test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sublingual.data.conllu import Sentence
from sublingual.data.treebanks import Treebank
from sublingual.errors import ConfigError, DataError

SUPPORT_SIZE = 20


@dataclass(frozen=True)
class FewShot:
    """A support set and what is scored: `rest` are indices into the test split.

    `source`: the split that the support is from. `n_repeated`: test sentences left out of `rest` since they have the same
    words as a support sentence.
    """

    support: tuple[Sentence, ...]
    rest: tuple[int, ...]
    source: Literal["dev", "test"]
    n_repeated: int


def draw_support(
    treebank: Treebank,
    test: Sequence[Sentence],
    *,
    seed: int,
    n: int = SUPPORT_SIZE,
    reserve: int | None = None,
    keep_repeated: bool = False,
    among: Sequence[int] | None = None,
) -> FewShot:
    """Returns `n` sentences drawn without replacement and without regard to length, and the test sentences to score.

    A dev split of fewer than `n` sentences is used whole (docs/protocol.md 1C). The same seed gives the same sentences
    whatever is tested, and the sets of several sizes are nested: with a `reserve` the sentences of a set of that size are
    never scored, so that all smaller ones score the same. `among` are the indices of the test sentences that may be scored
    (None: all); it has no part in the draw. Raises DataError where nothing would be left to score or there are fewer
    sentences than the reserve, ConfigError for a reserve smaller than `n`.
    """
    source: Literal["dev", "test"] = "dev" if treebank.files("dev") else "test"
    pool = treebank.sentences("dev") if source == "dev" else list(test)
    if reserve is not None:
        _refuse_reserve(treebank, n=n, reserve=reserve, source=source, there=len(pool))
    drawn = np.random.default_rng(seed).permutation(len(pool))[: reserve or n].tolist()
    held = tuple(pool[i] for i in drawn)
    scored = set(range(len(test)) if among is None else among)
    left = sorted(scored - set(drawn) if source == "test" else scored)
    words = {sentence.words for sentence in held}
    rest = tuple(left if keep_repeated else [i for i in left if test[i].words not in words])
    if not rest:
        raise DataError(
            f"{treebank.name}: no test sentence is left beside the {len(held)} of the support set; draw fewer"
        )
    return FewShot(held[:n], rest, source, len(left) - len(rest))


def _refuse_reserve(treebank: Treebank, *, n: int, reserve: int, source: str, there: int) -> None:
    if reserve < n:
        raise ConfigError(f"a reserve of {reserve} holds no support of {n}; give --reserve {n} or more")
    if there < reserve:
        raise DataError(
            f"{treebank.name}: its {source} split has {there} sentences, fewer than the reserve of {reserve}; leave it out"
        )
