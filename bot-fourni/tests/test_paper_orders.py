"""The broker's answers: one test for each return code the simulation can give."""

from typing import Any

import pytest

import paper
from paper.symbols import SYMBOLS, SymbolTerms
from paper.terminal import PaperTerminal
from tests.builders import ManualPrices, paper_terminal, sent

EURUSD = SYMBOLS["EURUSD"]
ASK = round(EURUSD.typical_price + EURUSD.spread, 5)
BID = EURUSD.typical_price


@pytest.fixture
def prices() -> ManualPrices:
    return ManualPrices()


@pytest.fixture
def terminal(prices: ManualPrices) -> PaperTerminal:
    return paper_terminal(prices)


def buy(**fields: object) -> dict[str, object]:
    request: dict[str, object] = {
        "action": paper.TRADE_ACTION_DEAL,
        "symbol": "EURUSD",
        "volume": 0.1,
        "type": paper.ORDER_TYPE_BUY,
        "price": ASK,
        "deviation": 10,
        "type_filling": paper.ORDER_FILLING_FOK,
        "magic": 7,
        "comment": "tf:1:test",
    }
    return request | fields


def limit(**fields: object) -> dict[str, object]:
    defaults: dict[str, object] = {
        "action": paper.TRADE_ACTION_PENDING,
        "type": paper.ORDER_TYPE_BUY_LIMIT,
        "price": 1.09,
    }
    return buy(**defaults | fields)


def retcode(terminal: PaperTerminal, request: object) -> int:
    """The code of order_send, after order_check has said the same and changed nothing."""
    before = terminal.account_info(), terminal.positions_get(), terminal.orders_get()
    check = terminal.order_check(request)
    assert check is not None
    assert before == (terminal.account_info(), terminal.positions_get(), terminal.orders_get())
    result = sent(terminal.order_send(request))
    done = result.retcode in (paper.TRADE_RETCODE_DONE, paper.TRADE_RETCODE_PLACED)
    assert check.retcode == (0 if done else result.retcode)
    return result.retcode


def opened(terminal: PaperTerminal, **fields: object) -> int:
    """Ticket of a new position."""
    result = sent(terminal.order_send(buy(**fields)))
    assert result.retcode == paper.TRADE_RETCODE_DONE
    return result.order


def closing(ticket: int, **fields: object) -> dict[str, object]:
    return buy(**{"position": ticket, "type": paper.ORDER_TYPE_SELL, "price": BID} | fields)


def changed(**terms: Any) -> ManualPrices:  # noqa: ANN401
    return ManualPrices(EURUSD._replace(**terms))


def test_done(terminal: PaperTerminal) -> None:
    check = terminal.order_check(buy())
    assert check is not None
    assert (check.retcode, check.comment, check.margin) == (0, "Done", 110.01)
    result = sent(terminal.order_send(buy()))
    assert result.retcode == 10009
    assert (result.volume, result.price, result.bid, result.ask) == (0.1, ASK, BID, ASK)
    assert result.request.comment == "tf:1:test"
    position = (terminal.positions_get() or ())[0]
    assert (position.ticket, position.magic, position.comment) == (result.order, 7, "tf:1:test")
    assert (position.price_open, position.price_current) == (ASK, BID)
    assert position.profit == -0.8
    deal = (terminal.history_deals_get(position=position.ticket) or ())[0]
    assert (deal.ticket, deal.order) == (result.deal, result.order)


@pytest.mark.parametrize(
    "request_", [None, [], "buy", buy(comment="x" * 28), buy(comment=3), buy(volume="1")]
)
def test_malformed_requests_never_reach_the_broker(
    terminal: PaperTerminal, request_: object
) -> None:
    assert terminal.order_send(request_) is None
    assert terminal.last_error()[0] == paper.RES_E_INVALID_PARAMS
    assert terminal.order_check(request_) is None
    assert terminal.history_orders_get(0, 2**40) == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"lots": 1},
        {"magic": -1},
        {"magic": 1.5},
        {"type": True},
        {"price": float("nan")},
        {"price": float("inf")},
        {"sl": None},
    ],
)
def test_malformed_fields_never_reach_the_broker(
    terminal: PaperTerminal, fields: dict[str, object]
) -> None:
    assert terminal.order_send(buy(**fields)) is None
    code, text = terminal.last_error()
    assert code == -2
    assert next(iter(fields)) in text


def test_a_comment_of_27_characters_is_fine(terminal: PaperTerminal) -> None:
    assert retcode(terminal, buy(comment="x" * 27)) == paper.TRADE_RETCODE_DONE


@pytest.mark.parametrize(
    "fields",
    [
        {"action": 99},
        {"symbol": "NOSUCH"},
        {"type": paper.ORDER_TYPE_BUY_LIMIT},
        {"action": paper.TRADE_ACTION_PENDING},
        {"action": paper.TRADE_ACTION_PENDING, "type": paper.ORDER_TYPE_BUY_STOP_LIMIT},
    ],
)
def test_invalid(terminal: PaperTerminal, fields: dict[str, object]) -> None:
    assert retcode(terminal, buy(**fields)) == paper.TRADE_RETCODE_INVALID


@pytest.mark.parametrize("volume", [0, 0.001, 0.015, 100.01, -0.1])
def test_invalid_volume(terminal: PaperTerminal, volume: float) -> None:
    assert retcode(terminal, buy(volume=volume)) == paper.TRADE_RETCODE_INVALID_VOLUME
    assert retcode(terminal, limit(volume=volume)) == paper.TRADE_RETCODE_INVALID_VOLUME


@pytest.mark.parametrize(
    "request_",
    [
        buy(price=-1),
        limit(price=0),
        limit(price=ASK),
        limit(type=paper.ORDER_TYPE_BUY_STOP, price=ASK),
        limit(type=paper.ORDER_TYPE_SELL_LIMIT, price=BID),
        limit(type=paper.ORDER_TYPE_SELL_STOP, price=BID + 0.01),
    ],
)
def test_invalid_price(terminal: PaperTerminal, request_: dict[str, object]) -> None:
    assert retcode(terminal, request_) == paper.TRADE_RETCODE_INVALID_PRICE


@pytest.mark.parametrize(
    "request_",
    [
        buy(sl=BID),
        buy(sl=BID - 0.00009),
        buy(tp=BID + 0.00005),
        buy(sl=-1),
        buy(type=paper.ORDER_TYPE_SELL, sl=ASK),
        buy(type=paper.ORDER_TYPE_SELL, tp=ASK),
        limit(sl=1.09),
        limit(tp=1.089),
    ],
)
def test_invalid_stops(terminal: PaperTerminal, request_: dict[str, object]) -> None:
    assert retcode(terminal, request_) == paper.TRADE_RETCODE_INVALID_STOPS


def test_the_nearest_stops_are_accepted(terminal: PaperTerminal) -> None:
    assert retcode(terminal, buy(sl=BID - 0.0001, tp=BID + 0.0001)) == 10009


def test_no_money(terminal: PaperTerminal) -> None:
    assert retcode(terminal, buy(volume=9.1)) == paper.TRADE_RETCODE_NO_MONEY
    assert retcode(terminal, buy(volume=9.0)) == paper.TRADE_RETCODE_DONE


def test_market_closed(prices: ManualPrices, terminal: PaperTerminal) -> None:
    ticket, order = opened(terminal), sent(terminal.order_send(limit())).order
    prices.now_s += 10
    prices.closed_from_s = prices.now_s - 5
    for request in (
        buy(),
        closing(ticket),
        limit(),
        {"action": paper.TRADE_ACTION_SLTP, "position": ticket, "sl": 1.0},
        {"action": paper.TRADE_ACTION_MODIFY, "order": order, "price": 1.08},
    ):
        assert retcode(terminal, request) == paper.TRADE_RETCODE_MARKET_CLOSED


@pytest.mark.parametrize("filling", [paper.ORDER_FILLING_IOC, paper.ORDER_FILLING_RETURN, 99])
def test_invalid_fill(filling: int) -> None:
    terminal = paper_terminal(changed(filling=paper.SYMBOL_FILLING_FOK))
    assert retcode(terminal, buy(type_filling=filling)) == paper.TRADE_RETCODE_INVALID_FILL
    assert retcode(terminal, buy(type_filling=paper.ORDER_FILLING_FOK)) == 10009


def test_requote() -> None:
    prices = changed(execution=paper.SYMBOL_TRADE_EXECUTION_INSTANT)
    terminal = paper_terminal(prices)
    prices.set("EURUSD", BID + 0.0002)
    assert retcode(terminal, buy(deviation=10)) == paper.TRADE_RETCODE_REQUOTE
    assert retcode(terminal, buy(deviation=0, price=0)) == paper.TRADE_RETCODE_INVALID_PRICE
    assert retcode(terminal, buy(deviation=20)) == paper.TRADE_RETCODE_DONE


@pytest.mark.parametrize(
    ("mode", "buy_code", "sell_code"),
    [
        (paper.SYMBOL_TRADE_MODE_DISABLED, 10017, 10017),
        (paper.SYMBOL_TRADE_MODE_LONGONLY, 10009, paper.TRADE_RETCODE_LONG_ONLY),
        (paper.SYMBOL_TRADE_MODE_SHORTONLY, paper.TRADE_RETCODE_SHORT_ONLY, 10009),
        (paper.SYMBOL_TRADE_MODE_CLOSEONLY, 10044, paper.TRADE_RETCODE_CLOSE_ONLY),
    ],
)
def test_trade_modes(mode: int, buy_code: int, sell_code: int) -> None:
    terminal = paper_terminal(changed(trade_mode=mode))
    assert retcode(terminal, buy()) == buy_code
    assert retcode(terminal, buy(type=paper.ORDER_TYPE_SELL)) == sell_code


def test_algorithmic_trading_switched_off(prices: ManualPrices) -> None:
    terminal = paper_terminal(prices, trade_allowed=False)
    assert retcode(terminal, buy()) == paper.TRADE_RETCODE_CLIENT_DISABLES_AT


def test_no_prices_without_selection(terminal: PaperTerminal) -> None:
    assert terminal.symbol_select("EURUSD", False)
    assert terminal.symbol_info_tick("EURUSD") is None
    assert retcode(terminal, buy()) == paper.TRADE_RETCODE_PRICE_OFF


def test_position_closed_and_close_volume(terminal: PaperTerminal) -> None:
    ticket = opened(terminal)
    assert retcode(terminal, closing(ticket, volume=0.2)) == 10038
    assert retcode(terminal, closing(ticket, volume=0.015)) == paper.TRADE_RETCODE_INVALID_VOLUME
    assert retcode(terminal, closing(ticket, type=paper.ORDER_TYPE_BUY)) == 10013
    assert retcode(terminal, closing(ticket, symbol="GBPUSD")) == paper.TRADE_RETCODE_INVALID
    assert retcode(terminal, closing(ticket)) == paper.TRADE_RETCODE_DONE
    assert retcode(terminal, closing(ticket)) == paper.TRADE_RETCODE_POSITION_CLOSED
    stops = {"action": paper.TRADE_ACTION_SLTP, "position": ticket, "sl": 1.0}
    assert retcode(terminal, stops) == paper.TRADE_RETCODE_POSITION_CLOSED


def test_stops_of_a_position(terminal: PaperTerminal) -> None:
    ticket = opened(terminal, sl=1.08)
    request = {"action": paper.TRADE_ACTION_SLTP, "position": ticket, "sl": 1.08, "tp": 0.0}
    assert retcode(terminal, request) == paper.TRADE_RETCODE_NO_CHANGES
    assert retcode(terminal, request | {"sl": 1.2}) == paper.TRADE_RETCODE_INVALID_STOPS
    assert retcode(terminal, request | {"sl": 1.09, "tp": 1.2}) == paper.TRADE_RETCODE_DONE
    position = (terminal.positions_get(ticket=ticket) or ())[0]
    assert (position.sl, position.tp) == (1.09, 1.2)


def test_limits_of_count_and_volume() -> None:
    terminal = paper_terminal(changed(volume_limit=0.3), deposit=1e6)
    assert retcode(terminal, buy(volume=0.3)) == paper.TRADE_RETCODE_DONE
    assert retcode(terminal, buy(volume=0.01)) == paper.TRADE_RETCODE_LIMIT_VOLUME
    assert retcode(terminal, limit(volume=0.01)) == paper.TRADE_RETCODE_LIMIT_VOLUME
    assert retcode(terminal, buy(volume=0.3, type=paper.ORDER_TYPE_SELL)) == 10009
    rich = paper_terminal(ManualPrices(), deposit=1e9)
    for _ in range(200):
        opened(rich, volume=0.01)
        assert sent(rich.order_send(limit(volume=0.01))).retcode == paper.TRADE_RETCODE_DONE
    assert retcode(rich, buy(volume=0.01)) == paper.TRADE_RETCODE_LIMIT_POSITIONS
    assert retcode(rich, limit(volume=0.01)) == paper.TRADE_RETCODE_LIMIT_ORDERS


def test_pending_orders_are_changed_and_removed(
    prices: ManualPrices, terminal: PaperTerminal
) -> None:
    ticket = sent(terminal.order_send(limit())).order
    modify = {"action": paper.TRADE_ACTION_MODIFY, "order": ticket, "price": 1.09}
    assert retcode(terminal, modify) == paper.TRADE_RETCODE_NO_CHANGES
    assert retcode(terminal, modify | {"price": 1.2}) == paper.TRADE_RETCODE_INVALID_PRICE
    late = {"type_time": paper.ORDER_TIME_SPECIFIED, "expiration": prices.now_s}
    assert retcode(terminal, modify | late) == paper.TRADE_RETCODE_INVALID_EXPIRATION
    assert retcode(terminal, limit(**late)) == paper.TRADE_RETCODE_INVALID_EXPIRATION
    assert retcode(terminal, limit(type_time=9)) == paper.TRADE_RETCODE_INVALID_EXPIRATION
    assert retcode(terminal, modify | {"price": 1.08}) == paper.TRADE_RETCODE_DONE
    assert (terminal.orders_get(ticket=ticket) or ())[0].price_open == 1.08
    remove = {"action": paper.TRADE_ACTION_REMOVE, "order": ticket}
    assert retcode(terminal, remove) == paper.TRADE_RETCODE_DONE
    assert retcode(terminal, remove) == paper.TRADE_RETCODE_INVALID_ORDER
    assert retcode(terminal, modify) == paper.TRADE_RETCODE_INVALID_ORDER
    past = (terminal.history_orders_get(ticket=ticket) or ())[0]
    assert past.state == paper.ORDER_STATE_CANCELED


@pytest.mark.parametrize(
    ("kind", "price", "reached", "side"),
    [
        (paper.ORDER_TYPE_BUY_LIMIT, 1.09, 1.0899, paper.POSITION_TYPE_BUY),
        (paper.ORDER_TYPE_SELL_LIMIT, 1.11, 1.1101, paper.POSITION_TYPE_SELL),
        (paper.ORDER_TYPE_BUY_STOP, 1.11, 1.1101, paper.POSITION_TYPE_BUY),
        (paper.ORDER_TYPE_SELL_STOP, 1.09, 1.0899, paper.POSITION_TYPE_SELL),
    ],
)
def test_pending_orders_wait_for_their_price(
    prices: ManualPrices,
    terminal: PaperTerminal,
    kind: int,
    price: float,
    reached: float,
    side: int,
) -> None:
    ticket = sent(terminal.order_send(limit(type=kind, price=price))).order
    prices.set("EURUSD", 1.1001)
    assert terminal.orders_total() == 1
    prices.set("EURUSD", reached)
    assert terminal.orders_total() == 0
    position = (terminal.positions_get(ticket=ticket) or ())[0]
    assert position.type == side
    assert position.comment == "tf:1:test"


@pytest.mark.parametrize(
    ("expiry", "lifetime_s"),
    [
        ({"type_time": paper.ORDER_TIME_SPECIFIED, "expiration": 1_700_000_060}, 60),
        ({"type_time": paper.ORDER_TIME_DAY}, 86_400),
        ({"type_time": paper.ORDER_TIME_SPECIFIED_DAY, "expiration": 1_700_000_060}, 86_400),
    ],
)
def test_pending_orders_expire(
    prices: ManualPrices, terminal: PaperTerminal, expiry: dict[str, object], lifetime_s: int
) -> None:
    ticket = sent(terminal.order_send(limit(**expiry))).order
    prices.now_s += 50
    assert terminal.orders_total() == 1
    prices.now_s += lifetime_s
    assert terminal.orders_total() == 0
    assert (terminal.history_orders_get(ticket=ticket) or ())[0].state == paper.ORDER_STATE_EXPIRED


def test_close_by(terminal: PaperTerminal) -> None:
    long, short = opened(terminal), opened(terminal, volume=0.3, type=paper.ORDER_TYPE_SELL)
    request = {"action": paper.TRADE_ACTION_CLOSE_BY, "position": long, "position_by": short}
    assert retcode(terminal, request | {"position_by": 1}) == paper.TRADE_RETCODE_POSITION_CLOSED
    assert retcode(terminal, request | {"position_by": long}) == paper.TRADE_RETCODE_INVALID
    assert retcode(terminal, request) == paper.TRADE_RETCODE_DONE
    rest = terminal.positions_get() or ()
    assert [(each.ticket, each.volume) for each in rest] == [(short, 0.2)]
    account = terminal.account_info()
    assert account is not None
    assert account.balance == 10_000 - 0.8


def test_terms_are_those_the_rules_apply() -> None:
    """What symbol_info promises is what is enforced."""
    terms: SymbolTerms = EURUSD
    terminal = paper_terminal(ManualPrices(terms))
    info = terminal.symbol_info("EURUSD")
    assert info is not None
    assert info.volume_min == terms.volume_min
    assert info.filling_mode == 3
    assert info.trade_stops_level == terms.stops_level
    assert (info.point, info.trade_tick_size, info.trade_tick_value) == (1e-5, 1e-5, 1.0)
