"""How long the pieces of a run took: every one counts, and measuring costs next to nothing.

A backtest asks its strategy a hundred thousand times a second, so its loop only leaves the instant
of each question behind; what the durations were is worked out when somebody wants to know.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from engine.core.durations import Durations
from engine.domain.bars import Floats
from engine.domain.events import Performance
from engine.domain.signals import Mode, RunKey

MetricType: TypeAlias = Literal[
    "backtest_timeframe", "backtest_signal", "backtest_total", "live_tick"
]
"""What is measured: one question to a strategy with what followed at that instant, one signal from
its acceptance to its end, a whole backtest, one tick of a live run."""

NEWEST: Final = 250
"""So many measurements are kept one by one, for lists."""

_METRICS: Final[tuple[str, ...]] = get_args(MetricType)
_MOST_ASKED: Final = 262_144
_MOST_SPANS: Final = 3 * 16_384
# Two mebibytes of questions, and half of one of spans, may wait to be worked out.
_LIVE_SPANS: Final = 3 * 64
_LIVE_NEWEST: Final = 50
# There may be a thousand live runs, which go on for weeks: each may hold two kibibytes.


class Timing(NamedTuple):
    """All measurements of one type: durations, and the waits since the one before, in ms."""

    durations: Durations
    waits: Durations


class _Measured(NamedTuple):
    """Measurements in order of their ends: index into `_METRICS`, end (s) and duration (ms)."""

    metrics: Floats
    ends: Floats
    durations: Floats


class Timings:
    """Measurements of one run. Instants are `time.monotonic` seconds, durations milliseconds.

    Attributes:
        asked: the instant of every question whose duration was not worked out yet; the end of a
            stretch of questions is entered as a negative number.
    """

    __slots__ = ("_by_type", "_key", "_last", "_most_spans", "_newest", "_spans", "_wall", "asked")

    def __init__(self, key: RunKey) -> None:
        self.asked = array("d")
        self._key = key
        self._spans = array("d")
        self._by_type: dict[str, Timing] = {}
        live = key.mode is Mode.LIVE
        self._newest: deque[Performance] = deque(maxlen=_LIVE_NEWEST if live else NEWEST)
        self._most_spans = _LIVE_SPANS if live else _MOST_SPANS
        self._last: float | None = None
        self._wall = (time.time() - time.monotonic()) * 1000

    @property
    def by_type(self) -> Mapping[str, Timing]:
        """Everything measured so far, by metric type in order of appearance."""
        self.drain()
        return self._by_type

    @property
    def newest(self) -> tuple[Performance, ...]:
        """The newest measurements, newest first."""
        self.drain()
        return tuple(reversed(self._newest))

    def end_stretch(self) -> None:
        """The work that belongs to the newest question ends here."""
        if self.asked and self.asked[-1] > 0:
            self.asked.append(-time.monotonic())
            if len(self.asked) > _MOST_ASKED:
                self.drain()

    def note(self, metric: MetricType, started: float) -> None:
        """A piece of work that began at ``started`` ends here."""
        self._spans.extend((_METRICS.index(metric), started, time.monotonic()))
        if len(self._spans) > self._most_spans:
            self.drain()

    def drain(self, publish: Callable[[Performance], None] | None = None) -> None:
        """Work out the durations of everything noted since last time, and publish each in order."""
        measured, before = self._waiting(), self._last
        count = len(measured.ends)
        if not count:
            return
        known = measured.ends if before is None else np.append(before, measured.ends)
        waits, self._last = np.diff(known) * 1000, float(measured.ends[-1])
        for at, metric in enumerate(_METRICS):
            chosen = measured.metrics == at
            if chosen.any():
                timing = self._by_type.setdefault(metric, Timing(Durations(), Durations()))
                timing.durations.extend(measured.durations[chosen])
                # The very first measurement of a run waited for nothing.
                timing.waits.extend(waits[chosen[count - len(waits) :]])
        first = max(0, count - NEWEST) if publish is None else 0
        for event in self._events(measured, first, before):
            self._newest.append(event)
            if publish is not None:
                publish(event)

    def _waiting(self) -> _Measured:
        asked, spans = np.array(self.asked), np.array(self._spans).reshape(-1, 3)
        # Of a stretch that still goes on, the newest question stays for next time.
        self.asked[:] = self.asked[-1:] if len(asked) and asked[-1] > 0 else array("d")
        self._spans = array("d")
        starts, follows = asked[:-1], np.abs(asked[1:])
        whole = starts > 0
        starts, follows = starts[whole], follows[whole]
        ends = np.concatenate([follows, spans[:, 2]])
        durations = np.concatenate([follows - starts, spans[:, 2] - spans[:, 1]]) * 1000
        metrics = np.concatenate([np.zeros(len(follows)), spans[:, 0]])
        order = np.argsort(ends, kind="stable")
        return _Measured(metrics[order], ends[order], durations[order])

    def _events(
        self, measured: _Measured, first: int, before: float | None
    ) -> Iterator[Performance]:
        key, wall = self._key, self._wall
        previous = float(measured.ends[first - 1]) if first else before
        for metric, ended, duration in zip(
            *(column[first:].tolist() for column in measured), strict=True
        ):
            yield Performance(
                ended * 1000 + wall, None if previous is None else previous * 1000 + wall,
                _METRICS[int(metric)], duration, key.strategy_name, key.exchange_name, key.symbol,
                key.mode is Mode.BACKTEST,
            )  # fmt: skip
            previous = ended
