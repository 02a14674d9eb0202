"""The user's own digits: counted once for each run, whatever lies on the disk."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import main
from mnist_lab.drawing import recognise
from mnist_lab.drawing.own_digits import (
    COUNTS_FILE,
    change_own_digit,
    keep_drawing,
    list_own_digits,
    marks_of,
    take_back,
)
from mnist_lab.drawing.preprocess import to_mnist
from mnist_lab.drawing.strokes import Drawing
from mnist_lab.errors import RequestError
from mnist_lab.networks.compute import Compute, predict_logits
from mnist_lab.networks.models import build_model
from mnist_lab.training.page import Mark
from mnist_lab.training.runs import MY_DIGITS, list_runs
from tests.drawing.conftest import BLANK, ONE, SEVEN, UNLABELLED, ZERO
from tests.drawing.test_strokes import by_hand
from tests.explain.conftest import lab_of, lay_run
from tests.training.test_runs import make_run, run_content

ROOT = Path(__file__).parents[2]
NETWORK = build_model("1-layer", seed=3)


def lay_drawings(outputs: Path, compute: Compute, count: int, missed: int, *others: Drawing) -> None:
    """The user's own: labelled as the network reads them, but so many of them wrongly."""
    drawings = [by_hand(digit) for digit in range(count)]
    pictures = [torch.from_numpy(picture) for drawing in drawings if (picture := to_mnist(drawing)) is not None]
    logits = predict_logits(compute.place(NETWORK), torch.stack(pictures).unsqueeze(1), compute)
    labelled = [
        replace(drawing, label=(digit + (place < missed)) % 10)
        for place, (drawing, digit) in enumerate(zip(drawings, logits.argmax(dim=1).tolist(), strict=True))
    ]
    text = "".join(drawing.to_json() + "\n" for drawing in (*labelled, *others))
    (outputs / MY_DIGITS).write_text(text, encoding="utf-8")


@pytest.fixture
def own(tmp_path: Path, compute: Compute) -> Path:
    """An output folder with a run, and six drawings, of which its network classifies 3 correctly."""
    lay_run(tmp_path, "good", NETWORK)
    lay_drawings(tmp_path, compute, 5, 2, BLANK, UNLABELLED)
    return tmp_path


def marks(outputs: Path) -> dict[str, Mark | None]:
    return marks_of(lab_of(outputs)[0], list_runs(outputs)[0])


def test_every_evaluated_run_is_shown_with_what_it_got_right(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = lay_run(own, "cut", NETWORK)
    (folder / "model.pt").write_bytes((folder / "model.pt").read_bytes()[:1000])
    make_run(own, "gone")
    make_run(own, "outside", model_file="../good/model.pt")
    make_run(own, "null", model_file="a\0b")
    make_run(own, "foreign", model_file=7)
    (lay_run(own, "strange", NETWORK) / "run.json").write_text(json.dumps(run_content(config={})), encoding="utf-8")
    make_run(own, "unfinished", status="running")
    unknown = dict.fromkeys(("cut", "gone", "outside", "null", "foreign", "strange"))
    assert marks(own) == {"good": Mark(3, 6)} | unknown
    assert marks(own) == {"good": Mark(3, 6)} | unknown  # as it was kept
    assert main.main(["runs", "--outputs", str(own)]) == 0
    assert "3 of 6" in capsys.readouterr().out
    assert main.main(["score", str(own / MY_DIGITS), "--run", "good", "--outputs", str(own)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "accuracy 50.00 % (3 of 6)"


def test_without_drawings_there_are_no_marks_and_no_file(own: Path) -> None:
    (own / MY_DIGITS).unlink()
    assert marks(own) == {}
    assert not (own / COUNTS_FILE).exists()


def test_nothing_is_counted_twice(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert marks(own) == {"good": Mark(3, 6)}
    monkeypatch.setattr(recognise, "count_missing", None)  # calling it would fail
    assert marks(own) == {"good": Mark(3, 6)}


def test_another_drawing_or_another_model_is_counted_anew(own: Path, compute: Compute) -> None:
    cut = lay_run(own, "cut", NETWORK) / "model.pt"
    cut.write_bytes(cut.read_bytes()[:1000])
    assert marks(own) == {"good": Mark(3, 6), "cut": None}
    lay_drawings(own, compute, 5, 1)
    assert marks(own) == {"good": Mark(4, 5), "cut": None}
    shutil.copy(own / "good" / "model.pt", cut)
    (own / "good" / "model.pt").unlink()
    assert marks(own) == {"good": None, "cut": Mark(4, 5)}


def test_a_damaged_file_of_counts_is_made_again(own: Path) -> None:
    marks(own)
    path = own / COUNTS_FILE
    whole = json.loads(path.read_text(encoding="utf-8"))
    good = whole["runs"]["good"]
    assert (whole["total"], good["correct"]) == (6, 3)
    changed: list[dict[str, Any]] = [
        *({"total": value} for value in (0, True, "6")),
        *({"runs": {"good": good | {"correct": value}}} for value in (7, -1, 3.0)),
        *({"runs": []}, {"runs": {"good": 3}}, {"lab": "0.0.0"}, {"drawings": "0"}),
    ]
    texts = ["", "{}", "[" * 100_000, *(json.dumps(whole | change) for change in changed)]
    for text in texts:
        path.write_text(text, encoding="utf-8")
        assert marks(own) == {"good": Mark(3, 6)}, text[:200]
    assert json.loads(path.read_text(encoding="utf-8")) == whole


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\nnonsense\n", "line 2 of"),
        ("", "holds no drawings"),
        (UNLABELLED.to_json() + "\n", "no labelled drawing with ink"),
    ],
)
def test_broken_drawings_take_one_line_and_the_table_stands(
    own: Path, text: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / MY_DIGITS).write_text(text, encoding="utf-8")
    assert main.main(["runs", "--outputs", str(own)]) == 0
    shown = capsys.readouterr().out
    (warning,) = [line for line in shown.splitlines() if line.startswith("without your own digits: ")]
    assert expected in warning
    assert "1-layer" in shown
    assert not (own / COUNTS_FILE).exists()


def test_a_disk_that_refuses_costs_the_keeping_only(own: Path) -> None:
    (own / COUNTS_FILE).mkdir()
    lab, shown = lab_of(own)
    assert marks_of(lab, list_runs(own)[0]) == {"good": Mark(3, 6)}
    assert shown.getvalue().count("can't write") == 1


def test_ctrl_c_keeps_what_was_counted(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        lay_run(own, f"more-{number}", NETWORK)
    real, asked = recognise.count_correct, []

    def count_correct(*arguments: Any) -> int:
        asked.append(arguments)
        if len(asked) == 3:
            signal.raise_signal(signal.SIGINT)
        return real(*arguments)

    monkeypatch.setattr(recognise, "count_correct", count_correct)
    with pytest.raises(KeyboardInterrupt):
        marks(own)
    assert list(marks(own).values()) == [Mark(3, 6)] * 4
    assert len(asked) == 5  # four networks; only the one that was interrupted is asked again


DAMAGED = b'\xff\xfe{ "strokes"'
EXTRA = b'{"label": 1, "writer": "a  b", "strokes": [[[140, 40], [140.5, 240]]]}'


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A file of digits, some lines of which are blank, damaged, or say more than the lab asks for."""
    lines = [SEVEN.to_json().encode(), b"", DAMAGED, EXTRA, ONE.to_json().encode(), SEVEN.to_json().encode() + b"\r"]
    path = tmp_path / MY_DIGITS
    path.write_bytes(b"\n".join(lines))  # the last line has no end
    return path


def test_what_was_kept_last_is_taken_back_and_nothing_else(kept: Path) -> None:
    before = kept.read_bytes()
    keep_drawing(kept.parent, SEVEN)
    take_back(kept.parent, SEVEN)
    assert kept.read_bytes() == before + b"\n"
    take_back(kept.parent, ONE)
    assert kept.read_bytes() == before.replace(ONE.to_json().encode() + b"\n", b"") + b"\n"
    with pytest.raises(RequestError, match="does not hold this drawing any more"):
        take_back(kept.parent, replace(SEVEN, label=1))  # the same strokes, but not the same digit
    kept.write_text(ONE.to_json(), encoding="utf-8")
    take_back(kept.parent, ONE)
    assert not kept.exists()  # an empty file would be refused
    with pytest.raises(RequestError):
        take_back(kept.parent, ONE)
    assert list_own_digits(kept.parent) == []


def test_digits_are_relabelled_and_deleted_in_place(kept: Path) -> None:
    digits = list_own_digits(kept.parent)
    assert [(digit.place, digit.drawing.label) for digit in digits] == [(0, 7), (3, 1), (4, 1), (5, 7)]
    change_own_digit(kept.parent, digits[1], 4)
    change_own_digit(kept.parent, digits[0], None)
    lines = kept.read_bytes().split(b"\n")
    assert lines[:2] == [b"", DAMAGED]  # neither is ours to remove
    assert json.loads(lines[2]) == json.loads(EXTRA) | {"label": 4}
    assert lines[3:] == [ONE.to_json().encode(), SEVEN.to_json().encode() + b"\r"]


@pytest.mark.parametrize("label", [3, None])
def test_what_another_program_changed_is_not_changed_blindly(kept: Path, label: int | None) -> None:
    digits = list_own_digits(kept.parent)
    keep_drawing(kept.parent, ZERO)  # added behind: all others stay where they were
    change_own_digit(kept.parent, digits[-1], label)
    first = digits[0]
    kept.write_bytes(kept.read_bytes().split(b"\n", 1)[1])  # an editor removed the first line
    before = kept.read_bytes()
    for digit in (first, digits[1]._replace(place=99)):
        with pytest.raises(RequestError, match="another program has changed"):
            change_own_digit(kept.parent, digit, label)
    assert kept.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_linked_file_stays_a_link(kept: Path, tmp_path: Path) -> None:
    shared = kept.rename(tmp_path / "shared.jsonl")
    kept.symlink_to(shared)
    change_own_digit(kept.parent, list_own_digits(kept.parent)[0], 2)
    assert kept.is_symlink()
    assert list_own_digits(kept.parent)[0].drawing == replace(SEVEN, label=2)


@pytest.mark.integration
def test_a_list_with_nothing_left_to_count_loads_no_torch(own: Path) -> None:
    marks(own)
    code = "import sys, main; print(main.main(['runs', '--outputs', sys.argv[1]]), 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(own)], cwd=ROOT, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert "3 of 6" in done.stdout
    assert done.stdout.splitlines()[-1] == "0 False"
