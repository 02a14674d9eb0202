"""Memorising, overfitting and learning rates: whole small experiments, checked from what they left on disk."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from mnist_lab.config import default_config
from mnist_lab.data.loader import derive_seed
from mnist_lab.data.mnist import Mnist, stratified_subset
from mnist_lab.errors import RunError
from mnist_lab.experiments import study as studies
from mnist_lab.experiments import trainings
from mnist_lab.experiments.commands import Request, experiment
from mnist_lab.experiments.learning import NEIGHBOURS
from mnist_lab.experiments.questions import EXPERIMENTS, Variant
from mnist_lab.networks.compute import Compute, predict_hidden
from mnist_lab.terminal.lab import OK
from mnist_lab.training import session
from mnist_lab.training.runs import read_run
from mnist_lab.training.session import load_trained
from tests.experiment_fixtures import make_lab, small_request
from tests.experiments.conftest import blank_figures, in_this_process


@pytest.fixture(scope="module", autouse=True)
def quick(mnist: Mnist) -> Iterator[None]:
    """Fewer digits to evaluate with: that takes most of the time of such small trainings."""
    validation, test = stratified_subset(mnist.validation, 1000), stratified_subset(mnist.test, 500)
    fewer = replace(mnist, validation=validation, test=test)
    with blank_figures(), in_this_process(), pytest.MonkeyPatch.context() as patch:
        for module in (session, studies, trainings):
            patch.setattr(module, "load_mnist", lambda: fewer)
        yield


def conducted(request: Request, outputs: Path) -> tuple[dict[str, Any], str, str]:
    """What an experiment leaves: results.json, the page, and the screen."""
    lab, screen = make_lab(outputs, width=200)
    assert experiment(lab, request) == OK
    folder = max(outputs.glob("*_experiment-*"), key=lambda folder: folder.stat().st_mtime_ns)
    results: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    captions = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["pictures"]
    assert "does not show" in captions[results["thumbnail"]]["text"]
    return results, (folder / "report.html").read_text(encoding="utf-8"), screen.getvalue()


def history_of(folder: Path) -> dict[str, list[float]]:
    rows = list(csv.DictReader((folder / "history.csv").read_text(encoding="utf-8").splitlines()))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def half_of(curve: list[float]) -> float:
    """The epoch at which a curve that rises reaches one half."""
    last = next(place for place, value in enumerate(curve) if value >= 0.5)
    return float(np.interp(0.5, curve[last - 1 : last + 1], [last, last + 1])) if last else 1.0


def doubts_of_scikit_learn(points: Tensor, labels: Tensor) -> Tensor:
    """Whether most of each digit's nearest others contradict its label, (N,) bool."""
    nearest = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(points).kneighbors(return_distance=False)
    votes = [Counter(labels[others].tolist()) for others in nearest]
    return torch.tensor([max(vote.values()) > vote[label] for vote, label in zip(votes, labels.tolist(), strict=True)])


def test_memorise_tells_how_late_wrong_labels_are_learned_and_found(
    mnist: Mnist, compute: Compute, tmp_path: Path
) -> None:
    request = small_request("memorise", epochs=7, prediction="0 % random > 20 % random")
    variants = tuple(
        replace(one, config=replace(one.config, learning_rate=3e-3)) for one in request.experiment.variants(7)[:2]
    )
    two = replace(request.experiment, variants=lambda epochs: variants, pairs=request.experiment.pairs[:1])
    results, page, screen = conducted(replace(request, experiment=two), tmp_path)
    assert "what differs: the fraction of random labels; variants: 0 % random, 20 % random" in screen
    assert "more than one factor" not in screen
    assert results["prediction"]["outcome"].startswith("Predicted 0 % random over 20 % random")
    curves, true = results["figures"]["memorised"], stratified_subset(mnist.train, 1000)
    epochs, doubts = [], []
    for place, name in enumerate(results["runs"]["20 % random"].values()):
        run, history = read_run(tmp_path / name), history_of(tmp_path / name)
        for column in ("fit_right", "fit_wrong", "val_accuracy"):
            assert curves["20 % random"][column][place] == history[column]
        epochs.append([half_of(history[column]) for column in ("fit_right", "fit_wrong")])
        generator = torch.Generator()  # the labels drawn anew, in another way
        generator.manual_seed(derive_seed(run.seed, "random labels"))
        drawn = torch.randint(10, (1000,), generator=generator)
        chosen = set(torch.randperm(1000, generator=generator)[:200].tolist())
        given = torch.tensor([int(drawn[i]) if i in chosen else int(true.labels[i]) for i in range(1000)])
        wrong, hidden = given != true.labels, predict_hidden(load_trained(run, compute), true.images, compute)
        for part, points in (("hidden layer", hidden), ("pixels", true.images.flatten(1).float())):
            doubted = doubts_of_scikit_learn(points, given).float()
            doubts.append((float(doubted[wrong].mean()), float(doubted[~wrong].mean())))
            for which, share in zip(("wrong", "right"), doubts[-1], strict=True):  # a byte for each hidden unit
                found = results["extra"]["doubted"]["20 % random"][f"{part}: of the {which}"][place]
                assert found == pytest.approx(share, abs=0.01 if part == "hidden layer" else 1e-6)
    assert all(wrong > 0.5 > 0.2 > right for wrong, right in doubts)
    assert results["extra"]["doubted"]["0 % random"]["pixels: of the wrong"] == [None, None]
    assert all(late > early for early, late in epochs)
    right, wrong = np.mean(epochs, axis=0)
    late = next(said for said in results["verdicts"] if "half of the right labels" in said)
    assert f"are learned by epoch {right:.1f} ± " in late
    assert f"half of the wrong ones by epoch {wrong:.1f} ± " in late
    first, second = (later - early for early, later in epochs)
    p_value = 0.5 if first == second else stats.ttest_1samp([first, second], 0).pvalue  # the sign test's, of two
    assert ("so it may be chance" in late) == (p_value >= 0.05)
    is_memorised = np.mean([curve[-1] for curve in curves["20 % random"]["fit_wrong"]]) >= 0.9
    how = "memorise" if is_memorised else "did not, in so few epochs, memorise"
    assert results["verdicts"][0] == f"Networks {how} labels that mean nothing."
    assert "network asked is the one that is kept" in page


def test_overfit_compares_the_gaps_of_plain_digits_after_the_last_epoch(tmp_path: Path) -> None:
    usual = EXPERIMENTS["overfit"]
    variants = tuple(
        Variant(one.name, replace(one.config, model="1-layer", epoch_size=600))
        for one in usual.variants(2)
        if one.name in ("neither", "dropout", "all three")
    )
    pairs = tuple(("neither", variant.name) for variant in variants[1:])
    chosen = replace(usual, variants=lambda epochs: variants, pairs=pairs)
    request = Request(chosen, 2, 2, 1, prediction="all three > neither")
    results, page, screen = conducted(request, tmp_path)
    assert "more than one factor differs" in screen
    gaps = {}
    for name, runs in results["runs"].items():
        histories = [history_of(tmp_path / run) for run in runs.values()]
        gaps[name] = [history["fit_right"][-1] - history["val_accuracy"][-1] for history in histories]
        saved = results["extra"]["gap"]["variants"][name]["test_accuracy_by_seed"]
        assert list(saved.values()) == pytest.approx(gaps[name])
        assert results["figures"]["gap"][name]["fit_loss"] == [history["fit_loss"] for history in histories]
    for pair in results["extra"]["gap"]["comparisons"]:
        expected = stats.ttest_rel(gaps[pair["after"]], gaps["neither"])
        assert pair["p_value"] == pytest.approx(expected.pvalue, abs=1e-6)
    assert [pair["after"] for pair in results["conclusion"]["comparisons"]] == [v.name for v in variants[1:]]
    assert results["verdicts"][0].startswith(("The gap of ", "No gap is smaller by more than chance."))
    assert results["prediction"]["outcome"].startswith("Predicted all three over neither")
    assert "can't be compared with validation" in page.replace("&#39;", "'")
    run = tmp_path / results["runs"]["neither"]["0"]
    rows = [line.split(",") for line in (run / "history.csv").read_text(encoding="utf-8").splitlines()]
    (run / "history.csv").write_text("\n".join(",".join(row[:7]) for row in rows) + "\n", encoding="utf-8")
    with pytest.raises(RunError, match="does not say how well it fits its training digits"):  # as earlier versions did
        experiment(make_lab(tmp_path)[0], request)


def rates_tried() -> Request:
    """Three rates: one far too low, one that learns, and one that learns nothing."""
    usual = replace(default_config("1-layer", augmented=False, recipe="plain", epochs=1), train_size=500, batch_size=50)
    rates = ("1e-06", "0.003", "30")
    variants = tuple(Variant(rate, replace(usual, learning_rate=float(rate))) for rate in rates)
    chosen = replace(EXPERIMENTS["learning-rate"], variants=lambda epochs: variants, pairs=(("1e-06", "0.003"),))
    return Request(chosen, 1, 2, 1)


def test_each_rate_is_called_what_it_is(tmp_path: Path) -> None:
    results, _, _ = conducted(rates_tried(), tmp_path)
    assert results["verdicts"][:2] == [
        "The best of 3 rates is 0.003; from 30 on, training diverges.",
        "Too low: 1e-06; right: 0.003; too high: none; diverged: 30.",
    ]
    found = results["figures"]["rates"]
    for name, run in results["runs"]["0.003"].items():
        assert found["0.003"]["losses"][int(name)] == min(history_of(tmp_path / run)["val_loss"])
    assert min(found["30"]["losses"]) > 0.9 * math.log(10)
