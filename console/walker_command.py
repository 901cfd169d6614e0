"""``signaldeck walker``: strategies compared in worker processes, and the ranking they make.

Every strategy is tested where the console tests it, so the same numbers come out, and one that
blocks or dies takes its worker with it and is shown as failed.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import textwrap
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from console.data_files import check_data_file
from console.discovery import Workshop, equip
from console.outcomes import FAILED, UsageProblem, say
from console.progress import progress_bar
from console.run_requests import RequestError, check_request, completed, walk_of
from console.settings import Project
from console.text_tables import aligned
from console.views import RunRequest
from engine import Engine
from engine.domain.time import minute_text
from engine.domain.walks import WalkedStrategy, WalkerStatistics
from engine.exchanges import ExchangeSpec
from engine.parallel import PoolRunner, Sources
from engine.reports.files import dump_report, report_path
from engine.reports.walker import walker_report, walker_to_json
from engine.runs.group_runs import Walk
from engine.runs.walker import WalkerExecution
from engine.runs.workers import WorkerPool

_WIDTH = 80
_LEAST_NAME = 8
_HEADINGS = ("#", "strategy", "metric", "trades", "win %", "total %", "maxdd %")
_RIGHT = (0, 2, 3, 4, 5, 6)


@dataclass(frozen=True, slots=True)
class WalkerOptions:
    """The options of the command, as typed."""

    walker: str
    strategies: tuple[str, ...]
    metric: str
    symbols: tuple[str, ...]
    start: str
    end: str
    exchange: str
    data: tuple[Path, ...]
    interval: str
    workers: int
    json: bool
    report: Path | None


def split_strategies(given: Sequence[str]) -> tuple[tuple[str, ...], Path | None]:
    """What ``--strategies`` names: strategies to compare, and the folder of strategy files.

    Everywhere else the option is that folder, so one that exists is taken for it here as well.
    """
    folders = [Path(text) for text in given if Path(text).is_dir()]
    names = [part.strip() for text in given if not Path(text).is_dir() for part in text.split(",")]
    return tuple(name for name in names if name), folders[-1] if folders else None


def run_walker(project: Project, options: WalkerOptions) -> int:
    """Compare the strategies on each symbol and print the rankings.

    Returns:
        The exit status: `FAILED` when a walk was stopped, or a strategy failed, be it at some
        instant.

    Raises:
        UsageProblem, RequestError: the options cannot be used.
        EngineError: the walk failed.
    """
    _check_options(options)
    # Before any thread exists, and early: it gets ready while the options are looked at.
    WorkerPool.start_forkserver()
    # What the walker's callbacks print belongs to the narration: stdout is this command's result.
    with redirect_stdout(sys.stderr):
        found = asyncio.run(_compare(project, options))
    if options.report is not None:
        for data in found:
            _write_report(data, options.report)
    if options.json:
        walks = [walker_to_json(data) for data in found]
        print(json.dumps({"walks": walks}, indent=2, allow_nan=False))
    else:
        print("\n\n".join(ranking_text(data) for data in found))
    return max(_conclude(data) for data in found)


def ranking_text(data: WalkerStatistics) -> str:
    """The ranking of one walk as a table of at most 80 columns; names that it cuts come below."""
    span = f"{minute_text(data.frame_start)} to {minute_text(data.frame_end)}"
    heading = (
        f"{data.walker_name} on {data.symbol} @ {data.exchange_name}, every "
        f"{data.frame_interval}, {span}, by {data.metric}"
    )
    rows = [_row(at, item, data) for at, item in enumerate(data.strategies, start=1)]
    table, cut = _table([_HEADINGS, *rows])
    if data.best_strategy is None:
        closing = f"no strategy has a value of {data.metric}"
    else:
        closing = f"* best: {data.best_strategy}"
    lines = [*textwrap.wrap(heading, _WIDTH), "", *table, "", *textwrap.wrap(closing, _WIDTH)]
    for at in cut:
        text = f"{rows[at - 1][0].strip('*'):>4}  {rows[at - 1][1]}"
        lines += textwrap.wrap(text, _WIDTH, subsequent_indent=" " * 6)
    return "\n".join(lines)


def _check_options(options: WalkerOptions) -> None:
    if bool(options.walker) is bool(options.strategies):
        raise UsageProblem("give either the NAME of a walker or --strategies A,B,C")
    if options.exchange and options.data:
        raise UsageProblem("give either --exchange NAME or --data FILE..., not both")
    if options.strategies and not options.exchange and not options.data:
        raise UsageProblem("give either --exchange NAME or --data FILE...")
    if options.data and len(options.symbols) > 1:
        raise UsageProblem("--data holds one symbol: give one --symbol, or use --exchange")
    if bool(options.start) is not bool(options.end):
        raise UsageProblem("give both --from and --to")
    for path in options.data:
        for symbol in options.symbols:
            check_data_file(path, symbol)


async def _compare(project: Project, options: WalkerOptions) -> list[WalkerStatistics]:
    cache = project.cache or None
    async with Engine(state=":memory:", config=project.engine, cache=cache) as engine:
        workshop = equip(engine, project)
        requests = _requests(engine, options)
        if options.data:
            workshop = _with_data(engine, workshop, options, requests[0].symbol)
        walks = [await _prepared(engine, workshop, request) for request in requests]
        for file in workshop.broken:
            say(f"note: broken strategy file left out: {file.error}")
        found: list[WalkerStatistics] = []
        for walk, sources in walks:
            stopped = any(data.stopped for data in found)
            found.append(await _walk(engine, walk, sources, options, stopped=stopped))
        return found


def _requests(engine: Engine, options: WalkerOptions) -> list[RunRequest]:
    """One request per symbol."""
    walker = engine.walkers.find(options.walker) if options.walker else None
    symbols = options.symbols or (walker.symbols if walker else ()) or ("",)
    return [
        RunRequest(
            kind="walker",
            strategy_name=options.walker,
            symbol=symbol,
            exchange_name=options.exchange or ("files" if options.data else ""),
            start=options.start,
            end=options.end,
            interval=options.interval,
            strategies=options.strategies,
            metric=options.metric,
        )
        for symbol in symbols
    ]


def _with_data(engine: Engine, workshop: Workshop, options: WalkerOptions, symbol: str) -> Workshop:
    paths = [str(path.absolute()) for path in options.data]
    spec = ExchangeSpec("files", "files", {"paths": paths, "symbol": symbol})
    # Read here, once, while the workers' server is getting ready.
    engine.exchanges.remove("files")
    engine.open_exchange(spec)
    return replace(workshop, exchanges=(spec,))


async def _prepared(
    engine: Engine, workshop: Workshop, request: RunRequest
) -> tuple[Walk, Sources]:
    problems = await check_request(engine, workshop, request)
    if problems:
        raise RequestError(problems)
    walk, sources = walk_of(engine, workshop, completed(engine, request))
    opened = None if sources.exchange is None else engine.exchanges.find(walk.key.exchange_name)
    return walk, replace(sources, opened=opened)


async def _walk(
    engine: Engine, walk: Walk, sources: Sources, options: WalkerOptions, *, stopped: bool
) -> WalkerStatistics:
    """One symbol; ``stopped`` when it is not to be begun any more."""
    loop = asyncio.get_running_loop()
    workers = options.workers or os.cpu_count() or 1
    with progress_bar(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
    ) as bar:
        task = bar.add_task(f"{walk.key.strategy_name} {walk.key.symbol}", total=1.0, state="")

        def show() -> None:
            if bar.disable:
                return
            found = execution.statistics()
            ended = sum(item.status not in ("waiting", "running") for item in found.strategies)
            share = sum(
                item.progress if item.status == "running" else item.status != "waiting"
                for item in found.strategies
            )
            state = f"{ended}/{len(found.strategies)}"
            if found.best_strategy is not None:
                state += f", best {found.best_strategy[:30]}"
            bar.update(task, completed=share / len(found.strategies), state=state)

        execution = engine.group_runs.walk_execution(
            walk, lambda it: PoolRunner(it, sources, workers), show
        )
        if stopped:
            execution.stop()
        loop.add_signal_handler(signal.SIGINT, _interrupt, execution, loop)
        # What the processes share has to be removed, so this is a stop in good order as well.
        loop.add_signal_handler(signal.SIGTERM, _interrupt, execution, loop)
        try:
            await execution.run(None)
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_signal_handler(signal.SIGTERM)
        return execution.statistics()


def _interrupt(execution: WalkerExecution, loop: asyncio.AbstractEventLoop) -> None:
    """The first Ctrl-C (or SIGTERM) stops the walk in good order, the second Ctrl-C at once."""
    say("stopping: no further strategy is tested; press Ctrl-C again to end at once")
    execution.stop()
    loop.remove_signal_handler(signal.SIGINT)


def _write_report(data: WalkerStatistics, folder: Path) -> None:
    path = report_path(
        f"{folder}/{{name}}_{{symbol}}.md",
        mode="walker",
        name=data.walker_name,
        symbol=data.symbol,
        exchange=data.exchange_name,
        frame=data.frame_name,
    )
    say(f"report: {dump_report(asyncio.run(walker_report(data)), path)}")


def _conclude(data: WalkerStatistics) -> int:
    troubled = False
    for item in data.strategies:
        name = f"strategy {item.strategy_name!r} on {data.symbol}"
        if item.status == "failed":
            say(f"signaldeck: {name} failed: {item.error}")
            troubled = True
        elif item.outcome is not None and item.outcome.counts.errors:
            first = item.outcome.errors[0].splitlines()[0]
            count = item.outcome.counts.errors
            source = f" ({item.outcome.strategy_file})" if item.outcome.strategy_file else ""
            say(f"signaldeck: {name}{source} failed {count} times, at first with: {first}")
            troubled = True
    for warning in _warnings(data.strategies):
        say(f"warning: {warning}")
    if data.stopped:
        say(f"signaldeck: the walk on {data.symbol} was stopped before its end")
    return FAILED if troubled or data.stopped else 0


def _warnings(strategies: Sequence[WalkedStrategy]) -> list[str]:
    """Each warning once: most are about the bars, which all strategies share."""
    found = (text for item in strategies if item.outcome for text in item.outcome.warnings)
    return list(dict.fromkeys(found))


def _row(at: int, item: WalkedStrategy, data: WalkerStatistics) -> tuple[str, ...]:
    stats = item.stats
    if item.status != "done" or stats is None:
        return ("-", item.strategy_name, item.status, "", "", "", "")
    rank = "-" if item.metric_value is None else str(at)
    best = item.strategy_name == data.best_strategy
    return (
        f"{rank}*" if best else rank,
        item.strategy_name,
        "n/a" if item.metric_value is None else f"{item.metric_value:.4g}",
        str(stats.total_trades),
        "n/a" if stats.win_rate is None else f"{stats.win_rate:.1f}",
        f"{stats.total_pnl:+.2f}",
        f"{stats.max_drawdown:.2f}",
    )


def _table(rows: Sequence[Sequence[str]]) -> tuple[list[str], list[int]]:
    """Lines of at most 80 columns, and the numbers of the rows whose name was cut."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    others = sum(widths) - widths[1] + 2 * (len(widths) - 1)
    widths[1] = max(_LEAST_NAME, min(widths[1], _WIDTH - others))
    cut = [at for at, row in enumerate(rows) if len(row[1]) > widths[1]]
    shown = [[*row] for row in rows]
    for at in cut:
        shown[at][1] = f"{shown[at][1][: widths[1] - 3]}..."
    return aligned(shown, _RIGHT, widths), cut
