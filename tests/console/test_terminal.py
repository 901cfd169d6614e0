"""The installed program on a real terminal."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tests.console.cli_bed import COMMAND, environment, strategy_file
from tests.console.terminal_bed import Terminal


def open_terminal(folder: Path, *arguments: str, size: tuple[int, int] = (120, 40)) -> Terminal:
    home = folder / "home"
    home.mkdir()
    return Terminal([COMMAND, *arguments], cwd=folder, environment=environment(home), size=size)


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
def test_the_demo_shows_signals_arriving_and_quits(tmp_path: Path, size: tuple[int, int]) -> None:
    with open_terminal(tmp_path, "demo", size=size) as terminal:
        terminal.until("SIMULATED x60")
        # In the feed, or in a toast where the feed has no room.
        terminal.until(lambda text: re.search(r"(opened|closed) +(long|short|[A-Z]+USDT)", text))
        terminal.press("q")
        terminal.until("Quit signaldeck?")
        terminal.press("\x1b")
        terminal.until(lambda text: "Quit signaldeck?" not in text)
        terminal.press("q")
        terminal.until("Quit signaldeck?")
        terminal.press("\x1b[C\r")
        assert terminal.status() == 0
        assert "Traceback" not in terminal.text
    assert [path.name for path in tmp_path.glob("*.db")] == ["demo-state.db"]


def test_a_killed_demo_goes_on_with_its_runs(tmp_path: Path) -> None:
    with open_terminal(tmp_path, "demo") as terminal:
        terminal.until(lambda text: re.search(r"(opened|closed) +(long|short|[A-Z]+USDT)", text))
        terminal.process.kill()
        assert terminal.status() == -signal.SIGKILL
    (tmp_path / "home").rename(tmp_path / "old")
    with open_terminal(tmp_path, "demo") as terminal:
        terminal.until("8 live runs restored")
        terminal.until(lambda text: re.search(r"Signal feed +[1-9]", text))
        terminal.press("q")
        terminal.until("Keep and resume")
        terminal.press("\x1b[C\r")
        assert terminal.status() == 0


def test_a_request_to_terminate_ends_it_in_good_order(tmp_path: Path) -> None:
    with open_terminal(tmp_path, "demo") as terminal:
        terminal.until("SIMULATED x60")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.status() == 0
        assert "Traceback" not in terminal.text


def test_the_console_opens_on_a_project_and_quits(tmp_path: Path) -> None:
    strategy_file(tmp_path / "strategies", "own", "return None")
    with open_terminal(tmp_path) as terminal:
        terminal.until("SIGNALS ONLY - no orders are sent")
        # No live run is left alone, so the process can be suspended.
        terminal.press("\x1a")
        state = Path(f"/proc/{terminal.process.pid}/stat")
        terminal.wait(lambda: state.read_text().rpartition(")")[2].split()[0] == "T")
        terminal.screen.reset()
        terminal.process.send_signal(signal.SIGCONT)
        terminal.until("SIGNALS ONLY - no orders are sent")
        terminal.press("q")
        terminal.until("No live run is going on")
        terminal.press("\x1b[C\r")
        assert terminal.status() == 0


def test_a_backtest_shows_progress_and_stops_in_good_order(tmp_path: Path) -> None:
    frame = ("--from", "2021-01-01", "--to", "2025-01-01")
    options = ("--symbol", "BTCUSDT", "--exchange", "simulated", *frame)
    with open_terminal(tmp_path, "backtest", "rsi-reversion", *options) as terminal:
        terminal.until(lambda text: re.search(r"rsi-reversion BTCUSDT .* [1-9] ?%", text))
        terminal.press("\x03")
        assert terminal.status() == 1
        assert "stopped before the end" in terminal.text and "Traceback" not in terminal.text


def test_a_wrong_key_name_is_said_before_the_console_opens(tmp_path: Path) -> None:
    (tmp_path / "signaldeck.toml").write_text('[keys]\n"run.stopp" = "z"\n')
    with open_terminal(tmp_path) as terminal:
        assert terminal.status() == 2
        said = terminal.text.replace("\n", "")
        assert (
            "signaldeck.toml:2: no key is called 'run.stopp'" in said
            and "Traceback" not in terminal.text
        )
