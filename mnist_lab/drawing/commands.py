"""The rows of the menu about drawings and pictures: recognise, take apart, explain and score them."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from mnist_lab.config import CLASSES
from mnist_lab.data.mnist import load_mnist
from mnist_lab.drawing.figures import Variant
from mnist_lab.drawing.figures import xray as draw_xray
from mnist_lab.drawing.images import read_picture
from mnist_lab.drawing.recognise import answers_to, recognise
from mnist_lab.drawing.scoring import Score, score_drawings, show_skipped
from mnist_lab.drawing.strokes import MODES, STEP_NAMES, Drawing, Picture, Steps, prepare, read_drawings, to_mnist
from mnist_lab.errors import LabError, RequestError
from mnist_lab.explain import figures as saliency_plots
from mnist_lab.explain.controls import explain
from mnist_lab.explain.saliency import DEFAULT_METHOD, METHODS, attribute, check_method, check_target
from mnist_lab.networks.commands import compute_for
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.models import DigitNet
from mnist_lab.plotting import save_figure
from mnist_lab.report.saved import inside
from mnist_lab.storage import is_file, new_folder, write_json
from mnist_lab.terminal.console import Choice, borderless
from mnist_lab.terminal.lab import OK, Command, Lab
from mnist_lab.terminal.wording import describe_run, format_interval, format_probability, plain
from mnist_lab.training import figures as plots
from mnist_lab.training.runs import MY_DIGITS, Run, find_run
from mnist_lab.training.session import evaluate_on, load_trained
from mnist_lab.training.tables import per_digit_table

BEST = "best"
"""The run that drawings are read with unless another is named."""


@dataclass(frozen=True)
class Reader:
    """A trained network, ready to read."""

    run: Run
    model: DigitNet
    compute: Compute
    doubt_level: float  # certainty below which a picture is probably no digit

    @property
    def name(self) -> str:
        """The network and its seed, for titles."""
        return describe_run(self.run.model, augmented=self.run.augmented, seed=self.run.seed)


def load_reader(lab: Lab, name: str) -> Reader:
    """Load the network of a run, with torch."""
    run = find_run(lab.outputs, name)
    compute = compute_for(lab)
    with lab.terminal.busy("loading the model"):
        model = load_trained(run, compute)
        saved = saved_doubt_level(run)
        return Reader(run, model, compute, find_doubt_level(model, compute) if saved is None else saved)


def saved_doubt_level(run: Run) -> float | None:
    """The doubt level in a run's run.json, if there is one that a network can have had."""
    value = inside(run.content, "results", "validation", "doubt_level")
    if isinstance(value, float) and 1 / CLASSES <= value <= 1:  # it was the largest of ten probabilities
        return value
    return None


def find_doubt_level(model: DigitNet, compute: Compute) -> float:
    """The doubt level of a network, from its answers to the validation digits."""
    return evaluate_on(model, load_mnist().validation, compute).doubt_level


def label_of(text: str) -> str:
    """A file's name as part of a folder's: letters, digits and hyphens, and not too long."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:40] or "unnamed"


def load_readers(lab: Lab, runs: Sequence[str]) -> list[Reader]:
    """The networks of some runs, each run once."""
    names = dict.fromkeys(str(find_run(lab.outputs, name).folder) for name in runs)
    return [load_reader(lab, name) for name in names]


# -------------------------------------------------------------------------------------------------- predict


def ask_predict(lab: Lab) -> int:
    """The menu's way to recognise a picture."""
    find_run(lab.outputs, BEST)
    return predict(lab, [Path(lab.terminal.ask("Which picture (a file's name)", "", existing))])


def existing(answer: str) -> str:
    """The name of a file that is there."""
    name = as_typed(answer)
    if not name or not is_file(Path(name)):
        raise ValueError(f"there is no file {answer!r}; give a file's name, or q for the menu")
    return name


def as_typed(answer: str) -> str:
    """A file's name without the quotes that a terminal adds when a file is dragged into it, and with ~ as the home."""
    if len(answer) > 1 and answer[0] == answer[-1] and answer[0] in "'\"":
        answer = answer[1:-1]
    if answer.startswith("~"):
        with suppress(RuntimeError):  # nobody of that name: a file may still be called so
            return str(Path(answer).expanduser())
    return answer


def predict(lab: Lab, paths: Sequence[Path], run: str = BEST) -> int:
    """Recognise pictures from files; a picture that can't be read is refused, and the others go on."""
    reader = load_reader(lab, run)
    readable: list[Path] = []
    seen: list[Picture | None] = []
    refused: list[LabError] = []
    for path in paths:
        try:
            seen.append(to_mnist(read_picture(path)))
            readable.append(path)
        except LabError as error:
            refused.append(error)
    table = borderless(
        f"Read by {reader.name}", left=("picture",), right=("digit", "probability", "or", "probability", "")
    )
    for path, answer in zip(readable, recognise(reader.model, seen, reader.compute), strict=True):
        if answer is None:
            table.add_row(plain(path.name), "–", "", "", "", "blank")
            continue
        second = answer.runner_up
        doubt = "[warning]probably no digit[/warning]" if answer.is_doubtful(reader.doubt_level) else ""
        table.add_row(
            plain(path.name),
            f"[best]{answer.digit}[/best]",
            format_probability(answer.probabilities[answer.digit]),
            str(second),
            format_probability(answer.probabilities[second]),
            doubt,
        )
    if readable:
        lab.terminal.show(table)
    for refusal in refused[:-1]:
        lab.terminal.error(str(refusal))
    if refused:
        raise refused[-1]
    return OK


# ---------------------------------------------------------------------------------------------------- score


def ask_score(lab: Lab) -> int:
    """The menu's way to score drawings; the user's own, where there are some, are offered."""
    find_run(lab.outputs, BEST)
    own = lab.outputs / MY_DIGITS
    offered = str(own) if is_file(own) else ""
    return score(lab, Path(lab.terminal.ask("Which file of drawings (JSON lines)", offered, existing)))


def score(lab: Lab, path: Path, run: str = BEST, preprocess: str = "mnist") -> int:
    """Score a file of labelled drawings; leaves numbers and pictures in a folder, the accuracy as the last line."""
    if preprocess not in MODES:
        raise RequestError(f"there is no preprocessing {preprocess!r}", f"choose one of {', '.join(MODES)}")
    drawings, damaged = read_drawings(path)
    show_skipped(lab.terminal, damaged)
    reader = load_reader(lab, run)
    with lab.terminal.busy(f"reading {len(drawings):,} drawings"):
        result = score_drawings(reader.model, drawings, preprocess, reader.compute)
    lab.terminal.show(per_digit_table(result.evaluation, "Drawings"), "")
    if result.blanks:
        lab.terminal.hint(f"{result.blanks:,} drawings show no ink on the canvas and count as missed")
    if result.unlabelled:
        lab.terminal.hint(f"{result.unlabelled:,} drawings have no label and are left out")
    lab.terminal.hint(f"read by {reader.name}; 95 % interval {format_interval(result.interval)}")
    folders_label = f"score-{label_of(path.stem)}"
    with lab.terminal.busy("drawing the pictures"), new_folder(lab.outputs, folders_label, lab.now()) as folder:
        save_score(folder, result, reader, path, preprocess)
    lab.terminal.line(str(folder))
    lab.terminal.line(f"accuracy {100 * result.accuracy:.2f} % ({result.evaluation.correct:,} of {result.total:,})")
    return OK


def save_score(folder: Path, result: Score, reader: Reader, path: Path, preprocess: str) -> None:
    """Fill the folder of a score."""
    content = {"file": path.name, "run": reader.run.name, "preprocess": preprocess}
    write_json(folder / "score.json", content | result.to_dict())
    title = f"{path.name} read by {reader.name} ({preprocess})"
    evaluation = result.evaluation
    mistakes = evaluation.mistakes
    save_figure(folder / "confusion_counts.png", plots.confusion_counts(evaluation.confusion, title=title))
    worst = plots.mistakes(
        result.pictures[mistakes.positions],
        mistakes.labels,
        mistakes.predictions,
        mistakes.probabilities,
        mistakes.true_probabilities,
        result.positions[mistakes.positions] + 1,
        total=len(mistakes),
        judged=evaluation.total,
        title=title,
        noun="drawing",
    )
    save_figure(folder / "mistakes.png", worst)


# ----------------------------------------------------------------------------------------- x-ray, saliency


@dataclass(frozen=True)
class Subject:
    """A digit to look into: where it came from, and what it is."""

    title: str
    label: str  # for the folder's name
    true: int | None
    seen: Picture  # (28, 28) white on black
    source: Drawing | Picture | None  # what it was made from; None for a test digit

    def tensor(self) -> Tensor:
        """(1, 28, 28) uint8."""
        return torch.from_numpy(self.seen.copy()).unsqueeze(0)


def find_subject(lab: Lab, index: int | None, image: Path | None, drawing: Path | None) -> Subject:
    """The digit that was named in one of three ways.

    Raises:
        RequestError: none or several ways, or no such test digit, or no ink.
    """
    if sum(way is not None for way in (index, image, drawing)) != 1:
        raise RequestError("one digit must be named", "give one of --index N, --image FILE, --drawing FILE")
    if index is not None:
        return test_digit(index)
    source: Drawing | Picture
    if image is not None:
        path, source, true = image, read_picture(image), None
    else:
        assert drawing is not None
        usable, damaged = read_drawings(drawing)
        show_skipped(lab.terminal, damaged)
        path, source, true = drawing, usable[0], usable[0].label
    seen = to_mnist(source)
    if seen is None:
        raise RequestError(f"{path} shows no ink", "give a picture or a drawing of a digit")
    return Subject(path.name, label_of(path.stem), true, seen, source)


def test_digit(index: int) -> Subject:
    """An MNIST test digit by its position in the file."""
    test = load_mnist().test
    if not 0 <= index < len(test):
        raise RequestError(f"--index is {index}", f"give a whole number from 0 to {len(test) - 1:,}")
    return Subject(f"test digit {index}", f"test-{index}", int(test.labels[index]), test.images[index, 0].numpy(), None)


def ask_xray(lab: Lab) -> int:
    """The menu's way to the X-ray."""
    find_run(lab.outputs, BEST)
    path = Path(lab.terminal.ask("Which picture or drawing (a file's name)", "", existing))
    image, drawing = as_image_or_drawing(path)
    return xray(lab, image=image, drawing=drawing)


def as_image_or_drawing(path: Path) -> tuple[Path | None, Path | None]:
    """The file as a picture or as a drawing, whichever its name says it is."""
    is_drawing = path.suffix.lower() in (".json", ".jsonl")
    return (None, path) if is_drawing else (path, None)


def xray(lab: Lab, *, image: Path | None, drawing: Path | None, run: str = BEST) -> int:
    """Show each step from ink to 28x28, and what the network answers without it."""
    subject = find_subject(lab, None, image, drawing)
    reader = load_reader(lab, run)
    assert subject.source is not None
    source = subject.source
    names = [name for name in STEP_NAMES if name != "pen" or isinstance(source, Drawing)]
    steps = {"all steps": Steps()} | {f"without {name}": Steps().without(name) for name in names}
    pictures = [to_mnist(source, chosen) for chosen in steps.values()]
    variants = []
    lab.terminal.line(f"{subject.title}, read by {reader.name}")
    table = borderless("", left=("steps",), right=("digit", "probability"))
    for name, picture, answer in zip(steps, pictures, recognise(reader.model, pictures, reader.compute), strict=True):
        assert picture is not None
        assert answer is not None
        variants.append(Variant(name, picture, answer.probabilities))
        table.add_row(name, str(answer.digit), format_probability(answer.probabilities[answer.digit]))
    lab.terminal.show(table)
    if not isinstance(source, Drawing):
        lab.terminal.hint("of a picture from a file, the paper is made white and the ink black before the first step")
    figure = draw_xray(prepare(source) or [], variants, title=f"{subject.title}, read by {reader.name}")
    with new_folder(lab.outputs, f"xray-{subject.label}", lab.now()) as folder:
        save_figure(folder / "xray.png", figure)
    lab.terminal.line(str(folder))
    return OK


def ask_saliency(lab: Lab) -> int:
    """The menu's way to saliency maps."""
    find_run(lab.outputs, BEST)
    lab.terminal.hint("a test digit's number from 0 to 9,999, or the name of a picture or a drawing")
    answer = lab.terminal.ask("Which digit", "0", digit_or_file)
    method = lab.terminal.choose(
        "Which method", [Choice(name, method.description) for name, method in METHODS.items()], default=DEFAULT_METHOD
    )
    if answer.isdecimal():
        return saliency(lab, index=int(answer), method=method)
    image, drawing = as_image_or_drawing(Path(answer))
    return saliency(lab, image=image, drawing=drawing, method=method)


def digit_or_file(answer: str) -> str:
    """A test digit's number, or a file that is there."""
    return answer if answer.isdecimal() and int(answer) < 10_000 else existing(answer)


def saliency(
    lab: Lab,
    *,
    index: int | None = None,
    image: Path | None = None,
    drawing: Path | None = None,
    runs: Sequence[str] = (BEST,),
    method: str = DEFAULT_METHOD,
    target: int | None = None,
) -> int:
    """Show which pixels mattered, with the controls that tell whether the map may be believed."""
    check_method(method)
    if target is not None:
        check_target(target)
    subject = find_subject(lab, index, image, drawing)
    readers = load_readers(lab, runs)
    with lab.terminal.busy("asking the network, and its doubles with random weights"):
        figures, sentences = draw_saliency(subject, readers, method, target)
        with new_folder(lab.outputs, f"saliency-{subject.label}", lab.now()) as folder:
            for name, figure in figures.items():
                save_figure(folder / name, figure)
    for sentence in sentences:
        lab.terminal.show(plain(sentence))
    lab.terminal.line(str(folder))
    return OK


def draw_saliency(
    subject: Subject, readers: Sequence[Reader], method: str, target: int | None
) -> tuple[dict[str, Figure], list[str]]:
    """The panel of the first network, all methods side by side, and several networks, by name; and the verdict."""
    first, image = readers[0], subject.tensor()
    title = f"{subject.title}, read by {first.name}"
    explanation = explain(first.model, first.run.model, image, method, first.compute, target)
    panel = saliency_plots.saliency_panel(explanation, title=title, true=subject.true)
    ask, batch = torch.tensor([explanation.target]), image.unsqueeze(0)
    maps = {name: attribute(first.model, batch, ask, name, first.compute)[0] for name in METHODS}
    methods = saliency_plots.saliency_methods_figure(
        explanation.image,
        maps,
        target=explanation.target,
        probabilities=explanation.probabilities,
        title=title,
        true=subject.true,
    )
    figures = {"saliency.png": panel, "methods.png": methods}
    if len(readers) > 1:
        figures["runs.png"] = saliency_plots.saliency_across_runs(
            explanation.image,
            {r.run.name: attribute(r.model, batch, ask, method, r.compute)[0] for r in readers},
            method=method,
            target=explanation.target,
            probabilities={
                r.run.name: answers_to(r.model, [subject.seen], r.compute)[0].probabilities for r in readers
            },
            title=subject.title,
            true=subject.true,
        )
    reads = f"{first.name} reads {explanation.prediction} ({format_probability(explanation.probabilities.max())})"
    sentences = [f"{reads}; the map is for the target {explanation.target}.", *saliency_plots.verdict(explanation)]
    return figures, sentences


# -------------------------------------------------------------------------------------------------- options


def _add_predict_options(parser: ArgumentParser) -> None:
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="PNG, JPEG or another picture")
    _add_reader_option(parser)


def _add_reader_option(parser: ArgumentParser) -> None:
    parser.add_argument("--run", default=BEST, help="a run's folder, latest, or best (the default)")


def _add_source_options(parser: ArgumentParser) -> None:
    parser.add_argument("--image", type=Path, metavar="FILE", help="a picture of one digit")
    parser.add_argument("--drawing", type=Path, metavar="FILE", help="a drawing (JSON); of several, the first")


def _add_xray_options(parser: ArgumentParser) -> None:
    _add_source_options(parser)
    _add_reader_option(parser)


def _xray_from_options(lab: Lab, options: Namespace) -> int:
    return xray(lab, image=options.image, drawing=options.drawing, run=options.run)


def _add_saliency_options(parser: ArgumentParser) -> None:
    parser.add_argument("--index", type=int, metavar="N", help="a test digit, 0 to 9,999")
    _add_source_options(parser)
    parser.add_argument("--run", action="append", help="a run's folder, latest or best (the default); several compare")
    parser.add_argument("--method", default=DEFAULT_METHOD, help=f"{', '.join(METHODS)} (default: {DEFAULT_METHOD})")
    parser.add_argument("--target", type=int, metavar="D", help="the digit to explain (default: the predicted one)")


def _saliency_from_options(lab: Lab, options: Namespace) -> int:
    return saliency(
        lab,
        index=options.index,
        image=options.image,
        drawing=options.drawing,
        runs=options.run or (BEST,),
        method=options.method,
        target=options.target,
    )


DRAWINGS_HELP = 'one drawing a line: {"label": 3, "strokes": [[[x, y], ...], ...]}, in pixels of a 280x280 canvas'


def _add_score_options(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help=DRAWINGS_HELP)
    _add_reader_option(parser)
    parser.add_argument("--preprocess", default="mnist", help="raw, inverted or mnist (the default)")


COMMANDS = {
    "predict": Command(
        ask_predict, lambda lab, options: predict(lab, options.images, options.run), _add_predict_options
    ),
    "xray": Command(ask_xray, _xray_from_options, _add_xray_options),
    "saliency": Command(ask_saliency, _saliency_from_options, _add_saliency_options),
    "score": Command(
        ask_score, lambda lab, options: score(lab, options.file, options.run, options.preprocess), _add_score_options
    ),
}
