"""The simulated terminal: the functions of the MetaTrader5 module as methods of one object.

Failure conventions are the module's: None (False for initialize and login), and last_error()
tells why. Like the real one it serves one thread.
"""

import math
import time
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from paper import constants as c
from paper import descriptions, requests, rules
from paper.book import AccountBook, direction
from paper.broker_link import BrokerLink, BrokerSilent, BrokerUnreachable
from paper.execution import Executed, execute
from paper.fault import Fault
from paper.market import MAX_BARS, MAX_TICKS, Market
from paper.prices import Rates
from paper.selection import Failure, Moment, between, in_group, seconds, wanted
from paper.tuples import (
    AccountInfo,
    OrderCheckResult,
    OrderSendResult,
    SymbolInfo,
    TerminalInfo,
    Tick,
    TradeDeal,
    TradeOrder,
    TradePosition,
    TradeRequest,
)

TICKS_DTYPE = np.dtype(
    [
        ("time", "<i8"),
        ("bid", "<f8"),
        ("ask", "<f8"),
        ("last", "<f8"),
        ("volume", "<u8"),
        ("time_msc", "<i8"),
        ("flags", "<u4"),
        ("volume_real", "<f8"),
    ]
)

REFUSED_PASSWORDS = ("", "wrong")
"""The passwords that the simulated broker refuses, so that a refusal can be tried out."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Conditions(NamedTuple):
    """What the simulated broker offers."""

    market: Market
    deposit: float = 10_000.0
    leverage: int = 100
    trade_allowed: bool = True
    link: BrokerLink | None = None
    """Where an order has to be taken before it is executed here; None = nowhere."""
    fault: Fault = Fault()


def _call(
    function: "Callable[Concatenate[PaperTerminal, _P], _R]",
) -> "Callable[Concatenate[PaperTerminal, _P], _R | None]":
    """Turn Failure into None and keep last_error() up to date."""

    @wraps(function)
    def wrapped(self: "PaperTerminal", /, *args: _P.args, **kwargs: _P.kwargs) -> _R | None:
        try:
            result = function(self, *args, **kwargs)
        except Failure as failure:
            self._error = (failure.code, str(failure))
            return None
        self._error = (c.RES_S_OK, "Success")
        return result

    return wrapped


class PaperTerminal:
    """One terminal with one account. `configure` comes before everything else."""

    def __init__(self) -> None:
        self._error = (c.RES_S_OK, "Success")
        self._conditions: Conditions | None = None
        self._started = False
        self._login: tuple[int, str] | None = None
        self._book: AccountBook | None = None
        self._selected: set[str] = set()
        self._seen_s = 0
        self._connected_s: float | None = None
        self._request_id = 0

    def configure(self, conditions: Conditions) -> None:
        """Not a function of the real module: say what is simulated."""
        if self._started:
            raise RuntimeError("configure comes before initialize")
        self._conditions = conditions

    # ---- connection ----------------------------------------------------------------------------

    def initialize(
        self,
        path: str | None = None,  # noqa: ARG002 - there is no program to start
        *,
        login: int | None = None,
        password: str | None = None,
        server: str | None = None,
        timeout: int = 60_000,  # noqa: ARG002
        portable: bool = False,  # noqa: ARG002
    ) -> bool:
        if self._conditions is None:
            self._error = (c.RES_E_INTERNAL_FAIL_INIT, "IPC initialize failed")
            return False
        self._started = True
        self._error = (c.RES_S_OK, "Success")
        if login is None:
            return True
        return self.login(login, password=password, server=server)

    def login(
        self,
        login: int,
        password: str | None = None,
        server: str | None = None,
        timeout: int = 60_000,  # noqa: ARG002
    ) -> bool:
        return self._log_in(login, password, server) is not None

    @_call
    def _log_in(self, login: object, password: str | None, server: str | None) -> bool:
        conditions = self._require_started()
        if isinstance(login, bool) or not isinstance(login, int) or login <= 0:
            raise Failure(c.RES_E_INVALID_PARAMS, 'Invalid "login" argument')
        if password is None or password in REFUSED_PASSWORDS:
            raise Failure(c.RES_E_AUTH_FAILED, "Terminal: Authorization failed")
        if self._login is None or self._login[0] != login:
            market = conditions.market
            self._book = AccountBook(market.terms, conditions.deposit, conditions.leverage)
            now_ms = market.now_ms()
            self._book.record_deposit(now_ms)
            self._seen_s = now_ms // 1000
        self._login = (login, server or "Paper")
        self._connected_s = time.monotonic()
        return True

    def shutdown(self) -> None:
        """Cut the connection. The account keeps its positions until the process ends."""
        self._started = False
        if self._conditions is not None and self._conditions.link is not None:
            self._conditions.link.close()
        self._error = (c.RES_S_OK, "Success")

    @_call
    def version(self) -> tuple[int, int, str]:
        self._require_started()
        return descriptions.VERSION

    def last_error(self) -> tuple[int, str]:
        return self._error

    @_call
    def terminal_info(self) -> TerminalInfo:
        conditions = self._require_started()
        if self._connected_s is not None:
            conditions.fault.strike(time.monotonic() - self._connected_s)
        return descriptions.terminal_info(conditions.trade_allowed, MAX_BARS)

    @_call
    def account_info(self) -> AccountInfo:
        book, login, server = self._require_account()
        conditions = self._require_started()
        return descriptions.account_info(login, server, conditions.leverage, book.figures())

    # ---- symbols -------------------------------------------------------------------------------

    @_call
    def symbols_total(self) -> int:
        return len(self._require_started().market.terms)

    @_call
    def symbols_get(self, group: str = "*") -> tuple[SymbolInfo, ...]:
        market = self._require_started().market
        return tuple(self._describe(name) for name in market.terms if in_group(name, group))

    @_call
    def symbol_info(self, symbol: str) -> SymbolInfo:
        self._require_symbol(symbol)
        return self._describe(symbol)

    @_call
    def symbol_info_tick(self, symbol: str) -> Tick:
        self._require_symbol(symbol)
        if symbol not in self._selected:
            raise Failure(c.RES_E_NOT_FOUND, "Terminal: Not found")
        return self._tick(symbol)

    @_call
    def symbol_select(self, symbol: str, enable: bool = True) -> bool:
        self._require_symbol(symbol)
        if enable:
            self._selected.add(symbol)
        elif self._book is not None and symbol in self._book.exposed_symbols():
            raise Failure(c.RES_E_FAIL, "Terminal: Call failed")
        else:
            self._selected.discard(symbol)
        return True

    # ---- prices --------------------------------------------------------------------------------

    @_call
    def copy_rates_from(self, symbol: str, timeframe: int, date_from: Moment, count: int) -> Rates:
        last_s = min(seconds(date_from), self._now_s())
        return self._bars(symbol, timeframe, 0, last_s, count)

    @_call
    def copy_rates_from_pos(self, symbol: str, timeframe: int, start_pos: int, count: int) -> Rates:
        if start_pos < 0 or count <= 0:
            raise Failure(c.RES_E_INVALID_PARAMS, "Invalid params")
        bars = self._bars(symbol, timeframe, 0, self._now_s(), start_pos + count)
        return bars[: max(0, bars.size - start_pos)]

    @_call
    def copy_rates_range(
        self, symbol: str, timeframe: int, date_from: Moment, date_to: Moment
    ) -> Rates:
        last_s = min(seconds(date_to), self._now_s())
        return self._bars(symbol, timeframe, seconds(date_from), last_s, MAX_BARS)

    def _bars(self, symbol: str, timeframe: int, first_s: int, last_s: int, count: int) -> Rates:
        market = self._require_symbol(symbol)
        if count <= 0:
            raise Failure(c.RES_E_INVALID_PARAMS, "Invalid params")
        try:
            return market.bars(symbol, timeframe, first_s, last_s, count)
        except ValueError as cause:
            raise Failure(c.RES_E_INVALID_PARAMS, "Invalid params") from cause

    @_call
    def copy_ticks_from(
        self,
        symbol: str,
        date_from: Moment,
        count: int,
        flags: int,  # noqa: ARG002
    ) -> npt.NDArray[np.void]:
        market = self._require_symbol(symbol)
        if count <= 0:
            raise Failure(c.RES_E_INVALID_PARAMS, "Invalid params")
        first_s = seconds(date_from)
        ticks = market.ticks(symbol, first_s, self._now_s(), min(count, MAX_TICKS))
        return np.array([tuple(tick) for tick in ticks], dtype=TICKS_DTYPE)

    # ---- orders, positions, history ------------------------------------------------------------

    @_call
    def orders_total(self) -> int:
        return len(self._require_account()[0].orders)

    @_call
    def orders_get(
        self, symbol: str | None = None, group: str = "*", ticket: int | None = None
    ) -> tuple[TradeOrder, ...]:
        orders = self._require_account()[0].orders.values()
        return tuple(each for each in orders if wanted(each, symbol, group, ticket))

    @_call
    def positions_total(self) -> int:
        return len(self._require_account()[0].positions)

    @_call
    def positions_get(
        self, symbol: str | None = None, group: str = "*", ticket: int | None = None
    ) -> tuple[TradePosition, ...]:
        book = self._require_account()[0]
        return tuple(
            descriptions.marked_to_market(each, book)
            for each in book.positions.values()
            if wanted(each, symbol, group, ticket)
        )

    @_call
    def history_orders_total(self, date_from: Moment, date_to: Moment) -> int:
        orders = self._require_account()[0].history_orders
        return sum(between(each.time_setup, date_from, date_to) for each in orders)

    @_call
    def history_orders_get(
        self,
        date_from: Moment | None = None,
        date_to: Moment | None = None,
        *,
        group: str = "*",
        ticket: int | None = None,
        position: int | None = None,
    ) -> tuple[TradeOrder, ...]:
        orders: Iterable[TradeOrder] = self._require_account()[0].history_orders
        if ticket is not None:
            return tuple(each for each in orders if each.ticket == ticket)
        if position is not None:
            return tuple(each for each in orders if each.position_id == position)
        return tuple(
            each
            for each in orders
            if in_group(each.symbol, group) and between(each.time_setup, date_from, date_to)
        )

    @_call
    def history_deals_total(self, date_from: Moment, date_to: Moment) -> int:
        deals = self._require_account()[0].history_deals
        return sum(between(each.time, date_from, date_to) for each in deals)

    @_call
    def history_deals_get(
        self,
        date_from: Moment | None = None,
        date_to: Moment | None = None,
        *,
        group: str = "*",
        ticket: int | None = None,
        position: int | None = None,
    ) -> tuple[TradeDeal, ...]:
        deals: Iterable[TradeDeal] = self._require_account()[0].history_deals
        if ticket is not None:  # the ticket of the order, as in the real module
            return tuple(each for each in deals if each.order == ticket)
        if position is not None:
            return tuple(each for each in deals if each.position_id == position)
        return tuple(
            each
            for each in deals
            if in_group(each.symbol, group) and between(each.time, date_from, date_to)
        )

    # ---- trading -------------------------------------------------------------------------------

    @_call
    def order_check(self, request: object) -> OrderCheckResult:
        parsed, book = self._parse(request), self._require_account()[0]
        self._quote(parsed, book)
        code = rules.refusal(parsed, self._situation(book))
        return descriptions.check_result(parsed, code, book, self._require_started().leverage)

    @_call
    def order_send(self, request: object) -> OrderSendResult:
        parsed, book = self._parse(request), self._require_account()[0]
        self._quote(parsed, book)
        self._request_id += 1
        code = rules.refusal(parsed, self._situation(book))
        if code == rules.ACCEPTED:
            self._place()
            done = execute(parsed, book, self._require_started().market.now_ms())
        else:
            done = Executed(code)
        return descriptions.send_result(parsed, done, book, self._request_id)

    @_call
    def order_calc_margin(self, action: int, symbol: str, volume: float, price: float) -> float:
        market = self._require_symbol(symbol)
        _require_calculable(action, volume, price)
        leverage = self._require_started().leverage
        return market.terms[symbol].margin(volume, price, leverage)

    @_call
    def order_calc_profit(
        self, action: int, symbol: str, volume: float, price_open: float, price_close: float
    ) -> float:
        market = self._require_symbol(symbol)
        _require_calculable(action, volume, price_open, price_close)
        side = direction(action)
        return market.terms[symbol].profit(side, volume, price_open, price_close)

    # ---- inside --------------------------------------------------------------------------------

    def _place(self) -> None:
        """Have the order taken by the broker on the network, where there is one."""
        link = self._require_started().link
        if link is None:
            return
        try:
            link.place()
        except BrokerUnreachable as fault:
            raise Failure(c.RES_E_INTERNAL_FAIL_SEND, "No connection with trade server") from fault
        except BrokerSilent as fault:
            raise Failure(c.RES_E_INTERNAL_FAIL_TIMEOUT, "IPC timeout") from fault

    def _parse(self, request: object) -> TradeRequest:
        try:
            return requests.parse(request)
        except requests.BadArgument as fault:
            raise Failure(c.RES_E_INVALID_PARAMS, str(fault)) from fault

    def _quote(self, request: TradeRequest, book: AccountBook) -> None:
        """Give the books the present quote of the symbol that the request names."""
        market = self._require_started().market
        if request.symbol in market.terms:
            book.quotes[request.symbol] = market.tick(request.symbol, self._seen_s)

    def _situation(self, book: AccountBook) -> rules.Situation:
        conditions = self._require_started()
        return rules.Situation(
            conditions.market,
            book,
            self._selected,
            conditions.leverage,
            conditions.trade_allowed,
            self._seen_s,
        )

    def _require_started(self) -> Conditions:
        if not self._started or self._conditions is None:
            raise Failure(c.RES_E_INTERNAL_FAIL_CONNECT, "No IPC connection")
        return self._conditions

    def _require_symbol(self, symbol: str) -> Market:
        market = self._require_started().market
        if symbol not in market.terms:
            raise Failure(c.RES_E_NOT_FOUND, "Terminal: Not found")
        return market

    def _require_account(self) -> tuple[AccountBook, int, str]:
        """The account, after everything that prices have done to it until now."""
        conditions = self._require_started()
        if self._book is None or self._login is None:
            raise Failure(c.RES_E_AUTH_FAILED, "Terminal: Authorization failed")
        now_s = conditions.market.now_ms() // 1000
        if now_s > self._seen_s:
            for symbol in sorted(self._book.exposed_symbols()):
                for tick in conditions.market.path(symbol, self._seen_s, now_s):
                    self._book.on_tick(symbol, tick)
            self._seen_s = now_s
        return self._book, *self._login

    def _now_s(self) -> int:
        return self._require_started().market.now_ms() // 1000

    def _tick(self, symbol: str) -> Tick:
        return self._require_started().market.tick(symbol, self._now_s())

    def _describe(self, symbol: str) -> SymbolInfo:
        selected = symbol in self._selected
        terms = self._require_started().market.terms[symbol]
        return descriptions.symbol_info(terms, self._tick(symbol), selected=selected)


def _require_calculable(action: int, volume: float, *prices: float) -> None:
    numbers = (volume, *prices)
    if action not in rules.MARKET_TYPES or not all(
        math.isfinite(number) and number > 0 for number in numbers
    ):
        raise Failure(c.RES_E_INVALID_PARAMS, "Invalid params")
