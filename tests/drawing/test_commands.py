"""Drawings and pictures, read by a really trained network, as commands and from the menu."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image
from rich.console import Console

import main
from mnist_lab.data import mnist as data
from mnist_lab.data.mnist import Mnist
from mnist_lab.drawing.commands import (
    existing,
    find_doubt_level,
    load_reader,
    load_readers,
    saved_doubt_level,
)
from mnist_lab.drawing.images import read_picture
from mnist_lab.drawing.recognise import answers_to, recognise
from mnist_lab.drawing.scoring import score_drawings
from mnist_lab.drawing.strokes import Drawing, ink, read_drawings, to_mnist
from mnist_lab.drawing.window.app import Snapshot
from mnist_lab.drawing.window.commands import DrawingSession, prediction_figure
from mnist_lab.drawing.wobble import Wobble, see
from mnist_lab.errors import StorageError
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.models import build_model
from mnist_lab.terminal.console import THEME, Terminal
from mnist_lab.terminal.lab import Lab
from mnist_lab.terminal.wording import format_probability
from mnist_lab.training.runs import find_run
from mnist_lab.training.session import load_trained

ROOT = Path(__file__).parents[2]
ONE = Drawing((((140.0, 40.0), (140.0, 240.0)),), 1)
SEVEN = Drawing((((80.0, 50.0), (200.0, 50.0), (120.0, 240.0)),), 7)
ZERO = Drawing((tuple((140 + 60 * np.cos(t), 140 + 90 * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 40)),), 0)
BLANK = Drawing((), 3)
UNLABELLED = Drawing(ONE.strokes, None)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with one trained network."""
    folder = tmp_path_factory.mktemp("trained")
    options = [
        "--model",
        "2-layer",
        "--train-size",
        "8000",
        "--epochs",
        "2",
        "--workers",
        "0",
        "--outputs",
        str(folder),
    ]
    assert main.main(["train", *options]) == 0
    return folder


@pytest.fixture
def pictures(tmp_path: Path, mnist: Mnist) -> list[Path]:
    """A seven and a two of the test set, enlarged: white on black, and black on white."""
    paths = [tmp_path / "seven.png", tmp_path / "two.png"]
    for path, image in zip(paths, (mnist.test.images[0, 0], 255 - mnist.test.images[1, 0]), strict=True):
        Image.fromarray(image.numpy()).resize((280, 280), Image.Resampling.BICUBIC).save(path)
    return paths


@pytest.fixture
def drawings(tmp_path: Path) -> Path:
    path = tmp_path / "my drawings.jsonl"
    text = "\n".join(drawing.to_json() for drawing in (ONE, SEVEN, ZERO, BLANK, UNLABELLED))
    path.write_text(text + "\n", encoding="utf-8")
    return path


def shrunk(drawing: Drawing) -> Drawing:
    """The same at a quarter of its size, in a corner of the canvas."""
    return Drawing(
        tuple(tuple((x / 4 + 5, y / 4 + 200) for x, y in stroke) for stroke in drawing.strokes), drawing.label
    )


def new_folder(outputs: Path, word: str) -> Path:
    (folder,) = [path for path in outputs.iterdir() if word in path.name]
    return folder


def test_pictures_are_recognised_and_bad_ones_refused(
    outputs: Path, pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.png").write_text("no picture", encoding="utf-8")
    Image.new("L", (50, 50), 255).save(tmp_path / "blank.png")
    images = [*pictures, tmp_path / "blank.png", tmp_path / "text.png"]
    assert main.main(["predict", *map(str, images), "--outputs", str(outputs)]) == 1
    shown = capsys.readouterr()
    rows = {line.split()[0]: line.split()[1:] for line in shown.out.splitlines() if ".png" in line}
    assert rows["seven.png"][0] == "7"
    assert rows["two.png"][0] == "2"
    reader = load_reader(Lab(Terminal(Console(file=io.StringIO())), outputs, main.load), "best")
    for picture in pictures:
        answer = recognise(reader.model, [to_mnist(read_picture(picture))], reader.compute)[0]
        assert answer is not None
        assert f" {format_probability(answer.certainty)} " in next(
            line for line in shown.out.splitlines() if picture.name in line
        )
    assert rows["blank.png"][-1] == "blank"
    assert "can't be read as a picture" in shown.err
    assert len(shown.err.splitlines()) == 1


def test_a_file_of_drawings_is_scored(outputs: Path, drawings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["score", str(drawings), "--outputs", str(outputs)]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == "accuracy 75.00 % (3 of 4)"
    assert "1 drawings have no label" in shown
    folder = new_folder(outputs, "score-my-drawings")
    assert {path.name for path in folder.iterdir()} == {
        "score.json", "summary.json", "confusion_counts.png", "mistakes.png",
    }  # fmt: skip
    content = json.loads((folder / "score.json").read_text(encoding="utf-8"))
    assert (content["correct"], content["total"], content["blanks"], content["unlabelled"]) == (3, 4, 1, 1)


def test_preprocessing_decides(outputs: Path, mnist: Mnist, compute: Compute) -> None:
    from mnist_lab.training.session import load_trained

    model = load_trained(find_run(outputs, "best"), compute)
    small = [
        Drawing(tuple(tuple((x / 4 + 5, y / 4 + 200) for x, y in s) for s in d.strokes), d.label)
        for d in (ONE, SEVEN, ZERO)
    ]
    assert score_drawings(model, small, "mnist", compute).accuracy == 1.0
    assert score_drawings(model, small, "raw", compute).accuracy < 1.0


def test_a_batch_answers_as_one_by_one(compute: Compute) -> None:
    model = compute.place(build_model("1-layer"))
    seen = [to_mnist(drawing) for drawing in (ONE, BLANK, SEVEN, ZERO)]
    together = recognise(model, seen, compute)
    assert together[1] is None
    for picture, answer in zip(seen, together, strict=True):
        if picture is not None and answer is not None:
            alone = answers_to(model, [picture], compute)[0]
            assert answer.probabilities == pytest.approx(alone.probabilities, abs=2e-3)
            assert answer.probabilities.sum() == pytest.approx(1.0)
            assert answer.runner_up != answer.digit
    assert model.training  # left as it was found


def test_the_xray_shows_what_each_step_is_for(
    outputs: Path, drawings: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["xray", "--drawing", str(drawings), "--outputs", str(outputs)]) == 0
    shown = capsys.readouterr().out
    for name in ("all steps", "without pen", "without invert", "without crop", "without box", "without centre"):
        assert name in shown
    assert (new_folder(outputs, "xray-my-drawings") / "xray.png").stat().st_size > 10_000
    assert main.main(["xray", "--image", str(pictures[0]), "--outputs", str(outputs)]) == 0
    assert "without pen" not in capsys.readouterr().out  # a picture has no strokes to ink again


def test_saliency_of_a_test_digit_comes_with_its_controls(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["saliency", "--index", "0", "--method", "gradient", "--target", "9", "--run", "best"]
    assert main.main([*arguments, "--outputs", str(outputs)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "reads 7" in shown
    assert "the map is for the target 9" in shown
    assert "random weights" in shown
    folder = new_folder(outputs, "saliency-test-0")
    assert {path.name for path in folder.iterdir()} == {"saliency.png", "methods.png", "summary.json"}
    original = find_run(outputs, "best")
    shutil.copytree(original.folder, outputs / "copy")
    assert main.main([*arguments, "--run", original.name, "--run", "copy", "--outputs", str(outputs)]) == 0
    shutil.rmtree(outputs / "copy")
    (second,) = [path for path in outputs.iterdir() if "saliency-test-0" in path.name and path != folder]
    assert (second / "runs.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["saliency"], "one digit must be named"),
        (["saliency", "--index", "0", "--image", "x.png"], "one digit must be named"),
        (["saliency", "--index", "10000"], "--index is 10000; give a whole number from 0 to 9,999"),
        (["saliency", "--index", "0", "--method", "magic"], "magic"),
        (["saliency", "--index", "0", "--target", "10"], "10"),
        (["xray"], "one digit must be named"),
        (["xray", "--image", "nowhere.png"], "there is no file nowhere.png"),
        (["score", "nowhere.jsonl"], "there is no file nowhere.jsonl"),
        (["score", "nowhere.jsonl", "--preprocess", "magic"], "there is no preprocessing 'magic'"),
        (["predict", "nowhere.png"], "there is no file nowhere.png"),
        (["predict", "nowhere.png", "--run", "nothing"], "there is no run 'nothing'"),
    ],
)
def test_refusals_take_one_line(
    outputs: Path, arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(outputs.iterdir())
    assert main.main([*arguments, "--outputs", str(outputs)]) == 1
    captured = capsys.readouterr().err
    assert expected in captured
    assert len(captured.splitlines()) == 1
    assert set(outputs.iterdir()) == before


def test_the_same_from_the_menu(outputs: Path, pictures: list[Path], drawings: Path) -> None:
    answers = [
        "predict",
        "nowhere",
        str(pictures[0]),
        "score",
        str(drawings),
        "xray",
        str(drawings),
        "saliency",
        "x",
        "3",
        "1",
        "q",
    ]
    shown = io.StringIO()
    terminal = Terminal(Console(file=shown, theme=THEME, width=80, highlight=False), lambda: answers.pop(0))
    assert main.run_menu(Lab(terminal, outputs, main.load)) == 0
    text = " ".join(shown.getvalue().split())
    assert "there is no file 'nowhere'" in text
    assert "accuracy 75.00 % (3 of 4)" in text
    assert "without invert" in text
    assert "Gradient" in text or "gradient" in text
    assert answers == []


def test_a_files_name_may_come_as_terminals_give_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a b.png").touch()
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    for answer in (str(tmp_path / "a b.png"), f"'{tmp_path / 'a b.png'}'", f'"{tmp_path / "a b.png"}"', "~/a b.png"):
        assert Path(existing(answer)) == tmp_path / "a b.png"
    with pytest.raises(ValueError, match="there is no file"):
        existing("~/nowhere.png")


def test_a_run_whose_model_is_gone_is_refused(
    outputs: Path, tmp_path: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = find_run(outputs, "best")
    copy = tmp_path / "outputs" / "copy"
    copy.mkdir(parents=True)
    (copy / "run.json").write_text((run.folder / "run.json").read_text(encoding="utf-8"), encoding="utf-8")
    assert main.main(["predict", str(pictures[0]), "--run", "copy", "--outputs", str(tmp_path / "outputs")]) == 1
    assert "is missing" in capsys.readouterr().err


def session_for(outputs: Path, kept_in: Path) -> DrawingSession:
    terminal = Terminal(Console(file=io.StringIO(), theme=THEME, width=80), lambda: "q")
    readers = load_readers(Lab(terminal, outputs, main.load), ["best", "latest"])
    assert len(readers) == 1  # the same run twice is one network
    return DrawingSession(Lab(terminal, kept_in, main.load), readers)


def test_a_drawing_saved_from_the_window_leaves_all_there_is_to_it(outputs: Path, tmp_path: Path) -> None:
    session = session_for(outputs, tmp_path)
    (predictor,) = session.predictors()
    wobble = Wobble(right=1.5, turn=5)
    picture = see(SEVEN, wobble)
    assert picture is not None
    (probabilities,) = predictor.predict([picture])
    assert probabilities.argmax() == 7
    assert predictor.explain(picture, 7).shape == (28, 28)
    folder = session.save(Snapshot(SEVEN, 31.0, wobble, picture, (probabilities,)))
    assert session.saved == [folder]
    assert folder.name.endswith("_drawing-7")
    names = {"drawing.json", "drawing.png", "seen.png", "prediction.json", "prediction.png", "summary.json"}
    assert {path.name for path in folder.iterdir()} == names
    assert Drawing.from_json((folder / "drawing.json").read_text(encoding="utf-8")) == SEVEN
    with Image.open(folder / "drawing.png") as image:
        drawn = np.asarray(image)
    assert drawn.shape == (280, 280)
    assert (drawn[50, 110:170] == 0).all()  # the bar of the seven, as thick as the brush
    assert (drawn[[36, 64], 140] == 0).all()
    assert (drawn[[33, 67], 140] == 255).all()
    with Image.open(folder / "seen.png") as image:
        assert np.array_equal(np.asarray(image), picture)
    content = json.loads((folder / "prediction.json").read_text(encoding="utf-8"))
    (answer,) = content["answers"]
    assert (answer["run"], answer["digit"]) == (find_run(outputs, "best").name, 7)
    assert answer["probabilities"] == pytest.approx(probabilities.tolist())
    assert content["brush"] == 31
    assert content["wobble"] == {"right": 1.5, "down": 0, "turn": 5, "size": 100, "stroke": 100}
    assert content["probably_no_digit"] == (session.reject(picture, [probabilities]) is not None)


def test_the_prediction_shows_the_drawing_beside_what_mattered(outputs: Path, tmp_path: Path) -> None:
    (reader,) = session_for(outputs, tmp_path).readers
    picture = to_mnist(SEVEN)
    assert picture is not None
    drawn = ink(SEVEN, 31.0)
    figure = prediction_figure(reader, Snapshot(SEVEN, 31.0, Wobble(), picture, ()), drawn)
    texts = [text.get_text() for text in figure.findobj(Text)]
    for expected in ("Drawn", "brush 31 px", "What the network sees", "Occlusion, target 7", "Overlay", "logits"):
        assert expected in texts
    assert f"A drawing, read as 7 by {reader.name}" in texts
    assert np.array_equal(np.asarray(figure.axes[0].images[0].get_array()) * 255, drawn)
    assert np.asarray(figure.axes[1].images[0].get_array()) * 255 == pytest.approx(picture)
    wobbled = prediction_figure(reader, Snapshot(SEVEN, 31.0, Wobble(turn=5), picture, ()), drawn)
    assert "brush 31 px, then wobbled" in [text.get_text() for text in wobbled.findobj(Text)]


def test_many_pictures_are_read_as_one_by_one(outputs: Path, tmp_path: Path) -> None:
    (predictor,) = session_for(outputs, tmp_path).predictors()
    seen = [picture for picture in map(to_mnist, (ONE, SEVEN, ZERO)) if picture is not None]
    for together, picture in zip(predictor.predict(seen), seen, strict=True):
        assert together == pytest.approx(predictor.predict([picture])[0], abs=2e-3)


def test_labelled_drawings_become_a_test_set_of_ones_own(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = session_for(outputs, tmp_path)
    assert session.keep(SEVEN) == "kept as a 7: 1 in my_digits.jsonl"
    assert session.keep(ZERO) == "kept as a 0: 2 in my_digits.jsonl"
    assert main.main(["score", str(tmp_path / "my_digits.jsonl"), "--outputs", str(outputs)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "accuracy 100.00 % (2 of 2)"


def test_the_menu_offers_ones_own_digits_to_score(outputs: Path, tmp_path: Path, drawings: Path) -> None:
    shutil.copytree(find_run(outputs, "best").folder, tmp_path / "copy")
    shutil.copy(drawings, tmp_path / "my_digits.jsonl")
    answers = ["score", "", "q"]
    shown = io.StringIO()
    terminal = Terminal(Console(file=shown, theme=THEME, width=80, highlight=False), lambda: answers.pop(0))
    assert main.run_menu(Lab(terminal, tmp_path, main.load)) == 0
    assert "accuracy 75.00 % (3 of 4)" in shown.getvalue()


def test_the_doubt_level_is_the_saved_one_or_judged_again(
    outputs: Path, tmp_path: Path, compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = find_run(outputs, "best")
    saved = run.content["results"]["validation"].pop("doubt_level")
    assert 0.1 < saved < 1
    assert find_doubt_level(load_trained(run, compute), compute) == pytest.approx(saved, abs=1e-6)
    lab = Lab(Terminal(Console(file=io.StringIO(), theme=THEME, width=80)), tmp_path, main.load)
    for value in (None, True, "0.5", 0.05, 1.5, [0.5]):  # never relied on: judged again
        shutil.copytree(run.folder, tmp_path / "copy", dirs_exist_ok=True)
        run.content["results"]["validation"]["doubt_level"] = value
        (tmp_path / "copy" / "run.json").write_text(json.dumps(run.content), encoding="utf-8")
        assert saved_doubt_level(find_run(tmp_path, "copy")) is None
    assert load_reader(lab, "copy").doubt_level == pytest.approx(saved, abs=1e-6)
    monkeypatch.setattr(data, "load_mnist", None)  # calling it would fail
    assert load_reader(Lab(lab.terminal, outputs, main.load), "best").doubt_level == saved


def test_a_picture_is_rejected_by_all_networks_or_not_at_all(outputs: Path, tmp_path: Path) -> None:
    session = session_for(outputs, tmp_path)
    picture = np.zeros((28, 28), dtype=np.uint8)
    assert session.reject(picture, [np.full(10, 0.1)]) == "probably not a digit"
    assert session.reject(picture, [np.eye(10)[3]]) is None


def test_without_a_network_the_menu_offers_to_train_one(tmp_path: Path) -> None:
    answers = ["draw", "n", "draw", "q", "q"]
    shown = io.StringIO()
    terminal = Terminal(Console(file=shown, theme=THEME, width=80, highlight=False), lambda: answers.pop(0))
    assert main.run_menu(Lab(terminal, tmp_path, main.load)) == 0
    assert shown.getvalue().count("Train one now") == 2
    assert answers == []


def test_torch_is_left_in_its_usual_state(outputs: Path) -> None:
    assert torch.is_grad_enabled()
    assert find_run(outputs, "latest").status == "finished"


# ------------------------------------------------------------------------- foreign files, full disks, two windows


def command(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command as a process of its own, which may not take longer than a minute."""
    return subprocess.run(
        [sys.executable, "main.py", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


KEEPING = """
import sys
import main
from pathlib import Path
from mnist_lab.terminal.lab import Lab
from mnist_lab.terminal.console import Terminal, make_console
from mnist_lab.drawing.strokes import Drawing
from mnist_lab.drawing.window.commands import DrawingSession
session = DrawingSession(Lab(Terminal(make_console()), Path(sys.argv[1]), main.load), [])
print("ready", flush=True)
input()
for number in range(200):
    print(session.keep(Drawing((((float(number), 40.0), (140.0, 240.0)),), 1)))
"""


def test_three_windows_lose_no_drawing(tmp_path: Path) -> None:
    (tmp_path / "my_digits.jsonl").write_text(SEVEN.to_json(), encoding="utf-8")  # an editor left out the line end
    keep = [sys.executable, "-c", KEEPING, str(tmp_path)]
    pipe = subprocess.PIPE
    windows = [subprocess.Popen(keep, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]
    for window in windows:
        assert window.stdout is not None
        assert window.stdout.readline() == "ready\n"
    for window in windows:  # only now, so that they get in each other's way
        assert window.stdin is not None
        window.stdin.write("\n")
        window.stdin.flush()
    said = sorted(line for window in windows for line in window.communicate(timeout=60)[0].splitlines())
    assert said == sorted(f"kept as a 1: {number} in my_digits.jsonl" for number in range(2, 602))
    drawings, damaged = read_drawings(tmp_path / "my_digits.jsonl")
    assert damaged == []
    assert drawings[0] == SEVEN
    assert len(drawings) == 601


def test_damaged_drawings_are_named_and_the_others_used(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(find_run(outputs, "best").folder, tmp_path / "copy")
    own = tmp_path / "my_digits.jsonl"
    own.write_text(f"{ONE.to_json()}{ZERO.to_json()}\n{SEVEN.to_json()[:30]}", encoding="utf-8")
    session = DrawingSession(Lab(Terminal(Console(file=io.StringIO())), tmp_path, main.load), [])
    assert session.keep(SEVEN) == "kept as a 7: 1 in my_digits.jsonl"
    assert main.main(["score", str(own), "--outputs", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[1].strip() for line in lines if line.startswith("skipped")] == [
        f"line 1 of {own}",
        f"line 2 of {own}",
    ]
    assert lines[-1] == "accuracy 100.00 % (1 of 1)"
    assert main.main(["runs", "--outputs", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "1 of 1" in shown
    assert f"skipped: line 1 of {own}: the text is not JSON" in shown
    assert main.main(["xray", "--drawing", str(own), "--outputs", str(tmp_path)]) == 0
    assert "all steps 7" in " ".join(capsys.readouterr().out.split())


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


def test_a_full_disk_takes_no_kept_drawing_away(tmp_path: Path) -> None:
    session = DrawingSession(Lab(Terminal(Console(file=io.StringIO())), tmp_path, main.load), [])
    with full_disk(20), pytest.raises(StorageError, match=r"can't write .*my_digits.jsonl: .*; free some space"):
        session.keep(SEVEN)
    assert not (tmp_path / "my_digits.jsonl").exists()
    session.keep(SEVEN)
    before = (tmp_path / "my_digits.jsonl").read_bytes()
    with full_disk(len(before) + 20), pytest.raises(StorageError):  # room for the beginning of a line
        session.keep(ZERO)
    assert (tmp_path / "my_digits.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["score", "DRAWINGS"],
        ["xray", "--drawing", "DRAWINGS"],
        ["saliency", "--index", "0", "--method", "gradient"],
        ["data"],
        ["compare", "one", "two"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_full_disk_leaves_no_empty_folder(
    outputs: Path, drawings: Path, tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    best = find_run(outputs, "best")
    for seed, name in enumerate(("one", "two")):
        shutil.copytree(best.folder, tmp_path / "outputs" / name)
        changed = best.content | {"seed": seed, "config": best.content["config"] | {"seed": seed}}
        (tmp_path / "outputs" / name / "run.json").write_text(json.dumps(changed), encoding="utf-8")
    given = [str(drawings) if word == "DRAWINGS" else word for word in arguments]
    with full_disk(100):
        assert main.main([*given, "--outputs", str(tmp_path / "outputs")]) == 1
    assert "can't write" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "outputs").iterdir()) == ["one", "two"]


def test_a_full_disk_leaves_no_empty_folder_of_a_drawing(outputs: Path, tmp_path: Path) -> None:
    session = session_for(outputs, tmp_path)
    picture = to_mnist(SEVEN)
    assert picture is not None
    with full_disk(20), pytest.raises(StorageError):
        session.save(Snapshot(SEVEN, 20.0, Wobble(), picture, (np.eye(10)[7],)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="the program that would be started is a shell script")
def test_a_picture_starts_no_other_program(outputs: Path, tmp_path: Path) -> None:
    mark = tmp_path / "started"
    ghostscript = tmp_path / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {mark}\n", encoding="utf-8")
    ghostscript.chmod(0o755)
    photo = tmp_path / "photo.png"
    photo.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 90 90\n%%EndComments\nshowpage\n", encoding="utf-8")
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = command("predict", photo, "--outputs", outputs, PATH=path)
    assert not mark.exists()
    assert done.returncode == 1
    assert done.stderr == f"the file {photo} is a PostScript document, not a picture; export the page as PNG\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in folders")
@pytest.mark.parametrize(
    "words", [["predict"], ["xray", "--image"], ["saliency", "--drawing"], ["score"]], ids=lambda words: words[0]
)
def test_what_is_no_file_is_refused_at_once(outputs: Path, tmp_path: Path, words: list[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        done = command(*words, path, "--outputs", outputs)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert str(path) in line
        assert "is not a regular file" in line or "is a folder" in line


NAMES = ["x" * 300, "a\0b", "~nosuchuser/x", "half \udcff"]


@pytest.mark.parametrize("name", NAMES, ids=["long", "null", "nobody", "half"])
def test_names_that_no_file_has_are_refused(outputs: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["predict"], ["xray", "--image"], ["saliency", "--drawing"], ["score"]):
        assert main.main([*words, name, "--outputs", str(outputs)]) == 1
        assert len(capsys.readouterr().err.splitlines()) == 1
    answers = ["predict", name, "q", "score", name, "q", "xray", name, "q", "saliency", name, "q", "q"]
    shown = io.BytesIO()
    console = Console(file=io.TextIOWrapper(shown, encoding="utf-8"), theme=THEME, width=80, highlight=False)
    assert main.run_menu(Lab(Terminal(console, lambda: answers.pop(0)), outputs, main.load)) == 0
    console.file.flush()
    assert shown.getvalue().decode().count("there is no file") == 4
    assert answers == []


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode there")
@pytest.mark.parametrize("name", ["half \udcff", r"$\foo$", "$x^{2$", "a\nb\x1b[2J"])
def test_odd_names_are_scored_and_taken_apart(
    outputs: Path, drawings: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = shutil.copy(drawings, tmp_path / f"{name}.jsonl")
    shutil.copytree(find_run(outputs, "best").folder, tmp_path / "outputs" / "copy")
    assert main.main(["score", str(odd), "--outputs", str(tmp_path / "outputs")]) == 0
    assert main.main(["xray", "--drawing", str(odd), "--outputs", str(tmp_path / "outputs")]) == 0
    assert "\x1b" not in capsys.readouterr().out
    (folder,) = (tmp_path / "outputs").glob("*_score-*")
    content = json.loads((folder / "score.json").read_text(encoding="utf-8"))
    assert content["file"] == f"{name}.jsonl".replace("\udcff", "?")


def test_a_scribble_without_end_is_skipped(outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "scribbles.jsonl"
    scribble = json.dumps({"label": 3, "strokes": [[[0, 0], [280, 280]] * 1_000]})
    path.write_text(f"{scribble}\n" * 7 + SEVEN.to_json(), encoding="utf-8")
    assert main.main(["score", str(path), "--outputs", str(tmp_path)]) == 1
    shutil.copytree(find_run(outputs, "best").folder, tmp_path / "copy")
    capsys.readouterr()
    assert main.main(["score", str(path), "--outputs", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"skipped: line 1 of {path}: the drawing's lines are 791,5")
    assert "... and 2 more damaged lines" in lines
    assert lines[-1] == "accuracy 100.00 % (1 of 1)"
