"""The row that looks inside networks: what it shows, the folder that it leaves, and what it refuses."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch

import main
from mnist_lab.data.mnist import Mnist, normalise, to_unit
from mnist_lab.explain import inside_commands
from mnist_lab.explain import inside_figures as figures
from mnist_lab.explain.inside import Survey, survey
from mnist_lab.networks.models import DigitNet, build_model
from mnist_lab.report.index import read_summary
from mnist_lab.terminal.console import Terminal, make_console
from mnist_lab.terminal.lab import Lab
from mnist_lab.training.checkpoints import save_tensors
from tests.explain.conftest import lab_of, lay_run, reader_of
from tests.explain.test_commands import SEVEN
from tests.explain.test_inside import hooked, lively
from tests.pages import drawn, parse_file
from tests.training.test_runs import make_run

FIGURES = {"maps.png", "sum-1.png", "logits.png", "kernels.png", "neighbours.png"}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with the same untrained network twice, which knows the training digits by its hidden units."""
    outputs = tmp_path_factory.mktemp("inside")
    folder = lay_run(outputs, "2026-11-22_10-00-00_first", lively(build_model("1-layer")))
    assert reader_of(outputs).hidden_space
    shutil.copytree(folder, outputs / "2026-11-22_11-00-00_second")
    return outputs


@pytest.fixture(autouse=True)
def few_digits(monkeypatch: pytest.MonkeyPatch, mnist: Mnist) -> None:
    """A survey of 300 of the validation digits, which is quicker."""
    few = SimpleNamespace(validation=mnist.validation.subset(torch.arange(300)))
    monkeypatch.setattr(inside_commands, "load_mnist", lambda: few)


@pytest.fixture
def model() -> DigitNet:
    return lively(build_model("1-layer"))


def run_menu(outputs: Path, *answers: str) -> str:
    lab, shown = lab_of(outputs, *answers, "q")
    assert main.run_menu(lab) == 0
    return shown.getvalue()


def test_what_is_told_is_what_torch_computes(
    outputs: Path,
    model: DigitNet,
    mnist: Mnist,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inside_commands, "save_figure", lambda path, figure: path.write_bytes(drawn()))
    spy = Mock(wraps=figures.logit_sums)
    monkeypatch.setattr(figures, "logit_sums", spy)
    is_alive = np.arange(32) != 6  # as if that filter had answered to none of the digits

    def survey_without_one(*given: Any) -> Survey:
        found = survey(*given)
        return replace(found, peaks=(found.peaks[0] * is_alive, *found.peaks[1:]))

    monkeypatch.setattr(inside_commands, "survey", survey_without_one)
    words = ["inside", "--index", "247", "--run", "first", "--run", "second", "--outputs", str(outputs)]
    assert main.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    layers = hooked(model, mnist.test.images[247, 0].numpy())
    logits, units = layers["classifier.4"], layers["classifier.2"]
    first, second = logits.argsort(descending=True)[:2].tolist()
    shown = " ".join(" ".join(lines).split())
    sure, less = (f"{100 * logits.softmax(0)[digit]:.1f} %" for digit in (first, second))
    for name in ("1-layer, seed 0 a", "1-layer, seed 0 b"):
        assert f"{name}: true 4, read as {first} ({sure}); {second} comes second ({less})." in shown
    assert f"Its logit for the {first} is {logits[first]:.2f}" in shown
    parts = units * model.classifier[4].weight[first]  # type: ignore[index]
    for unit in parts.argsort(descending=True)[:3].tolist():
        assert f"unit {unit} ({parts[unit]:+.2f})" in shown
    with torch.no_grad():
        maps = model.blocks(normalise(to_unit(mnist.validation.images[:300])))  # (N, C, S, S)
        hidden = model.classifier[:3](maps)  # (N, H)
    here = layers["blocks.0.relu"]
    for name, strengths, alive in (
        ("block 1", here.mean(dim=(1, 2)), torch.from_numpy(is_alive) & (maps.amax(dim=(0, 2, 3)) > 0)),
        ("hidden units", units, hidden.amax(dim=0) > 0),
    ):
        strongest = ", ".join(map(str, np.argsort(-strengths.numpy(), kind="stable")[:5]))
        told = f"{name} {len(strengths)} {strongest} {(strengths == 0).sum()} {(~alive).sum()}"
        assert shown.count(told) == 2
    sums, surveyed, *_ = spy.call_args.args
    for unit in sums[first].written(8)[0]:
        best = mnist.validation.images[int(hidden[:, unit].argmax()), 0].numpy()
        assert np.array_equal(surveyed.exciting(unit, 6)[0], best)
    (folder,) = outputs.glob("*_inside-test-247")
    several = {f"{name[:-4]}-{place}.png" for name in FIGURES - {"neighbours.png"} for place in (1, 2)}
    assert {path.name for path in folder.glob("*.png")} == several | {"neighbours.png"}


def test_the_folder_holds_figures_and_one_page_with_all_of_them(
    outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["inside", "--index", "947", "--run", "first", "--outputs", str(outputs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (folder,) = outputs.glob("*_inside-test-947")
    assert lines[-1] == str(folder)
    shown = " ".join(" ".join(lines).split())
    assert "1-layer, seed 0: true 8, read as " in shown
    assert "block 1 32 " in shown
    assert "hidden units 128 " in shown
    assert "Northcutt" in shown  # whose label most people doubt
    page, summary = parse_file(folder / "report.html"), read_summary(folder)
    assert summary is not None
    assert summary.pictures.keys() == FIGURES == {path.name for path in folder.glob("*.png")}
    assert (summary.kind, summary.thumbnail) == ("inside", "maps.png")
    assert list(summary.runs) == ["2026-11-22_10-00-00_first"]
    assert len(page.all("img")) == len(FIGURES)
    assert all(element.attributes["alt"] for element in page.all("img"))
    headings, paragraphs = page.texts("h2"), page.texts("p")
    for caption in figures.CAPTIONS.values():
        assert caption.title in headings and caption.text in paragraphs
    assert "not why the network decides" in figures.CAPTIONS["maps"].text
    (repeat,) = page.texts("code")
    assert repeat.startswith("python main.py inside --index 947 --run 2026-11-22_10-00-00_first --outputs ")


def test_the_menu_asks_for_a_digit_and_for_networks(
    outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "my 7.json"
    path.write_text(SEVEN.to_json(), encoding="utf-8")
    text = " ".join(run_menu(outputs, "inside", str(path), "best").split())
    assert "1-layer, seed 0: true 7, read as" in text
    (folder,) = outputs.glob("*_inside-my-7")
    (repeat,) = parse_file(folder / "report.html").texts("code")
    assert f"inside --drawing '{path}' --run 2026-11-22_1" in repeat
    write = Mock()
    monkeypatch.setattr(inside_commands, "_write", write)
    run_menu(outputs, repeat)
    assert write.call_args.args[2].path == path
    text = run_menu(outputs, "runs", "1 2", "inside", "3", "back", "")
    assert text.count("comes second") == 2
    _, _, digit, subject, looked = write.call_args.args
    assert (digit, subject.title, len(looked)) == (3, "test digit 3", 2)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "one of the arguments --index --image --drawing --check-neighbours is required"),
        (["--index", "0", "--seeds", "3"], "--seeds has no effect with a digit; omit it"),
        (["--index", "0", "--check-neighbours"], "not allowed with"),
        (["--check-neighbours", "--run", "first", "--run", "second"], "2 runs are named"),
        (["--check-neighbours", "--seeds", "0"], "--seeds is 0"),
    ],
    ids=str,
)
def test_refusals_take_one_line(
    outputs: Path, arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(outputs.iterdir())
    assert main.main(["inside", *arguments, "--outputs", str(outputs)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
    assert set(outputs.iterdir()) == before


def test_without_a_run_nothing_is_asked(tmp_path: Path) -> None:
    assert "there is no finished run" in run_menu(tmp_path, "inside")


def test_a_network_whose_answers_are_not_finite_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_run(tmp_path, "huge")
    weights = build_model("1-layer").state_dict()
    weights |= {name: 1e30 * weights[name] for name in ("blocks.0.conv.weight", "classifier.4.weight")}
    save_tensors(folder / "model.pt", weights)
    assert main.main(["inside", "--index", "0", "--outputs", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no longer finite" in line
    assert not [*tmp_path.glob("*inside*")]


def test_the_check_of_the_neighbours_gets_its_run_and_seeds(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = Mock(return_value=0)
    monkeypatch.setattr("mnist_lab.experiments.neighbour_check.check_neighbours", check)
    words = ["inside", "--check-neighbours", "--outputs", str(outputs)]
    assert main.main([*words, "first", "--seeds", "2"]) == main.main(words) == 0
    assert [call.args[1:] for call in check.call_args_list] == [("first", 2), ("best", 3)]


def test_a_terminal_shows_the_digit_beside_its_bars(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside_commands, "_write", lambda *what: None)
    monkeypatch.setenv("COLORTERM", "truecolor")
    for runs, lines in ((["first"], 14), (["first", "second"], 0)):
        shown = io.StringIO()
        console = make_console(file=shown, width=80, force_terminal=True)
        assert inside_commands.inside(Lab(Terminal(console), outputs, main.load), 5, runs) == 0
        assert shown.getvalue().count("▀") == 28 * lines
