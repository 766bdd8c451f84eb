"""A real browser, without a window, on the page of a service that runs in this process."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import torch

from sublingual.model.card import About
from sublingual.model.encoder import load_encoder
from sublingual.model.parser import ParserConfig, new_parser
from sublingual.parsing import Parser

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: no browser tests")
from selenium.common.exceptions import StaleElementReferenceException  # noqa: E402
from selenium.webdriver.chrome.service import Service as Driver  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

_NAMES = (("chromium", "google-chrome", "chrome"), ("chromedriver",))
Do = Callable[..., Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starting a browser takes seconds."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(300))


@dataclass(frozen=True)
class Page:
    """A tab with the page in it; `keys` types where the focus is, as a person without a mouse does."""

    tab: Any
    address: str

    def open(self, *, forget: bool = True) -> Page:
        if forget:
            self.tab.get("about:blank")  # a page that is still open keeps its work again
            origin = {"origin": self.address.rstrip("/"), "storageTypes": "local_storage"}
            self.tab.execute_cdp_cmd("Storage.clearDataForOrigin", origin)
        self.tab.get(self.address)
        return self.until("document.body.classList.contains('ready')")

    def js(self, code: str, *args: Any) -> Any:
        return self.tab.execute_script(code if "return" in code else f"return {code}", *args)

    def until(self, condition: str, *, seconds: float = 60) -> Page:
        """Waits until a condition in JavaScript holds; a complaint on the page ends the test at once."""
        deadline = time.monotonic() + seconds
        while not self.js(condition):
            complaint = self.text("#message")
            assert not complaint, complaint
            assert time.monotonic() < deadline, condition
            time.sleep(0.05)
        return self

    def find(self, selector: str) -> Any:
        return self.tab.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[Any]:
        return list(self.tab.find_elements(By.CSS_SELECTOR, selector))

    def text(self, selector: str) -> str:
        return str(self.js("return document.querySelector(arguments[0])?.textContent ?? ''", selector))

    def click(self, selector: str) -> None:
        """Clicks on what is there now: the page may draw it anew between finding and clicking."""
        for _ in range(20):
            with contextlib.suppress(StaleElementReferenceException):
                return self.find(selector).click()
        raise AssertionError(f"{selector} is drawn anew all the time")

    def keys(self, *keys: str) -> None:
        for key in keys:
            webdriver.ActionChains(self.tab).send_keys(getattr(Keys, key, key)).perform()

    def tab_to(self, selector: str) -> None:
        """Presses Tab until the focus is there."""
        for _ in range(80):
            if self.js("return document.activeElement.matches(arguments[0])", selector):
                return
            self.keys("TAB")
        raise AssertionError(f"{selector} cannot be reached by Tab")

    def fill(self, text: str, form: str | None = None) -> None:
        """Puts a text into the form as pasting does; with `form` says what it is."""
        self.js(
            "const box = document.getElementById('text'); box.value = arguments[0];"
            "box.dispatchEvent(new Event('input', {bubbles: true})); return 0",
            text,
        )
        if form is not None:
            self.js("document.getElementById('form').value = arguments[0]; return 0", form)

    def parse(self, text: str, form: str | None = None) -> Page:
        self.fill(text, form)
        before = len(self.all("#list li"))
        self.click("#parse")
        return self.until(f"document.querySelectorAll('#list li').length > {before}")

    def arc(self, word: int) -> tuple[int, str]:
        """Head and label of a word of the sentence that is shown, as drawn."""
        head = self.js("return document.querySelector(`#tree .arc[data-word='${arguments[0]}']`).dataset.head", word)
        label = self.js("return document.querySelector(`#tree .label[data-word='${arguments[0]}']`).textContent", word)
        return int(head), str(label).rstrip("?")

    def point(self, selector: str) -> tuple[float, float]:
        """The middle of an element, in the window."""
        box = self.js(
            "const r = document.querySelector(arguments[0]).getBoundingClientRect(); return [r.x, r.y, r.width, r.height]",
            selector,
        )
        return box[0] + box[2] / 2, box[1] + box[3] / 2

    @property
    def focus(self) -> str:
        """What a screen reader says of the element that has the focus."""
        return str(self.js("return document.activeElement.getAttribute('aria-label') ?? ''"))

    def kept(self) -> Any:
        return self.js("return JSON.parse(localStorage.getItem('sublingual-page-1'))")


def _program(names: tuple[str, ...]) -> str:
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"no {names[0]} here: apt-get install chromium chromium-driver")
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location, driver = _program(_NAMES[0]), _program(_NAMES[1])
    for word in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1300,1000",
    ):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    tab = webdriver.Chrome(options=options, service=Driver(driver))
    yield tab
    tab.quit()


@pytest.fixture(scope="session")
def serving() -> Do:
    """The function of the service's tests that runs one."""
    spec = spec_from_file_location("service_conftest", Path(__file__).parents[1] / "service" / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.serving


@pytest.fixture(scope="session")
def model(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A parser of random weights with subnetworks of four languages."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = new_parser(load_encoder(str(tiny_encoder)), config=ParserConfig(arc_size=24, label_size=12))
        gates = {code: (torch.rand(2, 2) > 0.3).float() for code in ("no", "ar", "it", "hi")}
    folder = tmp_path_factory.mktemp("page") / "nordic"
    about = About(language="fo", trained_on=("en",), data=({"treebank": "UD_A", "licence": "CC BY-SA 4.0"},))
    Parser(network, gates["no"], about, gates).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def twelve(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another parser, whose encoder has twelve layers of twelve attention heads as the usual ones have."""
    from transformers import BertConfig, BertModel

    encoder = Path(shutil.copytree(tiny_encoder, tmp_path_factory.mktemp("encoder") / "twelve"))
    config = BertConfig.from_pretrained(tiny_encoder, hidden_size=24, num_hidden_layers=12, num_attention_heads=12)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        BertModel(config).save_pretrained(encoder)
        network = new_parser(load_encoder(str(encoder)), config=ParserConfig(arc_size=24, label_size=12))
        gates = {code: (torch.rand(12, 12) > 0.2).float() for code in ("no", "ar", "it", "hi")}
    folder = tmp_path_factory.mktemp("page") / "twelve"
    Parser(network, gates["no"], About(language="fo"), gates).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def service(serving: Do, model: Path, twelve: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with serving([str(model), str(twelve)], adapts_to=tmp_path_factory.mktemp("adapted")) as running:
        yield running


@pytest.fixture
def page(browser: Any, service: Any) -> Iterator[Page]:
    """The page, newly opened; at the end nothing was asked of another machine, and the browser logged no fault."""
    browser.get_log("browser")
    browser.get_log("performance")
    browser.set_window_size(1300, 1000)
    opened = Page(browser, f"http://127.0.0.1:{service.client.port}/").open()
    yield opened
    severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not [entry for entry in severe if "status of 400" not in entry["message"]]
    requested = _requested(browser.get_log("performance"))
    assert requested
    assert all(url.startswith((opened.address, "blob:", "data:")) for url in requested), requested


def _requested(log: list[dict[str, Any]]) -> list[str]:
    import json

    messages = [json.loads(entry["message"])["message"] for entry in log]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
