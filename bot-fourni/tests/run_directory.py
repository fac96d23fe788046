"""What the agent does for one bot: writes its runtime directory and keeps its lease."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import documents
import lease

ALLOCATION = "0199f0aa-0000-7000-8000-00000000abcd"
EPOCH = 7
LOGIN = 1001


class RunDirectory:
    """The runtime directory of one allocation."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "out").mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> str:
        return os.path.join(self.root, name)

    def write_bot(self, **fields: object) -> None:
        """bot.json; `parameters` and others can be given."""
        document: documents.Document = {
            "schema": 1,
            "tenant": "acme",
            "bot": "bot-1",
            "account": "account-1",
            "allocation": ALLOCATION,
            "epoch": EPOCH,
            "host": "host-1",
            "runtime": "paper",
            "parameters": {},
            "stageTimeoutMs": 20_000,
            "stopGraceMs": 5_000,
        }
        documents.write(self.path("bot.json"), document | fields)

    def write_lease(self, ttl_ms: int, **fields: object) -> int:
        """A lease that ends after `ttl_ms`. Returns its deadline."""
        now_ms = lease.boottime_ms()
        document: documents.Document = {
            "schema": 1,
            "allocation": ALLOCATION,
            "epoch": EPOCH,
            "deadlineBoottimeMs": now_ms + ttl_ms,
            "writtenBoottimeMs": now_ms,
        }
        documents.write(self.path("lease.json"), document | fields)
        return now_ms + ttl_ms

    def write_control(self, trading: str = "enabled", sequence: int = 1) -> None:
        documents.write(
            self.path("control.json"),
            {
                "schema": 1,
                "trading": trading,
                "reason": "test",
                "by": "tester",
                "sequence": sequence,
            },
        )

    def write_credentials(self, **fields: object) -> None:
        expires = datetime.now(UTC) + timedelta(minutes=10)
        document: documents.Document = {
            "schema": 1,
            "allocation": ALLOCATION,
            "epoch": EPOCH,
            "login": LOGIN,
            "password": "let me in",
            "server": "Paper-Demo",
            "expiresAt": expires.isoformat().replace("+00:00", "Z"),
        }
        documents.write(self.path("credentials.json"), document | fields)

    def write_all(
        self, parameters: dict[str, object] | None = None, lease_ms: int = 60_000
    ) -> None:
        """Everything a paper bot needs to trade."""
        self.write_bot(parameters=parameters or {})
        self.write_lease(lease_ms)
        self.write_control()
        self.write_credentials()

    def status(self) -> dict[str, object]:
        """The latest status; empty before the first."""
        try:
            text = (self.root / "out" / "status.json").read_text()
        except FileNotFoundError:
            return {}
        value = json.loads(text)
        assert isinstance(value, dict)
        return value
