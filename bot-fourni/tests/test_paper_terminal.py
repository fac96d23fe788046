"""The module's face and its failure conventions."""

import ast
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import paper
from config import BotConfig
from paper import tuples
from paper.symbols import SYMBOLS
from paper.terminal import PaperTerminal
from paper_setup import conditions
from parameters import PaperParameters, Parameters, StrategyParameters
from tests.builders import ManualPrices, paper_terminal

HOME = Path(__file__).resolve().parent.parent

FUNCTIONS = """
initialize login shutdown version last_error terminal_info account_info
symbols_total symbols_get symbol_info symbol_info_tick symbol_select
copy_rates_from copy_rates_from_pos copy_rates_range copy_ticks_from
orders_total orders_get positions_total positions_get
history_orders_total history_orders_get history_deals_total history_deals_get
order_check order_send order_calc_margin order_calc_profit
"""


def test_the_package_has_the_module_s_names() -> None:
    for name in FUNCTIONS.split():
        assert callable(getattr(paper, name)), name
    assert (paper.TRADE_RETCODE_DONE, paper.TIMEFRAME_H1, paper.RES_E_AUTH_FAILED) == (
        10009,
        16385,
        -6,
    )


def test_tuples_have_the_module_s_fields() -> None:
    assert len(tuples.SymbolInfo._fields) == 96
    assert len(tuples.AccountInfo._fields) == 28
    assert len(tuples.TerminalInfo._fields) == 22
    assert tuples.TradePosition._fields[:3] == ("ticket", "time", "time_msc")
    assert tuples.TradeRequest._fields[-2:] == ("position", "position_by")


def test_nothing_works_before_initialize_and_after_shutdown() -> None:
    terminal = PaperTerminal()
    assert not terminal.initialize()
    assert terminal.last_error()[0] == paper.RES_E_INTERNAL_FAIL_INIT
    terminal = paper_terminal(ManualPrices())
    assert terminal.last_error() == (1, "Success")
    terminal.shutdown()
    for call in (terminal.version, terminal.account_info, terminal.positions_get):
        assert call() is None
        assert terminal.last_error() == (-10004, "No IPC connection")


def test_account_functions_need_a_login() -> None:
    terminal = paper_terminal(ManualPrices(), login=None)
    assert terminal.version() is not None
    assert terminal.account_info() is None
    assert terminal.last_error()[0] == paper.RES_E_AUTH_FAILED
    assert terminal.order_send({"action": 1}) is None


@pytest.mark.parametrize("password", ["", "wrong", None])
def test_the_broker_refuses_these_passwords(password: str | None) -> None:
    terminal = paper_terminal(ManualPrices(), login=None)
    assert not terminal.login(5, password=password, server="Paper")
    assert terminal.last_error()[0] == paper.RES_E_AUTH_FAILED
    assert not terminal.initialize(login=5, password=password)
    assert terminal.account_info() is None


@pytest.mark.parametrize("login", [0, -1, True])
def test_a_login_is_a_positive_number(login: int) -> None:
    terminal = paper_terminal(ManualPrices(), login=None)
    assert not terminal.login(login, password="let me in")
    assert terminal.last_error()[0] == paper.RES_E_INVALID_PARAMS


def test_the_account_is_the_one_logged_in() -> None:
    terminal = paper_terminal(ManualPrices(), login=77)
    info = terminal.account_info()
    assert info is not None
    assert (info.login, info.server, info.currency) == (77, "Paper-Demo", "USD")


def test_symbols() -> None:
    terminal = paper_terminal(ManualPrices())
    assert terminal.symbols_total() == len(SYMBOLS)
    names = [each.name for each in terminal.symbols_get("*USD,!BTC*,!XAU*") or ()]
    assert names == ["EURUSD", "GBPUSD"]
    assert terminal.symbol_info("NOSUCH") is None
    assert terminal.last_error()[0] == paper.RES_E_NOT_FOUND
    assert terminal.symbol_select("NOSUCH") is None


def test_rates() -> None:
    terminal = PaperTerminal()
    parameters = Parameters(StrategyParameters(), PaperParameters(start="2023-11-14"))
    bot = BotConfig("acc", "allocation", 1, "paper", parameters, 1000)
    terminal.configure(conditions(bot, "/none"))
    terminal.initialize()
    bars = terminal.copy_rates_from_pos("EURUSD", paper.TIMEFRAME_M1, 1, 30)
    assert bars is not None
    assert bars.size == 30
    assert bars.dtype.names == (
        "time",
        "open",
        "high",
        "low",
        "close",
        "tick_volume",
        "spread",
        "real_volume",
    )
    last = int(bars["time"][-1])
    again = terminal.copy_rates_from("EURUSD", paper.TIMEFRAME_M1, last + 59, 30)
    assert again is not None
    assert (again == bars).all()
    since = datetime.fromtimestamp(last - 600, UTC)
    ranged = terminal.copy_rates_range("EURUSD", paper.TIMEFRAME_M1, since, last)
    assert ranged is not None
    assert ranged.size == 11
    ticks = terminal.copy_ticks_from("EURUSD", last, 5, paper.COPY_TICKS_ALL)
    assert ticks is not None
    assert ticks["time"].tolist() == [last + i for i in range(5)]
    assert (ticks["ask"] > ticks["bid"]).all()


@pytest.mark.parametrize(
    ("symbol", "timeframe", "position", "count"),
    [
        ("NOSUCH", paper.TIMEFRAME_M1, 0, 1),
        ("EURUSD", paper.TIMEFRAME_MN1, 0, 1),
        ("EURUSD", paper.TIMEFRAME_M1, -1, 1),
        ("EURUSD", paper.TIMEFRAME_M1, 0, 0),
    ],
)
def test_rates_that_do_not_exist(symbol: str, timeframe: int, position: int, count: int) -> None:
    terminal = paper_terminal(ManualPrices())
    assert terminal.copy_rates_from_pos(symbol, timeframe, position, count) is None
    assert terminal.last_error()[0] < 0


def test_a_request_for_very_many_bars_is_bounded() -> None:
    terminal = paper_terminal(ManualPrices())
    bars = terminal.copy_rates_from_pos("EURUSD", paper.TIMEFRAME_M1, 0, 10**9)
    assert bars is not None
    info = terminal.terminal_info()
    assert info is not None
    assert bars.size == info.maxbars


def test_the_simulation_uses_numpy_and_the_standard_library_only() -> None:
    """And so does the bot: imports of every file that runs in production."""
    allowed = set(sys.stdlib_module_names) | {"numpy", "MetaTrader5"}
    own = {path.stem for path in HOME.glob("*.py")} | {"paper"}
    for path in (*HOME.glob("*.py"), *HOME.glob("paper/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for name in names:
                assert name.split(".")[0] in allowed | own, f"{path.name} imports {name}"


def test_the_supervisor_loads_no_heavy_module() -> None:
    code = "import supervisor, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "supervisor" in loaded
    assert not loaded & {"numpy", "subprocess", "asyncio", "logging", "socket", "dataclasses"}
