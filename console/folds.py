"""The parts of the read model that need no run's row: milestones, refusals, measurements.

Each takes one event after the other and freezes its views on demand; `console.deck` owns them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import ceil
from statistics import fmean
from typing import Generic, Protocol, TypeVar

from console.views import MetricView, MilestoneView, ProfileView, RejectionView
from engine.domain.events import Partial, RiskRejection

MILESTONES = 500
"""Milestones that are kept; older ones are dropped."""

SAMPLES = 1_000
"""Samples of one measurement that percentiles and sparklines are made from."""

SPARKS = 16
"""Stretches a sparkline has."""

REASONS = 200
"""Different reasons for refusals that are told apart; the least recent one makes room."""


class Listed(Protocol):
    """A view of one run."""

    @property
    def run_id(self) -> str:
        """What tells it apart."""
        ...


_View = TypeVar("_View", bound=Listed)


class Shelf(Generic[_View]):
    """The views of all runs of one kind, by run id."""

    def __init__(self) -> None:
        self._views: dict[str, _View] = {}

    def put(self, view: _View, *, older: bool = False) -> None:
        """Add a run, one ``older`` than all others at the end, or replace what is known of it."""
        first = {view.run_id: view} if older else {}
        self._views = {**first, **self._views, view.run_id: view}

    def get(self, run_id: str) -> _View | None:
        """What is known of a run."""
        return self._views.get(run_id)

    def views(self) -> tuple[_View, ...]:
        """Newest first."""
        return tuple(reversed(self._views.values()))


class MilestoneFold:
    """The newest milestones of all positions."""

    def __init__(self) -> None:
        self._kept: deque[MilestoneView] = deque(maxlen=MILESTONES)
        self._total = 0

    def add(self, event: Partial) -> None:
        """A position reached a milestone."""
        self._total += 1
        self._kept.appendleft(
            MilestoneView(
                number=self._total,
                when=event.timestamp,
                symbol=event.symbol,
                strategy_name=event.strategy_name,
                exchange_name=event.exchange_name,
                position=str(event.data.position),
                side=event.side,
                level=event.level,
                price=event.current_price,
                signal_id=event.data.id,
            )
        )

    def views(self) -> tuple[MilestoneView, ...]:
        """Newest first."""
        return tuple(self._kept)


class RiskFold:
    """Profiles, who holds their slots, and what they refused."""

    def __init__(self) -> None:
        self._profiles: tuple[ProfileView, ...] = ()
        self._rejections: dict[tuple[str, str], RejectionView] = {}
        self._refusals: dict[str, tuple[int, int]] = {}

    def put_profiles(self, profiles: Iterable[ProfileView]) -> None:
        """Replace the profiles; who holds slots and what was refused is filled in by `profiles`."""
        self._profiles = tuple(profiles)

    def refuse(self, event: RiskRejection, reason: str) -> None:
        """Count a refusal."""
        place = (event.risk_name, reason)
        before = self._rejections.pop(place, None)
        signal = event.pending_signal
        self._rejections[place] = RejectionView(
            profile=event.risk_name,
            reason=reason,
            count=1 if before is None else before.count + 1,
            when=event.timestamp,
            symbol=event.symbol,
            strategy_name=event.strategy_name,
            position=str(signal.position),
            price=event.current_price,
            taken=event.active_position_count,
        )
        if len(self._rejections) > REASONS:
            self._rejections.pop(next(iter(self._rejections)))
        count, least = self._refusals.get(event.risk_name, (0, event.active_position_count))
        least = min(least, event.active_position_count)
        self._refusals[event.risk_name] = (count + 1, least)

    def rejections(self) -> tuple[RejectionView, ...]:
        """One per profile and reason, the most recent first."""
        return tuple(reversed(self._rejections.values()))

    def profiles(self, open_by_strategy: Mapping[str, Sequence[str]]) -> tuple[ProfileView, ...]:
        """The profiles with their slots.

        Args:
            open_by_strategy: ids of the live runs with an open position, per strategy.
        """
        views: list[ProfileView] = []
        for profile in self._profiles:
            active = [run for name in profile.strategies for run in open_by_strategy.get(name, ())]
            count, least = self._refusals.get(profile.name, (0, None))
            views.append(replace(profile, active=tuple(active), refusals=count, refused_at=least))
        return tuple(views)


@dataclass(slots=True)
class _Meter:
    unit: str
    count: int = 0
    total: float = 0.0
    kept: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))


class MeterFold:
    """Measurements by name, in the order they first came."""

    def __init__(self) -> None:
        self._meters: dict[str, _Meter] = {}

    def add(self, name: str, unit: str, value: float) -> None:
        """Take a sample."""
        meter = self._meters.get(name)
        if meter is None:
            meter = self._meters[name] = _Meter(unit)
        meter.count += 1
        meter.total += value
        meter.kept.append(value)

    def views(self) -> tuple[MetricView, ...]:
        """Every measurement with its percentiles."""
        return tuple(_metric(name, meter) for name, meter in self._meters.items())


def _metric(name: str, meter: _Meter) -> MetricView:
    samples = list(meter.kept)
    ordered = sorted(samples)
    return MetricView(
        name=name,
        unit=meter.unit,
        count=meter.count,
        mean=meter.total / meter.count,
        p50=nearest_rank(ordered, 50),
        p95=nearest_rank(ordered, 95),
        p99=nearest_rank(ordered, 99),
        last=samples[-1],
        recent=stretches(samples, SPARKS),
    )


def nearest_rank(ordered: Sequence[float], percent: float) -> float:
    """A percentile by nearest rank: ``ordered[max(0, ceil(n * p / 100) - 1)]``.

    Args:
        ordered: at least one sample, ascending.
        percent: 0 to 100.
    """
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]


def stretches(samples: Sequence[float], amount: int) -> tuple[float, ...]:
    """Means of up to ``amount`` equal stretches of the samples, in their order."""
    if len(samples) <= amount:
        return tuple(samples)
    edges = [len(samples) * at // amount for at in range(amount + 1)]
    return tuple(fmean(samples[a:b]) for a, b in pairwise(edges))
