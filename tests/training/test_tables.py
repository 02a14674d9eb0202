"""The lists of runs: they fit the terminal, and show the user's own digits."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from mnist_lab.terminal.console import make_console
from mnist_lab.training.page import Mark, leaderboard, recipe_table
from mnist_lab.training.runs import read_run
from tests.training.test_runs import START, make_run


def test_the_tables_fit_80_columns(tmp_path: Path) -> None:
    run = replace(
        read_run(make_run(tmp_path, "2026-11-22_14-30-05_3-layer-aug")),
        model="3-layer",
        augment=True,
        epochs_run=100,
        train_seconds=59 * 60 + 59,
    )
    listed = [
        replace(run, folder=tmp_path / f"{day}", created=START + timedelta(days=day), status=status)
        for day, status in enumerate(("finished", "interrupted", "running"))
    ]
    listed[2] = replace(listed[2], test_accuracy=None)
    members = [replace(run, folder=Path(f"{seed}"), seed=seed, test_accuracy=0.9 + seed / 1000) for seed in range(99)]
    marks = {one.name: Mark(98, 99) for one in (*listed[:2], *members)}
    console = make_console(file=io.StringIO(), width=80)
    for table in (
        *(leaderboard(listed, sort, shown, wide=False) for sort in ("val", "parameters") for shown in (marks, {})),
        recipe_table(members, marks),
    ):
        screen = table.on_screen(gap=1)
        assert console.measure(screen, options=console.options.update(max_width=200)).maximum <= 80


def test_many_drawings_are_shown_in_percent_and_recipes_by_their_mean(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, "run"))
    twin, lost = replace(run, folder=tmp_path / "twin", seed=1), replace(run, folder=tmp_path / "lost", seed=2)
    marks = {"run": Mark(950, 1000), "twin": Mark(960, 1000), "lost": None}
    runs = leaderboard([run, twin, lost], "val", marks, wide=False)
    assert [row[runs.headings.index("my digits")] for row in runs.rows] == ["95.0 %", "96.0 %", "–"]
    (recipe,) = recipe_table([run, twin, lost], marks).rows
    assert "95.5" in recipe
