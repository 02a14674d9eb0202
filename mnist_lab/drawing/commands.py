"""The rows of the menu about drawings and pictures: recognise, take apart, explain and score them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_lab.config import CLASSES
from mnist_lab.drawing.my_digits import MY_DIGITS, keep_drawing
from mnist_lab.errors import LabError, RequestError
from mnist_lab.explain.methods import DEFAULT_METHOD, METHODS, check_method, check_target
from mnist_lab.report.saved import inside
from mnist_lab.storage import is_file, new_folder, write_atomically, write_json, write_text
from mnist_lab.terminal.console import Choice
from mnist_lab.terminal.wording import describe_run, format_interval, format_probability, plain
from mnist_lab.training.commands import OK, Lab, ask_training, load_compute, show_skipped
from mnist_lab.training.runs import JUDGED, Run, find_run, list_runs
from mnist_lab.training.tables import borderless, per_digit_table

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from torch import Tensor

    from mnist_lab.drawing.scoring import Score
    from mnist_lab.drawing.strokes import Drawing, Picture
    from mnist_lab.drawing.window.app import Predictor, Snapshot
    from mnist_lab.networks.compute import Compute
    from mnist_lab.networks.models import DigitNet

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
    compute = load_compute(lab)
    with lab.terminal.busy("loading the model"):
        from mnist_lab.training.session import load_trained

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
    from mnist_lab.data.mnist import load_mnist
    from mnist_lab.training.session import evaluate_on

    return evaluate_on(model, load_mnist().validation, compute).doubt_level


def label_of(text: str) -> str:
    """A file's name as part of a folder's: letters, digits and hyphens, and not too long."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:40] or "unnamed"


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
    from mnist_lab.drawing.images import read_picture
    from mnist_lab.drawing.recognise import recognise
    from mnist_lab.drawing.strokes import to_mnist

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
    from mnist_lab.drawing.strokes import MODES, read_drawings

    if preprocess not in MODES:
        raise RequestError(f"there is no preprocessing {preprocess!r}", f"choose one of {', '.join(MODES)}")
    drawings, damaged = read_drawings(path)
    show_skipped(lab.terminal, damaged)
    reader = load_reader(lab, run)
    with lab.terminal.busy(f"reading {len(drawings):,} drawings"):
        from mnist_lab.drawing.scoring import score_drawings

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
    from mnist_lab.training import figures as plots

    content = {"file": path.name, "run": reader.run.name, "preprocess": preprocess}
    write_json(folder / "score.json", content | result.to_dict())
    title = f"{path.name} read by {reader.name} ({preprocess})"
    evaluation = result.evaluation
    mistakes = evaluation.mistakes
    write_atomically(folder / "confusion_counts.png", plots.confusion_counts(evaluation.confusion, title=title).savefig)
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
    write_atomically(folder / "mistakes.png", worst.savefig)


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
        import torch

        return torch.from_numpy(self.seen.copy()).unsqueeze(0)


def find_subject(lab: Lab, index: int | None, image: Path | None, drawing: Path | None) -> Subject:
    """The digit that was named in one of three ways.

    Raises:
        RequestError: none or several ways, or no such test digit, or no ink.
    """
    if sum(way is not None for way in (index, image, drawing)) != 1:
        raise RequestError("one digit must be named", "give one of --index N, --image FILE, --drawing FILE")
    from mnist_lab.drawing.images import read_picture
    from mnist_lab.drawing.strokes import read_drawings, to_mnist

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
    from mnist_lab.data.mnist import load_mnist

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
    from mnist_lab.drawing.figures import Variant
    from mnist_lab.drawing.figures import xray as draw_xray
    from mnist_lab.drawing.recognise import recognise
    from mnist_lab.drawing.strokes import STEP_NAMES, Steps, prepare, to_mnist
    from mnist_lab.drawing.strokes import Drawing as Strokes

    assert subject.source is not None
    source = subject.source
    names = [name for name in STEP_NAMES if name != "pen" or isinstance(source, Strokes)]
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
    if not isinstance(source, Strokes):
        lab.terminal.hint("of a picture from a file, the paper is made white and the ink black before the first step")
    figure = draw_xray(prepare(source) or [], variants, title=f"{subject.title}, read by {reader.name}")
    with new_folder(lab.outputs, f"xray-{subject.label}", lab.now()) as folder:
        write_atomically(folder / "xray.png", figure.savefig)
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
                write_atomically(folder / name, figure.savefig)
    for sentence in sentences:
        lab.terminal.show(plain(sentence))
    lab.terminal.line(str(folder))
    return OK


def draw_saliency(
    subject: Subject, readers: Sequence[Reader], method: str, target: int | None
) -> tuple[dict[str, Figure], list[str]]:
    """The panel of the first network, all methods side by side, and several networks, by name; and the verdict."""
    import torch

    from mnist_lab.drawing.recognise import answers_to
    from mnist_lab.explain import figures as saliency_plots
    from mnist_lab.explain.saliency import attribute, explain

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


# ----------------------------------------------------------------------------------------------------- draw


def ask_draw(lab: Lab) -> int:
    """The menu's way to the window; without a trained network it offers to train one."""
    judged = [run for run in list_runs(lab.outputs)[0] if run.status in JUDGED]
    if not judged:
        lab.terminal.hint(f"There is no trained network in {lab.outputs} yet, so nobody could read what you draw.")
        if not lab.terminal.ask_yes_no("Train one now (3-layer; you choose how long)", default=True):
            return OK
        ask_training(lab)
    return draw(lab)


def draw(lab: Lab, runs: Sequence[str] = (BEST,)) -> int:
    """Open the window to draw in; the networks of several runs vote side by side."""
    readers = load_readers(lab, runs)
    from mnist_lab.drawing.window.app import open_window

    session = DrawingSession(lab, readers)
    lab.terminal.hint("opening the window; Esc closes it")
    open_window(session.predictors(), save=session.save, keep=session.keep, reject=session.judge)
    for folder in session.saved:
        lab.terminal.line(str(folder))
    return OK


def load_readers(lab: Lab, runs: Sequence[str]) -> list[Reader]:
    """The networks of some runs, each run once."""
    names = dict.fromkeys(str(find_run(lab.outputs, name).folder) for name in runs)
    return [load_reader(lab, name) for name in names]


class DrawingSession:
    """What the window asks for: answers, maps, and places to keep drawings."""

    def __init__(self, lab: Lab, readers: Sequence[Reader]) -> None:
        self.lab = lab
        self.readers = readers
        self.saved: list[Path] = []

    def predictors(self) -> list[Predictor]:
        """One predictor per network."""
        from mnist_lab.drawing.window.app import Predictor

        names = [reader.name for reader in self.readers]
        if len(set(names)) < len(names):  # networks that differ in their recipe or length only
            names = [reader.run.name for reader in self.readers]
        return [
            Predictor(name, partial(probabilities_of, reader), partial(live_map, reader))
            for name, reader in zip(names, self.readers, strict=True)
        ]

    def judge(self, picture: Picture, probabilities: Sequence[NDArray[np.float64]]) -> str | None:
        """A remark if all networks doubt that there is a digit."""
        from mnist_lab.drawing.recognise import Answer

        answers = zip(self.readers, map(Answer, probabilities), strict=True)
        return "probably no digit" if all(answer.is_doubtful(r.doubt_level) for r, answer in answers) else None

    def save(self, snapshot: Snapshot) -> Path:
        """Leave a drawing, what the networks saw of it and what they said in a folder of its own.

        The folder holds ``drawing.json`` (the strokes), ``drawing.png`` (280x280, with the brush that was chosen),
        ``seen.png`` (28x28, as the networks saw it), ``prediction.json`` (every network's answer), and
        ``prediction.png`` (the drawing and which of its pixels mattered to the first network).
        """
        from PIL import Image

        from mnist_lab.drawing.strokes import ink

        digit = int(snapshot.probabilities[0].argmax())
        drawn, line = ink(snapshot.drawing, snapshot.brush), snapshot.drawing.to_json()
        figure = prediction_figure(self.readers[0], snapshot, drawn)
        with new_folder(self.lab.outputs, f"drawing-{digit}", self.lab.now()) as folder:
            write_text(folder / "drawing.json", line + "\n")
            write_atomically(folder / "drawing.png", Image.fromarray(drawn).save)
            write_atomically(folder / "seen.png", Image.fromarray(snapshot.picture).save)
            write_json(folder / "prediction.json", self.prediction_of(snapshot))
            write_atomically(folder / "prediction.png", figure.savefig)
        self.saved.append(folder)
        return folder

    def prediction_of(self, snapshot: Snapshot) -> dict[str, Any]:
        """Every network's answer to a drawing, and how it was drawn, as plain values."""
        answers = [
            {
                "run": reader.run.name,
                "network": reader.name,
                "digit": int(probabilities.argmax()),
                "probabilities": [float(probability) for probability in probabilities],
            }
            for reader, probabilities in zip(self.readers, snapshot.probabilities, strict=True)
        ]
        doubted = self.judge(snapshot.picture, snapshot.probabilities) is not None
        return {
            "answers": answers,
            "probably_no_digit": doubted,
            "brush": snapshot.brush,
            "wobble": asdict(snapshot.wobble),
        }

    def keep(self, drawing: Drawing) -> str:
        """Add a labelled drawing to the user's own digits."""
        return f"kept as a {drawing.label}: {keep_drawing(self.lab.outputs, drawing):,} in {MY_DIGITS}"


def probabilities_of(reader: Reader, pictures: Sequence[Picture]) -> list[NDArray[np.float64]]:
    """One network's ten probabilities for each of several pictures (28, 28)."""
    from mnist_lab.drawing.recognise import answers_to

    return [answer.probabilities for answer in answers_to(reader.model, pictures, reader.compute)]


def prediction_figure(reader: Reader, snapshot: Snapshot, drawn: Picture) -> Figure:
    """The drawing (280, 280), what a network saw and read, which pixels mattered, and the map's controls."""
    import torch

    from mnist_lab.drawing.wobble import Wobble
    from mnist_lab.explain.figures import Drawn, saliency_panel
    from mnist_lab.explain.saliency import explain

    image = torch.from_numpy(snapshot.picture.copy()).unsqueeze(0)  # (1, 28, 28)
    explanation = explain(reader.model, reader.run.model, image, DEFAULT_METHOD, reader.compute)
    remark = f"brush {snapshot.brush:.0f} px{'' if snapshot.wobble == Wobble() else ', then wobbled'}"
    title = f"A drawing, read as {explanation.prediction} by {reader.name}"
    return saliency_panel(explanation, title=title, drawn=Drawn(drawn, remark))


def live_map(reader: Reader, picture: Picture, target: int) -> NDArray[np.float32]:
    """A map (28, 28) that is quick enough to follow a pen."""
    import torch

    from mnist_lab.explain.saliency import attribute

    images = torch.from_numpy(picture.copy()).view(1, 1, *picture.shape)
    map_: NDArray[np.float32] = attribute(reader.model, images, torch.tensor([target]), "gradient", reader.compute)[0]
    return map_
