"""The JSON file beside the bars: what they are, what they cover, and how to tell damage.

It is written last, so it is the commit of a write, and it names the file of bars it belongs to by
a name that is never used for other content.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, cast

from engine.adapters.cache.stretches import Stretches, united
from engine.domain.bars import CandleKey

FORMAT: Final = 1
"""Version of the layout of both files."""

_FIELDS: Final = {
    "format": int, "exchange": str, "symbol": str, "interval": str, "first": int, "last": int,
    "rows": int, "covered": list, "data": str, "bytes": int, "sha256": str, "written_at": str,
    "checksum": str,
}  # fmt: skip


class Damage(Exception):
    """A file of the cache is not what was written; the text says how."""


class NewerFormat(Exception):
    """The files were written by a later version of the program."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What is written beside a file of bars.

    Attributes:
        key: whose bars they are.
        first, last: open of the first and the last bar, ms UTC.
        rows: how many bars there are.
        covered: stretches of time in which every bar there is is here.
        data: name of the file of bars.
        size, sha256: of that file, in bytes and hexadecimal.
        written_at: ISO-8601 UTC.
    """

    key: CandleKey
    first: int
    last: int
    rows: int
    covered: Stretches
    data: str
    size: int
    sha256: str
    written_at: str

    def dump(self) -> bytes:
        """The content of the JSON file."""
        body: dict[str, Any] = {
            "format": FORMAT,
            "exchange": self.key.exchange_name,
            "symbol": self.key.symbol,
            "interval": self.key.interval,
            "first": self.first,
            "last": self.last,
            "rows": self.rows,
            "covered": [list(stretch) for stretch in self.covered],
            "data": self.data,
            "bytes": self.size,
            "sha256": self.sha256,
            "written_at": self.written_at,
        }
        return json.dumps({**body, "checksum": _checksum(body)}, indent=1).encode() + b"\n"


def parse_sidecar(content: bytes) -> Sidecar:
    """The content of a JSON file, understood.

    Raises:
        Damage: it is not what `Sidecar.dump` wrote.
        NewerFormat: a later version of the program wrote it.
    """
    try:
        parsed: object = json.loads(content)
    except ValueError as error:
        raise Damage(f"not valid JSON ({error})") from None
    if not isinstance(parsed, dict):
        raise Damage("not a JSON object")
    body = cast("dict[str, Any]", parsed)
    version: object = body.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise NewerFormat(f"format {version}, this version reads up to {FORMAT}")
    if version != FORMAT:
        raise Damage(f"format is {version!r} instead of {FORMAT}")
    for name, kind in _FIELDS.items():
        if type(body.get(name)) is not kind:
            raise Damage(f"{name} is missing or no {kind.__name__}")
    if body.pop("checksum") != _checksum(body):
        raise Damage("its checksum does not fit its content")
    sidecar = Sidecar(
        CandleKey(body["exchange"], body["symbol"], body["interval"]),
        body["first"], body["last"], body["rows"],
        tuple((start, end) for start, end in body["covered"]),
        body["data"], body["bytes"], body["sha256"], body["written_at"],
    )  # fmt: skip
    if sidecar.covered != united(sidecar.covered):
        raise Damage("its covered stretches are not in order")
    return sidecar


def _checksum(body: dict[str, Any]) -> str:
    return sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
