"""The lease: the right to run one allocation until a deadline on CLOCK_BOOTTIME.

CLOCK_BOOTTIME goes on while the host sleeps and is not moved by clock steps; every process of a
host, in a container or not, reads the same value. Standard library only and light, because the
supervisor uses it too.
"""

import time
from typing import NamedTuple

import documents

MAX_LEASE_MS = 24 * 3600 * 1000
"""A deadline further away than this is a defect of the writer, not a right to run."""

CLOCK_READING_ERROR_MS = 1_000
"""The agent may read the clock a little differently (rounding, another call)."""

MAX_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader of the fleet keeps exactly."""


class Lease(NamedTuple):
    """What the agent wrote. Times are milliseconds on CLOCK_BOOTTIME."""

    allocation: str
    epoch: int
    deadline_ms: int

    def remaining_ms(self, now_ms: int) -> int:
        """How long the lease still runs; zero or less when it has ended."""
        return self.deadline_ms - now_ms

    def is_same_right(self, other: "Lease") -> bool:
        """Whether both are about one allocation under one epoch."""
        return (self.allocation, self.epoch) == (other.allocation, other.epoch)


def boottime_ms() -> int:
    """CLOCK_BOOTTIME in whole milliseconds."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def read(path: str, now_ms: int) -> Lease:
    """Read lease.json freshly. Raises BadDocument for a lease that cannot be trusted.

    A lease written "later than now" was written before the host was booted, when the clock had
    another zero: its deadline means nothing.
    """
    document = documents.read(path)
    deadline_ms = documents.integer(document, path, "deadlineBoottimeMs", 0, MAX_INTEGER)
    written_ms = documents.integer(document, path, "writtenBoottimeMs", 0, MAX_INTEGER)
    if written_ms > now_ms + CLOCK_READING_ERROR_MS:
        raise documents.BadDocument(path, "written under another boot")
    if deadline_ms - written_ms > MAX_LEASE_MS:
        raise documents.BadDocument(path, "deadline too far away")
    return Lease(
        allocation=documents.text(document, path, "allocation"),
        epoch=documents.integer(document, path, "epoch", 0, MAX_INTEGER),
        deadline_ms=deadline_ms,
    )
