"""The row of the menu about the data."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from mnist_lab.data.figures import data_pictures
from mnist_lab.data.mnist import Digits, load_mnist
from mnist_lab.plotting import save_figure
from mnist_lab.storage import new_folder
from mnist_lab.terminal.console import borderless
from mnist_lab.terminal.lab import OK, Command, Lab


def data(lab: Lab) -> int:
    """Show the split, and leave pictures of the digits and of each augmentation in a folder."""
    with lab.terminal.busy("reading and checking MNIST"):
        mnist = load_mnist()
    lab.terminal.show(_split_table({"train": mnist.train, "validation": mnist.validation, "test": mnist.test}))
    with lab.terminal.busy("drawing the pictures"), new_folder(lab.outputs, "data", lab.now()) as folder:
        for name, figure in data_pictures(mnist):
            save_figure(folder / name, figure)
    lab.terminal.hint(
        "sample grid, class counts, mean digits, and digits before and after each augmentation (trainings of up to 4 "
        "epochs use a milder one):"
    )
    lab.terminal.line(str(folder))
    return OK


def _split_table(splits: Mapping[str, Digits]) -> Table:
    """How many of each digit every split holds."""
    table = borderless("How many of each digit", right=("digit", *splits))
    for digit, counts in enumerate(zip(*(digits.class_counts() for digits in splits.values()), strict=True)):
        table.add_row(str(digit), *(f"{count:,}" for count in counts))
    table.add_row("all", *(f"{len(digits):,}" for digits in splits.values()))
    return table


COMMANDS = {"data": Command(data, lambda lab, options: data(lab), computes=False)}
