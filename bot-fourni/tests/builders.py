"""Clocks and markets that a test moves by hand, and waiting for a condition."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from paper.broker_link import BrokerLink
from paper.market import Market
from paper.prices import FloatArray, IntArray, Rates, bars_from_bids, make_rates
from paper.symbols import SYMBOLS, SymbolTerms
from paper.terminal import Conditions, PaperTerminal
from paper.tuples import OrderSendResult

START_S = 1_700_000_000
"""A Tuesday."""

T = TypeVar("T")


def wait_for(condition: Callable[[], T], within_s: float = 20.0) -> T:
    """Look until the condition is true; fail when it does not become so."""
    give_up = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > give_up:
            raise AssertionError("condition did not become true in time")
        time.sleep(0.02)


class ManualClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_ms = 5_000_000
        self.wall = float(START_S)

    def boottime_ms(self) -> int:
        return self.now_ms

    def wall_s(self) -> float:
        return self.wall

    def pause(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)
        self.wall += seconds


class ManualPrices:
    """Bids set by the test: from each moment on, until the next."""

    def __init__(self, *terms: SymbolTerms) -> None:
        self._terms = terms or tuple(SYMBOLS.values())
        self._bids = {each.name: {START_S - 10**9: each.typical_price} for each in self._terms}
        self.now_s = START_S
        self.closed_from_s: int | None = None

    def set(self, symbol: str, bid: float, after_s: int = 1) -> None:
        """Move the clock on and let the bid be this from then on."""
        self.now_s += after_s
        self._bids[symbol][self.now_s] = bid

    def symbols(self) -> Sequence[SymbolTerms]:
        return self._terms

    def time_ms(self, elapsed_s: float) -> int:
        return self.now_s * 1000

    def last_quote_s(self, symbol: str, second: int) -> int:
        return second if self.closed_from_s is None else min(second, self.closed_from_s - 1)

    def bids(self, symbol: str, seconds: IntArray) -> FloatArray:
        moments = np.array(sorted(self._bids[symbol]), dtype=np.int64)
        values = np.array([self._bids[symbol][int(each)] for each in moments])
        chosen: FloatArray = values[np.searchsorted(moments, seconds, side="right") - 1]
        return chosen

    def bars(self, symbol: str, length_s: int, first_s: int, now_s: int, count: int) -> Rates:
        last = now_s // length_s * length_s
        opens = last - length_s * np.arange(count - 1, -1, -1, dtype=np.int64)
        ohlc = bars_from_bids(self, symbol, opens, length_s, now_s)
        return make_rates(opens, ohlc, np.ones_like(opens), 1)


def paper_terminal(
    prices: ManualPrices,
    *,
    deposit: float = 10_000.0,
    leverage: int = 100,
    trade_allowed: bool = True,
    login: int | None = 1001,
    link: BrokerLink | None = None,
) -> PaperTerminal:
    """A terminal on these prices, logged in and with every symbol selected."""
    terminal = PaperTerminal()
    market = Market(prices, lambda: 0.0)
    terminal.configure(Conditions(market, deposit, leverage, trade_allowed, link))
    assert terminal.initialize()
    if login is not None:
        assert terminal.login(login, password="let me in", server="Paper-Demo")
    for terms in prices.symbols():
        assert terminal.symbol_select(terms.name, True)
    return terminal


def sent(result: OrderSendResult | None) -> OrderSendResult:
    """The result, which must be there."""
    assert result is not None
    return result
