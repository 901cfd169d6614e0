"""What an operator does to live runs, one or several: the questions, and the commands.

A question says what will happen before it happens, starts on No, and what books money has to be
typed. Why an action cannot act is told here as well, so every screen gives the same reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Final

from console.views import InstanceView, Quote
from engine.domain.errors import EngineError
from screens.base import BaseScreen
from screens.confirm import Answer, ConfirmDialog
from screens.several import BulkCommand, Typed, answered
from screens.text import clean, many, percent, price, span, time_of_day
from screens.typed import TypedDialog

CLOSE_ALL: Final = "CLOSE ALL"
"""What has to be typed before every position is closed."""

NO_ORDER: Final = "Signals only: no order is sent to the exchange."
"""What every question about closing says."""

READ_ONLY: Final = "this console is read-only: act where the runs are running"
"""Why no key acts on a console that only follows."""

NOT_THERE: Final = "this console is read-only: the report is where the run is running"
"""Why there is no report of a live run on such a console."""

_ENDED = ("idle", "done", "failed", "stopping")


def run_refusal(action: str, view: InstanceView) -> str:
    """Why an action cannot act on a run now, "" when it can.

    Args:
        action: ``stop_run``, ``start_again``, ``close_now`` or ``cancel_signal``.
        view: the run.
    """
    name = clean(_name(view))
    waiting = view.position.endswith("waiting")
    if action == "start_again":
        return "" if view.status in _ENDED else f"{name} is running already"
    if action == "stop_run" and view.status == "stopping":
        return f"{name} is draining already"
    if view.status not in ("running", "stopping"):
        return f"{name} is not running ({view.status})"
    if action == "close_now" and (waiting or not view.position):
        return f"{name} has no open position" + (
            ", its signal waits - {run.cancel} cancels it" if waiting else ""
        )
    if action == "cancel_signal" and not waiting:
        return f"{name} has no scheduled signal" + (
            " but an open position - {run.close} closes it" if view.position else ""
        )
    return ""


def all_refusal(action: str, views: Sequence[InstanceView]) -> str:
    """Why ``stop_all`` or ``close_all`` cannot act now, "" when it can."""
    if action == "stop_all":
        return "" if _running(views) else "no live run is running"
    return "" if _open(views) else "no position is open"


async def stop_run(screen: BaseScreen, view: InstanceView) -> None:
    """Ask, then stop a run gracefully."""
    dialog = ConfirmDialog(
        f"Stop {view.strategy_name} on {view.symbol}?",
        _what_stopping_does(view),
        (Answer("no", "No, leave it running"), Answer("yes", "Stop")),
    )
    if await screen.app.push_screen_wait(dialog) == "yes":
        host = screen.context.host
        said = await screen.ask(lambda: host.stop_run(view.instance_id), "stop")
        _tell(screen, said, "stopping")


async def start_again(screen: BaseScreen, view: InstanceView) -> None:
    """Start a run again, or resume one that drains."""
    host = screen.context.host
    said = await screen.ask(lambda: host.start_again(view.instance_id), "start")
    _tell(screen, said, "started")


async def close_now(screen: BaseScreen, view: InstanceView) -> None:
    """Show the price it will book, let the symbol be typed, then close the position."""
    host = screen.context.host
    quote = await screen.ask(lambda: host.quote(view.instance_id), "close now")
    if quote is None:
        return
    shown = [quote]

    async def renew() -> None:
        with suppress(EngineError):  # the position is gone: closing will say so
            shown[0] = await asyncio.wrap_future(host.quote(view.instance_id))

    dialog = TypedDialog(
        f"Close the {view.position} {clean(view.symbol)} of {clean(view.strategy_name)} now?",
        lambda: _what_closing_does(screen, view, shown[0]),
        view.symbol,
        "Close now",
        renew,
    )
    screen.opening = False
    if await screen.app.push_screen_wait(dialog) and _is_the_same(screen, view):
        said = await screen.ask(lambda: host.close_run(view.instance_id), "close now")
        _tell(screen, said, "close now")


async def cancel_signal(screen: BaseScreen, view: InstanceView) -> None:
    """Ask, then cancel a scheduled signal."""
    dialog = ConfirmDialog(
        f"Cancel the scheduled signal of {view.strategy_name} on {view.symbol}?",
        f"It waits for {price(view.entry)}. The run goes on and may signal again.",
        (Answer("no", "No, keep it"), Answer("yes", "Cancel it")),
    )
    if await screen.app.push_screen_wait(dialog) == "yes" and _is_the_same(screen, view):
        host = screen.context.host
        said = await screen.ask(lambda: host.cancel_run(view.instance_id), "cancel")
        _tell(screen, said, "cancel")


ACTIONS: Final[Mapping[str, Callable[[BaseScreen, InstanceView], Awaitable[None]]]] = (
    MappingProxyType(
        {
            "stop_run": stop_run,
            "start_again": start_again,
            "close_now": close_now,
            "cancel_signal": cancel_signal,
        }
    )
)
"""What can be done to one run, by the names `run_refusal` and `bulk_command` know."""


def bulk_command(screen: BaseScreen, action: str) -> BulkCommand[InstanceView]:
    """One of `ACTIONS` for several runs.

    Args:
        screen: where it is asked.
        action: its name.
    """
    host = screen.context.host
    stop = BulkCommand[InstanceView](
        verb="Stop",
        question=lambda amount: f"Stop {many(amount, 'run')}?",
        remark="No new signals; a run ends when it holds nothing any more.",
        key=lambda view: view.instance_id,
        name=_name,
        refusal=partial(run_refusal, action),
        effect=_stops,
        command=host.stop_run,
        now=lambda: screen.context.snapshot.instances,
        same=lambda asked, now: True,
    )
    if action == "stop_run":
        return stop
    if action == "start_again":
        return replace(
            stop,
            verb="Start",
            question=lambda amount: f"Start {many(amount, 'run')}?",
            remark="",
            effect=lambda view: f"is {view.status}, runs again",
            command=host.start_again,
        )
    if action == "cancel_signal":
        return replace(
            stop,
            verb="Cancel",
            question=lambda amount: f"Cancel {many(amount, 'scheduled signal')}?",
            remark="The runs go on and may signal again.",
            effect=lambda view: f"waits for {price(view.entry)}",
            command=host.cancel_run,
            same=_holds_the_same,
        )
    return _closing(screen, stop)


def _closing(screen: BaseScreen, stop: BulkCommand[InstanceView]) -> BulkCommand[InstanceView]:
    return replace(
        stop,
        verb="Close now",
        question=lambda amount: f"Close {many(amount, 'open position')} at market now?",
        remark=f"Each books its price at the next instant; the runs go on. {NO_ORDER}",
        effect=lambda view: f"{view.position}, {percent(view.pnl_percent)} %",
        command=screen.context.host.close_run,
        same=_holds_the_same,
        typed=Typed(
            word=lambda views: f"CLOSE {len(views)}" if len(views) > 1 else views[0].symbol,
            yes=lambda amount: f"Close {amount} now",
            quotes=partial(_quotes, screen),
        ),
    )


async def stop_all(screen: BaseScreen) -> None:
    """Ask, then stop every run gracefully."""
    views = _running(screen.context.snapshot.instances)
    held = len(_open(views))
    dialog = ConfirmDialog(
        f"Stop {many(len(views), 'live run')}?",
        "No new signals; scheduled ones are cancelled. "
        f"{many(held, 'open position')} will be watched to the end, then the runs end.",
        (Answer("no", "No, leave them running"), Answer("yes", "Stop all")),
    )
    if await screen.app.push_screen_wait(dialog) == "yes":
        host = screen.context.host
        ids = [view.instance_id for view in views]
        _tell(screen, await screen.ask(lambda: host.stop_runs(ids), "stop all"), "stop all")


async def close_all(screen: BaseScreen) -> None:
    """Let ``CLOSE ALL`` be typed, then close every open position at market.

    What is open moves on while it is typed: the question tells what it is about every second, and
    exactly that is closed.
    """
    shown = _open(screen.context.snapshot.instances)

    async def renew() -> None:
        shown[:] = _open(screen.context.snapshot.instances)

    dialog = TypedDialog(
        lambda: f"Close {many(len(shown), 'open position')} at market now?",
        lambda: _what_closing_all_does(shown),
        CLOSE_ALL,
        "Close all now",
        renew,
    )
    if not await screen.app.push_screen_wait(dialog):
        return
    now = {view.instance_id: view for view in screen.context.snapshot.instances}
    same = [
        view
        for view in shown
        if view.instance_id in now and _holds_the_same(view, now[view.instance_id])
    ]
    if same:
        host, ids = screen.context.host, [view.instance_id for view in same]
        _tell(screen, await screen.ask(lambda: host.close_runs(ids), "close all"), "close all")
    asked = {(view.instance_id, view.signal_id) for view in shown}
    opened = [v for v in _open(tuple(now.values())) if (v.instance_id, v.signal_id) not in asked]
    gone = [f"{clean(_name(v))} has moved on: nothing done" for v in shown if v not in same]
    if left := [*gone, *(f"{clean(_name(v))} opened meanwhile and is still open" for v in opened)]:
        screen.notify("; ".join(left), title="close all", severity="warning", markup=False)


def _what_closing_all_does(views: Sequence[InstanceView]) -> str:
    names = ", ".join(f"{clean(view.position)} {clean(view.symbol)}" for view in views)
    stale = sum("stale" in view.flags for view in views)
    late = f"\nThe data of {stale} of them is STALE: older prices." if stale else ""
    return (
        f"{names or 'nothing is open any more'}\n"
        f"Each books its newest price; the runs go on and may open again.{late}\n{NO_ORDER}"
    )


def _name(view: InstanceView) -> str:
    return f"{view.strategy_name} {view.symbol}"


def _stops(view: InstanceView) -> str:
    if view.position.endswith("waiting"):
        return "its scheduled signal is cancelled"
    return f"its {view.position} is watched to its end" if view.position else "ends at once"


async def _quotes(screen: BaseScreen, views: Sequence[InstanceView]) -> list[str]:
    """What each close would book, with the age of the price where it is old."""
    host, now = screen.context.host, screen.context.now()
    found = await asyncio.gather(
        *(answered(host.quote, view.instance_id) for view in views), return_exceptions=True
    )
    texts: list[str] = []
    for quote in found:
        if isinstance(quote, BaseException):
            texts.append(f"no price: {quote}")
            continue
        kind, age = _kind_and_age(quote, now)
        late = f"STALE, {age} old" if quote.stale else f"{age} ago"
        texts.append(f"books about {price(quote.price)} ({kind}, {late})")
    return texts


def _kind_and_age(quote: Quote, now: int) -> tuple[str, str]:
    """What price it is, and how long ago it was (``now`` in ms), in words."""
    kind = "VWAP" if quote.is_vwap else "newest close"
    return kind, span(max(0, now - quote.at) / 1000)


def _what_stopping_does(view: InstanceView) -> str:
    if view.position.endswith("waiting"):
        return "No new signals. The scheduled signal is cancelled, and the run ends."
    if view.position:
        return (
            f"No new signals. The open {view.position} is watched to its end: "
            "take-profit, stop-loss or time. Then the run ends."
        )
    return "No new signals. Nothing is held, so the run ends."


def _what_closing_does(screen: BaseScreen, view: InstanceView, quote: Quote) -> str:
    kind, age = _kind_and_age(quote, screen.context.now())
    late = [f"THE DATA IS STALE: this price is {age} old."] if quote.stale else []
    return "\n".join(
        (
            *late,
            f"It books about {price(quote.price)}, the {kind} at {time_of_day(quote.at)} UTC"
            f" ({age} ago); opened at {price(view.entry)}.",
            "It closes right away; the run goes on and may open again.",
            NO_ORDER,
        )
    )


def _is_the_same(screen: BaseScreen, view: InstanceView) -> bool:
    """Whether the run still holds what the question was about; if not, it is told."""
    runs = screen.context.snapshot.instances
    now = next((run for run in runs if run.instance_id == view.instance_id), None)
    if now is not None and _holds_the_same(view, now):
        return True
    text = f"{clean(_name(view))} does not hold that any more: nothing done"
    screen.notify(text, title="too late", severity="warning", markup=False)
    return False


def _holds_the_same(asked: InstanceView, now: InstanceView) -> bool:
    return (now.signal_id, now.position) == (asked.signal_id, asked.position)


def _running(views: Sequence[InstanceView]) -> list[InstanceView]:
    return [view for view in views if view.status == "running"]


def _open(views: Sequence[InstanceView]) -> list[InstanceView]:
    return [view for view in views if view.position and not view.position.endswith("waiting")]


def _tell(screen: BaseScreen, said: str | None, title: str) -> None:
    if said is not None:
        screen.notify(clean(said), title=title, markup=False)
