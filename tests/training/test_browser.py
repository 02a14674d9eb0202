"""Browsing the runs, as whole menu sessions through injected input: pick, show, note, delete, hand on."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import main
from mnist_lab.terminal.console import Terminal, make_console
from mnist_lab.terminal.lab import Lab
from mnist_lab.training.runs import list_runs, locked, read_run
from tests.processes import run_python
from tests.training.test_picker import NOW, make_runs
from tests.training.test_runs import HEAD, ROWS, START, make_run


@pytest.fixture(autouse=True)
def no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)


def browse(outputs: Path, answers: Sequence[str], load: Any = main.load, **options: Any) -> str:
    """What the menu showed, 80 columns wide, when ``runs`` was chosen and answered."""
    left, shown = ["runs", *answers, "q"], io.StringIO()
    terminal = Terminal(make_console(file=shown, width=80, height=24, **options), lambda: left.pop(0))
    assert main.run_menu(Lab(terminal, outputs, load, now=lambda: NOW)) == 0
    assert not left
    return shown.getvalue()


def test_the_list_shows_what_tells_runs_apart_and_enter_leads_back(tmp_path: Path) -> None:
    names = make_runs(tmp_path, 3)
    make_run(tmp_path, "killed", status="running", created=(START + timedelta(hours=1)).isoformat())
    (tmp_path / "killed" / "history.csv").write_text(HEAD + "".join(ROWS[:2]), encoding="utf-8")
    make_run(tmp_path, "lost", status="failed", created=(START + timedelta(hours=2)).isoformat())
    (make_run(tmp_path, "broken") / "run.json").write_text("{", encoding="utf-8")
    (tmp_path / names[0] / "note.txt").write_text("the one\x1b[31m for class [red]\n", encoding="utf-8")
    text = browse(tmp_path, ["1-layer", "", ""])
    table = [line.split() for line in text.splitlines()]
    assert ["1", "1-layer", "0", "3", "failed", "today", "16:00"] in table
    assert ["2", "1-layer", "0", "2", "stopped", "today", "15:00"] in table
    assert ["3", "3-layer", "2", "3", "98.02", "99.00", "98.70–99.20", "today", "14:02"] in table
    assert "the one?[31m for class [red]" in text
    assert "broken is damaged; move it away with: python main.py delete broken" in " ".join(text.split())
    assert "3 runs that fit '1-layer'" in text
    assert text.count("5 runs, newest first") == 2  # Enter has cleared the filter before it left
    assert "1-layer, augmented" not in text.split("3 runs that fit")[1]


def test_only_what_makes_sense_is_offered(tmp_path: Path) -> None:
    make_runs(tmp_path, 2)
    make_run(tmp_path, "killed", status="running", created=(START + timedelta(hours=1)).isoformat())
    (tmp_path / "killed" / "history.csv").write_text(HEAD + "".join(ROWS[:2]), encoding="utf-8")
    offers = {}
    for picked in ("1", "2", "2-3", "1 2"):
        text = browse(tmp_path, [picked, "", ""])
        offers[picked] = [line.split()[1] for line in text.split("latest, best;")[1].splitlines()
                          if line.startswith("  ") and line.split()[:1] and line.split()[0].isdecimal()
                          and not line.split()[1].endswith("-layer,")]  # fmt: skip
    assert offers["1"] == ["show", "page", "curves", "note", "resume", "delete", "back"]
    assert offers["2"] == ["show", "page", "curves", "evaluate", "explain", "inside", "draw", "note", "delete", "back"]
    assert offers["2-3"] == [
        "show", "page", "curves", "compare", "evaluate", "explain", "inside", "draw", "note", "delete", "back",
    ]  # fmt: skip
    assert offers["1 2"] == ["show", "page", "curves", "note", "delete", "back"]
    with locked(tmp_path / "killed"):
        text = browse(tmp_path, ["1", "delete", "", ""])
    assert "'delete' is not one of the choices" in text
    assert (tmp_path / "killed").is_dir()


def test_several_are_handed_on_to_the_rooms_by_name(tmp_path: Path) -> None:
    names = make_runs(tmp_path)
    calls: list[tuple[str, str, Any]] = []

    class Room:
        def __init__(self, module: str) -> None:
            self.module = module

        def __getattr__(self, function: str) -> Any:
            return lambda lab, named, **options: calls.append((self.module, function, named))

    def load(module: str) -> Any:
        heavy = module.split(".")[0] in ("experiments", "explain", "drawing") or module == "training.commands"
        return Room(module) if heavy else main.load(module)

    browse(tmp_path, ["1,3", "compare", "explain", "inside", "draw", "evaluate", "back", ""], load)
    two = [names[0], names[2]]
    assert calls == [
        ("experiments.commands", "compare", two),
        ("explain.commands", "ask_saliency", two),
        ("explain.inside_commands", "ask_inside", two),
        ("drawing.commands", "draw", two),
        ("training.commands", "evaluate", two[0]),
        ("training.commands", "evaluate", two[1]),
    ]
    for module, function, _ in calls:
        assert callable(getattr(main.load(module), function))


def test_a_note_is_kept_shown_everywhere_found_by_and_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = make_runs(tmp_path, 4)
    text = browse(tmp_path, ["2 3", "note", "  seen in   class ", "back", "in class", "2", "show", "back", "", ""])
    assert (tmp_path / names[1] / "note.txt").read_text(encoding="utf-8") == "seen in class\n"
    assert "2 runs that fit 'in class'" in text
    assert "note                 seen in class" in text
    assert main.main(["runs", "--outputs", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("seen in class") == 2
    text = browse(tmp_path, ["2", "note", "x" * 201, "", "back", "3", "note", "q"])
    assert "the note has 201 characters; write at most 200" in text
    assert "now: seen in class" in text
    assert [run.note for run in list_runs(tmp_path)[0]] == ["", "seen in class", "", ""]
    assert main.main(["note", "1-2", "two", "words", "--outputs", str(tmp_path)]) == 0
    assert [run.note for run in list_runs(tmp_path)[0]] == ["", "seen in class", "two words", "two words"]
    assert main.main(["note", "best", "", "--outputs", str(tmp_path)]) == 0


def test_what_is_deleted_lies_in_the_bin_under_a_name_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = make_runs(tmp_path, 3)
    text = browse(tmp_path, ["1", "delete", "n", "1 3", "delete", "y", ""])
    assert [run.name for run in list_runs(tmp_path)[0]] == [names[1]]
    assert {path.name for path in (tmp_path / ".bin").iterdir()} == {names[0], names[2]}
    assert f"to get it back, move it to {tmp_path}:" in text.replace("\n", "")
    make_run(tmp_path, names[0], seed=77)
    assert main.main(["delete", names[0], "--outputs", str(tmp_path)]) == 0
    assert read_run(tmp_path / ".bin" / f"{names[0]}-2").seed == 77
    assert read_run(tmp_path / ".bin" / names[0]).seed == 2
    (make_run(tmp_path, "broken") / "run.json").write_text("{", encoding="utf-8")
    assert main.main(["delete", "broken", "--outputs", str(tmp_path)]) == 0
    make_run(tmp_path, "busy", status="running")
    with locked(tmp_path / "busy"):
        assert main.main(["delete", "busy", "--outputs", str(tmp_path)]) == 1
    assert "the run busy is being trained; wait for it to end" in capsys.readouterr().err
    assert (tmp_path / "busy").is_dir()


def test_pages_and_curves_are_left_where_they_are_said_to_be(tmp_path: Path) -> None:
    names = make_runs(tmp_path, 3)
    for name in names[:2]:
        (tmp_path / name / "history.csv").write_text(HEAD + "".join(ROWS[:3]), encoding="utf-8")
    text = browse(tmp_path, ["i", "1 2", "curves", "page", "back", "3", "curves", "", ""])
    assert (tmp_path / "2026-11-22_20-00-00_curves" / "curves.png").stat().st_size > 10_000
    assert (tmp_path / names[0] / "report.html").is_file()
    assert (tmp_path / names[1] / "report.html").is_file()
    assert str(tmp_path / "index.html") in text
    assert f"the history of {names[2]} can't be read" in " ".join(text.split())  # and the browser goes on
    assert len(list(tmp_path.glob("*curves*"))) == 1


def test_curves_are_drawn_on_the_terminal_too(tmp_path: Path) -> None:
    for name in make_runs(tmp_path, 5):
        (tmp_path / name / "history.csv").write_text(HEAD + "".join(ROWS[:3]), encoding="utf-8")
    text = browse(tmp_path, ["2 4", "curves", "back", "1-5", "curves", "back", "back"], force_terminal=True)
    assert text.count("● run 2") == text.count("■ run 4") == 2  # loss and accuracy; of five, the picture only
    assert text.count("● run") == 2
    assert len(list(tmp_path.glob("*curves*/curves.png"))) == 2


LIGHT = """
import io, sys, main
from pathlib import Path
from mnist_lab.terminal.console import Terminal, make_console
from mnist_lab.terminal.lab import Lab
answers = ["runs", "n", "3-layer", "2", "show", "back", "", "sort val", "q", "q"]
main.run_menu(Lab(Terminal(make_console(file=io.StringIO()), lambda: answers.pop(0)), Path(sys.argv[1]), main.load))
print(answers, sorted({"torch", "matplotlib", "scipy", "pandas"} & set(sys.modules)))
"""


def test_browsing_loads_nothing_heavy(tmp_path: Path) -> None:
    make_runs(tmp_path, 40)
    assert run_python(LIGHT, tmp_path) == "[] []\n"
