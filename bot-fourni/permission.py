"""May an order be sent now? The lease is read here, freshly, for every single order."""

import documents
import lease
from clock import Clock
from control import ENABLED, HALTED, ControlGate
from failures import LeaseEnded

ORDER_ROUND_TRIP_MS = 1_000
"""An order must be able to reach the broker before the lease ends: what is nearer to the end than
this is not sent. The agent's deadline already leaves room for the kill (LEASES.md, `M`)."""


class NotPermitted(Exception):
    """This order must not be sent now; another one later perhaps. The message is constant."""


class LeaseKeeper:
    """The lease of this allocation as the bot sees it."""

    def __init__(self, path: str, allocation: str, epoch: int, clock: Clock) -> None:
        self._path = path
        self._own = (allocation, epoch)
        self._clock = clock
        self._deadline_ms: int | None = None

    @property
    def deadline_ms(self) -> int | None:
        """The last deadline seen, milliseconds on CLOCK_BOOTTIME."""
        return self._deadline_ms

    def refresh(self) -> None:
        """Read the lease. Raises LeaseEnded when the right to run is over.

        An unreadable file changes nothing: the last deadline goes on counting, as in the
        supervisor. (For an order it does: see `require`.)
        """
        now_ms = self._clock.boottime_ms()
        try:
            self._accept(lease.read(self._path, now_ms))
        except documents.BadDocument as fault:
            if self._deadline_ms is None:
                raise LeaseEnded("no lease", fault=str(fault)) from fault
        self._require_remaining(now_ms)

    def require(self, margin_ms: int) -> None:
        """Raise unless the lease, read now, runs for more than `margin_ms` longer."""
        now_ms = self._clock.boottime_ms()
        try:
            self._accept(lease.read(self._path, now_ms))
        except documents.BadDocument as fault:
            raise NotPermitted("lease unreadable") from fault
        if self._require_remaining(now_ms) <= margin_ms:
            raise NotPermitted("lease too short for an order")

    def _accept(self, found: lease.Lease) -> None:
        if (found.allocation, found.epoch) != self._own:
            raise LeaseEnded("lease is for another allocation or epoch")
        self._deadline_ms = found.deadline_ms

    def _require_remaining(self, now_ms: int) -> int:
        remaining_ms = (self._deadline_ms or 0) - now_ms
        if remaining_ms <= 0:
            raise LeaseEnded("lease ended")
        return remaining_ms


class OrderPermission:
    """Lease and control together: asked immediately before every order."""

    def __init__(self, keeper: LeaseKeeper, gate: ControlGate) -> None:
        self._keeper = keeper
        self._gate = gate

    def require(self, *, reducing: bool) -> None:
        """Raise NotPermitted or LeaseEnded unless an order may be sent now.

        `reducing`: the order closes a position or removes a pending order. Without a lease not
        even that is allowed: another bot may hold the account already.
        """
        control = self._gate.read()
        if control.trading == HALTED:
            raise NotPermitted("trading is halted")
        if control.trading != ENABLED and not reducing:
            raise NotPermitted("only closing is allowed")
        # Last, so that as little time as possible lies between the look and the order.
        self._keeper.require(ORDER_ROUND_TRIP_MS)
