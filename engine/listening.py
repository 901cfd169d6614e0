"""The ``listen_*`` functions: what strategy authors and programs hear of the current engine by.

Each is made from its topic and a few words, so that all of them work and read alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from engine.runtime import current_engine
from engine.services.bus import Unsubscribe

Listen: TypeAlias = Callable[[Callable[[Any], Any]], Unsubscribe]
ListenOnce: TypeAlias = Callable[[Callable[[Any], object], Callable[[Any], Any]], Unsubscribe]

_EVERY = """Call a function with {what}, in order, one at a time.

Args:
    function: takes the event, plain or async. It has a queue of its own; what it raises is an
        ``error`` event and harms nobody else.

Returns:
    A function without arguments that ends it at once.
"""
_FIRST = """Call a function with the first of {what} that a filter accepts, and then no more.

Args:
    filter_fn: takes the event and says whether it is the one.
    function: takes that event, plain or async.

Returns:
    A function without arguments that ends it before.
"""


def _listener(name: str, topic: str, what: str) -> Listen:
    def listen(function: Callable[[Any], Any]) -> Unsubscribe:
        return current_engine().bus.subscribe(topic, function)

    listen.__name__ = listen.__qualname__ = name
    listen.__doc__ = _EVERY.format(what=what)
    return listen


def _once(name: str, topic: str, what: str) -> ListenOnce:
    def listen(filter_fn: Callable[[Any], object], function: Callable[[Any], Any]) -> Unsubscribe:
        return current_engine().bus.subscribe_once(topic, filter_fn, function)

    listen.__name__ = listen.__qualname__ = name
    listen.__doc__ = _FIRST.format(what=what)
    return listen


listen_signal = _listener("listen_signal", "signal", "every tick result")
listen_signal_once = _once("listen_signal_once", "signal", "every tick result")
listen_signal_backtest = _listener(
    "listen_signal_backtest", "signal_backtest", "every tick result of backtests"
)
listen_signal_backtest_once = _once(
    "listen_signal_backtest_once", "signal_backtest", "every tick result of backtests"
)
listen_signal_live = _listener(
    "listen_signal_live", "signal_live", "every tick result of live runs"
)
listen_signal_live_once = _once(
    "listen_signal_live_once", "signal_live", "every tick result of live runs"
)
listen_error = _listener("listen_error", "error", "every `RunError` of runs that go on")
listen_exit = _listener("listen_exit", "exit", "the error that ended a background run")
listen_done_backtest = _listener(
    "listen_done_backtest", "done_backtest", "the `Done` event of every backtest"
)
listen_done_backtest_once = _once(
    "listen_done_backtest_once", "done_backtest", "the `Done` event of every backtest"
)
listen_done_live = _listener("listen_done_live", "done_live", "the `Done` event of every live run")
listen_done_live_once = _once(
    "listen_done_live_once", "done_live", "the `Done` event of every live run"
)
listen_done_walker = _listener(
    "listen_done_walker", "done_walker", "the `Done` event of every walker"
)
listen_done_walker_once = _once(
    "listen_done_walker_once", "done_walker", "the `Done` event of every walker"
)
listen_walker = _listener(
    "listen_walker", "walker", "every `WalkerEvent`: one more strategy was tested"
)
listen_walker_once = _once("listen_walker_once", "walker", "every `WalkerEvent`")
listen_walker_complete = _listener(
    "listen_walker_complete", "walker_complete", "the `WalkerComplete` of every walker"
)
listen_walker_progress = _listener(
    "listen_walker_progress", "progress_walker", "every `WalkerProgress`"
)
listen_backtest_progress = _listener(
    "listen_backtest_progress", "progress_backtest", "every `BacktestProgress`"
)
listen_optimizer_progress = _listener(
    "listen_optimizer_progress", "progress_optimizer", "every `OptimizerProgress`"
)
listen_performance = _listener(
    "listen_performance", "performance", "every `Performance` measurement"
)
listen_validation = _listener(
    "listen_validation", "validation", "every exception a risk validation raised"
)
listen_risk = _listener("listen_risk", "risk", "every `RiskRejection`")
listen_risk_once = _once("listen_risk_once", "risk", "every `RiskRejection`")
listen_partial_profit = _listener(
    "listen_partial_profit", "partial_profit", "every `Partial` towards take-profit"
)
listen_partial_profit_once = _once(
    "listen_partial_profit_once", "partial_profit", "every `Partial` towards take-profit"
)
listen_partial_loss = _listener(
    "listen_partial_loss", "partial_loss", "every `Partial` towards stop-loss"
)
listen_partial_loss_once = _once(
    "listen_partial_loss_once", "partial_loss", "every `Partial` towards stop-loss"
)
