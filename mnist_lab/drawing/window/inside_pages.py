"""Two pages of the inside view: the first kernels before and after training, and the nearest training digits."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from PIL import Image

from mnist_lab.drawing.preprocess import Picture
from mnist_lab.drawing.window import widgets
from mnist_lab.drawing.window.answer import Interior
from mnist_lab.drawing.window.inside_maps import tinted
from mnist_lab.explain.inside import first_kernels
from mnist_lab.explain.neighbours import Neighbours

with suppress(ImportError):  # app.py says what is missing when a window is asked for
    import tkinter as tk

_EDGE, _TOP = 12, 62  # units
_KERNELS = (
    "Each of the {count} filters of block 1 slides its kernel, 3 × 3 weights, over your picture, multiplies each pixel "
    "by the weight above it, and adds: much ink under blue makes the sum large. Before training, they are random. "
    "Compare each kernel with its twin: training moves some far, and others hardly. Press Untrained, then Maps, to see "
    "what the random ones make of your digit."
)
_SPACES = {
    "hidden": ("Alike for the trained network", "training digits that excite its hidden units most similarly"),
    "pixels": ("Alike pixel by pixel", "training digits whose pixels differ least"),
}


def draw_kernels(panel: widgets.Panel, interior: Interior) -> tk.PhotoImage:
    """The first block's kernels, trained and untrained beside each other, with one scale of colours."""
    px, sides = panel.px, [first_kernels(model) for model in (interior.trained, interior.untrained)]
    strongest, count = float(np.abs(sides).max()), len(sides[0])
    half, top = (panel.width - px(3 * _EDGE)) // 2, px(_TOP)
    room = panel.height - top - px(150)
    across = max((4, 8), key=lambda across: min(half // across, room * across // count))
    zoom = (min(half // across, room * across // count) - px(6)) // 3
    height = count // across * (3 * zoom + px(6))
    picture = np.full((height, panel.width, 3), 255, dtype=np.uint8)
    names = "After training", "Before the first step of training"
    for left, name, kernels in zip((px(_EDGE), px(2 * _EDGE) + half), names, sides, strict=True):
        panel.text(left, px(48), name, "bold", anchor="w", tags="page")
        for place, kernel in enumerate(tinted(kernels, strongest)):
            x, y = left + place % across * (3 * zoom + px(6)), 1 + place // across * (3 * zoom + px(6))
            picture[y - 1 : y + 3 * zoom + 1, x - 1 : x + 3 * zoom + 1] = 213  # a line around it
            picture[y : y + 3 * zoom, x : x + 3 * zoom] = kernel.repeat(zoom, axis=0).repeat(zoom, axis=1)
    legend = f"blue: weights up to {strongest:.2f},  white: 0,  orange: down to −{strongest:.2f}"
    panel.text(px(_EDGE), top + height + px(10), legend, "small", anchor="w", tags="page")
    text, room = _KERNELS.format(count=count), panel.width - px(2 * _EDGE)
    panel.text(px(_EDGE), top + height + px(22), text, "text", anchor="nw", width=room, tags="page")
    return _place(panel, picture, top, "page")


def draw_nearest(panel: widgets.Panel, found: Neighbours, digit: int) -> tk.PhotoImage:
    """The training digits most alike in both spaces; those with another label than the network's answer stand out."""
    px, pitch = panel.px, (panel.width - panel.px(2 * _EDGE)) // len(found.hidden.labels)
    side, height = panel.theme.layout.tile(min(pitch, px(90)) / px(1) - 6), panel.height - px(_TOP + 70)
    picture = np.full((height, panel.width, 3), 255, dtype=np.uint8)
    for row, (name, (title, what)) in enumerate(_SPACES.items()):
        nearest, y = getattr(found, name), px(40) + row * height // 2
        panel.text(px(_EDGE), px(_TOP) + y - px(30), title, "bold", anchor="w", tags="live")
        panel.text(px(_EDGE), px(_TOP) + y - px(13), what, "small", anchor="w", tags="live")
        for place, (image, label) in enumerate(zip(nearest.images, nearest.labels.tolist(), strict=True)):
            x = px(_EDGE) + place * pitch
            picture[y : y + side, x : x + side] = widgets.fitted(image, side)
            text, colour = (str(label), widgets.INK) if label == digit else (f"▲ {label}", widgets.VERMILION)
            panel.text(x + side / 2, px(_TOP + 13) + y + side, text, "bold", colour, tags=f"live {name}")
    others, count = int((found.hidden.labels != digit).sum()), len(found.hidden.labels)
    said = f"▲ marks labels other than the network's answer, {digit}: {others} of its {count} most alike."
    room = panel.width - px(2 * _EDGE)
    panel.text(px(_EDGE), panel.height - px(66), said, "text", anchor="nw", width=room, tags="live said")
    return _place(panel, picture, px(_TOP), "live")


def _place(panel: widgets.Panel, picture: Picture, top: int, tags: str) -> tk.PhotoImage:
    """Put a picture under the texts; Tk shows it as long as somebody keeps it."""
    image = tk.PhotoImage(master=panel.canvas, data=widgets.ppm(Image.fromarray(picture)), format="PPM")
    panel.canvas.tag_lower(panel.canvas.create_image(0, top, anchor="nw", image=image, tags=tags))
    return image
