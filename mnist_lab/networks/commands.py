"""The row of the menu about the networks, and where they compute."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence

from rich.table import Table

from mnist_lab.config import ARCHITECTURES, check_model
from mnist_lab.environment import asked_device
from mnist_lab.networks.compute import Compute, choose_compute, devices_here
from mnist_lab.networks.models import LedgerRow, build_model, capacity_ledger
from mnist_lab.terminal.console import Choice, Terminal, borderless
from mnist_lab.terminal.lab import OK, Command, Lab
from mnist_lab.terminal.wording import describe_architecture


def compute_for(lab: Lab) -> Compute:
    """Choose where to compute; what there is to say of the choice is said once.

    Raises:
        RequestError: a device was asked for that is not there, or does not work.
    """
    compute = choose_compute()
    if compute.remark and compute.remark not in lab.remarks:
        lab.remarks.add(compute.remark)
        lab.terminal.warn(compute.remark)
    return compute


def ask_device(terminal: Terminal) -> str | None:
    """Ask where to compute, of what there is; None for the lab's own choice."""
    choices = [Choice("auto", "the first of these that works"), *map(Choice, devices_here())]
    usual = asked_device() or "auto"
    word = terminal.choose("On which device", choices, default=usual)
    return None if word == usual else word


def models(lab: Lab, name: str | None = None) -> int:
    """Show each network as a diagram with its capacity ledger."""
    for model in [name] if name else ARCHITECTURES:
        check_model(model)
        lab.terminal.show(_ledger_table(model, capacity_ledger(build_model(model))), "")
    lab.terminal.hint(
        "output: channels x height x width. sees: the square of input pixels that one output depends on. "
        "The first convolution is unpadded (the border of a digit is black), so 28 becomes 26. Convolutions have no "
        "bias of their own: batch normalisation would take it away again. "
        "Most weights sit between the feature maps and the hidden layer: fewer poolings leave larger maps, so the "
        "shallow network holds the most."
    )
    return OK


def _ledger_table(name: str, rows: Sequence[LedgerRow]) -> Table:
    """A network's capacity ledger."""
    title = f"{name}: {describe_architecture(name)}"
    table = borderless(title, left=("layer",), right=("output", "parameters", "multiply-adds", "sees"))
    table.add_row("[hint]input[/hint]", "1 x 28 x 28", "", "", "1 x 1")
    for row in rows:
        shape = " x ".join(str(size) for size in row.output_shape)
        sees = f"{row.receptive_field} x {row.receptive_field}"
        table.add_row(row.layer, shape, _blank_zero(row.parameters), _blank_zero(row.multiply_adds), sees)
    parameters, multiply_adds = sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows)
    table.add_row("[title]in all[/title]", "", f"{parameters:,}", f"{multiply_adds:,}", "")
    return table


def _blank_zero(count: int) -> str:
    """A count, or nothing where there is none."""
    return f"{count:,}" if count else ""


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--model", help="show this one only")


COMMANDS = {"models": Command(models, lambda lab, options: models(lab, options.model), _add_options, computes=False)}
