from __future__ import annotations

from typing import Any

from engine import Backtest, Heat, Partial
from engine.runs.outcome import outcome_of
from engine.runs.resting import BARS_KEPT
from tests.runs.bed import SYMBOL, bed
from tests.runs.wavy import waves, wavy


async def test_older_backtests_give_up_their_bars_and_no_report_tells() -> None:
    async def told(name: str) -> list[Any]:
        execution: Any = made.instance(name).execution
        return [
            await Backtest.get_data(SYMBOL, name),
            await Backtest.get_report(SYMBOL, name),
            await Partial.get_data(SYMBOL, name),
            outcome_of(execution),
        ]

    rows = waves(9)
    del rows[40]  # a minute that is filled
    async with bed(rows, frame=(0, 179), topics=()) as made:
        names = [f"run {number}" for number in range(BARS_KEPT + 2)]
        before: dict[str, list[Any]] = {}
        for name in names:
            made.strategy(wavy, name)
            await made.results(name)
            before[name] = await told(name)
        heat = await Heat.get_data(names[0])
        executions: list[Any] = [made.instance(name).execution for name in names]
        kept = [execution.market.known(SYMBOL) is not None for execution in executions]
        assert kept == [False] * 2 + [True] * BARS_KEPT
        for name in names:
            assert await told(name) == before[name]
        outcome = before[names[0]][-1]
        assert outcome.counts.filled and outcome.data_hash and outcome.trades
        assert before[names[0]][2].total_profit > 0 and heat == await Heat.get_data(names[0])
