"""Finds and imports one exchange of the ccxt library, and nothing but that one.

`import ccxt.async_support` imports more than a hundred exchanges twice over: twice the time and
twice the memory of the one that is needed. So the two packages are entered into `sys.modules`
without running their `__init__`; it runs as soon as somebody (a strategy that uses ccxt itself)
asks one of them for a name it does not have yet. From then on they are the ordinary packages.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import Any, Final, Protocol, TypeAlias

from engine.domain.errors import NotRegisteredError, SchemaError

_PACKAGE: Final = "ccxt.async_support"
_INIT_LOCK: Final = RLock()
_INIT_NAMES: Final = frozenset({"__all__", "__version__"})
"""Dunder names that only `__init__` defines. Others are probes of tools, no wish for ccxt."""


class Client(Protocol):
    """What is used of a ccxt client: the unified methods and a few documented properties."""

    id: str
    timeout: int
    timeout_on_exit: int
    logger: Any
    has: dict[str, Any]
    urls: dict[str, Any]
    options: dict[str, Any]
    timeframes: Mapping[str, Any] | None
    markets: Mapping[str, Mapping[str, Any]] | None
    on_rest_response: Callable[..., str]
    parse_ohlcv: Callable[..., Sequence[float | None]]

    def market(self, symbol: str) -> Mapping[str, Any]:
        """The market of a unified symbol or of the exchange's own id for it."""
        ...

    def price_to_precision(self, symbol: str, price: float) -> str:
        """A price rounded to the market's tick."""
        ...

    def amount_to_precision(self, symbol: str, amount: float) -> str:
        """An amount cut to the market's lot."""
        ...

    def feature_value(self, symbol: str, method: str, parameter: str) -> Any:
        """A limit of one method on this market, None where ccxt knows of none."""
        ...

    def set_markets_from_exchange(self, source: Any) -> Any:
        """Take over the markets of another client of the same exchange."""
        ...

    async def load_markets(self, reload: bool = False) -> Any:
        """Fetch the markets unless they are loaded."""
        ...

    async def fetch_ohlcv(
        self, symbol: str, timeframe: str, since: int, limit: int
    ) -> Sequence[Sequence[float]]:
        """Rows of ``[open time in ms, open, high, low, close, volume]``, oldest first."""
        ...

    async def fetch_time(self) -> int | None:
        """The exchange's clock, ms UTC."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


ClientClass: TypeAlias = Callable[[dict[str, Any]], Client]


def exchange_ids() -> frozenset[str]:
    """The ids of all exchanges that the installed ccxt has; nothing of it is imported."""
    spec = _package_spec(_PACKAGE)
    folders = spec.submodule_search_locations or ()
    return frozenset(
        path.stem for folder in folders for path in Path(folder).glob("*.py") if path.stem[0] != "_"
    )


def check_id(exchange_id: str) -> None:
    """Refuse an id that ccxt does not have.

    Raises:
        NotRegisteredError: naming ids that look like it.
    """
    known = exchange_ids()
    if exchange_id not in known:
        near = get_close_matches(exchange_id.lower(), known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "see the list at docs.ccxt.com"
        raise NotRegisteredError(f"ccxt has no exchange {exchange_id!r}: {hint}")


def client_class(exchange_id: str) -> ClientClass:
    """The class of one exchange; its first import takes some 0.2 s, and seconds uncompiled.

    Raises:
        SchemaError: the module has no such class (another version of ccxt than expected).
    """
    for name in ("ccxt", _PACKAGE):
        _enter(name)
    module = importlib.import_module(f"{_PACKAGE}.{exchange_id}")
    _forget_submodules(sys.modules[_PACKAGE])
    found: ClientClass | None = getattr(module, exchange_id, None)
    if found is None:
        raise SchemaError(
            f"{module.__name__} has no class {exchange_id}: install ccxt 4.5 or newer"
        )
    return found


class _LazyPackage(ModuleType):
    """A package whose `__init__` runs when a name is missing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in _INIT_NAMES:
            raise AttributeError(name)
        with _INIT_LOCK:
            spec = self.__spec__
            if not vars(self).get("_initialising") and spec is not None and spec.loader is not None:
                self._initialising = True  # its own imports ask this package for names
                spec.loader.exec_module(self)
                object.__setattr__(self, "__class__", ModuleType)
        if name not in vars(self):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return vars(self)[name]


def _enter(name: str) -> None:
    """Put a package into `sys.modules` without running its `__init__`, unless it is there."""
    with _INIT_LOCK:
        if name in sys.modules:
            return
        module = module_from_spec(_package_spec(name))
        module.__class__ = _LazyPackage
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
            return
        # ccxt's own modules import these names from the package.
        errors = importlib.import_module(f"{name}.base.errors")
        vars(module).update({key: value for key, value in vars(errors).items() if key[0] != "_"})
        base = importlib.import_module(f"{name}.base.exchange")
        vars(module)["Exchange"] = vars(base)["Exchange"]


def _forget_submodules(package: ModuleType) -> None:
    """Drop names bound to exchange *modules*, which in the ordinary package are *classes*."""
    if type(package) is not _LazyPackage:
        return
    for name, value in list(vars(package).items()):
        if isinstance(value, ModuleType) and name != "base":
            delattr(package, name)


def _package_spec(name: str) -> ModuleSpec:
    """The spec of a ccxt package, found without importing its parent."""
    if name in sys.modules or "." not in name:
        spec = find_spec(name)
    else:
        folders = _package_spec(name.rpartition(".")[0]).submodule_search_locations
        spec = PathFinder.find_spec(name, folders)
    if spec is None:
        raise SchemaError("the ccxt library is not installed: pip install ccxt")
    return spec
