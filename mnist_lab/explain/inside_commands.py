"""The row of the menu that looks inside networks: what becomes of a digit from layer to layer, and the sums behind."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_lab.data.mnist import load_mnist
from mnist_lab.explain import inside_figures as figures
from mnist_lab.explain.commands import (
    BEST,
    DigitFile,
    Reader,
    Subject,
    add_digit_options,
    ask_digit,
    ask_networks,
    load_readers,
    read_subject,
)
from mnist_lab.explain.inside import Inside, Survey, first_kernels, logit_sum, look_inside, opened, pixel_sum, seen_by
from mnist_lab.explain.inside import survey as survey_of
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.models import DigitNet, build_model
from mnist_lab.plotting import save_figure
from mnist_lab.report.document import Caption, Picture, Report, Section, Table, read_picture, write_report
from mnist_lab.report.index import Summary, write_summary
from mnist_lab.storage import new_folder
from mnist_lab.terminal.lab import OK, Command, Lab, add_json_option, refuse_given
from mnist_lab.terminal.pixels import beside_bars, shows_pixels
from mnist_lab.terminal.wording import format_probability, plain
from mnist_lab.training.picker import add_run_options, run_named, runs_named
from mnist_lab.training.runs import command_line, told_apart

_EXACT = Compute(torch.device("cpu"), None, "CPU")  # in float32, as everything that is shown
_SEEDS = 3  # with which the check of the neighbours trains
_STRONGEST = 5  # filters of a block that are named
_MEANINGS = "silent: no answer to this digit; dead: no answer to any of the 6,000 validation digits"


@dataclass(frozen=True)
class _Look:
    """A network that was opened, and what it makes of the digit."""

    name: str
    reader: Reader  # which computes in float32 on the CPU
    inside: Inside
    survey: Survey  # of the validation digits
    probabilities: NDArray[np.float64]  # (10,)

    @property
    def model(self) -> DigitNet:
        return self.reader.model

    @property
    def digits(self) -> tuple[int, int]:
        """The predicted digit, and the one that comes second."""
        first, second, *_ = np.argsort(-self.probabilities, kind="stable").tolist()
        return first, second

    @property
    def opened(self) -> figures.Opened:
        blocks = range(len(self.inside.maps))
        middles = [self.inside.maps[block].shape[1] // 2 for block in blocks]  # which no border cuts off
        sees = [seen_by(self.model, block, middle, middle)[2] for block, middle in zip(blocks, middles, strict=True)]
        return figures.Opened(self.inside, [*map(self.survey.dead, blocks)], sees, self.probabilities)

    def facts(self) -> dict[str, Any]:
        """What there is to know, ready for JSON; filters and hidden units count from 1."""
        inside, surveyed = self.inside, self.survey
        layers = [
            (f"block {block + 1}", inside.by_strength(block), inside.silent(block), surveyed.dead(block))
            for block in range(len(inside.maps))
        ]
        order = np.argsort(-inside.hidden, kind="stable")
        layers.append(("hidden units", order, inside.hidden == 0, surveyed.hidden.max(axis=0) == 0))
        return {
            "run": self.reader.run.name,
            "network": self.name,
            "digit": self.digits[0],
            "second": self.digits[1],
            "probabilities": self.probabilities.tolist(),
            "logits": inside.logits.tolist(),
            "layers": [
                {"layer": name, "size": len(order), "strongest": (order[:_STRONGEST] + 1).tolist()}
                | {"silent": (np.flatnonzero(silent) + 1).tolist(), "dead": (np.flatnonzero(dead) + 1).tolist()}
                for name, order, silent, dead in layers
            ],
            "contributions": {
                str(digit): [
                    {"unit": int(unit) + 1, "contribution": float(found.contributions[unit])}
                    for unit in found.largest(figures.UNITS)
                ]
                for digit in self.digits
                for found in [logit_sum(self.model, inside, digit)]
            },
        }

    def sentences(self) -> list[str]:
        """The answer, and what speaks most for it."""
        (first, second), shares = self.digits, self.probabilities
        found = logit_sum(self.model, self.inside, first)
        order = np.argsort(-found.contributions, kind="stable")
        most = ", ".join(f"{unit + 1} ({found.contributions[unit]:+.3f})" for unit in order[:3])
        least = f"{order[-1] + 1} ({found.contributions[order[-1]]:+.3f})"
        runner_up = f"{second} comes second ({format_probability(shares[second])})"
        answers = f"{self.name} predicts {first} ({format_probability(shares[first])}); {runner_up}."
        speak = f"To the logit of {first}, {found.value:.3f}, the hidden units {most} add most, and {least} least."
        return [answers, speak.replace("-", "−")]

    def draw(self, subject: Subject) -> dict[str, Figure]:
        """All figures of this network, by what they are called; what precedes a hyphen has a caption."""
        inside, title = self.inside, f"{subject.title}, inside {self.name}"
        drawn = {"maps": figures.maps(self.opened, title, subject.note)}
        for block in sorted({0, len(inside.maps) - 1}):
            filter = int(inside.by_strength(block)[0])
            row, column = divmod(int(inside.maps[block][filter].argmax()), inside.maps[block].shape[2])
            found = pixel_sum(self.model, inside, block, filter, row, column)
            example = figures.Example(block, filter, found, seen_by(self.model, block, row, column))
            place = f"block {block + 1}, filter {filter + 1}, row {row + 1}, column {column + 1}"
            drawn[f"sum-{block + 1}"] = figures.value_sum(inside.image[0], example, f"{title}: {place}", subject.note)
        weighed = [self._weighed(digit) for digit in self.digits]
        drawn["logits"] = figures.logit_sums(weighed, title, subject.note)
        untrained = opened(build_model(self.reader.run.config.architecture, self.reader.run.seed))
        drawn["kernels"] = figures.kernels(first_kernels(self.model), first_kernels(untrained), self.name)
        return drawn

    def _weighed(self, digit: int) -> figures.Weighed:
        found, images = logit_sum(self.model, self.inside, digit), self.survey.digits.images[:, 0].numpy()
        exciting = [images[self.survey.exciting(unit, figures.PICTURES)] for unit in found.largest(figures.UNITS)]
        return figures.Weighed(digit, found, exciting)


def _look(name: str, reader: Reader, picture: NDArray[np.uint8]) -> _Look:
    model = opened(reader.model)
    exact = replace(reader, model=model, compute=_EXACT)
    (probabilities,) = exact.predict([picture])  # refused if it is not finite
    return _Look(name, exact, look_inside(model, picture), survey_of(model, load_mnist().validation), probabilities)


def ask_inside(lab: Lab, runs: Sequence[str] = ()) -> int:
    """Ask which digit to follow, and through which networks unless some are given."""
    digit = ask_digit(lab, runs or (BEST,))
    return inside(lab, digit, runs or ask_networks(lab, "Through which networks (several stand side by side)"))


def inside(lab: Lab, digit: int | DigitFile, runs: Sequence[str] = (BEST,), *, as_json: bool = False) -> int:
    """Show what some networks make of a digit, layer by layer; leaves figures and a page in a folder of their own."""
    subject, readers = read_subject(lab, digit), load_readers(lab, runs)
    names = told_apart([reader.name for reader in readers])
    with lab.terminal.busy("looking inside"):
        looks = [_look(name, reader, subject.picture) for name, reader in zip(names, readers, strict=True)]
    if not as_json:
        _show(lab, subject, looks)
    with lab.terminal.busy("drawing"), new_folder(lab.outputs, f"inside-{subject.label}", lab.now()) as folder:
        _write(lab, folder, digit, subject, looks)
    for look in looks if as_json else ():
        lab.terminal.record(look.facts() | {"folder": str(folder)})
    if not as_json:
        lab.terminal.line(str(folder))
    return OK


def _show(lab: Lab, subject: Subject, looks: Sequence[_Look]) -> None:
    if shows_pixels(lab.terminal.console):
        heading = f"read by {looks[0].name}" if len(looks) == 1 else f"mean of {len(looks)} networks"
        mean = np.mean([look.probabilities for look in looks], axis=0).tolist()
        lab.terminal.show(beside_bars(subject.picture, subject.title, mean, heading))
    for look in looks:
        lab.terminal.show(*map(plain, look.sentences()), _table(look, "").on_screen(), "")
    for sentence in (_MEANINGS, subject.note):
        if sentence:
            lab.terminal.hint(sentence)


def _table(look: _Look, title: str) -> Table:
    rows = [
        (
            one["layer"],
            f"{one['size']}",
            ", ".join(map(str, one["strongest"])),
            *(f"{len(one[kind])}" for kind in ("silent", "dead")),
        )
        for one in look.facts()["layers"]
    ]
    return Table(title, ("layer", "filters", "strongest here", "silent here", "dead"), rows, numeric=(1, 3, 4))


def _write(lab: Lab, folder: Path, digit: int | DigitFile, subject: Subject, looks: Sequence[_Look]) -> None:
    """Fill the folder: the figures, the page that holds them all, and what the index shows of it."""
    drawn: dict[str, tuple[str, str, Figure]] = {}  # what it shows, of which network, and the figure, by file name
    if len(looks) > 1:
        side_by_side = {look.name: look.opened for look in looks}
        figure = figures.networks(side_by_side, subject.title, subject.note)
        drawn["networks.png"] = "networks", "The strongest filters of each", figure
    for place, look in enumerate(looks, start=1):
        number = f"{place}-" if len(looks) > 1 else ""
        for name, figure in look.draw(subject).items():
            drawn[f"{number}{name}.png"] = name.partition("-")[0], look.name, figure
    pictures: dict[str, list[Picture]] = {topic: [] for topic in figures.CAPTIONS}
    captions = {}
    for name, (topic, network, figure) in drawn.items():
        save_figure(folder / name, figure)
        caption = figures.CAPTIONS[topic]
        captions[name] = replace(caption, title=f"{caption.title}: {network}")
        if picture := read_picture(folder, name, Caption(network, caption.alt)):
            pictures[topic].append(picture)
    tables = {"maps": [_table(look, f"{look.name}: {_MEANINGS}") for look in looks]}
    sections = [
        Section(figures.CAPTIONS[topic].title, [figures.CAPTIONS[topic].text], tables.get(topic, []), found)
        for topic, found in pictures.items()
        if found
    ]
    option = (
        f"--index {digit}"
        if isinstance(digit, int)
        else f"{'--drawing' if digit.is_drawing else '--image'} {shlex.quote(str(digit.path))}"
    )
    named = [f"--run {shlex.quote(look.reader.run.name)}" for look in looks]
    sentences = [sentence for look in looks for sentence in look.sentences()]
    report = Report(
        title=f"Inside: {subject.title}",
        kind="The inside of a network",
        created=lab.now(),
        question="What becomes of this digit on its way through the network, and which sums are behind it?",
        verdicts=[*sentences, *([subject.note] if subject.note else [])],
        sections=sections,
        repeat=command_line(" ".join(["inside", option, *named]), lab.outputs),
    )
    write_report(folder, report)
    thumbnail = next(iter(drawn))
    runs = [look.reader.run.name for look in looks]
    write_summary(folder, Summary(sentences=sentences, thumbnail=thumbnail, pictures=captions, runs=runs))


def _add_options(parser: ArgumentParser) -> None:
    group = add_digit_options(parser, test_digits=True)
    told = "instead: train again without the nearest training digits of some mistakes, and see whether answers change"
    group.add_argument("--check-neighbours", action="store_true", help=told)
    parser.add_argument("--seeds", type=int, help="with --check-neighbours: how many times to train each (default: 3)")
    add_run_options(parser, BEST)
    add_json_option(parser)
    parser.set_defaults(json=None)  # so that --json can be told from none


def _from_options(lab: Lab, options: Namespace) -> int:
    if options.check_neighbours:
        refuse_given(options, ["json"], "--check-neighbours")
        run, seeds = run_named(options, BEST), _SEEDS if options.seeds is None else options.seeds
        status: int = lab.load("experiments.neighbour_check").check_neighbours(lab, run, seeds)
        return status
    refuse_given(options, ["seeds"], "a digit")
    return inside(lab, options.digit, runs_named(options, BEST), as_json=bool(options.json))


COMMANDS = {"inside": Command(ask_inside, _from_options, _add_options)}
