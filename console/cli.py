"""The ``signaldeck`` command line: options and help; each command's work is in its own module.

Data goes to stdout and narration to stderr. Exit status: 0 done, 1 failed, 2 bad usage. The modules
that do the work are imported by the commands that need them, so ``--help`` answers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from console.data_command import data_commands
from console.options import (
    CleanOption,
    ConfigOption,
    DataOption,
    ExchangeOption,
    FromOption,
    IntervalOption,
    JsonOption,
    ReadOnlyOption,
    ReportOption,
    StateOption,
    StrategiesOption,
    ToOption,
    given,
    project_of,
)
from console.outcomes import reporting

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_commands, name="data")


def run(arguments: Sequence[str]) -> int:
    """Run the command line.

    Args:
        arguments: what follows the program's name.

    Returns:
        The exit status.
    """
    try:
        app(args=_spread_data(arguments), prog_name="signaldeck")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _spread_data(arguments: Sequence[str]) -> list[str]:
    """``--data a b`` as ``--data a --data b``, so that a shell's wildcard can be used."""
    spread: list[str] = []
    collecting = False
    for argument in arguments:
        if collecting and _is_data_file(argument) and spread[-1] != "--data":
            spread.append("--data")
        elif argument.startswith("-"):
            collecting = argument == "--data"
        spread.append(argument)
    return spread


def _is_data_file(argument: str) -> bool:
    suffixes = (".csv", ".csv.gz", ".parquet", ".parquet.gz", ".pq")
    return not argument.startswith("-") and argument.lower().endswith(suffixes)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"signaldeck {version('signaldeck')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def console(
    context: typer.Context,
    state: StateOption = None,
    strategies: StrategiesOption = None,
    config: ConfigOption = None,
    start_clean_if_damaged: CleanOption = False,
    read_only: ReadOnlyOption = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """A terminal trading console. Signals only: no orders are sent.

    Without a command it opens the console on the configuration of the working directory.
    """
    context.obj = (state, strategies, config)
    if context.invoked_subcommand is None:
        with reporting() as ending:
            from console.supervisor import follow_console, open_console

            project = project_of(context)
            if read_only:
                ending.status = follow_console(project)
            else:
                ending.status = open_console(project, start_clean_if_damaged=start_clean_if_damaged)


@app.command()
def demo(
    context: typer.Context,
    state: StateOption = None,
    strategies: StrategiesOption = None,
    config: ConfigOption = None,
    start_clean_if_damaged: CleanOption = False,
    read_only: ReadOnlyOption = False,
) -> None:
    """Open the console on a simulated market.

    It runs at 60 times real speed, with live runs already trading. It needs no network, no keys
    and no configuration: only --strategies and --state are looked at. What it holds is kept in
    demo-state.db and goes on at the next start.
    """
    with reporting() as ending:
        from console.supervisor import follow_demo, open_demo

        file, folder, _ = given(context, state, strategies, config)
        if read_only:
            ending.status = follow_demo(file)
        else:
            ending.status = open_demo(folder, file, start_clean_if_damaged=start_clean_if_damaged)


@app.command()
def backtest(
    context: typer.Context,
    strategy: Annotated[str, typer.Argument(metavar="STRATEGY", help="Name of the strategy.")],
    symbol: Annotated[str, typer.Option("--symbol", metavar="S", help="Symbol to trade.")],
    start: FromOption,
    end: ToOption,
    exchange: ExchangeOption = "",
    data: DataOption = None,
    interval: IntervalOption = "1m",
    json: JsonOption = False,
    report: ReportOption = None,
    state: StateOption = None,
    strategies: StrategiesOption = None,
    config: ConfigOption = None,
) -> None:
    """Run one backtest and print its statistics and trades.

    --from and --to are instants in UTC, both inclusive; a bare date is its midnight. The status is
    1 when the run could not be finished, or when the strategy failed at some instant.
    """
    with reporting() as ending:
        from console.backtest_command import BacktestOptions, run_backtest

        project = project_of(context, state, strategies, config)
        options = BacktestOptions(
            strategy, symbol, start, end, exchange, tuple(data or ()), interval, json, report
        )
        ending.status = run_backtest(project, options)


@app.command()
def optimize(
    context: typer.Context,
    optimizer: Annotated[str, typer.Argument(metavar="NAME", help="Name of the optimizer.")],
    symbol: Annotated[str, typer.Option("--symbol", metavar="S", help="Symbol to optimize for.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="PATH", help="Folder, or .py file, to write to (./generated)."
        ),
    ] = None,
    json: JsonOption = False,
    state: StateOption = None,
    strategies: StrategiesOption = None,
    config: ConfigOption = None,
) -> None:
    """Have a language model word strategies and write them as a module for review.

    The module is checked and not executed. The model is asked through Ollama, as [ollama] in the
    configuration, OLLAMA_HOST and OLLAMA_API_KEY say.
    """
    with reporting() as ending:
        from console.optimize_command import OptimizeOptions, run_optimize

        project = project_of(context, state, strategies, config)
        ending.status = run_optimize(project, OptimizeOptions(optimizer, symbol, out, json))


@app.command()
def walker(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="A walker of a strategy file.")
    ] = "",
    strategies: Annotated[
        list[str] | None,
        typer.Option(
            "--strategies",
            metavar="A,B,C",
            help="Strategies to compare, instead of NAME; a folder is that of your files.",
        ),
    ] = None,
    metric: Annotated[
        str, typer.Option("--metric", metavar="M", help="What to rank by, e.g. sharpe_ratio.")
    ] = "",
    symbol: Annotated[
        list[str] | None,
        typer.Option("--symbol", metavar="S", help="Symbol to compare on; may be repeated."),
    ] = None,
    start: FromOption = "",
    end: ToOption = "",
    exchange: ExchangeOption = "",
    data: DataOption = None,
    interval: IntervalOption = "1m",
    workers: Annotated[
        int,
        typer.Option("--workers", metavar="N", min=0, help="Processes; 0 is one per processor."),
    ] = 0,
    json: JsonOption = False,
    report: ReportOption = None,
    state: StateOption = None,
    config: ConfigOption = None,
) -> None:
    """Compare strategies on the same bars and print their ranking.

    NAME is a walker that a strategy file registers; what it says of symbols, exchange, frame and
    metric holds unless it is given here. With --strategies everything has to be given. The status
    is 1 when a walk could not be finished, or when a strategy failed, be it at some instant.
    """
    with reporting() as ending:
        from console.walker_command import WalkerOptions, run_walker, split_strategies

        names, folder = split_strategies(strategies or ())
        project = project_of(context, state, folder, config)
        options = WalkerOptions(
            name, names, metric, tuple(symbol or ()), start, end, exchange, tuple(data or ()),
            interval, workers, json, report,
        )  # fmt: skip
        ending.status = run_walker(project, options)


@app.command()
def live(
    context: typer.Context,
    strategy: Annotated[str, typer.Argument(metavar="STRATEGY", help="Name of the strategy.")],
    symbol: Annotated[
        list[str], typer.Option("--symbol", metavar="S", help="Symbol to watch; may be repeated.")
    ],
    exchange: ExchangeOption,
    on_exit: Annotated[
        str,
        typer.Option(
            "--on-exit",
            metavar="MODE",
            help="At SIGINT or SIGTERM: detach (keep what is held for the next start), drain "
            "(wait until it has closed) or close (at market, now).",
        ),
    ] = "detach",
    json: JsonOption = False,
    start_clean_if_damaged: CleanOption = False,
    read_only: ReadOnlyOption = False,
    state: StateOption = None,
    strategies: StrategiesOption = None,
    config: ConfigOption = None,
) -> None:
    """Run live without a screen until SIGINT or SIGTERM.

    What the state file holds of earlier runs goes on as well. Events are told on stderr, with
    --json also as one JSON line each on stdout. A second signal ends a drain where it is.
    """
    with reporting() as ending:
        from console.live_command import LiveOptions, run_live

        project = project_of(context, state, strategies, config)
        options = LiveOptions(
            strategy, tuple(symbol), exchange, on_exit, json, start_clean_if_damaged, read_only
        )
        ending.status = run_live(project, options)


@app.command()
def status(
    context: typer.Context,
    json: JsonOption = False,
    read_only: ReadOnlyOption = False,
    state: StateOption = None,
    strategies: StrategiesOption = None,
    config: ConfigOption = None,
) -> None:
    """Show what the process that owns the state file is doing.

    Only reads, also while that process writes and when there is none.
    """
    with reporting() as ending:
        from console.status_command import run_status

        ending.status = run_status(project_of(context, state, strategies, config), as_json=json)


@app.command()
def serve(
    context: typer.Context,
    port: Annotated[
        int, typer.Option("--port", metavar="P", min=0, max=65535, help="Port; 0 is any free one.")
    ] = 8321,
    bind: Annotated[
        str, typer.Option("--bind", metavar="ADDRESS", help="Address to listen at.")
    ] = "127.0.0.1",
    name: Annotated[
        list[str] | None,
        typer.Option(
            "--name", metavar="HOST", help="Another name browsers know it by; may be repeated."
        ),
    ] = None,
    sessions: Annotated[
        int, typer.Option("--sessions", metavar="N", min=1, max=64, help="Browser tabs at a time.")
    ] = 4,
    read_only: ReadOnlyOption = False,
    state: StateOption = None,
    strategies: StrategiesOption = None,
    config: ConfigOption = None,
) -> None:
    """Show the read-only console in browsers until Ctrl-C.

    Prints the address to open; the token in it is made anew at every start. Every tab has a
    process of its own that follows the state file (--state) and cannot act. It listens on
    loopback unless --bind says otherwise; from another machine an ssh tunnel leads there. Needs
    the extra "web": pip install 'signaldeck[web]'.
    """
    with reporting() as ending:
        from console.serve_command import ServeOptions, run_serve

        _, _, file = given(context, state, strategies, config)
        project = project_of(context, state, strategies, config)
        options = ServeOptions(port, bind, tuple(name or ()), sessions, file)
        ending.status = run_serve(project, options)


@app.command("list")
def list_components(
    context: typer.Context,
    kind: Annotated[
        str,
        typer.Argument(
            metavar="[KIND]",
            help="strategies, exchanges, frames, risks, sizings, walkers or optimizers.",
        ),
    ] = "",
    json: JsonOption = False,
    state: StateOption = None,
    strategies: StrategiesOption = None,
    config: ConfigOption = None,
) -> None:
    """List what is registered, and from which file.

    Fails when a strategy file is broken; the others are listed all the same.
    """
    with reporting() as ending:
        from console.list_command import run_list

        project = project_of(context, state, strategies, config)
        ending.status = run_list(project, kind, as_json=json)


@app.command()
def doctor(
    context: typer.Context,
    json: JsonOption = False,
    state: StateOption = None,
    strategies: StrategiesOption = None,
    config: ConfigOption = None,
) -> None:
    """Check the installation, the configuration and every strategy.

    Looks at Python, packages, terminal, configuration, paths, strategy files and exchanges. Fails
    when one of them would keep a run from working.
    """
    with reporting() as ending:
        from console.doctor import run_doctor
        from console.interface import project_problems

        chosen = given(context, state, strategies, config)
        ending.status = run_doctor(*chosen, as_json=json, unusable=project_problems)
