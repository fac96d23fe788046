"""What the agent tells the bot: the runtime directory, bot.json and credentials.json."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import documents
import lease
import parameters
from clock import Clock
from failures import BadConfiguration, BadInput, LoginRefused

RUN_DIR_VARIABLE = "TRADEFLEET_RUN_DIR"
DEFAULT_RUN_DIR = "/run/tradefleet"

PAPER = "paper"
MT5 = "mt5"
RUNTIMES = (PAPER, MT5)

MAX_STAGE_TIMEOUT_MS = 3_600_000
CREDENTIALS_POLL_S = 0.1


class RunDirectory(NamedTuple):
    """Paths of the documents shared with the agent."""

    root: str

    @property
    def bot(self) -> str:
        return os.path.join(self.root, "bot.json")

    @property
    def lease(self) -> str:
        return os.path.join(self.root, "lease.json")

    @property
    def control(self) -> str:
        return os.path.join(self.root, "control.json")

    @property
    def credentials(self) -> str:
        return os.path.join(self.root, "credentials.json")

    @property
    def status(self) -> str:
        return os.path.join(self.root, "out", "status.json")


class BotConfig(NamedTuple):
    """bot.json, checked."""

    account: str
    allocation: str
    epoch: int
    runtime: str
    parameters: parameters.Parameters
    stage_timeout_ms: int


class Credentials:
    """Login of the account. Only ever in memory; its text form does not show the password."""

    __slots__ = ("login", "password", "server")

    def __init__(self, login: int, password: str, server: str) -> None:
        self.login = login
        self.password = password
        self.server = server

    def __repr__(self) -> str:
        return "Credentials(...)"


def run_directory() -> RunDirectory:
    """The directory named by the environment, which holds nothing else for us."""
    return RunDirectory(os.environ.get(RUN_DIR_VARIABLE, DEFAULT_RUN_DIR))


def read_bot(path: str) -> BotConfig:
    """Read bot.json. Raises BadInput or BadConfiguration.

    Unknown fields beside the known ones are left alone, so that a newer agent can run an older
    image; unknown parameters are refused, because somebody believes that they work.
    """
    try:
        document = documents.read(path)
        runtime = documents.text(document, path, "runtime")
        raw = document.get("parameters")
        if not isinstance(raw, dict):
            raise documents.BadDocument(path, "parameters is not an object")
        if runtime not in RUNTIMES:
            raise BadConfiguration("this image does not have the runtime", runtime=runtime)
        return BotConfig(
            account=documents.text(document, path, "account"),
            allocation=documents.text(document, path, "allocation"),
            epoch=documents.integer(document, path, "epoch", 0, lease.MAX_INTEGER),
            runtime=runtime,
            parameters=parameters.parse(raw, simulated=runtime == PAPER),
            stage_timeout_ms=documents.integer(
                document, path, "stageTimeoutMs", 1, MAX_STAGE_TIMEOUT_MS
            ),
        )
    except documents.BadDocument as fault:
        raise BadInput("bot.json cannot be used", fault=str(fault)) from fault


def read_credentials(
    path: str, bot: BotConfig, clock: Clock, keep_alive: Callable[[], None]
) -> Credentials:
    """Read credentials.json once it is there, waiting at most one stage timeout.

    `keep_alive` is called while waiting. Raises BadInput when the file is missing, malformed or of
    another allocation, LoginRefused when it has expired. Nothing of its content is in any message.
    """
    give_up_ms = clock.boottime_ms() + bot.stage_timeout_ms
    while not os.path.exists(path) and clock.boottime_ms() < give_up_ms:
        keep_alive()
        clock.pause(CREDENTIALS_POLL_S)
    try:
        document = documents.read(path)
        allocation = documents.text(document, path, "allocation")
        epoch = documents.integer(document, path, "epoch", 0, lease.MAX_INTEGER)
        if (allocation, epoch) != (bot.allocation, bot.epoch):
            raise documents.BadDocument(path, "of another allocation or epoch")
        password = document.get("password")
        if not isinstance(password, str) or len(password) > 1024:
            raise documents.BadDocument(path, "password is not a text")
        credentials = Credentials(
            login=documents.integer(document, path, "login", 1, lease.MAX_INTEGER),
            password=password,
            server=documents.text(document, path, "server"),
        )
        expires_s = _expiry_s(documents.text(document, path, "expiresAt"), path)
    except documents.BadDocument as fault:
        raise BadInput("credentials.json cannot be used", fault=str(fault)) from None
    if expires_s <= clock.wall_s():
        raise LoginRefused("the grant has expired")
    return credentials


def _expiry_s(value: str, path: str) -> float:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise documents.BadDocument(path, "expiresAt is not a time") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()
