"""What the terminal says about the market and the account, in the terms of the strategy."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from failures import BadConfiguration
from parameters import TIMEFRAME_LENGTHS_S, StrategyParameters
from risk import ContractTerms
from status import AccountStatus, PositionStatus
from strategy import Bars, bars_needed
from terminal_api import Terminal


class NoData(Exception):
    """The terminal gave nothing now; it may in a moment."""

    def __init__(self, what: str, last_error: int) -> None:
        super().__init__(what)
        self.what = what
        self.last_error = last_error


class Quote(NamedTuple):
    """The price of the moment; `time_s` on the broker's clock."""

    bid: float
    ask: float
    time_s: int


class MarketData:
    """Quotes and bars of the bot's symbol."""

    def __init__(self, terminal: Terminal, parameters: StrategyParameters) -> None:
        self._terminal = terminal
        self._symbol = parameters.symbol
        self._timeframe = _timeframe(terminal, parameters.timeframe)
        self._length_s = TIMEFRAME_LENGTHS_S[parameters.timeframe]
        self._number = -1
        self._broker_time_s: int | None = None
        self._last_bar_s = -1
        self._count = bars_needed(parameters)

    def select(self) -> None:
        """Make the symbol visible in the terminal. Raises BadConfiguration when it has none."""
        if not self._terminal.symbol_select(self._symbol, True):
            raise BadConfiguration("the broker does not offer the symbol", parameter="symbol")

    def quote(self) -> Quote:
        tick = self._terminal.symbol_info_tick(self._symbol)
        if tick is None or tick.bid <= 0 or tick.ask <= 0:
            raise NoData("no quote", self._terminal.last_error()[0])
        return Quote(tick.bid, tick.ask, tick.time)

    def broker_time_s(self) -> int:
        """The broker's clock: that of the last quote, also while there is none.

        Raises NoData when there never was one.
        """
        try:
            self._broker_time_s = self.quote().time_s
        except NoData:
            if self._broker_time_s is None:
                raise
        return self._broker_time_s

    def terms(self) -> ContractTerms:
        info = self._terminal.symbol_info(self._symbol)
        if info is None:
            raise NoData("no terms", self._terminal.last_error()[0])
        return ContractTerms(
            digits=info.digits,
            point=info.point,
            tick_size=info.trade_tick_size,
            tick_value=info.trade_tick_value_loss or info.trade_tick_value,
            stops_distance=info.trade_stops_level * info.point,
            volume_min=info.volume_min,
            volume_max=info.volume_max,
            volume_step=info.volume_step,
        )

    def newly_closed_bars(self, quote: Quote) -> Bars | None:
        """The bars the strategy needs, once after each bar that has closed; else None.

        The bar that is still forming is left out.
        """
        number = quote.time_s // self._length_s
        if number == self._number:
            return None
        bars = self._closed_bars()
        last = int(bars.times[-1])
        if last == self._last_bar_s:
            return None  # the new price is here before the terminal has closed its bar
        self._number, self._last_bar_s = number, last
        return bars

    def _closed_bars(self) -> Bars:
        rates = self._rates(start=1, count=self._count)
        return Bars(
            times=rates["time"].astype(np.int64),
            high=rates["high"].astype(np.float64),
            low=rates["low"].astype(np.float64),
            close=rates["close"].astype(np.float64),
        )

    def _rates(self, start: int, count: int) -> npt.NDArray[np.void]:
        rates = self._terminal.copy_rates_from_pos(self._symbol, self._timeframe, start, count)
        if rates is None or rates.size == 0:
            raise NoData("no bars", self._terminal.last_error()[0])
        return rates


def read_account(terminal: Terminal) -> AccountStatus:
    """Equity, balance and every open position. Raises NoData."""
    account, positions = terminal.account_info(), terminal.positions_get()
    if account is None or positions is None:
        raise NoData("no account", terminal.last_error()[0])
    return AccountStatus(
        equity=account.equity,
        balance=account.balance,
        currency=account.currency,
        positions=tuple(
            PositionStatus(
                ticket=each.ticket,
                symbol=each.symbol,
                type="buy" if each.type == terminal.POSITION_TYPE_BUY else "sell",
                volume=each.volume,
                priceOpen=each.price_open,
                profit=each.profit,
            )
            for each in positions
        ),
    )


def _timeframe(terminal: Terminal, name: str) -> int:
    return {
        "M1": terminal.TIMEFRAME_M1,
        "M5": terminal.TIMEFRAME_M5,
        "M15": terminal.TIMEFRAME_M15,
        "M30": terminal.TIMEFRAME_M30,
        "H1": terminal.TIMEFRAME_H1,
        "H4": terminal.TIMEFRAME_H4,
        "D1": terminal.TIMEFRAME_D1,
    }[name]
