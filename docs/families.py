"""The families of paper, pen, light and camera that docs/paper.py measures: each makes a picture of a sheet's digit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sheets import BLUE, INK, PENCIL, Sheet, broad

Family: TypeAlias = Callable[[Sheet], Sheet | Image.Image]


def photo(sheet: Sheet) -> Sheet:
    """What any photograph by phone adds."""
    return sheet.blurred(sheet.draw(0.3, 0.9)).grainy(sheet.draw(1, 5), colour=True).compressed(int(sheet.draw(60, 92)))


def pencil(sheet: Sheet) -> NDArray[np.float64]:
    """The grey of a pencil, harder or softer."""
    return np.full(3, sheet.draw(95, 145)) + sheet.random.normal(0, 2, 3)


def _transparent(sheet: Sheet) -> Image.Image:
    covered = 255 - np.asarray(sheet.paper((255, 255, 255)).write((0, 0, 0)).image().convert("L"))
    ink = int(sheet.random.choice([0, 255]))
    return Image.fromarray(np.dstack([np.full((*covered.shape, 3), ink, np.uint8), covered]))


def _sixteen(sheet: Sheet) -> Image.Image:
    return Image.fromarray(
        np.asarray(sheet.write(pen=sheet.draw(1 / 24, 1 / 12)).image().convert("L")).astype(np.uint16) * 257
    )


def _linear(sheet: Sheet) -> Sheet:
    sheet.write(pen=sheet.draw(1 / 24, 1 / 12))
    sheet.values = 255 * (sheet.values.clip(0, 255) / 255) ** 2.2
    return sheet


def _bleed(sheet: Sheet) -> Sheet:
    other = sheet.lines.copy()
    other[:, [0, 2]] = 1 - other[:, [0, 2]]
    size = sheet.draw(0.3, 0.6)
    sheet.write(BLUE, 1 / 20, size, lines=other, strength=sheet.draw(0.1, 0.22)).blurred(2.5)
    return sheet.write(BLUE, sheet.draw(1 / 30, 1 / 14)).grainy(3)


def _phone(sheet: Sheet) -> Sheet:
    sheet.ruled(sheet.draw(50, 90), sheet.colour((150, 170, 200), (190, 210, 235)), sheet.draw(1.5, 3))
    sheet.write(sheet.colour((20, 30, 110), (70, 90, 180)), sheet.draw(1 / 40, 1 / 16), sheet.draw(0.25, 0.6))
    return photo(sheet.turned(sheet.draw(-3, 3)).vignetted(sheet.draw(0.5, 1.3)))


def _boxes(sheet: Sheet, chosen: int | None) -> Sheet:
    wide, count = Sheet(sheet.lines, sheet.random, 900, 900), 5
    wide.boxes(count, sheet.draw(1.5, 5), sheet.colour((20, 20, 20), (220, 150, 120)), chosen or 0)
    if chosen is not None:
        wide.write(BLUE, sheet.draw(1 / 18, 1 / 10), sheet.draw(0.08, 0.1))
    return photo(wide.turned(sheet.draw(-3, 3)))


def _on_light_table(sheet: Sheet) -> Sheet:
    sheet.edged(sheet.draw(0.4, 0.8)).table(sheet.colour((200, 198, 195), (228, 226, 224)), sheet.draw(-12, 12))
    return photo(sheet.gradient(sheet.draw(0.85, 1)))


def _notebook(sheet: Sheet, *, empty: bool = False) -> Sheet:
    wide = Sheet(sheet.lines, sheet.random, 1000, 720)
    wide.ruled(sheet.draw(30, 60), (170, 185, 205), 1.5, squares=sheet.draw(0, 1) < 0.5).folded()
    wide.at = np.array([sheet.random.choice([-1, 1]) * sheet.draw(0.25, 0.32), sheet.draw(-0.2, 0.2)])
    return photo(wide if empty else wide.write(BLUE, sheet.draw(1 / 24, 1 / 14), sheet.draw(0.2, 0.35)))


def _one_pixel(sheet: Sheet) -> Sheet:
    width, height = (int(sheet.draw(24, 100)) for _ in range(2))
    return Sheet(sheet.lines, sheet.random, width, height).write(pen=1 / (0.6 * min(width, height)))


_DARK = ((30, 20, 15), (100, 80, 70))

FAMILIES: dict[str, Family] = {
    # clean
    "clean ink": lambda s: s.write(pen=s.draw(1 / 20, 1 / 8), size=s.draw(0.4, 0.85)),
    "chalk on a blackboard": lambda s: (
        s.paper(s.colour((25, 40, 30), (50, 75, 60)))
        .write((235, 235, 225), s.draw(1 / 24, 1 / 10), grain=s.draw(0.1, 0.4))
        .grainy(3)
    ),
    "chalk, broken": lambda s: (
        s.paper(s.colour((20, 40, 30), (45, 75, 60)))
        .write((235, 238, 230), s.draw(1 / 20, 1 / 13), grain=s.draw(0.3, 0.6))
        .textured(s.draw(0.05, 0.15), 1)
        .vignetted(s.draw(0.3, 0.9))
    ),
    "white on dark": lambda s: s.paper(s.colour((0, 0, 0), (60, 60, 80))).write(
        (250, 250, 250), s.draw(1 / 24, 1 / 10)
    ),
    "cut close": lambda s: s.write(pen=s.draw(1 / 24, 1 / 8)).cropped(int(s.draw(4, 30))),
    "filling, up to the edge": lambda s: s.write(pen=s.draw(1 / 26, 1 / 14), size=0.97),
    "transparency": _transparent,
    "linear light": _linear,
    "16 bits": _sixteen,
    "fine felt pen, photo": lambda s: photo(s.write(pen=s.draw(1 / 30, 1 / 14))),
    # pens
    "hairline 1/96": lambda s: s.write(pen=1 / 96),
    "pen of 1 to 3 pixels": lambda s: s.write(pen=s.draw(1, 3) / 300),
    "ballpoint 1/48": lambda s: s.write(s.colour((20, 20, 20), (60, 60, 160)), pen=1 / 48),
    "marker": lambda s: s.write(s.colour((0, 0, 0), (200, 60, 60)), pen=s.draw(1 / 9, 1 / 6)),
    "fountain pen": lambda s: s.write(
        s.colour((20, 20, 60), (60, 60, 190)),
        s.draw(1 / 70, 1 / 40),
        lines=broad(s.lines, s.draw(0.01, 0.05)),
        strength=s.draw(0.6, 1),
    ),
    "digit 1/16 of the page": lambda s: Sheet(s.lines, s.random, 1000, 1000).write(
        pen=s.draw(1 / 20, 1 / 10), size=1 / 16
    ),
    "digit 1/25 of the page": lambda s: Sheet(s.lines, s.random, 1400, 1400).write(
        pen=s.draw(1 / 20, 1 / 10), size=1 / 25
    ),
    "digit 1/25, photo": lambda s: photo(
        Sheet(s.lines, s.random, 1500, 1100)
        .write(BLUE, pen=s.draw(1 / 16, 1 / 10), size=1500 / 1100 / 25)
        .vignetted(s.draw(0.2, 0.8))
    ),
    "small digit, noise, JPEG": lambda s: (
        Sheet(s.lines, s.random, 1000, 1000)
        .write(s.colour((20, 20, 20), (60, 60, 150)), s.draw(1 / 16, 1 / 9), s.draw(1 / 25, 1 / 16))
        .grainy(s.draw(2, 7))
        .compressed(int(s.draw(50, 90)))
    ),
    "grey hairline, grain": lambda s: s.write(np.full(3, s.draw(60, 140)), 1 / 80, s.draw(0.4, 0.8)).grainy(
        s.draw(1, 5)
    ),
    "tiny, 16 to 30 pixels": lambda s: (
        s.write(pen=s.draw(1 / 12, 1 / 7)).cropped(int(s.draw(0, 60))).reduced(int(s.draw(16, 30)))
    ),
    "tiny, 30 to 100 pixels": lambda s: s.write(pen=s.draw(1 / 20, 1 / 7)).reduced(int(s.draw(30, 100))),
    "tiny, white on black": lambda s: (
        s.write((0, 0, 0), s.draw(1 / 14, 1 / 6)).cropped(int(s.draw(30, 90))).reduced(28).negative()
    ),
    "tiny, pen of one pixel": _one_pixel,
    # pencil, grain
    "pencil, strong grain": lambda s: s.write(pencil(s), s.draw(1 / 36, 1 / 20), grain=s.draw(0.3, 0.6)).grainy(
        s.draw(10, 20)
    ),
    "pencil, even, strong grain": lambda s: s.write(
        np.full(3, s.draw(95, 175)), s.draw(1 / 34, 1 / 22), s.draw(0.5, 0.7)
    ).grainy(s.draw(8, 18)),
    "pencil": lambda s: s.write(pencil(s), s.draw(1 / 40, 1 / 18), grain=s.draw(0.1, 0.5)),
    "faint pencil, grain": lambda s: s.write(np.full(3, s.draw(165, 195)), s.draw(1 / 36, 1 / 20)).grainy(
        s.draw(6, 12)
    ),
    "grain 20, pencil": lambda s: s.write(PENCIL, s.draw(1 / 36, 1 / 20)).grainy(s.draw(15, 22)),
    "rough pencil": lambda s: photo(
        Sheet(s.lines, s.random, 1000, 750).write(
            pencil(s), s.draw(1 / 40, 1 / 28), s.draw(0.3, 0.6), grain=s.draw(0.8, 1.3), tooth=s.draw(1.5, 3)
        )
    ),
    "low resolution": lambda s: s.write(pen=s.draw(1 / 24, 1 / 10)).reduced(int(s.draw(30, 80))),
    "blurred": lambda s: s.write(pen=s.draw(1 / 24, 1 / 10)).blurred(s.draw(3, 8)).grainy(3),
    "strong JPEG": lambda s: s.write(s.colour((20, 20, 20), (90, 90, 160)), s.draw(1 / 36, 1 / 12)).compressed(
        int(s.draw(8, 25))
    ),
    # lines of the paper
    "ruled, pencil": lambda s: s.ruled(s.draw(50, 110), width=s.draw(1, 3)).write(pencil(s), s.draw(1 / 40, 1 / 20)),
    "ruled, ink, turned": lambda s: (
        s.ruled(s.draw(40, 110), s.colour((140, 150, 170), (190, 200, 230)), s.draw(1, 3))
        .write(INK, s.draw(1 / 40, 1 / 14))
        .turned(s.draw(-8, 8))
    ),
    "squared, pencil": lambda s: s.ruled(
        s.draw(20, 60), s.colour((160, 185, 205), (200, 215, 235)), s.draw(1, 2), squares=True
    ).write(pencil(s), s.draw(1 / 36, 1 / 18)),
    "squared, ink, photo": lambda s: photo(
        s.ruled(s.draw(18, 60), s.colour((150, 160, 180), (200, 210, 235)), s.draw(1, 2), squares=True)
        .write(BLUE, s.draw(1 / 36, 1 / 16))
        .turned(s.draw(-4, 4))
        .gradient(s.draw(0.5, 0.9))
    ),
    "dark ruling": lambda s: s.ruled(s.draw(60, 120), (60, 60, 60), s.draw(1, 2.5)).write(INK, s.draw(1 / 24, 1 / 12)),
    "form box": lambda s: s.box(width=s.draw(1, 5), colour=np.full(3, s.draw(20, 150))).write(
        INK, s.draw(1 / 30, 1 / 12), 0.55
    ),
    "small box": lambda s: s.box((0.15, 0.22), width=s.draw(1, 4), colour=s.colour((20, 20, 20), (220, 90, 90))).write(
        INK, s.draw(1 / 30, 1 / 12), 0.42, where=0
    ),
    "margin, ruled": lambda s: s.ruled(s.draw(40, 100)).margin().write(BLUE, s.draw(1 / 36, 1 / 14)),
    "dotted paper": lambda s: s.dotted(s.draw(18, 45), np.full(3, s.draw(90, 190)), s.draw(0.8, 2)).write(
        BLUE, s.draw(1 / 36, 1 / 14)
    ),
    "legal pad": lambda s: photo(
        s.paper(s.colour((235, 225, 130), (255, 245, 170)))
        .ruled(s.draw(40, 90), s.colour((110, 150, 180), (150, 190, 220)))
        .margin()
        .write(INK, s.draw(1 / 36, 1 / 16))
        .turned(s.draw(-3, 3))
    ),
    "graph, thicker tenth lines": lambda s: (
        s.ruled(12, (200, 220, 200), 1, squares=True)
        .ruled(s.draw(55, 62), (150, 190, 150), 2, squares=True)
        .write(INK, s.draw(1 / 32, 1 / 16))
    ),
    "squared, grain, vignette": lambda s: (
        s.ruled(s.draw(25, 60), (170, 190, 215), s.draw(1, 2), squares=True)
        .write(pencil(s), s.draw(1 / 28, 1 / 16))
        .vignetted(s.draw(0.3, 1))
        .grainy(s.draw(3, 8))
        .turned(s.draw(-6, 6))
    ),
    # light
    "soft shadow, pencil": lambda s: s.write(pencil(s), s.draw(1 / 36, 1 / 18)).shadow(
        s.draw(0.5, 0.8), s.draw(0.03, 0.15)
    ),
    "hard shadow": lambda s: s.write(pencil(s), s.draw(1 / 36, 1 / 18)).shadow(s.draw(0.35, 0.75), s.draw(0.001, 0.01)),
    "curved shadow, photo": lambda s: photo(
        s.write(BLUE, s.draw(1 / 36, 1 / 16)).shadow(s.draw(0.4, 0.75), s.draw(0.003, 0.03), curved=True)
    ),
    "vignette, pencil": lambda s: s.write(pencil(s), s.draw(1 / 36, 1 / 18)).vignetted(s.draw(0.6, 1.4)),
    "lamp, ink": lambda s: (
        s.paper(np.full(3, s.draw(150, 200)))
        .write(INK, s.draw(1 / 30, 1 / 14))
        .lamp(s.draw(0.6, 1), s.draw(0.05, 0.25))
        .grainy(3)
    ),
    "lamp, chalk": lambda s: (
        s.paper(s.colour((25, 40, 30), (60, 80, 70)))
        .write((225, 225, 220), s.draw(1 / 24, 1 / 12))
        .lamp(s.draw(0.4, 0.9), s.draw(0.05, 0.2))
        .grainy(3)
    ),
    "dark picture": lambda s: (
        s.write(pencil(s), s.draw(1 / 36, 1 / 16)).gradient(0.6)._lit(np.full((480, 480), s.draw(0.2, 0.4))).grainy(2)
    ),
    "striped shadow": lambda s: photo(s.write(INK, s.draw(1 / 30, 1 / 14)).striped(s.draw(0.5, 0.8), s.draw(1, 4))),
    "narrow blinds": lambda s: photo(
        Sheet(s.lines, s.random, 900, 700).write(INK, s.draw(1 / 36, 1 / 20)).striped(s.draw(0.4, 0.65), s.draw(9, 16))
    ),
    "lamplight, colour cast": lambda s: photo(
        s.write(BLUE, s.draw(1 / 30, 1 / 14)).cast(s.colour((0.8, 0.6, 0.3), (1, 0.8, 0.6))).gradient(s.draw(0.3, 0.7))
    ),
    "shaken camera": lambda s: s.write(INK, s.draw(1 / 24, 1 / 12)).shaken(s.draw(4, 14)).grainy(4),
    # papers
    "coloured paper": lambda s: (
        s.paper(s.colour((140, 140, 90), (255, 230, 190)))
        .write(s.colour((20, 20, 20), (70, 70, 120)), s.draw(1 / 30, 1 / 12))
        .textured(0.015, 1)
        .grainy(3)
    ),
    "red on green": lambda s: s.paper((90, 160, 70)).write((230, 60, 60), s.draw(1 / 30, 1 / 12)).grainy(s.draw(0, 5)),
    "kraft paper, white pen": lambda s: (
        s.paper(s.colour((140, 105, 70), (180, 140, 100)))
        .write((245, 245, 240), s.draw(1 / 26, 1 / 12))
        .textured(0.03, 1.2)
    ),
    "creased": lambda s: photo(s.write(BLUE, s.draw(1 / 30, 1 / 14)).creased(depth=s.draw(0.05, 0.2))),
    "wrinkled": lambda s: photo(s.write(INK, s.draw(1 / 30, 1 / 14)).wrinkled(s.draw(0.04, 0.15))),
    "bleed-through": _bleed,
    "circled": lambda s: photo(s.circled().write(BLUE, s.draw(1 / 44, 1 / 24), 0.7)),
    "underlined": lambda s: photo(s.underlined().write(INK, s.draw(1 / 36, 1 / 18))),
    "punched": lambda s: photo(s.write(BLUE, s.draw(1 / 30, 1 / 14), 0.5).punched(int(s.random.integers(2, 5)))),
    "highlighter": lambda s: s.write(s.colour((240, 235, 60), (255, 250, 130)), s.draw(1 / 14, 1 / 8)).grainy(
        s.draw(0, 4)
    ),
    "pale coloured pens": lambda s: photo(
        s.write(
            [(230, 120, 170), (120, 200, 130), (240, 170, 80), (120, 190, 240)][int(s.random.integers(4))],
            s.draw(1 / 24, 1 / 12),
        )
    ),
    "coffee stains": lambda s: photo(s.stained((120, 80, 40), 2).write(BLUE, s.draw(1 / 30, 1 / 14))),
    "recycled, fibres": lambda s: (
        s.paper((205, 200, 190)).textured(s.draw(0.02, 0.05), s.draw(0.7, 2)).write(INK, s.draw(1 / 30, 1 / 14))
    ),
    "bowed, ruled": lambda s: photo(
        s.ruled(s.draw(30, 90), s.colour((140, 150, 170), (190, 200, 230)), s.draw(1, 3))
        .write(BLUE, s.draw(1 / 36, 1 / 16), s.draw(0.3, 0.62))
        .bowed(s.draw(0.02, 0.2))
    ),
    "bowed, squared": lambda s: photo(
        s.ruled(s.draw(25, 60), s.colour((150, 160, 180), (200, 210, 235)), s.draw(1, 2), squares=True)
        .write(INK, s.draw(1 / 36, 1 / 16), s.draw(0.3, 0.62))
        .bowed(s.draw(0.02, 0.2))
        .vignetted(s.draw(0.2, 0.8))
    ),
    "page of a book": lambda s: photo(
        s.ruled(s.draw(30, 90), s.colour((140, 150, 170), (190, 200, 230)), s.draw(1, 3))
        .write(pencil(s), s.draw(1 / 30, 1 / 16), s.draw(0.25, 0.5))
        .bound(s.draw(0.02, 0.12), s.draw(0.3, 0.8))
        .turned(s.draw(-3, 3))
    ),
    # tables, photographs
    "paper on a dark table": lambda s: s.write(INK, s.draw(1 / 30, 1 / 12)).table(s.colour(*_DARK)),
    "table, turned, wood": lambda s: photo(
        s.write(BLUE, s.draw(1 / 24, 1 / 12)).table(s.colour(*_DARK), s.draw(-12, 12), wood=s.draw(0, 0.3))
    ),
    "table, perspective, ruled": lambda s: photo(
        s.ruled(s.draw(40, 90))
        .write(INK, s.draw(1 / 24, 1 / 12))
        .table(s.colour((40, 30, 20), (130, 110, 90)), s.draw(-8, 8), 0.06, s.draw(0, 0.2))
    ),
    "bars of a screen": lambda s: s.write(INK, s.draw(1 / 24, 1 / 12)).bordered(
        ("tb", "lr", "tblr")[int(s.random.integers(3))], np.full(3, s.draw(0, 60))
    ),
    "edge of a scan": lambda s: (
        s.write(pencil(s), s.draw(1 / 30, 1 / 14))
        .bordered(("t", "l", "br", "tl", "blr")[int(s.random.integers(5))], np.full(3, s.draw(0, 140)))
        .turned(s.draw(-0.3, 0.3))
        .grainy(3)
    ),
    "strip of a table": lambda s: photo(
        s.write(INK, s.draw(1 / 24, 1 / 12), s.draw(0.25, 0.5)).bordered(
            ("t", "b", "l", "r", "tl", "br")[int(s.random.integers(6))], s.colour((15, 10, 8), (120, 100, 90)), 0.1, 0.1
        )
    ),
    "note on a light desk": lambda s: photo(
        s.paper(s.colour((225, 205, 80), (255, 235, 140)))
        .write(INK, s.draw(1 / 24, 1 / 12))
        .table(s.colour((190, 190, 190), (240, 240, 240)), s.draw(-12, 12))
    ),
    "table of planks, turned": lambda s: photo(
        s.write(s.colour((20, 20, 30), (60, 60, 160)), s.draw(1 / 28, 1 / 12)).table(
            s.colour((60, 40, 25), (150, 110, 80)), s.draw(-25, 25), s.draw(0, 0.03), s.draw(0.05, 0.25), (0.08, 0.2), 9
        )
    ),
    "table in perspective": lambda s: photo(
        s.write(INK, s.draw(1 / 28, 1 / 12)).table(
            s.colour((40, 30, 20), (140, 110, 90)), s.draw(-15, 15), s.draw(0.04, 0.1), s.draw(0, 0.2)
        )
    ),
    "boxes, one filled": lambda s: _boxes(s, int(s.random.integers(5))),
    "page on a light table": lambda s: _on_light_table(s.write(INK, s.draw(1 / 28, 1 / 14), s.draw(0.25, 0.5))),
    "open notebook": _notebook,
    "pen at the edge": lambda s: photo(
        Sheet(s.lines, s.random, 1000, 700)
        .pen_lying()
        .write(BLUE, s.draw(1 / 24, 1 / 14), s.draw(0.15, 0.4), where=0.5)
    ),
    "highlighted": lambda s: photo(
        Sheet(s.lines, s.random, 800, 600)
        .write(BLUE, s.draw(1 / 30, 1 / 18), s.draw(0.25, 0.35), where=0)
        .marked(s.colour((200, 120, 40), (255, 240, 110)))
    ),
    "phone, ruled, blue pen": lambda s: _phone(Sheet(s.lines, s.random, 1200, 900)),
    "phone, pencil, shadow": lambda s: photo(
        Sheet(s.lines, s.random, 1000, 750)
        .write(pencil(s), s.draw(1 / 30, 1 / 16), s.draw(0.3, 0.6))
        .shadow(s.draw(0.5, 0.8), s.draw(0.01, 0.1))
        .vignetted(s.draw(0.2, 0.8))
    ),
}

EMPTY: dict[str, Family] = {
    "empty: grain": lambda s: s.grainy(s.draw(0, 20)),
    "empty: shadow": lambda s: photo(s.shadow(s.draw(0.4, 0.8), s.draw(0.002, 0.1), curved=bool(s.random.integers(2)))),
    "empty: vignette, lamp": lambda s: photo(
        s.paper(np.full(3, s.draw(120, 230))).vignetted(s.draw(0.3, 1.3)).lamp(s.draw(0.2, 0.9), s.draw(0.1, 0.4))
    ),
    "empty: vignette": lambda s: (
        s.paper(np.full(3, s.draw(150, 250))).vignetted(s.draw(0.3, 1.5)).grainy(max(0.0, s.draw(-3, 5)))
    ),
    "empty: lamp, no grain": lambda s: (
        s.paper(np.full(3, s.draw(100, 230))).vignetted(s.draw(0, 1.4)).lamp(s.draw(0.2, 1), s.draw(0.05, 0.4))
    ),
    "empty: shadow, no photo": lambda s: s.shadow(s.draw(0.35, 0.8), s.draw(0.001, 0.1)).grainy(
        max(0.0, s.draw(-3, 5))
    ),
    "empty: edge of a scan": lambda s: s.bordered(
        ("t", "l", "br", "tblr")[int(s.random.integers(4))], np.full(3, s.draw(0, 140))
    ).grainy(3),
    "empty: strip of a table": lambda s: photo(
        s.bordered(("t", "l", "br")[int(s.random.integers(3))], s.colour((15, 10, 8), (120, 100, 90)), 0.1, 0.1)
    ),
    "empty: ruled, vignette": lambda s: (
        s.ruled(s.draw(30, 110), s.colour((120, 130, 150), (190, 200, 230)), s.draw(1, 3), squares=s.draw(0, 1) < 0.3)
        .vignetted(s.draw(0.4, 1.4))
        .grainy(max(0.0, s.draw(-2, 5)))
    ),
    "empty: ruled": lambda s: s.ruled(s.draw(30, 110), s.colour((90, 90, 90), (190, 200, 230)), s.draw(1, 3)).turned(
        s.draw(-5, 5)
    ),
    "empty: squared, photo": lambda s: photo(
        s.ruled(s.draw(18, 60), s.colour((120, 130, 150), (200, 210, 235)), s.draw(1, 2), squares=True)
        .turned(s.draw(-4, 4))
        .gradient()
    ),
    "empty: graph, bold lines": lambda s: photo(
        Sheet(s.lines, s.random, 900, 700)
        .ruled(s.draw(34, 40), (190, 205, 220), 1.5, squares=True)
        .ruled(s.draw(160, 200), (90, 110, 160), s.draw(3, 5), squares=True)
        .turned(s.draw(-4, 4))
    ),
    "empty: bowed": lambda s: photo(
        s.ruled(
            s.draw(25, 90), s.colour((120, 130, 150), (200, 210, 235)), s.draw(1, 2), squares=bool(s.draw(0, 2) // 1)
        )
        .bowed(s.draw(0.02, 0.2))
        .gradient()
    ),
    "empty: page of a book": lambda s: photo(
        s.ruled(s.draw(30, 90), s.colour((140, 150, 170), (190, 200, 230)), s.draw(1, 3)).bound(
            s.draw(0.02, 0.12), s.draw(0.3, 0.8)
        )
    ),
    "empty: creased": lambda s: s.creased(int(s.draw(1, 6)), s.draw(0.05, 0.25)).grainy(max(0.0, s.draw(-2, 5))),
    "empty: wrinkled": lambda s: s.wrinkled(s.draw(0.04, 0.2)).grainy(max(0.0, s.draw(-2, 5))),
    "empty: creased, wrinkled": lambda s: photo(s.creased(depth=s.draw(0.05, 0.2)).wrinkled(s.draw(0.04, 0.12))),
    "empty: striped shadow": lambda s: photo(s.striped(s.draw(0.5, 0.9), s.draw(1, 2.5))),
    "empty: dotted": lambda s: s.dotted(s.draw(18, 45), np.full(3, s.draw(90, 190)), s.draw(0.8, 2)).grainy(2),
    "empty: texture": lambda s: s.paper(s.colour((60, 60, 60), (250, 240, 230))).textured(
        s.draw(0.01, 0.05), s.draw(0.8, 6)
    ),
    "empty: boxes": lambda s: _boxes(s, None),
    "empty: on a light table": _on_light_table,
    "empty: open notebook": lambda s: _notebook(s, empty=True),
    "empty: on planks": lambda s: photo(
        s.table(
            s.colour((60, 40, 25), (150, 110, 80)), s.draw(-25, 25), s.draw(0, 0.03), s.draw(0.05, 0.25), (0.08, 0.2), 9
        )
    ),
    "empty: on a table": lambda s: photo(s.table(s.colour(*_DARK), s.draw(-12, 12), 0.03, s.draw(0, 0.2))),
}
