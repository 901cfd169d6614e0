"""Commits of a run, where a cancellation may fall between the file and the memory.

What is in the file has to be in memory too: a later session of the same process goes on from there,
and would otherwise leave a position alone or close it a second time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from engine.domain.changes import Change, Committed
from engine.domain.ports import Store


async def committed(
    store: Store, changes: Sequence[Change], on_failure: Callable[[], None] | None = None
) -> tuple[int, ...]:
    """Commit; the journal numbers of what must now be delivered.

    A cancellation that comes while the commit is carried out strikes at the next wait.

    Args:
        store: where to.
        changes: what changes.
        on_failure: takes back what was changed in memory beforehand.

    Raises:
        StateError: nothing was changed.
    """
    try:
        return await store.commit(changes)
    except asyncio.CancelledError as cancelled:
        task = asyncio.current_task()
        match cancelled.args:
            case (Committed(numbers),) if task is not None:
                task.cancel()
                return numbers
            case _:
                _take_back(on_failure)
                raise
    except BaseException:
        _take_back(on_failure)
        raise


def _take_back(on_failure: Callable[[], None] | None) -> None:
    if on_failure is not None:
        on_failure()
