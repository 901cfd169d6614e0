"""Candles kept on disk so that history is fetched once, and never believed when it is damaged.

Every exchange, symbol and interval has a file of bars and a JSON sidecar in ``root``. A write makes
a new file of bars under a name of its own, then replaces the sidecar, which names it: whenever
the process dies, a reader finds the pair from before the write or the one from after it. One
process at a time writes (a lock file beside the pair); readers take no lock, in any number of
processes.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from engine.adapters.cache.bar_file import chunks_of, digest, read_bars
from engine.adapters.cache.files import CacheError, locked, make_folder, replace, unusable
from engine.adapters.cache.names import (
    EXCHANGE_LETTERS,
    SYMBOL_LETTERS,
    folder_name,
    original_name,
)
from engine.adapters.cache.sidecar import Damage, NewerFormat, Sidecar, parse_sidecar
from engine.adapters.cache.stretches import Conflict, Part, check_part, holes, join, joined
from engine.domain.bars import CandleKey, Candles, interval_ms
from engine.domain.errors import CandleDataError, SchemaError
from engine.domain.time import iso

Signature: TypeAlias = tuple[int, int, int]

_log = logging.getLogger("signaldeck.cache")


class DamagedCandlesError(CandleDataError):
    """Files of the cache are damaged, and were set aside; what they held is to be had again."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What the cache holds for one key.

    Attributes:
        sidecar: the facts about it.
        part: the bars, mapped read-only, and the stretches of time they cover.
        signature: what `CandleCache.signature` says until somebody writes this key again.
    """

    sidecar: Sidecar
    part: Part
    signature: Signature | None

    @property
    def candles(self) -> Candles:
        """The bars, oldest first."""
        return Candles(self.part.columns)

    @property
    def holes(self) -> int:
        """How many bars are known to be missing on the exchange."""
        return holes(self.part, self.sidecar.key.step)


@dataclass(frozen=True, slots=True)
class Listed:
    """One sidecar of the cache.

    Attributes:
        path: the sidecar.
        sidecar: its content; None when that cannot be read.
        problem: why it cannot be used (its bars count if they were looked at), else "".
        damaged: True where that is damage, False where the files may be as they were written.
    """

    path: Path
    sidecar: Sidecar | None
    problem: str = ""
    damaged: bool = False

    @property
    def missing(self) -> int:
        """How many bars are known to be missing on the exchange."""
        if self.sidecar is None:
            return 0
        covered = sum(end - start for start, end in self.sidecar.covered)
        return covered // self.sidecar.key.step - self.sidecar.rows


class CandleCache:
    """The candles under one folder.

    Args:
        root: the folder; it is made by the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    # -- reading ---------------------------------------------------------------------------------

    def load(self, key: CandleKey) -> Stored | None:
        """What is stored for a key, checked to the last byte; None when nothing is.

        Raises:
            DamagedCandlesError: it is damaged. It was set aside, so a second call gives None.
            CacheError: the system refuses it, or a later version of the program wrote it.
            SchemaError: the interval is unknown, or the names cannot be those of folders.
        """
        path = self.path(key)
        try:
            return self._read(path, key)
        except Damage as damage:
            return self._set_aside(path, key, str(damage))
        except OSError as error:
            raise unusable(path, error) from error

    def signature(self, key: CandleKey) -> Signature | None:
        """Something that changes whenever any process writes this key; None if nothing is stored.

        Raises:
            SchemaError: as `load`.
        """
        return _signature(self.path(key))

    def path(self, key: CandleKey) -> Path:
        """Where the sidecar of a key is.

        Raises:
            SchemaError: the interval is unknown, or the names cannot be those of folders.
        """
        interval_ms(key.interval)
        exchange = folder_name(key.exchange_name, EXCHANGE_LETTERS)
        symbol = folder_name(key.symbol, SYMBOL_LETTERS)
        return self.root / exchange / symbol / f"{key.interval}.json"

    def entries(self) -> tuple[Listed, ...]:
        """Every sidecar there is, by exchange, symbol and interval; bars are not looked at."""
        found = sorted(self.root.glob("*/*/*.json"))
        return tuple(item for path in found if (item := self._listed(path)) is not None)

    def verify(self, item: Listed) -> Listed:
        """The same entry after its bars were checked to the last byte; nothing is changed."""
        if item.sidecar is None or item.problem:
            return item
        try:
            self._read(item.path, item.sidecar.key)
        except Damage as damage:
            return Listed(item.path, item.sidecar, str(damage), damaged=True)
        except OSError as error:
            return Listed(item.path, item.sidecar, str(unusable(item.path, error)))
        except CacheError as error:
            return Listed(item.path, item.sidecar, str(error))
        return item

    # -- writing ---------------------------------------------------------------------------------

    def merge(self, key: CandleKey, parts: Sequence[Part]) -> Stored | None:
        """Add bars to what is stored, durably; None when there are no bars to store.

        Args:
            key: whose bars they are.
            parts: bars and the stretches they cover; what overlaps must be equal.

        Raises:
            CandleDataError: a part is no set of candles, or differs from what is stored (or from
                another part); the message names the row, and nothing was changed.
            DamagedCandlesError: what is stored is damaged; it was set aside.
            CacheError: the system refuses it, or another process does not stop writing.
            SchemaError: as `load`.
        """
        path = self.path(key)
        for part in parts:
            problem = check_part(part, key.step)
            if problem:
                raise CandleDataError(f"{key}: {problem}: these are no candles to store")
        try:
            make_folder(path.parent, self.root)
            with locked(path.with_suffix(".lock")):
                return self._merge(path, key, parts)
        except Conflict as conflict:
            raise CandleDataError(
                f"{key}: {conflict}. Bars that overlap must be equal; nothing was changed. Where "
                f"the new ones are right, delete {path} and store them again"
            ) from None
        except OSError as error:
            raise unusable(path, error) from error

    def _merge(self, path: Path, key: CandleKey, parts: Sequence[Part]) -> Stored | None:
        try:
            stored = self._read(path, key)
        except Damage as damage:
            raise self._moved(path, key, str(damage)) from None
        known = stored.part if stored else Part.empty()
        part = join(known, joined(parts))
        if not len(part.columns.timestamp):
            return None
        same = len(part.columns.timestamp) == len(known.columns.timestamp)
        if not (same and part.covered == known.covered):
            self._write(path, key, part)
        return self._read(path, key)

    def _write(self, path: Path, key: CandleKey, part: Part) -> None:
        columns = part.columns
        size, sha256 = digest(columns)
        sidecar = Sidecar(
            key=key,
            first=int(columns.timestamp[0]),
            last=int(columns.timestamp[-1]),
            rows=len(columns.timestamp),
            covered=part.covered,
            data=f"{key.interval}-{sha256[:16]}.npy",
            size=size,
            sha256=sha256,
            written_at=iso(time.time_ns() // 1_000_000),
        )
        replace(path.with_name(sidecar.data), chunks_of(columns))
        replace(path, [sidecar.dump()])
        self._sweep(path, sidecar.data)

    def _sweep(self, path: Path, kept: str) -> None:
        """Delete what earlier writes, finished or killed, have left; the lock is held."""
        for pattern in ("-*.npy", "-*.npy.tmp", ".json.tmp"):
            for old in path.parent.glob(f"{path.stem}{pattern}"):
                if old.name != kept:
                    old.unlink(missing_ok=True)

    # -- checking --------------------------------------------------------------------------------

    def _read(self, path: Path, key: CandleKey) -> Stored | None:
        # Looked at before the content, so that a write in between is noticed later.
        signature = _signature(path)
        sidecar = self._sidecar(path, key)
        while sidecar is not None:
            try:
                columns = read_bars(path.with_name(sidecar.data), sidecar)
                return Stored(sidecar, Part(columns, sidecar.covered), signature)
            except Damage as damage:
                raise Damage(f"{sidecar.data}: {damage}") from None
            except FileNotFoundError:
                # A writer may have replaced the pair since the sidecar was read.
                newer = self._sidecar(path, key)
                if newer == sidecar:
                    raise Damage(f"{sidecar.data}: the file is missing") from None
                sidecar = newer
        return None

    def _sidecar(self, path: Path, key: CandleKey | None) -> Sidecar | None:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            sidecar = parse_sidecar(content)
        except NewerFormat as newer:
            raise CacheError(
                f"{path}: written by a later version of signaldeck ({newer}): use that version, or "
                "name another folder with SIGNALDECK_CACHE"
            ) from None
        if key is not None and sidecar.key != key:
            raise Damage(f"it belongs to {sidecar.key}")
        return sidecar

    def _listed(self, path: Path) -> Listed | None:
        key = self._key(path)
        if key is None:
            return None
        try:
            sidecar = self._sidecar(path, key)
        except Damage as damage:
            return Listed(path, None, str(damage), damaged=True)
        except OSError as error:
            return Listed(path, None, str(unusable(path, error)))
        except CacheError as error:
            return Listed(path, None, str(error))
        return Listed(path, sidecar) if sidecar else None

    def _key(self, path: Path) -> CandleKey | None:
        """Whose sidecar a path is; None when it is a file of somebody else."""
        exchange = original_name(path.parent.parent.name, EXCHANGE_LETTERS)
        symbol = original_name(path.parent.name, SYMBOL_LETTERS)
        if exchange is None or symbol is None:
            return None
        key = CandleKey(exchange, symbol, path.stem)
        try:
            return key if self.path(key) == path else None
        except SchemaError:
            return None

    # -- damage ----------------------------------------------------------------------------------

    def _set_aside(self, path: Path, key: CandleKey, reason: str) -> Stored | None:
        """Move a damaged pair out of the way, unless a writer has replaced it meanwhile."""
        try:
            with locked(path.with_suffix(".lock")):
                try:
                    return self._read(path, key)
                except Damage as damage:
                    raise self._moved(path, key, str(damage)) from None
        except OSError as error:
            raise CacheError(
                f"{path}: the candles of {key} are damaged ({reason}) and cannot be moved out of "
                f"the way ({error.strerror or error}): check the rights of {path.parent}"
            ) from error

    def _moved(self, path: Path, key: CandleKey, reason: str) -> DamagedCandlesError:
        """Rename a damaged pair, and say so; the lock is held."""
        number = 1
        while any(path.parent.glob(f"{path.stem}*.damaged-{number}")):
            number += 1
        names = [path, *path.parent.glob(f"{path.stem}-*.npy")]
        for name in names:
            if name.exists():
                os.replace(name, name.with_name(f"{name.name}.damaged-{number}"))
        message = (
            f"{path}: the candles of {key} are damaged: {reason}. They were set aside as "
            f"{path.name}.damaged-{number}; download or import them again"
        )
        _log.warning("%s", message)
        return DamagedCandlesError(message)


def _signature(path: Path) -> Signature | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
