"""``signaldeck live`` as operators and services use it: real processes, real signals."""

from __future__ import annotations

import json
import signal
import sqlite3
from pathlib import Path

import pytest

from console.cli import run as run_here
from tests.console.cli_bed import Run
from tests.console.live_bed import LiveProcess, prepared

OPENS = ("opens", "--symbol", "BTCUSDT", "--exchange", "sim")
WAITS = ("waits", "--symbol", "ETHUSDT", "--exchange", "sim")


@pytest.fixture
def project(run: Run, work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    prepared(work)
    monkeypatch.chdir(work)
    monkeypatch.setenv("XDG_STATE_HOME", str(work.parent / "home"))
    return work


def test_killed_resumed_and_closed(project: Path, run: Run) -> None:
    with LiveProcess(project, *OPENS, "--json") as first:
        first.until('"opened"', "out")
        first.until("opened     BTCUSDT opens  long at")
        (opened,) = first.events
        done = run("status", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        seen = json.loads(done.stdout)
        assert (seen["owner"]["pid"], seen["owner"]["alive"]) == (first.process.pid, True)
        (instance,) = seen["instances"]
        assert instance["status"] == "running"
        assert instance["held"]["id"] == opened["signal"]["id"]
        # A second owner is refused, and told who the first one is.
        second = run("live", *OPENS)
        assert (second.returncode, second.stdout) == (1, "")
        assert f"process {first.process.pid} owns it since 20" in second.stderr
        first.send(signal.SIGKILL)
        assert first.status() == -signal.SIGKILL

    assert run_here(["status"]) == 0
    with LiveProcess(project, *OPENS, "--json", "--on-exit", "close") as again:
        again.until("restored: live opens BTCUSDT @ sim: long open at")
        again.until("goes on")
        again.send(signal.SIGTERM)
        assert again.status() == 0, again.told
        (closed,) = [event for event in again.events if not event["replayed"]]
    assert closed["event"] == "closed" and closed["close_reason"] == "operator"
    assert closed["signal"] == opened["signal"]
    commands = read(project, "SELECT origin, command, result FROM command ORDER BY number")
    assert [row[:2] for row in commands] == [("cli", "start"), ("cli", "stop"), ("cli", "close")]
    assert commands[2][2].startswith("closed at")
    assert read(project, "SELECT status FROM instance") == [("done",)]
    assert read(project, "SELECT count(*) FROM held") == [(0,)]


def test_a_drain_waits_and_a_second_signal_detaches(project: Path) -> None:
    both = (*OPENS[:3], "--symbol", "ETHUSDT", "--exchange", "sim")
    with LiveProcess(project, *both, "--on-exit", "drain") as draining:
        draining.until("opened     BTCUSDT opens")
        draining.until("opened     ETHUSDT opens")
        draining.send(signal.SIGINT)
        draining.until("BTCUSDT @ sim: waiting for its end; a second signal detaches")
        draining.send(signal.SIGTERM)
        assert draining.status() == 1
        assert "ended by a second signal" in draining.told
        assert draining.told.count("detached: live opens") == 2
    assert read(project, "SELECT status FROM instance") == [("stopping",), ("stopping",)]
    assert read(project, "SELECT count(*) FROM held") == [(2,)]

    # What waits for its entry is cancelled at once; what was left before is only watched.
    with LiveProcess(project, *WAITS, "--on-exit", "drain", "--json") as waiting:
        waiting.until("opens ETHUSDT @ sim: long open at")
        waiting.until("scheduled  ETHUSDT waits")
        waiting.send(signal.SIGTERM)
        assert waiting.status() == 0
        assert [event["event"] for event in waiting.events] == ["scheduled", "cancelled"]
        assert waiting.events[1]["cancel_reason"] == "stopped"
        assert waiting.told.count("detached: live opens") == 2
    assert read(project, "SELECT count(*) FROM held") == [(2,)]

    # Started again, a draining run goes on as if it had never been stopped.
    with LiveProcess(project, *OPENS) as resumed:
        resumed.until("live opens BTCUSDT @ sim: resumed")
        resumed.send(signal.SIGTERM)
        assert resumed.status() == 0
    rows = read(project, "SELECT symbol, status FROM instance WHERE strategy = 'opens'")
    assert dict(rows) == {"BTCUSDT": "running", "ETHUSDT": "stopping"}


def test_with_consent_a_damaged_state_is_set_aside(project: Path) -> None:
    (project / "state.db").write_text("no database at all " * 300)
    options = ("--start-clean-if-damaged", "--on-exit", "close", "--json")
    with LiveProcess(project, *WAITS, *options) as clean:
        clean.stop_reading_events()
        clean.until("scheduled  ETHUSDT waits")
        clean.until("nobody reads stdout any more; the runs go on")
        assert "state.db.damaged-" in clean.told and "error" in clean.told
        clean.send(signal.SIGTERM)
        assert clean.status() == 0
    (kept,) = project.glob("state.db.damaged-*Z")
    assert kept.read_text().startswith("no database at all")
    assert read(project, "SELECT kind FROM journal ORDER BY number")[0] == ("scheduled",)


def read(project: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(f"file:{project / 'state.db'}?mode=ro", uri=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nothing", *OPENS[1:]), "'nothing'"),
        ((*OPENS[:3], "--exchange", "nowhere"), "'nowhere' not found"),
        (("opens", "--symbol", "XXX", "--exchange", "sim"), "'XXX' is unknown"),
        ((*OPENS, "--on-exit", "panic"), "detach, drain, close"),
        ((*OPENS, "--read-only"), "--read-only"),
        ((*OPENS, "--state", ":memory:"), "name a file"),
    ],
)
def test_bad_usage_leaves_no_state(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert run_here(["live", *arguments]) == 2
    output, told = capsys.readouterr()
    assert (output, words in told) == ("", True), told
    assert not list(project.glob("state.db*"))


def test_a_state_that_cannot_be_used_is_left_alone(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / "state.db"
    path.write_text("no database at all " * 300)
    before = path.read_bytes()
    assert run_here(["live", *OPENS]) == 1
    told = capsys.readouterr().err
    assert f"{path} is damaged" in told and "--start-clean-if-damaged" in told
    assert path.read_bytes() == before and not list(project.glob("*damaged*"))

    path.unlink()
    connection = sqlite3.connect(path)
    connection.executescript(
        f"PRAGMA application_id = {int.from_bytes(b'SIDK', 'big')}; PRAGMA user_version = 99;"
    )
    connection.close()
    before = path.read_bytes()
    assert run_here(["live", *OPENS, "--start-clean-if-damaged"]) == 1
    assert "newer signaldeck (schema 99" in capsys.readouterr().err
    assert path.read_bytes() == before
