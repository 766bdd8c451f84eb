"""Rules that choose a system: found where there is one, judged on languages left out, no advice from noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from sublingual.analysis.factors import Factor
from sublingual.analysis.guidance import Guidance, Leaf, Split, guidance
from sublingual.analysis.guidance_sheets import guidance_rows, guidance_sheet, judged_sheet
from sublingual.analysis.material import Material
from sublingual.analysis.paper import paper_runs
from sublingual.analysis.records import Run
from sublingual.analysis.results import Results
from sublingual.analysis.tables import treebank_table

MakeRun = Callable[..., Run]
NAMES = [run.treebank for run in paper_runs() if run.system == "meta-full"]


def made(run_of: MakeRun, las: dict[str, Sequence[float]], similarity: Sequence[float]) -> Guidance | None:
    """Guidance from scores by system on the paper's first treebanks, whose similarity is given."""
    names = NAMES[: len(similarity)]
    runs = [run_of(system, t, x) for system, values in las.items() for t, x in zip(names, values, strict=True)]
    factor = Factor("similarity", "similarity to something", "similarity", dict(zip(names, similarity, strict=True)))
    return guidance(treebank_table(runs), [factor], generator=np.random.default_rng(0), n_resamples=500)


def test_a_rule_that_holds_is_found_and_recommended(run_of: MakeRun) -> None:
    similarity = np.linspace(0.5, 0.99, 40)
    noise = np.random.default_rng(1).normal(0, 0.5, (2, 40))
    near = similarity >= 0.75
    found = made(run_of, {"a": 40 + 5 * near + noise[0], "b": 43 + noise[1]}, [*similarity])
    assert found is not None
    rule = found.rules["one question"]
    assert isinstance(rule, Split)
    assert rule.factor == "similarity"
    assert 0.70 < rule.threshold < 0.80
    assert isinstance(rule.low, Leaf)
    assert isinstance(rule.high, Leaf)
    assert (rule.low.system, rule.high.system) == ("b", "a")
    assert (rule.low.las, rule.high.las) == pytest.approx((43, 45), abs=0.3)
    assert rule.low.n + rule.high.n == 40
    assert (rule.choose({"similarity": 0.6}), rule.choose({"similarity": 0.9})) == ("b", "a")
    judged = {each.name: each for each in found.judged}
    assert judged["one system for all"].gain == 0
    assert judged["one question"].gain > 0.5
    assert judged["one question"].interval is not None
    assert judged["one question"].interval.low > 0
    assert "Follow the rule of" in found.advice
    assert rule.sentences()[0].startswith("similarity below 0.7")


def test_one_table_holds_the_ways_to_choose_what_follows_and_the_rules(run_of: MakeRun) -> None:
    """System a is 5 LAS better on near treebanks, b 3 on far ones."""
    similarity = np.linspace(0.5, 0.99, 20)
    found = made(run_of, {"a": 40 + 5.0 * (similarity >= 0.75), "b": [43.0] * 20}, [*similarity])
    assert found is not None
    asked = [Factor("similarity", "similarity (URIEL)", "similarity", {})]
    sheet = guidance_sheet(found, asked)
    assert (sheet.columns, sheet.rows) == (judged_sheet(found).columns, judged_sheet(found).rows)
    assert sheet.notes[0] == found.advice
    assert sheet.notes[1].startswith(f"Made from 20 treebanks of {found.n_languages} languages.")
    assert "one question: similarity below 0.745: b (mean LAS 43.0 on 10 treebanks)" in sheet.notes
    assert "one question: similarity 0.745 or more: a (mean LAS 45.0 on 10 treebanks)" in sheet.notes
    assert sheet.notes[-2:] == (
        "similarity: similarity (URIEL)",
        "no rule asks for domains: name a file of `sublingual data facts` too",
    )
    assert guidance_sheet(found, [*asked, Factor("domains", "domains", "domains", {})]).notes[-1] == "domains: domains"
    rows = {row["way"]: row for row in guidance_rows(found)}
    assert [*rows] == ["one system for all", "one question", "two questions", "the best in hindsight"]
    one, judged = rows["one question"], {each.name: each for each in found.judged}["one question"]
    assert (one["las"], one["gain"], one["right"], one["n_treebanks"]) == (judged.las, judged.gain, judged.right, 20)
    assert one["gain_low"] < one["gain"] < one["gain_high"]
    assert one["rule"].startswith(
        "similarity below 0.745: b (mean LAS 43.0 on 10 treebanks); similarity 0.745 or more: a"
    )
    assert (rows["one system for all"]["gain_low"], rows["the best in hindsight"]["rule"]) == (None, None)


@pytest.mark.slow
def test_no_rule_is_recommended_where_similarity_says_nothing(run_of: MakeRun) -> None:
    advised = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        las = {name: rng.normal(40, 3, 40) for name in ("a", "b")}
        found = made(run_of, las, [*rng.random(40)])
        assert found is not None
        advised += "Follow" in found.advice
        assert f"Take {found.best} for all" in found.advice or advised
    assert advised <= 1


def test_treebanks_of_one_language_are_left_out_together(run_of: MakeRun) -> None:
    """Two treebanks each of ten languages, and a system that is best on one language alone: no rule may see its twin."""
    twins = ["UD_Faroese-OFT", "UD_Faroese-FarPaHC", *NAMES[:8]]
    twins = [t for t in twins if not t.startswith("UD_Indonesian")]
    similarity = {t: (0.1 if "Faroese" in t else 0.9) for t in twins}
    runs = [run_of("a", t, 40.0) for t in twins] + [run_of("b", t, 60.0 if "Faroese" in t else 30.0) for t in twins]
    factor = Factor("similarity", "s", "s", similarity)
    found = guidance(treebank_table(runs), [factor], generator=np.random.default_rng(0), n_resamples=50)
    if found is not None:
        assert {each.name: each.gain for each in found.judged}["one question"] == 0


def test_where_a_value_is_not_known_the_larger_side_answers() -> None:
    rule = Split("similarity", "s", 0.5, Leaf("a", 1.0, 3), Leaf("b", 1.0, 9))
    assert rule.choose({}) == "b"
    assert rule.n == 12


def test_one_question_is_the_best_of_all_that_could_be_asked(run_of: MakeRun) -> None:
    """Against trying every threshold of two factors on scores at random, some values not known."""
    rng = np.random.default_rng(4)
    names = NAMES[:18]
    las = {system: rng.normal(40, 5, 18) for system in "abc"}
    values = {
        key: {t: float(v) for t, v in zip(names, rng.random(18), strict=True)} for key in ("similarity", "domains")
    }
    del values["domains"][names[3]], values["domains"][names[7]]
    runs = [run_of(system, t, float(x)) for system, own in las.items() for t, x in zip(names, own, strict=True)]
    asked = [Factor(key, key, key, own) for key, own in values.items()]
    found = guidance(treebank_table(runs), asked, generator=np.random.default_rng(0), n_resamples=20)
    assert found is not None
    highest = max(own.sum() for own in las.values())
    for own in values.values():
        for at in (np.array(sorted(own.values()))[1:] + np.array(sorted(own.values()))[:-1]) / 2:
            low = np.array([t in own and own[t] < at for t in names])
            high = np.array([t in own and own[t] >= at for t in names])
            rest = ~low & ~high
            low, high = (low | rest, high) if low.sum() >= high.sum() else (low, high | rest)
            if min(low.sum(), high.sum()) >= 5:
                highest = max(highest, sum(max(own[side].sum() for own in las.values()) for side in (low, high)))
    rule = found.rules["one question"]
    total = sum(las[rule.choose({k: v[t] for k, v in values.items() if t in v})][i] for i, t in enumerate(names))
    assert total == pytest.approx(highest)


def test_too_few_languages_or_systems_give_no_guidance(run_of: MakeRun) -> None:
    assert made(run_of, {"a": [1.0] * 5, "b": [2.0] * 5}, [0.1, 0.2, 0.3, 0.4, 0.5]) is None
    assert made(run_of, {"a": [1.0] * 20}, [*np.linspace(0, 1, 20)]) is None


def test_a_system_that_is_adapted_nowhere_is_not_recommended(run_of: MakeRun) -> None:
    names = NAMES[:12]
    runs = [run_of("meta-full", t, 90.0, is_adapted=False) for t in names]
    runs += [run_of(system, t, las) for system, las in (("nonep-full", 41.0), ("nonep-static", 42.0)) for t in names]
    found = guidance(treebank_table(runs), [], generator=np.random.default_rng(0), n_resamples=50)
    assert found is not None
    assert found.best == "nonep-static"
    assert found.advice.startswith("Take nonep-static for all")
    assert {each.name: each.las for each in found.judged}["one system for all"] == 42


def test_the_order_of_the_runs_does_not_matter(run_of: MakeRun) -> None:
    """Two systems that are equally good, and a third by which intervals are drawn."""
    names = NAMES[:16]
    rng = np.random.default_rng(5)
    las = {"b": [40.0] * 16, "a": [40.0] * 16, "c": rng.normal(40, 4, 16).round(2).tolist()}
    runs = [run_of(system, t, x) for system, own in las.items() for t, x in zip(names, own, strict=True)]
    factor = Factor("similarity", "s", "s", {t: float(v) for t, v in zip(names, rng.random(16), strict=True)})
    one, other = (
        guidance(treebank_table(some), [factor], generator=np.random.default_rng(0), n_resamples=200)
        for some in (runs, runs[::-1])
    )
    assert one == other


@pytest.mark.slow
def test_on_the_paper_s_rows_no_way_to_choose_passes_the_best_in_hindsight() -> None:
    found = Results(Material(runs=paper_runs()), "full", n_resamples=500).guidance
    assert found is not None
    assert (found.best, found.n_treebanks, found.n_languages) == ("nonep-static", 86, 74)
    judged = {each.name: each for each in found.judged}
    assert judged["one system for all"].las == pytest.approx(40.384, abs=0.01)
    assert judged["the best in hindsight"].las == pytest.approx(42.976, abs=0.01)
    assert all(each.las <= judged["the best in hindsight"].las for each in found.judged)
    assert judged["the best in hindsight"].right == 86
