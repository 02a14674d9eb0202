"""Figures of saliency maps: plain data in, ``matplotlib.figure.Figure`` out.

A map that has a sign is blue where the picture speaks for the target and orange-red where it speaks against it; a map
without one runs from paper to blue. Each map has its own colour bar: networks and methods have different scales, and
what may be compared is the place of the colours, not their depth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mnist_lab.explain.methods import DEFAULT_METHOD, METHODS, SaliencyMethod
from mnist_lab.explain.saliency import Curves, Examples, Explanation, class_examples
from mnist_lab.networks.compute import choose_compute
from mnist_lab.plotting import (
    BLUE,
    DIGITS,
    INK,
    LABEL,
    MUTED,
    ORANGE,
    PAPER,
    RULE,
    SKY_BLUE,
    SMALL,
    TEXT,
    draw_digit,
    drawable,
    new_figure,
    style_axes,
    style_colour_bar,
    styled,
)
from mnist_lab.report.document import Caption
from mnist_lab.terminal.wording import format_probability
from mnist_lab.training import figures as training_figures
from mnist_lab.training.figures import RunData, RunFigure

if TYPE_CHECKING:
    from matplotlib.typing import HashableList


VERMILION = "#D55E00"  # Okabe & Ito's; with blue it is told apart with every common kind of colour vision
AGAINST_AND_FOR = LinearSegmentedColormap.from_list(
    "against and for", ["#7A2E00", VERMILION, "#F2BE9B", PAPER, "#97C3E2", BLUE, "#00304D"]
)
FOR = LinearSegmentedColormap.from_list("for", [PAPER, "#97C3E2", BLUE, "#00304D"])
EDGES = "Greys"

STRONGEST = 1.0  # percent of a map's pixels that lie beyond its colours, lest one pixel make all others pale
FAINT_INK = 0.35  # darkness of the digit under an overlay, where the colours should speak
SCALE_NOTE = f"Each map has its own scale, which the strongest {STRONGEST:g} % of its pixels may exceed."
PANEL: list[HashableList[str]] = [
    ["input", "map", "overlay", "deletion"],
    ["answer", "random", "edges", "insertion"],
]
PANEL_OF_A_DRAWING: list[HashableList[str]] = [["drawn", *PANEL[0]], ["answer", *PANEL[1]]]
WIDE = 0.42  # height by width of a panel over two columns that is as high as the images beside it
OVERLAY_OPACITY = 0.85  # of the strongest colours: the digit stays visible below

Image = NDArray[np.floating[Any]]


class Drawn(NamedTuple):
    """What a pen left, from which the digit was made.

    Attributes:
        ink: (280, 280) uint8, black on white.
        remark: a few words about it: the brush, what was done to it since.
    """

    ink: NDArray[np.uint8]
    remark: str


@styled
def saliency_panel(
    explanation: Explanation, *, title: str, true: int | None = None, drawn: Drawn | None = None
) -> Figure:
    """One digit's map with all its controls and, at the foot, what they say about it.

    Above: the digit, its map, both together, and the deletion curve. Below: the network's answer, the map of the same
    network with random weights, the plain edges, and the insertion curve. A drawing, if it was one, comes first, and
    the digit beside it is shown white on black, as the network sees it.

    Args:
        explanation: what :func:`mnist_lab.explain.saliency.explain` found.
        title: of the figure: network and digit.
        true: the digit's label; None if nobody knows it.
        drawn: what the digit was made from, if it was drawn.
    """
    method = METHODS[explanation.method]
    target = explanation.target
    figure = new_figure(12.2 if drawn is None else 14.6, 7.0, title)
    question = f"{method.title}: {method.description}. {colour_note(method)}"
    foot = "\n".join((question, *verdict(explanation)))
    figure.supxlabel(foot, fontsize=TEXT, color=INK, linespacing=1.5, wrap=True)
    if drawn is None:
        places = figure.subplot_mosaic(PANEL, width_ratios=(1, 1, 1, 1.35))
    else:
        places = figure.subplot_mosaic(PANEL_OF_A_DRAWING, width_ratios=(1, 1, 1, 1, 1.35))
    draw_input(places, explanation, true, drawn)
    draw_map_with_bar(places["map"], explanation.map, method)
    name_image(places["map"], f"{method.title}, target {target}", "this network")
    draw_overlay(places["overlay"], explanation.image, explanation.map, method)
    name_image(places["overlay"], "Overlay", "the map's colours over the input")
    draw_answer(places["answer"], explanation.probabilities, target, aspect=1 if drawn is None else WIDE)
    draw_map_with_bar(places["random"], explanation.random_map, method)
    name_image(places["random"], f"{method.title}, target {target}", "same network, random weights")
    edges, steepest = places["edges"], float(explanation.edges.max()) or 1.0
    add_colour_bar(edges, draw_image(edges, explanation.edges, EDGES, 0.0, steepest), "change of ink per pixel")
    name_image(edges, "Edges, no network", f"rank correlation with the map {number(explanation.sanity.edges)}")
    draw_curve(places["deletion"], explanation.curves, target, insert=False)
    draw_curve(places["insertion"], explanation.curves, target, insert=True)
    return figure


def draw_input(places: Mapping[str, Axes], explanation: Explanation, true: int | None, drawn: Drawn | None) -> None:
    """The digit that the map is about, after the drawing that it was made from, if there is one."""
    read = reading(explanation.probabilities, true)
    if drawn is None:
        draw_digit(places["input"], explanation.image)
        name_image(places["input"], "Input", read)
        return
    draw_image(places["drawn"], drawn.ink / 255, "gray", 0, 1)
    name_image(places["drawn"], "Drawn", drawn.remark)
    draw_image(places["input"], explanation.image, "gray", 0, 1)
    name_image(places["input"], "What the network sees", read)


@styled
def saliency_by_class(examples: Examples, *, method: str, title: str) -> Figure:
    """One digit of each class: input, map and overlay, one class per column.

    Args:
        examples: what :func:`mnist_lab.explain.saliency.class_examples` chose, at least one digit.
        method: of the maps.
        title: of the figure: the network.
    """
    described = METHODS[method]
    note = (
        f"{described.title} for the predicted digit: {described.description} ({described.paper}).\n"
        f"{colour_note(described)} {SCALE_NOTE} Bold: misread."
    )
    columns = len(examples.labels)
    figure = new_figure(max(1.22 * columns + 1.0, 6.5), 5.5, title, note)
    tiles = figure.subplots(3, columns, squeeze=False)
    for place in range(columns):
        image, map_ = examples.images[place], examples.maps[place]
        draw_digit(tiles[0, place], image)
        draw_map(tiles[1, place], map_ / limit_of(map_), described, limit=1.0)
        draw_overlay(tiles[2, place], image, map_, described)
        true, predicted = examples.labels[place], examples.predictions[place]
        certainty = format_probability(examples.probabilities[place])
        heading = f"true {true}\nread as {predicted}\n{certainty}"
        right = true == predicted
        tiles[0, place].set_title(heading, fontsize=TEXT, color=INK, fontweight="normal" if right else "bold")
        tiles[2, place].set_xlabel(f"test digit\n{examples.indices[place]}", fontsize=SMALL, color=MUTED)
    for row, name in enumerate(("input", "map", "overlay")):
        tiles[row, 0].set_ylabel(name, fontsize=LABEL, color=INK)
    add_common_bar(figure, tiles, described)
    return figure


@styled
def saliency_methods_figure(
    image: Image,
    maps: Mapping[str, Image],
    *,
    target: int,
    probabilities: Sequence[float] | NDArray[np.floating[Any]],
    title: str,
    true: int | None = None,
) -> Figure:
    """What the methods say about the same digit, network and target.

    Args:
        image: (28, 28) ink, 0..1.
        maps: method to its (28, 28) map.
        target: the digit that the maps explain.
        probabilities: (10,) the network's answer, 0..1.
        title: of the figure: network and digit.
        true: the digit's label; None if nobody knows it.
    """
    note = "The methods ask different questions, each in its own unit, and need not agree."
    note = f"Maps for the target {target}. {colour_note(None)} {note}"
    figure = new_figure(2.3 * len(maps) + 2.3, 5.0, title, note)
    tiles = figure.subplots(2, len(maps) + 1)
    draw_digit(tiles[0, 0], image)
    name_image(tiles[0, 0], "Input", reading(probabilities, true))
    draw_answer(tiles[1, 0], np.asarray(probabilities), target)
    for column, (name, map_) in enumerate(maps.items(), start=1):
        method = METHODS[name]
        draw_map_with_bar(tiles[0, column], map_, method)
        name_image(tiles[0, column], method.title, method.paper.split(",")[0])
        draw_overlay(tiles[1, column], image, map_, method)
    return figure


@styled
def saliency_across_runs(
    image: Image,
    maps: Mapping[str, Image],
    *,
    method: str,
    target: int,
    probabilities: Mapping[str, NDArray[np.floating[Any]]],
    title: str,
    true: int | None = None,
) -> Figure:
    """What several networks looked at in the same digit, by the same method and for the same target.

    Args:
        image: (28, 28) ink, 0..1.
        maps: a network's name to its (28, 28) map.
        method: of the maps.
        target: the digit that the maps explain.
        probabilities: the same names to each network's (10,) answer, 0..1.
        title: of the figure: the digit.
        true: the digit's label; None if nobody knows it.
    """
    described = METHODS[method]
    note = f"{described.title}: {described.description}.\n{colour_note(described)} {SCALE_NOTE}"
    figure = new_figure(2.5 * len(maps) + 2.3, 5.4, title, note)
    tiles = figure.subplots(2, len(maps) + 1)
    draw_digit(tiles[0, 0], image)
    name_image(tiles[0, 0], "Input", "" if true is None else f"true {true}")
    tiles[1, 0].set_axis_off()
    tiles[1, 0].text(0, 0.5, f"{described.title},\nmaps for the target {target}", va="center", fontsize=TEXT, color=INK)
    for column, (name, map_) in enumerate(maps.items(), start=1):
        draw_map_with_bar(tiles[0, column], map_, described)
        name_image(tiles[0, column], in_two_lines(drawable(name)), reading(probabilities[name], None))
        draw_overlay(tiles[1, column], image, map_, described)
    return figure


def verdict(explanation: Explanation) -> tuple[str, str]:
    """What the controls say about a map, in two plain sentences: the one on random weights, the one on the curves."""
    return sanity_verdict(explanation), curve_verdict(explanation)


def sanity_verdict(explanation: Explanation) -> str:
    """Whether the map would look the same had the network learned nothing."""
    sanity = explanation.sanity
    correlation = f"(rank correlation of strengths {number(sanity.places)}, mean over random networks)"
    within = f"within the strokes ({number(sanity.strokes)})"
    if sanity.survives and sanity.survives_in_strokes:
        return (
            f"The map survives random weights {correlation}, even {within}: "
            "it shows the picture more than what was learned."
        )
    if sanity.survives:
        return (
            f"The map survives random weights {correlation}: its outline shows the picture, not what was learned. "
            f"Its pattern {within} does not survive."
        )
    return f"The map does not survive random weights {correlation}: where it points depends on what was learned."


def curve_verdict(explanation: Explanation) -> str:
    """Whether the pixels that the map ranks highest matter more than others."""
    curves, target = explanation.curves, explanation.target
    orders = len(curves.random_deletion)
    falls, rises = curves.deletion_beats_random, curves.insertion_beats_random
    if falls and rises:
        return (
            f"Removing the pixels that it ranks highest lowers p({target}) faster, and inserting them raises it "
            f"faster, than each of {orders} random orders: they matter."
        )
    if falls:
        return (
            f"Removing the pixels that it ranks highest lowers p({target}) faster than each of {orders} random orders, "
            "but inserting them does not raise it faster."
        )
    if rises:
        return (
            f"Inserting the pixels that it ranks highest raises p({target}) faster than each of {orders} random "
            "orders, but removing them does not lower it faster."
        )
    return (
        f"Removing or inserting the pixels that it ranks highest changes p({target}) no faster than {orders} random "
        "orders: it does not show that they matter."
    )


def number(correlation: float) -> str:
    """Two decimals and a real minus sign, but none before a zero."""
    return f"{correlation:z.2f}".replace("-", "−")


def reading(probabilities: Sequence[float] | NDArray[np.floating[Any]], true: int | None) -> str:
    """The true and the predicted digit: "true 5, read as 3 (97.1 %)"."""
    predicted = int(np.argmax(probabilities))
    read = f"read as {predicted} ({format_probability(float(probabilities[predicted]))})"
    return read if true is None else f"true {true}, {read}"


def colour_note(method: SaliencyMethod | None) -> str:
    """What the colours mean; for None, in a figure that may hold both kinds."""
    signed, unsigned = (
        "Blue speaks for the target, orange-red against it.",
        "The bluer, the more it speaks for the target.",
    )
    if method is None:
        return signed
    return signed if method.signed else unsigned


def name_image(axes: Axes, name: str, remark: str) -> None:
    """An image's name, and a remark in a line of its own below."""
    axes.set_title(name, loc="left", fontsize=LABEL, fontweight="bold", color=INK, pad=18)
    axes.text(0, 1.03, remark, transform=axes.transAxes, fontsize=TEXT, color=MUTED, va="bottom")


def in_two_lines(name: str) -> str:
    """A run's name, which is too long for one line above an image: its time, and below what it is."""
    return "\n".join(name.rsplit("_", 1))


def limit_of(map_: Image) -> float:
    """Where a map's colours end: exceeded only by its strongest pixels; 1 for a map of zeros."""
    strength = np.abs(map_)
    return float(np.percentile(strength, 100 - STRONGEST)) or float(strength.max()) or 1.0


def colours_of(method: SaliencyMethod) -> Colormap:
    """Diverging for maps with a sign, sequential for those without."""
    return AGAINST_AND_FOR if method.signed else FOR


def draw_image(axes: Axes, values: Image, colours: str | Colormap, low: float, high: float) -> AxesImage:
    """Values (28, 28) as colours in a quiet frame without ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(RULE)
    return axes.imshow(values, cmap=colours, vmin=low, vmax=high)


def draw_map(axes: Axes, map_: Image, method: SaliencyMethod, limit: float) -> AxesImage:
    """A map whose colours end at ``limit``, and, where it has a sign, at its negative."""
    return draw_image(axes, map_, colours_of(method), -limit if method.signed else 0.0, limit)


def draw_map_with_bar(axes: Axes, map_: Image, method: SaliencyMethod) -> None:
    """A map on a scale of its own."""
    drawn = draw_map(axes, map_, method, limit_of(map_))
    if map_.any():
        add_colour_bar(axes, drawn, method.unit)
    else:
        axes.text(0.5, 0.5, "zero everywhere", transform=axes.transAxes, ha="center", fontsize=TEXT, color=MUTED)


def add_colour_bar(axes: Axes, drawn: AxesImage, unit: str) -> None:
    """A colour bar as high as its image, beside it; very small and very large values in powers of a thousand."""
    beside = axes.inset_axes((1.04, 0.0, 0.06, 1.0))
    bar = axes.figure.colorbar(drawn, cax=beside, extend=beyond(drawn))
    low, high = drawn.get_clim()
    exponent = 0 if 0.05 <= high < 1000 else 3 * math.floor(math.log10(high) / 3)
    ticks = [tick for tick in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= tick <= high]
    bar.set_ticks(ticks, labels=[f"{tick / 10**exponent:g}".replace("-", "−") for tick in ticks])
    style_colour_bar(beside, unit if exponent == 0 else f"$10^{{{exponent}}}$ {unit}")
    beside.tick_params(labelsize=SMALL)


def beyond(drawn: AxesImage) -> Literal["neither", "min", "max", "both"]:
    """On which sides of the colours there are stronger pixels."""
    values, (low, high) = np.asarray(drawn.get_array()), drawn.get_clim()
    below, above = values.min() < low, values.max() > high
    if below and above:
        return "both"
    return "min" if below else "max" if above else "neither"


def add_common_bar(figure: Figure, tiles: NDArray[Any], method: SaliencyMethod) -> None:
    """One colour bar for maps that were all brought to the same scale."""
    ends: Literal["both", "max"] = "both" if method.signed else "max"
    bar = figure.colorbar(tiles[1, 0].images[0], ax=tiles[1:, :], shrink=0.9, aspect=25, pad=0.01, extend=ends)
    bar.set_ticks([-1, -0.5, 0, 0.5, 1] if method.signed else [0, 0.5, 1])
    style_colour_bar(bar.ax, "attribution (own scale of each map)")


def draw_overlay(axes: Axes, image: Image, map_: Image, method: SaliencyMethod) -> None:
    """The faint digit under the map's hues, which are the more opaque the stronger the map is."""
    draw_digit(axes, FAINT_INK * image)
    share = map_ / limit_of(map_)
    hues = np.empty((*map_.shape, 4))
    hues[..., :3] = np.where(share[..., np.newaxis] < 0, to_rgb(VERMILION), to_rgb(BLUE))
    hues[..., 3] = OVERLAY_OPACITY * np.clip(np.abs(share), 0, 1)
    axes.imshow(hues)


def draw_answer(axes: Axes, probabilities: NDArray[np.floating[Any]], target: int, aspect: float = 1) -> None:
    """The network's ten probabilities as bars with numbers, the target's dark; ``aspect`` is height by width."""
    colours = [BLUE if digit == target else SKY_BLUE for digit in DIGITS]
    axes.barh(DIGITS, 100 * probabilities, color=colours, height=0.75)
    for digit, probability in enumerate(probabilities):
        inside = probability > 0.6
        axes.text(
            100 * probability + (-3 if inside else 3),
            digit,
            format_probability(float(probability)),
            ha="right" if inside else "left",
            va="center",
            fontsize=SMALL,
            color=PAPER if inside and digit == target else INK,
        )
    style_axes(axes, "probability (%)", "digit")
    axes.set_yticks(DIGITS)
    axes.set_xlim(0, 100)
    axes.grid(visible=False, axis="y")
    axes.invert_yaxis()
    axes.set_box_aspect(aspect)
    name_image(axes, "Answer", "of this network")


def draw_curve(axes: Axes, curves: Curves, target: int, *, insert: bool) -> None:
    """The target's probability along the map's order, and the mean and range of the random orders."""
    if insert:
        name, curve, others = "Insertion", curves.insertion, curves.random_insertion
        area, areas, wish = curves.insertion_area, curves.random_insertion_areas, "a large area is good"
    else:
        name, curve, others = "Deletion", curves.deletion, curves.random_deletion
        area, areas, wish = curves.deletion_area, curves.random_deletion_areas, "a small area is good"
    percent = 100 * curves.shares
    band = axes.fill_between(percent, 100 * others.min(axis=0), 100 * others.max(axis=0), color=ORANGE, alpha=0.25)
    band.set_linewidth(0)  # shows the range of the random orders, the dashed line their mean
    mean = f"{len(others)} random orders: area {areas.mean():.2f} ± {areas.std(ddof=1):.2f}"
    axes.plot(percent, 100 * others.mean(axis=0), color=ORANGE, linewidth=1.6, linestyle=(0, (4, 2)), label=mean)
    axes.plot(percent, 100 * curve, color=BLUE, linewidth=2, label=f"map's order: area {area:.2f}")
    style_axes(axes, f"ink pixels {'inserted' if insert else 'removed'} (%)", f"p({target}) (%)")
    axes.set_xlim(0, 100)
    axes.set_ylim(-4, 104)
    axes.set_box_aspect(0.63)
    axes.set_title(name, loc="left", fontsize=LABEL, fontweight="bold", color=INK, pad=34)
    axes.set_title(wish, loc="right", fontsize=TEXT, color=MUTED, pad=34)
    above = (-0.02, 1.0)
    axes.legend(loc="lower left", bbox_to_anchor=above, fontsize=TEXT, labelcolor=INK, frameon=False, borderpad=0.2)


def _draw_run(run: RunData) -> Figure:
    """What mattered in one test digit of each class."""
    examples = class_examples(run.model, run.digits, choose_compute(), DEFAULT_METHOD)
    return saliency_by_class(examples, method=DEFAULT_METHOD, title=run.title)


_SALIENCY_TEXT = "A map shows what the answer depends on, which is not always what a person would look at."

RUN_FIGURES = {
    **training_figures.RUN_FIGURES,
    "saliency.png": RunFigure(
        _draw_run,
        Caption(
            "Which pixels mattered",
            "A digit of each class and, beside it, a map of the pixels that the network's answer depended on.",
            _SALIENCY_TEXT,
        ),
    ),
}
"""All figures that a run leaves, by file name."""

CAPTIONS = {
    "saliency.png": Caption(
        "Which pixels mattered",
        "A digit, a map of the pixels that the network's answer depended on, and the controls that tell whether the "
        "map may be believed.",
        _SALIENCY_TEXT,
    ),
    "methods.png": Caption(
        "The same question, asked by every method",
        "Maps of one digit by several methods, side by side.",
        "Where the methods disagree, none of them should be believed alone.",
    ),
    "runs.png": Caption("The same digit in several networks", "Maps of one digit for several networks, side by side."),
}
"""What is said of the pictures of a folder that is about one digit."""
