from __future__ import annotations

from console.views import Catalog, ExchangeItem, StrategyItem
from screens.candidates import (
    Candidate,
    date_presets,
    default_request,
    exchange_candidates,
    matching,
    strategy_candidates,
)
from screens.sample import CATALOG, NOW

DAY = 86_400_000


def test_broken_strategies_come_last_and_foreign_text_is_cleaned() -> None:
    items = (
        StrategyItem("bad.py", error="bad.py:1:\x1b[31m SyntaxError"),
        StrategyItem("zeta", "1m", "line\none"),
        StrategyItem("alpha"),
    )
    found = strategy_candidates(Catalog(items))
    assert [c.name for c in found] == ["alpha", "zeta", "bad.py"]
    assert found[1].note == "1m line one" and found[1].fills == (("strategy_name", "zeta"),)
    assert found[2].error == "bad.py:1: [31m SyntaxError"


def test_recorded_bars_serve_backtests_alone() -> None:
    assert [bool(c.error) for c in exchange_candidates(CATALOG, "live")] == [False, True]
    assert not any(c.error for c in exchange_candidates(CATALOG, "backtest"))


def test_matching_ignores_case_and_shows_all_for_an_exact_name() -> None:
    found = tuple(Candidate(name) for name in ("BTCUSDT", "ETHUSDT", "ETHBTC"))
    assert [c.name for c in matching(found, "eth")] == ["ETHUSDT", "ETHBTC"]
    assert matching(found, "ethusdt") == found and matching(found, "") == found
    assert matching(found, "[") == ()


def test_presets_end_today_or_with_the_history() -> None:
    today = [c.name for c in date_presets(None, NOW)]
    assert today == ["last 7 days", "last 30 days", "last 90 days"]
    first = dict(date_presets(None, NOW)[0].fills)
    assert first == {"start": "2024-02-27", "end": "2024-03-05"}
    start = NOW - NOW % DAY - 100 * DAY
    short = date_presets((start, start + 10 * DAY + 60_000), NOW)
    assert [c.name for c in short] == ["last 7 days", "whole history"]
    assert dict(short[1].fills) == {"start": "2023-11-26", "end": "2023-12-06T00:01"}


def test_the_form_opens_with_something_that_can_run() -> None:
    request = default_request("live", CATALOG, NOW, None)
    assert (request.strategy_name, request.exchange_name) == ("sma-cross", "simulated")
    nothing = default_request("backtest", Catalog(), NOW, None)
    assert (nothing.strategy_name, nothing.exchange_name, nothing.symbol) == ("", "", "")
    broken = Catalog((StrategyItem("x", error="e"),), (ExchangeItem("files", live=False),))
    request = default_request("live", broken, NOW, None)
    assert (request.strategy_name, request.exchange_name) == ("", "")
