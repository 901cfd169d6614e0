"""Settings, columns of reports and the log of the current engine.

Settings are read when a run starts: a change never reaches a run that goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.domain.errors import SettingsError
from engine.domain.settings import Settings
from engine.domain.texts import value_text
from engine.reports.column_sets import default_columns
from engine.reports.columns import Column, ColumnsError, ColumnSets, updated_columns
from engine.runtime import current_engine
from engine.services.forwarding import Logger


def set_config(
    changes: Mapping[str, Any] | None = None, /, *, unsafe: bool = False, **fields: Any
) -> dict[str, Any]:
    """Change settings for runs started from now on and return all of them.

    Args:
        changes: settings by name, for example ``{"percent_fee": 0.05}``.
        unsafe: skip what is checked between settings, for test beds; names and types are checked.
        fields: the same as keywords.

    Returns:
        All settings in force now, by name.

    Raises:
        SettingsError: nothing was changed; every problem is numbered.
    """
    if changes is not None and not isinstance(changes, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise SettingsError([f"settings are {value_text(changes)}: must be a mapping"])
    return current_engine().configure({**(changes or {}), **fields}, unsafe=unsafe).model_dump()


def get_config() -> dict[str, Any]:
    """A copy of the settings in force.

    Returns:
        All settings by name; changing it changes nothing else.
    """
    return current_engine().settings.model_dump()


def get_default_config() -> Settings:
    """The defaults, immutable.

    Returns:
        The settings of an engine that was told nothing.
    """
    return Settings()


def set_columns(
    changes: Mapping[str, object] | None = None, /, *, unsafe: bool = False, **fields: object
) -> dict[str, list[Column[Any]]]:
    """Replace the columns of reports, collection by collection, and return all of them.

    Args:
        changes: lists of columns by the collection's name, for example ``backtest_columns``; a
            column is a `Column` or a mapping with ``key, label, format, is_visible``.
        unsafe: skip the validation of columns.
        fields: the same as keywords.

    Returns:
        All collections in force now, by name.

    Raises:
        ColumnsError: nothing was changed; every fault is numbered.
    """
    if changes is not None and not isinstance(changes, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ColumnsError([f"columns are {value_text(changes)}: must be a mapping"])
    engine = current_engine()
    engine.columns = updated_columns(engine.columns, {**(changes or {}), **fields}, unsafe=unsafe)
    return get_columns()


def get_columns() -> dict[str, list[Column[Any]]]:
    """A copy of the collections of columns in force.

    Returns:
        Lists of columns by the collection's name; changing them changes nothing else.
    """
    return {name: list(columns) for name, columns in current_engine().columns.items()}


def get_default_columns() -> ColumnSets:
    """The collections of columns as shipped, immutable.

    Returns:
        Columns by the collection's name.
    """
    return default_columns(lambda: current_engine().settings.report_show_signal_note)


def set_logger(logger: Logger | None) -> None:
    """Send what the engine logs to an object of yours as well; None ends that.

    Args:
        logger: has ``debug``, ``info`` and ``warn``; each is called with a topic, a payload
            (``message``, and ``error`` if there is one) and two mappings that say which run and
            which instant it is about, empty outside of a run. It is called where it happens, from
            threads too, and must not wait.
    """
    current_engine().forward_log(logger)
