"""Which cells of Table 2 stand out: classes of improvement, and scores above what the paper prints of other parsers."""

from __future__ import annotations

from bisect import bisect_right

from sublingual.comparison import ROUNDING

CLASSES = (3.0, 5.0, 7.0, 10.0, 15.0, 20.0)
"""Where the classes of improvement over the base begin, in LAS.

The paper's legend names +5-7 % twice and nothing between 15 and 20; what is above 25 is in its last class here.
"""


def improvement_class(difference: float | None) -> int:
    """Returns 0 for less than 3 LAS, else the number of the class.

    >>> [improvement_class(d) for d in (None, -4, 2.9, 3, 6.9, 7, 25.1)]
    [0, 0, 0, 1, 2, 3, 6]
    """
    return 0 if difference is None else bisect_right(CLASSES, difference + ROUNDING)


def class_name(number: int) -> str:
    """Returns the bounds of a class, from 1, as text."""
    low = CLASSES[number - 1]
    return f"+{low:.0f} to +{CLASSES[number]:.0f}" if number < len(CLASSES) else f"+{low:.0f} and more"
