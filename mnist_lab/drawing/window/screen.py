"""The main window as the screen gives it, before anything is in it, and its end."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

from mnist_lab.errors import LabError

TKINTER_MISSING = ""
try:
    import tkinter as tk
except ImportError as error:  # such a Python can still do everything else, so it is reported when a window is asked for
    TKINTER_MISSING = str(error)


def new_root() -> tk.Tk:
    """The main window, still hidden; a LabError says that there is no tkinter, or no display."""
    alternative = "or recognise a picture from a file: python main.py predict IMAGE"
    if TKINTER_MISSING:
        advice = (
            "install it (Linux: apt install python3-tk, or dnf install python3-tkinter; Homebrew: brew install "
            'python-tk; Windows: run the installer from python.org again, choose "Modify" and tick "tcl/tk"), '
        )
        raise LabError(f"this Python has no tkinter, which draws windows ({TKINTER_MISSING})", advice + alternative)
    if sys.platform == "win32":  # ask for real pixels; otherwise Windows enlarges the window like a photograph
        with suppress(AttributeError, OSError):  # before Windows 8.1, or already decided by somebody else
            ctypes.windll.shcore.SetProcessDpiAwareness(1)
    try:
        root = tk.Tk(className="MnistLab")
    except tk.TclError as error:
        advice = f"work at a screen, or connect with ssh -X, {alternative}"
        raise LabError(f"no window can be opened ({error})", advice) from None
    root.withdraw()
    return root


def take_down(root: tk.Tk) -> None:
    """Destroy the window, with all that was still to happen in it."""
    for pending in root.tk.splitlist(root.tk.call("after", "info")):
        root.after_cancel(pending)
    root.destroy()


def density_of(root: tk.Tk) -> float:
    """Dots per inch of the screen, divided by 96; 1 to 4, whatever a screen or a setting claims."""
    windowing = root.tk.call("tk", "windowingsystem")
    if windowing == "aqua":
        return 1.0  # a Mac counts in points and fills in the pixels itself
    if windowing == "x11":
        # Fonts follow the desktop's choice, Xft.dpi; Tk 8.6 must be told to use the same resolution. The X server's
        # settings are options of a program of the class that they begin with.
        probe = tk.Tk(className="Xft")
        chosen = str(probe.tk.call("option", "get", ".", "dpi", ""))
        probe.destroy()
        with suppress(ValueError):  # not set
            if 50 <= float(chosen) <= 1000:  # nobody's choice lies beyond
                root.tk.call("tk", "scaling", float(chosen) / 72)
    return max(1.0, min(4.0, root.winfo_fpixels("1i") / 96))
