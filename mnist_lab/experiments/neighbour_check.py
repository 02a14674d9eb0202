"""Do the nearest training digits matter more than others? A check of "who taught it that" that can fail.

A run's network is trained again, in short, without the training digits nearest to its surest mistakes, and twice
without as many random ones of the same classes: the second time shows what chance alone does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_lab.config import CLASSES, TrainConfig, check_whole, default_config
from mnist_lab.data import doubt_mark, doubt_note
from mnist_lab.data.loader import seeded_generator
from mnist_lab.data.mnist import Digits, Mnist, load_mnist
from mnist_lab.experiments import figures, statistics
from mnist_lab.experiments.questions import MOST_SEEDS
from mnist_lab.experiments.study import Study, tell_study
from mnist_lab.explain.commands import BEST, Reader, load_reader
from mnist_lab.explain.neighbours import nearest_hidden
from mnist_lab.networks.compute import predict_logits
from mnist_lab.networks.models import build_model
from mnist_lab.plotting import BLUE, INK, ORANGE, new_figure, png_of, style_axes, styled
from mnist_lab.report.document import Picture, Section, Table
from mnist_lab.terminal.console import ManyDisplay, RunProgress
from mnist_lab.terminal.lab import INTERRUPTED, OK, Lab, graceful_interrupts
from mnist_lab.terminal.wording import counted, format_about
from mnist_lab.training.runs import command_line
from mnist_lab.training.session import evaluate_on, measure_seconds_per_epoch
from mnist_lab.training.trainer import Progress, Trainer

MISTAKES, REMOVED, SEEDS = 20, 50, 3  # digits asked about, training digits left out for each, and the usual seeds
QUESTION = "Does a network's answer depend more on the nearest training digits than on others of the same classes?"
NOTHING, NEAREST, RANDOM, OTHERS = "nothing", "the nearest", "random ones", "other random ones"  # what is left out

_HOW = """In the hidden layer, the {mistakes} surest mistakes of the run have {number} training digits among the
{removed} nearest of each. They are left out, and for comparison as many random ones of the same classes. The place of
each is taken by another digit of its class, so that number, classes and order of the digits stay. A change is the total
variation distance, half the sum of how far the ten probabilities move from those of the same seed with nothing left
out: 0 points where they stay, 100 where nothing of them is left."""
_LIMITS = """The digits asked about are test digits that the saved run misses. They only say where to look: nothing is
chosen by them, and no network is kept. Each training is one epoch of the run's network, without augmentation, and not
the run's own. Even where the nearest matter more together, no single digit is shown to have taught an answer; and where
no difference is found, more seeds may find one."""
_CAPTION = """Each mark is a mean over the seeds. If the nearest digits taught these answers, the blue circles lie right
of the squares and crosses; how far those two lie apart is chance."""

Changes = Mapping[str, Mapping[int, NDArray[np.float64]]]
"""How far each of M answers moved, 0 to 1, by what was left out and by seed."""


@dataclass(frozen=True)
class Check:
    """What is asked about, and what is left out."""

    config: TrainConfig  # of all trainings, but for the seed
    digits: Digits  # M test digits
    names: Sequence[str]  # of these
    left_out: Mapping[str, NDArray[np.int64]]  # positions among the training digits, class by class
    stand_ins: NDArray[np.int64]  # those that take the places of as many left out


def check_neighbours(lab: Lab, run: str = BEST, seeds: int = SEEDS) -> int:
    """Train with and without the digits nearest to a run's surest mistakes, and leave a folder with what changed.

    RequestError if ``seeds`` is not 1 to 100; RunError or CheckpointError if the run can't be used.
    """
    check_whole("--seeds", seeds, 1, MOST_SEEDS)
    reader, mnist = load_reader(lab, run), load_mnist()
    with lab.terminal.busy("looking for the training digits nearest to its mistakes"):
        check = prepare(reader, mnist)
    if not len(check.digits):
        lab.terminal.line(f"{reader.name} makes no mistake among the test digits: there is nothing to check")
        return OK
    trainings = [(seed, variant) for seed in range(seeds) for variant in check.left_out]
    with lab.terminal.busy("timing a few batches"):
        seconds = len(trainings) * measure_seconds_per_epoch(check.config, mnist, reader.compute)
    lab.terminal.show(f"[title]{QUESTION}[/title]")
    lab.terminal.line(f"{counted(len(trainings), 'training run')} to do: {format_about(seconds)}")
    answers = _train_all(lab, reader, check, trainings, seconds)
    if len(answers) < len(trainings):
        lab.terminal.warn(f"stopped; {len(answers)} of {len(trainings)} trainings were done, nothing is saved")
        return INTERRUPTED
    changes = {
        variant: {
            seed: np.abs(answers[seed, variant] - answers[seed, NOTHING]).sum(axis=1) / 2 for seed in range(seeds)
        }
        for variant in (NEAREST, RANDOM, OTHERS)
    }
    tell_study(lab, _study(lab, reader, check, changes))
    return OK


def prepare(reader: Reader, mnist: Mnist) -> Check:
    """Find a run's surest mistakes, the training digits nearest to them, and random ones of the same classes."""
    config, labels = reader.run.config, mnist.train.labels.numpy()
    usual = default_config(config.model, augmented=False, epochs=1)
    config = replace(usual, batch_norm=config.batch_norm, dropout=config.dropout, hidden=config.hidden)
    missed = evaluate_on(reader.model, mnist.test, reader.compute).mistakes
    digits = mnist.test.subset(torch.from_numpy(missed.positions[:MISTAKES]))
    found = nearest_hidden(digits.images[:, 0].numpy(), reader.hidden_space, reader.model, reader.compute, REMOVED)
    indices = [index for nearest in found for index in nearest.indices.tolist()]
    order = torch.randperm(len(labels), generator=seeded_generator("left out at random")).numpy()
    is_near, of_class = np.isin(mnist.train.indices.numpy()[order], indices), []
    for digit in range(CLASSES):
        near, far = (order[(labels[order] == digit) & chosen] for chosen in (is_near, ~is_near))
        of_class.append([near, *np.split(far, len(near) * np.arange(1, 4))[:3]])
    near, random, others, stand_ins = map(np.concatenate, zip(*of_class, strict=True))
    left_out = {NOTHING: near[:0], NEAREST: near, RANDOM: random, OTHERS: others}
    names = [
        f"{index}{doubt_mark(index)}: {true}, read as {read}"
        for index, true, read in zip(digits.indices.tolist(), missed.labels, missed.predictions, strict=False)
    ]
    return Check(config, digits, names, left_out, stand_ins)


def train_without(
    reader: Reader, check: Check, seed: int, variant: str, report: Callable[[Progress], None], stop: Callable[[], bool]
) -> NDArray[np.float64]:
    """The answers (M, 10), 0 to 1, of a network that was trained with a seed, and with some digits left out."""
    mnist, compute, config = load_mnist(), reader.compute, replace(check.config, seed=seed)
    places, left_out = np.arange(len(mnist.train)), check.left_out[variant]
    places[left_out] = check.stand_ins[: len(left_out)]
    model = compute.place(build_model(config.architecture, seed))
    trainer = Trainer(model, mnist.train.subset(torch.from_numpy(places)), mnist.validation, config, compute)
    model.load_state_dict(trainer.fit(on_progress=report, stop_requested=stop).best_weights)
    answers: NDArray[np.float64] = predict_logits(model, check.digits.images, compute).double().softmax(dim=1).numpy()
    return answers


def _train_all(
    lab: Lab, reader: Reader, check: Check, trainings: Sequence[tuple[int, str]], forecast: float
) -> dict[tuple[int, str], NDArray[np.float64]]:
    """The answers after each training; fewer than all if the user stops them."""
    answers: dict[tuple[int, str], NDArray[np.float64]] = {}
    under_way: list[RunProgress] = []
    with (
        suppress(KeyboardInterrupt),
        graceful_interrupts(lambda: lab.terminal.warn("Ctrl-C: ending after this batch ...")) as stop_requested,
        ManyDisplay(lab.terminal.console, len(trainings), lambda: under_way, forecast) as display,
    ):
        for seed, variant in trainings:
            name = f"{variant} left out, seed {seed}"

            def report(progress: Progress, name: str = name) -> None:
                under_way[:] = [RunProgress(name, progress.images_done / progress.images_per_epoch, "")]

            found = train_without(reader, check, seed, variant, report, stop_requested)
            if stop_requested():
                break
            answers[seed, variant] = found
            under_way.clear()
            display.end(name)
    return answers


def conclude(changes: Changes) -> list[str]:
    """What may be said: the answer, what it rests on, and what chance alone does."""
    means = {variant: {seed: float(moved.mean()) for seed, moved in m.items()} for variant, m in changes.items()}
    found = [statistics.paired_difference(means[RANDOM], means[variant]) for variant in (NEAREST, OTHERS)]
    adjusted = statistics.holm([one.p_value for one in found])
    nearest, chance = (
        statistics.verdict(RANDOM, variant, one, p, len(found))
        for variant, one, p in zip((NEAREST, OTHERS), found, adjusted, strict=True)
    )
    more = f"change {'more' if found[0].mean > 0 else 'less'} than without random ones"
    answer = f"{'Yes' if found[0].mean > 0 else 'No'}: without the nearest training digits, the answers {more}."
    if nearest.is_different is False:
        answer = "It can't be shown that the nearest training digits matter more than random ones: no difference found."
    levels = ", ".join(f"{100 * np.mean(list(m.values())):.1f} without {variant}" for variant, m in means.items())
    return [
        nearest.sentence if nearest.is_different is None else answer,
        f"An answer changes by this many points of 100, on average: {levels}.",
        f"The difference, {nearest.facts}",
        f"The difference that chance alone makes, {chance.facts}",
    ]


def _study(lab: Lab, reader: Reader, check: Check, changes: Changes) -> Study:
    seeds, number = list(changes[NEAREST]), len(check.stand_ins)
    moved = {variant: np.mean(list(m.values()), axis=0) for variant, m in changes.items()}  # (M,) each
    figure = changes_figure(check.names, moved, note=doubt_note(check.digits.indices.tolist()))
    alt = f"A dot plot with a row for each of {len(check.names)} test digits, and a mark for each kind of training."
    picture = Picture("Digit by digit", png_of(figure), alt, _CAPTION, "changes")
    rows = [
        (variant, *(f"{100 * m[seed].mean():.1f}" for seed in seeds), f"{100 * moved[variant].mean():.1f}")
        for variant, m in changes.items()
    ]
    headings = ("left out", *(f"seed {seed}" for seed in seeds), "mean")
    table = Table("Mean change of an answer, points", headings, rows, range(1, len(headings)))
    how = _HOW.format(mistakes=len(check.names), number=number, removed=REMOVED)
    train = load_mnist().train
    return Study(
        label="check-neighbours",
        kind="Check",
        title=f"Do the nearest digits matter? {reader.name}",
        question=QUESTION,
        facts={"mistakes": str(len(check.names)), "left out": f"{number:,} digits", "seeds": str(len(seeds))},
        repeat=command_line(f"inside --check-neighbours --run {reader.run.name} --seeds {len(seeds)}", lab.outputs),
        created=lab.now(),
        verdicts=conclude(changes),
        sections=[
            Section("What changed", [how], [table], [picture]),
            Section("What this does not show", [_LIMITS]),
        ],
        numbers={
            "run": reader.run.name,
            "config": check.config.to_dict(),
            "seeds": seeds,
            "test_digits": check.digits.indices.tolist(),
            "left_out": {variant: train.indices[places].tolist() for variant, places in check.left_out.items()},
            "stand_ins": train.indices[check.stand_ins].tolist(),
            "changes": {name: {str(seed): one.tolist() for seed, one in m.items()} for name, m in changes.items()},
        },
        tables=[table],
    )


@styled
def changes_figure(names: Sequence[str], moved: Mapping[str, NDArray[np.float64]], *, note: str = "") -> Figure:
    """How far each of M named answers moved, (M,) from 0 to 1, by what was left out."""
    figure = new_figure(figures.WIDTH, 1.9 + 0.24 * len(names), "How far each answer moved", note)
    panel = figure.add_subfigure(figure.add_gridspec()[0])
    axes, places = panel.subplots(), np.arange(len(names))
    for (variant, change), colour, marker in zip(moved.items(), (BLUE, ORANGE, INK), "osx", strict=True):
        axes.plot(100 * change, places, marker, color=colour, label=f"without {variant}")
        axes.axvline(100 * change.mean(), color=colour, linewidth=1, linestyle=(0, (4, 3)))
    style_axes(axes, "change of the ten probabilities (points; dashed: mean)", "test digit")
    axes.set_yticks(places, names)
    axes.set_xlim(left=0)
    axes.invert_yaxis()
    panel.legend(loc="outside lower center", ncols=3)
    return figure
