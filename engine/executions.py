"""The execution classes: what starts, stops and reports runs of the current engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from engine.domain.outcome import BacktestData, BacktestOutcome
from engine.domain.signals import Action, Closed, Mode
from engine.domain.texts import check_texts
from engine.reports.backtest import backtest_report
from engine.reports.files import dump_report, run_report_path
from engine.reports.live import LiveEvent, LiveStatistics, live_report
from engine.reports.markdown import resolved
from engine.runs.backtest import BacktestExecution
from engine.runs.instance import Instance, Results
from engine.runs.outcome import backtest_figures, live_data, outcome_of
from engine.runtime import current_engine
from engine.selecting import Columns, chosen_columns, execution_of, summaries_of_mode
from engine.services.journal import SHOWN


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

        Args:
            symbol: what is traded, as the exchange calls it.
            strategy_name: a registered strategy.
            exchange_name: a registered exchange, or one that can be opened by its name.
            frame_name: a registered frame.
            include_cancelled: yield cancelled results too; they have no ``pnl``.

        Returns:
            An async iterator of results in order.

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

        Args:
            symbol: what is traded, as the exchange calls it.
            strategy_name: a registered strategy.
            exchange_name: a registered exchange, or one that can be opened by its name.
            frame_name: a registered frame.
            include_cancelled: taken and not used, see above.

        Returns:
            A function without arguments; it is the same as `stop`.

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
        """No new signals; what is open is followed to its close, then the run ends.

        Args:
            symbol, strategy_name: the run.
            exchange_name, frame_name: needed where several runs match.
        """
        _find(Mode.BACKTEST, symbol, strategy_name, exchange_name, frame_name).stop()

    @staticmethod
    async def get_data(
        symbol: str,
        strategy_name: str,
        *,
        exchange_name: str | None = None,
        frame_name: str | None = None,
    ) -> BacktestData:
        """Statistics over all trades of the run so far, and its newest trades.

        Args:
            symbol, strategy_name: the run.
            exchange_name, frame_name: needed where several runs match.

        Returns:
            The statistics, with the trades newest first (at most 250 of them).

        Raises:
            RunStateError: it has not been started.
            EngineError: several runs match; they are listed.
        """
        execution = _execution(symbol, strategy_name, exchange_name, frame_name)
        figures, _ = backtest_figures(execution)
        values = {item.name: getattr(figures, item.name) for item in fields(figures)}
        newest = execution.journal.trades[-SHOWN:]
        return BacktestData(**values, signal_list=tuple(reversed(newest)))

    @staticmethod
    async def get_report(
        symbol: str,
        strategy_name: str,
        columns: Columns[Closed] | None = None,
        *,
        exchange_name: str | None = None,
        frame_name: str | None = None,
    ) -> str:
        """The run's Markdown report; ``columns`` replace the ones in force.

        Args:
            symbol, strategy_name: the run.
            columns: these instead of the ones in force; `Column` objects or mappings.
            exchange_name, frame_name: needed where several runs match.

        Returns:
            The Markdown text.

        Raises:
            RunStateError: it has not been started.
            EngineError: several runs match, or a column's function failed.
        """
        outcome = _outcome(symbol, strategy_name, exchange_name, frame_name)
        return await _backtest_text(outcome, columns)

    @staticmethod
    async def dump(
        symbol: str,
        strategy_name: str,
        path: str | Path | None = None,
        columns: Columns[Closed] | None = None,
        *,
        exchange_name: str | None = None,
        frame_name: str | None = None,
    ) -> Path:
        """Write the report; returns the file, by default ``./dump/backtest/{name}.md``.

        Args:
            symbol, strategy_name: the run.
            path: a file, which may hold the placeholders ``{mode} {symbol} {name} {exchange}
                {frame}``.
            columns: these instead of the ones in force; `Column` objects or mappings.
            exchange_name, frame_name: needed where several runs match.

        Returns:
            The file that was written.

        Raises:
            RunStateError: it has not been started.
            EngineError: several runs match, or the file could not be written.
        """
        outcome = _outcome(symbol, strategy_name, exchange_name, frame_name)
        target = run_report_path(path, outcome.key)
        return dump_report(await _backtest_text(outcome, columns), target)

    @staticmethod
    async def list() -> list[dict[str, str]]:
        """``id, symbol, strategy_name, status`` of every backtest.

        Returns:
            One mapping per run, in the order of their first use.
        """
        return summaries_of_mode(Mode.BACKTEST)


class Live:
    """Runs strategies on the clock."""

    @staticmethod
    def run(
        symbol: str, *, strategy_name: str, exchange_name: str, include_cancelled: bool = False
    ) -> Results:
        """Run and iterate over opened and closed results (and cancelled ones if asked).

        The run never waits for its consumer. Leaving the iteration ends it.

        Args:
            symbol: what is traded, as the exchange calls it.
            strategy_name: a registered strategy.
            exchange_name: a registered exchange, or one that can be opened by its name.
            include_cancelled: yield cancelled results too; they have no ``pnl``.

        Returns:
            An async iterator of results in order.

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

        Args:
            symbol: what is traded, as the exchange calls it.
            strategy_name: a registered strategy.
            exchange_name: a registered exchange, or one that can be opened by its name.
            include_cancelled: taken and not used, see above.

        Returns:
            A function without arguments; it is the same as `stop`.

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
        """No new signals; an open position is watched to its close, then the run ends.

        Args:
            symbol, strategy_name: the run.
            exchange_name: needed where several runs match.
        """
        instance = _find(Mode.LIVE, symbol, strategy_name, exchange_name, None)
        if instance.is_running:
            await current_engine().live_runs.operate(instance, "stop")

    @staticmethod
    async def close(symbol: str, strategy_name: str, *, exchange_name: str | None = None) -> str:
        """Close the open position at market, right away; says what happened.

        Args:
            symbol, strategy_name: the run.
            exchange_name: needed where several runs match.

        Returns:
            One sentence, also when there was nothing to close.

        Raises:
            RunStateError: the run has ended.
        """
        instance = _find(Mode.LIVE, symbol, strategy_name, exchange_name, None)
        return await current_engine().live_runs.operate(instance, "close")

    @staticmethod
    async def cancel(symbol: str, strategy_name: str, *, exchange_name: str | None = None) -> str:
        """Cancel the scheduled signal, right away; says what happened.

        Args:
            symbol, strategy_name: the run.
            exchange_name: needed where several runs match.

        Returns:
            One sentence, also when there was nothing to cancel.

        Raises:
            RunStateError: the run has ended.
        """
        instance = _find(Mode.LIVE, symbol, strategy_name, exchange_name, None)
        return await current_engine().live_runs.operate(instance, "cancel")

    @staticmethod
    async def get_data(
        symbol: str, strategy_name: str, *, exchange_name: str | None = None
    ) -> LiveStatistics:
        """Statistics over all trades of the run's newest session, and its newest events.

        Args:
            symbol, strategy_name: the run.
            exchange_name: needed where several runs match.

        Returns:
            The statistics, with events newest first (at most 250 of them).

        Raises:
            RunStateError: it has not been started.
            EngineError: several runs match; they are listed.
        """
        return await _live_data(_find(Mode.LIVE, symbol, strategy_name, exchange_name, None))

    @staticmethod
    async def get_report(
        symbol: str,
        strategy_name: str,
        columns: Columns[LiveEvent] | None = None,
        *,
        exchange_name: str | None = None,
    ) -> str:
        """The Markdown report of the same; ``columns`` replace the ones in force.

        Args:
            symbol, strategy_name: the run.
            columns: these instead of the ones in force; `Column` objects or mappings.
            exchange_name: needed where several runs match.

        Returns:
            The Markdown text.

        Raises:
            RunStateError: it has not been started.
            EngineError: several runs match, or a column's function failed.
        """
        instance = _find(Mode.LIVE, symbol, strategy_name, exchange_name, None)
        return await _live_text(instance, columns)

    @staticmethod
    async def dump(
        symbol: str,
        strategy_name: str,
        path: str | Path | None = None,
        columns: Columns[LiveEvent] | None = None,
        *,
        exchange_name: str | None = None,
    ) -> Path:
        """Write the report; returns the file, by default ``./dump/live/{name}.md``.

        Args:
            symbol, strategy_name: the run.
            path: a file, which may hold the placeholders ``{mode} {symbol} {name} {exchange}
                {frame}``.
            columns: these instead of the ones in force; `Column` objects or mappings.
            exchange_name: needed where several runs match.

        Returns:
            The file that was written.

        Raises:
            RunStateError: it has not been started.
            EngineError: several runs match, or the file could not be written.
        """
        instance = _find(Mode.LIVE, symbol, strategy_name, exchange_name, None)
        target = run_report_path(path, instance.key)
        return dump_report(await _live_text(instance, columns), target)

    @staticmethod
    async def list() -> list[dict[str, str]]:
        """``id, symbol, strategy_name, status`` of every live run.

        Returns:
            One mapping per run, in the order of their first use.
        """
        return summaries_of_mode(Mode.LIVE)


def _find(
    mode: Mode, symbol: str, strategy_name: str, exchange_name: str | None, frame_name: str | None
) -> Instance:
    check_texts(
        mode.capitalize(), symbol=symbol, strategy_name=strategy_name,
        exchange_name=exchange_name, frame_name=frame_name,
    )  # fmt: skip
    return current_engine().find(mode, symbol, strategy_name, exchange_name, frame_name)


def _outcome(
    symbol: str, strategy_name: str, exchange_name: str | None, frame_name: str | None
) -> BacktestOutcome:
    return outcome_of(_execution(symbol, strategy_name, exchange_name, frame_name))


def _execution(
    symbol: str, strategy_name: str, exchange_name: str | None, frame_name: str | None
) -> BacktestExecution:
    instance = _find(Mode.BACKTEST, symbol, strategy_name, exchange_name, frame_name)
    return execution_of(instance, BacktestExecution)


async def _backtest_text(outcome: BacktestOutcome, columns: Columns[Closed] | None) -> str:
    chosen = chosen_columns("backtest_columns", columns)
    return backtest_report(outcome, await resolved(chosen, tuple(reversed(outcome.trades))))


async def _live_data(instance: Instance) -> LiveStatistics:
    engine = current_engine()
    figures, _ = await engine.live_runs.figures(instance.key)
    journal = engine.recorder.journals[instance.key]
    return live_data(journal, figures)


async def _live_text(instance: Instance, columns: Columns[LiveEvent] | None) -> str:
    data = await _live_data(instance)
    ready = await resolved(chosen_columns("live_columns", columns), data.event_list)
    return live_report(instance.key.strategy_name, data, ready)
