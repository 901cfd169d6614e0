"""All live runs of one engine: shared markets and risk gate, commands, recovery."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal

from pydantic import ValidationError

from engine.domain.bars import CandleKey
from engine.domain.changes import (
    CommandNoted,
    ErrorNote,
    InstanceRecord,
    InstanceSaved,
    JournalEvent,
    NumberedEvent,
    RunState,
    StoredState,
)
from engine.domain.errors import EngineError, RunError, RunStateError, StateError
from engine.domain.events import Partial, RiskRejection
from engine.domain.outcome import BacktestStatistics, EquityPoint
from engine.domain.ports import Store
from engine.domain.schemas import ExchangeSchema, StrategySchema
from engine.domain.settings import Settings
from engine.domain.signals import Mode, OpenPosition, RunKey
from engine.domain.time import MINUTE
from engine.runs.error_notes import StoreTrouble
from engine.runs.exchange_watch import ExchangeWatch
from engine.runs.home import Home
from engine.runs.instance import STOPPING, Instance
from engine.runs.live import LiveExecution, every_minute
from engine.runs.outcome import live_figures
from engine.services.journal import RunJournal
from engine.services.loader import file_of
from engine.services.market import MARKET_SETTINGS, Market
from engine.services.risk import RiskGate

WATCHED: Final = "what is held is watched to its end"
"""What a graceful stop means for whoever holds something."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What `LiveRuns.recover` found.

    Attributes:
        instances: the runs that came back.
        replayed: how many committed events were delivered only now.
        problems: what could not be restored, one sentence each.
        state: everything the store held.
    """

    instances: tuple[Instance, ...]
    replayed: int
    problems: tuple[str, ...]
    state: StoredState


@dataclass(frozen=True, slots=True)
class _Left:
    """What an earlier process left of a run, until its next session takes it over."""

    state: RunState
    record: InstanceRecord
    seen_until: int | None


class LiveRuns:
    """Makes, restores and commands live runs.

    Args:
        home: the engine.
        store: where their state is kept.
        instances: the engine's runs by key; live ones are added to it.

    Attributes:
        instants: which whole minutes are decision instants, for runs made from now on. Every one
            by default; replays give a frame's.
    """

    def __init__(self, home: Home, store: Store, instances: dict[RunKey, Instance]) -> None:
        self._home = home
        self._store = store
        self._instances = instances
        self._markets: dict[tuple[object, ...], Market] = {}
        self._watches: dict[str, ExchangeWatch] = {}
        self._live_risk: RiskGate | None = None
        self._trouble = StoreTrouble()
        self._sessions: dict[RunKey, int] = {}
        self._left: dict[RunKey, _Left] = {}
        self.instants: Callable[[int], bool] = every_minute

    def instance(self, symbol: str, strategy_name: str, exchange_name: str) -> Instance:
        """The live run of this key; it is made on first use.

        Raises:
            NotRegisteredError: naming what is missing.
        """
        self._home.strategy(strategy_name, "Live")
        self._home.exchange(exchange_name, "Live")
        key = RunKey(Mode.LIVE, exchange_name, strategy_name, symbol)
        found = self._instances.get(key)
        if found is None:
            found = Instance(key, self._home.bus, self._maker(key), blocking_sink=False)
            self._instances[key] = found
        return found

    async def close(self) -> None:
        """End the polls of all markets and the watches of all exchanges."""
        for watch in self._watches.values():
            await watch.close()
        self._watches.clear()
        for market in self._markets.values():
            await market.close()

    async def operate(
        self,
        instance: Instance,
        command: Literal["stop", "start", "close", "cancel"],
        origin: str = "api",
    ) -> str:
        """Carry out an operator's command on a run and note it in the journal.

        Args:
            instance: the run.
            command: ``stop`` (drain), ``start`` (again, or resume), ``close`` the position now,
                ``cancel`` the scheduled signal.
            origin: where the command came from.

        Returns:
            One sentence that says what happened.

        Raises:
            RunStateError: the run's state does not allow it.
            StateError: it could not be made durable, and did not happen.
        """
        try:
            result = await self._obeyed(instance, command)
        except EngineError as error:
            await self._note_command(origin, command, instance, f"refused: {error}")
            raise
        try:
            await self._note_command(origin, command, instance, result)
        except StateError as error:
            # It has happened, whatever becomes of the note: nobody may be told otherwise.
            return f"{result}; the command itself could not be noted: {error}"
        return result

    async def figures(self, key: RunKey) -> tuple[BacktestStatistics, tuple[EquityPoint, ...]]:
        """Statistics and daily equity curve of a run's present or last session.

        Raises:
            RunStateError: it has not been started.
        """
        journal = self._home.recorder.of(key)
        if journal is None:
            raise RunStateError(f"{key} has not been started: run it first")
        settings = journal.settings or self._home.settings
        try:
            exchange = self._home.exchange(key.exchange_name, "Live")
        except EngineError:
            market = None  # it is gone, and the trades are what they are
        else:
            market = self._live_market(exchange, settings)
        return await live_figures(journal, market, settings, self._home.clock.now())

    async def recover(self) -> Recovered:
        """Resume what the state holds; call it once, after strategies are registered.

        Runs come back as they were: running, draining or ended. One whose strategy is gone comes
        back draining, watched by its stored levels. Events that were committed but reached nobody
        are published, marked ``replayed``.
        """
        state = await self._store.load()
        restored: list[Instance] = []
        problems = [f"{item.table}: {item.error}" for item in state.quarantined]
        recent: defaultdict[RunKey, list[JournalEvent]] = defaultdict(list)
        for entry in state.recent:
            recent[entry.key].append(entry.event)
        for key, left in sorted(state.runs.items(), key=_age):
            if key.mode is not Mode.LIVE or (left.instance is None and left.held is None):
                continue
            seen = state.telemetry.get(key)
            record = left.instance or self._without_record(key, state)
            kept = _Left(left, record, seen.when if seen else None)
            self._sessions[key] = record.session
            if wrong := self._settings_of(record)[1]:
                problems.append(f"{key}: {wrong}")
            try:
                self._remember(key, kept, recent[key])
                restored.append(self._restored(key, kept))
            except EngineError as error:
                problems.append(f"{key}: {error}")
                if key in self._instances:
                    restored.append(self._instances[key])  # it cannot run, but has to be seen
        for entry in state.undelivered:
            self._replay(entry)
        for problem in problems:
            self._home.bus.publish("error", RunError(StateError(problem), stage="recovery"))
        return Recovered(tuple(restored), len(state.undelivered), tuple(problems), state)

    def _maker(self, key: RunKey) -> Callable[[], LiveExecution]:
        def make() -> LiveExecution:
            if (kept := self._left.get(key)) is not None:
                execution = self._taken_over(key, kept)
                del self._left[key]
                return execution
            strategy = self._home.strategy(key.strategy_name, "Live")
            exchange = self._home.exchange(key.exchange_name, "Live")
            left = self._instances[key].execution
            if isinstance(left, LiveExecution) and (state := left.left_behind()) is not None:
                # The session before was cancelled with something held: it is followed further.
                return self._live_execution(
                    key, strategy, exchange, left.settings, left.record, left.journal, state
                )
            record = self._new_record(key, strategy)
            settings = self._home.settings
            journal = self._home.recorder.begin(key, record.started_at, settings)
            return self._live_execution(key, strategy, exchange, settings, record, journal, None)

        return make

    async def _obeyed(self, instance: Instance, command: str) -> str:
        execution = instance.execution
        if command == "start":
            drains, again = instance.is_running, instance.is_done
            instance.start()
            if instance.status == STOPPING:
                await instance.wait()  # it was ending already: its next session is beginning
            # The run saves itself as well, but a start that was acknowledged survives a crash.
            if isinstance(instance.execution, LiveExecution):
                saved = InstanceSaved(instance.key, instance.execution.record)
                try:
                    await self._store.commit([saved])
                except StateError:
                    instance.stop()
                    raise
            return "resumed" if drains else "started again" if again else "started"
        if not isinstance(execution, LiveExecution) or not instance.is_running:
            raise RunStateError(
                f"{instance.key} is not running ({instance.status}): there is nothing to {command}"
            )
        if command == "stop":
            # Durable before it is done: a stop that was acknowledged survives a crash.
            stopping = replace(execution.record, status="stopping")
            await self._store.commit([InstanceSaved(instance.key, stopping)])
            instance.stop()
            held = execution.session is not None and execution.session.is_holding
            return f"draining: no new signals, {WATCHED}" if held else "stopped"
        if command == "close":
            return await execution.operate("close")
        return await execution.operate("cancel")

    async def _note_command(
        self, origin: str, command: str, instance: Instance, result: str
    ) -> None:
        note = CommandNoted(self._home.clock.now(), origin, command, str(instance.key), result)
        await self._store.commit([note])

    def _restored(self, key: RunKey, left: _Left) -> Instance:
        """Bring a run back as it was; its start takes over what was left."""
        strategy = self._home.strategies.find(key.strategy_name)
        file = file_of(self._home.files, key.strategy_name)
        instance = Instance(key, self._home.bus, self._maker(key), blocking_sink=False)
        if strategy is None:
            instance.flags = ("strategy missing",)
        elif left.state.instance is None:
            instance.flags = ("settings lost",)
        elif file is not None and file.sha256 != left.record.strategy_hash:
            instance.flags = ("strategy changed",)
        self._instances[key] = instance
        held = left.state.held
        if isinstance(held, OpenPosition):
            # The session frees what its strategy names now, which may be other profiles.
            names = left.record.risk_names if strategy is None else strategy.risk_names
            self._live_gate().book.reserve(names, key, held)
        if left.record.status not in ("running", "stopping") and held is None:
            instance.restore(left.record.status, left.record.error)
            return instance
        self._left[key] = left
        try:
            instance.start()
        except EngineError as error:
            instance.flags = ("exchange missing",)
            instance.restore("failed", str(error))
            raise
        if left.record.status != "running" or strategy is None or left.state.instance is None:
            instance.stop()
        return instance

    def _without_record(self, key: RunKey, state: StoredState) -> InstanceRecord:
        """For something held whose run's own row could not be read: it is watched to its end."""
        return InstanceRecord(
            status="running",
            settings=self._home.settings.model_dump(),
            risk_names=tuple(name for name, holder in state.reservations if holder == key),
            strategy_file="",
            strategy_hash="",
            session=1,
            started_at=self._home.clock.now(),
        )

    def _settings_of(self, record: InstanceRecord) -> tuple[Settings, str]:
        """A run's settings, and what is wrong with those that are stored, "" if nothing is.

        Another version may know other ones: what can be used is, the rest are the present ones.
        """
        present = self._home.settings
        known = {name: v for name, v in record.settings.items() if name in Settings.model_fields}
        unknown = ", ".join(sorted(set(record.settings) - set(known)))
        problem = f"settings this version does not know: {unknown}" if unknown else ""
        try:
            return Settings.model_validate({**present.model_dump(), **known}), problem
        except ValidationError as error:
            text = "; ".join(f"{item['loc']}: {item['msg']}" for item in error.errors())
            return present, f"settings that cannot be used, so the present ones are: {text}"

    def _remember(self, key: RunKey, left: _Left, recent: Iterable[JournalEvent]) -> None:
        """What the session did before this process began counts in its reports."""
        record = left.record
        settings, _ = self._settings_of(record)
        journal = self._home.recorder.begin(key, record.started_at, settings)
        journal.restore(left.state, recent)
        if record.status not in ("running", "stopping"):
            known = (left.state.settled_until, left.seen_until, *(e.when for e in journal.events))
            journal.ended_at = max(record.started_at, *(when or 0 for when in known))

    def _taken_over(self, key: RunKey, left: _Left) -> LiveExecution:
        record = left.record
        exchange = self._home.exchange(key.exchange_name, "recovery")
        strategy = self._home.strategies.find(key.strategy_name)
        if strategy is None:
            strategy = StrategySchema(
                strategy_name=key.strategy_name, interval="1m", get_signal=_no_signal,
                risk_list=record.risk_names,
            )  # fmt: skip
        settings, _ = self._settings_of(record)
        journal = self._home.recorder.journals[key]
        return self._live_execution(
            key, strategy, exchange, settings, record, journal, left.state, left.seen_until
        )

    def _replay(self, entry: NumberedEvent) -> None:
        event = entry.event
        if isinstance(event, ErrorNote):
            return  # never to be delivered
        event = replace(event, replayed=True)
        if isinstance(event, RiskRejection):
            self._home.bus.publish("risk", event)
        elif isinstance(event, Partial):
            self._home.bus.publish(f"partial_{event.side}", event)
        else:
            self._home.bus.publish_result("signal_live", event)
            self._home.bus.publish_result("signal", event)
        self._home.bus.after_handled(partial(self._store.delivered, [entry.number]))

    def _live_execution(
        self,
        key: RunKey,
        strategy: StrategySchema,
        exchange: ExchangeSchema,
        settings: Settings,
        record: InstanceRecord,
        journal: RunJournal,
        resumed: RunState | None,
        seen_until: int | None = None,
    ) -> LiveExecution:
        return LiveExecution(
            key=key,
            strategy=strategy,
            settings=settings,
            market=self._live_market(exchange, settings),
            journal=journal,
            risk=self._live_gate(),
            bus=self._home.bus,
            clock=self._home.clock,
            store=self._store,
            trouble=self._trouble,
            record=record,
            instants=self.instants,
            resumed=resumed,
            seen_until=seen_until,
        )

    def _live_gate(self) -> RiskGate:
        if self._live_risk is None:
            self._live_risk = RiskGate(
                self._home.risks,
                self._home.bus,
                self._home.settings.max_signal_generation_seconds,
            )
        return self._live_risk

    def _new_record(self, key: RunKey, strategy: StrategySchema) -> InstanceRecord:
        self._sessions[key] = self._sessions.get(key, 0) + 1
        file = file_of(self._home.files, strategy.name)
        return InstanceRecord(
            status="running",
            settings=self._home.settings.model_dump(),
            risk_names=strategy.risk_names,
            strategy_file=str(file.path) if file is not None else "",
            strategy_hash=file.sha256 if file is not None else "",
            session=self._sessions[key],
            started_at=self._home.clock.now(),
        )

    def _live_market(self, exchange: ExchangeSchema, settings: Settings) -> Market:
        """The market that live runs with these settings share."""
        watch = self._watches.get(exchange.name)
        if watch is None and (exchange.get_clock_offset or exchange.get_rate_limit_used):
            watch = ExchangeWatch(exchange, self._home.clock, self._home.bus)
            self._watches[exchange.name] = watch
        key = (exchange.name, *(getattr(settings, name) for name in MARKET_SETTINGS))
        market = self._markets.get(key)
        if market is None:
            market = self._markets[key] = Market(
                exchange, settings, self._home.clock, failed=self._home.callback_failed,
                holed=self._hole_met, clock_offset=None if watch is None else watch.offset,
            )  # fmt: skip
        return market

    def _hole_met(self, error: Exception, source: CandleKey) -> None:
        event = RunError(
            error, stage="exchange", mode=Mode.LIVE, symbol=source.symbol,
            exchange_name=source.exchange_name, when=self._home.clock.now() // MINUTE * MINUTE,
        )  # fmt: skip
        self._home.bus.publish("error", event)


def _age(run: tuple[RunKey, RunState]) -> tuple[int, str]:
    """Runs come back in the order in which they were started."""
    key, left = run
    return (left.instance.started_at if left.instance is not None else 0, str(key))


def _no_signal(symbol: str, when: object) -> None:
    """Stands in for a strategy that is gone: its position is watched, nothing new is opened."""
    return
