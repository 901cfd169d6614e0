"""The file of bars: a plain ``.npy`` that numpy opens anywhere, six whole columns one by one.

It holds one record whose fields are columns of n values, not n records and not an (n, 6) table of
floats: timestamps stay int64 to the last bit, every column is contiguous, and a mapped file *is*
the columns, so a year of minutes is ready in well under a millisecond and processes share it.
"""

from __future__ import annotations

import io
import mmap
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.lib import format as npy

from engine.adapters.cache.sidecar import Damage, Sidecar
from engine.domain.bars import Candles, Columns

_HEADER_BYTES = 4096


def chunks_of(columns: Columns) -> Iterator[bytes | memoryview]:
    """The file's content, piece by piece."""
    header = io.BytesIO()
    dtype = _layout(len(columns.timestamp))
    npy.write_array_header_1_0(header, {"descr": dtype.descr, "fortran_order": False, "shape": ()})
    yield header.getvalue()
    for name, column in zip(Columns._fields, columns, strict=True):
        kind = "<i8" if name == "timestamp" else "<f8"
        yield np.ascontiguousarray(column, dtype=kind).data.cast("B")


def digest(columns: Columns) -> tuple[int, str]:
    """Size in bytes and SHA-256 of the file of these columns."""
    size, hashed = 0, sha256()
    for chunk in chunks_of(columns):
        size += len(chunk)
        hashed.update(chunk)
    return size, hashed.hexdigest()


def read_bars(path: Path, sidecar: Sidecar) -> Columns:
    """The columns of a file, mapped read-only, after all of it was checked.

    The map stays valid when the file is replaced or deleted meanwhile.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: the system refuses it.
        Damage: its content is not what the sidecar says.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size != sidecar.size:
            raise Damage(f"it has {size} bytes instead of {sidecar.size}")
        mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    if sha256(mapped).hexdigest() != sidecar.sha256:
        raise Damage("its SHA-256 is not the one it was written with")
    dtype, offset = _header(mapped)
    if dtype != _layout(sidecar.rows):
        raise Damage(f"its header does not describe {sidecar.rows} rows of candles")
    record = np.frombuffer(mapped, dtype=dtype, count=1, offset=offset)[0]
    columns = Candles.from_columns(*(record[name] for name in Columns._fields)).columns()
    stamps = columns.timestamp
    if (int(stamps[0]), int(stamps[-1])) != (sidecar.first, sidecar.last):
        raise Damage("its first or last bar is not the one it was written with")
    return columns


def _layout(rows: int) -> np.dtype[Any]:
    fields = [(name, "<i8" if name == "timestamp" else "<f8", (rows,)) for name in Columns._fields]
    return np.dtype(fields)


def _header(mapped: mmap.mmap) -> tuple[np.dtype[Any], int]:
    start = io.BytesIO(mapped[:_HEADER_BYTES])
    try:
        if npy.read_magic(start) != (1, 0):
            raise Damage("its .npy version is not 1.0")
        shape, _, dtype = cast("tuple[Any, bool, np.dtype[Any]]", npy.read_array_header_1_0(start))
    except ValueError as error:
        raise Damage(f"its .npy header cannot be read ({error})") from None
    if shape != ():
        raise Damage("its .npy header does not describe one record")
    return dtype, start.tell()
