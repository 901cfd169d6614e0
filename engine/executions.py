"""The execution classes: what starts, stops and reports runs of the current engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from engine.domain.errors import RunStateError
from engine.domain.outcome import BacktestOutcome, BacktestStatistics
from engine.domain.signals import Action, Closed, Mode
from engine.reports.backtest import backtest_report
from engine.reports.columns import Column
from engine.reports.markdown import dump_report, report_path
from engine.runs.backtest import BacktestExecution
from engine.runs.instance import Instance, Results
from engine.runs.outcome import outcome_of
from engine.runtime import current_engine


def _summary(instances: Sequence[Instance]) -> list[dict[str, str]]:
    return [
        {
            "id": item.id,
            "symbol": item.key.symbol,
            "strategy_name": item.key.strategy_name,
            "status": item.status,
        }
        for item in instances
    ]


class Backtest:
    """Runs strategies over history."""

    @staticmethod
    def run(
        symbol: str,
        *,
        strategy_name: str,
        exchange_name: str,
        frame_name: str,
        include_cancelled: bool = False,
    ) -> Results:
        """Run and iterate over closed results (and cancelled ones if asked).

        Leaving the iteration ends the run.

        Raises:
            NotRegisteredError: at once, naming what is missing.
            RunStateError: this key is running already.
            EngineError: while iterating, when the data cannot be used.
        """
        instance = current_engine().backtest(
            symbol, strategy_name=strategy_name, exchange_name=exchange_name, frame_name=frame_name
        )
        wanted = {Action.CLOSED, Action.CANCELLED} if include_cancelled else {Action.CLOSED}
        return instance.results(lambda result: result.action in wanted)

    @staticmethod
    def background(
        symbol: str,
        *,
        strategy_name: str,
        exchange_name: str,
        frame_name: str,
        include_cancelled: bool = False,
    ) -> Callable[[], None]:
        """Run as a task; the returned plain function stops it gracefully.

        ``include_cancelled`` is taken so that both forms share their arguments; a background run
        yields nothing, listeners hear of everything.

        Raises:
            NotRegisteredError: at once, naming what is missing.
        """
        instance = current_engine().backtest(
            symbol, strategy_name=strategy_name, exchange_name=exchange_name, frame_name=frame_name
        )
        instance.start()
        return instance.stop

    @staticmethod
    async def stop(
        symbol: str,
        strategy_name: str,
        *,
        exchange_name: str | None = None,
        frame_name: str | None = None,
    ) -> None:
        """No new signals; what is open is followed to its close, then the run ends."""
        _find(Mode.BACKTEST, symbol, strategy_name, exchange_name, frame_name).stop()

    @staticmethod
    async def get_data(
        symbol: str,
        strategy_name: str,
        *,
        exchange_name: str | None = None,
        frame_name: str | None = None,
    ) -> BacktestStatistics:
        """Statistics over all trades of the run so far."""
        return _outcome(symbol, strategy_name, exchange_name, frame_name).statistics

    @staticmethod
    async def get_report(
        symbol: str,
        strategy_name: str,
        columns: Sequence[Column[Closed]] | None = None,
        *,
        exchange_name: str | None = None,
        frame_name: str | None = None,
    ) -> str:
        """The run's Markdown report."""
        outcome = _outcome(symbol, strategy_name, exchange_name, frame_name)
        return backtest_report(outcome, columns)

    @staticmethod
    async def dump(
        symbol: str,
        strategy_name: str,
        path: str | Path | None = None,
        columns: Sequence[Column[Closed]] | None = None,
        *,
        exchange_name: str | None = None,
        frame_name: str | None = None,
    ) -> Path:
        """Write the report; returns the file, by default ``./dump/backtest/{name}.md``."""
        outcome = _outcome(symbol, strategy_name, exchange_name, frame_name)
        key = outcome.key
        target = report_path(
            path,
            mode=key.mode,
            name=key.strategy_name,
            symbol=key.symbol,
            exchange=key.exchange_name,
            frame=key.frame_name,
        )
        return dump_report(backtest_report(outcome, columns), target)

    @staticmethod
    async def list() -> list[dict[str, str]]:
        """``id, symbol, strategy_name, status`` of every backtest."""
        return _summary(current_engine().instances(Mode.BACKTEST))


class Live:
    """Runs strategies on the clock."""

    @staticmethod
    def run(
        symbol: str, *, strategy_name: str, exchange_name: str, include_cancelled: bool = False
    ) -> Results:
        """Run and iterate over opened and closed results (and cancelled ones if asked).

        The run never waits for its consumer. Leaving the iteration ends it.

        Raises:
            NotRegisteredError: at once, naming what is missing.
            RunStateError: this key is running already.
        """
        instance = current_engine().live(
            symbol, strategy_name=strategy_name, exchange_name=exchange_name
        )
        wanted = {Action.OPENED, Action.CLOSED}
        if include_cancelled:
            wanted.add(Action.CANCELLED)
        return instance.results(lambda result: result.action in wanted)

    @staticmethod
    def background(
        symbol: str, *, strategy_name: str, exchange_name: str, include_cancelled: bool = False
    ) -> Callable[[], None]:
        """Run as a task; the returned plain function stops it gracefully.

        ``include_cancelled`` is taken so that both forms share their arguments; a background run
        yields nothing, listeners hear of everything.

        Raises:
            NotRegisteredError: at once, naming what is missing.
        """
        instance = current_engine().live(
            symbol, strategy_name=strategy_name, exchange_name=exchange_name
        )
        instance.start()
        return instance.stop

    @staticmethod
    async def stop(symbol: str, strategy_name: str, *, exchange_name: str | None = None) -> None:
        """No new signals; an open position is watched to its close, then the run ends."""
        instance = _find(Mode.LIVE, symbol, strategy_name, exchange_name, None)
        if instance.is_running:
            await current_engine().live_runs.operate(instance, "stop")

    @staticmethod
    async def close(symbol: str, strategy_name: str, *, exchange_name: str | None = None) -> str:
        """Close the open position at market, right away; says what happened.

        Raises:
            RunStateError: the run has ended.
        """
        instance = _find(Mode.LIVE, symbol, strategy_name, exchange_name, None)
        return await current_engine().live_runs.operate(instance, "close")

    @staticmethod
    async def cancel(symbol: str, strategy_name: str, *, exchange_name: str | None = None) -> str:
        """Cancel the scheduled signal, right away; says what happened.

        Raises:
            RunStateError: the run has ended.
        """
        instance = _find(Mode.LIVE, symbol, strategy_name, exchange_name, None)
        return await current_engine().live_runs.operate(instance, "cancel")

    @staticmethod
    async def list() -> list[dict[str, str]]:
        """``id, symbol, strategy_name, status`` of every live run."""
        return _summary(current_engine().instances(Mode.LIVE))


def _find(
    mode: Mode, symbol: str, strategy_name: str, exchange_name: str | None, frame_name: str | None
) -> Instance:
    return current_engine().find(mode, symbol, strategy_name, exchange_name, frame_name)


def _outcome(
    symbol: str, strategy_name: str, exchange_name: str | None, frame_name: str | None
) -> BacktestOutcome:
    instance = _find(Mode.BACKTEST, symbol, strategy_name, exchange_name, frame_name)
    if not isinstance(instance.execution, BacktestExecution):
        raise RunStateError(f"{instance.key} has not been started: run it first")
    return outcome_of(instance.execution)
