"""The independent checker: the state file and the exchange's bars, and nothing of the engine.

After every death it computes from the bars what must have become of every signal in the journal and
compares: entries, exits, milestones, what is held, which slots are taken. What it finds wrong it
says in one sentence each. It remembers what it saw before, because a journal may only grow.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

from tests.kills.attempts import ended_by_operator
from tests.kills.contract import (
    MINUTE,
    Fate,
    Milestone,
    Rules,
    Tape,
    Terms,
    position_fate,
    profit,
    refused_at_once,
    scheduled_fate,
)
from tests.kills.scenario import LIMITS, TRADERS, Command, Wish, wish
from tests.kills.statefile import Row, RunKey, StateFile

_TRANSITIONS: Final = ("scheduled", "opened", "closed", "cancelled")


@dataclass
class Story:
    """All journal rows of one signal, by kind."""

    run: RunKey
    id: str
    rows: defaultdict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))

    def one(self, kind: str) -> Row | None:
        """Its only row of a kind, None if it has none."""
        return self.rows[kind][0] if self.rows[kind] else None

    def terms(self, row: Row) -> Terms:
        """The signal as a row of it says."""
        return Terms(
            row["position"], row["price_open"], row["price_take_profit"], row["price_stop_loss"],
            row["payload"]["minute_estimated_time"],
        )  # fmt: skip

    def milestones(self) -> list[Milestone]:
        """Those in the journal."""
        return [(row["at"], row["reason"], row["level"]) for row in self.rows["partial"]]

    def __str__(self) -> str:
        first = next((rows[0] for rows in self.rows.values() if rows), None)
        since = clock_text(first["at"]) if first else "?"
        return f"{' '.join(self.run)} {self.id[:8]} ({since})"


def clock_text(instant: int | None) -> str:
    """An instant as the hours of its day."""
    if instant is None:
        return "never"
    return datetime.fromtimestamp(instant / 1000, UTC).strftime("%H:%M:%S")


class Checker:
    """Checks one scenario's state file again and again.

    Args:
        tapes: bars by symbol.
        rules: what the engine's settings say.
        script: what the operator does.
    """

    def __init__(self, tapes: Mapping[str, Tape], rules: Rules, script: Iterable[Command]) -> None:
        self.tapes = tapes
        self.rules = rules
        self._script: defaultdict[RunKey, list[Command]] = defaultdict(list)
        for command in script:
            self._script[command.run].append(command)
        self._journal: tuple[Row, ...] = ()
        self._ended: dict[tuple[RunKey, int], int] = {}

    def check(self, file: StateFile, now: int) -> list[str]:
        """What is wrong with the file; ``now`` (ms UTC) is where time stands."""
        found = list(file.problems)
        found += self._grown(file)
        stories = stories_of(file.journal)
        self._ended = ended_by_operator(file.journal)
        for story in stories.values():
            found += [f"{story}: {text}" for text in self._told(story, now)]
        found += self._held(file, stories)
        found += _slots(file)
        found += self._attempted(file, stories, now)
        return found

    # -- the journal ---------------------------------------------------------------------------

    def _grown(self, file: StateFile) -> Iterator[str]:
        """Entries stay as they are, come in order, and are added at the end."""
        numbers = [row["number"] for row in file.journal]
        if numbers != sorted(set(numbers)):
            yield "journal numbers do not grow"
        for before, after in zip(self._journal, file.journal, strict=False):
            old, new = ({**row, "delivered": 0} for row in (before, after))
            if old != new:
                yield f"journal entry {before['number']} was {old}, is {new}"
            if before["delivered"] > after["delivered"]:
                yield f"journal entry {before['number']} is not delivered any more"
        if len(file.journal) < len(self._journal):
            yield f"{len(self._journal) - len(file.journal)} journal entries are gone"
        newest: dict[RunKey, int] = {}
        for row in file.journal:
            run = row["strategy"], row["symbol"]
            if row["kind"] in (*_TRANSITIONS, "partial"):
                if row["at"] < newest.get(run, 0):
                    yield f"{' '.join(run)}: entry {row['number']} goes back in time"
                newest[run] = row["at"]
        self._journal = file.journal

    # -- one signal ----------------------------------------------------------------------------

    def _told(self, story: Story, now: int) -> Iterator[str]:
        """A signal's entries against what its bars say must have happened."""
        for kind in _TRANSITIONS:
            if len(story.rows[kind]) > 1:
                yield f"{len(story.rows[kind])} times {kind}"
        repeated = [m for m, n in Counter(m[1:] for m in story.milestones()).items() if n > 1]
        if repeated:
            yield f"milestones repeated: {repeated}"
        scheduled, opened = story.one("scheduled"), story.one("opened")
        first = scheduled or opened or story.one("risk")
        if first is None:
            yield f"began with {', '.join(kind for kind, rows in story.rows.items() if rows)}"
            return
        yield from self._wished(story, first, now)
        if scheduled is not None:
            yield from self._waited(story, scheduled, now)
        elif story.rows["cancelled"]:
            yield "cancelled without having been scheduled"
        if opened is not None:
            yield from self._watched(story, opened, now)
        elif story.rows["closed"] or story.rows["partial"]:
            yield "closed or at a milestone without having been opened"

    def _wished(self, story: Story, first: Row, now: int) -> Iterator[str]:
        """Only what the strategy answered becomes a signal, at market or scheduled as it wanted."""
        when, (name, symbol) = first["at"], story.run
        tape = self.tapes[symbol]
        if when > now or not tape.is_real(when):
            yield f"accepted at {clock_text(when)}, where no bar closes"
            return
        wanted = wish(name, symbol, when, tape.bar(when)[4])
        market = self.rules.market(tape, when)
        terms = story.terms(first)
        if wanted is None:
            yield "a phantom: the strategy wanted nothing"
            return
        expected, scheduled = accepted(wanted, market)
        if (terms, first["payload"]["is_scheduled"]) != (expected, scheduled):
            yield f"it is {terms}, wanted {expected}, {'scheduled' if scheduled else 'at market'}"
        if refused_at_once(terms, when, tape, self.rules, scheduled=scheduled):
            yield "its levels should have been refused"
        if self._is_stopped(story.run, when):
            yield "accepted while the run was stopped"
        ended = self._ended.get((story.run, when))
        if ended and ended < first["number"] and not self._starts(story.run, when):
            yield "accepted at the instant at which an operator ended something"

    def _waited(self, story: Story, scheduled: Row, now: int) -> Iterator[str]:
        """What became of a scheduled signal."""
        tape, since = self.tapes[story.run[1]], scheduled["at"]
        terms = story.terms(scheduled)
        sure, may = _bounds(tape, now)
        fate = scheduled_fate(terms, since, may, tape, self.rules)
        opened, cancelled = story.one("opened"), story.one("cancelled")
        if cancelled is not None and cancelled["reason"] in ("operator", "stopped"):
            yield from self._commanded(story, cancelled, fate)
            return
        done = opened or cancelled
        if done is None:
            if fate is not None and fate.at <= sure:
                yield f"missed: {_fate_text(fate)}"
            return
        if fate is None:
            yield f"{done['kind']} {done['reason'] or ''} too early: at {clock_text(done['at'])}"
            return
        if done["at"] != fate.at:
            yield f"{done['kind']} at {clock_text(done['at'])}, due: {_fate_text(fate)}"
        elif fate.what == "cancelled":
            if done["kind"] != "cancelled" or done["reason"] != fate.reason:
                yield f"{done['kind']} for {done['reason']}, due: {_fate_text(fate)}"
        elif cancelled is not None:
            if cancelled["reason"] != "risk" or not story.rows["risk"]:
                yield f"cancelled for {cancelled['reason']}, due: {_fate_text(fate)}"
        elif opened is not None and opened["price"] != fate.price:
            yield f"opened at {opened['price']}, due: {_fate_text(fate)}"
        elif fate.what == "swept" and opened is not None and not story.rows["closed"]:
            yield "entry and stop within one bar, and only the entry is there"

    def _watched(self, story: Story, opened: Row, now: int) -> Iterator[str]:
        """What became of a position."""
        tape, since = self.tapes[story.run[1]], opened["at"]
        terms = story.terms(opened)
        if opened["price"] != terms.entry or opened["payload"]["pending_at"] != since:
            yield f"opened at {opened['price']} is not the position {terms}"
        closed = story.one("closed")
        if closed is not None:
            earned = profit(terms, closed["price"], self.rules)
            if abs(earned - closed["pnl_percent"]) > 1e-9:
                yield f"earned {closed['pnl_percent']}, should have been {earned}"
            if closed["at"] == since and closed["payload"].get("swept"):
                if (closed["reason"], closed["price"]) != ("stop_loss", terms.stop):
                    yield f"swept, but closed for {closed['reason']} at {closed['price']}"
                return
        sure, may = _bounds(tape, now)
        until = may if closed is None else max(since, min(may, closed["at"]))
        milestones, fate = position_fate(terms, since, until, tape, self.rules)
        told = story.milestones()
        if told != milestones[: len(told)]:
            yield f"milestones {_levels(told)}, due: {_levels(milestones)}"
        elif missing := [item for item in milestones[len(told) :] if closed or item[0] <= sure]:
            yield f"milestones missed: {_levels(missing)}"
        if closed is None:
            if fate is not None and fate.at <= sure:
                yield f"missed: {_fate_text(fate)}"
        elif closed["reason"] == "operator":
            yield from self._commanded(story, closed, fate)
        elif fate is None:
            yield f"closed too early, {closed['reason']} at {clock_text(closed['at'])}"
        elif (closed["at"], closed["reason"], closed["price"]) != (
            fate.at, fate.reason, fate.price,
        ):  # fmt: skip
            text = f"{closed['reason']} {clock_text(closed['at'])} at {closed['price']}"
            yield f"closed {text}, due: {_fate_text(fate)}"

    def _commanded(self, story: Story, row: Row, fate: Fate | None) -> Iterator[str]:
        """Something was ended on command: there was one, and it came in time, at market."""
        wanted = {"stopped": "stop", "operator": "cancel"}[row["reason"]]
        if row["kind"] == "closed":
            wanted = "close"
        given = (command for command in self._script[story.run] if command.command == wanted)
        if row["at"] not in (command.minute for command in given):
            yield f"{row['kind']} at {clock_text(row['at'])} for a {wanted} that was not given"
        if fate is not None and fate.at < row["at"]:
            yield f"{row['kind']} by a {wanted} too late, due: {_fate_text(fate)}"
        if row["price"] != self.rules.market(self.tapes[story.run[1]], row["at"]):
            yield f"{row['kind']} by a {wanted}, but not at market: {row['price']}"

    def _is_stopped(self, run: RunKey, when: int) -> bool:
        stopped = False
        for command in self._script[run]:
            if command.command == "stop" and command.at < when:
                stopped = True
            elif command.command == "start" and command.minute <= when:
                # A session that begins in the middle of a minute begins with that minute's instant.
                stopped = False
        return stopped

    def _starts(self, run: RunKey, when: int) -> bool:
        return any(c.command == "start" and c.minute == when for c in self._script[run])

    # -- what is held --------------------------------------------------------------------------

    def _held(self, file: StateFile, stories: Mapping[str, Story]) -> Iterator[str]:
        """What a run holds is what its journal has begun and not ended, with all its milestones."""
        begun: defaultdict[RunKey, list[Story]] = defaultdict(list)
        for story in stories.values():
            ended = story.rows["closed"] or story.rows["cancelled"]
            if (story.rows["scheduled"] or story.rows["opened"]) and not ended:
                begun[story.run].append(story)
        for run in {*begun, *file.held}:
            held, told = file.held.get(run), begun[run]
            if len(told) > 1:
                yield f"{' '.join(run)}: doubled: {', '.join(map(str, told))}"
            elif held is None:
                yield f"{told[0]}: lost: begun, not ended, and not held"
            elif not told or told[0].id != held["signal_id"]:
                yield f"{' '.join(run)}: a phantom is held: {held['signal_id']}"
            else:
                yield from _same(told[0], held)
        for (risk, run), row in file.reservations.items():
            held = file.held.get(run)
            if held is None or held["kind"] != "position":
                yield f"{' '.join(run)}: a slot of {risk} is taken and no position is open"
            elif row["signal_id"] != held["signal_id"]:
                yield f"{' '.join(run)}: the slot of {risk} is another signal's"
        for run, held in file.held.items():
            for risk in TRADERS[run[0]].risks:
                if held["kind"] == "position" and (risk, run) not in file.reservations:
                    yield f"{' '.join(run)}: a position is open without a slot of {risk}"

    # -- attempts ------------------------------------------------------------------------------

    def _attempted(self, file: StateFile, stories: Mapping[str, Story], now: int) -> Iterator[str]:
        """A strategy's signals are an interval apart, and so are its attempts as far as seen."""
        accepted: defaultdict[RunKey, list[int]] = defaultdict(list)
        for story in stories.values():
            rows = story.rows["scheduled"] or story.rows["opened"] or story.rows["risk"]
            if rows:
                accepted[story.run].append(rows[0]["at"])
        for run, instants in accepted.items():
            interval = TRADERS[run[0]].interval * MINUTE
            starts = [c.minute for c in self._script[run] if c.command == "start"]
            instants.sort()
            for before, after in pairwise(instants):
                anew = any(before <= start <= after for start in starts)
                if after - before < interval and not anew:
                    yield f"{' '.join(run)}: attempts at {clock_text(before)}, {clock_text(after)}"
            attempt = file.progress.get(run, {}).get("last_attempt")
            if instants and (attempt is None or attempt < instants[-1]):
                yield (
                    f"{' '.join(run)}: a signal of {clock_text(instants[-1])}, but its last "
                    f"attempt is {clock_text(attempt)}"
                )
            if attempt is not None and attempt > now:
                yield f"{' '.join(run)}: an attempt in the future: {clock_text(attempt)}"


def accepted(wanted: Wish, market: float) -> tuple[Terms, bool]:
    """What a strategy's answer becomes with the market at a price; and whether it has to wait."""
    entry = wanted.entry
    at_once = entry is None or (market <= entry if wanted.position == "long" else market >= entry)
    price = market if entry is None or at_once else entry
    terms = Terms(wanted.position, price, wanted.take_profit, wanted.stop_loss, wanted.minutes)
    return terms, not at_once


def stories_of(journal: Iterable[Row]) -> dict[str, Story]:
    """The journal by signal, in order of first appearance."""
    stories: dict[str, Story] = {}
    for row in journal:
        name = row["signal_id"]
        if name is not None:
            run = row["strategy"], row["symbol"]
            stories.setdefault(name, Story(run, name)).rows[row["kind"]].append(row)
    return stories


def _bounds(tape: Tape, now: int) -> tuple[int, int]:
    """Up to where bars have been settled for certain, and up to where they may have been.

    Time moves on only when every run has done its minute, and a missing minute is settled with the
    next one that is there.
    """
    present = now // MINUTE * MINUTE
    return tape.newest_real(present - MINUTE), tape.newest_real(present)


def _same(story: Story, held: Row) -> Iterator[str]:
    opened = story.one("opened")
    row = opened or story.one("scheduled")
    assert row is not None
    kind = "position" if opened else "scheduled"
    columns = ("position", "price_open", "price_take_profit", "price_stop_loss")
    payload = row["payload"]
    expected: list[Any] = [kind, *(row[name] for name in columns)]
    expected += [payload["minute_estimated_time"], payload["scheduled_at"], payload["pending_at"]]
    names = ("kind", *columns, "minutes", "scheduled_at", "pending_at")
    actual = [held[name] for name in names]
    if opened:
        reached = {"profit": 0, "loss": 0}
        for _, side, level in story.milestones():
            reached[side] = level
        expected += [reached["profit"], reached["loss"]]
        actual += [held["profit_level"], held["loss_level"]]
    if actual != expected:
        yield f"{story}: held as {actual}, journaled as {expected}"


def _slots(file: StateFile) -> Iterator[str]:
    """Positions never exceed a profile's limit, and nobody is refused before it is reached."""
    taken: defaultdict[str, dict[RunKey, int]] = defaultdict(dict)
    for row in file.journal:
        run = row["strategy"], row["symbol"]
        for risk in TRADERS[run[0]].risks:
            if row["kind"] == "opened":
                taken[risk][run] = row["number"]
                if len(taken[risk]) > LIMITS[risk]:
                    yield f"{len(taken[risk])} positions in {risk} at entry {row['number']}"
            elif row["kind"] == "closed":
                taken[risk].pop(run, None)
        if row["kind"] == "risk":
            risk, said = row["reason"], row["payload"]["active_position_count"]
            there = len(taken[risk])
            if there < LIMITS[risk] or said != there:
                yield (
                    f"{' '.join(run)}: refused by {risk} at {clock_text(row['at'])} because of "
                    f"{said} positions when {there} were open"
                )


def _levels(milestones: Iterable[Milestone]) -> str:
    texts = (f"{side} {level} at {clock_text(at)}" for at, side, level in milestones)
    return ", ".join(texts) or "none"


def _fate_text(fate: Fate) -> str:
    reason = f" {fate.reason}" if fate.reason else ""
    return f"{fate.what}{reason} {clock_text(fate.at)} at {fate.price}"
