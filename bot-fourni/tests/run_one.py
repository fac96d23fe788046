"""Run one bot by hand, with the processes of a container but without one.

    python3 -m tests.run_one [name=value ...]      e.g. paperSpeed=60 symbol=USDJPY

Plays the agent: writes a runtime directory, renews the lease every 3 s for 15 s, removes the
credentials after the login, prints the log and each change of the status. Ctrl-C stops the bot.
Lines on stdin set the control: `halted`, `flatten`, `enabled`; `silence` stops the renewals.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.run_directory import RunDirectory

HOME = Path(__file__).resolve().parent.parent
LEASE_MS = 15_000
RENEWAL_S = 3.0


def main() -> int:
    """Returns the supervisor's exit code."""
    parameters: dict[str, object] = {"paperSpeed": 60} | dict(
        _parameter(each) for each in sys.argv[1:]
    )
    with tempfile.TemporaryDirectory(prefix="tradefleet-run-") as root:
        run = RunDirectory(Path(root))
        run.write_all(parameters, lease_ms=LEASE_MS)
        bot = subprocess.Popen(
            [sys.executable, str(HOME / "supervisor.py")],
            env=os.environ | {"TRADEFLEET_RUN_DIR": root},
        )
        try:
            _play_agent(run, bot)
        except KeyboardInterrupt:
            pass  # the terminal has sent the bot a SIGINT as well
        finally:
            bot.terminate()
        return bot.wait()


def _play_agent(run: RunDirectory, bot: "subprocess.Popen[bytes]") -> None:
    renewed, sequence, shown, renewing = time.monotonic(), 1, "", True
    watched = [sys.stdin]
    while bot.poll() is None:
        if renewing and time.monotonic() - renewed >= RENEWAL_S:
            run.write_lease(LEASE_MS)
            renewed = time.monotonic()
        status = run.status()
        if status.get("stage") not in (None, "container", "display", "terminal"):
            Path(run.path("credentials.json")).unlink(missing_ok=True)
        show = json.dumps({k: v for k, v in status.items() if k not in ("schema", "writtenAt")})
        if show != shown:
            shown = show
            sys.stderr.write(f"status {show}\n")
        if select.select(watched, [], [], 1.0)[0]:
            word = sys.stdin.readline().strip()
            if word in ("enabled", "halted", "flatten"):
                sequence += 1
                run.write_control(word, sequence)
            elif word == "silence":
                renewing = False
            elif not word:
                watched = []


def _parameter(argument: str) -> tuple[str, object]:
    name, _, text = argument.partition("=")
    try:
        return name, json.loads(text)
    except json.JSONDecodeError:
        return name, text


if __name__ == "__main__":
    sys.exit(main())
