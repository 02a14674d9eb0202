"""The checks that can prove a map wrong."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import auc
from torch import Tensor, nn

from mnist_lab.data.mnist import Mnist
from mnist_lab.errors import RequestError
from mnist_lab.explain import saliency
from mnist_lab.explain.saliency import SURVIVAL_THRESHOLD
from mnist_lab.networks.compute import predict_logits
from mnist_lab.networks.models import DigitNet, build_model
from tests.explain.conftest import CPU, TARGETS, TINY, Linear


class TestRandomised:
    def test_is_another_network_of_the_same_kind(self) -> None:
        global_state = torch.get_rng_state()
        first, again, other = (saliency.randomised("2-layer", CPU, seed) for seed in (0, 0, 1))
        begun = build_model("2-layer", 0)  # the weights that a run with this seed begins with
        weights = [model.blocks[0].get_parameter("conv.weight") for model in (first, again, other, begun)]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])
        assert not torch.equal(weights[0], weights[3])
        assert not first.training
        assert torch.equal(torch.get_rng_state(), global_state)


class TestEdges:
    def test_are_sobels(self, ink: Tensor) -> None:
        picture = ink[0, 0].numpy().astype(np.float64)
        padded = np.pad(picture, 1, mode="edge")
        kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
        across, down = (np.einsum("ijkl,kl->ij", windows, one) for one in (kernel, kernel.T))
        assert_allclose(saliency.edge_map(picture), np.hypot(across, down), atol=1e-12)

    def test_of_a_ramp_are_its_slope(self) -> None:
        ramp = np.tile(np.arange(28) / 100, (28, 1))
        assert_allclose(saliency.edge_map(ramp)[:, 1:-1], 0.01)


def random_maps(count: int) -> NDArray[np.float64]:
    return np.random.RandomState(0).standard_normal((count, 28, 28))


class TestSanity:
    def test_correlates_ranks(self) -> None:
        one, other = random_maps(2)
        assert saliency.rank_correlation(one, np.exp(3 * one)) == pytest.approx(1)
        assert saliency.rank_correlation(one, -one) == pytest.approx(-1)
        assert abs(saliency.rank_correlation(one, other)) < 0.15
        assert saliency.rank_correlation(one, np.zeros((28, 28))) == 0

    def test_a_map_without_any_network_survives(self, ink: Tensor) -> None:
        picture = ink[0, 0].numpy()
        edges = saliency.edge_map(picture)
        found = saliency.sanity(edges, np.stack([edges] * 3), picture)
        assert (found.places, found.strokes, found.edges) == pytest.approx((1, 1, 1))

    def test_noise_does_not(self, ink: Tensor) -> None:
        noise = random_maps(6)
        found = saliency.sanity(noise[0], noise[1:], ink[0, 0].numpy())
        assert max(found.places, found.strokes) < SURVIVAL_THRESHOLD

    def test_looks_at_places_and_at_signs_apart(self, ink: Tensor) -> None:
        picture = ink[0, 0].numpy()
        map_ = random_maps(1)[0] * picture
        found = saliency.sanity(map_, -map_[np.newaxis], picture)
        assert found.places == pytest.approx(1)
        assert found.strokes == pytest.approx(-1)

    def test_stands_a_blank_picture(self) -> None:
        found = saliency.sanity(random_maps(1)[0], random_maps(2), np.zeros((28, 28)))
        assert (found.strokes, found.edges) == (0, 0)


@pytest.fixture(scope="module")
def curves(trained: DigitNet, ink: Tensor) -> saliency.Curves:
    map_ = saliency.attribute(trained, ink[:1], TARGETS[:1], "integrated-gradients", CPU)[0]
    return saliency.deletion_insertion(trained, ink[0], map_, 7, CPU)


class TestCurves:
    def test_run_between_the_picture_and_black(self, curves: saliency.Curves, trained: DigitNet, ink: Tensor) -> None:
        both = torch.cat([ink[:1], torch.zeros_like(ink[:1])])
        full, black = predict_logits(trained, both, CPU).softmax(dim=1)[:, 7].tolist()
        assert full > 0.9 > 0.5 > black
        for deletion in (curves.deletion.values, *curves.deletion.random):
            assert (deletion[0], deletion[-1]) == pytest.approx((full, black), abs=1e-5)
        for insertion in (curves.insertion.values, *curves.insertion.random):
            assert (insertion[0], insertion[-1]) == pytest.approx((black, full), abs=1e-5)
        assert (curves.deletion.fractions[0], curves.insertion.fractions[-1]) == (0, 1)

    def test_have_areas(self, curves: saliency.Curves) -> None:
        for curve in (curves.deletion, curves.insertion):
            assert curve.area == pytest.approx(auc(curve.fractions, curve.values))
            assert_allclose(curve.random_areas, [auc(curve.fractions, row) for row in curve.random])
            assert len(curve.random_areas) == saliency.RANDOM_ORDERS

    def test_exact_contributions_beat_random_orders_and_their_opposite_does_not(self, ink: Tensor) -> None:
        model = Linear()
        nn.init.zeros_(model.scores.weight)
        nn.init.zeros_(model.scores.bias)
        nn.init.uniform_(model.scores.weight[7], 0, 0.03, generator=torch.Generator().manual_seed(0))
        nn.init.constant_(model.scores.bias[7], 5.0)
        contributions = (model.scores.weight[7].detach() * ink[0].flatten()).reshape(28, 28).numpy()
        right = saliency.deletion_insertion(model, ink[0], contributions, 7, CPU)
        wrong = saliency.deletion_insertion(model, ink[0], -contributions, 7, CPU)
        assert right.beat_random == (True, True)
        assert wrong.beat_random == (False, False)

    def test_a_trained_networks_maps_beat_random_orders_on_average(self, trained: DigitNet, mnist: Mnist) -> None:
        digits = mnist.test.subset(torch.arange(8))
        maps = saliency.attribute(trained, digits.images, digits.labels, "integrated-gradients", CPU)
        found = [
            saliency.deletion_insertion(trained, image, map_, int(label), CPU)
            for image, map_, label in zip(digits.images, maps, digits.labels, strict=True)
        ]
        assert np.mean([c.deletion.area - c.deletion.random_areas.mean() for c in found]) < -0.1
        assert np.mean([c.insertion.area - c.insertion.random_areas.mean() for c in found]) > 0.1

    def test_a_target_that_is_never_probable_proves_nothing(self, ink: Tensor) -> None:
        model = Linear()
        nn.init.zeros_(model.scores.weight)
        nn.init.zeros_(model.scores.bias)
        curves = saliency.deletion_insertion(model, ink[0], random_maps(1)[0], 3, CPU)
        assert_allclose(curves.deletion.values, 0.1, atol=1e-6)
        assert curves.beat_random == (False, False)

    def test_take_inked_pixels_in_the_maps_order(self) -> None:
        ink = np.linspace(0, 1, 784, dtype=np.float32)  # the first pixel is black
        order = np.arange(783, 0, -1)
        deleted, inserted = saliency._deleted_and_inserted(ink, order)
        assert_array_equal(deleted + inserted, np.tile(ink, (len(deleted), 1)))
        assert_array_equal(deleted[0], ink)
        assert_array_equal(inserted[-1], ink)
        for before, after in pairwise(deleted):
            gone = np.flatnonzero(before != after)
            assert 32 <= len(gone) <= 33  # 783 in 24 portions
            assert not after[gone.min() :].any(), "the most important first"

    def test_random_orders_differ(self, curves: saliency.Curves) -> None:
        assert len(np.unique(curves.deletion.random, axis=0)) == saliency.RANDOM_ORDERS

    def test_stand_a_blank_picture(self, trained: DigitNet) -> None:
        curves = saliency.deletion_insertion(trained, torch.zeros(1, 28, 28), random_maps(1)[0], 7, CPU)
        assert np.ptp(curves.deletion.values) == pytest.approx(0, abs=1e-6)


class TestExplanations:
    def test_explain_any_digit(self, trained: DigitNet, mnist: Mnist) -> None:
        ask = partial(saliency.explain, trained, TINY, mnist.test.images[0], "gradient", CPU)
        found, other = ask(), ask(target=9)
        assert found.prediction == found.target == other.prediction == 7
        assert other.target == 9
        assert not np.allclose(found.map, other.map)
        assert other.curves.deletion.values[0] == pytest.approx(other.probabilities[9], abs=1e-5)
        again = ask()
        assert_array_equal(found.map, again.map)
        assert (found.sanity, found.curves.deletion.area) == (again.sanity, again.curves.deletion.area)

    def test_compare_with_networks_that_differ(self, trained: DigitNet, mnist: Mnist) -> None:
        """The mean over several random networks is not what the first of them, the one that is shown, gives alone."""
        found = saliency.explain(trained, TINY, mnist.test.images[0], "gradient", CPU)
        inked = found.image > 0
        assert found.sanity.places != pytest.approx(spearmanr(abs(found.map), abs(found.random_map), axis=None)[0])
        assert found.sanity.strokes != pytest.approx(spearmanr(found.map[inked], found.random_map[inked])[0])

    @pytest.mark.parametrize(("method", "target"), [("lime", 0), ("gradient", 10), ("gradient", -1)])
    def test_refuse_what_there_is_not(self, method: str, target: int, trained: DigitNet, ink: Tensor) -> None:
        with pytest.raises(RequestError, match=r"no saliency method|is not a digit"):
            saliency.explain(trained, TINY, ink[0], method, CPU, target)
