"""Pages as tests read them, and folders to write them of."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

from matplotlib.figure import Figure

from mnist_lab.report.document import Picture, Prediction, Report, Section, Table
from tests.training.test_runs import make_run

NOON = datetime(2026, 11, 22, 12, 0)
HOSTILE = "<script>alert(1)</script>\"' onload=x & {{ 7*7 }} \ud800 \x00 \u202e end"
VISIBLE = "<script>alert(1)</script>\"' onload=x & {{ 7*7 }} \ufffd \ufffd \ufffd end"
VOID = {"meta", "link", "img", "input", "br", "source"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    text: str = ""
    inside: tuple[str, ...] = ()


@dataclass
class Page(HTMLParser):
    """All elements of a page, in order; refuses tags that are not closed as they were opened."""

    elements: list[Element] = field(default_factory=list)
    open_elements: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        inside = tuple(element.tag for element in self.open_elements)
        element = Element(tag, {name: value or "" for name, value in attrs}, inside=inside)
        self.elements.append(element)
        if tag not in VOID:
            self.open_elements.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_elements.pop().tag == tag
        for element in self.open_elements if tag in ("p", "li", "h3") else ():
            element.text += " "  # blocks stand apart, whatever lies between their tags

    def handle_data(self, data: str) -> None:
        for element in self.open_elements:
            element.text += data.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NON-BREAKING HYPHEN}", "-")

    def all(self, *tags: str) -> list[Element]:
        return [element for element in self.elements if element.tag in tags]

    def texts(self, *tags: str) -> list[str]:
        return [" ".join(element.text.split()) for element in self.all(*tags)]


def parse(html: str) -> Page:
    page = Page()
    page.feed(html)
    page.close()
    assert not page.open_elements
    return page


def parse_file(path: Path) -> Page:
    return parse(path.read_text(encoding="utf-8"))


@cache
def drawn(width: float = 3.0, height: float = 2.0) -> bytes:
    """A figure of so many inches, as the lab saves them."""
    figure = Figure(figsize=(width, height), dpi=150)
    figure.subplots().plot([1, 3, 2])
    content = io.BytesIO()
    figure.savefig(content)
    return content.getvalue()


def rich_report(words: str = "Words", png: bytes | None = None) -> Report:
    """A report that uses everything there is, with the same words everywhere."""
    picture = Picture(words, drawn(14, 5) if png is None else png, words, words)
    table = Table(words, (words, *"abcdefgh"), [(words, *["12.34 %"] * 8)] * 3, numeric=range(1, 9))
    return Report(
        title=words,
        kind=words,
        created=NOON,
        question=words,
        verdicts=[words, words],
        sections=[Section(words, [words], [table], [picture, picture])] * 3,
        repeat=words,
        facts={words: words, "n": "5"},
        prediction=Prediction(words, words),
    )


def fill(outputs: Path, name: str, *pictures: str, **files: object) -> Path:
    """A folder with pictures, and JSON files by their stems."""
    folder = outputs / name
    folder.mkdir(parents=True)
    for picture in pictures:
        (folder / picture).write_bytes(drawn())
    for stem, content in files.items():
        (folder / f"{stem}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def earlier_folders(outputs: Path) -> Path:
    """One folder of every kind as versions before summary.json left them, and some that are damaged or hostile."""
    run = make_run(outputs, "2026-11-22_10-00-00_1-layer")
    (run / "history.png").write_bytes(drawn())
    (run / "report.html").write_text("<!DOCTYPE html>", encoding="utf-8")
    make_run(outputs, "2026-11-21_10-00-00_3-layer", test_accuracy="much")
    results = {
        "title": "Depth", "question": "Is deeper better?", "verdicts": ["Yes."], "thumbnail": "wins.png",
        "facts": {"seeds": "3", "epochs": "4", "device": "CPU"},
    }  # fmt: skip
    experiment = fill(outputs, "2026-11-22_11-00-00_experiment-depth", "curves.png", "wins.png", results=results)
    (experiment / "report.html").write_text("its own", encoding="utf-8")
    fill(
        outputs, "2026-11-22_11-30-00_compare", "a.png", results={"title": [1], "verdicts": {}, "thumbnail": "../x.png"}
    )
    fill(
        outputs,
        "2026-11-20_09-00-00_drawing-3",
        "prediction.png",
        "drawing.png",
        drawing={"label": None, "strokes": []},
    )
    score = {"accuracy": 0.75, "total": 4, "correct": 3, "interval_95": [0.2, 0.99], "run": "a run"}
    fill(outputs, "2026-11-20_09-00-00_score-mine", "confusion_counts.png", "mistakes.png", score=score)
    fill(outputs, "2026-11-20_09-00-00_score-mine-2", "mistakes.png", score=[score])
    fill(outputs, "2026-11-19_09-00-00_xray-photo", "xray.png")
    fill(outputs, "2026-11-19_08-00-00_saliency-test-5", "methods.png", "saliency.png")
    fill(outputs, "2026-11-19_07-00-00_data", "samples.png", "augmentation.png")
    fill(outputs, "javascript:alert(1) <b>&#x26;\"'?#%41", "a?b#c%41 <i>.png")
    fill(outputs, "2026-13-45_99-99-99_drawing-1")
    fill(outputs, "many", *(f"{number:02}.png" for number in range(20)))
    (outputs / ".hidden").mkdir()
    (outputs / "my_digits.jsonl").write_text("", encoding="utf-8")
    return outputs


def cards(page: Page) -> dict[str, str]:
    """The words of each card, by the folder's name."""
    names = [element.text for element in page.all("p") if element.attributes.get("class") == "name"]
    items = [element for element in page.all("li") if element.attributes.get("class", "").startswith("card ")]
    return dict(zip(names, (" ".join(item.text.split()) for item in items), strict=True))
