"""What networks do with few digits, or with labels that mean nothing: they learn them by heart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

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
from mnist_lab.experiments.figures import Curves
from mnist_lab.experiments.measures import Measured, Networks, of_variants
from mnist_lab.networks.compute import predict_hidden
from mnist_lab.plotting import png_of
from mnist_lab.report.document import Picture, Section, Table
from mnist_lab.terminal.wording import counted, mean_and_spread
from mnist_lab.training.paired import LEVEL, format_p
from mnist_lab.training.runs import RunRecord, read_history

NEIGHBOURS = 10  # training digits that are asked about the label of another
_BY_HEART = 0.9  # fraction of the meaningless labels from which on they were memorised
_COLUMNS = ("fit_right", "fit_wrong", "val_accuracy", "fit_loss", "val_loss")


def _curves_of(networks: Networks) -> dict[str, dict[str, NDArray[np.float64]]]:
    curves = {}
    for name, by_seed in networks.runs.items():
        rows = np.array([_history_of(run) for run in by_seed.values()], dtype=np.float64)  # (seeds, epochs, columns)
        curves[name] = {column: rows[..., place] for place, column in enumerate(_COLUMNS)}
    return curves


def _history_of(run: RunRecord) -> list[list[float | None]]:
    history = [[getattr(record, column) for column in _COLUMNS] for record in read_history(run)]
    if history[0][0] is None:
        found = f"the history of {run.name} does not say how well it fits its training digits"
        raise RunError(found, "delete its folder, and repeat the experiment")
    return history


def _percents(values: list[float]) -> str:
    known = [value for value in values if not np.isnan(value)]  # without wrong labels, say, nothing is known of them
    return mean_and_spread(known, decimals=1) if known else "–"


def _plain(values: list[float] | NDArray[np.float64]) -> Any:
    """For JSON, which knows no NaN."""
    return np.where(np.isnan(values), np.array(None), values).tolist()


def _curves_picture(
    curves: Curves, name: str, alt: str, caption: str, rows: figures.Rows, kept: figures.Kept = None
) -> Picture:
    """The curves of all variants side by side, with their numbers."""
    title = "Training and validation, epoch by epoch"
    png = png_of(figures.learning_panels(curves, rows, kept, title=title))
    numbers = {variant: {column: _plain(m[column]) for column in m} for variant, m in curves.items()}
    return Picture(title, png, alt, caption, name, numbers)


def of_overfitting(networks: Networks) -> Measured:
    """Accuracy on the test digits, and how far training and validation lie apart after the last epoch."""
    curves, gaps, rows = _curves_of(networks), dict[str, dict[int, float]](), []
    for name, m in curves.items():
        ends = {column: values[:, -1].tolist() for column, values in m.items()}
        both = zip(networks.runs[name], ends["fit_right"], ends["val_accuracy"], strict=True)
        gaps[name] = {seed: training - validation for seed, training, validation in both}
        losses = [mean_and_spread(ends[column], 1) for column in ("fit_loss", "val_loss")]
        accuracies = map(_percents, (ends["fit_right"], ends["val_accuracy"], [*gaps[name].values()]))
        rows.append((name, str(len(gaps[name])), *losses, *accuracies))
    gap = statistics.conclude(gaps, networks.pairs, {name: (name, "gap") for name in gaps})
    head, *facts = gap.sentences or [""]
    smaller = [one for one in gap.compared if one.verdict.is_different and one.difference.mean < 0]
    if smaller:  # which of these is ahead is not tested
        before = 100 * gap.summaries[smaller[0].before].mean
        head = f"The gap of {before:.1f} points shrinks with {', '.join(one.after for one in smaller)}."
    elif any(one.difference.n > 1 for one in gap.compared):
        head = "No gap is smaller by more than chance."
    headings = ("variant", "seeds", "training loss", "validation loss", "training, %", "validation, %", "gap, points")
    title = "After the last epoch: loss in nats, accuracy, and the gap in accuracy (mean ± standard deviation)"
    text = (
        "Both are measured after every epoch by the same network, in evaluation mode, on the training digits as they "
        "are and on the 6,000 validation digits. What a training shows while it runs is measured with dropout and "
        "augmentation on, and can't be compared with validation. The gap is the training accuracy minus the validation "
        "accuracy after the last epoch. The network that was kept and tested is that of the best epoch on the "
        "validation digits: stopping there closes a part of the gap by itself."
    )
    alt = "Loss and accuracy on training and validation digits, a column per variant. Gaps after the last epoch: "
    alt += "; ".join(f"{row[0]} {row[-1]} points" for row in rows)
    shown = {
        "loss": {"training": "fit_loss", "validation": "val_loss"},
        "accuracy": {"training": "fit_right", "validation": "val_accuracy"},
    }
    picture = _curves_picture(curves, "gap", f"{alt}.", figures.GAP, shown)
    return replace(
        of_variants(networks),
        section=Section("Training against validation", [text], [Table(title, headings, rows, range(1, 7))], [picture]),
        content={"gap": gap.to_dict()},
        sentences=[head, *facts],
        remarks=["Accuracy, which a prediction is about, is that of the kept networks on the test digits."],
    )


def is_doubted(points: Tensor, labels: Tensor) -> Tensor:
    """Whether the nearest others of some digits contradict their labels, (N,) bool.

    ``points`` (N, D) float32 say where each digit lies, ``labels`` (N,) what it is called. A label is doubted where
    another is more common among the ``NEIGHBOURS`` nearest digits; a digit is never its own neighbour.
    """
    distances = torch.cdist(points, points).fill_diagonal_(torch.inf)  # (N, N)
    nearest = distances.topk(NEIGHBOURS, largest=False).indices  # (N, NEIGHBOURS)
    votes = F.one_hot(labels[nearest], CLASSES).sum(dim=1)  # (N, 10)
    return votes.amax(dim=1) > votes.gather(1, labels.unsqueeze(1)).squeeze(1)


def _search(networks: Networks, name: str) -> dict[str, list[float]]:
    """For each seed, the fraction of the wrong labels that is doubted, and of the right ones; NaN if there are none."""
    found: dict[str, list[float]] = {}
    for seed, model in networks.models[name].items():
        config = networks.runs[name][seed].config
        true = stratified_subset(networks.mnist.train, config.train_size)
        given = with_random_labels(true, config.random_labels, config.seed)
        hidden = predict_hidden(model, given.images, networks.compute)
        for space, points in (("hidden layer", hidden), ("pixels", given.images.flatten(1).float())):
            doubted, is_wrong = is_doubted(points, given.labels).float(), given.labels != true.labels
            for part, which in (("of the wrong", is_wrong), ("of the right", ~is_wrong)):
                found.setdefault(f"{space}: {part}", []).append(float(doubted[which].mean()))
    return found


def _half_learned(by_epoch: NDArray[np.float64]) -> dict[int, float]:
    """The epoch by which half of some labels (networks, epochs) are given back, between two by interpolation."""
    found = {}
    for place, row in enumerate(by_epoch):
        if (row >= 0.5).any():
            done = int((row >= 0.5).argmax())  # epochs before the one that reaches it
            part = (0.5 - row[done - 1]) / (row[done] - row[done - 1]) if done else 1.0
            found[place] = float(done + part)
    return found


def _how_late(name: str, right: Mapping[int, float], wrong: Mapping[int, float]) -> list[str]:
    """How much later wrong labels are learned than right ones, where that can be compared."""
    if not right.keys() & wrong.keys():
        return []
    later = statistics.paired_difference(right, wrong)
    tested = "" if later.p_value is None else f", {format_p(later.p_value)}"
    tested += "" if later.p_value is not None and later.p_value < LEVEL else ", so it may be chance"
    early, late = (mean_and_spread([*epochs.values()], 1, 1) for epochs in (right, wrong))
    said = f"{name}: half of the right labels are learned by epoch {early}, half of the wrong ones by epoch {late}"
    return [f"{said} ({counted(later.n, 'seed')}{tested})."]


def of_memorising(networks: Networks) -> Measured:
    """Accuracy on the test digits, when right and wrong labels are learned, and whether neighbours find the wrong."""
    curves, found = _curves_of(networks), {name: _search(networks, name) for name in networks.runs}
    kept = {name: [float(run.best_epoch or 1) for run in m.values()] for name, m in networks.runs.items()}
    head, late, doubts, learned, searched = list[str](), list[str](), list[str](), [], []
    for name, m in curves.items():
        right, wrong = (_half_learned(m[column]) for column in ("fit_right", "fit_wrong"))
        ends = [_percents(m[column][:, -1].tolist()) for column in _COLUMNS[:3]]
        epochs = [mean_and_spread([*by_seed.values()], 1, 1) if by_seed else "–" for by_seed in (right, wrong)]
        learned.append((name, str(len(kept[name])), *ends, *epochs, mean_and_spread(kept[name], 1, 1)))
        parts = [_percents(fractions) for fractions in found[name].values()]
        searched.append((name, *parts))
        late += _how_late(name, right, wrong)
        if not np.isnan(m["fit_wrong"]).any():  # those of the last variant are the most
            how = "memorise" if m["fit_wrong"][:, -1].mean() >= _BY_HEART else "did not, in so few epochs, memorise"
            seeds = counted(len(kept[name]), "seed")
            facts = (
                f"{name}: {ends[1]} % of the wrong labels are given back at the end, and {ends[2]} % of the validation"
            )
            head = [f"Networks {how} labels that mean nothing.", f"{facts} digits classified correctly ({seeds})."]
            words = (
                "{}: neighbours in the hidden layer doubt {} % of the wrong labels and {} % of the right ones; among"
            )
            doubts.append(f"{words} the pixels {{}} % and {{}} %.".format(name, *parts))
    headings = ("variant", "seeds", "right labels", "wrong labels", "validation", "right by", "wrong by", "kept epoch")
    title = (
        "Answered with their label after the last epoch, %; the epoch by which half were; the epoch kept (mean ± sd)"
    )
    doubted = f"Labels that the {NEIGHBOURS} nearest training digits contradict, % (mean ± sd)"
    text = (
        "A random label is drawn from all ten, so one in ten is right by chance, and counts as right. Only training "
        "digits are mislabelled. All lines are measured after each epoch by one network in evaluation mode."
    )
    search = (
        f"A label is doubted where another is more common among the {NEIGHBOURS} nearest other training digits. The "
        "network asked is the one that is kept, that of the lowest validation loss (stars), which may have "
        "learned some of the wrong labels already. Of the wrong all should be doubted, of the right none. Where all "
        "labels are random, neighbours know nothing: they doubt as many of the right ones."
    )
    tables = [
        Table(title, headings, learned, range(1, 8)),
        Table(doubted, ("variant", *next(iter(found.values()))), searched, range(1, 5)),
    ]
    rows = {"accuracy": {"right labels": "fit_right", "wrong labels": "fit_wrong", "validation": "val_accuracy"}}
    alt = "Fractions of right labels, wrong labels and validation digits answered with their label. At the end, in %: "
    alt += "; ".join(f"{row[0]} {', '.join(row[2:5])}" for row in learned)
    picture = _curves_picture(curves, "memorised", f"{alt}.", figures.LEARNED, rows, kept)
    return replace(
        of_variants(networks),
        section=Section("What is learned when", [text, search], tables, [picture]),
        content={"doubted": {name: {part: _plain(m[part]) for part in m} for name, m in found.items()}},
        sentences=[*head, *late, *doubts],
    )
