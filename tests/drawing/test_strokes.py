"""From pen to 28x28: the format, undo, the ink against brute force, and every step against MNIST itself."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from mnist_lab.data.mnist import Digits, Mnist
from mnist_lab.data.pixels import normalise
from mnist_lab.drawing.preprocess import (
    FINEST,
    MODES,
    PEN,
    STEP_NAMES,
    Picture,
    Steps,
    centre,
    centre_of_mass,
    crop,
    fit_box,
    in_the_middle,
    ink,
    invert,
    pen_width,
    prepare,
    resample,
    squeeze,
    to_mnist,
    unnormalised,
)
from mnist_lab.drawing.strokes import (
    CANVAS,
    MAX_FILE_BYTES,
    MAX_LINE_BYTES,
    MAX_POINTS,
    Drawing,
    DrawingError,
    Sketch,
    Stroke,
    read_drawings,
)

# --- drawings made by hand ---------------------------------------------------------------------------------------


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


def line(*points: tuple[float, float]) -> Drawing:
    return Drawing((points,))


def light(drawing: Drawing, brush: float) -> NDArray[np.float64]:
    """How much of each pixel is inked, 0 to 1."""
    return (255 - ink(drawing, brush).astype(np.float64)) / 255


# --- the format --------------------------------------------------------------------------------------------------


def test_a_drawing_survives_its_json() -> None:
    drawing = Drawing((((0.1, 1 / 3), (279.9, 5.0)), ((3.0, 4.0),)), 7)
    text = drawing.to_json()
    assert "\n" not in text
    assert json.loads(text) == {"label": 7, "strokes": [[[0.1, 1 / 3], [279.9, 5.0]], [[3.0, 4.0]]]}
    assert Drawing.from_json(text) == drawing
    assert Drawing.from_json(Drawing().to_json()) == Drawing((), None)


def test_other_keys_and_empty_strokes_are_passed_over() -> None:
    text = '{"strokes": [[], [[1, 2]], []], "source": "aga", "label": null}'
    assert Drawing.from_json(text) == Drawing((((1.0, 2.0),),), None)
    assert Drawing.from_json('{"strokes": []}') == Drawing()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "not JSON"),
        ('{"strokes": [[[1, 2]', "not JSON"),
        ("[" * 50_000, "nested too deeply"),
        ("[[[1, 2]]]", "a drawing is an object"),
        ("{}", '"strokes" is missing'),
        ('{"strokes": null}', '"strokes" is missing'),
        ('{"strokes": [5]}', '"strokes" is missing or not a list of lists'),
        ('{"strokes": [[1, 2]]}', "1 is not a point of two numbers"),
        ('{"strokes": [[[1, 2, 3]]]}', "[1, 2, 3] is not a point"),
        ('{"strokes": [[[1, "2"]]]}', '[1, "2"] is not a point'),
        ('{"strokes": [[[1, true]]]}', "[1, true] is not a point"),
        ('{"strokes": [[[[1], {}]]]}', "a list of lists or objects is not a point"),
        ('{"strokes": [[[NaN, 2]]]}', "NaN is not a number"),
        ('{"strokes": [[[-Infinity, 2]]]}', "-Infinity is not a number"),
        ('{"strokes": [[[1e999, 2]]]}', "more than 10,000 pixels"),
        ('{"strokes": [[[1, -10001]]]}', "[1, -10001] is more than 10,000 pixels"),
        ('{"strokes": [[[1, 1' + "0" * 400 + "]]]}", "more than 10,000 pixels"),
        ('{"strokes": [[[1, 1' + "0" * 5000 + "]]]}", "not JSON"),
        ('{"strokes": [], "label": 10}', "the label 10 is no digit"),
        ('{"strokes": [], "label": -1}', "the label -1 is no digit"),
        ('{"strokes": [], "label": "3"}', 'the label "3" is no digit'),
        ('{"strokes": [], "label": 3.0}', "the label 3.0 is no digit"),
        ('{"strokes": [], "label": true}', "the label true is no digit"),
        ('{"strokes": [], "label": [[3]]}', "the label a list of lists or objects"),
    ],
)
def test_anything_else_is_refused_in_one_short_line(text: str, found: str) -> None:
    with pytest.raises(DrawingError) as caught:
        Drawing.from_json(text)
    assert found in caught.value.found
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_a_million_points_are_refused() -> None:
    text = '{"strokes": [[' + ",".join(["[1,2]"] * 1_000_000) + "]]}"
    with pytest.raises(DrawingError, match="1,000,000 points, more than 100,000"):
        Drawing.from_json(text)


def test_a_file_of_drawings_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    drawings = [by_hand(digit) for digit in range(10)]
    lines = [drawing.to_json() for drawing in drawings]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n\r\n".join(lines).encode())  # as a Windows editor may leave it
    assert read_drawings(path) == (drawings, [])


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (b'{"strokes": [[[1, 2], [3', "line 3 of"),
        (b'{"strokes": [], "label": 11}', "the label 11"),
        (b'{"strokes": [[["\xff", 2]]]}', "not UTF-8"),
        (b"[" * (3 * MAX_LINE_BYTES), "5,000,000 bytes"),
    ],
    ids=["broken", "label", "encoding", "long"],
)
def test_a_bad_line_is_named_and_the_others_stay(tmp_path: Path, bad: bytes, found: str) -> None:
    path = tmp_path / "many.jsonl"
    path.write_bytes(b'{"strokes": [], "label": 1}\n\n' + bad + b'\n{"strokes": [], "label": 2}\nnone')
    drawings, damaged = read_drawings(path)
    assert [drawing.label for drawing in drawings] == [1, 2]
    assert [error.found.split(" of ")[0] for error in damaged] == ["line 3", "line 5"]
    assert str(path) in damaged[0].found
    assert found in damaged[0].found
    path.write_bytes(b"\n" + bad)
    with pytest.raises(DrawingError, match=f"line 2 of .*{found.removeprefix('line 3 of')}"):
        read_drawings(path)


def test_a_file_of_something_else_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_text('{"strokes": []}\n' + "none\n" * 5_000, encoding="utf-8")
    with pytest.raises(DrawingError, match=r"more than 1,000 damaged lines; line 2 of .*: the text is not JSON"):
        read_drawings(path)


def test_lines_too_long_to_ink_are_neither_read_nor_written() -> None:
    across = ((0.0, 0.0), (280.0, 0.0))
    fine = Drawing((across * 35,))  # 70 points, 19,320 pixels
    assert Drawing.from_json(fine.to_json()) == fine
    far_away = Drawing((((-5000.0, -5000.0), (-5000.0, 5000.0)) * 1000,))  # what is not seen takes no ink
    assert Drawing.from_json(far_away.to_json()) == far_away
    text = json.dumps({"strokes": [across * 36 + across[:1]]})
    with pytest.raises(DrawingError, match="lines are 20,160 pixels long on the canvas, more than 20,000"):
        Drawing.from_json(text)
    with pytest.raises(DrawingError, match="20,160 pixels long"):
        Drawing((across * 36 + across[:1],)).to_json()


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n\n", encoding="utf-8")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    for name, found in {
        "missing": "there is no file",
        "empty": "holds no drawings",
        "huge": "more than 100,000,000",
        ".": "is a folder, not a file",
        "nu\0ll": "can't be read",
    }.items():
        with pytest.raises(DrawingError, match=found):
            read_drawings(tmp_path / name)


# --- undo and redo -----------------------------------------------------------------------------------------------


def stroke(sketch: Sketch, *points: tuple[float, float]) -> None:
    sketch.begin(*points[0])
    for point in points[1:]:
        sketch.extend(*point)
    sketch.end()


def test_strokes_grow_and_are_undone_one_by_one() -> None:
    sketch = Sketch()
    assert sketch.drawing() == Drawing()
    assert not sketch.can_undo
    sketch.begin(1, 2)
    sketch.extend(3, 4)
    assert sketch.drawing(5) == Drawing((((1, 2), (3, 4)),), 5)  # seen while the pen is down
    sketch.extend(3, 4)  # the pen rests
    sketch.end()
    stroke(sketch, (9, 9))
    both = (((1, 2), (3, 4)), ((9, 9),))
    assert sketch.drawing().strokes == both
    sketch.undo()
    assert sketch.drawing().strokes == both[:1]
    sketch.undo()
    sketch.undo()  # one more than there is
    assert sketch.drawing() == Drawing()
    assert not sketch.can_undo
    sketch.redo()
    sketch.redo()
    sketch.redo()
    assert sketch.drawing().strokes == both
    assert not sketch.can_redo


def test_a_new_stroke_ends_what_could_be_redone() -> None:
    sketch = Sketch()
    stroke(sketch, (1, 1))
    stroke(sketch, (2, 2))
    sketch.undo()
    stroke(sketch, (3, 3))
    assert not sketch.can_redo
    sketch.redo()
    assert sketch.drawing().strokes == (((1, 1),), ((3, 3),))


def test_clearing_is_one_step_and_can_be_undone() -> None:
    sketch = Sketch()
    sketch.clear()
    assert not sketch.can_undo  # nothing there, nothing done
    stroke(sketch, (1, 1))
    stroke(sketch, (2, 2))
    sketch.clear()
    assert sketch.drawing() == Drawing()
    sketch.undo()
    assert sketch.drawing().strokes == (((1, 1),), ((2, 2),))
    sketch.redo()
    assert sketch.drawing() == Drawing()


def test_undo_while_the_pen_is_down_takes_that_stroke() -> None:
    sketch = Sketch((((7, 7),),))
    sketch.begin(1, 1)
    assert sketch.can_undo
    sketch.undo()
    sketch.extend(2, 2)  # the pen is still down, but its stroke is gone
    assert sketch.drawing().strokes == (((7, 7),),)
    assert not sketch.can_undo


def test_events_out_of_order_do_no_harm() -> None:
    sketch = Sketch()
    sketch.extend(1, 1)
    sketch.end()
    assert sketch.drawing() == Drawing()
    sketch.begin(1, 1)
    sketch.begin(2, 2)  # the pen's way up was missed
    sketch.end()
    sketch.end()
    assert sketch.drawing().strokes == (((1, 1),), ((2, 2),))


def test_a_sketch_stays_within_what_a_file_may_hold() -> None:
    sketch = Sketch((tuple((i % 7 / 100, 0.0) for i in range(MAX_POINTS - 2)),))
    stroke(sketch, (1, 1), (2, 2), (3, 3))
    stroke(sketch, (4, 4))
    assert sketch.is_full
    assert sketch.strokes[1:] == (((1, 1), (2, 2)),)
    assert Drawing.from_json(sketch.drawing().to_json()) == sketch.drawing()
    scribble = Sketch()
    for _ in range(100):
        stroke(scribble, (0, 0), (280, 280), (0, 280))
    assert scribble.is_full
    assert Drawing.from_json(scribble.drawing().to_json()) == scribble.drawing()
    for _ in range(5):
        scribble.undo()
    assert not scribble.is_full


# --- ink ---------------------------------------------------------------------------------------------------------


def supersampled(drawing: Drawing, brush: float, fine: int = 8) -> NDArray[np.float64]:
    """The oracle: of fine x fine points in each pixel, the share that lies within half a brush of a line."""
    middles = (np.arange(CANVAS * fine) + 0.5) / fine
    x, y = np.meshgrid(middles, middles)
    inside = np.zeros_like(x, dtype=bool)
    for points in drawing.strokes:
        for start, end in zip(points, points[1:] or points, strict=False):
            a, b = complex(*start), complex(*end)
            along = (x + 1j * y - a) * (b - a).conjugate()
            share = np.clip(along.real / (abs(b - a) ** 2 or 1), 0, 1)
            inside |= np.abs(x + 1j * y - a - share * (b - a)) <= brush / 2
    shares: NDArray[np.float64] = inside.reshape(CANVAS, fine, CANVAS, fine).mean(axis=(1, 3))
    return shares


@pytest.mark.parametrize("brush", [2.5, 20.0])
def test_ink_agrees_with_supersampling(brush: float) -> None:
    drawing = Drawing((((40.3, 40.7), (200.2, 90.1), (60.6, 250.9)), ((230.25, 230.5),), ((270, 5), (300, 30))))
    found, expected = light(drawing, brush), supersampled(drawing, brush)
    assert found.shape == (280, 280)
    assert found.sum() == pytest.approx(expected.sum(), rel=0.005)
    assert np.abs(found - expected).max() < 0.25  # at corners of two edges; a distance knows only one of them
    assert np.abs(found - expected)[expected > 0].mean() < 0.03


def test_ink_has_the_area_that_geometry_gives_it() -> None:
    brush = 14.0
    disc = math.pi * brush**2 / 4
    assert light(line((100.3, 100.8)), brush).sum() == pytest.approx(disc, rel=0.01)
    joined = line((50, 60), (150, 60), (150, 200))
    caps_and_corner = disc + disc / 4 - brush**2 / 4  # two half discs; outside the corner a quarter disc, no square
    length = 100 + 140
    assert light(joined, brush).sum() == pytest.approx(length * brush + caps_and_corner, rel=0.005)


def test_a_fine_pen_is_paler_but_not_lost() -> None:
    assert light(line((50, 50), (50, 150)), 0.5).sum() == pytest.approx(0.5 * 100, rel=0.05)


def test_ink_follows_the_pen_by_fractions_of_a_pixel() -> None:
    here = ndimage.center_of_mass(light(by_hand(3), 16))
    there = ndimage.center_of_mass(light(by_hand(3, dx=0.3, dy=-0.45), 16))
    assert np.subtract(there, here) == pytest.approx([-0.45, 0.3], abs=0.02)


def test_ink_is_black_on_white_and_the_canvas_starts_white() -> None:
    picture = ink(line((140, 140)))
    assert picture.dtype == np.uint8
    assert (picture[140, 140], picture[0, 0]) == (0, 255)
    assert (ink(Drawing()) == 255).all()


def test_what_leaves_the_canvas_is_cut_off() -> None:
    far = ink(line((-9000, 140.5), (9000, 140.5)))
    near = ink(line((-30, 140.5), (310, 140.5)))
    assert np.array_equal(far, near)
    assert (ink(line((-5000, -5000), (-400, 9000))) == 255).all()


def test_repeated_points_change_nothing() -> None:
    (points,) = BY_HAND[0]
    slow = Drawing((tuple(point for point in points for _ in range(3)),))
    assert np.array_equal(ink(slow), ink(Drawing((points,))))


# --- the steps ---------------------------------------------------------------------------------------------------


def repeated_and_averaged(picture: Picture, height: int, width: int) -> NDArray[np.float64]:
    """Exact means by area: every pixel is split into height x width parts, which are then averaged in blocks."""
    parts = picture.astype(np.float64).repeat(height, axis=0).repeat(width, axis=1)
    means: NDArray[np.float64] = parts.reshape(height, picture.shape[0], width, picture.shape[1]).mean(axis=(1, 3))
    return means


@pytest.mark.parametrize("size", [(280, 280), (37, 91), (20, 13), (7, 3), (1, 1)])
def test_resampling_is_by_area(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    found = resample(picture, 20, 11)
    assert found.shape == (20, 11)
    assert np.abs(found - repeated_and_averaged(picture, 20, 11)).max() <= 0.51  # rounded to whole greys


def test_squeezing_is_what_pillow_calls_reducing() -> None:
    picture = ink(by_hand(8))
    expected = np.asarray(Image.fromarray(picture).reduce(10), dtype=int)
    assert np.abs(squeeze(picture).astype(int) - expected).max() <= 1


def test_crop_keeps_the_ink_and_drops_faint_fringes() -> None:
    picture = np.zeros((50, 60), dtype=np.uint8)
    picture[10:30, 5:15] = 200
    picture[30, 5] = 10
    assert np.array_equal(crop(picture), np.full((20, 10), 200))
    assert crop(np.zeros((5, 5), dtype=np.uint8)).size == 0


@pytest.mark.parametrize(
    ("size", "expected"),
    [((200, 100), (20, 10)), ((33, 99), (20 / 3, 20)), ((300, 2), (20, 2 / 15)), ((5, 5), (20, 20))],
)
def test_the_box_keeps_proportions(size: tuple[int, int], expected: tuple[float, float]) -> None:
    fitted = fit_box(np.full(size, 150, dtype=np.uint8)) / 150
    assert fitted.shape == (20, 20)
    assert fitted.sum() == pytest.approx(expected[0] * expected[1], rel=0.01)  # partly covered pixels are partly grey
    rows, columns = fitted.any(axis=1).sum(), fitted.any(axis=0).sum()
    assert (rows, columns) == tuple(2 * math.ceil(side / 2) for side in expected)
    assert ndimage.center_of_mass(fitted) == pytest.approx([9.5, 9.5], abs=0.01)


def test_centre_of_mass_agrees_with_scipy(small: Digits) -> None:
    for image in small.images[:50, 0].numpy():
        assert centre_of_mass(image) == pytest.approx(ndimage.center_of_mass(image))


def test_centring_leaves_mnist_as_it_is(mnist: Mnist) -> None:
    """MNIST's makers centred every digit; who centres as they did finds nothing to move, and brings it back."""
    images = mnist.test.images[:1000, 0].numpy()
    for image in images:
        row, column = np.argwhere(image).min(axis=0)
        elsewhere = image[row:, column:]  # in the top left corner
        assert np.array_equal(centre(elsewhere), image)


def test_the_box_is_mnists(mnist: Mnist) -> None:
    """MNIST's digits are 20 pixels long, and an even number narrow unless an outer column was too faint to show."""
    even = 0
    for image in mnist.test.images[:300, 0].numpy():
        rows, columns = np.nonzero(image)
        inked = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        height, width = inked.shape
        if height % 2 == width % 2 == 0:
            even += 1
            top, left = (20 - height) // 2, (20 - width) // 2
            assert np.array_equal(fit_box(inked)[top : 20 - top, left : 20 - left], inked)
    assert even > 200


def test_a_lopsided_shape_is_not_cut_off() -> None:
    picture = np.zeros((20, 20), dtype=np.uint8)
    picture[:, 0] = 255
    picture[19, :] = 60
    picture[0, 0:2] = 255
    centred = centre(picture)
    assert centred.sum() == picture.sum()
    assert centred[:, :8].sum() == 0  # moved right as far as its foot reaches the edge


def test_without_centring_the_box_lies_in_the_middle() -> None:
    placed = in_the_middle(np.full((20, 9), 5, dtype=np.uint8))
    assert np.argwhere(placed).min(axis=0).tolist() == [4, 9]
    assert placed.sum() == 20 * 9 * 5


# --- stroke width ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.2, 0.5, 1.0, 1.3])
def test_a_line_comes_out_as_wide_as_the_pen_at_any_size(scale: float) -> None:
    drawing = by_hand(1, scale)
    upright = Drawing((tuple((140.0, y) for _, y in drawing.strokes[0]),))
    picture = to_mnist(upright)
    assert picture is not None
    rows = picture.sum(axis=1) / 255  # the line's width in each row
    assert np.count_nonzero(rows) == 20
    assert rows[8:20] == pytest.approx(PEN, rel=0.06)
    assert pen_width(by_hand(3, 0.4)) == pytest.approx(0.4 * pen_width(by_hand(3)), rel=1e-5)


def stroke_width(picture: Picture) -> float:
    """Four times the mean distance to the edge, which is a quarter of a long line's width; in pixels."""
    enlarged = ndimage.zoom(picture.astype(np.float32), 8, order=1, grid_mode=True, mode="grid-constant")
    inside = enlarged >= 128
    distance: NDArray[np.float64] = ndimage.distance_transform_edt(inside)
    return float(4 * (distance[inside] - 0.5).mean() / 8)


def stroke_widths(pictures: list[Picture | None]) -> list[float]:
    return [stroke_width(picture) for picture in pictures if picture is not None]


@pytest.mark.parametrize("scale", [0.3, 1.3])
def test_lines_are_as_wide_as_mnists(small: Digits, scale: float) -> None:
    thin, thick = np.percentile(stroke_widths(list(small.images[:200, 0].numpy())), [25, 75])
    drawings = [by_hand(digit, scale) for digit in range(10)]
    widths = stroke_widths([to_mnist(drawing) for drawing in drawings])
    as_drawn = stroke_widths([to_mnist(drawing, Steps().without("pen")) for drawing in drawings])
    assert thin < np.median(widths) < thick
    assert not thin < np.median(as_drawn) < thick  # one brush can't be right for small and large digits


def test_the_pen_is_chosen_by_what_can_be_seen() -> None:
    seen = line((40, 140), (140, 240), (280, 100))
    leaves = line((40, 140), (140, 240), (280, 100), (2000, -1620))
    assert pen_width(leaves) == pytest.approx(pen_width(seen), rel=1e-4)
    assert pen_width(line((-50, 300), (300, 300))) == FINEST  # nothing of it can be seen
    assert pen_width(Drawing()) == FINEST
    assert pen_width(line((140, 140))) == FINEST


# --- all of it ---------------------------------------------------------------------------------------------------


def test_every_stage_has_its_picture() -> None:
    stages = prepare(by_hand(2), brush=12)
    assert stages is not None
    names = ["raw", "pen", "inverted", "cropped", "20-pixel box", "centred", "normalised"]
    assert [stage.name for stage in stages] == names
    raw, pen, inverted, cropped, box, centred, normalised = (stage.picture for stage in stages)
    assert np.array_equal(raw, ink(by_hand(2), 12))
    assert np.array_equal(inverted, 255 - pen)
    assert cropped.sum() == pytest.approx(inverted.sum(), rel=0.01)
    assert box.shape == (20, 20)
    assert centred.shape == (28, 28)
    assert centred.sum() == box.sum()
    assert ndimage.center_of_mass(centred) == pytest.approx([14, 14], abs=0.5)
    assert np.array_equal(normalised, centred)  # every network normalises at its door: the look stays
    assert all(stage.picture.dtype == np.uint8 for stage in stages)


def test_without_normalising_a_network_gets_the_picture_as_0_to_1() -> None:
    picture = np.arange(256, dtype=np.uint8).reshape(16, 16)
    arrives = normalise(unnormalised(picture) / 255)  # what the network's door makes of it
    assert arrives == pytest.approx(picture / 255, abs=0.0064)


@pytest.mark.parametrize("name", STEP_NAMES)
def test_each_step_can_be_switched_off(name: str) -> None:
    drawing = by_hand(5, 0.5, dx=40)
    all_steps, others = prepare(drawing), prepare(drawing, Steps().without(name))
    assert all_steps is not None
    assert others is not None
    assert others[-1].picture.shape == (28, 28)
    assert not np.array_equal(others[-1].picture, all_steps[-1].picture)
    gone = {"pen": "pen", "invert": "inverted", "crop": "cropped", "box": "20-pixel box", "centre": "centred"}
    gone |= {"normalise": "normalised"}
    assert gone[name] not in [stage.name for stage in others]


def test_without_inversion_the_steps_do_the_same_in_black() -> None:
    all_steps, negative = prepare(by_hand(6)), prepare(by_hand(6), Steps().without("invert"))
    assert all_steps is not None
    assert negative is not None
    assert np.array_equal(negative[-1].picture, 255 - all_steps[-1].picture)
    assert np.array_equal(negative[-2].picture, 255 - all_steps[-2].picture)


@pytest.mark.parametrize("mode", list(MODES))
def test_the_network_sees_the_last_stage(mode: str) -> None:
    drawing = by_hand(4)
    stages = prepare(drawing, MODES[mode], brush=17)
    final = to_mnist(drawing, MODES[mode], brush=17)
    assert stages is not None
    assert final is not None
    assert np.array_equal(final, stages[-1].picture)
    squeezed = squeeze(ink(drawing, 17))
    if mode == "raw":
        assert np.array_equal(final, squeezed)
    if mode == "inverted":
        assert np.abs(final.astype(int) - (255 - squeezed.astype(int))).max() <= 1


@pytest.mark.parametrize("steps", MODES.values(), ids=MODES)
@pytest.mark.parametrize("strokes", [(), (((-50, -50), (-90, 400)),)], ids=["blank", "outside"])
def test_no_ink_gives_nothing(strokes: tuple[Stroke, ...], steps: Steps) -> None:
    assert prepare(Drawing(strokes), steps) is None
    assert to_mnist(Drawing(strokes), steps) is None


@pytest.mark.parametrize("size", [(0, 0), (1, 1), (500, 300)])
def test_white_paper_gives_nothing(size: tuple[int, int]) -> None:
    assert to_mnist(np.full(size, 255, dtype=np.uint8)) is None


def test_a_dot_becomes_a_spot_in_the_middle() -> None:
    spot = to_mnist(line((20, 250)))
    assert spot is not None
    assert ndimage.center_of_mass(spot) == pytest.approx([14, 14], abs=0.5)
    assert spot.sum() / 255 == pytest.approx(math.pi * 10**2, rel=0.15)  # a disc of 20 pixels, not a square


def test_a_picture_of_ink_takes_the_same_steps() -> None:
    drawing = by_hand(9)
    picture = ink(drawing, pen_width(drawing))
    larger = np.pad(picture.repeat(3, axis=0).repeat(3, axis=1), ((100, 7), (0, 500)), constant_values=255)
    expected, found = to_mnist(drawing), to_mnist(larger)
    assert expected is not None
    assert found is not None
    assert np.abs(found.astype(int) - expected).max() <= 2
    stages = prepare(larger)
    assert stages is not None
    assert [stage.name for stage in stages] == ["raw", "inverted", "cropped", "20-pixel box", "centred", "normalised"]
    assert np.array_equal(invert(stages[0].picture), stages[1].picture)


def nearest_digits(pictures: list[Picture | None], among: Digits) -> list[int]:
    """The labels of the most alike MNIST digits, by the cosine of their pixels: a judge that was never trained."""
    theirs = among.images.flatten(1).numpy().astype(np.float32)
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    ours = np.stack([picture for picture in pictures if picture is not None]).reshape(-1, 784).astype(np.float32)
    return [int(label) for label in among.labels.numpy()[(ours @ theirs.T).argmax(axis=1)]]


@pytest.mark.parametrize(("scale", "dx", "dy"), [(1.0, 0, 0), (0.3, -90, 80), (1.3, 8, -5)])
def test_prepared_digits_look_like_mnists(mnist: Mnist, scale: float, dx: float, dy: float) -> None:
    drawings = [by_hand(digit, scale, dx, dy) for digit in range(10)]
    assert nearest_digits([to_mnist(drawing) for drawing in drawings], mnist.validation) == list(range(10))


def test_small_digits_in_a_corner_need_the_steps(mnist: Mnist) -> None:
    drawings = [by_hand(digit, 0.3, -90, 80) for digit in range(10)]
    for mode in ("raw", "inverted"):
        found = nearest_digits([to_mnist(drawing, MODES[mode]) for drawing in drawings], mnist.validation)
        assert sum(label == digit for digit, label in enumerate(found)) <= 5
