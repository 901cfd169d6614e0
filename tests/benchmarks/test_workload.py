"""The benchmark measures what it says: every variant makes the same trades as the bare loop."""

from __future__ import annotations

from tests.benchmarks.workloads import measure


def test_every_variant_of_w1_makes_the_trades_of_the_bare_loop() -> None:
    results = measure(minutes=20_000, rounds=1)
    assert len(results) == 4
    assert results[0].trades > 20
    assert len({(result.calls, result.trades, result.digest) for result in results}) == 1
