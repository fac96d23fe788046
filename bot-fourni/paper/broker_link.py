"""The way to a broker on the network, for a simulated terminal whose broker is elsewhere.

One line of JSON an order, one line back, over one TCP connection:

    {"account", "epoch", "allocation", "instance", "order", "boottimeMs"}  ->  {"order"}

It is made so that no order arrives late: what has not been acknowledged soon is dropped by the
kernel (TCP_USER_TIMEOUT), and the end of the process drops what is under way (SO_LINGER of zero)
instead of leaving it to the kernel, which would go on sending for minutes.
"""

import json
import os
import socket
import time
from typing import NamedTuple

CONNECT_LIMIT_S = 0.3
ANSWER_LIMIT_S = 0.7
"""Together the round trip that the bot's permission leaves room for before the lease ends."""

LINE_BYTES_MAX = 4096
_INSTANCE_BYTES = 8


class BrokerUnreachable(Exception):
    """There is no connection: the order was not sent."""


class BrokerSilent(Exception):
    """The order was sent and no answer came in time: it may have arrived or not."""


class LinkIdentity(NamedTuple):
    """Whose orders go this way."""

    account: str
    epoch: int
    allocation: str


class BrokerLink:
    """Sends the orders of one process. Connects when there is an order to send."""

    def __init__(self, address: str, identity: LinkIdentity) -> None:
        """`address` is `host:port`, as the parameter's pattern lets it through."""
        host, _, port = address.rpartition(":")
        self._address = (host, int(port))
        self._identity = identity
        # Every start of a bot is another one, also under the same allocation and epoch.
        self._instance = os.urandom(_INSTANCE_BYTES).hex()
        self._orders = 0
        self._socket: socket.socket | None = None

    def place(self) -> None:
        """Have one order taken by the broker. Raises BrokerUnreachable or BrokerSilent."""
        connection = self._socket or self._connect()
        self._orders += 1
        line = json.dumps(
            {
                **self._identity._asdict(),
                "instance": self._instance,
                "order": self._orders,
                "boottimeMs": time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000,
            }
        )
        try:
            connection.settimeout(ANSWER_LIMIT_S)
            connection.sendall(line.encode() + b"\n")
            answer = _line(connection, time.monotonic() + ANSWER_LIMIT_S)
            if json.loads(answer).get("order") != self._orders:
                raise ValueError("an answer to something else")
        except (OSError, ValueError, AttributeError) as fault:
            self.close()
            raise BrokerSilent from fault

    def close(self) -> None:
        """Drop the connection and what is under way on it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        try:
            connection = socket.create_connection(self._address, CONNECT_LIMIT_S)
        except OSError as fault:
            raise BrokerUnreachable from fault
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(ANSWER_LIMIT_S * 1000)
        )
        # Two C integers: linger, for zero seconds.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._socket = connection
        return connection


_LINGER_NOT = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")


def _line(connection: socket.socket, give_up_s: float) -> bytes:
    """One line from the broker. Raises OSError when it does not come in time or is too long."""
    received = b""
    while not received.endswith(b"\n"):
        left_s = give_up_s - time.monotonic()
        if left_s <= 0 or len(received) > LINE_BYTES_MAX:
            raise TimeoutError
        connection.settimeout(left_s)
        part = connection.recv(LINE_BYTES_MAX)
        if not part:
            raise ConnectionResetError
        received += part
    return received
