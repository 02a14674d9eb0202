"""The lab's commands as real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "main.py"]


def run(*arguments: str | Path, input_text: str = "", threads: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | ({"OMP_NUM_THREADS": threads} if threads else {}),
        input=input_text,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )


def unavailable(what: str) -> None:
    """On a desk, a missing tool skips the tests that need it; where everything is installed, it is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")


def run_python(code: str, *arguments: str | Path, **environment: str) -> str:
    """What a program of a few lines prints; it has to succeed."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    ).stdout


def wait_for(condition: Any, process: subprocess.Popen[str]) -> None:
    """Wait until something is seen on disk; a process that ended before is a failure."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
