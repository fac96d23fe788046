"""The clocks of the bot, behind one interface so that tests can set the time."""

import signal
import time
from typing import Protocol

import lease
from failures import StopRequested

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Clock(Protocol):
    """What decides about time in the bot."""

    def boottime_ms(self) -> int:
        """Milliseconds on CLOCK_BOOTTIME: for leases and for every duration."""

    def wall_s(self) -> float:
        """Seconds since 1970 in UTC: for people and for the day."""

    def pause(self, seconds: float) -> None:
        """Wait. Raises StopRequested when the bot was asked to stop meanwhile."""


class SystemClock:
    """The host's clocks. Takes over the stop signals of the process.

    They are blocked and only looked for in `pause`: a stop never interrupts an order half-way.
    """

    def __init__(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)

    def boottime_ms(self) -> int:
        return lease.boottime_ms()

    def wall_s(self) -> float:
        return time.time()

    def pause(self, seconds: float) -> None:
        if signal.sigtimedwait(STOP_SIGNALS, max(0.0, seconds)) is not None:
            raise StopRequested
