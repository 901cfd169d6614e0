"""The daily ratios against empyrical-reloaded, on two hundred random runs."""

from __future__ import annotations

import importlib
import random
from math import isfinite
from typing import Any

import numpy as np
import pytest

from engine.domain.time import DAY, MINUTE
from engine.reports.statistics import drawdown_curve, summarise
from tests.reports.report_samples import SETTINGS, START, trade

pytestmark = pytest.mark.xdist_group("empyrical")


@pytest.fixture(scope="module")
def empyrical() -> Any:
    """Imported late, and by one process only: it takes seconds."""
    return importlib.import_module("empyrical.stats")


def random_run(seed: int):
    """Trades that do not overlap, some over midnight, in a frame of any length; and a market."""
    rng = random.Random(seed)
    start = START + rng.choice([0, rng.randrange(1440)]) * MINUTE
    length = rng.choice([0, 1, 2, 5, 30, 365, rng.randrange(1, 700)])
    end = start + length * DAY + rng.choice([0, 0, rng.randrange(1440)]) * MINUTE
    size = rng.choice([0.2, 2.0, 8.0])
    drift = rng.choice([-0.4, 0.0, 0.3])
    trades, at = [], start
    while rng.random() < 0.99 and len(trades) < 1500:
        opened = at + rng.randrange(0, 1 + rng.choice([60, 1440, 10_000])) * MINUTE
        if opened > end:
            break
        at = opened + rng.randrange(1, rng.choice([60, 1440, 4000])) * MINUTE
        result = max(-130.0, rng.gauss(drift, size))
        trades.append(trade(rng.choice([result, result, result, 0.0]), opened, at))
    # One run in twenty loses everything, one in ten only wins.
    if seed % 20 == 7 and trades:
        middle = len(trades) // 2
        old = trades[middle]
        trades[middle] = trade(-100.0, old.signal.pending_at, old.close_timestamp)
    if seed % 10 == 3:
        trades = [
            trade(abs(t.pnl.pnl_percentage), t.signal.pending_at, t.close_timestamp) for t in trades
        ]

    def mark(instant: int) -> float:
        return 100.0 * (1 + random.Random(seed * 1_000_003 + instant // DAY).gauss(0, size / 100))

    return trades, start, end, mark


def daily_returns(equity) -> np.ndarray:
    values = np.array([point.equity for point in equity])
    before, after = values[:-1], values[1:]
    return np.divide(after, before, out=np.ones_like(after), where=before > 0) - 1


def agree(ours: float | None, theirs: Any) -> None:
    if not isfinite(theirs):
        assert ours is None
    else:
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("seed", range(200))
def test_agrees_with_empyrical(empyrical, seed):
    trades, start, end, mark = random_run(seed)
    s, equity = summarise(trades, frame_start=start, frame_end=end, mark=mark, settings=SETTINGS)
    returns = daily_returns(equity)
    with np.errstate(all="ignore"):
        agree(s.daily_sharpe_ratio, empyrical.sharpe_ratio(returns, annualization=365))
        agree(s.sortino_ratio, empyrical.sortino_ratio(returns, annualization=365))
        growth = empyrical.cagr(returns, annualization=365)
        agree(None if s.cagr is None else s.cagr / 100, growth)
        agree(s.calmar_ratio, empyrical.calmar_ratio(returns, annualization=365))
        if not len(returns):
            assert (s.max_drawdown, s.total_return) == (0.0, 0.0)
            return
        assert s.max_drawdown / 100 == pytest.approx(-empyrical.max_drawdown(returns), abs=1e-9)
        final = empyrical.cum_returns_final(returns)
        assert s.total_return / 100 == pytest.approx(final, rel=1e-9, abs=1e-9)
        depths = [point.drawdown / 100 for point in drawdown_curve(equity)[1:]]
        assert depths == pytest.approx(list(-empyrical.drawdown_series(returns)), abs=1e-9)


def test_the_runs_cover_the_interesting_cases():
    seen = {"none": 0, "undefined": 0, "ruined": 0, "long": 0, "marked": 0, "compared": 0}
    for seed in range(200):
        trades, start, end, mark = random_run(seed)
        s, equity = summarise(
            trades, frame_start=start, frame_end=end, mark=mark, settings=SETTINGS
        )
        seen["none"] += not trades
        seen["undefined"] += s.sortino_ratio is None
        seen["ruined"] += equity[-1].equity == 0
        seen["long"] += len(equity) > 300
        seen["marked"] += any(
            t.signal.pending_at // DAY != t.close_timestamp // DAY for t in trades
        )
        seen["compared"] += None not in (
            s.daily_sharpe_ratio, s.sortino_ratio, s.cagr, s.calmar_ratio
        )  # fmt: skip
    assert seen["compared"] >= 100
    assert min(seen.values()) >= 5, seen
