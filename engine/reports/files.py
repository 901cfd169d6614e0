"""Files of reports and generated modules: named safely, written whole or not at all."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from uuid import uuid4

from engine.domain.errors import EngineError
from engine.domain.signals import RunKey
from engine.domain.texts import value_text
from engine.reports.markdown import without_hidden

PLACEHOLDERS: Final[tuple[str, ...]] = ("mode", "symbol", "name", "exchange", "frame")
"""What a report's path may hold in braces."""

_UNSAFE_IN_NAMES: Final = re.compile(r'[\s/\\:*?"<>|{}]')
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")


def safe_name(text: str) -> str:
    """``text`` as one component of a path: ``BTC/USDT:USDT`` becomes ``BTC_USDT_USDT``."""
    plain = _UNSAFE_IN_NAMES.sub("_", text)
    plain = without_hidden(plain, "_")
    bare = plain.lstrip(".")
    return "_" * (len(plain) - len(bare)) + bare or "_"


def report_path(
    path: str | os.PathLike[str] | None = None,
    *,
    mode: str,
    name: str,
    symbol: str = "",
    exchange: str = "",
    frame: str = "",
    folder: str = "{mode}",
    file: str = "{name}.md",
) -> Path:
    """Where a report goes.

    Args:
        path: None for ``./dump/{folder}/{file}``; a file when it ends in ``.md``, else the folder
            that gets ``file``. It may hold the placeholders ``{mode} {symbol} {name} {exchange}
            {frame}``, whose values are made safe as single path components.
        mode: ``backtest``, ``live``, ``walker``, ...
        name: the strategy's (walker's) name.
        symbol, exchange, frame: the rest of the run's identity.
        folder, file: where the report goes by default; placeholders as in ``path``.

    Raises:
        EngineError: it is no path, or holds braces around anything else.
    """
    if path is not None and not isinstance(path, (str, os.PathLike)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise EngineError(f"report path is {value_text(path)}: must be a text or a Path")
    template = f"./dump/{folder}" if path is None else os.fspath(path)
    if not template.lower().endswith(".md"):
        template = os.path.join(template, file)
    given = (mode, symbol, name, exchange, frame)
    values: dict[str, str] = dict(zip(PLACEHOLDERS, given, strict=True))

    def fill(match: re.Match[str]) -> str:
        if match[1] not in values:
            names = " ".join(f"{{{known}}}" for known in PLACEHOLDERS)
            raise EngineError(f"report path {template!r} holds {match[0]}: use {names}")
        return safe_name(values[match[1]])

    return Path(_PLACEHOLDER.sub(fill, template))


def run_report_path(path: str | os.PathLike[str] | None, key: RunKey) -> Path:
    """Where the report of one run goes, by default ``./dump/{mode}/{name}.md``; see `report_path`.

    Raises:
        EngineError: as of `report_path`.
    """
    return report_path(
        path, mode=key.mode, name=key.strategy_name, symbol=key.symbol,
        exchange=key.exchange_name, frame=key.frame_name,
    )  # fmt: skip


def dump_report(text: str, path: str | os.PathLike[str]) -> Path:
    """Write a report, creating the folders on the way.

    Args:
        text: the report.
        path: absolute, or relative to the working directory.

    Returns:
        The absolute path of the file.

    Raises:
        EngineError: the file could not be written; the message names it. An existing file is
            then unchanged.
    """
    return write_whole("report", text, Path(path)).absolute()


def write_whole(what: str, text: str, path: Path) -> Path:
    """Write a text as UTF-8, whole or not at all, creating the folders on the way.

    Args:
        what: what it is, for messages.
        text: the file's content.
        path: the file; it is replaced if it exists.

    Raises:
        EngineError: the file could not be written; the message names it. An existing file is
            then unchanged.
    """
    # A short name of its own, since the target's may already be as long as the system allows.
    draft = path.parent / f".{what}-{uuid4().hex}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EngineError(f"{what} {path} could not be written: {reason}") from error
    return path
