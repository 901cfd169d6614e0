"""The console in trouble on a real terminal: failing screens, hang-ups, suspension."""

from __future__ import annotations

import os
import pty
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.terminal import HangUpWatch
from engine.runtime import open_reader
from tests.console.cli_bed import environment
from tests.console.terminal_bed import TIMEOUT, Terminal

SCRIPT = Path(__file__).with_name("failing_console.py")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def log_of(home: Path) -> str:
    return "".join(path.read_text() for path in home.rglob("signaldeck.log"))


def until(holds: str, home: Path) -> str:
    """Wait until the log says something."""
    deadline = time.monotonic() + TIMEOUT
    while holds not in (text := log_of(home)):
        assert time.monotonic() < deadline, text
        time.sleep(0.02)
    return text


def newest_beat(state: Path) -> int:
    with open_reader(state) as reader:
        return max(run.telemetry.heartbeat for run in reader.snapshot().runs if run.telemetry)


@pytest.fixture
def failing(tmp_path: Path, home: Path) -> Iterator[Terminal]:
    command = [sys.executable, str(SCRIPT), str(tmp_path / "state.db"), "continue"]
    with Terminal(command, cwd=ROOT, environment=environment(home)) as terminal:
        yield terminal


def test_a_console_in_trouble_goes_on(failing: Terminal, tmp_path: Path, home: Path) -> None:
    terminal = failing
    terminal.until("SIMULATED x60")
    terminal.until("Signal feed")

    terminal.resize(100, 30)
    terminal.until(lambda text: 90 < text.partition("\n")[0].rfind("UTC") < 100)

    # Stopping the process would leave the live runs alone, whoever asks for it.
    terminal.press("\x1a")
    terminal.until("would not be watched")
    terminal.process.send_signal(signal.SIGTSTP)

    terminal.press("8")
    text = terminal.until(lambda text: "The Log screen has failed" in text and "quits." in text)
    assert "ZeroDivisionError: nobody has divided" in text and "Traceback" not in text
    assert re.search(r"The engine goes on: \d+ live runs running", text)
    reference = re.search(r"Reference ([0-9a-f]{6}) in the log", text)
    assert reference is not None
    assert "content" not in text and "a thread of" not in text
    terminal.press("\x1b")
    terminal.until("Signal feed")
    for elsewhere in ("a library is not content", "a thread of a library has failed"):
        assert elsewhere in log_of(home)
    noted = log_of(home)
    assert f"interface failure {reference[1]} on Log" in noted and "Traceback" in noted

    # The window is closed; the runs go on until somebody ends the process.
    terminal.hang_up()
    until("the terminal is gone: 8 live run(s) go on without it", home)
    before = newest_beat(tmp_path / "state.db")
    deadline = time.monotonic() + TIMEOUT
    while newest_beat(tmp_path / "state.db") == before:
        assert terminal.process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.process.wait(TIMEOUT) == 0
    assert "8 live run(s) go on at the next start" in log_of(home)


def test_a_terminal_that_hangs_up_is_noticed_without_a_signal() -> None:
    ours, theirs = pty.openpty()
    told = threading.Event()
    before = signal.signal(signal.SIGHUP, lambda *_: told.set())
    try:
        with HangUpWatch(theirs) as watch:
            assert not watch.hung_up and not told.is_set()
            os.close(ours)
            deadline = time.monotonic() + TIMEOUT
            while not told.is_set():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert watch.hung_up
    finally:
        signal.signal(signal.SIGHUP, before)
        os.close(theirs)
