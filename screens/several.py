"""Commands to several selected runs: one question that lists what will happen, one answer.

What cannot be done to a run is listed with its reason and left alone. Between question and answer
things go on, so what is gone by then is left alone as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from engine.domain.errors import EngineError
from screens.base import BaseScreen
from screens.confirm import Answer, ConfirmDialog
from screens.spelling import spell
from screens.text import clean, many
from screens.typed import TypedDialog

View = TypeVar("View")
Answered = TypeVar("Answered")

LISTED: Final = 30
"""Runs a question names; the others are counted."""


# Without slots: `typing` tells a subscripted generic its arguments by setting an attribute.
@dataclass(frozen=True)
class Typed(Generic[View]):
    """What a command needs whose yes has to be typed.

    Attributes:
        word: what has to be typed for those runs.
        yes: what the confirming button says for so many runs.
        quotes: awaited for a price in words for each of those runs.
    """

    word: Callable[[Sequence[View]], str]
    yes: Callable[[int], str]
    quotes: Callable[[Sequence[View]], Awaitable[list[str]]]


@dataclass(frozen=True)
class BulkCommand(Generic[View]):
    """A command that can be given to several runs of one kind, and how it is spoken of.

    Attributes:
        verb: what the yes says, such as ``Stop``.
        question: asks it of so many runs.
        remark: what is true for all of them, "" for nothing.
        key: a run's id.
        name: how a run is called.
        refusal: why a run cannot take it now, "" when it can; may name keys.
        effect: what will happen to a run.
        command: gives it to the run of that id.
        now: the runs as they are.
        same: whether a run is still what was asked about (first as asked about, then as it is).
        typed: set where yes has to be typed.
    """

    verb: str
    question: Callable[[int], str]
    remark: str
    key: Callable[[View], str]
    name: Callable[[View], str]
    refusal: Callable[[View], str]
    effect: Callable[[View], str]
    command: Callable[[str], Future[str]]
    now: Callable[[], Iterable[View]]
    same: Callable[[View, View], bool]
    typed: Typed[View] | None = None


def several_refusal(reasons: Sequence[str]) -> str:
    """Why a command can be given to none of the selected runs, "" when to some.

    Args:
        reasons: of each run, "" where it can take it.
    """
    return "" if not all(reasons) else f"none of the selected: {reasons[0]}"


async def act_on_several(
    screen: BaseScreen, bulk: BulkCommand[View], views: Sequence[View]
) -> bool:
    """Ask once, then give a command to every run that can take it; whether it was given.

    Args:
        screen: where it is asked.
        bulk: the command.
        views: the selected runs.
    """
    able = [view for view in views if not bulk.refusal(view)]
    if not able or not await _agreed(screen, bulk, able, views):
        return False
    now = {bulk.key(view): view for view in bulk.now()}
    same = [view for view in able if _stands(bulk, view, now.get(bulk.key(view)))]
    screen.end_pause()
    answers = await asyncio.gather(
        *(answered(bulk.command, bulk.key(view)) for view in same), return_exceptions=True
    )
    refused = [_refusal(bulk.name(view), said) for view, said in zip(same, answers, strict=True)]
    refused += [
        f"{bulk.name(view)} has moved on: nothing done" for view in able if view not in same
    ]
    problems = [text for text in refused if text]
    done = f"{len(able) - len(problems)} of {len(able)} done"
    screen.notify(
        clean("; ".join([done, *problems])),
        title=f"{bulk.verb.lower()}, {many(len(able), 'run')}",
        severity="warning" if problems else "information",
        markup=False,
    )
    return True


async def answered(command: Callable[[str], Future[Answered]], key: str) -> Answered:
    """What the host answers; what is wrong with the giving is raised here as well."""
    return await asyncio.wrap_future(command(key))


async def _agreed(
    screen: BaseScreen, bulk: BulkCommand[View], able: Sequence[View], views: Sequence[View]
) -> bool:
    question = bulk.question(len(able))
    alone = [f"left alone: {spell(screen, clean(why))}" for v in views if (why := bulk.refusal(v))]
    effects = [f"{bulk.name(view)}: {bulk.effect(view)}" for view in able]
    if bulk.typed is None:
        detail = _listed(bulk.remark, [*effects, *alone])
        answers = (Answer("no", "No, leave them"), Answer("yes", bulk.verb))
        return await screen.app.push_screen_wait(ConfirmDialog(question, detail, answers)) == "yes"
    typed, shown = bulk.typed, [""]

    async def renew() -> None:
        quotes = await typed.quotes(able[:LISTED])
        priced = [f"{effect}, {quote}" for effect, quote in zip(effects, quotes, strict=False)]
        shown[0] = _listed(bulk.remark, [*priced, *effects[LISTED:], *alone])

    await renew()
    word, yes = typed.word(able), typed.yes(len(able))
    dialog = TypedDialog(question, lambda: shown[0], word, yes, renew)
    screen.opening = False
    return bool(await screen.app.push_screen_wait(dialog))


def _listed(remark: str, lines: Sequence[str]) -> str:
    shown = [*([remark] if remark else []), *lines[:LISTED]]
    if len(lines) > LISTED:
        shown.append(f"and {len(lines) - LISTED} more")
    return "\n".join(shown)


def _stands(bulk: BulkCommand[View], asked: View, now: View | None) -> bool:
    return now is not None and not bulk.refusal(now) and bulk.same(asked, now)


def _refusal(name: str, said: str | BaseException) -> str:
    if not isinstance(said, BaseException):
        return ""
    words = str(said) if isinstance(said, EngineError) else f"{type(said).__name__}: {said}"
    return f"{name}: {words}"
