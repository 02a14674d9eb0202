"""Input and output as a shell hands them to a process: pipes, closed ones, full disks, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import COMMAND, ROOT, run, wait_for
from tests.training.test_runs import make_run


@pytest.mark.integration
def test_a_session_over_a_pipe() -> None:
    done = run(input_text="models\nnonsense\n")
    assert done.returncode == 0
    assert "3-layer: 3 convolution layers" in done.stdout
    assert "'nonsense' is not one of the choices" in done.stdout
    assert done.stderr == ""


def in_shell(redirected: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A command with its streams redirected as a shell does it."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirected}', "sh", *COMMAND, *map(str, arguments)],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.integration
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
@pytest.mark.parametrize("words", [[], ["models"], ["runs"], ["report"]])
def test_an_output_that_cannot_be_written_takes_one_line(tmp_path: Path, words: list[str]) -> None:
    make_run(tmp_path, "one")
    done = in_shell(">/dev/full", *words, "--outputs", tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("can't write the output: no space left on device; ")


@pytest.mark.integration
@pytest.mark.skipif(sys.platform == "win32", reason="no shell to close streams with")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("words", "shown"), [([], "Choose (number"), (["runs"], "1 run, newest first")])
def test_closed_streams_do_no_harm(tmp_path: Path, closed: str, words: list[str], shown: str) -> None:
    make_run(tmp_path, "one")
    done = in_shell(closed, *words, "--outputs", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (shown in done.stdout) == (closed in ("<&-", "2>&-"))


@pytest.mark.integration
@pytest.mark.skipif(sys.platform == "win32", reason="no signal tells of a closed pipe there")
def test_a_reader_that_has_read_enough_is_not_an_error(tmp_path: Path) -> None:
    make_run(tmp_path, "one")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "runs", "--outputs", str(tmp_path)], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.integration
@pytest.mark.skipif(sys.platform != "linux", reason="it takes /proc to see what a process has loaded")
@pytest.mark.parametrize("library", ["multiarray", "libc10", "libtorch_python"])
def test_ctrl_c_while_libraries_are_loaded_ends_without_a_word(library: str) -> None:
    command = [sys.executable, "main.py", "models"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: library in maps_of(process.pid), process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error


def maps_of(pid: int) -> str:
    """What a process has mapped into its memory."""
    return Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
