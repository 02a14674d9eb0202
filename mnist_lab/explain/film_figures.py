"""Films as animated pictures (WebP): of one training, or of several side by side, aligned by the digits seen."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import SubFigure
from PIL import Image

from mnist_lab.explain.figures import RUN_FIGURES
from mnist_lab.explain.film import DIGIT_COLOURS, Film, FilmRecorder, mapped_digits, read_film
from mnist_lab.plotting import DIGITS, LABEL, SMALL, drawable, new_figure, panel_area, styled
from mnist_lab.report.document import Caption
from mnist_lab.training.figures import RunData, RunFigure
from mnist_lab.training.page import FILM_FILE, FILM_PICTURE
from mnist_lab.training.session import RunExtras

_PACE, _HOLD = 600, 4000  # milliseconds that a moment is shown, and the last one
_DPI, _MOST_FRAMES = 100, 48  # a page holds fewer than 50 million pixels of a picture
_CODED = {"lossless": True, "quality": 20, "method": 1}  # 15 ms a frame; smaller ones take longer
_SCALES = "Kernels: blue above 0, vermilion below. Confusion: blue right, vermilion wrong; logarithmic, from 0.1 %."


@styled
def draw_film(films: Mapping[str, Film], title: str) -> bytes:
    """Films by the names of their runs, at least one, as the content of a WebP file that goes on in a loop.

    One without a moment of its own after so many digits shows the one before, and one that has ended its last.
    """
    alone = len(films) == 1
    remarks = [film.remark if alone else f"{drawable(name)}. {film.remark}" for name, film in films.items()]
    width, height = (9.6, 4.4) if alone else (3.2 * len(films), 7.6)
    figure = new_figure(width, height, title, "\n".join((_SCALES, *remarks)))
    figure.set_dpi(_DPI)
    canvas: Any = FigureCanvasAgg(figure)
    parts = panel_area(figure).subfigures(1, len(films), squeeze=False)[0]
    names = [""] if alone else films
    panels = [_panels(*one) for one in zip(parts, names, films.values(), strict=True)]
    canvas.draw()  # all but what changes, once
    background, frames = canvas.copy_from_bbox(figure.bbox), []
    moments = sorted({int(seen) for film in films.values() for seen in film.seen})
    for seen in moments[:: -math.ceil(len(moments) / _MOST_FRAMES)][::-1]:  # the last is always there
        canvas.restore_region(background)
        for update in panels:
            for artist in update(seen):
                artist.draw(canvas.get_renderer())
        frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"))
    content, durations = io.BytesIO(), [_PACE] * (len(frames) - 1) + [_HOLD]
    frames[0].save(content, "WEBP", save_all=True, append_images=frames[1:], duration=durations, loop=0, **_CODED)
    return content.getvalue()


def _panels(part: SubFigure, name: str, film: Film) -> Callable[[int], list[Artist]]:
    """Kernels, confusion matrix and map of one film, beside each other, or in one column under its name.

    Returns what shows the moment after so many digits, and tells which artists have to be drawn for it.
    """
    heading = part.suptitle(film.titles[0] + "\n\n" * bool(name), fontsize=LABEL)  # as high as it will be
    if name:
        map_, confusion, kernels = part.subplots(3, 1, height_ratios=(1.4, 1.3, 0.7))
    else:
        kernels, confusion, map_ = part.subplots(1, 3, width_ratios=(0.62, 1.2, 1.5))
    columns = 8 if name else 4
    kernels.set(xticks=[], yticks=[], title=f"{film.kernels.shape[1]} kernels of block 1")
    kernels.spines[:].set_visible(False)
    confusion.set(title="validation digits", xlabel="predicted digit", ylabel="true digit")
    confusion.set(xticks=DIGITS, yticks=DIGITS)
    confusion.tick_params(length=0, labelsize=SMALL)
    first, second = (f"component {place}: {100 * held:.0f} %" for place, held in enumerate(film.variance, start=1))
    map_.set(title=f"a map of {film.places.shape[1]} digits", xlabel=first, ylabel=second, xticks=[], yticks=[])
    map_.update_datalim(film.places.reshape(-1, 2))  # no digit falls off it at any moment
    map_.autoscale_view()
    pictures = kernels.imshow(film.kernel_pixels(0, columns)), confusion.imshow(film.confusion_pixels(0))
    numerals = [
        map_.plot([], [], linestyle="", marker=f"${digit}$", markersize=5, color=colour)[0]
        for digit, colour in enumerate(DIGIT_COLOURS)
    ]
    changing: list[Artist] = [heading, *pictures, *numerals]
    for artist in changing:
        artist.set_animated(True)
    labels = mapped_digits().labels.numpy()

    def update(seen: int) -> list[Artist]:
        moment = max(int(film.seen.searchsorted(seen, side="right")) - 1, 0)
        told = film.titles[moment]
        heading.set_text("\n".join((drawable(name), *told.split(", "))) if name else told)
        pictures[0].set_data(film.kernel_pixels(moment, columns))
        pictures[1].set_data(film.confusion_pixels(moment))
        for digit, line in enumerate(numerals):
            line.set_data(*film.places[moment, labels == digit].T)
        return changing

    return update


def _draw_run(run: RunData) -> bytes:
    return draw_film({run.record.title: read_film(run.record)}, run.record.title)


CAPTION = Caption(
    "The film of the training",
    "An animation: the first block's kernels, a confusion matrix and a map of digits, at moments of the training.",
    "Most moments are early, because most is learned there; the last one, which stays longer, is the network that was "
    "kept. On the map, the digits of a class gather while the network learns to tell them apart. What it does not "
    "show: the map has two components of many hidden units, and digits that overlap on it may be far apart. The "
    "kernels are only the first block's, and explain no answer.",
)
RUN_EXTRAS = RunExtras(RUN_FIGURES | {FILM_PICTURE: RunFigure(_draw_run, CAPTION, needs=FILM_FILE)}, FilmRecorder)
"""All that a run leaves besides its numbers: figures, and its film."""
