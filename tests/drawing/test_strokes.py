"""Drawings: their format and its limits, hostile files, lines on the canvas, and undo."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnist_lab.drawing import strokes
from mnist_lab.drawing.strokes import (
    CANVAS,
    MAX_FILE_BYTES,
    MAX_POINTS,
    Drawing,
    DrawingError,
    Sketch,
    Stroke,
    read_drawings,
    visible,
)


def arc(x: float, y: float, rx: float, ry: float, start: float, end: float) -> Stroke:
    """A part of an ellipse about (x, y), angles in degrees, 0 to the right and 90 downwards."""
    angles = np.deg2rad(np.linspace(start, end, 24))
    return tuple((x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in angles)


BY_HAND: dict[int, tuple[Stroke, ...]] = {
    0: (arc(140, 140, 60, 90, -90, 270),),
    1: (((150, 50), (130, 230)),),
    2: ((*arc(140, 95, 50, 45, -170, 40), (80, 225), (210, 225)),),
    3: ((*arc(135, 90, 50, 45, -150, 90), *arc(135, 185, 55, 50, -90, 150)),),
    4: (((90, 60), (80, 150), (195, 140)), ((180, 60), (165, 230))),
    5: (((195, 55), (110, 55), (100, 130), *arc(130, 175, 55, 50, -110, 140)),),
    6: (((170, 45), (110, 120), *arc(140, 180, 50, 48, -160, 200)),),
    7: (((75, 60), (200, 60), (125, 235)),),
    8: (arc(142, 95, 42, 42, 90, 450), arc(138, 185, 50, 48, -90, 270)),
    9: ((*arc(140, 100, 45, 45, 0, -360), (180, 130), (165, 235)),),
}


def by_hand(digit: int, scale: float = 1.0, dx: float = 0.0, dy: float = 0.0) -> Drawing:
    """A digit scaled about the canvas's middle, then shifted."""
    half = CANVAS / 2
    return Drawing(
        tuple(
            tuple((half + scale * (x - half) + dx, half + scale * (y - half) + dy) for x, y in stroke)
            for stroke in BY_HAND[digit]
        ),
        digit,
    )


# --- the format --------------------------------------------------------------------------------------------------


def test_a_drawing_survives_its_json() -> None:
    drawing = Drawing((((0.1, 1 / 3), (279.9, 5.0)), ((3.0, 4.0),)), 7)
    text = drawing.to_json()
    assert "\n" not in text
    assert json.loads(text) == {"label": 7, "strokes": [[[0.1, 1 / 3], [279.9, 5.0]], [[3.0, 4.0]]]}
    assert Drawing.from_json(text) == drawing
    assert Drawing.from_json(Drawing().to_json()) == Drawing((), None)
    other = '{"strokes": [[], [[1, 2]], []], "source": "aga", "label": null}'
    assert Drawing.from_json(other) == Drawing((((1.0, 2.0),),), None)


STROKES = {  # what is said of what stands for the list of strokes
    "not JSON": ["[[[1, 2]", f"[[[1, 1{'0' * 5000}]]]"],
    '"strokes" is missing': ["null", "[5]", '{"0": [[1, 2]]}'],
    "is not a point": ["[[1]]", "[[[1]]]", "[[[1, 2, 3]]]", '[[[1, "2"]]]', "[[[1, true]]]", "[[[[1], {}]]]"],
    "more than 10,000 pixels": [
        "[[[NaN, 2]]]",
        "[[[1, -Infinity]]]",
        "[[[1e999, 2]]]",
        "[[[1, -10001]]]",
        f"[[[1, 1{'0' * 400}]]]",
    ],
}
REFUSED = {found: [f'{{"strokes": {value}}}' for value in values] for found, values in STROKES.items()} | {
    "is not a digit": [f'{{"strokes": [], "label": {x}}}' for x in ("10", "-1", '"3"', "3.0", "true", "[[3]]")],
    "nested too deeply": ["[" * 50_000],
    "a drawing is an object": ["[[[1, 2]]]", "7", "null"],
}


@pytest.mark.parametrize("found", REFUSED)
def test_anything_else_is_refused_in_one_short_line(found: str) -> None:
    for text in REFUSED[found]:
        with pytest.raises(DrawingError) as caught:
            Drawing.from_json(text)
        assert found in caught.value.found, text[:50]
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 250


def test_lines_too_long_to_ink_are_neither_read_nor_written() -> None:
    across = ((0.0, 0.0), (280.0, 0.0))
    fine = Drawing((across * 35,))  # 70 points, 19,320 pixels
    assert Drawing.from_json(fine.to_json()) == fine
    far_away = Drawing((((-5000.0, -5000.0), (-5000.0, 5000.0)) * 1000,))  # what is not seen takes no ink
    assert Drawing.from_json(far_away.to_json()) == far_away
    too_long = across * 36 + across[:1]
    with pytest.raises(DrawingError, match="lines are 20,160 pixels long on the canvas, more than 20,000"):
        Drawing.from_json(json.dumps({"strokes": [too_long]}))
    with pytest.raises(DrawingError, match="20,160 pixels long"):
        Drawing((too_long,)).to_json()
    with pytest.raises(DrawingError, match="100,001 points, more than 100,000"):
        Drawing.from_json('{"strokes": [[' + ",".join(["[1,2]"] * (MAX_POINTS + 1)) + "]]}")


def test_the_visible_parts_of_lines_are_what_lies_on_the_canvas() -> None:
    random = np.random.default_rng(0)
    lines = random.uniform(-200, 480, (200, 4)).astype(np.float32)
    lines[0] = (-50, 300, 300, 300)  # along an edge, outside
    lines[1] = (-50, 100, 330, 100)
    places = np.linspace(0, 1, 2001)[:, None, None]
    points = lines[:, :2] + places * (lines[:, 2:] - lines[:, :2])  # (2001, 200, 2)
    on_canvas = ((points >= 0) & (points <= CANVAS)).all(axis=2).mean(axis=0)  # (200,)
    expected = on_canvas * np.hypot(*(lines[:, 2:] - lines[:, :2]).T)
    found = visible(lines)
    assert found.min() >= -1e-3
    assert found.max() <= CANVAS + 1e-3
    assert np.hypot(*(found[:, 2:] - found[:, :2]).T).sum() == pytest.approx(expected.sum(), rel=2e-3)


# --- files -------------------------------------------------------------------------------------------------------


def test_a_file_of_drawings_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    drawings = [by_hand(digit) for digit in range(10)]
    text = "\r\n\r\n".join(drawing.to_json() for drawing in drawings)
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())  # as a Windows editor may leave it
    assert read_drawings(path) == (drawings, [])


BAD_LINES = {
    "not JSON": b'{"strokes": [[[1, 2], [3',
    "the label 11": b'{"strokes": [], "label": 11}',
    "not UTF-8": b'{"strokes": [[["\xff", 2]]]}',
    "more than 1,000 bytes": b"[" * 3_500,
}


@pytest.mark.parametrize("found", BAD_LINES)
def test_a_bad_line_is_named_and_the_others_stay(found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strokes, "MAX_LINE_BYTES", 1_000)
    path = tmp_path / "many.jsonl"
    path.write_bytes(b'{"strokes": [], "label": 1}\n\n' + BAD_LINES[found] + b'\n{"strokes": [], "label": 2}\nnone')
    drawings, damaged = read_drawings(path)
    assert [drawing.label for drawing in drawings] == [1, 2]
    assert [error.found.split(":")[0] for error in damaged] == [f"line 3 of {path}", f"line 5 of {path}"]
    assert found in damaged[0].found
    path.write_bytes(b"\n" + BAD_LINES[found])
    with pytest.raises(DrawingError, match=f"line 2 of .*{found}"):
        read_drawings(path)


def test_files_that_hold_no_drawings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n\n", encoding="utf-8")
    (tmp_path / "else").write_text('{"strokes": []}\n' + "none\n" * 5_000, encoding="utf-8")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    refused = {
        "missing": "there is no file",
        "empty": "holds no drawings",
        "else": r"more than 1,000 damaged lines; line 2 of .*: the text is not JSON",
        "huge": "more than 100,000,000",
        ".": "is a folder, not a file",
        "nu\0ll": "can't be read",
    }
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        refused |= {"pipe": "is not a regular file", "/dev/zero": "is not a regular file"}  # instead of reading on
    for name, found in refused.items():
        with pytest.raises(DrawingError, match=found):
            read_drawings(tmp_path / name)


# --- undo and redo -----------------------------------------------------------------------------------------------


def play(sketch: Sketch, events: str) -> list[Any]:
    """Draw a dot for each letter (as wide as its place in the alphabet), undo for <, redo for >, clear for 0."""
    for event in events:
        match event:
            case "<":
                sketch.undo()
            case ">":
                sketch.redo()
            case "0":
                sketch.clear()
            case _:
                sketch.begin(ord(event), 0)
                sketch.end()
    return [chr(int(stroke[0][0])) for stroke in sketch.strokes]


@pytest.mark.parametrize(
    ("events", "left"),
    [
        ("ab", "ab"), ("ab<", "a"), ("ab<<<", ""), ("ab<<>", "a"), ("ab<<>>>", "ab"),
        ("ab<c>", "ac"), ("ab0", ""), ("ab0<", "ab"), ("ab0<>", ""), ("0<", ""), ("a<0>", "a"), ("ab0c<<", "ab"),
    ],
)  # fmt: skip
def test_undo_and_redo_go_by_whole_strokes_and_clearing_is_one_step(events: str, left: str) -> None:
    sketch = Sketch()
    assert play(sketch, events) == list(left)
    could_undo = sketch.can_undo
    assert could_undo == (play(sketch, "<") != list(left))


def test_a_stroke_is_seen_while_it_grows_and_ends_whatever_comes() -> None:
    sketch = Sketch()
    sketch.begin(7, 7)
    sketch.end()
    sketch.extend(1, 1)  # the pen came down outside
    sketch.begin(1, 2)
    sketch.extend(3, 4)
    sketch.extend(3, 4)  # the pen rests
    assert sketch.drawing() == Drawing((((7, 7),), ((1, 2), (3, 4))))
    sketch.begin(9, 9)  # the pen's way up was missed
    assert sketch.can_undo
    sketch.undo()  # takes the stroke that is still being drawn
    sketch.extend(2, 2)
    assert sketch.strokes == (((7, 7),), ((1, 2), (3, 4)))
    assert sketch.can_redo
    for _ in range(2):
        assert sketch.can_undo
        sketch.undo()
    assert not sketch.can_undo


def test_a_sketch_stays_within_what_a_file_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strokes, "MAX_POINTS", 1_000)
    sketch = Sketch()
    sketch.begin(0, 0)
    for number in range(1, 998):
        sketch.extend(number % 7 / 100, 0)
    for stroke in (((1, 1), (2, 2), (3, 3)), ((4, 4),)):
        sketch.begin(*stroke[0])
        for point in stroke[1:]:
            sketch.extend(*point)
        sketch.end()
    assert sketch.is_full
    assert sketch.strokes[1:] == (((1, 1), (2, 2)),)
    assert Drawing.from_json(sketch.drawing().to_json()) == sketch.drawing()
    scribble = Sketch()
    for number in range(100):
        scribble.begin(0, number)
        scribble.extend(280, 280)
        scribble.extend(0, 280)
        scribble.end()
    assert scribble.is_full
    assert Drawing.from_json(scribble.drawing().to_json()) == scribble.drawing()
    for _ in range(5):
        scribble.undo()
    assert not scribble.is_full
