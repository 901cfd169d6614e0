"""One viewer: a process of the read-only console whose screen is a page in a browser.

textual-serve's own ``AppService`` starts its command through a shell, keeps the process to itself
and waits for it without end; here a viewer that fails, hangs or does not leave is ended, and the
browser is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

START_SECONDS: Final = 60.0
"""How long a viewer may take until it draws."""

SILENCE_SECONDS: Final = 30.0
"""After how long without a sign of life (there is one a second) a viewer is taken to hang."""

LEAVE_SECONDS: Final = 3.0
"""How long a viewer may take to end when asked, and again when told by SIGTERM."""

DRIVER_VARIABLE: Final = "TEXTUAL_DRIVER"
"""Environment variable by which Textual is told what to draw through."""

SLOT_SECONDS: Final = 5.0
"""How long a page waits for a free view: one that is loaded again leaves its old one behind."""

_PRELUDE: Final = b"__GANGLION__\n"
_LARGEST: Final = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a viewer is waited for, seconds."""

    start: float = START_SECONDS
    silence: float = SILENCE_SECONDS
    leave: float = LEAVE_SECONDS
    slot: float = SLOT_SECONDS


class Viewer:
    """A process and the packets it is talked to with.

    Args:
        process: started by `open_viewer`.
        patience: how long it is waited for.
    """

    def __init__(self, process: Process, patience: Patience) -> None:
        self._process = process
        self._patience = patience
        self._errors: asyncio.Task[bytes] = asyncio.create_task(_tail(process))

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    async def relay(self, show: Callable[[bytes], Awaitable[None]]) -> str:
        """Hand what it draws to ``show`` until it ends.

        Returns:
            What went wrong, "" when it ended by itself.
        """
        assert self._process.stdout is not None
        stdout = self._process.stdout
        limit = self._patience.start
        try:
            async with asyncio.timeout(limit):
                while (line := await stdout.readline()) != _PRELUDE:
                    if not line:
                        return await self._why()
            limit = self._patience.silence
            while True:
                async with asyncio.timeout(limit):
                    head = await stdout.readexactly(5)
                    size = int.from_bytes(head[1:], "big")
                    if size > _LARGEST or head[:1] not in (b"D", b"M", b"P"):
                        return "the viewer wrote something that is no packet"
                    payload = await stdout.readexactly(size)
                if head[:1] == b"D":
                    await show(payload)
                elif head[:1] == b"M" and json.loads(payload).get("type") == "exit":
                    return await self._why()
        except TimeoutError:
            return f"the viewer gave no sign of life for {limit:g} s and was ended"
        except (asyncio.IncompleteReadError, ValueError):
            return await self._why()

    async def type(self, text: str) -> None:
        """What was typed or clicked in the browser."""
        await self._send(b"D", text.encode())

    async def tell(self, kind: str, **values: int) -> None:
        """``resize`` with ``width`` and ``height``, ``focus``, ``blur`` or ``quit``."""
        await self._send(b"M", json.dumps({"type": kind, **values}).encode())

    async def end(self) -> None:
        """Ask it to leave; insist if it does not."""
        try:
            if self._process.returncode is None:
                await self._leave()
        finally:
            self._signal(signal.SIGKILL)
            await self._process.wait()
            self._errors.cancel()

    async def _leave(self) -> None:
        for ask in (lambda: self.tell("quit"), self._terminate):
            try:
                async with asyncio.timeout(self._patience.leave):
                    await ask()
                    await self._drained()
                    return
            except TimeoutError:
                continue

    async def _drained(self) -> None:
        """Read to the end: a process that waits for room in its pipe cannot leave."""
        assert self._process.stdout is not None
        while await self._process.stdout.read(65536):
            continue
        await self._process.wait()

    async def _terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            # It leads a session of its own, so whatever it may have started goes with it.
            os.killpg(self._process.pid, number)

    async def _send(self, kind: bytes, payload: bytes) -> None:
        assert self._process.stdin is not None
        try:
            # The packets of Textual's web driver: kind (data or meta), size, payload.
            self._process.stdin.write(kind + len(payload).to_bytes(4, "big") + payload)
            await self._process.stdin.drain()
        except (OSError, RuntimeError):
            return  # It is gone; reading its output says so.

    async def _why(self) -> str:
        """What a process that closed its output said last."""
        try:
            async with asyncio.timeout(self._patience.leave):
                status = await self._process.wait()
                said = (await asyncio.shield(self._errors)).decode(errors="replace")
        except TimeoutError:
            return "the viewer stopped drawing and did not end"
        if not status:
            return ""
        if status < 0:
            return f"the viewer was ended from outside ({signal.Signals(-status).name})"
        last = said.strip().splitlines()[-1:] or [f"the viewer ended with status {status}"]
        return last[0].removeprefix("signaldeck: ")


async def open_viewer(
    command: Sequence[str], width: int, height: int, patience: Patience
) -> Viewer:
    """Start a viewer on a screen of so many columns and lines.

    Raises:
        OSError: the process cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
        env={
            **os.environ,
            DRIVER_VARIABLE: "console.web.driver:ViewerDriver",
            "TEXTUAL_COLOR_SYSTEM": "truecolor",
            "TERM_PROGRAM": "textual",
            "COLUMNS": str(width),
            "ROWS": str(height),
        },
    )
    return Viewer(process, patience)


async def _tail(process: Process) -> bytes:
    """The end of what it writes to standard error."""
    assert process.stderr is not None
    kept = b""
    while data := await process.stderr.read(4096):
        kept = (kept + data)[-8192:]
    return kept
