"""What an operator does to runs over the past: backtests, walkers and optimizers, one or several.

They end by themselves, and one that is started again is another run: the cursor goes to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, TypeAlias

from console.views import BacktestView, OptimizerView
from console.walker_views import WalkerView
from screens.base import BaseScreen
from screens.confirm import Answer, ConfirmDialog
from screens.several import BulkCommand, act_on_several
from screens.text import clean, day, many
from screens.widgets.backtest_tables import ENDED

BatchView: TypeAlias = BacktestView | WalkerView | OptimizerView
"""A run over the past."""

ACTIONS: Final = ("stop_run", "start_again")
"""What can be done to one; `batch_refusal` knows their names."""


def batch_name(view: BatchView) -> str:
    """What a run is called."""
    if isinstance(view, BacktestView):
        name = view.strategy_name
    else:
        name = view.walker_name if isinstance(view, WalkerView) else view.optimizer_name
    return f"{clean(name)} {clean(view.symbol)}"


def batch_refusal(action: str, view: BatchView) -> str:
    """Why an action cannot act on a run now, "" when it can.

    Args:
        action: one of `ACTIONS`.
        view: the run.
    """
    name = batch_name(view)
    if action == "stop_run" and view.status in ENDED:
        return f"{name} has ended ({view.status})"
    if action == "stop_run" and view.status == "stopping":
        return f"{name} is stopping already"
    if action == "start_again" and view.status not in ENDED:
        return f"{name} has not ended yet ({view.status})"
    return ""


async def stop_batch(screen: BaseScreen, view: BatchView) -> None:
    """Ask, then stop a run."""
    if isinstance(view, BacktestView):
        kind = "backtest"
        effect = "It opens nothing new and ends; what it has done so far is kept as its result."
    elif isinstance(view, WalkerView):
        kind = "walker"
        effect = "No further strategy is tested; what has finished stays ranked."
    else:
        kind, effect = "optimizer", "It ends where it is; nothing is written."
    dialog = ConfirmDialog(
        f"Stop the {kind} {batch_name(view)}?",
        effect,
        (Answer("no", "No, let it run"), Answer("yes", "Stop")),
    )
    if await screen.app.push_screen_wait(dialog) == "yes":
        host = screen.context.host
        said = await screen.ask(lambda: host.stop_run(view.run_id), "stop")
        if said is not None:
            screen.notify(clean(said), title="stopping", markup=False)


async def start_again(screen: BaseScreen, view: BatchView) -> None:
    """Start a run once more, as another one."""
    host, before = screen.context.host, _listed(screen, view)
    said = await screen.ask(lambda: host.start_again(view.run_id), "start")
    if said is not None:
        screen.notify(clean(said), title="started", markup=False)
        _select_started(screen, before, _listed(screen, view))


async def act_on_backtests(screen: BaseScreen, action: str, views: Sequence[BacktestView]) -> bool:
    """Ask once, then do one of `ACTIONS` to every backtest that can take it; whether it was."""
    host, before = screen.context.host, screen.context.snapshot.backtests
    stops = action == "stop_run"
    verb = "Stop" if stops else "Start again"
    bulk = BulkCommand[BacktestView](
        verb=verb,
        question=lambda amount: f"{verb} {many(amount, 'backtest')}?",
        remark="They open nothing new and end; what they have done so far is kept."
        if stops
        else "",
        key=lambda view: view.run_id,
        name=batch_name,
        refusal=partial(batch_refusal, action),
        effect=_stops if stops else _starts,
        command=host.stop_run if stops else host.start_again,
        now=lambda: screen.context.snapshot.backtests,
        same=lambda asked, now: True,
    )
    done = await act_on_several(screen, bulk, views)
    if done and not stops:
        _select_started(screen, before, screen.context.snapshot.backtests)
    return done


def _stops(view: BacktestView) -> str:
    if view.status == "queued":
        return "has not begun, leaves the queue"
    return f"has done {100 * view.progress:.1f} %, ends"


def _starts(view: BacktestView) -> str:
    return f"is {view.status}, runs again from {day(view.frame_start)} to {day(view.frame_end)}"


def _listed(screen: BaseScreen, view: BatchView) -> Sequence[BatchView]:
    """The runs of a run's kind, newest first."""
    snapshot = screen.context.snapshot
    if isinstance(view, BacktestView):
        return snapshot.backtests
    return snapshot.walkers if isinstance(view, WalkerView) else snapshot.optimizers


def _select_started(
    screen: BaseScreen, before: Sequence[BatchView], now: Sequence[BatchView]
) -> None:
    """Put the cursor on the newest of the runs that were not there before."""
    known = {view.run_id for view in before}
    started = next((view.run_id for view in now if view.run_id not in known), None)
    if started is not None:
        screen.select_run(started)
