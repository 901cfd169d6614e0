"""What can be wrong with an exchange, and a script that says at which request it is."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal[
    "status",  # an HTTP status, with Retry-After where given
    "timeout",  # no answer, ever
    "drop",  # the connection is closed instead of an answer
    "html",  # a web page with status 200
    "truncated",  # half of the announced body, then the connection is closed
    "cut",  # half of the body, announced as if it were all
    "empty",  # status 200 and nothing
    "none_rows",  # candles of nulls
    "duplicates",  # every candle twice
    "unsorted",  # candles in any order
    "late",  # candles that closed less than `ms` ago are missing
]

PAGE = "<!DOCTYPE html><html><head><title>Log in</title></head><body>Welcome</body></html>"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong with one answer."""

    kind: Kind
    status: int = 0
    retry_after: str = ""
    ms: int = 0


def status(code: int, retry_after: int | str = "") -> Fault:
    """An HTTP status; ``retry_after`` in seconds or as an HTTP date."""
    return Fault("status", status=code, retry_after=str(retry_after))


TIMEOUT = Fault("timeout")
DROP = Fault("drop")
HTML = Fault("html")
TRUNCATED = Fault("truncated")
CUT = Fault("cut")
EMPTY = Fault("empty")
NONE_ROWS = Fault("none_rows")
DUPLICATES = Fault("duplicates")
UNSORTED = Fault("unsorted")


def late(ms: int) -> Fault:
    """Candles that appear ``ms`` after they closed."""
    return Fault("late", ms=ms)


EVERY_KIND: tuple[Fault, ...] = (
    status(429, 1), status(500), status(502), status(503), status(504), TIMEOUT, DROP, HTML,
    TRUNCATED, CUT, EMPTY, NONE_ROWS, DUPLICATES, UNSORTED, late(1500),
)  # fmt: skip
"""Faults that pass by themselves, for mixtures."""


@dataclass(frozen=True, slots=True)
class FaultScript:
    """Which request meets which fault; the same script and requests always give the same faults.

    Attributes:
        at: by the number of the request to its endpoint, counted from 1.
        between: ``(start, end, fault)``: for every request at an instant in ``[start, end)``.
        chance: probability that a request not named above meets one of ``mixture``.
        mixture: what it may meet.
        seed: of the choice.
        endpoints: which endpoints are touched (``klines``, ``exchangeInfo``, ``time``, ``ping``).
    """

    at: Mapping[int, Fault] = field(default_factory=dict[int, Fault])
    between: Sequence[tuple[int, int, Fault]] = ()
    chance: float = 0.0
    mixture: Sequence[Fault] = EVERY_KIND
    seed: int = 0
    endpoints: Sequence[str] = ("klines",)

    def pick(self, endpoint: str, number: int, now: int) -> Fault | None:
        """The fault of a request, None for a good answer."""
        if endpoint not in self.endpoints:
            return None
        if number in self.at:
            return self.at[number]
        for start, end, fault in self.between:
            if start <= now < end:
                return fault
        if not self.chance:
            return None
        dice = random.Random(f"{self.seed}/{endpoint}/{number}")
        return dice.choice(self.mixture) if dice.random() < self.chance else None

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> FaultScript:
        """From what another process sends: the attributes, faults as objects of theirs."""
        known = dict(fields)
        if "at" in known:
            known["at"] = {int(n): Fault(**fault) for n, fault in known["at"].items()}
        if "between" in known:
            known["between"] = [(s, e, Fault(**fault)) for s, e, fault in known["between"]]
        if "mixture" in known:
            known["mixture"] = [Fault(**fault) for fault in known["mixture"]]
        return cls(**known)
