"""Which strategy files there are, and what each of them registers.

The user's folder comes first and the shipped examples after it; the first component of a name wins,
so a copied and changed example takes the place of the original, and that is shown. Files are
executed by path: their folder is never put on ``sys.path``, so nothing lying in it can take the
place of a module of ours.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console.settings import ConfigError, Project
from engine.domain.errors import EngineError
from engine.exchanges import ExchangeSpec, is_ccxt_id

if TYPE_CHECKING:
    from engine import Engine

SHIPPED = Path(__file__).resolve().parent.parent / "strategies"
"""Folder of the examples that come with the package, beside the package of this module."""

KINDS = {
    "strategies": "strategy",
    "exchanges": "exchange",
    "frames": "frame",
    "risks": "risk",
    "sizings": "sizing",
    "walkers": "walker",
    "optimizers": "optimizer",
}
"""Registry attributes of an engine to the word for one component of it."""

_TAKEN = re.compile(r"AlreadyRegisteredError: (\w+ '.*?') already exists")

BUILT_IN = (ExchangeSpec("simulated", "simulated", {}),)
"""Exchanges that need no configuration."""


@dataclass(frozen=True, slots=True)
class StrategyFile:
    """One strategy file as it was loaded.

    Attributes:
        shipped: True for an example that comes with the package.
        components: (kind, name) of everything it registered.
        shadowed: the component whose name an earlier file has taken; then it registered nothing.
        error: ``file:line: message`` when it is broken; then it registered nothing.
    """

    path: Path
    shipped: bool
    components: tuple[tuple[str, str], ...] = ()
    shadowed: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Workshop:
    """What an engine was equipped with, and where each thing came from."""

    files: tuple[StrategyFile, ...]
    exchanges: tuple[ExchangeSpec, ...]
    configured: frozenset[str] = frozenset()

    @property
    def broken(self) -> tuple[StrategyFile, ...]:
        """Files that could not be loaded."""
        return tuple(file for file in self.files if file.error)

    def origin(self, kind: str, name: str) -> str:
        """Where a component came from: a path, ``signaldeck.toml`` or ``built-in``."""
        file = self.file_of(kind, name)
        if file is not None:
            return str(file.path)
        if name in self.configured:
            return "signaldeck.toml"
        return "built-in" if any(name == spec.name for spec in self.exchanges) else "ccxt"

    def file_of(self, kind: str, name: str) -> StrategyFile | None:
        """The file that registered a component, None when no file did."""
        return next((file for file in self.files if (kind, name) in file.components), None)

    def exchange_spec(self, name: str) -> ExchangeSpec | None:
        """How to open an exchange that no file registers, as a name means it; else None."""
        if self.file_of("exchange", name) is not None:
            return None
        return named_exchange(name, self.exchanges)

    def files_for(self, engine: Engine, strategy_name: str, exchange_name: str) -> tuple[str, ...]:
        """The files a worker needs for one run, in the order in which they win."""
        strategy = engine.strategies.get(strategy_name, "run")
        needed: set[tuple[str, str]] = {("strategy", strategy_name), ("exchange", exchange_name)}
        needed |= {("risk", name) for name in strategy.risk_names}
        return tuple(str(file.path) for file in self.files if needed & {*file.components})


def named_exchange(name: str, known: Iterable[ExchangeSpec]) -> ExchangeSpec | None:
    """How to open the exchange of a name: one of the known ones, else that of ccxt, else None."""
    found = next((spec for spec in known if spec.name == name), None)
    return ExchangeSpec(name, "ccxt") if found is None and is_ccxt_id(name) else found


def configured_exchanges(project: Project) -> tuple[ExchangeSpec, ...]:
    """The exchanges that the configuration names."""
    return tuple(
        ExchangeSpec(name, section.kind, section.options)
        for name, section in project.exchanges.items()
    )


def strategy_paths(folder: Path) -> tuple[Path, ...]:
    """The user's files by name, then the shipped ones; ``__init__.py`` is left out."""
    own = _modules(folder)
    seen = {path.resolve() for path in own}
    return (*own, *(path for path in _modules(SHIPPED) if path.resolve() not in seen))


def equip(engine: Engine, project: Project) -> Workshop:
    """Load every strategy file into an engine, then open the exchanges no file registered.

    Broken files are listed, never raised. Exchanges of kind ``files`` are not opened here, because
    opening one reads all of its data; a run opens the one it needs.
    """
    # What a file prints while it is loaded is narration: stdout is for the command's own data.
    with redirect_stdout(sys.stderr):
        files = tuple(_load(engine, path) for path in strategy_paths(Path(project.strategies)))
    taken = set(engine.exchanges.names())
    configured = tuple(spec for spec in configured_exchanges(project) if spec.name not in taken)
    names = {spec.name for spec in configured}
    built_in = tuple(spec for spec in BUILT_IN if spec.name not in taken | names)
    for spec in (*configured, *built_in):
        if spec.kind != "files":
            open_exchange(engine, spec)
    return Workshop(files, (*configured, *built_in), frozenset(names))


def open_exchange(engine: Engine, spec: ExchangeSpec) -> None:
    """Open a configured exchange.

    Raises:
        ConfigError: naming the exchange's table and what is wrong with its options.
    """
    try:
        engine.open_exchange(spec)
    except (EngineError, TypeError) as error:
        raise ConfigError(f"[exchanges.{spec.name}]: {error}") from error


def schemas(engine: Engine, plural: str) -> Sequence[Any]:
    """The component schemas of a kind (``strategies``), in registration order."""
    registry = getattr(engine, plural, None)
    return registry.list() if registry is not None else ()


def registered(engine: Engine, plural: str) -> tuple[str, ...]:
    """Names of the components of a kind, in registration order."""
    return tuple(schema.name for schema in schemas(engine, plural))


def _modules(folder: Path) -> list[Path]:
    try:
        found: Iterable[Path] = folder.glob("*.py")
        return sorted(path for path in found if not path.name.startswith("__"))
    except OSError:
        return []


def _load(engine: Engine, path: Path) -> StrategyFile:
    loaded = engine.load_file(path)
    shipped = path.parent.resolve() == SHIPPED
    taken = _TAKEN.search(loaded.error) if shipped else None
    if taken is not None:
        return StrategyFile(path, shipped, shadowed=taken[1])
    return StrategyFile(path, shipped, tuple(loaded.components), error=loaded.error)
