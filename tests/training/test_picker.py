"""Runs asked for by number, range, word or name: on the command line, and in every question of the menu."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import main
from mnist_lab.config import TrainConfig
from mnist_lab.errors import RunError
from mnist_lab.terminal.console import BackToMenu, Terminal, make_console
from mnist_lab.terminal.lab import Lab
from mnist_lab.terminal.wording import format_moment
from mnist_lab.training.picker import ask_run, ask_runs
from mnist_lab.training.runs import find_run, list_runs
from tests.training.test_runs import HEAD, ROWS, START, make_run

NOW = datetime(2026, 11, 22, 20, 0)


def make_runs(outputs: Path, count: int = 12) -> list[str]:
    """Runs of the three networks, every other augmented, a minute apart; the names, the newest first."""
    names = []
    for number in range(count):
        created = START + timedelta(minutes=number)
        model, augmented = f"{1 + number % 3}-layer", number % 2 == 1
        config = TrainConfig(model=model, seed=number)
        name = f"{created:%Y-%m-%d_%H-%M-%S}_{model}{'-aug' if augmented else ''}"
        make_run(
            outputs, name, model=model, augment=augmented, seed=number, created=created.isoformat(),
            config=config.to_dict(), val_accuracy=0.999 if number == 1 else 0.98 + number / 10_000,
        )  # fmt: skip
        names.append(name)
    return names[::-1]


def asked(outputs: Path, answers: Sequence[str], *, several: bool = True) -> tuple[list[str], str]:
    """The names that a question of the menu came to, and what was shown, on a screen of 80 columns."""
    left, shown = list(answers), io.StringIO()
    terminal = Terminal(make_console(file=shown, width=80, height=24), lambda: left.pop(0))
    lab = Lab(terminal, outputs, main.load, now=lambda: NOW)
    found = ask_runs(lab, "Which", "1 2") if several else [ask_run(lab, "Which")]
    assert not left
    return found, shown.getvalue()


@pytest.mark.parametrize(
    ("answer", "places"),
    [
        ("", [1, 2]),
        ("3", [3]),
        ("1 3", [1, 3]),
        ("1,3", [1, 3]),
        ("4-10", [4, 5, 6, 7, 8, 9, 10]),
        ("2-3 1, 2", [2, 3, 1]),
        ("latest, best", [1, 11]),
        ("1-layer aug seed 3", [9]),
        ("14-05-00", [7]),
        ("0 seed 11", [1]),
        ("seed 1", [11]),
    ],
)
def test_a_question_takes_numbers_ranges_and_words(tmp_path: Path, answer: str, places: list[int]) -> None:
    names = make_runs(tmp_path)
    assert asked(tmp_path, [answer])[0] == [names[place - 1] for place in places]


def test_a_question_turns_pages_until_even_the_best_is_seen_and_narrows_to_words(tmp_path: Path) -> None:
    names = make_runs(tmp_path, 40)
    found, shown = asked(tmp_path, ["p", "n", "n", "n", "39"])
    assert found == [names[38]]
    assert "this is the first page" in shown
    assert "this is the last page" in shown
    pages = shown.split("40 runs, newest first")[1:]
    assert ["page 1 of 3" in pages[0], "page 2 of 3" in pages[1], "page 3 of 3" in pages[2]] == [True] * 3
    listed = [line.split()[0] for line in shown.splitlines() if "-layer" in line and line.split()[0].isdecimal()]
    assert listed == [str(number) for number in range(1, 41)]
    found, shown = asked(tmp_path, ["3-layer aug", "", "sort val", "nonsense", "3-layr", "1-2", "best"], several=False)
    assert found == [names[38]]
    assert "6 runs that fit '3-layer aug', newest first" in shown
    assert "'nonsense' fits no run here; answer with numbers" in " ".join(shown.split())
    assert "did you mean 3-layer?" in shown
    assert "name one run" in shown


@pytest.mark.parametrize(("height", "width"), [(24, 80), (40, 120), (10, 80)])
def test_a_page_fits_the_screen_whatever_its_notes_and_letters(tmp_path: Path, height: int, width: int) -> None:
    for number, name in enumerate(make_runs(tmp_path, 40)):
        content = json.loads((tmp_path / name / "run.json").read_text(encoding="utf-8"))
        content["config"]["hidden"] = 50 + number % 7
        content["seed"] = 2_000_000_000 + number
        content["status"] = ("finished", "interrupted", "running")[number % 3]
        content["created"] = datetime(2025, 2, 1 + number % 20).isoformat()
        (tmp_path / name / "run.json").write_text(json.dumps(content), encoding="utf-8")
        if number % 4 == 0:
            (tmp_path / name / "note.txt").write_text("a long sentence " * 12, encoding="utf-8")
    left, shown = ["n", "sort time", "sort parameters", "q"], io.StringIO()
    lab = Lab(Terminal(make_console(file=shown, width=width, height=height), lambda: left.pop(0)), tmp_path, main.load)
    with pytest.raises(BackToMenu):
        ask_run(lab, "Which")
    for page in shown.getvalue().split("27 runs, ")[1:]:
        lines = page.splitlines()
        assert len(lines) <= max(height, 14)
        assert max(map(len, lines)) <= width
        assert "…" not in "".join(line for line in lines if "a long" not in line)


def test_names_prefer_what_is_exact_and_ask_for_more_words(tmp_path: Path) -> None:
    plain = make_run(tmp_path, "2026-11-22_14-30-05_3-layer", created=START.isoformat()).name
    again = make_run(tmp_path, f"{plain}-2", seed=12).name
    augmented = make_run(tmp_path, f"{plain}-aug", augment=True, seed=1).name
    (tmp_path / again / "note.txt").write_text("Shown in class\n", encoding="utf-8")
    for words, expected in {
        plain: plain,
        plain[5:]: plain,
        again[5:]: again,
        "1-layer seed 1": augmented,
        "seed 12": again,
        "in class shown": again,
        "AUG": augmented,
        "unaugmented seed 0": plain,
        "--hidden finished class": "",
    }.items():
        if expected:
            assert find_run(tmp_path, words).name == expected, words
        else:
            with pytest.raises(RunError, match="there is no run"):
                find_run(tmp_path, words)
    with pytest.raises(RunError, match=r"2 runs fit 'unaugmented' \(.*, .*\); give more words, or a number"):
        find_run(tmp_path, "unaugmented")
    with pytest.raises(RunError, match=r"did you mean 1-layer seed 1\?"):
        find_run(tmp_path, "1-layr seed 1")


def test_a_number_is_that_of_the_list_of_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = make_runs(tmp_path)
    make_run(tmp_path, "killed", status="running", created=(START + timedelta(days=1)).isoformat())
    (tmp_path / "killed" / "history.csv").write_text(HEAD + "".join(ROWS[:2]), encoding="utf-8")
    assert find_run(tmp_path, "1").name == "killed"
    assert find_run(tmp_path, "2").name == names[0]
    assert main.main(["runs", "--sort", "val", "--outputs", str(tmp_path)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "-layer" in line]
    assert rows[0][0] == "12"  # the best, the second that was trained
    assert rows[-1][:4] == ["1", "1-layer", "0", "2"]  # the killed one, with the epochs of its history
    assert "stopped" in rows[-1]


def test_scripts_are_told_of_runs_in_json_and_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = make_runs(tmp_path)
    (tmp_path / names[0] / "note.txt").write_text('one, "two"\n', encoding="utf-8")
    (make_run(tmp_path, "broken") / "run.json").write_text("{", encoding="utf-8")
    assert main.main(["runs", "--json", "--outputs", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    told = [json.loads(line) for line in captured.out.splitlines()]
    assert [one["name"] for one in told] == names
    assert [one["number"] for one in told] == list(range(1, 13))
    assert (told[0]["test_accuracy"], told[0]["test_low"], told[0]["note"]) == (0.99, 0.987, 'one, "two"')
    assert "the run broken is damaged" in captured.err
    assert main.main(["runs", "--csv", "--sort", "val", "--limit", "2", "--outputs", str(tmp_path)]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["name"] for row in rows] == [names[10], names[0]]
    assert rows[0].keys() == told[0].keys()
    assert rows[1]["note"] == 'one, "two"'
    assert main.main(["show", "1", "--json", "--outputs", str(tmp_path)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    shown = json.loads(line)
    assert shown["config"]["model"] == shown["model"] == "3-layer"
    assert told[0].items() <= shown.items()
    assert main.main(["runs", "--csv", "--outputs", str(tmp_path / "nowhere")]) == 0
    assert capsys.readouterr().out.count("\n") == 1  # the heading


@pytest.mark.parametrize("place", ["/dev/null", "file"])
def test_an_output_folder_that_is_none_takes_one_line(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    assert main.main(["runs", "--outputs", str(tmp_path / place)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "is no folder of runs: not a directory; name one with --outputs" in line


def test_ranges_are_expanded_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = make_runs(tmp_path)
    assert main.main(["delete", "2-4", "best", "--outputs", str(tmp_path)]) == 0
    gone = [names[1], names[2], names[3], names[10]]
    assert sorted(path.name for path in (tmp_path / ".bin").iterdir()) == sorted(gone)
    assert [run.name for run in list_runs(tmp_path)[0]] == [name for name in reversed(names) if name not in gone]


def test_a_number_is_never_a_part_of_a_name_and_2026_always_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (only,) = make_runs(tmp_path, 1)  # whose name holds each of these
    for words in ("2", "0", "22 1", "5-4", "2-11"):
        assert main.main(["delete", words, "--outputs", str(tmp_path)]) == 1
        assert (tmp_path / only).is_dir()
    assert "no run has the number 2-11; choose one that the list of runs shows" in capsys.readouterr().err
    assert find_run(tmp_path, "2026").name == only
    make_run(tmp_path, "1", created=START.replace(year=2020).isoformat())  # the second run of the list
    assert main.main(["delete", "1", "--outputs", str(tmp_path)]) == 0
    assert (tmp_path / only).is_dir()
    found, shown = asked(tmp_path, ["2", "1-3 7", "2026"])
    assert found == [only]
    assert "no run has the number 7" in shown


def test_runs_may_follow_options_and_what_follows_two_dashes_is_a_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_runs(tmp_path)
    make_run(tmp_path, "-dash", seed=77)
    assert main.main(["show", "1-layer", "--json", "seed", "3", "--outputs", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["seed"] == 3
    assert main.main(["show", "--outputs", str(tmp_path), "--json", "--", "-dash"]) == 0
    assert json.loads(capsys.readouterr().out)["seed"] == 77


def test_dates_are_written_as_people_do() -> None:
    assert format_moment(datetime(2026, 11, 22, 9, 5), NOW) == "today 09:05"
    assert format_moment(datetime(2026, 11, 2, 14, 30), NOW) == "2 Nov 14:30"
    assert format_moment(datetime(2025, 11, 22, 14, 30), NOW) == "22 Nov 2025"
