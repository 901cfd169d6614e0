"""Asking an exchange for candles: page by page, with retries, and no bar that has not closed.

What comes back is what the exchange said, as columns. Whether the prices make sense and where holes
have to be filled is looked at by whoever asked (`engine.services.market`).
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import numpy as np

from engine.core.candles import to_columns
from engine.domain.bars import CandleKey, Candles, Columns, concat, interval_ms, select
from engine.domain.errors import CandleDataError, EngineError, ExchangeError
from engine.domain.ports import CandleRows, Clock
from engine.domain.schemas import ExchangeSchema
from engine.domain.settings import Settings
from engine.domain.time import from_ms, minute_text
from engine.services.isolation import failure_of

PAGE: Final = 1000
"""Candles asked for in one exchange call."""

_NO: Final = (NotImplementedError, LookupError, ValueError, TypeError, AttributeError)
"""How a function says that it knows nothing of an interval; troubles of a network are others."""

_log = logging.getLogger("signaldeck.market")


class UnservedError(EngineError):
    """The exchange does not serve an interval."""


class CandleFetcher:
    """Asks one exchange.

    Args:
        schema: the exchange.
        settings: retries, and how long a callback may take.
        clock: tells what has closed, and times retries.
        failed: told of callbacks that fail.
    """

    def __init__(
        self,
        schema: ExchangeSchema,
        settings: Settings,
        clock: Clock,
        failed: Callable[[Exception, CandleKey], None],
    ) -> None:
        self._schema = schema
        self._settings = settings
        self._clock = clock
        self._failed = failed

    def serves_surely(self, interval: str) -> bool:
        """Whether the exchange says itself that it serves an interval."""
        return interval == "1m" or self._schema.intervals is not None

    async def fetch(self, source: CandleKey, since: int, until: int) -> Columns:
        """Raw rows that open in ``[since, until)`` (ms UTC), page by page, oldest page first.

        Raises:
            UnservedError: the exchange does not serve the interval, as far as one can tell.
            CandleDataError: the answer cannot be used.
            ExchangeError: the exchange failed, and all retries did.
        """
        step = interval_ms(source.interval)
        parts: list[Columns] = []
        cursor = since
        while cursor < until:
            limit = min(PAGE, -(-(until - cursor) // step))
            columns = await self._page(source, cursor, limit)
            stamps = columns.timestamp
            keep = (stamps >= cursor) & (stamps < until)
            if not keep.any():
                cursor += limit * step  # inside a hole, or beyond the end
                continue
            if not keep.all():
                columns = select(columns, keep)
            parts.append(columns)
            cursor = int(columns.timestamp.max()) // step * step + step
        if not parts:
            return Candles.empty().columns()
        return parts[0] if len(parts) == 1 else concat(parts)

    async def _page(self, source: CandleKey, since: int, limit: int) -> Columns:
        rows = await self._call(source, since, limit)
        columns = to_columns(rows, source)
        now, step = self._clock.now(), interval_ms(source.interval)
        stamps = columns.timestamp
        if len(stamps) and int(stamps.max()) + step > now:
            ahead = int(np.argmax(stamps))
            if int(stamps[ahead]) > now + step:
                raise CandleDataError(
                    f"{source}: row {ahead} opens at {minute_text(int(stamps[ahead]))}, which is "
                    f"in the future (now is {minute_text(now)}): check the exchange's clock"
                )
            # The bar that is still forming is normal in an exchange's answer, and not history.
            keep = stamps + step <= now
            columns = select(columns, keep)
        await self._call_back(source, since, limit, columns)
        return columns

    async def _call_back(self, source: CandleKey, since: int, limit: int, columns: Columns) -> None:
        callback = self._schema.callbacks.get("on_candle_data")
        if callback is None:
            return
        error = await failure_of(
            callback, source.symbol, source.interval, from_ms(since), limit, Candles(columns),
            name="on_candle_data", limit_seconds=self._settings.max_signal_generation_seconds,
        )  # fmt: skip
        if error is not None:
            self._failed(error, source)

    async def _call(self, source: CandleKey, since: int, limit: int) -> CandleRows:
        async def ask() -> CandleRows:
            try:
                rows: Any = self._schema.get_candles(
                    source.symbol, source.interval, from_ms(since), limit
                )
                return await rows if inspect.isawaitable(rows) else rows
            except _NO as error:
                if self.serves_surely(source.interval):
                    raise
                raise UnservedError(f"{source}: {type(error).__name__}: {error}") from error

        return await asked_again(ask, source, self._settings, self._clock, _log)


async def asked_again(
    ask: Callable[[], Awaitable[CandleRows]],
    key: CandleKey,
    settings: Settings,
    clock: Clock,
    log: logging.Logger,
    advice: str = "",
) -> CandleRows:
    """What an exchange answers, asked again after a pause as often as the settings say.

    Args:
        ask: asks it once.
        key: whose bars they are, for messages.
        settings: how many further tries, and the pause before each.
        clock: times the pauses.
        log: told of each failure that is followed by another try.
        advice: ends the message when all tries have failed.

    Raises:
        EngineError: as ``ask`` raised it, at once: asking again would change nothing.
        ExchangeError: every try failed; the cause is the last failure.
    """
    tries = settings.get_candles_retry_count
    for attempt in range(tries + 1):
        try:
            return await ask()
        except EngineError:
            raise
        except Exception as error:
            if attempt == tries:
                raise ExchangeError(
                    f"{key}: get_candles failed {attempt + 1} times, at last with "
                    f"{type(error).__name__}: {error}{advice}"
                ) from error
            log.warning("%s: attempt %d failed: %s", key, attempt + 1, error)
            await clock.sleep_until(clock.now() + settings.get_candles_retry_delay_ms)
    raise AssertionError("unreachable")
