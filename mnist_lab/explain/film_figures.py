"""Films as animated pictures (WebP): one training in a row, or several side by side, aligned by the digits seen."""

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

from mnist_lab import plotting
from mnist_lab.explain.figures import RUN_FIGURES
from mnist_lab.explain.film import DIGIT_COLOURS, Film, FilmRecorder, mapped_digits, read_film
from mnist_lab.plotting import LABEL, SMALL, drawable, new_figure, styled
from mnist_lab.report.document import Caption
from mnist_lab.training.figures import RunData, RunFigure
from mnist_lab.training.page import FILM_FILE, FILM_PICTURE
from mnist_lab.training.runs import damaged_run
from mnist_lab.training.session import RunExtras

_PACE, _HOLD = 600, 4000  # milliseconds that a moment is shown, and the last one
_MOST_FRAMES = 48
_DPI = 100
_SCALES = (
    "Kernels: blue above 0, vermilion below. Confusion: blue right, vermilion wrong, logarithmic from 0.1 % of a row."
)

Update = Callable[[int], list[Artist]]  # shows the moment after so many digits; returns what is to be drawn


@styled
def draw_film(films: Mapping[str, Film], title: str) -> bytes:
    """Films by the names of their runs, as the content of a WebP file that goes on in a loop.

    A film without a moment of its own after so many digits shows the one before; one that has ended, its last.
    """
    alone = len(films) == 1
    remarks = "\n".join(film.remark if alone else f"{name}: {film.remark}" for name, film in films.items())
    size = (9.6, 4.4) if alone else (3.2 * len(films), 7.6)
    figure = new_figure(*size, title, f"{_SCALES}\n{remarks}")
    figure.set_dpi(_DPI)
    canvas: Any = FigureCanvasAgg(figure)
    parts = figure.add_subfigure(figure.add_gridspec()[0]).subfigures(1, len(films), squeeze=False)[0]
    updates = [_film_panels(part, name, film, alone) for part, (name, film) in zip(parts, films.items(), strict=True)]
    canvas.draw()  # what moves is left out
    still = canvas.copy_from_bbox(figure.bbox)
    frames = []
    for seen in _moments(films):
        canvas.restore_region(still)
        for update in updates:
            for artist in update(seen):
                artist.draw(canvas.get_renderer())
        frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"))
    content, durations = io.BytesIO(), [_PACE] * (len(frames) - 1) + [_HOLD]
    first, *others = frames
    first.save(
        content,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=durations,
        loop=0,
        lossless=True,
        quality=20,
        method=1,
    )
    return content.getvalue()


def _moments(films: Mapping[str, Film]) -> list[int]:
    """The moments of all films, of very many every second, third ...; the last is always there."""
    found = sorted({int(seen) for film in films.values() for seen in film.seen})
    return found[:: -math.ceil(len(found) / _MOST_FRAMES)][::-1]


def _film_panels(part: SubFigure, name: str, film: Film, alone: bool) -> Update:
    """Kernels, confusion matrix and map of one film, beside or below each other; what changes is animated."""
    heading = part.suptitle("" if alone else "\n\n", fontsize=LABEL, animated=True)
    if alone:
        kernels, confusion, map_ = part.subplots(1, 3, width_ratios=(0.62, 1.2, 1.5))
    else:
        map_, confusion, kernels = part.subplots(3, 1, height_ratios=(1.4, 1.3, 0.7))
    columns = 4 if alone else 8
    kernels.set(xticks=[], yticks=[], title=f"{film.kernels.shape[1]} kernels of layer 1")
    kernels.spines[:].set_visible(False)
    confusion.set(xlabel="predicted digit", ylabel="true digit", title=f"{film.confusion[0].sum():,} validation digits")
    confusion.set(xticks=plotting.DIGITS, yticks=plotting.DIGITS)
    confusion.tick_params(length=0, labelsize=SMALL)
    first, second = (f"component {place}: {100 * held:.0f} %" for place, held in enumerate(film.variance, start=1))
    map_.set(
        xlabel=first, ylabel=second, xticks=[], yticks=[], title=f"map of {film.places.shape[1]} validation digits"
    )
    low, high = film.places.min(axis=(0, 1)), film.places.max(axis=(0, 1))
    edge = 0.04 * (high - low) + 1e-6
    map_.set(xlim=(low[0] - edge[0], high[0] + edge[0]), ylim=(low[1] - edge[1], high[1] + edge[1]))
    labels = mapped_digits().labels.numpy()
    numerals = [
        map_.plot([], [], linestyle="", marker=f"${digit}$", markersize=5, color=colour, animated=True)[0]
        for digit, colour in enumerate(DIGIT_COLOURS)
    ]
    pictures = kernels.imshow(film.kernel_pixels(0, columns)), confusion.imshow(film.confusion_pixels(0))
    for picture in pictures:
        picture.set_animated(True)

    def update(seen: int) -> list[Artist]:
        moment = max(int(film.seen.searchsorted(seen, side="right")) - 1, 0)
        told = film.titles[moment]
        heading.set_text(told if alone else "\n".join((drawable(name), *told.split(", "))))
        pictures[0].set_data(film.kernel_pixels(moment, columns))
        pictures[1].set_data(film.confusion_pixels(moment))
        for digit, line in enumerate(numerals):
            line.set_data(*film.places[moment, labels == digit].T)
        return [heading, *pictures, *numerals]

    return update


def _draw_run(run: RunData) -> bytes:
    film = read_film(run.record)
    if film is None:
        raise damaged_run(run.record.folder, f"it holds no {FILM_FILE}")
    return draw_film({run.record.title: film}, run.record.title)


CAPTION = Caption(
    "The film of the training",
    "An animation: the first layer's kernels, a confusion matrix and a map of digits, at moments of the training.",
    "Most moments are early, because most is learned there; the last one, which stays longer, is the network that was "
    "kept. On the map, the digits of a class gather while the network learns to tell them apart. What it does not "
    "show: the map has two components of many hidden units, and digits that overlap on it may be far apart. The "
    "kernels are only the first layer, and explain no answer.",
)
RUN_EXTRAS = RunExtras(RUN_FIGURES | {FILM_PICTURE: RunFigure(_draw_run, CAPTION, needs=FILM_FILE)}, FilmRecorder)
"""All that a run leaves besides its numbers: figures, and its film."""
