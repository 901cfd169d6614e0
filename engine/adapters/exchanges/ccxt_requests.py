"""Patience with an exchange: which requests are made again, when, and when none is made at all.

All pauses are on the engine's clock. What an exchange asks for (``Retry-After``, a ban) is kept by
every request to it, not only by the one that was told.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, TypeVar

from engine.adapters.exchanges.ccxt_errors import (
    Failure,
    Hider,
    LibraryError,
    RequestError,
    failure_of,
)
from engine.domain.errors import NoDataError
from engine.domain.ports import Clock
from engine.domain.time import MINUTE, minute_text

_T = TypeVar("_T")

PATIENCE_MS: Final = MINUTE
"""The longest pause before a request is made again. An exchange that asks for a longer one gets
it, but whoever asked is told at once instead of being kept waiting."""

_log = logging.getLogger("signaldeck.exchange")


class Requests:
    """Makes requests to one exchange, several times where that helps.

    Args:
        hide: keeps secrets out of every text.
        clock: times the pauses.
        retry_count: further tries after a passing failure.
        retry_delay_ms: pause before the first of them; each next one is twice as long.
    """

    def __init__(self, hide: Hider, clock: Clock, retry_count: int, retry_delay_ms: int) -> None:
        self._hide = hide
        self._clock = clock
        self._retries = retry_count
        self._delay = retry_delay_ms
        self._silent_until = 0
        self._silence: Failure | None = None

    async def ask(
        self,
        where: str,
        request: Callable[[], Awaitable[_T]],
        timeout_ms: int,
        *,
        patient: bool = True,
    ) -> _T:
        """The answer to a request, for a caller outside of the adapter.

        Args:
            where: what the request is for, opens the message of an error.
            request: makes it.
            timeout_ms: its time limit, for the message.
            patient: False makes no second try and waits for nothing.

        Raises:
            NoDataError: the exchange does not know the symbol.
            ExchangeError: what failed, how often it was tried, and what to do.
        """
        try:
            return await self.attempt(where, request, timeout_ms, patient=patient)
        except RequestError as error:
            failed = error
        if failed.failure.unknown_symbol:
            raise NoDataError(f"{where}: {failed.failure.text}: it may have been delisted")
        raise failed.described(where)

    async def attempt(
        self,
        where: str,
        request: Callable[[], Awaitable[_T]],
        timeout_ms: int,
        *,
        patient: bool = True,
    ) -> _T:
        """Like `ask`, with the failure still unnamed, so that several may wait for one request.

        Raises:
            RequestError: with the last failure.
        """
        last = self._retries + 1 if patient else 1
        pause = self._delay
        for tries in range(1, last + 1):
            await self._keep_silence(patient)
            try:
                return await request()
            except Exception as error:
                failure, cause = self._understand(error, timeout_ms)
            wait = pause if failure.wait_ms is None else failure.wait_ms
            if failure.for_all:
                self._begin_silence(failure, wait)
            if failure.banned or (failure.wait_ms or 0) > PATIENCE_MS:
                raise RequestError(self._until(failure), tries, cause)
            if tries == last or not failure.transient:
                raise RequestError(failure, tries, cause)
            _log.warning(
                "%s: %s: try %d of %d in %g s", where, failure.text, tries + 1, last, wait / 1000
            )
            await self._clock.sleep_until(self._clock.now() + wait)
            pause = max(pause, min(pause * 2, PATIENCE_MS))
        raise AssertionError("unreachable")

    def _understand(self, error: Exception, timeout_ms: int) -> tuple[Failure, LibraryError]:
        return failure_of(error, timeout_ms, self._hide), self._hide.sealed(error)

    def _begin_silence(self, failure: Failure, wait: int) -> None:
        until = self._clock.now() + wait
        if until > self._silent_until:
            self._silent_until, self._silence = until, failure

    async def _keep_silence(self, patient: bool) -> None:
        """Wait while the exchange wants no requests.

        Raises:
            RequestError: it has banned us, or wants a longer silence than the caller should wait.
        """
        while (left := self._silent_until - self._clock.now()) > 0:
            failure = self._silence
            longest = PATIENCE_MS if patient else 0
            if failure is not None and (failure.banned or left > longest):
                raise RequestError(self._until(failure))
            await self._clock.sleep_until(self._silent_until)

    def _until(self, failure: Failure) -> Failure:
        """The failure, saying how long no request will be made (rounded up to a minute)."""
        end = minute_text(self._silent_until + MINUTE - 1)
        return replace(failure, text=f"{failure.text}, no request is made before {end}")
