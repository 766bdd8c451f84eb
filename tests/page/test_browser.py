"""The page end to end in a browser: text in, trees corrected by mouse or keyboard alone, adaptation, comparison, download."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains

from sublingual.data.conllu import Sentence, parse_conllu
from sublingual.parsing import Parser
from sublingual.text import sentences_of

TEXT = "The dog barks loudly. Why does the old cat sleep?"
Demo = Callable[..., list[Sentence]]


def rows(page: Any, i: int = 0) -> list[tuple[str, str]]:
    """HEAD and DEPREL of the words of a sentence that the page holds."""
    return [(row[6], row[7]) for row in page.kept()["sentences"][i]["rows"] if row[0].isdigit()]


def arcs(sentence: Sentence) -> list[tuple[int | None, str | None]]:
    return list(zip(sentence.heads, sentence.labels, strict=True))


def downloaded(page: Any, folder: Path, name: str, press: Callable[[], None]) -> bytes:
    """The file of that name that the browser writes into the folder."""
    page.tab.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    press()
    deadline = time.monotonic() + 30
    while not (folder / name).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return (folder / name).read_bytes()


def test_trees_are_the_parsers_and_doubted_arcs_are_marked(page: Any, model: Path) -> None:
    page.parse(TEXT)
    parser = Parser.from_pretrained(model)
    expected = parser.parse(sentences_of(TEXT, form="text"))
    assert len(page.all("#list li")) == 2
    for i, sentence in enumerate(expected):
        page.all("#list button")[i].click()
        for word, (head, label) in enumerate(zip(sentence.heads, sentence.labels, strict=True), 1):
            assert page.arc(word) == (head, label)
    page.js("document.getElementById('threshold').value = 100; return 0")
    page.js("document.getElementById('threshold').dispatchEvent(new Event('input')); return 0")
    n = len(expected[-1].words)
    assert len(page.all("#tree .arc.doubted")) in (n, n - 1)  # a root may be quite sure
    texts = [element.text for element in page.all("#tree .label.doubted")]
    assert texts
    assert all(text.endswith("?") for text in texts)
    dashes = page.js("return getComputedStyle(document.querySelector('#tree .arc.doubted .stroke')).strokeDasharray")
    assert dashes != "none"


def test_arc_and_label_are_corrected_by_mouse(page: Any) -> None:
    page.parse("a b c d", "horizontal")
    before = rows(page)
    word = next(w for w in (1, 2, 3, 4) if page.arc(w)[0] != 0 and before[w - 1][1] != "root")
    head = next(h for h in (1, 2, 3, 4) if h not in (word, page.arc(word)[0]))
    source, target = (page.find(f"#tree g.word[data-word='{w}'] .form") for w in (word, head))
    ActionChains(page.tab).drag_and_drop(source, target).perform()
    assert page.arc(word)[0] == head
    page.find(f"#tree .label[data-word='{word}']").click()
    page.keys("advm")
    page.click("#chooser-list li")
    assert page.arc(word) == (head, "advmod")
    assert "corrected" in page.find(f"#tree .arc[data-word='{word}']").get_attribute("class")
    page.click("#undo")
    page.click("#undo")
    assert rows(page) == before
    for clicked in (head, word, word):  # a second click: choose its head
        page.click(f"#tree g.word[data-word='{clicked}'] .form")
    page.click(f"#tree g.word[data-word='{head}'] .form")
    assert page.arc(word)[0] == head


def test_no_tree_cannot_be_ticked_and_says_why(page: Any) -> None:
    page.parse("a b c", "horizontal")
    root = next(w for w in (1, 2, 3) if page.arc(w)[0] == 0)
    other = root % 3 + 1
    page.find(f"#tree g.word[data-word='{other}'] .form").click()
    page.keys("0")
    assert "more than one root" in page.text("#problems")
    assert not page.find("#checked").is_enabled()
    page.keys("c")
    assert page.kept()["sentences"][0]["checked"] is False
    page.keys("u")
    assert page.text("#problems") == ""
    page.keys("c")
    assert page.kept()["sentences"][0]["checked"] is True


def test_everything_can_be_done_by_keyboard_alone(page: Any, service: Any, model: Path) -> None:
    page.tab_to("#text")
    page.keys("The dog barks loudly.")
    page.tab_to("#parse")
    page.keys("ENTER")
    page.until("document.querySelectorAll('#list li').length === 1")
    page.tab_to("#tree g.word")
    assert page.focus.startswith("1 The, ")
    page.keys("ARROW_RIGHT")
    assert page.focus.startswith("2 dog, ")
    page.keys("END", "HOME", "ARROW_RIGHT")
    word, (head, label) = 2, page.arc(2)
    goal = next(h for h in (4, 1) if h != head)
    page.keys("ENTER")  # choose the head of "dog"
    start = int(page.js("return document.activeElement.dataset.word"))
    page.keys(*(["ARROW_RIGHT" if goal > start else "ARROW_LEFT"] * abs(goal - start)), "ENTER")
    if page.js("document.getElementById('chooser').open"):  # it was the root, and needs a relation
        page.keys("nsubj", "ENTER")
    assert page.arc(word)[0] == goal
    page.keys("l")
    page.keys(*["BACKSPACE"], "obl:x y", "ENTER")
    assert page.text("#chooser-fault") == "a relation has no spaces"
    page.keys("ESCAPE", "l", "oblique", "ARROW_DOWN", "ARROW_UP", "ENTER")
    assert page.arc(word) == (goal, "obl")
    assert page.focus.startswith(f"2 dog, obl of {goal}")
    page.keys("p", "VERB", "ENTER")
    assert page.kept()["sentences"][0]["rows"][1][3] == "VERB"
    page.keys("u", "u", "u")
    if rows(page)[1] != (str(head), label):
        page.keys("u")
    assert rows(page)[1] == (str(head), label)
    page.keys("c")
    assert page.find("#checked").is_selected()
    page.tab_to("#steps")
    page.keys("BACKSPACE", "BACKSPACE", "2")
    page.tab_to("#adapt")
    page.keys("ENTER")
    page.until("document.querySelector('#job-result').textContent.includes('is ready')")
    page.until("!document.getElementById('comparison').hidden")
    page.tab_to("#download")
    assert page.js("return getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_files_and_comparison_need_no_mouse(page: Any, twelve: Path, demo: Demo, tmp_path: Path) -> None:
    sentences = demo("English", 3)
    path = tmp_path / "mine.conllu"
    path.write_text("".join(sentence.to_conllu() for sentence in sentences), encoding="utf-8")
    page.tab.execute_cdp_cmd(
        "Page.setInterceptFileChooserDialog", {"enabled": True}
    )  # it is the system's, not the page's
    page.tab_to("#file")
    outline = "return getComputedStyle(document.querySelector('label[for=file]')).outlineStyle"
    assert page.js(outline) != "none"
    page.keys("ENTER")
    page.tab.execute_cdp_cmd("DOM.setFileInputFiles", {"files": [str(path)], "backendNodeId": opened_chooser(page)})
    page.tab.execute_cdp_cmd("Page.setInterceptFileChooserDialog", {"enabled": False})
    page.until("document.getElementById('text').value.length > 100")
    page.tab_to("#parse")
    page.keys("ENTER")
    page.until("document.querySelectorAll('#list li').length === 3")
    page.tab_to("#tree [tabindex='0']")
    page.keys("c")

    page.tab_to("#after")
    page.keys("twelve")
    page.tab_to("#compare")
    page.keys("ENTER")
    page.until("!document.getElementById('comparison').hidden")
    page.tab_to("#take")
    page.keys("ENTER")
    assert not page.find("#take").is_enabled()
    other = Parser.from_pretrained(twelve).parse(sentences)
    taken = [[(str(h), x) for h, x in arcs(sentence)] for sentence in other]
    assert rows(page, 0) != taken[0]
    assert [rows(page, i) for i in (1, 2)] == taken[1:]

    page.tab_to("#download")
    found = parse_conllu(downloaded(page, tmp_path, "trees.conllu", lambda: page.keys("ENTER")).decode("utf-8"))
    assert [sentence.comments for sentence in found] == [sentence.comments for sentence in sentences]
    assert [arcs(sentence) for sentence in found[1:]] == [arcs(sentence) for sentence in other[1:]]
    page.tab_to("#download-checked")
    checked = downloaded(page, tmp_path, "checked.conllu", lambda: page.keys("ENTER"))
    assert parse_conllu(checked.decode("utf-8")) == found[:1]


def opened_chooser(page: Any) -> int:
    """The file input for which the browser would open the system's dialog now."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        messages = [json.loads(entry["message"])["message"] for entry in page.tab.get_log("performance")]
        for message in messages:
            if message["method"] == "Page.fileChooserOpened":
                return int(message["params"]["backendNodeId"])
    raise AssertionError("no dialog was opened")


def test_corrected_sentences_make_a_parser_while_a_bar_runs(page: Any, service: Any, model: Path, demo: Demo) -> None:
    known, new = demo("Norwegian", 6), demo("Norwegian", 9)[6:]
    page.fill("".join(s.to_conllu() for s in known))
    assert page.js("document.getElementById('form').value") == "conllu"
    page.click("#keep")
    page.click("#parse")
    page.until("document.querySelectorAll('#list li').length === 6")
    assert len(page.all(".mark.right")) == 6
    page.parse("\n".join(" ".join(s.words) for s in new), "horizontal")
    before = [rows(page, i) for i in range(6, 9)]
    page.js("document.getElementById('new-name').value = 'norsk'; return 0")
    page.js("document.getElementById('language').value = 'Norwegian'; return 0")
    page.js("document.getElementById('steps').value = '80'; return 0")
    page.click("label[for=shared]")
    page.click("#adapt")
    seen = set()
    while "is ready" not in page.text("#job-result"):
        assert page.text("#message") == ""
        seen.add((page.js("document.getElementById('progress').value"), page.text("#progress-text")))
        time.sleep(0.05)
    assert len({value for value, _ in seen}) > 2
    assert any("of 80, about" in text for _, text in seen)
    page.until("document.getElementById('model').value === 'norsk'")
    page.until("!document.getElementById('comparison').hidden")

    adapted = Parser.from_pretrained(service.service.jobs.folder / "norsk")
    assert adapted.about.language == "no"
    assert adapted.about.settings["adaptation"]["parts"] == "small"
    assert adapted.tagger is not None
    tables = [
        [cell.text for cell in row.find_elements("css selector", "td")] for row in page.all(".comparison tbody tr")
    ]
    old = Parser.from_pretrained(model)
    everyone = [*known, *new]
    pairs = list(zip(old.parse(everyone), adapted.parse(everyone), strict=True))
    changed = [sum(x != y for x, y in zip(arcs(a), arcs(b), strict=True)) for a, b in pairs]
    assert [int(row[1]) for row in tables] == changed
    assert sum(changed) > 0
    assert page.all(".picture .arc.new")
    assert page.all(".picture .arc.old")
    assert "proves nothing by that" in page.text("#comparison")

    page.click("#take")
    assert [rows(page, i) for i in range(6)] == [
        [(str(h), str(x)) for h, x in zip(s.heads, s.labels, strict=True)] for s in known
    ]
    for i in range(3):
        expected = pairs[6 + i][1]
        assert rows(page, 6 + i) == [(str(h), x) for h, x in zip(expected.heads, expected.labels, strict=True)]
    assert [rows(page, i) for i in range(6, 9)] != before


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["LF", "CR LF"])
def test_what_was_uploaded_comes_back_byte_for_byte_but_for_line_ends(
    page: Any, demo: Demo, tmp_path: Path, ends: str
) -> None:
    sentences = [s for language in ("English", "Arabic", "Hindi", "Italian", "Turkish") for s in demo(language, 12)]
    raw = "".join(s.to_conllu() for s in sentences).encode("utf-8")
    path = tmp_path / "mine.conllu"
    path.write_bytes(raw.replace(b"\n", ends.encode()))
    page.find("#file").send_keys(str(path))
    page.until("document.getElementById('text').value.length > 100")
    assert page.find("#keep-line").is_displayed()
    page.click("#keep")
    page.click("#parse")
    page.until(f"document.querySelectorAll('#list li').length === {len(sentences)}")
    assert downloaded(page, tmp_path, "trees.conllu", lambda: page.click("#download")) == raw
    page.click("#checked")
    left = downloaded(page, tmp_path, "checked.conllu", lambda: page.click("#download-checked"))
    assert left == raw[len(sentences[0].to_conllu().encode("utf-8")) :]


def test_a_file_that_is_not_utf8_is_refused(page: Any, tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes("Elle dort déjà.".encode("latin-1"))
    page.find("#file").send_keys(str(path))
    deadline = time.monotonic() + 30
    while not page.text("#message"):
        assert time.monotonic() < deadline
    assert page.text("#message") == "latin.txt is not in UTF-8: convert it, e.g. iconv -f latin1 -t utf-8."
    assert page.js("document.getElementById('text').value") == ""
    path.write_text("Elle dort déjà.", encoding="utf-8")
    page.find("#file").send_keys(str(path))
    page.js("document.getElementById('message').textContent = ''; return 0")
    page.until("document.getElementById('text').value === 'Elle dort déjà.'")
    assert not page.find("#message").is_displayed()


def test_a_file_can_be_dropped_on_the_text(page: Any, tmp_path: Path) -> None:
    path = tmp_path / "vårt.txt"
    path.write_text("Vårt hus.", encoding="utf-8")
    x, y = page.point("#text")
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        page.tab.execute_cdp_cmd("Input.dispatchDragEvent", {"type": kind, "x": x, "y": y, "data": data})
    page.until("document.getElementById('text').value === 'Vårt hus.'")


def test_work_is_there_again_after_a_reload(page: Any) -> None:
    page.parse(TEXT)
    page.click("#next")
    page.find("#tree g.word[data-word='3'] .form").click()
    page.keys("l", "vocative", "ENTER")
    kept = page.kept()
    page.open(forget=False)
    page.until("document.querySelectorAll('#list li').length === 2")
    assert page.kept() == kept
    assert page.arc(3)[1] == "vocative"
    page.js("window.confirm = () => true; return 0")
    page.click("#clear")
    assert page.kept()["sentences"] == []
    assert page.find("#empty").is_displayed()


def test_right_to_left_sentences_run_from_right_to_left(page: Any, demo: Demo) -> None:
    sentence = demo("Arabic", 1)[0]
    page.fill(sentence.to_conllu())
    page.click("#parse")
    page.until("document.querySelectorAll('#list li').length === 1")
    places = [word.rect["x"] for word in page.all("#tree g.word rect")]
    assert places == sorted(places, reverse=True)
    page.tab_to("#tree g.word")
    page.keys("ARROW_LEFT")
    assert page.focus.startswith(f"2 {sentence.words[1]}, ")
    page.click("#view-rows")
    gutter, number = page.find(".gutter").rect, page.find("td.number").rect
    assert gutter["x"] > number["x"]


def test_long_sentences_are_shown_in_rows_and_as_arcs_that_scroll(page: Any) -> None:
    page.parse(" ".join(f"word{i}" for i in range(60)), "horizontal")
    assert len(page.all("table.rows tbody tr")) == 60
    page.click("#view-arcs")
    assert len(page.all("#tree g.word")) == 60
    page.tab_to("#tree g.word")
    page.keys("END")
    box, last = page.find("#tree").rect, page.find("#tree g.word[data-word='60'] rect").rect
    assert box["x"] <= last["x"] <= box["x"] + box["width"]
    assert page.js("document.documentElement.scrollWidth <= innerWidth")


def test_rows_change_the_same_tree(page: Any) -> None:
    page.parse("a b c d", "horizontal")
    page.click("#view-rows")
    word = next(w for w, (head, _) in enumerate(rows(page), 1) if head != "0")
    head = next(h for h in (1, 2, 3, 4) if h != word and str(h) != rows(page)[word - 1][0])
    label = rows(page)[word - 1][1]
    select = page.find(f"tr[data-word='{word}'] select.head")
    select.find_element("css selector", f"option[value='{head}']").click()
    assert rows(page)[word - 1] == (str(head), label)
    page.click(f"tr[data-word='{word}'] .relation")
    page.keys("parataxis", "ENTER")
    assert rows(page)[word - 1] == (str(head), "parataxis")
    assert page.js("return document.activeElement.className") == "relation"
    page.click("#view-arcs")
    assert page.arc(word) == (head, "parataxis")


def test_subnetwork_is_a_map_beside_its_neighbours(page: Any, model: Path) -> None:
    page.until("document.querySelectorAll('.map').length === 4")
    parser = Parser.from_pretrained(model)
    assert parser.gates is not None
    own = page.all(".map")[0]
    shares = [float(cell.get_attribute("fill-opacity")) for cell in own.find_elements("css selector", ".gate")]
    assert shares == parser.gates.flatten().tolist()
    captions = [element.text.splitlines()[0] for element in page.all(".map figcaption")]
    assert captions[:2] == ["this parser (fo)", "Norwegian"]
    assert "100 % of heads in common" in page.all(".map figcaption")[1].text
    assert page.all(".map svg")[0].get_attribute("aria-label").startswith("this parser (fo). Off in layer 1: ")


def test_faults_of_a_text_are_told_in_the_services_words(page: Any) -> None:
    page.fill("1\ta\t_\n", "conllu")
    page.click("#parse")
    deadline = time.monotonic() + 30
    while not page.text("#message"):
        assert time.monotonic() < deadline
    assert page.text("#message").startswith("Cannot parse the input in 'conllu' format. data:1: 3 columns")
    assert page.find("#message").get_attribute("role") == "alert"


@pytest.mark.parametrize("width", [1300, 380])
def test_page_fits_its_window_and_everything_has_a_name(page: Any, width: int) -> None:
    page.tab.set_window_size(width, 900)
    page.parse(TEXT)
    for view in ("#view-arcs", "#view-rows"):
        page.click(view)
        assert page.js("document.documentElement.scrollWidth <= innerWidth")
        nameless = page.js(
            "return [...document.querySelectorAll('button, select, input, textarea, svg, [role=button]')]"
            ".filter((e) => e.checkVisibility() && !e.closest('[aria-hidden=true]') && e.ariaHidden !== 'true')"
            ".filter((e) => !(e.ariaLabel || e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim()))"
            ".map((e) => e.outerHTML.slice(0, 80))"
        )
        assert nameless == []
    ids = page.js("return [...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    referred = page.js(
        "return ['aria-labelledby', 'aria-describedby', 'aria-controls', 'for'].flatMap((name) =>"
        "[...document.querySelectorAll(`[${name}]`)].flatMap((e) => e.getAttribute(name).split(' ')))"
    )
    assert set(referred) <= set(ids)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_what_is_behind_them(page: Any, scheme: str) -> None:
    """WCAG 2.2: a contrast of 4.5 for text, 3 for the strokes that carry meaning."""
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.tab.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    page.parse(TEXT)
    page.find("#tree g.word[data-word='2'] .form").click()
    page.keys("l", "vocative", "ENTER")
    colours = json.loads(
        page.js(
            "const probe = document.body.appendChild(document.createElement('i'));"
            "const style = document.createElement('canvas').getContext('2d', {willReadFrequently: true});"
            "const rgb = (name) => { probe.style.color = `var(--${name})`; style.fillStyle = getComputedStyle(probe).color;"
            "style.fillRect(0, 0, 1, 1); return [...style.getImageData(0, 0, 1, 1).data].slice(0, 3) };"
            "const names = ['paper', 'card', 'ink', 'soft', 'field', 'accent', 'accent-soft', 'on-accent', 'doubt',"
            "'doubt-soft', 'right', 'right-soft', 'old'];"
            "return JSON.stringify(Object.fromEntries(names.map((name) => [name, rgb(name)])))"
        )
    )
    page.tab.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    def contrast(a: str, b: str) -> float:
        def light(name: str) -> float:
            parts = [c / 255 for c in colours[name]]
            linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
            return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05

        high, low = sorted((light(a), light(b)), reverse=True)
        return high / low

    for behind in ("paper", "card"):
        for text in ("ink", "soft", "accent", "doubt", "right", "old"):
            assert contrast(text, behind) >= 4.5, (text, behind)
        assert contrast("field", behind) >= 3
    for text, behind in (
        ("on-accent", "accent"),
        ("doubt", "doubt-soft"),
        ("right", "right-soft"),
        ("accent", "accent-soft"),
    ):
        assert contrast(text, behind) >= 4.5, (text, behind)
    assert contrast("ink", "accent-soft") >= 4.5
