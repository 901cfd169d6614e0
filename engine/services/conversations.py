"""Keeps the conversation that led to a signal: one folder per signal, written whole or not at all.

Conversations are read, sent around and put into bug reports, so what looks like a secret is masked.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from engine.domain.conversation import Message, redacted
from engine.domain.errors import EngineError
from engine.reports.files import safe_name
from engine.reports.markdown import escape

WARN_BYTES: Final = 20 * 1024
"""A longer message of a user is warned about: models forget the beginning of long texts."""

_log = logging.getLogger("signaldeck.conversations")


def write_conversation(
    signal_id: str,
    history: Sequence[Message],
    signal: Any,
    output_dir: str | os.PathLike[str],
    secrets: Sequence[str] = (),
) -> Path:
    """Write ``00_system_prompt.md``, one file per user message, and the answer; blocks on files.

    What the assistant said before the answer is left out. An existing folder is left as it is.

    Args:
        signal_id: names the folder.
        history: the conversation.
        signal: the answer: a dataclass, a mapping, or anything JSON can say.
        output_dir: absolute, or relative to the working directory.
        secrets: texts to mask.

    Returns:
        The conversation's folder.

    Raises:
        EngineError: the folder could not be written; nothing of it is left behind.
    """
    folder = Path(output_dir).absolute() / safe_name(signal_id)
    if folder.exists():
        return folder
    pages = _pages(signal_id, history, signal)
    draft = folder.parent / f".conversation-{uuid4().hex}.tmp"
    try:
        draft.mkdir(parents=True)
        try:
            for name, text in pages.items():
                page = redacted(text, secrets).encode("utf-8", "replace")
                (draft / name).write_bytes(page)
            _take_place(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EngineError(f"conversation {folder} could not be written: {reason}") from error
    return folder


def _take_place(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError:
        # Somebody else has just written it: theirs is as good.
        if not folder.is_dir():
            raise


def _pages(signal_id: str, history: Sequence[Message], signal: Any) -> dict[str, str]:
    head = f"**ID:** {escape(signal_id)}\n\n"
    answer = _fenced(_json(signal), "json")
    system = [message["content"] for message in history if message["role"] == "system"]
    said = "".join(f"\n## System message {n}\n\n{text}\n" for n, text in enumerate(system, start=1))
    pages = {"00_system_prompt.md": f"# Result\n\n{head}{answer}{said}"}
    asked = [message["content"] for message in history if message["role"] == "user"]
    for number, text in enumerate(asked, start=1):
        size = len(text.encode("utf-8", "replace"))
        if size > WARN_BYTES:
            _log.warning(
                "conversation %s: user message %d has %d kB: models overlook parts of long texts",
                signal_id, number, size // 1024,
            )  # fmt: skip
        pages[f"{number:02}_user_message.md"] = f"# User message {number}\n\n{head}{text}\n"
    pages[f"{len(asked) + 1:02}_llm_output.md"] = f"# Answer\n\n{head}{answer}"
    return pages


def _json(signal: Any) -> str:
    plain = asdict(signal) if is_dataclass(signal) and not isinstance(signal, type) else signal
    if isinstance(plain, Mapping):
        plain = dict(plain)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return json.dumps(plain, indent=2, ensure_ascii=False, default=str)


def _fenced(text: str, language: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}\n"
