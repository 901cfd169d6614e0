"""``signaldeck status`` on state files of all kinds; beside a process in `test_live_command`."""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from console.cli import run
from engine.adapters.store.sqlite import SqliteStore
from engine.domain.changes import (
    CommandNoted,
    ErrorNote,
    HeldChanged,
    InstanceSaved,
    Journaled,
    MetaSaved,
    Settled,
    Telemetry,
)
from engine.domain.events import Partial, RiskRejection
from engine.domain.signals import OpenPosition, ScheduledSignal
from tests.store.store_bed import (
    T0,
    cancelled_event,
    closed_event,
    key_of,
    opening,
    record_of,
    row_of,
    tampered,
)

OPEN, WAITING, FAILED, DRAINING = (key_of(run) for run in range(4))
LONG = replace(DRAINING, symbol="S" * 60, strategy_name="波" * 40, exchange_name="e\x1b[31m\nx")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "state.db"


async def filled(path: Path, beat: int) -> SqliteStore:
    """Runs of every status, entries of every kind; the store is left open."""
    store = SqliteStore(path, command="signaldeck live " + "x" * 100)
    await store.open()
    row = row_of(OPEN)
    await store.commit([InstanceSaved(OPEN, record_of()), Settled(OPEN, T0), *opening(OPEN)])
    await store.commit([HeldChanged(OPEN, OpenPosition(row, profit_level=30))])
    waiting = ScheduledSignal(row_of(WAITING, scheduled=True))
    await store.commit([InstanceSaved(WAITING, record_of()), HeldChanged(WAITING, waiting)])
    failed = replace(record_of(status="failed"), error="no exchange " + "y" * 100)
    await store.commit([InstanceSaved(FAILED, failed)])
    await store.commit([InstanceSaved(LONG, record_of(status="stopping")), *opening(LONG)])
    partial = Partial("profit", OPEN, OPEN.symbol, "s", "e", row, 101.0, 30, False, T0 + 60_000)
    refused = RiskRejection(OPEN, "r", OPEN.symbol, "s", "e", row, 1.0, 2, "too many", T0)
    events: list[Any] = [
        partial, refused, closed_event(OPEN, 0), cancelled_event(WAITING, 0),
        ErrorNote(OPEN, T0, "tick", "first line\nsecond line"),
    ]  # fmt: skip
    await store.commit([Journaled(event.key, event) for event in events])
    target = str(OPEN)
    await store.commit([CommandNoted(T0, "console", "close", target, "closed at 99 " + "z" * 90)])
    store.telemetry([Telemetry(OPEN, T0, 101.5, 1.25, beat)])
    await store.flush()
    return store


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    output, told = capsys.readouterr()
    assert told == ""
    lines = output.splitlines()
    assert all(cell_len(line) <= 80 and line.isprintable() for line in lines)
    return lines


async def status(*arguments: str) -> int:
    """The command in a thread, as another process would run it while this one writes."""
    return await asyncio.to_thread(run, ["status", *arguments])


async def test_a_table_for_people(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = await filled(path, beat=time.time_ns() // 1_000_000 - 5_000)
    assert await status() == 0
    text = "\n".join(lines := lines_of(capsys))
    assert f"owner       process {os.getpid()}, since 20" in text
    assert "runs        3 running, 1 ended; 2 open, 1 scheduled" in lines
    at = lines.index("S0USDT  strategy @ exchange  running")
    assert lines[at + 1 : at + 3] == [
        "  long from 100.1, TP 110.3, SL 90.7, until 2024-01-01 01:00 UTC",
        "  last 101.5, PnL +1.25 %, heartbeat 5 s ago",
    ]
    at = lines.index("S1USDT  strategy @ exchange  running")
    assert lines[at + 1].startswith("  long waits for 100.1, TP 110.3, SL 90.7, since 2024-01-01")
    at = lines.index("S2USDT  strategy @ exchange  failed")
    assert lines[at + 2].startswith("  failed: no exchange yyy") and lines[at + 2].endswith("...")
    assert any(line.startswith("S" * 50) and line.endswith("...  draining") for line in lines)
    for told in (
        "opened     S0USDT strategy  long at 100.1",
        "partial    S0USDT strategy  long 30 % of the way to take-profit",
        "rejected   S0USDT strategy  long: too many",
        "closed     S0USDT strategy  long at 99, -1.25 %, stop loss",
        "cancelled  S1USDT strategy  long: timeout",
        "error      S0USDT strategy  tick: first line",
    ):
        assert f"  01-01 00:0{1 if 'partial' in told else 0}  {told}" in lines
    assert any(line.startswith("  01-01 00:00  close (console)  live strategy") for line in lines)

    await store.close()
    assert await status() == 0
    text = "\n".join(lines_of(capsys))
    assert "not running: nobody owns the file" in text
    assert "runs        3 to be resumed, 1 ended" in text
    assert "S0USDT  strategy @ exchange  detached" in text and "...  draining, detached" in text


async def test_an_object_for_programs(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = await filled(path, beat=T0 + 4_000)
    # A simulated market's own time is what heartbeats are measured by.
    await store.commit([MetaSaved("clock", str(T0 + 10_000))])
    assert await status("--json", "--state", str(path)) == 0
    output, told = capsys.readouterr()
    assert told == ""
    found = json.loads(output)
    assert (found["state"], found["clock"]) == (str(path), "2024-01-01T00:00:10.000Z")
    assert found["owner"]["pid"] == os.getpid() and found["owner"]["alive"] is True
    assert (found["counts"]["positions"], found["counts"]["scheduled"]) == (2, 1)
    by_symbol = {one["symbol"]: one for one in found["instances"]}
    one = by_symbol[OPEN.symbol]
    assert (one["strategy"], one["exchange"], one["status"]) == ("strategy", "exchange", "running")
    assert (one["last_price"], one["pnl_percentage"], one["heartbeat"]) == (101.5, 1.25, T0 + 4000)
    assert (one["heartbeat_age_seconds"], one["settled_until"]) == (6.0, T0)
    held = one["held"]
    assert (held["kind"], held["id"], held["profit_level"]) == ("position", "S0USDT-0", 30)
    assert (held["price_open"], held["price_take_profit"]) == (100.1, 110.3)
    assert by_symbol[WAITING.symbol]["held"]["kind"] == "scheduled"
    assert by_symbol[FAILED.symbol]["held"] is None
    assert by_symbol[FAILED.symbol]["error"].startswith("no exchange")
    assert by_symbol[LONG.symbol]["status"] == "stopping"
    events = {event["event"]: event for event in found["events"]}
    assert list(events) == ["opened", "partial", "rejected", "closed", "cancelled", "error"]
    assert [event["number"] for event in found["events"]] == list(range(1, 8))
    assert events["closed"]["close_reason"] == "stop_loss"
    assert events["closed"]["pnl_percentage"] == -1.25
    assert (events["partial"]["side"], events["partial"]["level"]) == ("profit", 30)
    assert events["rejected"]["reason"] == "too many"
    assert events["error"]["message"] == "first line\nsecond line"
    assert found["events"][0]["signal"]["id"] == "S0USDT-0"
    (command,) = found["commands"]
    assert (command["origin"], command["command"]) == ("console", "close")
    await store.close()


async def test_what_cannot_be_read_is_named_and_the_rest_is_shown(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await (await filled(path, beat=T0)).close()
    tampered(path, [("UPDATE held SET payload = 'x' WHERE symbol = 'S0USDT'", ())])
    assert await status("--json") == 0
    output, told = capsys.readouterr()
    assert told.startswith("note: a row of held cannot be read: ValueError")
    found = json.loads(output)
    assert [one["table"] for one in found["unreadable"]] == ["held"]
    assert len(found["instances"]) == 4


async def test_an_owner_that_died(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await (await filled(path, beat=T0)).close()
    facts = {"pid": 12345, "started_at": "2024-01-01T00:00:00+00:00", "command": "signaldeck"}
    path.with_name("state.db.lock").write_text(json.dumps(facts))
    assert await status() == 0
    assert "not running: process 12345 ended without closing the file" in capsys.readouterr().out


async def test_nothing_to_look_at(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for state, expected, words in (
        (":memory:", 2, "in memory"),
        (str(path), 1, "does not exist"),
        (str(path.parent), 1, "is a directory"),
    ):
        assert await status("--state", state, "--json") == expected
        output, told = capsys.readouterr()
        assert (output, words in told) == ("", True), told
    assert not path.exists()
    path.write_text("no database at all " * 300)
    assert await status() == 1
    assert f"{path} is damaged" in capsys.readouterr().err
