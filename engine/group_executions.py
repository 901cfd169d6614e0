"""The execution classes of runs that are made of backtests: `Walker` and `Portfolio`."""

from __future__ import annotations

import builtins
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, cast

from engine.domain.errors import EngineError, NotRegisteredError, RunStateError, SchemaError
from engine.domain.events import WalkerEvent
from engine.domain.portfolios import PortfolioOutcome
from engine.domain.signals import Action, Closed, Mode
from engine.domain.texts import check_texts
from engine.domain.walks import METRICS, WalkedStrategy, WalkerStatistics
from engine.parallel import check_files, pool_runner
from engine.reports.columns import as_columns
from engine.reports.files import dump_report, run_report_path
from engine.reports.portfolio import PORTFOLIO_COLUMNS, portfolio_report
from engine.reports.walker import walker_report
from engine.runs.group_runs import checked_members, portfolio_key
from engine.runs.instance import Instance, Results
from engine.runs.portfolio import PortfolioExecution, portfolio_outcome
from engine.runs.walker import WalkerExecution
from engine.runtime import current_engine
from engine.selecting import Columns, chosen_columns, execution_of, summaries_of_mode

Members: TypeAlias = Sequence[tuple[str, str]]
"""(symbol, strategy name) pairs, in any order."""

_LONGEST_NAME = 120


class Walker:
    """Compares strategies: the same bars, one metric, a ranking for each symbol.

    ``workers`` says where the strategies of a walk are tested: 1 is this process, one after the
    other; more are so many worker processes at a time, 0 one per processor. The results are the
    same. Worker processes load strategies from files, so with them everything a walk names must
    come from files loaded by `Engine.load_file` (exchanges also from `Engine.open_exchange`), their
    signal events stay in their processes, and events of the walk come as strategies finish. As with
    every use of multiprocessing a script's own code belongs under ``if __name__ == "__main__":``.
    """

    @staticmethod
    def run(symbol: str | None = None, *, walker_name: str, workers: int = 1) -> WalkerResults:
        """Run and iterate over a `WalkerEvent` per tested strategy.

        Leaving the iteration ends the run.

        Args:
            symbol: what to walk on; None is each of the walker's ``symbols``, one after the other.
            walker_name: a registered walker.
            workers: see the class.

        Returns:
            An async iterator of events in order.

        Raises:
            NotRegisteredError: at once, naming what is missing.
            SchemaError: at once: the grid does not fit, or there is no symbol.
            RunStateError: this key is running already.
        """
        return WalkerResults(_walkers(symbol, walker_name, workers))

    @staticmethod
    def background(
        symbol: str | None = None, *, walker_name: str, workers: int = 1
    ) -> Callable[[], None]:
        """Run as a task; the returned plain function stops it gracefully.

        Several symbols are walked at the same time. Arguments and errors as of `run`.

        Args:
            symbol: what to walk on; None is each of the walker's ``symbols``.
            walker_name: a registered walker.
            workers: see the class.

        Returns:
            A function without arguments; it is the same as `stop`, for every symbol.
        """
        instances = _walkers(symbol, walker_name, workers)
        for instance in instances:
            instance.start()

        def stop() -> None:
            for instance in instances:
                instance.stop()

        return stop

    @staticmethod
    async def stop(symbol: str, walker_name: str) -> None:
        """The strategy being tested ends as a stopped backtest does, and no other is begun.

        Args:
            symbol, walker_name: the walk.
        """
        _walker(symbol, walker_name).stop()

    @staticmethod
    async def skip(symbol: str, walker_name: str, strategy_name: str) -> None:
        """Leave one strategy out, or end it if it is being tested; the walk goes on.

        Args:
            symbol, walker_name: the walk.
            strategy_name: as the walk names it, with its parameters if it sweeps some.

        Raises:
            RunStateError: the walk does not run, or the strategy has ended already.
        """
        instance = _walker(symbol, walker_name)
        if not instance.is_running or not isinstance(instance.execution, WalkerExecution):
            raise RunStateError(f"{instance.key} is {instance.status}: there is nothing to skip")
        instance.execution.skip(strategy_name)

    @staticmethod
    async def get_data(
        symbol: str, walker_name: str, *, metric: str | None = None
    ) -> WalkerStatistics:
        """The ranking so far; by another metric if one is named.

        Args:
            symbol, walker_name: the walk.
            metric: rank by this one instead of the walker's own.

        Returns:
            The strategies in the order of their rank, and the best of them.

        Raises:
            RunStateError: no strategy has ended yet.
        """
        return _found(symbol, walker_name, metric)

    @staticmethod
    async def get_report(
        symbol: str,
        walker_name: str,
        strategy_columns: Columns[WalkedStrategy] | None = None,
        pnl_columns: Columns[Closed] | None = None,
    ) -> str:
        """The Markdown report: all strategies ranked, and a table of trades for each.

        Args:
            symbol, walker_name: the walk.
            strategy_columns, pnl_columns: of the ranking and of the trades, instead of the ones in
                force.

        Returns:
            The Markdown text.

        Raises:
            RunStateError: no strategy has ended yet.
            EngineError: a column's function failed.
        """
        return await _walker_text(symbol, walker_name, strategy_columns, pnl_columns)

    @staticmethod
    async def dump(
        symbol: str,
        walker_name: str,
        path: str | Path | None = None,
        strategy_columns: Columns[WalkedStrategy] | None = None,
        pnl_columns: Columns[Closed] | None = None,
    ) -> Path:
        """Write the report; returns the file, by default ``./dump/walker/{name}.md``.

        Args:
            symbol, walker_name: the walk.
            path: a file, which may hold the placeholders ``{mode} {symbol} {name} {exchange}
                {frame}``.
            strategy_columns, pnl_columns: of the ranking and of the trades, instead of the ones in
                force.

        Returns:
            The file that was written.

        Raises:
            RunStateError: no strategy has ended yet.
            EngineError: a column's function failed, or the file could not be written.
        """
        text = await _walker_text(symbol, walker_name, strategy_columns, pnl_columns)
        return dump_report(text, run_report_path(path, _walker(symbol, walker_name).key))

    @staticmethod
    async def list() -> builtins.list[dict[str, str]]:
        """``id, symbol, walker_name, status`` of every walker that was started.

        Returns:
            One mapping per walk.
        """
        return summaries_of_mode(Mode.WALKER, "walker_name")


class WalkerResults:
    """Iterates over the events of one walk after the other; leaving the iteration ends the walk."""

    def __init__(self, instances: Sequence[Instance]) -> None:
        self._results = [instance.results(lambda _: True) for instance in instances]
        self._at: int = 0

    def __aiter__(self) -> WalkerResults:
        return self

    async def __anext__(self) -> WalkerEvent:
        while True:
            try:
                found: Any = await self._results[self._at].__anext__()
                return cast(WalkerEvent, found)
            except StopAsyncIteration:
                if self._at == len(self._results) - 1:
                    raise
                self._at += 1

    async def aclose(self) -> None:
        """End the walk that is under way, and wait for it."""
        await self._results[self._at].aclose()


class Portfolio:
    """Runs several strategies and symbols on one simulated clock, sharing risk profiles.

    ``members`` are (symbol, strategy name) pairs; their order changes nothing. At one instant all
    open positions are settled first, then all waiting signals, then all strategies are asked, each
    in order of symbol and strategy name. Each member is a backtest: its events, and its done event,
    are those of a backtest.
    """

    @staticmethod
    def run(
        members: Members, *, exchange_name: str, frame_name: str, include_cancelled: bool = False
    ) -> Results:
        """Run and iterate over the closed results of all members (and cancelled ones if asked).

        Leaving the iteration ends the run.

        Args:
            members: (symbol, strategy name) pairs, in any order.
            exchange_name: a registered exchange, or one that can be opened by its name.
            frame_name: a registered frame.
            include_cancelled: yield cancelled results too; they have no ``pnl``.

        Returns:
            An async iterator of results, in the order of the clock.

        Raises:
            SchemaError: at once: no members, or one of them twice.
            NotRegisteredError: at once, naming what is missing.
            RunStateError: this portfolio is running already.
            EngineError: while iterating, when some member's data cannot be used.
        """
        instance = _portfolio(members, exchange_name, frame_name)
        wanted = {Action.CLOSED, Action.CANCELLED} if include_cancelled else {Action.CLOSED}
        return instance.results(lambda result: result.action in wanted)

    @staticmethod
    def background(
        members: Members, *, exchange_name: str, frame_name: str, include_cancelled: bool = False
    ) -> Callable[[], None]:
        """Run as a task; the returned plain function stops it gracefully.

        ``include_cancelled`` is taken so that both forms share their arguments. Errors as of `run`.

        Args:
            members: (symbol, strategy name) pairs, in any order.
            exchange_name: a registered exchange, or one that can be opened by its name.
            frame_name: a registered frame.
            include_cancelled: taken and not used, see above.

        Returns:
            A function without arguments; it is the same as `stop`.
        """
        instance = _portfolio(members, exchange_name, frame_name)
        instance.start()
        return instance.stop

    @staticmethod
    async def stop(
        members: Members, *, exchange_name: str | None = None, frame_name: str | None = None
    ) -> None:
        """No new signals; what is open is followed to its close, then the run ends.

        Args:
            members: as they were given to `run`, in any order.
            exchange_name, frame_name: needed where several runs match.
        """
        _find_portfolio(members, exchange_name, frame_name).stop()

    @staticmethod
    async def get_data(
        members: Members, *, exchange_name: str | None = None, frame_name: str | None = None
    ) -> PortfolioOutcome:
        """The totals and every member's outcome, so far.

        Args:
            members: as they were given to `run`, in any order.
            exchange_name, frame_name: needed where several runs match.

        Returns:
            The members' outcomes, and the totals of all of them.

        Raises:
            RunStateError: it has not been started.
        """
        return _portfolio_found(members, exchange_name, frame_name)

    @staticmethod
    async def get_report(
        members: Members,
        columns: Columns[Closed] | None = None,
        *,
        exchange_name: str | None = None,
        frame_name: str | None = None,
    ) -> str:
        """The Markdown report; ``columns`` are of the table of trades.

        Args:
            members: as they were given to `run`, in any order.
            columns: these instead of the ones in force; `Column` objects or mappings.
            exchange_name, frame_name: needed where several runs match.

        Returns:
            The Markdown text.

        Raises:
            RunStateError: it has not been started.
            EngineError: a column's function failed.
        """
        return await _portfolio_text(_portfolio_found(members, exchange_name, frame_name), columns)

    @staticmethod
    async def dump(
        members: Members,
        path: str | Path | None = None,
        columns: Columns[Closed] | None = None,
        *,
        exchange_name: str | None = None,
        frame_name: str | None = None,
    ) -> Path:
        """Write the report; returns the file, by default ``./dump/portfolio/{name}.md``.

        The name lists the members, or counts them if that would be too long for a file.

        Args:
            members: as they were given to `run`, in any order.
            path: a file, which may hold the placeholders ``{mode} {symbol} {name} {exchange}
                {frame}``.
            columns: these instead of the ones in force; `Column` objects or mappings.
            exchange_name, frame_name: needed where several runs match.

        Returns:
            The file that was written.

        Raises:
            RunStateError: it has not been started.
            EngineError: a column's function failed, or the file could not be written.
        """
        outcome = _portfolio_found(members, exchange_name, frame_name)
        key, count = outcome.key, len(outcome.members)
        named = replace(
            key, strategy_name=_short(key.strategy_name, count), symbol=_short(key.symbol, count)
        )
        target = run_report_path(path, named)
        return dump_report(await _portfolio_text(outcome, columns), target)

    @staticmethod
    async def list() -> builtins.list[dict[str, str]]:
        """``id, symbol, strategy_name, status`` of every portfolio; the names list its members.

        Returns:
            One mapping per portfolio.
        """
        return summaries_of_mode(Mode.PORTFOLIO)


def _walkers(symbol: str | None, walker_name: str, workers: int) -> builtins.list[Instance]:
    engine = current_engine()
    check_texts("Walker", symbol=symbol, walker_name=walker_name)
    if not isinstance(workers, int) or workers < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise EngineError(f"workers is {workers!r}: must be 0 (one per processor) or more")
    symbols = (symbol,) if symbol else engine.walkers.get(walker_name, "Walker").symbols
    if not symbols:
        raise SchemaError(
            f"walker {walker_name!r} names no symbols: give one, or add symbols=[...] to it"
        )
    make = None
    if workers != 1:
        make = pool_runner(engine, workers)
        check_files(engine, engine.group_runs.walk(symbols[0], walker_name))
    return [engine.group_runs.walker(name, walker_name, make) for name in symbols]


def _walker(symbol: str, walker_name: str) -> Instance:
    check_texts("Walker", symbol=symbol, walker_name=walker_name)
    return current_engine().group_runs.find_walker(symbol, walker_name)


def _found(symbol: str, walker_name: str, metric: str | None = None) -> WalkerStatistics:
    instance = _walker(symbol, walker_name)
    execution = execution_of(instance, WalkerExecution)
    if metric is not None and metric not in METRICS:
        raise SchemaError(f"metric is {metric!r}: must be one of {', '.join(METRICS)}")
    found = execution.statistics(metric or "")
    if all(item.status in ("waiting", "running") for item in found.strategies):
        raise RunStateError(f"{instance.key}: no strategy has ended yet: ask again later")
    return found


async def _walker_text(
    symbol: str,
    walker_name: str,
    strategy_columns: Columns[WalkedStrategy] | None,
    pnl_columns: Columns[Closed] | None,
) -> str:
    return await walker_report(
        _found(symbol, walker_name),
        chosen_columns("walker_strategy_columns", strategy_columns),
        chosen_columns("walker_pnl_columns", pnl_columns),
    )


def _portfolio(members: Members, exchange_name: str, frame_name: str) -> Instance:
    return current_engine().group_runs.portfolio(
        members, exchange_name=exchange_name, frame_name=frame_name
    )


def _find_portfolio(
    members: Members, exchange_name: str | None, frame_name: str | None
) -> Instance:
    check_texts("Portfolio", exchange_name=exchange_name, frame_name=frame_name)
    names = portfolio_key(checked_members(members), "", "").strategy_name
    found = [
        item
        for item in current_engine().instances(Mode.PORTFOLIO)
        if item.key.strategy_name == names and item.key.on(exchange_name, frame_name)
    ]
    if not found:
        raise NotRegisteredError(f"no portfolio of {names} has been started: run it first")
    if len(found) > 1:
        keys = "; ".join(str(item.key) for item in found)
        raise EngineError(f"several portfolios match, name exchange_name and frame_name: {keys}")
    return found[0]


def _portfolio_found(
    members: Members, exchange_name: str | None, frame_name: str | None
) -> PortfolioOutcome:
    instance = _find_portfolio(members, exchange_name, frame_name)
    execution = execution_of(instance, PortfolioExecution)
    return portfolio_outcome(execution, current_engine().group_runs.origin)


async def _portfolio_text(outcome: PortfolioOutcome, columns: Columns[Closed] | None) -> str:
    chosen = PORTFOLIO_COLUMNS if columns is None else as_columns("portfolio columns", columns)
    return await portfolio_report(outcome, chosen)


def _short(name: str, members: int) -> str:
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{members}-members-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
