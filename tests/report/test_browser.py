"""Pages in a real browser without a network: on every screen, in light and dark, and on paper."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import main
from mnist_lab.report.document import write_report
from mnist_lab.report.index import write_index
from mnist_lab.training.page import run_report, unsummarised
from mnist_lab.training.runs import read_run
from tests.pages import NOON, VISIBLE, drawn, fill, rich_report
from tests.processes import unavailable
from tests.report.test_index import arranged
from tests.training.test_runs import change_run

PATIENCE = 60  # seconds until a browser that does not answer counts as dead

fcntl = pytest.importorskip("fcntl", reason="the browser is driven through pipes that Windows does not have")
pytestmark = pytest.mark.integration


BROWSERS = ("google-chrome-stable", "google-chrome", "chromium", "chromium-browser")
PIPES = """
import os, sys
commands, answers = map(int, sys.argv[1:3])
os.dup2(commands, 3), os.dup2(answers, 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""
"""Becomes the browser, with its two pipes at the numbers where it looks for them."""


class Browser:
    """Chromium without a window, driven through pipes (https://chromedevtools.github.io/devtools-protocol/)."""

    def __init__(self, program: str, profile: Path) -> None:
        its_read, self.to_browser = os.pipe()
        self.from_browser, its_write = os.pipe()
        its_ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in (its_read, its_write)]
        options = ["--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--disable-gpu"]
        options += ["--host-resolver-rules=MAP * ~NOTFOUND", "--no-first-run", "--disable-dev-shm-usage"]
        options += ["--no-sandbox"] if os.geteuid() == 0 else []  # root's Chromium starts in no other way
        command = [sys.executable, "-c", PIPES, *map(str, its_ends), program, *options]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, pass_fds=its_ends, stdin=quiet, stdout=quiet, stderr=quiet)
        for end in (its_read, its_write, *its_ends):
            os.close(end)
        self.buffer = b""
        self.calls = 0
        self.events: list[dict[str, Any]] = []
        self.session: dict[str, str] = {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.calls += 1
        message = {"id": self.calls, "method": method, "params": params} | self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.calls:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def read(self) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.from_browser], [], [], PATIENCE)
            received = os.read(self.from_browser, 1 << 20) if ready else b""
            if not received:
                raise OSError("the browser does not answer")
            self.buffer += received
        message, _, self.buffer = self.buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def open(self, path: Path, *, width: int, height: int, dark: bool = False, printed: bool = False) -> None:
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media="print" if printed else "", features=scheme)
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while "Page.loadEventFired" not in self.seen():
            self.events.append(self.read())

    def seen(self) -> list[str]:
        return [event.get("method", "") for event in self.events]

    def requests(self) -> list[str]:
        sent = [event["params"] for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent]

    def complaints(self) -> list[str]:
        """What a user would find in the browser's console; refusals by the page's policy are told there."""
        return [
            str(event) for event in self.events if event.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown")
        ]

    def value(self, script: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def close(self) -> None:
        try:
            self.session = {}
            self.call("Browser.close")
        except (OSError, AssertionError):
            self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self.to_browser)
        os.close(self.from_browser)


def find_browser() -> str:
    """A Chromium that starts; some systems have a program of its name that only tells how to install it."""
    for name in BROWSERS:
        program = shutil.which(name)
        if program and subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0:
            return program
    unavailable("Chromium")
    return ""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        opened = Browser(find_browser(), Path(profile))
        yield opened
        opened.close()


SIZES = pytest.mark.parametrize(("width", "height"), [(360, 740), (1280, 900)], ids=["phone", "desktop"])
NIGHT = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])

WORDS_AND_GROUNDS = """
(() => {
  const pairs = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const transparent = "rgba(0, 0, 0, 0)";
  while (walker.nextNode()) {
    if (!walker.currentNode.data.trim()) continue;
    const element = walker.currentNode.parentElement;
    const style = getComputedStyle(element);
    let ground = element;
    while (ground && getComputedStyle(ground).backgroundColor === transparent) ground = ground.parentElement;
    const colour = ground ? getComputedStyle(ground).backgroundColor : "rgb(255, 255, 255)";
    pairs.set(style.color + colour, [style.color, colour, walker.currentNode.data.trim().slice(0, 40)]);
  }
  return [...pairs.values()];
})()
"""


def channels(colour: str) -> list[float]:
    """Red, green and blue of a computed colour, 0 to 255; it must hide what is behind it."""
    assert colour.startswith("rgb("), colour
    return [float(part) for part in colour[4:-1].split(",")]


def luminance(colour: str) -> float:
    """Relative luminance, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in channels(colour))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """Contrast ratio, https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_the_one_of_the_standard() -> None:
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
    assert contrast("rgb(119, 119, 119)", "rgb(255, 255, 255)") == pytest.approx(4.48, abs=0.005)


@pytest.fixture(scope="module")
def pages(trained_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run's report, a comparison's, one that uses everything there is, and an index."""
    outputs = tmp_path_factory.mktemp("pages") / "out puts #1"
    run = Path(shutil.copytree(trained_folder, outputs / trained_folder.name))
    hostile = fill(outputs, "2026-11-22_11-00-00_experiment-<b>", results={"title": VISIBLE, "verdicts": [VISIBLE]})
    (hostile / "a #%41.png").write_bytes(drawn())
    fill(outputs, "2026-11-22_12-00-00_xray-photo", "xray.png")
    other = Path(shutil.copytree(run, outputs / f"{run.name}-2"))
    change_run(other, seed=1, config=read_run(other).to_json()["config"] | {"seed": 1})
    assert main.main(["compare", str(run), str(other), "--outputs", str(outputs)]) == 0
    (compared,) = outputs.glob("*_compare/report.html")
    return {
        "compared": compared,
        "run": write_report(run, run_report(read_run(run))),
        "everything": write_report(hostile, rich_report("Words that are " + "long " * 12 + "w" * 80)),
        "index": write_index(outputs, NOON, unsummarised),
    }


PAGES = pytest.mark.parametrize("name", ["run", "compared", "everything", "index"])


@PAGES
@SIZES
@NIGHT
def test_a_page_opens_without_a_network_on_every_screen(
    browser: Browser, pages: dict[str, Path], name: str, width: int, height: int, dark: bool
) -> None:
    browser.open(pages[name], width=width, height=height, dark=dark)
    settle(browser)
    wrong = "[...document.images].filter(image => !image.complete || !image.naturalWidth).map(image => image.src)"
    assert browser.value(wrong) == []
    assert browser.value("document.images.length") >= 3
    folder = pages[name].parent.as_uri()
    assert {address.partition(":")[0] for address in browser.requests()} <= {"file", "data"}
    assert all(address.startswith(("data:", folder)) for address in browser.requests())
    assert browser.complaints() == []
    assert browser.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert browser.value("getComputedStyle(document.body).fontSize.slice(0, -2) >= 16")
    pairs = browser.value(WORDS_AND_GROUNDS)
    assert len(pairs) >= 4
    for words, ground, sample in pairs:
        assert contrast(words, ground) >= 4.5, sample
    assert (luminance(browser.value("getComputedStyle(document.body).backgroundColor")) < 0.1) == dark


def settle(browser: Browser) -> None:
    """Bring every picture into sight, as those that wait for it are not loaded before."""
    missing = "[...document.images].find(image => !image.naturalWidth)"
    end = time.monotonic() + PATIENCE
    while browser.value(f"{missing}?.scrollIntoView() ?? !!{missing}") and time.monotonic() < end:
        time.sleep(0.05)


@NIGHT
def test_figures_lie_on_white_paper(browser: Browser, pages: dict[str, Path], dark: bool) -> None:
    browser.open(pages["run"], width=1280, height=900, dark=dark)
    grounds = browser.value(
        "[...document.querySelectorAll('.paper')].map(box => getComputedStyle(box).backgroundColor)"
    )
    assert set(grounds) == {"rgb(255, 255, 255)"}


def test_figures_and_tables_stay_legible_on_a_phone(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["run"], width=360, height=740)
    widths = "[...document.images].map(image => image.width / image.getAttribute('width'))"
    assert min(browser.value(widths)) >= 0.69  # of the size on paper
    boxes = "[...document.querySelectorAll('.paper, .scroll')].map(box => box.getBoundingClientRect().right)"
    assert max(browser.value(boxes)) <= 360
    table = "(box => [box.scrollWidth, box.clientWidth])(document.querySelectorAll('.scroll')[1])"
    whole, seen = browser.value(table)
    assert whole > seen


@pytest.mark.parametrize("name", ["run", "compared", "everything"])
def test_no_figure_is_cut_by_the_end_of_a_page(browser: Browser, pages: dict[str, Path], name: str) -> None:
    """On A4 within the page's margins, 180 by 265 mm, each figure is to stay whole, and is short enough to."""
    browser.open(pages[name], width=680, height=1001, dark=True, printed=True)
    figures = """[...document.querySelectorAll('figure')].map(
        figure => [getComputedStyle(figure).breakInside, figure.getBoundingClientRect().height])"""
    found = browser.value(figures)
    assert len(found) >= 5
    for kept_whole, height in found:
        assert kept_whole == "avoid"
        assert height < 1001
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.value("getComputedStyle(document.body).color") == "rgb(27, 31, 36)"
    printed = base64.b64decode(browser.call("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert printed.startswith(b"%PDF-")


def test_the_index_is_filtered_without_a_script(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["index"], width=1280, height=900)
    shown = "[...document.querySelectorAll('.card')].filter(card => card.offsetParent).map(card => card.className)"
    assert len(browser.value(shown)) == 5
    press(browser, "Tab")
    press(browser, "ArrowRight")
    assert browser.value(shown) == ["card run n1-layer nunaugmented"] * 2
    press(browser, "ArrowRight")
    assert browser.value(shown) == ["card experiment"]
    browser.value("document.querySelector('#kind-all').parentElement.click()")
    assert len(browser.value(shown)) == 5


def shown_cards(browser: Browser) -> list[str]:
    """The names of the folders whose cards are to be seen, as a reader meets them."""
    seen = """[...document.querySelectorAll('.card')].filter(card => card.offsetParent).map(card => {
        const place = card.getBoundingClientRect();
        return [place.top, place.left, card.querySelector('.name').textContent];
    })"""
    return [name[11:] for _, _, name in sorted(browser.value(seen))]


def test_filters_go_together_and_the_best_come_first_without_a_script(browser: Browser, tmp_path: Path) -> None:
    arranged(tmp_path)
    browser.open(tmp_path / "index.html", width=1280, height=3000)

    def choose(*options: str) -> list[str]:
        for option in options:
            browser.value(f"document.getElementById('{option}').click()")
        return shown_cards(browser)

    def days() -> list[str]:
        heads = "[...document.querySelectorAll('h2')].filter(head => head.offsetParent).map(head => head.innerText)"
        found: list[str] = browser.value(heads)
        return found

    deep, two, best = "10-00-00_3-layer-aug", "10-00-00_compare", "10-00-00_1-layer-aug"
    compared, plain, drawing = "11-00-00_1-layer-aug", "10-00-00_1-layer", "11-00-00_drawing-1"
    depth = "09-00-00_experiment-depth"
    assert shown_cards(browser) == [drawing, two, depth, compared, best, plain]
    assert choose("best-first") == [best, two, compared, depth, plain, drawing]
    assert days() == []
    assert choose("newest-first", "kind-run") == [compared, deep, best, plain]  # what was folded comes to light
    assert choose("best-first") == [best, compared, deep, plain]
    assert choose("newest-first", "network-1-layer", "augmentation-augmented") == [compared, best]
    assert days() == ["22 November 2026", "21 November 2026"]
    assert choose("kind-all") == [two, compared, best]
    assert choose("kind-drawing") == []
    assert days() == []
    nothing = "getComputedStyle(document.querySelector('main'), '::before').content"
    assert browser.value(nothing) == '"There is no such folder."'
    assert choose("kind-all", "network-any", "augmentation-any") == [drawing, two, depth, compared, best, plain]
    assert browser.value(nothing) == "none"


def press(browser: Browser, key: str) -> None:
    code = {"Tab": 9, "ArrowRight": 39}[key]
    for kind in ("rawKeyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)
