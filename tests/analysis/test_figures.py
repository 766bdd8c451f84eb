"""Figures from a made-up study and from the paper's rows: what they show, that they are readable in grey, as files."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("matplotlib", reason="figures need the extra `analysis`")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from sublingual.analysis import plots
from sublingual.analysis.facts import Facts
from sublingual.analysis.figures import KINDS, kind_of
from sublingual.analysis.maps import by_language, kept
from sublingual.analysis.material import Material, read_material
from sublingual.analysis.paper import paper_runs
from sublingual.analysis.records import Run
from sublingual.analysis.results import Results
from sublingual.errors import ConfigError, DataError
from sublingual.subnetworks.gates import union

MakeRun = Callable[..., Run]


@pytest.fixture(scope="module")
def results(study: list[Path]) -> Results:
    return Results(read_material(study), "full", n_resamples=100)


@pytest.fixture(scope="module")
def drawn(results: Results) -> dict[str, str]:
    return {kind.name: plots.svg(kind.draw(results)) for kind in KINDS}


def texts(svg: str) -> str:
    return " ".join(
        " ".join(each.itertext()) for each in ElementTree.fromstring(svg).iter() if each.tag.endswith("text")
    )


def test_every_figure_is_drawn_with_its_labels_as_text(drawn: dict[str, str]) -> None:
    said = {
        "changes": ["change in LAS against its base", "nonep-static − nonep-full: mean +4", "n = 10"],
        "factors": ["similarity of the nearest training language", "number of domains", "r +", "transfer language"],
        "masks": ["training languages' own tests (3)", "test languages (10 treebanks)", "mean of 2 training runs"],
        "subnetworks": ["ar: ", "2 seeds", "attention head", "layer"],
        "overlap": ["1.00", "cs ("],
        "curve": ["nonep-static, 3 treebanks", "sentences in the support set", "100"],
    }
    assert drawn.keys() == said.keys()
    for name, expected in said.items():
        found = re.sub(r"\s+", " ", texts(drawn[name]))
        for text in expected:
            assert text.replace("number of domains", "domains of the treebank") in found, (name, text)


def test_no_text_leaves_its_figure_and_no_numbers_of_an_axis_touch(results: Results) -> None:
    """With the longest names, and one panel of figure 3; shares of unknown words have numbers of many digits."""
    material = results.material
    own = tuple(replace(run, system=run.system.replace("shuffle", "r50-percent")) for run in material.own)
    tenths = {name: _with_few_unknown(each, i) for i, (name, each) in enumerate(material.facts.items())}
    alone = Results(replace(material, runs=(), own=own), "full", n_resamples=20)
    for kind in KINDS:
        found = alone if kind.name == "masks" else replace(results, material=replace(material, facts=tenths))
        figure = kind.draw(found)
        FigureCanvasAgg(figure).draw()
        width, height = figure.get_size_inches() * figure.dpi
        words = [text for text in figure.findobj(Text) if text.get_visible() and re.search(r"[a-z]", text.get_text())]
        for text in words:
            box = text.get_window_extent()
            assert -2 < box.x0 < box.x1 < width + 2, (kind.name, text)
            assert -2 < box.y0 < box.y1 < height + 2, (kind.name, text)
        for axis in figure.axes:
            boxes = [text.get_window_extent() for text in axis.get_xticklabels() if text.get_text()]
            inside = [box for box in boxes if axis.bbox.x0 <= (box.x0 + box.x1) / 2 <= axis.bbox.x1]
            assert all(a.x1 < b.x0 for a, b in pairwise(inside)), (kind.name, axis.get_xlabel())


def _with_few_unknown(facts: Facts, i: int) -> Facts:
    test = facts.splits.get("test")
    if test is None or test.pieces is None:
        return facts
    pieces = replace(test.pieces, words_unknown=i % 3)
    return replace(facts, splits={**facts.splits, "test": replace(test, words=15_000, pieces=pieces)})


def bars(results: Results) -> list[list[str]]:
    """The names of figure 3's bars by panel, from above."""
    return [[label.get_text() for label in axis.get_yticklabels()] for axis in kind_of("3").draw(results).axes]


def test_figure_3_shows_random_masks_and_what_they_are_held_against(results: Results) -> None:
    assert bars(results) == [
        ["nonep-full", "nonep-static", "nonep-shuffle"],
        ["nonep-full", "nonep-static", "nonep-dynamic", "nonep-shuffle", "nonep-dr20"],
    ]


def test_figure_3_shows_no_other_control_and_no_mask_at_the_test_alone(results: Results) -> None:
    names = ("stage1", "nonep-static-only-cs", "nonep-intersection", "nonep-dynamic-same", "nonep-unstructured")
    material = results.material
    static = {"runs": material.runs[60:120], "own": [run for run in material.own if run.system == "nonep-static"]}
    assert {run.system for runs in static.values() for run in runs} == {"nonep-static"}
    others = {
        where: [replace(run, system=name) for name in names for run in runs]
        + [replace(run, method=way) for way in ("random", "intersection", "r20-percent") for run in runs]
        for where, runs in static.items()
    }
    more = replace(material, runs=(*others["runs"], *material.runs), own=(*others["own"], *material.own))
    assert bars(replace(results, material=more)) == bars(results)


def test_bars_stand_by_their_gates_in_any_order_of_the_records(run_of: MakeRun) -> None:
    names = ["full", "static", "dynamic", "r20", "r30", "r50", "r20-percent", "r50-percent", "shuffle", "bad", "dr20"]
    expected = [f"{loop}-{name}" for loop in ("nonep", "meta") for name in names]
    runs = tuple(run_of(name, t, 40.0) for name in sorted(expected) for t in ("x", "y"))
    assert bars(Results(Material(runs=runs), n_resamples=20)) == [expected]
    own = tuple(run_of(f"nonep-{name}", "x", 40.0) for name in ("bad", "r20", "full"))
    assert bars(Results(Material(own=own), n_resamples=20)) == [["nonep-full", "nonep-r20", "nonep-bad"]]


def test_bars_of_figure_3_are_of_the_same_training_runs(run_of: MakeRun) -> None:
    """Static was trained twice and on one treebank more, and the second run is far better: its bar is of the first."""
    runs = [run_of(f"nonep-{name}", t, 40.0 + i) for i, name in enumerate(("r20", "static", "full")) for t in "xy"]
    more = [run_of("nonep-static", t, 90.0, training_seed=1, support_seed=1) for t in "xy"]
    more += [run_of("nonep-static", "z", 90.0)]
    figure = kind_of("3").draw(Results(Material(runs=(*runs, *more)), n_resamples=20))
    (axis,) = figure.axes
    assert [text.get_text() for text in axis.texts] == ["42.0", "41.0", "40.0"]
    assert (axis.get_title(loc="left"), axis.get_xlabel()) == (
        "test languages (2 treebanks)",
        "LAS, one training run; axis cut",
    )
    alone = [replace(run, training_seed=7) if run.system == "nonep-full" else run for run in runs]
    with pytest.raises(DataError, match=r"no treebank and seed on which all are tested: nonep-r20, nonep-static"):
        kind_of("3").draw(Results(Material(runs=tuple(alone)), n_resamples=20))


def test_controls_of_other_support_sizes_are_not_in_figure_3(drawn: dict[str, str]) -> None:
    assert "(n=" not in texts(drawn["masks"])


def test_the_same_data_give_the_same_bytes(results: Results, tmp_path: Path) -> None:
    for ending in (".svg", ".pdf"):
        for i in (0, 1):
            plots.save(kind_of("1").draw(results), tmp_path / f"{i}{ending}")
        assert (tmp_path / f"0{ending}").read_bytes() == (tmp_path / f"1{ending}").read_bytes()
    assert (tmp_path / "0.pdf").read_bytes().startswith(b"%PDF")


def test_another_ending_is_refused(results: Results, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"f.png: figures are written as .svg or .pdf"):
        plots.save(kind_of("1").draw(results), tmp_path / "f.png")


def test_lines_points_and_bars_differ_without_colour() -> None:
    assert len({str(plots.line_style(i)["linestyle"]) for i in range(6)}) == 6
    assert len({plots.marker_style(i)["marker"] for i in range(7)}) == 7
    assert len({(plots.bar_style(i)["hatch"], plots.bar_style(i)["facecolor"]) for i in range(6)}) == 6


def test_the_density_is_a_gaussian_kernel_s_by_scott_s_rule() -> None:
    values = np.random.default_rng(0).normal(2, 3, 40)
    at = np.linspace(-10, 14, 50)
    assert plots.density(values.tolist(), at) == pytest.approx(stats.gaussian_kde(values, "scott")(at))
    fine = np.linspace(-40, 44, 4000)
    assert np.trapezoid(plots.density(values.tolist(), fine), fine) == pytest.approx(1, abs=1e-3)


def test_figure_1_of_the_paper_is_of_its_own_rows() -> None:
    figure = kind_of("1").draw(Results(Material(runs=paper_runs()), "full"))
    lines = figure.axes[0].get_lines()[:4]
    assert lines[0].get_label() == "nonep-static − nonep-full: mean +2.8, n = 86"
    peaks = {line.get_label().split(" ")[0]: float(line.get_ydata().max()) for line in lines}
    # The paper: static is spread out in the one loop and narrow in the other, dynamic the other way round.
    assert peaks["nonep-dynamic"] > peaks["nonep-static"]
    assert peaks["meta-static"] > peaks["meta-dynamic"]


def test_figure_2_shows_the_correlation_of_its_points() -> None:
    figure = kind_of("2").draw(Results(Material(runs=paper_runs()), "full"))
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles[0] == "nonep-static − nonep-full\nr +0.32 (+0.12 to +0.50), n = 86"
    assert titles[1] == "meta-dynamic − meta-full\nr -0.31 (-0.49 to -0.10), n = 86"
    assert titles[3].startswith("r -0.51")
    points = figure.axes[0].collections
    assert sum(len(each.get_offsets()) for each in points) == 86
    assert len(points) == 7


def test_maps_are_shares_of_seeds(results: Results) -> None:
    found = by_language(results.material.subnetworks)
    assert [*found] == ["ar", "cs", "no"]
    share = kept(found["ar"])
    assert set(np.unique(share)) <= {0.0, 0.5, 1.0}
    assert share[3, 4] == np.mean([s.gates[3, 4] for s in found["ar"]])
    joined = union(found["ar"])
    assert by_language([*found["ar"], joined])["ar"] == found["ar"]
    assert by_language([joined])["ar"] == [joined]


def test_a_curve_is_over_the_treebanks_that_have_all_sizes(results: Results) -> None:
    lone = next(run for run in results.runs if run.reserve and run.n == 5)
    extra = replace(lone, treebank="UD_Welsh-CCG", las=99.0)
    more = replace(results, material=replace(results.material, runs=(*results.runs, extra)))
    (axis,) = kind_of("curve").draw(more).axes
    (line,) = axis.get_lines()
    assert line.get_label() == "nonep-static, 3 treebanks"
    assert [*line.get_xdata()] == [0, 5, 20, 100]
    assert line.get_ydata()[0] == 20.0
    assert 39 <= line.get_ydata()[1] <= 41


def curves(runs: Sequence[Run]) -> dict[str, list[float]]:
    """The labels of a figure's curves, each with the corners of its band."""
    figure = kind_of("curve").draw(Results(Material(runs=tuple(runs)), n_resamples=50))
    (axis,) = figure.axes
    bands = [np.sort(band.get_paths()[0].vertices.ravel()).tolist() for band in axis.collections]
    return dict(zip((str(line.get_label()) for line in axis.get_lines()), bands, strict=True))


def test_two_ways_of_transfer_and_two_reserves_are_curves_of_their_own(results: Results) -> None:
    nearest = [run for run in results.runs if run.reserve]
    random = [replace(run, method="random") for run in nearest]
    assert [*curves([*nearest, *random])] == ["nonep-static, 3 treebanks", "nonep-static (random), 3 treebanks"]
    more = [replace(run, reserve=200) for run in nearest]
    assert [*curves([*nearest, *more])] == ["nonep-static, of 100, 3 treebanks", "nonep-static, of 200, 3 treebanks"]


def test_the_band_of_a_curve_does_not_depend_on_the_order_of_the_files(results: Results) -> None:
    static = [run for run in results.runs if run.reserve]
    both = [*static, *(replace(run, system="nonep-full") for run in static)]
    one, other = curves(both), curves(both[::-1])
    assert [*one] == [*other][::-1]
    assert all(other[label] == pytest.approx(band) for label, band in one.items())


def test_an_inline_figure_has_no_head_and_ids_of_its_own(results: Results) -> None:
    figure = kind_of("1").draw(results)
    one, two = (plots.inline_svg(figure, name=name, title='A "title" & more') for name in ("f1", "f2"))
    assert one.startswith("<svg")
    assert 'role="img" aria-label="A &quot;title&quot; &amp; more"' in one
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (one, two)]
    assert not ids[0] & ids[1]
    for svg, own in zip((one, two), ids, strict=True):
        referred = set(re.findall(r"url\(#([^)]+)\)", svg)) | set(re.findall(r'href="#([^"]+)"', svg))
        assert referred
        assert referred <= own
    ElementTree.fromstring(one.replace("xlink:href", "href"))


def test_what_cannot_be_drawn_says_why(run_of: MakeRun) -> None:
    nothing = Results(Material(), "full")
    one = Results(Material(runs=(run_of("stage1", "x", 1.0),)), "full")
    expected = {
        "changes": ("no records of `sublingual fewshot`", "changes need a base; give --base full"),
        "factors": ("no records of `sublingual fewshot`", "changes need a base"),
        "masks": ("no records of controls", "no records of controls"),
        "subnetworks": ("no subnetworks in these files", "no subnetworks"),
        "overlap": ("no subnetworks in these files", "no subnetworks"),
        "curve": ("no records of several support sizes", "no records of several support sizes"),
    }
    for name, messages in expected.items():
        for material, message in zip((nothing, one), messages, strict=True):
            with pytest.raises(ConfigError, match=re.escape(message)):
                kind_of(name).draw(material)
    with pytest.raises(ConfigError, match=r"unknown figure '4'; there are: 1, 2, 3, changes, factors, masks"):
        kind_of("4")


def test_an_overlap_needs_two_languages(results: Results) -> None:
    arabic = tuple(s for s in results.material.subnetworks if s.language == "ar")
    with pytest.raises(ConfigError, match="an overlap needs subnetworks of two languages; there is ar"):
        kind_of("overlap").draw(Results(Material(subnetworks=arabic)))
