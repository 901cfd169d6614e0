"""``signaldeck backtest``: one backtest in a worker process, with a progress bar.

The run happens where the console's runs happen, so the same numbers come out, and a strategy that
blocks or dies takes its worker with it and not the command.
"""

from __future__ import annotations

import asyncio
import json
import signal
from dataclasses import dataclass, replace
from pathlib import Path

from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from console.data_files import check_data_file
from console.discovery import equip
from console.outcomes import FAILED, UsageProblem, say
from console.progress import progress_bar
from console.run_requests import RequestError, backtest_job, check_request
from console.settings import Project
from console.text_tables import aligned
from console.views import RunRequest
from engine import Engine
from engine.domain.outcome import BacktestOutcome
from engine.domain.time import minute_text
from engine.jobs import ENTRY, BacktestJob
from engine.reports.backtest import backtest_report, outcome_to_json, statistic_lines
from engine.reports.files import dump_report, run_report_path
from engine.runs.workers import WorkerPool, WorkerProgress, WorkerRun
from engine.runtime import ExchangeSpec

_FIRST_ERRORS = 5


@dataclass(frozen=True, slots=True)
class BacktestOptions:
    """The options of the command, as typed."""

    strategy: str
    symbol: str
    start: str
    end: str
    exchange: str
    data: tuple[Path, ...]
    interval: str
    json: bool
    report: Path | None


def run_backtest(project: Project, options: BacktestOptions) -> int:
    """Run the backtest and print what came of it.

    Returns:
        The exit status: `FAILED` when the run was stopped or its strategy failed at some instant.

    Raises:
        UsageProblem, RequestError: the options cannot be used.
        EngineError: the run failed.
    """
    _check_options(options)
    # Before any thread exists, and early: it gets ready while the options are looked at.
    WorkerPool.start_forkserver()
    job = asyncio.run(_prepare(project, options))
    outcome = asyncio.run(_run(job))
    if options.report is not None:
        _write_report(outcome, options.report)
    if options.json:
        print(json.dumps(outcome_to_json(outcome), indent=2, allow_nan=False))
    else:
        print(_text(outcome))
    return _conclude(outcome)


def _check_options(options: BacktestOptions) -> None:
    if bool(options.exchange) is bool(options.data):
        raise UsageProblem("give either --exchange NAME or --data FILE...")
    for path in options.data:
        check_data_file(path, options.symbol)


async def _prepare(project: Project, options: BacktestOptions) -> BacktestJob:
    """Find strategy and exchange and check everything that can be checked before a worker."""
    request = RunRequest(
        kind="backtest",
        strategy_name=options.strategy,
        symbol=options.symbol,
        exchange_name=options.exchange or "files",
        start=options.start,
        end=options.end,
        interval=options.interval,
    )
    cache = project.cache or None
    async with Engine(state=":memory:", config=project.engine, cache=cache) as engine:
        workshop = equip(engine, project)
        if options.data:
            paths = [str(path.absolute()) for path in options.data]
            spec = ExchangeSpec("files", "files", {"paths": paths, "symbol": options.symbol})
            workshop = replace(workshop, exchanges=(spec,))
        problems = await check_request(engine, workshop, request)
        if problems:
            raise RequestError(problems)
        for file in workshop.broken:
            say(f"note: broken strategy file left out: {file.error}")
        return backtest_job(engine, workshop, request)


async def _run(job: BacktestJob) -> BacktestOutcome:
    pool = WorkerPool(ENTRY, max_workers=1)
    loop = asyncio.get_running_loop()
    with progress_bar(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[trades]} trades"),
    ) as bar:
        task = bar.add_task(f"{job.strategy_name} {job.symbol}", total=1.0, trades=0)

        def show(progress: WorkerProgress) -> None:
            bar.update(task, completed=progress.fraction, trades=progress.trades)

        try:
            run = pool.submit(job, show)
            loop.add_signal_handler(signal.SIGINT, _interrupt, run, loop)
            return await run.result()
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            await pool.close()


def _interrupt(run: WorkerRun, loop: asyncio.AbstractEventLoop) -> None:
    """The first Ctrl-C stops the run in good order, the second one at once."""
    say("stopping: what is held is followed to its close; press Ctrl-C again to end at once")
    run.stop()
    loop.remove_signal_handler(signal.SIGINT)


def _write_report(outcome: BacktestOutcome, folder: Path) -> None:
    path = run_report_path(f"{folder}/{{name}}_{{symbol}}.md", outcome.key)
    say(f"report: {dump_report(backtest_report(outcome), path)}")


def _conclude(outcome: BacktestOutcome) -> int:
    for warning in outcome.warnings:
        say(f"warning: {warning}")
    errors, count = outcome.errors, outcome.counts.errors
    for error in errors[:_FIRST_ERRORS]:
        say(f"error: {error}")
    if count > _FIRST_ERRORS:
        say(f"error: ... and {count - min(len(errors), _FIRST_ERRORS)} more")
    if count:
        key = outcome.key
        source = f" ({outcome.strategy_file})" if outcome.strategy_file else ""
        say(f"signaldeck: strategy {key.strategy_name!r}{source} failed {count} times: correct it")
    if outcome.stopped:
        say("signaldeck: the run was stopped before the end of its frame")
    return FAILED if count or outcome.stopped else 0


def _text(outcome: BacktestOutcome) -> str:
    key = outcome.key
    span = f"{minute_text(outcome.frame_start)} to {minute_text(outcome.frame_end)}"
    lines = [
        f"{key.strategy_name} on {key.symbol} @ {key.exchange_name}, "
        f"every {outcome.frame_interval}, {span}",
        "",
    ]
    figures = statistic_lines(outcome.statistics)
    width = max(len(figure.label) for figure in figures)
    for figure in figures:
        reason = f"  ({figure.reason})" if figure.reason else ""
        lines.append(f"{figure.label:<{width}}  {figure.text}{reason}")
    return "\n".join([*lines, "", *_trades(outcome)])


def _trades(outcome: BacktestOutcome) -> list[str]:
    if not outcome.trades:
        return ["no trades"]
    rows = [("opened", "closed", "side", "open", "close", "pnl %", "reason")]
    rows += [
        (
            minute_text(trade.signal.pending_at),
            minute_text(trade.close_timestamp),
            str(trade.signal.position),
            f"{trade.pnl.price_open:.8g}",
            f"{trade.pnl.price_close:.8g}",
            f"{trade.pnl.pnl_percentage:+.3f}",
            str(trade.close_reason),
        )
        for trade in outcome.trades
    ]
    return aligned(rows, right=(3, 4, 5))
