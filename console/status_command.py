"""``signaldeck status``: what the process that owns the state file is doing, from another terminal.

It owns nothing and changes nothing: it works while the owner writes, and when there is none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from console.event_lines import (
    WIDTH,
    clipped,
    event_json,
    event_line,
    held_json,
    key_json,
    levels_text,
    price_text,
)
from console.memory import CLOCK_META
from console.outcomes import UsageProblem, say
from console.settings import Project
from engine.domain.changes import CommandNoted, Telemetry
from engine.domain.signals import OpenPosition, ScheduledSignal
from engine.domain.snapshots import Owner, RunSnapshot, StateSnapshot
from engine.domain.time import MINUTE, iso, minute_text
from engine.runtime import open_reader

_LINES: Final = 10
"""Events and commands shown to people; programs get `_ENTRIES` of each."""

_ENTRIES: Final = 100
_ACTIVE: Final = ("running", "stopping")


def run_status(project: Project, *, as_json: bool) -> int:
    """Print what the state file says.

    Returns:
        The exit status, 0.

    Raises:
        UsageProblem: there is no state file to look at.
        StateError: it cannot be read.
    """
    if project.state == ":memory:":
        raise UsageProblem("the state is in memory and nobody else can see it: name one by --state")
    now = time.time_ns() // 1_000_000
    with open_reader(project.state) as reader:
        owner = reader.owner()
        seen = reader.snapshot(journal=_ENTRIES, commands=_ENTRIES)
        path = str(reader.path)
    # A simulated market has a time of its own.
    clock = seen.meta.get(CLOCK_META, "")
    clock_now = int(clock) if clock.isdecimal() else now
    if as_json:
        print(json.dumps(_document(path, owner, seen, now, clock_now), indent=2, allow_nan=False))
    else:
        print("\n".join(clipped(line) for line in _text(path, owner, seen, clock_now)))
    for found in seen.unreadable:
        say(f"note: a row of {found.table} cannot be read: {found.error}")
    return 0


def _runs_of(seen: StateSnapshot) -> list[RunSnapshot]:
    """Runs there are, the ones that go on first."""
    runs = [run for run in seen.runs if run.instance is not None or run.held is not None]
    return sorted(runs, key=lambda run: _status(run) not in _ACTIVE)


def _status(run: RunSnapshot) -> str:
    return run.instance.status if run.instance is not None else "unknown"


# -- for programs ------------------------------------------------------------------------------


def _document(
    path: str, owner: Owner | None, seen: StateSnapshot, now: int, clock_now: int
) -> Mapping[str, Any]:
    return {
        "state": path,
        "now": iso(now),
        "clock": iso(clock_now),
        "owner": None if owner is None else {
            "pid": owner.pid, "started_at": owner.started_at, "command": owner.command,
            "alive": owner.alive,
        },
        "counts": dict(seen.counts),
        "instances": [_instance_json(run, clock_now) for run in _runs_of(seen)],
        "events": [{"number": e.number, **event_json(e.event)} for e in seen.journal],
        "commands": [_command_json(command) for command in seen.commands],
        "unreadable": [{"table": one.table, "error": one.error} for one in seen.unreadable],
    }  # fmt: skip


def _instance_json(run: RunSnapshot, now: int) -> Mapping[str, Any]:
    record, told = run.instance, run.telemetry
    found: dict[str, Any] = {**key_json(run.key), "mode": str(run.key.mode), "status": _status(run)}
    if record is not None:
        found.update(
            session=record.session, started_at=record.started_at, risks=list(record.risk_names),
            strategy_file=record.strategy_file, strategy_hash=record.strategy_hash,
            settings=dict(record.settings), error=record.error,
        )  # fmt: skip
    return {
        **found,
        "held": held_json(run.held),
        "last_price": told.last_price if told else None,
        "pnl_percentage": told.pnl_percent if told else None,
        "last_tick": told.when if told else None,
        "heartbeat": told.heartbeat if told else None,
        "heartbeat_age_seconds": _age(told, now),
        "last_attempt": run.last_attempt,
        "settled_until": run.settled_until,
    }


def _command_json(command: CommandNoted) -> Mapping[str, Any]:
    return {
        "at": iso(command.when), "when": command.when, "origin": command.origin,
        "command": command.command, "target": command.target, "result": command.result,
    }  # fmt: skip


# -- for people --------------------------------------------------------------------------------


def _text(path: str, owner: Owner | None, seen: StateSnapshot, now: int) -> Iterator[str]:
    alive = owner is not None and owner.alive
    yield f"state file  {path}"
    yield from _owner_lines(owner)
    runs = _runs_of(seen)
    going = [run for run in runs if _status(run) in _ACTIVE]
    yield (
        f"runs        {len(going)} {'running' if alive else 'to be resumed'}, "
        f"{len(runs) - len(going)} ended; {seen.counts['positions']} open, "
        f"{seen.counts['scheduled']} scheduled"
    )
    for run in runs:
        yield ""
        yield from _run_lines(run, now, alive=alive)
    if seen.journal:
        yield from ("", "last events (UTC)")
        yield from (
            f"  {event_line(e.event, WIDTH - 2, short=True)}" for e in seen.journal[-_LINES:]
        )
    if seen.commands:
        yield from ("", "last commands (UTC)")
        yield from (f"  {_command_line(command)}" for command in seen.commands[-_LINES:])


def _owner_lines(owner: Owner | None) -> Iterator[str]:
    if owner is None:
        yield "owner       not running: nobody owns the file"
    elif not owner.alive:
        yield f"owner       not running: process {owner.pid} ended without closing the file"
    else:
        yield f"owner       process {owner.pid}, since {owner.started_at}"
        yield f"            {owner.command}"


def _run_lines(run: RunSnapshot, now: int, *, alive: bool) -> Iterator[str]:
    key, told, status = run.key, run.telemetry, _status(run)
    if status in _ACTIVE and not alive:
        status = "draining, detached" if status == "stopping" else "detached"
    elif status == "stopping":
        status = "draining"
    name = clipped(f"{key.symbol}  {key.strategy_name} @ {key.exchange_name}", WIDTH - 22)
    yield f"{name}  {status}"
    yield f"  {_held_text(run.held)}"
    facts: list[str] = []
    if told is not None and told.last_price is not None:
        facts.append(f"last {price_text(told.last_price)}")
    if told is not None and told.pnl_percent is not None:
        facts.append(f"PnL {told.pnl_percent:+.2f} %")
    if told is not None:
        facts.append(f"heartbeat {_age_text(_age(told, now))}")
    if facts:
        yield f"  {', '.join(facts)}"
    if run.instance is not None and run.instance.error:
        yield f"  failed: {run.instance.error}"


def _held_text(held: ScheduledSignal | OpenPosition | None) -> str:
    if held is None:
        return "flat"
    row = held.row
    if isinstance(held, ScheduledSignal):
        since = minute_text(row.scheduled_at)
        return f"{row.position} waits for {levels_text(row)}, since {since}"
    until = minute_text(row.pending_at + row.minute_estimated_time * MINUTE)
    return f"{row.position} from {levels_text(row)}, until {until}"


def _command_line(command: CommandNoted) -> str:
    at = minute_text(command.when).removesuffix(" UTC")[5:]
    said = f"{at}  {command.command} ({command.origin})  {command.target}: {command.result}"
    return clipped(said, WIDTH - 2)


def _age(told: Telemetry | None, now: int) -> float | None:
    """Seconds since the run last gave a sign of life."""
    return None if told is None else max(0, now - told.heartbeat) / 1000


def _age_text(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    if seconds < 120:
        return f"{seconds:.0f} s ago"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min ago"
    return f"{seconds / 3600:.0f} h ago"
