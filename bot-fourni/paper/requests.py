"""Trade requests as they come in, and the words of the answers."""

from collections.abc import Mapping
from typing import Any

from paper import constants as c
from paper.rules import ACCEPTED
from paper.tuples import TradeRequest

MAX_COMMENT_LENGTH = 27
MAX_MAGIC = 2**63 - 1

_INTEGERS = frozenset(
    name for name, kind in TradeRequest.__annotations__.items() if kind in (int, "int")
)
_TEXTS = frozenset(("symbol", "comment"))


class BadArgument(Exception):
    """The request never reaches the broker: the call gives None, last_error() gives -2."""

    def __init__(self, name: str) -> None:
        super().__init__(f'Invalid "{name}" argument')


def parse(request: object) -> TradeRequest:
    """A mapping (or a TradeRequest) as a TradeRequest. Raises BadArgument."""
    if isinstance(request, TradeRequest):
        request = request._asdict()
    if not isinstance(request, Mapping):
        raise BadArgument("request")
    return TradeRequest(**{name: _argument(name, value) for name, value in request.items()})


def _argument(name: object, value: object) -> Any:  # noqa: ANN401
    """The value as its field wants it. Any, because it is checked here and not by its type."""
    if not isinstance(name, str) or name not in TradeRequest._fields:
        raise BadArgument(str(name))
    if name in _TEXTS:
        fits = isinstance(value, str) and (name != "comment" or len(value) <= MAX_COMMENT_LENGTH)
    elif name in _INTEGERS:
        fits = isinstance(value, int) and 0 <= value <= MAX_MAGIC
    else:
        # The comparison with itself refuses NaN.
        fits = isinstance(value, int | float) and value == value and abs(value) < 1e15  # noqa: PLR0124
    if not fits or isinstance(value, bool) or not isinstance(value, int | float | str):
        raise BadArgument(name)
    return float(value) if name not in _TEXTS | _INTEGERS else value


RETCODE_TEXTS = {
    ACCEPTED: "Done",
    c.TRADE_RETCODE_REQUOTE: "Requote",
    c.TRADE_RETCODE_PLACED: "Order placed",
    c.TRADE_RETCODE_DONE: "Request executed",
    c.TRADE_RETCODE_INVALID: "Invalid request",
    c.TRADE_RETCODE_INVALID_VOLUME: "Invalid volume",
    c.TRADE_RETCODE_INVALID_PRICE: "Invalid price",
    c.TRADE_RETCODE_INVALID_STOPS: "Invalid stops",
    c.TRADE_RETCODE_TRADE_DISABLED: "Trade disabled",
    c.TRADE_RETCODE_MARKET_CLOSED: "Market closed",
    c.TRADE_RETCODE_NO_MONEY: "No money",
    c.TRADE_RETCODE_PRICE_OFF: "No prices",
    c.TRADE_RETCODE_INVALID_EXPIRATION: "Invalid expiration",
    c.TRADE_RETCODE_NO_CHANGES: "No changes",
    c.TRADE_RETCODE_CLIENT_DISABLES_AT: "AutoTrading disabled by client",
    c.TRADE_RETCODE_INVALID_FILL: "Unsupported filling mode",
    c.TRADE_RETCODE_LIMIT_ORDERS: "Too many pending orders",
    c.TRADE_RETCODE_LIMIT_VOLUME: "Volume limit reached",
    c.TRADE_RETCODE_INVALID_ORDER: "Invalid order",
    c.TRADE_RETCODE_POSITION_CLOSED: "Position closed",
    c.TRADE_RETCODE_INVALID_CLOSE_VOLUME: "Invalid close volume",
    c.TRADE_RETCODE_LIMIT_POSITIONS: "Too many positions",
    c.TRADE_RETCODE_LONG_ONLY: "Only long positions are allowed",
    c.TRADE_RETCODE_SHORT_ONLY: "Only short positions are allowed",
    c.TRADE_RETCODE_CLOSE_ONLY: "Only position closing is allowed",
}
