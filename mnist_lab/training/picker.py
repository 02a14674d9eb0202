"""How a run is asked for: one numbered list for every question of the menu, and the same names on the command line."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence

from rich.segment import Segment, Segments
from rich.text import Text

from mnist_lab.errors import RequestError, RunError, suggestion
from mnist_lab.report.document import Table
from mnist_lab.storage import is_file, is_folder
from mnist_lab.terminal.lab import Lab
from mnist_lab.terminal.wording import counted, format_duration, format_moment, percent_number, printable
from mnist_lab.training import page
from mnist_lab.training import runs as saved
from mnist_lab.training.runs import MY_DIGITS, RunRecord, list_runs, runs_numbered, runs_that_fit, words_meant

SORT_KEYS: dict[str, Callable[[RunRecord], float]] = {
    "date": lambda run: run.created.timestamp(),
    "val": lambda run: run.val_accuracy or 0.0,
    "test": lambda run: run.test_accuracy or 0.0,
    "epochs": lambda run: saved.epochs_done(run),
    "time": lambda run: run.train_seconds or 0.0,
    "parameters": lambda run: run.parameters,
}
"""What runs can be sorted by; the largest comes first."""

NAMES = "a number of the list that runs shows, latest, best (validation accuracy), or words that only this run has"
_WIDE = 112  # columns of a terminal in which every column finds room
_AROUND = 6  # lines of the screen that a page of runs leaves to its title, headings, hints and question


def add_run_options(parser: ArgumentParser, default: str, *, positional: bool = True) -> None:
    """The ways to name runs: by position, where no file stands there, and by --run; read with the two below."""
    if positional:
        parser.add_argument("runs", nargs="*", default=[], metavar="RUN", help=f"{NAMES} (default: {default})")
    about = "the same" if positional else f"{NAMES} (default: {default})"
    parser.add_argument("--run", action="append", default=[], dest="more_runs", metavar="RUN", help=about)


def runs_named(options: Namespace, default: str) -> list[str]:
    """The names of the runs that a command line gives, or the default one; ``4-10`` names seven."""
    names = [*getattr(options, "runs", []), *getattr(options, "more_runs", [])]
    found = list_runs(options.outputs)[0] if any(name[:1].isdecimal() for name in names) else []
    expanded: list[str] = []
    for name in names:
        numbered = [] if is_folder(options.outputs / name) else runs_numbered(name, found)  # an exact name comes first
        expanded += [run.name for run in numbered] or [name]
    return expanded or [default]


def run_named(options: Namespace, default: str) -> str:
    """The same for a command that takes one run; several words by position are one name."""
    names: list[str] = [" ".join(getattr(options, "runs", [])), *options.more_runs]
    names = [name for name in names if name] or [default]
    if len(names) > 1:
        raise RequestError(f"{len(names)} runs are named ({', '.join(names)})", "name one")
    return names[0]


def ask_run(lab: Lab, question: str, default: str = "latest", wanted: Callable[[RunRecord], bool] | None = None) -> str:
    """Ask for one run, evaluated or as ``wanted``; returns its name. ``RunError`` where there is none."""
    return ask_runs(lab, question, default, wanted, several=False)[0]


def ask_runs(
    lab: Lab, question: str, default: str, wanted: Callable[[RunRecord], bool] | None = None, *, several: bool = True
) -> list[str]:
    """Ask for one or ``several`` runs in the same way; a number in ``default`` counts the runs that are offered."""
    offered = [run for run in reversed(list_runs(lab.outputs)[0]) if (wanted(run) if wanted else run.is_evaluated)]
    if not offered:
        kind = "run" if wanted else "finished run"
        raise RunError(f"there is no {kind} to choose from in {lab.outputs}", "train one first")
    places = {str(place): str(run.number) for place, run in enumerate(offered, start=1)}
    words = [places.get(word, word) for word in default.split()]
    return [run.name for run in Picker(lab, offered, several=several).ask(question, " ".join(words))]


class Picker:
    """Some runs, the newest first, page by page, of which a question picks one or several."""

    def __init__(self, lab: Lab, runs: Sequence[RunRecord], *, several: bool = True) -> None:
        self.lab, self.runs, self.several = lab, runs, several
        self.sort, self.words, self.page = "date", "", 0

    def ask(self, question: str, default: str = "") -> list[RunRecord]:
        """Show pages until the answer names runs; without a default, Enter picks none."""
        while True:
            self.show()
            answer = self.lab.terminal.ask(question, "" if self.words else default, self.understand)
            if answer is not None:
                return answer

    def understand(self, answer: str) -> list[RunRecord] | None:
        """The runs that an answer picks; None if it has changed what is to be shown. ``ValueError`` if it is wrong."""
        words = answer.lower().split()
        if not answer:
            was_filtered, self.words, self.page = bool(self.words), "", 0
            return None if was_filtered else []
        if answer.lower() in ("n", "next", "p", "previous"):
            turned = self.page + (1 if words[0].startswith("n") else -1)
            if not 0 <= turned < len(self._pages()):
                raise ValueError(f"this is the {'first' if turned < 0 else 'last'} page")
            self.page = turned
        elif answer.lower() in SORT_KEYS or words[0] == "sort":
            key = words[-1]
            if key not in SORT_KEYS:
                raise ValueError(f"runs can't be sorted by {key!r}; {suggestion(key, SORT_KEYS)}")
            self.sort, self.page = key, 0
        else:
            found = self._named(answer)
            if len(found) > 1 and not self.several:
                raise ValueError("name one run")
            if found:
                return found
            if not runs_that_fit(answer, self.runs):
                otherwise = "answer with numbers that the list shows, or with words that a run has"
                raise ValueError(f"{answer!r} fits no run here; {words_meant(answer, self.runs, otherwise)}")
            self.words, self.page = answer, 0
        return None

    def _named(self, answer: str) -> list[RunRecord]:
        """The runs that an answer names one by one; none if it is words that several have."""
        by_name = {run.name: run for run in self.runs}
        evaluated = [run for run in self.runs if run.is_evaluated] or self.runs
        by_name["latest"] = evaluated[0]
        by_name["best"] = max(evaluated, key=lambda run: run.val_accuracy or 0.0)
        parts, named = answer.replace(",", " ").split(), list[list[RunRecord]]()
        if all(part in by_name or part.replace("-", "").isdecimal() for part in parts):
            named = [[by_name[part]] if part in by_name else runs_numbered(part, self.runs) for part in parts]
        if named and all(named):
            return list({run.name: run for several in named for run in several}.values())
        fitting = runs_that_fit(answer, self.runs)
        return fitting if len(fitting) == 1 else []

    def _listed(self) -> list[RunRecord]:
        return ranked(runs_that_fit(self.words, self.runs) if self.words else self.runs, self.sort)

    def _pages(self) -> list[list[RunRecord]]:
        """The runs listed, as many on a page as the screen has lines for them, their notes and their letters."""
        console = self.lab.terminal.console
        room, pages = max(6, console.height - _AROUND), [list[RunRecord]()]
        for run in self._listed():
            fuller = [*pages[-1], run]
            letters = {run.changes for run in fuller if run.changes}
            lines = sum(1 + bool(run.note) for run in fuller) + sum(1 + len(one) // console.width for one in letters)
            if lines > room and pages[-1]:
                pages.append([run])
            else:
                pages[-1] = fuller
        return pages

    def show(self) -> None:
        """The page, what the letters in it mean, and what else can be answered."""
        pages, listed = self._pages(), len(self._listed())
        self.page = min(self.page, len(pages) - 1)
        fitting = f" that fit {self.words!r}" if self.words else ""
        show_runs(self.lab, pages[self.page], f"{counted(listed, 'run')}{fitting}", self.sort)
        turn = f"page {self.page + 1} of {len(pages)}: n, p · " if len(pages) > 1 else ""
        self.lab.terminal.hint(f"{turn}sort {'|'.join(SORT_KEYS)} · words: filter")


def ranked(newest: Sequence[RunRecord], sort: str) -> list[RunRecord]:
    """Runs, given newest first, by one of :data:`SORT_KEYS`: largest first, newest of equals first, unfinished last."""
    if sort == "date":
        return list(newest)
    return sorted(newest, key=lambda run: (run.val_accuracy is not None, SORT_KEYS[sort](run)), reverse=True)


def show_runs(lab: Lab, shown: Sequence[RunRecord], title: str, sort: str = "date") -> None:
    """A table of runs with their numbers, the user's note below each, and what the letters stand for."""
    terminal, table = lab.terminal, _table(lab, shown, title, sort)
    needed = terminal.console.measure(table.on_screen(), options=terminal.console.options.update_width(1000)).maximum
    gap = 2 if needed <= terminal.console.width else 1
    lines = terminal.console.render_lines(table.on_screen(gap), pad=False)
    notes = [""] * (len(lines) - len(shown)) + [run.note for run in shown]
    for line, note in zip(lines, notes, strict=True):
        terminal.console.print(Segments([*line, Segment.line()]), end="")
        if note:
            text = Text(f"     {printable(note)}", "hint")
            terminal.console.print(text, no_wrap=True, overflow="ellipsis")
    for letter, changes in page.recipe_notes(shown).items():
        terminal.hint(f"{letter}: {changes}")
    if any(run.status == "interrupted" for run in shown):
        terminal.hint("*: interrupted, before its last epoch")


def _table(lab: Lab, shown: Sequence[RunRecord], title: str, sort: str) -> Table:
    """The table of runs; in 80 columns, what it is sorted by and the user's own digits take the interval's place.

    An asterisk after the epochs marks an interrupted run, a letter after the network one of ``recipe_notes``. If there
    are marks, how the evaluated runs did on the user's own digits, by the run's name, they get a column.
    """
    marks, now, wide = marks_of(lab, shown), lab.now(), lab.terminal.console.width >= _WIDE
    columns: dict[str, Callable[[RunRecord], str | Text]] = {
        "": lambda run: Text(str(run.number), "key"),
        "network": page.with_recipe_letter(shown, lambda run: f"{run.model}{' aug' if run.augment else ''}"),
        "seed": lambda run: str(run.seed),
        "epochs": lambda run: f"{saved.epochs_done(run)}{'*' if run.status == 'interrupted' else ''}",
        "val %": lambda run: percent_number(run.val_accuracy),
        "test %": lambda run: saved.status_of(run) if run.test_accuracy is None else percent_number(run.test_accuracy),
        "95 % interval": lambda run: "–".join(percent_number(end) for end in run.test_interval or ()),
        "my digits": lambda run: page.mark_cell(marks[run.name]) if run.name in marks else "",
        "time": lambda run: format_duration(run.train_seconds),
        "params": lambda run: f"{run.parameters / 1000:,.0f} k",
        "date": lambda run: format_moment(run.created.astimezone().replace(tzinfo=None), now),
    }
    extra = {"time": "time", "parameters": "params"}.get(sort) or ("my digits" if marks else "95 % interval")
    left_out = set() if marks else {"my digits"}
    if not wide:
        left_out |= {"95 % interval", "my digits", "time", "params"} - {extra}
    for heading in left_out:
        del columns[heading]
    rows = [[cell(run) for cell in columns.values()] for run in shown]
    title += ", newest first" if sort == "date" else f", by {sort}"
    return Table(title, list(columns), rows, numeric=[0, *range(2, len(columns) - 1)])


def marks_of(lab: Lab, listed: Sequence[RunRecord]) -> dict[str, page.Mark | None]:
    """How many of the user's own digits each evaluated run recognises; empty if there are no such digits."""
    return lab.load("drawing.own_digits").marks_of(lab, listed) if is_file(lab.outputs / MY_DIGITS) else {}
