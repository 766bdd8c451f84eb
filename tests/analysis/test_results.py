"""Every table of some results: which base it is against, and what is of the systems alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sublingual.analysis.material import Material
from sublingual.analysis.paper import paper_runs
from sublingual.analysis.records import Run
from sublingual.analysis.results import Results
from sublingual.errors import ConfigError

MakeRun = Callable[..., Run]


@pytest.fixture(scope="module")
def printed() -> Material:
    return Material(runs=paper_runs())


def test_a_mistyped_base_is_refused_and_one_that_a_part_lacks_is_not(printed: Material, run_of: MakeRun) -> None:
    with pytest.raises(ConfigError, match="no record of system 'nonep-ful'; did you mean 'nonep-full'"):
        Results(printed, "nonep-ful")
    assert Results(printed, "nonep-full").main().base == "nonep-full"
    of_control = Results(Material(runs=(*printed.runs, run_of("nonep-r20", "UD_Faroese-OFT", 1.0))), "nonep-r20")
    assert of_control.main().base is None
    alone = Results(Material(runs=(run_of("stage1", "UD_Faroese-OFT", 1.0),)), "full")
    assert alone.main().base is None
    assert Results(Material(), "nonep-ful").main().base is None


@pytest.mark.parametrize("base", ["full", None, "nonep-dynamic"])
def test_beside_the_paper_gains_are_over_the_full_system_whatever_the_base(printed: Material, base: str | None) -> None:
    rows = {row.system: row for row in Results(printed, base).replicated}
    static = rows["nonep-static"]
    assert static.gain == static.printed_gain
    assert static.same_sign
    assert rows["nonep-full"].gain is None


def test_without_a_full_system_nothing_is_gained(printed: Material) -> None:
    static = tuple(run for run in printed.runs if run.system == "nonep-static")
    (row,) = Results(Material(runs=static), "full").main().replicated
    assert (row.gain, row.same_sign) == (None, None)
