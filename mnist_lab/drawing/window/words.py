"""What the window says, and what its keys ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def verdict(winners: Sequence[int], runners_up: Sequence[tuple[int, float]]) -> str:
    """What the voters say together, in one sentence.

    Args:
        winners: each voter's most probable digit; at least one.
        runners_up: each voter's second, with its probability 0..1.
    """
    first = winners[0]
    if len(set(winners)) > 1:
        return f"they disagree: {', '.join(map(str, winners))}"
    if len(winners) > 1:
        return f"{('both', 'all three', 'all four')[len(winners) - 2]} say {first}"
    second, probability = runners_up[0]
    return f"{with_article(first)}, or perhaps {with_article(second)}" if probability >= 0.1 else with_article(first)


def with_article(digit: int) -> str:
    """``a 7``, ``an 8``."""
    return f"{'an' if digit == 8 else 'a'} {digit}"


def shortened(text: str, width: int, measure: Callable[[str], int]) -> str:
    """The end of a text, after an ellipsis, where all of it would be wider than allowed.

    The ends are what differs between the names of runs, and between places on a disk.
    """
    if measure(text) <= width:
        return text
    while text and measure(f"…{text}") > width:
        text = text[1:]
    return f"…{text}"


COMMANDS = {
    "z": "undo",
    "y": "redo",
    "c": "clear",
    "s": "save",
    "m": "map",
    "x": "xray",
    "r": "reset",
    "escape": "close",
}
"""What each key does; the digits label the drawing."""


def command_for(key: str, *, modified: bool, shifted: bool = False) -> str | None:
    """What a key asks for: a command by its name, a label "0" to "9", or None.

    Args:
        key: as Tk names it ("z", "Escape", "KP_7").
        modified: whether Control (Command on a Mac) or Alt is held.
        shifted: whether Shift is held as well.
    """
    key = key.lower()  # so that a caps lock does no harm
    if modified:
        return {"z": "redo" if shifted else "undo", "y": "redo"}.get(key)
    digit = key.removeprefix("kp_")
    return digit if digit in set("0123456789") else COMMANDS.get(key)
