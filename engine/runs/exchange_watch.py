"""Keeps an eye on an exchange that live runs trade on: its clock and the use of its rate limit.

Once its clock is measured, an exchange adapter knows which of its bars have closed; a clock that is
far off is worth an operator's attention before a trade is late.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any, Final

from engine.domain.events import ExchangeStatus
from engine.domain.ports import Clock
from engine.domain.schemas import ExchangeSchema
from engine.domain.time import MINUTE
from engine.services.bus import Bus, outside_listeners

LOOK_EVERY: Final = MINUTE
"""How often the use of the rate limit is looked at: no request is made for it."""

MEASURE_EVERY: Final = 30
"""Every so many looks the exchange is asked for its time."""

_log = logging.getLogger("signaldeck.live")


class ExchangeWatch:
    """Measures one exchange and publishes `ExchangeStatus` on the ``exchange`` topic.

    Args:
        schema: the exchange.
        clock: times the measurements.
        bus: where they go.
    """

    def __init__(self, schema: ExchangeSchema, clock: Clock, bus: Bus) -> None:
        self._schema = schema
        self._clock = clock
        self._bus = bus
        self._offset: int | None = None
        self._known = schema.get_clock_offset is None
        self._tried_at = 0
        self._measuring = asyncio.Lock()
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name=f"watch {schema.name}", context=outside_listeners()
        )

    async def offset(self) -> int | None:
        """The exchange's clock minus ours in ms, measured now if it never was; None if unknown.

        Whoever is about to take bars asks: an unmeasured clock that is behind shows a bar that is
        still forming as if it had closed.
        """
        if not self._known:
            async with self._measuring:
                if not self._known and self._clock.now() - self._tried_at >= LOOK_EVERY:
                    await self._measure()
        return self._offset

    async def close(self) -> None:
        """End the watch."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        with self._clock.working():
            looks, due = 0, True
            while True:
                if due or looks % MEASURE_EVERY == 0:
                    async with self._measuring:
                        due = not await self._measure()  # a failure is made good at the next look
                looks += 1
                _, used = await self._ask(self._schema.get_rate_limit_used)
                now = self._clock.now()
                self._bus.publish(
                    "exchange", ExchangeStatus(self._schema.name, self._offset, used, now)
                )
                await self._clock.sleep_until(now + LOOK_EVERY)

    async def _measure(self) -> bool:
        self._tried_at = self._clock.now()
        answered, measured = await self._ask(self._schema.get_clock_offset)
        self._known = self._known or answered
        if measured is not None:
            self._offset = measured
        return answered

    async def _ask(self, ask: Callable[..., Any] | None) -> tuple[bool, Any]:
        """Whether a function answered, and what."""
        if ask is None:
            return True, None
        try:
            answer = ask()
            return True, await answer if inspect.isawaitable(answer) else answer
        except Exception as error:
            # Runs say themselves when the exchange fails; a later measurement serves as well.
            _log.info("exchange %s: %s", self._schema.name, error)
            return False, None
