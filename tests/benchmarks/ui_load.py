"""The console under load: how soon a key shows, and what drawing costs.

The console runs in a process of its own on a real pty of 160x50, with 200 live runs on the
simulated market and a state file, while its engine publishes 5,000 events a second. Keys that move
the cursor are sent at uneven intervals; each is timed from the write of the key to the arrival of
the bytes that draw the cursor in its new line. The same load on a plain `DataTable` follows.

CPU of the interface is that of its process without the engine's thread; idle CPU is that of the
whole process while nothing is published. Memory is compared from a fifth of the time on.

Run with ``make bench-ui``, or ``python -m tests.benchmarks.ui_load --help``. No figure is asserted
here; half a minute of it is a test that no key is lost.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import random
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

COLUMNS, LINES = 160, 50
TARGETS = {"p50": 15.0, "p99": 50.0, "lost": 0, "cpu": 25.0, "growth": 2.0, "idle": 5.0}
"""What the console has to reach: ms, ms, keys, percent of a core, percent, percent of a core."""

LOST_SECONDS = 3.0
"""A key whose effect is not drawn by then is lost."""

TICKS = os.sysconf("SC_CLK_TCK")
STEPS = 8
"""The cursor goes down so many lines and up again."""

MARKS = {"console": "▸".encode(), "plain": b"48;2;1;2;3"}
"""What the line of the cursor is told by."""

_MOVE = re.compile(rb"\x1b\[(\d+);\d+H")


@dataclass(slots=True)
class Measured:
    """What one run of one interface came to; times in ms, CPU in percent of a core."""

    kind: str
    latencies: list[float] = field(default_factory=list[float])
    lost: int = 0
    idle: float = 0.0
    cpu: float = 0.0
    engine: float = 0.0
    rate: float = 0.0
    dropped: int = 0
    memory: list[float] = field(default_factory=list[float])
    bytes_per_second: float = 0.0

    def percentile(self, percent: float) -> float:
        """A latency by nearest rank."""
        ordered = sorted(self.latencies)
        return ordered[max(0, -(-len(ordered) * percent // 100).__int__() - 1)] if ordered else 0.0

    @property
    def growth(self) -> float:
        """Percent that memory grew by from a fifth of the time to the end."""
        if len(self.memory) < 10:
            return 0.0
        early, late = self.memory[len(self.memory) // 5], self.memory[-1]
        return (late - early) / early * 100


class Screen:
    """The program on a pty, seen as a stream of bytes in which the cursor's line is found."""

    def __init__(self, kind: str, folder: Path, instances: int) -> None:
        self.mark = MARKS[kind]
        self.line = -1
        self.received = 0
        self._tail = b""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        rates, self._rates = os.pipe()
        self._told, told = os.pipe()
        arguments = [kind, str(folder), str(instances), str(rates), str(told)]
        for name in ("COLUMNS", "LINES"):  # of another terminal
            os.environ.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.ui_child", *arguments],
            cwd=Path(__file__).resolve().parents[2], pass_fds=(rates, told),
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor",
                 "XDG_STATE_HOME": str(folder), "TEXTUAL_FPS": "120", "TEXTUAL_ANIMATIONS": "none"},
        )  # fmt: skip
        for ours in (theirs, rates, told):
            os.close(ours)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for descriptor in (self._ours, self._rates, self._told):
            os.close(descriptor)

    def note(self) -> dict[str, int]:
        """The next line the program tells; what it draws meanwhile is read."""
        text = b""
        while not text.endswith(b"\n"):
            ready, _, _ = select.select([self._told, self._ours], [], [], 60.0)
            assert ready, "the program does not answer"
            if self._ours in ready:
                self._read()
            if self._told in ready:
                data = os.read(self._told, 4096)
                assert data, "the program has ended"
                text += data
        return json.loads(text)

    def publish(self, rate: float) -> dict[str, int]:
        """Let so many events flow a second; answers how many there have been."""
        os.write(self._rates, f"{rate}\n".encode())
        return self.note()

    def watch(self, seconds: float) -> None:
        """Read what is drawn for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([self._ours], [], [], left)[0]:
                self._read()

    def key(self, name: str, line: int, seconds: float = LOST_SECONDS) -> float | None:
        """Press a key; seconds until the cursor is drawn in a line, None when it is not."""
        self.line = -1
        begun = time.perf_counter()
        os.write(self._ours, name.encode())
        while self.line != line:
            left = seconds - (time.perf_counter() - begun)
            if left <= 0 or not select.select([self._ours], [], [], left)[0]:
                return None
            self._read()
        return time.perf_counter() - begun

    def _read(self) -> None:
        data = os.read(self._ours, 1 << 20)
        self.received += len(data)
        # A piece ends anywhere: what follows the last movement of the cursor waits for the rest.
        data = self._tail + data
        places = list(_MOVE.finditer(data))
        for place, end in zip(places, [p.start() for p in places[1:]] + [len(data)], strict=False):
            if data.find(self.mark, place.end(), end) >= 0:
                self.line = int(place[1])
        self._tail = data[places[-1].start() :] if places else data[-65536:]


def cpu_seconds(pid: int, thread: int | None = None) -> float:
    """CPU time of a process, or of one thread of it, so far."""
    path = f"/proc/{pid}/stat" if thread is None else f"/proc/{pid}/task/{thread}/stat"
    fields = Path(path).read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mb(pid: int) -> float:
    """Memory of a process that is in RAM, MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(
    kind: str, seconds: float, *, idle: float = 5.0, rate: float = 5000.0, instances: int = 200
) -> Measured:
    """Run one interface (``console`` or ``plain``) and press keys for so many seconds."""
    found = Measured(kind)
    dice = random.Random(1)
    with tempfile.TemporaryDirectory() as folder, Screen(kind, Path(folder), instances) as screen:
        pid, thread = screen.process.pid, screen.note()["engine"]
        top = _find_top(screen)
        before = cpu_seconds(pid)
        begun = time.monotonic()
        screen.watch(idle)
        found.idle = (cpu_seconds(pid) - before) / (time.monotonic() - begun) * 100
        screen.publish(rate)
        screen.watch(min(2.0, seconds / 4))
        published = screen.publish(rate)["published"]
        received, begun = screen.received, time.monotonic()
        whole, engine = cpu_seconds(pid), cpu_seconds(pid, thread)
        at, step, sampled = 0, 1, begun
        while (now := time.monotonic()) < begun + seconds:
            at += step
            taken = screen.key("j" if step > 0 else "k", top + at)
            if taken is None:
                found.lost += 1
            else:
                found.latencies.append(taken * 1000)
            if at in (0, STEPS):
                step = -step
            screen.watch(dice.uniform(0.03, 0.12))
            if now >= sampled:
                found.memory.append(resident_mb(pid))
                sampled += 1.0
        lasted = time.monotonic() - begun
        whole, engine = cpu_seconds(pid) - whole, cpu_seconds(pid, thread) - engine
        note = screen.publish(0.0)
        found.cpu, found.engine = (whole - engine) / lasted * 100, engine / lasted * 100
        found.rate = (note["published"] - published) / (time.monotonic() - begun)
        found.dropped = note["dropped"]
        found.bytes_per_second = (screen.received - received) / lasted
    return found


def _find_top(screen: Screen) -> int:
    """The line of the first run: where the cursor is when it has gone up as far as it can."""
    deadline = time.monotonic() + 60.0
    while screen.line < 0:
        assert time.monotonic() < deadline, "the console does not open"
        screen.watch(0.2)
        if screen.line < 0:
            os.write(screen._ours, b"j")
    for _ in range(STEPS):
        os.write(screen._ours, b"k")
    screen.watch(0.5)
    return screen.line


def table(results: list[Measured]) -> str:
    """The figures side by side, with what the console has to reach."""
    rows = (
        ("key to paint, p50", "p50", [f"{m.percentile(50):.1f} ms" for m in results]),
        ("key to paint, p99", "p99", [f"{m.percentile(99):.1f} ms" for m in results]),
        ("key to paint, worst", "", [f"{max(m.latencies, default=0):.1f} ms" for m in results]),
        ("keys pressed", "", [str(len(m.latencies) + m.lost) for m in results]),
        ("keys lost", "lost", [str(m.lost) for m in results]),
        ("CPU of the interface", "cpu", [f"{m.cpu:.1f} %" for m in results]),
        ("CPU of the engine", "", [f"{m.engine:.1f} %" for m in results]),
        ("CPU idle, whole", "idle", [f"{m.idle:.1f} %" for m in results]),
        ("memory", "", [f"{m.memory[-1] if m.memory else 0:.0f} MB" for m in results]),
        ("memory growth", "growth", [f"{m.growth:+.1f} %" for m in results]),
        ("events a second", "", [f"{m.rate:,.0f}" for m in results]),
        ("events dropped", "", [str(m.dropped) for m in results]),
        ("bytes a second", "", [f"{m.bytes_per_second:,.0f}" for m in results]),
    )
    names = "".join(f"{m.kind:>14}" for m in results)
    lines = [f"{'':22}{names}{'wanted':>10}"]
    for name, target, values in rows:
        wanted = f"< {TARGETS[target]:g}" if TARGETS.get(target) else "0" if target else ""
        lines.append(f"{name:22}" + "".join(f"{value:>14}" for value in values) + f"{wanted:>10}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, help="instead of minutes")
    parser.add_argument("--rate", type=float, default=5000.0, help="events a second")
    parser.add_argument("--instances", type=int, default=200)
    parser.add_argument("--only", choices=tuple(MARKS), help="measure one of the two")
    options = parser.parse_args()
    seconds = options.seconds or options.minutes * 60
    kinds = [options.only] if options.only else list(MARKS)
    results: list[Measured] = []
    for kind in kinds:
        # What the plain table does in a minute it does in ten.
        lasting = seconds if kind == "console" else min(seconds, 60.0)
        results.append(measure(kind, lasting, rate=options.rate, instances=options.instances))
    print(table(results))


if __name__ == "__main__":
    main()
