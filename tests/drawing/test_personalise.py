"""Learning one person's hand: what is learned from, what is kept, and what is told of it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import main
from mnist_lab.config import TrainConfig
from mnist_lab.data.mnist import Digits, Mnist
from mnist_lab.drawing import personalise as module
from mnist_lab.drawing.own_digits import Count, Counts, model_key
from mnist_lab.drawing.personalise import (
    FOLDS,
    Change,
    HandTrainer,
    advice,
    config_for,
    cross_validate,
    deal_folds,
    mixture,
    original_of,
    own_digits,
    personalise,
    right,
)
from mnist_lab.drawing.strokes import Drawing
from mnist_lab.errors import RequestError, RunError
from mnist_lab.networks.compute import Compute, predict_logits
from mnist_lab.networks.models import DigitNet
from mnist_lab.training.runs import RunRecord, by_recipe, find_run, list_runs, read_history
from mnist_lab.training.session import load_trained
from tests.drawing.conftest import BLANK, ONE, SEVEN, UNLABELLED, ZERO


def moved(drawing: Drawing, by: float) -> Drawing:
    """Another drawing of the same digit, higher or lower by some pixels at its first point."""
    (first, *points), *others = drawing.strokes
    return Drawing((((first[0], first[1] + by), *points), *others), drawing.label)


HAND = [moved(one, 3 * n) for n in range(4) for one in (ONE, SEVEN, ZERO)]  # twelve drawings


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the usual training."""
    monkeypatch.setattr(module, "_IMAGES", 1280)


def own_of(mnist: Mnist, count: int) -> Digits:
    return mnist.validation.subset(torch.arange(count))


CONFIG = config_for(TrainConfig(model="1-layer"), seed=3)


def test_an_epoch_mixes_every_own_digit_equally_often_with_mnists(mnist: Mnist) -> None:
    own = own_of(mnist, 30)
    mixed = mixture(own, mnist.train, CONFIG)
    assert len(mixed) == 12_800
    assert torch.equal(mixed.images[:3200], own.images[torch.arange(3200) % 30])
    others = mixed.indices[3200:]
    assert len(set(others.tolist())) == 9600
    assert torch.isin(others, mnist.train.indices).all()
    assert not torch.equal(others, mixture(own, mnist.train, config_for(TrainConfig(), 4)).indices[3200:])


@pytest.mark.parametrize("labels", [[1] * 10, [0, 1] * 5 + [7], [*range(10)] * 3])
def test_the_folds_share_every_digit_as_evenly_as_can_be(labels: list[int]) -> None:
    given = torch.tensor(labels)
    folds = deal_folds(given, seed=0)
    for part in (given >= 0, *(given == digit for digit in set(labels))):
        sizes = torch.bincount(folds[part], minlength=FOLDS)
        assert sizes.max() - sizes.min() <= 1
    assert torch.equal(folds, deal_folds(given, seed=0))
    assert not torch.equal(folds, deal_folds(given, seed=1))


@pytest.mark.usefixtures("short")
def test_only_the_classifier_learns_and_a_part_of_the_way_back_is_taken(
    network: DigitNet, mnist: Mnist, compute: Compute
) -> None:
    config = config_for(CONFIG, 3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trainer = HandTrainer(network, own_of(mnist, 20), mnist, own_of(mnist, 50), config, compute)
    outcome = trainer.fit()
    trained = trainer.model.state_dict()
    for name, value in outcome.best_weights.items():
        assert torch.equal(network.state_dict()[name], before[name]), "the parent itself must stay as it is"
        if name.startswith("blocks"):
            assert torch.equal(value, before[name].cpu())
            assert torch.equal(trained[name], before[name]), "batch normalisation must not follow one hand"
        else:
            assert not torch.equal(trained[name], before[name])
            torch.testing.assert_close(value, (0.2 * before[name] + 0.8 * trained[name]).cpu())
    (epoch,) = outcome.history
    assert epoch.val_accuracy == pytest.approx(right(trainer.evaluated_model, own_of(mnist, 50), compute).mean())


def test_each_own_digit_is_read_by_a_copy_that_did_not_learn_from_it(
    network: DigitNet, mnist: Mnist, compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IMAGES", 2560)
    known = torch.from_numpy(np.flatnonzero(right(network, own_of(mnist, 60), compute))[:12])
    own = mnist.validation.subset(known)
    images, labels = own.images.clone(), own.labels.clone()
    images[0] = torch.randint(2, (1, 28, 28), generator=torch.Generator().manual_seed(0)) * 255  # nothing but noise
    answer = int(predict_logits(network, images[:1], compute).argmax())
    labels[0] = (answer + 5) % 10  # nobody who has not learned this one by heart would say so
    own, config, told = Digits(images, labels, own.indices), config_for(CONFIG, 0), list[float]()
    answered = cross_validate(network, own, mnist, config, compute, told.append)
    assert not answered[0]
    assert answered[1:].mean() > 0.7
    assert told == sorted(told)
    assert told[-1] == FOLDS
    trainer = HandTrainer(network, own, mnist, own, config, compute)
    trainer.fit()
    assert right(trainer.evaluated_model, own, compute)[0], "learned by heart, it would be read as it is labelled"


def test_what_counts_as_a_digit_to_learn_from() -> None:
    assert own_digits([*HAND, BLANK, UNLABELLED]).labels.tolist() == [1, 7, 0] * 4
    with pytest.raises(RequestError, match=r"^no digits are kept; draw 10 more in the window"):
        own_digits([])
    with pytest.raises(RequestError, match=r"^9 of at least 10 digits are kept; draw 1 more"):
        own_digits([*HAND[:9], HAND[0], BLANK, UNLABELLED])  # one of them twice


def answers(text: str) -> tuple[Tensor, Change]:
    """``7:-+`` is a seven that was read wrongly before and correctly after."""
    words = text.split()
    before, after = (np.array([word[place] == "+" for word in words]) for place in (2, 3))
    return torch.tensor([int(word[0]) for word in words]), Change("your own", "drawing", before, after)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("7:-+ " * 6 + "1:++ " * 6, "It has learned your hand."),
        ("7:+- " * 6 + "1:++ " * 6, "It reads your hand worse than before: draw with the original."),
        ("7:++ " * 12, "No difference yet: the original reads all 12 of your digits already."),
        # Every seven is missed at first, and two are learned; six more of six make 2 / 2**6 < 0.05.
        ("7:-+ " * 2 + "1:++ " * 10, "No difference yet: 4 more of your 7s would help."),
        # One of four: it takes 24 in all.
        ("7:-+ 7:++ 7:++ 7:++ " + "1:++ " * 8, "No difference yet: 20 more of your 7s would help"),
        ("7:-- " + "7:++ " * 60, "No difference yet: more of your 7s would help, but more than 100 of them."),
    ],
)
def test_advice(text: str, said: str) -> None:
    labels, change = answers(text)
    assert advice(change, labels.numpy()).startswith(said)


def test_a_change_is_told_with_its_numbers() -> None:
    _, change = answers("7:-+ " * 6 + "1:++ 1:+- 1:--")
    told = change.to_dict()
    assert (told["total"], told["before"], told["after"]) == (9, 2, 7)
    assert (told["only_before"], told["only_after"], told["p_value"]) == (1, 6, 2 * 8 / 2**7)
    assert told["verdict"].startswith("The original and the copy can't be told apart on the drawings. The copy gets 6 ")
    assert told["after_interval_95"] == pytest.approx([0.4526, 0.9368], abs=1e-4)  # Wilson's, worked by hand


@pytest.mark.usefixtures("short")
def test_a_personalised_run_is_an_ordinary_one_that_names_its_parent(
    outputs: Path, mnist: Mnist, compute: Compute
) -> None:
    parent = find_run(outputs, "run")

    def made() -> RunRecord:
        folder = personalise(parent, HAND, outputs, datetime(2026, 11, 28, 9, 0), compute)
        return find_run(outputs, folder.name)

    run, again = made(), made()
    assert run.name == "2026-11-28_09-00-00_1-layer-aug-personal"
    assert (run.parent, run.status, run.epochs_run) == ("run", "finished", 1)
    assert run.title == "1-layer, augmented, seed 0, personalised"
    assert run.command is not None
    assert run.command.startswith("python main.py personalise run --digits ")
    assert len(read_history(run)) == 1
    assert (run.folder / "my_digits.jsonl").read_text("utf-8") == "".join(f"{one.to_json()}\n" for one in HAND)
    page = (run.folder / "report.html").read_text("utf-8")
    assert "What it learned of your hand" in page
    assert "MNIST validation" in page

    model = load_trained(run, compute)
    own, *others = run.personal["changes"]
    assert own["before"] == int(right(load_trained(parent, compute), own_digits(HAND), compute).sum())
    for told, digits in zip(others, (mnist.validation, mnist.test), strict=True):
        assert told["after"] == int(right(model, digits, compute).sum())
    assert run.test_accuracy == others[1]["after"] / 10_000

    def weights(one: RunRecord) -> bytes:
        return b"".join(value.numpy().tobytes() for value in load_trained(one, compute).cpu().state_dict().values())

    assert weights(again) == weights(run)
    assert again.personal == run.personal
    assert len(by_recipe(list_runs(outputs)[0])) == 3  # none of them repeats another

    assert original_of(again).name == "run"
    kept = Counts("", "", 12, {one.name: Count(str(model_key(one)), 12) for one in (run, parent)})
    assert kept.mark(run) is None  # of digits that it has learned
    assert kept.mark(parent) is not None
    (outputs / "run").rename(outputs / "elsewhere")
    with pytest.raises(RunError, match=r"is a personalised copy of run, which is gone; name a run"):
        original_of(run)


@pytest.mark.usefixtures("short")
def test_the_command_tells_what_changed(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = "".join(f"{one.to_json()}\n" for one in HAND)
    (outputs / "my_digits.jsonl").write_text(lines + "damaged\n", encoding="utf-8")
    assert main.main(["personalise", "--run", "run", "--outputs", str(outputs)]) == 0
    shown = capsys.readouterr().out
    run = find_run(outputs, "latest")
    assert shown.splitlines()[-1] == str(run.folder)
    assert "skipped" in shown
    for told in ("your own", "MNIST validation", "MNIST test", run.personal["advice"]):
        assert told in shown
    names = {path.name for path in run.folder.iterdir()}
    assert {"history.png", "saliency.png", "report.html", "neighbours.png"} <= names
    assert main.main(["show", run.name, "--outputs", str(outputs)]) == 0
    assert "personalised from" in capsys.readouterr().out


def test_too_few_digits_are_refused_in_one_line(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["personalise", "run", "--outputs", str(outputs)]) == 1
    assert capsys.readouterr().err.startswith("no digits are kept; draw 10 more in the window")
    assert [path.name for path in outputs.iterdir() if path.is_dir()] == ["run"]


def test_what_run_json_says_of_a_hand_is_not_trusted(outputs: Path) -> None:
    path = outputs / "run" / "run.json"
    content = json.loads(path.read_text("utf-8")) | {"parent": "x", "personal": {"changes": [1, {"total": "<b>"}]}}
    path.write_text(json.dumps(content), encoding="utf-8")
    assert main.main(["report", "run", "--outputs", str(outputs)]) == 0
    assert "What it learned of your hand" in (outputs / "run" / "report.html").read_text("utf-8")
