"""Which symbols, tickets and times a call of the terminal is about."""

import fnmatch
from datetime import UTC, datetime

from paper import constants as c
from paper.tuples import TradeOrder, TradePosition

MAX_SECOND = 2**40
"""Times beyond this are refused; the year is about 36 800."""

Moment = datetime | int | float
"""A time of the broker's clock: seconds since 1970, or a datetime (without zone: UTC)."""


class Failure(Exception):
    """A call that gives None; carries what last_error() says."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def seconds(moment: Moment) -> int:
    if isinstance(moment, datetime):
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    if not abs(moment) <= MAX_SECOND:
        raise Failure(c.RES_E_INVALID_PARAMS, "Invalid params")
    return int(moment)


def between(second: int, date_from: Moment | None, date_to: Moment | None) -> bool:
    if date_from is None or date_to is None:
        raise Failure(c.RES_E_INVALID_PARAMS, "Invalid params")
    return seconds(date_from) <= second <= seconds(date_to)


def wanted(
    each: TradeOrder | TradePosition, symbol: str | None, group: str, ticket: int | None
) -> bool:
    if ticket is not None:
        return each.ticket == ticket
    if symbol is not None:
        return each.symbol == symbol
    return in_group(each.symbol, group)


def in_group(name: str, group: str) -> bool:
    """Whether a symbol is in a group such as `*USD*,!EUR*`; the last pattern that fits decides."""
    result = False
    for part in group.split(","):
        pattern = part.strip()
        if fnmatch.fnmatchcase(name, pattern.removeprefix("!")):
            result = not pattern.startswith("!")
    return result
