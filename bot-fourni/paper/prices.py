"""Where prices come from: the interface, and the seeded generator.

All times are seconds since 1970 of the simulated broker's clock. Prices are bids.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from paper.symbols import SymbolTerms

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Rates = npt.NDArray[np.void]

RATES_DTYPE = np.dtype(
    [
        ("time", "<i8"),
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("tick_volume", "<u8"),
        ("spread", "<i4"),
        ("real_volume", "<u8"),
    ]
)

DAY_S = 86_400
SAMPLES_PER_BAR = 30
"""Quotes that a bar is made from. The extremes of a long bar are therefore slightly too small."""


class PriceSource(Protocol):
    """Prices of one or several symbols along one simulated clock."""

    def symbols(self) -> Sequence[SymbolTerms]:
        """The symbols it has prices for."""

    def time_ms(self, elapsed_s: float) -> int:
        """Simulated time after `elapsed_s` real seconds, in milliseconds since 1970."""

    def last_quote_s(self, symbol: str, second: int) -> int:
        """The last second up to `second` at which the market was open."""

    def bids(self, symbol: str, seconds: IntArray) -> FloatArray:
        """The bid at each second."""

    def bars(self, symbol: str, length_s: int, first_s: int, now_s: int, count: int) -> Rates:
        """The last `count` bars that open within first_s..now_s; the last may still be forming.

        Raises ValueError when the source has no bars of this length.
        """


def make_rates(opens: IntArray, ohlc: FloatArray, ticks: IntArray, spread: int) -> Rates:
    """Bars in the layout of the MetaTrader5 module; `ohlc` has four columns."""
    rates = np.zeros(opens.size, dtype=RATES_DTYPE)
    rates["time"] = opens
    for column, name in enumerate(("open", "high", "low", "close")):
        rates[name] = ohlc[:, column]
    rates["tick_volume"] = ticks
    rates["spread"] = spread
    return rates


def bars_from_bids(
    source: PriceSource, symbol: str, opens: IntArray, length_s: int, now_s: int
) -> FloatArray:
    """Open, high, low, close of bars from sampled bids, none of them later than `now_s`."""
    offsets = np.unique(np.linspace(0, length_s - 1, SAMPLES_PER_BAR).astype(np.int64))
    seconds = np.minimum(opens[:, None] + offsets[None, :], now_s)
    bids = source.bids(symbol, seconds.ravel()).reshape(seconds.shape)
    return np.column_stack((bids[:, 0], bids.max(axis=1), bids.min(axis=1), bids[:, -1]))


_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15
_OCTAVES = 10
_PERIODS_S = 4 ** np.arange(1, _OCTAVES + 1, dtype=np.int64)[:, None]
"""Each octave takes a new random value after so many seconds: from 4 s to 12 days."""
_PIECE = 4096
_YEAR_S = 365.25 * DAY_S
_THURSDAY = 3
"""1970-01-01 was a Thursday; Monday is 0."""
_SATURDAY = 5


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Finaliser of SplitMix64 (Steele, Lea, Flood 2014): scatters counters over 64 bits."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _keys(seed: int, symbol: str) -> npt.NDArray[np.uint64]:
    """One key per octave, from the seed and the symbol's name."""
    state = seed & _MASK
    for byte in symbol.encode():
        state = (state * 0x100000001B3 ^ byte) & _MASK
    counters = [(state + (octave + 1) * _GOLDEN) & _MASK for octave in range(_OCTAVES)]
    return _mix(np.array(counters, dtype=np.uint64))


class GeneratedPrices:
    """A market without memory: the price is a pure function of seed, symbol and time.

    The logarithm of the price is a sum of ten smooth noises, each four times as slow and twice as
    wide as the one before, which looks like a random walk from seconds to weeks and never runs
    away. So any bar of any time can be computed at once, nothing is stored, and a restarted bot
    sees the same market.
    """

    def __init__(
        self,
        seed: int,
        terms: Sequence[SymbolTerms],
        start_s: float,
        speed: float,
        *,
        weekdays_only: bool,
    ) -> None:
        self._terms = {each.name: each for each in terms}
        self._keys = {each.name: _keys(seed, each.name) for each in terms}
        self._start_s = start_s
        self._speed = speed
        self._weekdays_only = weekdays_only

    def symbols(self) -> Sequence[SymbolTerms]:
        return tuple(self._terms.values())

    def time_ms(self, elapsed_s: float) -> int:
        return int((self._start_s + elapsed_s * self._speed) * 1000)

    def last_quote_s(self, symbol: str, second: int) -> int:  # noqa: ARG002 - all trade together
        day = second // DAY_S
        days_closed = int((day + _THURSDAY) % 7) - _SATURDAY
        if not self._weekdays_only or days_closed < 0:
            return second
        return (day - days_closed) * DAY_S - 1

    def _open(self, seconds: IntArray) -> npt.NDArray[np.bool_]:
        if not self._weekdays_only:
            return np.ones(seconds.shape, dtype=np.bool_)
        return (seconds // DAY_S + _THURSDAY) % 7 < _SATURDAY

    def bids(self, symbol: str, seconds: IntArray) -> FloatArray:
        prices = np.empty(seconds.shape, dtype=np.float64)
        # In pieces, because ten octaves of a long series at once would need much memory.
        for first in range(0, seconds.size, _PIECE):
            piece = slice(first, first + _PIECE)
            prices[piece] = self._piece(symbol, seconds[piece])
        return prices

    def _piece(self, symbol: str, seconds: IntArray) -> FloatArray:
        terms, keys = self._terms[symbol], self._keys[symbol][:, None]
        index, offset = np.divmod(seconds[None, :], _PERIODS_S)
        way = offset / _PERIODS_S
        way = way * way * (3 - 2 * way)
        here, there = _lattice(keys, index), _lattice(keys, index + 1)
        noise = (here + (there - here) * way) * (_PERIODS_S / _YEAR_S) ** 0.5
        logarithm = terms.volatility * noise.sum(axis=0)
        rounded: FloatArray = np.round(terms.typical_price * np.exp(logarithm), terms.digits)
        return rounded

    def bars(self, symbol: str, length_s: int, first_s: int, now_s: int, count: int) -> Rates:
        last_open = now_s // length_s * length_s
        # Two days in seven are left out at most, and two days in a row.
        wanted = count if not self._weekdays_only else count * 7 // 5 + 2 * DAY_S // length_s + 2
        wanted = min(wanted, (last_open - first_s) // length_s + 1)
        opens = last_open - length_s * np.arange(max(wanted, 0) - 1, -1, -1, dtype=np.int64)
        opens = opens[self._open(opens)][-count:]
        if opens.size == 0:
            return np.zeros(0, dtype=RATES_DTYPE)
        ohlc = bars_from_bids(self, symbol, opens, length_s, now_s)
        ticks = np.minimum(length_s, now_s - opens + 1)
        return make_rates(opens, ohlc, ticks, self._terms[symbol].spread_points)


def _lattice(key: npt.NDArray[np.uint64], index: IntArray) -> FloatArray:
    """A uniform value within -1..1 for each index."""
    bits = _mix(index.astype(np.uint64) * np.uint64(_GOLDEN) + key)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0
