"""How much is learned of real people's hands, and what that costs: the table of drawing.md.

    python docs/personalise.py RUN DRAWINGS WRITERS

RUN is a folder of ``python main.py train``, DRAWINGS a file of labelled drawings as strokes (JSON lines), WRITERS a
text file that names the writer of each, line for line. For each writer with at least 20 drawings, a copy of the network
learns a random half of them, as ``python main.py personalise`` does, and is asked about the other half and about MNIST.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_lab.data.loader import seeded_generator
from mnist_lab.data.mnist import load_mnist
from mnist_lab.drawing.personalise import HandTrainer, config_for, own_digits, right
from mnist_lab.drawing.strokes import Drawing
from mnist_lab.networks.compute import choose_compute, computing_with
from mnist_lab.terminal.wording import format_interval
from mnist_lab.training.evaluation import wilson_interval
from mnist_lab.training.paired import format_p, mcnemar
from mnist_lab.training.runs import read_run
from mnist_lab.training.session import load_trained

FEWEST = 20  # drawings of a writer


def drawings_of_writers(drawings: Path, writers: Path) -> dict[str, list[Drawing]]:
    """Each writer's drawings, of those with enough of them."""
    found: dict[str, list[Drawing]] = defaultdict(list)
    lines = zip(drawings.read_text("utf-8").splitlines(), writers.read_text("utf-8").splitlines(), strict=True)
    for line, writer in lines:
        found[writer].append(Drawing.from_json(line))
    return {writer: drawn for writer, drawn in found.items() if len(drawn) >= FEWEST}


@computing_with(1)  # as personalise does
def main(run_folder: Path, drawings: Path, writers: Path) -> None:
    """Measure, and print the table."""
    run, compute, mnist = read_run(run_folder), choose_compute(), load_mnist()
    parent, config = load_trained(run, compute), config_for(run.config, seed=0)
    parts = {"MNIST validation": mnist.validation, "MNIST test": mnist.test}
    known = {name: right(parent, digits, compute) for name, digits in parts.items()}
    before: list[NDArray[np.bool_]] = []
    after: list[NDArray[np.bool_]] = []
    changes: dict[str, list[float]] = defaultdict(list)  # percentage points
    for writer, drawn in drawings_of_writers(drawings, writers).items():
        digits = own_digits(drawn)
        order = torch.randperm(len(digits), generator=seeded_generator(0, writer, "halves"))
        learned, asked = digits.subset(order[: len(order) // 2]), digits.subset(order[len(order) // 2 :])
        trainer = HandTrainer(parent, learned, mnist, mnist.validation.subset(torch.arange(100)), config, compute)
        trainer.fit()
        copied = trainer.evaluated_model
        before.append(right(parent, asked, compute))
        after.append(right(copied, asked, compute))
        for name, digits in parts.items():
            changes[name].append(100 * float(right(copied, digits, compute).mean() - known[name].mean()))
        wrong = f"{(~before[-1]).sum()} -> {(~after[-1]).sum()} of {len(asked)} wrong"
        costs = ", ".join(f"{name} {values[-1]:+.2f}" for name, values in changes.items())
        print(f"{writer}: {wrong}; {costs}", file=sys.stderr, flush=True)
    answered = {"before": np.concatenate(before), "after": np.concatenate(after)}
    print("| | wrong | of | fraction | 95 % interval |\n|---|---|---|---|---|")
    for when, found in answered.items():
        errors, total = int((~found).sum()), len(found)
        interval = format_interval(wilson_interval(errors, total))
        print(f"| {when} | {errors} | {total:,} | {100 * errors / total:.2f} % | {interval} |")
    tested = mcnemar(answered["before"], answered["after"])
    print(
        f"\n{len(before)} writers; exact McNemar {format_p(tested.p_value)}: {tested.only_b} won, {tested.only_a} lost."
    )
    for name, values in changes.items():
        spread = f"standard deviation {np.std(values, ddof=1):.3f}, lowest {min(values):+.2f}"
        print(f"{name}: {np.mean(values):+.3f} points, mean over {len(values)} writers ({spread}).")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
