"""Ours beside the paper's: order, signs, slopes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from sublingual.analysis.beside import Beside
from sublingual.analysis.factors import factors
from sublingual.analysis.facts import Facts
from sublingual.analysis.paper import ENCODER, paper_runs
from sublingual.analysis.records import Run
from sublingual.analysis.replication import (
    ranks,
    replicated,
    replicated_factor_rows,
    replicated_factor_sheet,
    replicated_factors,
    replication_rows,
    replication_sheet,
)
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


def test_the_paper_s_gains_go_with_the_same_factors_again() -> None:
    """All three of figure 2; r of docs/protocol.md 5 and 6."""
    runs = paper_runs()
    table = treebank_table(runs, bases=bases_of(dict.fromkeys(run.system for run in runs), "full"))
    genres = {run.treebank: ("news", "web", "bible")[: 1 + len(run.treebank) % 3] for run in runs}
    known = {name: Facts(name, name, None, own, {}) for name, own in genres.items()}
    rows = replicated_factors(table, factors(table, known, encoder=ENCODER), known)
    assert [(row.system, row.factor) for row in rows][:3] == [
        ("nonep-static", "similarity"),
        ("nonep-static", "pretraining"),
        ("nonep-static", "domains"),
    ]
    assert len(rows) == 4 * 3
    assert all((row.r, row.slope, row.n) == (row.printed_r, row.printed_slope, 86) for row in rows)
    r = {(row.system, row.factor): round(row.r.r, 2) for row in rows if row.r is not None}
    assert (r["nonep-static", "similarity"], r["meta-dynamic", "similarity"]) == (0.32, -0.31)
    assert (r["nonep-static", "pretraining"], r["meta-dynamic", "pretraining"]) == (0.24, -0.51)


def test_slopes_are_of_the_same_treebanks_in_units_of_the_factor(run_of: MakeRun) -> None:
    """Against scipy; the paper's pretraining is mBERT's, ours that of our encoder. Without genres there is no third factor."""
    similarity = {"UD_Faroese-OFT": 0.95, "UD_Welsh-CCG": 0.85, "UD_Wolof-WTB": 0.67, "UD_Thai-PUD": 0.68}
    similarity |= {"UD_Gothic-PROIEL": 0.93, "UD_Own-Mine": 0.2}
    gain = dict(zip(similarity, (3.0, 1.0, -2.0, 0.5, 2.0, 90.0), strict=True))
    runs = [run_of("nonep-full", t, 5.0, similarity=s) for t, s in similarity.items()]
    runs += [run_of("nonep-static", t, 5.0 + gain[t], similarity=s) for t, s in similarity.items()]
    table = treebank_table(runs, bases={"nonep-static": "nonep-full"})
    by_similarity, pretraining = replicated_factors(table, factors(table, {}, encoder="bundled"), {})
    names = [*similarity][:5]
    expected = stats.linregress([similarity[t] / 0.1 for t in names], [gain[t] for t in names])
    assert (by_similarity.factor, by_similarity.n, by_similarity.unit) == ("similarity", 5, 0.1)
    assert by_similarity.slope is not None
    assert by_similarity.slope.slope == pytest.approx(expected.slope)
    assert by_similarity.r is not None
    assert by_similarity.r.r == pytest.approx(expected.rvalue)
    printed = {(run.system, run.treebank): run.las for run in paper_runs()}
    theirs = [printed["nonep-static", t] - printed["nonep-full", t] for t in names]
    of_paper = {run.treebank: run.similarity for run in paper_runs()}
    assert by_similarity.printed_slope is not None
    assert by_similarity.printed_slope.slope == pytest.approx(
        stats.linregress([of_paper[t] / 0.1 for t in names], theirs).slope
    )
    assert "CC-100" in pretraining.name
    assert "mBERT" in pretraining.printed_name
    sheet = replicated_factor_sheet([by_similarity, pretraining])
    assert sheet.rows[0][:3] == ("nonep-static", "similarity", "5")
    assert (
        "slope: LAS of gain for 0.1 of the similarity of the nearest training language (URIEL); one step"
        in sheet.notes[1]
    )
    assert sheet.notes[2].startswith("ours: pretraining, log10 of tokens (CC-100")
    (row, _) = replicated_factor_rows([by_similarity, pretraining])
    assert (row["slope"], row["slope_low"]) == (by_similarity.slope.slope, by_similarity.slope.low)


def test_a_system_that_is_adapted_nowhere_has_no_row_and_gives_no_gain(run_of: MakeRun) -> None:
    names = ["UD_Faroese-OFT", "UD_Welsh-CCG", "UD_Wolof-WTB", "UD_Thai-PUD"]
    runs = [run_of("meta-full", t, 1.0, is_adapted=False) for t in names]
    runs += [run_of("meta-static", t, 30.0 + i) for i, t in enumerate(names)]
    table = treebank_table(runs, bases={"meta-static": "meta-full"})
    (row,) = replicated(table, Beside())
    assert (row.system, row.gain, row.printed_gain) == ("meta-static", None, None)
    with pytest.raises(ConfigError, match="no system of these records has a gain over the full one of its loop"):
        replicated_factors(table, factors(table, {}, encoder=ENCODER), {})


def test_equal_values_share_their_rank() -> None:
    values = [3.0, 1.0, 1.0, 2.0, 3.0, 3.0]
    assert ranks(values) == stats.rankdata(values).tolist()


def test_records_of_other_systems_or_treebanks_are_refused(run_of: MakeRun) -> None:
    for run in (run_of("mine", "UD_Faroese-OFT", 1.0), run_of("nonep-full", "UD_Own-Mine", 1.0)):
        with pytest.raises(ConfigError, match="no system and treebank of the paper is in these records"):
            replicated(treebank_table([run, replace(run, support_seed=1)]), Beside())
        with pytest.raises(ConfigError, match="no system and treebank of the paper is in these records"):
            replicated_factors(treebank_table([run]), (), {})
