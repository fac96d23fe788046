"""From nothing to "may trade": the readiness stages of the terminal, one after the other.

    container ─▶ display ─▶ terminal ─▶ login ─▶ ipc ─▶ account-matches ─▶ trade-allowed
                 (mt5 only)

Each stage has the bot's stage timeout. Refusals that waiting cannot repair end it at once.
"""

import os
from collections.abc import Callable

from clock import Clock
from config import MT5, BotConfig, Credentials
from failures import LoginRefused, Unavailable
from status import StatusReport
from terminal_api import Terminal

RETRY_S = 0.5
X_SOCKETS_DIR = "/tmp/.X11-unix"  # noqa: S108 - where X servers put their sockets


class Connection:
    """The terminal and the account it is logged in to."""

    def __init__(
        self,
        terminal: Terminal,
        bot: BotConfig,
        clock: Clock,
        status: StatusReport,
        keep_alive: Callable[[], None],
    ) -> None:
        """`keep_alive` is called while waiting; it may raise to end the wait."""
        self._terminal = terminal
        self._bot = bot
        self._clock = clock
        self._status = status
        self._keep_alive = keep_alive
        self._lost_since_ms: int | None = None

    def start_terminal(self) -> None:
        """Reach the stage `terminal`."""
        if self._bot.runtime == MT5:
            self._wait("display", has_display)
        self._wait("terminal", self._terminal.initialize)

    def log_in(self, credentials: Credentials) -> None:
        """Reach `trade-allowed`. Raises LoginRefused or Unavailable."""
        self._wait("login", lambda: self._try_login(credentials))
        self._wait("ipc", self._answers)
        self._wait("account-matches", lambda: self._account_matches(credentials.login))
        self._wait("trade-allowed", self._trade_allowed)

    def require_alive(self) -> bool:
        """Whether the terminal is connected now. Raises Unavailable once it was not for long."""
        info = self._terminal.terminal_info()
        if info is not None and info.connected:
            self._lost_since_ms = None
            return True
        now_ms = self._clock.boottime_ms()
        self._lost_since_ms = self._lost_since_ms or now_ms
        if now_ms - self._lost_since_ms > self._bot.stage_timeout_ms:
            raise Unavailable("connection to the broker was lost")
        return False

    def _wait(self, stage: str, reached: Callable[[], bool]) -> None:
        give_up_ms = self._clock.boottime_ms() + self._bot.stage_timeout_ms
        while not reached():
            if self._clock.boottime_ms() >= give_up_ms:
                code, _ = self._terminal.last_error()
                raise Unavailable("stage not reached in time", stage=stage, lastError=code)
            self._keep_alive()
            self._clock.pause(RETRY_S)
        self._status.reach(stage)

    def _try_login(self, credentials: Credentials) -> bool:
        terminal = self._terminal
        if terminal.login(
            credentials.login, password=credentials.password, server=credentials.server
        ):
            return True
        code, _ = terminal.last_error()  # the text is left out: a broker may quote what we sent
        if code in (terminal.RES_E_AUTH_FAILED, terminal.RES_E_INVALID_PARAMS):
            raise LoginRefused("login refused", lastError=code)
        return False

    def _answers(self) -> bool:
        info = self._terminal.terminal_info()
        return self._terminal.version() is not None and info is not None and info.connected

    def _account_matches(self, login: int) -> bool:
        account = self._terminal.account_info()
        if account is None:
            return False
        if account.login != login:
            raise LoginRefused("the terminal is logged in to another account")
        return True

    def _trade_allowed(self) -> bool:
        info, account = self._terminal.terminal_info(), self._terminal.account_info()
        if info is None or account is None:
            return False
        return info.trade_allowed and account.trade_allowed and account.trade_expert


def has_display() -> bool:
    """Whether the X server named by DISPLAY has made its socket."""
    number = os.environ.get("DISPLAY", "").partition(":")[2].partition(".")[0]
    return number.isdigit() and os.path.exists(os.path.join(X_SOCKETS_DIR, f"X{number}"))
