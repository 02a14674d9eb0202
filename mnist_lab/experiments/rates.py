"""How the learning rate decides between learning slowly, well, badly, and not at all (Smith 2017, arXiv:1506.01186)."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import dropwhile

import numpy as np

from mnist_lab.config import CLASSES
from mnist_lab.experiments import figures
from mnist_lab.experiments.measures import Measured, Networks, of_variants
from mnist_lab.experiments.statistics import mean_and_sd
from mnist_lab.plotting import png_of
from mnist_lab.report.document import Picture, Section, Table
from mnist_lab.training.runs import read_history

LEARNING_RATES = tuple(float(f"{10 ** (-4 + 4 * step / 7):.2g}") for step in range(8))  # 0.0001 to 1, evenly spaced
GUESSING = math.log(CLASSES)  # nats: the loss of a network that finds all digits equally probable
_AS_GOOD = 1.5  # times the loss of the best rate, up to which another counts as right
_LEARNED_NOTHING = 0.9  # times the loss of guessing, from which on a training has learned nothing


def of_rates(networks: Networks) -> Measured:
    """Accuracy on the test digits, and which learning rates are too low, right, too high, or let training diverge.

    Adam bounds every step by the rate, so that numbers seldom become infinite: a training that ends no better than
    guessing counts as diverged as well.
    """
    usual, by_name = of_variants(networks), {name: [*m.values()] for name, m in networks.runs.items()}
    stopped = {name: [*m.values()] for name, m in networks.diverged.items()}
    rates = {name: runs[0].config.learning_rate for name, runs in [*by_name.items(), *stopped.items()]}
    losses = {name: [min(r.val_loss for r in read_history(run)) for run in runs] for name, runs in by_name.items()}
    means = {name: float(np.mean(values)) for name, values in losses.items()}
    best = min(means, key=lambda name: means[name])
    tried, rows = dict[str, figures.TriedRate](), []
    for name in sorted(rates, key=lambda name: rates[name]):
        found, ended = losses.get(name, []), len(stopped.get(name, []))
        total, lost = len(found) + ended, ended + sum(loss > _LEARNED_NOTHING * GUESSING for loss in found)
        kind = "too low" if rates[name] < rates[best] else "diverged" if 2 * lost >= total else "too high"
        kind = "right" if means.get(name, math.inf) <= _AS_GOOD * means[best] else kind
        tried[name] = figures.TriedRate(rates[name], found, ended, kind)
        mean, times = (mean_and_sd(found, 3), f"{means[name] / means[best]:.1f}") if found else ("–", "–")
        rows.append((name, str(total), mean, times, str(lost), kind))
    kinds = {kind: [name for name in tried if tried[name].kind == kind] for kind in figures.KINDS}
    lasting = [*dropwhile(lambda name: tried[name].kind != "diverged", tried)]
    head = f"The best of {len(tried)} rates is {best}"
    head += f"; from {lasting[0]} on, training diverges." if lasting and lasting == kinds["diverged"] else "."
    each = "; ".join(f"{kind}: {', '.join(names) or 'none'}" for kind, names in kinds.items())
    beside = [one.verdict.sentence for one in usual.conclusion.compared if best in (one.before, one.after)]
    text = (
        f"A rate is right if its mean validation loss is at most {_AS_GOOD} times that of the best, too low below the "
        "best, too high above it. It diverged if at least half of its trainings did: a number became infinite, which "
        f"is a result here and no failure, or the loss ended above {_LEARNED_NOTHING} times that of guessing "
        f"(ln 10 = {GUESSING:.2f}). Where one kind ends and the next begins is a convention; the curve is not. The "
        "best rate is chosen on the validation digits; neighbours are compared on the test digits."
    )
    headings = ("rate", "seeds", "validation loss", "times the best", "diverged", "it is")
    table = Table("Loss by learning rate (mean ± standard deviation)", headings, rows, range(1, 5))
    title = "Loss over the learning rate"
    picture = Picture(
        title,
        png_of(figures.rate_curve(list(tried.values()), GUESSING, title=title)),
        f"Validation loss against the learning rate, in bands: {each}.",
        figures.RATES,
        "rates",
        {name: one._asdict() for name, one in tried.items()},
    )
    return replace(
        usual,
        section=Section(title, [text], [table], [picture]),
        sentences=[head, f"{each[0].upper()}{each[1:]}.", *dict.fromkeys(beside)],
    )
