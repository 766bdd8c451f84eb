"""Table 4 and the controls of section 8, from a made-up study whose gains are known."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sublingual.analysis.ablations import CONTROLS, TEST, TRAINING, ablations
from sublingual.analysis.baselines import BASELINES
from sublingual.analysis.material import Material, read_material
from sublingual.analysis.own import own_table
from sublingual.analysis.records import Run
from sublingual.analysis.results import Results, is_control
from sublingual.analysis.stage2_sheets import ablation_rows, ablation_sheet, own_rows, own_sheet
from sublingual.analysis.statistics import holm
from sublingual.errors import ConfigError
from sublingual.subnetworks.systems import systems

MakeRun = Callable[..., Run]


@pytest.fixture(scope="module")
def material(study: list[Path]) -> Material:
    return read_material(study)


def test_table_4_has_a_row_a_training_language_with_heads_off(material: Material) -> None:
    table = own_table(material.own)
    assert [(row.code, row.treebank) for row in table.rows] == [
        ("ar", "UD_Arabic-PADT"),
        ("cs", "UD_Czech-PDT"),
        ("no", "UD_Norwegian-Nynorsk"),
    ]
    arabic = table.rows[0].cells
    assert (arabic["nonep-static"].cell.las, arabic["nonep-static"].off) == (80.0, 13.0)
    assert (arabic["nonep-full"].cell.las, arabic["nonep-full"].cell.sd, arabic["nonep-full"].off) == (70.0, 0.0, 0.0)
    assert table.means == {"nonep-full": 70.0, "nonep-static": 80.0, "nonep-dynamic": 70.0, "nonep-shuffle": 70.0}
    sheet = own_sheet(table)
    assert sheet.columns == ("language", "treebank", *table.systems, "printed")
    assert sheet.rows[0][2:4] == ("70.00 ± 0.00", "80.00 ± 0.00 (13)")
    assert sheet.rows[0][-1] == "68.6, 72.9 (13), 69.1"
    assert sheet.rows[-1][:4] == ("mean", "3 tests", "70.00 ± 0.00", "80.00 ± 0.00")
    rows = own_rows(table)
    assert {row["heads_off"] for row in rows if row["treebank"]} == {0.0, 13.0}
    assert [(row["system"], row["las"]) for row in rows if not row["treebank"]] == [*table.means.items()]


def test_table_4_compares_systems_with_their_full_one(run_of: MakeRun) -> None:
    gains = {"nonep-full": (0.0, 0.0, 0.0), "nonep-static": (1.0, 2.0, 3.0), "nonep-shuffle": (-5.0, -5.0, -5.0)}
    own = [
        run_of(name, t, 60.0 + gain, code="ar", method="own", training_seed=s, support_seed=None, is_fewshot=False)
        for name, each in gains.items()
        for t in ("x", "y")
        for s, gain in enumerate(each)
    ]
    results = Results(Material(own=tuple(own)), "full", n_resamples=2_000)
    (static,) = results.own_comparisons
    assert (static.system, static.base, static.las.difference) == ("nonep-static", "nonep-full", 2.0)
    sheet = own_sheet(results.own, results.own_resampled, comparisons=results.own_comparisons)
    assert sheet.rows[-1][:2] == ("mean difference", "2 tests")
    assert re.fullmatch(r"\+2\.00 \[-\d\.\d\d, \+\d\.\d\d\], p \d\.\d{4}", sheet.rows[-1][3])
    assert (sheet.rows[-1][2], sheet.rows[-1][4]) == ("", "")
    assert any(note.startswith("difference: of nonep-static to nonep-full") for note in sheet.notes)
    last = own_rows(results.own, results.own_resampled, comparisons=results.own_comparisons)[-2]
    assert (last["system"], last["difference"], last["base"]) == ("nonep-static", 2.0, "nonep-full")
    assert Results(Material(own=tuple(own)), None).own_comparisons == ()
    assert Results(Material(own=tuple(own[6:])), "full").own_comparisons == ()
    with pytest.raises(ConfigError, match="no record of system 'nonep-fulll'; did you mean 'nonep-full'"):
        _ = Results(Material(own=tuple(own)), "nonep-fulll").own_comparisons


def test_a_language_that_a_system_lacks_is_not_in_its_mean(run_of: MakeRun) -> None:
    runs = [
        run_of("a", "UD_Arabic-PADT", 60.0, code="ar", method="own"),
        run_of("b", "UD_Arabic-PADT", 70.0, code="ar", method="own"),
        run_of("a", "UD_Czech-PDT", 10.0, code="cs", method="own"),
    ]
    table = own_table(runs)
    assert (table.compared, table.means) == (("UD_Arabic-PADT",), {"a": 60.0, "b": 70.0})
    assert own_sheet(table).rows[1][:4] == ("cs", "UD_Czech-PDT", "10.00", "")


def test_controls_are_held_against_what_they_are_controls_of(material: Material) -> None:
    found = ablations(material.runs, material.own, generator=np.random.default_rng(0), n_resamples=300)
    lines = {(line.system, line.where): line for line in found}
    assert lines.keys() == {
        ("nonep-shuffle", TEST),
        ("nonep-dr20", TEST),
        ("nonep-shuffle", TRAINING),
    }
    shuffle = lines["nonep-shuffle", TEST]
    assert shuffle.against == "nonep-static"
    assert shuffle.difference == pytest.approx(-7, abs=0.7)
    assert (shuffle.lower, shuffle.n_treebanks) == (10, 10)
    assert shuffle.interval is not None
    assert shuffle.interval.low < shuffle.difference < shuffle.interval.high < 0
    assert lines["nonep-dr20", TEST].against == "nonep-dynamic"
    assert lines["nonep-shuffle", TRAINING].difference == -10
    known = [line.p_value for line in found if line.p_value is not None]
    assert [line.holm for line in found if line.holm is not None] == holm(known)


def test_the_random_transfer_language_is_a_control_of_the_nearest(run_of: MakeRun) -> None:
    runs = [run_of("nonep-static", t, las) for t, las in (("x", 40.0), ("y", 50.0), ("z", 60.0))]
    runs += [run_of("nonep-static", t, las, method="random") for t, las in (("x", 39.0), ("y", 51.0), ("z", 55.0))]
    (line,) = ablations(runs, [], generator=np.random.default_rng(0), n_resamples=50)
    assert (line.system, line.against, line.lower) == ("nonep-static (random)", "nonep-static", 2)
    assert line.interval is not None  # over treebanks
    assert (line.p_value, line.holm) == (None, None)  # of one training run
    sheet = ablation_sheet([line])
    assert sheet.rows[0][-3:] == ("2 of 3", "1", "lower on 79 of 86 treebanks")
    assert sheet.notes[-1].startswith("of one training run the interval is of these two parsers")
    assert ablation_rows([line])[0]["difference"] == pytest.approx(-5 / 3)


def test_runs_of_two_settings_are_told(run_of: MakeRun) -> None:
    """As where a control was trained on a machine of another precision."""
    runs = [run_of("nonep-dr20", t, 40.0, settings='{"precision": "fp32"}') for t in ("x", "y")]
    runs += [run_of("nonep-dynamic", t, 41.0, settings='{"precision": "bf16"}') for t in ("x", "y")]
    (line,) = ablations(runs, [], generator=np.random.default_rng(0), n_resamples=50)
    assert line.differing == "precision (bf16 or fp32)"
    assert ablation_sheet([line]).notes[-1].endswith("which differ in precision (bf16 or fp32)")
    (alike,) = ablations(
        [replace(r, settings="") for r in runs], [], generator=np.random.default_rng(0), n_resamples=50
    )
    assert alike.differing == ""


def test_of_one_training_run_there_is_no_p(run_of: MakeRun) -> None:
    runs = [
        run_of(name, t, las + i % 2, support_seed=i)
        for name, las in (("nonep-static", 40.0), ("nonep-static (intersection)", 30.0))
        for t in ("x", "y")
        for i in range(3)
    ]
    (line,) = ablations(runs, [], generator=np.random.default_rng(0), n_resamples=50)
    assert line.own.interval is not None
    assert (line.p_value, line.holm) == (None, None)
    again = [replace(run, training_seed=1, las=run.las + 1) for run in runs]
    (line,) = ablations([*runs, *again], [], generator=np.random.default_rng(0), n_resamples=50)
    assert line.p_value is None or line.p_value == line.holm


def test_other_gates_at_the_test_are_controls_of_the_own_ones(run_of: MakeRun) -> None:
    banks = {"x": 40.0, "y": 50.0}
    named = {"nonep-static": 0.0, "nonep-static (intersection)": -1.0, "nonep-static (r20-percent)": -2.0}
    runs = [run_of(name, t, las + more) for name, more in named.items() for t, las in banks.items()]
    found = ablations(runs, [], generator=np.random.default_rng(0), n_resamples=50)
    assert {(line.control.name, line.system, line.against, line.difference) for line in found} == {
        ("intersection of the seeds, tested in it", "nonep-static (intersection)", "nonep-static", -1.0),
        ("random gates, tested in them", "nonep-static (r20-percent)", "nonep-static", -2.0),
    }


def test_a_control_meets_the_runs_of_its_own_seeds(run_of: MakeRun) -> None:
    """Seed 1 of static is far better: a control without it must not seem worse for that."""
    runs = [run_of("nonep-static", t, 50.0 + 20 * s, training_seed=s, support_seed=s) for t in "xyz" for s in (0, 1)]
    runs += [run_of("nonep-shuffle", t, 51.0, training_seed=0, support_seed=0) for t in "xyz"]
    (line,) = ablations(runs, [], generator=np.random.default_rng(0), n_resamples=50)
    assert (line.own.las, line.other.las, line.difference, line.n_training) == (51.0, 50.0, 1.0, 1)
    others = [run_of("nonep-shuffle", "x", 51.0, training_seed=2, support_seed=2)]
    assert ablations([*runs[:6], *others], [], generator=np.random.default_rng(0), n_resamples=50) == ()


def test_a_control_s_means_have_spread_and_interval(run_of: MakeRun) -> None:
    las = {"nonep-static": (50.0, 52.0, 54.0), "nonep-shuffle": (47.0, 48.0, 52.0)}
    runs = [
        run_of(name, t, each, training_seed=s, support_seed=s)
        for name, own in las.items()
        for t in "xy"
        for s, each in enumerate(own)
    ]
    (line,) = ablations(runs, [], generator=np.random.default_rng(0), n_resamples=200)
    assert (line.own.las, line.own.sd) == (49.0, pytest.approx(7**0.5))
    assert line.own.interval is not None
    assert line.own.interval.low < 49 < line.own.interval.high
    said = dict(zip((sheet := ablation_sheet([line])).columns, sheet.rows[0], strict=True))
    assert said["LAS"].startswith("49.00 ± 2.65 [")
    assert said["its LAS"].startswith("52.00 ± 2.00 [")
    assert len(sheet.notes) == 1
    assert ablation_rows([line])[0]["sd"] == pytest.approx(7**0.5)


def test_section_7_1_is_of_the_language_itself_and_of_all(run_of: MakeRun) -> None:
    banks = {"cs": "UD_Czech-PDT", "no": "UD_Norwegian-Nynorsk"}
    las = {"nonep-full": (70.0, 60.0), "nonep-static-only-cs": (73.0, 61.0), "nonep-static-all-but-cs": (69.0, 60.0)}
    own = [
        run_of(name, banks[code], each, code=code, method="own", support_seed=None, is_fewshot=False)
        for name, both in las.items()
        for code, each in zip(banks, both, strict=True)
    ]
    found = ablations([], own, generator=np.random.default_rng(0), n_resamples=50)
    assert {(line.system, line.where): (line.difference, line.n_treebanks) for line in found} == {
        ("nonep-static-only-cs", "own test of cs"): (3.0, 1),
        ("nonep-static-only-cs", TRAINING): (2.0, 2),
        ("nonep-static-all-but-cs", "own test of cs"): (-1.0, 1),
        ("nonep-static-all-but-cs", TRAINING): (-0.5, 2),
    }
    assert all(line.against == "nonep-full" for line in found)


def test_every_system_of_the_package_but_the_six_stage_1_and_the_baselines_is_a_control() -> None:
    six = {f"{loop}-{gates}" for loop in ("nonep", "meta") for gates in ("full", "static", "dynamic")}
    for name in systems():
        assert is_control(name) == (name not in six | {"stage1"} | set(BASELINES)), name
    assert is_control("nonep-static-only-cs")
    assert is_control("nonep-static-all-but-cs")
    assert is_control("nonep-static (n=5 of 100)")
    assert is_control("nonep-static (mixture, n=5)")
    assert not is_control("nonep-static (mixture)")


def test_random_masks_are_the_systems_whose_gates_are_drawn() -> None:
    drawn = {name for name, row in systems().items() if row.is_drawn}
    assert drawn == {
        name for name in systems() for control in CONTROLS if control.is_drawn and re.fullmatch(control.pattern, name)
    }
    tested = [f"nonep-static ({way})" for way in ("random", "r20", "shuffle", "intersection")]
    assert not any(re.fullmatch(c.pattern, name) for c in CONTROLS if c.is_drawn for name in tested)


def test_controls_stay_out_of_the_main_tables(material: Material) -> None:
    results = Results(material, "full", n_resamples=20)
    assert len(results.systems.rows) == 11
    assert len(results.main().systems.rows) == 6
    assert len(results.main().systems.treebanks) == 10  # three, were the learning curve in it
