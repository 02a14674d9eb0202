"""The figures, checked by what they hold and by what ends up in their pixels."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from mnist_lab import plotting
from mnist_lab.training import figures as plots
from mnist_lab.training.evaluation import Evaluation, Mistakes, evaluate
from mnist_lab.training.runs import EpochRecord

pytestmark = pytest.mark.filterwarnings("error")

SMALLEST_LEGIBLE = 8  # points


def make_history(epochs: int, better: float = 1.0) -> list[EpochRecord]:
    """Falling losses and accuracies from 97 to 99.5 %, all values distinct; ``better``: that many times as good."""
    return [
        EpochRecord(
            epoch=epoch,
            train_loss=0.3 / epoch / better + 0.02,
            train_accuracy=1 - (0.08 / (epoch + 1) + 0.004) / better,
            val_loss=0.1 / epoch / better + 0.015,
            val_accuracy=1 - (0.03 / (epoch + 1) + 0.003) / better,
            learning_rate=1e-3,
            seconds=1.0,
        )
        for epoch in range(1, epochs + 1)
    ]


def make_matrix() -> NDArray[np.int64]:
    """A good network's confusions: 1,000 digits per class, few mistakes, one class without any."""
    matrix = np.diag([1000] * 10).astype(np.int64)
    for true, predicted, count in [(4, 9, 8), (9, 4, 3), (7, 1, 2), (3, 5, 1), (5, 3, 1)]:
        matrix[true, predicted] += count
        matrix[true, true] -= count
    return matrix


def make_images(count: int) -> NDArray[np.uint8]:
    """Random images (count, 28, 28), each unlike the others."""
    return np.random.RandomState(0).randint(0, 256, (count, 28, 28)).astype(np.uint8)


def mistakes_figure(count: int) -> Figure:
    """A gallery of ``count`` mistakes: digit i of class i % 10 taken for the next class."""
    labels = np.arange(count) % 10
    certainty = np.linspace(0.9999, 0.4, count)
    missed = Mistakes(np.arange(count), labels, (labels + 1) % 10, certainty, (1 - certainty) / 2)
    return plots.mistakes(make_images(count), missed, np.arange(count) + 9000, evaluated=10_000, title="Worst mistakes")


def history_figure(epochs: int, reason: str = "last epoch") -> Figure:
    """A history whose best epoch is its last but one, if it has two."""
    best = max(1, epochs - 1)
    return plots.training_history(make_history(epochs), best_epoch=best, stop_reason=reason, title="2-layer network")


def curves_figure(*epochs: int) -> Figure:
    """Of runs of so many epochs each."""
    histories = {f"3-layer, augmented, seed {2_147_483_000 + n}": make_history(n) for n in epochs}
    return plots.learning_curves(histories, title=f"How {len(epochs)} runs learned")


def made_evaluation(sureness: float, count: int = 10_000) -> Evaluation:
    """Of answers that are right about nine times in ten, with probabilities that are the closer to 1 the surer."""
    random = np.random.RandomState(0)
    labels = random.randint(0, 10, count)
    logits = sureness * random.normal(size=(count, 10))
    logits[np.arange(count), labels] += 3.5 * sureness
    return evaluate(logits.astype(np.float32), labels)


def reliability_figure(sureness: float) -> Figure:
    return plots.reliability(made_evaluation(sureness), title="2-layer")


def unsure_figure(count: int) -> Figure:
    labels = np.arange(count) % 10
    found = Mistakes(np.arange(count), labels, (labels + 1) % 10, np.full(count, 0.3), np.full(count, 0.4))
    return plots.unsure(make_images(count), found, np.arange(count) + 940, title="Unsure")


LONG_TITLE = "2026-11-22_14-30-05_3-layer-aug: " + "a title that is much longer than its figure is wide, " * 2

FIGURES: dict[str, Callable[[], Figure]] = {
    **{f"history-{epochs}": partial(history_figure, epochs, "interrupted") for epochs in (1, 16, 100)},
    **{f"curves-{count}": partial(curves_figure, *range(1, count + 1)) for count in (1, 10)},
    "confusion-counts": lambda: plots.confusion_counts(make_matrix(), title="Test digits"),
    "confusion-percent": lambda: plots.confusion_percent(make_matrix(), title="Test digits"),
    "confusion-none": lambda: plots.confusion_percent(np.zeros((10, 10), np.int64), title="Nothing yet"),
    "confusion-perfect": lambda: plots.confusion_counts(np.diag([6000] * 10), title="Perfect"),
    "confusion-chance": lambda: plots.confusion_counts(np.full((10, 10), 1234), title="Chance"),
    "confusion-long-title": lambda: plots.confusion_percent(make_matrix(), title=LONG_TITLE),
    **{f"mistakes-{count}": partial(mistakes_figure, count) for count in (0, 1, 3, 7, 58)},
    "unsure": lambda: unsure_figure(10),
    **{f"reliability-{s}": partial(reliability_figure, s) for s in (0.5, 1, 5)},
    "reliability-few": lambda: plots.reliability(made_evaluation(1, 3), title="Three digits"),
}


class Page(NamedTuple):
    """A figure as its reader gets it; its layout is final."""

    figure: Figure
    pixels: NDArray[Any]  # (H, W, 4) floats 0..1

    def colour_at(self, axes: Axes, x: float, y: float) -> NDArray[Any]:
        """Red, green and blue (3,) at a data point."""
        column, height = axes.transData.transform((x, y))
        return self.pixels[self.pixels.shape[0] - 1 - int(height), int(column), :3]


def render(figure: Figure) -> Page:
    """Save a figure as PNG and read it back."""
    file = io.BytesIO()
    figure.savefig(file, format="png", pil_kwargs={"compress_level": 1})
    file.seek(0)
    return Page(figure, imread(file))


@pytest.fixture(scope="module", params=list(FIGURES))
def page(request: pytest.FixtureRequest) -> Page:
    return render(FIGURES[request.param]())


def texts(figure: Figure) -> list[Text]:
    """Every text that is drawn."""
    hidden = {id(text) for axes in figure.axes if not axes.axison for text in axes_names(axes)}
    for axis in [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]:
        low, high = sorted(axis.get_view_interval())
        hidden |= {id(tick.label1) for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    return [
        text
        for text in figure.findobj(Text)
        if text.get_text().strip() and text.get_visible() and id(text) not in hidden
    ]


def axes_names(axes: Axes) -> list[Text]:
    return [*axes.xaxis.findobj(Text), *axes.yaxis.findobj(Text)]


def overlapping_texts(page: Page) -> list[tuple[str, str]]:
    """Pairs of texts that run into each other, by more than the blank rim of their boxes."""
    boxes = [(text.get_text(), text.get_window_extent().padded(-2)) for text in texts(page.figure)]
    pairs = itertools.combinations(boxes, 2)
    return [(one, other) for (one, box), (other, other_box) in pairs if box.overlaps(other_box)]


def assert_whole_and_legible(page: Page) -> None:
    """Nothing is cut off, and words are large enough and apart from each other."""
    for edge in (page.pixels[[0, -1]], page.pixels[:, [0, -1]]):
        assert (edge == 1).all(), "white to the edge"
    drawn = texts(page.figure)
    assert len(drawn) >= 2
    assert min(float(text.get_fontsize()) for text in drawn) >= SMALLEST_LEGIBLE
    assert overlapping_texts(page) == []


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in texts(figure))


def points(axes: Axes, label: str) -> list[list[float]]:
    """The [x, y] of the one line whose legend entry starts so."""
    (found,) = [line for line in axes.lines if str(line.get_label()).startswith(label)]
    return [[float(x), float(y)] for x, y in np.asarray(found.get_xydata())]


def picture(axes: Axes) -> NDArray[Any]:
    """The pixels of the one image on these axes."""
    (image,) = axes.images
    return np.asarray(image.get_array())


def tiles_of(figure: Figure) -> list[tuple[str, NDArray[Any], str]]:
    """What stands above each digit, its ink (28, 28), and what stands below it."""
    (axes,) = figure.axes
    ink, found = 1 - picture(axes)[..., 0] / 255, []
    for above, below in zip(axes.texts[::2], axes.texts[1::2], strict=True):
        left, top = round(above.get_position()[0] - 13.5), round(below.get_position()[1]) - 28
        found.append((above.get_text(), ink[top : top + 28, left : left + 28], below.get_text()))
    assert list(frames_of(axes)) == [(31 * (n % 5), 41 * (n // 5)) for n in range(len(found))], "each in its frame"
    return found


def frames_of(axes: Axes) -> dict[tuple[int, int], str]:
    """Where each frame of digits begins, (left, top), and its colour."""
    (frames,) = axes.collections
    assert isinstance(frames, PatchCollection)
    corners = [
        (round(box.x0 + 0.5), round(box.y0 + 0.5)) for box in (path.get_extents() for path in frames.get_paths())
    ]
    colours = [to_hex(tuple(colour)) for colour in np.resize(np.asarray(frames.get_edgecolor()), (len(corners), 4))]
    return dict(zip(corners, colours, strict=True))


def cell_texts(axes: Axes) -> dict[tuple[int, int], str]:
    """What stands in each cell of a heat map: (row, column) to text."""
    cells = {}
    for text in axes.texts:
        x, y = text.get_position()
        assert (int(y), int(x)) not in cells
        cells[int(y), int(x)] = text.get_text()
    return cells


class TestEveryFigure:
    def test_is_a_page_with_something_on_it(self, page: Page) -> None:
        figure, pixels = page
        assert pixels.shape[0] == pytest.approx(150 * figure.get_figheight(), abs=1)
        assert pixels.shape[1] == pytest.approx(150 * figure.get_figwidth(), abs=1)
        assert pixels.std() > 0.01
        assert_whole_and_legible(page)

    def test_names_its_axes(self, page: Page) -> None:
        drawn = [axes for axes in page.figure.axes if axes.axison and axes.has_data()]
        unnamed = [axes for axes in drawn if not (axes.get_xlabel() or axes.get_ylabel())]
        assert unnamed == []


class TestTrainingHistory:
    @pytest.mark.parametrize("epochs", [1, 2, 100])
    def test_draws_the_history_itself(self, epochs: int) -> None:
        history = make_history(epochs)
        loss, accuracy = history_figure(epochs).axes
        for axes, label, expected in [
            (loss, "training", [record.train_loss for record in history]),
            (loss, "validation", [record.val_loss for record in history]),
            (accuracy, "training", [100 * record.train_accuracy for record in history]),
            (accuracy, "validation", [100 * record.val_accuracy for record in history]),
        ]:
            assert points(axes, label) == [[epoch, value] for epoch, value in enumerate(expected, start=1)]
            low, high = axes.get_ylim()
            assert low < min(expected) <= max(expected) < high

    def test_of_several_runs_draws_training_and_validation_of_each(self) -> None:
        for axes, measure, unit in zip(curves_figure(2, 5).axes, ("loss", "accuracy"), (1, 100), strict=True):
            drawn = [(line.get_linestyle(), np.asarray(line.get_ydata()).tolist()) for line in axes.lines]
            assert drawn == [
                (style, [unit * getattr(record, f"{split}_{measure}") for record in make_history(count)])
                for count in (2, 5)
                for style, split in (("--", "train"), ("-", "val"))
            ]

    def test_rings_the_validation_of_the_best_epoch(self) -> None:
        history = make_history(12)
        loss, accuracy = plots.training_history(history, best_epoch=5, stop_reason="patience", title="Patience").axes
        assert points(loss, "best epoch: 5") == [[5, history[4].val_loss]]
        assert points(accuracy, "best epoch: 5") == [[5, 100 * history[4].val_accuracy]]

    def test_shows_where_and_why_it_stopped(self) -> None:
        figure = history_figure(7, "patience")
        assert "stopped after epoch 7 (patience)" in words(figure)
        for axes in figure.axes:
            assert {x for x, _ in points(axes, "stopped")} == {7}

    def test_labels_accuracy_in_percent(self) -> None:
        _, accuracy = history_figure(16).axes
        assert {"98", "99", "99.5"} <= {label.get_text() for label in accuracy.get_yticklabels()}
        assert "%" in accuracy.get_ylabel()

    def test_survives_perfection(self) -> None:
        """Tiny training sets are learnt by heart: accuracies of 100 %, a loss of exactly zero."""
        history = [
            EpochRecord(1, 2.3, 0.0, 2.3, 0.1, 1e-3, 1.0),
            EpochRecord(2, 0.0, 1.0, 1e-9, 1.0, 1e-3, 1.0),
        ]
        figure = plots.training_history(history, best_epoch=2, stop_reason="last epoch", title="By heart")
        assert overlapping_texts(render(figure)) == []
        loss, accuracy = figure.axes
        assert 4 <= len(loss.get_yticks()) <= 13
        height = accuracy.transAxes.inverted().transform(accuracy.transData.transform((2, 100)))[1]
        assert 0.9 < height < 1

    def test_tells_the_values_of_a_single_epoch(self) -> None:
        (record,) = make_history(1)
        shown = words(history_figure(1))
        for value in (f"{record.train_loss:.4f}", f"{100 * record.train_accuracy:.2f} %"):
            assert f"training {value}" in shown
        assert f"validation {record.val_loss:.4f}" in shown
        assert "training 0." not in words(history_figure(2))


class TestReliability:
    def test_draws_the_bins_of_the_error_and_says_it(self) -> None:
        test = made_evaluation(1)
        figure = plots.reliability(test, title="2-layer")
        assert f"2-layer: calibration error (ECE) {100 * test.calibration_error:.2f} points" in words(figure)
        for axes, found in zip(figure.axes, (test.bins, test.groups), strict=True):
            sure = [100 * one.confidence for one in found]
            assert [y for _, y in points(axes, "mean probability")] == pytest.approx(sure)
            heights = [float(y) for y in np.asarray(axes.lines[0].get_ydata())]
            assert heights == pytest.approx([100 * one.accuracy for one in found])
        assert [text.get_text() for text in figure.axes[0].texts] == [f"{one.count:,}" for one in test.bins]


class TestConfusion:
    def test_writes_every_count(self) -> None:
        matrix = make_matrix()
        figure = plots.confusion_counts(matrix, title="Counts")
        cells = cell_texts(figure.axes[0])
        counts = {place: int(text.replace(",", "").replace("·", "0")) for place, text in cells.items()}
        assert counts == {place: int(count) for place, count in np.ndenumerate(matrix)}
        assert "15 mistakes in 10,000 digits, accuracy 99.85 %" in words(figure)

    def test_writes_percentages_that_add_up(self) -> None:
        matrix = make_matrix()
        cells = cell_texts(plots.confusion_percent(matrix, title="Percent").axes[0])
        for row in range(10):
            percents = [float(cells[row, column].replace("·", "0")) for column in range(10)]
            assert sum(percents) == pytest.approx(100, abs=0.06)
            assert percents == pytest.approx(100 * matrix[row] / matrix[row].sum(), abs=0.005)

    def test_puts_the_true_digit_in_the_row(self) -> None:
        axes = plots.confusion_counts(make_matrix(), title="Counts").axes[0]
        assert cell_texts(axes)[4, 9] == "8"
        assert axes.get_ylabel() == "true digit"
        assert axes.get_xlabel() == "predicted digit"
        assert [label.get_text() for label in axes.get_yticklabels()] == [str(digit) for digit in range(10)]
        bottom, top = axes.get_ylim()
        assert bottom > top, "digit 0 is the top row"

    @pytest.mark.parametrize("draw", [plots.confusion_counts, plots.confusion_percent])
    def test_lets_one_mistake_in_a_thousand_be_seen(self, draw: Callable[..., Figure]) -> None:
        page = render(draw(make_matrix(), title="Rare"))
        axes = page.figure.axes[0]
        rare = page.colour_at(axes, 5.2, 3.2)
        frequent = page.colour_at(axes, 9.2, 4.2)
        never = page.colour_at(axes, 2.2, 0.2)
        assert never == pytest.approx(to_rgb(plotting.PAPER), abs=0.01)
        assert np.abs(rare - never).max() > 0.1
        assert np.abs(frequent - rare).max() > 0.1
        assert frequent.sum() < rare.sum(), "more mistakes are darker"

    def test_keeps_the_diagonal_quiet_and_off_the_scale(self) -> None:
        """However right a class is, its cell looks the same, and unlike any mistake."""
        matrix = make_matrix()
        matrix[0, 0] = 3
        page = render(plots.confusion_counts(matrix, title="Diagonal"))
        axes = page.figure.axes[0]
        poor, good = (page.colour_at(axes, place, place) for place in (0.2, 1.2))
        assert poor == pytest.approx(good)
        assert good.min() > 0.85

    def test_has_no_percentages_without_digits_and_0_where_none_is_right(self) -> None:
        matrix = make_matrix()
        matrix[6:8] = 0
        matrix[7, 0] = 10
        cells = cell_texts(plots.confusion_percent(matrix, title="No sixes").axes[0])
        assert cells[6, 6] == "n/a"
        assert {cells[6, column] for column in range(10) if column != 6} == {"·"}
        assert (cells[7, 7], cells[7, 0]) == ("0", "100")

    @pytest.mark.parametrize(("draw", "unit"), [(plots.confusion_counts, "digits"), (plots.confusion_percent, "%")])
    def test_gives_the_colour_bar_a_unit(self, draw: Callable[..., Figure], unit: str) -> None:
        bar = draw(make_matrix(), title="Units").axes[1]
        assert unit in bar.get_ylabel()
        assert len(bar.get_yticks()) >= 3


class TestMistakes:
    @pytest.mark.parametrize(("count", "shown"), [(3, 3), (58, 25)])
    def test_shows_the_worst_in_their_order(self, count: int, shown: int) -> None:
        tiles = tiles_of(mistakes_figure(count))
        assert len(tiles) == shown
        for place, (heading, ink, caption) in enumerate(tiles):
            assert_allclose(ink, make_images(count)[place] / 255)
            assert heading == f"true {place % 10}, predicted {(place + 1) % 10}"
            assert f"test digit {9000 + place}" in caption

    @pytest.mark.parametrize(
        ("count", "note"),
        [
            (58, "the 25 worst of 58 mistakes in 10,000 digits"),
            (25, "25 mistakes in 10,000 digits"),
            (1, "1 mistake in 10,000 digits"),
        ],
    )
    def test_says_how_many_there_were(self, count: int, note: str) -> None:
        assert note in words(mistakes_figure(count))

    def test_says_when_there_are_none(self) -> None:
        figure = mistakes_figure(0)
        assert "No mistakes: all 10,000 digits were classified correctly." in words(figure)
        assert not any(axes.images for axes in figure.axes)

    def test_captions_both_probabilities(self) -> None:
        captions = [caption.splitlines()[0] for _, _, caption in tiles_of(mistakes_figure(3))]
        assert captions == [
            "p(1) > 99.9 %, p(0) < 0.1 %",
            "p(2) 70.0 %, p(1) 15.0 %",
            "p(3) 40.0 %, p(2) 30.0 %",
        ]

    def test_marks_test_digits_whose_label_most_people_doubt(self) -> None:
        one = np.array([5])
        missed = Mistakes(one, one, one + 1, one * 0.1, one * 0.01)
        for index, noun, is_marked in (
            (9729, "test digit", True),
            (9728, "test digit", False),
            (9729, "drawing", False),
        ):
            figure = plots.mistakes(make_images(1), missed, np.array([index]), evaluated=10_000, title="One", noun=noun)
            assert (f"{noun} {index}†" in words(figure)) == is_marked
            assert ("Northcutt et al. 2021, labelerrors.com" in words(figure)) == is_marked


class TestUnsure:
    def test_names_the_right_digit_and_the_one_that_came_second(self) -> None:
        tiles = tiles_of(unsure_figure(10))
        assert len(tiles) == 10
        heading, ink, caption = tiles[3]
        assert heading == "3, or 4?"
        assert caption.splitlines()[0] == "p(3) 40.0 %, p(4) 30.0 %"
        assert_allclose(ink, make_images(10)[3] / 255)
        assert [caption.endswith("†") for _, _, caption in tiles] == [940 + n == 947 for n in range(10)]
