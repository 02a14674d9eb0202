"""Pages: parsed, fed with hostile words and damaged pictures."""

from __future__ import annotations

import base64
import io
import itertools
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mnist_lab.errors import StorageError
from mnist_lab.report.document import (
    Picture,
    Report,
    Section,
    Table,
    inside,
    number,
    read_object,
    read_picture,
    render,
    text,
    write_report,
)
from mnist_lab.terminal.console import make_console
from tests.pages import HOSTILE, NOON, VISIBLE, drawn, parse, rich_report


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


def test_names_and_p_values_stay_on_one_line_but_commands_can_be_copied() -> None:
    table = Table("Title", ("", "1-layer"), [("1-layer", "p = 0.01")])
    html = render(Report("Title", "Kind", NOON, sections=[Section("", tables=[table])], repeat="train 1-layer"))
    assert html.count(">1\u2011layer</th>") == 2
    assert ">p\u00a0=\u00a00.01</td>" in html
    assert "train 1-layer</code>" in html


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
    for length in (0, 7, 8, 20, 40, len(png) // 2, len(png) - 12):
        with pytest.raises(ValueError, match="PNG"):
            Picture("cut", png[:length], "cut")
    for place in (3, 20, len(png) // 2):
        altered = png[:place] + bytes([png[place] ^ 1]) + png[place + 1 :]
        with pytest.raises(ValueError, match="PNG"):
            Picture("altered", altered, "altered")


def animation(frames: int = 3, size: tuple[int, int] = (40, 30)) -> bytes:
    content = io.BytesIO()
    first, *others = [Image.new("RGB", size, (80 * number % 256, 0, 0)) for number in range(frames)]
    first.save(content, "WEBP", save_all=True, append_images=others, duration=100, lossless=True)
    return content.getvalue()


def test_an_animation_has_its_last_frame_as_a_still() -> None:
    picture = Picture("film", animation(), "film")
    assert (picture.suffix, picture.size) == (".webp", (40, 30))
    assert picture.uri.startswith("data:image/webp;base64,")
    kind, content = picture.still.split(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as still:
        assert still.convert("RGB").getpixel((20, 15)) == (160, 0, 0)
    assert Picture("figure", drawn(), "figure").still == ""


def test_a_damaged_or_endless_animation_is_refused() -> None:
    whole = animation()
    for length in (12, 40, len(whole) // 2, len(whole) - 8):
        with pytest.raises(ValueError, match="WebP"):
            Picture("cut", whole[:length], "cut")
    with pytest.raises(ValueError, match="51 x 1000 x 1000 pixels"):
        Picture("long", animation(51, (1000, 1000)), "long")


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = write_report(tmp_path, rich_report())
    assert path == tmp_path / "report.html"
    assert path.read_text(encoding="utf-8") == render(rich_report())
    with pytest.raises(StorageError):
        write_report(tmp_path / "nowhere", rich_report())
    assert [child.name for child in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize("picture_format", ["JPEG", "GIF", "BMP"])
def test_only_png_and_webp_pictures_are_taken(tmp_path: Path, picture_format: str) -> None:
    Image.new("L", (28, 28)).save(tmp_path / "drawing.png", picture_format)
    assert read_picture(tmp_path, "drawing.png") is None


@pytest.mark.parametrize("pillows_bound", [None, 1_000_000_000, 90_000_000, 10_000_000])  # drawing/images.py sets one
def test_a_picture_that_would_fill_the_memory_is_refused_without_a_word(
    tmp_path: Path, pillows_bound: int | None, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    Image.new("1", (10_000, 10_000)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillows_bound)
    assert read_picture(tmp_path, "bomb.png") is None
    assert not recwarn.list


def test_a_table_is_the_same_on_the_terminal() -> None:
    shown = io.StringIO()
    table = Table("Of\x1b[2J digits", ("digit", "how [red]many"), [("7", "1,028"), ("[b]8", "9\u202e")], numeric=(1,))
    make_console(file=shown, width=60).print(table.on_screen())
    lines = [line.rstrip() for line in shown.getvalue().splitlines()]
    assert lines == ["Of?[2J digits", "digit  how [red]many", "7              1,028", "[b]8              9?"]


@pytest.mark.parametrize(
    ("value", "as_number", "as_text"),
    [
        (7, 7.0, "7"),
        (0.5, 0.5, "0.5"),
        ("seven", None, "seven"),
        *((value, None, "–") for value in (None, True, float("nan"), float("inf"), 10**400, [7], {"a": 7})),
    ],
)
def test_of_values_in_files_only_the_right_kind_is_taken(value: Any, as_number: float | None, as_text: str) -> None:
    assert number(value) == as_number
    assert text(value) == as_text
    assert inside({"a": {"b": value}}, "a", "b") is value
    assert inside({"a": value}, "a", "c", "d") is None


@pytest.mark.parametrize("content", ["", "{", "[1]", "7", "[" * 100_000, '{"a": \xff}'])
def test_a_file_without_a_json_object_holds_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "results.json"
    assert read_object(path) == {}
    path.write_bytes(content.encode("latin-1"))
    assert read_object(path) == {}
