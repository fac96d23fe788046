from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import config
import documents
from failures import BadConfiguration, BadInput, LeaseEnded, LoginRefused
from tests.builders import START_S, ManualClock
from tests.run_directory import ALLOCATION, EPOCH, RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def nothing() -> None:
    """Nobody to keep alive."""


def read_credentials(run: RunDirectory) -> config.Credentials:
    run.write_bot(stageTimeoutMs=1_000)
    bot = config.read_bot(run.path("bot.json"))
    return config.read_credentials(run.path("credentials.json"), bot, ManualClock(), nothing)


def later(seconds: float) -> str:
    return (datetime.fromtimestamp(START_S, UTC) + timedelta(seconds=seconds)).isoformat()


def test_bot_json(run: RunDirectory) -> None:
    run.write_bot(parameters={"fastPeriod": 5}, somethingNewer=True)
    bot = config.read_bot(run.path("bot.json"))
    assert (bot.allocation, bot.epoch, bot.runtime) == (ALLOCATION, EPOCH, "paper")
    assert bot.parameters.strategy.fast_period == 5


@pytest.mark.parametrize(
    "fields",
    [
        {"schema": 2},
        {"epoch": "7"},
        {"epoch": -1},
        {"allocation": ""},
        {"parameters": []},
        {"stageTimeoutMs": 0},
        {"account": None},
    ],
)
def test_a_malformed_bot_json_is_bad_input(run: RunDirectory, fields: dict[str, object]) -> None:
    run.write_bot(**fields)
    with pytest.raises(BadInput):
        config.read_bot(run.path("bot.json"))


def test_another_runtime_or_parameter_is_bad_configuration(run: RunDirectory) -> None:
    run.write_bot(runtime="freqtrade")
    with pytest.raises(BadConfiguration):
        config.read_bot(run.path("bot.json"))
    run.write_bot(parameters={"nope": 1})
    with pytest.raises(BadConfiguration):
        config.read_bot(run.path("bot.json"))


def test_credentials(run: RunDirectory) -> None:
    run.write_credentials(password="s3cret", expiresAt=later(60))
    credentials = read_credentials(run)
    assert (credentials.login, credentials.password) == (1001, "s3cret")
    assert "s3cret" not in f"{credentials!r}{credentials}"


@pytest.mark.parametrize(
    "fields",
    [
        {"allocation": "another"},
        {"epoch": EPOCH + 1},
        {"login": "1001"},
        {"login": 0},
        {"password": None},
        {"password": "x" * 1025},
        {"server": ""},
        {"expiresAt": "soon"},
    ],
)
def test_bad_credentials_are_refused_without_quoting_them(
    run: RunDirectory, fields: dict[str, object]
) -> None:
    run.write_credentials(**({"password": "s3cret"} | fields))
    with pytest.raises(BadInput) as caught:
        read_credentials(run)
    assert "s3cret" not in f"{caught.value!r}{caught.value.detail}"


def test_expired_credentials_are_a_refused_login(run: RunDirectory) -> None:
    run.write_credentials(expiresAt=later(-1))
    with pytest.raises(LoginRefused, match="expired"):
        read_credentials(run)


def test_missing_credentials_are_waited_for_one_stage(run: RunDirectory) -> None:
    with pytest.raises(BadInput):
        read_credentials(run)
    run.write_bot(stageTimeoutMs=1_000)
    bot, clock = config.read_bot(run.path("bot.json")), ManualClock()
    rounds = 0

    def arrive() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            run.write_credentials(expiresAt=later(60))

    assert config.read_credentials(run.path("credentials.json"), bot, clock, arrive).login == 1001
    assert rounds == 3


def test_waiting_ends_with_the_lease(run: RunDirectory) -> None:
    run.write_bot()
    bot = config.read_bot(run.path("bot.json"))

    def no_lease() -> None:
        raise LeaseEnded("lease ended")

    with pytest.raises(LeaseEnded):
        config.read_credentials(run.path("credentials.json"), bot, ManualClock(), no_lease)


def test_the_run_directory_comes_from_the_environment(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRADEFLEET_RUN_DIR", raising=False)
    assert config.run_directory().status == "/run/tradefleet/out/status.json"
    monkeypatch.setenv("TRADEFLEET_RUN_DIR", str(run.root))
    run.write_lease(1000)
    assert documents.read(config.run_directory().lease)["epoch"] == EPOCH
