"""Optimizers and language models: what has strategies written, and what strategies ask."""

from __future__ import annotations

import asyncio
import builtins
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from engine.domain.conversation import (
    SIGNAL_JSON_SCHEMA,
    messages_of,
    secrets_in,
    signal_of,
)
from engine.domain.optimizing import OptimizerStrategy
from engine.domain.signals import Signal
from engine.runtime import current_engine
from engine.services.conversations import write_conversation
from engine.services.module_files import module_path, write_module

DEFAULT_FOLDER = "./generated"
"""Where modules are written: not among the strategies, which are executed when they are found."""


class Optimizer:
    """Has a language model word strategies, and generates a module from them."""

    @staticmethod
    async def get_data(optimizer_name: str, *, symbol: str) -> builtins.list[OptimizerStrategy]:
        """Collect every source of every training range; one strategy per range.

        Args:
            optimizer_name: a registered optimizer.
            symbol: what the strategies are for.

        Returns:
            A record per range: its messages, and the strategy in the model's words.

        Raises:
            NotRegisteredError: there is no such optimizer.
            OptimizerError: a source, message or prompt failed; the message names it.
            LanguageModelError: the model gave no answer.
        """
        return await current_engine().optimizer(optimizer_name, symbol).collect()

    @staticmethod
    async def get_code(
        optimizer_name: str, path: str | os.PathLike[str] | None = None, *, symbol: str
    ) -> str:
        """Collect anew and generate a strategy module; its text, checked and not executed.

        Args:
            optimizer_name: the optimizer.
            path: also write it there, as `dump` does.
            symbol: what the strategies are for.

        Returns:
            The module's text.

        Raises:
            NotRegisteredError: there is no such optimizer.
            OptimizerError: a source, message, prompt or template failed; the message names it.
            LanguageModelError: the model gave no answer.
            GeneratedCodeError: the module did not pass the checks; nothing was written.
        """
        run = current_engine().optimizer(optimizer_name, symbol)
        module = await run.generate()
        if path is not None:
            target = module_path(path, optimizer_name, symbol)
            await run.dumped(str(await asyncio.to_thread(write_module, module.code, target)))
        return module.code

    @staticmethod
    async def dump(
        optimizer_name: str, path: str | os.PathLike[str] = DEFAULT_FOLDER, *, symbol: str
    ) -> Path:
        """`get_code`, and write it; returns the file.

        Args:
            optimizer_name: the optimizer.
            path: a file ending in ``.py``, else the folder that gets
                ``{optimizer_name}_{symbol}.py``. An existing file is replaced.
            symbol: what the strategies are for.

        Returns:
            The file that was written.

        Raises:
            EngineError: as for `get_code`, or the file could not be written.
        """
        target = module_path(path, optimizer_name, symbol)
        await Optimizer.get_code(optimizer_name, target, symbol=symbol)
        return target


async def ask_text(messages: Iterable[Mapping[str, Any]], *, model: str | None = None) -> str:
    """A language model's answer to a conversation, in words.

    Args:
        messages: ``{"role": "system" | "user" | "assistant", "content": text}``, oldest first.
        model: a model of the configured host; the configured one if None.

    Returns:
        The answer, as the model gave it.

    Raises:
        LanguageModelError: there is no answer, or not in time; the message says what to do.
    """
    engine = current_engine()
    return await engine.language_models.choose(engine.settings, model).chat(messages_of(messages))


async def ask_signal(
    messages: Iterable[Mapping[str, Any]], *, model: str | None = None
) -> Signal | None:
    """A language model's answer to a conversation, as a signal; None when it says ``wait``.

    The model is made to answer in the form of a signal, and its answer is checked: what is
    returned has an id, a position and numbers. Whether the numbers make sense is checked by the
    engine, as for every signal.

    Args:
        messages: ``{"role": "system" | "user" | "assistant", "content": text}``, oldest first.
        model: a model of the configured host; the configured one if None.

    Returns:
        The signal, for `get_signal` to hand on; None if the model says to wait.

    Raises:
        LanguageModelError: there is no answer, not in time, or it is no signal.
    """
    engine = current_engine()
    chosen = engine.language_models.choose(engine.settings, model)
    answer = await chosen.chat(messages_of(messages), SIGNAL_JSON_SCHEMA)
    return signal_of(answer, str(uuid4()))


async def dump_signal(
    signal_id: str,
    history: Sequence[Mapping[str, Any]],
    signal: Any,
    output_dir: str | os.PathLike[str] = "./dump/strategy",
) -> Path:
    """Keep the conversation that led to a signal, as Markdown files in a folder of its own.

    The folder is ``{output_dir}/{signal_id}``; one that exists is left as it is. Values of
    environment variables whose names speak of keys, tokens and passwords are masked.

    Args:
        signal_id: the signal's id.
        history: the conversation; what the assistant said before the answer is left out.
        signal: the answer: a `Signal`, a mapping, or anything JSON can say.
        output_dir: absolute, or relative to the working directory.

    Returns:
        The folder.

    Raises:
        EngineError: it could not be written, or the history is no conversation.
    """
    messages = messages_of(history)
    secrets = secrets_in(os.environ)
    return await asyncio.to_thread(
        write_conversation, signal_id, messages, signal, output_dir, secrets
    )
