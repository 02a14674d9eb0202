"""The film of a training: what is kept, that keeping it changes nothing, and that its file is not trusted."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.metrics import confusion_matrix

import main
from mnist_lab.config import TrainConfig, default_config
from mnist_lab.data.mnist import Digits, Mnist, stratified_subset
from mnist_lab.errors import RunError
from mnist_lab.explain.film import Film, FilmRecorder, load_map, mapped_digits, plan_moments, read_film
from mnist_lab.explain.film_figures import RUN_EXTRAS, draw_film
from mnist_lab.networks.compute import Compute, predict_hidden, predict_logits
from mnist_lab.networks.models import build_model
from mnist_lab.training import session
from mnist_lab.training.checkpoints import load_weights
from mnist_lab.training.runs import read_history, read_run
from mnist_lab.training.session import RunExtras, load_trained
from mnist_lab.training.trainer import Trainer
from tests.pages import parse_file
from tests.trainings import SMALL, same_weights

FILMED = RunExtras(record=FilmRecorder)
TWO_EPOCHS = replace(SMALL, epochs=2, hidden=16)
Arrays = dict[str, Any]


@pytest.fixture
def folder(trained_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_folder, tmp_path / "outputs" / trained_folder.name))


# ---------------------------------------------------------------------------------------------------- the moments


def test_most_moments_are_in_the_first_epoch() -> None:
    config = default_config("3-layer", augmented=False, epochs=4)
    first = [0, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768]
    assert sorted(plan_moments(config)) == [*first, 54_000, 108_000, 162_000, 216_000]


@pytest.mark.parametrize("epochs", [1, 2, 7, 14, 15, 16, 100, 997])
@pytest.mark.parametrize("batch_size", [1, 7, 128, 54_000])
@pytest.mark.parametrize("epoch_size", [0, 100, 1_000_000])
def test_there_are_never_too_many_and_each_is_reached(epochs: int, batch_size: int, epoch_size: int) -> None:
    config = TrainConfig(epochs=epochs, batch_size=batch_size, epoch_size=epoch_size)
    plan, epoch = plan_moments(config), config.images_per_epoch
    assert len(set(plan)) == len(plan) <= 24  # and one more for the kept weights
    assert {0, epochs * epoch} <= set(plan)
    assert all(seen % epoch % batch_size == 0 for seen in plan)
    early = sorted(seen for seen in plan if 0 < seen <= epoch)
    assert all(later <= 2 * earlier for earlier, later in pairwise(early))


# ------------------------------------------------------------------------------------------------------ recording


def trained(outputs: Path, config: TrainConfig, extras: RunExtras, **options: Any) -> Path:
    now = datetime(2026, 11, 22, 14)
    return session.train_new(config, outputs, now, session.Observer(), workers=0, extras=extras, **options)


def test_the_weights_are_the_same_to_the_bit_with_and_without(tmp_path: Path) -> None:
    config = replace(TWO_EPOCHS, average_decay=0.9, dropout=0.3)
    state = torch.random.get_rng_state()
    runs, drawn = [], []
    for name, extras in (("with", FILMED), ("without", RunExtras())):
        torch.random.set_rng_state(state)
        runs.append(read_run(trained(tmp_path / name, config, extras)))
        drawn.append(torch.rand(3))  # so that what comes later is the same as well
    assert torch.equal(*drawn)
    assert same_weights(*runs)
    histories = [[replace(record, seconds=0.0) for record in read_history(run)] for run in runs]
    assert histories[0] == histories[1]
    assert runs[0].results == runs[1].results
    assert read_film(runs[0]).seen.tolist() == [0, 100, 200, 400, 800, 1000, 2000]


def test_it_begins_untrained_and_ends_with_the_kept_network(
    trained_folder: Path, mnist: Mnist, compute: Compute
) -> None:
    run = read_run(trained_folder)
    film, weights = read_film(run), load_weights(run)
    assert run.best_epoch is not None
    assert film.seen.tolist() == [0, 128, 256, 512, 1000, 2000][: 4 + run.best_epoch]
    assert film.confusion[-1].tolist() == run.results["validation"]["confusion"]
    assert np.array_equal(film.kernels[-1], weights["blocks.0.conv.weight"][:, 0].numpy())
    untrained = build_model(run.config.architecture, run.seed)
    assert np.array_equal(film.kernels[0], untrained.blocks[0].conv.weight.detach()[:, 0].numpy())  # type: ignore[union-attr,operator]
    some = stratified_subset(mnist.validation, 1000)
    predicted = predict_logits(compute.place(untrained), some.images, compute).argmax(dim=1)
    assert np.array_equal(film.confusion[0], confusion_matrix(some.labels, predicted, labels=range(10)))
    titles = film.titles
    assert titles[0].startswith("0 digits seen, validation ")
    assert titles[0].endswith(" % of 1,000")
    assert titles[-1] == f"{film.seen[-1]:,} digits seen, validation {100 * run.val_accuracy:.2f} % of 6,000"  # type: ignore[operator]


def test_after_each_epoch_it_counts_what_validation_counted(trained_folder: Path, mnist: Mnist) -> None:
    run = read_run(trained_folder)
    film, history = read_film(run), read_history(run)
    asked = dict(zip(film.seen.tolist(), film.confusion, strict=True))
    ends = [asked[1000 * record.epoch] for record in history if 1000 * record.epoch in asked]
    assert [counts.sum(axis=1).tolist() for counts in ends] == [mnist.validation.class_counts()] * len(ends)
    right = [counts.trace() / counts.sum() for counts in ends]
    assert right == pytest.approx([record.val_accuracy for record in history[: len(ends)]], abs=1e-6)
    assert {counts.sum() for seen, counts in asked.items() if seen % 1000} == {1000}


def test_the_map_is_that_of_scikit_learn(trained_folder: Path, compute: Compute) -> None:
    run = read_run(trained_folder)
    film, digits = read_film(run), mapped_digits()
    hidden = predict_hidden(load_trained(run, compute), digits.images, compute).numpy()
    oracle = PCA(2, svd_solver="full").fit(hidden)
    places = oracle.transform(hidden)
    signs = np.sign((places * film.places[-1]).sum(axis=0))
    np.testing.assert_allclose(film.places[-1], signs * places, atol=1e-3)
    np.testing.assert_allclose(film.variance, oracle.explained_variance_ratio_, atol=1e-5)
    assert digits.class_counts() == [49, 56, 50, 51, 49, 45, 49, 52, 49, 50]
    held = film.variance.sum()
    assert f"holds {100 * held:.0f} % of the variance of 128 hidden units" in film.remark


def test_it_shows_the_network_that_is_evaluated(
    small: Digits, small_validation: Digits, compute: Compute, tmp_path: Path
) -> None:
    """The EMA, that is, and not the weights that it follows."""
    config = replace(TWO_EPOCHS, average_decay=0.99)
    trainer = Trainer(build_model(config.architecture), small, small_validation, config, compute)
    develop, first = FilmRecorder(trainer), list[Any]()
    outcome = trainer.fit(
        on_epoch=lambda record, is_best: first.append(trainer.ema.model.state_dict()["blocks.0.conv.weight"].clone())
    )
    develop(tmp_path, outcome)
    with np.load(tmp_path / "film.npz") as film:
        assert film["seen"].tolist() == [0, 100, 200, 400, 800, 1000, 2000][: 5 + outcome.best_epoch]
        assert np.array_equal(film["kernels"][5], first[0][:, 0].numpy())
        right = film["confusion"][-1].trace() / film["confusion"][-1].sum()
    assert right == pytest.approx(outcome.history[outcome.best_epoch - 1].val_accuracy)


@pytest.fixture
def filmed(small: Digits, small_validation: Digits, compute: Compute, tmp_path: Path) -> Callable[..., Film]:
    """Trains on a thousand digits, beside a recorder, and gives the film."""

    def film_of(config: TrainConfig = SMALL, damage: Callable[[FilmRecorder], object] = bool, **options: Any) -> Film:
        trainer = Trainer(build_model(config.architecture), small, small_validation, config, compute)
        develop = FilmRecorder(trainer)
        outcome = trainer.fit(**options)
        damage(develop)
        develop(tmp_path, outcome)
        with np.load(tmp_path / "film.npz") as arrays:
            return Film(**arrays)

    return film_of


def test_a_moment_whose_numbers_grew_too_large_is_left_out(filmed: Callable[..., Film]) -> None:
    def grow(recorder: FilmRecorder) -> None:
        for weights in recorder._copies[200].values():
            weights.fill_(1e30 if weights.is_floating_point() else 0)

    assert filmed(damage=grow).seen.tolist() == [0, 100, 400, 800, 1000]


def test_one_hidden_unit_has_a_map_of_one_dimension(filmed: Callable[..., Film]) -> None:
    film = filmed(replace(SMALL, hidden=1))
    assert film.axes.shape == (2, 1)
    assert not film.places[..., 1].any()
    assert len(frames_of(draw_film({"": film}, "one unit"))) > 1


def test_an_interrupted_training_has_a_film_up_to_there(filmed: Callable[..., Film]) -> None:
    batches = iter(range(1, 100))
    assert filmed(stop_requested=lambda: next(batches) == 3).seen.tolist() == [0, 100, 200, 300]


# ------------------------------------------------------------------------------------------------ what it leaves


def frames_of(content: bytes) -> list[tuple[Image.Image, int]]:
    """The frames of an animation, with their durations in milliseconds."""
    with Image.open(io.BytesIO(content), formats=["WEBP"]) as image:
        found = []
        for number in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(number)
            image.load()
            found.append((image.convert("RGB"), int(image.info["duration"])))
        assert image.info["loop"] == 0
    return found


def test_the_picture_has_a_frame_for_each_moment_and_stays_longest_on_the_last(folder: Path) -> None:
    film, frames = read_film(read_run(folder)), frames_of((folder / "film.webp").read_bytes())
    assert len(frames) == len(film.seen)
    assert [duration for _, duration in frames] == [600] * (len(frames) - 1) + [4000]
    pixels = [np.asarray(image) for image, _ in frames]
    heading, map_ = np.s_[35:62, 200:760], np.s_[90:350, 560:950]
    for before, after in pairwise(pixels):
        assert (before[heading] != after[heading]).any(), "each moment has its own label"
        assert (before[map_] != after[map_]).any()
        assert (before[:34] == after[:34]).all(), "the title stays"


def test_a_run_takes_less_than_two_megabytes_more(folder: Path) -> None:
    page = folder / "report.html"
    size = page.stat().st_size + sum((folder / name).stat().st_size for name in ("film.npz", "film.webp"))
    (folder / "film.npz").unlink()
    assert main.main(["report", folder.name, "--outputs", str(folder.parent)]) == 0
    assert size - page.stat().st_size < 1_000_000  # 6 moments; the most there can be are 25
    assert "film.webp" not in page.read_text(encoding="utf-8"), "a run of an earlier version misses nothing"


def test_the_page_holds_it_and_a_still_for_those_who_want_no_motion(folder: Path) -> None:
    page = parse_file(folder / "report.html")
    (film,) = [image for image in page.all("img") if image.attributes["src"].startswith("data:image/webp;base64,")]
    assert "An animation: the first block's kernels" in film.attributes["alt"]
    (still,) = page.all("source")
    assert still.attributes["media"] == "(prefers-reduced-motion: reduce), print"
    assert still.attributes["srcset"].startswith("data:image/png;base64,")
    (section,) = [one for one in page.all("section") if one.text.strip().startswith("How it learned")]
    assert "digits that overlap on it may be far apart" in section.text


def restored(folder: Path) -> tuple[list[str], list[str]]:
    """The pictures that evaluating again would draw besides those that need no film, and what it would warn of."""
    run, film, warned = read_run(folder), {"film.webp": RUN_EXTRAS.figures["film.webp"]}, list[str]()
    return session.restore_pictures(run, Mock(), Mock(), Mock(), film, warned.append), warned


def test_a_missing_picture_is_named_and_drawn_again_from_what_was_kept(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs, before = str(folder.parent), (folder / "film.webp").read_bytes()
    (folder / "film.webp").unlink()
    assert main.main(["report", folder.name, "--outputs", outputs]) == 0
    assert "Not in the folder, or damaged: film.webp." in parse_file(folder / "report.html").texts("main")[0]
    assert restored(folder) == (["film.webp", "report.html"], [])
    assert (folder / "film.webp").read_bytes() == before
    assert main.main(["show", folder.name, "--outputs", outputs]) == 0
    assert "film" in capsys.readouterr().out.split("pictures")[1]


def test_a_run_of_an_earlier_version_misses_nothing(folder: Path) -> None:
    for name in ("film.npz", "film.webp"):
        (folder / name).unlink()
    assert restored(folder) == ([], [])
    assert main.main(["report", folder.name, "--outputs", str(folder.parent)]) == 0
    assert "What is missing" not in parse_file(folder / "report.html").texts("h2")


# --------------------------------------------------------------------------------------------- damaged, or forged


def _without(name: str) -> Callable[[Arrays], object]:
    return lambda arrays: arrays.pop(name)


def _with(**changes: Callable[[Any], Any]) -> Callable[[Arrays], object]:
    return lambda arrays: arrays.update({name: change(arrays[name]) for name, change in changes.items()})


FORGED: dict[str, Callable[[Arrays], object]] = {
    "no map": _without("places"),
    "objects": _with(variance=lambda array: np.array([{}, {}], dtype=object)),
    "other types": _with(kernels=lambda array: array.astype(np.float64)),
    "one moment less": _with(places=lambda array: array[1:]),
    "no moment": lambda arrays: arrays.update(
        {name: arrays[name][:0] for name in ("seen", "kernels", "confusion", "places")}
    ),
    "too many": lambda arrays: arrays.update(
        seen=np.arange(30),
        **{name: np.repeat(arrays[name][:1], 30, axis=0) for name in ("kernels", "confusion", "places")},
    ),
    "a number": _with(seen=lambda array: np.int64(3)),
    "no number": _with(places=lambda array: array * np.nan),
    "huge numbers": _with(axes=lambda array: array + np.float32(1e30)),
    "backwards": _with(seen=lambda array: array[::-1].copy()),
    "negative counts": _with(confusion=lambda array: array - 1),
    "nothing counted": _with(confusion=lambda array: array * 0),
    "other units": _with(centre=lambda array: array[1:]),
}


@pytest.mark.parametrize("kind", [*FORGED, "cut", "compressed", "a folder", "text", "large"])
def test_a_film_that_does_not_fit_is_refused_in_one_line(kind: str, folder: Path) -> None:
    path = folder / "film.npz"
    content = path.read_bytes()
    with np.load(path) as film:
        arrays = dict(film)
    path.unlink()
    if kind in FORGED:
        FORGED[kind](arrays)
        np.savez(path, **arrays)
    elif kind == "compressed":  # a bomb is small, too
        np.savez_compressed(path, **arrays)
    elif kind == "a folder":
        path.mkdir()
    else:
        path.write_bytes(
            {"cut": content[: len(content) // 2], "text": b"film", "large": content + bytes(1 << 20)}[kind]
        )
    with pytest.raises(RunError, match=r"film\.npz can't be used"):
        read_film(read_run(folder))
    (folder / "film.webp").unlink()
    drawn, (warning,) = restored(folder)
    assert drawn == []
    assert warning.startswith("without film.webp: the run")


def test_a_film_of_another_network_places_nothing(folder: Path, compute: Compute) -> None:
    run = read_run(folder)
    other = compute.place(build_model(replace(run.config.architecture, hidden=64)))
    with pytest.raises(RunError, match="belongs to another network"):
        load_map(run, other, compute)


# ----------------------------------------------------------------------------------------------- a drawing on it


def test_a_digit_of_the_map_is_placed_where_it_is(trained_folder: Path, compute: Compute) -> None:
    run = read_run(trained_folder)
    found = load_map(run, load_trained(run, compute), compute)
    for number, image in enumerate(mapped_digits().images[:5, 0].numpy()):
        np.testing.assert_allclose(found.place(image), found.film.places[:, number], atol=0.05)


def test_another_digit_lies_exactly_at_the_end_and_between_like_ones_before(
    trained_folder: Path, mnist: Mnist, compute: Compute
) -> None:
    run = read_run(trained_folder)
    found = load_map(run, load_trained(run, compute), compute)
    film, image = found.film, mnist.test.images[0, 0].numpy()
    hidden = predict_hidden(found.model, mnist.test.images[:1], compute).numpy()
    places = found.place(image)
    np.testing.assert_allclose(places[-1], (hidden[0] - film.centre) @ film.axes.T, atol=1e-3)
    like = np.linalg.norm(found.hidden - hidden, axis=1).argsort()[:5]
    between = film.places[:-1, like]
    assert (places[:-1] >= between.min(axis=1) - 1e-4).all()
    assert (places[:-1] <= between.max(axis=1) + 1e-4).all()
    assert len(set(found.labels[like])) <= 2, "it is a 7, and not like everything"


def test_films_side_by_side_are_aligned_by_the_digits_seen(trained_folder: Path) -> None:
    film = read_film(read_run(trained_folder))
    late = replace(film, seen=film.seen + 5)
    frames = frames_of(draw_film({"first": film, "second": late}, "both"))
    assert sum(duration for _, duration in frames) == 600 * (2 * len(film.seen) - 1) + 4000
    assert frames[0][0].size == (640, 760)
    parts = {name: np.repeat(getattr(film, name)[:1], 25, axis=0) for name in ("kernels", "confusion", "places")}
    long = {str(shift): replace(film, seen=10 * np.arange(25) + shift, **parts) for shift in range(2)}
    durations = [duration for _, duration in frames_of(draw_film(long, "two of 25 moments each"))]
    assert sum(durations) == 600 * 24 + 4000, "every second of 50 moments, as a page could not hold all"


def test_a_film_of_a_resumed_run_says_where_it_begins(trained_folder: Path) -> None:
    film = read_film(read_run(trained_folder))
    parts = {name: getattr(film, name)[1:] for name in ("seen", "kernels", "confusion", "places")}
    assert "resumed" not in film.remark
    assert "begins after 128 digits, where the training was resumed." in replace(film, **parts).remark
