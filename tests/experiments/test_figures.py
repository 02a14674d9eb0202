"""The figures that compare networks, checked by what they hold and by what ends up in their pixels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.axes._secondary_axes import SecondaryAxis
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy.stats import t

from mnist_lab import plotting
from mnist_lab.experiments import figures as plots
from mnist_lab.experiments.figures import Robustness, Showing, ShownDigit, SpeedBar
from mnist_lab.experiments.statistics import Comparison, PairedDifference
from mnist_lab.training.paired import Verdict
from mnist_lab.training.runs import EpochRecord
from tests.training.test_figures import (
    LONG_TITLE,
    Page,
    assert_whole_and_legible,
    make_history,
    overlapping_texts,
    render,
    texts,
    words,
)

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


def make_curves(seeds: int, epochs: int, better: float = 1.0) -> list[list[EpochRecord]]:
    return [make_history(epochs, better * (1 + 0.1 * seed)) for seed in range(seeds)]


def curves_figure(curves: Mapping[str, Sequence[Sequence[EpochRecord]]], title: str = "Curves") -> Figure:
    return plots.curves_with_spread(curves, [54_000] * len(curves), title=title)


def make_accuracies(seeds: int, error: float = 0.004) -> list[float]:
    """Accuracies of some seeds, in steps of one digit in 10,000."""
    draws = np.random.RandomState(seeds).normal(error, error / 12, seeds)
    return [1 - round(float(draw), 4) for draw in draws]


def make_picture(number: int) -> NDArray[np.float64]:
    return np.random.RandomState(number).random((28, 28))


def make_robustness(name: str, variants: Sequence[str] = NAMES) -> Robustness:
    unit, strengths = DISTURBANCES[name]
    middle, reach = (1.0 if name == "scale" else 0.0), max(strengths) - min(strengths)

    def accuracy(place: int, seed: int, strength: float) -> float:
        return 0.99 - 0.01 * seed - (0.2 + 0.07 * place) * abs(strength - middle) / reach

    return Robustness(
        unit=unit,
        strengths=strengths,
        accuracies={
            variant: {seed: [accuracy(place, seed, strength) for strength in strengths] for seed in range(3)}
            for place, variant in enumerate(variants)
        },
        trained={variants[-1]: (middle - reach / 10, middle + reach / 10)} if name in ("shift", "scale") else {},
        examples=[make_picture(place) for place in range(len(strengths))],
    )


def make_digits(count: int) -> list[ShownDigit]:
    caption = "A ✗ 1, > 99.9 %\nB ✓ 0, 45.6 %"
    return [
        ShownDigit(make_picture(place), caption, {"index": 9000 + place, "label": place % 10}) for place in range(count)
    ]


def make_comparison(mean: float, interval: tuple[float, float] | None, found: bool | None, seeds: int) -> Comparison:
    difference = PairedDifference(mean, None, seeds, interval, None)
    names = ("plain", "augmented")
    return Comparison(*names, names, "", difference, None, Verdict("", found, ""))


FOUND = make_comparison(0.0014, (0.0010, 0.0019), True, 5)
UNDECIDED = make_comparison(-0.0002, (-0.0008, 0.0005), False, 5)
SINGLE = make_comparison(0.0007, None, None, 1)

SIZES = (500, 2000, 10_000, 54_000)
STEPS = {
    "the common recipe, one picture after the other": SpeedBar(35.94, 1728.4, 112.26),
    "data kept in memory": SpeedBar(25.1, 2400),
    "the lab's": SpeedBar(7.3, 7551, 15.1),
}
SHOWINGS = {
    "white on black, as MNIST": Showing(0.9971, (0.9958, 0.9980), 10_000, make_picture(1)),
    "black on white": Showing(0.1387, (0.1321, 0.1456), 10_000, 1 - make_picture(1)),
    "own digits": Showing(0.97, (0.9155, 0.9897), 100, make_picture(2)),
}


def growth(seeds: int, error: float) -> dict[int, list[float]]:
    return {size: make_accuracies(seeds, error * (500 / size) ** 0.6) for size in SIZES}


def growth_figure(seeds: int) -> Figure:
    variants = {"augmented": growth(seeds, 0.04), "plain": growth(seeds, 0.07)}
    return plots.growth_curves(variants, title="More digits")


def gallery(fixed: int, broken: int, title: str = "A and B") -> Figure:
    groups = {"Fixed": (make_digits(fixed), "None is fixed."), "Broken": (make_digits(broken), "None is broken.")}
    return plots.gallery(groups, title=title, note="A note.", most=12, names="A  3-layer, seed 0\nB  3-layer, seed 1")


FIGURES: dict[str, Callable[[], Figure]] = {
    "curves-long-names": lambda: curves_figure(
        {name: make_curves(1 + place, 4 + 4 * place, 1 + place / 50) for place, name in enumerate(LONG_NAMES)},
        LONG_TITLE,
    ),
    "curves-images": lambda: plots.curves_with_spread(
        {f"{size:,} digits": make_curves(2, 6, size / 500) for size in SIZES}, SIZES, title="Curves"
    ),
    "curves-one-epoch": lambda: curves_figure({"alone": make_curves(1, 1)}),
    "curves-100-epochs": lambda: curves_figure({"alone": make_curves(3, 100)}),
    "dots-long-names": lambda: plots.dot_plot(
        {name: make_accuracies(1 + 4 * place) for place, name in enumerate(LONG_NAMES)}, title=LONG_TITLE
    ),
    "dots-one": lambda: plots.dot_plot({"alone": [0.99]}, title="Dots"),
    "differences-long-names": lambda: plots.difference_plot(
        [replace(UNDECIDED, variants=(LONG_NAMES[0], name)) for name in LONG_NAMES[1:]], title=LONG_TITLE
    ),
    "differences-one": lambda: plots.difference_plot([SINGLE], title="Differences"),
    "robustness-long-names": lambda: plots.robustness_curves(
        {name: make_robustness(name, LONG_NAMES) for name in DISTURBANCES}, title=LONG_TITLE
    ),
    "robustness-one": lambda: plots.robustness_curves({"noise": make_robustness("noise")}, title="One"),
    "gallery-long-title": lambda: gallery(1, 12, LONG_TITLE),
    "gallery-none": lambda: gallery(0, 0),
    "gallery-many": lambda: plots.gallery({"Missed": (make_digits(40), "None.")}, title=LONG_TITLE, note="A note."),
    "growth-one-seed": lambda: growth_figure(1),
    "growth": lambda: growth_figure(3),
    "speed": lambda: plots.speed_steps(STEPS, 0.9933, title="Speed"),
    "speed-no-target": lambda: plots.speed_steps(
        {name: SpeedBar(9.9, 5000) for name in LONG_NAMES}, None, title=LONG_TITLE
    ),
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


def curve(axes: Axes, style: dict[str, Any]) -> NDArray[Any]:
    """The [x, y] (N, 2) of the one solid line with that colour and marker."""
    wanted = (style["color"], style["marker"], "-")
    (found,) = [line for line in axes.lines if (line.get_color(), line.get_marker(), line.get_linestyle()) == wanted]
    return np.asarray(found.get_xydata())


def whiskers(axes: Axes) -> list[list[list[float]]]:
    """The two ends [x, y] of every interval that is drawn, without those that are NaN."""
    drawn = [ends for part in axes.collections if isinstance(part, LineCollection) for ends in part.get_segments()]
    return [ends.tolist() for ends in map(np.asarray, drawn) if ends.size and np.isfinite(ends).all()]


def bands(axes: Axes) -> list[tuple[float, float]]:
    """The lowest and the highest value of every band."""
    areas = [area for area in axes.collections if isinstance(area, PolyCollection)]
    heights = [np.asarray(area.get_paths()[0].vertices)[:, 1] for area in areas]
    return [(float(values.min()), float(values.max())) for values in heights]


def row_names(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def beside(axes: Axes) -> list[str]:
    """What stands to the right of the rows, from top to bottom."""
    (right,) = [child for child in axes.child_axes if isinstance(child, SecondaryAxis)]
    return [label.get_text() for label in right.get_yticklabels()]


def small_pictures(axes: Axes) -> list[NDArray[Any]]:
    return [np.asarray(inset.images[0].get_array()) for inset in axes.child_axes if inset.images]


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
        assert_whole_and_legible(page)

    def test_keeps_its_words_inside(self, page: Page) -> None:
        whole = page.figure.bbox.padded(1)
        boxes = [(text.get_text(), text.get_window_extent()) for text in texts(page.figure)]
        outside = [name for name, box in boxes if not (whole.contains(*box.min) and whole.contains(*box.max))]
        assert outside == []

    def test_keeps_its_small_pictures_apart_from_each_other_and_from_words(self, page: Page) -> None:
        boxes = [
            inset.get_window_extent().padded(-1)
            for axes in page.figure.axes
            for inset in axes.child_axes
            if inset.images
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


class TestLearning:
    def test_draws_means_and_ranges_over_the_seeds(self) -> None:
        variants = {name: make_curves(5, 8, 1 + place) for place, name in enumerate(NAMES)}
        figure = curves_figure(variants)
        for axes, field, unit in zip(figure.axes, ("val_loss", "val_accuracy"), (1, 100), strict=True):
            runs = [[[getattr(epoch, field) for epoch in run] for run in variant] for variant in variants.values()]
            for values, style in zip(runs, plots.styles(3), strict=True):
                expected = np.column_stack([np.arange(1, 9), unit * np.mean(values, axis=0)])
                assert_allclose(curve(axes, style), expected)
            assert_allclose(bands(axes), [(unit * np.min(values), unit * np.max(values)) for values in runs])
            low, high = axes.get_ylim()
            assert low < unit * np.min(runs) < unit * np.max(runs) < high
        assert ["nats" in figure.axes[0].get_ylabel(), "%" in figure.axes[1].get_ylabel()] == [True, True]

    def test_names_every_variant_once_with_its_seeds(self) -> None:
        figure = curves_figure({"a": make_curves(1, 5), "b": make_curves(3, 2)})
        assert words(figure).count("a (1 seed)") == words(figure).count("b (3 seeds)") == 1
        assert [len(bands(axes)) for axes in figure.axes] == [1, 1], "a single seed has no band"

    def test_ends_a_line_where_its_shortest_seed_ends(self) -> None:
        long, short = make_history(6), make_history(4, 2.0)
        figure = curves_figure({"alone": [long, short]})
        drawn = curve(figure.axes[0], plots.styles(1)[0])
        assert_allclose(drawn[:, 1], [(a.val_loss + b.val_loss) / 2 for a, b in zip(long, short, strict=False)])

    def test_counts_training_digits_where_epochs_have_different_lengths(self) -> None:
        variants = {"few": make_curves(1, 3), "many": make_curves(1, 2)}
        loss, accuracy = plots.curves_with_spread(variants, [500, 54_000], title="Curves").axes
        few, many = plots.styles(2)
        assert list(curve(loss, few)[:, 0]) == [500, 1000, 1500]
        assert list(curve(accuracy, many)[:, 0]) == [54_000, 108_000]
        assert "training digits seen" in accuracy.get_xlabel()
        assert curves_figure(variants).axes[1].get_xlabel() == "epoch"

    def test_survives_perfection(self) -> None:
        start, end = make_history(2)
        perfect = replace(end, val_loss=0.0, val_accuracy=1.0)
        by_heart = [[replace(start, val_loss=2.3, val_accuracy=accuracy), perfect] for accuracy in (0.0, 0.1)]
        page = render(curves_figure({"by heart": by_heart}))
        assert overlapping_texts(page) == []
        assert np.isfinite(page.figure.axes[1].get_ylim()).all()


class TestDotPlot:
    def test_shows_every_seed_the_mean_and_its_interval(self) -> None:
        rows = {name: make_accuracies(5, 0.002 * (1 + place)) for place, name in enumerate(NAMES)}
        rows["one"] = [0.99]
        axes = plots.dot_plot(rows, title="Dots").axes[0]
        assert [label.get_text() for label in axes.get_yticklabels()] == list(rows), "in the order given"
        assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first on top"
        dots = [np.asarray(line.get_xdata()) for line in axes.lines if line.get_color() == plotting.MUTED]
        for drawn, values in zip(dots, rows.values(), strict=True):
            assert_allclose(drawn, 100 * np.array(values))
        for ends, values in zip(whiskers(axes), list(rows.values())[:3], strict=True):
            assert_allclose(np.array(ends)[:, 0], t_interval(values))
        low, high = t_interval(rows["1-layer"])
        first = f"{100 * np.mean(rows['1-layer']):.3f} %, 5 seeds\n{low:.3f} to {high:.3f} %"
        assert (beside(axes)[0], beside(axes)[3]) == (first, "99.000 %, 1 seed\nno interval")
        assert axes.get_xlabel() == "accuracy on the test digits (%)"

    def test_is_honest_about_its_zoom_and_stays_in_what_is_possible(self) -> None:
        figure = plots.dot_plot({"five": make_accuracies(5)}, title="Dots")
        assert f"begins at {figure.axes[0].get_xlim()[0]:.2f} %, not at 0" in words(figure).replace("\n", " ")
        axes = plots.dot_plot({"wide": [0.999, 1.0], "low": [0.0, 0.05]}, title="Dots").axes[0]
        assert axes.get_xlim()[0] == 0
        assert 100 < axes.get_xlim()[1] < 100.1, "only room for a dot at 100 %"
        assert all(0 <= x <= 100 for ends in whiskers(axes) for x, _ in ends)

    @pytest.mark.parametrize("count", [2, 20])
    def test_hides_no_dot_behind_another(self, count: int) -> None:
        axes = plots.dot_plot({"same": [0.99] * count}, title="Dots").axes[0]
        (dots,) = [line for line in axes.lines if line.get_color() == plotting.MUTED]
        heights = np.asarray(dots.get_ydata())
        assert len(set(heights)) == count
        assert heights.max() < 0.5, "within its row"


class TestDifferencePlot:
    def test_draws_and_tells_means_intervals_and_verdicts(self) -> None:
        axes = plots.difference_plot([FOUND, UNDECIDED, SINGLE], title="Differences").axes[0]
        assert row_names(axes) == ["augmented\n− plain"] * 3
        assert_allclose([np.array(ends)[:, 0] for ends in whiskers(axes)], [(0.10, 0.19), (-0.08, 0.05)])
        means = [
            line for line in axes.lines if line.get_marker() in ("o", "D") and len(np.asarray(line.get_xdata())) == 1
        ]
        assert_allclose(
            [np.asarray(line.get_xydata())[0] for line in means], np.array([(0.14, 0), (-0.02, 1), (0.07, 2)])
        )
        assert [line.get_marker() for line in means] == ["o", "o", "D"]
        assert [line.get_markerfacecolor() == "white" for line in means] == [False, True, True]
        assert beside(axes) == [
            "+0.14 (+0.10 to +0.19)\ndistinguishable, 5 seeds",
            "−0.02 (−0.08 to +0.05)\nnot distinguishable, 5 seeds",
            "+0.07, no interval\nno conclusion, 1 seed",
        ]
        assert "percentage points" in axes.get_xlabel()

    @pytest.mark.parametrize("mean", [0.0, 0.003, -0.003])
    def test_always_shows_zero(self, mean: float) -> None:
        axes = plots.difference_plot([make_comparison(mean, None, None, 1)], title="One").axes[0]
        low, high = axes.get_xlim()
        assert low < min(0, 100 * mean) <= max(0, 100 * mean) < high


class TestRobustness:
    def test_draws_means_ranges_and_what_was_trained_on(self) -> None:
        panels = {name: make_robustness(name) for name in DISTURBANCES}
        figure = plots.robustness_curves(panels, title="Six")
        assert len({axes.get_ylim() for axes in figure.axes}) == 1, "one scale"
        for axes, (name, panel) in zip(figure.axes, panels.items(), strict=True):
            variants = [100 * np.array(list(by_seed.values())) for by_seed in panel.accuracies.values()]
            for runs, style in zip(variants, plots.styles(3), strict=True):
                assert_allclose(curve(axes, style), np.column_stack([panel.strengths, runs.mean(axis=0)]))
            assert_allclose(bands(axes), [(runs.min(), runs.max()) for runs in variants])
            assert axes.get_xlabel().replace("\n", " ") == f"{name} ({panel.unit})"
            assert len(bars(axes)) == len(panel.trained)
        (shade,) = bars(figure.axes[2])
        assert (shade.get_x(), shade.get_x() + shade.get_width()) == pytest.approx((0.92, 1.08))
        assert to_rgb(shade.get_facecolor()) == pytest.approx(to_rgb(plots.styles(3)[2]["color"]))
        assert words(figure).count("met in training") == 1

    def test_shades_a_common_range_once_and_in_grey(self) -> None:
        panel = make_robustness("shift")._replace(trained=dict.fromkeys(NAMES[1:], (0.0, 2.0)))
        (shade,) = bars(plots.robustness_curves({"shift": panel}, title="One").axes[0])
        assert len(set(to_rgb(shade.get_facecolor()))) == 1

    def test_puts_example_digits_under_their_strengths(self) -> None:
        panel = make_robustness("scale")
        axes = plots.robustness_curves({"scale": panel}, title="One").axes[0]
        assert list(axes.get_xticks()) == panel.strengths
        assert_allclose(small_pictures(axes), panel.examples)
        crowded = plots.robustness_curves({"shift": make_robustness("shift")}, title="One").axes[0]
        assert 1 < len(small_pictures(crowded)) == len(crowded.get_xticks()) < len(DISTURBANCES["shift"][1])


class TestGalleries:
    def test_show_the_first_of_both_groups_with_both_answers(self) -> None:
        figure = gallery(31, 3)
        tiles = [axes for axes in figure.axes if axes.images]
        assert len(tiles) == 12 + 3
        assert "Fixed: 31 digits, the first 12 shown" in words(figure)
        assert "Broken: 3 digits" in words(figure)
        assert "A  3-layer, seed 0\nB  3-layer, seed 1" in words(figure)
        for place, axes in enumerate(tiles[:12]):
            assert_allclose(np.asarray(axes.images[0].get_array()), make_picture(place))
            assert axes.get_title() == f"true {place % 10}"
        assert tiles[0].get_xlabel() == "A ✗ 1, > 99.9 %\nB ✓ 0, 45.6 %\ntest digit 9000"

    def test_say_so_where_there_are_none(self) -> None:
        assert "None is fixed." in words(gallery(0, 1))
        assert "None is broken." not in words(gallery(0, 1))
        assert not any(axes.images for axes in gallery(0, 0).axes)
        assert "A note." not in words(gallery(0, 0))

    def test_digits_whose_label_most_people_doubt_are_marked_if_they_are_shown(self) -> None:
        ordinary, doubtful = (ShownDigit(make_picture(1), "✗ 1", {"index": n, "label": 8}) for n in (946, 947))
        figure = plots.gallery({"Missed": ([ordinary, doubtful], "None.")}, title="", note="A note.")
        assert "test digit 947†" in words(figure)
        assert "test digit 946†" not in words(figure)
        assert "Northcutt et al. 2021" in words(figure)
        hidden = plots.gallery({"Missed": ([ordinary, doubtful], "None.")}, title="", note="A note.", most=1)
        assert "†" not in words(hidden)


class TestGrowth:
    def test_draws_means_and_intervals_over_the_number_of_digits(self) -> None:
        (axes,) = growth_figure(5).axes
        expected = []
        for error, style in zip((0.04, 0.07), plots.styles(2), strict=True):
            results = growth(5, error)
            means = [100 * np.mean(values) for values in results.values()]
            assert_allclose(curve(axes, style), np.column_stack([SIZES, means]))
            expected += [[(size, end) for end in t_interval(values)] for size, values in results.items()]
        assert_allclose(whiskers(axes), expected)
        assert [label.get_text() for label in axes.get_xticklabels()] == ["500", "2,000", "10,000", "54,000"]
        assert "%" in axes.get_ylabel()
        assert whiskers(growth_figure(1).axes[0]) == []


class TestBars:
    def test_speed_has_a_bar_per_step_and_one_per_target(self) -> None:
        figure = plots.speed_steps(STEPS, 0.9933, title="Speed")
        axes = figure.axes[0]
        assert [bar.get_width() for bar in bars(axes)] == [35.94, 25.1, 7.3, 112.26, 15.1]
        assert [bool(bar.get_hatch()) for bar in bars(axes)] == [False, False, False, True, True]
        assert [text.get_text() for text in axes.texts] == [
            "35.9 s, 1,728 images/s",
            "25.1 s, 2,400 images/s, 1.4 times as fast",
            "7.3 s, 7,551 images/s, 4.9 times as fast",
            "112.3 s",
            "15.1 s",
        ]
        assert "99.33 % validation accuracy" in words(figure)
        plain = plots.speed_steps({"one": SpeedBar(10, 5400), "two": SpeedBar(5, 10_800)}, None, title="Speed")
        assert "99.33" not in words(plain)

    def test_inversion_has_bars_from_zero_with_intervals_and_pictures_as_they_are(self) -> None:
        axes = plots.inversion_bars(SHOWINGS, title="Inversion").axes[0]
        assert_allclose([bar.get_width() for bar in bars(axes)], [99.71, 13.87, 97.0])
        assert axes.get_xlim() == (0, 100)
        assert_allclose(
            [np.array(ends)[:, 0] for ends in whiskers(axes)], [(99.58, 99.80), (13.21, 14.56), (91.55, 98.97)]
        )
        assert beside(axes)[1:] == ["13.9 % of 10,000\n13.2 to 14.6 %", "97.0 % of 100\n91.5 to 99.0 %"]
        for shown, row in zip(small_pictures(axes), SHOWINGS.values(), strict=True):
            assert_allclose(1 - shown, row.picture)  # drawn dark on white: white ink stays white


def test_styles_tell_variants_apart_by_colour_and_by_marker() -> None:
    eight = plots.styles(8)
    assert len({style["color"] for style in eight}) == len({style["marker"] for style in eight}) == 8
    assert len({tuple(style.values()) for style in plots.styles(64)}) == 64
    assert eight[:3] == plots.styles(3)
