"""The whole bot as its processes: supervisor and main.py, on a runtime directory."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import exit_codes
from tests.builders import wait_for
from tests.run_directory import ALLOCATION, EPOCH, RunDirectory

HOME = Path(__file__).resolve().parent.parent
PASSWORD = "correct horse battery staple"


class Running:
    """A bot started by the test."""

    def __init__(self, run: RunDirectory, log: Path) -> None:
        self.run = run
        self._log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, str(HOME / "supervisor.py")],
                env={"TRADEFLEET_RUN_DIR": str(run.root), "PATH": os.environ["PATH"]},
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def until(self, condition: Callable[[dict[str, object]], object]) -> dict[str, object]:
        """The first status for which the condition is true; fails when the bot ends before."""

        def found() -> dict[str, object]:
            status = self.run.status()
            if status and condition(status):
                return status
            assert self.process.poll() is None, self.text()
            return {}

        return wait_for(found, within_s=40)

    def until_stage(self, stage: str) -> dict[str, object]:
        return self.until(lambda status: status["stage"] == stage)

    def until_rewritten(self, before: dict[str, object]) -> dict[str, object]:
        return self.until(lambda status: status["writtenAt"] != before["writtenAt"])

    def ended(self) -> int:
        return self.process.wait(40)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def text(self) -> str:
        return self._log.read_text()

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.text().splitlines()]

    def messages(self) -> list[object]:
        return [line["msg"] for line in self.lines()]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "run")


@pytest.fixture
def start(run: RunDirectory, tmp_path: Path) -> Iterator[Callable[[], Running]]:
    started: list[Running] = []

    def start() -> Running:
        started.append(Running(run, tmp_path / f"{len(started)}.log"))
        return started[-1]

    yield start
    for each in started:
        # The bot dies with its supervisor: die_with_supervisor() in main.py.
        each.process.kill()
        each.process.wait()


Start = Callable[[], Running]

FAST: dict[str, object] = {
    "paperSpeed": 6000,
    "paperSeed": 3,
    "paperStart": "2025-01-06",
    "fastPeriod": 3,
    "slowPeriod": 8,
}


def test_a_bot_trades_and_stops_when_asked(run: RunDirectory, start: Start) -> None:
    run.write_all(FAST)
    run.write_credentials(password=PASSWORD)
    bot = start()
    bot.until(lambda status: status["stage"] == "trade-allowed")
    (run.root / "credentials.json").unlink()  # as the agent does
    status = bot.until(lambda status: status["ordersToday"] and status["positions"])
    assert (status["allocation"], status["epoch"]) == (ALLOCATION, EPOCH)
    assert status["currency"] == "USD"
    assert status["controlSequence"] == 1
    assert status["error"] is None
    assert isinstance(status["positions"], list)
    position = status["positions"][0]
    assert set(position) == {"ticket", "symbol", "type", "volume", "priceOpen", "profit"}
    assert position["symbol"] == "EURUSD"
    assert bot.stop() == exit_codes.STOPPED
    last = run.status()
    assert last["stage"] == "trade-allowed"
    assert last["error"] is None
    stages = [line["stage"] for line in bot.lines() if line["msg"] == "stage reached"]
    assert stages == ["terminal", "login", "ipc", "account-matches", "trade-allowed"]
    everything = bot.text() + json.dumps(last)
    assert PASSWORD not in everything


def test_the_password_is_in_no_environment_and_no_argument(run: RunDirectory, start: Start) -> None:
    run.write_all()
    run.write_credentials(password=PASSWORD)
    bot = start()
    bot.until_stage("trade-allowed")
    pids = Path(f"/proc/{bot.process.pid}/task/{bot.process.pid}/children").read_text().split()
    assert len(pids) == 1
    for pid in (bot.process.pid, *pids):
        for name in ("environ", "cmdline"):
            assert PASSWORD.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()


def test_halt_and_flatten_are_obeyed_and_reported(run: RunDirectory, start: Start) -> None:
    run.write_all(FAST | {"targetAtr": 50, "stopAtr": 20})
    bot = start()
    bot.until(lambda status: status["positions"])
    run.write_control("halted", 2)
    halted = bot.until(lambda status: status["controlSequence"] == 2)
    orders = halted["ordersToday"]
    run.write_control("flatten", 3)
    flat = bot.until(lambda status: status["controlSequence"] == 3)
    assert flat["positions"] == []  # reported when done, not when seen
    closed = flat["ordersToday"]
    assert isinstance(closed, int)
    assert isinstance(orders, int)
    assert closed - orders <= 1  # the close, or none when a stop was quicker
    # It stays flat while the market makes a hundred bars: at least a second to the next status.
    later = flat
    for _ in range(2):
        later = bot.until_rewritten(later)
    assert (later["positions"], later["ordersToday"]) == ([], closed)
    run.write_control("enabled", 4)
    bot.until(lambda status: status["positions"])


def test_the_end_of_the_lease_ends_the_bot(run: RunDirectory, start: Start) -> None:
    run.write_all()
    bot = start()
    bot.until_stage("trade-allowed")
    run.write_lease(300)
    assert bot.ended() == exit_codes.LEASE_ENDED


def test_a_terminal_that_crashes_ends_the_bot(run: RunDirectory, start: Start) -> None:
    run.write_all(FAST | {"paperFault": "crash", "paperFaultAfterS": 1})
    bot = start()
    bot.until(lambda status: status["stage"] == "trade-allowed")
    assert bot.process.wait(20) == exit_codes.INTERNAL
    assert "TerminalCrashed" in bot.text()


def test_a_terminal_that_hangs_silences_the_bot_until_it_is_killed(
    run: RunDirectory, start: Start
) -> None:
    run.write_bot(parameters=FAST | {"paperFault": "hang", "paperFaultAfterS": 1}, stopGraceMs=500)
    run.write_lease(60_000)
    run.write_control()
    run.write_credentials()
    bot = start()
    bot.until(lambda status: status["stage"] == "trade-allowed")

    def silent() -> bool:
        age_s = time.time() - (run.root / "out" / "status.json").stat().st_mtime
        return age_s > 2.5

    wait_for(silent, within_s=20)
    assert bot.process.poll() is None
    bot.process.send_signal(signal.SIGTERM)
    assert bot.process.wait(20) == 128 + signal.SIGKILL


def test_prices_from_a_file(run: RunDirectory, start: Start) -> None:
    rows = [",Open,High,Low,Close,Volume"]
    for number in range(400):
        # A saw-tooth of 40 hours: there is a cross every 20 bars or so.
        middle = 1.10 + 0.001 * abs(number % 40 - 20)
        hour, day = number % 24, 1 + number // 24
        rows.append(
            f"2024-01-{day:02d} {hour:02d}:00:00,{middle:.5f},{middle + 0.0005:.5f},"
            f"{middle - 0.0005:.5f},{middle + 0.0002:.5f},1"
        )
    (run.root / "mine.csv").write_text("\n".join(rows))
    run.write_all(
        {
            "paperCsv": "mine.csv",
            "timeframe": "H1",
            "paperSpeed": 50_000,
            "fastPeriod": 3,
            "slowPeriod": 8,
        }
    )
    bot = start()
    status = bot.until(lambda status: status["ordersToday"])
    assert status["stage"] == "trade-allowed"
    assert bot.stop() == exit_codes.STOPPED


def test_the_sample_file(run: RunDirectory, start: Start) -> None:
    run.write_all({"paperCsv": "sample-h1.csv", "timeframe": "H1", "paperSpeed": 3600})
    status = start().until(lambda status: status["equity"] is not None)
    assert (status["stage"], status["equity"]) == ("trade-allowed", 10_000)


@pytest.mark.parametrize(
    ("parameters", "password", "code", "error"),
    [
        ({"nope": 1}, "x", exit_codes.BAD_CONFIGURATION, None),
        ({"symbol": "NOSUCH"}, "x", exit_codes.BAD_CONFIGURATION, "the simulated broker"),
        ({"paperCsv": "no.csv"}, "x", exit_codes.BAD_CONFIGURATION, "no such CSV"),
        ({"paperStart": "2025-02-30"}, "x", exit_codes.BAD_CONFIGURATION, "not a time"),
        ({}, "wrong", exit_codes.LOGIN_REFUSED, "login refused"),
        ({}, "", exit_codes.LOGIN_REFUSED, "login refused"),
        ({"paperTradeAllowed": False}, "x", exit_codes.UNAVAILABLE, "stage not reached"),
    ],
)
def test_every_refusal_has_its_code(
    run: RunDirectory,
    start: Start,
    parameters: dict[str, object],
    password: str,
    code: int,
    error: str | None,
) -> None:
    run.write_all()
    run.write_bot(parameters=parameters, stageTimeoutMs=300)
    run.write_credentials(password=password)
    bot = start()
    assert bot.ended() == code
    assert bot.lines()[-1]["exitCode"] == code
    if error is not None:
        assert str(run.status()["error"]).startswith(error)


@pytest.mark.parametrize("name", ["bot.json", "credentials.json"])
@pytest.mark.parametrize("content", [None, "{"])
def test_a_bad_file_is_bad_input(
    run: RunDirectory, start: Start, name: str, content: str | None
) -> None:
    run.write_all()
    run.write_bot(stageTimeoutMs=200)
    (run.root / name).unlink()
    if content is not None:
        (run.root / name).write_text(content)
    assert start().ended() == exit_codes.BAD_INPUT


def test_without_control_the_bot_runs_but_does_not_trade(run: RunDirectory, start: Start) -> None:
    run.write_all(FAST)
    (run.root / "control.json").unlink()
    bot = start()
    bot.until_stage("trade-allowed")
    bot.until(lambda status: status["equity"] is not None)
    run.write_control(sequence=1)
    status = bot.until(lambda status: status["ordersToday"])
    controls = [line["trading"] for line in bot.lines() if line["msg"] == "control"]
    assert controls == ["halted", "enabled"]
    assert status["controlSequence"] == 1


def test_the_bot_dies_with_its_supervisor(run: RunDirectory, start: Start) -> None:
    run.write_all()
    bot = start()
    bot.until_stage("trade-allowed")
    children = Path(f"/proc/{bot.process.pid}/task/{bot.process.pid}/children").read_text()
    child = int(children.split()[0])
    bot.process.kill()

    def gone() -> bool:
        try:
            return Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    assert wait_for(gone)


def test_nowhere_to_report_to_is_bad_input(run: RunDirectory, start: Start) -> None:
    run.write_all()
    (run.root / "out").rmdir()
    assert start().ended() == exit_codes.BAD_INPUT


def test_a_defect_has_a_code_and_shows_no_value(run: RunDirectory) -> None:
    run.write_all()
    code = """
import sys, main
def defect(bot, run_dir):
    raise ValueError("hunter2")
main.load_terminal = defect
sys.exit(main.main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=HOME,
        env={"TRADEFLEET_RUN_DIR": str(run.root)},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == exit_codes.INTERNAL
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    defect = next(line for line in lines if line["msg"] == "defect")
    assert defect["kind"] == "ValueError"
    assert "main.py:" in defect["where"]
    assert run.status()["error"] == "defect"
    assert "hunter2" not in done.stdout + done.stderr + json.dumps(run.status())
