"""The reporting classes over real runs: backtests, live runs, and live runs that were restarted."""

from __future__ import annotations

import asyncio
from datetime import datetime
from math import fsum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from engine import (
    Backtest,
    Column,
    Constant,
    Engine,
    EngineError,
    Heat,
    Live,
    NotRegisteredError,
    Partial,
    Performance,
    Portfolio,
    Risk,
    RunStateError,
    Schedule,
    Signal,
    add_exchange,
    add_frame,
    add_risk,
    add_strategy,
    get_candles,
)
from engine.domain.time import DAY, from_ms
from engine.services.journal import SHOWN
from tests.runs.bed import (
    MINUTE,
    RELAXED,
    SYMBOL,
    T0,
    bed,
    flat,
    long,
    minute_of,
    path,
)
from tests.runs.test_fast_forward import GRID, Case, cases
from tests.runs.wavy import refusing, waves, wavy, wavy_backtest

OF_A_RUN = (Schedule, Partial, Risk, Performance)


async def test_every_class_answers_for_a_backtest() -> None:
    async with bed(waves(9), frame=(0, 179), topics=()) as made:
        made.listen("signal", "risk", "partial_profit", "partial_loss", "error")
        results = await wavy_backtest(made)
        assert made.errors() == []
        closed = [r for r in results if r.action == "closed"]
        heard = made.heard["signal"]

        data = await Backtest.get_data(SYMBOL, "asked")
        assert data.total_signals == len(data.signal_list) == len(closed) > 3
        assert data.signal_list == tuple(reversed(closed))

        schedule = await Schedule.get_data(SYMBOL, "asked")
        lives = [
            r
            for r in heard
            if r.action in ("scheduled", "cancelled")
            or (r.action == "opened" and r.signal.pending_at != r.signal.scheduled_at)
        ]
        assert [e.action for e in reversed(schedule.event_list)] == [str(r.action) for r in lives]
        assert schedule.total_scheduled == 3 and schedule.total_opened == 3
        assert (schedule.cancellation_rate, schedule.activation_rate) == (0.0, 100.0)
        waits = [(r.when - r.signal.scheduled_at) // MINUTE for r in lives if r.action == "opened"]
        assert schedule.avg_activation_time == fsum(waits) / len(waits)
        assert schedule.undefined == {"avg_wait_time": "no scheduled signal was cancelled"}

        risk = await Risk.get_data(SYMBOL, "asked")
        assert risk.event_list == tuple(reversed(made.heard["risk"]))
        assert risk.total_rejections == len(risk.event_list) == 3
        assert sum(risk.by_symbol.values()) == sum(risk.by_strategy.values()) == 3
        assert {e.comment for e in risk.event_list} == {"not at fifty"}
        assert all(e.timestamp == e.pending_signal.scheduled_at for e in risk.event_list)

        partial = await Partial.get_data(SYMBOL, "asked")
        both = [*made.heard["partial_profit"], *made.heard["partial_loss"]]
        both.sort(key=lambda e: (e.timestamp, e.side, e.level))
        shown = sorted(partial.event_list, key=lambda e: (e.timestamp, e.action, e.level))
        assert [(e.timestamp, e.action, e.level, e.current_price, e.signal_id) for e in shown] == [
            (e.timestamp, e.side, e.level, e.current_price, e.data.id) for e in both
        ]
        assert partial.total_profit == len(made.heard["partial_profit"]) > 0
        assert partial.total_loss == len(made.heard["partial_loss"]) > 0
        assert {type(c).__name__ for c in await Schedule.list()} == {"dict"}
        for reporting in (*OF_A_RUN, Heat):
            assert await reporting.list() == await Backtest.list()


async def test_a_run_that_never_was_has_nothing_and_a_strategy_that_never_was_is_an_error() -> None:
    async with bed() as made:
        made.strategy(lambda s, w: None)
        partial = await Partial.get_data("UNKNOWN", "asked")
        assert (partial.total_events, partial.event_list) == (0, ())
        assert (await Schedule.get_data("UNKNOWN", "asked")).total_events == 0
        assert (await Risk.get_data("UNKNOWN", "asked")).by_symbol == {}
        assert (await Performance.get_data("UNKNOWN", "asked")).metric_stats == {}
        assert (await Heat.get_data("asked")).rows == ()
        for reporting in OF_A_RUN:
            assert (await reporting.get_report("UNKNOWN", "asked")).startswith("# ")
            with pytest.raises(NotRegisteredError, match="strategy 'nobody' not found"):
                await reporting.get_data(SYMBOL, "nobody")
        with pytest.raises(NotRegisteredError, match="'nobody'"):
            await Heat.get_report("nobody")
        instance = made.instance()
        assert instance.status == "idle"
        with pytest.raises(RunStateError, match="has not been started"):
            await Backtest.get_data(SYMBOL, "asked")


async def test_a_second_run_starts_all_reports_anew() -> None:
    async with bed(waves(9), frame=(0, 179), topics=()) as made:
        await wavy_backtest(made)

        async def figures() -> list[Any]:
            heat = await Heat.get_data("asked")
            performance = await Performance.get_data(SYMBOL, "asked")
            return [
                (await Backtest.get_data(SYMBOL, "asked")).total_signals,
                await Schedule.get_data(SYMBOL, "asked"), await Risk.get_data(SYMBOL, "asked"),
                await Partial.get_data(SYMBOL, "asked"), heat.rows, heat.equity,
                performance.total_events,
            ]  # fmt: skip

        first = await figures()
        assert first[0] > 0
        await made.results()
        assert await figures() == first


async def test_lists_are_bounded_and_statistics_are_not() -> None:
    minutes = 2 * SHOWN + 60
    async with bed(flat(-10, minutes + 10), frame=(0, minutes), topics=()) as made:
        add_risk(risk_name="never", validations=[lambda check: 1 / 0])
        made.strategy(lambda s, w: long(1))
        made.strategy(lambda s, w: long(1), name="refused", risk_name="never")
        trades = await made.results()
        await made.results("refused")
        assert len(trades) > 2 * SHOWN
        data = await Backtest.get_data(SYMBOL, "asked")
        assert (data.total_signals, len(data.signal_list)) == (len(trades), SHOWN)
        assert data.signal_list[0] == trades[-1]
        risk = await Risk.get_data(SYMBOL, "refused")
        assert risk.total_rejections == risk.by_symbol[SYMBOL] == minutes + 1
        assert (len(risk.event_list), risk.event_list[0].comment) == (SHOWN, "N/A")
        [row] = (await Heat.get_data("asked")).rows
        assert row.total_trades == len(trades)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(cases())
def test_milestones_worked_out_afterwards_are_those_that_were_published(case: Case) -> None:
    async def check() -> None:
        async def get_signal(symbol: str, when: datetime) -> Signal | None:
            plan = case.plans[minute_of(when) % len(case.plans)]
            if plan is None:
                return None
            close = (await get_candles(symbol, "1m", 1))[-1].close
            sign = 1 if plan.position == "long" else -1
            entry = close if plan.entry is None else close + plan.entry * GRID
            return Signal(
                plan.position, entry + sign * plan.target * GRID, entry - sign * plan.stop * GRID,
                plan.minutes, price_open=None if plan.entry is None else entry,
            )  # fmt: skip

        topics = ("partial_profit", "partial_loss")
        async with bed(
            case.rows, frame=case.frame, interval=case.interval, config=case.config, topics=topics
        ) as made:
            made.strategy(get_signal, interval=case.strategy_interval)
            await made.results()
            heard = [event for topic in topics for event in made.heard[topic]]
            heard.sort(key=lambda e: (e.timestamp, e.side, e.level))
            data = await Partial.get_data(SYMBOL, "asked")
            found = [
                (e.timestamp, e.action, e.level, e.signal_id, e.current_price)
                for e in sorted(data.event_list, key=lambda e: (e.timestamp, e.action, e.level))
            ]
            assert found == [
                (e.timestamp, e.side, e.level, e.data.id, e.current_price) for e in heard
            ]

    asyncio.run(check())


async def test_milestones_of_a_position_that_is_still_open() -> None:
    """Asked in the middle of a run: what the open position has reached counts."""
    seen: list[Any] = []

    async def on_partial(symbol: str, row: Any, price: float, percent: float, test: bool) -> None:
        seen.append(((await Partial.get_data(SYMBOL, "asked")).total_profit, percent))

    prices = [100.0] * 3 + [101 + n for n in range(20)]
    async with bed(path(prices), frame=(0, 1), topics=()) as made:
        callbacks = {"on_partial_profit": on_partial}
        made.strategy(lambda s, w: long(30, tp=112), callbacks=callbacks)
        await made.results()
    assert seen and all(total <= percent // 10 + 1 for total, percent in seen)
    assert seen[-1][0] >= 1


# -- heat ------------------------------------------------------------------------------------------


async def test_two_symbols_on_daily_frames_trade_every_day() -> None:
    def bars(symbol: str, interval: str, since: datetime, limit: int) -> Any:
        prices = {"BTCUSDT": 100.0, "ETHUSDT": 50.0}
        start = max(int(since.timestamp() * 1000), T0 - DAY)
        rows = range(start, min(start + limit * MINUTE, T0 + 2 * DAY), MINUTE)
        return [[at, *(4 * [prices[symbol]]), 1.0] for at in rows]

    async with Engine() as engine:
        engine.configure(RELAXED, unsafe=True)
        add_exchange(exchange_name="memory", get_candles=bars, intervals=("1m",))
        add_frame(
            frame_name="days", interval="1d", start_date=from_ms(T0), end_date=from_ms(T0 + DAY)
        )

        @add_strategy(strategy_name="daily", interval="1h")
        async def daily(symbol: str, when: datetime) -> Signal:
            price = (await get_candles(symbol, "1m", 1))[-1].close
            return Signal("long", price * 1.1, price * 0.9, 60)

        where = {"strategy_name": "daily", "exchange_name": "memory", "frame_name": "days"}
        for symbol in ("BTCUSDT", "ETHUSDT"):
            assert len([trade async for trade in Backtest.run(symbol, **where)]) == 2
        data = await Heat.get_data("daily")
        assert (data.total_symbols, data.portfolio_total_trades) == (2, 4)
        assert {row.symbol for row in data.rows} == {"BTCUSDT", "ETHUSDT"}
        header = next(r for r in (await Heat.get_report("daily")).splitlines() if r[0:1] == "|")
        assert len(header.split(" | ")) == 12


async def test_modes_and_frames_are_never_mixed() -> None:
    async with bed(waves(9), frame=(0, 179), live=True, topics=()) as made:
        made.strategy(wavy)
        await made.until(100)
        made.instance().start()
        await made.until(110)
        live = await Heat.get_data("asked")
        assert live.total_symbols == 1
        add_frame(frame_name="f2", interval="1m", start_date=from_ms(T0), end_date=from_ms(T0))
        for frame in ("frame", "f2"):
            made.engine.backtest(
                SYMBOL, strategy_name="asked", exchange_name="memory", frame_name=frame
            ).start()
        await made.until(111)
        with pytest.raises(EngineError, match=r"several runs match.*live asked.*backtest asked"):
            await Heat.get_data("asked")
        with pytest.raises(EngineError, match="several runs match"):
            await Heat.get_data("asked", mode="backtest")
        assert (await Heat.get_data("asked", mode="backtest", frame_name="f2")).total_symbols == 1
        assert (await Heat.get_data("asked", mode="live")).total_symbols == 1
        with pytest.raises(EngineError, match="several runs match"):
            await Schedule.get_data(SYMBOL, "asked")
        assert (await Schedule.get_data(SYMBOL, "asked", mode="live")).total_scheduled == 1
        whole = await Schedule.get_data(SYMBOL, "asked", frame_name="frame")
        assert whole.total_scheduled > 0
        with pytest.raises(EngineError, match="mode is 'paper': must be one of backtest"):
            await Risk.get_data(SYMBOL, "asked", mode="paper")


async def test_members_of_a_portfolio_are_reported_like_backtests() -> None:
    async with bed(waves(9), frame=(0, 179), topics=("risk",)) as made:
        where = {"exchange_name": "memory", "frame_name": "frame"}
        add_risk(risk_name="r", validations=[{"validate": refusing, "note": "not at fifty"}])
        made.strategy(wavy, risk_name="r")
        members = [("BTCUSDT", "asked"), ("ETHUSDT", "asked")]
        trades = [trade async for trade in Portfolio.run(members, **where)]
        assert len(trades) > 4
        await made.engine.bus.flush()
        heat = await Heat.get_data("asked")
        whole = await Portfolio.get_data(members)
        assert heat.portfolio_total_trades == len(trades)
        assert (heat.total_symbols, heat.equity) == (2, whole.equity)
        assert heat.portfolio_max_drawdown == whole.statistics.max_drawdown
        for symbol in ("BTCUSDT", "ETHUSDT"):
            own = [event for event in made.heard["risk"] if event.symbol == symbol]
            assert (await Risk.get_data(symbol, "asked")).event_list == tuple(reversed(own))
            assert (await Partial.get_data(symbol, "asked")).total_profit > 0
            timings = await Performance.get_data(symbol, "asked")
            assert timings.metric_stats["backtest_total"].count == 1
        # The same strategy by itself is another run.
        await made.results()
        with pytest.raises(EngineError, match="several runs match"):
            await Risk.get_data(SYMBOL, "asked")
        alone = await Risk.get_data(SYMBOL, "asked", mode="backtest")
        assert alone.total_rejections == 3
        assert (await Heat.get_data("asked", mode="backtest")).total_symbols == 1
        assert (await Heat.get_data("asked", mode="portfolio")).rows == heat.rows
        assert len(await Heat.list()) == 3


# -- files and columns -----------------------------------------------------------------------------


async def test_default_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with bed(frame=(0, 3), topics=()) as made:
        made.strategy(lambda s, w: None)
        await made.results()
        wrote = [
            await Backtest.dump(SYMBOL, "asked"), await Schedule.dump(SYMBOL, "asked"),
            await Partial.dump(SYMBOL, "asked"), await Risk.dump(SYMBOL, "asked"),
            await Performance.dump(SYMBOL, "asked"), await Heat.dump("asked"),
        ]  # fmt: skip
    assert [str(file.relative_to(tmp_path)) for file in wrote] == [
        "dump/backtest/asked.md", "dump/schedule/asked.md", "dump/partial/BTCUSDT_asked.md",
        "dump/risk/BTCUSDT_asked.md", "dump/performance/asked.md", "dump/heatmap/asked.md",
    ]  # fmt: skip
    assert all(file.read_text(encoding="utf-8").startswith("# ") for file in wrote)
    async with bed(live=True, topics=()) as made:
        made.strategy(lambda s, w: None)
        made.instance().start()
        await made.until(1)
        assert await Live.dump(SYMBOL, "asked") == tmp_path / "dump/live/asked.md"


async def test_any_path_with_placeholders(tmp_path: Path) -> None:
    async with bed(frame=(0, 3), topics=()) as made:
        made.strategy(lambda s, w: None)
        await made.results()
        template = tmp_path / "{mode}" / "{exchange}-{frame}" / "{symbol}_{name}.md"
        for reporting in (Backtest, *OF_A_RUN):
            file = await reporting.dump(SYMBOL, "asked", template)
            assert file == tmp_path / "backtest/memory-frame/BTCUSDT_asked.md"
        file = await Heat.dump("asked", template)
        assert file == tmp_path / "backtest/memory-frame/BTCUSDT_asked.md"
        assert file.read_text().startswith("# Portfolio Heatmap: asked")
        assert await Risk.dump(SYMBOL, "asked", tmp_path / "r") == tmp_path / "r/BTCUSDT_asked.md"
        assert await Heat.dump("asked", tmp_path / "h") == tmp_path / "h/asked.md"
        with pytest.raises(EngineError, match=r"\{day\}"):
            await Schedule.dump(SYMBOL, "asked", tmp_path / "{day}.md")
        (tmp_path / "file").write_text("")
        with pytest.raises(EngineError, match="could not be written"):
            await Schedule.dump(SYMBOL, "asked", tmp_path / "file" / "x.md")


async def test_columns_of_one_call_replace_the_defaults(tmp_path: Path) -> None:
    async def later(row: Any, index: int) -> str:
        await asyncio.sleep(0)
        return f"{index}|{row.signal.id[-2:]}"

    async def hidden() -> bool:
        return False

    async with bed(flat(-10, 60), frame=(0, 8), topics=()) as made:
        made.strategy(lambda s, w: long(3))
        await made.results()
        mine: list[Any] = [
            {"key": "a", "label": "A", "format": later, "is_visible": lambda: True},
            Column[Any]("b", "B", lambda row, index: str(index), lambda: True),
            Column[Any]("c", "C", lambda row, index: "never", hidden),
            {"key": "d", "label": "D", "format": lambda r, i: "x", "is_visible": lambda: True},
        ]
        text = await Backtest.get_report(SYMBOL, "asked", mine)
        table = [line for line in text.splitlines() if line.startswith("|")][:5]
        assert table[:2] == ["| A | B | D |", "| --- | --- | --- |"]
        assert table[2:] == ["| 0\\|03 | 0 | x |", "| 1\\|02 | 1 | x |", "| 2\\|01 | 2 | x |"]
        file = await Backtest.dump(SYMBOL, "asked", tmp_path, mine)
        assert file == tmp_path / "asked.md" and "| A | B | D |" in file.read_text()
        heat = await Heat.get_report("asked", [mine[1]])
        assert "| B |\n| --- |\n| 0 |" in heat
        for reporting in OF_A_RUN:
            assert "Signal ID" not in await reporting.get_report(SYMBOL, "asked", [mine[1]])
        broken = [{"key": "a", "label": "A", "format": lambda r, i: r.x, "is_visible": hidden}]
        assert "| A |" not in await Backtest.get_report(SYMBOL, "asked", broken)
        broken[0]["is_visible"] = lambda: True
        with pytest.raises(EngineError, match="column 'a' could not format row 0: AttributeError"):
            await Backtest.get_report(SYMBOL, "asked", broken)


def test_constants() -> None:
    found = (Constant.TP_LEVEL1, Constant.TP_LEVEL2, Constant.TP_LEVEL3)
    assert (*found, Constant.SL_LEVEL1, Constant.SL_LEVEL2) == (30, 60, 90, 40, 80)


async def test_the_example_of_the_documentation(tmp_path: Path, capsys: Any) -> None:
    text = (Path(__file__).parents[2] / "docs" / "reports.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "reports.md", "exec"), names)
    await names["main"](str(tmp_path))
    assert (tmp_path / "backtest" / "BTCUSDT-dip.md").exists()
    win_rate, activation_rate, _, *report = capsys.readouterr().out.splitlines()
    assert 0 <= float(win_rate) <= 100 and 0 < float(activation_rate) <= 100
    assert "| Market |" in report and "| ETHUSDT |" in report
