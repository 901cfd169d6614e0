"""What every test is run with."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import pytest

from tests.console.cli_bed import environment
from tests.console.warm import WarmCommand


def pytest_collection_finish() -> None:
    """What the imports made stays: looking for garbage in it takes a quarter of a test's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(autouse=True)
def logger_as_it_was() -> Iterator[None]:
    """A program under test may send the log elsewhere: the next test gets it back."""
    logger = logging.getLogger("signaldeck")
    level, propagate, handlers = logger.level, logger.propagate, [*logger.handlers]
    yield
    logger.propagate = propagate
    logger.setLevel(level)
    for handler in [*logger.handlers]:
        if handler not in handlers:
            logger.removeHandler(handler)


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmCommand]:
    """The command with its imports made."""
    command = WarmCommand(environment(tmp_path_factory.mktemp("home")))
    yield command
    command.close()
