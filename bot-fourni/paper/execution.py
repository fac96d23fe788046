"""Carrying out a request that the rules have accepted."""

from typing import NamedTuple

from paper import constants as c
from paper.book import AccountBook, Cause, entry_price, exit_price, new_order
from paper.prices import DAY_S
from paper.tuples import TradeOrder, TradeRequest


class Executed(NamedTuple):
    """What becomes of a request; zero where there is nothing to name."""

    retcode: int
    deal: int = 0
    order: int = 0
    volume: float = 0.0
    price: float = 0.0


def execute(request: TradeRequest, book: AccountBook, now_ms: int) -> Executed:
    """Change the books as asked."""
    match request.action:
        case c.TRADE_ACTION_DEAL if request.position:
            return _close(request, book, now_ms)
        case c.TRADE_ACTION_DEAL:
            return _open(request, book, now_ms)
        case c.TRADE_ACTION_PENDING:
            return _place(request, book, now_ms)
        case c.TRADE_ACTION_SLTP:
            return _set_stops(request, book, now_ms)
        case c.TRADE_ACTION_MODIFY:
            return _modify(request, book)
        case c.TRADE_ACTION_REMOVE:
            book.drop_order(book.orders[request.order], c.ORDER_STATE_CANCELED, now_ms)
            return Executed(c.TRADE_RETCODE_DONE, order=request.order)
        case c.TRADE_ACTION_CLOSE_BY:
            return _close_by(request, book, now_ms)
        case _:
            raise ValueError("the rules accept no other action")


def _cause(request: TradeRequest) -> Cause:
    return Cause(c.DEAL_REASON_EXPERT, request.comment, request.magic)


def _order(request: TradeRequest, book: AccountBook, price: float, now_ms: int) -> TradeOrder:
    order = new_order(
        book.ticket(), request.symbol, request.type, request.volume, price, now_ms, _cause(request)
    )
    return order._replace(
        sl=request.sl,
        tp=request.tp,
        type_filling=request.type_filling,
        type_time=request.type_time,
        time_expiration=_expiration(request, now_ms // 1000),
    )


def _expiration(request: TradeRequest, now_s: int) -> int:
    """When the order expires, on the broker's clock; 0 = never."""
    match request.type_time:
        case c.ORDER_TIME_DAY:
            return (now_s // DAY_S + 1) * DAY_S
        case c.ORDER_TIME_SPECIFIED:
            return request.expiration
        case c.ORDER_TIME_SPECIFIED_DAY:
            return (request.expiration // DAY_S + 1) * DAY_S
        case _:
            return 0


def _open(request: TradeRequest, book: AccountBook, now_ms: int) -> Executed:
    price = entry_price(request.type, book.quotes[request.symbol])
    order = _order(request, book, price, now_ms)
    deal = book.open(order, price, now_ms)
    return Executed(c.TRADE_RETCODE_DONE, deal.ticket, order.ticket, deal.volume, price)


def _close(request: TradeRequest, book: AccountBook, now_ms: int) -> Executed:
    position = book.positions[request.position]
    price = exit_price(position, book.quotes[position.symbol])
    volume = min(request.volume, position.volume)
    deal = book.close(position, volume, price, now_ms, _cause(request))
    return Executed(c.TRADE_RETCODE_DONE, deal.ticket, deal.order, deal.volume, price)


def _place(request: TradeRequest, book: AccountBook, now_ms: int) -> Executed:
    order = _order(request, book, request.price, now_ms)
    book.orders[order.ticket] = order
    return Executed(c.TRADE_RETCODE_DONE, 0, order.ticket, order.volume_initial, request.price)


def _set_stops(request: TradeRequest, book: AccountBook, now_ms: int) -> Executed:
    position = book.positions[request.position]
    book.positions[position.ticket] = position._replace(
        sl=request.sl, tp=request.tp, time_update=now_ms // 1000, time_update_msc=now_ms
    )
    return Executed(c.TRADE_RETCODE_DONE)


def _modify(request: TradeRequest, book: AccountBook) -> Executed:
    order = book.orders[request.order]
    book.orders[order.ticket] = order._replace(
        price_open=request.price,
        sl=request.sl,
        tp=request.tp,
        type_time=request.type_time,
        time_expiration=_expiration(request, order.time_setup),
    )
    return Executed(c.TRADE_RETCODE_DONE, order=order.ticket)


def _close_by(request: TradeRequest, book: AccountBook, now_ms: int) -> Executed:
    """Close two opposite positions by each other, at the opening price of the second."""
    one, other = book.positions[request.position], book.positions[request.position_by]
    volume = min(one.volume, other.volume)
    cause = _cause(request)
    deal = book.close(one, volume, other.price_open, now_ms, cause, c.DEAL_ENTRY_OUT_BY)
    book.close(other, volume, other.price_open, now_ms, cause, c.DEAL_ENTRY_OUT_BY)
    return Executed(c.TRADE_RETCODE_DONE, deal.ticket, deal.order, volume, other.price_open)
