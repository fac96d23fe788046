"""What the broker refuses: one request in, one return code out (0 = fine).

The same rules answer order_check and order_send.
"""

from typing import NamedTuple

from paper import constants as c
from paper.book import BUY_TYPES, AccountBook, direction, entry_price, exit_price
from paper.market import Market
from paper.symbols import SymbolTerms
from paper.tuples import Tick, TradeOrder, TradePosition, TradeRequest

MAX_PENDING_ORDERS = 200
MAX_POSITIONS = 200

MARKET_TYPES = (c.ORDER_TYPE_BUY, c.ORDER_TYPE_SELL)
PENDING_TYPES = (
    c.ORDER_TYPE_BUY_LIMIT,
    c.ORDER_TYPE_SELL_LIMIT,
    c.ORDER_TYPE_BUY_STOP,
    c.ORDER_TYPE_SELL_STOP,
)
"""Stop-limit orders are not simulated."""

ACCEPTED = 0


class Situation(NamedTuple):
    """What the rules look at; `now_s` on the broker's clock."""

    market: Market
    book: AccountBook
    selected: set[str]
    leverage: int
    trade_allowed: bool
    now_s: int


def refusal(request: TradeRequest, situation: Situation) -> int:
    """The return code that refuses the request, 0 when it can be executed."""
    if not situation.trade_allowed:
        return c.TRADE_RETCODE_CLIENT_DISABLES_AT
    match request.action:
        case c.TRADE_ACTION_DEAL:
            return _deal(request, situation)
        case c.TRADE_ACTION_PENDING:
            return _pending(request, situation)
        case c.TRADE_ACTION_SLTP:
            return _stops_of_position(request, situation)
        case c.TRADE_ACTION_MODIFY:
            return _modify(request, situation)
        case c.TRADE_ACTION_REMOVE:
            known = request.order in situation.book.orders
            return ACCEPTED if known else c.TRADE_RETCODE_INVALID_ORDER
        case c.TRADE_ACTION_CLOSE_BY:
            return _close_by(request, situation)
        case _:
            return c.TRADE_RETCODE_INVALID


def _deal(request: TradeRequest, situation: Situation) -> int:
    terms = situation.market.terms.get(request.symbol)
    if terms is None or request.type not in MARKET_TYPES:
        return c.TRADE_RETCODE_INVALID
    position = None
    if request.position:
        position = situation.book.positions.get(request.position)
        if position is None:
            return c.TRADE_RETCODE_POSITION_CLOSED
        if position.symbol != request.symbol or position.type == request.type:
            return c.TRADE_RETCODE_INVALID
    code = _symbol(terms, request, situation, closing=position is not None)
    if code != ACCEPTED:
        return code
    if not _filling_fits(request.type_filling, terms):
        return c.TRADE_RETCODE_INVALID_FILL
    tick = situation.book.quotes[request.symbol]
    code = _market_price(request, terms, tick)
    if code != ACCEPTED or position is not None:
        return code or _close_volume(request, terms, position)
    return _opening(request, terms, tick, situation)


def _symbol(
    terms: SymbolTerms, request: TradeRequest, situation: Situation, *, closing: bool
) -> int:
    """Whether the symbol may be traded now in this direction."""
    if request.symbol not in situation.selected:
        return c.TRADE_RETCODE_PRICE_OFF  # there are no quotes for a symbol not selected
    if terms.trade_mode == c.SYMBOL_TRADE_MODE_DISABLED:
        return c.TRADE_RETCODE_TRADE_DISABLED
    if not closing:
        buys = request.type in BUY_TYPES
        if terms.trade_mode == c.SYMBOL_TRADE_MODE_CLOSEONLY:
            return c.TRADE_RETCODE_CLOSE_ONLY
        if terms.trade_mode == c.SYMBOL_TRADE_MODE_LONGONLY and not buys:
            return c.TRADE_RETCODE_LONG_ONLY
        if terms.trade_mode == c.SYMBOL_TRADE_MODE_SHORTONLY and buys:
            return c.TRADE_RETCODE_SHORT_ONLY
    if not situation.market.is_open(request.symbol, situation.now_s):
        return c.TRADE_RETCODE_MARKET_CLOSED
    return ACCEPTED


def _filling_fits(filling: int, terms: SymbolTerms) -> bool:
    bits = {
        c.ORDER_FILLING_FOK: c.SYMBOL_FILLING_FOK,
        c.ORDER_FILLING_IOC: c.SYMBOL_FILLING_IOC,
    }
    # RETURN is never allowed for market orders under market execution.
    return bool(terms.filling & bits.get(filling, 0))


def _market_price(request: TradeRequest, terms: SymbolTerms, tick: Tick) -> int:
    """Under instant execution the price asked for must still be there."""
    if request.price < 0:
        return c.TRADE_RETCODE_INVALID_PRICE
    if terms.execution != c.SYMBOL_TRADE_EXECUTION_INSTANT:
        return ACCEPTED
    if request.price == 0:
        return c.TRADE_RETCODE_INVALID_PRICE
    slip_points = abs(request.price - entry_price(request.type, tick)) / terms.point
    return ACCEPTED if slip_points <= request.deviation + 1e-6 else c.TRADE_RETCODE_REQUOTE


def _close_volume(request: TradeRequest, terms: SymbolTerms, position: TradePosition | None) -> int:
    if position is None or request.volume > position.volume + 1e-9:
        return c.TRADE_RETCODE_INVALID_CLOSE_VOLUME
    # A rest that is less than the least volume may always be closed whole.
    whole = abs(request.volume - position.volume) < 1e-9
    return ACCEPTED if whole or _volume_fits(request.volume, terms) else _BAD_VOLUME


_BAD_VOLUME = c.TRADE_RETCODE_INVALID_VOLUME


def _volume_fits(volume: float, terms: SymbolTerms) -> bool:
    steps = volume / terms.volume_step
    in_range = terms.volume_min - 1e-9 <= volume <= terms.volume_max + 1e-9
    return in_range and abs(steps - round(steps)) < 1e-6


def _opening(request: TradeRequest, terms: SymbolTerms, tick: Tick, situation: Situation) -> int:
    """A market order for a new position."""
    book, side = situation.book, direction(request.type)
    if not _volume_fits(request.volume, terms):
        return _BAD_VOLUME
    # Stops are measured from the price at which the position would be closed.
    if not _stops_fit(side, tick.bid if side > 0 else tick.ask, request, terms):
        return c.TRADE_RETCODE_INVALID_STOPS
    if len(book.positions) >= MAX_POSITIONS:
        return c.TRADE_RETCODE_LIMIT_POSITIONS
    if book.volume_in(request.symbol, side) + request.volume > terms.volume_limit + 1e-9:
        return c.TRADE_RETCODE_LIMIT_VOLUME
    price = entry_price(request.type, tick)
    if terms.margin(request.volume, price, situation.leverage) > book.figures().margin_free:
        return c.TRADE_RETCODE_NO_MONEY
    return ACCEPTED


def _stops_fit(side: int, price: float, request: TradeRequest, terms: SymbolTerms) -> bool:
    """Stop and target on the right side of `price` and far enough from it."""
    least = terms.stops_level * terms.point - 1e-9
    if request.sl < 0 or request.tp < 0:
        return False
    stop_fits = request.sl == 0 or (price - request.sl) * side >= least
    target_fits = request.tp == 0 or (request.tp - price) * side >= least
    return stop_fits and target_fits


def _pending(request: TradeRequest, situation: Situation) -> int:
    terms, book = situation.market.terms.get(request.symbol), situation.book
    if terms is None or request.type not in PENDING_TYPES:
        return c.TRADE_RETCODE_INVALID
    code = _symbol(terms, request, situation, closing=False)
    if code != ACCEPTED:
        return code
    if not _volume_fits(request.volume, terms):
        return _BAD_VOLUME
    code = _pending_levels(request, request.type, terms, situation)
    if code != ACCEPTED:
        return code
    if len(book.orders) >= MAX_PENDING_ORDERS:
        return c.TRADE_RETCODE_LIMIT_ORDERS
    held = book.volume_in(request.symbol, direction(request.type))
    if held + request.volume > terms.volume_limit + 1e-9:
        return c.TRADE_RETCODE_LIMIT_VOLUME
    return ACCEPTED


def _pending_levels(
    request: TradeRequest, kind: int, terms: SymbolTerms, situation: Situation
) -> int:
    """Price, stops and expiry of a pending order."""
    price = entry_price(kind, situation.book.quotes[terms.name])
    below = kind in (c.ORDER_TYPE_BUY_LIMIT, c.ORDER_TYPE_SELL_STOP)
    distance = price - request.price if below else request.price - price
    if request.price <= 0 or distance < terms.stops_level * terms.point - 1e-9:
        return c.TRADE_RETCODE_INVALID_PRICE
    if not _stops_fit(direction(kind), request.price, request, terms):
        return c.TRADE_RETCODE_INVALID_STOPS
    specified = (c.ORDER_TIME_SPECIFIED, c.ORDER_TIME_SPECIFIED_DAY)
    if request.type_time in specified and request.expiration <= situation.now_s:
        return c.TRADE_RETCODE_INVALID_EXPIRATION
    if not c.ORDER_TIME_GTC <= request.type_time <= c.ORDER_TIME_SPECIFIED_DAY:
        return c.TRADE_RETCODE_INVALID_EXPIRATION
    return ACCEPTED


def _stops_of_position(request: TradeRequest, situation: Situation) -> int:
    position = situation.book.positions.get(request.position)
    if position is None:
        return c.TRADE_RETCODE_POSITION_CLOSED
    terms = situation.market.terms[position.symbol]
    if not situation.market.is_open(position.symbol, situation.now_s):
        return c.TRADE_RETCODE_MARKET_CLOSED
    if (request.sl, request.tp) == (position.sl, position.tp):
        return c.TRADE_RETCODE_NO_CHANGES
    price = exit_price(position, situation.book.quotes[position.symbol])
    fits = _stops_fit(direction(position.type), price, request, terms)
    return ACCEPTED if fits else c.TRADE_RETCODE_INVALID_STOPS


def _modify(request: TradeRequest, situation: Situation) -> int:
    order = situation.book.orders.get(request.order)
    if order is None:
        return c.TRADE_RETCODE_INVALID_ORDER
    if not situation.market.is_open(order.symbol, situation.now_s):
        return c.TRADE_RETCODE_MARKET_CLOSED
    if _is_unchanged(request, order):
        return c.TRADE_RETCODE_NO_CHANGES
    terms = situation.market.terms[order.symbol]
    return _pending_levels(request, order.type, terms, situation)


def _is_unchanged(request: TradeRequest, order: TradeOrder) -> bool:
    asked = (request.price, request.sl, request.tp, request.type_time, request.expiration)
    return asked == (order.price_open, order.sl, order.tp, order.type_time, order.time_expiration)


def _close_by(request: TradeRequest, situation: Situation) -> int:
    positions = situation.book.positions
    one, other = positions.get(request.position), positions.get(request.position_by)
    if one is None or other is None:
        return c.TRADE_RETCODE_POSITION_CLOSED
    if one.symbol != other.symbol or one.type == other.type:
        return c.TRADE_RETCODE_INVALID
    if not situation.market.is_open(one.symbol, situation.now_s):
        return c.TRADE_RETCODE_MARKET_CLOSED
    return ACCEPTED
