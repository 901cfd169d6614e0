"""A week of random trouble on twenty runs: ``make faults``.

Prints what was done to the exchange, what the runs said of it, how fast they recovered and how many
trades were compared with backtests of the served bars; ends with 1 if anything was wrong. The seed
is random and printed: the same one makes the same week again.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from engine.domain.time import MINUTE, parse_instant
from tests.faults import checks
from tests.faults.simulation import Observed, Plan, simulate
from tests.faults.troubled import SkippingLoop, Trouble
from tests.faults.weather import mixture

START = parse_instant("2024-03-04T00:00")
_DAY_MINUTES = 1440
_LONGEST = 10 * MINUTE
_NO_BAR = "a minute without a bar"
_HEAD = ("fault", "injected", "error events", "stale events", "worst recovery", "trades compared")


def main(given: Sequence[str] | None = None) -> int:
    """Simulate, check, print; 0 when all is well."""
    options = _arguments(given)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    minutes = round(options.days * _DAY_MINUTES)
    print(f"{options.days:g} days, 20 runs, seed {seed} (again: --seed {seed})", flush=True)
    logging.getLogger("signaldeck").setLevel(logging.CRITICAL)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        state, cache = Path(folder) / "state.db", Path(folder) / "cache"
        plan = mixture(seed, START, minutes, state=state, cache=cache)
        with asyncio.Runner(loop_factory=SkippingLoop) as runner:
            seen = runner.run(simulate(plan, _progress))
    backtested = asyncio.run(checks.backtests(seen))
    wrong = checks.problems(seen, backtested)
    for line in table(seen):
        print(line)
    print(_summary(seen, plan, time.monotonic() - begun))
    for problem in wrong[:50]:
        print(f"WRONG: {problem}")
    print(f"{len(wrong)} problems" if wrong else "all is well")
    return 1 if wrong else 0


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, help="of faults and market; a random one")
    parser.add_argument("--days", type=float, default=7.0)
    return parser.parse_args(given)


def _progress(minute: int) -> None:
    if minute and minute % _DAY_MINUTES == 0:
        print(f"day {minute // _DAY_MINUTES} is over", file=sys.stderr, flush=True)


def table(seen: Observed) -> list[str]:
    """One line a fault, most frequent first.

    A failed request belongs to the last fault that it had met, late data to the last one before
    its minute was over, a trade to every fault that its symbol met between its begin and its end.
    """
    mine = {
        symbol: sorted(
            (t for t in seen.troubles if t.symbol == symbol or t.for_all), key=lambda t: t.when
        )
        for symbol in seen.bars
    }
    starts = {symbol: [t.when for t in found] for symbol, found in mine.items()}
    failed = Counter(
        _cause(mine[call.symbol], starts[call.symbol], call.began, call.ended)
        for call in checks.failed_calls(seen)
    )
    late = Counter(
        _cause(mine[status.symbol], starts[status.symbol], status.when, status.when + MINUTE)
        for status in seen.statuses
        if status.stale
    )
    worst: dict[str, int] = {}
    for _, trouble, ticks in checks.recoveries(seen):
        if trouble is not None:
            worst[trouble.name] = max(worst.get(trouble.name, 0), ticks)
    trades = _trades(seen, mine, starts)
    injected = Counter(trouble.name for trouble in seen.troubles)
    rows = [
        (name, str(count), str(failed[name]), str(late[name]), _ticks(worst.get(name)),
         str(trades[name]))
        for name, count in (*injected.most_common(), (_NO_BAR, 0))
    ]  # fmt: skip
    widths = [max(len(row[n]) for row in (_HEAD, *rows)) for n in range(len(_HEAD))]
    return [_line(row, widths) for row in (_HEAD, tuple("-" * w for w in widths), *rows)]


def _cause(troubles: list[Trouble], starts: list[int], begin: int, end: int) -> str:
    """The last harmful fault with an effect between two instants."""
    for trouble in reversed(troubles[: bisect_right(starts, end)]):
        if trouble.name in checks.HARMLESS:
            continue
        if trouble.until >= begin:
            return trouble.name
        if trouble.when < begin - _LONGEST:
            break
    return _NO_BAR


def _trades(
    seen: Observed, mine: dict[str, list[Trouble]], starts: dict[str, list[int]]
) -> Counter[str]:
    found: Counter[str] = Counter()
    for (_, symbol), results in seen.transitions.items():
        for result in results:
            if str(result.action) == "closed":
                first = bisect_right(starts[symbol], result.signal.pending_at)
                until = bisect_right(starts[symbol], result.close_timestamp)
                found.update({trouble.name for trouble in mine[symbol][first:until]})
    return found


def _ticks(count: int | None) -> str:
    if count is None:
        return "none needed"
    return "same tick" if count == 0 else f"{count} tick{'s' * (count > 1)}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    return "  ".join([first, *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))])


def _summary(seen: Observed, plan: Plan, seconds: float) -> str:
    closed = [
        result for results in seen.transitions.values() for result in results
        if str(result.action) == "closed"
    ]  # fmt: skip
    failed = len(checks.failed_calls(seen))
    told = sum(event.stage != "validation" for event in seen.errors)
    quiet = sum(len(checks.quiet_minutes(seen, symbol)) for symbol in seen.bars)
    return (
        f"{len(seen.troubles)} faults in {len(seen.questions)} requests for candles; "
        f"{failed} requests failed for good, {told} error events; "
        f"{sum(s.stale for s in seen.statuses)} times late; {len(closed)} trades of "
        f"{len(seen.transitions)} runs compared (exit_trigger {plan.settings['exit_trigger']}); "
        f"{quiet} quiet minutes with one request each; {seconds:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
