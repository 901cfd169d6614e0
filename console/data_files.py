"""Names of data files, which mostly tell whose bars they hold: a wrong symbol is caught by them."""

from __future__ import annotations

import re
from pathlib import Path

from console.outcomes import UsageProblem

_PAIR = re.compile(r"([A-Z0-9]{2,12}[-_]?(?:USDT|USDC|USD|EUR|GBP|BTC|ETH))[-_ ]\d+[mhd]\b")


def check_data_file(path: Path, symbol: str) -> None:
    """Refuse a file that does not exist, or that is named after another symbol.

    Raises:
        UsageProblem: naming the file and what to write instead.
    """
    if not path.is_file():
        raise UsageProblem(f"data file {path} does not exist: check its path")
    pair = _PAIR.match(path.name)
    if pair and _letters(pair[1]) != _letters(symbol):
        raise UsageProblem(
            f"symbol {symbol!r} is unknown to {path}, which is named after {pair[1]}: "
            f"use --symbol {pair[1]}, or rename the file"
        )


def _letters(symbol: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", symbol.upper())
