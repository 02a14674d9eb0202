"""Which key asks the window for what."""

from __future__ import annotations

_KEYS = {
    **{"z": "undo", "y": "redo", "c": "clear", "s": "save", "m": "map", "x": "xray", "i": "inside", "v": "film"},
    **{"r": "reset", "g": "gallery", "p": "personalise", "h": "help", "question": "help", "f1": "help"},
    **{"f11": "full screen", "f": "full screen", "escape": "close", "backspace": "take back"},
}


def command_for(key: str, *, modified: bool, shifted: bool = False) -> str | None:
    """What a key as Tk names it ("z", "Escape", "KP_7") asks for: a command, a label "0" to "9", or None."""
    key = key.lower()  # so that Caps Lock does no harm
    if modified:
        return {"z": "redo" if shifted else "undo", "y": "redo"}.get(key)
    digit = key.removeprefix("kp_")
    return digit if digit in set("0123456789") else _KEYS.get(key)
