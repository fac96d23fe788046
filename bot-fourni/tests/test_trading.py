"""Orders: permission, identity, flattening, and orders whose answer never came."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import paper
from control import ControlGate
from failures import LeaseEnded
from journal import Journal
from mt5_data import Quote
from mt5_trading import SETTLE_MS, Outcome, Trader
from order_identity import order_identity
from paper.symbols import SYMBOLS
from paper.tuples import OrderSendResult
from permission import LeaseKeeper, OrderPermission
from risk import Levels
from strategy import Side
from terminal_api import Request, Terminal
from tests.builders import ManualClock, ManualPrices, paper_terminal, sent
from tests.run_directory import ALLOCATION, EPOCH, RunDirectory

IDENTITY = order_identity("account-1", EPOCH, ALLOCATION)
Answer = Callable[[Request], OrderSendResult | None]


class Wire:
    """The simulated terminal behind a wire on which a test can lose answers.

    Everything goes to the terminal; `answers` holds what order_send does instead, call by call.
    """

    def __init__(self, prices: ManualPrices) -> None:
        self.terminal = paper_terminal(prices)
        self.requests: list[Request] = []
        self.answers: list[Answer] = []
        self.deaf = False
        self.error = (1, "Success")

    def __getattr__(self, name: str) -> object:
        if name.isupper():
            return getattr(paper, name)
        if self.deaf and name in ("orders_get", "positions_get", "history_orders_get"):
            return lambda *_: None
        return getattr(self.terminal, name)

    def last_error(self) -> tuple[int, str]:
        return self.error

    def order_send(self, request: Request) -> OrderSendResult | None:
        self.requests.append(request)
        if self.answers:
            return self.answers.pop(0)(request)
        return self.terminal.order_send(request)

    def arrives_but_times_out(self, request: Request) -> OrderSendResult | None:
        self.terminal.order_send(request)
        self.error = (paper.RES_E_INTERNAL_FAIL_TIMEOUT, "IPC timeout")
        return None

    def never_arrives(self, request: Request) -> OrderSendResult | None:
        self.error = (paper.RES_E_INTERNAL_FAIL_SEND, "IPC send failed")
        return None

    def timeout_code(self, request: Request) -> OrderSendResult | None:
        result = sent(self.terminal.order_send(request))
        return result._replace(retcode=paper.TRADE_RETCODE_TIMEOUT, order=0, deal=0)


class Situation:
    """A trader with everything it needs."""

    def __init__(self, root: Path) -> None:
        self.run = RunDirectory(root)
        self.clock = ManualClock()
        self.prices = ManualPrices()
        self.wire = Wire(self.prices)
        self.reader, self.writer = os.pipe()
        self.lease(60_000)
        self.run.write_control()
        keeper = LeaseKeeper(self.run.path("lease.json"), ALLOCATION, EPOCH, self.clock)
        terminal: Terminal = self.wire  # type: ignore[assignment]
        self.trader = Trader(
            terminal,
            OrderPermission(keeper, ControlGate(self.run.path("control.json"))),
            IDENTITY,
            self.clock,
            Journal("bot", self.writer),
            lambda: self.prices.now_s,
        )

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)

    def lease(self, ttl_ms: int) -> None:
        now_ms = self.clock.now_ms
        self.run.write_lease(0, deadlineBoottimeMs=now_ms + ttl_ms, writtenBoottimeMs=now_ms)

    def open(self, side: Side = "buy", volume: float = 0.1) -> Outcome:
        levels = Levels(1.05, 1.15) if side == "buy" else Levels(1.15, 1.05)
        return self.trader.open("EURUSD", side, volume, levels, self.quote)

    def quote(self) -> Quote:
        tick = self.wire.terminal.symbol_info_tick("EURUSD")
        assert tick is not None
        return Quote(tick.bid, tick.ask, tick.time)

    def settle_after(self, ms: int) -> None:
        self.clock.now_ms += ms
        self.prices.now_s += ms // 1000
        self.lease(60_000)
        self.trader.settle()

    def messages(self) -> list[str]:
        return [json.loads(line)["msg"] for line in os.read(self.reader, 65_536).splitlines()]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[], Situation]]:
    made: list[Situation] = []

    def make() -> Situation:
        made.append(Situation(tmp_path / str(len(made))))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def situation(make: Callable[[], Situation]) -> Situation:
    return make()


def open_positions(situation: Situation) -> int:
    return situation.wire.terminal.positions_total() or 0


def test_an_order_says_whose_it_is(situation: Situation) -> None:
    assert situation.open() == "done"
    position = (situation.wire.terminal.positions_get() or ())[0]
    assert position.comment == "tf:7:00000000abcd"
    assert position.magic == IDENTITY.magic
    assert (position.sl, position.tp) == (1.05, 1.15)
    assert situation.trader.orders_today() == 1


@pytest.mark.parametrize("epoch", [0, 1, 2**31, 2**53 - 1])
def test_the_comment_always_fits(epoch: int) -> None:
    identity = order_identity("account-1", epoch, ALLOCATION)
    assert identity.comment.startswith(f"tf:{epoch}:")
    assert len(identity.comment) <= 27
    assert ALLOCATION.endswith(identity.comment.split(":")[2])
    assert 0 <= identity.magic < 2**63


def test_the_magic_number_tells_accounts_and_epochs_apart() -> None:
    assert IDENTITY.is_own(order_identity("account-1", EPOCH + 1, "x").magic)
    assert order_identity("account-1", EPOCH + 1, ALLOCATION).magic != IDENTITY.magic
    assert not IDENTITY.is_own(order_identity("account-2", EPOCH, ALLOCATION).magic)
    assert not IDENTITY.is_own(0)


def test_without_a_lease_nothing_is_sent(situation: Situation) -> None:
    assert situation.open() == "done"
    position = (situation.trader.positions() or ())[0]
    situation.lease(500)
    assert situation.open() == "not-permitted"
    assert situation.trader.close(position) == "not-permitted"
    situation.lease(0)
    with pytest.raises(LeaseEnded):
        situation.trader.close(position)
    with pytest.raises(LeaseEnded):
        situation.trader.flatten()
    assert len(situation.wire.requests) == 1


def test_a_lease_that_ends_while_the_order_is_prepared_stops_it(situation: Situation) -> None:
    """The lease is looked at last, after every other question to the terminal."""

    class Slow:
        def order_check(self, request: Request) -> object:
            situation.clock.now_ms += 60_000
            return checked(request)

    checked = situation.wire.terminal.order_check
    situation.wire.order_check = Slow().order_check  # type: ignore[attr-defined]
    with pytest.raises(LeaseEnded):
        situation.open()
    assert situation.wire.requests == []


def test_halted_sends_nothing(situation: Situation) -> None:
    assert situation.open() == "done"
    situation.run.write_control("halted", 2)
    assert situation.open() == "not-permitted"
    situation.trader.flatten()
    assert not situation.trader.is_flat()
    assert len(situation.wire.requests) == 1


def test_flatten_closes_ours_and_opens_nothing(situation: Situation) -> None:
    terminal = situation.wire.terminal
    assert situation.open() == "done"
    assert situation.open("sell", 0.2) == "done"
    older = order_identity("account-1", EPOCH - 1, "another")
    base: dict[str, object] = {"symbol": "EURUSD", "volume": 0.1, "type_filling": 0}
    market = base | {"action": paper.TRADE_ACTION_DEAL, "type": paper.ORDER_TYPE_BUY}
    pending = base | {"action": 5, "type": paper.ORDER_TYPE_BUY_LIMIT, "price": 1.09}
    for request in (market, pending):
        sent(terminal.order_send(request | {"magic": older.magic}))
        sent(terminal.order_send(request | {"magic": 12345}))
    situation.run.write_control("flatten", 2)
    assert situation.open() == "not-permitted"
    situation.trader.flatten()
    assert situation.trader.is_flat()
    # Somebody else's position and order stay.
    assert [each.magic for each in terminal.positions_get() or ()] == [12345]
    assert [each.magic for each in terminal.orders_get() or ()] == [12345]


def test_an_order_the_check_refuses_is_not_sent(situation: Situation) -> None:
    assert situation.open(volume=50) == "refused"
    assert situation.wire.requests == []
    assert situation.messages() == ["order would be refused"]


def test_a_requote_is_offered_again_with_a_fresh_price(situation: Situation) -> None:
    def requote(request: Request) -> OrderSendResult | None:
        situation.prices.set("EURUSD", 1.101)
        result = sent(situation.wire.terminal.order_send({"action": 99}))
        return result._replace(retcode=paper.TRADE_RETCODE_REQUOTE)

    situation.wire.answers = [requote]
    assert situation.open() == "done"
    assert [request["price"] for request in situation.wire.requests] == [1.10008, 1.10108]
    assert open_positions(situation) == 1


def test_requotes_end(situation: Situation) -> None:
    def requote(request: Request) -> OrderSendResult | None:
        result = sent(situation.wire.terminal.order_send({"action": 99}))
        return result._replace(retcode=paper.TRADE_RETCODE_REQUOTE)

    situation.wire.answers = [requote] * 10
    assert situation.open() == "refused"
    assert len(situation.wire.requests) == 3


@pytest.mark.parametrize("loss", ["arrives_but_times_out", "timeout_code"])
def test_a_timeout_is_found_at_the_broker_and_not_sent_again(
    situation: Situation, loss: str
) -> None:
    situation.wire.answers = [getattr(situation.wire, loss)]
    assert situation.open() == "unknown"
    # Nothing is sent before the order was looked for, whatever the strategy wants.
    assert situation.open() == "unknown"
    assert situation.open("sell") == "unknown"
    assert len(situation.wire.requests) == 1
    situation.trader.settle()
    assert not situation.trader.has_order_in_flight()
    assert situation.trader.orders_today() == 1
    assert open_positions(situation) == 1
    assert situation.messages()[-1] == "order done"


def test_an_order_that_never_arrived_is_given_up_and_not_repeated(situation: Situation) -> None:
    situation.wire.answers = [situation.wire.never_arrives]
    assert situation.open() == "unknown"
    situation.settle_after(SETTLE_MS - 1)
    assert situation.trader.has_order_in_flight()
    assert situation.open() == "unknown"
    situation.settle_after(1)
    assert not situation.trader.has_order_in_flight()
    assert len(situation.wire.requests) == 1
    assert open_positions(situation) == 0
    # A new reason makes a new order.
    assert situation.open() == "done"


def test_an_order_that_arrives_late_is_found(situation: Situation) -> None:
    situation.wire.answers = [situation.wire.never_arrives]
    assert situation.open() == "unknown"
    situation.settle_after(5_000)
    assert situation.trader.has_order_in_flight()
    situation.wire.terminal.order_send(situation.wire.requests[0])
    situation.settle_after(1_000)
    assert not situation.trader.has_order_in_flight()
    assert situation.trader.orders_today() == 1


def test_a_terminal_that_does_not_answer_proves_nothing(situation: Situation) -> None:
    situation.wire.answers = [situation.wire.arrives_but_times_out]
    assert situation.open() == "unknown"
    situation.wire.deaf = True
    situation.settle_after(10 * SETTLE_MS)
    assert situation.trader.has_order_in_flight()
    situation.wire.deaf = False
    situation.settle_after(0)
    assert not situation.trader.has_order_in_flight()
    assert open_positions(situation) == 1


def test_a_stop_hit_meanwhile_is_not_taken_for_the_lost_order(situation: Situation) -> None:
    assert situation.open("sell") == "done"
    situation.wire.answers = [situation.wire.never_arrives]
    assert situation.open("buy") == "unknown"
    # The stop of the sell buys, with our magic number.
    situation.prices.set("EURUSD", 1.151)
    situation.settle_after(1_000)
    assert open_positions(situation) == 0
    assert situation.trader.has_order_in_flight()


def test_a_lost_closing_order_is_found_too(situation: Situation) -> None:
    assert situation.open() == "done"
    assert situation.open(volume=0.3) == "done"
    first, second = situation.trader.positions() or ()
    situation.wire.answers = [situation.wire.arrives_but_times_out]
    assert situation.trader.close(first) == "unknown"
    assert situation.trader.close(second) == "unknown"
    situation.trader.settle()
    assert not situation.trader.has_order_in_flight()
    assert [each.ticket for each in situation.trader.positions() or ()] == [second.ticket]


def test_flatten_waits_for_an_order_in_flight(situation: Situation) -> None:
    situation.wire.answers = [situation.wire.arrives_but_times_out]
    assert situation.open() == "unknown"
    situation.run.write_control("flatten", 2)
    situation.trader.flatten()
    assert not situation.trader.is_flat()
    assert len(situation.wire.requests) == 1
    situation.trader.settle()
    situation.trader.flatten()
    assert situation.trader.is_flat()


def test_an_order_that_could_not_be_found_again_is_not_sent(situation: Situation) -> None:
    situation.wire.deaf = True
    assert situation.open() == "refused"
    assert situation.wire.requests == []
    assert not situation.trader.is_flat()


@pytest.mark.parametrize(("bits", "mode"), [(1, 0), (2, 1), (3, 0), (0, 2)])
def test_the_filling_mode_is_one_the_symbol_allows(
    situation: Situation, bits: int, mode: int
) -> None:
    prices = ManualPrices(SYMBOLS["EURUSD"]._replace(filling=bits))
    situation.wire.terminal = paper_terminal(prices)
    situation.open()
    if situation.wire.requests:
        assert situation.wire.requests[0]["type_filling"] == mode
    else:
        assert bits == 0  # the check refuses RETURN under market execution


def test_orders_are_counted_per_day(situation: Situation) -> None:
    assert situation.open() == "done"
    assert situation.open() == "done"
    assert situation.trader.orders_today() == 2
    situation.clock.wall += 86_400
    assert situation.trader.orders_today() == 0


def test_earlier_orders_of_the_account_count(
    situation: Situation, make: Callable[[], Situation]
) -> None:
    assert situation.open() == "done"
    successor = make()
    successor.wire.terminal = situation.wire.terminal
    successor.trader.count_earlier_orders()
    assert successor.trader.orders_today() == 1
