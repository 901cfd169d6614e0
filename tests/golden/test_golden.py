"""Every golden case, both triggers, every field."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from engine import Backtest, Engine, listen_error, listen_partial_loss, listen_partial_profit
from engine.domain.errors import SignalValidationError
from tests.golden.cases import SYMBOL, case_ids, case_of, registered

TRADE_EXACT = ("position", "minute_estimated_time", "scheduled_at", "pending_at", "close_reason",
               "close_timestamp")  # fmt: skip
TRADE_CLOSE = ("price_open", "price_take_profit", "price_stop_loss", "price_close",
               "pnl_percentage")  # fmt: skip


def trade_fields(result: Any) -> dict[str, Any]:
    row = result.signal
    return {
        "position": str(row.position),
        "price_open": row.price_open,
        "price_take_profit": row.price_take_profit,
        "price_stop_loss": row.price_stop_loss,
        "minute_estimated_time": row.minute_estimated_time,
        "scheduled_at": row.scheduled_at,
        "pending_at": row.pending_at,
        "price_close": result.current_price,
        "close_reason": str(result.close_reason),
        "close_timestamp": result.close_timestamp,
        "pnl_percentage": result.pnl.pnl_percentage,
    }


def cancelled_fields(result: Any) -> dict[str, Any]:
    row = result.signal
    return {
        "position": str(row.position),
        "price_open": row.price_open,
        "scheduled_at": row.scheduled_at,
        "close_timestamp": result.close_timestamp,
        "cancel_reason": str(result.cancel_reason),
        "price": result.current_price,
    }


def same(ours: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert len(ours) == len(expected)
    for mine, theirs in zip(ours, expected, strict=True):
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            if isinstance(value, float):
                assert mine[name] == pytest.approx(value, rel=1e-9, abs=1e-12), (name, mine, theirs)
            else:
                assert mine[name] == value, (name, mine, theirs)


@pytest.mark.parametrize("trigger", ["vwap", "touch"])
@pytest.mark.parametrize("case_id", case_ids())
async def test_golden_case(case_id: str, trigger: str) -> None:
    case = case_of(case_id)
    expected = case["expected"][trigger]
    async with Engine() as engine:
        errors: list[Any] = []
        partials: list[Any] = []
        opened: list[int] = []
        scheduled: list[int] = []
        listen_error(errors.append)
        listen_partial_profit(partials.append)
        listen_partial_loss(partials.append)

        def transition(result: Any) -> None:
            if result.action == "opened":
                opened.append(result.when)
            elif result.action == "scheduled":
                scheduled.append(result.when)

        engine.bus.subscribe("signal", transition, transitions_only=True)
        with registered(case, engine, trigger) as script:
            results = [
                result
                async for result in Backtest.run(
                    SYMBOL, strategy_name="scripted", exchange_name="golden", frame_name="case",
                    include_cancelled=True,
                )
            ]  # fmt: skip
            statistics = await Backtest.get_data(SYMBOL, "scripted")
        await engine.bus.flush()
    same([trade_fields(r) for r in results if r.action == "closed"], expected["trades"])
    same([cancelled_fields(r) for r in results if r.action == "cancelled"], expected["cancelled"])
    assert opened == expected["opened"]
    assert scheduled == expected["scheduled"]
    made = [
        {"side": p.side, "level": p.level, "price": p.current_price, "timestamp": p.timestamp}
        for p in partials
    ]
    made.sort(key=lambda p: (p["timestamp"], p["side"], p["level"]))
    theirs = sorted(expected["partials"], key=lambda p: (p["timestamp"], p["side"], p["level"]))
    same(made, theirs)
    assert all(isinstance(error.cause, SignalValidationError) for error in errors)
    found = [(error.when, set(error.cause.codes)) for error in errors]
    assert found == [(error["when"], set(error["codes"])) for error in expected["errors"]]
    assert script.calls == expected["calls"]
    assert statistics.ambiguous_bars == expected["ambiguous"]
    assert statistics.swept_entries == expected["swept"]
    assert statistics.total_trades == expected["stats"]["total"]
    assert statistics.win_count == expected["stats"]["wins"]
    assert statistics.loss_count == expected["stats"]["losses"]
    assert statistics.total_pnl == pytest.approx(expected["stats"]["total_pnl"], rel=1e-9, abs=1e-9)
    assert statistics.win_rate == pytest.approx(expected["stats"]["win_rate"])
    assert Counter(r.action for r in results)["closed"] == statistics.total_trades
