"""The row of the menu that explains a prediction, and what all rows that ask a trained network share."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_lab.config import CLASSES, check_whole
from mnist_lab.data import doubt_mark, doubt_note
from mnist_lab.data.mnist import SIDE, load_mnist
from mnist_lab.explain import figures, neighbour_figures
from mnist_lab.explain.likeness import Likeness, find_limit, likeness_of
from mnist_lab.explain.neighbour_figures import Neighboured, neighbours_figure
from mnist_lab.explain.neighbours import NEIGHBOURS, Neighbours, Space, neighbours_of, training_features
from mnist_lab.explain.saliency import DEFAULT_METHOD, METHODS, Explanation, Map, attribute, explain
from mnist_lab.networks.commands import compute_for
from mnist_lab.networks.compute import Compute, choose_compute, predict_logits
from mnist_lab.networks.models import DigitNet
from mnist_lab.plotting import save_figure
from mnist_lab.report.index import Summary, write_summary
from mnist_lab.storage import is_file, new_folder
from mnist_lab.terminal.console import Choice
from mnist_lab.terminal.lab import OK, Command, Lab
from mnist_lab.terminal.wording import format_probability, plain
from mnist_lab.training.picker import add_run_options, ask_runs, runs_named
from mnist_lab.training.runs import RunRecord, find_run, list_runs
from mnist_lab.training.session import load_trained

BEST = "best"  # the run whose network is asked unless another is named


@dataclass(frozen=True)
class Reader:
    """A trained network, ready to be asked about pictures (28, 28) uint8, white on black."""

    run: RunRecord
    model: DigitNet
    compute: Compute

    @property
    def name(self) -> str:
        return self.run.title  # the network and its seed

    def predict(self, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
        """The probabilities of the ten digits, (10,), for each picture."""
        images = torch.from_numpy(np.array(pictures, dtype=np.uint8).reshape(-1, 1, SIDE, SIDE))
        return list(predict_logits(self.model, images, self.compute).double().softmax(dim=1).numpy())

    def rejects(self, picture: NDArray[np.uint8], probabilities: NDArray[np.float64]) -> bool:
        """Whether it is probably not a digit: unlike the training digits of its class, or like others too."""
        return bool(self.likeness.rejects(picture[np.newaxis], probabilities[np.newaxis], self.limit)[0])

    def explain(self, picture: NDArray[np.uint8], method: str, target: int | None = None) -> Explanation:
        """A map of which pixels mattered for the target, None for the predicted digit, with all its controls."""
        image = torch.from_numpy(picture.copy()).unsqueeze(0)  # (1, 28, 28)
        return explain(self.model, self.run.config.architecture, image, method, self.compute, target)

    def map(self, picture: NDArray[np.uint8], target: int, method: str = "gradient") -> Map:
        """The map alone, (28, 28); by the gradient, it is quick enough to follow a pen."""
        image = torch.from_numpy(picture.copy()).view(1, 1, *picture.shape)
        map_: Map = attribute(self.model, image, torch.tensor([target]), method, self.compute)[0]
        return map_

    @cached_property
    def hidden_space(self) -> Space:
        """The training digits in the space of the hidden layer; the first use may take 1 to 5 s."""
        return training_features(self.run, self.model, self.compute)

    @cached_property
    def likeness(self) -> Likeness:
        return likeness_of(self.run, self.model, self.compute, self.hidden_space)

    @cached_property
    def limit(self) -> float:
        """The likeness below which a picture is rejected; found in two to four seconds where the folder keeps none."""
        # In the device's own precision, as evaluate finds it: float32 would take longer.
        return find_limit(self.run, replace(self.likeness, compute=choose_compute()))

    def neighbours(self, picture: NDArray[np.uint8], count: int = NEIGHBOURS) -> Neighbours:
        """The training digits nearest to a picture in the space of the hidden layer and in pixel space."""
        return neighbours_of(picture[np.newaxis], self.hidden_space, self.model, self.compute, count)[0]


def load_reader(lab: Lab, name: str) -> Reader:
    """Load the network of a run; ``LabError`` if there is no such run, or its model file can't be used."""
    run, compute = find_run(lab.outputs, name), compute_for(lab)
    with lab.terminal.busy("loading the model"):
        model = load_trained(run, compute)
    return Reader(run, model, compute)


def load_readers(lab: Lab, runs: Sequence[str]) -> list[Reader]:
    """The networks of some runs, each run once; in float32, so that all that shows a single digit says the same."""
    names = dict.fromkeys(str(find_run(lab.outputs, name).folder) for name in runs)
    readers = [load_reader(lab, name) for name in names]
    return [replace(reader, compute=replace(reader.compute, low_precision=None)) for reader in readers]


def ask_networks(lab: Lab, question: str) -> list[str]:
    """Ask which runs' networks to use, where there are several; returns their names."""
    evaluated = [run.name for run in list_runs(lab.outputs)[0] if run.is_evaluated]
    return evaluated if len(evaluated) == 1 else ask_runs(lab, question, BEST)


class DigitFile(NamedTuple):
    """A file that shows one digit: a picture, or drawings, of which the first is meant."""

    path: Path
    is_drawing: bool


class Subject(NamedTuple):
    """A digit to be explained."""

    title: str
    label: str  # for a folder's name
    true: int | None  # None if it is not known which digit it is
    picture: NDArray[np.uint8]  # (28, 28) white on black
    note: str = ""  # for the foot of its figures


def existing_file(answer: str) -> Path:
    """A file as a user names it, maybe in a terminal's quotes or with ~; ``ValueError`` if there is none."""
    name = answer[1:-1] if len(answer) > 1 and answer[0] == answer[-1] and answer[0] in "'\"" else answer
    path = Path(name)
    with suppress(RuntimeError):  # there is no such user, but a file may be called that
        path = path.expanduser()
    if not name or not is_file(path):
        raise ValueError(f"there is no file {answer!r}; give a file's name, or q for the menu")
    return path


def picture_or_drawing(answer: str) -> DigitFile:
    """The file that an answer names: a drawing if it ends in .json or .jsonl, otherwise a picture."""
    path = existing_file(answer)
    return DigitFile(path, holds_drawings(path))


def holds_drawings(path: Path) -> bool:
    """Whether a file's name says that it holds drawings, rather than a picture."""
    return path.suffix.lower() in (".json", ".jsonl")


def folder_label(text: str) -> str:
    """A file's name as part of a folder's: at most 40 letters, digits and hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:40] or "unnamed"


def add_digit_options(parser: ArgumentParser, *, test_digits: bool) -> Any:
    """The options that name the digit, one of which must be given; returns their group."""
    group = parser.add_mutually_exclusive_group(required=True)
    if test_digits:
        group.add_argument("--index", dest="digit", type=int, metavar="N", help="a test digit, 0 to 9,999")
    of_pictures: dict[str, Any] = {"dest": "digit", "type": lambda name: DigitFile(Path(name), is_drawing=False)}
    of_drawings: dict[str, Any] = {"dest": "digit", "type": lambda name: DigitFile(Path(name), is_drawing=True)}
    group.add_argument("--image", **of_pictures, metavar="FILE", help="a picture of one digit")
    group.add_argument("--drawing", **of_drawings, metavar="FILE", help="a drawing (JSON); of several, the first")
    return group


def ask_saliency(lab: Lab, runs: Sequence[str] = (BEST,)) -> int:
    """Ask which digit to explain, and how."""
    digit = ask_digit(lab, runs)
    choices = [Choice(name, method.description) for name, method in METHODS.items()]
    method = lab.terminal.choose("Which method", choices, default=DEFAULT_METHOD)
    return saliency(lab, digit, method, runs=runs)


def ask_digit(lab: Lab, runs: Sequence[str]) -> int | DigitFile:
    """Ask which digit to look into, once it is certain that there is a run."""
    find_run(lab.outputs, runs[0])
    lab.terminal.hint("a test digit's number from 0 to 9,999, or the file name of a picture or a drawing")
    return lab.terminal.ask("Which digit", "0", _digit_or_file)


def _digit_or_file(answer: str) -> int | DigitFile:
    if answer.isdecimal():
        check_whole("the test digit", int(answer), 0, 9_999)
        return int(answer)
    with suppress(ValueError):
        return picture_or_drawing(answer)
    raise ValueError(f"there is no file {answer!r}; give a number from 0 to 9,999, a file's name, or q for the menu")


def saliency(
    lab: Lab, digit: int | DigitFile, method: str, *, runs: Sequence[str] = (BEST,), target: int | None = None
) -> int:
    """Show which pixels mattered for the target, None for the predicted digit, and the controls that test the map.

    Several runs are compared; the controls are those of the first one's map.
    """
    readers = load_readers(lab, runs)
    subject = read_subject(lab, digit, readers)
    with lab.terminal.busy("asking the network, and others with random weights"):
        explanation = readers[0].explain(subject.picture, method, target)
        found = [reader.neighbours(subject.picture) for reader in readers]
        drawn = _draw(subject, readers, explanation) | {"neighbours.png": draw_neighbours(subject, readers, found)}
        predicted = f"{explanation.prediction} ({format_probability(explanation.probabilities.max())})"
        answer = f"{readers[0].name} predicts {predicted}; the map is for the target {explanation.target}."
        with new_folder(lab.outputs, f"saliency-{subject.label}", lab.now()) as folder:
            for name, figure in drawn.items():
                save_figure(folder / name, figure)
            write_summary(folder, Summary(sentences=[answer], thumbnail="saliency.png", pictures=figures.CAPTIONS))
    nearest = neighbour_figures.sentence(found[0], subject.true)
    told = answer, *figures.verdict(explanation), nearest, subject.note
    lab.terminal.show(*map(plain, filter(None, told)))
    lab.terminal.line(str(folder))
    return OK


def read_subject(lab: Lab, digit: int | DigitFile, readers: Sequence[Reader]) -> Subject:
    """A test digit, by its index, or the digit in a file, of several the first; ``LabError`` if there is none."""
    if not isinstance(digit, int):
        subject: Subject  # reading it takes the drawing room
        subject, _ = lab.load("drawing.commands").read_digit(lab, digit, readers)
        return subject
    test = load_mnist().test
    check_whole("--index", digit, 0, len(test) - 1)
    title, picture = f"test digit {digit}{doubt_mark(digit)}", test.images[digit, 0].numpy()
    return Subject(title, f"test-{digit}", int(test.labels[digit]), picture, doubt_note([digit]))


def _draw(subject: Subject, readers: Sequence[Reader], explanation: Explanation) -> dict[str, Figure]:
    picture, target, true, method = subject.picture, explanation.target, subject.true, explanation.method
    title = f"{subject.title}, read by {readers[0].name}"
    maps = {name: readers[0].map(picture, target, name) for name in METHODS}
    drawn = {
        "saliency.png": figures.saliency_panel(explanation, title, true, note=subject.note),
        "methods.png": figures.saliency_by_method(explanation, maps, title, true, subject.note),
    }
    if len(readers) > 1:
        maps = {reader.run.name: reader.map(picture, target, method) for reader in readers}
        answers = {reader.run.name: reader.predict([picture])[0] for reader in readers}
        drawn["runs.png"] = figures.saliency_by_run(explanation, maps, answers, subject.title, true, subject.note)
    return drawn


def draw_neighbours(subject: Subject, readers: Sequence[Reader], found: Sequence[Neighbours]) -> Figure:
    """The training digits nearest to a digit for each of some networks."""
    picture, true = subject.picture, subject.true
    rows = [
        Neighboured(reader.name, figures.reading(reader.predict([picture])[0], true), picture, true, each)
        for reader, each in zip(readers, found, strict=True)
    ]
    return neighbours_figure(rows, f"{subject.title}, and the training digits nearest to it", subject.note)


def _add_options(parser: ArgumentParser) -> None:
    add_digit_options(parser, test_digits=True)
    add_run_options(parser, BEST)
    how, which = f"how the map is made (default: {DEFAULT_METHOD})", "the digit to explain (default: the predicted one)"
    parser.add_argument("--method", choices=METHODS, default=DEFAULT_METHOD, help=how)
    parser.add_argument("--target", type=int, choices=range(CLASSES), help=which)


def _from_options(lab: Lab, options: Namespace) -> int:
    return saliency(lab, options.digit, options.method, runs=runs_named(options, BEST), target=options.target)


COMMANDS = {"saliency": Command(ask_saliency, _from_options, _add_options)}
