"""Walkers and optimizers from the form to ranking, result and module, against the real engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot

from console.app import SignaldeckApp
from console.walker_views import WalkerView
from screens.confirm import ConfirmDialog
from screens.new_run import NewRunForm
from screens.result import ResultScreen
from screens.text_screen import TextScreen
from screens.walkers import WalkersScreen
from tests.screens.bed import lines, toasts, until
from tests.screens.test_with_engine import trading, type_in

FILE = """
import asyncio
from datetime import UTC, datetime, timedelta
from engine import Signal, add_optimizer, add_strategy, add_walker, get_candles

async def trades(symbol, when, minutes=60, pause=0.0):
    await asyncio.sleep(pause)
    price = (await get_candles(symbol, "1m", 1)).close[-1]
    return Signal("long", price * 1.2, price * 0.9, minutes)

add_strategy(strategy_name="longs", interval="1h", get_signal=trades)
add_strategy(strategy_name="slow", interval="1m", get_signal=trades,
             params={"pause": 0.02, "minutes": 1})
add_walker(walker_name="pair", exchange_name="simulated", frame_name="missing",
           strategies=["longs", "slow"], metric="total_pnl", symbols=["BTCUSDT"])
day = datetime(2025, 7, 2, tzinfo=UTC)
add_optimizer(optimizer_name="trend",
              range_train=[{"start_date": day - timedelta(days=1), "end_date": day}],
              range_test={"start_date": day, "end_date": day + timedelta(days=1)},
              source=[lambda **page: [{"id": n, "trend": "up"} for n in range(3 - page["offset"])]],
              get_prompt=lambda symbol, messages: "buy low")
"""


def newest(app: SignaldeckApp) -> WalkerView:
    return app.host.snapshot.walkers[0]


async def fill_in(app: SignaldeckApp, pilot: Pilot[None], strategies: str, **others: str) -> None:
    """Open the form on the Walkers screen and fill in what is given, in the order of the fields."""
    await pilot.press("6", "n")
    await until(pilot, lambda: isinstance(app.screen, NewRunForm))
    form = app.screen
    assert isinstance(form, NewRunForm)
    await type_in(pilot, strategies)
    await pilot.press("tab")
    for name, text in others.items():
        form.fields[name].control.focus()
        await pilot.pause()
        await type_in(pilot, text)
    await pilot.press("enter")


async def test_a_ranking_fills_in_strategies_are_skipped_and_walkers_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    async with trading(live=False, size=(90, 32), strategies=str(tmp_path)) as (app, _, pilot):
        wrong = {"symbol": "BTCUSDT, GOLD", "metric": "luck", "settings": "percent_fee=x"}
        await fill_in(app, pilot, "longs, gone", **wrong)
        form = app.screen
        assert isinstance(form, NewRunForm)
        await until(pilot, lambda: "not started" in str(form.status.render()))
        said = {name: field.error for name, field in form.fields.items() if field.error}
        assert "'gone' not found" in said["strategy_name"] and "'GOLD'" in said["symbol"]
        assert "'luck' is unknown" in said["metric"] and "percent_fee" in said["settings"]
        assert form.fields["strategy_name"].control.has_focus
        await pilot.press("escape")
        await fill_in(
            app, pilot, "pair", start="2025-07-01", end="2025-07-02", settings="percent_fee=0.03"
        )
        await until(pilot, lambda: isinstance(app.screen, WalkersScreen))
        screen = app.screen
        assert isinstance(screen, WalkersScreen)
        await until(pilot, lambda: newest(app).strategies_tested == 1)
        await until(pilot, lambda: "best  longs" in "\n".join(lines(screen.ranking)))
        await until(pilot, lambda: any(r.progress > 0 for r in newest(app).rows if not r.outcome))
        assert "%" in lines(screen.ranking)[2] and newest(app).status == "running"
        assert "a ── longs" in "\n".join(lines(screen.curves))
        await pilot.press("enter", "j", "S")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("right", "enter")
        await until(pilot, lambda: newest(app).status == "done")
        rows = {row.name: row for row in newest(app).rows}
        assert rows["slow"].status == "skipped" and "slow is skipped" in toasts(app)
        outcome = rows["longs"].outcome
        assert outcome is not None and outcome.settings["percent_fee"] == 0.03
        await pilot.press("g", "enter")
        await until(pilot, lambda: isinstance(app.screen, ResultScreen))
        await pilot.press("escape", "r")
        await until(pilot, lambda: isinstance(app.screen, TextScreen))
        report = app.screen
        assert isinstance(report, TextScreen)
        assert "Walker Comparison Report: pair" in "\n".join(lines(report.text))
        await pilot.press("escape")

        grid = "pause=0.02,0.03"
        await fill_in(app, pilot, "longs, slow", symbol="ETHUSDT, BTCUSDT", grid=grid)
        await until(pilot, lambda: len(app.host.snapshot.walkers) == 3)
        assert [view.symbol for view in app.host.snapshot.walkers] == [
            "BTCUSDT", "ETHUSDT", "BTCUSDT",
        ]  # fmt: skip
        assert [row.name for row in sorted(newest(app).rows, key=lambda row: row.place)] == [
            "longs(pause=0.02)", "longs(pause=0.03)", "slow(pause=0.02)",
            "slow(pause=0.03)",
        ]  # fmt: skip
        await until(pilot, lambda: screen.walkers.has_focus)
        for place in (1, 0):
            run_id = app.host.snapshot.walkers[place].run_id
            await until(pilot, lambda sought=run_id: screen.walkers.select(sought))
            await until(pilot, lambda: screen.reason("stop_run") == "")
            await pilot.press("x", "y")
            await until(pilot, lambda at=place: app.host.snapshot.walkers[at].status == "stopped")

        await pilot.press("n", "shift+tab", "right")
        await until(pilot, lambda: isinstance(app.screen, NewRunForm))
        form = app.screen
        assert isinstance(form, NewRunForm) and form.request().strategy_name == "trend"
        await pilot.press("enter")
        await until(
            pilot, lambda: (runs := app.host.snapshot.optimizers) and runs[0].status == "done"
        )
        await until(pilot, lambda: screen.optimizers.has_focus)
        module = Path(app.host.snapshot.optimizers[0].path)
        assert module.parent == tmp_path / "generated" and "buy low" in module.read_text()
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, TextScreen))
