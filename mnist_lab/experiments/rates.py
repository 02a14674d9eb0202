"""How the learning rate decides between learning slowly, well, badly, and not at all (Smith 2017, arXiv:1506.01186)."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean

from mnist_lab.config import CLASSES
from mnist_lab.experiments import figures
from mnist_lab.experiments.measures import Measured, Networks, of_variants
from mnist_lab.plotting import png_of
from mnist_lab.report.document import Picture, Section, Table
from mnist_lab.terminal.wording import mean_and_spread
from mnist_lab.training.runs import read_history

LEARNING_RATES = tuple(float(f"{10 ** (-4 + 4 * step / 7):.2g}") for step in range(8))  # 0.0001 to 1, evenly spaced
GUESSING = math.log(CLASSES)  # nats: the loss of a network that finds all digits equally probable
_AS_GOOD = 1.5  # times the loss of the best rate, up to which another counts as right
_LEARNED_NOTHING = 0.9  # times the loss of guessing, from which on a training has learned nothing


def of_rates(networks: Networks) -> Measured:
    """Accuracy on the test digits, and which learning rates are too low, right, too high, or let training diverge.

    Adam bounds every step by the rate, so that no number becomes infinite: a training that ends no better than guessing
    has diverged.
    """
    losses = {
        name: [min(r.val_loss for r in read_history(run)) for run in m.values()] for name, m in networks.runs.items()
    }
    usual, best = of_variants(networks), min(losses, key=lambda name: fmean(losses[name]))
    tried, rows = dict[str, figures.TriedRate](), []
    for name, found in losses.items():
        lost = sum(loss > _LEARNED_NOTHING * GUESSING for loss in found)
        kind = "too low" if float(name) < float(best) else "too high"
        if fmean(found) <= _AS_GOOD * fmean(losses[best]):
            kind = "right"
        elif kind == "too high" and 2 * lost >= len(found):
            kind = "diverged"
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
    headings = ("rate", "seeds", "validation loss", "diverged", "it is")
    table = Table("Loss by learning rate (mean ± standard deviation)", headings, rows, range(1, 4))
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
