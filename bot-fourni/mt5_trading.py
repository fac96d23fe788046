"""Orders. Nothing else in the bot sends any.

Three rules hold for every single order:
 1. Lease and control are read and checked immediately before it is sent (permission.py).
 2. One at a time. When its fate is unknown (a timeout), nothing more is sent until it was looked
    for at the broker, by magic number and comment, and is found or has surely never arrived.
 3. An order that was lost is not sent again; only a new reason makes a new order.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

from clock import Clock
from journal import Journal
from mt5_data import NoData, Quote
from order_identity import OrderIdentity
from permission import NotPermitted, OrderPermission
from risk import Levels
from strategy import Side
from terminal_api import Request, Terminal

if TYPE_CHECKING:
    from paper.tuples import OrderSendResult, TradeOrder, TradePosition

Outcome = Literal["done", "refused", "unknown", "not-permitted"]

SETTLE_MS = 10_000
"""An order that the broker does not show for this long after a timeout has never arrived."""

_DAY_S = 86_400

HISTORY_BEFORE_S = _DAY_S
HISTORY_AFTER_S = 7 * _DAY_S
"""How far around the last quote the broker's history is looked through. Far ahead, because the
last quote of a closed market is old while other markets trade."""

PRICE_ATTEMPTS = 3
"""How often an order is offered when the broker answers with another price."""

DEVIATION_POINTS = 20
"""Accepted slippage under instant execution."""

_FILLING_FOK_BIT = 1
_FILLING_IOC_BIT = 2


class _InFlight(NamedTuple):
    """An order whose answer never came. `known` are our orders from before it."""

    request: Request
    known: frozenset[int]
    sent_ms: int


class Trader:
    """Sends the orders of one allocation."""

    def __init__(
        self,
        terminal: Terminal,
        permission: OrderPermission,
        identity: OrderIdentity,
        clock: Clock,
        journal: Journal,
        broker_time_s: Callable[[], int],
    ) -> None:
        self._terminal = terminal
        self._permission = permission
        self._identity = identity
        self._clock = clock
        self._journal = journal
        self._broker_time_s = broker_time_s
        self._in_flight: _InFlight | None = None
        self._orders_today = 0
        self._day = self._today()
        self._broker_reasons = (
            terminal.ORDER_REASON_SL,
            terminal.ORDER_REASON_TP,
            terminal.ORDER_REASON_SO,
        )
        self._done_retcodes = (
            terminal.TRADE_RETCODE_DONE,
            terminal.TRADE_RETCODE_PLACED,
            terminal.TRADE_RETCODE_DONE_PARTIAL,
        )
        self._price_retcodes = (
            terminal.TRADE_RETCODE_REQUOTE,
            terminal.TRADE_RETCODE_PRICE_CHANGED,
            terminal.TRADE_RETCODE_PRICE_OFF,
        )
        self._unknown_retcodes = (
            terminal.TRADE_RETCODE_TIMEOUT,
            terminal.TRADE_RETCODE_CONNECTION,
            terminal.TRADE_RETCODE_ERROR,
        )

    # ---- what is there -------------------------------------------------------------------------

    def has_order_in_flight(self) -> bool:
        """Whether the fate of an order is unknown."""
        return self._in_flight is not None

    def positions(self) -> "tuple[TradePosition, ...] | None":
        """Our positions, also those of earlier epochs; None when the terminal does not say."""
        found = self._terminal.positions_get()
        if found is None:
            return None
        return tuple(each for each in found if self._identity.is_own(each.magic))

    def _pending_orders(self) -> "tuple[TradeOrder, ...] | None":
        found = self._terminal.orders_get()
        if found is None:
            return None
        return tuple(each for each in found if self._identity.is_own(each.magic))

    def orders_today(self) -> int:
        """Orders executed in this UTC day of the host."""
        if self._today() != self._day:
            self._day, self._orders_today = self._today(), 0
        return self._orders_today

    def count_earlier_orders(self) -> None:
        """Take over what this account's bots have traded today, before this one was started.

        Raises NoData when the terminal does not say.
        """
        now_s = self._broker_time_s()
        past = self._terminal.history_orders_get(now_s - _DAY_S, now_s + _DAY_S)
        if past is None:
            raise NoData("no history", self._terminal.last_error()[0])
        since_midnight_s = int(self._clock.wall_s()) % _DAY_S
        self._orders_today = sum(
            self._identity.is_own(each.magic)
            and each.time_setup >= now_s - since_midnight_s
            and each.reason not in self._broker_reasons
            for each in past
        )

    def _today(self) -> int:
        return int(self._clock.wall_s()) // _DAY_S

    # ---- orders --------------------------------------------------------------------------------

    def open(
        self, symbol: str, side: Side, volume: float, levels: Levels, quote: Callable[[], Quote]
    ) -> Outcome:
        """Open a position at the market."""
        terminal = self._terminal
        buy = side == "buy"

        def request() -> Request:
            now = quote()
            return self._request(
                action=terminal.TRADE_ACTION_DEAL,
                symbol=symbol,
                volume=volume,
                type=terminal.ORDER_TYPE_BUY if buy else terminal.ORDER_TYPE_SELL,
                price=now.ask if buy else now.bid,
                sl=levels.stop,
                tp=levels.target,
                deviation=DEVIATION_POINTS,
                type_filling=self._filling(symbol),
                type_time=terminal.ORDER_TIME_GTC,
            )

        return self._offer(request, reducing=False)

    def close(self, position: "TradePosition") -> Outcome:
        """Close one position at the market."""
        terminal = self._terminal
        is_buy = position.type == terminal.POSITION_TYPE_BUY

        def request() -> Request:
            tick = terminal.symbol_info_tick(position.symbol)
            price = (tick.bid if is_buy else tick.ask) if tick is not None else 0.0
            return self._request(
                action=terminal.TRADE_ACTION_DEAL,
                position=position.ticket,
                symbol=position.symbol,
                volume=position.volume,
                type=terminal.ORDER_TYPE_SELL if is_buy else terminal.ORDER_TYPE_BUY,
                price=price,
                deviation=DEVIATION_POINTS,
                type_filling=self._filling(position.symbol),
                type_time=terminal.ORDER_TIME_GTC,
            )

        return self._offer(request, reducing=True)

    def is_flat(self) -> bool:
        """Whether we have no position, no pending order and none whose fate is unknown."""
        orders, positions = self._pending_orders(), self.positions()
        return orders == () and positions == () and not self.has_order_in_flight()

    def flatten(self) -> None:
        """Try to remove each of our pending orders and to close each of our positions, once."""
        for order in self._pending_orders() or ():
            removal = self._request(action=self._terminal.TRADE_ACTION_REMOVE, order=order.ticket)
            self._send(removal, reducing=True)
        for position in self.positions() or ():
            # Selected, because a terminal has quotes for selected symbols only.
            self._terminal.symbol_select(position.symbol, True)
            self.close(position)

    def _request(self, **fields: int | float | str) -> Request:
        return {**fields, "magic": self._identity.magic, "comment": self._identity.comment}

    def _filling(self, symbol: str) -> int:
        """A filling mode that the symbol allows; the wrong one is refused with 10030."""
        info = self._terminal.symbol_info(symbol)
        modes = info.filling_mode if info is not None else _FILLING_FOK_BIT
        if modes & _FILLING_FOK_BIT:
            return self._terminal.ORDER_FILLING_FOK
        if modes & _FILLING_IOC_BIT:
            return self._terminal.ORDER_FILLING_IOC
        return self._terminal.ORDER_FILLING_RETURN

    def _offer(self, request: Callable[[], Request], *, reducing: bool) -> Outcome:
        """Send; offer again, freshly priced, while the broker only wants another price."""
        for _ in range(PRICE_ATTEMPTS):
            outcome, retcode = self._send(request(), reducing=reducing)
            if outcome != "refused" or retcode not in self._price_retcodes:
                return outcome
        return "refused"

    def _send(self, request: Request, *, reducing: bool) -> tuple[Outcome, int]:
        """The only call of order_send. Gives the outcome and the broker's return code."""
        if self.has_order_in_flight():
            return "unknown", 0
        known = self._own_orders()
        if known is None:
            return "refused", 0  # the terminal does not answer: an order could not be found again
        if not reducing and not self._passes_check(request):
            return "refused", 0
        try:
            self._permission.require(reducing=reducing)
        except NotPermitted as reason:
            self._journal.warn("order not permitted", reason=str(reason))
            return "not-permitted", 0
        sent_ms = self._clock.boottime_ms()
        result = self._terminal.order_send(request)
        return self._judge(result, _InFlight(request, frozenset(known), sent_ms))

    def _passes_check(self, request: Request) -> bool:
        check = self._terminal.order_check(request)
        if check is not None and check.retcode == 0:
            return True
        retcode = check.retcode if check is not None else self._terminal.last_error()[0]
        self._journal.warn("order would be refused", retcode=retcode)
        return False

    def _judge(self, result: "OrderSendResult | None", sent: _InFlight) -> tuple[Outcome, int]:
        if result is None:
            code = self._terminal.last_error()[0]
            if code == self._terminal.RES_E_INVALID_PARAMS:
                self._journal.error("order was malformed", lastError=code)
                return "refused", 0
            return self._lose_sight(sent, code), 0
        if result.retcode in self._done_retcodes:
            self._count(sent.request, result.order)
            return "done", result.retcode
        if result.retcode in self._unknown_retcodes:
            return self._lose_sight(sent, result.retcode), result.retcode
        self._journal.warn("order refused", retcode=result.retcode)
        return "refused", result.retcode

    def _count(self, request: Request, ticket: int) -> None:
        self._orders_today = self.orders_today() + 1
        self._journal.info(
            "order done",
            ticket=ticket,
            symbol=request.get("symbol"),
            type=request.get("type"),
            volume=request.get("volume"),
            position=request.get("position", 0),
        )

    # ---- orders whose answer never came --------------------------------------------------------

    def _lose_sight(self, sent: _InFlight, code: int) -> Outcome:
        self._in_flight = sent
        self._journal.warn("fate of the order is unknown", code=code)
        return "unknown"

    def settle(self) -> None:
        """Look for the order whose fate is unknown. Call it often; it does nothing otherwise."""
        sent = self._in_flight
        if sent is None:
            return
        orders = self._own_orders()
        if orders is None:
            return  # nothing can be concluded while the terminal does not answer
        arrived = [
            ticket
            for ticket, order in orders.items()
            if ticket not in sent.known and self._is_order_of(sent.request, order)
        ]
        if arrived:
            self._in_flight = None
            self._count(sent.request, arrived[0])
        elif self._clock.boottime_ms() - sent.sent_ms >= SETTLE_MS:
            self._in_flight = None
            self._journal.warn("order never arrived and is not sent again")

    def _is_order_of(self, request: Request, order: "TradeOrder") -> bool:
        """Whether an order that was not there before is what the request became.

        Stops and targets make orders with our magic number too, hence the reason.
        """
        if order.reason in self._broker_reasons:
            return False
        same_kind = (order.symbol, order.type) == (request.get("symbol"), request.get("type"))
        position = request.get("position")
        return same_kind and (position is None or order.position_id == position)

    def _own_orders(self) -> "dict[int, TradeOrder] | None":
        """The orders of this epoch, pending and past, by ticket. None when unanswered.

        Everything begins as an order, closing a position too. A broker may rewrite the comment,
        seldom the magic number: either one makes an order ours.
        """
        now_s = self._broker_time_s()
        pending = self._terminal.orders_get()
        past = self._terminal.history_orders_get(now_s - HISTORY_BEFORE_S, now_s + HISTORY_AFTER_S)
        if pending is None or past is None:
            return None
        own = self._identity
        return {
            each.ticket: each
            for each in (*pending, *past)
            if each.magic == own.magic or each.comment == own.comment
        }
