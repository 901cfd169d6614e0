"""``signaldeck live`` as a real process on the simulated market; strategies that act at once."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Self

from tests.console.cli_bed import COMMAND, environment, strategy_file

TIMEOUT = 60.0
"""Seconds after which waiting for a line gives up."""

_PRICE = (
    "import engine; print('noise'); p = (await engine.get_candles(symbol, '1m', 1)).close[-1]; "
)


def prepared(work: Path) -> None:
    """A project with an exchange ``sim``, and strategies that open and that wait for an entry."""
    (work / "signaldeck.toml").write_text('[exchanges.sim]\nkind = "simulated"\n')
    strategy_file(work / "strategies", "opens", _PRICE + "return Signal('long', p*1.1, p*0.9, 600)")
    waits = _PRICE + "return Signal('long', p*1.1, p*0.82, 600, price_open=p*0.9)"
    strategy_file(work / "strategies", "waits", waits)


class LiveProcess:
    """``signaldeck live ...``; a context manager that leaves no process behind."""

    def __init__(self, work: Path, *arguments: str) -> None:
        home = work.parent / "home"
        self.process = subprocess.Popen(
            [COMMAND, "live", *arguments], cwd=work, env=environment(home),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None and self.process.stderr is not None
        self._pipes = {
            "out": self.process.stdout.fileno(), "err": self.process.stderr.fileno(),
        }  # fmt: skip
        self._heard = {"out": "", "err": ""}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    @property
    def events(self) -> list[dict[str, Any]]:
        """What stdout has told so far."""
        return [json.loads(line) for line in self._heard["out"].splitlines()]

    @property
    def told(self) -> str:
        """What stderr has told so far."""
        return self._heard["err"]

    def until(self, text: str, pipe: str = "err") -> None:
        """Read until a pipe has said something."""
        deadline = time.monotonic() + TIMEOUT
        while text not in self._heard[pipe]:
            more = self._read(deadline)
            assert more or text in self._heard[pipe], f"never said {text!r}:\n{self._heard}"

    def stop_reading_events(self) -> None:
        """Whoever read stdout is gone."""
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._pipes["out"] = -1

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def status(self) -> int:
        """Read until it ends; its exit status."""
        deadline = time.monotonic() + TIMEOUT
        while self._read(deadline):
            continue
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def _read(self, deadline: float) -> bool:
        open_pipes = [number for number in self._pipes.values() if number >= 0]
        if not open_pipes:
            return False
        ready, _, _ = select.select(open_pipes, [], [], max(0.0, deadline - time.monotonic()))
        for name, number in self._pipes.items():
            if number in ready:
                data = os.read(number, 65536)
                self._heard[name] += data.decode()
                if not data:
                    self._pipes[name] = -1
        return bool(ready)
