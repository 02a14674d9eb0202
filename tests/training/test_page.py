"""The page of a run, tables and lists of runs, the index without summaries, and the row of the menu about pages."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import main
from mnist_lab.config import TrainConfig, settings_of
from mnist_lab.data import DOUBTFUL_TEST_LABELS
from mnist_lab.data.mnist import Mnist
from mnist_lab.errors import LabError, RequestError, RunError
from mnist_lab.networks.compute import choose_compute, predict_logits
from mnist_lab.report.document import render
from mnist_lab.report.index import card_of, read_summary
from mnist_lab.terminal.console import make_console
from mnist_lab.training.evaluation import evaluate
from mnist_lab.training.folder_commands import pictures_of, report
from mnist_lab.training.page import (
    HISTORY_ROWS,
    RUN_PICTURES,
    Mark,
    accuracy_table,
    describe_confused,
    mark_cell,
    per_digit_table,
    recipe_table,
    run_report,
    unsummarised,
)
from mnist_lab.training.runs import locked, read_run
from mnist_lab.training.session import load_trained
from tests.experiment_fixtures import make_lab
from tests.pages import HOSTILE, earlier_folders, fill, parse, parse_file
from tests.processes import run_python
from tests.training.test_runs import make_run

DAMAGES = ("gone", "cut", "folder")


@pytest.fixture
def run_folder(trained_folder: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(trained_folder, tmp_path / "outputs" / trained_folder.name))


@pytest.fixture
def bare_folder(trained_folder: Path, tmp_path: Path) -> Path:
    """The numbers of a run, without its pictures, to damage again and again."""
    folder = tmp_path / "bare"
    folder.mkdir()
    for name in ("run.json", "history.csv"):
        shutil.copy(trained_folder / name, folder / name)
    return folder


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    return earlier_folders(tmp_path / "out puts")


def test_a_runs_report_says_what_its_folder_holds(trained_folder: Path) -> None:
    page = parse_file(trained_folder / "report.html")  # which every training writes
    content = json.loads((trained_folder / "run.json").read_text(encoding="utf-8"))
    test, words = content["results"]["test"], page.all("body")[0].text
    assert page.texts("h1") == ["1-layer, seed 0"]
    assert f"({test['correct']:,} of 10,000)" in words
    assert f"{100 * test['interval_95'][0]:.2f} to {100 * test['interval_95'][1]:.2f} %" in words
    assert content["command"] in page.texts("code")
    assert len(page.all("img")) == len(RUN_PICTURES)
    assert "What is missing" not in words
    cells = page.texts("th", "td")
    for epoch in csv.DictReader((trained_folder / "history.csv").read_text(encoding="utf-8").splitlines()):
        place = cells.index(epoch["epoch"], cells.index("training loss"))
        assert cells[place + 1 : place + 5] == [
            f"{float(epoch['train_loss']):.4f}",
            f"{100 * float(epoch['train_accuracy']):.2f} %",
            f"{float(epoch['val_loss']):.4f}",
            f"{100 * float(epoch['val_accuracy']):.2f} %",
        ]
        assert (cells[place + 7] == "kept") == (int(epoch["epoch"]) == content["best_epoch"])
    for scores in test["per_digit"]:
        assert f"{100 * scores['f1']:.2f} %" in cells
    assert content["versions"]["torch"] in words
    assert cells[cells.index("training digits") + 1] == "1000"
    for caveat in (
        "The weights of epoch 2 of 2 were kept: it had the lowest validation loss.",
        "Training may therefore look worse than validation.",
        "points from how often it is right (expected calibration error, ECE).",
        "Over-fitting looks like this",
    ):
        assert caveat in " ".join(words.split())


def test_the_page_says_how_many_mistakes_have_a_doubted_label(trained_folder: Path, mnist: Mnist) -> None:
    run = read_run(trained_folder)
    model = load_trained(run, choose_compute())
    predicted = predict_logits(model, mnist.test.images, choose_compute()).argmax(dim=1)
    wrong = [index for index in DOUBTFUL_TEST_LABELS if predicted[index] != mnist.test.labels[index]]
    missed = run.results["test"]["total"] - run.results["test"]["correct"]
    assert len(wrong) > 3
    words = parse(render(run_report(run))).all("body")[0].text
    assert "Most people doubt the labels of 15 test digits (Northcutt et al. 2021, labelerrors.com)" in words
    assert f"The network misses {len(wrong)} of them" in words
    assert f"and {missed:,} digits in all." in words


def test_a_note_stands_on_the_page(bare_folder: Path) -> None:
    (bare_folder / "note.txt").write_text("for Friday's\ntalk <b>", encoding="utf-8")
    page = parse(render(run_report(read_run(bare_folder))))
    assert "for Friday's talk <b>" in page.texts("p")
    assert not page.all("b")


@pytest.mark.parametrize("missing", [["report.html"], ["unsure.png", "film.webp", "report.html"]])
def test_evaluating_again_brings_back_the_page_and_what_is_said_of_pictures(
    run_folder: Path, missing: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (*missing, "summary.json"):
        (run_folder / name).unlink()
    assert main.main(["evaluate", run_folder.name, "--outputs", str(run_folder.parent)]) == 0
    assert f"restored: {', '.join(missing)}" in capsys.readouterr().out
    captions = parse_file(run_folder / "report.html").texts("figcaption")
    assert any(caption.startswith("Right, but unsure.") for caption in captions)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((name, "gone") for name in RUN_PICTURES),
        *(("history.csv", how) for how in DAMAGES),
        ("mistakes.png", "cut"),
        ("saliency.png", "folder"),
    ],
)
def test_what_is_missing_is_named_and_the_rest_stays(run_folder: Path, name: str, damage: str) -> None:
    path = run_folder / name
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(b"\xff\x00" + content[: len(content) // 2])
    if damage == "folder":
        path.mkdir()
    page = parse(render(run_report(read_run(run_folder))))
    (remarks,) = [section for section in page.all("section") if "What is missing" in section.text]
    assert name in remarks.text
    assert ("Epoch by epoch" in page.all("body")[0].text) == (name != "history.csv")
    assert len(page.all("img")) == len(RUN_PICTURES) - name.endswith((".png", ".webp"))
    assert len(page.texts("h1")) == 1


def test_a_folder_with_nothing_but_its_run_file_has_a_report(tmp_path: Path) -> None:
    page = parse(render(run_report(read_run(make_run(tmp_path, "<script>alert(1)<script> & 'x' \u202e")))))
    words = page.all("body")[0].text
    assert all(name in words for name in (*(set(RUN_PICTURES) - {"film.webp"}), "history.csv"))
    assert "film.webp" not in words, "there was no film to draw"
    assert "It classifies 99.00 % of the test digits correctly, with a 95 % interval from 98.70 to 99.20 %." in words


@pytest.mark.parametrize(("status", "said"), [("running", "stopped"), ("failed", "failed (the loss is infinite)")])
def test_a_run_that_did_not_end_is_said_to_be_so(tmp_path: Path, status: str, said: str) -> None:
    changes = {"failure": "the loss is infinite"} if status == "failed" else {}
    folder = make_run(tmp_path, "run", status=status, val_accuracy=None, test_accuracy=None, **changes)
    page = parse(render(run_report(read_run(folder))))
    assert f"marked as {said}." in page.texts("section")[0]
    assert "never evaluated" in page.texts("section")[0]
    assert "What is missing" not in page.texts("h2"), "it never had any pictures"
    assert "–" not in page.texts("dd")


WHOLE = HOSTILE.replace("\ud800", "")  # a run.json with half a character is refused at once
NASTY: tuple[Any, ...] = (
    None, True, -1, 10**400, 1e308, HOSTILE, WHOLE, "", [], [[]], [None, "x"], {}, {WHOLE: {"a": [WHOLE]}}
)  # fmt: skip


RUN_VALUES = (
    "config", "split", "machine", "versions", "command", "device", "best_epoch", "results", "stop_reason", "workers",
    "images_per_second", "epochs_run", "parameters", "seed", "model", "train_seconds", "test_interval", "failure",
)  # fmt: skip


@pytest.mark.parametrize("name", RUN_VALUES)
def test_no_value_of_a_run_file_breaks_its_report(bare_folder: Path, name: str) -> None:
    content = json.loads((bare_folder / "run.json").read_text(encoding="utf-8"))
    for value in NASTY:
        check_run(bare_folder, content | {name: value})


@pytest.mark.parametrize("split", ["validation", "test"])
def test_no_saved_result_breaks_a_report(bare_folder: Path, split: str) -> None:
    content = json.loads((bare_folder / "run.json").read_text(encoding="utf-8"))
    results = content["results"]
    entries = results[split]["per_digit"]
    for value in NASTY:
        spoilt = [{name: value} for name in results[split]]
        spoilt.append({"per_digit": [entry | {"recall": value, "digit": value} for entry in entries]})
        for nasty in spoilt:
            check_run(bare_folder, content | {"results": results | {split: results[split] | nasty}})


def test_yes_and_no_are_not_numbers(bare_folder: Path, tmp_path: Path) -> None:
    """In files that are not trusted: ``true`` is neither an accuracy of 100 % nor an error of 100 points."""
    content = json.loads((bare_folder / "run.json").read_text(encoding="utf-8"))
    content["results"]["test"]["expected_calibration_error"] = True
    content["results"]["test"]["per_digit"][4]["recall"] = True
    (bare_folder / "run.json").write_text(json.dumps(content), encoding="utf-8")
    page = parse(render(run_report(read_run(bare_folder))))
    assert "(ECE)" not in page.all("body")[0].text
    assert "100.00 %" not in page.texts("td")
    (tmp_path / "score.json").write_text(json.dumps({"accuracy": True, "total": 7}), encoding="utf-8")
    summary = unsummarised(tmp_path)
    assert summary is not None
    assert (summary.headline, summary.remark) == ("", "its score.json can't be read")


def check_run(folder: Path, content: dict[str, Any]) -> None:
    """Such a run is refused, or has a whole report and a card in the index."""
    (folder / "run.json").write_text(json.dumps(content), encoding="utf-8")
    assert card_of(folder, unsummarised).summary.kind == "run"
    try:
        run = read_run(folder)
    except RunError:
        return
    page = parse(render(run_report(run)))
    assert len(page.all("h1")) == 1
    assert not page.all("script")


def test_a_long_history_is_thinned_out(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "long", epochs_run=1000, best_epoch=778)
    lines = ["epoch,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,seconds"]
    lines += [f"{epoch},0.5,0.9,0.4,0.95,1e-3,90" for epoch in range(1, 1001)]
    (folder / "history.csv").write_text("\n".join(lines), encoding="utf-8")
    page = parse(render(run_report(read_run(folder))))
    epochs = [row.text.split()[0] for row in page.all("tr") if "0.5000" in row.text]
    assert len(epochs) <= HISTORY_ROWS + 2
    assert epochs[0] == "1"
    assert epochs[-1] == "1000"
    assert "778" in epochs
    assert f"({len(epochs)} of 1000; all are in history.csv)" in page.all("body")[0].text
    (kept,) = [row.text.split() for row in page.all("tr") if "kept" in row.text]
    assert kept == ["778", "0.5000", "90.00", "%", "0.4000", "95.00", "%", "1.0e-03", "1", "min", "30", "s", "kept"]


def test_the_configuration_is_told_with_labels_units_and_help(trained_folder: Path) -> None:
    cells = parse(render(run_report(read_run(trained_folder)))).texts("th", "td")
    for name, known in settings_of(TrainConfig).items():
        place = cells.index(known.label, cells.index("setting"))
        assert cells[place + 2] == known.unit, name
        assert name == "model" or cells[place + 3] == known.help


# -------------------------------------------------------------------------------------------------- tables


def test_an_evaluation_is_told_by_digit_and_in_all() -> None:
    """Four zeros, one of them taken for a one; three ones; a two taken for a zero; nothing of the rest."""
    labels, predictions = np.array([0, 0, 0, 0, 1, 1, 1, 2]), np.array([0, 0, 0, 1, 1, 1, 1, 0])
    found = evaluate(np.eye(10, dtype=np.float32)[predictions], labels).to_dict()
    assert [list(row) for row in per_digit_table(found, "").rows] == [
        ["0", "75.00 %", "75.00 %", "75.00 %", "4", "1"],
        ["1", "75.00 %", "100.00 %", "85.71 %", "3", "0"],
        ["2", "0.00 %", "0.00 %", "0.00 %", "1", "1"],
    ]
    assert describe_confused(found) == "0 taken for 1 (1x), 2 taken for 0 (1x)"
    rows = accuracy_table({"validation": found, "test": {}}).rows
    assert [list(row) for row in rows] == [
        ["validation", "75.00 %", "40.93 to 92.85 %", "6 of 8"],  # Wilson's, by hand
        ["test", "–", "–", "–"],
    ]


def test_the_table_of_recipes_fits_80_columns(tmp_path: Path) -> None:
    run = replace(
        read_run(make_run(tmp_path, "2026-11-22_14-30-05_3-layer-aug")),
        model="3-layer",
        augment=True,
        epochs_run=100,
        train_seconds=59 * 60 + 59,
    )
    members = [replace(run, folder=Path(f"{seed}"), seed=seed, test_accuracy=0.9 + seed / 1000) for seed in range(99)]
    marks = {one.name: Mark(98, 99) for one in members}
    console = make_console(file=io.StringIO(), width=80)
    screen = recipe_table(members, marks).on_screen(gap=1)
    assert console.measure(screen, options=console.options.update(max_width=200)).maximum <= 80


def test_many_drawings_are_shown_in_percent_and_recipes_by_their_mean(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, "run"))
    twin, lost = replace(run, folder=tmp_path / "twin", seed=1), replace(run, folder=tmp_path / "lost", seed=2)
    marks = {"run": Mark(950, 1000), "twin": Mark(960, 1000), "lost": None}
    assert [mark_cell(mark) for mark in marks.values()] == ["95.0 %", "96.0 %", "–"]
    (recipe,) = recipe_table([run, twin, lost], marks).rows
    assert "95.5" in recipe


# ---------------------------------------------------------------------------------------------- the index


def test_a_finished_run_has_a_summary_that_knows_its_pictures(trained_folder: Path) -> None:
    found = read_summary(trained_folder)
    assert found is not None
    content = json.loads((trained_folder / "run.json").read_text(encoding="utf-8"))
    assert (found.kind, found.title, found.remark) == ("run", "1-layer, seed 0", "")
    assert found.headline == f"{100 * content['test_accuracy']:.2f} %"
    assert found.pictures.keys() == set(RUN_PICTURES) == {path.name for path in pictures_of(read_run(trained_folder))}
    page = parse(render(run_report(read_run(trained_folder))))
    alts = {image.attributes["alt"].replace("\N{NO-BREAK SPACE}", " ") for image in page.all("img")}
    assert alts == {caption.alt for caption in found.pictures.values()}
    assert replace(found, pictures={}) == unsummarised(trained_folder)  # which reads run.json
    assert any("--train-size 1000" in sentence for sentence in found.sentences), "what tells it from others"


def test_the_page_of_a_run_of_an_earlier_version_does_without_captions(run_folder: Path) -> None:
    (run_folder / "summary.json").unlink()
    page = parse(render(run_report(read_run(run_folder))))
    assert len(page.all("img")) == len(RUN_PICTURES)
    assert all(image.attributes["alt"] for image in page.all("img"))


def test_a_run_under_way_is_told_from_one_that_was_killed(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "2026-11-22_10-00-00_1-layer", status="running")
    with locked(folder):
        running = card_of(folder, unsummarised).summary
    killed = card_of(folder, unsummarised).summary
    assert (running.remark, killed.remark) == ("running", "stopped")
    assert running.headline == killed.headline == ""


# ------------------------------------------------------------------------------------------------ the row


def last_line(shown: io.StringIO) -> str:
    return shown.getvalue().splitlines()[-1]


@pytest.mark.parametrize("name", ["latest", "best", "10-00-00_1-layer"])
def test_a_runs_report_is_written_anew(outputs: Path, name: str) -> None:
    lab, shown = make_lab(outputs)
    assert report(lab, name) == 0
    path = outputs / "2026-11-22_10-00-00_1-layer" / "report.html"
    assert last_line(shown) == str(path)
    assert parse_file(path).texts("h1") == ["1-layer, seed 0"]
    assert (outputs / "index.html").exists()


def test_an_experiment_keeps_its_own_report(outputs: Path) -> None:
    lab, shown = make_lab(outputs)
    assert report(lab, "experiment-depth") == 0
    path = outputs / "2026-11-22_11-00-00_experiment-depth" / "report.html"
    assert last_line(shown) == str(path)
    assert path.read_text(encoding="utf-8") == "its own"


def test_any_folder_of_pictures_can_have_a_report(outputs: Path) -> None:
    lab, shown = make_lab(outputs)
    assert report(lab, str(outputs / "2026-11-20_09-00-00_score-mine")) == 0
    page = parse_file(Path(last_line(shown)))
    assert page.texts("h1") == ["Score: mine"]
    assert "75.00 % of 4 drawings" in page.texts("section")[0]
    assert len(page.all("img")) == 2
    assert (outputs / "2026-11-20_09-00-00_score-mine" / "report.html").exists()


def test_the_index_alone_is_the_default(outputs: Path) -> None:
    lab, shown = make_lab(outputs)
    assert report(lab) == 0
    assert shown.getvalue() == f"{outputs / 'index.html'}\n"


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("nowhere", "no run 'nowhere'"),
        ("", "no run ''"),
        ("2026-11-22", "3 folders"),
        ("drawing-1", "no pictures"),
        ("2026-11-21_10-00-00_3-layer", "damaged"),
    ],
)
def test_what_has_no_report_is_refused_in_one_line(outputs: Path, name: str, refusal: str) -> None:
    with pytest.raises(LabError, match=refusal) as refused:
        report(make_lab(outputs)[0], name)
    assert "\n" not in str(refused.value)


def test_folders_that_are_not_the_labs_get_no_page(outputs: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "photos"
    fill(elsewhere, "holiday", "xray.png")
    with pytest.raises(RequestError, match=r"photos.holiday is not a folder of the lab; name one in"):
        report(make_lab(outputs)[0], str(elsewhere / "holiday"))
    assert not list(elsewhere.glob("**/*.html"))
    fill(outputs, "plain", "xray.png")
    assert report(make_lab(outputs)[0], "plain") == 0  # what lies beside the runs is the lab's


OPEN_IT = """
import main
import sys
from pathlib import Path
from mnist_lab.terminal.lab import Lab
from mnist_lab.terminal.console import Terminal, make_console
from mnist_lab.training.folder_commands import report
report(Lab(Terminal(make_console()), Path(sys.argv[1]), main.load), "10-00-00_1-layer", open_it=sys.argv[2] == "open")
print(sorted({"torch", "numpy", "matplotlib", "scipy"} & set(sys.modules)))
"""


@pytest.fixture
def browser(tmp_path: Path) -> tuple[str, Path]:
    """The command of a browser that notes which page it opens, and where it does."""
    script, opened = tmp_path / "browser.py", tmp_path / "opened"
    script.write_text("import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])", "utf-8")
    return f'"{sys.executable}" "{script}" "{opened}" %s', opened


@pytest.mark.integration
@pytest.mark.parametrize("asked", ["open", "leave"])
def test_the_browser_is_opened_only_if_asked_for(outputs: Path, browser: tuple[str, Path], asked: str) -> None:
    command, opened = browser
    done = run_python(OPEN_IT, outputs, asked, BROWSER=command)
    page = outputs / "2026-11-22_10-00-00_1-layer" / "report.html"
    assert done.splitlines()[-2:] == [str(page), "[]"], "nothing heavy is loaded for it"
    if asked == "open":
        assert opened.read_text(encoding="utf-8") == page.as_uri()
    else:
        assert not opened.exists()


OFFER_IT = """
import main
import sys
from pathlib import Path
from mnist_lab.terminal.lab import Lab
from mnist_lab.terminal.console import Terminal, make_console
from mnist_lab.training.folder_commands import tell_result
folder = Path(sys.argv[1])
lab = Lab(Terminal(make_console(), lambda: sys.argv[2]), folder.parent, main.load)
tell_result(lab, folder, ["This was found."], offer_page=True)
"""


@pytest.mark.integration
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a screen")
@pytest.mark.parametrize("answer", ["y", "n"])
def test_after_an_experiment_the_menu_offers_its_page(
    outputs: Path, browser: tuple[str, Path], tmp_path: Path, answer: str
) -> None:
    """A screen and a viewer are pretended, so that it is the same everywhere; what opens is a real process."""
    viewer = tmp_path / "xdg-open"
    viewer.write_text("#!/bin/sh\n", "utf-8")
    viewer.chmod(0o755)
    command, opened = browser
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    folder = next(folder for folder in outputs.iterdir() if (folder / "report.html").exists())
    done = run_python(OFFER_IT, folder, answer, BROWSER=command, PATH=path, DISPLAY=":99")
    lines = done.splitlines()
    assert lines[0] == "This was found."
    assert str(folder) in lines
    assert "Open it in the browser (y/n) [n]:" in done
    assert opened.exists() == (answer == "y")
    if answer == "y":
        assert opened.read_text(encoding="utf-8") == (folder / "report.html").as_uri()


@pytest.mark.integration
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a browser")
def test_a_machine_without_a_browser_is_no_error(outputs: Path) -> None:
    done = run_python(OPEN_IT, outputs, "open", BROWSER="", PATH="/nowhere", DISPLAY="", WAYLAND_DISPLAY="")
    assert "nothing could be opened here" in done
