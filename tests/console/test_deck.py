from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from console.deck import DeckState
from console.views import BacktestView, Catalog, InstanceView, StrategyItem
from engine.domain.errors import RunError
from engine.domain.events import DataStatus, InstanceChanged, RiskRejection
from engine.domain.signals import (
    Active,
    Cancelled,
    CancelReason,
    Closed,
    CloseReason,
    Idle,
    Mode,
    Opened,
    PnL,
    Position,
    RunKey,
    Scheduled,
    SignalRow,
)
from engine.domain.time import MINUTE

T0 = 1_700_000_040_000
KEY = RunKey(Mode.LIVE, "sim", "breakout", "BTCUSDT")
OTHER = RunKey(Mode.LIVE, "sim", "sma-cross", "ETHUSDT")


def deck(**options: Any) -> DeckState:
    return DeckState(badge="SIGNALS ONLY", **options)


def row(*, waiting: bool = False, position: Position = Position.LONG) -> SignalRow:
    return SignalRow(
        id="s1",
        symbol="BTCUSDT",
        strategy_name="breakout",
        exchange_name="sim",
        position=position,
        price_open=100.0,
        price_take_profit=102.0,
        price_stop_loss=99.0,
        minute_estimated_time=60,
        scheduled_at=T0,
        pending_at=T0,
        is_scheduled=waiting,
        note="a note\nof two lines",
    )


def status(to: str, key: RunKey = KEY, number: str = "i1", error: str = "") -> InstanceChanged:
    return InstanceChanged(number, key, to, key.mode, T0, error)


def closed(pnl: float, when: int = T0 + MINUTE) -> Closed:
    booked = PnL(pnl, 100.0, 101.0, 100.1, 100.9)
    return Closed(KEY, when, 101.0, row(), CloseReason.TAKE_PROFIT, when, booked)


def only(state: DeckState) -> InstanceView:
    (view,) = state.snapshot(T0, 1.0).instances
    return view


def test_a_run_appears_idle_and_follows_its_status() -> None:
    state = deck()
    state.apply(status("idle"))
    assert only(state).status == "idle"
    state.apply(status("running"))
    state.apply(status("failed", error="boom\nmore"))
    view = only(state)
    assert (view.instance_id, view.symbol, view.strategy_name) == ("i1", "BTCUSDT", "breakout")
    assert (view.status, view.last_error) == ("failed", "boom")


def test_rows_keep_the_order_of_first_appearance() -> None:
    state = deck()
    state.apply(status("running", OTHER, "i2"))
    state.apply(status("running"))
    state.apply(Idle(OTHER, T0, 5.0))
    state.apply(status("done", OTHER, "i2"))
    assert [v.instance_id for v in state.snapshot(T0, 1.0).instances] == ["i2", "i1"]


def test_backtests_never_become_live_rows() -> None:
    state = deck()
    state.apply(status("running", replace(KEY, mode=Mode.BACKTEST)))
    assert state.snapshot(T0, 1.0).instances == ()


def test_an_open_position_is_marked_and_expires() -> None:
    state = deck(profit=lambda signal, price: price - signal.price_open)
    state.apply(status("running"))
    entry = state.apply(Opened(KEY, T0, 100.0, row()))
    assert entry is not None
    assert (entry.action, entry.price, entry.detail) == ("opened", 100.0, "a note")
    view = only(state)
    assert (view.position, view.path, view.pnl_percent) == ("long", 0.0, 0.0)
    assert (view.entry, view.take_profit, view.stop_loss) == (100.0, 102.0, 99.0)
    assert view.expires_at == T0 + 60 * MINUTE
    assert state.apply(Active(KEY, T0 + MINUTE, 101.0, row(), percent_tp=50.0)) is None
    view = only(state)
    assert (view.path, view.pnl_percent, view.last_tick) == (50.0, 1.0, T0 + MINUTE)
    state.apply(Active(KEY, T0 + 2 * MINUTE, 99.5, row(), percent_sl=50.0))
    assert only(state).path == -50.0


def test_a_waiting_signal_times_out_by_the_setting_and_has_no_profit() -> None:
    state = deck(schedule_minutes=30, profit=lambda signal, price: 1.0)
    entry = state.apply(Scheduled(KEY, T0, 101.0, row(waiting=True, position=Position.SHORT)))
    assert entry is not None and (entry.action, entry.price) == ("scheduled", 100.0)
    view = only(state)
    assert (view.position, view.pnl_percent, view.path) == ("short waiting", None, None)
    assert view.expires_at == T0 + 30 * MINUTE
    cancelled = Cancelled(KEY, T0, 98.0, row(waiting=True), CancelReason.TIMEOUT, T0)
    entry = state.apply(cancelled)
    assert entry is not None and (entry.action, entry.detail) == ("cancelled", "timeout")
    assert (only(state).position, only(state).expires_at) == ("", None)


def test_trades_are_counted_per_session() -> None:
    state = deck()
    state.apply(status("running"))
    for pnl in (1.0, -0.5, 0.0):
        entry = state.apply(closed(pnl))
        assert entry is not None and (entry.pnl_percent, entry.detail) == (pnl, "take_profit")
    view = only(state)
    assert (view.trades, view.wins, view.total_pnl, view.position) == (3, 1, 0.5, "")
    state.apply(status("stopping"))
    state.apply(status("running"))
    assert only(state).trades == 3, "a start while draining resumes the session"
    state.apply(status("done"))
    state.apply(status("running"))
    view = only(state)
    assert (view.trades, view.wins, view.total_pnl, view.errors) == (0, 0, 0.0, 0)


def test_errors_and_rejections_reach_feed_row_and_header() -> None:
    state = deck()
    state.apply(status("running"))
    error = RunError(
        ValueError("bad\nworse"),
        stage="get_signal",
        mode="live",
        symbol="BTCUSDT",
        strategy_name="breakout",
        exchange_name="sim",
        when=T0,
    )
    entry = state.apply(error)
    assert entry is not None
    assert (entry.action, entry.detail) == ("error", "get_signal: ValueError: bad")
    refused = RiskRejection(
        KEY, "demo", "BTCUSDT", "breakout", "sim", row(), 100.0, 3, "too many", T0
    )
    entry = state.apply(refused)
    assert entry is not None and (entry.action, entry.detail) == ("rejected", "too many")
    shot = state.snapshot(T0, 1.0)
    assert shot.header.errors == 1
    assert (shot.instances[0].errors, shot.instances[0].last_error) == (1, "ValueError: bad")


def test_an_error_of_an_exchange_is_one_entry_and_counts_for_every_run_on_its_symbol() -> None:
    state = deck()
    beside = replace(KEY, strategy_name="sma-cross")
    for number, key in enumerate((KEY, beside, OTHER)):
        state.apply(status("running", key, f"i{number}"))
    error = RunError(
        OSError("gone"), stage="exchange", mode="live", symbol="BTCUSDT", exchange_name="sim",
        when=T0,
    )  # fmt: skip
    state.apply(error)
    shot = state.snapshot(T0, 1.0)
    assert [view.errors for view in shot.instances] == [1, 1, 0]
    assert shot.instances[1].last_error == "OSError: gone"
    assert (shot.header.errors, shot.feed_total) == (1, 1)


def test_an_error_outside_of_any_run_is_shown_too() -> None:
    state = deck()
    state.snapshot(T0, 1.0)
    entry = state.apply(RunError(OSError("disk"), stage="listener"))
    assert entry is not None and (entry.when, entry.symbol) == (T0, "")
    assert state.snapshot(T0, 1.0).instances == ()


def test_late_data_is_said_in_row_and_header_until_it_arrives() -> None:
    state = deck()
    state.apply(status("running"))
    state.apply(status("running", OTHER, "i2"))
    state.apply(Idle(KEY, T0, 5.0))
    state.apply(DataStatus("sim", "BTCUSDT", True, T0, T0 + MINUTE))
    shot = state.snapshot(T0, 1.0)
    assert [v.flags for v in shot.instances] == [("stale",), ()]
    (health,) = shot.header.exchanges
    assert (health.exchange_name, health.newest_close, health.stale) == ("sim", T0, True)
    state.apply(DataStatus("sim", "BTCUSDT", False, T0 + MINUTE, T0 + MINUTE))
    shot = state.snapshot(T0, 1.0)
    assert shot.instances[0].flags == () and not shot.header.exchanges[0].stale


def test_flags_come_and_go() -> None:
    state = deck()
    state.apply(status("running"))
    state.flag(KEY, "stuck", True)
    state.flag(KEY, "stuck", True)
    assert only(state).flags == ("stuck",)
    state.flag(KEY, "stuck", False)
    assert only(state).flags == ()


def test_the_header_counts() -> None:
    state = deck()
    state.apply(status("running"))
    state.apply(status("stopping", OTHER, "i2"))
    state.apply(Opened(KEY, T0, 100.0, row()))
    state.apply(Scheduled(OTHER, T0, 100.0, row(waiting=True)))
    header = state.snapshot(T0 + 5, 7.5).header
    assert (header.running, header.open, header.scheduled) == (2, 1, 1)
    assert (header.now, header.heartbeat, header.badge) == (T0 + 5, 7.5, "SIGNALS ONLY")


def test_versions_move_only_for_what_changed_and_old_parts_are_reused() -> None:
    state = deck()
    state.apply(status("running"))
    state.apply(status("running", OTHER, "i2"))
    first = state.snapshot(T0, 1.0)
    state.apply(Idle(KEY, T0, 5.0))
    second = state.snapshot(T0, 2.0)
    assert second.versions.instances == first.versions.instances + 1
    assert second.versions.feed == first.versions.feed
    assert second.feed is first.feed and second.backtests is first.backtests
    assert second.instances[1] is first.instances[1]
    assert not state.is_dirty
    third = state.snapshot(T0, 3.0)
    assert third.instances is second.instances
    assert third.versions.header == second.versions.header + 1


def test_backtests_are_newest_first_and_replaced_in_place() -> None:
    state = deck()
    one = BacktestView("backtest-1", "breakout", "BTCUSDT", "sim", "1m", 0, 1, "queued")
    state.put_backtest(one)
    state.put_backtest(replace(one, run_id="backtest-2"))
    state.put_backtest(replace(one, status="running"))
    views = state.snapshot(T0, 1.0).backtests
    assert [(v.run_id, v.status) for v in views] == [
        ("backtest-2", "queued"),
        ("backtest-1", "running"),
    ]
    assert state.backtest("backtest-1") is views[1] and state.backtest("x") is None


def test_the_catalog_has_its_own_version() -> None:
    state = deck()
    before = state.snapshot(T0, 1.0).versions
    state.put_catalog(Catalog(strategies=(StrategyItem("breakout"),)))
    shot = state.snapshot(T0, 1.0)
    assert shot.catalog.strategies[0].name == "breakout"
    assert (shot.versions.catalog, shot.versions.feed) == (before.catalog + 1, before.feed)


@given(st.lists(st.sampled_from(["closed", "rejected", "error", "idle"]), max_size=60))
def test_the_feed_is_bounded_newest_first_and_numbered_without_gaps(kinds: list[str]) -> None:
    state = deck(feed_size=10)
    made = 0
    for kind in kinds:
        event: object = {
            "closed": closed(1.0),
            "rejected": RiskRejection(
                KEY, "demo", "BTCUSDT", "breakout", "sim", row(), 1.0, 1, "", T0
            ),
            "error": RunError(ValueError("x"), stage="tick", mode="live"),
            "idle": Idle(KEY, T0, 1.0),
        }[kind]
        made += state.apply(event) is not None
    shot = state.snapshot(T0, 1.0)
    assert shot.feed_total == made == sum(kind != "idle" for kind in kinds)
    numbers = [entry.number for entry in shot.feed]
    assert numbers == list(range(made, max(0, made - 10), -1))
