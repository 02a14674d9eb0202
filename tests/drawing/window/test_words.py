"""What the window says, and what its keys ask for."""

from __future__ import annotations

import pytest

from mnist_lab.drawing.window.words import command_for, shortened, verdict


def test_the_verdict_is_one_sentence() -> None:
    assert verdict([3], [(8, 0.01)]) == "a 3"
    assert verdict([8], [(3, 0.3)]) == "an 8, or perhaps a 3"
    assert verdict([3, 3], [(8, 0.4), (8, 0.4)]) == "both say 3"
    assert verdict([3, 3, 3], [(8, 0.4)] * 3) == "all three say 3"
    assert verdict([3, 8, 3, 3], [(8, 0.4)] * 4) == "they disagree: 3, 8, 3, 3"


def test_long_names_keep_their_ends() -> None:
    assert shortened("3-layer", 7, len) == "3-layer"
    assert shortened("2026-11-22_3-layer-aug", 12, len) == "…3-layer-aug"
    assert shortened("anything", 0, len) == "…"


@pytest.mark.parametrize(
    ("key", "modified", "shifted", "command"),
    [
        ("z", False, False, "undo"),
        ("Z", False, False, "undo"),
        ("z", True, False, "undo"),
        ("Z", True, True, "redo"),
        ("y", True, False, "redo"),
        ("y", False, False, "redo"),
        ("c", False, False, "clear"),
        ("c", True, False, None),  # out of habit, to copy
        ("s", False, False, "save"),
        ("m", False, False, "map"),
        ("x", False, False, "xray"),
        ("x", True, False, None),  # out of habit, to cut
        ("r", False, False, "reset"),
        ("Escape", False, False, "close"),
        ("7", False, False, "7"),
        ("KP_0", False, False, "0"),
        ("7", True, False, None),
        ("F7", False, False, None),
        ("KP_Enter", False, False, None),
        ("", False, False, None),
    ],
)
def test_keys(key: str, modified: bool, shifted: bool, command: str | None) -> None:
    assert command_for(key, modified=modified, shifted=shifted) == command
