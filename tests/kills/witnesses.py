"""What lives left behind outside of the state file, held against it.

A listener wrote down what it heard, the strategies what they were asked, the operator what was
commanded and answered. All of it outlives every kill, so it shows what a state file cannot: that
something was told before it was true, or that what is true was never told.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from tests.kills.attempts import ended_by_operator, missed_attempts, spans_of
from tests.kills.checker import accepted, clock_text, stories_of
from tests.kills.contract import MINUTE, Rules, Tape, refused_at_once
from tests.kills.scenario import RUNS, TRADERS, Command, wish
from tests.kills.statefile import Row, RunKey, StateFile

_Event: TypeAlias = tuple[Any, ...]


def lines(path: Path) -> list[dict[str, Any]]:
    """The notes in a file; every one was written whole."""
    return [json.loads(line) for line in path.read_text().splitlines()]


class Witnesses:
    """Questions what is in a scenario's folder again and again.

    Args:
        folder: where lives leave their notes.
        tapes: bars by symbol.
        rules: what the engine's settings say.
        script: what the operator does.
    """

    def __init__(
        self, folder: Path, tapes: Mapping[str, Tape], rules: Rules, script: Iterable[Command]
    ) -> None:
        self._folder = folder
        self._tapes = tapes
        self._rules = rules
        self._script = tuple(script)
        self._asked = 0
        self._attempts: dict[RunKey, int] = {}
        self._made: defaultdict[RunKey, set[int]] = defaultdict(set)
        self.heard = 0
        self.replayed = 0

    def question(self, file: StateFile, now: int, *, over: bool = False) -> list[str]:
        """What does not fit; ``over`` says that the last life ended by itself, with all told."""
        found = [*self._events(file, over), *self._questions(file, now), *self._commands(file)]
        self._attempts = {
            run: row["last_attempt"]
            for run, row in file.progress.items()
            if row["last_attempt"] is not None
        }
        return found

    # -- events --------------------------------------------------------------------------------

    def _events(self, file: StateFile, over: bool) -> Iterator[str]:
        """Told after it was committed, at least once, and marked when it is told again."""
        committed = {_journaled(row): row for row in file.journal if row["deliver"]}
        heard: Counter[_Event] = Counter()
        replayed = 0
        for note in lines(self._folder / "heard"):
            event = _told(note)
            heard[event] += 1
            replayed += note["replayed"]
            if event not in committed:
                yield f"heard, but not in the journal: {_text(event)}"
            elif heard[event] > 1 and not note["replayed"]:
                yield f"heard again without being marked as replayed: {_text(event)}"
        for event, row in committed.items():
            if not heard[event] and (over or row["delivered"]):
                kind = "delivered" if row["delivered"] else "committed"
                yield f"{kind}, but never heard: {_text(event)}"
        self.heard, self.replayed = heard.total(), replayed

    # -- questions -----------------------------------------------------------------------------

    def _questions(self, file: StateFile, now: int) -> Iterator[str]:
        """No attempt is repeated once it is committed, none is made too soon, none is lost."""
        notes = lines(self._folder / "asked")
        fresh, self._asked = notes[self._asked :], len(notes)
        for note in fresh:
            run = note["strategy"], note["symbol"]
            if note["when"] <= (file.progress.get(run, {}).get("last_attempt") or 0):
                self._made[run].add(note["when"])
        yield from self._missed(file, now)
        last = dict(self._attempts)
        answered = self._answered(file)
        for note in fresh:
            run, when = (note["strategy"], note["symbol"]), note["when"]
            before, interval = last.get(run), TRADERS[run[0]].interval * MINUTE
            if before is not None and when - before < interval and not self._anew(run, before, now):
                yield (
                    f"{' '.join(run)}: asked at {clock_text(when)}, less than an interval after "
                    f"the attempt of {clock_text(before)}"
                )
            last[run] = when
            attempt = file.progress.get(run, {}).get("last_attempt")
            if attempt is None or when > attempt or (run, when) in answered:
                continue
            if self._expects(run, when):
                yield f"{' '.join(run)}: the signal of {clock_text(when)} is lost"

    def _missed(self, file: StateFile, now: int) -> Iterator[str]:
        """A question that was asked and not committed has to be asked again."""
        spans, ended = spans_of(file.journal), ended_by_operator(file.journal)
        for run in RUNS:
            tape, script = self._tapes[run[1]], (c for c in self._script if c.run == run)
            until = tape.newest_real(now // MINUTE * MINUTE - MINUTE)
            missed = missed_attempts(
                run, spans.get(run, ()), ended, self._made[run], script, tape, until
            )
            if texts := [clock_text(instant) for instant in missed]:
                yield f"{' '.join(run)}: not asked at {', '.join(texts)}"

    def _answered(self, file: StateFile) -> set[tuple[RunKey, int]]:
        """When runs got signals, whatever became of them."""
        return {
            (story.run, story.rows[kind][0]["at"])
            for story in stories_of(file.journal).values()
            for kind in ("scheduled", "opened", "risk")
            if story.rows[kind]
        }

    def _expects(self, run: RunKey, when: int) -> bool:
        tape = self._tapes[run[1]]
        wanted = wish(*run, when, tape.bar(when)[4])
        if wanted is None:
            return False
        terms, scheduled = accepted(wanted, self._rules.market(tape, when))
        return not refused_at_once(terms, when, tape, self._rules, scheduled=scheduled)

    def _anew(self, run: RunKey, before: int, now: int) -> bool:
        """Whether a session may have begun after an attempt: it asks at once."""
        return any(
            command.command == "start" and command.run == run and before <= command.at <= now
            for command in self._script
        )

    # -- commands ------------------------------------------------------------------------------

    def _commands(self, file: StateFile) -> Iterator[str]:
        """What the operator was told is in the table, and nothing that was not commanded."""
        given: Counter[int] = Counter()
        answers: dict[int, str] = {}
        for note in lines(self._folder / "operator"):
            if "given" in note:
                given[note["number"]] += 1
            else:
                answers[note["number"]] = note["answer"]
        rows: defaultdict[str, list[Row]] = defaultdict(list)
        for row in file.commands:
            rows[row["origin"]].append(row)
        for command in self._script:
            noted = rows.pop(command.origin, [])
            name = f"command {command.number} ({command.command} {' '.join(command.run)})"
            if len(noted) > given[command.number]:
                yield f"{name}: noted {len(noted)} times, given {given[command.number]} times"
            answer = answers.get(command.number)
            if answer is not None and (not noted or noted[-1]["result"] != answer):
                yield f"{name}: answered {answer!r}, noted {[row['result'] for row in noted]}"
            if any(row["command"] != command.command for row in noted):
                yield f"{name}: noted as {[row['command'] for row in noted]}"
        yield from self._obeyed(file, given, answers)
        if rows:
            yield f"commands nobody gave: {', '.join(rows)}"

    def _obeyed(
        self, file: StateFile, given: Mapping[int, int], answers: Mapping[int, str]
    ) -> Iterator[str]:
        """A run is as the last answered stop or start left it, unless another is under way."""
        newest: dict[RunKey, Command] = {}
        for command in self._script:
            if command.command in ("stop", "start") and given.get(command.number):
                newest[command.run] = command
        for run, command in newest.items():
            answer = answers.get(command.number)
            if answer is None or answer.startswith("refused"):
                continue
            status = file.instances[run]["status"] if run in file.instances else "gone"
            if status not in {"start": ("running",), "stop": ("stopping", "done")}[command.command]:
                yield (
                    f"{' '.join(run)}: a {command.command} was answered {answer!r} and the run is "
                    f"{status}"
                )


def _told(note: Mapping[str, Any]) -> _Event:
    return (
        note["kind"], note["strategy"], note["symbol"], note["id"], note["at"], note["price"],
        note.get("level"), note.get("reason"),
    )  # fmt: skip


def _journaled(row: Row) -> _Event:
    reason = row["reason"] if row["kind"] in ("partial", "risk") else None
    return (
        row["kind"], row["strategy"], row["symbol"], row["signal_id"], row["at"], row["price"],
        row["level"], reason,
    )  # fmt: skip


def _text(event: _Event) -> str:
    kind, strategy, symbol, name, at, price, level, reason = event
    more = f" {reason}" if reason else ""
    more += f" {level}" if level else ""
    return f"{kind}{more} of {strategy} {symbol} {name[:8]} at {clock_text(at)}, price {price}"
