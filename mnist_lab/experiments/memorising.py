"""What networks do with few digits, or with labels that mean nothing: they learn them by heart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mnist_lab.config import CLASSES
from mnist_lab.data.loader import with_random_labels
from mnist_lab.data.mnist import stratified_subset
from mnist_lab.errors import RunError
from mnist_lab.experiments import figures, statistics
from mnist_lab.experiments.measures import Measured, Networks, of_variants
from mnist_lab.networks.compute import predict_hidden
from mnist_lab.plotting import png_of
from mnist_lab.report.document import Picture, Section, Table
from mnist_lab.terminal.wording import counted
from mnist_lab.training.runs import EpochRecord, RunRecord, read_history

NEIGHBOURS = 10  # training digits that are asked about the label of another
_LEARNED = 0.5  # fraction of some labels from which on they count as learned
_BY_HEART = 0.9  # fraction of the meaningless labels from which on they were memorised

Histories = Mapping[str, Mapping[int, Sequence[EpochRecord]]]
"""By variant and seed, with the values of the training digits."""


def _histories_of(networks: Networks) -> Histories:
    return {name: {seed: _fit_of(run) for seed, run in m.items()} for name, m in networks.runs.items()}


def _fit_of(run: RunRecord) -> list[EpochRecord]:
    history = read_history(run)
    if any(record.fit_loss is None for record in history):
        found = f"the history of {run.name} does not say how well it fits its training digits"
        raise RunError(found, "delete its folder, and repeat the experiment")
    return history


def _lines(by_seed: Mapping[int, Sequence[EpochRecord]], columns: Mapping[str, str]) -> figures.Lines:
    """Columns of the histories by what they are called, (seeds, epochs) each, without those that have no values."""
    epochs = min(map(len, by_seed.values()))
    table = {
        name: [[getattr(record, column) for record in history[:epochs]] for history in by_seed.values()]
        for name, column in columns.items()
    }
    return {name: np.array(rows, dtype=np.float64) for name, rows in table.items() if rows[0][0] is not None}


def _percents(values: Sequence[float] | NDArray[np.float64]) -> str:
    return statistics.mean_and_sd(values, scale=100) if len(values) else "–"


def of_overfitting(networks: Networks) -> Measured:
    """Accuracy on the test digits, and how far training and validation lie apart after the last epoch."""
    histories = _histories_of(networks)
    last = {name: {seed: history[-1] for seed, history in m.items()} for name, m in histories.items()}
    gaps = {name: {seed: (r.fit_right or 0) - r.val_accuracy for seed, r in m.items()} for name, m in last.items()}
    gap = statistics.conclude(gaps, networks.pairs, {name: (name, "gap") for name in gaps})
    smaller = [one for one in gap.compared if one.verdict.is_different and one.difference.mean < 0]
    head, *facts = gap.sentences or [""]
    if smaller:
        most = min(smaller, key=lambda one: one.difference.mean)
        before, after = (f"{100 * gap.summaries[name].mean:.1f}" for name in (most.before, most.after))
        head = f"The gap closes most with {most.after}: from {before} to {after} points."
    elif any(one.difference.n > 1 for one in gap.compared):
        head = "No gap is smaller by more than chance."
    rows = []
    for name, by_seed in last.items():
        found = list(by_seed.values())
        losses = [statistics.mean_and_sd([getattr(r, which) for r in found], 3) for which in ("fit_loss", "val_loss")]
        training, validation = ([getattr(r, which) for r in found] for which in ("fit_right", "val_accuracy"))
        gap_words = _percents(list(gaps[name].values()))
        rows.append((name, str(len(found)), *losses, _percents(training), _percents(validation), gap_words))
    headings = ("variant", "seeds", "training loss", "validation loss", "training, %", "validation, %", "gap, points")
    title = "After the last epoch: loss in nats, accuracy, and its gap (mean ± standard deviation)"
    tables = [Table(title, headings, rows, range(1, 7)), statistics.comparisons_table(gap.compared)]
    curves: dict[str, dict[str, figures.Lines]] = {
        "loss": {n: _lines(m, {"training": "fit_loss", "validation": "val_loss"}) for n, m in histories.items()},
        "accuracy": {
            n: _lines(m, {"training": "fit_right", "validation": "val_accuracy"}) for n, m in histories.items()
        },
    }
    picture = Picture(
        "The gap",
        png_of(figures.learning_panels(curves, title="Training and validation, epoch by epoch", gap=True)),
        "Loss and accuracy on training and validation digits, a column per variant. Gaps after the last epoch, in "
        "points: " + "; ".join(f"{row[0]} {row[-1]}" for row in rows) + ".",
        figures.GAP,
        "gap",
        {kind: {n: {k: v.tolist() for k, v in lines.items()} for n, lines in m.items()} for kind, m in curves.items()},
    )
    text = (
        "Both are measured after every epoch by the same network, in evaluation mode, on the training digits as they "
        "are and on the 6,000 validation digits. What a training shows while it runs is measured with dropout and "
        "augmentation on, and can't be compared with validation. The gap is the training accuracy minus the validation "
        "accuracy after the last epoch; the network that is kept, and was tested, is that of an earlier one, the best "
        "on the validation digits."
    )
    return replace(
        of_variants(networks),
        section=Section("Training against validation", [text], tables, [picture]),
        content={"gap": gap.to_dict()},
        sentences=[head, *facts],
        remarks=["On the test digits, which the prediction is about, the kept networks are compared."],
    )


def is_doubted(points: Tensor, labels: Tensor, neighbours: int = NEIGHBOURS) -> Tensor:
    """Whether the nearest others of some digits contradict their labels, (N,) bool.

    ``points`` (N, D) float32 say where each digit lies, ``labels`` (N,) what it is called. A label is doubted where
    another is more common among the ``neighbours`` nearest digits; a digit is never its own neighbour.
    """
    distances = torch.cdist(points, points).fill_diagonal_(torch.inf)  # (N, N)
    nearest = distances.topk(min(neighbours, len(points) - 1), largest=False).indices  # (N, neighbours)
    votes = F.one_hot(labels[nearest], CLASSES).sum(dim=1)  # (N, 10)
    return votes.amax(dim=1) > votes.gather(1, labels.unsqueeze(1)).squeeze(1)


def _search(networks: Networks, name: str) -> dict[str, dict[str, list[float]]]:
    """For each seed, the fraction of the wrong labels that are doubted, and of the right ones, by where digits lie."""
    found: dict[str, dict[str, list[float]]] = {space: {"wrong": [], "right": []} for space in ("hidden", "pixels")}
    for seed, model in networks.models[name].items():
        config = networks.runs[name][seed].config
        true = stratified_subset(networks.mnist.train, config.train_size)
        given = with_random_labels(true, config.random_labels, config.seed)
        is_wrong = given.labels != true.labels
        hidden = predict_hidden(model, given.images, networks.compute)
        for space, points in (("hidden", hidden), ("pixels", given.images.flatten(1).float())):
            doubted = is_doubted(points, given.labels).float()
            for part, which in (("wrong", is_wrong), ("right", ~is_wrong)):
                found[space][part] += [float(doubted[which].mean())] if which.any() else []
    return found


def _epochs_to_learn(by_seed: Mapping[int, Sequence[EpochRecord]], column: str) -> dict[int, float]:
    """The first epoch after which half of some labels are given back, by seed, where there is one."""
    reached = {seed: [r.epoch for r in h if (getattr(r, column) or 0) >= _LEARNED] for seed, h in by_seed.items()}
    return {seed: float(epochs[0]) for seed, epochs in reached.items() if epochs}


def _how_late(name: str, right: Mapping[int, float], wrong: Mapping[int, float]) -> str:
    """How much later wrong labels are learned than right ones, in a sentence; empty where nothing can be compared."""
    if not right.keys() & wrong.keys():
        return ""
    later = statistics.paired_difference(right, wrong)
    tested = "no interval" if later.p_value is None else statistics.format_p(later.p_value)
    noise = "" if (later.p_value or 0) < statistics.LEVEL else "; that may be chance"
    ends = (statistics.mean_and_sd(list(epochs.values())) for epochs in (right, wrong))
    words = "{}: half of the right labels are learned by epoch {}, half of the wrong ones by epoch {}"
    return f"{words.format(name, *ends)} ({counted(later.n, 'seed')}, {tested}{noise})."


def of_memorising(networks: Networks) -> Measured:
    """Accuracy on the test digits, when right and wrong labels are learned, and whether neighbours find the wrong."""
    histories, usual = _histories_of(networks), of_variants(networks)
    columns = {"right labels": "fit_right", "wrong labels": "fit_wrong", "validation": "val_accuracy"}
    curves = {name: _lines(by_seed, columns) for name, by_seed in histories.items()}
    kept = {name: [float(run.best_epoch or 1) for run in m.values()] for name, m in networks.runs.items()}
    found = {name: _search(networks, name) for name in networks.runs}
    sentences, late, learned, searched = [], [], [], []
    for name, by_seed in histories.items():
        right, wrong = (_epochs_to_learn(by_seed, column) for column in ("fit_right", "fit_wrong"))
        late += [_how_late(name, right, wrong)]
        ends = [_percents(curves[name][part][:, -1]) if part in curves[name] else "–" for part in columns]
        epochs = [statistics.mean_and_sd(list(epochs.values())) if epochs else "–" for epochs in (right, wrong)]
        learned.append((name, str(len(by_seed)), *ends, *epochs, statistics.mean_and_sd(kept[name])))
        parts = [_percents(found[name][space][part]) for space in found[name] for part in ("wrong", "right")]
        searched.append((name, *parts))
        if "wrong labels" in curves[name]:  # those of the last variant are the most
            most = curves[name]["wrong labels"][:, -1]
            head = "Networks memorise labels that mean nothing."
            if most.mean() < _BY_HEART:
                head = "Labels that mean nothing were not memorised in so few epochs."
            sentences = [
                head,
                f"{name}: after the last epoch {ends[1]} % of the wrongly labelled training digits get their wrong "
                f"label, and {ends[2]} % of the validation digits the right one ({counted(len(most), 'seed')}).",
            ]
            late += [
                "{}: in the hidden layer, neighbours doubt {} % of the wrong labels and {} % of the right ones; among "
                "the pixels, {} % and {} %.".format(name, *parts)
            ]
    tables = [
        Table(
            "Answered with the label they carry, %, after the last epoch, and the epoch by which half were (mean ± "
            "standard deviation)",
            ("variant", "seeds", "right labels", "wrong labels", "validation", "right by", "wrong by", "kept epoch"),
            learned,
            range(1, 8),
        ),
        Table(
            f"Labels that the {NEIGHBOURS} nearest training digits contradict, %, in the hidden layer of the kept "
            "network and in pixels",
            ("variant", "hidden: of the wrong", "of the right", "pixels: of the wrong", "of the right"),
            searched,
            range(1, 5),
        ),
    ]
    text = (
        "A random label is drawn from all ten, so one in ten is right by chance and counts as right. Training digits "
        "only are mislabelled; validation and test digits keep their labels. All lines are measured after each epoch, "
        "by the same network in evaluation mode."
    )
    search = (
        f"A label is doubted where another is more common among the {NEIGHBOURS} nearest other training digits. The "
        "network asked is the one that is kept: that of the epoch with the lowest validation loss (triangles), which "
        "may have learned some of the wrong labels already. Of the wrong, all should be doubted; of the right, none. "
        "With only random labels left, neighbours know nothing, and doubt as many of the right ones."
    )
    title = "What is learned when"
    picture = Picture(
        title,
        png_of(
            figures.learning_panels({"accuracy": curves}, title="Right and wrong labels, epoch by epoch", kept=kept)
        ),
        "Fraction of right labels, wrong labels and validation digits answered correctly, epoch by epoch, a panel per "
        "variant. After the last epoch, in %: " + "; ".join(f"{row[0]} {', '.join(row[2:5])}" for row in learned) + ".",
        figures.LEARNED,
        "memorised",
        {name: {part: runs.tolist() for part, runs in lines.items()} for name, lines in curves.items()},
    )
    return replace(
        usual,
        section=Section(title, [text, search], tables, [picture]),
        content={"doubted": found},
        sentences=[*sentences, *(said for said in late if said)],
    )
