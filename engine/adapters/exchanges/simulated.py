"""A market that needs no network: made of arithmetic, the same everywhere and for ever.

The demo trades on it and tests rely on it, so a bar depends on nothing but the seed, the symbol
and its minute: not on what was asked before, in which chunks, by which process or processor.
Every price is computed from hashes of minute numbers with operations that IEEE 754 defines to the
last bit (no sin, exp or log of the platform), one block of a week at a time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.adapters.exchanges.precision import fixed
from engine.domain.bars import Bools, Candles, Floats, Ints
from engine.domain.errors import NoDataError, SchemaError
from engine.domain.time import MINUTE, parse_instant, to_ms

_Words: TypeAlias = NDArray[np.uint64]

HISTORY_START: Final = parse_instant("2020-01-01")
"""Open of the first bar there is, ms UTC."""

HISTORY_END: Final = parse_instant("2040-01-01")
"""Close of the last bar there is, ms UTC."""

_BLOCK: Final = 7 * 1440
"""Minutes computed at once. At its edges the price is pinned to a slow random curve, which keeps
it within bounds over the years and lets a block be computed without the ones before it."""

_FIRST_MINUTE: Final = HISTORY_START // MINUTE
_END_MINUTE: Final = HISTORY_END // MINUTE
_CACHED_BLOCKS: Final = 20
"""This week and the last one of every symbol, and some more; half a megabyte each."""
_HOUR: Final = 60
_DAY: Final = 1440
_GAP_SLOT: Final = 240
"""A symbol with gaps has at most one in each of these stretches of minutes."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One simulated symbol.

    Attributes:
        base_price: price around which it wanders, between about 0.4 and 2.5 times this.
        volatility: standard deviation of a one-minute return in ordinary times.
        price_decimals, quantity_decimals: decimals of its tick and of its lot.
        minute_turnover: value traded in an ordinary minute, in quote currency.
        gap_chance: chance of a hole in any stretch of four hours.
    """

    base_price: float
    volatility: float
    price_decimals: int
    quantity_decimals: int
    minute_turnover: float
    gap_chance: float = 0.0


LISTINGS: Final[dict[str, Listing]] = {
    "BTCUSDT": Listing(60_000.0, 0.00065, 1, 5, 2_000_000.0),
    "ETHUSDT": Listing(3_000.0, 0.00070, 2, 4, 1_200_000.0),
    "BNBUSDT": Listing(550.0, 0.00065, 2, 3, 300_000.0, gap_chance=0.1),
    "SOLUSDT": Listing(150.0, 0.00080, 3, 3, 500_000.0),
    "LTCUSDT": Listing(85.0, 0.00070, 3, 3, 90_000.0, gap_chance=0.5),
    "XRPUSDT": Listing(0.6, 0.00070, 5, 1, 250_000.0, gap_chance=0.3),
    "ADAUSDT": Listing(0.45, 0.00080, 5, 1, 120_000.0, gap_chance=0.4),
    "DOGEUSDT": Listing(0.1, 0.00085, 6, 0, 150_000.0, gap_chance=0.6),
}
"""What the simulated market lists."""


class SimulatedExchange:
    """A deterministic market of one-minute bars from 2020 to 2040.

    It has what strategies have to live with: trends, ranges, calm and violent hours, volume that
    follows volatility, symbols that move together, and on some symbols missing minutes (mostly
    one to four in a row, rarely twenty).

    Args:
        seed: another seed is another market.
        now: the present in ms UTC; given, only bars that have closed by then are served.

    Raises:
        SchemaError: the seed is not an integer.
    """

    def __init__(self, seed: int = 1, now: Callable[[], int] | None = None) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise SchemaError(f"the seed of a simulated market is {seed!r}: give an integer")
        self.seed = seed
        self._now = now
        self._blocks: OrderedDict[tuple[str, int], Candles] = OrderedDict()

    def get_candles(self, symbol: str, interval: str, since: datetime, limit: int) -> Candles:
        """Up to ``limit`` one-minute bars that open at or after ``since``.

        Raises:
            NoDataError: the symbol is not listed, or the interval is not ``1m``.
        """
        listing = _listing(symbol)
        if interval != "1m":
            raise NoDataError(
                f"the simulated market serves 1m bars, not {interval}: ask for 1m and resample"
            )
        minute = max(-(-to_ms(since) // MINUTE), _FIRST_MINUTE)
        end = min(self._present() // MINUTE, _END_MINUTE)
        parts: list[Candles] = []
        missing = limit
        while missing > 0 and minute < end:
            block = minute // _BLOCK
            bars = self._block(symbol, listing, block)
            first, last = np.searchsorted(bars.timestamp, (minute * MINUTE, end * MINUTE))
            part = bars[int(first) : min(int(last), int(first) + missing)]
            if len(part):
                parts.append(part)
            missing -= len(part)
            minute = (block + 1) * _BLOCK
        if not parts:
            return Candles.empty()
        if len(parts) == 1:
            return parts[0]
        return _joined(parts)

    def format_price(self, symbol: str, price: float) -> str:
        """A price with the decimals of the symbol's tick."""
        return fixed(price, _listing(symbol).price_decimals)

    def format_quantity(self, symbol: str, quantity: float) -> str:
        """A quantity with the decimals of the symbol's lot."""
        return fixed(quantity, _listing(symbol).quantity_decimals)

    def intervals(self) -> frozenset[str]:
        """One-minute bars only; the engine makes the others from them."""
        return frozenset({"1m"})

    def symbols(self) -> tuple[str, ...]:
        """Everything listed, the most expensive first."""
        return tuple(LISTINGS)

    def history(self) -> tuple[int, int]:
        """Open of the first bar and close of the last one served now, ms UTC."""
        return HISTORY_START, max(HISTORY_START, min(self._present(), HISTORY_END))

    async def close(self) -> None:
        """Forget what was computed."""
        self._blocks.clear()

    def _present(self) -> int:
        return HISTORY_END if self._now is None else self._now() // MINUTE * MINUTE

    def _block(self, symbol: str, listing: Listing, block: int) -> Candles:
        key = symbol, block
        bars = self._blocks.get(key)
        if bars is None:
            bars = self._blocks[key] = make_block(self.seed, symbol, listing, block)
            if len(self._blocks) > _CACHED_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(key)
        return bars


def make_block(seed: int, symbol: str, listing: Listing, block: int) -> Candles:
    """The bars of one block of a week, counted from 1970, without the missing ones."""
    hashes = _Hashes(seed, symbol)
    minutes: Ints = np.arange(block * _BLOCK, (block + 1) * _BLOCK, dtype=np.int64)
    volatility, shocks = _volatility(hashes, listing, minutes), _shocks(hashes, minutes)
    path = _log_path(hashes, listing, block, volatility, shocks)
    scale = float(10**listing.price_decimals)
    price: Floats = np.rint(listing.base_price * scale * _exp(path)) / scale
    open_, close = price[:-1], price[1:]
    reach = volatility * close
    above = _tail(hashes.uniform("above", minutes)) * reach
    below = _tail(hashes.uniform("below", minutes)) * reach
    high: Floats = np.rint((np.maximum(open_, close) + above) * scale) / scale
    low: Floats = np.rint((np.minimum(open_, close) - below) * scale) / scale
    volume = _volume(hashes, listing, minutes, volatility, shocks, close)
    kept = ~_missing(hashes, listing, minutes)
    values: list[Floats] = [column[kept] for column in (open_, high, low, close, volume)]
    return Candles.from_columns(minutes[kept] * MINUTE, *values)


class _Hashes:
    """Random numbers by name and position: the same position always gives the same number."""

    def __init__(self, seed: int, symbol: str) -> None:
        self._seed = seed
        self._prefix = f"{seed}/{symbol}"

    @property
    def common(self) -> _Hashes:
        """The numbers that all symbols of this market share."""
        return _Hashes(self._seed, "*")

    def words(self, name: str, positions: Ints) -> _Words:
        """One 64-bit word per position: splitmix64 of Steele, Lea and Flood (OOPSLA 2014)."""
        digest = sha256(f"{self._prefix}/{name}".encode()).digest()
        key = np.uint64(int.from_bytes(digest[:8], "big"))
        word: _Words = positions.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + key
        word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return word ^ (word >> np.uint64(31))

    def uniform(self, name: str, positions: Ints) -> Floats:
        """Numbers in [0, 1), one per position."""
        return (self.words(name, positions) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def bell(self, name: str, positions: Ints) -> Floats:
        """Nearly normal numbers of variance 1: sums of four uniform ones."""
        words = self.words(name, positions)
        total = np.zeros(len(positions), dtype=np.float64)
        for shift in (0, 16, 32, 48):
            part = (words >> np.uint64(shift)) & np.uint64(0xFFFF)
            total += part.astype(np.float64)
        # Four uniforms on [0, 1) have mean 2 and variance 1/3; 1.7320508 is the root of 3.
        return (total / 65536.0 - 2.0) * 1.7320508

    def curve(self, name: str, positions: Ints, period: int) -> Floats:
        """A smooth curve in [-1, 1] with a random value at every multiple of ``period``."""
        node = positions // period
        first = int(node[0])
        nodes = np.arange(first, int(node[-1]) + 2, dtype=np.int64)
        values = 2.0 * self.uniform(f"{name}/{period}", nodes) - 1.0
        share = (positions - node * period).astype(np.float64) / period
        share = share * share * (3.0 - 2.0 * share)
        left = values[node - first]
        return left + (values[node - first + 1] - left) * share


def _volatility(hashes: _Hashes, listing: Listing, minutes: Ints) -> Floats:
    """Standard deviation of each minute's return: calm and violent days, hours and minutes."""
    mood = (
        0.8 * hashes.curve("volatility", minutes, 2 * _DAY)
        + 0.5 * hashes.curve("volatility", minutes, 5 * _HOUR)
        + 0.4 * hashes.curve("volatility", minutes, 40)
    )
    # Busiest at 15:00 UTC, when Europe and America trade, quietest at 03:00.
    hours_off = np.abs((minutes % _DAY) / 60.0 - 15.0)
    season = 1.25 - np.minimum(hours_off, 24.0 - hours_off) / 24.0
    return listing.volatility * season * _exp(mood)


def _shocks(hashes: _Hashes, minutes: Ints) -> Floats:
    """Standardised returns with fat tails, partly common to all symbols."""
    shocks = 0.8 * hashes.bell("own", minutes) + 0.6 * hashes.common.bell("market", minutes)
    jump = hashes.uniform("jump", minutes) < 0.006
    return np.where(jump, 3.5 * shocks, shocks)


def _log_path(
    hashes: _Hashes, listing: Listing, block: int, volatility: Floats, shocks: Floats
) -> Floats:
    """Logarithm of price / base price at the edges of a block's minutes, shape (_BLOCK + 1,).

    A random walk whose steps lean with the trend, bent onto the pins at both ends of the block (a
    Brownian bridge in the time that its own variance measures), plus swings in ranging markets.
    """
    edges: Ints = np.arange(block * _BLOCK, (block + 1) * _BLOCK + 1, dtype=np.int64)
    regime = 1.8 * hashes.curve("regime", edges, 14 * _HOUR)
    trending = np.minimum(np.maximum(regime, 0.0), 1.0)
    ranging = np.minimum(np.maximum(-regime, 0.0), 1.0)
    lean = 0.2 * trending * hashes.curve("trend", edges, 8 * _HOUR)
    walk = np.cumsum(volatility * (shocks * (1.0 - 0.3 * ranging[1:]) + lean[1:]))
    elapsed = np.cumsum(volatility * volatility)
    pins = _pins(hashes, np.array([block, block + 1], dtype=np.int64))
    path = np.empty(_BLOCK + 1, dtype=np.float64)
    path[0] = pins[0]
    path[1:] = pins[0] + walk + (pins[1] - pins[0] - walk[-1]) * (elapsed / elapsed[-1])
    path[-1] = pins[1]
    swings = hashes.curve("swing", edges, 35) + hashes.curve("swing", edges, 90)
    return path + 8.0 * listing.volatility * ranging * swings


def _pins(hashes: _Hashes, blocks: Ints) -> Floats:
    """The slow curve that blocks are pinned to, within [-0.65, 0.65]."""
    shared = hashes.common
    return (
        0.25 * shared.curve("pin", blocks, 40)
        + 0.20 * hashes.curve("pin", blocks, 17)
        + 0.12 * shared.curve("pin", blocks, 5)
        + 0.08 * hashes.curve("pin", blocks, 1)
    )


def _tail(uniform: Floats) -> Floats:
    """Uniform numbers to non-negative ones with a long tail; mean about 0.45."""
    return 0.25 * uniform + uniform * uniform * uniform * uniform * 1.6


def _volume(
    hashes: _Hashes,
    listing: Listing,
    minutes: Ints,
    volatility: Floats,
    shocks: Floats,
    close: Floats,
) -> Floats:
    """Traded quantity: more in violent times and in minutes that move."""
    scale = float(10**listing.quantity_decimals)
    activity = volatility / listing.volatility
    noise = 0.3 + 2.0 * _tail(hashes.uniform("volume", minutes))
    turnover = listing.minute_turnover * activity * (0.5 + np.abs(shocks)) * noise
    return (np.floor(turnover / close * scale) + 1.0) / scale


def _missing(hashes: _Hashes, listing: Listing, minutes: Ints) -> Bools:
    """Which minutes have no bar."""
    slot = minutes // _GAP_SLOT
    chance = hashes.uniform("gap", slot)
    length = 1.0 + np.floor(4.0 * hashes.uniform("gap length", slot))
    length = np.where(hashes.uniform("gap long", slot) < 0.05, 5.0 * length, length)
    start = np.floor((_GAP_SLOT - 20.0) * hashes.uniform("gap start", slot))
    offset = (minutes - slot * _GAP_SLOT).astype(np.float64)
    return (chance < listing.gap_chance) & (offset >= start) & (offset < start + length)


def _exp(x: Floats) -> Floats:
    """The exponential for x within [-4, 4], to 1e-13, by operations all processors agree on."""
    y = x / 64.0
    term = np.ones_like(y)
    total = np.ones_like(y)
    for n in range(1, 10):
        term = term * y / n
        total = total + term
    for _ in range(6):
        total = total * total
    return total


def _joined(parts: Sequence[Candles]) -> Candles:
    stamps, *values = zip(*(part.columns() for part in parts), strict=True)
    return Candles.from_columns(np.concatenate(stamps), *map(np.concatenate, values))


def _listing(symbol: str) -> Listing:
    try:
        return LISTINGS[symbol]
    except KeyError:
        raise NoDataError(
            f"the simulated market does not list {symbol}: use one of {', '.join(LISTINGS)}"
        ) from None
