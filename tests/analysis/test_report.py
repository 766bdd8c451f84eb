"""The report: one file that needs nothing else, every number with its records; in a browser: sorting, links, widths."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the report needs the extra `analysis`")

from sublingual.analysis.choices import Point
from sublingual.analysis.material import Material, read_material
from sublingual.analysis.paper import paper_runs
from sublingual.analysis.records import Run
from sublingual.analysis.report import report
from sublingual.analysis.results import Results
from sublingual.analysis.treebank_pages import places_of, treebank_pages

MakeRun = Callable[..., Run]
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
browser = pytest.mark.skipif(BROWSER is None, reason="no chromium here: apt-get install chromium")


class Page(HTMLParser):
    """Ids, links, loaded things, unclosed tags, and the rows of tables by caption."""

    VOID = frozenset({"meta", "br", "link", "img", "input", "path", "use", "rect", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.stack: list[str] = []
        self.rows: list[tuple[str | None, list[tuple[str, str]]]] = []
        self._cell: list[str] | None = None
        self._href = ""
        self.feed(text)
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "a":
            self.links.append(values["href"])
            self._href = values["href"]
        if tag in ("script", "link", "img", "iframe") and (values.get("src") or values.get("href")):
            self.loaded.append(values.get("src") or values.get("href") or "")
        if tag == "tr":
            self.rows.append((values.get("id"), []))
        if tag in ("td", "th"):
            self._cell, self._href = [], ""
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        if tag in self.VOID:
            return
        assert self.stack.pop() == tag
        if tag in ("td", "th") and self._cell is not None:
            self.rows[-1][1].append(("".join(self._cell).strip(), self._href))
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)


@pytest.fixture(scope="module")
def results(study: list[Path]) -> Results:
    return Results(read_material(study), "full", n_resamples=100)


@pytest.fixture(scope="module")
def text(results: Results, study: list[Path]) -> str:
    return report(results, out=study[0].parent / "pages" / "report.html")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_the_page_loads_nothing(text: str, page: Page) -> None:
    assert page.loaded == []
    assert not re.search(r"@import|url\((?!#)", text)
    outside = set(re.findall(r"https?://[^\s\"'<)]+", text))
    assert outside <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # names, never fetched


def test_ids_are_there_once_and_every_inner_link_has_its_place(page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    inner = {link[1:] for link in page.links if link.startswith("#")}
    assert inner <= set(page.ids)
    assert len(inner) > 100


def test_all_parts_are_there(text: str) -> None:
    for title in (
        "Systems (Table 1, Figure 1)",
        "Treebanks by transfer language (Table 2)",
        "Which system for which language?",
        "What the gains go with (Figure 2)",
        "Unseen and rare labels (Table 3)",
        "Training languages in their own subnetworks (Table 4)",
        "Gradient conflicts (Table 5)",
        "Controls, subnetworks, support size (section 8, Figure 3)",
        "Beside the paper",
        "Data and licences",
        "Settings and versions",
    ):
        assert f"<h2>{title}</h2>" in text
    assert "<caption>What the gains go with</caption>" in text
    assert "Not here:" not in text
    assert text.count("<svg") == 6
    assert "python 3.11, sublingual 0.1.0" in text
    assert "CC BY-SA 4.0" in text


def test_every_record_stands_under_its_treebank_with_file_line_and_score(
    results: Results, page: Page, study: list[Path]
) -> None:
    lines = [
        [cell for cell, _ in cells] for _, cells in page.rows if len(cells) == 9 and cells[0][1].endswith(".jsonl")
    ]
    shown = {(line[0], line[1], line[5]) for line in lines}
    assert len(lines) == len(results.runs) + len(results.material.own)
    first = results.runs[0]
    place = Path(first.place)
    assert (f"{place.parent.name}/{place.name}", first.system, f"{first.las:.2f}") in shown
    hrefs = {cells[0][1] for _, cells in page.rows if len(cells) == 9 and cells[0][1].endswith(".jsonl")}
    assert hrefs == {"../records.jsonl", "../own.jsonl"}
    assert {(study[0].parent / "pages" / href).resolve() for href in hrefs} == {path.resolve() for path in study[:2]}


def test_a_score_leads_to_the_records_that_it_is_the_mean_of(results: Results, page: Page) -> None:
    """From the cell of Table 2 to the row of the first record, and on through the rows of that system."""
    table = results.main().treebanks
    anchors = [anchor for anchor, _ in page.rows]
    heads = next(
        i for i, (_, cells) in enumerate(page.rows) if [cell for cell, _ in cells][:2] == ["treebank", "transfer"]
    )
    columns = [cell for cell, _ in page.rows[heads][1]]
    checked = 0
    for _, cells in page.rows[heads + 1 : heads + 15]:
        if cells[0][0] not in {row.treebank for row in table.total.rows}:
            continue
        for name in table.systems:
            said, link = cells[columns.index(name)]
            at = anchors.index(link[1:])
            own = []
            while len(page.rows[at][1]) == 9 and page.rows[at][1][1][0] == name:
                own.append(float(page.rows[at][1][5][0]))
                at += 1
            assert len(own) == 6
            assert float(said.split()[0]) == pytest.approx(sum(own) / 6, abs=0.006)
            checked += 1
    assert checked == 60


def test_table_4_and_the_controls_lead_to_tests_of_training_languages(page: Page) -> None:
    """Also of systems that have few-shot tests, whose records are others."""
    anchors = {anchor: [cell for cell, _ in cells] for anchor, cells in page.rows if anchor}
    heads = {tuple(cell for cell, _ in cells)[:2]: i for i, (_, cells) in reversed([*enumerate(page.rows)])}
    at = heads["language", "treebank"]
    columns = [cell for cell, _ in page.rows[at][1]]
    for _, cells in page.rows[at + 1 : at + 4]:
        for system, (_, link) in zip(columns[2:-1], cells[2:-1], strict=True):
            record = anchors[link[1:]]
            assert re.match(r"[^/]+/own\.jsonl:\d+$", record[0])
            assert record[1] in (system, f"{system} (own)")
    controls = {
        tuple(cell for cell, _ in cells)[1:4]: cells for _, cells in page.rows[heads["control", "system"] + 1 :]
    }
    shuffle = controls["nonep-shuffle", "nonep-static", "training languages"]
    other = controls["nonep-shuffle", "nonep-static", "test languages"]
    assert all(link for cells in (shuffle, other) for _, link in cells[4:10])
    assert shuffle[5][1] != other[5][1]


def test_pages_of_training_languages_show_intervals_too(run_of: MakeRun, tmp_path: Path) -> None:
    """Of a system with few-shot tests, whose name has (own) there."""
    test = {"method": "own", "is_fewshot": False, "support_seed": None}
    own = tuple(run_of("nonep-static", "UD_Czech-PDT", 70.0 + i, training_seed=i, **test) for i in (0, 1))
    fewshot = (run_of("nonep-static", "UD_Faroese-OFT", 40.0),)
    results = Results(Material(runs=fewshot, own=own), n_resamples=50)
    czech, _ = treebank_pages(results, places_of(results, tmp_path))
    name, las, _, between, *_ = czech.scores.rows[0]
    low, high = map(float, str(between).split(" to "))
    assert (name, las) == ("nonep-static (own)", "70.50")
    assert low < 70.5 < high


def test_a_page_names_the_nearest_subnetwork_and_no_random_one(run_of: MakeRun, tmp_path: Path) -> None:
    drawn = run_of("nonep-static", "UD_Faroese-OFT", 1.0, method="random", code="ar", similarity=0.1)
    results = Results(Material(runs=(drawn, run_of("nonep-static", "UD_Faroese-OFT", 2.0))), n_resamples=20)
    (page,) = treebank_pages(results, places_of(results, tmp_path))
    assert dict(page.facts)["subnetwork of"] == "no, similarity 0.900"


def test_every_number_leads_somewhere_but_what_the_paper_prints(text: str) -> None:
    """Of all tables but those of single treebanks, which stand above their own records."""
    printed = {"UDify", "UDapter", "unseen, printed", "rare, printed", "printed", "the paper", "its sentences"}
    checked = 0
    for table in re.findall(r"<table.*?</table>", text, flags=re.DOTALL):
        caption = re.search(r"<caption>(.*?)</caption>", table)
        if caption is None or caption[1] in (
            "Systems",
            "Words right by relation",
            "Words right by length of the arc",
            "Records",
        ):
            continue
        columns = re.findall(r"<button[^>]*>(.*?)</button>", table)
        for row in re.findall(r"<tr.*?</tr>", table, flags=re.DOTALL)[1:]:
            cells = re.findall(r"<td.*?</td>", row, flags=re.DOTALL)
            for column, cell in [*zip(columns, cells, strict=True)][1:]:
                if column not in printed and re.search(r">[-+]?\d+\.?\d*\D", cell) and 'class="mean"' not in row:
                    assert "<a href" in cell, (caption[1], column, cell)
                    checked += 1
    assert checked > 200


def test_the_files_of_facts_and_subnetworks_are_named(page: Page) -> None:
    assert {"../facts.jsonl", "../ar-0.json", "../records.jsonl"} <= set(page.links)


def test_errors_by_relation_and_length_add_up(page: Page, results: Results) -> None:
    heads = [i for i, (_, cells) in enumerate(page.rows) if cells and cells[0][0] == "relation"]
    assert len(heads) == 13
    columns = [cell for cell, _ in page.rows[heads[0]][1]]
    dynamic = {
        cells[0][0]: cells[columns.index("meta-dynamic")][0] for _, cells in page.rows[heads[0] + 1 : heads[0] + 5]
    }
    assert dynamic["discourse"] == "100.0 (100)"
    assert dynamic["nsubj"].startswith(("0.", "1.", "2.", "3.", "4."))
    lengths = [cells[0][0] for _, cells in page.rows if cells and cells[0][0] in ("root", "1", "4-6", "11+")]
    assert {"1", "4-6", "11+"} <= set(lengths)


def test_what_the_material_lacks_is_said_in_its_place(run_of: MakeRun, tmp_path: Path) -> None:
    runs = tuple(
        run_of("stage1", t, 50.0, support_seed=seed) for t in ("UD_Faroese-OFT", "UD_Own-Mine") for seed in (0, 1)
    )
    text = report(Results(Material(runs=runs), "full", n_resamples=20), out=tmp_path / "r.html")
    Page(text)
    for reason in (
        "changes need a base",
        "guidance needs two systems and eight languages",
        "no breakdown by label",
        "no records of `sublingual test`",
        "no conflicts.json",
        "no records of controls",
        "no facts of treebanks",
    ):
        assert reason in text
    assert Page(report(Results(Material(), "full"), out=tmp_path / "r.html")).links


def test_the_choice_of_rates_stands_apart_from_the_tests(run_of: MakeRun, tmp_path: Path) -> None:
    run = run_of("nonep-full", "UD_Telugu-MTG", 50.0)
    outer = {"encoder_rate": 5e-5, "classifier_rate": 1e-3}
    file = tmp_path / "choices" / "nonep" / "0.jsonl"
    point = Point(file, (run,), {"outer": outer}, {}, 50.0, ("UD_Telugu-MTG",), True)
    material = Material(choices={"nonep": (point,)}, files={str(file): "a point of the choice of rates nonep"})
    text = report(Results(material, "full", n_resamples=20), out=tmp_path / "r.html")
    assert "<h2>Choice of rates (appendix A)</h2>" in text
    assert "no records of `sublingual fewshot`" in text
    row = next(cells for _, cells in Page(text).rows if cells and cells[0][0] == "nonep")
    assert row[3] == ("5e-05", "#files")
    assert "choices/nonep/0.jsonl" in Page(text).links


def test_names_from_records_cannot_break_the_page(run_of: MakeRun, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    runs = tuple(run_of(evil, f"UD_{evil}-{i}", 50.0, place=f"{evil}.jsonl:{i}") for i in range(3))
    text = report(Results(Material(runs=runs), None, n_resamples=20), out=tmp_path / "r.html")
    assert evil not in text
    assert "&lt;script&gt;" in text


@pytest.mark.slow
def test_the_paper_s_rows_make_a_report() -> None:
    text = report(Results(Material(runs=paper_runs()), "full", n_resamples=200), out=Path("r.html"))
    page = Page(text)
    assert len([1 for _, cells in page.rows if len(cells) == 9 and cells[0][0] == "the paper's Table 2"]) == 516
    assert "Follow the rule of" in text or "Take nonep-static for all" in text


def opened(folder: Path, text: str, script: str, *, width: int = 1300) -> str:
    """What the script writes into the title of the page once it is open in Chromium, whose errors count too."""
    assert BROWSER is not None
    log = "<script>const faults = []; addEventListener('error', (e) => faults.push(e.message));</script>"
    end = f"<script>document.title = (() => {{ {script} }})() + (faults.length ? ' ERRORS ' + faults : '');</script>"
    path = folder / "opened.html"
    path.write_text(text.replace("<head>", f"<head>{log}", 1).replace("</body>", f"{end}</body>"), encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900", "--dump-dom"]
    ran = subprocess.run([*command, path.as_uri()], capture_output=True, text=True, timeout=300, check=True)
    found = re.search(r"<title>(.*?)</title>", ran.stdout, flags=re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.slow
@browser
def test_in_a_browser_a_click_sorts_a_table_and_means_stay_below(text: str, tmp_path: Path) -> None:
    script = """
    const table = [...document.querySelectorAll('table')].find((t) => t.caption && t.caption.textContent === 'Table 2');
    const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
    const head = [...table.tHead.rows[0].cells].find((cell) => cell.textContent.trim() === 'nonep-full');
    const column = head.cellIndex;
    const scores = () => [...table.tBodies[0].rows].filter((row) => !row.classList.contains('mean'))
      .map((row) => parseFloat(row.cells[column].textContent));
    const first = names();
    const click = () => { head.firstElementChild.click(); return [names(), scores(), head.getAttribute('aria-sort')]; };
    const down = click(), up = click(), back = click();
    const ordered = (values, sign) => values.every((v, i) => !i || sign * (v - values[i - 1]) >= 0);
    const means = down[0].slice(-5).every((name) => name.startsWith('mean'));
    return [ordered(down[1], -1), down[2], ordered(up[1], 1), up[2], back[0].join() === first.join(), back[2], means,
      down[0].join() !== first.join()].join(' ');
    """
    assert opened(tmp_path, text, script) == "true descending true ascending true  true true"


@pytest.mark.slow
@browser
def test_in_a_browser_a_link_opens_the_section_that_it_leads_into(text: str, tmp_path: Path) -> None:
    script = """
    const link = document.querySelector('a[href^="#t"][href*="-s"]');
    const target = document.getElementById(link.getAttribute('href').slice(1));
    const section = target.closest('details');
    const before = section.open;
    location.hash = link.getAttribute('href');
    dispatchEvent(new HashChangeEvent('hashchange'));
    return [before, section.open].join(' ');
    """
    assert opened(tmp_path, text, script) == "false true"


@pytest.mark.slow
@browser
@pytest.mark.parametrize("width", [1300, 520])
def test_in_a_browser_the_page_never_scrolls_sideways(text: str, tmp_path: Path, width: int) -> None:
    """Wide tables scroll by themselves. (Headless Chromium makes no window narrower than 500.)"""
    script = """
    document.querySelectorAll('details').forEach((each) => { each.open = true; });
    const wide = [...document.querySelectorAll('body *')].filter((e) => !e.closest('.scroll') && !e.closest('pre')
      && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.tagName + '.' + e.className);
    return [innerWidth, document.documentElement.scrollWidth <= innerWidth, wide.slice(0, 3)].join(' ');
    """
    assert opened(tmp_path, text, script, width=width) == f"{width} true "
