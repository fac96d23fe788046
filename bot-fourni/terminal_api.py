"""The part of the MetaTrader5 module that the bot uses: the one contract of both runtimes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from paper.tuples import (
        AccountInfo,
        OrderCheckResult,
        OrderSendResult,
        SymbolInfo,
        TerminalInfo,
        Tick,
        TradeOrder,
        TradePosition,
    )

COMMENT_LENGTH_MAX = 27
"""A longer comment makes order_send fail before anything is sent."""

Request = Mapping[str, int | float | str]


class Terminal(Protocol):
    """Each function gives None (False for initialize and login) on failure; see last_error()."""

    RES_E_AUTH_FAILED: int
    RES_E_INVALID_PARAMS: int

    TIMEFRAME_M1: int
    TIMEFRAME_M5: int
    TIMEFRAME_M15: int
    TIMEFRAME_M30: int
    TIMEFRAME_H1: int
    TIMEFRAME_H4: int
    TIMEFRAME_D1: int

    TRADE_ACTION_DEAL: int
    TRADE_ACTION_REMOVE: int
    ORDER_TYPE_BUY: int
    ORDER_TYPE_SELL: int
    POSITION_TYPE_BUY: int
    ORDER_FILLING_FOK: int
    ORDER_FILLING_IOC: int
    ORDER_FILLING_RETURN: int
    ORDER_TIME_GTC: int
    ORDER_REASON_SL: int
    ORDER_REASON_TP: int
    ORDER_REASON_SO: int

    TRADE_RETCODE_REQUOTE: int
    TRADE_RETCODE_PLACED: int
    TRADE_RETCODE_DONE: int
    TRADE_RETCODE_DONE_PARTIAL: int
    TRADE_RETCODE_ERROR: int
    TRADE_RETCODE_TIMEOUT: int
    TRADE_RETCODE_PRICE_CHANGED: int
    TRADE_RETCODE_PRICE_OFF: int
    TRADE_RETCODE_CONNECTION: int

    def initialize(self) -> bool: ...
    def login(self, login: int, password: str, server: str) -> bool: ...
    def shutdown(self) -> None: ...
    def version(self) -> tuple[int, int, str] | None: ...
    def last_error(self) -> tuple[int, str]: ...
    def terminal_info(self) -> "TerminalInfo | None": ...
    def account_info(self) -> "AccountInfo | None": ...
    def symbol_info(self, symbol: str) -> "SymbolInfo | None": ...
    def symbol_info_tick(self, symbol: str) -> "Tick | None": ...
    def symbol_select(self, symbol: str, enable: bool) -> bool | None: ...
    def copy_rates_from_pos(
        self, symbol: str, timeframe: int, start_pos: int, count: int
    ) -> "npt.NDArray[np.void] | None": ...
    def orders_get(self) -> "tuple[TradeOrder, ...] | None": ...
    def positions_get(self) -> "tuple[TradePosition, ...] | None": ...
    def history_orders_get(
        self, date_from: float, date_to: float
    ) -> "tuple[TradeOrder, ...] | None": ...
    def order_check(self, request: Request) -> "OrderCheckResult | None": ...
    def order_send(self, request: Request) -> "OrderSendResult | None": ...
