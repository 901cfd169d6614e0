"""A process trades on a local exchange and is killed again and again: nothing is lost or doubled.

Each ordeal kills at every write point and at random moments, checks after every restart, and is
compared with one undisturbed life. That the checks are worth something is shown by planted bugs.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kills.fate import POINTS
from tests.kills.lives import Kill, Zygote
from tests.kills.ordeal import Ordeal
from tests.kills.planted import BUGS
from tests.kills.report import planned, report

ORDEALS: list[tuple[int, dict[str, Any]]] = [
    (11, {}),
    (12, {"exit_trigger": "touch", "fill_price": "vwap"}),
]
RANDOM_KILLS = 20
"""In each of the ordeals."""


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote() as made:
        yield made


@pytest.mark.parametrize(("seed", "settings"), ORDEALS)
async def test_nothing_is_lost_or_doubled(
    zygote: Zygote, tmp_path: Path, capfd: pytest.CaptureFixture[str], seed: int,
    settings: dict[str, Any],
) -> None:  # fmt: skip
    async with Ordeal(zygote, tmp_path, seed, settings) as ordeal:
        await ordeal.suffer(planned(seed, RANDOM_KILLS))
        result = await ordeal.finish()
    text = report([result])
    with capfd.disabled():
        print(f"\n{text}", file=sys.stderr)
    assert not result.findings, text
    assert set(result.kills) == {*POINTS, "random"}
    # An ordeal in which nothing happens would prove nothing.
    for kind in ("scheduled", "opened", "closed", "cancelled", "partial", "risk"):
        assert result.entries[kind] > 5, text
    assert result.replayed and result.asked_again and result.commands > 10, text
    assert result.entries["closed"] > 25, text


@pytest.mark.parametrize("name", BUGS)
async def test_planted_bugs_are_found(zygote: Zygote, tmp_path: Path, name: str) -> None:
    bug, chance = BUGS[name], random.Random(name)
    kills = [Kill(p, chance.randint(*bug.arrivals)) for _ in range(15) for p in bug.points]
    async with Ordeal(zygote, tmp_path, bug.seed, {}, planted=name) as ordeal:
        await ordeal.suffer(kills, until_found=True)
    found = [str(finding) for finding in ordeal.result.findings]
    print(f"{name}: after {ordeal.result.kills.total()} kills:", *found[:5], sep="\n  ")
    assert any(part in text for part in bug.found for text in found), found
