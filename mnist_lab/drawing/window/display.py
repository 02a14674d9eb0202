"""The display that windows are on: whether there is one, how sharp it is, and what follows when it vanishes."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from mnist_lab.errors import LabError

# A Python built without Tk can still do everything else, so the lack is told when a window is asked for.
try:
    import tkinter as tk
except ImportError as error:
    TKINTER_MISSING = str(error)
else:
    TKINTER_MISSING = ""

ALTERNATIVE = "or recognise a picture from a file: python main.py predict IMAGE"

ROOM_FOR_REQUESTS = ("XLIBBUFFERSIZE", "4096")
"""Kilobytes in which Xlib collects what is to be drawn. Once the display has vanished they are never emptied again, and
an overflow would crash: Tk must be able to end what it is drawing just then, for which Xlib's usual 16 may not do."""


class DisplayError(LabError):
    """There is no tkinter, no display, or the display has vanished."""


def check_display() -> None:
    """Refuse where no window could be opened, before Tk is asked.

    Raises:
        DisplayError: there is no tkinter, or the display that an earlier window was on has vanished since.
    """
    if TKINTER_MISSING:
        raise DisplayError(
            f"this Python has no tkinter, which draws windows ({TKINTER_MISSING})",
            f"{tkinter_advice(sys.platform)}, {ALTERNATIVE}",
        )
    connection = CONNECTIONS.get(display_name())
    if connection is not None and not connection.is_alive():
        raise vanished()


def tkinter_advice(platform: str) -> str:
    """How to get tkinter, by ``sys.platform``."""
    if platform == "win32":
        return 'run the installer from python.org again, choose "Modify" and tick "tcl/tk"'
    if platform == "darwin":
        return "install it (Homebrew: brew install python-tk; the installer from python.org has it)"
    return "install it (apt install python3-tk, or dnf install python3-tkinter)"


def vanished() -> DisplayError:
    """The display is gone, and with it the window."""
    next_step = f"start the program again where there is a display, {ALTERNATIVE}"
    return DisplayError(f"the display {display_name()} has vanished".replace("  ", " "), next_step)


def display_name() -> str:
    """What Tk takes for the name of the display on X11."""
    return os.environ.get("DISPLAY", "")


@contextmanager
def main_window() -> Iterator[tk.Tk]:
    """A main window, still hidden; nothing of it is left afterwards.

    Raises:
        DisplayError: there is no display, or it has vanished meanwhile.
    """
    root = new_root()
    connection = watch_connection(root)
    try:
        yield root
    except tk.TclError:
        if connection is None or not connection.is_lost:
            raise
    finally:
        take_down(root)
        if connection is not None:
            connection.on_loss = nothing_to_do
    if connection is not None and connection.is_lost:
        raise vanished()


def new_root() -> tk.Tk:
    """The main window, still hidden.

    Raises:
        DisplayError: there is no display to show it on.
    """
    if sys.platform == "win32":
        be_sharp_on_windows()
    os.environ.setdefault(*ROOM_FOR_REQUESTS)
    try:
        root = tk.Tk(className="MnistLab")
    except tk.TclError as error:
        advice = "work at a screen, or connect with ssh -X"
        raise DisplayError(f"no window can be opened ({error})", f"{advice}, {ALTERNATIVE}") from None
    root.withdraw()
    return root


def take_down(root: tk.Tk) -> None:
    """Destroy the window, with all that was still to happen in it."""
    for pending in root.tk.splitlist(root.tk.call("after", "info")):
        root.after_cancel(pending)
    root.destroy()


def be_sharp_on_windows() -> None:
    """Ask for real pixels; otherwise Windows enlarges the window like a photograph."""
    with suppress(AttributeError, OSError):  # before Windows 8.1, or already decided by somebody else
        ctypes.windll.shcore.SetProcessDpiAwareness(1)  # type: ignore[attr-defined, unused-ignore]


def density(root: tk.Tk) -> float:
    """Dots per inch of the screen, divided by 96; 1 to 4, whatever a screen or a setting claims."""
    if root.tk.call("tk", "windowingsystem") == "aqua":
        return 1.0  # a Mac counts in points and fills in the pixels itself
    connection = CONNECTIONS.get(display_name())
    chosen = connection.dots_per_inch() if connection is not None else None
    if chosen is not None:
        # Fonts follow the desktop's choice whether asked to or not; so Tk must reckon with the same inches.
        root.tk.call("tk", "scaling", chosen / 72)
    return max(1.0, min(4.0, root.winfo_fpixels("1i") / 96))


def nothing_to_do() -> None:
    """What follows from a lost display while no window is open."""


class Connection:
    """Tk's connection to an X server, which must not take the whole program with it when it breaks.

    By default Xlib ends the process then. libX11 1.7 (2020) and later can be told not to, per connection; Tk does not
    do so, and its connection has to be found through its own functions. Tk never closes it, but uses it again for
    every later window on the same display; when that is gone, the next window would abort the process.
    """

    def __init__(self, library: ctypes.CDLL, display: int) -> None:
        self._library, self._display = library, display
        self.is_lost = False
        self.on_loss: Callable[[], object] = nothing_to_do
        # Kept for as long as Xlib may call them, which is for ever.
        self._silence = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(lambda display: 0)
        self._exit = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(lambda display, data: self._lose())
        library.XSetIOErrorHandler(self._silence)  # its own would print
        library.XSetIOErrorExitHandler(ctypes.c_void_p(display), self._exit, None)

    def _lose(self) -> None:
        self.is_lost = True
        self.on_loss()

    def is_alive(self) -> bool:
        """Ask the server for a sign of life."""
        if not self.is_lost:
            self._library.XSync(ctypes.c_void_p(self._display), 0)
        return not self.is_lost

    def dots_per_inch(self) -> float | None:
        """What the user's desktop has chosen (``Xft.dpi``), which Tk 8.6 does not look at; None where it has not.

        Nobody's choice is below 50 or above 1,000.
        """
        read = self._library.XResourceManagerString
        read.restype = ctypes.c_char_p
        for line in (read(ctypes.c_void_p(self._display)) or b"").decode("latin-1").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "Xft.dpi":
                with suppress(ValueError):
                    chosen = float(value)
                    return chosen if 50 <= chosen <= 1000 else None
        return None


CONNECTIONS: dict[str, Connection] = {}
"""By display; Tk keeps such a list, too, and never takes anything off it."""


def watch_connection(root: tk.Tk) -> Connection | None:
    """See to it that a vanished display ends the window, not the process.

    Returns:
        The connection; None where there is none (Windows, macOS), or where it can't be had (an old libX11, or a
        Python with Tk built in): there, Xlib ends the process with a message of its own.
    """
    if root.tk.call("tk", "windowingsystem") != "x11":
        return None
    name = display_name()
    if name not in CONNECTIONS:
        display = tk_display(root)
        if display is None:
            return None
        CONNECTIONS[name] = Connection(*display)
    CONNECTIONS[name].on_loss = root.quit
    return CONNECTIONS[name]


def tk_display(root: tk.Tk) -> tuple[ctypes.CDLL, int] | None:
    """The library through which Tk and Xlib can be called, and the address of Xlib's ``Display``."""
    import _tkinter

    # Looking names up in tkinter's own module finds the very Tk and Xlib that it is linked to.
    library = ctypes.CDLL(getattr(_tkinter, "__file__", None))
    try:
        main_window = library.Tk_MainWindow
        _ = library.XSetIOErrorHandler, library.XSetIOErrorExitHandler, library.XSync, library.XResourceManagerString
    except AttributeError:
        return None
    main_window.restype = ctypes.POINTER(ctypes.c_void_p)
    window = main_window(ctypes.c_void_p(root.tk.interpaddr()))
    display = window[0] if window else None  # the first field of a Tk_Window (tk.h, Tk_FakeWin)
    return None if display is None else (library, display)
