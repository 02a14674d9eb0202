"""The figures that compare networks, checked by what they hold and by what ends up in their pixels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Rectangle
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy.stats import t

from mnist_lab.experiments import digit_figures as digit_plots
from mnist_lab.experiments import figures as plots
from mnist_lab.experiments.digit_figures import Missed, ReadTwice
from mnist_lab.experiments.figures import Difference, Robustness, Showing, Step, VariantCurves
from mnist_lab.training.history import EpochRecord
from tests.training.test_figures import LONG_TITLE, SMALLEST_LEGIBLE, Page, overlapping_texts, render, texts, words

pytestmark = pytest.mark.filterwarnings("error")

LONG_NAMES = [f"3-layer, augmented, variant {number:02d}" for number in range(8)]  # 30 characters
NAMES = ["1-layer", "3-layer", "3-layer, augmented"]
DISTURBANCES: dict[str, tuple[str, list[float]]] = {
    "shift": ("pixels", [0, 1, 2, 3, 4, 5, 6]),
    "rotation": ("°", [-60, -30, 0, 30, 60]),
    "scale": ("factor", [0.6, 0.8, 1.0, 1.2, 1.4]),
    "thickness": ("pixels added", [-1, 0, 1, 2, 3]),
    "noise": ("standard deviation of the ink, 0 to 1", [0, 0.1, 0.2, 0.3, 0.4, 0.5]),
    "hidden": ("% of the picture", [0, 5, 10, 20, 40]),
}


# --- made-up results -------------------------------------------------------------------------------------------------


def make_history(epochs: int, better: float = 1.0) -> list[EpochRecord]:
    """Falling losses and rising accuracies, all values distinct."""
    return [
        EpochRecord(
            epoch=epoch,
            train_loss=0.3 / epoch / better + 0.02,
            train_accuracy=1 - (0.08 / epoch + 0.001) / better,
            val_loss=0.1 / epoch / better + 0.015,
            val_accuracy=1 - (0.02 / epoch + 0.003) / better,
            learning_rate=1e-3,
            seconds=1.0,
        )
        for epoch in range(1, epochs + 1)
    ]


def make_curves(seeds: int, epochs: int, better: float = 1.0, images: int | None = None) -> VariantCurves:
    histories = [make_history(epochs, better * (1 + 0.1 * seed)) for seed in range(seeds)]
    return plots.variant_curves(histories, images_per_epoch=images)


def make_accuracies(seeds: int, error: float = 0.004) -> list[float]:
    """Accuracies of some seeds, in steps of one digit in 10,000."""
    draws = np.random.RandomState(seeds).normal(error, error / 12, seeds)
    return [1 - round(float(draw), 4) for draw in draws]


def make_picture(number: int = 0) -> NDArray[np.uint8]:
    return np.random.RandomState(number).randint(0, 256, (28, 28)).astype(np.uint8)


def make_robustness(name: str, variants: Sequence[str] = NAMES, seeds: int = 3) -> Robustness:
    unit, strengths = DISTURBANCES[name]
    middle, reach = (1.0 if name == "scale" else 0.0), max(strengths) - min(strengths)

    def accuracy(place: int, seed: int, strength: float) -> float:
        return 0.99 - 0.01 * seed - (0.2 + 0.07 * place) * abs(strength - middle) / reach

    return Robustness(
        unit=unit,
        strengths=strengths,
        accuracies={
            variant: [[accuracy(place, seed, strength) for strength in strengths] for seed in range(seeds)]
            for place, variant in enumerate(variants)
        },
        trained={variants[-1]: (middle - reach / 10, middle + reach / 10)} if name in ("shift", "scale") else {},
        examples={strength: make_picture(place) for place, strength in enumerate(strengths)},
    )


def make_read_twice(count: int, fixed: bool) -> list[ReadTwice]:
    """Digits that one network reads and the other takes for the next digit."""
    return [
        ReadTwice(
            picture=make_picture(place),
            index=9000 + place,
            label=place % 10,
            answer_a=(place + fixed) % 10,
            probability_a=0.9995,
            answer_b=(place + (not fixed)) % 10,
            probability_b=0.456,
        )
        for place in range(count)
    ]


def make_missed(count: int, answers: Sequence[int] = (9, 4, 9, 9, 4)) -> list[Missed]:
    return [Missed(make_picture(place), 500 + place, 8, answers) for place in range(count)]


FOUND = Difference(0.0014, (0.0010, 0.0019), True, 5)
UNDECIDED = Difference(-0.0002, (-0.0008, 0.0005), False, 5)
SINGLE = Difference(0.0007, None, None, 1)

SIZES = (500, 2000, 10_000, 54_000)
STEPS = {
    "the common recipe, one picture after the other": Step(35.94, 1728.4, 112.26),
    "data kept in memory": Step(25.1, 2400),
    "the lab's": Step(7.3, 7551, 15.1),
}
SHOWINGS = {
    "white on black, as MNIST": Showing(0.9971, (0.9958, 0.9980), 10_000, make_picture(1)),
    "black on white": Showing(0.1387, (0.1321, 0.1456), 10_000, 255 - make_picture(1)),
    "own digits": Showing(0.97, None, 100, make_picture(2) / 255),
}


def growth(seeds: int, error: float) -> dict[int, list[float]]:
    return {size: make_accuracies(seeds, error * (500 / size) ** 0.6) for size in SIZES}


def growth_figure(seeds: int, gains: Mapping[int, Difference] | None = None) -> Figure:
    variants = {"augmented": growth(seeds, 0.04), "plain": growth(seeds, 0.07)}
    shown = dict.fromkeys(SIZES, FOUND) if gains is None else gains
    return plots.growth_curves(variants, shown, title="More digits", gain="augmented minus plain")


def gallery(fixed: int, broken: int, title: str = "A and B") -> Figure:
    return digit_plots.fixed_and_broken(
        make_read_twice(fixed, True),
        make_read_twice(broken, False),
        name_a="3-layer, seed 0",
        name_b="3-layer, augmented, seed 0",
        title=title,
    )


FIGURES: dict[str, Callable[[], Figure]] = {
    "curves": lambda: plots.curves_with_spread(
        {name: make_curves(5, 8, 1 + place) for place, name in enumerate(NAMES)}, title="Curves"
    ),
    "curves-long-names": lambda: plots.curves_with_spread(
        {name: make_curves(1 + place, 4 + 4 * place, 1 + place / 50) for place, name in enumerate(LONG_NAMES)},
        title=LONG_TITLE,
    ),
    "curves-images": lambda: plots.curves_with_spread(
        {f"{size:,} digits": make_curves(2, 6, size / 500, size) for size in SIZES}, title="Curves"
    ),
    "curves-one-epoch": lambda: plots.curves_with_spread({"alone": make_curves(1, 1)}, title="Curves"),
    "curves-100-epochs": lambda: plots.curves_with_spread({"alone": make_curves(3, 100)}, title="Curves"),
    "runs": lambda: plots.run_curves({name: make_history(6 + len(name), len(name)) for name in NAMES}, title="Runs"),
    "runs-long-names": lambda: plots.run_curves({name: make_history(16) for name in LONG_NAMES}, title=LONG_TITLE),
    "dots": lambda: plots.dot_plot({name: make_accuracies(5) for name in NAMES}, title="Dots"),
    "dots-long-names": lambda: plots.dot_plot(
        {name: make_accuracies(1 + 4 * place) for place, name in enumerate(LONG_NAMES)}, title=LONG_TITLE
    ),
    "dots-one": lambda: plots.dot_plot({"alone": [0.99]}, title="Dots"),
    "differences": lambda: plots.difference_plot(
        {"b minus a": FOUND, "c minus a": UNDECIDED, "d minus a": SINGLE}, title="Differences"
    ),
    "differences-long-names": lambda: plots.difference_plot(
        {f"{name} minus {LONG_NAMES[0]}": UNDECIDED for name in LONG_NAMES[1:]}, title=LONG_TITLE
    ),
    "differences-one": lambda: plots.difference_plot({"alone": SINGLE}, title="Differences"),
    "robustness": lambda: plots.robustness_curves({name: make_robustness(name) for name in DISTURBANCES}, title="Six"),
    "robustness-long-names": lambda: plots.robustness_curves(
        {name: make_robustness(name, LONG_NAMES) for name in DISTURBANCES}, title=LONG_TITLE
    ),
    "robustness-four": lambda: plots.robustness_curves(
        {name: make_robustness(name, ["alone"], 1) for name in list(DISTURBANCES)[:4]}, title="Four"
    ),
    "robustness-one": lambda: plots.robustness_curves({"noise": make_robustness("noise")}, title="One"),
    "gallery": lambda: gallery(31, 10),
    "gallery-long-title": lambda: gallery(1, 12, LONG_TITLE),
    "gallery-none-broken": lambda: gallery(3, 0),
    "gallery-none": lambda: gallery(0, 0),
    "missed": lambda: digit_plots.missed_by_all(make_missed(9), runs=5, judged=10_000, title="Missed"),
    "missed-many": lambda: digit_plots.missed_by_all(
        make_missed(40, [9] * 12 + [4] * 11 + [3] * 10 + [7] * 2), runs=35, judged=10_000, title=LONG_TITLE
    ),
    "missed-none": lambda: digit_plots.missed_by_all([], runs=5, judged=10_000, title="Missed"),
    "growth": lambda: growth_figure(5),
    "growth-one-seed": lambda: growth_figure(1, {}),
    "growth-undecided": lambda: growth_figure(3, dict(zip(SIZES, [FOUND, UNDECIDED, SINGLE, SINGLE], strict=True))),
    "speed": lambda: plots.speed_steps(STEPS, title="Speed"),
    "speed-no-target": lambda: plots.speed_steps({name: Step(9.9, 5000) for name in LONG_NAMES}, title=LONG_TITLE),
    "inversion": lambda: plots.inversion_bars(SHOWINGS, title="Inversion"),
    "inversion-long-names": lambda: plots.inversion_bars(
        dict.fromkeys(LONG_NAMES, SHOWINGS["own digits"]), title=LONG_TITLE
    ),
}


@pytest.fixture(scope="module", params=list(FIGURES))
def page(request: pytest.FixtureRequest) -> Page:
    return render(FIGURES[request.param]())


# --- what stands on a figure -----------------------------------------------------------------------------------------


def panels_of(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.axison]


def data_lines(axes: Axes) -> list[Line2D]:
    """The lines drawn over the panel's data: no keys, no leaders, no rules."""
    return [line for line in axes.lines if line.get_transform() == axes.transData]


def places(line: Line2D) -> NDArray[Any]:
    """The [x, y] (N, 2) of a line."""
    return np.asarray(line.get_xydata())


def single_points(axes: Axes) -> list[Line2D]:
    """The lines that are but one marker."""
    return [line for line in data_lines(axes) if len(places(line)) == 1]


def curve(axes: Axes, style: plots.Style, *, linestyle: str = "-") -> NDArray[Any]:
    """The [x, y] (N, 2) of the one data line with that colour, marker and line style."""
    (found,) = [
        line
        for line in data_lines(axes)
        if (line.get_color(), line.get_marker(), line.get_linestyle()) == (style.colour, style.marker, linestyle)
    ]
    return places(found)


def segments(axes: Axes, marker: str) -> list[NDArray[Any]]:
    """The [x, y] (2, 2) of all intervals, drawn with that marker at both ends."""
    found = [places(line) for line in data_lines(axes) if line.get_marker() == marker]
    return [ends for ends in found if len(ends) == 2]


def bands(axes: Axes) -> list[tuple[float, float]]:
    """The lowest and the highest value of every band."""
    areas = [area for area in axes.collections if isinstance(area, PolyCollection)]
    heights = [np.asarray(area.get_paths()[0].vertices)[:, 1] for area in areas]
    return [(float(values.min()), float(values.max())) for values in heights]


def row_names(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def beside(axes: Axes) -> list[str]:
    """What stands to the right of the rows, from top to bottom."""
    return [text.get_text() for text in axes.texts]


def small_pictures(axes: Axes) -> list[NDArray[Any]]:
    boxes = [child.offsetbox for child in axes.get_children() if isinstance(child, AnnotationBbox)]
    return [np.asarray(box.get_data()) for box in boxes if isinstance(box, OffsetImage)]


def bars(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """An independent 95 % t interval, in percent."""
    percents = 100 * np.array(values)
    spread = percents.std(ddof=1) / math.sqrt(len(percents))
    low, high = t.interval(0.95, len(percents) - 1, loc=percents.mean(), scale=spread)
    return float(low), float(high)


class TestEveryFigure:
    def test_is_a_page_with_nothing_cut_off(self, page: Page) -> None:
        figure, pixels = page
        assert figure.get_figwidth() == plots.WIDTH
        assert pixels.shape[1] == pytest.approx(150 * plots.WIDTH, abs=1)
        assert pixels.std() > 0.01
        assert (pixels[[0, -1]] == 1).all(), "white to the edge"
        assert (pixels[:, [0, -1]] == 1).all(), "white to the edge"

    def test_keeps_its_words_legible_apart_and_inside(self, page: Page) -> None:
        drawn = texts(page.figure)
        assert len(drawn) >= 2
        assert min(float(text.get_fontsize()) for text in drawn) >= SMALLEST_LEGIBLE
        assert overlapping_texts(page) == []
        whole = page.figure.bbox.padded(1)
        outside = [
            text.get_text()
            for text in drawn
            if not (
                whole.contains(text.get_window_extent().x0, text.get_window_extent().y0)
                and whole.contains(text.get_window_extent().x1, text.get_window_extent().y1)
            )
        ]
        assert outside == []

    def test_keeps_its_small_pictures_apart(self, page: Page) -> None:
        boxes = [
            child.get_window_extent().padded(-1)
            for axes in page.figure.axes
            for child in axes.get_children()
            if isinstance(child, AnnotationBbox)
        ]
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
        words_ = [text.get_window_extent().padded(-2) for text in texts(page.figure)]
        assert not any(one.overlaps(other) for one, other in itertools.product(boxes, words_))

    def test_leaves_room_for_its_data(self, page: Page) -> None:
        widths = [axes.get_window_extent().width / page.figure.dpi for axes in panels_of(page.figure)]
        assert not widths or min(widths) > 1.0, "inches"

    def test_names_its_axes(self, page: Page) -> None:
        unnamed = [axes for axes in panels_of(page.figure) if not (axes.get_xlabel() or axes.get_ylabel())]
        assert unnamed == []

    def test_leaves_pyplot_alone(self, page: Page) -> None:
        assert isinstance(page.figure, Figure)
        assert pyplot.get_fignums() == []


class TestCurvesWithSpread:
    def test_draws_the_means_and_their_range(self) -> None:
        variants = {name: make_curves(5, 8, 1 + place) for place, name in enumerate(NAMES)}
        loss, accuracy = plots.curves_with_spread(variants, title="Curves").axes
        for variant, style in zip(variants.values(), plots.styles(3), strict=True):
            for axes, runs, unit in ((loss, variant.losses, 1), (accuracy, variant.accuracies, 100)):
                drawn = curve(axes, style)
                assert list(drawn[:, 0]) == list(range(1, 9))
                assert_allclose(drawn[:, 1], unit * np.mean(runs, axis=0))
        for axes, unit in ((loss, 1), (accuracy, 100)):
            runs_of = [variant.losses if unit == 1 else variant.accuracies for variant in variants.values()]
            assert_allclose(bands(axes), [(unit * np.min(runs), unit * np.max(runs)) for runs in runs_of])

    def test_can_show_one_standard_deviation_instead(self) -> None:
        variant = make_curves(4, 1)
        figure = plots.curves_with_spread({"alone": variant}, title="Curves", band="sd")
        mean, sd = np.mean(variant.losses), np.std(variant.losses, ddof=1)
        assert_allclose(bands(figure.axes[0]), [(mean - sd, mean + sd)])
        assert "Line: mean of 4 seeds. Band: mean ± standard deviation." in words(figure)

    def test_has_no_band_for_a_single_seed(self) -> None:
        figure = plots.curves_with_spread({"alone": make_curves(1, 5)}, title="Curves")
        assert [bands(axes) for axes in figure.axes] == [[], []]
        assert "there is no band" in words(figure)

    def test_tells_each_number_of_seeds_where_they_differ(self) -> None:
        figure = plots.curves_with_spread({"a": make_curves(1, 5), "b": make_curves(3, 2)}, title="Curves")
        for axes in figure.axes:
            assert {text.get_text() for text in axes.texts} == {"a (n = 1)", "b (n = 3)"}
            assert len(bands(axes)) == 1
        assert "none for a single seed" in words(figure)

    def test_ends_a_line_where_its_shortest_seed_ends(self) -> None:
        long, short = make_history(6), make_history(4, 2.0)
        figure = plots.curves_with_spread({"alone": plots.variant_curves([long, short])}, title="Curves")
        drawn = curve(figure.axes[0], plots.styles(1)[0])
        assert_allclose(drawn[:, 1], [(a.val_loss + b.val_loss) / 2 for a, b in zip(long, short, strict=False)])
        assert "the last epoch that all seeds of its variant reached" in words(figure)

    def test_counts_training_digits_where_epochs_have_different_lengths(self) -> None:
        variants = {"few": make_curves(1, 3, images=500), "many": make_curves(1, 2, images=54_000)}
        loss, accuracy = plots.curves_with_spread(variants, title="Curves").axes
        few, many = plots.styles(2)
        assert list(curve(loss, few)[:, 0]) == [500, 1000, 1500]
        assert list(curve(accuracy, many)[:, 0]) == [54_000, 108_000]
        assert "training digits seen" in accuracy.get_xlabel()
        assert accuracy.get_xscale() == "log"

    @pytest.mark.parametrize("images", [None, 54_000])
    def test_counts_epochs_where_they_are_alike(self, images: int | None) -> None:
        variants = {"a": make_curves(1, 3, images=images), "b": make_curves(1, 5, images=images)}
        _, accuracy = plots.curves_with_spread(variants, title="Curves").axes
        assert accuracy.get_xlabel() == "epoch"
        assert list(accuracy.get_xticks()) == [1, 2, 3, 4, 5]

    def test_labels_have_units(self) -> None:
        loss, accuracy = plots.curves_with_spread({"alone": make_curves(2, 5)}, title="Curves").axes
        assert "nats per digit" in loss.get_ylabel()
        assert "%" in accuracy.get_ylabel()

    def test_puts_the_best_names_on_top_of_the_accuracies(self) -> None:
        variants = {name: make_curves(2, 8, 1 + place) for place, name in enumerate(NAMES)}
        loss, accuracy = plots.curves_with_spread(variants, title="Curves").axes
        for axes, names in ((accuracy, NAMES[::-1]), (loss, NAMES)):
            by_height = sorted(axes.texts, key=lambda text: -text.get_position()[1])
            assert [text.get_text() for text in by_height] == names

    def test_gives_each_name_a_piece_of_its_line(self) -> None:
        variants = {name: make_curves(2, 8, 1 + place) for place, name in enumerate(NAMES)}
        accuracy = plots.curves_with_spread(variants, title="Curves").axes[1]
        keys = {
            round(float(places(line)[0, 1]), 6): (line.get_color(), line.get_marker())
            for line in accuracy.lines
            if line.get_transform() == accuracy.transAxes and len(places(line)) == 3
        }
        for text, style in zip(accuracy.texts, plots.styles(3), strict=True):
            assert keys[round(float(text.get_position()[1]), 6)] == style

    def test_survives_perfection(self) -> None:
        perfect = VariantCurves(losses=[[2.3, 0.0], [2.3, 0.0]], accuracies=[[0.0, 1.0], [0.1, 1.0]])
        page = render(plots.curves_with_spread({"by heart": perfect}, title="Perfect", band="sd"))
        assert overlapping_texts(page) == []
        assert np.isfinite(page.figure.axes[1].get_ylim()).all()


class TestRunCurves:
    def test_draws_both_curves_of_each_run(self) -> None:
        histories = {name: make_history(3 + place, 1 + place) for place, name in enumerate(NAMES)}
        loss, accuracy = plots.run_curves(histories, title="Runs").axes
        for history, style in zip(histories.values(), plots.styles(3), strict=True):
            for axes, linestyle, values in [
                (loss, "--", [record.train_loss for record in history]),
                (loss, "-", [record.val_loss for record in history]),
                (accuracy, "--", [100 * record.train_accuracy for record in history]),
                (accuracy, "-", [100 * record.val_accuracy for record in history]),
            ]:
                assert_allclose(curve(axes, style, linestyle=linestyle), list(enumerate(values, start=1)))

    def test_says_which_is_which(self) -> None:
        figure = plots.run_curves({"alone": make_history(2)}, title="Runs")
        assert "Solid, filled: validation. Dashed, hollow: training" in words(figure)
        assert "dropout\nand augmentation where there are any" in words(figure)

    def test_encloses_all_values(self) -> None:
        histories = {name: make_history(12, 1 + place) for place, name in enumerate(NAMES)}
        for axes in plots.run_curves(histories, title="Runs").axes:
            low, high = axes.get_ylim()
            values = [float(y) for line in data_lines(axes) for y in np.asarray(line.get_ydata())]
            assert low < min(values) < max(values) < high


class TestDotPlot:
    def test_shows_every_seed_the_mean_and_its_interval(self) -> None:
        rows = {name: make_accuracies(5, 0.002 * (1 + place)) for place, name in enumerate(NAMES)}
        axes = plots.dot_plot(rows, title="Dots").axes[0]
        assert row_names(axes) == NAMES, "in the order given"
        assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first on top"
        dots = [line for line in data_lines(axes) if line.get_marker() == "o" and line.get_color() == "#666666"]
        intervals = segments(axes, "|")
        for row, (values, style) in enumerate(zip(rows.values(), plots.styles(3), strict=True)):
            assert_allclose(np.asarray(dots[row].get_xdata()), np.sort(100 * np.array(values)))
            assert_allclose(intervals[row][:, 0], t_interval(values))
            ((x, y),) = curve(axes, style, linestyle="None")
            assert x == pytest.approx(100 * np.mean(values))
            assert round(y) == row

    def test_writes_mean_interval_and_number_of_seeds(self) -> None:
        values = make_accuracies(5)
        low, high = t_interval(values)
        axes = plots.dot_plot({"five": values, "one": values[:1]}, title="Dots").axes[0]
        assert beside(axes) == [
            f"{100 * np.mean(values):.3f} %, 5 seeds",
            f"{low:.3f} to {high:.3f} %",
            f"{100 * values[0]:.3f} %, 1 seed",
            "no interval",
        ]
        assert len(segments(axes, "|")) == 1

    def test_is_honest_about_its_zoom(self) -> None:
        figure = plots.dot_plot({"five": make_accuracies(5)}, title="Dots")
        low, high = figure.axes[0].get_xlim()
        assert 99 < low < high < 100
        assert f"The axis begins at {low:.2f} %, not at 0" in words(figure).replace("\n", " ")
        assert "%" in figure.axes[0].get_xlabel()

    def test_never_leaves_what_is_possible(self) -> None:
        axes = plots.dot_plot({"wide": [0.999, 1.0], "low": [0.0, 0.05]}, title="Dots").axes[0]
        low, high = axes.get_xlim()
        assert low == 0
        assert 100 < high < 100.1, "only room for a dot at 100 %"
        assert all(0 <= end <= 100 for interval in segments(axes, "|") for end in interval[:, 0])

    def test_moves_dots_apart_that_would_cover_each_other(self) -> None:
        axes = plots.dot_plot({"same": [0.99, 0.99, 0.995]}, title="Dots").axes[0]
        (dots,) = [line for line in data_lines(axes) if line.get_color() == "#666666"]
        heights = np.asarray(dots.get_ydata())
        assert heights[0] != heights[1]
        assert heights[0] == heights[2]

    @pytest.mark.parametrize("count", [1, 2, 5, 40])
    def test_hides_no_dot_behind_another_and_keeps_them_in_their_row(self, count: int) -> None:
        heights = plots.stacked([99.0] * count, 2.2, 0.1)
        assert len(set(heights)) == count
        assert heights[0] == 2.2
        assert max(heights) <= 2.44 + 1e-9

    def test_names_what_was_measured(self) -> None:
        axes = plots.dot_plot({"one": [0.9]}, title="Dots", digits="validation digits").axes[0]
        assert axes.get_xlabel() == "accuracy on the validation digits (%)"


class TestDifferencePlot:
    def figure(self) -> Figure:
        rows = {"b minus a": FOUND, "c minus a": UNDECIDED, "d minus a": SINGLE}
        return plots.difference_plot(rows, title="Differences")

    def test_draws_means_and_intervals_in_points(self) -> None:
        axes = self.figure().axes[0]
        intervals = segments(axes, "|")
        assert_allclose([ends[:, 0] for ends in intervals], [(0.10, 0.19), (-0.08, 0.05)])
        means = single_points(axes)
        assert_allclose([places(line)[0] for line in means], np.array([(0.14, 0), (-0.02, 1), (0.07, 2)]))

    def test_tells_the_verdict_by_fill_shape_and_words(self) -> None:
        axes = self.figure().axes[0]
        means = single_points(axes)
        assert [line.get_marker() for line in means] == ["o", "o", "D"]
        assert [line.get_markerfacecolor() == "white" for line in means] == [False, True, True]
        assert beside(axes) == [
            "+0.14 (+0.10 to +0.19)",
            "distinguishable, 5 seeds",
            "−0.02 (−0.08 to +0.05)",
            "not distinguishable, 5 seeds",
            "+0.07, no interval",
            "no conclusion, 1 seed",
        ]

    def test_has_a_zero_line_between_worse_and_better(self) -> None:
        axes = self.figure().axes[0]
        assert [0, 0] in [list(places(line)[:, 0]) for line in axes.lines]
        low, high = axes.get_xlim()
        assert low < -0.08 < 0.19 < high
        assert axes.get_title(loc="left") == "← worse"
        assert axes.get_title(loc="right") == "better →"
        assert "percentage points" in axes.get_xlabel()

    def test_begins_a_line_with_what_is_subtracted(self) -> None:
        assert row_names(self.figure().axes[0]) == ["b\n− a", "c\n− a", "d\n− a"]

    @pytest.mark.parametrize("mean", [0.0, 0.003, -0.003])
    def test_always_shows_zero(self, mean: float) -> None:
        axes = plots.difference_plot({"b minus a": replace_mean(mean)}, title="One").axes[0]
        low, high = axes.get_xlim()
        assert low < 0 < high
        assert low < 100 * mean < high


def replace_mean(mean: float) -> Difference:
    return SINGLE._replace(mean=mean)


class TestRobustness:
    def figure(self, **changes: Any) -> Figure:
        panels = {name: make_robustness(name, **changes) for name in DISTURBANCES}
        return plots.robustness_curves(panels, title="Robustness")

    def test_has_a_named_panel_with_a_unit_for_each(self) -> None:
        axes = self.figure().axes
        assert [panel.get_title(loc="left") for panel in axes] == [name.capitalize() for name in DISTURBANCES]
        for panel, (name, (unit, _)) in zip(axes, DISTURBANCES.items(), strict=True):
            assert panel.get_xlabel().replace("\n", " ") == f"{name} ({unit})"
        assert [panel.get_ylabel() for panel in axes] == ["accuracy (%)", "", ""] * 2

    def test_draws_means_and_ranges(self) -> None:
        for axes, name in zip(self.figure().axes, DISTURBANCES, strict=True):
            panel = make_robustness(name)
            for runs, style in zip(panel.accuracies.values(), plots.styles(3), strict=True):
                drawn = curve(axes, style)
                assert_allclose(drawn[:, 0], panel.strengths)
                assert_allclose(drawn[:, 1], 100 * np.mean(runs, axis=0))
            expected = [(100 * np.min(runs), 100 * np.max(runs)) for runs in panel.accuracies.values()]
            assert_allclose(bands(axes), expected)

    def test_shares_one_scale(self) -> None:
        limits = {axes.get_ylim() for axes in self.figure().axes}
        assert len(limits) == 1
        ((low, high),) = limits
        assert low < 60
        assert high > 100

    def test_shades_what_was_trained_on(self) -> None:
        figure = self.figure()
        for axes, name in zip(figure.axes, DISTURBANCES, strict=True):
            trained = make_robustness(name).trained
            assert len(bars(axes)) == len(trained)
            assert [text.get_text() for text in axes.texts] == ["trained on"] * len(trained)
        (shade,) = bars(figure.axes[2])
        assert (shade.get_x(), shade.get_x() + shade.get_width()) == pytest.approx((0.92, 1.08))
        assert to_rgb(shade.get_facecolor()) == pytest.approx(to_rgb(plots.styles(3)[2].colour))
        (shade,) = bars(figure.axes[0])
        assert shade.get_x() >= figure.axes[0].get_xlim()[0], "not wider than the panel"

    def test_shades_a_common_range_once_and_in_grey(self) -> None:
        panel = make_robustness("shift")._replace(trained=dict.fromkeys(NAMES[1:], (0.0, 2.0)))
        axes = plots.robustness_curves({"shift": panel}, title="One").axes[0]
        (shade,) = bars(axes)
        red, green, blue = to_rgb(shade.get_facecolor())
        assert red == green == blue

    def test_puts_example_digits_under_their_strengths(self) -> None:
        axes = self.figure().axes[2]
        panel = make_robustness("scale")
        assert list(axes.get_xticks()) == panel.strengths
        for shown, expected in zip(small_pictures(axes), panel.examples.values(), strict=True):
            assert_allclose(shown, expected / 255)

    def test_leaves_out_examples_that_would_overlap(self) -> None:
        assert plots.apart([0, 5, 10, 20, 40], 6) == [0, 10, 20, 40]
        assert plots.apart([0, 1, 2, 3, 4], 2) == [0, 2, 4]
        assert plots.apart([0, 38, 40], 6) == [0, 40]
        assert plots.apart([], 1) == []

    def test_needs_no_examples(self) -> None:
        panel = make_robustness("noise")._replace(examples={})
        page = render(plots.robustness_curves({"noise": panel}, title="One"))
        assert small_pictures(page.figure.axes[0]) == []
        assert list(page.figure.axes[0].get_xticks()) == panel.strengths

    def test_keeps_a_variants_colour_where_others_are_missing(self) -> None:
        noise = make_robustness("noise")
        only_last = noise._replace(accuracies={NAMES[2]: noise.accuracies[NAMES[2]]})
        figure = plots.robustness_curves({"shift": make_robustness("shift"), "noise": only_last}, title="Two")
        assert len(curve(figure.axes[1], plots.styles(3)[2])) == len(noise.strengths)

    @pytest.mark.parametrize(("seeds", "note"), [(3, "mean of 3 seeds"), (1, "One seed each.")])
    def test_tells_the_number_of_seeds(self, seeds: int, note: str) -> None:
        assert note in words(self.figure(seeds=seeds))


class TestGalleries:
    def test_shows_the_first_of_both_groups(self) -> None:
        figure = gallery(31, 3)
        tiles = [axes for axes in figure.axes if axes.images]
        assert len(tiles) == 12 + 3
        assert "Fixed (A wrong, B right): 12 of 31 shown" in words(figure)
        assert "Broken (A right, B wrong): 3 digits" in words(figure)
        assert "A  3-layer, seed 0\nB  3-layer, augmented, seed 0" in words(figure)
        for place, axes in enumerate(tiles[:12]):
            assert_allclose(np.asarray(axes.images[0].get_array()), make_picture(place) / 255)
            assert axes.get_title() == f"true {place % 10}"

    def test_captions_both_answers(self) -> None:
        first, *_, last = (axes for axes in gallery(1, 1).axes if axes.images)
        assert first.get_xlabel() == "A ✗ 1, > 99.9 %\nB ✓ 0, 45.6 %\ntest digit 9000"
        assert last.get_xlabel() == "A ✓ 0, > 99.9 %\nB ✗ 1, 45.6 %\ntest digit 9000"

    def test_says_so_where_there_are_none(self) -> None:
        figure = gallery(0, 0)
        assert "Fixed (A wrong, B right): none" in words(figure)
        assert "B reads no digit that A misses." in words(figure)
        assert "B misses no digit that A reads." in words(figure)
        assert not any(axes.images for axes in figure.axes)

    def test_shows_what_all_miss_and_what_they_took_it_for(self) -> None:
        figure = digit_plots.missed_by_all(make_missed(30), runs=5, judged=10_000, title="Missed", most=24)
        tiles = [axes for axes in figure.axes if axes.images]
        assert len(tiles) == 24
        assert "Missed by all 5 runs: 24 of 30 shown" in words(figure)
        assert tiles[3].get_title() == "true 8"
        assert tiles[3].get_xlabel() == "read as\n9 (3), 4 (2)\ntest digit 503"

    @pytest.mark.parametrize(
        ("answers", "caption"),
        [
            ([3], "read as\n3"),
            ([3, 3], "read as\n3 by all"),
            ([5, 3, 3, 1], "read as\n3 (2), 5 (1), 1 (1)"),
            ([5, 3, 3, 1, 7], "read as\n3 (2), 5 (1), …"),
        ],
    )
    def test_puts_the_most_common_answer_first(self, answers: list[int], caption: str) -> None:
        assert digit_plots.common_answers(replace(make_missed(1)[0], answers=answers)) == caption

    def test_is_glad_where_none_is_missed_by_all(self) -> None:
        figure = digit_plots.missed_by_all([], runs=5, judged=10_000, title="Missed")
        assert "Missed by all 5 runs: none" in words(figure)
        assert "Each of 10,000 digits is read by at least one of 5 runs." in words(figure)

    def test_takes_bytes_and_fractions_for_the_same_ink(self) -> None:
        ink = make_picture() / 255
        for picture in (make_picture(), ink, ink.astype(np.float32)):
            assert_allclose(plots.as_ink(picture), ink, rtol=1e-6)


class TestGrowth:
    def test_draws_means_and_intervals_over_the_number_of_digits(self) -> None:
        accuracy = growth_figure(5).axes[0]
        for error, style in zip((0.04, 0.07), plots.styles(2), strict=True):
            results = growth(5, error)
            drawn = curve(accuracy, style)
            assert list(drawn[:, 0]) == list(SIZES)
            assert_allclose(drawn[:, 1], [100 * np.mean(values) for values in results.values()])
        expected = [(size, t_interval(growth(5, error)[size])) for error in (0.04, 0.07) for size in SIZES]
        for ends, (size, interval) in zip(segments(accuracy, "_"), expected, strict=True):
            assert list(ends[:, 0]) == [size, size]
            assert_allclose(ends[:, 1], interval)

    def test_names_every_size(self) -> None:
        accuracy, gain = growth_figure(5).axes
        assert accuracy.get_xscale() == gain.get_xscale() == "log"
        assert [label.get_text() for label in gain.get_xticklabels()] == ["500", "2,000", "10,000", "54,000"]
        assert gain.get_xlabel() == "training digits (logarithmic)"
        assert "%" in accuracy.get_ylabel()
        assert "percentage points" in gain.get_ylabel()

    def test_draws_gains_with_their_numbers(self) -> None:
        gains = dict(zip(SIZES, [FOUND, UNDECIDED, SINGLE, FOUND], strict=True))
        gain = growth_figure(5, gains).axes[1]
        means = single_points(gain)
        expected = [(500, 0.14), (2000, -0.02), (10_000, 0.07), (54_000, 0.14)]
        assert_allclose([places(line)[0] for line in means], np.array(expected))
        assert [line.get_marker() for line in means] == ["o", "o", "D", "o"]
        assert [text.get_text() for text in gain.texts] == ["+0.14", "−0.02", "+0.07", "+0.14"]
        assert_allclose([ends[:, 1] for ends in segments(gain, "_")], [(0.10, 0.19), (-0.08, 0.05), (0.10, 0.19)])
        assert gain.get_title(loc="right") == "augmented minus plain"

    def test_has_no_second_panel_without_gains(self) -> None:
        figure = growth_figure(1, {})
        assert len(figure.axes) == 1
        assert "One seed each, so there are no intervals." in words(figure)
        assert figure.axes[0].get_xlabel() == "training digits (logarithmic)"

    def test_tells_numbers_of_seeds_that_differ(self) -> None:
        results = growth(4, 0.04)
        results[54_000] = results[54_000][:2]
        figure = plots.growth_curves({"a": results, "b": growth(5, 0.07)}, {}, title="More", gain="")
        assert {"a (n = 2 to 4)", "b (n = 5)"} <= set(words(figure).splitlines())


class TestSpeed:
    def test_draws_a_bar_per_step_and_one_per_target(self) -> None:
        figure = plots.speed_steps(STEPS, title="Speed")
        axes = figure.axes[0]
        assert [bar.get_width() for bar in bars(axes)] == [35.94, 112.26, 25.1, 7.3, 15.1]
        assert [bool(bar.get_hatch()) for bar in bars(axes)] == [False, True, False, False, True]
        assert beside(axes) == [
            "35.9 s, 1,728 images/s",
            "112.3 s to 99.33 %",
            "25.1 s, 2,400 images/s, 1.4 times as fast",
            "7.3 s, 7,551 images/s, 4.9 times as fast",
            "15.1 s to 99.33 %",
        ]
        assert axes.get_xlabel() == "time (s)"
        assert axes.get_xlim()[0] == 0
        assert "99.33 % validation accuracy" in words(figure).replace("\n", " ")

    def test_is_silent_about_targets_that_nobody_measured(self) -> None:
        figure = plots.speed_steps({"one": Step(10, 5400), "two": Step(5, 10_800)}, title="Speed")
        assert not any(bar.get_hatch() for bar in bars(figure.axes[0]))
        assert "99.33" not in words(figure)

    def test_breaks_long_names(self) -> None:
        names = row_names(plots.speed_steps(STEPS, title="Speed").axes[0])
        assert names[0] == "the common recipe, one\npicture after the other"


class TestInversion:
    def test_draws_bars_from_zero_with_intervals(self) -> None:
        axes = plots.inversion_bars(SHOWINGS, title="Inversion").axes[0]
        assert_allclose([bar.get_width() for bar in bars(axes)], [99.71, 13.87, 97.0])
        assert axes.get_xlim() == (0, 100)
        assert_allclose([ends[:, 0] for ends in segments(axes, "|")], [(99.58, 99.80), (13.21, 14.56)])
        assert beside(axes) == [
            "99.71 % of 10,000",
            "99.58 to 99.80 %",
            "13.87 % of 10,000",
            "13.21 to 14.56 %",
            "97.0 % of 100",
            "no interval",
        ]
        assert axes.get_xlabel() == "accuracy (%)"

    def test_shows_what_the_network_sees_as_it_is(self) -> None:
        white = replace_picture(np.full((28, 28), 255, np.uint8))
        black = replace_picture(np.zeros((28, 28)))
        page = render(plots.inversion_bars({"white": white, "black": black}, title="As it is"))
        axes = page.figure.axes[0]
        boxes = [child for child in axes.get_children() if isinstance(child, AnnotationBbox)]
        for box, brightness in zip(boxes, (1, 0), strict=True):
            extent = box.get_window_extent()
            column, height = (extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2
            seen = page.pixels[page.pixels.shape[0] - int(height), int(column), :3]
            assert_allclose(seen, brightness, atol=0.02)


def replace_picture(picture: plots.Picture) -> Showing:
    return SHOWINGS["own digits"]._replace(picture=picture)


class TestStyles:
    def test_tell_eight_variants_apart_by_colour_and_by_marker(self) -> None:
        eight = plots.styles(8)
        assert len({style.colour for style in eight}) == 8
        assert len({style.marker for style in eight}) == 8

    def test_never_repeat_a_pair_soon(self) -> None:
        assert len(set(plots.styles(64))) == 64

    def test_do_not_depend_on_how_many_there_are(self) -> None:
        assert plots.styles(8)[:3] == plots.styles(3)


class TestLabels:
    def test_stay_where_they_want_to_be_if_they_can(self) -> None:
        assert plots.spread_apart([0.9, 0.1, 0.5], 0.1) == pytest.approx([0.9, 0.1, 0.5])

    def test_move_apart_evenly_and_in_order(self) -> None:
        assert plots.spread_apart([0.5, 0.5, 0.5], 0.1) == pytest.approx([0.4, 0.5, 0.6])
        assert plots.spread_apart([1.0, 0.99], 0.2) == pytest.approx([1.0, 0.8])
        assert plots.spread_apart([0.0, 0.0], 0.2) == pytest.approx([0.0, 0.2])

    @pytest.mark.parametrize("gap", [0.01, 0.1, 0.14])
    def test_are_apart_inside_and_sorted_like_the_ends(self, gap: float) -> None:
        wanted = list(np.random.RandomState(1).rand(8) ** 3)
        places = plots.spread_apart(wanted, gap)
        assert np.diff(sorted(places)).min() >= gap - 1e-9
        assert min(places) >= 0
        assert max(places) <= 1 + 1e-9
        assert list(np.argsort(places)) == list(np.argsort(wanted))

    def test_break_into_even_lines_at_spaces(self) -> None:
        assert plots.in_lines("short") == "short"
        assert plots.in_lines("") == ""
        assert (
            plots.in_lines("3-layer, augmented, without any dropout at all")
            == "3-layer, augmented,\nwithout any dropout at all"
        )
        assert plots.in_lines("a\nb") == "a\nb"

    @pytest.mark.parametrize("text", ["x" * 70, "word " * 20, "2026-11-22_14-30-05_3-layer-aug and more of the same"])
    def test_never_grow_wider_than_allowed(self, text: str) -> None:
        lines = plots.in_lines(text).split("\n")
        assert max(map(len, lines)) <= plots.NAME_WIDTH
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")


class TestAccuracyTicks:
    @pytest.mark.parametrize(
        "ends", [(0, 0), (0, 30), (10, 99.9), (0, 100), (85, 99.5), (98, 99.7), (99.6, 99.66), (97, 97), (100, 100)]
    )
    def test_are_legible_round_and_inside(self, ends: tuple[float, float]) -> None:
        axes = Figure().subplots()
        plots.scale_accuracy_closely(axes, ends)
        ticks = axes.get_yticks()
        assert len(ticks) >= 2
        assert 0 <= ticks[0] < ticks[-1] <= 100
        low, high = axes.get_ylim()
        assert low <= min(*ends, *ticks)
        assert high >= max(*ends, *ticks)
        heights = axes.transAxes.inverted().transform(axes.transData.transform([(1, tick) for tick in ticks]))[:, 1]
        assert np.diff(heights).min() >= plots.TICKS_APART - 1e-9
        labels = [float(label.get_text()) for label in axes.get_yticklabels()]
        assert labels == pytest.approx(list(ticks), abs=1e-4)

    def test_stand_close_where_networks_are_good(self) -> None:
        axes = Figure().subplots()
        plots.scale_accuracy_closely(axes, [98.0, 99.7])
        assert {98, 99, 99.5, 99.7} <= set(np.round(axes.get_yticks(), 6))
