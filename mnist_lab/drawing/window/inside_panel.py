"""The inside of a network in the window: the maps of every block while the pen moves, and the sum behind each value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mnist_lab.config import CLASSES
from mnist_lab.data.mnist import SIDE
from mnist_lab.drawing.window import widgets
from mnist_lab.drawing.window.answer import Answer, Look, Predictor
from mnist_lab.drawing.window.inside_detail import Detail
from mnist_lab.drawing.window.inside_maps import SILENT_COLOUR, draw_maps, plan_columns
from mnist_lab.drawing.window.layout import Box
from mnist_lab.explain.inside import Inside, Survey, first_kernels, logit_sum, look_inside, number, pixel_sum, seen_by
from mnist_lab.explain.neighbours import Neighbours
from mnist_lab.networks.models import DigitNet
from mnist_lab.plotting import ORANGE, mosaic_of, tinted
from mnist_lab.terminal.wording import format_probability

with suppress(ImportError):  # app.py says what is missing when a window is asked for
    import tkinter as tk
    from tkinter import ttk

_EDGE, _TOP, _BELOW, _DETAIL, _FOOT, _LOGITS = 12, 68, 56, 186, 20, 108  # units, around, above, below the maps ...
PAGES = {  # the name of each page, and what it does not show
    "maps": ("Maps", "Maps show where a filter answers, not why the network decides as it does."),
    "kernels": ("Kernels", "Kernels show what filters look for, not what later layers make of it."),
    "nearest": ("Nearest", "Near is not cause: the network has learned from all training digits."),
}
_HEAD, _BETWEEN = 62, 225  # units, above kernels and nearest digits; the grey of the lines between kernels
_KERNELS = (
    "Each of the {count} filters of block 1 slides its kernel, 3 × 3 weights, over your picture, multiplies each pixel "
    "by the weight above it, and adds: much ink under blue makes the sum large. Before training, they are random. "
    "Compare each kernel with its twin: training moves some far, and others hardly. Press Untrained, then Maps, to see "
    "what the random ones make of your digit."
)
_Corners: TypeAlias = tuple[float, float, float, float]  # left, top, right and bottom
_SPACES = {
    "hidden": ("Alike for the trained network", "training digits that excite its hidden units most similarly"),
    "pixels": ("Alike pixel by pixel", "training digits whose pixels differ least"),
}


class Spot(NamedTuple):
    """One value: of a block's map or, in the layers after the blocks, a hidden unit or a digit's logit."""

    layer: int
    filter: int  # or the unit, or the digit
    row: int = 0
    column: int = 0


@dataclass
class Looking:
    """What is chosen in the view: it stays when the panel is made anew in another size."""

    look: Look = field(default_factory=Look)
    page: str = "maps"
    by_strength: bool = False
    spot: Spot | None = None
    surveys: dict[Look, Survey] = field(default_factory=dict)
    surveying: dict[Look, Iterator[Survey | None]] = field(default_factory=dict)  # those under way


class InsidePanel(widgets.Panel):
    """The panel, out of sight until it is opened. It shows one network, which ``on_look`` asks anew."""

    def __init__(
        self, theme: widgets.Theme, predictors: Sequence[Predictor], looking: Looking, on_look: widgets.Action
    ) -> None:
        super().__init__(theme, theme.layout.inside)
        self._predictors, self.looking, self._on_look = predictors, looking, on_look
        self._answer: Answer | None = None
        self._planned: Look | None = None  # for which network there are columns
        self._orders: list[NDArray[np.int64]] = []  # in which each layer's maps are shown; while there are any
        self.buttons: dict[str, ttk.Button] = {}
        px, wide = self.px, self.width - self.px(2 * _EDGE)
        self._left, self._top, self._logits = px(_EDGE), px(_TOP), self.width - px(_EDGE + _LOGITS)
        self._size = self.width - px(2 * _EDGE + _LOGITS + 16), self.height - px(_TOP + _BELOW + _DETAIL + _FOOT)
        self._pitch, self._bottom = self._size[1] / CLASSES, px(_TOP) + self._size[1]
        self.detail = Detail(self, Box(px(_EDGE), self.height - px(_FOOT + _DETAIL), wide, px(_DETAIL - 2)))
        self._build_head()
        self.canvas.configure(takefocus=True)
        self.frame.configure(highlightcolor=widgets.BLUE)
        self.canvas.bind("<Button-1>", self._click)
        for key, way in {"Left": (-1, 0), "Right": (1, 0), "Up": (0, -1), "Down": (0, 1)}.items():
            self.canvas.bind(f"<{key}>", partial(self._move, *way))
        self.set_open(False)

    def _build_head(self) -> None:
        px = self.px
        pages, switches = (tk.Frame(self.canvas, background=widgets.PAPER) for _ in range(2))
        self.canvas.create_window(px(_EDGE - 2), px(19), window=pages, anchor="w")
        self.canvas.create_window(self.width - px(_EDGE - 2), px(19), window=switches, anchor="e")
        for page, (name, _) in PAGES.items():
            self._button(pages, page, name, partial(self._set, page=page))
        self._button(switches, "order", "Strongest first", lambda: self._set(by_strength=not self.looking.by_strength))
        self._button(switches, "untrained", "Untrained", self._switch_training)
        if len(self._predictors) > 1:
            self._button(switches, "network", "", self._next_network)

    def _button(self, parent: tk.Misc, name: str, text: str, action: widgets.Action) -> None:
        self.buttons[name] = ttk.Button(parent, text=text, style="Step.TButton", command=action)
        self.buttons[name].pack(side="left", padx=(0, self.px(4)))

    def _set(self, **chosen: object) -> None:
        for name, value in chosen.items():
            setattr(self.looking, name, value)
        self._on_look()

    def _switch_training(self) -> None:
        self._set(look=replace(self.looking.look, untrained=not self.looking.look.untrained))

    def _next_network(self) -> None:  # which may have fewer layers, so that no value of them stays chosen
        self._set(look=Look((self.looking.look.place + 1) % len(self._predictors)), spot=None)

    @property
    def _predictor(self) -> Predictor:
        return self._predictors[self.looking.look.place]

    def show(self, answer: Answer) -> None:
        """Show what one answer's network made of its picture."""
        self._answer, looking, px = answer, self.looking, self.px
        self.clear()
        self._orders = []
        on = {looking.page, "untrained" if looking.look.untrained else "", "order" if looking.by_strength else ""}
        for name, button in self.buttons.items():
            button.state(["selected" if name in on else "!selected"])
        if "network" in self.buttons:
            room = px(100 if self.width < px(640) else 190)
            name = widgets.shortened(self._predictor.name, room, self.theme.bold.measure)
            self.buttons["network"].configure(text=f"{name}  ▸")
        foot = self.height - px(_FOOT / 2 + 2)
        self.text(px(_EDGE), foot, PAGES[looking.page][1], "small", anchor="w", tags="live foot")
        if looking.page == "maps":
            self._show_maps(answer)
        elif looking.page == "kernels":
            self._show_kernels()
        else:  # the nearest digits belong to one picture, and are looked for when the pen rests
            text = "draw a digit" if answer.picture is None else "comparing with the training digits …"
            if looking.look.untrained:
                text = "Before training, no digit has taught it anything: switch Untrained off."
            self.text(self.width / 2, self.height / 2, text, "text", widgets.MUTED, tags="live said")

    def rest(self) -> bool:
        """The pen rests: time for what takes longer than a moment. True: a part is done, and more is to do."""
        looking, answer = self.looking, self._answer
        if looking.page == "maps" and looking.look not in looking.surveys:
            model = looking.look.into(self._predictors)
            surveyed = next(looking.surveying.setdefault(looking.look, self._predictor.survey(model)))
            if surveyed is None:
                return True
            looking.surveys[looking.look] = surveyed
            if answer is not None:
                self.show(answer)
        elif looking.page == "nearest" and answer and answer.picture is not None and not looking.look.untrained:
            found = self._predictor.neighbours(answer.picture)
            self.canvas.delete("said")
            self._show_nearest(found, int(answer.probabilities[looking.look.place].argmax()))
        return False

    def _show_kernels(self) -> None:
        """The first block's kernels, trained and untrained beside each other, with one scale of colours."""
        px, one = self.px, self._predictor
        sides = np.array([first_kernels(one.trained), first_kernels(one.untrained)])
        strongest, count = float(np.abs(sides).max()), sides.shape[1]
        edge, half, room = px(_EDGE), (self.width - px(3 * _EDGE)) // 2, self.height - px(_HEAD + 150)
        sizes = [(min(half // across, room // -(-count // across)), across) for across in range(1, count + 1)]
        (pitch, across), line = max(sizes), px(8)
        rows, zoom = -(-count // across), (pitch - line) // 3
        names = {"After training": edge, "Before training": 2 * edge + half}
        for (name, left), kernels in zip(names.items(), sides, strict=True):
            self.text(left, px(48), name, "bold", anchor="w", tags="live")
            large = tinted(kernels, strongest, ORANGE).repeat(zoom, axis=1).repeat(zoom, axis=2)  # (F, H, W, 3)
            around = ((0, rows * across - count), (0, line), (0, line), (0, 0))
            framed = np.pad(large, around, constant_values=_BETWEEN)
            mosaic = mosaic_of(framed.reshape(rows, across, *framed.shape[1:]))
            self.picture(left, px(_HEAD), mosaic[:-line, :-line])
        bottom = px(_HEAD) + rows * (3 * zoom + line)
        legend = f"blue: weights up to {strongest:.2f},  white: 0,  orange: down to −{strongest:.2f}"
        self.text(edge, bottom + px(10), legend, "small", anchor="w", tags="live")
        text, width = _KERNELS.format(count=count), self.width - 2 * edge
        self.text(edge, bottom + px(22), text, "text", anchor="nw", width=width, tags="live")

    def _show_nearest(self, found: Neighbours, digit: int) -> None:
        """The training digits most alike in both spaces; labels that the network did not answer stand out."""
        px, edge, labels = self.px, self.px(_EDGE), found.hidden.labels
        width = self.width - 2 * edge
        pitch, down = width // len(labels), (self.height - px(_HEAD + 70)) // 2
        side = self.theme.layout.tile(0, spare=min(pitch - px(6), down - px(60)))
        for row, (name, (title, what)) in enumerate(_SPACES.items()):
            nearest, y = getattr(found, name), px(_HEAD + 40) + row * down
            self.text(edge, y - px(30), title, "bold", anchor="w", tags="live")
            self.text(edge, y - px(13), what, "small", anchor="w", tags="live")
            for place, (image, label) in enumerate(zip(nearest.images, nearest.labels.tolist(), strict=True)):
                x = edge + place * pitch
                self.picture(x, y, widgets.fitted(image, side))
                text, colour = (str(label), widgets.INK) if label == digit else (f"▲ {label}", widgets.VERMILION)
                self.text(x + side / 2, y + side + px(13), text, "bold", colour, tags=f"live {name}")
        others = int((labels != digit).sum())
        said = f"▲ marks labels other than the network's answer, {digit}: {others} of its {len(labels)} most alike."
        self.text(edge, self.height - px(66), said, "text", anchor="nw", width=width, tags="live said")

    def _plan(self, model: DigitNet) -> None:
        bold, small, names = self.theme.bold.measure, self.theme.small.measure, ["Ink"]
        names += [*(f"Block {block + 1}" for block in range(len(model.blocks))), "Hidden"]
        layers = look_inside(model, np.zeros((SIDE, SIDE), dtype=np.uint8)).layers
        sizes, plan = [], []
        for name, (count, side) in zip(names, [(1, SIDE), *(layer.shape[:2] for layer in layers)], strict=True):
            sizes.append(f"{count}×{side}×{side}".removeprefix("1×").replace("×1×1", " units"))
            plan.append((count, side, max(bold(name), small(sizes[-1])) + self.px(4)))
        self._columns = plan_columns(plan, *self._size)
        lefts = [*(self._left + column.left for column in self._columns), self._logits]
        self._headings = list(zip(lefts, [*names, "Digits"], [*sizes, "score (logit)"], strict=True))

    def _show_maps(self, answer: Answer) -> None:
        px, inside, looking, survey = self.px, answer.inside, self.looking, self.looking.surveys.get(self.looking.look)
        if self._planned != looking.look:
            self._plan(looking.look.into(self._predictors))
            self._planned = looking.look
        for left, name, size in self._headings:
            self.text(left, px(46), name, "bold", anchor="w", tags="live")
            self.text(left, px(60), size, "small", anchor="w", tags="live")
        legend = f"■ silent here    ☒ dead: silent for all {len(survey.digits):,} validation digits" if survey else "…"
        self.text(self._left, self._bottom + px(41), legend, "small", SILENT_COLOUR, anchor="w", tags="live legend")
        line = self.height - px(_FOOT + _DETAIL + 4)
        self.rectangle(self._left, line, self.width - px(_EDGE), line + 1, widgets.RULE, "live")
        if inside is None or answer.picture is None:
            self.detail.show_hint()
            return
        maps, marks = [answer.picture[np.newaxis].astype(np.float32)], [np.zeros(1, np.int64)]
        for place, (values, column) in enumerate(zip(inside.layers, self._columns[1:], strict=True)):
            order = inside.by_strength(place) if looking.by_strength else np.arange(len(values))
            silent = inside.silent(place)
            self._orders.append(order)
            maps.append(values[order])
            marks.append((silent * (1 + survey.dead(place) if survey else 1))[order])
            said = f"white: {values.max():.1f}\n{silent.sum()} silent"
            left = self._left + column.left
            self.text(left, self._bottom + px(2), said, "small", anchor="nw", tags="live silent")
        self.picture(self._left, self._top, draw_maps(self._columns, *self._size, maps, marks))
        self._show_logits(inside, answer)
        if looking.spot is None:
            self.detail.show_hint()
        else:
            self._show_detail(looking.spot, inside, survey)

    def _show_logits(self, inside: Inside, answer: Answer) -> None:
        """Each digit's score as a bar from zero, right of it where it is positive, and the probability of the first."""
        px, logits, winner = self.px, inside.logits, int(inside.logits.argmax())
        low, high = min(0.0, float(logits.min())), max(0.0, float(logits.max()))
        per_unit = px(_LOGITS - 14 - 40) / max(high - low, 1)  # bars of an untrained network are as short as its scores
        zero, half = self._logits + px(14) - low * per_unit, min(px(7), self._pitch / 2 - 1)
        for digit, logit in enumerate(logits.tolist()):
            y = self._top + (digit + 0.5) * self._pitch
            font, colour = ("bold", widgets.BLUE) if digit == winner else ("small", widgets.LOSER)
            self.text(self._logits, y, str(digit), font, anchor="w", tags="live")
            start, end = sorted((zero, zero + logit * per_unit))
            self.rectangle(start, y - half, end, y + half, colour, "live")
            self.text(self._logits + px(_LOGITS), y, number(logit, 2), font, anchor="e", tags="live logit")
        self.rectangle(round(zero), self._top, round(zero) + 1, self._bottom, widgets.MUTED, "live")
        probability = format_probability(float(answer.probabilities[self.looking.look.place][winner]))
        self.text(self._logits, self._bottom + px(9), "probability", "small", anchor="w", tags="live")
        said = f"{winner}: {probability}"
        self.text(self._logits, self._bottom + px(24), said, "bold", anchor="w", tags="live probability")

    def _show_detail(self, spot: Spot, inside: Inside, survey: Survey | None) -> None:
        """What is behind a value, and frames around it and what it looks at."""
        model, (layer, index, row, column) = self.looking.look.into(self._predictors), spot
        framed = [self._box_of(spot)]
        if layer < len(inside.maps):
            pixel = pixel_sum(model, inside, *spot)
            sources = self.detail.show_pixel(pixel, f"Block {layer + 1}, filter {index}, row {row}, column {column}")
            framed.append(self._area(0, 0, *seen_by(model, layer, row, column)))
            framed += [
                self._area(layer, self._position(layer - 1, source), *pixel.corner, 3, 3)
                for source in (sources if layer else ())
            ]
        elif layer == len(inside.maps):
            weights = cast(nn.Linear, model.classifier[-1]).weight[:, index].numpy()
            self.detail.show_unit(index, float(inside.hidden[index]), weights, survey)
        else:
            self.detail.show_logit(index, logit_sum(model, inside, index), survey)
        line = max(1, self.px(1.5))
        for left, top, right, bottom in framed:
            corners = left - line, top - line, right, bottom
            self.canvas.create_rectangle(*corners, outline=widgets.VERMILION, width=line, tags="live frame")

    def _area(self, column: int, position: int, top: int, left: int, height: int, width: int) -> _Corners:
        """Where values of the map in a position of a column lie, as far as there are any; the first is the ink."""
        shown = self._columns[column]
        x0, y0 = shown.corner(position, max(top, 0), max(left, 0))
        x1, y1 = shown.corner(position, min(top + height, shown.side), min(left + width, shown.side))
        return self._left + x0, self._top + y0, self._left + x1, self._top + y1

    def _position(self, layer: int, index: int) -> int:
        """Where a filter's map lies in its column, as they are sorted now."""
        return list(self._orders[layer]).index(index)

    def _box_of(self, spot: Spot) -> _Corners:
        layer, index, row, column = spot
        if layer == len(self._orders):
            top = self._top + index * self._pitch
            return self._logits - self.px(4), top, self._logits + self.px(_LOGITS + 4), top + self._pitch
        return self._area(layer + 1, self._position(layer, index), row, column, 1, 1)

    def _spot_at(self, x: float, y: float) -> Spot | None:
        if x >= self._logits - self.px(4) and self._top <= y < self._bottom:
            return Spot(len(self._orders), int((y - self._top) / self._pitch))
        for layer, column in enumerate(self._columns[1:]):
            if found := column.at(int(x) - self._left, int(y) - self._top):
                position, row, right = found
                return Spot(layer, int(self._orders[layer][position]), row, right)
        return None

    def _click(self, event: tk.Event[tk.Canvas]) -> None:
        self.canvas.focus_set()
        self._choose(event.x, event.y)

    def _choose(self, x: float, y: float) -> None:
        if self._answer is not None and self._orders:
            self.looking.spot = self._spot_at(x, y)
            self.show(self._answer)

    def _move(self, right: int, down: int, event: object = None) -> None:
        """To the next value in a direction, or to the first of all."""
        if not self._orders:
            return
        if self.looking.spot is None:
            self._choose(self._left + self._columns[1].left, self._top)
            return
        left, top, end, bottom = self._box_of(self.looking.spot)
        x, y = (left + end) / 2, (top + bottom) / 2
        while self._left <= x < self.width and self._top <= y < self._bottom:
            x, y = x + right, y + down
            if self._spot_at(x, y) not in (None, self.looking.spot):
                self._choose(x, y)
                return
