"""Real child processes that write a state file, to be killed while they do.

They come from a forkserver that has imported everything already, so that one costs milliseconds.
Each reports through a pipe, one line at a time; what it said before it died is what it
acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Self

from engine.adapters.store.reader import StateReader
from engine.adapters.store.sqlite import SqliteStore
from engine.adapters.store.writer import WritePoint
from engine.domain.changes import Change, CommandNoted, FinishedSaved, InstanceSaved, Telemetry
from engine.domain.errors import StateError
from tests.store.store_bed import closing, key_of, opening, record_of

_context = get_context("forkserver")
_context.set_forkserver_preload(["tests.store.children"])


class Child:
    """A child process that runs ``body(report, *arguments)``; a context manager."""

    def __init__(self, body: Callable[..., None], *arguments: Any) -> None:
        self._reader, writer = _context.Pipe(duplex=False)
        self._process = _context.Process(target=_run, args=(body, writer, arguments), daemon=True)
        self._process.start()
        # Only the child may hold the other end: its death is the end of the pipe.
        writer.close()
        self.pid = self._process.pid or 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill(signal.SIGKILL)
        self._reader.close()

    def line(self) -> str | None:
        """The next line, None when the child is gone."""
        try:
            return self._reader.recv_bytes().decode()
        except EOFError:
            return None

    def rest(self) -> list[str]:
        """All lines until it is gone."""
        lines: list[str] = []
        while (line := self.line()) is not None:
            lines.append(line)
        return lines

    def kill(self, number: signal.Signals) -> int | None:
        """Send a signal, wait for the end, and return the exit code."""
        with suppress(ProcessLookupError):  # It may die of itself this very moment.
            if self._process.is_alive():
                os.kill(self.pid, number)
        return self.exit_code()

    def exit_code(self) -> int | None:
        self._process.join()
        return self._process.exitcode


def _run(body: Callable[..., None], writer: Any, arguments: Sequence[Any]) -> None:
    def report(line: str) -> None:
        writer.send_bytes(line.encode())

    body(report, *arguments)


# -- what children do --------------------------------------------------------------------------


def script(step: int) -> list[Change]:
    """The step-th commit of a child: every kind of change, several tables each."""
    key, at = key_of(step % 3), step // 3
    if at == 0:
        return [InstanceSaved(key, record_of()), *opening(key, 0)]
    changes = closing(key, at - 1) if at % 2 else opening(key, at - 1)
    extra: list[Change] = [CommandNoted(step, "api", "noted", str(key), "done")]
    if step % 5 == 0:
        extra.append(FinishedSaved("backtest", f"r{step}", step, {"step": step}, b"x" * 500))
    return [*changes, *extra]


def dies_at(point: str, count: int) -> Callable[[WritePoint], None]:
    """A hook that kills its process at the count-th arrival at a point."""
    left = count

    def hook(arrived: WritePoint) -> None:
        nonlocal left
        if arrived == point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def holding(report: Callable[[str], None], path: str) -> None:
    """Own the file, until killed."""

    async def main() -> None:
        store = SqliteStore(path)
        await store.open()
        report("open")
        await asyncio.Future()

    asyncio.run(main())


def one_by_one(
    report: Callable[[str], None], path: str, steps: int, point: str, count: int
) -> None:
    """Commit the script, report each step, deliver every second one."""

    async def main() -> None:
        store = SqliteStore(path, on_write_point=dies_at(point, count) if point else None)
        await store.open()
        for step in range(steps):
            numbers = await store.commit(script(step))
            report(str(step))
            if step % 2 == 0:
                store.delivered(numbers)
                store.telemetry([Telemetry(key_of(step % 3), step, 1.0, 2.0, step)])
            if step % 4 == 3:
                await store.flush()
        await store.close()

    asyncio.run(main())


def side_by_side(
    report: Callable[[str], None], path: str, runs: int, steps: int, point: str, count: int
) -> None:
    """Several runs that open and close at once, so that their commits share transactions."""

    async def main() -> None:
        store = SqliteStore(path, on_write_point=dies_at(point, count) if point else None)
        await store.open()

        async def live(run: int) -> None:
            for at in range(steps):
                make = closing if at % 2 else opening
                await store.commit(make(key_of(run), at))
                report(f"{run} {at}")

        await asyncio.gather(*map(live, range(runs)))
        await store.close()

    asyncio.run(main())


def until_the_disk_is_full(report: Callable[[str], None], path: str, limit: int) -> None:
    """Commit until the operating system refuses to let the files grow; then until it does again."""

    async def main() -> None:
        store = SqliteStore(path)
        await store.open()
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        step = 0
        while True:
            try:
                await store.commit(script(step))
            except StateError as error:
                report(f"refused {error}")
                break
            report(str(step))
            step += 1
        state = await store.load()
        report(f"kept {len(state.recent)}")
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        await store.commit(script(step))
        report(str(step))
        await store.close()

    asyncio.run(main())


async def _become_nobody() -> None:
    # Once as oneself, because nobody may not be able to import what this needs.
    with tempfile.TemporaryDirectory() as name:
        store = SqliteStore(Path(name) / "state.db")
        await store.open()
        await store.close()
        StateReader(store.path).close()
    if os.geteuid() == 0:
        os.setgid(65_534)
        os.setuid(65_534)


def looking_as_nobody(report: Callable[[str], None], path: str) -> None:
    """Look at the file as a user who may only read, again and again, until killed."""
    asyncio.run(_become_nobody())
    try:
        reader = StateReader(path)
        while True:
            report(f"{reader.changed()} {reader.snapshot().last_number}")
            time.sleep(0.001)
    except StateError as error:
        report(str(error))


def as_nobody(report: Callable[[str], None], path: str) -> None:
    """Try to open the file as a user who may not, and say what came of it."""

    async def main() -> None:
        store = SqliteStore(path)
        await _become_nobody()
        try:
            await store.open()
        except StateError as error:
            report(str(error))
        else:
            report("opened")
            await store.close()

    asyncio.run(main())
