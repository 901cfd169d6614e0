"""How a life ends, and what it leaves written outside of the state file.

A process lives one life, so this is module state: the strategy file, which is executed under a
private name, reaches it by importing it.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args

from engine.adapters.store.writer import WritePoint
from engine.services.clock import SimulatedClock

POINTS: Final[tuple[str, ...]] = (
    *get_args(WritePoint), "asked", "callback", "heard", "answered"
)  # fmt: skip
"""Where a life can be ended to the instruction: the store's write points; ``asked``: a strategy is
about to answer; ``callback``: it is told what was committed, and nobody else has been; ``heard``: a
listener has it, and the file does not know that yet; ``answered``: the operator has been told what
a command did."""


@dataclass
class _Life:
    point: str = ""
    left: int = 0
    files: dict[str, int] = field(default_factory=dict[str, int])


_life: Final = _Life()


def begin(folder: Path, point: str, count: int) -> None:
    """Begin this process's life: it ends at its ``count``-th arrival at ``point``, if ever."""
    _life.point, _life.left = point, count
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    for name in ("heard", "asked", "operator"):
        _life.files[name] = os.open(folder / name, flags, 0o644)


def passing(point: str) -> None:
    """The process is at a point where it may be killed."""
    if point == _life.point:
        _life.left -= 1
        if _life.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def note(name: str, **facts: Any) -> None:
    """Append a line to one of the life's files; one write, so it is there whole or not at all."""
    os.write(_life.files[name], f"{json.dumps(facts)}\n".encode())


def note_question(strategy: str, symbol: str, when: int) -> None:
    """A strategy is asked at an instant, ms UTC."""
    note("asked", strategy=strategy, symbol=symbol, when=when, pid=os.getpid())


_INSTANT: Final = struct.Struct("@q")


class KeptClock(SimulatedClock):
    """A simulated clock that stands still while no process is there.

    Its instant is in a file that outlives the process, and that the exchange reads its own from.
    """

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._kept = mmap.mmap(file.fileno(), _INSTANT.size)
        self._written = int(_INSTANT.unpack_from(self._kept)[0])
        super().__init__(self._written)

    def now(self) -> int:
        """The present instant, ms UTC; whoever acts on it has asked for it before."""
        instant = super().now()
        if instant != self._written:
            _INSTANT.pack_into(self._kept, 0, instant)
            self._written = instant
        return instant


def set_clock(path: Path, instant: int) -> None:
    """Set a kept clock, ms UTC."""
    path.write_bytes(_INSTANT.pack(instant))


def read_clock(path: Path) -> int:
    """What a kept clock shows, ms UTC."""
    return int(_INSTANT.unpack(path.read_bytes())[0])
