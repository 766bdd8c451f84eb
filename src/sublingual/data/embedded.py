"""The ten small treebanks that the package carries, laid out like a UD release: for the demo and for tests.

Written for this project (resources/treebanks/README.md): no score on them is comparable with one on a real treebank.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from sublingual.data.treebanks import SPLITS, Treebank, find, treebanks

WARNING = "Made from embedded toy treebanks; not comparable with scores on real treebanks."
"""What every table made from them says."""


def embedded_folder() -> Path:
    """Returns the folder that holds the embedded treebanks as folders `UD_*-Demo`."""
    return Path(str(files("sublingual") / "resources" / "treebanks"))


def embedded(name: str) -> Treebank:
    """Returns an embedded treebank by any name that `find` takes; DataError, with near names, for others.

    >>> embedded("Swedish-Demo").code
    'sv'
    """
    return find(embedded_folder(), name)


def has_embedded(names: Iterable[str]) -> bool:
    """Whether one of these treebanks, or files, is an embedded one by its name: what is made from them says WARNING."""
    ours = treebanks(embedded_folder())
    files = {path.name for each in ours for split in SPLITS for path in each.files(split)}
    return not {*files, *(each.name for each in ours)}.isdisjoint(names)
