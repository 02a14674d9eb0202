"""The row of the menu about the networks, and where they compute."""

from __future__ import annotations

from argparse import ArgumentParser

from rich.text import Text

from mnist_lab.config import ARCHITECTURES, check_model
from mnist_lab.environment import asked_device
from mnist_lab.networks.compute import Compute, choose_compute, devices_here
from mnist_lab.networks.models import build_model, model_summary
from mnist_lab.report.document import Table
from mnist_lab.terminal.console import Choice, Terminal
from mnist_lab.terminal.lab import OK, Command, Lab
from mnist_lab.terminal.wording import describe_architecture


def compute_for(lab: Lab) -> Compute:
    """Choose where to compute, as :func:`choose_compute` does; a remark on the choice is shown once."""
    compute = choose_compute()
    if compute.remark and compute.remark not in lab.remarks:
        lab.remarks.add(compute.remark)
        lab.terminal.warn(compute.remark)
    return compute


def ask_device(terminal: Terminal) -> str | None:
    """Ask where to compute, out of what there is; None for the lab's own choice."""
    choices = [Choice("auto", "the first of these that works"), *map(Choice, devices_here())]
    usual = asked_device() or "auto"
    word = terminal.choose("On which device", choices, default=usual)
    return None if word == usual else word


def models(lab: Lab, name: str | None = None) -> int:
    """Show each network, layer by layer, with what every layer costs."""
    for model in [name] if name else ARCHITECTURES:
        check_model(model)
        lab.terminal.show(_summary_table(model).on_screen(), "")
    lab.terminal.hint(
        "output: channels x height x width. sees: the square of input pixels that one output depends on. Convolutions "
        "have no bias, which batch normalisation would cancel; the first is unpadded (the border of a digit is black). "
        "Most weights lie between the feature maps and the hidden layer: fewer poolings leave larger maps."
    )
    return OK


def _summary_table(name: str) -> Table:
    rows: list[list[str | Text]] = [[Text("input", "hint"), "1 x 28 x 28", "", "", "1 x 1"]]
    parameters = multiply_adds = 0
    for layer in model_summary(build_model(name)):
        shape = " x ".join(str(size) for size in layer.output_shape)
        costs = (f"{count:,}" if count else "" for count in (layer.parameters, layer.multiply_adds))
        rows.append([layer.name, shape, *costs, f"{layer.receptive_field} x {layer.receptive_field}"])
        parameters, multiply_adds = parameters + layer.parameters, multiply_adds + layer.multiply_adds
    rows.append([Text("total", "title"), "", f"{parameters:,}", f"{multiply_adds:,}", ""])
    headings = ["layer", "output", "parameters", "multiply-adds", "sees"]
    return Table(f"{name}: {describe_architecture(name)}", headings, rows, numeric=range(1, 5))


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--model", help="show only this one")


COMMANDS = {"models": Command(models, lambda lab, options: models(lab, options.model), _add_options, computes=False)}
