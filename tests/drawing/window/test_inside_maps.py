"""Where the values of a network's layers lie in one picture, and what it shows; without a screen."""

from __future__ import annotations

import numpy as np
import pytest
from PIL.ImageColor import getrgb

from mnist_lab.drawing.window.inside_maps import CROSS_COLOUR, SILENT_COLOUR, Column, draw_maps, plan_columns

DEEP, FLAT = [(1, 28), (32, 13), (64, 6), (128, 3), (256, 1)], [(1, 28), (32, 13), (128, 1)]
ROOMS = [(230, 185), (500, 214), (900, 330), (1300, 520)]


def planned(shapes: list[tuple[int, int]], room: tuple[int, int]) -> list[Column]:
    return plan_columns([(*shape, 0) for shape in shapes], *room)


@pytest.mark.parametrize("shapes", [DEEP, FLAT], ids=["3-layer", "1-layer"])
@pytest.mark.parametrize("room", ROOMS, ids=str)
def test_columns_fit_side_by_side_and_every_value_is_found_where_it_lies(
    shapes: list[tuple[int, int]], room: tuple[int, int]
) -> None:
    columns, random = planned(shapes, room), np.random.default_rng(0)
    end = 0
    for column, (count, side) in zip(columns, shapes, strict=True):
        assert column.left >= end
        end = column.left + column.width
        for _ in range(50):
            position, row, right = int(random.integers(count)), int(random.integers(side)), int(random.integers(side))
            x, y = column.corner(position, row, right)
            assert y >= 0
            assert y + column.zoom <= room[1]
            for inside in ((x, y), (x + column.zoom - 1, y + column.zoom - 1)):
                assert column.at(*inside) == (position, row, right)
                assert all(other.at(*inside) is None for other in columns if other is not column)
    assert end <= room[0] + 1


def test_what_has_few_values_is_enlarged_more_and_room_is_used() -> None:
    small, large = planned(DEEP, ROOMS[1]), planned(DEEP, ROOMS[3])
    for columns in (small, large):
        zooms = [column.zoom for column in columns[1:]]
        assert zooms == sorted(zooms)
    assert all(a.zoom < b.zoom for a, b in zip(small, large, strict=True))


def test_every_pixel_shows_its_value_and_marks_stand_out() -> None:
    columns = planned(DEEP, ROOMS[1])
    random = np.random.default_rng(1)
    maps = [random.random((count, side, side)).astype(np.float32) * 7 for count, side in DEEP]
    marks = [random.choice([0, 1, 2], count, p=[0.8, 0.1, 0.1]) for count, _ in DEEP]
    drawn = draw_maps(columns, *ROOMS[1], maps, marks)
    assert drawn.shape == (*ROOMS[1][::-1], 3)
    seen = np.zeros(drawn.shape[:2], dtype=bool)
    for column, values, marked in zip(columns, maps, marks, strict=True):
        for position in range(column.count):
            x, y = column.corner(position)
            span = column.side * column.zoom
            cell = drawn[y : y + span, x : x + span]
            seen[y : y + span, x : x + span] = True
            if marked[position] == 2:
                diagonals = np.concatenate(
                    [cell[np.arange(span), np.arange(span)], cell[np.arange(span), -np.arange(1, span + 1)]]
                )
                assert (diagonals == getrgb(CROSS_COLOUR)).all()
            elif marked[position] == 1:
                assert (cell == getrgb(SILENT_COLOUR)).all()
            else:
                expected = np.rint(252 * np.sqrt(values[position] / values.max()))[..., np.newaxis]
                assert (cell[:: column.zoom, :: column.zoom] == expected).all()
                assert (cell[column.zoom - 1 :: column.zoom, column.zoom - 1 :: column.zoom] == expected).all()
    assert (drawn[~seen] == 255).all()
