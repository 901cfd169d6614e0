"""The gate every signal passes: all its risk profiles are asked, and a slot is taken, at once."""

from __future__ import annotations

import asyncio
import inspect
import logging

from engine.core.risk import RiskBook, RiskCheck
from engine.domain.errors import RunError
from engine.domain.events import RiskRejection
from engine.domain.schemas import RiskSchema
from engine.domain.signals import OpenPosition, RunKey, SignalRow
from engine.services.bus import Bus
from engine.services.isolation import user_error
from engine.services.registry import Registry

_log = logging.getLogger("signaldeck.risk")


class RiskGate:
    """Shared by all runs whose positions count against the same limits.

    Args:
        profiles: where profiles are looked up.
        bus: where refusals go.
        limit_seconds: a validation that takes longer refuses; it would hold up every run.
    """

    def __init__(self, profiles: Registry[RiskSchema], bus: Bus, limit_seconds: float) -> None:
        self.book = RiskBook()
        self._profiles = profiles
        self._bus = bus
        self._limit = limit_seconds
        self._lock = asyncio.Lock()

    async def check(
        self,
        risk_names: tuple[str, ...],
        key: RunKey,
        row: SignalRow,
        price: float,
        when: int,
        position: OpenPosition | None = None,
    ) -> bool:
        """Ask every profile; with ``position`` given, also take the slots, all or none.

        Checking and taking are one atomic step, so two runs can never both get the last slot.

        Args:
            risk_names: the profiles that must all agree; none means yes.
            key: the run that asks.
            row: the signal that wants to open or to be scheduled.
            price: the price it would book or wait for.
            when: the instant, ms UTC.
            position: what will hold the slots.

        Returns:
            True when every profile agreed.
        """
        if not risk_names:
            return True
        async with self._lock:
            verdicts = [await self._ask(name, key, row, price, when) for name in risk_names]
            agreed = all(verdicts)
            if agreed and position is not None:
                self.book.reserve(risk_names, key, position)
            return agreed

    async def _ask(self, name: str, key: RunKey, row: SignalRow, price: float, when: int) -> bool:
        profile = self._profiles.get(name, "risk check")
        active = self.book.active(name)
        check = RiskCheck(
            key.symbol, row, key.strategy_name, key.exchange_name, price, when, active
        )
        for rule in profile.validations:
            try:
                outcome = rule.validate_(check)
                if inspect.isawaitable(outcome):
                    async with asyncio.timeout(self._limit):
                        await outcome
            except BaseException as raised:
                error = user_error(raised)
                if error is None:
                    raise
                self._bus.publish("validation", error)
                comment = rule.note or "N/A"
                self._bus.publish(
                    "risk",
                    RiskRejection(
                        key, name, key.symbol, key.strategy_name, key.exchange_name, row, price,
                        len(active), comment, when,
                    ),
                )  # fmt: skip
                await self._call_back(profile, "on_rejected", key, check)
                return False
        await self._call_back(profile, "on_allowed", key, check)
        return True

    async def _call_back(
        self, profile: RiskSchema, event: str, key: RunKey, check: RiskCheck
    ) -> None:
        callback = profile.callbacks.get(event)
        if callback is None:
            return
        try:
            outcome = callback(key.symbol, check)
            if inspect.isawaitable(outcome):
                await outcome
        except BaseException as raised:
            error = user_error(raised)
            if error is None:
                raise
            _log.warning("risk %s: %s failed", profile.name, event, exc_info=error)
            self._bus.publish(
                "error",
                RunError(
                    error, stage="callback", mode=key.mode, symbol=key.symbol,
                    strategy_name=key.strategy_name, exchange_name=key.exchange_name,
                    frame_name=key.frame_name, when=check.timestamp,
                ),
            )  # fmt: skip
