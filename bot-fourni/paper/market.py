"""The market as the terminal sees it: quotes and bars at the simulated present."""

from collections.abc import Callable

import numpy as np

from paper import constants as c
from paper.prices import IntArray, PriceSource, Rates
from paper.symbols import SymbolTerms
from paper.tuples import Tick

MAX_BARS = 5_000
"""Most bars of one request; the same as the terminal's "max bars in chart" (`maxbars`)."""

MAX_TICKS = 10_000
MAX_PATH_STEPS = 240
"""Quotes looked at between two moments; a longer time is looked at more coarsely."""

TIMEFRAME_LENGTHS_S = {
    c.TIMEFRAME_M1: 60,
    c.TIMEFRAME_M5: 300,
    c.TIMEFRAME_M15: 900,
    c.TIMEFRAME_M30: 1_800,
    c.TIMEFRAME_H1: 3_600,
    c.TIMEFRAME_H4: 14_400,
    c.TIMEFRAME_D1: 86_400,
}


class Market:
    """Quotes at the present of `elapsed_s`, the real seconds since the terminal was started."""

    def __init__(self, source: PriceSource, elapsed_s: Callable[[], float]) -> None:
        self._source = source
        self._elapsed_s = elapsed_s
        self.terms: dict[str, SymbolTerms] = {each.name: each for each in source.symbols()}

    def now_ms(self) -> int:
        """The broker's clock, milliseconds since 1970."""
        return self._source.time_ms(self._elapsed_s())

    def is_open(self, symbol: str, second: int) -> bool:
        return self._source.last_quote_s(symbol, second) == second

    def tick(self, symbol: str, second: int) -> Tick:
        """The last quote up to `second`."""
        second = self._source.last_quote_s(symbol, second)
        return self._ticks(symbol, np.array([second], dtype=np.int64))[0]

    def ticks(self, symbol: str, first_s: int, last_s: int, count: int) -> list[Tick]:
        """The first `count` quotes within first_s..last_s, one per second."""
        last_s = min(self._source.last_quote_s(symbol, last_s), first_s + count - 1)
        return self._ticks(symbol, np.arange(first_s, last_s + 1, dtype=np.int64))

    def path(self, symbol: str, after_s: int, until_s: int) -> list[Tick]:
        """What happened after `after_s` until `until_s`, the last quote included."""
        until_s = self._source.last_quote_s(symbol, until_s)
        if until_s <= after_s:
            return []
        steps = min(MAX_PATH_STEPS, until_s - after_s)
        seconds = np.linspace(after_s, until_s, steps + 1)[1:].astype(np.int64)
        return self._ticks(symbol, seconds)

    def _ticks(self, symbol: str, seconds: IntArray) -> list[Tick]:
        terms = self.terms[symbol]
        bids: list[float] = self._source.bids(symbol, seconds).tolist()
        times: list[int] = seconds.tolist()
        flags = c.TICK_FLAG_BID | c.TICK_FLAG_ASK
        return [
            Tick(
                time, bid, round(bid + terms.spread, terms.digits), 0.0, 0, time * 1000, flags, 0.0
            )
            for time, bid in zip(times, bids, strict=True)
        ]

    def bars(self, symbol: str, timeframe: int, first_s: int, last_s: int, count: int) -> Rates:
        """The last bars that open within first_s..last_s.

        Raises ValueError for a timeframe that is not simulated or that the source does not have.
        """
        length_s = TIMEFRAME_LENGTHS_S.get(timeframe)
        if length_s is None:
            raise ValueError("this timeframe is not simulated")
        last_s = self._source.last_quote_s(symbol, last_s)
        return self._source.bars(symbol, length_s, first_s, last_s, min(count, MAX_BARS))
