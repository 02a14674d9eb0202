"""Do the nearest training digits matter more than others? A check of "who taught it that" that can fail.

A run's network is trained again, in short, without the training digits nearest to its surest mistakes, and without as
many random ones of the same classes, which are others with every seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from mnist_lab.experiments.answers import ask
from mnist_lab.experiments.questions import MOST_SEEDS
from mnist_lab.experiments.study import Study, tell_study
from mnist_lab.explain.commands import Reader, load_reader
from mnist_lab.explain.neighbours import neighbours_of
from mnist_lab.networks.models import build_model
from mnist_lab.plotting import BLUE, ORANGE, new_figure, panel_area, png_of, style_axes, styled
from mnist_lab.report.document import Picture, Section, Table
from mnist_lab.terminal.console import ManyDisplay, RunProgress
from mnist_lab.terminal.lab import OK, Lab
from mnist_lab.terminal.wording import counted, format_about
from mnist_lab.training.runs import command_line
from mnist_lab.training.session import evaluate_on, measure_seconds_per_epoch
from mnist_lab.training.trainer import Progress, Trainer

MISTAKES, REMOVED = 20, 50  # digits asked about, and training digits left out for each
QUESTION = "Does a network's answer depend more on the nearest training digits than on others of the same classes?"
NOTHING, NEAREST, RANDOM = "nothing", "the nearest", "random ones"  # what is left out
VARIANTS = (NOTHING, NEAREST, RANDOM)

_HOW = """In the hidden layer, the {mistakes} surest mistakes of the run have {number} training digits among the
{removed} nearest of each. They are left out, and for comparison as many random ones of the same classes, others with
every seed. The place of each is taken by another digit of its class, so that number, classes and order of the digits
stay. A change is the total variation distance, half the sum of how far the ten probabilities move from those of the
same seed with nothing left out: 0 points where they stay, 100 where nothing of them is left."""
_LIMITS = """The digits asked about are test digits that the saved run misses. They only say where to look: nothing is
chosen by them, and no network is kept. Each training is one epoch of the run's network, without augmentation, and not
the run's own. Even where the nearest matter more together, no single digit is shown to have taught an answer; and where
no difference is found, more seeds may find one."""
_CAPTION = """Each mark is a mean over the seeds. If the nearest digits taught these answers, the blue circles lie right
of the squares, which show what any such loss does."""

Places = NDArray[np.int64]  # positions among the training digits
Changes = Mapping[str, NDArray[np.float64]]
"""How far each of M answers moved with each of S seeds, (S, M) from 0 to 1, by what was left out."""


@dataclass(frozen=True)
class Check:
    """What is asked about, and what is left out."""

    config: TrainConfig  # of all trainings, but for the seed
    digits: Digits  # M test digits
    names: Sequence[str]  # of these
    nearest: Places


def check_neighbours(lab: Lab, run: str, seeds: int) -> int:
    """Train with and without the digits nearest to a run's surest mistakes, and leave a folder with what changed.

    Ctrl-C leaves nothing. RequestError if ``seeds`` is not 1 to 100; RunError or CheckpointError if the run can't be
    used.
    """
    check_whole("--seeds", seeds, 1, MOST_SEEDS)
    reader, mnist = load_reader(lab, run), load_mnist()
    with lab.terminal.busy("looking for the training digits nearest to its mistakes"):
        check = prepare(reader, mnist)
    if not len(check.digits):
        lab.terminal.line(f"{reader.name} makes no mistake among the test digits: there is nothing to check")
        return OK
    trainings = [(seed, variant) for seed in range(seeds) for variant in VARIANTS]
    with lab.terminal.busy("timing a few batches"):
        seconds = len(trainings) * measure_seconds_per_epoch(check.config, mnist, reader.compute)
    lab.terminal.show(f"[title]{QUESTION}[/title]")
    lab.terminal.line(f"{counted(len(trainings), 'training run')} to do: {format_about(seconds)}")
    answers, under_way = {}, list[RunProgress]()
    with ManyDisplay(lab.terminal.console, len(trainings), lambda: under_way, seconds) as display:
        for seed, variant in trainings:
            name = f"{variant} left out, seed {seed}"

            def report(progress: Progress, name: str = name) -> None:
                under_way[:] = [RunProgress(name, progress.images_done / progress.images_per_epoch, "")]

            answers[seed, variant] = train_without(reader, check, seed, variant, report)
            under_way.clear()
            display.end(name)
    by_variant = {variant: np.array([answers[seed, variant] for seed in range(seeds)]) for variant in VARIANTS}
    moved = {name: np.abs(by_variant[name] - by_variant[NOTHING]).sum(axis=2) / 2 for name in (NEAREST, RANDOM)}
    tell_study(lab, _study(lab, reader, check, moved))
    return OK


def prepare(reader: Reader, mnist: Mnist) -> Check:
    """Find a run's surest mistakes, and the training digits nearest to them."""
    config = reader.run.config
    usual = default_config(config.model, augmented=False, epochs=1)
    config = replace(usual, batch_norm=config.batch_norm, dropout=config.dropout, hidden=config.hidden)
    missed = evaluate_on(reader.model, mnist.test, reader.compute).mistakes
    digits = mnist.test.subset(torch.from_numpy(missed.positions[:MISTAKES]))
    found = neighbours_of(digits.images[:, 0].numpy(), reader.hidden_space, reader.model, reader.compute, REMOVED)
    indices = [index for one in found for index in one.hidden.indices.tolist()]
    names = [
        f"{index}{doubt_mark(index)}: {true}, read as {read}"
        for index, true, read in zip(digits.indices.tolist(), missed.labels, missed.predictions, strict=False)
    ]
    return Check(config, digits, names, np.flatnonzero(np.isin(mnist.train.indices.numpy(), indices)))


def left_out(train: Digits, nearest: Places, seed: int) -> tuple[dict[str, Places], Places]:
    """Which of the training digits each variant does without, class by class, and what takes the places of as many."""
    order = torch.randperm(len(train), generator=seeded_generator(seed, "left out at random")).numpy()
    groups, others = [], order[~np.isin(order, nearest)]
    for digit in range(CLASSES):
        near, far = (places[train.labels.numpy()[places] == digit] for places in (nearest, others))
        groups.append((near, *np.split(far[: 2 * len(near)], 2)))
    near, random, stand_ins = map(np.concatenate, zip(*groups, strict=True))
    return {NOTHING: near[:0], NEAREST: near, RANDOM: random}, stand_ins


def train_without(
    reader: Reader, check: Check, seed: int, variant: str, report: Callable[[Progress], None]
) -> NDArray[np.float64]:
    """The answers (M, 10), 0 to 1, of a network that was trained with a seed, and with some digits left out."""
    mnist, compute, config = load_mnist(), reader.compute, replace(check.config, seed=seed)
    by_variant, stand_ins = left_out(mnist.train, check.nearest, seed)
    places, gone = np.arange(len(mnist.train)), by_variant[variant]
    places[gone] = stand_ins[: len(gone)]
    model = compute.place(build_model(config.architecture, seed))
    trainer = Trainer(model, mnist.train.subset(torch.from_numpy(places)), mnist.validation, config, compute)
    model.load_state_dict(trainer.fit(on_progress=report).best_weights)
    return ask(model, check.digits, compute).probabilities


def conclude(changes: Changes) -> list[str]:
    """What may be said: the answer, and what it rests on."""
    random, nearest = (dict(enumerate(changes[name].mean(axis=1).tolist())) for name in (RANDOM, NEAREST))
    found = statistics.paired_difference(random, nearest)
    verdict, is_more = statistics.verdict(RANDOM, NEAREST, found), found.mean > 0
    answers = {
        None: verdict.sentence,
        False: "It can't be shown that the nearest training digits matter more than random ones: no difference found.",
        True: f"{'Yes' if is_more else 'No'}: without the nearest training digits, the answers change "
        f"{'more' if is_more else 'less'} than without random ones.",
    }
    return [answers[verdict.is_different], f"The difference, {verdict.facts}"]


def _study(lab: Lab, reader: Reader, check: Check, changes: Changes) -> Study:
    seeds, number = range(len(changes[NEAREST])), len(check.nearest)
    moved = {variant: m.mean(axis=0) for variant, m in changes.items()}  # (M,) each
    figure = changes_figure(check.names, moved, note=doubt_note(check.digits.indices.tolist()))
    alt = f"A dot plot with a row for each of {len(check.names)} test digits, and a mark for each kind of training."
    picture = Picture("Digit by digit", png_of(figure), alt, _CAPTION, "changes")
    rows = [(name, *(f"{100 * mean:.1f}" for mean in (*m.mean(axis=1), m.mean()))) for name, m in changes.items()]
    headings = ("left out", *(f"seed {seed}" for seed in seeds), "mean")
    table = Table("Mean change of an answer, points of 100", headings, rows, range(1, len(headings)))
    how = _HOW.format(mistakes=len(check.names), number=number, removed=REMOVED)
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
            "seeds": list(seeds),
            "test_digits": check.digits.indices.tolist(),
            "nearest": load_mnist().train.indices[check.nearest].tolist(),
            "changes": {name: dict(enumerate(m.tolist())) for name, m in changes.items()},
        },
        tables=[table],
    )


@styled
def changes_figure(names: Sequence[str], moved: Mapping[str, NDArray[np.float64]], *, note: str = "") -> Figure:
    """How far each of M named answers moved, (M,) from 0 to 1, by what was left out."""
    figure = new_figure(figures.WIDTH, 1.9 + 0.24 * len(names), "How far each answer moved", note)
    panel = panel_area(figure)
    axes, places = panel.subplots(), np.arange(len(names))
    for (variant, change), colour, marker in zip(moved.items(), (BLUE, ORANGE), "os", strict=True):
        axes.plot(100 * change, places, marker, color=colour, label=f"without {variant}")
        axes.axvline(100 * change.mean(), color=colour, linewidth=1, linestyle=(0, (4, 3)))
    style_axes(axes, "change of the ten probabilities (points; dashed: mean)", "test digit")
    axes.set_yticks(places, names)
    axes.set_xlim(left=0)
    axes.invert_yaxis()
    panel.legend(loc="outside lower center", ncols=3)
    return figure
