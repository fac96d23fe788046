import json
import os
import time
from pathlib import Path

import pytest

import config
import healthcheck
from failures import BadInput
from journal import Journal
from status import INTERVAL_MS, SILENCE_LIMIT_MS, AccountStatus, PositionStatus, StatusReport
from tests.builders import ManualClock
from tests.run_directory import ALLOCATION, EPOCH, RunDirectory


class Situation:
    def __init__(self, root: Path) -> None:
        self.run = RunDirectory(root)
        self.run.write_bot()
        self.clock = ManualClock()
        bot = config.read_bot(self.run.path("bot.json"))
        self.report = StatusReport(
            self.run.path("out/status.json"), bot, self.clock, Journal("bot", 1)
        )


@pytest.fixture
def situation(tmp_path: Path) -> Situation:
    return Situation(tmp_path)


def test_the_first_status_knows_no_account(situation: Situation) -> None:
    situation.report.write()
    assert situation.run.status() == {
        "schema": 1,
        "allocation": ALLOCATION,
        "epoch": EPOCH,
        "stage": "container",
        "equity": None,
        "balance": None,
        "currency": None,
        "positions": [],
        "ordersToday": 0,
        "controlSequence": 0,
        "leaseDeadlineBoottimeMs": None,
        "writtenAt": "2023-11-14T22:13:20.000Z",
        "error": None,
    }


def test_stages_only_go_forward_and_are_written_at_once(situation: Situation) -> None:
    situation.report.reach("login")
    assert situation.run.status()["stage"] == "login"
    situation.report.reach("terminal")
    assert situation.run.status()["stage"] == "login"
    with pytest.raises(ValueError, match="not in"):
        situation.report.reach("nowhere")


def test_it_is_written_every_interval_and_on_changes(situation: Situation) -> None:
    report = situation.report
    report.write()
    first = situation.run.status()["writtenAt"]
    situation.clock.advance(INTERVAL_MS / 1000 - 0.1)
    report.beat()
    assert situation.run.status()["writtenAt"] == first
    report.control_sequence = 4
    report.beat()
    assert situation.run.status()["controlSequence"] == 4
    second = situation.run.status()["writtenAt"]
    assert second != first
    situation.clock.advance(INTERVAL_MS / 1000)
    report.beat()
    assert situation.run.status()["writtenAt"] != second


def test_it_is_bounded(situation: Situation) -> None:
    position = PositionStatus(
        ticket=10**12, symbol="X" * 31, type="buy", volume=1.0, priceOpen=1.1, profit=-1.0
    )
    situation.report.account = AccountStatus(1.0, 2.0, "USD", (position,) * 500)
    situation.report.error = "x" * 1000
    situation.report.write()
    status = situation.run.status()
    assert len(json.dumps(status["positions"])) < 50_000
    assert isinstance(status["positions"], list)
    assert len(status["positions"]) == 100
    assert status["error"] == "x" * 300


def test_a_bot_that_never_could_report_does_not_begin(situation: Situation) -> None:
    (situation.run.root / "out").rmdir()
    with pytest.raises(BadInput):
        situation.report.write()


def test_a_bot_that_cannot_report_any_more_ends(situation: Situation) -> None:
    situation.report.write()
    (situation.run.root / "out" / "status.json").unlink()
    (situation.run.root / "out").rmdir()
    situation.clock.advance(SILENCE_LIMIT_MS / 1000)
    situation.report.write()
    situation.clock.advance(0.001)
    with pytest.raises(OSError, match="No such file"):
        situation.report.write()


def test_health_is_a_fresh_status(situation: Situation) -> None:
    root = str(situation.run.root)
    now = time.time()
    assert not healthcheck.is_fresh(root, now)
    situation.report.write()
    path = situation.run.path("out/status.json")
    os.utime(path, (now, now))
    assert healthcheck.is_fresh(root, now + 14)
    assert not healthcheck.is_fresh(root, now + 16)
    assert not healthcheck.is_fresh(root, now - 16)
