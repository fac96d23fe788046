"""Prices from a CSV file of bars: time first, then open, high, low and close.

The first line names the columns (`,Open,High,Low,Close,Volume`); a time is `2017-04-19 09:00:00`,
a date alone, or seconds since 1970, in UTC and growing. The simulated clock runs through the bars
only: a weekend in the file takes no time. At the end of the file the market closes.
"""

import csv
import os
from array import array
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from paper.prices import (
    DAY_S,
    RATES_DTYPE,
    FloatArray,
    IntArray,
    Rates,
    bars_from_bids,
    make_rates,
)
from paper.symbols import SymbolTerms

MAX_ROWS = 200_000
MAX_FILE_BYTES = 32 * 1024 * 1024
WARM_UP_BARS = 500
"""Bars that are history when the bot starts (at most half of the file)."""


class CsvFault(Exception):
    """The file cannot be used. The message says where and why, not what is written there."""


class CsvPrices:
    """One symbol, whose bars come from a file."""

    def __init__(self, path: str, terms: SymbolTerms, speed: float) -> None:
        self._terms = terms
        self._speed = speed
        self._opens, self._ohlc = _load(path, terms.digits)
        # The shortest distance: so bars never overlap, and gaps are gaps.
        self._bar_s = int(np.diff(self._opens).min())
        self._first_bar = min(WARM_UP_BARS, self._opens.size // 2)
        # A rising bar goes open, low, high, close; a falling one open, high, low, close.
        opened, high, low, closed = self._ohlc.T
        rising = closed >= opened
        self._corners = np.column_stack(
            (opened, np.where(rising, low, high), np.where(rising, high, low), closed)
        )

    def symbols(self) -> Sequence[SymbolTerms]:
        return (self._terms,)

    def time_ms(self, elapsed_s: float) -> int:
        position_ms = int(elapsed_s * self._speed * 1000)
        bar, offset_ms = divmod(position_ms, self._bar_s * 1000)
        bar += self._first_bar
        if bar >= self._opens.size:
            # Time goes on, so that the end of the market can be told from a clock that stands.
            bar, offset_ms = self._opens.size - 1, position_ms - self._length_ms()
        return int(self._opens[bar]) * 1000 + offset_ms

    def _length_ms(self) -> int:
        return (self._opens.size - 1 - self._first_bar) * self._bar_s * 1000

    def last_quote_s(self, symbol: str, second: int) -> int:  # noqa: ARG002 - there is only one
        return min(second, int(self._opens[-1]) + self._bar_s - 1)

    def bids(self, symbol: str, seconds: IntArray) -> FloatArray:  # noqa: ARG002
        bar = np.maximum(np.searchsorted(self._opens, seconds, side="right") - 1, 0)
        way = np.clip((seconds - self._opens[bar]) / max(self._bar_s - 1, 1), 0.0, 1.0) * 3
        leg = np.minimum(way.astype(np.int64), 2)
        here, there = self._corners[bar, leg], self._corners[bar, leg + 1]
        rounded: FloatArray = np.round(here + (there - here) * (way - leg), self._terms.digits)
        return rounded

    def bars(
        self,
        symbol: str,  # noqa: ARG002
        length_s: int,
        first_s: int,
        now_s: int,
        count: int,
    ) -> Rates:
        if length_s < self._bar_s or length_s % self._bar_s != 0:
            raise ValueError("the file has no bars of this length")
        keys = self._opens // length_s * length_s
        starts = np.flatnonzero(np.diff(keys, prepend=keys[0] - 1))
        opens = keys[starts]
        begun = int(np.searchsorted(self._opens[starts], now_s, side="right"))
        chosen = np.arange(max(0, begun - count), begun)
        chosen = chosen[opens[chosen] >= first_s]
        if chosen.size == 0:
            return np.zeros(0, dtype=RATES_DTYPE)
        ends = np.append(starts[1:], self._opens.size)
        ohlc = np.array([self._merged(int(starts[i]), int(ends[i]), now_s) for i in chosen])
        ticks = np.clip(now_s - opens[chosen] + 1, 1, length_s)
        return make_rates(opens[chosen], ohlc, ticks, self._terms.spread_points)

    def _merged(self, first: int, end: int, now_s: int) -> tuple[float, float, float, float]:
        """One bar from the rows first..end-1, as far as they have happened."""
        end = min(end, int(np.searchsorted(self._opens, now_s, side="right")))
        rows = self._ohlc[first:end].copy()
        if now_s < self._opens[end - 1] + self._bar_s - 1:
            last = self._opens[end - 1 : end]
            rows[-1] = bars_from_bids(self, self._terms.name, last, self._bar_s, now_s)[0]
        return (
            float(rows[0, 0]),
            float(rows[:, 1].max()),
            float(rows[:, 2].min()),
            float(rows[-1, 3]),
        )


def _load(path: str, digits: int) -> tuple[IntArray, FloatArray]:
    times, values = array("q"), array("d")
    try:
        if os.path.getsize(path) > MAX_FILE_BYTES:
            raise CsvFault("the file is too long")
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            columns = _columns(next(reader, []))
            for row in reader:
                if len(times) >= MAX_ROWS:
                    raise CsvFault(f"more than {MAX_ROWS} rows")
                try:
                    times.append(_time_s(row[0]))
                    values.extend(float(row[column]) for column in columns)
                except (ValueError, IndexError, OverflowError):
                    raise CsvFault(f"line {reader.line_num} cannot be read") from None
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise CsvFault("the file cannot be read") from cause
    opens = np.array(times, dtype=np.int64)
    return opens, _checked(opens, np.array(values, dtype=np.float64).reshape(-1, 4), digits)


def _columns(header: list[str]) -> list[int]:
    names = [name.strip().lower() for name in header]
    try:
        return [names.index(name, 1) for name in ("open", "high", "low", "close")]
    except ValueError:
        raise CsvFault("the first line must name open, high, low and close") from None


def _time_s(text: str) -> int:
    text = text.strip()
    if text.isdigit() and len(text) > 8:
        return int(text)
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _checked(opens: IntArray, ohlc: FloatArray, digits: int) -> FloatArray:
    if opens.size < 4:
        raise CsvFault("fewer than 4 rows")
    if bool((np.diff(opens) <= 0).any()) or opens[0] < 0 or opens[-1] > 2**40:
        raise CsvFault("times do not grow")
    if int(np.diff(opens).min()) > DAY_S:
        raise CsvFault("bars longer than a day")
    opened, high, low, closed = ohlc.T
    if not bool(np.isfinite(ohlc).all()) or bool((low <= 0).any()):
        raise CsvFault("a price is not a positive number")
    if bool((high < np.maximum(opened, closed)).any()) or bool(
        (low > np.minimum(opened, closed)).any()
    ):
        raise CsvFault("open or close is outside of low to high")
    rounded: FloatArray = np.round(ohlc, digits)
    return rounded
