"""The bot: from the runtime directory to orders, and an exit code that says why it ended.

The loop, five times a second:

    lease still ours? ──no──▶ exit 75
        ▼
    look for an order whose answer never came
        ▼
    control:  enabled ─▶ when a bar has closed, ask the strategy
              halted  ─▶ nothing
              flatten ─▶ close everything, then nothing
        ▼
    status.json
"""

import ctypes
import os
import signal
import sys
import traceback

# Before numpy is imported for the first time; the supervisor does the same for its bot.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import config
import exit_codes
from clock import Clock, SystemClock
from control import ControlGate
from desk import Desk
from failures import BadInput, BotFailure, StopRequested
from journal import Journal
from mt5_connection import Connection
from mt5_data import MarketData
from mt5_trading import Trader
from order_identity import order_identity
from permission import LeaseKeeper, OrderPermission
from runtimes import load_terminal
from status import StatusReport
from terminal_api import Terminal

TICK_S = 0.2

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Bot:
    """One allocation's bot, once its configuration is known to be good."""

    def __init__(
        self, bot: config.BotConfig, paths: config.RunDirectory, clock: Clock, journal: Journal
    ) -> None:
        self._bot = bot
        self._paths = paths
        self._clock = clock
        self._journal = journal
        self._keeper = LeaseKeeper(paths.lease, bot.allocation, bot.epoch, clock)
        self._gate = ControlGate(paths.control)
        self.status = StatusReport(paths.status, bot, clock, journal)

    def run(self) -> None:
        """Trade until something ends it; every end is an exception."""
        self.status.write()
        self._keep_alive()
        terminal = load_terminal(self._bot, self._paths.root)
        try:
            self._trade(terminal)
        finally:
            terminal.shutdown()

    def _trade(self, terminal: Terminal) -> None:
        bot = self._bot
        connection = Connection(terminal, bot, self._clock, self.status, self._keep_alive)
        connection.start_terminal()
        credentials = config.read_credentials(
            self._paths.credentials, bot, self._clock, self._keep_alive
        )
        connection.log_in(credentials)
        del credentials  # the terminal keeps the connection; nobody needs the password any more
        data = MarketData(terminal, bot.parameters.strategy)
        data.select()
        trader = Trader(
            terminal,
            OrderPermission(self._keeper, self._gate),
            order_identity(bot.account, bot.epoch, bot.allocation),
            self._clock,
            self._journal,
            data.broker_time_s,
        )
        desk = Desk(bot, terminal, data, trader, self._clock, self._journal)
        desk.take_over()
        while True:
            self._keep_alive()
            if connection.require_alive():
                desk.work(self._gate, self.status)
            self._clock.pause(TICK_S)

    def _keep_alive(self) -> None:
        """What is due everywhere, also while waiting: the lease and the status."""
        try:
            self._keeper.refresh()
        finally:
            self.status.lease_deadline_ms = self._keeper.deadline_ms
        self.status.beat()


def main() -> int:
    journal = Journal("bot")
    paths = config.run_directory()
    bot: Bot | None = None
    try:
        die_with_supervisor()
        bot = Bot(config.read_bot(paths.bot), paths, SystemClock(), journal)
        bot.run()
    except StopRequested:
        return _end(bot, journal, exit_codes.STOPPED, None)
    except BotFailure as failure:
        journal.error(failure.message, **failure.detail)
        return _end(bot, journal, failure.exit_code, failure.message)
    except Exception as defect:  # noqa: BLE001 - the agent must see a code and a line of log
        journal.error("defect", kind=type(defect).__name__, where=_where(defect))
        return _end(bot, journal, exit_codes.INTERNAL, "defect")
    return exit_codes.INTERNAL


def _end(bot: Bot | None, journal: Journal, code: int, error: str | None) -> int:
    """Say the last word in status.json and in the log."""
    if bot is not None:
        bot.status.error = error
        try:
            bot.status.write()
        except (OSError, BadInput):
            journal.warn("last status could not be written")
    journal.info("bot ends", exitCode=code)
    return code


def _where(defect: BaseException) -> str:
    """Files and lines only: the text of an exception may quote a value that is secret."""
    frames = traceback.extract_tb(defect.__traceback__)[-8:]
    return " < ".join(f"{os.path.basename(f.filename)}:{f.lineno}" for f in reversed(frames))


def die_with_supervisor() -> None:
    """Let the kernel kill the bot when its supervisor dies: nobody would watch the lease then."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")


if __name__ == "__main__":
    sys.exit(main())
