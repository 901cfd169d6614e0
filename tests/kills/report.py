"""Which kills an ordeal consists of, and what it came to, as text."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from tests.kills.fate import POINTS
from tests.kills.lives import Kill
from tests.kills.ordeal import Result

_SHOWN = 40


def planned(seed: int, random_kills: int) -> list[Kill]:
    """Every point once, and so many kills at random, in random order."""
    chance = random.Random(f"kills {seed}")
    kills = [Kill(point, chance.randint(1, 9)) for point in POINTS]
    kills += [Kill.at_random(chance) for _ in range(random_kills - 2)]
    chance.shuffle(kills)
    # The first two lives die while they make the file.
    return [Kill(seconds=chance.uniform(0.01, 0.08)) for _ in range(2)] + kills


def report(results: Sequence[Result]) -> str:
    """The kills by point, what went on meanwhile, and everything that was found."""
    kills, entries = Counter[str](), Counter[str]()
    for result in results:
        kills += result.kills
        entries += result.entries
    rows = [(point, kills[point]) for point in (*POINTS, "random") if kills[point]]
    width = max(len(point) for point, _ in rows)
    lines = ["killed at"]
    lines += [f"  {point:<{width}}  {count:>4}" for point, count in rows]
    events = ", ".join(f"{count} {kind}" for kind, count in sorted(entries.items()))
    lines += [
        f"{kills.total()} kills in {sum(r.minutes for r in results)} minutes of trading, "
        f"{sum(r.seconds for r in results):.0f} s",
        f"journal: {events}; {sum(r.commands for r in results)} operator's commands",
        f"{sum(r.heard for r in results)} events heard, {sum(r.replayed for r in results)} of them "
        f"replayed; {sum(r.asked_again for r in results)} attempts cut short and repeated",
    ]
    for result in results:
        trades = result.entries["closed"]
        verdict = f"{len(result.findings)} FINDINGS" if result.findings else "as undisturbed"
        settings = ", ".join(f"{name}={value}" for name, value in result.settings.items())
        lines.append(
            f"seed {result.seed} ({settings or 'default settings'}): {trades} trades, {verdict}"
        )
        lines += [f"  {finding}" for finding in result.findings[:_SHOWN]]
    return "\n".join(lines)
