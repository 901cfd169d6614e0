"""The language model an engine asks, opened when it is first asked.

A part of the composition root: like `engine.runtime`, it names adapters. They are imported on
demand, because most engines never ask a model.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from engine.domain.errors import LanguageModelError
from engine.domain.ports import LanguageModel
from engine.domain.settings import Settings


@dataclass(frozen=True, slots=True)
class ModelHost:
    """Where language models are asked, and what was found there.

    Attributes:
        host: its address; "" when what is configured is none.
        model: the model that is asked.
        wanted: whether the settings or the environment name a host, a model or a key.
        models: what the host has.
        problem: why it could not be asked, "" when it answered.
    """

    host: str
    model: str
    wanted: bool
    models: tuple[str, ...] = ()
    problem: str = ""

    @property
    def has_model(self) -> bool:
        """Whether the model is there; ``latest`` is what Ollama means by a name without a tag."""
        return self.model in self.models or f"{self.model}:latest" in self.models


async def look_at_models(settings: Settings, seconds: float) -> ModelHost:
    """Ask the configured host once which models it has; never raises.

    Args:
        settings: as of `LanguageModels.choose`.
        seconds: time limit.
    """
    from engine.adapters.llm.ollama import DEFAULT_MODEL, OllamaModel, choose_host

    names = ("OLLAMA_HOST", "OLLAMA_MODEL", "OLLAMA_API_KEY")
    wanted = bool(settings.ollama_host or settings.ollama_model) or any(
        os.environ.get(name, "").strip() for name in names
    )
    host, name = "", _model_name(settings, DEFAULT_MODEL)
    try:
        host = choose_host(settings.ollama_host, os.environ)
        model = OllamaModel(host, name, seconds, _key())
        try:
            return ModelHost(host, name, wanted, await model.models())
        finally:
            await model.close()
    except LanguageModelError as error:
        return ModelHost(host, name, wanted, problem=str(error))


def _model_name(settings: Settings, default: str) -> str:
    return settings.ollama_model or os.environ.get("OLLAMA_MODEL") or default


def _key() -> str:
    return os.environ.get("OLLAMA_API_KEY", "").strip()


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
        name, key = model or _model_name(settings, DEFAULT_MODEL), _key()
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
