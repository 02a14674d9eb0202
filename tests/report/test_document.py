"""Pages of results: parsed, opened in a real browser without a network, and fed with damaged and hostile folders."""

from __future__ import annotations

import base64
import csv
import io
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console

import main
from mnist_lab.errors import LabError, RunError, StorageError
from mnist_lab.experiments.questions import EXPERIMENTS
from mnist_lab.experiments.study import study_experiment, write_study
from mnist_lab.report.document import REPORT_FILE, Picture, Prediction, Report, Section, Table, render, write_report
from mnist_lab.report.index import entry_of, write_index
from mnist_lab.report.saved import RUN_PICTURES, read_picture
from mnist_lab.terminal.console import THEME, Terminal
from mnist_lab.terminal.lab import Lab
from mnist_lab.training.folder_commands import ask_report, report
from mnist_lab.training.page import HISTORY_ROWS, run_report
from mnist_lab.training.runs import read_run
from tests.training.test_runs import make_run

NOON = datetime(2026, 11, 22, 12, 0)
HOSTILE = "<script>alert(1)</script>\"' onload=x & {{ 7*7 }} \ud800 \x00 \u202e end"
VISIBLE = "<script>alert(1)</script>\"' onload=x & {{ 7*7 }} \ufffd \ufffd \ufffd end"
VOID = {"meta", "link", "img", "input", "br"}
PATIENCE = 60  # seconds until a browser that does not answer counts as dead


# ------------------------------------------------------------------------------------------------ reading pages


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


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run's folder, with all of its pictures."""
    outputs = tmp_path_factory.mktemp("trained")
    options = ["--model", "1-layer", "--train-size", "1000", "--epochs", "2", "--workers", "0"]
    assert main.main(["train", *options, "--outputs", str(outputs)]) == 0
    (folder,) = (path for path in outputs.iterdir() if path.is_dir())
    return folder


@pytest.fixture
def run_folder(trained: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(trained, tmp_path / "outputs" / trained.name))


def fill(outputs: Path, name: str, *pictures: str, **files: object) -> Path:
    """A folder with pictures, and JSON files by their stems."""
    folder = outputs / name
    folder.mkdir(parents=True)
    for picture in pictures:
        (folder / picture).write_bytes(drawn())
    for stem, content in files.items():
        (folder / f"{stem}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


# ----------------------------------------------------------------------------------------------------- a report


def test_hostile_words_come_out_as_text() -> None:
    html = render(rich_report(HOSTILE))
    html.encode("utf-8")
    page = parse(html)
    assert not page.all("script", "iframe", "object", "embed", "form")
    assert not [name for element in page.elements for name in element.attributes if name.startswith("on")]
    for tag in ("h1", "h2", "caption", "th", "blockquote", "dt", "dd", "code", "strong"):
        assert VISIBLE in page.texts(tag), tag
    assert all(image.attributes["alt"] == VISIBLE for image in page.all("img"))
    assert "49" not in html.replace(base64.b64encode(drawn(14, 5)).decode(), "")


def test_a_page_can_be_read_by_its_structure() -> None:
    page = parse(render(rich_report()))
    assert page.all("html")[0].attributes == {"lang": "en"}
    assert page.texts("title") == ["Words · MNIST Lab"]
    levels = [int(element.tag[1]) for element in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert {cell.attributes["scope"] for cell in page.all("th")} == {"col", "row"}
    numbers = [cell for cell in page.all("td") if cell.text == "12.34 %"]
    assert len(numbers) == 3 * 3 * 8
    assert all(cell.attributes["class"] == "number" for cell in numbers)
    targets = {link.attributes["href"] for link in page.all("a")}
    ids = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    assert targets == {f"#{name}" for name in ids}
    assert len(set(ids)) == len(ids)
    assert "Predicted beforehand" in page.texts("h2")


def test_a_bare_report_leaves_no_empty_parts() -> None:
    page = parse(render(Report("Title", "Kind", NOON)))
    assert page.texts("h1", "h2") == ["Title"]
    assert not page.all("table", "figure", "dl", "nav", "pre", "section")
    assert "22 November 2026, 12:00" in page.texts("time")


def test_pictures_are_inside_and_whole() -> None:
    png = drawn(14, 5)
    page = parse(render(rich_report(png=png)))
    images = page.all("img")
    assert len(images) == 6
    for image in images:
        assert image.attributes["alt"]
        kind, _, content = image.attributes["src"].partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(content, validate=True) == png
        assert (image.attributes["width"], image.attributes["height"]) == ("1344", "480")  # 96 to the inch


def test_nothing_leads_out_of_a_page() -> None:
    page = parse(render(rich_report("see https://example.org/")))
    for element in page.elements:
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            assert element.attributes.get(name, "#").startswith(("data:image/", "#")), element
    (policy,) = [e.attributes["content"] for e in page.all("meta") if "http-equiv" in e.attributes]
    assert policy.startswith("default-src 'none'; img-src data:;")
    (style,) = page.texts("style")
    assert "url(" not in style
    assert "@import" not in style


def test_a_picture_without_a_resolution_is_as_large_as_its_pixels(tmp_path: Path) -> None:
    Image.new("L", (280, 140), 255).save(tmp_path / "drawing.png")
    picture = read_picture(tmp_path, "drawing.png")
    assert picture is not None
    assert picture.size == (280, 140)


def test_damaged_pictures_are_refused() -> None:
    png = drawn()
    for length in (0, 7, 8, 20, 40, len(png) // 2, len(png) - 12, len(png) - 1):
        with pytest.raises(ValueError, match="picture"):
            Picture("cut", png[:length], "cut")
    for place in (3, 20, len(png) // 2, len(png) - 1):
        altered = png[:place] + bytes([png[place] ^ 1]) + png[place + 1 :]
        with pytest.raises(ValueError, match="picture"):
            Picture("altered", altered, "altered")


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = write_report(tmp_path, rich_report())
    assert path == tmp_path / "report.html"
    assert path.read_text(encoding="utf-8") == render(rich_report())
    with pytest.raises(StorageError):
        write_report(tmp_path / "nowhere", rich_report())
    assert [child.name for child in tmp_path.iterdir()] == ["report.html"]


# ------------------------------------------------------------------------------------------------- a run's report


def test_a_runs_report_says_what_its_folder_holds(trained: Path) -> None:
    page = parse(render(run_report(read_run(trained))))
    content = json.loads((trained / "run.json").read_text(encoding="utf-8"))
    test, words = content["results"]["test"], page.all("body")[0].text
    assert page.texts("h1") == ["1-layer, seed 0"]
    assert f"({test['correct']:,} of 10,000)" in words
    assert f"{100 * test['interval_95'][0]:.2f} to {100 * test['interval_95'][1]:.2f} %" in words
    assert content["command"] in page.texts("code")
    assert len(page.all("img")) == len(RUN_PICTURES)
    assert "What is missing" not in words
    cells = page.texts("th", "td")
    for epoch in csv.DictReader((trained / "history.csv").read_text(encoding="utf-8").splitlines()):
        place = cells.index(epoch["epoch"], cells.index("training loss"))
        assert cells[place + 1 : place + 5] == [
            f"{float(epoch['train_loss']):.4f}",
            f"{100 * float(epoch['train_accuracy']):.2f} %",
            f"{float(epoch['val_loss']):.4f}",
            f"{100 * float(epoch['val_accuracy']):.2f} %",
        ]
        assert (cells[place + 7] == "kept") == (int(epoch["epoch"]) == content["best_epoch"])
    for scores in test["per_digit"]:
        assert f"{100 * scores['f1']:.2f} %" in cells
    assert content["versions"]["torch"] in words
    assert cells[cells.index("train size") + 1] == "1000"


@pytest.mark.parametrize("name", [*RUN_PICTURES, "history.csv"])
@pytest.mark.parametrize("damage", ["gone", "cut", "folder"])
def test_what_is_missing_is_named_and_the_rest_stays(run_folder: Path, name: str, damage: str) -> None:
    path = run_folder / name
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(b"\xff\x00" + content[: len(content) // 2])
    if damage == "folder":
        path.mkdir()
    page = parse(render(run_report(read_run(run_folder))))
    (remarks,) = [section for section in page.all("section") if "What is missing" in section.text]
    assert name in remarks.text
    assert ("Epoch by epoch" in page.all("body")[0].text) == (name != "history.csv")
    assert len(page.all("img")) == len(RUN_PICTURES) - name.endswith(".png")
    assert len(page.texts("h1")) == 1


def test_a_folder_with_nothing_but_its_run_file_has_a_report(tmp_path: Path) -> None:
    page = parse(render(run_report(read_run(make_run(tmp_path, "<script>alert(1)<script> & 'x' \u202e")))))
    words = page.all("body")[0].text
    assert all(name in words for name in (*RUN_PICTURES, "history.csv"))
    assert "It reads 99.00 % of the test digits rightly, with a 95 % interval from 98.70 to 99.20 %." in words


@pytest.mark.parametrize(("status", "said"), [("running", "stopped"), ("failed", "failed (the loss is infinite)")])
def test_a_run_that_did_not_end_is_said_to_be_so(tmp_path: Path, status: str, said: str) -> None:
    changes = {"failure": "the loss is infinite"} if status == "failed" else {}
    folder = make_run(tmp_path, "run", status=status, val_accuracy=None, test_accuracy=None, **changes)
    page = parse(render(run_report(read_run(folder))))
    assert f"marked as {said}." in page.texts("section")[0]
    assert "never judged" in page.texts("section")[0]


WHOLE = HOSTILE.replace("\ud800", "")  # a run.json with half a character is refused at once
NASTY: tuple[Any, ...] = (
    None, True, -1, 10**400, 1e308, HOSTILE, WHOLE, "", [], [[]], [None, "x"], {}, {WHOLE: {"a": [WHOLE]}}
)  # fmt: skip


RUN_VALUES = (
    "config", "split", "machine", "versions", "command", "device", "best_epoch", "results", "stop_reason", "workers",
    "images_per_second", "epochs_run", "parameters", "seed", "model", "train_seconds", "test_interval", "failure",
)  # fmt: skip


@pytest.mark.parametrize("name", RUN_VALUES)
def test_no_value_of_a_run_file_breaks_its_report(run_folder: Path, name: str) -> None:
    content = json.loads((run_folder / "run.json").read_text(encoding="utf-8"))
    for value in NASTY:
        check_run(run_folder, content | {name: value})


@pytest.mark.parametrize("split", ["validation", "test"])
def test_no_saved_result_breaks_a_report(run_folder: Path, split: str) -> None:
    content = json.loads((run_folder / "run.json").read_text(encoding="utf-8"))
    results = content["results"]
    for name in results[split]:
        for value in NASTY:
            nasty = results[split] | {name: value}
            check_run(run_folder, content | {"results": results | {split: nasty}})
            entries = results[split]["per_digit"]
            nasty = results[split] | {"per_digit": [entry | {"recall": value, "digit": value} for entry in entries]}
            check_run(run_folder, content | {"results": results | {split: nasty}})


def check_run(folder: Path, content: dict[str, Any]) -> None:
    """Such a run is refused, or has a whole report and a card in the index."""
    (folder / "run.json").write_text(json.dumps(content), encoding="utf-8")
    assert entry_of(folder).kind.word == "run"
    try:
        run = read_run(folder)
    except RunError:
        return
    made = run_report(run)
    page = parse(render(Report(made.title, made.kind, made.created, made.question, made.verdicts,
                               [Section(part.title, part.paragraphs, part.tables) for part in made.sections],
                               made.repeat, made.facts)))  # fmt: skip
    assert len(page.all("h1")) == 1
    assert not page.all("script")


def test_a_long_history_is_thinned_out(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "long", epochs_run=1000, best_epoch=778)
    lines = ["epoch,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,seconds"]
    lines += [f"{epoch},0.5,0.9,0.4,0.95,1e-3,90" for epoch in range(1, 1001)]
    (folder / "history.csv").write_text("\n".join(lines), encoding="utf-8")
    page = parse(render(run_report(read_run(folder))))
    epochs = [row.text.split()[0] for row in page.all("tr") if "0.5000" in row.text]
    assert len(epochs) <= HISTORY_ROWS + 2
    assert epochs[0] == "1"
    assert epochs[-1] == "1000"
    assert "778" in epochs
    assert "1000 epochs" in page.all("body")[0].text
    (kept,) = [row.text.split() for row in page.all("tr") if "kept" in row.text]
    assert kept == ["778", "0.5000", "90.00", "%", "0.4000", "95.00", "%", "1.0e-03", "1", "min", "30", "s", "kept"]


# ------------------------------------------------------------------------------------------------------ the index


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """One folder of every kind, and some that are damaged or hostile."""
    outputs = tmp_path / "out puts"
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


def test_the_index_shows_every_folder_the_newest_first(outputs: Path) -> None:
    page = parse_file(write_index(outputs, NOON))
    found = cards(page)
    folders = {path.name for path in outputs.iterdir() if path.is_dir()} - {".hidden"}
    assert set(found) == folders
    dated = [name for name in found if name.startswith("2026-11")]
    assert dated == sorted(dated, reverse=True)
    assert list(found)[: len(dated)] == dated
    assert page.texts("h2") == [
        "22 November 2026", "21 November 2026", "20 November 2026", "19 November 2026", "Without a date"
    ]  # fmt: skip
    kinds = {label.split()[0]: label.split()[-1] for label in page.texts("label")}
    assert kinds == {
        "Everything": "13", "Runs": "2", "Experiments": "1", "Comparisons": "1", "Drawings": "1", "Scores": "2",
        "X-rays": "1", "Saliency": "1", "Data": "1", "Others": "3",
    }  # fmt: skip
    assert "Yes. seeds: 3, epochs: 4" in found["2026-11-22_11-00-00_experiment-depth"]


def test_the_index_tells_of_each_what_matters(outputs: Path) -> None:
    found = cards(parse_file(write_index(outputs, NOON)))
    assert (
        "1-layer, seed 0 99.00 % of the test digits 95 % interval 98.70 to 99.20 %"
        in found["2026-11-22_10-00-00_1-layer"]
    )
    assert "is damaged" in found["2026-11-21_10-00-00_3-layer"]
    assert "Depth Is deeper better? Yes." in found["2026-11-22_11-00-00_experiment-depth"]
    assert "Comparison · 11:30 Comparison 2026" in found["2026-11-22_11-30-00_compare"]
    assert "75.00 % of 4 drawings" in found["2026-11-20_09-00-00_score-mine"]
    assert "score.json can't be read" in found["2026-11-20_09-00-00_score-mine-2"]
    assert "Saliency: test-5" in found["2026-11-19_08-00-00_saliency-test-5"]
    assert "no picture" in found["2026-13-45_99-99-99_drawing-1"]
    assert "12 more" in found["many"]


def test_the_index_links_to_files_that_are_there_and_copies_none(outputs: Path) -> None:
    path = write_index(outputs, NOON)
    page = parse_file(path)
    links = [link.attributes["href"] for link in page.all("a")]
    assert len(links) > 40
    images = page.all("img")
    assert len(images) == len(cards(page)) - 2  # one has no picture, one is damaged and has none either
    assert {image.attributes["loading"] for image in images} == {"lazy"}
    assert all(image.attributes["alt"] for image in images)
    for address in (*links, *(image.attributes["src"] for image in images)):
        assert address.startswith("./")
        assert "?" not in address
        assert "#" not in address
        assert (outputs / unquote(address)).exists(), address
    assert not page.all("script", "b", "i")
    thumbnails = {unquote(image.attributes["src"]).rpartition("_")[2] for image in images}
    assert {"experiment-depth/wins.png", "compare/a.png", "drawing-3/drawing.png", "data/samples.png"} <= thumbnails
    assert "report.html" in str(links)


def test_unreadable_and_strange_folders_do_no_harm(outputs: Path) -> None:
    looping = outputs / "looping"
    looping.mkdir()
    (looping / "run.json").symlink_to(looping / "run.json")
    (outputs / "dangling").symlink_to(outputs / "nowhere")
    pipe = fill(outputs, "2026-11-22_13-00-00_experiment-pipe")
    os.mkfifo(pipe / "results.json")
    deep = fill(outputs, "2026-11-22_13-00-00_compare-deep")
    (deep / "results.json").write_text("[" * 100_000, encoding="utf-8")
    (deep / "hole.png").symlink_to("/dev/zero")
    strange = os.fsdecode(b"not utf-8 \xff\xfe")
    (outputs / strange).mkdir()
    found = cards(parse_file(write_index(outputs, NOON)))
    assert "is damaged" in found["looping"]
    assert "can't be read" in found["2026-11-22_13-00-00_experiment-pipe"]
    assert "can't be read" in found["2026-11-22_13-00-00_compare-deep"]
    assert "not utf-8 \ufffd\ufffd" in found
    assert read_picture(deep, "hole.png") is None


def index_after(outputs: Path, change: Callable[[], object]) -> float:
    """When the index was written, seconds since 1970, after a change and a command that has nothing to do with it."""
    time.sleep(0.05)  # the clock of a file system ticks every few milliseconds
    change()
    main.main(["runs", "--outputs", str(outputs)])
    return (outputs / "index.html").stat().st_mtime


def test_the_index_follows_whatever_changes_and_rests_otherwise(outputs: Path) -> None:
    index = outputs / "index.html"
    first = index_after(outputs, lambda: None)
    assert index_after(outputs, lambda: None) == first
    second = index_after(outputs, lambda: (outputs / "new").mkdir())
    assert second > first
    third = index_after(outputs, lambda: (outputs / "new").rmdir())
    assert third > second
    assert "new" not in cards(parse_file(index))
    fourth = index_after(outputs, lambda: (outputs / "many" / "more.png").touch())
    assert fourth > third
    assert index_after(outputs, lambda: None) == fourth
    assert index_after(outputs, lambda: os.utime(index, (fourth + 9999, fourth + 9999))) < fourth + 999


def test_the_index_clears_away_what_killed_programs_left_half_written(outputs: Path) -> None:
    old = [outputs / ".writing-a.html", outputs / "many" / ".writing-b.png", outputs / "many" / ".writing-c.pt"]
    young = outputs / "many" / ".writing-d.png"
    for path in (*old, young):
        path.touch()
    for path in old:
        os.utime(path, (0, 0))
    main.main(["runs", "--outputs", str(outputs)])
    assert young.exists()
    assert not any(path.exists() for path in old)
    assert (outputs / "index.html").exists()


def test_a_website_of_the_users_is_no_index(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = outputs / "index.html"
    page.write_text("<title>My holidays</title>", encoding="utf-8")
    assert main.main(["runs", "--outputs", str(outputs)]) == 0
    assert main.main(["report", "--outputs", str(outputs)]) == 1
    assert "is no page of the lab's; move it away" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == "<title>My holidays</title>"


def test_an_index_of_nothing_says_how_to_begin(tmp_path: Path) -> None:
    page = parse_file(write_index(tmp_path / "new" / "outputs", NOON))
    assert "Nothing here yet" in page.all("body")[0].text
    assert not page.all("input")


def test_a_file_in_the_place_of_the_outputs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="file stands"):
        write_index(tmp_path / "outputs", NOON)


# ------------------------------------------------------------------------------------------------------ the action


def make_lab(outputs: Path, *answers: str) -> tuple[Lab, io.StringIO]:
    shown = io.StringIO()
    console = Console(file=shown, theme=THEME, highlight=False, width=100)
    return Lab(Terminal(console, iter(answers).__next__), outputs, main.load, lambda: NOON), shown


def last_line(shown: io.StringIO) -> str:
    return shown.getvalue().splitlines()[-1]


@pytest.mark.parametrize("name", ["latest", "best", "10-00-00_1-layer"])
def test_a_runs_report_is_written_anew(outputs: Path, name: str) -> None:
    lab, shown = make_lab(outputs)
    assert report(lab, name) == 0
    path = outputs / "2026-11-22_10-00-00_1-layer" / "report.html"
    assert last_line(shown) == str(path)
    assert parse_file(path).texts("h1") == ["1-layer, seed 0"]
    assert (outputs / "index.html").exists()


def test_an_experiment_keeps_its_own_report(outputs: Path) -> None:
    lab, shown = make_lab(outputs)
    assert report(lab, "experiment-depth") == 0
    path = outputs / "2026-11-22_11-00-00_experiment-depth" / "report.html"
    assert last_line(shown) == str(path)
    assert path.read_text(encoding="utf-8") == "its own"


def test_any_folder_of_pictures_can_have_a_report(outputs: Path) -> None:
    lab, shown = make_lab(outputs)
    assert report(lab, str(outputs / "2026-11-20_09-00-00_score-mine")) == 0
    page = parse_file(Path(last_line(shown)))
    assert page.texts("h1") == ["Score: mine"]
    assert "75.00 % of 4 drawings" in page.texts("section")[0]
    assert len(page.all("img")) == 2
    assert (outputs / "2026-11-20_09-00-00_score-mine" / "report.html").exists()


def test_the_index_alone_is_the_default(outputs: Path) -> None:
    lab, shown = make_lab(outputs)
    assert report(lab) == 0
    assert shown.getvalue() == f"{outputs / 'index.html'}\n"


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("nowhere", "no folder 'nowhere'"),
        ("", "no folder ''"),
        ("2026-11-22", "3 folders"),
        ("drawing-1", "no pictures"),
        ("2026-11-21_10-00-00_3-layer", "damaged"),
    ],
)
def test_what_has_no_report_is_refused_in_one_line(outputs: Path, name: str, refusal: str) -> None:
    with pytest.raises(LabError, match=refusal) as refused:
        report(make_lab(outputs)[0], name)
    assert "\n" not in str(refused.value)


def test_the_menu_offers_the_index_and_the_newest(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(outputs, "2026-11-23_00-00-00_xray-[bold]", "xray.png")
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    lab, shown = make_lab(outputs, "2")
    assert ask_report(lab) == 0
    offered = [line for line in shown.getvalue().splitlines() if line.strip()[:1].isdigit()]
    assert len(offered) == 11
    assert "2026-11-23_00-00-00_xray-[bold]" in offered[1]
    assert last_line(shown) == str(outputs / "2026-11-23_00-00-00_xray-[bold]" / "report.html")
    lab, shown = make_lab(outputs, "")
    assert ask_report(lab) == 0
    assert last_line(shown) == str(outputs / "index.html")


@pytest.mark.parametrize(
    ("answers", "folder"),
    [
        (["latest"], "2026-11-22_10-00-00_1-layer"),
        (["nowhere", "2026-11-22", "77", "10-00-00_1-layer"], "2026-11-22_10-00-00_1-layer"),
    ],
)
def test_the_menu_takes_folders_that_are_not_offered(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, answers: list[str], folder: str
) -> None:
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    for minute in range(10):
        fill(outputs, f"2026-11-24_00-{minute:02}-00_xray-1", "xray.png")
    lab, shown = make_lab(outputs, *answers)
    assert ask_report(lab) == 0
    words = " ".join(shown.getvalue().split())
    assert "older folders; any folder's name or a part of it will do" in words
    assert last_line(shown) == str(outputs / folder / "report.html")
    if len(answers) > 1:
        assert "there is no folder 'nowhere'" in words
        assert "have '2026-11-22' in their names (" in words
        assert "'77' is no choice here" in words


OPEN_IT = """
import sys
from pathlib import Path
from mnist_lab.terminal.lab import Lab
from mnist_lab.terminal.console import Terminal, make_console
from mnist_lab.training.folder_commands import report
report(Lab(Terminal(make_console()), Path(sys.argv[1]), main.load), open_it=sys.argv[2] == "open")
print(sorted({"torch", "numpy", "matplotlib", "PIL", "scipy"} & set(sys.modules)))
"""


@pytest.mark.parametrize("asked", ["open", "leave"])
def test_the_browser_is_opened_only_if_asked_for(outputs: Path, tmp_path: Path, asked: str) -> None:
    (tmp_path / "browser.py").write_text(
        "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])", "utf-8"
    )
    browser = f'"{sys.executable}" "{tmp_path / "browser.py"}" "{tmp_path / "opened"}" %s'
    done = run_python(OPEN_IT, str(outputs), asked, BROWSER=browser)
    assert done.splitlines() == [str(outputs / "index.html"), "[]"]
    if asked == "open":
        assert (tmp_path / "opened").read_text(encoding="utf-8") == (outputs / "index.html").as_uri()
    else:
        assert not (tmp_path / "opened").exists()


OFFER_IT = """
import sys
from pathlib import Path
from mnist_lab.terminal.lab import Lab
from mnist_lab.terminal.console import Terminal, make_console
from mnist_lab.training.folder_commands import tell_result
folder = Path(sys.argv[1])
lab = Lab(Terminal(make_console(), lambda: sys.argv[2]), folder.parent, main.load)
tell_result(lab, folder, ["This was found."], offer_page=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a screen")
@pytest.mark.parametrize("answer", ["y", "n"])
def test_after_an_experiment_the_menu_offers_its_page(outputs: Path, tmp_path: Path, answer: str) -> None:
    """A screen and a viewer are pretended, so that it is the same everywhere; what opens is a real process."""
    viewer = tmp_path / "xdg-open"
    viewer.write_text("#!/bin/sh\n", "utf-8")
    viewer.chmod(0o755)
    browser = tmp_path / "browser.py"
    browser.write_text("import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])", "utf-8")
    command = f'"{sys.executable}" "{browser}" "{tmp_path / "opened"}" %s'
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    folder = next(folder for folder in outputs.iterdir() if (folder / "report.html").exists())
    done = run_python(OFFER_IT, str(folder), answer, BROWSER=command, PATH=path, DISPLAY=":99")
    lines = done.splitlines()
    assert lines[0] == "This was found."
    assert str(folder) in lines
    assert "Open it in the browser (y/n) [n]:" in done
    assert (tmp_path / "opened").exists() == (answer == "y")
    if answer == "y":
        assert (tmp_path / "opened").read_text(encoding="utf-8") == (folder / "report.html").as_uri()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a browser")
def test_a_machine_without_a_browser_is_no_error(outputs: Path) -> None:
    done = run_python(OPEN_IT, str(outputs), "open", BROWSER="", PATH="/nowhere", DISPLAY="", WAYLAND_DISPLAY="")
    assert "no browser could be opened here" in done


def run_python(code: str, *arguments: str, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=Path(__file__).parents[2],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    ).stdout


def test_reports_are_written_without_torch(trained: Path) -> None:
    code = """
import sys
from pathlib import Path
from mnist_lab.training.page import run_report
from mnist_lab.report.document import render
from mnist_lab.training.runs import read_run
print(len(render(run_report(read_run(Path(sys.argv[1]))))))
print(sorted({"torch", "numpy", "matplotlib", "PIL", "scipy"} & set(sys.modules)))
"""
    length, loaded = run_python(code, str(trained)).splitlines()
    assert int(length) > 100_000
    assert loaded == "[]"


def test_importing_the_action_loads_no_templates() -> None:
    code = (
        "import sys, mnist_lab.training.folder_commands; print({'jinja2', 'mnist_lab.report.index'} & set(sys.modules))"
    )
    assert run_python(code) == "set()\n"


# ------------------------------------------------------------------------------------------------ a real browser

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
        import fcntl

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


def unavailable(what: str) -> None:
    """On a desk, a missing tool skips the tests that need it; where everything is installed, it is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")


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
    if sys.platform == "win32":
        pytest.skip("the browser is driven through pipes that Windows does not have")
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
def pages(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run's report, an experiment's, one that uses everything there is, and an index."""
    outputs = tmp_path_factory.mktemp("pages") / "out puts #1"
    run = Path(shutil.copytree(trained, outputs / trained.name))
    hostile = fill(outputs, "2026-11-22_11-00-00_experiment-<b>", results={"title": VISIBLE, "verdicts": [VISIBLE]})
    (hostile / "a #%41.png").write_bytes(drawn())
    fill(outputs, "2026-11-22_12-00-00_xray-photo", "xray.png")
    fill(outputs, "2026-11-22_12-00-00_compare")
    twice = {name: {0: read_run(run)} for name in ("1-layer", "2-layer")}
    study = study_experiment(
        EXPERIMENTS["depth"], twice, outputs, NOON, command="experiment depth", prediction="2-layer > 1-layer by 1"
    )
    experiment = write_study(outputs, study)
    return {
        "experiment": experiment / REPORT_FILE,
        "run": write_report(run, run_report(read_run(run))),
        "everything": write_report(hostile, rich_report("Words that are " + "long " * 12 + "w" * 80)),
        "index": write_index(outputs, NOON),
    }


PAGES = pytest.mark.parametrize("name", ["run", "experiment", "everything", "index"])


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


@pytest.mark.parametrize("name", ["run", "experiment", "everything"])
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
    assert browser.value(shown) == ["card run"]
    press(browser, "ArrowRight")
    assert browser.value(shown) == ["card experiment"] * 2
    browser.value("document.querySelector('#show-all').parentElement.click()")
    assert len(browser.value(shown)) == 5


def press(browser: Browser, key: str) -> None:
    code = {"Tab": 9, "ArrowRight": 39}[key]
    for kind in ("rawKeyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)
