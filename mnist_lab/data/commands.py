"""The row of the menu about the data."""

from __future__ import annotations

from mnist_lab.data.figures import CAPTIONS, data_pictures
from mnist_lab.data.mnist import load_mnist
from mnist_lab.plotting import save_figure
from mnist_lab.report.document import Table
from mnist_lab.report.index import Summary, write_summary
from mnist_lab.storage import new_folder
from mnist_lab.terminal.lab import OK, Command, Lab


def data(lab: Lab) -> int:
    """Show the split, and leave pictures of the digits and of each augmentation in a folder."""
    with lab.terminal.busy("reading and checking MNIST"):
        mnist = load_mnist()
    counts = {name: digits.class_counts() for name, digits in vars(mnist).items()}
    rows = [[str(digit), *(f"{split[digit]:,}" for split in counts.values())] for digit in range(10)]
    rows.append(["all", *(f"{sum(split):,}" for split in counts.values())])
    lab.terminal.show(Table("How many of each digit", ["digit", *counts], rows, numeric=range(4)).on_screen())
    with lab.terminal.busy("drawing the pictures"), new_folder(lab.outputs, "data", lab.now()) as folder:
        for name, figure in data_pictures(mnist):
            save_figure(folder / name, figure)
        sizes = ", ".join(f"{sum(split):,} {name}" for name, split in counts.items())
        write_summary(folder, Summary(sentences=[sizes], thumbnail="samples.png", pictures=CAPTIONS))
    lab.terminal.hint("samples, counts, mean digits, and each augmentation (milder in trainings of up to 4 epochs):")
    lab.terminal.line(str(folder))
    return OK


COMMANDS = {"data": Command(data, lambda lab, options: data(lab), computes=False)}
