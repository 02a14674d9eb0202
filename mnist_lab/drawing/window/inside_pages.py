"""Two pages of the inside view: the first kernels before and after training, and the nearest training digits."""

from __future__ import annotations

import numpy as np

from mnist_lab.drawing.window import widgets
from mnist_lab.drawing.window.answer import Interior
from mnist_lab.drawing.window.inside_maps import tinted
from mnist_lab.explain.inside import first_kernels
from mnist_lab.explain.neighbours import Neighbours

_EDGE, _TOP = 12, 62  # units
_BETWEEN = 225  # the grey of the lines between kernels
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


def draw_kernels(panel: widgets.Panel, interior: Interior) -> None:
    """The first block's kernels, trained and untrained beside each other, with one scale of colours."""
    px, sides = panel.px, np.array([first_kernels(model) for model in (interior.trained, interior.untrained)])
    strongest, count = float(np.abs(sides).max()), sides.shape[1]
    edge, half, room = px(_EDGE), (panel.width - px(3 * _EDGE)) // 2, panel.height - px(_TOP + 150)
    across = max((4, 8), key=lambda across: min(half // across, room * across // count))
    line = px(12)
    zoom = (min(half // across, room * across // count) - line) // 3
    for left, name, kernels in zip((edge, 2 * edge + half), ("After training", "Before training"), sides, strict=True):
        panel.text(left, px(48), name, "bold", anchor="w", tags="live")
        large = tinted(kernels, strongest).repeat(zoom, axis=1).repeat(zoom, axis=2)  # (F, 3 zoom, 3 zoom, 3)
        framed = np.pad(large, ((0, 0), (0, line), (0, line), (0, 0)), constant_values=_BETWEEN)
        rows = framed.reshape(-1, across, *framed.shape[1:]).swapaxes(1, 2)
        panel.picture(left, px(_TOP), rows.reshape(-1, across * (3 * zoom + line), 3)[:-line, :-line])
    bottom = px(_TOP) + count // across * (3 * zoom + line)
    legend = f"blue: weights up to {strongest:.2f},  white: 0,  orange: down to −{strongest:.2f}"
    panel.text(edge, bottom + px(10), legend, "small", anchor="w", tags="live")
    text, width = _KERNELS.format(count=count), panel.width - 2 * edge
    panel.text(edge, bottom + px(22), text, "text", anchor="nw", width=width, tags="live")


def draw_nearest(panel: widgets.Panel, found: Neighbours, digit: int) -> None:
    """The training digits most alike in both spaces; those with another label than the network's answer stand out."""
    px, edge, labels = panel.px, panel.px(_EDGE), found.hidden.labels
    width = panel.width - 2 * edge
    pitch = width // len(labels)
    side = panel.theme.layout.tile(min(pitch, px(90)) / px(1) - 6)
    for row, (name, (title, what)) in enumerate(_SPACES.items()):
        nearest, y = getattr(found, name), px(_TOP + 40) + row * (panel.height - px(_TOP + 70)) // 2
        panel.text(edge, y - px(30), title, "bold", anchor="w", tags="live")
        panel.text(edge, y - px(13), what, "small", anchor="w", tags="live")
        for place, (image, label) in enumerate(zip(nearest.images, nearest.labels.tolist(), strict=True)):
            x = edge + place * pitch
            panel.picture(x, y, widgets.fitted(image, side))
            text, colour = (str(label), widgets.INK) if label == digit else (f"▲ {label}", widgets.VERMILION)
            panel.text(x + side / 2, y + side + px(13), text, "bold", colour, tags=f"live {name}")
    others = int((labels != digit).sum())
    said = f"▲ marks labels other than the network's answer, {digit}: {others} of its {len(labels)} most alike."
    panel.text(edge, panel.height - px(66), said, "text", anchor="nw", width=width, tags="live said")
