"""When a strategy has to be asked: computed from journal, bars and operator, minute by minute."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from tests.kills.contract import MINUTE, Tape
from tests.kills.scenario import START, TRADERS, Command
from tests.kills.statefile import Row, RunKey

Span = tuple[int, int | None]
"""From when to when (ms UTC) something was held; None while it still is."""


def spans_of(journal: Iterable[Row]) -> dict[RunKey, list[Span]]:
    """When each run held a signal or a position."""
    spans: dict[RunKey, list[Span]] = {}
    for row in journal:
        held = spans.setdefault((row["strategy"], row["symbol"]), [])
        going_on = bool(held) and held[-1][1] is None
        if row["kind"] in ("scheduled", "opened") and not going_on:
            held.append((row["at"], None))
        elif row["kind"] in ("closed", "cancelled") and going_on:
            held[-1] = held[-1][0], row["at"]
    return spans


def ended_by_operator(journal: Iterable[Row]) -> dict[tuple[RunKey, int], int]:
    """At which instants an operator ended something, and in which entry: nothing follows there."""
    return {
        ((row["strategy"], row["symbol"]), row["at"]): row["number"]
        for row in journal
        if row["kind"] in ("closed", "cancelled") and row["reason"] in ("operator", "stopped")
    }


def missed_attempts(
    run: RunKey, spans: Iterable[Span], ended: Collection[tuple[RunKey, int]],
    made: Collection[int], script: Iterable[Command], tape: Tape, until: int,
) -> Iterator[int]:  # fmt: skip
    """Instants up to ``until`` at which a run had to attempt a signal, and did not.

    Args:
        run: the run.
        spans: when it held something.
        ended: when an operator ended something.
        made: instants of its attempts that were committed.
        script: the operator's commands to it.
        tape: the bars of its symbol.
        until: ms UTC.
    """
    orders = [command for command in script if command.command in ("stop", "start")]
    held = [(begun, 2**62 if end is None else end) for begun, end in spans]
    interval = TRADERS[run[0]].interval * MINUTE
    last: int | None = None
    running = True
    for instant in range(START, until + MINUTE, MINUTE):
        flat = not any(begun < instant < end for begun, end in held)
        while orders and (
            orders[0].at < instant if orders[0].command == "stop" else orders[0].minute <= instant
        ):
            order = orders.pop(0)
            if order.command == "start" and not running and flat:
                last = None  # a new session, which asks at once
            running = order.command == "start"
        if instant in made:
            last = instant
            continue
        due = last is None or instant - last >= interval
        if running and flat and due and tape.is_real(instant) and (run, instant) not in ended:
            yield instant
