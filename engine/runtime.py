"""The composition root: an `Engine` wires everything; nothing else knows everything."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.domain.bars import CandleKey
from engine.domain.errors import (
    EngineError,
    NotRegisteredError,
    RunError,
    SchemaError,
)
from engine.domain.ports import Clock, Store
from engine.domain.schemas import (
    ExchangeSchema,
    FrameSchema,
    OptimizerSchema,
    RiskSchema,
    SizingSchema,
    StrategySchema,
)
from engine.domain.settings import Settings
from engine.domain.signals import (
    Mode,
    RunKey,
)
from engine.domain.texts import value_text
from engine.domain.time import MINUTE
from engine.domain.walks import WalkerSchema
from engine.exchanges import ExchangeSpec, is_ccxt_id, make_exchange, schema_of
from engine.language_models import LanguageModels, optimizer_parts
from engine.reports.column_sets import default_columns
from engine.reports.columns import ColumnSets
from engine.runs.backtest import BacktestExecution
from engine.runs.group_runs import GroupRuns
from engine.runs.instance import Instance
from engine.runs.live_runs import LiveRuns, Recovered
from engine.runs.optimizer import OptimizerRun
from engine.runs.resting import RestingBacktests
from engine.services.bus import Bus
from engine.services.clock import SystemClock
from engine.services.forwarding import ForwardingHandler, Logger
from engine.services.journal import Recorder
from engine.services.loader import LoadedFile, execute
from engine.services.market import Market
from engine.services.registry import Registry
from engine.services.risk import RiskGate

if TYPE_CHECKING:
    from engine.adapters.store.reader import StateReader

_log = logging.getLogger("signaldeck.engine")
_current: ContextVar[Engine | None] = ContextVar("signaldeck_engine", default=None)


class Engine:
    """Owns settings, registries, bus, store and runs.

    Args:
        state: where live state is kept: the path of a file, or ``":memory:"``.
        store: any object with the store protocol, instead of ``state``.
        config: settings that differ from the defaults.
        clock: what "now" is; the wall clock by default.
        cache: folder of the candle cache for exchanges of ccxt; None keeps no candles.
        start_clean_if_damaged: the operator's consent to set a damaged state file aside.

    Use ``async with Engine() as engine:``; inside the block it is the current engine, on which
    the module-level functions and classes act.
    """

    def __init__(
        self,
        *,
        state: str | Path = ":memory:",
        store: Store | None = None,
        config: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
        cache: str | Path | None = None,
        start_clean_if_damaged: bool = False,
    ) -> None:
        self.settings = Settings().updated(config or {})
        self.clock: Clock = clock or SystemClock()
        self.bus = Bus()
        self.strategies: Registry[StrategySchema] = Registry("strategy")
        self.exchanges: Registry[ExchangeSchema] = Registry("exchange")
        self.frames: Registry[FrameSchema] = Registry("frame")
        self.risks: Registry[RiskSchema] = Registry("risk")
        self.sizings: Registry[SizingSchema] = Registry("sizing")
        self.recorder = Recorder()
        self.columns: ColumnSets = default_columns(lambda: self.settings.report_show_signal_note)
        self._log_handler: ForwardingHandler | None = None
        self.optimizers: Registry[OptimizerSchema] = Registry("optimizer")
        self.walkers: Registry[WalkerSchema] = Registry("walker")
        self.language_models = LanguageModels()
        self.files: list[LoadedFile] = []
        self.told_frames: set[str] = set()
        self._resting = RestingBacktests()
        self.store: Store = (
            store if store is not None else _open_store(state, start_clean_if_damaged)
        )
        self.cache = Path(cache) if cache is not None else None
        self._opened = False
        self._instances: dict[RunKey, Instance] = {}
        self.live_runs = LiveRuns(self, self.store, self._instances)
        self.group_runs = GroupRuns(self, self._instances)
        self.exchange_specs: dict[str, ExchangeSpec] = {}
        self._tokens: list[Token[Engine | None]] = []
        self._closers: list[Callable[[], Any]] = []

    # -- life ----------------------------------------------------------------------------------

    async def __aenter__(self) -> Engine:
        await self.open()
        self._tokens.append(_current.set(self))
        return self

    async def __aexit__(self, *error: object) -> None:
        _current.reset(self._tokens.pop())
        await self.close()

    async def open(self) -> None:
        """Make the store ready; harmless when repeated."""
        if not self._opened:
            self._opened = True
            await self.store.open()

    async def close(self) -> None:
        """End every run where it is, close the bus, the exchanges and the store."""
        for instance in self.instances():
            await instance.cancel()
        await self.live_runs.close()
        await self.bus.close()
        for close in self._closers:
            try:
                done = close()
                if inspect.isawaitable(done):
                    await done
            except Exception:
                _log.exception("an exchange could not be closed")  # the state must be, all the same
        self._closers.clear()
        await self.language_models.close()
        await self.store.close()
        self.forward_log(None)

    # -- settings and components -----------------------------------------------------------------

    def configure(self, changes: Mapping[str, Any], *, unsafe: bool = False) -> Settings:
        """Change settings for runs started from now on.

        Raises:
            SettingsError: nothing was changed; every problem is listed.
        """
        self.settings = self.settings.updated(changes, unsafe=unsafe)
        return self.settings

    def forward_log(self, logger: Logger | None) -> None:
        """Hand what is logged on behalf of this engine to ``logger``; None hands on nothing."""
        if self._log_handler is not None:
            self._log_handler.remove()
            self._log_handler = None
        if logger is not None:
            # Looking must not make the process-wide engine, as `current_engine` would.
            self._log_handler = ForwardingHandler(
                logger, lambda: (_current.get() or _Default.engine) is self
            )
            self._log_handler.install()

    def load_file(self, path: Path) -> LoadedFile:
        """Execute a strategy file; what it registers goes to this engine.

        A component whose name is taken by an earlier file is refused like any second
        registration, so load a user's files before the shipped ones.
        """
        before = set(self._registered())
        token = _current.set(self)
        try:
            loaded = execute(path, self._registered)
        finally:
            _current.reset(token)
        if loaded.error:
            # A file that failed half-way leaves nothing behind: half a component could run.
            for registry in self._registries():
                for name in registry.names():
                    if (registry.kind, name) not in before:
                        registry.remove(name)
        self.files.append(loaded)
        return loaded

    def open_exchange(self, spec: ExchangeSpec) -> ExchangeSchema:
        """Register a built-in exchange under ``spec.name``.

        Raises:
            EngineError: the kind is unknown, or its options or files cannot be used.
        """
        exchange = make_exchange(spec, self.clock, self.settings, self.cache)
        schema = self.exchanges.add(schema_of(exchange, spec))
        self.exchange_specs[spec.name] = spec
        self._closers.append(exchange.close)
        return schema

    # -- runs ------------------------------------------------------------------------------------

    def backtest(
        self, symbol: str, *, strategy_name: str, exchange_name: str, frame_name: str
    ) -> Instance:
        """The backtest of this key; it is made on first use.

        Raises:
            NotRegisteredError: naming what is missing.
        """
        call = "Backtest"
        strategy = self.strategy(strategy_name, call)
        exchange = self.exchange(exchange_name, call)
        frame = self.frames.get(frame_name, call)
        key = RunKey(Mode.BACKTEST, exchange_name, strategy_name, symbol, frame_name)

        def make() -> BacktestExecution:
            settings = self.settings
            market = Market(
                exchange, settings, self.clock, frame.end_date + MINUTE, self.callback_failed
            )
            return BacktestExecution(
                key=key, strategy=strategy, frame=frame, settings=settings, market=market,
                risk=RiskGate(self.risks, self.bus, settings.max_signal_generation_seconds),
                bus=self.bus, journal=self.recorder.begin(key), told_frames=self.told_frames,
                resting=self._resting.add,
            )  # fmt: skip

        return self._instance(key, make)

    def live(self, symbol: str, *, strategy_name: str, exchange_name: str) -> Instance:
        """The live run of this key; it is made on first use.

        Raises:
            NotRegisteredError: naming what is missing.
        """
        return self.live_runs.instance(symbol, strategy_name, exchange_name)

    async def recover(self) -> Recovered:
        """Resume what the state holds; call it once, after strategies are registered.

        Returns:
            The runs that came back, what could not, and everything the state holds.

        Raises:
            StateError: the state cannot be read.
        """
        return await self.live_runs.recover()

    def optimizer(self, optimizer_name: str, symbol: str) -> OptimizerRun:
        """A new collection of an optimizer.

        Raises:
            NotRegisteredError: there is no such optimizer.
            SchemaError: ``symbol`` is no text.
        """
        schema = self.optimizers.get(optimizer_name, "Optimizer")
        if not isinstance(symbol, str) or not symbol:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise SchemaError(f"Optimizer: symbol is {value_text(symbol)}: must be text")
        parts = optimizer_parts()
        return OptimizerRun(
            schema, symbol, self.bus, templates=parts.templates, origin=parts.origin,
            question=parts.question, model=lambda: self.language_models.choose(self.settings),
        )  # fmt: skip

    def instances(self, mode: Mode | None = None) -> tuple[Instance, ...]:
        """All runs made so far, oldest first; of one mode if given."""
        return tuple(
            item for key, item in self._instances.items() if mode is None or key.mode is mode
        )

    def find(
        self,
        mode: Mode,
        symbol: str,
        strategy_name: str,
        exchange_name: str | None = None,
        frame_name: str | None = None,
    ) -> Instance:
        """The one run that matches.

        Raises:
            EngineError: none matches, or several do; those are listed.
        """
        found = [
            item
            for item in self.instances(mode)
            if item.key.symbol == symbol
            and item.key.strategy_name == strategy_name
            and item.key.on(exchange_name, frame_name)
        ]
        if len(found) == 1:
            return found[0]
        if not found:
            self.strategies.get(strategy_name, mode.capitalize())
            raise NotRegisteredError(
                f"no {mode} of {strategy_name!r} on {symbol!r} has been started: run it first"
            )
        keys = "; ".join(str(item.key) for item in found)
        raise EngineError(f"several runs match, name exchange_name and frame_name: {keys}")

    # -- pieces ----------------------------------------------------------------------------------

    def strategy(self, name: str, call: str) -> StrategySchema:
        """A registered strategy whose risk profiles are registered too.

        Raises:
            NotRegisteredError: naming what is missing and ``call``, which asked.
        """
        strategy = self.strategies.get(name, call)
        for risk_name in strategy.risk_names:
            self.risks.get(risk_name, f"{call}, strategy {name!r}")
        return strategy

    def _instance(self, key: RunKey, make: Callable[[], Any]) -> Instance:
        found = self._instances.get(key)
        if found is None:
            blocking = key.mode is Mode.BACKTEST
            found = self._instances[key] = Instance(key, self.bus, make, blocking)
        return found

    def exchange(self, name: str, call: str) -> ExchangeSchema:
        """A registered exchange, else one of ccxt of this id, which is opened now.

        The first exchange of ccxt is imported for it, which takes some 0.3 s.

        Raises:
            NotRegisteredError: naming what is missing and ``call``, which asked.
        """
        if self.exchanges.find(name) is None and is_ccxt_id(name):
            return self.open_exchange(ExchangeSpec(name, "ccxt"))
        return self.exchanges.get(name, call)

    def callback_failed(self, error: Exception, source: CandleKey) -> None:
        """Publish the failure of an exchange callback."""
        event = RunError(
            error, stage="callback", symbol=source.symbol, exchange_name=source.exchange_name
        )
        self.bus.publish("error", event)

    def _registered(self) -> tuple[tuple[str, str], ...]:
        return tuple(
            (registry.kind, name) for registry in self._registries() for name in registry.names()
        )

    def _registries(self) -> tuple[Registry[Any], ...]:
        return (
            self.strategies, self.exchanges, self.frames, self.risks, self.sizings,
            self.optimizers, self.walkers,
        )  # fmt: skip


class _Default:
    """The process-wide engine, made on first use by code that never entered one."""

    engine: Engine | None = None


def current_engine() -> Engine:
    """The engine of the surrounding ``async with``, else the process-wide default."""
    engine = _current.get()
    if engine is None:
        if _Default.engine is None:
            _Default.engine = Engine()
        engine = _Default.engine
    return engine


def open_reader(state: str | Path) -> StateReader:
    """Look at a state file that another process may own, without changing anything.

    Raises:
        StateError: there is none, or it is no state file of this version.
    """
    from engine.adapters.store.reader import StateReader

    return StateReader(state)


def _open_store(state: str | Path, start_clean_if_damaged: bool) -> Store:
    # Imported on demand: a worker process and an embedding program without state need no SQLite.
    if str(state) == ":memory:":
        from engine.adapters.store.memory import MemoryStore

        return MemoryStore()
    from engine.adapters.store.sqlite import SqliteStore

    return SqliteStore(state, start_clean_if_damaged=start_clean_if_damaged)
