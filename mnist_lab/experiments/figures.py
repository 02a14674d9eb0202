"""Figures that compare trained networks: plain data in, ``Figure`` out.

All are as wide as a page of a report. Each variant has a colour and a marker of its own, the same in all panels of a
figure: colour is never the only cue. Accuracies and their differences come as fractions and are shown in percent and
percentage points. What is drawn by name (variant, row, panel) has at least one entry.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import EngFormatter, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

from mnist_lab import plotting
from mnist_lab.data import doubt_mark, doubt_note
from mnist_lab.experiments.statistics import Comparison, format_points, summarise
from mnist_lab.plotting import BLUE, COLOURS, INK, LABEL, MUTED, SMALL, TEXT, styled, title_panel, wrapped
from mnist_lab.terminal.wording import counted, format_percent
from mnist_lab.training.runs import EpochRecord

WIDTH = 7.2  # inches of every figure: at 900 pixels, 9 points are as large as a page's own text
_NAME_WIDTH, _KEY_WIDTH = 32, 99  # characters of a name before it is wrapped; of all columns of a key
_MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
_BAND_OPACITY = 0.16
_MARKS_ON_A_LINE = 16  # about; more would run into one thick line
_COLUMNS, _TILE_HEIGHT = 6, 1.78  # of a gallery; the height of a digit in inches, with its captions

_SPREAD_NOTE = "Line: mean over seeds. Band: from the smallest to the largest seed; a single seed has none."
_NO_INTERVAL = (math.nan, math.nan)

Picture = NDArray[np.floating[Any]]
"""(28, 28) ink, 0..1, 0 where there is none."""


class Robustness(NamedTuple):
    """What one kind of disturbance does to several variants."""

    unit: str  # of the strengths: "pixels", "°"
    strengths: Sequence[float]  # (K,) ascending, two at least
    accuracies: Mapping[str, Mapping[int, Sequence[float]]]  # variant and seed to K fractions
    trained: Mapping[str, tuple[float, float]]  # variant to the range of strengths that its training digits met
    examples: Sequence[Picture]  # (K,) a digit disturbed that much; those that would overlap are left out


class SpeedBar(NamedTuple):
    """How fast one way of training is; ``seconds_to_target`` where it was measured."""

    seconds_per_epoch: float
    images_per_second: float
    seconds_to_target: float | None = None


class Showing(NamedTuple):
    """Digits shown in one way, and how accurately they are classified: a fraction with its 95 % interval."""

    accuracy: float
    interval: tuple[float, float]
    digits: int
    picture: Picture  # one of them as the network sees it


class ShownDigit(NamedTuple):
    """A test digit in a gallery."""

    picture: Picture
    caption: str  # what networks answer
    numbers: Mapping[str, Any]  # the same, ready for JSON, with its "label" and its "index" in the MNIST test file


CURVES = """Each line is a variant's mean over its seeds, its band from the smallest to the largest. Look at which
learns faster, and whether the lines still move at the end. These digits chose the epoch of each network: the verdict
rests on others."""


@styled
def curves_with_spread(
    histories: Mapping[str, Sequence[Sequence[EpochRecord]]], lengths: Sequence[int], *, title: str
) -> Figure:
    """How variants learn, one history per seed: validation loss and accuracy, the mean over seeds in a band.

    ``lengths`` are the training digits of an epoch of each; if they differ, the curves go by the digits seen.
    """
    note = f"{_SPREAD_NOTE}\nA line ends with the last epoch that all seeds of its variant reached."
    figure = plotting.new_figure(WIDTH, 7.6, title, note)
    part = plotting.panel_area(figure)
    loss, accuracy = part.subplots(2, 1, sharex=True)
    by_images = len(set(lengths)) > 1
    for (name, runs), length, style in zip(histories.items(), lengths, styles(len(histories)), strict=True):
        epochs = range(min(map(len, runs)))
        places = [(epoch + 1) * (length if by_images else 1) for epoch in epochs]
        label = f"{name} ({counted(len(runs), 'seed')})"
        _draw_runs(loss, places, np.array([[run[epoch].val_loss for epoch in epochs] for run in runs]), style, label)
        accuracies = np.array([[run[epoch].val_accuracy for epoch in epochs] for run in runs])
        _draw_runs(accuracy, places, 100 * accuracies, style, label)
    plotting.scale_loss(loss, [loss.dataLim.minposy, loss.dataLim.y1])
    plotting.scale_accuracy(accuracy, accuracy.dataLim.intervaly)
    title_panel(loss, "Validation loss", "lower is better")
    title_panel(accuracy, "Validation accuracy", "higher is better")
    loss.set_xlabel("")
    if by_images:
        accuracy.set(xscale="log", xlabel="training digits seen (logarithmic; k: thousands)")
        accuracy.xaxis.set_major_formatter(EngFormatter(sep=""))
        accuracy.xaxis.set_minor_formatter(NullFormatter())
    else:
        accuracy.set_xticks(plotting.epoch_ticks(round(accuracy.dataLim.x1)))
    _name_lines(part, [loss])
    return figure


GAP = """Training (blue) and validation (orange) of each variant, the means over its seeds; grey between them is the
gap. Compare its height from column to column at the last epoch. Why a variant closes it, this does not show, nor what
more digits would do."""
LEARNED = """Blue: digits labelled rightly; orange: those labelled wrongly, which count when the network gives their
wrong label back; green: validation digits, rightly labelled. Look at how much later orange rises, and what green does
meanwhile. Stars: the epochs kept. Which digits are hard to learn, this does not show."""

Curves = Mapping[str, Mapping[str, NDArray[np.float64]]]
"""By variant and by column of the history, (seeds, epochs) each."""
Rows = Mapping[str, Mapping[str, str]]
"""Rows of panels, ``loss`` or ``accuracy``: what their lines are called, and the column of each."""
Kept = Mapping[str, Sequence[float]] | None


@styled
def learning_panels(curves: Curves, rows: Rows, kept: Kept = None, *, title: str) -> Figure:
    """How each variant learns, in a column of its own; ``kept`` has the epochs whose networks were kept.

    Where a panel has two lines only, what lies between them is shaded.
    """
    figure = plotting.new_figure(WIDTH, 2.2 * len(rows) + 1.5, title, _SPREAD_NOTE)
    part = plotting.panel_area(figure)
    grid = part.subplots(len(rows), len(curves), sharex=True, sharey="row", squeeze=False)
    for panels, (measure, columns) in zip(grid, rows.items(), strict=True):
        scale, unit = (100, "accuracy (%)") if measure == "accuracy" else (1, "loss (nats per digit)")
        for axes, (variant, known) in zip(panels, curves.items(), strict=True):
            lines = [scale * known[column] for column in columns.values()]
            epochs = range(1, lines[0].shape[1] + 1)
            for name, runs, style in zip(columns, lines, styles(len(lines)), strict=True):
                _draw_runs(axes, epochs, runs, style, name)
            if len(lines) == 2:
                means = [runs.mean(axis=0) for runs in lines]
                axes.fill_between(epochs, *means, color=MUTED, alpha=0.3, linewidth=0, zorder=0, label="gap")
            if kept:
                nought = [0] * len(kept[variant])
                axes.plot(kept[variant], nought, "*", color=INK, markersize=10, clip_on=False, label="epoch kept")
            plotting.style_axes(axes, "epoch", unit)
            axes.label_outer()
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        panels[0].set_ylim(0 if measure == "loss" else None, 102 if measure == "accuracy" else None)
    for axes, variant in zip(grid[0], curves, strict=True):
        axes.set_title(variant)
    _name_lines(part, grid.flat)
    return figure


class TriedRate(NamedTuple):
    """What trainings at one learning rate came to."""

    rate: float
    losses: Sequence[float]  # on the validation digits, in nats, of each
    kind: str  # too low, right, too high or diverged


RATES = """Each dot is one training, the line their mean, over the learning rate; both axes are logarithmic. Look for
the flat part, where the rate hardly matters, and at how abruptly training fails to its right. Another recipe, network
or length of training moves the curve: which rate is best elsewhere, this does not show."""
KINDS = dict(zip(("too low", "right", "too high", "diverged"), [COLOURS[place] for place in (5, 2, 1, 3)], strict=True))


@styled
def rate_curve(tried: Sequence[TriedRate], guessing: float, *, title: str) -> Figure:
    """Validation loss over the learning rate, ascending, in bands by what each rate is; ``guessing``: its loss."""
    figure = plotting.new_figure(WIDTH, 4.6, title, "Dotted: the loss of guessing, ln 10.")
    axes = plotting.panel_area(figure).subplots()
    rates = np.array([one.rate for one in tried])
    around = np.concatenate([rates[:1] / 4, rates, rates[-1:] * 4])
    edges = np.sqrt(around[1:] * around[:-1])  # half-way on a logarithmic axis
    for one, low, high in zip(tried, edges, edges[1:], strict=False):
        axes.axvspan(low, high, color=KINDS[one.kind], alpha=_BAND_OPACITY, linewidth=0)
        axes.text(one.rate, 1.03, one.kind, ha="center", transform=axes.get_xaxis_transform())
        axes.plot([one.rate] * len(one.losses), one.losses, "o", color=BLUE, alpha=0.6)
    axes.plot(rates, [np.mean(one.losses) for one in tried], color=BLUE)
    axes.axhline(guessing, color=INK, linewidth=0.9, linestyle=":")
    plotting.scale_loss(axes, [guessing, *(loss for one in tried for loss in one.losses)])
    axes.set(xscale="log", xlim=(edges[0], edges[-1]), xlabel="learning rate (logarithmic)")
    axes.set_ylabel("validation loss (nats per digit, logarithmic)")
    axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axes.xaxis.set_minor_locator(NullLocator())
    return figure


DOTS = """Each small dot is one network, trained with one seed; the large marker is their mean, the line its 95 %
interval. Look at how far the seeds of one variant scatter. Whether a difference is more than chance, this does not
show."""


@styled
def dot_plot(rows: Mapping[str, Sequence[float]], *, title: str) -> Figure:
    """Every seed's accuracy on the test digits, their mean and its 95 % t interval, one row per variant, in order."""
    means = [_mean_and_interval(values) for values in rows.values()]
    remarks = []
    for values, (mean, low, high) in zip(rows.values(), means, strict=True):
        interval = "no interval" if math.isnan(low) else f"{low:.3f} to {high:.3f} %"
        remarks.append(f"{mean:.3f} %, {counted(len(values), 'seed')}\n{interval}")
    shown = np.concatenate([*means, *(100 * np.asarray(values) for values in rows.values())])
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    margin = max(0.08 * (high - low), 0.02)
    start, end = max(0.0, low - margin), min(100.02, high + margin)  # a dot at 100 % is not cut
    note = "Small: each seed. Large: their mean, with its 95 % t interval over seeds, where there is one."
    if start > 0:
        note += f"\nThe axis begins at {start:.2f} %, not at 0: differences look larger than they are."
    figure, axes = _row_figure(rows, remarks, "accuracy on the test digits (%)", title, note)
    for row, (values, style) in enumerate(zip(rows.values(), styles(len(rows)), strict=True)):
        heights = row + np.linspace(0.15, 0.4, len(values))  # so that none hides another
        axes.plot(100 * np.asarray(values), heights, "o", color=MUTED, markersize=4, alpha=0.75, markeredgewidth=0)
        _draw_mean(axes, row - 0.1, means[row], style)
    axes.set_xlim(start, end)
    return figure


DIFFERENCES = """Each row compares two variants, seed by seed: right of the line at 0, the one named first is more
accurate. A filled dot is more than chance. A hollow one does not mean that the two are equal: a difference inside the
interval may exist."""


@styled
def difference_plot(rows: Sequence[Comparison], *, title: str) -> Figure:
    """Paired differences with their 95 % intervals against zero, and whether they are more than chance."""
    remarks = []
    for one in rows:
        mean, *ends = format_points(one.difference.mean, *(one.difference.interval or ()))
        interval = f" ({' to '.join(ends)})" if ends else ", no interval"
        remarks.append(f"{mean}{interval}\n{one.verdict.in_short}, {counted(one.difference.n, 'seed')}")
    note = (
        "Mean over seeds and 95 % interval. Filled: distinguishable from no difference, once all comparisons are "
        "counted. Hollow: not distinguishable. Diamond: nothing can be concluded, for want of seeds or of spread."
    )
    names = [one.title.replace(" minus ", "\n− ") for one in rows]
    figure, axes = _row_figure(names, remarks, "difference of accuracy (percentage points)", title, note)
    axes.axvline(0, color=INK, linewidth=1.2, zorder=1)
    for row, one in enumerate(rows):  # filled if distinguishable, hollow if not, a diamond without a verdict
        found = one.verdict.is_different
        style = {"color": BLUE if found else MUTED, "marker": "D" if found is None else "o"}
        percents = 100 * np.array([one.difference.mean, *(one.difference.interval or _NO_INTERVAL)])
        _draw_mean(axes, row, percents, style, hollow=not found)
    low, high = axes.dataLim.intervalx
    reach = 1.12 * max(0.05, -low, high)
    axes.set_xlim(-reach if low < 0 else -0.3 * reach, reach if high > 0 else 0.3 * reach)
    axes.set_title("← worse", loc="left", color=MUTED)
    axes.set_title("better →", loc="right", color=MUTED)
    return figure


ROBUSTNESS = """Each line is a variant's mean over its seeds. The shaded range is what the variant of that colour met
in training: beyond it, nothing was trained. How often people write like that, this does not show."""


@styled
def robustness_curves(panels: Mapping[str, Robustness], *, title: str) -> Figure:
    """Accuracy against the strength of each disturbance, the mean over seeds in a band.

    The ranges trained on are shaded, in grey where variants share one; below the strengths are some digits.
    """
    variants = list(next(iter(panels.values())).accuracies)
    style_of, rows = dict(zip(variants, styles(len(variants)), strict=True)), math.ceil(len(panels) / 3)
    figure = plotting.new_figure(WIDTH, 2.75 * rows + 0.12 * len(variants) + 1.3, title, _SPREAD_NOTE)
    part = plotting.panel_area(figure)
    grid = part.subplots(rows, 3, squeeze=False, sharey=True)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (name, panel) in zip(grid.flat, panels.items(), strict=False):
        plotting.style_axes(axes, wrapped(f"{name} ({panel.unit})", _NAME_WIDTH), "")
        title_panel(axes, name.capitalize(), "")
        for variant, by_seed in panel.accuracies.items():
            _draw_runs(axes, panel.strengths, 100 * np.array(list(by_seed.values())), style_of[variant], variant)
        low, high = axes.get_xlim()
        for limits in sorted(set(panel.trained.values())):
            owners = [style_of[variant]["color"] for variant in panel.trained if panel.trained[variant] == limits]
            shade: dict[str, Any] = {"color": owners[0] if len(owners) == 1 else MUTED, "label": "met in training"}
            axes.axvspan(*np.clip(limits, low, high), alpha=_BAND_OPACITY, linewidth=0, zorder=0, **shade)
        width = 0.16 * (high - low)
        shown: list[float] = []
        for strength, picture in zip(panel.strengths, panel.examples, strict=True):
            if not shown or strength - shown[-1] > width:
                shown.append(strength)
                _put_picture(axes, picture, (strength - width / 2, -0.2, width, 0.17), axes.get_xaxis_transform())
        axes.set_xticks(shown, [f"{strength:g}".replace("-", "−") for strength in shown])
        axes.tick_params(axis="x", pad=30)
        axes.set_xlim(low, high)
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy (%)")
    _name_lines(part, grid.flat)
    return figure


GROWTH = """Each point is the mean over the seeds, with its 95 % interval. Look at the gap between the lines at each
size. All took equally many steps: what longer training would do, this does not show."""


@styled
def growth_curves(variants: Mapping[str, Mapping[int, Sequence[float]]], *, title: str) -> Figure:
    """Accuracies of the seeds against the number of training digits: their mean and its 95 % t interval."""
    figure = plotting.new_figure(WIDTH, 4.4, title, "Means over seeds, 95 % t intervals; a single seed has none.")
    axes = plotting.panel_area(figure).subplots()
    sizes = sorted({size for by_size in variants.values() for size in by_size})
    for (name, by_size), style in zip(variants.items(), styles(len(variants)), strict=True):
        mean, low, high = np.transpose([_mean_and_interval(values) for values in by_size.values()])  # (sizes,) each
        error = np.abs([mean - low, high - mean])
        axes.errorbar(list(by_size), mean, error, label=name, **style)
    plotting.scale_accuracy(axes, axes.dataLim.intervaly)
    axes.set(xscale="log", xlabel="training digits (logarithmic)", ylabel="accuracy (%, logarithmic in the error)")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.xaxis.set_minor_formatter(NullFormatter())
    _name_lines(figure.subfigs[0], [axes])
    return figure


SPEED = """Each bar is what an epoch takes with one change more than in the bar above; hatched, if any: the way to the
target. Look for the largest step down. Each was timed once, on this machine: another may gain by other changes."""


@styled
def speed_steps(rows: Mapping[str, SpeedBar], target: float | None, *, title: str) -> Figure:
    """What each step saves, the common recipe first; ``target``: the accuracy that ``seconds_to_target`` is about."""
    figure, axes = _row_figure(rows, [], "time (s)", title, "Times as fast: compared with the first row.")
    times = [step.seconds_per_epoch for step in rows.values()]
    remarks = [f"{step.seconds_per_epoch:.1f} s, {step.images_per_second:,.0f} images/s" for step in rows.values()]
    remarks[1:] = [f"{remarks[row]}, {times[0] / times[row]:.1f} times as fast" for row in range(1, len(rows))]
    measured = {row: s.seconds_to_target for row, s in enumerate(rows.values()) if s.seconds_to_target is not None}
    above = 0.14 if measured else 0.0
    bars = axes.barh(np.arange(len(rows)) - above, times, height=0.4, color=BLUE, label="one epoch")
    axes.bar_label(bars, remarks, padding=4)
    if measured:
        label = f"training to {format_percent(target)} validation accuracy"
        hatched: dict[str, Any] = {"facecolor": "#F8E3B5", "edgecolor": "#9A6A00", "hatch": "////", "linewidth": 0.8}
        bars = axes.barh(np.array([*measured]) + 0.22, [*measured.values()], height=0.2, label=label, **hatched)
        axes.bar_label(bars, [f"{seconds:.1f} s" for seconds in measured.values()], padding=4)
    _name_lines(figure.subfigs[0], [axes])
    return figure


INVERSION = """Each bar is the accuracy on the same digits, shown in one way, beside what the network sees. The
whiskers (Wilson) are about the choice of digits; the intervals in the table below are about other seeds."""


@styled
def inversion_bars(rows: Mapping[str, Showing], *, title: str) -> Figure:
    """Accuracy on digits shown in different ways, with a picture of what the network sees."""
    note = "Pictures: one of the digits as the network sees it. Whiskers: 95 % intervals. Dotted: 10 %, by guessing."
    percents = [100 * np.array([row.accuracy, *row.interval]) for row in rows.values()]
    counts = [f"{100 * row.accuracy:.1f} % of {row.digits:,}" for row in rows.values()]
    remarks = [f"{count}\n{low:.1f} to {high:.1f} %" for count, (_, low, high) in zip(counts, percents, strict=True)]
    figure, axes = _row_figure(rows, remarks, "accuracy (%)", title, note)
    axes.barh(range(len(rows)), [mean for mean, *_ in percents], height=0.6, color=plotting.SKY_BLUE)
    for row, showing in enumerate(rows.values()):
        _draw_mean(axes, row, percents[row], {"color": INK, "marker": "none"})
        _put_picture(axes, 1 - showing.picture, (-0.12, row - 0.3, 0.1, 0.6), axes.get_yaxis_transform())
    axes.axvline(10, color=INK, linewidth=0.9, linestyle=":")
    axes.set_xlim(0, 100)
    axes.tick_params(axis="y", pad=40)
    return figure


CHANGED = """Each tile is a test digit that one of two networks gets right and the other misses, the surest answers
first. Look for what they have in common. With another seed it would be other digits: this is not about the recipes."""
MISSED = """Each tile is a test digit that none of the networks gets right. Could you read it? Some are ambiguous, and
a few are labelled wrongly: what the networks lack, this does not show."""
ENSEMBLE = """Each tile is a test digit that the networks together miss, first those that most of them get right alone.
Look for those: there the majority is overruled by a few that are very sure. How good they are alone, the table
shows."""


@styled
def gallery(
    groups: Mapping[str, tuple[Sequence[ShownDigit], str]], *, title: str, note: str, most: int = 24, names: str = ""
) -> Figure:
    """Test digits under the heading of their group, ``most`` of each, or what to say where there are none."""
    rows = [math.ceil(min(len(digits), most) / _COLUMNS) for digits, _ in groups.values()]
    heights = [0.4 + (_TILE_HEIGHT * count or 0.4) for count in rows]
    height = sum(heights) + (1.2 if names else 0.75)
    shown = [int(digit.numbers["index"]) for digits, _ in groups.values() for digit in digits[:most]]
    figure = plotting.new_figure(WIDTH, height, title, f"{note}\n{doubt_note(shown)}".strip() if shown else "")
    ratios = (0.45 if names else 0.01, *heights)
    key, *below = figure.subfigures(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0]
    key.text(0.01, 0.5, names, ha="left", va="center", linespacing=1.4)
    for part, (heading, (digits, none)), count in zip(below, groups.items(), rows, strict=True):
        more = f", the first {most} shown" if len(digits) > most else ""
        part.suptitle(f"{heading}: {counted(len(digits), 'digit')}{more}", x=0.01, ha="left", fontsize=LABEL)
        tiles = part.subplots(max(1, count), _COLUMNS, squeeze=False).flat
        tiles[0].text(0, 0.6, "" if digits else none, va="center")
        for axes in tiles[min(len(digits), most) :]:
            axes.set_axis_off()
        for axes, digit in zip(tiles, digits[:most], strict=False):
            plotting.draw_digit(axes, digit.picture)
            axes.set_anchor("N")  # under its title, whatever room is left
            axes.set_title(f"true {digit.numbers['label']}", fontsize=TEXT)
            index = int(digit.numbers["index"])
            axes.set_xlabel(f"{digit.caption}\ntest digit {index}{doubt_mark(index)}", fontsize=SMALL)
    return figure


def styles(count: int) -> list[dict[str, Any]]:
    """``count`` colours and markers to draw lines with; beyond eight, colours return with other markers."""
    pairs = [(COLOURS[place % 8], _MARKERS[(place + place // 8) % 8]) for place in range(count)]
    return [{"color": colour, "marker": marker} for colour, marker in pairs]


def _mean_and_interval(values: Sequence[float]) -> NDArray[np.float64]:
    """The mean of some fractions and the ends of its 95 % t interval in percent, (3,); NaN where there is none."""
    summary = summarise(values)
    return 100 * np.clip([summary.mean, *(summary.interval or _NO_INTERVAL)], 0, 1)


def _draw_runs(axes: Axes, places: ArrayLike, runs: NDArray[np.float64], style: dict[str, Any], label: str) -> None:
    """The mean over seeds (seeds, places), in a band from the smallest to the largest."""
    if len(runs) > 1:
        low, high = runs.min(axis=0), runs.max(axis=0)
        axes.fill_between(places, low, high, color=style["color"], alpha=_BAND_OPACITY, linewidth=0)
    often = math.ceil(len(runs[0]) / _MARKS_ON_A_LINE)
    axes.plot(places, runs.mean(axis=0), markevery=often, label=label, **style)


def _draw_mean(
    axes: Axes, row: float, percents: NDArray[np.float64], style: dict[str, Any], *, hollow: bool = False
) -> None:
    """A mean and the ends of its interval (3,); NaN draws none."""
    mean, low, high = percents
    shape: dict[str, Any] = {"markersize": 8, "linestyle": "none", **style}
    shape["markerfacecolor"] = "white" if hollow else style["color"]
    axes.errorbar(mean, row, xerr=np.abs([[mean - low], [high - mean]]), **shape)


def _put_picture(axes: Axes, ink: NDArray[Any], bounds: tuple[float, float, float, float], transform: Any) -> None:
    inset = axes.inset_axes(bounds, transform=transform)
    plotting.draw_digit(inset, ink)
    inset.set_anchor("N")


def _name_lines(part: SubFigure, panels: Iterable[Axes]) -> None:
    """A key above the panels, with every name once."""
    keys = {label: key for axes in panels for key, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    names = [wrapped(name, _KEY_WIDTH // 2) for name in keys]
    columns = min(3, _KEY_WIDTH // (max(map(len, names)) + 6))
    part.legend(keys.values(), names, loc="outside upper center", ncols=max(1, columns))


def _row_figure(
    names: Iterable[str], remarks: Sequence[str], xlabel: str, title: str, note: str
) -> tuple[Figure, Axes]:
    """A figure with a row per name, the first at the top, and a remark of two lines beside each."""
    labels = [wrapped(name, _NAME_WIDTH) for name in names]
    figure = plotting.new_figure(WIDTH, 0.56 * len(labels) + 1.75, title, note)
    axes = plotting.panel_area(figure).subplots()
    plotting.style_axes(axes, xlabel, "")
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.45, -0.55)
    axes.spines["left"].set_visible(False)
    for place in range(1, len(labels)):
        axes.axhline(place - 0.5, color=plotting.RULE, linewidth=0.6, zorder=0)
    beside = axes.secondary_yaxis("right")
    beside.set_yticks(range(len(remarks)), remarks)
    beside.spines["right"].set_visible(False)
    for side in (axes, beside):
        side.tick_params(axis="y", length=0, pad=8)
    return figure, axes
