"""From finished runs to a folder: what each experiment measures, what stands in results.json and on the page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from mnist_lab.data.mnist import Mnist, stratified_subset
from mnist_lab.experiments import measures
from mnist_lab.experiments import study as studies
from mnist_lab.experiments.questions import EXPERIMENTS
from mnist_lab.experiments.study import study_comparison, study_experiment, write_study
from mnist_lab.networks.compute import Compute
from mnist_lab.report.index import read_summary
from mnist_lab.training.runs import RunRecord, list_runs, recipes_of
from mnist_lab.training.session import evaluate_on, load_trained
from tests.experiment_fixtures import NOW
from tests.experiments.conftest import PREDICTION, blank_figures
from tests.pages import parse_file

Runs = Mapping[str, Mapping[int, RunRecord]]


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with blank_figures():
        yield


@pytest.fixture(autouse=True)
def fewer_test_digits(mnist: Mnist, monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = replace(mnist, test=stratified_subset(mnist.test, 500))
    monkeypatch.setattr(studies, "load_mnist", lambda: fewer)
    monkeypatch.setattr(measures, "SELECTION_DIGITS", 250)
    monkeypatch.setattr(measures, "SELECTION_TRIES", 200)


def studied(name: str, runs: Runs, outputs: Path, prediction: str = "") -> tuple[dict[str, Any], str]:
    """What an experiment leaves: results.json and the page's text."""
    command = f"experiment {name}"
    study = study_experiment(EXPERIMENTS[name], runs, outputs, NOW, command=command, epochs=1, prediction=prediction)
    folder = write_study(outputs, study)
    content: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert content["verdicts"] == list(study.verdicts)
    assert {path.stem for path in folder.glob("*.png")} == {p.name for s in study.sections for p in s.pictures}
    captions = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["pictures"]
    for picture in (picture for section in study.sections for picture in section.pictures):
        assert picture.caption.count(". ") in (1, 2, 3), f"{picture.name}: what is shown, what to look for, what not"
        assert captions[f"{picture.name}.png"]["text"] == picture.caption
    page = " ".join((folder / "report.html").read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ").split())
    return content, page


def test_the_numbers_of_robustness_are_those_of_scipy(conducted: tuple[Path, str], by_variant: Runs) -> None:
    folder = next(conducted[0].glob("*experiment-robustness"))
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    plain, augmented = ([measures.tested_accuracy(by_variant[name][seed]) for seed in (0, 1)] for name in by_variant)
    assert len(results["conclusion"]["comparisons"]) == len(measures.DISTURBANCES) + 2  # all of them together, and none
    saved = results["conclusion"]["variants"]["plain, undisturbed"]
    assert saved["test_accuracy_by_seed"] == {"0": plain[0], "1": plain[1]}
    assert saved["sd"] == pytest.approx(np.std(plain, ddof=1))
    (compared,) = [pair for pair in results["conclusion"]["comparisons"] if pair["after"] == "augmented, undisturbed"]
    assert compared["p_value"] == pytest.approx(stats.ttest_rel(augmented, plain).pvalue)
    assert results["runs"]["augmented"]["1"] == by_variant["augmented"][1].name
    assert results["thumbnail"] == "robustness.png"
    panels = results["figures"]["robustness"]
    shifted = panels["shifted"]
    assert shifted["strengths"] == [0, 1, 2, 3, 4, 5, 6]
    assert shifted["trained"] == {"augmented": [0, pytest.approx(28 * 0.035)]}
    curves = shifted["accuracy_by_seed_and_strength"]["plain"]
    means = results["conclusion"]["variants"]["plain, shifted"]["test_accuracy_by_seed"]
    assert {seed: pytest.approx(np.mean(values[1:])) for seed, values in curves.items()} == means
    assert results["prediction"]["words"] == PREDICTION
    assert results["prediction"]["outcome"].startswith("Graded by the mean over all 6 kinds of disturbance: Predicted ")
    page = (folder / "report.html").read_text(encoding="utf-8")
    for words in ("Predicted beforehand", "Verdict", "How to repeat it", "experiment robustness --seeds 2"):
        assert words in page


def test_data_size_compares_at_every_size(by_variant: Runs, tmp_path: Path) -> None:
    runs = {f"{size:,} {kind}": by_variant[kind] for size in measures.DATA_SIZES for kind in by_variant}
    results, page = studied("data-size", runs, tmp_path, "500 augmented > 500 plain")
    assert results["thumbnail"] == "growth.png"
    assert len(results["conclusion"]["comparisons"]) == len(measures.DATA_SIZES)
    assert "comparisons" in results["verdicts"][0]
    assert "500 training digits: augmented minus plain" in page
    assert results["prediction"]["outcome"].startswith("Predicted 500 augmented over 500 plain, found ")
    assert "The first 2 of 4 comparisons are shown." in page
    assert "Of the 16 networks, 8 are shown." in page


def test_inversion_shows_test_digits_and_ones_own_in_three_ways(by_variant: Runs, tmp_path: Path) -> None:
    own = [json.dumps({"label": 1, "strokes": [[[x, 40], [x, 240]]]}) for x in (140, 100, 180)]
    (tmp_path / "my_digits.jsonl").write_text("\n".join(own) + "\n", encoding="utf-8")
    results, _ = studied("inversion", {"augmented": by_variant["augmented"]}, tmp_path)
    assert results["verdicts"][-1].startswith("You have 3 drawings of your own")
    found = {name: values["mean"] for name, values in results["conclusion"]["variants"].items()}
    assert set(found) == {
        f"{own}{way}" for own in ("", "own, ") for way in ("black on white", "inverted", "MNIST-like")
    }
    assert found["black on white"] < 0.4 < found["inverted"]
    assert found["MNIST-like"] == pytest.approx(found["inverted"], abs=0.03)
    assert found["own, MNIST-like"] == 1.0
    assert results["committees"] == {}


def test_broken_own_digits_cost_their_part_only(by_variant: Runs, tmp_path: Path) -> None:
    (tmp_path / "my_digits.jsonl").write_text('{"label": 1, "strokes": [[[1, ', encoding="utf-8")
    _, page = studied("inversion", {"augmented": {0: by_variant["augmented"][0]}}, tmp_path)
    assert "Your own digits are left out: line 1 of" in page


def test_regularisation_tells_whether_the_gains_add_up(by_variant: Runs, tmp_path: Path) -> None:
    names = {"neither": "plain", "batch norm": "augmented", "dropout": "plain", "both": "augmented"}
    results, _ = studied("regularisation", {name: by_variant[which] for name, which in names.items()}, tmp_path)
    assert results["verdicts"][-1] == (  # 0.5 + (1.0 - 0.5) is what there is
        "Do they work together? What the two single gains add up to and both together can't be told apart with 2 "
        "seeds: both together minus what the two single gains add up to: 0 points with each of 2 seeds: they have the "
        "same accuracy."
    )
    assert results["extra"]["interaction"]["mean"] == 0
    looked_at = {name: found["b"] for name, found in results["figures"].items() if "changed" in name}
    assert looked_at == {"changed": "batch norm, seed 0", "changed_2": "dropout, seed 0"}


def test_validation_tells_what_choosing_costs(mnist: Mnist, by_variant: Runs, tmp_path: Path, compute: Compute) -> None:
    results, _ = studied("validation", {"1-layer": by_variant["plain"]}, tmp_path, "two > one")
    selection = results["extra"]["selection"]
    assert selection["chosen"] >= selection["fresh"] - 0.01
    digits = stratified_subset(mnist.test, 500)
    alone = [evaluate_on(load_trained(run, compute), digits, compute) for run in by_variant["plain"].values()]
    assert selection["mean"] == pytest.approx(np.mean([evaluation.accuracy for evaluation in alone]))
    assert results["verdicts"][0].startswith("The best of 2 networks ")
    assert results["prediction"]["outcome"].startswith("Nothing is compared in this experiment")
    assert results["committees"]["1-layer"]["total"] == 500
    results, _ = studied("validation", {"1-layer": {0: by_variant["plain"][0]}, "failed": {}}, tmp_path)
    assert results["verdicts"][0].startswith("With one network there is nothing to choose from")


def test_a_prediction_is_graded_by_what_the_verdict_says(by_variant: Runs, tmp_path: Path) -> None:
    leads = {"plain": (0.0, 0.0), "mirrored": (0.0100, 0.0115), "upside down": (-0.01, 0.01)}
    runs = {
        name: {seed: replace(by_variant["plain"][seed], test_accuracy=0.95 + lead) for seed, lead in enumerate(by_seed)}
        for name, by_seed in leads.items()
    }
    results, page = studied("bad-idea", runs, tmp_path, "mirrored > plain")
    first, _ = results["conclusion"]["comparisons"]
    assert first["p_value"] < 0.05  # so that it would be right, were it the only comparison
    assert first["is_different"] is False
    assert results["verdicts"][0] == "Neither comparison found a difference that is more than chance."
    assert results["verdicts"][1] == first["facts"]
    assert "with both comparisons counted (Holm)" in first["facts"]
    assert results["prediction"]["outcome"].endswith("not decided yet, 2 seeds can't tell the two apart.")
    assert "not decided yet, 2 seeds can" in page
    assert "An interval is that of its comparison alone" in page


def test_films_are_compared_side_by_side_where_there_are_any(outputs: Path) -> None:
    runs = {(run.augment, run.seed): run for run in list_runs(outputs)[0]}

    def compared(*keys: tuple[bool, int]) -> tuple[Path, str]:
        folder = write_study(outputs, study_comparison(recipes_of([runs[key] for key in keys]), {}, outputs, NOW))
        return folder, " ".join(parse_file(folder / "report.html").all("main")[0].text.split())

    folder, page = compared((False, 0), (True, 0))
    with Image.open(folder / "film.webp") as film:
        assert film.size == (640, 760)
    assert "The films of the trainings. Aligned by the digits seen" in page
    assert "Without a film" not in page
    assert read_summary(folder).pictures["film.webp"].title == "The films of the trainings"  # type: ignore[union-attr]
    (runs[True, 0].folder / "film.npz").unlink()
    (runs[False, 1].folder / "film.npz").write_bytes(b"damaged")
    for other, name in (((True, 0), "1-layer, augmented, seed 0"), ((False, 1), "1-layer, seed 1")):
        folder, page = compared((False, 0), other)
        assert f"Without a film, as runs of earlier versions are: {name}." in page
        with Image.open(folder / "film.webp") as film:  # of the other one alone
            assert film.size == (960, 440)
    folder, page = compared((True, 0), (False, 1))
    assert not (folder / "film.webp").exists()
    assert "Side by side, while they learned" not in page
