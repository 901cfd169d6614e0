"""``signaldeck data``: the local candle cache, filled from files and exchanges, listed, verified.

Results go to stdout and narration to stderr. What a download has fetched is kept whatever happens
to it, so the same command again is how it is resumed.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.options import ConfigOption, JsonOption, StrategiesOption, project_of
from console.outcomes import FAILED, UsageProblem, reporting, say
from console.text_tables import aligned
from engine.domain.bars import CANDLE_INTERVALS, interval_ms
from engine.domain.errors import SchemaError
from engine.domain.settings import Settings
from engine.domain.time import minute_text, parse_instant

if TYPE_CHECKING:
    from console.settings import Project
    from engine import Engine
    from engine.domain.schemas import ExchangeSchema
    from engine.history import CandleKey, Download, Imported, Listed

_FIRST_GAPS = 5

_ExchangeOption = Annotated[
    str, typer.Option("--exchange", metavar="E", help="Whose candles these are.")
]
_SymbolOption = Annotated[str, typer.Option("--symbol", metavar="S", help="Symbol of the candles.")]
_IntervalOption = Annotated[
    str, typer.Option("--interval", metavar="I", help="Interval of the candles.")
]
data_commands = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
"""The commands below ``signaldeck data``."""


@data_commands.callback()
def data() -> None:
    """Keep candles on this machine: import, download, list and verify them.

    They are in the platform's folder for caches unless SIGNALDECK_CACHE or the key cache of the
    configuration names another one.
    """


@data_commands.command("import")
def import_command(
    context: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="CSV or Parquet files, plain or .gz.")
    ],
    symbol: _SymbolOption,
    exchange: _ExchangeOption,
    interval: _IntervalOption = "1m",
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Import candles from files.

    Nothing is stored when a row is nonsense, or differs from what is stored already.
    """
    with reporting() as ending:
        project = project_of(context, config=config)
        ending.status = run_import(project, tuple(files), (exchange, symbol, interval), json)


@data_commands.command("download")
def download_command(
    context: typer.Context,
    exchange: _ExchangeOption,
    symbol: _SymbolOption,
    start: Annotated[
        str, typer.Option("--from", metavar="D", help="First bar, UTC: 2024-01-31[T10:05].")
    ],
    end: Annotated[str, typer.Option("--to", metavar="D", help="Last bar, UTC, inclusive.")],
    interval: _IntervalOption = "1m",
    json: JsonOption = False,
    strategies: StrategiesOption = None,
    config: ConfigOption = None,
) -> None:
    """Download what is missing of a range of candles.

    It may be stopped (Ctrl-C) or killed at any time: what has come is kept, and the same command
    goes on from there. Bars younger than ten minutes may still change and are not kept.
    """
    with reporting() as ending:
        project = project_of(context, strategies=strategies, config=config)
        ending.status = run_download(
            project, (exchange, symbol, interval), _span(start, end, interval), json
        )


@data_commands.command("list")
def list_command(
    context: typer.Context, json: JsonOption = False, config: ConfigOption = None
) -> None:
    """List the candles kept on this machine."""
    with reporting() as ending:
        ending.status = run_listing(project_of(context, config=config), json)


@data_commands.command("verify")
def verify_command(
    context: typer.Context, json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Check all candles kept on this machine, to the last byte; nothing is changed."""
    with reporting() as ending:
        ending.status = run_verify(project_of(context, config=config), json)


# -- import --------------------------------------------------------------------------------------


def run_import(
    project: Project, files: Sequence[Path], names: tuple[str, str, str], as_json: bool
) -> int:
    """Import files.

    Args:
        project: tells where the cache is, and the thresholds of the checks.
        files: their paths.
        names: exchange, symbol and interval.
        as_json: print JSON.

    Returns:
        The exit status.

    Raises:
        UsageProblem: a file does not exist or is named after another symbol.
        EngineError: a file, or a row of it, cannot be used; nothing is stored then.
    """
    from console.data_files import check_data_file
    from engine.history import CandleKey, import_files
    from engine.services.clock import SystemClock

    key = CandleKey(*names)
    for path in files:
        check_data_file(path, key.symbol)
    settings = Settings().updated(project.engine)
    done = import_files(Path(project.cache), key, files, settings, SystemClock().now())
    if as_json:
        _print_json({**_named(key), **_import_facts(done)})
        return 0
    print(f"{_title(key)}: {done.rows} rows, {_range(done.first, done.last)}, {done.added} new")
    if done.holes:
        where = "1 hole" if done.holes == 1 else f"{done.holes} holes"
        print(f"filled holes: {_bars(done.filled)} missing in {where}; runs fill them")
    _tell_gaps(done.gaps, "in the files: import or download the rest")
    if done.forming:
        say(f"note: {_bars(done.forming)} left out, not closed yet")
    return 0


def _import_facts(done: Imported) -> dict[str, Any]:
    return {
        "rows": done.rows,
        "added": done.added,
        "first": done.first,
        "last": done.last,
        "filled": done.filled,
        "holes": done.holes,
        "gaps": [list(gap) for gap in done.gaps],
        "forming": done.forming,
    }


# -- download ------------------------------------------------------------------------------------


def run_download(
    project: Project, names: tuple[str, str, str], span: tuple[int, int], as_json: bool
) -> int:
    """Download a range.

    Args:
        project: tells where the cache is, and which exchanges there are.
        names: exchange, symbol and interval.
        span: open of the first bar, and where to end (exclusive), ms UTC.
        as_json: print JSON.

    Returns:
        The exit status: `FAILED` when it was stopped.

    Raises:
        UsageProblem: the exchange is not known, or has files only.
        EngineError: the download failed; what had come before is kept.
    """
    from engine.history import CandleKey

    key = CandleKey(*names)
    done = asyncio.run(_download(project, key, span))
    if done.cursor < done.until:
        return FAILED
    if as_json:
        facts = {
            "from": span[0],
            "rows": done.rows,
            "fetched": done.fetched,
            "missing": done.missing,
            "gaps": [list(gap) for gap in done.gaps],
            "until": done.until,
        }
        _print_json({**_named(key), **facts})
        return 0
    print(f"{_title(key)}: {done.rows} rows stored, {done.fetched} fetched now")
    if done.missing:
        print(f"holes: the exchange has no {_bars(done.missing)} of the range; runs fill them")
    _tell_gaps(done.gaps, "on the exchange, which will be asked again")
    if done.until < span[1]:
        say(f"note: bars from {minute_text(done.until)} on are not settled yet")
    return 0


async def _download(project: Project, key: CandleKey, span: tuple[int, int]) -> Download:
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn

    from console.discovery import equip
    from console.progress import progress_bar
    from engine import Engine
    from engine.history import Download, download

    # No cache of its own: what is downloaded is stored by the download itself.
    async with Engine(state=":memory:", config=project.engine) as engine:
        equip(engine, project)
        schema = _exchange(engine, project, key.exchange_name)
        state = Download(span[0], span[1], 0, 0)
        with progress_bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rows]} rows"),
        ) as bar:
            task = bar.add_task(_title(key), total=1.0, rows=0)

            def show(now: Download) -> None:
                nonlocal state
                state = now
                share = (now.cursor - span[0]) / max(1, now.until - span[0])
                bar.update(task, completed=share, rows=now.rows)

            work = asyncio.ensure_future(
                download(
                    schema, Path(project.cache), key, span, engine.settings, engine.clock, show
                )
            )
            with _stoppable(work):
                try:
                    return await work
                except asyncio.CancelledError:
                    bar.stop()
        say(
            f"signaldeck: stopped at {minute_text(state.cursor)}: the {state.rows} rows before it "
            "are kept, and the same command goes on from there"
        )
        return replace(state, until=max(state.until, state.cursor + 1))


@contextmanager
def _stoppable(work: asyncio.Future[Any]) -> Generator[None]:
    """Inside, the first Ctrl-C (or SIGTERM) cancels a task, the second one ends the program."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        say("stopping: what has come is being stored; press Ctrl-C again to end at once")
        work.cancel()
        release()

    def release() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        release()


def _exchange(engine: Engine, project: Project, name: str) -> ExchangeSchema:
    from engine.exchanges import is_ccxt_id

    if engine.exchanges.find(name) is not None or is_ccxt_id(name):
        return engine.exchange(name, "data download")
    section = project.exchanges.get(name)
    if section is not None and section.kind == "files":
        raise UsageProblem(
            f"exchange {name!r} has files only: import them: signaldeck data import FILE... "
            f"--exchange {name}"
        )
    raise UsageProblem(
        f"exchange {name!r} not found: use one of {', '.join(engine.exchanges.names())}, an id of "
        f"ccxt, or configure it as [exchanges.{name}] in signaldeck.toml"
    )


def _span(start: str, end: str, interval: str) -> tuple[int, int]:
    try:
        first, last = parse_instant(start), parse_instant(end)
        step = interval_ms(interval, CANDLE_INTERVALS)
    except SchemaError as error:
        raise UsageProblem(str(error)) from None
    if first > last:
        raise UsageProblem(f"--from {start} is after --to {end}: exchange them")
    return first, last // step * step + step


# -- list and verify -----------------------------------------------------------------------------


def run_listing(project: Project, as_json: bool) -> int:
    """List what is kept.

    Returns:
        The exit status: `FAILED` when a file cannot be read.
    """
    from engine.history import CandleCache

    items = CandleCache(Path(project.cache)).entries()
    return _report(project, items, as_json, checked=False)


def run_verify(project: Project, as_json: bool) -> int:
    """Check everything that is kept.

    Returns:
        The exit status: `FAILED` when something is damaged.
    """
    from rich.console import Console
    from rich.progress import track

    from engine.history import CandleCache

    cache = CandleCache(Path(project.cache))
    console = Console(stderr=True)
    items = [
        cache.verify(item)
        for item in track(
            cache.entries(),
            description="verifying",
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
    ]
    return _report(project, items, as_json, checked=True)


def _report(project: Project, items: Sequence[Listed], as_json: bool, *, checked: bool) -> int:
    broken = [item for item in items if item.problem]
    if as_json:
        _print_json({"cache": project.cache, "candles": [_facts(item) for item in items]})
    else:
        _print_table(items)
        sound = len(items) - len(broken)
        if not items:
            say(f"no candles are kept in {project.cache}")
        elif checked:
            print(f"{sound} of {len(items)} intact in {project.cache}")
    for item in broken:
        text = item.problem
        if item.damaged:
            text = (
                f"{item.path} is damaged: {text}: download or import its candles again, it is set "
                "aside then"
            )
        say(f"signaldeck: {text}")
    return FAILED if broken else 0


def _facts(item: Listed) -> dict[str, Any]:
    facts: dict[str, Any] = {"file": str(item.path), "problem": item.problem}
    sidecar = item.sidecar
    if sidecar is None:
        return facts
    return {
        **_named(sidecar.key),
        "rows": sidecar.rows,
        "first": sidecar.first,
        "last": sidecar.last,
        "missing": item.missing,
        "covered": [list(stretch) for stretch in sidecar.covered],
        "bytes": sidecar.size,
        "sha256": sidecar.sha256,
        "written_at": sidecar.written_at,
        **facts,
    }


def _print_table(items: Sequence[Listed]) -> None:
    head = ("exchange", "symbol", "interval", "rows", "first", "last", "holes", "MB")
    rows = [
        (
            sidecar.key.exchange_name,
            sidecar.key.symbol,
            sidecar.key.interval,
            str(sidecar.rows),
            minute_text(sidecar.first),
            minute_text(sidecar.last),
            str(item.missing),
            f"{sidecar.size / 1e6:.1f}",
        )
        for item in items
        if (sidecar := item.sidecar) is not None
    ]
    if not rows:
        return
    print("\n".join(aligned((head, *rows), right=(3, 6, 7))))


# -- texts ---------------------------------------------------------------------------------------


def _print_json(facts: Mapping[str, Any]) -> None:
    print(json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False))


def _named(key: CandleKey) -> dict[str, str]:
    return {"exchange": key.exchange_name, "symbol": key.symbol, "interval": key.interval}


def _title(key: CandleKey) -> str:
    return f"{key.symbol} {key.interval} of {key.exchange_name}"


def _range(first: int, last: int) -> str:
    return f"{minute_text(first)} to {minute_text(last)}"


def _tell_gaps(gaps: Sequence[tuple[int, int]], where: str) -> None:
    for start, end in gaps[:_FIRST_GAPS]:
        say(f"note: no bars from {minute_text(start)} to {minute_text(end)} {where}")
    if len(gaps) > _FIRST_GAPS:
        say(f"note: ... and {len(gaps) - _FIRST_GAPS} more such gaps")


def _bars(count: int) -> str:
    return "1 bar" if count == 1 else f"{count} bars"
