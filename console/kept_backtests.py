"""Finished backtests on their way into the state file and back."""

from __future__ import annotations

import zlib
from dataclasses import asdict
from typing import Final

from pydantic import TypeAdapter

from console.kept_runs import REQUEST, packed, reading
from console.views import BacktestView, RunRequest
from engine.domain.changes import FinishedSaved
from engine.domain.outcome import BacktestOutcome

KIND: Final = "backtest"
"""Kind of these in the state file."""

_OUTCOME: Final[TypeAdapter[BacktestOutcome]] = TypeAdapter(BacktestOutcome)
_SUMMARY: Final = ("status", "progress", "trades", "candles_per_second", "started_at", "error")


def kept(request: RunRequest, view: BacktestView, when: int) -> FinishedSaved:
    """What is stored of an ended backtest."""
    summary = {name: getattr(view, name) for name in _SUMMARY}
    summary["request"] = asdict(request)
    payload = b"" if view.outcome is None else packed(_OUTCOME.dump_json(view.outcome))
    return FinishedSaved(KIND, view.run_id, when, summary, payload)


def recalled(saved: FinishedSaved, frame: tuple[int, int]) -> tuple[RunRequest, BacktestView]:
    """The request and the view of a stored backtest.

    Args:
        saved: what was stored.
        frame: bounds for one that ended without an outcome, ms UTC.

    Raises:
        StateError: it was stored by another version, or is damaged.
    """
    with reading(saved):
        summary = dict(saved.summary)
        request = REQUEST.validate_python(summary.pop("request"))
        text = zlib.decompress(saved.payload) if saved.payload else b""
        outcome = _OUTCOME.validate_json(text) if text else None
        start, end = (outcome.frame_start, outcome.frame_end) if outcome else frame
        view = BacktestView(
            run_id=saved.run_id,
            strategy_name=request.strategy_name,
            symbol=request.symbol,
            exchange_name=request.exchange_name,
            frame_interval=request.interval,
            frame_start=start,
            frame_end=end,
            outcome=outcome,
            **{name: summary[name] for name in _SUMMARY},
        )
    return request, view
