"""Options that several commands have, and what those written before a command's name mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from console.settings import Project

StateOption = Annotated[
    str | None, typer.Option("--state", metavar="FILE", help="State file of live runs.")
]
StrategiesOption = Annotated[
    Path | None,
    typer.Option("--strategies", metavar="DIR", help="Folder of your strategy files."),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Configuration, instead of signaldeck.toml."),
]
CleanOption = Annotated[
    bool,
    typer.Option(
        "--start-clean-if-damaged",
        help="Set a damaged state file aside and start with an empty one.",
    ),
]
ReadOnlyOption = Annotated[
    bool,
    typer.Option("--read-only", help="Only follow a state file that another process owns."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
FromOption = Annotated[
    str, typer.Option("--from", metavar="D", help="First instant, UTC: 2024-01-31[T10:05].")
]
ToOption = Annotated[str, typer.Option("--to", metavar="D", help="Last instant, UTC, inclusive.")]
ExchangeOption = Annotated[
    str, typer.Option("--exchange", metavar="E", help="Exchange to take bars from.")
]
DataOption = Annotated[
    list[Path] | None,
    typer.Option("--data", metavar="FILE", help="CSV or Parquet file(s) of 1m bars, instead of E."),
]
IntervalOption = Annotated[
    str, typer.Option("--interval", metavar="I", help="Interval of the frame's instants.")
]
ReportOption = Annotated[
    Path | None, typer.Option("--report", metavar="DIR", help="Write the report there.")
]


def given(
    context: typer.Context, state: str | None, strategies: Path | None, config: Path | None
) -> tuple[str | None, Path | None, Path | None]:
    """The options of a command, or those written before the command's name."""
    before = context.obj or (None, None, None)
    return state or before[0], strategies or before[1], config or before[2]


def project_of(
    context: typer.Context,
    state: str | None = None,
    strategies: Path | None = None,
    config: Path | None = None,
) -> Project:
    """The project that the options of a command mean.

    Raises:
        ConfigError: it cannot be used.
    """
    from console.settings import read_project

    return read_project(*given(context, state, strategies, config))
