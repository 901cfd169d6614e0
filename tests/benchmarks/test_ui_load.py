"""The load on the console measures what it says: events flow, keys show, none is lost.

Half a minute of what ``make bench-ui`` does for ten, without its thresholds: how fast a shared
machine draws is not the program's.
"""

from __future__ import annotations

from tests.benchmarks.ui_load import Measured, measure, table


def test_no_key_is_lost_under_load() -> None:
    found = measure("console", 30.0, idle=0.5)
    assert found.lost == 0 and len(found.latencies) > 50
    assert found.rate > 500
    assert found.cpu > 0 and found.engine > 0 and found.memory and found.bytes_per_second > 1_000
    shown = table([found])
    assert "key to paint, p99" in shown and "keys lost                          0" in shown


def test_percentiles_are_nearest_ranks() -> None:
    found = Measured("console", latencies=[float(n) for n in range(200, 0, -1)])
    assert (found.percentile(50), found.percentile(99)) == (100.0, 198.0)
    found.memory = [90.0, 95.0, 100.0, *[101.0] * 7, 102.0]
    assert found.growth == 2.0
