"""The readiness stages, against the simulated terminal with one thing wrong each time."""

from pathlib import Path

import pytest

import config
import mt5_connection
from failures import LeaseEnded, LoginRefused, Unavailable
from journal import Journal
from mt5_connection import Connection
from paper.terminal import PaperTerminal
from paper.tuples import AccountInfo, TerminalInfo
from runtimes import load_terminal
from status import StatusReport
from terminal_api import Terminal
from tests.builders import ManualClock, ManualPrices, paper_terminal
from tests.run_directory import RunDirectory


class Odd(PaperTerminal):
    """A terminal that can be made to misbehave."""

    other_login: int | None = None
    connected = True
    logins_lost = 0

    def login(
        self,
        login: int,
        password: str | None = None,
        server: str | None = None,
        timeout: int = 60_000,
    ) -> bool:
        if self.logins_lost > 0:
            self.logins_lost -= 1
            self._error = (-10005, "IPC timeout")
            return False
        return super().login(login, password, server)

    def account_info(self) -> AccountInfo | None:
        info = super().account_info()
        if info is None or self.other_login is None:
            return info
        return info._replace(login=self.other_login)

    def terminal_info(self) -> TerminalInfo | None:
        info = super().terminal_info()
        return info and info._replace(connected=self.connected)


class Situation:
    def __init__(self, root: Path, *, trade_allowed: bool = True, runtime: str = "paper") -> None:
        run = RunDirectory(root)
        run.write_bot(runtime=runtime, stageTimeoutMs=5_000)
        self.bot = config.read_bot(run.path("bot.json"))
        self.clock = ManualClock()
        self.status = StatusReport(
            run.path("out/status.json"), self.bot, self.clock, Journal("bot", 1)
        )
        self.waited = 0
        self.terminal = Odd()
        template = paper_terminal(ManualPrices(), login=None, trade_allowed=trade_allowed)
        self.terminal.__dict__.update(template.__dict__)
        import paper  # noqa: PLC0415

        for name in dir(paper):
            if name.isupper():
                setattr(self.terminal, name, getattr(paper, name))
        terminal: Terminal = self.terminal  # type: ignore[assignment]
        self.connection = Connection(terminal, self.bot, self.clock, self.status, self.keep_alive)

    def keep_alive(self) -> None:
        self.waited += 1

    def connect(self, password: str = "let me in") -> None:
        self.connection.start_terminal()
        self.connection.log_in(config.Credentials(1001, password, "Paper-Demo"))


@pytest.fixture
def situation(tmp_path: Path) -> Situation:
    return Situation(tmp_path)


def test_everything_right_reaches_trade_allowed(situation: Situation) -> None:
    situation.connect()
    assert situation.status.stage == "trade-allowed"
    assert situation.connection.require_alive()
    assert situation.waited == 0


def test_a_refused_password_ends_at_once(situation: Situation) -> None:
    with pytest.raises(LoginRefused) as caught:
        situation.connect("wrong")
    assert situation.status.stage == "terminal"
    assert caught.value.detail == {"lastError": -6}
    assert situation.waited == 0


def test_another_account_never_reaches_account_matches(situation: Situation) -> None:
    situation.terminal.other_login = 1002
    with pytest.raises(LoginRefused, match="another account") as caught:
        situation.connect()
    assert situation.status.stage == "ipc"
    assert caught.value.exit_code == 77


def test_a_login_that_times_out_is_tried_again(situation: Situation) -> None:
    situation.terminal.logins_lost = 3
    situation.connect()
    assert situation.status.stage == "trade-allowed"
    assert situation.waited == 3


def test_a_stage_has_its_time(situation: Situation) -> None:
    situation.terminal.logins_lost = 1000
    with pytest.raises(Unavailable) as caught:
        situation.connect()
    assert caught.value.detail == {"stage": "login", "lastError": -10005}
    assert caught.value.exit_code == 69
    assert 8 <= situation.waited <= 12


def test_trading_switched_off_is_waited_for(tmp_path: Path) -> None:
    situation = Situation(tmp_path, trade_allowed=False)
    with pytest.raises(Unavailable) as caught:
        situation.connect()
    assert situation.status.stage == "account-matches"
    assert caught.value.detail["stage"] == "trade-allowed"


def test_waiting_ends_with_the_lease(situation: Situation) -> None:
    def no_lease() -> None:
        raise LeaseEnded("lease ended")

    situation.connection._keep_alive = no_lease
    situation.terminal.logins_lost = 1000
    with pytest.raises(LeaseEnded):
        situation.connect()


def test_a_lost_connection_has_one_stage_timeout_to_come_back(situation: Situation) -> None:
    situation.connect()
    situation.terminal.connected = False
    assert not situation.connection.require_alive()
    situation.clock.advance(5)
    assert not situation.connection.require_alive()
    situation.terminal.connected = True
    assert situation.connection.require_alive()
    situation.terminal.connected = False
    assert not situation.connection.require_alive()
    situation.clock.advance(5.1)
    with pytest.raises(Unavailable, match="lost"):
        situation.connection.require_alive()


def test_the_real_runtime_waits_for_its_display(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mt5_connection, "X_SOCKETS_DIR", str(tmp_path))
    monkeypatch.setenv("DISPLAY", ":7.0")
    situation = Situation(tmp_path, runtime="mt5")
    with pytest.raises(Unavailable) as caught:
        situation.connect()
    assert caught.value.detail["stage"] == "display"
    (tmp_path / "X7").touch()
    situation.connect()
    assert situation.status.stage == "trade-allowed"


def test_the_real_runtime_needs_its_module(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="MetaTrader5 module"):
        load_terminal(Situation(tmp_path, runtime="mt5").bot, str(tmp_path))
