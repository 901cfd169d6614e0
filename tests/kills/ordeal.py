"""An ordeal: one scenario lived in many lives, checked after each death, and compared in the end.

The other side of the comparison is the same scenario lived in one life on a file of its own. The
clock stood still while nobody was alive, so both have to end with the same journal but for the
signals' names, and with the same statistics to the last bit.
"""

from __future__ import annotations

import json
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Self

from engine.adapters.store.reader import StateReader
from engine.domain.bars import Candles
from engine.domain.changes import RunState
from engine.domain.settings import Settings
from engine.reports.statistics import summarise
from tests.kills import statefile
from tests.kills.checker import Checker
from tests.kills.contract import MINUTE, Rules, Tape
from tests.kills.fate import read_clock, set_clock
from tests.kills.life import CLOCK, REPORT, STATE, Orders
from tests.kills.lives import Kill, Zygote
from tests.kills.scenario import SETTINGS, START, LateBars, commands, market
from tests.kills.statefile import RunKey, StateFile
from tests.kills.witnesses import Witnesses, lines
from tests.kills.zygote import OUTPUT
from tests.servers.exchange import ExchangeServer

_MORE_MINUTES = 10
"""How long the last life goes on after the last kill."""

_FLUSHES = (0.002, 0.02, 0.2)
"""How long marks of delivery may wait, s: chosen anew for every life."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong, and the kill after which it was found ("" for the end)."""

    after: str
    text: str

    def __str__(self) -> str:
        return f"after {self.after or 'the last life'}: {self.text}"


@dataclass
class Result:
    """What an ordeal came to."""

    seed: int
    settings: dict[str, Any]
    kills: Counter[str] = field(default_factory=Counter[str])
    minutes: int = 0
    entries: Counter[str] = field(default_factory=Counter[str])
    heard: int = 0
    replayed: int = 0
    asked_again: int = 0
    commands: int = 0
    statistics: dict[str, Any] = field(default_factory=dict[str, Any])
    findings: list[Finding] = field(default_factory=list[Finding])
    seconds: float = 0.0


class Branch:
    """A folder with a state file and a standing clock, and the exchange that goes by that clock."""

    def __init__(
        self, zygote: Zygote, folder: Path, bars: dict[str, Candles], orders: dict[str, Any]
    ) -> None:
        self.folder = folder
        self._zygote = zygote
        self._orders = orders
        folder.mkdir()
        set_clock(folder / CLOCK, START)
        for name in ("heard", "asked", "operator"):
            (folder / name).touch()
        self._server = ExchangeServer(LateBars(bars, self.now), self.now)

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._server.close()

    def now(self) -> int:
        """Where time stands, ms UTC."""
        return read_clock(self.folder / CLOCK)

    async def life(self, kill: Kill | None, end: int = 0, flush_seconds: float = 0.01) -> None:
        """One life: to its kill, or to ``end`` (ms UTC).

        Raises:
            AssertionError: it ended in another way; with what it printed.
        """
        orders = Orders(
            str(self.folder), self._server.url, end=end, flush_seconds=flush_seconds,
            point=kill.point if kill else "", count=kill.count if kill else 0, **self._orders,
        )  # fmt: skip
        status = await self._zygote.life(orders, kill, self._server.count)
        expected = 0 if kill is None else -signal.SIGKILL
        if status != expected:
            output = (self.folder / OUTPUT).read_text(errors="replace")
            raise AssertionError(f"a life ended with status {status} ({kill}):\n{output[-4000:]}")

    def file(self) -> StateFile:
        """The state file as it is now."""
        return statefile.read(self.folder / STATE, self.folder)


class Ordeal:
    """One scenario in a folder of its own; an asynchronous context manager.

    Args:
        zygote: where its lives come from.
        folder: an empty one.
        seed: of the scenario, and of how long marks wait.
        settings: in addition to the scenario's.
        planted: a bug of `tests.kills.planted` that all its lives have, "" for none.
    """

    def __init__(
        self, zygote: Zygote, folder: Path, seed: int, settings: dict[str, Any], planted: str = ""
    ) -> None:
        self.result = Result(seed, settings)
        bars = market(seed)
        script = commands(seed)
        rules = Rules.of({**SETTINGS, **settings})
        self._tapes = {symbol: tape_of(candles) for symbol, candles in bars.items()}
        orders = {"seed": seed, "settings": settings}
        self._lives = Branch(zygote, folder / "lives", bars, {**orders, "planted": planted})
        self._undisturbed = Branch(zygote, folder / "undisturbed", bars, orders)
        self._checker = Checker(self._tapes, rules, script)
        self._witnesses = Witnesses(self._lives.folder, self._tapes, rules, script)
        self._chance = random.Random(f"flushes {seed}")
        self._found: set[str] = set()
        self._open = AsyncExitStack()
        self._began = monotonic()

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._lives)
        await self._open.enter_async_context(self._undisturbed)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._open.aclose()

    async def suffer(self, kills: Sequence[Kill], *, until_found: bool = False) -> None:
        """Live until each of the kills, and check after each; or only until something is found."""
        for kill in kills:
            # Marks are written as often as it takes to be killed while they are.
            waits = _FLUSHES[0] if kill.point.startswith("marks") else self._chance.choice(_FLUSHES)
            await self._lives.life(kill, flush_seconds=waits)
            self.result.kills[kill.point or "random"] += 1
            self._check(str(kill))
            if until_found and self.result.findings:
                return

    async def finish(self) -> Result:
        """Live on for a while without a kill, check, and compare with one undisturbed life."""
        end = (self._lives.now() // MINUTE + _MORE_MINUTES) * MINUTE
        await self._lives.life(None, end)
        file = self._check("", over=True)
        await self._undisturbed.life(None, end)
        result = self.result
        result.minutes = (end - START) // MINUTE
        result.entries.update(row["kind"] for row in file.journal)
        result.commands = len({row["origin"] for row in file.commands})
        result.heard, result.replayed = self._witnesses.heard, self._witnesses.replayed
        asked = lines(self._lives.folder / "asked")
        result.asked_again = len(asked) - len({(*run_of(note), note["when"]) for note in asked})
        result.findings += [Finding("", text) for text in self._differences(file, end)]
        result.seconds = monotonic() - self._began
        return result

    def _check(self, after: str, *, over: bool = False) -> StateFile:
        file, now = self._lives.file(), self._lives.now()
        found = self._checker.check(file, now)
        found += self._witnesses.question(file, now, over=over)
        for text in found:
            if text not in self._found:
                self._found.add(text)
                self.result.findings.append(Finding(after, text))
        return file

    # -- comparing -----------------------------------------------------------------------------

    def _differences(self, file: StateFile, end: int) -> Iterator[str]:
        """Where many lives came to something else than one."""
        expected, actual = histories(self._undisturbed.file()), histories(file)
        for run in sorted({*expected, *actual}):
            pairs = zip(expected[run], actual[run], strict=False)
            odd = next((pair for pair in pairs if pair[0] != pair[1]), None)
            if odd is not None:
                yield f"{' '.join(run)}: undisturbed {odd[0]}, here {odd[1]}"
            elif len(expected[run]) != len(actual[run]):
                yield (
                    f"{' '.join(run)}: {len(expected[run])} entries undisturbed, "
                    f"{len(actual[run])} here"
                )
        branches = self._lives, self._undisturbed
        stored, shown = (
            tuple(map(figures, branches))
            for figures in (lambda branch: self._statistics(branch, end), _report)
        )
        self.result.statistics = stored[0]
        yield from _unequal("stored", *stored)
        yield from _unequal("shown", *shown)

    def _statistics(self, branch: Branch, end: int) -> dict[str, Any]:
        with StateReader(branch.folder / STATE) as reader:
            runs = reader.load().runs
        return {str(key): self._of_run(key.symbol, run, end) for key, run in runs.items()}

    def _of_run(self, symbol: str, run: RunState, end: int) -> dict[str, Any]:
        assert run.instance is not None
        statistics, equity = summarise(
            run.trades,
            frame_start=run.instance.started_at // MINUTE * MINUTE,
            frame_end=end,
            mark=lambda instant: self._tapes[symbol].bar(instant // MINUTE * MINUTE)[4],
            settings=Settings.model_validate(run.instance.settings),
        )
        return {
            **asdict(statistics),
            "status": run.instance.status,
            "session": run.instance.session,
            "equity": [[point.timestamp, point.equity] for point in equity],
        }


def _report(branch: Branch) -> dict[str, Any]:
    return json.loads((branch.folder / REPORT).read_text())


def _unequal(what: str, ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[str]:
    for name in sorted({*ours, *theirs}):
        one, other = ours.get(name, {}), theirs.get(name, {})
        if one != other:
            figures = (f for f in one | other if one.get(f) != other.get(f))
            texts = (f"{f} {one.get(f)}, undisturbed {other.get(f)}" for f in figures)
            yield f"{name}: {what} statistics differ: {'; '.join(texts)}"


def tape_of(candles: Candles) -> Tape:
    """Candles as the checker's tape."""
    return Tape([(c.timestamp, c.open, c.high, c.low, c.close, c.volume) for c in candles])


def run_of(row: dict[str, Any]) -> RunKey:
    """The run of a row or note."""
    return row["strategy"], row["symbol"]


def histories(file: StateFile) -> defaultdict[RunKey, list[tuple[Any, ...]]]:
    """What happened to each run, without the names of signals, which are random.

    Errors are left out: an error changes nothing, and may be lost with the process.
    """
    columns = (
        "kind", "at", "position", "price", "price_open", "price_take_profit", "price_stop_loss",
        "level", "reason", "pnl_percent",
    )  # fmt: skip
    found: defaultdict[RunKey, list[tuple[Any, ...]]] = defaultdict(list)
    for row in file.journal:
        if row["kind"] != "error":
            payload = row["payload"]
            more = (payload["minute_estimated_time"], payload["scheduled_at"])
            found[run_of(row)].append((*(row[name] for name in columns), *more))
    return found
