"""The broker's books for one hedging account: money, positions, pending orders, history.

No commission, no swap. Margin is the sum over all positions, opposite ones included (a broker
asks for less). What is executed was checked before, by rules.py; only prices decide here.
"""

from collections import deque
from typing import NamedTuple

from paper import constants as c
from paper.symbols import SymbolTerms
from paper.tuples import Tick, TradeDeal, TradeOrder, TradePosition

MAX_HISTORY = 10_000
"""Deals and orders of the past that are kept; the oldest are forgotten."""

MARGIN_CALL_PERCENT = 100.0
STOP_OUT_PERCENT = 50.0

BUY_TYPES = (
    c.ORDER_TYPE_BUY,
    c.ORDER_TYPE_BUY_LIMIT,
    c.ORDER_TYPE_BUY_STOP,
)


class Figures(NamedTuple):
    """The account in USD; `margin_level` in percent, 0 without positions."""

    balance: float
    profit: float
    equity: float
    margin: float
    margin_free: float
    margin_level: float


class Cause(NamedTuple):
    """Why something is executed: reason and comment of the deal, magic of the order."""

    reason: int
    comment: str
    magic: int


def direction(order_type: int) -> int:
    """1 for what buys, -1 for what sells."""
    return 1 if order_type in BUY_TYPES else -1


def exit_price(position: TradePosition, tick: Tick) -> float:
    """What closing the position would fetch: a buy is closed at the bid."""
    return tick.bid if position.type == c.POSITION_TYPE_BUY else tick.ask


def entry_price(order_type: int, tick: Tick) -> float:
    """What opening costs: a buy is opened at the ask."""
    return tick.ask if direction(order_type) > 0 else tick.bid


class AccountBook:
    """Everything the broker knows about the account."""

    def __init__(self, terms: dict[str, SymbolTerms], deposit: float, leverage: int) -> None:
        self.terms = terms
        self._leverage = leverage
        self._next_ticket = 100_000_001
        self.balance = round(deposit, 2)
        self.positions: dict[int, TradePosition] = {}
        self.orders: dict[int, TradeOrder] = {}
        self.history_orders: deque[TradeOrder] = deque(maxlen=MAX_HISTORY)
        self.history_deals: deque[TradeDeal] = deque(maxlen=MAX_HISTORY)
        self.quotes: dict[str, Tick] = {}
        """The last quote of each symbol that was looked at."""

    def ticket(self) -> int:
        """A number no order or deal has had."""
        self._next_ticket += 1
        return self._next_ticket - 1

    def exposed_symbols(self) -> set[str]:
        """Symbols whose price can change something in the books."""
        held = {each.symbol for each in self.positions.values()}
        return held | {each.symbol for each in self.orders.values()}

    # ---- money ---------------------------------------------------------------------------------

    def profit_of(self, position: TradePosition) -> float:
        price = exit_price(position, self.quotes[position.symbol])
        return self.terms[position.symbol].profit(
            direction(position.type), position.volume, position.price_open, price
        )

    def figures(self) -> Figures:
        """The account at the last quotes."""
        profit = round(sum(self.profit_of(each) for each in self.positions.values()), 2)
        margin = round(sum(self._margin_of(each) for each in self.positions.values()), 2)
        equity = round(self.balance + profit, 2)
        level = round(equity / margin * 100, 2) if margin > 0 else 0.0
        return Figures(self.balance, profit, equity, margin, round(equity - margin, 2), level)

    def _margin_of(self, position: TradePosition) -> float:
        terms = self.terms[position.symbol]
        return terms.margin(position.volume, position.price_open, self._leverage)

    def volume_in(self, symbol: str, side: int) -> float:
        """Lots of one direction, positions and pending orders together."""
        held = sum(
            each.volume
            for each in self.positions.values()
            if each.symbol == symbol and direction(each.type) == side
        )
        waiting = sum(
            each.volume_current
            for each in self.orders.values()
            if each.symbol == symbol and direction(each.type) == side
        )
        return held + waiting

    # ---- execution -----------------------------------------------------------------------------

    def record_deposit(self, now_ms: int) -> None:
        """The first deal of the account."""
        self._record_deal(
            order=0,
            now_ms=now_ms,
            kind=c.DEAL_TYPE_BALANCE,
            entry=c.DEAL_ENTRY_IN,
            position=0,
            volume=0.0,
            price=0.0,
            profit=self.balance,
            symbol="",
            cause=Cause(c.DEAL_REASON_CLIENT, "deposit", 0),
        )

    def open(self, order: TradeOrder, price: float, now_ms: int) -> TradeDeal:
        """Fill an order that opens a position. The position's ticket is the order's."""
        side = c.POSITION_TYPE_BUY if direction(order.type) > 0 else c.POSITION_TYPE_SELL
        self.orders.pop(order.ticket, None)
        self._record_order(order, c.ORDER_STATE_FILLED, price, now_ms, order.ticket)
        self.positions[order.ticket] = TradePosition(
            ticket=order.ticket,
            time=now_ms // 1000,
            time_msc=now_ms,
            time_update=now_ms // 1000,
            time_update_msc=now_ms,
            type=side,
            magic=order.magic,
            identifier=order.ticket,
            reason=c.POSITION_REASON_EXPERT,
            volume=order.volume_current,
            price_open=price,
            sl=order.sl,
            tp=order.tp,
            price_current=price,
            swap=0.0,
            profit=0.0,
            symbol=order.symbol,
            comment=order.comment,
            external_id="",
        )
        return self._record_deal(
            order=order.ticket,
            now_ms=now_ms,
            kind=side,
            entry=c.DEAL_ENTRY_IN,
            position=order.ticket,
            volume=order.volume_current,
            price=price,
            profit=0.0,
            symbol=order.symbol,
            cause=Cause(c.DEAL_REASON_EXPERT, order.comment, order.magic),
        )

    def close(
        self,
        position: TradePosition,
        volume: float,
        price: float,
        now_ms: int,
        cause: Cause,
        entry: int = c.DEAL_ENTRY_OUT,
    ) -> TradeDeal:
        """Close `volume` lots of the position at `price` and book the profit."""
        terms = self.terms[position.symbol]
        profit = terms.profit(direction(position.type), volume, position.price_open, price)
        self.balance = round(self.balance + profit, 2)
        rest = round(position.volume - volume, 8)
        if rest > 0:
            self.positions[position.ticket] = position._replace(
                volume=rest, time_update=now_ms // 1000, time_update_msc=now_ms
            )
        else:
            del self.positions[position.ticket]
        kind = c.DEAL_TYPE_SELL if position.type == c.POSITION_TYPE_BUY else c.DEAL_TYPE_BUY
        order = new_order(
            self.ticket(), position.symbol, kind, volume, price, now_ms, cause
        )._replace(position_id=position.ticket)
        self._record_order(order, c.ORDER_STATE_FILLED, price, now_ms, position.ticket)
        return self._record_deal(
            order=order.ticket,
            now_ms=now_ms,
            kind=kind,
            entry=entry,
            position=position.ticket,
            volume=volume,
            price=price,
            profit=profit,
            symbol=position.symbol,
            cause=cause,
        )

    def drop_order(self, order: TradeOrder, state: int, now_ms: int) -> None:
        """A pending order ends unfilled."""
        del self.orders[order.ticket]
        self._record_order(order, state, order.price_open, now_ms, 0)

    def _record_order(
        self, order: TradeOrder, state: int, price: float, now_ms: int, position: int
    ) -> None:
        filled = state == c.ORDER_STATE_FILLED
        self.history_orders.append(
            order._replace(
                state=state,
                time_done=now_ms // 1000,
                time_done_msc=now_ms,
                price_current=price,
                volume_current=0.0 if filled else order.volume_current,
                position_id=position,
            )
        )

    def _record_deal(
        self,
        *,
        order: int,
        now_ms: int,
        kind: int,
        entry: int,
        position: int,
        volume: float,
        price: float,
        profit: float,
        symbol: str,
        cause: Cause,
    ) -> TradeDeal:
        deal = TradeDeal(
            ticket=self.ticket(),
            order=order,
            time=now_ms // 1000,
            time_msc=now_ms,
            type=kind,
            entry=entry,
            magic=cause.magic,
            position_id=position,
            reason=cause.reason,
            volume=volume,
            price=price,
            commission=0.0,
            swap=0.0,
            profit=profit,
            fee=0.0,
            symbol=symbol,
            comment=cause.comment,
            external_id="",
        )
        self.history_deals.append(deal)
        return deal

    # ---- what prices do ------------------------------------------------------------------------

    def on_tick(self, symbol: str, tick: Tick) -> None:
        """One quote: expiry, pending orders, stops and targets, stop-out; in this order."""
        self.quotes[symbol] = tick
        for order in [each for each in self.orders.values() if each.symbol == symbol]:
            if 0 < order.time_expiration <= tick.time:
                self.drop_order(order, c.ORDER_STATE_EXPIRED, tick.time_msc)
            elif _is_triggered(order, tick):
                self._fill_pending(order, tick)
        for position in [each for each in self.positions.values() if each.symbol == symbol]:
            cause = _exit_cause(position, tick)
            if cause is not None:
                price = exit_price(position, tick)
                self.close(position, position.volume, price, tick.time_msc, cause)
        self._stop_out(tick.time_msc)

    def _fill_pending(self, order: TradeOrder, tick: Tick) -> None:
        price = entry_price(order.type, tick)
        margin = self.terms[order.symbol].margin(order.volume_current, price, self._leverage)
        if margin > self.figures().margin_free:
            self.drop_order(order, c.ORDER_STATE_REJECTED, tick.time_msc)
        else:
            self.open(order, price, tick.time_msc)

    def _stop_out(self, now_ms: int) -> None:
        """Close the position that loses most, until the margin level is above the stop-out."""
        while self.positions:
            figures = self.figures()
            if figures.margin == 0 or figures.margin_level > STOP_OUT_PERCENT:
                return
            worst = min(self.positions.values(), key=self.profit_of)
            cause = Cause(c.DEAL_REASON_SO, f"[so {figures.margin_level:.2f}%]", worst.magic)
            price = exit_price(worst, self.quotes[worst.symbol])
            self.close(worst, worst.volume, price, now_ms, cause)


def new_order(
    ticket: int, symbol: str, kind: int, volume: float, price: float, now_ms: int, cause: Cause
) -> TradeOrder:
    """An order as it is set up; stops, expiry and the like are added with `_replace`."""
    return TradeOrder(
        ticket=ticket,
        time_setup=now_ms // 1000,
        time_setup_msc=now_ms,
        time_done=0,
        time_done_msc=0,
        time_expiration=0,
        type=kind,
        type_time=c.ORDER_TIME_GTC,
        type_filling=c.ORDER_FILLING_FOK,
        state=c.ORDER_STATE_PLACED,
        magic=cause.magic,
        position_id=0,
        position_by_id=0,
        reason=cause.reason,
        volume_initial=volume,
        volume_current=volume,
        price_open=price,
        sl=0.0,
        tp=0.0,
        price_current=price,
        price_stoplimit=0.0,
        symbol=symbol,
        comment=cause.comment,
        external_id="",
    )


def _is_triggered(order: TradeOrder, tick: Tick) -> bool:
    price = entry_price(order.type, tick)
    if order.type in (c.ORDER_TYPE_BUY_LIMIT, c.ORDER_TYPE_SELL_STOP):
        return price <= order.price_open
    return price >= order.price_open


def _exit_cause(position: TradePosition, tick: Tick) -> Cause | None:
    """Stop before target: when a coarse step passes both, the worse one is assumed."""
    side, price = direction(position.type), exit_price(position, tick)
    if position.sl > 0 and (price - position.sl) * side <= 0:
        return Cause(c.DEAL_REASON_SL, f"[sl {position.sl}]", position.magic)
    if position.tp > 0 and (price - position.tp) * side >= 0:
        return Cause(c.DEAL_REASON_TP, f"[tp {position.tp}]", position.magic)
    return None
