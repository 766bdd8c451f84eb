"""Ours beside the paper's: order, signs, slopes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from sublingual.analysis.beside import Beside
from sublingual.analysis.paper import paper_runs
from sublingual.analysis.records import Run
from sublingual.analysis.replication import ranks, replicated, replication_rows, replication_sheet
from sublingual.analysis.tables import bases_of, treebank_table
from sublingual.errors import ConfigError

MakeRun = Callable[..., Run]


def test_the_paper_is_itself_again() -> None:
    runs = paper_runs()
    table = treebank_table(runs, bases=bases_of(dict.fromkeys(run.system for run in runs), "full"))
    rows = {row.system: row for row in replicated(table, Beside())}
    static = rows["nonep-static"]
    assert (static.n, static.las, static.gain) == (86, static.printed_las, static.printed_gain)
    assert static.las_order is not None
    assert static.las_order.r == pytest.approx(1)
    assert static.same_sign
    assert static.slope == static.printed_slope
    assert rows["nonep-full"].gain is None
    assert rows["meta-static"].printed_gain == pytest.approx(-0.40, abs=0.01)


def test_only_what_both_have_is_compared(run_of: MakeRun) -> None:
    """Scores of six treebanks, one of them not the paper's; the gain has the other sign than the printed one."""
    names = ["UD_Faroese-OFT", "UD_Welsh-CCG", "UD_Wolof-WTB", "UD_Thai-PUD", "UD_Gothic-PROIEL", "UD_Own-Mine"]
    las = [50.0, 40.0, 10.0, 30.0, 20.0, 99.0]
    runs = [run_of("nonep-full", t, x) for t, x in zip(names, las, strict=True)]
    runs += [run_of("nonep-static", t, x - 1 - i) for i, (t, x) in enumerate(zip(names, las, strict=True))]
    runs += [run_of("mine", t, x) for t, x in zip(names, las, strict=True)]
    table = treebank_table(runs, bases={"nonep-static": "nonep-full"})
    rows = {row.system: row for row in replicated(table, Beside())}
    assert rows.keys() == {"nonep-full", "nonep-static"}
    static = rows["nonep-static"]
    printed = {run.treebank: run.las for run in paper_runs() if run.system == "nonep-static"}
    ours = [x - 1 - i for i, x in enumerate(las)][:5]
    assert static.n == 5
    assert static.las == pytest.approx(np.mean(ours))
    assert static.gain == pytest.approx(-3)
    full = {run.treebank: run.las for run in paper_runs() if run.system == "nonep-full"}
    assert static.printed_gain == pytest.approx(np.mean([printed[t] - full[t] for t in names[:5]]))
    assert static.printed_gain > 0
    assert static.same_sign is False
    assert replace(static, gain=0.0).same_sign is None
    assert static.las_order is not None
    expected = stats.spearmanr(ours, [printed[t] for t in names[:5]]).statistic
    assert static.las_order.r == pytest.approx(expected)
    sheet = replication_sheet([static])
    assert sheet.rows[0][:2] == ("nonep-static", "5")
    assert replication_rows([static])[0]["gain"] == pytest.approx(-3)


def test_equal_values_share_their_rank() -> None:
    values = [3.0, 1.0, 1.0, 2.0, 3.0, 3.0]
    assert ranks(values) == stats.rankdata(values).tolist()


def test_records_of_other_systems_or_treebanks_are_refused(run_of: MakeRun) -> None:
    for run in (run_of("mine", "UD_Faroese-OFT", 1.0), run_of("nonep-full", "UD_Own-Mine", 1.0)):
        with pytest.raises(ConfigError, match="no system and treebank of the paper is in these records"):
            replicated(treebank_table([run, replace(run, support_seed=1)]), Beside())
