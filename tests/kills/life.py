"""One life: a process that opens the state, recovers, trades, and obeys the operator, until killed.

It is what any program around the engine would be; what it adds is written to files that survive it:
the events it heard, the questions its strategies were asked, what the operator did and was told.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from engine import Engine
from engine.adapters.store.sqlite import SqliteStore
from engine.domain.errors import EngineError
from engine.domain.events import Partial, RiskRejection
from engine.domain.signals import Mode, RunKey
from engine.domain.time import MINUTE
from engine.exchanges import ExchangeSpec
from tests.kills.fate import KeptClock, begin, note, passing
from tests.kills.planted import plant
from tests.kills.scenario import EXCHANGE, RUNS, SETTINGS, Command, commands

DESK: Final = Path(__file__).with_name("desk.py")
CLIENT: Final = {"id": "binance", "rateLimit": 1, "verify": False}
"""Reading certificates that nothing asks for would take a quarter of every life."""

SLOWNESS: Final = 0.003
"""Seconds it takes to hear an event: time to be killed with events on their way."""

STATE, CLOCK, REPORT = "state.db", "clock", "report.json"


@dataclass(frozen=True, slots=True)
class Orders:
    """What a process is told at its birth.

    Attributes:
        folder: where state, clock and notes are.
        url: the exchange.
        seed: of the scenario.
        point, count: die at the ``count``-th arrival at a point of `fate.POINTS`; "" never.
        end: when to stop, ms UTC; 0 for never.
        flush_seconds: how long the store may keep marks of delivery to itself.
        settings: in addition to the scenario's.
        planted: a bug of `tests.kills.planted`, "" for none.
    """

    folder: str
    url: str
    seed: int
    point: str = ""
    count: int = 0
    end: int = 0
    flush_seconds: float = 0.01
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    planted: str = ""

    def to_json(self) -> str:
        """For the way to the process."""
        return json.dumps(asdict(self))


def live(text: str, parent: int) -> None:
    """Live as ordered (`Orders.to_json`); returns only if it was told when to stop.

    Args:
        text: the orders.
        parent: a pipe on which nothing comes while this lives; whoever gave the orders holds the
            other end, and without them a life would go on for ever.
    """
    orders = Orders(**json.loads(text))
    folder = Path(orders.folder)
    begin(folder, orders.point, orders.count)
    plant(orders.planted)
    asyncio.run(_live(orders, folder, parent))


async def _live(orders: Orders, folder: Path, parent: int) -> None:
    asyncio.get_running_loop().add_reader(parent, os._exit, 1)
    clock = KeptClock(folder / CLOCK)
    store = SqliteStore(folder / STATE, on_write_point=passing, flush_seconds=orders.flush_seconds)
    # Time moves only while this task sleeps: not while it starts, and not any more at the end.
    with clock.working():
        async with Engine(store=store, clock=clock) as engine:
            engine.configure({**SETTINGS, **orders.settings}, unsafe=True)
            engine.open_exchange(ExchangeSpec(EXCHANGE, "ccxt", {**CLIENT, "urls": orders.url}))
            loaded = engine.load_file(DESK)
            assert not loaded.error, loaded.error
            listen(engine)
            await engine.recover()
            for strategy, symbol in RUNS:
                instance = engine.live(symbol, strategy_name=strategy, exchange_name=EXCHANGE)
                if instance.status == "idle":
                    instance.start()
            operating = asyncio.create_task(operate(engine, clock, orders.seed, folder))
            await clock.sleep_until(orders.end + MINUTE // 4 if orders.end else 2**62)
            operating.cancel()
            await asyncio.gather(operating, return_exceptions=True)
            await engine.bus.flush()
            report = {str(key): await told(engine, key) for key in map(_key, RUNS)}
    (folder / REPORT).write_text(json.dumps(report))


def _key(run: tuple[str, str]) -> RunKey:
    return RunKey(Mode.LIVE, EXCHANGE, *run)


async def told(engine: Engine, key: RunKey) -> dict[str, Any]:
    """What this process would show of a run's session: statistics from its own memory."""
    statistics, equity = await engine.live_runs.figures(key)
    return {**asdict(statistics), "equity": [[point.timestamp, point.equity] for point in equity]}


# -- who listens -----------------------------------------------------------------------------------


def listen(engine: Engine) -> None:
    """Write down every event that has to be delivered."""

    def hear(kind: Callable[[Any], str], facts: Callable[[Any], dict[str, Any]]) -> Any:
        async def listener(event: Any) -> None:
            await asyncio.sleep(SLOWNESS)
            key = event.key
            note(
                "heard", kind=kind(event), strategy=key.strategy_name, symbol=key.symbol,
                replayed=event.replayed, **facts(event),
            )  # fmt: skip
            passing("heard")

        return listener

    def of_result(event: Any) -> dict[str, Any]:
        return {"id": event.signal.id, "at": event.when, "price": event.current_price}

    def of_partial(event: Partial) -> dict[str, Any]:
        facts = {"id": event.data.id, "at": event.timestamp, "price": event.current_price}
        return {**facts, "level": event.level, "reason": event.side}

    def of_refusal(event: RiskRejection) -> dict[str, Any]:
        facts = {"id": event.pending_signal.id, "at": event.timestamp}
        return {**facts, "price": event.current_price, "reason": event.risk_name}

    subscribe = engine.bus.subscribe
    subscribe("signal", hear(lambda event: str(event.action), of_result), transitions_only=True)
    for side in ("profit", "loss"):
        subscribe(f"partial_{side}", hear(lambda event: "partial", of_partial))
    subscribe("risk", hear(lambda event: "risk", of_refusal))


# -- the operator ----------------------------------------------------------------------------------


def answered(folder: Path) -> set[int]:
    """Numbers of the commands whose answer the operator has."""
    lines = (folder / "operator").read_text().splitlines()
    facts = [json.loads(line) for line in lines]
    return {fact["number"] for fact in facts if "answer" in fact}


async def operate(engine: Engine, clock: KeptClock, seed: int, folder: Path) -> None:
    """Give every command that has not been answered: one that was cut short is given again."""
    done = answered(folder)
    with clock.working():
        for command in commands(seed):
            if command.number not in done:
                # Later than now: runs that have just come back do their minute first.
                await clock.sleep_until(max(command.at, clock.now() + 1))
                await give(engine, command)


async def give(engine: Engine, command: Command) -> None:
    strategy, symbol = command.run
    instance = engine.live(symbol, strategy_name=strategy, exchange_name=EXCHANGE)
    what: Any = command.command
    note("operator", number=command.number, given=what)
    try:
        answer = await engine.live_runs.operate(instance, what, command.origin)
    except EngineError as error:
        answer = f"refused: {error}"
    note("operator", number=command.number, answer=answer)
    passing("answered")
    passing(f"answered {command.command}")
