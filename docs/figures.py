"""Draws every picture in docs/ anew, through the lab's own rows, and the table of settings: make figures

It needs a screen (or xvfb-run -a make figures), tmux, Chromium or Chrome, and about four minutes on two cores.
drawn.json keeps, for each picture, a fingerprint of the code that draws it; a test tells when that code has changed
since. The table alone: make settings
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rich.text import Text  # noqa: E402

import main  # noqa: E402
from mnist_lab.config import ARCHITECTURES, AugmentConfig, TrainConfig, settings_of  # noqa: E402
from mnist_lab.environment import prepare_environment  # noqa: E402
from mnist_lab.terminal.console import Terminal, make_console  # noqa: E402
from mnist_lab.terminal.lab import Lab  # noqa: E402
from mnist_lab.training.runs import list_runs  # noqa: E402

DOCS = ROOT / "docs"
DRAWN = DOCS / "drawn.json"

WINDOW = tuple(f"drawing/window/{name}.py" for name in ("app", "widgets", "layout", "ink", "answer"))
DRAWN_BY = {
    "film.webp": ("plotting.py", "explain/film.py", "explain/film_figures.py"),
    "augmentation.png": ("plotting.py", "data/figures.py", "data/augment.py", "data/pen_strokes.py"),
    "report.png": ("report/document.py", "report/templates/report.html", "report/templates/style.css"),
    "robustness.png": ("plotting.py", "experiments/figures.py"),
    "saliency.png": ("plotting.py", "explain/figures.py"),
    "training.png": ("training/live.py", "terminal/chart.py"),
    "window.png": WINDOW,
    "window-inside.png": (*WINDOW, *(f"drawing/window/inside_{part}.py" for part in ("detail", "maps", "panel"))),
    "window-xray.png": (*WINDOW, "drawing/window/xray_panel.py"),
    "xray.png": ("plotting.py", "drawing/figures.py"),
}
"""What draws each picture, below mnist_lab/."""

FOUR = [
    [[128, 46], [117, 72], [104, 99], [90, 126], [80, 148], [76, 158], [96, 160], [128, 157], [160, 153], [196, 150]],
    [[168, 92], [166, 120], [163, 152], [160, 186], [157, 216], [155, 240]],
]
"""A 4 in two strokes, in pixels of a 280x280 canvas."""


def fingerprint(files: tuple[str, ...]) -> str:
    """Of the code of some files: comments, docstrings and formatting do not count."""
    digest = hashlib.sha256()
    for name in files:
        text = (ROOT / "mnist_lab" / name).read_text(encoding="utf-8")
        digest.update((without_docstrings(text) if name.endswith(".py") else text).encode("utf-8"))
    return digest.hexdigest()[:16]


def without_docstrings(code: str) -> str:
    """A module's syntax tree as text."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not is_docstring(line)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def is_docstring(node: ast.AST) -> bool:
    """Whether a statement is nothing but a text."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def settings_table() -> str:
    """The settings of a training as a Markdown table."""
    lines = ["| option | default | range | unit | what it does |", "|---|---|---|---|---|"]
    for part in (TrainConfig, AugmentConfig):
        for name, found in settings_of(part).items():
            default = part.__dataclass_fields__[name].default
            if found.may_be_none:
                default = getattr(ARCHITECTURES["3-layer"], name)
            numbers = f"{number(found.low)} to {number(found.high)}"
            span = numbers if found.kind in (int, float) else ", ".join(found.choices) or "on, off"
            default = "on" if default is True else f"{default:,}" if isinstance(default, int) else default
            lines.append(f"| `{found.option}` | {default} | {span} | {found.unit} | {found.help} |")
    return "\n".join(lines)


def number(value: float) -> str:
    """``1,000,000``, ``0.95``."""
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def write_settings() -> None:
    """Put the table between its marks in recipes.md."""
    path = DOCS / "recipes.md"
    begin, end = "<!-- settings -->\n", "<!-- end of settings -->"
    before, _, rest = path.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    path.write_text(f"{before}{begin}\n{settings_table()}\n\n{end}{after}", encoding="utf-8")


def run(outputs: Path, *words: str) -> Path:
    """Carry out a row; returns the newest folder of the outputs."""
    assert main.main([*words, "--outputs", str(outputs)]) == 0, words
    return max((path for path in outputs.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)


def train(outputs: Path) -> None:
    """Train the network that the pictures are of, and keep what the terminal shows at its end as training.png."""
    words, tmux = "train --model 3-layer --augment --epochs 4", ["tmux", "-L", "mnist-lab-figures"]
    command = f"COLORTERM=truecolor {shlex.quote(sys.executable)} {shlex.quote(str(ROOT / 'main.py'))} {words}"
    shown = f"echo '$ python main.py {words}'; {command}; sleep 600"
    subprocess.run([*tmux, "new-session", "-d", "-x", "100", "-y", "36", shown], check=True)
    while not any(run.is_evaluated for run in list_runs(outputs)[0]):
        time.sleep(1)
    time.sleep(10)  # until its last lines are there
    screen = subprocess.run([*tmux, "capture-pane", "-ep"], check=True, capture_output=True, encoding="utf-8").stdout
    subprocess.run([*tmux, "kill-server"], check=True)
    console = make_console(record=True, width=100, file=io.StringIO())
    console.print(Text.from_ansi(screen.rstrip()))
    svg = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="MNIST Lab"), flags=re.DOTALL)
    page = outputs / "training.svg"
    page.write_text(svg, encoding="utf-8")
    width, height = (float(size) for size in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0])
    photograph(page, DOCS / "training.png", round(width), round(height))


def photograph(page: Path, picture: Path, width: int, height: int) -> None:
    """A page or drawing as a browser shows it."""
    browsers = ("chromium", "google-chrome", "chromium-browser", "chrome")
    browser = next((found for name in browsers if (found := shutil.which(name))), None)
    assert browser, "the pictures of pages need Chromium or Chrome"
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}"]
        size = f"--window-size={width},{height}"
        command = [browser, *flags, size, f"--screenshot={picture}", page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)


def draw_windows(outputs: Path) -> None:
    """The window with a 4 in it, plain, with its X-ray, and with the inside of the network."""
    from PIL import ImageGrab

    app, screen = main.load("drawing.window.app"), main.load("drawing.window.screen")
    lab = Lab(Terminal(make_console()), outputs, main.load)
    readers = main.load("explain.commands").load_readers(lab, ["best"])
    session = main.load("drawing.commands").DrawingSession(lab, readers)
    root = screen.new_root()
    window = app.Window(root, session.predictors(), session)
    canvas = window.canvas.canvas
    wait(root, 1.0)
    for stroke in FOUR:
        for number, (x, y) in enumerate(stroke):
            scale = canvas.winfo_width() / 280
            event = "<Motion>" if number else "<Button-1>"
            canvas.event_generate(event, x=round(x * scale), y=round(y * scale), state=0x100 if number else 0)
        canvas.event_generate("<ButtonRelease-1>", x=round(x * scale), y=round(y * scale), state=0x100)
        wait(root, 0.3)
    window.looking.spot = main.load("drawing.window.inside_panel").Spot(layer=0, filter=4, row=6, column=6)
    for name, key in (("window.png", "m"), ("window-xray.png", "x"), ("window-inside.png", "i")):
        root.event_generate("<Key>", keysym=key)
        wait(root, 2.0)
        left, top = root.winfo_rootx(), root.winfo_rooty()
        box = (left, top, left + root.winfo_width(), top + root.winfo_height())
        ImageGrab.grab(box, xdisplay=os.environ.get("DISPLAY")).save(DOCS / name, optimize=True)
    screen.take_down(root)


def wait(root: object, seconds: float) -> None:
    """Let the window work for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        root.update()  # type: ignore[attr-defined]
        time.sleep(0.01)


def draw_all() -> None:
    """Every picture, the settings' table, and the fingerprints of what drew them."""
    prepare_environment()
    write_settings()
    with tempfile.TemporaryDirectory() as folder_of_all:
        os.chdir(folder_of_all)
        outputs = Path("outputs")
        outputs.mkdir()
        train(outputs)
        (film,) = outputs.glob("*/film.webp")
        shutil.copy(film, DOCS)
        shutil.copy(run(outputs, "data") / "augmentation.png", DOCS)
        drawing = outputs / "four.json"
        drawing.write_text(json.dumps({"label": 4, "strokes": FOUR}), encoding="utf-8")
        shutil.copy(run(outputs, "xray", "--drawing", str(drawing)) / "xray.png", DOCS)
        shutil.copy(run(outputs, "saliency", "--index", "8") / "saliency.png", DOCS)
        draw_windows(outputs)
        folder = run(outputs, "experiment", "robustness", "--seeds", "3", "--predict", "augmented > plain by 0.1")
        shutil.copy(folder / "robustness.png", DOCS)
        photograph(folder / "report.html", DOCS / "report.png", 1000, 1200)
        os.chdir(ROOT)
    prints = {name: fingerprint(files) for name, files in DRAWN_BY.items()}
    DRAWN.write_text(json.dumps(prints, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["settings"]:
        write_settings()
    else:
        draw_all()
