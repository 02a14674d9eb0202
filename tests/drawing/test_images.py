"""From a picture of paper to its ink: whatever the paper, the pen and the light, and nothing where there is none."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from mnist_lab.drawing.images import (
    BLANK,
    PAPER_STEPS,
    TOO_FAINT,
    TOO_SMALL,
    PaperSteps,
    clean_page,
    read_page,
    read_picture,
)
from mnist_lab.drawing.preprocess import Picture, to_mnist


def seven(size: tuple[int, int] = (200, 300), ink: int = 0, paper: int = 255) -> Image.Image:
    """A picture of a seven."""
    image = Image.new("L", size, paper)
    width, height = size
    corners = [(0.25 * width, 0.2 * height), (0.75 * width, 0.2 * height), (0.4 * width, 0.8 * height)]
    ImageDraw.Draw(image).line(corners, fill=ink, width=width // 12, joint="curve")
    return image


INK = float((np.asarray(seven()) < 128).mean())
"""The fraction of a picture that the seven covers."""


def inked(path: Path) -> float:
    return float((read_picture(path) < 128).mean())


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (60, 200), (130, 90)])
def test_dark_on_light_and_light_on_dark_come_out_alike(tmp_path: Path, ink: int, paper: int) -> None:
    seven(ink=ink, paper=paper).save(tmp_path / "x.png")
    picture = read_picture(tmp_path / "x.png")
    assert picture.dtype == np.uint8
    assert picture.shape == (300, 200)
    assert (picture[0, 0], picture.min(), picture.max()) == (255, 0, 255)
    assert inked(tmp_path / "x.png") == pytest.approx(INK, rel=0.03)


@pytest.mark.parametrize("ink", [0, 255])
def test_transparency_is_paper(tmp_path: Path, ink: int) -> None:
    mask = Image.eval(seven(), lambda level: 255 - level)
    image = Image.new("RGBA", mask.size, (ink, ink, ink, 0))
    image.putalpha(mask)
    image.save(tmp_path / "x.png")
    assert inked(tmp_path / "x.png") == pytest.approx(INK, rel=0.03)


def test_a_photograph_with_shadow_and_grain_keeps_its_ink_only(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    paper = np.linspace(150, 200, 300)[:, None] + random.normal(0, 4, (300, 200))
    ink = 1 - np.asarray(seven(), dtype=float) / 255
    Image.fromarray(np.clip(paper * (1 - 0.8 * ink), 0, 255).astype(np.uint8)).save(tmp_path / "x.jpg", quality=80)
    assert inked(tmp_path / "x.jpg") == pytest.approx(INK, rel=0.1)
    prepared = to_mnist(read_picture(tmp_path / "x.jpg"))
    assert prepared is not None
    assert prepared[:2].max() == 0  # nothing of the shadow is left to disturb the box


@pytest.mark.parametrize(("right", "down", "ink"), [(60, 0, 30), (-90, 30, 250), (40, -80, 30)])
def test_a_lamp_at_one_side_is_not_ink(tmp_path: Path, right: int, down: int, ink: int) -> None:
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, 200), np.linspace(-0.5, 0.5, 300))
    paper = (150 if ink < 128 else 90) + right * x + down * y
    drawn = np.asarray(seven()) < 128
    Image.fromarray(np.where(drawn, ink, paper).astype(np.uint8)).save(tmp_path / "x.jpg", quality=90)
    picture = read_picture(tmp_path / "x.jpg")
    assert float((picture < 128).mean()) == pytest.approx(INK, rel=0.1)
    assert (picture[~drawn] < 128).mean() < 0.01


def test_ink_that_fills_the_picture_may_reach_its_edge(tmp_path: Path) -> None:
    image = seven((400, 600)).crop((60, 120, 340, 480))
    image.save(tmp_path / "x.png")
    assert ((read_picture(tmp_path / "x.png") < 128) != (np.asarray(image) < 128)).mean() < 0.01


def test_blank_and_tiny_pictures_are_blank(tmp_path: Path) -> None:
    for size in ((1, 1), (1, 50), (3, 2)):
        Image.new("L", size, 255).save(tmp_path / "x.png")
        assert to_mnist(read_picture(tmp_path / "x.png")) is None
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(230, 240, (100, 100), dtype=np.uint8)).save(tmp_path / "x.png")
    assert to_mnist(read_picture(tmp_path / "x.png")) is None


# --- paper, light and pens -----------------------------------------------------------------------------------------

Levels = NDArray[np.float64]  # (H, W) or (H, W, 3), 0 to 255


def as_colours(levels: Levels) -> NDArray[np.float32]:
    return (levels if levels.ndim == 3 else np.repeat(levels[..., np.newaxis], 3, axis=2)).astype(np.float32)


def seen(levels: Levels, without: str = "") -> Picture:
    """What a network is shown of a picture, (28, 28); all black if there is no ink."""
    page = clean_page(as_colours(levels), PaperSteps().without(without) if without else PaperSteps())
    picture = to_mnist(page.ink)
    return np.zeros((28, 28), dtype=np.uint8) if picture is None else picture


def alike(levels: Levels, without: str = "") -> float:
    """The correlation of what is seen of a picture with what is seen of the clean seven."""
    found, clean = seen(levels, without), seen(WRITTEN)
    return float(np.corrcoef(found.ravel(), clean.ravel())[0, 1]) if found.any() else 0.0


WRITTEN: Levels = np.asarray(seven((300, 400), ink=60, paper=240)).astype(np.float64)
ACROSS, DOWN = np.meshgrid(np.linspace(-0.5, 0.5, 300), np.linspace(-0.5, 0.5, 400))


def on_a_table(page: Levels, table: float) -> Levels:
    """The page, turned by eight degrees, on something larger."""
    image = Image.fromarray(page.astype(np.uint8)).convert("LA").rotate(8, Image.Resampling.BICUBIC, expand=True)
    ground = Image.new("LA", (image.width + 80, image.height + 80), (int(table), 255))
    ground.paste(image, (40, 40), image)
    return np.asarray(ground.convert("L")).astype(np.float64)


def lit(page: Levels) -> dict[str, Levels]:
    spot = 255 * np.exp(-((ACROSS - 0.3) ** 2 + (DOWN + 0.35) ** 2) / 0.01)
    return {
        "a vignette": page * (1 - 1.2 * (ACROSS**2 + DOWN**2)),
        "a hard shadow": page * np.where(DOWN + 0.3 * ACROSS < 0.05, 0.5, 1.0),
        "a soft shadow": page * (0.55 + 0.45 / (1 + np.exp(-ACROSS * 18))),
        "a bright spot": np.maximum(0.7 * page, spot),
        "little light": 0.2 * page,
    }


LIT, EMPTY = lit(WRITTEN), lit(np.full(WRITTEN.shape, 240.0))
PENCIL = lit(np.where(WRITTEN < 128, 150.0, 240.0))


@pytest.mark.parametrize("name", LIT)
def test_no_light_is_taken_for_ink(name: str) -> None:
    assert alike(LIT[name]) > 0.97
    page = clean_page(as_colours(EMPTY[name]))
    assert page.trouble is BLANK
    assert (page.ink == 255).all()


def test_ink_on_which_a_lamp_shines_stays_whole() -> None:
    """The reflection is as light on ink as on paper, so that little contrast is left."""
    page = np.where(WRITTEN < 128, 25, 170)
    shine = 0.85 * np.exp(-((ACROSS - 0.1) ** 2 + DOWN**2) / 0.02)
    lamplit = page + shine * (255 - page) + np.random.default_rng(0).normal(0, 3, page.shape)
    assert alike(lamplit.clip(0, 255)) > 0.95


@pytest.mark.parametrize("upright", [False, True])
def test_folded_paper_is_blank(upright: bool) -> None:
    page = np.full(WRITTEN.shape, 240.0)
    for place, width in ((-0.2, 0.012), (0.25, 0.015)):
        away = ((ACROSS if upright else DOWN) + 0.03 * (DOWN if upright else ACROSS) - place) / width
        page = (page * (1 - 0.3 * away * np.exp(0.5 - away**2 / 2))).clip(0, 255)
    assert clean_page(as_colours(page)).trouble is BLANK


@pytest.mark.parametrize("name", ["a soft shadow", "a hard shadow"])
def test_without_even_light_shadows_are_ink(name: str) -> None:
    assert alike(PENCIL[name]) > 0.95
    assert alike(PENCIL[name], without="light") < 0.9


@pytest.mark.parametrize("table", [40, 120])
def test_a_page_on_a_table_is_found_and_seen_upright(table: int) -> None:
    photo = on_a_table(WRITTEN, table)
    assert alike(photo) > 0.95
    assert alike(photo, without="paper") < alike(photo)
    page = clean_page(as_colours(photo)).stages["paper"].shape
    assert page[0] / page[1] == pytest.approx(4 / 3, rel=0.03)
    empty = clean_page(as_colours(on_a_table(np.full((400, 300), 240.0), table)))
    assert empty.trouble is BLANK


@pytest.mark.parametrize("table", [222, 205])
@pytest.mark.parametrize("is_empty", [False, True])
def test_a_page_on_a_light_table_is_found_by_the_step_at_its_edge(table: int, is_empty: bool) -> None:
    """Its edge throws a thin shadow on two sides, which is as strong as ink; the light fades to one side."""
    page = np.full_like(WRITTEN, 240) if is_empty else WRITTEN.copy()
    page[-3:] = page[:, -3:] = 90
    photo = on_a_table(page, table)
    photo *= np.linspace(0.96, 1, photo.shape[1])
    if is_empty:
        assert clean_page(as_colours(photo)).trouble is BLANK
    else:
        assert alike(photo) > 0.95


def test_what_two_shadows_leave_light_between_them_is_no_ink() -> None:
    """As the gap between a phone and the arm that holds it."""
    shade = np.ones(WRITTEN.shape)
    shade[60:, 20:130] = shade[120:, 155:290] = 0.45
    page = WRITTEN * ndimage.gaussian_filter(shade, 2)
    assert alike(page) > 0.9


_SIX = [(120, 25), (60, 90), (30, 150), (45, 172), (90, 165), (130, 120), (110, 105), (70, 140)]
_FIVE = [(140, 30), (50, 40), (30, 80), (110, 100), (125, 140), (100, 168), (25, 165)]


@pytest.mark.parametrize(("way", "width"), [(_SIX, 24), (_FIVE, 30)])
def test_the_gaps_between_thick_light_strokes_are_no_dark_ink(way: list[tuple[int, int]], width: int) -> None:
    picture = Image.new("L", (164, 200), 38)
    ImageDraw.Draw(picture).line(way, fill=255, width=width, joint="curve")
    levels = np.asarray(picture).astype(np.float64)
    assert np.corrcoef(seen(levels).ravel(), seen(255 - levels).ravel())[0, 1] > 0.95


def test_the_soft_shadow_of_a_twig_is_no_ink() -> None:
    shade = Image.new("L", (600, 800), 255)
    for way in ([(600, 100), (300, 260), (80, 330)], [(420, 200), (330, 120)], [(200, 290), (150, 400)]):
        ImageDraw.Draw(shade).line(way, fill=120, width=16, joint="curve")
    light = ndimage.gaussian_filter(np.asarray(shade).astype(np.float64) / 255, 8)
    page = np.full(light.shape, 235.0)
    assert clean_page(as_colours(page * light)).trouble is BLANK
    page[380:780, 250:550] = WRITTEN
    assert alike(page * light) > 0.95


@pytest.mark.parametrize("aslant", [0, 10])
def test_the_fold_of_an_open_notebook_is_no_digit(aslant: int) -> None:
    down, across = np.mgrid[:300, :420]
    light = 1 - 0.75 * np.exp(-(((across - 300 - aslant * down / 300) / 5) ** 2))
    empty, page = np.full(light.shape, 235.0), np.full(light.shape, 235.0)
    page[50:250, 30:180] = np.asarray(seven((150, 200), 60, 235))
    assert clean_page(as_colours(empty * light)).trouble is BLANK
    assert alike(page * light) > 0.95


def test_a_pen_that_lies_at_the_edge_is_no_digit() -> None:
    """Though it is larger than all digits."""
    page = np.full((300, 420), 235.0)
    page[40:, 30:46] = 60
    page[90:160, 250:300] = np.asarray(seven((50, 70), 60, 235))
    alone = np.where(np.arange(420) < 100, 235.0, page)
    assert np.array_equal(seen(page), seen(alone))


@pytest.mark.parametrize("turn", [-24, 17])
def test_a_page_turned_on_a_table_of_planks_is_found(turn: int) -> None:
    page = Image.fromarray(WRITTEN.astype(np.uint8)).convert("LA").rotate(turn, Image.Resampling.BICUBIC, expand=True)
    planks = np.random.default_rng(1).uniform(60, 130, 12).repeat(50)[:, np.newaxis] * np.ones(600)
    ground = Image.fromarray(planks.astype(np.uint8)).convert("LA")
    ground.paste(page, (30, 50), page)
    photo = as_colours(np.asarray(ground.convert("L")).astype(np.float64))
    assert clean_page(photo).stages["paper"].shape[0] / 400 == pytest.approx(1, abs=0.06)
    assert clean_page(photo).stages["paper"].shape[1] / 300 == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize(
    ("steep", "narrow", "light", "soft"),
    [(0.3, 25, 0.6, 0), (0.3, 45, 0.45, 0), (3, 14, 0.6, 0), (3, 35, 0.45, 0), (0.3, 100, 0.6, 1), (0.3, 120, 0.7, 1)],
)
def test_stripes_of_shadow_are_no_ink(steep: float, narrow: float, light: float, soft: float) -> None:
    stripes = np.where(np.sin(narrow * (DOWN + steep * ACROSS)) > 0, light, 1.0)
    stripes = ndimage.gaussian_filter(stripes, soft)
    image = Image.new("L", (300, 400), 240)
    ImageDraw.Draw(image).line(((75, 80), (225, 80), (120, 320)), fill=60, width=10, joint="curve")
    assert alike(np.asarray(image) * stripes) > 0.9
    assert clean_page(as_colours(240 * stripes)).trouble is BLANK


@pytest.mark.parametrize("seed", [0, 1])
def test_crumpled_paper_is_blank(seed: int) -> None:
    places = np.random.default_rng(seed).uniform(-0.5, 0.5, (12, 2))
    facet = np.argmin([np.hypot(ACROSS - x, DOWN - y) for x, y in places.tolist()], axis=0)
    page = 240 * np.random.default_rng(seed + 9).uniform(0.7, 1, 12)[facet]
    assert clean_page(as_colours(page)).trouble is BLANK


def test_a_shadow_in_which_the_camera_shows_more_grain_is_blank() -> None:
    shadow = 0.3 + 0.7 / (1 + np.exp(-(ACROSS + 0.2) * 18))
    page = 240 * shadow + np.random.default_rng(0).normal(0, 8, WRITTEN.shape)
    assert clean_page(as_colours(page)).trouble is BLANK


def test_a_shadow_that_covers_half_of_a_page_is_not_a_table() -> None:
    colours = as_colours(LIT["a hard shadow"])
    assert clean_page(colours).stages["paper"].shape == colours.shape


def test_specks_beside_ink_that_the_edge_cuts_off_are_none() -> None:
    page = np.full((400, 300), 240.0)
    page[:90, 220:232] = 40  # half of a digit
    page[200:203, 100:104] = 40
    found = clean_page(as_colours(page))
    assert found.trouble is BLANK
    assert found.is_cut


def test_colours_of_equal_lightness_are_told_apart() -> None:
    drawn = (WRITTEN < 128)[..., np.newaxis]
    page = np.where(drawn, (230.0, 60, 60), (90.0, 160, 70))
    grey = page @ (0.299, 0.587, 0.114)
    assert np.ptp(grey) < 24
    assert alike(page) > 0.97


@pytest.mark.parametrize("deviation", [8, 20])
def test_grain_is_no_ink(deviation: float) -> None:
    grain = np.random.default_rng(0).normal(0, deviation, WRITTEN.shape)
    pencil = np.where(WRITTEN < 128, 130, 240)
    assert alike((pencil + grain).clip(0, 255)) > 0.95
    assert clean_page(as_colours((240 + grain).clip(0, 255))).trouble is BLANK


def test_what_reaches_the_edge_beside_a_digit_is_no_ink() -> None:
    finger = np.where(np.hypot(ACROSS - 0.5, DOWN - 0.5) < 0.15, 90, WRITTEN)
    assert alike(finger) > 0.97
    assert not clean_page(as_colours(finger)).is_cut, "a finger is no digit"


@pytest.mark.parametrize("sides", ["top", "left bottom", "left right", "top bottom", "top bottom left right"])
@pytest.mark.parametrize(("wide", "border"), [(2, 0), (9, 40), (35, 120), (35, 255)])
def test_a_border_along_a_side_is_no_ink(sides: str, wide: int, border: int) -> None:
    """Of a scanner's lid, a screenshot's bars, or a table; aslant by a pixel or two."""
    plain = np.asarray(seven(ink=30, paper=190), dtype=float) + np.random.default_rng(0).normal(0, 2, (300, 200))
    for digit in (plain, np.full_like(plain, 190)):
        framed = digit.copy()
        for side in sides.split():
            turned = {"top": framed, "bottom": framed[::-1], "left": framed.T, "right": framed.T[::-1]}[side]
            turned[:wide] = border
            turned[wide : wide + 2, : turned.shape[1] // 2] = border
        assert np.abs(seen(framed) - seen(digit).astype(float)).mean() < 6


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
@pytest.mark.parametrize(("near", "far", "table"), [(4, 24, 20), (12, 36, 110), (30, 50, 60)])
def test_a_strip_of_table_aslant_is_no_ink(side: str, near: int, far: int, table: int) -> None:
    random = np.random.default_rng(0)
    plain = np.full((400, 400), 220.0)
    plain[50:350, 100:300] = np.asarray(seven(ink=50, paper=220))
    for digit in (plain, np.full_like(plain, 220)):
        photo = digit.copy()
        turned = {"top": photo, "bottom": photo[::-1], "left": photo.T, "right": photo.T[::-1]}[side]
        turned[np.arange(400)[:, np.newaxis] < np.linspace(near, far, 400)] = table
        grain = random.normal(0, 3, (400, 400))
        assert np.abs(seen(photo + grain) - seen(digit + grain).astype(float)).mean() < 6


def test_a_strip_with_a_digit_on_it_is_no_border() -> None:
    page = np.full((500, 300), 235.0)
    page[:100] = 150
    digit = np.asarray(seven((100, 150), ink=20)).astype(float)[25:125]
    page[:100, 20:120] = np.where(digit < 128, 20, 150)
    assert clean_page(as_colours(page)).stages["paper"].shape == (500, 300, 3)


def test_the_bar_of_a_seven_from_side_to_side_is_no_border() -> None:
    image = np.full((300, 200), 255.0)
    image[:24] = 0
    for row in range(24, 300):
        image[row, 170 - row // 3 : 200 - row // 3] = 0
    assert np.array_equal(clean_page(as_colours(image)).ink < 128, image < 128)


def test_blank_faint_and_small_are_told_apart(tmp_path: Path) -> None:
    small = np.full((900, 900), 240.0)
    small[400:405, 500:503] = 40
    pale = np.where(WRITTEN < 128, 233.0, 240.0)
    for levels, trouble in ((small, TOO_SMALL), (pale, TOO_FAINT), (np.full((90, 90), 240.0), BLANK)):
        Image.fromarray(levels.astype(np.uint8)).save(tmp_path / "x.png")
        page = read_page(tmp_path / "x.png")
        assert page.trouble is trouble
        assert (page.ink == 255).all()
    assert len({trouble.next_step for trouble in (BLANK, TOO_FAINT, TOO_SMALL)}) == 3


def test_a_digit_of_a_twenty_fifth_of_the_page_is_read_as_well() -> None:
    page = Image.new("L", (1000, 1000), 240)
    page.paste(
        Image.fromarray(WRITTEN.astype(np.uint8)).crop((60, 60, 240, 340)).resize((36, 56), Image.Resampling.BOX),
        (700, 300),
    )
    assert alike(np.asarray(page).astype(np.float64)) > 0.93


def test_the_loop_of_a_small_digit_among_grain_is_no_light_ink(tmp_path: Path) -> None:
    """Most of what differs from the paper is grain, not the digit."""
    x, y = np.meshgrid(np.arange(800) - 560, np.arange(800) - 240)
    ring = np.abs(np.hypot(1.4 * x, y) - 18) < 2
    page = np.where(ring, 60, 240) + np.random.default_rng(1).normal(0, 4, ring.shape)
    Image.fromarray(page.clip(0, 255).astype(np.uint8)).save(tmp_path / "x.jpg", quality=60)
    ink = read_picture(tmp_path / "x.jpg")
    assert (ink[ring] < 128).mean() > 0.9
    assert (ink[~ring] < 128).sum() < ring.sum()


def test_each_step_is_shown() -> None:
    page = clean_page(as_colours(WRITTEN))
    assert list(page.stages) == ["photo", *PAPER_STEPS]
    assert page.stages["ink"] is page.ink


def test_even_bars_wider_than_the_smallest_structuring_elements_are_ink(tmp_path: Path) -> None:
    image = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(image).line((100, 30, 100, 170), fill=0, width=14)  # square ends: narrower elements find nothing
    image.save(tmp_path / "one.png")
    assert ((read_picture(tmp_path / "one.png") < 128) == (np.asarray(image) < 128)).all()


@pytest.mark.parametrize("side", [28, 36, 48, 64])
def test_tiny_pictures_are_read_like_large_ones(side: int) -> None:
    """With a rim or without, dark on light or light on dark, with lines of about one pixel and of several."""
    for rim, pen in itertools.product((0.2, 0.08), (1 / 9, 1 / 24)):
        large = Image.new("L", (12 * side, 16 * side), 240)
        width, height = large.size
        corners = [(rim * width, 0.2 * height), ((1 - rim) * width, 0.2 * height), (0.4 * width, 0.9 * height)]
        ImageDraw.Draw(large).line(corners, fill=60, width=round(pen * height), joint="curve")
        tiny = np.asarray(large.resize((3 * side // 4, side), Image.Resampling.BOX)).astype(np.float64)
        expected = to_mnist(np.where(np.asarray(large) < 150, 0, 255).astype(np.uint8))
        assert expected is not None
        for levels in (tiny, 300 - tiny):
            assert np.corrcoef(seen(levels).ravel(), expected.ravel())[0, 1] > 0.85


@pytest.mark.parametrize("width", [300, 1600])
def test_strokes_from_edge_to_edge_are_no_lines_of_the_paper(width: int) -> None:
    """In a picture that a digit fills, and on a strip that is far wider than high."""
    image = Image.new("L", (width, 400), 240)
    ImageDraw.Draw(image).line(((0, 40), (290, 40), (200, 400)), fill=60, width=16)
    expected = to_mnist(np.where(np.asarray(image) < 150, 0, 255).astype(np.uint8))
    assert expected is not None
    assert np.corrcoef(seen(np.asarray(image).astype(np.float64)).ravel(), expected.ravel())[0, 1] > 0.97


def test_only_convex_shapes_are_pages() -> None:
    """A page from which an eighth is missing at one side is no page: what its corners span is not all paper."""
    photo = np.full((400, 400), 50.0)
    photo[60:340, 70:330] = 240
    assert clean_page(as_colours(photo)).stages["paper"].shape != (400, 400, 3)
    photo[60:130, 140:270] = 50
    assert clean_page(as_colours(photo)).stages["paper"].shape == (400, 400, 3)
