"""Saliency maps against independent oracles, the network's integrity, and the controls that can prove a map wrong."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import spearmanr
from sklearn.metrics import auc
from torch import Tensor, nn

from mnist_lab.config import ARCHITECTURES
from mnist_lab.data.mnist import Mnist, normalise, to_unit
from mnist_lab.errors import RequestError
from mnist_lab.explain import saliency
from mnist_lab.explain.saliency import DEFAULT_METHOD, METHODS, SURVIVAL_THRESHOLD
from mnist_lab.networks.compute import Compute, predict_logits
from mnist_lab.networks.models import ConvBlock, DigitNet, build_model
from tests.explain.conftest import CPU, TARGETS, TINY, Linear

SIXTEEN_BITS = Compute(torch.device("cpu"), torch.bfloat16, "CPU, bfloat16")
EVERY_METHOD = pytest.mark.parametrize("method", METHODS)


def target_logits(model: nn.Module, ink: Tensor, targets: Tensor) -> Tensor:
    """The targets' logits (B,) for ink (B, 1, 28, 28)."""
    logits: Tensor = model(normalise(ink))
    return logits.gather(1, targets.unsqueeze(1)).squeeze(1)


class TestGradients:
    def test_gradient_is_autograds(self, trained: DigitNet, ink: Tensor) -> None:
        pixels = ink.clone().requires_grad_()
        target_logits(trained, pixels, TARGETS).sum().backward()  # type: ignore[no-untyped-call]
        assert pixels.grad is not None
        maps = saliency.attribute(trained, ink, TARGETS, "gradient", CPU)
        trained.zero_grad()
        assert_allclose(maps, pixels.grad.squeeze(1).numpy(), atol=1e-6)
        assert np.abs(maps).max() > 0.1

    def test_smoothgrad_of_a_linear_network_is_its_gradient(self, ink: Tensor) -> None:
        model = Linear()
        maps = saliency.attribute(model, ink, TARGETS, "smoothgrad", CPU)
        expected = (model.scores.weight[TARGETS] / 0.3081).detach().numpy().reshape(4, 28, 28)
        assert_allclose(maps, expected, rtol=1e-4, atol=1e-6)

    def test_smoothgrad_is_smoother_than_the_gradient(self, trained: DigitNet, ink: Tensor) -> None:
        def roughness(method: str) -> float:
            map_ = saliency.attribute(trained, ink, TARGETS, method, CPU)
            return float(np.abs(np.diff(map_)).mean() / np.abs(map_).mean())

        assert roughness("smoothgrad") < roughness("gradient")

    def test_smoothgrad_is_always_the_same(self, trained: DigitNet, ink: Tensor) -> None:
        before = torch.get_rng_state()
        one, again = (saliency.attribute(trained, ink, TARGETS, "smoothgrad", CPU) for _ in range(2))
        assert_array_equal(one, again)
        assert torch.equal(torch.get_rng_state(), before)

    def test_integrated_gradients_share_out_the_difference_to_black(self, trained: DigitNet, ink: Tensor) -> None:
        maps = saliency.attribute(trained, ink, TARGETS, "integrated-gradients", CPU)
        with torch.no_grad():
            difference = target_logits(trained, ink, TARGETS) - target_logits(trained, torch.zeros_like(ink), TARGETS)
        assert_allclose(maps.sum(axis=(1, 2)), difference.numpy(), atol=0.05)
        assert difference.abs().median() > 1, "there was something to share out"

    def test_integrated_gradients_give_black_nothing(self, trained: DigitNet, ink: Tensor) -> None:
        maps = saliency.attribute(trained, ink, TARGETS, "integrated-gradients", CPU)
        assert not maps[ink.squeeze(1).numpy() == 0].any()


class TestOcclusion:
    def test_is_what_a_loop_over_squares_finds(self, trained: DigitNet, ink: Tensor) -> None:
        side = saliency.OCCLUSION_SIDE
        image, target = ink[1:2], TARGETS[1:2]
        corners = [(top, left) for top in range(28 - side + 1) for left in range(28 - side + 1)]
        patched = image.repeat(len(corners), 1, 1, 1)
        for picture, (top, left) in zip(patched, corners, strict=True):
            picture[0, top : top + side, left : left + side] = 0
        with torch.no_grad():
            whole = target_logits(trained, image, target)
            losses = (whole - target_logits(trained, patched, target.expand(len(corners)))).tolist()
        lost, covered = np.zeros((28, 28)), np.zeros((28, 28))
        for loss, (top, left) in zip(losses, corners, strict=True):
            lost[top : top + side, left : left + side] += loss
            covered[top : top + side, left : left + side] += 1
        (map_,) = saliency.attribute(trained, image, target, "occlusion", CPU)
        assert_allclose(map_, lost / covered, atol=1e-4)


class TestGradCam:
    def test_is_what_a_hand_computes(self, trained: DigitNet, ink: Tensor) -> None:
        features = trained.blocks(normalise(ink)).detach().requires_grad_()  # (B, 16, 6, 6)
        score = trained.classifier(features).gather(1, TARGETS.unsqueeze(1)).sum()
        (slope,) = torch.autograd.grad(score, features)
        cells = (slope.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1).clamp(min=0).detach().numpy()  # (B, 6, 6)
        maps = saliency.attribute(trained, ink, TARGETS, "grad-cam", CPU)
        places = np.clip((np.arange(28) - 2.5) / 4, 0, 5)  # the cells' centres are at 2.5, 6.5, ... 22.5
        grid = np.stack(np.meshgrid(places, places, indexing="ij"))
        for map_, cell in zip(maps, cells, strict=True):
            assert_allclose(map_, ndimage.map_coordinates(cell, grid, order=1), atol=1e-5)
        assert maps.min() >= 0
        assert maps.max() > 0

    @pytest.mark.parametrize("name", ARCHITECTURES)
    def test_knows_where_its_cells_lie(self, name: str) -> None:
        """Pixels that reach a cell are found by trying: all weights positive, one column of ink at a time."""
        model = build_model(replace(ARCHITECTURES[name], batch_norm=False)).double()
        for block in model.blocks:
            assert isinstance(block, ConvBlock)
            nn.init.constant_(block.conv.weight, 1.0)
            assert block.conv.bias is not None
            nn.init.zeros_(block.conv.bias)
        columns = torch.eye(28, dtype=torch.float64).reshape(28, 1, 1, 28).expand(28, 1, 28, 28)
        with torch.no_grad():
            reached = model.blocks(columns)[:, 0].sum(dim=1) > 0  # (28 columns, S cells)
        centres = saliency._cell_centres(model)
        assert reached.shape[1] == len(centres)
        for cell, centre in enumerate(centres):
            field = torch.nonzero(reached[:, cell]).double()
            if field.min() > 0 and field.max() < 27:  # whole, not cut by the border
                assert field.mean().item() == pytest.approx(centre)

    def test_needs_blocks(self, ink: Tensor) -> None:
        with pytest.raises(RequestError, match="convolution blocks"):
            saliency.attribute(Linear(), ink, TARGETS, "grad-cam", CPU)


class TestAttribute:
    @EVERY_METHOD
    def test_gives_a_finite_map_per_digit(self, method: str, trained: DigitNet, mnist: Mnist) -> None:
        images = mnist.test.images[:2]
        maps = saliency.attribute(trained, images, TARGETS[:2], method, CPU)
        assert maps.shape == (2, 28, 28)
        assert maps.dtype == np.float32
        assert np.isfinite(maps).all()
        assert METHODS[method].signed or maps.min() >= 0
        assert_allclose(maps, saliency.attribute(trained, to_unit(images), TARGETS[:2], method, CPU), atol=1e-6)

    @EVERY_METHOD
    def test_does_not_mix_digits(self, method: str, trained: DigitNet, ink: Tensor) -> None:
        together = saliency.attribute(trained, ink, TARGETS, method, CPU)
        alone = saliency.attribute(trained, ink[2:3], TARGETS[2:3], method, CPU)[0]
        assert_allclose(together[2], alone, atol=1e-5)
        assert not np.allclose(together[0], alone, atol=1e-3)

    @EVERY_METHOD
    def test_computes_in_full_precision_whatever_the_caller_has_set(
        self, method: str, trained: DigitNet, ink: Tensor
    ) -> None:
        expected = saliency.attribute(trained, ink[:1], TARGETS[:1], method, CPU)
        with torch.inference_mode(), SIXTEEN_BITS.autocast():
            image = ink[:1] * 1.0  # a tensor that autograd would refuse
            maps = saliency.attribute(trained, image, TARGETS[:1], method, SIXTEEN_BITS)
        assert_array_equal(maps, expected)

    def test_takes_no_digits(self, trained: DigitNet) -> None:
        none = saliency.attribute(trained, torch.empty(0, 1, 28, 28), torch.empty(0).long(), DEFAULT_METHOD, CPU)
        assert none.shape == (0, 28, 28)

    def test_names_the_methods_to_whoever_asks_for_another(self, trained: DigitNet, ink: Tensor) -> None:
        with pytest.raises(RequestError, match=r"'lime'.*gradient, smoothgrad, integrated-gradients, occlusion"):
            saliency.attribute(trained, ink, TARGETS, "lime", CPU)

    @pytest.mark.parametrize("target", [-1, 10])
    def test_refuses_a_target_that_is_not_a_digit(self, target: int, trained: DigitNet, ink: Tensor) -> None:
        with pytest.raises(RequestError, match=f"{target} is not a digit"):
            saliency.attribute(trained, ink[:1], torch.tensor([target]), "gradient", CPU)


class Broken(nn.Module):
    """A layer that fails."""

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError(f"no way for {len(x)} digits")


def unusual_network() -> DigitNet:
    """A network in a state of its own: layers in different modes, some frozen, with gradients and a hook."""
    model = build_model(TINY, seed=3).train()
    model.blocks[0].eval()
    for number, parameter in enumerate(model.parameters()):
        parameter.grad = torch.full_like(parameter, float(number))
        parameter.requires_grad_(number % 2 == 0)
    model.blocks[-1].register_forward_hook(keep_output)
    return model


def keep_output(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    """A hook that changes nothing."""


def state_of(model: nn.Module) -> list[Any]:
    """All that an explanation could leave behind in a network."""
    layers = list(model.modules())
    hooks = [value for layer in layers for name, value in sorted(vars(layer).items()) if "hooks" in name]
    return [
        [layer.training for layer in layers],
        [dict(hook) if hook is not None else None for hook in hooks],
        [parameter.requires_grad for parameter in model.parameters()],
        [parameter.grad.tolist() for parameter in model.parameters() if parameter.grad is not None],
        {name: value.tolist() for name, value in model.state_dict().items()},
    ]


class TestTheNetwork:
    @EVERY_METHOD
    def test_is_left_as_found(self, method: str, ink: Tensor) -> None:
        model = unusual_network()
        before = state_of(model)
        saliency.attribute(model, ink[:1], TARGETS[:1], method, CPU)
        assert state_of(model) == before

    @EVERY_METHOD
    def test_is_left_as_found_by_a_failure(self, method: str, ink: Tensor) -> None:
        model = unusual_network()
        model.classifier.append(Broken())
        before = state_of(model)
        with pytest.raises(RuntimeError, match="no way"):
            saliency.attribute(model, ink[:1], TARGETS[:1], method, CPU)
        assert state_of(model) == before

    def test_is_asked_in_evaluation_mode(self, ink: Tensor) -> None:
        model = build_model(TINY, seed=1).train()
        in_training = saliency.attribute(model, ink, TARGETS, "gradient", CPU)
        assert_array_equal(in_training, saliency.attribute(model.eval(), ink, TARGETS, "gradient", CPU))


class TestClassExamples:
    def test_take_the_first_of_each_class(self, trained: DigitNet, mnist: Mnist) -> None:
        digits, maps, probabilities = saliency.class_examples(trained, mnist.test, CPU)
        labels = mnist.test.labels.tolist()
        assert digits.labels.tolist() == list(range(10))
        assert digits.indices.tolist() == [labels.index(digit) for digit in range(10)]
        images = mnist.test.images[digits.indices]
        assert torch.equal(digits.images, images)
        expected = predict_logits(trained, images, CPU).softmax(dim=1)
        assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-6)
        assert_array_equal(maps, saliency.attribute(trained, images, expected.argmax(dim=1), "occlusion", CPU))

    def test_leave_out_a_class_without_digits(self, trained: DigitNet, mnist: Mnist) -> None:
        digits = mnist.test.subset(torch.tensor([0, 1, 17]))  # 7, 2, 7
        found, *_ = saliency.class_examples(trained, digits, CPU)
        assert found.labels.tolist() == [2, 7]
        assert found.indices.tolist() == [1, 0]


# --- the controls that can prove a map wrong ----------------------------------------------------------------------


class TestRandomised:
    def test_is_another_network_of_the_same_kind(self) -> None:
        global_state = torch.get_rng_state()
        first, again, other = (saliency._randomised(TINY, CPU, seed) for seed in (0, 0, 1))
        begun = build_model(TINY, 0)  # the weights that a run with this seed begins with
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
        assert_allclose(saliency._edge_map(picture), np.hypot(across, down), atol=1e-12)


def random_maps(count: int) -> NDArray[np.float64]:
    return np.random.RandomState(0).standard_normal((count, 28, 28))


class TestSanity:
    def test_correlates_ranks(self) -> None:
        one, other = random_maps(2)
        assert saliency._rank_correlation(one, np.exp(3 * one)) == pytest.approx(1)
        assert saliency._rank_correlation(one, -one) == pytest.approx(-1)
        assert abs(saliency._rank_correlation(one, other)) < 0.15
        assert saliency._rank_correlation(one, np.zeros((28, 28))) == 0
        cut = np.maximum(one + other, 0), np.round(other)  # with many equal values
        assert saliency._rank_correlation(*cut) == pytest.approx(spearmanr(*cut, axis=None).statistic)

    def test_a_map_without_any_network_survives(self, ink: Tensor) -> None:
        picture = ink[0, 0].numpy()
        edges = saliency._edge_map(picture)
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

    def test_survives_a_blank_picture(self) -> None:
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

    def test_survive_a_blank_picture(self, trained: DigitNet) -> None:
        curves = saliency.deletion_insertion(trained, torch.zeros(1, 28, 28), random_maps(1)[0], 7, CPU)
        assert np.ptp(curves.deletion.values) == pytest.approx(0, abs=1e-6)


class TestExplanations:
    def test_explain_any_digit(self, trained: DigitNet, mnist: Mnist) -> None:
        ask = partial(saliency.explain, trained, TINY, mnist.test.images[0], "gradient", CPU)
        found, other = ask(), ask(target=9)
        assert found.prediction == found.target == other.prediction == 7
        assert other.target == 9
        assert not np.allclose(found.map, other.map)
        assert_array_equal(
            found.map, saliency.attribute(trained, mnist.test.images[:1], torch.tensor([7]), "gradient", CPU)[0]
        )
        assert not np.allclose(found.map, found.random_map)
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
