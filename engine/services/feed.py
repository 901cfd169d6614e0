"""Waits for the newest minutes of live symbols; however many runs wait, the exchange is asked once.

Live runs tick together, so they want the same bar at the same moment and would learn of the same
trouble at the same moment. One poll a symbol and minute serves all of them, and what it meets (a
failure, data that is late, data that is back) is news to the first that hears of it and to no
other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

from engine.domain.errors import ExchangeError
from engine.domain.ports import Clock
from engine.domain.time import MINUTE, minute_text
from engine.services.series import BarSeries

WARM_UP_MINUTES: Final = 1440
"""History loaded before a run's first instant; more is loaded when a strategy asks for it."""

_POLL_FIRST, _POLL_LAST = 250, 2000
_POLL_STALE: Final = 10_000
"""Pause between two questions for a symbol that was late at the last minute already, ms: a
hundred halted symbols asked every two seconds would use up an exchange's rate limit."""

_REMEMBERED: Final = 4


class History(Protocol):
    """What a feed needs of a market."""

    def known(self, symbol: str, interval: str = "1m") -> BarSeries | None:
        """What was loaded of an interval; None while nothing ever was."""
        ...

    async def ensure(self, symbol: str, since: int, until: int, interval: str = "1m") -> BarSeries:
        """Load bars that open from ``since`` on and close up to ``until`` (ms UTC)."""
        ...

    async def extend(self, symbol: str, until: int) -> bool:
        """Load 1m bars that close up to ``until``; False when there are no newer ones."""
        ...


class LiveFeed:
    """The polls of one market, one a symbol.

    Args:
        history: where bars are loaded.
        clock: times the polls.
        lead_in: minutes of history needed before the oldest bar a run asks for.
        clock_offset: answers the exchange's clock minus ours in ms, None where it is not known;
            an exchange that is behind is asked when the bar has closed on its clock.
    """

    def __init__(
        self,
        history: History,
        clock: Clock,
        lead_in: int,
        clock_offset: Callable[[], Awaitable[int | None]] | None = None,
    ) -> None:
        self._history = history
        self._clock = clock
        self._lead_in = lead_in
        self._clock_offset = clock_offset
        self._polls: dict[str, asyncio.Task[None]] = {}
        self._higher: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._said: dict[str, tuple[int, bool]] = {}
        self._told: dict[str, deque[Exception]] = {}

    async def advance(
        self,
        symbol: str,
        when: int,
        since: int | None = None,
        alarm: asyncio.Future[None] | None = None,
    ) -> bool | None:
        """Wait until the bar closing at ``when`` is here, or the next minute begins.

        Args:
            symbol: what to watch.
            when: the instant, ms UTC.
            since: bars that open from here on are needed as well (a run that was away).
            alarm: the wait ends as soon as this is done; the poll goes on.

        Returns:
            True when the bar arrived in time, False when it did not, None after the alarm.

        Raises:
            EngineError: the exchange failed; the same object for everybody who waited.
        """
        oldest = None if since is None else since - self._lead_in * MINUTE
        while True:
            series = self._history.known(symbol)
            if series is not None and series.end >= when and _reaches(series, oldest):
                return True
            task = self._polls.get(symbol)
            ours = task is None or task.done()
            if task is None or ours:
                task = asyncio.get_running_loop().create_task(self._poll(symbol, when, oldest))
                task.add_done_callback(_heard)
                self._polls[symbol] = task
            with self._clock.waiting():
                if alarm is None:
                    await asyncio.shield(task)
                else:
                    await asyncio.wait((task, alarm), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                return None
            task.result()
            series = self._history.known(symbol)
            assert series is not None
            # A poll that was under way may have been for an earlier minute, or for newer bars.
            over = self._clock.now() >= when + MINUTE and _reaches(series, oldest)
            if ours or over:
                return series.end >= when and self._clock.now() <= when + MINUTE

    async def complete(self, symbol: str, interval: str, when: int) -> None:
        """Wait, up to the next minute, for the bars of a higher interval that closed by ``when``.

        They are late while the minutes they are made of are here. An interval in which nothing was
        traded has no bar that could come: it is flat.

        Raises:
            EngineError: the exchange failed, or still does not have what its minutes tell of.
        """
        series, minutes = self._history.known(symbol, interval), self._history.known(symbol)
        assert series is not None
        last = when // series.step * series.step
        if series.end >= last or minutes is None or minutes.end < last:
            return
        needed = last
        while needed > series.end and not minutes.any_real(needed - series.step, needed):
            needed -= series.step
        if needed > series.end:
            key = symbol, interval
            task = self._higher.get(key)
            if task is None or task.done():
                poll = self._poll_higher(series, symbol, interval, needed, when)
                task = asyncio.get_running_loop().create_task(poll)
                task.add_done_callback(_heard)
                self._higher[key] = task
            with self._clock.waiting():
                await asyncio.shield(task)
        if series.end < needed:
            raise ExchangeError(
                f"{symbol} {interval}: the bar that closed at {minute_text(needed)} has not come, "
                "although its minutes have: the exchange makes its bars late, ask it for 1m"
            )
        series.pad(last)

    def note(self, symbol: str, when: int, *, stale: bool) -> bool:
        """A run found its data late, or arrived, at ``when``; whether that is news."""
        at, before = self._said.get(symbol, (0, False))
        if when < at:
            return False
        self._said[symbol] = when, stale
        return stale is not before

    def is_news(self, symbol: str, error: Exception) -> bool:
        """Whether nobody has reported this failure yet; it counts as reported from now on."""
        told = self._told.setdefault(symbol, deque(maxlen=_REMEMBERED))
        if any(item is error for item in told):
            return False
        told.append(error)
        return True

    async def close(self) -> None:
        """End polls that are under way."""
        polls = (*self._polls.values(), *self._higher.values())
        tasks = [task for task in polls if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _poll(self, symbol: str, when: int, oldest: int | None) -> None:
        pause = _POLL_FIRST
        late_before = self._said.get(symbol, (0, False))[1]
        longest = _POLL_STALE if late_before else _POLL_LAST
        with self._clock.working():
            await self._begin(when)
            while True:
                series = await self._load(symbol, when, oldest)
                now = self._clock.now()
                if series.end >= when or now >= when + MINUTE:
                    return
                await self._clock.sleep_until(min(when + MINUTE, now + pause))
                pause = min(longest, pause * 2)

    async def _poll_higher(
        self, series: BarSeries, symbol: str, interval: str, needed: int, when: int
    ) -> None:
        pause = _POLL_FIRST
        with self._clock.working():
            while series.end < needed and (now := self._clock.now()) < when + MINUTE:
                await self._clock.sleep_until(min(when + MINUTE, now + pause))
                pause = min(_POLL_LAST, pause * 2)
                series.loaded_until = min(series.loaded_until, series.end)
                await self._history.ensure(symbol, series.first, needed, interval)

    async def _begin(self, when: int) -> None:
        """Wait until the exchange can have the bar: asking earlier is one more request."""
        if self._clock_offset is None:
            return
        offset = await self._clock_offset()
        closes = when - offset if offset is not None and offset < 0 else when
        if self._clock.now() < closes:
            await self._clock.sleep_until(min(closes, when + MINUTE))

    async def _load(self, symbol: str, when: int, oldest: int | None) -> BarSeries:
        series = self._history.known(symbol)
        if series is not None:
            series.loaded_until = min(series.loaded_until, series.end)  # what did not come is late
        if series is None or not _reaches(series, oldest):
            since = when - WARM_UP_MINUTES * MINUTE
            since = since if oldest is None else min(since, oldest)
            return await self._history.ensure(symbol, since, when)
        if series.end < when:
            await self._history.extend(symbol, when)
        return series


def _reaches(series: BarSeries, oldest: int | None) -> bool:
    return oldest is None or series.at_start or series.first <= oldest


def _heard(task: asyncio.Task[None]) -> None:
    """Everybody who waited may have been called away: a failure is not left without a listener."""
    with suppress(asyncio.CancelledError):
        task.exception()
