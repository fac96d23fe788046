"""status.json: what the bot says about itself. Written at once on a change, else once a second."""

from typing import Literal, NamedTuple, TypedDict

import documents
from clock import Clock
from config import BotConfig
from failures import BadInput
from journal import Journal, timestamp

STAGES = ("container", "display", "terminal", "login", "ipc", "account-matches", "trade-allowed")
"""Readiness, in this order. A paper bot has no display and leaves that stage out."""

INTERVAL_MS = 1_000
"""Half of what the agent may expect (2 s), so that one slow step does not break the promise."""

SILENCE_LIMIT_MS = 10_000
"""A bot that could not report for this long ends: nobody could see what it does."""

MAX_POSITIONS = 100


class PositionStatus(TypedDict):
    ticket: int
    symbol: str
    type: Literal["buy", "sell"]
    volume: float
    priceOpen: float
    profit: float


class AccountStatus(NamedTuple):
    """Amounts in `currency`."""

    equity: float
    balance: float
    currency: str
    positions: tuple[PositionStatus, ...]


class StatusReport:
    """The one writer of status.json."""

    def __init__(self, path: str, bot: BotConfig, clock: Clock, journal: Journal) -> None:
        self._path = path
        self._bot = bot
        self._clock = clock
        self._journal = journal
        self._stage = STAGES[0]
        self._written_ms = clock.boottime_ms()
        self._last: documents.Document = {}
        self.account: AccountStatus | None = None
        self.orders_today = 0
        self.control_sequence = 0
        self.lease_deadline_ms: int | None = None
        self.error: str | None = None

    @property
    def stage(self) -> str:
        """The furthest stage reached."""
        return self._stage

    def reach(self, stage: str) -> None:
        """A stage was reached; written at once. Stages never go back."""
        if STAGES.index(stage) > STAGES.index(self._stage):
            self._stage = stage
            self._journal.info("stage reached", stage=stage)
        self.write()

    def beat(self) -> None:
        """Write when something people wait for has changed, or when the interval is over."""
        changed = any(
            self._last.get(key) != value
            for key, value in (
                ("controlSequence", self.control_sequence),
                ("ordersToday", self.orders_today),
                ("error", self.error),
            )
        )
        if changed or self._clock.boottime_ms() - self._written_ms >= INTERVAL_MS:
            self.write()

    def write(self) -> None:
        """Write now.

        Raises BadInput when the first one fails, OSError once it has failed for longer than the
        silence limit.
        """
        now_ms = self._clock.boottime_ms()
        document = self._document()
        try:
            documents.write(self._path, document)
        except OSError as cause:
            if not self._last:
                raise BadInput("status cannot be written", errno=cause.errno) from cause
            if now_ms - self._written_ms > SILENCE_LIMIT_MS:
                raise
            self._journal.warn("status could not be written", errno=cause.errno)
            return
        self._written_ms = now_ms
        self._last = document

    def _document(self) -> documents.Document:
        account = self.account
        return {
            "schema": documents.SCHEMA,
            "allocation": self._bot.allocation,
            "epoch": self._bot.epoch,
            "stage": self._stage,
            "equity": account.equity if account else None,
            "balance": account.balance if account else None,
            "currency": account.currency if account else None,
            "positions": list(account.positions[:MAX_POSITIONS]) if account else [],
            "ordersToday": self.orders_today,
            "controlSequence": self.control_sequence,
            "leaseDeadlineBoottimeMs": self.lease_deadline_ms,
            "writtenAt": timestamp(self._clock.wall_s()),
            "error": self.error[:300] if self.error else None,
        }
