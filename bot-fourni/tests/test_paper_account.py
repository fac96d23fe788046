"""Money: profit, margin, stops, stop-out, history."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import paper
from paper.symbols import SYMBOLS
from paper.terminal import PaperTerminal
from paper.tuples import AccountInfo
from tests.builders import START_S, ManualPrices, paper_terminal, sent

BID = SYMBOLS["EURUSD"].typical_price


def deal(side: int, volume: float = 1.0, symbol: str = "EURUSD", **fields: object) -> object:
    request: dict[str, object] = {
        "action": paper.TRADE_ACTION_DEAL,
        "symbol": symbol,
        "volume": volume,
        "type": side,
        "type_filling": paper.ORDER_FILLING_IOC,
    }
    return request | fields


def account(terminal: PaperTerminal) -> AccountInfo:
    info = terminal.account_info()
    assert info is not None
    return info


def test_profit_and_margin_of_a_buy() -> None:
    prices = ManualPrices()
    terminal = paper_terminal(prices)
    assert sent(terminal.order_send(deal(paper.ORDER_TYPE_BUY))).price == 1.10008
    info = account(terminal)
    assert (info.balance, info.profit, info.equity) == (10_000, -8.0, 9_992.0)
    assert (info.margin, info.margin_free) == (1_100.08, 8_891.92)
    assert info.margin_level == round(9_992 / 1_100.08 * 100, 2)
    prices.set("EURUSD", 1.1020)
    assert account(terminal).equity == 10_192.0


def test_profit_in_yen_is_converted() -> None:
    prices = ManualPrices()
    terminal = paper_terminal(prices)
    sent(terminal.order_send(deal(paper.ORDER_TYPE_SELL, 0.5, "USDJPY")))
    assert account(terminal).margin == 500.0
    prices.set("USDJPY", 147.0)
    # 148.000 - 147.009 yen on 50 000 dollars, at 147.009 yen for one
    assert account(terminal).profit == round(0.991 * 50_000 / 147.009, 2)
    value = terminal.order_calc_profit(paper.ORDER_TYPE_SELL, "USDJPY", 0.5, 148.0, 147.009)
    assert value == account(terminal).profit
    assert terminal.order_calc_margin(paper.ORDER_TYPE_SELL, "USDJPY", 0.5, 148.0) == 500.0


def test_gold_and_bitcoin_have_their_contract_sizes() -> None:
    terminal = paper_terminal(ManualPrices())
    buy = paper.ORDER_TYPE_BUY
    assert terminal.order_calc_profit(buy, "XAUUSD", 1.0, 2400.0, 2401.0) == 100.0
    assert terminal.order_calc_profit(buy, "BTCUSD", 1.0, 60_000.0, 60_001.0) == 1.0
    assert terminal.order_calc_margin(buy, "XAUUSD", 1.0, 2400.0) == 2400.0
    assert terminal.order_calc_margin(buy, "BTCUSD", 1.0, 60_000.0) == 600.0


@pytest.mark.parametrize("numbers", [(0.0, 1.1, 1.2), (1.0, -1.1, 1.2), (1.0, 1.1, float("nan"))])
def test_calculations_refuse_nonsense(numbers: tuple[float, float, float]) -> None:
    terminal = paper_terminal(ManualPrices())
    assert terminal.order_calc_profit(paper.ORDER_TYPE_BUY, "EURUSD", *numbers) is None
    assert terminal.last_error()[0] == paper.RES_E_INVALID_PARAMS
    assert terminal.order_calc_margin(5, "EURUSD", 1.0, 1.1) is None


@pytest.mark.parametrize(
    ("side", "stop", "target", "moved", "reason", "price"),
    [
        (paper.ORDER_TYPE_BUY, 1.09, 1.12, 1.0895, paper.DEAL_REASON_SL, 1.0895),
        (paper.ORDER_TYPE_BUY, 1.09, 1.12, 1.1201, paper.DEAL_REASON_TP, 1.1201),
        (paper.ORDER_TYPE_SELL, 1.12, 1.09, 1.11992, paper.DEAL_REASON_SL, 1.12),
        (paper.ORDER_TYPE_SELL, 1.12, 1.09, 1.08992, paper.DEAL_REASON_TP, 1.09),
    ],
)
def test_stop_and_target(
    side: int, stop: float, target: float, moved: float, reason: int, price: float
) -> None:
    prices = ManualPrices()
    terminal = paper_terminal(prices)
    ticket = sent(terminal.order_send(deal(side, sl=stop, tp=target, magic=9))).order
    prices.set("EURUSD", BID)
    assert terminal.positions_total() == 1
    prices.set("EURUSD", moved)
    assert terminal.positions_total() == 0
    opening, closing = terminal.history_deals_get(position=ticket) or ()
    assert opening.entry == paper.DEAL_ENTRY_IN
    assert (closing.entry, closing.reason, closing.price) == (paper.DEAL_ENTRY_OUT, reason, price)
    assert closing.magic == 9
    assert account(terminal).balance == round(10_000 + closing.profit, 2)


def test_a_stop_is_hit_by_a_price_between_two_looks() -> None:
    prices = ManualPrices()
    terminal = paper_terminal(prices)
    sent(terminal.order_send(deal(paper.ORDER_TYPE_BUY, sl=1.09)))
    prices.set("EURUSD", 1.08, after_s=20)
    prices.set("EURUSD", BID, after_s=20)
    assert terminal.positions_total() == 0
    assert account(terminal).balance < 10_000


def test_stop_out_closes_the_worst_position_first() -> None:
    prices = ManualPrices()
    terminal = paper_terminal(prices, deposit=3_000)
    worse = sent(terminal.order_send(deal(paper.ORDER_TYPE_BUY, 1.5))).order
    better = sent(terminal.order_send(deal(paper.ORDER_TYPE_BUY, 0.5))).order
    # A margin of 2 200.16; half of it is left when the equity has fallen to 1 100.08.
    prices.set("EURUSD", round(1.10008 - 0.0094, 5))
    assert terminal.positions_total() == 2
    prices.set("EURUSD", round(1.10008 - 0.0096, 5))
    rest = terminal.positions_get() or ()
    assert [each.ticket for each in rest] == [better]
    closing = (terminal.history_deals_get(position=worse) or ())[-1]
    assert closing.reason == paper.DEAL_REASON_SO
    assert closing.comment.startswith("[so ")
    assert account(terminal).margin_level > 50


def test_a_pending_order_without_money_is_rejected() -> None:
    prices = ManualPrices()
    terminal = paper_terminal(prices, deposit=1_000)
    pending = {"action": paper.TRADE_ACTION_PENDING, "price": 1.09, "volume": 5.0}
    request = {"symbol": "EURUSD", "type": paper.ORDER_TYPE_BUY_LIMIT, **pending}
    ticket = sent(terminal.order_send(request)).order
    prices.set("EURUSD", 1.08)
    assert terminal.positions_total() == 0
    assert (terminal.history_orders_get(ticket=ticket) or ())[0].state == paper.ORDER_STATE_REJECTED


@given(
    st.lists(
        st.tuples(
            st.sampled_from([paper.ORDER_TYPE_BUY, paper.ORDER_TYPE_SELL]),
            st.sampled_from(sorted(SYMBOLS)),
            st.integers(1, 20),
            st.floats(-0.01, 0.01),
            st.booleans(),
        ),
        max_size=25,
    )
)
@settings(max_examples=40, deadline=None)
def test_the_books_always_balance(steps: list[tuple[int, str, int, float, bool]]) -> None:
    """Balance = sum of all deals; equity = balance + profit; every ticket is used once."""
    prices = ManualPrices()
    terminal = paper_terminal(prices)
    for side, symbol, hundredths, move, close_one in steps:
        terms = SYMBOLS[symbol]
        prices.set(symbol, round(terms.typical_price * (1 + move), terms.digits))
        held = terminal.positions_get() or ()
        if close_one and held:
            first = held[0]
            terminal.order_send(
                deal(1 - first.type, first.volume, first.symbol, position=first.ticket)
            )
        else:
            terminal.order_send(deal(side, hundredths / 100, symbol))
        info = account(terminal)
        deals = terminal.history_deals_get(0, 2**40) or ()
        assert info.balance == pytest.approx(sum(each.profit for each in deals), abs=0.005)
        positions = terminal.positions_get() or ()
        assert info.profit == pytest.approx(sum(each.profit for each in positions), abs=0.005)
        assert info.equity == pytest.approx(info.balance + info.profit, abs=0.005)
        assert info.margin_free == pytest.approx(info.equity - info.margin, abs=0.005)
        orders = terminal.history_orders_get(0, 2**40) or ()
        tickets = [each.ticket for each in deals] + [each.ticket for each in orders]
        assert len(tickets) == len(set(tickets))


def test_history_is_found_by_time_group_and_ticket() -> None:
    prices = ManualPrices()
    terminal = paper_terminal(prices)
    first = sent(terminal.order_send(deal(paper.ORDER_TYPE_BUY, 0.1)))
    prices.now_s += 100
    sent(terminal.order_send(deal(paper.ORDER_TYPE_BUY, 0.1, "GBPUSD")))
    assert terminal.history_orders_total(START_S, START_S + 50) == 1
    assert terminal.history_deals_total(0, 2**40) == 3
    found = terminal.history_deals_get(0, 2**40, group="*USD,!GBP*") or ()
    assert [each.ticket for each in found] == [first.deal]
    assert [each.ticket for each in terminal.history_deals_get(ticket=first.order) or ()] == [
        first.deal
    ]
    assert terminal.history_deals_get() is None
    assert terminal.last_error()[0] == paper.RES_E_INVALID_PARAMS
