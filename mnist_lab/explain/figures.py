"""Figures of saliency maps: plain data in, ``matplotlib.figure.Figure`` out.

A map that has a sign is blue where the picture speaks for the target and orange-red where it speaks against it; a map
without one runs from paper to blue. Each map has its own scale: compare where the colours are, not how deep they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize, to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mnist_lab import plotting
from mnist_lab.data.mnist import SIDE
from mnist_lab.explain import neighbour_figures, saliency
from mnist_lab.explain.saliency import DEFAULT_METHOD, METHODS, Curve, Examples, Explanation, SaliencyMethod
from mnist_lab.networks.compute import choose_compute
from mnist_lab.plotting import BLUE, LABEL, MUTED, ORANGE, SMALL, TEXT, VERMILION, draw_digit, new_figure, styled
from mnist_lab.report.document import Caption
from mnist_lab.terminal.wording import format_probability
from mnist_lab.training import figures as training_figures

_GAP = 5  # pixels between images that belong together
_COLOUR_NOTES = {
    True: "Blue speaks for {}, orange-red against it.",  # of methods whose maps have a sign
    False: "The bluer, the more it speaks for {}.",
}
_STRONGEST = 1.0  # percent of a map's pixels that lie beyond its colours, lest one pixel make all others pale
_SCALE_NOTE = f"Each map has its own scale, which the strongest {_STRONGEST:g} % of its pixels may exceed."

Image = NDArray[np.floating[Any]]


class Drawn(NamedTuple):
    """What a pen left, from which the digit was made."""

    ink: NDArray[np.uint8]  # (280, 280), black on white
    remark: str  # a few words about it: the brush, what was done to it since


@styled
def saliency_panel(
    explanation: Explanation, title: str, true: int | None = None, drawn: Drawn | None = None, note: str = ""
) -> Figure:
    """One digit's map under a sentence on what it shows; below it are its controls, under what they say.

    A drawing comes first, and the digit beside it is then white on black, as the network sees it.
    """
    method, target = METHODS[explanation.method], explanation.target
    width, height = (12.2, 7.9) if drawn is None else (14.6, 8.9)
    figure = new_figure(width, height, title, f"{method.title}: {method.description} ({method.paper}). {note}".strip())
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.2))[:, 0]
    read, told = reading(explanation.probabilities, None), _COLOUR_NOTES[method.signed].format(f"a {target}")
    _head_row(above, f"The digit is {read}. {told}")
    _head_row(below, "\n".join(("Controls: can the map be trusted?", *verdict(explanation))), fontweight="normal")
    names = ["input", "map", "overlay", "answer"]
    places = above.subplot_mosaic([names if drawn is None else ["drawn", *names]])
    places |= below.subplot_mosaic([["random", "edges", "deletion", "insertion"]], width_ratios=(1, 1, 1.35, 1.35))
    if drawn is None:
        draw_digit(places["input"], explanation.image)
        name_image(places["input"], "Input", "dark on white" if true is None else f"true {true}")
    else:
        _draw_image(places["drawn"], drawn.ink / 255, "gray", (0, 1))
        name_image(places["drawn"], "Drawn", drawn.remark)
        _draw_image(places["input"], explanation.image, "gray", (0, 1))
        name_image(places["input"], "What the network sees", "white on black")
    _draw_overlay(places["overlay"], explanation.image, explanation.map)
    name_image(places["overlay"], "Overlay", "the map's colours over the input")
    draw_answer(places["answer"], explanation.probabilities, target)
    name = f"{method.title}, target {target}"
    _draw_map(places["map"], explanation.map, method, name, "this network")
    _draw_map(places["random"], explanation.random_map, method, name, "same network, random weights")
    edges = _draw_image(places["edges"], explanation.edges, "Greys", (0, float(explanation.edges.max()) or 1.0))
    _add_colour_bar(edges, "change of ink per pixel")
    remark = f"rank correlation with the map {_format_correlation(explanation.sanity.edges)}"
    name_image(places["edges"], "Edges, no network", remark)
    deletion, insertion = explanation.curves
    _draw_curve(places["deletion"], deletion, target, "Deletion", "removed", "a small area is good")
    _draw_curve(places["insertion"], insertion, target, "Insertion", "inserted", "a large area is good")
    return figure


@styled
def saliency_by_class(examples: Examples, title: str) -> Figure:
    """One digit of each class (at least one): input, map by the default method and overlay, one class per column."""
    method = METHODS[DEFAULT_METHOD]
    asked = f"{method.title} for the predicted digit: {method.description} ({method.paper})."
    note = f"{asked}\n{_SCALE_NOTE} Bold: misclassified."
    digits, maps, probabilities = examples
    columns = len(digits)
    figure = new_figure(max(1.22 * columns + 1.0, 6.5), 5.8, title, note)
    part = plotting.panel_area(figure)
    right = int((probabilities.argmax(axis=1) == digits.labels.numpy()).sum())
    told = _COLOUR_NOTES[method.signed].format("the digit that each was read as")
    _head_row(part, f"{right} of these {columns} are read correctly. {told}")
    axes, (colours, limits) = part.subplots(), _colours_of(method, 1.0)
    scale = ScalarMappable(Normalize(*limits), colours)
    ink, strength = digits.images[:, 0].numpy() / 255, np.stack([map_ / _limit_of(map_) for map_ in maps])
    coloured = np.asarray(colours(scale.norm(strength)))[..., :3]  # (N, 28, 28, 3)
    rows = np.stack([plotting.on_paper(ink), coloured, _overlay(ink, strength)])
    page = plotting.mosaic_of(np.pad(rows, ((0, 0), (0, 0), (0, _GAP), (0, _GAP), (0, 0)), constant_values=1.0))
    lefts, tops = ([(SIDE + _GAP) * place for place in range(count)] for count in (columns, len(rows)))
    plotting.draw_framed(axes, page[:-_GAP, :-_GAP], [(left, top) for top in tops for left in lefts], SIDE)
    for left, true, index, answer in zip(lefts, digits.labels, digits.indices, probabilities, strict=True):
        read, middle = answer.argmax(), left + SIDE / 2 - 0.5
        text = f"true {true}\nread as {read}\n{format_probability(float(answer[read]))}"
        axes.text(middle, -2, text, ha="center", va="bottom", fontweight="normal" if true == read else "bold")
        axes.text(middle, len(page) - _GAP, f"test digit\n{index}", ha="center", va="top", fontsize=SMALL, color=MUTED)
    for top, name in zip(tops, ("input", "map", "overlay"), strict=True):
        axes.text(-2, top + SIDE / 2, name, ha="right", va="center", rotation=90, fontsize=LABEL)
    ticks = [-1, -0.5, 0, 0.5, 1]
    bar = part.colorbar(scale, ax=axes, shrink=0.6, aspect=25, pad=0.01, extend="both", ticks=ticks)
    plotting.style_colour_bar(bar.ax, "attribution (own scale of each map)")
    return figure


@styled
def saliency_by_method(
    explanation: Explanation, maps: Mapping[str, Image], title: str, true: int | None, note: str = ""
) -> Figure:
    """What the methods (name to map, (28, 28)) say about the same digit, network and target."""
    differ = "The methods ask different questions, each in its own unit, and need not agree."
    told = _COLOUR_NOTES[True].format(f"the target {explanation.target}")
    figure = new_figure(2.3 * len(maps) + 2.3, 5.0, title, f"{told} {differ} {note}".strip())
    methods = [(METHODS[name], map_) for name, map_ in maps.items()]
    shown = [(method.title, method.paper.split(",")[0], method, map_) for method, map_ in methods]
    below = _draw_side_by_side(figure, explanation.image, reading(explanation.probabilities, true), shown)
    draw_answer(below, explanation.probabilities, explanation.target)
    return figure


@styled
def saliency_by_run(
    explanation: Explanation,
    maps: Mapping[str, Image],
    answers: Mapping[str, Image],
    title: str,
    true: int | None,
    note: str = "",
) -> Figure:
    """What several networks looked at in an explained digit: maps (28, 28) and answers (10,), 0..1, by their names."""
    method = METHODS[explanation.method]
    told = _COLOUR_NOTES[method.signed].format(f"the target {explanation.target}")
    foot = f"{method.title}: {method.description}.\n{told} {_SCALE_NOTE} {note}".strip()
    figure = new_figure(2.5 * len(maps) + 2.3, 5.4, title, foot)
    shown = [  # a run's name is too long for one line above an image: its time, and below that what it is
        ("\n".join(plotting.drawable(name).rsplit("_", 1)), reading(answers[name], None), method, map_)
        for name, map_ in maps.items()
    ]
    below = _draw_side_by_side(figure, explanation.image, "" if true is None else f"true {true}", shown)
    below.set_axis_off()
    below.text(0, 0.5, f"{method.title},\nmaps for the target {explanation.target}", va="center")
    return figure


def _draw_side_by_side(
    figure: Figure, image: Image, remark: str, shown: Sequence[tuple[str, str, SaliencyMethod, Image]]
) -> Axes:
    """The input, then each map, with its name and a remark, over its overlay; gives the place below the input."""
    tiles = figure.subplots(2, len(shown) + 1)
    draw_digit(tiles[0, 0], image)
    name_image(tiles[0, 0], "Input", remark)
    for (above, below), (name, remark, method, map_) in zip(tiles.T[1:], shown, strict=True):
        _draw_map(above, map_, method, name, remark)
        _draw_overlay(below, image, map_)
    place: Axes = tiles[1, 0]
    return place


def _head_row(part: SubFigure, text: str, **style: Any) -> None:
    text = plotting.wrapped(text, int(11.5 * part.figure.get_figwidth()))
    part.suptitle(text, x=0.01, ha="left", fontsize=LABEL, linespacing=1.4, **style)


def verdict(explanation: Explanation) -> tuple[str, str]:
    """What the controls say about a map, in two plain sentences: the one on random weights, the one on the curves."""
    sanity, curves = explanation.sanity, explanation.curves
    compared = f"rank correlation of strengths {_format_correlation(sanity.places)}, mean over random networks"
    within = f"within the strokes ({_format_correlation(sanity.strokes)})"
    survives = "does not survive" if sanity.places < saliency.SURVIVAL_THRESHOLD else "survives"
    if sanity.places < saliency.SURVIVAL_THRESHOLD:
        why = ": where it points depends on what was learned."
    elif sanity.strokes < saliency.SURVIVAL_THRESHOLD:
        why = f": its outline shows the picture, not what was learned. Its pattern {within} does not survive."
    else:
        why = f", even {within}: it shows the picture more than what was learned."
    falls, rises = ("faster" if beats else "no faster" for beats in curves.beat_random)
    effect = f"lowers p({explanation.target}) {falls}, and inserting them raises it {rises}"
    orders = f"the best of {len(curves.deletion.random)} random orders"
    matter = (": no sign that they matter.", ".", ": they matter.")[sum(curves.beat_random)]
    return (
        f"The map {survives} random weights ({compared}){why}",
        f"Removing its highest pixels {effect}, than {orders}{matter}",
    )


def _format_correlation(correlation: float) -> str:
    return f"{correlation:z.2f}".replace("-", "−")  # z: no minus sign before a zero


def reading(probabilities: NDArray[np.floating[Any]], true: int | None) -> str:
    """The true and the predicted digit: "true 5, read as 3 (97.1 %)"."""
    predicted = int(np.argmax(probabilities))
    read = f"read as {predicted} ({format_probability(float(probabilities[predicted]))})"
    return read if true is None else f"true {true}, {read}"


def draw_answer(axes: Axes, probabilities: NDArray[np.floating[Any]], target: int) -> None:
    """The network's ten probabilities as bars with numbers, the target's dark."""
    colours = [BLUE if digit == target else plotting.SKY_BLUE for digit in plotting.DIGITS]
    bars = axes.barh(plotting.DIGITS, 100 * probabilities, color=colours, height=0.75)
    axes.bar_label(bars, [format_probability(float(one)) for one in probabilities], padding=3, fontsize=SMALL)
    plotting.style_axes(axes, "probability (%)", "digit")
    axes.set(yticks=plotting.DIGITS, xticks=(0, 50, 100), xlim=(0, 145), box_aspect=1)
    axes.grid(visible=False, axis="y")
    axes.invert_yaxis()
    name_image(axes, "Answer", "of this network")


def _draw_curve(axes: Axes, curve: Curve, target: int, name: str, done: str, wish: str) -> None:
    percent, others, areas = 100 * curve.fractions, 100 * curve.random, curve.random_areas
    axes.fill_between(percent, others.min(axis=0), others.max(axis=0), color=ORANGE, alpha=0.25, linewidth=0)
    mean = f"{len(others)} random orders: area {areas.mean():.2f} ± {areas.std(ddof=1):.2f}"
    axes.plot(percent, others.mean(axis=0), color=ORANGE, linestyle="--", label=mean)
    axes.plot(percent, 100 * curve.values, color=BLUE, label=f"map's order: area {curve.area:.2f}")
    plotting.style_axes(axes, f"inked pixels {done} (%)", f"p({target}) (%)")
    axes.set(xlim=(0, 100), ylim=(-4, 104), box_aspect=0.63)
    axes.set_title(name, loc="left", fontweight="bold", pad=34)
    axes.set_title(wish, loc="right", fontsize=TEXT, color=MUTED, pad=34)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), borderpad=0.2)


def _colours_of(method: SaliencyMethod, limit: float) -> tuple[Colormap, tuple[float, float]]:
    return (plotting.AGAINST_AND_FOR, (-limit, limit)) if method.signed else (plotting.FOR, (0.0, limit))


def _limit_of(map_: Image) -> float:
    """Where a map's colours end: exceeded only by its strongest pixels; 1 for a map of zeros."""
    strength = np.abs(map_)
    return float(np.percentile(strength, 100 - _STRONGEST)) or float(strength.max()) or 1.0


def name_image(axes: Axes, name: str, remark: str) -> None:
    """A name in bold over an image, and a few words below it."""
    axes.set_title(name, loc="left", fontweight="bold", pad=18)
    axes.annotate(remark, (0, 1), (0, 4), "axes fraction", "offset points", color=MUTED, va="bottom")


def _draw_image(axes: Axes, values: Image, colours: str | Colormap, limits: tuple[float, float]) -> AxesImage:
    axes.set(xticks=[], yticks=[])
    return axes.imshow(values, cmap=colours, vmin=limits[0], vmax=limits[1])


def _draw_map(axes: Axes, map_: Image, method: SaliencyMethod, name: str, remark: str) -> None:
    name_image(axes, name, remark)
    drawn = _draw_image(axes, map_, *_colours_of(method, _limit_of(map_)))
    if map_.any():
        _add_colour_bar(drawn, method.unit)
    else:
        axes.text(0.5, 0.5, "zero everywhere", transform=axes.transAxes, ha="center", color=MUTED)


def _add_colour_bar(drawn: AxesImage, unit: str) -> None:
    """A colour bar as high as its image, beside it; very small and very large values in powers of a thousand."""
    axes, values, (low, high) = drawn.axes, np.asarray(drawn.get_array()), drawn.get_clim()
    beyond = int(values.min() < low) + 2 * int(values.max() > high)
    beside = axes.inset_axes((1.04, 0.0, 0.06, 1.0))
    bar = axes.figure.colorbar(drawn, cax=beside, extend=("neither", "min", "max", "both")[beyond])
    exponent = 0 if 0.05 <= high < 1000 else 3 * int(np.floor(np.log10(high) / 3))
    ticks = [tick for tick in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= tick <= high]
    bar.set_ticks(ticks, labels=[f"{tick / 10**exponent:g}".replace("-", "−") for tick in ticks])
    plotting.style_colour_bar(beside, unit if exponent == 0 else f"$10^{{{exponent}}}$ {unit}")
    beside.tick_params(labelsize=SMALL)


def _draw_overlay(axes: Axes, image: Image, map_: Image) -> None:
    axes.set(xticks=[], yticks=[])
    axes.imshow(_overlay(image, map_ / _limit_of(map_)))


def _overlay(ink: Image, strength: Image) -> Image:
    """Faint ink (...), 0..1, under the hues of a map (...), whose colours end at 1: the stronger, the more opaque."""
    opacity = 0.85 * np.abs(np.clip(strength, -1, 1))[..., np.newaxis]
    hues = np.where(strength[..., np.newaxis] > 0, to_rgb(BLUE), to_rgb(VERMILION))
    return (1 - opacity) * plotting.on_paper(0.35 * ink) + opacity * hues  # faint, so that the colours stand out


def _find_examples(run: training_figures.RunData) -> tuple[Examples, str]:
    return saliency.class_examples(run.model, run.digits, choose_compute()), run.record.title


_TEXT = """Blue speaks for the digit, orange-red against it: look at where the colours are, not at how deep, as each
map has its own scale. A map shows what the answer depends on, which is not always what a person would look at."""
_BY_CLASS = "A digit of each class and, below it, a map of the pixels that the network's answer depended on."
RUN_FIGURES = training_figures.RUN_FIGURES | {
    "neighbours.png": neighbour_figures.RUN_FIGURE,
    "saliency.png": training_figures.RunFigure(
        lambda found: saliency_by_class(*found), Caption("Which pixels mattered", _BY_CLASS, _TEXT), _find_examples
    ),
}
"""All figures that a run leaves, by file name."""

_PANEL = "A digit, a map of the pixels that the network's answer depended on, and the controls of that map."
_METHODS = "Maps of one digit by several methods, side by side."
_DISAGREE = "Where the methods disagree, none of them should be believed alone."
CAPTIONS = {
    "saliency.png": Caption("Which pixels mattered", _PANEL, _TEXT),
    "methods.png": Caption("The same question, asked by every method", _METHODS, _DISAGREE),
    "runs.png": Caption("The same digit in several networks", "Maps of one digit for several networks, side by side."),
    "neighbours.png": neighbour_figures.CAPTION,
}
"""The captions of the pictures in a folder about one digit."""
