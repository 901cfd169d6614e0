"""Golden cases replayed live, many side by side in one engine on one simulated clock.

A minute costs an engine nearly the same whether one run lives in it or forty, so cases share one:
each has an exchange, a strategy and settings of its own, is moved by whole days to the same one,
starts at its frame's start and is taken away when nothing can happen to it any more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeAlias

from engine import Backtest, Candles, Engine, add_exchange, add_strategy
from engine.core.frames import Frame
from engine.domain.bars import interval_ms
from engine.domain.events import Partial
from engine.domain.settings import Settings
from engine.domain.signals import Mode, RunKey
from engine.domain.time import DAY, MINUTE, to_ms
from engine.runs.instance import Instance
from tests.golden.cases import SYMBOL, Script, candles_of, case_ids, case_of, registered
from tests.golden.test_golden import cancelled_fields, trade_fields

Transition: TypeAlias = tuple[str, dict[str, Any]]
TRIGGERS = ("vwap", "touch")
DAY_ONE = 1_704_067_200_000
LINGER = 30 * MINUTE
"""How long a replay goes on after the last thing its backtest did and its strategy had to say."""

LONG = 20 * 60 * MINUTE
"""Of cases that are longer only one trigger is replayed every time."""


@cache
def on_first_day(case_id: str) -> dict[str, Any]:
    """A case moved by whole days, which changes no grid of any interval, to start on `DAY_ONE`."""
    case = case_of(case_id)
    start = case["frame"]["start_date"]
    shift = DAY_ONE - start // DAY * DAY
    frame = {
        name: value + shift if name.endswith("_date") else value
        for name, value in case["frame"].items()
    }
    signals = [{**signal, "at": signal["at"] + shift} for signal in case["strategy"]["signals"]]
    return {
        **case,
        "frame": frame,
        "candles": [[opened + shift, *rest] for opened, *rest in case["candles"]],
        "strategy": {**case["strategy"], "signals": signals},
    }


@dataclass(frozen=True)
class Replay:
    """One golden case with one trigger."""

    case_id: str
    trigger: str

    @property
    def name(self) -> str:
        return f"{self.case_id} {self.trigger}"

    @property
    def key(self) -> RunKey:
        return RunKey(Mode.LIVE, self.case_id, self.name, SYMBOL)

    @property
    def case(self) -> dict[str, Any]:
        return on_first_day(self.case_id)

    @property
    def frame(self) -> Frame:
        fields = self.case["frame"]
        return Frame.of(fields["start_date"], fields["end_date"], fields["interval"])

    @property
    def data_end(self) -> int:
        return self.case["candles"][-1][0] + MINUTE

    @property
    def length(self) -> int:
        """Milliseconds from its first instant to the end of its data."""
        return self.data_end - self.frame.start

    def is_instant(self, when: int) -> bool:
        """Whether the backtest would decide at ``when``."""
        frame = self.frame
        inside = frame.start <= when <= frame.end and when < self.data_end
        return inside and (when - frame.start) % frame.step == 0

    def end(self, expected: Iterable[Transition]) -> int:
        """When nothing can happen any more: with the data, or after all has happened."""
        strategy = self.case["strategy"]
        gap = interval_ms(strategy["interval"])
        asked = [signal["at"] + gap for signal in strategy["signals"]]
        last = max([self.frame.start, *asked, *map(at, expected)])
        # Live, what happened in a hole is known when the hole is over.
        closes = (candle[0] + MINUTE for candle in self.case["candles"])
        known = next((close for close in closes if close >= last), self.data_end)
        return min(self.data_end + MINUTE, known + LINGER)


@cache
def replays() -> tuple[Replay, ...]:
    """Every case with every trigger; the two of a case are neighbours."""
    return tuple(Replay(case_id, trigger) for case_id in case_ids() for trigger in TRIGGERS)


def share(number: int, of: int) -> list[Replay]:
    """One of ``of`` shares of all replays, all about as long and each with something of all.

    A third of the cases takes nine tenths of the time: those that are longer than `LONG` come with
    one trigger, in turns, unless ``PARITY=all`` is in the environment (``make parity``).
    """
    by_length = sorted(replays()[::2], key=lambda one: one.length)
    everything = os.environ.get("PARITY") == "all"
    chosen = {one.case_id: turn for turn, one in enumerate(by_length[number::of], start=number)}
    return [
        one
        for one in replays()
        if one.case_id in chosen
        and (everything or one.length <= LONG or one.trigger == TRIGGERS[chosen[one.case_id] % 2])
    ]


def equip(engine: Engine, one: Replay, get_signal: Any) -> None:
    """Register what a replay needs, under its own name.

    The exchange is the case's: with both triggers its bars are fetched once, as for live runs.
    """
    if one.case_id not in engine.exchanges.names():
        get_candles = serving(candles_of(one.case), engine)
        add_exchange(exchange_name=one.case_id, get_candles=get_candles, intervals=["1m"])
    interval = one.case["strategy"]["interval"]
    add_strategy(strategy_name=one.name, interval=interval, get_signal=get_signal)


def serving(candles: Candles, engine: Engine) -> Any:
    """An exchange function over candles, of which it knows those that have closed."""
    stamps = candles.timestamp

    async def get_candles(symbol: str, interval: str, since: datetime, limit: int) -> Candles:
        start = int(stamps.searchsorted(to_ms(since)))
        closed = int(stamps.searchsorted(engine.clock.now() - MINUTE, side="right"))
        return candles[start : max(start, min(start + limit, closed))]

    return get_candles


def script_of(one: Replay) -> Script:
    """What the case's strategy says."""
    return Script(one.case)


def started(engine: Engine, one: Replay) -> Instance:
    """Start the live run of a replay, with the settings of its case."""
    engine.settings = Settings()
    engine.configure(
        {**one.case["config"], "exit_trigger": one.trigger, "get_candles_retry_count": 0},
        unsafe=True,
    )
    instance = engine.live(SYMBOL, strategy_name=one.name, exchange_name=one.case_id)
    instance.start()
    return instance


def listening(engine: Engine, hear: Callable[[Any], None]) -> None:
    """Hear of every transition and milestone of every run."""
    engine.bus.subscribe("signal", hear, transitions_only=True, maxsize=1_000_000)
    for topic in ("partial_profit", "partial_loss"):
        engine.bus.subscribe(topic, hear, maxsize=1_000_000)


def transition_of(result: Any) -> Transition:
    """A result as something that can be compared between runs, whose ids differ."""
    if isinstance(result, Partial):
        return f"partial {result.side}", {
            "when": result.timestamp,
            "level": result.level,
            "price": result.current_price,
            "pending_at": result.data.pending_at,
        }
    if result.action == "closed":
        return "closed", trade_fields(result)
    if result.action == "cancelled":
        return "cancelled", cancelled_fields(result)
    row = result.signal
    return str(result.action), {
        "when": result.when,
        "price": result.current_price,
        "price_open": row.price_open,
        "scheduled_at": row.scheduled_at,
        "pending_at": row.pending_at,
    }


def at(transition: Transition) -> int:
    """The instant of a transition."""
    fields = transition[1]
    return fields["when"] if "when" in fields else fields["close_timestamp"]


def by_topic(transitions: Iterable[Transition]) -> dict[str, list[Transition]]:
    """What one listener heard in order; between listeners there is none."""
    heard: dict[str, list[Transition]] = {}
    for item in transitions:
        heard.setdefault(item[0] if item[0].startswith("partial") else "signal", []).append(item)
    return heard


def of_backtests_alone(transition: Transition) -> bool:
    """Only what ends a backtest (``end_of_data``) exists in it alone."""
    fields = transition[1]
    return "end_of_data" in (fields.get("close_reason"), fields.get("cancel_reason"))


async def backtested(one: Replay) -> list[Transition]:
    """What the backtest of a case does that a live run does as well."""
    async with Engine() as engine:
        made: list[Transition] = []
        listening(engine, lambda result: made.append(transition_of(result)))
        with registered(one.case, engine, one.trigger):
            async for _ in Backtest.run(
                SYMBOL, strategy_name="scripted", exchange_name="golden", frame_name="case"
            ):
                pass
        await engine.bus.flush()
    return [item for item in made if not of_backtests_alone(item)]


async def expected_of(chosen: Sequence[Replay]) -> dict[str, list[Transition]]:
    """What the backtests of all of them do, by name."""
    return {one.name: await backtested(one) for one in chosen}
