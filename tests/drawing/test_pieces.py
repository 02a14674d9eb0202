"""The pieces of ink: branches of a skeleton, and the halves that they are parted into."""

from __future__ import annotations

import numpy as np
import pytest

from mnist_lab.drawing.pieces import branches, ink_of, parted, parts_of, shapes, stroke_piece, thinned
from mnist_lab.drawing.places import Box
from mnist_lab.drawing.preprocess import Picture, ink
from mnist_lab.drawing.strokes import Drawing


def cropped(drawing: Drawing, pen: float) -> tuple[Picture, Box]:
    paper = ink(drawing, pen)
    rows, columns = np.nonzero(paper < 255)
    box = Box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    return paper[int(box.top) : int(box.bottom), int(box.left) : int(box.right)], box


def test_lines_that_cross_are_parted_into_halves_that_both_keep_the_crossing() -> None:
    crossing = Drawing((((60.0, 60.0), (200.0, 200.0)), ((200.0, 60.0), (60.0, 200.0))))
    paper, box = cropped(crossing, 16)
    pieces, length = branches(paper, box)
    assert len(pieces) == 4
    assert length == pytest.approx(2 * 2**0.5 * 140 / box.height, rel=0.1)
    whole = ink(crossing, 16)
    assert np.array_equal(ink_of(tuple(pieces), whole), paper)  # none of the ink is lost
    found = parted(pieces)
    assert len(found) >= 3
    for halves in found:
        shared = sum(int((ink_of(half, whole) < 128).sum()) for half in halves) - int((paper < 128).sum())
        assert shared > 10  # pixels of the crossing


def test_a_line_without_crossings_has_no_branches_and_a_stroke_is_parted_only_if_broad_and_bent() -> None:
    paper, box = cropped(Drawing((((60.0, 60.0), (60.0, 200.0)),)), 16)
    pieces, length = branches(paper, box)
    assert not parted(pieces)
    assert length == pytest.approx(140 / box.height, rel=0.15)
    upright, level, bent = (
        stroke_piece(((60.0, 60.0), *middle, end))
        for middle, end in (((), (70.0, 200.0)), ((), (200.0, 130.0)), (((130.0, 120.0),), (200.0, 60.0)))
    )
    assert upright is not None and level is not None and bent is not None
    assert not parted(parts_of((upright,)))
    assert not parted(parts_of((level,)))
    halves = parted(parts_of((bent,)))
    assert len(halves) == 5
    assert [one[-1].box.right == pytest.approx(other[0].box.left) for one, other in halves] == [True] * 5


def test_a_skeleton_is_as_long_as_its_line_and_one_pixel_wide() -> None:
    mask = np.zeros((40, 60), dtype=bool)
    mask[15:24, 5:55] = True
    line = np.asarray(thinned(mask))
    assert np.all(line[:, 10:50].any(axis=0))
    assert line.sum(axis=0).max() == 1
    assert not np.any(line & ~mask)


@pytest.mark.parametrize("radius", range(60, 140, 4))
def test_the_places_on_a_ring_lie_all_around_it(radius: int) -> None:
    y, x = np.mgrid[:300, :300] - 150
    (ring,) = shapes(np.where(abs(np.hypot(x, y) - radius) < 5, 0, 255).astype(np.uint8))
    turns = np.sort(np.arctan2(*(ring.points - 150).T))
    assert np.diff(turns, append=turns[0] + 2 * np.pi).max() < np.pi / 6


@pytest.mark.parametrize(("gaps", "count"), [((8, 8, 8), 1), ((8,), 2), ((8, 8), 3), ((14, 14, 14), 4)])
def test_only_narrow_gaps_and_many_of_them_part_nothing(gaps: tuple[int, ...], count: int) -> None:
    """A line twelve pixels wide, broken by gaps: up to the pen's width, they are a rough stroke's if there are many."""
    paper = np.full((60, 300), 255, dtype=np.uint8)
    paper[24:36, 20:280] = 0
    for place, gap in enumerate(gaps, start=1):
        paper[:, 60 * place : 60 * place + gap] = 255
    assert len(shapes(paper)) == count


def test_a_dot_beside_a_rough_stroke_stays_alone() -> None:
    """Crumbs and dots of the paper belong to nothing, however near."""
    paper = np.full((200, 300), 255, dtype=np.uint8)
    paper[44:56, 20:280] = 0
    for left in (80, 140, 200):
        paper[:, left : left + 8] = 255
    paper[62:70, 100:108] = 0
    (line,) = shapes(paper)
    assert line.box.height < 30
