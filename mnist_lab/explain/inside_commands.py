"""The row of the menu that looks inside networks: what becomes of a digit from layer to layer, and the sums behind."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_lab.data.mnist import load_mnist
from mnist_lab.errors import RequestError
from mnist_lab.explain import commands as explain
from mnist_lab.explain import inside as network
from mnist_lab.explain import inside_figures as figures
from mnist_lab.explain import neighbour_figures
from mnist_lab.explain.commands import BEST, DigitFile, Reader, Subject
from mnist_lab.explain.figures import reading
from mnist_lab.explain.inside import Inside, Survey, logit_sum, look_inside, opened, survey
from mnist_lab.explain.neighbours import Neighbours
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
        # No border cuts off what the value in the middle sees.
        sees = [network.seen_by(self.model, block, *[self.inside.maps[block].shape[1] // 2] * 2)[2] for block in blocks]
        return figures.Opened(self.inside, [*map(self.survey.dead, blocks)], sees)

    def layers(self) -> Iterator[dict[str, Any]]:
        """The filters of each block, and the hidden units: how many, and the numbers, from 0, of some."""
        for block in range(len(self.inside.maps)):
            order, silent = self.inside.by_strength(block), self.inside.silent(block)
            yield _layer(f"block {block + 1}", order, silent, self.survey.dead(block))
        order = np.argsort(-self.inside.hidden, kind="stable")
        yield _layer("hidden units", order, self.inside.hidden == 0, self.survey.hidden.max(axis=0) == 0)

    def facts(self) -> dict[str, Any]:
        """What there is to know, ready for JSON."""
        sums = {digit: logit_sum(self.model, self.inside, digit) for digit in self.digits}
        return {
            "run": self.reader.run.name,
            "network": self.name,
            "digit": self.digits[0],
            "probabilities": self.probabilities.tolist(),
            "logits": self.inside.logits.tolist(),
            "layers": [*self.layers()],
            "contributions": {
                str(digit): {str(unit): float(found.contributions[unit]) for unit in found.largest(figures.UNITS)}
                for digit, found in sums.items()
            },
            "neighbours": {
                space: {name: getattr(nearest, name).tolist() for name in ("indices", "labels", "distances")}
                for space, nearest in self.neighbours._asdict().items()
            },
        }

    def sentences(self, true: int | None) -> list[str]:
        """The answer, what speaks most for it, and the digits nearest to it."""
        (first, second), found = self.digits, logit_sum(self.model, self.inside, self.digits[0])
        less = format_probability(self.probabilities[second])
        order = np.argsort(-found.contributions, kind="stable")[:3]
        added = ", ".join(f"{unit} ({found.contributions[unit]:+.2f})" for unit in order)
        return [
            f"{self.name}: {reading(self.probabilities, true)}; {second} comes second ({less}).",
            f"Its logit for the {first} is {found.value:.2f}, to which the hidden units {added} add most.",
            neighbour_figures.sentence(self.neighbours, true),
        ]

    def draw(self, subject: Subject) -> Iterator[tuple[str, Figure]]:
        """All figures of this network; what stands before the hyphen in a name has a caption."""
        inside, title = self.inside, f"{subject.title}, inside {self.name}"
        yield "maps", figures.maps(self.opened, title, subject.note)
        for block in sorted({0, len(inside.maps) - 1}):
            filter = int(inside.by_strength(block)[0])
            row, column = divmod(int(inside.maps[block][filter].argmax()), inside.maps[block].shape[2])
            place = f"block {block + 1}, filter {filter}, row {row}, column {column}"
            found = network.pixel_sum(self.model, inside, block, filter, row, column)
            seen = network.seen_by(self.model, block, row, column)
            drawn = figures.value_sum(inside.image[0], block, found, seen, f"{title}: {place}", subject.note)
            yield f"sum-{block + 1}", drawn
        weighed, images = [], self.survey.digits.images[:, 0].numpy()
        for digit in self.digits:
            total = logit_sum(self.model, inside, digit)
            exciting = [images[self.survey.exciting(unit, figures.PICTURES)] for unit in total.largest(figures.UNITS)]
            weighed.append(figures.Weighed(digit, total, exciting))
        yield "logits", figures.logit_sums(weighed, title, subject.note)
        untrained = build_model(self.reader.run.config.architecture, self.reader.run.seed)
        now, before = map(network.first_kernels, (self.model, untrained))
        yield "kernels", figures.kernels(now, before, self.name)


def _layer(name: str, order: NDArray[np.int64], silent: NDArray[np.bool_], dead: NDArray[np.bool_]) -> dict[str, Any]:
    numbers = {"strongest": order[:_STRONGEST], "silent": np.flatnonzero(silent), "dead": np.flatnonzero(dead)}
    return {"layer": name, "size": len(order)} | {kind: found.tolist() for kind, found in numbers.items()}


def _look(name: str, reader: Reader, picture: NDArray[np.uint8]) -> _Look:
    exact = replace(reader, model=opened(reader.model), compute=Compute(torch.device("cpu"), None, "CPU"))
    (probabilities,) = exact.predict([picture])
    found = look_inside(exact.model, picture), survey(exact.model, load_mnist().validation)
    return _Look(name, exact, probabilities, *found, reader.neighbours(picture))


def ask_inside(lab: Lab, runs: Sequence[str] = ()) -> int:
    """Ask which digit to follow, and through which networks unless some are given."""
    digit = explain.ask_digit(lab, runs or (BEST,))
    return inside(lab, digit, runs or explain.ask_networks(lab, "Through which networks (several: side by side)"))


def inside(lab: Lab, digit: int | DigitFile, runs: Sequence[str] = (BEST,), *, as_json: bool = False) -> int:
    """Show what some networks make of a digit, layer by layer; leaves figures and a page in a folder of their own."""
    subject, readers = explain.read_subject(lab, digit), explain.load_readers(lab, runs)
    names = told_apart([reader.name for reader in readers])
    with lab.terminal.busy("looking inside"):
        looks = [_look(name, reader, subject.picture) for name, reader in zip(names, readers, strict=True)]
    if not as_json:
        _show(lab, subject, looks)
    with lab.terminal.busy("drawing"), new_folder(lab.outputs, f"inside-{subject.label}", lab.now()) as folder:
        _write(lab, folder, digit, subject, looks)
    if as_json:
        for look in looks:
            lab.terminal.record(look.facts() | {"true": subject.true, "folder": str(folder)})
    else:
        lab.terminal.line(str(folder))
    return OK


def _show(lab: Lab, subject: Subject, looks: Sequence[_Look]) -> None:
    if shows_pixels(lab.terminal.console):
        heading = f"read by {looks[0].name}" if len(looks) == 1 else f"mean of {len(looks)} networks"
        mean = np.mean([look.probabilities for look in looks], axis=0).tolist()
        lab.terminal.show(beside_bars(subject.picture, subject.title, mean, heading))
    for look in looks:
        lab.terminal.show(*map(plain, look.sentences(subject.true)), _table(look).on_screen(), "")
    lab.terminal.hint(_MEANINGS)
    if subject.note:
        lab.terminal.show(plain(subject.note))


def _table(look: _Look, title: str = "") -> Table:
    rows = []
    for one in look.layers():
        silent, dead = (f"{len(one[kind])}" for kind in ("silent", "dead"))
        rows.append((one["layer"], f"{one['size']}", ", ".join(map(str, one["strongest"])), silent, dead))
    return Table(title, ("layer", "in all", "strongest", "silent", "dead"), rows, numeric=(1, 3, 4))


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
    tables = {"maps": [_table(look, f"{look.name}, {look.reader.run.name} ({_MEANINGS})") for look in looks]}
    sections = [
        Section(_CAPTIONS[topic].title, [_CAPTIONS[topic].text], tables.get(topic, []), found)
        for topic, found in pictures.items()
        if found
    ]
    option = "--index" if isinstance(digit, int) else "--drawing" if digit.is_drawing else "--image"
    value = str(digit if isinstance(digit, int) else digit.path)
    words = ["inside", option, value, *(word for look in looks for word in ("--run", look.reader.run.name))]
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
    summary = Summary(sentences=sentences, thumbnail=next(iter(captions)), pictures=captions)
    write_summary(folder, replace(summary, runs=[look.reader.run.name for look in looks]))


def _draw_all(subject: Subject, looks: Sequence[_Look]) -> Iterator[tuple[str, str, Figure]]:
    """Every figure, with the name of its file, and of the network that it shows."""
    title, note, together = subject.title, subject.note, "Side by side"
    if len(looks) > 1:
        yield "networks.png", together, figures.networks({look.name: look.opened for look in looks}, title, note)
    for place, look in enumerate(looks, start=1):
        for name, figure in look.draw(subject):
            yield f"{name}.png" if len(looks) == 1 else f"{name}-{place}.png", look.name, figure
    nearest = explain.draw_neighbours(subject, [look.reader for look in looks], [look.neighbours for look in looks])
    yield "neighbours.png", looks[0].name if len(looks) == 1 else together, nearest


def _add_options(parser: ArgumentParser) -> None:
    group = explain.add_digit_options(parser, test_digits=True)
    told = "instead: train again without the training digits nearest to some mistakes: do the answers change?"
    group.add_argument("--check-neighbours", action="store_true", help=told)
    parser.add_argument("--seeds", type=int, help=f"of --check-neighbours (default: {_SEEDS})")
    add_run_options(parser, BEST)
    add_json_option(parser)


def _from_options(lab: Lab, options: Namespace) -> int:
    if not options.check_neighbours:
        refuse_given(options, ["seeds"], "a digit")
        return inside(lab, options.digit, runs_named(options, BEST), as_json=options.json)
    if options.json:
        raise RequestError("--json has no effect with --check-neighbours", "omit it")
    run, seeds = run_named(options, BEST), _SEEDS if options.seeds is None else options.seeds
    status: int = lab.load("experiments.neighbour_check").check_neighbours(lab, run, seeds)
    return status


COMMANDS = {"inside": Command(ask_inside, _from_options, _add_options)}
