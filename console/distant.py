"""A live run of another process in full: what its state file knows, with bars of the exchange.

Bars are in no state file. Whoever follows asks the exchange for them as the owner of the file does,
with the configuration of the same project, but only while somebody looks at a chart.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Final

from console.discovery import BUILT_IN, configured_exchanges, named_exchange
from console.inspection import BARS, bars_view, told_of
from console.settings import Project
from console.views import BarsView, InstanceDetail
from engine import Engine
from engine.domain.changes import InstanceRecord
from engine.domain.errors import EngineError, RunStateError
from engine.domain.settings import Settings
from engine.domain.signals import Closed, RunKey
from engine.exchanges import ExchangeSpec
from engine.reports.statistics import summarise
from engine.services.clock import SystemClock
from engine.services.market import Market

NOT_HERE: Final = "This console only follows. The report is with the process that runs it."
"""Stands where a report would be."""

_log = logging.getLogger("signaldeck.follower")


class FileClock(SystemClock):
    """The time of the process that is followed.

    Args:
        newest: the newest instant its file knows of, ms UTC.
    """

    def __init__(self, newest: Callable[[], int]) -> None:
        self._newest = newest

    def now(self) -> int:
        """That instant; never in the future of this machine."""
        return min(super().now(), self._newest())


class DistantRuns:
    """Answers what a screen asks about runs of another process; on a thread of its own.

    Args:
        project: the configuration that the owner of the runs uses too; None knows no exchange.
        newest: the newest instant that is known of the owner, ms UTC.
    """

    def __init__(self, project: Project | None, newest: Callable[[], int]) -> None:
        self._project = project
        self._clock = FileClock(newest)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="signaldeck-bars", daemon=True)
        self._engine: Engine | None = None
        self._markets: dict[str, Market] = {}

    def detail(
        self,
        run_id: str,
        key: RunKey,
        record: InstanceRecord | None,
        trades: Sequence[Closed],
        interval: str,
    ) -> Future[InstanceDetail]:
        """Everything about a run; bars that cannot be had are named in ``problem``."""
        if self._thread.ident is None:
            self._thread.start()
        made = self._detail(run_id, key, record, tuple(trades), interval)
        return asyncio.run_coroutine_threadsafe(made, self._loop)

    def close(self) -> None:
        """Release the exchanges; nothing can be asked any more."""
        if self._thread.ident is None:
            self._loop.close()
            return
        with suppress(Exception):
            asyncio.run_coroutine_threadsafe(self._released(), self._loop).result(5.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)

    # -- on the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    async def _released(self) -> None:
        if self._engine is not None:
            await self._engine.close()

    async def _detail(
        self,
        run_id: str,
        key: RunKey,
        record: InstanceRecord | None,
        trades: tuple[Closed, ...],
        interval: str,
    ) -> InstanceDetail:
        bars, problem = BarsView(interval), ""
        now = self._clock.now()
        try:
            market = await self._market(key.exchange_name)
            bars = bars_view(interval, await market.window(key.symbol, interval, now, BARS))
        except EngineError as error:
            problem = str(error)
        if record is None:
            return InstanceDetail(run_id, bars, problem=problem)
        start = min(record.started_at, now)
        statistics, equity = summarise(
            trades, frame_start=start, frame_end=now, mark=_unmarked, settings=Settings()
        )
        return InstanceDetail(
            run_id=run_id,
            bars=bars,
            **told_of(record),
            error=record.error,
            statistics=statistics,
            equity=equity,
            report=NOT_HERE,
            problem=problem,
        )

    async def _market(self, exchange_name: str) -> Market:
        market = self._markets.get(exchange_name)
        if market is None:
            spec = self._spec(exchange_name)
            if self._engine is None:
                project = self._project
                self._engine = Engine(
                    config=project.engine if project else None,
                    clock=self._clock,
                    cache=(project.cache or None) if project else None,
                )
                await self._engine.open()
            # Opening ccxt loads a large module, which must not hold up the other questions long.
            schema = self._engine.open_exchange(spec)
            market = Market(schema, self._engine.settings, self._clock)
            self._markets[exchange_name] = market
        return market

    def _spec(self, name: str) -> ExchangeSpec:
        configured = configured_exchanges(self._project) if self._project else ()
        spec = named_exchange(name, (*configured, *BUILT_IN))
        if spec is None:
            raise RunStateError(
                f"no bars: exchange {name!r} is not configured here; look where the run is running"
            )
        return spec


def _unmarked(instant: int) -> float | None:
    return None
