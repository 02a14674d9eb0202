"""What figures of saliency maps say, and what ends up in their pixels."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from numpy.testing import assert_allclose

from mnist_lab.data.mnist import Digits, Mnist
from mnist_lab.explain import figures, saliency
from mnist_lab.explain.saliency import METHODS, Explanation
from mnist_lab.networks.compute import predict_logits
from mnist_lab.networks.models import DigitNet
from tests.explain.conftest import CPU, TARGETS, TINY
from tests.training.test_figures import assert_whole_and_legible, frames_of, render, texts, words

RUNS = ["2026-11-22_14-30-05_3-layer-aug", "2026-11-22_14-35-05_2-layer", "2026-11-22_14-40-05_1-layer"]


@pytest.fixture(scope="module")
def explained(trained: DigitNet, mnist: Mnist) -> dict[str, Explanation]:
    """The first test digit, a 7, explained by a method whose maps have a sign and by one whose maps have none."""
    ask = partial(saliency.explain, trained, TINY, mnist.test.images[0], compute=CPU)
    return {"gradient": ask("gradient"), "occlusion": ask("occlusion"), "grad-cam": ask("grad-cam", target=9)}


class TestVerdicts:
    def test_tell_a_map_of_the_weights_from_one_of_the_picture(self, explained: dict[str, Explanation]) -> None:
        found = explained["gradient"]
        said, _ = figures.verdict(found)
        assert said.startswith(
            f"The map does not survive random weights (rank correlation of strengths {found.sanity.places:.2f}"
        )
        found = explained["occlusion"]
        said, _ = figures.verdict(found)
        assert said.startswith(
            f"The map survives random weights (rank correlation of strengths {found.sanity.places:.2f}"
        )
        assert "its outline shows the picture" in said
        assert said.endswith("does not survive.")
        ignorant = replace(found, sanity=saliency.sanity(found.edges, found.edges[np.newaxis], found.image))
        said, _ = figures.verdict(ignorant)
        assert "(rank correlation of strengths 1.00, mean over random networks), even within the strokes (1.00)" in said

    def test_tell_deletion_from_insertion(self, explained: dict[str, Explanation]) -> None:
        found = explained["gradient"]
        low, high = np.zeros(25), np.ones(25)
        said = []
        for deletion, insertion in ((low, high), (high, high), (low, low), (high, low)):
            curves = found.curves
            curves = saliency.Curves(
                replace(curves.deletion, values=deletion), replace(curves.insertion, values=insertion)
            )
            said.append(figures.verdict(replace(found, curves=curves))[1])
        start, end = "Removing its highest pixels lowers p(7)", "than the best of 19 random orders"
        assert said == [
            f"{start} faster, and inserting them raises it faster, {end}: they matter.",
            f"{start} no faster, and inserting them raises it faster, {end}.",
            f"{start} faster, and inserting them raises it no faster, {end}.",
            f"{start} no faster, and inserting them raises it no faster, {end}: no sign that they matter.",
        ]


@pytest.fixture(scope="module")
def drawn(trained: DigitNet, mnist: Mnist, explained: dict[str, Explanation]) -> dict[str, Figure]:
    """Every figure, for a signed and for an unsigned method, and with a flat map."""
    digits: Digits = mnist.test
    signed, unsigned = explained["occlusion"], explained["grad-cam"]
    flat = replace(unsigned, random_map=np.zeros_like(unsigned.map), map=1e-5 * unsigned.map)
    maps = {name: saliency.attribute(trained, digits.images[:1], TARGETS[:1], name, CPU)[0] for name in METHODS}
    all_classes = saliency.class_examples(trained, digits, CPU)
    two_classes = saliency.class_examples(trained, digits.subset(torch.tensor([0, 1])), CPU)
    drawing = figures.Drawn(np.full((280, 280), 255, np.uint8), "brush 24")
    across, answers = dict.fromkeys(RUNS, maps["occlusion"]), dict.fromkeys(RUNS, signed.probabilities)
    return {
        "panel": figures.saliency_panel(signed, title="3-layer: test digit 0", true=7),
        "panel-drawing": figures.saliency_panel(unsigned, title="A drawing", drawn=drawing),
        "panel-flat": figures.saliency_panel(flat, title="A flat map", true=7),
        "by-class": figures.saliency_by_class(all_classes, "3-layer"),
        "by-class-two": figures.saliency_by_class(two_classes, "3-layer"),
        "methods": figures.saliency_by_method(signed, maps, title="3-layer: test digit 0", true=7),
        "runs": figures.saliency_by_run(signed, across, answers, title="Test digit 0", true=7),
    }


FIGURES = ("panel", "panel-drawing", "panel-flat", "by-class", "by-class-two", "methods", "runs")


class TestFigures:
    @pytest.mark.parametrize("name", FIGURES)
    def test_are_legible_and_whole(self, name: str, drawn: dict[str, Figure]) -> None:
        assert_whole_and_legible(render(drawn[name]))

    def test_panel_names_digits_units_and_verdict(self, drawn: dict[str, Figure]) -> None:
        said = words(drawn["panel"])
        for expected in (
            "The digit is read as 7",
            "true 7",
            "Blue speaks for a 7,",
            "Occlusion, target 7",
            "random weights",
            "logits",
            "Edges",
            "p(7) (%)",
        ):
            assert expected in said
        assert "The map survives random weights (rank correlation" in said

    def test_the_controls_stand_below_what_they_control(self, drawn: dict[str, Figure]) -> None:
        render(drawn["panel"])
        above, below = drawn["panel"].subfigs
        assert {axes.get_title(loc="left") for axes in above.axes} >= {"Input", "Overlay", "Answer"}
        assert {axes.get_title(loc="left") for axes in below.axes} >= {"Edges, no network", "Deletion", "Insertion"}
        highest = max(axes.get_window_extent().y1 for axes in below.axes)
        assert highest < min(axes.get_window_extent().y0 for axes in above.axes)

    def test_panel_of_a_drawing_has_no_true_digit(self, drawn: dict[str, Figure]) -> None:
        said = words(drawn["panel-drawing"])
        assert "read as 7" in said
        assert "Grad-CAM, target 9" in said
        assert "true" not in said

    def test_a_flat_map_is_called_so(self, drawn: dict[str, Figure]) -> None:
        assert "zero everywhere" in words(drawn["panel-flat"])

    def test_maps_are_white_at_zero(self, drawn: dict[str, Figure]) -> None:
        signed, unsigned = (drawn[name].axes[1].images[0] for name in ("panel", "panel-flat"))
        low, high = signed.get_clim()
        assert low == -high
        for map_, place in ((signed, 0.5), (unsigned, 0)):
            assert map_.get_cmap()(place)[:3] == pytest.approx((1, 1, 1), abs=0.02)
        assert unsigned.get_clim()[0] == 0

    def test_overlays_are_blue_for_and_orange_red_against_the_target(
        self, drawn: dict[str, Figure], explained: dict[str, Explanation]
    ) -> None:
        (overlay,) = drawn["panel"].axes[2].images
        map_, colours = explained["occlusion"].map, np.asarray(overlay.get_array())
        strongest, weakest = (np.unravel_index(place, map_.shape) for place in (map_.argmax(), map_.argmin()))
        red, _, blue = colours[strongest]
        assert blue > red + 0.3
        red, _, blue = colours[weakest]
        assert red > blue

    def test_by_class_tells_what_each_was_read_as(self, drawn: dict[str, Figure]) -> None:
        said = words(drawn["by-class"])
        for digit in range(10):
            assert f"true {digit}\nread as" in said
        assert "Occlusion for the predicted digit" in said
        right = len(
            [text for text in texts(drawn["by-class"]) if re.match(r"true (\d)\nread as \1\n", text.get_text())]
        )
        assert f"{right} of these 10 are read correctly." in said

    def test_by_class_has_ink_map_and_overlay_below_each_other(
        self, drawn: dict[str, Figure], trained: DigitNet, mnist: Mnist
    ) -> None:
        examples = saliency.class_examples(trained, mnist.test, CPU)
        axes, bar = drawn["by-class"].axes
        page = np.asarray(axes.images[0].get_array()) / 255
        assert page.shape == (3 * 28 + 2 * 5, 10 * 28 + 9 * 5, 3)
        for column, (image, map_) in enumerate(zip(examples.digits.images[:, 0].numpy(), examples.maps, strict=True)):
            ink, map_colours, overlay = (page[top : top + 28, 33 * column : 33 * column + 28] for top in (0, 33, 66))
            assert_allclose(ink, np.repeat(1 - image[..., None] / 255, 3, axis=2), atol=0.003)
            red_over_blue = map_colours[..., 0] - map_colours[..., 2]
            assert (red_over_blue[map_ > 0] <= 0).all()
            assert (red_over_blue[map_ < 0] >= 0).all()
            assert_allclose(map_colours[map_ == 0], 1, atol=0.005)
            assert_allclose(overlay[map_ == 0], 1 - 0.35 * (1 - ink[map_ == 0]), atol=0.01)
            assert overlay[image == 255].max(axis=1).min() > 0.64, "the ink is faint"
        assert len(frames_of(axes)) == 30
        assert bar.get_ylim() == (-1, 1)
        assert len(frames_of(drawn["by-class-two"].axes[0])) == 6

    def test_methods_all_stand_side_by_side(self, drawn: dict[str, Figure]) -> None:
        said = words(drawn["methods"])
        for method in METHODS.values():
            assert method.title in said
            assert method.unit in said

    def test_runs_are_named(self, drawn: dict[str, Figure]) -> None:
        said = words(drawn["runs"])
        assert "2026-11-22_14-30-05\n3-layer-aug" in said
        assert "true 7" in said

    def test_curves_are_drawn_in_percent(self, drawn: dict[str, Figure], trained: DigitNet, mnist: Mnist) -> None:
        (deletion,) = [axes for axes in drawn["panel"].axes if "removed" in axes.get_xlabel()]
        full = predict_logits(trained, mnist.test.images[:1], CPU).softmax(dim=1)[0, 7].item()
        (line,) = [line for line in deletion.lines if str(line.get_label()).startswith("map's order")]
        assert np.asarray(line.get_xydata())[0] == pytest.approx([0, 100 * full], abs=1e-3)
