"""Drawings and pictures, read by a really trained network, as commands, from the menu and from the window."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image

import main
from mnist_lab.data.mnist import Mnist, normalise
from mnist_lab.drawing import commands, figures
from mnist_lab.drawing.commands import DrawingSession, draw
from mnist_lab.drawing.figures import Variant, xray
from mnist_lab.drawing.images import PAPER_STEPS, read_picture
from mnist_lab.drawing.preprocess import STEP_NAMES, Picture, Steps, Wobble, from_ink, ink, see, to_mnist
from mnist_lab.drawing.strokes import Drawing, read_drawings
from mnist_lab.drawing.window.answer import Answer, Question
from mnist_lab.errors import StorageError
from mnist_lab.explain.commands import load_readers
from mnist_lab.explain.inside import look_inside
from mnist_lab.networks.compute import Compute, computing_with, predict_logits
from mnist_lab.networks.models import DigitNet, build_model
from tests.drawing.conftest import BLANK, ONE, SEVEN, ZERO, copy_run, write_limit
from tests.explain.conftest import lab_of

ROOT = Path(__file__).parents[2]
FLOAT32 = Compute(torch.device("cpu"), None, "CPU")


def new_folder(outputs: Path, word: str) -> Path:
    (folder,) = [path for path in outputs.iterdir() if word in path.name]
    return folder


def probabilities_by_hand(network: DigitNet, picture: Picture) -> np.ndarray[Any, Any]:
    """The network's answer, asked without any of the lab's inference."""
    device = next(network.parameters()).device
    image = torch.from_numpy(normalise(picture.astype(np.float64) / 255)).float().view(1, 1, 28, 28)
    with torch.inference_mode():
        answer: np.ndarray[Any, Any] = network(image.to(device)).float().softmax(dim=1)[0].cpu().numpy()
    return answer


# --- predict -----------------------------------------------------------------------------------------------------


def test_pictures_are_recognised_and_bad_ones_refused(
    outputs: Path, pictures: list[Path], network: DigitNet, capsys: pytest.CaptureFixture[str], tangle: Image.Image
) -> None:
    folder = pictures[0].parent
    (folder / "text.png").write_text("no picture", encoding="utf-8")
    Image.new("L", (50, 50), 255).save(folder / "blank.png")
    tangle.save(folder / "tangle.png")
    images = [pictures[0], folder / "blank.png", folder / "text.png", pictures[1], folder / "tangle.png"]
    assert main.main(["predict", *map(str, images), "--outputs", str(outputs)]) == 1
    shown = capsys.readouterr()
    rows = {line.split()[0]: line.split(maxsplit=1)[1].strip() for line in shown.out.splitlines() if ".png" in line}
    for path, digit in (*zip(pictures, "72", strict=True), (folder / "tangle.png", "")):
        picture = to_mnist(read_picture(path))
        assert picture is not None
        expected = probabilities_by_hand(network, picture)
        first, second = np.sort(expected)[:-3:-1]
        read, probability, _, runner_up, other = rows[path.name].replace("> ", "").replace("< ", "").split()[:5]
        assert read == digit or not digit
        assert [int(runner_up), int(read)] == np.argsort(expected)[-2:].tolist()
        assert float(probability) == pytest.approx(100 * first, abs=1)  # the lab may compute in 16 bits
        assert float(other) == pytest.approx(100 * second, abs=1)
        assert ("probably not a digit" in rows[path.name]) == (float(probability) < 90)
    assert "probably not a digit" in rows["tangle.png"]
    assert rows["blank.png"].split() == ["–", "blank"]
    (line,) = shown.err.splitlines()
    assert "text.png can't be read as a picture" in line


def test_no_digit_is_cut_off_beside_a_long_name(
    outputs: Path,
    pictures: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tangle: Image.Image,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    path = pictures[0].with_name(f"{'homework-' * 6}tangle.png")
    tangle.save(path)
    assert main.main(["predict", str(path), "--outputs", str(outputs)]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"\d +[\d.]+ % +\d +[\d.]+ % +probably not a digit", shown)
    assert path.name in "".join(line.split()[0] for line in shown.splitlines() if "homework" in line or "png" in line)


def test_a_picture_starts_no_other_program(tmp_path: Path, outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would hand PostScript to Ghostscript."""
    if sys.platform == "win32":
        pytest.skip("the program that would be started is a shell script")
    ghostscript = tmp_path / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\n", encoding="utf-8")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    photo = tmp_path / "photo.png"
    photo.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 90 90\n%%EndComments\nshowpage\n", encoding="utf-8")
    assert main.main(["predict", str(photo), "--outputs", str(outputs)]) == 1
    assert not (tmp_path / "started").exists()


# --- score -------------------------------------------------------------------------------------------------------


def test_a_file_of_drawings_is_scored(outputs: Path, drawings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["score", str(drawings), "--outputs", str(outputs)]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == "accuracy 75.00 % (3 of 4)"
    assert "1 drawings have no label" in shown
    folder = new_folder(outputs, "score-my-drawings")
    assert {path.name for path in folder.glob("*.png")} == {"confusion_counts.png", "mistakes.png"}
    content = json.loads((folder / "score.json").read_text(encoding="utf-8"))
    assert (content["correct"], content["total"], content["blanks"], content["unlabelled"]) == (3, 4, 1, 1)
    assert (content["file"], content["run"], content["preprocess"]) == (drawings.name, "run", "mnist")
    assert content["interval_95"][0] < content["accuracy"] == 0.75 < content["interval_95"][1]
    assert content["with_ink"]["confusion"][7][7] == 1


def test_damaged_lines_are_named_and_the_others_used(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scribbles.jsonl"
    scribble = json.dumps({"label": 3, "strokes": [[[0, 0], [280, 280]] * 1_000]})  # it would take minutes to ink
    path.write_text(f"{scribble}\n" * 7 + SEVEN.to_json(), encoding="utf-8")
    assert main.main(["score", str(path), "--outputs", str(outputs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:40] for line in lines[:5]] == [f"skipped: line {n} of {path}"[:40] for n in range(1, 6)]
    assert "... and 2 more damaged lines" in lines
    assert lines[-1] == "accuracy 100.00 % (1 of 1)"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode there")
def test_odd_names_are_scored(outputs: Path, drawings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = drawings.rename(drawings.with_name("half \udcff $x^{2$ a\nb\x1b[2J.jsonl"))
    assert main.main(["score", str(odd), "--outputs", str(outputs)]) == 0
    assert "\x1b" not in capsys.readouterr().out
    folder = new_folder(outputs, "_score-")
    content = json.loads((folder / "score.json").read_text(encoding="utf-8"))
    assert content["file"] == odd.name.replace("\udcff", "?")


# --- x-ray -------------------------------------------------------------------------------------------------------


def test_the_xray_predicts_without_each_step(
    outputs: Path,
    drawings: Path,
    pictures: list[Path],
    network: DigitNet,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spy = Mock(wraps=xray)
    monkeypatch.setattr(figures, "xray", spy)
    assert main.main(["xray", "--drawing", str(drawings), "--outputs", str(outputs)]) == 0
    shown = capsys.readouterr().out
    stages, variants = spy.call_args.args
    names = ["all steps", *(f"without {name}" for name in ("pen", "invert", "crop", "box", "centre", "normalise"))]
    assert [variant.name for variant in variants] == names
    assert list(stages) == ["raw", "pen", "invert", "crop", "box", "centre", "normalise"]
    assert np.array_equal(stages["raw"], ink(ONE))
    for variant in variants:
        expected = probabilities_by_hand(network, variant.picture)
        assert variant.probabilities == pytest.approx(expected, abs=0.01)
        (row,) = [line.split() for line in shown.splitlines() if line.startswith(f"{variant.name} ")]
        assert row[2] == str(expected.argmax())
    assert np.array_equal(variants[0].picture, stages["normalise"])
    assert (new_folder(outputs, "xray-my-drawings") / "xray.png").stat().st_size > 10_000
    assert main.main(["xray", "--image", str(pictures[0]), "--outputs", str(outputs)]) == 0
    shown = capsys.readouterr().out
    assert all(f"without {name} " in shown for name in (*PAPER_STEPS, *STEP_NAMES))
    assert list(spy.call_args.args[0]) == ["photo", *PAPER_STEPS, *STEP_NAMES]
    paper = ink(ONE, 12)
    paper[20:26, 20:26] = 0  # of the paper, and shown to no network
    Image.fromarray(paper).save(outputs / "speck.png")
    assert main.main(["xray", "--image", str(outputs / "speck.png"), "--outputs", str(outputs)]) == 0
    whole, *without = (variant.picture for variant in spy.call_args.args[1][: 1 + len(PAPER_STEPS)])
    assert [np.abs(picture.astype(int) - whole).mean() < 5 for picture in without] == [True] * len(PAPER_STEPS)
    path = outputs / "speck.jsonl"
    path.write_text(Drawing((*ONE.strokes, ((5.0, 5.0), (7.0, 5.0)))).to_json(), encoding="utf-8")
    for words in (["xray", "--drawing", str(path)], ["predict", str(path), "--json"]):  # both leave the speck out
        assert main.main([*words, "--outputs", str(outputs)]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert spy.call_args.args[1][0].probabilities == pytest.approx(said["probabilities"], abs=1e-6)


def test_the_figure_of_the_xray_shows_pictures_as_they_are() -> None:
    stages = from_ink(ink(SEVEN), Steps())
    picture = to_mnist(SEVEN)
    assert stages is not None
    assert picture is not None
    pale = to_mnist(SEVEN, Steps().without("normalise"))
    assert pale is not None
    variants = [Variant("all steps", picture, np.eye(10)[7]), Variant("without normalise", pale, np.eye(10)[7])]
    figure = xray(stages, variants, title="Seven")
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == len(stages) + 2
    for axes, expected in zip(shown, [*stages.values(), picture, pale], strict=True):
        image = axes.images[0]
        assert np.array_equal(np.asarray(image.get_array()), expected)
        assert image.get_clim() == (0, 255)  # black is black in every step
        assert abs(np.ptp(axes.get_xlim())) == abs(np.ptp(axes.get_ylim()))  # a square pixel stays square
    texts = [text.get_text() for text in figure.findobj(Text)]
    assert "values −0.42 to 2.82" in texts
    assert "280 x 280 pixels" in texts
    assert texts.count("predicts 7, 100.0 %") == 2


# --- all of them -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["xray"], "one of the arguments --image --drawing is required"),
        (["xray", "--image", "nowhere.png", "--drawing", "nowhere.jsonl"], "not allowed with"),
        (["xray", "--image", "nowhere.png"], "there is no file nowhere.png"),
        (["xray", "--image", "BLANK"], "shows no ink"),
        (["score", "nowhere.jsonl"], "there is no file nowhere.jsonl"),
        (["score", "nowhere.jsonl", "--preprocess", "magic"], "there is no --preprocess 'magic'; choose one of"),
        (["score", "UNLABELLED"], "there is no labelled drawing with ink"),
        (["predict", "nowhere.png"], "there is no file nowhere.png"),
        (["predict", "run"], "only runs are named (run)"),
        (["predict", "gone.png", "99"], "no run has the number 99"),
        (["predict", "nowhere.png", "--run", "nothing"], "there is no run 'nothing'"),
        (["predict", "nowhere.png", "--run", "gone"], "is missing"),
        *((words, "there is no file") for words in (["xray", "--image", "x.png"], ["score", "half \udcff"])),
        *(([*words, "a\0b"], "a\\x00b") for words in (["predict"], ["xray", "--drawing"], ["score"])),
    ],
    ids=str,
)
def test_refusals_take_one_line(
    outputs: Path, tmp_path: Path, arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("L", (50, 50), 255).save(tmp_path / "blank.png")
    (tmp_path / "unlabelled.jsonl").write_text(f"{BLANK.to_json()}\n", encoding="utf-8")
    (copy_run(outputs, "gone") / "model.pt").unlink()
    files = {"BLANK": str(tmp_path / "blank.png"), "UNLABELLED": str(tmp_path / "unlabelled.jsonl")}
    before = set(outputs.iterdir())
    assert main.main([*(files.get(word, word) for word in arguments), "--outputs", str(outputs)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line or expected.replace("\\x00", "?") in line
    assert set(outputs.iterdir()) == before


def test_the_same_from_the_menu(outputs: Path, pictures: list[Path], drawings: Path) -> None:
    drawings.rename(outputs / "my_digits.jsonl")  # the user's own, which are offered
    answers = [
        *("predict", "nowhere", "a\0b", "~nosuchuser/x", str(pictures[0])),
        *("score", ""),
        *("xray", f"'{outputs / 'my_digits.jsonl'}'"),
        "q",
    ]
    lab, shown = lab_of(outputs, *answers)
    assert main.run_menu(lab) == 0
    text = " ".join(shown.getvalue().split())
    assert text.count("there is no file") == 3
    assert "accuracy 75.00 % (3 of 4)" in text
    assert "without pen" in text


@contextmanager
def full_disk(free: int) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("words", [["score"], ["xray", "--drawing"]], ids=lambda words: words[0])
def test_a_full_disk_leaves_no_empty_folder(
    outputs: Path, drawings: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with full_disk(100):
        assert main.main([*words, str(drawings), "--outputs", str(outputs)]) == 1
    assert "can't write" in capsys.readouterr().err
    assert [path.name for path in outputs.iterdir()] == ["run"]


# --- the window --------------------------------------------------------------------------------------------------


def session_for(outputs: Path, *runs: str) -> DrawingSession:
    lab, _ = lab_of(outputs)
    return DrawingSession(lab, load_readers(lab, runs or ("best",)))


def test_the_window_looks_into_the_trained_network_and_the_untrained_one_of_its_seed(
    outputs: Path, network: DigitNet, mnist: Mnist
) -> None:
    session = session_for(outputs, "run")
    (predictor,) = session.predictors()
    inner, record = predictor, session.readers[0].run
    fresh = build_model(record.config.architecture, record.seed)
    for model, expected in ((inner.trained, network), (inner.untrained, fresh)):
        for one, other in zip(model.parameters(), expected.parameters(), strict=True):
            assert torch.equal(one, other.detach().float().cpu())
    picture = mnist.train.images[3, 0].numpy()
    answer = look_inside(inner.trained, picture)
    assert np.allclose(answer.logits, predict_logits(network.float(), mnist.train.images[3:4], FLOAT32)[0], atol=1e-4)
    *under_way, found = inner.survey(inner.untrained)
    assert under_way == [None] * 24  # steps, between which the window does what else there is to do
    assert found is not None
    assert found.hidden.shape == (6000, record.config.architecture.hidden)
    assert torch.equal(found.digits.images, mnist.validation.images)
    nearest = inner.neighbours(picture)
    assert not (nearest.hidden.images == picture).all(axis=(1, 2)).any()
    assert len(nearest.hidden.labels) == len(nearest.pixels.labels) == 8


def test_a_drawing_saved_from_the_window_leaves_all_there_is_to_it(outputs: Path, network: DigitNet) -> None:
    copy_run(outputs, "twin")
    session = session_for(outputs, "run", "twin", "run", str(outputs / "twin"))
    first, second = session.predictors()
    assert {first.name, second.name} == {"run", "twin"}  # networks of one name are called by their folders
    wobble = Wobble(right=1.5, turn=5)
    picture = see(SEVEN, wobble)
    assert picture is not None
    ((probabilities,), (again,)) = first.predict([picture]), second.predict([picture])
    assert probabilities == pytest.approx(probabilities_by_hand(network, picture), abs=0.01)
    assert first.explain(picture, 7).shape == (28, 28)
    rejection = session.reject(picture, [probabilities, again])
    folder = session.save(Answer(Question(SEVEN, 31.0, wobble), picture, (probabilities, again), rejection))
    assert session.saved == [folder]
    digit = int(probabilities.argmax())
    assert folder.name.endswith(f"_drawing-{digit}")
    names = {"drawing.json", "drawing.png", "seen.png", "prediction.json", "prediction.png"}
    assert {path.name for path in folder.iterdir()} >= names
    assert Drawing.from_json((folder / "drawing.json").read_text(encoding="utf-8")) == SEVEN
    with Image.open(folder / "drawing.png") as image:
        drawn = np.asarray(image)
    assert drawn.shape == (280, 280)
    assert (drawn[[36, 50, 64], 140] == 0).all()  # the bar of the seven, as thick as the brush
    assert (drawn[[33, 67], 140] == 255).all()
    with Image.open(folder / "seen.png") as image:
        assert np.array_equal(np.asarray(image), picture)
    content = json.loads((folder / "prediction.json").read_text(encoding="utf-8"))
    assert [answer["run"] for answer in content["answers"]] == [reader.run.name for reader in session.readers]
    assert [answer["digit"] for answer in content["answers"]] == [digit, digit]
    assert content["answers"][0]["probabilities"] == pytest.approx(probabilities.tolist())
    assert content["brush"] == 31
    assert content["wobble"] == {"right": 1.5, "down": 0, "turn": 5, "size": 100, "stroke": 100}
    assert content["probably_no_digit"] == (rejection is not None)


@pytest.mark.parametrize("limits", [(1e9, 1e9), (1e9, 0.0), (0.0, 1e9)])
def test_it_takes_all_networks_to_reject_a_drawing(
    outputs: Path, network: DigitNet, limits: tuple[float, float]
) -> None:
    copy_run(outputs, "twin")
    for name, limit in zip(("run", "twin"), limits, strict=True):
        write_limit(outputs / name, network, limit)
    rejection = session_for(outputs, "run", "twin").reject(np.zeros((28, 28), dtype=np.uint8), [np.eye(10)[3]] * 2)
    assert rejection == ("probably not a digit" if min(limits) > 0 else None)


def test_the_row_opens_the_window_and_names_what_was_saved(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab, shown = lab_of(outputs)

    def open_window(predictors: Any, host: Any) -> None:
        assert torch.get_num_threads() == 1  # more would wait for each other on a busy machine
        assert all("likeness" in vars(reader) for reader in host.readers)  # else the first stroke would wait for it
        picture = to_mnist(ONE)
        assert picture is not None
        assert host.keep(ZERO) == host.keep(ONE).replace("1", "0") == "kept as 0"
        assert host.take_back(ONE) == "taken back: it is no longer in my_digits.jsonl"
        host.gallery("theme")
        host.save(Answer(Question(ONE, 20.0), picture, tuple(predictors[0].predict([picture]))))

    def show_gallery(theme: Any, folder: Path, read: Any) -> None:
        pictures = [to_mnist(drawing) for drawing in (ZERO, SEVEN)]
        assert (theme, folder, read(pictures)) == ("theme", outputs, [0, 7])

    monkeypatch.setattr(commands, "open_window", open_window)
    monkeypatch.setattr(commands, "Gallery", show_gallery)
    with computing_with(2):
        assert draw(lab, ["best"]) == 0
        assert torch.get_num_threads() == 2
    assert shown.getvalue().splitlines()[-1] == str(new_folder(outputs, "_drawing-"))
    assert read_drawings(outputs / "my_digits.jsonl").usable == [ZERO]


def test_without_a_network_the_menu_offers_to_train_one(tmp_path: Path) -> None:
    lab, shown = lab_of(tmp_path, "draw", "n", "draw", "q", "q")
    assert main.run_menu(lab) == 0
    assert shown.getvalue().count("Train one now") == 2


def test_a_full_disk_takes_no_drawing_away(outputs: Path) -> None:
    session = session_for(outputs)
    own = outputs / "my_digits.jsonl"
    with full_disk(20), pytest.raises(StorageError, match=r"can't write .*my_digits.jsonl: .*; free some space"):
        session.keep(SEVEN)
    assert not own.exists()
    session.keep(SEVEN)
    before = own.read_bytes()
    with full_disk(len(before) + 20), pytest.raises(StorageError):  # room for the beginning of a line
        session.keep(ZERO)
    assert own.read_bytes() == before
    picture = to_mnist(SEVEN)
    assert picture is not None
    with full_disk(20), pytest.raises(StorageError):
        session.save(Answer(Question(SEVEN, 20.0), picture, (np.eye(10)[7],)))
    assert not list(outputs.glob("*drawing*"))


# --- several processes -------------------------------------------------------------------------------------------

KEEPING = """
import sys
from pathlib import Path
from mnist_lab.drawing.own_digits import keep_drawing
from mnist_lab.drawing.strokes import Drawing
print("ready", flush=True)
input()
for number in range(100):
    keep_drawing(Path(sys.argv[1]), Drawing((((float(number), 40.0), (140.0, 240.0)),), 1))
"""


@pytest.mark.integration
def test_three_windows_lose_no_drawing(tmp_path: Path) -> None:
    (tmp_path / "my_digits.jsonl").write_text(SEVEN.to_json(), encoding="utf-8")  # an editor left out the line end
    keep, pipe = [sys.executable, "-c", KEEPING, str(tmp_path)], subprocess.PIPE
    windows = [subprocess.Popen(keep, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]
    for window in windows:
        assert window.stdout is not None
        assert window.stdout.readline() == "ready\n"
    for window in windows:  # only now, so that they get in each other's way
        assert window.stdin is not None
        window.stdin.write("\n")
        window.stdin.flush()
    assert [(window.communicate(timeout=60)[0], window.returncode) for window in windows] == 3 * [("", 0)]
    drawings, damaged = read_drawings(tmp_path / "my_digits.jsonl")
    assert damaged == []
    assert drawings[0] == SEVEN
    assert len(drawings) == 301


@pytest.mark.integration
def test_a_python_without_tkinter_recognises_pictures_and_refuses_the_window(
    outputs: Path, pictures: list[Path]
) -> None:
    code = "import sys; sys.modules['tkinter'] = None; import main; sys.exit(main.main(sys.argv[1:]))"
    for words, status, said in ((["predict", str(pictures[0])], 0, "seven.png"), (["draw"], 1, "has no tkinter")):
        command = [sys.executable, "-c", code, *words, "--outputs", str(outputs)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)
        assert done.returncode == status
        assert said in (done.stderr if status else done.stdout)
        assert "Traceback" not in done.stderr
