"""Six hours of random trouble on twenty runs, with the state in SQLite and the candle cache on."""

from __future__ import annotations

import asyncio

import pytest

from engine.domain.time import parse_instant
from tests.faults import checks
from tests.faults.simulation import Observed, simulate
from tests.faults.troubled import SkippingLoop
from tests.faults.weather import mixture

pytestmark = pytest.mark.xdist_group("faults mixed")

START = parse_instant("2024-03-04T09:00")
SEED = 20240304


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Observed:
    folder = tmp_path_factory.mktemp("mixture")
    plan = mixture(SEED, START, 360, state=folder / "state.db", cache=folder / "cache")
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        return runner.run(simulate(plan))


async def test_all_is_well(seen: Observed) -> None:
    backtested = await checks.backtests(seen)
    assert checks.problems(seen, backtested) == []


def test_the_weather_was_bad(seen: Observed) -> None:
    """A calm six hours would have shown nothing."""
    assert len({trouble.name for trouble in seen.troubles}) >= 15
    assert len(seen.troubles) >= 300
    assert sum(event.stage == "exchange" for event in seen.errors) >= 30
    assert sum(status.stale for status in seen.statuses) >= 20
    assert len({offset for offset in seen.offsets if offset is not None}) >= 4
    transitions = [r for found in seen.transitions.values() for r in found]
    assert sum(str(r.action) == "closed" for r in transitions) >= 100
    assert any("came after its minute had been filled" in text for text in seen.warnings)
    assert sum(len(checks.quiet_minutes(seen, symbol)) for symbol in seen.bars) >= 200
