"""``python -m tests.kills``: as many kills as wanted, on scenarios of a new seed each time."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.kills.lives import Zygote
from tests.kills.ordeal import Ordeal, Result
from tests.kills.report import planned, report

_IN_ONE_ORDEAL = 50
_SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"exit_trigger": "touch"},
    {"fill_price": "vwap"},
    {"exit_trigger": "touch", "fill_price": "vwap"},
)


async def suffered(seed: int, number: int, kills: int, zygote: Zygote, folder: Path) -> Result:
    """One ordeal; its seed and settings follow from its number."""
    settings = _SETTINGS[number % len(_SETTINGS)]
    async with Ordeal(zygote, folder, seed + number, settings) as ordeal:
        await ordeal.suffer(planned(seed + number, kills))
        return await ordeal.finish()


def main() -> int:
    """Print each ordeal and the sum; 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=300, help="at random, besides every point")
    parser.add_argument("--seed", type=int, help="of the first scenario; printed when not given")
    parser.add_argument("--keep", type=Path, help="leave the state files here")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.randrange(1_000_000)
    print(f"seed {seed}", flush=True)
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as name, Zygote() as zygote:
        left = given.kills
        while left > 0:
            kills = min(left, _IN_ONE_ORDEAL)
            folder = (given.keep or Path(name)) / str(len(results))
            folder.mkdir(parents=True)
            results.append(asyncio.run(suffered(seed, len(results), kills, zygote, folder)))
            print(report(results[-1:]).splitlines()[-1 - len(results[-1].findings)], flush=True)
            left -= kills
    print(report(results))
    return int(any(result.findings for result in results))


if __name__ == "__main__":
    sys.exit(main())
