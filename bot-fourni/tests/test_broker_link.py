"""The way to a broker on the network: what arrives there, and what a broken way leads to."""

import json
import socket
import threading
from collections.abc import Iterator

import pytest

import paper
from paper import broker_link
from paper.broker_link import BrokerLink, BrokerSilent, BrokerUnreachable, LinkIdentity
from tests.builders import ManualPrices, paper_terminal, wait_for
from tests.test_paper_orders import buy

OWN = LinkIdentity("acc-1", 7, "allocation-1")


class Broker:
    """Keeps every order; answers unless told to be silent."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.orders: list[dict[str, object]] = []
        self.resets = 0
        self.silent = False
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rwb") as stream:
                for line in stream:
                    order = json.loads(line)
                    self.orders.append(order)
                    if not self.silent:
                        stream.write(json.dumps({"order": order["order"]}).encode() + b"\n")
                        stream.flush()
        except ConnectionResetError:
            self.resets += 1


@pytest.fixture
def broker() -> Iterator[Broker]:
    broker = Broker()
    yield broker
    broker.close()


@pytest.fixture(autouse=True)
def _short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_link, "ANSWER_LIMIT_S", 0.2)


def test_an_order_says_whose_it_is(broker: Broker) -> None:
    link = BrokerLink(broker.address, OWN)
    link.place()
    link.place()
    first, second = broker.orders
    assert (first["account"], first["epoch"], first["allocation"]) == OWN
    assert (first["order"], second["order"]) == (1, 2)
    assert first["instance"] == second["instance"]
    other = BrokerLink(broker.address, OWN)
    other.place()
    assert broker.orders[-1]["instance"] != first["instance"]
    link.close()
    other.close()


def test_without_an_answer_the_order_is_of_unknown_fate_and_the_connection_dropped(
    broker: Broker,
) -> None:
    link = BrokerLink(broker.address, OWN)
    broker.silent = True
    with pytest.raises(BrokerSilent):
        link.place()
    # Reset, not closed in order: nothing that was under way is sent any more.
    assert wait_for(lambda: broker.resets == 1)
    broker.silent = False
    link.place()
    assert [each["order"] for each in broker.orders] == [1, 2]
    link.close()


def test_nobody_there(broker: Broker) -> None:
    broker.close()
    unused = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{unused.getsockname()[1]}"
    unused.close()
    with pytest.raises(BrokerUnreachable):
        BrokerLink(address, OWN).place()


def test_the_terminal_executes_what_the_broker_has_taken_and_nothing_else(broker: Broker) -> None:
    terminal = paper_terminal(ManualPrices(), link=BrokerLink(broker.address, OWN))
    done = terminal.order_send(buy())
    assert done is not None
    assert done.retcode == paper.TRADE_RETCODE_DONE
    refused = terminal.order_send(buy(volume=0.0001))
    assert refused is not None
    assert len(broker.orders) == 1, "what the rules refuse is not offered"
    broker.silent = True
    assert terminal.order_send(buy()) is None
    assert terminal.last_error()[0] == paper.RES_E_INTERNAL_FAIL_TIMEOUT
    assert terminal.positions_total() == 1
    broker.close()
    terminal.shutdown()
