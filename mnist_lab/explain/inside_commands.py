"""The row of the menu that looks inside networks: what becomes of a digit from layer to layer, and the sums behind."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_lab.data.mnist import load_mnist
from mnist_lab.explain import commands as explain
from mnist_lab.explain import inside_figures as figures
from mnist_lab.explain import neighbour_figures
from mnist_lab.explain.commands import BEST, DigitFile, Reader, Subject
from mnist_lab.explain.figures import reading
from mnist_lab.explain.inside import (
    Inside,
    LogitSum,
    Survey,
    first_kernels,
    logit_sum,
    look_inside,
    opened,
    pixel_sum,
    seen_by,
    survey,
)
from mnist_lab.explain.neighbours import Neighbours
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.models import build_model
from mnist_lab.plotting import save_figure
from mnist_lab.report.document import Caption, Picture, Report, Section, Table, read_picture, write_report
from mnist_lab.report.index import Summary, write_summary
from mnist_lab.storage import new_folder
from mnist_lab.terminal.lab import OK, Command, Lab, refuse_given
from mnist_lab.terminal.pixels import beside_bars, shows_pixels
from mnist_lab.terminal.wording import format_probability, plain
from mnist_lab.training.picker import add_run_options, run_named, runs_named
from mnist_lab.training.runs import command_line, told_apart

_SEEDS = 3  # with which the check of the neighbours trains
_STRONGEST = 5  # filters of a block that are named
_MEANINGS = "silent: no answer to this digit; dead: to none of the 6,000 validation digits"
_CAPTIONS = figures.CAPTIONS | {"neighbours": neighbour_figures.CAPTION}


@dataclass(frozen=True)
class _Look:
    """A network that was opened, and what it makes of the digit; everything but the neighbours in float32."""

    name: str
    reader: Reader  # on the CPU, in float32
    probabilities: NDArray[np.float64]  # (10,)
    inside: Inside
    survey: Survey  # of the validation digits
    neighbours: Neighbours

    @property
    def sums(self) -> dict[int, LogitSum]:
        """What the logits of the two most probable digits are made of, the predicted digit's first."""
        digits = np.argsort(-self.probabilities, kind="stable")[:2].tolist()
        return {digit: logit_sum(self.reader.model, self.inside, digit) for digit in digits}

    def table(self, title: str = "") -> Table:
        """The filters of each block, and the hidden units: how many, the strongest, and how many do not answer."""
        names = [*(f"block {block}" for block in range(1, len(self.inside.maps) + 1)), "hidden units"]
        rows = []
        for layer, name in enumerate(names):
            order = self.inside.by_strength(layer)
            silent, dead = (str(np.count_nonzero(one)) for one in (self.inside.silent(layer), self.survey.dead(layer)))
            rows.append((name, str(len(order)), ", ".join(map(str, order[:_STRONGEST])), silent, dead))
        return Table(title, ("layer", "in all", "strongest", "silent", "dead"), rows, numeric=(1, 3, 4))

    def sentences(self, true: int | None) -> list[str]:
        """The answer, what speaks most for it, and the digits nearest to it."""
        (first, found), (second, _) = self.sums.items()
        less = format_probability(self.probabilities[second])
        order = np.argsort(-found.contributions, kind="stable")[:3]
        added = ", ".join(f"unit {unit} ({found.contributions[unit]:+.2f})" for unit in order)
        return [
            f"{self.name}: {reading(self.probabilities, true)}; {second} comes second ({less}).",
            f"Its logit for the {first} is {found.value:.2f}; most is added by the hidden {added}.",
            neighbour_figures.sentence(self.neighbours, true),
        ]

    def draw(self, subject: Subject) -> Iterator[tuple[str, Figure]]:
        """All figures of this network; what stands before the hyphen in a name has a caption."""
        model, inside, title = self.reader.model, self.inside, f"{subject.title}, inside {self.name}"
        blocks = range(len(inside.maps))
        # No border cuts off what the value in the middle sees.
        sees = [seen_by(model, block, *[inside.maps[block].shape[1] // 2] * 2)[2] for block in blocks]
        yield "maps", figures.maps(inside, [*map(self.survey.dead, blocks)], sees, title, subject.note)
        for block in sorted({0, blocks[-1]}):
            filter = int(inside.by_strength(block)[0])
            row, column = divmod(int(inside.maps[block][filter].argmax()), inside.maps[block].shape[2])
            place = f"block {block + 1}, filter {filter}, row {row}, column {column}"
            found, seen = pixel_sum(model, inside, block, filter, row, column), seen_by(model, block, row, column)
            drawn = figures.value_sum(inside.image[0], block, found, seen, f"{title}: {place}", subject.note)
            yield f"sum-{block + 1}", drawn
        yield "logits", figures.logit_sums(self.sums, self.survey, title, subject.note)
        untrained = build_model(self.reader.run.config.architecture, self.reader.run.seed)
        yield "kernels", figures.kernels(first_kernels(model), first_kernels(untrained), self.name)


def _look(name: str, reader: Reader, picture: NDArray[np.uint8]) -> _Look:
    exact = replace(reader, model=opened(reader.model), compute=Compute(torch.device("cpu"), None, "CPU"))
    (probabilities,) = exact.predict([picture])
    found = look_inside(exact.model, picture), survey(exact.model, load_mnist().validation)
    return _Look(name, exact, probabilities, *found, reader.neighbours(picture))


def ask_inside(lab: Lab, runs: Sequence[str] = ()) -> int:
    """Ask which digit to follow, and through which networks unless some are given."""
    digit = explain.ask_digit(lab, runs or (BEST,))
    return inside(lab, digit, runs or explain.ask_networks(lab, "Through which networks (several: side by side)"))


def inside(lab: Lab, digit: int | DigitFile, runs: Sequence[str] = (BEST,)) -> int:
    """Show what some networks make of a digit, layer by layer; leaves figures and a page in a folder of their own."""
    readers = explain.load_readers(lab, runs)
    subject = explain.read_subject(lab, digit, readers)
    names = told_apart([reader.name for reader in readers])
    with lab.terminal.busy("looking inside"):
        looks = [_look(name, reader, subject.picture) for name, reader in zip(names, readers, strict=True)]
    if len(looks) == 1 and shows_pixels(lab.terminal.console):
        bars = looks[0].probabilities.tolist()
        lab.terminal.show(beside_bars(subject.picture, subject.title, bars, f"read by {looks[0].name}"), "")
    for look in looks:
        lab.terminal.show(*map(plain, look.sentences(subject.true)), look.table().on_screen(), "")
    lab.terminal.hint(_MEANINGS)
    if subject.note:
        lab.terminal.show(plain(subject.note))
    with lab.terminal.busy("drawing"), new_folder(lab.outputs, f"inside-{subject.label}", lab.now()) as folder:
        _write(lab, folder, digit, subject, looks)
    lab.terminal.line(str(folder))
    return OK


def _write(lab: Lab, folder: Path, digit: int | DigitFile, subject: Subject, looks: Sequence[_Look]) -> None:
    """Fill the folder: the figures, the page that holds them all, and what the index shows of it."""
    pictures: dict[str, list[Picture]] = {topic: [] for topic in _CAPTIONS}
    captions = {}
    for name, shown, figure in _draw_all(subject, looks):
        save_figure(folder / name, figure)
        topic = name.removesuffix(".png").partition("-")[0]
        captions[name] = replace(_CAPTIONS[topic], title=f"{_CAPTIONS[topic].title}: {shown}")
        picture = read_picture(folder, name, Caption(shown, _CAPTIONS[topic].alt))
        pictures[topic] += [picture] if picture else []
    tables = [look.table(f"{look.name}, {look.reader.run.name}") for look in looks]
    sections = [
        Section(_CAPTIONS[topic].title, [_CAPTIONS[topic].text], tables if topic == "maps" else [], found)
        for topic, found in pictures.items()
    ]
    option = "--index" if isinstance(digit, int) else "--drawing" if digit.is_drawing else "--image"
    runs = [look.reader.run.name for look in looks]
    words = ["inside", option, str(digit if isinstance(digit, int) else digit.path), "--run", *runs]
    told = [look.sentences(subject.true) for look in looks]
    sentences = told[0] if len(looks) == 1 else [answer for answer, *_ in told]
    report = Report(
        title=f"Inside: {subject.title}",
        kind="The inside of a network",
        created=lab.now(),
        question="What becomes of a digit on its way through a network, and which sums are behind it?",
        verdicts=[*sentences, *filter(None, [subject.note])],
        sections=sections,
        repeat=command_line(shlex.join(words), lab.outputs),
    )
    write_report(folder, report)
    write_summary(folder, Summary(sentences=sentences, thumbnail=next(iter(captions)), pictures=captions, runs=runs))


def _draw_all(subject: Subject, looks: Sequence[_Look]) -> Iterator[tuple[str, str, Figure]]:
    """Every figure, with the name of its file, and of the network that it shows."""
    for place, look in enumerate(looks, start=1):
        for name, figure in look.draw(subject):
            yield f"{name}.png" if len(looks) == 1 else f"{name}-{place}.png", look.name, figure
    nearest = explain.draw_neighbours(subject, [look.reader for look in looks], [look.neighbours for look in looks])
    yield "neighbours.png", " · ".join(look.name for look in looks), nearest


def _add_options(parser: ArgumentParser) -> None:
    group = explain.add_digit_options(parser, test_digits=True)
    told = "instead: train again without the training digits nearest to some mistakes: do the answers change?"
    group.add_argument("--check-neighbours", action="store_true", help=told)
    parser.add_argument("--seeds", type=int, help=f"of --check-neighbours (default: {_SEEDS})")
    add_run_options(parser, BEST)


def _from_options(lab: Lab, options: Namespace) -> int:
    if not options.check_neighbours:
        refuse_given(options, ["seeds"], "a digit")
        return inside(lab, options.digit, runs_named(options, BEST))
    run, seeds = run_named(options, BEST), _SEEDS if options.seeds is None else options.seeds
    status: int = lab.load("experiments.neighbour_check").check_neighbours(lab, run, seeds)
    return status


COMMANDS = {"inside": Command(ask_inside, _from_options, _add_options)}
