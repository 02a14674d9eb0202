"""Things flow one way: which module may import which, and what the menu must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOW = [
    {"errors"},
    {"config", "randomness", "pixels", "interrupts", "environment", "statistics"},
    {"files", "storage", "wording", "penmanship", "saliency_methods", "experiments", "predictions"},
    {"drawing"},
    {"augment", "report", "display", "pacing", "window_layout", "window_pictures", "window_words", "wobble", "xray"},
    {"data", "models", "device", "runs", "pictures", "disturbances", "conclusions"},
    {"checkpoints", "history"},
    {"inference", "evaluation", "widgets", "schedule", "saved"},
    {"trainer", "recognition", "xray_panel"},
    {"plots", "saliency", "scoring", "canvas"},
    {"recipes"},
    {"console", "tables", "saliency_plots", "drawing_plots", "comparison_plots"},
    {"digit_plots", "views", "workflow", "speed", "nondigits", "run_report", "gallery"},
    {"my_digits", "parallel", "comparison"},
    {"cluster", "experiment_report"},
    {"experiment_measures", "comparison_results", "speed_results"},
    {"experiment_results"},
    {"actions"},
    {"draw_actions", "report_actions"},
    {"speed_actions", "comparison_actions"},
    {"experiment_actions"},
]
"""Each module imports only from the levels above its own line."""

HEAVY = {
    *("torch", "captum", "PIL", "torchvision", "numpy", "scipy", "matplotlib", "seaborn", "sklearn", "tkinter"),
    *("joblib", "distributed", "jinja2"),
}
LIGHT_MODULES = {
    "errors",
    "config",
    "environment",
    "interrupts",
    "files",
    "storage",
    "runs",
    "checkpoints",
    "history",
    "wording",
    "console",
    "tables",
    "my_digits",
    "experiments",
    "schedule",
    "recipes",
    "parallel",
    "cluster",
    "report",
    "saved",
    "run_report",
    "gallery",
    "actions",
    "report_actions",
    "comparison_actions",
    "experiment_actions",
}


def imports_of(path: Path, *, nested: bool) -> set[str]:
    """The modules that a file imports: at its top only, or anywhere; never those for type checking alone."""
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.FunctionDef) and not nested:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names if node.module == "mnist_lab"}
        todo.extend(ast.iter_child_nodes(node))
    return found


def lab_modules() -> dict[str, Path]:
    return {path.stem: path for path in (ROOT / "mnist_lab").glob("*.py") if path.stem != "__init__"}


def test_every_module_has_its_place() -> None:
    assert set().union(*FLOW) == set(lab_modules())


@pytest.mark.parametrize("name", sorted(lab_modules()))
def test_imports_flow_one_way(name: str) -> None:
    level = next(number for number, names in enumerate(FLOW) if name in names)
    allowed = set().union(*FLOW[:level])
    imported = {
        module.split(".")[1]
        for module in imports_of(lab_modules()[name], nested=True)
        if module.count(".") and module.startswith("mnist_lab.")
    } - {"__version__"}
    assert imported <= allowed


@pytest.mark.parametrize("name", sorted(LIGHT_MODULES))
def test_light_modules_load_nothing_heavy_at_their_top(name: str) -> None:
    assert not {module.split(".")[0] for module in imports_of(lab_modules()[name], nested=False)} & HEAVY


def test_the_menu_stands_before_anything_heavy_is_loaded() -> None:
    code = f"import sys, main; status = main.main([]); print(status, sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        input="q\n",
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    assert "train" in done.stdout
    assert done.stdout.endswith("0 []\n")
