"""The language model an engine asks, opened when it is first asked.

A part of the composition root: like `engine.runtime`, it names adapters. They are imported on
demand, because most engines never ask a model.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from engine.domain.ports import LanguageModel
from engine.domain.settings import Settings


class LanguageModels:
    """Opens the model that the settings name, once per event loop and choice of settings."""

    def __init__(self) -> None:
        self._open: dict[object, LanguageModel] = {}

    def choose(self, settings: Settings, model: str | None = None) -> LanguageModel:
        """The model to ask.

        Args:
            settings: ``ollama_host``, ``ollama_model``, ``ollama_timeout_seconds``.
            model: a model of the same host instead of the configured one.

        Raises:
            LanguageModelError: the host's address or the key cannot be used.
        """
        from engine.adapters.llm.ollama import DEFAULT_MODEL, OllamaModel, choose_host

        host = choose_host(settings.ollama_host, os.environ)
        key = os.environ.get("OLLAMA_API_KEY", "").strip()
        name = model or settings.ollama_model or os.environ.get("OLLAMA_MODEL") or DEFAULT_MODEL
        # Connections belong to the loop they were made on.
        choice = (asyncio.get_running_loop(), host, name, settings.ollama_timeout_seconds, key)
        found = self._open.get(choice)
        if found is None:
            made = OllamaModel(host, name, settings.ollama_timeout_seconds, key)
            found = self._open[choice] = made
        return found

    async def close(self) -> None:
        """Release the connections of this loop; those of other loops are gone with them."""
        here = asyncio.get_running_loop()
        for choice, model in self._open.items():
            if isinstance(choice, tuple) and choice[0] is here:
                await model.close()
        self._open.clear()


class OptimizerParts(NamedTuple):
    """What an optimizer writes with: templates by name, the origin of a module, the question."""

    templates: Mapping[str, Callable[..., str]]
    origin: Callable[[str, str, Mapping[str, str]], str]
    question: str


def optimizer_parts() -> OptimizerParts:
    """The default templates, and what the configured model is asked."""
    from engine.adapters.llm import templates

    return OptimizerParts(templates.TEMPLATES, templates.origin, templates.QUESTION)
