"""Walkers in one process: order of events, ranking, stops and skips, and what they leave behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine import (
    AlreadyRegisteredError,
    Backtest,
    NotRegisteredError,
    RunStateError,
    SchemaError,
    Signal,
    Walker,
    add_strategy,
    add_walker,
    get_date,
    list_walkers,
    listen_done_walker,
    listen_done_walker_once,
    listen_error,
    listen_exit,
    listen_walker,
    listen_walker_complete,
    listen_walker_once,
    listen_walker_progress,
)
from engine.domain.walks import METRICS
from engine.reports.walker import walker_to_json
from tests.runs.bed import SYMBOL, Bed, bed, long, minute_of, path

RISING = [100 + 0.3 * minute for minute in range(90)]


def every(minutes: int, shift: int = 0) -> Any:
    """A strategy that goes long for some minutes, as often as it can from a minute on."""

    async def get_signal(symbol: str, when: Any) -> Signal | None:
        return long(minutes, tp=1000, sl=1) if minute_of(when) >= shift else None

    return get_signal


def walker(made: Bed, *names: str, **fields: Any) -> None:
    add_walker(
        **{"walker_name": "w", "exchange_name": "memory", "frame_name": "frame",
           "strategies": names, "metric": "total_pnl", **fields}
    )  # fmt: skip


def three(made: Bed) -> None:
    """Three strategies: the second earns most, the first and the third are alike."""
    made.strategy(every(3), "a")
    made.strategy(every(20), "b")
    made.strategy(every(3), "c")


@pytest.fixture
def rows() -> list[list[float]]:
    return path(RISING)


async def walked(**options: Any) -> list[Any]:
    return [event async for event in Walker.run(SYMBOL, walker_name="w", **options)]


async def test_two_strategies_two_events_and_everybody_hears_of_them(rows: Any) -> None:
    async with bed(rows, frame=(0, 60)) as made:
        three(made)
        walker(made, "a", "b")
        events: list[Any] = []
        progress: list[Any] = []
        complete: list[Any] = []
        done: list[Any] = []
        once: list[Any] = []
        listen_walker(events.append)
        listen_walker_progress(progress.append)
        listen_walker_complete(complete.append)
        listen_done_walker(done.append)
        listen_walker_once(lambda e: e.strategy_name == "b", once.append)
        yielded = await walked()
        await made.engine.bus.flush()
        assert yielded == events and [e.strategy_name for e in events] == ["a", "b"]
        assert once == events[1:]
        first, second = events
        assert (first.walker_name, first.symbol, first.exchange_name, first.frame_name) == (
            "w", SYMBOL, "memory", "frame",
        )  # fmt: skip
        assert first.stats.total_trades == 21 and first.metric_value == first.stats.total_pnl
        assert (first.best_strategy, second.best_strategy) == ("a", "b")
        assert second.best_metric == second.metric_value > first.metric_value
        assert [(e.strategies_tested, e.total_strategies) for e in events] == [(1, 2), (2, 2)]
        assert [(p.current_strategy, p.processed_strategies, p.progress) for p in progress] == [
            ("a", 1, 0.5), ("b", 2, 1.0),
        ]  # fmt: skip
        assert (progress[1].stats, progress[1].best_strategy) == (second.stats, "b")
        (end,) = complete
        assert (end.walker_name, end.total_strategies, end.best_strategy) == ("w", 2, "b")
        assert end.best_stats == second.stats and end.best_metric == second.metric_value
        assert [(d.strategy_name, d.backtest, d.symbol) for d in done] == [("w", True, SYMBOL)]
        assert made.heard["done_backtest"] == [] and made.errors() == []
        assert {p.strategy_name for p in made.heard["progress_backtest"]} == {"a", "b"}
        (listed,) = await Walker.list()
        assert set(listed) == {"id", "symbol", "walker_name", "status"}
        assert (listed["walker_name"], listed["status"]) == ("w", "done")
        assert await Backtest.list() == []


async def test_each_strategy_makes_the_trades_it_makes_alone(rows: Any) -> None:
    async with bed(rows, frame=(0, 60)) as made:
        three(made)
        walker(made, "a", "b", "c")
        await walked()
        data = await Walker.get_data(SYMBOL, "w")
        assert [s.strategy_name for s in data.strategies] == ["b", "a", "c"]
        for item in data.strategies:
            alone = await made.results(item.strategy_name)
            assert item.outcome is not None and list(item.outcome.trades) == alone
            figures = await Backtest.get_data(SYMBOL, item.strategy_name)
            assert item.stats is not None and item.stats.total_pnl == figures.total_pnl


async def test_the_order_of_callbacks_and_what_they_can_ask(rows: Any) -> None:
    said: list[Any] = []

    async def complete(name: str, symbol: str, stats: Any, value: float) -> None:
        await asyncio.sleep(0)
        assert value == stats.total_pnl and symbol == SYMBOL
        said.append(("complete", name))

    async def final(results: Any) -> None:
        data = await Walker.get_data(SYMBOL, "w")
        assert data == results
        assert (data.walker_name, data.metric, data.total_strategies) == ("w", "total_pnl", 2)
        said.append(("final", data.best_strategy))

    callbacks = {
        "on_strategy_start": lambda name, symbol: said.append(("start", name)),
        "on_strategy_complete": complete,
        "on_complete": final,
    }
    async with bed(rows, frame=(0, 60)) as made:
        three(made)
        walker(made, "a", "b", callbacks=callbacks)
        with pytest.raises(NotRegisteredError, match="run it first"):
            await Walker.get_data(SYMBOL, "w")
        listen_walker(lambda event: said.append(("event", event.strategy_name)))
        async for event in Walker.run(SYMBOL, walker_name="w"):
            await made.engine.bus.flush()
            said.append(("yield", event.strategy_name))
        assert made.errors() == []
    steps = ("start", "complete", "event", "yield")
    expected = [(step, name) for name in "ab" for step in steps]
    assert said == [*expected, ("final", "b")]


async def test_callbacks_that_fail_are_errors_and_change_nothing(rows: Any) -> None:
    def fails(*_: Any) -> None:
        raise ValueError("mine")

    names = ("on_strategy_start", "on_strategy_complete", "on_complete")
    async with bed(rows, frame=(0, 60)) as made:
        three(made)
        walker(made, "a", "b", callbacks={name: fails for name in names})
        assert len(await walked()) == 2
        await made.engine.bus.flush()
        assert made.errors() == ["ValueError: mine"] * 5
        assert {error.mode for error in made.heard["error"]} == {"walker"}


async def test_ties_keep_the_order_of_the_walker_and_the_best_never_gets_worse(rows: Any) -> None:
    async with bed(rows, frame=(0, 60)) as made:
        three(made)
        made.strategy(lambda s, w: None, "idle")
        walker(made, "idle", "c", "b", "a", metric="avg_pnl")
        events = await walked()
        assert [e.best_strategy for e in events] == [None, "c", "b", "b"]
        assert [e.metric_value is None for e in events] == [True, False, False, False]
        data = await Walker.get_data(SYMBOL, "w")
        assert [s.strategy_name for s in data.strategies] == ["b", "c", "a", "idle"]
        assert data.strategies[1].metric_value == data.strategies[2].metric_value
        by_count = await Walker.get_data(SYMBOL, "w", metric="total_pnl")
        assert (by_count.metric, by_count.best_strategy) == ("total_pnl", "b")
        assert by_count.strategies[-1].strategy_name == "idle", "0 is less than any gain here"
        for metric in METRICS:
            found = await Walker.get_data(SYMBOL, "w", metric=metric)
            values = [s.metric_value for s in found.strategies if s.metric_value is not None]
            assert values == sorted(values, reverse=True) and found.metric == metric
        with pytest.raises(SchemaError, match="'loss'"):
            await Walker.get_data(SYMBOL, "w", metric="loss")


async def test_without_any_value_there_is_no_winner(rows: Any) -> None:
    async with bed(rows, frame=(0, 60)) as made:
        made.strategy(lambda s, w: None, "idle")
        walker(made, "idle", metric="sharpe_ratio")
        complete: list[Any] = []
        listen_walker_complete(complete.append)
        (event,) = await walked()
        await made.engine.bus.flush()
        assert (event.metric_value, event.best_metric, event.best_strategy) == (None, None, None)
        assert (complete[0].best_strategy, complete[0].best_stats) == (None, None)
        report = await Walker.get_report(SYMBOL, "w")
        assert "## Best Strategy: none" in report and "| N/A | idle | N/A | 0 |" in report


async def test_a_strategy_that_fails_fails_alone_and_is_shown(rows: Any) -> None:
    failed: list[Any] = []

    shut = False

    def get_candles(symbol: str, interval: str, since: Any, limit: int) -> Any:
        if shut:
            raise ValueError("no rows for you")
        first = int(since.timestamp() * 1000)
        return [row for row in rows if row[0] >= first][:limit]

    def start(name: str, symbol: str) -> None:
        nonlocal shut
        shut = name == "first"

    callbacks = {
        "on_strategy_start": start,
        "on_strategy_error": lambda name, symbol, error: failed.append((name, symbol, str(error))),
    }
    async with bed(rows, frame=(0, 60), get_candles=get_candles) as made:
        three(made)
        made.strategy(every(3), "first")
        walker(made, "first", "a", "b", callbacks=callbacks)
        progress: list[Any] = []
        exits: list[Any] = []
        listen_walker_progress(progress.append)
        listen_exit(exits.append)
        events = await walked()
        await made.engine.bus.flush()
        assert [e.strategy_name for e in events] == ["a", "b"]
        (error,) = made.heard["error"]
        assert (error.stage, error.strategy_name) == ("walker", "first") and exits == []
        assert failed == [("first", SYMBOL, str(error))]
        assert [(p.processed_strategies, p.strategies_tested) for p in progress] == [
            (1, 0), (2, 1), (3, 2),
        ]  # fmt: skip
        data = await Walker.get_data(SYMBOL, "w")
        last = data.strategies[-1]
        assert (last.strategy_name, last.status) == ("first", "failed")
        assert "no rows for you" in last.error
        assert (data.strategies_tested, data.total_strategies) == (2, 3)
        report = await Walker.get_report(SYMBOL, "w")
        assert "**Strategies Tested:** 2 of 3" in report
        assert "| failed | first | N/A |" in report and "- first: " in report
        assert walker_to_json(data)["ranking"][-1]["error"] == last.error
        assert (await Walker.list())[0]["status"] == "done"


async def test_a_stop_ends_the_running_strategy_and_begins_no_other(rows: Any) -> None:
    started: list[str] = []
    stops: list[Any] = []

    async def stop(*_: Any) -> None:
        if len(started) == 2:
            stops.append(Walker.stop(SYMBOL, "w"))
            await stops[0]

    callbacks = {"on_strategy_start": lambda name, _: started.append(name)}
    async with bed(rows, frame=(0, 60)) as made:
        three(made)
        add_strategy(
            strategy_name="told", interval="1m", get_signal=every(3), callbacks={"on_close": stop}
        )
        walker(made, "a", "told", "b", callbacks=callbacks)
        progress: list[Any] = []
        complete: list[Any] = []
        listen_walker_progress(progress.append)
        listen_walker_complete(complete.append)
        events = await walked()
        await made.engine.bus.flush()
        assert [e.strategy_name for e in events] == ["a"] and started == ["a", "told"]
        assert [p.progress for p in progress] == [1 / 3, 2 / 3], "it is not said to be complete"
        assert [c.best_strategy for c in complete] == ["a"]
        assert len(made.heard["done_backtest"]) == 0
        data = await Walker.get_data(SYMBOL, "w")
        assert [(s.strategy_name, s.status) for s in data.strategies] == [
            ("a", "done"), ("told", "stopped"), ("b", "stopped"),
        ]  # fmt: skip
        cut = data.strategies[1].outcome
        assert data.stopped and cut is not None and len(cut.trades) == 1
        assert data.strategies[2].outcome is None
        instance = made.engine.group_runs.find_walker(SYMBOL, "w")
        assert instance.is_stopped and instance.is_done


async def test_a_stop_in_the_first_callback_and_another_walker_that_goes_on(rows: Any) -> None:
    callbacks = {"on_strategy_complete": lambda *_: Walker.stop(SYMBOL, "w")}
    async with bed(rows, frame=(0, 60)) as made:
        three(made)
        walker(made, "a", "b", "c", callbacks=callbacks)
        walker(made, "c", "b", walker_name="other")
        complete: dict[str, Any] = {}
        listen_walker_complete(lambda event: complete.update({event.walker_name: event}))
        finished = asyncio.Event()
        listen_done_walker_once(lambda d: d.strategy_name == "other", lambda _: finished.set())
        Walker.background(SYMBOL, walker_name="other")
        assert len(await walked()) == 1
        await finished.wait()
        assert complete["w"].strategies_tested == 1
        assert complete["other"].strategies_tested == 2
        statuses = {item["walker_name"]: item["status"] for item in await Walker.list()}
        assert statuses == {"w": "done", "other": "done"}


async def test_skipping_one_that_waits_and_one_that_runs(rows: Any) -> None:
    async def skip(*_: Any) -> None:
        await Walker.skip(SYMBOL, "w", "told")
        await Walker.skip(SYMBOL, "w", "b")

    async with bed(rows, frame=(0, 60)) as made:
        three(made)
        add_strategy(
            strategy_name="told", interval="1m", get_signal=every(3), callbacks={"on_close": skip}
        )
        walker(made, "a", "told", "b", "c")
        with pytest.raises(NotRegisteredError, match="run it first"):
            await Walker.skip(SYMBOL, "w", "a")
        progress: list[Any] = []
        listen_walker_progress(progress.append)
        events = await walked()
        await made.engine.bus.flush()
        assert [e.strategy_name for e in events] == ["a", "c"]
        # The second skip came from a callback that the first one's stop did not end.
        assert progress[-1].progress == 1.0 and len(progress) == 4
        data = await Walker.get_data(SYMBOL, "w")
        assert {s.strategy_name: s.status for s in data.strategies} == {
            "a": "done", "c": "done", "told": "skipped", "b": "skipped",
        }  # fmt: skip
        assert not data.stopped
        with pytest.raises(RunStateError, match="is done: there is nothing to skip"):
            await Walker.skip(SYMBOL, "w", "a")
        assert all(isinstance(e.cause, RunStateError) for e in made.heard["error"])


async def test_a_name_that_is_not_tried_cannot_be_skipped(rows: Any) -> None:
    refused: list[str] = []

    async def skip(name: str, symbol: str) -> None:
        for wrong in ("nobody", "a"):
            try:
                await Walker.skip(SYMBOL, "w", wrong)
            except RunStateError as error:
                refused.append(str(error))

    async with bed(rows, frame=(0, 60)) as made:
        three(made)
        walker(made, "a", "b", callbacks={"on_strategy_complete": lambda n, s, *_: skip(n, s)})
        await walked()
    assert "does not try 'nobody': it tries a, b" in refused[0]
    assert "a is done" in refused[1]


async def test_a_consumer_that_leaves_ends_the_walk_there(rows: Any) -> None:
    started: list[str] = []
    async with bed(rows, frame=(0, 60)) as made:
        three(made)
        walker(made, "a", "b", "c", callbacks={"on_strategy_start": lambda n, _: started.append(n)})
        done: list[Any] = []
        complete: list[Any] = []
        listen_done_walker(done.append)
        listen_walker_complete(complete.append)
        results = Walker.run(SYMBOL, walker_name="w")
        async for _ in results:
            break
        await results.aclose()
        await made.engine.bus.flush()
        assert started == ["a"] and len(done) == 1 and complete == []
        left = await Walker.get_data(SYMBOL, "w")
        assert [item.status for item in left.strategies] == ["done", "stopped", "stopped"]
        assert left.stopped, "nothing runs any more, and the report says so"
        assert len(await walked()) == 3, "the next run starts anew"


async def test_a_new_run_starts_from_nothing_and_a_second_at_a_time_is_refused(rows: Any) -> None:
    async with bed(rows, frame=(0, 60)) as made:
        three(made)
        walker(made, "a", "b")
        first, second = await walked(), await walked()
        assert first == second
        data = await Walker.get_data(SYMBOL, "w")
        assert len(data.strategies) == 2
        stop = Walker.background(SYMBOL, walker_name="w")
        with pytest.raises(RunStateError, match="already running"):
            await walked()
        stop()
        instance = made.engine.group_runs.find_walker(SYMBOL, "w")
        await instance.wait()
        assert instance.is_stopped
        with pytest.raises(RunStateError, match="no strategy has ended"):
            Walker.background(SYMBOL, walker_name="w")
            await Walker.get_data(SYMBOL, "w")
        await instance.wait()


async def test_background_says_done_once_with_the_walkers_name(rows: Any) -> None:
    async with bed(rows, frame=(0, 60)) as made:
        three(made)
        walker(made, "a", "b")
        done: list[Any] = []
        listen_done_walker(done.append)
        Walker.background(SYMBOL, walker_name="w")
        assert (await Walker.list())[0]["status"] == "running"
        await made.engine.group_runs.find_walker(SYMBOL, "w").wait()
        await made.engine.bus.flush()
        assert [(d.strategy_name, d.backtest) for d in done] == [("w", True)]
        assert made.heard["done_backtest"] == []


async def test_a_grid_over_parameters(rows: Any) -> None:
    asked: set[tuple[str, int, int]] = set()

    async def get_signal(symbol: str, when: Any, *, hold: int, shift: int = 0) -> Signal | None:
        asked.add((symbol, hold, shift))
        return long(hold, tp=1000, sl=1) if minute_of(get_date()) >= shift else None

    async def plain(symbol: str, when: Any) -> Signal | None:
        return long(7, tp=1000, sl=1)

    async with bed(rows, frame=(0, 60)) as made:
        made.strategy(get_signal, "swept", params={"hold": 1})
        made.strategy(plain, "plain")
        walker(made, "swept", "plain", grid={"hold": [3, 20], "shift": (0, 30)})
        events = await walked()
        assert [e.strategy_name for e in events] == [
            "swept(hold=3, shift=0)", "swept(hold=3, shift=30)", "swept(hold=20, shift=0)",
            "swept(hold=20, shift=30)", "plain",
        ]  # fmt: skip
        assert asked == {(SYMBOL, hold, shift) for hold in (3, 20) for shift in (0, 30)}
        data = await Walker.get_data(SYMBOL, "w")
        assert data.best_strategy == "swept(hold=20, shift=0)"
        assert data.strategies[0].params == {"hold": 20, "shift": 0}
        made.strategy(every(20), "as fixed")
        alone = await made.results("as fixed")
        assert data.strategies[0].outcome is not None
        facts = [(t.signal.pending_at, t.close_timestamp, t.pnl) for t in alone]
        assert facts == [
            (t.signal.pending_at, t.close_timestamp, t.pnl)
            for t in data.strategies[0].outcome.trades
        ]
        for grid, words in (
            ({"speed": [1]}, "speed, which none of swept, plain takes"),
            ({"hold": [3, 3]}, "more than once"),
            ({"symbol": ["X"]}, "symbol, which none of swept, plain takes"),
            ({"hold": range(200), "shift": range(200)}, "40000 combinations"),
        ):
            walker(made, "swept", "plain", walker_name=words, grid=grid)
            with pytest.raises(SchemaError, match=words):
                Walker.run(SYMBOL, walker_name=words)


async def test_what_one_puts_into_its_parameters_is_not_there_for_the_next(rows: Any) -> None:
    async def get_signal(symbol: str, when: Any, memo: list[Any], **more: Any) -> Signal | None:
        memo.append(when)
        return long(len(memo), tp=1000, sl=1)

    class Silent:
        def __repr__(self) -> str:
            raise ValueError("no name")

    async with bed(rows, frame=(0, 60)) as made:
        made.strategy(get_signal, "swept", params={"memo": []})
        walker(made, "swept", grid={"other": [1, Silent()], "symbol2": [1]})
        first, second = await walked()
        assert first.stats == second.stats
        assert second.strategy_name == "swept(other=<Silent>, symbol2=1)"
        assert await walked() == [first, second]


async def test_several_symbols_have_results_of_their_own(rows: Any) -> None:
    def get_candles(symbol: str, interval: str, since: Any, limit: int) -> Any:
        first = int(since.timestamp() * 1000)
        found = [row for row in rows if row[0] >= first][:limit]
        if symbol == "DOWN":
            found = [[r[0], *(210 - p for p in (r[1], r[3], r[2], r[4])), r[5]] for r in found]
        return found

    async with bed(rows, frame=(0, 60), get_candles=get_candles) as made:
        three(made)
        walker(made, "a", "b", symbols=["UP", "DOWN"])
        events = [event async for event in Walker.run(walker_name="w")]
        assert [(e.symbol, e.strategy_name) for e in events] == [
            ("UP", "a"), ("UP", "b"), ("DOWN", "a"), ("DOWN", "b"),
        ]  # fmt: skip
        up, down = [await Walker.get_data(symbol, "w") for symbol in ("UP", "DOWN")]
        assert (up.best_strategy, down.best_strategy) == ("b", "b")
        assert up.best_metric is not None and down.best_metric is not None
        assert up.best_metric > 0 > down.best_metric
        assert [item["symbol"] for item in await Walker.list()] == ["UP", "DOWN"]
        complete: list[Any] = []
        listen_walker_complete(complete.append)
        Walker.background(walker_name="w")
        for symbol in ("UP", "DOWN"):
            await made.engine.group_runs.find_walker(symbol, "w").wait()
        await made.engine.bus.flush()
        assert {c.symbol for c in complete} == {"UP", "DOWN"}
        walker(made, "a", walker_name="nowhere")
        with pytest.raises(SchemaError, match="names no symbols"):
            Walker.run(walker_name="nowhere")


async def test_the_report(rows: Any, tmp_path: Path) -> None:
    async with bed(rows, frame=(0, 60)) as made:
        three(made)
        walker(made, "a", "b", "c")
        await walked()
        data = await Walker.get_data(SYMBOL, "w")
        text = await Walker.get_report(SYMBOL, "w")
        assert text.startswith("# Walker Comparison Report: w\n")
        for line in (
            f"- **Symbol:** {SYMBOL}",
            "- **Exchange:** memory",
            "- **Date Range:** 2024-01-01 00:00 UTC to 2024-01-01 01:00 UTC",
            "- **Optimization Metric:** total_pnl",
            "- **Strategies Tested:** 3 of 3",
            "## Best Strategy: b",
            f"- **Best total_pnl:** {data.best_metric:.2f}",
            "- **Total Signals:** 4",
            "| Rank | Strategy | Metric | Total Signals | Win Rate | Avg PNL | Total PNL "
            "| Sharpe Ratio | Std Dev |",
            "| Strategy | Signal ID | Symbol | Position | PNL (net) | Close Reason | Open Time "
            "| Close Time |",
        ):
            assert f"{line}\n" in text, line
        assert text.count("(best)") == 1 and "| 1 (best) | b | " in text
        assert [text.count(f"### {name}\n") for name in "abc"] == [1, 1, 1]
        trades = sum(len(s.outcome.trades) for s in data.strategies if s.outcome)
        assert text.count(" | take_profit | ") + text.count(" | time_expired | ") == trades
        columns = [{"key": "n", "label": "Name", "format": lambda row, at: row.strategy_name,
                    "is_visible": lambda: True}]  # fmt: skip
        short = await Walker.get_report(SYMBOL, "w", columns, columns)  # type: ignore[arg-type]
        assert "| Name |" in short and "Sharpe" not in short
        target = await Walker.dump(SYMBOL, "w", tmp_path / "{name}-{symbol}.md")
        assert target == tmp_path / f"w-{SYMBOL}.md"
        assert target.read_text(encoding="utf-8") == text
        ranking = walker_to_json(data)["ranking"]
        assert [(r["rank"], r["strategy_name"], r["best"]) for r in ranking] == [
            (1, "b", True), (2, "a", False), (3, "c", False),
        ]  # fmt: skip
        assert ranking[0]["statistics"]["total_signals"] == 4


BAD = {
    "no strategies": ({"strategies": []}, "strategies is \\[\\]: .*at least one"),
    "twice": ({"strategies": ["a", "a"]}, "holds a name twice"),
    "metric": ({"metric": "luck"}, "metric is 'luck': must be one of sharpe_ratio"),
    "grid": ({"grid": {"x": []}}, "x must be a list of at least one value"),
    "grid kind": ({"grid": [1]}, "must map a parameter's name"),
    "grid name": ({"grid": {"no name": [1]}}, "no parameter's name"),
    "callback": ({"callbacks": {"on_end": print}}, "on_end unknown"),
    "field": ({"frames": "x"}, "frames is not a field"),
    "missing": ({"exchange_name": None}, "exchange_name is None"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_schema_that_cannot_be_used_leaves_its_name_free(name: str) -> None:
    fields, words = BAD[name]
    async with bed() as made:
        with pytest.raises(SchemaError, match=words):
            walker(made, "a", **fields)
        assert list_walkers() == []
        walker(made, "a", note="mine")
        assert [item.note for item in list_walkers()] == ["mine"]
        with pytest.raises(AlreadyRegisteredError, match="walker 'w' already exists"):
            walker(made, "a")


async def test_what_is_missing_is_said_at_once(rows: Any) -> None:
    async with bed(rows) as made:
        made.strategy(every(3), "risky", risk_name="nowhere")
        made.strategy(every(3), "fine")
        for fields, words in (
            ({"strategies": ["gone"]}, "strategy 'gone' not found"),
            ({"strategies": ["risky"]}, "risk 'nowhere' not found"),
            ({"strategies": ["fine"], "exchange_name": "gone"}, "exchange 'gone' not found"),
            ({"strategies": ["fine"], "frame_name": "gone"}, "frame 'gone' not found"),
        ):
            walker(made, walker_name=words, **{"strategies": ["fine"], **fields})
            for start in (Walker.run, Walker.background):
                with pytest.raises(NotRegisteredError, match=words):
                    start(SYMBOL, walker_name=words)
        with pytest.raises(NotRegisteredError, match="walker 'none' not found"):
            Walker.run(SYMBOL, walker_name="none")


async def test_strategies_have_no_risk_in_common(rows: Any) -> None:
    """Each is tested as if it were alone, however the walker's other strategies hold slots."""
    from engine import add_risk

    def one(check: Any) -> None:
        if check.active_position_count >= 1:
            raise ValueError("one at a time")

    async with bed(rows, frame=(0, 60)) as made:
        add_risk(risk_name="one", validations=[one])
        for name in "ab":
            made.strategy(every(1000), name, risk_name="one")
        walker(made, "a", "b")
        await walked()
        data = await Walker.get_data(SYMBOL, "w")
        outcomes = [item.outcome for item in data.strategies]
        assert [len(o.trades) for o in outcomes if o] == [1, 1]
        first, second = (
            replace(o.trades[0].signal, id="", strategy_name="") for o in outcomes if o
        )
        assert first == second


async def test_errors_of_a_strategy_that_goes_on_are_events_of_its_own(rows: Any) -> None:
    def fails(symbol: str, when: Any) -> None:
        raise ValueError("each time")

    async with bed(rows, frame=(0, 4)) as made:
        made.strategy(fails, "noisy")
        walker(made, "noisy")
        errors: list[Any] = []
        listen_error(errors.append)
        await walked()
        await made.engine.bus.flush()
        assert len(errors) == 5 and {e.stage for e in errors} == {"get_signal"}
        (item,) = (await Walker.get_data(SYMBOL, "w")).strategies
        assert item.status == "done" and item.outcome is not None
        assert item.outcome.counts.errors == 5
