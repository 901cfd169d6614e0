"""The program under the load of `tests.benchmarks.ui_load`: host and console as they are shipped.

The only thing added is a feed on the engine's loop, which publishes events of the live runs on the
engine's bus as fast as it is told to. ``plain`` shows the same snapshots on a `DataTable` instead.

Talks through two pipes: on the first come lines with a rate (events a second), on the second go
lines with what there is to know.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.widgets import DataTable

from console.app import SignaldeckApp
from console.collector import set_aside_what_stays
from console.demo import DEMO_EXCHANGE, demo_plan
from console.host import EngineHost, HostPlan
from console.messages import DeckChanged
from console.notices import Changed, HostEvent
from console.views import InstanceView, RunRequest
from engine.core.pricing import pnl
from engine.domain.settings import Settings
from engine.domain.signals import (
    Active,
    Closed,
    CloseReason,
    Opened,
    Position,
    RunKey,
    SignalRow,
)  # fmt: skip
from engine.runs.workers import WorkerPool

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT")
TRANSITION = 50
"""One event of so many opens or closes a position; all others are ticks of an open one."""

STEP = 0.01
"""Seconds between two bursts of events."""

STRATEGIES = """
from engine import add_strategy

for number in range({count}):
    @add_strategy(strategy_name=f"strategy-{{number:02d}}", interval="1h")
    async def nothing(symbol, when):
        return None
"""


def plan_of(folder: Path, instances: int) -> HostPlan:
    """Live runs of strategies that never signal, on the simulated market at the demo's clock."""
    own = folder / "strategies"
    own.mkdir(exist_ok=True)
    count = -(-instances // len(SYMBOLS))
    (own / "many.py").write_text(STRATEGIES.format(count=count), encoding="utf-8")
    plan = demo_plan(state=str(folder / "state.db"), speed=1.0, live=False, strategies=str(own))
    names = [(f"strategy-{n // len(SYMBOLS):02d}", SYMBOLS[n % len(SYMBOLS)]) for n in
             range(instances)]  # fmt: skip
    runs = tuple(RunRequest("live", name, symbol, DEMO_EXCHANGE) for name, symbol in names)
    return HostPlan(plan.project, plan.state, plan.badge, make_clock=plan.make_clock, live=runs)


class Feed:
    """Publishes events of every live run in turn: a position that opens, moves, closes."""

    def __init__(self, host: EngineHost, settings: Settings) -> None:
        engine = host._engine  # pyright: ignore[reportPrivateUsage]
        self._engine, self._settings = engine, settings
        self._keys = [instance.key for instance in engine.instances()]
        self._signals: dict[RunKey, SignalRow] = {}
        self._moved: dict[RunKey, int] = {key: 0 for key in self._keys}
        self.rate = 0.0
        self.published = 0

    async def run(self) -> None:
        """Publish until cancelled."""
        loop = asyncio.get_running_loop()
        due, before = 0.0, loop.time()
        while True:
            await asyncio.sleep(STEP)
            now = loop.time()
            due += self.rate * (now - before)
            before = now
            for _ in range(int(due)):
                self._publish()
            due -= int(due)

    def _publish(self) -> None:
        number = self.published
        key = self._keys[number % len(self._keys)]
        turn = self._moved[key] = self._moved[key] + 1
        when = self._engine.clock.now()
        price = 100.0 * (1 + ((turn * 7919) % 1000 - 500) / 1e5)
        signal = self._signals.get(key)
        self.published += 1
        event: Any
        if signal is None or (number + turn) % TRANSITION:
            if signal is None:
                signal = self._signals[key] = self._signal(key, when, turn)
                event = Opened(key, when, 100.0, signal)
            else:
                event = Active(key, when, price, signal, max(0.0, price - 100) * 50, 0.0)
        else:
            del self._signals[key]
            booked = pnl(signal.position, 100.0, price, self._settings)
            event = Closed(key, when, price, signal, CloseReason.TIME_EXPIRED, when, booked)
        self._engine.bus.publish_result("signal_live", event)

    def _signal(self, key: RunKey, when: int, turn: int) -> SignalRow:
        return SignalRow(
            f"{key.strategy_name}-{key.symbol}-{turn}", key.symbol, key.strategy_name,
            key.exchange_name, Position.LONG, 100.0, 102.0, 98.0, 600, when, when, False,
        )  # fmt: skip


class PlainApp(App[None]):
    """The instances of the snapshot on a `DataTable`, each cell that differs updated."""

    CSS = "DataTable > .datatable--cursor { background: rgb(1,2,3); color: white; }"
    TITLES: ClassVar[Sequence[str]] = (
        "status", "symbol", "strategy", "side", "entry", "last", "PnL %", "path", "tick", "trades",
    )  # fmt: skip
    BINDINGS: ClassVar[Any] = [("j", "down", ""), ("k", "up", "")]

    def __init__(self, host: EngineHost) -> None:
        super().__init__()
        self.animation_level = "none"
        self.host = host
        self.shown: dict[str, tuple[str, ...]] = {}

    def compose(self) -> ComposeResult:
        """The table alone."""
        yield DataTable(cursor_type="row")

    def on_mount(self) -> None:
        """Listen to the host."""
        table = self.query_one(DataTable[str])
        for title in self.TITLES:
            table.add_column(title, key=title, width=11)
        self.host.set_listener(self._from_engine)

    def action_down(self) -> None:
        """The same keys as the console."""
        self.query_one(DataTable[str]).action_cursor_down()

    def action_up(self) -> None:
        """The same keys as the console."""
        self.query_one(DataTable[str]).action_cursor_up()

    def _from_engine(self, event: HostEvent) -> None:
        if isinstance(event, Changed):
            self.post_message(DeckChanged(event.versions))

    def on_deck_changed(self) -> None:
        """Update what differs."""
        table = self.query_one(DataTable[str])
        for view in self.host.snapshot.instances:
            cells, before = cells_of(view), self.shown.get(view.instance_id)
            if before is None:
                table.add_row(*cells, key=view.instance_id)
            elif before != cells:
                for title, old, new in zip(self.TITLES, before, cells, strict=True):
                    if old != new:
                        table.update_cell(view.instance_id, title, new)
            self.shown[view.instance_id] = cells


def cells_of(view: InstanceView) -> tuple[str, ...]:
    """What the plain table shows of a run."""
    return (
        view.status, view.symbol, view.strategy_name, view.position,
        f"{view.entry or 0:.2f}", f"{view.last_price or 0:.3f}", f"{view.pnl_percent or 0:+.3f}",
        f"{view.path or 0:.1f}", str(view.last_tick), str(view.trades),
    )  # fmt: skip


def main(kind: str, folder: str, instances: str, rates: str, told: str) -> None:
    """Run until the terminal or the parent ends it."""
    reading, writing = int(rates), int(told)
    WorkerPool.start_forkserver()
    host = EngineHost(plan_of(Path(folder), int(instances)))
    host.start()

    async def begin() -> None:
        feed = Feed(host, Settings())
        loop = asyncio.get_running_loop()
        # The loop keeps the task: it is one of those it runs for ever.
        tasks.append(asyncio.create_task(feed.run()))

        def take() -> None:
            text = os.read(reading, 4096).decode()
            if not text:
                os._exit(0)
            feed.rate = float(text.split()[-1])
            note = {"published": feed.published, "dropped": host._engine.bus.dropped()}  # pyright: ignore[reportPrivateUsage]
            os.write(writing, json.dumps(note).encode() + b"\n")

        loop.add_reader(reading, take)
        thread = {"engine": host._thread.native_id}  # pyright: ignore[reportPrivateUsage]
        os.write(writing, json.dumps(thread).encode() + b"\n")

    tasks: list[asyncio.Task[None]] = []
    asyncio.run_coroutine_threadsafe(begin(), host._loop).result()  # pyright: ignore[reportPrivateUsage]
    set_aside_what_stays()
    app: App[None] = SignaldeckApp(host) if kind == "console" else PlainApp(host)
    app.run()
    host.begin_shutdown(drain=False)
    host.join(5.0)


if __name__ == "__main__":
    main(*sys.argv[1:])
