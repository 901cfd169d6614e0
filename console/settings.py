"""The project's configuration: ``signaldeck.toml``, the environment, the command line.

One place decides what wins (command line, then environment, then file, then defaults) and turns
every mistake into a message that names the file and the line, or the environment variable, because
a misspelt key that is silently ignored changes what a strategy does.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from json import loads
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, SettingsConfigDict
from pydantic_settings.sources import PydanticBaseSettingsSource

from console.preferences import ConsoleSection, ThemeSection
from engine.domain.errors import EngineError, SettingsError
from engine.domain.settings import Settings
from engine.exchanges import EXCHANGE_KINDS

CONFIG_NAME = "signaldeck.toml"
"""Configuration file looked for in the working directory."""

ENV_PREFIX = "SIGNALDECK_"
"""Prefix of the environment variables that override the file."""


class ConfigError(EngineError):
    """The configuration cannot be used; the message names file and line, or the variable."""


class ExchangeSection(BaseModel):
    """One ``[exchanges.NAME]`` table: its kind, and every other key as an option of that kind."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str
    """``simulated``, ``files`` or ``ccxt``."""

    @property
    def options(self) -> dict[str, Any]:
        """The keys beside ``kind``."""
        return dict(self.model_extra or {})


class OllamaSection(BaseModel):
    """The ``[ollama]`` table; the key of the hosted service is taken from ``OLLAMA_API_KEY``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str | None = Field(default=None, min_length=1)
    """Where Ollama answers, such as ``http://127.0.0.1:11434``."""
    model: str | None = Field(default=None, min_length=1)
    """The model that is asked."""
    timeout_seconds: int | None = Field(default=None, gt=0)
    """Time limit of one answer."""

    @property
    def settings(self) -> dict[str, Any]:
        """What is configured, as settings of the engine."""
        return {f"ollama_{key}": value for key, value in self if value is not None}


class Project(BaseSettings):
    """What a working directory configures. All paths are absolute."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    state: str = "state.db"
    """State file of live runs."""
    strategies: str = "strategies"
    """Folder of the user's strategy files; it may be missing."""
    cache: str = Field(
        default_factory=lambda: str(user_cache_path("signaldeck", appauthor=False) / "candles")
    )
    """Folder of the candle cache; it may be missing."""
    engine: dict[str, Any] = Field(default_factory=dict)
    """Global settings that differ from their defaults."""
    exchanges: dict[str, ExchangeSection] = Field(default_factory=dict)
    """Configured exchanges by name."""
    ollama: OllamaSection = Field(default_factory=OllamaSection)
    """The language model; what it configures is also in ``engine``."""
    keys: dict[str, str] = Field(default_factory=dict)
    """Remapped keys of the console: binding id to key."""
    console: ConsoleSection = Field(default_factory=ConsoleSection)
    """How the console looks, and what becomes of live runs that nobody sees."""

    _locate: _Locator = PrivateAttr(default_factory=lambda: _Locator(None, ""))

    def place(self, *key: str) -> str:
        """Where a key was set: ``FILE:LINE``, or the environment variable."""
        return self._locate(key)


def load_project(
    config: Path | None = None, *, state: str | None = None, strategies: str | None = None
) -> Project:
    """Read the configuration.

    Args:
        config: the file; None takes ``SIGNALDECK_CONFIG``, else ``signaldeck.toml`` in the working
            directory where there is one.
        state: ``--state``, stronger than file and environment.
        strategies: ``--strategies``, stronger than file and environment.

    Raises:
        ConfigError: a file that is named but missing or unreadable, unknown keys, bad values.
    """
    path = _config_path(config)
    text = _read(path) if path else ""
    table = _parse(text, path)
    base = path.parent if path else Path.cwd()
    for key in ("state", "strategies", "cache"):
        if isinstance(table.get(key), str):
            table[key] = _absolute(table[key], base)
    _absolute_data(table.get("exchanges"), base)
    flags: dict[str, Any] = {"state": state, "strategies": strategies}
    overrides = {key: value for key, value in flags.items() if value is not None}
    locate = _Locator(path, text)
    try:
        project = _with_sources(table)(**overrides)
    except ValidationError as error:
        raise ConfigError(
            "\n".join(_describe(dict(item), locate) for item in error.errors())
        ) from None
    project = project.model_copy(
        update={
            "state": _absolute(project.state, Path.cwd()),
            "strategies": _absolute(project.strategies, Path.cwd()),
            "cache": _absolute(project.cache, Path.cwd()),
            "engine": {
                **{key: _typed(value) for key, value in project.engine.items()},
                **project.ollama.settings,
            },
        }
    )
    _check(project, locate)
    project._locate = locate
    return project


def read_project(state: str | None, strategies: Path | None, config: Path | None) -> Project:
    """`load_project` with the options of the command line, which must name things that exist."""
    if strategies is not None and not strategies.is_dir():
        raise ConfigError(f"strategies folder {strategies} does not exist: check --strategies")
    folder = str(strategies) if strategies is not None else None
    return load_project(config, state=state, strategies=folder)


def _with_sources(table: dict[str, Any]) -> type[Project]:
    """A `Project` that reads the given table below the environment."""

    class _Configured(Project):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, table)

    return _Configured


def _config_path(config: Path | None) -> Path | None:
    named = config or (Path(env) if (env := os.environ.get(f"{ENV_PREFIX}CONFIG")) else None)
    if named is None:
        path = Path.cwd() / CONFIG_NAME
        return path if path.is_file() else None
    if not named.is_file():
        raise ConfigError(f"configuration file {named} does not exist: check --config")
    return named.absolute()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration file {path} cannot be read: {error}") from None


def _parse(text: str, path: Path | None) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        # An unclosed string or table is reported "at end of document", without a line.
        line = int(found[1]) if found else len(text.splitlines())
        reason = re.sub(r" \(at .*\)$", "", str(error))
        raise ConfigError(f"{path}:{line}: not valid TOML: {reason}") from None


def _absolute(path: str, base: Path) -> str:
    if path == ":memory:":
        return path
    return str((base / Path(path).expanduser()).absolute())


def _absolute_data(exchanges: Any, base: Path) -> None:
    """Make the data files of exchanges relative to the configuration's folder, in place."""
    for section in exchanges.values() if isinstance(exchanges, dict) else ():
        if isinstance(section, dict) and section.get("kind") == "files" and "paths" in section:
            paths = section["paths"]
            listed = paths if isinstance(paths, list) else [paths]
            section["paths"] = [_absolute(str(path), base) for path in listed]


def _typed(value: Any) -> Any:
    """Environment variables are texts; ``0.05`` and ``true`` mean a number and a truth value."""
    if not isinstance(value, str):
        return value
    try:
        return loads(value)
    except ValueError:
        return value


def _check(project: Project, locate: _Locator) -> None:
    problems: list[str] = []
    try:
        Settings().updated(project.engine)
    except SettingsError as error:
        # Every problem of the engine starts with the name of the setting it is about.
        problems += [
            f"{locate(('engine', text.split(' ', 1)[0]))}: {text}" for text in error.problems
        ]
    for name, section in project.exchanges.items():
        if section.kind not in EXCHANGE_KINDS:
            where = locate(("exchanges", name, "kind"))
            problems.append(
                f"{where}: exchange {name!r} has kind {section.kind!r}: "
                f"use one of {', '.join(EXCHANGE_KINDS)}"
            )
    if problems:
        raise ConfigError("\n".join(problems))


def _describe(item: Mapping[str, Any], locate: _Locator) -> str:
    loc = tuple(str(part) for part in item["loc"])
    where, name = locate(loc), ".".join(loc)
    if item["type"] == "extra_forbidden":
        known = sorted(_section_of(loc).model_fields)
        return f"{where}: unknown key {name!r}: {_suggest(loc[-1], known)}"
    if item["type"] == "missing":
        return f"{where}: {name} is missing: add {loc[-1]} = ... to [{'.'.join(loc[:-1])}]"
    return f"{where}: {name} is {item['input']!r}: {item['msg'].lower()}"


def _section_of(loc: tuple[str, ...]) -> type[BaseModel]:
    if loc[:2] == ("console", "themes"):
        return ThemeSection
    sections = {"ollama": OllamaSection, "console": ConsoleSection}
    return sections.get(loc[0], Project) if len(loc) > 1 else Project


def _suggest(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(known)}"


class _Locator:
    """Says where a key was set: ``FILE:LINE``, or the environment variable."""

    def __init__(self, path: Path | None, text: str) -> None:
        self._path = path
        self._lines = _key_lines(text)

    def __call__(self, key: tuple[str, ...]) -> str:
        variable = (ENV_PREFIX + "__".join(key)).upper()
        if any(name.upper() == variable for name in os.environ):
            return f"environment variable {variable}"
        for size in range(len(key), 0, -1):
            if (line := self._lines.get(key[:size])) is not None:
                return f"{self._path}:{line}"
        return str(self._path or CONFIG_NAME)


def _key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Line number of every table header and key; tomllib keeps none."""
    table: tuple[str, ...] = ()
    lines: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\[?([^\]]+)\]", line):
            table = _dotted(header[1])
            lines.setdefault(table, number)
        elif key := re.match(r"\s*([^=#\[]+?)\s*=", line):
            lines.setdefault((*table, *_dotted(key[1])), number)
    return lines


def _dotted(text: str) -> tuple[str, ...]:
    try:
        node: Any = tomllib.loads(f"{text} = 0")
    except tomllib.TOMLDecodeError:
        return (text,)
    path: list[str] = []
    while isinstance(node, dict):
        name, node = next(iter(node.items()))
        path.append(name)
    return tuple(path)
