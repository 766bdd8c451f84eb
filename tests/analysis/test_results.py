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
        Results(printed, "nonep-ful").main()
    assert Results(printed, "nonep-full").main().base == "nonep-full"
    of_control = Results(Material(runs=(*printed.runs, run_of("nonep-r20", "UD_Faroese-OFT", 1.0))), "nonep-r20")
    assert of_control.main().base is None
    alone = Results(Material(runs=(run_of("stage1", "UD_Faroese-OFT", 1.0),)), "full")
    assert alone.main().base is None
    assert Results(Material(), "nonep-ful").main().base is None
