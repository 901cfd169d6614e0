"""Who owns a state file: two processes that trade on one memory would both be wrong.

The lock is ``flock`` on a file beside the state. The kernel lets go of it when its holder ends,
however it ends, so no lock outlives its process and none has to be broken by hand. It is not a
lock on the state file itself: SQLite's own locks are lost when any descriptor of that is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.domain.errors import StateError
from engine.domain.snapshots import Owner

_ATTEMPTS = 10
_PAUSE_SECONDS = 0.02


def lock_path(state: Path) -> Path:
    """The lock file of a state file."""
    return state.with_name(state.name + ".lock")


class Ownership:
    """A held lock; `release` lets go of it, as does the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    async def acquire(cls, state: Path, started: datetime, command: str | None) -> Ownership:
        """Become the owner of a state file.

        Args:
            state: the state file; it need not exist.
            started: when this process started owning it, for those who ask.
            command: what it runs as; the command line by default.

        Raises:
            StateError: another process owns it, or no lock can be made there.
        """
        path = lock_path(state)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StateError(
                f"cannot write beside {state}: {error.strerror} ({path}): choose a directory you "
                "may write to, or only look at it with --read-only"
            ) from error
        try:
            # A reader that asks whether there is an owner holds the lock for an instant, so a
            # refusal is believed only when it is repeated.
            for attempt in range(_ATTEMPTS):
                if _locked(descriptor):
                    break
                if attempt == _ATTEMPTS - 1:
                    raise StateError(_refusal(state, _read(path, alive=True)))
                await asyncio.sleep(_PAUSE_SECONDS)
            _write(descriptor, started, command)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        """Let others own it; harmless when repeated."""
        if self._descriptor >= 0:
            # The file stays: removing it would let two processes lock two files of one name.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1


def owner_of(state: Path) -> Owner | None:
    """Who owns a state file, or owned it when it died; None when nobody does.

    Needs no more than to read the lock file.
    """
    path = lock_path(state)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        alive = False
    except BlockingIOError:
        alive = True
    finally:
        os.close(descriptor)
    return _read(path, alive=alive)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(descriptor: int, started: datetime, command: str | None) -> None:
    facts = {
        "pid": os.getpid(),
        "started_at": started.isoformat(timespec="seconds"),
        "command": " ".join(sys.argv) if command is None else command,
    }
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(facts).encode(), 0)


def _read(path: Path, *, alive: bool) -> Owner | None:
    try:
        facts: Any = json.loads(path.read_text(encoding="utf-8"))
        return Owner(int(facts["pid"]), str(facts["started_at"]), str(facts["command"]), alive)
    except (OSError, ValueError, TypeError, KeyError):
        # Between locking and writing, or written by nobody we know.
        return Owner(0, "", "", alive) if alive else None


def _refusal(state: Path, owner: Owner | None) -> str:
    who = "another process owns it"
    if owner is not None and owner.pid:
        self_ = " (this very process)" if owner.pid == os.getpid() else ""
        who = f"process {owner.pid}{self_} owns it since {owner.started_at} ({owner.command})"
    return (
        f"{state} is in use: {who}. Look at it with `signaldeck status` or `signaldeck "
        "--read-only`, choose another file with --state, or end that process first"
    )
