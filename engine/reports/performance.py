"""How fast a run is: durations of its pieces, by type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.core.durations import Durations
from engine.domain.events import Performance
from engine.reports.columns import Column, column, number_text
from engine.reports.markdown import bold_line, column_table, document, escape


@dataclass(frozen=True, slots=True)
class MetricStatistics:
    """All measurements of one type, in milliseconds of wall time.

    ``std_dev`` divides by n. The percentiles are nearest ranks; beyond
    `engine.core.durations.KEPT` measurements they are read from buckets, within 0.14 %. A wait is
    the time since the measurement before, of any type; without any it is None.
    """

    metric_type: str
    count: int
    total_duration: float
    avg_duration: float
    min_duration: float
    max_duration: float
    std_dev: float
    median: float
    p95: float
    p99: float
    avg_wait_time: float | None
    min_wait_time: float | None
    max_wait_time: float | None


@dataclass(frozen=True, slots=True)
class PerformanceStatistics:
    """Every measurement of a run since it was started in this process.

    Attributes:
        total_duration: sum over all types, ms; types overlap.
        metric_stats: statistics by metric type.
        events: the newest measurements, newest first; bounded.
    """

    strategy_name: str
    total_events: int
    total_duration: float
    metric_stats: Mapping[str, MetricStatistics]
    events: tuple[Performance, ...]


def metric_statistics(metric_type: str, durations: Durations, waits: Durations) -> MetricStatistics:
    """Statistics of one type.

    Args:
        metric_type: its name.
        durations: all its measurements, at least one, ms.
        waits: times since the measurements before them, ms.
    """
    return MetricStatistics(
        metric_type,
        durations.count,
        durations.total,
        durations.mean or 0.0,
        durations.minimum or 0.0,
        durations.maximum or 0.0,
        durations.deviation or 0.0,
        durations.percentile(50) or 0.0,
        durations.percentile(95) or 0.0,
        durations.percentile(99) or 0.0,
        waits.mean,
        waits.minimum,
        waits.maximum,
    )


def performance_statistics(
    strategy_name: str,
    by_type: Mapping[str, tuple[Durations, Durations]],
    newest: Sequence[Performance],
) -> PerformanceStatistics:
    """Statistics of a run.

    Args:
        strategy_name: the run's strategy.
        by_type: durations and waits by metric type, ms.
        newest: the newest measurements, newest first.
    """
    found = {name: metric_statistics(name, *both) for name, both in by_type.items()}
    return PerformanceStatistics(
        strategy_name,
        sum(item.count for item in found.values()),
        sum(item.total_duration for item in found.values()),
        found,
        tuple(newest),
    )


PERFORMANCE_COLUMNS: Final[tuple[Column[MetricStatistics], ...]] = (
    column("metric_type", "Metric Type", lambda row: row.metric_type),
    column("count", "Count", lambda row: str(row.count)),
    column("total", "Total (ms)", lambda row: number_text(row.total_duration, 2)),
    column("avg", "Avg (ms)", lambda row: number_text(row.avg_duration, 2)),
    column("min", "Min (ms)", lambda row: number_text(row.min_duration, 2)),
    column("max", "Max (ms)", lambda row: number_text(row.max_duration, 2)),
    column("std_dev", "Std Dev (ms)", lambda row: number_text(row.std_dev, 2)),
    column("median", "Median (ms)", lambda row: number_text(row.median, 2)),
    column("p95", "P95 (ms)", lambda row: number_text(row.p95, 2)),
    column("p99", "P99 (ms)", lambda row: number_text(row.p99, 2)),
    column("avg_wait", "Avg Wait (ms)", lambda row: number_text(row.avg_wait_time, 2)),
    column("min_wait", "Min Wait (ms)", lambda row: number_text(row.min_wait_time, 2)),
    column("max_wait", "Max Wait (ms)", lambda row: number_text(row.max_wait_time, 2)),
)


def by_total(data: PerformanceStatistics) -> tuple[MetricStatistics, ...]:
    """The metric types, the one that took longest first."""
    return tuple(sorted(data.metric_stats.values(), key=lambda item: -item.total_duration))


def performance_report(
    data: PerformanceStatistics, columns: Sequence[Column[MetricStatistics]]
) -> str:
    """The Markdown report: totals, how they divide, and the table of types."""
    blocks = [f"# Performance Report: {escape(data.strategy_name)}"]
    if not data.total_events:
        blocks.append("No measurements yet.")
    else:
        ordered = by_total(data)
        totals = (
            ("Total events", str(data.total_events)),
            ("Total execution time", f"{data.total_duration:.2f} ms"),
            ("Number of metric types", str(len(ordered))),
        )
        blocks += [
            "\n".join(bold_line(label, text) for label, text in totals),
            "## Time Distribution",
            "\n".join(_share(item, data.total_duration) for item in ordered),
            "## Detailed Metrics",
            column_table(columns, ordered),
            "A signal lies within its backtest, and so does every frame: the types overlap. Waits "
            "are the time since the measurement before, of any type.",
        ]
    return document(blocks)


def _share(item: MetricStatistics, total: float) -> str:
    share = item.total_duration / total * 100 if total else 0.0
    label = escape(item.metric_type)
    return f"- **{label}**: {share:.1f}% ({item.total_duration:.2f} ms total)"
