"""The gate every signal passes: all its risk profiles are asked, and a slot is taken, at once."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from engine.core.risk import RiskBook, RiskCheck
from engine.domain.errors import NotRegisteredError, run_error
from engine.domain.events import RiskRejection
from engine.domain.schemas import RiskSchema
from engine.domain.signals import OpenPosition, RunKey, SignalRow
from engine.services.bus import Bus
from engine.services.isolation import failure_of
from engine.services.registry import Registry

_log = logging.getLogger("signaldeck.risk")


@dataclass(frozen=True, slots=True)
class Refusal:
    """One profile's no; also that of a profile that is no longer registered."""

    profile: RiskSchema | None
    check: RiskCheck
    error: Exception
    event: RiskRejection


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the profiles said; true when all agreed."""

    refusals: tuple[Refusal, ...] = ()

    def __bool__(self) -> bool:
        return not self.refusals


AGREED: Final = Verdict()


class RiskGate:
    """Shared by all runs whose positions count against the same limits.

    Args:
        profiles: where profiles are looked up.
        bus: where refusals go.
        limit_seconds: a validation that takes longer refuses, a callback that does is given up:
            either would hold up every run.
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
    ) -> Verdict:
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
            The verdict, true when every profile agreed; a refusal is published by `tell`, once
            the attempt it belongs to is durable.
        """
        async with self._lock:
            refusals: list[Refusal] = []
            for name in risk_names:
                refusal = await self._ask(name, key, row, price, when)
                if refusal is not None:
                    refusals.append(refusal)
            if not refusals and position is not None:
                self.book.reserve(risk_names, key, position)
            return Verdict(tuple(refusals))

    async def tell(self, verdict: Verdict) -> None:
        """Publish a verdict's refusals and call the profiles back."""
        for refusal in verdict.refusals:
            self._bus.publish("validation", refusal.error)
            self._bus.publish("risk", refusal.event)
            if refusal.profile is not None:
                await self._call_back(
                    refusal.profile, "on_rejected", refusal.event.key, refusal.check
                )

    async def _ask(
        self, name: str, key: RunKey, row: SignalRow, price: float, when: int
    ) -> Refusal | None:
        active = self.book.active(name)
        check = RiskCheck(
            key.symbol, row, key.strategy_name, key.exchange_name, price, when, active
        )

        def refusal(profile: RiskSchema | None, error: Exception, note: str) -> Refusal:
            event = RiskRejection(
                key, name, key.symbol, key.strategy_name, key.exchange_name, row, price,
                len(active), note, when,
            )  # fmt: skip
            return Refusal(profile, check, error, event)

        try:
            profile = self._profiles.get(name, "risk check")
        except NotRegisteredError as gone:
            # It was there when the run was started: what nobody can check must not open.
            return refusal(None, gone, f"risk profile {name!r} is not registered any more")
        for rule in profile.validations:
            error = await failure_of(
                rule.validate_, check,
                name=f"a validation of risk profile {name!r}", limit_seconds=self._limit,
            )  # fmt: skip
            if error is not None:
                return refusal(profile, error, rule.note or "N/A")
        await self._call_back(profile, "on_allowed", key, check)
        return None

    async def _call_back(
        self, profile: RiskSchema, event: str, key: RunKey, check: RiskCheck
    ) -> None:
        callback = profile.callbacks.get(event)
        if callback is None:
            return
        error = await failure_of(
            callback, key.symbol, check,
            name=f"{event} of risk profile {profile.name!r}", limit_seconds=self._limit,
        )  # fmt: skip
        if error is not None:
            _log.warning("risk %s: %s failed", profile.name, event, exc_info=error)
            told = run_error(error, key, stage="callback", when=check.timestamp)
            self._bus.publish("error", told)
