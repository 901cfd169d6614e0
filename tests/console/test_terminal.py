"""The installed program on a real terminal."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from tests.console.cli_bed import COMMAND, environment, strategy_file
from tests.console.terminal_bed import Terminal


def open_terminal(folder: Path, *arguments: str, size: tuple[int, int] = (120, 40)) -> Terminal:
    home = folder / "home"
    home.mkdir()
    # Where it has been started from may have left another size, which does not count.
    told = {**environment(home), "COLUMNS": "80", "LINES": "24"}
    return Terminal([COMMAND, *arguments], cwd=folder, environment=told, size=size)


MODES = ("Deck", "Signals", "Scheduled", "Risk", "Backtests", "Walkers", "Performance", "Log")
HOLDS = (
    "import engine; p = (await engine.get_candles(symbol, '1m', 1)).close[-1]; "
    "return Signal('long', p*1.1, p*0.9, 1400)"
)
"""A strategy's answer: a position that stays open for 23 real minutes of the demo."""


def run_line(text: str, symbol: str) -> str:
    """The line of the Deck that shows the run of ``holds`` on a symbol."""
    found = re.search(rf"^.*{symbol} +holds .*$", text.partition("Signal feed")[0], re.MULTILINE)
    return found[0] if found else ""


def quit_keeping(terminal: Terminal) -> None:
    """Quit; what runs goes on at the next start."""
    terminal.press("q")
    terminal.until("Keep and resume")
    terminal.press("\x1b[C\r")
    assert terminal.status() == 0
    assert "Traceback" not in terminal.text


def test_a_night_in_the_demo_by_keyboard(tmp_path: Path) -> None:
    strategy_file(tmp_path / "own", "holds", HOLDS)
    size = (160, 48)
    with open_terminal(tmp_path, "demo", "--strategies", "own", size=size) as terminal:
        terminal.until("SIMULATED x60")
        for number, name in enumerate(MODES, start=1):
            terminal.press(str(number))
            terminal.until(f"[{name}]")

        terminal.press("5nbreakout\r")
        terminal.until(lambda text: re.search(r"done .*breakout", text))

        terminal.press("1n")
        terminal.until("esc cancel")
        terminal.press("holds\t")
        terminal.until("▸ simulated")
        terminal.press("\t")
        terminal.until("DOGEUSDT")
        terminal.press("BNBUSDT, XRPUSDT\r")
        for symbol in ("BNBUSDT", "XRPUSDT"):
            terminal.until(lambda text, symbol=symbol: " long " in run_line(text, symbol))

        terminal.until(lambda text: run_line(text, "BNBUSDT").startswith("▸"))
        mine, other = "BNBUSDT", "XRPUSDT"
        terminal.press("x")
        terminal.until(f"Stop holds on {mine}?")
        terminal.press("y")
        terminal.until(lambda text: "draining" in run_line(text, mine))
        terminal.press("X")
        terminal.until(f"Type {mine} to confirm")
        terminal.press(f"{mine}\r")
        terminal.until(lambda text: "done" in run_line(text, mine))
        held = re.search(r" long +(\S+)", run_line(terminal.text, other))
        assert held
        terminal.process.kill()
        assert terminal.status() == -signal.SIGKILL

    (tmp_path / "home").rename(tmp_path / "before")
    with open_terminal(tmp_path, "demo", "--strategies", "own", size=size) as terminal:
        terminal.until("live runs restored")
        terminal.until(lambda text: re.search(rf" long +{held[1]} ", run_line(text, other)))
        assert "done" in run_line(terminal.text, mine)
        assert re.search(r"Signal feed +[1-9]", terminal.text)
        terminal.press("2")
        terminal.until(lambda text: re.search(rf"closed +{mine} +long +holds", text))
        terminal.press("5")
        terminal.until(lambda text: re.search(r"done .*breakout", text))
        quit_keeping(terminal)


def test_the_demo_on_a_small_terminal(tmp_path: Path) -> None:
    with open_terminal(tmp_path, "demo", size=(80, 24)) as terminal:
        terminal.until("SIMULATED x60")
        terminal.until(lambda text: re.search(r"BTCUSDT .*\d[.]\d\d", text))
        terminal.press("q")
        terminal.until("Quit signaldeck?")
        terminal.press("\x1b")
        terminal.until(lambda text: "Quit signaldeck?" not in text)
        quit_keeping(terminal)
    assert [path.name for path in tmp_path.glob("*.db")] == ["demo-state.db"]


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
