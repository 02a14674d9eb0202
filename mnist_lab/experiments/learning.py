"""What the histories of trainings tell: labels learned by heart, the gap to validation, and the learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_lab.config import CLASSES
from mnist_lab.data.mnist import stratified_subset
from mnist_lab.errors import RunError
from mnist_lab.experiments import figures, statistics
from mnist_lab.experiments.figures import Curves
from mnist_lab.experiments.measures import Measured, Networks, of_variants
from mnist_lab.explain.neighbours import Nearest, neighbours_of, training_features
from mnist_lab.plotting import png_of
from mnist_lab.report.document import Picture, Section, Table
from mnist_lab.terminal.wording import counted, mean_and_spread
from mnist_lab.training.paired import LEVEL, format_p
from mnist_lab.training.runs import read_history

NEIGHBOURS = 10  # training digits that are asked about the label of another
_BY_HEART = 0.9  # fraction of the meaningless labels from which on they were memorised
_COLUMNS = ("fit_right", "fit_wrong", "val_accuracy", "fit_loss", "val_loss")

LEARNING_RATES = tuple(float(f"{10 ** (-4 + 4 * step / 7):.2g}") for step in range(8))  # 0.0001 to 1, evenly spaced
GUESSING = math.log(CLASSES)  # nats: the loss of a network that finds all digits equally probable
_AS_GOOD = 1.5  # times the loss of the best rate, up to which another counts as right
_LEARNED_NOTHING = 0.9  # times the loss of guessing, from which on a training has learned nothing


def _curves_of(networks: Networks) -> Curves:
    curves = {}
    for name, by_seed in networks.runs.items():
        histories = [read_history(run) for run in by_seed.values()]
        for run, history in zip(by_seed.values(), histories, strict=True):
            if history[0].fit_loss is None:
                found = f"the history of {run.name} does not say how well it fits its training digits"
                raise RunError(found, "delete its folder, and repeat the experiment")
        values = [[[getattr(record, column) for record in history] for history in histories] for column in _COLUMNS]
        curves[name] = dict(zip(_COLUMNS, np.array(values, dtype=np.float64), strict=True))
    return curves


def _percents(values: list[float]) -> str:
    known = [value for value in values if not np.isnan(value)]  # without wrong labels, say, nothing is known of them
    return mean_and_spread(known, decimals=1) if known else "–"


def _plain(values: list[float] | NDArray[np.float64]) -> Any:
    """For JSON, which knows no NaN."""
    return np.where(np.isnan(values), np.array(None), values).tolist()


def _curves_picture(
    curves: Curves, name: str, alt: str, caption: str, rows: figures.Rows, kept: figures.Kept = None
) -> Picture:
    title = "Training and validation, epoch by epoch"
    png = png_of(figures.learning_panels(curves, rows, kept, title=title))
    numbers = {variant: {column: _plain(values) for column, values in m.items()} for variant, m in curves.items()}
    return Picture(title, png, alt, caption, name, numbers)


def of_overfitting(networks: Networks) -> Measured:
    """Accuracy on the test digits, and how far training and validation lie apart after the last epoch."""
    curves, gaps, rows = _curves_of(networks), dict[str, dict[int, float]](), []
    for name, m in curves.items():
        ends = {column: values[:, -1] for column, values in m.items()}
        gaps[name] = dict(zip(networks.runs[name], (ends["fit_right"] - ends["val_accuracy"]).tolist(), strict=True))
        losses = [mean_and_spread(ends[column].tolist(), 1) for column in ("fit_loss", "val_loss")]
        accuracies = [_percents(ends[column].tolist()) for column in ("fit_right", "val_accuracy")]
        rows.append((name, str(len(gaps[name])), *losses, *accuracies, _percents([*gaps[name].values()])))
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
        "augmentation on, and can't be compared with validation. The network that was kept and tested is that of the "
        "best epoch on the validation digits: stopping there closes a part of the gap by itself."
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


def is_doubted(label: int, nearest: Nearest) -> bool:
    """Whether another label is more common among a digit's neighbours than its own."""
    votes = np.bincount(nearest.labels, minlength=CLASSES)
    return bool(votes.max() > votes[label])


def _search(networks: Networks, name: str) -> dict[str, list[float]]:
    """For each seed, the fraction of the wrong labels that is doubted, and of the right ones; NaN if there are none."""
    found: dict[str, list[float]] = {}
    for seed, model in networks.models[name].items():
        run = networks.runs[name][seed]
        space = training_features(run, model, networks.compute)
        given, true = space.digits.labels, stratified_subset(networks.mnist.train, run.config.train_size).labels
        pictures = space.digits.images[:, 0].numpy()
        by_space = zip(*neighbours_of(pictures, space, model, networks.compute, NEIGHBOURS), strict=True)
        for where, neighbours in zip(("hidden layer", "pixels"), by_space, strict=True):
            doubted = torch.tensor([*map(is_doubted, given.tolist(), neighbours)]).float()
            for part, which in (("of the wrong", given != true), ("of the right", given == true)):
                found.setdefault(f"{where}: {part}", []).append(float(doubted[which].mean()))
    return found


def _half_learned(by_epoch: NDArray[np.float64]) -> dict[int, float]:
    """The epoch by which half of some labels (networks, epochs) are given back, between two by interpolation."""
    epochs, most = np.arange(by_epoch.shape[1]) + 1, np.maximum.accumulate(by_epoch, axis=1)
    return {place: float(np.interp(0.5, row, epochs)) for place, row in enumerate(most) if row[-1] >= 0.5}


def _how_late(name: str, right: Mapping[int, float], wrong: Mapping[int, float]) -> list[str]:
    """How much later wrong labels are learned than right ones, where that can be compared."""
    if not right.keys() & wrong.keys():
        return []
    later = statistics.paired_difference(right, wrong)
    tested = "" if later.p_value is None else f", {format_p(later.p_value)}"
    tested += ", so it may be chance" * (later.p_value is None or later.p_value >= LEVEL)
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
            head = [
                f"Networks {how} labels that mean nothing.",
                f"{name}: {ends[1]} % of the wrong labels are given back at the end, and {ends[2]} % of the validation "
                f"digits classified correctly ({counted(len(kept[name]), 'seed')}).",
            ]
            doubts.append(
                "{}: neighbours in the hidden layer doubt {} % of the wrong labels and {} % of the right ones; among "
                "the pixels {} % and {} %.".format(name, *parts)
            )
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


def of_rates(networks: Networks) -> Measured:
    """Accuracy on the test digits, and which learning rates are too low, right, too high, or let training diverge.

    Adam bounds every step by the rate, so that no number becomes infinite: a training that ends no better than guessing
    has diverged (Smith 2017, arXiv:1506.01186, on what the loss over the rate tells).
    """
    usual = of_variants(networks)
    losses = {n: [min(r.val_loss for r in read_history(run)) for run in m.values()] for n, m in networks.runs.items()}
    best = min(losses, key=lambda name: fmean(losses[name]))
    tried, rows = dict[str, figures.TriedRate](), []
    for name, found in losses.items():
        lost = sum(loss > _LEARNED_NOTHING * GUESSING for loss in found)
        kind = "too low" if float(name) < float(best) else "diverged" if 2 * lost >= len(found) else "too high"
        if fmean(found) <= _AS_GOOD * fmean(losses[best]):
            kind = "right"
        tried[name] = figures.TriedRate(float(name), found, kind)
        rows.append((name, str(len(found)), mean_and_spread(found, 1), str(lost), kind))
    kinds = {kind: [name for name in tried if tried[name].kind == kind] for kind in figures.KINDS}
    lost_all = kinds["diverged"]
    head = f"The best of {len(tried)} rates is {best}"
    head += f"; from {lost_all[0]} on, training diverges." if lost_all == [*tried][-len(lost_all) :] else "."
    each = "; ".join(f"{kind}: {', '.join(names) or 'none'}" for kind, names in kinds.items())
    beside = [one.verdict.sentence for one in usual.conclusion.compared if best in (one.before, one.after)]
    text = (
        f"A rate is right if its mean validation loss is at most {_AS_GOOD} times that of the best, too low below the "
        "best, too high above it. It diverged if at least half of its trainings ended no better than "
        f"{_LEARNED_NOTHING} times the loss of guessing (ln 10 = {GUESSING:.2f}). Where one kind ends and the next "
        "begins is a convention; the curve is not. The best rate is chosen on the validation digits; neighbours are "
        "compared on the test digits."
    )
    headings, title = ("rate", "seeds", "validation loss", "diverged", "it is"), "Loss over the learning rate"
    table = Table("Loss by learning rate (mean ± standard deviation)", headings, rows, range(1, 4))
    png = png_of(figures.rate_curve(list(tried.values()), GUESSING, title=title))
    alt = f"Validation loss against the learning rate, in bands: {each}."
    picture = Picture(title, png, alt, figures.RATES, "rates", {name: one._asdict() for name, one in tried.items()})
    return replace(
        usual,
        section=Section(title, [text], [table], [picture]),
        sentences=[head, f"{each[0].upper()}{each[1:]}.", *dict.fromkeys(beside)],
    )
