"""Commands to several selected runs: one question that lists what will happen, one answer.

What cannot be done to a run is listed with its reason and left alone. Between question and answer
things go on, so what is gone by then is left alone as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from console.views import InstanceView
from engine.domain.errors import EngineError
from screens.base import BaseScreen
from screens.confirm import Answer, ConfirmDialog
from screens.run_actions import NO_ORDER, run_refusal
from screens.spelling import spell
from screens.text import clean, many, percent, price, span
from screens.typed import TypedDialog

LISTED: Final = 30
"""Runs a question names; the others are counted."""


@dataclass(frozen=True, slots=True)
class _Words:
    """How an action is spoken of: the question's verb, its remark, and what a run is told."""

    verb: str
    remark: str
    effect: Callable[[InstanceView], str]


def _stops(view: InstanceView) -> str:
    if view.position.endswith("waiting"):
        return "its scheduled signal is cancelled, then it ends"
    return f"its {view.position} is watched to the end, then it ends" if view.position else "ends"


def _closes(view: InstanceView) -> str:
    return f"{view.position}, {percent(view.pnl_percent)} %"


_ACTIONS: Final[dict[str, _Words]] = {
    "stop_run": _Words("Stop", "No new signals.", _stops),
    "start_again": _Words("Start", "", lambda view: f"is {view.status}, runs again"),
    "close_now": _Words(
        "Close now",
        f"Each books its price at the next instant; the runs go on. {NO_ORDER}",
        _closes,
    ),
    "cancel_signal": _Words(
        "Cancel", "The runs go on and may signal again.", lambda v: f"waits for {price(v.entry)}"
    ),
}


def several_refusal(action: str, views: Sequence[InstanceView]) -> str:
    """Why an action can be done to none of the runs, "" when to some."""
    reasons = [run_refusal(action, view) for view in views]
    return "" if not all(reasons) else f"none of the selected: {reasons[0]}"


async def act_on_several(screen: BaseScreen, action: str, views: Sequence[InstanceView]) -> bool:
    """Ask once, then give a command to every run that can take it; whether it was given.

    Args:
        screen: where it is asked.
        action: as of `run_refusal`.
        views: the selected runs.
    """
    able = [view for view in views if not run_refusal(action, view)]
    if not able or not await _agreed(screen, action, able, views):
        return False
    host, words = screen.context.host, _ACTIONS[action]
    now = {view.instance_id: view for view in screen.context.snapshot.instances}
    same = [view for view in able if _same(action, view, now.get(view.instance_id))]
    commands: dict[str, Callable[[str], Future[str]]] = {
        "stop_run": host.stop_run,
        "start_again": host.start_again,
        "close_now": host.close_run,
        "cancel_signal": host.cancel_run,
    }
    screen.end_pause()
    answers = await asyncio.gather(
        *(asyncio.wrap_future(commands[action](view.instance_id)) for view in same),
        return_exceptions=True,
    )
    refused = [_refusal(view, said) for view, said in zip(same, answers, strict=True)]
    refused += [f"{_name(view)} has moved on: nothing done" for view in able if view not in same]
    problems = [text for text in refused if text]
    done = f"{len(able) - len(problems)} of {len(able)} done"
    screen.notify(
        clean("; ".join([done, *problems])),
        title=f"{words.verb.lower()}, {many(len(able), 'run')}",
        severity="warning" if problems else "information",
        markup=False,
    )
    return True


async def _agreed(
    screen: BaseScreen, action: str, able: Sequence[InstanceView], views: Sequence[InstanceView]
) -> bool:
    words = _ACTIONS[action]
    lines = [f"{_name(view)}: {words.effect(view)}" for view in able]
    if action == "close_now":
        quotes = await _quotes(screen, able)
        lines = [f"{line}, {quote}" for line, quote in zip(lines, quotes, strict=True)]
    for view in views:
        if why := run_refusal(action, view):
            lines.append(f"left alone: {spell(screen, clean(why))}")
    shown = lines[:LISTED]
    if len(lines) > LISTED:
        shown.append(f"and {len(lines) - LISTED} more")
    detail = "\n".join([words.remark, *shown] if words.remark else shown)
    if action == "close_now":
        word = f"CLOSE {len(able)}" if len(able) > 1 else able[0].symbol
        question = f"Close {many(len(able), 'open position')} at market now?"
        dialog = TypedDialog(question, lambda: detail, word, f"Close {len(able)} now")
        return bool(await screen.app.push_screen_wait(dialog))
    what = "scheduled signal" if action == "cancel_signal" else "run"
    confirm = ConfirmDialog(
        f"{words.verb} {many(len(able), what)}?",
        detail,
        (Answer("no", "No, leave them"), Answer("yes", words.verb)),
    )
    return await screen.app.push_screen_wait(confirm) == "yes"


async def _quotes(screen: BaseScreen, views: Sequence[InstanceView]) -> list[str]:
    """What each close would book, with the age of the price where it is old."""
    host, now = screen.context.host, screen.context.now()
    found = await asyncio.gather(
        *(asyncio.wrap_future(host.quote(view.instance_id)) for view in views),
        return_exceptions=True,
    )
    texts: list[str] = []
    for quote in found:
        if isinstance(quote, BaseException):
            texts.append(f"no price: {quote}")
            continue
        kind = "VWAP" if quote.is_vwap else "newest close"
        age = span(max(0, now - quote.at) / 1000)
        late = f"STALE, {age} old" if quote.stale else f"{age} ago"
        texts.append(f"books about {price(quote.price)} ({kind}, {late})")
    return texts


def _same(action: str, asked: InstanceView, now: InstanceView | None) -> bool:
    if now is None or run_refusal(action, now):
        return False
    held = (now.signal_id, now.position) == (asked.signal_id, asked.position)
    return held or action in ("stop_run", "start_again")


def _refusal(view: InstanceView, said: str | BaseException) -> str:
    if not isinstance(said, BaseException):
        return ""
    words = str(said) if isinstance(said, EngineError) else f"{type(said).__name__}: {said}"
    return f"{_name(view)}: {words}"


def _name(view: InstanceView) -> str:
    return f"{view.strategy_name} {view.symbol}"
