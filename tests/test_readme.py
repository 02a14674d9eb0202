"""The README keeps its word: its commands are those that are checked, and its pictures exist."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from pathlib import Path

import pytest

import main

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

import figures  # noqa: E402

README = (ROOT / "README.md").read_text(encoding="utf-8")


def shell_lines() -> list[str]:
    """All lines of the README's shell blocks, without comments."""
    blocks = re.findall(r"```(?:bash|sh)\n(.*?)```", README, flags=re.DOTALL)
    lines = (line.split("  #")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def test_ci_runs_the_very_test_command() -> None:
    (command,) = [line for line in shell_lines() if line.endswith("-m pytest")]
    assert command in [line.strip() for line in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()]


def test_every_command_named_is_understood() -> None:
    parser = main.build_parser()
    commands = [line for line in shell_lines() if line.startswith("python main.py ")]
    assert len(commands) >= 8
    for line in commands:
        words = shlex.split(line.replace("RUN", "latest").replace("DIR", "outputs"), comments=True)[2:]
        assert isinstance(parser.parse_args(words), argparse.Namespace), line


def test_every_menu_row_is_described() -> None:
    for row in main.ROWS:
        assert f"`{row.word}`" in README, row.word


def test_pictures_and_files_exist() -> None:
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert targets
    for target in targets:
        assert (ROOT / target).exists(), target


def test_the_project_names_no_machine_and_no_host() -> None:
    """No absolute path of a developer's machine, and no address of a package host, in any text file."""
    forbidden = re.compile(r"/work/|/root/|/home/\w|pypi\.org|pythonhosted|files\.pythonhosted|download\.pytorch")
    for path in [
        *ROOT.glob("*.*"),
        *ROOT.glob("mnist_lab/**/*.py"),
        *ROOT.glob("mnist_lab/**/*.md"),
        ROOT / ".ci" / "run",
    ]:
        if path.is_file() and path.suffix not in (".gz", ".png"):
            assert not forbidden.search(path.read_text(encoding="utf-8")), path


def test_the_tour_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "tour.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) <= 50
    shown: dict[str, object] = {"folder": tmp_path}
    exec(compile(code, "tour.md", "exec"), shown)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["epoch 1", "epoch 2"]
    assert lines[-1].startswith("the drawing is taken for a ")
    assert 0.8 < shown["test"].accuracy < 1  # type: ignore[attr-defined]
    assert (tmp_path / "confusion.png").stat().st_size > 10_000


def test_no_picture_is_older_than_what_draws_it() -> None:
    """The fingerprints were kept when the pictures were drawn; where this fails: make figures"""
    kept = json.loads(figures.DRAWN.read_text(encoding="utf-8"))
    assert {path.name for path in figures.DOCS.glob("*.[pw]*") if path.suffix != ".py"} == kept.keys()
    assert kept == {name: figures.fingerprint(files) for name, files in figures.DRAWN_BY.items()}


def test_the_table_of_settings_is_what_the_settings_declare() -> None:
    assert figures.settings_table() in (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
