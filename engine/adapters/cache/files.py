"""Files that are whole or absent, and the lock that lets one process at a time write them."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from engine.domain.errors import EngineError

PATIENCE: Final = 30.0
"""Seconds to wait for another writer; one write takes a fraction of a second."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05


class CacheError(EngineError):
    """The candle cache cannot be read or written; the message names file and remedy."""


def unusable(path: Path, error: OSError) -> CacheError:
    """The error for a file or folder the system refuses."""
    reason = error.strerror or str(error)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "make room on the disk" if full else "check its rights"
    return CacheError(
        f"{path}: the candle cache cannot be used ({reason}): {remedy}, or name another folder "
        "with SIGNALDECK_CACHE"
    )


def replace(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Write a file so that, whatever happens, the old or the new content is found, never a mix.

    The content is on the disk before it takes its name, and the name before this returns.

    Raises:
        OSError: the file is as it was.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with open(temporary, "wb", buffering=0) as file:
            for chunk in chunks:
                _write_all(file.fileno(), memoryview(chunk))
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def make_folder(folder: Path, root: Path) -> None:
    """Make a folder under ``root``, and make sure that it stays."""
    missing = [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]
    missing = [path for path in missing if not path.is_dir()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renamed and new names in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, patience: float = PATIENCE) -> Generator[None]:
    """Hold the exclusive lock on a lock file, which is made if need be and never deleted.

    ``flock`` belongs to the opened file, so it also keeps threads of one process apart, and the
    system releases it when the process dies.

    Raises:
        CacheError: another process has held it for ``patience`` seconds.
        OSError: the lock file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _acquire(descriptor, path, patience)
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            # Explicitly: a forked child may hold a copy of the descriptor.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, patience: float) -> None:
    deadline, pause = time.monotonic() + patience, _FIRST_PAUSE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                raise CacheError(
                    f"{path}: process {owner or '(unknown)'} has been writing these candles for "
                    f"{patience:.0f} s: wait for it, or end it if it hangs"
                ) from None
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def _write_all(descriptor: int, data: memoryview) -> None:
    while len(data):
        data = data[os.write(descriptor, data) :]
