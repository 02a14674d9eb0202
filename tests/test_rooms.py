"""The shape of the house: how large it is, and what the menu must not load. Directions: import-linter, in pyproject."""

from __future__ import annotations

import ast
import gc
import subprocess
import sys
from pathlib import Path

import pytest

import main

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "mnist_lab").rglob("*.py"))

HEAVY = {
    *("torch", "captum", "torchvision", "numpy", "scipy", "matplotlib", "seaborn", "sklearn", "tkinter"),
    "distributed",
}


def test_no_file_is_too_long_to_be_read() -> None:
    written = [path for folder in ("mnist_lab", "tests", "docs") for path in (ROOT / folder).rglob("*.py")]
    lines = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n") for path in written}
    assert {name: count for name, count in lines.items() if count > 500} == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_main_imports_late(path: Path) -> None:
    """Imports stand at the top, but for those of what may be missing: the optional extra."""
    functions = [
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)
    ]
    inner = {
        name
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert inner <= {"distributed"}


def test_the_menu_appears_before_anything_heavy_is_loaded() -> None:
    assert loaded_by([]) == []


def test_lists_of_runs_load_no_torch(tmp_path: Path) -> None:
    assert "torch" not in loaded_by(["runs", "--outputs", str(tmp_path)])


def test_only_what_was_just_loaded_is_spared_by_the_search_for_garbage() -> None:
    main.load("training.runs")
    before = gc.get_freeze_count()
    main.load("training.runs")
    assert gc.get_freeze_count() == before, "what the lab has made since then may be garbage one day"
    assert gc.isenabled()


def loaded_by(arguments: list[str]) -> list[str]:
    """What of the heavy packages is loaded once a command line was carried out."""
    code = (
        f"import gc, sys, main; assert main.main({arguments!r}) == 0 and gc.isenabled() and gc.get_freeze_count(); "
        f"print('|'.join(sorted({HEAVY!r} & set(sys.modules))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        input="q\n",
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    *_, last = done.stdout.split("\n")[:-1]
    return [name for name in last.split("|") if name]
